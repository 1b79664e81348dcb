// Package dbtest gives each test a migrated database of its own: SQLite by
// copying a migrated file, PostgreSQL by copying a migrated database where
// CHANNELGRAPH_TEST_POSTGRES names a server. Every such database has an
// injected clock.
package dbtest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

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
	t.Helper()
	like := ""
	if migrate {
		var err error
		if like, err = migrated(); err != nil {
			t.Fatal(err)
		}
	}
	name := "t_" + strings.ToLower(ident.New(ident.Job).Body())
	if err := Create(name, like); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := Drop(name); err != nil {
			t.Error(err)
		}
	})
	return DatabaseURL(name)
}

// DatabaseURL is the URL of a database of the PostgreSQL server.
func DatabaseURL(name string) string {
	u, err := url.Parse(PostgresURL())
	if err != nil {
		panic(err) // nothing can be tested without it
	}
	u.Path = "/" + name
	if u.RawQuery == "" { // so that tests can add to it
		u.RawQuery = "application_name=channelgraph"
	}
	return u.String()
}

// Create makes a database on the PostgreSQL server, a copy of another one or
// an empty one where that is "". Nobody may be connected to the other one.
func Create(name, like string) error {
	statement := "CREATE DATABASE " + name
	if like != "" {
		statement += " TEMPLATE " + like
	}
	return serve(func(ctx context.Context, s *server) error {
		if s.careless { // its checkpoints wait for no disk, and a copy of files costs least
			statement += " STRATEGY file_copy"
		}
		_, err := s.pool.Exec(ctx, statement)
		return err
	})
}

// Drop removes a database of the PostgreSQL server and ends who is connected
// to it.
func Drop(name string) error {
	return serve(func(ctx context.Context, s *server) error {
		_, err := s.pool.Exec(ctx, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)")
		return err
	})
}

// server is the PostgreSQL server, as its superuser.
type server struct {
	pool     *pgxpool.Pool
	careless bool // it does without fsync
}

var connected = sync.OnceValues(func() (*server, error) {
	ctx := context.Background()
	cfg, err := pgxpool.ParseConfig(PostgresURL())
	if err != nil {
		return nil, errors.New("CHANNELGRAPH_TEST_POSTGRES cannot be read")
	}
	cfg.MaxConns = 4
	s := &server{}
	if s.pool, err = pgxpool.NewWithConfig(ctx, cfg); err != nil {
		return nil, err
	}
	var fsync string
	if err := s.pool.QueryRow(ctx, "SHOW fsync").Scan(&fsync); err != nil {
		return nil, err
	}
	s.careless = fsync == "off"
	return s, nil
})

func serve(fn func(context.Context, *server) error) error {
	s, err := connected()
	if err != nil {
		return fmt.Errorf("the PostgreSQL of the tests: %w", err)
	}
	return fn(context.Background(), s)
}

// migrated is the name of a database that is migrated and otherwise empty.
// Whoever needs it first makes it, for all packages and runs with the same
// migrations: to copy it takes a tenth of what migrating does.
var migrated = sync.OnceValues(func() (string, error) {
	fingerprint, err := migrations.Fingerprint(database.Postgres)
	if err != nil {
		return "", err
	}
	name := "channelgraph_template_" + fingerprint[:16]
	return name, serve(func(ctx context.Context, s *server) error {
		conn, err := s.pool.Acquire(ctx)
		if err != nil {
			return err
		}
		defer conn.Release()
		if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock(hashtext($1))", name); err != nil {
			return err
		}
		defer func() { _, _ = conn.Exec(ctx, "SELECT pg_advisory_unlock(hashtext($1))", name) }()
		var there bool
		if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&there); err != nil || there {
			return err
		}
		unfinished := name + "_unfinished"
		if err := Drop(unfinished); err != nil { // somebody was killed who made it
			return err
		}
		if err := Create(unfinished, ""); err != nil {
			return err
		}
		db, err := database.Open(ctx, DatabaseURL(unfinished), database.Options{MaxConns: 3})
		if err != nil {
			return err
		}
		_, err = migrations.Up(ctx, db)
		if err := errors.Join(err, db.Close()); err != nil {
			return err
		}
		_, err = conn.Exec(ctx, "ALTER DATABASE "+unfinished+" RENAME TO "+name)
		return err
	})
})
