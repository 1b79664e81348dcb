package partner

import (
	"context"
	"fmt"
	"strings"
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

// hook is what a concept to the right does when a partner's status changes,
// in the same transaction.
type hook = func(ctx context.Context, tx *database.Tx, p *Partner) error

// OnActive registers what happens when a partner becomes active, for the
// first time or again after a suspension; concepts call it when they are made.
func (s *Service) OnActive(fn func(ctx context.Context, tx *database.Tx, p *Partner) error) {
	s.onActive = append(s.onActive, fn)
}

// OnSuspended registers what happens when an active partner stops taking
// part: it was suspended, or closed for good, as its status says.
func (s *Service) OnSuspended(fn func(ctx context.Context, tx *database.Tx, p *Partner) error) {
	s.onSuspended = append(s.onSuspended, fn)
}

// OnDue registers the rule that says until when somebody who has signed a
// version of the agreement must sign a newer one; nil for nothing to sign.
func (s *Service) OnDue(rule func(ctx context.Context, tx *database.Tx, version string) (*time.Time, error)) {
	s.due = rule
}

// remindOfNewer fixes until when a partner that comes with a signature must
// sign a newer version.
func (s *Service) remindOfNewer(ctx context.Context, tx *database.Tx, p *Partner) (err error) {
	if s.due != nil && p.AgreementSignedAt != nil {
		p.AgreementDueAt, err = s.due(ctx, tx, p.AgreementVersion)
	}
	return err
}

// ActivateTx makes an approved partner active, in the transaction that signs
// a version of the agreement for it. Errors: NOT_FOUND,
// PARTNER_STATUS_FORBIDS unless it is approved.
func (s *Service) ActivateTx(ctx context.Context, tx *database.Tx, actor access.Actor, id ident.ID, agreementVersion string) (*Partner, error) {
	p, err := hold(ctx, tx, access.System("partner").Scope(), id)
	if err != nil {
		return nil, err
	}
	if p == nil {
		return nil, fault.NotFound("partnerId")
	}
	if err := p.move(VerbActivate, tx.Now); err != nil {
		return nil, err
	}
	p.sign(agreementVersion, tx.Now)
	return p, s.settle(ctx, tx, actor, p, "partner.activated", "", s.onActive, "status", "agreementVersion")
}

// SignTx notes that the newest version of the agreement was signed for a
// partner whose status that leaves as it is. Error: NOT_FOUND.
func (s *Service) SignTx(ctx context.Context, tx *database.Tx, id ident.ID, agreementVersion string) (*Partner, error) {
	p, err := hold(ctx, tx, access.System("partner").Scope(), id)
	if err != nil {
		return nil, err
	}
	if p == nil {
		return nil, fault.NotFound("partnerId")
	}
	p.sign(agreementVersion, tx.Now)
	return p, saveStatus(ctx, tx, p)
}

// HoldTx reads a partner for a verb that has its own right to it, and holds it
// until the transaction ends; nil where it is absent.
func (s *Service) HoldTx(ctx context.Context, tx *database.Tx, id ident.ID) (*Partner, error) {
	return hold(ctx, tx, access.System("partner").Scope(), id)
}

// DemandTx asks everybody who has signed another version of the agreement to
// sign this one until a moment, and tells how many. Whose former time has run
// out stays out of business until it signs.
func (s *Service) DemandTx(ctx context.Context, tx *database.Tx, version string, until time.Time) (int, error) {
	return demand(ctx, tx, version, until)
}

// UnsignedTx lists active partners that still have to sign a newer version,
// in the order of their ids after one, for batches of mails.
func (s *Service) UnsignedTx(ctx context.Context, tx *database.Tx, after ident.ID, limit int) ([]*Partner, error) {
	return unsigned(ctx, tx, after, limit)
}

// move changes the status by a verb.
func (p *Partner) move(v Verb, now time.Time) error {
	next, ok := p.Status.Next(v)
	if !ok {
		return fault.Conflict("partnerId", CodeStatusForbids, "status", string(p.Status))
	}
	if next == Active && p.AgreementSignedAt == nil && v != VerbActivate {
		next = Approved // only the agreement is missing
	}
	p.Status, p.StatusReason, p.StatusChangedAt = next, "", &now
	if next == Active && p.ActivatedAt == nil {
		p.ActivatedAt = &now
	}
	return nil
}

func (p *Partner) sign(version string, now time.Time) {
	p.AgreementVersion, p.AgreementSignedAt, p.AgreementDueAt = version, &now, nil
}

// settle saves a changed status, records it and runs its hooks.
func (s *Service) settle(ctx context.Context, tx *database.Tx, actor access.Actor, p *Partner, action, reason string, hooks []hook, changed ...string) error {
	if err := saveStatus(ctx, tx, p); err != nil {
		return err
	}
	act := audit.Act{Action: action, TargetID: p.ID, Changed: changed, Reason: reason}
	if actor.OrganizationID != p.OrganizationID {
		act.TargetOrganizationID = p.OrganizationID
	}
	if err := audit.Record(ctx, tx, actor, act); err != nil {
		return err
	}
	for _, h := range hooks {
		if err := h(ctx, tx, p); err != nil {
			return err
		}
	}
	return nil
}

// Suspend stops a partner's new business: nothing is asked, authorized or
// ordered with it until it is reinstated; what runs goes on, and partnerships
// stay. Its Global admins are told why. Errors: ROLE_REQUIRED, REQUIRED and
// its kin at reason, NOT_FOUND, CONFLICT, PARTNER_STATUS_FORBIDS.
func (s *Service) Suspend(ctx context.Context, actor access.Actor, in SuspendInput) (*Partner, error) {
	if err := actor.Require(access.PermPartnerSuspend); err != nil {
		return nil, err
	}
	if err := in.Validate(); err != nil {
		return nil, err
	}
	return s.change(ctx, actor, in.PartnerID, in.ExpectedVersion, func(ctx context.Context, tx *database.Tx, p *Partner) error {
		if err := p.move(VerbSuspend, tx.Now); err != nil {
			return err
		}
		p.StatusReason = in.Reason
		if err := s.settle(ctx, tx, actor, p, "partner.suspended", in.Reason, s.onSuspended, "status"); err != nil {
			return err
		}
		return s.tell(ctx, tx, p, "partner_suspended")
	})
}

// Reinstate lets a suspended partner do business again; one that never signed
// the agreement is approved again and has to sign. Its Global admins are told.
// Errors as Suspend.
func (s *Service) Reinstate(ctx context.Context, actor access.Actor, in ReinstateInput) (*Partner, error) {
	if err := actor.Require(access.PermPartnerSuspend); err != nil {
		return nil, err
	}
	if err := in.Validate(); err != nil {
		return nil, err
	}
	return s.change(ctx, actor, in.PartnerID, in.ExpectedVersion, func(ctx context.Context, tx *database.Tx, p *Partner) error {
		if err := p.move(VerbReinstate, tx.Now); err != nil {
			return err
		}
		var hooks []hook
		if p.IsActive() {
			hooks = s.onActive
		}
		if err := s.settle(ctx, tx, actor, p, "partner.reinstated", in.Reason, hooks, "status"); err != nil {
			return err
		}
		return s.tell(ctx, tx, p, "partner_reinstated")
	})
}

// Close ends the part of an active or suspended partner in the programme for
// good. Its people keep their accounts and see what was. Errors as Suspend.
func (s *Service) Close(ctx context.Context, actor access.Actor, in CloseInput) (*Partner, error) {
	if err := actor.Require(access.PermPartnerSuspend); err != nil {
		return nil, err
	}
	if err := in.Validate(); err != nil {
		return nil, err
	}
	return s.change(ctx, actor, in.PartnerID, in.ExpectedVersion, func(ctx context.Context, tx *database.Tx, p *Partner) error {
		var hooks []hook
		if p.IsActive() {
			hooks = s.onSuspended
		}
		if err := p.move(VerbClose, tx.Now); err != nil {
			return err
		}
		p.StatusReason = in.Reason
		if err := s.settle(ctx, tx, actor, p, "partner.closed", in.Reason, hooks, "status"); err != nil {
			return err
		}
		return s.tell(ctx, tx, p, "partner_closed")
	})
}

// change runs fn on a partner that the actor sees, held, in one transaction.
func (s *Service) change(ctx context.Context, actor access.Actor, id ident.ID, version *int, fn func(context.Context, *database.Tx, *Partner) error) (*Partner, error) {
	var out *Partner
	err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		p, err := hold(ctx, tx, actor.Scope(), id)
		if err != nil {
			return err
		}
		if p == nil {
			return fault.NotFound("partnerId")
		}
		if version != nil && *version != p.Version {
			return fault.Conflict("expectedVersion", fault.CodeConflict)
		}
		out = p
		return fn(ctx, tx, p)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// tell mails the partner's Global admins what became of its status.
func (s *Service) tell(ctx context.Context, tx *database.Tx, p *Partner, template string) error {
	us, err := s.accounts.Recipients(ctx, tx, p.OrganizationID, access.GlobalAdmin)
	if err != nil {
		return err
	}
	data := map[string]string{"Company": p.LegalName, "Reason": p.StatusReason, "ChangedAt": tx.Now.Format(time.RFC3339)}
	if p.Status == Approved {
		data["Unsigned"] = "yes"
	}
	for _, u := range us {
		m, err := s.mailer.Queue(ctx, tx, mail.Draft{Key: fmt.Sprintf("%s/%s/%d/%s", template, p.ID, p.Version, u.ID), Template: template,
			Locale: u.Locale, To: u.Email, Data: s.mailer.Fit(template, data), OrganizationID: u.OrganizationID, SubjectID: p.ID})
		if err != nil {
			return err
		}
		if _, err := outbox.Put(ctx, tx, mail.Send{MessageID: m.ID}, outbox.On(outbox.Mail), outbox.About(p.ID), outbox.MaxAttempts(mail.MaxAttempts)); err != nil {
			return err
		}
	}
	return nil
}

// lookUps is how many look-ups of a status an organization has in an hour.
const lookUps = 100

// StatusOf answers what may be told of another partner's standing; nil where
// nobody goes by the programme ID or domain, and for a company that is on its
// way in and no partner itself. Errors: ROLE_REQUIRED, EXACTLY_ONE,
// RATE_LIMITED beyond 100 look-ups an hour and organization, which the
// operator has as many of as it likes.
func (s *Service) StatusOf(ctx context.Context, actor access.Actor, in StatusInput) (*ProgrammeStatus, error) {
	if err := actor.Require(access.PermPartnerStatusRead); err != nil {
		return nil, err
	}
	if err := in.Validate(); err != nil {
		return nil, err
	}
	var out *ProgrammeStatus
	err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		if !actor.Scope().All() {
			if err := s.accounts.Allow(ctx, tx, lookUps, time.Hour, "partner-status", string(actor.OrganizationID)); err != nil {
				return err
			}
		}
		column, value := "programme_id", ""
		if in.ProgrammeID != nil {
			value = strings.TrimSpace(*in.ProgrammeID)
		} else {
			column = "tenant_domain"
			if d, err := address.Domain(*in.TenantDomain); err == nil {
				value = d
			}
		}
		if actor.PartnerID == "" && !actor.Scope().All() {
			return nil
		}
		p, err := lookUp(ctx, tx, column, value)
		if err != nil || p == nil {
			return err
		}
		out = &ProgrammeStatus{Kind: p.Kind, Region: p.Region, Active: p.IsActive(), AgreementSigned: p.AgreementSigned(tx.Now)}
		return nil
	})
	return out, err
}

// HasSigned reports whether the partner agreement counts as signed now.
func (s *Service) HasSigned(p *Partner) bool { return p.AgreementSigned(s.db.Now()) }
