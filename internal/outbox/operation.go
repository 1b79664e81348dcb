package outbox

import (
	"context"
	"time"

	"github.com/uptrace/bun"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/page"
)

// OperationState is a job's state as the API tells it.
type OperationState string

// States of an operation.
const (
	OperationPending   OperationState = "PENDING"
	OperationRunning   OperationState = "RUNNING"
	OperationRetrying  OperationState = "RETRYING"
	OperationSucceeded OperationState = "SUCCEEDED"
	OperationFailed    OperationState = "FAILED"
	OperationCancelled OperationState = "CANCELLED"
)

// Codes of refused acts on operations.
const (
	CodeNotCancellable = "OPERATION_NOT_CANCELLABLE"
	CodeNotRetryable   = "OPERATION_NOT_RETRYABLE"
)

// Status is the job's state as its requester reads it: waiting again after a
// failure is RETRYING.
func (j *Job) Status() OperationState {
	switch j.State {
	case Running:
		return OperationRunning
	case Done:
		return OperationSucceeded
	case Dead:
		return OperationFailed
	case Cancelled:
		return OperationCancelled
	}
	if j.FailureCode != nil {
		return OperationRetrying
	}
	return OperationPending
}

// Attempts is how many attempts were begun and charged.
func (j *Job) Attempts() int { return j.Attempt }

// NextAttemptAt is when the job is tried next; nil where it is not waiting.
func (j *Job) NextAttemptAt() *time.Time {
	if j.State != Pending && j.State != Queued {
		return nil
	}
	at := j.DueAt
	return &at
}

// Filter narrows a list of operations.
type Filter struct {
	State     *OperationState
	Kind      *string
	SubjectID *ident.ID
	// All shows the operator also the jobs that nobody asked for, such as
	// timers; others see no more by it.
	All bool
}

// visible limits a query to the operations within a reach.
func visible(s access.Scope, all bool) access.Filter {
	reach := s.ByOrganization("job.organization_id")
	return func(q bun.QueryBuilder) bun.QueryBuilder {
		q = reach(q)
		if !all || !s.All() {
			q = q.Where("job.listed")
		}
		return q
	}
}

func (f Filter) apply(q *bun.SelectQuery) *bun.SelectQuery {
	if f.Kind != nil {
		q = q.Where("job.kind = ?", *f.Kind)
	}
	if f.SubjectID != nil {
		q = q.Where("job.subject_id = ? AND job.subject_id <> ''", *f.SubjectID)
	}
	if f.State == nil {
		return q
	}
	switch *f.State {
	case OperationPending:
		return q.Where("job.state IN ('pending', 'queued') AND job.failure_code IS NULL")
	case OperationRetrying:
		return q.Where("job.state IN ('pending', 'queued') AND job.failure_code IS NOT NULL")
	case OperationRunning:
		return q.Where("job.state = 'running'")
	case OperationSucceeded:
		return q.Where("job.state = 'done'")
	case OperationFailed:
		return q.Where("job.state = 'dead'")
	case OperationCancelled:
		return q.Where("job.state = 'cancelled'")
	}
	return q.Where("1 = 0")
}

// Find is one operation; NOT_FOUND where it is absent or hidden.
func Find(ctx context.Context, db *database.DB, actor access.Actor, id ident.ID) (*Job, error) {
	if err := actor.Require(access.PermOperationRead); err != nil {
		return nil, err
	}
	return find(ctx, db.Read().NewSelect(), actor, id)
}

func find(ctx context.Context, q *bun.SelectQuery, actor access.Actor, id ident.ID) (*Job, error) {
	j := new(Job)
	err := q.Model(j).Where("job.id = ?", id).ApplyQueryBuilder(visible(actor.Scope(), true)).Scan(ctx)
	if database.IsNoRows(err) {
		return nil, fault.NotFound("id")
	}
	return j, err
}

// FindMany loads operations within a scope; hidden ones are missing.
func FindMany(ctx context.Context, db *database.DB, scope access.Scope, ids []ident.ID) ([]*Job, error) {
	var rows []*Job
	if len(ids) == 0 {
		return rows, nil
	}
	err := db.Read().NewSelect().Model(&rows).Where("job.id IN (?)", bun.List(ids)).ApplyQueryBuilder(visible(scope, true)).Scan(ctx)
	return rows, err
}

// List is a page of operations, newest first.
func List(ctx context.Context, db *database.DB, actor access.Actor, args page.Args, f Filter) (*page.Connection[*Job], error) {
	if err := actor.Require(access.PermOperationRead); err != nil {
		return nil, err
	}
	pq, err := args.Resolve(page.Order{Name: "CREATED_AT", Column: "job.created_at", Sort: page.SortTime, Direction: page.Desc}, f)
	if err != nil {
		return nil, err
	}
	base := func(rows any) *bun.SelectQuery {
		return f.apply(db.Read().NewSelect().Model(rows).ApplyQueryBuilder(visible(actor.Scope(), f.All)))
	}
	var rows []*Job
	if err := database.Keyset(base(&rows), pq, "job.id").Scan(ctx); err != nil {
		return nil, err
	}
	return page.Build(pq, rows, func(j *Job) (any, ident.ID) { return j.CreatedAt, j.ID }, func(ctx context.Context) (int, error) {
		return database.CountCapped(ctx, db.Read(), base((*Job)(nil)))
	}), nil
}

// History lists a job's attempts that did not succeed, oldest first.
func History(ctx context.Context, idb bun.IDB, id ident.ID) ([]*Attempt, error) {
	var rows []*Attempt
	err := idb.NewSelect().Model(&rows).Where("job_id = ?", id).OrderExpr("number").Scan(ctx)
	return rows, err
}

// Hooks is who takes part in a person's act on an operation, inside its
// transaction; app fills it.
type Hooks struct {
	// Record writes the audit; action is operation.cancelled or
	// operation.retried.
	Record func(ctx context.Context, tx *database.Tx, actor access.Actor, action string, j *Job) error
	// OnCancel tells the concept that owns a kind that its work was called
	// off; OnRetry that dead or cancelled work goes on.
	OnCancel, OnRetry map[string]func(ctx context.Context, tx *database.Tx, j *Job) error
}

// Cancel calls off an operation that waits or has failed. Errors: NOT_FOUND,
// ROLE_REQUIRED, OPERATION_NOT_CANCELLABLE where it runs or has ended.
func Cancel(ctx context.Context, db *database.DB, actor access.Actor, id ident.ID, h Hooks) (*Job, error) {
	return act(ctx, db, actor, id, h.Record, "operation.cancelled", h.OnCancel, func(_ context.Context, tx *database.Tx, j *Job) error {
		if j.State != Pending && j.State != Queued && j.State != Dead {
			return fault.Conflict("id", CodeNotCancellable)
		}
		j.State, j.FinishedAt, j.SweepAt = Cancelled, &tx.Now, nil
		return nil
	})
}

// Retry starts a failed operation again: the same id, its next generation, a
// new budget of attempts. Errors: NOT_FOUND, ROLE_REQUIRED,
// OPERATION_NOT_RETRYABLE where it has not failed, is no longer worth doing,
// or the same work has been asked for anew.
func Retry(ctx context.Context, db *database.DB, actor access.Actor, id ident.ID, h Hooks) (*Job, error) {
	refused := fault.Conflict("id", CodeNotRetryable)
	j, err := act(ctx, db, actor, id, h.Record, "operation.retried", h.OnRetry, func(ctx context.Context, tx *database.Tx, j *Job) error {
		if j.State != Dead || j.ExpiresAt != nil && !j.ExpiresAt.After(tx.Now) {
			return refused
		}
		if j.DedupeKey != nil {
			twin, err := tx.NewSelect().TableExpr("job").Where("dedupe_key = ?", *j.DedupeKey).
				Where("state IN ('pending', 'queued', 'running')").Exists(ctx)
			if err != nil {
				return err
			}
			if twin {
				return refused
			}
		}
		j.State, j.DueAt, j.FinishedAt, j.Kills, j.MaxAttempts = Pending, tx.Now, nil, 0, j.Attempt+attempts
		tx.Notify(Topic)
		return nil
	})
	if database.IsUnique(err) { // its twin came between
		return nil, refused
	}
	return j, err
}

func act(ctx context.Context, db *database.DB, actor access.Actor, id ident.ID,
	record func(context.Context, *database.Tx, access.Actor, string, *Job) error, action string,
	on map[string]func(context.Context, *database.Tx, *Job) error, change func(context.Context, *database.Tx, *Job) error,
) (*Job, error) {
	if actor.IsAnonymous() {
		return nil, fault.Unauthenticated()
	}
	var out *Job
	err := db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		j, err := find(ctx, tx.Lock(tx.NewSelect()), actor, id)
		if err != nil {
			return err
		}
		if err := actor.Require(access.PermOperationManage); err != nil {
			return err
		}
		if err := change(ctx, tx, j); err != nil {
			return err
		}
		tx.Notify(changed)
		if _, err := tx.NewUpdate().Model(j).Column("state", "due_at", "finished_at", "sweep_at", "kills", "max_attempts").WherePK().Exec(ctx); err != nil {
			return err
		}
		if fn := on[j.Kind]; fn != nil {
			if err := fn(ctx, tx, j); err != nil {
				return err
			}
		}
		out = j
		if record == nil {
			return nil
		}
		return record(ctx, tx, actor, action, j)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}
