package web

import (
	"net/http"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/secret"
)

// whoami is who the caller is, as GET /auth/session tells.
type whoami struct {
	SignedIn     bool                `json:"signedIn"`
	User         *whoUser            `json:"user"`
	Organization *whoOrganization    `json:"organization"`
	Roles        []access.Role       `json:"roles"`
	Capabilities []access.Permission `json:"capabilities"`
	Session      *whoSession         `json:"session"`
}

type whoUser struct {
	ID     ident.ID `json:"id"`
	Name   string   `json:"name"`
	Email  string   `json:"email"`
	Locale string   `json:"locale"`
}

type whoOrganization struct {
	ID     ident.ID    `json:"id"`
	Kind   access.Kind `json:"kind"`
	Name   string      `json:"name"`
	Domain string      `json:"domain"`
}

type whoSession struct {
	ExpiresAt time.Time `json:"expiresAt"`
	EndsAt    time.Time `json:"endsAt"`
	SudoUntil time.Time `json:"sudoUntil"`
}

// who reads the organization of an actor and puts the answer together.
func (s *server) who(r *http.Request, actor access.Actor, session *account.Session) (*whoami, error) {
	out := &whoami{Roles: []access.Role{}, Capabilities: actor.Capabilities()}
	if actor.IsAnonymous() {
		return out, nil
	}
	org, err := s.organization(r, actor)
	if err != nil {
		return nil, err
	}
	out.SignedIn = true
	out.User = &whoUser{actor.UserID, actor.Name, actor.Email, actor.Locale}
	out.Organization = &whoOrganization{org.ID, org.Kind, org.Name, org.Domain}
	out.Roles = append(out.Roles, actor.Roles...)
	out.Session = &whoSession{session.ExpiresAt(), session.AbsUntil, session.SudoUntil}
	return out, nil
}

func (s *server) organization(r *http.Request, actor access.Actor) (*account.Organization, error) {
	orgs, err := s.Account.Organizations(r.Context(), actor, []ident.ID{actor.OrganizationID})
	if err != nil {
		return nil, err
	}
	if org := orgs[actor.OrganizationID]; org != nil {
		return org, nil
	}
	return nil, fault.NotFound("organization")
}

func (s *server) authSession(w http.ResponseWriter, r *http.Request, v *visit) error {
	out, err := s.who(r, v.actor, v.session)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, out)
	return nil
}

func (s *server) authSignIn(w http.ResponseWriter, r *http.Request, v *visit) error {
	var in struct{ Email, Password string }
	if err := readJSON(r, &in); err != nil {
		return err
	}
	session, user, err := s.open(w, r, v, in.Email, in.Password)
	if err != nil {
		return err
	}
	actor, err := access.Load(r.Context(), s.DB.Read(), access.Presence{
		UserID: user.ID, SessionID: session.ID, SudoUntil: session.SudoUntil, IPPrefix: network(v.ip),
	})
	if err != nil {
		return err
	}
	out, err := s.who(r, actor, session)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, out)
	return nil
}

func (s *server) authSignOut(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := readJSON(r, &struct{}{}); err != nil {
		return err
	}
	if err := s.leave(w, r, v); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *server) authForgot(w http.ResponseWriter, r *http.Request, v *visit) error {
	var in struct{ Email string }
	if err := readJSON(r, &in); err != nil {
		return err
	}
	if err := s.Account.RequestPasswordReset(r.Context(), in.Email, v.ip, v.locale); err != nil {
		return err
	}
	w.WriteHeader(http.StatusAccepted)
	return nil
}

func (s *server) authReset(w http.ResponseWriter, r *http.Request, v *visit) error {
	var in struct{ Token, Password string }
	if err := readJSON(r, &in); err != nil {
		return err
	}
	if err := s.Account.ResetPassword(r.Context(), in.Token, secret.String(in.Password), v.ip); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *server) authReauthenticate(w http.ResponseWriter, r *http.Request, v *visit) error {
	var in struct{ Password string }
	if err := readJSON(r, &in); err != nil {
		return err
	}
	token, session, err := s.Account.Reauthenticate(r.Context(), v.actor, v.token, secret.String(in.Password), v.ip)
	if err != nil {
		return err
	}
	s.setSession(w, token)
	writeJSON(w, http.StatusOK, whoSession{session.ExpiresAt(), session.AbsUntil, session.SudoUntil})
	return nil
}

func (s *server) authChangePassword(w http.ResponseWriter, r *http.Request, v *visit) error {
	var in struct{ OldPassword, NewPassword string }
	if err := readJSON(r, &in); err != nil {
		return err
	}
	token, err := s.Account.ChangePassword(r.Context(), v.actor, v.token, secret.String(in.OldPassword), secret.String(in.NewPassword))
	if err != nil {
		return err
	}
	s.setSession(w, token)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *server) authJoin(w http.ResponseWriter, r *http.Request, v *visit) error {
	var in struct{ Token, FirstName, LastName, Password, Locale string }
	if err := readJSON(r, &in); err != nil {
		return err
	}
	err := s.Account.AcceptUserInvitation(r.Context(), in.Token, account.AcceptInput{
		FirstName: in.FirstName, LastName: in.LastName, Password: secret.String(in.Password), Locale: in.Locale,
	}, v.ip)
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *server) authSetUp(w http.ResponseWriter, r *http.Request, v *visit) error {
	var in struct{ Token, OrganizationName, Domain, Country, Email, FirstName, LastName, Password, Locale string }
	if err := readJSON(r, &in); err != nil {
		return err
	}
	if in.Locale == "" {
		in.Locale = v.locale
	}
	err := s.Account.SetUp(r.Context(), account.SetUpInput{
		Token: in.Token, OrganizationName: in.OrganizationName, Domain: in.Domain, Country: in.Country, Email: in.Email,
		FirstName: in.FirstName, LastName: in.LastName, Password: secret.String(in.Password), Locale: in.Locale,
	})
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *server) authLinkPreview(w http.ResponseWriter, r *http.Request, _ *visit) error {
	var in struct{ Token string }
	if err := readJSON(r, &in); err != nil {
		return err
	}
	p, err := s.Account.PreviewLink(r.Context(), in.Token)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"purpose": p.Purpose, "state": p.State, "usedAt": p.UsedAt, "expiresAt": p.ExpiresAt,
		"organization": p.OrganizationName, "email": p.Email, "firstName": p.FirstName, "lastName": p.LastName, "locale": p.Locale,
	})
	return nil
}
