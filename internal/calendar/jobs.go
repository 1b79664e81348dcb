package calendar

import (
	"context"
	"fmt"
	"slices"

	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/internal/sla"
)

// batchSize is how many promises one transaction moves.
const batchSize = 500

// MovePromises moves what was promised after a change of the calendar.
type MovePromises struct {
	// Version is the calendar's after the change.
	Version int `json:"version"`
}

// Kind is the job's kind.
func (MovePromises) Kind() string { return "calendar.move_promises" }

// Mover computes the promised moments of some rows of a concept anew, in the
// job's transaction: of the first limit rows in the order of their ids beyond
// after, "" at the beginning. It answers the last row it looked at and how
// many those were; fewer than limit, or "", is the end. A row may come twice,
// so what it writes follows from the row and the calendar alone.
type Mover func(ctx context.Context, tx *database.Tx, c *sla.Calendar, after ident.ID, limit int) (last ident.ID, n int, err error)

type mover struct {
	name  string
	move  Mover
	count Counter
}

// OnChange registers how a concept's promises follow the calendar, and how
// many they are where it can tell. The name is kept in rows: it never changes.
// It is called while the service is put together, in every process alike.
func (s *Service) OnChange(name string, move Mover, count ...Counter) {
	m := mover{name: name, move: move}
	if len(count) > 0 {
		m.count = count[0]
	}
	s.moves = append(s.moves, m)
}

// MovePromises performs the job, some promises in a transaction that also
// keeps how far it came; so a repeated run goes on where the former one ended.
// It ends early where the calendar has changed again, since the job of that
// change moves all.
func (s *Service) MovePromises(ctx context.Context, run *outbox.Run, args MovePromises) error {
	for !run.Finished() {
		err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
			return s.moveSome(ctx, tx, run, args.Version)
		})
		if err != nil {
			return fmt.Errorf("moving promises to version %d of the calendar: %w", args.Version, err)
		}
	}
	return nil
}

func (s *Service) moveSome(ctx context.Context, tx *database.Tx, run *outbox.Run, version int) error {
	m, err := lockMove(ctx, tx, version)
	switch {
	case err != nil:
		return err
	case m == nil:
		return fault.GiveUp(fault.CodeNotFound, nil)
	case m.FinishedAt != nil:
		return run.Done(ctx, tx)
	}
	now, rules, err := s.current(ctx, tx)
	if err != nil {
		return err
	}
	next := slices.IndexFunc(s.moves, func(x mover) bool { return !slices.Contains(m.Done, x.name) })
	if now != version || next < 0 {
		m.FinishedAt = &tx.Now
		if err := saveMove(ctx, tx, m); err != nil {
			return err
		}
		return run.Done(ctx, tx)
	}
	if m.Mover == "" && len(m.Done) == 0 {
		if m.Total, err = s.total(ctx, tx); err != nil {
			return err
		}
	}
	x := s.moves[next]
	if m.Mover != x.name {
		m.Mover, m.CursorID = x.name, ""
	}
	last, n, err := x.move(ctx, tx, rules, m.CursorID, s.batch)
	if err != nil {
		return fmt.Errorf("%s: %w", x.name, err)
	}
	through := n < s.batch || last == ""
	if !through && last <= m.CursorID {
		return fmt.Errorf("%s: stays at %s", x.name, last)
	}
	m.pass(last, n, through)
	return saveMove(ctx, tx, m)
}

// total is how many promises there are; nil where a mover cannot tell.
func (s *Service) total(ctx context.Context, tx *database.Tx) (*int, error) {
	var sum int
	for _, x := range s.moves {
		if x.count == nil {
			return nil, nil
		}
		n, err := x.count(ctx, tx)
		if err != nil {
			return nil, fmt.Errorf("counting %s: %w", x.name, err)
		}
		sum += n
	}
	return &sum, nil
}

// Cancelled refuses to call the job off: promises would be half on one
// calendar and half on another. For app's hooks.
func (s *Service) Cancelled(context.Context, *database.Tx, *outbox.Job) error {
	return fault.Conflict("id", outbox.CodeNotCancellable)
}
