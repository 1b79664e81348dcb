package database

import (
	"context"
	"database/sql/driver"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
	"github.com/uptrace/bun/schema"

	"github.com/channelgraph/channelgraph/internal/ident"
)

// ReadPrepared is Read for the few queries that are asked at every request. bun
// writes its arguments into the text, which PostgreSQL then parses and plans
// anew each time, at about what it costs to answer; of these it is told texts
// and times apart, and keeps what it made of the rest on each connection.
// What is not an argument, and numbers, stay in the text: a query must come in
// few shapes. Lists belong into Among or Each, which are one shape at any
// length. On SQLite it is Read.
func (db *DB) ReadPrepared() *bun.DB { return db.prepared }

// mark stands before and after an argument in the text of a prepared query.
// PostgreSQL has no text with it.
const mark = 0

// apart is the dialect that leaves arguments to be told apart.
type apart struct{ *pgdialect.Dialect }

// AppendString leaves a text apart.
func (d apart) AppendString(b []byte, s string) []byte {
	if strings.IndexByte(s, mark) >= 0 {
		return d.Dialect.AppendString(b, s) // which refuses it
	}
	return append(append(append(b, mark), strings.ToValidUTF8(s, "\uFFFD")...), mark)
}

// AppendTime leaves a time apart.
func (d apart) AppendTime(b []byte, t time.Time) []byte {
	b = t.UTC().AppendFormat(append(b, mark), "2006-01-02 15:04:05.999999-07:00")
	return append(b, mark)
}

// takeApart takes the arguments out of a marked text; ok is false where there
// are none.
func takeApart(query string) (text string, args []driver.NamedValue, ok bool) {
	head, rest, ok := strings.Cut(query, string(rune(mark)))
	if !ok {
		return query, nil, false
	}
	var b strings.Builder
	b.Grow(len(query))
	b.WriteString(head)
	args = []driver.NamedValue{{Ordinal: 1, Value: pgx.QueryExecModeCacheStatement}}
	for ok {
		var value string
		value, rest, _ = strings.Cut(rest, string(rune(mark)))
		b.WriteByte('$')
		b.WriteString(strconv.Itoa(len(args)))
		args = append(args, driver.NamedValue{Ordinal: len(args) + 1, Value: value})
		head, rest, ok = strings.Cut(rest, string(rune(mark)))
		b.WriteString(head)
	}
	return b.String(), args, true
}

// queryApart runs a marked query. One whose tables were changed under it by
// a migration is made anew.
func (c *laterConn) queryApart(ctx context.Context, text string, args []driver.NamedValue) (driver.Rows, error) {
	rows, err := c.Conn.QueryContext(ctx, text, args)
	if e := (*pgconn.PgError)(nil); !c.inTx && errors.As(err, &e) && e.Code == changedPlan {
		rows, err = c.Conn.QueryContext(ctx, text, args)
	}
	return rows, err
}

// changedPlan is feature_not_supported, which a prepared statement answers
// when its result would have other columns than before.
const changedPlan = "0A000"

// Among is the condition that a column holds one of some ids, which are one
// argument where arguments are told apart.
func Among(column string, ids []ident.ID) schema.QueryAppender { return among{column, ids} }

type among struct {
	column string
	ids    []ident.ID
}

// AppendQuery implements schema.QueryAppender.
func (a among) AppendQuery(gen schema.QueryGen, b []byte) ([]byte, error) {
	if _, ok := gen.Dialect().(apart); !ok {
		return gen.AppendQuery(b, "? IN (?)", bun.Ident(a.column), bun.List(a.ids)), nil
	}
	return gen.AppendQuery(b, "? = ANY (CAST(? AS text[]))", bun.Ident(a.column), array(a.ids)), nil
}

// array writes ids as PostgreSQL reads an array of texts; they are whatever
// somebody asked for.
func array(ids []ident.ID) string {
	b := []byte{'{'}
	for i, id := range ids {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '"')
		for j := range len(id) {
			if id[j] == '"' || id[j] == '\\' {
				b = append(b, '\\')
			}
			b = append(b, id[j])
		}
		b = append(b, '"')
	}
	return string(append(b, '}'))
}
