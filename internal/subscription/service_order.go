package subscription

import (
	"context"
	"fmt"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/customer"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/rollup"
)

// CreateTx makes what an order bought, in the order's own transaction: pending
// until it is provisioned, in the order of list. The order has checked offer,
// price, quantity and everything that stands against the sale, and audits it.
func (s *Service) CreateTx(ctx context.Context, tx *database.Tx, actor access.Actor, list ...Purchase) ([]*Subscription, error) {
	if len(list) == 0 {
		return nil, nil
	}
	out := make([]*Subscription, len(list))
	events := make([]*Event, len(list))
	for i, n := range list {
		x := n.fresh(ident.New(ident.ProductSubscription), tx.Now)
		out[i] = x
		events[i] = &Event{ID: ident.New(ident.SubscriptionEvent), SubscriptionID: x.ID, Number: 1, Kind: EventCreated, At: tx.Now, ActorID: actor.UserID,
			Status: x.Status, Quantity: x.Quantity, UnitPrice: x.UnitPrice, Currency: x.Currency}
	}
	if err := insert(ctx, tx, out); err != nil {
		return nil, fmt.Errorf("writing subscriptions: %w", err)
	}
	if err := insertEvents(ctx, tx, events); err != nil {
		return nil, fmt.Errorf("writing the history of subscriptions: %w", err)
	}
	return out, nil
}

// ActivateTx begins the life of a subscription that was provisioned: its term
// and its window begin, and it counts on the tree. One that is active already
// stays as it is. Errors: NOT_FOUND, SUBSCRIPTION_STATE once it is over.
func (s *Service) ActivateTx(ctx context.Context, tx *database.Tx, actor access.Actor, id ident.ID) (*Subscription, error) {
	return s.settle(ctx, tx, actor, id, func(x *Subscription) (EventKind, string, error) {
		if x.Status == Active {
			return "", "", nil
		}
		if err := x.activate(tx.Now); err != nil {
			return "", "", err
		}
		return EventActivated, "", s.planned(ctx, tx, x)
	})
}

// FailTx takes note that provisioning failed with a code; the subscription
// stays pending, so that the order's line can be tried again. Errors:
// NOT_FOUND, SUBSCRIPTION_STATE.
func (s *Service) FailTx(ctx context.Context, tx *database.Tx, actor access.Actor, id ident.ID, code string) (*Subscription, error) {
	return s.settle(ctx, tx, actor, id, func(x *Subscription) (EventKind, string, error) {
		x.StatusReason = code
		return EventFailed, code, x.may(VerbActivate)
	})
}

// AbandonTx ends a subscription that was never provisioned and will not be.
// One that is over stays as it is. Errors: NOT_FOUND, SUBSCRIPTION_STATE once
// it is active.
func (s *Service) AbandonTx(ctx context.Context, tx *database.Tx, actor access.Actor, id ident.ID) (*Subscription, error) {
	return s.settle(ctx, tx, actor, id, func(x *Subscription) (EventKind, string, error) {
		if x.Status == Cancelled {
			return "", "", nil
		}
		return EventCancelled, ReasonAbandoned, x.abandon(tx.Now, ReasonAbandoned)
	})
}

// settle changes a subscription in a caller's transaction, whoever acts.
func (s *Service) settle(ctx context.Context, tx *database.Tx, actor access.Actor, id ident.ID, do func(x *Subscription) (EventKind, string, error)) (*Subscription, error) {
	x, err := lock(ctx, tx, access.System("subscription").Scope(), id)
	if err != nil {
		return nil, err
	}
	if x == nil {
		return nil, fault.NotFound("subscriptionId")
	}
	before := *x
	kind, reason, err := do(x)
	if err != nil || kind == "" {
		return x, err
	}
	l := newLedger(tx, actor)
	l.note(before, x, Event{Kind: kind, Reason: reason})
	return x, s.write(ctx, l)
}

// HeldTx lists the offers that a customer has, or is about to have, from
// whomever: what an add-on needs stands among them.
func (s *Service) HeldTx(ctx context.Context, tx *database.Tx, customer ident.ID) ([]ident.ID, error) {
	return held(ctx, tx, customer)
}

// removed is told, in the transaction that removes a relationship: what the
// partner sold to the customer is suspended, and it supports nothing there any
// more, gets no credit, and counts no longer what was sold through it.
func (s *Service) removed(ctx context.Context, tx *database.Tx, r *customer.Relationship) error {
	rows, err := lockOf(ctx, tx, r.CustomerID, r.PartnerID)
	if err != nil {
		return fmt.Errorf("reading what a removed relationship had: %w", err)
	}
	l := newLedger(tx, access.System("subscription"))
	for _, x := range rows {
		if x.ResellerID == r.PartnerID {
			l.counts.Add(rollup.Delta{}.Minus(x.weight()), x.through()...)
		}
		before := *x
		note := func(kind EventKind) {
			l.note(before, x, Event{Kind: kind, Reason: ReasonRelationship})
			before = *x
		}
		if x.SellerID == r.PartnerID && x.Status.May(VerbSuspend) {
			if err := x.suspend(tx.Now, ReasonRelationship); err != nil {
				return err
			}
			note(EventSuspended)
		}
		if x.SupportContactID == r.PartnerID && x.SellerID != r.PartnerID {
			x.SupportContactID = x.SellerID
			note(EventDesignated)
		}
		if x.AssociatedResellerID == r.PartnerID {
			x.AssociatedResellerID = ""
			note(EventAssociated)
		}
	}
	return s.write(ctx, l)
}

// returned is told, in the transaction that gives a removed relationship back:
// what was sold through the partner counts for it again.
func (s *Service) returned(ctx context.Context, tx *database.Tx, r *customer.Relationship) error {
	rows, err := lockOf(ctx, tx, r.CustomerID, r.PartnerID)
	if err != nil {
		return fmt.Errorf("reading what a partner finds again: %w", err)
	}
	counts := rollup.Changes{}
	for _, x := range rows {
		if x.ResellerID == r.PartnerID {
			counts.Add(x.weight(), x.through()...)
		}
	}
	return counts.Write(ctx, tx)
}
