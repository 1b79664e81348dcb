package file

import (
	"context"
	"fmt"

	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/outbox"
)

// Prune removes the files that nobody handed in within a day.
type Prune struct{}

// Kind is the job's kind.
func (Prune) Kind() string { return "file.prune" }

// Prune performs the job, a few files in one transaction.
func (s *Service) Prune(ctx context.Context, _ *outbox.Run, _ Prune) error {
	const batch = 10
	for {
		var n int64
		err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) (err error) {
			n, err = forget(ctx, tx, batch)
			return err
		})
		if err != nil {
			return fmt.Errorf("removing files that nobody handed in: %w", err)
		}
		if n < batch {
			return nil
		}
	}
}
