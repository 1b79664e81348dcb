package invitation

import (
	"context"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/event"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/page"
)

// link is one generation's token; former ones stay, so that a dead link can
// say what became of it.
type link struct {
	bun.BaseModel `bun:"table:invitation_link"`
	TokenHash     string    `bun:"token_hash,pk"`
	InvitationID  ident.ID  `bun:"invitation_id"`
	Generation    int       `bun:"generation"`
	CreatedAt     time.Time `bun:"created_at"`
}

func reach(s access.Scope) access.Filter {
	return s.ByPartner("invitation.inviter_id", "invitation.invitee_id")
}

func byIDs(ctx context.Context, idb bun.IDB, s access.Scope, ids []ident.ID) (map[ident.ID]*Invitation, error) {
	out := map[ident.ID]*Invitation{}
	if len(ids) == 0 {
		return out, nil
	}
	var rows []*Invitation
	err := idb.NewSelect().Model(&rows).Where("invitation.id IN (?)", bun.List(ids)).ApplyQueryBuilder(reach(s)).Scan(ctx)
	for _, r := range rows {
		out[r.ID] = r
	}
	return out, err
}

// lock reads an invitation inside a scope and holds it; nil where it is
// hidden or absent.
func lock(ctx context.Context, tx *database.Tx, s access.Scope, id ident.ID) (*Invitation, error) {
	var row Invitation
	err := tx.Lock(tx.NewSelect().Model(&row).Where("invitation.id = ?", id).ApplyQueryBuilder(reach(s))).Scan(ctx)
	if database.IsNoRows(err) {
		return nil, nil
	}
	return &row, err
}

// lockOpen reads and holds the open invitation of an address, if any.
func lockOpen(ctx context.Context, tx *database.Tx, kind Kind, inviter ident.ID, folded string) (*Invitation, error) {
	var row Invitation
	err := tx.Lock(tx.NewSelect().Model(&row).Where("kind = ?", kind).Where("inviter_id = ?", inviter).
		Where("recipient_folded = ?", folded).Where("status IN ('QUEUED', 'SENT')")).Scan(ctx)
	if database.IsNoRows(err) {
		return nil, nil
	}
	return &row, err
}

// lockInviter serializes the invitations of one inviter, so that limits and
// the open-invitation rule hold for two requests at once.
func lockInviter(ctx context.Context, tx *database.Tx, inviter ident.ID) error {
	var id ident.ID
	return tx.Lock(tx.NewSelect().TableExpr("partner").ColumnExpr("id").Where("id = ?", inviter)).Scan(ctx, &id)
}

// counts reads how many links an inviter sent since a moment, and how many of
// them to one address since another.
func counts(ctx context.Context, tx *database.Tx, inviter ident.ID, folded string, day, month time.Time) (today, toRecipient int, err error) {
	q := func() *bun.SelectQuery {
		return tx.NewSelect().TableExpr("invitation_link AS l").Join("JOIN invitation AS i ON i.id = l.invitation_id").
			ColumnExpr("count(*)").Where("i.inviter_id = ?", inviter)
	}
	if err = q().Where("l.created_at > ?", day).Scan(ctx, &today); err != nil {
		return
	}
	err = q().Where("i.recipient_folded = ?", folded).Where("l.created_at > ?", month).Scan(ctx, &toRecipient)
	return
}

func insert(ctx context.Context, tx *database.Tx, i *Invitation) error {
	_, err := tx.NewInsert().Model(i).Exec(ctx)
	return err
}

func insertLink(ctx context.Context, tx *database.Tx, l *link) error {
	_, err := tx.NewInsert().Model(l).Exec(ctx)
	return err
}

// save writes a held invitation back, guarded by its version, and tells those
// who watch.
func save(ctx context.Context, tx *database.Tx, i *Invitation) error {
	i.Version++
	i.UpdatedAt = tx.Now
	res, err := tx.NewUpdate().Model(i).WherePK().Where("version = ?", i.Version-1).Exec(ctx)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		return fault.Conflict("", fault.CodeConflict)
	}
	var invitee ident.ID
	if i.InviteeID != nil {
		invitee = *i.InviteeID
	}
	return event.Record(ctx, tx, event.InvitationChanged, i.ID, i.InviterID, invitee)
}

// byToken finds the invitation that a token was made for, and whether the
// token is of its newest generation.
func byToken(ctx context.Context, idb bun.IDB, tokenHash string) (id ident.ID, generation int, err error) {
	var l link
	err = idb.NewSelect().Model(&l).Where("token_hash = ?", tokenHash).Scan(ctx)
	if database.IsNoRows(err) {
		return "", 0, nil
	}
	return l.InvitationID, l.Generation, err
}

func overdue(ctx context.Context, tx *database.Tx, before time.Time, limit int) ([]ident.ID, error) {
	var ids []ident.ID
	err := tx.NewSelect().Model((*Invitation)(nil)).Column("id").Where("next_action_at IS NOT NULL AND next_action_at < ?", before).
		OrderExpr("next_action_at").Limit(int64(limit)).Scan(ctx, &ids)
	return ids, err
}

func received(ctx context.Context, idb bun.IDB, kind Kind, folded string) ([]*Invitation, error) {
	var rows []*Invitation
	err := idb.NewSelect().Model(&rows).Where("recipient_folded = ?", folded).Where("kind = ?", kind).
		Where("status IN ('QUEUED', 'SENT')").OrderExpr("created_at DESC, id DESC").Limit(page.MaxSize).Scan(ctx)
	return rows, err
}

func list(ctx context.Context, db *database.DB, s access.Scope, pq page.Query, f Filter) (*page.Connection[*Invitation], error) {
	base := func(model any) *bun.SelectQuery {
		q := db.Read().NewSelect().Model(model).ApplyQueryBuilder(s.ByPartner("invitation.inviter_id"))
		if len(f.Status) > 0 {
			q = q.Where("invitation.status IN (?)", bun.List(f.Status))
		}
		if f.Search != nil && *f.Search != "" {
			q = q.Where("?", database.HasPrefix("invitation.recipient_folded", strings.ToLower(*f.Search)))
		}
		return q
	}
	var rows []*Invitation
	if err := database.Keyset(base(&rows), pq, "invitation.id").Scan(ctx); err != nil {
		return nil, err
	}
	key := func(i *Invitation) (any, ident.ID) { return i.CreatedAt, i.ID }
	if pq.Order.Name == "RECIPIENT" {
		key = func(i *Invitation) (any, ident.ID) { return i.RecipientFolded, i.ID }
	}
	return page.Build(pq, rows, key, func(ctx context.Context) (int, error) {
		return database.CountCapped(ctx, db.Read(), base((*Invitation)(nil)))
	}), nil
}
