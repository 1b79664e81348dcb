package workers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/hibiken/asynq"

	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/outbox"
)

var (
	errShutdown  = errors.New("the process is ending")
	errLeaseLost = errors.New("the lease of the job was lost")
)

// taskID is all that Redis learns of a job.
func taskID(id ident.ID, generation int) string { return string(id) + "." + strconv.Itoa(generation) }

func parseTaskID(s string) (outbox.Ref, bool) {
	id, gen, ok := strings.Cut(s, ".")
	n, err := strconv.Atoi(gen)
	return outbox.Ref{ID: ident.ID(id), Generation: n}, ok && err == nil && ident.ID(id).Is(ident.Job)
}

type claim struct {
	ref   outbox.Ref
	reply chan claimed
}

type claimed struct {
	run *outbox.Run
	err error
}

// beginBatch claims what many tasks ask for in one statement.
func (s *Server) beginBatch(batch []claim) {
	refs := make([]outbox.Ref, len(batch))
	for i, c := range batch {
		refs[i] = c.ref
	}
	runs, err := outbox.BeginMany(s.flush, s.db, refs, s.name, s.o.Lease)
	for _, c := range batch {
		run := runs[c.ref]
		delete(runs, c.ref) // a second delivery of the same hand-over gets nothing
		if run != nil {
			s.enter(run)
		}
		c.reply <- claimed{run, err}
	}
}

// process is the adapter between a task and a concept's method. What fails is
// written to the row and nil goes back to Asynq; only where the database
// cannot be reached Asynq keeps the task.
func (s *Server) process(ctx context.Context, _ *asynq.Task) error {
	s.tasks.Add(1)
	defer s.tasks.Add(-1)
	id, _ := asynq.GetTaskID(ctx)
	ref, ok := parseTaskID(id)
	if !ok {
		s.log.Error("a task in redis is not one of ours", "task", outbox.Mask(id))
		return nil
	}
	c := claim{ref, make(chan claimed, 1)}
	if !s.begins.put(s.flush, c) {
		return errShutdown
	}
	var got claimed
	select {
	case got = <-c.reply:
	case <-s.flush.Done():
		return errShutdown
	}
	if got.err != nil {
		return got.err
	}
	if got.run == nil {
		s.metrics.outcomes.WithLabelValues("", "stale").Inc()
		return nil
	}
	s.perform(got.run)
	return nil
}

func (s *Server) perform(run *outbox.Run) {
	j := &run.Job
	log := s.log.With("job", j.ID, "kind", j.Kind, "request_id", j.RequestID, "attempt", j.Attempt)
	ctx := s.runContext(run)
	began := time.Now()
	err := s.call(ctx, log, run)
	s.metrics.durations.WithLabelValues(s.label(j.Kind)).Observe(time.Since(began).Seconds())
	if err != nil && ctx.Err() != nil && errors.Is(context.Cause(ctx), errShutdown) && fault.AsRetry(err) == nil {
		err = fault.RetryFree(time.Millisecond, "SHUTDOWN", err)
	}
	s.ends.put(s.flush, &outbox.Ending{Run: run, Err: err})
}

func (s *Server) call(ctx context.Context, log *slog.Logger, run *outbox.Run) (err error) {
	h, known := s.registry[run.Job.Kind]
	if !known {
		return fault.GiveUp(outbox.CodeUnknownKind, fmt.Errorf("no handler for %s", run.Job.Kind))
	}
	defer func() {
		if p := recover(); p != nil {
			log.ErrorContext(ctx, "a job panicked", "stack", string(debug.Stack()))
			err = fault.GiveUp(outbox.CodePanic, fmt.Errorf("panic: %v", p))
		}
	}()
	log.DebugContext(ctx, "job begins")
	return h(ctx, run)
}

// endBatch writes how runs came out. While the database is away it keeps
// trying as long as a lease may last; what cannot be written by then is found
// by the sweeper.
func (s *Server) endBatch(batch []*outbox.Ending) {
	deadline := time.Now().Add(s.o.Lease)
	err := outbox.Finish(s.flush, s.db, batch)
	for database.IsDown(err) && time.Now().Before(deadline) && s.flush.Err() == nil {
		s.pause(s.flush, 200*time.Millisecond)
		err = outbox.Finish(s.flush, s.db, batch)
	}
	if err != nil && !database.IsDown(err) && len(batch) > 1 { // one bad row does not hold the others
		for _, e := range batch {
			s.endBatch([]*outbox.Ending{e})
		}
		return
	}
	for _, e := range batch {
		ctx, span := s.leave(e.Run)
		j := &e.Run.Job
		log := s.log.With("job", j.ID, "kind", j.Kind, "request_id", j.RequestID, "attempt", j.Attempt)
		outcome := "lost"
		switch {
		case err != nil:
			log.ErrorContext(ctx, "a job's outcome could not be written", "error", err)
		case e.State == outbox.Done:
			outcome = "done"
			log.InfoContext(ctx, "job done")
		case e.State == outbox.Pending:
			outcome = "retried"
			log.WarnContext(ctx, "job will be tried again", "error", outbox.Mask(e.Err.Error()))
		case e.State == outbox.Dead:
			outcome = "dead"
			log.ErrorContext(ctx, "job has failed for good", "error", outbox.Mask(e.Err.Error()))
		default:
			log.WarnContext(ctx, "job was taken by another worker meanwhile")
		}
		s.metrics.outcomes.WithLabelValues(s.label(j.Kind), outcome).Inc()
		concluded(span, outcome, e.Err)
	}
	s.signal()
}

// label keeps the metrics' kinds to those that exist.
func (s *Server) label(kind string) string {
	if _, known := s.registry[kind]; known {
		return kind
	}
	return "unknown"
}
