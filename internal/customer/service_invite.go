package customer

import (
	"context"
	"strings"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/address"
	"github.com/channelgraph/channelgraph/internal/audit"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/invitation"
	"github.com/channelgraph/channelgraph/internal/mail"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/internal/partner"
)

// Invite mails one address an invitation to have relationships with those who
// ask: a reseller and one of its providers together, or one seller. Errors:
// what is wrong with the input, PROVIDER_REQUIRED, PROVIDER_NOT_EXPECTED,
// NOT_FOUND at providerId, EMAIL_OF_SELLER, INVITATION_PENDING and the limits
// of invitations, the refusals of those who sell.
func (s *Service) Invite(ctx context.Context, actor access.Actor, in InviteInput) (*invitation.Dispatched, error) {
	if err := mayInvite(actor); err != nil {
		return nil, err
	}
	raw := in
	problems := in.Validate()
	key := deref(in.IdempotencyKey)
	var out *invitation.Dispatched
	err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		prior, err := outbox.Once(ctx, tx, actor, "inviteCustomer", key, raw)
		if err != nil {
			return err
		}
		if prior != nil {
			out, err = s.invitations.Replay(ctx, tx, prior)
			return err
		}
		q, err := s.prepareInvite(ctx, tx, actor, problems, in.ProviderID, in.Delegation)
		if err != nil {
			return err
		}
		q.text, q.locale = in.Text, in.Locale
		if out, err = s.ask(ctx, tx, actor, q, in.Email, "email"); err != nil {
			return err
		}
		return outbox.Remember(ctx, tx, actor, "inviteCustomer", key, out.IDs())
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// InviteLine is what became of one address of a list.
type InviteLine = invitation.Line

// InviteMany is Invite for several addresses: each line by itself, so that one
// bad address does not hold the others up. A dry run writes nothing. Errors:
// those of Invite that do not depend on the address.
func (s *Service) InviteMany(ctx context.Context, actor access.Actor, in InviteManyInput) ([]*InviteLine, error) {
	if err := mayInvite(actor); err != nil {
		return nil, err
	}
	raw := in
	problems := in.Validate()
	var q *question
	return s.invitations.AskMany(ctx, actor, invitation.List{Verb: "inviteCustomers", Key: deref(in.IdempotencyKey), Input: raw, Emails: raw.Emails, DryRun: in.DryRun,
		Prepare: func(ctx context.Context, tx *database.Tx) (err error) {
			if q, err = s.prepareInvite(ctx, tx, actor, problems, in.ProviderID, in.Delegation); err == nil {
				q.text, q.locale = in.Text, in.Locale
			}
			return err
		},
		Ask: func(ctx context.Context, tx *database.Tx, to, path string) (*invitation.Dispatched, error) {
			clean, err := email(to)
			if err != nil {
				var p fault.Problems
				if err := p.Merge(path, err); err != nil {
					return nil, err
				}
				return nil, p.Err()
			}
			return s.ask(ctx, tx, actor, q, clean, path)
		}})
}

// mayInvite asks for the right to invite, in a company that may.
func mayInvite(actor access.Actor) error {
	if err := actor.Require(access.PermCustomerInvite); err != nil {
		return err
	}
	if actor.PartnerID != "" {
		return nil
	}
	code := CodeSellerNotActive // a company on its way in
	if actor.Kind == access.IndirectReseller {
		code = CodeResellerNotActive
	}
	return fault.Conflict("", code)
}

// question is what addresses are asked, by whom.
type question struct {
	offer        Invitation
	sellers      Scenario
	text, locale string
}

// prepareInvite holds the inviter and proves what does not depend on who is
// asked; problems are those of the input's form.
func (s *Service) prepareInvite(ctx context.Context, tx *database.Tx, actor access.Actor, problems error, provider *ident.ID, d Delegation) (*question, error) {
	if err := s.invitations.HoldInviter(ctx, tx, actor.PartnerID); err != nil {
		return nil, err
	}
	var p fault.Problems
	if err := p.Merge("", problems); err != nil {
		return nil, err
	}
	q := &question{offer: Invitation{SellerID: actor.PartnerID, Roles: d.Roles, GrantDays: d.Days, AutoExtendDays: d.extend()}}
	switch joint := actor.Kind == access.IndirectReseller; {
	case joint && provider == nil:
		p.Add("providerId", CodeProviderNeeded)
	case !joint && provider != nil:
		p.Add("providerId", CodeProviderGiven)
	case joint:
		q.offer.SellerID, q.offer.ResellerID = *provider, actor.PartnerID
	}
	if err := p.Err(); err != nil {
		return nil, err
	}
	var err error
	q.sellers, err = s.asking(ctx, tx, actor, q.offer)
	return q, err
}

// ask mails one address, in its stored form, what is asked.
func (s *Service) ask(ctx context.Context, tx *database.Tx, actor access.Actor, q *question, email, path string) (*invitation.Dispatched, error) {
	var p fault.Problems
	to, _ := address.Parse(email) // validated
	if address.Disposable(to.Domain) {
		p.Add(path, address.CodeEmailDisposable, "domain", address.Unicode(to.Domain))
	}
	if ofHouse(email, q.sellers) {
		p.Add(path, CodeOwnAddress)
	}
	if !p.Any() {
		if err := p.Merge(path, s.invitations.CheckRecipient(ctx, tx, invitation.ForCustomer, actor.PartnerID, to.Folded())); err != nil {
			return nil, err
		}
	}
	if err := p.Err(); err != nil {
		return nil, err
	}
	locale := q.locale
	if locale == "" {
		locale = actor.Locale
	}
	out, err := s.invitations.Create(ctx, tx, actor, invitation.Request{Kind: invitation.ForCustomer, InviterID: actor.PartnerID, Recipient: to.String(),
		Folded: to.Folded(), Locale: locale, Text: q.text, Beside: func(id ident.ID) error {
			offer := q.offer
			offer.InvitationID = id
			return insertInvitation(ctx, tx, &offer)
		}})
	if err != nil {
		return nil, err
	}
	return out, audit.Record(ctx, tx, actor, audit.Act{Action: "customer.invited", TargetID: out.Invitation.ID})
}

// asking proves that those who ask for a customer may do so now.
func (s *Service) asking(ctx context.Context, tx *database.Tx, actor access.Actor, o Invitation) (Scenario, error) {
	if !actor.IsSystem() && o.ResellerID != "" {
		seen, err := s.partners.SeenTx(ctx, tx, actor, o.SellerID)
		if err != nil {
			return Scenario{}, err
		}
		if seen[o.SellerID] == nil {
			return Scenario{}, fault.NotFound("providerId")
		}
	}
	sc, err := s.scenario(ctx, tx, Manage, o.SellerID, o.ResellerID, Buyer{})
	if err != nil {
		return sc, err
	}
	return sc, Refused("", sc.sellers(tx.Now))
}

// mayAskAgain is asking for an invitation that is sent again.
func (s *Service) mayAskAgain(ctx context.Context, tx *database.Tx, i *invitation.Invitation) error {
	o, err := offerOf(ctx, tx, i.ID)
	if err != nil {
		return err
	}
	_, err = s.asking(ctx, tx, access.System("customer"), *o)
	return err
}

// Preview is what the page of an invitation shows. Reading it changes nothing.
// For an unknown code everything but State is empty.
type Preview struct {
	State invitation.Standing
	// Seller and Reseller are the public cards of those who ask; Reseller is
	// nil for one seller alone.
	Seller   partner.Card
	Reseller *partner.Card
	// InviterName is the person who asks, Recipient the invited address,
	// masked, Note the person's own text.
	InviterName string
	Recipient   string
	Note        string
	// Roles are the administration asked for, for GrantDays; AutoExtends says
	// that the grant extends itself.
	Roles       []Role
	GrantDays   int
	AutoExtends bool
	ExpiresAt   *time.Time
	DecidedAt   *time.Time
	// CustomerID is set for the accepting side once accepted.
	CustomerID ident.ID
	// NeedsAgreement says that the signed-in person's company has not agreed
	// to the customer agreement yet.
	NeedsAgreement   bool
	CanAskForNewLink bool
	NeedsSignIn      bool
	// CanSetUp says that the invited address has no account, so that its
	// company can make one here.
	CanSetUp  bool
	MayAccept bool
	LacksRole bool
	Refusals  []Refusal
}

// proposal is what a code, or a received invitation, leads to.
type proposal struct {
	state invitation.Standing
	inv   *invitation.Invitation
	offer *Invitation
}

// find reads the invitation behind a code and holds it. An unknown code is a
// proposal in state UNKNOWN.
func (s *Service) find(ctx context.Context, tx *database.Tx, code string) (*proposal, error) {
	code = strings.TrimSpace(code)
	if len(code) > 200 || !strings.HasPrefix(code, invitation.LinkPrefix+"_") {
		return &proposal{state: invitation.StandsUnknown}, nil
	}
	id, generation, err := s.invitations.Resolve(ctx, tx, code)
	if err != nil || id == "" {
		return &proposal{state: invitation.StandsUnknown}, err
	}
	return s.findInvitation(ctx, tx, id, generation)
}

func (s *Service) findInvitation(ctx context.Context, tx *database.Tx, id ident.ID, generation int) (*proposal, error) {
	i, err := s.invitations.Hold(ctx, tx, id)
	if err != nil || i == nil || i.Kind != invitation.ForCustomer {
		return &proposal{state: invitation.StandsUnknown}, err
	}
	o, err := offerOf(ctx, tx, id)
	return &proposal{state: i.Standing(generation, tx.Now), inv: i, offer: o}, err
}

// target finds the invitation that an answer is about: by code, or by the id
// of one that was sent to the actor's own address.
func (s *Service) target(ctx context.Context, tx *database.Tx, actor access.Actor, code string, id *ident.ID) (*proposal, string, error) {
	if id == nil {
		p, err := s.find(ctx, tx, code)
		if err == nil && p.state == invitation.StandsUnknown {
			err = fault.NotFound("code")
		}
		return p, "code", err
	}
	p, err := s.findInvitation(ctx, tx, *id, 0)
	if err != nil {
		return nil, "", err
	}
	own, perr := address.Parse(actor.Email)
	if p.state == invitation.StandsUnknown || perr != nil || p.inv.RecipientFolded != own.Folded() {
		return nil, "", fault.NotFound("invitationId")
	}
	return p, "invitationId", nil
}

var closedCodes = map[invitation.Standing]string{
	invitation.StandsAccepted: invitation.CodeClosed, invitation.StandsDeclined: invitation.CodeClosed, invitation.StandsRevoked: invitation.CodeClosed,
	invitation.StandsExpired: "INVITATION_EXPIRED", invitation.StandsReplaced: "LINK_REPLACED",
}

func (p *proposal) closed(path string) error { return fault.Conflict(path, closedCodes[p.state]) }

// Preview shows the invitation behind a code and whether the actor may accept
// it. Nobody signed in is answered too.
func (s *Service) Preview(ctx context.Context, actor access.Actor, code string) (*Preview, error) {
	var out *Preview
	err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		p, err := s.find(ctx, tx, code)
		if err != nil {
			return err
		}
		out, err = s.preview(ctx, tx, actor, p)
		return err
	})
	return out, err
}

func (s *Service) preview(ctx context.Context, tx *database.Tx, actor access.Actor, p *proposal) (*Preview, error) {
	out := &Preview{State: p.state}
	if p.state == invitation.StandsUnknown {
		return out, nil
	}
	parties, err := s.loadParties(ctx, tx, p.offer.Parties()...)
	if err != nil {
		return nil, err
	}
	out.Seller = parties[0].Card()
	if len(parties) > 1 {
		card := parties[1].Card()
		out.Reseller = &card
	}
	i := p.inv
	out.Recipient, out.Note, out.ExpiresAt, out.DecidedAt = mail.Mask(i.Recipient), i.Text, &i.ExpiresAt, i.DecidedAt
	out.Roles, out.GrantDays, out.AutoExtends = p.offer.Roles, p.offer.GrantDays, p.offer.AutoExtendDays > 0
	out.CanAskForNewLink = p.state == invitation.StandsExpired || p.state == invitation.StandsReplaced || p.state == invitation.StandsRevoked
	us, err := s.accounts.UsersTx(ctx, tx, access.System("customer"), []ident.ID{i.CreatedByID})
	if err != nil {
		return nil, err
	}
	if u := us[i.CreatedByID]; u != nil {
		out.InviterName = u.DisplayName()
	}
	if actor.IsAnonymous() {
		out.NeedsSignIn = true
		if p.state == invitation.StandsOpen {
			u, err := s.accounts.ByEmailTx(ctx, tx, i.RecipientFolded)
			if err != nil {
				return nil, err
			}
			out.CanSetUp = u == nil
		}
		return out, nil
	}
	c, err := one(ctx, tx.NewSelect(), access.System("customer").Scope(), "customer.organization_id", actor.OrganizationID)
	if err != nil {
		return nil, err
	}
	if c != nil && p.offer.CustomerID == c.ID {
		out.CustomerID = c.ID
	}
	if p.state != invitation.StandsOpen {
		return out, nil
	}
	if out.Refusals, err = s.against(ctx, tx, actor, p.offer, c); err != nil {
		return nil, err
	}
	out.NeedsAgreement = c == nil || !c.HasAgreement()
	out.LacksRole = actor.Kind == access.Customer && !actor.Can(access.PermCustomerAccept)
	out.MayAccept = len(out.Refusals) == 0 && !out.LacksRole
	return out, nil
}

// against lists why the actor's company may not accept; c is its customer
// record, nil where it has none yet.
func (s *Service) against(ctx context.Context, tx *database.Tx, actor access.Actor, o *Invitation, c *Customer) ([]Refusal, error) {
	if c != nil {
		return s.guard(ctx, tx, Manage, c, o.SellerID, o.ResellerID)
	}
	if actor.Kind == access.Operator {
		return []Refusal{{Code: CodeNotACustomer, NextStep: nextSeparateTenant}}, nil
	}
	c, err := s.born(ctx, tx, actor.OrganizationID)
	if err != nil {
		return nil, err
	}
	return s.guard(ctx, tx, Manage, c, o.SellerID, o.ResellerID)
}

// born is the record of an organization that is not a customer yet; what it
// has not told is empty.
func (s *Service) born(ctx context.Context, tx *database.Tx, organization ident.ID) (*Customer, error) {
	org, err := s.accounts.HoldOrganization(ctx, tx, organization)
	if err != nil {
		return nil, err
	}
	c := s.fresh(tx, Details{CompanyName: org.Name, Address: partner.Address{Country: org.Country}, Locale: org.Locale})
	c.OrganizationID, c.Domain = org.ID, org.Domain
	return c, nil
}

// mayAnswer proves that the actor is the one who answers for its company, in
// person and not by a token.
func mayAnswer(actor access.Actor) error {
	if actor.IsAnonymous() {
		return fault.Unauthenticated()
	}
	if err := actor.RefuseToken(); err != nil {
		return err
	}
	if actor.Kind == access.Customer {
		return actor.Require(access.PermCustomerAccept)
	}
	return nil // the rules refuse with their own codes
}

// Accept gives the customer relationships with those who ask: its Global admin
// has read who gets what, agrees to the customer agreement where there is none
// yet, and delegates the administration that was asked for, or does not. Every
// rule is checked again in the same transaction. Accepting twice answers with
// what is there.
func (s *Service) Accept(ctx context.Context, actor access.Actor, in AcceptInput) (*Customer, error) {
	if err := mayAnswer(actor); err != nil {
		return nil, err
	}
	if err := in.Validate(); err != nil {
		return nil, err
	}
	if err := actor.RequireSudo(s.db.Now()); err != nil {
		return nil, err
	}
	key := deref(in.IdempotencyKey)
	var out *Customer
	err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		prior, err := outbox.Once(ctx, tx, actor, "acceptCustomerInvitation", key, in)
		if err != nil {
			return err
		}
		if prior != nil {
			out, err = s.LoadTx(ctx, tx, actor, prior.ID("customer"))
			return err
		}
		p, path, err := s.target(ctx, tx, actor, in.Code, in.InvitationID)
		if err != nil {
			return err
		}
		c, err := one(ctx, tx.Lock(tx.NewSelect()), access.System("customer").Scope(), "customer.organization_id", actor.OrganizationID)
		if err != nil {
			return err
		}
		if p.state == invitation.StandsAccepted && c != nil && p.offer.CustomerID == c.ID {
			out = c // the second click
			return nil
		}
		if p.state != invitation.StandsOpen {
			return p.closed(path)
		}
		rs, err := s.against(ctx, tx, actor, p.offer, c)
		if err != nil {
			return err
		}
		if err := Refused(path, rs); err != nil {
			return err
		}
		if err := actor.Require(access.PermCustomerAccept); err != nil {
			return err
		}
		if out, err = s.join(ctx, tx, actor, p, c, in); err != nil {
			return err
		}
		return outbox.Remember(ctx, tx, actor, "acceptCustomerInvitation", key, map[string]string{"customer": string(out.ID)})
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (s *Service) join(ctx context.Context, tx *database.Tx, actor access.Actor, p *proposal, c *Customer, in AcceptInput) (_ *Customer, err error) {
	created := int64(0)
	if c == nil {
		if c, err = s.born(ctx, tx, actor.OrganizationID); err != nil {
			return nil, err
		}
		c.BillingEmail, created = actor.Email, 1
		if err := insert(ctx, tx, c); err != nil {
			return nil, err
		}
	}
	parties, err := s.loadParties(ctx, tx, p.offer.Parties()...)
	if err != nil {
		return nil, err
	}
	seller, reseller := parties[0], (*partner.Partner)(nil)
	if len(parties) > 1 {
		reseller = parties[1]
	}
	if !c.HasAgreement() {
		if !in.AcceptAgreement {
			return nil, fault.Invalid("acceptsAgreement", CodeAgreementNeeded)
		}
		if err := s.acceptAgreement(ctx, tx, actor, c, seller); err != nil {
			return nil, err
		}
	}
	rs, err := relations(ctx, tx, c.ID)
	if err != nil {
		return nil, err
	}
	before := tally(rs)
	var gone []*Relationship
	for _, q := range parties {
		if r := rs[q.ID]; r != nil && !r.Active() {
			gone = append(gone, r)
		}
	}
	if err := relate(ctx, tx, c, rs, seller, reseller); err != nil {
		return nil, err
	}
	for _, r := range gone {
		for _, fn := range s.onReturned {
			if err := fn(ctx, tx, r); err != nil {
				return nil, err
			}
		}
	}
	if err := count(ctx, tx, before, rs, created); err != nil {
		return nil, err
	}
	roles := offered(p.offer.Roles, c)
	if in.Delegate && len(roles) > 0 {
		for _, q := range parties {
			give := Delegation{Roles: roles, Days: p.offer.GrantDays, AutoExtend: p.offer.AutoExtendDays > 0}
			if _, err := s.grant(ctx, tx, rs[q.ID], give); err != nil {
				return nil, err
			}
		}
	}
	if err := s.invitations.Answer(ctx, tx, actor, p.inv, invitation.VerbAccept, ""); err != nil {
		return nil, err
	}
	if err := answered(ctx, tx, p.inv.ID, c.ID); err != nil {
		return nil, err
	}
	if err := s.tellAccepted(ctx, tx, actor, p, c, parties, in.Delegate && len(roles) > 0); err != nil {
		return nil, err
	}
	if err := s.record(ctx, tx, actor, "customer.invitation_accepted", c, c.ID, parties); err != nil {
		return nil, err
	}
	return c, tell(ctx, tx, c, rs)
}

// offered are the roles that a customer gives when it delegates what was asked
// for: the ownership of a tenant's resources only where there are such.
func offered(asked []Role, c *Customer) []Role {
	out := []Role{}
	for _, r := range asked {
		if r != TenantOwner || c.AzureType {
			out = append(out, r)
		}
	}
	return out
}

func (s *Service) acceptAgreement(ctx context.Context, tx *database.Tx, actor access.Actor, c *Customer, seller *partner.Partner) error {
	us, err := s.accounts.UsersTx(ctx, tx, access.System("customer"), []ident.ID{actor.UserID})
	if err != nil {
		return err
	}
	u := us[actor.UserID]
	a := Attestation{FirstName: u.FirstName, LastName: u.LastName, Email: u.Email, AgreedOn: tx.Now.Format(time.DateOnly)}
	if err := s.agree(ctx, tx, actor, c, seller, a, Accepted); err != nil {
		return err
	}
	c.AgreedAt = &tx.Now
	return save(ctx, tx, c)
}

// Decline answers an invitation with no, and an optional reason that the
// inviter reads.
func (s *Service) Decline(ctx context.Context, actor access.Actor, in DeclineInput) (*invitation.Invitation, error) {
	if err := mayAnswer(actor); err != nil {
		return nil, err
	}
	if err := in.Validate(); err != nil {
		return nil, err
	}
	var out *invitation.Invitation
	err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		p, path, err := s.target(ctx, tx, actor, in.Code, in.InvitationID)
		if err != nil {
			return err
		}
		if p.state != invitation.StandsOpen {
			return p.closed(path)
		}
		if actor.Kind != access.Customer {
			return fault.Conflict(path, CodeNotACustomer)
		}
		if err := s.invitations.Answer(ctx, tx, actor, p.inv, invitation.VerbDecline, in.Reason); err != nil {
			return err
		}
		out = p.inv
		org, err := s.accounts.OrganizationsTx(ctx, tx, access.System("customer"), []ident.ID{actor.OrganizationID})
		if err != nil {
			return err
		}
		if err := s.tellInviter(ctx, tx, p, "customer_invitation_declined", map[string]string{"Company": org[actor.OrganizationID].Name}); err != nil {
			return err
		}
		parties, err := s.loadParties(ctx, tx, p.inv.InviterID)
		if err != nil {
			return err
		}
		return audit.Record(ctx, tx, actor, audit.Act{Action: "customer.invitation_declined", TargetID: p.inv.ID, TargetOrganizationID: parties[0].OrganizationID,
			Changed: []string{"status"}})
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// SetUp makes a work account for a company that was invited and has none: the
// link proves the address, whose owner becomes its first Global admin with a
// password. Nothing is granted by it; the invitation waits to be accepted.
// Errors: NOT_FOUND, INVITATION_CLOSED and its kin at code, what is wrong with
// the input, DOMAIN_NOT_AVAILABLE at domainPrefix, CUSTOMER_EXISTS at
// registrationId, EMAIL_NOT_AVAILABLE at code, BUSY.
func (s *Service) SetUp(ctx context.Context, actor access.Actor, in SetUpInput) (*account.User, error) {
	if err := actor.RefuseToken(); err != nil {
		return nil, err
	}
	var p fault.Problems
	if err := p.Merge("", in.Validate()); err != nil {
		return nil, err
	}
	hashed, err := s.accounts.Hash(ctx, in.Password, in.FirstName, in.LastName, in.Details.CompanyName)
	if err := p.Merge("", err); err != nil {
		return nil, err
	}
	if err := p.Err(); err != nil {
		return nil, err
	}
	var out *account.User
	err = s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		pr, err := s.find(ctx, tx, in.Code)
		switch {
		case err != nil:
			return err
		case pr.state == invitation.StandsUnknown:
			return fault.NotFound("code")
		case pr.state != invitation.StandsOpen:
			return pr.closed("code")
		}
		c := s.fresh(tx, in.Details)
		taken, err := registrationTaken(ctx, tx, c)
		if err != nil {
			return err
		}
		if taken {
			return fault.Conflict("registrationId", CodeCustomerExists)
		}
		system := access.System("customer")
		org, u, err := s.accounts.Admit(ctx, tx, system, account.NewOrganization{Kind: access.Customer, Name: c.CompanyName, Domain: c.Domain, Country: c.Country,
			Locale: c.Locale}, account.NewUser{Email: pr.inv.Recipient, FirstName: in.FirstName, LastName: in.LastName, Locale: c.Locale,
			Roles: []access.Role{access.GlobalAdmin}}, hashed)
		switch {
		case fault.Is(err, account.CodeDomainNotFree):
			return fault.Conflict("domainPrefix", CodeDomainTaken)
		case fault.Is(err, account.CodeEmailNotAvailable):
			return fault.Conflict("code", account.CodeEmailNotAvailable)
		case err != nil:
			return err
		}
		c.OrganizationID, out = org.ID, u
		if err := insert(ctx, tx, c); err != nil {
			return err
		}
		if err := count(ctx, tx, nil, nil, 1); err != nil {
			return err
		}
		return audit.Record(ctx, tx, actor, audit.Act{Action: "customer.set_up", TargetID: c.ID, TargetOrganizationID: org.ID})
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// AskForNewLink lets the holder of a dead link ask the inviter for a new one.
// It needs no account; the inviter hears of it once a day at most.
func (s *Service) AskForNewLink(ctx context.Context, actor access.Actor, code string) error {
	return s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		p, err := s.find(ctx, tx, code)
		if err != nil {
			return err
		}
		switch p.state {
		case invitation.StandsUnknown:
			return fault.NotFound("code")
		case invitation.StandsOpen, invitation.StandsAccepted, invitation.StandsDeclined:
			return fault.Conflict("code", "NO_NEW_LINK_NEEDED")
		}
		return s.invitations.AskForNewLink(ctx, tx, actor, p.inv)
	})
}

// Received lists the invitations of this kind that wait for the actor, by the
// actor's own address.
func (s *Service) Received(ctx context.Context, actor access.Actor) ([]*invitation.Invitation, error) {
	return s.invitations.Received(ctx, actor, invitation.ForCustomer)
}

// Offers reads what some invitations offer, by invitation. Whoever has read
// the invitations may know it.
func (s *Service) Offers(ctx context.Context, invitations []ident.ID) (map[ident.ID]*Invitation, error) {
	return offersOf(ctx, s.db.Read(), invitations)
}
