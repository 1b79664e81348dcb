package scale

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/catalog"
	"github.com/channelgraph/channelgraph/internal/customer"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/database/dbtest"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/order"
	"github.com/channelgraph/channelgraph/internal/partner"
	"github.com/channelgraph/channelgraph/migrations"
)

// benchWorld is the generated world that the figures are measured in: made, or
// gone on with, in the database that CHANNELGRAPH_BENCH_WORLD names, with as
// many customers as CHANNELGRAPH_BENCH_CUSTOMERS says and three subscriptions
// each. Without it the world is a small one in a database of the test's own.
func benchWorld(b *testing.B) (h house, dsn string) {
	b.Helper()
	dsn, z := os.Getenv("CHANNELGRAPH_BENCH_WORLD"), Full
	if n, err := strconv.Atoi(os.Getenv("CHANNELGRAPH_BENCH_CUSTOMERS")); err == nil {
		z.Customers, z.Subscriptions = n, 3*n
	} else if dsn == "" {
		z.Customers, z.Subscriptions = 20_000, 60_000
	}
	if dsn == "" {
		dsn = dbtest.URL(b)
	}
	db, err := database.Open(b.Context(), dsn, database.Options{MaxConns: 16})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = db.Close() })
	if _, err := migrations.Up(b.Context(), db); err != nil {
		b.Fatal(err)
	}
	h = newHouse(b, db)
	meter := &Meter{Out: os.Stderr, Total: z.Customers, Now: db.Now}
	if _, err := Build(b.Context(), h.Deps, Options{Size: z, Progress: meter.Show}); err != nil {
		b.Fatal(err)
	}
	return h, dsn
}

// BenchmarkBuild makes the world.
func BenchmarkBuild(b *testing.B) { benchWorld(b) }

const (
	// addRounds are measured in turn, so that what else the machine does meets
	// both alike; addEach is how many customers are added in a round.
	addRounds = 7
	addEach   = 300
	// addGoal is the least share of what the hand-written transaction does.
	addGoal = 0.5
)

// BenchmarkAddCustomer submits orders of a new customer with three
// subscriptions, by one writer and by eight on one provider's counters, in
// turn with a program that writes the same rows by hand: plain with a prepared
// statement a round trip, pipelined with one round trip. The server and its settings are
// the same, and at most so many transactions run at once as there are writers.
func BenchmarkAddCustomer(b *testing.B) {
	program := os.Getenv("CHANNELGRAPH_TEST_LIMIT")
	if program == "" || dbtest.PostgresURL() == "" && os.Getenv("CHANNELGRAPH_BENCH_WORLD") == "" {
		b.Fatal("a PostgreSQL and the peer's program in CHANNELGRAPH_TEST_LIMIT are needed: use make bench-tree")
	}
	h, dsn := benchWorld(b)
	gina, reseller := h.admin(b), h.firstReseller(b)
	h.compare(b, program, dsn, gina, reseller)
	for _, writers := range []int{1, 8} {
		b.Run(fmt.Sprintf("%d", writers), func(b *testing.B) {
			for b.Loop() {
				var mine, plain, pipelined, toPlain, toPipelined []float64
				for range addRounds {
					o := h.submit(b, gina, h.review(b, gina, reseller, writers, addEach), writers)
					p, q := peer(b, program, dsn, gina, reseller, writers, addEach, "plain"), peer(b, program, dsn, gina, reseller, writers, addEach, "pipelined")
					mine, plain, pipelined = append(mine, o), append(plain, p), append(pipelined, q)
					toPlain, toPipelined = append(toPlain, o/p), append(toPipelined, o/q)
				}
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(median(mine), "customers/s")
				b.ReportMetric(median(plain), "plain/s")
				b.ReportMetric(median(pipelined), "pipelined/s")
				b.ReportMetric(median(toPlain), "ratio-plain")
				b.ReportMetric(median(toPipelined), "ratio-pipelined")
				b.Logf("%d writers: %.0f customers a second, by hand %.0f, by hand in one round trip %.0f; ratios %.2f and %.2f", writers, median(mine), median(plain), median(pipelined), toPlain, toPipelined)
				if r := median(toPlain); r < addGoal {
					b.Errorf("%d writers add customers at %.2f of what a hand-written transaction does, less than %.2f", writers, r, addGoal)
				}
			}
		})
	}
}

func median(x []float64) float64 {
	slices.Sort(x)
	return x[len(x)/2]
}

// firstReseller is the one whose people have an account.
func (h house) firstReseller(b *testing.B) ident.ID {
	b.Helper()
	var list []ident.ID
	err := h.DB.Read().NewSelect().TableExpr("partner AS p").Join("JOIN user_account AS u ON u.organization_id = p.organization_id").ColumnExpr("p.id").
		Where("p.kind = ?", access.IndirectReseller).Scan(b.Context(), &list)
	if err != nil || len(list) != 1 {
		b.Fatal(list, err)
	}
	return list[0]
}

// compare proves that the program writes what submitting an order does, but for
// the order and its lines, which a draft has written before.
func (h house) compare(b *testing.B, program, dsn string, gina access.Actor, reseller ident.ID) {
	b.Helper()
	var tables []string
	err := h.DB.Read().NewSelect().TableExpr("information_schema.tables").ColumnExpr("table_name").
		Where("table_schema = current_schema() AND table_type = 'BASE TABLE'").Scan(b.Context(), &tables)
	if err != nil {
		b.Fatal(err)
	}
	count := func() map[string]int64 {
		out := map[string]int64{}
		for _, t := range tables {
			if out[t], err = h.DB.Read().NewSelect().Table(t).Count(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
		return out
	}
	drafts := h.review(b, gina, reseller, 1, 1)
	before := count()
	h.submit(b, gina, drafts, 1)
	mine := count()
	peer(b, program, dsn, gina, reseller, 1, 1, "plain")
	theirs := count()
	added := theirs["customer"] - mine["customer"] // its warm-up too
	for _, t := range tables {
		own := mine[t] - before[t] + map[string]int64{"customer_order": 1, "order_line": 3}[t]
		if n := theirs[t] - mine[t]; n != own*added || added == 0 {
			b.Errorf("%s: an order writes %d rows, %d customers by hand %d", t, own, added, n)
		}
	}
}

// each does something n times, some at once.
func each(b *testing.B, writers, n int, fn func(i int) error) {
	b.Helper()
	var next atomic.Int64
	var group sync.WaitGroup
	for range writers {
		group.Go(func() {
			for i := int(next.Add(1) - 1); i < n; i = int(next.Add(1) - 1) {
				if err := fn(i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	if b.Failed() {
		b.FailNow()
	}
}

// review makes orders that can be submitted.
func (h house) review(b *testing.B, gina access.Actor, reseller ident.ID, writers, orders int) []ident.ID {
	b.Helper()
	ctx := b.Context()
	var lines []order.LineInput
	err := h.DB.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		skus, err := h.Offers.BySKUTx(ctx, tx)
		for _, sku := range []string{"MW-BUS-BASIC", "MW-BUS-STD", "MW-BUS-PREM"} {
			lines = append(lines, order.LineInput{OfferID: skus[sku].ID, Quantity: 3, Term: catalog.OneYear, BillingCycle: catalog.Annual})
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	drafts := make([]ident.ID, orders)
	each(b, writers, orders, func(n int) error {
		slug := "x" + strings.ToLower(ident.New(ident.Job).Body())
		o, err := h.orders.Start(ctx, gina, order.StartInput{ResellerID: &reseller, Lines: lines, Newcomer: &order.NewcomerInput{
			Details: &customer.Details{CompanyName: "Contoso " + slug, DomainPrefix: slug, BillingEmail: "bills@" + slug + ".example", Phone: "+39 02 1234567",
				Address: partner.Address{Line1: "Via Roma 1", City: "Milano", PostalCode: "20121", Country: "IT"}},
			Admin:     &order.Admin{Email: "ada@" + slug + ".example", FirstName: "Ada", LastName: "Neri"},
			Agreement: &customer.Attestation{FirstName: "Ada", LastName: "Neri", Email: "ada@" + slug + ".example", AgreedOn: "2026-01-02"}}})
		if err != nil {
			return err
		}
		drafts[n] = o.ID
		_, err = h.orders.Review(ctx, gina, order.ReviewInput{OrderID: o.ID})
		return err
	})
	return drafts
}

// submit tells how many orders are submitted a second.
func (h house) submit(b *testing.B, gina access.Actor, drafts []ident.ID, writers int) float64 {
	b.Helper()
	began := time.Now()
	each(b, writers, len(drafts), func(n int) error {
		_, err := h.orders.Submit(b.Context(), gina, order.SubmitInput{OrderID: drafts[n]})
		return err
	})
	return float64(len(drafts)) / time.Since(began).Seconds()
}

// peer is how many customers a second the hand-written program adds.
func peer(b *testing.B, program, dsn string, gina access.Actor, reseller ident.ID, writers, customers int, how string) float64 {
	b.Helper()
	out, err := exec.CommandContext(b.Context(), program, "add", dsn, string(gina.PartnerID), string(reseller), strconv.Itoa(writers), strconv.Itoa(customers), how).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			b.Logf("%s", exit.Stderr)
		}
		b.Fatal(err)
	}
	n, err := strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
	if err != nil {
		b.Fatal(err)
	}
	return n
}
