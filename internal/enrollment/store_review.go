package enrollment

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/schema"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/address"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/page"
)

// The queue's expressions, as its indexes have them. A row has no NULL in what
// it is sorted or found by.
const (
	submittedAt = "coalesce(enrollment.submitted_at, enrollment.created_at)"
	assignee    = "coalesce(enrollment.assignee_id, '')"
)

// match is one way in which an enrollment can match a search: a column, stored
// folded and compared by bytes, begins with a text. Unlike LIKE that is a
// range, which both engines look up in an index.
type match struct{ column, text string }

func (m match) in(column string) schema.QueryAppender {
	return bun.SafeQuery("("+column+" >= ? AND "+column+" < ?)", m.text, m.text+"\U0010FFFF")
}

// manyMatches is where it stops being cheaper to sort all that matches than to
// read on in the order asked for until a page is full of matches.
const manyMatches = 1000

// ways are the conditions under which a search is answered. What is ordered by
// the column itself comes in order; otherwise few matches are looked up and
// sorted, and for many the order is read and the column hidden from the
// planner, since SQLite does not know how many they are.
func (m match) ways(order string) []schema.QueryAppender {
	if m.column == order {
		return []schema.QueryAppender{m.in(m.column)}
	}
	most := bun.SafeQuery("(SELECT count(*) FROM (SELECT 1 FROM enrollment WHERE ? LIMIT ?) AS matches)", m.in(m.column), manyMatches+1)
	return []schema.QueryAppender{
		bun.SafeQuery("(? AND ? <= ?)", m.in(m.column), most, manyMatches),
		bun.SafeQuery("(? AND ? > ?)", m.in("coalesce("+m.column+", '')"), most, manyMatches),
	}
}

// narrow applies a filter but for its statuses and its search.
func (f Filter) narrow(q *bun.SelectQuery, s access.Scope, now time.Time) *bun.SelectQuery {
	q = q.ApplyQueryBuilder(reach(s))
	if f.Purpose != nil {
		q = q.Where("enrollment.purpose = ?", *f.Purpose)
	}
	if f.Kind != nil {
		q = q.Where("enrollment.kind = ?", *f.Kind)
	}
	if f.Country != nil {
		q = q.Where("enrollment.country = ?", *f.Country)
	}
	if len(f.CheckOpen) > 0 {
		q = q.Where("EXISTS (SELECT 1 FROM enrollment_check AS c WHERE c.enrollment_id = enrollment.id AND c.kind IN (?) AND c.status NOT IN (?, ?))",
			bun.List(f.CheckOpen), CheckPassed, CheckFailed)
	}
	if f.AssigneeID != nil {
		q = q.Where(assignee+" = ?", *f.AssigneeID)
	}
	if f.Assigned != nil {
		switch *f.Assigned {
		case AssignedToMe:
			q = q.Where(assignee+" = ?", s.User())
		case AssignedToNo:
			q = q.Where(assignee + " = ''")
		case AssignedToAny:
			q = q.Where(assignee + " <> ''")
		}
	}
	if f.DueBefore != nil {
		q = q.Where("enrollment.until_at < ?", *f.DueBefore)
	}
	if f.Overdue != nil {
		if *f.Overdue {
			q = q.Where("enrollment.due_at <= ?", now)
		} else {
			q = q.Where("(enrollment.due_at IS NULL OR enrollment.due_at > ?)", now)
		}
	}
	return q
}

// statuses are those that a list is read by, nil for all at once. Whoever has
// an assignee in mind is answered status by status, since that is how the
// index has them; what is overdue is in review.
func (f Filter) statuses() []Status {
	switch {
	case len(f.Status) > 0:
		return f.Status
	case f.Overdue != nil && *f.Overdue:
		return []Status{InReview}
	case f.AssigneeID != nil, f.Assigned != nil:
		return Statuses
	}
	return nil
}

// searches are the conditions of a search in an order, of which an enrollment
// meets one; nil without a search.
func (f Filter) searches(order string) []schema.QueryAppender {
	if f.Search == nil || strings.TrimSpace(*f.Search) == "" {
		return nil
	}
	name := address.Fold(*f.Search)
	out := match{"enrollment.legal_name_folded", name}.ways(order)
	out = append(out, match{"enrollment.tenant_domain", strings.ToLower(strings.TrimSpace(*f.Search))}.ways(order)...)
	if bare := address.FoldCompany(*f.Search); bare != name { // names are stored without their legal form, which people type
		out = append(out, bun.SafeQuery("enrollment.legal_name_folded = ?", bare))
	}
	return out
}

// list reads a page. Each status, and each way to match a search, is read by
// itself, in the order asked for and no further than a page, so that an index
// answers whatever the number of rows; what comes of it is merged into one
// page. It is one statement all the same.
func list(ctx context.Context, db *database.DB, s access.Scope, pq page.Query, f Filter) (*page.Connection[*Enrollment], error) {
	now, statuses, searches := db.Now(), f.statuses(), f.searches(pq.Order.Column)
	arm := func(q *bun.SelectQuery, status, search int) *bun.SelectQuery {
		if len(statuses) > 0 {
			q = q.Where("enrollment.status = ?", statuses[status])
		}
		if len(searches) > 0 {
			q = q.Where("?", searches[search])
		}
		return database.Keyset(f.narrow(q, s, now), pq, "enrollment.id")
	}
	var rows []*Enrollment
	q := db.Read().NewSelect().Model(&rows)
	if len(statuses) < 2 && len(searches) == 0 {
		q = arm(q, 0, 0)
	} else {
		var arms []string
		var args []any
		for i := range max(1, len(statuses)) {
			for j := range max(1, len(searches)) {
				arms = append(arms, fmt.Sprintf("SELECT id, place FROM (?) AS arm_%d_%d", i, j))
				args = append(args, arm(db.Read().NewSelect().TableExpr("enrollment").ColumnExpr("enrollment.id, "+pq.Order.Column+" AS place"), i, j))
			}
		}
		merged := pq
		merged.HasCursor = false // the arms begin beyond it
		merged.Order.Column = "place"
		// UNION, since an enrollment may match by name and by domain
		picked := database.Keyset(db.Read().NewSelect().TableExpr("(?) AS picked", bun.SafeQuery(strings.Join(arms, " UNION "), args...)).Column("id"), merged, "id")
		merged.Order.Column = pq.Order.Column
		q = database.Keyset(q.Where("enrollment.id IN (?)", picked), merged, "enrollment.id")
	}
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("listing enrollments: %w", err)
	}
	key := func(e *Enrollment) (any, ident.ID) { return e.QueueAt, e.ID }
	switch pq.Order.Name {
	case string(ByName):
		key = func(e *Enrollment) (any, ident.ID) { return e.LegalNameFolded, e.ID }
	case string(BySubmitted):
		key = func(e *Enrollment) (any, ident.ID) { return e.submitted(), e.ID }
	}
	return page.Build(pq, rows, key, func(ctx context.Context) (int, error) {
		q := f.narrow(db.Read().NewSelect().Model((*Enrollment)(nil)), s, now)
		if statuses != nil {
			q = q.Where("enrollment.status IN (?)", bun.List(statuses))
		}
		if searches != nil {
			q = q.WhereGroup(" AND ", func(q *bun.SelectQuery) *bun.SelectQuery {
				for _, search := range searches {
					q = q.WhereOr("?", search)
				}
				return q
			})
		}
		return database.CountCapped(ctx, db.Read(), q)
	}), nil
}

// submitted is when an enrollment was submitted, or begun where it has not
// been yet.
func (e *Enrollment) submitted() time.Time {
	if e.SubmittedAt != nil {
		return *e.SubmittedAt
	}
	return e.CreatedAt
}

// running reads and holds the next enrollments whose clock runs, in the order
// of their ids.
func running(ctx context.Context, tx *database.Tx, after ident.ID, limit int) ([]*Enrollment, error) {
	var rows []*Enrollment
	err := tx.Lock(tx.NewSelect().Model(&rows).Where("enrollment.id > ?", after).Where("enrollment.status = ?", InReview).
		OrderExpr("enrollment.id").Limit(int64(limit))).Scan(ctx)
	return rows, err
}

// countRunning counts what running reads.
func countRunning(ctx context.Context, idb bun.IDB) (int, error) {
	n, err := idb.NewSelect().Model((*Enrollment)(nil)).Where("enrollment.status = ?", InReview).Count(ctx)
	return int(n), err
}

// datesOfChecks gives the checks that wait for the operator the date that the
// review has by now.
func datesOfChecks(ctx context.Context, tx *database.Tx, e *Enrollment) error {
	_, err := tx.NewUpdate().Model((*Check)(nil)).Set("due_at = ?", e.DueAt).Where("enrollment_id = ?", e.ID).Where("awaits = ?", Operator).Exec(ctx)
	return err
}

// releaseChecks leaves the checks as they stand, and nobody has to act on them
// any more.
func releaseChecks(ctx context.Context, tx *database.Tx, e *Enrollment) error {
	_, err := tx.NewUpdate().Model((*Check)(nil)).Set("awaits = ?", Nobody).Set("due_at = NULL").Where("enrollment_id = ?", e.ID).Exec(ctx)
	return err
}

// moved says that the enrollment is not any more where the reviewer saw it.
func moved() error { return fault.Conflict("enrollmentId", fault.CodeConflict) }
