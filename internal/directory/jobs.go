package directory

import (
	"context"
	"fmt"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/address"
	"github.com/channelgraph/channelgraph/internal/audit"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/mail"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/internal/region"
	"github.com/channelgraph/channelgraph/internal/sla"
)

// Publish puts an approved request into the directory.
type Publish struct {
	ProfileUpdateID ident.ID `json:"profile_update_id"`
}

// Kind is the job's kind.
func (Publish) Kind() string { return "directory.publish" }

// Notice sends a mail that is moot once the clock was stopped or started since.
type Notice struct {
	ProfileUpdateID ident.ID `json:"profile_update_id"`
	Stage           int      `json:"stage"`
	MessageID       ident.ID `json:"message_id"`
}

// Kind is the job's kind.
func (Notice) Kind() string { return "directory.notice" }

// Look asks for a look at a request when a step of its promise falls due.
type Look struct {
	ProfileUpdateID ident.ID `json:"profile_update_id"`
}

// Kind is the job's kind.
func (Look) Kind() string { return "directory.look" }

// Scan asks for a look at every request whose moment has passed unseen.
type Scan struct{}

// Kind is the job's kind.
func (Scan) Kind() string { return "directory.scan" }

// Mail templates of this concept.
const (
	templateReceived  = "profile_update_received"
	templateQuestion  = "profile_update_question"
	templateAnswered  = "profile_update_answered"
	templateWarning   = "profile_update_warning"
	templateEscalated = "profile_update_escalated"
	templateLate      = "profile_update_late"
	templatePublished = "profile_update_published"
	templateRejected  = "profile_update_rejected"
)

// Publish performs the job: the cards, the directory's version, the request
// and its mail change together. What is published already, or not approved,
// stays.
func (s *Service) Publish(ctx context.Context, run *outbox.Run, a Publish) error {
	return s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		cal, err := s.calendars.Current(ctx, tx)
		if err != nil {
			return err
		}
		r, err := lockRequest(ctx, tx, access.System("directory").Scope(), a.ProfileUpdateID)
		if err != nil {
			return err
		}
		if r == nil {
			return fault.GiveUp(fault.CodeNotFound, nil)
		}
		if err := s.due(ctx, tx, cal, r); err != nil {
			return err
		}
		if r.pass(VerbPublish) == nil {
			if err := s.publish(ctx, tx, cal, r); err != nil {
				return fmt.Errorf("publishing %s: %w", r.ID, err)
			}
		}
		return run.Done(ctx, tx)
	})
}

func (s *Service) publish(ctx context.Context, tx *database.Tx, cal *sla.Calendar, r *Request) error {
	l, err := lockListing(ctx, tx, r.PartnerID)
	if err != nil {
		return err
	}
	if l == nil {
		return fmt.Errorf("the provider %s has no listing", r.PartnerID)
	}
	var added []*Location
	var gone []ident.ID
	for _, c := range r.Changes {
		if c.After == nil {
			gone = append(gone, c.LocationID)
			continue
		}
		at, _ := region.Find(c.After.Country)
		loc := &Location{ID: c.LocationID, PartnerID: r.PartnerID, CompanyName: c.After.CompanyName, NameFolded: address.Fold(c.After.CompanyName),
			Country: c.After.Country, Region: at.Region, TargetURL: c.After.TargetURL, LogoID: c.After.LogoID, Visible: l.Visible(), CreatedAt: tx.Now, UpdatedAt: tx.Now}
		if c.Before == nil {
			added = append(added, loc)
		} else if err := updateLocation(ctx, tx, loc); err != nil {
			return err
		}
	}
	if err := deleteLocations(ctx, tx, gone); err != nil {
		return err
	}
	if err := insertLocations(ctx, tx, added); err != nil {
		return err
	}
	// Who approved it is in the request; the job itself is nobody.
	if err := saveListing(ctx, tx, l, Revision{Kind: RevisionPublished, ActorID: r.CreatedByID, ProfileUpdateID: r.ID}); err != nil {
		return err
	}
	r.PublishedAt = &tx.Now
	r.close(cal, tx.Now, true)
	data := map[string]string{}
	if l.Visible() {
		data["Visible"] = "yes"
	}
	if err := s.tellProvider(ctx, tx, r, templatePublished, data, false); err != nil {
		return err
	}
	err = s.conclude(ctx, tx, access.System("directory"), cal, r, audit.Act{Action: "profile_update.published", Changed: []string{"status"}}, Entry{Kind: EntryPublished})
	if err != nil {
		return err
	}
	return bump(ctx, tx)
}

// Cancelled refuses to call a publication off: what is approved is promised.
// For app's hooks.
func (s *Service) Cancelled(context.Context, *database.Tx, *outbox.Job) error {
	return fault.Conflict("id", outbox.CodeNotCancellable)
}

// plan puts the timer of the next step in the place of the one that waits.
func (s *Service) plan(ctx context.Context, tx *database.Tx, r *Request) error {
	if err := outbox.CancelAbout(ctx, tx, r.ID, Look{}.Kind()); err != nil {
		return err
	}
	if r.NextActionAt == nil {
		return nil
	}
	_, err := outbox.Put(ctx, tx, Look{ProfileUpdateID: r.ID}, outbox.DueAt(*r.NextActionAt), outbox.About(r.ID))
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
		r, err := lockRequest(ctx, tx, access.System("directory").Scope(), a.ProfileUpdateID)
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

// due takes the steps that a held request's clock has reached by now; while it
// stands there are none.
func (s *Service) due(ctx context.Context, tx *database.Tx, cal *sla.Calendar, r *Request) error {
	if !r.running() || r.NextActionAt == nil || r.NextActionAt.After(tx.Now) {
		return nil
	}
	spent := r.Clock.Spent(cal, tx.Now)
	var lines []Entry
	for r.Steps < len(steps) && steps[r.Steps].after <= spent {
		step := steps[r.Steps]
		r.Steps++
		if step.percent == 0 {
			lines = append(lines, Entry{Kind: EntryBreached, UntilAt: r.DueAt})
			if err := s.tellReviewers(ctx, tx, r, templateEscalated, nil, true); err != nil {
				return err
			}
			if err := s.tellProvider(ctx, tx, r, templateLate, nil, false); err != nil {
				return err
			}
			continue
		}
		percent := fmt.Sprint(step.percent)
		lines = append(lines, Entry{Kind: EntryWarned, Note: percent, UntilAt: r.DueAt, OperatorOnly: true})
		if r.Steps < len(steps) && steps[r.Steps].after <= spent {
			continue // overtaken
		}
		if err := s.tellReviewers(ctx, tx, r, templateWarning, map[string]string{"Percent": percent}, false); err != nil {
			return err
		}
	}
	var act audit.Act
	if n := len(lines); n > 0 && lines[n-1].Kind == EntryBreached {
		act = audit.Act{Action: "profile_update.breached"}
	}
	return s.conclude(ctx, tx, access.System("directory"), cal, r, act, lines...)
}

// Scan performs its job.
func (s *Service) Scan(ctx context.Context, run *outbox.Run, _ Scan) error {
	return s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		ids, err := overdue(ctx, tx, tx.Now.Add(-5*time.Minute), 500)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if _, err := outbox.Put(ctx, tx, Look{ProfileUpdateID: id}, outbox.About(id), outbox.Dedupe("directory.look/"+string(id))); err != nil {
				return err
			}
		}
		return run.Done(ctx, tx)
	})
}

// movePromises gives running requests the dates of a changed calendar. Steps
// that were taken stay taken; one whose new moment has passed is due at once.
func (s *Service) movePromises(ctx context.Context, tx *database.Tx, cal *sla.Calendar, after ident.ID, limit int) (last ident.ID, n int, err error) {
	rs, err := runningRequests(ctx, tx, after, limit)
	if err != nil {
		return "", 0, err
	}
	for _, r := range rs {
		last = r.ID
		if !r.keep(cal, tx.Now) {
			continue
		}
		if err := s.conclude(ctx, tx, access.System("directory"), cal, r, audit.Act{}, Entry{Kind: EntryMoved, UntilAt: r.DueAt}); err != nil {
			return "", 0, err
		}
	}
	return last, len(rs), nil
}

// Notice performs its job.
func (s *Service) Notice(ctx context.Context, run *outbox.Run, a Notice) error {
	return s.mailer.Deliver(ctx, a.MessageID, mail.Hooks{
		Wanted: func(ctx context.Context) (bool, error) {
			rs, err := byIDs(ctx, s.db.Read(), access.System("directory").Scope(), []ident.ID{a.ProfileUpdateID})
			return err == nil && len(rs) == 1 && rs[0].Status.Open() && rs[0].stage() == a.Stage, err
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
func facts(r *Request, more map[string]string) map[string]string {
	out := map[string]string{"Company": r.Company, "SubmittedAt": r.CreatedAt.UTC().Format(time.RFC3339)}
	for name, at := range map[string]*time.Time{"TargetAt": r.TargetAt, "DueAt": r.DueAt} {
		if at != nil {
			out[name] = at.UTC().Format(time.RFC3339)
		}
	}
	for k, v := range more {
		out[k] = v
	}
	return out
}

// send writes a mail to each of some people, with the jobs that send them. A
// mail that is moot once the clock is stopped or started goes by Notice.
func (s *Service) send(ctx context.Context, tx *database.Tx, r *Request, template string, data map[string]string, moot bool, organization ident.ID, to []*account.User) error {
	for _, u := range to {
		data["Name"] = u.DisplayName()
		m, err := s.mailer.Queue(ctx, tx, mail.Draft{Key: fmt.Sprintf("%s/%s/%d/%d/%s", template, r.ID, r.stage(), r.Steps, u.ID), Template: template,
			Locale: u.Locale, To: u.Email, Data: s.mailer.Fit(template, data), OrganizationID: organization, SubjectID: r.ID})
		if err != nil {
			return err
		}
		var args outbox.Args = mail.Send{MessageID: m.ID}
		if moot {
			args = Notice{ProfileUpdateID: r.ID, Stage: r.stage(), MessageID: m.ID}
		}
		if _, err := outbox.Put(ctx, tx, args, outbox.On(outbox.Mail), outbox.About(r.ID), outbox.MaxAttempts(mail.MaxAttempts)); err != nil {
			return err
		}
	}
	return nil
}

// tellProvider mails who filed the request, or the provider's Global admins
// where that person has left.
func (s *Service) tellProvider(ctx context.Context, tx *database.Tx, r *Request, template string, more map[string]string, moot bool) error {
	us, err := s.accounts.UsersTx(ctx, tx, access.System("directory"), []ident.ID{r.CreatedByID})
	if err != nil {
		return err
	}
	to := []*account.User{us[r.CreatedByID]}
	if u := to[0]; u == nil || u.Status != account.Active {
		if to, err = s.accounts.Recipients(ctx, tx, r.OrganizationID, access.GlobalAdmin); err != nil {
			return err
		}
	}
	return s.send(ctx, tx, r, template, facts(r, more), moot, r.OrganizationID, to)
}

// tellReviewers mails the reviewer who works the request, or else all
// reviewers; with lead, the operator's administrators instead.
func (s *Service) tellReviewers(ctx context.Context, tx *database.Tx, r *Request, template string, more map[string]string, lead bool) error {
	operator, err := s.accounts.Operator(ctx, tx)
	if err != nil || operator == "" {
		return err
	}
	data := facts(r, more)
	var to []*account.User
	if r.AssigneeID != "" {
		us, err := s.accounts.UsersTx(ctx, tx, access.System("directory"), []ident.ID{r.AssigneeID})
		if err != nil {
			return err
		}
		if u := us[r.AssigneeID]; u != nil && u.Status == account.Active {
			data["AssignedTo"] = u.DisplayName()
			to = append(to, u)
		}
	}
	if !lead && len(to) == 0 {
		if to, err = s.accounts.Recipients(ctx, tx, operator, access.Reviewer); err != nil {
			return err
		}
	}
	if lead || len(to) == 0 { // a house without reviewers is run by its administrators
		if to, err = s.accounts.Recipients(ctx, tx, operator, access.OperatorAdmin); err != nil {
			return err
		}
	}
	return s.send(ctx, tx, r, template, data, !lead, operator, to)
}
