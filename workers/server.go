package workers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/trace"

	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/outbox"
)

// weights say how often each queue is looked at first.
var weights = map[outbox.Queue]int{outbox.Critical: 6, outbox.Mail: 4, outbox.Default: 3, outbox.Low: 1}

// Options are how a server runs.
type Options struct {
	// Redis is the URL of a Redis (see connect); "" means an embedded one.
	Redis string
	// Namespace parts installations that share one Redis: letters, digits and
	// hyphens.
	Namespace string
	// Concurrency is how many jobs run at once; the default is 64, or 16 on
	// the embedded queue.
	Concurrency int
	// Lease is how long a job is a silent worker's; the default is 30 s.
	Lease time.Duration
	// CheckInterval is how often an idle worker asks Redis for what other
	// processes enqueued; the default is 25 ms, or 200 ms embedded.
	CheckInterval time.Duration
	// RelayOnly hands work over and performs none.
	RelayOnly bool
	// Periodic is the work that comes back.
	Periodic []Periodic
	// Logger is slog.Default where nil; Metrics may be nil.
	Logger  *slog.Logger
	Metrics prometheus.Registerer
	// Tracer makes a span for each attempt; nil makes none.
	Tracer trace.TracerProvider
}

// Server relays and performs jobs. Start it once, stop it once.
type Server struct {
	db       *database.DB
	registry Registry
	o        Options
	log      *slog.Logger
	name     string
	metrics  *metrics
	link     atomic.Pointer[link]

	begins *batcher[claim]
	ends   *batcher[*outbox.Ending]

	// work is the context of handlers, flush that of the writes about them.
	work      context.Context
	endWork   context.CancelCauseFunc
	flush     context.Context
	endFlush  context.CancelFunc
	endRelay  context.CancelFunc
	relays    sync.WaitGroup
	batchers  sync.WaitGroup
	beats     sync.WaitGroup
	stopped   atomic.Bool
	tasks     atomic.Int64 // deliveries from Asynq that are being answered
	swapAfter int64

	passing    sync.Mutex
	doubt      atomic.Bool // Redis failed last time
	scheduling sync.Mutex
	next       []time.Time

	mu      sync.Mutex
	running map[*outbox.Run]running
	change  chan struct{}
}

type running struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	span   trace.Span
}

var setRedisLog sync.Once

// New makes a server that is not started yet.
func New(db *database.DB, registry Registry, o Options) (*Server, error) {
	if o.Redis == "" && o.RelayOnly {
		return nil, errors.New("the embedded queue lives in one process, so that process must perform the jobs: set a Redis URL")
	}
	if strings.Trim(o.Namespace, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") != "" {
		return nil, errors.New("the queue namespace may hold letters, digits and hyphens")
	}
	if err := checkPeriodic(o.Periodic); err != nil {
		return nil, err
	}
	if o.Concurrency <= 0 {
		o.Concurrency = 64
		if o.Redis == "" {
			o.Concurrency = 16
		}
	}
	if o.Lease <= 0 {
		o.Lease = 30 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	setRedisLog.Do(func() { redis.SetLogger(redisLog{o.Logger}) })
	m, err := newMetrics(o.Metrics, db)
	if err != nil {
		return nil, fmt.Errorf("registering the job metrics: %w", err)
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	s := &Server{
		db: db, registry: registry, o: o, log: o.Logger, metrics: m, swapAfter: swapAfter,
		name:    fmt.Sprintf("%s-%d-%s", host, os.Getpid(), ident.New(ident.Job).Body()[20:]),
		next:    make([]time.Time, len(o.Periodic)),
		running: map[*outbox.Run]running{}, change: make(chan struct{}),
	}
	s.begins = newBatcher(min(500, o.Concurrency), 2*time.Millisecond, s.beginBatch)
	s.ends = newBatcher(500, 2*time.Millisecond, s.endBatch)
	return s, nil
}

// Start begins to relay and perform; ctx bounds only the start. A Redis that
// does not answer is no error: work waits in the database.
func (s *Server) Start(ctx context.Context) error {
	base := context.WithoutCancel(ctx)
	s.work, s.endWork = context.WithCancelCause(base)
	s.flush, s.endFlush = context.WithCancel(base)
	relay, cancel := context.WithCancel(base)
	s.endRelay = cancel
	l, err := s.openLink()
	if err != nil {
		cancel()
		return err
	}
	s.link.Store(l)
	s.batchers.Add(2)
	go func() { defer s.batchers.Done(); s.begins.run(s.flush) }()
	go func() { defer s.batchers.Done(); s.ends.run(s.flush) }()
	if s.o.Redis != "" {
		look, cancel := context.WithTimeout(ctx, 3*time.Second)
		warnEviction(look, l.redis, s.log)
		cancel()
	}
	s.beats.Add(1)
	go func() { defer s.beats.Done(); s.heartbeat(s.flush) }()
	s.relays.Add(2)
	go func() { defer s.relays.Done(); s.upkeep(relay) }()
	go func() { defer s.relays.Done(); s.relay(relay) }()
	return nil
}

// Stop ends in order: no more claims, no more tasks, then it waits for what
// runs. When ctx ends the rest is cancelled, goes back free of charge, and
// only work that said Hold is still waited for.
func (s *Server) Stop(ctx context.Context) error {
	if s.link.Load() == nil || s.stopped.Swap(true) {
		return nil
	}
	s.endRelay()
	s.relays.Wait()
	l := s.link.Load()
	l.halt()
	quiet := func() bool { return s.tasks.Load() == 0 && s.inFlight() == 0 }
	err := s.await(ctx, quiet)
	if err != nil {
		s.endWork(errShutdown)
		err = s.awaitFor(5*time.Second, quiet)
		if err != nil && s.await(context.WithoutCancel(ctx), func() bool { return s.heldRuns() == 0 }) == nil {
			err = s.awaitFor(time.Second, quiet)
		}
	}
	if err != nil {
		err = fmt.Errorf("%d jobs did not end in time; another worker takes them", s.inFlight())
	}
	l.close()
	if err == nil { // a task that was taken while the queue halted
		err = s.awaitFor(time.Second, quiet)
	}
	s.endFlush()
	s.endWork(errShutdown)
	s.batchers.Wait()
	s.beats.Wait()
	return err
}

// heartbeat extends the leases of everything that runs here.
func (s *Server) heartbeat(ctx context.Context) {
	t := time.NewTicker(s.o.Lease / 3)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		s.mu.Lock()
		runs := make([]*outbox.Run, 0, len(s.running))
		for r := range s.running {
			runs = append(runs, r)
		}
		s.mu.Unlock()
		lost, err := outbox.Extend(ctx, s.db, runs, s.o.Lease)
		if err != nil && ctx.Err() == nil {
			s.log.Warn("leases could not be extended", "jobs", len(runs), "error", err)
		}
		for _, r := range lost {
			s.mu.Lock()
			x, still := s.running[r]
			s.mu.Unlock()
			if still && !r.Finished() {
				s.log.WarnContext(x.ctx, "a job was given to another worker while it ran here", "job", r.Job.ID, "kind", r.Job.Kind)
				x.cancel(errLeaseLost)
			}
		}
	}
}

func (s *Server) enter(run *outbox.Run) {
	ctx, span := s.attempt(&run.Job)
	ctx, cancel := context.WithCancelCause(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running[run] = running{ctx, cancel, span}
}

func (s *Server) runContext(run *outbox.Run) context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running[run].ctx
}

// leave forgets a run and gives back its context, for what is left to say, and
// its span, for the caller to end.
func (s *Server) leave(run *outbox.Run) (context.Context, trace.Span) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x, ok := s.running[run]
	if !ok {
		return s.flush, trace.SpanFromContext(s.flush)
	}
	x.cancel(nil)
	delete(s.running, run)
	return x.ctx, x.span
}

func (s *Server) inFlight() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.running)
}

func (s *Server) heldRuns() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for r := range s.running {
		if r.Held() {
			n++
		}
	}
	return n
}

// changed is closed at the next signal that a job has moved on.
func (s *Server) changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.change
}

func (s *Server) signal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.change)
	s.change = make(chan struct{})
}

// await returns when ok holds, asking at every signal and now and then.
func (s *Server) await(ctx context.Context, ok func() bool) error {
	for {
		changed := s.changed()
		if ok() {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		case <-time.After(25 * time.Millisecond):
		}
	}
}

func (s *Server) awaitFor(d time.Duration, ok func() bool) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.work), d)
	defer cancel()
	return s.await(ctx, ok)
}

func (s *Server) pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// queue is a queue's name in Redis.
func (s *Server) queue(q outbox.Queue) string {
	if s.o.Namespace == "" {
		return string(q)
	}
	return s.o.Namespace + "-" + string(q)
}
