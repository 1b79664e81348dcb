// Package event owns the log of what happened, for those who watch live: which
// record changed, and which organizations may care. An event holds ids and a
// kind and nothing else; a door re-checks whoever watches before it tells one,
// and clients fetch the rest. It never decides who sees a record.
//
// Invariant: events are numbered after their transactions have committed, one
// batch after the other, so that whoever has read up to a number has missed
// nothing below it. Numbers are for the house; a door shows clients a sealed
// cursor, since they would tell how much goes on elsewhere.
//
// The operations of package outbox write their events by triggers: their
// states change by single statements that must not become transactions.
package event

import (
	"slices"
	"time"

	"github.com/uptrace/bun"

	"github.com/channelgraph/channelgraph/internal/ident"
)

// Kind is what happened.
type Kind string

// Kinds of events. The first two are a stream's own and never in the log:
// its beginning, and that the events after the reader's cursor are no longer
// kept.
const (
	StreamStarted         Kind = "STREAM_STARTED"
	StreamReset           Kind = "STREAM_RESET"
	PartnershipChanged    Kind = "PARTNERSHIP_CHANGED"
	InvitationChanged     Kind = "INVITATION_CHANGED"
	PartnerChanged        Kind = "PARTNER_CHANGED"
	EnrollmentChanged     Kind = "ENROLLMENT_CHANGED"
	ProfileUpdateChanged  Kind = "PROFILE_UPDATE_CHANGED"
	OperationChanged      Kind = "OPERATION_CHANGED"
	SupportRequestChanged Kind = "SUPPORT_REQUEST_CHANGED"
	CustomerChanged       Kind = "CUSTOMER_CHANGED"
	SubscriptionChanged   Kind = "SUBSCRIPTION_CHANGED"
	OrderChanged          Kind = "ORDER_CHANGED"
)

// Kinds lists all kinds.
var Kinds = []Kind{StreamStarted, StreamReset, PartnershipChanged, InvitationChanged, PartnerChanged, EnrollmentChanged, ProfileUpdateChanged, OperationChanged, SupportRequestChanged, CustomerChanged, SubscriptionChanged, OrderChanged}

// Topic is rung after commits that wrote an event.
const Topic = "event"

// keep is how long events can be caught up on.
const keep = 7 * 24 * time.Hour

// Event is a line of the log.
type Event struct {
	bun.BaseModel `bun:"table:event,alias:event"`
	// Number is the event's place, 0 as long as it has none.
	Number    int64    `bun:"number,nullzero"`
	Kind      Kind     `bun:"kind"`
	SubjectID ident.ID `bun:"subject_id"`
	// OrganizationID and OtherOrganizationID are whom the record concerns; the
	// second may be "".
	OrganizationID      ident.ID `bun:"organization_id"`
	OtherOrganizationID ident.ID `bun:"other_organization_id"`
}

// Of reports whether the event is of one of the kinds; of none means of any.
func (e *Event) Of(kinds ...Kind) bool { return len(kinds) == 0 || slices.Contains(kinds, e.Kind) }
