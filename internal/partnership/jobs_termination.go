package partnership

import (
	"context"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/calendar"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/internal/sla"
)

// LookTermination asks for a look at a request to end when it is overdue.
type LookTermination struct {
	TerminationID ident.ID `json:"termination_id"`
}

// Kind is the job's kind.
func (LookTermination) Kind() string { return "partnership.look_termination" }

// ScanTerminations asks for a look at every request to end whose moment has
// passed unseen.
type ScanTerminations struct{}

// Kind is the job's kind.
func (ScanTerminations) Kind() string { return "partnership.scan_terminations" }

// Follow lets requests to end be decided by days of the calendar, and move
// with it. It is called while the service is put together; without it they
// have no dates.
func (s *Service) Follow(calendars *calendar.Service) {
	s.calendars = calendars
	calendars.OnChange("termination", s.movePromises, countUndecided)
}

// promise fixes the dates of a new request.
func (s *Service) promise(ctx context.Context, tx *database.Tx, t *Termination) error {
	if s.calendars == nil {
		return nil
	}
	c, err := s.calendars.Current(ctx, tx)
	if err != nil {
		return err
	}
	t.keep(c, tx.Now)
	return nil
}

// follow keeps the desk and the timer in step with a request that was written.
func (s *Service) follow(ctx context.Context, tx *database.Tx, t *Termination) error {
	ps, err := s.partners.Load(ctx, tx, t.RequesterID)
	if err != nil {
		return err
	}
	if err := onDesk(ctx, tx, t, ps[t.RequesterID]); err != nil {
		return err
	}
	if err := outbox.CancelAbout(ctx, tx, t.ID, LookTermination{}.Kind()); err != nil {
		return err
	}
	if t.NextActionAt == nil {
		return nil
	}
	_, err = outbox.Put(ctx, tx, LookTermination{TerminationID: t.ID}, outbox.DueAt(*t.NextActionAt), outbox.About(t.ID))
	return err
}

// movePromises gives undecided requests the dates of a changed calendar.
func (s *Service) movePromises(ctx context.Context, tx *database.Tx, c *sla.Calendar, after ident.ID, limit int) (last ident.ID, n int, err error) {
	ts, err := undecided(ctx, tx, after, limit)
	if err != nil {
		return "", 0, err
	}
	for _, t := range ts {
		last = t.ID
		if !t.keep(c, tx.Now) {
			continue
		}
		if err := saveTermination(ctx, tx, t); err != nil {
			return "", 0, err
		}
		if err := s.follow(ctx, tx, t); err != nil {
			return "", 0, err
		}
	}
	return last, len(ts), nil
}

// LookTermination performs its job: once a request is overdue, whoever works
// it and the operator's administrators are told.
func (s *Service) LookTermination(ctx context.Context, run *outbox.Run, a LookTermination) error {
	return s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		system := access.System("partnership")
		t, err := lockTermination(ctx, tx, system.Scope(), a.TerminationID)
		if err != nil {
			return err
		}
		if t == nil || t.NextActionAt == nil || t.NextActionAt.After(tx.Now) {
			return run.Done(ctx, tx)
		}
		t.NextActionAt = nil
		if err := saveTermination(ctx, tx, t); err != nil {
			return err
		}
		if err := s.tellOverdue(ctx, tx, t); err != nil {
			return err
		}
		return run.Done(ctx, tx)
	})
}

func (s *Service) tellOverdue(ctx context.Context, tx *database.Tx, t *Termination) error {
	system := access.System("partnership")
	operator, err := s.accounts.Operator(ctx, tx)
	if err != nil || operator == "" {
		return err
	}
	to, err := s.accounts.Recipients(ctx, tx, operator, access.OperatorAdmin)
	if err != nil {
		return err
	}
	p, err := lock(ctx, tx, system.Scope(), t.PartnershipID)
	if err != nil {
		return err
	}
	data, err := s.data(ctx, tx, system, p, t, t.RequesterID)
	if err != nil {
		return err
	}
	data["RequestedAt"], data["PromisedAt"] = t.CreatedAt.UTC().Format(time.RFC3339), t.DueAt.UTC().Format(time.RFC3339)
	if t.AssigneeID != "" {
		us, err := s.accounts.UsersTx(ctx, tx, system, []ident.ID{t.AssigneeID})
		if err != nil {
			return err
		}
		if u := us[t.AssigneeID]; u != nil && u.Status == account.Active {
			data["AssignedTo"] = u.DisplayName()
			to = append(to, u)
		}
	}
	for _, u := range to {
		if err := s.post(ctx, tx, u, "termination_overdue", p.ID, string(t.ID), data); err != nil {
			return err
		}
	}
	return nil
}

// ScanTerminations performs its job.
func (s *Service) ScanTerminations(ctx context.Context, run *outbox.Run, _ ScanTerminations) error {
	return s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		ids, err := overdue(ctx, tx, tx.Now.Add(-5*time.Minute), 500)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if _, err := outbox.Put(ctx, tx, LookTermination{TerminationID: id}, outbox.About(id), outbox.Dedupe("termination.look/"+string(id))); err != nil {
				return err
			}
		}
		return run.Done(ctx, tx)
	})
}
