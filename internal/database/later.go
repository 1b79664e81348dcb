package database

import (
	"bytes"
	"context"
	"database/sql/driver"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

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
	rows, err := tx.QueryContext(context.WithValue(ctx, severalKey{}, texts), texts[0])
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

// connector makes connections that know Later and Prepared.
type connector struct {
	driver.Connector
	// plain says that statements cannot be prepared here.
	plain *atomic.Bool
}

func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	inner, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	std, ok := inner.(*stdlib.Conn)
	if !ok {
		return nil, fmt.Errorf("the driver made a connection of type %T", inner)
	}
	return &laterConn{Conn: std, plain: c.plain}, nil
}

// laterConn is a connection with the statements that wait on it.
type laterConn struct {
	*stdlib.Conn
	plain   *atomic.Bool
	inTx    bool
	waiting []statement
	last    []statement
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
	c.inTx, c.waiting, c.last = true, append(c.waiting[:0], statement{text: "begin"}), c.last[:0]
	return &laterTx{ctx: ctx, conn: c}, nil
}

func (c *laterConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	s := marked(ctx, query)
	switch {
	case strings.HasPrefix(query, "SAVEPOINT "): // what was written before it is not taken back with it
		c.waiting, c.last = append(c.waiting, c.last...), c.last[:0]
	case strings.HasPrefix(query, "ROLLBACK TO SAVEPOINT "):
		c.waiting, c.last = c.waiting[:0], c.last[:0]
	}
	switch {
	case !c.inTx || len(args) > 0:
	case ctx.Value(laterKey{}) == inOrder:
		c.waiting = wait(c.waiting, s, 1)
		return driver.RowsAffected(0), nil
	case ctx.Value(laterKey{}) == atTheEnd:
		c.last = wait(c.last, s, len(c.last))
		return driver.RowsAffected(0), nil
	case len(c.waiting) > 0 || s.prepares():
		tag, _, err := c.send(ctx, s)
		return driver.RowsAffected(tag.RowsAffected()), err
	}
	if err := c.flush(ctx); err != nil {
		return nil, err
	}
	return c.Conn.ExecContext(ctx, query, args)
}

// wait puts a statement at the end of those that wait; a row for the table
// into which one of the last few writes becomes one more row of that.
func wait(list []statement, s statement, few int) []statement {
	head, row, ok := strings.Cut(s.text, " VALUES (")
	if ok && strings.HasPrefix(head, "INSERT INTO ") && plain(s.text) {
		for i := len(list) - 1; i >= max(0, len(list)-few); i-- {
			if before := list[i].text; len(before)+len(row) < longest && strings.HasPrefix(before, head+" VALUES (") && plain(before) {
				list[i].text += ", (" + row
				return list
			}
		}
	}
	return append(list, s)
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
	list := []statement{marked(ctx, query)}
	texts, several := ctx.Value(severalKey{}).([]string)
	if several {
		list = list[:0]
		for _, text := range texts {
			list = append(list, marked(ctx, text))
		}
	}
	if c.inTx && len(args) == 0 && (several || len(c.waiting) > 0 || list[0].prepares()) {
		_, rows, err := c.send(ctx, list...)
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
	_, _, err := c.send(ctx)
	return err
}

// send sends what waits and then some statements, in one round trip, and tells
// the last one's outcome and what these read.
func (c *laterConn) send(ctx context.Context, now ...statement) (tag pgconn.CommandTag, rows *readRows, err error) {
	late := len(c.waiting)
	all := append(c.waiting, now...)
	c.waiting = c.waiting[:0]
	done := 0
	each := func(r *pgconn.ResultReader) error {
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
		if tag, cerr = r.Close(); cerr == nil {
			done++
		}
		return cerr
	}
	how := c.sendTexts
	if !c.plain.Load() && slices.ContainsFunc(all, statement.prepares) {
		how = c.sendPrepared
	}
	if cerr := how(ctx, all, each); cerr != nil {
		err = cerr
	}
	if err == nil && len(now) > 0 && rows == nil { // a statement of nothing
		rows = &readRows{}
	}
	if err != nil && done < late {
		err = &lateError{err}
	}
	return tag, rows, err
}

// sendTexts sends statements as they are written; each reads a result.
func (c *laterConn) sendTexts(ctx context.Context, all []statement, each func(*pgconn.ResultReader) error) error {
	texts := make([]string, len(all))
	for i, s := range all {
		texts[i] = s.text
	}
	results := c.Conn.Conn().PgConn().Exec(ctx, strings.Join(texts, ";\n"))
	for results.NextResult() {
		if each(results.ResultReader()) != nil {
			break // results tell it too
		}
	}
	return results.Close()
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
	return len(t.conn.waiting) > 0 && t.conn.waiting[0].text == "begin"
}

func (t *laterTx) Commit() error {
	t.conn.inTx = false
	t.conn.waiting, t.conn.last = append(t.conn.waiting, t.conn.last...), t.conn.last[:0]
	if len(t.conn.waiting) == 1 && t.unbegun() {
		t.conn.waiting = t.conn.waiting[:0]
		return nil
	}
	tag, _, err := t.conn.send(t.ctx, statement{text: "commit"})
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

// Rollback also happens when the transaction's context ends, after which the
// connection can serve others.
func (t *laterTx) Rollback() error {
	unbegun := t.unbegun()
	t.conn.inTx, t.conn.waiting, t.conn.last = false, t.conn.waiting[:0], t.conn.last[:0]
	if unbegun {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.ctx), patience)
	defer cancel()
	_, _, err := t.conn.send(ctx, statement{text: "rollback"})
	if err != nil { // who knows where the connection stands
		_ = t.conn.Conn.Conn().Close(ctx)
	}
	return err
}

// patience is how long a transaction waits for its own end.
const patience = 5 * time.Second
