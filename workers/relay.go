package workers

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/channelgraph/channelgraph/internal/outbox"
)

const (
	// claimLimit is the most rows of one claim.
	claimLimit = 500
	// pollInterval covers lost signals.
	pollInterval = 250 * time.Millisecond
	// gatherInterval is how long a busy relay lets rows gather, since a claim
	// of many costs little more than a claim of one.
	gatherInterval = 10 * time.Millisecond
	// upkeepInterval is how often the sweeper, the epoch and the schedule are
	// looked at.
	upkeepInterval = time.Second
	// swapAfter is how many tasks an embedded Redis carries before it is
	// replaced: a finished task leaves some 95 bytes behind for good.
	swapAfter = 200_000
	// senders is how many goroutines enqueue one claim.
	senders = 64
)

// relay hands due rows over until the context ends.
func (s *Server) relay(ctx context.Context) {
	rung, stop := s.db.Subscribe(outbox.Topic)
	defer stop()
	poll := time.NewTimer(pollInterval)
	defer poll.Stop()
	failures := 0
	for ctx.Err() == nil {
		changed := s.changed()
		n, full, err := s.pass(ctx)
		if err != nil && ctx.Err() == nil {
			s.log.Warn("due jobs could not be handed over; they stay in the database", "error", err)
			failures++
			s.pause(ctx, min(pollInterval<<min(failures, 5), 5*time.Second))
			continue
		}
		failures = 0
		if n == claimLimit {
			continue
		}
		if s.o.Redis == "" && n == 0 {
			s.swap(ctx)
		}
		if !full {
			changed = nil
		}
		if n >= busy {
			s.pause(ctx, gatherInterval)
		}
		poll.Reset(pollInterval)
		select {
		case <-ctx.Done():
		case <-rung:
		case <-changed:
			s.pause(ctx, time.Millisecond) // let more of them finish
		case <-poll.C:
		}
	}
}

// pass claims once and enqueues what it got. Rows that Redis did not take go
// back; no attempt is charged.
func (s *Server) pass(ctx context.Context) (n int, full bool, err error) {
	s.passing.Lock()
	defer s.passing.Unlock()
	l := s.link.Load()
	if s.doubt.Load() {
		if err := l.redis.Ping(ctx).Err(); err != nil {
			return 0, false, fmt.Errorf("redis does not answer: %w", err)
		}
	}
	c, err := outbox.Claim(ctx, s.db, claimLimit)
	if err != nil || len(c.Jobs) == 0 {
		return 0, c.Full, err
	}
	failed, err := s.enqueue(ctx, l, c.Jobs)
	s.doubt.Store(err != nil)
	if len(failed) > 0 {
		back, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		err = errors.Join(err, outbox.Return(back, s.db, failed))
	}
	return len(c.Jobs) - len(failed), c.Full, err
}

func (s *Server) enqueue(ctx context.Context, l *link, jobs []outbox.Handover) (failed []outbox.Handover, err error) {
	var next atomic.Int64
	var mu sync.Mutex
	var wg sync.WaitGroup
	var broken atomic.Bool
	for range min(senders, len(jobs)) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for {
				i := int(next.Add(1)) - 1
				if i >= len(jobs) {
					return
				}
				var sendErr error
				if !broken.Load() {
					sendErr = s.send(ctx, l, jobs[i])
					if sendErr == nil {
						l.gate.open()
						continue
					}
					broken.Store(true)
				}
				mu.Lock()
				failed = append(failed, jobs[i])
				if sendErr != nil {
					err = sendErr
				}
				mu.Unlock()
			}
		}()
	}
	wg.Wait()
	l.sent.Add(int64(len(jobs) - len(failed)))
	return failed, err
}

// send enqueues one hand-over. That it is there already is success.
func (s *Server) send(ctx context.Context, l *link, h outbox.Handover) error {
	_, err := l.client.EnqueueContext(ctx, asynq.NewTask("job", nil),
		asynq.TaskID(taskID(h.ID, h.Generation)), asynq.Queue(s.queue(h.Queue)), asynq.MaxRetry(3), asynq.Timeout(24*time.Hour))
	if errors.Is(err, asynq.ErrTaskIDConflict) {
		return nil
	}
	return err
}

// upkeep sweeps, watches the epoch and keeps the schedule.
func (s *Server) upkeep(ctx context.Context) {
	t := time.NewTicker(upkeepInterval)
	defer t.Stop()
	for {
		swept, err := outbox.Sweep(ctx, s.db)
		if err == nil {
			s.metrics.swept.WithLabelValues("lost").Add(float64(swept.Lost))
			s.metrics.swept.WithLabelValues("killed").Add(float64(swept.Killed))
			s.metrics.swept.WithLabelValues("dead").Add(float64(swept.Dead))
			if swept != (outbox.Swept{}) {
				s.log.Warn("stuck jobs were given back", "lost", swept.Lost, "killed", swept.Killed, "dead", swept.Dead)
				s.signal()
			}
			err = s.schedule(ctx)
		}
		if err != nil && ctx.Err() == nil {
			s.log.Warn("upkeep of the jobs failed and is tried again", "error", err)
		}
		if err := s.epoch(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("redis does not answer; jobs wait in the database until it does", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// epoch finds out whether Redis has forgotten its tasks. Each queue has a key
// beside its tasks, on the same node of a cluster; whoever has to set it
// offers everything queued there again. Until that is done the key is set for
// seconds only, so that a process which dies in between is followed by
// another.
func (s *Server) epoch(ctx context.Context) error {
	c := s.link.Load().redis
	set := map[outbox.Queue]*redis.BoolCmd{}
	if _, err := c.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, q := range outbox.Queues {
			set[q] = p.SetNX(ctx, s.epochKey(q), s.name, 10*time.Second)
		}
		return nil
	}); err != nil {
		return err
	}
	for _, q := range outbox.Queues {
		if !set[q].Val() {
			continue
		}
		n, err := outbox.Reoffer(ctx, s.db, q)
		if err != nil {
			return errors.Join(err, c.Del(ctx, s.epochKey(q)).Err())
		}
		if n > 0 {
			s.log.Warn("redis had forgotten its tasks; they are offered again", "queue", q, "jobs", n)
		}
		if err := c.Persist(ctx, s.epochKey(q)).Err(); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) epochKey(q outbox.Queue) string { return "channelgraph:{" + s.queue(q) + "}:epoch" }

// swap replaces an embedded Redis that has carried enough, while nothing is in
// it.
func (s *Server) swap(ctx context.Context) {
	if s.link.Load().sent.Load() < s.swapAfter {
		return
	}
	s.passing.Lock()
	defer s.passing.Unlock()
	o, err := outbox.NextDue(ctx, s.db)
	if err != nil || o.Busy || s.inFlight() > 0 {
		return
	}
	fresh, err := s.openLink()
	if err != nil {
		s.log.Error("the embedded queue could not be renewed", "error", err)
		return
	}
	old := s.link.Swap(fresh)
	old.halt()
	old.close()
	if err := s.epoch(ctx); err != nil {
		s.log.Warn("the renewed queue does not answer", "error", err)
	}
}
