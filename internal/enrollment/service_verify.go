package enrollment

import (
	"context"
	"net/netip"
	"strings"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/address"
	"github.com/channelgraph/channelgraph/internal/audit"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/secret"
)

// state is what a link to the primary contact can still do.
func (l *link) state(e *Enrollment, now time.Time) LinkState {
	switch {
	case l.UsedAt != nil:
		return l.Outcome
	case e.Status != EmailPending:
		return LinkClosed
	case l.Generation != e.Generation:
		return LinkReplaced
	case !now.Before(l.ExpiresAt):
		return LinkExpired
	}
	return LinkValid
}

// PreviewVerification tells the primary contact who signed up and what a yes
// confirms; it consumes nothing.
func (s *Service) PreviewVerification(ctx context.Context, token string) (*VerificationPreview, error) {
	unknown := &VerificationPreview{State: LinkUnknown}
	if !strings.HasPrefix(token, VerifyPrefix+"_") || len(token) > 100 {
		return unknown, nil
	}
	l, err := linkByToken(ctx, s.db.Read(), secret.Hash(token))
	if err != nil || l == nil {
		return unknown, err
	}
	es, err := byIDs(ctx, s.db.Read(), access.System("enrollment").Scope(), []ident.ID{l.EnrollmentID})
	e := es[l.EnrollmentID]
	if err != nil || e == nil {
		return unknown, err
	}
	out := &VerificationPreview{State: l.state(e, s.db.Now()), UsedAt: l.UsedAt, ExpiresAt: &l.ExpiresAt, Purpose: e.Purpose}
	us, err := s.accounts.Users(ctx, access.System("enrollment"), []ident.ID{e.CreatedByID})
	if err != nil {
		return nil, err
	}
	u := us[e.CreatedByID]
	if u != nil {
		out.Locale = u.Locale
	}
	if out.State != LinkValid {
		return out, nil
	}
	out.Company, out.Country, out.TenantDomain = e.Company(), e.Country, address.Unicode(e.TenantDomain)
	out.Contact, out.SubmittedAt = e.contact().name, e.SubmittedAt
	if out.Email = e.Profile.Contact.Email; foldEmail(out.Email) != "" {
		a, err := address.Parse(out.Email)
		if err != nil {
			return nil, err
		}
		out.Email = a.Display()
	}
	if u != nil {
		out.Applicant = u.DisplayName()
	}
	return out, nil
}

// use takes the link behind a token for a verb, in one transaction that holds
// its enrollment, so that of two answers at the same moment one counts.
func (s *Service) use(ctx context.Context, token string, outcome LinkState, fn func(context.Context, *database.Tx, *Enrollment) error) error {
	if !strings.HasPrefix(token, VerifyPrefix+"_") || len(token) > 100 {
		return linkFault(LinkUnknown)
	}
	hash := secret.Hash(token)
	return s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		l, err := linkByToken(ctx, tx, hash)
		if err != nil {
			return err
		}
		if l == nil {
			return linkFault(LinkUnknown)
		}
		e, err := lock(ctx, tx, access.System("enrollment").Scope(), l.EnrollmentID)
		if err != nil {
			return err
		}
		if e == nil {
			return linkFault(LinkUnknown)
		}
		if l, err = linkByToken(ctx, tx, hash); err != nil { // as it is now that the enrollment is held
			return err
		}
		if state := l.state(e, tx.Now); state != LinkValid {
			return linkFault(state)
		}
		mine, err := useLink(ctx, tx, l, outcome)
		if err != nil {
			return err
		}
		if !mine {
			return linkFault(LinkUsed)
		}
		return fn(ctx, tx, e)
	})
}

// Confirm is the primary contact's yes: the company signed up, and the address
// is the company's. The review begins, or goes on. Errors at token: NOT_FOUND,
// LINK_USED, LINK_EXPIRED.
func (s *Service) Confirm(ctx context.Context, token string, ip netip.Addr) error {
	actor := access.Anonymous("", account.Prefix(ip))
	return s.use(ctx, token, LinkConfirmed, func(ctx context.Context, tx *database.Tx, e *Enrollment) error {
		if err := s.advance(ctx, tx, e, VerbConfirm, "token"); err != nil {
			return err
		}
		e.ConfirmedAt = &tx.Now
		if err := s.set(ctx, tx, e, Check{Kind: EmailOwnership, Status: CheckPassed, ReasonCode: AddressConfirmed}); err != nil {
			return err
		}
		all, err := checksOf(ctx, tx, []ident.ID{e.ID})
		if err != nil {
			return err
		}
		for _, c := range all[e.ID] {
			if c.Status == CheckWaiting {
				if err := s.set(ctx, tx, e, Check{Kind: c.Kind, Status: CheckRunning, Awaits: System, DueAt: e.DueAt}); err != nil {
					return err
				}
			}
		}
		if err := datesOfChecks(ctx, tx, e); err != nil {
			return err
		}
		if err := s.note(ctx, tx, actor, e, Entry{Kind: EntryConfirmed, Check: EmailOwnership, ReasonCode: string(AddressConfirmed), UntilAt: e.DueAt}); err != nil {
			return err
		}
		if err := s.recheck(ctx, tx, e); err != nil {
			return err
		}
		if err := s.tell(ctx, tx, e, letter{template: templateConfirmed, step: "confirmed"}); err != nil {
			return err
		}
		if err := save(ctx, tx, e); err != nil {
			return err
		}
		return audit.Record(ctx, tx, actor, audit.Act{Action: "enrollment.confirmed", TargetID: e.ID, TargetOrganizationID: e.OrganizationID, Changed: []string{"status"}})
	})
}

// Disown is the primary contact's "this wasn't me": the enrollment is frozen,
// the operator is told, and the contact gets no more mail about it. Errors at
// token: NOT_FOUND, LINK_USED, LINK_EXPIRED.
func (s *Service) Disown(ctx context.Context, token string, ip netip.Addr) error {
	actor := access.Anonymous("", account.Prefix(ip))
	return s.use(ctx, token, LinkDisowned, func(ctx context.Context, tx *database.Tx, e *Enrollment) error {
		if err := s.advance(ctx, tx, e, VerbDisown, "token"); err != nil {
			return err
		}
		e.DisownedAt = &tx.Now
		if err := s.set(ctx, tx, e, Check{Kind: EmailOwnership, Status: CheckFailed, ReasonCode: Disowned, Awaits: Operator}); err != nil {
			return err
		}
		if err := s.note(ctx, tx, actor, e, Entry{Kind: EntryDisowned, Check: EmailOwnership, ReasonCode: string(Disowned)}); err != nil {
			return err
		}
		if err := s.tell(ctx, tx, e, letter{template: templateFrozen, step: "frozen"}); err != nil {
			return err
		}
		if err := s.tellReviewers(ctx, tx, e, letter{template: templateDisowned, step: "disowned"}, false, ""); err != nil {
			return err
		}
		if err := save(ctx, tx, e); err != nil {
			return err
		}
		return audit.Record(ctx, tx, actor, audit.Act{Action: "enrollment.disowned", TargetID: e.ID, TargetOrganizationID: e.OrganizationID, Changed: []string{"status"}})
	})
}
