package enrollment

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/address"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/partner"
	"github.com/channelgraph/channelgraph/internal/region"
	"github.com/channelgraph/channelgraph/internal/register"
	"github.com/channelgraph/channelgraph/internal/sla"
)

// TestTransitions is the whole table: what is not here is refused.
func TestTransitions(t *testing.T) {
	t.Parallel()
	want := map[Status]string{
		Draft:          "submit→EMAIL_PENDING expire→EXPIRED withdraw→WITHDRAWN",
		EmailPending:   "confirm→IN_REVIEW disown→FROZEN expire→EXPIRED withdraw→WITHDRAWN",
		InReview:       "ask→ACTION_REQUIRED approve→APPROVED apply→ACTIVE reject→REJECTED withdraw→WITHDRAWN",
		ActionRequired: "answer→IN_REVIEW reverify→EMAIL_PENDING reject→REJECTED withdraw→WITHDRAWN",
		Frozen:         "unfreeze→EMAIL_PENDING reject→REJECTED",
		Approved:       "sign→ACTIVE",
		Active:         "",
		Rejected:       "appeal→IN_REVIEW reopen→FROZEN",
		Expired:        "",
		Withdrawn:      "",
		"":             "",
	}
	for s, w := range want {
		var got []string
		for _, v := range Verbs {
			to, ok := s.Next(v)
			if ok {
				got = append(got, fmt.Sprintf("%s→%s", v, to))
			} else if to != s {
				t.Errorf("%s refuses %s and still leads to %s", s, v, to)
			}
		}
		if strings.Join(got, " ") != w {
			t.Errorf("%s: %s, want %s", s, strings.Join(got, " "), w)
		}
	}
	if len(transitions) != len(Verbs) {
		t.Error("a verb is not listed")
	}
	for _, s := range Statuses {
		if _, ok := s.Next("dance"); ok || s.Open() != slices.Contains(open, s) {
			t.Errorf("%s", s)
		}
	}
}

var noon = time.Date(2030, 6, 3, 12, 0, 0, 0, time.UTC) // a Monday

func cal() *sla.Calendar { return sla.Standard(time.UTC) }

// plan writes an agenda as hours after noon, of days where they are whole.
func plan(e *Enrollment) string {
	var out []string
	for _, d := range e.Agenda {
		after := d.At.Sub(noon)
		if after%day == 0 {
			out = append(out, fmt.Sprintf("%s %dd", d.Step, after/day))
		} else {
			out = append(out, fmt.Sprintf("%s %s", d.Step, after))
		}
	}
	return strings.Join(out, ", ")
}

func TestArrive(t *testing.T) {
	t.Parallel()
	var cfg Config
	cfg.defaults()
	for status, want := range map[Status]string{
		Draft:          "APPLICANT 30d: remind_draft 7d, expire 30d",
		EmailPending:   "CONTACT 14d: remind_confirm 1d, remind_confirm 2d, expire 14d",
		InReview:       "OPERATOR 7d: review_target 3d, review_due 7d",
		ActionRequired: "APPLICANT 30d: remind_answer 23d, remind_answer 29d, no_response 30d",
		Frozen:         "OPERATOR -: ",
		Approved:       "APPLICANT -: remind_sign 3d, remind_sign 10d, remind_sign 30d",
		Active:         " -: ",
		Rejected:       " -: ",
		Expired:        " -: ",
		Withdrawn:      " -: ",
	} {
		e := &Enrollment{Status: status, TouchedAt: noon, LinkSentAt: ptr(noon), CreatedAt: noon}
		cfg.arrive(e, cal(), noon)
		e.settle()
		until := "-"
		if e.UntilAt != nil {
			until = fmt.Sprintf("%dd", e.UntilAt.Sub(noon)/day)
		}
		if got := fmt.Sprintf("%s %s: %s", e.Awaits, until, plan(e)); got != want {
			t.Errorf("%s: %s, want %s", status, got, want)
		}
		if (e.NextActionAt == nil) != (len(e.Agenda) == 0) || e.NextActionAt != nil && !e.NextActionAt.Equal(e.Agenda[0].At) {
			t.Errorf("%s looks next at %v", status, e.NextActionAt)
		}
		if (e.ClosedAt != nil) != (!status.Open()) {
			t.Errorf("%s closed at %v", status, e.ClosedAt)
		}
		if (e.AppealUntil != nil) != (status == Rejected) || status == Rejected && (!e.AppealUntil.Equal(noon.Add(30*day)) || !e.Appealable(noon.Add(30*day-time.Second)) || e.Appealable(noon.Add(30*day))) {
			t.Errorf("%s can be appealed until %v", status, e.AppealUntil)
		}
		if e.CanBegin(noon) != (status == Expired || status == Withdrawn) {
			t.Errorf("%s can begin anew: %t", status, e.CanBegin(noon))
		}
	}
	e := &Enrollment{Status: Rejected, AppealedAt: ptr(noon)}
	cfg.arrive(e, cal(), noon)
	if e.AppealUntil != nil || e.Appealable(noon) || !e.CanBegin(noon) {
		t.Error("an appeal is for once")
	}
}

// Short durations, and reminders that fall together, leave the order whole.
func TestAgendaInSeconds(t *testing.T) {
	t.Parallel()
	cfg := Config{DraftReminder: 2 * time.Second, DraftLife: 2 * time.Second, LinkLife: 3 * time.Second, LinkReminders: []time.Duration{time.Second, 3 * time.Second, 9 * time.Second},
		ConfirmLife: 2 * time.Second, AnswerLife: time.Second, AnswerReminders: []time.Duration{2 * time.Second, time.Second / 2}, SignReminders: []time.Duration{}}
	cfg.defaults()
	for status, want := range map[Status]string{
		Draft: "expire 2s", EmailPending: "remind_confirm 1s, expire 2s", ActionRequired: "remind_answer 500ms, no_response 1s", Approved: "",
	} {
		e := &Enrollment{Status: status, TouchedAt: noon, LinkSentAt: ptr(noon)}
		cfg.arrive(e, cal(), noon)
		if got := plan(e); got != want {
			t.Errorf("%s: %s, want %s", status, got, want)
		}
	}
}

// A review keeps its promise over pauses and weekends: what was spent before a
// question counts after the answer, and what was said is not planned again.
func TestPauses(t *testing.T) {
	t.Parallel()
	var cfg Config
	cfg.defaults()
	e := &Enrollment{Status: InReview}
	cfg.arrive(e, cal(), noon)
	asked := noon.Add(4 * day) // Friday noon, four days spent
	e.Status = ActionRequired
	cfg.arrive(e, cal(), asked)
	if e.TargetAt != nil || e.DueAt != nil || e.Clock.Spent(cal(), asked.Add(20*day)) != 4*sla.Day {
		t.Errorf("a question: %+v", e)
	}
	e.Status = InReview
	back := noon.Add(14 * day) // a Monday
	cfg.arrive(e, cal(), back)
	if got := plan(e); got != "review_due 15d" || e.TargetAt == nil || !e.TargetAt.Equal(noon.Add(3*day)) {
		t.Errorf("after the answer: %s, target %v", got, e.TargetAt)
	}
	// a breached one promises nothing more, but says what it was
	e.Status = ActionRequired
	cfg.arrive(e, cal(), noon.Add(16*day))
	e.Status = InReview
	cfg.arrive(e, cal(), noon.Add(17*day))
	if got := plan(e); got != "" || e.DueAt == nil || !e.DueAt.Equal(noon.Add(15*day)) {
		t.Errorf("breached: %s, due %v", got, e.DueAt)
	}
	// a decision ends the clock, an appeal begins another
	e.Status = Rejected
	cfg.arrive(e, cal(), noon.Add(18*day))
	if !e.Clock.Ended {
		t.Error("the clock runs on")
	}
	e.Status, e.AppealedAt = InReview, ptr(noon.Add(21*day))
	cfg.arrive(e, cal(), noon.Add(21*day))
	if got := plan(e); got != "review_target 24d, review_due 28d" {
		t.Errorf("appealed: %s", got)
	}
}

func TestNext(t *testing.T) {
	t.Parallel()
	e := &Enrollment{Agenda: []Due{{StepRemindDraft, noon}, {StepExpire, noon.Add(day)}}}
	for after, want := range map[time.Duration]Step{-day: StepRemindDraft, 0: StepRemindDraft, time.Second: StepExpire, day: StepExpire, 2 * day: StepNone} {
		if got, at := e.Next(noon.Add(after)); got != want || (want == StepNone) != at.IsZero() {
			t.Errorf("after %s: %s at %s", after, got, at)
		}
	}
	for _, s := range []Step{StepRemindDraft, StepRemindConfirm, StepReviewTarget, StepReviewDue, StepRemindAnswer, StepRemindSign, StepNone} {
		if s.Final() {
			t.Errorf("%s ends nothing", s)
		}
	}
}

func TestLinkState(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		l    link
		e    Enrollment
		at   time.Duration
		want LinkState
	}{
		"good":             {link{Generation: 2}, Enrollment{Status: EmailPending, Generation: 2}, 0, LinkValid},
		"at its end":       {link{Generation: 2}, Enrollment{Status: EmailPending, Generation: 2}, 72 * time.Hour, LinkExpired},
		"just before":      {link{Generation: 2}, Enrollment{Status: EmailPending, Generation: 2}, 72*time.Hour - 1, LinkValid},
		"replaced":         {link{Generation: 1}, Enrollment{Status: EmailPending, Generation: 2}, 0, LinkReplaced},
		"replaced, over":   {link{Generation: 1}, Enrollment{Status: EmailPending, Generation: 2}, 80 * time.Hour, LinkReplaced},
		"withdrawn":        {link{Generation: 2}, Enrollment{Status: Withdrawn, Generation: 2}, 0, LinkClosed},
		"frozen":           {link{Generation: 2}, Enrollment{Status: Frozen, Generation: 2}, 0, LinkClosed},
		"confirmed":        {link{Generation: 2, UsedAt: ptr(noon), Outcome: LinkConfirmed}, Enrollment{Status: InReview, Generation: 2}, 99 * day, LinkConfirmed},
		"disowned":         {link{Generation: 2, UsedAt: ptr(noon), Outcome: LinkDisowned}, Enrollment{Status: EmailPending, Generation: 3}, 0, LinkDisowned},
		"another question": {link{Generation: 2}, Enrollment{Status: ActionRequired, Generation: 2}, 0, LinkClosed},
	} {
		c.l.ExpiresAt = noon.Add(72 * time.Hour)
		if got := c.l.state(&c.e, noon.Add(c.at)); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	for state, code := range map[LinkState]string{LinkUnknown: fault.CodeNotFound, LinkUsed: "LINK_USED", LinkConfirmed: "LINK_USED", LinkDisowned: "LINK_USED",
		LinkExpired: "LINK_EXPIRED", LinkReplaced: "LINK_EXPIRED", LinkClosed: "LINK_EXPIRED"} {
		if !fault.Is(linkFault(state), code) {
			t.Errorf("%s: %v", state, linkFault(state))
		}
	}
}

func TestChoice(t *testing.T) {
	t.Parallel()
	m := func(change func(*register.Membership)) *register.Membership {
		m := &register.Membership{ID: "mbr_1", ProgrammeID: "1234567", LegalName: "Acme", Country: "IT", Active: true}
		if change != nil {
			change(m)
		}
		return m
	}
	for name, c := range map[string]struct {
		m     *register.Membership
		taken bool
		want  ChoiceReason
	}{
		"good":                       {m(nil), false, ""},
		"inactive":                   {m(func(m *register.Membership) { m.Active = false }), false, ChoiceInactive},
		"another country":            {m(func(m *register.Membership) { m.Country = "DE" }), false, ChoiceOtherCountry},
		"taken":                      {m(nil), true, ChoiceTaken},
		"inactive and another's":     {m(func(m *register.Membership) { m.Active, m.Country = false, "DE" }), true, ChoiceInactive},
		"enrolled before, elsewhere": {m(func(m *register.Membership) { m.Enrolled, m.Country = true, "CH" }), false, ChoiceOtherCountry},
	} {
		e := &Enrollment{Country: "IT", MembershipID: ptr(ident.ID("mbr_1"))}
		got := e.choice(c.m, c.taken)
		if got.Reason != c.want || got.Selectable != (c.want == "") || !got.Selected || got.ProgrammeID != "1234567" || got.AlreadyEnrolled != c.m.Enrolled {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestStartInput(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 51)
	for name, c := range map[string]struct {
		change func(*StartInput)
		want   string
	}{
		"good":                  {func(*StartInput) {}, "<nil>"},
		"webmail of the person": {func(in *StartInput) { in.Email = "gina@gmail.com" }, "<nil>"},
		"nothing":               {func(in *StartInput) { *in = StartInput{} }, "email REQUIRED, firstName REQUIRED, lastName REQUIRED, tenantDomain REQUIRED, country REQUIRED"},
		"spaces":                {func(in *StartInput) { in.Email, in.TenantDomain = " ", " " }, "email REQUIRED, tenantDomain REQUIRED"},
		"no address":            {func(in *StartInput) { in.Email = "gina" }, "email EMAIL_INVALID"},
		"thrown away":           {func(in *StartInput) { in.Email = "g@mailinator.com" }, "email EMAIL_DISPOSABLE"},
		"names":                 {func(in *StartInput) { in.FirstName, in.LastName = long, "www.evil.com" }, "firstName TOO_LONG, lastName LINK_NOT_ALLOWED"},
		"hidden characters":     {func(in *StartInput) { in.FirstName = "Gi\u202ena" }, "firstName CONTROL_CHARACTERS"},
		"webmail as domain":     {func(in *StartInput) { in.TenantDomain = "GMail.com" }, "tenantDomain DOMAIN_PUBLIC"},
		"below webmail":         {func(in *StartInput) { in.TenantDomain = "acme.gmail.com" }, "tenantDomain DOMAIN_PUBLIC"},
		"looks like webmail":    {func(in *StartInput) { in.TenantDomain = "gmаil.com" }, "tenantDomain DOMAIN_INVALID"}, // a Cyrillic а
		"one label":             {func(in *StartInput) { in.TenantDomain = "acme" }, "tenantDomain DOMAIN_INVALID"},
		"a URL":                 {func(in *StartInput) { in.TenantDomain = "https://acme.example" }, "tenantDomain DOMAIN_INVALID"},
		"IDN":                   {func(in *StartInput) { in.TenantDomain = "Müller.example" }, "<nil>"},
		"Cyrillic alone":        {func(in *StartInput) { in.TenantDomain = "пример.рф" }, "<nil>"},
		"country":               {func(in *StartInput) { in.Country = "ZZ" }, "country COUNTRY_UNKNOWN"},
		"country in lower case": {func(in *StartInput) { in.Country = "it" }, "<nil>"},
		"language":              {func(in *StartInput) { in.Locale = "de" }, "locale INVALID"},
	} {
		in := StartInput{Email: "Gina@Acme.example", FirstName: "Gina", LastName: "Rossi", TenantDomain: "ACME.example", Country: "IT"}
		c.change(&in)
		err := in.Validate()
		if got := problems(err); err == nil && c.want != "<nil>" || err != nil && got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
		if err == nil && (in.Country != "IT" || in.TenantDomain != strings.ToLower(in.TenantDomain)) {
			t.Errorf("%s is stored as %+v", name, in)
		}
	}
	in := StartInput{Email: "g@acme.example", FirstName: "G", LastName: "R", TenantDomain: "Müller.example", Country: "DE"}
	if err := in.Validate(); err != nil || in.TenantDomain != "xn--mller-kva.example" || in.Locale != "en" {
		t.Errorf("%+v, %v", in, err)
	}
	if address.Unicode(in.TenantDomain) != "müller.example" {
		t.Error(address.Unicode(in.TenantDomain))
	}
}

func TestCorrections(t *testing.T) {
	t.Parallel()
	p := partner.Profile{LegalName: "Acme", Website: "https://acme.example", Support: partner.Support{Phone: "1"}}
	changed, err := Corrections{Legal: &LegalInput{Name: ptr("  Acme   S.r.l. "), Website: ptr(""), Address: &AddressInput{City: ptr("Milano")}},
		Support: &SupportInput{Phone: ptr("1")}}.Apply(&p)
	if err != nil || p.LegalName != "Acme S.r.l." || p.Website != "" || p.Address.City != "Milano" || strings.Join(changed, " ") != "legal.name legal.website legal.address.city" {
		t.Errorf("%+v, %v, %v", p, changed, err)
	}
	before := p
	if changed, err := (Corrections{}).Apply(&p); err != nil || changed != nil || p != before {
		t.Errorf("nothing: %v, %v", changed, err)
	}
	_, err = Corrections{Legal: &LegalInput{Name: ptr(strings.Repeat("a", storable+1))}, Contact: &ContactInput{FirstName: ptr("a\x00")}, Support: &SupportInput{Email: ptr("a\nb")}}.Apply(&p)
	if got := problems(err); got != "legal.name TOO_LONG, contact.firstName CONTROL_CHARACTERS, support.email CONTROL_CHARACTERS" {
		t.Errorf("got %s", got)
	}
}

func TestRequirements(t *testing.T) {
	t.Parallel()
	var s Service
	got, err := s.Requirements("us", "")
	if err != nil || got.Kind != access.IndirectReseller || len(got.States) != len(region.States("US")) || !got.Postcode || len(got.Items) != len(RequirementList) {
		t.Errorf("%+v, %v", got, err)
	}
	mandatory := func(r *Requirements, n Requirement) bool {
		i := slices.IndexFunc(r.Items, func(i RequirementItem) bool { return i.Requirement == n })
		return r.Items[i].Mandatory
	}
	br, err := s.Requirements("BR", access.DirectBill)
	if err != nil || !mandatory(br, NeedRegistrationID) || mandatory(got, NeedRegistrationID) || mandatory(br, NeedMembership) {
		t.Errorf("Brazil: %+v, %v", br, err)
	}
	for _, i := range got.Items { // an enrolled company supplies only these
		if want := slices.Contains([]Requirement{NeedGlobalAdmin, NeedMembership, NeedSupportProfile, NeedAgreement}, i.Requirement); i.AlreadyEnrolled != want {
			t.Errorf("%s of an enrolled company: %t", i.Requirement, i.AlreadyEnrolled)
		}
	}
	if _, err := s.Requirements("ZZ", ""); !fault.Is(err, partner.CodeCountryUnknown) {
		t.Error(err)
	}
	for _, k := range []access.Kind{access.Operator, access.Customer, "X"} {
		if _, err := s.Requirements("IT", k); !fault.Is(err, CodeKindNotOpen) {
			t.Errorf("%s: %v", k, err)
		}
	}
}

func TestCodesHaveTexts(t *testing.T) {
	t.Parallel()
	for _, r := range RejectReasons {
		if !fault.HasText("REJECTED_" + string(r)) {
			t.Errorf("%s has no sentence", r)
		}
	}
	for _, r := range []ChoiceReason{ChoiceInactive, ChoiceOtherCountry, ChoiceTaken} {
		if !fault.HasText(string(r)) {
			t.Errorf("%s has no sentence", r)
		}
	}
}
