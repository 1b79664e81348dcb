package calendar

import (
	"context"
	"errors"
	"fmt"

	"github.com/uptrace/bun"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/page"
	"github.com/channelgraph/channelgraph/internal/sla"
)

// Counter counts the rows that a mover will look at, for the progress alone.
type Counter func(ctx context.Context, idb bun.IDB) (int, error)

// Current is the calendar as promises are counted on it; nobody changes it.
// Whoever keeps a promise reads it in the same transaction, so that a change
// waits for that. It is one statement, and a second one after a change.
func (s *Service) Current(ctx context.Context, idb bun.IDB) (*sla.Calendar, error) {
	_, rules, err := s.current(ctx, idb)
	return rules, err
}

func (s *Service) current(ctx context.Context, idb bun.IDB) (version int, rules *sla.Calendar, err error) {
	row, err := read(ctx, idb)
	if err != nil {
		return 0, nil, err
	}
	if last := s.last.Load(); last != nil && last.version == row.Version {
		return last.version, last.rules, nil
	}
	holidays, err := dates(ctx, idb)
	if err != nil {
		return 0, nil, fmt.Errorf("reading the holidays: %w", err)
	}
	zone := s.zone
	if row.TimeZone != "" {
		if zone, err = sla.Zone(row.TimeZone); err != nil {
			return 0, nil, fmt.Errorf("reading the calendar: %w", err)
		}
	}
	next := &snapshot{version: row.Version, rules: row.rules(zone, holidays)}
	s.last.Store(next)
	return next.version, next.rules, nil
}

// read reads the calendar; in a transaction it holds it against changes.
func read(ctx context.Context, idb bun.IDB) (*Calendar, error) {
	row := new(Calendar)
	q := idb.NewSelect().Model(row).Where("calendar.id = 1")
	if tx, ok := idb.(*database.Tx); ok {
		q = tx.Share(q)
	}
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("reading the calendar: %w", err)
	}
	return row, nil
}

func lock(ctx context.Context, tx *database.Tx) (*Calendar, error) {
	row := new(Calendar)
	if err := tx.Lock(tx.NewSelect().Model(row).Where("calendar.id = 1")).Scan(ctx); err != nil {
		return nil, fmt.Errorf("reading the calendar: %w", err)
	}
	return row, nil
}

// save keeps a changed calendar.
func save(ctx context.Context, tx *database.Tx, actor access.Actor, c *Calendar) error {
	c.Version++
	c.UpdatedByID, c.UpdatedAt = actor.UserID, &tx.Now
	_, err := tx.NewUpdate().Model(c).WherePK().Exec(ctx)
	return err
}

// dates are those of all holidays.
func dates(ctx context.Context, idb bun.IDB) ([]string, error) {
	var out []string
	err := idb.NewSelect().Model((*Holiday)(nil)).Column("date").Scan(ctx, &out)
	return out, err
}

func insertHoliday(ctx context.Context, tx *database.Tx, h *Holiday) error {
	res, err := tx.NewInsert().Model(h).On("CONFLICT (date) DO NOTHING").Exec(ctx)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, fault.Conflict("date", CodeHolidayExists))
	}
	return nil
}

// takeHoliday removes a holiday; nil where there is none.
func takeHoliday(ctx context.Context, tx *database.Tx, id ident.ID) (*Holiday, error) {
	found, err := holidaysByIDs(ctx, tx, []ident.ID{id})
	if err != nil || len(found) == 0 {
		return nil, err
	}
	_, err = tx.NewDelete().Model(found[0]).WherePK().Exec(ctx)
	return found[0], err
}

func holidaysByIDs(ctx context.Context, idb bun.IDB, ids []ident.ID) ([]*Holiday, error) {
	var rows []*Holiday
	if len(ids) == 0 {
		return rows, nil
	}
	err := idb.NewSelect().Model(&rows).Where("holiday.id IN (?)", bun.List(ids)).Scan(ctx)
	return rows, err
}

func listHolidays(ctx context.Context, db *database.DB, pq page.Query, f HolidayFilter) (*page.Connection[*Holiday], error) {
	base := func(rows any) *bun.SelectQuery {
		q := db.Read().NewSelect().Model(rows)
		if f.Since != nil {
			q = q.Where("holiday.date >= ?", *f.Since)
		}
		if f.Until != nil {
			q = q.Where("holiday.date < ?", *f.Until)
		}
		return q
	}
	var rows []*Holiday
	if err := database.Keyset(base(&rows), pq, "holiday.id").Scan(ctx); err != nil {
		return nil, err
	}
	return page.Build(pq, rows, func(h *Holiday) (any, ident.ID) { return h.Date, h.ID }, func(ctx context.Context) (int, error) {
		return database.CountCapped(ctx, db.Read(), base((*Holiday)(nil)))
	}), nil
}

func insertMove(ctx context.Context, tx *database.Tx, m *Move) error {
	_, err := tx.NewInsert().Model(m).Exec(ctx)
	return err
}

func moveOf(ctx context.Context, idb bun.IDB, version int) (*Move, error) {
	return scanMove(ctx, new(Move), idb.NewSelect(), version)
}

func lockMove(ctx context.Context, tx *database.Tx, version int) (*Move, error) {
	return scanMove(ctx, new(Move), tx.Lock(tx.NewSelect()), version)
}

// scanMove is nil where there is no such move.
func scanMove(ctx context.Context, m *Move, q *bun.SelectQuery, version int) (*Move, error) {
	err := q.Model(m).Where("calendar_move.version = ?", version).Scan(ctx)
	if database.IsNoRows(err) {
		return nil, nil
	}
	return m, err
}

func saveMove(ctx context.Context, tx *database.Tx, m *Move) error {
	_, err := tx.NewUpdate().Model(m).Column("done", "mover", "cursor_id", "moved", "total", "finished_at").WherePK().Exec(ctx)
	return err
}
