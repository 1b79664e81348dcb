// Package directory owns the public directory of providers and the way that a
// change of it takes: the listing that a provider opts in to, the cards of its
// locations, and profile update requests that are worked to a promise (spec
// section 7). It never lets a provider edit a card directly, and never decides
// who is active in the programme.
//
// Invariant: a card is seen exactly while its provider has opted in and is
// active; cards change by publications of approved requests alone; a provider
// has at most one open request; whatever the public sees changes together with
// the directory's version.
package directory

import (
	"slices"
	"time"

	"github.com/uptrace/bun"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/address"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/partner"
	"github.com/channelgraph/channelgraph/internal/region"
	"github.com/channelgraph/channelgraph/internal/sla"
)

// State is what the directory as a whole is at: its version changes with
// everything that the public sees.
type State struct {
	bun.BaseModel `bun:"table:directory_state,alias:directory_state"`
	ID            int        `bun:"id,pk"`
	Version       int64      `bun:"version"`
	ChangedAt     *time.Time `bun:"changed_at"`
}

// Listing is a provider's place in the directory.
type Listing struct {
	bun.BaseModel  `bun:"table:directory_listing,alias:listing"`
	PartnerID      ident.ID `bun:"partner_id,pk"`
	OrganizationID ident.ID `bun:"organization_id"`
	// Listed says that the provider has opted in, Active that it takes part in
	// the programme.
	Listed bool `bun:"listed"`
	Active bool `bun:"active"`
	// Version counts what happened to the listing; each has a Revision.
	Version   int       `bun:"version"`
	CreatedAt time.Time `bun:"created_at"`
	UpdatedAt time.Time `bun:"updated_at"`
}

// Visible reports whether the public sees the cards.
func (l *Listing) Visible() bool { return l.Listed && l.Active }

// Location is one card of the directory.
type Location struct {
	bun.BaseModel `bun:"table:directory_location,alias:location"`
	ID            ident.ID    `bun:"id,pk"`
	PartnerID     ident.ID    `bun:"partner_id"`
	CompanyName   string      `bun:"company_name"`
	NameFolded    string      `bun:"name_folded"`
	Country       string      `bun:"country"`
	Region        region.Code `bun:"region"`
	TargetURL     string      `bun:"target_url"`
	// LogoID is the file of the logo, "" without one.
	LogoID    ident.ID  `bun:"logo_id"`
	Visible   bool      `bun:"visible"`
	CreatedAt time.Time `bun:"created_at"`
	UpdatedAt time.Time `bun:"updated_at"`
}

// Card is what the card says.
func (l *Location) Card() Card {
	return Card{CompanyName: l.CompanyName, Country: l.Country, TargetURL: l.TargetURL, LogoID: l.LogoID}
}

// LogoPath is where anybody may load the logo, "" without one and while the
// card is not public.
func (l *Location) LogoPath() string {
	if l.LogoID == "" || !l.Visible {
		return ""
	}
	return "/directory/logos/" + string(l.LogoID)
}

// Card is what a location shows.
type Card struct {
	CompanyName string   `json:"companyName"`
	Country     string   `json:"country"`
	TargetURL   string   `json:"targetUrl"`
	LogoID      ident.ID `json:"logoId,omitempty"`
}

// Change is what a request does to one location: Before is nil where it is
// added, After where it is removed.
type Change struct {
	LocationID ident.ID `json:"locationId"`
	Before     *Card    `json:"before,omitempty"`
	After      *Card    `json:"after,omitempty"`
}

// RevisionKind says what happened to a listing.
type RevisionKind string

// Kinds of revisions.
const (
	RevisionListed    RevisionKind = "LISTED"
	RevisionUnlisted  RevisionKind = "UNLISTED"
	RevisionPublished RevisionKind = "PUBLISHED"
	// RevisionHidden and RevisionShown follow the provider's status.
	RevisionHidden RevisionKind = "HIDDEN"
	RevisionShown  RevisionKind = "SHOWN"
)

// Revision is one version of a listing: what happened, when, and by whom.
type Revision struct {
	bun.BaseModel   `bun:"table:directory_revision,alias:revision"`
	PartnerID       ident.ID     `bun:"partner_id,pk"`
	Version         int          `bun:"version,pk"`
	Kind            RevisionKind `bun:"kind"`
	At              time.Time    `bun:"at"`
	ActorID         ident.ID     `bun:"actor_id"`
	ProfileUpdateID ident.ID     `bun:"profile_update_id"`
}

// Status is where a profile update request stands.
type Status string

// Statuses of a request.
const (
	Submitted Status = "SUBMITTED"
	InReview  Status = "IN_REVIEW"
	Waiting   Status = "WAITING_FOR_PARTNER"
	Approved  Status = "APPROVED"
	Published Status = "PUBLISHED"
	Rejected  Status = "REJECTED"
	Withdrawn Status = "WITHDRAWN"
)

// Statuses lists all statuses.
var Statuses = []Status{Submitted, InReview, Waiting, Approved, Published, Rejected, Withdrawn}

// Open reports whether the request can still be published.
func (s Status) Open() bool {
	return s == Submitted || s == InReview || s == Waiting || s == Approved
}

// Verb is an act on a request.
type Verb string

// Verbs of a request.
const (
	VerbTake     Verb = "take"
	VerbAsk      Verb = "ask"
	VerbAnswer   Verb = "answer"
	VerbApprove  Verb = "approve"
	VerbPublish  Verb = "publish"
	VerbReject   Verb = "reject"
	VerbWithdraw Verb = "withdraw"
)

// Verbs lists all verbs.
var Verbs = []Verb{VerbTake, VerbAsk, VerbAnswer, VerbApprove, VerbPublish, VerbReject, VerbWithdraw}

// transitions says where each verb may start and where it leads. What is
// approved is on its way and cannot be taken back.
var transitions = map[Verb]struct {
	from []Status
	to   Status
}{
	VerbTake:     {[]Status{Submitted}, InReview},
	VerbAsk:      {[]Status{InReview}, Waiting},
	VerbAnswer:   {[]Status{Waiting}, InReview},
	VerbApprove:  {[]Status{InReview}, Approved},
	VerbPublish:  {[]Status{Approved}, Published},
	VerbReject:   {[]Status{InReview, Waiting}, Rejected},
	VerbWithdraw: {[]Status{Submitted, InReview, Waiting}, Withdrawn},
}

// Next is the status that a verb leads to, and whether it may start in s.
func (s Status) Next(v Verb) (Status, bool) {
	t, ok := transitions[v]
	if !ok || !slices.Contains(t.from, s) {
		return s, false
	}
	return t.to, true
}

// Request is a profile update request.
type Request struct {
	bun.BaseModel  `bun:"table:profile_update,alias:profile_update"`
	ID             ident.ID `bun:"id,pk"`
	PartnerID      ident.ID `bun:"partner_id"`
	OrganizationID ident.ID `bun:"organization_id"`
	// Company is the provider's legal name when it filed.
	Company string    `bun:"company"`
	Status  Status    `bun:"status"`
	Changes []Change  `bun:"changes,type:jsonb"`
	Clock   sla.Clock `bun:"clock,type:jsonb"`
	// TargetAt and DueAt are the promised dates; those of a paused request are
	// what they were when it was paused, those of a closed one what they were
	// at last.
	TargetAt *time.Time `bun:"target_at"`
	DueAt    *time.Time `bun:"due_at"`
	// QueueAt is what the queue is ordered by: DueAt, far off while the
	// provider has to act, and farther where nobody has.
	QueueAt time.Time `bun:"queue_at"`
	// Steps counts the steps of the promise that were taken; NextActionAt is
	// the moment of the next one, nil while the clock stands.
	Steps        int        `bun:"steps"`
	NextActionAt *time.Time `bun:"next_action_at"`
	CreatedByID  ident.ID   `bun:"created_by_id"`
	// AssigneeID is the reviewer who works it, "" without one.
	AssigneeID  ident.ID   `bun:"assignee_id"`
	DecidedByID ident.ID   `bun:"decided_by_id"`
	DecidedAt   *time.Time `bun:"decided_at"`
	// Reason is why it was rejected.
	Reason      string     `bun:"reason"`
	PublishedAt *time.Time `bun:"published_at"`
	ClosedAt    *time.Time `bun:"closed_at"`
	// Month is when the promise was met or broken for good, such as 2026-11 on
	// the operator's calendar; Outcome is which, and Worked what the clock
	// counted. They are the report's and never change again.
	Month   string        `bun:"month"`
	Outcome sla.State     `bun:"outcome"`
	Worked  time.Duration `bun:"worked"`
	// Entries counts the lines of the timeline.
	Entries   int       `bun:"entries"`
	Version   int       `bun:"version"`
	CreatedAt time.Time `bun:"created_at"`
	UpdatedAt time.Time `bun:"updated_at"`

	// Promise is where the promise stands now; reading fills it in.
	Promise Promise `bun:"-"`
}

// Promise is where the promise of a request stands.
type Promise struct {
	// State is nil where the request was withdrawn in time.
	State *sla.State
	// TargetAt and DueAt are the promised dates; while the clock stands, what
	// they would be if it went on now.
	TargetAt, DueAt *time.Time
	// Paused says that the clock stands until the provider answers.
	Paused bool
	// Spent is what has counted so far.
	Spent time.Duration
}

// The promise of spec section 7.
const (
	Target = 14 * sla.Day
	Due    = 21 * sla.Day
)

// steps are what happens on the way of a promise, in order: warnings to the
// reviewers by per cent of the target, and the breach.
var steps = []struct {
	percent int // 0 is the breach
	after   time.Duration
}{{50, Target / 2}, {80, Target * 4 / 5}, {100, Target}, {0, Due}}

// far is how far off the queue keeps what the provider has to answer first; it
// keeps what is closed at twice that.
const far = 100 * 365 * sla.Day

// running reports whether the clock runs.
func (r *Request) running() bool { return !r.Clock.Ended && !r.Clock.Paused() }

// date is when so much of the promise is spent, nil where that never comes.
func (r *Request) date(c *sla.Calendar, spent time.Duration, now time.Time) *time.Time {
	at, _ := r.Clock.At(c, spent, now)
	if at.IsZero() || at.Equal(sla.Never) {
		return nil
	}
	return &at
}

// keep makes dates, queue and timer those of the calendar and the clock at
// now, and reports whether a date is another one. What was promised at last
// stays with a clock that has ended.
func (r *Request) keep(c *sla.Calendar, now time.Time) bool {
	target, due := r.TargetAt, r.DueAt
	if !r.Clock.Ended {
		r.TargetAt, r.DueAt = r.date(c, r.Clock.Target, now), r.date(c, r.Clock.Due, now)
	}
	r.NextActionAt, r.QueueAt = nil, now.Add(far)
	if r.Clock.Ended {
		r.QueueAt = r.QueueAt.Add(far)
	}
	if r.running() {
		if r.Steps < len(steps) {
			r.NextActionAt = r.date(c, steps[r.Steps].after, now)
		}
		if r.DueAt != nil {
			r.QueueAt = *r.DueAt
		}
	}
	return !same(target, r.TargetAt) || !same(due, r.DueAt)
}

func same(a, b *time.Time) bool { return (a == nil) == (b == nil) && (a == nil || a.Equal(*b)) }

// stage counts how often the clock was started and stopped: a mail that was
// written in an earlier one is moot.
func (r *Request) stage() int {
	n := 2 * len(r.Clock.Runs)
	if !r.running() {
		n++
	}
	return n
}

// close ends the promise at now, whose dates the calendar fixes; met says that
// it was a promise at all to the end, which one that was withdrawn was not.
func (r *Request) close(c *sla.Calendar, now time.Time, met bool) {
	r.keep(c, now)
	r.Clock.End(now)
	r.keep(c, now)
	r.ClosedAt = &now
	if !met {
		return
	}
	r.Outcome, r.Worked = r.Clock.State(c, now), r.Clock.Spent(c, now)
	r.Month = now.In(zoneOf(c)).Format("2006-01")
}

func zoneOf(c *sla.Calendar) *time.Location {
	if c.Location == nil {
		return time.UTC
	}
	return c.Location
}

// look fills the promise in as it stands at now.
func (r *Request) look(c *sla.Calendar, now time.Time) {
	p := Promise{TargetAt: r.TargetAt, DueAt: r.DueAt, Paused: r.Clock.Paused(), Spent: r.Worked}
	state := r.Outcome
	if !r.Clock.Ended {
		p.TargetAt, p.DueAt = r.date(c, r.Clock.Target, now), r.date(c, r.Clock.Due, now)
	}
	if state == "" {
		p.Spent, state = r.Clock.Spent(c, now), r.Clock.State(c, now)
	}
	if state != sla.Met || r.Outcome != "" {
		p.State = &state
	}
	r.Promise = p
}

// ownHouse reports whether somebody belongs to the provider: to its
// organization, or by an address under the domain of its work account or of
// its contact.
func ownHouse(p *partner.Partner, who access.Actor) bool {
	house := func(email string) string {
		a, err := address.Parse(email)
		if err != nil {
			return ""
		}
		return address.Registrable(a.Domain)
	}
	own := house(who.Email)
	return who.OrganizationID == p.OrganizationID || own != "" && (own == p.RegistrableDomain || own == house(p.Contact.Email))
}

// Question is what a reviewer asked the provider, and the answer.
type Question struct {
	bun.BaseModel   `bun:"table:profile_update_question,alias:question"`
	ProfileUpdateID ident.ID   `bun:"profile_update_id,pk"`
	Number          int        `bun:"number,pk"`
	Text            string     `bun:"text"`
	AskedByID       ident.ID   `bun:"asked_by_id"`
	AskedAt         time.Time  `bun:"asked_at"`
	Answer          string     `bun:"answer"`
	AnsweredByID    ident.ID   `bun:"answered_by_id"`
	AnsweredAt      *time.Time `bun:"answered_at"`
}

// Side is who acts in a request.
type Side string

// Sides; System is channelgraph itself.
const (
	Provider Side = "PROVIDER"
	Operator Side = "OPERATOR"
	System   Side = "SYSTEM"
)

// EntryKind says what a line of the timeline tells.
type EntryKind string

// Kinds of entries.
const (
	EntrySubmitted EntryKind = "SUBMITTED"
	EntryAssigned  EntryKind = "ASSIGNED"
	EntryTaken     EntryKind = "REVIEW_STARTED"
	EntryAsked     EntryKind = "ASKED"
	EntryAnswered  EntryKind = "ANSWERED"
	EntryAmended   EntryKind = "AMENDED"
	EntryApproved  EntryKind = "APPROVED"
	EntryPublished EntryKind = "PUBLISHED"
	EntryRejected  EntryKind = "REJECTED"
	EntryWithdrawn EntryKind = "WITHDRAWN"
	EntryWarned    EntryKind = "WARNED"
	EntryBreached  EntryKind = "BREACHED"
	EntryMoved     EntryKind = "PROMISE_MOVED"
)

// EntryKinds lists them all.
var EntryKinds = []EntryKind{EntrySubmitted, EntryAssigned, EntryTaken, EntryAsked, EntryAnswered, EntryAmended, EntryApproved, EntryPublished,
	EntryRejected, EntryWithdrawn, EntryWarned, EntryBreached, EntryMoved}

// Entry is one line of a request's timeline.
type Entry struct {
	bun.BaseModel   `bun:"table:profile_update_entry,alias:entry"`
	ProfileUpdateID ident.ID  `bun:"profile_update_id,pk"`
	Number          int       `bun:"number,pk"`
	Kind            EntryKind `bun:"kind"`
	At              time.Time `bun:"at"`
	// Side is which party acted, ActorID and ActorName who of them; the names
	// of reviewers are the operator's own.
	Side      Side     `bun:"side"`
	ActorID   ident.ID `bun:"actor_id"`
	ActorName string   `bun:"actor_name"`
	// OperatorOnly hides the line from the provider.
	OperatorOnly bool   `bun:"operator_only"`
	Note         string `bun:"note"`
	// UntilAt is the date that the line promises.
	UntilAt *time.Time `bun:"until_at"`
}

// Month is one line of the report: what came of the promises that ended in it.
type Month struct {
	Month    string `bun:"month"`
	Met      int    `bun:"met"`
	Breached int    `bun:"breached"`
	// Median is the median of what was worked.
	Median time.Duration `bun:"median"`
}

// Limits.
const (
	// MaxLocations is how many locations a provider has, and a request changes.
	MaxLocations = 100
	// MaxText bounds questions, answers and reasons, in characters.
	MaxText = 2000
	// MaxQuestions is how often a request may be asked about.
	MaxQuestions = 20
	// MaxMonths is the longest report.
	MaxMonths = 36
)
