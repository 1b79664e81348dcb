package invitation

import (
	"context"
	"encoding/json"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/address"
	"github.com/channelgraph/channelgraph/internal/audit"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/mail"
	"github.com/channelgraph/channelgraph/internal/outbox"
)

// Look asks for a look at an invitation when something falls due: reminder
// or expiry.
type Look struct {
	InvitationID ident.ID `json:"invitation_id"`
}

// Kind is the job's kind.
func (Look) Kind() string { return "invitation.look" }

// Scan asks for a look at every invitation whose moment has passed unseen.
type Scan struct{}

// Kind is the job's kind.
func (Scan) Kind() string { return "invitation.scan" }

func foldEmail(s string) string {
	a, err := address.Parse(s)
	if err != nil {
		return ""
	}
	return a.Folded()
}

// plan writes down the invitation's next step after a moment and the timer
// that says "look again"; the caller saves the invitation.
func (s *Service) plan(ctx context.Context, tx *database.Tx, i *Invitation, after time.Time) error {
	step, at := i.Next(after)
	if step == StepNone {
		i.NextActionAt = nil
		return nil
	}
	i.NextActionAt = &at
	_, err := outbox.Put(ctx, tx, Look{InvitationID: i.ID}, outbox.DueAt(at), outbox.About(i.ID))
	return err
}

// Look performs what fell due for an invitation, in order; a late wake-up
// leaves out a reminder that a later step has overtaken.
func (s *Service) Look(ctx context.Context, run *outbox.Run, a Look) error {
	return s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		i, err := lock(ctx, tx, access.System("invitation").Scope(), a.InvitationID)
		if err != nil {
			return err
		}
		for i != nil && i.NextActionAt != nil && !i.NextActionAt.After(tx.Now) {
			step, at := i.Next(i.NextActionAt.Add(-time.Microsecond))
			if step == StepExpire {
				if err := s.expire(ctx, tx, i); err != nil {
					return err
				}
				break
			}
			if _, then := i.Next(at); then.After(tx.Now) && i.Status == Sent {
				if err := s.remind(ctx, tx, i, at); err != nil {
					return err
				}
			}
			if err := s.plan(ctx, tx, i, at); err != nil {
				return err
			}
			if err := save(ctx, tx, i); err != nil {
				return err
			}
		}
		return run.Done(ctx, tx)
	})
}

func (s *Service) remind(ctx context.Context, tx *database.Tx, i *Invitation, at time.Time) error {
	m, err := s.write(ctx, tx, i, s.concepts[i.Kind].Templates.Reminder, "remind/"+at.UTC().Format(time.RFC3339), i.Recipient, i.Locale, true)
	if err != nil {
		return err
	}
	_, err = outbox.Put(ctx, tx, Remind{InvitationID: i.ID, Generation: i.Generation, MessageID: m.ID}, outbox.On(outbox.Mail),
		outbox.About(i.ID), outbox.ExpiresAt(i.ExpiresAt), outbox.MaxAttempts(mail.MaxAttempts))
	return err
}

// Remind sends a reminder unless the invitation was answered meanwhile.
type Remind struct {
	InvitationID ident.ID `json:"invitation_id"`
	Generation   int      `json:"generation"`
	MessageID    ident.ID `json:"message_id"`
}

// Kind is the job's kind.
func (Remind) Kind() string { return "invitation.remind" }

// SendReminder performs Remind.
func (s *Service) SendReminder(ctx context.Context, run *outbox.Run, a Remind) error {
	return s.mailer.Deliver(ctx, a.MessageID, mail.Hooks{
		Wanted: func(ctx context.Context) (bool, error) {
			return s.current(ctx, a.InvitationID, a.Generation, Sent)
		},
		Settle: func(ctx context.Context, tx *database.Tx, _ *mail.Message, o mail.Outcome) error {
			if !o.State.Final() {
				return nil
			}
			return run.Done(ctx, tx)
		},
	})
}

func (s *Service) current(ctx context.Context, id ident.ID, generation int, want Status) (bool, error) {
	is, err := byIDs(ctx, s.db.Read(), access.System("invitation").Scope(), []ident.ID{id})
	if err != nil {
		return false, err
	}
	i := is[id]
	return i != nil && i.Generation == generation && i.Status == want, nil
}

func (s *Service) expire(ctx context.Context, tx *database.Tx, i *Invitation) error {
	if err := s.close(ctx, tx, i, VerbExpire, ""); err != nil {
		return err
	}
	if err := s.tell(ctx, tx, i, s.concepts[i.Kind].Templates.Expired, "expired"); err != nil {
		return err
	}
	if err := save(ctx, tx, i); err != nil {
		return err
	}
	return audit.Record(ctx, tx, access.System("invitation"), audit.Act{Action: "invitation.expired", TargetID: i.ID, Changed: []string{"status"}})
}

// Deliver sends one generation of an invitation: the body of every inviting
// concept's send job. Stale or withdrawn work does nothing.
func (s *Service) Deliver(ctx context.Context, run *outbox.Run, id ident.ID, generation int) error {
	is, err := byIDs(ctx, s.db.Read(), access.System("invitation").Scope(), []ident.ID{id})
	if err != nil {
		return err
	}
	i := is[id]
	if i == nil || i.Generation != generation {
		return nil
	}
	err = s.mailer.Deliver(ctx, i.MessageID, mail.Hooks{
		Wanted: func(ctx context.Context) (bool, error) { return s.current(ctx, id, generation, Queued) },
		Settle: func(ctx context.Context, tx *database.Tx, _ *mail.Message, o mail.Outcome) error {
			if !o.State.Final() {
				return nil
			}
			i, err := lock(ctx, tx, access.System("invitation").Scope(), id)
			if err != nil {
				return err
			}
			if i != nil && i.Generation == generation {
				if err := s.settle(ctx, tx, i, o); err != nil {
					return err
				}
				if i.Status == Failed || i.Status == Bounced {
					return nil // the job itself is to end as failed
				}
			}
			return run.Done(ctx, tx)
		},
	})
	if err != nil || run.Finished() {
		return err
	}
	if is, err = byIDs(ctx, s.db.Read(), access.System("invitation").Scope(), []ident.ID{id}); err != nil {
		return err
	}
	if i = is[id]; i != nil && i.Generation == generation && (i.Status == Failed || i.Status == Bounced) {
		return fault.GiveUp(i.FailureCode, nil)
	}
	return nil
}

// sentBy reports whether a send job is that of the invitation's newest link.
// The job of a former one stays behind where it failed before a resend.
func (i *Invitation) sentBy(j *outbox.Job) bool {
	var of struct {
		Generation int `json:"generation"`
	}
	return json.Unmarshal([]byte(j.Payload), &of) == nil && of.Generation == i.Generation
}

// Retried takes note that the failed operation which was to send an
// invitation goes on: the same mail is tried again. A bounced address is not
// tried again this way; it needs a new link. Error: OPERATION_NOT_RETRYABLE,
// also for the operation of a former link.
func (s *Service) Retried(ctx context.Context, tx *database.Tx, j *outbox.Job) error {
	i, err := lock(ctx, tx, access.System("invitation").Scope(), j.SubjectID)
	if err != nil {
		return err
	}
	next, ok := Status(""), false
	if i != nil && i.sentBy(j) {
		next, ok = i.Status.Next(VerbRetry)
	}
	if !ok || !tx.Now.Before(i.ExpiresAt) {
		return fault.Conflict("operationId", outbox.CodeNotRetryable)
	}
	i.Status, i.FailureCode = next, ""
	if err := s.mailer.Reopen(ctx, tx, i.MessageID, tx.Now.Add(s.cfg.MailLife)); err != nil {
		return err
	}
	if err := s.plan(ctx, tx, i, tx.Now); err != nil {
		return err
	}
	return save(ctx, tx, i)
}

// settle writes down what became of the invitation's mail.
func (s *Service) settle(ctx context.Context, tx *database.Tx, i *Invitation, o mail.Outcome) error {
	if i.Status != Queued {
		return nil // answered, revoked or sent again meanwhile
	}
	if o.State == mail.Sent {
		i.Status, _ = i.Status.Next(VerbMarkSent)
		i.SentAt = &tx.Now
		tx.Tell("invitation.sent", i.ID)
		return save(ctx, tx, i)
	}
	v := VerbFail
	if o.Recipient {
		v = VerbBounce
	}
	return s.lost(ctx, tx, i, v, o.Code)
}

// lost ends an invitation whose mail did not arrive and tells the inviter.
func (s *Service) lost(ctx context.Context, tx *database.Tx, i *Invitation, v Verb, code string) error {
	next, ok := i.Status.Next(v)
	if !ok {
		return nil
	}
	i.Status, i.FailureCode, i.NextActionAt = next, code, nil
	if err := outbox.CancelAbout(ctx, tx, i.ID, Look{}.Kind()); err != nil {
		return err
	}
	if err := s.tell(ctx, tx, i, s.concepts[i.Kind].Templates.Bounced, "lost"); err != nil {
		return err
	}
	if err := save(ctx, tx, i); err != nil {
		return err
	}
	action := "invitation.failed"
	if v == VerbBounce {
		action = "invitation.bounced"
	}
	return audit.Record(ctx, tx, access.System("invitation"), audit.Act{Action: action, TargetID: i.ID, Changed: []string{"status"}, Reason: code})
}

// bounced takes note of a permanent bounce of the invitation's newest mail.
func (s *Service) bounced(ctx context.Context, tx *database.Tx, m *mail.Message, _ mail.Report) error {
	if !m.SubjectID.Is(ident.Invitation) {
		return nil
	}
	i, err := lock(ctx, tx, access.System("invitation").Scope(), m.SubjectID)
	if err != nil || i == nil || i.MessageID != m.ID {
		return err
	}
	return s.lost(ctx, tx, i, VerbBounce, mail.CodeBounced)
}

// Cancelled takes note that the operation which was to send an invitation has
// been called off: the invitation is revoked, unless that was the operation
// of a former link.
func (s *Service) Cancelled(ctx context.Context, tx *database.Tx, j *outbox.Job) error {
	i, err := lock(ctx, tx, access.System("invitation").Scope(), j.SubjectID)
	if err != nil || i == nil || i.Status != Queued || !i.sentBy(j) {
		return err
	}
	if err := s.close(ctx, tx, i, VerbRevoke, ""); err != nil {
		return err
	}
	tx.Tell("invitation.revoked", i.ID)
	return save(ctx, tx, i)
}

// Scan puts a timer for every invitation whose moment passed five minutes ago
// without one.
func (s *Service) Scan(ctx context.Context, run *outbox.Run, _ Scan) error {
	return s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		ids, err := overdue(ctx, tx, tx.Now.Add(-5*time.Minute), 500)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if _, err := outbox.Put(ctx, tx, Look{InvitationID: id}, outbox.About(id), outbox.Dedupe("invitation.look/"+string(id))); err != nil {
				return err
			}
		}
		return run.Done(ctx, tx)
	})
}
