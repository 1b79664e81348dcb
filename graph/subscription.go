package graph

import (
	"context"

	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/partner"
	"github.com/channelgraph/channelgraph/internal/subscription"
)

// ofSubscription are the relations of a subscription that a page looks up
// ahead.
func ofSubscription(ctx context.Context) []relation[*subscription.Subscription] {
	type s = *subscription.Subscription
	l, a := load(ctx), actor(ctx)
	known := func(pick func(s) ident.ID) func(s) ident.ID {
		return func(x s) ident.ID {
			if id := pick(x); x.Shows(a, id) {
				return id
			}
			return ""
		}
	}
	seller, reseller := func(x s) ident.ID { return x.SellerID }, known(func(x s) ident.ID { return x.ResellerID })
	contact := known(func(x s) ident.ID { return x.SupportContactID })
	return []relation[s]{
		{"customer", l.customers, func(x s) ident.ID { return x.CustomerID }},
		{"offer", l.offers, func(x s) ident.ID { return x.OfferID }},
		{"seller", l.partners, seller},
		{"reseller", l.partners, reseller},
		{"supportContact", l.partners, contact},
		{"associatedReseller", l.partners, known(func(x s) ident.ID { return x.AssociatedResellerID })},
		{"sellerName", l.cards, seller},
		{"resellerName", l.cards, reseller},
		{"supportContactName", l.cards, contact},
	}
}

// party looks up a partner that has to do with a subscription, for who may
// know of it.
func party[V any](ctx context.Context, s *subscription.Subscription, id ident.ID, l *loader[*V]) (*V, error) {
	if !s.Shows(actor(ctx), id) {
		return nil, nil
	}
	return l.one(ctx, id)
}

// partyName is the legal name of a partner that has to do with a subscription, for
// who may know of it.
func partyName(ctx context.Context, s *subscription.Subscription, id ident.ID) (*string, error) {
	card, err := party(ctx, s, id, load(ctx).cards)
	return legalName(card), err
}

func legalName(c *partner.Card) *string {
	if c == nil {
		return nil
	}
	return &c.LegalName
}

// sentence is what a code says in the viewer's language; null for none.
func sentence(ctx context.Context, code string) *string {
	if code == "" {
		return nil
	}
	return blank(fault.Text(actor(ctx).Locale, code, nil))
}
