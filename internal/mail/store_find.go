package mail

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"

	"github.com/channelgraph/channelgraph/internal/ident"
)

// FindMany reads the messages among the ids, for loaders. Whoever asks has
// checked that all mail may be read.
func (m *Mailer) FindMany(ctx context.Context, ids []ident.ID) (map[ident.ID]*Message, error) {
	out := map[ident.ID]*Message{}
	if len(ids) == 0 {
		return out, nil
	}
	var rows []*Message
	if err := m.db.Read().NewSelect().Model(&rows).Where("id IN (?)", bun.List(ids)).Scan(ctx); err != nil {
		return nil, fmt.Errorf("reading messages: %w", err)
	}
	for _, r := range rows {
		out[r.ID] = r
	}
	return out, nil
}
