package database_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/database/dbtest"
	"github.com/channelgraph/channelgraph/internal/ident"
)

// awkward are texts that mean something to one engine or another.
var awkward = []string{"", "plain", "it's; DROP TABLE instance; --", `back\slash "quoted" {a,b}`, "$1 ? ?0 :name", "tab\tand\nline", "žluťoučký 北京 🙂", "'", "''"}

// TestReadPrepared asks the same of both handles: arguments that are told apart
// mean what they mean in the text.
func TestReadPrepared(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	ctx := t.Context()
	at := time.Date(2026, 11, 21, 20, 26, 1, 234567000, time.FixedZone("", 3600))
	for _, v := range awkward {
		for n := range 8 { // PostgreSQL weighs a general plan after five
			var got, want struct {
				Text  string
				N     int
				True  bool
				Later bool
			}
			for into, handle := range map[any]bun.IDB{&got: db.ReadPrepared(), &want: db.Read()} {
				inner := db.Read().NewSelect().ColumnExpr("CAST(? AS text) AS text", v)
				err := handle.NewSelect().TableExpr("(?) AS x", inner).ColumnExpr("x.text, ? AS n, ? AS true", n, true).
					ColumnExpr("CURRENT_TIMESTAMP > ? AS later", at.AddDate(-20, 0, 0)).Where("x.text = ?", v).Where("? <> 'other'", bun.Ident("x.text")).Scan(ctx, into)
				if err != nil {
					t.Fatalf("%q: %v", v, err)
				}
			}
			if got != want || got.Text != v || got.N != n {
				t.Fatalf("%q is read as %+v, and in the text as %+v", v, got, want)
			}
		}
	}
	var s string
	if err := db.ReadPrepared().NewSelect().ColumnExpr("CAST(? AS text)", "a\x00b").Scan(ctx, &s); err == nil {
		t.Errorf("a text with a NUL is read as %q", s)
	}
	if err := db.ReadPrepared().NewSelect().ColumnExpr("CAST(? AS text)", "a\xffb").Scan(ctx, &s); err != nil || s != "a\uFFFDb" {
		t.Errorf("a broken text is read as %q, %v", s, err)
	}
	err := db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error { // beside a transaction, which it does not see
		if _, err := tx.NewRaw("INSERT INTO instance (key, value) VALUES ('prepared', '1')").Exec(ctx); err != nil {
			return err
		}
		var n int
		return db.ReadPrepared().NewSelect().TableExpr("instance").ColumnExpr("count(*)").Where("key = ?", "prepared").Scan(ctx, &n)
	})
	if err != nil {
		t.Error(err)
	}
}

// A migration that adds a column disturbs nobody who reads all of them.
func TestReadPreparedSurvivesAMigration(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	ctx := t.Context()
	if _, err := db.Bun().ExecContext(ctx, "CREATE TABLE changing (id text)"); err != nil {
		t.Fatal(err)
	}
	read := func() error {
		for range 12 { // on every connection
			var row []map[string]any
			if err := db.ReadPrepared().NewSelect().TableExpr("changing").ColumnExpr("*").Where("id <> ?", "x").Scan(ctx, &row); err != nil {
				return err
			}
		}
		return nil
	}
	if err := read(); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Bun().ExecContext(ctx, "ALTER TABLE changing ADD COLUMN more text"); err != nil {
		t.Fatal(err)
	}
	if err := read(); err != nil {
		t.Error(err)
	}
}

// TestAmong finds the rows of some ids, whatever their texts mean elsewhere.
func TestAmong(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	ctx := t.Context()
	var ids []ident.ID
	for _, v := range awkward {
		ids = append(ids, ident.ID(v))
		if _, err := db.Bun().NewRaw("INSERT INTO instance (key, value) VALUES (?, 'awkward')", v).Exec(ctx); err != nil {
			t.Fatal(err)
		}
	}
	for _, handle := range []bun.IDB{db.ReadPrepared(), db.Read()} {
		for n := 1; n <= len(ids); n++ {
			var got []ident.ID
			if err := handle.NewSelect().TableExpr("instance").ColumnExpr("key").Where("?", database.Among("instance.key", ids[:n])).Scan(ctx, &got); err != nil {
				t.Fatal(err)
			}
			want := slices.Sorted(slices.Values(ids[:n]))
			if slices.Sort(got); !slices.Equal(got, want) {
				t.Errorf("among %q are %q", want, got)
			}
		}
	}
}
