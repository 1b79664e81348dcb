package graph

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/ident"
)

func TestTransport(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const query = `{"query":"{ country(code: \"IT\") { name } }"}`
	const name = `{"data":{"country":{"name":"Italy"}}}`
	long := `{"query":"` + strings.Repeat(" ", 256<<10) + `"}`
	for i, c := range []struct {
		method, content, accept, body string
		status                        int
		media                         string // of the answer, where it matters
		want                          string // whole answer where it begins with {, otherwise a part
	}{
		{"POST", "application/json", "", query, 200, mediaJSON, name},
		{"POST", "application/json; charset=UTF-8", "application/json", query, 200, mediaJSON, name},
		{"POST", "application/json", "*/*", query, 200, mediaJSON, name},
		{"POST", "application/json", "application/*", query, 200, mediaJSON, name},
		{"POST", "application/json", "application/graphql-response+json", query, 200, mediaResponse, name},
		{"POST", "application/json", "application/graphql-response+json, application/json;q=0.9", query, 200, mediaResponse, name},
		{"POST", "application/json", "application/json, application/graphql-response+json;q=0.5", query, 200, mediaJSON, name},
		{"POST", "application/json", "application/graphql-response+json; charset=utf-8", query, 200, mediaResponse, name},
		{"POST", "application/json", "text/html, */*;q=0.1", query, 200, mediaJSON, name},
		{"POST", "application/json", "text/html", query, 406, "", codeOf("BAD_USER_INPUT")},
		{"POST", "application/json", "application/json;q=0", query, 406, "", ""},
		{"GET", "", "", "", 405, "", codeOf("BAD_USER_INPUT")},
		{"PUT", "application/json", "", query, 405, "", ""},
		{"POST", "", "", query, 415, "", codeOf("BAD_USER_INPUT")},
		{"POST", "text/plain", "", query, 415, "", ""},
		{"POST", "application/x-www-form-urlencoded", "", "query=%7Bviewer%7D", 415, "", ""},
		{"POST", "multipart/form-data; boundary=x", "", query, 415, "", ""},
		{"POST", "application/graphql", "", "{ __typename }", 415, "", ""},
		{"POST", "application/json; charset=latin1", "", query, 415, "", ""},
		{"POST", "application/json", "", long, 413, "", codeOf("BAD_USER_INPUT")},
		{"POST", "application/json", "", "", 400, "", codeOf("BAD_USER_INPUT")},
		{"POST", "application/json", "", "secretword", 400, "", ""},
		{"POST", "application/json", "", "[" + query + "]", 400, "", ""},
		{"POST", "application/json", "", query + query, 400, "", ""},
		{"POST", "application/json", "", query + " x", 400, "", ""},
		{"POST", "application/json", "", `{"query":"{ country`, 400, "", ""},
		{"POST", "application/json", "", `{}`, 400, "", ""},
		{"POST", "application/json", "", `null`, 400, "", ""},
		{"POST", "application/json", "", `{"query":null}`, 400, "", ""},
		{"POST", "application/json", "", `{"query":7}`, 400, "", ""},
		{"POST", "application/json", "", `{"documentId":7}`, 400, "", ""},
		{"POST", "application/json", "", `{"documentId":""}`, 400, "", ""},
		{"POST", "application/json", "", `{"documentId":"sha256:0","query":"{ __typename }"}`, 400, "", ""},
		{"POST", "application/json", "", `{"documentId":"secretword"}`, 403, "", codeOf("DOCUMENT_NOT_TRUSTED")},
		{"POST", "application/json", "", `{"query":"{ __typename }","variables":[]}`, 400, "", ""},
		{"POST", "application/json", "", `{"query":"{ __typename }","variables":"secretword"}`, 400, "", ""},
		{"POST", "application/json", "", `{"query":"{ __typename }","operationName":7}`, 400, "", ""},
		{"POST", "application/json", "", `{"query":"{ __typename }","extensions":"secretword"}`, 400, "", ""},
		{"POST", "application/json", "", `{"query":"{ __typename }","extensions":{"persistedQuery":{"version":1}},"variables":null,"operationName":null}`, 200, "", `{"data":{"__typename":"Query"}}`},
		{"POST", "application/json", "", `{"query":"{ secretword("}`, 400, "", codeOf("GRAPHQL_PARSE_FAILED")},
		{"POST", "application/json", "", `{"query":""}`, 400, "", codeOf("GRAPHQL_PARSE_FAILED")},
		{"POST", "application/json", "", `{"query":"# nothing"}`, 400, "", codeOf("GRAPHQL_PARSE_FAILED")},
		{"POST", "application/json", "", `{"query":"fragment F on Query { __typename }"}`, 400, "", codeOf("GRAPHQL_PARSE_FAILED")},
		{"POST", "application/json", "", `{"query":"{ nowhere }"}`, 422, "", codeOf("GRAPHQL_VALIDATION_FAILED")},
		{"POST", "application/json", "application/json", `{"query":"{ nowhere }"}`, 422, mediaJSON, ""},
		{"POST", "application/json", "", `{"query":"query A { __typename } query B { __typename }"}`, 422, "", codeOf("GRAPHQL_VALIDATION_FAILED")},
		{"POST", "application/json", "", `{"query":"query A { __typename } query B { __typename }","operationName":"C"}`, 422, "", ""},
		{"POST", "application/json", "", `{"query":"query A { __typename } query B { __typename }","operationName":"B"}`, 200, "", `{"data":{"__typename":"Query"}}`},
		{"POST", "application/json", "", `{"query":"query($c: String!) { country(code: $c) { name } }"}`, 422, "", codeOf("BAD_USER_INPUT")},
		{"POST", "application/json", "", `{"query":"query($c: String!) { country(code: $c) { name } }","variables":{"c":["secretword"]}}`, 422, "", "$c: "},
		{"POST", "application/json", "", `{"query":"query($c: String!) { country(code: $c) { name } }","variables":{"c":"it","unused":1}}`, 200, "", name},
		{"POST", "application/json", "", `{"query":"subscription { userChanged }"}`, 422, "", ""},
	} {
		t.Run(fmt.Sprintf("%02d %s %d", i, c.method, c.status), func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(c.method, "/graphql", strings.NewReader(c.body))
			if c.content != "" {
				r.Header.Set("Content-Type", c.content)
			}
			if c.accept != "" {
				r.Header.Set("Accept", c.accept)
			}
			rec := httptest.NewRecorder()
			w.handler.ServeHTTP(rec, r.WithContext(access.WithActor(r.Context(), nobody)))
			body, _ := w.on(t).uncosted(rec.Body.String())
			if rec.Code != c.status {
				t.Fatalf("status %d: %s", rec.Code, body)
			}
			if media := rec.Header().Get("Content-Type"); c.media != "" && media != c.media+"; charset=utf-8" {
				t.Errorf("media type %s", media)
			}
			if c.status == 405 && rec.Header().Get("Allow") != "POST" {
				t.Error("no Allow")
			}
			if strings.HasPrefix(c.want, "{") && body != c.want || !strings.Contains(body, c.want) {
				t.Errorf("answer %s", body)
			}
			if c.status != 200 && (strings.Contains(body, `"data"`) || !strings.Contains(body, `"errors"`)) {
				t.Errorf("a request error with data, or without errors: %s", body)
			}
			if strings.Contains(strings.ReplaceAll(body, `field \"secretword\"`, ""), "secretword") {
				t.Errorf("the body is told back: %s", body)
			}
			if rec.Header().Get("Cache-Control") != "no-store" {
				t.Error("the answer may be stored")
			}
		})
	}
	t.Cleanup(func() {
		if strings.Contains(w.log.String(), "secretword") {
			t.Error("a body is in the log")
		}
	})
}

func codeOf(c string) string { return `"code":"` + c + `"` }

func TestLimits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gina, otto := w.as(w.nordwind.admin), w.as(w.operator)
	deep := func(n int) string { // n levels below the connection's own three
		return "{ partners { nodes { " + strings.Repeat("profile { organization { partner { ", n) + "id " + strings.Repeat("} } } ", n) + "} } }"
	}
	times := func(n int, s string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, s+" ", i)
		}
		return b.String()
	}
	many := "{ viewer { " + times(1, "a%d: roles") + strings.Repeat("sudoExpiresAt ", 1600) + "} }"
	doubling := `query { partners(first: 1) { nodes { ...F0 } } }`
	for i := range 40 {
		next := fmt.Sprintf("...F%d", i+1)
		doubling += fmt.Sprintf(" fragment F%d on Partner { profile { organization { partner { %s } } } again: profile { organization { partner { %s } } } }", i, next, next)
	}
	doubling += " fragment F40 on Partner { id }"
	wide := "{ partners(first: 100) { nodes { profile { organization { id } } } edges { node { profile { organization { id } } } } } }"
	for name, c := range map[string]struct {
		actor access.Actor
		query string
		code  string // "" for none
		of    string
	}{
		"anonymous depth":        {nobody, "{ regions { countries { name } } }", "", ""},
		"anonymous tokens":       {nobody, "{ regions { " + strings.Repeat("name ", 300) + "} }", codeCost, "tokens"},
		"anonymous aliases":      {nobody, "{ regions { " + times(6, "a%d: name") + "} }", codeCost, "aliases"},
		"anonymous root fields":  {nobody, `{ regions { name } country(code: "IT") { name } }`, codeCost, "root fields"},
		"anonymous cost":         {nobody, "{ users(first: 100) { nodes { id } } }", codeCost, "cost points"},
		"anonymous deep":         {nobody, "{ partners { nodes { profile { organization { partner { id } } } } } }", codeDepth, "levels"},
		"signed in depth":        {gina, deep(2), "", ""},
		"signed in too deep":     {gina, deep(4), codeDepth, "levels"},
		"signed in tokens":       {gina, many, codeCost, "tokens"},
		"operator more tokens":   {otto, many, "", ""},
		"signed in aliases":      {gina, "{ viewer { " + times(31, "a%d: roles") + "} }", codeCost, "aliases"},
		"operator more aliases":  {otto, "{ viewer { " + times(31, "a%d: roles") + "} }", "", ""},
		"signed in root fields":  {gina, "{ " + times(11, "a%d: viewer { roles }") + "}", codeCost, "root fields"},
		"ten root fields":        {gina, "{ " + times(10, "a%d: viewer { roles }") + "}", "", ""},
		"mutation root fields":   {gina, "mutation { " + times(6, "a%d: endOtherSessions(input: {}) { clientMutationId }") + "}", codeCost, "root fields"},
		"five in a mutation":     {gina, "mutation { " + times(5, "a%d: endOtherSessions(input: {}) { clientMutationId }") + "}", "", ""},
		"cost follows first":     {gina, wide, "", ""},
		"wide page":              {gina, strings.ReplaceAll("{ a: X b: X c: X }", "X", wide[1 : len(wide)-1][1:]), codeCost, "cost points"},
		"operator's wide page":   {otto, strings.ReplaceAll("{ a: X b: X c: X }", "X", wide[1 : len(wide)-1][1:]), "", ""},
		"fragments that double":  {otto, doubling, codeCost, ""},
		"page beyond the bounds": {gina, "{ users(first: 1000000) { nodes { id } } }", "BAD_USER_INPUT", ""},
		"introspection copied":   {gina, "{ __schema { " + times(7, "a%d: types { name }") + "} }", codeCost, "aliases"},
		"introspection":          {gina, "{ __schema { types { fields { args { type { ofType { ofType { ofType { name } } } } } } } } }", "", ""},
		"skipped root fields":    {gina, "{ " + times(10, "a%d: viewer { roles }") + "b: viewer @skip(if: true) { roles } }", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out := w.on(t).gql(c.actor, c.query)
			if c.code == "" {
				out.ok()
				return
			}
			out.code(c.code)
			if c.of != "" && (out.Errors[0].Extensions["of"] != c.of || out.Status != http.StatusUnprocessableEntity) {
				t.Errorf("status %d: %s", out.Status, out.Raw)
			}
		})
	}
}

func TestVariablesAreStrict(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gina := w.as(w.nordwind.admin)
	const users = "query($first: Int, $filter: UserFilter, $order: UserOrder) { users(first: $first, filter: $filter, orderBy: $order) { totalCount { value } } }"
	const find = "query($ids: [ID!]!) { nodes(ids: $ids) { id } }"
	ids := make([]any, 101)
	for i := range ids {
		ids[i] = "usr_1"
	}
	for i, c := range []struct {
		query string
		name  string
		value any
		ok    bool
	}{
		{users, "first", 1, true},
		{users, "first", 1.0, true},
		{users, "first", nil, true},
		{users, "first", "1", false},
		{users, "first", 1.5, false},
		{users, "first", true, false},
		{users, "first", 2147483648, false},
		{users, "first", 1e30, false},
		{users, "filter", map[string]any{"status": "ACTIVE"}, true},
		{users, "filter", map[string]any{"status": "active"}, false},
		{users, "filter", map[string]any{"status": 1}, false},
		{users, "filter", map[string]any{"nothing": 1}, false},
		{users, "filter", "ACTIVE", false},
		{users, "filter", []any{map[string]any{}}, false},
		{users, "filter", map[string]any{"search": "a\x00b"}, false},
		{users, "order", map[string]any{}, true},
		{users, "order", map[string]any{"field": "NAME", "direction": "desc"}, false},
		{users, "order", map[string]any{"field": nil}, false},
		{find, "ids", []any{"usr_1"}, true},
		{find, "ids", "usr_1", true},
		{find, "ids", []any{7}, true},
		{find, "ids", []any{nil}, false},
		{find, "ids", []any{[]any{"usr_1"}}, false},
		{find, "ids", nil, false},
		{find, "ids", ids[:100], true},
		{find, "ids", ids, false},
		{find, "ids", []any{"a\x00"}, false},
		{"query($t: Time) { auditEvents(filter: {since: $t}) { totalCount { value } } }", "t", "2026-01-01T00:00:00+02:00", true},
		{"query($t: Time) { auditEvents(filter: {since: $t}) { totalCount { value } } }", "t", "yesterday", false},
		{"query($t: Time) { auditEvents(filter: {since: $t}) { totalCount { value } } }", "t", 7, false},
		{"{ users(first: 2147483648) { totalCount { value } } }", "-", 0, false},
		{"{ users(first: 99999999999999999999) { totalCount { value } } }", "-", 0, false},
		{`{ users(filter: {search: "a\u0000"}) { totalCount { value } } }`, "-", 0, false},
		{"{ nodes(ids: [" + strings.Repeat(`"a" `, 101) + "]) { id } }", "-", 0, false},
		{"query($n: Int = 99999999999) { users(first: $n) { totalCount { value } } }", "-", 0, false},
		{"query($n: Int = 2) { users(first: $n) { totalCount { value } } }", "-", 0, true},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			out := w.on(t).gql(gina, c.query, c.name, c.value)
			if c.ok {
				out.ok()
				return
			}
			if c.name == "-" && out.Status == http.StatusUnprocessableEntity { // a literal may fail validation
				return
			}
			out.code("BAD_USER_INPUT")
		})
	}
}

func TestNothingIsSuggested(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, q := range []string{
		"{ viewe { roles } }", "{ viewer { role } }", `{ country(cod: "IT") { name } }`, "{ users(orderBy: {field: NAM}) { nodes { id } } }",
		"{ users(filter: {statu: ACTIVE}) { nodes { id } } }", "query($a: UserFilte) { __typename }", "{ viewer }", "{ node(id: 1) { ... on Use { id } } }",
		"{ viewer { roles @skp(if: true) } }",
	} {
		for _, a := range []access.Actor{nobody, w.as(w.operator)} {
			out := w.gql(a, q)
			if out.Status != http.StatusUnprocessableEntity || strings.Contains(out.Raw, "ean") {
				t.Errorf("%s: status %d: %s", q, out.Status, out.Raw)
			}
		}
	}
}

func TestErrorsAreAtMostTen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	q := "{ viewer { " + strings.Join(strings.Fields(strings.Repeat("nowhere ", 50)), " ") + " " + func() (s string) {
		for i := range 30 {
			s += fmt.Sprintf("field%d ", i)
		}
		return s
	}() + "} }"
	if out := w.gql(w.as(w.operator), q); len(out.Errors) != maxErrors {
		t.Errorf("%d errors", len(out.Errors))
	}
}

func TestRequestIDs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, q := range []string{"{", "{ nowhere }", "{ viewer { roles } }"} {
		if out := w.gql(nobody, q); out.Errors[0].Extensions["requestId"] != "req-1" {
			t.Errorf("%s: %s", q, out.Raw)
		}
	}
	if ident.Request(t.Context()) != "" {
		t.Error("a request id came from nowhere")
	}
}

// FuzzPrepare looks for requests that the guard cannot stand.
func FuzzPrepare(f *testing.F) {
	g, err := newGuard(schema, nodeTypes)
	if err != nil {
		f.Fatal(err)
	}
	for _, q := range []string{
		"{ viewer { roles } }", "query($a: [ID!]! = [1]) { nodes(ids: $a) { ... on User { id } } }", "{ ...F } fragment F on Query { ...F }",
		`mutation($in: RequestPartnershipInput!) { requestPartnership(input: $in) { invitation { id } userErrors { code } } }`,
		`{ users(first: -1, filter: {status: ACTIVE, search: """x"""}) { nodes { id } } }`, "{ a: __typename @include(if: $x) }", "query A { __typename } query A { __typename }",
		"{ node(id: 1) { ...on Partner { profile { organization { id } } } ...on User { id @skip(if: true) } } }", "subscription { x }", "extend type Query { x: Int }",
		"{ __schema { types { fields { type { fields { name } } } } } }", "query($a: Nothing) { __typename }", "query($a: Partner) { __typename }", "{ viewer { roles { x } } }",
	} {
		f.Add(q, `{"a":[1,2],"in":{"email":"x"},"x":true}`)
	}
	f.Fuzz(func(_ *testing.T, query, variables string) {
		body := `{"query":` + quote(query) + `,"variables":` + variables + `}`
		if p, ok := decode([]byte(body)); ok {
			_, _ = g.prepare(p, access.System("fuzz"))
		}
	})
}

func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(b)
}
