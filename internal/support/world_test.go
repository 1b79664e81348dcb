package support

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/audit"
	"github.com/channelgraph/channelgraph/internal/calendar"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/database/dbtest"
	"github.com/channelgraph/channelgraph/internal/desk"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/file"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/mail"
	"github.com/channelgraph/channelgraph/internal/mailbox"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/internal/page"
	"github.com/channelgraph/channelgraph/internal/partner"
	"github.com/channelgraph/channelgraph/internal/secret"
)

// world is the operator's house with its reviewers, a mailbox that takes every
// mail, and companies. Its clock begins on a Monday at nine.
type world struct {
	*Service
	partners *partner.Service
	t        *testing.T
	handlers map[string]func(context.Context, *outbox.Run) error
	house    *account.Organization
	chief    access.Actor // Operator admin
	rita     access.Actor // Reviewer
	rolf     access.Actor // another one
}

func newWorld(t *testing.T) *world {
	t.Helper()
	db := dbtest.New(t)
	db.Clock().Advance(time.Date(2030, 6, 3, 9, 0, 0, 0, time.UTC).Sub(db.Now()))
	keys, err := secret.NewKeys(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	box, err := mailbox.Open(t.TempDir(), db.Now)
	if err != nil {
		t.Fatal(err)
	}
	addr, err := box.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = box.Close() })
	mailer, err := mail.New(db, keys, mail.Config{SMTPURL: addr, From: "center@house.example", PublicURL: "http://localhost:8080", Operator: "House"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(mailer.Close)
	accounts := account.New(db, mailer, keys, account.Config{PublicURL: "http://localhost:8080",
		Hashing: account.Hashing{Memory: 8, Passes: 1, Threads: 1, Slots: 4, Wait: time.Minute}}, nil)
	partners, files, calendars := partner.New(db, accounts, mailer), file.New(db), calendar.New(db, time.UTC)
	w := &world{t: t, Service: New(db, accounts, files, calendars, mailer, keys), partners: partners, handlers: map[string]func(context.Context, *outbox.Run) error{}}
	handle(w, w.Look)
	handle(w, w.Scan)
	handle(w, w.Notice)
	handle(w, calendars.MovePromises)
	handle(w, func(ctx context.Context, _ *outbox.Run, a mail.Send) error {
		return mailer.Deliver(ctx, a.MessageID, mail.Hooks{})
	})
	w.tx(func(ctx context.Context, tx *database.Tx) (err error) {
		w.house, err = accounts.Found(ctx, tx, access.System("test"), account.NewOrganization{Kind: access.Operator, Name: "House", Domain: "house.example", Country: "IT"})
		return err
	})
	w.chief = w.user(w.house, "otto@house.example", "Otto", access.OperatorAdmin)
	w.rita = w.user(w.house, "rita@house.example", "Rita", access.Reviewer)
	w.rolf = w.user(w.house, "rolf@house.example", "Rolf", access.Reviewer)
	return w
}

// handle lets the world's worker perform a kind of job.
func handle[A outbox.Args](w *world, fn func(context.Context, *outbox.Run, A) error) {
	var zero A
	w.handlers[zero.Kind()] = func(ctx context.Context, run *outbox.Run) error {
		var a A
		if err := json.Unmarshal([]byte(run.Job.Payload), &a); err != nil {
			return err
		}
		return fn(ctx, run, a)
	}
}

func (w *world) tx(fn func(context.Context, *database.Tx) error) {
	w.t.Helper()
	if err := w.db.InTx(w.t.Context(), fn); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) as(user ident.ID) access.Actor {
	w.t.Helper()
	a, err := access.Load(w.t.Context(), w.db.Read(), access.Presence{UserID: user})
	if err != nil || a.UserID == "" {
		w.t.Fatal(a, err)
	}
	return a
}

func (w *world) user(org *account.Organization, email, first string, roles ...access.Role) access.Actor {
	w.t.Helper()
	var id ident.ID
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		u, _, err := w.accounts.AddUser(ctx, tx, access.System("test"), org, account.NewUser{Email: email, FirstName: first, LastName: "Verdi", Roles: roles,
			Password: "velvet tractor lagoon 41"})
		if err == nil {
			id = u.ID
		}
		return err
	})
	return w.as(id)
}

// company registers a partner, a reseller in Italy, with its Global admin.
func (w *world) company(name string, change ...func(*partner.RegisterInput)) (*partner.Partner, access.Actor) {
	w.t.Helper()
	slug, signed, version := strings.ToLower(strings.ReplaceAll(name, " ", "-")), time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), "2026-01"
	in := partner.RegisterInput{Kind: access.IndirectReseller, LegalName: name, TenantDomain: slug + ".example", Country: "IT", AgreementSignedAt: &signed,
		AgreementVersion: &version, Admin: partner.Admin{Email: "gina@" + slug + ".example", FirstName: "Gina", LastName: "Rossi"}}
	for _, c := range change {
		c(&in)
	}
	if err := in.Validate(w.db.Now()); err != nil {
		w.t.Fatal(err)
	}
	var out *partner.Registered
	w.tx(func(ctx context.Context, tx *database.Tx) (err error) {
		out, err = w.partners.RegisterTx(ctx, tx, w.chief, in, "velvet tractor lagoon 41")
		return err
	})
	return out.Partner, w.as(out.Admin.ID)
}

// open asks for help.
func (w *world) open(who access.Actor, severity Severity, change ...func(*OpenInput)) *Request {
	w.t.Helper()
	in := OpenInput{Kind: General, Severity: &severity, Subject: "Licences", Text: "Where are they?"}
	for _, c := range change {
		c(&in)
	}
	return w.must(w.Open(w.t.Context(), who, in))
}

func (w *world) reply(who access.Actor, r *Request, text string) *Request {
	w.t.Helper()
	return w.must(w.Reply(w.t.Context(), who, ReplyInput{RequestID: r.ID, Text: text}))
}

func (w *world) shut(who access.Actor, r *Request) *Request {
	w.t.Helper()
	return w.must(w.Close(w.t.Context(), who, CloseInput{RequestID: r.ID, Text: ptr("Done.")}))
}

func (w *world) must(r *Request, err error) *Request {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// work performs all that is due, as relay and workers do, until nothing is.
func (w *world) work() (n int) {
	w.t.Helper()
	for {
		c, err := outbox.Claim(w.t.Context(), w.db, 500)
		if err != nil {
			w.t.Fatal(err)
		}
		if len(c.Jobs) == 0 {
			return n
		}
		for _, h := range c.Jobs {
			run, err := outbox.Begin(w.t.Context(), w.db, h.ID, h.Generation, "test", time.Minute)
			if err != nil {
				w.t.Fatal(err)
			}
			if run == nil {
				continue // called off
			}
			fn := w.handlers[h.Kind]
			if fn == nil {
				w.t.Fatalf("nobody performs %s", h.Kind)
			}
			err = fn(w.t.Context(), run)
			if err != nil {
				w.t.Errorf("%s: %v", h.Kind, err)
			}
			if err := outbox.Finish(w.t.Context(), w.db, []*outbox.Ending{{Run: run, Err: err}}); err != nil {
				w.t.Fatal(err)
			}
			n++
		}
	}
}

// pass lets time go by, from one due job to the next.
func (w *world) pass(d time.Duration) {
	w.t.Helper()
	w.until(w.db.Now().Add(d))
}

func (w *world) until(end time.Time) {
	w.t.Helper()
	w.work()
	for {
		var j outbox.Job
		err := w.db.Read().NewSelect().Model(&j).Where("state = 'pending'").Where("due_at <= ?", end).OrderExpr("due_at").Limit(1).Scan(w.t.Context())
		if database.IsNoRows(err) {
			break
		}
		if err != nil {
			w.t.Fatal(err)
		}
		if ahead := j.DueAt.Sub(w.db.Now()); ahead > 0 {
			w.db.Clock().Advance(ahead)
		}
		if w.work() == 0 {
			w.db.Clock().Advance(time.Millisecond)
		}
	}
	if ahead := end.Sub(w.db.Now()); ahead > 0 {
		w.db.Clock().Advance(ahead)
	}
}

// reload reads a request as the operator sees it.
func (w *world) reload(id ident.ID) *Request {
	w.t.Helper()
	rs, err := w.ByIDs(w.t.Context(), w.chief, []ident.ID{id})
	if err != nil || rs[id] == nil {
		w.t.Fatal(rs, err)
	}
	return rs[id]
}

// inbox lists the mails about a request that the mailbox took, as "template
// recipient", oldest first; others with their states.
func (w *world) inbox(id ident.ID) string {
	w.t.Helper()
	all, err := w.mailer.BySubject(w.t.Context(), []ident.ID{id})
	if err != nil {
		w.t.Fatal(err)
	}
	ms := all[id]
	slices.SortStableFunc(ms, func(a, b *mail.Message) int {
		if c := a.CreatedAt.Compare(b.CreatedAt); c != 0 {
			return c
		}
		return strings.Compare(a.Template+a.Recipient, b.Template+b.Recipient)
	})
	var out []string
	for _, m := range ms {
		line := strings.TrimPrefix(m.Template, "support_") + " " + strings.Split(m.Recipient, "@")[0]
		if m.State != mail.Sent {
			line += " (" + string(m.State) + ")"
		}
		out = append(out, line)
	}
	return strings.Join(out, ", ")
}

// course lists the thread as somebody reads it.
func (w *world) course(who access.Actor, id ident.ID) string {
	w.t.Helper()
	all, err := w.Threads(w.t.Context(), who, []ident.ID{id})
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for i, n := range all[id] {
		if n.Number != i+1 {
			w.t.Errorf("line %d has the number %d", i+1, n.Number)
		}
		line := string(n.Kind)
		if n.Text != "" {
			line += " " + n.Text
		}
		out = append(out, line)
	}
	return strings.Join(out, ", ")
}

func (w *world) audited(id ident.ID) string {
	w.t.Helper()
	var out []string
	err := w.db.Read().NewSelect().Model((*audit.Event)(nil)).Column("action").Where("target_id = ?", id).OrderExpr("at, action").Scan(w.t.Context(), &out)
	if err != nil {
		w.t.Fatal(err)
	}
	return strings.Join(out, " ")
}

// waiting counts the unfinished jobs of a kind about a subject.
func (w *world) waiting(id ident.ID, kind string) int {
	w.t.Helper()
	n, err := w.db.Read().NewSelect().Model((*outbox.Job)(nil)).Where("subject_id = ?", id).Where("kind = ?", kind).
		Where("state IN ('pending', 'queued', 'running')").Count(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return int(n)
}

// file uploads an attachment.
func (w *world) file(who access.Actor) ident.ID {
	w.t.Helper()
	f, err := w.files.Upload(w.t.Context(), who, file.UploadInput{Purpose: file.ForAttachment, Name: "log.txt", Content: []byte("It says no.")})
	if err != nil {
		w.t.Fatal(err)
	}
	return f.ID
}

// line is what the operator's desk says of a request.
func (w *world) line(id ident.ID) *desk.Item {
	w.t.Helper()
	c, err := desk.List(w.t.Context(), w.db, w.chief, page.Args{}, nil, desk.Filter{State: []desk.State{desk.Open, desk.Waiting, desk.Done}})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, i := range c.Nodes() {
		if i.SubjectID == id {
			return i
		}
	}
	w.t.Fatal("not on the desk")
	return nil
}

func problems(err error) string {
	f := fault.As(err)
	if f == nil {
		return fmt.Sprint(err)
	}
	var all []string
	for _, p := range f.Problems {
		all = append(all, strings.TrimSpace(strings.Join(p.Path[min(1, len(p.Path)):], ".")+" "+p.Code))
	}
	if len(all) == 0 {
		return f.Code
	}
	return strings.Join(all, ", ")
}

func ptr[T any](v T) *T { return &v }
