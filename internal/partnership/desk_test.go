package partnership

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/calendar"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/desk"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/internal/page"
)

// line is the desk's line of a request to end, whatever its state.
func (w *world) line(id ident.ID) *desk.Item {
	w.t.Helper()
	c, err := desk.List(w.t.Context(), w.db, w.chief, page.Args{}, nil, desk.Filter{State: []desk.State{desk.Open, desk.Waiting, desk.Done}})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, i := range c.Nodes() {
		if i.SubjectID == id {
			return i
		}
	}
	return nil
}

// performed lets one job that is due run.
func performed[A outbox.Args](w *world, fn func(context.Context, *outbox.Run, A) error) (n int) {
	w.t.Helper()
	var zero A
	c, err := outbox.Claim(w.t.Context(), w.db, 500)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, h := range c.Jobs {
		if h.Kind != zero.Kind() {
			continue
		}
		run, err := outbox.Begin(w.t.Context(), w.db, h.ID, h.Generation, "test", time.Minute)
		if err != nil || run == nil {
			w.t.Fatal(run, err)
		}
		var a A
		if err := json.Unmarshal([]byte(run.Job.Payload), &a); err != nil {
			w.t.Fatal(err)
		}
		if err := fn(w.t.Context(), run, a); err != nil {
			w.t.Fatal(err)
		}
		n++
	}
	return n
}

// A request to end is on the desk with its dates, which follow the calendar;
// it is given to somebody, its lateness is told once, and a decision ends it.
func TestTerminationOnDesk(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.db.Clock().Advance(time.Date(2030, 6, 3, 9, 0, 0, 0, time.UTC).Sub(w.db.Now())) // a Monday
	w.chief, w.gina, w.bruno = w.as(w.chief.UserID), w.as(w.gina.UserID), w.as(w.bruno.UserID)
	calendars := calendar.New(w.db, time.UTC)
	w.Follow(calendars)
	p := w.partnered()
	req, err := w.end(w.bruno, p)
	if err != nil || req.DueAt == nil || req.DueAt.Sub(req.CreatedAt) != 7*day {
		t.Fatal(req, err)
	}
	i := w.line(req.ID)
	if i == nil || i.State != desk.Open || i.Kind != desk.Termination || i.OrganizationID != w.reseller.OrganizationID || i.Company != "Bianchi" || !i.DueAt.Equal(*req.DueAt) {
		t.Fatalf("%+v", i)
	}

	// a holiday moves it
	if _, _, err := calendars.AddHoliday(t.Context(), w.chief, calendar.AddHolidayInput{Date: "2030-06-05", Name: "Away"}); err != nil {
		t.Fatal(err)
	}
	if n := performed(w, calendars.MovePromises); n != 1 {
		t.Fatal(n)
	}
	moved := w.line(req.ID)
	if moved.DueAt.Sub(*i.DueAt) != day {
		t.Fatalf("due %s, was %s", moved.DueAt, i.DueAt)
	}

	// somebody takes it
	for id, code := range map[ident.ID]string{w.gina.UserID: "NOT_FOUND", ident.New(ident.User): "NOT_FOUND",
		w.user(w.chief.OrganizationID, "nina@house.example", access.DefaultUser).UserID: CodeNotReviewer} {
		_, err := w.AssignTermination(t.Context(), w.chief, AssignTerminationInput{TerminationID: req.ID, AssigneeID: &id})
		wantCode(t, err, code)
	}
	_, err = w.AssignTermination(t.Context(), w.gina, AssignTerminationInput{TerminationID: req.ID, AssigneeID: &w.gina.UserID})
	wantCode(t, err, "ROLE_REQUIRED")
	rita := w.user(w.chief.OrganizationID, "rita@house.example", access.Reviewer)
	for range 2 {
		if got, err := w.AssignTermination(t.Context(), rita, AssignTerminationInput{TerminationID: req.ID, AssigneeID: &rita.UserID}); err != nil || got.AssigneeID != rita.UserID {
			t.Fatal(got, err)
		}
	}
	if i := w.line(req.ID); i.AssigneeID != rita.UserID {
		t.Fatalf("%+v", i)
	}

	// it falls due, and the lead is told, once
	w.db.Clock().Advance(9 * day)
	w.chief = w.as(w.chief.UserID)
	if n := performed(w, w.LookTermination); n != 1 || !w.line(req.ID).Breached(w.db.Now()) {
		t.Fatal(n)
	}
	if m := w.mails(p.ID); !strings.Contains(m, "termination_overdue to otto@house") || !strings.Contains(m, "termination_overdue to rita@house") {
		t.Fatal(m)
	}
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		_, err := outbox.Put(ctx, tx, ScanTerminations{})
		return err
	})
	if n := performed(w, w.ScanTerminations); n != 1 {
		t.Fatal(n)
	}
	if n := performed(w, w.LookTermination); n != 0 {
		t.Fatal("told twice")
	}

	// what stands in the way is listed for both sides and the operator alone
	w.OnBlockers(func(_ context.Context, _ bun.IDB, couples []Couple) (map[Couple][]*Blocker, error) {
		out := map[Couple][]*Blocker{}
		for _, c := range couples {
			if c.ProviderID == w.provider.ID && c.ResellerID == w.reseller.ID {
				out[c] = []*Blocker{{Kind: ActiveSubscription, SubjectID: "sub_1", Name: "Contoso Suite"}}
			}
		}
		return out, nil
	})
	_, stranger := w.company("Gamma")
	for i, who := range []access.Actor{w.gina, w.bruno, rita, stranger} {
		found, err := w.BlockersOf(t.Context(), who, []ident.ID{req.ID})
		if err != nil || len(found[req.ID]) != []int{1, 1, 1, 0}[i] {
			t.Error(i, found, err)
		}
	}
	_, err = w.CompleteTermination(t.Context(), rita, DecideTerminationInput{TerminationID: req.ID})
	wantCode(t, err, CodeBlocked)
	if got, err := w.CompleteTermination(t.Context(), rita, DecideTerminationInput{TerminationID: req.ID, DespiteBlockers: true}); err != nil || got.Status != TerminationCompleted {
		t.Fatal(got, err)
	}
	if i := w.line(req.ID); i.State != desk.Done || i.ClosedAt == nil {
		t.Fatalf("%+v", i)
	}
	_, err = w.AssignTermination(t.Context(), rita, AssignTerminationInput{TerminationID: req.ID})
	wantCode(t, err, "CONFLICT")
	if found, err := w.BlockersOf(t.Context(), rita, []ident.ID{req.ID}); err != nil || len(found) != 0 {
		t.Error("what is decided is blocked by nothing", found, err)
	}
}
