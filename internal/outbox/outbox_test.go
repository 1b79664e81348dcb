package outbox

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/database/dbtest"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/migrations"
)

type note struct{ N int }

func (note) Kind() string { return "test.note" }

const lease = 30 * time.Second

func put(t *testing.T, db *database.DB, n int, opts ...Option) *Job {
	t.Helper()
	var j *Job
	err := db.InTx(t.Context(), func(ctx context.Context, tx *database.Tx) (err error) {
		j, err = Put(ctx, tx, note{n}, opts...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func load(t *testing.T, db *database.DB, id ident.ID) *Job {
	t.Helper()
	j := &Job{ID: id}
	if err := db.Read().NewSelect().Model(j).WherePK().Scan(t.Context()); err != nil {
		t.Fatal(err)
	}
	return j
}

func claimAll(t *testing.T, db *database.DB) []Handover {
	t.Helper()
	c, err := Claim(t.Context(), db, 500)
	if err != nil {
		t.Fatal(err)
	}
	return c.Jobs
}

// handOver claims what is due and begins the one job.
func handOver(t *testing.T, db *database.DB, id ident.ID) *Run {
	t.Helper()
	for _, h := range claimAll(t, db) {
		if h.ID == id {
			r, err := Begin(t.Context(), db, id, h.Generation, "w", lease)
			if err != nil || r == nil {
				t.Fatalf("begin: %v, %v", r, err)
			}
			return r
		}
	}
	t.Fatalf("%s was not due", id)
	return nil
}

func finish(t *testing.T, db *database.DB, r *Run, err error) State {
	t.Helper()
	e := &Ending{Run: r, Err: err}
	if err := Finish(t.Context(), db, []*Ending{e}); err != nil {
		t.Fatal(err)
	}
	return e.State
}

func TestLife(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	ctx := t.Context()
	j := put(t, db, 1)
	later := put(t, db, 2, DueAt(db.Now().Add(time.Hour)))
	if got := load(t, db, j.ID); got.State != Pending || got.Generation != 0 || got.Status() != OperationPending || got.NextAttemptAt() == nil {
		t.Fatalf("put: %+v", got)
	}
	hs := claimAll(t, db)
	if len(hs) != 1 || hs[0].ID != j.ID || hs[0].Generation != 1 || hs[0].Kind != "test.note" || hs[0].Queue != Default {
		t.Fatalf("claimed %+v", hs)
	}
	if more := claimAll(t, db); len(more) != 0 {
		t.Fatalf("claimed again: %+v", more)
	}
	for _, stale := range []int{0, 2} {
		if r, err := Begin(ctx, db, j.ID, stale, "w", lease); r != nil || err != nil {
			t.Fatalf("generation %d began: %v %v", stale, r, err)
		}
	}
	r, err := Begin(ctx, db, j.ID, 1, "w", lease)
	if err != nil || r == nil || r.Job.Attempt != 1 || r.Job.Payload != `{"N":1}` || r.Job.StartedAt == nil {
		t.Fatalf("begin: %+v %v", r, err)
	}
	if again, err := Begin(ctx, db, j.ID, 1, "w2", lease); again != nil || err != nil {
		t.Fatalf("began twice: %v %v", again, err)
	}
	if got := load(t, db, j.ID); got.Status() != OperationRunning || got.NextAttemptAt() != nil {
		t.Fatalf("running: %+v", got)
	}
	if st := finish(t, db, r, nil); st != Done {
		t.Fatalf("finished as %q", st)
	}
	if got := load(t, db, j.ID); got.State != Done || got.FinishedAt == nil || got.SweepAt != nil || got.Status() != OperationSucceeded {
		t.Fatalf("done: %+v", got)
	}
	if st := finish(t, db, r, nil); st != "" {
		t.Fatalf("finished twice as %q", st)
	}
	o, err := NextDue(ctx, db)
	if err != nil || o.Busy || o.DueAt == nil || !o.DueAt.Equal(later.DueAt) {
		t.Fatalf("next due: %+v %v, want %v", o, err, later.DueAt)
	}
	if h, err := History(ctx, db.Read(), j.ID); err != nil || len(h) != 0 {
		t.Fatalf("history of a success: %v %v", h, err)
	}
}

func TestDoneInTheHandlersTransaction(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	ctx := t.Context()
	r := handOver(t, db, put(t, db, 1).ID)
	boom := errors.New("boom")
	err := db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		if err := r.Done(ctx, tx); err != nil {
			return err
		}
		return boom
	})
	if !errors.Is(err, boom) || r.Finished() {
		t.Fatalf("rolled back: %v, finished %v", err, r.Finished())
	}
	if err := db.InTx(ctx, r.Done); err != nil || !r.Finished() {
		t.Fatalf("done: %v", err)
	}
	if got := load(t, db, r.Job.ID); got.State != Done {
		t.Fatalf("state %s", got.State)
	}
	if err := db.InTx(ctx, r.Done); !errors.Is(err, ErrLost) {
		t.Fatalf("done twice: %v", err)
	}
	if st := finish(t, db, r, nil); st != Done {
		t.Fatalf("finish after done: %q", st)
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	plain := errors.New("no")
	for _, c := range []struct {
		name             string
		attempt, max     int
		err              error
		state            State
		code             string
		charged          bool
		wait, waitAtMost time.Duration
	}{
		{"plain", 1, 12, plain, Pending, CodeFailed, true, 1600 * time.Millisecond, 2400 * time.Millisecond},
		{"plain, third", 3, 12, plain, Pending, CodeFailed, true, 6400 * time.Millisecond, 9600 * time.Millisecond},
		{"used up", 12, 12, plain, Dead, CodeFailed, true, 0, 2 * time.Hour},
		{"fault", 1, 12, fault.NotFound("id"), Pending, "NOT_FOUND", true, time.Second, 3 * time.Second},
		{"after", 1, 12, fault.RetryAfter(time.Minute, "SMTP_DEFERRED", plain), Pending, "SMTP_DEFERRED", true, time.Minute, time.Minute},
		{"after, used up", 2, 2, fault.RetryAfter(time.Minute, "SMTP_DEFERRED", plain), Dead, "SMTP_DEFERRED", true, 0, time.Hour},
		{"free", 12, 12, fault.RetryFree(time.Minute, "SMTP_DOWN", plain), Pending, "SMTP_DOWN", false, time.Minute, time.Minute},
		{"never", 1, 12, fault.GiveUp("REFUSED", plain), Dead, "REFUSED", true, 0, time.Hour},
		{"wrapped", 1, 12, fmt.Errorf("sending: %w", fault.GiveUp("REFUSED", plain)), Dead, "REFUSED", true, 0, time.Hour},
	} {
		for _, luck := range []float64{0, 0.5, 0.999} {
			v := judge(&Job{Attempt: c.attempt, MaxAttempts: c.max}, c.err, luck)
			if v.state != c.state || v.code != c.code || v.charged != c.charged || v.wait < c.wait || v.wait > c.waitAtMost {
				t.Errorf("%s: %+v", c.name, v)
			}
		}
	}
}

func TestBackoffBounds(t *testing.T) {
	t.Parallel()
	last := time.Duration(0)
	for n := range 40 {
		low, mid, high := Backoff(n, 0), Backoff(n, 0.5), Backoff(n, 1)
		if low < 1600*time.Millisecond || high > 72*time.Minute || low > mid || mid > high || mid < last {
			t.Errorf("attempt %d: %s %s %s", n, low, mid, high)
		}
		last = mid
	}
	if last != time.Hour {
		t.Errorf("cap %s", last)
	}
}

func TestMask(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"550 no such user <ada@example.com>":                      "550 no such user <[address]>",
		"token cgv_AbC-123 and cgi_zz":                            "token cgv_[token] and cgi_[token]",
		"key " + strings.Repeat("Ab1_", 15):                       "key [token]",
		"line\nbreak\x00":                                         "line break ",
		`bad "` + strings.Repeat("word ", 20) + `"`:               `bad "` + strings.Repeat("word ", 7) + `wor…"`,
		"job_01jh8x6k3m5n7p9q1r3s5t7v9w has gone":                 "job_01jh8x6k3m5n7p9q1r3s5t7v9w has gone",
		strings.Repeat("long ", 60):                               strings.Repeat("long ", 39) + "long…",
		"dial tcp 10.0.0.1:25: connect: connection refused":       "dial tcp 10.0.0.1:25: connect: connection refused",
		"rcpt to:<\"quoted local\"@x.example>, ada@x.example too": "rcpt to:<[address]>, [address] too",
	} {
		if got := Mask(in); got != want {
			t.Errorf("%q:\n got %q\nwant %q", in, got, want)
		}
	}
}

func TestFailuresAreRetriedThenDead(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	j := put(t, db, 1, MaxAttempts(2))
	if st := finish(t, db, handOver(t, db, j.ID), errors.New("ada@example.com is away")); st != Pending {
		t.Fatal(st)
	}
	got := load(t, db, j.ID)
	if got.Status() != OperationRetrying || *got.LastError != "[address] is away" || *got.FailureCode != CodeFailed ||
		!got.DueAt.After(db.Now()) || got.DueAt.After(db.Now().Add(3*time.Second)) {
		t.Fatalf("%+v", got)
	}
	if hs := claimAll(t, db); len(hs) != 0 {
		t.Fatal("claimed before its time")
	}
	db.Clock().Advance(3 * time.Second)
	if st := finish(t, db, handOver(t, db, j.ID), fault.RetryFree(time.Second, "SMTP_DOWN", nil)); st != Pending {
		t.Fatal(st)
	}
	if got := load(t, db, j.ID); got.Attempt != 1 {
		t.Fatalf("a free attempt was charged: %d", got.Attempt)
	}
	db.Clock().Advance(3 * time.Second)
	if st := finish(t, db, handOver(t, db, j.ID), errors.New("again")); st != Dead {
		t.Fatal(st)
	}
	got = load(t, db, j.ID)
	if got.Status() != OperationFailed || got.FinishedAt == nil || got.Attempts() != 2 || got.Generation != 3 {
		t.Fatalf("%+v", got)
	}
	h, err := History(t.Context(), db.Read(), j.ID)
	if err != nil || len(h) != 2 || h[0].Number != 1 || h[1].Number != 2 || *h[0].LastError != "[address] is away" || h[0].Worker != "w" ||
		*h[0].Outcome != outcomeFailed {
		t.Fatalf("history %+v %v", h, err)
	}
	db.Clock().Advance(48 * time.Hour)
	if hs := claimAll(t, db); len(hs) != 0 {
		t.Fatal("a dead job was claimed")
	}
}

func TestTwoRelaysNeverShareARow(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	const n = 300
	err := db.InTx(t.Context(), func(ctx context.Context, tx *database.Tx) error {
		for i := range n {
			if _, err := Put(ctx, tx, note{i}, On(Queues[i%len(Queues)])); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	seen := map[ident.ID]int{}
	for range 4 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for misses := 0; misses < 3; {
				c, err := Claim(t.Context(), db, 7)
				if err != nil {
					t.Error(err)
					return
				}
				if len(c.Jobs) == 0 {
					misses++
				}
				mu.Lock()
				for _, h := range c.Jobs {
					seen[h.ID]++
				}
				mu.Unlock()
			}
		}()
	}
	wg.Wait()
	if len(seen) != n {
		t.Errorf("%d of %d claimed", len(seen), n)
	}
	for id, k := range seen {
		if k != 1 {
			t.Errorf("%s claimed %d times", id, k)
		}
	}
}

func TestRoomInRedis(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	err := db.InTx(t.Context(), func(ctx context.Context, tx *database.Tx) error {
		jobs := make([]*Job, 0, room+5)
		for range room + 5 {
			jobs = append(jobs, &Job{ID: ident.New(ident.Job), Kind: "test.note", Queue: Low, Payload: "{}", State: Pending,
				DueAt: tx.Now, MaxAttempts: 1, CreatedAt: tx.Now})
		}
		_, err := tx.NewInsert().Model(&jobs).Exec(ctx)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	c, err := Claim(t.Context(), db, 2*room)
	if err != nil || len(c.Jobs) != room || !c.Full {
		t.Fatalf("%d claimed, full %v, %v", len(c.Jobs), c.Full, err)
	}
	other := put(t, db, 1, On(Critical))
	next, err := Claim(t.Context(), db, 500)
	if err != nil || len(next.Jobs) != 1 || next.Jobs[0].ID != other.ID || !next.Full {
		t.Fatalf("a full queue held another one back: %+v %v", next, err)
	}
	if err := Return(t.Context(), db, c.Jobs[:3]); err != nil {
		t.Fatal(err)
	}
	if next, err = Claim(t.Context(), db, 500); err != nil || len(next.Jobs) != 3 {
		t.Fatalf("%d claimed, %v", len(next.Jobs), err)
	}
	if got := load(t, db, c.Jobs[5].ID); got.Attempt != 0 {
		t.Fatal("charged")
	}
}

func TestReturnAndReofferAreFree(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	ctx := t.Context()
	j := put(t, db, 1)
	m := put(t, db, 1, On(Mail))
	hs := claimAll(t, db)
	if n, err := Reoffer(ctx, db, Default); err != nil || n != 1 {
		t.Fatal(n, err)
	}
	if got := load(t, db, m.ID); got.State != Queued {
		t.Fatal("another queue was offered again")
	}
	again := claimAll(t, db)
	if len(hs) != 2 || len(again) != 1 || again[0].ID != j.ID || again[0].Generation != 2 {
		t.Fatalf("%+v then %+v", hs, again)
	}
	if r, err := Begin(ctx, db, j.ID, 1, "w", lease); r != nil || err != nil {
		t.Fatalf("the old generation began: %v %v", r, err)
	}
	r, err := Begin(ctx, db, j.ID, 2, "w", lease)
	if err != nil || r == nil || r.Job.Attempt != 1 {
		t.Fatalf("%+v %v", r, err)
	}
	if err := Return(ctx, db, again); err != nil { // late: it runs already
		t.Fatal(err)
	}
	if st := finish(t, db, r, nil); st != Done {
		t.Fatal(st)
	}
}

func TestSweep(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	ctx := t.Context()
	lost := put(t, db, 1)
	claimAll(t, db)
	if s, err := Sweep(ctx, db); err != nil || s != (Swept{}) {
		t.Fatal(s, err)
	}
	db.Clock().Advance(handover + time.Second)
	if s, err := Sweep(ctx, db); err != nil || s != (Swept{Lost: 1}) {
		t.Fatal(s, err)
	}
	if got := load(t, db, lost.ID); got.State != Pending || got.Attempt != 0 || got.Kills != 0 {
		t.Fatalf("%+v", got)
	}
	var zombies []*Run
	for kill := 1; kill <= maxKills; kill++ {
		zombies = append(zombies, handOver(t, db, lost.ID))
		db.Clock().Advance(lease - time.Second)
		if s, err := Sweep(ctx, db); err != nil || s != (Swept{}) {
			t.Fatal(s, err)
		}
		db.Clock().Advance(2 * time.Second)
		want := Swept{Killed: 1}
		if kill == maxKills {
			want.Dead = 1
		}
		if s, err := Sweep(ctx, db); err != nil || s != want {
			t.Fatal(kill, s, err)
		}
	}
	got := load(t, db, lost.ID)
	if got.State != Dead || *got.FailureCode != CodeKilled || got.Attempt != 3 {
		t.Fatalf("%+v", got)
	}
	for i, z := range zombies { // what comes back from the dead has no effect
		if st := finish(t, db, z, nil); st != "" {
			t.Errorf("zombie %d finished as %s", i, st)
		}
		if err := db.InTx(ctx, z.Done); !errors.Is(err, ErrLost) {
			t.Errorf("zombie %d: %v", i, err)
		}
	}
	h, err := History(ctx, db.Read(), lost.ID)
	if err != nil || len(h) != 3 || *h[2].Outcome != outcomeKilled {
		t.Fatalf("%+v %v", h, err)
	}
}

func TestExtendKeepsTheLease(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	ctx := t.Context()
	a, b := put(t, db, 1), put(t, db, 2)
	ra := handOver(t, db, a.ID)
	hb := load(t, db, b.ID)
	rb, err := Begin(ctx, db, b.ID, hb.Generation, "w", lease)
	if err != nil || rb == nil {
		t.Fatal(rb, err)
	}
	db.Clock().Advance(20 * time.Second)
	if lost, err := Extend(ctx, db, []*Run{ra, rb}, lease); err != nil || len(lost) != 0 {
		t.Fatal(lost, err)
	}
	db.Clock().Advance(20 * time.Second)
	if s, err := Sweep(ctx, db); err != nil || s != (Swept{}) {
		t.Fatal(s, err)
	}
	finish(t, db, rb, nil)
	if lost, err := Extend(ctx, db, []*Run{ra, rb}, lease); err != nil || len(lost) != 1 || lost[0] != rb {
		t.Fatal(lost, err)
	}
}

func TestExpiry(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	ctx := t.Context()
	at := db.Now().Add(time.Minute)
	waiting := put(t, db, 1, DueAt(at.Add(time.Second)), ExpiresAt(at))
	between := put(t, db, 2, ExpiresAt(at))
	failing := put(t, db, 3, ExpiresAt(at))
	hs := claimAll(t, db)
	var gen int
	for _, h := range hs {
		if h.ID == failing.ID {
			r, err := Begin(ctx, db, h.ID, h.Generation, "w", lease)
			if err != nil {
				t.Fatal(err)
			}
			if st := finish(t, db, r, fault.RetryAfter(time.Hour, "LATER", nil)); st != Pending {
				t.Fatal(st)
			}
		} else {
			gen = h.Generation
		}
	}
	if got := load(t, db, failing.ID); !got.DueAt.Equal(at) {
		t.Fatalf("due %s, want the expiry %s", got.DueAt, at)
	}
	db.Clock().Advance(2 * time.Minute)
	if r, err := Begin(ctx, db, between.ID, gen, "w", lease); r != nil || err != nil {
		t.Fatal(r, err)
	}
	c, err := Claim(ctx, db, 500)
	if err != nil || len(c.Jobs) != 0 || c.Expired != 2 {
		t.Fatalf("%+v %v", c, err)
	}
	for _, id := range []ident.ID{waiting.ID, between.ID, failing.ID} {
		if got := load(t, db, id); got.State != Dead || *got.FailureCode != CodeExpired {
			t.Errorf("%+v", got)
		}
	}
}

func TestDedupe(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	a := put(t, db, 1, Dedupe("k"))
	if b := put(t, db, 2, Dedupe("k")); b.ID != a.ID {
		t.Fatal("two jobs under one key")
	}
	finish(t, db, handOver(t, db, a.ID), nil)
	if b := put(t, db, 2, Dedupe("k")); b.ID == a.ID {
		t.Fatal("a finished job holds its key")
	}
}

func TestStats(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	ctx := t.Context()
	put(t, db, 1, On(Mail))
	claimAll(t, db)
	put(t, db, 2, On(Mail))
	put(t, db, 2, DueAt(db.Now().Add(time.Hour)))
	db.Clock().Advance(time.Minute)
	s, err := Stats(ctx, db)
	if err != nil || s.Queues[Mail] != (QueueStats{Waiting: 1, Queued: 1}) || s.Queues[Default] != (QueueStats{}) ||
		s.Oldest < time.Minute || s.Oldest > 2*time.Minute || s.Dead != 0 {
		t.Fatalf("%+v %v", s, err)
	}
	d := put(t, db, 3)
	finish(t, db, handOver(t, db, d.ID), fault.GiveUp("NO", nil))
	if s, err = Stats(ctx, db); err != nil || s.Dead != 1 {
		t.Fatalf("%+v %v", s, err)
	}
}

func TestTick(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	ctx := t.Context()
	tick := func() Ticked {
		t.Helper()
		got, err := Tick(ctx, db, "tidy", time.Hour, note{1}, On(Low))
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	toNext := func(next time.Time, over time.Duration) { db.Clock().Advance(next.Sub(db.Now()) + over) }

	var wg sync.WaitGroup
	var mu sync.Mutex
	puts := 0
	for range 5 { // five processes
		wg.Add(1)
		go func() {
			defer wg.Done()
			got, err := Tick(ctx, db, "tidy", time.Hour, note{1}, On(Low))
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			}
			if got.Put {
				puts++
			}
		}()
	}
	wg.Wait()
	if puts != 1 {
		t.Fatalf("put %d times", puts)
	}
	first := tick()
	if first.Put || !first.Next.After(db.Now()) || !first.Next.Equal(first.Next.Truncate(time.Hour)) {
		t.Fatalf("%+v", first)
	}
	if hs := claimAll(t, db); len(hs) != 0 {
		t.Fatal("due before its moment")
	}
	toNext(first.Next, time.Second)
	second := tick()
	if !second.Put || second.Missed != 0 || !second.Next.Equal(first.Next.Add(time.Hour)) {
		t.Fatalf("%+v", second)
	}
	// Nobody ran for five hours: one job for all of it, and the coming one.
	toNext(second.Next, 5*time.Hour)
	third := tick()
	if !third.Put || third.Missed != 6 { // five unwritten, and the first's job was never begun
		t.Fatalf("%+v", third)
	}
	if hs := claimAll(t, db); len(hs) != 1 || hs[0].Queue != Low {
		t.Fatalf("%+v", hs)
	}
	if o, err := NextDue(ctx, db); err != nil || o.DueAt == nil || !o.DueAt.Equal(third.Next) {
		t.Fatalf("%+v %v", o, err)
	}
}

func TestPrune(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	ctx := t.Context()
	done, listed, dead := put(t, db, 1), put(t, db, 2, func(j *Job) { j.Listed = true }), put(t, db, 3)
	waiting := put(t, db, 4, DueAt(db.Now().Add(999*time.Hour)))
	for i, h := range claimAll(t, db) {
		r, err := Begin(ctx, db, h.ID, h.Generation, "w", lease)
		if err != nil {
			t.Fatal(i, err)
		}
		var end error
		if h.ID == dead.ID {
			end = fault.GiveUp("NO", nil)
		}
		finish(t, db, r, end)
	}
	if _, err := Tick(ctx, db, "tidy", time.Hour, note{1}); err != nil {
		t.Fatal(err)
	}
	if n, err := Prune(ctx, db); err != nil || n != 0 {
		t.Fatal(n, err)
	}
	db.Clock().Advance(keepDone + 3*time.Hour)
	if _, err := Tick(ctx, db, "tidy", time.Hour, note{1}); err != nil {
		t.Fatal(err)
	}
	if n, err := Prune(ctx, db); err != nil || n != 2 { // the done job and the old tick
		t.Fatal(n, err)
	}
	db.Clock().Advance(keepListed)
	if n, err := Prune(ctx, db); err != nil || n != 1 {
		t.Fatal(n, err)
	}
	for id, want := range map[ident.ID]bool{done.ID: false, listed.ID: false, dead.ID: true, waiting.ID: true} {
		there, err := db.Read().NewSelect().TableExpr("job").Where("id = ?", id).Exists(ctx)
		if err != nil || there != want {
			t.Errorf("%s there: %v, %v", id, there, err)
		}
	}
}

// TestTheWaysToRowsAreIndexed keeps the engine's queries from reading the
// whole table on SQLite, which takes a partial index only by its own words.
func TestTheWaysToRowsAreIndexed(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	if db.Dialect() != database.SQLite {
		db = dbtest.Open(t, "sqlite://"+sqliteCopy(t), database.NewClock(0))
	}
	seen := &plans{t: t, db: db}
	ctx := t.Context()
	db.Bun().AddQueryHook(seen) //nolint:staticcheck // a copy of the handle would not see the engine's statements
	if r, ok := db.Read().(*bun.DB); ok && r != db.Bun() {
		r.AddQueryHook(seen) //nolint:staticcheck // as above
	}
	subject := ident.New(ident.Invitation)
	j := put(t, db, 1, Dedupe("k"), About(subject))
	put(t, db, 1, Dedupe("k"))
	r := handOver(t, db, j.ID)
	if _, err := Extend(ctx, db, []*Run{r}, lease); err != nil {
		t.Fatal(err)
	}
	finish(t, db, r, errors.New("no"))
	db.Clock().Advance(time.Minute)
	handOver(t, db, j.ID)
	db.Clock().Advance(time.Hour)
	if _, err := Sweep(ctx, db); err != nil {
		t.Fatal(err)
	}
	hs := claimAll(t, db)
	if err := Return(ctx, db, hs); err != nil {
		t.Fatal(err)
	}
	if _, err := Reoffer(ctx, db); err != nil {
		t.Fatal(err)
	}
	finish(t, db, handOver(t, db, j.ID), nil)
	if _, err := NextDue(ctx, db); err != nil {
		t.Fatal(err)
	}
	if _, err := Stats(ctx, db); err != nil {
		t.Fatal(err)
	}
	if err := db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		return CancelAbout(ctx, tx, subject, "test.note")
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := Tick(ctx, db, "tidy", time.Hour, note{1}); err != nil {
		t.Fatal(err)
	}
	if _, err := Prune(ctx, db); err != nil {
		t.Fatal(err)
	}
	if len(seen.queries) < 15 {
		t.Fatalf("only %d statements seen", len(seen.queries))
	}
	for _, q := range seen.queries {
		var plan []map[string]any
		if err := db.Bun().NewRaw("EXPLAIN QUERY PLAN "+q).Scan(context.Background(), &plan); err != nil {
			t.Errorf("%s: %v", q, err)
		}
		for _, step := range plan {
			detail := fmt.Sprint(step["detail"])
			if (detail == "SCAN job" || strings.HasPrefix(detail, "SCAN job ")) && !strings.Contains(detail, "USING") {
				t.Errorf("reads the whole table: %s\n%s", detail, q)
			}
		}
	}
}

// plans collects the statements about jobs.
type plans struct {
	t       *testing.T
	db      *database.DB
	mu      sync.Mutex
	queries []string
}

func (p *plans) BeforeQuery(ctx context.Context, _ *bun.QueryEvent) context.Context { return ctx }

func (p *plans) AfterQuery(_ context.Context, e *bun.QueryEvent) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if strings.Contains(e.Query, "job") && !strings.HasPrefix(e.Query, "EXPLAIN") && !strings.HasPrefix(e.Query, "INSERT") {
		p.queries = append(p.queries, e.Query)
	}
}

func sqliteCopy(t *testing.T) string {
	t.Helper()
	path := t.TempDir() + "/plans.db"
	db, err := database.Open(t.Context(), "sqlite://"+path, database.Options{Unsafe: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := migrations.Up(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	return path
}
