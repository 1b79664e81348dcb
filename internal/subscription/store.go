package subscription

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/address"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/page"
	"github.com/channelgraph/channelgraph/internal/partnership"
	"github.com/channelgraph/channelgraph/internal/rollup"
)

// hasPartner is the condition that a subscription's customer has a relationship
// with a partner now.
const hasPartner = "EXISTS (SELECT 1 FROM relationship AS related WHERE related.customer_id = product_subscription.customer_id " +
	"AND related.partner_id = ?0 AND related.status = 'ACTIVE')"

// branches are the ways in which a scope sees subscriptions, each a condition
// of its own that an index answers; no subscription is in two of them.
func branches(s access.Scope) []access.Filter {
	where := func(condition string, id ident.ID) access.Filter {
		return func(q bun.QueryBuilder) bun.QueryBuilder { return q.Where(condition, id) }
	}
	switch {
	case s.All():
		return []access.Filter{func(q bun.QueryBuilder) bun.QueryBuilder { return q }}
	case s.Partner() != "":
		return []access.Filter{
			where("product_subscription.seller_id = ?0", s.Partner()),
			where("product_subscription.reseller_id = ?0 AND product_subscription.reseller_id <> '' AND product_subscription.seller_id <> ?0 AND "+hasPartner, s.Partner()),
			where("product_subscription.support_contact_id = ?0 AND product_subscription.support_contact_id <> product_subscription.seller_id "+
				"AND NOT (product_subscription.reseller_id = ?0 AND "+hasPartner+")", s.Partner()),
		}
	case s.Organization() != "":
		return []access.Filter{where("product_subscription.organization_id = ?0", s.Organization())}
	}
	return []access.Filter{func(q bun.QueryBuilder) bun.QueryBuilder { return q.Where("1 = 0") }}
}

// Visible limits a query over product_subscription to what the scope sees: the
// customer's own people theirs, a partner what it sells, what was sold through
// it while it is related to the customer, and what it supports; the operator
// all.
func Visible(s access.Scope) access.Filter {
	return func(q bun.QueryBuilder) bun.QueryBuilder {
		ways := branches(s)
		if len(ways) == 1 {
			return ways[0](q)
		}
		return q.WhereGroup(" AND ", func(q bun.QueryBuilder) bun.QueryBuilder {
			for _, way := range ways {
				q = q.WhereGroup(" OR ", way)
			}
			return q
		})
	}
}

func byIDs(ctx context.Context, idb bun.IDB, s access.Scope, ids []ident.ID) (map[ident.ID]*Subscription, error) {
	return find(ctx, idb, s, "product_subscription.id", ids, func(x *Subscription) ident.ID { return x.ID })
}

// byLines reads subscriptions by the order lines that bought them.
func byLines(ctx context.Context, idb bun.IDB, s access.Scope, lines []ident.ID) (map[ident.ID]*Subscription, error) {
	return find(ctx, idb, s, "product_subscription.order_line_id", lines, func(x *Subscription) ident.ID { return x.OrderLineID })
}

func find(ctx context.Context, idb bun.IDB, s access.Scope, column string, ids []ident.ID, key func(*Subscription) ident.ID) (map[ident.ID]*Subscription, error) {
	out := map[ident.ID]*Subscription{}
	if len(ids) == 0 {
		return out, nil
	}
	var rows []*Subscription
	err := idb.NewSelect().Model(&rows).Where("? IN (?) AND ? <> ''", bun.Ident(column), bun.List(ids), bun.Ident(column)).ApplyQueryBuilder(Visible(s)).Scan(ctx)
	for _, r := range rows {
		out[key(r)] = r
	}
	return out, err
}

// lock reads a subscription inside a scope and holds it; nil where it is
// hidden or absent.
func lock(ctx context.Context, tx *database.Tx, s access.Scope, id ident.ID) (*Subscription, error) {
	row := new(Subscription)
	err := tx.Lock(tx.NewSelect().Model(row).Where("product_subscription.id = ?", id).ApplyQueryBuilder(Visible(s))).Scan(ctx)
	if database.IsNoRows(err) {
		return nil, nil
	}
	return row, err
}

// lockOf reads what of a customer concerns a partner, as seller, reseller,
// support contact or reseller with the credit, and holds it.
func lockOf(ctx context.Context, tx *database.Tx, customer, partner ident.ID) ([]*Subscription, error) {
	var rows []*Subscription
	err := tx.Lock(tx.NewSelect().Model(&rows).Where("product_subscription.customer_id = ?", customer).
		Where("(product_subscription.seller_id = ?0 OR product_subscription.reseller_id = ?0 OR product_subscription.support_contact_id = ?0 "+
			"OR product_subscription.associated_reseller_id = ?0)", partner).
		Where("product_subscription.status <> ?", Cancelled).OrderExpr("product_subscription.id")).Scan(ctx)
	return rows, err
}

// lockDue reads what fell due until a moment, in order, and holds it; what
// another process is at is passed over.
func lockDue(ctx context.Context, tx *database.Tx, until time.Time, limit int) ([]*Subscription, error) {
	var rows []*Subscription
	err := tx.LockSkip(tx.NewSelect().Model(&rows).Where("product_subscription.next_action_at IS NOT NULL AND product_subscription.next_action_at <= ?", until).
		OrderExpr("product_subscription.next_action_at, product_subscription.id").Limit(int64(limit))).Scan(ctx)
	return rows, err
}

// overdue reports whether something has been due since before a moment.
func overdue(ctx context.Context, idb bun.IDB, before time.Time) (bool, error) {
	return idb.NewSelect().Model((*Subscription)(nil)).Where("product_subscription.next_action_at IS NOT NULL AND product_subscription.next_action_at < ?", before).Exists(ctx)
}

func insert(ctx context.Context, tx *database.Tx, rows []*Subscription) error {
	_, err := tx.NewInsert().Model(&rows).Returning("NULL").Exec(database.Later(ctx))
	return err
}

func save(ctx context.Context, tx *database.Tx, s *Subscription) error {
	s.Version++
	s.UpdatedAt = tx.Now
	res, err := tx.NewUpdate().Model(s).WherePK().Where("version = ?", s.Version-1).Exec(ctx)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		return fault.Conflict("", fault.CodeConflict)
	}
	return nil
}

func insertEvents(ctx context.Context, tx *database.Tx, rows []*Event) error {
	for part := range slices.Chunk(rows, 500) {
		if _, err := tx.NewInsert().Model(&part).Exec(database.Later(ctx)); err != nil {
			return err
		}
	}
	return nil
}

// openOfPairs counts, by partnership, what a pair sold and is not over.
func openOfPairs(ctx context.Context, idb bun.IDB, s access.Scope, partnerships []ident.ID) (map[ident.ID]int, error) {
	out := map[ident.ID]int{}
	if len(partnerships) == 0 {
		return out, nil
	}
	var rows []struct {
		ID    ident.ID
		Count int
	}
	err := idb.NewSelect().TableExpr("partnership AS p").ColumnExpr("p.id, count(*) AS count").
		Join("JOIN product_subscription AS s ON s.reseller_id = p.reseller_id AND s.reseller_id <> '' AND s.seller_id = p.provider_id").
		Where("p.id IN (?)", bun.List(partnerships)).Where("s.status IN (?)", bun.List(open)).
		ApplyQueryBuilder(s.ByPartner("p.provider_id", "p.reseller_id")).GroupExpr("p.id").Scan(ctx, &rows)
	for _, r := range rows {
		out[r.ID] = r.Count
	}
	return out, err
}

// sums are the subscriptions and seats that count, of some customers, as far
// as the scope sees them.
func sums(ctx context.Context, idb bun.IDB, s access.Scope, customers []ident.ID) (map[ident.ID]rollup.Delta, error) {
	out := map[ident.ID]rollup.Delta{}
	if len(customers) == 0 {
		return out, nil
	}
	var rows []struct {
		CustomerID ident.ID
		rollup.Delta
	}
	err := idb.NewSelect().TableExpr("product_subscription").
		ColumnExpr("customer_id, 0 AS resellers, 0 AS customers, count(*) AS subscriptions, CAST(coalesce(sum(quantity), 0) AS bigint) AS seats").
		Where("product_subscription.customer_id IN (?)", bun.List(customers)).Where("product_subscription.status NOT IN (?)", bun.List([]Status{Pending, Cancelled})).
		ApplyQueryBuilder(Visible(s)).GroupExpr("customer_id").Scan(ctx, &rows)
	for _, r := range rows {
		out[r.CustomerID] = r.Delta
	}
	return out, err
}

// mostBlocking is how many subscriptions are named to who wants to end a
// partnership.
const mostBlocking = 100

// blocking reads what some pairs sold and is not over, the oldest first and no
// more than mostBlocking of each pair.
func blocking(ctx context.Context, idb bun.IDB, pairs []partnership.Couple) ([]*Subscription, error) {
	ranked := idb.NewSelect().TableExpr("product_subscription").ColumnExpr("id, row_number() OVER (PARTITION BY seller_id, reseller_id ORDER BY id) AS place").
		Where("reseller_id <> ''").Where("status IN (?)", bun.List(open)).WhereGroup(" AND ", func(q *bun.SelectQuery) *bun.SelectQuery {
		for _, p := range pairs {
			q = q.WhereOr("seller_id = ? AND reseller_id = ?", p.ProviderID, p.ResellerID)
		}
		return q
	})
	var rows []*Subscription
	err := idb.NewSelect().Model(&rows).Where("product_subscription.id IN (?)",
		idb.NewSelect().TableExpr("(?) AS ranked", ranked).Column("id").Where("place <= ?", mostBlocking)).OrderExpr("product_subscription.id").Scan(ctx)
	return rows, err
}

// Blocking names what providers sold through resellers and is not over: what
// stands in the way of ending their partnerships, whoever asks. At most 100 of
// each pair are named.
func (*Service) Blocking(ctx context.Context, idb bun.IDB, pairs []partnership.Couple) (map[partnership.Couple][]*partnership.Blocker, error) {
	out := map[partnership.Couple][]*partnership.Blocker{}
	if len(pairs) == 0 {
		return out, nil
	}
	rows, err := blocking(ctx, idb, pairs)
	for _, x := range rows {
		of := partnership.Couple{ProviderID: x.SellerID, ResellerID: x.ResellerID}
		name := x.FriendlyName
		if name == "" {
			name = x.OfferName
		}
		out[of] = append(out[of], &partnership.Blocker{Kind: partnership.ActiveSubscription, SubjectID: x.ID, Name: name})
	}
	return out, err
}

// supports reports whether a partner is the support contact of something that
// a customer has.
func supports(ctx context.Context, tx *database.Tx, partner, customer ident.ID) (bool, error) {
	return tx.NewSelect().TableExpr("product_subscription").Where("customer_id = ? AND support_contact_id = ? AND support_contact_id <> ''", customer, partner).
		Where("status IN (?)", bun.List(open)).Exists(ctx)
}

// open are the states of what stands in the way of ending a partnership.
var open = []Status{Pending, Active, Suspended, Expired}

// held lists the offers that a customer has something of, or is about to.
func held(ctx context.Context, idb bun.IDB, customer ident.ID) ([]ident.ID, error) {
	var ids []ident.ID
	err := idb.NewSelect().TableExpr("product_subscription").ColumnExpr("DISTINCT offer_id").Where("customer_id = ?", customer).
		Where("status IN (?)", bun.List([]Status{Pending, Active})).Scan(ctx, &ids)
	return ids, err
}

// related tells which sales were made through a reseller that has the customer
// now.
func related(ctx context.Context, tx *database.Tx, sales []sale) (map[sale]bool, error) {
	var resellers, customers []ident.ID
	for _, s := range sales {
		if s.reseller != "" {
			resellers, customers = append(resellers, s.reseller), append(customers, s.customer)
		}
	}
	out := map[sale]bool{}
	if len(resellers) == 0 {
		return out, nil
	}
	var rows []struct{ PartnerID, CustomerID ident.ID }
	err := tx.NewSelect().TableExpr("relationship").Column("partner_id", "customer_id").Where("status = 'ACTIVE'").
		Where("customer_id IN (?) AND partner_id IN (?)", bun.List(customers), bun.List(resellers)).Scan(ctx, &rows)
	for _, r := range rows {
		for _, s := range sales {
			if s.reseller == r.PartnerID && s.customer == r.CustomerID {
				out[s] = true
			}
		}
	}
	return out, err
}

// Counts is what the tree's counters of subscriptions and seats must come to:
// for a reseller what was sold through it to those whom it has.
func Counts(idb bun.IDB) *bun.SelectQuery {
	of := func(key, where string) *bun.SelectQuery {
		q := idb.NewSelect().TableExpr("product_subscription").
			ColumnExpr(key+" AS key, 0 AS resellers, 0 AS customers, count(*) AS subscriptions, coalesce(sum(quantity), 0) AS seats").
			Where("status NOT IN (?)", bun.List([]Status{Pending, Cancelled}))
		if where != "" {
			q = q.Where(where)
		}
		return q
	}
	const through = "reseller_id <> '' AND EXISTS (SELECT 1 FROM relationship AS r WHERE r.customer_id = product_subscription.customer_id " +
		"AND r.partner_id = product_subscription.reseller_id AND r.status = 'ACTIVE')"
	return of("seller_id", "").GroupExpr("seller_id").
		UnionAll(of("reseller_id", through).GroupExpr("reseller_id")).
		UnionAll(of("seller_id || '/' || reseller_id", through).GroupExpr("seller_id, reseller_id")).
		UnionAll(of("'*'", "").Having("count(*) > 0"))
}

var _ rollup.Truth = Counts

// ---- Lists

// within bounds a filter to what the scope may know: a partner that asks for
// what was sold through another one is told of its own sales alone.
func (f Filter) within(s access.Scope) Filter {
	own := s.Partner()
	if s.All() || own == "" || f.ResellerID == nil || *f.ResellerID == own {
		return f
	}
	if f.SellerID != nil && *f.SellerID != own {
		own = "nobody's"
	}
	f.SellerID = &own
	return f
}

// apply narrows a query; which index answers is the caller's matter.
func (f Filter) apply(q *bun.SelectQuery) *bun.SelectQuery {
	for column, want := range map[string]*ident.ID{"product_subscription.customer_id": f.CustomerID, "product_subscription.seller_id": f.SellerID,
		"product_subscription.reseller_id": f.ResellerID, "product_subscription.offer_id": f.OfferID} {
		if want != nil {
			q = q.Where("? = ? AND ? <> ''", bun.Ident(column), *want, bun.Ident(column))
		}
	}
	if len(f.Status) > 0 {
		q = q.Where("product_subscription.status IN (?)", bun.List(f.Status))
	}
	if f.Term != nil {
		q = q.Where("product_subscription.term = ?", *f.Term)
	}
	if f.AutoRenew != nil {
		q = q.Where("product_subscription.auto_renew = ?", *f.AutoRenew)
	}
	if f.Search != nil && strings.TrimSpace(*f.Search) != "" {
		q = q.Where("(?)", database.Begins("product_subscription.name_folded", address.Fold(*f.Search)))
	}
	return q
}

// union reads along each way in which the scope sees subscriptions, so that an
// index answers each, and puts them together. Of one customer there are few,
// and one condition does.
func union(db *database.DB, s access.Scope, f Filter, columns string, each func(*bun.SelectQuery) *bun.SelectQuery) *bun.SelectQuery {
	ways := branches(s)
	if f.CustomerID != nil {
		ways = []access.Filter{Visible(s)}
	}
	f = f.within(s)
	var all *bun.SelectQuery
	for _, way := range ways {
		q := f.apply(db.Read().NewSelect().TableExpr("product_subscription").ColumnExpr(columns)).ApplyQueryBuilder(way)
		q = db.Read().NewSelect().TableExpr("(?) AS found", each(q)).ColumnExpr("found.*")
		if all == nil {
			all = q
		} else {
			all = all.UnionAll(q)
		}
	}
	return all
}

func list(ctx context.Context, db *database.DB, s access.Scope, pq page.Query, f Filter) (*page.Connection[*Subscription], error) {
	var rows []*Subscription
	found := union(db, s, f, "product_subscription.*", func(q *bun.SelectQuery) *bun.SelectQuery {
		return database.Keyset(q, pq, "product_subscription.id")
	})
	q := db.Read().NewSelect().Model(&rows).ModelTableExpr("(?) AS product_subscription", found)
	if err := database.Keyset(q, pq, "product_subscription.id").Scan(ctx); err != nil {
		return nil, err
	}
	return page.Build(pq, rows, key(pq), func(ctx context.Context) (int, error) { return count(ctx, db, s, f) }), nil
}

// count counts a list, stopping one beyond the cap.
func count(ctx context.Context, db *database.DB, s access.Scope, f Filter) (n int, err error) {
	found := union(db, s, f, "1 AS one", func(q *bun.SelectQuery) *bun.SelectQuery { return q.Limit(page.CountCap + 1) })
	err = db.Read().NewSelect().TableExpr("(?) AS counted", found).ColumnExpr("count(*)").Scan(ctx, &n)
	return min(n, page.CountCap+1), err
}

// shown are the columns of fields that long lists show.
var shown = database.Columns{
	Always: "id,customer_id,organization_id,seller_id,reseller_id,support_contact_id,associated_reseller_id,name_folded",
	Of: map[string]string{"__typename": "", "id": "", "customer": "", "seller": "", "sellerName": "", "reseller": "", "resellerName": "",
		"supportContact": "", "supportContactName": "", "associatedReseller": "", "createdAt": "created_at",
		"offer": "offer_id", "offerName": "offer_name", "friendlyName": "friendly_name", "quantity": "quantity", "term": "term", "billingCycle": "billing_cycle",
		"status": "status", "isRenewedAutomatically": "auto_renew", "commitmentEndsAt": "commitment_ends_at", "nextChangeAt": "next_action_at", "version": "version"},
}

// Showing is what has to be read of subscriptions for fields of the API.
func Showing(fields []string) database.Shown { return shown.Showing(fields) }

// firsts reads the first rows of several customers at once, in one statement.
func firsts(ctx context.Context, db *database.DB, s access.Scope, customers []ident.ID, pq page.Query, f Filter, show database.Shown) (map[ident.ID][]*Subscription, error) {
	out := map[ident.ID][]*Subscription{}
	if len(customers) == 0 {
		return out, nil
	}
	var rows []*Subscription
	q := db.Each(customers, func(q *bun.SelectQuery, customer any) *bun.SelectQuery {
		q = q.TableExpr("product_subscription").ColumnExpr("product_subscription.*").Where("product_subscription.customer_id = ?", customer)
		return database.Keyset(f.within(s).apply(q).ApplyQueryBuilder(Visible(s)), pq, "product_subscription.id")
	})
	if pq.Order.Sort == page.SortTime {
		show = show.With("created_at")
	}
	if err := show.Of(db.ReadPrepared().NewSelect().Model(&rows).ModelTableExpr("(?) AS product_subscription", q), "product_subscription").Scan(ctx); err != nil {
		return nil, fmt.Errorf("reading the subscriptions of %d customers: %w", len(customers), err)
	}
	for _, r := range rows {
		out[r.CustomerID] = append(out[r.CustomerID], r)
	}
	return out, nil
}

func listEvents(ctx context.Context, db *database.DB, s access.Scope, pq page.Query, id ident.ID, f EventFilter) (*page.Connection[*Event], error) {
	base := func(model any) *bun.SelectQuery {
		q := db.Read().NewSelect().Model(model).Where("subscription_event.subscription_id = ?", id)
		if len(f.Kind) > 0 {
			q = q.Where("subscription_event.kind IN (?)", bun.List(f.Kind))
		}
		return q.
			Where("EXISTS (?)", db.Read().NewSelect().TableExpr("product_subscription").ColumnExpr("1").
				Where("product_subscription.id = subscription_event.subscription_id").ApplyQueryBuilder(Visible(s)))
	}
	var rows []*Event
	if err := database.Keyset(base(&rows), pq, "subscription_event.id").Scan(ctx); err != nil {
		return nil, err
	}
	return page.Build(pq, rows, func(e *Event) (any, ident.ID) { return e.Number, e.ID }, func(ctx context.Context) (int, error) {
		return database.CountCapped(ctx, db.Read(), base((*Event)(nil)))
	}), nil
}
