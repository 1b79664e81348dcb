package account

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/address"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/page"
	"github.com/channelgraph/channelgraph/internal/region"
	"github.com/channelgraph/channelgraph/internal/secret"
)

// Locales are the languages that people may choose.
var Locales = []string{"en", "it"}

// NewOrganization is an organization to found.
type NewOrganization struct {
	Kind    access.Kind
	Name    string
	Domain  string
	Country string
	// Locale is en or it; empty means en.
	Locale string
}

// NewUser is a user to add.
type NewUser struct {
	Email     string
	FirstName string
	LastName  string
	// Locale is en or it; empty means the organization's.
	Locale string
	// Roles are the roles to hold; none means DEFAULT_USER.
	Roles []access.Role
	// Password makes the user ACTIVE at once; without one the user is INVITED
	// and gets a mail. It is hashed inside the transaction, so only the demo
	// world should use it.
	Password secret.String
}

// SetUpInput founds the operator from the link that the first start prints.
type SetUpInput struct {
	Token            string
	OrganizationName string
	Domain           string
	Country          string
	Email            string
	FirstName        string
	LastName         string
	Password         secret.String
	Locale           string
}

// SignInInput is an attempt to sign in.
type SignInInput struct {
	Email    string
	Password secret.String
	// IP is the caller's address, as the door trusts it.
	IP netip.Addr
	// Agent is the browser's description.
	Agent  string
	Locale string
}

// AcceptInput completes a user invitation.
type AcceptInput struct {
	FirstName string
	LastName  string
	Password  secret.String
	// Locale is en or it; empty keeps the invitation's.
	Locale string
}

// InviteUserInput invites a person into the actor's organization.
type InviteUserInput struct {
	Email          string
	FirstName      string
	LastName       string
	Locale         string
	Roles          []access.Role
	IdempotencyKey *string
}

// SetUserRolesInput replaces a user's roles.
type SetUserRolesInput struct {
	UserID ident.ID
	Roles  []access.Role
	// ExpectedVersion refuses with CONFLICT where the user changed since.
	ExpectedVersion *int
}

// UpdateProfileInput changes one's own profile; nil keeps a field.
type UpdateProfileInput struct {
	FirstName *string
	LastName  *string
	Locale    *string
}

// UserOrderField is what a list of users is ordered by.
type UserOrderField string

// Orderings of users.
const (
	UserOrderName      UserOrderField = "NAME"
	UserOrderCreatedAt UserOrderField = "CREATED_AT"
)

// UserOrder orders a list of users; the zero value is NAME ascending.
type UserOrder struct {
	Field     UserOrderField
	Direction page.Direction
}

// UserFilter narrows a list of users.
type UserFilter struct {
	Status *UserStatus
	Role   *access.Role
	// Search finds users whose name or address contains the text.
	Search *string
}

const (
	maxPersonName = 50
	maxAgent      = 200
	maxSearch     = 100
)

// check collects the problems of one input while it puts its fields into the
// form in which they are stored.
type check struct{ fault.Problems }

func (c *check) merge(path string, err error) {
	if rest := c.Merge(path, err); rest != nil {
		c.Add(path, fault.CodeInvalid)
	}
}

// name reads a person's name: at most 50 characters (spec section 2).
func (c *check) name(path, s string, required bool) string {
	if !required && strings.TrimSpace(s) == "" {
		return ""
	}
	s, err := address.Name(s, maxPersonName)
	c.merge(path, err)
	return s
}

func (c *check) email(path, s string) address.Address {
	if strings.TrimSpace(s) == "" {
		c.Add(path, fault.CodeRequired)
		return address.Address{}
	}
	a, err := address.Parse(s)
	c.merge(path, err)
	return a
}

func (c *check) locale(path, s, fallback string) string {
	if s == "" {
		return fallback
	}
	if !slices.Contains(Locales, s) {
		c.Add(path, fault.CodeInvalid)
	}
	return s
}

// roles puts roles into their stable order without repetition; none becomes
// DEFAULT_USER. A role that no user of the kind may hold is refused.
func (c *check) roles(path string, in []access.Role, k access.Kind) []access.Role {
	if len(in) == 0 {
		return []access.Role{access.DefaultUser}
	}
	if len(in) > len(access.Roles) {
		c.Add(path, fault.CodeTooMany, "max", strconv.Itoa(len(access.Roles)))
		return nil
	}
	for i, r := range in {
		if !slices.Contains(access.RolesOf(k), r) {
			c.Add(path+"."+strconv.Itoa(i), CodeRoleNotOfKind)
		}
	}
	return difference(in, nil)
}

// password checks a new password against the rules of D3 and what is known of
// its owner.
func (c *check) password(path string, p secret.String, known ...string) {
	switch code := weakness(p.Reveal(), known...); code {
	case "":
	case CodePasswordTooShort:
		c.Add(path, code, "min", strconv.Itoa(MinPassword))
	case CodePasswordTooLong:
		c.Add(path, code, "max", strconv.Itoa(MaxPassword))
	default:
		c.Add(path, code)
	}
}

// Validate puts the organization into its stored form or says all that is
// wrong with it.
func (in *NewOrganization) Validate() error {
	var c check
	in.validate(&c, "kind", "name", "domain", "country", "locale")
	return c.Err()
}

func (in *NewOrganization) validate(c *check, kind, name, domain, country, locale string) {
	if !slices.Contains(access.Kinds, in.Kind) {
		c.Add(kind, fault.CodeInvalid)
	}
	var err error
	in.Name, err = address.Name(in.Name, address.MaxName)
	if err == nil && (utf8.RuneCountInString(in.Name) < 2 || address.LegalFormOnly(in.Name)) {
		err = fault.Invalid("", fault.CodeTooShort, "min", "2")
	}
	c.merge(name, err)
	in.Domain, err = address.Domain(strings.TrimSpace(in.Domain))
	c.merge(domain, err)
	if found, ok := region.Find(in.Country); ok {
		in.Country = found.Code
	} else {
		c.Add(country, fault.CodeInvalid)
	}
	in.Locale = c.locale(locale, in.Locale, Locales[0])
}

// Validate puts the user into its stored form or says all that is wrong with
// it, for an organization.
func (in *NewUser) Validate(org *Organization) error {
	var c check
	in.validate(&c, org)
	return c.Err()
}

func (in *NewUser) validate(c *check, org *Organization) {
	in.Email = c.email("email", in.Email).String()
	in.FirstName = c.name("firstName", in.FirstName, in.Password != "")
	in.LastName = c.name("lastName", in.LastName, in.Password != "")
	in.Locale = c.locale("locale", in.Locale, org.Locale)
	in.Roles = c.roles("roles", in.Roles, org.Kind)
	if in.Password != "" {
		c.password("password", in.Password, in.Email, in.FirstName, in.LastName, org.Name)
	}
}

// Validate puts the input into its stored form or says all that is wrong with
// it; the token is judged by the verb.
func (in *SetUpInput) Validate() error {
	var c check
	org := NewOrganization{Kind: access.Operator, Name: in.OrganizationName, Domain: in.Domain, Country: in.Country, Locale: in.Locale}
	org.validate(&c, "", "organizationName", "domain", "country", "locale")
	in.OrganizationName, in.Domain, in.Country, in.Locale = org.Name, org.Domain, org.Country, org.Locale
	in.Email = c.email("email", in.Email).String()
	in.FirstName = c.name("firstName", in.FirstName, true)
	in.LastName = c.name("lastName", in.LastName, true)
	c.password("password", in.Password, in.Email, in.FirstName, in.LastName, in.OrganizationName)
	return c.Err()
}

// Validate puts the names into their stored form; known is what the password
// must not resemble beside them.
func (in *AcceptInput) Validate(known ...string) error {
	var c check
	in.FirstName = c.name("firstName", in.FirstName, true)
	in.LastName = c.name("lastName", in.LastName, true)
	in.Locale = c.locale("locale", in.Locale, "")
	c.password("password", in.Password, append(known, in.FirstName, in.LastName)...)
	return c.Err()
}

// Validate puts the invitation into its stored form, for a kind of
// organization; no language means the organization's.
func (in *InviteUserInput) Validate(k access.Kind) error {
	var c check
	in.Email = c.email("email", in.Email).String()
	in.FirstName = c.name("firstName", in.FirstName, false)
	in.LastName = c.name("lastName", in.LastName, false)
	in.Locale = c.locale("locale", in.Locale, "")
	in.Roles = c.roles("roles", in.Roles, k)
	return c.Err()
}

// Validate puts the roles into their order, for a kind of organization.
func (in *SetUserRolesInput) Validate(k access.Kind) error {
	var c check
	in.Roles = c.roles("roles", in.Roles, k)
	return c.Err()
}

// Validate puts the given fields into their stored form.
func (in *UpdateProfileInput) Validate() error {
	var c check
	one := func(path string, s *string) *string {
		if s == nil {
			return nil
		}
		n := c.name(path, *s, true)
		return &n
	}
	in.FirstName, in.LastName = one("firstName", in.FirstName), one("lastName", in.LastName)
	if in.Locale != nil && !slices.Contains(Locales, *in.Locale) {
		c.Add("locale", fault.CodeInvalid)
	}
	return c.Err()
}
