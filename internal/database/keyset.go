package database

import (
	"context"
	"fmt"
	"strings"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/schema"

	"github.com/channelgraph/channelgraph/internal/page"
)

// Keyset adds a resolved page to a select: the row-value condition, the
// ordering and Limit+1. idColumn breaks ties; both columns come from code.
func Keyset(q *bun.SelectQuery, p page.Query, idColumn string) *bun.SelectQuery {
	op, dir := ">", "ASC"
	if p.Descending() {
		op, dir = "<", "DESC"
	}
	if p.HasCursor {
		q = q.Where(fmt.Sprintf("(%s, %s) %s (?, ?)", p.Order.Column, idColumn, op), p.Value, p.ID)
	}
	return q.OrderExpr(fmt.Sprintf("%s %s, %s %s", p.Order.Column, dir, idColumn, dir)).Limit(int64(p.Limit) + 1)
}

// CountCapped counts a select's rows, stopping one beyond the cap.
func CountCapped(ctx context.Context, db bun.IDB, q *bun.SelectQuery) (int, error) {
	var n int
	err := db.NewSelect().TableExpr("(?) AS counted", q.ColumnExpr("1").Limit(page.CountCap+1)).ColumnExpr("count(*)").Scan(ctx, &n)
	return n, err
}

// HasPrefix is the condition that a folded column begins with text; the text
// is escaped. Both engines answer alike because the column is stored folded.
func HasPrefix(column, text string) schema.QueryAppender {
	text = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(text)
	return bun.SafeQuery(`? LIKE ? ESCAPE '\'`, bun.Ident(column), text+"%")
}

// Begins is HasPrefix as a range, which an index on a column in byte order
// answers on both engines.
func Begins(column, text string) schema.QueryAppender {
	return bun.SafeQuery("? >= ? AND ? < ?", bun.Ident(column), text, bun.Ident(column), text+"\U0010FFFF")
}
