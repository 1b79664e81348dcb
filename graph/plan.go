package graph

import (
	"bytes"
	"context"
	"io"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/channelgraph/channelgraph/graph/gen"
	"github.com/channelgraph/channelgraph/internal/customer"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/page"
	"github.com/channelgraph/channelgraph/internal/partner"
	"github.com/channelgraph/channelgraph/internal/subscription"
)

// A planner writes a list whole where all that is asked of its rows is plain
// fields, partners and first pages of subscriptions: what belongs to the rows
// is read with the list, in one statement for each kind of thing, and written
// without an executor's work for each field (performance.md rule 8). Where
// anything else is asked it stands back and the generated executor does the
// list, with the same answer byte for byte. Whether the list may be read at
// all was decided before, at the root field; what belongs to its rows is read
// by the same scoped look-ups as ever.
type planner struct {
	oc    *graphql.OperationContext
	plain gen.Plain
	load  *loaders
	of    []relation[*customer.Customer]
	sold  []relation[*subscription.Subscription]
	*belonging
	// fields are what is asked of partners.
	fields []string
	// usedOf and usedSold are the relations that are asked for.
	usedOf   []relation[*customer.Customer]
	usedSold []relation[*subscription.Subscription]
}

// belonging is what belongs to the rows of a list: pages of subscriptions, by
// how they are asked for and by customer, partners, and cards of partners.
// What the actor does not see is missing.
type belonging struct {
	pages    map[listing]map[ident.ID]*page.Connection[*subscription.Subscription]
	partners map[ident.ID]*partner.Partner
	cards    map[ident.ID]*partner.Card
}

// writes puts down one value; false where the executor must.
type writes[T any] func(ctx context.Context, b *bytes.Buffer, x T) bool

// object writes the fields of an object in the order asked for.
type object[T any] struct {
	keys  []string
	write []writes[T]
}

func newPlanner(ctx context.Context, oc *graphql.OperationContext, plain gen.Plain, of *belonging) *planner {
	return &planner{oc: oc, plain: plain, load: load(ctx), of: ofCustomer(ctx), sold: ofSubscription(ctx), belonging: of}
}

// planCustomers reads what belongs to a page of customers where plans can write
// it, and reports whether they will.
func planCustomers(ctx context.Context, rows []*customer.Customer) (bool, error) {
	oc, l := graphql.GetOperationContext(ctx), load(ctx)
	if !l.plans.allowed() {
		return false, nil
	}
	p := newPlanner(ctx, oc, gen.Plain{}, &belonging{pages: map[listing]map[ident.ID]*page.Connection[*subscription.Subscription]{},
		partners: map[ident.ID]*partner.Partner{}, cards: map[ident.ID]*partner.Card{}})
	for _, sel := range rowsIn(oc, graphql.CollectFieldsCtx(ctx, nil)) {
		if p.customer(sel) == nil {
			return false, nil
		}
	}
	if err := p.read(ctx, rows); err != nil {
		return false, err
	}
	l.planned.Store(rows[0], p.belonging)
	return true, nil
}

// The generated code asks the resolver for it.
var _ gen.Planner = (*Resolver)(nil)

// PlanCustomers writes the nodes of a list of customers, if that was planned.
func (r *Resolver) PlanCustomers(ctx context.Context, oc *graphql.OperationContext, sel ast.SelectionSet, rows []*customer.Customer, plain gen.Plain) graphql.Marshaler {
	if len(rows) == 0 {
		return nil
	}
	return written(ctx, oc, plain, rows[0], rows, func(p *planner) *object[*customer.Customer] { return p.customer(sel) })
}

// PlanCustomerEdges writes the edges of a list of customers, if that was
// planned.
func (r *Resolver) PlanCustomerEdges(ctx context.Context, oc *graphql.OperationContext, sel ast.SelectionSet, rows []*page.Edge[*customer.Customer], plain gen.Plain) graphql.Marshaler {
	if len(rows) == 0 {
		return nil
	}
	return written(ctx, oc, plain, rows[0].Node, rows, func(p *planner) *object[*page.Edge[*customer.Customer]] {
		return edges(p, sel, "CustomerEdge", p.customer)
	})
}

// written is a planned list; nil where it was not planned. first is the row by
// which it is known.
func written[T any](ctx context.Context, oc *graphql.OperationContext, plain gen.Plain, first any, rows []T, by func(*planner) *object[T]) graphql.Marshaler {
	found, ok := load(ctx).planned.Load(first)
	if !ok {
		return nil
	}
	o := by(newPlanner(ctx, oc, plain, found.(*belonging)))
	var b bytes.Buffer
	b.Grow(800 * len(rows))
	if o == nil || !array(ctx, &b, o, rows) {
		return nil
	}
	load(ctx).plans.count()
	return graphql.WriterFunc(func(w io.Writer) { _, _ = w.Write(b.Bytes()) })
}

// planning is for tests that compare: it counts the lists that plans wrote, or
// leaves all of them to the executor. There is none in a server.
type planning struct {
	off   bool
	lists atomic.Int64
}

func (p *planning) allowed() bool { return p == nil || !p.off }

func (p *planning) count() {
	if p != nil {
		p.lists.Add(1)
	}
}

// read looks up what belongs to the customers.
func (p *planner) read(ctx context.Context, rows []*customer.Customer) error {
	ids := make([]ident.ID, len(rows))
	for i, c := range rows {
		ids[i] = c.ID
	}
	partners, cards := map[ident.ID]bool{}, map[ident.ID]bool{}
	for l, pages := range p.pages {
		if err := look(ctx, p.load.subscriptionsOf.of(l), ids, pages); err != nil {
			return err
		}
		for _, c := range pages {
			for _, e := range c.Edges {
				ask(p, p.usedSold, e.Node, partners, cards)
			}
		}
	}
	for _, c := range rows {
		ask(p, p.usedOf, c, partners, cards)
	}
	if err := look(ctx, p.load.partnersShown.of(partner.Showing(p.fields)), slices.Sorted(maps.Keys(partners)), p.partners); err != nil {
		return err
	}
	return look(ctx, p.load.cards, slices.Sorted(maps.Keys(cards)), p.cards)
}

// ask notes whom a row's relations name.
func ask[T any](p *planner, rs []relation[T], x T, partners, cards map[ident.ID]bool) {
	for _, r := range rs {
		if id := r.key(x); id == "" {
			continue
		} else if r.by == aheader(p.load.partners) {
			partners[id] = true
		} else {
			cards[id] = true
		}
	}
}

// look reads values into a map, in as few statements as a loader.
func look[V any](ctx context.Context, l *loader[V], ids []ident.ID, into map[ident.ID]V) error {
	for part := range slices.Chunk(ids, loaderCapacity) {
		found, err := l.fetch(ctx, part)
		if err != nil {
			return err
		}
		maps.Copy(into, found)
	}
	return nil
}

func (p *planner) customer(sel ast.SelectionSet) *object[*customer.Customer] {
	return layout(p, sel, "Customer", true, p.plain.Customer, func(f graphql.CollectedField) writes[*customer.Customer] {
		if f.Name == "subscriptions" {
			return p.subscriptions(f)
		}
		return partnerOf(p, f, p.of, &p.usedOf)
	})
}

// subscriptions writes the first page of a customer's subscriptions.
func (p *planner) subscriptions(f graphql.CollectedField) writes[*customer.Customer] {
	l, ok := sizeOf(p.oc, f)
	if !ok {
		return nil
	}
	type connection = *page.Connection[*subscription.Subscription]
	o := layout(p, f.Selections, "ProductSubscriptionConnection", false, nil, func(f graphql.CollectedField) writes[connection] {
		switch f.Name {
		case "nodes":
			if o := p.subscription(f.Selections); o != nil {
				return func(ctx context.Context, b *bytes.Buffer, c connection) bool { return array(ctx, b, o, c.Nodes()) }
			}
		case "edges":
			if o := edges(p, f.Selections, "ProductSubscriptionEdge", p.subscription); o != nil {
				return func(ctx context.Context, b *bytes.Buffer, c connection) bool { return array(ctx, b, o, c.Edges) }
			}
		case "pageInfo":
			if o := layout(p, f.Selections, "PageInfo", false, p.plain.PageInfo, nil); o != nil {
				return func(ctx context.Context, b *bytes.Buffer, c connection) bool { return o.one(ctx, b, c.PageInfo) }
			}
		}
		return nil
	})
	if o == nil {
		return nil
	}
	pages := p.pages[l]
	if pages == nil {
		pages = map[ident.ID]connection{}
		p.pages[l] = pages
	}
	return func(ctx context.Context, b *bytes.Buffer, x *customer.Customer) bool {
		c := pages[x.ID]
		return c != nil && o.one(ctx, b, c)
	}
}

func (p *planner) subscription(sel ast.SelectionSet) *object[*subscription.Subscription] {
	return layout(p, sel, "ProductSubscription", true, p.plain.ProductSubscription, func(f graphql.CollectedField) writes[*subscription.Subscription] {
		return partnerOf(p, f, p.sold, &p.usedSold)
	})
}

// partnerOf writes a partner that a row names, or its name.
func partnerOf[T any](p *planner, f graphql.CollectedField, rs []relation[T], used *[]relation[T]) writes[T] {
	i := slices.IndexFunc(rs, func(r relation[T]) bool { return r.field == f.Name })
	if i < 0 {
		return nil
	}
	r, required := rs[i], f.Definition.Type.NonNull
	switch r.by {
	case aheader(p.load.partners):
		o := layout(p, f.Selections, "Partner", true, p.plain.Partner, nil)
		if o == nil {
			return nil
		}
		for _, f := range graphql.CollectFields(p.oc, f.Selections, []string{"Partner", "Node"}) {
			p.fields = append(p.fields, f.Name)
		}
		*used = append(*used, r)
		return func(ctx context.Context, b *bytes.Buffer, x T) bool {
			if found := p.partners[r.key(x)]; found != nil {
				return o.one(ctx, b, found)
			}
			b.WriteString("null")
			return !required
		}
	case aheader(p.load.cards):
		*used = append(*used, r)
		return func(_ context.Context, b *bytes.Buffer, x T) bool {
			name := legalName(p.cards[r.key(x)])
			if name == nil && !required {
				b.WriteString("null")
				return true
			}
			graphql.MarshalString(orZero(name)).MarshalGQL(b)
			return true
		}
	}
	return nil
}

// edges writes edges whose nodes are written by a plan.
func edges[T any](p *planner, sel ast.SelectionSet, name string, node func(ast.SelectionSet) *object[T]) *object[*page.Edge[T]] {
	return layout(p, sel, name, false, nil, func(f graphql.CollectedField) writes[*page.Edge[T]] {
		switch f.Name {
		case "cursor":
			return func(_ context.Context, b *bytes.Buffer, e *page.Edge[T]) bool {
				graphql.MarshalString(e.Cursor).MarshalGQL(b)
				return true
			}
		case "node":
			if o := node(f.Selections); o != nil {
				return func(ctx context.Context, b *bytes.Buffer, e *page.Edge[T]) bool { return o.one(ctx, b, e.Node) }
			}
		}
		return nil
	})
}

// layout is how an object of a type is written; nil where a field of it is
// deferred, or neither plain nor known to other.
func layout[T any](p *planner, sel ast.SelectionSet, name string, node bool, plain func(string) func(context.Context, graphql.CollectedField, T) graphql.Marshaler,
	other func(graphql.CollectedField) writes[T]) *object[T] {
	types := []string{name}
	if node {
		types = append(types, "Node")
	}
	o := &object[T]{}
	for _, f := range graphql.CollectFields(p.oc, sel, types) {
		w := typename[T](name)
		if f.Name != "__typename" {
			w = nil
			if plain != nil {
				w = asExecuted(f, plain(f.Name))
			}
			if w == nil && other != nil {
				w = other(f)
			}
		}
		if w == nil || f.IsDeferred() {
			return nil
		}
		o.keys, o.write = append(o.keys, `"`+f.Alias+`":`), append(o.write, w)
	}
	return o
}

func typename[T any](name string) writes[T] {
	return func(_ context.Context, b *bytes.Buffer, _ T) bool {
		b.WriteString(`"` + name + `"`)
		return true
	}
}

// asExecuted writes a field as the executor does.
func asExecuted[T any](f graphql.CollectedField, field func(context.Context, graphql.CollectedField, T) graphql.Marshaler) writes[T] {
	if field == nil {
		return nil
	}
	required := f.Definition.Type.NonNull
	return func(ctx context.Context, b *bytes.Buffer, x T) bool {
		m := field(ctx, f, x)
		if required && (m == graphql.Null || m == graphql.RequiredNull) {
			return false
		}
		m.MarshalGQL(b)
		return true
	}
}

func (o *object[T]) one(ctx context.Context, b *bytes.Buffer, x T) bool {
	b.WriteByte('{')
	for i, w := range o.write {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(o.keys[i])
		if !w(ctx, b, x) {
			return false
		}
	}
	b.WriteByte('}')
	return true
}

func array[T any](ctx context.Context, b *bytes.Buffer, o *object[T], rows []T) bool {
	b.WriteByte('[')
	for i, x := range rows {
		if i > 0 {
			b.WriteByte(',')
		}
		if !o.one(ctx, b, x) {
			return false
		}
	}
	b.WriteByte(']')
	return true
}
