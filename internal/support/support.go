// Package support owns support requests: a question of a partner's people to
// the operator, its thread of messages, the promise of a first answer in
// working hours, and its end (spec section 7). It never decides about what a
// request is about: an end of a partnership, a profile update or a customer is
// its own concept's matter, which tells through hooks who may ask about it.
//
// Invariant: an organization's thread is read by its own people and the
// operator's alone, and notes by the latter only; a closed thread grows no
// more; each time a partner's side opens or reopens a request one promise
// begins, and the operator's first message to it ends it.
package support

import (
	"time"

	"github.com/uptrace/bun"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/sla"
)

// Kind is what a request is about.
type Kind string

// Kinds of requests. All but the first name what they are about.
const (
	General        Kind = "GENERAL"
	ProfileUpdate  Kind = "PROFILE_UPDATE"
	EndPartnership Kind = "END_PARTNERSHIP"
	// Customer is on behalf of a customer.
	Customer Kind = "CUSTOMER"
)

// Kinds lists all kinds.
var Kinds = []Kind{General, ProfileUpdate, EndPartnership, Customer}

// Severity is how much a request hinders the partner.
type Severity string

// Severities.
const (
	High   Severity = "HIGH"
	Normal Severity = "NORMAL"
	Low    Severity = "LOW"
)

// Severities lists them all.
var Severities = []Severity{High, Normal, Low}

// promised are the working hours of the first answer.
var promised = map[Severity]time.Duration{High: 2 * time.Hour, Normal: 4 * time.Hour, Low: 8 * time.Hour}

// Status is where a request stands.
type Status string

// Statuses of a request. AttentionNeeded waits for the partner.
const (
	Open            Status = "OPEN"
	AttentionNeeded Status = "ATTENTION_NEEDED"
	Closed          Status = "CLOSED"
)

// Statuses lists all statuses.
var Statuses = []Status{Open, AttentionNeeded, Closed}

// Side is who acts in a request.
type Side string

// Sides; System is channelgraph itself.
const (
	Partner  Side = "PARTNER"
	Operator Side = "OPERATOR"
	System   Side = "SYSTEM"
)

// Request is a support request.
type Request struct {
	bun.BaseModel  `bun:"table:support_request,alias:support_request"`
	ID             ident.ID `bun:"id,pk"`
	OrganizationID ident.ID `bun:"organization_id"`
	// Company is how the organization was called when it asked.
	Company    string   `bun:"company"`
	NameFolded string   `bun:"name_folded"`
	Kind       Kind     `bun:"kind"`
	Severity   Severity `bun:"severity"`
	Status     Status   `bun:"status"`
	Subject    string   `bun:"subject"`
	// SubjectID is what it is about, "" for nothing in particular; CustomerID
	// is the customer on whose behalf it is, "" for nobody's.
	SubjectID   ident.ID `bun:"subject_id"`
	CustomerID  ident.ID `bun:"customer_id"`
	CreatedByID ident.ID `bun:"created_by_id"`
	// RepliedByID is who of the partner's side wrote last.
	RepliedByID ident.ID `bun:"replied_by_id"`
	// AssigneeID is who of the operator works it, "" for nobody.
	AssigneeID ident.ID `bun:"assignee_id"`
	// LinkHash finds the request by the code of its mails.
	LinkHash string `bun:"link_hash"`
	// Round counts the promises; Clock is the present one. TargetAt and DueAt
	// are its dates, what they were at last where it has ended.
	Round    int        `bun:"round"`
	Clock    sla.Clock  `bun:"clock,type:jsonb"`
	TargetAt *time.Time `bun:"target_at"`
	DueAt    *time.Time `bun:"due_at"`
	// Steps counts the steps of the promise that were taken; NextActionAt is
	// the moment of the next one, nil where there is none.
	Steps        int        `bun:"steps"`
	NextActionAt *time.Time `bun:"next_action_at"`
	// AnsweredAt is when the operator first wrote in this round, and Outcome
	// what came of the promise: "" as long as it runs, and where the partner
	// closed in time what it had asked.
	AnsweredAt *time.Time `bun:"answered_at"`
	Outcome    sla.State  `bun:"outcome"`
	// Messages counts what people wrote, notes too.
	Messages int        `bun:"messages"`
	ClosedAt *time.Time `bun:"closed_at"`
	// ClosedBy is which side closed it, "" while it is not closed.
	ClosedBy Side `bun:"closed_by"`
	// ActivityAt is when something happened that both sides see.
	ActivityAt time.Time `bun:"activity_at"`
	Version    int       `bun:"version"`
	CreatedAt  time.Time `bun:"created_at"`
	UpdatedAt  time.Time `bun:"updated_at"`

	// State is where the promise stands now; reading fills it in.
	State *sla.State `bun:"-"`

	seen int // the version before what fell due was done
}

// reopenLife is how long a closed request can be reopened.
const reopenLife = 14 * 24 * time.Hour

// ReopenUntil is until when the request can be reopened; nil while it is not
// closed.
func (r *Request) ReopenUntil() *time.Time {
	if r.ClosedAt == nil {
		return nil
	}
	at := r.ClosedAt.Add(reopenLife)
	return &at
}

// steps are what happens on the way of a promise, in order: warnings to the
// operator's people by per cent of it, and the breach.
var steps = []int{50, 80, 100}

const breach = 100

// begin starts a promise at now.
func (r *Request) begin(c *sla.Calendar, now time.Time) {
	due := promised[r.Severity]
	r.Round++
	r.Clock = sla.Start(sla.WorkingHours, due/2, due, now)
	r.Steps, r.AnsweredAt, r.Outcome = 0, nil, ""
	r.keep(c, now)
}

// running reports whether an answer is owed.
func (r *Request) running() bool { return len(r.Clock.Runs) > 0 && !r.Clock.Ended }

// after is how much of the promise is spent at a step.
func (r *Request) after(step int) time.Duration {
	return r.Clock.Due / 100 * time.Duration(steps[step])
}

// keep makes dates and timer those of the calendar, and reports whether a date
// is another one. What was promised at last stays with a clock that has ended.
func (r *Request) keep(c *sla.Calendar, now time.Time) bool {
	r.NextActionAt = nil
	if !r.running() {
		return false
	}
	date := func(spent time.Duration) *time.Time {
		at, _ := r.Clock.At(c, spent, now)
		if at.IsZero() || at.Equal(sla.Never) {
			return nil
		}
		return &at
	}
	target, due := r.TargetAt, r.DueAt
	r.TargetAt, r.DueAt = date(r.Clock.Target), date(r.Clock.Due)
	if r.Steps < len(steps) {
		r.NextActionAt = date(r.after(r.Steps))
	}
	return !same(target, r.TargetAt) || !same(due, r.DueAt)
}

func same(a, b *time.Time) bool { return (a == nil) == (b == nil) && (a == nil || a.Equal(*b)) }

// answer ends the promise at now, if it runs. kept says that the operator
// answered; what the partner closed before is no promise kept, but may be one
// broken.
func (r *Request) answer(c *sla.Calendar, now time.Time, kept bool) {
	if !r.running() {
		return
	}
	r.keep(c, now)
	r.Clock.End(now)
	r.NextActionAt = nil
	if kept {
		r.AnsweredAt = &now
	}
	if state := r.Clock.State(c, now); kept || state == sla.Breached {
		r.Outcome = state
	}
}

// look fills in where the promise stands at now.
func (r *Request) look(c *sla.Calendar, now time.Time) {
	state := r.Outcome
	if r.running() {
		state = r.Clock.State(c, now)
	}
	r.State = nil
	if state != "" {
		r.State = &state
	}
}

// mayReopen reports whether the request can be reopened at now.
func (r *Request) mayReopen(now time.Time) bool {
	return r.Status == Closed && now.Before(*r.ReopenUntil())
}

// sideOf is the side that somebody acts for.
func sideOf(a access.Actor) Side {
	switch {
	case a.IsSystem():
		return System
	case a.IsOperator():
		return Operator
	}
	return Partner
}

// EntryKind says what a line of the thread tells.
type EntryKind string

// Kinds of entries.
const (
	EntryMessage  EntryKind = "MESSAGE"
	EntryNote     EntryKind = "NOTE"
	EntryAssigned EntryKind = "ASSIGNED"
	EntryClosed   EntryKind = "CLOSED"
	EntryReopened EntryKind = "REOPENED"
	EntryWarned   EntryKind = "WARNED"
	EntryBreached EntryKind = "BREACHED"
	EntryMoved    EntryKind = "PROMISE_MOVED"
)

// EntryKinds lists them all.
var EntryKinds = []EntryKind{EntryMessage, EntryNote, EntryAssigned, EntryClosed, EntryReopened, EntryWarned, EntryBreached, EntryMoved}

// Entry is one line of a thread: what somebody wrote, or what happened.
type Entry struct {
	bun.BaseModel `bun:"table:support_entry,alias:entry"`
	// ID is what files are handed in with.
	ID        ident.ID  `bun:"id,pk"`
	RequestID ident.ID  `bun:"request_id"`
	Number    int       `bun:"number"`
	Kind      EntryKind `bun:"kind"`
	At        time.Time `bun:"at"`
	// Side is which party acted, ActorID and ActorName who of them; the names
	// of the operator's people are its own.
	Side      Side     `bun:"side"`
	ActorID   ident.ID `bun:"actor_id"`
	ActorName string   `bun:"actor_name"`
	// OperatorOnly hides the line from the partner.
	OperatorOnly bool   `bun:"operator_only"`
	Text         string `bun:"text"`
	// UntilAt is the date that the line promises.
	UntilAt *time.Time `bun:"until_at"`
}

// The link of the mails. It leads to the request and grants nothing: whoever
// follows it signs in.
const (
	LinkPurpose = "support_request"
	LinkPrefix  = "cgh"
	LinkPath    = "/l/support"
)

// Limits.
const (
	// MaxSubject and MaxText bound what is written, in characters.
	MaxSubject = 150
	MaxText    = 4000
	// MaxFiles is how many files a message has.
	MaxFiles = 10
	// MaxMessages is how much people write into one thread.
	MaxMessages = 200
	// MaxOpen is how many requests of one organization are open at once.
	MaxOpen = 25
)
