package support

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/calendar"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/desk"
	"github.com/channelgraph/channelgraph/internal/event"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/internal/page"
	"github.com/channelgraph/channelgraph/internal/sla"
)

func (w *world) refused(err error, want string) {
	w.t.Helper()
	if got := problems(err); got != want {
		w.t.Errorf("got %q, want %q", got, want)
	}
}

// A request is answered in time, waits for the partner, goes on, and is
// closed; each side is told of what the other did.
func TestCourse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, gina := w.company("Bianchi")
	r := w.open(gina, Normal, func(in *OpenInput) { in.FileIDs = []ident.ID{w.file(gina)} })
	if due := time.Date(2030, 6, 3, 13, 0, 0, 0, time.UTC); r.Status != Open || r.DueAt.Sub(due).Abs() > time.Minute || *r.State != sla.OnTrack || r.TargetAt == nil {
		t.Fatalf("%+v", r)
	}
	if i := w.line(r.ID); i.State != desk.Open || !i.DueAt.Equal(*r.DueAt) || i.Company != "Bianchi" || i.Kind != desk.SupportRequest {
		t.Fatalf("%+v", i)
	}
	w.work()
	if got := w.inbox(r.ID); got != "message rita, message rolf, received gina" {
		t.Fatal(got)
	}

	// Rita takes it, notes something, asks; the partner sees no more than that.
	w.must(w.Assign(t.Context(), w.rita, AssignInput{RequestID: r.ID, AssigneeID: &w.rita.UserID}))
	w.must(w.AddNote(t.Context(), w.rita, NoteInput{RequestID: r.ID, Text: "Not again.", FileIDs: []ident.ID{w.file(w.rita)}}))
	r = w.must(w.Reply(t.Context(), w.rita, ReplyInput{RequestID: r.ID, Text: "Which ones?", NeedsAttention: true, FileIDs: []ident.ID{w.file(w.rita)}}))
	if r.Status != AttentionNeeded || *r.State != sla.Met || r.AnsweredAt == nil || r.NextActionAt != nil || w.waiting(r.ID, Look{}.Kind()) != 0 {
		t.Fatalf("%+v", r)
	}
	if i := w.line(r.ID); i.State != desk.Waiting || i.DueAt != nil || i.AssigneeID != w.rita.UserID {
		t.Fatalf("%+v", i)
	}
	if got := w.course(gina, r.ID); got != "MESSAGE Where are they?, MESSAGE Which ones?" {
		t.Error(got)
	}
	if got := w.course(w.rolf, r.ID); got != "MESSAGE Where are they?, ASSIGNED Rita Verdi, NOTE Not again., MESSAGE Which ones?" {
		t.Error(got)
	}
	threads, err := w.Threads(t.Context(), gina, []ident.ID{r.ID})
	if err != nil || threads[r.ID][1].ActorName != "" || threads[r.ID][1].Side != Operator || threads[r.ID][0].ActorName == "" {
		t.Error(threads, err)
	}
	if seen, err := w.ByIDs(t.Context(), gina, []ident.ID{r.ID}); err != nil || seen[r.ID].AssigneeID != "" {
		t.Error("who works it is the operator's own", seen, err)
	}
	// Both read what was handed in for both, and the operator alone its notes.
	for i, who := range []access.Actor{gina, w.rolf} {
		all, _ := w.Threads(t.Context(), w.rolf, []ident.ID{r.ID})
		var ids []ident.ID
		for _, n := range all[r.ID] {
			ids = append(ids, n.ID)
		}
		fs, err := w.files.Of(t.Context(), who, ids)
		if err != nil || len(fs) != []int{2, 3}[i] {
			t.Error(i, fs, err)
		}
	}

	// The answer goes to Rita alone; a request that is nobody's turn has no date.
	r = w.reply(gina, r, "The ones of May.")
	if r.Status != Open || r.RepliedByID != gina.UserID || r.DueAt == nil {
		t.Fatalf("%+v", r)
	}
	if i := w.line(r.ID); i.State != desk.Open || i.DueAt != nil {
		t.Fatalf("%+v", i)
	}
	w.must(w.Close(t.Context(), w.rita, CloseInput{RequestID: r.ID, Text: ptr("They are there now.")}))
	w.work()
	if got := w.inbox(r.ID); got != "message rita, message rolf, received gina, answer gina, message rita, closed gina" {
		t.Error(got)
	}
	if got := w.audited(r.ID); got != "support_request.opened support_request.assigned support_request.note_added support_request.replied support_request.replied support_request.closed" {
		t.Error(got)
	}
	if i := w.line(r.ID); i.State != desk.Done {
		t.Fatalf("%+v", i)
	}
}

// What was promised is warned of, broken, told to both sides, and answered all
// the same; the pages between are working hours.
func TestBreach(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, gina := w.company("Bianchi")
	w.until(time.Date(2030, 6, 7, 16, 0, 0, 0, time.UTC)) // an hour before the weekend
	r := w.open(gina, High)
	if r.DueAt.Sub(time.Date(2030, 6, 10, 10, 0, 0, 0, time.UTC)).Abs() > time.Minute {
		t.Fatal(r.DueAt)
	}
	w.must(w.Assign(t.Context(), w.rita, AssignInput{RequestID: r.ID, AssigneeID: &w.rita.UserID}))
	w.until(time.Date(2030, 6, 10, 9, 30, 0, 0, time.UTC))
	if got := w.inbox(r.ID); got != "message rita, message rolf, received gina, warning rita" {
		t.Fatal(got)
	}
	if r = w.reload(r.ID); *r.State != sla.AtRisk || r.Steps != 1 {
		t.Fatalf("%+v", r)
	}
	w.until(time.Date(2030, 6, 10, 10, 30, 0, 0, time.UTC))
	if got := w.inbox(r.ID); got != "message rita, message rolf, received gina, warning rita, warning rita, escalated otto, escalated rita, late gina" {
		t.Fatal(got)
	}
	r = w.reload(r.ID)
	if *r.State != sla.Breached || !w.line(r.ID).Breached(w.db.Now()) {
		t.Fatalf("%+v", r)
	}
	r = w.reply(w.rita, r, "Sorry.")
	if *r.State != sla.Breached || r.Outcome != sla.Breached || w.line(r.ID).Breached(w.db.Now()) {
		t.Fatalf("%+v", r)
	}
	if got := w.course(gina, r.ID); got != "MESSAGE Where are they?, BREACHED, MESSAGE Sorry." {
		t.Error(got)
	}
}

// A process that slept through everything warns no more, and breaks the
// promise once; a warning that waits to be sent is moot after the answer.
func TestLate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, gina := w.company("Bianchi")
	r := w.open(gina, Low)
	w.work()
	w.db.Clock().Advance(72 * time.Hour)
	w.work()
	if got := w.inbox(r.ID); got != "message rita, message rolf, received gina, escalated otto, late gina" {
		t.Error(got)
	}
	// An act finds what fell due before its timer rang.
	q := w.open(gina, High)
	w.db.Clock().Advance(7 * 24 * time.Hour)
	if q = w.shut(gina, q); q.Outcome != sla.Breached || w.course(gina, q.ID) != "MESSAGE Where are they?, BREACHED, CLOSED Done." {
		t.Errorf("%+v, %s", q, w.course(gina, q.ID))
	}
	// A lost timer is found again.
	x := w.open(gina, High)
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		if err := outbox.CancelAbout(ctx, tx, x.ID, Look{}.Kind()); err != nil {
			return err
		}
		_, err := outbox.Put(ctx, tx, Scan{}, outbox.DueAt(tx.Now.Add(72*time.Hour)))
		return err
	})
	w.pass(73 * time.Hour)
	if x = w.reload(x.ID); *x.State != sla.Breached {
		t.Errorf("%+v", x)
	}
	// What the partner closes in time was neither kept nor broken.
	y := w.open(gina, Low)
	if y = w.shut(gina, y); y.State != nil || y.Outcome != "" || y.ClosedBy != Partner {
		t.Errorf("%+v", y)
	}
	// A warning is not sent any more where the answer came before.
	z := w.open(gina, High)
	w.work()
	w.db.Clock().Advance(time.Until(time.Now()) + z.TargetAt.Sub(w.db.Now()) + time.Minute)
	if c, err := outbox.Claim(t.Context(), w.db, 10); err != nil || len(c.Jobs) != 1 {
		t.Fatal(c, err)
	} else if run, err := outbox.Begin(t.Context(), w.db, c.Jobs[0].ID, c.Jobs[0].Generation, "test", time.Minute); err != nil || w.Look(t.Context(), run, Look{RequestID: z.ID}) != nil {
		t.Fatal(run, err)
	}
	w.reply(w.rolf, z, "Here.")
	w.work()
	if got := w.inbox(z.ID); !strings.HasSuffix(got, "warning rita (suppressed), warning rolf (suppressed), answer gina") {
		t.Error(got)
	}
}

// Promises move with the calendar, and those that ended do not.
func TestCalendarMoves(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, gina := w.company("Bianchi")
	w.until(time.Date(2030, 6, 3, 16, 0, 0, 0, time.UTC))
	r, answered := w.open(gina, Low), w.open(gina, Low)
	w.reply(w.rita, answered, "Here.")
	if _, _, err := w.calendars.AddHoliday(t.Context(), w.chief, calendar.AddHolidayInput{Date: "2030-06-04", Name: "Away"}); err != nil {
		t.Fatal(err)
	}
	w.work()
	got := w.reload(r.ID)
	if got.DueAt.Sub(*r.DueAt) != 24*time.Hour || !w.line(r.ID).DueAt.Equal(*got.DueAt) || !got.NextActionAt.After(*r.NextActionAt) {
		t.Errorf("%s, was %s", got.DueAt, r.DueAt)
	}
	if w.course(gina, r.ID) != "MESSAGE Where are they?, PROMISE_MOVED" {
		t.Error(w.course(gina, r.ID))
	}
	if got := w.reload(answered.ID); got.Version != 2 {
		t.Errorf("%+v", got)
	}
	w.until(*r.DueAt)
	if got := w.reload(r.ID); got.Outcome != "" || *got.State != sla.OnTrack && *got.State != sla.AtRisk {
		t.Errorf("the former date counts no more: %+v", got)
	}
}

// A closed thread grows no more. It can be reopened for 14 days, by either
// side; where the partner does, an answer is promised anew.
func TestCloseAndReopen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, gina := w.company("Bianchi")
	r := w.open(gina, Normal)
	_, err := w.Close(t.Context(), w.rita, CloseInput{RequestID: r.ID})
	w.refused(err, "text REQUIRED")
	w.reply(w.rita, r, "Here.")
	r = w.must(w.Close(t.Context(), gina, CloseInput{RequestID: r.ID}))
	if r.ClosedBy != Partner || r.ReopenUntil().Sub(*r.ClosedAt) != 14*24*time.Hour {
		t.Fatalf("%+v", r)
	}
	for _, who := range []access.Actor{gina, w.rita} {
		_, err := w.Reply(t.Context(), who, ReplyInput{RequestID: r.ID, Text: "One more thing."})
		w.refused(err, "requestId SUPPORT_REQUEST_CLOSED")
		_, err = w.Close(t.Context(), who, CloseInput{RequestID: r.ID, Text: ptr("Again.")})
		w.refused(err, "requestId CONFLICT")
	}
	_, err = w.Assign(t.Context(), w.rita, AssignInput{RequestID: r.ID, AssigneeID: &w.rita.UserID})
	w.refused(err, "requestId CONFLICT")
	w.must(w.AddNote(t.Context(), w.rita, NoteInput{RequestID: r.ID, Text: "For the file."}))

	w.pass(13 * 24 * time.Hour)
	r = w.must(w.Reopen(t.Context(), gina, ReopenInput{RequestID: r.ID, Text: "It broke again."}))
	if r.Status != Open || r.ClosedAt != nil || r.Round != 2 || *r.State != sla.OnTrack || r.AnsweredAt != nil || w.line(r.ID).DueAt == nil {
		t.Fatalf("%+v", r)
	}
	_, err = w.Reopen(t.Context(), gina, ReopenInput{RequestID: r.ID, Text: "Twice."})
	w.refused(err, "requestId CONFLICT")
	w.pass(5 * time.Hour * 24)
	if r = w.reload(r.ID); *r.State != sla.Breached {
		t.Fatalf("the second promise is one too: %+v", r)
	}
	r = w.shut(w.rita, r)
	if r.AnsweredAt == nil || r.Outcome != sla.Breached {
		t.Fatalf("what is said with the end is an answer: %+v", r)
	}
	r = w.must(w.Reopen(t.Context(), w.rita, ReopenInput{RequestID: r.ID, Text: "We found more."}))
	if r.Round != 2 || r.running() {
		t.Fatalf("the operator promises itself nothing: %+v", r)
	}
	w.shut(w.rita, r)
	w.pass(15 * 24 * time.Hour)
	for _, who := range []access.Actor{gina, w.rita} {
		_, err = w.Reopen(t.Context(), who, ReopenInput{RequestID: r.ID, Text: "Please."})
		w.refused(err, "requestId REOPEN_TOO_LATE")
	}
}

// Whatever a request is about has to be there for who asks.
func TestKinds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, gina := w.company("Bianchi")
	end, customer := ident.New(ident.Termination), ident.New(ident.Customer)
	ask := func(change func(*OpenInput)) error {
		in := OpenInput{Kind: General, Subject: "S", Text: "T"}
		change(&in)
		_, err := w.Open(t.Context(), gina, in)
		return err
	}
	w.refused(ask(func(in *OpenInput) { in.Kind = EndPartnership }), "aboutId REQUIRED")
	w.refused(ask(func(in *OpenInput) { in.Kind = Customer }), "customerId REQUIRED")
	w.refused(ask(func(in *OpenInput) { in.AboutID, in.CustomerID = &end, &customer }), "aboutId INVALID, customerId INVALID")
	w.refused(ask(func(in *OpenInput) { in.Kind, in.AboutID = EndPartnership, &end }), "kind SUPPORT_KIND_UNAVAILABLE")
	w.refused(ask(func(in *OpenInput) { in.Kind, in.CustomerID = Customer, &customer }), "kind SUPPORT_KIND_UNAVAILABLE")
	w.About(EndPartnership, func(_ context.Context, a access.Actor, id ident.ID) (bool, error) {
		return id == end && a.UserID == gina.UserID, nil
	})
	w.OnBehalf(func(_ context.Context, _ *database.Tx, a access.Actor, id ident.ID) error {
		if id != customer {
			return fault.NotFound("customerId")
		}
		if a.UserID != gina.UserID {
			return fault.Conflict("customerId", CodeNotSupportContact)
		}
		return nil
	})
	other := ident.New(ident.Termination)
	w.refused(ask(func(in *OpenInput) { in.Kind, in.AboutID = EndPartnership, &other }), "aboutId NOT_FOUND")
	w.refused(ask(func(in *OpenInput) { in.Kind, in.CustomerID = Customer, &other }), "customerId NOT_FOUND")
	if err := ask(func(in *OpenInput) { in.Kind, in.AboutID = EndPartnership, &end }); err != nil {
		t.Error(err)
	}
	if err := ask(func(in *OpenInput) { in.Kind, in.CustomerID = Customer, &customer }); err != nil {
		t.Error(err)
	}
	_, gio := w.company("Gamma")
	_, err := w.Open(t.Context(), gio, OpenInput{Kind: Customer, Subject: "S", Text: "T", CustomerID: &customer})
	w.refused(err, "customerId NOT_SUPPORT_CONTACT")
	c, err := w.List(t.Context(), w.rita, page.Args{}, nil, Filter{AboutID: &end})
	if err != nil || len(c.Edges) != 1 || c.Edges[0].Node.Kind != EndPartnership {
		t.Error(c, err)
	}
}

// Bad input is refused, all of it at once, and nothing is written.
func TestBadInput(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, gina := w.company("Bianchi")
	long, line := strings.Repeat("è", MaxText+1), strings.Repeat("è", MaxSubject+1)
	bad := Severity("URGENT")
	_, err := w.Open(t.Context(), gina, OpenInput{Kind: "X", Severity: &bad, Subject: line, Text: long, FileIDs: make([]ident.ID, MaxFiles+1)})
	w.refused(err, "kind INVALID, severity INVALID, subject TOO_LONG, text TOO_LONG, fileIds TOO_MANY")
	_, err = w.Open(t.Context(), gina, OpenInput{Kind: General, Subject: " ", Text: "\n"})
	w.refused(err, "subject REQUIRED, text REQUIRED")
	_, err = w.Open(t.Context(), gina, OpenInput{Kind: General, Subject: "a\u202eb", Text: "a\x00b", FileIDs: []ident.ID{ident.New(ident.File)}})
	w.refused(err, "subject CONTROL_CHARACTERS, text CONTROL_CHARACTERS")
	_, err = w.Open(t.Context(), gina, OpenInput{Kind: General, Subject: "S", Text: "T", FileIDs: []ident.ID{ident.New(ident.File)}})
	w.refused(err, "fileIds.0 NOT_FOUND")
	if c, err := w.List(t.Context(), gina, page.Args{}, nil, Filter{}); err != nil || len(c.Edges) != 0 {
		t.Error(c, err)
	}
	r := w.open(gina, High)
	for name, err := range map[string]error{
		"reply":  fail(w.Reply(t.Context(), gina, ReplyInput{RequestID: r.ID, Text: long})),
		"note":   fail(w.AddNote(t.Context(), w.rita, NoteInput{RequestID: r.ID, Text: long})),
		"close":  fail(w.Close(t.Context(), gina, CloseInput{RequestID: r.ID, Text: &long})),
		"reopen": fail(w.Reopen(t.Context(), gina, ReopenInput{RequestID: r.ID, Text: long})),
	} {
		if got := problems(err); got != "text TOO_LONG" {
			t.Errorf("%s: %s", name, got)
		}
	}
	_, err = w.Reply(t.Context(), gina, ReplyInput{RequestID: r.ID, Text: "T", ExpectedVersion: ptr(7)})
	w.refused(err, "expectedVersion CONFLICT")
}

func fail(_ *Request, err error) error { return err }

// Strangers find nothing: neither by id nor by the mailed code, and whoever is
// not of support does nothing.
func TestWhoMay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p, gina := w.company("Bianchi")
	_, gio := w.company("Gamma")
	r := w.open(gina, High)
	w.work()
	code := w.keys.Capability(LinkPrefix, LinkPurpose, r.ID, 1).Reveal()
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		_, err := w.accounts.HoldOrganization(ctx, tx, p.OrganizationID)
		return err
	})
	org, err := w.accounts.Organizations(t.Context(), gina, []ident.ID{p.OrganizationID})
	if err != nil {
		t.Fatal(err)
	}
	dora := w.user(org[p.OrganizationID], "dora@bianchi.example", "Dora", access.DefaultUser)
	sees := func(who access.Actor) bool {
		t.Helper()
		found, err := w.ByIDs(t.Context(), who, []ident.ID{r.ID})
		if err != nil {
			t.Fatal(err)
		}
		linked, err := w.ByCode(t.Context(), who, code)
		if err != nil || (linked != nil) != (found[r.ID] != nil) {
			t.Fatal(linked, err)
		}
		threads, err := w.Threads(t.Context(), who, []ident.ID{r.ID})
		if err != nil || (len(threads) == 1) != (found[r.ID] != nil) {
			t.Fatal(threads, err)
		}
		return found[r.ID] != nil
	}
	for i, who := range []access.Actor{gina, w.rita, w.chief, gio, dora, access.Anonymous("en", "")} {
		if sees(who) != (i < 3) {
			t.Error(i, who.Kind)
		}
	}
	if linked, err := w.ByCode(t.Context(), gina, code+"x"); linked != nil || err != nil {
		t.Error(linked, err)
	}
	for who, want := range map[*access.Actor]string{&gio: "requestId NOT_FOUND", &dora: "ROLE_REQUIRED"} {
		for _, err := range []error{
			fail(w.Reply(t.Context(), *who, ReplyInput{RequestID: r.ID, Text: "T"})),
			fail(w.Close(t.Context(), *who, CloseInput{RequestID: r.ID})),
			fail(w.Reopen(t.Context(), *who, ReopenInput{RequestID: r.ID, Text: "T"})),
		} {
			if got := problems(err); !strings.HasSuffix(got, want) {
				t.Errorf("%s, want %s", got, want)
			}
		}
	}
	for _, err := range []error{
		fail(w.AddNote(t.Context(), gina, NoteInput{RequestID: r.ID, Text: "T"})), fail(w.Assign(t.Context(), gina, AssignInput{RequestID: r.ID})),
		fail(w.Open(t.Context(), w.rita, OpenInput{Kind: General, Subject: "S", Text: "T"})),
	} {
		if !fault.Is(err, fault.CodeRoleRequired) {
			t.Error(err)
		}
	}
	if c, err := w.List(t.Context(), gio, page.Args{}, nil, Filter{OrganizationID: &p.OrganizationID}); err != nil || len(c.Edges) != 0 {
		t.Error(c, err)
	}
	// Who is told follows who is there.
	for id, want := range map[ident.ID]string{gina.UserID: "assigneeId NOT_FOUND", ident.New(ident.User): "assigneeId NOT_FOUND",
		w.user(w.house, "nina@house.example", "Nina", access.DefaultUser).UserID: "assigneeId NOT_A_REVIEWER"} {
		_, err := w.Assign(t.Context(), w.rita, AssignInput{RequestID: r.ID, AssigneeID: &id})
		w.refused(err, want)
	}
}

// Notes, hand-overs and warnings ring no bell for the partner.
func TestLiveEvents(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p, gina := w.company("Bianchi")
	r := w.open(gina, High)
	heard := func() (n int) {
		t.Helper()
		err := w.db.Read().NewSelect().TableExpr("event").ColumnExpr("count(*)").Where("kind = ?", event.SupportRequestChanged).
			Where("organization_id = ?", p.OrganizationID).Scan(t.Context(), &n)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if heard() != 1 {
		t.Fatal(heard())
	}
	w.must(w.AddNote(t.Context(), w.rita, NoteInput{RequestID: r.ID, Text: "T"}))
	w.must(w.Assign(t.Context(), w.rita, AssignInput{RequestID: r.ID, AssigneeID: &w.rita.UserID}))
	w.until(r.TargetAt.Add(time.Minute))
	if heard() != 1 || w.reload(r.ID).Steps != 1 {
		t.Error(heard())
	}
	w.until(r.DueAt.Add(time.Minute))
	if heard() != 2 {
		t.Error(heard())
	}
}

// The same key is the same request and the same message, also at the same
// moment; what differs is refused.
func TestKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, gina := w.company("Bianchi")
	in := OpenInput{Kind: General, Subject: " S ", Text: "T", FileIDs: []ident.ID{w.file(gina)}, IdempotencyKey: ptr("k")}
	var wg sync.WaitGroup
	got := make([]*Request, 4)
	for i := range got {
		wg.Go(func() {
			if r, err := w.Open(t.Context(), gina, in); err == nil {
				got[i] = r
			} else if !fault.Is(err, fault.CodeConflict) && !fault.Is(err, fault.CodeBusy) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	r, err := w.Open(t.Context(), gina, in)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range got {
		if x != nil && x.ID != r.ID {
			t.Error("two requests")
		}
	}
	reply := ReplyInput{RequestID: r.ID, Text: "T", IdempotencyKey: ptr("r"), ExpectedVersion: &r.Version}
	first := w.must(w.Reply(t.Context(), w.rita, reply))
	if again := w.must(w.Reply(t.Context(), w.rita, reply)); again.Version != first.Version || again.Messages != 2 {
		t.Errorf("%+v", again)
	}
	reply.Text = "U"
	_, err = w.Reply(t.Context(), w.rita, reply)
	if !fault.Is(err, fault.CodeKeyReused) {
		t.Error(err)
	}
}

// Two who decide at the same moment do not both.
func TestTwoAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, gina := w.company("Bianchi")
	r := w.open(gina, High)
	errs := make([]error, 2)
	var wg sync.WaitGroup
	wg.Go(func() { _, errs[0] = w.Close(t.Context(), w.rita, CloseInput{RequestID: r.ID, Text: ptr("A")}) })
	wg.Go(func() { _, errs[1] = w.Close(t.Context(), gina, CloseInput{RequestID: r.ID, Text: ptr("B")}) })
	wg.Wait()
	if (errs[0] == nil) == (errs[1] == nil) {
		t.Error(errs)
	}
	q := w.open(gina, High)
	w.must(w.Assign(t.Context(), w.rita, AssignInput{RequestID: q.ID, AssigneeID: &w.rita.UserID}))
	_, err := w.Assign(t.Context(), w.rolf, AssignInput{RequestID: q.ID, AssigneeID: &w.rolf.UserID})
	w.refused(err, "requestId CONFLICT")
	q = w.reload(q.ID)
	w.must(w.Assign(t.Context(), w.rolf, AssignInput{RequestID: q.ID, AssigneeID: &w.rolf.UserID, ExpectedVersion: &q.Version}))
	w.must(w.Assign(t.Context(), w.rolf, AssignInput{RequestID: q.ID}))
	if got := w.line(q.ID); got.AssigneeID != "" {
		t.Error(got)
	}
}

// An organization has so many open requests, and a thread so many messages.
func TestBounds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, gina := w.company("Bianchi")
	w.maxOpen = 2
	closed := w.shut(gina, w.open(gina, Low))
	r := w.open(gina, Low)
	w.open(gina, Low)
	_, err := w.Open(t.Context(), gina, OpenInput{Kind: General, Subject: "S", Text: "T"})
	w.refused(err, "SUPPORT_REQUESTS_OPEN")
	_, err = w.Reopen(t.Context(), gina, ReopenInput{RequestID: closed.ID, Text: "T"})
	w.refused(err, "SUPPORT_REQUESTS_OPEN")
	if _, err := w.db.Bun().NewUpdate().Model((*Request)(nil)).Set("messages = ?", MaxMessages).Where("id = ?", r.ID).Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err = w.Reply(t.Context(), gina, ReplyInput{RequestID: r.ID, Text: "T"})
	w.refused(err, "SUPPORT_THREAD_FULL")
	_, err = w.AddNote(t.Context(), w.rita, NoteInput{RequestID: r.ID, Text: "T"})
	w.refused(err, "SUPPORT_THREAD_FULL")
	w.shut(w.rita, r)
	_, err = w.Reopen(t.Context(), gina, ReopenInput{RequestID: r.ID, Text: "T"})
	w.refused(err, "SUPPORT_THREAD_FULL")
}

// Mails speak the reader's language, and go to the Global admins where who
// asked has left.
func TestMails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p, gina := w.company("Bianchi")
	org, err := w.accounts.Organizations(t.Context(), gina, []ident.ID{p.OrganizationID})
	if err != nil {
		t.Fatal(err)
	}
	ada := w.user(org[p.OrganizationID], "ada@bianchi.example", "Ada", access.HelpdeskAgent)
	r := w.open(ada, High)
	w.reply(gina, r, "Please hurry.")
	w.reply(w.rita, r, "Here.")
	w.work()
	if got := w.inbox(r.ID); !strings.HasSuffix(got, "answer ada, answer gina") || strings.Count(got, "message rita") != 2 {
		t.Error(got)
	}
	all, err := w.mailer.BySubject(t.Context(), []ident.ID{r.ID})
	if err != nil {
		t.Fatal(err)
	}
	locales := map[string]bool{}
	for _, m := range all[r.ID] {
		locales[m.Locale] = true
		for k, v := range m.Data {
			if strings.Contains(v, "cgh_") {
				t.Errorf("%s holds a token", k)
			}
		}
	}
	if len(locales) == 0 {
		t.Error(locales)
	}
	if _, err := w.db.Bun().NewRaw("UPDATE user_account SET status = 'DISABLED' WHERE id IN (?, ?)", ada.UserID, gina.UserID).Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.user(org[p.OrganizationID], "zoe@bianchi.example", "Zoe", access.GlobalAdmin)
	w.reply(w.rita, r, "Still there?")
	w.work()
	if got := w.inbox(r.ID); !strings.HasSuffix(got, "answer zoe") {
		t.Error(got)
	}
}

// Lists are in order, page by page, and each is one statement whatever it
// holds.
func TestList(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, gina := w.company("Bianchi")
	var all []*Request
	for i := range 5 {
		all = append(all, w.open(gina, []Severity{High, Low}[i%2]))
		w.db.Clock().Advance(time.Minute)
	}
	w.reply(gina, all[0], "T")
	w.shut(gina, all[4])
	ids := func(o *Order, f Filter) (out string) {
		t.Helper()
		args, size := page.Args{}, 2
		args.First = &size
		for {
			before := w.db.Queries()
			c, err := w.List(t.Context(), gina, args, o, f)
			if err != nil {
				t.Fatal(err)
			}
			if n := w.db.Queries() - before; n > 4 { // the page and the calendar
				t.Errorf("%d statements", n)
			}
			for _, r := range c.Nodes() {
				for i, x := range all {
					if x.ID == r.ID {
						out += fmt.Sprint(i)
					}
				}
			}
			if !c.PageInfo.HasNextPage {
				return out
			}
			args.After = c.PageInfo.EndCursor
		}
	}
	for _, c := range []struct {
		order  *Order
		filter Filter
		want   string
	}{
		{nil, Filter{}, "40321"},
		{&Order{ByCreated, page.Asc}, Filter{}, "01234"},
		{&Order{ByCreated, page.Desc}, Filter{Severity: []Severity{High}}, "420"},
		{nil, Filter{Status: []Status{Closed}}, "4"},
		{nil, Filter{Kind: []Kind{Customer}}, ""},
	} {
		if got := ids(c.order, c.filter); got != c.want {
			t.Errorf("%+v %+v: %s", c.order, c.filter, got)
		}
	}
}

// The promise of an answer is worth its working hours, whenever it begins and
// whatever becomes of the calendar.
func TestPromiseIsWorkingHours(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		zone, err := sla.Zone(rapid.SampledFrom([]string{"Europe/Rome", "America/New_York", "Asia/Kolkata", "UTC"}).Draw(t, "zone"))
		if err != nil {
			t.Fatal(err)
		}
		c := sla.Standard(zone)
		now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(rapid.IntRange(0, 400*24*3600).Draw(t, "second")) * time.Second)
		r := &Request{Severity: rapid.SampledFrom(Severities).Draw(t, "severity")}
		r.begin(c, now)
		for range rapid.IntRange(0, 3).Draw(t, "holidays") {
			next := sla.Standard(zone)
			next.Holidays = map[string]bool{now.In(zone).AddDate(0, 0, rapid.IntRange(0, 5).Draw(t, "day")).Format("2006-01-02"): true}
			c = next
			r.keep(c, now)
		}
		if got := c.Between(sla.WorkingHours, now, *r.DueAt); got != promised[r.Severity] {
			t.Fatalf("due after %s of %s", got, promised[r.Severity])
		}
		if got := c.Between(sla.WorkingHours, now, *r.NextActionAt); got != promised[r.Severity]/2 {
			t.Fatalf("warned after %s", got)
		}
	})
}
