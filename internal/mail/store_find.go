package mail

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/page"
)

// Filter narrows a list of messages; what is given together must all hold.
type Filter struct {
	State    *State
	Template *string
	// Recipient is the beginning of the address, in any case.
	Recipient *string
	SubjectID *ident.ID
	// Since is the first moment of writing, Until the first one beyond.
	Since *time.Time
	Until *time.Time
}

// List is a page of all messages, newest first. Whoever asks has checked that
// all mail may be read. Errors: those of paging.
func (m *Mailer) List(ctx context.Context, args page.Args, f Filter) (*page.Connection[*Message], error) {
	pq, err := args.Resolve(page.Order{Name: "CREATED_AT", Column: "mail_message.created_at", Sort: page.SortTime, Direction: page.Desc}, f)
	if err != nil {
		return nil, err
	}
	base := func(rows any) *bun.SelectQuery {
		q := m.db.Read().NewSelect().Model(rows)
		if f.State != nil {
			q = q.Where("mail_message.state = ?", *f.State)
		}
		if f.Template != nil {
			q = q.Where("mail_message.template = ?", *f.Template)
		}
		if f.Recipient != nil {
			q = q.Where("?", database.HasPrefix("mail_message.recipient_folded", strings.ToLower(strings.TrimSpace(*f.Recipient))))
		}
		if f.SubjectID != nil {
			q = q.Where("mail_message.subject_id = ?", *f.SubjectID)
		}
		if f.Since != nil {
			q = q.Where("mail_message.created_at >= ?", *f.Since)
		}
		if f.Until != nil {
			q = q.Where("mail_message.created_at < ?", *f.Until)
		}
		return q
	}
	var rows []*Message
	if err := database.Keyset(base(&rows), pq, "mail_message.id").Scan(ctx); err != nil {
		return nil, fmt.Errorf("listing messages: %w", err)
	}
	return page.Build(pq, rows, func(m *Message) (any, ident.ID) { return m.CreatedAt, m.ID }, func(ctx context.Context) (int, error) {
		return database.CountCapped(ctx, m.db.Read(), base((*Message)(nil)))
	}), nil
}

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
