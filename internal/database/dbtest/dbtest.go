// Package dbtest gives each test a migrated database of its own: SQLite by
// copying a migrated file, PostgreSQL by a fresh schema where
// CHANNELGRAPH_TEST_POSTGRES names a server. Every such database has an
// injected clock.
package dbtest

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/migrations"
)

// PostgresURL is the server that the tests run on; "" means SQLite.
func PostgresURL() string { return os.Getenv("CHANNELGRAPH_TEST_POSTGRES") }

// RedisURL is the Redis that the tests run on; "" means the embedded queue.
func RedisURL() string { return os.Getenv("CHANNELGRAPH_TEST_REDIS") }

// New opens a migrated database for one test and closes it after.
func New(t testing.TB) *database.DB {
	t.Helper()
	return Open(t, URL(t), database.NewClock(0))
}

// Open opens a database URL with a clock and closes it after the test.
func Open(t testing.TB, dsn string, clock *database.Clock) *database.DB {
	t.Helper()
	db, err := database.Open(context.Background(), dsn, database.Options{Clock: clock, MaxConns: 8, Unsafe: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// URL makes a migrated database and returns its URL, for tests that start
// processes of their own.
func URL(t testing.TB) string {
	t.Helper()
	if PostgresURL() != "" {
		return postgresURL(t, true)
	}
	path := filepath.Join(t.TempDir(), "test.db")
	raw, err := template()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return "sqlite://" + path
}

// EmptyURL makes a database without any table.
func EmptyURL(t testing.TB) string {
	t.Helper()
	if PostgresURL() != "" {
		return postgresURL(t, false)
	}
	return "sqlite://" + filepath.Join(t.TempDir(), "empty.db")
}

var template = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "channelgraph-dbtest-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "template.db")
	db, err := database.Open(context.Background(), "sqlite://"+path, database.Options{Unsafe: true})
	if err != nil {
		return nil, err
	}
	if _, err := migrations.Up(context.Background(), db); err != nil {
		return nil, err
	}
	if _, err := db.Bun().Exec("PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
		return nil, err
	}
	if err := db.Close(); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

func postgresURL(t testing.TB, migrate bool) string {
	ctx := context.Background()
	admin, err := database.Open(ctx, PostgresURL(), database.Options{MaxConns: 3})
	if err != nil {
		t.Fatal(err)
	}
	name := "t_" + strings.ToLower(ident.New(ident.Job).Body())
	if _, err := admin.Bun().ExecContext(ctx, "CREATE SCHEMA "+name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, _ = admin.Bun().ExecContext(ctx, "DROP SCHEMA "+name+" CASCADE")
		_ = admin.Close()
	})
	u, err := url.Parse(PostgresURL())
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("search_path", name)
	u.RawQuery = q.Encode()
	if migrate {
		db, err := database.Open(ctx, u.String(), database.Options{MaxConns: 3})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := migrations.Up(ctx, db); err != nil {
			t.Fatal(fmt.Errorf("migrating %s: %w", name, err))
		}
		_ = db.Close()
	}
	return u.String()
}
