package graph

import (
	"context"
	"encoding/json"
	"slices"
	"sync"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/database"
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
// for, so that the same arguments at many customers are one key.
type listing struct {
	hasFirst, hasLast bool
	first, last       int
	// shown is what is asked of them, cursors which of the pages' cursors.
	shown   database.Shown
	cursors page.Cursors
	// narrowed is the filter and the ordering as JSON, "" for neither.
	narrowed string
}

type narrowing struct {
	Order  *subscription.Order
	Filter *subscription.Filter
}

func listingOf(oc *graphql.OperationContext, list graphql.CollectedField, first, last *int, o *subscription.Order, f *subscription.Filter) (listing, error) {
	l := listing{shown: shownOf(oc, list), cursors: cursorsIn(oc, graphql.CollectFields(oc, list.Selections, nil)), hasFirst: first != nil, hasLast: last != nil, first: orZero(first), last: orZero(last)}
	if o == nil && f == nil {
		return l, nil
	}
	raw, err := json.Marshal(narrowing{o, f})
	l.narrowed = string(raw)
	return l, err
}

func (l listing) of(d *Deps, a access.Actor) *loader[*page.Connection[*subscription.Subscription]] {
	return newLoader(func(ctx context.Context, ids []ident.ID) (map[ident.ID]*page.Connection[*subscription.Subscription], error) {
		var x narrowing
		if l.narrowed != "" {
			if err := json.Unmarshal([]byte(l.narrowed), &x); err != nil {
				return nil, err
			}
		}
		args := page.Args{Cursors: l.cursors}
		if l.hasFirst {
			args.First = &l.first
		}
		if l.hasLast {
			args.Last = &l.last
		}
		return d.Subscriptions.OfCustomers(ctx, a, ids, args, x.Order, orZero(x.Filter), l.shown)
	})
}

// subscriptionsOf is a page of a customer's subscriptions: the first one of
// many customers at once, a later one by itself.
func subscriptionsOf(ctx context.Context, r *Resolver, customer ident.ID, args page.Args, o *subscription.Order, f *subscription.Filter) (*page.Connection[*subscription.Subscription], error) {
	if args.After != nil || args.Before != nil {
		of := orZero(f)
		of.CustomerID = &customer
		return r.Subscriptions.List(ctx, actor(ctx), args, o, of)
	}
	if f != nil {
		all := *f
		all.CustomerID = nil
		f = &all
	}
	l, err := listingOf(graphql.GetOperationContext(ctx), graphql.GetFieldContext(ctx).Field, args.First, args.Last, o, f)
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
	for _, rows := range rowsIn(oc, graphql.CollectFieldsCtx(ctx, nil)) {
		for _, f := range graphql.CollectFields(oc, rows, []string{"Customer", "Node"}) {
			if f.Name != field {
				continue
			}
			if l, ok := sizeOf(oc, f); ok && !slices.Contains(out, l) {
				out = append(out, l)
			}
		}
	}
	return out
}

// rowsIn are what is selected of the rows of a connection.
func rowsIn(oc *graphql.OperationContext, of []graphql.CollectedField) (out []ast.SelectionSet) {
	for _, list := range of {
		switch list.Name {
		case "nodes":
			out = append(out, list.Selections)
		case "edges":
			for _, e := range graphql.CollectFields(oc, list.Selections, nil) {
				if e.Name == "node" {
					out = append(out, e.Selections)
				}
			}
		}
	}
	return out
}

// shownOf is what a list of subscriptions is asked to show of each.
func shownOf(oc *graphql.OperationContext, list graphql.CollectedField) database.Shown {
	return subscription.Showing(askedIn(oc, graphql.CollectFields(oc, list.Selections, nil), "ProductSubscription"))
}

// asked are the fields that are asked of the rows of the list that is being
// resolved.
func asked(ctx context.Context, row string) []string {
	return askedIn(graphql.GetOperationContext(ctx), graphql.CollectFieldsCtx(ctx, nil), row)
}

func askedIn(oc *graphql.OperationContext, list []graphql.CollectedField, row string) (fields []string) {
	for _, rows := range rowsIn(oc, list) {
		for _, f := range graphql.CollectFields(oc, rows, []string{row, "Node"}) {
			fields = append(fields, f.Name)
		}
	}
	return fields
}

// cursorsIn are the cursors that are asked for in the fields of a connection.
func cursorsIn(oc *graphql.OperationContext, connection []graphql.CollectedField) page.Cursors {
	out := page.NoCursors
	for _, f := range connection {
		for _, x := range graphql.CollectFields(oc, f.Selections, nil) {
			switch {
			case f.Name == "edges" && x.Name == "cursor":
				return page.AllCursors
			case x.Name == "startCursor", x.Name == "endCursor":
				out = page.EndCursors
			}
		}
	}
	return out
}

// sizeOf is a listing that is asked for with nothing but its size.
func sizeOf(oc *graphql.OperationContext, f graphql.CollectedField) (listing, bool) {
	var first, last *int
	for name, v := range f.ArgumentMap(oc.Variables) {
		n, ok := intOf(v)
		switch {
		case v == nil:
		case name == "first" && ok:
			first = &n
		case name == "last" && ok:
			last = &n
		default:
			return listing{}, false
		}
	}
	l, err := listingOf(oc, f, first, last, nil, nil)
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
