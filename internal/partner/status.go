package partner

import (
	"slices"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/address"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/region"
)

// Codes of the verbs on a partner's status.
const (
	// CodeStatusForbids says that the partner's status does not allow the act.
	CodeStatusForbids = "PARTNER_STATUS_FORBIDS"
	// CodeNotYetActive says that the company does not take part in the programme
	// yet, so that its people are those who enroll it.
	CodeNotYetActive = "COMPANY_NOT_ACTIVE"
	// CodeExactlyOne says that one of several arguments is asked for.
	CodeExactlyOne = "EXACTLY_ONE"
)

// Verb is an act that changes a partner's status.
type Verb string

// Verbs on a partner's status.
const (
	VerbActivate  Verb = "activate"
	VerbSuspend   Verb = "suspend"
	VerbReinstate Verb = "reinstate"
	VerbClose     Verb = "close"
)

// Statuses lists all statuses, Verbs all verbs on them.
var (
	Statuses = []Status{Applying, Approved, Active, Suspended, Closed}
	Verbs    = []Verb{VerbActivate, VerbSuspend, VerbReinstate, VerbClose}
)

// transitions says where each verb may start and where it leads. Nothing
// leads out of Closed; reinstating leads to Approved where the agreement was
// never signed.
var transitions = map[Verb]struct {
	from []Status
	to   Status
}{
	VerbActivate:  {[]Status{Approved}, Active},
	VerbSuspend:   {[]Status{Active}, Suspended},
	VerbReinstate: {[]Status{Suspended}, Active},
	VerbClose:     {[]Status{Active, Suspended}, Closed},
}

// Next is the status that a verb leads to, and whether it may start in s.
func (s Status) Next(v Verb) (Status, bool) {
	t, ok := transitions[v]
	if !ok || !slices.Contains(t.from, s) {
		return s, false
	}
	return t.to, true
}

// Admitted reports whether the partner takes part in the programme, or has: it
// may have been suspended or closed since.
func (s Status) Admitted() bool { return s != Applying && s != Approved }

// maxReason bounds the operator's reason, in characters.
const maxReason = 500

// SuspendInput stops a partner's new business.
type SuspendInput struct {
	PartnerID ident.ID
	// Reason is what the partner is told, 1 to 500 characters.
	Reason          string
	ExpectedVersion *int
}

// Validate checks the form of the input.
func (in *SuspendInput) Validate() error { return needReason(&in.Reason) }

// ReinstateInput lets a suspended partner do business again.
type ReinstateInput struct {
	PartnerID ident.ID
	// Reason is kept in the audit, which the partner reads too, 1 to 500
	// characters.
	Reason          string
	ExpectedVersion *int
}

// Validate checks the form of the input.
func (in *ReinstateInput) Validate() error { return needReason(&in.Reason) }

// CloseInput ends a partner's part in the programme for good.
type CloseInput struct {
	PartnerID ident.ID
	// Reason is what the partner is told, 1 to 500 characters.
	Reason          string
	ExpectedVersion *int
}

// Validate checks the form of the input.
func (in *CloseInput) Validate() error { return needReason(&in.Reason) }

func needReason(s *string) error {
	var p fault.Problems
	reason, err := address.PlainText(*s, maxReason)
	_ = p.Merge("reason", err)
	if err == nil && reason == "" {
		p.Add("reason", fault.CodeRequired)
	}
	*s = reason
	return p.Err()
}

// StatusInput names a partner by its programme ID or by the domain of its
// work account, exactly one of them.
type StatusInput struct {
	ProgrammeID  *string
	TenantDomain *string
}

// Validate checks that one of the two is given.
func (in *StatusInput) Validate() error {
	if (in.ProgrammeID == nil) == (in.TenantDomain == nil) {
		return fault.Invalid("programmeId", CodeExactlyOne)
	}
	return nil
}

// ProgrammeStatus is what a partner may be told of another one (spec
// section 2): neither its name nor why it is not active.
type ProgrammeStatus struct {
	Kind   access.Kind
	Region region.Code
	// Active says that it takes part in the programme now.
	Active bool
	// AgreementSigned says that the partner agreement counts as signed now.
	AgreementSigned bool
}
