package enrollment

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/calendar"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/file"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/mail"
	"github.com/channelgraph/channelgraph/internal/mailbox"
	"github.com/channelgraph/channelgraph/internal/outbox"
)

func TestDraftIsRemindedAndExpires(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{})
	a, e := w.begun("acme")
	w.pass(6 * day)
	if got := w.inbox(e.ID); got != "" {
		t.Errorf("too early: %s", got)
	}
	if _, err := w.Save(t.Context(), a, SaveInput{EnrollmentID: e.ID, Corrections: Corrections{Legal: &LegalInput{Name: ptr("Acme")}}}); err != nil {
		t.Fatal(err)
	}
	w.pass(6 * day)
	if got := w.inbox(e.ID); got != "" {
		t.Errorf("work on it gives time: %s", got)
	}
	w.pass(2 * day)
	if got := w.inbox(e.ID); got != "draft_reminder gina" {
		t.Errorf("after seven days: %s", got)
	}
	w.pass(21 * day)
	if got := w.reload(e.ID).Status; got != Draft {
		t.Errorf("after 29 days: %s", got)
	}
	w.pass(2 * day)
	if got, mails := w.reload(e.ID), w.inbox(e.ID); got.Status != Expired || got.NextActionAt != nil || mails != "draft_reminder gina, expired gina" {
		t.Errorf("after 30 days: %s, %s", got.Status, mails)
	}
	if _, err := w.Save(t.Context(), a, SaveInput{EnrollmentID: e.ID}); !fault.Is(err, CodeState) {
		t.Errorf("saving an expired one: %v", err)
	}
	if f, err := w.Begin(t.Context(), a, BeginInput{}); err != nil || f.Profile.LegalName != "Acme" {
		t.Errorf("anew: %+v, %v", f, err)
	}
}

func TestUnconfirmedExpiresAfterFourteenDays(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{})
	_, e := w.submitted("acme")
	token := w.token(e)
	w.pass(71 * time.Hour)
	if p, err := w.PreviewVerification(t.Context(), token); err != nil || p.State != LinkValid {
		t.Errorf("after 71 hours: %+v, %v", p, err)
	}
	w.pass(time.Hour)
	if p, err := w.PreviewVerification(t.Context(), token); err != nil || p.State != LinkExpired || p.Company != "" {
		t.Errorf("after 72 hours: %+v, %v", p, err)
	}
	if err := w.Confirm(t.Context(), token, here); !fault.Is(err, account.CodeLinkExpired) {
		t.Errorf("a late yes: %v", err)
	}
	w.pass(12 * day)
	if got, want := w.inbox(e.ID), "verification carla, verification_reminder carla, verification_reminder carla, expired carla, expired gina"; got != want {
		t.Errorf("mails: %s, want %s", got, want)
	}
	if got := w.reload(e.ID); got.Status != Expired {
		t.Errorf("after 15 days: %s", got.Status)
	}
	if got := w.course(e.ID); got != "STARTED SUBMITTED LINK_SENT EXPIRED" {
		t.Errorf("timeline: %s", got)
	}
	if p, err := w.PreviewVerification(t.Context(), token); err != nil || p.State != LinkClosed {
		t.Errorf("after expiry: %+v, %v", p, err)
	}
}

func TestReviewIsRemindedAndAlerted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{})
	a, e := w.inReview("acme")
	if _, err := w.Assign(t.Context(), w.rita, AssignInput{EnrollmentID: e.ID, AssigneeID: &w.rita.UserID}); err != nil {
		t.Fatal(err)
	}
	before := w.inbox(e.ID)
	w.pass(3*day - time.Hour)
	if got := w.inbox(e.ID); got != before {
		t.Errorf("too early: %s", got)
	}
	w.pass(2 * time.Hour)
	if got := w.inbox(e.ID); got != before+", review_due rita" {
		t.Errorf("at the target: %s", got)
	}
	w.pass(4 * day) // over a weekend
	if got := w.inbox(e.ID); got != before+", review_due rita, review_overdue otto" {
		t.Errorf("at the promise: %s", got)
	}
	w.pass(40 * day)
	if got := w.inbox(e.ID); got != before+", review_due rita, review_overdue otto" {
		t.Errorf("said once more: %s", got)
	}
	if state, err := w.PromiseState(t.Context(), w.reload(e.ID)); err != nil || state != "BREACHED" {
		t.Errorf("the promise is %s, %v", state, err)
	}
	own, err := w.Timeline(t.Context(), a, []ident.ID{e.ID})
	if err != nil {
		t.Fatal(err)
	}
	said := map[EntryKind]int{}
	for _, n := range own[e.ID] {
		said[n.Kind]++
	}
	if said[EntryReviewDue] != 1 || said[EntryReviewTarget] != 0 {
		t.Errorf("the applicant reads %v", said)
	}
}

// A holiday that is added moves what was promised, and what was said is not
// said again.
func TestCalendarMovesPromises(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{})
	_, e := w.inReview("acme")
	due := *e.DueAt
	if _, _, err := w.calendars.AddHoliday(t.Context(), w.chief, calendar.AddHolidayInput{Date: "2030-06-05", Name: "Festa"}); err != nil {
		t.Fatal(err)
	}
	w.work()
	if e = w.reload(e.ID); !e.DueAt.Equal(due.Add(day)) || !e.NextActionAt.Equal(*e.TargetAt) {
		t.Errorf("the promise is %v, it was %v", e.DueAt, due)
	}
	if got := w.course(e.ID); !strings.HasSuffix(got, "PROMISE_MOVED") {
		t.Errorf("timeline: %s", got)
	}
	w.pass(30 * day)
	if got := w.inbox(e.ID); strings.Count(got, "review_due") != 2 || strings.Count(got, "review_overdue") != 1 {
		t.Errorf("mails: %s", got) // two reviewers, one administrator
	}
}

func TestNoResponse(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{})
	a, e := w.inReview("acme")
	if _, err := w.Ask(t.Context(), w.rita, AskInput{EnrollmentID: e.ID, Text: "Which one?"}); err != nil {
		t.Fatal(err)
	}
	before := w.inbox(e.ID)
	w.pass(22 * day)
	asked := strings.TrimPrefix(w.inbox(e.ID), before)
	if w.reload(e.ID).Status != ActionRequired || strings.Contains(asked, "action_reminder") || strings.Contains(asked, "review_") {
		t.Errorf("after 22 days: %s", asked)
	}
	w.pass(2 * day)
	if got := w.inbox(e.ID); strings.Count(got, "action_reminder") != 2 { // contact and applicant
		t.Errorf("seven days before: %s", got)
	}
	w.pass(5 * day)
	if got := w.inbox(e.ID); strings.Count(got, "action_reminder") != 4 {
		t.Errorf("a day before: %s", got)
	}
	w.pass(2 * day)
	got := w.reload(e.ID)
	if got.Status != Rejected || got.ReasonCode != NoResponse || got.RejectedByID != nil || !got.Appealable(w.db.Now()) || !got.Clock.Ended {
		t.Errorf("after 30 days: %+v", got)
	}
	if mails := w.inbox(e.ID); !strings.HasSuffix(mails, "rejected carla, rejected gina") {
		t.Errorf("mails: %s", mails)
	}
	// an appeal is the answer, and any reviewer may decide it
	if _, err := w.Appeal(t.Context(), a, AppealInput{EnrollmentID: e.ID, Text: "We were on leave."}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Reject(t.Context(), w.rita, RejectInput{EnrollmentID: e.ID, ReasonCode: NotABusiness}); err != nil {
		t.Error(err)
	}
}

func TestUnsignedIsReminded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{})
	_, e := w.inReview("acme")
	if _, err := w.DecideCheck(t.Context(), w.rita, DecideCheckInput{EnrollmentID: e.ID, Check: Business, Passed: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Approve(t.Context(), w.rita, ApproveInput{EnrollmentID: e.ID}); err != nil {
		t.Fatal(err)
	}
	total := time.Duration(0)
	for _, c := range []struct {
		at   time.Duration
		want int
	}{{2 * day, 0}, {4 * day, 2}, {9 * day, 2}, {11 * day, 4}, {29 * day, 4}, {31 * day, 6}, {100 * day, 6}} {
		w.pass(c.at - total)
		total = c.at
		if got := strings.Count(w.inbox(e.ID), "sign_reminder"); got != c.want {
			t.Errorf("after %d days: %d reminders, want %d", c.at/day, got, c.want)
		}
	}
	if got := w.reload(e.ID); got.Status != Approved || got.NextActionAt != nil {
		t.Errorf("approved: %+v", got)
	}
}

// TestFortyDays walks an enrollment through everything that takes time, with
// every wait to its end.
func TestFortyDays(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{})
	began := w.db.Now()
	a, e := w.begun("acme")
	w.pass(8 * day) // reminded of the draft
	if _, err := w.Save(t.Context(), a, SaveInput{EnrollmentID: e.ID, Corrections: filled("acme")}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.Submit(t.Context(), a, SubmitInput{EnrollmentID: e.ID}); err != nil {
		t.Fatal(err)
	}
	w.pass(4 * day) // two reminders, the link dies
	if _, _, err := w.ResendVerification(t.Context(), a, ResendInput{EnrollmentID: e.ID}); err != nil {
		t.Fatal(err)
	}
	w.pass(2 * time.Hour)
	if err := w.Confirm(t.Context(), w.mailed("carla@acme.example", VerifyPrefix), here); err != nil {
		t.Fatal(err)
	}
	w.pass(6 * day) // the reviewers are reminded
	if _, err := w.Ask(t.Context(), w.rita, AskInput{EnrollmentID: e.ID, Check: ptr(Business), Text: "Which company is it?"}); err != nil {
		t.Fatal(err)
	}
	w.pass(24 * day) // the applicant is reminded
	if _, err := w.Answer(t.Context(), a, AnswerInput{EnrollmentID: e.ID, Text: "This one."}); err != nil {
		t.Fatal(err)
	}
	w.pass(2 * time.Hour)
	if _, err := w.DecideCheck(t.Context(), w.rita, DecideCheckInput{EnrollmentID: e.ID, Check: Business, Passed: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Approve(t.Context(), w.rita, ApproveInput{EnrollmentID: e.ID}); err != nil {
		t.Fatal(err)
	}
	w.pass(4 * day) // reminded of the agreement
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		return w.SignedTx(ctx, tx, w.as(a.UserID), a.OrganizationID)
	})
	w.pass(60 * day)
	if total := w.db.Now().Sub(began); total < 100*day {
		t.Errorf("the clock went %s", total)
	}
	want := strings.Join([]string{
		"draft_reminder gina",
		"verification carla, verification_reminder carla, verification_reminder carla, verification carla",
		"confirmed carla, confirmed gina",
		"review_due rita, review_due rolf",
		"action_required carla, action_required gina, action_reminder carla, action_reminder gina",
		"approved carla, approved gina, sign_reminder carla, sign_reminder gina",
		"active carla, active gina",
	}, ", ")
	if got := w.inbox(e.ID); got != want {
		t.Errorf("mails:\n got %s\nwant %s", got, want)
	}
	if got, want := w.course(e.ID), "STARTED SUBMITTED LINK_SENT LINK_SENT CONFIRMED CHECK_PASSED CHECK_OPEN REVIEW_TARGET_REACHED ASKED ANSWERED CHECK_OPEN CHECK_PASSED APPROVED ACTIVATED"; got != want {
		t.Errorf("timeline:\n got %s\nwant %s", got, want)
	}
	for _, kind := range []string{Look{}.Kind(), Notice{}.Kind(), SendVerification{}.Kind(), RunChecks{}.Kind()} {
		if n := w.waiting(e.ID, kind); n != 0 {
			t.Errorf("%d jobs %s are left", n, kind)
		}
	}
}

// A process that slept through everything wakes late: each step is taken
// once, in order, and what a later one has overtaken is left out.
func TestLateWakeUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{})
	_, e := w.submitted("acme")
	_, f := w.inReview("beta")
	w.db.Clock().Advance(50 * day)
	w.work()
	if got := w.inbox(e.ID); w.reload(e.ID).Status != Expired || got != "verification carla, expired carla, expired gina" {
		t.Errorf("%s: %s", w.reload(e.ID).Status, got)
	}
	if got := w.course(f.ID); !strings.HasSuffix(got, "REVIEW_TARGET_REACHED REVIEW_DUE_REACHED") {
		t.Errorf("timeline: %s", got)
	}
	if got := w.inbox(f.ID); strings.Contains(got, "review_due") || strings.Count(got, "review_overdue") != 1 {
		t.Errorf("mails: %s", got)
	}
}

// Timers whose rows are lost are found by the scan; more than one does no
// harm, and neither does the same look by two workers.
func TestScanFindsLostTimers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{})
	_, e := w.begun("acme")
	if _, err := w.db.Bun().NewRaw("DELETE FROM job WHERE kind = ?", Look{}.Kind()).Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	scan := func() {
		t.Helper()
		w.tx(func(ctx context.Context, tx *database.Tx) error {
			_, err := outbox.Put(ctx, tx, Scan{})
			return err
		})
		w.work()
	}
	scan()
	w.db.Clock().Advance(7*day + time.Minute)
	scan()
	if got := w.inbox(e.ID); got != "" {
		t.Errorf("a moment that has just passed is left to its timer: %s", got)
	}
	w.db.Clock().Advance(6 * time.Minute)
	scan()
	scan()
	if got := w.inbox(e.ID); got != "draft_reminder gina" {
		t.Errorf("mails: %s", got)
	}
	for range 3 {
		w.tx(func(ctx context.Context, tx *database.Tx) error {
			_, err := outbox.Put(ctx, tx, Look{EnrollmentID: e.ID}, outbox.About(e.ID))
			return err
		})
	}
	w.work()
	w.pass(40 * day)
	if got := w.inbox(e.ID); got != "draft_reminder gina, expired gina" {
		t.Errorf("mails: %s", got)
	}
}

// A reminder that waits for the mail server is not sent once it is moot.
func TestMootRemindersAreNotSent(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{})
	a, e := w.submitted("acme")
	if err := w.box.SetFault(mailbox.Fault{Mode: mailbox.TempFail, Times: 1}); err != nil {
		t.Fatal(err)
	}
	w.db.Clock().Advance(24*time.Hour + time.Second)
	w.work() // the reminder is deferred
	if got := w.inbox(e.ID); got != "verification carla, verification_reminder carla (deferred)" {
		t.Errorf("mails: %s", got)
	}
	if _, err := w.Withdraw(t.Context(), a, WithdrawInput{EnrollmentID: e.ID}); err != nil {
		t.Fatal(err)
	}
	w.pass(day)
	if got := w.inbox(e.ID); got != "verification carla, verification_reminder carla (suppressed), withdrawn carla, withdrawn gina" {
		t.Errorf("mails: %s", got)
	}
}

func TestContactCannotBeReached(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{})
	a, e := w.drafted("acme")
	if err := w.box.SetFault(mailbox.Fault{Mode: mailbox.PermFail, Times: 1}); err != nil {
		t.Fatal(err)
	}
	e, op, err := w.Submit(t.Context(), a, SubmitInput{EnrollmentID: e.ID})
	if err != nil {
		t.Fatal(err)
	}
	w.work()
	j, err := outbox.Find(t.Context(), w.db, a, op.ID)
	if err != nil || j.Status() != outbox.OperationFailed {
		t.Errorf("the operation: %+v, %v", j, err)
	}
	if got := w.inbox(e.ID); got != "undelivered gina, verification carla (failed)" && got != "verification carla (failed), undelivered gina" {
		t.Errorf("mails: %s", got)
	}
	if got := w.course(e.ID); !strings.HasSuffix(got, "LINK_UNDELIVERED") {
		t.Errorf("timeline: %s", got)
	}
	// the same mail once more, by the operation
	hooks := outbox.Hooks{OnRetry: map[string]func(context.Context, *database.Tx, *outbox.Job) error{SendVerification{}.Kind(): w.Retried}}
	if _, err := outbox.Retry(t.Context(), w.db, a, op.ID, hooks); err != nil {
		t.Fatal(err)
	}
	w.work()
	if got := w.inbox(e.ID); !strings.Contains(got, "verification carla") || strings.Contains(got, "(failed)") {
		t.Errorf("after a retry: %s", got)
	}
	// it bounces later
	m, err := w.mailer.Find(t.Context(), w.reload(e.ID).VerificationMessageID)
	if err != nil {
		t.Fatal(err)
	}
	w.tx(func(ctx context.Context, tx *database.Tx) error { return w.bounced(ctx, tx, m, mail.Report{}) })
	if got := w.course(e.ID); strings.Count(got, "LINK_UNDELIVERED") != 2 {
		t.Errorf("timeline: %s", got)
	}
	if _, _, err := w.ResendVerification(t.Context(), a, ResendInput{EnrollmentID: e.ID}); err != nil {
		t.Fatal(err)
	}
	w.work()
	w.tx(func(ctx context.Context, tx *database.Tx) error { return w.bounced(ctx, tx, m, mail.Report{}) })
	if got := w.course(e.ID); strings.Count(got, "LINK_UNDELIVERED") != 2 {
		t.Errorf("the bounce of a former link: %s", got)
	}
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		if err := w.Retried(ctx, tx, op); !fault.Is(err, outbox.CodeNotRetryable) {
			t.Errorf("the operation of a former link: %v", err)
		}
		return nil
	})
}

// Every duration can be set down to seconds.
func TestSeconds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{DraftReminder: 2 * time.Second, DraftLife: 4 * time.Second, LinkLife: 3 * time.Second, LinkReminders: []time.Duration{time.Second},
		ConfirmLife: 6 * time.Second, ReviewTarget: 2 * time.Second, ReviewDue: 4 * time.Second, AnswerLife: 3 * time.Second, AnswerReminders: []time.Duration{time.Second}})
	_, e := w.submitted("acme")
	_, f := w.inReview("beta")
	_, g := w.begun("gamma")
	w.pass(10 * time.Second)
	if got := w.inbox(e.ID); got != "verification carla, verification_reminder carla, expired carla, expired gina" {
		t.Errorf("unconfirmed: %s", got)
	}
	if got := w.inbox(f.ID); strings.Count(got, "review_due") != 2 || strings.Count(got, "review_overdue") != 1 {
		t.Errorf("in review: %s", got)
	}
	if got := w.inbox(g.ID); got != "draft_reminder gina, expired gina" {
		t.Errorf("a draft: %s", got)
	}
	if _, err := w.Ask(t.Context(), w.rita, AskInput{EnrollmentID: f.ID, Text: "Which?"}); err != nil {
		t.Fatal(err)
	}
	w.pass(10 * time.Second)
	if got := w.reload(f.ID); got.Status != Rejected || got.ReasonCode != NoResponse {
		t.Errorf("unanswered: %+v", got)
	}
}

// Mail goes on to somebody when whoever began has left.
func TestApplicantWhoLeft(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{})
	a, e := w.submitted("acme")
	var org *account.Organization
	w.tx(func(ctx context.Context, tx *database.Tx) (err error) {
		org, err = w.accounts.HoldOrganization(ctx, tx, a.OrganizationID)
		return err
	})
	w.user(org, "hugo@acme.example", "Hugo", access.GlobalAdmin)
	if _, err := w.db.Bun().NewRaw("UPDATE user_account SET status = 'DISABLED' WHERE id = ?", a.UserID).Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := w.Confirm(t.Context(), w.token(e), here); err != nil {
		t.Fatal(err)
	}
	w.work()
	if got := w.inbox(e.ID); got != "verification carla, confirmed carla, confirmed hugo" {
		t.Errorf("mails: %s", got)
	}
}

// What was handed in with an enrollment that came to nothing is kept for the
// appeal and some time more, and then nobody has it; what was approved keeps
// it.
func TestEvidenceIsDiscarded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{})
	handIn := func(slug string) (access.Actor, *Enrollment, *file.File) {
		a, e := w.inReview(slug)
		if _, err := w.Ask(t.Context(), w.rita, AskInput{EnrollmentID: e.ID, Text: "Which one?"}); err != nil {
			t.Fatal(err)
		}
		pdf, err := w.files.Upload(t.Context(), a, file.UploadInput{Purpose: file.ForEvidence, Name: "visura.pdf", Content: []byte(tinyPDF)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Answer(t.Context(), a, AnswerInput{EnrollmentID: e.ID, Text: "This one", FileIDs: []ident.ID{pdf.ID}}); err != nil {
			t.Fatal(err)
		}
		w.work()
		return a, e, pdf
	}
	discard := func() {
		t.Helper()
		for range 2 { // it may run twice
			if err := w.DiscardEvidence(t.Context(), nil, DiscardEvidence{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	sees := func(a access.Actor, f *file.File) bool {
		got, err := w.files.ByIDs(t.Context(), a, []ident.ID{f.ID})
		if err != nil {
			t.Fatal(err)
		}
		return got[f.ID] != nil
	}

	a, lost, answer := handIn("acme")
	_, won, kept := handIn("other")
	if _, err := w.Reject(t.Context(), w.rita, RejectInput{EnrollmentID: lost.ID, ReasonCode: Fraud}); err != nil {
		t.Fatal(err)
	}
	w.pass(29 * day) // an appeal with a file of its own begins the time anew
	deed, err := w.files.Upload(t.Context(), a, file.UploadInput{Purpose: file.ForEvidence, Name: "deed.pdf", Content: []byte(tinyPDF)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Appeal(t.Context(), a, AppealInput{EnrollmentID: lost.ID, Text: "Look at this.", FileIDs: []ident.ID{deed.ID}}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Reject(t.Context(), w.rolf, RejectInput{EnrollmentID: lost.ID, ReasonCode: Fraud}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.DecideCheck(t.Context(), w.rita, DecideCheckInput{EnrollmentID: won.ID, Check: Business, Passed: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Approve(t.Context(), w.rita, ApproveInput{EnrollmentID: won.ID}); err != nil {
		t.Fatal(err)
	}
	w.pass(89 * day)
	discard()
	if !sees(a, answer) || !sees(a, deed) || !sees(w.rita, answer) || w.reload(lost.ID).EvidenceDiscardedAt != nil {
		t.Error("gone before its time")
	}
	w.pass(2 * day)
	discard()
	if sees(a, answer) || sees(a, deed) || sees(w.rita, answer) || w.reload(lost.ID).EvidenceDiscardedAt == nil {
		t.Error("still there after ninety days")
	}
	if !sees(w.rita, kept) || w.reload(won.ID).EvidenceDiscardedAt != nil {
		t.Error("what was approved lost its evidence")
	}
	if n, err := w.db.Read().NewSelect().Table("file_chunk").Count(t.Context()); err != nil || n != 1 {
		t.Errorf("%d contents are left, %v", n, err)
	}
	if got := w.audited(lost.ID); strings.Count(got, "evidence_discarded") != 1 {
		t.Errorf("audit: %s", got)
	}
}
