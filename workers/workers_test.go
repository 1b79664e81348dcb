package workers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/database/dbtest"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/outbox"
)

type note struct{ N int }

func (note) Kind() string { return "test.note" }

type tick struct{ Name string }

func (tick) Kind() string { return "test.tick" }

// effects counts what handlers did, by number.
type effects struct {
	mu    sync.Mutex
	by    map[int]int
	order []string
}

func newEffects() *effects { return &effects{by: map[int]int{}} }

func (e *effects) add(n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.by[n]++
}

func (e *effects) note(s string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.order = append(e.order, s)
}

// once fails the test unless each of 0…n-1 happened exactly once.
func (e *effects) once(t *testing.T, n int) {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := range n {
		if e.by[i] != 1 {
			t.Errorf("effect %d happened %d times", i, e.by[i])
		}
	}
}

func put(t testing.TB, db *database.DB, args outbox.Args, opts ...outbox.Option) *outbox.Job {
	t.Helper()
	var j *outbox.Job
	if err := db.InTx(t.Context(), func(ctx context.Context, tx *database.Tx) (err error) {
		j, err = outbox.Put(ctx, tx, args, opts...)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return j
}

func load(t testing.TB, db *database.DB, id ident.ID) *outbox.Job {
	t.Helper()
	j := &outbox.Job{ID: id}
	if err := db.Read().NewSelect().Model(j).WherePK().Scan(t.Context()); err != nil {
		t.Fatal(err)
	}
	return j
}

// prepare makes a server on the embedded queue, or on the tests' Redis in a
// namespace of its own.
func prepare(t testing.TB, db *database.DB, r Registry, o Options) *Server {
	t.Helper()
	if o.Redis == "" {
		o.Redis = dbtest.RedisURL()
	}
	if o.Namespace == "" {
		o.Namespace = "t" + ident.New(ident.Job).Body()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s, err := New(db, r, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func start(t testing.TB, s *Server) *Server {
	t.Helper()
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := s.Stop(ctx); err != nil {
			t.Error(err)
		}
		if s.o.Redis != "" && s.o.Redis == dbtest.RedisURL() {
			c, err := connect(s.o.Redis, 2)
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = c.Close() }()
			for _, pattern := range []string{"asynq:{" + s.o.Namespace + "-*", "channelgraph:{" + s.o.Namespace + "-*"} {
				keys, err := c.Keys(ctx, pattern).Result()
				if err == nil && len(keys) > 0 {
					c.Del(ctx, keys...)
				}
			}
		}
	})
	return s
}

func drain(t testing.TB, s *Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := s.Drain(ctx); err != nil {
		t.Fatal(err)
	}
}

func wait(t testing.TB, c <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(15 * time.Second):
		t.Fatal("waited in vain for " + what)
	}
}

func TestJobsAreHandledOnce(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	e := newEffects()
	r := Registry{}
	Add(r, func(ctx context.Context, run *outbox.Run, a note) error {
		if ident.Request(ctx) != "req-1" || run.Job.Attempt != 1 {
			t.Errorf("request %q, attempt %d", ident.Request(ctx), run.Job.Attempt)
		}
		if a.N%2 == 0 {
			return db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
				tx.AfterCommit(func() { e.add(a.N) })
				return run.Done(ctx, tx)
			})
		}
		e.add(a.N)
		return nil
	})
	s := start(t, prepare(t, db, r, Options{}))
	const n = 200
	for i := range n / 10 {
		if err := db.InTx(ident.WithRequest(t.Context(), "req-1"), func(ctx context.Context, tx *database.Tx) error {
			for k := range 10 {
				if _, err := outbox.Put(ctx, tx, note{i*10 + k}, outbox.On(outbox.Queues[k%4])); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	drain(t, s)
	e.once(t, n)
}

func TestTwoServersShareTheWork(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	e := newEffects()
	r := Registry{}
	Add(r, func(_ context.Context, _ *outbox.Run, a note) error { e.add(a.N); return nil })
	one := start(t, prepare(t, db, r, Options{}))
	o := Options{Namespace: one.o.Namespace}
	start(t, prepare(t, db, r, o))
	if o.Redis = dbtest.RedisURL(); o.Redis != "" {
		o.RelayOnly = true
		start(t, prepare(t, db, nil, o))
	}
	const n = 150
	for i := range n {
		put(t, db, note{i})
	}
	drain(t, one)
	e.once(t, n)
}

func TestFailuresHaveTheirClass(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	r := Registry{}
	Add(r, func(_ context.Context, _ *outbox.Run, a note) error {
		switch a.N {
		case 1:
			panic("the address ada@example.com")
		case 2:
			return fault.GiveUp("REFUSED", nil)
		}
		return fault.NotFound("id")
	})
	reg := prometheus.NewRegistry()
	s := start(t, prepare(t, db, r, Options{Metrics: reg}))
	ids := map[string]ident.ID{
		outbox.CodePanic:       put(t, db, note{1}).ID,
		"REFUSED":              put(t, db, note{2}).ID,
		outbox.CodeUnknownKind: put(t, db, tick{"x"}).ID,
	}
	bad := put(t, db, note{4}, outbox.DueAt(db.Now().Add(time.Hour)))
	if _, err := db.Bun().NewRaw("UPDATE job SET payload = '{' WHERE id = ?", bad.ID).Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	ids[outbox.CodeBadPayload] = bad.ID
	again := put(t, db, note{3}, outbox.MaxAttempts(2)).ID
	if err := s.Advance(t.Context(), db.Clock(), 2*time.Hour); err != nil {
		t.Fatal(err)
	}
	ids["NOT_FOUND"] = again
	for code, id := range ids {
		j := load(t, db, id)
		if j.State != outbox.Dead || j.FailureCode == nil || *j.FailureCode != code || strings.Contains(*j.LastError, "ada@") {
			t.Errorf("%s: %+v", code, j)
		}
	}
	if j := load(t, db, again); j.Attempt != 2 {
		t.Errorf("%d attempts", j.Attempt)
	}
	text := gather(t, reg)
	for _, want := range []string{
		`channelgraph_job_outcomes_total kind=test.note outcome=dead 4`,
		`channelgraph_job_outcomes_total kind=test.note outcome=retried 1`,
		`channelgraph_job_outcomes_total kind=unknown outcome=dead 1`,
		`channelgraph_outbox_dead 5`,
		`channelgraph_outbox_oldest_seconds 0`,
		`channelgraph_outbox_jobs queue=mail state=waiting 0`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

func gather(t *testing.T, reg *prometheus.Registry) string {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, f := range families {
		for _, m := range f.GetMetric() {
			b.WriteString(f.GetName())
			for _, l := range m.GetLabel() {
				fmt.Fprintf(&b, " %s=%s", l.GetName(), l.GetValue())
			}
			fmt.Fprintf(&b, " %v\n", m.GetCounter().GetValue()+m.GetGauge().GetValue())
		}
	}
	return b.String()
}

// TestKilledWorker begins a job as a worker that never comes back.
func TestKilledWorker(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	e := newEffects()
	r := Registry{}
	Add(r, func(_ context.Context, run *outbox.Run, a note) error {
		e.add(a.N)
		e.note(fmt.Sprint(run.Job.Attempt))
		return nil
	})
	j := put(t, db, note{0})
	c, err := outbox.Claim(t.Context(), db, 10)
	if err != nil || len(c.Jobs) != 1 {
		t.Fatal(c, err)
	}
	ghost, err := outbox.Begin(t.Context(), db, j.ID, c.Jobs[0].Generation, "ghost", 30*time.Second)
	if err != nil || ghost == nil {
		t.Fatal(ghost, err)
	}
	s := start(t, prepare(t, db, r, Options{}))
	// The same hand-over, delivered late and twice, has no effect.
	for range 2 {
		if err := s.send(t.Context(), s.link.Load(), c.Jobs[0]); err != nil {
			t.Fatal(err)
		}
	}
	db.Clock().Advance(31 * time.Second)
	if _, err := outbox.Sweep(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	drain(t, s)
	e.once(t, 1)
	if got := load(t, db, j.ID); got.State != outbox.Done || got.Attempt != 2 || got.Kills != 1 || !slices.Equal(e.order, []string{"2"}) {
		t.Fatalf("%+v %v", got, e.order)
	}
	end := &outbox.Ending{Run: ghost}
	if err := outbox.Finish(t.Context(), db, []*outbox.Ending{end}); err != nil || end.State != "" {
		t.Fatalf("the ghost finished: %v %v", end.State, err)
	}
}

// TestLeaseLost takes a running job away from its worker.
func TestLeaseLost(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	began, ended := make(chan struct{}, 2), make(chan struct{}, 2)
	var first atomic.Bool
	first.Store(true)
	r := Registry{}
	Add(r, func(ctx context.Context, run *outbox.Run, _ note) error {
		if !first.Swap(false) {
			return nil
		}
		began <- struct{}{}
		<-ctx.Done()
		if !errors.Is(context.Cause(ctx), errLeaseLost) {
			t.Errorf("cause %v", context.Cause(ctx))
		}
		if err := db.InTx(context.WithoutCancel(ctx), func(ctx context.Context, tx *database.Tx) error { return run.Done(ctx, tx) }); !errors.Is(err, outbox.ErrLost) {
			t.Errorf("done: %v", err)
		}
		ended <- struct{}{}
		return ctx.Err()
	})
	s := start(t, prepare(t, db, r, Options{Lease: 600 * time.Millisecond}))
	j := put(t, db, note{1})
	wait(t, began, "the handler")
	// Heartbeats come every 200 ms; between two of them the clock leaps, at the
	// latest the next time.
	for tries := 0; ; tries++ {
		db.Clock().Advance(time.Minute)
		if _, err := outbox.Sweep(t.Context(), db); err != nil {
			t.Fatal(err)
		}
		if now := load(t, db, j.ID); now.State != outbox.Running || now.Attempt != 1 {
			break
		}
		if tries == 100 {
			t.Fatal("the lease was never lost")
		}
	}
	wait(t, ended, "the cancellation")
	drain(t, s)
	if got := load(t, db, j.ID); got.State != outbox.Done || got.Attempt != 2 {
		t.Fatalf("%+v", got)
	}
}

func TestHeartbeatKeepsALongJob(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	release := make(chan struct{})
	began := make(chan struct{}, 5)
	r := Registry{}
	Add(r, func(context.Context, *outbox.Run, note) error { began <- struct{}{}; <-release; return nil })
	s := start(t, prepare(t, db, r, Options{Lease: 1500 * time.Millisecond}))
	j := put(t, db, note{1})
	wait(t, began, "the handler")
	until := load(t, db, j.ID).SweepAt
	deadline := time.Now().Add(time.Minute)
	for extended := 0; extended < 4; { // longer than one lease
		now := load(t, db, j.ID).SweepAt
		if now.After(*until) {
			until = now
			extended++
		}
		if time.Now().After(deadline) {
			t.Fatal("no heartbeat")
		}
		s.pause(t.Context(), 5*time.Millisecond)
	}
	close(release)
	drain(t, s)
	if got := load(t, db, j.ID); got.State != outbox.Done || got.Attempt != 1 || len(began) != 0 {
		t.Fatalf("%+v", got)
	}
}

// TestRedisForgets empties Redis while rows are queued and one runs.
func TestRedisForgets(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	e := newEffects()
	release, began := make(chan struct{}), make(chan struct{}, 1)
	r := Registry{}
	Add(r, func(_ context.Context, _ *outbox.Run, a note) error {
		select {
		case began <- struct{}{}:
		default:
		}
		<-release
		e.add(a.N)
		return nil
	})
	s := start(t, prepare(t, db, r, Options{Concurrency: 1}))
	const n = 60
	for i := range n {
		put(t, db, note{i}, outbox.On(outbox.Queues[i%4]))
	}
	wait(t, began, "the first handler")
	await(t, s, func() bool { return count(t, db, "queued") == n-1 })
	forget(t, s)
	if err := s.epoch(t.Context()); err != nil {
		t.Fatal(err)
	}
	close(release)
	drain(t, s)
	e.once(t, n)
}

func forget(t *testing.T, s *Server) {
	t.Helper()
	l := s.link.Load()
	if l.mini != nil {
		l.mini.FlushAll()
		return
	}
	for _, pattern := range []string{"asynq:{" + s.o.Namespace + "-*", "channelgraph:{" + s.o.Namespace + "-*"} {
		keys, err := l.redis.Keys(t.Context(), pattern).Result()
		if err != nil || len(keys) == 0 {
			t.Fatal(keys, err)
		}
		if err := l.redis.Del(t.Context(), keys...).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

func count(t *testing.T, db *database.DB, state string) int {
	t.Helper()
	n, err := db.Read().NewSelect().TableExpr("job").Where("state = ?", state).Count(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return int(n)
}

func await(t *testing.T, s *Server, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	if err := s.await(ctx, ok); err != nil {
		t.Fatal(err)
	}
}

// TestRestart stops one server with rows queued in a Redis that is gone
// after, and starts another: nothing of it is lost.
func TestRestart(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	e := newEffects()
	r := Registry{}
	Add(r, func(_ context.Context, _ *outbox.Run, a note) error { e.add(a.N); return nil })
	const n = 40
	for i := range n {
		put(t, db, note{i})
	}
	if c, err := outbox.Claim(t.Context(), db, n/2); err != nil || len(c.Jobs) != n/2 { // handed to nobody: killed before
		t.Fatal(c, err)
	}
	s := start(t, prepare(t, db, r, Options{}))
	await(t, s, func() bool { return count(t, db, "done") == n })
	e.once(t, n)
}

func TestShutdown(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	began := make(chan struct{}, 3)
	var held atomic.Bool
	r := Registry{}
	Add(r, func(ctx context.Context, run *outbox.Run, a note) error {
		if a.N == 1 { // a mail past DATA
			run.Hold()
			began <- struct{}{}
			<-ctx.Done()
			<-time.After(300 * time.Millisecond)
			held.Store(true)
			return nil
		}
		began <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	})
	s := prepare(t, db, r, Options{})
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	hold, plain := put(t, db, note{1}), put(t, db, note{2})
	wait(t, began, "the first handler")
	wait(t, began, "the second handler")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	if got := load(t, db, hold.ID); got.State != outbox.Done || !held.Load() {
		t.Errorf("held: %+v", got)
	}
	if got := load(t, db, plain.ID); got.State != outbox.Pending || got.Attempt != 0 || *got.FailureCode != "SHUTDOWN" {
		t.Errorf("cancelled: %+v", got)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestGracefulShutdownWaits(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	began, release := make(chan struct{}, 3), make(chan struct{})
	r := Registry{}
	Add(r, func(ctx context.Context, _ *outbox.Run, _ note) error {
		began <- struct{}{}
		<-release
		return ctx.Err()
	})
	s := prepare(t, db, r, Options{})
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	j := put(t, db, note{1})
	wait(t, began, "the handler")
	stopped := make(chan error, 1)
	go func() { stopped <- s.Stop(context.WithoutCancel(t.Context())) }()
	await(t, s, s.stopped.Load)
	late := put(t, db, note{2})
	close(release)
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	if got := load(t, db, j.ID); got.State != outbox.Done {
		t.Errorf("%+v", got)
	}
	if got := load(t, db, late.ID); got.State == outbox.Done || len(began) != 0 {
		t.Errorf("%+v", got)
	}
}

// TestTheGateOpensAtOnce proves that an idle worker neither polls hotly nor
// waits for its poll.
func TestTheGateOpensAtOnce(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	handled := make(chan struct{}, 1)
	r := Registry{}
	Add(r, func(context.Context, *outbox.Run, note) error { handled <- struct{}{}; return nil })
	s := start(t, prepare(t, db, r, Options{CheckInterval: time.Hour}))
	for range 5 {
		put(t, db, note{1})
		wait(t, handled, "a job on an idle queue")
	}
	drain(t, s)
}

func TestEmbeddedQueueIsRenewed(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	e := newEffects()
	r := Registry{}
	Add(r, func(_ context.Context, _ *outbox.Run, a note) error { e.add(a.N); return nil })
	s, err := New(db, r, Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	s.swapAfter = 10
	start(t, s)
	for round := range 3 {
		before := s.link.Load()
		for i := range 10 {
			put(t, db, note{round*10 + i})
		}
		await(t, s, func() bool { return s.link.Load() != before })
	}
	drain(t, s)
	e.once(t, 30)
}

type remind struct{ Day int }

func (remind) Kind() string { return "test.remind" }

// TestAdvance goes through forty days with hourly work, promises that put
// further jobs, and a job that fails for a while, in order.
func TestAdvance(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	clock := db.Clock()
	e := newEffects()
	var last time.Time
	var hourly, failures int
	at := func() time.Time { // handlers of one moment may overlap
		e.mu.Lock()
		defer e.mu.Unlock()
		now := db.Now()
		if now.Before(last) {
			t.Errorf("the clock went back from %s to %s", last, now)
		}
		last = now
		return now
	}
	r := Registry{}
	Add(r, func(_ context.Context, run *outbox.Run, _ tick) error {
		if late := at().Sub(run.Job.DueAt); late < 0 || late > time.Minute {
			t.Errorf("a tick came %s late", late)
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		hourly++
		return nil
	})
	begin := clock.Now()
	Add(r, func(ctx context.Context, run *outbox.Run, a remind) error {
		now := at()
		e.note(fmt.Sprintf("day %d", a.Day))
		if late := now.Sub(begin.AddDate(0, 0, a.Day)); late < 0 || late > time.Minute {
			t.Errorf("day %d came %s late", a.Day, late)
		}
		return db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
			if a.Day >= 7 && a.Day < 35 { // put while draining, and due at once
				if _, err := outbox.Put(ctx, tx, note{a.Day}); err != nil {
					return err
				}
				if _, err := outbox.Put(ctx, tx, remind{a.Day + 7}, outbox.DueAt(begin.AddDate(0, 0, a.Day+7))); err != nil {
					return err
				}
			}
			return run.Done(ctx, tx)
		})
	})
	Add(r, func(_ context.Context, run *outbox.Run, a note) error {
		at()
		if a.N == 14 && run.Job.Attempt < 4 {
			e.mu.Lock()
			defer e.mu.Unlock()
			failures++
			return errors.New("not yet")
		}
		e.note(fmt.Sprintf("note %d", a.N))
		return nil
	})
	s := start(t, prepare(t, db, r, Options{Periodic: []Periodic{{Name: "hourly", Every: time.Hour, Args: tick{"hourly"}}}}))
	for _, day := range []int{7, 3, 1, 60} {
		put(t, db, remind{day}, outbox.DueAt(begin.AddDate(0, 0, day)))
	}
	wall := time.Now()
	if err := s.Advance(t.Context(), clock, 40*24*time.Hour); err != nil {
		t.Fatal(err)
	}
	t.Logf("forty days took %s", time.Since(wall))
	if got := clock.Now().Sub(begin); got < 40*24*time.Hour || got > 40*24*time.Hour+5*time.Minute {
		t.Errorf("the clock moved by %s", got)
	}
	want := "day 1,day 3,day 7,note 7,day 14,note 14,day 21,note 21,day 28,note 28,day 35"
	if got := strings.Join(e.order, ","); got != want {
		t.Errorf("order\n got %s\nwant %s", got, want)
	}
	if hourly < 959 || hourly > 961 || failures != 3 {
		t.Errorf("%d hours, %d failures", hourly, failures)
	}
	if n := count(t, db, "dead") + count(t, db, "cancelled"); n != 0 {
		t.Errorf("%d jobs dead or cancelled", n)
	}
}

func TestMissedTicksAreTold(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	e := newEffects()
	r := Registry{}
	Add(r, func(_ context.Context, _ *outbox.Run, a tick) error { e.note(a.Name); return nil })
	p := []Periodic{{Name: "daily", Every: 24 * time.Hour, Args: tick{"d"}}}
	if _, err := outbox.Tick(t.Context(), db, p[0].Name, p[0].Every, p[0].Args); err != nil {
		t.Fatal(err)
	}
	db.Clock().Advance(5 * 24 * time.Hour) // nobody ran
	var log lockedBuffer
	reg := prometheus.NewRegistry()
	s := start(t, prepare(t, db, r, Options{Periodic: p, Metrics: reg, Logger: slog.New(slog.NewJSONHandler(&log, nil))}))
	await(t, s, func() bool { return count(t, db, "done") == 1 && strings.Contains(log.String(), `"missed":4`) })
	if len(e.order) != 1 || count(t, db, "pending") != 1 {
		t.Errorf("%v", e.order)
	}
	if text := gather(t, reg); !strings.Contains(text, "channelgraph_periodic_missed_total name=daily 4\n") {
		t.Error(text)
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestLogsCarryTheRequest checks that a job's log lines name its request, and
// show no address.
func TestLogsCarryTheRequest(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	r := Registry{}
	Add(r, func(context.Context, *outbox.Run, note) error {
		return fault.GiveUp("NO", errors.New("ada@example.com"))
	})
	var log lockedBuffer
	s := start(t, prepare(t, db, r, Options{Logger: slog.New(slog.NewJSONHandler(&log, nil))}))
	if err := db.InTx(ident.WithRequest(t.Context(), "req-42"), func(ctx context.Context, tx *database.Tx) error {
		_, err := outbox.Put(ctx, tx, note{1})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	drain(t, s)
	await(t, s, func() bool { return strings.Contains(log.String(), "failed for good") }) // told after the commit
	var line map[string]any
	for l := range strings.Lines(log.String()) {
		if strings.Contains(l, "failed for good") {
			if err := json.Unmarshal([]byte(l), &line); err != nil {
				t.Fatal(err)
			}
		}
	}
	if line["request_id"] != "req-42" || line["kind"] != "test.note" || line["attempt"] != 1.0 || strings.Contains(log.String(), "ada@") {
		t.Fatalf("%v", log.String())
	}
}

func TestOptionsAreChecked(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	for name, o := range map[string]Options{
		"embedded relay":  {RelayOnly: true},
		"braces":          {Namespace: "a{b}"},
		"periodic twice":  {Periodic: []Periodic{{Name: "a", Every: time.Hour, Args: note{}}, {Name: "a", Every: time.Hour, Args: note{}}}},
		"periodic at all": {Periodic: []Periodic{{Name: "a", Args: note{}}}},
	} {
		if _, err := New(db, nil, o); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	for url, ok := range map[string]bool{
		"redis://127.0.0.1:6379/2":                                     true,
		"rediss://user:pass@cache.example:6380":                        true,
		"redis-sentinel://:pass@a:26379,b:26379,c:26379/1?master=main": true,
		"rediss-sentinel://a:26379?master=main&sentinel-password=x":    true,
		"redis-cluster://user:p%40ss@a:6379,b:6379":                    true,
		"redis-sentinel://a:26379,b:26379":                             false,
		"redis-sentinel://a:26379/x?master=m":                          false,
		"redis-cluster://a:6379,,b:6379":                               false,
		"http://a:6379":                                                false,
		"redis://:secret word@a:x":                                     false,
		"":                                                             false,
	} {
		c, err := connect(url, 2)
		if (err == nil) != ok {
			t.Errorf("%q: %v", url, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: the error shows the password", url)
		}
		if c != nil {
			_ = c.Close()
		}
	}
	s, err := New(db, nil, Options{Redis: "nonsense"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err == nil {
		t.Error("started on nonsense")
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestRegistryRefusesTwins(t *testing.T) {
	t.Parallel()
	r := Registry{}
	fn := func(context.Context, *outbox.Run, note) error { return nil }
	Add(r, fn)
	defer func() {
		if recover() == nil {
			t.Error("two handlers for one kind")
		}
	}()
	Add(r, fn)
}

func TestTaskIDs(t *testing.T) {
	t.Parallel()
	id := ident.New(ident.Job)
	if ref, ok := parseTaskID(taskID(id, 7)); !ok || ref.ID != id || ref.Generation != 7 {
		t.Fatal(ref, ok)
	}
	for _, bad := range []string{"", "x", string(id), string(id) + ".", string(id) + ".x", "usr_1.2", "." + string(id)} {
		if _, ok := parseTaskID(bad); ok {
			t.Errorf("%q was read", bad)
		}
	}
}

func TestBatcher(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	var mu sync.Mutex
	var sizes []int
	total := 0
	all := make(chan struct{})
	b := newBatcher(10, time.Millisecond, func(batch []int) {
		mu.Lock()
		defer mu.Unlock()
		sizes = append(sizes, len(batch))
		if total += len(batch); total == 300 {
			close(all)
		}
	})
	var runs sync.WaitGroup
	runs.Add(1)
	go func() { defer runs.Done(); b.run(ctx) }()
	for i := range 300 {
		b.put(ctx, i)
	}
	wait(t, all, "the batches")
	cancel()
	runs.Wait()
	if slices.Max(sizes) > 10 {
		t.Errorf("%v", sizes)
	}
	for range 11 { // full, and nobody reads
		if !b.put(ctx, 1) {
			return
		}
	}
	t.Error("put into a full batcher that has ended")
}
