package calendar

import (
	"slices"
	"time"

	"github.com/channelgraph/channelgraph/internal/address"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/sla"
)

// Codes of a calendar's inputs.
const (
	CodeZoneUnknown        = "TIME_ZONE_UNKNOWN"
	CodeTimeInvalid        = "TIME_INVALID"
	CodeClosesBeforeOpens  = "CLOSES_BEFORE_OPENS"
	CodeDateInvalid        = "DATE_INVALID"
	CodeDateOutOfRange     = "DATE_OUT_OF_RANGE"
	CodeHolidayExists      = "HOLIDAY_EXISTS"
	maxHolidayName         = 100
	yearsBack, yearsBeyond = 1, 10
)

// SetInput says when the operator works.
type SetInput struct {
	// TimeZone is an IANA name, such as Europe/Rome.
	TimeZone string
	Workdays []Weekday
	// Opens and Closes are local times, such as 09:00; 24:00 ends a day.
	Opens           string
	Closes          string
	ExpectedVersion *int
}

// Validate checks the input and returns all problems together; it puts the
// workdays in order.
func (in *SetInput) Validate() error {
	var p fault.Problems
	if _, err := sla.Zone(in.TimeZone); err != nil {
		p.Add("timeZone", CodeZoneUnknown)
	}
	var days []Weekday
	for _, d := range Weekdays {
		if slices.Contains(in.Workdays, d) {
			days = append(days, d)
		}
	}
	if len(days) == 0 {
		p.Add("workdays", fault.CodeRequired)
	}
	in.Workdays = days
	opens, okOpens := minute(in.Opens)
	if !okOpens {
		p.Add("opens", CodeTimeInvalid)
	}
	closes, okCloses := minute(in.Closes)
	switch {
	case !okCloses:
		p.Add("closes", CodeTimeInvalid)
	case okOpens && closes <= opens:
		p.Add("closes", CodeClosesBeforeOpens)
	}
	return p.Err()
}

// apply changes the calendar and names the fields that differ.
func (in *SetInput) apply(c *Calendar) (changed []string) {
	opens, _ := minute(in.Opens)
	closes, _ := minute(in.Closes)
	for name, differs := range map[string]bool{"timeZone": c.TimeZone != in.TimeZone, "workdays": !slices.Equal(c.Workdays, in.Workdays),
		"opens": c.OpensMinute != opens, "closes": c.ClosesMinute != closes} {
		if differs {
			changed = append(changed, name)
		}
	}
	slices.Sort(changed)
	c.TimeZone, c.Workdays, c.OpensMinute, c.ClosesMinute = in.TimeZone, in.Workdays, opens, closes
	return changed
}

// minute reads a time of day, 00:00 to 24:00.
func minute(s string) (int, bool) {
	if s == "24:00" {
		return 24 * 60, true
	}
	t, err := time.Parse("15:04", s)
	return t.Hour()*60 + t.Minute(), err == nil && len(s) == len("15:04")
}

// AddHolidayInput adds a day on which nothing counts.
type AddHolidayInput struct {
	// Date is a local date, such as 2026-12-25.
	Date           string
	Name           string
	IdempotencyKey *string
}

// Validate checks the input and returns all problems together; now bounds the
// date: the last year, since a holiday may be announced late, to ten years on.
func (in *AddHolidayInput) Validate(now time.Time) error {
	var p fault.Problems
	switch d, ok := date(in.Date); {
	case !ok:
		p.Add("date", CodeDateInvalid)
	case d.Before(now.AddDate(-yearsBack, 0, 0)) || d.After(now.AddDate(yearsBeyond, 0, 0)):
		p.Add("date", CodeDateOutOfRange)
	}
	name, err := address.Name(in.Name, maxHolidayName)
	_ = p.Merge("name", err)
	in.Name = name
	return p.Err()
}

func date(s string) (time.Time, bool) {
	t, err := time.Parse(time.DateOnly, s)
	return t, err == nil
}

// RemoveHolidayInput makes a holiday a day like others.
type RemoveHolidayInput struct {
	HolidayID ident.ID
}

// HolidayFilter narrows a list of holidays.
type HolidayFilter struct {
	// Since is the first date, Until the first one beyond.
	Since *string
	Until *string
}

func (f HolidayFilter) validate() error {
	var p fault.Problems
	for path, s := range map[string]*string{"filter.since": f.Since, "filter.until": f.Until} {
		if s == nil {
			continue
		}
		if _, ok := date(*s); !ok {
			p.Add(path, CodeDateInvalid)
		}
	}
	return p.Err()
}
