package workers

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// gate stands between Asynq and Redis and saves most of their conversation.
//
// Asynq polls: a short interval burns an idle system, a long one makes every
// job late. So Asynq is told to poll without a pause, and its look that found
// every queue empty is held here until this process enqueues something, or for
// the interval, which covers what other processes enqueue. For as long a queue
// that was found empty is not asked again, which under load saves the looks
// into the heavier queues before each task.
//
// Asynq's other scripts, one to enqueue and one to finish each task, are
// gathered into pipelines where many goroutines send them at once.
type gate struct {
	bell     chan struct{}
	interval time.Duration
	scripts  *batcher[scripted]
	ended    <-chan struct{}

	mu    sync.Mutex
	until map[string]time.Time // queues found empty, by their pending list
	empty int                  // of how many queues in this round
}

type scripted struct {
	cmd  redis.Cmder
	done chan struct{}
}

// newGate makes a gate over a client; its pipelines end with the context. The
// embedded Redis sits behind an unbuffered pipe, where a pipeline could wait
// for itself, and has none.
func newGate(ctx context.Context, c redis.UniversalClient, interval time.Duration, pipelines bool) *gate {
	g := &gate{bell: make(chan struct{}, 1), interval: interval, ended: ctx.Done(), until: map[string]time.Time{}}
	c.AddHook(g)
	if !pipelines {
		return g
	}
	g.scripts = newBatcher(100, 0, func(batch []scripted) {
		p := c.Pipeline()
		for _, s := range batch {
			_ = p.Process(ctx, s.cmd)
		}
		_, _ = p.Exec(ctx) // each command holds its own error
		for _, s := range batch {
			close(s.done)
		}
	})
	go g.scripts.run(ctx)
	return g
}

// open says that something was enqueued: a waiting look goes through, or the
// next one.
func (g *gate) open() {
	g.mu.Lock()
	clear(g.until)
	g.mu.Unlock()
	select {
	case g.bell <- struct{}{}:
	default:
	}
}

// wait holds the one goroutine that dequeues.
func (g *gate) wait() {
	t := time.NewTimer(g.interval)
	defer t.Stop()
	select {
	case <-g.bell:
	case <-t.C:
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	clear(g.until)
}

// dequeue asks Redis for a queue's next task, unless the queue was just found
// empty.
func (g *gate) dequeue(ctx context.Context, next redis.ProcessHook, cmd redis.Cmder, queue string) error {
	now := time.Now()
	g.mu.Lock()
	skip := now.Before(g.until[queue])
	if !skip { // before the question, so that open is never overwritten
		g.until[queue] = now.Add(g.interval)
	}
	g.mu.Unlock()
	err := error(redis.Nil)
	if skip {
		cmd.SetErr(err)
	} else {
		err = next(ctx, cmd)
	}
	switch {
	case err == nil:
		g.mu.Lock()
		delete(g.until, queue)
		g.mu.Unlock()
		g.empty = 0
	case errors.Is(err, redis.Nil):
		if g.empty++; g.empty >= len(weights) {
			g.empty = 0
			g.wait()
		}
	default:
		g.mu.Lock()
		delete(g.until, queue)
		g.mu.Unlock()
		if !redis.HasErrorPrefix(err, "NOSCRIPT") {
			g.wait() // Redis is away; Asynq would ask again at once
		}
	}
	return err
}

// DialHook implements redis.Hook.
func (g *gate) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

// ProcessPipelineHook implements redis.Hook.
func (g *gate) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// ProcessHook implements redis.Hook.
func (g *gate) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() != "evalsha" && cmd.Name() != "eval" {
			return next(ctx, cmd)
		}
		if queue := dequeued(cmd); queue != "" {
			return g.dequeue(ctx, next, cmd, queue)
		}
		if g.scripts == nil {
			return next(ctx, cmd)
		}
		s := scripted{cmd, make(chan struct{})}
		if !g.scripts.put(ctx, s) {
			return ctx.Err()
		}
		select {
		case <-s.done:
			return cmd.Err()
		case <-g.ended:
			return errShutdown
		}
	}
}

// dequeued knows Asynq's dequeue script by its keys (pending, paused, active
// and lease of one queue) and tells the pending list; "" for other scripts.
func dequeued(cmd redis.Cmder) string {
	args := cmd.Args()
	if len(args) < 7 {
		return ""
	}
	pending, _ := args[3].(string)
	paused, _ := args[4].(string)
	if strings.HasSuffix(pending, ":pending") && strings.HasSuffix(paused, ":paused") {
		return pending
	}
	return ""
}
