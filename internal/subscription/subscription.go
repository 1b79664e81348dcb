// Package subscription owns what customers have bought: licences of an offer
// for a term, with their price, their life from provisioning to deletion, the
// credit that a reseller gets for them, who supports them, and their history.
// It never decides who may sell to whom, and never takes an order.
//
// Invariant: all of a subscription's days are days in UTC; a term begins with
// the day of its purchase and ends where the same day of the month begins, or
// the month's last one where it has no such day, whatever the terms between.
// Only what was bought, renewed or added within seven days can be given back.
// Every change leaves a line of history in the same transaction.
package subscription

import (
	"time"

	"github.com/uptrace/bun"

	"github.com/channelgraph/channelgraph/internal/catalog"
	"github.com/channelgraph/channelgraph/internal/ident"
)

// Status is where a subscription stands.
type Status string

// States of a subscription. An expired one still works, a disabled one only
// keeps its data; both can be taken up again. Cancelled is the end, also of
// what was deleted when its time was over.
const (
	Pending   Status = "PENDING"
	Active    Status = "ACTIVE"
	Suspended Status = "SUSPENDED"
	Expired   Status = "EXPIRED"
	Disabled  Status = "DISABLED"
	Cancelled Status = "CANCELLED"
)

// Statuses lists all states in the order of a life.
var Statuses = []Status{Pending, Active, Suspended, Expired, Disabled, Cancelled}

// Lives reports whether a subscription of the state counts: it was activated
// and is not over.
func (s Status) Lives() bool { return s != Pending && s != Cancelled }

// Bounds of a subscription's life, counted in days of UTC.
const (
	// Window is how long what was bought, renewed or added can be given back.
	Window = 7 * 24 * time.Hour
	// GraceDays is how long an expired subscription still works.
	GraceDays = 30
	// RetentionDays is how long a disabled one is kept before it is deleted.
	RetentionDays = 90
)

// Addition is a number of licences that can be given back for a while.
type Addition struct {
	Quantity int       `json:"quantity"`
	Until    time.Time `json:"until"`
}

// Subscription is a number of licences of an offer that a customer has; the
// API shows it as ProductSubscription.
type Subscription struct {
	bun.BaseModel `bun:"table:product_subscription,alias:product_subscription"`
	ID            ident.ID `bun:"id,pk"`
	CustomerID    ident.ID `bun:"customer_id"`
	// OrganizationID is the customer's.
	OrganizationID ident.ID `bun:"organization_id"`
	// SellerID is the provider or direct-bill partner that sells it.
	SellerID ident.ID `bun:"seller_id"`
	// ResellerID is through whom it was sold, "" for nobody.
	ResellerID  ident.ID `bun:"reseller_id"`
	OrderLineID ident.ID `bun:"order_line_id"`
	OfferID     ident.ID `bun:"offer_id"`
	// Country is the customer's, by which a renewal is priced.
	Country string `bun:"country"`
	// OfferName is what the offer was called when it was bought.
	OfferName string `bun:"offer_name"`
	// FriendlyName is what the seller calls it, "" for as the offer.
	FriendlyName string `bun:"friendly_name"`
	NameFolded   string `bun:"name_folded"`
	Quantity     int    `bun:"quantity"`
	// Term and BillingCycle are what was agreed; UnitPrice is of one licence
	// for a cycle, in minor units, and stays for the term.
	Term         catalog.Term  `bun:"term"`
	BillingCycle catalog.Cycle `bun:"billing_cycle"`
	UnitPrice    int64         `bun:"unit_price"`
	Currency     string        `bun:"currency"`
	AutoRenew    bool          `bun:"auto_renew"`
	Status       Status        `bun:"status"`
	// StatusReason is the code of why it is in its state, "" where that is
	// plain.
	StatusReason string `bun:"status_reason"`
	// AnchorAt is the day from which terms are counted, TermsDone how many of
	// them are over.
	AnchorAt  *time.Time `bun:"anchor_at"`
	TermsDone int        `bun:"terms_done"`
	// TermStartedAt and CommitmentEndsAt are the bounds of the present term.
	TermStartedAt    *time.Time `bun:"term_started_at"`
	CommitmentEndsAt *time.Time `bun:"commitment_ends_at"`
	// Additions are what can still be given back, those that end first before
	// the others.
	Additions   []Addition `bun:"additions,type:jsonb"`
	PurchasedAt *time.Time `bun:"purchased_at"`
	SuspendedAt *time.Time `bun:"suspended_at"`
	ExpiredAt   *time.Time `bun:"expired_at"`
	DisabledAt  *time.Time `bun:"disabled_at"`
	CancelledAt *time.Time `bun:"cancelled_at"`
	// NextActionAt is when something falls due.
	NextActionAt *time.Time `bun:"next_action_at"`
	// AssociatedResellerID gets the credit for it, "" for nobody.
	AssociatedResellerID ident.ID `bun:"associated_reseller_id"`
	// SupportContactID is the partner that supports it.
	SupportContactID ident.ID `bun:"support_contact_id"`
	// EventCount counts the lines of its history.
	EventCount int       `bun:"event_count"`
	Version    int       `bun:"version"`
	CreatedAt  time.Time `bun:"created_at"`
	UpdatedAt  time.Time `bun:"updated_at"`
}

// Price is what one licence costs for a billing cycle.
func (s *Subscription) Price() catalog.Money {
	return catalog.Money{Amount: s.UnitPrice, Currency: s.Currency}
}

// Total is what all licences cost for a billing cycle.
func (s *Subscription) Total() catalog.Money {
	return catalog.Money{Amount: s.UnitPrice * int64(s.Quantity), Currency: s.Currency}
}

// EventKind is what a line of history says.
type EventKind string

// Kinds of history.
const (
	EventCreated    EventKind = "CREATED"
	EventActivated  EventKind = "ACTIVATED"
	EventFailed     EventKind = "PROVISIONING_FAILED"
	EventAdded      EventKind = "LICENCES_ADDED"
	EventReduced    EventKind = "LICENCES_REDUCED"
	EventRenewed    EventKind = "RENEWED"
	EventSuspended  EventKind = "SUSPENDED"
	EventTakenUp    EventKind = "REACTIVATED"
	EventExpired    EventKind = "EXPIRED"
	EventDisabled   EventKind = "DISABLED"
	EventCancelled  EventKind = "CANCELLED"
	EventDeleted    EventKind = "DELETED"
	EventRenewal    EventKind = "AUTO_RENEW_SET"
	EventRenamed    EventKind = "RENAMED"
	EventAssociated EventKind = "RESELLER_ASSOCIATED"
	EventDesignated EventKind = "SUPPORT_CONTACT_DESIGNATED"
)

// Event is a line of a subscription's history: what happened and what it came
// to.
type Event struct {
	bun.BaseModel  `bun:"table:subscription_event,alias:subscription_event"`
	ID             ident.ID `bun:"id,pk"`
	SubscriptionID ident.ID `bun:"subscription_id"`
	// Number counts the lines of one subscription from 1.
	Number int       `bun:"number"`
	Kind   EventKind `bun:"kind"`
	At     time.Time `bun:"at"`
	// ActorID is the person, "" for what happened by itself.
	ActorID ident.ID `bun:"actor_id"`
	// Reason is the code of why, "" where that is plain.
	Reason string `bun:"reason"`
	// Status, Quantity and UnitPrice are as they were afterwards.
	Status    Status `bun:"status"`
	Quantity  int    `bun:"quantity"`
	UnitPrice int64  `bun:"unit_price"`
	Currency  string `bun:"currency"`
}

// Price is what one licence cost for a billing cycle afterwards.
func (e *Event) Price() catalog.Money {
	return catalog.Money{Amount: e.UnitPrice, Currency: e.Currency}
}

// Purchase is what an order line buys for a customer.
type Purchase struct {
	CustomerID ident.ID
	// OrganizationID and Country are the customer's.
	OrganizationID ident.ID
	SellerID       ident.ID
	// ResellerID is through whom it is sold, "" for nobody.
	ResellerID   ident.ID
	OrderLineID  ident.ID
	Country      string
	OfferID      ident.ID
	OfferName    string
	FriendlyName string
	Quantity     int
	Term         catalog.Term
	BillingCycle catalog.Cycle
	UnitPrice    catalog.Money
	AutoRenew    bool
	// AssociatedResellerID gets the credit, "" for nobody; SupportContactID is
	// the seller where it is "".
	AssociatedResellerID ident.ID
	SupportContactID     ident.ID
}
