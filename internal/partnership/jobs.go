package partnership

import (
	"context"
	"fmt"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/audit"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/invitation"
	"github.com/channelgraph/channelgraph/internal/mail"
	"github.com/channelgraph/channelgraph/internal/outbox"
)

// SendInvitation mails one generation of an invitation.
type SendInvitation struct {
	InvitationID ident.ID `json:"invitation_id"`
	Generation   int      `json:"generation"`
}

// Kind is the job's kind.
func (SendInvitation) Kind() string { return "partnership.send_invitation" }

// SendInvitation performs the job: it re-reads the invitation and does nothing
// where it was answered, revoked or sent again meanwhile.
func (s *Service) SendInvitation(ctx context.Context, run *outbox.Run, a SendInvitation) error {
	return s.invitations.Deliver(ctx, run, a.InvitationID, a.Generation)
}

// invitationData is what mails about an invitation say of the inviter.
func (s *Service) invitationData(ctx context.Context, tx *database.Tx, i *invitation.Invitation) (map[string]string, error) {
	ps, err := s.partners.Load(ctx, tx, i.InviterID)
	if err != nil {
		return nil, err
	}
	us, err := s.accounts.UsersTx(ctx, tx, access.System("partnership"), []ident.ID{i.CreatedByID})
	if err != nil {
		return nil, err
	}
	name, now := ps[i.InviterID].LegalName, tx.Now.Format(time.RFC3339)
	if u := us[i.CreatedByID]; u != nil {
		name = u.DisplayName()
	}
	return map[string]string{
		"InviterName": name, "InviterCompany": ps[i.InviterID].LegalName, "ProgrammeOperator": s.mailer.Operator(),
		"Note": i.Text, "ExpiresAt": i.ExpiresAt.Format(time.RFC3339), "ExpiredAt": i.ExpiresAt.Format(time.RFC3339),
		"DaysLeft": fmt.Sprint(int((i.ExpiresAt.Sub(tx.Now) + day/2) / day)), "RecipientAddress": i.Recipient,
		"Reason": i.DeclineReason, "Cause": i.FailureCode, "DeclinedAt": now, "RequestedAt": now,
	}, nil
}

// tellInviter mails the person who sent an invitation.
func (s *Service) tellInviter(ctx context.Context, tx *database.Tx, p *proposal, template, company string) error {
	us, err := s.accounts.UsersTx(ctx, tx, access.System("partnership"), []ident.ID{p.inv.CreatedByID})
	if err != nil {
		return err
	}
	data, err := s.invitationData(ctx, tx, p.inv)
	if err != nil {
		return err
	}
	data["Company"] = company
	u := us[p.inv.CreatedByID]
	if u == nil || u.Status != account.Active {
		return nil
	}
	return s.post(ctx, tx, u, template, p.inv.ID, fmt.Sprintf("%s/%d", p.inv.ID, p.inv.Generation), data)
}

// tellProvider mails the person who invited, or the provider's Global admins
// where the personal link was used or that person has left.
func (s *Service) tellProvider(ctx context.Context, tx *database.Tx, actor access.Actor, p *Partnership, template string, inv *invitation.Invitation) error {
	if inv != nil {
		us, err := s.accounts.UsersTx(ctx, tx, access.System("partnership"), []ident.ID{inv.CreatedByID})
		if err != nil {
			return err
		}
		if u := us[inv.CreatedByID]; u != nil && u.Status == account.Active {
			data, err := s.data(ctx, tx, actor, p, nil, p.ProviderID)
			if err != nil {
				return err
			}
			return s.post(ctx, tx, u, template, p.ID, string(p.ID), data)
		}
	}
	return s.tellSide(ctx, tx, actor, p, p.ProviderID, template, nil)
}

// tellSide mails the Global admins of one side.
func (s *Service) tellSide(ctx context.Context, tx *database.Tx, actor access.Actor, p *Partnership, side ident.ID, template string, t *Termination) error {
	ps, err := s.partners.Load(ctx, tx, side)
	if err != nil {
		return err
	}
	us, err := s.accounts.Recipients(ctx, tx, ps[side].OrganizationID, access.GlobalAdmin)
	if err != nil {
		return err
	}
	data, err := s.data(ctx, tx, actor, p, t, side)
	if err != nil {
		return err
	}
	key := string(p.ID)
	if t != nil {
		key = string(t.ID)
	}
	for _, u := range us {
		if err := s.post(ctx, tx, u, template, p.ID, key, data); err != nil {
			return err
		}
	}
	return nil
}

// data is what mails about a partnership say; side is who reads them.
func (s *Service) data(ctx context.Context, tx *database.Tx, actor access.Actor, p *Partnership, t *Termination, side ident.ID) (map[string]string, error) {
	ps, err := s.partners.Load(ctx, tx, p.ProviderID, p.ResellerID)
	if err != nil {
		return nil, err
	}
	now := tx.Now.Format(time.RFC3339)
	out := map[string]string{
		"ProviderCompany": ps[p.ProviderID].LegalName, "ResellerCompany": ps[p.ResellerID].LegalName, "OtherCompany": ps[other(p, side)].LegalName,
		"AcceptedBy": actor.Name, "AcceptedAt": now, "WithdrawnBy": actor.Name, "WithdrawnAt": now,
		"CompletedAt": now, "RefusedAt": now, "RequestedBy": actor.Name, "RequestedAt": now,
	}
	if t != nil {
		out["RequesterCompany"], out["Reason"], out["Explanation"] = ps[t.RequesterID].LegalName, t.Reason, t.DecisionNote
	}
	return out, nil
}

// post writes one mail to a user and the job that sends it.
func (s *Service) post(ctx context.Context, tx *database.Tx, u *account.User, template string, subject ident.ID, key string, data map[string]string) error {
	m, err := s.mailer.Queue(ctx, tx, mail.Draft{Key: template + "/" + key + "/" + string(u.ID), Template: template, Locale: u.Locale, To: u.Email,
		Data: s.mailer.Fit(template, data), OrganizationID: u.OrganizationID, SubjectID: subject})
	if err != nil {
		return err
	}
	_, err = outbox.Put(ctx, tx, mail.Send{MessageID: m.ID}, outbox.On(outbox.Mail), outbox.About(subject), outbox.MaxAttempts(mail.MaxAttempts))
	return err
}

func (s *Service) recordInvitation(ctx context.Context, tx *database.Tx, actor access.Actor, action string, p *proposal) error {
	return audit.Record(ctx, tx, actor, audit.Act{Action: action, TargetID: p.inv.ID, TargetOrganizationID: p.provider.OrganizationID, Changed: []string{"status"}})
}
