package order

import (
	"context"
	"time"

	"github.com/uptrace/bun"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/customer"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/event"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/page"
)

// reach limits a query over orders, under an alias, to those of the actor's
// partner: a seller's own, and what was really ordered through a reseller as
// long as that has the customer.
func reach(s access.Scope, alias string) access.Filter {
	return func(q bun.QueryBuilder) bun.QueryBuilder {
		if s.All() {
			return q
		}
		if s.Partner() == "" {
			return q.Where("1 = 0")
		}
		return q.WhereGroup(" AND ", func(q bun.QueryBuilder) bun.QueryBuilder {
			return q.Where("?.seller_id = ?", bun.Ident(alias), s.Partner()).WhereGroup(" OR ", func(q bun.QueryBuilder) bun.QueryBuilder {
				q = q.Where("?0.reseller_id = ?1 AND ?0.status NOT IN ('DRAFT', 'CANCELLED')", bun.Ident(alias), s.Partner())
				return customer.Visible(s, alias+".customer_id")(q)
			})
		})
	}
}

func byIDs(ctx context.Context, idb bun.IDB, s access.Scope, ids []ident.ID) (map[ident.ID]*Order, error) {
	out := map[ident.ID]*Order{}
	if len(ids) == 0 {
		return out, nil
	}
	var rows []*Order
	err := idb.NewSelect().Model(&rows).Where("customer_order.id IN (?)", bun.List(ids)).ApplyQueryBuilder(reach(s, "customer_order")).Scan(ctx)
	for _, o := range rows {
		out[o.ID] = o
	}
	return out, err
}

// lock reads an order with its lines and holds it.
func lock(ctx context.Context, tx *database.Tx, s access.Scope, id ident.ID) (*Order, error) {
	var orders []*Order
	var lines []*Line
	err := tx.Select(database.Prepared(ctx), tx.Lock(tx.NewSelect().Model(&orders).Where("customer_order.id = ?", id).ApplyQueryBuilder(reach(s, "customer_order"))),
		tx.NewSelect().Model(&lines).Where("order_line.order_id = ?", id).OrderExpr("order_line.number"))
	if err != nil || len(orders) == 0 {
		return nil, err
	}
	orders[0].Lines = lines
	return orders[0], nil
}

// orderOf is the order of a line, "" where there is none.
func orderOf(ctx context.Context, tx *database.Tx, line ident.ID) (ident.ID, error) {
	var id ident.ID
	err := tx.NewSelect().Model((*Line)(nil)).Column("order_id").Where("order_line.id = ?", line).Scan(ctx, &id)
	if database.IsNoRows(err) {
		return "", nil
	}
	return id, err
}

// linesOf reads the lines of orders inside a scope, in their places, by order.
func linesOf(ctx context.Context, idb bun.IDB, s access.Scope, orders []ident.ID) (map[ident.ID][]*Line, error) {
	out := map[ident.ID][]*Line{}
	rows, err := lines(ctx, idb, s, "order_line.order_id", orders)
	for _, l := range rows {
		out[l.OrderID] = append(out[l.OrderID], l)
	}
	return out, err
}

func linesByIDs(ctx context.Context, idb bun.IDB, s access.Scope, ids []ident.ID) (map[ident.ID]*Line, error) {
	out := map[ident.ID]*Line{}
	rows, err := lines(ctx, idb, s, "order_line.id", ids)
	for _, l := range rows {
		out[l.ID] = l
	}
	return out, err
}

func lines(ctx context.Context, idb bun.IDB, s access.Scope, column string, ids []ident.ID) ([]*Line, error) {
	var rows []*Line
	if len(ids) == 0 {
		return rows, nil
	}
	err := idb.NewSelect().Model(&rows).Join("JOIN customer_order AS parent ON parent.id = order_line.order_id").
		Where("? IN (?)", bun.Ident(column), bun.List(ids)).ApplyQueryBuilder(reach(s, "parent")).
		OrderExpr("order_line.order_id, order_line.number").Scan(ctx)
	return rows, err
}

func insert(ctx context.Context, tx *database.Tx, o *Order) error {
	if _, err := tx.NewInsert().Model(o).Exec(ctx); err != nil {
		return err
	}
	if err := insertLines(ctx, tx, o); err != nil {
		return err
	}
	return tell(ctx, tx, o)
}

// save writes an order that lock holds: nobody else can have changed it, so
// nobody waits for the statement.
func save(ctx context.Context, tx *database.Tx, o *Order) error {
	o.Version++
	o.UpdatedAt = tx.Now
	if _, err := tx.NewUpdate().Model(o).WherePK().Exec(database.Later(database.Prepared(ctx))); err != nil {
		return err
	}
	return tell(ctx, tx, o)
}

// tell lets the watchers know; those of a reseller once there is something for
// them to see.
func tell(ctx context.Context, tx *database.Tx, o *Order) error {
	other := o.ResellerID
	if o.Status == Draft || o.Status == Cancelled {
		other = ""
	}
	return event.Record(ctx, tx, event.OrderChanged, o.ID, o.SellerID, other)
}

func insertLines(ctx context.Context, tx *database.Tx, o *Order) error {
	if len(o.Lines) == 0 {
		return nil
	}
	_, err := tx.NewInsert().Model(&o.Lines).Exec(database.Later(ctx))
	return err
}

func dropLines(ctx context.Context, tx *database.Tx, o *Order) error {
	_, err := tx.NewDelete().Model((*Line)(nil)).Where("order_id = ?", o.ID).Exec(database.Later(ctx))
	o.Lines = nil
	return err
}

// saveLines writes what review, submission and provisioning change of lines, in
// one statement.
func saveLines(ctx context.Context, tx *database.Tx, ls ...*Line) error {
	if len(ls) == 0 {
		return nil
	}
	q := tx.NewInsert().Model(&ls).On("CONFLICT (id) DO UPDATE")
	for _, c := range []string{"offer_name", "auto_renew", "unit_price", "currency", "status", "subscription_id", "operation_id", "attempt", "failure_code", "updated_at"} {
		q = q.Set("? = ?", bun.Ident(c), bun.Ident("excluded."+c))
	}
	for _, l := range ls {
		l.UpdatedAt = tx.Now
	}
	_, err := q.Exec(database.Later(ctx))
	return err
}

// overdue lists drafts whose time is over.
func overdue(ctx context.Context, idb bun.IDB, now time.Time, limit int) ([]ident.ID, error) {
	var ids []ident.ID
	err := idb.NewSelect().Model((*Order)(nil)).Column("id").Where("status = 'DRAFT'").Where("expires_at <= ?", now).
		OrderExpr("expires_at, id").Limit(int64(limit)).Scan(ctx, &ids)
	return ids, err
}

// forgotten lists lines that wait for a job which is over, after a moment of
// rest: their worker was killed too often to say so itself.
func forgotten(ctx context.Context, idb bun.IDB, before time.Time, limit int) ([]*Line, error) {
	var rows []*Line
	err := idb.NewSelect().Model(&rows).Where("order_line.status IN ('PENDING', 'PROVISIONING')").Where("order_line.updated_at <= ?", before).
		Where("NOT EXISTS (SELECT 1 FROM job WHERE job.id = order_line.operation_id AND job.state IN ('pending', 'queued', 'running'))").
		OrderExpr("order_line.updated_at, order_line.id").Limit(int64(limit)).Scan(ctx)
	return rows, err
}

// waiting lists failed lines that nobody tried again since a moment.
func waiting(ctx context.Context, idb bun.IDB, since time.Time, limit int) ([]*Line, error) {
	var rows []*Line
	err := idb.NewSelect().Model(&rows).Where("order_line.status = 'FAILED'").Where("order_line.updated_at <= ?", since).
		OrderExpr("order_line.updated_at, order_line.id").Limit(int64(limit)).Scan(ctx)
	return rows, err
}

func list(ctx context.Context, db *database.DB, s access.Scope, pq page.Query, f Filter) (*page.Connection[*Order], error) {
	base := func(model any) *bun.SelectQuery {
		q := db.Read().NewSelect().Model(model).ApplyQueryBuilder(reach(s, "customer_order"))
		if len(f.Status) > 0 {
			q = q.Where("customer_order.status IN (?)", bun.List(f.Status))
		}
		if f.CustomerID != nil {
			q = q.Where("customer_order.customer_id = ? AND customer_order.customer_id <> ''", *f.CustomerID)
		}
		if f.ResellerID != nil {
			q = q.Where("customer_order.reseller_id = ? AND customer_order.reseller_id <> ''", *f.ResellerID)
		}
		return q
	}
	var rows []*Order
	if err := database.Keyset(base(&rows), pq, "customer_order.id").Scan(ctx); err != nil {
		return nil, err
	}
	return page.Build(pq, rows, func(o *Order) (any, ident.ID) { return o.CreatedAt, o.ID }, func(ctx context.Context) (int, error) {
		return database.CountCapped(ctx, db.Read(), base((*Order)(nil)))
	}), nil
}
