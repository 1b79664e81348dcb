// Package webhook owns what is told to other programs over HTTP: endpoints of
// organizations, the catalogue of event types, messages signed by the Standard
// Webhooks specification, and the log of their delivery. It hears what the
// other concepts did in their own transactions; it never decides anything
// about a subject, and a message holds ids and states, never texts or
// addresses.
//
// Invariant: a message is written in the transaction of what it tells, and
// goes only to organizations that see its subject, then and whenever it is
// sent; an endpoint's secret is derived and stands nowhere (as security
// decision D12).
package webhook

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"github.com/channelgraph/channelgraph/internal/ident"
)

// Type is what a message tells. Types are a stable contract: they are added,
// never renamed.
type Type string

// Types of events.
const (
	InvitationRequested        Type = "invitation.requested"
	InvitationSent             Type = "invitation.sent"
	InvitationResent           Type = "invitation.resent"
	InvitationAccepted         Type = "invitation.accepted"
	InvitationDeclined         Type = "invitation.declined"
	InvitationExpired          Type = "invitation.expired"
	InvitationRevoked          Type = "invitation.revoked"
	InvitationBounced          Type = "invitation.bounced"
	InvitationFailed           Type = "invitation.failed"
	PartnershipAuthorized      Type = "partnership.authorized"
	PartnershipAccessWithdrawn Type = "partnership.admin_access_withdrawn"
	PartnershipTerminated      Type = "partnership.terminated"
	TerminationRequested       Type = "termination.requested"
	TerminationWithdrawn       Type = "termination.withdrawn"
	TerminationRefused         Type = "termination.refused"
	TerminationCompleted       Type = "termination.completed"
	PartnerRegistered          Type = "partner.registered"
	// PartnerStatusChanged is a partner admitted, active, suspended, back or
	// closed.
	PartnerStatusChanged Type = "partner.status_changed"
	// EnrollmentStatusChanged is an enrollment in its next state.
	EnrollmentStatusChanged Type = "enrollment.status_changed"
	// CustomerAdded is a customer that a seller added.
	CustomerAdded Type = "customer.added"
	// CustomerChanged is a customer whose record, standing, agreement or
	// relationships changed.
	CustomerChanged Type = "customer.changed"
	// GrantChanged is a grant that was renewed, extended, withdrawn or is over.
	GrantChanged Type = "grant.changed"
	// OrderStatusChanged is an order that was submitted, or one of whose lines
	// went on.
	OrderStatusChanged Type = "order.status_changed"
	// SubscriptionChanged is a subscription that was bought or changed.
	SubscriptionChanged Type = "subscription.changed"
	// Test is what a person sends to try an endpoint; nobody subscribes to it.
	Test Type = "webhook.test"
)

// Types lists the types that an endpoint can ask for, in a stable order.
var Types = []Type{
	InvitationRequested, InvitationSent, InvitationResent, InvitationAccepted, InvitationDeclined, InvitationExpired, InvitationRevoked,
	InvitationBounced, InvitationFailed, PartnershipAuthorized, PartnershipAccessWithdrawn, PartnershipTerminated, TerminationRequested,
	TerminationWithdrawn, TerminationRefused, TerminationCompleted, PartnerRegistered, PartnerStatusChanged,
	EnrollmentStatusChanged,
	CustomerAdded, CustomerChanged, GrantChanged, OrderStatusChanged, SubscriptionChanged,
}

// source is an event that follows from what a verb did: of its own subject, or
// of the one that the subject's data names.
type source struct {
	typ Type
	of  string
}

// catalogue says which events follow from which acts, by the actions that the
// audit records or that a concept tells. An act that is not here is nobody
// else's business.
var catalogue = map[string][]source{
	"partnership.requested":              {{typ: InvitationRequested}},
	"invitation.sent":                    {{typ: InvitationSent}},
	"invitation.resent":                  {{typ: InvitationResent}},
	"invitation.accepted":                {{typ: InvitationAccepted}},
	"invitation.declined":                {{typ: InvitationDeclined}},
	"invitation.expired":                 {{typ: InvitationExpired}},
	"invitation.revoked":                 {{typ: InvitationRevoked}},
	"invitation.bounced":                 {{typ: InvitationBounced}},
	"invitation.failed":                  {{typ: InvitationFailed}},
	"partnership.authorized":             {{typ: PartnershipAuthorized}},
	"partnership.admin_access_withdrawn": {{typ: PartnershipAccessWithdrawn}},
	"partnership.termination_requested":  {{typ: TerminationRequested}},
	"partnership.termination_withdrawn":  {{typ: TerminationWithdrawn}},
	"partnership.termination_refused":    {{typ: TerminationRefused}},
	"partnership.terminated":             {{typ: TerminationCompleted}, {typ: PartnershipTerminated, of: "partnershipId"}},
	"partner.registered":                 {{typ: PartnerRegistered}},
	"partner.admitted":                   {{typ: PartnerStatusChanged}},
	"partner.activated":                  {{typ: PartnerStatusChanged}},
	"partner.suspended":                  {{typ: PartnerStatusChanged}},
	"partner.reinstated":                 {{typ: PartnerStatusChanged}},
	"partner.closed":                     {{typ: PartnerStatusChanged}},
	"enrollment.started":                 {{typ: EnrollmentStatusChanged}},
	"enrollment.submitted":               {{typ: EnrollmentStatusChanged}},
	"enrollment.confirmed":               {{typ: EnrollmentStatusChanged}},
	"enrollment.disowned":                {{typ: EnrollmentStatusChanged}},
	"enrollment.unfrozen":                {{typ: EnrollmentStatusChanged}},
	"enrollment.asked":                   {{typ: EnrollmentStatusChanged}},
	"enrollment.answered":                {{typ: EnrollmentStatusChanged}},
	"enrollment.approved":                {{typ: EnrollmentStatusChanged}},
	"enrollment.activated":               {{typ: EnrollmentStatusChanged}},
	"enrollment.rejected":                {{typ: EnrollmentStatusChanged}},
	"enrollment.appealed":                {{typ: EnrollmentStatusChanged}},
	"enrollment.expired":                 {{typ: EnrollmentStatusChanged}},
	"enrollment.withdrawn":               {{typ: EnrollmentStatusChanged}},
	"enrollment.change_requested":        {{typ: EnrollmentStatusChanged}},
	"customer.added":                     {{typ: CustomerAdded}},
	"customer.invitation_accepted":       {{typ: CustomerChanged}},
	"customer.edited":                    {{typ: CustomerChanged}},
	"customer.agreement_attested":        {{typ: CustomerChanged}},
	"customer.suspended":                 {{typ: CustomerChanged}},
	"customer.reinstated":                {{typ: CustomerChanged}},
	"customer.relationship_removed":      {{typ: CustomerChanged, of: "customerId"}},
	"grant.renewed":                      {{typ: GrantChanged}},
	"grant.extended":                     {{typ: GrantChanged}},
	"grant.withdrawn":                    {{typ: GrantChanged}},
	"grant.expired":                      {{typ: GrantChanged}},
	"order.submitted":                    {{typ: OrderStatusChanged}},
	"order.line_provisioned":             {{typ: OrderStatusChanged, of: "orderId"}},
	"order.line_failed":                  {{typ: OrderStatusChanged, of: "orderId"}},
	"order.line_retried":                 {{typ: OrderStatusChanged, of: "orderId"}},
	"order.line_abandoned":               {{typ: OrderStatusChanged, of: "orderId"}},
	"subscription.changed":               {{typ: SubscriptionChanged}},
}

// Status is whether an endpoint is served.
type Status string

// States of an endpoint.
const (
	Enabled Status = "ENABLED"
	Paused  Status = "PAUSED"
)

// PauseReason is why an endpoint is paused.
type PauseReason string

// Reasons of a pause: a person asked for it, messages have not arrived for
// long, or the endpoint answered that it is gone for good (410).
const (
	PauseRequested PauseReason = "REQUESTED"
	PauseFailing   PauseReason = "FAILING"
	PauseGone      PauseReason = "GONE"
)

// Endpoint is where an organization wants to be told.
type Endpoint struct {
	bun.BaseModel  `bun:"table:webhook_endpoint,alias:webhook_endpoint"`
	ID             ident.ID `bun:"id,pk"`
	OrganizationID ident.ID `bun:"organization_id"`
	// Operator says that the organization is the operator's, which sees all.
	Operator    bool   `bun:"operator"`
	URL         string `bun:"url"`
	Description string `bun:"description"`
	// Events are the types that it asks for; none means all.
	Events      []Type      `bun:"events,type:jsonb"`
	Status      Status      `bun:"status"`
	PauseReason PauseReason `bun:"pause_reason"`
	PausedAt    *time.Time  `bun:"paused_at"`
	// SecretGeneration counts the secrets; the one before the newest signs, too,
	// for FormerSecretLife after the rotation.
	SecretGeneration int        `bun:"secret_generation"`
	SecretRotatedAt  *time.Time `bun:"secret_rotated_at"`
	// Failures counts the attempts that failed since the last one that did not,
	// FailingSince is when the first of them was.
	Failures     int        `bun:"failures"`
	FailingSince *time.Time `bun:"failing_since"`
	// DeliveredAt is when a message last arrived.
	DeliveredAt *time.Time `bun:"delivered_at"`
	CreatedByID ident.ID   `bun:"created_by_id"`
	DeletedAt   *time.Time `bun:"deleted_at"`
	Version     int        `bun:"version"`
	CreatedAt   time.Time  `bun:"created_at"`
	UpdatedAt   time.Time  `bun:"updated_at"`
}

// Wants reports whether the endpoint asks for a type.
func (e *Endpoint) Wants(t Type) bool { return len(e.Events) == 0 || slices.Contains(e.Events, t) }

// FormerSecretEndsAt is until when the secret before the newest signs, too;
// nil where it does not.
func (e *Endpoint) FormerSecretEndsAt(now time.Time) *time.Time {
	if e.SecretRotatedAt == nil || !now.Before(e.SecretRotatedAt.Add(FormerSecretLife)) {
		return nil
	}
	at := e.SecretRotatedAt.Add(FormerSecretLife)
	return &at
}

// generations are the secrets that sign at a moment, the newest first.
func (e *Endpoint) generations(now time.Time) []int {
	if e.FormerSecretEndsAt(now) == nil {
		return []int{e.SecretGeneration}
	}
	return []int{e.SecretGeneration, e.SecretGeneration - 1}
}

// pause stops serving the endpoint.
func (e *Endpoint) pause(why PauseReason, now time.Time) {
	e.Status, e.PauseReason, e.PausedAt = Paused, why, &now
}

// resume serves it again, with its failures forgotten.
func (e *Endpoint) resume() {
	e.Status, e.PauseReason, e.PausedAt, e.Failures, e.FailingSince = Enabled, "", nil, 0, nil
}

// Event is what happened, as messages tell it.
type Event struct {
	bun.BaseModel `bun:"table:webhook_event,alias:webhook_event"`
	ID            ident.ID `bun:"id,pk"`
	Type          Type     `bun:"type"`
	SubjectID     ident.ID `bun:"subject_id"`
	// Data are ids and states of the subject at that moment.
	Data       map[string]any `bun:"data,type:jsonb"`
	OccurredAt time.Time      `bun:"occurred_at"`
}

// Body is the message, byte for byte the same in every attempt.
func (e *Event) Body() []byte {
	raw, err := json.Marshal(struct {
		Type      Type           `json:"type"`
		Timestamp string         `json:"timestamp"`
		Data      map[string]any `json:"data"`
	}{e.Type, e.OccurredAt.UTC().Format("2006-01-02T15:04:05.000000Z"), e.Data})
	if err != nil {
		panic(err) // texts and booleans always marshal
	}
	return raw
}

// State is where a delivery stands.
type State string

// States of a delivery. A failed one is replayed where a person asks for it;
// a withheld one is not, since its organization may no longer see the subject.
const (
	Pending   State = "PENDING"
	Delivered State = "DELIVERED"
	Failed    State = "FAILED"
	Withheld  State = "WITHHELD"
)

// Delivery is one event on its way to one endpoint.
type Delivery struct {
	bun.BaseModel `bun:"table:webhook_delivery,alias:webhook_delivery"`
	ID            ident.ID `bun:"id,pk"`
	EndpointID    ident.ID `bun:"endpoint_id"`
	EventID       ident.ID `bun:"event_id"`
	Type          Type     `bun:"type"`
	SubjectID     ident.ID `bun:"subject_id"`
	State         State    `bun:"state"`
	// Code is why the last attempt failed, or why there is none; StatusCode is
	// what it was answered, 0 where it was not.
	Code       string `bun:"code"`
	StatusCode int    `bun:"status_code"`
	// Run counts the replays: work of a former run is stale. Attempts counts all
	// attempts, AttemptsBefore those of the former runs.
	Run            int        `bun:"run"`
	Attempts       int        `bun:"attempts"`
	AttemptsBefore int        `bun:"attempts_before"`
	NextAttemptAt  *time.Time `bun:"next_attempt_at"`
	CreatedAt      time.Time  `bun:"created_at"`
	FinishedAt     *time.Time `bun:"finished_at"`
}

// end gives a delivery its last state of this run.
func (d *Delivery) end(s State, code string, now time.Time) {
	d.State, d.Code, d.NextAttemptAt, d.FinishedAt = s, code, nil, &now
}

// again begins another run.
func (d *Delivery) again(now time.Time) {
	d.State, d.Code, d.NextAttemptAt, d.FinishedAt = Pending, "", &now, nil
	d.Run++
	d.AttemptsBefore = d.Attempts
}

// Attempt is one request to an endpoint. No answer's body is kept.
type Attempt struct {
	bun.BaseModel `bun:"table:webhook_attempt,alias:webhook_attempt"`
	DeliveryID    ident.ID  `bun:"delivery_id,pk"`
	Number        int       `bun:"number,pk"`
	At            time.Time `bun:"at"`
	DurationMs    int       `bun:"duration_ms"`
	// StatusCode is 0 where nothing was answered; Code is "" for an attempt that
	// arrived.
	StatusCode int    `bun:"status_code"`
	Code       string `bun:"code"`
}

const (
	// FormerSecretLife is how long the former secret signs, too, after a
	// rotation.
	FormerSecretLife = 24 * time.Hour
	// KeepFor is how long deliveries are kept.
	KeepFor = 30 * 24 * time.Hour
	// MaxEndpoints is how many endpoints an organization may have.
	MaxEndpoints = 10
	// testsAnHour is how many tests an endpoint is sent in an hour.
	testsAnHour = 20
	// failuresToPause and failingToPause are together too many failures, and so
	// is the end of a run after failingToPause without any arrival.
	failuresToPause = 20
	failingToPause  = 24 * time.Hour
	// mostRetryAfter bounds what an endpoint may ask for by Retry-After.
	mostRetryAfter = 24 * time.Hour
)

// waits are between the attempts of a run: a little over three days in all,
// as the specification proposes.
var waits = []time.Duration{
	5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
}

// MaxAttempts is how many attempts a run has.
const MaxAttempts = 10

// wait is how long to wait after the nth failed attempt of a run, counted from
// 1, spread by ±10 % (luck in [0,1)), and false where there is no further one.
// An endpoint that asks for more time gets it.
func wait(n int, asked time.Duration, luck float64) (time.Duration, bool) {
	if n < 1 || n > len(waits) {
		return 0, false
	}
	d := time.Duration(float64(waits[n-1]) * (0.9 + 0.2*luck)).Round(time.Millisecond)
	return max(d, min(asked, mostRetryAfter)), true
}

// failed counts a failed attempt and reports whether the endpoint is to be
// paused: gone for good, or nothing has arrived for a day while a message ran
// out of attempts or many failed. An endpoint that refuses one message and
// takes the others goes on.
func (e *Endpoint) failed(o outcome, last bool, now time.Time) (PauseReason, bool) {
	e.Failures++
	if e.FailingSince == nil {
		e.FailingSince = &now
	}
	switch {
	case e.Status != Enabled:
		return "", false
	case o.code == FailGone:
		return PauseGone, true
	case (last || e.Failures >= failuresToPause) && now.Sub(*e.FailingSince) >= failingToPause:
		return PauseFailing, true
	}
	return "", false
}

// arrived notes that a message arrived.
func (e *Endpoint) arrived(now time.Time) {
	e.Failures, e.FailingSince, e.DeliveredAt = 0, nil, &now
}
