// Package database opens the database, runs transactions and holds every
// difference between PostgreSQL and SQLite; no other package asks which of
// the two it talks to. It owns no table but `instance` and never decides a
// rule of the product.
//
// Invariant: a verb is one transaction with one Now, and what it announces
// (Notify, AfterCommit) happens only after its commit.
package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	"github.com/uptrace/bun/schema"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/channelgraph/channelgraph/internal/ident"
)

// Dialect names a database engine.
type Dialect string

// The two engines.
const (
	Postgres Dialect = "postgres"
	SQLite   Dialect = "sqlite"
)

// Options change how a database is opened.
type Options struct {
	// Clock replaces the wall clock; nil means the wall clock, and on
	// PostgreSQL the server's own for due and lease decisions.
	Clock *Clock
	// MaxConns bounds the PostgreSQL pool; 0 means a small multiple of cores.
	MaxConns int
	// Unsafe drops durability for tests: nothing survives a power cut.
	Unsafe bool
}

// DB is an open database.
type DB struct {
	dialect Dialect
	write   *bun.DB
	read    *bun.DB
	// prepared is read, with arguments apart.
	prepared *bun.DB
	pool     *pgxpool.Pool
	clock    *Clock
	bell     *bell
	queries  atomic.Int64
	hears    func(ctx context.Context, tx *Tx, told []Told) error
	cancel   context.CancelFunc
	done     sync.WaitGroup
}

// Open connects to "sqlite:///path/file.db" or "postgres://…". The caller
// closes it. It does not migrate.
func Open(ctx context.Context, dsn string, o Options) (*DB, error) {
	db := &DB{clock: o.Clock, bell: newBell()}
	if db.clock == nil {
		db.clock = &Clock{}
	}
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	db.cancel = cancel
	var err error
	switch {
	case strings.HasPrefix(dsn, "sqlite:"):
		err = db.openSQLite(ctx, strings.TrimPrefix(strings.TrimPrefix(dsn, "sqlite:"), "//"), o)
	case strings.HasPrefix(dsn, "postgres://"), strings.HasPrefix(dsn, "postgresql://"):
		err = db.openPostgres(ctx, dsn, o)
	default:
		err = errors.New("the database URL must begin with \"sqlite:\" or \"postgres:\"")
	}
	if err != nil {
		cancel()
		return nil, fmt.Errorf("opening the database: %w", err)
	}
	if db.dialect == Postgres {
		db.done.Add(2)
		go func() { defer db.done.Done(); db.listen(run) }()
		go func() { defer db.done.Done(); db.announce(run) }()
	}
	return db, nil
}

func (db *DB) openSQLite(ctx context.Context, path string, o Options) error {
	if path == "" {
		return errors.New("the SQLite URL names no file")
	}
	if dir := filepath.Dir(path); dir != "." {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	// Private from the beginning: SQLite gives its side files the same mode.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	db.dialect = SQLite
	sync := "FULL"
	if o.Unsafe {
		sync = "OFF"
	}
	// busy_timeout stands before journal_mode, which itself may find the file
	// busy.
	open := func(conns int, extra url.Values) (*bun.DB, error) {
		v := url.Values{"_pragma": {"busy_timeout(15000)", "journal_mode(WAL)", "synchronous(" + sync + ")",
			"foreign_keys(1)", "cache_size(-8000)", "temp_store(MEMORY)"}}
		for k, x := range extra {
			v[k] = append(v[k], x...)
		}
		c, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+v.Encode())
		if err != nil {
			return nil, err
		}
		c.SetMaxOpenConns(conns)
		c.SetMaxIdleConns(conns)
		if err := c.PingContext(ctx); err != nil {
			return nil, err
		}
		return bun.NewDB(c, sqlitedialect.New()).WithQueryHook((*counter)(db)), nil
	}
	if db.write, err = open(1, url.Values{"_txlock": {"immediate"}}); err != nil {
		return err
	}
	db.read, err = open(4, url.Values{"_pragma": {"query_only(1)"}})
	db.prepared = db.read
	return err
}

func (db *DB) openPostgres(ctx context.Context, dsn string, o Options) error {
	db.dialect = Postgres
	cfg, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return errors.New("the PostgreSQL URL cannot be read") // the cause may show the password
	}
	// bun writes its arguments into the text, so prepared statements never
	// hit; see performance.md rule 4, and Prepared for the few that do.
	cfg.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
	cfg.ConnConfig.StatementCacheCapacity = 64 // on each connection; those of ReadPrepared have few shapes
	cfg.ConnConfig.RuntimeParams["jit"] = "off"
	cfg.ConnConfig.RuntimeParams["timezone"] = "UTC"
	if cfg.ConnConfig.RuntimeParams["application_name"] == "" {
		cfg.ConnConfig.RuntimeParams["application_name"] = "channelgraph"
	}
	if o.MaxConns > 0 {
		cfg.MaxConns = int32(o.MaxConns) // a small setting
	}
	if db.pool, err = pgxpool.NewWithConfig(ctx, cfg); err != nil {
		return err
	}
	if err := db.pool.Ping(ctx); err != nil {
		db.pool.Close()
		return err
	}
	std := sql.OpenDB(connector{stdlib.GetPoolConnector(db.pool), new(atomic.Bool)})
	std.SetMaxIdleConns(0) // the pool keeps them
	std.SetMaxOpenConns(int(cfg.MaxConns))
	db.write = bun.NewDB(std, pgdialect.New()).WithQueryHook((*counter)(db))
	db.read = db.write
	db.prepared = bun.NewDB(std, apart{pgdialect.New()}).WithQueryHook((*counter)(db))
	return nil
}

// Close ends the database's own work and connections.
func (db *DB) Close() error {
	db.cancel()
	db.done.Wait()
	err := db.write.Close()
	if db.read != db.write {
		err = errors.Join(err, db.read.Close())
	}
	if db.pool != nil {
		db.pool.Close()
	}
	return err
}

// Dialect tells the engine; only this package, migrations and doctor ask.
func (db *DB) Dialect() Dialect { return db.dialect }

// Bun is the writing handle, for migrations and single statements that need
// no transaction.
func (db *DB) Bun() *bun.DB { return db.write }

// Read is the handle for queries outside a transaction.
func (db *DB) Read() bun.IDB { return db.read }

// Ping proves that the database answers.
func (db *DB) Ping(ctx context.Context) error { return db.read.PingContext(ctx) }

// Queries counts the statements run so far, for tests that bound them.
func (db *DB) Queries() int64 { return db.queries.Load() }

type counter DB

func (c *counter) BeforeQuery(ctx context.Context, e *bun.QueryEvent) context.Context {
	beginStatement(ctx, c.dialect, e)
	return ctx
}

func (c *counter) AfterQuery(_ context.Context, e *bun.QueryEvent) {
	endStatement(e)
	if op := e.Operation(); op != "BEGIN" && op != "COMMIT" && op != "ROLLBACK" {
		c.queries.Add(1)
	}
}

// Tx is a running transaction. It is a bun.IDB for the stores.
type Tx struct {
	bun.Tx
	// Now is the transaction's one moment: UTC, microseconds.
	Now    time.Time
	db     *DB
	topics map[string]struct{}
	after  []func()
	told   []Told
}

// Told is something that a verb did: concept.verb in the past tense, and to
// what.
type Told struct {
	Action    string
	SubjectID ident.ID
}

// Tell lets those who Listen know, in this transaction, that something was
// done.
func (tx *Tx) Tell(action string, subject ident.ID) {
	if tx.db.hears != nil {
		tx.told = append(tx.told, Told{action, subject})
	}
}

// Listen lets fn hear all that a transaction was told, together and just before
// its commit, so that it sees every record as it will be. Its error ends the
// transaction. There is one listener; it is named before the first transaction.
func (db *DB) Listen(fn func(ctx context.Context, tx *Tx, told []Told) error) { db.hears = fn }

// Notify wakes the subscribers of a topic, in this process and others, after
// the commit.
func (tx *Tx) Notify(topic string) {
	if tx.topics == nil {
		tx.topics = map[string]struct{}{}
	}
	tx.topics[topic] = struct{}{}
}

// AfterCommit runs fn once the transaction is committed.
func (tx *Tx) AfterCommit(fn func()) { tx.after = append(tx.after, fn) }

// Lock makes a select hold its rows until the transaction ends.
func (tx *Tx) Lock(q *bun.SelectQuery) *bun.SelectQuery {
	if tx.db.dialect == Postgres {
		return q.For("UPDATE")
	}
	return q // SQLite: one writer, immediate transactions
}

// Share makes a select hold its rows against changes until the transaction
// ends; others may hold them likewise.
func (tx *Tx) Share(q *bun.SelectQuery) *bun.SelectQuery {
	if tx.db.dialect == Postgres {
		return q.For("SHARE")
	}
	return q
}

// LockSkip is Lock that passes over rows which another transaction holds.
func (tx *Tx) LockSkip(q *bun.SelectQuery) *bun.SelectQuery {
	if tx.db.dialect == Postgres {
		return q.For("UPDATE SKIP LOCKED")
	}
	return q
}

// InTx runs fn in one transaction: committed when fn returns nil, otherwise
// rolled back. Serialization failures and deadlocks run fn again, up to four
// times, so fn has no effect outside the transaction.
func (db *DB) InTx(ctx context.Context, fn func(ctx context.Context, tx *Tx) error) error {
	var err error
	for try := range 5 {
		var tx *Tx
		tx, err = db.once(ctx, fn)
		if err == nil {
			for t := range tx.topics {
				db.bell.ring(t)
			}
			for _, f := range tx.after {
				f()
			}
			return nil
		}
		if !transient(err) || ctx.Err() != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(time.Duration(1<<try) * 3 * time.Millisecond):
		}
	}
	return err
}

func (db *DB) once(ctx context.Context, fn func(ctx context.Context, tx *Tx) error) (_ *Tx, err error) {
	b, err := db.write.BeginTx(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("beginning a transaction: %w", err)
	}
	tx := &Tx{Tx: b, Now: db.Now(), db: db}
	defer func() {
		if p := recover(); p != nil {
			_ = b.Rollback()
			panic(p)
		}
	}()
	err = fn(ctx, tx)
	if err == nil && len(tx.told) > 0 {
		err = db.hears(ctx, tx, tx.told)
	}
	if err != nil {
		_ = b.Rollback()
		return nil, ended(ctx, err)
	}
	if err := b.Commit(); err != nil {
		return nil, fmt.Errorf("committing: %w", ended(ctx, err))
	}
	return tx, nil
}

// ended says of a transaction that went away under its user that its context
// ended, where it did.
func ended(ctx context.Context, err error) error {
	if cause := ctx.Err(); cause != nil && errors.Is(err, sql.ErrTxDone) {
		return fmt.Errorf("%w: %w", cause, err)
	}
	return err
}

// Now is the moment by the house's clock: UTC, microseconds.
func (db *DB) Now() time.Time { return db.clock.Now() }

// Clock is the house's clock.
func (db *DB) Clock() *Clock { return db.clock }

// NowExpr is the moment for due and lease decisions inside a statement: the
// server's own on PostgreSQL with the wall clock, otherwise the house's.
func (db *DB) NowExpr() schema.QueryAppender {
	if db.dialect == Postgres && !db.clock.Injected() {
		return bun.SafeQuery("now()")
	}
	return bun.SafeQuery("?", db.Now())
}

// IsUnique reports a unique violation.
func IsUnique(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code == "23505"
	}
	var lite *sqlite.Error
	return errors.As(err, &lite) && (lite.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE || lite.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY)
}

// IsNoRows reports that a single row was not there.
func IsNoRows(err error) bool { return errors.Is(err, sql.ErrNoRows) }

func transient(err error) bool {
	var late *lateError
	if errors.As(err, &late) {
		return transient(late.cause)
	}
	var old *staleError
	if errors.As(err, &old) {
		return true
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code == "40001" || pg.Code == "40P01"
	}
	var lite *sqlite.Error
	return errors.As(err, &lite) && lite.Code()&0xff == sqlite3.SQLITE_BUSY
}

// IsDown reports that the database itself could not be reached or answered
// that it is starting or stopping.
func IsDown(err error) bool {
	if err == nil {
		return false
	}
	var late *lateError
	if errors.As(err, &late) {
		return IsDown(late.cause)
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return strings.HasPrefix(pg.Code, "57P") || strings.HasPrefix(pg.Code, "08") || pg.Code == "53300"
	}
	var connect *pgconn.ConnectError
	return errors.As(err, &connect) || errors.Is(err, sql.ErrConnDone) || strings.Contains(err.Error(), "connection refused") ||
		strings.Contains(err.Error(), "conn closed") || strings.Contains(err.Error(), "unexpected EOF") || strings.Contains(err.Error(), "connection reset")
}

// Skew is how far the wall clock of this process is ahead of the database's;
// always zero on SQLite, which has no clock of its own.
func (db *DB) Skew(ctx context.Context) (time.Duration, error) {
	if db.dialect == SQLite {
		return 0, nil
	}
	before := time.Now()
	var there time.Time
	if err := db.read.NewSelect().ColumnExpr("now()").Scan(ctx, &there); err != nil {
		return 0, err
	}
	return before.Add(time.Since(before) / 2).Sub(there), nil
}
