package subscription

import (
	"github.com/channelgraph/channelgraph/internal/address"
	"github.com/channelgraph/channelgraph/internal/catalog"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/page"
)

// Codes of the verbs on subscriptions, each with a sentence in internal/fault.
const (
	CodeStatusForbids = "SUBSCRIPTION_STATE"
	CodeNotMore       = "QUANTITY_NOT_HIGHER"
	CodeNotFewer      = "QUANTITY_NOT_LOWER"
	CodeWindowClosed  = "WINDOW_CLOSED"
	CodeNotEligible   = "OFFER_NOT_ELIGIBLE"
	CodeNotReseller   = "RESELLER_REQUIRED"
	CodeNotRelated    = "PARTNER_NOT_RELATED"
)

// Codes of why a subscription is in its state, each with a sentence in
// internal/fault.
const (
	ReasonWithdrawn    = "SUBSCRIPTION_WITHDRAWN"
	ReasonTrial        = "TRIAL_NOT_RENEWABLE"
	ReasonNoRenewal    = "AUTO_RENEW_OFF"
	ReasonSuspended    = "SUSPENDED_AT_TERM_END"
	ReasonTimeOver     = "RETENTION_OVER"
	ReasonSeller       = "SUSPENDED_BY_SELLER"
	ReasonRelationship = "RELATIONSHIP_REMOVED"
	ReasonAbandoned    = "ORDER_ABANDONED"
)

// MaxName is the longest friendly name, in characters.
const MaxName = 100

// QuantityInput changes the licences of a subscription to a number.
type QuantityInput struct {
	SubscriptionID ident.ID
	// Quantity is how many there are to be.
	Quantity        int
	ExpectedVersion *int
}

// TargetInput is a verb that needs nothing but the subscription.
type TargetInput struct {
	SubscriptionID  ident.ID
	ExpectedVersion *int
}

// AutoRenewInput says what becomes of a subscription at its term's end.
type AutoRenewInput struct {
	SubscriptionID  ident.ID
	AutoRenew       bool
	ExpectedVersion *int
}

// RenameInput gives a subscription a friendly name; null or empty takes the
// offer's.
type RenameInput struct {
	SubscriptionID  ident.ID
	FriendlyName    *string
	ExpectedVersion *int
}

// Validate puts the input into its stored form or says what is wrong with it.
func (in *RenameInput) Validate() error {
	name, err := FriendlyName(in.FriendlyName)
	if err != nil {
		var p fault.Problems
		_ = p.Merge("friendlyName", err)
		return p.Err()
	}
	in.FriendlyName = &name
	return nil
}

// FriendlyName puts what a seller calls a subscription into its stored form,
// "" for as the offer. Errors at the whole input: TOO_LONG,
// CONTROL_CHARACTERS, LINK_NOT_ALLOWED.
func FriendlyName(s *string) (string, error) {
	if s == nil {
		return "", nil
	}
	name, err := address.Line(*s, MaxName)
	if err == nil && address.HasLink(name) {
		err = fault.Invalid("", address.CodeLink)
	}
	return name, err
}

// AssociateInput gives a reseller the credit for a subscription; null takes it
// away.
type AssociateInput struct {
	SubscriptionID  ident.ID
	ResellerID      *ident.ID
	ExpectedVersion *int
}

// DesignateInput makes a partner the support contact of a subscription; null
// the seller.
type DesignateInput struct {
	SubscriptionID  ident.ID
	PartnerID       *ident.ID
	ExpectedVersion *int
}

// OrderField names what a list of subscriptions is sorted by.
type OrderField string

// Orderings of subscriptions.
const (
	ByName    OrderField = "NAME"
	ByCreated OrderField = "CREATED_AT"
)

// Order is the ordering of a list of subscriptions.
type Order struct {
	Field     OrderField
	Direction page.Direction
}

func (o *Order) resolve() page.Order {
	out := page.Order{Name: "NAME", Column: "product_subscription.name_folded", Sort: page.SortText}
	if o == nil {
		return out
	}
	if o.Field == ByCreated {
		out = page.Order{Name: "CREATED_AT", Column: "product_subscription.created_at", Sort: page.SortTime}
	}
	out.Direction = o.Direction
	return out
}

func key(pq page.Query) func(*Subscription) (any, ident.ID) {
	if pq.Order.Name == "CREATED_AT" {
		return func(s *Subscription) (any, ident.ID) { return s.CreatedAt, s.ID }
	}
	return func(s *Subscription) (any, ident.ID) { return s.NameFolded, s.ID }
}

// Filter narrows a list of subscriptions. Search matches the beginning of the
// friendly name, or of the offer's where there is none.
type Filter struct {
	Search     *string
	Status     []Status
	CustomerID *ident.ID
	SellerID   *ident.ID
	ResellerID *ident.ID
	OfferID    *ident.ID
	Term       *catalog.Term
	AutoRenew  *bool
}

// EventFilter narrows a list of what happened to a subscription.
type EventFilter struct {
	Kind []EventKind
}
