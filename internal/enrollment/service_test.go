package enrollment

import (
	"context"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/sla"
)

func TestStraightThrough(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{})
	a, e := w.begun("acme")
	if e.Status != Draft || e.Purpose != Admission || e.Kind != access.IndirectReseller || e.Country != "IT" || e.TenantDomain != "acme.example" || a.PartnerID != "" {
		t.Errorf("the draft: %+v", e)
	}
	if !a.Has(access.GlobalAdmin) || !a.Has(access.AdminAgent) {
		t.Errorf("the first user is %v", a.Roles)
	}
	if got := len(e.Problems()); got < 10 {
		t.Errorf("an empty draft has %d problems", got)
	}
	e, err := w.Save(t.Context(), a, SaveInput{EnrollmentID: e.ID, ExpectedVersion: &e.Version, Corrections: filled("acme")})
	if err != nil || len(e.Problems()) != 0 {
		t.Fatal(e.Problems(), err)
	}
	e, op, err := w.Submit(t.Context(), a, SubmitInput{EnrollmentID: e.ID})
	if err != nil || op == nil || !op.Listed {
		t.Fatal(op, err)
	}
	if e.Status != EmailPending || e.Awaits != Contact || e.UntilAt == nil || !e.UntilAt.Equal(e.SubmittedAt.Add(14*day)) {
		t.Errorf("submitted: %+v", e)
	}
	w.work()
	seen, err := w.PreviewVerification(t.Context(), w.mailed("carla@acme.example", VerifyPrefix))
	if err != nil || seen.State != LinkValid || seen.Company != "Acme S.r.l." || seen.Applicant != "Gina Rossi" || seen.Contact != "Carla Neri" || seen.Email != "carla@acme.example" || seen.TenantDomain != "acme.example" {
		t.Errorf("the contact reads %+v, %v", seen, err)
	}
	if got := w.reload(e.ID).Status; got != EmailPending {
		t.Errorf("reading made it %s", got)
	}
	if err := w.Confirm(t.Context(), w.mailed("carla@acme.example", VerifyPrefix), here); err != nil {
		t.Fatal(err)
	}
	w.work()
	e = w.reload(e.ID)
	// Monday 9:00 and five business days are the next Monday 9:00.
	if due := time.Date(2030, 6, 10, 9, 0, 0, 0, time.UTC); e.Status != InReview || e.Awaits != Operator || e.DueAt == nil || !e.DueAt.Truncate(time.Minute).Equal(due) || !e.TargetAt.Truncate(time.Minute).Equal(due.AddDate(0, 0, -4)) {
		t.Errorf("in review: %+v", e)
	}
	if got := w.checks(e.ID); got != "EMAIL_OWNERSHIP PASSED ADDRESS_CONFIRMED, EMPLOYMENT PASSED DOMAIN_MATCH, BUSINESS WAITING REGISTRATION_NOT_FOUND" {
		t.Errorf("the checks: %s", got)
	}
	if _, err := w.DecideCheck(t.Context(), w.rita, DecideCheckInput{EnrollmentID: e.ID, Check: Business, Passed: true}); err != nil {
		t.Fatal(err)
	}
	if e, err = w.Approve(t.Context(), w.rita, ApproveInput{EnrollmentID: e.ID}); err != nil || e.Status != Approved || e.PartnerID == nil || e.ProgrammeID == "" {
		t.Fatal(e, err)
	}
	w.work()
	if state, err := w.PromiseState(t.Context(), e); err != nil || state != sla.Met {
		t.Errorf("the promise is %s, %v", state, err)
	}
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		return w.SignedTx(ctx, tx, w.as(a.UserID), a.OrganizationID)
	})
	w.work()
	if e = w.reload(e.ID); e.Status != Active || e.ActivatedAt == nil || e.ClosedAt == nil || e.NextActionAt != nil {
		t.Errorf("signed: %+v", e)
	}
	if p := w.as(a.UserID); p.PartnerID != *e.PartnerID {
		t.Error("the organization has no partner")
	}
	if got, want := w.inbox(e.ID), "verification carla, confirmed carla, confirmed gina, approved carla, approved gina, active carla, active gina"; got != want {
		t.Errorf("mails: %s, want %s", got, want)
	}
	if got, want := w.course(e.ID), "STARTED SUBMITTED LINK_SENT CONFIRMED CHECK_PASSED CHECK_OPEN CHECK_PASSED APPROVED ACTIVATED"; got != want {
		t.Errorf("timeline: %s, want %s", got, want)
	}
	if got, want := w.audited(e.ID), "started saved submitted confirmed check_left check_passed check_passed approved activated"; got != want {
		t.Errorf("audit: %s, want %s", got, want)
	}
	if n := w.waiting(e.ID, Look{}.Kind()); n != 0 {
		t.Errorf("%d timers are left", n)
	}
}
