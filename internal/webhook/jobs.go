package webhook

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/mail"
	"github.com/channelgraph/channelgraph/internal/outbox"
)

const (
	templatePaused = "webhook_paused"
	// codeBusy says that enough requests are under way.
	codeBusy = "WEBHOOK_BUSY"
	// stranded is how late an attempt must be to be looked after.
	stranded = 15 * time.Minute
)

// Dispatch puts the jobs of an event's deliveries.
type Dispatch struct {
	EventID ident.ID `json:"event_id"`
}

// Kind is the job's kind.
func (Dispatch) Kind() string { return "webhook.dispatch" }

// Deliver sends one run of a delivery.
type Deliver struct {
	DeliveryID ident.ID `json:"delivery_id"`
	Run        int      `json:"run"`
}

// Kind is the job's kind.
func (Deliver) Kind() string { return "webhook.deliver" }

// ReplayFailed begins another run of the deliveries to an endpoint that were
// made since a moment and failed before another, both in microseconds.
type ReplayFailed struct {
	EndpointID ident.ID `json:"endpoint_id"`
	Since      int64    `json:"since"`
	Before     int64    `json:"before"`
}

// Kind is the job's kind.
func (ReplayFailed) Kind() string { return "webhook.replay_failed" }

// Prune removes what is no longer kept, and looks after deliveries that no job
// carries.
type Prune struct{}

// Kind is the job's kind.
func (Prune) Kind() string { return "webhook.prune" }

// put puts the job of a delivery's run; one that is there already stays. The
// run counts its own attempts, so the queue must not give up before.
func put(ctx context.Context, tx *database.Tx, d *Delivery) error {
	_, err := outbox.Put(ctx, tx, Deliver{DeliveryID: d.ID, Run: d.Run}, outbox.On(outbox.Low), outbox.About(d.ID), outbox.MaxAttempts(mail.MaxAttempts),
		outbox.Dedupe("webhook.deliver/"+string(d.ID)+"/"+strconv.Itoa(d.Run)))
	return err
}

// putAll puts the jobs of many deliveries, some in each transaction.
func (s *Service) putAll(ctx context.Context, read func(ctx context.Context, tx *database.Tx, after ident.ID) ([]*Delivery, error)) error {
	var after ident.ID
	for {
		n := 0
		err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
			rows, err := read(ctx, tx, after)
			if err != nil {
				return err
			}
			for _, d := range rows {
				if err := put(ctx, tx, d); err != nil {
					return err
				}
			}
			if n = len(rows); n > 0 {
				after = rows[n-1].ID
			}
			return nil
		})
		if err != nil || n < batch {
			return err
		}
	}
}

// Dispatch performs its job.
func (s *Service) Dispatch(ctx context.Context, _ *outbox.Run, args Dispatch) error {
	return s.putAll(ctx, func(ctx context.Context, tx *database.Tx, after ident.ID) ([]*Delivery, error) {
		return pendingOf(ctx, tx, args.EventID, after)
	})
}

// Deliver performs its job: one attempt. It re-reads everything, also whether
// the endpoint's organization still sees the subject.
func (s *Service) Deliver(ctx context.Context, run *outbox.Run, args Deliver) error {
	d, event, e, err := find(ctx, s.db.Read(), args.DeliveryID)
	if err != nil {
		return fmt.Errorf("reading delivery %s: %w", args.DeliveryID, err)
	}
	if d == nil || d.State != Pending || d.Run != args.Run {
		return nil
	}
	now := s.db.Now()
	if early := d.NextAttemptAt.Sub(now); early > time.Second { // a former run of this job ended before it could say so
		return fault.RetryFree(early, d.Code, nil)
	}
	sees, err := maySee(ctx, s.db.Read(), e, d.SubjectID)
	switch {
	case err != nil:
		return fmt.Errorf("looking who sees %s: %w", d.SubjectID, err)
	case e.DeletedAt != nil:
		return s.drop(ctx, run, d, Failed, FailDeleted)
	case !sees:
		return s.drop(ctx, run, d, Withheld, FailHidden)
	case e.Status != Enabled && d.Type != Test:
		return s.drop(ctx, run, d, Failed, FailPaused)
	}
	if !s.gate.enter(string(e.OrganizationID)) {
		return fault.RetryFree(queueFor(now.Sub(*d.NextAttemptAt), rand.Float64()), codeBusy, nil) //nolint:gosec // spreads load, guards nothing
	}
	body := event.Body()
	o := post(ctx, s.client, "channelgraph-webhooks/"+s.cfg.Version, e.URL, body, s.headers(e, event, body, now))
	s.gate.leave(string(e.OrganizationID))
	if ctx.Err() != nil { // stopped by us; whether it arrived is not known
		return ctx.Err()
	}
	return s.conclude(ctx, run, d, o, now)
}

// queueFor is how long a delivery that is late by some time waits for a free
// place, spread by luck in [0,1): the later it is the longer, so that many that
// wait for a slow endpoint do not keep the queue busy.
func queueFor(late time.Duration, luck float64) time.Duration {
	d := 2*time.Second + min(max(late, 0)/2, time.Minute)
	return time.Duration(float64(d) * (1 + luck)).Round(time.Millisecond)
}

// headers sign a message with every secret that signs now.
func (s *Service) headers(e *Endpoint, event *Event, body []byte, now time.Time) map[string]string {
	var signatures []string
	for _, g := range e.generations(now) {
		signatures = append(signatures, s.keys.SignWebhook(e.ID, g, string(event.ID), now, body))
	}
	return map[string]string{"webhook-id": string(event.ID), "webhook-timestamp": strconv.FormatInt(now.Unix(), 10),
		"webhook-signature": strings.Join(signatures, " ")}
}

// drop ends a delivery without an attempt.
func (s *Service) drop(ctx context.Context, run *outbox.Run, d *Delivery, to State, code string) error {
	s.OnOutcome(code)
	return s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		held, err := lockDelivery(ctx, tx, d.ID)
		if err != nil {
			return err
		}
		if held != nil && held.State == Pending && held.Run == d.Run {
			held.end(to, code, tx.Now)
			if err := saveDelivery(ctx, tx, held); err != nil {
				return err
			}
		}
		return run.Done(ctx, tx)
	})
}

// conclude logs an attempt and decides what comes next, for the delivery and
// its endpoint.
func (s *Service) conclude(ctx context.Context, run *outbox.Run, d *Delivery, o outcome, at time.Time) error {
	label := o.code
	if label == "" {
		label = "delivered"
	}
	s.OnOutcome(label)
	s.log.InfoContext(ctx, "webhook attempt", "delivery", d.ID, "endpoint", d.EndpointID, "type", d.Type, "outcome", label, "status", o.statusCode,
		"took", o.took.Round(time.Millisecond).String())
	var after time.Duration
	err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		after = 0
		e, err := lock(ctx, tx, nil, d.EndpointID)
		if err != nil {
			return err
		}
		held, err := lockDelivery(ctx, tx, d.ID)
		if err != nil {
			return err
		}
		if e == nil || held == nil || held.State != Pending || held.Run != d.Run { // ended otherwise meanwhile
			return run.Done(ctx, tx)
		}
		held.Attempts++
		held.StatusCode, held.Code = o.statusCode, o.code
		if err := insertAttempt(ctx, tx, &Attempt{DeliveryID: held.ID, Number: held.Attempts, At: at, DurationMs: int(o.took.Milliseconds()),
			StatusCode: o.statusCode, Code: o.code}); err != nil {
			return err
		}
		next, more := wait(held.Attempts-held.AttemptsBefore, o.retryAfter, rand.Float64()) //nolint:gosec // spreads load, guards nothing
		switch {
		case o.code == "":
			held.end(Delivered, "", tx.Now)
		case held.Type == Test, o.code == FailGone, !more:
			held.end(Failed, o.code, tx.Now)
		default:
			due := tx.Now.Add(next)
			after, held.NextAttemptAt = next, &due
		}
		if held.Type != Test || o.code == "" {
			if err := s.judge(ctx, tx, e, o, held); err != nil {
				return err
			}
		}
		if err := saveDelivery(ctx, tx, held); err != nil {
			return err
		}
		if after > 0 {
			return nil
		}
		return run.Done(ctx, tx)
	})
	if err == nil && after > 0 {
		err = fault.RetryAfter(after, o.code, nil)
	}
	return err
}

// judge counts an attempt for its endpoint and pauses it where that was one
// too many.
func (s *Service) judge(ctx context.Context, tx *database.Tx, e *Endpoint, o outcome, d *Delivery) error {
	if o.code == "" {
		e.arrived(tx.Now)
		return saveHealth(ctx, tx, e)
	}
	why, now := e.failed(o, d.State == Failed, tx.Now)
	if !now {
		return saveHealth(ctx, tx, e)
	}
	e.pause(why, tx.Now)
	if err := save(ctx, tx, e); err != nil {
		return err
	}
	if err := s.mailPaused(ctx, tx, e); err != nil {
		return err
	}
	return s.record(ctx, tx, access.System("webhook"), "webhook.paused", e, "status")
}

// mailPaused tells who made the endpoint that it was paused; where that person
// may no longer manage it, the organization's admins.
func (s *Service) mailPaused(ctx context.Context, tx *database.Tx, e *Endpoint) error {
	creator, err := access.Load(ctx, tx, access.Presence{UserID: e.CreatedByID})
	if err != nil {
		return err
	}
	var to []*account.User
	if creator.Can(access.PermWebhookManage) && creator.OrganizationID == e.OrganizationID {
		us, err := s.accounts.UsersTx(ctx, tx, access.System("webhook"), []ident.ID{creator.UserID})
		if err != nil {
			return err
		}
		to = append(to, us[creator.UserID])
	} else if to, err = s.accounts.Recipients(ctx, tx, e.OrganizationID, access.GlobalAdmin, access.OperatorAdmin); err != nil {
		return err
	}
	data := map[string]string{"EndpointName": e.Description, "PausedAt": e.PausedAt.Format(time.RFC3339), "FailingSince": e.FailingSince.Format(time.RFC3339)}
	if e.PauseReason == PauseGone {
		data["Gone"] = "yes"
	}
	for _, u := range to {
		data["Name"] = u.DisplayName()
		m, err := s.mailer.Queue(ctx, tx, mail.Draft{Key: fmt.Sprintf("%s/%s/%d/%s", templatePaused, e.ID, e.Version, u.ID), Template: templatePaused,
			Locale: u.Locale, To: u.Email, Data: s.mailer.Fit(templatePaused, data), OrganizationID: u.OrganizationID, SubjectID: e.ID})
		if err != nil {
			return err
		}
		if _, err := outbox.Put(ctx, tx, mail.Send{MessageID: m.ID}, outbox.On(outbox.Mail), outbox.About(e.ID), outbox.MaxAttempts(mail.MaxAttempts)); err != nil {
			return err
		}
	}
	return nil
}

// PerformReplay performs ReplayFailed, some deliveries in one transaction.
func (s *Service) PerformReplay(ctx context.Context, _ *outbox.Run, args ReplayFailed) error {
	since, before := time.UnixMicro(args.Since).UTC(), time.UnixMicro(args.Before).UTC()
	for {
		n := 0
		err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
			n = 0
			e, err := lock(ctx, tx, nil, args.EndpointID)
			if err != nil || e == nil || e.DeletedAt != nil || e.Status != Enabled {
				return err
			}
			rows, err := lockFailed(ctx, tx, e.ID, since, before)
			if err != nil {
				return err
			}
			for _, d := range rows {
				if err := again(ctx, tx, d); err != nil {
					return err
				}
			}
			n = len(rows)
			return nil
		})
		if err != nil || n < batch {
			return err
		}
	}
}

// Prune performs its job, some rows in one transaction.
func (s *Service) Prune(ctx context.Context, _ *outbox.Run, _ Prune) error {
	now := s.db.Now()
	for _, old := range []struct {
		table, column string
		before        time.Time
	}{
		{"webhook_delivery", "created_at", now.Add(-KeepFor)},
		{"webhook_event", "occurred_at", now.Add(-KeepFor)},
		{"webhook_endpoint", "deleted_at", now},
	} {
		for n := batch; n == batch; {
			err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) (err error) {
				n, err = pruneOnce(ctx, tx, old.table, old.column, old.before)
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	return s.putAll(ctx, func(ctx context.Context, tx *database.Tx, after ident.ID) ([]*Delivery, error) {
		return strandedSince(ctx, tx, now.Add(-stranded), after)
	})
}
