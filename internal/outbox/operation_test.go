package outbox

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/database/dbtest"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/page"
)

// person makes a user with one role in an organization of its own.
func person(t *testing.T, db *database.DB, kind access.Kind, role access.Role) access.Actor {
	t.Helper()
	ctx := t.Context()
	org, usr := ident.New(ident.Organization), ident.New(ident.User)
	now := db.Now()
	for _, q := range []struct {
		sql  string
		args []any
	}{
		{"INSERT INTO organization (id, kind, name, name_folded, domain, country, locale, created_at, updated_at) VALUES (?, ?, 'O', 'o', ?, 'IT', 'en', ?, ?)",
			[]any{org, kind, string(org) + ".example", now, now}},
		{"INSERT INTO user_account (id, organization_id, email, email_folded, first_name, last_name, name_folded, locale, status, created_at, updated_at) " +
			"VALUES (?, ?, ?, ?, 'A', 'B', 'a b', 'en', 'ACTIVE', ?, ?)", []any{usr, org, string(usr) + "@o.example", string(usr) + "@o.example", now, now}},
		{"INSERT INTO user_role (user_id, role, granted_by, granted_at) VALUES (?, ?, '', ?)", []any{usr, role, now}},
	} {
		if _, err := db.Bun().NewRaw(q.sql, q.args...).Exec(ctx); err != nil {
			t.Fatal(err)
		}
	}
	a, err := access.Load(ctx, db.Read(), access.Presence{UserID: usr})
	if err != nil || a.OrganizationID != org {
		t.Fatal(a, err)
	}
	return a
}

func code(err error) string {
	if f := fault.As(err); f != nil {
		return f.Code
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

func TestOperationsAreSeenByTheirOwn(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	ctx := t.Context()
	mine := person(t, db, access.IndirectProvider, access.AdminAgent)
	other := person(t, db, access.IndirectProvider, access.AdminAgent)
	op := person(t, db, access.Operator, access.OperatorAdmin)
	plain := person(t, db, access.IndirectProvider, access.DefaultUser)
	subject := ident.New(ident.Invitation)
	var ids []ident.ID
	for i := range 5 {
		ids = append(ids, put(t, db, i, By(mine), About(subject)).ID)
		db.Clock().Advance(time.Second)
	}
	timer := put(t, db, 9, DueAt(db.Now().Add(time.Hour)))
	hidden := put(t, db, 9, By(other), On(Mail))

	for name, c := range map[string]struct {
		actor access.Actor
		id    ident.ID
		want  string
	}{
		"own":                {mine, ids[0], ""},
		"foreign":            {mine, hidden.ID, "NOT_FOUND"},
		"unlisted":           {mine, timer.ID, "NOT_FOUND"},
		"unknown":            {mine, ident.New(ident.Job), "NOT_FOUND"},
		"nobody":             {access.Anonymous("en", ""), ids[0], "UNAUTHENTICATED"},
		"without permission": {plain, ids[0], "ROLE_REQUIRED"},
		"operator":           {op, hidden.ID, ""},
		"operator, unlisted": {op, timer.ID, ""},
	} {
		j, err := Find(ctx, db, c.actor, c.id)
		if code(err) != c.want || (err == nil) != (j != nil) {
			t.Errorf("%s: %v %v", name, j, err)
		}
	}
	many, err := FindMany(ctx, db, mine.Scope(), append(ids, hidden.ID, timer.ID))
	if err != nil || len(many) != 5 {
		t.Fatalf("%d %v", len(many), err)
	}

	two := 2
	first, err := List(ctx, db, mine, page.Args{First: &two}, Filter{SubjectID: &subject})
	if err != nil {
		t.Fatal(err)
	}
	if n := first.Nodes(); len(n) != 2 || n[0].ID != ids[4] || n[1].ID != ids[3] || !first.PageInfo.HasNextPage {
		t.Fatalf("%+v", n)
	}
	if c, err := first.TotalCount(ctx); err != nil || c.Value != 5 || c.Precision != page.Exact {
		t.Fatal(c, err)
	}
	second, err := List(ctx, db, mine, page.Args{First: &two, After: first.PageInfo.EndCursor}, Filter{SubjectID: &subject})
	if err != nil || second.Nodes()[0].ID != ids[2] {
		t.Fatal(err)
	}
	if _, err := List(ctx, db, mine, page.Args{After: first.PageInfo.EndCursor}, Filter{}); code(err) != "BAD_CURSOR" {
		t.Fatal(err)
	}
	kind, state := "test.note", OperationPending
	for name, c := range map[string]struct {
		actor access.Actor
		f     Filter
		n     int
	}{
		"own":               {mine, Filter{}, 5},
		"own, all":          {mine, Filter{All: true}, 5},
		"other":             {other, Filter{}, 1},
		"operator":          {op, Filter{}, 6},
		"operator, all":     {op, Filter{All: true}, 7},
		"kind and state":    {mine, Filter{Kind: &kind, State: &state}, 5},
		"operator, subject": {op, Filter{SubjectID: &subject}, 5},
	} {
		p, err := List(ctx, db, c.actor, page.Args{}, c.f)
		if err != nil || len(p.Edges) != c.n {
			t.Errorf("%s: %v %v", name, p, err)
		}
	}
	for _, st := range []OperationState{OperationRunning, OperationRetrying, OperationSucceeded, OperationFailed, OperationCancelled, "NONSENSE"} {
		if p, err := List(ctx, db, mine, page.Args{}, Filter{State: &st}); err != nil || len(p.Edges) != 0 {
			t.Errorf("%s: %v", st, err)
		}
	}
	if _, err := List(ctx, db, plain, page.Args{}, Filter{}); code(err) != "ROLE_REQUIRED" {
		t.Error(err)
	}
}

// TestVerbs goes through every state of a job and both verbs.
func TestVerbs(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	ctx := t.Context()
	mine := person(t, db, access.IndirectProvider, access.AdminAgent)
	reader := person(t, db, access.IndirectProvider, access.HelpdeskAgent)
	reader.OrganizationID = mine.OrganizationID
	other := person(t, db, access.IndirectReseller, access.GlobalAdmin)

	reach := map[State]func() *Job{
		Pending: func() *Job { return put(t, db, 1, By(mine)) },
		Queued: func() *Job {
			j := put(t, db, 1, By(mine))
			claimAll(t, db)
			return j
		},
		Running: func() *Job { j := put(t, db, 1, By(mine)); handOver(t, db, j.ID); return j },
		Done:    func() *Job { j := put(t, db, 1, By(mine)); finish(t, db, handOver(t, db, j.ID), nil); return j },
		Dead: func() *Job {
			j := put(t, db, 1, By(mine))
			finish(t, db, handOver(t, db, j.ID), fault.GiveUp("NO", nil))
			return j
		},
		Cancelled: func() *Job {
			j := put(t, db, 1, By(mine))
			if _, err := Cancel(ctx, db, mine, j.ID, Hooks{}); err != nil {
				t.Fatal(err)
			}
			return j
		},
	}
	var acts []string
	hooks := Hooks{
		Record: func(_ context.Context, _ *database.Tx, a access.Actor, action string, _ *Job) error {
			acts = append(acts, action)
			return nil
		},
		OnCancel: map[string]func(context.Context, *database.Tx, *Job) error{
			"test.note": func(_ context.Context, _ *database.Tx, j *Job) error {
				acts = append(acts, "told "+string(j.State))
				return nil
			},
		},
	}
	for from, c := range map[State]struct{ cancel, retry string }{
		Pending:   {"", CodeNotRetryable},
		Queued:    {"", CodeNotRetryable},
		Running:   {CodeNotCancellable, CodeNotRetryable},
		Done:      {CodeNotCancellable, CodeNotRetryable},
		Dead:      {"", ""},
		Cancelled: {CodeNotCancellable, CodeNotRetryable},
	} {
		acts = nil
		j := reach[from]()
		for _, verb := range []func(context.Context, *database.DB, access.Actor, ident.ID, Hooks) (*Job, error){Cancel, Retry} {
			if _, err := verb(ctx, db, other, j.ID, hooks); code(err) != "NOT_FOUND" {
				t.Errorf("%s, foreign: %v", from, err)
			}
			if _, err := verb(ctx, db, access.Anonymous("en", ""), j.ID, hooks); code(err) != "UNAUTHENTICATED" {
				t.Errorf("%s, nobody: %v", from, err)
			}
			if _, err := verb(ctx, db, reader, j.ID, hooks); err == nil {
				t.Errorf("%s, reader: allowed", from)
			}
		}
		got, err := Cancel(ctx, db, mine, j.ID, hooks)
		if code(err) != c.cancel {
			t.Errorf("cancel from %s: %v", from, err)
		}
		if err == nil && (got.Status() != OperationCancelled || got.FinishedAt == nil || strings.Join(acts, ",") != "told cancelled,operation.cancelled") {
			t.Errorf("cancel from %s: %+v, %v", from, got, acts)
		}
		acts = nil
		j = reach[from]()
		before := load(t, db, j.ID)
		got, err = Retry(ctx, db, mine, j.ID, hooks)
		if code(err) != c.retry {
			t.Errorf("retry from %s: %v", from, err)
		}
		if err != nil {
			continue
		}
		if got.ID != j.ID || got.Status() != OperationRetrying || strings.Join(acts, ",") != "operation.retried" {
			t.Errorf("retry from %s: %+v, %v", from, got, acts)
		}
		r := handOver(t, db, j.ID)
		if r.Job.Generation != before.Generation+1 || r.Job.Attempt != before.Attempt+1 || r.Job.MaxAttempts != before.Attempt+attempts {
			t.Errorf("retried run %+v", r.Job)
		}
		if st := finish(t, db, r, nil); st != Done || load(t, db, j.ID).FailureCode != nil {
			t.Errorf("retried run ended %s", st)
		}
	}
	boom := errors.New("the concept refuses")
	j := reach[Pending]()
	_, err := Cancel(ctx, db, mine, j.ID, Hooks{OnCancel: map[string]func(context.Context, *database.Tx, *Job) error{
		"test.note": func(context.Context, *database.Tx, *Job) error { return boom }}})
	if !errors.Is(err, boom) || load(t, db, j.ID).State != Pending {
		t.Errorf("%v", err)
	}
}

func TestCancelledQueuedJobDoesNotBegin(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	j := put(t, db, 1, On(Mail))
	hs := claimAll(t, db)
	if _, err := Cancel(t.Context(), db, access.System("test"), j.ID, Hooks{}); err != nil {
		t.Fatal(err)
	}
	if r, err := Begin(t.Context(), db, j.ID, hs[0].Generation, "w", lease); r != nil || err != nil {
		t.Fatal(r, err)
	}
}

func TestRetryIsRefusedWhereItsTwinWaits(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	sys := access.System("test")
	a := put(t, db, 1, Dedupe("k"))
	finish(t, db, handOver(t, db, a.ID), fault.GiveUp("NO", nil))
	put(t, db, 1, Dedupe("k"))
	if _, err := Retry(t.Context(), db, sys, a.ID, Hooks{}); code(err) != CodeNotRetryable {
		t.Fatal(err)
	}
	late := put(t, db, 1, ExpiresAt(db.Now().Add(time.Minute)))
	finish(t, db, handOver(t, db, late.ID), fault.GiveUp("NO", nil))
	db.Clock().Advance(time.Hour)
	if _, err := Retry(t.Context(), db, sys, late.ID, Hooks{}); code(err) != CodeNotRetryable {
		t.Fatal(err)
	}
}

func TestCancelAbout(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	subject := ident.New(ident.Invitation)
	a, b := put(t, db, 1, About(subject), DueAt(db.Now().Add(time.Hour))), put(t, db, 2)
	err := db.InTx(t.Context(), func(ctx context.Context, tx *database.Tx) error {
		return CancelAbout(ctx, tx, subject, "test.note", "test.other")
	})
	if err != nil || load(t, db, a.ID).State != Cancelled || load(t, db, b.ID).State != Pending {
		t.Fatal(err)
	}
}

// create is a verb with an idempotency key; it returns the id of what it made
// and whether that was a replay.
func create(ctx context.Context, db *database.DB, a access.Actor, key string, request any, act func()) (id ident.ID, replay bool, err error) {
	err = db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		prior, err := Once(ctx, tx, a, "createThing", key, request)
		if err != nil {
			return err
		}
		if prior != nil {
			id, replay = prior.ID("thing"), true
			return nil
		}
		j, err := Put(ctx, tx, note{1})
		if err != nil {
			return err
		}
		act()
		id, replay = j.ID, false
		return Remember(ctx, tx, a, "createThing", key, map[string]string{"thing": string(id)})
	})
	return id, replay, err
}

func TestIdempotency(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	ctx := t.Context()
	a, b := access.System("a"), access.System("b")
	in, nothing := map[string]string{"name": "x"}, func() {}
	first, replay, err := create(ctx, db, a, "k1", in, nothing)
	if err != nil || replay {
		t.Fatal(replay, err)
	}
	if again, replay, err := create(ctx, db, a, "k1", in, nothing); err != nil || !replay || again != first {
		t.Fatal(again, replay, err)
	}
	if _, _, err := create(ctx, db, a, "k1", map[string]string{"name": "y"}, nothing); code(err) != "IDEMPOTENCY_KEY_REUSED" {
		t.Fatal(err)
	}
	if f := fault.As(fault.Invalid("idempotencyKey", "X")); f.Problems[0].Path[1] != "idempotencyKey" {
		t.Fatal(f)
	}
	if other, replay, err := create(ctx, db, b, "k1", in, nothing); err != nil || replay || other == first {
		t.Fatal("another actor's key", other, replay, err)
	}
	for _, key := range []string{"", ""} { // no key, no memory
		if id, replay, err := create(ctx, db, a, key, in, nothing); err != nil || replay || id == first {
			t.Fatal(id, replay, err)
		}
	}
	if id, replay, err := create(ctx, db, access.Anonymous("en", ""), "k1", in, nothing); err != nil || replay || id == first {
		t.Fatal("nobody's key", id, replay, err)
	}
	for _, key := range []string{strings.Repeat("k", 129), "a\nb", "ключ", "\x7f"} {
		if _, _, err := create(ctx, db, a, key, in, nothing); code(err) != "INVALID" {
			t.Errorf("%q: %v", key, err)
		}
	}
	boom := errors.New("boom")
	err = db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		if _, err := Once(ctx, tx, a, "createThing", "k2", in); err != nil {
			return err
		}
		return boom
	})
	if !errors.Is(err, boom) {
		t.Fatal(err)
	}
	if _, replay, err := create(ctx, db, a, "k2", in, nothing); err != nil || replay {
		t.Fatal("a rolled back verb was remembered", replay, err)
	}
	db.Clock().Advance(keyLife + time.Minute)
	if id, replay, err := create(ctx, db, a, "k1", map[string]string{"name": "z"}, nothing); err != nil || replay || id == first {
		t.Fatal("a key lives on", id, replay, err)
	}
	if n, err := Prune(ctx, db); err != nil || n != 2 { // b's k1 and a's k2
		t.Fatal(n, err)
	}
}

func TestIdempotencyRace(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	var mu sync.Mutex
	var wg sync.WaitGroup
	ids := map[ident.ID]int{}
	replays := 0
	for range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			id, replay, err := create(t.Context(), db, access.System("a"), "k", "same", func() {})
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			}
			ids[id]++
			if replay {
				replays++
			}
		}()
	}
	wg.Wait()
	if len(ids) != 1 || replays != 7 {
		t.Fatalf("%v, %d replays", ids, replays)
	}
}
