package customer

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/channelgraph/channelgraph/internal/address"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/invitation"
	"github.com/channelgraph/channelgraph/internal/page"
	"github.com/channelgraph/channelgraph/internal/partner"
	"github.com/channelgraph/channelgraph/internal/region"
	"github.com/channelgraph/channelgraph/internal/secret"
	"github.com/channelgraph/channelgraph/internal/taxid"
)

// Codes of inputs and verbs, each with a sentence in internal/fault.
const (
	CodeDomainPrefix    = "DOMAIN_PREFIX_INVALID"
	CodeDomainTaken     = "DOMAIN_NOT_AVAILABLE"
	CodeCustomerExists  = "CUSTOMER_EXISTS"
	CodeOwnAddress      = "EMAIL_OF_SELLER"
	CodeDateInFuture    = "DATE_IN_FUTURE"
	CodeDateInvalid     = "DATE_INVALID"
	CodeGrantDays       = "GRANT_DAYS"
	CodeGrantTooLong    = "GRANT_TOO_LONG"
	CodeGrantEnded      = "GRANT_ENDED"
	CodeGrantMissing    = "GRANT_REQUIRED"
	CodeProviderNeeded  = "PROVIDER_REQUIRED"
	CodeProviderGiven   = "PROVIDER_NOT_EXPECTED"
	CodeAgreementNeeded = "CUSTOMER_AGREEMENT_REQUIRED"
	CodeNotACustomer    = "NOT_A_CUSTOMER"
	CodeStatusForbids   = "CUSTOMER_STATUS_FORBIDS"
)

const (
	maxReason = 500
	// MaxGrants bounds a bulk renewal.
	MaxGrants = 100
)

// Locales are the languages that a customer may choose.
var Locales = []string{"en", "it"}

func checkLocale(p *fault.Problems, locale string) {
	if locale != "" && !slices.Contains(Locales, locale) {
		p.Add("locale", fault.CodeInvalid)
	}
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

// Details are what is told about a customer to add.
type Details struct {
	CompanyName    string
	RegistrationID string
	// Address says the country, which fixes the region.
	Address partner.Address
	// DomainPrefix is the first label of the tenant's domain.
	DomainPrefix string
	BillingEmail string
	// Phone is needed where the country asks for it.
	Phone string
	// Locale is en or it; "" means the country's, otherwise English.
	Locale string
	// AzureType lets its partners be granted the ownership of its resources.
	AzureType bool
}

// Validate puts the details into their stored form or says all that is wrong
// with them.
func (d *Details) Validate() error {
	var p fault.Problems
	d.check(&p)
	take(&p, "domainPrefix", &d.DomainPrefix)(checkPrefix(d.DomainPrefix))
	return p.Err()
}

// check is Validate without the domain.
func (d *Details) check(p *fault.Problems) {
	take(p, "companyName", &d.CompanyName)(partner.CompanyName(d.CompanyName))
	c, known := region.Find(d.Address.Country)
	if !known {
		p.Add("address.country", partner.CodeCountryUnknown)
	} else {
		_ = p.Merge("address", d.Address.Validate(c.Code))
	}
	id, err := address.Line(d.RegistrationID, 50)
	switch _, problem := taxid.Check(c.Code, id); {
	case err != nil:
		_ = p.Merge("registrationId", err)
	case id == "" && c.RegistrationIDRequired:
		p.Add("registrationId", partner.CodeRegistrationIDRequired)
	case id != "" && known && problem != "":
		p.Add("registrationId", partner.CodeRegistrationIDInvalid)
	default:
		d.RegistrationID = id
	}
	take(p, "billingEmail", &d.BillingEmail)(email(d.BillingEmail))
	if d.Phone = strings.TrimSpace(d.Phone); d.Phone != "" {
		take(p, "phone", &d.Phone)(partner.Phone(d.Phone))
	} else if c.PhoneRequired {
		p.Add("phone", fault.CodeRequired)
	}
	if checkLocale(p, d.Locale); d.Locale == "" {
		d.Locale = Locales[0]
		if len(c.Cultures) > 0 && strings.HasPrefix(c.Cultures[0], "it") {
			d.Locale = "it"
		}
	}
}

func email(s string) (string, error) {
	if strings.TrimSpace(s) == "" {
		return "", fault.Invalid("", fault.CodeRequired)
	}
	a, err := address.Parse(s)
	if err != nil {
		return "", err
	}
	return a.String(), nil
}

var prefixShape = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)

// checkPrefix is the first label of a tenant's domain: 3 to 40 letters, digits
// and single hyphens between them, beginning with a letter.
func checkPrefix(s string) (string, error) {
	s = strings.ToLower(strings.TrimSpace(s))
	if len(s) < 3 || len(s) > 40 || !prefixShape.MatchString(s) {
		return "", fault.Invalid("", CodeDomainPrefix)
	}
	return s, nil
}

// Attestation is what a seller attests of a customer's agreement.
type Attestation struct {
	FirstName string
	LastName  string
	Email     string
	Phone     string
	// AgreedOn is the day, YYYY-MM-DD, not in the future.
	AgreedOn string
}

// Validate puts the attestation into its stored form or says all that is wrong
// with it.
func (a *Attestation) Validate(now time.Time) error {
	var p fault.Problems
	take(&p, "firstName", &a.FirstName)(address.Name(a.FirstName, 50))
	take(&p, "lastName", &a.LastName)(address.Name(a.LastName, 50))
	take(&p, "email", &a.Email)(email(a.Email))
	if a.Phone = strings.TrimSpace(a.Phone); a.Phone != "" {
		take(&p, "phone", &a.Phone)(partner.Phone(a.Phone))
	}
	switch on, err := time.Parse(time.DateOnly, a.AgreedOn); {
	case err != nil || on.Year() < 1990:
		p.Add("agreedOn", CodeDateInvalid)
	case on.After(now):
		p.Add("agreedOn", CodeDateInFuture)
	}
	return p.Err()
}

// Delegation is which administration is to be delegated, and for how long.
type Delegation struct {
	// Roles are none where nothing is to be delegated.
	Roles []Role
	// Days are 1 to 730; of nothing also 0.
	Days int
	// AutoExtend lets the grant extend itself by 180 days at its end.
	AutoExtend bool
}

// validate adds what is wrong with it to p, under path.
func (d *Delegation) validate(p *fault.Problems, path string) {
	var clean []Role
	for _, r := range Roles { // stable order, none twice
		if slices.Contains(d.Roles, r) {
			clean = append(clean, r)
		}
	}
	for _, r := range d.Roles {
		if !slices.Contains(Roles, r) {
			p.Add(path+".roles", fault.CodeInvalid)
		}
	}
	if d.Roles = clean; d.Roles == nil {
		d.Roles = []Role{}
	}
	if d.Days == 0 && len(d.Roles) == 0 { // nothing is delegated
		d.Days = DefaultGrantDays
	}
	checkDays(p, path+".days", d.Days)
}

func checkDays(p *fault.Problems, path string, days int) {
	if days < MinGrantDays || days > MaxGrantDays {
		p.Add(path, CodeGrantDays, "min", fmt.Sprint(MinGrantDays), "max", fmt.Sprint(MaxGrantDays))
	}
}

func (d Delegation) extend() int {
	if d.AutoExtend {
		return ExtendDays
	}
	return 0
}

// NewCustomer is a customer to add, with what it begins with.
type NewCustomer struct {
	// SellerID is the provider or direct-bill partner, ResellerID whom a
	// provider sells through, "" for nobody.
	SellerID   ident.ID
	ResellerID ident.ID
	Details    Details
	// Agreement is attested by the seller; nil where it comes later.
	Agreement *Attestation
}

// Sale is who sells to whom.
type Sale struct {
	SellerID   ident.ID
	ResellerID ident.ID
	CustomerID ident.ID
}

// ScenarioInput asks whether some may work together. Without a customer the
// buyer is described; a partnership needs neither.
type ScenarioInput struct {
	Act        Act
	SellerID   ident.ID
	ResellerID *ident.ID
	CustomerID *ident.ID
	Buyer      *BuyerInput
}

// BuyerInput describes a company that is not a customer yet.
type BuyerInput struct {
	CompanyName    string
	Country        string
	RegistrationID string
	// Domain is the tenant that would be used; "" for a new one.
	Domain string
}

// Validate checks the form of the input.
func (in *ScenarioInput) Validate() error {
	var p fault.Problems
	switch in.Act {
	case Join:
		if in.ResellerID == nil {
			p.Add("resellerId", fault.CodeRequired)
		}
		return p.Err()
	case Sell, Manage:
	default:
		p.Add("act", fault.CodeInvalid)
	}
	if (in.CustomerID == nil) == (in.Buyer == nil) {
		p.Add("customerId", fault.CodeRequired)
	}
	if b := in.Buyer; b != nil {
		take(&p, "buyer.companyName", &b.CompanyName)(partner.CompanyName(b.CompanyName))
		if c, ok := region.Find(b.Country); ok {
			b.Country = c.Code
		} else {
			p.Add("buyer.country", partner.CodeCountryUnknown)
		}
		take(&p, "buyer.registrationId", &b.RegistrationID)(address.Line(b.RegistrationID, 50))
		if b.Domain != "" {
			take(&p, "buyer.domain", &b.Domain)(address.Domain(b.Domain))
		}
	}
	return p.Err()
}

// EditInput changes a customer's record; nil keeps a field.
type EditInput struct {
	CustomerID      ident.ID
	ExpectedVersion *int
	CompanyName     *string
	RegistrationID  *string
	Address         *partner.Address
	BillingEmail    *string
	Phone           *string
	Locale          *string
}

// AttestInput attests the customer agreement.
type AttestInput struct {
	CustomerID     ident.ID
	Attestation    Attestation
	IdempotencyKey *string
}

// RemoveInput ends the own side's relationship with a customer.
type RemoveInput struct {
	CustomerID ident.ID
	Reason     string
}

// Validate puts the input into its stored form or says all that is wrong.
func (in *RemoveInput) Validate() error { return needReason(&in.Reason) }

// StatusInput suspends a customer, or reinstates it.
type StatusInput struct {
	CustomerID      ident.ID
	Reason          string
	ExpectedVersion *int
}

// Validate puts the input into its stored form or says all that is wrong.
func (in *StatusInput) Validate() error { return needReason(&in.Reason) }

func needReason(s *string) error {
	var p fault.Problems
	take(&p, "reason", s)(address.PlainText(*s, maxReason))
	if !p.Any() && *s == "" {
		p.Add("reason", fault.CodeRequired)
	}
	return p.Err()
}

// InviteInput asks an existing customer for relationships: a reseller for
// itself and one of its providers, everybody else for itself.
type InviteInput struct {
	Email string
	// ProviderID is asked for by a reseller together with it.
	ProviderID *ident.ID
	// Text is the person's own, quoted in the mail.
	Text       string
	Locale     string
	Delegation Delegation
	// IdempotencyKey makes a repeated request answer the first one's result.
	IdempotencyKey *string
}

// Validate puts the input into its stored form or says all that is wrong.
func (in *InviteInput) Validate() error {
	var p fault.Problems
	take(&p, "email", &in.Email)(email(in.Email))
	take(&p, "text", &in.Text)(address.Note(in.Text, maxText))
	checkLocale(&p, in.Locale)
	in.Delegation.validate(&p, "delegation")
	return p.Err()
}

// InviteManyInput is InviteInput for several addresses; each is a line with its
// own result.
type InviteManyInput struct {
	Emails     []string
	ProviderID *ident.ID
	Text       string
	Locale     string
	Delegation Delegation
	// DryRun checks every line and sends nothing.
	DryRun         bool
	IdempotencyKey *string
}

// Validate puts what does not depend on one line into its stored form or says
// all that is wrong with it.
func (in *InviteManyInput) Validate() error {
	var p fault.Problems
	switch n := len(in.Emails); {
	case n == 0:
		p.Add("emails", fault.CodeRequired)
	case n > invitation.MaxRecipients:
		p.Add("emails", fault.CodeTooMany, "max", fmt.Sprint(invitation.MaxRecipients))
	}
	take(&p, "text", &in.Text)(address.Note(in.Text, maxText))
	checkLocale(&p, in.Locale)
	in.Delegation.validate(&p, "delegation")
	return p.Err()
}

const maxText = 1000

// AcceptInput accepts what the invitation behind a code, or one that waits for
// the signed-in person, asks for.
type AcceptInput struct {
	Code         string
	InvitationID *ident.ID
	// Confirmed is the check box: the person has read who gets what.
	Confirmed bool
	// AcceptAgreement accepts the customer agreement; it is needed unless the
	// customer has one.
	AcceptAgreement bool
	// Delegate gives the administration that was asked for.
	Delegate       bool
	IdempotencyKey *string
}

// Validate checks the form of the input.
func (in *AcceptInput) Validate() error {
	var p fault.Problems
	if !in.Confirmed {
		p.Add("confirmed", "NOT_CONFIRMED")
	}
	oneOf(&p, in.Code, in.InvitationID)
	return p.Err()
}

// DeclineInput declines an invitation, by code or by id.
type DeclineInput struct {
	Code         string
	InvitationID *ident.ID
	Reason       string
}

// Validate checks the form of the input.
func (in *DeclineInput) Validate() error {
	var p fault.Problems
	take(&p, "reason", &in.Reason)(address.PlainText(in.Reason, maxReason))
	oneOf(&p, in.Code, in.InvitationID)
	return p.Err()
}

func oneOf(p *fault.Problems, code string, id *ident.ID) {
	if (code == "") == (id == nil) {
		p.Add("code", fault.CodeRequired)
	}
}

// SetUpInput makes a work account for the company whose invitation it is; the
// invited address is its first Global admin's.
type SetUpInput struct {
	Code      string
	Details   Details
	FirstName string
	LastName  string
	Password  secret.String
}

// Validate puts the input into its stored form or says all that is wrong.
func (in *SetUpInput) Validate() error {
	var p fault.Problems
	_ = p.Merge("", in.Details.Validate())
	take(&p, "firstName", &in.FirstName)(address.Name(in.FirstName, 50))
	take(&p, "lastName", &in.LastName)(address.Name(in.LastName, 50))
	return p.Err()
}

// WithdrawInput withdraws a grant.
type WithdrawInput struct {
	GrantID         ident.ID
	ExpectedVersion *int
}

// RenewInput prolongs grants by some days from their present end. Each is a
// line with its own result.
type RenewInput struct {
	GrantIDs       []ident.ID
	Days           int
	IdempotencyKey *string
}

// Validate checks what does not depend on one grant.
func (in *RenewInput) Validate() error {
	var p fault.Problems
	switch n := len(in.GrantIDs); {
	case n == 0:
		p.Add("grantIds", fault.CodeRequired)
	case n > MaxGrants:
		p.Add("grantIds", fault.CodeTooMany, "max", fmt.Sprint(MaxGrants))
	}
	checkDays(&p, "days", in.Days)
	return p.Err()
}

// OrderField names what a list of customers is sorted by.
type OrderField string

// Orderings of customers.
const (
	ByName    OrderField = "NAME"
	ByDomain  OrderField = "DOMAIN"
	ByCreated OrderField = "CREATED_AT"
)

// Order is the ordering of a list of customers; by name unless given.
type Order struct {
	Field     OrderField
	Direction page.Direction
}

// Filter narrows a list of customers. Search matches the beginning of the name
// or of the domain.
type Filter struct {
	Search  *string
	Status  *Status
	Country *string
	// ResellerID and ProviderID keep the customers that this partner has: for
	// a partner, those that it has together with it.
	ResellerID *ident.ID
	ProviderID *ident.ID
	// LacksReseller keeps those that the reading provider has by itself.
	LacksReseller *bool
}

// GrantFilter narrows a list of grants.
type GrantFilter struct {
	Status     []GrantStatus
	CustomerID *ident.ID
	PartnerID  *ident.ID
	// EndsBefore keeps those that end before a moment, for renewals.
	EndsBefore *time.Time
}

// ExportInput asks for a file of customers.
type ExportInput struct {
	// Filter narrows them; all that the actor sees without it.
	Filter *Filter
	// IdempotencyKey makes a repeated request answer the first one's result.
	IdempotencyKey *string
}

// Validate bounds what is kept with an export.
func (in *ExportInput) Validate() error {
	var p fault.Problems
	if f := in.Filter; f != nil {
		if f.Search != nil && len(*f.Search) > 200 {
			p.Add("filter.search", fault.CodeTooLong, "max", "200")
		}
		if f.Country != nil && len(*f.Country) > 2 {
			p.Add("filter.country", fault.CodeTooLong, "max", "2")
		}
		for path, id := range map[string]*ident.ID{"filter.resellerId": f.ResellerID, "filter.providerId": f.ProviderID} {
			if id != nil && len(*id) > 100 {
				p.Add(path, fault.CodeTooLong, "max", "100")
			}
		}
	}
	return p.Err()
}
