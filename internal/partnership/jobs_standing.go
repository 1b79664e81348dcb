package partnership

import (
	"context"
	"fmt"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/event"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/invitation"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/internal/partner"
)

// standingBatch is how many partnerships a job tells of in one transaction.
const standingBatch = 100

// partnerActive tells the Global admins of a company that became active of the
// invitations that waited for it, and after a suspension its partners.
func (s *Service) partnerActive(ctx context.Context, tx *database.Tx, p *partner.Partner) error {
	if p.StatusChangedAt != nil && p.ActivatedAt != nil && p.ActivatedAt.Before(*p.StatusChangedAt) {
		if err := s.tellStanding(ctx, tx, p); err != nil {
			return err
		}
	}
	if p.Kind != access.IndirectReseller {
		return nil // nobody else may authorize
	}
	us, err := s.accounts.Recipients(ctx, tx, p.OrganizationID, access.GlobalAdmin)
	if err != nil {
		return err
	}
	for _, u := range us {
		waiting, err := s.invitations.WaitingTx(ctx, tx, invitation.ForPartnership, u.Email)
		if err != nil {
			return err
		}
		if len(waiting) == 0 {
			continue
		}
		ps, err := s.partners.Load(ctx, tx, waiting[0].InviterID)
		if err != nil {
			return err
		}
		err = s.post(ctx, tx, u, "partnership_invitations_waiting", p.ID, fmt.Sprintf("%s/%d", p.ID, p.Version), map[string]string{
			"Company": p.LegalName, "Count": fmt.Sprint(len(waiting)), "InviterCompany": ps[waiting[0].InviterID].LegalName})
		if err != nil {
			return err
		}
	}
	return nil
}

// partnerHalted tells the partners of a company that stopped taking part.
func (s *Service) partnerHalted(ctx context.Context, tx *database.Tx, p *partner.Partner) error {
	return s.tellStanding(ctx, tx, p)
}

func (s *Service) tellStanding(ctx context.Context, tx *database.Tx, p *partner.Partner) error {
	_, err := outbox.Put(ctx, tx, TellStanding{PartnerID: p.ID, Status: p.Status, ChangedAt: *p.StatusChangedAt}, outbox.About(p.ID))
	return err
}

// TellStanding tells the other sides of a partner's living partnerships that
// it stopped taking part in the programme, or takes part again: a batch a job.
type TellStanding struct {
	PartnerID ident.ID       `json:"partner_id"`
	Status    partner.Status `json:"status"`
	ChangedAt time.Time      `json:"changed_at"`
	// After is the last partnership of the former batch.
	After ident.ID `json:"after,omitempty"`
}

// Kind is the job's kind.
func (TellStanding) Kind() string { return "partnership.tell_standing" }

// TellStanding performs the job; where the status moved on meanwhile it does
// nothing, and the job of that change tells of it.
func (s *Service) TellStanding(ctx context.Context, run *outbox.Run, a TellStanding) error {
	return s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		ps, err := s.partners.Load(ctx, tx, a.PartnerID)
		if err != nil {
			return err
		}
		p := ps[a.PartnerID]
		if p == nil || p.Status != a.Status || p.StatusChangedAt == nil || !p.StatusChangedAt.Equal(a.ChangedAt) {
			return run.Done(ctx, tx)
		}
		rows, err := livingOf(ctx, tx, p.ID, a.After, standingBatch)
		if err != nil {
			return err
		}
		for _, row := range rows {
			if err := s.tellOther(ctx, tx, row, p); err != nil {
				return err
			}
		}
		if len(rows) == standingBatch {
			a.After = rows[len(rows)-1].ID
			if _, err := outbox.Put(ctx, tx, a, outbox.About(p.ID)); err != nil {
				return err
			}
		}
		return run.Done(ctx, tx)
	})
}

// tellOther mails the Global admins of the side that is not p, and wakes those
// who watch.
func (s *Service) tellOther(ctx context.Context, tx *database.Tx, row *Partnership, p *partner.Partner) error {
	template, closed := "partnership_partner_suspended", ""
	switch p.Status {
	case partner.Active:
		template = "partnership_partner_reinstated"
	case partner.Closed:
		closed = "yes"
	}
	there := other(row, p.ID)
	ps, err := s.partners.Load(ctx, tx, there)
	if err != nil {
		return err
	}
	us, err := s.accounts.Recipients(ctx, tx, ps[there].OrganizationID, access.GlobalAdmin)
	if err != nil {
		return err
	}
	at := p.StatusChangedAt.UTC().Format(time.RFC3339Nano)
	for _, u := range us {
		err := s.post(ctx, tx, u, template, row.ID, string(row.ID)+"/"+at, map[string]string{"OtherCompany": p.LegalName, "ChangedAt": at, "Closed": closed})
		if err != nil {
			return err
		}
	}
	return event.Record(ctx, tx, event.PartnershipChanged, row.ID, row.ProviderID, row.ResellerID)
}
