package enrollment

import (
	"slices"
	"strconv"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/address"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/page"
)

// Codes of the reviewers' verbs. A decision on a state that has moved on is
// refused with CONFLICT.
const (
	// CodeOwnOrganization says that the application is of the reviewer's own
	// house.
	CodeOwnOrganization = "OWN_ORGANIZATION"
	// CodeSameReviewer says that the appeal is against this reviewer's own
	// decision.
	CodeSameReviewer = "SAME_REVIEWER"
	// CodeChecksOpen says that a check has not passed.
	CodeChecksOpen = "CHECKS_NOT_PASSED"
	// CodeNotDecidable says that nobody decides that check but the contact.
	CodeNotDecidable = "CHECK_NOT_DECIDABLE"
	// CodeNotReviewer says that the user named does not review.
	CodeNotReviewer = "NOT_A_REVIEWER"
	// CodeUnchanged says that nothing would change.
	CodeUnchanged = "UNCHANGED"
	// CodeNotPartner says that there is no partner whose profile could change.
	CodeNotPartner = "NOT_ENROLLED"
)

// AssignInput gives an enrollment to a reviewer; nil takes it from whoever has
// it.
type AssignInput struct {
	EnrollmentID    ident.ID
	ExpectedVersion *int
	AssigneeID      *ident.ID
}

// AskInput asks the applicant for more and stops the clock until it answers.
type AskInput struct {
	EnrollmentID    ident.ID
	ExpectedVersion *int
	// Check is what the question concerns; nil means the whole.
	Check     *CheckKind
	Documents []DocumentKind
	Text      string
}

// Validate checks the form of the input: a text, documents, or both.
func (in *AskInput) Validate() error {
	var p fault.Problems
	text, err := address.PlainText(in.Text, MaxTextLength)
	switch {
	case err != nil:
		_ = p.Merge("text", err)
	case text == "" && len(in.Documents) == 0:
		p.Add("text", fault.CodeRequired)
	}
	in.Text = text
	if in.Check != nil && !decidable(*in.Check) {
		p.Add("check", CodeNotDecidable)
	}
	for i, d := range in.Documents {
		if !slices.Contains(DocumentKinds, d) || slices.Contains(in.Documents[:i], d) {
			p.Add("documents."+strconv.Itoa(i), fault.CodeInvalid)
		}
	}
	return p.Err()
}

// decidable reports whether a reviewer decides a check: that an address is
// the contact's is for the contact to say.
func decidable(k CheckKind) bool { return k == Employment || k == Business }

// DecideCheckInput decides one check. A decision that was made before is
// changed only by who names the version that holds it.
type DecideCheckInput struct {
	EnrollmentID    ident.ID
	ExpectedVersion *int
	Check           CheckKind
	Passed          bool
	// ReasonCode is by default REVIEWER_DECISION.
	ReasonCode CheckReason
	// Note is for the operator alone.
	Note string
}

// decisionReasons are what a reviewer may give as the reason of a check that
// passed, and of one that failed.
var decisionReasons = map[bool][]CheckReason{
	true: {ReviewerDecision, EvidenceAccepted, RegisterMatch, DomainMatch},
	false: {ReviewerDecision, WebmailContact, DomainDiffers, RegistrationFormat, RegistrationNotFound, NameDiffers, CompanyDissolved,
		DuplicateFound},
}

// Validate checks the form of the input.
func (in *DecideCheckInput) Validate() error {
	var p fault.Problems
	if !decidable(in.Check) {
		p.Add("check", CodeNotDecidable)
	}
	if in.ReasonCode == "" {
		in.ReasonCode = ReviewerDecision
	}
	if !slices.Contains(decisionReasons[in.Passed], in.ReasonCode) {
		p.Add("reasonCode", fault.CodeInvalid)
	}
	remark(&p, &in.Note)
	return p.Err()
}

// remark cleans a note.
func remark(p *fault.Problems, note *string) {
	s, err := address.PlainText(*note, MaxNoteLength)
	_ = p.Merge("note", err)
	*note = s
}

// ApproveInput approves an enrollment all of whose checks have passed.
type ApproveInput struct {
	EnrollmentID    ident.ID
	ExpectedVersion *int
	// Note is for the operator alone.
	Note string
}

// Validate checks the form of the input.
func (in *ApproveInput) Validate() error {
	var p fault.Problems
	remark(&p, &in.Note)
	return p.Err()
}

// RejectInput rejects an enrollment. The applicant reads reason and note.
type RejectInput struct {
	EnrollmentID    ident.ID
	ExpectedVersion *int
	ReasonCode      RejectReason
	Note            string
}

// Validate checks the form of the input. NO_RESPONSE is for the clock to say.
func (in *RejectInput) Validate() error {
	var p fault.Problems
	if !slices.Contains(RejectReasons, in.ReasonCode) || in.ReasonCode == NoResponse {
		p.Add("reasonCode", fault.CodeInvalid)
	}
	remark(&p, &in.Note)
	if in.ReasonCode == OtherReason && in.Note == "" && !p.Any() {
		p.Add("note", fault.CodeRequired)
	}
	return p.Err()
}

// UnfreezeInput lets a disowned enrollment go on, with a new link to the
// contact.
type UnfreezeInput struct {
	EnrollmentID    ident.ID
	ExpectedVersion *int
	// Note is for the operator alone.
	Note string
}

// Validate checks the form of the input.
func (in *UnfreezeInput) Validate() error {
	var p fault.Problems
	remark(&p, &in.Note)
	return p.Err()
}

// PromoteInput makes an application one of a provider or a direct-bill
// partner.
type PromoteInput struct {
	EnrollmentID    ident.ID
	ExpectedVersion *int
	Kind            access.Kind
}

// Validate checks the form of the input.
func (in *PromoteInput) Validate() error {
	if in.Kind != access.IndirectProvider && in.Kind != access.DirectBill {
		return fault.Invalid("kind", fault.CodeInvalid)
	}
	return nil
}

// AddNoteInput writes a note for the operator's people.
type AddNoteInput struct {
	EnrollmentID ident.ID
	Text         string
}

// Validate checks the form of the input.
func (in *AddNoteInput) Validate() error {
	var p fault.Problems
	s, err := address.PlainText(in.Text, MaxTextLength)
	if err == nil && s == "" {
		err = fault.Invalid("", fault.CodeRequired)
	}
	_ = p.Merge("text", err)
	in.Text = s
	return p.Err()
}

// ChangeInput asks for a change of what was verified: nil keeps a field, ""
// clears it.
type ChangeInput struct {
	Legal          *LegalInput
	Contact        *ContactInput
	IdempotencyKey *string
}

// Assignment says by whom an enrollment is worked.
type Assignment string

// Assignments: the actor's own, nobody's, anybody's.
const (
	AssignedToMe  Assignment = "ME"
	AssignedToNo  Assignment = "NOBODY"
	AssignedToAny Assignment = "ANYBODY"
)

// Filter narrows a list of enrollments; what is given together must all hold.
type Filter struct {
	Status  []Status
	Purpose *Purpose
	Kind    *access.Kind
	Country *string
	// CheckOpen finds those in which one of these checks has neither passed
	// nor failed.
	CheckOpen []CheckKind
	// Assigned and AssigneeID are for the operator.
	Assigned   *Assignment
	AssigneeID *ident.ID
	// DueBefore finds those that somebody has to act on before a moment.
	DueBefore *time.Time
	// Overdue finds those whose promise is broken.
	Overdue *bool
	// Search matches the beginning of the company's name or of its work
	// account's domain.
	Search *string
}

// OrderField names what a list of enrollments is sorted by.
type OrderField string

// Orderings of enrollments. ByDue puts first what has to be acted on first,
// and last what nobody has to act on.
const (
	ByDue       OrderField = "DUE_AT"
	BySubmitted OrderField = "SUBMITTED_AT"
	ByName      OrderField = "NAME"
)

// Order is the ordering of a list of enrollments; what is due first by
// default.
type Order struct {
	Field     OrderField
	Direction page.Direction
}

func (o *Order) resolve() page.Order {
	out := page.Order{Name: string(ByDue), Column: "enrollment.queue_at", Sort: page.SortTime}
	if o == nil {
		return out
	}
	switch o.Field {
	case ByName:
		out = page.Order{Name: string(ByName), Column: "enrollment.legal_name_folded", Sort: page.SortText}
	case BySubmitted:
		out = page.Order{Name: string(BySubmitted), Column: submittedAt, Sort: page.SortTime}
	}
	out.Direction = o.Direction
	return out
}
