package graph

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/99designs/gqlgen/complexity"
	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/99designs/gqlgen/graphql/handler/extension"
	"github.com/99designs/gqlgen/graphql/handler/transport"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"
	"github.com/vektah/gqlparser/v2/validator"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/event"
)

// The tests of this file hold what gqlgen brings against what stands here in
// its place. Where the library's part no longer fails, ours may go.

// library is gqlgen's own server on our schema.
func library(w *world, transports ...graphql.Transport) *handler.Server {
	h := handler.New(w.handler.(*server).schema)
	for _, t := range transports {
		h.AddTransport(t)
	}
	return h
}

func post(accept, body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/graphql", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", accept)
	return r
}

// guarded answers a request by our handler.
func (w *world) guarded(a access.Actor, r *http.Request) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, r.WithContext(access.WithActor(r.Context(), a)))
	return rec
}

// lateWriter tells whether it is written to after its handler has returned.
type lateWriter struct {
	mu       sync.Mutex
	header   http.Header
	returned bool
	late     chan struct{}
}

func (l *lateWriter) Header() http.Header { return l.header }
func (l *lateWriter) WriteHeader(int)     {}
func (l *lateWriter) Flush()              {}

func (l *lateWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.returned {
		select {
		case l.late <- struct{}{}:
		default:
		}
	}
	return len(b), nil
}

// lateWrites runs a handler and then waits for a write that should not come;
// the request's context ends after that, as net/http has it.
func lateWrites(h http.Handler, r *http.Request, wait time.Duration) bool {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	w := &lateWriter{header: http.Header{}, late: make(chan struct{}, 1)}
	h.ServeHTTP(w, r.WithContext(ctx))
	w.mu.Lock()
	w.returned = true
	w.mu.Unlock()
	select {
	case <-w.late:
		return true
	case <-time.After(wait):
		return false
	}
}

func TestDefectKeepAliveAfterTheHandler(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	request := func() *http.Request { return post("text/event-stream", `{"query":"{ __typename }"}`) }
	if !lateWrites(library(w, transport.SSE{KeepAlivePingInterval: time.Millisecond}), request(), patience) {
		t.Error("the library's keep-alive no longer writes after its handler")
	}
	p := w.serve(func(l *live) { l.heartbeat, l.life = time.Millisecond, 20*time.Millisecond })
	actor := w.present(w.signIn(w.nordwind.admin))
	stream := post("text/event-stream", `{"query":"subscription { events { kind } }"}`)
	for _, r := range []*http.Request{request(), stream.WithContext(access.WithActor(stream.Context(), actor))} {
		if lateWrites(p.s, r, 50*time.Millisecond) {
			t.Error("ours writes after its handler")
		}
	}
}

// present is the actor of a session.
func (w *world) present(token string) access.Actor {
	w.t.Helper()
	p, _, err := w.Accounts.Authenticate(context.Background(), token)
	if err != nil {
		w.t.Fatal(err)
	}
	a, err := access.Load(context.Background(), w.DB.Read(), p)
	if err != nil || a.IsAnonymous() {
		w.t.Fatal(a, err)
	}
	return a
}

func TestDefectStreamBuffers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.serve(nil)
	joined := w.partnered(w.nordwind, w.contoso)
	a := w.present(w.signIn(w.nordwind.admin))
	begin := func() *liveStream {
		oc, bad := p.s.prepare(t.Context(), params{Query: "subscription { events { kind subjectId } }"}, a)
		if bad != nil {
			t.Fatal(bad.errs)
		}
		sub, errs := p.s.subscribe(t.Context(), oc, a, "")
		if sub == nil {
			t.Fatal(errs)
		}
		return sub
	}
	sub := begin()
	answers := func(next func(*event.Event) []byte) (first []byte, before string) {
		first = next(&event.Event{Kind: event.StreamStarted})
		before = string(first)
		next(&event.Event{Kind: event.PartnershipChanged, SubjectID: joined.ID})
		return first, before
	}
	first, before := answers(func(e *event.Event) []byte {
		ctx := p.s.each(t.Context(), sub.oc, a)
		if ok, err := sub.offer(ctx, e); !ok || err != nil {
			t.Fatal(ok, err)
		}
		return sub.next(ctx).Data
	})
	if string(first) == before {
		t.Error("the library's answers no longer share their bytes")
	}
	first, before = answers(func(e *event.Event) (data []byte) {
		why, ended := sub.pass(t.Context(), e, func(_ string, res *graphql.Response) error {
			data = res.Data
			return nil
		})
		if ended {
			t.Fatal(why)
		}
		return data
	})
	if string(first) != before || before == "" {
		t.Errorf("%s became %s", before, first)
	}
	sub.end()
}

// counted is a schema that counts how often complexity is asked for.
type counted struct {
	graphql.ExecutableSchema
	asked atomic.Int64
}

func (c *counted) Complexity(ctx context.Context, typ, field string, child int, args map[string]any) (int, bool) {
	c.asked.Add(1)
	return c.ExecutableSchema.Complexity(ctx, typ, field, child, args)
}

func TestDefectComplexity(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.handler.(*server)
	doubling := func(n int) string {
		var b strings.Builder
		b.WriteString("{ viewer { ...F0 } } ")
		for i := range n {
			fmt.Fprintf(&b, "fragment F%d on Viewer { ...F%d ...F%d } ", i, i+1, i+1)
		}
		fmt.Fprintf(&b, "fragment F%d on Viewer { roles }", n)
		return b.String()
	}
	measure := func(query string) int64 {
		doc := parsed(t, query)
		if errs := validator.ValidateWithRules(s.schema.Schema(), doc, nil); len(errs) > 0 {
			t.Fatal(errs)
		}
		c := &counted{ExecutableSchema: s.schema}
		complexity.Calculate(t.Context(), c, doc.Operations[0], nil)
		return c.asked.Load()
	}
	if measure(doubling(12)) < 1<<12 {
		t.Error("the library's walk is no longer exponential")
	}
	begun := time.Now()
	if _, bad := s.guard.prepare(params{Query: doubling(60)}, w.as(w.operator)); bad != nil && bad.status == http.StatusInternalServerError {
		t.Error(bad.errs)
	}
	if took := time.Since(begun); took > 5*time.Second { // 2^60 steps would take longer
		t.Errorf("our walk took %v", took)
	}

	page := func(n int) string { return fmt.Sprintf("{ users(first: %d) { nodes { id organization { id } } } }", n) }
	cost := func(query string) int {
		oc, bad := s.guard.prepare(params{Query: query}, w.as(w.operator))
		if bad != nil {
			t.Fatal(bad.errs)
		}
		return oc.Stats.GetExtension(costKey).(int)
	}
	of := func(query string) int {
		doc := parsed(t, query)
		if errs := validator.ValidateWithRules(s.schema.Schema(), doc, nil); len(errs) > 0 {
			t.Fatal(errs)
		}
		return complexity.Calculate(t.Context(), s.schema, doc.Operations[0], nil)
	}
	if of(page(1)) != of(page(100)) {
		t.Error("the library counts the page's size now")
	}
	if one, hundred := cost(page(1)), cost(page(100)); hundred < 50*one {
		t.Errorf("100 rows cost %d, one %d", hundred, one)
	}
}

func TestDefectOneOf(t *testing.T) {
	t.Parallel()
	s, err := gqlparser.LoadSchema(&ast.Source{Input: `input By @oneOf { id: ID name: String } type Query { find(by: By!, of: [By!]): Int }`})
	if err != nil {
		t.Fatal(err)
	}
	doc, perr := parser.ParseQuery(&ast.Source{Input: "query($by: By!, $of: [By!]) { find(by: $by, of: $of) }"})
	if perr != nil {
		t.Fatal(perr)
	}
	if errs := validate(s, doc); len(errs) > 0 {
		t.Fatal(errs)
	}
	op, ours := doc.Operations[0], coercion{schema: s}
	type object = map[string]any
	both := object{"by": object{"id": "1", "name": "x"}}
	if _, err := validator.VariableValues(s, op, both); err != nil {
		t.Errorf("the library enforces @oneOf now: %v", err)
	}
	for _, bad := range []object{both, {"by": object{}}, {"by": object{"id": nil}}, {"by": object{"id": "1", "name": nil}},
		{"by": object{"id": "1"}, "of": []any{object{"id": "1"}, object{"id": "1", "name": "x"}}}} {
		if _, err := ours.variables(op, bad); err == nil {
			t.Errorf("%v was taken", bad)
		}
	}
	if v, err := ours.variables(op, object{"by": object{"name": "x"}, "of": []any{object{"id": "1"}}}); err != nil {
		t.Errorf("refused: %v, %v", v, err)
	}
	for literal, ok := range map[string]bool{`{id: 1}`: true, `{id: 1, name: "x"}`: false, `{}`: false, `{id: null}`: false} {
		doc, perr := parser.ParseQuery(&ast.Source{Input: "{ find(by: " + literal + ") }"})
		if perr != nil {
			t.Fatal(perr)
		}
		if errs := validate(s, doc); (len(errs) == 0) != ok {
			t.Errorf("%s: %v", literal, errs)
		}
	}
}

func TestDefectBadBodies(t *testing.T) {
	// Not parallel: the library writes to the process's log.
	w := newWorld(t)
	var said bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&said, nil))) // and with it that of package log
	t.Cleanup(func() { slog.SetDefault(before) })
	for _, accept := range []string{"application/json", "text/event-stream"} {
		for _, body := range []string{`{"query":"{ __typename }","variables":"sesame"}`, `sesame`, `{"query": sesame`} {
			rec := httptest.NewRecorder()
			library(w, transport.SSE{}, transport.POST{}).ServeHTTP(rec, post(accept, body))
			if !strings.Contains(rec.Body.String()+said.String(), "sesame") {
				t.Errorf("the library no longer echoes: %s", rec.Body)
			}
			said.Reset()
			ours := w.guarded(nobody, post(accept, body))
			if ours.Code != http.StatusBadRequest || strings.Contains(ours.Body.String()+w.log.String()+said.String(), "sesame") {
				t.Errorf("ours answers %d: %s", ours.Code, ours.Body)
			}
		}
	}
}

func TestDefectSuggestions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const body = `{"query":"{ country(cod: \"IT\") { name } }"}`
	h := library(w, transport.POST{})
	h.SetDisableSuggestion(true)
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, post("application/json", body))
	if !strings.Contains(rec.Body.String(), "Did you mean") {
		t.Errorf("the library's arguments are no longer suggested: %s", rec.Body)
	}
	if ours := w.guarded(nobody, post("application/json", body)); ours.Code != http.StatusUnprocessableEntity || strings.Contains(ours.Body.String(), "mean") {
		t.Errorf("ours answers %d: %s", ours.Code, ours.Body)
	}
}

func TestDefectLimitsAnswer200(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	body := `{"query":"{ viewer { user { organization { id name domain } } } }"}`
	h := library(w, transport.POST{})
	h.Use(extension.FixedComplexityLimit(1))
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, post("application/json", body))
	if rec.Code != http.StatusOK || !strings.Contains(rec.Body.String(), "COMPLEXITY_LIMIT_EXCEEDED") {
		t.Errorf("the library answers %d now: %s", rec.Code, rec.Body)
	}
	deep := strings.Repeat("organization { partner { profile { ", 3) + "registrationId" + strings.Repeat(" } } }", 3)
	for _, query := range []string{"{ viewer { " + deep + " } }", "{ " + strings.Repeat("a: __typename ", 400) + "}"} {
		raw, err := json.Marshal(map[string]string{"query": query})
		if err != nil {
			t.Fatal(err)
		}
		if ours := w.guarded(nobody, post("application/json", string(raw))); ours.Code != http.StatusUnprocessableEntity {
			t.Errorf("ours answers %d: %s", ours.Code, ours.Body)
		}
	}
}
