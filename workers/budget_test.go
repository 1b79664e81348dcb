package workers

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/channelgraph/channelgraph/internal/database/dbtest"
	"github.com/channelgraph/channelgraph/internal/ident"
)

// newBudget is a budget of its own on the Redis of the tests, or on one within
// this process.
func newBudget(t *testing.T, now time.Time) (*Budget, clock) {
	t.Helper()
	url, c := dbtest.RedisURL(), clock{}
	if url == "" {
		c.mini = miniredis.RunT(t)
		url = "redis://" + c.mini.Addr()
	}
	b, err := NewBudget(url, ident.New(ident.Job).Body(), func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b, c
}

// clock lets time pass in a Redis within this process; in a real one it passes
// by itself.
type clock struct{ mini *miniredis.Miniredis }

func (c clock) pass(d time.Duration) {
	if c.mini != nil {
		c.mini.FastForward(d)
	}
}

func TestBudget(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	b, _ := newBudget(t, now)
	keys, limits := []string{"ann", "house"}, []int{100, 150}
	other := []string{"bob", "house"}
	for i, c := range []struct {
		cost        int
		keys        []string
		tight, left int
		ok          bool
	}{
		{0, keys, 0, 100, true},
		{60, keys, 0, 40, true},
		{41, keys, 0, 40, false}, // and nothing was taken
		{40, keys, 0, 0, true},
		{1, keys, 0, 0, false},
		{0, keys, 0, 0, true},
		{51, other, 1, 50, false}, // the house has 50 left, and so bob lost nothing
		{50, other, 1, 0, true},
		{0, []string{"bob", "another"}, 0, 100, true},
		{1, []string{"carl"}, 0, 99, true},
	} {
		tight, left, at, ok, err := b.Spend(t.Context(), c.cost, c.keys, limits)
		if err != nil || tight != c.tight || left != c.left || ok != c.ok {
			t.Errorf("%d: purse %d has %d left, %v; %v", i, tight, left, ok, err)
		}
		if wait := at.Sub(now); wait <= 30*time.Second || wait > time.Minute {
			t.Errorf("%d: full again in %s", i, wait)
		}
	}
}

func TestBudgetFillsUp(t *testing.T) {
	t.Parallel()
	now := time.Now()
	b, mini := newBudget(t, now)
	b.span = 2 * time.Second
	spend := func() (time.Time, bool) {
		_, _, at, ok, err := b.Spend(t.Context(), 10, []string{"ann"}, []int{10})
		if err != nil {
			t.Fatal(err)
		}
		return at, ok
	}
	if at, ok := spend(); !ok || at.Sub(now) > b.span {
		t.Fatal(at, ok)
	}
	if _, ok := spend(); ok {
		t.Fatal("spent twice")
	}
	for deadline := time.Now().Add(time.Minute); ; {
		mini.pass(b.span) // times pass there only when told
		if _, ok := spend(); ok {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("it never fills up")
		}
	}
}

// However many processes spend at once, no more is spent than there is.
func TestBudgetIsExactUnderLoad(t *testing.T) {
	t.Parallel()
	b, _ := newBudget(t, time.Now())
	var ok atomic.Int64
	var all sync.WaitGroup
	for range 60 {
		all.Go(func() {
			_, _, _, taken, err := b.Spend(t.Context(), 7, []string{"ann", "house"}, []int{1000, 200})
			if err != nil {
				t.Error(err)
			}
			if taken {
				ok.Add(1)
			}
		})
	}
	all.Wait()
	if ok.Load() != 200/7 {
		t.Errorf("%d spent", ok.Load())
	}
}

// Where Redis is away it says so at once, and asks again only after a rest.
func TestBudgetWithoutRedis(t *testing.T) {
	t.Parallel()
	mini := miniredis.RunT(t)
	b, err := NewBudget("redis://"+mini.Addr(), "", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	spend := func() error {
		_, _, _, _, err := b.Spend(t.Context(), 1, []string{"ann"}, []int{10})
		return err
	}
	if err := spend(); err != nil {
		t.Fatal(err)
	}
	mini.Close()
	if err := spend(); err == nil || errors.Is(err, errBudgetRests) {
		t.Fatal(err)
	}
	if err := spend(); !errors.Is(err, errBudgetRests) {
		t.Fatal(err)
	}
	b.rests.Store(0)
	if err := mini.Restart(); err != nil {
		t.Fatal(err)
	}
	if err := spend(); err != nil {
		t.Error("did not come back:", err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, _, _, err := b.Spend(gone, 1, []string{"ann"}, []int{10}); err == nil || b.rests.Load() != 0 {
		t.Error("a caller who left counts as a failure of redis", err)
	}
	if _, err := NewBudget("http://x", "", time.Now); err == nil || strings.Contains(err.Error(), "http://x") {
		t.Error(err)
	}
}
