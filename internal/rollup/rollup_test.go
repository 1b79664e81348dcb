package rollup_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/uptrace/bun"

	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/database/dbtest"
	"github.com/channelgraph/channelgraph/internal/rollup"
)

func add(t *testing.T, db *database.DB, d rollup.Delta, keys ...rollup.Key) {
	t.Helper()
	if err := db.InTx(t.Context(), func(ctx context.Context, tx *database.Tx) error { return rollup.Add(ctx, tx, d, keys...) }); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, db *database.DB, keys ...rollup.Key) map[rollup.Key]rollup.Delta {
	t.Helper()
	before := db.Queries()
	got, err := rollup.Read(t.Context(), db.Read(), keys)
	if err != nil {
		t.Fatal(err)
	}
	if n := db.Queries() - before; n > 1 {
		t.Errorf("reading %d counts took %d statements", len(keys), n)
	}
	return got
}

// What is counted is the same before, between and after folds, and a
// transaction that is rolled back counts nothing.
func TestAddReadFold(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	keys := rollup.Sale("par_p", "par_r")
	check := func(when string, want rollup.Delta) {
		t.Helper()
		got := read(t, db, append(keys, "par_other")...)
		if len(got) != 4 {
			t.Errorf("%s: %v", when, got)
		}
		for _, k := range keys {
			if got[k] != want {
				t.Errorf("%s, %s: got %+v, want %+v", when, k, got[k], want)
			}
		}
	}
	if got := read(t, db, keys...); len(got) != 0 {
		t.Errorf("an empty world counts %v", got)
	}
	if got := read(t, db); len(got) != 0 {
		t.Errorf("no key counts %v", got)
	}
	add(t, db, rollup.Delta{Subscriptions: 2, Seats: 30}, keys...)
	add(t, db, rollup.Delta{Seats: -5}, keys...)
	add(t, db, rollup.Delta{}, keys...) // writes nothing
	check("unfolded", rollup.Delta{Subscriptions: 2, Seats: 25})
	if n, err := rollup.FoldAll(t.Context(), db); err != nil || n != 8 {
		t.Fatalf("folded %d, %v", n, err)
	}
	check("folded", rollup.Delta{Subscriptions: 2, Seats: 25})
	add(t, db, rollup.Delta{Customers: 1}, keys...)
	check("half folded", rollup.Delta{Customers: 1, Subscriptions: 2, Seats: 25})
	if n, err := rollup.FoldAll(t.Context(), db); err != nil || n != 4 {
		t.Fatalf("folded %d, %v", n, err)
	}
	if n, err := rollup.FoldAll(t.Context(), db); err != nil || n != 0 {
		t.Fatalf("folded %d, %v", n, err)
	}
	gone := errors.New("rolled back")
	err := db.InTx(t.Context(), func(ctx context.Context, tx *database.Tx) error {
		if err := rollup.Add(ctx, tx, rollup.Delta{Seats: 100}, keys...); err != nil {
			return err
		}
		return gone
	})
	if !errors.Is(err, gone) {
		t.Fatal(err)
	}
	check("at the end", rollup.Delta{Customers: 1, Subscriptions: 2, Seats: 25})
	if keys := rollup.Sale("par_p", ""); len(keys) != 2 {
		t.Errorf("a sale without a reseller counts in %v", keys)
	}
}

// Writers and folders at once lose and double nothing; every reading between
// is a number of whole transactions.
func TestFoldWhileWriting(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	const writers, each = 4, 200
	var writing, folding sync.WaitGroup
	stop := make(chan struct{})
	for range writers {
		writing.Go(func() {
			for range each {
				err := db.InTx(t.Context(), func(ctx context.Context, tx *database.Tx) error {
					c := rollup.Changes{}
					c.Add(rollup.Delta{Customers: 1, Seats: 3}, "a", "b")
					c.Add(rollup.Delta{Subscriptions: 1}, "b")
					return c.Write(ctx, tx)
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 3 {
		folding.Go(func() {
			for {
				if _, err := rollup.FoldAll(t.Context(), db); err != nil {
					t.Error(err)
				}
				got, err := rollup.Read(t.Context(), db.Read(), []rollup.Key{"a", "b"})
				if err != nil {
					t.Error(err)
				}
				if a, b := got["a"], got["b"]; a.Seats != 3*a.Customers || b.Subscriptions != b.Customers || a.Customers != b.Customers {
					t.Errorf("half a transaction: %+v, %+v", a, b)
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	writing.Wait()
	close(stop)
	folding.Wait()
	if _, err := rollup.FoldAll(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	n := int64(writers * each)
	if got := read(t, db, "a", "b"); got["a"] != (rollup.Delta{Customers: n, Seats: 3 * n}) || got["b"] != (rollup.Delta{Customers: n, Subscriptions: n, Seats: 3 * n}) {
		t.Errorf("got %+v", got)
	}
}

// A wrong count is found, repaired once, and logged; a right one is left alone.
func TestReconcile(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	var log bytes.Buffer
	l := rollup.NewLedger(db, slog.New(slog.NewTextHandler(&log, nil)))
	if wrong, err := l.Reconcile(t.Context()); err != nil || wrong != nil {
		t.Errorf("without a truth: %v, %v", wrong, err)
	}
	l.Count(func(idb bun.IDB) *bun.SelectQuery {
		return idb.NewSelect().ColumnExpr("'right' AS key, 1 AS resellers, 2 AS customers, 0 AS subscriptions, 0 AS seats")
	}, func(idb bun.IDB) *bun.SelectQuery {
		return idb.NewSelect().ColumnExpr("'right' AS key, 0 AS resellers, 0 AS customers, 3 AS subscriptions, 4 AS seats").
			UnionAll(idb.NewSelect().ColumnExpr("'short', 0, 0, 7, 70"))
	})
	add(t, db, rollup.Delta{Resellers: 1, Customers: 2, Subscriptions: 3}, "right")
	if _, err := rollup.FoldAll(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	add(t, db, rollup.Delta{Seats: 4}, "right")
	add(t, db, rollup.Delta{Subscriptions: 6, Seats: 71}, "short")
	add(t, db, rollup.Delta{Customers: 9}, "surplus")
	wrong, err := l.Reconcile(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(wrong) != 2 || wrong["short"] != (rollup.Delta{Subscriptions: 1, Seats: -1}) || wrong["surplus"] != (rollup.Delta{Customers: -9}) {
		t.Errorf("found %+v", wrong)
	}
	got := read(t, db, "right", "short", "surplus")
	if got["right"] != (rollup.Delta{Resellers: 1, Customers: 2, Subscriptions: 3, Seats: 4}) || got["short"] != (rollup.Delta{Subscriptions: 7, Seats: 70}) ||
		got["surplus"] != (rollup.Delta{}) {
		t.Errorf("repaired to %+v", got)
	}
	if n := strings.Count(log.String(), "a count was wrong"); n != 2 {
		t.Errorf("%d lines in the log:\n%s", n, log.String())
	}
	if wrong, err := l.Reconcile(t.Context()); err != nil || len(wrong) != 0 {
		t.Errorf("found again: %v, %v", wrong, err)
	}
}
