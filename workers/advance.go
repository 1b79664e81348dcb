package workers

import (
	"context"
	"fmt"
	"time"

	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/outbox"
)

// Idle reports whether no job is due, queued or running.
func (s *Server) Idle(ctx context.Context) (bool, error) {
	o, err := outbox.NextDue(ctx, s.db)
	if err != nil {
		return false, err
	}
	return !o.Busy && (o.DueAt == nil || o.DueAt.After(s.db.Now())), nil
}

// Drain hands over and waits until no job is due, queued or running, those
// included that are put while it waits.
func (s *Server) Drain(ctx context.Context) error {
	for {
		changed := s.changed()
		n, _, err := s.pass(ctx)
		if err != nil {
			return err
		}
		if n == 0 {
			idle, err := s.Idle(ctx)
			if err != nil || idle {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for jobs to end: %w", ctx.Err())
		case <-changed:
		case <-time.After(25 * time.Millisecond):
		}
	}
}

// Advance moves an injected clock forward by d, stopping at each moment at
// which a job falls due and waiting until what fell due has been handled, so
// that everything happens in order and at its time. The clock never moves
// back.
func (s *Server) Advance(ctx context.Context, clock *database.Clock, d time.Duration) error {
	target := clock.Now().Add(d)
	var upkeep []string
	for _, p := range s.o.Periodic {
		if p.Upkeep {
			upkeep = append(upkeep, p.Args.Kind())
		}
	}
	for {
		if err := s.schedule(ctx); err != nil {
			return err
		}
		if err := s.Drain(ctx); err != nil {
			return err
		}
		o, err := outbox.NextDue(ctx, s.db, upkeep...)
		if err != nil {
			return err
		}
		now := clock.Now()
		to := target
		if o.DueAt != nil && o.DueAt.Before(target) {
			to = *o.DueAt
		}
		if to.After(now) {
			clock.Advance(to.Sub(now))
			continue
		}
		if !now.Before(target) && (o.DueAt == nil || o.DueAt.After(now)) {
			return nil
		}
	}
}
