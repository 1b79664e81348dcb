// Package account owns organizations, their users and roles, and the ways in:
// passwords, sessions, personal tokens for programs, and the mailed links that
// set them up (security decisions D1 to D6, D9 to D12). It never stores a
// password or a token in clear, never says whether an address is known to a
// stranger, and never decides anything about partners or their relationships.
//
// Invariant: every organization that has an administrator keeps an active
// one, nobody gives or takes a role beyond their own, a session ends at
// the latest when its user's password changes, roles change by another's
// hand, or the user is disabled, and a personal token never does more than
// its user may at that moment.
package account

import (
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/ident"
)

// Codes of this concept's refusals; each has a sentence in internal/fault.
const (
	CodeSignInFailed      = "SIGN_IN_FAILED"
	CodePasswordWrong     = "PASSWORD_WRONG"
	CodePasswordChange    = "PASSWORD_CHANGE_REQUIRED"
	CodePasswordTooShort  = "PASSWORD_TOO_SHORT"
	CodePasswordTooLong   = "PASSWORD_TOO_LONG"
	CodePasswordCommon    = "PASSWORD_COMMON"
	CodePasswordSimilar   = "PASSWORD_SIMILAR"
	CodeEmailNotAvailable = "EMAIL_NOT_AVAILABLE"
	CodeDomainNotFree     = "DOMAIN_NOT_AVAILABLE"
	CodeRoleNotOfKind     = "ROLE_NOT_OF_KIND"
	CodeRoleNotHeld       = "ROLE_NOT_HELD"
	CodeLastAdmin         = "LAST_ADMIN"
	CodeSelfDisable       = "SELF_DISABLE"
	CodeUserState         = "USER_STATE"
	CodeLinkUsed          = "LINK_USED"
	CodeLinkExpired       = "LINK_EXPIRED"
	CodeAlreadySetUp      = "ALREADY_SET_UP"
)

// Organization is a party with its work account, named by a domain (spec
// section 1).
type Organization struct {
	bun.BaseModel `bun:"table:organization,alias:organization"`
	ID            ident.ID    `bun:"id,pk"`
	Kind          access.Kind `bun:"kind"`
	Name          string      `bun:"name"`
	// NameFolded is the name as it is sorted and searched.
	NameFolded string `bun:"name_folded"`
	// Domain names the work account: lower case, ASCII, unique.
	Domain string `bun:"domain"`
	// Country is an ISO 3166 two letter code.
	Country string `bun:"country"`
	// Locale is the language that its users get by default: en or it.
	Locale    string    `bun:"locale"`
	Version   int       `bun:"version"`
	CreatedAt time.Time `bun:"created_at"`
	UpdatedAt time.Time `bun:"updated_at"`
}

// UserStatus is where a user stands.
type UserStatus string

// States of a user. An invited user has not proved the address yet and has no
// password; a disabled one cannot sign in until enabled again.
const (
	Invited  UserStatus = "INVITED"
	Active   UserStatus = "ACTIVE"
	Disabled UserStatus = "DISABLED"
)

// step is something that happens to a user.
type step string

const (
	stepAccept  step = "accept"
	stepDisable step = "disable"
	stepEnable  step = "enable"
	stepReset   step = "reset_password"
	stepResend  step = "resend_invitation"
)

// transitions says where a step leads; a step that is not there is refused
// with USER_STATE. Enabling leads back to INVITED where the user never set a
// password (see User.enabled).
var transitions = map[UserStatus]map[step]UserStatus{
	Invited:  {stepAccept: Active, stepDisable: Disabled, stepResend: Invited},
	Active:   {stepDisable: Disabled, stepReset: Active},
	Disabled: {stepEnable: Active},
}

// after is the status that a step leads to, and whether the step is allowed.
func (s UserStatus) after(what step) (UserStatus, bool) {
	to, ok := transitions[s][what]
	return to, ok
}

// User is a person of one organization, who signs in with the address.
type User struct {
	bun.BaseModel  `bun:"table:user_account,alias:user_account"`
	ID             ident.ID `bun:"id,pk"`
	OrganizationID ident.ID `bun:"organization_id"`
	// Email is the address as it was written, EmailFolded as it is compared;
	// the latter is unique over the whole installation.
	Email       string `bun:"email"`
	EmailFolded string `bun:"email_folded"`
	FirstName   string `bun:"first_name"`
	LastName    string `bun:"last_name"`
	// NameFolded is the display name as it is sorted and searched.
	NameFolded string     `bun:"name_folded"`
	Locale     string     `bun:"locale"`
	Status     UserStatus `bun:"status"`
	// LinkGeneration counts the mailed links of this user; only the newest of
	// a purpose works.
	LinkGeneration int        `bun:"link_generation"`
	LastSignInAt   *time.Time `bun:"last_sign_in_at"`
	Version        int        `bun:"version"`
	CreatedAt      time.Time  `bun:"created_at"`
	UpdatedAt      time.Time  `bun:"updated_at"`
}

// DisplayName is the name that people read: first and last name, or the
// address of someone who has not told a name yet.
func (u *User) DisplayName() string {
	if n := strings.TrimSpace(u.FirstName + " " + u.LastName); n != "" {
		return n
	}
	return u.Email
}

// UserRole is one role that a user holds.
type UserRole struct {
	bun.BaseModel `bun:"table:user_role,alias:user_role"`
	UserID        ident.ID    `bun:"user_id,pk"`
	Role          access.Role `bun:"role,pk"`
	// GrantedBy is the user who gave the role, "" for channelgraph itself.
	GrantedBy ident.ID  `bun:"granted_by"`
	GrantedAt time.Time `bun:"granted_at"`
}

// Session is one signed-in browser (security decision D4).
type Session struct {
	bun.BaseModel  `bun:"table:session,alias:session"`
	ID             ident.ID `bun:"id,pk"`
	UserID         ident.ID `bun:"user_id"`
	OrganizationID ident.ID `bun:"organization_id"`
	// TokenHash is the SHA-256 of the token; the token itself is nowhere.
	TokenHash string `bun:"token_hash"`
	// AuthMethods says how the user proved who they are, e.g. "password".
	AuthMethods string `bun:"auth_methods"`
	// IPPrefix is the network of the sign-in, never the whole address.
	IPPrefix string `bun:"ip_prefix"`
	// Agent is the browser's own description, cut at 200 characters.
	Agent      string    `bun:"agent"`
	CreatedAt  time.Time `bun:"created_at"`
	LastSeenAt time.Time `bun:"last_seen_at"`
	// IdleUntil moves on with use, AbsUntil never does; the session lives
	// until the earlier of the two.
	IdleUntil time.Time `bun:"idle_until"`
	AbsUntil  time.Time `bun:"abs_until"`
	// SudoUntil is until when the user counts as freshly authenticated.
	SudoUntil time.Time  `bun:"sudo_until"`
	RevokedAt *time.Time `bun:"revoked_at"`
}

// Live reports whether the session still works at a moment.
func (s *Session) Live(now time.Time) bool {
	return s.RevokedAt == nil && now.Before(s.IdleUntil) && now.Before(s.AbsUntil)
}

// ExpiresAt is when the session ends if nothing more happens in it.
func (s *Session) ExpiresAt() time.Time { return earlier(s.IdleUntil, s.AbsUntil) }

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// Token is a personal token: it lets a program act as its user, never more
// than the user may, and only within its scopes (security decision D9).
type Token struct {
	bun.BaseModel  `bun:"table:personal_token,alias:personal_token"`
	ID             ident.ID `bun:"id,pk"`
	UserID         ident.ID `bun:"user_id"`
	OrganizationID ident.ID `bun:"organization_id"`
	// Name says what the token is for; among a user's live tokens it is
	// unique, compared as NameFolded.
	Name       string `bun:"name"`
	NameFolded string `bun:"name_folded"`
	// TokenHash is the SHA-256 of the token; the token itself is nowhere.
	TokenHash string `bun:"token_hash"`
	// Scopes bound what the token may do: it can do what stands here and its
	// user's roles allow at that moment.
	Scopes []access.Permission `bun:"scopes,type:jsonb"`
	// Networks are those that the token works from, in CIDR notation; from
	// everywhere where there are none.
	Networks  []string  `bun:"networks,type:jsonb"`
	CreatedAt time.Time `bun:"created_at"`
	ExpiresAt time.Time `bun:"expires_at"`
	// LastUsedAt is when the token last worked, to the minute.
	LastUsedAt *time.Time `bun:"last_used_at"`
	RevokedAt  *time.Time `bun:"revoked_at"`
	// RevokedByID is the user who revoked the token, "" while it is not.
	RevokedByID ident.ID `bun:"revoked_by_id"`
}

// Purpose is the one act that a mailed capability link allows (D10).
type Purpose string

// The purposes: the first operator, joining an organization, a new password.
const (
	PurposeSetup  Purpose = "setup"
	PurposeInvite Purpose = "user_invitation"
	PurposeReset  Purpose = "password_reset"
)

// linkKind is how a purpose's links look and how long they live.
type linkKind struct {
	prefix string
	path   string
	life   time.Duration
}

var linkKinds = map[Purpose]linkKind{
	PurposeSetup:  {"cgf", "/l/setup", 30 * time.Minute},
	PurposeInvite: {"cgu", "/l/join", 7 * 24 * time.Hour},
	PurposeReset:  {"cgr", "/l/reset", 30 * time.Minute},
}

// purposeOf reads a token's purpose from its prefix.
func purposeOf(token string) (Purpose, bool) {
	prefix, _, ok := strings.Cut(token, "_")
	if !ok || len(token) > 100 {
		return "", false
	}
	for p, k := range linkKinds {
		if k.prefix == prefix {
			return p, true
		}
	}
	return "", false
}

// LinkState is what a link can still do.
type LinkState string

// States of a link; a link that a newer one replaced counts as expired.
const (
	LinkValid   LinkState = "valid"
	LinkUsed    LinkState = "used"
	LinkExpired LinkState = "expired"
	LinkUnknown LinkState = "unknown"
)

// LinkPreview is what a page shows before a person presses the button; making
// one consumes nothing.
type LinkPreview struct {
	Purpose   Purpose
	State     LinkState
	UsedAt    *time.Time
	ExpiresAt *time.Time
	// OrganizationName and Email (masked) are set while the link is valid.
	OrganizationName string
	Email            string
	FirstName        string
	LastName         string
	Locale           string
}

// maskEmail keeps the first character and the domain: "j***@example.com".
func maskEmail(email string) string {
	local, domain, ok := strings.Cut(email, "@")
	if !ok || local == "" {
		return "***"
	}
	for _, first := range local {
		return string(first) + "***@" + domain
	}
	return "***"
}

// AdminRole is the role that a kind of party must never be without (spec
// section 1: the last Global admin cannot be removed).
func AdminRole(k access.Kind) access.Role {
	if k == access.Operator {
		return access.OperatorAdmin
	}
	return access.GlobalAdmin
}

// Grantable lists the roles that a holder of roles may give and take in an
// organization of a kind. Nobody grants a role they do not hold (spec section
// 1); the administrator of the organization counts as holding all of its
// roles, and the role of a plain user, which carries no right over others,
// is everybody's to give.
func Grantable(k access.Kind, held []access.Role) []access.Role {
	all := access.RolesOf(k)
	if slices.Contains(held, AdminRole(k)) {
		return all
	}
	out := []access.Role{}
	for _, r := range all {
		if r == access.DefaultUser || slices.Contains(held, r) {
			out = append(out, r)
		}
	}
	return out
}

// difference lists the roles that are in one of the lists only.
func difference(a, b []access.Role) []access.Role {
	var out []access.Role
	for _, r := range access.Roles {
		if slices.Contains(a, r) != slices.Contains(b, r) {
			out = append(out, r)
		}
	}
	return out
}

// firstBeyond is the first of the roles that is not among the grantable ones,
// or "".
func firstBeyond(roles, grantable []access.Role) access.Role {
	for _, r := range roles {
		if !slices.Contains(grantable, r) {
			return r
		}
	}
	return ""
}
