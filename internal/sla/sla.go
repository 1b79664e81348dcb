// Package sla counts the time of promises: what passes on a working calendar,
// when a promised amount is used up, and clocks that pause while somebody else
// has to act.
//
// It owns the arithmetic alone. It never reads a clock and stores nothing; who
// has a calendar is internal/calendar, and who has a promise keeps its [Clock].
//
// Time is counted as it really passes. An instant counts where the local date
// and time that it has in the calendar's zone count; what is promised is an
// amount of such instants, and a [Day] is 24 hours of them. So a counted day
// on which the clocks change counts the 23 or 25 hours that it has, a promise
// of calendar days across such a change ends an hour later or earlier by the
// wall clock, and one of business days does not, where the clocks change on a
// weekend. In return nothing is lost or counted twice in any zone, also where
// an hour repeats around midnight or a whole date is left out:
//
//   - Between(a, b) + Between(b, c) = Between(a, c) for a ≤ b ≤ c;
//   - Between(a, Add(a, d)) = d, and no earlier moment has that;
//   - what a clock has spent is what passed outside its pauses.
package sla

import (
	"errors"
	"math"
	"regexp"
	"time"
	_ "time/tzdata" // zones are known in every process alike, also where the system has none
)

// Unit says which time counts.
type Unit string

// Units of promises.
const (
	// CalendarDays counts every day but holidays.
	CalendarDays Unit = "CALENDAR_DAYS"
	// BusinessDays counts workdays that are no holidays, from midnight to
	// midnight.
	BusinessDays Unit = "BUSINESS_DAYS"
	// WorkingHours counts the opening hours of business days.
	WorkingHours Unit = "WORKING_HOURS"
)

// Day is a day of CalendarDays and BusinessDays.
const Day = 24 * time.Hour

// Never is what [Calendar.Add] answers where the time is not reached: the
// calendar counts nothing, or not enough before this moment.
var Never = time.Date(9999, time.December, 31, 0, 0, 0, 0, time.UTC)

// Calendar says which local dates and times count.
type Calendar struct {
	Location *time.Location
	// Workdays are indexed by time.Weekday.
	Workdays [7]bool
	// Opens and Closes are times of the local day, between 0 and 24 hours, the
	// latter not included.
	Opens, Closes time.Duration
	// Holidays are local dates such as 2026-12-25.
	Holidays map[string]bool
}

// Standard is a calendar of Monday to Friday from 9 to 17 without holidays.
func Standard(zone *time.Location) *Calendar {
	c := &Calendar{Location: zone, Opens: 9 * time.Hour, Closes: 17 * time.Hour}
	for d := time.Monday; d <= time.Friday; d++ {
		c.Workdays[d] = true
	}
	return c
}

var zoneName = regexp.MustCompile(`^[A-Z][A-Za-z0-9_+-]{0,31}(/[A-Z][A-Za-z0-9_+-]{0,31}){0,2}$`)

// Zone is the time zone of an IANA name such as Europe/Rome. It knows neither
// the machine's own nor the variants that some systems keep beside.
func Zone(name string) (*time.Location, error) {
	if !zoneName.MatchString(name) || name == "Local" {
		return nil, errors.New("no time zone such as Europe/Rome")
	}
	return time.LoadLocation(name)
}

// Between is how much of the time from one moment until another counts; 0
// where the other is not later, and at most what a Duration holds.
func (c *Calendar) Between(u Unit, from, to time.Time) time.Duration {
	var sum time.Duration
	c.spans(u, from, to, func(start, end time.Time) bool {
		span := end.Sub(start)
		if sum > math.MaxInt64-span {
			sum = math.MaxInt64
			return false
		}
		sum += span
		return true
	})
	return sum
}

// Add is the earliest moment when so much has counted since another: for a d
// of 0 or less that moment itself, and Never where it is not reached.
func (c *Calendar) Add(u Unit, from time.Time, d time.Duration) time.Time {
	if d <= 0 {
		return from
	}
	if !c.counts(u) {
		return Never
	}
	at := Never
	c.spans(u, from, Never, func(start, end time.Time) bool {
		if span := end.Sub(start); span < d {
			d -= span
			return true
		}
		at = start.Add(d)
		return false
	})
	return at.In(from.Location())
}

// counts reports whether any time counts, however far away.
func (c *Calendar) counts(u Unit) bool {
	if u == CalendarDays {
		return true
	}
	if opens, closes := c.hours(u); opens >= closes {
		return false
	}
	return c.Workdays != [7]bool{}
}

// hours are the parts of a counted day that count.
func (c *Calendar) hours(u Unit) (from, to time.Duration) {
	if u == WorkingHours {
		return max(c.Opens, 0), min(c.Closes, Day)
	}
	return 0, Day
}

// spans yields the counted parts between two moments in order, until yield
// says that it has enough.
//
// It goes from one change of the zone's offset to the next. Between two of
// them the wall clock moves evenly, so that every local time is one moment.
func (c *Calendar) spans(u Unit, from, to time.Time, yield func(start, end time.Time) bool) {
	open, closed := c.hours(u)
	zone := c.Location
	if zone == nil {
		zone = time.UTC
	}
	for from.Before(to) {
		local := from.In(zone)
		_, offset := local.Zone()
		end := to
		if _, next := local.ZoneBounds(); !next.IsZero() && next.Before(to) {
			end = next
		}
		if !from.Before(end) { // package time gives leap years after 2037 365 days
			end = earlier(from.Add(Day), to)
		}
		shift := time.Duration(offset) * time.Second
		for day := floor(from.Unix()+int64(offset), 86400); ; day++ {
			midnight := time.Unix(day*86400, 0).Add(-shift)
			if !midnight.Before(end) {
				break
			}
			if !c.counted(u, day) {
				continue
			}
			start, stop := later(midnight.Add(open), from), earlier(midnight.Add(closed), end)
			if start.Before(stop) && !yield(start, stop) {
				return
			}
		}
		from = end
	}
}

// floor is a/b, rounded down.
func floor(a, b int64) int64 {
	if a < 0 {
		return -((-a + b - 1) / b)
	}
	return a / b
}

// counted reports whether a local date counts; day is its number, and that of
// 1970-01-01, a Thursday, is 0.
func (c *Calendar) counted(u Unit, day int64) bool {
	if n := day + int64(time.Thursday); u != CalendarDays && !c.Workdays[n-7*floor(n, 7)] {
		return false
	}
	if len(c.Holidays) == 0 {
		return true
	}
	var date [16]byte
	return !c.Holidays[string(time.Unix(day*86400, 0).UTC().AppendFormat(date[:0], time.DateOnly))]
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
