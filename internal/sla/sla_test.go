package sla

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// zones change their clocks in every way there is: at night, around midnight
// to both sides (Havana, Sao_Paulo, St_Johns at 00:01), by half an hour
// (Lord_Howe), on workdays (Cairo, Casablanca), never; Apia left out a date.
var zones = []string{"UTC", "Europe/Rome", "America/New_York", "America/St_Johns", "America/Havana", "America/Sao_Paulo", "Australia/Lord_Howe",
	"Pacific/Apia", "Africa/Cairo", "Africa/Casablanca", "Asia/Kathmandu", "Pacific/Chatham", "Asia/Beirut"}

var units = []Unit{CalendarDays, BusinessDays, WorkingHours}

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	z, err := Zone(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

var zoneOf = map[string]*time.Location{}

func init() {
	for _, name := range zones {
		z, err := Zone(name)
		if err != nil {
			panic(err)
		}
		zoneOf[name] = z
	}
}

// first and last bound the moments drawn; the zones above all changed their
// clocks within, and by whole minutes.
var first, last = time.Date(2005, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2032, 1, 1, 0, 0, 0, 0, time.UTC)

// moments draws moments, half of them close to a change of the clocks.
func moments(z *time.Location) *rapid.Generator[time.Time] {
	return rapid.Custom(func(t *rapid.T) time.Time {
		at := first.Add(time.Duration(rapid.Int64Range(0, int64(last.Sub(first)/time.Microsecond)).Draw(t, "µs")) * time.Microsecond)
		if _, next := at.In(z).ZoneBounds(); rapid.Bool().Draw(t, "near a change") && !next.IsZero() && next.Before(last) {
			at = next.Add(time.Duration(rapid.Int64Range(-int64(36*time.Hour), int64(36*time.Hour)).Draw(t, "off")).Truncate(time.Microsecond))
		}
		return at
	})
}

func calendars() *rapid.Generator[*Calendar] {
	return rapid.Custom(func(t *rapid.T) *Calendar {
		z := zoneOf[rapid.SampledFrom(zones).Draw(t, "zone")]
		c := &Calendar{Location: z, Holidays: map[string]bool{}}
		for i := range c.Workdays {
			c.Workdays[i] = rapid.Bool().Draw(t, "workday")
		}
		c.Workdays[rapid.IntRange(0, 6).Draw(t, "one workday at least")] = true
		open := rapid.IntRange(0, 24*4-1).Draw(t, "opens")
		c.Opens = time.Duration(open) * 15 * time.Minute
		c.Closes = time.Duration(rapid.IntRange(open+1, 24*4).Draw(t, "closes")) * 15 * time.Minute
		near := moments(z).Draw(t, "season")
		for range rapid.IntRange(0, 8).Draw(t, "holidays") {
			c.Holidays[near.In(z).AddDate(0, 0, rapid.IntRange(-20, 60).Draw(t, "day")).Format(time.DateOnly)] = true
		}
		return c
	})
}

func amounts() *rapid.Generator[time.Duration] {
	return rapid.Custom(func(t *rapid.T) time.Duration {
		return time.Duration(rapid.Int64Range(0, int64(40*Day/time.Microsecond)).Draw(t, "amount")) * time.Microsecond
	})
}

// slow counts what Between does, minute by minute by its definition.
func slow(c *Calendar, u Unit, from, to time.Time) (sum time.Duration) {
	for at := from; at.Before(to); at = at.Add(time.Minute) {
		local := at.In(c.Location)
		ofDay := time.Duration(local.Hour())*time.Hour + time.Duration(local.Minute())*time.Minute
		switch {
		case c.Holidays[local.Format(time.DateOnly)]:
		case u != CalendarDays && !c.Workdays[local.Weekday()]:
		case u == WorkingHours && (ofDay < c.Opens || ofDay >= c.Closes):
		default:
			sum += time.Minute
		}
	}
	return sum
}

// What counts is what the wall clock of the zone says, minute by minute.
func TestBetweenByItsDefinition(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c, u := calendars().Draw(t, "calendar"), rapid.SampledFrom(units).Draw(t, "unit")
		from := moments(c.Location).Draw(t, "from").Truncate(time.Minute)
		to := from.Add(time.Duration(rapid.IntRange(0, 6*24*60).Draw(t, "minutes")) * time.Minute)
		if got, want := c.Between(u, from, to), slow(c, u, from, to); got != want {
			t.Fatalf("%s in %s from %s to %s is %s, want %s", u, c.Location, from, to, got, want)
		}
	})
}

func TestBetweenAddsUp(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c, u := calendars().Draw(t, "calendar"), rapid.SampledFrom(units).Draw(t, "unit")
		var at []time.Time
		for range 3 {
			at = append(at, moments(c.Location).Draw(t, "moment"))
		}
		slices.SortFunc(at, time.Time.Compare)
		ab, bc, ac := c.Between(u, at[0], at[1]), c.Between(u, at[1], at[2]), c.Between(u, at[0], at[2])
		if ab+bc != ac {
			t.Fatalf("%s + %s is not %s", ab, bc, ac)
		}
		if ab < 0 || ab > at[1].Sub(at[0]) {
			t.Fatalf("%s counted of %s", ab, at[1].Sub(at[0]))
		}
		if back := c.Between(u, at[1], at[0]); back != 0 {
			t.Fatalf("%s counted backwards", back)
		}
	})
}

func TestAddIsTheInverse(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c, u := calendars().Draw(t, "calendar"), rapid.SampledFrom(units).Draw(t, "unit")
		from, d := moments(c.Location).Draw(t, "from"), amounts().Draw(t, "d")
		to := c.Add(u, from, d)
		if got := c.Between(u, from, to); got != d {
			t.Fatalf("%s + %s is %s, until which %s counts", from, d, to, got)
		}
		if before := to.Add(-time.Nanosecond); d > 0 && c.Between(u, from, before) != d-time.Nanosecond {
			t.Fatalf("%s is not the earliest", to)
		}
		e := amounts().Draw(t, "e")
		if after := c.Add(u, to, e); !after.Equal(c.Add(u, from, d+e)) {
			t.Fatalf("%s and %s added one by one make %s", d, e, after)
		}
		if e > d && c.Add(u, from, e).Before(to) {
			t.Fatal("more time ends earlier")
		}
		if later := from.Add(e); c.Add(u, later, d).Before(to) {
			t.Fatal("who starts later ends earlier")
		}
	})
}

func TestAHolidayAddedLater(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c, u := calendars().Draw(t, "calendar"), rapid.SampledFrom(units).Draw(t, "unit")
		from, d := moments(c.Location).Draw(t, "from"), amounts().Draw(t, "d")
		due := c.Add(u, from, d)
		day := from.Add(time.Duration(rapid.Int64Range(0, int64(60*Day)).Draw(t, "within"))).In(c.Location).Format(time.DateOnly)
		more := *c
		more.Holidays = map[string]bool{day: true}
		for h := range c.Holidays {
			more.Holidays[h] = true
		}
		moved := more.Add(u, from, d)
		if moved.Before(due) {
			t.Fatalf("the holiday %s moved %s forward to %s", day, due, moved)
		}
		// What the holiday takes within the promise is what it costs after.
		if lost := c.Between(u, from, moved) - d; lost != c.Between(u, from, moved)-more.Between(u, from, moved) || lost < 0 {
			t.Fatalf("%s lost", lost)
		}
		if lost := c.Between(u, from, due) - more.Between(u, from, due); more.Between(u, due, moved) != lost {
			t.Fatalf("the holiday took %s, and %s was given", lost, more.Between(u, due, moved))
		}
	})
}

// The figures that people would name.
func TestExamples(t *testing.T) {
	t.Parallel()
	rome, york, apia, kabul := zone(t, "Europe/Rome"), zone(t, "America/New_York"), zone(t, "Pacific/Apia"), zone(t, "Asia/Kabul")
	with := func(z *time.Location, holidays ...string) *Calendar {
		c := Standard(z)
		c.Holidays = map[string]bool{}
		for _, h := range holidays {
			c.Holidays[h] = true
		}
		return c
	}
	sunday := with(kabul)
	sunday.Workdays = [7]bool{true, true, true, true, true, false, false} // Sunday to Thursday
	nights := with(rome)
	nights.Workdays, nights.Opens, nights.Closes = [7]bool{true, true, true, true, true, true, true}, time.Hour, 5*time.Hour
	for name, c := range map[string]struct {
		calendar *Calendar
		unit     Unit
		from     string
		d        time.Duration
		want     string
	}{
		"five business days are a week":           {with(rome), BusinessDays, "2026-05-04 10:00", 5 * Day, "2026-05-11 10:00"},
		"the same over the change to summer":      {with(rome), BusinessDays, "2026-03-25 10:00", 5 * Day, "2026-04-01 10:00"},
		"the same over the change to winter":      {with(york), BusinessDays, "2026-10-28 10:00", 5 * Day, "2026-11-04 10:00"},
		"from Saturday on":                        {with(rome), BusinessDays, "2026-05-09 15:00", Day, "2026-05-12 00:00"},
		"the end of Friday is not Monday":         {with(rome), BusinessDays, "2026-05-08 00:00", Day, "2026-05-09 00:00"},
		"over Christmas":                          {with(rome, "2026-12-25", "2026-12-26"), BusinessDays, "2026-12-23 09:00", 3 * Day, "2026-12-29 09:00"},
		"a holiday on a weekend costs nothing":    {with(rome, "2026-05-09"), BusinessDays, "2026-05-04 10:00", 5 * Day, "2026-05-11 10:00"},
		"a week that begins on Sunday":            {sunday, BusinessDays, "2026-05-07 12:00", Day, "2026-05-10 12:00"},
		"14 days":                                 {with(rome), CalendarDays, "2026-05-04 10:00", 14 * Day, "2026-05-18 10:00"},
		"14 days with a holiday":                  {with(rome, "2026-05-10"), CalendarDays, "2026-05-04 10:00", 14 * Day, "2026-05-19 10:00"},
		"14 days with an hour left out":           {with(rome), CalendarDays, "2026-03-20 10:00", 14 * Day, "2026-04-03 11:00"},
		"14 days with an hour twice":              {with(rome), CalendarDays, "2026-10-20 10:00", 14 * Day, "2026-11-03 09:00"},
		"a day in a place that left one out":      {with(apia), CalendarDays, "2011-12-29 12:00", Day, "2011-12-31 12:00"},
		"two working hours":                       {with(rome), WorkingHours, "2026-05-04 10:00", 2 * time.Hour, "2026-05-04 12:00"},
		"two working hours at closing":            {with(rome), WorkingHours, "2026-05-04 16:00", 2 * time.Hour, "2026-05-05 10:00"},
		"eight working hours at night":            {with(rome), WorkingHours, "2026-05-04 03:00", 8 * time.Hour, "2026-05-04 17:00"},
		"eight working hours over a long weekend": {with(rome, "2026-05-11"), WorkingHours, "2026-05-08 13:00", 8 * time.Hour, "2026-05-12 13:00"},
		"hours of which one is left out":          {nights, WorkingHours, "2026-03-29 01:00", 4 * time.Hour, "2026-03-30 02:00"},
		"hours of which one comes twice":          {nights, WorkingHours, "2026-10-25 01:00", 4 * time.Hour, "2026-10-25 04:00"},
		"nothing":                                 {with(rome), WorkingHours, "2026-05-09 03:00", 0, "2026-05-09 03:00"},
		"less than nothing":                       {with(rome), WorkingHours, "2026-05-09 03:00", -Day, "2026-05-09 03:00"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from, err := time.ParseInLocation("2006-01-02 15:04", c.from, c.calendar.Location)
			if err != nil {
				t.Fatal(err)
			}
			if got := c.calendar.Add(c.unit, from, c.d).In(c.calendar.Location).Format("2006-01-02 15:04"); got != c.want {
				t.Errorf("%s + %s is %s, want %s", c.from, c.d, got, c.want)
			}
		})
	}
}

// Rules that no person would make end all the same.
func TestACalendarThatCountsNothing(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 5, 4, 10, 0, 0, 0, time.UTC)
	shut := Standard(time.UTC)
	shut.Opens, shut.Closes = 17*time.Hour, 9*time.Hour
	for name, c := range map[string]*Calendar{"no workday": {Location: time.UTC, Closes: Day}, "closed before opening": shut} {
		if got := c.Add(WorkingHours, at, time.Nanosecond); !got.Equal(Never) {
			t.Errorf("%s: %s", name, got)
		}
		if got := c.Between(WorkingHours, at, at.AddDate(1, 0, 0)); got != 0 {
			t.Errorf("%s: %s", name, got)
		}
	}
	if got := (&Calendar{}).Add(CalendarDays, at, Day); !got.Equal(at.Add(Day)) {
		t.Errorf("without a zone: %s", got)
	}
	rare := &Calendar{Location: time.UTC, Closes: time.Second}
	rare.Workdays[time.Monday] = true
	if got := rare.Add(WorkingHours, at, math.MaxInt64); !got.Equal(Never) {
		t.Errorf("more than there is: %s", got)
	}
	if got := Standard(time.UTC).Between(CalendarDays, time.Time{}, at); got != math.MaxInt64 {
		t.Errorf("since ever: %s", got)
	}
}

func TestZone(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"UTC", "Etc/GMT+3", "America/Argentina/Buenos_Aires", "GMT0", "EST5EDT"} {
		if z, err := Zone(name); err != nil || z.String() != name {
			t.Errorf("%s: %v, %v", name, z, err)
		}
	}
	for _, name := range []string{"", "Local", "local", "Mars/Olympus", "europe/rome", "posixrules", "right/Europe/Rome", "../UTC", "Europe/../UTC", "/UTC", "Europe/", "+02:00", "UTC\n"} {
		if z, err := Zone(name); err == nil {
			t.Errorf("%q is %s", name, z)
		}
	}
}

// course is a clock with the pauses that it had, told apart from its runs.
type course struct {
	clock  Clock
	pauses [][2]time.Time // the last may be open: its end is zero
	now    time.Time
}

func courses(c *Calendar) *rapid.Generator[*course] {
	return rapid.Custom(func(t *rapid.T) *course {
		start := moments(c.Location).Draw(t, "start")
		due := amounts().Draw(t, "due")
		k := Start(rapid.SampledFrom(units).Draw(t, "unit"), due*3/5, due, start)
		x := &course{clock: k, now: start}
		for range rapid.IntRange(0, 8).Draw(t, "acts") {
			x.now = x.now.Add(time.Duration(rapid.Int64Range(0, int64(6*Day/time.Microsecond)).Draw(t, "wait")) * time.Microsecond)
			open := len(x.pauses) > 0 && x.pauses[len(x.pauses)-1][1].IsZero()
			if rapid.Bool().Draw(t, "pause") {
				x.clock.Pause(x.now)
				if !open {
					x.pauses = append(x.pauses, [2]time.Time{x.now})
				}
			} else {
				x.clock.Resume(x.now)
				if open {
					x.pauses[len(x.pauses)-1][1] = x.now
				}
			}
		}
		x.now = x.now.Add(time.Duration(rapid.Int64Range(0, int64(20*Day/time.Microsecond)).Draw(t, "rest")) * time.Microsecond)
		return x
	})
}

// owed is what counted from the start until now, less the pauses.
func (x *course) owed(c *Calendar) time.Duration {
	sum := c.Between(x.clock.Unit, x.clock.Runs[0].From, x.now)
	for _, p := range x.pauses {
		end := p[1]
		if end.IsZero() {
			end = x.now
		}
		sum -= c.Between(x.clock.Unit, p[0], end)
	}
	return sum
}

// The last day of a leap year after 2037 has an end, whatever package time says
// of its zone.
func TestTheLastDayOfALeapYear(t *testing.T) {
	t.Parallel()
	for name, z := range zoneOf {
		c := Standard(z)
		from := time.Date(2040, 12, 30, 12, 0, 0, 0, z) // a Sunday
		if at, want := c.Add(BusinessDays, from, 3*Day), time.Date(2041, 1, 3, 0, 0, 0, 0, z); !at.Equal(want) {
			t.Errorf("%s: three days end at %s, not %s", name, at, want)
		}
		if got := c.Between(CalendarDays, from, from.AddDate(0, 0, 3)); got != 3*Day {
			t.Errorf("%s: three days are %s", name, got)
		}
	}
}

// Time owed is time elapsed outside pauses, always: in every zone, across
// changes of the clocks, with holidays added after the fact.
func TestSpentIsWhatPassedOutsidePauses(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := calendars().Draw(t, "calendar")
		x := courses(c).Draw(t, "course")
		if got, want := x.clock.Spent(c, x.now), x.owed(c); got != want {
			t.Fatalf("spent %s, want %s", got, want)
		}
		for range rapid.IntRange(1, 3).Draw(t, "holidays added") {
			day := x.clock.Runs[0].From.Add(time.Duration(rapid.Int64Range(0, int64(50*Day)).Draw(t, "within")))
			c.Holidays[day.In(c.Location).Format(time.DateOnly)] = true
		}
		if got, want := x.clock.Spent(c, x.now), x.owed(c); got != want {
			t.Fatalf("with the holidays spent %s, want %s", got, want)
		}
		raw, err := json.Marshal(x.clock)
		if err != nil {
			t.Fatal(err)
		}
		var kept Clock
		if err := json.Unmarshal(raw, &kept); err != nil || kept.Spent(c, x.now) != x.clock.Spent(c, x.now) {
			t.Fatalf("kept as %s it spent %s: %v", raw, kept.Spent(c, x.now), err)
		}
	})
}

func TestAtIsWhenItIsSpent(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := calendars().Draw(t, "calendar")
		x := courses(c).Draw(t, "course")
		k, amount := x.clock, amounts().Draw(t, "amount")
		at, settled := k.At(c, amount, x.now)
		spent := k.Spent(c, x.now)
		switch {
		case spent >= amount && !settled:
			t.Fatalf("%s is spent of %s, and not when", spent, amount)
		case spent < amount && settled == k.Paused():
			t.Fatalf("settled %t, paused %t", settled, k.Paused())
		case settled && k.Spent(c, at) != amount && at.After(x.now):
			t.Fatalf("%s is spent at %s, want %s", k.Spent(c, at), at, amount)
		case settled && spent > amount && at.After(x.now), settled && spent < amount && at.Before(x.now):
			t.Fatalf("%s of %s are spent, and the rest at %s", spent, amount, at)
		case !settled: // as if it went on now
			on := k
			on.Resume(x.now)
			if then, ok := on.At(c, amount, x.now); !ok || !then.Equal(at) || !k.Paused() {
				t.Fatalf("told %s, came out %s", at, then)
			}
		}
		if state := k.State(c, x.now); (state == Breached) != (spent >= k.Due) || (state == OnTrack) != (spent < k.Target) {
			t.Fatalf("%s with %s of %s spent", state, spent, k.Due)
		}
		if more := k.Spent(c, x.now.Add(time.Hour)); more < spent || k.Paused() && more != spent {
			t.Fatalf("%s an hour after %s", more, spent)
		}
	})
}

// A pause moves what is due by as much as counts from its beginning to its end.
func TestAPauseMovesTheDueDate(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := calendars().Draw(t, "calendar")
		u, start, due := rapid.SampledFrom(units).Draw(t, "unit"), moments(c.Location).Draw(t, "start"), amounts().Draw(t, "due")
		k := Start(u, due, due, start)
		at, _ := k.At(c, due, start)
		from := start.Add(time.Duration(rapid.Int64Range(0, max(0, int64(at.Sub(start)-1))).Draw(t, "from")))
		to := from.Add(time.Duration(rapid.Int64Range(0, int64(30*Day)).Draw(t, "for")))
		left := due - k.Spent(c, from)
		k.Pause(from)
		k.Resume(to)
		moved, ok := k.At(c, due, to)
		if !ok || left > 0 && !moved.Equal(c.Add(u, to, left)) {
			t.Fatalf("%s left at %s is due at %s", left, to, moved)
		}
		if left > 0 && c.Between(u, at, moved) != c.Between(u, from, to) {
			t.Fatalf("paused for %s, moved by %s", c.Between(u, from, to), c.Between(u, at, moved))
		}
	})
}

func TestClock(t *testing.T) {
	t.Parallel()
	c := Standard(zone(t, "Europe/Rome"))
	day := func(d int) time.Time { return time.Date(2026, 5, d, 10, 0, 0, 0, time.UTC) } // the 4th is a Monday
	k := Start(BusinessDays, 3*Day, 5*Day, day(4))
	want := func(at time.Time, spent time.Duration, s State) {
		t.Helper()
		if got := k.Spent(c, at); got != spent || k.State(c, at) != s {
			t.Errorf("%s: %s spent, %s; want %s, %s", at, got, k.State(c, at), spent, s)
		}
	}
	want(day(4), 0, OnTrack)
	want(day(7).Add(-time.Nanosecond), 3*Day-time.Nanosecond, OnTrack)
	want(day(7), 3*Day, AtRisk)
	copied := k
	k.Pause(day(7))
	k.Pause(day(8)) // changes nothing
	if !k.Paused() || copied.Paused() || len(copied.Runs) != 1 || copied.Runs[0].To != nil {
		t.Errorf("paused %v, the copy %v", k, copied)
	}
	want(day(20), 3*Day, AtRisk)
	if at, ok := k.At(c, 3*Day, day(20)); !ok || !at.Equal(day(7)) {
		t.Errorf("the target was reached at %s, %t", at, ok)
	}
	if at, ok := k.At(c, 5*Day, day(20)); ok || !at.Equal(day(22)) {
		t.Errorf("paused, it would be due at %s, %t", at, ok)
	}
	k.Resume(day(6)) // by a clock that is behind
	if from := k.Runs[1].From; !from.Equal(day(7)) {
		t.Errorf("went on at %s", from)
	}
	k.Resume(day(20))
	met, late := k, k
	met.End(day(11).Add(-time.Second))
	late.End(day(12))
	if s := met.State(c, day(30)); s != Met || met.Paused() {
		t.Errorf("ended in time: %s", s)
	}
	met.Resume(day(30))
	met.Pause(day(30))
	if len(met.Runs) != 2 || met.State(c, day(30)) != Met {
		t.Errorf("went on after its end: %v", met)
	}
	if at, ok := met.At(c, 5*Day, day(30)); ok || !at.IsZero() {
		t.Errorf("due at %s after its end", at)
	}
	if s := late.State(c, day(30)); s != Breached {
		t.Errorf("ended late: %s", s)
	}
	want(day(11), 5*Day, Breached)
	k.Pause(day(1)) // by a clock that is far behind: it did not run at all
	if got := k.Spent(c, day(30)); got != 3*Day {
		t.Errorf("%s spent", got)
	}
	if k = (Clock{Unit: CalendarDays, Due: Day}); !k.Paused() {
		t.Error("a clock that was never started runs")
	}
	k.Resume(day(4))
	want(day(5), Day, Breached)
}

func BenchmarkState(b *testing.B) {
	c := Standard(zone(b, "Europe/Rome"))
	c.Holidays = map[string]bool{"2026-05-01": true}
	start := time.Date(2026, 4, 20, 10, 0, 0, 0, time.UTC)
	k := Start(CalendarDays, 14*Day, 21*Day, start)
	for b.Loop() {
		if k.State(c, start.Add(20*Day)) != AtRisk {
			b.Fatal("not at risk")
		}
	}
}

func ExampleClock() {
	c := Standard(time.UTC)
	monday := time.Date(2026, time.May, 4, 10, 0, 0, 0, time.UTC)
	k := Start(BusinessDays, 3*Day, 5*Day, monday)
	due, _ := k.At(c, k.Due, monday)
	fmt.Println(due.Format(time.RFC1123))
	c.Holidays = map[string]bool{"2026-05-07": true}
	due, _ = k.At(c, k.Due, monday)
	fmt.Println(due.Format(time.RFC1123))
	// Output:
	// Mon, 11 May 2026 10:00:00 UTC
	// Tue, 12 May 2026 10:00:00 UTC
}
