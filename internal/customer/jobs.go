package customer

import (
	"context"
	"fmt"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/invitation"
	"github.com/channelgraph/channelgraph/internal/mail"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/internal/partner"
)

// SendInvitation mails one generation of an invitation.
type SendInvitation struct {
	InvitationID ident.ID `json:"invitation_id"`
	Generation   int      `json:"generation"`
}

// Kind is the job's kind.
func (SendInvitation) Kind() string { return "customer.send_invitation" }

// SendInvitation performs the job: it re-reads the invitation and does nothing
// where it was answered, revoked or sent again meanwhile.
func (s *Service) SendInvitation(ctx context.Context, run *outbox.Run, a SendInvitation) error {
	return s.invitations.Deliver(ctx, run, a.InvitationID, a.Generation)
}

// invitationData is what mails about an invitation say of those who ask.
func (s *Service) invitationData(ctx context.Context, tx *database.Tx, i *invitation.Invitation) (map[string]string, error) {
	o, err := offerOf(ctx, tx, i.ID)
	if err != nil {
		return nil, err
	}
	parties, err := s.loadParties(ctx, tx, o.Parties()...)
	if err != nil {
		return nil, err
	}
	us, err := s.accounts.UsersTx(ctx, tx, access.System("customer"), []ident.ID{i.CreatedByID})
	if err != nil {
		return nil, err
	}
	inviter := parties[len(parties)-1] // the reseller where there is one
	name := inviter.LegalName
	if u := us[i.CreatedByID]; u != nil {
		name = u.DisplayName()
	}
	out := map[string]string{
		"InviterName": name, "InviterCompany": inviter.LegalName, "SellerCompany": parties[0].LegalName, "ProgrammeOperator": s.mailer.Operator(),
		"Note": i.Text, "ExpiresAt": stamp(i.ExpiresAt), "ExpiredAt": stamp(i.ExpiresAt), "DaysLeft": fmt.Sprint(int((i.ExpiresAt.Sub(tx.Now) + day/2) / day)),
		"RecipientAddress": i.Recipient, "Reason": i.DeclineReason, "Cause": i.FailureCode, "DeclinedAt": stamp(tx.Now), "RequestedAt": stamp(tx.Now),
	}
	if len(parties) > 1 {
		out["ResellerCompany"] = parties[1].LegalName
	}
	if len(o.Roles) > 0 {
		out["GrantDays"] = fmt.Sprint(o.GrantDays)
	}
	return out, nil
}

// tellInviter mails the person who sent an invitation.
func (s *Service) tellInviter(ctx context.Context, tx *database.Tx, p *proposal, template string, more map[string]string) error {
	us, err := s.accounts.UsersTx(ctx, tx, access.System("customer"), []ident.ID{p.inv.CreatedByID})
	if err != nil {
		return err
	}
	u := us[p.inv.CreatedByID]
	if u == nil || u.Status != account.Active {
		return nil
	}
	data, err := s.invitationData(ctx, tx, p.inv)
	if err != nil {
		return err
	}
	for k, v := range more {
		data[k] = v
	}
	return s.post(ctx, tx, u, template, p.inv.ID, fmt.Sprintf("%s/%d", p.inv.ID, p.inv.Generation), data, false)
}

// tellAccepted mails the inviter, the Global admins of the provider that came
// with it, and those of the customer.
func (s *Service) tellAccepted(ctx context.Context, tx *database.Tx, actor access.Actor, p *proposal, c *Customer, parties []*partner.Partner, delegated bool) error {
	data := map[string]string{"CustomerCompany": c.CompanyName, "SellerCompany": parties[0].LegalName, "AcceptedBy": actor.Name, "AcceptedAt": stamp(tx.Now)}
	if len(parties) > 1 {
		data["ResellerCompany"] = parties[1].LegalName
	}
	if delegated {
		data["GrantEndsAt"] = stamp(tx.Now.Add(time.Duration(p.offer.GrantDays) * day))
	}
	if err := s.tellInviter(ctx, tx, p, "customer_accepted", data); err != nil {
		return err
	}
	if len(parties) > 1 {
		if err := s.tellPartner(ctx, tx, c, parties[0], "customer_accepted", string(p.inv.ID), data); err != nil {
			return err
		}
	}
	return s.tellCustomer(ctx, tx, c, "customer_has_partner", string(p.inv.ID), data)
}

// tellBoth mails both sides of a grant.
func (s *Service) tellBoth(ctx context.Context, tx *database.Tx, c *Customer, p *partner.Partner, template, key string, data map[string]string) error {
	if err := s.tellCustomer(ctx, tx, c, template, key, data); err != nil {
		return err
	}
	return s.tellPartner(ctx, tx, c, p, template, key, data)
}

// tellCustomer mails the Global admins of a customer.
func (s *Service) tellCustomer(ctx context.Context, tx *database.Tx, c *Customer, template, key string, data map[string]string) error {
	return s.tellAdmins(ctx, tx, c, c.OrganizationID, template, key, data, false)
}

// tellPartner mails the Global admins of a partner.
func (s *Service) tellPartner(ctx context.Context, tx *database.Tx, c *Customer, p *partner.Partner, template, key string, data map[string]string) error {
	return s.tellAdmins(ctx, tx, c, p.OrganizationID, template, key, data, false)
}

// tellAdmins mails the Global admins of an organization. fresh says that key
// names something that was made in this transaction.
func (s *Service) tellAdmins(ctx context.Context, tx *database.Tx, c *Customer, organization ident.ID, template, key string, data map[string]string, fresh bool) error {
	us, err := s.accounts.Recipients(ctx, tx, organization, access.GlobalAdmin)
	if err != nil {
		return err
	}
	if data["CustomerCompany"] == "" {
		data["CustomerCompany"] = c.CompanyName
	}
	for _, u := range us {
		if err := s.post(ctx, tx, u, template, c.ID, key, data, fresh); err != nil {
			return err
		}
	}
	return nil
}

// post writes one mail to a user and the job that sends it.
func (s *Service) post(ctx context.Context, tx *database.Tx, u *account.User, template string, subject ident.ID, key string, data map[string]string, fresh bool) error {
	m, err := s.mailer.Queue(ctx, tx, mail.Draft{Key: template + "/" + key + "/" + string(u.ID), Template: template, Locale: u.Locale, To: u.Email,
		Data: s.mailer.Fit(template, data), OrganizationID: u.OrganizationID, SubjectID: subject, Fresh: fresh})
	if err != nil {
		return err
	}
	_, err = outbox.Put(ctx, tx, mail.Send{MessageID: m.ID}, outbox.On(outbox.Mail), outbox.About(subject), outbox.MaxAttempts(mail.MaxAttempts))
	return err
}

// ExportCustomers writes the file of an export.
type ExportCustomers struct {
	ExportID ident.ID `json:"export_id"`
}

// Kind is the job's kind.
func (ExportCustomers) Kind() string { return "customer.export" }

// ExportCustomers performs the job.
func (s *Service) ExportCustomers(ctx context.Context, run *outbox.Run, args ExportCustomers) error {
	return s.exports.Write(ctx, run, args.ExportID)
}
