package graph

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"html/template"
	"net/http"
	"path"
	"strings"
)

//go:embed graphiql/*.html graphiql/*.js graphiql/*.css
var graphiqlFiles embed.FS

// graphiqlCSP allows what GraphiQL's editor needs: styles that it writes
// itself and fonts inside its style sheet. Nothing comes from elsewhere.
const graphiqlCSP = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; img-src 'self' data:; " +
	"font-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

var mediaTypes = map[string]string{
	".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8",
}

type asset struct {
	body []byte
	etag string
	mime string
}

// GraphiQL serves the in-browser IDE for development at /graphiql, with its
// files below; it talks to the endpoint (a path of the same origin) as the
// session of the browser.
func GraphiQL(endpoint string) http.Handler {
	files := map[string]asset{}
	entries, err := graphiqlFiles.ReadDir("graphiql")
	if err != nil {
		panic(err) // embedded
	}
	for _, e := range entries {
		body, err := graphiqlFiles.ReadFile("graphiql/" + e.Name())
		if err != nil {
			panic(err)
		}
		if e.Name() == "index.html" {
			var page bytes.Buffer
			if err := template.Must(template.New("").Parse(string(body))).Execute(&page, endpoint); err != nil {
				panic(err)
			}
			body = page.Bytes()
		}
		sum := sha256.Sum256(body)
		files[e.Name()] = asset{body, `"` + hex.EncodeToString(sum[:12]) + `"`, mediaTypes[path.Ext(e.Name())]}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "GraphiQL is read with GET.", http.StatusMethodNotAllowed)
			return
		}
		name := strings.Trim(strings.TrimPrefix(r.URL.Path, "/graphiql"), "/")
		if name == "" {
			name = "index.html"
		}
		f, ok := files[name]
		if !ok {
			http.NotFound(w, r)
			return
		}
		h := w.Header()
		h.Set("Content-Security-Policy", graphiqlCSP)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Type", f.mime)
		h.Set("Cache-Control", "no-cache") // asked again each time, answered 304
		h.Set("ETag", f.etag)
		if r.Header.Get("If-None-Match") == f.etag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		if r.Method == http.MethodGet {
			_, _ = w.Write(f.body)
		}
	})
}
