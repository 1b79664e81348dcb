package app

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/config"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/rollup"
)

const (
	dashboardQuery = `query Dashboard($first: Int!, $after: String) { customers(first: $first, after: $after) { nodes { id companyName domain country reseller { legalName }
		subscriptions(first: 3) { nodes { offerName quantity status supportContact { legalName } } } } pageInfo { hasNextPage endCursor } totalCount { value } } }`
	endsQuery = `{ first: customers(first: 100) { pageInfo { endCursor } } last: customers(last: 100) { pageInfo { startCursor } totalCount { value } } }`

	dashboardPage   = 50
	dashboardRounds = 5
	dashboardFor    = 2 // seconds of a round
	dashboardGoal   = 0.25
	depthGoal       = 0.95
)

// BenchmarkDashboard asks for performance.md's page of a provider's customers,
// in turn with a server that does it by hand: by 1, 8 and 64 clients, and near
// and deep in the list. Both servers' load comes from a program of its own.
func BenchmarkDashboard(b *testing.B) {
	program, world := os.Getenv("CHANNELGRAPH_TEST_LIMIT"), os.Getenv("CHANNELGRAPH_BENCH_WORLD")
	if program == "" || world == "" {
		b.Fatal("a generated world and the peer's program are needed: use make bench-tree")
	}
	boundless = func(context.Context, int, []string, []int) (int, int, time.Time, bool, error) {
		return 0, 1 << 30, time.Now().Add(time.Minute), true, nil
	}
	defer func() { boundless = nil }()
	d := openDashboard(b, world)
	limit := d.peer(program)
	ends := d.ends()
	near, deep := d.body("near", ends.near), d.body("deep", ends.deep)
	limitNear := d.file("limit", ends.limitNear)

	before := d.db.Queries()
	d.ask(near)
	b.Logf("%d statements a request, with those that tell who asks; %d customers", d.db.Queries()-before, ends.total)
	load := func(url, body, token string, clients int) float64 {
		return d.number(program, "load", url, body, token, strconv.Itoa(clients), strconv.Itoa(dashboardFor))
	}
	for b.Loop() {
		for _, clients := range []int{1, 8, 64} {
			var mine, hand, ratios []float64
			for range dashboardRounds {
				m, h := load(d.url, near, d.token, clients), load(limit, limitNear, "", clients)
				mine, hand, ratios = append(mine, m), append(hand, h), append(ratios, m/h)
			}
			slices.Sort(mine)
			slices.Sort(hand)
			slices.Sort(ratios)
			half := dashboardRounds / 2
			b.Logf("%2d clients: %.0f pages a second, by hand %.0f; ratios %.2f", clients, mine[half], hand[half], ratios)
			b.ReportMetric(ratios[half], fmt.Sprintf("ratio-%d", clients))
			if mb, ok := resident(); ok {
				b.Logf("the server holds %d MB of memory", mb)
				b.ReportMetric(float64(mb), fmt.Sprintf("MB-%d", clients))
			}
			if clients == 8 && ratios[half] < dashboardGoal {
				b.Errorf("8 clients get %.2f of the pages that a hand-written server gives, less than %.2f", ratios[half], dashboardGoal)
			}
		}
		var ratios []float64
		for range dashboardRounds {
			ratios = append(ratios, load(d.url, deep, d.token, 8)/load(d.url, near, d.token, 8))
		}
		slices.Sort(ratios)
		b.Logf("at depth %d against depth 100: %.2f", ends.total-100, ratios)
		b.ReportMetric(ratios[dashboardRounds/2], "deep/near")
		if r := ratios[dashboardRounds/2]; r < depthGoal {
			b.Errorf("deep in the list there are %.2f of the pages near its beginning, less than %.2f", r, depthGoal)
		}
	}
	b.ReportMetric(0, "ns/op")
}

// resident is what the process holds of the machine's memory, in MB, where the
// system tells it.
func resident() (int, bool) {
	raw, err := os.ReadFile("/proc/self/status")
	_, rest, ok := strings.Cut(string(raw), "VmRSS:")
	if err != nil || !ok {
		return 0, false
	}
	kb, err := strconv.Atoi(strings.Fields(rest)[0])
	return kb / 1024, err == nil
}

// dashboard is a server on the world, and who asks it.
type dashboard struct {
	*App
	b        *testing.B
	dir      string
	url      string
	token    string
	provider ident.ID
	world    string
}

func openDashboard(b *testing.B, world string) *dashboard {
	b.Helper()
	d := &dashboard{b: b, dir: b.TempDir(), world: world}
	cfg, err := config.Load(func(string) string { return "" }, map[string]string{"ADDR": "127.0.0.1:0", "PUBLIC_URL": "http://127.0.0.1:0", "DATA": d.dir, "DATABASE_URL": world,
		"MAILBOX_ADDR": "127.0.0.1:0", "LOG_LEVEL": "error", "TRUSTED_PROXIES": "127.0.0.1/32", "DATABASE_CONNECTIONS": "8"})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	if d.App, err = New(ctx, cfg, logger(cfg, io.Discard)); err != nil {
		b.Fatal(err)
	}
	if _, err := rollup.FoldAll(ctx, d.db); err != nil { // what a worker does every minute
		b.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- d.Serve(ctx) }()
	b.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			b.Error(err)
		}
	})
	d.url = "http://" + d.listener.Addr().String() + "/graphql"
	var admin ident.ID
	err = d.db.Read().NewSelect().TableExpr("partner AS p").Join("JOIN user_account AS u ON u.organization_id = p.organization_id").ColumnExpr("p.id, u.id").
		Where("p.kind = ?", access.IndirectProvider).OrderExpr("p.programme_id").Limit(1).Scan(ctx, &d.provider, &admin)
	if err != nil {
		b.Fatal("the world has no provider: ", err)
	}
	gina, err := access.Load(ctx, d.db.Read(), access.Presence{UserID: admin, SessionID: ident.New(ident.Session), SudoUntil: d.db.Now().Add(time.Hour)})
	if err != nil {
		b.Fatal(err)
	}
	_, shown, _, err := d.accounts.CreateToken(ctx, gina, account.CreateTokenInput{Name: "dashboard " + string(ident.New(ident.Token)),
		Scopes: []access.Permission{access.PermCustomerRead, access.PermSubscriptionRead, access.PermPartnerRead}})
	if err != nil {
		b.Fatal(err)
	}
	d.token = shown.Reveal()
	return d
}

// ends are places near the beginning and the end of the list, as both servers
// name them.
type ends struct {
	near, deep string
	limitNear  []byte
	total      int
}

func (d *dashboard) ends() ends {
	d.b.Helper()
	var out struct {
		Data struct {
			First struct{ PageInfo struct{ EndCursor string } }
			Last  struct {
				PageInfo   struct{ StartCursor string }
				TotalCount struct{ Value int }
			}
		}
	}
	body, _ := json.Marshal(map[string]any{"query": endsQuery})
	if err := json.Unmarshal(d.post(body), &out); err != nil {
		d.b.Fatal(err)
	}
	var name, id string
	err := d.db.Read().NewSelect().TableExpr("relationship").ColumnExpr("name_folded, customer_id").Where("partner_id = ? AND status = 'ACTIVE'", d.provider).
		OrderExpr("name_folded, customer_id").Offset(99).Limit(1).Scan(d.b.Context(), &name, &id)
	if err != nil {
		d.b.Fatal(err)
	}
	e := ends{near: out.Data.First.PageInfo.EndCursor, deep: out.Data.Last.PageInfo.StartCursor, total: out.Data.Last.TotalCount.Value}
	e.limitNear, _ = json.Marshal(map[string]any{"variables": map[string]any{"first": dashboardPage, "name": name, "id": id}})
	return e
}

// body writes a question's body into a file.
func (d *dashboard) body(name, after string) string {
	d.b.Helper()
	raw, _ := json.Marshal(map[string]any{"query": dashboardQuery, "operationName": "Dashboard", "variables": map[string]any{"first": dashboardPage, "after": after}})
	return d.file(name, raw)
}

func (d *dashboard) file(name string, raw []byte) string {
	d.b.Helper()
	path := filepath.Join(d.dir, name+".json")
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		d.b.Fatal(err)
	}
	return path
}

func (d *dashboard) ask(body string) {
	d.b.Helper()
	raw, err := os.ReadFile(body)
	if err != nil {
		d.b.Fatal(err)
	}
	if out := d.post(raw); bytes.Count(out, []byte(`"companyName"`)) != dashboardPage {
		d.b.Fatalf("%.400s", out)
	}
}

func (d *dashboard) post(body []byte) []byte {
	d.b.Helper()
	r, err := http.NewRequestWithContext(d.b.Context(), http.MethodPost, d.url, bytes.NewReader(body))
	if err != nil {
		d.b.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+d.token)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		d.b.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	out, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK || bytes.Contains(out, []byte(`"errors"`)) {
		d.b.Fatalf("%d %.400s %v", res.StatusCode, out, err)
	}
	return out
}

// peer starts the hand-written server and tells its address.
func (d *dashboard) peer(program string) string {
	d.b.Helper()
	c := exec.Command(program, "serve", d.world, string(d.provider))
	in, err := c.StdinPipe()
	if err != nil {
		d.b.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		d.b.Fatal(err)
	}
	if err := c.Start(); err != nil {
		d.b.Fatal(err)
	}
	d.b.Cleanup(func() {
		_ = in.Close()
		_ = c.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		d.b.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// number runs the peer's program and reads the figure that it prints.
func (d *dashboard) number(program string, args ...string) float64 {
	d.b.Helper()
	out, err := exec.CommandContext(d.b.Context(), program, args...).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			d.b.Logf("%s", exit.Stderr)
		}
		d.b.Fatal(err)
	}
	n, err := strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
	if err != nil {
		d.b.Fatal(err)
	}
	return n
}
