package audit

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/database/dbtest"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/outbox"
)

// world is a database with a service whose bounds are small.
type world struct {
	*testing.T
	db  *database.DB
	s   *Service
	log *lines
}

// lines keeps what was logged.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, db: dbtest.New(t), log: new(lines)}
	w.s = New(w.db, slog.New(slog.NewTextHandler(w.log, nil)))
	w.s.sealSize, w.s.exports.AtOnce, w.s.exports.Most = 10, 4, 50
	return w
}

func (w *world) exec(sql string, args ...any) {
	w.Helper()
	if _, err := w.db.Bun().NewRaw(sql, args...).Exec(w.Context()); err != nil {
		w.Fatal(err)
	}
}

// person makes a user with one role in an organization of its own.
func (w *world) person(kind access.Kind, role access.Role) access.Actor {
	w.Helper()
	org, usr, now := ident.New(ident.Organization), ident.New(ident.User), w.db.Now()
	w.exec("INSERT INTO organization (id, kind, name, name_folded, domain, country, locale, created_at, updated_at) VALUES (?, ?, 'O', 'o', ?, 'IT', 'en', ?, ?)",
		org, kind, string(org)+".example", now, now)
	w.exec("INSERT INTO user_account (id, organization_id, email, email_folded, first_name, last_name, name_folded, locale, status, created_at, updated_at) "+
		"VALUES (?, ?, ?, ?, '=Ada', 'B', 'ada b', 'en', 'ACTIVE', ?, ?)", usr, org, string(usr)+"@o.example", string(usr)+"@o.example", now, now)
	w.exec("INSERT INTO user_role (user_id, role, granted_by, granted_at) VALUES (?, ?, '', ?)", usr, role, now)
	a, err := access.Load(w.Context(), w.db.Read(), access.Presence{UserID: usr, IPPrefix: "192.0.2.0/24"})
	if err != nil || a.OrganizationID != org {
		w.Fatal(a, err)
	}
	return a
}

// step is the time between two acts: longer than any test takes, since the
// moved clock goes on by itself.
const step = time.Minute

// act records acts a step apart.
func (w *world) act(actor access.Actor, acts ...Act) {
	w.Helper()
	ctx := ident.WithRequest(w.Context(), "req-1")
	for _, a := range acts {
		err := w.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error { return Record(ctx, tx, actor, a) })
		if err != nil {
			w.Fatal(err)
		}
		w.db.Clock().Advance(step)
	}
}

// some are n acts.
func some(n int, action string) []Act {
	out := make([]Act, n)
	for i := range out {
		out[i] = Act{Action: action, TargetID: ident.New(ident.Invitation), Changed: []string{"status", "note"}}
	}
	return out
}

// begin hands a job over as the relay and a worker do.
func (w *world) begin(j *outbox.Job) *outbox.Run {
	w.Helper()
	w.exec("UPDATE job SET state = 'queued', generation = generation + 1 WHERE id = ? AND state = 'pending'", j.ID)
	var generation int
	if err := w.db.Read().NewSelect().TableExpr("job").Column("generation").Where("id = ?", j.ID).Scan(w.Context(), &generation); err != nil {
		w.Fatal(err)
	}
	run, err := outbox.Begin(w.Context(), w.db, j.ID, generation, "test", time.Minute)
	if err != nil || run == nil {
		w.Fatal("the job did not begin", err)
	}
	return run
}

// perform runs an export to its end.
func (w *world) perform(j *outbox.Job, e *Export) error {
	w.Helper()
	run := w.begin(j)
	err := w.s.ExportEvents(w.Context(), run, ExportEvents{ExportID: e.ID})
	if ferr := outbox.Finish(w.Context(), w.db, []*outbox.Ending{{Run: run, Err: err}}); ferr != nil {
		w.Fatal(ferr)
	}
	return err
}
