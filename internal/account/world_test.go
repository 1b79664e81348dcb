package account

import (
	"context"
	"encoding/json"
	"net/netip"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/audit"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/database/dbtest"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/mail"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/internal/secret"
)

const good = secret.String("velvet tractor lagoon 41")

var (
	home = netip.MustParseAddr("192.0.2.10")
	away = netip.MustParseAddr("198.51.100.7")
)

// world is one provider and the operator, with a service of cheap hashes.
type world struct {
	*Service
	t        *testing.T
	ctx      context.Context
	provider *Organization
	operator *Organization
	global   *User // Global admin of the provider
	chief    *User // Operator admin
}

var cheap = Hashing{Memory: 8, Passes: 1, Threads: 1, Slots: 4, Wait: time.Minute}

func newService(t *testing.T, h Hashing) *Service {
	t.Helper()
	db := dbtest.New(t)
	keys, err := secret.NewKeys(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	mailer, err := mail.New(db, keys, mail.Config{SMTPURL: "smtp://127.0.0.1:2525", From: "center@example.com", PublicURL: "http://localhost:8080"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return New(db, mailer, keys, Config{PublicURL: "http://localhost:8080/", Hashing: h}, nil)
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{Service: newService(t, cheap), t: t, ctx: t.Context()}
	w.tx(func(ctx context.Context, tx *database.Tx) (err error) {
		sys := access.System("test")
		if w.operator, err = w.Found(ctx, tx, sys, NewOrganization{Kind: access.Operator, Name: "Programme House", Domain: "operator.example", Country: "IT"}); err != nil {
			return err
		}
		w.provider, err = w.Found(ctx, tx, sys, NewOrganization{Kind: access.IndirectProvider, Name: "Nordwind Distribution", Domain: "nordwind.example", Country: "IT", Locale: "it"})
		return err
	})
	w.global = w.add(w.provider, "gina@nordwind.example", access.GlobalAdmin, access.AdminAgent)
	w.chief = w.add(w.operator, "otto@operator.example", access.OperatorAdmin)
	return w
}

func (w *world) tx(fn func(context.Context, *database.Tx) error) {
	w.t.Helper()
	if err := w.db.InTx(w.ctx, fn); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) add(org *Organization, email string, roles ...access.Role) (u *User) {
	w.t.Helper()
	w.tx(func(ctx context.Context, tx *database.Tx) (err error) {
		u, _, err = w.AddUser(ctx, tx, access.System("test"), org, NewUser{Email: email, FirstName: "Gina", LastName: "Persson", Roles: roles, Password: good})
		return err
	})
	return u
}

// as is a user signed in just now.
func (w *world) as(u *User) access.Actor { return w.with(u, "", 15*time.Minute) }

func (w *world) with(u *User, session ident.ID, sudo time.Duration) access.Actor {
	w.t.Helper()
	a, err := access.Load(w.ctx, w.db.Read(), access.Presence{UserID: u.ID, SessionID: session, SudoUntil: w.db.Now().Add(sudo), IPPrefix: "192.0.2.0/24"})
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

func (w *world) signIn(u *User) (secret.String, *Session) {
	w.t.Helper()
	token, s, _, err := w.SignIn(w.ctx, SignInInput{Email: u.Email, Password: good, IP: home, Agent: "browser"})
	if err != nil {
		w.t.Fatal(err)
	}
	return token, s
}

func (w *world) try(email string, password secret.String, ip netip.Addr) error {
	_, _, _, err := w.SignIn(w.ctx, SignInInput{Email: email, Password: password, IP: ip})
	return err
}

func (w *world) alive(token secret.String) bool {
	w.t.Helper()
	p, _, err := w.Authenticate(w.ctx, token.Reveal())
	if err != nil {
		w.t.Fatal(err)
	}
	return p.UserID != ""
}

func (w *world) reload(u *User) *User {
	w.t.Helper()
	u, err := userByID(w.ctx, w.db.Read(), u.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	return u
}

// token is what the newest mail of a purpose carries to a user.
func (w *world) token(p Purpose, u *User) string {
	w.t.Helper()
	return w.keys.Capability(linkKinds[p].prefix, string(p), u.ID, w.reload(u).LinkGeneration).Reveal()
}

// work performs the due jobs of this package and counts them.
func (w *world) work() (n int) {
	w.t.Helper()
	claimed, err := outbox.Claim(w.ctx, w.db, 100)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, h := range claimed.Jobs {
		if h.Kind == (mail.Send{}).Kind() {
			continue
		}
		run, err := outbox.Begin(w.ctx, w.db, h.ID, h.Generation, "test", time.Minute)
		if err != nil || run == nil {
			w.t.Fatal(run, err)
		}
		var id struct {
			RequestID ident.ID `json:"request_id"`
		}
		var token TokenReminder
		if err := json.Unmarshal([]byte(run.Job.Payload), &id); err != nil {
			w.t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(run.Job.Payload), &token); err != nil {
			w.t.Fatal(err)
		}
		switch h.Kind {
		case TokenReminder{}.Kind():
			err = w.TokenReminder(w.ctx, run, token)
		case SendReset{}.Kind():
			err = w.SendReset(w.ctx, run, SendReset(id))
		case SendNotice{}.Kind():
			err = w.SendNotice(w.ctx, run, SendNotice(id))
		default:
			w.t.Fatalf("unknown job %s", h.Kind)
		}
		if err != nil || !run.Finished() {
			w.t.Fatalf("%s: %v, finished %t", h.Kind, err, run.Finished())
		}
		n++
	}
	return n
}

// mails lists the templates of the mails to a user, oldest first.
func (w *world) mails(u *User) []string {
	w.t.Helper()
	all, err := w.mailer.BySubject(w.ctx, []ident.ID{u.ID})
	if err != nil {
		w.t.Fatal(err)
	}
	out := []string{}
	for _, m := range all[u.ID] {
		out = append(out, m.Template)
	}
	return out
}

func (w *world) audited(action string) (out []*audit.Event) {
	w.t.Helper()
	if err := w.db.Read().NewSelect().Model(&out).Where("action = ?", action).Order("at", "id").Scan(w.ctx); err != nil {
		w.t.Fatal(err)
	}
	return out
}

func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	if !fault.Is(err, code) {
		t.Errorf("got %v, want %s", err, code)
	}
}

func wantNil(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("got %v, want no error", err)
	}
}

func ptr[T any](v T) *T { return &v }
