package tree

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/catalog"
	"github.com/channelgraph/channelgraph/internal/customer"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/database/dbtest"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/file"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/invitation"
	"github.com/channelgraph/channelgraph/internal/mail"
	"github.com/channelgraph/channelgraph/internal/page"
	"github.com/channelgraph/channelgraph/internal/partner"
	"github.com/channelgraph/channelgraph/internal/partnership"
	"github.com/channelgraph/channelgraph/internal/rollup"
	"github.com/channelgraph/channelgraph/internal/secret"
	"github.com/channelgraph/channelgraph/internal/subscription"
)

const password = secret.String("velvet tractor lagoon 41")

// side is a company with its Global admin.
type side struct {
	id, org ident.ID
	admin   access.Actor
}

// world is two providers, of which both sell through Bianchi and one through
// Verdi, a direct-bill partner, and what they sold.
type world struct {
	*Service
	t                               *testing.T
	keys                            *secret.Keys
	accounts                        *account.Service
	offer                           ident.ID
	nord, sud, bianchi, verdi, elsa *side
	chief                           access.Actor
	alba, brenta, conti, dora, elba *side
	ledger                          *rollup.Ledger
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
	customers := customer.New(db, accounts, partners, partnerships, invitations, mailer, customer.Config{TenantDomain: "customers.example"})
	offers := catalog.New(db, file.New(db))
	subscriptions := subscription.New(db, partners, customers, offers)
	w := &world{t: t, keys: keys, accounts: accounts, Service: New(db, partners, partnerships, customers, subscriptions), ledger: rollup.NewLedger(db, slog.New(slog.DiscardHandler))}
	w.ledger.Count(customer.Counts, partnership.Counts, subscription.Counts)
	w.nord, w.sud = w.company("Nordwind", access.IndirectProvider), w.company("Sudwind", access.IndirectProvider)
	w.bianchi, w.verdi = w.company("Bianchi", access.IndirectReseller), w.company("Verdi", access.IndirectReseller)
	w.elsa = w.company("Elsa", access.DirectBill)
	for _, pair := range [][2]*side{{w.nord, w.bianchi}, {w.sud, w.bianchi}, {w.nord, w.verdi}} {
		l, err := partnerships.Link(t.Context(), pair[0].admin)
		if err != nil {
			t.Fatal(err)
		}
		_, code, _ := strings.Cut(l.URL, "#")
		if _, err := partnerships.Accept(t.Context(), pair[1].admin, partnership.AcceptInput{Code: code, Confirmed: true}); err != nil {
			t.Fatal(err)
		}
	}
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		house, err := accounts.Found(ctx, tx, access.System("test"), account.NewOrganization{Kind: access.Operator, Name: "House", Domain: "house.example", Country: "IT"})
		if err != nil {
			return err
		}
		w.chief = w.user(ctx, tx, house, "otto@house.example", access.OperatorAdmin)
		_, err = offers.ImportTx(ctx, tx, w.chief, catalog.CSV, "offers.csv", []byte("sku,name,publisher_kind,publisher,product_line,category,min_quantity,max_quantity,region,currency,term,billing_cycle,price\n"+
			"BASIC,Basic,first_party,Meridian,Work,Mail,1,50,EUROPE,EUR,P1M,MONTHLY,5\n"))
		if err != nil {
			return err
		}
		all, err := offers.BySKUTx(ctx, tx)
		w.offer = all["BASIC"].ID
		return err
	})
	w.alba, w.brenta = w.buys("Alba", w.nord, w.bianchi), w.buys("Brenta", w.nord, nil)
	w.conti, w.dora = w.buys("Conti", w.sud, w.bianchi), w.buys("Dora", w.nord, w.verdi)
	w.elba = w.buys("Elba", w.elsa, nil)
	w.sold(w.alba, w.nord, w.bianchi, 3)
	w.sold(w.alba, w.nord, nil, 10)
	w.sold(w.brenta, w.nord, nil, 5)
	w.sold(w.conti, w.sud, w.bianchi, 7)
	w.sold(w.dora, w.nord, w.verdi, 4)
	w.sold(w.elba, w.elsa, nil, 2)
	t.Cleanup(w.proven)
	return w
}

// proven fails where a count is not what is there.
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

func (w *world) as(ctx context.Context, tx *database.Tx, user ident.ID) access.Actor {
	w.t.Helper()
	a, err := access.Load(ctx, tx, access.Presence{UserID: user, SudoUntil: w.db.Now().Add(1000 * time.Hour)})
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

func (w *world) user(ctx context.Context, tx *database.Tx, org *account.Organization, email string, roles ...access.Role) access.Actor {
	w.t.Helper()
	u, _, err := w.accounts.AddUser(ctx, tx, access.System("test"), org, account.NewUser{Email: email, FirstName: "Ugo", LastName: "Rossi", Roles: roles, Password: password})
	if err != nil {
		w.t.Fatal(err)
	}
	return w.as(ctx, tx, u.ID)
}

func (w *world) company(name string, kind access.Kind) *side {
	w.t.Helper()
	slug, now, version, locale := strings.ToLower(name), w.db.Now(), "2026-01", "en"
	in := partner.RegisterInput{Kind: kind, LegalName: name, TenantDomain: slug + ".example", Country: "IT", AgreementSignedAt: &now, AgreementVersion: &version,
		Admin: partner.Admin{Email: "gina@" + slug + ".example", FirstName: "Gina", LastName: name, Locale: &locale}}
	if err := in.Validate(now); err != nil {
		w.t.Fatal(err)
	}
	out := &side{}
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		r, err := w.partners.RegisterTx(ctx, tx, access.System("test"), in, password)
		if err == nil {
			out.id, out.org, out.admin = r.Partner.ID, r.Partner.OrganizationID, w.as(ctx, tx, r.Admin.ID)
		}
		return err
	})
	return out
}

// buys makes a customer of a seller, through a reseller where there is one.
func (w *world) buys(name string, seller, reseller *side) *side {
	w.t.Helper()
	slug := strings.ToLower(name)
	n := customer.NewCustomer{SellerID: seller.id, Agreement: &customer.Attestation{FirstName: "Carla", LastName: "Neri", Email: "carla@" + slug + ".example", AgreedOn: "2020-01-01"},
		Details: customer.Details{CompanyName: name, DomainPrefix: slug, BillingEmail: "carla@" + slug + ".example",
			Address: partner.Address{Line1: "Via Roma 1", City: "Torino", PostalCode: "10121", Country: "IT"}}}
	if reseller != nil {
		n.ResellerID = reseller.id
	}
	out := &side{}
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		c, err := w.customers.AddTx(ctx, tx, access.System("test"), n)
		if err == nil {
			out.id, out.org, out.admin = c.ID, c.OrganizationID, w.user(ctx, tx, c.Organization, "carla@"+slug+".example", access.GlobalAdmin)
		}
		return err
	})
	return out
}

func (w *world) sold(to, seller, reseller *side, seats int) (id ident.ID) {
	w.t.Helper()
	p := subscription.Purchase{CustomerID: to.id, OrganizationID: to.org, Country: "IT", SellerID: seller.id, OrderLineID: ident.New(ident.OrderLine), OfferID: w.offer, OfferName: "Basic",
		Quantity: seats, Term: catalog.OneMonth, BillingCycle: catalog.Monthly, UnitPrice: catalog.Money{Amount: 500, Currency: "EUR"}}
	if reseller != nil {
		p.ResellerID = reseller.id
	}
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		made, err := w.subscriptions.CreateTx(ctx, tx, access.System("test"), p)
		if err != nil {
			return err
		}
		id = made[0].ID
		_, err = w.subscriptions.ActivateTx(ctx, tx, access.System("test"), id)
		return err
	})
	return id
}

// removes ends a partner's relationship with a customer.
func (w *world) removes(p, of *side) {
	w.t.Helper()
	if _, err := w.customers.Remove(w.t.Context(), p.admin, customer.RemoveInput{CustomerID: of.id, Reason: "It is over."}); err != nil {
		w.t.Fatal(err)
	}
}

// asked has a customer accept who asks for it, a reseller together with a
// provider.
func (w *world) asked(by, provider, of *side) {
	w.t.Helper()
	in := customer.InviteInput{Email: of.admin.Email, Delegation: customer.Delegation{Days: 30}}
	if provider != nil {
		in.ProviderID = &provider.id
	}
	out, err := w.customers.Invite(w.t.Context(), by.admin, in)
	if err != nil {
		w.t.Fatal(err)
	}
	code := w.keys.Capability(invitation.LinkPrefix, invitation.LinkPurpose, out.Invitation.ID, out.Invitation.Generation).Reveal()
	if _, err := w.customers.Accept(w.t.Context(), of.admin, customer.AcceptInput{Code: code, Confirmed: true}); err != nil {
		w.t.Fatal(err)
	}
}

func all() page.Args { return page.Args{First: new(page.MaxSize)} }

// part is all that somebody can reach of the tree, a branch a line: its kind,
// its name, and how many resellers, customers, subscriptions and seats. Each
// branch is asked for again by its id, as a client does.
func (w *world) part(a access.Actor) string {
	w.t.Helper()
	root, err := w.Find(w.t.Context(), a, "")
	if err != nil {
		w.t.Fatal(err)
	}
	var b strings.Builder
	if root != nil {
		w.walk(&b, a, root, 0)
	}
	return b.String()
}

func (w *world) walk(b *strings.Builder, a access.Actor, at *Branch, depth int) {
	w.t.Helper()
	ctx := w.t.Context()
	counts, err := w.Counts(ctx, a, []rollup.Key{at.Key()})
	if err != nil {
		w.t.Fatal(err)
	}
	n := counts[at.Key()]
	fmt.Fprintf(b, "%s%s %s %d/%d/%d/%d\n", strings.Repeat("  ", depth), at.Kind, w.name(at), n.Resellers, n.Customers, n.Subscriptions, n.Seats)
	for _, level := range []func(context.Context, access.Actor, *Branch, page.Args, Filter) (*page.Connection[*Branch], error){w.Providers, w.Resellers, w.Customers} {
		c, err := level(ctx, a, at, all(), Filter{})
		if err != nil {
			w.t.Fatal(err)
		}
		if total, err := c.TotalCount(ctx); err != nil || total.Value != len(c.Nodes()) {
			w.t.Errorf("%s says %v, %d are there, %v", w.name(at), total, len(c.Nodes()), err)
		}
		for _, below := range c.Nodes() {
			found, err := w.Find(ctx, a, below.ID())
			if err != nil || found == nil || w.name(found) != w.name(below) {
				w.t.Fatalf("%s is not found again: %+v, %v", w.name(below), found, err)
			}
			w.walk(b, a, below, depth+1)
		}
	}
}

func (w *world) name(at *Branch) string {
	switch {
	case at.Customer != nil:
		return at.Customer.CompanyName
	case at.PartnerID == "":
		return "all"
	}
	cards, err := w.partners.Cards(w.t.Context(), []ident.ID{at.PartnerID})
	if err != nil || len(cards) != 1 {
		w.t.Fatal(cards, err)
	}
	for _, c := range cards {
		return c.LegalName
	}
	return ""
}

// is compares what everybody reaches with what is theirs.
func (w *world) is(when string, parts map[*side]string) {
	w.t.Helper()
	for who, want := range parts {
		if got, want := w.part(who.admin), strings.TrimLeft(strings.ReplaceAll(want, "\t", ""), "\n"); got != want {
			w.t.Errorf("%s, %s has\n%s\nand not\n%s", when, who.admin.Email, got, want)
		}
	}
	w.proven()
}

// Each viewer reaches exactly its own part, with the counts of what it sees.
func TestOnesOwnPart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.is("at first", map[*side]string{
		{admin: w.chief}: `
PROGRAMME all 2/5/6/31
  DIRECT_BILL Elsa 0/1/1/2
    CUSTOMER Elba 0/1/1/2
  PROVIDER Nordwind 2/3/4/22
    RESELLER Bianchi 0/1/1/3
      CUSTOMER Alba 0/1/2/13
    RESELLER Verdi 0/1/1/4
      CUSTOMER Dora 0/1/1/4
    CUSTOMER Alba 0/1/2/13
    CUSTOMER Brenta 0/1/1/5
    CUSTOMER Dora 0/1/1/4
  PROVIDER Sudwind 1/1/1/7
    RESELLER Bianchi 0/1/1/7
      CUSTOMER Conti 0/1/1/7
    CUSTOMER Conti 0/1/1/7
  CUSTOMER Alba 0/1/2/13
  CUSTOMER Brenta 0/1/1/5
  CUSTOMER Conti 0/1/1/7
  CUSTOMER Dora 0/1/1/4
  CUSTOMER Elba 0/1/1/2
`,
		w.nord: `
PROVIDER Nordwind 2/3/4/22
  RESELLER Bianchi 0/1/1/3
    CUSTOMER Alba 0/1/2/13
  RESELLER Verdi 0/1/1/4
    CUSTOMER Dora 0/1/1/4
  CUSTOMER Alba 0/1/2/13
  CUSTOMER Brenta 0/1/1/5
  CUSTOMER Dora 0/1/1/4
`,
		w.sud: `
PROVIDER Sudwind 1/1/1/7
  RESELLER Bianchi 0/1/1/7
    CUSTOMER Conti 0/1/1/7
  CUSTOMER Conti 0/1/1/7
`,
		w.bianchi: `
RESELLER Bianchi 0/2/2/10
  PROVIDER Nordwind 0/1/1/3
    CUSTOMER Alba 0/1/1/3
  PROVIDER Sudwind 0/1/1/7
    CUSTOMER Conti 0/1/1/7
  CUSTOMER Alba 0/1/1/3
  CUSTOMER Conti 0/1/1/7
`,
		w.verdi: `
RESELLER Verdi 0/1/1/4
  PROVIDER Nordwind 0/1/1/4
    CUSTOMER Dora 0/1/1/4
  CUSTOMER Dora 0/1/1/4
`,
		w.elsa: "DIRECT_BILL Elsa 0/1/1/2\n  CUSTOMER Elba 0/1/1/2\n",
		w.alba: "CUSTOMER Alba 0/1/2/13\n",
	})
}

// The tree follows what happens: a reseller goes and comes back, a customer has
// more partners than one, a provider goes, a partnership ends.
func TestThePartsFollow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.removes(w.bianchi, w.alba)
	w.is("without Alba", map[*side]string{
		w.bianchi: `
RESELLER Bianchi 0/1/1/7
  PROVIDER Nordwind 0/0/0/0
  PROVIDER Sudwind 0/1/1/7
    CUSTOMER Conti 0/1/1/7
  CUSTOMER Conti 0/1/1/7
`,
		w.nord: `
PROVIDER Nordwind 2/3/4/22
  RESELLER Bianchi 0/0/0/0
  RESELLER Verdi 0/1/1/4
    CUSTOMER Dora 0/1/1/4
  CUSTOMER Alba 0/1/2/13
  CUSTOMER Brenta 0/1/1/5
  CUSTOMER Dora 0/1/1/4
`,
		w.alba: "CUSTOMER Alba 0/1/2/13\n",
	})
	// It comes back with another provider: what was sold before is its again,
	// and so is the pair's in which it was sold.
	w.asked(w.bianchi, w.sud, w.alba)
	w.is("with Alba again", map[*side]string{
		w.bianchi: `
RESELLER Bianchi 0/2/2/10
  PROVIDER Nordwind 0/1/1/3
    CUSTOMER Alba 0/1/1/3
  PROVIDER Sudwind 0/2/1/7
    CUSTOMER Alba 0/1/1/3
    CUSTOMER Conti 0/1/1/7
  CUSTOMER Alba 0/1/1/3
  CUSTOMER Conti 0/1/1/7
`,
		w.sud: `
PROVIDER Sudwind 1/2/1/7
  RESELLER Bianchi 0/2/1/7
    CUSTOMER Alba 0/1/0/0
    CUSTOMER Conti 0/1/1/7
  CUSTOMER Alba 0/1/0/0
  CUSTOMER Conti 0/1/1/7
`,
	})
	w.asked(w.elsa, nil, w.alba)
	w.sold(w.alba, w.elsa, nil, 6)
	w.is("with one more", map[*side]string{
		w.elsa: "DIRECT_BILL Elsa 0/2/2/8\n  CUSTOMER Alba 0/1/1/6\n  CUSTOMER Elba 0/1/1/2\n",
		w.alba: "CUSTOMER Alba 0/1/3/19\n",
		w.verdi: `
RESELLER Verdi 0/1/1/4
  PROVIDER Nordwind 0/1/1/4
    CUSTOMER Dora 0/1/1/4
  CUSTOMER Dora 0/1/1/4
`,
	})
	// A provider goes: what it sold is suspended and still its to answer for.
	w.removes(w.nord, w.dora)
	w.is("without Dora", map[*side]string{
		w.nord: `
PROVIDER Nordwind 2/2/4/22
  RESELLER Bianchi 0/1/1/3
    CUSTOMER Alba 0/1/2/13
  RESELLER Verdi 0/0/1/4
  CUSTOMER Alba 0/1/2/13
  CUSTOMER Brenta 0/1/1/5
`,
		w.verdi: `
RESELLER Verdi 0/1/1/4
  PROVIDER Nordwind 0/0/1/4
  CUSTOMER Dora 0/1/1/4
`,
		w.dora: "CUSTOMER Dora 0/1/1/4\n",
	})
	w.terminated(w.nord, w.bianchi)
	w.is("without the partnership", map[*side]string{
		w.bianchi: `
RESELLER Bianchi 0/2/2/10
  PROVIDER Sudwind 0/2/1/7
    CUSTOMER Alba 0/1/1/3
    CUSTOMER Conti 0/1/1/7
  CUSTOMER Alba 0/1/1/3
  CUSTOMER Conti 0/1/1/7
`,
		w.nord: `
PROVIDER Nordwind 1/2/4/22
  RESELLER Verdi 0/0/1/4
  CUSTOMER Alba 0/1/2/13
  CUSTOMER Brenta 0/1/1/5
`,
	})
}

// terminated ends a partnership, as the operator does.
func (w *world) terminated(provider, reseller *side) {
	w.t.Helper()
	req, err := w.partnerships.RequestTermination(w.t.Context(), provider.admin, partnership.RequestTerminationInput{PartnershipID: w.pair(provider, reseller), Reason: "It is over."})
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.partnerships.CompleteTermination(w.t.Context(), w.chief, partnership.DecideTerminationInput{TerminationID: req.ID, DespiteBlockers: true}); err != nil {
		w.t.Fatal(err)
	}
}

// pair is the id of a partnership.
func (w *world) pair(provider, reseller *side) (id ident.ID) {
	w.t.Helper()
	err := w.db.Read().NewSelect().TableExpr("partnership").Column("id").Where("provider_id = ? AND reseller_id = ?", provider.id, reseller.id).Scan(w.t.Context(), &id)
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

// Nobody finds a branch of what it does not see, whether it is there or not.
func TestBranchesOfOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	pair := map[string]ident.ID{"nord and bianchi": w.pair(w.nord, w.bianchi), "sud and bianchi": w.pair(w.sud, w.bianchi), "nord and verdi": w.pair(w.nord, w.verdi)}
	ids := map[string]ident.ID{"nord": w.nord.id, "sud": w.sud.id, "bianchi": w.bianchi.id, "verdi": w.verdi.id, "elsa": w.elsa.id,
		"alba": w.alba.id, "brenta": w.brenta.id, "conti": w.conti.id, "dora": w.dora.id, "elba": w.elba.id,
		"nobody": ident.New(ident.Partner), "no pair": ident.New(ident.Partnership), "no customer": ident.New(ident.Customer), "an order": ident.New(ident.Order), "nonsense": "x"}
	for name, id := range pair {
		ids[name] = id
	}
	for who, finds := range map[*side]string{
		w.nord: "nord, nord and bianchi, nord and verdi, alba, brenta, dora", w.sud: "sud, sud and bianchi, conti",
		w.bianchi: "bianchi, nord and bianchi, sud and bianchi, alba, conti", w.verdi: "verdi, nord and verdi, dora", w.elsa: "elsa, elba", w.alba: "alba",
		{admin: w.chief}: "nord, sud, bianchi, verdi, elsa, nord and bianchi, sud and bianchi, nord and verdi, alba, brenta, conti, dora, elba",
	} {
		mine := map[string]bool{}
		for _, name := range strings.Split(finds, ", ") {
			mine[name] = true
		}
		for name, id := range ids {
			found, err := w.Find(t.Context(), who.admin, id)
			if err != nil || (found != nil) != mine[name] || found != nil && found.ID() != id {
				t.Errorf("%s asks for %s: %+v, %v", who.admin.Email, name, found, err)
			}
		}
	}
	if _, err := w.Find(t.Context(), access.Anonymous("en", ""), ""); err == nil {
		t.Error("a stranger has a tree")
	}
	var page1 page.Args
	page1.First, page1.After = new(1), new("nonsense")
	root, err := w.Find(t.Context(), w.nord.admin, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Customers(t.Context(), w.nord.admin, root, page1, Filter{}); fault.As(err) == nil {
		t.Errorf("a cursor that is none: %v", err)
	}
}

// A level is narrowed, and paged, as the list that it is.
func TestLevels(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	names := func(c *page.Connection[*Branch], err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, b := range c.Nodes() {
			out = append(out, w.name(b))
		}
		return strings.Join(out, " ")
	}
	ctx, a := t.Context(), w.nord.admin
	root, err := w.Find(ctx, a, "")
	if err != nil {
		t.Fatal(err)
	}
	for want, f := range map[string]Filter{"Alba": {Search: new("alb")}, "Brenta": {LacksReseller: new(true)}, "Alba Dora": {LacksReseller: new(false)}, "": {Search: new("conti")}, "Alba Brenta Dora": {}} {
		if got := names(w.Customers(ctx, a, root, all(), f)); got != want {
			t.Errorf("%+v: %s, want %s", f, got, want)
		}
	}
	if got := names(w.Resellers(ctx, a, root, all(), Filter{Search: new("VER")})); got != "Verdi" {
		t.Error(got)
	}
	if got := names(w.Providers(ctx, a, root, all(), Filter{})); got != "" {
		t.Errorf("a provider has providers %s", got)
	}
	first, err := w.Customers(ctx, a, root, page.Args{First: new(2)}, Filter{})
	if err != nil || !first.PageInfo.HasNextPage || names(first, nil) != "Alba Brenta" {
		t.Fatal(names(first, err))
	}
	if got := names(w.Customers(ctx, a, root, page.Args{First: new(2), After: first.PageInfo.EndCursor}, Filter{})); got != "Dora" {
		t.Errorf("the rest is %s", got)
	}
	leaf, err := w.Find(ctx, a, w.alba.id)
	if err != nil {
		t.Fatal(err)
	}
	for _, level := range []func(context.Context, access.Actor, *Branch, page.Args, Filter) (*page.Connection[*Branch], error){w.Providers, w.Resellers, w.Customers} {
		if got := names(level(ctx, a, leaf, all(), Filter{})); got != "" {
			t.Errorf("under a customer stand %s", got)
		}
	}
	// many branches' counts cost two statements
	keys := []rollup.Key{root.Key(), leaf.Key(), rollup.Pair(w.nord.id, w.bianchi.id), rollup.Pair(w.nord.id, w.verdi.id), rollup.Key(w.brenta.id)}
	before := w.db.Queries()
	got, err := w.Counts(ctx, a, keys)
	if err != nil || w.db.Queries()-before > 2 || got[leaf.Key()].Seats != 13 || got[rollup.Key(w.brenta.id)].Seats != 5 {
		t.Errorf("%d statements: %+v, %v", w.db.Queries()-before, got, err)
	}
}
