// Package invitation owns invitations by mail: one address asked by one
// partner for one thing, its link, its states, reminders, expiry and bounce.
// Partnerships and customers use the same mechanics. It never decides
// what an acceptance means: the inviting concept does, by its kind.
//
// Invariant: one open invitation for an inviter, kind and address; a resend
// raises the generation and kills the former link; final states are final.
package invitation

import (
	"slices"
	"time"

	"github.com/uptrace/bun"

	"github.com/channelgraph/channelgraph/internal/ident"
)

// Kind is what an invitation asks for.
type Kind string

// Kinds of invitation.
const (
	ForPartnership Kind = "PARTNERSHIP"
	ForCustomer    Kind = "CUSTOMER"
)

// Status is the state of an invitation (spec section 3).
type Status string

// States of an invitation.
const (
	Queued   Status = "QUEUED"
	Sent     Status = "SENT"
	Accepted Status = "ACCEPTED"
	Declined Status = "DECLINED"
	Expired  Status = "EXPIRED"
	Revoked  Status = "REVOKED"
	Bounced  Status = "BOUNCED"
	Failed   Status = "FAILED"
)

// Statuses lists all states.
var Statuses = []Status{Queued, Sent, Accepted, Declined, Expired, Revoked, Bounced, Failed}

// Verb is an act on an invitation.
type Verb string

// Verbs of an invitation.
const (
	VerbMarkSent Verb = "mark_sent"
	VerbAccept   Verb = "accept"
	VerbDecline  Verb = "decline"
	VerbExpire   Verb = "expire"
	VerbRevoke   Verb = "revoke"
	VerbResend   Verb = "resend"
	VerbBounce   Verb = "bounce"
	VerbFail     Verb = "fail"
	VerbRetry    Verb = "retry"
)

// Verbs lists all verbs.
var Verbs = []Verb{VerbMarkSent, VerbAccept, VerbDecline, VerbExpire, VerbRevoke, VerbResend, VerbBounce, VerbFail, VerbRetry}

// transitions says where each verb may start and where it leads. Accepting
// while queued covers a link that was followed before the worker wrote down
// that the mail had left.
var transitions = map[Verb]struct {
	from []Status
	to   Status
}{
	VerbMarkSent: {[]Status{Queued}, Sent},
	VerbAccept:   {[]Status{Queued, Sent}, Accepted},
	VerbDecline:  {[]Status{Queued, Sent}, Declined},
	VerbExpire:   {[]Status{Queued, Sent}, Expired},
	VerbRevoke:   {[]Status{Queued, Sent}, Revoked},
	VerbResend:   {[]Status{Sent, Expired, Bounced, Failed}, Queued},
	VerbBounce:   {[]Status{Queued, Sent}, Bounced},
	VerbFail:     {[]Status{Queued}, Failed},
	VerbRetry:    {[]Status{Failed}, Queued},
}

// Next is the state that a verb leads to, and whether it may start in s.
func (s Status) Next(v Verb) (Status, bool) {
	t, ok := transitions[v]
	if !ok || !slices.Contains(t.from, s) {
		return s, false
	}
	return t.to, true
}

// Open reports whether the invitation can still be answered.
func (s Status) Open() bool { return s == Queued || s == Sent }

// Life of an invitation and its reminders (spec section 3).
const (
	DefaultLife = 30 * 24 * time.Hour
	// MaxRecipients bounds a list of recipients.
	MaxRecipients = 100
	// MaxTextLength bounds the person's own text, in characters.
	MaxTextLength = 1000
	// MaxReasonLength bounds a reason, in characters.
	MaxReasonLength = 500
)

// ReminderOffsets are how long before expiry the recipient is reminded.
var ReminderOffsets = []time.Duration{7 * 24 * time.Hour, 24 * time.Hour}

// Purpose and prefix of an invitation's link token.
const (
	LinkPurpose = "invitation"
	LinkPrefix  = "cgi"
)

// Invitation is one address asked by one partner.
type Invitation struct {
	bun.BaseModel   `bun:"table:invitation,alias:invitation"`
	ID              ident.ID `bun:"id,pk"`
	Kind            Kind     `bun:"kind"`
	InviterID       ident.ID `bun:"inviter_id"`
	Recipient       string   `bun:"recipient"`
	RecipientFolded string   `bun:"recipient_folded"`
	// Locale is the language of its mails.
	Locale string `bun:"locale"`
	// Text is what the inviting person wrote, without the link.
	Text   string `bun:"text"`
	Status Status `bun:"status"`
	// Generation counts the links; only the newest one lives.
	Generation    int    `bun:"generation"`
	FailureCode   string `bun:"failure_code"`
	DeclineReason string `bun:"decline_reason"`
	// MessageID names the newest mail that carried the link.
	MessageID   ident.ID   `bun:"message_id"`
	CreatedByID ident.ID   `bun:"created_by_id"`
	InviteeID   *ident.ID  `bun:"invitee_id"`
	DecidedByID *ident.ID  `bun:"decided_by_id"`
	SentAt      *time.Time `bun:"sent_at"`
	ExpiresAt   time.Time  `bun:"expires_at"`
	DecidedAt   *time.Time `bun:"decided_at"`
	// WaitingSince is when the recipient said that its company has to enroll
	// first.
	WaitingSince       *time.Time `bun:"waiting_since"`
	NewLinkRequestedAt *time.Time `bun:"new_link_requested_at"`
	NextActionAt       *time.Time `bun:"next_action_at"`
	Version            int        `bun:"version"`
	CreatedAt          time.Time  `bun:"created_at"`
	UpdatedAt          time.Time  `bun:"updated_at"`
}

// Live reports whether the link of an open invitation still works at now.
func (i *Invitation) Live(now time.Time) bool { return i.Status.Open() && now.Before(i.ExpiresAt) }

// Standing is what a link, or the id, of an invitation leads to now.
type Standing string

// Standings of an invitation.
const (
	StandsOpen     Standing = "OPEN"
	StandsAccepted Standing = "ACCEPTED"
	StandsDeclined Standing = "DECLINED"
	StandsExpired  Standing = "EXPIRED"
	StandsRevoked  Standing = "REVOKED"
	StandsReplaced Standing = "REPLACED"
	StandsUnknown  Standing = "UNKNOWN"
)

// Standing tells it for the link of a generation, 0 for who comes without one.
func (i *Invitation) Standing(generation int, now time.Time) Standing {
	switch {
	case i.Status == Accepted:
		return StandsAccepted
	case i.Status == Declined:
		return StandsDeclined
	case i.Status == Revoked:
		return StandsRevoked
	case generation > 0 && generation != i.Generation:
		return StandsReplaced
	case i.Live(now):
		return StandsOpen
	case i.Status == Bounced, i.Status == Failed:
		return StandsRevoked
	}
	return StandsExpired
}

// Step is what falls due for an invitation next.
type Step string

// Steps of an invitation's life.
const (
	StepNone   Step = ""
	StepRemind Step = "remind"
	StepExpire Step = "expire"
)

// Next computes the step that comes first after `after`, and its moment: the
// reminders before expiry that lie ahead, then expiry. Reminders that would
// fall within an hour of sending are left out.
func (i *Invitation) Next(after time.Time) (Step, time.Time) {
	if !i.Status.Open() {
		return StepNone, time.Time{}
	}
	for _, off := range ReminderOffsets {
		at := i.ExpiresAt.Add(-off)
		if at.After(after) && at.After(i.CreatedAt.Add(time.Hour)) {
			return StepRemind, at
		}
	}
	return StepExpire, i.ExpiresAt
}
