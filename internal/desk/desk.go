// Package desk owns the operator's desk: one line for each thing that the
// operator's people work on, whichever concept it belongs to, so that what is
// due next, mine, nobody's or late is one list. Concepts write their lines in
// their own transactions, with [Put] and [Close]. It never decides anything
// about what its lines stand for, and never knows a concept.
//
// Invariant: a line says what its subject said in the transaction that wrote
// both; a page of the list is one statement that an index answers, whatever
// the number of lines, and a searched one two.
package desk

import (
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/channelgraph/channelgraph/internal/address"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/page"
)

// Kind is what a line stands for.
type Kind string

// Kinds of work.
const (
	Enrollment     Kind = "ENROLLMENT"
	ProfileUpdate  Kind = "PROFILE_UPDATE"
	SupportRequest Kind = "SUPPORT_REQUEST"
	Termination    Kind = "TERMINATION"
)

// Kinds lists all kinds.
var Kinds = []Kind{Enrollment, ProfileUpdate, SupportRequest, Termination}

// State is whose turn it is.
type State string

// States of a line. Waiting is for the other side, Done is over.
const (
	Open    State = "OPEN"
	Waiting State = "WAITING"
	Done    State = "DONE"
)

// unfinished are the states of what is still worked on.
var unfinished = []State{Open, Waiting}

// Item is a line of the desk.
type Item struct {
	bun.BaseModel `bun:"table:desk_item,alias:desk"`
	// SubjectID is what the line stands for.
	SubjectID      ident.ID `bun:"subject_id,pk"`
	Kind           Kind     `bun:"kind"`
	OrganizationID ident.ID `bun:"organization_id"`
	// Company is whose matter it is, as people call it, and NameFolded that
	// name for comparison.
	Company    string `bun:"company"`
	NameFolded string `bun:"name_folded"`
	State      State  `bun:"state"`
	// AssigneeID is who works it, "" for nobody.
	AssigneeID ident.ID `bun:"assignee_id"`
	// TargetAt and DueAt are the promised dates; nil where nothing is promised,
	// or the promise stands still.
	TargetAt *time.Time `bun:"target_at"`
	DueAt    *time.Time `bun:"due_at"`
	// QueueAt is the line's place in the order of what is due next.
	QueueAt  time.Time  `bun:"queue_at"`
	OpenedAt time.Time  `bun:"opened_at"`
	ClosedAt *time.Time `bun:"closed_at"`
	// Version counts the writes of the line.
	Version   int       `bun:"version"`
	UpdatedAt time.Time `bun:"updated_at"`
}

// far is how much later than its beginning a line without a date stands, what
// waits for the other side twice, and what is done three times.
const far = 80 * 365 * 24 * time.Hour

// place is where the line stands in the order of what is due next: by its
// date, also a broken one that stands still; what has none follows, the oldest
// first.
func (i *Item) place(now time.Time) time.Time {
	switch {
	case i.State == Done:
		return i.OpenedAt.Add(3 * far)
	case i.DueAt != nil && (i.State == Open || !i.DueAt.After(now)):
		return *i.DueAt
	case i.State == Waiting:
		return i.OpenedAt.Add(2 * far)
	}
	return i.OpenedAt.Add(far)
}

// Breached reports whether the promised date has passed and the work is not
// done.
func (i *Item) Breached(now time.Time) bool { return i.State != Done && !i.QueueAt.After(now) }

// Assigned says whose lines are meant.
type Assigned string

// Whose lines.
const (
	ToMe     Assigned = "ME"
	ToNobody Assigned = "NOBODY"
)

// Filter narrows the desk.
type Filter struct {
	Kind []Kind
	// State is by default all that is not done.
	State      []State
	Assigned   *Assigned
	AssigneeID *ident.ID
	// Breached asks for what is late, or what is not.
	Breached *bool
	// OrganizationID is whose matter it is.
	OrganizationID *ident.ID
	// Search matches the beginning of the company's name.
	Search *string
}

// maxSearch bounds what is searched for, in characters.
const maxSearch = 100

func (f Filter) validate() error {
	if f.Search == nil {
		return nil
	}
	var p fault.Problems
	_, err := address.Line(*f.Search, maxSearch)
	_ = p.Merge("filter.search", err)
	return p.Err()
}

// states are those that are asked for.
func (f Filter) states() []State {
	if len(f.State) == 0 {
		return unfinished
	}
	return f.State
}

func (f Filter) kinds() []Kind {
	if len(f.Kind) == 0 {
		return Kinds
	}
	return f.Kind
}

// search is the folded text that names begin with, "" without one.
func (f Filter) search() string {
	if f.Search == nil {
		return ""
	}
	return address.Fold(strings.TrimSpace(*f.Search))
}

// OrderField is what the desk is sorted by.
type OrderField string

// Orderings of the desk.
const (
	ByDue    OrderField = "DUE_AT"
	ByOpened OrderField = "OPENED_AT"
	ByName   OrderField = "NAME"
)

// Order is the ordering of the desk; what is due next first unless given.
type Order struct {
	Field     OrderField
	Direction page.Direction
}

func (o *Order) resolve() page.Order {
	out := page.Order{Name: string(ByDue), Column: "desk.queue_at", Sort: page.SortTime}
	if o == nil {
		return out
	}
	switch o.Field {
	case ByOpened:
		out = page.Order{Name: string(ByOpened), Column: "desk.opened_at", Sort: page.SortTime}
	case ByName:
		out = page.Order{Name: string(ByName), Column: "desk.name_folded", Sort: page.SortText}
	}
	out.Direction = o.Direction
	return out
}

// Tally counts the work of one kind, or of all.
type Tally struct {
	// Kind is "" for all.
	Kind Kind
	// Open is the operator's turn, Waiting the other side's.
	Open, Waiting *page.Count
	// Mine and Unassigned count what is not done.
	Mine, Unassigned *page.Count
	// Breached counts what is late.
	Breached *page.Count
}

// Counts are how much there is on the desk.
type Counts struct {
	All    *Tally
	ByKind []*Tally
}
