package order

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/audit"
	"github.com/channelgraph/channelgraph/internal/catalog"
	"github.com/channelgraph/channelgraph/internal/customer"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/database/dbtest"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/file"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/invitation"
	"github.com/channelgraph/channelgraph/internal/mail"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/internal/partner"
	"github.com/channelgraph/channelgraph/internal/partnership"
	"github.com/channelgraph/channelgraph/internal/secret"
	"github.com/channelgraph/channelgraph/internal/subscription"
)

const (
	password = secret.String("velvet tractor lagoon 41")
	day      = 24 * time.Hour
)

// hand is a provisioner whose answers a test gives.
type hand struct {
	sync.Mutex
	answers map[string]func() error // by SKU
	asked   []Request
}

func (h *hand) Provision(_ context.Context, r Request) error {
	h.Lock()
	h.asked = append(h.asked, r)
	answer := h.answers[r.SKU]
	h.Unlock()
	if answer == nil {
		return nil
	}
	return answer()
}

func (h *hand) on(sku string, answer func() error) {
	h.Lock()
	defer h.Unlock()
	h.answers[sku] = answer
}

// ids tells what was asked for, each with the number of the attempt.
func (h *hand) ids() string {
	h.Lock()
	defer h.Unlock()
	var out []string
	for _, r := range h.asked {
		out = append(out, r.SKU+"/"+r.ID[len(r.ID)-1:])
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// world is a provider, Nordwind, its reseller, Bianchi, a direct-bill partner,
// Verdi, and a catalogue.
type world struct {
	*Service
	t            *testing.T
	hand         *hand
	keys         *secret.Keys
	mailer       *mail.Mailer
	partnerships *partnership.Service
	provider     *partner.Partner
	reseller     *partner.Partner
	gina         access.Actor // Global admin and Admin agent of the provider
	bruno        access.Actor // the same of the reseller
	vera         access.Actor // the same of the direct-bill partner
	chief        access.Actor // Operator admin
	sku          map[string]ident.ID
}

const offers = `sku,name,publisher_kind,publisher,product_line,category,min_quantity,max_quantity,countries,prerequisites,trial,azure_type,incentive_eligible,region,currency,term,billing_cycle,price
BASIC,Basic,FIRST_PARTY,Meridian,Workplace,Productivity,1,300,,,,,yes,EUROPE,EUR,P1M,MONTHLY,6.70
BASIC,,,,,,,,,,,,,EUROPE,EUR,P1Y,MONTHLY,5.90
BASIC,,,,,,,,,,,,,EUROPE,EUR,P1Y,ANNUAL,67.20
SUITE,Suite,FIRST_PARTY,Meridian,Workplace,Productivity,5,1000,,,,,,EUROPE,EUR,P1Y,ANNUAL,120.00
ADDON,Add-on,THIRD_PARTY,Kestrel,Workplace,Productivity,1,300,,BASIC SUITE,,,,EUROPE,EUR,P1Y,MONTHLY,2.00
TRIAL,Trial,FIRST_PARTY,Meridian,Workplace,Productivity,1,25,,,yes,,,EUROPE,EUR,P1M,MONTHLY,0.00
CLOUD,Cloud,FIRST_PARTY,Meridian,Platform,Platform,1,1,,,,yes,,EUROPE,EUR,P1M,MONTHLY,0.00
FRANCE,France,THIRD_PARTY,Kestrel,Workplace,Productivity,1,300,FR,,,,,EUROPE,EUR,P1M,MONTHLY,3.00
`

func newWorld(t *testing.T) *world {
	t.Helper()
	return worldOn(t, dbtest.New(t))
}

func worldOn(t *testing.T, db *database.DB) *world {
	t.Helper()
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
	catalogue := catalog.New(db, file.New(db))
	subscriptions := subscription.New(db, partners, customers, catalogue)
	h := &hand{answers: map[string]func() error{}}
	w := &world{t: t, hand: h, keys: keys, mailer: mailer, partnerships: partnerships, sku: map[string]ident.ID{},
		Service: New(db, accounts, partners, customers, catalogue, subscriptions, h, nil)}
	var house *account.Organization
	w.tx(func(ctx context.Context, tx *database.Tx) (err error) {
		house, err = accounts.Found(ctx, tx, access.System("test"), account.NewOrganization{Kind: access.Operator, Name: "House", Domain: "house.example", Country: "IT"})
		return err
	})
	w.chief = w.user(house.ID, "otto@house.example", access.OperatorAdmin)
	w.provider, w.gina = w.company("Nordwind", access.IndirectProvider)
	w.reseller, w.bruno = w.company("Bianchi", access.IndirectReseller)
	_, w.vera = w.company("Verdi", access.DirectBill)
	w.partner(w.gina, w.bruno)
	w.bring(offers)
	return w
}

func (w *world) tx(fn func(context.Context, *database.Tx) error) {
	w.t.Helper()
	if err := w.db.InTx(w.t.Context(), fn); err != nil {
		w.t.Fatal(err)
	}
}

// bring imports offers and takes note of their ids.
func (w *world) bring(csv string) {
	w.t.Helper()
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		if _, err := w.offers.ImportTx(ctx, tx, w.chief, catalog.CSV, "offers.csv", []byte(csv)); err != nil {
			return err
		}
		all, err := w.offers.BySKUTx(ctx, tx)
		for sku, o := range all {
			w.sku[sku] = o.ID
		}
		return err
	})
}

func (w *world) as(user ident.ID) access.Actor {
	w.t.Helper()
	a, err := access.Load(w.t.Context(), w.db.Read(), access.Presence{UserID: user, SudoUntil: w.db.Now().Add(1000 * day)})
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

// company registers a partner with a Global admin who is Admin agent too.
func (w *world) company(name string, kind access.Kind, change ...func(*partner.RegisterInput)) (p *partner.Partner, a access.Actor) {
	w.t.Helper()
	slug, now := strings.ToLower(name), w.db.Now()
	version, locale := "2026-01", "en"
	in := partner.RegisterInput{Kind: kind, LegalName: name, TenantDomain: slug + ".example", Country: "IT", AgreementSignedAt: &now, AgreementVersion: &version,
		Admin: partner.Admin{Email: "boss@" + slug + ".example", FirstName: "Gina", LastName: "Rossi", Locale: &locale}}
	for _, c := range change {
		c(&in)
	}
	if err := in.Validate(now); err != nil {
		w.t.Fatal(err)
	}
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		r, err := w.partners.RegisterTx(ctx, tx, access.System("test"), in, password)
		if err == nil {
			p = r.Partner
		}
		return err
	})
	return p, w.user(p.OrganizationID, "gina@"+slug+".example", access.GlobalAdmin, access.AdminAgent)
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

// partner joins a provider and a reseller.
func (w *world) partner(provider, reseller access.Actor) {
	w.t.Helper()
	d, err := w.partnerships.Request(w.t.Context(), provider, partnership.RequestInput{Email: reseller.Email})
	if err != nil {
		w.t.Fatal(err)
	}
	code := w.keys.Capability(invitation.LinkPrefix, invitation.LinkPurpose, d.Invitation.ID, d.Invitation.Generation).Reveal()
	if _, err := w.partnerships.Accept(w.t.Context(), reseller, partnership.AcceptInput{Code: code, Confirmed: true}); err != nil {
		w.t.Fatal(err)
	}
}

// newcomer describes a customer to add, all of it in order.
func newcomer(slug string) *NewcomerInput {
	return &NewcomerInput{
		Details: &customer.Details{CompanyName: "Contoso " + slug, RegistrationID: "", DomainPrefix: slug, BillingEmail: "bills@" + slug + ".example", Phone: "+39 02 1234567",
			Address: partner.Address{Line1: "Via Roma 1", City: "Milano", PostalCode: "20121", Country: "IT"}},
		Admin:     &Admin{Email: "ada@" + slug + ".example", FirstName: "Ada", LastName: "Neri"},
		Agreement: &customer.Attestation{FirstName: "Ada", LastName: "Neri", Email: "ada@" + slug + ".example", AgreedOn: "2026-01-02"},
	}
}

// line is a number of licences of an offer, by the year and billed yearly where
// the offer is sold so.
func (w *world) line(sku string, n int) LineInput {
	l := LineInput{OfferID: w.sku[sku], Quantity: n, Term: catalog.OneYear, BillingCycle: catalog.Annual}
	switch sku {
	case "ADDON":
		l.BillingCycle = catalog.Monthly
	case "TRIAL", "CLOUD", "FRANCE":
		l.Term, l.BillingCycle = catalog.OneMonth, catalog.Monthly
	}
	return l
}

func (w *world) start(a access.Actor, in StartInput) *Order {
	w.t.Helper()
	o, err := w.Start(w.t.Context(), a, in)
	if err != nil {
		w.t.Fatal(err)
	}
	return o
}

func (w *world) review(a access.Actor, o *Order) *Order {
	w.t.Helper()
	o, err := w.Review(w.t.Context(), a, ReviewInput{OrderID: o.ID})
	if err != nil {
		w.t.Fatal(err)
	}
	return o
}

func (w *world) submit(a access.Actor, o *Order) *Submission {
	w.t.Helper()
	s, err := w.Submit(w.t.Context(), a, SubmitInput{OrderID: o.ID})
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// add adds a customer by an order of some lines, everything provisioned.
func (w *world) add(a access.Actor, slug string, reseller *ident.ID, lines ...LineInput) *Order {
	w.t.Helper()
	if len(lines) == 0 {
		lines = []LineInput{w.line("BASIC", 3)}
	}
	s := w.submit(a, w.review(a, w.start(a, StartInput{ResellerID: reseller, Newcomer: newcomer(slug), Lines: lines})))
	w.work()
	return w.read(s.Order.ID)
}

// work performs the jobs of orders that are due, as the relay and a worker do,
// until none is.
func (w *world) work() {
	w.t.Helper()
	for {
		c, err := outbox.Claim(w.t.Context(), w.db, 500)
		if err != nil {
			w.t.Fatal(err)
		}
		if len(c.Jobs) == 0 {
			return
		}
		for _, h := range c.Jobs {
			if strings.HasPrefix(h.Kind, "order.") {
				w.perform(h.ID, h.Generation)
			}
		}
	}
}

func (w *world) perform(id ident.ID, generation int) {
	w.t.Helper()
	run, err := outbox.Begin(w.t.Context(), w.db, id, generation, "test", time.Minute)
	if err != nil || run == nil {
		w.t.Fatal("a job did not begin", err)
	}
	switch run.Job.Kind {
	case Provision{}.Kind():
		err = perform(w, run, w.Provision)
	case Expire{}.Kind():
		err = perform(w, run, w.Expire)
	}
	if ferr := outbox.Finish(w.t.Context(), w.db, []*outbox.Ending{{Run: run, Err: err}}); ferr != nil {
		w.t.Fatal(ferr)
	}
}

// scan performs the periodic job.
func (w *world) scan() {
	w.t.Helper()
	if err := w.Scan(w.t.Context(), nil, Scan{}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) read(id ident.ID) *Order {
	w.t.Helper()
	var o *Order
	w.tx(func(ctx context.Context, tx *database.Tx) (err error) {
		o, err = lock(ctx, tx, access.System("test").Scope(), id)
		return err
	})
	if o == nil {
		w.t.Fatal("the order is gone")
	}
	return o
}

// states tells where an order, its lines and their subscriptions stand.
func (w *world) states(id ident.ID) string {
	w.t.Helper()
	o := w.read(id)
	var ids []ident.ID
	for _, l := range o.Lines {
		ids = append(ids, l.SubscriptionID)
	}
	subs, err := w.subscriptions.ByIDs(w.t.Context(), w.chief, ids)
	if err != nil {
		w.t.Fatal(err)
	}
	out := []string{string(o.Status)}
	for _, l := range o.Lines {
		s := string(l.Status)
		if l.FailureCode != "" {
			s += " " + l.FailureCode
		}
		if sub := subs[l.SubscriptionID]; sub != nil {
			s += "/" + string(sub.Status)
		}
		out = append(out, s)
	}
	return strings.Join(out, ", ")
}

func (w *world) audited(target ident.ID) string {
	w.t.Helper()
	var out []string
	err := w.db.Read().NewSelect().Model((*audit.Event)(nil)).Column("action").Where("target_id = ?", target).OrderExpr("at, action").Scan(w.t.Context(), &out)
	if err != nil {
		w.t.Fatal(err)
	}
	return strings.Join(out, " ")
}

var tables = []string{"job", "mail_message", "audit_event", "idempotency", "customer_order", "order_line", "organization", "user_account", "user_role", "credential",
	"capability_link", "customer", "relationship", "customer_agreement", "customer_grant", "product_subscription", "subscription_event", "rollup_delta", "event"}

// rows counts the rows of every table that a verb here may write.
func (w *world) rows() string {
	w.t.Helper()
	var out []string
	for _, table := range tables {
		n, err := w.db.Read().NewSelect().TableExpr(table).Count(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		out = append(out, fmt.Sprintf("%s %d", table, n))
	}
	return strings.Join(out, ", ")
}

// same fails where a refused verb changed something.
func (w *world) same(before string) {
	w.t.Helper()
	if after := w.rows(); after != before {
		w.t.Errorf("something was written:\n%s\n%s", before, after)
	}
}

func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	if !fault.Is(err, code) {
		t.Errorf("got %v, want %s", err, code)
	}
}

// problems tells what a fault says, each at its path, in a stable order.
func problems(err error) string {
	f := fault.As(err)
	if f == nil {
		return fmt.Sprint(err)
	}
	var out []string
	for _, p := range f.Problems {
		out = append(out, strings.TrimPrefix(strings.Join(p.Path, "."), "input.")+" "+p.Code)
	}
	slices.Sort(out)
	return strings.Join(out, "; ")
}

func want(t *testing.T, what, got, expected string) {
	t.Helper()
	if got != expected {
		t.Errorf("%s:\n got %s\nwant %s", what, got, expected)
	}
}

func ptr[T any](v T) *T { return &v }

// perform decodes a job's payload and hands it to its verb.
func perform[A any](w *world, run *outbox.Run, verb func(context.Context, *outbox.Run, A) error) error {
	var a A
	if err := json.Unmarshal([]byte(run.Job.Payload), &a); err != nil {
		w.t.Fatal(err)
	}
	return verb(w.t.Context(), run, a)
}
