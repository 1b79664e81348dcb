package partner

import (
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/address"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/page"
	"github.com/channelgraph/channelgraph/internal/region"
)

// Codes of a partner's legal profile (spec section 2).
const (
	CodeCountryUnknown         = "COUNTRY_UNKNOWN"
	CodeRegistrationIDRequired = "REGISTRATION_ID_REQUIRED"
	CodeNameInvalid            = "NAME_INVALID"
	CodeDuplicate              = "DUPLICATE"
	CodeKindInvalid            = "KIND_INVALID"
	CodeStatusInvalid          = "STATUS_INVALID"
	CodeProgrammeIDInvalid     = "PROGRAMME_ID_INVALID"
	CodeWebsiteInvalid         = "WEBSITE_INVALID"
	CodeDateInFuture           = "DATE_IN_FUTURE"
	CodeSelfDealing            = "SELF_DEALING"
)

// Admin is the first user of a registered partner.
type Admin struct {
	Email     string
	FirstName string
	LastName  string
	// Locale is the language of the person's mails, "en" or "it"; without it
	// the country's own where there is one.
	Locale *string
}

// RegisterInput admits a partner without an enrollment (an operator's act).
type RegisterInput struct {
	Kind         access.Kind
	LegalName    string
	TenantDomain string
	Country      string
	// RegistrationID is mandatory in the countries that ask for it.
	RegistrationID *string
	Website        *string
	// ProgrammeID is an existing 7-digit ID; without it a new one is given.
	ProgrammeID *string
	// Status is ACTIVE unless given: APPROVED lacks the agreement, SUSPENDED
	// does no business.
	Status *Status
	// AgreementVersion and AgreementSignedAt record a signature on paper.
	AgreementVersion  *string
	AgreementSignedAt *time.Time
	Admin             Admin
	IdempotencyKey    *string
}

var programmeID = regexp.MustCompile(`^[1-9][0-9]{6}$`)

// Validate checks the input's form and returns all problems together; now
// bounds dates. It returns the country and the checked values by way of the
// receiver, which it normalizes.
func (in *RegisterInput) Validate(now time.Time) error {
	var p fault.Problems
	switch in.Kind {
	case access.IndirectProvider, access.IndirectReseller, access.DirectBill:
	default:
		p.Add("kind", CodeKindInvalid)
	}
	take := func(path string, to *string) func(string, error) {
		return func(v string, err error) {
			_ = p.Merge(path, err)
			*to = v
		}
	}
	take("legalName", &in.LegalName)(companyName(in.LegalName))
	take("tenantDomain", &in.TenantDomain)(address.Domain(in.TenantDomain))
	c, known := region.Find(in.Country)
	if !known || !c.Open {
		p.Add("country", CodeCountryUnknown)
	}
	in.Country = strings.ToUpper(in.Country)
	if in.RegistrationID != nil {
		var id string
		take("registrationId", &id)(address.Line(*in.RegistrationID, 50))
		in.RegistrationID = &id
	}
	if known && c.RegistrationIDRequired && (in.RegistrationID == nil || *in.RegistrationID == "") {
		p.Add("registrationId", CodeRegistrationIDRequired)
	}
	if in.Website != nil && !website(*in.Website) {
		p.Add("website", CodeWebsiteInvalid)
	}
	if in.ProgrammeID != nil && !programmeID.MatchString(*in.ProgrammeID) {
		p.Add("programmeId", CodeProgrammeIDInvalid)
	}
	if in.Status == nil {
		s := Active
		in.Status = &s
	}
	switch *in.Status {
	case Active, Approved, Suspended:
	default:
		p.Add("status", CodeStatusInvalid)
	}
	if in.AgreementSignedAt != nil && in.AgreementSignedAt.After(now) {
		p.Add("agreementSignedAt", CodeDateInFuture)
	}
	if in.AgreementVersion != nil {
		var v string
		take("agreementVersion", &v)(address.Line(*in.AgreementVersion, 20))
		in.AgreementVersion = &v
	}
	take("admin.firstName", &in.Admin.FirstName)(address.Name(in.Admin.FirstName, 50))
	take("admin.lastName", &in.Admin.LastName)(address.Name(in.Admin.LastName, 50))
	take("admin.email", &in.Admin.Email)(companyEmail(in.Admin.Email))
	switch {
	case in.Admin.Locale != nil && *in.Admin.Locale != "en" && *in.Admin.Locale != "it":
		p.Add("admin.locale", fault.CodeInvalid)
	case in.Admin.Locale == nil:
		l := "en"
		if known && len(c.Cultures) > 0 && strings.HasPrefix(c.Cultures[0], "it") {
			l = "it"
		}
		in.Admin.Locale = &l
	}
	return p.Err()
}

// companyName is a legal business name: 2 to 100 characters, not a bare legal
// form (spec section 2).
func companyName(s string) (string, error) {
	s, err := address.Name(s, address.MaxName)
	switch {
	case err != nil:
		return "", err
	case len([]rune(s)) < 2:
		return "", fault.Invalid("", fault.CodeTooShort, "min", "2")
	case address.LegalFormOnly(s):
		return "", fault.Invalid("", CodeNameInvalid)
	}
	return s, nil
}

// companyEmail is an address of a company: no webmail, no disposable one, no
// role mailbox (spec section 2).
func companyEmail(s string) (string, error) {
	a, err := address.Parse(s)
	if err != nil {
		return "", err
	}
	if err := a.Company(); err != nil {
		return "", err
	}
	if address.MixedScript(a.Domain) {
		return "", fault.Invalid("", address.CodeEmailInvalid)
	}
	return a.String(), nil
}

func website(s string) bool {
	u, err := url.Parse(s)
	if err != nil || len(s) > 300 || u.Scheme != "https" && u.Scheme != "http" || u.User != nil || !address.Clean(s) {
		return false
	}
	_, err = address.Domain(u.Hostname())
	return err == nil
}

// DeclareAffiliatesInput says that two partners belong to one house.
type DeclareAffiliatesInput struct {
	PartnerID   ident.ID
	AffiliateID ident.ID
}

// OrderField names what a list of partners is sorted by.
type OrderField string

// Orderings of partners.
const (
	ByName    OrderField = "NAME"
	ByCreated OrderField = "CREATED_AT"
)

// Order is the ordering of a list of partners.
type Order struct {
	Field     OrderField
	Direction page.Direction
}

// Filter narrows a list of partners. Search matches the beginning of the
// legal name or of the tenant domain.
type Filter struct {
	Kind    *access.Kind
	Status  *Status
	Region  *region.Code
	Country *string
	Search  *string
	// Kinds keeps partners of one of them; the API's lists do not ask for it.
	Kinds []access.Kind `json:",omitempty"`
}

func (o *Order) resolve() page.Order {
	if o != nil && o.Field == ByCreated {
		return page.Order{Name: "CREATED_AT", Column: "partner.created_at", Sort: page.SortTime, Direction: o.Direction}
	}
	out := page.Order{Name: "NAME", Column: "partner.legal_name_folded", Sort: page.SortText}
	if o != nil {
		out.Direction = o.Direction
	}
	return out
}
