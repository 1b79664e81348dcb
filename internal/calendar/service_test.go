package calendar

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/audit"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/database/dbtest"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/internal/page"
	"github.com/channelgraph/channelgraph/internal/sla"
)

// promise is a concept's row, for tests of moving.
type promise struct {
	bun.BaseModel `bun:"table:test_promise,alias:promise"`
	ID            ident.ID  `bun:"id,pk,type:text"`
	Clock         sla.Clock `bun:"clock,type:jsonb"`
	DueAt         time.Time `bun:"due_at"`
	Moves         int       `bun:"moves"`
}

// world is a service with a concept that keeps promises.
type world struct {
	*Service
	t    *testing.T
	otto access.Actor
	// before runs before a batch is moved.
	before func() error
}

func newWorld(t *testing.T) *world {
	t.Helper()
	rome, err := sla.Zone("Europe/Rome")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{Service: New(dbtest.New(t), rome), t: t}
	if _, err := w.db.Bun().NewCreateTable().Model((*promise)(nil)).Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.OnChange("test.promise", w.move, func(ctx context.Context, idb bun.IDB) (int, error) {
		n, err := idb.NewSelect().Model((*promise)(nil)).Count(ctx)
		return int(n), err
	})
	w.otto = w.person(access.Operator, access.OperatorAdmin)
	return w
}

func (w *world) exec(sql string, args ...any) {
	w.t.Helper()
	if _, err := w.db.Bun().NewRaw(sql, args...).Exec(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) person(kind access.Kind, role access.Role) access.Actor {
	w.t.Helper()
	org, usr, now := ident.New(ident.Organization), ident.New(ident.User), w.db.Now()
	w.exec("INSERT INTO organization (id, kind, name, name_folded, domain, country, locale, created_at, updated_at) VALUES (?, ?, 'O', 'o', ?, 'IT', 'en', ?, ?)",
		org, kind, string(org)+".example", now, now)
	w.exec("INSERT INTO user_account (id, organization_id, email, email_folded, first_name, last_name, name_folded, locale, status, created_at, updated_at) "+
		"VALUES (?, ?, ?, ?, 'Otto', 'B', 'otto b', 'en', 'ACTIVE', ?, ?)", usr, org, string(usr)+"@o.example", string(usr)+"@o.example", now, now)
	w.exec("INSERT INTO user_role (user_id, role, granted_by, granted_at) VALUES (?, ?, '', ?)", usr, role, now)
	a, err := access.Load(w.t.Context(), w.db.Read(), access.Presence{UserID: usr})
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

// move is the concept's mover.
func (w *world) move(ctx context.Context, tx *database.Tx, c *sla.Calendar, after ident.ID, limit int) (ident.ID, int, error) {
	if w.before != nil {
		if err := w.before(); err != nil {
			return "", 0, err
		}
	}
	var rows []*promise
	err := tx.Lock(tx.NewSelect().Model(&rows).Where("promise.id > ?", after).OrderExpr("promise.id").Limit(int64(limit))).Scan(ctx)
	if err != nil || len(rows) == 0 {
		return "", 0, err
	}
	for _, p := range rows {
		p.DueAt, _ = p.Clock.At(c, p.Clock.Due, tx.Now)
		p.Moves++
		if _, err := tx.NewUpdate().Model(p).WherePK().Exec(ctx); err != nil {
			return "", 0, err
		}
	}
	return rows[len(rows)-1].ID, len(rows), nil
}

// promise makes promises, each begun an hour after the other.
func (w *world) promise(n int, from time.Time) {
	w.t.Helper()
	err := w.db.InTx(w.t.Context(), func(ctx context.Context, tx *database.Tx) error {
		c, err := w.Current(ctx, tx)
		if err != nil {
			return err
		}
		rows := make([]*promise, n)
		for i := range rows {
			k := sla.Start(sla.BusinessDays, 3*sla.Day, 5*sla.Day, from.Add(time.Duration(i)*time.Hour))
			if i%3 == 0 { // some were paused
				k.Pause(k.Runs[0].From.Add(time.Hour))
				k.Resume(k.Runs[0].From.Add(30 * time.Hour))
			}
			rows[i] = &promise{ID: ident.New(ident.Job), Clock: k}
			rows[i].DueAt, _ = k.At(c, k.Due, tx.Now)
		}
		_, err = tx.NewInsert().Model(&rows).Exec(ctx)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// right fails where a promise is not what the calendar makes of it; it counts
// how often rows were moved.
func (w *world) right() (moves int) {
	w.t.Helper()
	c, err := w.Current(w.t.Context(), w.db.Read())
	if err != nil {
		w.t.Fatal(err)
	}
	var rows []*promise
	if err := w.db.Read().NewSelect().Model(&rows).Scan(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	for _, p := range rows {
		moves += p.Moves
		if due, _ := p.Clock.At(c, p.Clock.Due, w.db.Now()); !due.Equal(p.DueAt) {
			w.t.Fatalf("%s is due at %s, want %s", p.ID, p.DueAt, due)
		}
	}
	return moves
}

// begin hands a job over as the relay and a worker do.
func (w *world) begin(j *outbox.Job) *outbox.Run {
	w.t.Helper()
	w.exec("UPDATE job SET state = 'queued', generation = generation + 1 WHERE id = ? AND state IN ('pending', 'running')", j.ID)
	var generation int
	if err := w.db.Read().NewSelect().TableExpr("job").Column("generation").Where("id = ?", j.ID).Scan(w.t.Context(), &generation); err != nil {
		w.t.Fatal(err)
	}
	run, err := outbox.Begin(w.t.Context(), w.db, j.ID, generation, "test", time.Minute)
	if err != nil || run == nil {
		w.t.Fatal("the job did not begin", err)
	}
	return run
}

// perform runs a job to its end.
func (w *world) perform(j *outbox.Job) {
	w.t.Helper()
	var args MovePromises
	if err := json.Unmarshal([]byte(j.Payload), &args); err != nil {
		w.t.Fatal(err)
	}
	run := w.begin(j)
	if err := w.MovePromises(w.t.Context(), run, args); err != nil || !run.Finished() {
		w.t.Fatal(err)
	}
}

func (w *world) holiday(date string) (*Holiday, *outbox.Job) {
	w.t.Helper()
	h, j, err := w.AddHoliday(w.t.Context(), w.otto, AddHolidayInput{Date: date, Name: "Holiday"})
	if err != nil {
		w.t.Fatal(err)
	}
	return h, j
}

// progress is how far the newest change has come.
func (w *world) progress() *Move {
	w.t.Helper()
	c, err := w.Find(w.t.Context(), w.otto)
	if err != nil {
		w.t.Fatal(err)
	}
	m, err := w.LastMove(w.t.Context(), w.otto, c)
	if err != nil {
		w.t.Fatal(err)
	}
	return m
}

// soon is a weekday some days ahead, and a moment before it.
func (w *world) soon() (date string, from time.Time) {
	day := w.db.Now().Add(5 * sla.Day)
	for day.Weekday() == time.Saturday || day.Weekday() == time.Sunday {
		day = day.Add(sla.Day)
	}
	return day.Format(time.DateOnly), day.Add(-20 * sla.Day)
}

// The figure of the house: a holiday added moves 5,000 clocks, in one job
// whose progress can be seen, and which goes on where it was killed.
func TestAHolidayMovesFiveThousandClocks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	day, from := w.soon()
	const all = 5_000
	w.promise(all, from.Add(-all/2*time.Hour))
	h, j := w.holiday(day)
	if h.Date != day || j.Kind != "calendar.move_promises" || !j.Listed || j.ActorID != w.otto.UserID {
		t.Errorf("%+v, %+v", h, j)
	}
	if m := w.progress(); m.JobID != j.ID || m.Moved != 0 || m.Total != nil || m.FinishedAt != nil {
		t.Errorf("before it began: %+v", m)
	}
	// The worker dies in the seventh batch.
	killed, batches := errors.New("killed"), 0
	w.before = func() error {
		if batches++; batches == 7 {
			return killed
		}
		return nil
	}
	if err := w.MovePromises(t.Context(), w.begin(j), MovePromises{Version: 2}); !errors.Is(err, killed) {
		t.Fatal(err)
	}
	if m := w.progress(); m.Moved != 3_000 || *m.Total != all || m.Mover != "test.promise" || m.CursorID == "" || m.FinishedAt != nil {
		t.Errorf("killed: %+v", m)
	}
	w.perform(j)
	if m := w.progress(); m.Moved != all || m.FinishedAt == nil || len(m.Done) != 1 {
		t.Errorf("done: %+v", m)
	}
	if moves := w.right(); moves != all {
		t.Errorf("%d moves of %d clocks", moves, all)
	}
	var jobs, moved int
	if err := w.db.Read().NewSelect().TableExpr("job").ColumnExpr("count(*)").Where("kind = 'calendar.move_promises'").Scan(t.Context(), &jobs); err != nil || jobs != 1 {
		t.Errorf("%d jobs, %v", jobs, err)
	}
	before := Calendar{Workdays: Weekdays[:5], OpensMinute: 540, ClosesMinute: 1020}
	plain := before.rules(w.zone, nil)
	var rows []*promise
	if err := w.db.Read().NewSelect().Model(&rows).Scan(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, p := range rows {
		if due, _ := p.Clock.At(plain, p.Clock.Due, now); due.Before(p.DueAt) {
			moved++
		}
	}
	if moved < 100 || moved == all {
		t.Errorf("%d clocks are due later than before", moved)
	}
	// Delivered once more, nothing happens.
	w.exec("UPDATE job SET state = 'pending', finished_at = NULL WHERE id = ?", j.ID)
	w.perform(j)
	if moves := w.right(); moves != all {
		t.Errorf("%d moves of %d clocks by a job that ran twice", moves, all)
	}
}

func TestALaterChangeTakesOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.batch = 10
	day, from := w.soon()
	w.promise(95, from)
	_, first := w.holiday(day)
	var second *outbox.Job
	batches := 0
	w.before = func() error {
		if batches++; batches == 5 {
			return errors.New("killed")
		}
		return nil
	}
	run := w.begin(first)
	if err := w.MovePromises(t.Context(), run, MovePromises{Version: 2}); err == nil {
		t.Fatal("went on")
	}
	if _, second = w.holiday(from.Add(2 * sla.Day).Format(time.DateOnly)); second.ID == first.ID {
		t.Fatal("one job for two changes")
	}
	stale := run
	run = w.begin(first)
	if err := w.MovePromises(t.Context(), run, MovePromises{Version: 2}); err != nil || !run.Finished() || batches != 5 {
		t.Errorf("the first change went on for %d batches: %v", batches, err)
	}
	if m, err := moveOf(t.Context(), w.db.Read(), 2); err != nil || m.Moved != 40 || m.FinishedAt == nil {
		t.Errorf("%+v, %v", m, err)
	}
	if err := w.MovePromises(t.Context(), stale, MovePromises{Version: 2}); !errors.Is(err, outbox.ErrLost) {
		t.Errorf("a worker that lost its job: %v", err)
	}
	w.perform(second)
	if moves := w.right(); moves != 40+95 {
		t.Errorf("%d moves", moves)
	}
	if err := w.MovePromises(t.Context(), run, MovePromises{Version: 2}); err != nil {
		t.Error(err)
	}
}

// Movers follow one after the other; one that fails holds up the job and loses
// nothing, one that stands still is told apart from one that works.
func TestMovers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.batch = 10
	day, from := w.soon()
	w.promise(30, from) // three full batches, and an empty one
	var fail error
	seen := 0
	w.OnChange("test.other", func(_ context.Context, _ *database.Tx, c *sla.Calendar, after ident.ID, limit int) (ident.ID, int, error) {
		seen++
		if !c.Holidays[day] || limit != 10 {
			t.Errorf("%d of %+v", limit, c)
		}
		return after, limit, fail
	})
	_, j := w.holiday(day)
	fail = errors.New("no such row")
	if err := w.MovePromises(t.Context(), w.begin(j), MovePromises{Version: 2}); !errors.Is(err, fail) {
		t.Fatal(err)
	}
	fail = nil
	if m := w.progress(); m.Moved != 30 || m.Total != nil || len(m.Done) != 1 || m.Mover != "" {
		t.Errorf("%+v", m)
	}
	w.exec("UPDATE calendar_move SET mover = 'test.other', cursor_id = 'x'")
	if err := w.MovePromises(t.Context(), w.begin(j), MovePromises{Version: 2}); err == nil || seen != 2 {
		t.Errorf("%v after %d", err, seen)
	}
	w.moves = w.moves[:1] // the concept is gone
	w.perform(j)
	if w.right() != 30 {
		t.Error("moved anew")
	}
	_, j = w.holiday(from.Format(time.DateOnly))
	if r := fault.AsRetry(w.MovePromises(t.Context(), w.begin(j), MovePromises{Version: 9})); r == nil || !r.Never {
		t.Errorf("a move that there is not: %v", r)
	}
}

// A change waits for the transaction of who has read the calendar.
func TestAChangeWaitsForPromises(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	day, _ := w.soon()
	in := AddHolidayInput{Date: day, Name: "Holiday"}
	err := w.db.InTx(t.Context(), func(ctx context.Context, tx *database.Tx) error {
		if _, err := w.Current(ctx, tx); err != nil {
			return err
		}
		short, cancel := context.WithTimeout(t.Context(), 150*time.Millisecond)
		defer cancel()
		if _, _, err := w.AddHoliday(short, w.otto, in); err == nil || short.Err() == nil {
			t.Errorf("changed under a promise that is being made: %v", err)
		}
		_, err := w.Current(ctx, tx) // readers do not wait for each other
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.AddHoliday(t.Context(), w.otto, in); err != nil {
		t.Error(err)
	}
}

// A promise that is made while the calendar changes is made on the one or
// moved to the other.
func TestPromisesMadeMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, from := w.soon()
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			for range 5 {
				w.promise(20, from)
			}
		})
		if i%2 == 0 {
			wg.Go(func() { w.holiday(from.Add(time.Duration(i+1) * sla.Day).Format(time.DateOnly)) })
		}
	}
	wg.Wait()
	var last outbox.Job
	if err := w.db.Read().NewSelect().Model(&last).Where("id IN (SELECT job_id FROM calendar_move WHERE version = (SELECT version FROM calendar))").Scan(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.perform(&last)
	if moves := w.right(); moves != 600 {
		t.Errorf("%d moves", moves)
	}
}

func TestCurrent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, err := w.Current(t.Context(), w.db.Read())
	if err != nil || c.Location.String() != "Europe/Rome" || fmt.Sprint(c.Workdays) != "[false true true true true true false]" ||
		c.Opens != 9*time.Hour || c.Closes != 17*time.Hour || len(c.Holidays) != 0 {
		t.Fatalf("%+v, %v", c, err)
	}
	if z := New(w.db, nil).zone; z != time.UTC {
		t.Errorf("without a setting: %s", z)
	}
	day, _ := w.soon()
	w.holiday(day)
	for _, statements := range []int64{2, 1, 1} {
		before := w.db.Queries()
		c, err = w.Current(t.Context(), w.db.Read())
		if got := w.db.Queries() - before; err != nil || got != statements || !c.Holidays[day] {
			t.Errorf("%d statements, want %d: %+v, %v", got, statements, c, err)
		}
	}
	w.exec("UPDATE calendar SET time_zone = 'Mars/Olympus', version = 99")
	if _, err := w.Current(t.Context(), w.db.Read()); err == nil {
		t.Error("a zone that nobody knows")
	}
}

func TestSet(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	before, err := w.Find(ctx, w.otto)
	if err != nil || before.TimeZone != "Europe/Rome" || before.Version != 1 || before.UpdatedAt != nil || before.Opens() != "09:00" || before.Closes() != "17:00" || w.progress() != nil {
		t.Fatalf("%+v, %v", before, err)
	}
	one := 1
	in := SetInput{TimeZone: "America/New_York", Workdays: []Weekday{Sunday, Monday}, Opens: "08:30", Closes: "24:00", ExpectedVersion: &one}
	c, j, err := w.Set(ctx, w.otto, in)
	if err != nil || c.Version != 2 || c.UpdatedByID != w.otto.UserID || c.UpdatedAt == nil || j == nil {
		t.Fatalf("%+v, %+v, %v", c, j, err)
	}
	rules, err := w.Current(ctx, w.db.Read())
	if err != nil || rules.Location.String() != "America/New_York" || !rules.Workdays[time.Sunday] || rules.Workdays[time.Friday] || rules.Opens != 510*time.Minute || rules.Closes != sla.Day {
		t.Errorf("%+v, %v", rules, err)
	}
	if _, _, err := w.Set(ctx, w.otto, in); problems(err) != "expectedVersion CONFLICT" {
		t.Error(err)
	}
	in.ExpectedVersion = nil
	if c, j, err := w.Set(ctx, w.otto, in); err != nil || j != nil || c.Version != 2 {
		t.Errorf("nothing changed: %+v, %+v, %v", c, j, err)
	}
	if _, _, err := w.Set(ctx, w.otto, SetInput{}); problems(err) != "timeZone TIME_ZONE_UNKNOWN, workdays REQUIRED, opens TIME_INVALID, closes TIME_INVALID" {
		t.Error(err)
	}
	events, err := audit.List(ctx, w.db, w.otto, page.Args{}, audit.Filter{})
	if err != nil || len(events.Edges) != 1 || events.Edges[0].Node.Action != "calendar.changed" || fmt.Sprint(events.Edges[0].Node.Changed) != "[closes opens timeZone workdays]" {
		t.Errorf("%+v, %v", events, err)
	}
	w.perform(j)
	if m := w.progress(); m.FinishedAt == nil || m.Moved != 0 || *m.Total != 0 {
		t.Errorf("%+v", m)
	}
	// Setting the zone that the setting gave fixes it.
	w.exec("UPDATE calendar SET time_zone = ''")
	in.TimeZone = "Europe/Rome"
	if _, j, err := w.Set(ctx, w.otto, in); err != nil || j == nil {
		t.Errorf("%+v, %v", j, err)
	}
}

func TestHolidays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx, key := t.Context(), "k"
	year := w.db.Now().Year() + 1
	on := func(day string) string { return fmt.Sprintf("%d-%s", year, day) }
	in := AddHolidayInput{Date: on("12-25"), Name: " Natale ", IdempotencyKey: &key}
	h, j, err := w.AddHoliday(ctx, w.otto, in)
	if err != nil || h.Name != "Natale" || h.CreatedByID != w.otto.UserID || !h.ID.Is(ident.Holiday) || j == nil {
		t.Fatalf("%+v, %+v, %v", h, j, err)
	}
	if again, op, err := w.AddHoliday(ctx, w.otto, in); err != nil || again.ID != h.ID || op.ID != j.ID {
		t.Errorf("%+v, %+v, %v", again, op, err)
	}
	in.Date = on("12-26")
	if _, _, err := w.AddHoliday(ctx, w.otto, in); problems(err) != "idempotencyKey IDEMPOTENCY_KEY_REUSED" {
		t.Error(err)
	}
	if _, _, err := w.AddHoliday(ctx, w.otto, AddHolidayInput{Date: on("12-25"), Name: "Christmas"}); problems(err) != "date HOLIDAY_EXISTS" {
		t.Error(err)
	}
	for _, day := range []string{"01-01", "04-25", "05-01", "08-15"} {
		w.holiday(on(day))
	}
	if c, err := w.Find(ctx, w.otto); err != nil || c.Version != 6 {
		t.Errorf("%+v, %v", c, err)
	}
	list := func(args page.Args, f HolidayFilter) (out []string) {
		t.Helper()
		c, err := w.Holidays(ctx, w.otto, args, f)
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range c.Nodes() {
			out = append(out, h.Date[5:])
		}
		n, err := c.TotalCount(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return append(out, fmt.Sprint(n.Value))
	}
	two, since, until := 2, on("04-25"), on("12-25")
	if got := list(page.Args{}, HolidayFilter{}); fmt.Sprint(got) != "[01-01 04-25 05-01 08-15 12-25 5]" {
		t.Error(got)
	}
	if got := list(page.Args{Last: &two}, HolidayFilter{Since: &since, Until: &until}); fmt.Sprint(got) != "[05-01 08-15 3]" {
		t.Error(got)
	}
	bad := "soon"
	if _, err := w.Holidays(ctx, w.otto, page.Args{}, HolidayFilter{Since: &bad}); problems(err) != "filter.since DATE_INVALID" {
		t.Error(err)
	}
	if found, err := w.HolidaysByIDs(ctx, w.otto, []ident.ID{h.ID, "hol_x"}); err != nil || len(found) != 1 || found[h.ID].Date != h.Date {
		t.Errorf("%v, %v", found, err)
	}
	c, j, err := w.RemoveHoliday(ctx, w.otto, RemoveHolidayInput{HolidayID: h.ID})
	if err != nil || c.Version != 7 || j == nil {
		t.Errorf("%+v, %+v, %v", c, j, err)
	}
	if rules, err := w.Current(ctx, w.db.Read()); err != nil || rules.Holidays[h.Date] || !rules.Holidays[on("08-15")] {
		t.Errorf("%+v, %v", rules, err)
	}
	if _, _, err := w.RemoveHoliday(ctx, w.otto, RemoveHolidayInput{HolidayID: h.ID}); fault.As(err).Kind != fault.KindNotFound {
		t.Error(err)
	}
	in.Date = on("12-25")
	if _, _, err := w.AddHoliday(ctx, w.otto, in); fault.As(err).Kind != fault.KindNotFound {
		t.Errorf("replayed after its removal: %v", err)
	}
	events, err := audit.List(ctx, w.db, w.otto, page.Args{}, audit.Filter{TargetID: &h.ID})
	if err != nil || len(events.Edges) != 2 || events.Edges[0].Node.Action != "calendar.holiday_removed" || events.Edges[1].Node.Action != "calendar.holiday_added" {
		t.Errorf("%+v, %v", events, err)
	}
}

func TestWhoMayWhat(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	day, _ := w.soon()
	h, j := w.holiday(day)
	for name, c := range map[string]struct {
		actor access.Actor
		code  string
		reads bool
	}{
		"nobody":   {access.Anonymous("en", ""), fault.CodeUnauthenticated, false},
		"reviewer": {w.person(access.Operator, access.Reviewer), fault.CodeRoleRequired, true},
		"provider": {w.person(access.IndirectProvider, access.GlobalAdmin), fault.CodeRoleRequired, true},
	} {
		_, _, set := w.Set(ctx, c.actor, SetInput{})
		_, _, add := w.AddHoliday(ctx, c.actor, AddHolidayInput{})
		_, _, remove := w.RemoveHoliday(ctx, c.actor, RemoveHolidayInput{HolidayID: h.ID})
		for verb, err := range map[string]error{"set": set, "add": add, "remove": remove} {
			if f := fault.As(err); f == nil || f.Code != c.code {
				t.Errorf("%s %s: %v", name, verb, err)
			}
		}
		cal, err := w.Find(ctx, c.actor)
		_, lerr := w.Holidays(ctx, c.actor, page.Args{}, HolidayFilter{})
		found, ferr := w.HolidaysByIDs(ctx, c.actor, []ident.ID{h.ID})
		if (err == nil) != c.reads || (lerr == nil) != c.reads || ferr != nil || (len(found) == 1) != c.reads {
			t.Errorf("%s reads: %v, %v, %v, %v", name, err, lerr, found, ferr)
		}
		if m, err := w.LastMove(ctx, c.actor, &Calendar{Version: 2}); err != nil || (m != nil) != (name == "reviewer") {
			t.Errorf("%s reads of %+v: %v, %+v", name, m, err, cal)
		}
	}
	_, err := outbox.Cancel(ctx, w.db, w.otto, j.ID, outbox.Hooks{OnCancel: map[string]func(context.Context, *database.Tx, *outbox.Job) error{MovePromises{}.Kind(): w.Cancelled}})
	if f := fault.As(err); f == nil || f.Code != outbox.CodeNotCancellable {
		t.Errorf("called off: %v", err)
	}
	w.perform(j)
}
