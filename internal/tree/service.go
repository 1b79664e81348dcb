package tree

import (
	"context"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/customer"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/page"
	"github.com/channelgraph/channelgraph/internal/partner"
	"github.com/channelgraph/channelgraph/internal/partnership"
	"github.com/channelgraph/channelgraph/internal/rollup"
	"github.com/channelgraph/channelgraph/internal/subscription"
)

// Service shows the tree.
type Service struct {
	db            *database.DB
	partners      *partner.Service
	partnerships  *partnership.Service
	customers     *customer.Service
	subscriptions *subscription.Service
}

// New makes the service.
func New(db *database.DB, partners *partner.Service, partnerships *partnership.Service, customers *customer.Service, subscriptions *subscription.Service) *Service {
	return &Service{db: db, partners: partners, partnerships: partnerships, customers: customers, subscriptions: subscriptions}
}

// Find is the branch with an id, or with "" the one at which the actor's own
// part begins: the programme, the own partner, the own customer record. It is
// nil for what is absent or hidden, and for who has no part. Error:
// ROLE_REQUIRED.
func (s *Service) Find(ctx context.Context, actor access.Actor, id ident.ID) (*Branch, error) {
	if err := actor.Require(access.PermTreeRead); err != nil {
		return nil, err
	}
	all := actor.Scope().All()
	switch {
	case id == "" && all:
		return &Branch{Kind: Programme}, nil
	case id == "" && actor.PartnerID != "":
		id = actor.PartnerID
	case id == "":
		found, err := s.customers.ByOrganizations(ctx, actor, []ident.ID{actor.OrganizationID})
		if c := found[actor.OrganizationID]; c != nil {
			return ofCustomer(c), err
		}
		return nil, err
	}
	switch id.Kind() {
	case ident.Partner:
		// what a partner has with others is the business of the two
		if !all && id != actor.PartnerID {
			return nil, nil
		}
		found, err := s.partners.ByIDs(ctx, actor, []ident.ID{id})
		if p := found[id]; p != nil {
			return ofPartner(p), err
		}
		return nil, err
	case ident.Partnership:
		if !actor.Can(access.PermPartnershipRead) {
			return nil, nil
		}
		found, err := s.partnerships.ByIDs(ctx, actor, []ident.ID{id})
		if p := found[id]; p != nil {
			return ofPair(p, otherSide(actor, p)), err
		}
		return nil, err
	case ident.Customer:
		found, err := s.customers.ByIDs(ctx, actor, []ident.ID{id})
		if c := found[id]; c != nil {
			return ofCustomer(c), err
		}
		return nil, err
	}
	return nil, nil
}

// otherSide is as whom a partnership is shown: to a reseller its provider, to
// everybody else the reseller.
func otherSide(actor access.Actor, p *partnership.Partnership) Kind {
	if actor.PartnerID == p.ResellerID {
		return Provider
	}
	return Reseller
}

// Key is where the branch's counts are kept, or of a customer, whose are
// counted, its id.
func (b *Branch) Key() rollup.Key {
	switch {
	case b.Kind == Programme:
		return rollup.Operator
	case b.Partnership != nil:
		return rollup.Pair(b.Partnership.ProviderID, b.Partnership.ResellerID)
	case b.Customer != nil:
		return rollup.Key(b.Customer.ID)
	}
	return rollup.Of(b.PartnerID)
}

// Counts are those of branches that the actor has found, by their keys, in two
// statements at most. What comes to nothing may be missing.
func (s *Service) Counts(ctx context.Context, actor access.Actor, keys []rollup.Key) (map[rollup.Key]rollup.Delta, error) {
	var kept []rollup.Key
	var customers []ident.ID
	for _, k := range keys {
		if id := ident.ID(k); id.Is(ident.Customer) {
			customers = append(customers, id)
		} else {
			kept = append(kept, k)
		}
	}
	out, err := rollup.Read(ctx, s.db.Read(), kept)
	if err != nil {
		return nil, err
	}
	counted, err := s.subscriptions.CountsOf(ctx, actor, customers)
	for _, id := range customers {
		out[rollup.Key(id)] = counted[id].Plus(rollup.Delta{Customers: 1})
	}
	return out, err
}

// under turns a page of rows into one of branches.
func under[T any](c *page.Connection[T], err error, branch func(T) *Branch) (*page.Connection[*Branch], error) {
	if err != nil {
		return nil, err
	}
	return page.Map(c, branch), nil
}

// none is a level that a branch does not have.
func none(args page.Args) (*page.Connection[*Branch], error) {
	pq, err := args.Resolve(page.Order{Name: "NAME"}, "none")
	if err != nil {
		return nil, err
	}
	return page.Build(pq, nil, func(*Branch) (any, ident.ID) { return "", "" }, func(context.Context) (int, error) { return 0, nil }), nil
}

// Providers are those who sell under a branch, by name: the programme's
// providers and direct-bill partners, and of a reseller the providers that it
// buys through. Other branches have none.
func (s *Service) Providers(ctx context.Context, actor access.Actor, b *Branch, args page.Args, f Filter) (*page.Connection[*Branch], error) {
	switch {
	case b.Kind == Programme && actor.Can(access.PermPartnerRead):
		c, err := s.partners.List(ctx, actor, args, nil, partner.Filter{Kinds: []access.Kind{access.IndirectProvider, access.DirectBill}, Search: f.Search})
		return under(c, err, ofPartner)
	case b.Kind == Reseller && b.Partnership == nil && actor.Can(access.PermPartnershipRead):
		c, err := s.partnerships.List(ctx, actor, partnership.AsReseller, b.PartnerID, args, nil, living(f))
		return under(c, err, func(p *partnership.Partnership) *Branch { return ofPair(p, Provider) })
	}
	return none(args)
}

// Resellers are those that a provider sells through, by name. Other branches
// have none.
func (s *Service) Resellers(ctx context.Context, actor access.Actor, b *Branch, args page.Args, f Filter) (*page.Connection[*Branch], error) {
	if b.Kind != Provider || b.Partnership != nil || !actor.Can(access.PermPartnershipRead) {
		return none(args)
	}
	c, err := s.partnerships.List(ctx, actor, partnership.AsProvider, b.PartnerID, args, nil, living(f))
	return under(c, err, func(p *partnership.Partnership) *Branch { return ofPair(p, Reseller) })
}

func living(f Filter) partnership.Filter {
	return partnership.Filter{Status: []partnership.Status{partnership.Active, partnership.Terminating}, Search: f.Search}
}

// Customers are those under a branch, by name: of a partner all that it has,
// of a pair those that the two have together, of the programme all. A customer
// has none.
func (s *Service) Customers(ctx context.Context, actor access.Actor, b *Branch, args page.Args, f Filter) (*page.Connection[*Branch], error) {
	if b.Customer != nil || !actor.Can(access.PermCustomerRead) {
		return none(args)
	}
	narrow := customer.Filter{Search: f.Search, LacksReseller: f.LacksReseller}
	switch p := b.Partnership; {
	case p != nil:
		narrow.ProviderID, narrow.ResellerID = &p.ProviderID, &p.ResellerID
	case b.PartnerID == actor.PartnerID: // all of the own ones
	case b.Kind == Reseller:
		narrow.ResellerID = &b.PartnerID
	case b.PartnerID != "":
		narrow.ProviderID = &b.PartnerID
	}
	c, err := s.customers.ListShown(ctx, actor, args, nil, narrow, customer.View{Counted: true})
	return under(c, err, ofCustomer)
}
