// Package rollup owns the counts on the channel's tree: how many resellers,
// customers, subscriptions and seats a party has. Who changes what is counted
// writes by how much, in its own transaction, as one more row; those rows are
// added up in the background, since an UPDATE of one busy counter would make
// every order of a provider wait for every other. It never decides who may
// read a count, and knows nothing of what is counted.
//
// Invariant: what is folded and what is not yet folded together are the count
// of a snapshot; a fold moves rows from one to the other and changes no sum.
package rollup

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"

	"github.com/uptrace/bun"

	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/ident"
)

// Key names whose counts they are.
type Key string

// Operator is the key of the whole programme.
const Operator Key = "*"

// Of is the key of a partner's own total.
func Of(partner ident.ID) Key { return Key(partner) }

// Pair is the key of what a provider and one of its resellers have together.
func Pair(provider, reseller ident.ID) Key { return Key(provider) + "/" + Key(reseller) }

// Sale lists the keys that what a seller sells counts in: the programme's and
// the seller's, and with a reseller ("" without) the reseller's and the pair's.
func Sale(seller, reseller ident.ID) []Key {
	out := []Key{Operator, Of(seller)}
	if reseller != "" {
		out = append(out, Of(reseller), Pair(seller, reseller))
	}
	return out
}

// Delta is by how much counts change, or what they are.
type Delta struct {
	Resellers     int64 `bun:"resellers"`
	Customers     int64 `bun:"customers"`
	Subscriptions int64 `bun:"subscriptions"`
	Seats         int64 `bun:"seats"`
}

// Plus is the sum of two.
func (d Delta) Plus(o Delta) Delta {
	return Delta{d.Resellers + o.Resellers, d.Customers + o.Customers, d.Subscriptions + o.Subscriptions, d.Seats + o.Seats}
}

// Minus takes another one away.
func (d Delta) Minus(o Delta) Delta {
	return Delta{d.Resellers - o.Resellers, d.Customers - o.Customers, d.Subscriptions - o.Subscriptions, d.Seats - o.Seats}
}

// Changes collects what one transaction changes, so that it is written at once.
type Changes map[Key]Delta

// Add notes a change for each of the keys.
func (c Changes) Add(d Delta, keys ...Key) {
	for _, k := range keys {
		c[k] = c[k].Plus(d)
	}
}

// Write appends them in the caller's transaction, in one statement.
func (c Changes) Write(ctx context.Context, tx *database.Tx) error { return write(ctx, tx, c) }

// Add appends the same change for each of the keys, in the caller's
// transaction.
func Add(ctx context.Context, tx *database.Tx, d Delta, keys ...Key) error {
	c := Changes{}
	c.Add(d, keys...)
	return c.Write(ctx, tx)
}

// batch is how many rows are folded in one transaction.
const batch = 500

type row struct {
	bun.BaseModel `bun:"table:rollup,alias:rollup"`
	Key           Key `bun:"key,pk"`
	Delta
}

type deltaRow struct {
	bun.BaseModel `bun:"table:rollup_delta,alias:rollup_delta"`
	ID            int64 `bun:"id,pk"`
	Key           Key   `bun:"key"`
	Delta
}

func write(ctx context.Context, tx *database.Tx, c Changes) error {
	var rows []deltaRow
	for _, k := range slices.Sorted(maps.Keys(c)) {
		if c[k] != (Delta{}) {
			rows = append(rows, deltaRow{Key: k, Delta: c[k]})
		}
	}
	if len(rows) == 0 {
		return nil
	}
	if _, err := tx.NewInsert().Model(&rows).ExcludeColumn("id").Returning("NULL").Exec(database.Last(ctx)); err != nil {
		return fmt.Errorf("writing counts: %w", err)
	}
	return nil
}

const sums = "key, CAST(sum(resellers) AS bigint) AS resellers, CAST(sum(customers) AS bigint) AS customers, " +
	"CAST(sum(subscriptions) AS bigint) AS subscriptions, CAST(sum(seats) AS bigint) AS seats"

const columns = "key, resellers, customers, subscriptions, seats"

// Read tells the counts of some keys, whether folded or not, in one statement.
// A key without any is missing. Who may know them is for the caller to say.
func Read(ctx context.Context, idb bun.IDB, keys []Key) (map[Key]Delta, error) {
	out := map[Key]Delta{}
	if len(keys) == 0 {
		return out, nil
	}
	var rows []row
	err := idb.NewRaw("SELECT "+sums+" FROM (SELECT "+columns+" FROM rollup WHERE key IN (?0) "+
		"UNION ALL SELECT "+columns+" FROM rollup_delta WHERE key IN (?0)) AS counted GROUP BY key", bun.List(keys)).Scan(ctx, &rows)
	if err != nil {
		return nil, fmt.Errorf("reading counts: %w", err)
	}
	for _, r := range rows {
		out[r.Key] = r.Delta
	}
	return out, nil
}

// Customers selects the one number of customers of a key, for a statement that
// reads more.
func Customers(idb bun.IDB, k Key) *bun.SelectQuery {
	of := func(table string) *bun.SelectQuery {
		return idb.NewSelect().TableExpr(table).ColumnExpr("customers").Where("key = ?", k)
	}
	return idb.NewSelect().TableExpr("(?) AS counted", of("rollup").UnionAll(of("rollup_delta"))).ColumnExpr("CAST(coalesce(sum(customers), 0) AS bigint)")
}

// Fold asks for the waiting rows to be added up.
type Fold struct{}

// Kind is the job's kind.
func (Fold) Kind() string { return "rollup.fold" }

// FoldAll adds the waiting rows to the counts, some hundreds in a transaction,
// and tells how many there were. Any number of processes may do it at once:
// none takes a row that another one holds.
func FoldAll(ctx context.Context, db *database.DB) (int, error) {
	total := 0
	for {
		n, err := fold(ctx, db)
		if err != nil {
			return total, fmt.Errorf("folding counts: %w", err)
		}
		total += n
		if n < batch {
			return total, nil
		}
	}
}

func fold(ctx context.Context, db *database.DB) (n int, err error) {
	if waiting, err := db.Read().NewSelect().TableExpr("rollup_delta").Exists(ctx); err != nil || !waiting {
		return 0, err
	}
	err = db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		var waiting []deltaRow
		if err := tx.LockSkip(tx.NewSelect().Model(&waiting).OrderExpr("id").Limit(batch)).Scan(ctx); err != nil {
			return err
		}
		if n = len(waiting); n == 0 {
			return nil
		}
		c := Changes{}
		ids := make([]int64, n)
		for i, w := range waiting {
			ids[i] = w.ID
			c.Add(w.Delta, w.Key)
		}
		var rows []row
		for _, k := range slices.Sorted(maps.Keys(c)) { // one order, so that two folds never wait for each other in a ring
			rows = append(rows, row{Key: k, Delta: c[k]})
		}
		_, err := tx.NewInsert().Model(&rows).On("CONFLICT (key) DO UPDATE").Set("resellers = rollup.resellers + excluded.resellers").
			Set("customers = rollup.customers + excluded.customers").Set("subscriptions = rollup.subscriptions + excluded.subscriptions").
			Set("seats = rollup.seats + excluded.seats").Exec(ctx)
		if err != nil {
			return err
		}
		_, err = tx.NewDelete().Model((*deltaRow)(nil)).Where("id IN (?)", bun.List(ids)).Exec(ctx)
		return err
	})
	return n, err
}

// Truth counts afresh what one concept knows of: a select of the columns key,
// resellers, customers, subscriptions and seats. A key may come more than once.
type Truth func(idb bun.IDB) *bun.SelectQuery

// Ledger compares the counts with what is really there.
type Ledger struct {
	db     *database.DB
	log    *slog.Logger
	truths []Truth
}

// NewLedger makes a ledger; concepts tell it what they count.
func NewLedger(db *database.DB, log *slog.Logger) *Ledger { return &Ledger{db: db, log: log} }

// Count has a ledger count more.
func (l *Ledger) Count(truths ...Truth) { l.truths = append(l.truths, truths...) }

// Reconcile asks for the counts to be proved.
type Reconcile struct{}

// Kind is the job's kind.
func (Reconcile) Kind() string { return "rollup.reconcile" }

// Reconcile compares every count with what is really there, in one statement
// and so in one snapshot, repairs what differs by appending the difference,
// logs it, and returns it. Work that goes on meanwhile is not disturbed.
func (l *Ledger) Reconcile(ctx context.Context) (map[Key]Delta, error) {
	if len(l.truths) == 0 {
		return nil, nil
	}
	wrong, err := l.differences(ctx, l.db.Read())
	if err == nil && len(wrong) > 0 {
		err = l.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
			var id int
			if err := tx.Lock(tx.NewSelect().TableExpr("rollup_check").ColumnExpr("id").Where("id = 1")).Scan(ctx, &id); err != nil {
				return err
			}
			if wrong, err = l.differences(ctx, tx); err != nil { // another process may have repaired them
				return err
			}
			return write(ctx, tx, wrong)
		})
	}
	if err == nil {
		_, err = l.db.Bun().NewUpdate().Table("rollup_check").Set("checked_at = ?", l.db.Now()).Set("repaired = repaired + ?", len(wrong)).
			Where("id = 1").Exec(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("proving counts: %w", err)
	}
	for _, k := range slices.Sorted(maps.Keys(wrong)) {
		d := wrong[k]
		l.log.WarnContext(ctx, "a count was wrong and is repaired", "key", k, "resellers", d.Resellers, "customers", d.Customers,
			"subscriptions", d.Subscriptions, "seats", d.Seats)
	}
	return wrong, nil
}

// differences is what each count lacks of the truth.
func (l *Ledger) differences(ctx context.Context, idb bun.IDB) (Changes, error) {
	negative := func(table string) *bun.SelectQuery {
		return idb.NewSelect().TableExpr(table).ColumnExpr("key, -resellers AS resellers, -customers AS customers, -subscriptions AS subscriptions, -seats AS seats")
	}
	all := negative("rollup").UnionAll(negative("rollup_delta"))
	for _, t := range l.truths {
		all = all.UnionAll(idb.NewSelect().TableExpr("(?) AS truth", t(idb)).ColumnExpr(columns))
	}
	var rows []row
	err := idb.NewSelect().TableExpr("(?) AS counted", all).ColumnExpr(sums).GroupExpr("key").
		Having("sum(resellers) <> 0 OR sum(customers) <> 0 OR sum(subscriptions) <> 0 OR sum(seats) <> 0").Scan(ctx, &rows)
	out := Changes{}
	for _, r := range rows {
		out[r.Key] = r.Delta
	}
	return out, err
}
