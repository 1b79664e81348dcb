package partner

import (
	"context"
	"time"

	"github.com/uptrace/bun"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/event"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
)

// hold reads a partner inside a scope and holds it; nil where it is hidden or
// absent.
func hold(ctx context.Context, tx *database.Tx, s access.Scope, id ident.ID) (*Partner, error) {
	var row Partner
	err := tx.Lock(tx.NewSelect().Model(&row).Where("partner.id = ?", id).ApplyQueryBuilder(s.Partners("partner"))).Scan(ctx)
	if database.IsNoRows(err) {
		return nil, nil
	}
	return &row, err
}

// saveStatus writes the status and the agreement of a held partner back,
// guarded by its version, and tells those who watch.
func saveStatus(ctx context.Context, tx *database.Tx, p *Partner) error {
	p.Version++
	p.UpdatedAt = tx.Now
	res, err := tx.NewUpdate().Model(p).WherePK().Where("version = ?", p.Version-1).
		Column("status", "status_reason", "status_changed_at", "activated_at", "agreement_version", "agreement_signed_at", "agreement_due_at", "version", "updated_at").
		Exec(ctx)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		return fault.Conflict("", fault.CodeConflict)
	}
	return event.Record(ctx, tx, event.PartnerChanged, p.ID, p.ID, "")
}

func demand(ctx context.Context, tx *database.Tx, version string, until time.Time) (int, error) {
	res, err := tx.NewUpdate().Model((*Partner)(nil)).Set("agreement_due_at = ?", until).Set("updated_at = ?", tx.Now).
		Where("agreement_signed_at IS NOT NULL").Where("agreement_version <> ?", version).
		Where("(agreement_due_at IS NULL OR agreement_due_at > ?)", tx.Now).Where("agreement_due_at IS DISTINCT FROM ?", until).
		Where("status <> ?", Closed).Exec(ctx)
	if err != nil {
		return 0, err
	}
	n, err := res.RowsAffected()
	return int(n), err
}

func unsigned(ctx context.Context, tx *database.Tx, after ident.ID, limit int) ([]*Partner, error) {
	var rows []*Partner
	err := tx.NewSelect().Model(&rows).Where("agreement_due_at IS NOT NULL").Where("status = ?", Active).Where("id > ?", after).
		OrderExpr("id").Limit(int64(limit)).Scan(ctx)
	return rows, err
}

// lookUp finds a partner by a unique column of its own, for what anybody in
// the programme may be told.
func lookUp(ctx context.Context, tx *database.Tx, column, value string) (*Partner, error) {
	var row Partner
	err := tx.NewSelect().Model(&row).Where("? = ?", bun.Ident(column), value).Scan(ctx)
	if database.IsNoRows(err) {
		return nil, nil
	}
	return &row, err
}
