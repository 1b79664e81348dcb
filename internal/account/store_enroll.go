package account

import (
	"context"

	"github.com/uptrace/bun"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/ident"
)

func saveOrganization(ctx context.Context, tx *database.Tx, o *Organization) error {
	_, err := tx.NewUpdate().Model(o).WherePK().Column("kind", "name", "name_folded", "version", "updated_at").Exec(ctx)
	return err
}

// dropRoles takes the roles that are not among those to keep from all users of
// an organization.
func dropRoles(ctx context.Context, tx *database.Tx, organization ident.ID, keep []access.Role) error {
	_, err := tx.NewDelete().Model((*UserRole)(nil)).
		Where("user_id IN (SELECT id FROM user_account WHERE organization_id = ?)", organization).
		Where("role NOT IN (?)", bun.List(keep)).Exec(ctx)
	return err
}

func operatorID(ctx context.Context, idb bun.IDB) (ident.ID, error) {
	var id ident.ID
	err := idb.NewSelect().Model((*Organization)(nil)).Column("id").Where("kind = ?", access.Operator).OrderExpr("created_at, id").Limit(1).Scan(ctx, &id)
	if database.IsNoRows(err) {
		return "", nil
	}
	return id, err
}
