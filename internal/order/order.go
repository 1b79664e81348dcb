// Package order owns how customers come to their subscriptions: drafts, also
// of a customer that is yet to be added, their review with fixed prices,
// submitting, and the provisioning of each line. It never decides who may sell
// to whom or what an offer costs, and never changes what was bought.
//
// Invariant: an order becomes real as a whole or not at all: its customer,
// with the first administrator, its subscriptions and the work on each line
// are written in the transaction that submits it, at the prices that were
// reviewed. What a cancelled draft held is gone. A temporary password is told
// to whoever submits, once, and is nowhere else.
package order

import (
	"slices"
	"time"

	"github.com/uptrace/bun"

	"github.com/channelgraph/channelgraph/internal/catalog"
	"github.com/channelgraph/channelgraph/internal/customer"
	"github.com/channelgraph/channelgraph/internal/ident"
)

// Status is where an order stands.
type Status string

// States of an order. Submitted means that no line was worked on yet. What a
// person gave up is not missed: an order is complete once the rest of it is
// there. What nobody saw to within FailedLife is, for ever.
const (
	Draft              Status = "DRAFT"
	Submitted          Status = "SUBMITTED"
	Provisioning       Status = "PROVISIONING"
	Completed          Status = "COMPLETED"
	PartiallyCompleted Status = "PARTIALLY_COMPLETED"
	Failed             Status = "FAILED"
	Cancelled          Status = "CANCELLED"
)

// moves are the states that may follow a state; a retried line takes an order
// that was over back into provisioning, and giving up what failed completes it.
var moves = map[Status][]Status{
	Draft:              {Submitted, Cancelled},
	Submitted:          {Provisioning, Completed, PartiallyCompleted, Failed},
	Provisioning:       {Completed, PartiallyCompleted, Failed},
	PartiallyCompleted: {Provisioning, Completed},
	Failed:             {Provisioning},
}

// May reports whether a state may follow this one.
func (s Status) May(next Status) bool { return slices.Contains(moves[s], next) }

// DraftLife is how long a draft is kept, counted from its beginning.
const DraftLife = 7 * 24 * time.Hour

// MaxLines bounds the lines of an order.
const MaxLines = 50

// Welcome is how the first administrator of a new customer gets in.
type Welcome string

// Ways in. A link is mailed to the administrator; a temporary password is told
// to whoever submits the order.
const (
	PasswordLink      Welcome = "PASSWORD_LINK"
	TemporaryPassword Welcome = "TEMPORARY_PASSWORD"
)

// Admin is the first administrator of a new customer, who signs in with the
// address.
type Admin struct {
	Email     string `json:"email"`
	FirstName string `json:"firstName"`
	LastName  string `json:"lastName"`
}

// Newcomer is the customer that an order is to add, as a draft holds it: it
// may be incomplete until it is reviewed.
type Newcomer struct {
	Details customer.Details `json:"details"`
	Admin   Admin            `json:"admin"`
	// Agreement is what the seller attests of the customer agreement, nil as
	// long as it has not.
	Agreement *customer.Attestation `json:"agreement,omitempty"`
	Welcome   Welcome               `json:"welcome"`
}

// Order is what a seller orders for one customer.
type Order struct {
	bun.BaseModel `bun:"table:customer_order,alias:customer_order"`
	ID            ident.ID `bun:"id,pk"`
	// SellerID is the provider or direct-bill partner that orders, ResellerID
	// through whom it sells, "" for nobody.
	SellerID   ident.ID `bun:"seller_id"`
	ResellerID ident.ID `bun:"reseller_id"`
	// CustomerID is whom it is for, "" for one that is yet to be added.
	CustomerID ident.ID `bun:"customer_id"`
	// AddsCustomer says that the order adds its customer; Newcomer describes
	// it, and is empty once the order is no draft any more.
	AddsCustomer bool     `bun:"adds_customer"`
	Newcomer     Newcomer `bun:"newcomer,type:jsonb"`
	// AdminUserID is the administrator that came with the customer, and
	// GavePassword says that a temporary password was told.
	AdminUserID  ident.ID `bun:"admin_user_id"`
	GavePassword bool     `bun:"gave_password"`
	Status       Status   `bun:"status"`
	// StatusReason is the code of why it was cancelled, "" where a person did.
	StatusReason string `bun:"status_reason"`
	// Currency and ReviewedAt are of the newest review; both are empty as long
	// as the present lines were not reviewed.
	Currency      string     `bun:"currency"`
	ReviewedAt    *time.Time `bun:"reviewed_at"`
	CreatedByID   ident.ID   `bun:"created_by_id"`
	SubmittedByID ident.ID   `bun:"submitted_by_id"`
	SubmittedAt   *time.Time `bun:"submitted_at"`
	// FinishedAt is when the last line came out, or the draft was dropped.
	FinishedAt *time.Time `bun:"finished_at"`
	// ExpiresAt is when the draft is dropped.
	ExpiresAt time.Time `bun:"expires_at"`
	Version   int       `bun:"version"`
	CreatedAt time.Time `bun:"created_at"`
	UpdatedAt time.Time `bun:"updated_at"`
	// Lines are read where a verb or a rule needs them.
	Lines []*Line `bun:"-"`
}

// IsDraft reports whether the order is a draft that is still kept at now; it
// asks no job to have run.
func (o *Order) IsDraft(now time.Time) bool { return o.Status == Draft && now.Before(o.ExpiresAt) }

// LineStatus is where a line stands.
type LineStatus string

// States of a line. What failed waits for another attempt until it is
// abandoned; its subscription is pending meanwhile.
const (
	LineDraft        LineStatus = "DRAFT"
	LinePending      LineStatus = "PENDING"
	LineProvisioning LineStatus = "PROVISIONING"
	LineCompleted    LineStatus = "COMPLETED"
	LineFailed       LineStatus = "FAILED"
	LineAbandoned    LineStatus = "ABANDONED"
)

// FailedLife is how long a failed line waits for another attempt.
const FailedLife = 7 * 24 * time.Hour

// Line is a number of licences of one offer; it becomes one subscription.
type Line struct {
	bun.BaseModel `bun:"table:order_line,alias:order_line"`
	ID            ident.ID `bun:"id,pk"`
	OrderID       ident.ID `bun:"order_id"`
	// Number is its place in the order, from 1.
	Number  int      `bun:"number"`
	OfferID ident.ID `bun:"offer_id"`
	// OfferName is what the offer is called, fixed when the order is reviewed.
	OfferName    string        `bun:"offer_name"`
	FriendlyName string        `bun:"friendly_name"`
	Quantity     int           `bun:"quantity"`
	Term         catalog.Term  `bun:"term"`
	BillingCycle catalog.Cycle `bun:"billing_cycle"`
	AutoRenew    bool          `bun:"auto_renew"`
	// UnitPrice is of one licence for a billing cycle, in minor units of
	// Currency, which is "" as long as the line was not reviewed.
	UnitPrice int64      `bun:"unit_price"`
	Currency  string     `bun:"currency"`
	Status    LineStatus `bun:"status"`
	// SubscriptionID is what it becomes, "" for a draft's. OperationID is of the
	// newest attempt to provision it, Attempt counts them, FailureCode says why
	// the last one failed, or that nobody saw to it in time.
	SubscriptionID ident.ID  `bun:"subscription_id"`
	OperationID    ident.ID  `bun:"operation_id"`
	Attempt        int       `bun:"attempt"`
	FailureCode    string    `bun:"failure_code"`
	UpdatedAt      time.Time `bun:"updated_at"`
}

// IsPriced reports whether the line has a reviewed price.
func (l *Line) IsPriced() bool { return l.Currency != "" }

// Price is what one licence costs for a billing cycle.
func (l *Line) Price() catalog.Money {
	return catalog.Money{Amount: l.UnitPrice, Currency: l.Currency}
}

// Total is what all licences cost for a billing cycle.
func (l *Line) Total() catalog.Money {
	return catalog.Money{Amount: l.UnitPrice * int64(l.Quantity), Currency: l.Currency}
}

// isOpen reports whether the line's provisioning is not over.
func (l *Line) isOpen() bool { return l.Status == LinePending || l.Status == LineProvisioning }

// Total is what the lines that are billed alike cost together for a billing
// cycle.
type Total struct {
	BillingCycle catalog.Cycle
	Price        catalog.Money
}

// Totals lists what reviewed lines cost for each of their billing cycles, the
// shortest first; none for lines without a price.
func Totals(lines []*Line) []*Total {
	out := []*Total{}
	for _, c := range catalog.Cycles {
		t := &Total{BillingCycle: c}
		for _, l := range lines {
			if l.BillingCycle == c && l.IsPriced() {
				t.Price.Amount += l.Total().Amount
				t.Price.Currency = l.Currency
			}
		}
		if t.Price.Currency != "" {
			out = append(out, t)
		}
	}
	return out
}

// FirstCharge is what reviewed lines cost when they are bought: a billing
// cycle of each; nil where one has no price or there is none.
func FirstCharge(lines []*Line) *catalog.Money {
	var m catalog.Money
	for _, l := range lines {
		if !l.IsPriced() {
			return nil
		}
		m.Amount, m.Currency = m.Amount+l.Total().Amount, l.Currency
	}
	if m.Currency == "" {
		return nil
	}
	return &m
}

// isMissed reports whether the line was to be there and is not: it failed, and
// nobody gave it up.
func (l *Line) isMissed() bool {
	return l.Status == LineFailed || l.Status == LineAbandoned && l.FailureCode == CodeLineTimeOver
}

// outcome is the state that a submitted order's lines put it into.
func outcome(now Status, lines []*Line) Status {
	done, over, missed, begun := 0, 0, 0, now != Submitted
	for _, l := range lines {
		switch l.Status {
		case LineCompleted:
			done++
			over++
		case LineFailed, LineAbandoned:
			over++
		case LineProvisioning:
			begun = true
		case LineDraft, LinePending:
		}
		if l.isMissed() {
			missed++
		}
	}
	switch {
	case over < len(lines) && (begun || over > 0):
		return Provisioning
	case over < len(lines):
		return Submitted
	case done == 0:
		return Failed
	case missed == 0:
		return Completed
	}
	return PartiallyCompleted
}
