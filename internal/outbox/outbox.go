// Package outbox owns work that is to be done after a transaction: a job is a
// row written in the business transaction, and that row is outbox, state,
// dead letter and the Operation that the API shows. The relay hands due rows
// to Asynq, which carries only an id and a generation; Redis may lose all of
// it and nothing is lost. It never performs a job and never talks to Redis.
//
// Invariant: every effect is fenced by the generation of the row.
package outbox

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/ident"
)

// State is where a job stands.
type State string

// States of a job. Pending waits for its moment, queued was handed to Asynq,
// running is being performed.
const (
	Pending   State = "pending"
	Queued    State = "queued"
	Running   State = "running"
	Done      State = "done"
	Dead      State = "dead"
	Cancelled State = "cancelled"
)

// Queue names a queue; their weights are 6, 4, 3 and 1. A job's place is its
// queue and then its due moment: a rank of its own would make every claim read
// past all the promises of the coming months.
type Queue string

// Queues.
const (
	Critical Queue = "critical"
	Mail     Queue = "mail"
	Default  Queue = "default"
	Low      Queue = "low"
)

// Queues lists all queues, the heaviest first.
var Queues = []Queue{Critical, Mail, Default, Low}

// Topic is rung when a job is written or handed over.
const Topic = "job"

// changed is rung when the state of a listed job may have changed. The row of
// package event is written by triggers on the job, since most changes here are
// one statement without a transaction; this only wakes those who read it.
const changed = "event"

// Args is what a job carries: ids and plain numbers, never personal data,
// tokens or texts. It is stored as JSON.
type Args interface {
	// Kind is the job's kind, concept.verb, e.g. partnership.send_invitation.
	Kind() string
}

// Job is a row of work; the API shows the listed ones as Operation.
type Job struct {
	bun.BaseModel  `bun:"table:job,alias:job"`
	ID             ident.ID   `bun:"id,pk"`
	Kind           string     `bun:"kind"`
	Queue          Queue      `bun:"queue"`
	Payload        string     `bun:"payload"`
	DedupeKey      *string    `bun:"dedupe_key"`
	State          State      `bun:"state"`
	DueAt          time.Time  `bun:"due_at"`
	ExpiresAt      *time.Time `bun:"expires_at"`
	SweepAt        *time.Time `bun:"sweep_at"`
	Generation     int        `bun:"generation"`
	Attempt        int        `bun:"attempt"`
	MaxAttempts    int        `bun:"max_attempts"`
	Kills          int        `bun:"kills"`
	Worker         *string    `bun:"worker"`
	StartedAt      *time.Time `bun:"started_at"`
	FailureCode    *string    `bun:"failure_code"`
	LastError      *string    `bun:"last_error"`
	RequestID      string     `bun:"request_id"`
	TraceParent    string     `bun:"trace_parent"`
	ActorID        ident.ID   `bun:"actor_id"`
	OrganizationID ident.ID   `bun:"organization_id"`
	SubjectID      ident.ID   `bun:"subject_id"`
	// Listed jobs are Operations that their requester asked for.
	Listed     bool       `bun:"listed"`
	CreatedAt  time.Time  `bun:"created_at"`
	FinishedAt *time.Time `bun:"finished_at"`

	fresh bool // no other job can have DedupeKey
}

// Option changes how a job is put.
type Option func(*Job)

// DueAt delays a job to a moment; the default is at once.
func DueAt(t time.Time) Option { return func(j *Job) { j.DueAt = t.UTC() } }

// ExpiresAt is when the job is no longer worth doing.
func ExpiresAt(t time.Time) Option { return func(j *Job) { t = t.UTC(); j.ExpiresAt = &t } }

// Dedupe makes Put a no-op while an unfinished job has the same key; the
// existing job is returned.
func Dedupe(key string) Option { return func(j *Job) { j.DedupeKey = &key } }

// Fresh says that no job can have the key of Dedupe yet, since it names
// something that was made in this transaction: nobody waits for the statement.
func Fresh() Option { return func(j *Job) { j.fresh = true } }

// On chooses the queue.
func On(q Queue) Option { return func(j *Job) { j.Queue = q } }

// MaxAttempts bounds the attempts; the default is 12.
func MaxAttempts(n int) Option { return func(j *Job) { j.MaxAttempts = n } }

// About names the record that the job works on.
func About(id ident.ID) Option { return func(j *Job) { j.SubjectID = id } }

// By makes the job an Operation of the actor who asked for it.
func By(a access.Actor) Option {
	return func(j *Job) {
		j.ActorID, j.OrganizationID, j.Listed = a.UserID, a.OrganizationID, !a.IsAnonymous() && !a.IsSystem()
	}
}

// Put writes a job in the caller's transaction and wakes the relay after its
// commit.
func Put(ctx context.Context, tx *database.Tx, args Args, opts ...Option) (*Job, error) {
	raw, err := json.Marshal(args)
	if err != nil {
		return nil, fmt.Errorf("encoding job %s: %w", args.Kind(), err)
	}
	j := &Job{
		ID: ident.New(ident.Job), Kind: args.Kind(), Queue: Default, Payload: string(raw), State: Pending,
		MaxAttempts: attempts, RequestID: ident.Request(ctx), CreatedAt: tx.Now,
	}
	for _, o := range opts {
		o(j)
	}
	ctx, end := traced(ctx, j)
	defer end()
	// A job's columns that only later stages fill keep their defaults: this
	// statement is in everybody's transaction.
	q := tx.NewInsert().Model(j).ExcludeColumn("sweep_at", "generation", "attempt", "kills", "worker", "started_at", "failure_code",
		"last_error", "finished_at").Returning("NULL")
	if j.DueAt.IsZero() { // due at once by the clock that decides it
		j.DueAt = tx.Now
		q = q.Value("due_at", "?", tx.NowExpr())
	}
	how := database.Later(ctx)
	if j.DedupeKey != nil && !j.fresh {
		q = q.On("CONFLICT (dedupe_key) WHERE dedupe_key IS NOT NULL AND state IN ('pending', 'queued', 'running') DO NOTHING")
		how = ctx // others may have put one
	}
	res, err := q.Exec(how)
	if err != nil {
		return nil, fmt.Errorf("writing job %s: %w", j.Kind, err)
	}
	if n, err := res.RowsAffected(); j.DedupeKey != nil && !j.fresh && err == nil && n == 0 {
		var old Job
		err := tx.NewSelect().Model(&old).Where("dedupe_key = ?", *j.DedupeKey).
			Where("state IN ('pending', 'queued', 'running')").Limit(1).Scan(ctx)
		return &old, err
	}
	tx.Notify(Topic)
	if j.Listed {
		tx.Notify(changed)
	}
	return j, nil
}

// CancelAbout cancels the waiting jobs of some kinds about a record, in the
// transaction that makes them moot. A job that already runs is fenced by the
// state it re-reads.
func CancelAbout(ctx context.Context, tx *database.Tx, subject ident.ID, kinds ...string) error {
	tx.Notify(changed)
	_, err := tx.NewUpdate().Model((*Job)(nil)).Set("state = ?", Cancelled).Set("finished_at = ?", tx.Now).
		Where("subject_id = ? AND subject_id <> ''", subject).Where("kind IN (?)", bun.List(kinds)).
		Where("state IN ('pending', 'queued')").Exec(database.Later(database.Prepared(ctx)))
	return err
}

// FindTx reads a job by id inside a transaction, for a verb that replays what
// it did before; nil where it is gone.
func FindTx(ctx context.Context, tx *database.Tx, id ident.ID) (*Job, error) {
	var j Job
	err := tx.NewSelect().Model(&j).Where("id = ?", id).Scan(ctx)
	if database.IsNoRows(err) {
		return nil, nil
	}
	return &j, err
}
