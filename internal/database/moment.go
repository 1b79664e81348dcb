package database

import (
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/schema"
)

// NowAfter is NowExpr moved by d, e.g. the end of a lease that starts now.
func (db *DB) NowAfter(d time.Duration) schema.QueryAppender {
	if db.dialect == Postgres && !db.clock.Injected() {
		return bun.SafeQuery("now() + ? * interval '1 microsecond'", d.Microseconds())
	}
	return bun.SafeQuery("?", db.Now().Add(d))
}

// NowExpr is DB.NowExpr inside a transaction; where the house's clock counts
// it is the transaction's one moment.
func (tx *Tx) NowExpr() schema.QueryAppender {
	if tx.db.dialect == Postgres && !tx.db.clock.Injected() {
		return bun.SafeQuery("now()")
	}
	return bun.SafeQuery("?", tx.Now)
}
