package workers

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/database/dbtest"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/outbox"
)

// The benchmarks print ratios against raw Asynq (enqueue and a handler that
// does nothing) measured in turns within the same run, on the tests'
// PostgreSQL and Redis. Run: make bench-jobs.
const (
	benchJobs        = 6000
	benchRounds      = 5
	benchProducers   = 16
	benchConcurrency = 128
)

func benchNeeds(b *testing.B) {
	b.Helper()
	if dbtest.PostgresURL() == "" || dbtest.RedisURL() == "" {
		b.Fatal("the figures are for PostgreSQL and Redis: set CHANNELGRAPH_TEST_POSTGRES and CHANNELGRAPH_TEST_REDIS")
	}
}

func median(x []float64) float64 {
	x = slices.Clone(x)
	slices.Sort(x)
	return x[len(x)/2]
}

// produce calls put for 0…n-1 from several goroutines.
func produce(n int, put func(i int)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range benchProducers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				put(i)
			}
		}()
	}
	wg.Wait()
}

// rawAsynq handles n tasks and returns tasks a second: all enqueued before the
// start (drain), or meanwhile.
func rawAsynq(b *testing.B, n int, drain bool) float64 {
	b.Helper()
	queue := "raw" + ident.New(ident.Job).Body()
	c, err := connect(dbtest.RedisURL(), benchConcurrency+32)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	client := asynq.NewClientFromRedisClient(c)
	enqueue := func(i int) {
		if _, err := client.Enqueue(asynq.NewTask("job", nil), asynq.TaskID(strconv.Itoa(i)), asynq.Queue(queue)); err != nil {
			b.Error(err)
		}
	}
	var handled atomic.Int64
	all := make(chan struct{})
	server := asynq.NewServerFromRedisClient(c, asynq.Config{
		Concurrency: benchConcurrency, Queues: map[string]int{queue: 1}, TaskCheckInterval: 20 * time.Millisecond,
		Logger: asynqLog{slog.New(slog.DiscardHandler)}, LogLevel: asynq.WarnLevel,
	})
	if drain {
		produce(n, enqueue)
	}
	began := time.Now()
	if err := server.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error {
		if handled.Add(1) == int64(n) {
			close(all)
		}
		return nil
	})); err != nil {
		b.Fatal(err)
	}
	if !drain {
		produce(n, enqueue)
	}
	<-all
	rate := float64(n) / time.Since(began).Seconds()
	server.Shutdown()
	if keys, err := c.Keys(context.Background(), "asynq:{"+queue+"*").Result(); err == nil && len(keys) > 0 {
		c.Del(context.Background(), keys...)
	}
	return rate
}

// ours does the same through the outbox: committed rows, relayed, handled,
// and marked done in the database.
func ours(b *testing.B, n int, drain bool) float64 {
	b.Helper()
	db := dbtest.Open(b, dbtest.URL(b), nil)
	var handled atomic.Int64
	all := make(chan struct{})
	r := Registry{}
	Add(r, func(context.Context, *outbox.Run, note) error {
		if handled.Add(1) == int64(n) {
			close(all)
		}
		return nil
	})
	s := prepare(b, db, r, Options{Concurrency: benchConcurrency})
	if drain {
		for from := 0; from < n; from += 500 {
			if err := db.InTx(b.Context(), func(ctx context.Context, tx *database.Tx) error {
				for i := range 500 {
					if _, err := outbox.Put(ctx, tx, note{from + i}); err != nil {
						return err
					}
				}
				return nil
			}); err != nil {
				b.Fatal(err)
			}
		}
	}
	began := time.Now()
	start(b, s)
	if !drain {
		produce(n, func(i int) {
			if err := db.InTx(b.Context(), func(ctx context.Context, tx *database.Tx) error {
				_, err := outbox.Put(ctx, tx, note{i})
				return err
			}); err != nil {
				b.Error(err)
			}
		})
	}
	<-all
	if err := s.await(b.Context(), func() bool { return s.inFlight() == 0 }); err != nil {
		b.Fatal(err)
	}
	return float64(n) / time.Since(began).Seconds()
}

func benchRatio(b *testing.B, drain bool) {
	benchNeeds(b)
	for b.Loop() {
		var ratios, mine, raw []float64
		for range benchRounds {
			r, o := rawAsynq(b, benchJobs, drain), ours(b, benchJobs, drain)
			raw, mine, ratios = append(raw, r), append(mine, o), append(ratios, o/r)
		}
		b.ReportMetric(median(ratios), "ratio")
		b.ReportMetric(median(mine), "jobs/s")
		b.ReportMetric(median(raw), "asynq/s")
		b.Logf("ratios %.2f", ratios)
	}
}

// BenchmarkMixed: producers committing, relay and worker at once. Goal ≥ 0.30.
func BenchmarkMixed(b *testing.B) { benchRatio(b, false) }

// BenchmarkDrain: all rows there before the start. Goal ≥ 0.40.
func BenchmarkDrain(b *testing.B) { benchRatio(b, true) }

// river has the peer's program handle n jobs in a database of its own, and
// reads jobs a second.
func river(b *testing.B, program string, n int) float64 {
	b.Helper()
	out, err := exec.CommandContext(b.Context(), program, dbtest.EmptyURL(b), strconv.Itoa(n), strconv.Itoa(benchProducers)).Output()
	if err != nil {
		b.Fatalf("river: %v", err)
	}
	rate, err := strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
	if err != nil {
		b.Fatal(err)
	}
	return rate
}

// BenchmarkRiver: as BenchmarkMixed, against River on the same PostgreSQL.
// Goal ≥ 1.0. make bench-jobs builds the peer from .ci/peers.
func BenchmarkRiver(b *testing.B) {
	benchNeeds(b)
	program := os.Getenv("CHANNELGRAPH_TEST_RIVER")
	if program == "" {
		b.Fatal("the peer's program is needed in CHANNELGRAPH_TEST_RIVER: use make bench-jobs")
	}
	for b.Loop() {
		var ratios, mine, peer []float64
		for range benchRounds {
			r, o := river(b, program, benchJobs), ours(b, benchJobs, false)
			peer, mine, ratios = append(peer, r), append(mine, o), append(ratios, o/r)
		}
		b.ReportMetric(median(ratios), "ratio")
		b.ReportMetric(median(mine), "jobs/s")
		b.ReportMetric(median(peer), "river/s")
		b.Logf("ratios %.2f", ratios)
	}
}

// BenchmarkLatency: commit to handler on an idle system, in one process and
// with the committing process apart from the worker. Goal p50 ≤ 25 ms and
// p95 ≤ 60 ms.
func BenchmarkLatency(b *testing.B) {
	for _, apart := range []bool{false, true} {
		b.Run(fmt.Sprintf("apart=%v", apart), func(b *testing.B) {
			benchNeeds(b)
			for b.Loop() {
				url := dbtest.URL(b)
				db := dbtest.Open(b, url, nil)
				began := make(chan time.Time, 1)
				r := Registry{}
				Add(r, func(context.Context, *outbox.Run, note) error { began <- time.Now(); return nil })
				s := start(b, prepare(b, db, r, Options{}))
				from := db
				if apart {
					from = dbtest.Open(b, url, nil)
					start(b, prepare(b, from, nil, Options{RelayOnly: true, Namespace: s.o.Namespace}))
				}
				var ms []float64
				for i := range 150 {
					s.pause(b.Context(), time.Duration(30+(i*7)%40)*time.Millisecond)
					put(b, from, note{i})
					committed := time.Now()
					ms = append(ms, max(0, float64((<-began).Sub(committed).Microseconds())/1000))
				}
				slices.Sort(ms)
				b.ReportMetric(ms[len(ms)/2], "p50-ms")
				b.ReportMetric(ms[len(ms)*95/100], "p95-ms")
			}
		})
	}
}
