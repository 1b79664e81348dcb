// Package tree owns the view of the channel as a tree: where a viewer's own
// part begins, what stands under each branch, a level at a time, and the
// counts that each carries. It never reads rows itself: every level is a list
// of the concept whose rows they are, in the viewer's reach.
//
// Invariant: a branch is found by those who see what it is of, its counts are
// of what they see of it, and siblings never learn of each other.
package tree

import (
	"github.com/channelgraph/channelgraph/internal/customer"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/partner"
	"github.com/channelgraph/channelgraph/internal/partnership"
)

// Kind says what a branch is of.
type Kind string

// Kinds of branches, from the root to the leaves.
const (
	// Programme is the operator's: all there is.
	Programme Kind = "PROGRAMME"
	// Provider is an indirect provider, or what a reseller has with one.
	Provider Kind = "PROVIDER"
	// DirectBill is a direct-bill partner.
	DirectBill Kind = "DIRECT_BILL"
	// Reseller is an indirect reseller, or what a provider has with one.
	Reseller Kind = "RESELLER"
	// Customer is a customer.
	Customer Kind = "CUSTOMER"
)

// Kinds lists all kinds.
var Kinds = []Kind{Programme, Provider, DirectBill, Reseller, Customer}

// Branch is a place in the tree. Of Partner, Partnership and Customer it has
// what it is of: a partner by itself, one side of a partnership with all that
// the two have together, or a customer; the programme has none.
type Branch struct {
	Kind        Kind
	PartnerID   ident.ID
	Partnership *partnership.Partnership
	Customer    *customer.Customer
}

// ID is by what the branch is asked for again: the id of the partner,
// partnership or customer; "" for the programme.
func (b *Branch) ID() ident.ID {
	switch {
	case b.Partnership != nil:
		return b.Partnership.ID
	case b.Customer != nil:
		return b.Customer.ID
	}
	return b.PartnerID
}

// ofPartner is the branch of a partner by itself.
func ofPartner(p *partner.Partner) *Branch {
	return &Branch{Kind: map[customer.Kind]Kind{customer.AsProvider: Provider, customer.AsReseller: Reseller, customer.AsDirectBill: DirectBill}[customer.KindOf(p.Kind)],
		PartnerID: p.ID}
}

// ofPair is the branch of one side of a partnership.
func ofPair(p *partnership.Partnership, k Kind) *Branch {
	b := &Branch{Kind: k, Partnership: p, PartnerID: p.ResellerID}
	if k == Provider {
		b.PartnerID = p.ProviderID
	}
	return b
}

// ofCustomer is the branch of a customer.
func ofCustomer(c *customer.Customer) *Branch { return &Branch{Kind: Customer, Customer: c} }

// Filter narrows a level.
type Filter struct {
	// Search matches the beginning of the name, of customers and partners by
	// themselves also of the domain.
	Search *string
	// LacksReseller keeps, of a provider's customers, those without a
	// reseller, or only the others.
	LacksReseller *bool
}
