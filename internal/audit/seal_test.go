package audit

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/ident"
)

// seal seals what has rested and verifies that n events went in.
func (w *world) seal(all bool, n int) {
	w.Helper()
	if got, err := w.s.seal(w.Context(), all); err != nil || got != n {
		w.Fatalf("sealed %d, want %d: %v", got, n, err)
	}
}

func (w *world) verify(o VerifyOptions) *Report {
	w.Helper()
	r, err := Verify(w.Context(), w.db, o)
	if err != nil {
		w.Fatal(err)
	}
	return r
}

// chain is a world with 23 events in three seals of 10, 10 and 3.
func chain(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.act(access.System("test"), some(23, "thing.done")...)
	w.db.Clock().Advance(settle)
	w.seal(false, 23)
	return w
}

func TestTheFormOfTheChainIsKept(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 9, 0, 0, 123456000, time.UTC)
	e := &Event{ID: "aud_1", At: at, ActorID: "usr_1", ActorKind: ActorUser, ActorName: "Ann", OrganizationID: "org_1", OnBehalfOfID: "org_2", Action: "thing.done",
		TargetID: "inv_1", TargetOrganizationID: "org_3", Changed: []string{"a", "b"}, Outcome: Done, Reason: "WHY", RequestID: "r", IPPrefix: "192.0.2.0/24"}
	const digest = "feb7ae79e8dcea33891e753d760233a9426adde58c9784e520c9d97e4b7fb3df"
	if got := e.digest(); got != digest {
		t.Errorf("digest %s: chains that were sealed before no longer verify", got)
	}
	s := &Seal{Number: 7, SettledAt: at, SealedAt: at.Add(settle), PreviousHash: strings.Repeat("0f", 32)}
	if _, late := s.close([]*Event{e}, at); late != 1 {
		t.Errorf("%d late", late)
	}
	const hash = "fda74a550ce74838476cddce0315e7615b940e7bc376635e74ac2a734d84cb8c"
	if s.Hash != hash {
		t.Errorf("hash %s: chains that were sealed before no longer verify", s.Hash)
	}
	// Personal values may go, nothing else.
	erased := *e
	erased.ActorName, erased.IPPrefix = "", ""
	if erased.digest() != digest {
		t.Error("erasing personal values breaks the chain")
	}
	for name, change := range map[string]func(*Event){
		"id": func(e *Event) { e.ID = "aud_2" }, "at": func(e *Event) { e.At = at.Add(time.Microsecond) }, "actor": func(e *Event) { e.ActorID = "" },
		"kind": func(e *Event) { e.ActorKind = ActorSystem }, "organization": func(e *Event) { e.OrganizationID = "" },
		"on behalf": func(e *Event) { e.OnBehalfOfID = "" }, "action": func(e *Event) { e.Action = "thing.undone" }, "target": func(e *Event) { e.TargetID = "" },
		"target organization": func(e *Event) { e.TargetOrganizationID = "" }, "changed": func(e *Event) { e.Changed = []string{"ab"} },
		"outcome": func(e *Event) { e.Outcome = Refused }, "reason": func(e *Event) { e.Reason = "" }, "request": func(e *Event) { e.RequestID = "" },
		"token":  func(e *Event) { e.TokenID = "tok_1" },
		"border": func(e *Event) { e.TargetID, e.TargetOrganizationID = "inv_1o", "rg_3" },
	} {
		x := *e
		change(&x)
		if x.digest() == digest {
			t.Errorf("a change of %s leaves the digest as it was", name)
		}
	}
}

func TestTheDatabaseRefusesChanges(t *testing.T) {
	t.Parallel()
	w := chain(t)
	for _, sql := range []string{
		"UPDATE audit_event SET action = 'x'", "UPDATE audit_event SET actor_name = ''", "DELETE FROM audit_event",
		"UPDATE audit_seal SET hash = 'x'", "DELETE FROM audit_seal", "UPDATE audit_sealed SET digest = 'x'", "DELETE FROM audit_sealed",
		"INSERT INTO audit_event SELECT * FROM audit_event WHERE TRUE ON CONFLICT (id) DO UPDATE SET action = 'x'",
		"INSERT INTO audit_seal SELECT * FROM audit_seal WHERE TRUE ON CONFLICT (number) DO UPDATE SET hash = 'x'",
		"INSERT INTO audit_sealed SELECT * FROM audit_sealed WHERE TRUE ON CONFLICT (event_id) DO UPDATE SET digest = 'x'",
	} {
		w.refused(sql)
	}
	if w.db.Dialect() == database.Postgres {
		for _, sql := range []string{"TRUNCATE audit_event", "TRUNCATE audit_sealed", "TRUNCATE audit_seal CASCADE"} {
			w.refused(sql)
		}
	} else {
		for _, table := range []string{"audit_event", "audit_seal", "audit_sealed"} {
			w.refused("INSERT OR REPLACE INTO " + table + " SELECT * FROM " + table)
			w.refused("REPLACE INTO " + table + " SELECT * FROM " + table)
		}
	}
	if r := w.verify(VerifyOptions{}); r.Finding != nil || r.Events != 23 {
		t.Errorf("%+v", r)
	}
}

func (w *world) refused(sql string) {
	w.Helper()
	if _, err := w.db.Bun().NewRaw(sql).Exec(w.Context()); err == nil || !strings.Contains(err.Error(), "append-only") {
		w.Errorf("%s: %v", sql, err)
	}
}

func TestSealsCoverEveryEventOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if r := w.verify(VerifyOptions{}); r.Finding != nil || r.Seals != 0 || r.Head.Number != 0 {
		t.Errorf("an empty audit: %+v", r)
	}
	w.seal(false, 0)
	w.act(access.System("test"), some(4, "thing.done")...)
	w.seal(false, 0) // nothing has rested
	if r := w.verify(VerifyOptions{}); r.Finding != nil || r.Unsealed != 4 {
		t.Errorf("before the first seal: %+v", r)
	}
	w.db.Clock().Advance(settle)
	w.seal(false, 4)
	w.seal(false, 0)
	first := w.verify(VerifyOptions{})
	w.act(access.System("test"), some(23, "thing.done")...)
	w.db.Clock().Advance(settle - 3*step) // the last two have not rested
	w.seal(false, 21)
	r := w.verify(VerifyOptions{Head: &first.Head})
	if r.Finding != nil || r.Seals != 4 || r.Events != 25 || r.Unsealed != 2 || r.Late != 0 || r.Head.Number != 4 {
		t.Errorf("%+v", r)
	}
	if from := w.verify(VerifyOptions{From: 3}); from.Finding != nil || from.Seals != 2 || from.Events != 11 || from.Head != r.Head {
		t.Errorf("from the third seal: %+v", from)
	}
	if from := w.verify(VerifyOptions{From: 5}); from.Finding != nil || from.Seals != 0 || from.Head != r.Head {
		t.Errorf("from behind the last seal: %+v", from)
	}
	if _, err := Verify(t.Context(), w.db, VerifyOptions{From: 6}); err == nil {
		t.Error("verified from a seal that cannot be")
	}
	for _, h := range []Head{first.Head, r.Head} {
		if !strings.Contains(w.log.String(), fmt.Sprintf("seal=%d hash=%s", h.Number, h.Hash)) {
			t.Errorf("head %s was not logged: %s", h, w.log)
		}
		if back, err := ParseHead(h.String()); err != nil || back != h {
			t.Errorf("%s is read as %s: %v", h, back, err)
		}
	}
	for _, bad := range []string{"", "1", "1:", "x:" + r.Head.Hash, "0:" + r.Head.Hash, "1:zz", "1:" + r.Head.Hash[2:]} {
		if _, err := ParseHead(bad); err == nil {
			t.Errorf("%q is taken for a head", bad)
		}
	}
}

// A transaction takes its moment when it begins; what it recorded appears
// when it commits.
func TestLateEventsFallIntoTheNextSeal(t *testing.T) {
	t.Parallel()
	w := chain(t)
	straggler := w.insert(w.db.Now().Add(-settle - step/2))
	w.seal(false, 1)
	ancient := w.insert(w.db.Now().Add(-lookBack - time.Hour))
	w.seal(false, 0) // beyond what the frequent one looks at
	if r := w.verify(VerifyOptions{}); r.Finding == nil || r.Finding.Flaw != EventExtra || r.Finding.EventID != ancient || r.Finding.Seal != 0 {
		t.Errorf("an event outside: %+v %v", r, r.Finding)
	}
	w.seal(true, 1)
	r := w.verify(VerifyOptions{})
	if r.Finding != nil || r.Seals != 5 || r.Events != 25 || r.Late != 2 {
		t.Errorf("%+v %v", r, r.Finding)
	}
	if !strings.Contains(w.log.String(), "sealed late") {
		t.Error("late events are not logged")
	}
	var seals []int64
	if err := w.db.Read().NewSelect().TableExpr("audit_sealed").Column("seal_number").Where("event_id IN (?, ?)", straggler, ancient).OrderExpr("seal_number").
		Scan(t.Context(), &seals); err != nil || fmt.Sprint(seals) != "[4 5]" {
		t.Error(seals, err)
	}
}

// insert writes an event as a transaction does that began at a moment.
func (w *world) insert(at time.Time) ident.ID {
	w.Helper()
	e := &Event{ID: ident.New(ident.Audit), At: at, ActorKind: ActorSystem, Action: "thing.done", Changed: []string{}, Outcome: Done}
	if _, err := w.db.Bun().NewInsert().Model(e).Exec(w.Context()); err != nil {
		w.Fatal(err)
	}
	return e.ID
}

func TestManySealersMakeOneChain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.act(access.System("test"), some(95, "thing.done")...)
	w.db.Clock().Advance(settle)
	var wg sync.WaitGroup
	totals := make([]int, 4)
	for i := range totals {
		wg.Go(func() {
			var err error
			if totals[i], err = w.s.seal(context.Background(), i%2 == 0); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	total := 0
	for _, n := range totals {
		total += n
	}
	if r := w.verify(VerifyOptions{}); total != 95 || r.Finding != nil || r.Events != 95 || r.Unsealed != 0 {
		t.Errorf("sealed %v: %+v %v", totals, r, r.Finding)
	}
}

func TestOvertakenSealIsNotWritten(t *testing.T) {
	t.Parallel()
	w := chain(t)
	second := &Seal{Number: 2, SettledAt: w.db.Now(), SealedAt: w.db.Now()}
	rows, _ := second.close([]*Event{{ID: "aud_x", At: w.db.Now()}}, time.Time{})
	err := w.db.InTx(t.Context(), func(ctx context.Context, tx *database.Tx) error { return second.write(ctx, tx, rows) })
	if !errors.Is(err, errOvertaken) {
		t.Error(err)
	}
}

// Whoever may drop the triggers may change the tables; the chain tells.
func TestVerifyFindsTampering(t *testing.T) {
	t.Parallel()
	// at is the event at a place of a seal, both as people count.
	at := func(seal, place int) string {
		return fmt.Sprintf("(SELECT event_id FROM audit_sealed WHERE seal_number = %d AND position = %d)", seal, place-1)
	}
	for name, c := range map[string]struct {
		sql   []string
		flaw  Flaw
		seal  int64
		place int
	}{
		"a changed action":        {[]string{"UPDATE audit_event SET action = 'thing.undone' WHERE id = " + at(2, 4)}, EventChanged, 2, 4},
		"a changed moment":        {[]string{"UPDATE audit_event SET at = '2020-01-01 00:00:00+00:00' WHERE id = " + at(1, 1)}, EventChanged, 1, 1},
		"a changed field list":    {[]string{"UPDATE audit_event SET changed = '[\"status\"]' WHERE id = " + at(3, 3)}, EventChanged, 3, 3},
		"the first of two":        {[]string{"UPDATE audit_event SET reason = 'x' WHERE id IN (" + at(3, 1) + ", " + at(1, 10) + ")"}, EventChanged, 1, 10},
		"a deleted event":         {[]string{"DELETE FROM audit_event WHERE id = " + at(2, 10)}, EventMissing, 2, 10},
		"deleted with its place":  {[]string{"CREATE TABLE gone AS SELECT event_id FROM audit_sealed WHERE seal_number = 2 AND position = 4", "DELETE FROM audit_event WHERE id IN (SELECT event_id FROM gone)", "DELETE FROM audit_sealed WHERE event_id IN (SELECT event_id FROM gone)"}, EventMissing, 2, 5},
		"deleted, places moved":   {[]string{"DELETE FROM audit_event WHERE id = " + at(1, 10), "DELETE FROM audit_sealed WHERE seal_number = 1 AND position = 9"}, EventMissing, 1, 10},
		"an inserted event":       {[]string{"INSERT INTO audit_event (id, at, actor_kind, action, changed, outcome) SELECT 'aud_new', at, actor_kind, action, changed, outcome FROM audit_event WHERE id = " + at(2, 2)}, EventExtra, 0, 0},
		"inserted with a place":   {[]string{"INSERT INTO audit_sealed (event_id, seal_number, position, digest) SELECT 'aud_new', 2, 10, digest FROM audit_sealed WHERE event_id = " + at(2, 2)}, EventExtra, 2, 11},
		"a place before":          {[]string{"INSERT INTO audit_sealed (event_id, seal_number, position, digest) SELECT 'aud_new', 2, -1, digest FROM audit_sealed WHERE event_id = " + at(2, 2)}, EventExtra, 2, 0},
		"two ids swapped":         {[]string{"UPDATE audit_event SET id = 'aud_swap' WHERE id = " + at(2, 2), "UPDATE audit_event SET id = " + at(2, 2) + " WHERE id = " + at(2, 3), "UPDATE audit_event SET id = " + at(2, 3) + " WHERE id = 'aud_swap'"}, EventChanged, 2, 2},
		"two places swapped":      {[]string{"UPDATE audit_sealed SET position = 99 WHERE seal_number = 2 AND position = 1", "UPDATE audit_sealed SET position = 1 WHERE seal_number = 2 AND position = 2", "UPDATE audit_sealed SET position = 2 WHERE position = 99"}, EventMoved, 2, 3},
		"a digest":                {[]string{"UPDATE audit_sealed SET digest = 'x' WHERE event_id = " + at(1, 2)}, EventChanged, 1, 2},
		"a seal's hash":           {[]string{"UPDATE audit_seal SET hash = 'x' WHERE number = 2"}, SealChanged, 2, 0},
		"a seal's previous hash":  {[]string{"UPDATE audit_seal SET previous_hash = 'x' WHERE number = 2"}, SealChanged, 2, 0},
		"a seal's moment":         {[]string{"UPDATE audit_seal SET sealed_at = '2020-01-01 00:00:00+00:00' WHERE number = 3"}, SealChanged, 3, 0},
		"a seal's settled moment": {[]string{"UPDATE audit_seal SET settled_at = '2020-01-01 00:00:00+00:00' WHERE number = 3"}, SealChanged, 3, 0},
		"a seal's count":          {[]string{"UPDATE audit_seal SET event_count = 9 WHERE number = 1"}, EventExtra, 1, 10},
		"a deleted seal":          {[]string{"DELETE FROM audit_sealed WHERE seal_number = 2", "DELETE FROM audit_seal WHERE number = 2"}, SealMissing, 2, 0},
		"a seal before the first": {[]string{"INSERT INTO audit_seal SELECT 0, first_at, last_at, last_event_id, event_count, settled_at, sealed_at, previous_hash, hash FROM audit_seal WHERE number = 1"}, SealExtra, 0, 0},
		"the last seal": {[]string{"CREATE TABLE gone AS SELECT event_id FROM audit_sealed WHERE seal_number = 3", "DELETE FROM audit_event WHERE id IN (SELECT event_id FROM gone)",
			"DELETE FROM audit_sealed WHERE seal_number = 3", "DELETE FROM audit_seal WHERE number = 3"}, SealMissing, 3, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := chain(t)
			head := w.verify(VerifyOptions{}).Head
			w.unlock()
			for _, sql := range c.sql {
				w.exec(sql)
			}
			r := w.verify(VerifyOptions{Head: &head})
			if r.Finding == nil {
				t.Fatalf("nothing was found: %+v", r)
			}
			if f := r.Finding; f.Flaw != c.flaw || f.Seal != c.seal || f.Position != c.place-1 {
				t.Errorf("found %+v: %s", f, f)
			}
			if r.Seals != int(max(c.seal, 1))-1 && c.flaw != EventExtra && c.flaw != SealMissing {
				t.Errorf("%d seals are good before seal %d", r.Seals, c.seal)
			}
			if r.Finding.String() == "" {
				t.Error("the finding has no sentence")
			}
		})
	}
	t.Run("event and digest together", func(t *testing.T) {
		t.Parallel()
		w := chain(t)
		w.unlock()
		w.exec("UPDATE audit_event SET action = 'thing.undone' WHERE id = " + at(2, 4))
		var e Event
		if err := w.db.Read().NewSelect().Model(&e).Where("action = 'thing.undone'").Scan(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.exec("UPDATE audit_sealed SET digest = ? WHERE event_id = ?", e.digest(), e.ID)
		if r := w.verify(VerifyOptions{}); r.Finding == nil || r.Finding.Flaw != SealChanged || r.Finding.Seal != 2 || r.Seals != 1 {
			t.Errorf("%+v %v", r, r.Finding)
		}
	})
	t.Run("the whole chain rewritten", func(t *testing.T) {
		t.Parallel()
		w := chain(t)
		head := w.verify(VerifyOptions{}).Head
		w.unlock()
		w.exec("UPDATE audit_event SET action = 'thing.undone' WHERE id = " + at(2, 4))
		w.exec("DELETE FROM audit_sealed")
		w.exec("DELETE FROM audit_seal")
		w.db.Clock().Advance(time.Second)
		w.seal(true, 23)
		if r := w.verify(VerifyOptions{}); r.Finding != nil {
			t.Errorf("%+v %v", r, r.Finding)
		}
		if r := w.verify(VerifyOptions{Head: &head}); r.Finding == nil || r.Finding.Flaw != SealChanged || r.Finding.Seal != 3 {
			t.Errorf("the head that was logged finds nothing: %+v", r)
		}
	})
	t.Run("personal values erased", func(t *testing.T) {
		t.Parallel()
		w := chain(t)
		w.unlock()
		w.exec("UPDATE audit_event SET actor_name = '', ip_prefix = ''")
		if r := w.verify(VerifyOptions{}); r.Finding != nil || r.Events != 23 {
			t.Errorf("%+v %v", r, r.Finding)
		}
	})
}

// unlock takes away what keeps the tables append-only.
func (w *world) unlock() {
	w.Helper()
	if w.db.Dialect() == database.Postgres {
		for _, t := range []string{"audit_event", "audit_seal", "audit_sealed"} {
			w.exec("ALTER TABLE " + t + " DISABLE TRIGGER USER")
		}
		return
	}
	var names []string
	if err := w.db.Read().NewSelect().TableExpr("sqlite_master").Column("name").Where("type = 'trigger'").Scan(w.Context(), &names); err != nil {
		w.Fatal(err)
	}
	for _, n := range names {
		w.exec("DROP TRIGGER " + n)
	}
}
