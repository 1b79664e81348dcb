// Package access owns who may do what and who sees what: the actor, the role
// matrix, and the reach that stores demand as a Scope. It denies by default
// and is the only maker of a Scope. It never changes a record.
//
// Invariant: an Actor made anywhere else than here sees nothing and may do
// nothing; roles are read afresh for every request, so a revocation takes
// effect at the next one.
package access

import (
	"slices"
	"time"

	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
)

// Kind is what a party is in the channel (spec section 1).
type Kind string

// The parties.
const (
	Operator         Kind = "OPERATOR"
	IndirectProvider Kind = "INDIRECT_PROVIDER"
	IndirectReseller Kind = "INDIRECT_RESELLER"
	DirectBill       Kind = "DIRECT_BILL"
	Customer         Kind = "CUSTOMER"
)

// Kinds lists all parties.
var Kinds = []Kind{Operator, IndirectProvider, IndirectReseller, DirectBill, Customer}

// Role is a user's role in its organization (spec section 1).
type Role string

// The roles; the last two belong to the operator.
const (
	GlobalAdmin   Role = "GLOBAL_ADMIN"
	UserAdmin     Role = "USER_ADMIN"
	BillingAdmin  Role = "BILLING_ADMIN"
	AdminAgent    Role = "ADMIN_AGENT"
	SalesAgent    Role = "SALES_AGENT"
	HelpdeskAgent Role = "HELPDESK_AGENT"
	AccountAdmin  Role = "ACCOUNT_ADMIN"
	DefaultUser   Role = "DEFAULT_USER"
	Reviewer      Role = "REVIEWER"
	OperatorAdmin Role = "OPERATOR_ADMIN"
)

// Roles lists all roles in the order in which people read them.
var Roles = []Role{GlobalAdmin, UserAdmin, BillingAdmin, AdminAgent, SalesAgent, HelpdeskAgent, AccountAdmin, DefaultUser, Reviewer, OperatorAdmin}

// RolesOf lists the roles that users of a kind of party may hold.
func RolesOf(k Kind) []Role {
	switch k {
	case Operator:
		return []Role{OperatorAdmin, Reviewer, DefaultUser}
	case IndirectProvider, DirectBill:
		return []Role{GlobalAdmin, UserAdmin, BillingAdmin, AdminAgent, SalesAgent, HelpdeskAgent, AccountAdmin, DefaultUser}
	case IndirectReseller:
		return []Role{GlobalAdmin, UserAdmin, BillingAdmin, AdminAgent, HelpdeskAgent, AccountAdmin, DefaultUser}
	case Customer:
		return []Role{GlobalAdmin, UserAdmin, BillingAdmin, DefaultUser}
	}
	return nil
}

// Actor is who acts: a signed-in user, the system, or nobody.
type Actor struct {
	UserID         ident.ID
	OrganizationID ident.ID
	// PartnerID is the partner profile of the organization, "" without one.
	PartnerID ident.ID
	SessionID ident.ID
	Kind      Kind
	Roles     []Role
	Name      string
	Email     string
	Locale    string
	// SudoUntil is until when the user counts as freshly authenticated.
	SudoUntil time.Time
	// IPPrefix is the caller's network, never the whole address.
	IPPrefix string
	// TokenID is the personal token that stands in for the person, "" for the
	// person itself (security decision D9).
	TokenID ident.ID

	class  actorClass
	scopes []Permission // the bound of a token
}

// Codes of what a personal token is refused, each with a sentence in
// internal/fault.
const (
	// CodeScopeRequired says that the roles would allow the act, but not the
	// token's scopes.
	CodeScopeRequired = "SCOPE_REQUIRED"
	// CodeTokenNotAllowed says that only a person with a session may do it.
	CodeTokenNotAllowed = "TOKEN_NOT_ALLOWED"
)

type actorClass int

const (
	nobody actorClass = iota
	person
	system
)

// Anonymous is nobody, speaking a locale.
func Anonymous(locale, ipPrefix string) Actor { return Actor{Locale: locale, IPPrefix: ipPrefix} }

// System is channelgraph itself, in jobs and imports; name says which part.
func System(name string) Actor {
	return Actor{Name: name, Locale: "en", class: system}
}

// IsAnonymous reports that nobody is signed in.
func (a Actor) IsAnonymous() bool { return a.class == nobody }

// IsSystem reports that channelgraph itself acts.
func (a Actor) IsSystem() bool { return a.class == system }

// IsOperator reports a user of the operator.
func (a Actor) IsOperator() bool { return a.class == person && a.Kind == Operator }

// Has reports whether the actor holds a role.
func (a Actor) Has(r Role) bool { return a.class == person && slices.Contains(a.Roles, r) }

// ViaToken reports that a personal token acts for the person.
func (a Actor) ViaToken() bool { return a.class == person && a.TokenID != "" }

// Can reports whether the actor's kind and roles allow a permission, and
// where a personal token acts, its scopes too.
func (a Actor) Can(p Permission) bool { return a.mayByRole(p) && a.inScope(p) }

func (a Actor) mayByRole(p Permission) bool {
	switch a.class {
	case system:
		return true
	case person:
		return slices.ContainsFunc(a.Roles, func(r Role) bool { return Allowed(a.Kind, r, p) })
	}
	return false
}

func (a Actor) inScope(p Permission) bool {
	return !a.ViaToken() || slices.Contains(a.scopes, p) || without("Token: scopes")
}

// Require is nil where the actor may use the permission; otherwise
// UNAUTHENTICATED, or FORBIDDEN with the reason ROLE_REQUIRED, or
// SCOPE_REQUIRED where only the token stands in the way.
func (a Actor) Require(p Permission) error {
	switch {
	case without("Require"):
	case a.class == nobody:
		return fault.Unauthenticated()
	case !a.mayByRole(p):
		return fault.Forbidden(fault.CodeRoleRequired, "permission", string(p))
	case !a.inScope(p):
		return fault.Forbidden(CodeScopeRequired, "permission", string(p))
	}
	return nil
}

// RefuseToken is FORBIDDEN with the reason TOKEN_NOT_ALLOWED where a personal
// token acts: minting tokens, accepting links and the person's own sign-in,
// sessions and profile are left to people (security decision D9).
func (a Actor) RefuseToken() error {
	if a.ViaToken() && !without("Token: persons only") {
		return fault.Forbidden(CodeTokenNotAllowed)
	}
	return nil
}

// RequireSudo asks for a fresh authentication (security decision D4), which a
// personal token never has.
func (a Actor) RequireSudo(now time.Time) error {
	if err := a.RefuseToken(); err != nil {
		return err
	}
	if a.class == person && now.After(a.SudoUntil) && !without("Sudo") {
		return fault.Forbidden(fault.CodeSudoRequired)
	}
	return nil
}

// Capabilities lists what the actor may do, in a stable order.
func (a Actor) Capabilities() []Permission {
	out := []Permission{}
	for _, p := range Permissions {
		if a.Can(p) {
			out = append(out, p)
		}
	}
	return out
}

// Scope is what an actor sees; stores demand it and only this package makes
// one that sees anything.
type Scope struct {
	all          bool
	organization ident.ID
	partner      ident.ID
	user         ident.ID
}

// Scope is the actor's reach.
func (a Actor) Scope() Scope {
	switch {
	case a.class == system, a.class == person && a.Kind == Operator && !without("Scope: operator"), without("Scope: bounds"):
		return Scope{all: true, organization: a.OrganizationID, user: a.UserID}
	case a.class == person:
		return Scope{organization: a.OrganizationID, partner: a.PartnerID, user: a.UserID}
	}
	return Scope{}
}

// All reports a scope without bounds: the operator's and the system's.
func (s Scope) All() bool { return s.all }

// Key tells two scopes apart, for loaders that live inside one.
func (s Scope) Key() string { return string(s.organization) + "/" + string(s.user) }
