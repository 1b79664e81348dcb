package database

import (
	"bytes"
	"context"
	"database/sql/driver"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/uptrace/bun"
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
func Later(ctx context.Context) context.Context { return context.WithValue(ctx, laterKey{}, inOrder) }

// Last is Later for rows that their own transaction never reads and nothing
// refers to, such as audit events: they go with the commit, all those of a
// table as one statement.
func Last(ctx context.Context) context.Context { return context.WithValue(ctx, laterKey{}, atTheEnd) }

// When a statement goes that nobody waits for.
const (
	inOrder = iota + 1
	atTheEnd
)

type severalKey struct{}

// Select scans several queries into their models, slices of pointers to
// structs, in one round trip where that makes a difference.
func (tx *Tx) Select(ctx context.Context, queries ...*bun.SelectQuery) error {
	if tx.db.dialect != Postgres {
		for _, q := range queries {
			if err := q.Scan(ctx); err != nil {
				return err
			}
		}
		return nil
	}
	texts := make([]string, len(queries))
	for i, q := range queries {
		text, err := q.AppendQuery(tx.db.write.QueryGen(), nil)
		if err != nil {
			return err
		}
		texts[i] = string(text)
	}
	rows, err := tx.QueryContext(context.WithValue(ctx, severalKey{}, true), strings.Join(texts, ";\n"))
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for i, q := range queries {
		if i > 0 && !rows.NextResultSet() {
			return fmt.Errorf("%d queries were answered by %d results", len(queries), i)
		}
		list := reflect.ValueOf(q.GetModel().Value()).Elem()
		list.SetLen(0)
		for rows.Next() {
			row := reflect.New(list.Type().Elem().Elem())
			if err := tx.db.write.ScanRow(ctx, rows, row.Interface()); err != nil {
				return err
			}
			list.Set(reflect.Append(list, row))
		}
	}
	return rows.Err()
}

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
	last    []string
}

// BeginTx begins with the first statement; one with particular wishes begins
// at once.
func (c *laterConn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	if o != (driver.TxOptions{}) {
		return c.Conn.BeginTx(ctx, o)
	}
	if c.Conn.Conn().IsClosed() {
		return nil, driver.ErrBadConn
	}
	c.inTx, c.waiting, c.last = true, append(c.waiting[:0], "begin"), c.last[:0]
	return &laterTx{ctx: ctx, conn: c}, nil
}

func (c *laterConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if c.inTx && len(args) == 0 {
		switch ctx.Value(laterKey{}) {
		case inOrder:
			c.waiting = wait(c.waiting, query, 1)
			return driver.RowsAffected(0), nil
		case atTheEnd:
			c.last = wait(c.last, query, len(c.last))
			return driver.RowsAffected(0), nil
		}
	}
	if len(c.waiting) > 0 && len(args) == 0 {
		tag, _, err := c.send(ctx, query)
		return driver.RowsAffected(tag.RowsAffected()), err
	}
	if err := c.flush(ctx); err != nil {
		return nil, err
	}
	return c.Conn.ExecContext(ctx, query, args)
}

// wait puts a statement at the end of those that wait; a row for the table
// into which one of the last few writes becomes one more row of that.
func wait(list []string, query string, few int) []string {
	head, row, ok := strings.Cut(query, " VALUES (")
	if ok && strings.HasPrefix(head, "INSERT INTO ") && plain(query) {
		for i := len(list) - 1; i >= max(0, len(list)-few); i-- {
			if strings.HasPrefix(list[i], head+" VALUES (") && plain(list[i]) {
				list[i] += ", (" + row
				return list
			}
		}
	}
	return append(list, query)
}

// plain reports that an INSERT surely ends with its values.
func plain(query string) bool {
	return !strings.Contains(query, " ON CONFLICT ") && !strings.Contains(query, " RETURNING ")
}

func (c *laterConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if text, apart, ok := takeApart(query); ok {
		if err := c.flush(ctx); err != nil {
			return nil, err
		}
		return c.queryApart(ctx, text, apart)
	}
	several, _ := ctx.Value(severalKey{}).(bool)
	if (several || len(c.waiting) > 0) && len(args) == 0 {
		_, rows, err := c.send(ctx, query)
		if err != nil {
			return nil, err
		}
		return rows, nil
	}
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
	_, _, err := c.send(ctx, "")
	return err
}

// send sends what waits and, unless it is "", a statement after it, or
// several, and tells the last one's outcome and what all of these read.
func (c *laterConn) send(ctx context.Context, query string) (tag pgconn.CommandTag, rows *readRows, err error) {
	late := len(c.waiting)
	if query != "" {
		c.waiting = append(c.waiting, query)
	}
	text := strings.Join(c.waiting, ";\n")
	c.waiting = c.waiting[:0]
	results := c.Conn.Conn().PgConn().Exec(ctx, text)
	done := 0
	for results.NextResult() {
		r := results.ResultReader()
		if done >= late {
			read := readAll(c.Conn.Conn().TypeMap(), r)
			if rows == nil {
				rows = read
			} else {
				rows.next = append(rows.next, read)
			}
			if err == nil {
				err = read.err
			}
		}
		var cerr error
		if tag, cerr = r.Close(); cerr != nil {
			break // results tell it too
		}
		done++
	}
	if cerr := results.Close(); cerr != nil {
		err = cerr
	}
	if err == nil && query != "" && rows == nil { // a statement of nothing
		rows = &readRows{}
	}
	if err != nil && done < late {
		err = &lateError{err}
	}
	return tag, rows, err
}

// readRows are the rows of a statement that travelled with others.
type readRows struct {
	columns []string
	values  [][]driver.Value
	err     error
	next    []*readRows
}

// HasNextResultSet and NextResultSet make it a driver.RowsNextResultSet.
func (r *readRows) HasNextResultSet() bool { return len(r.next) > 0 }

func (r *readRows) NextResultSet() error {
	if len(r.next) == 0 {
		return io.EOF
	}
	rest := r.next[1:]
	*r = *r.next[0]
	r.next = rest
	return nil
}

// readAll reads a result as database/sql wants its values.
func readAll(types *pgtype.Map, r *pgconn.ResultReader) *readRows {
	out := &readRows{}
	fields := r.FieldDescriptions()
	for _, f := range fields {
		out.columns = append(out.columns, f.Name)
	}
	for r.NextRow() {
		row := make([]driver.Value, len(fields))
		for i, text := range r.Values() {
			v, err := value(types, fields[i].DataTypeOID, text)
			if err != nil && out.err == nil {
				out.err = fmt.Errorf("reading %s: %w", fields[i].Name, err)
			}
			row[i] = v
		}
		out.values = append(out.values, row)
	}
	return out
}

// value is what the driver makes of a column's text otherwise.
func value(types *pgtype.Map, oid uint32, text []byte) (driver.Value, error) {
	if text == nil {
		return nil, nil
	}
	switch oid {
	case pgtype.BoolOID:
		return text[0] == 't', nil
	case pgtype.Int2OID, pgtype.Int4OID, pgtype.Int8OID:
		return strconv.ParseInt(string(text), 10, 64)
	case pgtype.Float4OID, pgtype.Float8OID:
		return strconv.ParseFloat(string(text), 64)
	case pgtype.JSONOID, pgtype.JSONBOID, pgtype.XMLOID:
		return bytes.Clone(text), nil
	case pgtype.ByteaOID:
		return scanned[[]byte](types, oid, text)
	case pgtype.DateOID:
		d, err := scanned[pgtype.Date](types, oid, text)
		if err != nil {
			return nil, err
		}
		return d.Value()
	case pgtype.TimestampOID:
		d, err := scanned[pgtype.Timestamp](types, oid, text)
		if err != nil {
			return nil, err
		}
		return d.Value()
	case pgtype.TimestamptzOID:
		d, err := scanned[pgtype.Timestamptz](types, oid, text)
		if err != nil {
			return nil, err
		}
		return d.Value()
	}
	return string(text), nil
}

func scanned[T any](types *pgtype.Map, oid uint32, text []byte) (v T, err error) {
	err = types.Scan(oid, pgtype.TextFormatCode, text, &v)
	return v, err
}

func (r *readRows) Columns() []string { return r.columns }
func (r *readRows) Close() error      { return nil }

func (r *readRows) Next(dest []driver.Value) error {
	if len(r.values) == 0 {
		return io.EOF
	}
	copy(dest, r.values[0])
	r.values = r.values[1:]
	return nil
}

// laterTx begins with its first statement and commits with what waits.
type laterTx struct {
	ctx  context.Context // the transaction's own, as the driver keeps it
	conn *laterConn
}

// unbegun reports that nothing was sent yet.
func (t *laterTx) unbegun() bool {
	return len(t.conn.waiting) > 0 && t.conn.waiting[0] == "begin"
}

func (t *laterTx) Commit() error {
	t.conn.inTx = false
	t.conn.waiting, t.conn.last = append(t.conn.waiting, t.conn.last...), t.conn.last[:0]
	if len(t.conn.waiting) == 1 && t.unbegun() {
		t.conn.waiting = t.conn.waiting[:0]
		return nil
	}
	tag, _, err := t.conn.send(t.ctx, "commit")
	if err != nil {
		if t.conn.Conn.Conn().PgConn().TxStatus() != 'I' {
			_ = t.Rollback() // there is an error to return already
		}
		return err
	}
	if tag.String() == "ROLLBACK" { // it had failed before
		return pgx.ErrTxCommitRollback
	}
	return nil
}

func (t *laterTx) Rollback() error {
	unbegun := t.unbegun()
	t.conn.inTx, t.conn.waiting, t.conn.last = false, t.conn.waiting[:0], t.conn.last[:0]
	if unbegun {
		return nil
	}
	_, _, err := t.conn.send(t.ctx, "rollback")
	if err != nil { // who knows where the connection stands
		_ = t.conn.Conn.Conn().Close(t.ctx)
	}
	return err
}
