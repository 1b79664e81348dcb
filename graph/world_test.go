package graph

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/agreement"
	"github.com/channelgraph/channelgraph/internal/audit"
	"github.com/channelgraph/channelgraph/internal/calendar"
	"github.com/channelgraph/channelgraph/internal/catalog"
	"github.com/channelgraph/channelgraph/internal/customer"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/database/dbtest"
	"github.com/channelgraph/channelgraph/internal/directory"
	"github.com/channelgraph/channelgraph/internal/enrollment"
	"github.com/channelgraph/channelgraph/internal/file"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/invitation"
	"github.com/channelgraph/channelgraph/internal/mail"
	"github.com/channelgraph/channelgraph/internal/order"
	"github.com/channelgraph/channelgraph/internal/partner"
	"github.com/channelgraph/channelgraph/internal/partnership"
	"github.com/channelgraph/channelgraph/internal/register"
	"github.com/channelgraph/channelgraph/internal/secret"
	"github.com/channelgraph/channelgraph/internal/subscription"
	"github.com/channelgraph/channelgraph/internal/support"
	"github.com/channelgraph/channelgraph/internal/tree"
	"github.com/channelgraph/channelgraph/internal/webhook"
)

const password = secret.String("velvet tractor lagoon 41")

// logs is a log that is read while the server writes on.
type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// company is a partner with its first user.
type company struct {
	*partner.Partner
	admin *account.User
}

// world is an operator, a provider and a reseller of one region, and another
// such pair that has nothing to do with them.
type world struct {
	Deps
	t        testing.TB
	handler  http.Handler
	keys     *secret.Keys
	log      *logs
	operator *account.User
	reviewer *account.User
	nordwind company // provider, IT
	contoso  company // reseller, IT
	fabrikam company // provider, IT
	tailspin company // reseller, IT
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, log: &logs{}}
	log := slog.New(slog.NewTextHandler(w.log, nil))
	db := dbtest.New(t)
	var err error
	if w.keys, err = secret.NewKeys(make([]byte, 32)); err != nil {
		t.Fatal(err)
	}
	mailer, err := mail.New(db, w.keys, mail.Config{SMTPURL: "smtp://127.0.0.1:2525", From: "center@example.com", PublicURL: "http://localhost:8080"}, log)
	if err != nil {
		t.Fatal(err)
	}
	accounts := account.New(db, mailer, w.keys, account.Config{PublicURL: "http://localhost:8080",
		Hashing: account.Hashing{Memory: 8, Passes: 1, Threads: 1, Slots: 4, Wait: time.Minute}}, log)
	partners := partner.New(db, accounts, mailer)
	invitations := invitation.New(db, mailer, w.keys, accounts, invitation.Config{}, log)
	calendars, files := calendar.New(db, nil), file.New(db)
	registers := register.New(db, accounts, files)
	enrollments := enrollment.New(db, accounts, partners, files, calendars, registers, mailer, w.keys, enrollment.Config{}, log)
	partnerships := partnership.New(db, accounts, partners, invitations, mailer, w.keys, "http://localhost:8080")
	customers := customer.New(db, accounts, partners, partnerships, invitations, mailer, customer.Config{TenantDomain: "customers.example"})
	offers := catalog.New(db, files)
	subscriptions := subscription.New(db, partners, customers, offers)
	audits := audit.New(db, log)
	w.Deps = Deps{Directory: directory.New(db, accounts, partners, files, calendars, audits, mailer), Support: support.New(db, accounts, files, calendars, mailer, w.keys), DB: db, Accounts: accounts, Calendars: calendars, Files: files, Registers: registers, Partners: partners, Enrollments: enrollments,
		Agreements: agreement.New(db, accounts, partners, mailer, enrollments.SignedTx), Invitations: invitations, Mailer: mailer, Audits: audits, Log: log,
		Partnerships: partnerships, Customers: customers, Catalog: offers, Subscriptions: subscriptions,
		Orders:   order.New(db, accounts, partners, customers, offers, subscriptions, order.AtOnce{}, log),
		Tree:     tree.New(db, partners, partnerships, customers, subscriptions),
		Webhooks: webhook.New(db, accounts, mailer, w.keys, webhook.Config{}, log)}
	w.Partnerships.Follow(calendars)
	partnerships.OnBlockers(subscriptions.Blocking)
	w.Support.About(support.ProfileUpdate, func(ctx context.Context, a access.Actor, id ident.ID) (bool, error) {
		found, err := w.Directory.ByIDs(ctx, a, []ident.ID{id})
		return found[id] != nil, err
	})
	w.Support.About(support.EndPartnership, func(ctx context.Context, a access.Actor, id ident.ID) (bool, error) {
		found, err := w.Partnerships.TerminationsByIDs(ctx, a, []ident.ID{id})
		return found[id] != nil, err
	})
	if w.handler, err = New(w.Deps); err != nil {
		t.Fatal(err)
	}
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		org, err := accounts.Found(ctx, tx, access.System("test"), account.NewOrganization{Kind: access.Operator, Name: "Programme House", Domain: "operator.example", Country: "IT"})
		if err != nil {
			return err
		}
		w.operator = w.join(ctx, tx, org, "otto@operator.example", access.OperatorAdmin)
		w.reviewer = w.join(ctx, tx, org, "rita@operator.example", access.Reviewer)
		return nil
	})
	w.nordwind = w.register("Nordwind Distribution", "nordwind.example", access.IndirectProvider)
	w.contoso = w.register("Contoso Reselling", "contoso.example", access.IndirectReseller)
	w.fabrikam = w.register("Fabrikam Wholesale", "fabrikam.example", access.IndirectProvider)
	w.tailspin = w.register("Tailspin Shop", "tailspin.example", access.IndirectReseller)
	return w
}

// on is the world of a subtest.
func (w *world) on(t testing.TB) *world {
	c := *w
	c.t = t
	return &c
}

func (w *world) tx(fn func(context.Context, *database.Tx) error) {
	w.t.Helper()
	if err := w.DB.InTx(context.Background(), fn); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) join(ctx context.Context, tx *database.Tx, org *account.Organization, email string, roles ...access.Role) *account.User {
	w.t.Helper()
	u, _, err := w.Accounts.AddUser(ctx, tx, access.System("test"), org, account.NewUser{Email: email, FirstName: "Otto", LastName: "Persson", Roles: roles, Password: password})
	if err != nil {
		w.t.Fatal(err)
	}
	return u
}

// hire adds a user to a company.
func (w *world) hire(c company, email string, roles ...access.Role) *account.User {
	w.t.Helper()
	var u *account.User
	orgs, err := w.Accounts.Organizations(context.Background(), access.System("test"), []ident.ID{c.OrganizationID})
	if err != nil {
		w.t.Fatal(err)
	}
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		u = w.join(ctx, tx, orgs[c.OrganizationID], email, roles...)
		return nil
	})
	return u
}

func (w *world) register(name, domain string, k access.Kind) company {
	w.t.Helper()
	signed, version := w.DB.Now(), "2026-01"
	in := partner.RegisterInput{Kind: k, LegalName: name, TenantDomain: domain, Country: "IT", AgreementSignedAt: &signed, AgreementVersion: &version,
		Admin: partner.Admin{Email: "admin@" + domain, FirstName: "Gina", LastName: "Rossi"}}
	in.Admin.Email = "gina@" + domain
	locale := "en"
	in.Admin.Locale = &locale
	if err := in.Validate(w.DB.Now()); err != nil {
		w.t.Fatal(err)
	}
	var out *partner.Registered
	w.tx(func(ctx context.Context, tx *database.Tx) (err error) {
		out, err = w.Partners.RegisterTx(ctx, tx, access.System("test"), in, password)
		return err
	})
	return company{out.Partner, out.Admin}
}

// as is a user signed in just now.
func (w *world) as(u *account.User) access.Actor { return w.since(u, 15*time.Minute) }

// since is a user whose fresh authentication lasts for so long.
func (w *world) since(u *account.User, sudo time.Duration) access.Actor {
	w.t.Helper()
	a, err := access.Load(context.Background(), w.DB.Read(), access.Presence{UserID: u.ID, SudoUntil: w.DB.Now().Add(sudo), IPPrefix: "192.0.2.0/24"})
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

var nobody = access.Anonymous("en", "192.0.2.0/24")

// answer is what came back.
type answer struct {
	t      testing.TB
	log    *logs
	Status int
	Raw    string // without extensions.cost, which differs from one answer to the next
	Cost   bill
	Header http.Header
	Data   map[string]any
	Errors []struct {
		Message    string
		Path       []any
		Extensions map[string]any
	}
}

func (w *world) send(a access.Actor, r *http.Request) *answer {
	w.t.Helper()
	ctx := ident.WithRequest(access.WithActor(r.Context(), a), "req-1")
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, r.WithContext(ctx))
	out := &answer{t: w.t, log: w.log, Status: rec.Code, Header: rec.Header()}
	out.Raw, out.Cost = w.uncosted(rec.Body.String())
	if err := json.Unmarshal(rec.Body.Bytes(), out); err != nil {
		w.t.Fatalf("not JSON: %v: %s", err, out.Raw)
	}
	return out
}

var costExtension = regexp.MustCompile(`,"extensions":\{"cost":(\{[^}]*\})\}\}$`)

// uncosted is an answer without extensions.cost, and that by itself; every
// answer has it.
func (w *world) uncosted(body string) (string, bill) {
	w.t.Helper()
	var b bill
	m := costExtension.FindStringSubmatch(body)
	if m == nil || json.Unmarshal([]byte(m[1]), &b) != nil || b.Limit == 0 || b.ResetAt.IsZero() {
		w.t.Fatalf("no cost in %s", body)
	}
	return strings.TrimSuffix(body, m[0]) + "}", b
}

// gql runs an operation; vars are name, value pairs.
func (w *world) gql(a access.Actor, query string, vars ...any) *answer {
	w.t.Helper()
	m := map[string]any{}
	for i := 0; i+1 < len(vars); i += 2 {
		m[vars[i].(string)] = vars[i+1]
	}
	body, err := json.Marshal(map[string]any{"query": query, "variables": m})
	if err != nil {
		w.t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, "/graphql", bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	return w.send(a, r)
}

// ok fails where there are errors.
func (a *answer) ok() *answer {
	a.t.Helper()
	if len(a.Errors) > 0 || a.Status != http.StatusOK {
		a.t.Fatalf("status %d: %s\n%s", a.Status, a.Raw, a.log)
	}
	return a
}

// code fails unless the first error has the code.
func (a *answer) code(want string) *answer {
	a.t.Helper()
	if len(a.Errors) == 0 || a.Errors[0].Extensions["code"] != want {
		a.t.Fatalf("want %s, got status %d: %s", want, a.Status, a.Raw)
	}
	return a
}

// at reads a dotted path of the data; numbers index lists.
func (a *answer) at(path string) any {
	a.t.Helper()
	var v any = a.Data
	for _, step := range strings.Split(path, ".") {
		switch x := v.(type) {
		case map[string]any:
			v = x[step]
		case []any:
			var i int
			if err := json.Unmarshal([]byte(step), &i); err != nil || i >= len(x) {
				a.t.Fatalf("no %s in %s: %s", step, path, a.Raw)
			}
			v = x[i]
		default:
			return nil
		}
	}
	return v
}

func (a *answer) text(path string) string {
	a.t.Helper()
	s, ok := a.at(path).(string)
	if !ok {
		a.t.Fatalf("no text at %s: %s", path, a.Raw)
	}
	return s
}

// do runs a mutation with its input and gives the payload; fields are what is
// read of it beside the errors.
func (w *world) do(a access.Actor, mutation, fields string, input map[string]any) *answer {
	w.t.Helper()
	typ := strings.ToUpper(mutation[:1]) + mutation[1:]
	return w.gql(a, "mutation($in: "+typ+"Input!) { "+mutation+"(input: $in) { "+fields+" userErrors { code message path } } }", "in", input)
}

// done is do that must succeed.
func (w *world) done(a access.Actor, mutation, fields string, input map[string]any) *answer {
	w.t.Helper()
	out := w.do(a, mutation, fields, input).ok()
	if errs, _ := out.at(mutation + ".userErrors").([]any); len(errs) > 0 {
		w.t.Fatalf("%s refused: %s", mutation, out.Raw)
	}
	return out
}

// refused is do that must be refused with a code at a path.
func (w *world) refused(a access.Actor, mutation, field, code, path string, input map[string]any) {
	w.t.Helper()
	out := w.do(a, mutation, field+" { __typename }", input).ok()
	if out.at(mutation+"."+field) != nil {
		w.t.Errorf("%s: a result beside errors: %s", mutation, out.Raw)
	}
	errs, _ := out.at(mutation + ".userErrors").([]any)
	for _, e := range errs {
		e := e.(map[string]any)
		steps, _ := e["path"].([]any)
		var at []string
		for _, s := range steps {
			at = append(at, s.(string))
		}
		if e["message"] == "" || e["message"] == e["code"] {
			w.t.Errorf("%s: %v has no sentence", mutation, e["code"])
		}
		if e["code"] == code && strings.Join(at, ".") == path {
			return
		}
	}
	w.t.Errorf("%s: want %s at %q: %s", mutation, code, path, out.Raw)
}
