package webhook

import (
	"context"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/audit"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/internal/page"
)

// SendTest sends a test to an endpoint, paused or not; it is tried once.
// Errors: UNAUTHENTICATED, ROLE_REQUIRED, NOT_FOUND, RATE_LIMITED.
func (s *Service) SendTest(ctx context.Context, actor access.Actor, id ident.ID) (*Delivery, error) {
	var out *Delivery
	_, err := s.change(ctx, actor, id, func(ctx context.Context, tx *database.Tx, e *Endpoint) error {
		recent, err := testsSince(ctx, tx, e.ID, tx.Now.Add(-time.Hour))
		if err != nil {
			return err
		}
		if len(recent) == testsAnHour {
			return fault.Limited(recent[testsAnHour-1].Add(time.Hour).Sub(tx.Now))
		}
		ds, err := s.write(ctx, tx, &Event{ID: ident.New(ident.WebhookEvent), Type: Test, SubjectID: e.ID,
			Data: map[string]any{"id": string(e.ID), "kind": "WebhookEndpoint"}, OccurredAt: tx.Now}, []*Endpoint{e})
		if err != nil {
			return err
		}
		out = ds[0]
		return s.record(ctx, tx, actor, "webhook.tested", e)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Replay sends one delivery again that has arrived or failed, under the same
// message id. Errors: UNAUTHENTICATED, ROLE_REQUIRED, NOT_FOUND,
// WEBHOOK_NOT_ENABLED, WEBHOOK_NOT_REPLAYABLE while it waits or where it was
// withheld.
func (s *Service) Replay(ctx context.Context, actor access.Actor, id ident.ID) (*Delivery, error) {
	if err := s.allowed(actor); err != nil {
		return nil, err
	}
	var out *Delivery
	err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		seen, err := deliveriesByIDs(ctx, tx, actor.Scope(), []ident.ID{id})
		if err != nil {
			return err
		}
		if seen[id] == nil {
			return fault.NotFound("deliveryId")
		}
		e, err := lock(ctx, tx, reach(actor.Scope()), seen[id].EndpointID) // before its delivery, as everywhere
		if err != nil {
			return err
		}
		if out, err = lockDelivery(ctx, tx, id); err != nil {
			return err
		}
		switch {
		case e == nil || out == nil:
			return fault.NotFound("deliveryId")
		case out.State != Delivered && out.State != Failed:
			return fault.Conflict("deliveryId", CodeNotReplayable)
		case e.Status != Enabled && out.Type != Test:
			return fault.Conflict("deliveryId", CodeNotEnabled)
		}
		if err := again(ctx, tx, out); err != nil {
			return err
		}
		return audit.Record(ctx, tx, actor, audit.Act{Action: "webhook.replayed", TargetID: out.ID, TargetOrganizationID: e.OrganizationID})
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// again begins another run of a held delivery.
func again(ctx context.Context, tx *database.Tx, d *Delivery) error {
	d.again(tx.Now)
	if err := saveDelivery(ctx, tx, d); err != nil {
		return err
	}
	return put(ctx, tx, d)
}

// ReplayFailed sends all that failed since a moment again; an operation does
// it. Errors: UNAUTHENTICATED, ROLE_REQUIRED, WEBHOOK_REPLAY_RANGE, NOT_FOUND,
// WEBHOOK_NOT_ENABLED.
func (s *Service) ReplayFailed(ctx context.Context, actor access.Actor, in ReplayFailedInput) (*Endpoint, *outbox.Job, error) {
	if err := s.allowed(actor); err != nil {
		return nil, nil, err
	}
	if err := in.Validate(s.db.Now()); err != nil {
		return nil, nil, err
	}
	var job *outbox.Job
	e, err := s.change(ctx, actor, in.EndpointID, func(ctx context.Context, tx *database.Tx, e *Endpoint) (err error) {
		if e.Status != Enabled {
			return fault.Conflict("endpointId", CodeNotEnabled)
		}
		job, err = outbox.Put(ctx, tx, ReplayFailed{EndpointID: e.ID, Since: in.Since.UnixMicro(), Before: tx.Now.UnixMicro()},
			outbox.On(outbox.Low), outbox.By(actor), outbox.About(e.ID))
		if err != nil {
			return err
		}
		return s.record(ctx, tx, actor, "webhook.failed_replayed", e)
	})
	return e, job, err
}

// ListDeliveries is a page of the deliveries to the endpoints of the actor's
// organization, newest first.
func (s *Service) ListDeliveries(ctx context.Context, actor access.Actor, args page.Args, f DeliveryFilter) (*page.Connection[*Delivery], error) {
	if err := actor.Require(access.PermWebhookManage); err != nil {
		return nil, err
	}
	pq, err := args.Resolve(page.Order{Name: "CREATED_AT", Column: "webhook_delivery.created_at", Sort: page.SortTime, Direction: page.Desc}, f)
	if err != nil {
		return nil, err
	}
	return listDeliveries(ctx, s.db, actor.Scope(), pq, f)
}

// DeliveriesByIDs reads deliveries to the endpoints of the actor's
// organization; others are missing.
func (s *Service) DeliveriesByIDs(ctx context.Context, actor access.Actor, ids []ident.ID) (map[ident.ID]*Delivery, error) {
	if !actor.Can(access.PermWebhookManage) {
		return map[ident.ID]*Delivery{}, nil
	}
	return deliveriesByIDs(ctx, s.db.Read(), actor.Scope(), ids)
}

// Attempts reads the attempts of such deliveries, the oldest first.
func (s *Service) Attempts(ctx context.Context, actor access.Actor, deliveries []ident.ID) (map[ident.ID][]*Attempt, error) {
	if !actor.Can(access.PermWebhookManage) {
		return map[ident.ID][]*Attempt{}, nil
	}
	return attemptsOf(ctx, s.db.Read(), actor.Scope(), deliveries)
}
