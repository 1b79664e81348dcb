package web

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"runtime/debug"
	"strings"
	"time"

	"github.com/go-chi/httprate"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/secret"
)

// visit is one request as the door knows it, filled in on the way through the
// chain. Nothing below the doors sees it.
type visit struct {
	id string
	// ip is the caller's address, believed from trusted proxies only.
	ip    netip.Addr
	route string
	// bare routes ask nobody who they are and are logged quietly.
	bare bool
	// json says that failures are answered as JSON.
	json   bool
	locale string
	actor  access.Actor
	// token is the session token that the cookie held; session is nil unless
	// it is good.
	token   string
	session *account.Session
}

// sessionEnded reports that the browser still shows a session that is over.
func (v *visit) sessionEnded() bool { return v.token != "" && v.session == nil }

type visitKey struct{}

func visitOf(r *http.Request) *visit {
	v, ok := r.Context().Value(visitKey{}).(*visit)
	if !ok {
		panic("web: a request outside the chain")
	}
	return v
}

// chain wraps the table: what stands last here sees a request first.
func (s *server) chain(next http.Handler) (http.Handler, error) {
	cross := http.NewCrossOriginProtection()
	// A proxy may rewrite Host; our own origin stays our own.
	if err := cross.AddTrustedOrigin(s.PublicURL.Scheme + "://" + s.PublicURL.Host); err != nil {
		return nil, err
	}
	cross.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.fail(w, r, errCrossOrigin) }))
	h := cross.Handler(next)
	h = s.limited(h)
	if s.Dev {
		h = s.knownHost(h)
	}
	h = s.headers(h)
	h = s.recovered(h)
	return s.observed(h), nil
}

var saneRequestID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{7,63}$`)

// observed gives the request its id and address, and writes the access log and
// the metrics once it is answered. Query strings and bodies stay out of both.
func (s *server) observed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		peer := peerOf(r)
		v := &visit{ip: s.clientIP(peer, r.Header.Values("X-Forwarded-For")), route: "unmatched"}
		if id := r.Header.Get("X-Request-Id"); s.trusted(peer) && saneRequestID.MatchString(id) {
			v.id = id
		} else {
			v.id = secret.NewToken("req").Reveal()[:26]
		}
		v.locale = s.baseLocale(r)
		v.json = prefersJSON(r)
		v.actor = access.Anonymous(v.locale, network(v.ip))
		w.Header().Set("X-Request-Id", v.id)
		ctx := ident.WithRequest(context.WithValue(r.Context(), visitKey{}, v), v.id)
		ctx, span := s.traced(ctx, r, s.trusted(peer))
		rec := &recorder{ResponseWriter: w}
		defer func() { traceAnswer(span, r.Method, v, rec.code()) }() // also where the connection is cut
		next.ServeHTTP(rec, r.WithContext(ctx))

		took, route := time.Since(start), v.route
		if rec.streamed() {
			route += " stream" // whose time tells nothing about answers
		}
		s.metrics.observe(route, r.Method, rec.code(), took)
		level := slog.LevelInfo
		if v.bare {
			level = slog.LevelDebug
		}
		s.Log.LogAttrs(ctx, level, "request", slog.String("method", metricMethod(r.Method)), slog.String("route", route),
			slog.Int("status", rec.code()), slog.Duration("took", took), slog.Int64("bytes", rec.bytes),
			slog.String("request_id", v.id), slog.String("user", string(v.actor.UserID)), slog.String("token", string(v.actor.TokenID)))
	})
}

// recovered turns a panic into a 500 that shows nothing but the reference.
func (s *server) recovered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			p := recover()
			if p == nil {
				return
			}
			if p == http.ErrAbortHandler { //nolint:errorlint // a panic value, compared as net/http does
				panic(p)
			}
			v := visitOf(r)
			s.Log.LogAttrs(r.Context(), slog.LevelError, "panic", slog.Any("panic", p), slog.String("route", v.route),
				slog.String("request_id", v.id), slog.String("stack", string(debug.Stack())))
			if rec, ok := w.(*recorder); ok && rec.status != 0 {
				panic(http.ErrAbortHandler) // half a reply is out; cut the connection
			}
			s.failInternal(w, r)
		}()
		next.ServeHTTP(w, r)
	})
}

// headers sets the security headers of decision D16 and no-store; static files
// and mounted doors may replace them.
func (s *server) headers(next http.Handler) http.Handler {
	const csp = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
		"font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'"
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", csp)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		if s.secure {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		next.ServeHTTP(w, r)
	})
}

// limited is the coarse edge limiter, in memory and for each network; probes
// are exempt so that a flood cannot make the process look dead.
func (s *server) limited(next http.Handler) http.Handler {
	limit := httprate.LimitBy(s.RequestsPerMinute, time.Minute,
		func(r *http.Request) (string, error) { return limitKey(visitOf(r).ip), nil },
		httprate.WithLimitHandler(func(w http.ResponseWriter, r *http.Request) { s.fail(w, r, errTooFast) }))(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/healthz", "/readyz", "/metrics":
			next.ServeHTTP(w, r)
		default:
			limit.ServeHTTP(w, r)
		}
	})
}

// knownHost refuses foreign host names in development, where the mailbox and
// the clock are open to whoever reaches them: a rebound DNS name must not.
func (s *server) knownHost(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
		if host == s.PublicURL.Hostname() || host == "localhost" || err == nil && ip.IsLoopback() {
			next.ServeHTTP(w, r)
			return
		}
		s.fail(w, r, errHost)
	})
}

// identify reads the session cookie, or on the routes for programs a personal
// token, and loads the actor as it is now.
func (s *server) identify(r *http.Request) (*http.Request, error) {
	v := visitOf(r)
	if token, given := bearer(r.Header); given && takesBearer(r.URL.Path) {
		if err := s.identifyToken(r, v, token); err != nil {
			return r, err
		}
	} else if c, err := r.Cookie(s.cookie); err == nil && c.Value != "" {
		v.token = c.Value
		presence, session, err := s.Account.Authenticate(r.Context(), v.token)
		if err != nil {
			return r, err
		}
		if presence.UserID != "" {
			presence.IPPrefix = network(v.ip)
			actor, err := access.Load(r.Context(), s.DB.Read(), presence)
			if err != nil {
				return r, err
			}
			if !actor.IsAnonymous() {
				v.actor, v.session = actor, session
				if explicitLocale(r) == "" {
					v.locale = supported(actor.Locale)
				}
			}
		}
	}
	if v.actor.IsAnonymous() {
		v.actor = access.Anonymous(v.locale, network(v.ip))
	}
	return r.WithContext(access.WithCaller(access.WithActor(r.Context(), v.actor), limitKey(v.ip))), nil
}

// recorder counts what a reply was. Unwrap lets http.ResponseController reach
// the connection, for flushing and deadlines.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	n, err := r.ResponseWriter.Write(b)
	r.bytes += int64(n)
	return n, err
}

// Flush serves streams that ask for http.Flusher by type.
func (r *recorder) Flush() { _ = http.NewResponseController(r.ResponseWriter).Flush() }

func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// streamed reports whether the reply was held open, as events or a socket.
func (r *recorder) streamed() bool {
	return r.status == http.StatusSwitchingProtocols || strings.HasPrefix(r.Header().Get("Content-Type"), "text/event-stream")
}

func (r *recorder) code() int {
	if r.status == 0 {
		return http.StatusOK
	}
	return r.status
}

func peerOf(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}

func (s *server) trusted(a netip.Addr) bool {
	for _, p := range s.TrustedProxies {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// clientIP walks X-Forwarded-For from its end, where our own proxies write,
// and stops at the first address that is no trusted proxy.
func (s *server) clientIP(peer netip.Addr, forwarded []string) netip.Addr {
	ip := peer
	hops := strings.Split(strings.Join(forwarded, ","), ",")
	for i := len(hops) - 1; i >= 0 && s.trusted(ip); i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		ip = hop.Unmap().WithZone("")
	}
	return ip
}

// network is the caller's network as records keep it: /24 or /48.
func network(ip netip.Addr) string {
	bits := 48
	if ip.Is4() {
		bits = 24
	}
	p, err := ip.Prefix(bits)
	if err != nil {
		return ""
	}
	return p.String()
}

// limitKey is the caller as the edge limiter counts it: an IPv6 caller owns a
// whole /64.
func limitKey(ip netip.Addr) string {
	if ip.Is6() {
		if p, err := ip.Prefix(64); err == nil {
			return p.String()
		}
	}
	return ip.String()
}
