package outbox

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/database/dbtest"
	"github.com/channelgraph/channelgraph/internal/ident"
)

// Whatever changes what an operation's requester reads writes an event, by
// whichever statement, and wakes who waits for one; other jobs write none.
func TestChangesOfOperationsAreTold(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	ctx := t.Context()
	anna := person(t, db, access.IndirectProvider, access.GlobalAdmin)
	rung, stop := db.Subscribe("event")
	defer stop()
	told := func(what string, id ident.ID, want int64, wakes bool) {
		t.Helper()
		var row struct{ N, Other int64 }
		err := db.Read().NewSelect().TableExpr("event").ColumnExpr("count(*) AS n").
			ColumnExpr("count(*) FILTER (WHERE kind <> 'OPERATION_CHANGED' OR subject_id <> ? OR organization_id <> ?) AS other", id, anna.OrganizationID).Scan(ctx, &row)
		if err != nil || row.N != want || row.Other != 0 {
			t.Fatalf("%s: %d events, want %d, %d of them others, %v", what, row.N, want, row.Other, err)
		}
		if !wakes {
			return
		}
		select {
		case <-rung:
		case <-time.After(10 * time.Second):
			t.Fatalf("%s: nobody was woken", what)
		}
	}
	timer := put(t, db, 1)
	handOver(t, db, timer.ID)
	told("a timer", "", 0, false)

	j := put(t, db, 2, By(anna))
	told("put", j.ID, 1, true)
	hs := claimAll(t, db)
	told("handed over", j.ID, 1, false)
	if err := Return(ctx, db, hs); err != nil {
		t.Fatal(err)
	}
	told("given back", j.ID, 1, false)
	r := handOver(t, db, j.ID)
	told("begun", j.ID, 2, true)
	if st := finish(t, db, r, errors.New("no")); st != Pending {
		t.Fatal(st)
	}
	told("to be tried again", j.ID, 3, true)
	db.Clock().Advance(time.Hour)
	handOver(t, db, j.ID)
	told("begun again", j.ID, 4, true)
	db.Clock().Advance(time.Hour)
	if s, err := Sweep(ctx, db); err != nil || s.Killed == 0 {
		t.Fatal(s, err)
	}
	told("its worker is gone", j.ID, 5, true)
	if _, err := Cancel(ctx, db, anna, j.ID, Hooks{}); err != nil {
		t.Fatal(err)
	}
	told("cancelled", j.ID, 6, true)

	forget := func() {
		if _, err := db.Bun().NewRaw("DELETE FROM event").Exec(ctx); err != nil {
			t.Fatal(err)
		}
	}
	forget()
	k := put(t, db, 3, By(anna))
	told("put", k.ID, 1, true)
	r = handOver(t, db, k.ID)
	told("begun", k.ID, 2, true)
	if err := db.InTx(ctx, r.Done); err != nil {
		t.Fatal(err)
	}
	told("done by its handler", k.ID, 3, true)
	forget()
	l := put(t, db, 4, By(anna), About("inv_x"))
	told("put", l.ID, 1, true)
	err := db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error { return CancelAbout(ctx, tx, "inv_x", note{}.Kind()) })
	if err != nil {
		t.Fatal(err)
	}
	told("moot", l.ID, 2, true)
	forget()
	m := put(t, db, 5, By(anna), ExpiresAt(db.Now().Add(time.Minute)))
	told("put", m.ID, 1, true)
	db.Clock().Advance(time.Hour)
	if slices.ContainsFunc(claimAll(t, db), func(h Handover) bool { return h.ID == m.ID }) {
		t.Fatal("claimed after its time")
	}
	told("expired", m.ID, 2, true)
	if _, err := Retry(ctx, db, anna, m.ID, Hooks{}); err == nil {
		t.Fatal("retried after its time")
	}
}
