package database_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
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

// TestLaterInSavepoints takes back what a savepoint holds and nothing else.
func TestLaterInSavepoints(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	put := func(ctx context.Context, idb bun.IDB, key string) {
		t.Helper()
		if _, err := idb.NewRaw("INSERT INTO instance (key, value) VALUES (?, 'x')", key).Exec(ctx); err != nil {
			t.Fatal(err)
		}
	}
	err := db.InTx(t.Context(), func(ctx context.Context, tx *database.Tx) error {
		put(database.Last(ctx), tx, "s1")
		put(database.Later(ctx), tx, "s2")
		for n, how := range []func(bun.Tx) error{bun.Tx.Rollback, bun.Tx.Commit} {
			inner, err := tx.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			put(database.Last(ctx), inner, "s3"+strconv.Itoa(n))
			put(database.Later(ctx), inner, "s4"+strconv.Itoa(n))
			put(ctx, inner, "s5"+strconv.Itoa(n))
			put(database.Later(ctx), inner, "s6"+strconv.Itoa(n))
			if err := how(inner); err != nil {
				return err
			}
		}
		put(database.Last(ctx), tx, "s7")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	if err := db.Read().NewSelect().TableExpr("instance").ColumnExpr("key").Where("key LIKE 's%'").OrderExpr("key").Scan(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(all, " "); got != "s1 s2 s31 s41 s51 s61 s7" {
		t.Error(got)
	}
}

// TestLaterInBulk writes more than fits into one statement.
func TestLaterInBulk(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	const rows = 1_000
	err := db.InTx(t.Context(), func(ctx context.Context, tx *database.Tx) error {
		for i := range rows {
			for prefix, how := range map[string]func(context.Context) context.Context{"b1": database.Last, "b2": database.Later} {
				if _, err := tx.NewRaw("INSERT INTO instance (key, value) VALUES (?, ?)", prefix+strconv.Itoa(i), strings.Repeat("'", 50)).Exec(how(ctx)); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	n, err := db.Read().NewSelect().TableExpr("instance").Where("key LIKE 'b%'").Where("value = ?", strings.Repeat("'", 50)).Count(t.Context())
	if err != nil || n != 2*rows {
		t.Error(n, err)
	}
}

// oneConnection opens a database whose transactions follow each other on one
// connection, and runs them.
func oneConnection(t *testing.T) (db *database.DB, run func(fn func(ctx context.Context, tx *database.Tx) error)) {
	t.Helper()
	db, err := database.Open(t.Context(), dbtest.URL(t), database.Options{Clock: database.NewClock(0), MaxConns: 1, Unsafe: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db, func(fn func(ctx context.Context, tx *database.Tx) error) {
		t.Helper()
		if err := db.InTx(t.Context(), fn); err != nil {
			t.Fatal(err)
		}
	}
}

// kept counts what the transaction's connection has prepared; 0 on SQLite.
func kept(ctx context.Context, t *testing.T, db *database.DB, tx *database.Tx) (n int) {
	t.Helper()
	if db.Dialect() == database.Postgres {
		if err := tx.NewSelect().TableExpr("pg_prepared_statements").ColumnExpr("count(*)").Where("name LIKE 'cg!_%' ESCAPE '!'").Scan(ctx, &n); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// TestPrepared writes and reads by prepared statements what texts would have,
// also once their plans are fixed, and keeps a bounded number of them.
func TestPrepared(t *testing.T) {
	t.Parallel()
	db, run := oneConnection(t)
	type row struct {
		bun.BaseModel `bun:"table:export_file"`
		ID            string            `bun:"id,pk"`
		Organization  string            `bun:"organization_id"`
		Requester     string            `bun:"requested_by_id"`
		Kind          string            `bun:"kind"`
		Filter        map[string]string `bun:"filter,type:jsonb"`
		Done          int               `bun:"rows_done"`
		Total         *int              `bun:"rows_total"`
		Bytes         int64             `bun:"bytes"`
		CreatedAt     time.Time         `bun:"created_at"`
		FinishedAt    *time.Time        `bun:"finished_at"`
		ExpiresAt     time.Time         `bun:"expires_at"`
	}
	text := "it's; $1 \\ ü 😀 ?\n-- /* \"x\" NULL"
	for n := range 8 {
		run(func(ctx context.Context, tx *database.Tx) error {
			id := "exp 'x" + strconv.Itoa(n)
			in := &row{ID: id, Organization: text, Filter: map[string]string{text: text}, Done: -n, Bytes: 1 << 40, CreatedAt: tx.Now, ExpiresAt: tx.Now}
			if n%2 == 0 {
				in.Total, in.FinishedAt = &n, &tx.Now
			}
			if _, err := tx.NewInsert().Model(in).Returning("NULL").Exec(database.Later(ctx)); err != nil {
				return err
			}
			in.Done, in.Kind, in.Total = n, text, &in.Done
			res, err := tx.NewUpdate().Model(in).WherePK().Where("bytes = ?", in.Bytes).Exec(database.Prepared(ctx))
			if err != nil {
				return err
			}
			if changed, err := res.RowsAffected(); err != nil || changed != 1 {
				t.Error(changed, err)
			}
			var marked, plain []*row
			q := func(into *[]*row) *bun.SelectQuery {
				return tx.NewSelect().Model(into).Where("id IN (?)", bun.List([]string{id, "none 1"})).Where("organization_id = ?", text)
			}
			if err := q(&marked).Scan(database.Prepared(ctx)); err != nil {
				return err
			}
			if err := q(&plain).Scan(ctx); err != nil {
				return err
			}
			if len(plain) != 1 || !reflect.DeepEqual(marked, plain) || plain[0].Kind != text || plain[0].Filter[text] != text || *plain[0].Total != n || (plain[0].FinishedAt == nil) != (n%2 == 1) {
				t.Errorf("%+v %+v", marked, plain)
			}
			if n := kept(ctx, t, db, tx); db.Dialect() == database.Postgres && (n < 3 || n > 6) {
				t.Errorf("%d statements", n)
			}
			return nil
		})
	}
	const many = 300
	for range 2 {
		run(func(ctx context.Context, tx *database.Tx) error { // all at once
			for n := range many {
				if _, err := tx.NewRaw("UPDATE export_file SET bytes = ? WHERE id = ? AND 7 <> "+strconv.Itoa(n), n, "exp 'x1").Exec(database.Later(database.Prepared(ctx))); err != nil {
					return err
				}
			}
			return nil
		})
	}
	run(func(ctx context.Context, tx *database.Tx) error {
		var bytes int
		if err := tx.NewRaw("SELECT bytes FROM export_file WHERE id = ?", "exp 'x1").Scan(database.Prepared(ctx), &bytes); err != nil || bytes != many-1 {
			t.Error(bytes, err)
		}
		if n := kept(ctx, t, db, tx); n > 130 {
			t.Errorf("%d statements are kept", n)
		}
		return nil
	})
}

// TestPreparedIsForgotten runs a transaction again whose statements the server
// has forgotten, or cannot answer any more as it did.
func TestPreparedIsForgotten(t *testing.T) {
	t.Parallel()
	db, run := oneConnection(t)
	if db.Dialect() != database.Postgres {
		return // which forgets nothing
	}
	runs := 0
	look := func(columns int) {
		t.Helper()
		runs = 0
		run(func(ctx context.Context, tx *database.Tx) error {
			runs++
			if _, err := tx.NewRaw("INSERT INTO noted (id) VALUES (?)", "x 1").Exec(database.Later(ctx)); err != nil {
				return err
			}
			rows, err := tx.QueryContext(database.Prepared(ctx), "SELECT * FROM noted WHERE id = 'x 1' LIMIT 1")
			if err != nil {
				return err
			}
			names, err := rows.Columns()
			if err != nil || len(names) != columns {
				t.Error(names, err)
			}
			return rows.Close()
		})
	}
	do := func(statement string) {
		t.Helper()
		run(func(ctx context.Context, tx *database.Tx) error {
			_, err := tx.ExecContext(ctx, statement)
			return err
		})
	}
	do("CREATE TABLE noted (id text)")
	for range 7 {
		look(1)
	}
	do("ALTER TABLE noted ADD COLUMN other text")
	if look(2); runs != 2 {
		t.Error("a changed table took", runs, "runs")
	}
	if look(2); runs != 1 {
		t.Error(runs)
	}
	do("DEALLOCATE ALL")
	if look(2); runs != 2 {
		t.Error("what was forgotten took", runs, "runs")
	}
	look(2)
	run(func(ctx context.Context, tx *database.Tx) error { // who forgets does it again
		if n := kept(ctx, t, db, tx); n != 0 {
			t.Errorf("%d statements are prepared", n)
		}
		return nil
	})
	if n, err := db.Read().NewSelect().TableExpr("noted").Count(t.Context()); err != nil || n != 11 {
		t.Error(n, err)
	}
}

// A transaction that went away with its context says so, however late its user
// notices.
func TestATransactionOutlivedByItsUser(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	for name, at := range map[string]func(context.Context, *database.Tx, error) error{
		"at the commit":   func(context.Context, *database.Tx, error) error { return nil },
		"at a statement":  func(_ context.Context, _ *database.Tx, err error) error { return err },
		"wrapped by both": func(_ context.Context, _ *database.Tx, err error) error { return fmt.Errorf("saving: %w", err) },
	} {
		ctx, cancel := context.WithCancel(t.Context())
		err := db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
			cancel()
			for {
				if _, err := tx.NewRaw("SELECT 1").Exec(context.WithoutCancel(ctx)); err != nil {
					return at(ctx, tx, err)
				}
			}
		})
		if cancel(); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestACancelledTransaction leaves nothing, and its connection to others.
func TestACancelledTransaction(t *testing.T) {
	t.Parallel()
	db, run := oneConnection(t)
	backend := func() (pid int) {
		if db.Dialect() == database.Postgres {
			run(func(ctx context.Context, tx *database.Tx) error {
				return tx.NewRaw("SELECT pg_backend_pid()").Scan(ctx, &pid)
			})
		}
		return pid
	}
	backends := map[int]bool{}
	for range 5 {
		backends[backend()] = true
		ctx, cancel := context.WithCancel(t.Context())
		err := db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
			for key, how := range map[string]context.Context{"c1": ctx, "c2": database.Later(ctx), "c3": database.Last(ctx)} {
				if _, err := tx.NewRaw("INSERT INTO instance (key, value) VALUES (?, 'x')", key).Exec(how); err != nil {
					return err
				}
			}
			cancel()
			return nil
		})
		cancel()
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	if len(backends) > 2 { // one may have become the listener's
		t.Errorf("%d connections were needed", len(backends))
	}
	if n, err := db.Read().NewSelect().TableExpr("instance").Where("key LIKE 'c%'").Count(t.Context()); err != nil || n != 0 {
		t.Error(n, err)
	}
}
