// Package calendar owns the operator's working calendar: time zone, workdays,
// hours and holidays, and the work that follows a change of it, namely moving
// what was promised on it. It never counts time, which is internal/sla, and
// never knows what was promised: concepts register how theirs is moved.
//
// Invariant: whoever makes a promise reads the calendar in the transaction
// that keeps it, and a change waits for those transactions; so every promise
// is made on the newest calendar or found by the job that follows the change.
package calendar

import (
	"fmt"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/sla"
)

// Weekday is a day of the week.
type Weekday string

// Days of the week.
const (
	Monday    Weekday = "MONDAY"
	Tuesday   Weekday = "TUESDAY"
	Wednesday Weekday = "WEDNESDAY"
	Thursday  Weekday = "THURSDAY"
	Friday    Weekday = "FRIDAY"
	Saturday  Weekday = "SATURDAY"
	Sunday    Weekday = "SUNDAY"
)

// Weekdays lists them from Monday on.
var Weekdays = []Weekday{Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday}

// Calendar is the operator's working calendar but for its holidays.
type Calendar struct {
	bun.BaseModel `bun:"table:calendar,alias:calendar"`
	ID            int `bun:"id,pk"`
	// TimeZone is an IANA name; "" in the row as long as nobody set one, and
	// then the setting's to readers.
	TimeZone string    `bun:"time_zone"`
	Workdays []Weekday `bun:"workdays,type:jsonb"`
	// OpensMinute and ClosesMinute are minutes of the local day, 0 to 1440.
	OpensMinute  int `bun:"opens_minute"`
	ClosesMinute int `bun:"closes_minute"`
	// Version counts the changes, those of holidays too.
	Version     int        `bun:"version"`
	UpdatedByID ident.ID   `bun:"updated_by_id"`
	UpdatedAt   *time.Time `bun:"updated_at"`
}

// Opens is when a workday begins, such as 09:00.
func (c *Calendar) Opens() string { return clock(c.OpensMinute) }

// Closes is when a workday ends, such as 17:00; 24:00 at the latest.
func (c *Calendar) Closes() string { return clock(c.ClosesMinute) }

func clock(minute int) string { return fmt.Sprintf("%02d:%02d", minute/60, minute%60) }

// rules is the calendar as promises are counted on it.
func (c *Calendar) rules(zone *time.Location, holidays []string) *sla.Calendar {
	out := &sla.Calendar{Location: zone, Opens: time.Duration(c.OpensMinute) * time.Minute, Closes: time.Duration(c.ClosesMinute) * time.Minute,
		Holidays: make(map[string]bool, len(holidays))}
	for i, day := range Weekdays {
		out.Workdays[(i+1)%7] = slices.Contains(c.Workdays, day)
	}
	for _, date := range holidays {
		out.Holidays[date] = true
	}
	return out
}

// Holiday is a day on which nothing counts.
type Holiday struct {
	bun.BaseModel `bun:"table:holiday,alias:holiday"`
	ID            ident.ID `bun:"id,pk"`
	// Date is a local date, such as 2026-12-25.
	Date        string    `bun:"date"`
	Name        string    `bun:"name"`
	CreatedByID ident.ID  `bun:"created_by_id"`
	CreatedAt   time.Time `bun:"created_at"`
}

// Move is how far the promises have followed one change of the calendar.
type Move struct {
	bun.BaseModel `bun:"table:calendar_move,alias:calendar_move"`
	// Version is the calendar's after the change.
	Version int      `bun:"version,pk"`
	JobID   ident.ID `bun:"job_id"`
	// Done names the movers that are through, Mover the one at work, and
	// CursorID the last row that it has looked at.
	Done     []string `bun:"done,type:jsonb"`
	Mover    string   `bun:"mover"`
	CursorID ident.ID `bun:"cursor_id"`
	// Moved counts the promises looked at so far; Total, those to look at, is
	// nil until they were counted and where a mover cannot count.
	Moved     int       `bun:"moved"`
	Total     *int      `bun:"total"`
	CreatedAt time.Time `bun:"created_at"`
	// FinishedAt is when all had followed, or a later change took over.
	FinishedAt *time.Time `bun:"finished_at"`
}

// pass moves on after a mover has looked at n rows until the last; through
// says that it is at its end.
func (m *Move) pass(last ident.ID, n int, through bool) {
	m.Moved += n
	m.CursorID = last
	if through {
		m.Done, m.Mover, m.CursorID = append(m.Done, m.Mover), "", ""
	}
}
