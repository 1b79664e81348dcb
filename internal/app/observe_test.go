package app

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/channelgraph/channelgraph/internal/config"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/database/dbtest"
	"github.com/channelgraph/channelgraph/internal/mail"
)

// sink is a collector that keeps what it is sent.
type sink struct {
	*httptest.Server
	mu       sync.Mutex
	requests int
	spans    []*otlp.Span
}

func newSink(t *testing.T) *sink {
	s := &sink{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, err := io.ReadAll(r.Body)
		var in collector.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(raw, &in)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.requests++
		if err != nil || r.URL.Path != "/v1/traces" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		for _, rs := range in.GetResourceSpans() {
			for _, ss := range rs.GetScopeSpans() {
				s.spans = append(s.spans, ss.GetSpans()...)
			}
		}
	}))
	t.Cleanup(s.Close)
	return s
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// demo is a demo process inside the test.
type demo struct {
	t        *testing.T
	base     string
	db       string
	client   *http.Client
	logs     *lockedBuffer
	password map[string]string
	stop     func()
	parent   string // traceparent of the requests
	// secrets is what must stand in no log and no span.
	secrets []string
}

func startDemo(t *testing.T, settings map[string]string) *demo {
	t.Helper()
	before := slog.Default()
	t.Cleanup(func() { slog.SetDefault(before) })
	d := &demo{t: t, logs: &lockedBuffer{}, password: map[string]string{}, db: dbtest.EmptyURL(t)}
	data := t.TempDir()
	all := map[string]string{"ADDR": "127.0.0.1:0", "DATA": data, "DATABASE_URL": d.db, "DATABASE_CONNECTIONS": "8", "LOG_LEVEL": "debug", "LOG_FORMAT": "json"}
	for k, v := range settings {
		all[k] = v
	}
	cfg, err := config.Load(func(string) string { return "" }, all)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Demo = true
	ctx, cancel := context.WithCancel(context.Background())
	a, err := New(ctx, cfg, logger(cfg, d.logs))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Start(ctx); err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- a.Serve(ctx) }()
	d.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(d.stop)
	d.base = a.PublicURL()
	raw, err := os.ReadFile(filepath.Join(data, "demo.json"))
	if err != nil {
		t.Fatal(err)
	}
	var accounts []struct{ Email, Password string }
	if err := json.Unmarshal(raw, &accounts); err != nil {
		t.Fatal(err)
	}
	for _, a := range accounts {
		d.password[a.Email] = a.Password
		d.secrets = append(d.secrets, a.Password)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	d.client = &http.Client{Jar: jar, Timeout: 2 * time.Minute}
	return d
}

func (d *demo) send(method, path, media, body string) string {
	d.t.Helper()
	req, err := http.NewRequestWithContext(d.t.Context(), method, d.base+path, strings.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	req.Header.Set("Content-Type", media)
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	if d.parent != "" {
		req.Header.Set("traceparent", d.parent)
	}
	res, err := d.client.Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	for _, c := range res.Cookies() {
		if len(c.Value) > 20 {
			d.secrets = append(d.secrets, c.Value)
		}
	}
	return string(raw)
}

func (d *demo) json(path string, in any) string {
	d.t.Helper()
	raw, err := json.Marshal(in)
	if err != nil {
		d.t.Fatal(err)
	}
	return d.send(http.MethodPost, path, "application/json", string(raw))
}

type named map[string]any

const ask = `mutation askFor($email: String!) { requestPartnership(input: {email: $email}) { operation { id } userErrors { code } } }`

// ask signs in, asks somebody for a partnership and gives the mail that came.
func (d *demo) ask(email string) (token string) {
	d.t.Helper()
	const who = "admin.agent@nordwind.example"
	if out := d.json("/auth/sign-in", named{"email": who, "password": d.password[who]}); !strings.Contains(out, "nordwind") {
		d.t.Fatalf("signing in: %s", out)
	}
	if out := d.json("/graphql", named{"query": ask, "variables": named{"email": email}}); strings.Contains(out, "errors") || !strings.Contains(out, "job_") {
		d.t.Fatalf("asking: %s", out)
	}
	for deadline := time.Now().Add(2 * time.Minute); ; {
		var in struct {
			Mails []struct {
				To    []string
				Links []struct{ Token, Purpose string }
			}
		}
		out := d.send(http.MethodGet, "/dev/mail?to="+url.QueryEscape(email), "", "")
		if err := json.Unmarshal([]byte(out), &in); err != nil {
			d.t.Fatalf("%v: %s", err, out)
		}
		for _, m := range in.Mails {
			for _, l := range m.Links {
				if l.Token != "" && slices.Contains(m.To, email) {
					d.secrets = append(d.secrets, l.Token)
					return l.Token
				}
			}
		}
		if time.Now().After(deadline) {
			d.t.Fatalf("no mail came: %s", out)
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-d.t.Context().Done():
		}
	}
}

// parents counts the jobs whose row says in which trace they were put.
func (d *demo) parents() (n int64) {
	d.t.Helper()
	ctx := d.t.Context()
	db, err := database.Open(ctx, d.db, database.Options{MaxConns: 2})
	if err != nil {
		d.t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if err := db.Read().NewSelect().Table("job").ColumnExpr("count(*)").Where("trace_parent <> ''").Scan(ctx, &n); err != nil {
		d.t.Fatal(err)
	}
	return n
}

var anAddress = regexp.MustCompile(`[^\s<>"'=\\/:,()\[\]]+@[A-Za-z0-9-]+\.[A-Za-z0-9.-]+`)

// leaks are the personal things in a text: addresses that are not masked, and
// whatever the journey keeps secret.
func (d *demo) leaks(text string) (out []string) {
	for _, a := range anAddress.FindAllString(text, -1) {
		if mail.Mask(a) != a {
			out = append(out, a)
		}
	}
	for _, s := range d.secrets {
		if strings.Contains(text, s) {
			out = append(out, s)
		}
	}
	return out
}

// A request can be followed from its first byte to the mail that it caused,
// by trace and by log, and neither tells anything of anybody.
func TestJourneyIsObserved(t *testing.T) {
	s := newSink(t)
	d := startDemo(t, map[string]string{"TRACES": "otlp", "OTLP_ENDPOINT": s.URL})
	d.secrets = append(d.secrets, "zwiebelkuchen", "Zwiebelkuchen")

	const recipient = "ada.zwiebelkuchen@elsewhere.example"
	token := d.ask(recipient)
	// Other ways into the log: each holds the word that must not get there.
	d.json("/graphql", named{"query": `query find($q: String) { invitations(first: 2, filter: {search: $q}) { nodes { id } } }`, "variables": named{"q": "zwiebelkuchen"}})
	d.json("/graphql", named{"query": `{ zwiebelkuchen }`})
	d.json("/graphql", named{"query": `{ node(id: "zwiebelkuchen") { id } `})
	d.json("/graphql", named{"query": `mutation again($email: String!) { requestPartnership(input: {email: $email}) { userErrors { code } } }`, "variables": named{"email": "zwiebelkuchen"}})
	d.send(http.MethodPost, "/graphql", "application/json", `{"query": zwiebelkuchen`)
	d.send(http.MethodGet, "/zwiebelkuchen/"+url.PathEscape(recipient)+"?q=zwiebelkuchen", "", "")
	d.send(http.MethodPost, "/l/partnership/preview", "application/x-www-form-urlencoded", url.Values{"code": {token}}.Encode())
	d.send(http.MethodPost, "/l/partnership/preview", "application/x-www-form-urlencoded", "zwiebelkuchen=%zz")
	d.json("/auth/link-preview", named{"code": token})
	d.json("/auth/sign-in", named{"email": "admin.agent@bianchi.example", "password": "zwiebelkuchen zwiebelkuchen"})
	d.json("/auth/forgot", named{"email": "global.admin@bianchi.example"})
	d.json("/dev/clock", named{"advance": "240h"}) // reminders, resets, notices, upkeep
	metrics := d.send(http.MethodGet, "/metrics", "", "")
	parents := d.parents()
	d.stop()

	d.checkSpans(s)
	d.checkLogs()
	if parents == 0 {
		t.Error("no job tells in which trace it was put")
	}
	for _, want := range []string{
		`channelgraph_graphql_operation_duration_seconds_count{operation="askFor",type="mutation"} 1`,
		`channelgraph_graphql_operation_cost_count{type="mutation"} 2`,
		`channelgraph_graphql_errors_total{code="GRAPHQL_VALIDATION_FAILED",operation="refused"} 1`,
		`channelgraph_graphql_errors_total{code="GRAPHQL_PARSE_FAILED",operation="refused"} 1`,
		`channelgraph_graphql_user_errors_total{code=`,
		`channelgraph_http_request_duration_seconds_count{method="POST",route="/graphql",status="2xx"}`,
		`channelgraph_job_outcomes_total{kind="partnership.send_invitation",outcome="done"}`,
		`channelgraph_mail_outcomes_total{code="",state="sent"}`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
	for line := range strings.Lines(metrics) {
		name, isType := strings.CutPrefix(line, "# TYPE channelgraph_")
		if name, _, _ = strings.Cut(name, " "); isType && !strings.Contains(metrics, "# HELP channelgraph_"+name+" ") {
			t.Errorf("channelgraph_%s has no help", name)
		}
	}
	if found := d.leaks(metrics); len(found) > 0 {
		t.Errorf("the metrics tell %q", found)
	}
}

func (d *demo) checkSpans(s *sink) {
	t := d.t
	s.mu.Lock()
	defer s.mu.Unlock()
	byID := map[string]*otlp.Span{}
	names := map[string]int{}
	for _, x := range s.spans {
		byID[string(x.GetSpanId())] = x
		names[x.GetName()]++
		// not its ids, whose random bytes may read as anything
		if found := d.leaks(fmt.Sprint(x.GetName(), x.GetTraceState(), x.GetAttributes(), x.GetEvents(), x.GetStatus())); len(found) > 0 {
			t.Errorf("the span %s tells %q", x.GetName(), found)
		}
	}
	attr := func(x *otlp.Span, key string) string {
		for _, a := range x.GetAttributes() {
			if a.GetKey() == key {
				if n := a.GetValue().GetIntValue(); n != 0 {
					return strconv.FormatInt(n, 10)
				}
				return a.GetValue().GetStringValue()
			}
		}
		return ""
	}
	// From the mail back to the request, one parent after the other.
	var chain []string
	for _, x := range s.spans {
		if x.GetName() != "smtp" || attr(x, "mail.template") == "" {
			continue
		}
		var line []string
		for y := x; y != nil; y = byID[string(y.GetParentSpanId())] {
			line = append(line, y.GetName())
			if !bytes.Equal(y.GetTraceId(), x.GetTraceId()) {
				t.Errorf("%s is in another trace than its mail", y.GetName())
			}
		}
		if slices.Contains(line, "graphql mutation") && len(chain) == 0 {
			chain = line
			var phases []string
			for _, e := range x.GetEvents() {
				phases = append(phases, e.GetName())
			}
			if got := strings.Join(phases, " "); !strings.HasSuffix(got, "sender recipient marked data body accepted") {
				t.Errorf("the conversation's phases are %s", got)
			}
		}
	}
	if got := strings.Join(chain, " < "); got != "smtp < job partnership.send_invitation < put partnership.send_invitation < graphql mutation < POST /graphql" {
		t.Errorf("the mail's way is %q", got)
	}
	if !slices.ContainsFunc(s.spans, func(x *otlp.Span) bool {
		return attr(x, "graphql.operation.name") == "askFor" && attr(x, "graphql.operation.type") == "mutation" && attr(x, "graphql.operation.cost") > "0"
	}) {
		t.Error("the operation tells no name, type or cost")
	}
	for _, want := range []string{"INSERT job", "INSERT audit_event", "BEGIN", "COMMIT", "SELECT session", "POST /auth/sign-in", "GET unmatched", "graphql query"} {
		if names[want] == 0 {
			t.Errorf("there is no span %q", want)
		}
	}
	for n := range names {
		if strings.Contains(n, "healthz") || strings.HasPrefix(n, "OTHER") {
			t.Errorf("there is a span %q", n)
		}
	}
	t.Logf("%d spans, %d names", len(s.spans), len(names))
}

func (d *demo) checkLogs() {
	t := d.t
	seen := map[string]int{}
	text := d.logs.String()
	scan := bufio.NewScanner(strings.NewReader(text))
	scan.Buffer(nil, 1<<20)
	for scan.Scan() {
		if found := d.leaks(scan.Text()); len(found) > 0 {
			t.Errorf("%q in the log: %s", found, scan.Text())
		}
		var line map[string]any
		if err := json.Unmarshal(scan.Bytes(), &line); err != nil {
			t.Fatalf("%v: %s", err, scan.Text())
		}
		if strings.Count(scan.Text(), `"request_id"`) > 1 || strings.Count(scan.Text(), `"trace_id"`) > 1 {
			t.Errorf("said twice: %s", scan.Text())
		}
		for _, part := range []string{"route", "job", "mail"} {
			if line[part] == nil || line["route"] == "GET /metrics" {
				continue
			}
			seen[part]++
			trace, _ := line["trace_id"].(string)
			if id, err := hex.DecodeString(trace); line["request_id"] == nil || line["request_id"] == "" && part != "job" || err != nil || len(id) != 16 {
				t.Errorf("cannot be followed: %s", scan.Text())
			}
		}
	}
	if seen["route"] < 10 || seen["job"] < 4 || seen["mail"] < 2 {
		t.Errorf("too little was logged: %v", seen)
	}
	t.Logf("lines: %v", seen)
}

// Nothing is traced unless the settings ask for it.
func TestTracesAreOff(t *testing.T) {
	s := newSink(t)
	d := startDemo(t, map[string]string{"OTLP_ENDPOINT": s.URL})
	d.ask("ada@elsewhere.example")
	if n := d.parents(); n != 0 {
		t.Errorf("%d jobs have a trace", n)
	}
	d.stop()
	if s.requests != 0 || strings.Contains(d.logs.String(), "trace_id") {
		t.Errorf("%d requests to the collector", s.requests)
	}
}

// A share of 0 records nothing, and the parts of a trace agree on that; a
// trusted proxy may decide otherwise, a stranger may not.
func TestTracesAreSampled(t *testing.T) {
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for proxies, trusted := range map[string]bool{"": false, "127.0.0.0/8": true} {
		s := newSink(t)
		d := startDemo(t, map[string]string{"TRACES": "otlp", "OTLP_ENDPOINT": s.URL, "TRACE_RATIO": "0", "TRUSTED_PROXIES": proxies})
		d.ask("ada@elsewhere.example")
		if n := d.parents(); n == 0 {
			t.Error("no job tells in which trace it was put")
		}
		d.parent = parent
		d.send(http.MethodGet, "/robots.txt", "", "")
		d.stop()
		if !strings.Contains(d.logs.String(), "trace_id") {
			t.Error("the log does not tell the trace")
		}
		if trusted && (len(s.spans) != 1 || hex.EncodeToString(s.spans[0].GetTraceId()) != parent[3:35]) || !trusted && len(s.spans) != 0 {
			t.Errorf("trusted %v: %v", trusted, s.spans)
		}
	}
}

// A collector that is away holds up nobody.
func TestCollectorIsAway(t *testing.T) {
	s := newSink(t)
	s.Close()
	d := startDemo(t, map[string]string{"TRACES": "otlp", "OTLP_ENDPOINT": s.URL})
	d.ask("ada@elsewhere.example")
	start := time.Now()
	d.stop()
	if took := time.Since(start); took > flushTraces+20*time.Second {
		t.Errorf("stopping took %s", took)
	}
	if !strings.Contains(d.logs.String(), "traces could not be sent") {
		t.Error("nobody is told")
	}
}
