package web

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/audit"
	"github.com/channelgraph/channelgraph/internal/calendar"
	"github.com/channelgraph/channelgraph/internal/customer"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/database/dbtest"
	"github.com/channelgraph/channelgraph/internal/directory"
	"github.com/channelgraph/channelgraph/internal/file"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/invitation"
	"github.com/channelgraph/channelgraph/internal/mail"
	"github.com/channelgraph/channelgraph/internal/partner"
	"github.com/channelgraph/channelgraph/internal/partnership"
	"github.com/channelgraph/channelgraph/internal/secret"
)

const password = "velvet tractor lagoon 41"

// logBuffer is a log that is read while the server writes on.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// world is the door on real services, with a provider, and resellers that may
// and may not authorize it.
type world struct {
	t        *testing.T
	db       *database.DB
	keys     *secret.Keys
	accounts *account.Service
	joined   *partnership.Service
	listed   *directory.Service
	files    *file.Service
	partners *partner.Service
	sold     *customer.Service
	handler  http.Handler
	srv      *httptest.Server
	log      *logBuffer
	provider access.Actor
	reseller access.Actor
}

func newWorld(t *testing.T, change ...func(*Deps)) *world {
	t.Helper()
	w := &world{t: t, db: dbtest.New(t), log: &logBuffer{}}
	var err error
	if w.keys, err = secret.NewKeys(make([]byte, 32)); err != nil {
		t.Fatal(err)
	}
	const public = "http://localhost:8080"
	mailer, err := mail.New(w.db, w.keys, mail.Config{SMTPURL: "smtp://127.0.0.1:2525", From: "center@example.com", PublicURL: public}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(mailer.Close)
	w.accounts = account.New(w.db, mailer, w.keys, account.Config{PublicURL: public,
		Hashing: account.Hashing{Memory: 8, Passes: 1, Threads: 1, Slots: 4, Wait: time.Minute}}, nil)
	partners := partner.New(w.db, w.accounts, mailer)
	invitations := invitation.New(w.db, mailer, w.keys, w.accounts, invitation.Config{}, nil)
	w.joined = partnership.New(w.db, w.accounts, partners, invitations, mailer, w.keys, public)
	w.files, w.partners = file.New(w.db), partners
	w.listed = directory.New(w.db, w.accounts, partners, w.files, calendar.New(w.db, nil), audit.New(w.db, slog.New(slog.DiscardHandler)), mailer)
	w.sold = customer.New(w.db, w.accounts, partners, w.joined, invitations, mailer, customer.Config{TenantDomain: "customers.example"})
	register := func(kind access.Kind, name, domain, country, admin string) access.Actor {
		return w.register(partners, kind, name, domain, country, admin)
	}
	w.provider = register(access.IndirectProvider, "Northwind Distribution", "northwind.example", "IT", "anna@northwind.example")
	w.reseller = register(access.IndirectReseller, "Contoso Rivendite", "contoso.example", "IT", "luca@contoso.example")
	register(access.IndirectReseller, "Fabrikam Resale", "fabrikam.example", "US", "joe@fabrikam.example")

	u, err := url.Parse(public)
	if err != nil {
		t.Fatal(err)
	}
	d := Deps{Account: w.accounts, Partnership: w.joined, Partner: partners, Customer: w.sold, Directory: w.listed, DB: w.db, PublicURL: u, Version: "test", RequestsPerMinute: 1_000_000,
		Log: slog.New(slog.NewJSONHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	for _, c := range change {
		c(&d)
	}
	if w.handler, err = New(d); err != nil {
		t.Fatal(err)
	}
	w.srv = httptest.NewServer(w.handler)
	t.Cleanup(w.srv.Close)
	return w
}

func (w *world) tx(fn func(ctx context.Context, tx *database.Tx) error) {
	w.t.Helper()
	if err := w.db.InTx(w.t.Context(), fn); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) register(partners *partner.Service, kind access.Kind, name, domain, country, admin string) access.Actor {
	w.t.Helper()
	locale := "en"
	version, signed, vat := "2026-01", w.db.Now().Add(-time.Hour), strings.ToUpper(domain[:3])+"12345678901"
	first, _, _ := strings.Cut(admin, "@")
	in := partner.RegisterInput{Kind: kind, LegalName: name, TenantDomain: domain, Country: country, RegistrationID: &vat,
		AgreementVersion: &version, AgreementSignedAt: &signed, Admin: partner.Admin{Email: admin, FirstName: strings.ToUpper(first[:1]) + first[1:], LastName: "Rossi", Locale: &locale}}
	if err := in.Validate(w.db.Now()); err != nil {
		w.t.Fatal(err)
	}
	var actor access.Actor
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		made, err := partners.RegisterTx(ctx, tx, access.System("test"), in, password)
		if err != nil {
			return err
		}
		actor, err = access.Load(ctx, tx, access.Presence{UserID: made.Admin.ID, SudoUntil: tx.Now.Add(time.Hour)})
		return err
	})
	return actor
}

// addUser adds a user to an actor's organization; without a password the user
// is invited.
func (w *world) addUser(of access.Actor, email string, pw secret.String, roles ...access.Role) ident.ID {
	w.t.Helper()
	var id ident.ID
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		orgs, err := w.accounts.Organizations(ctx, of, []ident.ID{of.OrganizationID})
		if err != nil {
			return err
		}
		u, _, err := w.accounts.AddUser(ctx, tx, access.System("test"), orgs[of.OrganizationID],
			account.NewUser{Email: email, FirstName: "Ivo", LastName: "Bianchi", Roles: roles, Password: pw})
		if err == nil {
			id = u.ID
		}
		return err
	})
	return id
}

// addCustomer founds an organization that is no partner, and names it.
func (w *world) addCustomer(email string) (of access.Actor) {
	w.t.Helper()
	_, domain, _ := strings.Cut(email, "@")
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		org, err := w.accounts.Found(ctx, tx, access.System("test"), account.NewOrganization{Kind: access.Customer, Name: "Cleo Bakery", Domain: domain, Country: "IT"})
		if err != nil {
			return err
		}
		_, _, err = w.accounts.AddUser(ctx, tx, access.System("test"), org,
			account.NewUser{Email: email, FirstName: "Cleo", LastName: "Verdi", Roles: []access.Role{access.GlobalAdmin}, Password: password})
		of = access.System("test")
		of.OrganizationID = org.ID
		return err
	})
	return of
}

// invite asks an address for a partnership and gives the code of the mail.
func (w *world) invite(email string) (*invitation.Invitation, string) {
	w.t.Helper()
	sent, err := w.joined.Request(w.t.Context(), w.provider, partnership.RequestInput{Email: email})
	if err != nil {
		w.t.Fatal(err)
	}
	return sent.Invitation, w.code(sent.Invitation)
}

func (w *world) code(i *invitation.Invitation) string {
	return w.keys.Capability(invitation.LinkPrefix, invitation.LinkPurpose, i.ID, i.Generation).Reveal()
}

// setupCode is the code of the link that founds the operator.
func (w *world) setupCode() string {
	w.t.Helper()
	link, needed, err := w.accounts.SetupLink(w.t.Context())
	if err != nil || !needed {
		w.t.Fatal(needed, err)
	}
	_, code, _ := strings.Cut(link, "#")
	return code
}

// counts is the number of rows of every table, and of changes to invitations.
func (w *world) counts() map[string]int64 {
	w.t.Helper()
	out := map[string]int64{}
	for _, table := range []string{"organization", "user_account", "session", "capability_link", "throttle", "mail_message", "job", "audit_event",
		"invitation", "partnership", "partnership_link", "termination", "idempotency"} {
		n, err := w.db.Read().NewSelect().Table(table).Count(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		out[table] = n
	}
	var versions int64
	if err := w.db.Read().NewSelect().Table("invitation").ColumnExpr("coalesce(sum(version), 0)").Scan(w.t.Context(), &versions); err != nil {
		w.t.Fatal(err)
	}
	out["invitation versions"] = versions
	return out
}

// logged waits until the log holds a part: the access log is written after the
// reply has left.
func (w *world) logged(part string) {
	w.t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !strings.Contains(w.log.String(), part); runtime.Gosched() {
		if time.Now().After(deadline) {
			w.t.Fatalf("the log lacks %s:\n%s", part, w.log)
		}
	}
}

// browser is one browser with its cookies; it follows no redirect.
type browser struct {
	*world
	client *http.Client
	header http.Header
}

func (w *world) browser() *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return &browser{w, &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		http.Header{"Sec-Fetch-Site": {"same-origin"}, "Accept": {"text/html"}, "Accept-Language": {"en"}}}
}

// reply is an answer that has been read.
type reply struct {
	*http.Response
	t    *testing.T
	body string
}

func (b *browser) do(method, path, media, body string) *reply {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.srv.URL+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	for k, v := range b.header {
		req.Header[k] = v
	}
	if media != "" {
		req.Header.Set("Content-Type", media)
	}
	res, err := b.client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return &reply{res, b.t, string(raw)}
}

func (b *browser) get(path string) *reply { b.t.Helper(); return b.do("GET", path, "", "") }

func (b *browser) post(path string, kv ...string) *reply {
	b.t.Helper()
	form := url.Values{}
	for i := 0; i+1 < len(kv); i += 2 {
		form.Set(kv[i], kv[i+1])
	}
	return b.do("POST", path, "application/x-www-form-urlencoded", form.Encode())
}

func (b *browser) json(path, body string) *reply {
	b.t.Helper()
	return b.do("POST", path, "application/json", body)
}

func (b *browser) signIn(email string) *browser {
	b.t.Helper()
	b.post("/sign-in", "email", email, "password", password).is(303).to("/")
	return b
}

func (r *reply) is(status int) *reply {
	r.t.Helper()
	if r.StatusCode != status {
		r.t.Fatalf("%s %s: status %d, want %d\n%s", r.Request.Method, r.Request.URL.Path, r.StatusCode, status, r.body)
	}
	return r
}

func (r *reply) to(path string) *reply {
	r.t.Helper()
	if got := r.Header.Get("Location"); got != path {
		r.t.Fatalf("Location %q, want %q", got, path)
	}
	return r
}

func (r *reply) has(parts ...string) *reply {
	r.t.Helper()
	for _, p := range parts {
		if !strings.Contains(r.body, p) {
			r.t.Fatalf("%s %s lacks %q:\n%s", r.Request.Method, r.Request.URL.Path, p, r.body)
		}
	}
	return r
}

func (r *reply) lacks(parts ...string) *reply {
	r.t.Helper()
	for _, p := range parts {
		if strings.Contains(r.body, p) {
			r.t.Fatalf("%s %s holds %q:\n%s", r.Request.Method, r.Request.URL.Path, p, r.body)
		}
	}
	return r
}

// code is the only error of a JSON reply.
func (r *reply) code(want string) *reply {
	r.t.Helper()
	var out struct {
		Errors []struct {
			Code, Message string
			Path          []string
		}
		RequestID string `json:"requestId"`
	}
	if err := json.Unmarshal([]byte(r.body), &out); err != nil || len(out.Errors) == 0 {
		r.t.Fatalf("no errors in %q (%v)", r.body, err)
	}
	if e := out.Errors[0]; e.Code != want || e.Message == "" || e.Message == e.Code || out.RequestID != r.Header.Get("X-Request-Id") {
		r.t.Fatalf("got %+v with reference %q, want code %s", out.Errors, out.RequestID, want)
	}
	return r
}
