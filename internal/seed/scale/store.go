package scale

import (
	"context"

	"github.com/channelgraph/channelgraph/internal/database"
)

// hold reads how far the world is, "" where there is none, and holds it.
func hold(ctx context.Context, tx *database.Tx) (string, error) {
	var text string
	err := tx.Lock(tx.NewSelect().TableExpr("instance").ColumnExpr("value").Where("key = ?", setting)).Scan(ctx, &text)
	if database.IsNoRows(err) {
		return "", nil
	}
	return text, err
}

// counts are how many rows there are of what tells a world from another one.
type counts struct {
	Organizations, Users, Customers, Subscriptions int
}

func count(ctx context.Context, b *database.Bulk) (c counts, err error) {
	err = b.NewSelect().ColumnExpr("(SELECT count(*) FROM organization) AS organizations").ColumnExpr("(SELECT count(*) FROM user_account) AS users").
		ColumnExpr("(SELECT count(*) FROM customer) AS customers").ColumnExpr("(SELECT count(*) FROM product_subscription) AS subscriptions").Scan(ctx, &c)
	return c, err
}
