package enrollment

import (
	"context"
	"slices"
	"strings"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/audit"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/internal/page"
	"github.com/channelgraph/channelgraph/internal/partner"
)

// Mail templates to the applicant's side that reviewers and changes cause.
const (
	templateActionRequired = "enrollment_action_required"
	templateApproved       = "enrollment_approved"
	templateChangeReceived = "enrollment_change_received"
	templateChangeApplied  = "enrollment_change_applied"
)

// List is a page of enrollments: all of them for the operator, who works
// through them, and otherwise those of the own organization. Errors:
// ROLE_REQUIRED, also for who asks by assignee and does not review; those of
// paging.
func (s *Service) List(ctx context.Context, actor access.Actor, args page.Args, o *Order, f Filter) (*page.Connection[*Enrollment], error) {
	if err := actor.Require(access.PermEnrollmentRead); err != nil {
		return nil, err
	}
	if f.Assigned != nil || f.AssigneeID != nil {
		if err := actor.Require(access.PermEnrollmentReview); err != nil {
			return nil, err
		}
	}
	pq, err := args.Resolve(o.resolve(), f)
	if err != nil {
		return nil, err
	}
	return list(ctx, s.db, actor.Scope(), pq, f)
}

// review runs fn on an enrollment that the actor may work as a reviewer, held,
// in one transaction. Errors: UNAUTHENTICATED, ROLE_REQUIRED, NOT_FOUND,
// CONFLICT for another version, OWN_ORGANIZATION, SAME_REVIEWER.
func (s *Service) review(ctx context.Context, actor access.Actor, id ident.ID, version *int, fn func(context.Context, *database.Tx, *Enrollment) error) (*Enrollment, error) {
	if err := actor.Require(access.PermEnrollmentReview); err != nil {
		return nil, err
	}
	var out *Enrollment
	err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		e, err := lock(ctx, tx, actor.Scope(), id)
		if err != nil {
			return err
		}
		if e == nil {
			return fault.NotFound("enrollmentId")
		}
		if code := e.mayReview(actor); code != "" {
			return fault.Conflict("enrollmentId", code)
		}
		if version != nil && *version != e.Version {
			return fault.Conflict("expectedVersion", fault.CodeConflict)
		}
		out = e
		return fn(ctx, tx, e)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// pass takes an enrollment to its next state by a reviewer's verb. Error:
// CONFLICT where it has moved on.
func (s *Service) pass(ctx context.Context, tx *database.Tx, e *Enrollment, v Verb) error {
	if _, ok := e.Status.Next(v); !ok {
		return moved()
	}
	return s.advance(ctx, tx, e, v, "enrollmentId")
}

// conclude saves what a reviewer did to an enrollment, with its line of the
// timeline and of the audit.
func (s *Service) conclude(ctx context.Context, tx *database.Tx, actor access.Actor, e *Enrollment, n Entry, act audit.Act) error {
	if err := s.note(ctx, tx, actor, e, n); err != nil {
		return err
	}
	if err := save(ctx, tx, e); err != nil {
		return err
	}
	act.TargetID, act.TargetOrganizationID = e.ID, e.OrganizationID
	return audit.Record(ctx, tx, actor, act)
}

// remember keeps a reviewer's note to a decision, for the operator alone.
func (s *Service) remember(ctx context.Context, tx *database.Tx, actor access.Actor, e *Enrollment, text string) error {
	if text == "" {
		return nil
	}
	return s.note(ctx, tx, actor, e, Entry{Kind: EntryNote, OperatorOnly: true, Note: text})
}

// workable are the statuses in which an enrollment can be somebody's work.
var workable = []Status{EmailPending, InReview, ActionRequired, Frozen}

// Assign gives an enrollment to a reviewer, the actor or another, or takes it
// back. Errors: those of review; CONFLICT where it has moved on; at assigneeId
// NOT_FOUND, NOT_A_REVIEWER, OWN_ORGANIZATION, SAME_REVIEWER.
func (s *Service) Assign(ctx context.Context, actor access.Actor, in AssignInput) (*Enrollment, error) {
	return s.review(ctx, actor, in.EnrollmentID, in.ExpectedVersion, func(ctx context.Context, tx *database.Tx, e *Enrollment) error {
		if !slices.Contains(workable, e.Status) {
			return moved()
		}
		if same(e.AssigneeID, in.AssigneeID) {
			return nil
		}
		n, act := Entry{Kind: EntryAssigned, OperatorOnly: true}, audit.Act{Action: "enrollment.unassigned", Changed: []string{"assignee"}}
		if id := in.AssigneeID; id != nil {
			who, err := access.Load(ctx, tx, access.Presence{UserID: *id})
			switch {
			case err != nil:
				return err
			case !who.IsOperator():
				return fault.NotFound("assigneeId")
			case !who.Can(access.PermEnrollmentReview):
				return fault.Conflict("assigneeId", CodeNotReviewer)
			}
			if code := e.mayReview(who); code != "" {
				return fault.Conflict("assigneeId", code)
			}
			n.Note, act.Action, act.Reason = who.Name, "enrollment.assigned", string(*id)
		}
		e.AssigneeID = in.AssigneeID
		return s.conclude(ctx, tx, actor, e, n, act)
	})
}

func same(a, b *ident.ID) bool { return (a == nil) == (b == nil) && (a == nil || *a == *b) }

// Ask asks the applicant for more; the clock of the promise stands still until
// the answer. Errors: those of review and of AskInput; NOT_FOUND at check
// where the enrollment has no such check; CONFLICT where it has moved on.
func (s *Service) Ask(ctx context.Context, actor access.Actor, in AskInput) (*Enrollment, error) {
	if err := in.Validate(); err != nil {
		return nil, err
	}
	return s.review(ctx, actor, in.EnrollmentID, in.ExpectedVersion, func(ctx context.Context, tx *database.Tx, e *Enrollment) error {
		if err := s.pass(ctx, tx, e, VerbAsk); err != nil {
			return err
		}
		q := &Question{ID: ident.New(ident.Question), EnrollmentID: e.ID, Documents: in.Documents, Text: in.Text, AskedByID: actor.UserID,
			AskedAt: tx.Now, DueAt: *e.UntilAt}
		if q.Documents == nil {
			q.Documents = []DocumentKind{}
		}
		if in.Check != nil {
			c, err := s.checkOf(ctx, tx, e, *in.Check)
			if err != nil {
				return err
			}
			q.Check = c.Kind
			c.Status, c.Awaits, c.DueAt, c.DecidedByID, c.DecidedAt = CheckActionRequired, Applicant, e.UntilAt, nil, nil
			if err := s.set(ctx, tx, e, *c); err != nil {
				return err
			}
		}
		if err := insertQuestion(ctx, tx, q); err != nil {
			return err
		}
		if err := datesOfChecks(ctx, tx, e); err != nil {
			return err
		}
		documents := make([]string, len(q.Documents))
		for i, d := range q.Documents {
			documents[i] = "DOCUMENT_" + string(d)
		}
		if err := s.tell(ctx, tx, e, letter{template: templateActionRequired, step: "asked", moot: true,
			data: map[string]string{"Text": q.Text, "Documents": strings.Join(documents, "\n")}}); err != nil {
			return err
		}
		return s.conclude(ctx, tx, actor, e, Entry{Kind: EntryAsked, Check: q.Check, Note: q.Text, UntilAt: e.UntilAt},
			audit.Act{Action: "enrollment.asked", Changed: []string{"status"}, Reason: string(q.Check)})
	})
}

// checkOf reads one check of a held enrollment. Error: NOT_FOUND at check.
func (s *Service) checkOf(ctx context.Context, tx *database.Tx, e *Enrollment, k CheckKind) (*Check, error) {
	cs, err := checksOf(ctx, tx, []ident.ID{e.ID})
	if err != nil {
		return nil, err
	}
	for _, c := range cs[e.ID] {
		if c.Kind == k {
			return c, nil
		}
	}
	return nil, fault.NotFound("check")
}

// DecideCheck decides one check. Errors: those of review and of
// DecideCheckInput; NOT_FOUND at check; CONFLICT where the enrollment is not
// in review, or where the check is decided already and the actor does not
// name the version that says so.
func (s *Service) DecideCheck(ctx context.Context, actor access.Actor, in DecideCheckInput) (*Enrollment, error) {
	if err := in.Validate(); err != nil {
		return nil, err
	}
	return s.review(ctx, actor, in.EnrollmentID, in.ExpectedVersion, func(ctx context.Context, tx *database.Tx, e *Enrollment) error {
		if e.Status != InReview {
			return moved()
		}
		c, err := s.checkOf(ctx, tx, e, in.Check)
		if err != nil {
			return err
		}
		if in.ExpectedVersion == nil && (c.Status == CheckPassed || c.Status == CheckFailed) {
			return fault.Conflict("check", fault.CodeConflict)
		}
		n := Entry{Kind: EntryCheckFailed, Check: c.Kind, ReasonCode: string(in.ReasonCode)}
		act := audit.Act{Action: "enrollment.check_failed", Changed: []string{string(c.Kind)}, Reason: string(in.ReasonCode)}
		c.Status = CheckFailed
		if in.Passed {
			c.Status, n.Kind, act.Action = CheckPassed, EntryCheckPassed, "enrollment.check_passed"
		}
		c.ReasonCode, c.Note, c.Awaits, c.DueAt, c.DecidedByID, c.DecidedAt = in.ReasonCode, in.Note, Nobody, nil, &actor.UserID, &tx.Now
		if err := s.set(ctx, tx, e, *c); err != nil {
			return err
		}
		return s.conclude(ctx, tx, actor, e, n, act)
	})
}

// Approve approves an enrollment all of whose checks have passed. An admission
// makes the partner, which lacks only the agreement then; a change is in force
// at once. Errors: those of review; CONFLICT where it has moved on;
// CHECKS_NOT_PASSED; DUPLICATE where another partner stands in the way by now.
func (s *Service) Approve(ctx context.Context, actor access.Actor, in ApproveInput) (*Enrollment, error) {
	if err := in.Validate(); err != nil {
		return nil, err
	}
	return s.review(ctx, actor, in.EnrollmentID, in.ExpectedVersion, func(ctx context.Context, tx *database.Tx, e *Enrollment) error {
		if e.Status != InReview {
			return moved()
		}
		checks, err := checksOf(ctx, tx, []ident.ID{e.ID})
		if err != nil {
			return err
		}
		if !passedAll(checks[e.ID]) {
			return fault.Conflict("enrollmentId", CodeChecksOpen)
		}
		return s.approve(ctx, tx, actor, e, in.Note)
	})
}

// approve takes an enrollment in review over the line.
func (s *Service) approve(ctx context.Context, tx *database.Tx, actor access.Actor, e *Enrollment, text string) error {
	n, act, l := Entry{Kind: EntryApproved}, audit.Act{Action: "enrollment.approved", Changed: []string{"status"}}, letter{template: templateApproved, step: "approved"}
	if actor.UserID != "" {
		e.DecidedByID = &actor.UserID
	}
	e.DecidedAt, e.ReasonCode, e.ReasonNote = &tx.Now, "", ""
	verb := VerbApprove
	if e.Purpose == Change {
		verb, l.template = VerbApply, templateChangeApplied
		e.ActivatedAt = &tx.Now
		if err := s.amend(ctx, tx, actor, e); err != nil {
			return err
		}
	} else if err := s.admit(ctx, tx, actor, e); err != nil {
		return err
	}
	if err := s.pass(ctx, tx, e, verb); err != nil {
		return err
	}
	if err := s.tell(ctx, tx, e, l); err != nil {
		return err
	}
	if err := s.remember(ctx, tx, actor, e, text); err != nil {
		return err
	}
	return s.conclude(ctx, tx, actor, e, n, act)
}

// admit makes the partner of an enrollment, with the legal name as the
// organization's.
func (s *Service) admit(ctx context.Context, tx *database.Tx, actor access.Actor, e *Enrollment) error {
	org, err := s.accounts.HoldOrganization(ctx, tx, e.OrganizationID)
	if err != nil {
		return err
	}
	if err := s.accounts.AmendTx(ctx, tx, actor, org, e.Profile.LegalName, e.Kind); err != nil {
		return err
	}
	p, err := s.partners.AdmitTx(ctx, tx, actor, org, e.Profile, e.ProgrammeID)
	if err != nil {
		return refusedBy(err)
	}
	e.PartnerID, e.ProgrammeID = &p.ID, p.ProgrammeID
	return nil
}

// amend puts a change into the partner's profile; the support profile is the
// partner's own and stays as it is by now.
func (s *Service) amend(ctx context.Context, tx *database.Tx, actor access.Actor, e *Enrollment) error {
	ps, err := s.partners.Load(ctx, tx, *e.PartnerID)
	if err != nil {
		return err
	}
	p := ps[*e.PartnerID]
	if p == nil {
		return fault.NotFound("enrollmentId")
	}
	e.Profile.Support = p.Support
	if _, err := s.partners.UpdateProfileTx(ctx, tx, actor, p.ID, e.Profile); err != nil {
		return refusedBy(err)
	}
	org, err := s.accounts.HoldOrganization(ctx, tx, e.OrganizationID)
	if err != nil {
		return err
	}
	return s.accounts.AmendTx(ctx, tx, actor, org, e.Profile.LegalName, org.Kind)
}

// refusedBy says of the whole enrollment what another partner makes impossible
// in it: nothing of the reviewer's input is wrong.
func refusedBy(err error) error {
	if fault.Is(err, partner.CodeDuplicate) {
		return fault.Conflict("enrollmentId", partner.CodeDuplicate)
	}
	return err
}

// Reject rejects an enrollment; the applicant may appeal once. Errors: those
// of review and of RejectInput; CONFLICT where it has moved on.
func (s *Service) Reject(ctx context.Context, actor access.Actor, in RejectInput) (*Enrollment, error) {
	if err := in.Validate(); err != nil {
		return nil, err
	}
	return s.review(ctx, actor, in.EnrollmentID, in.ExpectedVersion, func(ctx context.Context, tx *database.Tx, e *Enrollment) error {
		if err := s.pass(ctx, tx, e, VerbReject); err != nil {
			return err
		}
		e.ReasonCode, e.ReasonNote, e.DecidedByID, e.RejectedByID, e.DecidedAt = in.ReasonCode, in.Note, &actor.UserID, &actor.UserID, &tx.Now
		if err := releaseChecks(ctx, tx, e); err != nil {
			return err
		}
		if err := s.tell(ctx, tx, e, letter{template: templateRejected, step: "rejected"}); err != nil {
			return err
		}
		return s.conclude(ctx, tx, actor, e, Entry{Kind: EntryRejected, ReasonCode: string(in.ReasonCode), Note: in.Note, UntilAt: e.AppealUntil},
			audit.Act{Action: "enrollment.rejected", Changed: []string{"status"}, Reason: string(in.ReasonCode)})
	})
}

// Unfreeze lets an enrollment go on that its contact disowned, with a new link
// to the contact, which the job mails. Errors: those of review; CONFLICT where
// it is not frozen.
func (s *Service) Unfreeze(ctx context.Context, actor access.Actor, in UnfreezeInput) (*Enrollment, *outbox.Job, error) {
	if err := in.Validate(); err != nil {
		return nil, nil, err
	}
	var op *outbox.Job
	out, err := s.review(ctx, actor, in.EnrollmentID, in.ExpectedVersion, func(ctx context.Context, tx *database.Tx, e *Enrollment) error {
		if err := s.pass(ctx, tx, e, VerbUnfreeze); err != nil {
			return err
		}
		e.DisownedAt = nil
		if err := s.remember(ctx, tx, actor, e, in.Note); err != nil {
			return err
		}
		if err := s.note(ctx, tx, actor, e, Entry{Kind: EntryUnfrozen, UntilAt: e.UntilAt}); err != nil {
			return err
		}
		var err error
		if op, err = s.verify(ctx, tx, actor, e); err != nil {
			return err
		}
		if err := save(ctx, tx, e); err != nil {
			return err
		}
		return audit.Record(ctx, tx, actor, audit.Act{Action: "enrollment.unfrozen", TargetID: e.ID, TargetOrganizationID: e.OrganizationID, Changed: []string{"status"}})
	})
	if err != nil {
		return nil, nil, err
	}
	return out, op, nil
}

// promotable are the statuses in which the kind is not decided yet.
var promotable = append([]Status{Draft}, workable...)

// Promote makes an application one of a provider or of a direct-bill partner;
// the checks stay the same. Kind and roles of the organization follow at once.
// Errors: those of review, ROLE_REQUIRED for who may not register partners;
// CONFLICT where it is decided, or is no admission.
func (s *Service) Promote(ctx context.Context, actor access.Actor, in PromoteInput) (*Enrollment, error) {
	if err := actor.Require(access.PermPartnerRegister); err != nil {
		return nil, err
	}
	if err := in.Validate(); err != nil {
		return nil, err
	}
	return s.review(ctx, actor, in.EnrollmentID, in.ExpectedVersion, func(ctx context.Context, tx *database.Tx, e *Enrollment) error {
		if e.Purpose != Admission || !slices.Contains(promotable, e.Status) {
			return moved()
		}
		if e.Kind == in.Kind {
			return nil
		}
		org, err := s.accounts.HoldOrganization(ctx, tx, e.OrganizationID)
		if err != nil {
			return err
		}
		if err := s.accounts.AmendTx(ctx, tx, actor, org, "", in.Kind); err != nil {
			return err
		}
		e.Kind = in.Kind
		return s.conclude(ctx, tx, actor, e, Entry{Kind: EntryPromoted, Note: string(in.Kind)},
			audit.Act{Action: "enrollment.promoted", Changed: []string{"kind"}, Reason: string(in.Kind)})
	})
}

// AddNote writes a note that only the operator's people read. It changes
// nothing, so that a decision made meanwhile stands. Errors: UNAUTHENTICATED,
// ROLE_REQUIRED, NOT_FOUND, OWN_ORGANIZATION, those of AddNoteInput.
func (s *Service) AddNote(ctx context.Context, actor access.Actor, in AddNoteInput) (*Enrollment, error) {
	if err := actor.Require(access.PermEnrollmentReview); err != nil {
		return nil, err
	}
	if err := in.Validate(); err != nil {
		return nil, err
	}
	var out *Enrollment
	err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) (err error) {
		if out, err = lock(ctx, tx, actor.Scope(), in.EnrollmentID); err != nil {
			return err
		}
		switch {
		case out == nil:
			return fault.NotFound("enrollmentId")
		case out.mayReview(actor) == CodeOwnOrganization:
			return fault.Conflict("enrollmentId", CodeOwnOrganization)
		}
		if err := s.remember(ctx, tx, actor, out, in.Text); err != nil {
			return err
		}
		// the applicant's audit does not show that the operator takes notes
		return audit.Record(ctx, tx, actor, audit.Act{Action: "enrollment.note_added", TargetID: out.ID})
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}
