package subscription

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/audit"
	"github.com/channelgraph/channelgraph/internal/catalog"
	"github.com/channelgraph/channelgraph/internal/customer"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/database/dbtest"
	"github.com/channelgraph/channelgraph/internal/file"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/invitation"
	"github.com/channelgraph/channelgraph/internal/mail"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/internal/page"
	"github.com/channelgraph/channelgraph/internal/partner"
	"github.com/channelgraph/channelgraph/internal/partnership"
	"github.com/channelgraph/channelgraph/internal/rollup"
	"github.com/channelgraph/channelgraph/internal/secret"
)

const password = secret.String("velvet tractor lagoon 41")

// house is an organization with one person of every role.
type house struct {
	*partner.Partner
	org ident.ID
	// gina is Global admin.
	gina access.Actor
}

// world is a provider with two resellers, another provider, a direct-bill
// partner, and a customer of the provider and its first reseller.
type world struct {
	*Service
	t                       *testing.T
	accounts                *account.Service
	provider, other, direct house
	reseller, sibling       house
	customer                *customer.Customer
	buyer, chief            access.Actor
	offer, trial, addOn     *catalog.Offer
}

const offers = `sku,name,publisher_kind,publisher,product_line,category,min_quantity,max_quantity,trial,prerequisites,incentive_eligible,region,currency,term,billing_cycle,price
BASIC,Basic,first_party,Meridian,Work,Mail,2,50,,,yes,EUROPE,EUR,P1M,MONTHLY,5
BASIC,,,,,,,,,,,EUROPE,EUR,P1Y,MONTHLY,4
TRIAL,Trial,first_party,Meridian,Work,Mail,1,5,yes,,,EUROPE,EUR,P1M,MONTHLY,0
EXTRA,Extra,first_party,Meridian,Work,Mail,1,50,,BASIC,,EUROPE,EUR,P1M,MONTHLY,1
`

func newWorld(t *testing.T) *world {
	t.Helper()
	db := dbtest.Open(t, dbtest.URL(t), database.NewClock(time.Until(at("2028-01-31T15:00"))))
	keys, err := secret.NewKeys(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	mailer, err := mail.New(db, keys, mail.Config{SMTPURL: "smtp://127.0.0.1:2525", From: "center@example.com", PublicURL: "http://localhost:8080"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	accounts := account.New(db, mailer, keys, account.Config{PublicURL: "http://localhost:8080",
		Hashing: account.Hashing{Memory: 8, Passes: 1, Threads: 1, Slots: 4, Wait: time.Minute}}, nil)
	partners := partner.New(db, accounts, mailer)
	invitations := invitation.New(db, mailer, keys, accounts, invitation.Config{RecipientLimit: 50}, nil)
	partnerships := partnership.New(db, accounts, partners, invitations, mailer, keys, "http://localhost:8080/")
	customers := customer.New(db, accounts, partners, partnerships, invitations, mailer, customer.Config{TenantDomain: "customers.example"})
	w := &world{t: t, accounts: accounts, Service: New(db, partners, customers, catalog.New(db, file.New(db)))}
	w.batch = 2
	w.provider, w.other = w.company("Nordwind", access.IndirectProvider), w.company("Rhine", access.IndirectProvider)
	w.direct = w.company("Alpenblick", access.DirectBill)
	w.reseller, w.sibling = w.company("Bianchi", access.IndirectReseller), w.company("Conti", access.IndirectReseller)
	w.partner(w.provider, w.reseller)
	w.partner(w.provider, w.sibling)
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		org, err := accounts.Found(ctx, tx, access.System("test"), account.NewOrganization{Kind: access.Operator, Name: "House", Domain: "house.example", Country: "IT"})
		if err != nil {
			return err
		}
		if w.chief, err = w.userTx(ctx, tx, org, "otto@house.example", access.OperatorAdmin); err != nil {
			return err
		}
		_, err = w.offers.ImportTx(ctx, tx, w.chief, catalog.CSV, "offers.csv", []byte(offers))
		return err
	})
	w.readOffers()
	w.customer = w.buys("Officine", w.provider, w.reseller)
	w.buyer = w.user(w.customer.OrganizationID, "carla@officine.example", access.GlobalAdmin)
	return w
}

func (w *world) readOffers() {
	w.t.Helper()
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		all, err := w.offers.BySKUTx(ctx, tx)
		if err != nil {
			return err
		}
		for sku, to := range map[string]**catalog.Offer{"BASIC": &w.offer, "TRIAL": &w.trial, "EXTRA": &w.addOn} {
			if *to, err = w.offers.OfferTx(ctx, tx, all[sku].ID); err != nil {
				return err
			}
		}
		return nil
	})
}

func (w *world) tx(fn func(context.Context, *database.Tx) error) {
	w.t.Helper()
	if err := w.db.InTx(w.t.Context(), fn); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) exec(sql string, args ...any) {
	w.t.Helper()
	if _, err := w.db.Bun().NewRaw(sql, args...).Exec(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) as(user ident.ID) access.Actor {
	w.t.Helper()
	a, err := access.Load(w.t.Context(), w.db.Read(), access.Presence{UserID: user})
	if err != nil || a.UserID == "" {
		w.t.Fatal(a, err)
	}
	return a
}

func (w *world) userTx(ctx context.Context, tx *database.Tx, org *account.Organization, email string, roles ...access.Role) (a access.Actor, err error) {
	u, _, err := w.accounts.AddUser(ctx, tx, access.System("test"), org, account.NewUser{Email: email, FirstName: "Ugo", LastName: "Rossi", Roles: roles, Password: password})
	if err != nil {
		return a, err
	}
	return access.Load(ctx, tx, access.Presence{UserID: u.ID})
}

func (w *world) user(org ident.ID, email string, roles ...access.Role) (a access.Actor) {
	w.t.Helper()
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		orgs, err := w.accounts.OrganizationsTx(ctx, tx, access.System("test"), []ident.ID{org})
		if err == nil {
			a, err = w.userTx(ctx, tx, orgs[org], email, roles...)
		}
		return err
	})
	return a
}

// company registers an active partner.
func (w *world) company(name string, kind access.Kind) (h house) {
	w.t.Helper()
	slug, now := strings.ToLower(name), w.db.Now()
	in := partner.RegisterInput{Kind: kind, LegalName: name, TenantDomain: slug + ".example", Country: "IT", AgreementSignedAt: &now, AgreementVersion: new("2026-01"),
		Admin: partner.Admin{Email: "gina@" + slug + ".example", FirstName: "Gina", LastName: "Rossi", Locale: new("en")}}
	if err := in.Validate(now); err != nil {
		w.t.Fatal(err)
	}
	var admin ident.ID
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		r, err := w.partners.RegisterTx(ctx, tx, access.System("test"), in, password)
		if err == nil {
			h.Partner, h.org, admin = r.Partner, r.Partner.OrganizationID, r.Admin.ID
		}
		return err
	})
	h.gina = w.as(admin)
	return h
}

// partner joins a provider and a reseller.
func (w *world) partner(p, r house) {
	w.exec("INSERT INTO partnership (id, provider_id, reseller_id, provider_name_folded, reseller_name_folded, region, status, invitation_id, authorized_by_id, authorized_at, version, updated_at) "+
		"VALUES (?, ?, ?, 'p', 'r', 'EUROPE', 'ACTIVE', '', '', ?, 1, ?)", ident.New(ident.Partnership), p.ID, r.ID, w.db.Now(), w.db.Now())
}

// buys makes a customer of a seller, and of a reseller where there is one.
func (w *world) buys(name string, seller house, reseller ...house) (c *customer.Customer) {
	w.t.Helper()
	slug := strings.ToLower(name)
	n := customer.NewCustomer{SellerID: seller.ID, Agreement: &customer.Attestation{FirstName: "Carla", LastName: "Neri", Email: "carla@" + slug + ".example", AgreedOn: "2020-01-01"},
		Details: customer.Details{CompanyName: name, DomainPrefix: slug, BillingEmail: "carla@" + slug + ".example",
			Address: partner.Address{Line1: "Via Roma 1", City: "Torino", PostalCode: "10121", Country: "IT"}}}
	for _, r := range reseller {
		n.ResellerID = r.ID
	}
	w.tx(func(ctx context.Context, tx *database.Tx) (err error) {
		added, err := w.customers.AddTx(ctx, tx, seller.gina, n)
		if err == nil {
			c = added.Customer
		}
		return err
	})
	return c
}

// relate gives a customer a relationship with another partner.
func (w *world) relate(c *customer.Customer, p house, kind customer.Kind, counterpart ident.ID) {
	w.exec("INSERT INTO relationship (id, customer_id, partner_id, kind, counterpart_id, status, name_folded, domain, country, version, created_at, updated_at) "+
		"VALUES (?, ?, ?, ?, ?, 'ACTIVE', ?, ?, 'IT', 1, ?, ?)", ident.New(ident.Relationship), c.ID, p.ID, kind, counterpart, c.NameFolded, c.Domain, w.db.Now(), w.db.Now())
}

// order is what the world's provider sells its customer through its reseller.
func (w *world) order(o *catalog.Offer, quantity int, change ...func(*Purchase)) Purchase {
	n := Purchase{CustomerID: w.customer.ID, OrganizationID: w.customer.OrganizationID, Country: "IT", SellerID: w.provider.ID, ResellerID: w.reseller.ID,
		OrderLineID: ident.New(ident.OrderLine), OfferID: o.ID, OfferName: o.Name, Quantity: quantity, Term: catalog.OneMonth, BillingCycle: catalog.Monthly,
		UnitPrice: catalog.Money{Amount: 450, Currency: "EUR"}, AutoRenew: !o.Trial}
	for _, c := range change {
		c(&n)
	}
	return n
}

// sold is a subscription that was provisioned.
func (w *world) sold(o *catalog.Offer, quantity int, change ...func(*Purchase)) *Subscription {
	w.t.Helper()
	var x *Subscription
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		made, err := w.CreateTx(ctx, tx, w.provider.gina, w.order(o, quantity, change...))
		if err != nil {
			return err
		}
		x, err = w.ActivateTx(ctx, tx, access.System("order"), made[0].ID)
		return err
	})
	return x
}

func (w *world) read(id ident.ID) *Subscription {
	w.t.Helper()
	found, err := w.ByIDs(w.t.Context(), w.chief, []ident.ID{id})
	if err != nil || found[id] == nil {
		w.t.Fatal(found, err)
	}
	return found[id]
}

// history tells what happened to a subscription, the oldest first.
func (w *world) history(id ident.ID) string {
	w.t.Helper()
	c, err := w.History(w.t.Context(), w.chief, id, page.Args{First: new(100)}, EventFilter{})
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for _, e := range c.Nodes() {
		out = append(out, strings.TrimSpace(fmt.Sprintf("%s %s", e.Kind, e.Reason)))
	}
	slices.Reverse(out)
	return strings.Join(out, ", ")
}

// counts tells the tree's counters of subscriptions and seats, and fails where
// they are not what is there.
func (w *world) counts() string {
	w.t.Helper()
	keys := []rollup.Key{rollup.Operator, rollup.Of(w.provider.ID), rollup.Of(w.reseller.ID), rollup.Pair(w.provider.ID, w.reseller.ID), rollup.Of(w.direct.ID)}
	found, err := rollup.Read(w.t.Context(), w.db.Read(), keys)
	if err != nil {
		w.t.Fatal(err)
	}
	var truth []struct {
		Key                  rollup.Key
		Subscriptions, Seats int64
	}
	if err := w.db.Read().NewSelect().TableExpr("(?) AS truth", Counts(w.db.Read())).ColumnExpr("key, subscriptions, seats").Scan(w.t.Context(), &truth); err != nil {
		w.t.Fatal(err)
	}
	there := map[rollup.Key]string{}
	for _, r := range truth {
		there[r.Key] = fmt.Sprintf("%d/%d", r.Subscriptions, r.Seats)
	}
	var out []string
	for _, k := range keys {
		got := fmt.Sprintf("%d/%d", found[k].Subscriptions, found[k].Seats)
		if want := there[k]; got != want && (want != "" || got != "0/0") {
			w.t.Errorf("%s counts %s, there are %s", k, got, want)
		}
		out = append(out, got)
	}
	return strings.Join(out, " ")
}

// audited lists what the audit tells of a record.
func (w *world) audited(target ident.ID) string {
	w.t.Helper()
	var out []string
	err := w.db.Read().NewSelect().Model((*audit.Event)(nil)).Column("action").Where("target_id = ?", target).OrderExpr("at, action").Scan(w.t.Context(), &out)
	if err != nil {
		w.t.Fatal(err)
	}
	return strings.Join(out, " ")
}

// advance moves the clock, and runs what falls due as the workers do.
func (w *world) advance(d time.Duration) {
	w.t.Helper()
	w.db.Clock().Advance(d)
	w.perform()
}

// perform runs the jobs that are due.
func (w *world) perform() {
	w.t.Helper()
	for {
		var job outbox.Job
		err := w.db.Read().NewSelect().Model(&job).Where("kind = ?", MoveOn{}.Kind()).Where("state = 'pending' AND due_at <= ?", w.db.Now()).
			OrderExpr("due_at").Limit(1).Scan(w.t.Context())
		if database.IsNoRows(err) {
			return
		}
		if err != nil {
			w.t.Fatal(err)
		}
		w.exec("UPDATE job SET state = 'queued', generation = generation + 1 WHERE id = ?", job.ID)
		run, err := outbox.Begin(w.t.Context(), w.db, job.ID, job.Generation+1, "test", time.Minute)
		if err != nil || run == nil {
			w.t.Fatal("the job did not begin", err)
		}
		if err := w.MoveOn(w.t.Context(), run, MoveOn{}); err != nil || !run.Finished() {
			w.t.Fatal(err)
		}
	}
}
