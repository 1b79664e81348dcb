package support

import (
	"context"
	"fmt"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/audit"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/mail"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/internal/sla"
)

// Notice sends a mail that is moot once the promise it warns of has ended.
type Notice struct {
	RequestID ident.ID `json:"request_id"`
	Round     int      `json:"round"`
	MessageID ident.ID `json:"message_id"`
}

// Kind is the job's kind.
func (Notice) Kind() string { return "support.notice" }

// Look asks for a look at a request when a step of its promise falls due.
type Look struct {
	RequestID ident.ID `json:"request_id"`
}

// Kind is the job's kind.
func (Look) Kind() string { return "support.look" }

// Scan asks for a look at every request whose moment has passed unseen.
type Scan struct{}

// Kind is the job's kind.
func (Scan) Kind() string { return "support.scan" }

// Mail templates of this concept. Message goes to the operator's people,
// Received and Answer to the partner's, Closed to either.
const (
	templateReceived  = "support_received"
	templateMessage   = "support_message"
	templateAnswer    = "support_answer"
	templateClosed    = "support_closed"
	templateWarning   = "support_warning"
	templateEscalated = "support_escalated"
	templateLate      = "support_late"
)

var system = access.System("support")

// plan puts the timer of the next step in the place of the one that waits.
func (s *Service) plan(ctx context.Context, tx *database.Tx, r *Request) error {
	if err := outbox.CancelAbout(ctx, tx, r.ID, Look{}.Kind()); err != nil {
		return err
	}
	if r.NextActionAt == nil {
		return nil
	}
	_, err := outbox.Put(ctx, tx, Look{RequestID: r.ID}, outbox.DueAt(*r.NextActionAt), outbox.About(r.ID))
	return err
}

// Look performs what fell due for a request, in order. A late wake-up leaves
// out a warning that a later step has overtaken, never the breach.
func (s *Service) Look(ctx context.Context, run *outbox.Run, a Look) error {
	return s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		cal, err := s.calendars.Current(ctx, tx)
		if err != nil {
			return err
		}
		r, err := lock(ctx, tx, system.Scope(), a.RequestID)
		if err != nil {
			return err
		}
		if r != nil {
			if err := s.due(ctx, tx, cal, r); err != nil {
				return err
			}
		}
		return run.Done(ctx, tx)
	})
}

// due takes the steps that a held request's promise has reached by now.
func (s *Service) due(ctx context.Context, tx *database.Tx, cal *sla.Calendar, r *Request) error {
	if !r.running() || r.NextActionAt == nil || r.NextActionAt.After(tx.Now) {
		return nil
	}
	spent := r.Clock.Spent(cal, tx.Now)
	broken := false
	for r.Steps < len(steps) && r.after(r.Steps) <= spent {
		percent := steps[r.Steps]
		r.Steps++
		overtaken := r.Steps < len(steps) && r.after(r.Steps) <= spent
		if err := s.step(ctx, tx, r, percent, overtaken); err != nil {
			return fmt.Errorf("%d per cent of the promise to %s: %w", percent, r.ID, err)
		}
		broken = broken || percent == breach
	}
	r.keep(cal, tx.Now)
	only, err := s.accounts.Operator(ctx, tx)
	if err != nil {
		return err
	}
	if broken {
		only = ""
		if err := audit.Record(ctx, tx, system, audit.Act{Action: "support_request.breached", TargetID: r.ID, TargetOrganizationID: r.OrganizationID}); err != nil {
			return err
		}
	}
	if err := save(ctx, tx, r, only); err != nil {
		return err
	}
	return s.plan(ctx, tx, r)
}

// step takes one step of a promise: a warning to the operator's people, or the
// breach, which its lead and the partner are told.
func (s *Service) step(ctx context.Context, tx *database.Tx, r *Request, percent int, overtaken bool) error {
	if percent == breach {
		if err := s.write(ctx, tx, system, r, &Entry{Kind: EntryBreached, UntilAt: r.DueAt}, nil); err != nil {
			return err
		}
		if err := s.tellOperator(ctx, tx, system, r, templateEscalated, nil, true); err != nil {
			return err
		}
		return s.tellPartner(ctx, tx, r, templateLate, nil)
	}
	text := fmt.Sprint(percent)
	if err := s.write(ctx, tx, system, r, &Entry{Kind: EntryWarned, Text: text, UntilAt: r.DueAt, OperatorOnly: true}, nil); err != nil || overtaken {
		return err
	}
	return s.tellOperator(ctx, tx, system, r, templateWarning, map[string]string{"Percent": text}, false)
}

// Scan performs its job.
func (s *Service) Scan(ctx context.Context, run *outbox.Run, _ Scan) error {
	return s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		ids, err := overdue(ctx, tx, tx.Now.Add(-5*time.Minute), 500)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if _, err := outbox.Put(ctx, tx, Look{RequestID: id}, outbox.About(id), outbox.Dedupe("support.look/"+string(id))); err != nil {
				return err
			}
		}
		return run.Done(ctx, tx)
	})
}

// movePromises gives running promises the dates of a changed calendar. Steps
// that were taken stay taken; one whose new moment has passed is due at once.
func (s *Service) movePromises(ctx context.Context, tx *database.Tx, cal *sla.Calendar, after ident.ID, limit int) (last ident.ID, n int, err error) {
	rs, err := unanswered(ctx, tx, after, limit)
	if err != nil {
		return "", 0, err
	}
	for _, r := range rs {
		last = r.ID
		if !r.keep(cal, tx.Now) {
			continue
		}
		if err := s.write(ctx, tx, system, r, &Entry{Kind: EntryMoved, UntilAt: r.DueAt}, nil); err != nil {
			return "", 0, err
		}
		if err := save(ctx, tx, r, ""); err != nil {
			return "", 0, err
		}
		if err := s.plan(ctx, tx, r); err != nil {
			return "", 0, err
		}
	}
	return last, len(rs), nil
}

// Notice performs its job.
func (s *Service) Notice(ctx context.Context, run *outbox.Run, a Notice) error {
	return s.mailer.Deliver(ctx, a.MessageID, mail.Hooks{
		Wanted: func(ctx context.Context) (bool, error) {
			rs, err := byIDs(ctx, s.db.Read(), system.Scope(), []ident.ID{a.RequestID})
			return err == nil && len(rs) == 1 && rs[0].Round == a.Round && rs[0].running(), err
		},
		Settle: func(ctx context.Context, tx *database.Tx, _ *mail.Message, o mail.Outcome) error {
			if !o.State.Final() {
				return nil
			}
			return run.Done(ctx, tx)
		},
	})
}

// ---- Mail

// facts are what mails say of a request; each template takes its own.
func (s *Service) facts(r *Request, more map[string]string) map[string]string {
	out := map[string]string{"Company": r.Company, "Subject": r.Subject, "OpenedAt": r.CreatedAt.UTC().Format(time.RFC3339)}
	if r.DueAt != nil {
		out["DueAt"] = r.DueAt.UTC().Format(time.RFC3339)
	}
	if at := r.ReopenUntil(); at != nil {
		out["ReopenUntil"] = at.UTC().Format(time.RFC3339)
	}
	for k, v := range more {
		out[k] = v
	}
	return out
}

// send writes a mail to each of some people, each in its own language, with
// the jobs that send them. One that warns goes by Notice.
func (s *Service) send(ctx context.Context, tx *database.Tx, r *Request, template string, data map[string]string, organization ident.ID, to []*account.User) error {
	for _, u := range to {
		data["Name"] = u.DisplayName()
		m, err := s.mailer.Queue(ctx, tx, mail.Draft{Key: fmt.Sprintf("%s/%s/%d/%d/%d/%s", template, r.ID, r.Round, r.Steps, r.Messages, u.ID), Template: template,
			Locale: u.Locale, To: u.Email, Data: s.mailer.Fit(template, data), OrganizationID: organization, SubjectID: r.ID,
			Link: &mail.Link{Purpose: LinkPurpose, Prefix: LinkPrefix, Path: LinkPath, SubjectID: r.ID, Generation: 1}})
		if err != nil {
			return err
		}
		var args outbox.Args = mail.Send{MessageID: m.ID}
		if template == templateWarning {
			args = Notice{RequestID: r.ID, Round: r.Round, MessageID: m.ID}
		}
		if _, err := outbox.Put(ctx, tx, args, outbox.On(outbox.Mail), outbox.About(r.ID), outbox.MaxAttempts(mail.MaxAttempts)); err != nil {
			return err
		}
	}
	return nil
}

// tellOther mails the side that did not act, by its own template.
func (s *Service) tellOther(ctx context.Context, tx *database.Tx, actor access.Actor, r *Request, toPartner, toOperator string, data map[string]string) error {
	if actor.IsOperator() {
		return s.tellPartner(ctx, tx, r, toPartner, data)
	}
	data["Partner"] = "yes"
	return s.tellOperator(ctx, tx, actor, r, toOperator, data, false)
}

// tellPartner mails who opened the request and who wrote last, or the
// organization's Global admins where both have left.
func (s *Service) tellPartner(ctx context.Context, tx *database.Tx, r *Request, template string, more map[string]string) error {
	ids := []ident.ID{r.CreatedByID}
	if r.RepliedByID != r.CreatedByID {
		ids = append(ids, r.RepliedByID)
	}
	us, err := s.accounts.UsersTx(ctx, tx, system, ids)
	if err != nil {
		return err
	}
	var to []*account.User
	for _, id := range ids {
		if u := us[id]; u != nil && u.Status == account.Active && u.OrganizationID == r.OrganizationID {
			to = append(to, u)
		}
	}
	if len(to) == 0 {
		if to, err = s.accounts.Recipients(ctx, tx, r.OrganizationID, access.GlobalAdmin); err != nil {
			return err
		}
	}
	return s.send(ctx, tx, r, template, s.facts(r, more), r.OrganizationID, to)
}

// tellOperator mails who works the request, or else all reviewers; with lead,
// the operator's administrators and who works it. A house without reviewers is
// run by its administrators.
func (s *Service) tellOperator(ctx context.Context, tx *database.Tx, actor access.Actor, r *Request, template string, more map[string]string, lead bool) error {
	operator, err := s.accounts.Operator(ctx, tx)
	if err != nil || operator == "" {
		return err
	}
	data := s.facts(r, more)
	data["From"] = actor.Name
	var to []*account.User
	if r.AssigneeID != "" {
		us, err := s.accounts.UsersTx(ctx, tx, system, []ident.ID{r.AssigneeID})
		if err != nil {
			return err
		}
		if u := us[r.AssigneeID]; u != nil && u.Status == account.Active {
			data["AssignedTo"] = u.DisplayName()
			to = append(to, u)
		}
	}
	roles := []access.Role{access.OperatorAdmin}
	if !lead && len(to) == 0 {
		if to, err = s.accounts.Recipients(ctx, tx, operator, access.Reviewer); err != nil {
			return err
		}
	}
	if lead || len(to) == 0 {
		admins, err := s.accounts.Recipients(ctx, tx, operator, roles...)
		if err != nil {
			return err
		}
		for _, u := range admins {
			if len(to) == 0 || to[0].ID != u.ID {
				to = append(to, u)
			}
		}
	}
	return s.send(ctx, tx, r, template, data, operator, to)
}
