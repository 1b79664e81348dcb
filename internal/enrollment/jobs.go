package enrollment

import (
	"context"
	"fmt"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/address"
	"github.com/channelgraph/channelgraph/internal/audit"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/file"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/mail"
	"github.com/channelgraph/channelgraph/internal/outbox"
)

// AnswerStart mails the way in that somebody asked for, or says that the
// address has an account.
type AnswerStart struct {
	StartID ident.ID `json:"start_id"`
}

// Kind is the job's kind.
func (AnswerStart) Kind() string { return "enrollment.answer_start" }

// SendVerification mails the primary contact one generation of the link.
type SendVerification struct {
	EnrollmentID ident.ID `json:"enrollment_id"`
	Generation   int      `json:"generation"`
	MessageID    ident.ID `json:"message_id"`
}

// Kind is the job's kind.
func (SendVerification) Kind() string { return "enrollment.send_verification" }

// Notice sends a mail that is moot once the enrollment has left a stage.
type Notice struct {
	EnrollmentID ident.ID `json:"enrollment_id"`
	Stage        int      `json:"stage"`
	MessageID    ident.ID `json:"message_id"`
}

// Kind is the job's kind.
func (Notice) Kind() string { return "enrollment.notice" }

// Look asks for a look at an enrollment when something falls due.
type Look struct {
	EnrollmentID ident.ID `json:"enrollment_id"`
}

// Kind is the job's kind.
func (Look) Kind() string { return "enrollment.look" }

// Scan asks for a look at every enrollment whose moment has passed unseen, and
// forgets wishes to enroll that came to nothing.
type Scan struct{}

// Kind is the job's kind.
func (Scan) Kind() string { return "enrollment.scan" }

// DiscardEvidence removes the evidence of enrollments that came to nothing
// long ago (security.md section 7).
type DiscardEvidence struct{}

// Kind is the job's kind.
func (DiscardEvidence) Kind() string { return "enrollment.discard_evidence" }

// Mail templates of this concept to the applicant's side.
const (
	templateStart          = "enrollment_start"
	templateStartKnown     = "enrollment_start_known"
	templateDraftReminder  = "enrollment_draft_reminder"
	templateVerification   = "enrollment_verification"
	templateVerifyReminder = "enrollment_verification_reminder"
	templateUndelivered    = "enrollment_undelivered"
	templateConfirmed      = "enrollment_confirmed"
	templateFrozen         = "enrollment_frozen"
	templateActionReminder = "enrollment_action_reminder"
	templateRejected       = "enrollment_rejected"
	templateSignReminder   = "enrollment_sign_reminder"
	templateActive         = "enrollment_active"
	templateExpired        = "enrollment_expired"
	templateWithdrawn      = "enrollment_withdrawn"
	templateAppealReceived = "enrollment_appeal_received"
)

// Mail templates to the reviewers that timers and the applicant's side cause.
const (
	templateReviewDue     = "enrollment_review_due"
	templateReviewOverdue = "enrollment_review_overdue"
	templateDisowned      = "enrollment_disowned"
	templateAppealed      = "enrollment_appealed"
)

func foldEmail(s string) string {
	a, err := address.Parse(s)
	if err != nil {
		return ""
	}
	return a.Folded()
}

// AnswerStart performs its job. The mail is the only place where the answers
// differ: an address that is a user's is told so, any other gets a link with
// which the account is opened.
func (s *Service) AnswerStart(ctx context.Context, run *outbox.Run, a AnswerStart) error {
	return s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		r, err := lockStart(ctx, tx, a.StartID)
		if err != nil {
			return err
		}
		if r != nil && r.TokenHash == "" && tx.Now.Before(r.ExpiresAt) {
			if err := s.answerStart(ctx, tx, r); err != nil {
				return err
			}
		}
		return run.Done(ctx, tx)
	})
}

func (s *Service) answerStart(ctx context.Context, tx *database.Tx, r *start) error {
	u, err := s.accounts.ByEmailTx(ctx, tx, r.EmailFolded)
	if err != nil {
		return err
	}
	d := mail.Draft{Key: "enrollment_start/" + string(r.ID), Template: templateStart, Locale: r.Locale, To: r.Email}
	facts := map[string]string{"Name": r.FirstName + " " + r.LastName, "WorkAccount": address.Unicode(r.TenantDomain)}
	if u != nil {
		d.Template, d.Locale, d.To, d.OrganizationID = templateStartKnown, u.Locale, u.Email, u.OrganizationID
		facts["Name"] = u.DisplayName()
		if err := deleteStart(ctx, tx, r.ID); err != nil {
			return err
		}
	} else {
		token := s.keys.Capability(StartPrefix, StartPurpose, r.ID, 1)
		r.TokenHash, r.ExpiresAt = secretHash(token), tx.Now.Add(s.cfg.StartLife)
		if err := saveStart(ctx, tx, r); err != nil {
			return err
		}
		facts["ExpiresAt"] = r.ExpiresAt.UTC().Format(time.RFC3339)
		d.Link = &mail.Link{Purpose: StartPurpose, Prefix: StartPrefix, Path: StartPath, SubjectID: r.ID, Generation: 1}
		d.ExpiresAt = r.ExpiresAt
	}
	d.Data = s.mailer.Fit(d.Template, facts)
	m, err := s.mailer.Queue(ctx, tx, d)
	if err != nil {
		return err
	}
	_, err = outbox.Put(ctx, tx, mail.Send{MessageID: m.ID}, outbox.On(outbox.Mail), outbox.MaxAttempts(mail.MaxAttempts), outbox.ExpiresAt(m.ExpiresAt))
	return err
}

// SendVerification performs its job: a link that a newer one replaced, or that
// the enrollment does not wait for any more, is not sent. Where the mail is
// lost the applicant is told and the operation fails with the mail's code.
func (s *Service) SendVerification(ctx context.Context, run *outbox.Run, a SendVerification) error {
	err := s.mailer.Deliver(ctx, a.MessageID, mail.Hooks{
		Wanted: func(ctx context.Context) (bool, error) {
			es, err := byIDs(ctx, s.db.Read(), access.System("enrollment").Scope(), []ident.ID{a.EnrollmentID})
			e := es[a.EnrollmentID]
			return e != nil && e.Status == EmailPending && e.Generation == a.Generation, err
		},
		Settle: func(ctx context.Context, tx *database.Tx, _ *mail.Message, o mail.Outcome) error {
			switch {
			case !o.State.Final():
				return nil
			case o.State == mail.Sent, o.Code == mail.CodeNotWanted:
				return run.Done(ctx, tx)
			}
			e, err := lock(ctx, tx, access.System("enrollment").Scope(), a.EnrollmentID)
			if err != nil || e == nil || e.VerificationMessageID != a.MessageID {
				return err
			}
			return s.undelivered(ctx, tx, e, o.Code)
		},
	})
	if err != nil || run.Finished() {
		return err
	}
	m, err := s.mailer.Find(ctx, a.MessageID)
	if err != nil {
		return err
	}
	if m.State == mail.Sent || m.FailureCode == mail.CodeNotWanted {
		return nil
	}
	return fault.GiveUp(m.FailureCode, nil)
}

// undelivered takes note that the newest link did not reach the contact.
func (s *Service) undelivered(ctx context.Context, tx *database.Tx, e *Enrollment, code string) error {
	if e.Status != EmailPending {
		return nil
	}
	if err := s.note(ctx, tx, access.System("enrollment"), e, Entry{Kind: EntryLinkUndelivered, Check: EmailOwnership, ReasonCode: code}); err != nil {
		return err
	}
	return s.tellApplicant(ctx, tx, e, letter{template: templateUndelivered, step: fmt.Sprintf("undelivered/%d", e.Generation), moot: true})
}

// bounced takes note of a permanent bounce of the newest link's mail.
func (s *Service) bounced(ctx context.Context, tx *database.Tx, m *mail.Message, _ mail.Report) error {
	if !m.SubjectID.Is(ident.Enrollment) {
		return nil
	}
	e, err := lock(ctx, tx, access.System("enrollment").Scope(), m.SubjectID)
	if err != nil || e == nil || e.VerificationMessageID != m.ID {
		return err
	}
	return s.undelivered(ctx, tx, e, mail.CodeBounced)
}

// Retried takes note that the failed operation which was to mail a link goes
// on: the same mail is tried again. Error: OPERATION_NOT_RETRYABLE, also for a
// link that a newer one replaced.
func (s *Service) Retried(ctx context.Context, tx *database.Tx, j *outbox.Job) error {
	e, err := lock(ctx, tx, access.System("enrollment").Scope(), j.SubjectID)
	if err != nil {
		return err
	}
	if e == nil || !e.LinkLive(tx.Now) || !sends(j, e) {
		return fault.Conflict("operationId", outbox.CodeNotRetryable)
	}
	return s.mailer.Reopen(ctx, tx, e.VerificationMessageID, *e.LinkExpiresAt)
}

// Notice performs its job.
func (s *Service) Notice(ctx context.Context, run *outbox.Run, a Notice) error {
	return s.mailer.Deliver(ctx, a.MessageID, mail.Hooks{
		Wanted: func(ctx context.Context) (bool, error) {
			es, err := byIDs(ctx, s.db.Read(), access.System("enrollment").Scope(), []ident.ID{a.EnrollmentID})
			e := es[a.EnrollmentID]
			return e != nil && e.Stage == a.Stage, err
		},
		Settle: func(ctx context.Context, tx *database.Tx, _ *mail.Message, o mail.Outcome) error {
			if !o.State.Final() {
				return nil
			}
			return run.Done(ctx, tx)
		},
	})
}

// Look performs what fell due for an enrollment, in order. A late wake-up
// leaves out a reminder that a later step has overtaken.
func (s *Service) Look(ctx context.Context, run *outbox.Run, a Look) error {
	return s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		e, err := lock(ctx, tx, access.System("enrollment").Scope(), a.EnrollmentID)
		if err != nil {
			return err
		}
		if e != nil && e.NextActionAt != nil && !e.NextActionAt.After(tx.Now) {
			if err := s.due(ctx, tx, e); err != nil {
				return err
			}
			if err := save(ctx, tx, e); err != nil {
				return err
			}
		}
		return run.Done(ctx, tx)
	})
}

// due takes the steps of the agenda whose moment has come; a step that ends
// the state brings an agenda of its own.
func (s *Service) due(ctx context.Context, tx *database.Tx, e *Enrollment) error {
	for len(e.Agenda) > 0 && !e.Agenda[0].At.After(tx.Now) {
		d := e.Agenda[0]
		e.Agenda = e.Agenda[1:]
		overtaken := len(e.Agenda) > 0 && !e.Agenda[0].At.After(tx.Now)
		if err := s.take(ctx, tx, e, d, overtaken); err != nil {
			return fmt.Errorf("%s of %s: %w", d.Step, e.ID, err)
		}
		if d.Step.Final() {
			return nil // the new state has planned for itself
		}
	}
	return s.plan(ctx, tx, e)
}

// take performs one step that fell due.
func (s *Service) take(ctx context.Context, tx *database.Tx, e *Enrollment, d Due, overtaken bool) error {
	actor := access.System("enrollment")
	step := string(d.Step) + "/" + d.At.UTC().Format(time.RFC3339)
	switch d.Step {
	case StepExpire:
		return s.expire(ctx, tx, e)
	case StepNoResponse:
		return s.noResponse(ctx, tx, e)
	case StepReviewTarget:
		// Said in any case, since the timeline is the record of the promise.
		if err := s.note(ctx, tx, actor, e, Entry{Kind: EntryReviewTarget, UntilAt: e.DueAt, OperatorOnly: true}); err != nil || overtaken {
			return err
		}
		return s.tellReviewers(ctx, tx, e, letter{template: templateReviewDue, step: step, moot: true}, false, "")
	case StepReviewDue:
		if err := s.note(ctx, tx, actor, e, Entry{Kind: EntryReviewDue, UntilAt: e.DueAt}); err != nil {
			return err
		}
		return s.tellReviewers(ctx, tx, e, letter{template: templateReviewOverdue, step: step, moot: true}, true, "")
	}
	if overtaken {
		return nil
	}
	switch d.Step {
	case StepRemindDraft:
		return s.tellApplicant(ctx, tx, e, letter{template: templateDraftReminder, step: step, moot: true, reminder: true})
	case StepRemindConfirm:
		if !e.LinkLive(tx.Now) {
			return nil
		}
		to := e.contact()
		a, err := s.applicant(ctx, tx, e)
		if err != nil {
			return err
		}
		if a != nil {
			to.locale = a.locale
		}
		return s.send(ctx, tx, e, letter{template: templateVerifyReminder, step: fmt.Sprintf("%d/%s", e.Generation, step), moot: true, reminder: true,
			link: e.verificationLink(), data: s.introduce(a)}, false, to)
	case StepRemindAnswer:
		return s.tell(ctx, tx, e, letter{template: templateActionReminder, step: step, moot: true, reminder: true})
	case StepRemindSign:
		return s.tell(ctx, tx, e, letter{template: templateSignReminder, step: step, moot: true, reminder: true})
	}
	return nil
}

func (s *Service) expire(ctx context.Context, tx *database.Tx, e *Enrollment) error {
	actor, unconfirmed := access.System("enrollment"), e.Status == EmailPending
	if err := s.advance(ctx, tx, e, VerbExpire, ""); err != nil {
		return err
	}
	if err := releaseChecks(ctx, tx, e); err != nil {
		return err
	}
	if err := s.note(ctx, tx, actor, e, Entry{Kind: EntryExpired}); err != nil {
		return err
	}
	l := letter{template: templateExpired, step: "expired"}
	if unconfirmed {
		l.data = map[string]string{"Unconfirmed": "yes"}
	}
	if err := s.tell(ctx, tx, e, l); err != nil {
		return err
	}
	return audit.Record(ctx, tx, actor, audit.Act{Action: "enrollment.expired", TargetID: e.ID, TargetOrganizationID: e.OrganizationID, Changed: []string{"status"}})
}

// noResponse rejects an enrollment whose applicant did not answer.
func (s *Service) noResponse(ctx context.Context, tx *database.Tx, e *Enrollment) error {
	actor := access.System("enrollment")
	if err := s.advance(ctx, tx, e, VerbReject, ""); err != nil {
		return err
	}
	e.ReasonCode, e.ReasonNote, e.DecidedAt, e.DecidedByID, e.RejectedByID = NoResponse, "", &tx.Now, nil, nil
	if err := releaseChecks(ctx, tx, e); err != nil {
		return err
	}
	if err := s.note(ctx, tx, actor, e, Entry{Kind: EntryRejected, ReasonCode: string(NoResponse), UntilAt: e.AppealUntil}); err != nil {
		return err
	}
	if err := s.tell(ctx, tx, e, letter{template: templateRejected, step: "rejected"}); err != nil {
		return err
	}
	return audit.Record(ctx, tx, actor, audit.Act{Action: "enrollment.rejected", TargetID: e.ID, TargetOrganizationID: e.OrganizationID,
		Changed: []string{"status"}, Reason: string(NoResponse)})
}

// keepStarts is how long a wish to enroll is kept after its end, so that its
// page can say what became of it (security.md section 7: 30 days in all).
const keepStarts = 27 * day

// Scan performs its job.
func (s *Service) Scan(ctx context.Context, run *outbox.Run, _ Scan) error {
	return s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		ids, err := overdue(ctx, tx, tx.Now.Add(-5*time.Minute), 500)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if _, err := outbox.Put(ctx, tx, Look{EnrollmentID: id}, outbox.About(id), outbox.Dedupe("enrollment.look/"+string(id))); err != nil {
				return err
			}
		}
		if _, err := pruneStarts(ctx, tx, tx.Now.Add(-keepStarts), 500); err != nil {
			return err
		}
		return run.Done(ctx, tx)
	})
}

// DiscardEvidence performs its job, one enrollment a transaction. What was
// approved keeps its evidence: the decision rests on it.
func (s *Service) DiscardEvidence(ctx context.Context, _ *outbox.Run, _ DiscardEvidence) error {
	const batch = 100
	for {
		before := s.db.Now().Add(-s.cfg.EvidenceLife)
		ids, err := withEvidence(ctx, s.db.Read(), before, batch)
		if err != nil {
			return err
		}
		for _, id := range ids {
			err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error { return s.discardEvidence(ctx, tx, id, before) })
			if err != nil {
				return fmt.Errorf("discarding the evidence of %s: %w", id, err)
			}
		}
		if len(ids) < batch {
			return nil
		}
	}
}

func (s *Service) discardEvidence(ctx context.Context, tx *database.Tx, id ident.ID, before time.Time) error {
	e, err := lock(ctx, tx, access.System("enrollment").Scope(), id)
	if err != nil || e == nil || e.EvidenceDiscardedAt != nil || e.ClosedAt == nil || e.ClosedAt.After(before) {
		return err
	}
	questions, err := questionsOf(ctx, tx, []ident.ID{id})
	if err != nil {
		return err
	}
	subjects := []ident.ID{id}
	for _, q := range questions[id] {
		subjects = append(subjects, q.ID)
	}
	n, err := s.files.Discard(ctx, tx, file.ForEvidence, subjects...)
	if err != nil {
		return err
	}
	e.EvidenceDiscardedAt = &tx.Now
	if err := save(ctx, tx, e); err != nil || n == 0 {
		return err
	}
	return audit.Record(ctx, tx, access.System("enrollment"), audit.Act{Action: "enrollment.evidence_discarded", TargetID: e.ID,
		TargetOrganizationID: e.OrganizationID, Changed: []string{"files"}})
}
