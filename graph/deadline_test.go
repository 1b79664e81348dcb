package graph

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql"

	"github.com/channelgraph/channelgraph/internal/database"
)

// A resolver that would wait for ever is stopped, and what the others
// answered stays.
func TestDeadline(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if deadline != 10*time.Second || w.handler.(*server).deadline != deadline {
		t.Errorf("the deadline is %s", w.handler.(*server).deadline)
	}
	s := w.hurried(time.Second)
	gina := w.as(w.nordwind.admin)
	oc, bad := s.prepare(t.Context(), params{Query: "{ viewer { roles } slow: partner(id: 1) { id } }"}, gina)
	if bad != nil {
		t.Fatal(bad.errs)
	}
	oc.ResolverMiddleware = func(ctx context.Context, next graphql.Resolver) (any, error) {
		if graphql.GetFieldContext(ctx).Field.Alias == "slow" {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return next(ctx)
	}
	start := time.Now()
	res := s.run(t.Context(), oc, gina)
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("took %s", took)
	}
	if len(res.Errors) != 1 || res.Errors[0].Extensions["code"] != codeDeadline || res.Errors[0].Path.String() != "slow" || !strings.Contains(string(res.Data), "GLOBAL_ADMIN") {
		t.Errorf("%v %s", res.Errors, res.Data)
	}
	if strings.Count(w.log.String(), "ran out of time") != 1 || strings.Contains(w.log.String(), "level=ERROR") {
		t.Error(w.log)
	}
}

// hurried is the world's server with another deadline.
func (w *world) hurried(d time.Duration) *server {
	s := *w.handler.(*server)
	s.deadline = d
	return &s
}

// A statement that waits for a lock is given up, and its connection is free
// again.
func TestDeadlineOfALockedTable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if w.DB.Dialect() != database.Postgres {
		t.Log("readers of SQLite wait for nobody")
		return
	}
	gina := w.as(w.nordwind.admin)
	hurried := w.on(t)
	hurried.handler = w.hurried(time.Second)
	const list = "{ viewer { roles } indirectResellers { nodes { id } } }"
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		if _, err := tx.ExecContext(ctx, "LOCK TABLE partnership IN ACCESS EXCLUSIVE MODE"); err != nil {
			return err
		}
		start := time.Now()
		for range 10 { // more than there are connections
			if out := hurried.gql(gina, list); out.Status != 200 || len(out.Errors) != 1 || out.Errors[0].Extensions["code"] != codeDeadline {
				t.Errorf("%d %s", out.Status, out.Raw)
			}
		}
		if took := time.Since(start); took > time.Minute {
			t.Errorf("took %s", took)
		}
		return nil
	})
	w.gql(gina, list).ok()
}
