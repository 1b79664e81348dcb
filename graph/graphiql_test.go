package graph

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"
)

func parsed(t *testing.T, q string) *ast.QueryDocument {
	t.Helper()
	doc, err := parser.ParseQuery(&ast.Source{Input: q})
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestGraphiQL(t *testing.T) {
	t.Parallel()
	h := GraphiQL("/graphql?x=<&>")
	get := func(method, path, etag string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, path, nil)
		if etag != "" {
			r.Header.Set("If-None-Match", etag)
		}
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		return rec
	}
	page := get("GET", "/graphiql", "")
	if page.Code != 200 || strings.Contains(page.Body.String(), "<&>") || !strings.Contains(page.Body.String(), `data-endpoint="/graphql?x=`) {
		t.Fatalf("%d %s", page.Code, page.Body)
	}
	for _, part := range strings.Split(page.Body.String(), `"`) {
		if !strings.HasPrefix(part, "/graphiql/") {
			continue
		}
		got := get("GET", part, "")
		etag := got.Header().Get("ETag")
		if got.Code != 200 || got.Body.Len() == 0 || etag == "" || !strings.Contains(got.Header().Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%s: %d", part, got.Code)
		}
		if again := get("GET", part, etag); again.Code != http.StatusNotModified || again.Body.Len() != 0 {
			t.Errorf("%s again: %d", part, again.Code)
		}
		if head := get("HEAD", part, ""); head.Code != 200 || head.Body.Len() != 0 {
			t.Errorf("%s by HEAD: %d", part, head.Code)
		}
		for _, no := range []string{"sourceMappingURL", "npmjs.", "unpkg.com", "jsdelivr.net"} {
			if strings.Contains(got.Body.String(), no) {
				t.Errorf("%s holds %s", part, no)
			}
		}
	}
	if got := get("GET", "/graphiql/../graphiql.go", ""); got.Code != 404 {
		t.Errorf("another file: %d", got.Code)
	}
	if got := get("POST", "/graphiql", ""); got.Code != 405 {
		t.Errorf("POST: %d", got.Code)
	}
	if got := get("GET", "/graphiql/README.md", ""); got.Code != 404 {
		t.Errorf("the notes: %d", got.Code)
	}
}
