package directory

import (
	"context"
	"strconv"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/audit"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/internal/partner"
	"github.com/channelgraph/channelgraph/internal/sla"
)

// review is work for who may review the request. Errors: ROLE_REQUIRED, those
// of work, OWN_ORGANIZATION.
func (s *Service) review(ctx context.Context, actor access.Actor, id ident.ID, version *int,
	fn func(context.Context, *database.Tx, *sla.Calendar, *partner.Partner, *Request) error,
) (*Request, error) {
	return s.work(ctx, actor, access.PermProfileUpdateReview, id, version, func(ctx context.Context, tx *database.Tx, cal *sla.Calendar, r *Request) error {
		ps, err := s.partners.Load(ctx, tx, r.PartnerID)
		if err != nil {
			return err
		}
		p := ps[r.PartnerID]
		if ownHouse(p, actor) {
			return fault.Conflict("profileUpdateId", CodeOwnOrganization)
		}
		return fn(ctx, tx, cal, p, r)
	})
}

// Assign gives an open request to a reviewer, the actor or another, or takes
// it back; the review begins with the first one. A request that another
// reviewer works is taken over only by who names the version that says so.
// Errors: those of review; CONFLICT where it has moved on or is worked by
// another; at assigneeId NOT_FOUND, NOT_A_REVIEWER, OWN_ORGANIZATION.
func (s *Service) Assign(ctx context.Context, actor access.Actor, in AssignInput) (*Request, error) {
	return s.review(ctx, actor, in.ProfileUpdateID, in.ExpectedVersion,
		func(ctx context.Context, tx *database.Tx, cal *sla.Calendar, p *partner.Partner, r *Request) error {
			var id ident.ID
			if in.AssigneeID != nil {
				id = *in.AssigneeID
			}
			switch {
			case r.Status != Submitted && r.Status != InReview && r.Status != Waiting:
				return moved()
			case r.AssigneeID == id:
				return nil
			case r.AssigneeID != "" && r.AssigneeID != actor.UserID && in.ExpectedVersion == nil:
				return moved()
			}
			n, act := Entry{Kind: EntryAssigned, OperatorOnly: true}, audit.Act{Action: "profile_update.unassigned", Changed: []string{"assignee"}}
			lines := []Entry{}
			if id != "" {
				who, err := access.Load(ctx, tx, access.Presence{UserID: id})
				switch {
				case err != nil:
					return err
				case !who.IsOperator():
					return fault.NotFound("assigneeId")
				case !who.Can(access.PermProfileUpdateReview):
					return fault.Conflict("assigneeId", CodeNotReviewer)
				case ownHouse(p, who):
					return fault.Conflict("assigneeId", CodeOwnOrganization)
				}
				n.Note, act.Action, act.Reason = who.Name, "profile_update.assigned", string(id)
				if r.pass(VerbTake) == nil {
					lines, act.Changed = append(lines, Entry{Kind: EntryTaken}), append(act.Changed, "status")
				}
			}
			r.AssigneeID = id
			return s.conclude(ctx, tx, actor, cal, r, act, append(lines, n)...)
		})
}

// Ask asks the provider; the clock of the promise stands until the answer.
// Errors: those of review and AskInput, TOO_MANY beyond 20
// questions, CONFLICT where it has moved on.
func (s *Service) Ask(ctx context.Context, actor access.Actor, in AskInput) (*Request, error) {
	if err := in.Validate(); err != nil {
		return nil, err
	}
	return s.review(ctx, actor, in.ProfileUpdateID, in.ExpectedVersion,
		func(ctx context.Context, tx *database.Tx, cal *sla.Calendar, _ *partner.Partner, r *Request) error {
			if err := r.pass(VerbAsk); err != nil {
				return err
			}
			last, err := lastQuestion(ctx, tx, r.ID)
			if err != nil {
				return err
			}
			q := &Question{ProfileUpdateID: r.ID, Number: 1, Text: in.Text, AskedByID: actor.UserID, AskedAt: tx.Now}
			if last != nil {
				q.Number = last.Number + 1
			}
			if q.Number > MaxQuestions {
				return fault.Invalid("text", fault.CodeTooMany, "max", strconv.Itoa(MaxQuestions))
			}
			if err := insertQuestion(ctx, tx, q); err != nil {
				return err
			}
			r.Clock.Pause(tx.Now)
			if err := s.tellProvider(ctx, tx, r, templateQuestion, map[string]string{"Text": q.Text}, true); err != nil {
				return err
			}
			return s.conclude(ctx, tx, actor, cal, r, audit.Act{Action: "profile_update.asked", Changed: []string{"status"}}, Entry{Kind: EntryAsked, Note: q.Text})
		})
}

// Approve approves a request; the operation publishes it. Errors: those of
// review, CONFLICT where it has moved on.
func (s *Service) Approve(ctx context.Context, actor access.Actor, in ApproveInput) (*Request, *outbox.Job, error) {
	var job *outbox.Job
	r, err := s.review(ctx, actor, in.ProfileUpdateID, in.ExpectedVersion,
		func(ctx context.Context, tx *database.Tx, cal *sla.Calendar, _ *partner.Partner, r *Request) (err error) {
			if err := r.pass(VerbApprove); err != nil {
				return err
			}
			r.DecidedByID, r.DecidedAt = actor.UserID, &tx.Now
			if job, err = outbox.Put(ctx, tx, Publish{ProfileUpdateID: r.ID}, outbox.By(actor), outbox.About(r.ID)); err != nil {
				return err
			}
			return s.conclude(ctx, tx, actor, cal, r, audit.Act{Action: "profile_update.approved", Changed: []string{"status"}}, Entry{Kind: EntryApproved})
		})
	return r, job, err
}

// Reject rejects a request; the provider is mailed the reason and may file
// another. Errors: those of review and RejectInput, CONFLICT where it has moved
// on.
func (s *Service) Reject(ctx context.Context, actor access.Actor, in RejectInput) (*Request, error) {
	if err := in.Validate(); err != nil {
		return nil, err
	}
	return s.review(ctx, actor, in.ProfileUpdateID, in.ExpectedVersion,
		func(ctx context.Context, tx *database.Tx, cal *sla.Calendar, _ *partner.Partner, r *Request) error {
			if err := r.pass(VerbReject); err != nil {
				return err
			}
			r.Reason, r.DecidedByID, r.DecidedAt = in.Reason, actor.UserID, &tx.Now
			r.close(cal, tx.Now, true)
			if err := s.tellProvider(ctx, tx, r, templateRejected, map[string]string{"Text": r.Reason}, false); err != nil {
				return err
			}
			return s.conclude(ctx, tx, actor, cal, r, audit.Act{Action: "profile_update.rejected", Changed: []string{"status"}},
				Entry{Kind: EntryRejected, Note: r.Reason})
		})
}
