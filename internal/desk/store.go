package desk

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/schema"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/page"
)

// Put writes the line of a subject, in the transaction that changes the
// subject. What was opened first stays the beginning of the line.
func Put(ctx context.Context, tx *database.Tx, i Item) error {
	i.ClosedAt, i.Version, i.UpdatedAt = nil, 1, tx.Now
	if i.State == Done {
		i.ClosedAt = &tx.Now
	}
	i.QueueAt = i.place(tx.Now)
	q := tx.NewInsert().Model(&i).On("CONFLICT (subject_id) DO UPDATE")
	for _, c := range []string{"company", "name_folded", "state", "assignee_id", "target_at", "due_at", "queue_at", "closed_at", "updated_at"} {
		q = q.Set("? = EXCLUDED.?", bun.Ident(c), bun.Ident(c))
	}
	if _, err := q.Set("version = desk.version + 1").Exec(ctx); err != nil {
		return fmt.Errorf("writing a line of the desk: %w", err)
	}
	return nil
}

// Close ends the line of a subject, if there is one that is not done.
func Close(ctx context.Context, tx *database.Tx, subject ident.ID) error {
	var i Item
	err := tx.Lock(tx.NewSelect().Model(&i).Where("desk.subject_id = ?", subject).Where("desk.state <> ?", Done)).Scan(ctx)
	if database.IsNoRows(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("closing a line of the desk: %w", err)
	}
	i.State = Done
	return Put(ctx, tx, i)
}

// Rename gives the lines of an organization the company's new name.
func Rename(ctx context.Context, tx *database.Tx, organization ident.ID, company, folded string) error {
	_, err := tx.NewUpdate().Model((*Item)(nil)).Set("company = ?", company).Set("name_folded = ?", folded).
		Where("organization_id = ?", organization).Where("name_folded <> ?", folded).Exec(ctx)
	if err != nil {
		return fmt.Errorf("renaming lines of the desk: %w", err)
	}
	return nil
}

// List is a page of the desk. Errors: ROLE_REQUIRED, those of paging, those of
// the search's text at filter.search.
func List(ctx context.Context, db *database.DB, actor access.Actor, args page.Args, o *Order, f Filter) (*page.Connection[*Item], error) {
	if err := actor.Require(access.PermDeskRead); err != nil {
		return nil, err
	}
	if err := f.validate(); err != nil {
		return nil, err
	}
	pq, err := args.Resolve(o.resolve(), f)
	if err != nil {
		return nil, err
	}
	return list(ctx, db, actor.Scope(), pq, f)
}

// narrow applies a filter but for its kinds, states and search.
func (f Filter) narrow(q *bun.SelectQuery, s access.Scope, now time.Time) *bun.SelectQuery {
	q = q.ApplyQueryBuilder(s.ByOrganization("desk.organization_id"))
	if f.AssigneeID != nil {
		q = q.Where("desk.assignee_id = ?", *f.AssigneeID)
	}
	if f.Assigned != nil {
		who := s.User()
		if *f.Assigned == ToNobody {
			who = ""
		}
		q = q.Where("desk.assignee_id = ?", who)
	}
	if f.OrganizationID != nil {
		q = q.Where("desk.organization_id = ?", *f.OrganizationID)
	}
	if f.Breached != nil {
		op := ">"
		if *f.Breached {
			op = "<="
		}
		q = q.Where("desk.queue_at "+op+" ?", now)
	}
	return q
}

// manyMatches is where it stops being cheaper to sort all that a search
// matches than to read on in the order asked for until a page is full.
const manyMatches = 100

// begins is the condition that a name begins with a text. Names are folded and
// compared by bytes, so it is a range, which both engines look up in an index.
func begins(column, text string) schema.QueryAppender {
	return bun.SafeQuery("("+column+" >= ? AND "+column+" < ?)", text, text+"\U0010FFFF")
}

// common reports whether too many names begin with a text to sort them all.
func common(ctx context.Context, idb bun.IDB, text string) (bool, error) {
	if text == "" {
		return false, nil
	}
	var n int
	q := idb.NewSelect().TableExpr("desk_item AS desk").ColumnExpr("1").Where("?", begins("desk.name_folded", text)).Limit(manyMatches + 1)
	err := idb.NewSelect().TableExpr("(?) AS matches", q).ColumnExpr("count(*)").Scan(ctx, &n)
	return n > manyMatches, err
}

// list reads a page. Each state of each kind is read by itself, in the order
// asked for and no further than a page, so that an index answers whatever the
// number of lines; what comes of it is merged into one page. It is one
// statement all the same. A search takes one more, to learn whether it matches
// few lines, which are looked up by name instead and sorted.
func list(ctx context.Context, db *database.DB, s access.Scope, pq page.Query, f Filter) (*page.Connection[*Item], error) {
	now, text := db.Now(), f.search()
	byName := pq.Order.Name == string(ByName)
	many, err := common(ctx, db.Read(), text)
	if err != nil {
		return nil, fmt.Errorf("searching the desk: %w", err)
	}
	var arms []string
	var args []any
	arm := func(conditions ...schema.QueryAppender) {
		q := f.narrow(db.Read().NewSelect().TableExpr("desk_item AS desk").ColumnExpr("desk.subject_id, "+pq.Order.Column+" AS place"), s, now)
		for _, c := range conditions {
			q = q.Where("?", c)
		}
		arms = append(arms, fmt.Sprintf("SELECT subject_id, place FROM (?) AS arm_%d", len(arms)))
		args = append(args, database.Keyset(q, pq, "desk.subject_id"))
	}
	if text != "" && !many && !byName {
		// kind and state are hidden from the planner, which would begin with them
		arm(bun.SafeQuery("coalesce(desk.kind, '') IN (?) AND coalesce(desk.state, '') IN (?)", bun.List(f.kinds()), bun.List(f.states())),
			begins("desk.name_folded", text))
	} else {
		name := "desk.name_folded"
		if !byName { // the name is hidden from the planner, which would begin with it
			name = "coalesce(desk.name_folded, '')"
		}
		for _, k := range f.kinds() {
			for _, state := range f.states() {
				of := []schema.QueryAppender{bun.SafeQuery("desk.kind = ? AND desk.state = ?", k, state)}
				if text != "" {
					of = append(of, begins(name, text))
				}
				arm(of...)
			}
		}
	}
	merged := pq
	merged.HasCursor = false // the arms begin beyond it
	merged.Order.Column = "place"
	picked := database.Keyset(db.Read().NewSelect().TableExpr("(?) AS picked", bun.SafeQuery(strings.Join(arms, " UNION ALL "), args...)).
		Column("subject_id"), merged, "subject_id")
	merged.Order.Column = pq.Order.Column
	rows := []*Item{}
	q := database.Keyset(db.Read().NewSelect().Model(&rows).Where("desk.subject_id IN (?)", picked), merged, "desk.subject_id")
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("listing the desk: %w", err)
	}
	key := func(i *Item) (any, ident.ID) { return i.QueueAt, i.SubjectID }
	switch pq.Order.Name {
	case string(ByOpened):
		key = func(i *Item) (any, ident.ID) { return i.OpenedAt, i.SubjectID }
	case string(ByName):
		key = func(i *Item) (any, ident.ID) { return i.NameFolded, i.SubjectID }
	}
	return page.Build(pq, rows, key, func(ctx context.Context) (int, error) {
		q := f.narrow(db.Read().NewSelect().Model((*Item)(nil)), s, now).
			Where("desk.kind IN (?)", bun.List(f.kinds())).Where("desk.state IN (?)", bun.List(f.states()))
		if text != "" {
			q = q.Where("?", begins("desk.name_folded", text))
		}
		return database.CountCapped(ctx, db.Read(), q)
	}), nil
}

// Count tells how much there is on the desk, in one statement whose cost is
// bounded: each number is counted to page.CountCap. Error: ROLE_REQUIRED.
func Count(ctx context.Context, db *database.DB, actor access.Actor) (*Counts, error) {
	if err := actor.Require(access.PermDeskRead); err != nil {
		return nil, err
	}
	now, s := db.Now(), actor.Scope()
	of := func(k Kind, condition string, args ...any) schema.QueryAppender {
		q := db.Read().NewSelect().TableExpr("desk_item AS desk").ColumnExpr("1").ApplyQueryBuilder(s.ByOrganization("desk.organization_id")).
			Where("desk.kind = ?", k).Where(condition, args...).Limit(page.CountCap + 1)
		return bun.SafeQuery("(SELECT count(*) FROM (?) AS counted)", q)
	}
	const each = 5
	var parts []string
	var args []any
	for _, k := range Kinds {
		for _, n := range [each]schema.QueryAppender{
			of(k, "desk.state = ?", Open), of(k, "desk.state = ?", Waiting),
			of(k, "desk.state IN (?) AND desk.assignee_id = ?", bun.List(unfinished), actor.UserID),
			of(k, "desk.state IN (?) AND desk.assignee_id = ''", bun.List(unfinished)),
			of(k, "desk.state IN (?) AND desk.queue_at <= ?", bun.List(unfinished), now),
		} {
			parts = append(parts, fmt.Sprintf("SELECT %d AS place, ? AS n", len(parts)))
			args = append(args, n)
		}
	}
	var ns []int
	err := db.Read().NewSelect().TableExpr("(?) AS counts", bun.SafeQuery(strings.Join(parts, " UNION ALL "), args...)).Column("n").OrderExpr("place").Scan(ctx, &ns)
	if err != nil {
		return nil, fmt.Errorf("counting the desk: %w", err)
	}
	var all [each]int
	out := &Counts{}
	for i, k := range Kinds {
		of := ns[each*i : each*(i+1)]
		for j, n := range of {
			all[j] += n
		}
		out.ByKind = append(out.ByKind, tally(k, of))
	}
	out.All = tally("", all[:])
	return out, nil
}

func tally(k Kind, ns []int) *Tally {
	var cs [5]page.Count
	for i, n := range ns {
		cs[i] = page.Capped(n)
	}
	return &Tally{Kind: k, Open: &cs[0], Waiting: &cs[1], Mine: &cs[2], Unassigned: &cs[3], Breached: &cs[4]}
}
