package customer

import (
	"context"
	"strings"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/audit"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/export"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/invitation"
	"github.com/channelgraph/channelgraph/internal/mail"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/internal/page"
	"github.com/channelgraph/channelgraph/internal/partner"
	"github.com/channelgraph/channelgraph/internal/partnership"
	"github.com/channelgraph/channelgraph/internal/region"
	"github.com/channelgraph/channelgraph/internal/rollup"
)

// Path is the page that invitations of customers lead to.
const Path = "/l/customer"

// Config is what customers need to know of the installation.
type Config struct {
	// TenantDomain is what the tenants of new customers are named under.
	TenantDomain string
}

// Service performs the verbs on customers.
type Service struct {
	db           *database.DB
	accounts     *account.Service
	partners     *partner.Service
	partnerships *partnership.Service
	invitations  *invitation.Service
	mailer       *mail.Mailer
	suffix       string
	exports      *export.Files
	onRemoved    []func(ctx context.Context, tx *database.Tx, r *Relationship) error
	onReturned   []func(ctx context.Context, tx *database.Tx, r *Relationship) error
}

// New makes the service and tells the invitations what those of customers
// mean.
func New(db *database.DB, accounts *account.Service, partners *partner.Service, partnerships *partnership.Service, invitations *invitation.Service,
	mailer *mail.Mailer, cfg Config) *Service {
	s := &Service{db: db, accounts: accounts, partners: partners, partnerships: partnerships, invitations: invitations, mailer: mailer, suffix: cfg.TenantDomain}
	s.exports = export.New(db, s.exported())
	invitations.Register(invitation.ForCustomer, invitation.Concept{
		Permission: access.PermCustomerInvite,
		Path:       Path,
		Job:        func(id ident.ID, g int) outbox.Args { return SendInvitation{InvitationID: id, Generation: g} },
		MayAsk:     s.mayAskAgain,
		Data:       s.invitationData,
		Templates: invitation.Templates{
			Invitation: "customer_invitation", Reminder: "customer_invitation_reminder", Expired: "customer_invitation_expired",
			Bounced: "customer_invitation_bounced", NewLink: "customer_new_link_requested",
		},
	})
	return s
}

// OnRemoved registers what happens when a partner's relationship with a
// customer ends, in the same transaction.
func (s *Service) OnRemoved(fn func(ctx context.Context, tx *database.Tx, r *Relationship) error) {
	s.onRemoved = append(s.onRemoved, fn)
}

// OnReturned registers what happens when a partner has a relationship with a
// customer again that was removed once, in the same transaction.
func (s *Service) OnReturned(fn func(ctx context.Context, tx *database.Tx, r *Relationship) error) {
	s.onReturned = append(s.onReturned, fn)
}

// Refused is the fault for refusals at a path, or nil for none.
func Refused(path string, rs []Refusal) error {
	if len(rs) == 0 {
		return nil
	}
	f := fault.As(fault.Conflict(path, rs[0].Code))
	for _, r := range rs[1:] {
		f.Problems = append(f.Problems, fault.As(fault.Conflict(path, r.Code)).Problems...)
	}
	return f
}

// scenario reads what the rules look at. Partners that are absent are
// NOT_FOUND; who may know of them is for the caller to say.
func (s *Service) scenario(ctx context.Context, tx *database.Tx, act Act, seller, reseller ident.ID, b Buyer) (Scenario, error) {
	ids := []ident.ID{seller}
	if reseller != "" {
		ids = append(ids, reseller)
	}
	ps, house, err := s.partners.MeetTx(ctx, tx, access.System("customer"), b.Facts, ids...)
	if err != nil {
		return Scenario{Act: act, Buyer: b}, err
	}
	b.House = house
	return s.scenarioOf(ctx, tx, act, ps, seller, reseller, b)
}

// scenarioOf is scenario with partners that were read, the buyer's house among
// them.
func (s *Service) scenarioOf(ctx context.Context, tx *database.Tx, act Act, ps map[ident.ID]*partner.Partner, seller, reseller ident.ID, b Buyer) (sc Scenario, err error) {
	sc.Act, sc.Buyer = act, b
	ids := []ident.ID{seller}
	if reseller != "" {
		ids = append(ids, reseller)
	}
	if sc.Seller = ps[seller]; sc.Seller == nil {
		return sc, fault.NotFound("sellerId")
	}
	if sc.Reseller = ps[reseller]; reseller != "" && sc.Reseller == nil {
		return sc, fault.NotFound("resellerId")
	}
	var house []ident.ID
	for _, h := range sc.Buyer.House {
		house = append(house, h.ID)
	}
	if with := append(house[:len(house):len(house)], ids[1:]...); len(with) > 0 {
		if sc.Allied, err = s.partnerships.AlliedTx(ctx, tx, seller, with...); err != nil {
			return sc, err
		}
		sc.Partnered = sc.Allied[reseller]
	}
	sc.Declared, err = s.partners.DeclaredTx(ctx, tx, ids, house)
	return sc, err
}

// buyer is what the rules look at of a customer that is here.
func (s *Service) buyer(c *Customer) Buyer {
	return Buyer{OrganizationID: c.OrganizationID, Facts: c.facts(s.suffix), Region: c.Region, Suspended: c.Status == Suspended, Agreed: c.HasAgreement(), Known: true}
}

// Guard lists why a sale may not be done now; the customer is held against
// changes of its relationships until the transaction ends. Error: NOT_FOUND
// at customerId, sellerId or resellerId.
func (s *Service) Guard(ctx context.Context, tx *database.Tx, sale Sale) ([]Refusal, error) {
	c, err := share(ctx, tx, access.System("customer").Scope(), sale.CustomerID)
	if err != nil {
		return nil, err
	}
	if c == nil {
		return nil, fault.NotFound("customerId")
	}
	return s.guard(ctx, tx, Sell, c, sale.SellerID, sale.ResellerID)
}

func (s *Service) guard(ctx context.Context, tx *database.Tx, act Act, c *Customer, seller, reseller ident.ID) ([]Refusal, error) {
	sc, err := s.scenario(ctx, tx, act, seller, reseller, s.buyer(c))
	if err != nil {
		return nil, err
	}
	if act == Sell {
		rs, err := relations(ctx, tx, c.ID)
		if err != nil {
			return nil, err
		}
		sc.SellerRelated, sc.ResellerRelated = rs[seller].Active(), rs[reseller].Active()
	}
	return Refusals(sc, tx.Now), nil
}

// Answer is what the rules say of a scenario.
type Answer struct {
	Refusals []Refusal
}

// Allowed reports that nothing stands against it.
func (a *Answer) Allowed() bool { return len(a.Refusals) == 0 }

// CheckScenario explains whether some may work together, by the rules that
// guard the verbs (spec section 6). A partner asks about itself and those it
// knows; the operator about anybody. Errors: what is wrong with the input,
// NOT_FOUND, ROLE_REQUIRED.
func (s *Service) CheckScenario(ctx context.Context, actor access.Actor, in ScenarioInput) (*Answer, error) {
	if err := actor.Require(access.PermCustomerRead); err != nil {
		return nil, err
	}
	if err := in.Validate(); err != nil {
		return nil, err
	}
	var out *Answer
	err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		reseller := ident.ID("")
		if in.ResellerID != nil {
			reseller = *in.ResellerID
		}
		seen, err := s.partners.SeenTx(ctx, tx, actor, in.SellerID, reseller)
		if err == nil {
			err = mayName(actor, seen, in.SellerID, reseller)
		}
		if err != nil {
			return err
		}
		rs, err := s.explain(ctx, tx, actor, in, reseller)
		out = &Answer{Refusals: rs}
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// mayName proves that the actor sees the partners it names, and is one of
// them unless it is the operator.
func mayName(actor access.Actor, seen map[ident.ID]*partner.Partner, seller, reseller ident.ID) error {
	switch {
	case seen[seller] == nil || !actor.Scope().All() && actor.PartnerID != seller && actor.PartnerID != reseller:
		return fault.NotFound("sellerId")
	case reseller != "" && seen[reseller] == nil:
		return fault.NotFound("resellerId")
	}
	return nil
}

func (s *Service) explain(ctx context.Context, tx *database.Tx, actor access.Actor, in ScenarioInput, reseller ident.ID) ([]Refusal, error) {
	switch {
	case in.Act == Join:
		ps, err := s.partners.Load(ctx, tx, in.SellerID)
		if err != nil {
			return nil, err
		}
		pair, err := s.partnerships.PairTx(ctx, tx, ps[in.SellerID], reseller)
		if err != nil {
			return nil, err
		}
		return partnership.MayJoin(*pair, tx.Now), nil
	case in.CustomerID != nil:
		c, err := s.LoadTx(ctx, tx, actor, *in.CustomerID)
		if err != nil {
			return nil, err
		}
		return s.guard(ctx, tx, in.Act, c, in.SellerID, reseller)
	}
	b := in.Buyer
	c, _ := region.Find(b.Country)
	facts := partner.Facts{Country: c.Code, NameFolded: partner.FoldName(b.CompanyName), Domain: b.Domain, RegistrableDomain: registrable(b.Domain, s.suffix)}
	if b.RegistrationID != "" {
		facts.RegistrationIDFolded = partner.FoldRegistration(c.Code, b.RegistrationID)
	}
	sc, err := s.scenario(ctx, tx, in.Act, in.SellerID, reseller, Buyer{Facts: facts, Region: c.Region})
	if err != nil {
		return nil, err
	}
	return Refusals(sc, tx.Now), nil
}

// LoadTx reads a customer inside the actor's scope and holds it against
// changes of its relationships until the transaction ends. Error: NOT_FOUND
// at customerId.
func (s *Service) LoadTx(ctx context.Context, tx *database.Tx, actor access.Actor, id ident.ID) (*Customer, error) {
	c, err := share(ctx, tx, actor.Scope(), id)
	if err == nil && c == nil {
		err = fault.NotFound("customerId")
	}
	return c, err
}

// RelationTx reads the relationship of a customer and a partner, removed ones
// too; nil where there never was one.
func (s *Service) RelationTx(ctx context.Context, tx *database.Tx, customer, partner ident.ID) (*Relationship, error) {
	return relation(ctx, tx, customer, partner)
}

// MayAdminister reports whether a partner may act in a role in a customer's
// account now: it reads the grants, so that a withdrawal counts at once.
func (s *Service) MayAdminister(ctx context.Context, tx *database.Tx, partner, customer ident.ID, r Role) (bool, error) {
	gs, err := effective(ctx, tx, partner, []ident.ID{customer}, tx.Now)
	for _, g := range gs[customer] {
		if g.Allows(r) {
			return true, err
		}
	}
	return false, err
}

// tally is what a customer's relationships come to on the tree.
func tally(rs map[ident.ID]*Relationship) rollup.Changes {
	out := rollup.Changes{}
	for _, p := range rs {
		if !p.Active() {
			continue
		}
		out.Add(rollup.Delta{Customers: 1}, rollup.Of(p.PartnerID))
		for _, r := range rs {
			if p.Kind == AsProvider && r.Kind == AsReseller && linked(p, r) {
				out.Add(rollup.Delta{Customers: 1}, rollup.Pair(p.PartnerID, r.PartnerID))
			}
		}
	}
	return out
}

// count appends by how much the tree changed from what it was.
func count(ctx context.Context, tx *database.Tx, before rollup.Changes, after map[ident.ID]*Relationship, created int64) error {
	c := tally(after)
	for k, d := range before {
		c[k] = c[k].Minus(d)
	}
	c.Add(rollup.Delta{Customers: created}, rollup.Operator)
	return c.Write(ctx, tx)
}

// relate gives a customer relationships with a seller and perhaps a reseller:
// new ones, or those it had once. The rows come back in rs.
func relate(ctx context.Context, tx *database.Tx, c *Customer, rs map[ident.ID]*Relationship, seller, reseller *partner.Partner) error {
	parties, with := []*partner.Partner{seller}, map[ident.ID]ident.ID{}
	if reseller != nil {
		parties = append(parties, reseller)
		with[seller.ID], with[reseller.ID] = reseller.ID, seller.ID
	}
	var fresh []*Relationship
	for _, p := range parties {
		r := rs[p.ID]
		switch {
		case r == nil:
			r = &Relationship{ID: ident.New(ident.Relationship), CustomerID: c.ID, PartnerID: p.ID, Kind: KindOf(p.Kind), CounterpartID: with[p.ID], Status: Related,
				NameFolded: c.NameFolded, Domain: c.Domain, Country: c.Country, Version: 1, CreatedAt: tx.Now, UpdatedAt: tx.Now}
			fresh = append(fresh, r)
			rs[p.ID] = r
		case !r.Active():
			r.Status, r.CounterpartID, r.CreatedAt = Related, with[p.ID], tx.Now
			r.RemovedAt, r.RemovedByID, r.RemovedReason = nil, "", ""
			if err := saveRelationship(ctx, tx, r); err != nil {
				return err
			}
		case r.CounterpartID == "" && with[p.ID] != "":
			r.CounterpartID = with[p.ID]
			if err := saveRelationship(ctx, tx, r); err != nil {
				return err
			}
		}
	}
	if err := insertRelationships(ctx, tx, fresh); err != nil {
		return err
	}
	if reseller == nil || linked(rs[seller.ID], rs[reseller.ID]) {
		return nil
	}
	// Both have come with somebody else before. The one whose former
	// counterpart names it too loses nothing by turning to the new one.
	turn := rs[reseller.ID]
	if p := rs[seller.ID]; rs[p.CounterpartID].Active() && rs[p.CounterpartID].CounterpartID == p.PartnerID {
		turn = p
	}
	turn.CounterpartID = with[turn.PartnerID]
	return saveRelationship(ctx, tx, turn)
}

// record writes an act so that the audit of the customer and of the partners
// shows it.
func (s *Service) record(ctx context.Context, tx *database.Tx, actor access.Actor, action string, c *Customer, target ident.ID, parties []*partner.Partner, changed ...string) error {
	orgs := []ident.ID{c.OrganizationID}
	for _, p := range parties {
		orgs = append(orgs, p.OrganizationID)
	}
	for _, org := range orgs {
		if org == actor.OrganizationID && len(orgs) > 1 {
			continue
		}
		if err := audit.Record(ctx, tx, actor, audit.Act{Action: action, TargetID: target, TargetOrganizationID: org, Changed: changed}); err != nil {
			return err
		}
	}
	return nil
}

// loadParties reads partners in the order of their ids in the call.
func (s *Service) loadParties(ctx context.Context, tx *database.Tx, ids ...ident.ID) ([]*partner.Partner, error) {
	ps, err := s.partners.Load(ctx, tx, ids...)
	var out []*partner.Partner
	for _, id := range ids {
		if p := ps[id]; p != nil {
			out = append(out, p)
		}
	}
	return out, err
}

// change runs fn on a customer that the actor sees, held, in one transaction.
// Errors: NOT_FOUND, ROLE_REQUIRED, CONFLICT.
func (s *Service) change(ctx context.Context, actor access.Actor, perm access.Permission, id ident.ID, version *int,
	fn func(context.Context, *database.Tx, *Customer) error) (*Customer, error) {
	if actor.IsAnonymous() {
		return nil, fault.Unauthenticated()
	}
	var out *Customer
	err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		c, err := lock(ctx, tx, actor.Scope(), id)
		if err != nil {
			return err
		}
		if c == nil {
			return fault.NotFound("customerId")
		}
		if err := actor.Require(perm); err != nil {
			return err
		}
		if version != nil && *version != c.Version {
			return fault.Conflict("expectedVersion", fault.CodeConflict)
		}
		out = c
		return fn(ctx, tx, c)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// ByIDs reads customers inside the actor's scope; hidden ones are missing.
func (s *Service) ByIDs(ctx context.Context, actor access.Actor, ids []ident.ID) (map[ident.ID]*Customer, error) {
	if !actor.Can(access.PermCustomerRead) {
		return map[ident.ID]*Customer{}, nil
	}
	return byIDs(ctx, s.db.Read(), actor.Scope(), ids)
}

// ByOrganizations is ByIDs by the customers' organizations.
func (s *Service) ByOrganizations(ctx context.Context, actor access.Actor, ids []ident.ID) (map[ident.ID]*Customer, error) {
	if !actor.Can(access.PermCustomerRead) {
		return map[ident.ID]*Customer{}, nil
	}
	return byOrganizations(ctx, s.db.Read(), actor.Scope(), ids)
}

// List is a page of the customers that the actor sees. Error: ROLE_REQUIRED.
func (s *Service) List(ctx context.Context, actor access.Actor, args page.Args, o *Order, f Filter) (*page.Connection[*Customer], error) {
	return s.ListShown(ctx, actor, args, o, f, View{})
}

// View is what a list of customers is wanted for.
type View struct {
	// Counted says that its count will be asked for: where a maintained one
	// answers, it is read with the page.
	Counted bool
	// Shown is all that is filled in, beside the id and the actor's own side.
	Shown database.Shown
}

// ListShown is List for who knows what will be asked of it.
func (s *Service) ListShown(ctx context.Context, actor access.Actor, args page.Args, o *Order, f Filter, view View) (*page.Connection[*Customer], error) {
	if err := actor.Require(access.PermCustomerRead); err != nil {
		return nil, err
	}
	pq, err := args.Resolve(o.resolve(f.lead(actor.Scope()) != ""), f)
	if err != nil {
		return nil, err
	}
	return list(ctx, s.db, actor.Scope(), pq, f, view)
}

// RelationshipsByIDs reads relationships inside the actor's scope.
func (s *Service) RelationshipsByIDs(ctx context.Context, actor access.Actor, ids []ident.ID) (map[ident.ID]*Relationship, error) {
	if !actor.Can(access.PermCustomerRead) {
		return map[ident.ID]*Relationship{}, nil
	}
	return relationshipsByIDs(ctx, s.db.Read(), actor.Scope(), ids)
}

// RelationshipsOf reads what the actor sees of some customers' relationships.
func (s *Service) RelationshipsOf(ctx context.Context, actor access.Actor, customers []ident.ID) (map[ident.ID][]*Relationship, error) {
	if !actor.Can(access.PermCustomerRead) {
		return map[ident.ID][]*Relationship{}, nil
	}
	return relationshipsOf(ctx, s.db.Read(), actor.Scope(), customers)
}

// AgreementsOf reads what the actor sees of some customers' agreements.
func (s *Service) AgreementsOf(ctx context.Context, actor access.Actor, customers []ident.ID) (map[ident.ID][]*Agreement, error) {
	if !actor.Can(access.PermCustomerRead) {
		return map[ident.ID][]*Agreement{}, nil
	}
	return agreementsOf(ctx, s.db.Read(), actor.Scope(), customers)
}

// Administration tells what a partner may do in some customers' accounts now.
func (s *Service) Administration(ctx context.Context, actor access.Actor, customers []ident.ID) (map[ident.ID][]Role, error) {
	out := map[ident.ID][]Role{}
	if !actor.Can(access.PermGrantRead) {
		return out, nil
	}
	gs, err := effective(ctx, s.db.Read(), actor.PartnerID, customers, s.db.Now())
	for id, list := range gs {
		for _, r := range Roles {
			for _, g := range list {
				if g.Allows(r) {
					out[id] = append(out[id], r)
					break
				}
			}
		}
	}
	return out, err
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return strings.TrimSpace(*s)
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
