package enrollment

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/audit"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/internal/register"
	"github.com/channelgraph/channelgraph/internal/sla"
)

// RunChecks asks for the automatic part of the checks that wait for it: after
// the contact's confirmation, after an answer, after a correction.
type RunChecks struct {
	EnrollmentID ident.ID `json:"enrollment_id"`
}

// Kind is the job's kind.
func (RunChecks) Kind() string { return "enrollment.run_checks" }

// lookupAttempts is how often a business register that does not answer is
// asked before the check is left to a reviewer.
const lookupAttempts = 5

// UseRegister makes another business register than the built-in one the one
// that is asked; it is called while the service is put together.
func (s *Service) UseRegister(l register.Lookup) { s.lookup = l }

// RunChecks performs the job. The register is asked outside of any
// transaction, about what the enrollment says then; where it says something
// else by the time of the answer, it is asked again.
func (s *Service) RunChecks(ctx context.Context, run *outbox.Run, a RunChecks) error {
	var asked string
	var found *register.Company
	var unavailable bool
	for !run.Finished() {
		var again *Enrollment
		err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
			again = nil
			e, err := lock(ctx, tx, access.System("enrollment").Scope(), a.EnrollmentID)
			if err != nil {
				return err
			}
			if e != nil && e.Status == InReview {
				checks, err := checksOf(ctx, tx, []ident.ID{e.ID})
				if err != nil {
					return err
				}
				if id := e.lookedUp(checks[e.ID]); id != "" && id != asked {
					again = e
					return nil
				}
				if err := s.runChecks(ctx, tx, e, checks[e.ID], found, unavailable); err != nil {
					return err
				}
			}
			return run.Done(ctx, tx)
		})
		if err != nil {
			return err
		}
		if again == nil {
			continue
		}
		asked, unavailable = again.Profile.RegistrationID, false
		found, err = s.lookup(ctx, again.Country, asked)
		switch {
		case errors.Is(err, register.ErrNotCovered), err != nil && run.Job.Attempt >= lookupAttempts && ctx.Err() == nil:
			found, unavailable = nil, true
		case err != nil:
			return err
		}
	}
	return nil
}

// lookedUp is the registration ID that the automatic part of the checks looks
// up, "" where it looks up nothing.
func (e *Enrollment) lookedUp(checks []*Check) string {
	if e.AlreadyEnrolled || !formed(e.Country, e.Profile.RegistrationID) ||
		!slices.ContainsFunc(checks, func(c *Check) bool { return c.Kind == Business && c.Status == CheckRunning }) {
		return ""
	}
	return e.Profile.RegistrationID
}

// runChecks makes the automatic part of those checks of a held enrollment that
// run.
func (s *Service) runChecks(ctx context.Context, tx *database.Tx, e *Enrollment, checks []*Check, found *register.Company, unavailable bool) error {
	actor, ran := access.System("enrollment"), false
	for _, c := range checks {
		if c.Status != CheckRunning || !decidable(c.Kind) {
			continue
		}
		ran = true
		result := checkEmployment(e.Profile, e.TenantDomain)
		if c.Kind == Business {
			duplicate, err := s.duplicate(ctx, tx, e)
			if err != nil {
				return err
			}
			result = checkBusiness(e, duplicate, found, unavailable)
		}
		n := Entry{Kind: EntryCheckOpen, Check: c.Kind, ReasonCode: string(result.reason), UntilAt: e.DueAt}
		act := audit.Act{Action: "enrollment.check_left", TargetID: e.ID, TargetOrganizationID: e.OrganizationID, Changed: []string{string(c.Kind)}, Reason: string(result.reason)}
		c.Status, c.ReasonCode, c.Awaits, c.DueAt, c.DecidedByID, c.DecidedAt = CheckWaiting, result.reason, Operator, e.DueAt, nil, nil
		if result.passed {
			c.Status, c.Awaits, c.DueAt = CheckPassed, Nobody, nil
			n.Kind, n.UntilAt, act.Action = EntryCheckPassed, nil, "enrollment.check_passed"
		}
		if err := s.set(ctx, tx, e, *c); err != nil {
			return err
		}
		if err := s.note(ctx, tx, actor, e, n); err != nil {
			return err
		}
		if err := audit.Record(ctx, tx, actor, act); err != nil {
			return err
		}
	}
	if !ran {
		return nil
	}
	return save(ctx, tx, e)
}

// duplicate reports whether another company goes by the enrollment's name,
// number or programme ID: a partner, or an applicant whose contact confirmed.
func (s *Service) duplicate(ctx context.Context, tx *database.Tx, e *Enrollment) (bool, error) {
	taken, err := s.partners.Taken(ctx, tx, e.OrganizationID, e.Country, e.Profile)
	if err != nil || len(taken) > 0 {
		return true, err
	}
	twins, err := confirmedTwins(ctx, tx, e)
	return len(twins) > 0, err
}

// movePromises moves the promised dates of running reviews to a changed
// calendar. A clock keeps the times that it ran, so that the new dates are
// those that it would have had all along.
func (s *Service) movePromises(ctx context.Context, tx *database.Tx, cal *sla.Calendar, after ident.ID, limit int) (last ident.ID, n int, err error) {
	es, err := running(ctx, tx, after, limit)
	if err != nil {
		return "", 0, err
	}
	for _, e := range es {
		last = e.ID
		if !s.cfg.move(e, cal, tx.Now) {
			continue
		}
		if err := s.plan(ctx, tx, e); err != nil {
			return "", 0, err
		}
		if err := datesOfChecks(ctx, tx, e); err != nil {
			return "", 0, err
		}
		if err := s.note(ctx, tx, access.System("enrollment"), e, Entry{Kind: EntryPromiseMoved, UntilAt: e.DueAt}); err != nil {
			return "", 0, err
		}
		if err := save(ctx, tx, e); err != nil {
			return "", 0, err
		}
	}
	return last, len(es), nil
}

// move gives an enrollment in review the dates that a calendar makes of its
// clock, and reports whether they are others. Of its steps those stay that
// have not been taken; one whose new moment has passed is due at once, and
// one that had no moment, since nothing counted, gets one. Those that were
// taken stay taken.
func (c *Config) move(e *Enrollment, cal *sla.Calendar, now time.Time) bool {
	target, due := e.TargetAt, e.DueAt
	c.promise(e, cal, now)
	if equal(target, e.TargetAt) && equal(due, e.DueAt) {
		return false
	}
	left := func(step Step, was *time.Time) bool {
		return was == nil || slices.ContainsFunc(e.Agenda, func(d Due) bool { return d.Step == step })
	}
	agenda := []Due{}
	if e.TargetAt != nil && left(StepReviewTarget, target) {
		agenda = append(agenda, Due{StepReviewTarget, *e.TargetAt})
	}
	if e.DueAt != nil && left(StepReviewDue, due) {
		agenda = append(agenda, Due{StepReviewDue, *e.DueAt})
	}
	e.Agenda = agenda
	return true
}

func equal(a, b *time.Time) bool { return (a == nil) == (b == nil) && (a == nil || a.Equal(*b)) }
