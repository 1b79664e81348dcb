package enrollment

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/calendar"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/file"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/mail"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/internal/partner"
	"github.com/channelgraph/channelgraph/internal/region"
	"github.com/channelgraph/channelgraph/internal/register"
	"github.com/channelgraph/channelgraph/internal/secret"
	"github.com/channelgraph/channelgraph/internal/sla"
)

// Config says how long everything about an enrollment takes. Zero values take
// the defaults of the specification.
type Config struct {
	// StartLife is how long the link that opens an account works: 72 hours.
	StartLife time.Duration
	// DraftReminder and DraftLife count from the last work on a draft: 7 and
	// 30 days.
	DraftReminder, DraftLife time.Duration
	// LinkLife is how long a link to the primary contact works: 72 hours; its
	// reminders count from its sending: 24 and 48 hours.
	LinkLife      time.Duration
	LinkReminders []time.Duration
	// ConfirmLife is how long the contact's answer is waited for: 14 days.
	ConfirmLife time.Duration
	// ReviewTarget and ReviewDue are the promise of a review, in business
	// days: 3 and 5.
	ReviewTarget, ReviewDue time.Duration
	// AnswerLife is how long the applicant's answer is waited for: 30 days;
	// its reminders count from the end: 7 days and 1 day.
	AnswerLife      time.Duration
	AnswerReminders []time.Duration
	// AppealLife is how long a rejection can be appealed: 30 days.
	AppealLife time.Duration
	// SignReminders count from the approval: 3, 10 and 30 days.
	SignReminders []time.Duration
	// EvidenceLife is how long the evidence of an enrollment that came to
	// nothing is kept after its end: 90 days.
	EvidenceLife time.Duration
	// MailLife is how long sending is tried: 3 days.
	MailLife time.Duration
	// LinksAnHour and LinksADay bound the links to one address: 3 and 10.
	LinksAnHour, LinksADay int
}

const day = 24 * time.Hour

func (c *Config) defaults() {
	span := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	spans := func(d *[]time.Duration, v ...time.Duration) {
		if *d == nil {
			*d = v
		}
	}
	span(&c.StartLife, 72*time.Hour)
	span(&c.DraftReminder, 7*day)
	span(&c.DraftLife, 30*day)
	span(&c.LinkLife, 72*time.Hour)
	spans(&c.LinkReminders, 24*time.Hour, 48*time.Hour)
	span(&c.ConfirmLife, 14*day)
	span(&c.ReviewTarget, 3*sla.Day)
	span(&c.ReviewDue, 5*sla.Day)
	span(&c.AnswerLife, 30*day)
	spans(&c.AnswerReminders, 7*day, day)
	span(&c.AppealLife, 30*day)
	spans(&c.SignReminders, 3*day, 10*day, 30*day)
	span(&c.EvidenceLife, 90*day)
	span(&c.MailLife, mail.DefaultLife)
	if c.LinksAnHour <= 0 {
		c.LinksAnHour = 3
	}
	if c.LinksADay <= 0 {
		c.LinksADay = 10
	}
}

// Service performs the verbs on enrollments.
type Service struct {
	db        *database.DB
	accounts  *account.Service
	partners  *partner.Service
	files     *file.Service
	calendars *calendar.Service
	registers *register.Service
	// lookup is the business register that is asked.
	lookup register.Lookup
	mailer *mail.Mailer
	keys   *secret.Keys
	cfg    Config
	log    *slog.Logger
}

// New makes the service; log may be nil. It follows changes of the calendar
// and the bounces of its links.
func New(db *database.DB, accounts *account.Service, partners *partner.Service, files *file.Service, calendars *calendar.Service,
	registers *register.Service, mailer *mail.Mailer, keys *secret.Keys, cfg Config, log *slog.Logger,
) *Service {
	cfg.defaults()
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s := &Service{db: db, accounts: accounts, partners: partners, files: files, calendars: calendars, registers: registers, lookup: registers.Look,
		mailer: mailer, keys: keys, cfg: cfg, log: log}
	calendars.OnChange("enrollment", s.movePromises, countRunning)
	mailer.OnBounce(s.bounced)
	return s
}

// ---- States and what is planned in them

// agenda is what an enrollment plans in its present state, soonest first: what
// lies ahead of now, and its end, where it has one. Dates that were promised
// (UntilAt, LinkSentAt, TargetAt, DueAt) are read and not made here.
func (c *Config) agenda(e *Enrollment, now time.Time) []Due {
	out := []Due{}
	add := func(s Step, at time.Time) {
		if at.After(now) && (e.UntilAt == nil || at.Before(*e.UntilAt) || e.Status == InReview) {
			out = append(out, Due{s, at})
		}
	}
	end := func(s Step) {
		if e.UntilAt != nil {
			out = append(out, Due{s, *e.UntilAt})
		}
	}
	switch e.Status {
	case Draft:
		add(StepRemindDraft, e.TouchedAt.Add(c.DraftReminder))
		end(StepExpire)
	case EmailPending:
		for _, after := range c.LinkReminders {
			if after < c.LinkLife && e.LinkSentAt != nil {
				add(StepRemindConfirm, e.LinkSentAt.Add(after))
			}
		}
		end(StepExpire)
	case InReview:
		if e.TargetAt != nil {
			add(StepReviewTarget, *e.TargetAt)
		}
		if e.DueAt != nil {
			add(StepReviewDue, *e.DueAt)
		}
	case ActionRequired:
		for _, before := range c.AnswerReminders {
			if e.UntilAt != nil {
				add(StepRemindAnswer, e.UntilAt.Add(-before))
			}
		}
		end(StepNoResponse)
	case Approved:
		for _, after := range c.SignReminders {
			add(StepRemindSign, now.Add(after))
		}
	}
	slices.SortStableFunc(out, func(a, b Due) int { return a.At.Compare(b.At) })
	return out
}

// arrive fixes what follows from having come into the present state at now:
// who has to act until when, the clock, the promised dates, the agenda.
func (c *Config) arrive(e *Enrollment, cal *sla.Calendar, now time.Time) {
	e.Awaits, e.UntilAt, e.ClosedAt, e.AppealUntil = Nobody, nil, nil, nil
	by := func(p Party, d time.Duration) {
		at := now.Add(d)
		e.Awaits, e.UntilAt = p, &at
	}
	switch e.Status {
	case Draft:
		by(Applicant, c.DraftLife)
	case EmailPending:
		by(Contact, c.ConfirmLife)
		e.Clock.Pause(now)
	case InReview:
		if len(e.Clock.Runs) == 0 || e.Clock.Ended {
			e.Clock = sla.Start(sla.BusinessDays, c.ReviewTarget, c.ReviewDue, now)
		} else {
			e.Clock.Resume(now)
		}
		e.Awaits = Operator
	case ActionRequired:
		e.Clock.Pause(now)
		by(Applicant, c.AnswerLife)
	case Frozen:
		e.Awaits = Operator
	case Approved:
		e.Clock.End(now)
		e.Awaits = Applicant
	case Rejected:
		e.Clock.End(now)
		e.ClosedAt = &now
		if e.AppealedAt == nil {
			until := now.Add(c.AppealLife)
			e.AppealUntil = &until
		}
	case Active, Expired, Withdrawn:
		e.Clock.End(now)
		e.ClosedAt = &now
	}
	c.promise(e, cal, now)
	e.Agenda = c.agenda(e, now)
}

// promise writes down the dates of the review as the calendar has them. While
// nothing is under review nothing is promised.
func (c *Config) promise(e *Enrollment, cal *sla.Calendar, now time.Time) {
	e.TargetAt, e.DueAt = nil, nil
	if e.Status != InReview {
		return
	}
	date := func(spent time.Duration) *time.Time {
		at, ok := e.Clock.At(cal, spent, now)
		if !ok || at.Equal(sla.Never) {
			return nil
		}
		return &at
	}
	e.TargetAt, e.DueAt = date(e.Clock.Target), date(e.Clock.Due)
	e.UntilAt = e.DueAt
}

// advance takes an enrollment to its next state by a verb and plans what is
// due there; the caller saves it. Error: ENROLLMENT_STATE at path where the
// verb may not start there.
func (s *Service) advance(ctx context.Context, tx *database.Tx, e *Enrollment, v Verb, path string) error {
	next, ok := e.Status.Next(v)
	if !ok {
		return stateFault(path, e)
	}
	e.Status = next
	return s.enter(ctx, tx, e)
}

func stateFault(path string, e *Enrollment) error {
	return fault.Conflict(path, CodeState, "status", string(e.Status))
}

// enter begins a new stage in the enrollment's status: what was planned in the
// former one is called off. The caller inserts or saves it.
func (s *Service) enter(ctx context.Context, tx *database.Tx, e *Enrollment) error {
	cal, err := s.calendars.Current(ctx, tx)
	if err != nil {
		return err
	}
	e.Stage++
	s.cfg.arrive(e, cal, tx.Now)
	return s.plan(ctx, tx, e)
}

// plan puts the timer of the first thing on the agenda in the place of the one
// that waits.
func (s *Service) plan(ctx context.Context, tx *database.Tx, e *Enrollment) error {
	if err := outbox.CancelAbout(ctx, tx, e.ID, Look{}.Kind()); err != nil {
		return err
	}
	if len(e.Agenda) == 0 {
		return nil
	}
	_, err := outbox.Put(ctx, tx, Look{EnrollmentID: e.ID}, outbox.DueAt(e.Agenda[0].At), outbox.About(e.ID))
	return err
}

// change runs fn on an enrollment of the actor's organization, held, in one
// transaction. Errors: UNAUTHENTICATED, ROLE_REQUIRED, NOT_FOUND, CONFLICT for
// another version.
func (s *Service) change(ctx context.Context, actor access.Actor, id ident.ID, version *int, fn func(context.Context, *database.Tx, *Enrollment) error) error {
	if err := actor.Require(access.PermEnrollmentApply); err != nil {
		return err
	}
	return s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		e, err := lock(ctx, tx, actor.Scope(), id)
		if err != nil {
			return err
		}
		if e == nil || e.OrganizationID != actor.OrganizationID {
			return fault.NotFound("enrollmentId")
		}
		if version != nil && *version != e.Version {
			return fault.Conflict("expectedVersion", fault.CodeConflict)
		}
		return fn(ctx, tx, e)
	})
}

// ---- Checks and the timeline

// set writes where a check of a held enrollment stands.
func (s *Service) set(ctx context.Context, tx *database.Tx, e *Enrollment, c Check) error {
	c.EnrollmentID = e.ID
	if (c.Status == CheckPassed || c.Status == CheckFailed) && c.DecidedAt == nil {
		c.DecidedAt = &tx.Now
	}
	return saveCheck(ctx, tx, &c)
}

// note writes a line of the timeline of a held enrollment.
func (s *Service) note(ctx context.Context, tx *database.Tx, actor access.Actor, e *Enrollment, n Entry) error {
	n.EnrollmentID, n.At, n.ActorID, n.ActorName = e.ID, tx.Now, actor.UserID, actor.Name
	switch {
	case actor.IsSystem():
		n.Side, n.ActorName = System, ""
	case actor.IsAnonymous():
		n.Side, n.ActorName = Contact, ""
	case actor.IsOperator():
		n.Side = Operator
	default:
		n.Side = Applicant
	}
	return insertEntry(ctx, tx, &n)
}

// ---- Reading

// ByIDs reads enrollments inside the actor's scope; hidden ones are missing.
func (s *Service) ByIDs(ctx context.Context, actor access.Actor, ids []ident.ID) (map[ident.ID]*Enrollment, error) {
	if !actor.Can(access.PermEnrollmentRead) {
		return map[ident.ID]*Enrollment{}, nil
	}
	return byIDs(ctx, s.db.Read(), actor.Scope(), ids)
}

// Current is the newest enrollment of the actor's organization, nil where it
// never had one. Error: ROLE_REQUIRED.
func (s *Service) Current(ctx context.Context, actor access.Actor) (*Enrollment, error) {
	if err := actor.Require(access.PermEnrollmentRead); err != nil {
		return nil, err
	}
	return newest(ctx, s.db.Read(), actor.OrganizationID, "")
}

// visible picks the enrollments among the ids that the actor sees.
func (s *Service) visible(ctx context.Context, actor access.Actor, ids []ident.ID) ([]ident.ID, error) {
	es, err := s.ByIDs(ctx, actor, ids)
	if err != nil {
		return nil, err
	}
	out := make([]ident.ID, 0, len(es))
	for id := range es {
		out = append(out, id)
	}
	return out, nil
}

// Checks reads the checks of the enrollments that the actor sees, in their
// order. Who of the operator decided, and the notes, are the operator's own.
func (s *Service) Checks(ctx context.Context, actor access.Actor, ids []ident.ID) (map[ident.ID][]*Check, error) {
	ids, err := s.visible(ctx, actor, ids)
	if err != nil {
		return nil, err
	}
	out, err := checksOf(ctx, s.db.Read(), ids)
	if !actor.Scope().All() {
		for _, cs := range out {
			for _, c := range cs {
				c.Note, c.DecidedByID = "", nil
			}
		}
	}
	return out, err
}

// Questions reads what was asked in the enrollments that the actor sees,
// oldest first.
func (s *Service) Questions(ctx context.Context, actor access.Actor, ids []ident.ID) (map[ident.ID][]*Question, error) {
	ids, err := s.visible(ctx, actor, ids)
	if err != nil {
		return nil, err
	}
	out, err := questionsOf(ctx, s.db.Read(), ids)
	if !actor.Scope().All() {
		for _, qs := range out {
			for _, q := range qs {
				q.AskedByID = ""
			}
		}
	}
	return out, err
}

// Timeline reads what happened in the enrollments that the actor sees, oldest
// first. The operator's people stand nameless in what applicants read.
func (s *Service) Timeline(ctx context.Context, actor access.Actor, ids []ident.ID) (map[ident.ID][]*Entry, error) {
	ids, err := s.visible(ctx, actor, ids)
	if err != nil {
		return nil, err
	}
	internal := actor.Scope().All()
	out, err := entriesOf(ctx, s.db.Read(), ids, internal)
	if !internal {
		for _, ns := range out {
			for _, n := range ns {
				if n.Side == Operator {
					n.ActorID, n.ActorName = "", ""
				}
			}
		}
	}
	return out, err
}

// PromiseState is where the promise of the review stands, by the calendar as
// it is now; "" where nothing was promised.
func (s *Service) PromiseState(ctx context.Context, e *Enrollment) (sla.State, error) {
	if len(e.Clock.Runs) == 0 {
		return "", nil
	}
	cal, err := s.calendars.Current(ctx, s.db.Read())
	if err != nil {
		return "", err
	}
	return e.Clock.State(cal, s.db.Now()), nil
}

// Requirements are what an applicant of a country needs to become a kind of
// partner. Errors: COUNTRY_UNKNOWN, KIND_NOT_OPEN.
func (s *Service) Requirements(country string, kind access.Kind) (*Requirements, error) {
	c, ok := region.Find(country)
	if !ok || !c.Open {
		return nil, fault.Invalid("country", partner.CodeCountryUnknown)
	}
	if kind == "" {
		kind = access.IndirectReseller
	}
	if !slices.Contains([]access.Kind{access.IndirectReseller, access.IndirectProvider, access.DirectBill}, kind) {
		return nil, fault.Invalid("kind", CodeKindNotOpen)
	}
	return &Requirements{Country: c, Kind: kind, States: region.States(c.Code), Postcode: c.PostcodeRequired(), Documents: DocumentKinds,
		Items: []RequirementItem{
			{NeedGlobalAdmin, true, true}, {NeedMembership, false, true}, {NeedLegalName, true, false}, {NeedAddress, true, false},
			{NeedRegistrationID, c.RegistrationIDRequired, false}, {NeedPrimaryContact, true, false}, {NeedSupportProfile, true, true}, {NeedAgreement, true, true},
		}}, nil
}

// ---- Mail

// letter is one mail about an enrollment.
type letter struct {
	template string
	// step makes its key within the stage.
	step string
	// moot says that it is not sent any more once the stage has ended.
	moot     bool
	reminder bool
	link     *mail.Link
	// data is what it says beside the facts about the enrollment.
	data map[string]string
}

// person is somebody who is mailed.
type person struct {
	as, email, name, locale string
}

// write puts one mail about a held enrollment into the table, notes it in the
// timeline, and puts the job that sends it, unless the caller does.
func (s *Service) write(ctx context.Context, tx *database.Tx, e *Enrollment, l letter, to person, internal bool) (*mail.Message, error) {
	data := s.facts(e)
	data["Name"] = to.name
	for k, v := range l.data {
		data[k] = v
	}
	m, err := s.mailer.Queue(ctx, tx, mail.Draft{
		Key:      fmt.Sprintf("enrollment/%s/%d/%s/%s", e.ID, e.Stage, l.step, to.as),
		Template: l.template, Locale: to.locale, To: to.email, Data: s.mailer.Fit(l.template, data), SubjectID: e.ID,
		OrganizationID: e.OrganizationID, ExpiresAt: tx.Now.Add(s.cfg.MailLife), Reminder: l.reminder, Link: l.link,
	})
	if err != nil {
		return nil, err
	}
	return m, s.note(ctx, tx, access.System("enrollment"), e, Entry{Kind: EntryMail, MessageID: m.ID, Template: l.template, OperatorOnly: internal})
}

// send writes a mail to each of some people, with the jobs that send them.
func (s *Service) send(ctx context.Context, tx *database.Tx, e *Enrollment, l letter, internal bool, to ...person) error {
	for _, p := range to {
		m, err := s.write(ctx, tx, e, l, p, internal)
		if err != nil {
			return err
		}
		var args outbox.Args = mail.Send{MessageID: m.ID}
		if l.moot {
			args = Notice{EnrollmentID: e.ID, Stage: e.Stage, MessageID: m.ID}
		}
		if _, err := outbox.Put(ctx, tx, args, outbox.On(outbox.Mail), outbox.About(e.ID), outbox.MaxAttempts(mail.MaxAttempts)); err != nil {
			return err
		}
	}
	return nil
}

// tell mails the applicant's side: the primary contact, once the enrollment
// was submitted and unless the contact disowned it, and the applicant where
// that is somebody else.
func (s *Service) tell(ctx context.Context, tx *database.Tx, e *Enrollment, l letter) error {
	a, err := s.applicant(ctx, tx, e)
	if err != nil {
		return err
	}
	var to []person
	if c := e.contact(); e.SubmittedAt != nil && e.DisownedAt == nil && c.email != "" {
		if a != nil {
			c.locale = a.locale
		}
		to = append(to, c)
	}
	if a != nil && (len(to) == 0 || foldEmail(a.email) != e.ContactEmailFolded) {
		to = append(to, *a)
	}
	return s.send(ctx, tx, e, l, false, to...)
}

// tellApplicant mails the applicant alone.
func (s *Service) tellApplicant(ctx context.Context, tx *database.Tx, e *Enrollment, l letter) error {
	a, err := s.applicant(ctx, tx, e)
	if err != nil || a == nil {
		return err
	}
	return s.send(ctx, tx, e, l, false, *a)
}

// tellReviewers mails the reviewer who works the enrollment, or else all
// reviewers but one; with all, the administrators of the operator instead.
func (s *Service) tellReviewers(ctx context.Context, tx *database.Tx, e *Enrollment, l letter, all bool, but ident.ID) error {
	operator, err := s.accounts.Operator(ctx, tx)
	if err != nil || operator == "" {
		return err
	}
	roles := []access.Role{access.Reviewer}
	if all {
		roles = []access.Role{access.OperatorAdmin}
	}
	us, err := s.accounts.Recipients(ctx, tx, operator, roles...)
	if err != nil {
		return err
	}
	if len(us) == 0 && !all { // a house without reviewers is run by its administrators
		if us, err = s.accounts.Recipients(ctx, tx, operator, access.OperatorAdmin); err != nil {
			return err
		}
	}
	if e.AssigneeID != nil && !all {
		assigned, err := s.accounts.UsersTx(ctx, tx, access.System("enrollment"), []ident.ID{*e.AssigneeID})
		if err != nil {
			return err
		}
		if u := assigned[*e.AssigneeID]; u != nil && u.Status == account.Active && u.ID != but {
			us = []*account.User{u}
			l.data = with(l.data, "AssignedTo", u.DisplayName())
		}
	}
	var to []person
	for _, u := range us {
		if u.ID != but || len(us) == 1 {
			to = append(to, person{as: string(u.ID), email: u.Email, name: u.DisplayName(), locale: u.Locale})
		}
	}
	return s.send(ctx, tx, e, l, true, to...)
}

// applicant is the user who applies: whoever began the enrollment, or else the
// longest there of the organization's Global admins.
func (s *Service) applicant(ctx context.Context, tx *database.Tx, e *Enrollment) (*person, error) {
	us, err := s.accounts.UsersTx(ctx, tx, access.System("enrollment"), []ident.ID{e.CreatedByID})
	if err != nil {
		return nil, err
	}
	u := us[e.CreatedByID]
	if u == nil || u.Status != account.Active {
		admins, err := s.accounts.Recipients(ctx, tx, e.OrganizationID, access.GlobalAdmin)
		if err != nil || len(admins) == 0 {
			return nil, err
		}
		u = admins[0]
	}
	return &person{as: "applicant", email: u.Email, name: u.DisplayName(), locale: u.Locale}, nil
}

func (e *Enrollment) contact() person {
	c := e.Profile.Contact
	return person{as: "contact", email: c.Email, name: c.FirstName + " " + c.LastName}
}

// facts are what mails say of an enrollment; each template takes its own.
func (s *Service) facts(e *Enrollment) map[string]string {
	out := map[string]string{
		"CompanyName": e.Company(), "WorkAccount": e.TenantDomain, "Country": e.Country, "Contact": e.contact().name, "ContactEmailAddress": e.Profile.Contact.Email,
		"ProgrammeID": e.ProgrammeID, "ReasonNote": e.ReasonNote,
	}
	if e.Purpose == Change {
		out["Change"] = "yes"
	}
	if e.ReasonCode != "" {
		out["ReasonText"] = "REJECTED_" + string(e.ReasonCode)
	}
	for name, at := range map[string]*time.Time{"UntilAt": e.UntilAt, "PromisedAt": e.DueAt, "TargetAt": e.TargetAt, "ExpiresAt": e.LinkExpiresAt,
		"SubmittedAt": e.SubmittedAt, "StartedAt": e.ConfirmedAt, "AppealUntil": e.AppealUntil, "AppealedAt": e.AppealedAt, "DisownedAt": e.DisownedAt} {
		if at != nil {
			out[name] = at.UTC().Format(time.RFC3339)
		}
	}
	return out
}

// Company is how the company is called: its legal name, or its work account
// as long as it has none.
func (e *Enrollment) Company() string {
	if e.Profile.LegalName != "" {
		return e.Profile.LegalName
	}
	return e.TenantDomain
}

// with is data and one thing more.
func with(data map[string]string, name, value string) map[string]string {
	out := map[string]string{name: value}
	for k, v := range data {
		out[k] = v
	}
	return out
}
