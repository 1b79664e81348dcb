package event

import (
	"context"
	"fmt"
	"slices"

	"github.com/uptrace/bun"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/ident"
)

const (
	// batch bounds what is numbered or deleted in one transaction, page what
	// is read at once.
	batch = 1000
	page  = 200
)

// Record writes, in the caller's transaction, that a record changed which
// concerns a partner and perhaps another one.
func Record(ctx context.Context, tx *database.Tx, k Kind, subject, partner, other ident.ID) error {
	const q = "INSERT INTO event (kind, subject_id, organization_id, other_organization_id) VALUES (?, ?, " +
		"coalesce((SELECT organization_id FROM partner WHERE id = ?), ''), coalesce((SELECT organization_id FROM partner WHERE id = ?), ''))"
	if _, err := tx.NewRaw(q, k, subject, partner, other).Exec(database.Last(ctx)); err != nil {
		return fmt.Errorf("recording an event: %w", err)
	}
	tx.Notify(Topic)
	return nil
}

// RecordFor is Record for a record that concerns organizations which need not
// be partners; the other may be "".
func RecordFor(ctx context.Context, tx *database.Tx, k Kind, subject, organization, other ident.ID) error {
	e := &Event{Kind: k, SubjectID: subject, OrganizationID: organization, OtherOrganizationID: other}
	if _, err := tx.NewInsert().Model(e).ExcludeColumn("number").Returning("NULL").Exec(database.Last(ctx)); err != nil {
		return fmt.Errorf("recording an event: %w", err)
	}
	tx.Notify(Topic)
	return nil
}

// RecordAll is RecordFor for a record that concerns any number of
// organizations: one row for every two of them.
func RecordAll(ctx context.Context, tx *database.Tx, k Kind, subject ident.ID, organizations ...ident.ID) error {
	var rows []*Event
	for pair := range slices.Chunk(organizations, 2) {
		e := &Event{Kind: k, SubjectID: subject, OrganizationID: pair[0]}
		if len(pair) == 2 {
			e.OtherOrganizationID = pair[1]
		}
		rows = append(rows, e)
	}
	if len(rows) == 0 {
		return nil
	}
	if _, err := tx.NewInsert().Model(&rows).ExcludeColumn("number").Returning("NULL").Exec(database.Last(ctx)); err != nil {
		return fmt.Errorf("recording an event: %w", err)
	}
	tx.Notify(Topic)
	return nil
}

type counter struct {
	bun.BaseModel `bun:"table:event_counter"`
	Last          int64 `bun:"last"`
	Pruned        int64 `bun:"pruned"`
}

func readCounter(ctx context.Context, idb bun.IDB) (c counter, err error) {
	err = idb.NewSelect().Model(&c).Where("id = 1").Scan(ctx)
	return c, err
}

// number gives the committed events that have none their numbers. Any number
// of processes may call it at once: the counter's row makes them wait for each
// other, and a batch is visible before the next one begins.
func number(ctx context.Context, db *database.DB) error {
	for {
		waiting, err := db.Read().NewSelect().TableExpr("event").Where("number IS NULL").Exists(ctx)
		if err != nil || !waiting {
			return err
		}
		var n int64
		err = db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
			var last int64
			if err := tx.Lock(tx.NewSelect().TableExpr("event_counter").ColumnExpr("last").Where("id = 1")).Scan(ctx, &last); err != nil {
				return err
			}
			fresh := tx.NewSelect().TableExpr("event").ColumnExpr("id, row_number() OVER (ORDER BY id) AS place").Where("number IS NULL").
				OrderExpr("id").Limit(batch)
			res, err := tx.NewRaw("UPDATE event SET number = ? + fresh.place, published_at = ? FROM (?) AS fresh WHERE event.id = fresh.id",
				last, tx.Now, fresh).Exec(ctx)
			if err != nil {
				return err
			}
			if n, err = res.RowsAffected(); err != nil || n == 0 {
				return err
			}
			_, err = tx.NewUpdate().Table("event_counter").Set("last = last + ?", n).Where("id = 1").Exec(ctx)
			return err
		})
		if err != nil {
			return fmt.Errorf("numbering events: %w", err)
		}
		if n < batch {
			return nil
		}
	}
}

// after reads everybody's events beyond a number, in order.
func after(ctx context.Context, idb bun.IDB, last int64) ([]*Event, error) {
	var rows []*Event
	err := idb.NewSelect().Model(&rows).Where("number > ?", last).OrderExpr("number").Limit(page).Scan(ctx)
	return rows, err
}

// between reads the events beyond a number and up to another one that concern
// a scope, in order; one index range for each place of an organization.
func between(ctx context.Context, idb bun.IDB, s access.Scope, from, to int64) ([]*Event, error) {
	in := func(column string) *bun.SelectQuery {
		q := idb.NewSelect().TableExpr("event").ColumnExpr("number, kind, subject_id, organization_id, other_organization_id").
			Where("number > ?", from).Where("number <= ?", to).OrderExpr("number").Limit(page)
		if column != "" {
			q = q.Where("? = ?", bun.Ident(column), s.Organization()).Where("? <> ''", bun.Ident(column))
		}
		return q
	}
	var rows []*Event
	if s.All() {
		err := in("").Scan(ctx, &rows)
		return rows, err
	}
	err := idb.NewRaw("SELECT * FROM (?) AS own UNION SELECT * FROM (?) AS other ORDER BY number LIMIT ?",
		in("organization_id"), in("other_organization_id"), page).Scan(ctx, &rows)
	return rows, err
}

// Prune deletes events that nobody can catch up on any more, in small batches,
// and tells how many went.
func Prune(ctx context.Context, db *database.DB) (int, error) {
	if err := number(ctx, db); err != nil { // so that each has its moment
		return 0, err
	}
	total := 0
	for {
		var gone []int64
		err := db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
			gone = nil
			old := tx.NewSelect().TableExpr("event").ColumnExpr("number").Where("number IS NOT NULL").OrderExpr("number").Limit(batch)
			if err := tx.NewRaw("DELETE FROM event WHERE number IN (?) AND published_at < ? RETURNING number", old, tx.Now.Add(-keep)).Scan(ctx, &gone); err != nil {
				return err
			}
			if len(gone) == 0 {
				return nil
			}
			_, err := tx.NewUpdate().Table("event_counter").Set("pruned = ?", slices.Max(gone)).Where("id = 1").Where("pruned < ?", slices.Max(gone)).Exec(ctx)
			return err
		})
		if err != nil {
			return total, fmt.Errorf("pruning events: %w", err)
		}
		total += len(gone)
		if len(gone) < batch {
			return total, nil
		}
	}
}
