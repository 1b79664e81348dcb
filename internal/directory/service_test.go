package directory

import (
	"context"
	"errors"
	"fmt"
	"image/color"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/calendar"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/file"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/internal/page"
	"github.com/channelgraph/channelgraph/internal/partner"
	"github.com/channelgraph/channelgraph/internal/region"
	"github.com/channelgraph/channelgraph/internal/sla"
)

const day = sla.Day

// about compares durations as long as a test may take: the clock goes on.
func about(a, b time.Duration) bool { return (a - b).Abs() < time.Minute }

func TestPublishedInTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p, gina, loc := w.listed("Acme")
	if got := w.shown(DirectoryFilter{}); got != "Acme IT acme.example/" {
		t.Fatalf("shown: %s", got)
	}
	logo, version := w.logo(gina, color.White), w.version()
	r := w.must(w.Submit(t.Context(), gina, SubmitInput{Locations: []LocationInput{
		{LocationID: &loc.ID, CompanyName: ptr("Acme Cloud"), LogoFileID: &logo.ID},
		{CompanyName: ptr("Acme Deutschland"), Country: ptr("de"), TargetURL: ptr("https://acme.example/de")}}}))
	if r.Status != Submitted || *r.Promise.State != sla.OnTrack || !r.Promise.TargetAt.Equal(r.CreatedAt.Add(14*day)) || !r.Promise.DueAt.Equal(r.CreatedAt.Add(21*day)) || len(r.Changes) != 2 ||
		r.Changes[0].After.LogoID != logo.ID || r.Changes[1].After.Country != "DE" {
		t.Fatalf("got %+v", r)
	}
	w.pass(2 * day)
	if r = w.take(r); r.Status != InReview || r.AssigneeID != w.rita.UserID {
		t.Fatalf("got %+v", r)
	}
	w.pass(day)
	if r = w.ask(r, "Which of the two logos?"); r.Status != Waiting || !r.Promise.Paused || !about(r.Promise.Spent, 3*day) || w.waiting(r.ID, "directory.look") != 0 {
		t.Fatalf("got %+v", r)
	}
	w.pass(30 * day) // the clock stands
	if got := w.reload(r.ID); *got.Promise.State != sla.OnTrack || !about(got.Promise.Spent, 3*day) || !about(got.Promise.DueAt.Sub(w.db.Now()), 18*day) {
		t.Fatalf("got %+v", got.Promise)
	}
	r = w.answers(gina, r, "The white one.")
	if r.Status != InReview || !about(r.DueAt.Sub(w.db.Now()), 18*day) || w.waiting(r.ID, "directory.look") != 1 {
		t.Fatalf("got %+v", r)
	}
	w.pass(day)
	if got := w.shown(DirectoryFilter{}); got != "Acme IT acme.example/" || w.version() != version {
		t.Fatalf("shown before it is decided: %s", got)
	}
	if _, err := w.OpenLogo(t.Context(), logo.ID); !fault.Is(err, fault.CodeNotFound) {
		t.Errorf("the logo is open before it is decided: %v", err)
	}
	if r = w.approve(r); r.Status != Approved || r.DecidedByID != w.rita.UserID {
		t.Fatalf("got %+v", r)
	}
	w.work()
	r = w.reload(r.ID)
	if r.Status != Published || *r.Promise.State != sla.Met || !about(r.Worked, 4*day) || r.PublishedAt == nil || r.ClosedAt == nil || r.Month != "2030-07" ||
		w.waiting(r.ID, "directory.look") != 0 || w.version() != version+1 {
		t.Fatalf("got %+v", r)
	}
	if got := w.shown(DirectoryFilter{}); got != "Acme Cloud IT acme.example/, Acme Deutschland DE acme.example/de" {
		t.Errorf("shown: %s", got)
	}
	d, err := w.OpenLogo(t.Context(), logo.ID)
	if err != nil || d.File.MediaType != file.PNG {
		t.Fatal(d, err)
	}
	if b, err := io.ReadAll(d); err != nil || len(b) != logo.Size {
		t.Errorf("read %d, %v", len(b), err)
	}
	if got := w.inbox(r.ID); got != "received gina, question gina, answered rita, published gina" {
		t.Errorf("mails: %s", got)
	}
	if got, want := w.course(gina, r.ID), "SUBMITTED, REVIEW_STARTED, ASKED, ANSWERED, APPROVED, PUBLISHED"; got != want {
		t.Errorf("the provider reads %s", got)
	}
	if got, want := w.course(w.rita, r.ID), "SUBMITTED, REVIEW_STARTED, ASSIGNED, ASKED, ANSWERED, APPROVED, PUBLISHED"; got != want {
		t.Errorf("the operator reads %s", got)
	}
	if got := w.audited(r.ID); got != "profile_update.submitted profile_update.assigned profile_update.asked profile_update.answered profile_update.approved profile_update.published" {
		t.Errorf("audit: %s", got)
	}
	l, err := w.Listing(t.Context(), gina, "")
	if err != nil || l.PartnerID != p.ID {
		t.Fatal(l, err)
	}
	h, err := w.History(t.Context(), l)
	if err != nil || len(h) != 2 || h[0].Kind != RevisionPublished || h[0].ProfileUpdateID != r.ID || h[0].ActorID != gina.UserID || h[0].Version != 2 || h[1].Kind != RevisionListed {
		t.Errorf("history %+v, %v", h, err)
	}
	// People of the operator stand nameless in what providers read.
	lines, err := w.Timeline(t.Context(), gina, []ident.ID{r.ID})
	qs, err2 := w.Questions(t.Context(), gina, []ident.ID{r.ID})
	if err != nil || err2 != nil || len(qs[r.ID]) != 1 || qs[r.ID][0].AskedByID != "" || qs[r.ID][0].Answer != "The white one." || qs[r.ID][0].AnsweredByID != gina.UserID {
		t.Error(qs, err, err2)
	}
	for _, n := range lines[r.ID] {
		if n.Side != Provider && n.ActorID+ident.ID(n.ActorName) != "" || n.Side == Provider && n.ActorName != "Gina Rossi" {
			t.Errorf("the provider reads %+v", n)
		}
	}
}

func TestWarningsAndBreach(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gina, r := w.renamed("Acme")
	begun := r.CreatedAt
	for _, c := range []struct {
		at     time.Duration
		state  sla.State
		course string
		mails  string
	}{
		{7*day - time.Minute, sla.OnTrack, "", ""},
		{7 * day, sla.OnTrack, "WARNED 50", "warning rita, warning rolf"},
		{11 * day, sla.OnTrack, "", ""},
		{Target * 4 / 5, sla.OnTrack, "WARNED 80", "warning rita, warning rolf"},
		{14*day - time.Minute, sla.OnTrack, "", ""},
		{14 * day, sla.AtRisk, "WARNED 100", "warning rita"}, // taken meanwhile
		{21*day - time.Minute, sla.AtRisk, "", ""},
		{21 * day, sla.Breached, "BREACHED", "escalated otto, late gina"},
		{60 * day, sla.Breached, "", ""},
	} {
		if c.at == 14*day {
			w.take(r)
		}
		course, mails := w.course(w.rita, r.ID), w.inbox(r.ID)
		w.until(begun.Add(c.at))
		w.work()
		if got := *w.reload(r.ID).Promise.State; got != c.state {
			t.Errorf("after %s: %s", c.at, got)
		}
		if got := strings.TrimPrefix(strings.TrimPrefix(w.course(w.rita, r.ID), course), ", "); got != c.course {
			t.Errorf("after %s: %s", c.at, got)
		}
		if got := strings.TrimPrefix(strings.TrimPrefix(strings.TrimPrefix(w.inbox(r.ID), mails), "received gina"), ", "); got != c.mails {
			t.Errorf("after %s: mails %s", c.at, got)
		}
	}
	// The provider reads of the breach, not of warnings.
	if got := w.course(gina, r.ID); got != "SUBMITTED, REVIEW_STARTED, BREACHED" {
		t.Errorf("the provider reads %s", got)
	}
	// What is broken stays broken, whatever comes of it.
	r = w.must(w.Reject(t.Context(), w.rita, RejectInput{ProfileUpdateID: r.ID, Reason: "Not your name."}))
	if *r.Promise.State != sla.Breached || r.Outcome != sla.Breached || !r.Promise.DueAt.Equal(begun.Add(21*day)) || !r.Promise.TargetAt.Equal(begun.Add(14*day)) {
		t.Errorf("got %+v", r.Promise)
	}
}

// Steps that fell due while nothing rang come before what is done then; a late
// wake-up leaves out warnings that are overtaken.
func TestLateSteps(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gina, r := w.renamed("Acme")
	w.take(r)
	w.work()
	w.db.Clock().Advance(22 * day)
	r = w.approve(r)
	if got := w.course(w.rita, r.ID); got != "SUBMITTED, REVIEW_STARTED, ASSIGNED, WARNED 50, WARNED 80, WARNED 100, BREACHED, APPROVED" {
		t.Errorf("course: %s", got)
	}
	w.work()
	if got := w.inbox(r.ID); got != "received gina, escalated otto, late gina, published gina" {
		t.Errorf("mails: %s", got)
	}
	if r = w.reload(r.ID); r.Outcome != sla.Breached {
		t.Errorf("got %+v", r)
	}
	// And where the timer is lost altogether, a scan finds it.
	_, _, loc := w.listed("Beta")
	beta := w.rename(w.as(w.admin("beta")), loc, "Beta Cloud")
	if _, err := w.db.Bun().NewRaw("DELETE FROM job WHERE subject_id = ?", beta.ID).Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.db.Clock().Advance(7*day + time.Hour)
	w.tx(func(ctx context.Context, tx *database.Tx) error { _, err := outbox.Put(ctx, tx, Scan{}); return err })
	w.work()
	if got := w.course(w.rita, beta.ID); got != "SUBMITTED, WARNED 50" {
		t.Errorf("course: %s", got)
	}
	if w.waiting(beta.ID, "directory.look") != 1 {
		t.Error("nothing rings for the next step")
	}
	_ = gina
}

func (w *world) admin(slug string) ident.ID {
	w.t.Helper()
	var id ident.ID
	if err := w.db.Read().NewSelect().TableExpr("user_account").Column("id").Where("email = ?", "gina@"+slug+".example").Scan(w.t.Context(), &id); err != nil {
		w.t.Fatal(err)
	}
	return id
}

// A mail that the course of things has overtaken is not sent.
func TestMootMails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gina, r := w.renamed("Acme")
	r = w.take(r)
	w.work()
	w.ask(r, "Really?")
	w.answers(gina, r, "Really.") // before the question is sent
	w.ask(r, "Sure?")
	if _, err := w.Withdraw(t.Context(), gina, WithdrawInput{ProfileUpdateID: r.ID}); err != nil {
		t.Fatal(err)
	}
	w.work()
	if got := w.inbox(r.ID); got != "received gina, question gina (suppressed), answered rita (suppressed), question gina (suppressed)" {
		t.Errorf("mails: %s", got)
	}
}

// A holiday declared later moves what was promised, to both directions, in one
// job whose progress is seen; what stands still is moved when it goes on.
func TestHolidays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, a := w.renamed("Acme")
	gina, b := w.renamed("Beta")
	w.take(b)
	w.ask(b, "Really?")
	begun := a.CreatedAt
	h, job, err := w.calendars.AddHoliday(t.Context(), w.chief, calendar.AddHolidayInput{Date: "2030-06-05", Name: "Day of rest"})
	if err != nil || job == nil {
		t.Fatal(job, err)
	}
	w.work()
	if a = w.reload(a.ID); !a.DueAt.Equal(begun.Add(22*day)) || !a.TargetAt.Equal(begun.Add(15*day)) || !a.NextActionAt.Equal(begun.Add(8*day)) || !a.QueueAt.Equal(*a.DueAt) {
		t.Errorf("got %+v", a)
	}
	if got := w.course(w.rita, a.ID); got != "SUBMITTED, PROMISE_MOVED" || w.waiting(a.ID, "directory.look") != 1 {
		t.Errorf("course: %s", got)
	}
	if got := w.course(w.rita, b.ID); got != "SUBMITTED, REVIEW_STARTED, ASSIGNED, ASKED" {
		t.Errorf("course: %s", got)
	}
	cal, err := w.calendars.Find(t.Context(), w.chief)
	if err != nil {
		t.Fatal(err)
	}
	if m, err := w.calendars.LastMove(t.Context(), w.chief, cal); err != nil || m == nil || m.FinishedAt == nil || m.Total == nil || *m.Total != 1 {
		t.Errorf("the move says %+v, %v", m, err)
	}
	w.pass(day)
	b = w.answers(gina, b, "Really.") // on the eve of the holiday
	if !about(b.DueAt.Sub(begun), 23*day) {
		t.Errorf("due %s", b.DueAt)
	}
	if _, _, err := w.calendars.RemoveHoliday(t.Context(), w.chief, calendar.RemoveHolidayInput{HolidayID: h.ID}); err != nil {
		t.Fatal(err)
	}
	w.work()
	if a, b = w.reload(a.ID), w.reload(b.ID); !a.DueAt.Equal(begun.Add(21*day)) || !about(b.DueAt.Sub(begun), 22*day) {
		t.Errorf("due %s and %s", a.DueAt, b.DueAt)
	}
	// A moment that has passed by the new calendar is due at once.
	w.until(begun.Add(6 * day))
	if _, _, err := w.calendars.Set(t.Context(), w.chief, calendar.SetInput{TimeZone: "Pacific/Auckland", Workdays: []calendar.Weekday{"MONDAY"}, Opens: "09:00", Closes: "17:00"}); err != nil {
		t.Fatal(err)
	}
	w.work()
	if a = w.reload(a.ID); !a.DueAt.Equal(begun.Add(21 * day)) {
		t.Errorf("calendar days are others in another zone: %s", a.DueAt)
	}
}

func TestRejectedAndFiledAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, gina, loc := w.listed("Acme")
	first, second := w.logo(gina, color.White), w.logo(gina, color.Black)
	submit := func(logo ident.ID) (*Request, error) {
		return w.Submit(t.Context(), gina, SubmitInput{Locations: []LocationInput{{LocationID: &loc.ID, LogoFileID: &logo}}})
	}
	r := w.must(submit(first.ID))
	if _, err := submit(second.ID); problems(err) != CodeOpen {
		t.Errorf("two at once: %v", err)
	}
	w.take(r)
	r = w.must(w.Reject(t.Context(), w.rita, RejectInput{ProfileUpdateID: r.ID, Reason: "Too white."}))
	if r.Status != Rejected || r.Reason != "Too white." || *r.Promise.State != sla.Met || r.Outcome != sla.Met {
		t.Errorf("got %+v", r)
	}
	if _, err := submit(first.ID); problems(err) != "locations.0.logoFileId FILE_ATTACHED" {
		t.Errorf("the same file: %v", err)
	}
	again := w.must(submit(second.ID))
	w.take(again)
	w.approve(again)
	w.work()
	if got := w.inbox(r.ID) + "; " + w.inbox(again.ID); got != "received gina, rejected gina; received gina, published gina" {
		t.Errorf("mails: %s", got)
	}
	for id, want := range map[ident.ID]bool{first.ID: false, second.ID: true, "fil_none": false} {
		if _, err := w.OpenLogo(t.Context(), id); (err == nil) != want || err != nil && !fault.Is(err, fault.CodeNotFound) {
			t.Errorf("%s: %v", id, err)
		}
	}
	// Withdrawn in time, it was no promise to the end, and stands in no report.
	third := w.rename(gina, loc, "Acme Three")
	third = w.must(w.Withdraw(t.Context(), gina, WithdrawInput{ProfileUpdateID: third.ID}))
	if third.Status != Withdrawn || third.Promise.State != nil || third.Outcome != "" {
		t.Errorf("got %+v", third)
	}
	if got := w.audited(third.ID); got != "profile_update.submitted profile_update.withdrawn" {
		t.Errorf("audit: %s", got)
	}
}

// An answer may bring other changes, with logos handed in before or now.
func TestAmended(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, gina, loc := w.listed("Acme")
	_, eve, foreign := w.listed("Eve")
	logo, late, other := w.logo(gina, color.White), w.logo(gina, color.Black), w.logo(eve, color.White)
	r := w.must(w.Submit(t.Context(), gina, SubmitInput{Locations: []LocationInput{{LocationID: &loc.ID, LogoFileID: &logo.ID}}}))
	w.take(r)
	w.ask(r, "And the other office?")
	for name, c := range map[string]struct {
		in   LocationInput
		want string
	}{
		"another's file":     {LocationInput{LocationID: &loc.ID, LogoFileID: &other.ID}, "locations.0.logoFileId NOT_FOUND"},
		"another's location": {LocationInput{LocationID: &foreign.ID, Remove: true}, "locations.0.locationId NOT_FOUND"},
		"nothing":            {LocationInput{LocationID: &loc.ID, RemoveLogo: true}, "locations UNCHANGED"},
	} {
		if _, err := w.Answer(t.Context(), gina, AnswerInput{ProfileUpdateID: r.ID, Text: "So.", Locations: []LocationInput{c.in}}); problems(err) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := w.reload(r.ID); got.Status != Waiting || got.Entries != 4 {
		t.Errorf("refused, and yet %+v", got)
	}
	r = w.must(w.Answer(t.Context(), gina, AnswerInput{ProfileUpdateID: r.ID, Text: "So.", Locations: []LocationInput{{LocationID: &loc.ID, LogoFileID: &logo.ID},
		{CompanyName: ptr("Acme France"), Country: ptr("FR"), TargetURL: ptr("https://acme.example/fr"), LogoFileID: &late.ID}}}))
	if len(r.Changes) != 2 || w.course(gina, r.ID) != "SUBMITTED, REVIEW_STARTED, ASKED, ANSWERED, AMENDED" {
		t.Errorf("got %+v", r)
	}
	w.approve(r)
	w.work()
	for _, id := range []ident.ID{logo.ID, late.ID} {
		if _, err := w.OpenLogo(t.Context(), id); err != nil {
			t.Error(err)
		}
	}
	// Locations go as they came.
	l, err := w.Listing(t.Context(), gina, "")
	if err != nil {
		t.Fatal(err)
	}
	ls, err := w.Locations(t.Context(), l)
	if err != nil || len(ls) != 2 {
		t.Fatal(ls, err)
	}
	var all []LocationInput
	for _, l := range ls {
		all = append(all, LocationInput{LocationID: &l.ID, Remove: true})
	}
	r = w.must(w.Submit(t.Context(), gina, SubmitInput{Locations: all}))
	w.take(r)
	w.approve(r)
	w.work()
	if got := w.shown(DirectoryFilter{}); got != "Eve IT eve.example/" {
		t.Errorf("shown: %s", got)
	}
	if _, err := w.OpenLogo(t.Context(), logo.ID); !fault.Is(err, fault.CodeNotFound) {
		t.Errorf("the logo of a card that is gone: %v", err)
	}
}

func TestTwoReviewersAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, r := w.renamed("Acme")
	race := func(verbs ...func() error) (won int) {
		t.Helper()
		errs := make([]error, len(verbs))
		var all sync.WaitGroup
		for i, verb := range verbs {
			all.Add(1)
			go func() { defer all.Done(); errs[i] = verb() }()
		}
		all.Wait()
		won = -1
		for i, err := range errs {
			switch {
			case err == nil && won >= 0:
				t.Fatal("both won")
			case err == nil:
				won = i
			case problems(err) != "profileUpdateId CONFLICT":
				t.Errorf("got %v", err)
			}
		}
		if won < 0 {
			t.Fatal("nobody won")
		}
		return won
	}
	assign := func(who access.Actor) func() error {
		return func() error {
			_, err := w.Assign(t.Context(), who, AssignInput{ProfileUpdateID: r.ID, AssigneeID: &who.UserID})
			return err
		}
	}
	winner := []access.Actor{w.rita, w.rolf}[race(assign(w.rita), assign(w.rolf))]
	if r = w.reload(r.ID); r.AssigneeID != winner.UserID {
		t.Errorf("worked by %s", r.AssigneeID)
	}
	// Who knows of the first may take over all the same.
	if _, err := w.Assign(t.Context(), w.chief, AssignInput{ProfileUpdateID: r.ID, AssigneeID: &w.chief.UserID, ExpectedVersion: &r.Version}); err != nil {
		t.Error(err)
	}
	won := race(func() error {
		_, _, err := w.Approve(t.Context(), w.rita, ApproveInput{ProfileUpdateID: r.ID})
		return err
	}, func() error {
		_, err := w.Reject(t.Context(), w.rolf, RejectInput{ProfileUpdateID: r.ID, Reason: "No."})
		return err
	})
	w.work()
	if got := w.reload(r.ID).Status; got != []Status{Published, Rejected}[won] {
		t.Errorf("%d won, and it is %s", won, got)
	}
	if n := len(strings.Split(w.inbox(r.ID), ", ")); n != 2 {
		t.Errorf("mails: %s", w.inbox(r.ID))
	}
}

// What may be done depends on state, version, role, party, and house.
func TestRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gina, r := w.renamed("Acme")
	orgs, err := w.accounts.Organizations(t.Context(), w.chief, []ident.ID{gina.OrganizationID})
	if err != nil {
		t.Fatal(err)
	}
	sales := w.user(orgs[gina.OrganizationID], "sam@acme.example", "Sam", access.SalesAgent)
	_, eve := w.company("Eve")
	_, ron := w.company("Ron", func(in *partner.RegisterInput) { in.Kind = access.IndirectReseller })
	mole := w.user(w.house, "mole@mail.acme.example", "Mole", access.Reviewer)
	clerk := w.user(w.house, "cleo@house.example", "Cleo", access.DefaultUser)
	none := ident.New(ident.ProfileUpdate)
	verbs := map[string]func(who access.Actor, id ident.ID, version *int) error{
		"assign": func(who access.Actor, id ident.ID, version *int) error {
			_, err := w.Assign(t.Context(), who, AssignInput{ProfileUpdateID: id, ExpectedVersion: version, AssigneeID: &w.rita.UserID})
			return err
		},
		"ask": func(who access.Actor, id ident.ID, version *int) error {
			_, err := w.Ask(t.Context(), who, AskInput{ProfileUpdateID: id, ExpectedVersion: version, Text: "?"})
			return err
		},
		"approve": func(who access.Actor, id ident.ID, version *int) error {
			_, _, err := w.Approve(t.Context(), who, ApproveInput{ProfileUpdateID: id, ExpectedVersion: version})
			return err
		},
		"reject": func(who access.Actor, id ident.ID, version *int) error {
			_, err := w.Reject(t.Context(), who, RejectInput{ProfileUpdateID: id, ExpectedVersion: version, Reason: "No."})
			return err
		},
		"answer": func(who access.Actor, id ident.ID, version *int) error {
			_, err := w.Answer(t.Context(), who, AnswerInput{ProfileUpdateID: id, ExpectedVersion: version, Text: "!"})
			return err
		},
		"withdraw": func(who access.Actor, id ident.ID, version *int) error {
			_, err := w.Withdraw(t.Context(), who, WithdrawInput{ProfileUpdateID: id, ExpectedVersion: version})
			return err
		},
	}
	theirs := func(verb string) bool { return verb == "answer" || verb == "withdraw" }
	for name, verb := range verbs {
		for who, c := range map[string]struct {
			actor      access.Actor
			ours, want string // of the operator's verbs, of the provider's
		}{
			"nobody":               {access.Anonymous("en", ""), fault.CodeUnauthenticated, fault.CodeUnauthenticated},
			"the provider":         {gina, fault.CodeRoleRequired, ""},
			"its seller":           {sales, fault.CodeRoleRequired, fault.CodeRoleRequired},
			"another provider":     {eve, fault.CodeRoleRequired, fault.CodeNotFound},
			"a reseller":           {ron, fault.CodeRoleRequired, fault.CodeRoleRequired},
			"a clerk":              {clerk, fault.CodeRoleRequired, fault.CodeRoleRequired},
			"a reviewer":           {w.rita, "", fault.CodeRoleRequired},
			"one of the own house": {mole, CodeOwnOrganization, fault.CodeRoleRequired},
		} {
			want := c.ours
			if theirs(name) {
				want = c.want
			}
			if want == "" {
				continue
			}
			if err := verb(c.actor, r.ID, nil); !fault.Is(err, want) {
				t.Errorf("%s by %s: got %v, want %s", name, who, err, want)
			}
		}
		who := w.rita
		if theirs(name) {
			who = gina
		}
		if err := verb(who, none, nil); problems(err) != "profileUpdateId NOT_FOUND" {
			t.Errorf("%s of nothing: %v", name, err)
		}
		if err := verb(who, r.ID, ptr(0)); problems(err) != "expectedVersion CONFLICT" {
			t.Errorf("%s of a former version: %v", name, err)
		}
	}
	for name, c := range map[string]struct {
		to   ident.ID
		want string
	}{"a provider": {gina.UserID, "assigneeId NOT_FOUND"}, "nobody": {"usr_none", "assigneeId NOT_FOUND"}, "a clerk": {clerk.UserID, "assigneeId NOT_A_REVIEWER"},
		"one of the own house": {mole.UserID, "assigneeId OWN_ORGANIZATION"}} {
		if _, err := w.Assign(t.Context(), w.rita, AssignInput{ProfileUpdateID: r.ID, AssigneeID: &c.to}); problems(err) != c.want {
			t.Errorf("to %s: %v", name, err)
		}
	}
	for name, c := range map[string]struct {
		text, want string
	}{"no text": {" \n ", "REQUIRED"}, "2,001 characters": {strings.Repeat("ü", MaxText+1), "TOO_LONG"}, "unseen": {"a\u202eb", "CONTROL_CHARACTERS"}} {
		_, ask := w.Ask(t.Context(), w.rita, AskInput{ProfileUpdateID: r.ID, Text: c.text})
		_, reject := w.Reject(t.Context(), w.rita, RejectInput{ProfileUpdateID: r.ID, Reason: c.text})
		_, answer := w.Answer(t.Context(), gina, AnswerInput{ProfileUpdateID: r.ID, Text: c.text})
		if got := problems(ask) + ", " + problems(reject) + ", " + problems(answer); got != fmt.Sprintf("text %[1]s, reason %[1]s, text %[1]s", c.want) {
			t.Errorf("%s: %s", name, got)
		}
	}
	// In every status, what it does not allow is refused as moved on.
	status := func(s Status) {
		t.Helper()
		if _, err := w.db.Bun().NewRaw("UPDATE profile_update SET status = ?, assignee_id = '' WHERE id = ?", s, r.ID).Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	of := map[string]Verb{"ask": VerbAsk, "approve": VerbApprove, "reject": VerbReject, "answer": VerbAnswer, "withdraw": VerbWithdraw}
	for _, s := range Statuses {
		status(s)
		for name, verb := range verbs {
			if name == "assign" && (s == Submitted || s == InReview || s == Waiting) {
				continue
			}
			if _, ok := s.Next(of[name]); ok {
				continue
			}
			who := w.rita
			if theirs(name) {
				who = gina
			}
			if err := verb(who, r.ID, nil); problems(err) != "profileUpdateId CONFLICT" {
				t.Errorf("%s of one that is %s: %v", name, s, err)
			}
		}
	}
	status(Submitted)
	if got := w.reload(r.ID); got.Version != r.Version || got.Entries != 1 || w.audited(r.ID) != "profile_update.submitted" {
		t.Errorf("refused, and yet %+v", got)
	}
}

func TestQuestionsAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gina, r := w.renamed("Acme")
	w.take(r)
	for range MaxQuestions {
		w.ask(r, "Really?")
		w.answers(gina, r, "Really.")
	}
	if _, err := w.Ask(t.Context(), w.rita, AskInput{ProfileUpdateID: r.ID, Text: "Really?"}); problems(err) != "text TOO_MANY" {
		t.Errorf("got %v", err)
	}
}

func TestSubmitIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p, gina, loc := w.listed("Acme")
	_, ron := w.company("Ron", func(in *partner.RegisterInput) { in.Kind = access.IndirectReseller })
	_, dora := w.company("Dora", func(in *partner.RegisterInput) { in.Kind = access.DirectBill })
	_, _, foreign := w.listed("Eve")
	try := func(who access.Actor, ls ...LocationInput) string {
		_, err := w.Submit(t.Context(), who, SubmitInput{Locations: ls})
		return problems(err)
	}
	rename := LocationInput{LocationID: &loc.ID, CompanyName: ptr("Acme Two")}
	for name, c := range map[string]struct {
		who  access.Actor
		in   LocationInput
		want string
	}{
		"nobody":                {access.Anonymous("en", ""), rename, fault.CodeUnauthenticated},
		"a reseller":            {ron, rename, fault.CodeRoleRequired},
		"a direct-bill partner": {dora, rename, fault.CodeRoleRequired},
		"a reviewer":            {w.rita, rename, fault.CodeRoleRequired},
		"another's location":    {gina, LocationInput{LocationID: &foreign.ID, CompanyName: ptr("Acme")}, "locations.0.locationId NOT_FOUND"},
		"an absent file":        {gina, LocationInput{LocationID: &loc.ID, LogoFileID: ptr(ident.ID("fil_none"))}, "locations.0.logoFileId NOT_FOUND"},
		"another region":        {gina, LocationInput{CompanyName: ptr("Acme"), Country: ptr("JP"), TargetURL: ptr("https://acme.example/jp")}, "locations.0.country COUNTRY_NOT_OF_REGION"},
		"nothing new":           {gina, LocationInput{LocationID: &loc.ID, CompanyName: ptr("Acme")}, "locations UNCHANGED"},
	} {
		if got := try(c.who, c.in); got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
	if _, err := w.partners.Suspend(t.Context(), w.chief, partner.SuspendInput{PartnerID: p.ID, Reason: "Complaints."}); err != nil {
		t.Fatal(err)
	}
	if got := try(gina, rename); got != CodeNotActive {
		t.Errorf("suspended: %s", got)
	}
	if _, err := w.SetListing(t.Context(), gina, SetListingInput{Listed: false}); err != nil {
		t.Errorf("who is suspended may still leave: %v", err)
	}
	if _, err := w.SetListing(t.Context(), gina, SetListingInput{Listed: true}); problems(err) != CodeNotActive {
		t.Errorf("got %v", err)
	}
	if n, err := w.db.Read().NewSelect().Model((*Request)(nil)).Count(t.Context()); err != nil || n != 0 {
		t.Errorf("%d requests were filed, %v", n, err)
	}
}

// The same key files once; two at the same moment file one.
func TestSubmitOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, gina, loc := w.listed("Acme")
	in := func(name string) SubmitInput {
		return SubmitInput{Locations: []LocationInput{{LocationID: &loc.ID, CompanyName: &name}}, IdempotencyKey: ptr("key-0001")}
	}
	r := w.must(w.Submit(t.Context(), gina, in("Acme Two")))
	if again := w.must(w.Submit(t.Context(), gina, in("Acme Two"))); again.ID != r.ID {
		t.Error("filed twice")
	}
	if _, err := w.Submit(t.Context(), gina, in("Acme Three")); problems(err) != "idempotencyKey IDEMPOTENCY_KEY_REUSED" {
		t.Errorf("got %v", err)
	}
	w.must(w.Withdraw(t.Context(), gina, WithdrawInput{ProfileUpdateID: r.ID}))
	errs := make(chan error, 2)
	for i := range 2 {
		go func() {
			_, err := w.Submit(t.Context(), gina, SubmitInput{Locations: []LocationInput{{LocationID: &loc.ID, CompanyName: ptr(fmt.Sprint("Acme ", i))}}})
			errs <- err
		}()
	}
	if a, b := <-errs, <-errs; (a == nil) == (b == nil) || problems(errors.Join(a, b)) != CodeOpen {
		t.Errorf("got %v and %v", a, b)
	}
}

// The public sees a provider exactly while it is listed and active, whatever
// comes in between; a closed one takes back what it asked for.
func TestSuspendedInTheMiddle(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p, gina, loc := w.listed("Acme")
	logo := w.logo(gina, color.White)
	r := w.must(w.Submit(t.Context(), gina, SubmitInput{Locations: []LocationInput{{LocationID: &loc.ID, CompanyName: ptr("Acme Cloud"), LogoFileID: &logo.ID}}}))
	w.take(r)
	w.ask(r, "Really?")
	version := w.version()
	if _, err := w.partners.Suspend(t.Context(), w.chief, partner.SuspendInput{PartnerID: p.ID, Reason: "Complaints."}); err != nil {
		t.Fatal(err)
	}
	if got := w.shown(DirectoryFilter{}); got != "" || w.version() != version+1 {
		t.Errorf("shown: %s", got)
	}
	w.answers(gina, r, "Really.") // the request goes on
	w.approve(r)
	w.work()
	if got := w.reload(r.ID); got.Status != Published {
		t.Errorf("got %s", got.Status)
	}
	if got := w.shown(DirectoryFilter{}); got != "" {
		t.Errorf("published is shown: %s", got)
	}
	if _, err := w.OpenLogo(t.Context(), logo.ID); !fault.Is(err, fault.CodeNotFound) {
		t.Errorf("the logo is seen: %v", err)
	}
	if _, err := w.partners.Reinstate(t.Context(), w.chief, partner.ReinstateInput{PartnerID: p.ID, Reason: "Settled."}); err != nil {
		t.Fatal(err)
	}
	if got := w.shown(DirectoryFilter{}); got != "Acme Cloud IT acme.example/" {
		t.Errorf("shown: %s", got)
	}
	again := w.rename(gina, loc, "Acme Two")
	if _, err := w.partners.Suspend(t.Context(), w.chief, partner.SuspendInput{PartnerID: p.ID, Reason: "Complaints."}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.partners.Close(t.Context(), w.chief, partner.CloseInput{PartnerID: p.ID, Reason: "Gone."}); err != nil {
		t.Fatal(err)
	}
	if got := w.reload(again.ID); got.Status != Withdrawn || w.waiting(again.ID, "directory.look") != 0 || w.course(gina, again.ID) != "SUBMITTED, WITHDRAWN" {
		t.Errorf("got %s", got.Status)
	}
	l, err := w.Listing(t.Context(), gina, "")
	if err != nil || l.Visible() || l.Active {
		t.Fatal(l, err)
	}
	h, err := w.History(t.Context(), l)
	var kinds []RevisionKind
	for _, r := range h {
		kinds = append(kinds, r.Kind)
	}
	if err != nil || !slices.Equal(kinds, []RevisionKind{RevisionHidden, RevisionShown, RevisionPublished, RevisionHidden, RevisionListed}) {
		t.Errorf("history %v, %v", kinds, err)
	}
}

// A publication that was done, or is not approved, does nothing; two at once
// do it once.
func TestPublishTwice(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, r := w.renamed("Acme")
	again := func() error {
		w.tx(func(ctx context.Context, tx *database.Tx) error {
			_, err := outbox.Put(ctx, tx, Publish{ProfileUpdateID: r.ID})
			return err
		})
		w.work()
		return nil
	}
	version := w.version()
	_ = again()
	if got := w.reload(r.ID); got.Status != Submitted || w.version() != version {
		t.Errorf("published unasked: %+v", got)
	}
	w.take(r)
	w.approve(r)
	w.work()
	for range 2 {
		_ = again()
	}
	if w.version() != version+1 || w.inbox(r.ID) != "received gina, published gina" || !strings.HasSuffix(w.course(w.rita, r.ID), "APPROVED, PUBLISHED") {
		t.Errorf("version %d, mails %s, course %s", w.version()-version, w.inbox(r.ID), w.course(w.rita, r.ID))
	}
	if err := w.Cancelled(t.Context(), nil, nil); !fault.Is(err, outbox.CodeNotCancellable) {
		t.Errorf("got %v", err)
	}
}

func TestListing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p, gina := w.company("Acme", func(in *partner.RegisterInput) { in.Website = ptr("https://www.acme.example/home") })
	l, err := w.Listing(t.Context(), gina, "")
	if err != nil || l.Version != 0 || l.Listed || !l.Active || l.PartnerID != p.ID {
		t.Fatal(l, err)
	}
	set := func(listed bool, version *int) (*Listing, error) {
		return w.SetListing(t.Context(), gina, SetListingInput{Listed: listed, ExpectedVersion: version})
	}
	version := w.version()
	if l, err = set(false, nil); err != nil || l.Version != 0 || w.version() != version {
		t.Errorf("nothing changed, and yet %+v, %v", l, err)
	}
	if l, err = set(true, ptr(0)); err != nil || !l.Visible() || l.Version != 1 || w.version() != version+1 || w.shown(DirectoryFilter{}) != "Acme IT www.acme.example/home" {
		t.Errorf("got %+v, %v", l, err)
	}
	if _, err := set(false, ptr(0)); problems(err) != "expectedVersion CONFLICT" {
		t.Errorf("got %v", err)
	}
	if l, err = set(false, ptr(1)); err != nil || l.Visible() || w.shown(DirectoryFilter{}) != "" {
		t.Errorf("got %+v, %v", l, err)
	}
	if _, err = set(true, nil); err != nil || w.shown(DirectoryFilter{}) != "Acme IT www.acme.example/home" { // the same card
		t.Errorf("got %v", err)
	}
	if got := w.audited(p.ID); got != "partner.registered directory.listed directory.unlisted directory.listed" {
		t.Errorf("audit: %s", got)
	}
	// Who published before opting in, and was suspended, gets no second card.
	q, hans := w.company("Hans")
	r := w.must(w.Submit(t.Context(), hans, SubmitInput{Locations: []LocationInput{{CompanyName: ptr("Hans"), Country: ptr("DE"), TargetURL: ptr("https://hans.example/de")}}}))
	w.take(r)
	w.approve(r)
	w.work()
	if _, err := w.SetListing(t.Context(), hans, SetListingInput{Listed: true}); err != nil || w.shown(DirectoryFilter{Country: ptr("DE")}) != "Hans DE hans.example/de" || w.shown(DirectoryFilter{}) !=
		"Acme IT www.acme.example/home, Hans DE hans.example/de" {
		t.Errorf("shown %s, %v", w.shown(DirectoryFilter{}), err)
	}
	// Whose website has no place on a card comes by a request instead.
	_, local := w.company("Local", func(in *partner.RegisterInput) { in.TenantDomain = "shop.test"; in.Admin.Email = "gina@shop.test" })
	if l, err := w.SetListing(t.Context(), local, SetListingInput{Listed: true}); err != nil || !l.Visible() {
		t.Errorf("got %v, %v", l, err)
	}
	// Whose is whose.
	_, ron := w.company("Ron", func(in *partner.RegisterInput) { in.Kind = access.IndirectReseller })
	for name, c := range map[string]struct {
		who   access.Actor
		id    ident.ID
		found bool
		want  string
	}{
		"own":               {hans, q.ID, true, ""},
		"another's":         {hans, p.ID, false, ""},
		"the operator":      {w.rita, p.ID, true, ""},
		"the operator's":    {w.rita, "", false, ""},
		"of nobody":         {w.rita, "par_none", false, ""},
		"a reseller":        {ron, p.ID, false, fault.CodeRoleRequired},
		"nobody":            {access.Anonymous("en", ""), p.ID, false, fault.CodeUnauthenticated},
		"a reseller's seen": {w.rita, ron.PartnerID, false, ""},
	} {
		l, err := w.Listing(t.Context(), c.who, c.id)
		if (l != nil) != c.found || c.want == "" && err != nil || c.want != "" && !fault.Is(err, c.want) {
			t.Errorf("%s: %v, %v", name, l, err)
		}
	}
	if _, err := w.SetListing(t.Context(), ron, SetListingInput{Listed: true}); !fault.Is(err, fault.CodeRoleRequired) {
		t.Errorf("got %v", err)
	}
}

func TestCards(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i, c := range []struct{ name, country string }{{"Zürcher Cloud AG", "CH"}, {"Écoute", "FR"}, {"Acme S.r.l.", "IT"}, {"Acme Due", "IT"}, {"100% Cloud", "IT"}, {"Kyoto Systems", "JP"}} {
		_, gina := w.company(c.name, func(in *partner.RegisterInput) {
			in.TenantDomain, in.Country, in.Admin.Email = fmt.Sprintf("c%d.example", i), c.country, fmt.Sprintf("gina@c%d.example", i)
			if c.country == "CH" {
				in.RegistrationID = ptr("CHE-116.281.710")
			}
		})
		if _, err := w.SetListing(t.Context(), gina, SetListingInput{Listed: true}); err != nil {
			t.Fatal(err)
		}
	}
	asia := region.Code("ASIA_PACIFIC")
	names := func(f DirectoryFilter) string {
		t.Helper()
		c, err := w.Cards(t.Context(), page.Args{}, f)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, l := range c.Nodes() {
			out = append(out, l.CompanyName)
			asia = l.Region
		}
		return strings.Join(out, ", ")
	}
	for name, c := range map[string]struct {
		f    DirectoryFilter
		want string
	}{
		"all":         {DirectoryFilter{}, "100% Cloud, Acme Due, Acme S.r.l., Écoute, Kyoto Systems, Zürcher Cloud AG"},
		"country":     {DirectoryFilter{Country: ptr("it")}, "100% Cloud, Acme Due, Acme S.r.l."},
		"no country":  {DirectoryFilter{Country: ptr("xx")}, ""},
		"accents":     {DirectoryFilter{Search: ptr("  ECOU")}, "Écoute"},
		"a prefix":    {DirectoryFilter{Search: ptr("acme")}, "Acme Due, Acme S.r.l."},
		"whole":       {DirectoryFilter{Search: ptr("Acme S.r.l.")}, "Acme S.r.l."},
		"a wild card": {DirectoryFilter{Search: ptr("%")}, ""},
		"not inside":  {DirectoryFilter{Search: ptr("Cloud")}, ""},
		"both":        {DirectoryFilter{Search: ptr("a"), Country: ptr("FR")}, ""},
		"blank":       {DirectoryFilter{Search: ptr("  "), Country: ptr("FR")}, "Écoute"},
	} {
		if got := names(c.f); got != c.want {
			t.Errorf("%s: %s", name, got)
		}
	}
	if names(DirectoryFilter{Country: ptr("JP")}); names(DirectoryFilter{Region: &asia}) != "Kyoto Systems" {
		t.Errorf("in %s: %s", asia, names(DirectoryFilter{Region: &asia}))
	}
	if _, err := w.Cards(t.Context(), page.Args{}, DirectoryFilter{Search: ptr(long(maxSearch + 1))}); problems(err) != "filter.search TOO_LONG" {
		t.Errorf("got %v", err)
	}
	// Page by page, one statement each.
	var got []string
	for after := (*string)(nil); ; {
		before := w.db.Queries()
		c, err := w.Cards(t.Context(), page.Args{First: ptr(2), After: after}, DirectoryFilter{})
		if err != nil || w.db.Queries()-before != 1 {
			t.Fatal(err, w.db.Queries()-before)
		}
		for _, l := range c.Nodes() {
			got = append(got, l.CompanyName)
		}
		if !c.PageInfo.HasNextPage {
			break
		}
		after = c.PageInfo.EndCursor
	}
	if strings.Join(got, ", ") != "100% Cloud, Acme Due, Acme S.r.l., Écoute, Kyoto Systems, Zürcher Cloud AG" {
		t.Errorf("page by page: %v", got)
	}
}

// Months of the report, their medians, and the same in a file.
func TestReport(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, gina, loc := w.listed("Acme")
	n := 0
	worked := func(d time.Duration) {
		t.Helper()
		n++
		r := w.rename(gina, loc, fmt.Sprint("Acme ", n))
		w.take(r)
		w.pass(d)
		w.must(w.Reject(t.Context(), w.rita, RejectInput{ProfileUpdateID: r.ID, Reason: "No."}))
	}
	worked(4 * day)
	worked(2 * day)
	worked(8 * day)  // June 17
	worked(30 * day) // breached in July
	worked(10 * day)
	r := w.rename(gina, loc, "Acme Withdrawn")
	w.must(w.Withdraw(t.Context(), gina, WithdrawInput{ProfileUpdateID: r.ID}))
	line := func(ms []*Month) (out []string) {
		for _, m := range ms {
			out = append(out, fmt.Sprintf("%s %d %d %s", m.Month, m.Met, m.Breached, m.Median.Round(time.Minute)))
		}
		return out
	}
	ms, err := w.Report(t.Context(), w.rita, ReportFilter{})
	if want := []string{"2030-06 3 0 96h0m0s", "2030-07 1 1 480h0m0s"}; err != nil || !slices.Equal(line(ms), want) {
		t.Errorf("got %v, %v", line(ms), err)
	}
	if ms, err := w.Report(t.Context(), w.rita, ReportFilter{From: ptr("2030-07"), To: ptr("2030-07")}); err != nil || len(ms) != 1 || ms[0].Month != "2030-07" {
		t.Errorf("got %v, %v", line(ms), err)
	}
	if ms, err := w.Report(t.Context(), w.rita, ReportFilter{To: ptr("2029-01")}); err != nil || len(ms) != 0 {
		t.Errorf("got %v, %v", line(ms), err)
	}
	for _, who := range []access.Actor{gina, access.Anonymous("en", "")} {
		if _, err := w.Report(t.Context(), who, ReportFilter{}); !fault.Is(err, fault.CodeRoleRequired) && !fault.Is(err, fault.CodeUnauthenticated) {
			t.Errorf("got %v", err)
		}
		if _, _, err := w.ExportReport(t.Context(), who, ReportFilter{}, ""); !fault.Is(err, fault.CodeRoleRequired) && !fault.Is(err, fault.CodeUnauthenticated) {
			t.Errorf("got %v", err)
		}
	}
	if _, _, err := w.ExportReport(t.Context(), w.rita, ReportFilter{From: ptr("x")}, ""); problems(err) != "filter.from MONTH_INVALID" {
		t.Errorf("got %v", err)
	}
	e, job, err := w.ExportReport(t.Context(), w.rita, ReportFilter{From: ptr("2030-01")}, "key-0001")
	if err != nil || job == nil {
		t.Fatal(e, job, err)
	}
	if again, _, err := w.ExportReport(t.Context(), w.rita, ReportFilter{From: ptr("2030-01")}, "key-0001"); err != nil || again.ID != e.ID {
		t.Errorf("got %v, %v", again, err)
	}
	w.work()
	var csv strings.Builder
	d, err := w.audits.OpenExport(t.Context(), w.rita, e.ID)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(&csv, d); err != nil || csv.String() != "month,met,breached,median_worked_hours\r\n2030-06,3,0,96.0\r\n2030-07,1,1,480.0\r\n" || !strings.HasPrefix(d.Export.FileName(), "profile-update-report-2030-") {
		t.Errorf("%s holds %q, %v", d.Export.FileName(), csv.String(), err)
	}
}

// A website that cannot stand on a card makes none: the provider is listed, and
// files a request for its first card.
func TestNoFirstCard(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, gina := w.company("Plain", func(in *partner.RegisterInput) { in.Website = new("http://www.plain.example") })
	l, err := w.SetListing(t.Context(), gina, SetListingInput{Listed: true})
	if err != nil || !l.Listed {
		t.Fatal(l, err)
	}
	if cards, err := w.Locations(t.Context(), l); err != nil || len(cards) != 0 {
		t.Error(cards, err)
	}
}
