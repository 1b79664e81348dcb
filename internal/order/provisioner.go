package order

import (
	"context"

	"github.com/channelgraph/channelgraph/internal/catalog"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
)

// Request is what a provisioner is asked to bring to life.
type Request struct {
	// ID names the attempt to provision a line. The same one may be asked for
	// again, after a crash or a failure that passes, and must not be delivered
	// twice.
	ID             string
	OrderID        ident.ID
	OrderLineID    ident.ID
	SubscriptionID ident.ID
	CustomerID     ident.ID
	SKU            string
	Quantity       int
	Term           catalog.Term
	BillingCycle   catalog.Cycle
}

// Provisioner delivers what a line bought, at whoever runs it. A nil answer
// means that it is there. fault.GiveUp with a code means that it will not be,
// until a person asks again; any other error is tried again by itself.
type Provisioner interface {
	Provision(ctx context.Context, r Request) error
}

// AtOnce is the built-in provisioner: what is bought is there.
type AtOnce struct{}

// Provision does nothing, successfully.
func (AtOnce) Provision(context.Context, Request) error { return nil }

// Rehearsal is a provisioner for development and tests, which refuses some
// offers, so that what happens then can be seen.
type Rehearsal struct {
	// Refuse holds the code of the refusal by SKU.
	Refuse map[string]string
}

// Provision refuses what it was told to refuse and lets the rest be there.
func (p Rehearsal) Provision(_ context.Context, r Request) error {
	if code := p.Refuse[r.SKU]; code != "" {
		return fault.GiveUp(code, nil)
	}
	return nil
}
