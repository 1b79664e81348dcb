package customer

import (
	"context"
	"slices"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/address"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/event"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/internal/partner"
	"github.com/channelgraph/channelgraph/internal/region"
)

// DomainFree tells the domain that a prefix would make, and whether it is
// free. It says nothing of who has it otherwise. Errors: ROLE_REQUIRED,
// DOMAIN_PREFIX_INVALID at domainPrefix.
func (s *Service) DomainFree(ctx context.Context, actor access.Actor, prefix string) (domain string, free bool, err error) {
	if err := actor.Require(access.PermCustomerAdd); err != nil {
		return "", false, err
	}
	return s.domainFree(ctx, prefix)
}

func (s *Service) domainFree(ctx context.Context, prefix string) (string, bool, error) {
	var p fault.Problems
	if take(&p, "domainPrefix", &prefix)(checkPrefix(prefix)); p.Any() {
		return "", false, p.Err()
	}
	domain := prefix + "." + s.suffix
	taken, err := domainTaken(ctx, s.db.Read(), domain)
	return domain, !taken, err
}

// fresh makes the row of a customer from validated details.
func (s *Service) fresh(tx *database.Tx, d Details) *Customer {
	co, _ := region.Find(d.Address.Country)
	c := &Customer{ID: ident.New(ident.Customer), CompanyName: d.CompanyName, NameFolded: partner.FoldName(d.CompanyName), Domain: d.DomainPrefix + "." + s.suffix,
		Country: co.Code, Region: co.Region, RegistrationID: d.RegistrationID, Address: d.Address, BillingEmail: d.BillingEmail, Phone: d.Phone, Locale: d.Locale,
		AzureType: d.AzureType, Status: Active, Version: 1, CreatedAt: tx.Now, UpdatedAt: tx.Now}
	if d.RegistrationID != "" {
		c.RegistrationIDFolded = partner.FoldRegistration(co.Code, d.RegistrationID)
	}
	return c
}

// CheckAddTx is AddTx without adding: everything that is wrong with a customer
// to add, and why it may not be sold to, with n in its stored form afterwards.
func (s *Service) CheckAddTx(ctx context.Context, tx *database.Tx, actor access.Actor, n *NewCustomer) error {
	var p fault.Problems
	_, _, err := s.prepare(ctx, tx, actor, n)
	if err := p.Merge("", err); err != nil {
		return err
	}
	taken, err := domainTaken(ctx, tx, n.Details.DomainPrefix+"."+s.suffix)
	if err != nil {
		return err
	}
	if taken {
		p.Add("details.domainPrefix", CodeDomainTaken)
	}
	return p.Err()
}

func (s *Service) prepare(ctx context.Context, tx *database.Tx, actor access.Actor, n *NewCustomer) (Scenario, *Customer, error) {
	var sc Scenario
	if err := actor.Require(access.PermCustomerAdd); err != nil {
		return sc, nil, err
	}
	if !actor.Scope().All() && n.SellerID != actor.PartnerID {
		return sc, nil, fault.NotFound("sellerId")
	}
	var p fault.Problems
	if err := p.Merge("details", n.Details.Validate()); err != nil {
		return sc, nil, err
	}
	if n.Agreement != nil {
		if err := p.Merge("agreement", n.Agreement.Validate(tx.Now)); err != nil {
			return sc, nil, err
		}
	}
	c := s.fresh(tx, n.Details)
	b := Buyer{Facts: c.facts(s.suffix), Region: c.Region}
	parties, house, err := s.partners.MeetTx(ctx, tx, actor, b.Facts, n.SellerID, n.ResellerID)
	if err == nil {
		err = mayName(actor, parties, n.SellerID, n.ResellerID)
	}
	if err != nil {
		return sc, nil, err
	}
	b.House = house
	sc, err = s.scenarioOf(ctx, tx, Sell, parties, n.SellerID, n.ResellerID, b)
	if err != nil {
		return sc, nil, err
	}
	if ofHouse(n.Details.BillingEmail, sc) {
		p.Add("details.billingEmail", CodeOwnAddress)
	}
	taken, err := registrationTaken(ctx, tx, c)
	if err != nil {
		return sc, nil, err
	}
	if taken {
		if err := p.Merge("", fault.Conflict("details.registrationId", CodeCustomerExists)); err != nil {
			return sc, nil, err
		}
	}
	if err := p.Err(); err != nil {
		return sc, nil, err
	}
	return sc, c, Refused("", Refusals(sc, tx.Now))
}

// ofHouse reports whether an address is of the own domain of who sells.
func ofHouse(email string, sc Scenario) bool {
	a, err := address.Parse(email)
	if err != nil {
		return false
	}
	own := address.Registrable(a.Domain)
	return own == sc.Seller.RegistrableDomain || sc.Reseller != nil && own == sc.Reseller.RegistrableDomain
}

// AddTx makes a customer with its organization, its relationships, the
// agreement where one is attested, and a grant of account administration for
// each partner (of the tenant's ownership too for an Azure-type customer), in
// the caller's transaction. The caller adds its first admin. Errors: what is
// wrong with the input, DOMAIN_NOT_AVAILABLE at details.domainPrefix,
// CUSTOMER_EXISTS at details.registrationId, the refusals of the scenario.
func (s *Service) AddTx(ctx context.Context, tx *database.Tx, actor access.Actor, n NewCustomer) (*Added, error) {
	sc, c, err := s.prepare(ctx, tx, actor, &n)
	if err != nil {
		return nil, err
	}
	org, err := s.found(ctx, tx, c, "details.domainPrefix")
	if err != nil {
		return nil, err
	}
	if n.Agreement != nil {
		c.AgreedAt = &tx.Now
	}
	if err := insert(ctx, tx, c); err != nil {
		return nil, err
	}
	rs := map[ident.ID]*Relationship{}
	if err := relate(ctx, tx, c, rs, sc.Seller, sc.Reseller); err != nil {
		return nil, err
	}
	if n.Agreement != nil {
		if err := s.agree(ctx, tx, actor, c, sc.Seller, *n.Agreement, Attested); err != nil {
			return nil, err
		}
	}
	give := Delegation{Roles: []Role{AccountAdmin}, Days: DefaultGrantDays}
	if c.AzureType {
		give.Roles = append(give.Roles, TenantOwner)
	}
	for _, r := range []*Relationship{rs[sc.Seller.ID], rs[n.ResellerID]} {
		if r == nil {
			continue
		}
		if _, err := s.grant(ctx, tx, r, give); err != nil {
			return nil, err
		}
	}
	if err := count(ctx, tx, nil, rs, 1); err != nil {
		return nil, err
	}
	parties := []*partner.Partner{sc.Seller}
	if sc.Reseller != nil {
		parties = append(parties, sc.Reseller)
	}
	if err := s.record(ctx, tx, actor, "customer.added", c, c.ID, parties); err != nil {
		return nil, err
	}
	if sc.Reseller != nil {
		if err := s.tellAdmins(ctx, tx, c, sc.Reseller.OrganizationID, "customer_added", string(c.ID), map[string]string{"ProviderCompany": sc.Seller.LegalName}, true); err != nil {
			return nil, err
		}
	}
	watchers := []ident.ID{org.ID}
	for _, p := range parties {
		watchers = append(watchers, p.OrganizationID)
	}
	return &Added{c, org, parties}, event.RecordAll(ctx, tx, event.CustomerChanged, c.ID, watchers...)
}

// Added is a customer that was added, with its organization and who sells to
// it.
type Added struct {
	*Customer
	Organization *account.Organization
	Sellers      []*partner.Partner
}

// Owns reports whether an address is of the own domain of who sells.
func (a *Added) Owns(email string) bool {
	to, err := address.Parse(email)
	return err == nil && slices.ContainsFunc(a.Sellers, func(p *partner.Partner) bool { return address.Registrable(to.Domain) == p.RegistrableDomain })
}

// found makes the organization of a customer.
func (s *Service) found(ctx context.Context, tx *database.Tx, c *Customer, path string) (*account.Organization, error) {
	org, err := s.accounts.Found(ctx, tx, access.System("customer"), account.NewOrganization{Kind: access.Customer, Name: c.CompanyName, Domain: c.Domain,
		Country: c.Country, Locale: c.Locale})
	if fault.Is(err, account.CodeDomainNotFree) {
		return nil, fault.Conflict(path, CodeDomainTaken)
	}
	if err != nil {
		return nil, err
	}
	c.OrganizationID = org.ID
	return org, nil
}

func (s *Service) agree(ctx context.Context, tx *database.Tx, actor access.Actor, c *Customer, by *partner.Partner, a Attestation, k AgreementKind) error {
	return insertAgreement(ctx, tx, &Agreement{ID: ident.New(ident.CustomerAgreement), CustomerID: c.ID, PartnerID: by.ID, Kind: k, FirstName: a.FirstName,
		LastName: a.LastName, Email: a.Email, Phone: a.Phone, AgreedOn: a.AgreedOn, RecordedByID: actor.UserID, CreatedAt: tx.Now})
}

// Attest notes that the customer agreed to the customer agreement: its seller
// says so. Errors: NOT_FOUND, ROLE_REQUIRED, what is wrong with the input.
func (s *Service) Attest(ctx context.Context, actor access.Actor, in AttestInput) (*Customer, error) {
	raw := in
	key := deref(in.IdempotencyKey)
	return s.change(ctx, actor, access.PermCustomerAgreementAttest, in.CustomerID, nil, func(ctx context.Context, tx *database.Tx, c *Customer) error {
		prior, err := outbox.Once(ctx, tx, actor, "attestCustomerAgreement", key, raw)
		if err != nil || prior != nil {
			return err
		}
		var p fault.Problems
		if err := p.Merge("agreement", in.Attestation.Validate(tx.Now)); err != nil {
			return err
		}
		if err := p.Err(); err != nil {
			return err
		}
		own, err := s.loadParties(ctx, tx, actor.PartnerID)
		if err != nil {
			return err
		}
		if err := s.agree(ctx, tx, actor, c, own[0], in.Attestation, Attested); err != nil {
			return err
		}
		if c.AgreedAt == nil {
			c.AgreedAt = &tx.Now
		}
		if err := save(ctx, tx, c); err != nil {
			return err
		}
		if err := outbox.Remember(ctx, tx, actor, "attestCustomerAgreement", key, map[string]string{"customer": string(c.ID)}); err != nil {
			return err
		}
		return s.settle(ctx, tx, actor, c, "customer.agreement_attested", own)
	})
}

// settle records an act and wakes those who watch the customer.
func (s *Service) settle(ctx context.Context, tx *database.Tx, actor access.Actor, c *Customer, action string, parties []*partner.Partner, changed ...string) error {
	if err := s.record(ctx, tx, actor, action, c, c.ID, parties, changed...); err != nil {
		return err
	}
	rs, err := relations(ctx, tx, c.ID)
	if err != nil {
		return err
	}
	return tell(ctx, tx, c, rs)
}

// Edit changes a customer's record. A partner needs account administration in
// the customer's account for that; the customer's own Global admin does not.
// Errors: NOT_FOUND, ROLE_REQUIRED, CONFLICT, GRANT_REQUIRED, what is wrong
// with the input, CUSTOMER_EXISTS at registrationId.
func (s *Service) Edit(ctx context.Context, actor access.Actor, in EditInput) (*Customer, error) {
	return s.change(ctx, actor, access.PermCustomerEdit, in.CustomerID, in.ExpectedVersion, func(ctx context.Context, tx *database.Tx, c *Customer) error {
		if actor.Kind != access.Customer {
			may, err := s.MayAdminister(ctx, tx, actor.PartnerID, c.ID, AccountAdmin)
			if err != nil {
				return err
			}
			if !may {
				return fault.Conflict("customerId", CodeGrantMissing)
			}
		}
		d := Details{CompanyName: c.CompanyName, RegistrationID: c.RegistrationID, Address: c.Address, BillingEmail: c.BillingEmail, Phone: c.Phone, Locale: c.Locale}
		names := edited(&d, in)
		if len(names) == 0 {
			return nil
		}
		d.Address.Country = c.Country // which the region hangs on
		var p fault.Problems
		d.check(&p)
		if err := asked(p.Err(), names); err != nil {
			return err
		}
		was := c.NameFolded
		c.CompanyName, c.NameFolded, c.RegistrationID, c.RegistrationIDFolded = d.CompanyName, partner.FoldName(d.CompanyName), d.RegistrationID, ""
		if d.RegistrationID != "" {
			c.RegistrationIDFolded = partner.FoldRegistration(c.Country, d.RegistrationID)
		}
		c.Address, c.BillingEmail, c.Phone, c.Locale = d.Address, d.BillingEmail, d.Phone, d.Locale
		taken, err := registrationTaken(ctx, tx, c)
		if err != nil {
			return err
		}
		if taken {
			return fault.Conflict("registrationId", CodeCustomerExists)
		}
		if err := save(ctx, tx, c); err != nil {
			return err
		}
		if c.NameFolded != was {
			if err := renamed(ctx, tx, c); err != nil {
				return err
			}
		}
		org, err := s.accounts.HoldOrganization(ctx, tx, c.OrganizationID)
		if err != nil {
			return err
		}
		if err := s.accounts.AmendTx(ctx, tx, access.System("customer"), org, c.CompanyName, org.Kind); err != nil {
			return err
		}
		return s.settle(ctx, tx, actor, c, "customer.edited", nil, names...)
	})
}

// edited takes what an input changes into the details and names it.
func edited(d *Details, in EditInput) (names []string) {
	for _, f := range []struct {
		name string
		from *string
		to   *string
	}{{"companyName", in.CompanyName, &d.CompanyName}, {"registrationId", in.RegistrationID, &d.RegistrationID}, {"billingEmail", in.BillingEmail, &d.BillingEmail},
		{"phone", in.Phone, &d.Phone}, {"locale", in.Locale, &d.Locale}} {
		if f.from != nil && *f.from != *f.to {
			*f.to = *f.from
			names = append(names, f.name)
		}
	}
	if in.Address != nil && *in.Address != d.Address {
		d.Address = *in.Address
		names = append(names, "address")
	}
	return names
}

// asked keeps the problems of the fields that were changed: what was there
// before, such as the missing address of a customer that came by invitation,
// is nobody's fault now.
func asked(err error, names []string) error {
	f := fault.As(err)
	if f == nil {
		return err
	}
	kept := slices.DeleteFunc(f.Problems, func(p fault.Problem) bool { return len(p.Path) < 2 || !slices.Contains(names, p.Path[1]) })
	if len(kept) == 0 {
		return nil
	}
	return &fault.Error{Kind: f.Kind, Code: kept[0].Code, Problems: kept}
}

// Suspend stops new business with a customer, for the operator. Errors:
// NOT_FOUND, ROLE_REQUIRED, CONFLICT, CUSTOMER_STATUS_FORBIDS.
func (s *Service) Suspend(ctx context.Context, actor access.Actor, in StatusInput) (*Customer, error) {
	return s.setStatus(ctx, actor, in, Suspended, "customer.suspended")
}

// Reinstate lets a suspended customer do business again.
func (s *Service) Reinstate(ctx context.Context, actor access.Actor, in StatusInput) (*Customer, error) {
	return s.setStatus(ctx, actor, in, Active, "customer.reinstated")
}

func (s *Service) setStatus(ctx context.Context, actor access.Actor, in StatusInput, to Status, action string) (*Customer, error) {
	if err := in.Validate(); err != nil {
		return nil, err
	}
	return s.change(ctx, actor, access.PermCustomerSuspend, in.CustomerID, in.ExpectedVersion, func(ctx context.Context, tx *database.Tx, c *Customer) error {
		if c.Status == to {
			return fault.Conflict("customerId", CodeStatusForbids)
		}
		c.Status = to
		if err := save(ctx, tx, c); err != nil {
			return err
		}
		return s.settle(ctx, tx, actor, c, action, nil, "status")
	})
}

// Remove ends the own side's relationship with a customer: what it may see and
// administer ends with it. Others' relationships stay. Errors: NOT_FOUND,
// ROLE_REQUIRED, what is wrong with the input.
func (s *Service) Remove(ctx context.Context, actor access.Actor, in RemoveInput) (*Relationship, error) {
	if err := in.Validate(); err != nil {
		return nil, err
	}
	var out *Relationship
	_, err := s.change(ctx, actor, access.PermCustomerRemove, in.CustomerID, nil, func(ctx context.Context, tx *database.Tx, c *Customer) error {
		rs, err := relations(ctx, tx, c.ID)
		if err != nil {
			return err
		}
		r := rs[actor.PartnerID]
		if !r.Active() {
			return fault.NotFound("customerId")
		}
		before := tally(rs)
		var with []ident.ID // whom it is shared with, and so told
		for id, o := range rs {
			if id != r.PartnerID && linked(r, o) {
				with = append(with, id)
			}
		}
		r.Status, r.RemovedReason, r.RemovedAt, r.RemovedByID = Removed, in.Reason, &tx.Now, actor.UserID
		if err := saveRelationship(ctx, tx, r); err != nil {
			return err
		}
		if err := s.endGrants(ctx, tx, r); err != nil {
			return err
		}
		for _, fn := range s.onRemoved {
			if err := fn(ctx, tx, r); err != nil {
				return err
			}
		}
		if err := count(ctx, tx, before, rs, 0); err != nil {
			return err
		}
		own, err := s.loadParties(ctx, tx, append([]ident.ID{r.PartnerID}, with...)...)
		if err != nil {
			return err
		}
		data := map[string]string{"PartnerCompany": own[0].LegalName, "Reason": in.Reason, "RemovedAt": stamp(tx.Now)}
		if err := s.tellCustomer(ctx, tx, c, "customer_relationship_removed", string(r.ID)+"/"+stamp(tx.Now), data); err != nil {
			return err
		}
		for _, p := range own[1:] {
			if err := s.tellPartner(ctx, tx, c, p, "customer_relationship_removed", string(r.ID)+"/"+stamp(tx.Now), data); err != nil {
				return err
			}
		}
		out = r
		if err := s.record(ctx, tx, actor, "customer.relationship_removed", c, r.ID, own, "status"); err != nil {
			return err
		}
		return tell(ctx, tx, c, rs)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}
