package web

import (
	"net/http"

	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/secret"
)

// setSession gives the browser a session token (security decision D4). The
// cookie lives as long as the browser; the server's own limits are what ends
// the session.
func (s *server) setSession(w http.ResponseWriter, token secret.String) {
	http.SetCookie(w, &http.Cookie{Name: s.cookie, Value: token.Reveal(), Path: "/",
		HttpOnly: true, Secure: s.secure, SameSite: http.SameSiteLaxMode})
}

// clearSession takes the token back, with whatever the browser stored for us.
func (s *server) clearSession(w http.ResponseWriter) {
	http.SetCookie(w, &http.Cookie{Name: s.cookie, Path: "/", MaxAge: -1,
		HttpOnly: true, Secure: s.secure, SameSite: http.SameSiteLaxMode})
	w.Header().Set("Clear-Site-Data", `"storage"`)
}

// open signs in and ends the session that the browser held before.
func (s *server) open(w http.ResponseWriter, r *http.Request, v *visit, email, password string) (*account.Session, *account.User, error) {
	token, session, user, err := s.Account.SignIn(r.Context(), account.SignInInput{
		Email: email, Password: secret.String(password), IP: v.ip, Agent: r.UserAgent(), Locale: v.locale,
	})
	if err != nil {
		return nil, nil, err
	}
	if v.token != "" {
		if err := s.Account.SignOut(r.Context(), v.token); err != nil {
			return nil, nil, err
		}
	}
	s.setSession(w, token)
	return session, user, nil
}

// leave signs out.
func (s *server) leave(w http.ResponseWriter, r *http.Request, v *visit) error {
	if v.token != "" {
		if err := s.Account.SignOut(r.Context(), v.token); err != nil {
			return err
		}
	}
	s.clearSession(w)
	return nil
}
