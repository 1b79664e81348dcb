package event

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/database/dbtest"
	"github.com/channelgraph/channelgraph/internal/ident"
)

var quiet = slog.New(slog.DiscardHandler)

// company makes a partner with a user who sees what concerns it.
func company(t testing.TB, db *database.DB) (partner ident.ID, scope access.Scope) {
	t.Helper()
	ctx, now := context.Background(), db.Now()
	org, usr, par := ident.New(ident.Organization), ident.New(ident.User), ident.New(ident.Partner)
	exec := func(q string, args ...any) {
		if _, err := db.Bun().NewRaw(q, args...).Exec(ctx); err != nil {
			t.Fatal(err)
		}
	}
	exec("INSERT INTO organization (id, kind, name, name_folded, domain, country, locale, created_at, updated_at) VALUES (?, 'INDIRECT_PROVIDER', 'O', 'o', ?, 'IT', 'en', ?, ?)",
		org, string(org)+".example", now, now)
	exec("INSERT INTO user_account (id, organization_id, email, email_folded, first_name, last_name, name_folded, locale, status, created_at, updated_at) "+
		"VALUES (?, ?, ?, ?, 'A', 'B', 'a b', 'en', 'ACTIVE', ?, ?)", usr, org, string(usr)+"@o.example", string(usr)+"@o.example", now, now)
	exec("INSERT INTO partner (id, organization_id, programme_id, kind, status, legal_name, legal_name_folded, tenant_domain, registrable_domain, country, region, currency, created_at, updated_at) "+
		"VALUES (?0, ?1, ?0, 'INDIRECT_PROVIDER', 'ACTIVE', ?0, ?0, ?2, ?2, 'IT', 'EU', 'EUR', ?3, ?3)", par, org, string(par)+".example", now)
	a, err := access.Load(ctx, db.Read(), access.Presence{UserID: usr})
	if err != nil || a.IsAnonymous() {
		t.Fatal(a, err)
	}
	return par, a.Scope()
}

func record(ctx context.Context, t testing.TB, db *database.DB, subject string, partner, other ident.ID) {
	t.Helper()
	err := db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		return Record(ctx, tx, PartnershipChanged, ident.ID(subject), partner, other)
	})
	if err != nil {
		t.Error(err)
	}
}

func open(t testing.TB, h *Hub, s access.Scope, since *int64) *Reader {
	t.Helper()
	r, _, reset, err := h.Open(context.Background(), s, since)
	if err != nil || reset {
		t.Fatal(err, reset)
	}
	t.Cleanup(r.Close)
	return r
}

// wait reads the next event, however long it takes to come.
func wait(t testing.TB, r *Reader) *Event {
	t.Helper()
	late := time.NewTimer(time.Minute)
	defer late.Stop()
	for {
		e, err := r.Next(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if e != nil {
			return e
		}
		select {
		case <-r.C():
		case <-late.C:
			t.Fatal("no event came")
		}
	}
}

func expect(t testing.TB, r *Reader, subjects ...string) (last int64) {
	t.Helper()
	for _, s := range subjects {
		e := wait(t, r)
		if string(e.SubjectID) != s || e.Number <= last {
			t.Fatalf("got %s as number %d after %d, want %s", e.SubjectID, e.Number, last, s)
		}
		last = e.Number
	}
	return last
}

func nothing(t testing.TB, r *Reader) {
	t.Helper()
	if err := r.hub.turn(context.Background()); err != nil {
		t.Fatal(err)
	}
	if e, err := r.Next(context.Background()); e != nil || err != nil {
		t.Fatalf("got %+v, %v", e, err)
	}
}

func TestEventsReachWhomTheyConcern(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	ctx := t.Context()
	a, ofA := company(t, db)
	b, ofB := company(t, db)
	_, ofC := company(t, db)
	record(ctx, t, db, "before", a, b)
	h := NewHub(db, quiet)
	ra, rb, rc, all := open(t, h, ofA, nil), open(t, h, ofB, nil), open(t, h, ofC, nil), open(t, h, access.System("test").Scope(), nil)
	record(ctx, t, db, "one", a, b)
	record(ctx, t, db, "two", b, "")
	record(ctx, t, db, "three", a, a)
	first := expect(t, ra, "one")
	expect(t, ra, "three")
	expect(t, rb, "one", "two")
	expect(t, all, "one", "two", "three")
	for _, r := range []*Reader{ra, rb, rc, all} {
		nothing(t, r)
	}
	again := open(t, h, ofA, &first)
	expect(t, again, "three")
	start := int64(0)
	expect(t, open(t, h, ofA, &start), "before", "one", "three")
	expect(t, open(t, h, ofB, &start), "before", "one", "two")
	nothing(t, open(t, h, ofC, &start))
	if _, _, _, err := h.Open(ctx, access.Anonymous("en", "").Scope(), nil); err == nil {
		t.Error("nobody may read")
	}
}

// An event gets its number after its commit: one that commits late comes late,
// and is not passed over.
func TestLateCommitsAreNotLost(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	ctx := t.Context()
	a, ofA := company(t, db)
	h := NewHub(db, quiet)
	r := open(t, h, ofA, nil)
	if db.Dialect() == database.SQLite { // one writer: nothing commits late
		record(ctx, t, db, "only", a, "")
		expect(t, r, "only")
		return
	}
	wrote, release := make(chan struct{}), make(chan struct{})
	var slow sync.WaitGroup
	slow.Go(func() {
		err := db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
			if err := Record(ctx, tx, PartnershipChanged, "slow", a, ""); err != nil {
				return err
			}
			close(wrote)
			<-release
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	<-wrote
	record(ctx, t, db, "fast", a, "")
	last := expect(t, r, "fast")
	nothing(t, r)
	close(release)
	slow.Wait()
	expect(t, r, "slow")
	expect(t, open(t, h, ofA, &last), "slow") // who came back meanwhile sees it, too
}

// Many writers, readers that come, lag and come back: every event once, in
// order, whatever else happens.
func TestNothingIsLost(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	db := dbtest.Open(t, url, database.NewClock(0))
	hubs := []*Hub{NewHub(db, quiet)}
	if db.Dialect() == database.Postgres { // a second process
		hubs = append(hubs, NewHub(dbtest.Open(t, url, database.NewClock(0)), quiet))
	}
	const writers, each = 4, 100
	a, ofA := company(t, db)
	b, ofB := company(t, db)
	scopes := []access.Scope{ofA, ofB, access.System("test").Scope()}
	var readers, writing sync.WaitGroup
	for _, h := range hubs {
		for _, scope := range scopes {
			for _, stops := range []int{0, 7, 90} { // comes back after so many events
				r := open(t, h, scope, nil)
				readers.Go(func() {
					seen := map[ident.ID]int64{}
					last := int64(0)
					for len(seen) < writers*each {
						e := wait(t, r)
						if seen[e.SubjectID] != 0 || e.Number <= last {
							t.Errorf("%s came as %d after %d, before as %d", e.SubjectID, e.Number, last, seen[e.SubjectID])
							return
						}
						last = e.Number
						seen[e.SubjectID] = last
						if stops > 0 && len(seen)%stops == 0 {
							r.Close()
							r = open(t, h, scope, &last)
						}
					}
				})
			}
		}
	}
	for w := range writers {
		writing.Go(func() {
			for n := range each {
				record(t.Context(), t, db, fmt.Sprintf("%d/%d", w, n), a, b)
			}
		})
	}
	writing.Wait()
	readers.Wait()
	for _, h := range hubs {
		h.mu.Lock()
		if len(h.by) != 2 || len(h.all) != 3 {
			t.Errorf("%d organizations and %d others still read", len(h.by), len(h.all))
		}
		h.mu.Unlock()
	}
}

// A reader that does not read keeps the process no memory, and loses nothing.
func TestLaggingReaders(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	a, ofA := company(t, db)
	h := NewHub(db, quiet)
	r := open(t, h, ofA, nil)
	const n = 3*room + page
	err := db.InTx(t.Context(), func(ctx context.Context, tx *database.Tx) error {
		for i := range n {
			if err := Record(ctx, tx, InvitationChanged, ident.ID(fmt.Sprint(i)), a, ""); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.turn(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.mu.Lock()
	if len(r.live) > room {
		t.Errorf("%d events wait in memory", len(r.live))
	}
	h.mu.Unlock()
	for i := range n {
		expect(t, r, fmt.Sprint(i))
	}
	nothing(t, r)
	record(t.Context(), t, db, "after", a, "")
	expect(t, r, "after")
}

func TestNoReadersNoWork(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	a, ofA := company(t, db)
	h := NewHub(db, quiet)
	r := open(t, h, ofA, nil)
	r.Close()
	r.Close()
	if h.stop != nil || len(h.by) != 0 {
		t.Error("the pump runs on")
	}
	record(t.Context(), t, db, "unheard", a, "")
	r = open(t, h, ofA, nil) // from now on
	record(t.Context(), t, db, "heard", a, "")
	expect(t, r, "heard")
}

func TestRolledBackEventsWereNever(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	a, ofA := company(t, db)
	r := open(t, NewHub(db, quiet), ofA, nil)
	_ = db.InTx(t.Context(), func(ctx context.Context, tx *database.Tx) error {
		if err := Record(ctx, tx, PartnershipChanged, "undone", a, ""); err != nil {
			t.Error(err)
		}
		return context.Canceled
	})
	record(t.Context(), t, db, "done", a, "")
	expect(t, r, "done")
}

func TestPrune(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	ctx := t.Context()
	a, ofA := company(t, db)
	h := NewHub(db, quiet)
	start := int64(0)
	for i := range 3 {
		record(ctx, t, db, fmt.Sprint(i), a, "")
	}
	if n, err := Prune(ctx, db); n != 0 || err != nil {
		t.Fatal(n, err)
	}
	db.Clock().Advance(keep - time.Hour)
	record(ctx, t, db, "kept", a, "")
	if n, err := Prune(ctx, db); n != 0 || err != nil { // numbers it, a day before the others go
		t.Fatal(n, err)
	}
	db.Clock().Advance(2 * time.Hour)
	if n, err := Prune(ctx, db); n != 3 || err != nil {
		t.Fatal(n, err)
	}
	if _, at, reset, err := h.Open(ctx, ofA, &start); err != nil || !reset || at != 4 {
		t.Errorf("a reader of gone events begins at %d, reset %v, %v", at, reset, err)
	}
	three := int64(3)
	expect(t, open(t, h, ofA, &three), "kept")
	beyond := int64(99)
	if _, at, reset, err := h.Open(ctx, ofA, &beyond); err != nil || !reset || at != 4 {
		t.Errorf("a reader from the future begins at %d, reset %v, %v", at, reset, err)
	}
}
