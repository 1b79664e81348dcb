// Package web is the door for people and browsers: sessions, the sign-in
// endpoints under /auth, the pages behind mailed links, health, metrics and
// the intake of bounces. It also carries the middleware under which app mounts
// the other doors. It translates requests into calls of the concepts and never
// decides a rule.
//
// Invariant: a GET, and whatever a page does on its own while it loads, changes
// nothing; tokens of mailed links stand in request bodies, never in a URL that
// a server sees; a redirect leads to a route of this package's own table.
package web

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/audit"
	"github.com/channelgraph/channelgraph/internal/customer"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/directory"
	"github.com/channelgraph/channelgraph/internal/enrollment"
	"github.com/channelgraph/channelgraph/internal/file"
	"github.com/channelgraph/channelgraph/internal/partner"
	"github.com/channelgraph/channelgraph/internal/partnership"
	"github.com/channelgraph/channelgraph/internal/register"
	"github.com/channelgraph/channelgraph/internal/secret"
	"github.com/channelgraph/channelgraph/internal/support"
)

// Deps is what the door is handed.
type Deps struct {
	Account     *account.Service
	Partnership *partnership.Service
	// Partner names the provider after an authorization; nil names nobody.
	Partner *partner.Service
	DB      *database.DB
	// Enrollment takes companies in; nil mounts no page for that.
	Enrollment *enrollment.Service
	// Directory shows the public directory; nil mounts no page for it.
	Directory *directory.Service
	// Support shows requests by the links of their mails; nil mounts no page
	// for that.
	Support *support.Service
	// Customer shows the invitations of customers; nil mounts no page for them.
	Customer *customer.Service
	// Audit opens the files of its exports; nil mounts no route for them.
	Audit *audit.Service
	// File keeps uploads; nil mounts no route for them.
	File *file.Service
	// Register reports what was wrong with imports; nil mounts no route for
	// that.
	Register *register.Service
	// PublicURL is the address that people use; https turns on Secure cookies
	// and HSTS. Nothing is ever derived from the Host header.
	PublicURL *url.URL
	// Dev refuses requests for foreign host names, since the mailbox is open
	// to whoever reaches it.
	Dev bool
	// Ready checks what the process needs, by name; nil values are well. A
	// fault is shown as its sentence, any other error is only logged.
	Ready func(context.Context) map[string]error
	// Metrics, GraphQL, GraphiQL and Mailbox are handlers of other doors; nil
	// ones are not mounted. A handler may replace the security headers.
	Metrics, GraphQL, GraphiQL, Mailbox http.Handler
	// DevRoutes are the further routes of a demo by pattern, e.g. "POST
	// /dev/clock"; with them the sign-in page tells where the accounts are.
	DevRoutes map[string]http.Handler
	// BounceIntake reads one delivery status notification; it is mounted where
	// BounceSecret, its bearer token, is not empty.
	BounceIntake func(context.Context, io.Reader) error
	BounceSecret secret.String
	// TrustedProxies are the networks whose X-Forwarded-For and X-Request-Id
	// are believed.
	TrustedProxies []netip.Prefix
	// RequestsPerMinute is the coarse limit for one network at the edge; 0
	// means DefaultRequestsPerMinute. The exact limits are the concepts'.
	RequestsPerMinute int
	Version           string
	Log               *slog.Logger
	// Registerer takes the HTTP metrics; nil keeps none.
	Registerer prometheus.Registerer
	// Tracer makes a span for each request but the probes; nil makes none.
	Tracer trace.TracerProvider
}

// DefaultRequestsPerMinute is the edge limit for one network.
const DefaultRequestsPerMinute = 1200

// Limits of what the door reads, in bytes.
const (
	maxJSON   = 16 << 10
	maxForm   = 64 << 10
	maxOther  = 1 << 20
	maxBounce = 10 << 20
)

// pageDeadline is how long a reply of this door may take to be written.
const pageDeadline = 30 * time.Second

type server struct {
	Deps
	mux     *http.ServeMux
	cookie  string
	secure  bool
	metrics *metrics
	uploads bodies
}

// New builds the door. It fails where something it cannot do without is
// missing or a metric is registered twice.
func New(d Deps) (http.Handler, error) {
	if d.Account == nil || d.Partnership == nil || d.DB == nil || d.PublicURL == nil || d.PublicURL.Host == "" {
		return nil, errors.New("the web door needs accounts, partnerships, a database and a public URL")
	}
	if d.RequestsPerMinute == 0 {
		d.RequestsPerMinute = DefaultRequestsPerMinute
	}
	s := newServer(d)
	var err error
	if s.metrics, err = newMetrics(d.Registerer); err != nil {
		return nil, err
	}
	s.probes()
	s.routes()
	return s.chain(http.HandlerFunc(s.dispatch))
}

// Health is the door of a process that serves no people, such as a worker:
// health, readiness and, where given, metrics.
func Health(d Deps) http.Handler {
	s := newServer(d)
	s.metrics, _ = newMetrics(nil) // without a registry nothing can fail
	s.probes()
	return s.observed(s.recovered(s.headers(http.HandlerFunc(s.dispatch))))
}

func newServer(d Deps) *server {
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	s := &server{Deps: d, mux: http.NewServeMux(), secure: d.PublicURL != nil && d.PublicURL.Scheme == "https", cookie: "cg_session"}
	if s.secure {
		s.cookie = "__Host-cg_session" // browsers refuse the prefix without Secure
	}
	return s
}

// NewServer is an HTTP server with the time and size limits of security
// decision D16. Streams lift their own deadlines through
// http.ResponseController.
func NewServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 15 * time.Second, IdleTimeout: 60 * time.Second,
		MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}

// probes are the routes for those who watch the process.
func (s *server) probes() {
	s.bare("GET /healthz", s.healthz)
	s.bare("GET /readyz", s.readyz)
	if s.Metrics != nil {
		s.bare("GET /metrics", s.Metrics.ServeHTTP)
	}
}

// routes is the rest of the table. Patterns without a method are mounted
// doors, which answer for their own methods.
func (s *server) routes() {
	s.bare("GET /robots.txt", robots)
	s.bare("GET /static/{file}", static)
	if s.BounceIntake != nil && s.BounceSecret != "" {
		s.bare("POST /hooks/mail/dsn", s.bounce)
	}

	s.json("POST /auth/sign-in", s.authSignIn)
	s.json("POST /auth/sign-out", s.authSignOut)
	s.json("POST /auth/forgot", s.authForgot)
	s.json("POST /auth/reset", s.authReset)
	s.json("POST /auth/reauthenticate", s.authReauthenticate)
	s.json("POST /auth/change-password", s.authChangePassword)
	s.json("POST /auth/join", s.authJoin)
	s.json("POST /auth/setup", s.authSetUp)
	s.json("POST /auth/link-preview", s.authLinkPreview)
	s.json("GET /auth/session", s.authSession)

	s.page("GET /{$}", s.home)
	s.page("GET /sign-in", s.signInPage)
	s.form("POST /sign-in", s.signIn)
	s.form("POST /sign-out", s.signOut)
	s.form("POST /sessions/end-others", s.endOthers)
	s.form("POST /language", s.language)
	s.page("GET /forgot", s.forgotPage)
	s.form("POST /forgot", s.forgot)
	for _, l := range links {
		s.page("GET "+l.path, s.linkPage(l))
		s.page("GET "+l.path+"/preview", linkBack(l.path))
		s.form("POST "+l.path+"/preview", s.linkPreview(l))
		s.form("POST "+l.path, s.linkUse(l))
	}

	s.page("GET /l/partnership", s.proposalPage)
	s.form("POST /l/partnership/preview", s.proposalPreview)
	s.form("POST /l/partnership/sign-in", s.proposalSignIn)
	s.form("POST /l/partnership/switch", s.proposalSwitch)
	s.form("POST /l/partnership/authorize", s.proposalAuthorize)
	s.form("POST /l/partnership/decline", s.proposalDecline)
	s.form("POST /l/partnership/wait", s.proposalWait)
	s.form("POST /l/partnership/new-link", s.proposalNewLink)
	s.page("GET /l/partnership/{outcome}", s.proposalDone)

	if s.Enrollment != nil {
		s.enrollmentRoutes()
	}
	if s.Directory != nil {
		s.directoryRoutes()
	}
	if s.Support != nil {
		s.supportRoutes()
	}
	if s.Customer != nil {
		s.customerRoutes()
	}
	if s.Audit != nil {
		s.page("GET /exports/{id}", s.exportFile)
	}
	if s.File != nil {
		s.own("POST /files", file.MaxSize, true, s.uploadFile)
		s.page("GET /files/{id}", s.downloadFile)
	}
	if s.Register != nil {
		s.page("GET /register-imports/{id}/problems", s.importReport)
	}
	if s.GraphQL != nil {
		s.mount("/graphql", s.GraphQL)
	}
	if s.GraphiQL != nil {
		s.mount("/graphiql", s.ours(s.GraphiQL))
		s.mount("/graphiql/", s.ours(s.GraphiQL))
	}
	if s.Mailbox != nil {
		s.mount("/mailbox", s.ours(s.Mailbox))
		s.mount("/mailbox/", s.ours(s.Mailbox))
	}
	for pattern, h := range s.DevRoutes {
		s.mount(pattern, h)
	}
}

// handler answers a request or says why it could not; fail turns the error
// into a reply.
type handler func(w http.ResponseWriter, r *http.Request, v *visit) error

// bare mounts what asks nobody who they are.
func (s *server) bare(pattern string, h http.HandlerFunc) {
	s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		v := visitOf(r)
		v.route, v.bare = pattern, true
		r.Body = http.MaxBytesReader(w, r.Body, maxBounce)
		h(w, r)
	})
}

// json mounts an endpoint that speaks JSON.
func (s *server) json(pattern string, h handler) { s.own(pattern, maxJSON, true, h) }

// page mounts a page that changes nothing.
func (s *server) page(pattern string, h handler) { s.own(pattern, maxForm, false, h) }

// form mounts what a form posts to.
func (s *server) form(pattern string, h handler) {
	s.own(pattern, maxForm, false, func(w http.ResponseWriter, r *http.Request, v *visit) error {
		if err := parseForm(r); err != nil {
			return err
		}
		return h(w, r, v)
	})
}

func (s *server) own(pattern string, limit int64, asJSON bool, h handler) {
	s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		v := visitOf(r)
		v.route, v.json = pattern, v.json || asJSON
		// Not every ResponseWriter knows deadlines; the server's own do.
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(pageDeadline))
		r.Body = http.MaxBytesReader(w, r.Body, limit)
		r, err := s.identify(r)
		if err == nil {
			err = h(w, r, v)
		}
		if err != nil {
			s.fail(w, r, err)
		}
	})
}

// mount hangs another door's handler in, with the actor in the context.
func (s *server) mount(pattern string, h http.Handler) {
	s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		v := visitOf(r)
		v.route = pattern
		v.json = v.json || strings.HasPrefix(r.URL.Path, "/graphql")
		r.Body = http.MaxBytesReader(w, r.Body, maxOther)
		r, err := s.identify(r)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// ours answers in this door's own way where a mounted door of pages has no
// page or no method: as a page or as JSON, as the caller reads.
func (s *server) ours(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		before := w.Header().Clone()
		held := &plain{ResponseWriter: w}
		h.ServeHTTP(held, r)
		if held.status == 0 {
			return
		}
		after := w.Header()
		allow := after.Values("Allow")
		clear(after)
		maps.Copy(after, before)
		if held.status == http.StatusMethodNotAllowed {
			after["Allow"] = allow
			s.fail(w, r, errMethod)
			return
		}
		s.fail(w, r, errNoRoute)
	})
}

// plain keeps back a 404 or 405 in plain text, as net/http writes them.
type plain struct {
	http.ResponseWriter
	status int
}

func (p *plain) WriteHeader(status int) {
	if (status == http.StatusNotFound || status == http.StatusMethodNotAllowed) && strings.HasPrefix(p.Header().Get("Content-Type"), "text/plain") {
		p.status = status
		return
	}
	p.ResponseWriter.WriteHeader(status)
}

func (p *plain) Write(b []byte) (int, error) {
	if p.status != 0 {
		return len(b), nil
	}
	return p.ResponseWriter.Write(b)
}

func (p *plain) Unwrap() http.ResponseWriter { return p.ResponseWriter }

// dispatch serves a route of the table, or the door's own 404 and 405.
func (s *server) dispatch(w http.ResponseWriter, r *http.Request) {
	h, pattern := s.mux.Handler(r)
	if pattern != "" {
		s.mux.ServeHTTP(w, r)
		return
	}
	// The mux knows which methods the path has; ask it, and write our page.
	var p probe
	h.ServeHTTP(&p, r)
	if p.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", p.Header().Get("Allow"))
		s.fail(w, r, errMethod)
		return
	}
	s.fail(w, r, errNoRoute)
}

// probe keeps status and header of a reply and drops its body.
type probe struct {
	header http.Header
	status int
}

func (p *probe) Header() http.Header {
	if p.header == nil {
		p.header = http.Header{}
	}
	return p.header
}

func (p *probe) WriteHeader(status int) { p.status = status }

func (p *probe) Write(b []byte) (int, error) { return len(b), nil }
