package account

import (
	"context"
	"fmt"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/ident"
)

// Empty reports whether no organization has been founded yet.
func (s *Service) Empty(ctx context.Context) (bool, error) {
	some, err := s.db.Read().NewSelect().Model((*Organization)(nil)).Exists(ctx)
	if err != nil {
		return false, fmt.Errorf("looking for organizations: %w", err)
	}
	return !some, nil
}

// OrganizationsTx reads organizations inside a transaction and the actor's
// scope.
func (s *Service) OrganizationsTx(ctx context.Context, tx *database.Tx, actor access.Actor, ids []ident.ID) (map[ident.ID]*Organization, error) {
	return organizationsByIDs(ctx, tx, actor.Scope(), ids)
}
