package outbox

import (
	"context"

	"github.com/uptrace/bun"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/ident"
)

// NewestAbout loads the newest operation about each subject within a scope;
// subjects without a visible one are missing. Ids sort by creation time.
func NewestAbout(ctx context.Context, db *database.DB, scope access.Scope, subjects []ident.ID) (map[ident.ID]*Job, error) {
	out := map[ident.ID]*Job{}
	if len(subjects) == 0 {
		return out, nil
	}
	newest := db.Read().NewSelect().TableExpr("job").ColumnExpr("max(job.id)").Where("job.subject_id IN (?) AND job.subject_id <> ''", bun.List(subjects)).
		ApplyQueryBuilder(visible(scope, false)).GroupExpr("job.subject_id")
	var rows []*Job
	if err := db.Read().NewSelect().Model(&rows).Where("job.id IN (?)", newest).Scan(ctx); err != nil {
		return nil, err
	}
	for _, j := range rows {
		out[j.SubjectID] = j
	}
	return out, nil
}
