package database

import (
	"github.com/uptrace/bun"

	"github.com/channelgraph/channelgraph/internal/ident"
)

// Each selects what one gives for each of some parents, in one statement: the
// first rows of their children, say, without reading all of them. one is given
// what stands for the parent. On PostgreSQL that is a lateral join, on SQLite,
// which has none, a union; there parents are bounded by what a union may hold,
// five hundred.
func (db *DB) Each(parents []ident.ID, one func(q *bun.SelectQuery, parent any) *bun.SelectQuery) *bun.SelectQuery {
	if db.dialect == Postgres {
		return db.read.NewSelect().TableExpr("unnest(CAST(? AS text[])) AS parent (id)", array(parents)).
			Join("CROSS JOIN LATERAL (?) AS child", one(db.read.NewSelect(), bun.Safe("parent.id"))).ColumnExpr("child.*")
	}
	var all *bun.SelectQuery
	for _, id := range parents {
		q := db.read.NewSelect().TableExpr("(?) AS child", one(db.read.NewSelect(), id)).ColumnExpr("child.*")
		if all == nil {
			all = q
		} else {
			all = all.UnionAll(q)
		}
	}
	return all
}
