package agreement

import (
	"context"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/event"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/internal/partner"
)

// Look asks for a look at a version when its reminders fall due.
type Look struct {
	AgreementID ident.ID `json:"agreement_id"`
}

// Kind is the job's kind.
func (Look) Kind() string { return "agreement.look" }

// Scan asks for a look at every version whose moment has passed unseen.
type Scan struct{}

// Kind is the job's kind.
func (Scan) Kind() string { return "agreement.scan" }

// Announce writes one round of mails about a version to the Global admins of
// the active partners that still have to sign it.
type Announce struct {
	AgreementID ident.ID `json:"agreement_id"`
	Step        Step     `json:"step"`
}

// Kind is the job's kind.
func (Announce) Kind() string { return "agreement.announce" }

// plan writes down the version's next step after a moment and the timer that
// says "look again".
func (s *Service) plan(ctx context.Context, tx *database.Tx, a *Agreement, after time.Time) error {
	step, at := a.Next(after)
	a.NextActionAt = nil
	if step != StepNone {
		a.NextActionAt = &at
		if _, err := outbox.Put(ctx, tx, Look{AgreementID: a.ID}, outbox.DueAt(at), outbox.About(a.ID)); err != nil {
			return err
		}
	}
	return saveTimer(ctx, tx, a)
}

// Look performs what fell due for a version, in order; a late wake-up leaves
// out a reminder that a later one has overtaken.
func (s *Service) Look(ctx context.Context, run *outbox.Run, args Look) error {
	return s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		a, err := lock(ctx, tx, args.AgreementID)
		if err != nil {
			return err
		}
		for a != nil && a.NextActionAt != nil && !a.NextActionAt.After(tx.Now) {
			step, at := a.Next(a.NextActionAt.Add(-time.Microsecond))
			if later, then := a.Next(at); later == StepNone || then.After(tx.Now) {
				// once more, for partners that came while it was published
				if _, err := s.partners.DemandTx(ctx, tx, a.Number, a.DueAt); err != nil {
					return err
				}
				if _, err := outbox.Put(ctx, tx, Announce{AgreementID: a.ID, Step: step}, outbox.About(a.ID)); err != nil {
					return err
				}
			}
			if err := s.plan(ctx, tx, a, at); err != nil {
				return err
			}
		}
		return run.Done(ctx, tx)
	})
}

// Scan puts a timer for every version whose moment passed five minutes ago
// without one.
func (s *Service) Scan(ctx context.Context, run *outbox.Run, _ Scan) error {
	return s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		ids, err := overdue(ctx, tx, tx.Now.Add(-5*time.Minute))
		if err != nil {
			return err
		}
		for _, id := range ids {
			if _, err := outbox.Put(ctx, tx, Look{AgreementID: id}, outbox.About(id), outbox.Dedupe("agreement.look/"+string(id))); err != nil {
				return err
			}
		}
		return run.Done(ctx, tx)
	})
}

// Announce performs the job, some partners a transaction: a repeated run goes
// on where the former one ended. Once a newer version is published the round
// ends, since that one writes to everybody itself.
func (s *Service) Announce(ctx context.Context, run *outbox.Run, args Announce) error {
	for !run.Finished() {
		err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
			return s.announce(ctx, tx, run, args)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) announce(ctx context.Context, tx *database.Tx, run *outbox.Run, args Announce) error {
	a, err := newest(ctx, tx)
	if err != nil {
		return err
	}
	if a == nil || a.ID != args.AgreementID {
		return run.Done(ctx, tx)
	}
	m, err := holdMailing(ctx, tx, a.ID, args.Step)
	if err != nil {
		return err
	}
	if m.FinishedAt != nil {
		return run.Done(ctx, tx)
	}
	ps, err := s.partners.UnsignedTx(ctx, tx, m.AfterID, s.batch)
	if err != nil {
		return err
	}
	titled, err := titles(ctx, tx, a.ID)
	if err != nil {
		return err
	}
	for _, p := range ps {
		if err := s.ask(ctx, tx, p, a, args.Step, titled); err != nil {
			return err
		}
		m.AfterID = p.ID
	}
	if len(ps) == s.batch {
		return saveMailing(ctx, tx, m)
	}
	m.FinishedAt = &tx.Now
	if err := saveMailing(ctx, tx, m); err != nil {
		return err
	}
	return run.Done(ctx, tx)
}

// ask mails the Global admins of a partner that a version waits for them, and
// wakes the front ends that show its banner.
func (s *Service) ask(ctx context.Context, tx *database.Tx, p *partner.Partner, a *Agreement, step Step, titled map[string]string) error {
	us, err := s.accounts.Recipients(ctx, tx, p.OrganizationID, access.GlobalAdmin)
	if err != nil {
		return err
	}
	template := "agreement_reminder"
	data := map[string]string{"Company": p.LegalName, "Version": a.Number, "DueAt": p.AgreementDueAt.UTC().Format(time.RFC3339), "DaysLeft": string(step)}
	if step == StepPublish {
		template = "agreement_published"
	}
	if StateOf(p, tx.Now) == Overdue {
		data["Overdue"], data["DaysLeft"] = "yes", "0"
	}
	if err := event.Record(ctx, tx, event.PartnerChanged, p.ID, p.ID, ""); err != nil {
		return err
	}
	for _, u := range us {
		data["Title"] = title(titled, u.Locale)
		if err := s.mailed(ctx, tx, u, template, string(a.ID)+"/"+string(step), a.ID, step != StepPublish, data); err != nil {
			return err
		}
	}
	return nil
}

// confirm mails every Global admin of the company that it has signed.
func (s *Service) confirm(ctx context.Context, tx *database.Tx, p *partner.Partner, a *Agreement, sig *Signature) error {
	us, err := s.accounts.Recipients(ctx, tx, p.OrganizationID, access.GlobalAdmin)
	if err != nil {
		return err
	}
	titled, err := titles(ctx, tx, a.ID)
	if err != nil {
		return err
	}
	for _, u := range us {
		err := s.mailed(ctx, tx, u, "agreement_signed", string(sig.ID)+"/signed", sig.ID, false, map[string]string{"Company": p.LegalName, "Version": a.Number,
			"Title": title(titled, u.Locale), "SignedBy": sig.Name(), "SignedAt": sig.SignedAt.UTC().Format(time.RFC3339), "ContentHash": sig.ContentHash})
		if err != nil {
			return err
		}
	}
	return nil
}

// title is a version's title in a language, otherwise in English.
func title(titled map[string]string, locale string) string {
	if t := titled[locale]; t != "" {
		return t
	}
	return titled[Locales[0]]
}
