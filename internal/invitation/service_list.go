package invitation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/outbox"
)

// Line is what became of one address of a list.
type Line struct {
	Email string
	// Invitation and Operation are nil in a dry run and where there are
	// problems.
	Invitation *Invitation
	Operation  *outbox.Job
	// Problems are why the address was not asked.
	Problems []fault.Problem
}

// List is how a concept asks several addresses.
type List struct {
	// Verb, Key and Input are of the idempotency.
	Verb, Key string
	Input     any
	Emails    []string
	// DryRun tries every line and writes nothing.
	DryRun bool
	// Prepare tells what is wrong for every line.
	Prepare func(ctx context.Context, tx *database.Tx) error
	// Ask asks one address; its faults are the line's, at path.
	Ask func(ctx context.Context, tx *database.Tx, email, path string) (*Dispatched, error)
}

var errDryRun = errors.New("dry run")

// AskMany asks several addresses, each line by itself, so that one bad address
// does not hold the others up. Errors: those of Prepare and outbox.Once.
func (s *Service) AskMany(ctx context.Context, actor access.Actor, l List) ([]*Line, error) {
	var out []*Line
	err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		out = nil
		prior, err := outbox.Once(ctx, tx, actor, l.Verb, l.Key, l.Input)
		if err != nil {
			return err
		}
		if prior != nil {
			out, err = s.replayMany(ctx, tx, l.Emails, prior)
			return err
		}
		if err := l.Prepare(ctx, tx); err != nil {
			return err
		}
		ids := map[string]string{}
		for n, email := range l.Emails {
			line := &Line{Email: email}
			sent, err := l.Ask(ctx, tx, email, "emails."+strconv.Itoa(n))
			switch f := fault.As(err); {
			case f != nil && len(f.Problems) > 0:
				line.Problems = f.Problems
				raw, err := json.Marshal(line.Problems)
				if err != nil {
					return err
				}
				ids[lineKey(n, "problems")] = string(raw)
			case err != nil:
				return err
			default:
				line.Invitation, line.Operation = sent.Invitation, sent.Operation
				ids[lineKey(n, "invitation")], ids[lineKey(n, "operation")] = string(sent.Invitation.ID), string(sent.Operation.ID)
			}
			out = append(out, line)
		}
		if l.DryRun {
			return errDryRun // every line has been tried; take all of it back
		}
		return outbox.Remember(ctx, tx, actor, l.Verb, l.Key, ids)
	})
	if errors.Is(err, errDryRun) {
		for _, line := range out {
			line.Invitation, line.Operation = nil, nil
		}
		return out, nil
	}
	if err != nil {
		return nil, err
	}
	return out, nil
}

func lineKey(n int, what string) string { return strconv.Itoa(n) + "." + what }

// replayMany answers a repeated list with what became of it.
func (s *Service) replayMany(ctx context.Context, tx *database.Tx, emails []string, prior *outbox.Result) ([]*Line, error) {
	var out []*Line
	for n, email := range emails {
		line := &Line{Email: email}
		if id := prior.ID(lineKey(n, "invitation")); id != "" {
			sent, err := s.Replay(ctx, tx, &outbox.Result{IDs: map[string]string{
				"invitation": string(id), "operation": string(prior.ID(lineKey(n, "operation")))}})
			if err != nil {
				return nil, err
			}
			line.Invitation, line.Operation = sent.Invitation, sent.Operation
		} else if raw := prior.IDs[lineKey(n, "problems")]; raw != "" {
			if err := json.Unmarshal([]byte(raw), &line.Problems); err != nil {
				return nil, fmt.Errorf("reading a remembered result: %w", err)
			}
		}
		out = append(out, line)
	}
	return out, nil
}
