package account

import (
	"context"
	"time"

	"github.com/channelgraph/channelgraph/internal/database"
)

// Allow counts one act against an allowance of so many within a window, for
// concepts whose acts must not be repeated without end; what names the act and
// who does it. The caller's transaction must commit for the count to stay.
// Error: RATE_LIMITED until the window ends.
func (s *Service) Allow(ctx context.Context, tx *database.Tx, free int, window time.Duration, what ...string) error {
	_, err := spend(ctx, tx, s.keys.Blind(what...), allowance{free: free, window: window})
	return err
}
