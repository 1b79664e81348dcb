package account

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/page"
)

func insertToken(ctx context.Context, tx *database.Tx, t *Token) error {
	if _, err := tx.NewInsert().Model(t).Exec(ctx); err != nil {
		return fmt.Errorf("writing a token: %w", err)
	}
	return nil
}

// liveTokens reads the names of a user's tokens that work at a moment.
func liveTokens(ctx context.Context, idb bun.IDB, user ident.ID, now time.Time) (folded []string, err error) {
	err = idb.NewSelect().Model((*Token)(nil)).Column("name_folded").Where("user_id = ?", user).
		Where("revoked_at IS NULL").Where("expires_at > ?", now).Scan(ctx, &folded)
	if err != nil {
		return nil, fmt.Errorf("reading a user's tokens: %w", err)
	}
	return folded, nil
}

// foundToken is a token with what decides about it.
type foundToken struct {
	Token  `bun:",extend"`
	Holder access.Holder `bun:",embed"`
}

// tokenBy reads a token by a column of its own, whoever asks: the caller has
// shown the token.
func tokenBy(ctx context.Context, idb bun.IDB, column, value string) (*foundToken, error) {
	var f foundToken
	err := access.WithHolder(idb.NewSelect().Model(&f).ColumnExpr("?TableColumns"), "personal_token.user_id").
		Where("personal_token.? = ?", bun.Ident(column), value).Scan(ctx)
	if database.IsNoRows(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading a token: %w", err)
	}
	return &f, nil
}

// touchToken notes that a token is in use, unless another request just did.
func touchToken(ctx context.Context, idb bun.IDB, t *Token, before time.Time) error {
	_, err := idb.NewUpdate().Model(t).WherePK().Column("last_used_at").
		Where("revoked_at IS NULL").Where("(last_used_at IS NULL OR last_used_at <= ?)", before).Exec(ctx)
	return err
}

// tokenReach limits a query to the actor's own tokens and, for who manages
// users, to those of its organization: the operator too manages its own only.
func tokenReach(actor access.Actor) access.Filter {
	scope := actor.Scope()
	return func(q bun.QueryBuilder) bun.QueryBuilder {
		switch {
		case scope.User() == "" || scope.Organization() == "":
			return q.Where("1 = 0")
		case actor.Can(access.PermUserManage):
			return q.Where("personal_token.organization_id = ?", scope.Organization())
		}
		return q.Where("personal_token.user_id = ?", scope.User())
	}
}

// lockToken reads a token for a change; nil where there is none in reach.
func lockToken(ctx context.Context, tx *database.Tx, reach access.Filter, id ident.ID) (*Token, error) {
	var t Token
	if !id.Is(ident.Token) {
		return nil, nil
	}
	q := tx.NewSelect().Model(&t).Where("personal_token.id = ?", id)
	if reach != nil {
		q = q.ApplyQueryBuilder(reach)
	}
	err := tx.Lock(q).Scan(ctx)
	if database.IsNoRows(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("locking a token: %w", err)
	}
	return &t, nil
}

// revokeTokens ends those of a user's tokens that still work, all or one, and
// counts them.
func revokeTokens(ctx context.Context, tx *database.Tx, user, by, only ident.ID) (int, error) {
	q := tx.NewUpdate().Model((*Token)(nil)).Set("revoked_at = ?", tx.Now).Set("revoked_by_id = ?", by).
		Where("user_id = ?", user).Where("revoked_at IS NULL").Where("expires_at > ?", tx.Now)
	if only != "" {
		q = q.Where("id = ?", only)
	}
	res, err := q.Exec(ctx)
	if err != nil {
		return 0, fmt.Errorf("revoking tokens: %w", err)
	}
	n, err := res.RowsAffected()
	return int(n), err
}

func tokensByIDs(ctx context.Context, idb bun.IDB, reach access.Filter, ids []ident.ID) (map[ident.ID]*Token, error) {
	out := make(map[ident.ID]*Token, len(ids))
	if ids = wellFormed(ids, ident.Token); len(ids) == 0 {
		return out, nil
	}
	var rows []*Token
	err := idb.NewSelect().Model(&rows).Where("personal_token.id IN (?)", bun.List(ids)).ApplyQueryBuilder(reach).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading tokens: %w", err)
	}
	for _, r := range rows {
		out[r.ID] = r
	}
	return out, nil
}

// listTokens is a page of tokens, newest first.
func listTokens(ctx context.Context, db *database.DB, reach access.Filter, pq page.Query, f TokenFilter) (*page.Connection[*Token], error) {
	now := db.Now()
	base := func(rows any) *bun.SelectQuery {
		q := db.Read().NewSelect().Model(rows).ApplyQueryBuilder(reach)
		if f.UserID != nil {
			q = q.Where("personal_token.user_id = ?", *f.UserID)
		}
		if f.State == nil {
			return q
		}
		switch *f.State {
		case TokenRevoked:
			return q.Where("personal_token.revoked_at IS NOT NULL")
		case TokenExpired:
			return q.Where("personal_token.revoked_at IS NULL").Where("personal_token.expires_at <= ?", now)
		case TokenActive:
			return q.Where("personal_token.revoked_at IS NULL").Where("personal_token.expires_at > ?", now)
		}
		return q.Where("1 = 0")
	}
	var rows []*Token
	if err := database.Keyset(base(&rows), pq, "personal_token.id").Scan(ctx); err != nil {
		return nil, fmt.Errorf("listing tokens: %w", err)
	}
	return page.Build(pq, rows, func(t *Token) (any, ident.ID) { return t.CreatedAt, t.ID }, func(ctx context.Context) (int, error) {
		return database.CountCapped(ctx, db.Read(), base((*Token)(nil)))
	}), nil
}

// blockedFor is how long a throttled key still has to wait; it only reads, so
// that a flood costs no writes.
func blockedFor(ctx context.Context, idb bun.IDB, key string, now time.Time) (time.Duration, error) {
	var row tallyRow
	err := idb.NewSelect().Model(&row).Where("key = ?", key).Scan(ctx)
	if database.IsNoRows(err) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("reading a throttle: %w", err)
	}
	return row.BlockedUntil.Sub(now), nil
}

// sessionByID reads a session with what decides about it, for a door that
// holds a connection open and asks again.
func sessionByID(ctx context.Context, idb bun.IDB, id ident.ID) (*found, error) {
	var f found
	err := access.WithHolder(idb.NewSelect().Model(&f).ColumnExpr("?TableColumns"), "session.user_id").Where("session.id = ?", id).Scan(ctx)
	if database.IsNoRows(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading a session: %w", err)
	}
	return &f, nil
}
