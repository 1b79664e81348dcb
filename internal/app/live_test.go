package app

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/config"
	"github.com/channelgraph/channelgraph/internal/database/dbtest"
	"github.com/channelgraph/channelgraph/internal/ident"
)

// told is what a stream of events says, line by line; it is closed at its end.
func (d *demo) listen(base, query string, vars named) (told <-chan string) {
	d.t.Helper()
	raw, err := json.Marshal(named{"query": query, "variables": vars})
	if err != nil {
		d.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(d.t.Context(), http.MethodPost, base+"/graphql", strings.NewReader(string(raw)))
	if err != nil {
		d.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "text/event-stream")
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	res, err := (&http.Client{Jar: d.client.Jar}).Do(req) //nolint:bodyclose // the goroutine below reads it to its end
	if err != nil {
		d.t.Fatal(err)
	}
	if res.StatusCode != http.StatusOK || res.Header.Get("X-Accel-Buffering") != "no" {
		d.t.Fatalf("status %d, %v", res.StatusCode, res.Header)
	}
	out := make(chan string, 1000)
	go func() {
		defer close(out)
		defer func() { _ = res.Body.Close() }()
		for in := bufio.NewScanner(res.Body); in.Scan(); {
			out <- in.Text()
		}
	}()
	return out
}

// hear waits until a stream says something.
func hear(t *testing.T, told <-chan string, what string) {
	t.Helper()
	late := time.After(2 * time.Minute)
	var all []string
	for {
		select {
		case line, ok := <-told:
			if !ok {
				t.Fatalf("the stream ended without %s: %s", what, strings.Join(all, "\n"))
			}
			if all = append(all, line); strings.Contains(line, what) {
				return
			}
		case <-late:
			t.Fatalf("the stream does not say %s: %s", what, strings.Join(all, "\n"))
		}
	}
}

// What happens in one process is told by the streams of every other, through
// the whole chain, and a process that stops sends its listeners elsewhere.
func TestStreamsAcrossProcesses(t *testing.T) {
	settings := map[string]string{"REDIS_URL": dbtest.RedisURL(), "QUEUE_NAMESPACE": strings.ToLower("live-" + ident.New(ident.Job).Body()),
		"SECRET_KEY": base64.StdEncoding.EncodeToString(make([]byte, 32))}
	d := startDemo(t, settings)
	bases := []string{d.base}
	var stopOther func()
	if dbtest.PostgresURL() != "" { // SQLite has one process
		all := map[string]string{"ADDR": "127.0.0.1:0", "DATA": t.TempDir(), "DATABASE_URL": d.db, "DATABASE_CONNECTIONS": "8"}
		for k, v := range settings {
			all[k] = v
		}
		cfg, err := config.Load(func(string) string { return "" }, all)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Demo = true
		ctx, cancel := context.WithCancel(context.Background())
		other, err := New(ctx, cfg, logger(cfg, d.logs))
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan error, 1)
		go func() { served <- other.Serve(ctx) }()
		stopOther = func() {
			cancel()
			if err := <-served; err != nil {
				t.Error(err)
			}
		}
		bases = append(bases, other.PublicURL())
	}
	const who = "admin.agent@nordwind.example"
	if out := d.json("/auth/sign-in", named{"email": who, "password": d.password[who]}); !strings.Contains(out, "nordwind") {
		t.Fatalf("signing in: %s", out)
	}
	var streams []<-chan string
	for _, base := range bases {
		s := d.listen(base, "subscription { events { cursor kind subjectId } }", nil)
		hear(t, s, "STREAM_STARTED")
		streams = append(streams, s)
	}
	out := d.json("/graphql", named{"query": ask, "variables": named{"email": "live@stream.example"}})
	_, job, found := strings.Cut(out, `"operation":{"id":"`)
	if !found {
		t.Fatal(out)
	}
	job, _, _ = strings.Cut(job, `"`)
	for i, s := range streams {
		hear(t, s, "OPERATION_CHANGED")
		hear(t, s, "INVITATION_CHANGED")
		hear(t, d.listen(bases[i], "subscription($id: ID!) { operationChanged(id: $id) { state } }", named{"id": job}), "SUCCEEDED")
	}
	begun := time.Now()
	if stopOther != nil {
		stopOther()
		hear(t, streams[1], `{"reason":"RECONNECT"}`)
	}
	d.stop()
	hear(t, streams[0], `{"reason":"RECONNECT"}`)
	if took := time.Since(begun); took > 30*time.Second {
		t.Errorf("stopping took %v", took)
	}
	if log := d.logs.String(); !strings.Contains(log, `"route":"/graphql stream"`) || strings.Contains(log, "live@stream.example") {
		t.Error("the streams are not in the access log, or an address is")
	}
}
