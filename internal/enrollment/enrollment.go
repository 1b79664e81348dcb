// Package enrollment owns the way of a company into the programme, and later
// changes of what was verified on that way: the application and its draft, the
// proof that the primary contact's address is the company's, the three checks,
// questions and answers, decisions and one appeal, the promised dates, the
// timeline that both sides read (spec section 2). It never makes a partner
// itself (the partner concept does, on approval), and never signs anything.
//
// Invariant: an organization has at most one open enrollment; every step is
// one of the transition table and stands in the timeline; what falls due is
// planned in the row itself, and a step of the plan is gone when it was taken
// or became moot, so that none is taken twice.
package enrollment

import (
	"slices"
	"time"

	"github.com/uptrace/bun"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/partner"
	"github.com/channelgraph/channelgraph/internal/sla"
)

// Purpose is what an enrollment is for.
type Purpose string

// Purposes: entering the programme, and changing what was verified then.
const (
	Admission Purpose = "ADMISSION"
	Change    Purpose = "CHANGE"
)

// Status is where an enrollment stands.
type Status string

// Statuses of an enrollment. A change that was approved is ACTIVE at once: it
// needs no agreement.
const (
	Draft          Status = "DRAFT"
	EmailPending   Status = "EMAIL_PENDING"
	InReview       Status = "IN_REVIEW"
	ActionRequired Status = "ACTION_REQUIRED"
	Frozen         Status = "FROZEN"
	Approved       Status = "APPROVED"
	Active         Status = "ACTIVE"
	Rejected       Status = "REJECTED"
	Expired        Status = "EXPIRED"
	Withdrawn      Status = "WITHDRAWN"
)

// Statuses lists all statuses.
var Statuses = []Status{Draft, EmailPending, InReview, ActionRequired, Frozen, Approved, Active, Rejected, Expired, Withdrawn}

// Open reports whether the enrollment can still lead to ACTIVE without an
// appeal; an organization has one such enrollment at most.
func (s Status) Open() bool {
	switch s {
	case Draft, EmailPending, InReview, ActionRequired, Frozen, Approved:
		return true
	}
	return false
}

// Verb is an act on an enrollment.
type Verb string

// Verbs of an enrollment. Reverify is an answer that names another contact:
// its address has to be proved before the review goes on. Apply is the
// approval of a change. Reopen is the appeal against a rejection that came
// before the contact had confirmed: a reviewer has to send a new link first.
const (
	VerbSubmit   Verb = "submit"
	VerbConfirm  Verb = "confirm"
	VerbDisown   Verb = "disown"
	VerbUnfreeze Verb = "unfreeze"
	VerbAsk      Verb = "ask"
	VerbAnswer   Verb = "answer"
	VerbReverify Verb = "reverify"
	VerbApprove  Verb = "approve"
	VerbApply    Verb = "apply"
	VerbReject   Verb = "reject"
	VerbAppeal   Verb = "appeal"
	VerbReopen   Verb = "reopen"
	VerbSign     Verb = "sign"
	VerbExpire   Verb = "expire"
	VerbWithdraw Verb = "withdraw"
)

// Verbs lists all verbs.
var Verbs = []Verb{VerbSubmit, VerbConfirm, VerbDisown, VerbUnfreeze, VerbAsk, VerbAnswer, VerbReverify, VerbApprove, VerbApply,
	VerbReject, VerbAppeal, VerbReopen, VerbSign, VerbExpire, VerbWithdraw}

// transitions says where each verb may start and where it leads.
var transitions = map[Verb]struct {
	from []Status
	to   Status
}{
	VerbSubmit:   {[]Status{Draft}, EmailPending},
	VerbConfirm:  {[]Status{EmailPending}, InReview},
	VerbDisown:   {[]Status{EmailPending}, Frozen},
	VerbUnfreeze: {[]Status{Frozen}, EmailPending},
	VerbAsk:      {[]Status{InReview}, ActionRequired},
	VerbAnswer:   {[]Status{ActionRequired}, InReview},
	VerbReverify: {[]Status{ActionRequired}, EmailPending},
	VerbApprove:  {[]Status{InReview}, Approved},
	VerbApply:    {[]Status{InReview}, Active},
	VerbReject:   {[]Status{InReview, ActionRequired, Frozen}, Rejected},
	VerbAppeal:   {[]Status{Rejected}, InReview},
	VerbReopen:   {[]Status{Rejected}, Frozen},
	VerbSign:     {[]Status{Approved}, Active},
	VerbExpire:   {[]Status{Draft, EmailPending}, Expired},
	VerbWithdraw: {[]Status{Draft, EmailPending, InReview, ActionRequired}, Withdrawn},
}

// Next is the status that a verb leads to, and whether it may start in s.
func (s Status) Next(v Verb) (Status, bool) {
	t, ok := transitions[v]
	if !ok || !slices.Contains(t.from, s) {
		return s, false
	}
	return t.to, true
}

// CheckKind names one of the three checks.
type CheckKind string

// The checks, in the order in which they are made.
const (
	EmailOwnership CheckKind = "EMAIL_OWNERSHIP"
	Employment     CheckKind = "EMPLOYMENT"
	Business       CheckKind = "BUSINESS"
)

// CheckKinds lists all checks.
var CheckKinds = []CheckKind{EmailOwnership, Employment, Business}

// CheckStatus is where a check stands.
type CheckStatus string

// Statuses of a check.
const (
	CheckWaiting        CheckStatus = "WAITING"
	CheckRunning        CheckStatus = "RUNNING"
	CheckPassed         CheckStatus = "PASSED"
	CheckActionRequired CheckStatus = "ACTION_REQUIRED"
	CheckFailed         CheckStatus = "FAILED"
)

// CheckStatuses lists the statuses of a check.
var CheckStatuses = []CheckStatus{CheckWaiting, CheckRunning, CheckPassed, CheckActionRequired, CheckFailed}

// CheckReason is why a check stands where it stands.
type CheckReason string

// Reasons of checks.
const (
	WebmailContact       CheckReason = "WEBMAIL_CONTACT"
	DomainDiffers        CheckReason = "DOMAIN_DIFFERS"
	RegistrationFormat   CheckReason = "REGISTRATION_FORMAT"
	RegistrationNotFound CheckReason = "REGISTRATION_NOT_FOUND"
	RegisterUnavailable  CheckReason = "REGISTER_UNAVAILABLE"
	NameDiffers          CheckReason = "NAME_DIFFERS"
	CompanyDissolved     CheckReason = "COMPANY_DISSOLVED"
	DuplicateFound       CheckReason = "DUPLICATE"
	EvidenceAccepted     CheckReason = "EVIDENCE_ACCEPTED"
	RegisterMatch        CheckReason = "REGISTER_MATCH"
	DomainMatch          CheckReason = "DOMAIN_MATCH"
	AddressConfirmed     CheckReason = "ADDRESS_CONFIRMED"
	MembershipEnrolled   CheckReason = "MEMBERSHIP_ENROLLED"
	ReviewerDecision     CheckReason = "REVIEWER_DECISION"
	Disowned             CheckReason = "DISOWNED"
)

// CheckReasons lists all reasons of checks.
var CheckReasons = []CheckReason{WebmailContact, DomainDiffers, RegistrationFormat, RegistrationNotFound, RegisterUnavailable,
	NameDiffers, CompanyDissolved, DuplicateFound, EvidenceAccepted, RegisterMatch, DomainMatch, AddressConfirmed, MembershipEnrolled, ReviewerDecision, Disowned}

// RejectReason is why an enrollment was rejected.
type RejectReason string

// Reasons of rejections; OTHER needs a note.
const (
	NameMismatch        RejectReason = "NAME_MISMATCH"
	RegistrationInvalid RejectReason = "REGISTRATION_INVALID"
	NotABusiness        RejectReason = "NOT_A_BUSINESS"
	DomainNotOwned      RejectReason = "DOMAIN_NOT_OWNED"
	RejectDuplicate     RejectReason = "DUPLICATE"
	Sanctioned          RejectReason = "SANCTIONED"
	Fraud               RejectReason = "FRAUD"
	NoResponse          RejectReason = "NO_RESPONSE"
	OtherReason         RejectReason = "OTHER"
)

// RejectReasons lists all reasons of rejections.
var RejectReasons = []RejectReason{NameMismatch, RegistrationInvalid, NotABusiness, DomainNotOwned, RejectDuplicate, Sanctioned, Fraud, NoResponse, OtherReason}

// DocumentKind is a kind of evidence that a reviewer may ask for.
type DocumentKind string

// Kinds of evidence.
const (
	RegistrationExtract DocumentKind = "REGISTRATION_EXTRACT"
	DomainOwnership     DocumentKind = "DOMAIN_OWNERSHIP"
	ProofOfAddress      DocumentKind = "PROOF_OF_ADDRESS"
	TaxDocument         DocumentKind = "TAX_DOCUMENT"
	EmploymentLetter    DocumentKind = "EMPLOYMENT_LETTER"
	OtherDocument       DocumentKind = "OTHER"
)

// DocumentKinds lists all kinds of evidence.
var DocumentKinds = []DocumentKind{RegistrationExtract, DomainOwnership, ProofOfAddress, TaxDocument, EmploymentLetter, OtherDocument}

// Party is a side of an enrollment: who has to act, or who did.
type Party string

// Parties. System is channelgraph itself.
const (
	Nobody    Party = ""
	Applicant Party = "APPLICANT"
	Contact   Party = "CONTACT"
	Operator  Party = "OPERATOR"
	System    Party = "SYSTEM"
)

// Enrollment is one course of a company through the verification.
type Enrollment struct {
	bun.BaseModel  `bun:"table:enrollment,alias:enrollment"`
	ID             ident.ID `bun:"id,pk"`
	OrganizationID ident.ID `bun:"organization_id"`
	// PartnerID is the partner that approval made, or that a change is of.
	PartnerID *ident.ID `bun:"partner_id"`
	Purpose   Purpose   `bun:"purpose"`
	// Kind is what the company is to be in the programme.
	Kind   access.Kind `bun:"kind"`
	Status Status      `bun:"status"`
	// Stage counts the states that it went through, also those that it met
	// again; a reminder of a former stage is moot.
	Stage int `bun:"stage"`
	// Country is the organization's and fixes region and currency.
	Country string `bun:"country"`
	// TenantDomain names the work account.
	TenantDomain string `bun:"tenant_domain"`
	// Profile is what was applied with, as far as it is filled in.
	Profile              partner.Profile `bun:"profile,type:jsonb"`
	LegalNameFolded      string          `bun:"legal_name_folded"`
	RegistrationIDFolded string          `bun:"registration_id_folded"`
	ContactEmailFolded   string          `bun:"contact_email_folded"`
	// MembershipID is the proved membership whose programme ID is to be
	// linked, with that ID; without one a new ID is given.
	MembershipID *ident.ID `bun:"membership_id"`
	ProgrammeID  string    `bun:"programme_id"`
	// AlreadyEnrolled says that the membership carries legal profile and
	// primary contact, so that only the support profile is to be supplied.
	AlreadyEnrolled bool     `bun:"already_enrolled"`
	CreatedByID     ident.ID `bun:"created_by_id"`
	// AssigneeID is the reviewer who works it.
	AssigneeID *ident.ID `bun:"assignee_id"`
	// Generation counts the links to the primary contact; only the newest one
	// lives. LinkSentAt is when that was written, LinkExpiresAt its end.
	Generation            int        `bun:"generation"`
	VerificationMessageID ident.ID   `bun:"verification_message_id"`
	LinkSentAt            *time.Time `bun:"link_sent_at"`
	LinkExpiresAt         *time.Time `bun:"link_expires_at"`
	// Clock is the promise of the review; TargetAt and DueAt are its dates,
	// null while it does not run.
	Clock    sla.Clock  `bun:"clock,type:jsonb"`
	TargetAt *time.Time `bun:"target_at"`
	DueAt    *time.Time `bun:"due_at"`
	// Awaits is who has to act, Until by when.
	Awaits  Party      `bun:"awaits"`
	UntilAt *time.Time `bun:"until_at"`
	// QueueAt is what the queue is ordered by: UntilAt, and far off where
	// nothing is awaited.
	QueueAt time.Time `bun:"queue_at"`
	// Agenda is what is planned in the present state, soonest first; the first
	// one's moment is NextActionAt.
	Agenda       []Due      `bun:"agenda,type:jsonb"`
	NextActionAt *time.Time `bun:"next_action_at"`
	// ReasonCode and ReasonNote say why it was rejected.
	ReasonCode   RejectReason `bun:"reason_code"`
	ReasonNote   string       `bun:"reason_note"`
	DecidedByID  *ident.ID    `bun:"decided_by_id"`
	DecidedAt    *time.Time   `bun:"decided_at"`
	AppealUntil  *time.Time   `bun:"appeal_until"`
	AppealText   string       `bun:"appeal_text"`
	AppealedAt   *time.Time   `bun:"appealed_at"`
	RejectedByID *ident.ID    `bun:"rejected_by_id"`
	// TouchedAt is when the applicant last worked on the draft.
	TouchedAt   time.Time  `bun:"touched_at"`
	SubmittedAt *time.Time `bun:"submitted_at"`
	ConfirmedAt *time.Time `bun:"confirmed_at"`
	DisownedAt  *time.Time `bun:"disowned_at"`
	ActivatedAt *time.Time `bun:"activated_at"`
	ClosedAt    *time.Time `bun:"closed_at"`
	// EvidenceDiscardedAt is when the evidence of one that came to nothing was
	// removed, or seen to be none.
	EvidenceDiscardedAt *time.Time `bun:"evidence_discarded_at"`
	Version             int        `bun:"version"`
	CreatedAt           time.Time  `bun:"created_at"`
	UpdatedAt           time.Time  `bun:"updated_at"`
}

// Step is something that falls due in an enrollment's life.
type Step string

// Steps. The last moments of a state end it: expiry, and a rejection for want
// of an answer.
const (
	StepNone          Step = ""
	StepRemindDraft   Step = "remind_draft"
	StepRemindConfirm Step = "remind_confirm"
	StepReviewTarget  Step = "review_target"
	StepReviewDue     Step = "review_due"
	StepRemindAnswer  Step = "remind_answer"
	StepNoResponse    Step = "no_response"
	StepRemindSign    Step = "remind_sign"
	StepExpire        Step = "expire"
)

// Final reports whether the step ends the state.
func (s Step) Final() bool { return s == StepExpire || s == StepNoResponse }

// Due is a step and its moment.
type Due struct {
	Step Step      `json:"step"`
	At   time.Time `json:"at"`
}

// Next is the step that comes first at or after a moment.
func (e *Enrollment) Next(after time.Time) (Step, time.Time) {
	for _, d := range e.Agenda {
		if !d.At.Before(after) {
			return d.Step, d.At
		}
	}
	return StepNone, time.Time{}
}

// Appealable reports whether the rejection can be appealed at now: once, and
// not for ever.
func (e *Enrollment) Appealable(now time.Time) bool {
	return e.Status == Rejected && e.AppealedAt == nil && e.AppealUntil != nil && now.Before(*e.AppealUntil)
}

// LinkLive reports whether the newest link to the contact works at now.
func (e *Enrollment) LinkLive(now time.Time) bool {
	return e.Status == EmailPending && e.LinkExpiresAt != nil && now.Before(*e.LinkExpiresAt)
}

// CanBegin reports whether the organization may begin anew after this
// enrollment.
func (e *Enrollment) CanBegin(now time.Time) bool {
	switch e.Status {
	case Expired, Withdrawn:
		return true
	case Rejected:
		return !e.Appealable(now)
	}
	return false
}

// Check is where one check of an enrollment stands.
type Check struct {
	bun.BaseModel `bun:"table:enrollment_check,alias:enrollment_check"`
	EnrollmentID  ident.ID    `bun:"enrollment_id,pk"`
	Kind          CheckKind   `bun:"kind,pk"`
	Status        CheckStatus `bun:"status"`
	ReasonCode    CheckReason `bun:"reason_code"`
	// Note is what a reviewer wrote beside the decision, for the operator.
	Note string `bun:"note"`
	// Awaits is who has to act on it, DueAt by when.
	Awaits      Party      `bun:"awaits"`
	DueAt       *time.Time `bun:"due_at"`
	DecidedByID *ident.ID  `bun:"decided_by_id"`
	DecidedAt   *time.Time `bun:"decided_at"`
	UpdatedAt   time.Time  `bun:"updated_at"`
}

// Question is what a reviewer asked the applicant, and the answer.
type Question struct {
	bun.BaseModel `bun:"table:enrollment_question,alias:enrollment_question"`
	ID            ident.ID `bun:"id,pk"`
	EnrollmentID  ident.ID `bun:"enrollment_id"`
	// Check is what it concerns, "" for the whole.
	Check     CheckKind      `bun:"check_kind"`
	Documents []DocumentKind `bun:"documents,type:jsonb"`
	Text      string         `bun:"text"`
	AskedByID ident.ID       `bun:"asked_by_id"`
	AskedAt   time.Time      `bun:"asked_at"`
	// DueAt is when the enrollment is rejected without an answer.
	DueAt        time.Time  `bun:"due_at"`
	Answer       string     `bun:"answer"`
	AnsweredByID *ident.ID  `bun:"answered_by_id"`
	AnsweredAt   *time.Time `bun:"answered_at"`
}

// EntryKind says what a line of the timeline tells.
type EntryKind string

// Kinds of timeline entries.
const (
	EntryStarted             EntryKind = "STARTED"
	EntryProgrammeIDSelected EntryKind = "PROGRAMME_ID_SELECTED"
	EntrySubmitted           EntryKind = "SUBMITTED"
	EntryLinkSent            EntryKind = "LINK_SENT"
	EntryLinkUndelivered     EntryKind = "LINK_UNDELIVERED"
	EntryConfirmed           EntryKind = "CONFIRMED"
	EntryDisowned            EntryKind = "DISOWNED"
	EntryUnfrozen            EntryKind = "UNFROZEN"
	EntryCheckPassed         EntryKind = "CHECK_PASSED"
	EntryCheckFailed         EntryKind = "CHECK_FAILED"
	EntryCheckOpen           EntryKind = "CHECK_OPEN"
	EntryAssigned            EntryKind = "ASSIGNED"
	EntryAsked               EntryKind = "ASKED"
	EntryAnswered            EntryKind = "ANSWERED"
	EntryApproved            EntryKind = "APPROVED"
	EntryRejected            EntryKind = "REJECTED"
	EntryAppealed            EntryKind = "APPEALED"
	EntryActivated           EntryKind = "ACTIVATED"
	EntryExpired             EntryKind = "EXPIRED"
	EntryWithdrawn           EntryKind = "WITHDRAWN"
	EntryReviewTarget        EntryKind = "REVIEW_TARGET_REACHED"
	EntryReviewDue           EntryKind = "REVIEW_DUE_REACHED"
	EntryPromiseMoved        EntryKind = "PROMISE_MOVED"
	EntryPromoted            EntryKind = "PROMOTED"
	EntryChangeRequested     EntryKind = "CHANGE_REQUESTED"
	EntryNote                EntryKind = "NOTE"
	EntryMail                EntryKind = "MAIL"
)

// EntryKinds lists all kinds of timeline entries.
var EntryKinds = []EntryKind{EntryStarted, EntryProgrammeIDSelected, EntrySubmitted, EntryLinkSent, EntryLinkUndelivered, EntryConfirmed, EntryDisowned,
	EntryUnfrozen, EntryCheckPassed, EntryCheckFailed, EntryCheckOpen, EntryAssigned, EntryAsked, EntryAnswered, EntryApproved, EntryRejected,
	EntryAppealed, EntryActivated, EntryExpired, EntryWithdrawn, EntryReviewTarget, EntryReviewDue, EntryPromiseMoved, EntryPromoted,
	EntryChangeRequested, EntryNote, EntryMail}

// Entry is one line of the timeline.
type Entry struct {
	bun.BaseModel `bun:"table:enrollment_event,alias:enrollment_event"`
	EnrollmentID  ident.ID  `bun:"enrollment_id,pk"`
	Number        int       `bun:"number,pk"`
	Kind          EntryKind `bun:"kind"`
	At            time.Time `bun:"at"`
	// Side is which party acted, ActorID and ActorName who of them; the name
	// of a reviewer is the operator's own.
	Side      Party    `bun:"side"`
	ActorID   ident.ID `bun:"actor_id"`
	ActorName string   `bun:"actor_name"`
	// OperatorOnly hides the line from the applicant.
	OperatorOnly bool      `bun:"operator_only"`
	Check        CheckKind `bun:"check_kind"`
	// ReasonCode is a CheckReason, a RejectReason or a mail's failure.
	ReasonCode string `bun:"reason_code"`
	Note       string `bun:"note"`
	// UntilAt is the moment that the line promises or sets.
	UntilAt *time.Time `bun:"until_at"`
	// MessageID and Template tell which mail was written.
	MessageID ident.ID `bun:"message_id"`
	Template  string   `bun:"template"`
}

// Purposes, prefixes and pages of the mailed links.
const (
	StartPurpose  = "enrollment_start"
	StartPrefix   = "cge"
	StartPath     = "/l/enroll"
	VerifyPurpose = "enrollment_verification"
	VerifyPrefix  = "cgv"
	VerifyPath    = "/l/verify"
)

// Limits of texts, in characters.
const (
	MaxTextLength = 2000
	MaxNoteLength = 1000
	MaxFiles      = 10
)
