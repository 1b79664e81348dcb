package account

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
)

// TokenPrefix begins a personal token, so that secret scanners and the log's
// redactor know one.
const TokenPrefix = "cgp"

// Limits of personal tokens (security decision D9).
const (
	// DefaultTokenDays and MaxTokenDays are how long a token lives.
	DefaultTokenDays = 90
	MaxTokenDays     = 366
	// MaxTokenNetworks is how many networks a token may name.
	MaxTokenNetworks = 20
	// MaxTokens is how many live tokens a user may have.
	MaxTokens = 50
	// remindBefore is how long before its end a token's owner is told.
	remindBefore = 7 * 24 * time.Hour
)

// Codes of refusals about personal tokens.
const (
	// CodeTokenInvalid is the one answer to every token that does not work
	// here: unknown, malformed, expired, revoked, from another network, of a
	// user who is not active.
	CodeTokenInvalid   = "TOKEN_INVALID"
	CodeTokenName      = "TOKEN_NAME_TAKEN"
	CodeTokenLife      = "TOKEN_LIFE"
	CodeNetworkInvalid = "NETWORK_INVALID"
	CodeScopeUnknown   = "SCOPE_UNKNOWN"
	CodeScopeNotHeld   = "SCOPE_NOT_HELD"
)

// TokenState is where a personal token stands.
type TokenState string

// States of a token; both ends are final.
const (
	TokenActive  TokenState = "ACTIVE"
	TokenExpired TokenState = "EXPIRED"
	TokenRevoked TokenState = "REVOKED"
)

// State is where the token stands at a moment.
func (t *Token) State(now time.Time) TokenState {
	switch {
	case t.RevokedAt != nil:
		return TokenRevoked
	case !now.Before(t.ExpiresAt):
		return TokenExpired
	}
	return TokenActive
}

// from reports whether the token works from an address.
func (t *Token) from(ip netip.Addr) bool {
	if len(t.Networks) == 0 {
		return true
	}
	ip = ip.Unmap().WithZone("")
	return slices.ContainsFunc(t.Networks, func(s string) bool {
		p, err := netip.ParsePrefix(s)
		return err == nil && p.Contains(ip)
	})
}

// remindAt is when the owner is told that the token ends, and whether at all:
// of one that lives a week or less its owner knows.
func (t *Token) remindAt() (time.Time, bool) {
	at := t.ExpiresAt.Add(-remindBefore)
	return at, at.After(t.CreatedAt)
}

// CreateTokenInput mints a personal token.
type CreateTokenInput struct {
	Name string
	// Scopes are the permissions to bound the token by, at least one.
	Scopes []access.Permission
	// ExpiresInDays is 1 to MaxTokenDays; nil means DefaultTokenDays.
	ExpiresInDays *int
	// Networks are CIDR prefixes or single addresses, at most
	// MaxTokenNetworks; none means everywhere.
	Networks       []string
	IdempotencyKey *string
}

// Validate puts the token into its stored form or says all that is wrong with
// it.
func (in *CreateTokenInput) Validate() error {
	var c check
	in.Name = c.name("name", in.Name, true)
	in.Scopes = c.scopes("scopes", in.Scopes)
	days := DefaultTokenDays
	if in.ExpiresInDays != nil {
		days = *in.ExpiresInDays
	}
	if days < 1 || days > MaxTokenDays {
		c.Add("expiresInDays", CodeTokenLife, "max", strconv.Itoa(MaxTokenDays))
	}
	in.ExpiresInDays = &days
	in.Networks = c.networks("networks", in.Networks)
	return c.Err()
}

// scopes puts permissions into their stable order without repetition.
func (c *check) scopes(path string, in []access.Permission) []access.Permission {
	switch {
	case len(in) == 0:
		c.Add(path, fault.CodeRequired)
	case len(in) > len(access.Permissions):
		c.Add(path, fault.CodeTooMany, "max", strconv.Itoa(len(access.Permissions)))
		return nil
	}
	for i, p := range in {
		if !slices.Contains(access.Permissions, p) {
			c.Add(path+"."+strconv.Itoa(i), CodeScopeUnknown)
		}
	}
	out := []access.Permission{}
	for _, p := range access.Permissions {
		if slices.Contains(in, p) {
			out = append(out, p)
		}
	}
	return out
}

// networks puts networks into their shortest form without repetition.
func (c *check) networks(path string, in []string) []string {
	out := []string{}
	if len(in) > MaxTokenNetworks {
		c.Add(path, fault.CodeTooMany, "max", strconv.Itoa(MaxTokenNetworks))
		return out
	}
	for i, s := range in {
		p, ok := parseNetwork(s)
		if !ok {
			c.Add(path+"."+strconv.Itoa(i), CodeNetworkInvalid)
			continue
		}
		if !slices.Contains(out, p.String()) {
			out = append(out, p.String())
		}
	}
	return out
}

// parseNetwork reads a CIDR prefix, or an address as the network of itself
// alone. An IPv4 network in IPv6 clothes is the IPv4 network.
func parseNetwork(s string) (netip.Prefix, bool) {
	s = strings.TrimSpace(s)
	p, err := netip.ParsePrefix(s)
	if err != nil {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return p, false
		}
		p = netip.PrefixFrom(a, a.BitLen())
	}
	if p.Addr().Is4In6() {
		if p.Bits() < 96 {
			return p, false
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked(), true
}

// TokenFilter narrows a list of personal tokens.
type TokenFilter struct {
	// UserID leaves the tokens of one user.
	UserID *ident.ID
	State  *TokenState
}
