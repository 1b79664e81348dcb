package outbox

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/uptrace/bun"

	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
)

// Failure codes that the outbox itself gives.
const (
	CodePanic       = "PANIC"
	CodeUnknownKind = "UNKNOWN_KIND"
	CodeBadPayload  = "BAD_PAYLOAD"
	CodeKilled      = "KILLED"
	CodeExpired     = "EXPIRED"
	CodeFailed      = "FAILED"
)

// attempts is the default bound of attempts, and what a person's retry grants.
const attempts = 12

// ErrLost says that the job has been given to another worker, or was settled
// otherwise, while this one was at it. What the handler did must not stand.
var ErrLost = errors.New("the job was given to another worker")

// Attempt is one ended attempt that did not succeed. The one that did, and
// the one that goes on, are told by the job's own row.
type Attempt struct {
	bun.BaseModel `bun:"table:job_attempt,alias:attempt"`
	JobID         ident.ID   `bun:"job_id,pk"`
	Number        int        `bun:"number,pk"`
	Generation    int        `bun:"generation"`
	Worker        string     `bun:"worker"`
	StartedAt     time.Time  `bun:"started_at"`
	FinishedAt    *time.Time `bun:"finished_at"`
	Outcome       *string    `bun:"outcome"`
	FailureCode   *string    `bun:"failure_code"`
	LastError     *string    `bun:"last_error"`
}

// Outcomes of an ended attempt.
const (
	outcomeFailed = "failed"
	outcomeKilled = "killed"
)

func attemptOf(j *Job, now time.Time, code, message string) *Attempt {
	outcome := outcomeFailed
	if code == CodeKilled {
		outcome = outcomeKilled
	}
	a := &Attempt{JobID: j.ID, Number: j.Attempt, Generation: j.Generation, StartedAt: now, FinishedAt: &now,
		Outcome: &outcome, FailureCode: &code, LastError: &message}
	if j.StartedAt != nil {
		a.StartedAt = *j.StartedAt
	}
	if j.Worker != nil {
		a.Worker = *j.Worker
	}
	return a
}

// Run is a job being performed, as its handler sees it.
type Run struct {
	Job Job
	// done says that the handler marked the job done in its own transaction,
	// and that this has committed.
	done atomic.Bool
	held atomic.Bool
}

// Done marks the job done in the handler's own transaction, so that effect
// and completion are one. It fails with ErrLost, and so must the transaction,
// where the job has been given to another worker meanwhile.
func (r *Run) Done(ctx context.Context, tx *database.Tx) error {
	mine, err := done(ctx, tx, tx.NowExpr(), []*Run{r})
	if err != nil {
		return fmt.Errorf("finishing job %s: %w", r.Job.ID, err)
	}
	if len(mine) == 0 {
		return ErrLost
	}
	if r.Job.Listed {
		tx.Notify(changed)
	}
	tx.AfterCommit(func() { r.done.Store(true) })
	return nil
}

// Finished reports whether Done has committed.
func (r *Run) Finished() bool { return r.done.Load() }

// Hold says that from here on the work cannot be taken back, as a mail whose
// body has left: a shutdown waits for it however long it takes.
func (r *Run) Hold() { r.held.Store(true) }

// Held reports whether Hold was called.
func (r *Run) Held() bool { return r.held.Load() }

func (r *Run) ref() Ref { return Ref{r.Job.ID, r.Job.Generation} }

// Ref names a hand-over: what a task in Redis carries.
type Ref struct {
	ID         ident.ID
	Generation int
}

// Begin claims one handed-over job for a worker until the lease ends. It is
// nil where the task is stale: the row was settled, taken or raised since.
func Begin(ctx context.Context, db *database.DB, id ident.ID, generation int, worker string, lease time.Duration) (*Run, error) {
	runs, err := BeginMany(ctx, db, []Ref{{id, generation}}, worker, lease)
	return runs[Ref{id, generation}], err
}

// BeginMany is Begin for many tasks in one statement; stale ones are missing
// in the answer.
func BeginMany(ctx context.Context, db *database.DB, tasks []Ref, worker string, lease time.Duration) (map[Ref]*Run, error) {
	var jobs []*Job
	const claim = "UPDATE job SET state = 'running', attempt = attempt + 1, worker = ?, started_at = ?, sweep_at = ? " +
		"WHERE state = 'queued' AND due_at <= ? AND (id, generation) IN (VALUES ?) RETURNING *"
	args := []any{worker, db.NowExpr(), db.NowAfter(lease), db.NowExpr(), refList(tasks)}
	err := settle(ctx, db, func(ctx context.Context, idb bun.IDB) error {
		jobs = nil
		return idb.NewRaw(claim, args...).Scan(ctx, &jobs)
	})
	if err != nil {
		return nil, fmt.Errorf("beginning jobs: %w", err)
	}
	out := make(map[Ref]*Run, len(jobs))
	var late []*Ending
	if slices.ContainsFunc(jobs, func(j *Job) bool { return j.Listed }) {
		db.Ring(changed)
	}
	for _, j := range jobs {
		r := &Run{Job: *j}
		if j.ExpiresAt != nil && !j.ExpiresAt.After(*j.StartedAt) {
			late = append(late, &Ending{Run: r, Err: fault.GiveUp(CodeExpired, nil)})
			continue
		}
		out[Ref{j.ID, j.Generation}] = r
	}
	if len(late) > 0 {
		if err := Finish(ctx, db, late); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// settle runs one statement without the two round trips of a transaction,
// and in a transaction, which knows how to repeat, where that failed.
func settle(ctx context.Context, db *database.DB, fn func(context.Context, bun.IDB) error) error {
	err := fn(ctx, db.Bun())
	if err == nil || database.IsDown(err) || ctx.Err() != nil {
		return err
	}
	return db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error { return fn(ctx, tx) })
}

// done marks runs done and returns the ids of those that were still theirs.
func done(ctx context.Context, idb bun.IDB, now any, runs []*Run) (mine []ident.ID, err error) {
	err = idb.NewRaw("UPDATE job SET state = 'done', finished_at = ?, sweep_at = NULL, failure_code = NULL, last_error = NULL "+
		"WHERE state = 'running' AND (id, generation) IN (VALUES ?) RETURNING id", now, refs(runs, (*Run).ref)).Scan(ctx, &mine)
	return mine, err
}

// Ending is how a handler's run came out.
type Ending struct {
	Run *Run
	// Err is the handler's answer; nil is success.
	Err error
	// State is what Finish made of it: Done, Pending for another attempt, or
	// Dead; "" where the run was no longer this worker's.
	State State
}

// verdict is what becomes of a job after a failed run.
type verdict struct {
	state   State
	wait    time.Duration
	code    string
	charged bool
}

// judge decides what a failure means: fault.Retry says so itself, any other
// error is tried again with backoff until the attempts are used up. luck in
// [0,1) spreads the waits.
func judge(j *Job, err error, luck float64) verdict {
	v := verdict{state: Pending, wait: Backoff(j.Attempt, luck), code: CodeFailed, charged: true}
	if f := fault.As(err); f != nil {
		v.code = f.Code
	}
	if r := fault.AsRetry(err); r != nil {
		v.code = r.Code
		if r.After > 0 {
			v.wait = r.After
		}
		v.charged = !r.Free
		if r.Never {
			v.state = Dead
			return v
		}
	}
	if v.charged && j.Attempt >= j.MaxAttempts {
		v.state = Dead
	}
	return v
}

// Backoff is the wait after a failed attempt, counted from 1: two seconds,
// doubled each time up to an hour, spread by ±20 % (luck in [0,1)).
func Backoff(attempt int, luck float64) time.Duration {
	d := time.Hour
	if attempt < 12 {
		d = min(d, 2*time.Second<<max(attempt-1, 0))
	}
	return time.Duration(float64(d) * (0.8 + 0.4*luck)).Round(time.Millisecond)
}

// Finish writes how runs came out, in one transaction, and sets their State.
// Runs that are already done in their own transaction are not touched.
func Finish(ctx context.Context, db *database.DB, endings []*Ending) error {
	var good []*Run
	var bad []*Ending
	byID := make(map[ident.ID]*Ending, len(endings))
	for _, e := range endings {
		switch {
		case e.Run.Finished():
			e.State = Done
		case e.Err == nil:
			good = append(good, e.Run)
			byID[e.Run.Job.ID] = e
		default:
			bad = append(bad, e)
		}
	}
	write := func(ctx context.Context, idb bun.IDB) error {
		if len(good) > 0 {
			mine, err := done(ctx, idb, db.NowExpr(), good)
			if err != nil {
				return err
			}
			for _, id := range mine {
				byID[id].State = Done
			}
		}
		for _, e := range bad {
			if err := fail(ctx, idb, db, e); err != nil {
				return err
			}
		}
		return nil
	}
	var err error
	switch {
	case len(bad) > 0:
		err = db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error { return write(ctx, tx) })
	case len(good) > 0:
		err = settle(ctx, db, write)
	}
	if err != nil {
		return fmt.Errorf("finishing jobs: %w", err)
	}
	if slices.ContainsFunc(endings, func(e *Ending) bool { return e.Run.Job.Listed && !e.Run.Finished() }) {
		db.Ring(changed)
	}
	return nil
}

func fail(ctx context.Context, idb bun.IDB, db *database.DB, e *Ending) error {
	e.State = ""
	j := &e.Run.Job
	v := judge(j, e.Err, rand.Float64()) //nolint:gosec // spreads load, guards nothing
	message := Mask(e.Err.Error())
	q := idb.NewUpdate().Table("job").Set("state = ?", v.state).Set("sweep_at = NULL").
		Set("failure_code = ?", v.code).Set("last_error = ?", message).
		Where("id = ?", j.ID).Where("generation = ?", j.Generation).Where("state = ?", Running)
	switch {
	case v.state == Dead:
		q = q.Set("finished_at = ?", db.NowExpr())
	case j.ExpiresAt != nil && db.Now().Add(v.wait).After(*j.ExpiresAt):
		q = q.Set("due_at = ?", *j.ExpiresAt) // looked at once more, to be buried
	default:
		q = q.Set("due_at = ?", db.NowAfter(v.wait))
	}
	if !v.charged {
		q = q.Set("attempt = attempt - 1")
	}
	res, err := q.Exec(ctx)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return err
	}
	e.State = v.state
	if !v.charged {
		return nil
	}
	_, err = idb.NewInsert().Model(attemptOf(j, db.Now(), v.code, message)).Exec(ctx)
	return err
}

// Extend prolongs the leases of a process's runs in one statement and returns
// those that are no longer its own.
func Extend(ctx context.Context, db *database.DB, runs []*Run, lease time.Duration) (lost []*Run, err error) {
	if len(runs) == 0 {
		return nil, nil
	}
	var kept []ident.ID
	err = settle(ctx, db, func(ctx context.Context, idb bun.IDB) error {
		kept = nil
		return idb.NewRaw("UPDATE job SET sweep_at = ? WHERE state = 'running' AND (id, generation) IN (VALUES ?) RETURNING id",
			db.NowAfter(lease), refs(runs, (*Run).ref)).Scan(ctx, &kept)
	})
	if err != nil {
		return nil, fmt.Errorf("extending leases: %w", err)
	}
	mine := make(map[ident.ID]bool, len(kept))
	for _, id := range kept {
		mine[id] = true
	}
	for _, r := range runs {
		if !mine[r.Job.ID] {
			lost = append(lost, r)
		}
	}
	return lost, nil
}

var (
	addressPattern = regexp.MustCompile(`(?:"[^"@]*"|[^\s<>"'(),;:@]+)@[^\s<>"'(),;:@]+`)
	tokenPattern   = regexp.MustCompile(`\b(cg[a-z]|whsec)_[A-Za-z0-9+/=_-]+`)
	bearerPattern  = regexp.MustCompile(`[A-Za-z0-9+/_=-]{40,}`)
	quotedPattern  = regexp.MustCompile(`"[^"]{41,}"|'[^']{41,}'`)
)

// Mask makes an error's text fit to be kept: mail addresses and tokens are
// taken out, long quotations and the whole are cut.
func Mask(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "�"))
	s = addressPattern.ReplaceAllString(s, "[address]")
	s = tokenPattern.ReplaceAllString(s, "${1}_[token]")
	s = bearerPattern.ReplaceAllString(s, "[token]")
	s = quotedPattern.ReplaceAllStringFunc(s, func(q string) string { return cut(q, 40) + q[:1] })
	return cut(s, 200)
}

func cut(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n-1]) + "…"
}
