// Package scale owns the generated world on which figures are measured:
// providers, resellers, customers and subscriptions in any number, with the
// counts on the tree. Unlike the demo world it is not lived through: a million
// customers would take days by the verbs, so rows are written, in the
// concepts' own types and folded by their own functions.
//
// Invariant: the same sizes and day make the same partners, customers and
// subscriptions; what was written is whole at every moment, counts included,
// and says how far it is, so that a run that was cut goes on where it was.
package scale

import (
	"fmt"
	"strings"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/address"
	"github.com/channelgraph/channelgraph/internal/catalog"
	"github.com/channelgraph/channelgraph/internal/customer"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/partner"
	"github.com/channelgraph/channelgraph/internal/partnership"
	"github.com/channelgraph/channelgraph/internal/region"
	"github.com/channelgraph/channelgraph/internal/rollup"
	"github.com/channelgraph/channelgraph/internal/subscription"
)

// Size is how many there are of each.
type Size struct {
	Providers     int `json:"providers"`
	Resellers     int `json:"resellers"`
	Customers     int `json:"customers"`
	Subscriptions int `json:"subscriptions"`
}

// Full is the size for which the figures are promised.
var Full = Size{Providers: 20, Resellers: 2_000, Customers: 1_000_000, Subscriptions: 3_000_000}

// Check tells what is wrong with a size.
func (z Size) Check() error {
	switch {
	case z.Providers < 1 || z.Providers > 1_000:
		return fmt.Errorf("there are 1 to 1,000 providers, not %d", z.Providers)
	case z.Resellers < 0 || z.Resellers > 100_000:
		return fmt.Errorf("there are 0 to 100,000 resellers, not %d", z.Resellers)
	case z.Customers < 0 || z.Customers > 100_000_000:
		return fmt.Errorf("there are 0 to 100,000,000 customers, not %d", z.Customers)
	case z.Subscriptions < 0 || z.Subscriptions > 100*z.Customers:
		return fmt.Errorf("there are 0 to 100 subscriptions a customer, not %d in all", z.Subscriptions)
	}
	return nil
}

// String is the size in words.
func (z Size) String() string {
	return fmt.Sprintf("%s providers, %s resellers, %s customers, %s subscriptions", Thousands(z.Providers), Thousands(z.Resellers), Thousands(z.Customers), Thousands(z.Subscriptions))
}

// Thousands writes a number with its thousands apart.
func Thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// place is which provider the i-th of many belongs to, and as which one of
// it: the first provider has every second.
func (z Size) place(i int) (provider, nth int) {
	switch {
	case z.Providers == 1:
		return 0, i
	case i%2 == 0:
		return 0, i / 2
	}
	return 1 + i/2%(z.Providers-1), i / 2 / (z.Providers - 1)
}

// at is the inverse of place.
func (z Size) at(provider, nth int) int {
	switch {
	case z.Providers == 1:
		return nth
	case provider == 0:
		return 2 * nth
	}
	return 2*(nth*(z.Providers-1)+provider-1) + 1
}

// share is how many of n belong to a provider.
func (z Size) share(provider, n int) int {
	others := z.Providers - 1
	switch {
	case others == 0:
		return n
	case provider == 0:
		return (n + 1) / 2
	}
	count := n / 2 / others
	if provider-1 < n/2%others {
		count++
	}
	return count
}

// sellers tells who sells to the i-th customer; reseller is -1 for a customer
// that the provider has by itself, as every tenth.
func (z Size) sellers(i int) (provider, reseller int) {
	provider, nth := z.place(i)
	resellers := z.share(provider, z.Resellers)
	if nth%10 == 9 || resellers == 0 {
		return provider, -1
	}
	return provider, z.at(provider, nth*resellers/z.share(provider, z.Customers))
}

// bought is which subscriptions the i-th customer has.
func (z Size) bought(i int) (from, to int) {
	return i * z.Subscriptions / z.Customers, (i + 1) * z.Subscriptions / z.Customers
}

// mix scatters numbers: the same one always alike.
func mix(n int) int {
	x := (uint64(n) + 1) * 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return int((x ^ x>>31) >> 2) // two bits away from a sign
}

func pick[T any](list []T, n int) T { return list[n%len(list)] }

// home is a country that the world is in, with a town and the legal form of
// companies there.
type home struct {
	country, locale, line, form string
	towns, codes                []string
}

var homes = []home{
	{"IT", "it", "Via Roma", "S.r.l.", []string{"Torino", "Padova", "Bari", "Modena"}, []string{"10121", "35122", "70121", "41121"}},
	{"DE", "en", "Hauptstraße", "GmbH", []string{"Kassel", "Ulm", "Bremen", "Jena"}, []string{"34117", "89073", "28195", "07743"}},
	{"FR", "en", "rue de la Gare", "SARL", []string{"Nantes", "Dijon", "Reims", "Tours"}, []string{"44000", "21000", "51100", "37000"}},
	{"ES", "en", "Calle Mayor", "SL", []string{"Zaragoza", "Burgos", "Gijón", "Murcia"}, []string{"50001", "09003", "33201", "30001"}},
	{"NL", "en", "Kerkstraat", "B.V.", []string{"Utrecht", "Breda", "Zwolle", "Delft"}, []string{"3511 AA", "4811 AA", "8011 AA", "2611 AA"}},
	{"GB", "en", "Station Road", "Ltd", []string{"Leeds", "Exeter", "York", "Derby"}, []string{"LS1 4AP", "EX1 1AA", "YO1 7HH", "DE1 2AA"}},
	{"SE", "en", "Storgatan", "AB", []string{"Umeå", "Lund", "Borås", "Gävle"}, []string{"903 26", "222 22", "503 30", "803 20"}},
	{"CH", "en", "Bahnhofstrasse", "AG", []string{"Chur", "Thun", "Zug", "Aarau"}, []string{"7000", "3600", "6300", "5000"}},
}

var (
	stems = []string{"Alder", "Amber", "Anker", "Aurora", "Avalon", "Basalt", "Birch", "Borea", "Brenta", "Calanda", "Cedar", "Celeste", "Cinder", "Clover", "Cobalt",
		"Coral", "Corvo", "Delta", "Dorado", "Eiger", "Elbe", "Ember", "Falcon", "Faro", "Fjord", "Foxglove", "Garnet", "Ginkgo", "Granit", "Hazel", "Heron", "Horizon",
		"Indigo", "Isar", "Ivory", "Jasper", "Juniper", "Kestrel", "Kolibri", "Lagoon", "Larch", "Linden", "Lumen", "Lupin", "Magnolia", "Maple", "Marin", "Meridia",
		"Mistral", "Nebula", "Neptun", "Nimbus", "Nordlicht", "Oliva", "Onyx", "Opal", "Orion", "Osprey", "Palma", "Pegaso", "Pinea", "Polar", "Quarz", "Quercia", "Raven",
		"Rialto", "Rubin", "Saffron", "Sagitta", "Salvia", "Sequoia", "Sierra", "Silex", "Solaris", "Sparrow", "Stella", "Tamaris", "Tanne", "Tempo", "Terra", "Tiber",
		"Topas", "Trident", "Tulipa", "Ultra", "Umbra", "Vega", "Velum", "Verbena", "Vesta", "Viola", "Vulcan", "Walnut", "Willow", "Xenon", "Yarrow", "Zenit", "Zephyr"}
	trades = []string{"Advisory", "Analytics", "Architecture", "Automation", "Bakery", "Biotech", "Breweries", "Ceramics", "Chemicals", "Clinics", "Construction", "Cosmetics",
		"Dental", "Design", "Electronics", "Energy", "Engineering", "Events", "Farms", "Fashion", "Finance", "Fitness", "Foods", "Forestry", "Freight", "Furniture", "Glass",
		"Hotels", "Instruments", "Insurance", "Interiors", "Jewellery", "Laboratories", "Legal", "Lighting", "Logistics", "Machines", "Marine", "Media", "Metals", "Mobility",
		"Optics", "Packaging", "Paper", "Pharma", "Plastics", "Press", "Properties", "Publishing", "Recycling", "Robotics", "Schools", "Security", "Shipping", "Sports", "Steel",
		"Studios", "Textiles", "Timber", "Tools", "Toys", "Travel", "Vineyards", "Watches"}
	givenNames  = []string{"Ada", "Bruno", "Clara", "Dario", "Elin", "Felix", "Greta", "Hugo", "Ines", "Jonas", "Klara", "Luca", "Mara", "Nils", "Olga", "Pablo"}
	familyNames = []string{"Neri", "Vogel", "Moreau", "Castillo", "de Wit", "Archer", "Lindgren", "Keller", "Fontana", "Brandt", "Girard", "Serrano", "Bakker", "Hughes", "Sandberg", "Frei"}
)

// began is how long before its day the world began.
const began = 400 * 24 * time.Hour

// kinds of numbered ids that share a prefix.
const (
	firstProvider = iota << 32
	firstReseller
	firstCustomer
)

// world computes the rows. It does no I/O.
type world struct {
	Size
	day    time.Time
	suffix string
	// admins are the Global admins of the providers.
	admins []ident.ID
	// offers are what is sold in a country, always in the same order.
	offers map[string][]sale
}

// sale is a way in which an offer is sold.
type sale struct {
	offer *catalog.Offer
	term  catalog.Term
	cycle catalog.Cycle
	price catalog.Money
}

func (w *world) start() time.Time { return w.day.Add(-began) }

func (w *world) id(prefix string, n int) ident.ID {
	return ident.Numbered(prefix, w.start(), uint64(n))
} // never negative

// ProviderID is the n-th provider of the world of a day; the first one has
// half of the customers.
func ProviderID(day time.Time, n int) ident.ID {
	return (&world{day: day}).id(ident.Partner, firstProvider+n)
}

// seller is a partner with its organization.
func (w *world) seller(number int) (*account.Organization, *partner.Partner) {
	n, kind, trade := number-firstProvider, access.IndirectProvider, "Distribution"
	if number >= firstReseller {
		n, kind, trade = number-firstReseller, access.IndirectReseller, "Systems"
	}
	at, h := w.start(), homes[n%len(homes)]
	stem := pick(stems, mix(number))
	name := fmt.Sprintf("%s %s %d %s", stem, trade, n+1, h.form)
	domain := strings.ToLower(fmt.Sprintf("%s-%s-%d.example", stem, trade, n+1))
	c, _ := region.Find(h.country)
	o := &account.Organization{ID: w.id(ident.Organization, number), Kind: kind, Name: name, NameFolded: address.Fold(name), Domain: domain, Country: c.Code,
		Locale: h.locale, Version: 1, CreatedAt: at, UpdatedAt: at}
	return o, &partner.Partner{ID: w.id(ident.Partner, number), OrganizationID: o.ID, Kind: kind, Status: partner.Active, ProgrammeID: fmt.Sprint(1_000_000 + number%firstReseller + number/firstReseller*100_000),
		LegalName: name, LegalNameFolded: address.FoldCompany(name), TenantDomain: domain, Website: "https://www." + domain, RegistrableDomain: address.Registrable(domain),
		Country: c.Code, Region: c.Region, Currency: c.Currency, AgreementVersion: "2026-01", AgreementSignedAt: &at, Version: 1, ActivatedAt: &at, CreatedAt: at, UpdatedAt: at}
}

// adminEmail is the address of a partner's Global admin.
func adminEmail(o *account.Organization) string { return "global.admin@" + o.Domain }

// founding is everything but the customers and what they have.
type founding struct {
	organizations []*account.Organization
	partners      []*partner.Partner
	partnerships  []*partnership.Partnership
	counts        rollup.Changes
}

func (w *world) found() *founding {
	f := &founding{counts: rollup.Changes{}}
	add := func(number int) {
		o, p := w.seller(number)
		f.organizations, f.partners = append(f.organizations, o), append(f.partners, p)
	}
	for n := range w.Providers {
		add(firstProvider + n)
	}
	at := w.start().Add(24 * time.Hour)
	for n := range w.Resellers {
		add(firstReseller + n)
		own, _ := w.place(n)
		p, r := f.partners[own], f.partners[len(f.partners)-1]
		f.partnerships = append(f.partnerships, &partnership.Partnership{ID: w.id(ident.Partnership, n), ProviderID: p.ID, ResellerID: r.ID,
			ProviderNameFolded: p.LegalNameFolded, ResellerNameFolded: r.LegalNameFolded, Region: p.Region, Status: partnership.Active, AuthorizedAt: at,
			AdminAccessGrantedAt: &at, Version: 1, UpdatedAt: at})
		f.counts.Add(rollup.Delta{Resellers: 1}, rollup.Operator, rollup.Of(p.ID))
	}
	return f
}

// batch is some customers with all that they have.
type batch struct {
	from, to      int
	organizations []*account.Organization
	customers     []*customer.Customer
	relationships []*customer.Relationship
	agreements    []*customer.Agreement
	subscriptions []*subscription.Subscription
	events        []*subscription.Event
	counts        rollup.Changes
}

func (w *world) batch(from, to int) (*batch, error) {
	b := &batch{from: from, to: to, counts: rollup.Changes{}}
	for i := from; i < to; i++ {
		if err := w.customer(b, i); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// customer adds the i-th customer to a batch.
func (w *world) customer(b *batch, i int) error {
	h := mix(i)
	home, stem, trade := pick(homes, h), pick(stems, h/64), pick(trades, h/8192)
	town := h / (1 << 20) % len(home.towns)
	name := fmt.Sprintf("%s %s %s %s", stem, trade, home.towns[town], home.form)
	domain := strings.ToLower(fmt.Sprintf("%s-%s-%d.%s", stem, trade, i, w.suffix))
	given, family := pick(givenNames, h/(1<<24)), pick(familyNames, h/(1<<28))
	email := strings.ToLower(fmt.Sprintf("%s.%s@%s-%d.example", given, strings.ReplaceAll(family, " ", ""), stem, i))
	at := w.start().Add(48*time.Hour + time.Duration(h%(360*86_400))*time.Second)
	co, _ := region.Find(home.country)
	provider, reseller := w.sellers(i)
	number := firstCustomer + i
	o := &account.Organization{ID: w.id(ident.Organization, number), Kind: access.Customer, Name: name, NameFolded: address.Fold(name), Domain: domain,
		Country: co.Code, Locale: home.locale, Version: 1, CreatedAt: at, UpdatedAt: at}
	c := &customer.Customer{ID: w.id(ident.Customer, i), OrganizationID: o.ID, CompanyName: name, NameFolded: partner.FoldName(name), Domain: domain, Country: co.Code,
		Region: co.Region, Address: partner.Address{Line1: fmt.Sprintf("%s %d", home.line, 1+h%180), City: home.towns[town], PostalCode: home.codes[town], Country: co.Code},
		BillingEmail: email, Locale: home.locale, Status: customer.Active, AgreedAt: &at, Version: 1, CreatedAt: at, UpdatedAt: at}
	b.organizations, b.customers = append(b.organizations, o), append(b.customers, c)
	seller, through := w.id(ident.Partner, firstProvider+provider), ident.ID("")
	if reseller >= 0 {
		through = w.id(ident.Partner, firstReseller+reseller)
	}
	relate := func(n int, partner, with ident.ID, kind customer.Kind) {
		b.relationships = append(b.relationships, &customer.Relationship{ID: w.id(ident.Relationship, 2*i+n), CustomerID: c.ID, PartnerID: partner, Kind: kind,
			CounterpartID: with, Status: customer.Related, NameFolded: c.NameFolded, Domain: c.Domain, Country: c.Country, Version: 1, CreatedAt: at, UpdatedAt: at})
	}
	relate(0, seller, through, customer.AsProvider)
	if through != "" {
		relate(1, through, seller, customer.AsReseller)
	}
	b.agreements = append(b.agreements, &customer.Agreement{ID: w.id(ident.CustomerAgreement, i), CustomerID: c.ID, PartnerID: seller, Kind: customer.Attested,
		FirstName: given, LastName: family, Email: email, AgreedOn: at.Format(time.DateOnly), RecordedByID: w.admins[provider], CreatedAt: at})
	keys := rollup.Sale(seller, through)
	b.counts.Add(rollup.Delta{Customers: 1}, keys...)
	from, to := w.bought(i)
	for k := from; k < to; k++ {
		x, e, err := w.subscription(k, c, seller, through)
		if err != nil {
			return err
		}
		b.subscriptions, b.events = append(b.subscriptions, x), append(b.events, e)
		b.counts.Add(rollup.Delta{Subscriptions: 1, Seats: int64(x.Quantity)}, keys...)
	}
	return nil
}

func (w *world) subscription(k int, c *customer.Customer, seller, through ident.ID) (*subscription.Subscription, *subscription.Event, error) {
	h := mix(1<<40 + k)
	s := pick(w.offers[c.Country], h)
	least := max(s.offer.MinQuantity, 1)
	p := subscription.Purchase{CustomerID: c.ID, OrganizationID: c.OrganizationID, SellerID: seller, ResellerID: through, Country: c.Country,
		OfferID: s.offer.ID, OfferName: s.offer.Name, Quantity: least + h/4096%(min(s.offer.MaxQuantity, least+199)-least+1),
		Term: s.term, BillingCycle: s.cycle, UnitPrice: s.price, AutoRenew: true}
	if s.offer.IncentiveEligible {
		p.AssociatedResellerID = through
	}
	since := c.CreatedAt.Add(time.Hour)
	at := since.Add(time.Duration(h/(1<<22)%int(w.day.Sub(since)/time.Second)) * time.Second)
	return subscription.Standing(w.id(ident.ProductSubscription, k), w.id(ident.SubscriptionEvent, k), p, at, w.day)
}

// sales lists what can be sold by itself in each of the homes: neither add-ons
// nor trials, nor what makes a partner the owner of a tenant.
func sales(offers []*catalog.Offer) (map[string][]sale, error) {
	out := map[string][]sale{}
	for _, h := range homes {
		for _, o := range offers {
			if o.IsAddOn() || o.Trial || o.AzureType {
				continue
			}
			for _, t := range catalog.Terms {
				for _, cycle := range catalog.Cycles {
					if price, problem := catalog.PriceFor(o, h.country, t, cycle); problem == "" {
						out[h.country] = append(out[h.country], sale{o, t, cycle, price})
					}
				}
			}
		}
		if len(out[h.country]) == 0 {
			return nil, fmt.Errorf("nothing is sold in %s", h.country)
		}
	}
	return out, nil
}
