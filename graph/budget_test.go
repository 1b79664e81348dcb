package graph

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
)

func TestCostIsToldAndBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gina, colleague, luca := w.as(w.nordwind.admin), w.as(w.hire(w.nordwind, "ugo@nordwind.example", access.UserAdmin)), w.as(w.contoso.admin)
	const list = "{ users(first: 100) { nodes { id roles } pageInfo { endCursor } totalCount { value } } }"
	first := w.gql(gina, list).ok()
	cost := first.Cost.Requested
	if cost < 50 || first.Cost.Spent != cost || first.Cost.Left != userBudget-cost || first.Cost.Limit != userBudget || first.Cost.ResetAt.Sub(w.DB.Now()) > time.Minute || first.Cost.ResetAt.Sub(w.DB.Now()) < 30*time.Second {
		t.Fatalf("%+v", first.Cost)
	}
	// Whatever is not run costs a point, and says so.
	for i, c := range []struct {
		query     string
		status    int
		requested bool
	}{
		{"{", 400, false}, {"{ nowhere }", 422, false}, {"{ " + repeat(9, "a%d: users(first: 100) { nodes { organization { partner { id } } } } ") + "}", 422, true},
	} {
		out := w.gql(gina, c.query)
		if out.Status != c.status || out.Cost.Spent != leastCost || out.Cost.Left != userBudget-cost-(i+1) || (out.Cost.Requested > 0) != c.requested {
			t.Errorf("%s: status %d, %+v", c.query, out.Status, out.Cost)
		}
	}
	if out := w.send(gina, httptest.NewRequest(http.MethodGet, "/graphql", nil)); out.Status != 405 || out.Cost.Spent != leastCost {
		t.Errorf("%d %+v", out.Status, out.Cost)
	}
	if out := w.gql(gina, "{ __typename }").ok(); out.Cost.Requested != 0 || out.Cost.Spent != leastCost {
		t.Errorf("%+v", out.Cost)
	}

	w.drain(gina, 50)
	out := w.gql(gina, list).code("RATE_LIMITED")
	after, err := strconv.Atoi(out.Header.Get("Retry-After")) // what is left of a minute
	if out.Status != http.StatusTooManyRequests || out.Data != nil || strings.Contains(out.Raw, `"data"`) || err != nil || after < 30 || after > 60 ||
		out.Errors[0].Extensions["retryAfterSeconds"] != float64(after) || out.Cost.Requested != cost || out.Cost.Spent != 0 || out.Cost.Left != 50 || out.Cost.Limit != userBudget {
		t.Errorf("%d %s %+v", out.Status, out.Raw, out.Cost)
	}
	if out := w.gql(gina, "{ viewer { roles } }").ok(); out.Cost.Left != 50-out.Cost.Spent { // what still fits is run
		t.Errorf("%+v", out.Cost)
	}
	w.gql(luca, list).ok()

	// Colleagues have a purse each and one together.
	w.drain(colleague, 0)
	third := w.as(w.hire(w.nordwind, "vera@nordwind.example", access.UserAdmin))
	w.drain(third, 0)
	if out := w.gql(w.as(w.hire(w.nordwind, "nina@nordwind.example", access.GlobalAdmin)), list).code("RATE_LIMITED"); out.Cost.Limit != organizationBudget || out.Cost.Left >= cost {
		t.Errorf("%+v", out.Cost)
	}
	w.DB.Clock().Advance(time.Minute)
	if out := w.gql(gina, list).ok(); out.Cost.Left != userBudget-cost {
		t.Errorf("not filled up: %+v", out.Cost)
	}
}

// drain spends all but left of an actor's purse, without asking the API.
func (w *world) drain(a access.Actor, left int) {
	w.t.Helper()
	s := w.handler.(*server)
	now, _ := s.charge(w.t.Context(), a, 0)
	if _, ok := s.charge(w.t.Context(), a, now.Left-left); !ok {
		w.t.Fatal("could not spend")
	}
}

func TestStrangersPayByAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	from := func(address string) *answer {
		r := httptest.NewRequest(http.MethodPost, "/graphql", strings.NewReader(`{"query":"{ regions { name countries { name } } }"}`))
		r.Header.Set("Content-Type", "application/json")
		return w.send(nobody, r.WithContext(access.WithCaller(r.Context(), address)))
	}
	cost := from("192.0.2.1").ok().Cost
	if cost.Limit != anonymousBudget {
		t.Fatalf("%+v", cost)
	}
	for range anonymousBudget/cost.Spent - 1 {
		from("192.0.2.1").ok()
	}
	if out := from("192.0.2.1").code("RATE_LIMITED"); out.Status != http.StatusTooManyRequests {
		t.Error(out.Raw)
	}
	from("192.0.2.2").ok()
	w.gql(nobody, "{ regions { name } }").ok() // who is counted by the network
}

// Where the fleet's count is away each process counts by itself, and says so
// once.
func TestBudgetWithoutTheFleet(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var down atomic.Bool
	var asked atomic.Int64
	w.Spend = func(_ context.Context, cost int, keys []string, limits []int) (int, int, time.Time, bool, error) {
		asked.Add(1)
		if down.Load() {
			return 0, 0, time.Time{}, false, errors.New("no redis")
		}
		if len(keys) != 2 || len(limits) != 2 {
			t.Error(keys, limits)
		}
		return 1, 7, w.DB.Now().Add(time.Second), cost < 100, nil
	}
	h, err := New(w.Deps)
	if err != nil {
		t.Fatal(err)
	}
	w.handler = h
	gina := w.as(w.nordwind.admin)
	if out := w.gql(gina, "{ viewer { roles } }").ok(); out.Cost.Left != 7 || out.Cost.Limit != organizationBudget {
		t.Errorf("%+v", out.Cost)
	}
	if out := w.gql(gina, "{ users(first: 100) { nodes { id } } }").code("RATE_LIMITED"); out.Header.Get("Retry-After") != "1" || out.Cost.Left != 7 {
		t.Errorf("%+v", out.Cost)
	}
	down.Store(true)
	for range 3 {
		if out := w.gql(gina, "{ viewer { roles } }").ok(); out.Cost.Limit != userBudget {
			t.Errorf("%+v", out.Cost)
		}
	}
	w.drain(gina, 0)
	w.gql(gina, "{ viewer { roles } }").code("RATE_LIMITED")
	down.Store(false)
	w.gql(gina, "{ viewer { roles } }").ok()
	if strings.Count(w.log.String(), "cannot be reached") != 1 || strings.Count(w.log.String(), "are back") != 1 {
		t.Error(w.log)
	}
}

func TestPursesAreBounded(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	p := newPurses(func() time.Time { return now })
	spend := func(key string, cost int) bool {
		_, _, _, ok := p.spend(cost, []string{key}, []int{10})
		return ok
	}
	for i := range mostPurses + 100 {
		if !spend(fmt.Sprint(i), 10) {
			t.Fatal(i)
		}
	}
	if len(p.of) != mostPurses {
		t.Errorf("%d purses", len(p.of))
	}
	spend("looker", 0)
	if _, kept := p.of["looker"]; kept {
		t.Error("a look made a purse")
	}
	now = now.Add(time.Minute)
	if !spend("another", 10) || len(p.of) != 1 || spend("another", 1) {
		t.Errorf("%d purses after a minute", len(p.of))
	}
	var took atomic.Int64
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if spend("shared", 3) {
				took.Add(1)
			}
		})
	}
	all.Wait()
	if took.Load() != 3 {
		t.Errorf("%d times 3 of 10", took.Load())
	}
}
