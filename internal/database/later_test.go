package database_test

import (
	"bytes"
	"context"
	"errors"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/uptrace/bun"

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
		if err := put(database.Last(ctx), tx, "l31", "first of the last"); err != nil {
			return err
		}
		if err := put(database.Later(ctx), tx, "l3", "3"); err != nil { // goes with the commit
			return err
		}
		return put(database.Last(ctx), tx, "l32", "second, with (brackets)")
	})
	if got := read(); err != nil || got != "l1=it's; 1! l2=2! l3=3 l31=first of the last l32=second, with (brackets)" {
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
	if got := read(); !errors.Is(err, mine) || got != "l1=it's; 1! l2=2! l3=3 l31=first of the last l32=second, with (brackets)" {
		t.Error(got, err)
	}
}

// TestSelect reads with one statement what several find, as each would alone.
func TestSelect(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	type row struct {
		bun.BaseModel `bun:"table:export_file"`
		ID            string            `bun:"id,pk"`
		Filter        map[string]string `bun:"filter,type:jsonb"`
		Done          int               `bun:"rows_done"`
		Total         *int              `bun:"rows_total"`
		Bytes         int64             `bun:"bytes"`
		CreatedAt     time.Time         `bun:"created_at"`
		FinishedAt    *time.Time        `bun:"finished_at"`
	}
	type chunk struct {
		bun.BaseModel `bun:"table:export_chunk"`
		ExportID      string `bun:"export_id,pk"`
		Number        int    `bun:"number,pk"`
		Data          []byte `bun:"data"`
	}
	err := db.InTx(t.Context(), func(ctx context.Context, tx *database.Tx) error {
		const put = "INSERT INTO export_file (id, organization_id, requested_by_id, kind, filter, rows_done, rows_total, bytes, created_at, finished_at, expires_at) VALUES (?, '', '', '', ?, ?, ?, ?, ?, ?, ?)"
		for i, total := range []any{nil, 7} {
			var finished any
			if total != nil {
				finished = tx.Now.Add(time.Second)
			}
			if _, err := tx.NewRaw(put, strconv.Itoa(i), `{"a":"it's; \\ ?"}`, i, total, int64(1)<<40, tx.Now, finished, tx.Now).Exec(database.Later(ctx)); err != nil {
				return err
			}
		}
		for i := range 2 {
			if _, err := tx.NewRaw("INSERT INTO export_chunk (export_id, number, data) VALUES ('1', ?, ?)", i, []byte{0, 0xff, byte(i)}).Exec(database.Later(ctx)); err != nil {
				return err
			}
		}
		var files, none, single []*row
		var chunks []*chunk
		before := db.Queries()
		err := tx.Select(ctx, tx.NewSelect().Model(&files).OrderExpr("id"), tx.NewSelect().Model(&none).Where("id = 'x'"), tx.NewSelect().Model(&chunks).OrderExpr("number"))
		if err != nil {
			return err
		}
		if n := db.Queries() - before; db.Dialect() == database.Postgres && n != 1 {
			t.Errorf("%d statements", n)
		}
		if err := tx.NewSelect().Model(&single).OrderExpr("id").Scan(ctx); err != nil {
			return err
		}
		if len(none) != 0 || len(files) != 2 || !reflect.DeepEqual(files, single) || files[1].Filter["a"] != `it's; \ ?` || *files[1].Total != 7 || files[0].Total != nil ||
			!files[1].FinishedAt.Equal(tx.Now.Add(time.Second)) {
			t.Errorf("%+v %+v", files[0], files[1])
		}
		if len(chunks) != 2 || !bytes.Equal(chunks[1].Data, []byte{0, 0xff, 1}) {
			t.Error(chunks)
		}
		return tx.Select(ctx, tx.NewSelect().Model(&files), tx.NewSelect().Model(&none).Where("no_column = 1"))
	})
	if err == nil {
		t.Error("a wrong query passed")
	}
}
