package graph

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/channelgraph/channelgraph/internal/access"
)

func operationOf(doc *ast.QueryDocument) *graphql.OperationContext {
	return &graphql.OperationContext{Doc: doc, Operation: doc.Operations[0]}
}

func scrape(t testing.TB, reg *prometheus.Registry) string {
	t.Helper()
	rec := httptest.NewRecorder()
	promhttp.HandlerFor(reg, promhttp.HandlerOpts{}).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return rec.Body.String()
}

func TestOperationsAreMeasured(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	reg := prometheus.NewRegistry()
	w.Registerer = reg
	var err error
	if w.handler, err = New(w.Deps); err != nil {
		t.Fatal(err)
	}
	if _, err := New(w.Deps); err == nil {
		t.Error("metrics were registered twice")
	}
	gina := w.as(w.nordwind.admin)
	w.gql(gina, `query people { viewer { user { id } } }`).ok()
	w.gql(gina, `query people { viewer { user { id } } }`).ok()
	w.gql(gina, `{ viewer { user { id } } }`).ok()
	w.gql(nobody, `query stranger { viewer { user { id } } }`)
	w.gql(gina, `query people { nothing }`).code(codeValidation)
	w.gql(gina, `{`).code(codeParse)
	w.gql(w.as(w.contoso.admin), `mutation ask { requestPartnership(input: {email: "ada@elsewhere.example"}) { userErrors { code } } }`).code("FORBIDDEN")
	w.gql(gina, `mutation give { resendInvitation(input: {invitationId: "inv_00000000000000000000000000"}) { userErrors { code } } }`).ok()
	for i := range namedOperations + 20 {
		w.gql(gina, fmt.Sprintf("query n%d { viewer { user { id } } }", i)).ok()
	}
	w.gql(gina, `query people { viewer { user { id } } }`).ok()

	got := scrape(t, reg)
	for _, want := range []string{
		`channelgraph_graphql_operation_duration_seconds_count{operation="people",type="query"} 3`,
		`channelgraph_graphql_operation_duration_seconds_count{operation="unnamed",type="query"} 1`,
		`channelgraph_graphql_operation_duration_seconds_count{operation="other",type="query"} 24`, // 20, one for each other name, and the stranger
		`channelgraph_graphql_operation_cost_count{type="mutation"} 2`,
		`channelgraph_graphql_operation_cost_bucket{type="query",le="5"}`,
		`channelgraph_graphql_errors_total{code="GRAPHQL_VALIDATION_FAILED",operation="refused"} 1`,
		`channelgraph_graphql_errors_total{code="GRAPHQL_PARSE_FAILED",operation="refused"} 1`,
		`channelgraph_graphql_errors_total{code="FORBIDDEN",operation="ask"} 1`,
		`channelgraph_graphql_user_errors_total{code="NOT_FOUND",mutation="resendInvitation"} 1`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s", want)
		}
	}
	if strings.Contains(got, "stranger") {
		t.Error("a stranger's name is told")
	}
	if n := strings.Count(got, "operation_duration_seconds_count{"); n > namedOperations+2 {
		t.Errorf("%d series", n)
	}
	if t.Failed() {
		t.Log(got)
	}
}

func TestDeprecatedFieldsAreCounted(t *testing.T) {
	t.Parallel()
	schema := gqlparser.MustLoadSchema(&ast.Source{Input: `type Query { old: T @deprecated(reason: "new") new: T } type T { a: Int b: Int @deprecated(reason: "a") t: T }`})
	doc := gqlparser.MustLoadQueryWithRules(schema, `query q { new { ...f t { ...f } } old { a } } fragment f on T { b b2: b ... on T { a } }`, nil)
	if !hasDeprecated(schema) {
		t.Error("the deprecated fields are not seen")
	}
	reg := prometheus.NewRegistry()
	o, err := newObserver(reg, schema)
	if err != nil {
		t.Fatal(err)
	}
	if o.know(map[string]*ast.QueryDocument{"": doc}); o.name("q", access.Anonymous("en", "")) != "q" || o.name("r", access.Anonymous("en", "")) != nameOther {
		t.Error("the names of trusted documents are told, others of strangers are not")
	}
	_, end := o.begin(t.Context(), operationOf(doc), access.Actor{})
	end(nil)
	got := scrape(t, reg)
	for _, f := range []string{"Query.old", "T.b"} {
		if !strings.Contains(got, `channelgraph_graphql_deprecated_fields_total{field="`+f+`"} 1`) {
			t.Errorf("%s is not counted: %s", f, got)
		}
	}
	seen := map[string]bool{}
	deprecatedFields(doc.Operations[0].SelectionSet, map[string]bool{}, seen)
	if names := slices.Sorted(maps.Keys(seen)); !slices.Equal(names, []string{"Query.old", "T.b"}) {
		t.Error(names)
	}
}
