package mail

import (
	"context"
	"slices"
	"time"

	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/ident"
)

// Fit picks from data what a template asks for, and leaves its empty optional
// values out, so that one set of facts serves all mails about a thing.
func (m *Mailer) Fit(template string, data map[string]string) map[string]string {
	out := map[string]string{}
	k := m.set.byName[template]
	if k == nil {
		return out // Queue refuses the unknown template
	}
	for name := range k.sample.Data {
		if v := data[name]; v != "" || !slices.Contains(k.sample.Optional, name) {
			out[name] = v
		}
	}
	return out
}

// SuppressedTx is Suppressed inside a transaction.
func (m *Mailer) SuppressedTx(ctx context.Context, tx *database.Tx, addr string) (bool, error) {
	return suppressed(ctx, tx, folded(addr))
}

// Operator is who runs the programme, as mails name it.
func (m *Mailer) Operator() string { return m.cfg.Operator }

// Reopen lets a message that failed or expired be tried again until a moment;
// its bytes stay the same.
func (m *Mailer) Reopen(ctx context.Context, tx *database.Tx, id ident.ID, until time.Time) error {
	msg, err := lock(ctx, tx, "id", string(id))
	if err != nil {
		return err
	}
	msg.State, msg.FailureCode, msg.Settled, msg.ExpiresAt = Pending, "", false, until.UTC()
	if err := save(ctx, tx, msg); err != nil {
		return err
	}
	return note(ctx, tx, id, "reopened", "")
}
