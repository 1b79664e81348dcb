package enrollment

import (
	"strconv"
	"strings"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/address"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/partner"
	"github.com/channelgraph/channelgraph/internal/region"
	"github.com/channelgraph/channelgraph/internal/secret"
)

// Codes of the verbs on enrollments.
const (
	// CodeState says that the enrollment has moved on, or is not there yet.
	CodeState             = "ENROLLMENT_STATE"
	CodeOpen              = "ENROLLMENT_OPEN"
	CodeAlreadyEnrolled   = "ALREADY_ENROLLED"
	CodeStillAppealable   = "STILL_APPEALABLE"
	CodeNotAppealable     = "NOT_APPEALABLE"
	CodeKindNotOpen       = "KIND_NOT_OPEN"
	CodeDomainPublic      = "DOMAIN_PUBLIC"
	CodeMembershipUnknown = "MEMBERSHIP_UNKNOWN"
	CodeContactSuppressed = "RECIPIENT_SUPPRESSED"
)

// StartInput asks for the way in: who becomes the first Global admin of the
// company with that work account.
type StartInput struct {
	Email     string
	FirstName string
	LastName  string
	// Locale is the language of the mails, "en" or "it"; without one the
	// country's own where there is one.
	Locale       string
	TenantDomain string
	Country      string
}

// Validate puts the input into its stored form or says all that is wrong with
// it.
func (in *StartInput) Validate() error {
	var p fault.Problems
	take := func(path string, to *string) func(string, error) {
		return func(v string, err error) {
			_ = p.Merge(path, err)
			*to = v
		}
	}
	if strings.TrimSpace(in.Email) == "" {
		p.Add("email", fault.CodeRequired)
	} else {
		a, err := address.Parse(in.Email)
		if err == nil && address.Disposable(a.Domain) {
			err = fault.Invalid("", address.CodeEmailDisposable, "domain", address.Unicode(a.Domain))
		}
		take("email", &in.Email)(a.String(), err)
	}
	take("firstName", &in.FirstName)(address.Name(in.FirstName, 50))
	take("lastName", &in.LastName)(address.Name(in.LastName, 50))
	if strings.TrimSpace(in.TenantDomain) == "" {
		p.Add("tenantDomain", fault.CodeRequired)
	} else {
		take("tenantDomain", &in.TenantDomain)(workDomain(in.TenantDomain))
	}
	c, known := region.Find(in.Country)
	if strings.TrimSpace(in.Country) == "" {
		p.Add("country", fault.CodeRequired)
	} else if !known || !c.Open {
		p.Add("country", partner.CodeCountryUnknown)
	}
	in.Country = c.Code
	switch {
	case in.Locale == "" && known && len(c.Cultures) > 0 && strings.HasPrefix(c.Cultures[0], "it"):
		in.Locale = "it"
	case in.Locale == "":
		in.Locale = account.Locales[0]
	case in.Locale != "en" && in.Locale != "it":
		p.Add("locale", fault.CodeInvalid)
	}
	return p.Err()
}

// workDomain reads the domain of a work account, which must be a company's
// own.
func workDomain(s string) (string, error) {
	d, err := address.Domain(strings.TrimSpace(s))
	switch {
	case err != nil:
		return "", err
	case address.MixedScript(d):
		return "", fault.Invalid("", address.CodeDomainInvalid)
	case address.Webmail(d), address.Disposable(d):
		return "", fault.Invalid("", CodeDomainPublic, "domain", address.Unicode(d))
	}
	return d, nil
}

// CompleteStartInput founds the organization behind a start link.
type CompleteStartInput struct {
	Password secret.String
}

// LinkState is what a mailed link of an enrollment can still do.
type LinkState string

// States of a link. CONFIRMED and DISOWNED are how it was used; CLOSED says
// that the enrollment does not wait for it any more.
const (
	LinkValid     LinkState = "VALID"
	LinkUsed      LinkState = "USED"
	LinkConfirmed LinkState = "CONFIRMED"
	LinkDisowned  LinkState = "DISOWNED"
	LinkExpired   LinkState = "EXPIRED"
	LinkReplaced  LinkState = "REPLACED"
	LinkClosed    LinkState = "CLOSED"
	LinkUnknown   LinkState = "UNKNOWN"
)

// StartPreview is what the page of a start link shows; making one consumes
// nothing. All but the state is set while the link is valid, UsedAt where it
// was used.
type StartPreview struct {
	State        LinkState
	UsedAt       *time.Time
	ExpiresAt    *time.Time
	Email        string
	FirstName    string
	LastName     string
	TenantDomain string
	Country      string
	Locale       string
}

// VerificationPreview is what the primary contact reads before answering;
// making one consumes nothing. What is said of the company is set while the
// link is valid, UsedAt where it was used.
type VerificationPreview struct {
	State        LinkState
	UsedAt       *time.Time
	ExpiresAt    *time.Time
	Company      string
	Country      string
	TenantDomain string
	// Applicant is who signed up, Contact the name and Email the address that
	// are to be confirmed.
	Applicant   string
	Contact     string
	Email       string
	SubmittedAt *time.Time
	Locale      string
	Purpose     Purpose
}

// LegalInput changes the legal profile: nil keeps a field, "" clears it.
type LegalInput struct {
	Name           *string
	RegistrationID *string
	Website        *string
	Address        *AddressInput
}

// AddressInput changes the address; the country is the organization's.
type AddressInput struct {
	Line1      *string
	Line2      *string
	City       *string
	PostalCode *string
	State      *string
}

// ContactInput changes the primary contact.
type ContactInput struct {
	FirstName *string
	LastName  *string
	Email     *string
	Phone     *string
}

// SupportInput changes the support profile.
type SupportInput struct {
	Email   *string
	Phone   *string
	Website *string
}

// Corrections are changes of a profile as they are filled in, not yet judged.
type Corrections struct {
	Legal   *LegalInput
	Contact *ContactInput
	Support *SupportInput
}

// SaveInput fills in a draft. What can be stored is stored; what submission
// still needs is told by Problems.
type SaveInput struct {
	EnrollmentID    ident.ID
	ExpectedVersion *int
	Corrections
}

// storable is the most that a field of a draft may hold: the rules of the
// profile come later, but no field is a place for anything at all.
const storable = 300

// Apply puts the corrections into a profile and names what was changed. Texts
// are cleaned and otherwise kept as they were written. Errors at their paths:
// TOO_LONG, CONTROL_CHARACTERS.
func (c Corrections) Apply(to *partner.Profile) (changed []string, err error) {
	var p fault.Problems
	set := func(path string, v *string, field *string) {
		if v == nil {
			return
		}
		s, err := address.Line(*v, storable)
		if err != nil {
			_ = p.Merge(path, err)
			return
		}
		if *field != s {
			*field = s
			changed = append(changed, path)
		}
	}
	if l := c.Legal; l != nil {
		set("legal.name", l.Name, &to.LegalName)
		set("legal.registrationId", l.RegistrationID, &to.RegistrationID)
		set("legal.website", l.Website, &to.Website)
		if a := l.Address; a != nil {
			set("legal.address.line1", a.Line1, &to.Address.Line1)
			set("legal.address.line2", a.Line2, &to.Address.Line2)
			set("legal.address.city", a.City, &to.Address.City)
			set("legal.address.postalCode", a.PostalCode, &to.Address.PostalCode)
			set("legal.address.state", a.State, &to.Address.State)
		}
	}
	if k := c.Contact; k != nil {
		set("contact.firstName", k.FirstName, &to.Contact.FirstName)
		set("contact.lastName", k.LastName, &to.Contact.LastName)
		set("contact.email", k.Email, &to.Contact.Email)
		set("contact.phone", k.Phone, &to.Contact.Phone)
	}
	if s := c.Support; s != nil {
		set("support.email", s.Email, &to.Support.Email)
		set("support.phone", s.Phone, &to.Support.Phone)
		set("support.website", s.Website, &to.Support.Website)
	}
	return changed, p.Err()
}

// Problems are what submission would be refused for, apart from duplicates,
// each at the path of the field that saving takes; nil where the profile is
// whole.
func (e *Enrollment) Problems() []fault.Problem {
	p := e.Profile
	f := fault.As(p.Validate(e.Country))
	if f == nil {
		return nil
	}
	return f.Problems
}

// ProveMembershipInput proves that memberships, and so programme IDs, are the
// applicant's.
type ProveMembershipInput struct {
	EnrollmentID ident.ID
	UserName     string
	Password     secret.String
}

// ChoiceReason is why a programme ID cannot be selected.
type ChoiceReason string

// Reasons against a programme ID.
const (
	ChoiceInactive     ChoiceReason = "PROFILE_INACTIVE"
	ChoiceOtherCountry ChoiceReason = "OTHER_COUNTRY"
	ChoiceTaken        ChoiceReason = "PROGRAMME_ID_TAKEN"
)

// MembershipChoice is a programme ID that a proof brought to light, and why
// it cannot be selected, where it cannot.
type MembershipChoice struct {
	MembershipID ident.ID
	ProgrammeID  string
	LegalName    string
	Country      string
	// AlreadyEnrolled says that selecting it fills in legal profile and
	// primary contact.
	AlreadyEnrolled bool
	Selectable      bool
	Reason          ChoiceReason
	Selected        bool
}

// SelectProgrammeIDInput links a proved membership; nil asks for a new
// programme ID instead.
type SelectProgrammeIDInput struct {
	EnrollmentID    ident.ID
	ExpectedVersion *int
	MembershipID    *ident.ID
}

// SubmitInput hands an enrollment in.
type SubmitInput struct {
	EnrollmentID    ident.ID
	ExpectedVersion *int
	IdempotencyKey  *string
}

// ResendInput mails the primary contact a new link; the former one dies.
type ResendInput struct {
	EnrollmentID   ident.ID
	IdempotencyKey *string
}

// WithdrawInput gives an enrollment up.
type WithdrawInput struct {
	EnrollmentID    ident.ID
	ExpectedVersion *int
	Reason          *string
}

// BeginInput begins anew after an enrollment that came to nothing.
type BeginInput struct {
	IdempotencyKey *string
}

// AnswerInput answers what a reviewer asked: by text, files and corrections.
type AnswerInput struct {
	EnrollmentID    ident.ID
	ExpectedVersion *int
	Text            string
	FileIDs         []ident.ID
	IdempotencyKey  *string
	Corrections
}

// AppealInput asks another reviewer to look again.
type AppealInput struct {
	EnrollmentID   ident.ID
	Text           string
	FileIDs        []ident.ID
	IdempotencyKey *string
}

// written checks a text that people of the other side will read, and the
// number of files beside it.
func written(text *string, required bool, files []ident.ID) error {
	var p fault.Problems
	s, err := address.PlainText(*text, MaxTextLength)
	switch {
	case err != nil:
		_ = p.Merge("text", err)
	case s == "" && required:
		p.Add("text", fault.CodeRequired)
	}
	*text = s
	if len(files) > MaxFiles {
		p.Add("fileIds", fault.CodeTooMany, "max", strconv.Itoa(MaxFiles))
	}
	return p.Err()
}

// Requirement names something that an applicant needs.
type Requirement string

// What is needed before starting (spec section 2).
const (
	NeedGlobalAdmin    Requirement = "GLOBAL_ADMIN_CREDENTIALS"
	NeedMembership     Requirement = "MEMBERSHIP_CREDENTIALS"
	NeedLegalName      Requirement = "LEGAL_NAME"
	NeedAddress        Requirement = "ADDRESS"
	NeedRegistrationID Requirement = "REGISTRATION_ID"
	NeedPrimaryContact Requirement = "PRIMARY_CONTACT"
	NeedSupportProfile Requirement = "SUPPORT_PROFILE"
	NeedAgreement      Requirement = "AGREEMENT"
)

// RequirementList lists all requirements.
var RequirementList = []Requirement{NeedGlobalAdmin, NeedMembership, NeedLegalName, NeedAddress, NeedRegistrationID, NeedPrimaryContact, NeedSupportProfile, NeedAgreement}

// RequirementItem says for whom a requirement is.
type RequirementItem struct {
	Requirement Requirement
	Mandatory   bool
	// AlreadyEnrolled says that companies which the register knows as
	// enrolled supply it too.
	AlreadyEnrolled bool
}

// Requirements are what an applicant of a country needs.
type Requirements struct {
	Country  region.Country
	Kind     access.Kind
	Items    []RequirementItem
	States   []region.State
	Postcode bool
	// Documents are what a reviewer may ask for.
	Documents []DocumentKind
}
