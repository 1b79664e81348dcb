package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
)

func TestSecurityHeaders(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(d *Deps) { d.PublicURL, _ = url.Parse("https://center.example.com") })
	b := w.browser()
	want := map[string]string{
		"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
			"font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'",
		"X-Content-Type-Options":     "nosniff",
		"Cross-Origin-Opener-Policy": "same-origin",
		"Referrer-Policy":            "no-referrer",
		"Cache-Control":              "no-store",
		"Strict-Transport-Security":  "max-age=31536000",
	}
	for _, path := range []string{"/", "/sign-in", "/l/partnership", "/auth/session", "/healthz", "/nowhere"} {
		r := b.get(path)
		for k, v := range want {
			if got := r.Header.Get(k); got != v {
				t.Errorf("%s: %s is %q, want %q", path, k, got, v)
			}
		}
	}
	if got := newWorld(t).browser().get("/").Header.Get("Strict-Transport-Security"); got != "" {
		t.Errorf("HSTS on plain http: %q", got)
	}
	css := b.get("/static/page.css").is(200)
	if css.Header.Get("Cache-Control") != "no-cache" || css.Header.Get("ETag") == "" {
		t.Errorf("static headers: %v", css.Header)
	}
	b.header.Set("If-None-Match", css.Header.Get("ETag"))
	b.get("/static/page.css").is(304)
	b.get("/static/web.go").is(404)
}

func TestSessionCookie(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ public, name, attributes string }{
		{"https://center.example.com", "__Host-cg_session", "; Path=/; HttpOnly; Secure; SameSite=Lax"},
		{"http://localhost:8080", "cg_session", "; Path=/; HttpOnly; SameSite=Lax"},
	} {
		w := newWorld(t, func(d *Deps) { d.PublicURL, _ = url.Parse(c.public) })
		r := w.browser().json("/auth/sign-in", `{"email":"luca@contoso.example","password":"`+password+`"}`).is(200)
		got := r.Header.Values("Set-Cookie")
		if len(got) != 1 || !strings.HasPrefix(got[0], c.name+"=cgt_") || !strings.HasSuffix(got[0], c.attributes) ||
			strings.Contains(got[0], "Domain") || strings.Contains(got[0], "Max-Age") {
			t.Errorf("%s: %q", c.public, got)
		}
		// The cookie of the other scheme counts for nothing.
		req := httptest.NewRequestWithContext(t.Context(), "GET", "/auth/session", nil)
		value, _, _ := strings.Cut(strings.TrimPrefix(got[0], c.name+"="), ";")
		req.AddCookie(&http.Cookie{Name: "other_session", Value: value})
		rec := httptest.NewRecorder()
		w.handler.ServeHTTP(rec, req)
		if !strings.Contains(rec.Body.String(), `"signedIn":false`) {
			t.Errorf("%s", rec.Body)
		}
	}
}

func TestCrossOriginIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser().signIn("luca@contoso.example")
	before := w.counts()
	for _, site := range []string{"cross-site", "same-site"} {
		b.header.Set("Sec-Fetch-Site", site)
		b.header.Set("Origin", "https://evil.example")
		b.post("/sign-out").is(403).has("another site")
		b.json("/auth/sign-out", "{}").is(403).code(codeCrossOrigin)
		b.post("/l/partnership/authorize", "code", "cgi_x", "confirmed", "yes").is(403)
	}
	b.header.Del("Sec-Fetch-Site") // an old browser
	b.post("/sign-out").is(403)
	b.header.Set("Origin", "null")
	b.post("/sign-out").is(403)
	if after := w.counts(); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("a refused request changed something: %v, %v", before, after)
	}
	b.header.Set("Origin", "http://localhost:8080") // ours, as the proxy is known outside
	b.post("/sign-out").is(303)
}

func TestSessionEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser().signIn("luca@contoso.example")
	b.get("/").is(200).has("Luca Rossi", "Contoso Rivendite", "Indirect reseller", "Global admin", "contoso.example", "This one only")
	w.db.Clock().Advance(61 * 60 * 1e9)
	b.get("/").is(200).has("Your session has ended", "Sign in").lacks("Luca Rossi")
	b.get("/auth/session").is(200).has(`"signedIn":false`, `"user":null`, `"capabilities":[]`)
	b.json("/auth/reauthenticate", `{"password":"x"}`).is(401).code(fault.CodeUnauthenticated)
	b.json("/auth/change-password", `{"oldPassword":"x","newPassword":"y"}`).is(401).code(fault.CodeUnauthenticated)
}

func TestRequestID(t *testing.T) {
	t.Parallel()
	ids := map[string]string{}
	echo := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, ident.Request(r.Context())) })
	trusting := newWorld(t, func(d *Deps) {
		d.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		d.DevRoutes = map[string]http.Handler{"GET /dev/echo": echo}
	}).browser()
	strange := newWorld(t).browser()
	for _, id := range []string{"abcdefgh-1234", "short", "has space in it", "semi;colon;semi", strings.Repeat("x", 65), "<script>alert(1)"} {
		trusting.header.Set("X-Request-Id", id)
		strange.header.Set("X-Request-Id", id)
		r := trusting.get("/dev/echo").is(200)
		ids[id] = r.Header.Get("X-Request-Id")
		if r.body != ids[id] {
			t.Errorf("below the door the id is %q, outside %q", r.body, ids[id])
		}
		if got := strange.get("/healthz").Header.Get("X-Request-Id"); got == id || !saneRequestID.MatchString(got) {
			t.Errorf("a stranger's id %q became %q", id, got)
		}
	}
	for in, out := range ids {
		if (in == out) != (in == "abcdefgh-1234") {
			t.Errorf("%q became %q", in, out)
		}
	}
}

func TestClientIP(t *testing.T) {
	t.Parallel()
	s := &server{Deps: Deps{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}}}
	for _, c := range []struct {
		peer      string
		forwarded []string
		want      string
	}{
		{"198.51.100.7", []string{"192.0.2.1"}, "198.51.100.7"},         // a stranger may claim what it likes
		{"10.0.0.1", nil, "10.0.0.1"},                                   // the proxy itself
		{"10.0.0.1", []string{"192.0.2.1"}, "192.0.2.1"},                // one proxy
		{"10.0.0.1", []string{"6.6.6.6, 192.0.2.1"}, "192.0.2.1"},       // forged in front
		{"10.0.0.1", []string{"192.0.2.1, 10.0.0.2"}, "192.0.2.1"},      // two proxies
		{"10.0.0.1", []string{"6.6.6.6", "192.0.2.1"}, "192.0.2.1"},     // two headers
		{"10.0.0.1", []string{"nonsense"}, "10.0.0.1"},                  // unreadable
		{"fd00::1", []string{"2001:db8::1"}, "2001:db8::1"},             // IPv6
		{"10.0.0.1", []string{"::ffff:192.0.2.1"}, "192.0.2.1"},         // IPv4 in IPv6
		{"10.0.0.1", []string{"10.0.0.9, 10.0.0.8"}, "10.0.0.9"},        // inside only
		{"10.0.0.1", []string{"192.0.2.1, evil, 10.0.0.2"}, "10.0.0.2"}, // stops at what it cannot read
	} {
		if got := s.clientIP(netip.MustParseAddr(c.peer), c.forwarded); got.String() != c.want {
			t.Errorf("%s %v: %s, want %s", c.peer, c.forwarded, got, c.want)
		}
	}
	for ip, want := range map[string][2]string{
		"192.0.2.77": {"192.0.2.0/24", "192.0.2.77"}, "2001:db8:1:2::9": {"2001:db8:1::/48", "2001:db8:1:2::/64"},
	} {
		a := netip.MustParseAddr(ip)
		if network(a) != want[0] || limitKey(a) != want[1] {
			t.Errorf("%s: %s %s", ip, network(a), limitKey(a))
		}
	}
}

func TestPanicShowsOnlyTheReference(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(d *Deps) {
		d.DevRoutes = map[string]http.Handler{
			"GET /boom": http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("kaboom: the database password is hunter2") }),
		}
	})
	r := w.browser().get("/boom").is(500).has("Something went wrong on our side").lacks("kaboom", "hunter2", "goroutine")
	r.has(r.Header.Get("X-Request-Id"))
	w.logged(r.Header.Get("X-Request-Id"))
	if r.Header.Get("Content-Security-Policy") == "" {
		t.Error("no security headers on a failure")
	}
}

func TestAccessLogHoldsNoQueryAndNoBody(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	w := newWorld(t, func(d *Deps) { d.Registerer = reg })
	b := w.browser().signIn("luca@contoso.example")
	b.get("/?notice=canary-query")
	b.post("/l/partnership/preview", "code", "cgi_canary-body")
	b.do("BREW", "/canary-path", "", "")
	for _, part := range []string{`"route":"POST /l/partnership/preview"`, `"route":"unmatched"`, `"user":"` + string(w.reseller.UserID) + `"`, `"method":"OTHER"`, `"bytes":`, `"took":`} {
		w.logged(part)
	}
	log := w.log.String()
	for _, canary := range []string{"canary", password, "luca@contoso.example", "cgt_"} {
		if strings.Contains(log, canary) {
			t.Errorf("the log holds %q:\n%s", canary, log)
		}
	}
	families, err := reg.Gather()
	if err != nil || len(families) != 1 {
		t.Fatal(families, err)
	}
	var seen []string
	for _, m := range families[0].GetMetric() {
		var labels []string
		for _, l := range m.GetLabel() {
			labels = append(labels, l.GetValue())
		}
		seen = append(seen, strings.Join(labels, " "))
	}
	for _, want := range []string{"GET GET /{$} 2xx", "POST POST /sign-in 3xx", "OTHER unmatched 4xx"} {
		if !slices.Contains(seen, want) {
			t.Errorf("metrics lack %q: %q", want, seen)
		}
	}
	if _, err := New(Deps{}); err == nil {
		t.Error("a door without services was built")
	}
}

func TestEdgeLimit(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(d *Deps) { d.RequestsPerMinute = 5 })
	b := w.browser()
	for range 5 {
		b.get("/").is(200)
	}
	if r := b.get("/").is(429).has("Too many"); r.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	b.get("/auth/session").is(429).code(fault.CodeRateLimited)
	b.get("/healthz").is(200)
	b.get("/readyz").is(200)
}

func TestMountedDoorsGetTheActor(t *testing.T) {
	t.Parallel()
	who := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := access.FromContext(r.Context())
		_, _ = fmt.Fprintf(w, "%s %s %v", a.Name, a.Locale, a.Capabilities())
		if f, ok := w.(http.Flusher); ok {
			f.Flush()
		}
	})
	w := newWorld(t, func(d *Deps) { d.GraphQL, d.Dev = who, true })
	b := w.browser()
	b.header.Set("Accept-Language", "it-IT,it;q=0.9")
	b.get("/graphql").is(200).has(" it []")
	b.signIn("luca@contoso.example").get("/graphql").is(200).has("Luca Rossi", "partnership.authorize")
	b.get("/graphiql").is(404)
	b.get("/mailbox").is(404)
	if a := access.FromContext(t.Context()); !a.IsAnonymous() || a.Can(access.PermViewerRead) {
		t.Error("an actor out of nowhere")
	}

	req := httptest.NewRequestWithContext(t.Context(), "GET", "http://rebound.example/graphql", nil)
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, req)
	if rec.Code != http.StatusMisdirectedRequest {
		t.Errorf("a rebound name in development: %d", rec.Code)
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	state := map[string]error{}
	w := newWorld(t, func(d *Deps) {
		d.Ready = func(context.Context) map[string]error { return state }
		d.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "metrics here") })
	})
	b := w.browser()
	b.get("/healthz").is(200).has(`"status":"ok"`, `"version":"test"`)
	b.get("/readyz").is(200).has(`"status":"ready"`, `"database":"ok"`)
	b.get("/metrics").is(200).has("metrics here")
	b.post("/healthz").is(405)
	state["queue"] = errors.New("dial tcp redis.internal:6379: connection refused")
	state["smtp"] = fault.Conflict("", "MAIL_PROVIDER_UNAVAILABLE")
	state["other"] = errors.New("secret host name")
	b.get("/readyz").is(503).has(`"status":"not ready"`, `"queue":"cannot be reached"`, "mail server cannot be reached", "the log has the reason").
		lacks("redis.internal", "secret host")
	_ = w.db.Close()
	b.get("/healthz").is(200)
	b.get("/readyz").is(503)

	worker := httptest.NewServer(Health(Deps{DB: w.db, Version: "test"}))
	defer worker.Close()
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 503, "/sign-in": 404, "/metrics": 404} {
		res, err := worker.Client().Get(worker.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, res.StatusCode, want)
		}
	}
}

func TestDatabaseDownIsNoSignOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser().signIn("luca@contoso.example")
	_ = w.db.Close()
	r := b.get("/")
	if r.StatusCode < 500 || len(r.Header.Values("Set-Cookie")) > 0 {
		t.Errorf("%d %v", r.StatusCode, r.Header)
	}
	r.lacks("sql", "closed")
}

func TestBounceIntake(t *testing.T) {
	t.Parallel()
	var got string
	var fail error
	w := newWorld(t, func(d *Deps) {
		d.BounceSecret = "hook-secret"
		d.BounceIntake = func(_ context.Context, r io.Reader) error {
			raw, err := io.ReadAll(r)
			got = string(raw)
			return errors.Join(err, fail)
		}
	})
	b := w.browser()
	for _, auth := range []string{"", "Bearer", "Bearer wrong", "Basic aG9vaw==", "hook-secret"} {
		b.header.Set("Authorization", auth)
		b.do("POST", "/hooks/mail/dsn", "message/rfc822", "x").is(401).code(fault.CodeUnauthenticated)
	}
	b.header.Set("Authorization", "Bearer hook-secret")
	b.do("POST", "/hooks/mail/dsn", "message/rfc822", "a report").is(202)
	if got != "a report" {
		t.Errorf("got %q", got)
	}
	b.do("POST", "/hooks/mail/dsn", "message/rfc822", strings.Repeat("x", maxBounce+1)).is(413).code(codeTooLarge)
	fail = fault.Invalid("message", fault.CodeInvalid)
	b.do("POST", "/hooks/mail/dsn", "message/rfc822", "x").is(422)
	fail = errors.New("the disk is full")
	b.do("POST", "/hooks/mail/dsn", "message/rfc822", "x").is(500).code(codeInternal).lacks("disk")
	b.get("/hooks/mail/dsn").is(405)
	newWorld(t).browser().do("POST", "/hooks/mail/dsn", "message/rfc822", "x").is(404)
}
