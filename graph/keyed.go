package graph

import (
	"context"
	"encoding/json"
	"slices"
	"sync"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"

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

// listingsIn are the ways in which the rows of a page are asked for their
// subscriptions, as far as they can be seen ahead: with a size alone. Others
// are looked up where the field asks.
func listingsIn(ctx context.Context, field string) (out []listing) {
	oc := graphql.GetOperationContext(ctx)
	of := func(rows ast.SelectionSet) {
		for _, f := range graphql.CollectFields(oc, rows, []string{"Customer", "Node"}) {
			if l, ok := sizeOf(oc, f); f.Name == field && ok && !slices.Contains(out, l) {
				out = append(out, l)
			}
		}
	}
	for _, list := range graphql.CollectFieldsCtx(ctx, nil) {
		switch list.Name {
		case "nodes":
			of(list.Selections)
		case "edges":
			for _, e := range graphql.CollectFields(oc, list.Selections, nil) {
				if e.Name == "node" {
					of(e.Selections)
				}
			}
		}
	}
	return out
}

// sizeOf is a listing that is asked for with nothing but its size.
func sizeOf(oc *graphql.OperationContext, f graphql.CollectedField) (listing, bool) {
	var args page.Args
	for name, v := range f.ArgumentMap(oc.Variables) {
		n, ok := intOf(v)
		switch {
		case v == nil:
		case name == "first" && ok:
			args.First = &n
		case name == "last" && ok:
			args.Last = &n
		default:
			return "", false
		}
	}
	l, err := listingOf(args, nil, subscription.Filter{})
	return l, err == nil
}

func intOf(v any) (int, bool) {
	switch n := v.(type) {
	case int:
		return n, true
	case int64:
		return int(n), true
	case json.Number:
		i, err := n.Int64()
		return int(i), err == nil
	}
	return 0, false
}
