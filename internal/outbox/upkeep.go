package outbox

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/ident"
)

const (
	// Done and cancelled jobs are kept this long; those that are Operations
	// somebody asked for, longer. Dead ones stay until a person decides.
	keepDone   = 48 * time.Hour
	keepListed = 30 * 24 * time.Hour
	// pruneBatch bounds one deletion, so that nobody waits behind it.
	pruneBatch = 500
)

type tickRow struct {
	bun.BaseModel `bun:"table:job_tick,alias:tick"`
	Name          string    `bun:"name,pk"`
	TickAt        time.Time `bun:"tick_at,pk"`
}

// Ticked tells what Tick did.
type Ticked struct {
	// Next is the coming moment.
	Next time.Time
	// Put says that this call wrote its job.
	Put bool
	// Missed counts the moments that passed without being written, or whose
	// job was still waiting: they collapse into the latest one.
	Missed int
}

// Tick makes sure that the next moment of some periodic work, a multiple of
// every in UTC, has its job; any number of processes may ask at once. Work of
// earlier moments that nobody began is called off in favour of the latest.
func Tick(ctx context.Context, db *database.DB, name string, every time.Duration, args Args, opts ...Option) (Ticked, error) {
	var t Ticked
	err := db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		latest := tx.Now.Truncate(every)
		t = Ticked{Next: latest.Add(every)}
		res, err := tx.NewInsert().Model(&tickRow{Name: name, TickAt: t.Next}).On("CONFLICT (name, tick_at) DO NOTHING").Exec(ctx)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return err
		}
		t.Put = true
		var last []tickRow
		if err := tx.NewSelect().Model(&last).Where("name = ?", name).Where("tick_at < ?", t.Next).
			OrderExpr("tick_at DESC").Limit(1).Scan(ctx); err != nil {
			return err
		}
		if len(last) == 1 {
			t.Missed = int(t.Next.Sub(last[0].TickAt)/every) - 1
		}
		subject := ident.ID("tick:" + name)
		var stale []ident.ID
		if err := tx.Lock(tx.NewSelect().TableExpr("job").Column("id").Where("subject_id = ? AND subject_id <> ''", subject).
			Where("state IN ('pending', 'queued')").OrderExpr("due_at DESC")).Scan(ctx, &stale); err != nil {
			return err
		}
		if len(stale) > 1 { // the newest of them is the latest moment's
			stale = stale[1:]
			t.Missed += len(stale)
			if _, err := tx.NewUpdate().Table("job").Set("state = ?", Cancelled).Set("finished_at = ?", tx.Now).Set("sweep_at = NULL").
				Where("id IN (?)", bun.List(stale)).Exec(ctx); err != nil {
				return err
			}
		}
		_, err = Put(ctx, tx, args, append(opts[:len(opts):len(opts)], DueAt(t.Next), About(subject))...)
		return err
	})
	if err != nil {
		return Ticked{}, fmt.Errorf("scheduling %s: %w", name, err)
	}
	return t, nil
}

// Prune deletes what nobody asks for any more from the outbox's own tables,
// in small batches, and tells how many rows went. Dead jobs are kept.
func Prune(ctx context.Context, db *database.DB) (int, error) {
	now := db.Now()
	total := 0
	for _, stale := range []struct {
		table, key string
		where      func(*bun.SelectQuery) *bun.SelectQuery
	}{
		{"job", "id", func(q *bun.SelectQuery) *bun.SelectQuery {
			return q.Where("finished_at < ?", now.Add(-keepDone)).Where("state IN ('done', 'cancelled')").
				Where("NOT listed OR finished_at < ?", now.Add(-keepListed))
		}},
		{"job_tick", "name, tick_at", func(q *bun.SelectQuery) *bun.SelectQuery {
			return q.Where("tick_at < ?", now.Add(-keepDone)).
				Where("EXISTS (SELECT 1 FROM job_tick AS later WHERE later.name = job_tick.name AND later.tick_at > job_tick.tick_at)")
		}},
		{"idempotency", "actor_id, verb, key", func(q *bun.SelectQuery) *bun.SelectQuery {
			return q.Where("created_at < ?", now.Add(-keyLife))
		}},
	} {
		for {
			var n int64
			err := db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
				batch := tx.LockSkip(stale.where(tx.NewSelect().TableExpr(stale.table).ColumnExpr(stale.key)).Limit(pruneBatch))
				res, err := tx.NewDelete().Table(stale.table).Where("(?) IN (?)", bun.Safe(stale.key), batch).Exec(ctx)
				if err != nil {
					return err
				}
				n, err = res.RowsAffected()
				return err
			})
			if err != nil {
				return total, fmt.Errorf("pruning %s: %w", stale.table, err)
			}
			total += int(n)
			if n < pruneBatch {
				break
			}
		}
	}
	return total, nil
}
