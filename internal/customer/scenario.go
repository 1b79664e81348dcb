package customer

import (
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/partner"
	"github.com/channelgraph/channelgraph/internal/partnership"
	"github.com/channelgraph/channelgraph/internal/region"
)

// Act is what somebody wants to do together with others (spec section 6).
type Act string

// Acts. Sell makes or changes what a customer bought; Manage makes a
// relationship without selling anything; Join makes a partnership.
const (
	Sell   Act = "SELL"
	Manage Act = "MANAGE"
	Join   Act = "PARTNERSHIP"
)

// Codes of the scenario rules, beside those of partnerships.
const (
	CodeSellerNotActive       = "SELLER_NOT_ACTIVE"
	CodeSellerAgreement       = "SELLER_AGREEMENT_NOT_SIGNED"
	CodeResellerNotActive     = "RESELLER_NOT_ACTIVE"
	CodeResellerAgreement     = "RESELLER_AGREEMENT_NOT_SIGNED"
	CodeSellerKind            = "SELLER_KIND"
	CodeResellerKind          = "RESELLER_KIND"
	CodePartnershipMissing    = "PARTNERSHIP_MISSING"
	CodeTenantIsPartner       = "TENANT_IS_PARTNER"
	CodeRelationshipMissing   = "RELATIONSHIP_MISSING"
	CodeResellerNotRelated    = "RESELLER_NOT_RELATED"
	CodeAgreementMissing      = "CUSTOMER_AGREEMENT_MISSING"
	CodeCustomerSuspended     = "CUSTOMER_SUSPENDED"
	nextSellerActive          = "NEXT_SELLER_ACTIVE"
	nextSellerSigns           = "NEXT_SELLER_SIGNS"
	nextThroughProvider       = "NEXT_THROUGH_PROVIDER"
	nextRequestPartnership    = "NEXT_REQUEST_PARTNERSHIP"
	nextSeparateTenant        = "NEXT_SEPARATE_TENANT"
	nextOtherSeller           = "NEXT_OTHER_SELLER"
	nextBuyElsewhere          = "NEXT_BUY_ELSEWHERE"
	nextSellerOfRegion        = "NEXT_SELLER_OF_REGION"
	nextInviteCustomer        = "NEXT_INVITE_CUSTOMER"
	nextResellerInvites       = "NEXT_RESELLER_INVITES"
	nextAttestAgreement       = "NEXT_ATTEST_AGREEMENT"
	nextCustomerSuspended     = "NEXT_CUSTOMER_SUSPENDED"
	nextResellerActive        = "NEXT_RESELLER_ACTIVE"
	nextResellerSigns         = "NEXT_RESELLER_SIGNS"
	nextResellerOfPartnership = "NEXT_RESELLER_OF_PARTNERSHIP"
)

// Refusal is a reason why something may not be done, with the next step that
// would make it possible.
type Refusal = partnership.Refusal

// Buyer is what the rules look at of who buys or is managed.
type Buyer struct {
	// OrganizationID is "" for a company that is not here yet.
	OrganizationID ident.ID
	Facts          partner.Facts
	Region         region.Code
	// House are the partners that look like one house with the buyer, or whose
	// own tenant it would be.
	House     []*partner.Partner
	Suspended bool
	// Agreed says that the customer agreement is there.
	Agreed bool
	// Known says that it is a customer already, so that relationships count.
	Known bool
}

// Scenario is who wants to do what with whom, as it stands in one moment.
type Scenario struct {
	Act Act
	// Seller buys from the operator: a provider or a direct-bill partner.
	Seller *partner.Partner
	// Reseller is whom the seller sells through, nil for nobody.
	Reseller *partner.Partner
	Buyer    Buyer
	// Partnered says that seller and reseller have a living partnership.
	Partnered bool
	// Allied are the partners of the buyer's house that have a living
	// partnership with the seller.
	Allied map[ident.ID]bool
	// Declared says that seller or reseller is a declared affiliate of the
	// buyer's house.
	Declared bool
	// SellerRelated and ResellerRelated say that a relationship with the buyer
	// is active.
	SellerRelated, ResellerRelated bool
}

// Refusals lists every reason against a scenario at now; without any it may
// be done. It is the one rule set of spec section 6: CheckScenario explains
// with it, and every verb that sells, adds or relates asks it.
func Refusals(s Scenario, now time.Time) []Refusal {
	out := append(s.sellers(now), s.between()...)
	no := func(code, next string) { out = append(out, Refusal{Code: code, NextStep: next}) }
	if s.Buyer.Suspended {
		no(CodeCustomerSuspended, nextCustomerSuspended)
	}
	if s.Act != Sell || !s.Buyer.Known {
		return out
	}
	if !s.SellerRelated {
		no(CodeRelationshipMissing, nextInviteCustomer)
	}
	if s.Reseller != nil && !s.ResellerRelated {
		no(CodeResellerNotRelated, nextResellerInvites)
	}
	if !s.Buyer.Agreed {
		no(CodeAgreementMissing, nextAttestAgreement)
	}
	return out
}

// sellers lists what stands against those who sell, whoever buys.
func (s Scenario) sellers(now time.Time) (out []Refusal) {
	no := func(code, next string) { out = append(out, Refusal{Code: code, NextStep: next}) }
	switch k := s.Seller.Kind; {
	case k == access.IndirectReseller:
		no(CodeSellerKind, nextThroughProvider)
	case k != access.IndirectProvider && k != access.DirectBill:
		no(CodeSellerKind, "")
	case s.Reseller != nil && k != access.IndirectProvider, s.Reseller != nil && s.Reseller.Kind != access.IndirectReseller:
		no(CodeResellerKind, nextResellerOfPartnership)
	case s.Reseller != nil && !s.Partnered:
		no(CodePartnershipMissing, nextRequestPartnership)
	}
	if !s.Seller.AgreementSigned(now) {
		no(CodeSellerAgreement, nextSellerSigns)
	} else if !s.Seller.IsActive() {
		no(CodeSellerNotActive, nextSellerActive)
	}
	if r := s.Reseller; r != nil && !r.AgreementSigned(now) {
		no(CodeResellerAgreement, nextResellerSigns)
	} else if r != nil && !r.IsActive() {
		no(CodeResellerNotActive, nextResellerActive)
	}
	return out
}

// between lists what stands between the sellers and the buyer as companies:
// whose tenant it is, who belongs to whom, who is whose partner, and where.
func (s Scenario) between() (out []Refusal) {
	no := func(code, next string) { out = append(out, Refusal{Code: code, NextStep: next}) }
	sellers := []*partner.Partner{s.Seller}
	if s.Reseller != nil {
		sellers = append(sellers, s.Reseller)
	}
	self, tenant, affiliate, allied := false, false, s.Declared, false
	for _, h := range s.Buyer.House {
		own := s.Buyer.OrganizationID != "" && h.OrganizationID == s.Buyer.OrganizationID || h.TenantDomain == s.Buyer.Facts.Domain
		for _, p := range sellers {
			switch {
			case h.ID == p.ID && own:
				self = true
			case h.ID == p.ID:
				affiliate = true
			}
		}
		tenant = tenant || own
		allied = allied || s.Allied[h.ID]
	}
	switch {
	case self:
		no(partnership.CodeSelfDealing, nextOtherSeller)
	case tenant:
		no(CodeTenantIsPartner, nextSeparateTenant)
	}
	if affiliate && !self {
		no(partnership.CodeAffiliate, nextOtherSeller)
	}
	if allied && !affiliate {
		no(partnership.CodeAlreadyPartnered, nextBuyElsewhere)
	}
	for _, p := range sellers {
		if p.Region != s.Buyer.Region {
			no(partnership.CodeRegionMismatch, nextSellerOfRegion)
			break
		}
	}
	return out
}
