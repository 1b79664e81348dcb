package calendar

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/audit"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/internal/page"
	"github.com/channelgraph/channelgraph/internal/sla"
)

// Service keeps the calendar.
type Service struct {
	db    *database.DB
	zone  *time.Location
	last  atomic.Pointer[snapshot]
	moves []mover
	batch int // a field so that tests can cross its bound
}

// snapshot is what was read last.
type snapshot struct {
	version int
	rules   *sla.Calendar
}

// New makes the service. The zone is the calendar's until somebody sets
// another, nil is UTC; what was promised is not moved by changing it.
func New(db *database.DB, zone *time.Location) *Service {
	if zone == nil {
		zone = time.UTC
	}
	return &Service{db: db, zone: zone, batch: batchSize}
}

// shown is the calendar as people read it.
func (s *Service) shown(c *Calendar) *Calendar {
	if c.TimeZone == "" {
		c.TimeZone = s.zone.String()
	}
	return c
}

// Find is the calendar, for whoever is signed in.
func (s *Service) Find(ctx context.Context, actor access.Actor) (*Calendar, error) {
	if err := actor.Require(access.PermViewerRead); err != nil {
		return nil, err
	}
	c, err := read(ctx, s.db.Read())
	if err != nil {
		return nil, err
	}
	return s.shown(c), nil
}

// Set says when the operator works. The operation moves what was promised; it
// is nil where nothing changed. Errors: those of SetInput, ROLE_REQUIRED,
// CONFLICT at expectedVersion.
func (s *Service) Set(ctx context.Context, actor access.Actor, in SetInput) (*Calendar, *outbox.Job, error) {
	if err := actor.Require(access.PermCalendarManage); err != nil {
		return nil, nil, err
	}
	if err := in.Validate(); err != nil {
		return nil, nil, err
	}
	return s.change(ctx, actor, func(_ context.Context, _ *database.Tx, c *Calendar) (*audit.Act, error) {
		if in.ExpectedVersion != nil && *in.ExpectedVersion != c.Version {
			return nil, fault.Conflict("expectedVersion", fault.CodeConflict)
		}
		changed := in.apply(c)
		if len(changed) == 0 {
			return nil, nil
		}
		return &audit.Act{Action: "calendar.changed", Changed: changed}, nil
	})
}

// AddHoliday makes a date one on which nothing counts; the operation moves
// what was promised. Errors: those of AddHolidayInput, ROLE_REQUIRED,
// HOLIDAY_EXISTS, those of outbox.Once.
func (s *Service) AddHoliday(ctx context.Context, actor access.Actor, in AddHolidayInput) (*Holiday, *outbox.Job, error) {
	if err := actor.Require(access.PermCalendarManage); err != nil {
		return nil, nil, err
	}
	raw := in
	if err := in.Validate(s.db.Now()); err != nil {
		return nil, nil, err
	}
	const verb = "addHoliday"
	var key string
	if in.IdempotencyKey != nil {
		key = *in.IdempotencyKey
	}
	var out *Holiday
	var replayed *outbox.Job
	_, job, err := s.change(ctx, actor, func(ctx context.Context, tx *database.Tx, c *Calendar) (*audit.Act, error) {
		out, replayed = nil, nil
		prior, err := outbox.Once(ctx, tx, actor, verb, key, raw)
		if err != nil {
			return nil, err
		}
		if prior != nil {
			found, err := holidaysByIDs(ctx, tx, []ident.ID{prior.ID("holiday")})
			if err != nil || len(found) == 0 { // removed since
				return nil, orErr(err, fault.NotFound(""))
			}
			out = found[0]
			replayed, err = outbox.FindTx(ctx, tx, prior.ID("operation"))
			return nil, err
		}
		out = &Holiday{ID: ident.New(ident.Holiday), Date: in.Date, Name: in.Name, CreatedByID: actor.UserID, CreatedAt: tx.Now}
		if err := insertHoliday(ctx, tx, out); err != nil {
			return nil, err
		}
		return &audit.Act{Action: "calendar.holiday_added", TargetID: out.ID}, nil
	}, func(ctx context.Context, tx *database.Tx, job *outbox.Job) error {
		return outbox.Remember(ctx, tx, actor, verb, key, map[string]string{"holiday": string(out.ID), "operation": string(job.ID)})
	})
	if err != nil {
		return nil, nil, err
	}
	if job == nil {
		job = replayed
	}
	return out, job, nil
}

func orErr(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}

// RemoveHoliday makes a holiday a day like others; the operation moves what
// was promised. Errors: ROLE_REQUIRED, NOT_FOUND.
func (s *Service) RemoveHoliday(ctx context.Context, actor access.Actor, in RemoveHolidayInput) (*Calendar, *outbox.Job, error) {
	if err := actor.Require(access.PermCalendarManage); err != nil {
		return nil, nil, err
	}
	return s.change(ctx, actor, func(ctx context.Context, tx *database.Tx, _ *Calendar) (*audit.Act, error) {
		h, err := takeHoliday(ctx, tx, in.HolidayID)
		if err != nil || h == nil {
			return nil, orErr(err, fault.NotFound("holidayId"))
		}
		return &audit.Act{Action: "calendar.holiday_removed", TargetID: h.ID}, nil
	})
}

// change runs a change of the calendar: fn says what was done, nil for
// nothing; then the calendar has a new version, and one job moves what was
// promised. after runs where there is a job.
func (s *Service) change(ctx context.Context, actor access.Actor, fn func(context.Context, *database.Tx, *Calendar) (*audit.Act, error),
	after ...func(context.Context, *database.Tx, *outbox.Job) error,
) (out *Calendar, job *outbox.Job, err error) {
	err = s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		job = nil
		if out, err = lock(ctx, tx); err != nil {
			return err
		}
		act, err := fn(ctx, tx, out)
		if err != nil || act == nil {
			return err
		}
		if err := save(ctx, tx, actor, out); err != nil {
			return err
		}
		if job, err = outbox.Put(ctx, tx, MovePromises{Version: out.Version}, outbox.By(actor)); err != nil {
			return err
		}
		if err := insertMove(ctx, tx, &Move{Version: out.Version, JobID: job.ID, Done: []string{}, CreatedAt: tx.Now}); err != nil {
			return err
		}
		for _, fn := range after {
			if err := fn(ctx, tx, job); err != nil {
				return err
			}
		}
		return audit.Record(ctx, tx, actor, *act)
	})
	if err != nil {
		return nil, nil, err
	}
	return s.shown(out), job, nil
}

// Holidays is a page of the holidays by date, for whoever is signed in.
// Errors: those of paging, DATE_INVALID in the filter.
func (s *Service) Holidays(ctx context.Context, actor access.Actor, args page.Args, f HolidayFilter) (*page.Connection[*Holiday], error) {
	if err := actor.Require(access.PermViewerRead); err != nil {
		return nil, err
	}
	if err := f.validate(); err != nil {
		return nil, err
	}
	pq, err := args.Resolve(page.Order{Name: "DATE", Column: "holiday.date", Sort: page.SortText}, f)
	if err != nil {
		return nil, err
	}
	return listHolidays(ctx, s.db, pq, f)
}

// HolidaysByIDs reads holidays, for whoever is signed in.
func (s *Service) HolidaysByIDs(ctx context.Context, actor access.Actor, ids []ident.ID) (map[ident.ID]*Holiday, error) {
	out := map[ident.ID]*Holiday{}
	if !actor.Can(access.PermViewerRead) {
		return out, nil
	}
	rows, err := holidaysByIDs(ctx, s.db.Read(), ids)
	for _, h := range rows {
		out[h.ID] = h
	}
	return out, err
}

// LastMove is how far the promises have followed the newest change; nil before
// the first one, and for whoever is not of the operator.
func (s *Service) LastMove(ctx context.Context, actor access.Actor, c *Calendar) (*Move, error) {
	if !actor.IsOperator() || !actor.Can(access.PermViewerRead) {
		return nil, nil
	}
	return moveOf(ctx, s.db.Read(), c.Version)
}
