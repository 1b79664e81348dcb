package customer

import (
	"slices"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/partner"
	"github.com/channelgraph/channelgraph/internal/partnership"
)

var now = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

func firm(id ident.ID, kind access.Kind) *partner.Partner {
	return &partner.Partner{ID: "par_" + id, OrganizationID: "org_" + id, Kind: kind, Status: partner.Active, TenantDomain: string(id) + ".example",
		RegistrableDomain: string(id) + ".example", LegalNameFolded: string(id), Country: "IT", Region: "EUROPE", AgreementSignedAt: &now}
}

// The eight scenarios of spec section 6, each with the answer, and those that
// are refused with the ways out that the next step names.
func TestScenarios(t *testing.T) {
	t.Parallel()
	direct, provider, other := firm("direct", access.DirectBill), firm("provider", access.IndirectProvider), firm("other", access.IndirectProvider)
	reseller, second := firm("reseller", access.IndirectReseller), firm("second", access.IndirectReseller)
	buyer := func(change ...func(*Buyer)) Buyer {
		b := Buyer{OrganizationID: "org_buyer", Region: "EUROPE", Known: true, Agreed: true, Facts: partner.Facts{Country: "IT", Domain: "buyer.customers.example"}}
		for _, c := range change {
			c(&b)
		}
		return b
	}
	house := func(ps ...*partner.Partner) func(*Buyer) { return func(b *Buyer) { b.House = ps } }
	tenantOf := func(p *partner.Partner) func(*Buyer) {
		return func(b *Buyer) {
			b.OrganizationID, b.Facts.Domain, b.House = p.OrganizationID, p.TenantDomain, append(b.House, p)
		}
	}
	sells := func(p, r *partner.Partner, b Buyer, change ...func(*Scenario)) Scenario {
		s := Scenario{Act: Sell, Seller: p, Reseller: r, Buyer: b, Partnered: r != nil, SellerRelated: true, ResellerRelated: r != nil}
		for _, c := range change {
			c(&s)
		}
		return s
	}
	allied := func(p *partner.Partner) func(*Scenario) {
		return func(s *Scenario) { s.Allied = map[ident.ID]bool{p.ID: true} }
	}
	abroad := func(p *partner.Partner) *partner.Partner { q := *p; q.Region = "AMERICAS"; return &q }
	idle := func(p *partner.Partner) *partner.Partner { q := *p; q.Status = partner.Suspended; return &q }
	unsigned := func(p *partner.Partner) *partner.Partner { q := *p; q.AgreementSignedAt = nil; return &q }
	for _, c := range []struct {
		name string
		s    Scenario
		want string
	}{
		{"1 own the relation end to end, direct", sells(direct, nil, buyer()), ""},
		{"1 own the relation end to end, two tiers", sells(provider, reseller, buyer()), ""},
		{"1 a provider by itself", sells(provider, nil, buyer()), ""},
		{"2 another partner's service", sells(other, second, buyer()), ""},
		{"3 manage what was bought elsewhere", Scenario{Act: Manage, Seller: direct, Buyer: buyer(func(b *Buyer) { b.Agreed = false })}, ""},
		{"3 together", Scenario{Act: Manage, Seller: provider, Reseller: reseller, Partnered: true, Buyer: buyer()}, ""},
		{"4 own use, with another tenant", sells(direct, nil, buyer(house(second))), ""},
		{"4 own use, in the partner's tenant", sells(direct, nil, buyer(tenantOf(second))), "TENANT_IS_PARTNER>NEXT_SEPARATE_TENANT"},
		{"4 own use, through another reseller and provider", sells(other, reseller, buyer(house(second))), ""},
		{"5 to oneself", sells(direct, nil, buyer(tenantOf(direct))), "SELF_DEALING>NEXT_OTHER_SELLER"},
		{"5 to oneself through a provider", sells(provider, reseller, buyer(tenantOf(reseller)), allied(reseller)), "SELF_DEALING>NEXT_OTHER_SELLER ALREADY_PARTNERED>NEXT_BUY_ELSEWHERE"},
		{"5 to an affiliate", sells(direct, nil, buyer(house(direct))), "AFFILIATE>NEXT_OTHER_SELLER"},
		{"5 to a declared affiliate", sells(direct, nil, buyer(house(second)), func(s *Scenario) { s.Declared = true }), "AFFILIATE>NEXT_OTHER_SELLER"},
		{"5 out: from somebody else", sells(other, nil, buyer(house(direct))), ""},
		{"6 from one's own provider", sells(provider, nil, buyer(house(second)), allied(second)), "ALREADY_PARTNERED>NEXT_BUY_ELSEWHERE"},
		{"6 in the own tenant", sells(provider, nil, buyer(tenantOf(second)), allied(second)), "TENANT_IS_PARTNER>NEXT_SEPARATE_TENANT ALREADY_PARTNERED>NEXT_BUY_ELSEWHERE"},
		{"6 out: a separate tenant with another seller", sells(direct, nil, buyer(house(second))), ""},
		{"6 out: the partnership ended, another partner", sells(provider, reseller, buyer(house(second))), ""},
		{"6 out: kept, another provider", sells(other, nil, buyer(house(second))), ""},
		{"7 a customer of another region", sells(abroad(direct), nil, buyer()), "REGION_MISMATCH>NEXT_SELLER_OF_REGION"},
		{"7 a reseller of another region", sells(provider, abroad(reseller), buyer()), "REGION_MISMATCH>NEXT_SELLER_OF_REGION"},
		{"7 out: a seller of the region", sells(direct, nil, buyer()), ""},
		{"a reseller alone", sells(reseller, nil, buyer()), "SELLER_KIND>NEXT_THROUGH_PROVIDER"},
		{"direct bill through a reseller", sells(direct, reseller, buyer()), "RESELLER_KIND>NEXT_RESELLER_OF_PARTNERSHIP"},
		{"through a provider", sells(provider, other, buyer()), "RESELLER_KIND>NEXT_RESELLER_OF_PARTNERSHIP"},
		{"without a partnership", sells(provider, reseller, buyer(), func(s *Scenario) { s.Partnered = false }), "PARTNERSHIP_MISSING>NEXT_REQUEST_PARTNERSHIP"},
		{"a suspended seller", sells(idle(provider), idle(reseller), buyer()), "SELLER_NOT_ACTIVE>NEXT_SELLER_ACTIVE RESELLER_NOT_ACTIVE>NEXT_RESELLER_ACTIVE"},
		{"nothing signed", sells(unsigned(provider), unsigned(reseller), buyer()), "SELLER_AGREEMENT_NOT_SIGNED>NEXT_SELLER_SIGNS RESELLER_AGREEMENT_NOT_SIGNED>NEXT_RESELLER_SIGNS"},
		{"no relationship", sells(provider, reseller, buyer(), func(s *Scenario) { s.SellerRelated, s.ResellerRelated = false, false }),
			"RELATIONSHIP_MISSING>NEXT_INVITE_CUSTOMER RESELLER_NOT_RELATED>NEXT_RESELLER_INVITES"},
		{"no customer agreement", sells(direct, nil, buyer(func(b *Buyer) { b.Agreed = false })), "CUSTOMER_AGREEMENT_MISSING>NEXT_ATTEST_AGREEMENT"},
		{"a suspended customer", sells(direct, nil, buyer(func(b *Buyer) { b.Suspended = true })), "CUSTOMER_SUSPENDED>NEXT_CUSTOMER_SUSPENDED"},
		{"somebody new has no relationship yet", sells(direct, nil, buyer(func(b *Buyer) { b.Known, b.Agreed = false, false }), func(s *Scenario) { s.SellerRelated = false }), ""},
	} {
		if got := codes(Refusals(c.s, now)); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
		for _, r := range Refusals(c.s, now) {
			for _, code := range []string{r.Code, r.NextStep} {
				if code != "" && !fault.HasText(code) {
					t.Errorf("%s has no sentence", code)
				}
			}
		}
	}
	// 8: partners of two regions; the rule is the partnerships' own.
	pair := partnership.Pair{Provider: provider, Reseller: abroad(reseller)}
	if rs := partnership.MayJoin(pair, now); !slices.ContainsFunc(rs, func(r Refusal) bool { return r.Code == partnership.CodeRegionMismatch }) {
		t.Errorf("8: got %v", rs)
	}
}

func TestCheckScenario(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	mine := w.add(w.nord, w.bianchi, "Conti Marmi")
	theirs := w.add(w.azienda, nil, "Dardi Vini")
	id := func(s *side) *ident.ID { return &s.ID }
	far := w.company("Far West", access.IndirectReseller, func(in *partner.RegisterInput) { in.Country = "US" })
	company := func(name, country, registration, domain string) *BuyerInput {
		return &BuyerInput{CompanyName: name, Country: country, RegistrationID: registration, Domain: domain}
	}
	for _, c := range []struct {
		name string
		a    access.Actor
		in   ScenarioInput
		want string
	}{
		{"own customer", w.nord.admin, ScenarioInput{Act: Sell, SellerID: w.nord.ID, ResellerID: id(w.bianchi), CustomerID: &mine.ID}, ""},
		{"as its reseller", w.bianchi.admin, ScenarioInput{Act: Sell, SellerID: w.nord.ID, ResellerID: id(w.bianchi), CustomerID: &mine.ID}, ""},
		{"the reseller's other provider", w.bianchi.admin, ScenarioInput{Act: Sell, SellerID: w.sud.ID, ResellerID: id(w.bianchi), CustomerID: &mine.ID}, "RELATIONSHIP_MISSING>NEXT_INVITE_CUSTOMER"},
		{"as the operator", w.chief, ScenarioInput{Act: Sell, SellerID: w.nord.ID, CustomerID: &theirs.ID}, "RELATIONSHIP_MISSING>NEXT_INVITE_CUSTOMER"},
		{"somebody new", w.nord.admin, ScenarioInput{Act: Sell, SellerID: w.nord.ID, Buyer: company("Nuova", "IT", "", "")}, ""},
		{"a region away", w.nord.admin, ScenarioInput{Act: Sell, SellerID: w.nord.ID, Buyer: company("Nuova", "US", "", "")}, "REGION_MISMATCH>NEXT_SELLER_OF_REGION"},
		{"oneself", w.nord.admin, ScenarioInput{Act: Sell, SellerID: w.nord.ID, Buyer: company("Nordwind", "IT", "", "nordwind.example")}, "SELF_DEALING>NEXT_OTHER_SELLER"},
		{"the same name", w.azienda.admin, ScenarioInput{Act: Sell, SellerID: w.azienda.ID, Buyer: company("Azienda S.p.A.", "IT", "", "")}, "AFFILIATE>NEXT_OTHER_SELLER"},
		{"own use of a reseller", w.azienda.admin, ScenarioInput{Act: Sell, SellerID: w.azienda.ID, Buyer: company("Verdi", "IT", "", "")}, ""},
		{"from its own provider", w.nord.admin, ScenarioInput{Act: Sell, SellerID: w.nord.ID, Buyer: company("Verdi", "IT", "", "")}, "ALREADY_PARTNERED>NEXT_BUY_ELSEWHERE"},
		{"into its tenant", w.azienda.admin, ScenarioInput{Act: Sell, SellerID: w.azienda.ID, Buyer: company("Whatever", "IT", "", "verdi.example")}, "TENANT_IS_PARTNER>NEXT_SEPARATE_TENANT"},
		{"partners twice", w.nord.admin, ScenarioInput{Act: Join, SellerID: w.nord.ID, ResellerID: id(w.verdi)}, "ALREADY_PARTNERED>NEXT_SEE_PROVIDERS"},
		{"partners across regions", w.chief, ScenarioInput{Act: Join, SellerID: w.nord.ID, ResellerID: &far.ID}, "REGION_MISMATCH>NEXT_ENROLL_REGION"},
	} {
		before := w.rows()
		got, err := w.CheckScenario(t.Context(), c.a, c.in)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if codes(got.Refusals) != c.want || got.Allowed() != (c.want == "") {
			t.Errorf("%s: got %q, want %q", c.name, codes(got.Refusals), c.want)
		}
		w.same(before)
	}
	nobody := ident.New(ident.Customer)
	for name, c := range map[string]struct {
		a    access.Actor
		in   ScenarioInput
		want string
	}{
		"somebody else's customer": {w.nord.admin, ScenarioInput{Act: Sell, SellerID: w.nord.ID, CustomerID: &theirs.ID}, fault.CodeNotFound},
		"an absent customer":       {w.nord.admin, ScenarioInput{Act: Sell, SellerID: w.nord.ID, CustomerID: &nobody}, fault.CodeNotFound},
		"another's business":       {w.nord.admin, ScenarioInput{Act: Sell, SellerID: w.azienda.ID, CustomerID: &mine.ID}, fault.CodeNotFound},
		"a stranger":               {w.nord.admin, ScenarioInput{Act: Join, SellerID: w.nord.ID, ResellerID: &far.ID}, fault.CodeNotFound},
		"no reseller":              {w.nord.admin, ScenarioInput{Act: Join, SellerID: w.nord.ID}, fault.CodeRequired},
		"no buyer":                 {w.nord.admin, ScenarioInput{Act: Sell, SellerID: w.nord.ID}, fault.CodeRequired},
		"no act":                   {w.nord.admin, ScenarioInput{SellerID: w.nord.ID, CustomerID: &mine.ID}, fault.CodeInvalid},
		"nobody":                   {access.Anonymous("en", ""), ScenarioInput{Act: Sell, SellerID: w.nord.ID, CustomerID: &mine.ID}, fault.CodeUnauthenticated},
		"a customer":               {w.admin(mine), ScenarioInput{Act: Sell, SellerID: w.nord.ID, CustomerID: &mine.ID}, fault.CodeNotFound},
	} {
		_, err := w.CheckScenario(t.Context(), c.a, c.in)
		if !fault.Is(err, c.want) {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
	}
}
