// Package seed owns the demo world: believable companies, one account for
// each kind of party and role, and a past in which partnerships were asked
// for, authorized, declined and forgotten. It acts only through the concepts'
// own verbs and never writes a table.
package seed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/agreement"
	"github.com/channelgraph/channelgraph/internal/catalog"
	"github.com/channelgraph/channelgraph/internal/customer"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/directory"
	"github.com/channelgraph/channelgraph/internal/enrollment"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/file"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/invitation"
	"github.com/channelgraph/channelgraph/internal/order"
	"github.com/channelgraph/channelgraph/internal/page"
	"github.com/channelgraph/channelgraph/internal/partner"
	"github.com/channelgraph/channelgraph/internal/partnership"
	"github.com/channelgraph/channelgraph/internal/register"
	"github.com/channelgraph/channelgraph/internal/secret"
	"github.com/channelgraph/channelgraph/internal/subscription"
	"github.com/channelgraph/channelgraph/internal/support"
)

// Past is how long before now the demo world begins.
const Past = 36 * 24 * time.Hour

// Deps is what the demo world acts through.
type Deps struct {
	DB            *database.DB
	Accounts      *account.Service
	Partners      *partner.Service
	Invitations   *invitation.Service
	Partnerships  *partnership.Service
	Files         *file.Service
	Registers     *register.Service
	Enrollments   *enrollment.Service
	Agreements    *agreement.Service
	Directory     *directory.Service
	Support       *support.Service
	Customers     *customer.Service
	Catalog       *catalog.Service
	Subscriptions *subscription.Service
	Orders        *order.Service
	// Keys derive the links that the demo's people follow.
	Keys *secret.Keys
	// Advance moves the clock and handles what falls due.
	Advance func(ctx context.Context, d time.Duration) error
	// Bounce makes the newest mail to an address come back; nil without a
	// development mailbox.
	Bounce func(ctx context.Context, to string) error
}

// Account is one demo account, as demo.json keeps it.
type Account struct {
	Organization string      `json:"organization"`
	Kind         access.Kind `json:"kind"`
	Role         access.Role `json:"role"`
	Email        string      `json:"email"`
	Password     string      `json:"password"` // the demo's own, known on purpose
}

// World is the demo world.
type World struct {
	Accounts []Account
	users    map[string]ident.ID // by email
	partners map[string]ident.ID // by domain
	offers   map[string]ident.ID // by SKU
}

type company struct {
	name, domain, country string
	kind                  access.Kind
	locale                string
	status                partner.Status
	unsigned              bool
	registration          string
	website               string
	// every role has an account; otherwise a Global admin alone.
	everyRole bool
}

// companies are the parties of the demo world. Domains end in .example, which
// nobody can own.
var companies = []company{
	{name: "Meridian Cloud Programme", domain: "meridian.example", country: "IE", kind: access.Operator, locale: "en", everyRole: true},
	{name: "Nordwind Distribuzione S.p.A.", domain: "nordwind.example", country: "IT", kind: access.IndirectProvider, locale: "it", everyRole: true,
		registration: "IT01234567890", website: "https://www.nordwind.example"},
	{name: "Rhine Valley Distribution GmbH", domain: "rhinevalley.example", country: "DE", kind: access.IndirectProvider, locale: "en"},
	{name: "Great Lakes Distribution Inc.", domain: "greatlakes.example", country: "US", kind: access.IndirectProvider, locale: "en"},
	{name: "Bianchi Informatica S.r.l.", domain: "bianchi.example", country: "IT", kind: access.IndirectReseller, locale: "it", everyRole: true},
	{name: "Hofmann IT Systeme GmbH", domain: "hofmann.example", country: "DE", kind: access.IndirectReseller, locale: "en"},
	{name: "Atelier Numérique SARL", domain: "atelier.example", country: "FR", kind: access.IndirectReseller, locale: "en"},
	{name: "Kettering Cloud Services Ltd", domain: "kettering.example", country: "GB", kind: access.IndirectReseller, locale: "en"},
	{name: "Redwood Systems LLC", domain: "redwood.example", country: "US", kind: access.IndirectReseller, locale: "en"},
	{name: "Costa Servizi Digitali S.r.l.", domain: "costa.example", country: "IT", kind: access.IndirectReseller, locale: "it", unsigned: true},
	{name: "Vesuvio Cloud S.r.l.", domain: "vesuvio.example", country: "IT", kind: access.IndirectReseller, locale: "it", status: partner.Suspended},
	{name: "Nordwind Retail S.r.l.", domain: "nordwind-retail.example", country: "IT", kind: access.IndirectReseller, locale: "it"},
	{name: "Alpenblick Cloud AG", domain: "alpenblick.example", country: "CH", kind: access.DirectBill, locale: "en", everyRole: true},
	{name: "Officine Ferrari Meccanica S.r.l.", domain: "officine-ferrari.example", country: "IT", kind: access.Customer, locale: "it", everyRole: true},
	{name: "Øresund Cloud Distribution A/S", domain: "oresund.example", country: "DK", kind: access.IndirectProvider, locale: "en"},
	{name: "Sakura Cloud Distribution K.K.", domain: "sakura.example", country: "JP", kind: access.IndirectProvider, locale: "en"},
}

// people are the names of the demo accounts, in turn.
var people = [][2]string{
	{"Giulia", "Bianchi"}, {"Marco", "Rinaldi"}, {"Anna", "Keller"}, {"Luca", "Ferrante"}, {"Sofia", "Moretti"}, {"Jonas", "Weber"},
	{"Elena", "Conti"}, {"Paul", "Bennett"}, {"Claire", "Dubois"}, {"Matteo", "Galli"}, {"Hannah", "Fischer"}, {"Davide", "Serra"},
	{"Nora", "Lindqvist"}, {"Pietro", "Valenti"}, {"Emma", "Clarke"}, {"Tommaso", "Greco"}, {"Lena", "Vogel"}, {"Chiara", "Russo"},
}

// Plan makes the accounts with fresh passwords; nothing is written yet.
func Plan() *World {
	w := &World{users: map[string]ident.ID{}, partners: map[string]ident.ID{}, offers: map[string]ident.ID{}}
	for _, c := range companies {
		roles := []access.Role{access.GlobalAdmin}
		if c.everyRole {
			roles = access.RolesOf(c.kind)
		}
		for _, r := range roles {
			local := strings.ToLower(strings.ReplaceAll(string(r), "_", "."))
			w.Accounts = append(w.Accounts, Account{Organization: c.name, Kind: c.kind, Role: r, Email: local + "@" + c.domain, Password: secret.NewPassword().Reveal()})
		}
	}
	for _, a := range applicants {
		w.Accounts = append(w.Accounts, Account{Organization: a.name, Kind: access.IndirectReseller, Role: access.GlobalAdmin, Email: a.admin(), Password: secret.NewPassword().Reveal()})
	}
	return w
}

// password is a demo account's.
func (w *World) password(email string) string {
	i := slices.IndexFunc(w.Accounts, func(a Account) bool { return a.Email == email })
	return w.Accounts[i].Password
}

// Found writes organizations, users and partners in one transaction.
func (w *World) Found(ctx context.Context, tx *database.Tx, d Deps) error {
	actor := access.System("demo")
	n := 0
	for _, c := range companies {
		org, err := w.foundCompany(ctx, tx, d, actor, c, &n)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		for _, a := range w.Accounts {
			if a.Organization != c.name || w.users[a.Email] != "" {
				continue
			}
			name := people[n%len(people)]
			n++
			roles := []access.Role{a.Role}
			u, _, err := d.Accounts.AddUser(ctx, tx, actor, org, account.NewUser{Email: a.Email, FirstName: name[0], LastName: name[1],
				Locale: c.locale, Roles: roles, Password: secret.String(a.Password)})
			if err != nil {
				return fmt.Errorf("%s: %w", a.Email, err)
			}
			w.users[a.Email] = u.ID
		}
	}
	if err := w.foundApplicants(ctx, tx, d, actor); err != nil {
		return err
	}
	if err := w.publish(ctx, tx, d); err != nil {
		return err
	}
	if err := w.stock(ctx, tx, d); err != nil {
		return err
	}
	_, err := d.Partners.AffiliateTx(ctx, tx, actor, w.partners["nordwind.example"], w.partners["nordwind-retail.example"])
	return err
}

// foundCompany makes one organization; partners come with their first Global
// admin, who is an Admin agent too.
func (w *World) foundCompany(ctx context.Context, tx *database.Tx, d Deps, actor access.Actor, c company, n *int) (*account.Organization, error) {
	if c.kind == access.Operator || c.kind == access.Customer {
		return d.Accounts.Found(ctx, tx, actor, account.NewOrganization{Kind: c.kind, Name: c.name, Domain: c.domain, Country: c.country, Locale: c.locale})
	}
	i := slices.IndexFunc(w.Accounts, func(a Account) bool { return a.Organization == c.name && a.Role == access.GlobalAdmin })
	first := w.Accounts[i]
	name := people[*n%len(people)]
	*n++
	in := partner.RegisterInput{Kind: c.kind, LegalName: c.name, TenantDomain: c.domain, Country: c.country,
		Admin: partner.Admin{Email: first.Email, FirstName: name[0], LastName: name[1], Locale: &c.locale}}
	if c.status != "" {
		in.Status = &c.status
	}
	if !c.unsigned {
		signed, version := tx.Now.Add(-24*time.Hour), agreementNumber
		in.AgreementSignedAt, in.AgreementVersion = &signed, &version
	}
	if c.registration != "" {
		in.RegistrationID, in.Website = &c.registration, &c.website
	}
	if err := in.Validate(tx.Now); err != nil {
		return nil, err
	}
	r, err := d.Partners.RegisterTx(ctx, tx, actor, in, secret.String(first.Password))
	if err != nil {
		return nil, err
	}
	w.users[first.Email], w.partners[c.domain] = r.Admin.ID, r.Partner.ID
	orgs, err := d.Accounts.OrganizationsTx(ctx, tx, actor, []ident.ID{r.Partner.OrganizationID})
	return orgs[r.Partner.OrganizationID], err
}

// as is a demo account, freshly signed in.
func (w *World) as(ctx context.Context, d Deps, email string) (access.Actor, error) {
	return access.Load(ctx, d.DB.Read(), access.Presence{UserID: w.users[email], SudoUntil: d.DB.Now().Add(time.Hour)})
}

// Live gives the world its past: five weeks of asking, answering, enrolling
// and selling.
func (w *World) Live(ctx context.Context, d Deps) error {
	const nordwind = "global.admin@nordwind.example"
	p := &past{w: w, d: d, ctx: ctx, bought: map[string]ident.ID{}}
	day := 24 * time.Hour

	p.registers()
	p.apply("adige-software.example") // straight through
	p.settle()
	p.approve("adige-software.example")
	p.sign("adige-software.example")
	p.submit("lumen-cloud.example") // nobody confirms: expires after reminders
	p.authorize(nordwind, "global.admin@hofmann.example")
	p.authorize(nordwind, "global.admin@atelier.example")
	p.authorize("global.admin@rhinevalley.example", "global.admin@hofmann.example")
	billing := p.help("global.admin@nordwind.example", support.High, "Fattura di ottobre", "La fattura di ottobre elenca un rivenditore che non è nostro. Potete controllare?")
	p.handle(reviewer, billing, "The reseller is Costa; its first order went to the wrong account.")
	p.reply(reviewer, billing, "You are right. The corrected invoice is on its way.", false)
	p.authorize("global.admin@greatlakes.example", "global.admin@redwood.example")
	for _, domain := range []string{"nordwind.example", "rhinevalley.example", "greatlakes.example", "oresund.example", "sakura.example"} {
		p.list(domain)
	}
	p.show("nordwind.example", "Nordwind Distribuzione", "", "https://www.nordwind.example/rivenditori")
	p.show("rhinevalley.example", "Rhine Valley Distribution", "", "https://www.rhinevalley.example/resellers")
	p.show("greatlakes.example", "Great Lakes Distribution", "", "https://www.greatlakes.example/partners")
	p.show("oresund.example", "Øresund Cloud", "", "https://www.oresund.example/forhandlere")
	p.firstCustomers()
	p.advance(day)
	p.file("sakura.example", "Sakura Cloud", "", "https://www.sakura.example/en/resellers", false) // nobody takes it: the promise breaks
	p.file("greatlakes.example", "Best Distribution in America", "", "https://www.greatlakes.example/partners", false)
	p.withdrawAdminAccess("global.admin@atelier.example")
	p.invite(nordwind, "titolare@studio-lombardi.example", "") // nobody answers: expires after reminders
	p.advance(12 * day)
	p.refuse("greatlakes.example", "The directory shows the company's name, and this is praise.")
	p.file("rhinevalley.example", "Rhine Valley Distribution GmbH & Co. KG", "", "https://www.rhinevalley.example/resellers", false)
	p.takeBack("rhinevalley.example")
	p.close("global.admin@nordwind.example", billing, "Ricevuta, grazie.")
	p.apply("vallone.example")
	p.reject("vallone.example", enrollment.NotABusiness, "The register knows a property of this address, and no business.")
	p.apply("tamsin-it.example")
	p.reject("tamsin-it.example", enrollment.NameMismatch, "The certificate says Tamsin IT Limited.")
	p.decline("global.admin@rhinevalley.example", "global.admin@kettering.example", "We already buy from another distributor in the United Kingdom.")
	p.invite(nordwind, "vecchio.indirizzo@delta-impianti.example", "")
	p.bounce("vecchio.indirizzo@delta-impianti.example")
	p.advance(4 * day)
	p.file("oresund.example", "Øresund Cloud Sverige", "SE", "https://www.oresund.example/aterforsaljare", true) // past its target by now
	p.take("oresund.example")
	p.advance(9 * day)
	p.file("rhinevalley.example", "Rhine Valley Distribution Austria", "AT", "https://www.rhinevalley.example/at", true)
	p.laterCustomers()
	p.apply("ostsee-daten.example") // nobody decides: the promise breaks
	late := p.help("global.admin@bianchi.example", support.Normal, "Accesso come amministratore", "Il nostro agente non vede i clienti che gestisce. Che ruolo gli serve?")
	p.advance(4 * day)
	p.handle(reviewer, late, "Nobody looked at this one on Friday.")
	p.apply("polder-systems.example")
	p.apply("arlberg-netz.example")
	p.settle()
	p.question("rhinevalley.example", "The page for Austria is not there yet. When will it be?")
	p.ask("polder-systems.example", "The business register has your number under another name. Please send an extract, or the decision on the new name.",
		enrollment.RegistrationExtract, enrollment.TaxDocument)
	p.approve("arlberg-netz.example") // and does not sign
	p.advance(3 * day)
	p.appeal("tamsin-it.example", "We changed our name to Tamsin IT Services Ltd in March; Companies House has it on record.")
	p.apply("puerto-digital.example") // the contact's domain is another one
	p.submit("tallin-data.example")
	p.answerLink("tallin-data.example", d.Enrollments.Disown)
	p.submit("etna-cloud.example")
	p.authorize(nordwind, "global.admin@kettering.example")
	p.advance(2 * day)
	p.file("greatlakes.example", "Great Lakes Distribution Central", "US", "https://www.greatlakes.example/central", false)
	p.submit("brenta-reti.example")
	p.withdraw("brenta-reti.example")
	p.draft("brenta-reti.example", func(c *enrollment.Corrections) { c.Legal.Address, c.Support = nil, nil })
	p.move("adige-software.example", "Via Giambattista Trener 10", "Trento", "38121")
	p.terminate("global.admin@hofmann.example", "rhinevalley.example", "We bundle our purchases with one provider.")
	waiting := p.help("global.admin@hofmann.example", support.Low, "Ending our partnership", "Until when can we still order through Rhine Valley?", p.aboutEnd("rhinevalley.example"))
	p.handle(reviewer, waiting, "Ask Rhine Valley for the open orders first.")
	p.reply(reviewer, waiting, "Until the partnership has ended. Which orders do you still expect?", true)
	p.takeEnd(reviewer)
	p.newestCustomers()
	p.invite(nordwind, "acquisti@laguna-software.example", "Come d'accordo al telefono: se autorizzate la nostra partnership possiamo seguire insieme i vostri clienti.")
	return p.err
}

// past runs verbs one after the other until one fails.
type past struct {
	w      *World
	d      Deps
	bought map[string]ident.ID // subscriptions by customer and SKU
	ctx    context.Context     // lives for one call of Live
	err    error
}

func (p *past) advance(by time.Duration) {
	if p.err == nil {
		p.err = p.d.Advance(p.ctx, by)
	}
}

func (p *past) settle() { p.advance(0) }

func (p *past) as(email string, fn func(a access.Actor) error) {
	if p.err != nil {
		return
	}
	a, err := p.w.as(p.ctx, p.d, email)
	if err == nil {
		err = fn(a)
	}
	if f := fault.As(err); f != nil && f.Code == invitation.CodePending {
		err = nil
	}
	if err != nil {
		p.err = fmt.Errorf("as %s: %w", email, err)
	}
}

func (p *past) invite(from, to, note string) {
	p.as(from, func(a access.Actor) error {
		in := partnership.RequestInput{Email: to}
		if note != "" {
			l, err := p.d.Partnerships.Link(p.ctx, a)
			if err != nil {
				return err
			}
			text := note + "\n\n" + l.URL
			in.Text = &text
		}
		_, err := p.d.Partnerships.Request(p.ctx, a, in)
		return err
	})
	p.settle()
}

// received finds the one open invitation of an account.
func (p *past) received(to string, fn func(a access.Actor, i *invitation.Invitation) error) {
	p.as(to, func(a access.Actor) error {
		list, err := p.d.Partnerships.Received(p.ctx, a)
		if err != nil {
			return err
		}
		if len(list) != 1 {
			return errors.New("the demo invitation did not arrive")
		}
		return fn(a, list[0])
	})
	p.settle()
}

func (p *past) authorize(from, to string) {
	p.invite(from, to, "")
	p.received(to, func(a access.Actor, i *invitation.Invitation) error {
		_, err := p.d.Partnerships.Accept(p.ctx, a, partnership.AcceptInput{InvitationID: &i.ID, Confirmed: true})
		return err
	})
}

func (p *past) decline(from, to, reason string) {
	p.invite(from, to, "")
	p.received(to, func(a access.Actor, i *invitation.Invitation) error {
		_, err := p.d.Partnerships.Decline(p.ctx, a, partnership.DeclineInput{InvitationID: &i.ID, Reason: reason})
		return err
	})
}

func (p *past) bounce(to string) {
	if p.err == nil && p.d.Bounce != nil {
		p.err = p.d.Bounce(p.ctx, to)
		p.settle()
	}
}

// partnership reads an account's partnerships and picks the one with a partner.
func (p *past) partnership(a access.Actor, provider string) (*partnership.Partnership, error) {
	list, err := p.d.Partnerships.List(p.ctx, a, partnership.AsReseller, "", page.Args{}, nil, partnership.Filter{})
	if err != nil {
		return nil, err
	}
	for _, e := range list.Edges {
		if provider == "" || e.Node.ProviderID == p.w.partners[provider] {
			return e.Node, nil
		}
	}
	return nil, errors.New("the demo partnership is missing")
}

func (p *past) withdrawAdminAccess(reseller string) {
	p.as(reseller, func(a access.Actor) error {
		ps, err := p.partnership(a, "")
		if err != nil {
			return err
		}
		_, err = p.d.Partnerships.WithdrawAdminAccess(p.ctx, a, partnership.WithdrawAdminAccessInput{PartnershipID: ps.ID})
		return err
	})
	p.settle()
}

func (p *past) terminate(reseller, provider, reason string) {
	p.as(reseller, func(a access.Actor) error {
		ps, err := p.partnership(a, provider)
		if err != nil {
			return err
		}
		_, err = p.d.Partnerships.RequestTermination(p.ctx, a, partnership.RequestTerminationInput{PartnershipID: ps.ID, Reason: reason})
		return err
	})
	p.settle()
}

// Print writes the accounts as a table.
func (w *World) Print(out io.Writer) {
	t := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "  ORGANIZATION\tKIND\tROLE\tEMAIL\tPASSWORD")
	for _, a := range w.Accounts {
		_, _ = fmt.Fprintf(t, "  %s\t%s\t%s\t%s\t%s\n", a.Organization, a.Kind, a.Role, a.Email, a.Password)
	}
	_ = t.Flush()
}
