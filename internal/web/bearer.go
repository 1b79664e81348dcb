package web

import (
	"net/http"
	"strings"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/fault"
)

// takesBearer reports whether a route is for programs: personal tokens count
// here and nowhere else (security decision D9).
func takesBearer(path string) bool {
	return path == "/graphql" || strings.HasPrefix(path, "/graphql/") || strings.HasPrefix(path, "/exports/") ||
		path == "/files" || strings.HasPrefix(path, "/files/") || strings.HasPrefix(path, "/register-imports/")
}

// bearer is the token of an Authorization header, "" where it is malformed;
// given reports a Bearer header at all. Other schemes are left to whoever
// stands before us.
func bearer(h http.Header) (token string, given bool) {
	values := h.Values("Authorization")
	for _, v := range values {
		scheme, rest, _ := strings.Cut(strings.TrimSpace(v), " ")
		if strings.EqualFold(scheme, "Bearer") {
			token, given = strings.TrimSpace(rest), true
		}
	}
	if len(values) > 1 {
		token = ""
	}
	return token, given
}

// identifyToken loads the actor behind a personal token. A token that does not
// work is refused, not ignored: the program would take the answers of nobody
// for its own.
func (s *server) identifyToken(r *http.Request, v *visit, token string) error {
	if c, err := r.Cookie(s.cookie); err == nil && c.Value != "" {
		return errTwoCredentials
	}
	presence, _, err := s.Account.AuthenticateToken(r.Context(), token, v.ip)
	if err != nil {
		return err
	}
	presence.IPPrefix = network(v.ip)
	actor, err := access.Load(r.Context(), s.DB.Read(), presence)
	if err != nil {
		return err
	}
	if actor.IsAnonymous() { // disabled since
		return &fault.Error{Kind: fault.KindUnauthenticated, Code: account.CodeTokenInvalid}
	}
	v.actor = actor
	if explicitLocale(r) == "" {
		v.locale = supported(actor.Locale)
	}
	return nil
}

// challenge is what a refused token is answered with (RFC 6750), whatever was
// wrong with it.
const challenge = `Bearer realm="channelgraph", error="invalid_token"`
