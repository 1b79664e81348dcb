package audit

import (
	"context"

	"github.com/uptrace/bun"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/ident"
)

// ByIDs loads the events among the ids that the actor may read; hidden ones
// are missing, and without audit.read all of them.
func ByIDs(ctx context.Context, db *database.DB, actor access.Actor, ids []ident.ID) (map[ident.ID]*Event, error) {
	out := map[ident.ID]*Event{}
	if len(ids) == 0 || !actor.Can(access.PermAuditRead) {
		return out, nil
	}
	var rows []*Event
	err := db.Read().NewSelect().Model(&rows).Where("audit_event.id IN (?)", bun.List(ids)).
		ApplyQueryBuilder(actor.Scope().ByOrganization(columns...)).Scan(ctx)
	for _, e := range rows {
		out[e.ID] = e
	}
	return out, err
}
