package register

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/database/dbtest"
	"github.com/channelgraph/channelgraph/internal/file"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/mail"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/internal/secret"
)

// world is the operator's administrator, a reviewer and an applicant.
type world struct {
	*Service
	t                        *testing.T
	chief, reviewer, stander access.Actor
}

func newWorld(t *testing.T) *world {
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
	accounts := account.New(db, mailer, keys, account.Config{PublicURL: "http://localhost:8080",
		Hashing: account.Hashing{Memory: 8, Passes: 1, Threads: 1, Slots: 4, Wait: time.Minute}}, nil)
	w := &world{Service: New(db, accounts, file.New(db)), t: t}
	w.hashBatch = 2
	w.chief = w.person(access.Operator, access.OperatorAdmin)
	w.reviewer = w.person(access.Operator, access.Reviewer)
	w.stander = w.person(access.IndirectReseller, access.GlobalAdmin)
	return w
}

func (w *world) exec(sql string, args ...any) {
	w.t.Helper()
	if _, err := w.db.Bun().NewRaw(sql, args...).Exec(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) count(table, where string, args ...any) (n int) {
	w.t.Helper()
	if err := w.db.Read().NewSelect().TableExpr(table).ColumnExpr("count(*)").Where(where, args...).Scan(w.t.Context(), &n); err != nil {
		w.t.Fatal(err)
	}
	return n
}

// person makes a user with one role in an organization of its own.
func (w *world) person(kind access.Kind, role access.Role) access.Actor {
	w.t.Helper()
	org, usr, now := ident.New(ident.Organization), ident.New(ident.User), w.db.Now()
	w.exec("INSERT INTO organization (id, kind, name, name_folded, domain, country, locale, created_at, updated_at) VALUES (?, ?, 'O', 'o', ?, 'IT', 'en', ?, ?)",
		org, kind, string(org)+".example", now, now)
	w.exec("INSERT INTO user_account (id, organization_id, email, email_folded, first_name, last_name, name_folded, locale, status, created_at, updated_at) "+
		"VALUES (?, ?, ?, ?, 'Ada', 'B', 'ada b', 'en', 'ACTIVE', ?, ?)", usr, org, string(usr)+"@o.example", string(usr)+"@o.example", now, now)
	w.exec("INSERT INTO user_role (user_id, role, granted_by, granted_at) VALUES (?, ?, '', ?)", usr, role, now)
	return w.as(usr)
}

func (w *world) as(user ident.ID) access.Actor {
	w.t.Helper()
	a, err := access.Load(w.t.Context(), w.db.Read(), access.Presence{UserID: user, IPPrefix: "192.0.2.0/24"})
	if err != nil || a.UserID == "" {
		w.t.Fatal(a, err)
	}
	return a
}

// upload keeps a file as the operator's administrator does.
func (w *world) upload(content string) ident.ID {
	w.t.Helper()
	f, err := w.files.Upload(w.t.Context(), w.chief, file.UploadInput{Purpose: file.ForImport, Name: "register.csv", Content: []byte(content)})
	if err != nil {
		w.t.Fatal(err)
	}
	return f.ID
}

// begin hands a job over as the relay and a worker do.
func (w *world) begin(id ident.ID) *outbox.Run {
	w.t.Helper()
	w.exec("UPDATE job SET state = 'queued', generation = generation + 1 WHERE id = ? AND state = 'pending'", id)
	var generation int
	if err := w.db.Read().NewSelect().TableExpr("job").Column("generation").Where("id = ?", id).Scan(w.t.Context(), &generation); err != nil {
		w.t.Fatal(err)
	}
	run, err := outbox.Begin(w.t.Context(), w.db, id, generation, "test", time.Minute)
	if err != nil || run == nil {
		w.t.Fatal("the job did not begin", err)
	}
	return run
}

// perform runs a job once and writes how it came out.
func (w *world) perform(j *outbox.Job, i *Import) error {
	w.t.Helper()
	run := w.begin(j.ID)
	err := w.ImportRegister(w.t.Context(), run, ImportRegister{ImportID: i.ID})
	if ferr := outbox.Finish(w.t.Context(), w.db, []*outbox.Ending{{Run: run, Err: err}}); ferr != nil {
		w.t.Fatal(ferr)
	}
	return err
}

// bringIn imports a file of a kind to its end and reads the import again.
func (w *world) bringIn(kind ImportKind, in ImportInput) *Import {
	w.t.Helper()
	do := w.ImportMemberships
	if kind == Companies {
		do = w.ImportCompanies
	}
	i, job, err := do(w.t.Context(), w.chief, in)
	if err != nil {
		w.t.Fatal(err)
	}
	if i.State != Queued {
		w.t.Errorf("a new import is %s", i.State)
	}
	if err := w.perform(job, i); err != nil {
		w.t.Fatal(err)
	}
	return w.read(i.ID)
}

func (w *world) read(id ident.ID) *Import {
	w.t.Helper()
	found, err := w.ImportsByIDs(w.t.Context(), w.chief, []ident.ID{id})
	if err != nil || found[id] == nil {
		w.t.Fatal(found, err)
	}
	return found[id]
}

// memberships imports lines under a header.
func (w *world) memberships(mode Mode, lines ...string) *Import {
	w.t.Helper()
	return w.bringIn(Memberships, ImportInput{FileID: w.upload(strings.Join(lines, "\n")), Mode: &mode})
}

func (w *world) companies(mode Mode, lines ...string) *Import {
	w.t.Helper()
	return w.bringIn(Companies, ImportInput{FileID: w.upload(strings.Join(lines, "\n")), Mode: &mode})
}

// told is what an import came to.
func told(i *Import) string {
	return fmt.Sprintf("%s +%d ~%d =%d -%d !%d", i.State, i.Added, i.Changed, i.Unchanged, i.Removed, i.ProblemCount)
}

func (w *world) expect(i *Import, want string) {
	w.t.Helper()
	if got := told(i); got != want {
		report := &strings.Builder{}
		_, _ = w.Report(w.t.Context(), w.chief, i.ID, report)
		w.t.Errorf("the import is %s, want %s\n%s", got, want, report)
	}
}

func (w *world) tx(fn func(context.Context, *database.Tx) error) {
	w.t.Helper()
	if err := w.db.InTx(w.t.Context(), fn); err != nil {
		w.t.Fatal(err)
	}
}
