package directory

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/address"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/desk"
	"github.com/channelgraph/channelgraph/internal/event"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/page"
	"github.com/channelgraph/channelgraph/internal/sla"
)

func reach(s access.Scope) access.Filter { return s.ByOrganization("profile_update.organization_id") }

func insertRequest(ctx context.Context, tx *database.Tx, r *Request) error {
	_, err := tx.NewInsert().Model(r).Exec(ctx)
	if database.IsUnique(err) { // two at the same moment
		return fault.Conflict("", CodeOpen)
	}
	if err != nil {
		return fmt.Errorf("filing a profile update: %w", err)
	}
	return told(ctx, tx, r)
}

// saveRequest writes a held request back, guarded by its version, and tells
// those who watch.
func saveRequest(ctx context.Context, tx *database.Tx, r *Request) error {
	r.Version++
	r.UpdatedAt = tx.Now
	res, err := tx.NewUpdate().Model(r).WherePK().Where("version = ?", r.Version-1).Exec(ctx)
	if err != nil {
		return fmt.Errorf("saving a profile update: %w", err)
	}
	n, err := res.RowsAffected()
	if err := stale(err, n); err != nil {
		return err
	}
	return told(ctx, tx, r)
}

func told(ctx context.Context, tx *database.Tx, r *Request) error {
	if err := onDesk(ctx, tx, r); err != nil {
		return err
	}
	return event.RecordFor(ctx, tx, event.ProfileUpdateChanged, r.ID, r.OrganizationID, "")
}

// onDesk keeps the operator's desk in step. While the provider has to act
// nothing is promised, unless it was broken before.
func onDesk(ctx context.Context, tx *database.Tx, r *Request) error {
	line := desk.Item{SubjectID: r.ID, Kind: desk.ProfileUpdate, OrganizationID: r.OrganizationID, Company: r.Company, NameFolded: address.Fold(r.Company),
		State: desk.Open, AssigneeID: r.AssigneeID, TargetAt: r.TargetAt, DueAt: r.DueAt, OpenedAt: r.CreatedAt}
	switch {
	case !r.Status.Open():
		return desk.Close(ctx, tx, r.ID)
	case r.Status == Waiting:
		line.State = desk.Waiting
		if r.DueAt != nil && r.DueAt.After(tx.Now) {
			line.TargetAt, line.DueAt = nil, nil
		}
	}
	return desk.Put(ctx, tx, line)
}

// lockRequest is nil where the request is absent or hidden.
func lockRequest(ctx context.Context, tx *database.Tx, s access.Scope, id ident.ID) (*Request, error) {
	row := new(Request)
	err := tx.Lock(tx.NewSelect().Model(row).Where("profile_update.id = ?", id).ApplyQueryBuilder(reach(s))).Scan(ctx)
	if database.IsNoRows(err) {
		return nil, nil
	}
	return row, err
}

// openOf reads and holds the open request of a provider; nil without one.
func openOf(ctx context.Context, tx *database.Tx, partner ident.ID) (*Request, error) {
	row := new(Request)
	err := tx.Lock(tx.NewSelect().Model(row).Where("profile_update.partner_id = ?", partner).
		Where("profile_update.status IN ('SUBMITTED', 'IN_REVIEW', 'WAITING_FOR_PARTNER', 'APPROVED')")).Scan(ctx)
	if database.IsNoRows(err) {
		return nil, nil
	}
	return row, err
}

// openOfMany reads the open requests of providers, by provider.
func openOfMany(ctx context.Context, idb bun.IDB, s access.Scope, partners []ident.ID) (map[ident.ID]*Request, error) {
	var rows []*Request
	err := idb.NewSelect().Model(&rows).Where("profile_update.partner_id IN (?)", bun.List(partners)).
		Where("profile_update.status IN ('SUBMITTED', 'IN_REVIEW', 'WAITING_FOR_PARTNER', 'APPROVED')").ApplyQueryBuilder(reach(s)).Scan(ctx)
	out := make(map[ident.ID]*Request, len(rows))
	for _, r := range rows {
		out[r.PartnerID] = r
	}
	return out, err
}

func byIDs(ctx context.Context, idb bun.IDB, s access.Scope, ids []ident.ID) ([]*Request, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	var rows []*Request
	err := idb.NewSelect().Model(&rows).Where("profile_update.id IN (?)", bun.List(ids)).ApplyQueryBuilder(reach(s)).Scan(ctx)
	return rows, err
}

// narrow applies a filter but for its statuses.
func (f Filter) narrow(q *bun.SelectQuery, s access.Scope, now time.Time) *bun.SelectQuery {
	q = q.ApplyQueryBuilder(reach(s))
	if f.PartnerID != nil {
		q = q.Where("profile_update.partner_id = ?", *f.PartnerID)
	}
	if f.AssigneeID != nil {
		q = q.Where("profile_update.assignee_id = ?", *f.AssigneeID)
	}
	if f.Assigned != nil {
		switch *f.Assigned {
		case AssignedToMe:
			q = q.Where("profile_update.assignee_id = ?", s.User())
		case AssignedToNo:
			q = q.Where("profile_update.assignee_id = ''")
		case AssignedToAny:
			q = q.Where("profile_update.assignee_id <> ''")
		}
	}
	if f.DueBefore != nil {
		q = q.Where("profile_update.queue_at < ?", *f.DueBefore)
	}
	if f.Breached != nil {
		if *f.Breached {
			q = q.Where("profile_update.queue_at <= ?", now)
		} else {
			q = q.Where("profile_update.queue_at > ?", now)
		}
	}
	return q
}

// statuses are those that a list is read by, nil for all at once. Who asks by
// assignee is answered status by status, as the index has them; what has a
// date, or a broken promise, the operator works on.
func (f Filter) statuses() []Status {
	switch {
	case len(f.Status) > 0:
		return f.Status
	case f.DueBefore != nil, f.Breached != nil:
		return []Status{Submitted, InReview, Approved}
	case f.AssigneeID != nil, f.Assigned != nil:
		return Statuses
	}
	return nil
}

// listRequests reads a page. Each status is read by itself, in the order asked
// for and no further than a page, so that an index answers whatever the number
// of rows; the pages are then merged. It is one statement all the same.
func listRequests(ctx context.Context, db *database.DB, s access.Scope, pq page.Query, f Filter) (*page.Connection[*Request], error) {
	now := db.Now()
	statuses := f.statuses()
	var rows []*Request
	q := db.Read().NewSelect().Model(&rows)
	if len(statuses) < 2 {
		if len(statuses) == 1 {
			q = q.Where("profile_update.status = ?", statuses[0])
		}
		q = database.Keyset(f.narrow(q, s, now), pq, "profile_update.id")
	} else {
		arms := make([]string, len(statuses))
		args := make([]any, len(statuses))
		for i, status := range statuses {
			arm := db.Read().NewSelect().TableExpr("profile_update").ColumnExpr("profile_update.id, "+pq.Order.Column+" AS place").
				Where("profile_update.status = ?", status)
			arms[i], args[i] = fmt.Sprintf("SELECT id, place FROM (?) AS of_%d", i), database.Keyset(f.narrow(arm, s, now), pq, "profile_update.id")
		}
		first := pq
		first.HasCursor = false // the arms begin beyond it
		first.Order.Column = "place"
		picked := database.Keyset(db.Read().NewSelect().TableExpr("(?) AS picked", bun.SafeQuery(strings.Join(arms, " UNION ALL "), args...)).Column("id"), first, "id")
		first.Order.Column = pq.Order.Column
		q = database.Keyset(q.Where("profile_update.id IN (?)", picked), first, "profile_update.id")
	}
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("listing profile updates: %w", err)
	}
	key := func(r *Request) (any, ident.ID) { return r.QueueAt, r.ID }
	if pq.Order.Name == string(ByCreated) {
		key = func(r *Request) (any, ident.ID) { return r.CreatedAt, r.ID }
	}
	return page.Build(pq, rows, key, func(ctx context.Context) (int, error) {
		q := f.narrow(db.Read().NewSelect().Model((*Request)(nil)), s, now)
		if statuses != nil {
			q = q.Where("profile_update.status IN (?)", bun.List(statuses))
		}
		return database.CountCapped(ctx, db.Read(), q)
	}), nil
}

// runningRequests reads and holds the next requests whose clock runs, in the
// order of their ids.
func runningRequests(ctx context.Context, tx *database.Tx, after ident.ID, limit int) ([]*Request, error) {
	var rows []*Request
	err := tx.Lock(tx.NewSelect().Model(&rows).Where("profile_update.id > ?", after).
		Where("profile_update.status IN (?)", bun.List([]Status{Submitted, InReview, Approved})).OrderExpr("profile_update.id").Limit(int64(limit))).Scan(ctx)
	return rows, err
}

// countRunning counts what runningRequests reads.
func countRunning(ctx context.Context, idb bun.IDB) (int, error) {
	n, err := idb.NewSelect().Model((*Request)(nil)).Where("profile_update.status IN (?)", bun.List([]Status{Submitted, InReview, Approved})).Count(ctx)
	return int(n), err
}

// overdue lists the requests whose next moment has passed unseen.
func overdue(ctx context.Context, tx *database.Tx, before time.Time, limit int64) ([]ident.ID, error) {
	var ids []ident.ID
	err := tx.NewSelect().Model((*Request)(nil)).Column("id").Where("next_action_at IS NOT NULL AND next_action_at < ?", before).
		OrderExpr("next_action_at").Limit(limit).Scan(ctx, &ids)
	return ids, err
}

// ---- Questions and the timeline

func insertQuestion(ctx context.Context, tx *database.Tx, q *Question) error {
	_, err := tx.NewInsert().Model(q).Exec(ctx)
	return err
}

// lastQuestion is the question that waits for an answer.
func lastQuestion(ctx context.Context, tx *database.Tx, request ident.ID) (*Question, error) {
	q := new(Question)
	err := tx.NewSelect().Model(q).Where("question.profile_update_id = ?", request).OrderExpr("question.number DESC").Limit(1).Scan(ctx)
	if database.IsNoRows(err) {
		return nil, nil
	}
	return q, err
}

func answer(ctx context.Context, tx *database.Tx, q *Question) error {
	_, err := tx.NewUpdate().Model(q).Column("answer", "answered_by_id", "answered_at").WherePK().Exec(ctx)
	return err
}

func questionsOf(ctx context.Context, idb bun.IDB, ids []ident.ID) (map[ident.ID][]*Question, error) {
	out := map[ident.ID][]*Question{}
	if len(ids) == 0 {
		return out, nil
	}
	var rows []*Question
	err := idb.NewSelect().Model(&rows).Where("question.profile_update_id IN (?)", bun.List(ids)).
		OrderExpr("question.profile_update_id, question.number").Scan(ctx)
	for _, q := range rows {
		out[q.ProfileUpdateID] = append(out[q.ProfileUpdateID], q)
	}
	return out, err
}

func insertEntry(ctx context.Context, tx *database.Tx, n *Entry) error {
	_, err := tx.NewInsert().Model(n).Exec(ctx)
	return err
}

func entriesOf(ctx context.Context, idb bun.IDB, ids []ident.ID, internal bool) (map[ident.ID][]*Entry, error) {
	out := map[ident.ID][]*Entry{}
	if len(ids) == 0 {
		return out, nil
	}
	var rows []*Entry
	q := idb.NewSelect().Model(&rows).Where("entry.profile_update_id IN (?)", bun.List(ids))
	if !internal {
		q = q.Where("NOT entry.operator_only")
	}
	err := q.OrderExpr("entry.profile_update_id, entry.number").Scan(ctx)
	for _, n := range rows {
		out[n.ProfileUpdateID] = append(out[n.ProfileUpdateID], n)
	}
	return out, err
}

// ---- The report

// report counts what ended in each month of a range; a month without any has
// no line.
func report(ctx context.Context, idb bun.IDB, from, to string) ([]*Month, error) {
	ended := idb.NewSelect().TableExpr("profile_update").ColumnExpr("month, outcome, worked").
		ColumnExpr("row_number() OVER (PARTITION BY month ORDER BY worked, id) AS place").
		ColumnExpr("count(*) OVER (PARTITION BY month) AS size").
		Where("outcome <> ''").Where("month BETWEEN ? AND ?", from, to)
	rows := []*Month{}
	err := idb.NewSelect().TableExpr("(?) AS ended", ended).ColumnExpr("month").
		ColumnExpr("sum(CASE WHEN outcome = ? THEN 1 ELSE 0 END) AS met", sla.Met).
		ColumnExpr("sum(CASE WHEN outcome = ? THEN 1 ELSE 0 END) AS breached", sla.Breached).
		// The median is the mean of the two in the middle, or twice the same one.
		ColumnExpr("(min(CASE WHEN place >= (size + 1) / 2 THEN worked END) + min(CASE WHEN place >= (size + 2) / 2 THEN worked END)) / 2 AS median").
		GroupExpr("month").OrderExpr("month").Scan(ctx, &rows)
	if err != nil {
		return nil, fmt.Errorf("reporting on profile updates: %w", err)
	}
	return rows, nil
}
