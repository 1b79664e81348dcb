package workers

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/channelgraph/channelgraph/internal/outbox"
)

// Periodic is work that is done at every multiple of a period, in UTC.
type Periodic struct {
	// Name tells it apart; together with the moment it is unique, however
	// many processes run.
	Name  string
	Every time.Duration
	Args  outbox.Args
	// Options are the job's, such as its queue.
	Options []outbox.Option
	// Upkeep is work whose exact moment matters to nobody: Advance does not
	// stop for it and does it where it stops anyway.
	Upkeep bool
}

// schedule makes sure that the coming moment of each periodic work has its
// row. Moments that passed unseen collapse into the latest one.
func (s *Server) schedule(ctx context.Context) error {
	s.scheduling.Lock()
	defer s.scheduling.Unlock()
	now := s.db.Now()
	for i, p := range s.o.Periodic {
		if now.Before(s.next[i]) {
			continue
		}
		t, err := outbox.Tick(ctx, s.db, p.Name, p.Every, p.Args, p.Options...)
		if err != nil {
			return err
		}
		s.next[i] = t.Next
		if t.Missed > 0 {
			s.metrics.missed.WithLabelValues(p.Name).Add(float64(t.Missed))
			level := slog.LevelWarn
			if s.db.Clock().Injected() { // which leaps on purpose
				level = slog.LevelInfo
			}
			s.log.Log(ctx, level, "periodic work was missed and is done once for all", "name", p.Name, "missed", t.Missed)
		}
	}
	return nil
}

func checkPeriodic(list []Periodic) error {
	seen := map[string]bool{}
	for _, p := range list {
		if p.Name == "" || p.Args == nil || p.Every < time.Second || seen[p.Name] {
			return fmt.Errorf("periodic work %q needs a name of its own, arguments and a period of a second or more", p.Name)
		}
		seen[p.Name] = true
	}
	return nil
}
