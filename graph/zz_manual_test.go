package graph

import (
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
)

func TestZZManual(t *testing.T) {
	if os.Getenv("MANUAL") == "" {
		t.Skip()
	}
	w := newWorld(t)
	who := nobody
	if os.Getenv("MANUAL") == "in" {
		who = w.as(w.nordwind.admin)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/graphql", func(rw http.ResponseWriter, r *http.Request) {
		w.handler.ServeHTTP(rw, r.WithContext(access.WithActor(r.Context(), who)))
	})
	mux.Handle("/graphiql", GraphiQL("/graphql"))
	mux.Handle("/graphiql/", GraphiQL("/graphql"))
	s := httptest.NewServer(mux)
	os.WriteFile("/tmp/giql/url", []byte(s.URL), 0o644)
	for i := 0; i < 600; i++ {
		if _, err := os.Stat("/tmp/giql/stop"); err == nil {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}
