package graph

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/calendar"
	"github.com/channelgraph/channelgraph/internal/ident"
)

// holiday adds one on a date of its own.
func (w *world) holiday() ident.ID {
	w.t.Helper()
	h, _, err := w.Calendars.AddHoliday(w.t.Context(), w.as(w.operator), calendar.AddHolidayInput{Date: w.DB.Now().AddDate(0, 1, 0).Format(time.DateOnly), Name: "Holiday"})
	if err != nil {
		w.t.Fatal(err)
	}
	return h.ID
}

func TestCalendar(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	otto, rita, gina := w.as(w.operator), w.as(w.reviewer), w.as(w.nordwind.admin)
	year := w.DB.Now().Year() + 1
	const q = `{ calendar { timeZone workdays opens closes version updatedAt updatedBy { email }
		holidays { totalCount { value } nodes { id date name createdBy { email } createdAt } }
		lastMove { version promisesDone promisesTotal createdAt finishedAt operation { kind state } } } }`
	out := w.gql(gina, q).ok()
	if out.text("calendar.timeZone") != "UTC" || fmt.Sprint(out.at("calendar.workdays")) != "[MONDAY TUESDAY WEDNESDAY THURSDAY FRIDAY]" || out.text("calendar.opens") != "09:00" ||
		out.text("calendar.closes") != "17:00" || out.at("calendar.version") != 1.0 || out.at("calendar.updatedAt") != nil || out.at("calendar.lastMove") != nil {
		t.Fatal(out.Raw)
	}
	set := map[string]any{"timeZone": "Europe/Rome", "workdays": []string{"SUNDAY", "MONDAY"}, "opens": "08:30", "closes": "24:00", "expectedVersion": 1}
	out = w.done(otto, "setCalendar", "calendar { timeZone workdays opens closes version updatedBy { id } } operation { id kind state requestedBy { id } subject { id } }", set)
	if out.text("setCalendar.operation.kind") != "calendar.move_promises" || out.text("setCalendar.operation.requestedBy.id") != string(otto.UserID) ||
		fmt.Sprint(out.at("setCalendar.calendar.workdays")) != "[MONDAY SUNDAY]" || out.text("setCalendar.calendar.updatedBy.id") != string(otto.UserID) {
		t.Error(out.Raw)
	}
	w.refused(otto, "setCalendar", "calendar", "CONFLICT", "input.expectedVersion", set)
	delete(set, "expectedVersion")
	if out := w.done(otto, "setCalendar", "calendar { version } operation { id }", set); out.at("setCalendar.operation") != nil || out.at("setCalendar.calendar.version") != 2.0 {
		t.Error(out.Raw)
	}
	for path, c := range map[string]struct {
		code string
		v    any
	}{
		"timeZone": {"TIME_ZONE_UNKNOWN", "Local"}, "workdays": {"REQUIRED", []string{}}, "opens": {"TIME_INVALID", "8:30"}, "closes": {"CLOSES_BEFORE_OPENS", "08:30"},
	} {
		in := map[string]any{}
		for k, v := range set {
			in[k] = v
		}
		in[path] = c.v
		w.refused(otto, "setCalendar", "calendar", c.code, "input."+path, in)
	}

	date := fmt.Sprintf("%d-12-25", year)
	add := map[string]any{"date": date, "name": "Christmas Day", "idempotencyKey": "k"}
	out = w.done(otto, "addHoliday", "holiday { id date name createdBy { id } } operation { id state }", add)
	id := out.text("addHoliday.holiday.id")
	if again := w.done(otto, "addHoliday", "holiday { id date name createdBy { id } } operation { id state }", add); again.Raw != out.Raw {
		t.Error(again.Raw)
	}
	for path, c := range map[string]struct {
		code string
		in   map[string]any
	}{
		"input.date":           {"HOLIDAY_EXISTS", map[string]any{"date": date, "name": "Natale"}},
		"input.name":           {"REQUIRED", map[string]any{"date": date, "name": " "}},
		"input.idempotencyKey": {"IDEMPOTENCY_KEY_REUSED", map[string]any{"date": date, "name": "Natale", "idempotencyKey": "k"}},
	} {
		w.refused(otto, "addHoliday", "holiday", c.code, path, c.in)
	}
	for value, code := range map[string]string{"tomorrow": "DATE_INVALID", "1999-01-01": "DATE_OUT_OF_RANGE"} {
		w.refused(otto, "addHoliday", "holiday", code, "input.date", map[string]any{"date": value, "name": "x"})
	}
	for value, code := range map[string]string{strings.Repeat("x", 101): "TOO_LONG", "a\u202eb": "CONTROL_CHARACTERS", "www.example.com": "LINK_NOT_ALLOWED"} {
		w.refused(otto, "addHoliday", "holiday", code, "input.name", map[string]any{"date": date, "name": value})
	}
	w.refused(otto, "addHoliday", "holiday", "INVALID", "input.idempotencyKey", map[string]any{"date": date, "name": "x", "idempotencyKey": strings.Repeat("k", 129)})

	// Everybody reads the calendar; who did what and how much there is to move is the operator's own.
	if out := w.gql(rita, q).ok(); out.text("calendar.holidays.nodes.0.date") != date || out.text("calendar.updatedBy.email") != otto.Email || out.at("calendar.lastMove.version") != 3.0 ||
		out.at("calendar.lastMove.promisesDone") != 0.0 || out.at("calendar.lastMove.promisesTotal") != nil || out.text("calendar.lastMove.operation.state") != "PENDING" {
		t.Error(out.Raw)
	}
	if out := w.gql(gina, q).ok(); out.text("calendar.holidays.nodes.0.name") != "Christmas Day" || out.at("calendar.updatedBy") != nil || out.at("calendar.lastMove") != nil ||
		out.at("calendar.holidays.nodes.0.createdBy") != nil {
		t.Error(out.Raw)
	}
	if out := w.gql(gina, `query($d: String!) { calendar { holidays(first: 1, filter: {since: $d, until: "9999-01-01"}) { nodes { id } pageInfo { hasNextPage } } } }`, "d", date).ok(); out.text("calendar.holidays.nodes.0.id") != id {
		t.Error(out.Raw)
	}
	if out := w.gql(gina, `{ calendar { holidays(filter: {since: "soon"}) { nodes { id } } } }`).code("BAD_USER_INPUT"); out.Errors[0].Extensions["argument"] != "filter.since" || out.Errors[0].Extensions["reason"] != "DATE_INVALID" {
		t.Error(out.Raw)
	}
	w.gql(nobody, "{ calendar { timeZone } }").code("UNAUTHENTICATED")
	for _, who := range []string{`setCalendar(input: {timeZone: "UTC", workdays: [MONDAY], opens: "09:00", closes: "10:00"}) { calendar { version } }`,
		`addHoliday(input: {date: "2027-01-01", name: "x"}) { holiday { id } }`, `removeHoliday(input: {holidayId: "` + id + `"}) { calendar { version } }`} {
		w.gql(gina, "mutation { "+who+" }").code("FORBIDDEN")
		w.gql(rita, "mutation { "+who+" }").code("FORBIDDEN")
		w.gql(nobody, "mutation { "+who+" }").code("UNAUTHENTICATED")
	}

	out = w.done(otto, "removeHoliday", "calendar { version holidays { nodes { id } } } operation { kind }", map[string]any{"holidayId": id})
	if fmt.Sprint(out.at("removeHoliday.calendar.holidays.nodes")) != "[]" || out.at("removeHoliday.calendar.version") != 4.0 {
		t.Error(out.Raw)
	}
	w.refused(otto, "removeHoliday", "calendar", "NOT_FOUND", "input.holidayId", map[string]any{"holidayId": id})
	w.refused(otto, "addHoliday", "holiday", "NOT_FOUND", "", add)
}

func TestStatementsOfHolidays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	otto := w.as(w.operator)
	for i := range 40 {
		in := calendar.AddHolidayInput{Date: w.DB.Now().AddDate(0, 0, i).Format(time.DateOnly), Name: "Holiday"}
		if _, _, err := w.Calendars.AddHoliday(t.Context(), otto, in); err != nil {
			t.Fatal(err)
		}
	}
	before := w.DB.Queries()
	out := w.gql(otto, "{ calendar { updatedBy { email } lastMove { operation { state } } holidays(first: 40) { totalCount { value } nodes { id createdBy { email } } } } }").ok()
	// The calendar, its move with the operation, people, and the list with its count.
	if n := w.DB.Queries() - before; n > 6 || out.text("calendar.holidays.nodes.39.createdBy.email") != otto.Email {
		t.Errorf("%d statements for 40 rows", n)
	}
}
