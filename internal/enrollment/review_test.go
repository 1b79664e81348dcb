package enrollment

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/calendar"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/page"
	"github.com/channelgraph/channelgraph/internal/partner"
	"github.com/channelgraph/channelgraph/internal/register"
	"github.com/channelgraph/channelgraph/internal/sla"
)

// straight through: the address and the domain speak for themselves, a
// reviewer decides on the business and approves.
func TestApprove(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	ctx := t.Context()
	e, gina := d.reviewed("Bianchi")
	if got := d.standing(e.ID); got != "EMAIL_OWNERSHIP PASSED ADDRESS_CONFIRMED , EMPLOYMENT PASSED DOMAIN_MATCH , BUSINESS WAITING REGISTER_UNAVAILABLE OPERATOR" {
		t.Errorf("the checks stand at %s", got)
	}
	if _, err := d.Approve(ctx, d.rita, ApproveInput{EnrollmentID: e.ID}); codes(err) != "enrollmentId CHECKS_NOT_PASSED" {
		t.Errorf("approved with an open check: %s", codes(err))
	}
	e, err := d.Assign(ctx, d.rita, AssignInput{EnrollmentID: e.ID, AssigneeID: &d.rita.UserID})
	if err != nil || *e.AssigneeID != d.rita.UserID {
		t.Fatal(e, err)
	}
	if e, err = d.DecideCheck(ctx, d.rita, DecideCheckInput{EnrollmentID: e.ID, ExpectedVersion: &e.Version, Check: Business, Passed: true, ReasonCode: EvidenceAccepted, Note: "Visura of May."}); err != nil {
		t.Fatal(err)
	}
	before := d.mails(e.ID)
	if e, err = d.Approve(ctx, d.rita, ApproveInput{EnrollmentID: e.ID, ExpectedVersion: &e.Version, Note: "All fine."}); err != nil {
		t.Fatal(err)
	}
	if e.Status != Approved || e.Awaits != Applicant || e.DueAt != nil || !e.Clock.Ended || *e.DecidedByID != d.rita.UserID || len(e.ProgrammeID) != 7 {
		t.Errorf("%+v", e)
	}
	ps, err := d.partners.ByOrganizations(ctx, d.chief, []ident.ID{e.OrganizationID})
	if p := ps[e.OrganizationID]; err != nil || p == nil || p.Status != partner.Approved || p.ID != *e.PartnerID || p.LegalName != "Bianchi" || p.ProgrammeID != e.ProgrammeID {
		t.Errorf("%+v, %v", ps, err)
	}
	if got := fresh(d.mails(e.ID), before); got != "approved>gina approved>giulia" {
		t.Errorf("mailed %q", got)
	}
	if got := d.timeline(gina, e.ID); got != "STARTED SUBMITTED LINK_SENT CONFIRMED CHECK_PASSED CHECK_OPEN CHECK_PASSED APPROVED" {
		t.Errorf("the applicant reads %s", got)
	}
	if got := d.timeline(d.rolf, e.ID); got != "STARTED SUBMITTED LINK_SENT CONFIRMED CHECK_PASSED CHECK_OPEN ASSIGNED CHECK_PASSED NOTE APPROVED" {
		t.Errorf("the operator reads %s", got)
	}
	if got := strings.Fields(d.audited(e.ID)); strings.Join(got[:3], " ") != "started submitted confirmed" || strings.Join(got[5:], " ") != "assigned check_passed approved" ||
		!slices.Contains(got[3:5], "check_passed") || !slices.Contains(got[3:5], "check_left") {
		t.Errorf("audited %s", got)
	}
	for _, c := range []*Check{d.seen(gina, e.ID, Business), d.seen(d.rolf, e.ID, Business)} {
		if internal := c.DecidedByID != nil; internal != (c.Note == "Visura of May.") {
			t.Errorf("%+v", c)
		}
	}
	// What is over is over.
	for name, err := range d.verbs(d.rita, e.ID) {
		if want := "enrollmentId CONFLICT"; name != "AddNote" && codes(err) != want {
			t.Errorf("%s of an approved one: %s", name, codes(err))
		}
	}
}

func (d *house) seen(a access.Actor, id ident.ID, k CheckKind) *Check {
	d.t.Helper()
	all, err := d.Checks(d.t.Context(), a, []ident.ID{id})
	if err != nil {
		d.t.Fatal(err)
	}
	for _, c := range all[id] {
		if c.Kind == k {
			return c
		}
	}
	d.t.Fatal("no such check")
	return nil
}

// verbs tries every reviewer's verb on an enrollment.
func (d *house) verbs(a access.Actor, id ident.ID) map[string]error {
	ctx := d.t.Context()
	out := map[string]error{}
	_, out["Assign"] = d.Assign(ctx, a, AssignInput{EnrollmentID: id, AssigneeID: &d.rolf.UserID})
	_, out["Ask"] = d.Ask(ctx, a, AskInput{EnrollmentID: id, Text: "?"})
	_, out["DecideCheck"] = d.DecideCheck(ctx, a, DecideCheckInput{EnrollmentID: id, Check: Business, Passed: true})
	_, out["Approve"] = d.Approve(ctx, a, ApproveInput{EnrollmentID: id})
	_, out["Reject"] = d.Reject(ctx, a, RejectInput{EnrollmentID: id, ReasonCode: Fraud})
	_, _, out["Unfreeze"] = d.Unfreeze(ctx, a, UnfreezeInput{EnrollmentID: id})
	_, out["AddNote"] = d.AddNote(ctx, a, AddNoteInput{EnrollmentID: id, Text: "x"})
	if a.Has(access.OperatorAdmin) {
		_, out["Promote"] = d.Promote(ctx, a, PromoteInput{EnrollmentID: id, Kind: access.DirectBill})
	}
	return out
}

// The reviewers' verbs are theirs alone, what is hidden is not there, and
// their inputs are judged as a whole.
func TestReviewerOnly(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	ctx := t.Context()
	e, gina := d.reviewed("Bianchi")
	for name, err := range d.verbs(gina, e.ID) {
		if !fault.Is(err, fault.CodeRoleRequired) {
			t.Errorf("the applicant may %s: %v", name, err)
		}
	}
	for name, err := range d.verbs(access.Anonymous("en", ""), e.ID) {
		if fault.KindOf(err) != fault.KindUnauthenticated {
			t.Errorf("nobody may %s: %v", name, err)
		}
	}
	for name, err := range d.verbs(d.rita, ident.New(ident.Enrollment)) {
		if codes(err) != "enrollmentId NOT_FOUND" {
			t.Errorf("%s of nothing: %s", name, codes(err))
		}
	}
	if _, err := d.Promote(ctx, d.rita, PromoteInput{EnrollmentID: e.ID, Kind: access.DirectBill}); !fault.Is(err, fault.CodeRoleRequired) {
		t.Errorf("a reviewer promotes: %v", err)
	}
	long := strings.Repeat("x", MaxTextLength+1)
	for want, err := range map[string]error{
		"text REQUIRED": second(d.Ask(ctx, d.rita, AskInput{EnrollmentID: e.ID, Text: " "})),
		"text TOO_LONG, check CHECK_NOT_DECIDABLE, documents.1 INVALID, documents.2 INVALID": second(d.Ask(ctx, d.rita, AskInput{EnrollmentID: e.ID, Text: long,
			Check: val(EmailOwnership), Documents: []DocumentKind{TaxDocument, TaxDocument, "PASSPORT"}})),
		"check CHECK_NOT_DECIDABLE, reasonCode INVALID, note TOO_LONG": second(d.DecideCheck(ctx, d.rita, DecideCheckInput{EnrollmentID: e.ID, Check: EmailOwnership,
			ReasonCode: EvidenceAccepted, Note: long})),
		"reasonCode INVALID":      second(d.Reject(ctx, d.rita, RejectInput{EnrollmentID: e.ID, ReasonCode: NoResponse})),
		"note REQUIRED":           second(d.Reject(ctx, d.rita, RejectInput{EnrollmentID: e.ID, ReasonCode: OtherReason, Note: "\n"})),
		"kind INVALID":            second(d.Promote(ctx, d.chief, PromoteInput{EnrollmentID: e.ID, Kind: access.Customer})),
		"text CONTROL_CHARACTERS": second(d.AddNote(ctx, d.rita, AddNoteInput{EnrollmentID: e.ID, Text: "a\u202eb"})),
	} {
		if got := codes(err); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if d.reload(e.ID).Version != e.Version {
		t.Error("something was done all the same")
	}
}

func second(_ *Enrollment, err error) error { return err }

// Nobody reviews what is of the own house, whoever it is assigned by.
func TestOwnOrganization(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	e, _ := d.reviewed("Bianchi", func(p *partner.Profile) { p.Contact.Email = "giulia@bianchi-group.example" })
	for _, email := range []string{"aldo@bianchi.example", "Anna@Mail.BIANCHI.example", "ada@x.bianchi-group.example"} {
		own := d.reviewer(email, access.OperatorAdmin)
		for name, err := range d.verbs(own, e.ID) {
			if codes(err) != "enrollmentId OWN_ORGANIZATION" {
				t.Errorf("%s may %s: %s", email, name, codes(err))
			}
		}
		if _, err := d.Assign(t.Context(), d.rita, AssignInput{EnrollmentID: e.ID, AssigneeID: &own.UserID}); codes(err) != "assigneeId OWN_ORGANIZATION" {
			t.Errorf("assigned to %s: %s", email, codes(err))
		}
	}
	if got := d.reload(e.ID); got.Version != e.Version || got.AssigneeID != nil {
		t.Errorf("%+v", got)
	}
}

func TestAssign(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	ctx := t.Context()
	e, gina := d.apply("Bianchi")
	clerk := d.reviewer("carla@house.example", access.DefaultUser)
	for want, id := range map[string]ident.ID{"assigneeId NOT_FOUND": gina.UserID, "assigneeId NOT_A_REVIEWER": clerk.UserID, "assigneeId NOT_FOUND ": ident.New(ident.User)} {
		if _, err := d.Assign(ctx, d.rita, AssignInput{EnrollmentID: e.ID, AssigneeID: &id}); codes(err) != strings.TrimSpace(want) {
			t.Errorf("got %s, want %s", codes(err), want)
		}
	}
	e, err := d.Assign(ctx, d.rita, AssignInput{EnrollmentID: e.ID, AssigneeID: &d.rolf.UserID})
	if err != nil {
		t.Fatal(err)
	}
	version := e.Version
	if e, err = d.Assign(ctx, d.rita, AssignInput{EnrollmentID: e.ID, AssigneeID: &d.rolf.UserID}); err != nil || e.Version != version {
		t.Errorf("the same again: %v", err)
	}
	if _, err := d.Assign(ctx, d.rita, AssignInput{EnrollmentID: e.ID, ExpectedVersion: val(version - 1)}); codes(err) != "expectedVersion CONFLICT" {
		t.Errorf("by an old version: %s", codes(err))
	}
	if e, err = d.Assign(ctx, d.rolf, AssignInput{EnrollmentID: e.ID}); err != nil || e.AssigneeID != nil {
		t.Errorf("taken back: %+v, %v", e, err)
	}
	if got := d.audited(e.ID); !strings.HasSuffix(got, "assigned unassigned") {
		t.Errorf("audited %s", got)
	}
	if got := d.timeline(gina, e.ID); strings.Contains(got, "ASSIGNED") {
		t.Errorf("the applicant reads %s", got)
	}
	// A list by assignee is the operator's.
	if p, err := d.List(ctx, gina, page.Args{}, nil, Filter{}); err != nil || len(p.Edges) != 1 || p.Edges[0].Node.ID != e.ID {
		t.Errorf("%v", err)
	}
	if _, err := d.List(ctx, gina, page.Args{}, nil, Filter{AssigneeID: &d.rita.UserID}); !fault.Is(err, fault.CodeRoleRequired) {
		t.Errorf("%v", err)
	}
	if _, stranger := d.found("Verdi"); true {
		if p, err := d.List(ctx, stranger, page.Args{}, nil, Filter{Search: val("bianchi")}); err != nil || len(p.Edges) != 0 {
			t.Errorf("a stranger finds it: %v", err)
		}
	}
}

// While the applicant owes an answer the promise stands still.
func TestAsk(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	ctx := t.Context()
	e, gina := d.reviewed("Bianchi")
	due := *e.DueAt // next Monday, same hour
	if got := due.Sub(*e.ConfirmedAt); got != 7*day {
		t.Fatalf("promised in %s", got)
	}
	d.later(day)
	before := d.mails(e.ID)
	e, err := d.Ask(ctx, d.rita, AskInput{EnrollmentID: e.ID, Check: val(Business), Documents: []DocumentKind{RegistrationExtract, DomainOwnership}, Text: "A recent one, please."})
	if err != nil {
		t.Fatal(err)
	}
	if e.Status != ActionRequired || e.DueAt != nil || e.TargetAt != nil || !e.Clock.Paused() || e.Awaits != Applicant || !e.UntilAt.Equal(e.UpdatedAt.Add(30*day)) {
		t.Errorf("%+v", e)
	}
	if got := fresh(d.mails(e.ID), before); got != "action_required>gina action_required>giulia" {
		t.Errorf("mailed %q", got)
	}
	c := d.seen(gina, e.ID, Business)
	if c.Status != CheckActionRequired || c.Awaits != Applicant || !c.DueAt.Equal(*e.UntilAt) {
		t.Errorf("%+v", c)
	}
	qs, err := d.Questions(ctx, gina, []ident.ID{e.ID})
	if q := qs[e.ID]; err != nil || len(q) != 1 || q[0].Text != "A recent one, please." || len(q[0].Documents) != 2 || q[0].Check != Business || q[0].AskedByID != "" {
		t.Errorf("%+v, %v", qs, err)
	}
	for name, err := range d.verbs(d.rolf, e.ID) {
		if (name == "Ask" || name == "DecideCheck" || name == "Approve" || name == "Unfreeze") && codes(err) != "enrollmentId CONFLICT" {
			t.Errorf("%s while waiting: %s", name, codes(err))
		}
		if name == "Reject" && err != nil {
			t.Errorf("%s while waiting: %s", name, codes(err))
		}
	}

	e, gina = d.reviewed("Verdi")
	due = *e.DueAt
	d.later(day)
	if e, err = d.Ask(ctx, d.rita, AskInput{EnrollmentID: e.ID, Documents: []DocumentKind{TaxDocument}}); err != nil {
		t.Fatal(err)
	}
	d.later(14 * day) // a fortnight, to the hour
	if e, _, err = d.Answer(ctx, gina, AnswerInput{EnrollmentID: e.ID, Text: "Here it is."}); err != nil {
		t.Fatal(err)
	}
	d.work()
	if e = d.reload(e.ID); e.Status != InReview || e.DueAt.Sub(due.Add(14*day)).Abs() > time.Minute {
		t.Errorf("due at %s after a fortnight's wait, was %s", e.DueAt, due)
	}
	if c := d.seen(gina, e.ID, Business); c.DueAt == nil || !c.DueAt.Equal(*e.DueAt) || c.Awaits != Operator {
		t.Errorf("%+v", c)
	}
	if _, err := d.Ask(ctx, d.rita, AskInput{EnrollmentID: e.ID, Check: val(Employment), Text: "Who are you?"}); err != nil {
		t.Errorf("asked about a check that had passed: %v", err)
	}
}

// Of two reviewers who decide at the same moment one wins.
func TestTwoReviewers(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	ctx := t.Context()
	approve := func(a access.Actor, e *Enrollment) error {
		return second(d.Approve(ctx, a, ApproveInput{EnrollmentID: e.ID, ExpectedVersion: &e.Version}))
	}
	reject := func(a access.Actor, e *Enrollment) error {
		return second(d.Reject(ctx, a, RejectInput{EnrollmentID: e.ID, ExpectedVersion: &e.Version, ReasonCode: NotABusiness}))
	}
	ask := func(a access.Actor, e *Enrollment) error {
		return second(d.Ask(ctx, a, AskInput{EnrollmentID: e.ID, Text: "?"})) // without a version
	}
	check := func(a access.Actor, e *Enrollment) error {
		return second(d.DecideCheck(ctx, a, DecideCheckInput{EnrollmentID: e.ID, ExpectedVersion: &e.Version, Check: Business}))
	}
	blind := func(a access.Actor, e *Enrollment) error {
		return second(d.Approve(ctx, a, ApproveInput{EnrollmentID: e.ID}))
	}
	for name, two := range map[string][2]func(access.Actor, *Enrollment) error{
		"approve and reject": {approve, reject}, "approve twice": {approve, approve}, "approve blindly": {blind, blind}, "reject twice": {reject, reject},
		"approve and ask": {blind, ask}, "ask twice": {ask, ask}, "approve and check": {approve, check},
	} {
		e, _ := d.reviewed(strings.ReplaceAll(name, " ", ""))
		d.decide(d.rita, e.ID)
		e = d.reload(e.ID)
		var errs [2]error
		var both sync.WaitGroup
		for i, a := range []access.Actor{d.rita, d.rolf} {
			both.Go(func() { errs[i] = two[i](a, e) })
		}
		both.Wait()
		won := 0
		for _, err := range errs {
			switch {
			case err == nil:
				won++
			case !fault.Is(err, fault.CodeConflict):
				t.Errorf("%s: %v", name, err)
			}
		}
		if won != 1 {
			t.Errorf("%s: %d won: %v", name, won, errs)
		}
	}
	// A check that is decided is changed only by who has seen the decision.
	e, _ := d.reviewed("Neri")
	d.decide(d.rita, e.ID)
	if _, err := d.DecideCheck(ctx, d.rolf, DecideCheckInput{EnrollmentID: e.ID, Check: Business}); codes(err) != "check CONFLICT" {
		t.Errorf("decided anew, blindly: %s", codes(err))
	}
	e = d.reload(e.ID)
	if _, err := d.DecideCheck(ctx, d.rolf, DecideCheckInput{EnrollmentID: e.ID, ExpectedVersion: &e.Version, Check: Business, ReasonCode: NameDiffers}); err != nil {
		t.Error(err)
	}
	if c := d.seen(d.rolf, e.ID, Business); c.Status != CheckFailed || c.ReasonCode != NameDiffers || *c.DecidedByID != d.rolf.UserID {
		t.Errorf("%+v", c)
	}
}

// An appeal is for another reviewer.
func TestAppealDecision(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	ctx := t.Context()
	e, gina := d.reviewed("Bianchi")
	before := d.mails(e.ID)
	if _, err := d.DecideCheck(ctx, d.rita, DecideCheckInput{EnrollmentID: e.ID, Check: Business, ReasonCode: NameDiffers}); err != nil {
		t.Fatal(err)
	}
	e, err := d.Reject(ctx, d.rita, RejectInput{EnrollmentID: e.ID, ReasonCode: NameMismatch, Note: "The register has another name."})
	if err != nil {
		t.Fatal(err)
	}
	if e.Status != Rejected || *e.RejectedByID != d.rita.UserID || e.AppealUntil.Sub(*e.DecidedAt) != 30*day || e.ReasonNote == "" || !e.Clock.Ended {
		t.Errorf("%+v", e)
	}
	if got := fresh(d.mails(e.ID), before); got != "rejected>gina rejected>giulia" {
		t.Errorf("mailed %q", got)
	}
	d.later(day)
	before = d.mails(e.ID)
	if _, err := d.Appeal(ctx, gina, AppealInput{EnrollmentID: e.ID, Text: "It was renamed in May."}); err != nil {
		t.Fatal(err)
	}
	if got := fresh(d.mails(e.ID), before); got != "appeal_received>gina appeal_received>giulia appealed>rolf" {
		t.Errorf("mailed %q", got)
	}
	for name, err := range d.verbs(d.rita, e.ID) {
		if want := "enrollmentId SAME_REVIEWER"; name != "AddNote" && codes(err) != want {
			t.Errorf("who rejected may %s: %s", name, codes(err))
		}
	}
	if _, err := d.Assign(ctx, d.rolf, AssignInput{EnrollmentID: e.ID, AssigneeID: &d.rita.UserID}); codes(err) != "assigneeId SAME_REVIEWER" {
		t.Errorf("assigned to who rejected: %s", codes(err))
	}
	d.decide(d.rolf, e.ID)
	if e, err = d.Approve(ctx, d.rolf, ApproveInput{EnrollmentID: e.ID}); err != nil || e.Status != Approved || e.ReasonCode != "" {
		t.Errorf("%+v, %v", e, err)
	}

	// A second rejection is the last word.
	e, gina = d.reviewed("Verdi")
	for i, reviewer := range []access.Actor{d.rita, d.rolf} {
		if e, err = d.Reject(ctx, reviewer, RejectInput{EnrollmentID: e.ID, ReasonCode: Fraud}); err != nil {
			t.Fatal(err)
		}
		_, err = d.Appeal(ctx, gina, AppealInput{EnrollmentID: e.ID, Text: "No."})
		if (i == 0) != (err == nil) || i == 1 && codes(err) != "enrollmentId "+CodeNotAppealable {
			t.Errorf("appeal %d: %v", i+1, err)
		}
	}
}

// Decisions meet the state as it is, not as it was.
func TestMovedOn(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	e, _ := d.reviewed("Bianchi")
	may := map[string][]Status{
		"Assign": workable, "Ask": {InReview}, "DecideCheck": {InReview}, "Approve": {InReview}, "Reject": {InReview, ActionRequired, Frozen},
		"Unfreeze": {Frozen}, "Promote": promotable, "AddNote": Statuses,
	}
	for _, s := range Statuses {
		if slices.Contains([]Status{InReview, ActionRequired, Frozen, EmailPending, Draft}, s) {
			continue // where some of them do something, others would follow on it
		}
		if _, err := d.db.Bun().NewUpdate().Model((*Enrollment)(nil)).Set("status = ?", s).Where("id = ?", e.ID).Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
		for name, err := range d.verbs(d.chief, e.ID) {
			if slices.Contains(may[name], s) != (err == nil) || err != nil && codes(err) != "enrollmentId CONFLICT" {
				t.Errorf("%s in %s: %v", name, s, err)
			}
		}
	}
	for name, v := range map[string]Verb{"Ask": VerbAsk, "Approve": VerbApprove, "Reject": VerbReject, "Unfreeze": VerbUnfreeze} {
		for _, s := range Statuses {
			if _, ok := s.Next(v); ok != slices.Contains(may[name], s) {
				t.Errorf("%s in %s: %t", name, s, ok)
			}
		}
	}
}

func TestUnfreezeAndPromote(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	ctx := t.Context()
	e, gina := d.apply("Bianchi")
	old := d.token(e)
	before := d.mails(e.ID)
	if err := d.Disown(ctx, old, netip.MustParseAddr("192.0.2.7")); err != nil {
		t.Fatal(err)
	}
	if got := fresh(d.mails(e.ID), before); got != "disowned>rita disowned>rolf frozen>gina" {
		t.Errorf("mailed %q", got)
	}
	before = d.mails(e.ID)
	e, _, err := d.Unfreeze(ctx, d.rita, UnfreezeInput{EnrollmentID: e.ID, Note: "Called the company."})
	if err != nil {
		t.Fatal(err)
	}
	if e.Status != EmailPending || e.DisownedAt != nil || e.Generation != 2 || !e.LinkLive(d.db.Now()) || len(e.Agenda) != 3 {
		t.Errorf("%+v", e)
	}
	if got := fresh(d.mails(e.ID), before); got != "" { // the second link is the same template to the same person
		t.Errorf("mailed %q", got)
	}
	if err := d.Confirm(ctx, old, netip.MustParseAddr("192.0.2.7")); !fault.Is(err, account.CodeLinkUsed) {
		t.Errorf("the disowned link: %v", err)
	}
	if got := d.timeline(gina, e.ID); got != "STARTED SUBMITTED LINK_SENT DISOWNED UNFROZEN LINK_SENT" {
		t.Errorf("the applicant reads %s", got)
	}
	e, err = d.Promote(ctx, d.chief, PromoteInput{EnrollmentID: e.ID, Kind: access.IndirectProvider})
	if err != nil || e.Kind != access.IndirectProvider {
		t.Fatal(e, err)
	}
	if a := d.as(gina.UserID); a.Kind != access.IndirectProvider || !a.Has(access.GlobalAdmin) || !a.Has(access.AdminAgent) {
		t.Errorf("%+v", a)
	}
	e = d.confirm(e)
	d.decide(d.rolf, e.ID)
	if e, err = d.Approve(ctx, d.rolf, ApproveInput{EnrollmentID: e.ID}); err != nil {
		t.Fatal(err)
	}
	ps, err := d.partners.ByOrganizations(ctx, d.chief, []ident.ID{e.OrganizationID})
	if p := ps[e.OrganizationID]; err != nil || p.Kind != access.IndirectProvider {
		t.Errorf("%+v, %v", p, err)
	}
	if _, err := d.Promote(ctx, d.chief, PromoteInput{EnrollmentID: e.ID, Kind: access.DirectBill}); codes(err) != "enrollmentId CONFLICT" {
		t.Errorf("promoted after the decision: %s", codes(err))
	}
	if got := d.audited(e.ID); !strings.Contains(got, "disowned unfrozen promoted confirmed") {
		t.Errorf("audited %s", got)
	}
}

// A note is the operator's own, and changes nothing.
func TestAddNote(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	e, gina := d.reviewed("Bianchi")
	got, err := d.AddNote(t.Context(), d.rita, AddNoteInput{EnrollmentID: e.ID, Text: "Rang twice."})
	if err != nil || got.Version != e.Version {
		t.Errorf("%+v, %v", got, err)
	}
	if strings.Contains(d.timeline(gina, e.ID), "NOTE") || !strings.HasSuffix(d.timeline(d.rolf, e.ID), "NOTE") {
		t.Error("who reads the note?")
	}
}

// The automatic parts of the checks.
func TestRunChecks(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	ctx := t.Context()
	known := map[string]*register.Company{}
	asked, broken := 0, 0
	var during func()
	d.UseRegister(func(_ context.Context, country, id string) (*register.Company, error) {
		asked++
		if during != nil {
			during()
			during = nil
		}
		if broken > 0 {
			broken--
			return nil, errors.New("the register does not answer")
		}
		if country != "IT" {
			return nil, register.ErrNotCovered
		}
		return known[id], nil
	})
	business := func(e *Enrollment) string {
		c := d.seen(d.rita, e.ID, Business)
		return string(c.Status) + " " + string(c.ReasonCode)
	}
	listed := func(name string, dissolved bool) func(*partner.Profile) {
		return func(p *partner.Profile) {
			known[p.RegistrationID] = &register.Company{Country: "IT", LegalName: name, Dissolved: dissolved}
		}
	}
	for _, c := range []struct {
		name   string
		change func(*partner.Profile)
		want   string
	}{
		{"Uno S.r.l.", listed("UNO SRL", false), "PASSED REGISTER_MATCH"},
		{"Due", listed("Duetto", false), "WAITING NAME_DIFFERS"},
		{"Tre", listed("Tre", true), "WAITING COMPANY_DISSOLVED"},
		{"Quattro", func(*partner.Profile) {}, "WAITING REGISTRATION_NOT_FOUND"},
	} {
		e, _ := d.reviewed(strings.ReplaceAll(c.name, ".", ""), func(p *partner.Profile) { p.LegalName = c.name }, c.change)
		if got := business(e); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	// Nothing automatic fails an enrollment, and a reviewer sees why it waits.
	e, gina := d.reviewed("Cinque", func(p *partner.Profile) { p.Contact.Email = "giulia@sei.example"; listed("Cinque", false)(p) })
	if c := d.seen(gina, e.ID, Employment); c.Status != CheckWaiting || c.ReasonCode != DomainDiffers || c.Awaits != Operator || !c.DueAt.Equal(*e.DueAt) {
		t.Errorf("%+v", c)
	}

	// A register that does not answer is asked again, and then a reviewer.
	broken = 2
	e, _ = d.reviewed("Sette", listed("Sette", false))
	if got := business(e); got != "RUNNING " {
		t.Errorf("after the first failure: %s", got)
	}
	for range 10 {
		d.later(time.Hour)
	}
	if got := business(e); got != "PASSED REGISTER_MATCH" || broken != 0 {
		t.Errorf("after an answer: %s", got)
	}
	broken = 100
	e, _ = d.reviewed("Otto", listed("Otto", false))
	for range 10 {
		d.later(time.Hour)
	}
	if got := business(e); got != "WAITING REGISTER_UNAVAILABLE" || broken != 100-lookupAttempts {
		t.Errorf("without an answer: %s, asked %d times", got, 100-broken)
	}
	broken = 0

	// What was corrected while the register was asked is asked again.
	e, gina = d.apply("Nove")
	number := d.number()
	known[number] = &register.Company{Country: "IT", LegalName: "Nove"}
	asked = 0
	during = func() {
		if _, err := d.Ask(ctx, d.rita, AskInput{EnrollmentID: e.ID, Check: val(Business), Text: "Another number?"}); err != nil {
			t.Error(err)
		}
		if _, _, err := d.Answer(ctx, gina, AnswerInput{EnrollmentID: e.ID, Corrections: Corrections{Legal: &LegalInput{RegistrationID: &number}}}); err != nil {
			t.Error(err)
		}
	}
	if e = d.confirm(e); business(e) != "PASSED REGISTER_MATCH" || asked != 2 {
		t.Errorf("%s, asked %d times", business(e), asked)
	}

	// A decision of a reviewer is not taken back by the machine.
	e, _ = d.reviewed("Dieci", listed("Undici", false))
	if _, err := d.DecideCheck(ctx, d.rita, DecideCheckInput{EnrollmentID: e.ID, Check: Business}); err != nil {
		t.Fatal(err)
	}
	known[e.Profile.RegistrationID].LegalName = "Dieci"
	d.tx(func(ctx context.Context, tx *database.Tx) error { return d.recheck(ctx, tx, e) })
	d.work()
	if got := business(e); got != "FAILED REVIEWER_DECISION" {
		t.Errorf("the machine decided: %s", got)
	}
}

// Two companies of one name are told apart by a reviewer, and never both
// admitted.
func TestDuplicateCheck(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	first, _ := d.apply("Bianchi")
	second, _ := d.apply("Bianchi Due", func(p *partner.Profile) { p.LegalName = "BIANCHI S.p.A." })
	d.confirm(first)
	second = d.confirm(second)
	if c := d.seen(d.rita, second.ID, Business); c.Status != CheckWaiting || c.ReasonCode != DuplicateFound {
		t.Errorf("%+v", c)
	}
	d.decide(d.rita, first.ID)
	if _, err := d.Approve(t.Context(), d.rita, ApproveInput{EnrollmentID: first.ID}); err != nil {
		t.Fatal(err)
	}
	d.decide(d.rita, second.ID)
	if _, err := d.Approve(t.Context(), d.rita, ApproveInput{EnrollmentID: second.ID}); codes(err) != "enrollmentId DUPLICATE" {
		t.Errorf("admitted twice: %s", codes(err))
	}
	if got := d.reload(second.ID); got.Status != InReview {
		t.Errorf("half done: %+v", got)
	}
}

// Reviewers are reminded at the target and the administrators alerted at the
// promise; nobody is told twice, and nothing once it is decided.
func TestReviewReminders(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	ctx := t.Context()
	e, _ := d.reviewed("Bianchi")
	decided, _ := d.reviewed("Verdi")
	if _, err := d.Reject(ctx, d.rita, RejectInput{EnrollmentID: decided.ID, ReasonCode: Fraud}); err != nil {
		t.Fatal(err)
	}
	before := d.mails(e.ID)
	d.later(3*day - time.Hour)
	if got := fresh(d.mails(e.ID), before); got != "" {
		t.Errorf("too early: %s", got)
	}
	d.later(2 * time.Hour)
	if got := fresh(d.mails(e.ID), before); got != "review_due>rita review_due>rolf" {
		t.Errorf("at the target: %s", got)
	}
	if _, err := d.Assign(ctx, d.rita, AssignInput{EnrollmentID: e.ID, AssigneeID: &d.rita.UserID}); err != nil {
		t.Fatal(err)
	}
	before = d.mails(e.ID)
	d.later(4 * day) // over the weekend
	if got := fresh(d.mails(e.ID), before); got != "review_overdue>otto" {
		t.Errorf("at the promise: %s", got)
	}
	if p, err := d.List(ctx, d.rolf, page.Args{}, nil, Filter{Overdue: val(true)}); err != nil || len(p.Edges) != 1 || p.Edges[0].Node.ID != e.ID {
		t.Errorf("%v, %v", p, err)
	}
	before = d.mails(e.ID) + " " + d.mails(decided.ID)
	d.later(60 * day)
	if got := fresh(d.mails(e.ID)+" "+d.mails(decided.ID), before); got != "" {
		t.Errorf("after all: %s", got)
	}
	if strings.Contains(d.mails(decided.ID), "review_") {
		t.Errorf("the decided one: %s", d.mails(decided.ID))
	}
}

// A holiday moves the promises of what is in review, with their timers.
func TestMovePromises(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	ctx := t.Context()
	e, gina := d.reviewed("Bianchi")
	waiting, _ := d.reviewed("Verdi")
	if _, err := d.Ask(ctx, d.rita, AskInput{EnrollmentID: waiting.ID, Text: "?"}); err != nil {
		t.Fatal(err)
	}
	waiting = d.reload(waiting.ID)
	tuesday := d.db.Now().Add(day).Format("2006-01-02")
	h, _, err := d.calendars.AddHoliday(ctx, d.chief, calendar.AddHolidayInput{Date: tuesday, Name: "Founding day"})
	if err != nil {
		t.Fatal(err)
	}
	d.work()
	moved := d.reload(e.ID)
	if moved.DueAt.Sub(*e.DueAt) != day || moved.TargetAt.Sub(*e.TargetAt) != day || !moved.QueueAt.Equal(*moved.DueAt) || !moved.NextActionAt.Equal(*moved.TargetAt) {
		t.Errorf("due at %s, was %s; next at %s", moved.DueAt, e.DueAt, moved.NextActionAt)
	}
	if c := d.seen(gina, e.ID, Business); !c.DueAt.Equal(*moved.DueAt) {
		t.Errorf("%+v", c)
	}
	if got := d.timeline(gina, e.ID); !strings.HasSuffix(got, "PROMISE_MOVED") {
		t.Errorf("the applicant reads %s", got)
	}
	if got := d.reload(waiting.ID); got.Version != waiting.Version {
		t.Error("a promise that stands still was moved")
	}
	before := d.mails(e.ID)
	d.later(3*day + time.Hour) // where the target was
	if got := fresh(d.mails(e.ID), before); got != "" {
		t.Errorf("reminded as before: %s", got)
	}
	if _, _, err := d.calendars.RemoveHoliday(ctx, d.chief, calendar.RemoveHolidayInput{HolidayID: h.ID}); err != nil {
		t.Fatal(err)
	}
	d.work()
	if back := d.reload(e.ID); !back.DueAt.Equal(*e.DueAt) || !back.TargetAt.Equal(*e.TargetAt) {
		t.Errorf("due at %s, was %s", back.DueAt, e.DueAt)
	}
	if got := fresh(d.mails(e.ID), before); got != "review_due>rita review_due>rolf" {
		t.Errorf("a target that moved into the past: %s", got)
	}
}

// Whatever is asked, answered and made a holiday, the promise counts exactly
// the business time of the review, and what is planned was never taken.
func TestClockThroughQuestions(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var cfg Config
		cfg.defaults()
		cal := sla.Standard(time.UTC)
		cal.Holidays = map[string]bool{}
		now := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC).Add(time.Duration(rapid.IntRange(0, 7*24).Draw(t, "start")) * time.Hour)
		e := &Enrollment{Status: InReview, CreatedAt: now}
		cfg.arrive(e, cal, now)
		runs := []sla.Run{{From: now}}
		taken, moved := map[Step]int{}, false
		for range rapid.IntRange(1, 25).Draw(t, "acts") {
			now = now.Add(time.Duration(rapid.IntRange(0, 3*24*60).Draw(t, "minutes")) * time.Minute)
			for len(e.Agenda) > 0 && !e.Agenda[0].At.After(now) {
				taken[e.Agenda[0].Step]++
				e.Agenda = e.Agenda[1:]
			}
			switch rapid.SampledFrom([]string{"toggle", "holiday", "wait"}).Draw(t, "act") {
			case "toggle":
				if e.Status == InReview {
					e.Status, runs[len(runs)-1].To = ActionRequired, val(now)
				} else {
					e.Status, runs = InReview, append(runs, sla.Run{From: now})
				}
				cfg.arrive(e, cal, now)
			case "holiday":
				next := *cal
				next.Holidays = map[string]bool{now.AddDate(0, 0, rapid.IntRange(-5, 10).Draw(t, "off")).Format("2006-01-02"): true}
				for k := range cal.Holidays {
					if rapid.Bool().Draw(t, "keep") {
						next.Holidays[k] = true
					}
				}
				cal, moved = &next, true
				if e.Status == InReview {
					cfg.move(e, cal, now)
				}
			}
			var spent time.Duration
			for _, r := range runs {
				to := now
				if r.To != nil {
					to = *r.To
				}
				spent += cal.Between(sla.BusinessDays, r.From, to)
			}
			if got := e.Clock.Spent(cal, now); got != spent {
				t.Fatalf("the clock has spent %s, want %s", got, spent)
			}
			if e.Status != InReview {
				if e.DueAt != nil || e.TargetAt != nil || !e.Clock.Paused() || e.UntilAt == nil {
					t.Fatalf("promised while it waits: %+v", e)
				}
				continue
			}
			for name, p := range map[time.Duration]*time.Time{cfg.ReviewTarget: e.TargetAt, cfg.ReviewDue: e.DueAt} {
				if spent < name && !p.Equal(cal.Add(sla.BusinessDays, now, name-spent)) || spent >= name && p.After(now) {
					t.Fatalf("after %s of %s it is due at %s; now %s", spent, name, p, now)
				}
			}
			for _, d := range e.Agenda {
				if want := map[Step]*time.Time{StepReviewTarget: e.TargetAt, StepReviewDue: e.DueAt}[d.Step]; want == nil || !d.At.Equal(*want) {
					t.Fatalf("planned %+v, promised %s", d, want)
				}
			}
			if !moved {
				for step, amount := range map[Step]time.Duration{StepReviewTarget: cfg.ReviewTarget, StepReviewDue: cfg.ReviewDue} {
					if want := map[bool]int{true: 1}[spent >= amount]; taken[step] != want && (spent < amount || taken[step] != 0 || !planned(e, step)) {
						t.Fatalf("%s was taken %d times, after %s of %s", step, taken[step], spent, amount)
					}
				}
			}
		}
	})
}

func planned(e *Enrollment, step Step) bool {
	return slices.ContainsFunc(e.Agenda, func(d Due) bool { return d.Step == step })
}
