package outbox

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/schema"

	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/ident"
)

const (
	// room is about how many tasks of a queue wait in Redis; the rest waits
	// in the table, where it costs no memory and can still be cancelled.
	room = 1000
	// handover is how long a queued row may wait for a handler before it is
	// offered again.
	handover = 2 * time.Minute
	// sweepBatch bounds the rows of one sweep.
	sweepBatch = 500
	// maxKills is how many dying workers a job may cost.
	maxKills = 3
)

// Handover is what the relay gives to Asynq: a row's id and the generation
// that was raised for it.
type Handover struct {
	ID         ident.ID `bun:"id"`
	Generation int      `bun:"generation"`
	Queue      Queue    `bun:"queue"`
	Kind       string   `bun:"kind"`
}

// Claimed is the answer to one claim.
type Claimed struct {
	Jobs []Handover
	// Full says that due rows were left because their queue has enough tasks
	// in Redis: come back when some are handled.
	Full bool
	// Expired counts the rows that were no longer worth doing.
	Expired int
}

// refList renders ('id', generation), … for (id, generation) IN (VALUES ?).
type refList []Ref

// AppendQuery implements schema.QueryAppender.
func (l refList) AppendQuery(gen schema.QueryGen, b []byte) ([]byte, error) {
	for i, r := range l {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = gen.AppendQuery(b, "(?, ?)", r.ID, r.Generation)
	}
	return b, nil
}

func refs[T any](rows []T, f func(T) Ref) refList {
	out := make(refList, len(rows))
	for i, r := range rows {
		out[i] = f(r)
	}
	return out
}

func (h Handover) ref() Ref { return Ref{h.ID, h.Generation} }

// Claim takes up to limit due rows, marks them queued and raises their
// generation. The caller enqueues them after this has committed, never
// before; two relays never claim the same row.
func Claim(ctx context.Context, db *database.DB, limit int) (Claimed, error) {
	var c Claimed
	due, err := dueQueues(ctx, db)
	if err != nil || len(due) == 0 {
		return c, err
	}
	err = db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		c = Claimed{}
		waiting, err := queued(ctx, tx)
		if err != nil {
			return err
		}
		var expired []ident.ID
		for _, q := range due {
			n := min(limit-len(c.Jobs), room-waiting[q])
			if n <= 0 {
				c.Full = c.Full || room <= waiting[q]
				continue
			}
			var rows []struct {
				Handover
				ExpiresAt *time.Time `bun:"expires_at"`
				Now       time.Time  `bun:"now"`
			}
			err := tx.LockSkip(tx.NewSelect().TableExpr("job").ColumnExpr("id, generation, queue, kind, expires_at").
				ColumnExpr("? AS now", db.NowExpr()).
				Where("state = ?", Pending).Where("queue = ?", q).Where("due_at <= ?", db.NowExpr()).
				OrderExpr("due_at, id").Limit(int64(n))).Scan(ctx, &rows)
			if err != nil {
				return err
			}
			for _, r := range rows {
				if r.ExpiresAt != nil && !r.ExpiresAt.After(r.Now) {
					expired = append(expired, r.ID)
					continue
				}
				r.Generation++
				c.Jobs = append(c.Jobs, r.Handover)
			}
			c.Full = c.Full || len(rows) == n && n < limit
		}
		if c.Expired = len(expired); c.Expired > 0 {
			tx.Notify(changed)
		}
		if err := bury(ctx, tx, db, expired, CodeExpired); err != nil || len(c.Jobs) == 0 {
			return err
		}
		ids := make([]ident.ID, len(c.Jobs))
		for i, h := range c.Jobs {
			ids[i] = h.ID
		}
		_, err = tx.NewUpdate().Table("job").Set("state = ?", Queued).Set("generation = generation + 1").
			Set("sweep_at = ?", db.NowAfter(handover)).Where("id IN (?)", bun.List(ids)).Exec(ctx)
		return err
	})
	if err != nil {
		return Claimed{}, fmt.Errorf("claiming due jobs: %w", err)
	}
	return c, nil
}

// dueQueues tells which queues have a due row, without a transaction: most
// looks find nothing.
func dueQueues(ctx context.Context, db *database.DB) ([]Queue, error) {
	var some struct{ Critical, Mail, Default, Low bool }
	q := db.Read().NewSelect()
	for _, name := range Queues {
		q = q.ColumnExpr("EXISTS (SELECT 1 FROM job WHERE state = 'pending' AND queue = ? AND due_at <= ?) AS ?", name, db.NowExpr(), bun.Ident(name))
	}
	if err := q.Scan(ctx, &some); err != nil {
		return nil, fmt.Errorf("looking for due jobs: %w", err)
	}
	var out []Queue
	for i, yes := range []bool{some.Critical, some.Mail, some.Default, some.Low} {
		if yes {
			out = append(out, Queues[i])
		}
	}
	return out, nil
}

func queued(ctx context.Context, idb bun.IDB) (map[Queue]int, error) {
	var rows []struct {
		Queue Queue
		N     int
	}
	err := idb.NewSelect().TableExpr("job").ColumnExpr("queue, count(*) AS n").
		Where("state IN ('queued', 'running')").Where("state = 'queued'"). // SQLite finds the partial index by its own words
		GroupExpr("queue").Scan(ctx, &rows)
	out := map[Queue]int{}
	for _, r := range rows {
		out[r.Queue] = r.N
	}
	return out, err
}

// bury marks rows dead with a class code; they stay visible and can be
// retried.
func bury(ctx context.Context, tx *database.Tx, db *database.DB, ids []ident.ID, code string) error {
	if len(ids) == 0 {
		return nil
	}
	_, err := tx.NewUpdate().Table("job").Set("state = ?", Dead).Set("failure_code = ?", code).Set("sweep_at = NULL").
		Set("finished_at = ?", db.NowExpr()).Where("id IN (?)", bun.List(ids)).Exec(ctx)
	return err
}

// Return gives back rows whose enqueueing failed; no attempt is charged.
func Return(ctx context.Context, db *database.DB, jobs []Handover) error {
	if len(jobs) == 0 {
		return nil
	}
	return db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		_, err := tx.NewUpdate().Table("job").Set("state = ?", Pending).Set("sweep_at = NULL").
			Where("state = ?", Queued).Where("(id, generation) IN (VALUES ?)", refs(jobs, Handover.ref)).Exec(ctx)
		return err
	})
}

// Reoffer puts everything queued, or what is queued in the named queues, back
// to pending: Redis has forgotten it. Free of charge; a task that survived
// after all is stale by its generation.
func Reoffer(ctx context.Context, db *database.DB, queues ...Queue) (int, error) {
	var n int64
	err := db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		q := tx.NewUpdate().Table("job").Set("state = ?", Pending).Set("sweep_at = NULL").
			Where("state IN ('queued', 'running')").Where("state = ?", Queued)
		if len(queues) > 0 {
			q = q.Where("queue IN (?)", bun.List(queues))
		}
		res, err := q.Exec(ctx)
		if err != nil {
			return err
		}
		if n, err = res.RowsAffected(); n > 0 {
			tx.Notify(Topic)
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("offering queued jobs again: %w", err)
	}
	return int(n), nil
}

// Swept counts what a sweep found.
type Swept struct {
	// Lost rows were queued and never begun; Killed ones ran on a worker that
	// went silent; Dead ones of these have used up their chances.
	Lost, Killed, Dead int
}

// Sweep returns work that got stuck: queued rows past their hand-over time go
// back free of charge, running rows past their lease with the attempt charged.
func Sweep(ctx context.Context, db *database.DB) (Swept, error) {
	var s Swept
	stuck, err := db.Read().NewSelect().TableExpr("job").Where("state IN ('queued', 'running')").Where("sweep_at <= ?", db.NowExpr()).Exists(ctx)
	if err != nil {
		return s, fmt.Errorf("looking for stuck jobs: %w", err)
	}
	if !stuck {
		return s, nil
	}
	err = db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		s = Swept{}
		var rows []struct {
			Job
			Now time.Time `bun:"now"`
		}
		err := tx.LockSkip(tx.NewSelect().TableExpr("job").
			ColumnExpr("id, state, generation, attempt, max_attempts, kills, worker, started_at, expires_at, ? AS now", db.NowExpr()).
			Where("state IN ('queued', 'running')").Where("sweep_at <= ?", db.NowExpr()).
			OrderExpr("sweep_at").Limit(sweepBatch)).Scan(ctx, &rows)
		if err != nil || len(rows) == 0 {
			return err
		}
		var lost, killed, dead, expired []ident.ID
		var history []*Attempt
		for i := range rows {
			j := &rows[i].Job
			if j.State == Queued {
				lost = append(lost, j.ID)
				continue
			}
			history = append(history, attemptOf(j, rows[i].Now, CodeKilled, "the worker went silent"))
			s.Killed++
			switch {
			case j.Kills+1 >= maxKills, j.Attempt >= j.MaxAttempts:
				dead = append(dead, j.ID)
			case j.ExpiresAt != nil && !j.ExpiresAt.After(rows[i].Now):
				expired = append(expired, j.ID)
			default:
				killed = append(killed, j.ID)
			}
		}
		s.Lost, s.Dead = len(lost), len(dead)+len(expired)
		if len(lost) > 0 {
			if _, err := tx.NewUpdate().Table("job").Set("state = ?", Pending).Set("sweep_at = NULL").
				Where("id IN (?)", bun.List(lost)).Exec(ctx); err != nil {
				return err
			}
		}
		if len(killed) > 0 {
			if _, err := tx.NewUpdate().Table("job").Set("state = ?", Pending).Set("sweep_at = NULL").Set("kills = kills + 1").
				Set("failure_code = ?", CodeKilled).Where("id IN (?)", bun.List(killed)).Exec(ctx); err != nil {
				return err
			}
		}
		if err := bury(ctx, tx, db, dead, CodeKilled); err != nil {
			return err
		}
		if err := bury(ctx, tx, db, expired, CodeExpired); err != nil {
			return err
		}
		if len(history) > 0 {
			if _, err := tx.NewInsert().Model(&history).Exec(ctx); err != nil {
				return err
			}
		}
		tx.Notify(Topic)
		tx.Notify(changed)
		return nil
	})
	if err != nil {
		return Swept{}, fmt.Errorf("sweeping jobs: %w", err)
	}
	return s, nil
}

// Outlook is what the development clock has to know before it moves.
type Outlook struct {
	// DueAt is when the earliest waiting job is due; nil where none waits.
	DueAt *time.Time
	// Busy says that a job is queued or running.
	Busy bool
}

// NextDue tells the earliest waiting moment and whether work is going on. The
// moments of some kinds can be left out.
func NextDue(ctx context.Context, db *database.DB, except ...string) (Outlook, error) {
	var row struct {
		Busy                         bool
		Critical, Mail, Default, Low *time.Time
	}
	q := db.Read().NewSelect().ColumnExpr("EXISTS (SELECT 1 FROM job WHERE state IN ('queued', 'running')) AS busy")
	if len(except) == 0 {
		except = []string{""}
	}
	for _, name := range Queues {
		q = q.ColumnExpr("(SELECT min(due_at) FROM job WHERE state = 'pending' AND queue = ? AND kind NOT IN (?)) AS ?", name, bun.List(except), bun.Ident(name))
	}
	if err := q.Scan(ctx, &row); err != nil {
		return Outlook{}, fmt.Errorf("looking for the next due job: %w", err)
	}
	o := Outlook{Busy: row.Busy}
	for _, at := range []*time.Time{row.Critical, row.Mail, row.Default, row.Low} {
		if at != nil && (o.DueAt == nil || at.Before(*o.DueAt)) {
			o.DueAt = at
		}
	}
	return o, nil
}

// QueueStats is how one queue stands.
type QueueStats struct {
	// Waiting rows are due and not handed over, Queued ones wait in Redis.
	Waiting, Queued, Running int
}

// Statistics is how the outbox stands.
type Statistics struct {
	Queues map[Queue]QueueStats
	// Oldest is the age of the row that has been due longest and is not yet
	// running; zero where none is.
	Oldest time.Duration
	// Dead rows wait for a person.
	Dead int
}

// Stats counts what waits, for metrics and the doctor.
func Stats(ctx context.Context, db *database.DB) (Statistics, error) {
	s := Statistics{Queues: map[Queue]QueueStats{}}
	for _, q := range Queues {
		s.Queues[q] = QueueStats{}
	}
	type row struct {
		Queue  Queue
		State  State
		N      int
		Oldest time.Time
		Now    time.Time
	}
	var rows, busy []row
	base := func() *bun.SelectQuery {
		return db.Read().NewSelect().TableExpr("job").ColumnExpr("queue, state, count(*) AS n, min(due_at) AS oldest, ? AS now", db.NowExpr()).
			GroupExpr("queue, state")
	}
	if err := base().Where("state = 'pending'").Where("queue IN (?)", bun.List(Queues)).Where("due_at <= ?", db.NowExpr()).Scan(ctx, &rows); err != nil {
		return s, fmt.Errorf("counting waiting jobs: %w", err)
	}
	if err := base().Where("state IN ('queued', 'running')").Scan(ctx, &busy); err != nil {
		return s, fmt.Errorf("counting busy jobs: %w", err)
	}
	for _, r := range append(rows, busy...) {
		q := s.Queues[r.Queue]
		switch r.State {
		case Pending:
			q.Waiting = r.N
		case Queued:
			q.Queued = r.N
		default:
			q.Running = r.N
		}
		s.Queues[r.Queue] = q
		if r.State != Running {
			s.Oldest = max(s.Oldest, r.Now.Sub(r.Oldest))
		}
	}
	dead, err := db.Read().NewSelect().TableExpr("job").Where("state = 'dead'").Count(ctx)
	if err != nil {
		return s, fmt.Errorf("counting dead jobs: %w", err)
	}
	s.Dead = int(dead)
	return s, nil
}
