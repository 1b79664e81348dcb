// Package workers is the job door: it hands due rows of the outbox to Asynq,
// on Redis or on an embedded one, takes the tasks back, and calls the
// concept's method that performs the job. Nothing but a row's id and
// generation ever enters Redis, and, beside the jobs, counts of what callers
// spent within a minute. It never decides a rule of the product and never
// holds a business effect in its own hands.
//
// Invariant: Redis may lose everything at any moment; the row decides what is
// done, and each hand-over takes effect at most once.
package workers

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/outbox"
)

// Handler performs one kind of job. It re-reads the state that the job is
// about and may run twice. Its error is tried again with backoff, unless it is
// a fault.Retry that says otherwise.
type Handler func(ctx context.Context, run *outbox.Run) error

// Registry is the job map: a handler for each kind.
type Registry map[string]Handler

// Add puts a concept's method into the map under the kind of its arguments;
// it panics where the kind is taken.
func Add[A outbox.Args](r Registry, fn func(ctx context.Context, run *outbox.Run, args A) error) {
	var zero A
	kind := zero.Kind()
	if _, taken := r[kind]; taken {
		panic(fmt.Sprintf("workers: two handlers for %s", kind))
	}
	r[kind] = On(fn)
}

// On makes a handler of a method with typed arguments. A payload that cannot
// be read ends the job with BAD_PAYLOAD.
func On[A outbox.Args](fn func(ctx context.Context, run *outbox.Run, args A) error) Handler {
	return func(ctx context.Context, run *outbox.Run) error {
		var args A
		if err := json.Unmarshal([]byte(run.Job.Payload), &args); err != nil {
			return fault.GiveUp(outbox.CodeBadPayload, err)
		}
		return fn(ctx, run, args)
	}
}
