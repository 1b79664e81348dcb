package partner

import (
	"regexp"
	"strings"

	"github.com/channelgraph/channelgraph/internal/address"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/region"
	"github.com/channelgraph/channelgraph/internal/taxid"
)

// Codes of the verified profile beside those of registration.
const (
	CodeRegistrationIDInvalid = taxid.CodeInvalid
	CodeStateUnknown          = "STATE_UNKNOWN"
	CodeStateNotOfCountry     = "STATE_NOT_OF_COUNTRY"
	CodePostcodeInvalid       = "POSTAL_CODE_INVALID"
	CodePhoneInvalid          = "PHONE_INVALID"
)

// Address is where a company is at home by law.
type Address struct {
	Line1      string `json:"line1"`
	Line2      string `json:"line2,omitempty"`
	City       string `json:"city"`
	PostalCode string `json:"postalCode,omitempty"`
	// State is a code of the country's list, "" where it has none.
	State   string `json:"state,omitempty"`
	Country string `json:"country"`
}

// Contact is the primary contact of a partner.
type Contact struct {
	FirstName string `json:"firstName"`
	LastName  string `json:"lastName"`
	Email     string `json:"email"`
	Phone     string `json:"phone"`
}

// Support is where a partner's customers find help.
type Support struct {
	Email   string `json:"email"`
	Phone   string `json:"phone"`
	Website string `json:"website"`
}

// Profile is what is verified of a partner, and its support profile.
type Profile struct {
	LegalName      string  `json:"legalName"`
	RegistrationID string  `json:"registrationId,omitempty"`
	Website        string  `json:"website,omitempty"`
	Address        Address `json:"address"`
	Contact        Contact `json:"contact"`
	Support        Support `json:"support"`
}

// Validate puts the profile of a company of a country into its stored form or
// says all that is wrong with it (spec section 2), each at the path of the
// field that filling in takes: legal.name, legal.address.city, contact.email,
// support.phone.
func (p *Profile) Validate(country string) error {
	var all fault.Problems
	_ = all.Merge("legal", p.validateLegal(country))
	_ = all.Merge("contact", p.Contact.Validate())
	_ = all.Merge("support", p.Support.Validate())
	return all.Err()
}

func (p *Profile) validateLegal(country string) error {
	var all fault.Problems
	c, _ := region.Find(country)
	take(&all, "name", &p.LegalName)(companyName(p.LegalName))
	id, err := address.Line(p.RegistrationID, 50)
	switch {
	case err != nil:
		_ = all.Merge("registrationId", err)
	case id == "" && c.RegistrationIDRequired:
		all.Add("registrationId", CodeRegistrationIDRequired)
	case id != "":
		if _, problem := taxid.Check(country, id); problem != "" {
			all.Add("registrationId", CodeRegistrationIDInvalid)
		}
		fallthrough
	default:
		p.RegistrationID = id
	}
	if p.Website = strings.TrimSpace(p.Website); p.Website != "" && !website(p.Website) {
		all.Add("website", CodeWebsiteInvalid)
	}
	p.Address.Country = c.Code
	_ = all.Merge("address", p.Address.validate(c))
	return all.Err()
}

var postcode = regexp.MustCompile(`^[\pL\pN](?:[\pL\pN]|[ -][\pL\pN]){1,19}$`)

func (a *Address) validate(c region.Country) error {
	var all fault.Problems
	take(&all, "line1", &a.Line1)(address.Name(a.Line1, 200))
	take(&all, "line2", &a.Line2)(address.Line(a.Line2, 200))
	if address.HasLink(a.Line2) {
		all.Add("line2", address.CodeLink)
	}
	take(&all, "city", &a.City)(address.Name(a.City, 100))
	take(&all, "postalCode", &a.PostalCode)(address.Line(a.PostalCode, 20))
	switch {
	case a.PostalCode == "" && c.PostcodeRequired():
		all.Add("postalCode", fault.CodeRequired)
	case a.PostalCode != "" && !postcode.MatchString(a.PostalCode):
		all.Add("postalCode", CodePostcodeInvalid)
	}
	take(&all, "state", &a.State)(address.Line(a.State, 100))
	states := region.States(c.Code)
	st, ok := region.FindState(c.Code, a.State)
	switch {
	case len(states) > 0 && a.State == "":
		all.Add("state", fault.CodeRequired)
	case len(states) > 0 && !ok:
		all.Add("state", CodeStateUnknown)
	case ok:
		a.State = st.Code
	case a.State != "":
		all.Add("state", CodeStateNotOfCountry)
	}
	return all.Err()
}

// Validate puts the primary contact into its stored form. The address must be
// the company's: no webmail, no disposable one, no role mailbox, and none
// under a domain that mixes scripts to look like another.
func (c *Contact) Validate() error {
	var all fault.Problems
	take(&all, "firstName", &c.FirstName)(address.Name(c.FirstName, 50))
	take(&all, "lastName", &c.LastName)(address.Name(c.LastName, 50))
	if strings.TrimSpace(c.Email) == "" {
		all.Add("email", fault.CodeRequired)
	} else {
		take(&all, "email", &c.Email)(companyEmail(c.Email))
	}
	take(&all, "phone", &c.Phone)(phone(c.Phone))
	return all.Err()
}

// Validate puts the support profile into its stored form.
func (s *Support) Validate() error {
	var all fault.Problems
	if strings.TrimSpace(s.Email) == "" {
		all.Add("email", fault.CodeRequired)
	} else {
		a, err := address.Parse(s.Email)
		take(&all, "email", &s.Email)(a.String(), err)
	}
	take(&all, "phone", &s.Phone)(phone(s.Phone))
	switch s.Website = strings.TrimSpace(s.Website); {
	case s.Website == "":
		all.Add("website", fault.CodeRequired)
	case !website(s.Website):
		all.Add("website", CodeWebsiteInvalid)
	}
	return all.Err()
}

// take notes the problem of a field at a path; without one the field holds
// its stored form afterwards.
func take(p *fault.Problems, path string, to *string) func(string, error) {
	return func(v string, err error) {
		if err != nil {
			_ = p.Merge(path, err)
			return
		}
		*to = v
	}
}

// phone is a telephone number: 6 to 15 digits (ITU-T E.164), a leading + or
// 00, and what people write between them; an extension may follow an x.
func phone(s string) (string, error) {
	s, err := address.Line(s, 40)
	if err != nil {
		return "", err
	}
	if s == "" {
		return "", fault.Invalid("", fault.CodeRequired)
	}
	m := phoneShape.FindStringSubmatch(s)
	if m == nil {
		return "", fault.Invalid("", CodePhoneInvalid)
	}
	if n := strings.TrimPrefix(notDigit.ReplaceAllString(m[1], ""), "00"); len(n) < 6 || len(n) > 15 {
		return "", fault.Invalid("", CodePhoneInvalid)
	}
	return s, nil
}

var (
	phoneShape = regexp.MustCompile(`(?i)^(\+?[0-9(][0-9 ().\-/]*[0-9)])(?: ?(?:x|ext\.?) ?[0-9]{1,6})?$`)
	notDigit   = regexp.MustCompile(`[^0-9]`)
)

// Validate puts the address into its stored form or says all that is wrong
// with it; a country that is not in the list is said by whoever asks for one.
func (a *Address) Validate(country string) error {
	c, _ := region.Find(country)
	a.Country = c.Code
	return a.validate(c)
}

// CompanyName is a legal business name in its stored form.
func CompanyName(s string) (string, error) { return companyName(s) }

// Phone is a telephone number in its stored form.
func Phone(s string) (string, error) { return phone(s) }

// FoldRegistration is the form in which registration IDs of a country are
// compared: the canonical number where it is one of the country's, otherwise
// its capitals without separators.
func FoldRegistration(country, s string) string {
	if canonical, problem := taxid.Check(country, s); problem == "" {
		return canonical
	}
	return foldRegistration(s)
}

// FoldName is the form in which legal names are compared.
func FoldName(s string) string {
	if strings.TrimSpace(s) == "" {
		return ""
	}
	return address.FoldCompany(s)
}

// Facts are by what a company is told to be one house with a partner (spec
// section 6), in the forms in which they are compared; "" for what is unknown.
type Facts struct {
	Country              string
	NameFolded           string
	RegistrationIDFolded string
	RegistrableDomain    string
	// Domain is that of the company's tenant, which may be a partner's.
	Domain string
}

// UpdateSupportInput replaces the support profile.
type UpdateSupportInput struct {
	PartnerID       ident.ID
	ExpectedVersion *int
	Support         Support
}

// Validate puts the input into its stored form or says all that is wrong with
// it.
func (in *UpdateSupportInput) Validate() error {
	var all fault.Problems
	_ = all.Merge("support", in.Support.Validate())
	return all.Err()
}

// Profile is what is verified of the partner, and its support profile.
func (p *Partner) Profile() Profile {
	return Profile{LegalName: p.LegalName, RegistrationID: p.RegistrationID, Website: p.Website, Address: p.Address, Contact: p.Contact, Support: p.Support}
}

// take puts a validated profile into the partner; the country stays.
func (p *Partner) take(f Profile) {
	p.LegalName, p.LegalNameFolded = f.LegalName, FoldName(f.LegalName)
	p.RegistrationID, p.RegistrationIDFolded = f.RegistrationID, ""
	if f.RegistrationID != "" {
		p.RegistrationIDFolded = FoldRegistration(p.Country, f.RegistrationID)
	}
	p.Website, p.Address, p.Contact, p.Support = f.Website, f.Address, f.Contact, f.Support
	p.Address.Country = p.Country
}
