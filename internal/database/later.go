package database

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

type laterKey struct{}

// Later marks a statement of a transaction whose result nobody looks at and
// that nobody expects to fail: an audit event, a job, a line of a history. On
// PostgreSQL it waits for the next statement that somebody does wait for, or
// for the commit, and travels with it: round trips decide what a verb costs.
// The order of a transaction's statements stays as it is written. Where one
// fails after all the transaction is over, and the failure is told to whoever
// runs the next one, never as a unique violation, which that one might expect
// of itself. SQLite knows no round trips and runs everything at once.
//
// A model with nil pointers needs Returning("NULL"), or bun reads them back.
func Later(ctx context.Context) context.Context { return context.WithValue(ctx, laterKey{}, true) }

// lateError is what became of a statement that nobody waited for. It hides
// the engine's error from those who look for one of their own.
type lateError struct{ cause error }

func (e *lateError) Error() string {
	return "an earlier statement of the transaction: " + e.cause.Error()
}

// connector makes connections that know Later.
type connector struct{ driver.Connector }

func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	inner, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	std, ok := inner.(*stdlib.Conn)
	if !ok {
		return nil, fmt.Errorf("the driver made a connection of type %T", inner)
	}
	return &laterConn{Conn: std}, nil
}

// laterConn is a connection with the statements that wait on it.
type laterConn struct {
	*stdlib.Conn
	inTx    bool
	waiting []string
}

func (c *laterConn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	tx, err := c.Conn.BeginTx(ctx, o)
	if err != nil {
		return nil, err
	}
	c.inTx, c.waiting = true, nil
	return &laterTx{ctx: ctx, conn: c, inner: tx}, nil
}

func (c *laterConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if later, _ := ctx.Value(laterKey{}).(bool); later && c.inTx && len(args) == 0 {
		c.waiting = append(c.waiting, query)
		return driver.RowsAffected(0), nil
	}
	if len(c.waiting) > 0 && len(args) == 0 {
		tag, err := c.send(ctx, query)
		return driver.RowsAffected(tag.RowsAffected()), err
	}
	if err := c.flush(ctx); err != nil {
		return nil, err
	}
	return c.Conn.ExecContext(ctx, query, args)
}

func (c *laterConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if err := c.flush(ctx); err != nil {
		return nil, err
	}
	return c.Conn.QueryContext(ctx, query, args)
}

func (c *laterConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	if err := c.flush(ctx); err != nil {
		return nil, err
	}
	return c.Conn.PrepareContext(ctx, query)
}

// flush sends what waits.
func (c *laterConn) flush(ctx context.Context) error {
	if len(c.waiting) == 0 {
		return nil
	}
	_, err := c.send(ctx, "")
	return err
}

// send sends what waits and, unless it is "", a statement after it, and tells
// the last one's outcome.
func (c *laterConn) send(ctx context.Context, query string) (pgconn.CommandTag, error) {
	late := len(c.waiting)
	all := c.waiting
	if query != "" {
		all = append(all, query)
	}
	c.waiting = nil
	results := c.Conn.Conn().PgConn().Exec(ctx, strings.Join(all, ";\n"))
	var tag pgconn.CommandTag
	done := 0
	for results.NextResult() {
		var err error
		if tag, err = results.ResultReader().Close(); err != nil {
			break
		}
		done++
	}
	err := results.Close()
	if err != nil && done < late {
		err = &lateError{err}
	}
	return tag, err
}

// laterTx commits with what waits.
type laterTx struct {
	ctx   context.Context // the transaction's own, as the driver keeps it
	conn  *laterConn
	inner driver.Tx
}

func (t *laterTx) Commit() error {
	t.conn.inTx = false
	if len(t.conn.waiting) == 0 {
		return t.inner.Commit()
	}
	tag, err := t.conn.send(t.ctx, "commit")
	if err != nil {
		return errors.Join(err, t.inner.Rollback())
	}
	if tag.String() == "ROLLBACK" { // it had failed before
		return pgx.ErrTxCommitRollback
	}
	return nil
}

func (t *laterTx) Rollback() error {
	t.conn.inTx, t.conn.waiting = false, nil
	return t.inner.Rollback()
}
