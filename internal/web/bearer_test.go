package web

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/partnership"
	"github.com/channelgraph/channelgraph/internal/secret"
)

// echo answers who the door says the caller is.
func echo(d *Deps) {
	d.GraphQL = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := access.FromContext(r.Context())
		_, _ = fmt.Fprintf(w, "[%s] token=%t %v %s %s", a.Name, a.ViaToken(), a.Capabilities(), a.IPPrefix, a.Locale)
	})
	d.GraphiQL, d.Mailbox = d.GraphQL, d.GraphQL
	d.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
}

func (w *world) mint(of access.Actor, name string, networks ...string) (*account.Token, string) {
	w.t.Helper()
	token, value, _, err := w.accounts.CreateToken(w.t.Context(), of, account.CreateTokenInput{Name: name,
		Scopes: []access.Permission{access.PermViewerRead, access.PermPartnerRead}, Networks: networks})
	if err != nil {
		w.t.Fatal(err)
	}
	return token, value.Reveal()
}

// program is a caller without cookies that shows a token.
func (w *world) program(authorization ...string) *browser {
	b := w.browser()
	b.client.Jar = nil
	b.header = http.Header{"Authorization": authorization, "Content-Type": {"application/json"}}
	return b
}

// refusedAsGraphQL checks an error in the form that clients of the API read.
func (r *reply) refusedAsGraphQL(status int, code string) *reply {
	r.t.Helper()
	r.is(status)
	var out map[string][]struct {
		Message    string
		Extensions struct{ Code, RequestID string }
	}
	if err := json.Unmarshal([]byte(r.body), &out); err != nil || len(out) != 1 || len(out["errors"]) != 1 {
		r.t.Fatalf("got %q (%v)", r.body, err)
	}
	e := out["errors"][0]
	if e.Extensions.Code != code || e.Extensions.RequestID != r.Header.Get("X-Request-Id") || e.Message == "" || e.Message == code {
		r.t.Fatalf("got %q, want %s", r.body, code)
	}
	return r
}

func TestBearer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, echo)
	token, value := w.mint(w.provider, "CI")
	for _, header := range []string{"Bearer " + value, "bearer " + value, "BEARER   " + value} {
		r := w.program(header).get("/graphql").is(200).has("[Anna Rossi] token=true [viewer.read partner.read] 127.0.0.0/24")
		if c := r.Header.Values("Set-Cookie"); len(c) != 0 {
			t.Errorf("a token got cookies: %v", c)
		}
	}
	w.logged(`"token":"` + string(token.ID) + `"`)

	// A token counts on the routes for programs alone.
	for _, path := range []string{"/graphiql", "/mailbox"} {
		w.program("Bearer " + value).get(path).is(200).has("[] token=false []")
	}
	w.program("Bearer " + value).get("/auth/session").is(200).has(`"signedIn":false`)
	w.program("Bearer "+value).json("/auth/change-password", `{"oldPassword":"x","newPassword":"y"}`).is(401)
	w.program("Bearer " + value).get("/").is(200).has(`href="/sign-in"`).lacks("Anna")
	// Other schemes belong to whoever stands before us.
	w.program("Basic dTpw").get("/graphql").is(200).has("[] token=false []")
	w.program().get("/graphql").is(200).has("[] token=false []")
}

// Whatever is wrong with a token, the answer is the same.
func TestBearerRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, echo)
	_, good := w.mint(w.provider, "Good")
	_, office := w.mint(w.provider, "Office", "192.0.2.0/24")
	gone, revoked := w.mint(w.provider, "Revoked")
	if _, err := w.accounts.RevokeToken(t.Context(), w.provider, gone.ID); err != nil {
		t.Fatal(err)
	}
	leaver := w.addUser(w.provider, "ivo@northwind.example", password, access.GlobalAdmin)
	actor, err := access.Load(t.Context(), w.db.Read(), access.Presence{UserID: leaver, SudoUntil: w.db.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	_, disabled := w.mint(actor, "Leaver's")
	if _, err := w.accounts.DisableUser(t.Context(), w.provider, leaver); err != nil {
		t.Fatal(err)
	}
	session, _, _, err := w.accounts.SignIn(t.Context(), account.SignInInput{Email: "anna@northwind.example", Password: password, IP: netip.MustParseAddr("192.0.2.1")})
	if err != nil {
		t.Fatal(err)
	}
	bodies := map[string]bool{}
	check := func(name string, header ...string) {
		t.Helper()
		r := w.program(header...).get("/graphql").refusedAsGraphQL(401, account.CodeTokenInvalid)
		if c := r.Header.Values("WWW-Authenticate"); len(c) != 1 || c[0] != `Bearer realm="channelgraph", error="invalid_token"` {
			t.Errorf("%s: WWW-Authenticate %q", name, c)
		}
		if r.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s may be cached", name)
		}
		bodies[strings.ReplaceAll(r.body, r.Header.Get("X-Request-Id"), "")] = true
	}
	check("nothing", "Bearer")
	check("empty", "Bearer ")
	check("unknown", "Bearer "+secret.NewChecked(account.TokenPrefix).Reveal())
	check("mistyped", "Bearer "+good[:52]+"!")
	check("another network", "Bearer "+office)
	check("revoked", "Bearer "+revoked)
	check("disabled", "Bearer "+disabled)
	check("a session's", "Bearer "+session.Reveal())
	check("two tokens", "Bearer "+good+" "+good)
	check("two headers", "Bearer "+good, "Bearer "+good)
	check("two schemes", "Basic dTpw", "Bearer "+good)
	w.db.Clock().Advance(91 * 24 * time.Hour)
	check("expired", "Bearer "+good)
	if len(bodies) != 1 {
		t.Errorf("the answers differ: %v", bodies)
	}
	r := w.program("Bearer " + good)
	r.header.Set("Accept-Language", "it")
	r.get("/graphql").is(401).has("Questo token qui non funziona")

	// A stranger who tries on is told to wait; others are not.
	limited := false
	for range 40 {
		if a := w.program("Bearer " + secret.NewChecked(account.TokenPrefix).Reveal()).get("/graphql"); a.StatusCode == 429 {
			a.refusedAsGraphQL(429, fault.CodeRateLimited)
			limited = a.Header.Get("Retry-After") != "" && a.Header.Get("WWW-Authenticate") == ""
			break
		}
	}
	if !limited {
		t.Error("unknown tokens may be tried without end")
	}
	_, fresh := w.mint(w.refreshed(w.provider), "Fresh")
	w.program("Bearer " + fresh).get("/graphql").is(200).has("token=true")
}

// refreshed is the actor who has just proved the password.
func (w *world) refreshed(a access.Actor) access.Actor {
	w.t.Helper()
	a, err := access.Load(w.t.Context(), w.db.Read(), access.Presence{UserID: a.UserID, SudoUntil: w.db.Now().Add(time.Hour)})
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

func TestBearerNetworks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, echo)
	_, office := w.mint(w.provider, "Office", "192.0.2.0/24")
	b := w.program("Bearer " + office)
	b.header.Set("X-Forwarded-For", "192.0.2.7")
	b.get("/graphql").is(200).has("192.0.2.0/24")
	b.header.Set("X-Forwarded-For", "192.0.2.7, 198.51.100.1") // the left part is the caller's own invention
	b.get("/graphql").is(401)
}

func TestTwoCredentials(t *testing.T) {
	t.Parallel()
	w := newWorld(t, echo)
	_, value := w.mint(w.provider, "CI")
	b := w.browser().signIn("luca@contoso.example")
	b.get("/graphql").is(200).has("[Luca Rossi] token=false")
	for _, header := range []string{"Bearer " + value, "Bearer x"} {
		b.header.Set("Authorization", header)
		r := b.get("/graphql").refusedAsGraphQL(400, "TWO_CREDENTIALS")
		if r.Header.Get("WWW-Authenticate") != "" {
			t.Error("a mistaken request is challenged")
		}
		b.get("/auth/session").is(200).has("luca@contoso.example") // pages go by the session
	}
	// Also where the session is over: the two would not agree.
	p := w.program("Bearer " + value)
	p.header.Set("Cookie", "cg_session=cgt_over")
	p.get("/graphql").refusedAsGraphQL(400, "TWO_CREDENTIALS")
}

// A token answers no link (security decision D9).
func TestTokenAcceptsNoLink(t *testing.T) {
	t.Parallel()
	w := newWorld(t, echo)
	inv, code := w.invite("luca@contoso.example")
	_, value, _, err := w.accounts.CreateToken(t.Context(), w.reseller, account.CreateTokenInput{Name: "CI", Scopes: w.reseller.Capabilities()})
	if err != nil {
		t.Fatal(err)
	}
	presence, _, err := w.accounts.AuthenticateToken(t.Context(), value.Reveal(), netip.MustParseAddr("192.0.2.1"))
	if err != nil {
		t.Fatal(err)
	}
	a, err := access.Load(t.Context(), w.db.Read(), presence)
	if err != nil || !a.Can(access.PermProviderAuthorize) {
		t.Fatal(a, err)
	}
	for name, act := range map[string]func() error{
		"accept": func() error {
			_, err := w.joined.Accept(t.Context(), a, partnership.AcceptInput{Code: code, Confirmed: true})
			return err
		},
		"accept by id": func() error {
			_, err := w.joined.Accept(t.Context(), a, partnership.AcceptInput{InvitationID: &inv.ID, Confirmed: true})
			return err
		},
		"decline": func() error {
			_, err := w.joined.Decline(t.Context(), a, partnership.DeclineInput{Code: code})
			return err
		},
		"keep waiting": func() error { return w.joined.KeepWaiting(t.Context(), a, code) },
	} {
		if err := act(); !fault.Is(err, access.CodeTokenNotAllowed) || fault.KindOf(err) != fault.KindForbidden {
			t.Errorf("%s: got %v, want TOKEN_NOT_ALLOWED", name, err)
		}
	}
	if n, err := w.db.Read().NewSelect().Table("partnership").Count(t.Context()); err != nil || n != 0 {
		t.Errorf("%d partnerships, %v", n, err)
	}
}

// Good or bad, and wherever a client puts it by mistake: no token is logged.
func TestTokensAreNotLogged(t *testing.T) {
	t.Parallel()
	var out logBuffer
	w := newWorld(t, func(d *Deps) {
		d.Log = slog.New(slog.NewJSONHandler(secret.Redactor(&out), &slog.HandlerOptions{Level: slog.LevelDebug}))
		d.GraphQL = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			raw, _ := io.ReadAll(r.Body)
			panic("reading " + r.Header.Get("Authorization") + " and " + string(raw))
		})
	})
	_, value := w.mint(w.provider, "CI")
	_, link := w.invite("luca@contoso.example")
	unknown := secret.NewChecked(account.TokenPrefix).Reveal()
	b := w.program("Bearer " + value)
	b.json("/graphql?access_token="+value, `{"query":"`+link+`"}`).is(500)
	w.program("Bearer " + unknown).get("/graphql").is(401)
	w.program().get("/" + unknown).is(404)
	w.program().json("/auth/link-preview", `{"token":"`+link+`"}`).is(200)
	w.log = &out
	w.logged(`"level":"ERROR"`)
	w.logged(`"status":404`)
	for _, token := range []string{value, link, unknown} {
		if log := out.String(); strings.Contains(log, token[4:]) {
			t.Errorf("the log holds %s:\n%s", token, log)
		}
	}
	w.logged("cgp_[hidden]")
}
