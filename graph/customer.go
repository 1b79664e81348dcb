package graph

import (
	"context"

	"github.com/channelgraph/channelgraph/graph/gen"
	"github.com/channelgraph/channelgraph/internal/customer"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/page"
	"github.com/channelgraph/channelgraph/internal/partner"
	"github.com/channelgraph/channelgraph/internal/subscription"
)

// ofCustomer are the relations of a customer that a page looks up ahead.
func ofCustomer(ctx context.Context) []relation[*customer.Customer] {
	type c = *customer.Customer
	l, reader, id := load(ctx), actor(ctx).PartnerID, func(x c) ident.ID { return x.ID }
	return []relation[c]{
		{"reseller", l.partners, func(x c) ident.ID { return x.ResellerFor(reader) }},
		{"seller", l.partners, func(x c) ident.ID { return x.SellerFor(reader) }},
		{"organization", l.organizations, func(x c) ident.ID { return x.OrganizationID }},
		{"relationships", l.relationshipsOf, id},
		{"agreements", l.customersAgreed, id},
		{"administration", l.administration, id},
	}
}

// withCustomers looks up ahead what a page of customers is asked for: their
// relations and the first pages of their subscriptions with those of theirs, so
// that a dashboard costs one statement for each kind of thing.
func withCustomers(ctx context.Context, c *page.Connection[*customer.Customer], err error) (*page.Connection[*customer.Customer], error) {
	if err != nil || len(c.Edges) == 0 {
		return c, err
	}
	if planned, err := planCustomers(ctx, c.Nodes()); planned || err != nil {
		return c, err
	}
	var b batches
	gather(ctx, &b, "", c.Nodes(), ofCustomer(ctx))
	ids := make([]ident.ID, len(c.Edges))
	for i, e := range c.Edges {
		ids[i] = e.Node.ID
	}
	var bought []*subscription.Subscription
	for _, l := range listingsIn(ctx, "subscriptions") {
		by := load(ctx).subscriptionsOf.of(l)
		if err := by.ahead(ctx, ids); err != nil {
			return nil, err
		}
		for _, id := range ids {
			found, err := by.one(ctx, id) // is there
			if err != nil {
				return nil, err
			}
			bought = append(bought, found.Nodes()...)
		}
	}
	gather(ctx, &b, "subscriptions", bought, ofSubscription(ctx))
	return c, b.load(ctx)
}

// counterpart is whom a relationship came with, for who sees that one's
// relationship too.
func counterpart(ctx context.Context, r *customer.Relationship) (*partner.Card, error) {
	all, err := load(ctx).relationshipsOf.one(ctx, r.CustomerID)
	for _, x := range all {
		if x.PartnerID == r.CounterpartID {
			return load(ctx).cards.one(ctx, x.PartnerID)
		}
	}
	return nil, err
}

// refusalsOf are refusals with their sentences.
func refusalsOf(ctx context.Context, rs []customer.Refusal) []*gen.CustomerRefusal {
	text := func(code string) string { return fault.Text(actor(ctx).Locale, code, nil) }
	out := make([]*gen.CustomerRefusal, len(rs))
	for i, r := range rs {
		out[i] = &gen.CustomerRefusal{Code: r.Code, Message: text(r.Code)}
		if r.NextStep != "" {
			out[i].NextStep = blank(text(r.NextStep))
		}
	}
	return out
}
