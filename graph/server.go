package graph

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/channelgraph/channelgraph/graph/gen"
	"github.com/channelgraph/channelgraph/internal/access"
)

// deadline bounds one operation.
const deadline = 10 * time.Second

// errorCodes are the codes that each mutation's error type may give.
var errorCodes = readErrorCodes(gen.NewExecutableSchema(gen.Config{}).Schema())

// server is the API as an HTTP handler.
type server struct {
	deps    Deps
	schema  graphql.ExecutableSchema
	guard   *guard
	log     *slog.Logger
	present graphql.ErrorPresenterFunc
	recover graphql.RecoverFunc
	budget  *budget
	// deadline is a field so that tests need not wait for it.
	deadline time.Duration
	live     *live
}

// Handler is the API over HTTP.
type Handler interface {
	http.Handler
	// Drain ends all live streams and refuses none of the other requests: a
	// stream would hold a server that shuts down for a quarter of an hour.
	Drain()
}

// New makes the handler of the API. The door that authenticates mounts it and
// hands the actor on by access.WithActor. It refuses a schema whose root
// fields or nodes do not say who may see them.
func New(d Deps) (Handler, error) {
	if d.Log == nil {
		d.Log = slog.Default()
	}
	s := &server{deps: d, log: d.Log, present: present(d.Log), recover: recovered(d.Log), deadline: deadline}
	s.schema = gen.NewExecutableSchema(gen.Config{Resolvers: &Resolver{d}})
	var err error
	if s.deps.observer, err = newObserver(d.Registerer, s.schema.Schema()); err != nil {
		return nil, err
	}
	if s.live, err = newLive(d); err != nil {
		return nil, fmt.Errorf("the live streams: %w", err)
	}
	if s.guard, err = newGuard(s.schema.Schema(), nodeTypes); err != nil {
		return nil, fmt.Errorf("the schema is not guarded: %w", err)
	}
	s.guard.consoleOnly = d.ConsoleOnly
	if err := s.guard.trust(manifestJSON); err != nil {
		return nil, fmt.Errorf("the trusted documents: %w", err)
	}
	s.deps.observer.know(s.guard.docs.pins)
	if err := checkBudget(); err != nil {
		return nil, err
	}
	s.budget = &budget{fleet: d.Spend, own: newPurses(d.DB.Now)}
	return s, nil
}

// run executes a prepared operation.
func (s *server) run(ctx context.Context, oc *graphql.OperationContext, a access.Actor) (res *graphql.Response) {
	ctx, end := s.deps.observer.begin(ctx, oc, a)
	defer func() { end(res) }()
	ctx, cancel := context.WithTimeout(ctx, s.deadline)
	defer cancel()
	oc.RecoverFunc = s.recover
	ctx = withOperation(ctx, &s.deps, a)
	ctx = graphql.WithOperationContext(ctx, oc)
	ctx = graphql.WithResponseContext(ctx, s.present, s.recover)
	if denied := s.refusals(oc, a); len(denied) > 0 {
		if oc.Operation.Operation == ast.Mutation { // all of it or nothing
			res = s.denied(ctx, oc, denied)
			itemize(oc, res)
			return res
		}
		oc.ResolverMiddleware = deny(denied)
	}
	if oc.Operation.Operation == ast.Mutation {
		op := running(ctx)
		oc.RootResolverMiddleware = func(ctx context.Context, next graphql.RootResolver) graphql.Marshaler {
			defer op.forget()
			return next(ctx)
		}
	}
	res = s.schema.Exec(ctx)(ctx)
	if res == nil {
		res = &graphql.Response{Data: json.RawMessage("null")}
	}
	res.Errors = append(res.Errors, graphql.GetErrors(ctx)...)
	itemize(oc, res)
	return res
}

// refusals are the root fields that the actor may not use, by name.
func (s *server) refusals(oc *graphql.OperationContext, a access.Actor) map[string]error {
	var out map[string]error
	root := rootName(oc.Operation)
	for _, f := range graphql.CollectFields(oc, oc.Operation.SelectionSet, []string{root}) {
		if err := s.guard.refusal(root, f.Name, a); err != nil {
			if out == nil {
				out = map[string]error{}
			}
			out[f.Name] = err
		}
	}
	return out
}

func rootName(op *ast.OperationDefinition) string {
	switch op.Operation {
	case ast.Mutation:
		return "Mutation"
	case ast.Subscription:
		return "Subscription"
	}
	return "Query"
}

// deny answers the refused root fields of a query with why. It stands before
// every field, so it is put there only where something is refused.
func deny(refused map[string]error) graphql.FieldMiddleware {
	return func(ctx context.Context, next graphql.Resolver) (any, error) {
		if fc := graphql.GetFieldContext(ctx); fc.Object == "Query" {
			if err := refused[fc.Field.Name]; err != nil {
				return nil, err
			}
		}
		return next(ctx)
	}
}

// denied answers a mutation of which nothing was run.
func (s *server) denied(ctx context.Context, oc *graphql.OperationContext, refused map[string]error) *graphql.Response {
	res := &graphql.Response{Data: json.RawMessage("null")}
	for _, f := range graphql.CollectFields(oc, oc.Operation.SelectionSet, []string{"Mutation"}) {
		if err := refused[f.Name]; err != nil {
			res.Errors = append(res.Errors, s.present(ctx, gqlerror.WrapPath(ast.Path{ast.PathName(f.Alias)}, err)))
		}
	}
	return res
}
