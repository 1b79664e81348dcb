package graph

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
)

// raw sends a body as it is.
func (w *world) raw(a access.Actor, body string) *answer {
	w.t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/graphql", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	return w.send(a, r)
}

func documentOf(t testing.TB, part string) (id, text string) {
	t.Helper()
	var all map[string]string
	if err := json.Unmarshal(manifestJSON, &all); err != nil {
		t.Fatal(err)
	}
	for id, text := range all {
		if strings.Contains(text, part) {
			return id, text
		}
	}
	t.Fatalf("no document with %s", part)
	return "", ""
}

func TestTrustedDocuments(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gina := w.as(w.nordwind.admin)
	_, value, _, err := w.Accounts.CreateToken(t.Context(), gina, account.CreateTokenInput{Name: "CI", Scopes: []access.Permission{access.PermViewerRead, access.PermOrganizationRead}})
	if err != nil {
		t.Fatal(err)
	}
	program := w.bearer(value.Reveal())
	strict := w.on(t)
	strict.ConsoleOnly = true
	if strict.handler, err = New(strict.Deps); err != nil {
		t.Fatal(err)
	}
	id, text := documentOf(t, "query Viewer {")
	const adHoc = `{"query":"{ viewer { roles } partners { nodes { id } } }"}`
	byID := `{"documentId":"` + id + `","operationName":"Viewer","variables":{}}`
	for name, c := range map[string]struct {
		w      *world
		actor  access.Actor
		body   string
		status int
		code   string
	}{
		"open, ad hoc":                 {w, gina, adHoc, 200, ""},
		"open, ad hoc, nobody":         {w, nobody, `{"query":"{ regions { name } }"}`, 200, ""},
		"open, by id":                  {w, gina, byID, 200, ""},
		"open, by id in capitals":      {w, gina, strings.Replace(byID, id, strings.ToUpper(id), 1), 200, ""},
		"open, unknown id":             {w, gina, `{"documentId":"sha256:00"}`, 403, codeNotTrusted},
		"console, by id":               {strict, gina, byID, 200, ""},
		"console, by id, nobody":       {strict, nobody, byID, 200, "UNAUTHENTICATED"},
		"console, by id, program":      {strict, program, byID, 200, ""},
		"console, text of the list":    {strict, gina, `{"query":` + quote(text) + `}`, 200, ""},
		"console, ad hoc":              {strict, gina, adHoc, 403, codeNotTrusted},
		"console, nearly the text":     {strict, gina, `{"query":` + quote(text+" ") + `}`, 403, codeNotTrusted},
		"console, ad hoc, nobody":      {strict, nobody, `{"query":"{ regions { name } }"}`, 403, codeNotTrusted},
		"console, no document, nobody": {strict, nobody, `{"query":"{"}`, 403, codeNotTrusted},
		"console, introspection":       {strict, gina, `{"query":"{ __schema { queryType { name } } }"}`, 403, codeNotTrusted},
		"console, ad hoc, program":     {strict, program, `{"query":"{ viewer { roles } }"}`, 200, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out := c.w.on(t).raw(c.actor, c.body)
			if c.code != "" {
				out.code(c.code)
			} else {
				out.ok()
			}
			if out.Status != c.status || c.status != 200 && strings.Contains(out.Raw, `"data"`) {
				t.Errorf("status %d: %s", out.Status, out.Raw)
			}
		})
	}
}

func TestManifestFitsTheSchema(t *testing.T) {
	t.Parallel()
	g, err := newGuard(schema, nodeTypes)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.trust(manifestJSON); err != nil {
		t.Fatal(err)
	}
	for id, text := range g.trusted { // everybody who is signed in may run them
		if _, bad := g.read(text, signedInLimits); bad != nil {
			t.Errorf("%s: %v", id, bad.errs)
		}
	}
	for name, bad := range map[string]string{
		"no JSON": `{`, "another digest": `{"sha256:00":"{ __typename }"}`,
		"no document":   `{"sha256:021fb596db81e6d02bf3d2586ee3981fe519f275c0ac9ca76bbcf2ebb4097d96":"{"}`,
		"another field": `{"sha256:e2b0b1b5bd9d4dcc4fcc4f7a58ec42b9e73e7f0cbf1b5e18d0e1bb0fdb3a0a2f":"{ nowhere }"}`,
	} {
		if g.trust([]byte(bad)) == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

// What people paste from the read-me, and what GraphiQL begins with, is
// trusted.
func TestManifestHoldsTheExamples(t *testing.T) {
	t.Parallel()
	readMe, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	start, err := graphiqlFiles.ReadFile("graphiql/start.js")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, m := range regexp.MustCompile("(?s)```graphql\n(.*?)\n```").FindAllSubmatch(readMe, -1) {
		want = append(want, string(m[1]))
	}
	want = append(want, string(regexp.MustCompile("(?s)const first = `(.*?)`;").FindSubmatch(start)[1]), "{ viewer { roles } }")
	if len(want) < 5 {
		t.Fatalf("%d examples", len(want))
	}
	var all map[string]string
	if err := json.Unmarshal(manifestJSON, &all); err != nil {
		t.Fatal(err)
	}
	for _, text := range want {
		if !slices.Contains(slices.Collect(maps.Values(all)), text) {
			t.Errorf("not in the manifest, put it into graph/documents: %s", text)
		}
	}
}
