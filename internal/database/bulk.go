package database

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/schema"
)

// Bulk is a transaction that brings in many rows at once.
type Bulk struct {
	*Tx
	conn bun.Conn
}

// InBulk is InTx for many rows: fn fills tables with Load, and may do whatever
// else a transaction may. On PostgreSQL it commits without waiting for the
// disk: after a crash of the server the newest of such transactions may be
// gone, each as a whole.
func (db *DB) InBulk(ctx context.Context, fn func(ctx context.Context, b *Bulk) error) (err error) {
	conn, err := db.write.Conn(ctx)
	if err != nil {
		return fmt.Errorf("taking a connection: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	inner, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("beginning a transaction: %w", err)
	}
	defer func() { _ = inner.Rollback() }() // after a commit it does nothing
	b := &Bulk{Tx: &Tx{Tx: inner, Now: db.Now(), db: db}, conn: conn}
	if db.dialect == Postgres {
		if _, err := b.ExecContext(ctx, "SET LOCAL synchronous_commit = off"); err != nil {
			return err
		}
	}
	if err := fn(ctx, b); err != nil {
		return err
	}
	if err := inner.Commit(); err != nil {
		return fmt.Errorf("committing: %w", ended(ctx, err))
	}
	for t := range b.topics {
		db.bell.ring(t)
	}
	for _, f := range b.after {
		f()
	}
	return nil
}

// chunk is how many rows one INSERT carries on SQLite.
const chunk = 250

// Load writes a slice of pointers to models: by COPY on PostgreSQL, in INSERTs
// of many rows on SQLite. Every column is written, so a table whose ids the
// engine makes is none for it.
func (b *Bulk) Load(ctx context.Context, rows any) error {
	v := reflect.ValueOf(rows)
	if v.Len() == 0 {
		return nil
	}
	if b.db.dialect == SQLite {
		for from := 0; from < v.Len(); from += chunk {
			part := reflect.New(v.Type())
			part.Elem().Set(v.Slice(from, min(from+chunk, v.Len())))
			if _, err := b.NewInsert().Model(part.Interface()).Exec(ctx); err != nil {
				return err
			}
		}
		return nil
	}
	table := b.db.write.Table(v.Type().Elem().Elem())
	columns := make([]string, len(table.Fields))
	for i, f := range table.Fields {
		columns[i] = f.Name
	}
	err := b.conn.Raw(func(driver any) error {
		if err := driver.(*laterConn).flush(ctx); err != nil {
			return err
		}
		_, err := driver.(*laterConn).Conn.Conn().CopyFrom(ctx, pgx.Identifier{table.Name}, columns, &source{rows: v, fields: table.Fields, at: -1})
		return err
	})
	if err != nil {
		return fmt.Errorf("copying into %s: %w", table.Name, err)
	}
	return nil
}

// source reads models as COPY wants them.
type source struct {
	rows   reflect.Value
	fields []*schema.Field
	at     int
}

func (s *source) Next() bool { s.at++; return s.at < s.rows.Len() }
func (s *source) Err() error { return nil }

func (s *source) Values() ([]any, error) {
	row := s.rows.Index(s.at).Elem()
	out := make([]any, len(s.fields))
	for i, f := range s.fields {
		v := f.Value(row)
		switch {
		case strings.EqualFold(f.UserSQLType, "jsonb"):
			text, err := json.Marshal(v.Interface())
			if err != nil {
				return nil, err
			}
			out[i] = string(text)
		case v.Kind() == reflect.String:
			out[i] = v.String()
		default:
			out[i] = v.Interface()
		}
	}
	return out, nil
}

// Settled brings the engine's knowledge of some tables up to date, after much
// was written into them at once.
func (db *DB) Settled(ctx context.Context, tables ...string) error {
	statement := "ANALYZE ?"
	if db.dialect == Postgres {
		statement = "VACUUM (ANALYZE) ?"
	}
	for _, t := range tables {
		if _, err := db.write.ExecContext(ctx, statement, bun.Ident(t)); err != nil {
			return fmt.Errorf("settling %s: %w", t, err)
		}
	}
	return nil
}
