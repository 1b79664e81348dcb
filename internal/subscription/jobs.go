package subscription

import (
	"context"
	"fmt"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/outbox"
)

// MoveOn renews, expires, disables and deletes the subscriptions that have
// come to it. What falls due falls due at a midnight of UTC, so that one job
// serves all that do on one day.
type MoveOn struct {
	// Day is the day, as YYYY-MM-DD.
	Day string `json:"day"`
}

// Kind is the job's kind.
func (MoveOn) Kind() string { return "subscription.move_on" }

// Scan asks for MoveOn where its moment has passed unseen.
type Scan struct{}

// Kind is the job's kind.
func (Scan) Kind() string { return "subscription.scan" }

// planned makes sure that the day on which something falls due for a
// subscription has its job.
func (s *Service) planned(ctx context.Context, tx *database.Tx, x *Subscription) error {
	if x.NextActionAt == nil {
		return nil
	}
	return putMoveOn(ctx, tx, *x.NextActionAt)
}

func putMoveOn(ctx context.Context, tx *database.Tx, at time.Time) error {
	day := at.UTC().Format(time.DateOnly)
	_, err := outbox.Put(ctx, tx, MoveOn{Day: day}, outbox.DueAt(at), outbox.On(outbox.Low), outbox.Dedupe("subscription.move_on/"+day))
	return err
}

// MoveOn performs the job: everything that is due, some in one transaction, in
// the order of their moments; what another run is at is left to it. A late run
// does step after step what should have happened, each as of its moment.
func (s *Service) MoveOn(ctx context.Context, run *outbox.Run, _ MoveOn) error {
	for !run.Finished() {
		err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
			n, err := s.moveOn(ctx, tx)
			if err != nil || n == s.batch {
				return err
			}
			return run.Done(ctx, tx)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// moveOn does the next step of some subscriptions that are due, and tells how
// many there were.
func (s *Service) moveOn(ctx context.Context, tx *database.Tx) (int, error) {
	rows, err := lockDue(ctx, tx, tx.Now, s.batch)
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	ids := make([]ident.ID, len(rows))
	for i, x := range rows {
		ids[i] = x.OfferID
	}
	offers, err := s.offers.OffersTx(ctx, tx, ids)
	if err != nil {
		return 0, err
	}
	l := newLedger(tx, access.System("subscription"))
	days := map[time.Time]bool{}
	for _, x := range rows {
		before, at := *x, *x.NextActionAt
		kind, reason := x.due(offers[x.OfferID])
		l.note(before, x, Event{Kind: kind, Reason: reason, At: at})
		if x.NextActionAt != nil && x.NextActionAt.After(tx.Now) {
			days[*x.NextActionAt] = true
		}
	}
	for day := range days {
		if err := putMoveOn(ctx, tx, day); err != nil {
			return 0, err
		}
	}
	if err := s.write(ctx, l); err != nil {
		return 0, fmt.Errorf("moving subscriptions on: %w", err)
	}
	return len(rows), nil
}

// Scan puts the job where something fell due five minutes ago and is not done.
func (s *Service) Scan(ctx context.Context, run *outbox.Run, _ Scan) error {
	return s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		late, err := overdue(ctx, tx, tx.Now.Add(-5*time.Minute))
		if err != nil {
			return err
		}
		if late {
			if _, err := outbox.Put(ctx, tx, MoveOn{Day: tx.Now.UTC().Format(time.DateOnly)}, outbox.On(outbox.Low), outbox.Dedupe("subscription.move_on/late")); err != nil {
				return err
			}
		}
		return run.Done(ctx, tx)
	})
}
