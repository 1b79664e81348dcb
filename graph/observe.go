package graph

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/channelgraph/channelgraph/internal/access"
)

// costKey is where the guard leaves an operation's cost.
const costKey = "cost"

// Names of operations in metrics: clients choose theirs freely, so only so
// many are told apart, of documents that run and of callers who are known.
const (
	namedOperations = 200
	nameUnnamed     = "unnamed"
	nameOther       = "other"
	nameRefused     = "refused" // requests that were not run
)

// observer measures operations: metrics always, a span where the request is
// traced. It works for each operation, never for a field.
type observer struct {
	duration   *prometheus.HistogramVec
	cost       *prometheus.HistogramVec
	errors     *prometheus.CounterVec
	userErrors *prometheus.CounterVec
	deprecated *prometheus.CounterVec

	// ageing says that the schema has deprecated fields to look for.
	ageing bool
	known  map[string]struct{} // names in trusted documents
	mu     sync.Mutex
	names  map[string]struct{} // names that clients have used, the first ones
}

func newObserver(reg prometheus.Registerer, schema *ast.Schema) (*observer, error) {
	o := &observer{
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "channelgraph_graphql_operation_duration_seconds",
			Help:    "Time to run GraphQL operations, by name and type; names beyond those of trusted documents and the first 200 are other.",
			Buckets: []float64{.005, .02, .05, .1, .25, 1, 2.5, 10}}, []string{"operation", "type"}),
		cost: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "channelgraph_graphql_operation_cost",
			Help: "Cost points of GraphQL operations that ran, by type.", Buckets: []float64{1, 5, 10, 25, 50, 100, 250, 500, 1000, 3000}}, []string{"type"}),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "channelgraph_graphql_errors_total",
			Help: "Top-level errors of GraphQL answers, by operation and extensions.code; requests that were not run count as refused."}, []string{"operation", "code"}),
		userErrors: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "channelgraph_graphql_user_errors_total",
			Help: "Entries of userErrors, by mutation and code."}, []string{"mutation", "code"}),
		deprecated: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "channelgraph_graphql_deprecated_fields_total",
			Help: "Operations that ran and ask for a deprecated field, by field."}, []string{"field"}),
		ageing: hasDeprecated(schema),
		known:  map[string]struct{}{},
		names:  map[string]struct{}{},
	}
	if reg == nil {
		return o, nil
	}
	for _, c := range []prometheus.Collector{o.duration, o.cost, o.errors, o.userErrors, o.deprecated} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("registering the GraphQL metrics: %w", err)
		}
	}
	return o, nil
}

// know takes the names of trusted documents, which need no place among those
// that clients make up; only before the first operation.
func (o *observer) know(docs map[string]*ast.QueryDocument) {
	for _, d := range docs {
		for _, op := range d.Operations {
			if op.Name != "" {
				o.known[op.Name] = struct{}{}
			}
		}
	}
}

// begin opens the measuring of an operation that is about to run; end closes
// it with the answer.
func (o *observer) begin(ctx context.Context, oc *graphql.OperationContext, a access.Actor) (_ context.Context, end func(*graphql.Response)) {
	start := time.Now()
	kind := string(oc.Operation.Operation)
	name := o.name(oc.Operation.Name, a)
	cost, _ := oc.Stats.GetExtension(costKey).(int)
	o.cost.WithLabelValues(kind).Observe(float64(cost))
	if o.ageing {
		seen := map[string]bool{}
		deprecatedFields(oc.Operation.SelectionSet, map[string]bool{}, seen)
		for f := range seen {
			o.deprecated.WithLabelValues(f).Inc()
		}
	}
	span := trace.SpanFromContext(ctx)
	traced := span.IsRecording()
	if traced {
		ctx, span = span.TracerProvider().Tracer("github.com/channelgraph/channelgraph/graph").Start(ctx, "graphql "+kind,
			trace.WithAttributes(attribute.String("graphql.operation.name", oc.Operation.Name), attribute.String("graphql.operation.type", kind),
				attribute.Int("graphql.operation.cost", cost)))
	}
	return ctx, func(res *graphql.Response) {
		o.duration.WithLabelValues(name, kind).Observe(time.Since(start).Seconds())
		var errs gqlerror.List
		if res != nil { // nil where the operation panicked
			errs = res.Errors
		}
		o.count(name, errs)
		if !traced {
			return
		}
		if len(errs) > 0 {
			span.SetStatus(codes.Error, errorCode(errs[0]))
		}
		span.End()
	}
}

// refused counts a request that was not run.
func (o *observer) refused(errs gqlerror.List) { o.count(nameRefused, errs) }

func (o *observer) count(name string, errs gqlerror.List) {
	for _, e := range errs {
		o.errors.WithLabelValues(name, errorCode(e)).Inc()
	}
}

// errorCode is an error's code; all of them are constants of ours.
func errorCode(e *gqlerror.Error) string {
	if code, ok := e.Extensions["code"].(string); ok {
		return code
	}
	return codeInternal
}

// userError counts an entry of a mutation's userErrors.
func (o *observer) userError(ctx context.Context, code string) {
	mutation := ""
	for f := graphql.GetFieldContext(ctx); f != nil; f = f.Parent {
		if f.Object == "Mutation" && f.Field.Field != nil {
			mutation = f.Field.Name
		}
	}
	o.userErrors.WithLabelValues(mutation, code).Inc()
}

// name is an operation's name as the metrics tell it. Strangers teach it none,
// so that they cannot use up the places.
func (o *observer) name(given string, a access.Actor) string {
	if given == "" {
		return nameUnnamed
	}
	if len(given) > 64 || given == nameRefused {
		return nameOther
	}
	if _, known := o.known[given]; known {
		return given
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, known := o.names[given]; known {
		return given
	}
	if a.IsAnonymous() || len(o.names) == namedOperations {
		return nameOther
	}
	o.names[given] = struct{}{}
	return given
}

func hasDeprecated(s *ast.Schema) bool {
	for _, d := range s.Types {
		for _, f := range d.Fields {
			if f.Directives.ForName("deprecated") != nil {
				return true
			}
		}
	}
	return false
}

// deprecatedFields collects what a selection asks for, each fragment once.
func deprecatedFields(set ast.SelectionSet, fragments, out map[string]bool) {
	for _, sel := range set {
		switch sel := sel.(type) {
		case *ast.Field:
			if sel.Definition != nil && sel.Definition.Directives.ForName("deprecated") != nil && sel.ObjectDefinition != nil {
				out[sel.ObjectDefinition.Name+"."+sel.Name] = true
			}
			deprecatedFields(sel.SelectionSet, fragments, out)
		case *ast.InlineFragment:
			deprecatedFields(sel.SelectionSet, fragments, out)
		case *ast.FragmentSpread:
			if !fragments[sel.Name] {
				fragments[sel.Name] = true
				deprecatedFields(sel.Definition.SelectionSet, fragments, out)
			}
		}
	}
}
