package seed

import (
	"context"
	_ "embed"
	"errors"
	"slices"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/catalog"
	"github.com/channelgraph/channelgraph/internal/customer"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/order"
	"github.com/channelgraph/channelgraph/internal/page"
	"github.com/channelgraph/channelgraph/internal/partner"
	"github.com/channelgraph/channelgraph/internal/subscription"
)

// offers is the demo's catalogue: what the operator publishes itself and what
// others do, with add-ons, trials and a consumption plan, priced for the
// regions and currencies in which the demo sells.
//
//go:embed catalog.csv
var offers []byte

// stock fills the catalogue as the operator does.
func (w *World) stock(ctx context.Context, tx *database.Tx, d Deps) error {
	chief, err := access.Load(ctx, tx, access.Presence{UserID: w.users[operatorAdmin]})
	if err != nil {
		return err
	}
	if _, err := d.Catalog.ImportTx(ctx, tx, chief, catalog.CSV, "catalog.csv", offers); err != nil {
		return err
	}
	found, err := d.Catalog.BySKUTx(ctx, tx)
	for sku, o := range found {
		w.offers[sku] = o.ID
	}
	return err
}

// buyer is a customer that a seller adds; its first administrator gets a link
// to choose a password.
type buyer struct {
	name, prefix                         string
	country, line1, city, postcode, code string // code: the state's
	phone                                string
	first, last, email                   string
	azure                                bool
}

// buyers are the customers that are added in the demo's past, by the prefixes
// of their domains.
var buyers = []buyer{
	{name: "Molino Rossi S.p.A.", prefix: "molino-rossi", country: "IT", line1: "Via Emilia Est 112", city: "Parma", postcode: "43123", phone: "+39 0521 555 0410",
		first: "Federica", last: "Rossi", email: "federica.rossi@molino-rossi.example"},
	{name: "Brauerei Lindenhof GmbH", prefix: "lindenhof", country: "DE", line1: "Brauhausgasse 3", city: "Bamberg", postcode: "96049", phone: "+49 951 555 0420",
		first: "Katrin", last: "Lindner", email: "katrin.lindner@lindenhof-braeu.example"},
	{name: "Imprimerie Saint-Clair SAS", prefix: "saint-clair", country: "FR", line1: "7 quai Saint-Clair", city: "Lyon", postcode: "69001", phone: "+33 4 55 55 04 30",
		first: "Hugo", last: "Marchand", email: "hugo.marchand@saint-clair.example"},
	{name: "Stadtwerke Aurach GmbH", prefix: "stadtwerke-aurach", country: "DE", line1: "Wasserwerkstraße 1", city: "Ansbach", postcode: "91522", phone: "+49 981 555 0440",
		first: "Dirk", last: "Sommer", email: "dirk.sommer@stadtwerke-aurach.example"},
	{name: "Cedar Falls Dental Group", prefix: "cedar-dental", country: "US", line1: "410 Main Street", city: "Cedar Falls", postcode: "50613", code: "IA", phone: "+1 319 555 0145",
		first: "Rachel", last: "Moreno", email: "rachel.moreno@cedar-dental.example"},
	{name: "Blue Harbor Logistics Inc.", prefix: "blue-harbor", country: "US", line1: "2200 Wealthy Street", city: "Grand Rapids", postcode: "49506", code: "MI", phone: "+1 616 555 0146",
		first: "Owen", last: "Tucker", email: "owen.tucker@blue-harbor.example"},
	{name: "Säntis Medizinaltechnik AG", prefix: "saentis-med", country: "CH", line1: "Bahnhofstrasse 12", city: "Herisau", postcode: "9100", phone: "+41 71 555 04 70",
		first: "Beat", last: "Ammann", email: "beat.ammann@saentis-med.example", azure: true},
	{name: "Bergbahnen Oberalp AG", prefix: "bergbahnen-oberalp", country: "CH", line1: "Talstation 1", city: "Andermatt", postcode: "6490", phone: "+41 41 555 04 80",
		first: "Ursina", last: "Danioth", email: "ursina.danioth@oberalp-bahnen.example"},
	{name: "Harcourt & Lowe Solicitors LLP", prefix: "harcourt-lowe", country: "GB", line1: "14 Castle Street", city: "Bristol", postcode: "BS1 3XD", phone: "+44 117 555 0149",
		first: "Imogen", last: "Lowe", email: "imogen.lowe@harcourt-lowe.example"},
}

// item is a line to order.
type item struct {
	sku      string
	quantity int
	term     catalog.Term
	cycle    catalog.Cycle
	called   string
}

const (
	sales    = "sales.agent@nordwind.example"
	rhine    = "global.admin@rhinevalley.example"
	lakes    = "global.admin@greatlakes.example"
	alps     = "sales.agent@alpenblick.example"
	officine = "global.admin@officine-ferrari.example"
)

// firstCustomers are sold to in the first days: what they bought for a month
// has run out by now.
func (p *past) firstCustomers() {
	p.add(sales, "", "molino-rossi",
		item{sku: "MW-BUS-PREM", quantity: 45, term: catalog.OneYear, cycle: catalog.Annual, called: "Uffici di Parma"},
		item{sku: "MW-PHONE", quantity: 12, term: catalog.OneYear, cycle: catalog.Monthly},
		item{sku: "MS-ENDPOINT-2-TRIAL", quantity: 10, term: catalog.OneMonth, cycle: catalog.Monthly}) // ends without a renewal
	p.add(sales, "hofmann.example", "lindenhof",
		item{sku: "MW-BUS-STD", quantity: 30, term: catalog.OneYear, cycle: catalog.Monthly},
		item{sku: "MW-MAIL-1", quantity: 22, term: catalog.OneYear, cycle: catalog.Annual, called: "Sudhaus und Lager"})
	p.add(sales, "atelier.example", "saint-clair",
		item{sku: "MW-BUS-BASIC", quantity: 18, term: catalog.OneMonth, cycle: catalog.Monthly},
		item{sku: "PS-SIGN", quantity: 5, term: catalog.OneYear, cycle: catalog.Annual})
	p.add(rhine, "hofmann.example", "stadtwerke-aurach",
		item{sku: "MW-ENT-3", quantity: 220, term: catalog.OneYear, cycle: catalog.Annual},
		item{sku: "MS-COMPLIANCE", quantity: 60, term: catalog.OneYear, cycle: catalog.Annual})
	p.add(lakes, "redwood.example", "cedar-dental",
		item{sku: "MW-BUS-BASIC", quantity: 24, term: catalog.OneYear, cycle: catalog.Monthly})
	p.add(lakes, "", "blue-harbor",
		item{sku: "MW-FRONT-1", quantity: 140, term: catalog.OneYear, cycle: catalog.Monthly},
		item{sku: "MB-BI-PRO", quantity: 12, term: catalog.OneMonth, cycle: catalog.Monthly}) // renewed by itself
	p.settle()
	p.with(sales, "lindenhof MW-BUS-STD", func(a access.Actor, id ident.ID) error {
		hofmann := p.w.partners["hofmann.example"]
		_, err := p.d.Subscriptions.AssociateReseller(p.ctx, a, subscription.AssociateInput{SubscriptionID: id, ResellerID: &hofmann})
		return err
	})
	p.with("admin.agent@nordwind.example", "lindenhof MW-BUS-STD", func(a access.Actor, id ident.ID) error {
		hofmann := p.w.partners["hofmann.example"]
		_, err := p.d.Subscriptions.DesignateSupportContact(p.ctx, a, subscription.DesignateInput{SubscriptionID: id, PartnerID: &hofmann})
		return err
	})
	p.with(sales, "saint-clair MW-BUS-BASIC", p.suspend) // until its month is over
}

// laterCustomers come in the weeks after: Officine Ferrari, which was there
// already, is asked by two partners and has both.
func (p *past) laterCustomers() {
	p.add(alps, "", "saentis-med",
		item{sku: "MC-PLAN", quantity: 1, term: catalog.OneMonth, cycle: catalog.Monthly},
		item{sku: "MC-RESERVED-S", quantity: 6, term: catalog.ThreeYears, cycle: catalog.Triennial})
	p.add(alps, "", "bergbahnen-oberalp",
		item{sku: "NB-SERVER", quantity: 4, term: catalog.OneYear, cycle: catalog.Annual},
		item{sku: "MW-ROOMS", quantity: 3, term: catalog.OneYear, cycle: catalog.Annual})
	p.court(sales, officine, "", customer.Delegation{Roles: []customer.Role{customer.AccountAdmin}, Days: 25})
	p.accept(officine, true)
	p.court(alps, officine, "", customer.Delegation{})
	p.accept(officine, false)
	p.buy(sales, "officine-ferrari.example",
		item{sku: "MW-BUS-STD", quantity: 80, term: catalog.OneYear, cycle: catalog.Annual},
		item{sku: "MB-PROJECT-3", quantity: 6, term: catalog.OneYear, cycle: catalog.Annual, called: "Ufficio tecnico"})
	p.buy(alps, "officine-ferrari.example", item{sku: "FS-GUARD", quantity: 80, term: catalog.OneYear, cycle: catalog.Annual})
	p.settle()
	p.with(alps, "bergbahnen-oberalp NB-SERVER", func(a access.Actor, id ident.ID) error {
		_, err := p.d.Subscriptions.Cancel(p.ctx, a, subscription.TargetInput{SubscriptionID: id})
		return err
	})
	p.with(sales, "lindenhof MW-MAIL-1", p.suspend)
}

// newestCustomers leave the latest traces: an order of which one line failed,
// a draft, an invitation that waits.
func (p *past) newestCustomers() {
	p.add(sales, "kettering.example", "harcourt-lowe",
		item{sku: "MW-ENT-1", quantity: 16, term: catalog.OneYear, cycle: catalog.Monthly},
		item{sku: "MS-MAILGUARD", quantity: 16, term: catalog.OneYear, cycle: catalog.Monthly})
	p.buy(sales, "officine-ferrari.example",
		item{sku: "MB-VISIO", quantity: 4, term: catalog.OneYear, cycle: catalog.Annual},
		item{sku: "CC-CAD", quantity: 4, term: catalog.OneYear, cycle: catalog.Annual, called: "Progettazione"}) // its publisher refuses
	p.as(sales, func(a access.Actor) error {
		_, err := p.d.Orders.Start(p.ctx, a, order.StartInput{Newcomer: &order.NewcomerInput{Details: &customer.Details{CompanyName: "Frantoio Salento S.r.l.",
			DomainPrefix: "frantoio-salento", Address: partner.Address{City: "Lecce", Country: "IT"}}},
			Lines: p.lines([]item{{sku: "MW-BUS-BASIC", quantity: 9, term: catalog.OneYear, cycle: catalog.Monthly}})})
		return err
	})
	p.court("global.admin@atelier.example", "direction@verrerie-marchal.example", "nordwind.example",
		customer.Delegation{Roles: []customer.Role{customer.AccountAdmin}, Days: 365, AutoExtend: true})
}

func (p *past) suspend(a access.Actor, id ident.ID) error {
	_, err := p.d.Subscriptions.Suspend(p.ctx, a, subscription.TargetInput{SubscriptionID: id})
	return err
}

func (p *past) lines(items []item) []order.LineInput {
	var out []order.LineInput
	for _, i := range items {
		l := order.LineInput{OfferID: p.w.offers[i.sku], Quantity: i.quantity, Term: i.term, BillingCycle: i.cycle}
		if i.called != "" {
			l.FriendlyName = &i.called
		}
		out = append(out, l)
	}
	return out
}

// add orders for a company that is not here yet.
func (p *past) add(seller, reseller, prefix string, items ...item) {
	i := slices.IndexFunc(buyers, func(b buyer) bool { return b.prefix == prefix })
	b := buyers[i]
	in := order.StartInput{Lines: p.lines(items), Newcomer: &order.NewcomerInput{
		Details: &customer.Details{CompanyName: b.name, DomainPrefix: b.prefix, BillingEmail: b.email, Phone: b.phone, AzureType: b.azure,
			Address: partner.Address{Line1: b.line1, City: b.city, PostalCode: b.postcode, State: b.code, Country: b.country}},
		Admin: &order.Admin{Email: b.email, FirstName: b.first, LastName: b.last}}}
	if reseller != "" {
		id := p.w.partners[reseller]
		in.ResellerID = &id
	}
	p.as(seller, func(a access.Actor) error {
		in.Newcomer.Agreement = &customer.Attestation{FirstName: b.first, LastName: b.last, Email: b.email, AgreedOn: p.d.DB.Now().Format("2006-01-02")}
		return p.order(a, prefix, items, in)
	})
}

// buy orders for a customer that is here, by its domain.
func (p *past) buy(seller, domain string, items ...item) {
	p.as(seller, func(a access.Actor) error {
		found, err := p.d.Customers.List(p.ctx, a, page.Args{}, nil, customer.Filter{Search: &domain})
		if err != nil {
			return err
		}
		if len(found.Edges) != 1 {
			return errors.New("the demo's customer is missing")
		}
		id := found.Edges[0].Node.ID
		return p.order(a, domain, items, order.StartInput{CustomerID: &id, Lines: p.lines(items)})
	})
}

// order takes an order through its steps and remembers what it became, by
// customer and SKU.
func (p *past) order(a access.Actor, whose string, items []item, in order.StartInput) error {
	o, err := p.d.Orders.Start(p.ctx, a, in)
	if err != nil {
		return err
	}
	if _, err := p.d.Orders.Review(p.ctx, a, order.ReviewInput{OrderID: o.ID}); err != nil {
		return err
	}
	done, err := p.d.Orders.Submit(p.ctx, a, order.SubmitInput{OrderID: o.ID})
	if err != nil {
		return err
	}
	for n, l := range done.Order.Lines {
		p.bought[whose+" "+items[n].sku] = l.SubscriptionID
	}
	return nil
}

// with runs fn on what was bought.
func (p *past) with(who, what string, fn func(a access.Actor, id ident.ID) error) {
	p.as(who, func(a access.Actor) error { return fn(a, p.bought[what]) })
}

// court invites an existing customer, a reseller together with a provider.
func (p *past) court(from, to, provider string, d customer.Delegation) {
	p.as(from, func(a access.Actor) error {
		in := customer.InviteInput{Email: to, Delegation: d}
		if provider != "" {
			id := p.w.partners[provider]
			in.ProviderID = &id
		}
		_, err := p.d.Customers.Invite(p.ctx, a, in)
		return err
	})
	p.settle()
}

// accept takes the one open invitation of a customer.
func (p *past) accept(to string, delegate bool) {
	p.as(to, func(a access.Actor) error {
		list, err := p.d.Customers.Received(p.ctx, a)
		if err != nil {
			return err
		}
		if len(list) != 1 {
			return errors.New("the demo's customer was not asked")
		}
		_, err = p.d.Customers.Accept(p.ctx, a, customer.AcceptInput{InvitationID: &list[0].ID, Confirmed: true, AcceptAgreement: true, Delegate: delegate})
		return err
	})
	p.settle()
}
