package customer

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/audit"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/database/dbtest"
	"github.com/channelgraph/channelgraph/internal/fault"
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

// side is a partner with its Global admin, who is an Admin agent too.
type side struct {
	*partner.Partner
	admin access.Actor
}

// world is two providers, two resellers of the first, one of them of the
// second too, and a direct-bill partner.
type world struct {
	*Service
	t              *testing.T
	keys           *secret.Keys
	nord, sud      *side // providers
	bianchi, verdi *side // resellers
	azienda        *side // direct bill
	chief          access.Actor
	ledger         *rollup.Ledger
	persons        int
}

func newWorld(t *testing.T) *world {
	t.Helper()
	db := dbtest.New(t)
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
	partnerships := partnership.New(db, accounts, partners, invitations, mailer, keys, "http://localhost:8080")
	w := &world{t: t, keys: keys, Service: New(db, accounts, partners, partnerships, invitations, mailer, Config{TenantDomain: "customers.example"})}
	w.nord, w.sud = w.company("Nordwind", access.IndirectProvider), w.company("Sudwind", access.IndirectProvider)
	w.bianchi, w.verdi = w.company("Bianchi", access.IndirectReseller), w.company("Verdi", access.IndirectReseller)
	w.azienda = w.company("Azienda", access.DirectBill)
	w.partnered(w.nord, w.bianchi)
	w.partnered(w.nord, w.verdi)
	w.partnered(w.sud, w.bianchi)
	var house *account.Organization
	w.tx(func(ctx context.Context, tx *database.Tx) (err error) {
		house, err = accounts.Found(ctx, tx, access.System("test"), account.NewOrganization{Kind: access.Operator, Name: "House", Domain: "house.example", Country: "IT"})
		return err
	})
	w.chief = w.user(house.ID, "otto@house.example", access.OperatorAdmin)
	w.ledger = rollup.NewLedger(db, slog.New(slog.DiscardHandler))
	w.ledger.Count(Counts, partnership.Counts)
	t.Cleanup(func() { w.proven() })
	return w
}

// proven fails where a count on the tree is not what is there.
func (w *world) proven() {
	w.t.Helper()
	wrong, err := w.ledger.Reconcile(context.WithoutCancel(w.t.Context()))
	if err != nil || len(wrong) > 0 {
		w.t.Errorf("wrong counts: %+v, %v", wrong, err)
	}
}

func (w *world) tx(fn func(context.Context, *database.Tx) error) {
	w.t.Helper()
	if err := w.db.InTx(w.t.Context(), fn); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) as(user ident.ID) access.Actor {
	w.t.Helper()
	a, err := access.Load(w.t.Context(), w.db.Read(), access.Presence{UserID: user, SudoUntil: w.db.Now().Add(3000 * day)})
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

func (w *world) company(name string, kind access.Kind, change ...func(*partner.RegisterInput)) *side {
	w.t.Helper()
	slug := strings.ToLower(strings.ReplaceAll(name, " ", "-"))
	now, version, locale := w.db.Now(), "2026-01", "en"
	in := partner.RegisterInput{Kind: kind, LegalName: name, TenantDomain: slug + ".example", Country: "IT", AgreementSignedAt: &now, AgreementVersion: &version,
		Admin: partner.Admin{Email: "gina@" + slug + ".example", FirstName: "Gina", LastName: name, Locale: &locale}}
	for _, c := range change {
		c(&in)
	}
	if err := in.Validate(now); err != nil {
		w.t.Fatal(err)
	}
	out := &side{}
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		r, err := w.partners.RegisterTx(ctx, tx, access.System("test"), in, password)
		if err == nil {
			out.Partner, out.admin.UserID = r.Partner, r.Admin.ID
		}
		return err
	})
	out.admin = w.as(out.admin.UserID)
	return out
}

func (w *world) user(org ident.ID, email string, roles ...access.Role) access.Actor {
	w.t.Helper()
	var id ident.ID
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		orgs, err := w.accounts.OrganizationsTx(ctx, tx, access.System("test"), []ident.ID{org})
		if err != nil {
			return err
		}
		u, _, err := w.accounts.AddUser(ctx, tx, access.System("test"), orgs[org], account.NewUser{Email: email, FirstName: "Ugo", LastName: "Rossi", Roles: roles, Password: password})
		if err == nil {
			id = u.ID
		}
		return err
	})
	return w.as(id)
}

// partnered joins a provider and a reseller by the provider's personal link.
func (w *world) partnered(provider, reseller *side) *partnership.Partnership {
	w.t.Helper()
	l, err := w.partnerships.Link(w.t.Context(), provider.admin)
	if err != nil {
		w.t.Fatal(err)
	}
	_, code, _ := strings.Cut(l.URL, "#")
	p, err := w.partnerships.Accept(w.t.Context(), reseller.admin, partnership.AcceptInput{Code: code, Confirmed: true})
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// details are of a believable customer, which tests change.
func details(name string) Details {
	slug := strings.ToLower(strings.ReplaceAll(name, " ", "-"))
	return Details{CompanyName: name, Address: partner.Address{Line1: "Via Roma 1", City: "Carrara", PostalCode: "54033", Country: "IT"},
		DomainPrefix: slug, BillingEmail: "billing@" + slug + ".example"}
}

func (w *world) try(seller, reseller *side, d Details) (c *Customer, err error) {
	n := NewCustomer{SellerID: seller.ID, Details: d, Agreement: &Attestation{FirstName: "Elena", LastName: "Conti", Email: "elena@conti.example", AgreedOn: "2024-02-29"}}
	if reseller != nil {
		n.ResellerID = reseller.ID
	}
	err = w.db.InTx(w.t.Context(), func(ctx context.Context, tx *database.Tx) (err error) {
		added, err := w.AddTx(ctx, tx, seller.admin, n)
		if err == nil {
			c = added.Customer
		}
		return err
	})
	return c, err
}

func (w *world) add(seller, reseller *side, name string) *Customer {
	w.t.Helper()
	c, err := w.try(seller, reseller, details(name))
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// admin is a Global admin of a customer.
func (w *world) admin(c *Customer) access.Actor {
	w.t.Helper()
	w.persons++
	return w.user(c.OrganizationID, fmt.Sprintf("elena%d@%s", w.persons, c.Domain), access.GlobalAdmin)
}

// sees lists the customers that an actor finds, by name.
func (w *world) sees(a access.Actor, f Filter) string {
	w.t.Helper()
	c, err := w.List(w.t.Context(), a, pageArgs(), nil, f)
	if err != nil {
		w.t.Fatal(err)
	}
	var names []string
	for _, x := range c.Nodes() {
		names = append(names, x.CompanyName)
	}
	if n, err := c.TotalCount(w.t.Context()); err != nil || n.Value != len(names) {
		w.t.Errorf("counted %v for %v, %v", n, names, err)
	}
	return strings.Join(names, " ")
}

// has lists whom an actor sees of a customer's partners.
func (w *world) has(a access.Actor, c *Customer) string {
	w.t.Helper()
	rs, err := w.RelationshipsOf(w.t.Context(), a, []ident.ID{c.ID})
	if err != nil {
		w.t.Fatal(err)
	}
	var ids []ident.ID
	for _, r := range rs[c.ID] {
		ids = append(ids, r.PartnerID)
	}
	cards, err := w.partners.Cards(w.t.Context(), ids)
	if err != nil {
		w.t.Fatal(err)
	}
	var names []string
	for _, x := range cards {
		names = append(names, x.LegalName)
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

func pageArgs() page.Args { n := page.MaxSize; return page.Args{First: &n} }

func (w *world) counts(keys ...rollup.Key) string {
	w.t.Helper()
	got, err := rollup.Read(w.t.Context(), w.db.Read(), keys)
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for _, k := range keys {
		out = append(out, fmt.Sprint(got[k].Customers))
	}
	return strings.Join(out, " ")
}

// sale tells why a sale may not be done, by codes.
func (w *world) sale(seller, reseller *side, c *Customer) string {
	w.t.Helper()
	var rs []Refusal
	w.tx(func(ctx context.Context, tx *database.Tx) (err error) {
		s := Sale{SellerID: seller.ID, CustomerID: c.ID}
		if reseller != nil {
			s.ResellerID = reseller.ID
		}
		rs, err = w.Guard(ctx, tx, s)
		return err
	})
	return codes(rs)
}

func codes(rs []Refusal) string {
	var out []string
	for _, r := range rs {
		out = append(out, r.Code+">"+r.NextStep)
	}
	return strings.Join(out, " ")
}

func (w *world) may(p *side, c *Customer) string {
	w.t.Helper()
	m, err := w.Administration(w.t.Context(), p.admin, []ident.ID{c.ID})
	if err != nil {
		w.t.Fatal(err)
	}
	return fmt.Sprint(m[c.ID])
}

// mails lists what was mailed about a record, and to whom.
func (w *world) mails(subject ident.ID) string {
	w.t.Helper()
	all, err := w.mailer.BySubject(w.t.Context(), []ident.ID{subject})
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for _, m := range all[subject] {
		_, domain, _ := strings.Cut(m.Recipient, "@")
		host, _, _ := strings.Cut(domain, ".")
		out = append(out, strings.TrimPrefix(m.Template, "customer_")+" to "+host)
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

func (w *world) audited(target ident.ID) string {
	w.t.Helper()
	seen := map[string]int{}
	var rows []string
	err := w.db.Read().NewSelect().Model((*audit.Event)(nil)).Column("action").Where("target_id = ?", target).OrderExpr("at, action").Scan(w.t.Context(), &rows)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, r := range rows {
		seen[r]++
	}
	var out []string
	for _, k := range slices.Sorted(maps.Keys(seen)) {
		out = append(out, fmt.Sprintf("%s×%d", k, seen[k]))
	}
	return strings.Join(out, " ")
}

// rows counts what a refused verb must not have written.
func (w *world) rows() string {
	w.t.Helper()
	var out []string
	for _, table := range []string{"organization", "user_account", "customer", "relationship", "customer_agreement", "customer_grant", "customer_invitation", "invitation",
		"audit_event", "job", "mail_message", "event", "rollup_delta", "idempotency"} {
		n, err := w.db.Read().NewSelect().TableExpr(table).Count(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		out = append(out, fmt.Sprintf("%s %d", table, n))
	}
	return strings.Join(out, ", ")
}

func (w *world) same(before string) {
	w.t.Helper()
	if after := w.rows(); after != before {
		w.t.Errorf("something was written:\n%s\n%s", before, after)
	}
}

func wantCode(t *testing.T, err error, want string) {
	t.Helper()
	if !fault.Is(err, want) {
		t.Errorf("got %v, want %s", err, want)
	}
}

// do performs one kind of job that is due, as the workers would, and tells how
// many there were.
func (w *world) do(kind string, handle func(context.Context, *outbox.Run) error) (n int) {
	w.t.Helper()
	for range 20 {
		var ids []ident.ID
		if err := w.db.Read().NewSelect().TableExpr("job").Column("id").Where("kind = ?", kind).Where("state = 'pending'").Where("due_at <= ?", w.db.Now()).
			OrderExpr("due_at, id").Scan(w.t.Context(), &ids); err != nil {
			w.t.Fatal(err)
		}
		if len(ids) == 0 {
			return n
		}
		for _, id := range ids {
			n++
			if _, err := w.db.Bun().NewUpdate().Table("job").Set("state = 'queued'").Where("id = ?", id).Exec(w.t.Context()); err != nil {
				w.t.Fatal(err)
			}
			var generation int
			if err := w.db.Read().NewSelect().TableExpr("job").Column("generation").Where("id = ?", id).Scan(w.t.Context(), &generation); err != nil {
				w.t.Fatal(err)
			}
			run, err := outbox.Begin(w.t.Context(), w.db, id, generation, "test", time.Minute)
			if err != nil || run == nil {
				w.t.Fatal(run, err)
			}
			if err := handle(w.t.Context(), run); err != nil {
				w.t.Fatal(err)
			}
		}
	}
	w.t.Fatal("work never ends")
	return n
}
