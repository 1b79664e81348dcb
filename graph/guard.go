package graph

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/parser"

	"github.com/channelgraph/channelgraph/graph/model"
	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/page"
)

// limits bound one operation of a class of actors.
type limits struct {
	class                  string
	tokens, depth, aliases int
	queries, mutations     int // root fields
	cost                   int
}

var (
	anonymousLimits = limits{"anonymous", 300, 5, 5, 1, 1, 50}
	signedInLimits  = limits{"signed in", 1500, 12, 30, 10, 5, 1000}
	operatorLimits  = limits{"operator", 2500, 14, 50, 10, 5, 3000}
)

func limitsOf(a access.Actor) limits {
	switch {
	case a.IsAnonymous():
		return anonymousLimits
	case a.IsOperator():
		return operatorLimits
	}
	return signedInLimits
}

// rule says who may use a root field.
type rule struct {
	public     bool
	permission access.Permission
}

// guard checks operations before they run. It owns the parse cache and the
// rules of the root fields.
type guard struct {
	schema *ast.Schema
	rules  map[string]rule // by "Query.viewer"
	docs   documents
	// trusted are the documents of the manifest by their ids; with consoleOnly
	// sessions and strangers may send no others.
	trusted     map[string]string
	consoleOnly bool
}

// newGuard reads the schema's rules. It refuses a root field that says neither
// @access nor @public, and a type that implements Node without a loader and a
// policy in nodeTypes.
func newGuard(schema *ast.Schema, nodes map[string]nodeType) (*guard, error) {
	g := &guard{schema: schema, rules: map[string]rule{}}
	for _, root := range []*ast.Definition{schema.Query, schema.Mutation, schema.Subscription} {
		if root == nil {
			continue
		}
		for _, f := range root.Fields {
			if strings.HasPrefix(f.Name, "__") {
				continue
			}
			r, err := ruleOf(f)
			if err != nil {
				return nil, fmt.Errorf("%s.%s: %w", root.Name, f.Name, err)
			}
			g.rules[root.Name+"."+f.Name] = r
		}
	}
	known := map[string]nodeType{}
	for _, t := range nodes {
		known[t.name] = t
	}
	for _, d := range schema.PossibleTypes["Node"] {
		t, ok := known[d.Name]
		if !ok || t.find == nil || t.permission == "" {
			return nil, fmt.Errorf("type %s implements Node without a loader and a policy", d.Name)
		}
		delete(known, d.Name)
	}
	for name := range known {
		return nil, fmt.Errorf("the schema has no type %s that implements Node", name)
	}
	return g, nil
}

func ruleOf(f *ast.FieldDefinition) (rule, error) {
	needs, public := f.Directives.ForName("access"), f.Directives.ForName("public")
	switch {
	case (needs == nil) == (public == nil):
		return rule{}, fmt.Errorf("a root field says either @access(permission:) or @public")
	case public != nil:
		return rule{public: true}, nil
	}
	name := needs.Arguments.ForName("permission").Value.Raw
	p, ok := model.Permission(name)
	if !ok {
		return rule{}, fmt.Errorf("no permission is called %s", name)
	}
	return rule{permission: p}, nil
}

// refusal is why the actor may not use a root field, or nil.
func (g *guard) refusal(root, field string, a access.Actor) error {
	if field == "__typename" {
		return nil
	}
	if strings.HasPrefix(field, "__") { // introspection is for whoever is signed in
		return a.Require(access.PermViewerRead)
	}
	r, ok := g.rules[root+"."+field]
	if !ok {
		return fault.Forbidden(fault.CodeForbidden)
	}
	if r.public {
		return nil
	}
	return a.Require(r.permission)
}

// rejection is why a request is not run at all, with its HTTP status.
type rejection struct {
	status int
	errs   gqlerror.List
	// requested is the cost of the operation, 0 where it was not measured.
	requested int
	bill      *bill
	// after is how many seconds to wait, 0 where waiting does not help.
	after int
}

func reject(status int, e ...*gqlerror.Error) *rejection {
	return &rejection{status: status, errs: e}
}

func tooMuch(code, what string, limit int) *rejection {
	return reject(http.StatusUnprocessableEntity,
		topLevel(code, fmt.Sprintf("The operation exceeds the limit of %d %s.", limit, what), "limit", limit, "of", what))
}

// prepare parses, validates, coerces and measures one request of an actor.
func (g *guard) prepare(p params, a access.Actor) (*graphql.OperationContext, *rejection) {
	if bad := g.resolve(&p, a); bad != nil {
		return nil, bad
	}
	l := limitsOf(a)
	doc, bad := g.document(p.Query, l)
	if bad != nil {
		return nil, bad
	}
	op := doc.Operations.ForName(p.OperationName)
	if op == nil {
		return nil, reject(http.StatusUnprocessableEntity, topLevel(codeValidation, "The document holds no operation of that name, or several and no name was given."))
	}
	c := coercion{schema: g.schema, long: op.Operation == ast.Mutation}
	vars, err := c.variables(op, p.Variables)
	if err != nil {
		return nil, reject(http.StatusUnprocessableEntity, err)
	}
	oc := &graphql.OperationContext{
		RawQuery: p.Query, OperationName: p.OperationName, Doc: doc, Operation: op, Variables: vars,
		DisableIntrospection: a.IsAnonymous(),
		ResolverMiddleware:   func(ctx context.Context, next graphql.Resolver) (any, error) { return next(ctx) },
		RootResolverMiddleware: func(ctx context.Context, next graphql.RootResolver) graphql.Marshaler {
			return next(ctx)
		},
	}
	if bad := g.measure(oc, l, c); bad != nil {
		return nil, bad
	}
	return oc, nil
}

var (
	suggestion = regexp.MustCompile(`\s*Did you mean .*$`)
	value      = regexp.MustCompile(`(, found|, value|value:) .*$`)
)

// terse takes out of a validation message what would echo the request or
// teach the schema to strangers.
func terse(errs gqlerror.List, code string) gqlerror.List {
	if len(errs) > maxErrors {
		errs = errs[:maxErrors]
	}
	for _, e := range errs {
		e.Message = value.ReplaceAllString(suggestion.ReplaceAllString(e.Message, ""), "")
		e.Extensions = map[string]any{"code": code}
	}
	return errs
}

// document gives the parsed and validated text.
func (g *guard) document(text string, l limits) (*ast.QueryDocument, *rejection) {
	key := cacheKey{l.class, text}
	if doc := g.docs.get(key); doc != nil {
		return doc, nil
	}
	doc, bad := g.read(text, l)
	if bad == nil {
		g.docs.put(key, doc)
	}
	return doc, bad
}

// read parses and validates a text.
func (g *guard) read(text string, l limits) (*ast.QueryDocument, *rejection) {
	if bad := scan(text, l); bad != nil {
		return nil, bad
	}
	doc, err := parser.ParseQueryWithTokenLimit(&ast.Source{Input: text}, l.tokens)
	if err != nil {
		if strings.Contains(err.Error(), "exceeded token limit") {
			return nil, tooMuch(codeCost, "tokens", l.tokens)
		}
		e := &gqlerror.Error{Message: "The document cannot be read."}
		if ge, ok := err.(*gqlerror.Error); ok { //nolint:errorlint // the parser's own, never wrapped
			e.Locations = ge.Locations
		}
		return nil, reject(http.StatusBadRequest, terse(gqlerror.List{e}, codeParse)...)
	}
	if len(doc.Operations) == 0 {
		return nil, reject(http.StatusBadRequest, topLevel(codeParse, "The document holds no operation."))
	}
	if bad := outlined(doc, l); bad != nil {
		return nil, bad
	}
	if errs := validate(g.schema, doc); len(errs) > 0 {
		return nil, reject(http.StatusUnprocessableEntity, terse(errs, codeValidation)...)
	}
	return doc, nil
}

// size is what a selection asks for. Cost counts each composite field once;
// rows is the part of the cost that a connection's page multiplies.
type size struct{ depth, aliases, cost, rows int }

const enough = 1 << 30 // beyond every limit; sums stop here

func plus(a, b int) int { return min(a+b, enough) }

func times(a, n int) int {
	if n > 0 && a > enough/n {
		return enough
	}
	return a * n
}

// Cost of what is no plain composite field.
const (
	mutationCost = 10 // a transaction
	countCost    = 5  // counting a list, up to 1,000 rows
	listSize     = 10 // an unpaged list is taken to hold so many
	// introspectionAlias is what an alias in introspection counts, since its
	// answers are long
	introspectionAlias = 5
)

type measuring struct {
	oc        *graphql.OperationContext
	fragments map[*ast.FragmentDefinition]size
	values    coercion
	err       *gqlerror.Error
}

// measure refuses operations beyond the limits, walking each fragment once.
func (g *guard) measure(oc *graphql.OperationContext, l limits, c coercion) *rejection {
	m := &measuring{oc: oc, fragments: map[*ast.FragmentDefinition]size{}, values: c}
	s := m.selection(oc.Operation.SelectionSet)
	roots := len(graphql.CollectFields(oc, oc.Operation.SelectionSet, nil))
	most := l.queries
	if oc.Operation.Operation == ast.Mutation {
		most = l.mutations
		s.cost = plus(s.cost, times(mutationCost, roots))
	}
	switch {
	case m.err != nil:
		return reject(http.StatusUnprocessableEntity, m.err)
	case s.depth > l.depth:
		return tooMuch(codeDepth, "levels", l.depth)
	case s.aliases > l.aliases:
		return tooMuch(codeCost, "aliases", l.aliases)
	case roots > most:
		return tooMuch(codeCost, "root fields", most)
	case s.cost > l.cost:
		bad := tooMuch(codeCost, "cost points", l.cost)
		bad.requested = s.cost
		return bad
	}
	oc.Stats.SetExtension(costKey, s.cost)
	return nil
}

func (m *measuring) selection(set ast.SelectionSet) (out size) {
	for _, sel := range set {
		var s size
		switch sel := sel.(type) {
		case *ast.Field:
			s = m.field(sel)
		case *ast.InlineFragment:
			s = m.selection(sel.SelectionSet)
		case *ast.FragmentSpread:
			known, ok := m.fragments[sel.Definition]
			if !ok {
				known = m.selection(sel.Definition.SelectionSet)
				m.fragments[sel.Definition] = known
			}
			s = known
		}
		out = size{max(out.depth, s.depth), plus(out.aliases, s.aliases), plus(out.cost, s.cost), plus(out.rows, s.rows)}
	}
	return out
}

func (m *measuring) field(f *ast.Field) size {
	for _, a := range f.Arguments {
		if err := m.values.literal(a.Value); err != nil && m.err == nil {
			m.err = err
		}
	}
	var s size
	if f.Alias != f.Name {
		s.aliases = 1
	}
	in := m.selection(f.SelectionSet)
	if f.Name == "__schema" || f.Name == "__type" {
		// a rule of validation bounds its depth; what is left are copies of it
		return size{depth: 1, cost: 1, aliases: times(plus(s.aliases, in.aliases), introspectionAlias)}
	}
	s.depth, s.aliases = in.depth+1, plus(s.aliases, in.aliases)
	if len(f.SelectionSet) == 0 {
		return s
	}
	s.cost = plus(1, plus(in.cost, times(in.rows, m.page(f))))
	connection := f.ObjectDefinition != nil && strings.HasSuffix(f.ObjectDefinition.Name, "Connection")
	switch {
	case connection && f.Name == "totalCount":
		s.cost = countCost
	case connection && (f.Name == "edges" || f.Name == "nodes"):
		s.cost, s.rows = 0, in.cost
	case f.Name == "node" && f.ObjectDefinition != nil && strings.HasSuffix(f.ObjectDefinition.Name, "Edge"):
		// one point a row, as for `nodes`
	case f.Definition != nil && f.Definition.Type.Elem != nil:
		s.cost = plus(1, times(in.cost, m.length(f)))
	}
	if connection && f.Name == "nodes" {
		s.rows = plus(1, s.rows)
	}
	return s
}

// page is how many rows a connection's page may hold.
func (m *measuring) page(f *ast.Field) int {
	if f.Definition == nil || f.Definition.Arguments.ForName("first") == nil {
		return 1
	}
	n := page.DefaultSize
	for _, name := range []string{"first", "last"} {
		if a := f.Arguments.ForName(name); a != nil {
			if v, err := a.Value.Value(m.oc.Variables); err == nil {
				if i, ok := v.(int64); ok {
					n = int(min(max(i, 1), page.MaxSize)) // the list itself refuses others
				}
			}
		}
	}
	return n
}

// length is how many things an unpaged list is taken to hold.
func (m *measuring) length(f *ast.Field) int {
	if a := f.Arguments.ForName("ids"); a != nil {
		if v, err := a.Value.Value(m.oc.Variables); err == nil {
			if ids, ok := v.([]any); ok {
				return max(len(ids), 1)
			}
		}
	}
	return listSize
}
