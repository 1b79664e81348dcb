package database_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/database/dbtest"
)

// TestLater holds what nobody waits for to the order in which it was written,
// to the transaction that it is part of, and its failure to no one else.
func TestLater(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	ctx := t.Context()
	put := func(ctx context.Context, tx *database.Tx, key, value string) error {
		_, err := tx.NewRaw("INSERT INTO instance (key, value) VALUES (?, ?)", key, value).Exec(ctx)
		return err
	}
	read := func() string {
		t.Helper()
		var all []string
		if err := db.Read().NewSelect().TableExpr("instance").ColumnExpr("key || '=' || value").Where("key LIKE 'l%'").OrderExpr("key").Scan(ctx, &all); err != nil {
			t.Fatal(err)
		}
		return strings.Join(all, " ")
	}
	run := func(fn func(ctx context.Context, tx *database.Tx) error) error {
		return db.InTx(ctx, fn)
	}
	err := run(func(ctx context.Context, tx *database.Tx) error {
		if err := put(database.Later(ctx), tx, "l1", "it's; 1"); err != nil {
			return err
		}
		var n int // a read sees what was written before it
		if err := tx.NewSelect().TableExpr("instance").ColumnExpr("count(*)").Where("key = 'l1'").Scan(ctx, &n); err != nil || n != 1 {
			t.Error("read", n, err)
		}
		if err := put(database.Later(ctx), tx, "l2", "2"); err != nil {
			return err
		}
		res, err := tx.NewRaw("UPDATE instance SET value = value || '!' WHERE key IN ('l1', 'l2')").Exec(ctx)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n != 2 {
			t.Error("update", n, err)
		}
		return put(database.Later(ctx), tx, "l3", "3") // goes with the commit
	})
	if got := read(); err != nil || got != "l1=it's; 1! l2=2! l3=3" {
		t.Fatal(got, err)
	}

	mine := errors.New("mine")
	err = run(func(ctx context.Context, tx *database.Tx) error {
		if err := put(database.Later(ctx), tx, "l4", ""); err != nil {
			return err
		}
		return mine
	})
	if !errors.Is(err, mine) {
		t.Error(err)
	}
	late := 0
	for name, then := range map[string]func(ctx context.Context, tx *database.Tx) error{
		"a commit": func(context.Context, *database.Tx) error { return nil },
		"a write":  func(ctx context.Context, tx *database.Tx) error { return put(ctx, tx, "l6", "") },
		"a read": func(ctx context.Context, tx *database.Tx) error {
			var n int
			return tx.NewSelect().TableExpr("instance").ColumnExpr("count(*)").Scan(ctx, &n)
		},
	} {
		err = run(func(ctx context.Context, tx *database.Tx) error {
			if err := put(database.Later(ctx), tx, "l5", ""); err != nil {
				return err
			}
			if err := put(database.Later(ctx), tx, "l1", ""); err != nil { // is there
				return err // SQLite says so at once
			}
			late++
			err := then(ctx, tx)
			if err != nil && database.IsUnique(err) {
				t.Errorf("%s was told of somebody else's unique violation", name)
			}
			return err
		})
		if err == nil {
			t.Errorf("%s passed after a failure", name)
		}
	}
	if db.Dialect() == database.Postgres && late != 3 {
		t.Error("a statement was waited for")
	}
	err = run(func(ctx context.Context, tx *database.Tx) error {
		if err := put(database.Later(ctx), tx, "l7", "7"); err != nil {
			return err
		}
		if err := put(ctx, tx, "l1", ""); !database.IsUnique(err) {
			t.Error("an own unique violation came as", err)
		}
		return mine
	})
	if got := read(); !errors.Is(err, mine) || got != "l1=it's; 1! l2=2! l3=3" {
		t.Error(got, err)
	}
}
