package graph

import (
	"context"
	"encoding/json"
	"sync"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/page"
	"github.com/channelgraph/channelgraph/internal/subscription"
)

// keyed are the loaders of a field with arguments: one for each set of them,
// so that all parents that ask for the same are answered together.
type keyed[K comparable, V any] struct {
	mu   sync.Mutex
	made map[K]*loader[V]
	make func(K) *loader[V]
}

func newKeyed[K comparable, V any](fn func(K) *loader[V]) *keyed[K, V] {
	return &keyed[K, V]{made: map[K]*loader[V]{}, make: fn}
}

// of gives the loader for some arguments.
func (k *keyed[K, V]) of(key K) *loader[V] {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.made[key] == nil {
		k.made[key] = k.make(key)
	}
	return k.made[key]
}

// listing is how the first pages of the subscriptions of customers are asked
// for, as JSON, so that the same arguments at many customers are one key.
type listing string

type listed struct {
	Args   page.Args
	Order  *subscription.Order
	Filter subscription.Filter
}

func listingOf(args page.Args, o *subscription.Order, f subscription.Filter) (listing, error) {
	raw, err := json.Marshal(listed{args, o, f})
	return listing(raw), err
}

func (l listing) of(d *Deps, a access.Actor) *loader[*page.Connection[*subscription.Subscription]] {
	return newLoader(func(ctx context.Context, ids []ident.ID) (map[ident.ID]*page.Connection[*subscription.Subscription], error) {
		var x listed
		if err := json.Unmarshal([]byte(l), &x); err != nil {
			return nil, err
		}
		return d.Subscriptions.OfCustomers(ctx, a, ids, x.Args, x.Order, x.Filter)
	})
}

// subscriptionsOf is a page of a customer's subscriptions: the first one of
// many customers at once, a later one by itself.
func subscriptionsOf(ctx context.Context, r *Resolver, customer ident.ID, args page.Args, o *subscription.Order, f subscription.Filter) (*page.Connection[*subscription.Subscription], error) {
	if args.After != nil || args.Before != nil {
		f.CustomerID = &customer
		return r.Subscriptions.List(ctx, actor(ctx), args, o, f)
	}
	f.CustomerID = nil
	l, err := listingOf(args, o, f)
	if err != nil {
		return nil, err
	}
	return load(ctx).subscriptionsOf.of(l).one(ctx, customer)
}
