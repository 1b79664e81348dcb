package database_test

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/database/dbtest"
	"github.com/channelgraph/channelgraph/migrations"
)

var update = flag.Bool("update", false, "write the goldens anew")

var spaces = regexp.MustCompile(`\s+`)

// dump describes the whole schema of a database, one thing a line.
func dump(t *testing.T, db *database.DB) string {
	t.Helper()
	queries := []string{"SELECT type || ' ' || name || ': ' || coalesce(sql, 'automatic') FROM sqlite_master WHERE name NOT LIKE 'sqlite_stat%'"}
	if db.Dialect() == database.Postgres {
		queries = []string{
			`SELECT 'column ' || table_name || '.' || column_name || ': ' || data_type || coalesce(' collate ' || collation_name, '') ||
			 CASE is_nullable WHEN 'NO' THEN ' not null' ELSE '' END || coalesce(' default ' || column_default, '')
			 FROM information_schema.columns WHERE table_schema = current_schema()`,
			`SELECT 'index ' || indexname || ': ' || indexdef FROM pg_indexes WHERE schemaname = current_schema()`,
			`SELECT 'constraint ' || c.conrelid::regclass || '.' || c.conname || ': ' || pg_get_constraintdef(c.oid) FROM pg_constraint c
			 WHERE c.connamespace = current_schema()::regnamespace AND c.contype <> 'n'`,
			`SELECT 'trigger ' || tgname || ': ' || pg_get_triggerdef(oid) FROM pg_trigger
			 WHERE NOT tgisinternal AND tgrelid IN (SELECT oid FROM pg_class WHERE relnamespace = current_schema()::regnamespace)`,
			`SELECT 'function ' || proname || ': ' || prosrc FROM pg_proc WHERE pronamespace = current_schema()::regnamespace`,
		}
	}
	var lines []string
	for _, q := range queries {
		var part []string
		if err := db.Read().NewRaw(q).Scan(t.Context(), &part); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, part...)
	}
	var schema string
	if db.Dialect() == database.Postgres {
		if err := db.Read().NewRaw("SELECT current_schema()").Scan(t.Context(), &schema); err != nil {
			t.Fatal(err)
		}
	}
	for i, l := range lines {
		if schema != "" {
			l = strings.ReplaceAll(strings.ReplaceAll(l, schema+".", ""), `"`+schema+`".`, "")
		}
		lines[i] = strings.TrimSpace(spaces.ReplaceAllString(l, " "))
	}
	// bun's own tables belong to bun
	lines = slices.DeleteFunc(lines, func(l string) bool {
		return strings.Contains(l, "bun_migration") || strings.HasPrefix(l, "table sqlite_sequence")
	})
	slices.Sort(lines)
	return strings.Join(lines, "\n") + "\n"
}

// The final schema of each engine, so that a review of a migration sees what
// it makes of it. Run with -update after a change, on both engines.
func TestSchema(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	got := dump(t, db)
	path := filepath.Join("testdata", "schema."+string(db.Dialect())+".txt")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Split(string(raw), "\n")
	have := strings.Split(got, "\n")
	for _, l := range have {
		if !slices.Contains(want, l) {
			t.Errorf("new:  %s", l)
		}
	}
	for _, l := range want {
		if !slices.Contains(have, l) {
			t.Errorf("gone: %s", l)
		}
	}
	if t.Failed() {
		t.Error("where a migration meant it: go test -run TestSchema ./internal/database -update, on both engines")
	}
}

func TestMigrateFromZero(t *testing.T) {
	t.Parallel()
	db := dbtest.Open(t, dbtest.EmptyURL(t), database.NewClock(0))
	ctx := t.Context()
	states := func(applied bool) []string {
		t.Helper()
		all, err := migrations.Status(ctx, db)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, s := range all {
			if s.Applied != applied {
				t.Errorf("%s: applied %t", s.Name, s.Applied)
			}
			names = append(names, s.Name)
		}
		return names
	}
	if _, err := migrations.Up(ctx, db); err != nil {
		t.Fatal(err)
	}
	names := states(true)
	files, err := filepath.Glob("../../migrations/*.tx.up.sql")
	if err != nil || len(files) != len(names) || !slices.IsSorted(names) {
		t.Errorf("%d files, migrations %v, %v", len(files), names, err)
	}
	for i, f := range files {
		if name := strings.TrimSuffix(filepath.Base(f), ".tx.up.sql"); name != names[i] {
			t.Errorf("%s is migration %s", f, names[i])
		}
	}
	if again, err := migrations.Up(ctx, db); err != nil || len(again) != 0 {
		t.Errorf("a second time applied %v, %v", again, err)
	}
	if got, want := dump(t, db), dump(t, dbtest.New(t)); got != want {
		t.Error("a database from zero has another schema than the tests'")
	}
}

func TestStatusOfAnEmptyDatabase(t *testing.T) {
	t.Parallel()
	db := dbtest.Open(t, dbtest.EmptyURL(t), database.NewClock(0))
	all, err := migrations.Status(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		if s.Applied {
			t.Errorf("%s is applied", s.Name)
		}
	}
	if got := strings.TrimSpace(dump(t, db)); len(all) == 0 || got != "" {
		t.Errorf("looking changed something: %s", got)
	}
}

// Two processes that start at once: each file is applied once, and both go on
// with a finished schema.
func TestTwoMigrateAtOnce(t *testing.T) {
	t.Parallel()
	url := dbtest.EmptyURL(t)
	type result struct {
		applied []string
		err     error
	}
	results := make(chan result, 2)
	dbs := []*database.DB{dbtest.Open(t, url, nil), dbtest.Open(t, url, nil)}
	for _, db := range dbs {
		go func() {
			applied, err := migrations.Up(context.WithoutCancel(t.Context()), db)
			results <- result{applied, err}
		}()
	}
	total := 0
	for range dbs {
		select {
		case r := <-results:
			if r.err != nil {
				t.Error(r.err)
			}
			total += len(r.applied)
		case <-time.After(2 * time.Minute):
			t.Fatal("they wait for each other")
		}
	}
	all, err := migrations.Status(t.Context(), dbs[0])
	if err != nil || total != len(all) {
		t.Errorf("%d of %d files were applied, %v", total, len(all), err)
	}
}

// TestIdsCollateAlike holds every id on PostgreSQL to the order of bytes: a
// join of two columns that collate differently uses no index.
func TestIdsCollateAlike(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	if db.Dialect() != database.Postgres {
		return // SQLite compares bytes
	}
	var wrong []string
	err := db.Read().NewRaw(`SELECT table_name || '.' || column_name FROM information_schema.columns
		WHERE table_schema = current_schema() AND data_type = 'text' AND collation_name IS DISTINCT FROM 'C' AND (column_name = 'id' OR column_name LIKE '%\_id')
		ORDER BY 1`).Scan(t.Context(), &wrong)
	if err != nil {
		t.Fatal(err)
	}
	if len(wrong) > 0 {
		t.Errorf("these columns want {{.Text}}: %s", strings.Join(wrong, ", "))
	}
}
