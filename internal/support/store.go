package support

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/desk"
	"github.com/channelgraph/channelgraph/internal/event"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/page"
)

func reach(s access.Scope) access.Filter { return s.ByOrganization("support_request.organization_id") }

func insert(ctx context.Context, tx *database.Tx, r *Request) error {
	if _, err := tx.NewInsert().Model(r).Exec(ctx); err != nil {
		return fmt.Errorf("writing a support request: %w", err)
	}
	return told(ctx, tx, r, "")
}

// save writes a held request back, guarded by its version, and tells those who
// watch: both sides, or with an organization that one alone.
func save(ctx context.Context, tx *database.Tx, r *Request, only ident.ID) error {
	r.Version++
	r.UpdatedAt = tx.Now
	res, err := tx.NewUpdate().Model(r).WherePK().Where("version = ?", r.Version-1).Exec(ctx)
	if err != nil {
		return fmt.Errorf("saving a support request: %w", err)
	}
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		return orElse(err, fault.Conflict("", fault.CodeConflict))
	}
	return told(ctx, tx, r, only)
}

// told keeps the operator's desk in step, and tells those who watch.
func told(ctx context.Context, tx *database.Tx, r *Request, only ident.ID) error {
	line := desk.Item{SubjectID: r.ID, Kind: desk.SupportRequest, OrganizationID: r.OrganizationID, Company: r.Company, NameFolded: r.NameFolded,
		State: desk.Open, AssigneeID: r.AssigneeID, OpenedAt: r.CreatedAt}
	switch {
	case r.Status == Closed:
		line.State = desk.Done
	case r.Status == AttentionNeeded:
		line.State = desk.Waiting
	case r.running():
		line.TargetAt, line.DueAt = r.TargetAt, r.DueAt
	}
	if err := desk.Put(ctx, tx, line); err != nil {
		return err
	}
	if only == "" {
		only = r.OrganizationID
	}
	return event.RecordFor(ctx, tx, event.SupportRequestChanged, r.ID, only, "")
}

// lock is nil where the request is absent or hidden.
func lock(ctx context.Context, tx *database.Tx, s access.Scope, id ident.ID) (*Request, error) {
	row := new(Request)
	err := tx.Lock(tx.NewSelect().Model(row).Where("support_request.id = ?", id).ApplyQueryBuilder(reach(s))).Scan(ctx)
	if database.IsNoRows(err) {
		return nil, nil
	}
	return row, err
}

// byLink is nil where nothing that the scope sees has the link.
func byLink(ctx context.Context, idb bun.IDB, s access.Scope, hash string) (*Request, error) {
	row := new(Request)
	err := idb.NewSelect().Model(row).Where("support_request.link_hash = ?", hash).ApplyQueryBuilder(reach(s)).Scan(ctx)
	if database.IsNoRows(err) {
		return nil, nil
	}
	return row, err
}

func byIDs(ctx context.Context, idb bun.IDB, s access.Scope, ids []ident.ID) ([]*Request, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	var rows []*Request
	err := idb.NewSelect().Model(&rows).Where("support_request.id IN (?)", bun.List(ids)).ApplyQueryBuilder(reach(s)).Scan(ctx)
	return rows, err
}

// countOpen counts the requests of a held organization that are not closed.
func countOpen(ctx context.Context, tx *database.Tx, organization ident.ID) (int, error) {
	n, err := tx.NewSelect().Model((*Request)(nil)).Where("organization_id = ?", organization).Where("status <> 'CLOSED'").Count(ctx)
	return int(n), err
}

// unanswered reads and holds the next requests whose promise runs, in the
// order of their ids.
func unanswered(ctx context.Context, tx *database.Tx, after ident.ID, limit int) ([]*Request, error) {
	var rows []*Request
	err := tx.Lock(tx.NewSelect().Model(&rows).Where("support_request.id > ?", after).
		Where("support_request.status <> 'CLOSED' AND support_request.answered_at IS NULL").OrderExpr("support_request.id").Limit(int64(limit))).Scan(ctx)
	return rows, err
}

// countUnanswered counts what unanswered reads.
func countUnanswered(ctx context.Context, idb bun.IDB) (int, error) {
	n, err := idb.NewSelect().Model((*Request)(nil)).Where("status <> 'CLOSED' AND answered_at IS NULL").Count(ctx)
	return int(n), err
}

// overdue lists the requests whose next moment has passed unseen.
func overdue(ctx context.Context, tx *database.Tx, before time.Time, limit int64) ([]ident.ID, error) {
	var ids []ident.ID
	err := tx.NewSelect().Model((*Request)(nil)).Column("id").Where("next_action_at IS NOT NULL AND next_action_at < ?", before).
		OrderExpr("next_action_at").Limit(limit).Scan(ctx, &ids)
	return ids, err
}

func list(ctx context.Context, db *database.DB, s access.Scope, pq page.Query, f Filter) (*page.Connection[*Request], error) {
	base := func(model any) *bun.SelectQuery {
		q := db.Read().NewSelect().Model(model).ApplyQueryBuilder(reach(s))
		if len(f.Status) > 0 {
			q = q.Where("support_request.status IN (?)", bun.List(f.Status))
		}
		if len(f.Kind) > 0 {
			q = q.Where("support_request.kind IN (?)", bun.List(f.Kind))
		}
		if len(f.Severity) > 0 {
			q = q.Where("support_request.severity IN (?)", bun.List(f.Severity))
		}
		if f.OrganizationID != nil {
			q = q.Where("support_request.organization_id = ?", *f.OrganizationID)
		}
		if f.AboutID != nil {
			q = q.Where("support_request.subject_id = ? AND support_request.subject_id <> ''", *f.AboutID)
		}
		return q
	}
	var rows []*Request
	if err := database.Keyset(base(&rows), pq, "support_request.id").Scan(ctx); err != nil {
		return nil, fmt.Errorf("listing support requests: %w", err)
	}
	key := func(r *Request) (any, ident.ID) { return r.ActivityAt, r.ID }
	if pq.Order.Name == string(ByCreated) {
		key = func(r *Request) (any, ident.ID) { return r.CreatedAt, r.ID }
	}
	return page.Build(pq, rows, key, func(ctx context.Context) (int, error) {
		return database.CountCapped(ctx, db.Read(), base((*Request)(nil)))
	}), nil
}

// insertEntry writes a line of a held request's thread under its next number.
func insertEntry(ctx context.Context, tx *database.Tx, n *Entry) error {
	_, err := tx.NewInsert().Model(n).
		Value("number", "(SELECT coalesce(max(l.number), 0) + 1 FROM support_entry AS l WHERE l.request_id = ?)", n.RequestID).
		Returning("NULL").Exec(ctx)
	if err != nil {
		return fmt.Errorf("writing a thread: %w", err)
	}
	return nil
}

// entriesOf reads the threads of requests in order, which the caller may see;
// the operator's own lines only where they are asked for.
func entriesOf(ctx context.Context, idb bun.IDB, ids []ident.ID, internal bool) (map[ident.ID][]*Entry, error) {
	out := map[ident.ID][]*Entry{}
	if len(ids) == 0 {
		return out, nil
	}
	var rows []*Entry
	q := idb.NewSelect().Model(&rows).Where("entry.request_id IN (?)", bun.List(ids))
	if !internal {
		q = q.Where("NOT entry.operator_only")
	}
	if err := q.OrderExpr("entry.request_id, entry.number").Scan(ctx); err != nil {
		return nil, fmt.Errorf("reading threads: %w", err)
	}
	for _, n := range rows {
		out[n.RequestID] = append(out[n.RequestID], n)
	}
	return out, nil
}

func orElse(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}
