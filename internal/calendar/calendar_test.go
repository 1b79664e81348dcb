package calendar

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/sla"
)

var now = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// problems are the paths and codes of an error, one after the other.
func problems(err error) string {
	f := fault.As(err)
	if f == nil {
		return fmt.Sprint(err)
	}
	var out []string
	for _, p := range f.Problems {
		out = append(out, strings.Join(p.Path[1:], ".")+" "+p.Code)
	}
	return strings.Join(out, ", ")
}

func TestSetInput(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*SetInput)
		want   string
	}{
		"valid":                 {func(*SetInput) {}, "<nil>"},
		"one day":               {func(in *SetInput) { in.Workdays = []Weekday{Sunday} }, "<nil>"},
		"a whole day":           {func(in *SetInput) { in.Opens, in.Closes = "00:00", "24:00" }, "<nil>"},
		"a minute":              {func(in *SetInput) { in.Opens, in.Closes = "23:59", "24:00" }, "<nil>"},
		"no zone":               {func(in *SetInput) { in.TimeZone = "" }, "timeZone TIME_ZONE_UNKNOWN"},
		"the machine's zone":    {func(in *SetInput) { in.TimeZone = "Local" }, "timeZone TIME_ZONE_UNKNOWN"},
		"unknown zone":          {func(in *SetInput) { in.TimeZone = "Europe/Atlantis" }, "timeZone TIME_ZONE_UNKNOWN"},
		"a path":                {func(in *SetInput) { in.TimeZone = "../../etc/passwd" }, "timeZone TIME_ZONE_UNKNOWN"},
		"no workday":            {func(in *SetInput) { in.Workdays = nil }, "workdays REQUIRED"},
		"no day that there is":  {func(in *SetInput) { in.Workdays = []Weekday{"FRYDAY"} }, "workdays REQUIRED"},
		"closes when it opens":  {func(in *SetInput) { in.Closes = in.Opens }, "closes CLOSES_BEFORE_OPENS"},
		"closes before opening": {func(in *SetInput) { in.Closes = "08:59" }, "closes CLOSES_BEFORE_OPENS"},
		"no time":               {func(in *SetInput) { in.Opens, in.Closes = "", "25:00" }, "opens TIME_INVALID, closes TIME_INVALID"},
		"other times":           {func(in *SetInput) { in.Opens, in.Closes = "9:00", "17:60" }, "opens TIME_INVALID, closes TIME_INVALID"},
		"after midnight":        {func(in *SetInput) { in.Closes = "24:01" }, "closes TIME_INVALID"},
		"all at once": {func(in *SetInput) { *in = SetInput{Opens: "12:00", Closes: "11:00"} },
			"timeZone TIME_ZONE_UNKNOWN, workdays REQUIRED, closes CLOSES_BEFORE_OPENS"},
	} {
		in := SetInput{TimeZone: "Europe/Rome", Workdays: []Weekday{Friday, Monday, Monday}, Opens: "09:00", Closes: "17:30"}
		c.change(&in)
		if got := problems(in.Validate()); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	in := SetInput{TimeZone: "Europe/Rome", Workdays: []Weekday{Sunday, Friday, Monday, Monday}, Opens: "09:05", Closes: "24:00"}
	if err := in.Validate(); err != nil || fmt.Sprint(in.Workdays) != "[MONDAY FRIDAY SUNDAY]" {
		t.Errorf("%v, %v", in.Workdays, err)
	}
	c := Calendar{OpensMinute: 545, ClosesMinute: 1440}
	if changed := in.apply(&c); fmt.Sprint(changed) != "[timeZone workdays]" || c.Opens() != "09:05" || c.Closes() != "24:00" || len(in.apply(&c)) != 0 {
		t.Errorf("changed %v: %+v", changed, c)
	}
}

func TestAddHolidayInput(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ date, name, want string }{
		"valid":              {"2026-12-25", "Natale", "<nil>"},
		"today":              {"2026-05-04", "Election day", "<nil>"},
		"a year back":        {"2025-05-05", "x", "<nil>"},
		"more than that":     {"2025-05-04", "x", "date DATE_OUT_OF_RANGE"},
		"ten years ahead":    {"2036-05-04", "x", "<nil>"},
		"more than those":    {"2036-05-05", "x", "date DATE_OUT_OF_RANGE"},
		"a day too many":     {"2026-02-29", "x", "date DATE_INVALID"},
		"a leap day":         {"2028-02-29", "x", "<nil>"},
		"another order":      {"25-12-2026", "x", "date DATE_INVALID"},
		"a moment":           {"2026-12-25T00:00:00Z", "x", "date DATE_INVALID"},
		"no date":            {"", "x", "date DATE_INVALID"},
		"no name":            {"2026-12-25", " ", "name REQUIRED"},
		"name of 100":        {"2026-12-25", strings.Repeat("ü", 100), "<nil>"},
		"name of 101":        {"2026-12-25", strings.Repeat("ü", 101), "name TOO_LONG"},
		"hidden characters":  {"2026-12-25", "Nat\u202eale", "name CONTROL_CHARACTERS"},
		"nothing that holds": {"soon", "", "date DATE_INVALID, name REQUIRED"},
	} {
		in := AddHolidayInput{Date: c.date, Name: c.name}
		if got := problems(in.Validate(now)); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestRules(t *testing.T) {
	t.Parallel()
	c := Calendar{Workdays: []Weekday{Sunday, Monday}, OpensMinute: 60, ClosesMinute: 90}
	got := c.rules(time.UTC, []string{"2026-12-25"})
	if !got.Workdays[time.Sunday] || !got.Workdays[time.Monday] || got.Workdays[time.Tuesday] || got.Workdays[time.Saturday] ||
		got.Opens != time.Hour || got.Closes != 90*time.Minute || !got.Holidays["2026-12-25"] {
		t.Errorf("%+v", got)
	}
	all := Calendar{Workdays: Weekdays, ClosesMinute: 1440}
	year := all.rules(time.UTC, nil)
	if year.Between(sla.WorkingHours, now, now.AddDate(0, 0, 9)) != 9*sla.Day {
		t.Error("nine days of 24 hours do not count whole")
	}
}
