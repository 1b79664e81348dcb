package invitation

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// Every state × every verb: where it leads, "" where it may not start.
func TestTransitions(t *testing.T) {
	t.Parallel()
	want := map[Status]map[Verb]Status{
		Queued: {VerbMarkSent: Sent, VerbAccept: Accepted, VerbDecline: Declined, VerbExpire: Expired, VerbRevoke: Revoked, VerbBounce: Bounced, VerbFail: Failed},
		Sent:   {VerbAccept: Accepted, VerbDecline: Declined, VerbExpire: Expired, VerbRevoke: Revoked, VerbResend: Queued, VerbBounce: Bounced},
		// Final ones, of which some can be sent again.
		Accepted: {}, Declined: {}, Revoked: {},
		Expired: {VerbResend: Queued},
		Bounced: {VerbResend: Queued},
		Failed:  {VerbResend: Queued, VerbRetry: Queued},
	}
	if len(want) != len(Statuses) || len(transitions) != len(Verbs) {
		t.Fatalf("%d of %d states, %d of %d verbs", len(want), len(Statuses), len(transitions), len(Verbs))
	}
	for _, s := range Statuses {
		for _, v := range Verbs {
			next, ok := s.Next(v)
			to, may := want[s][v]
			if ok != may || may && next != to || !may && next != s {
				t.Errorf("%s, %s: got %s, %t, want %q", s, v, next, ok, to)
			}
		}
		if next, ok := s.Next("invent"); ok || next != s {
			t.Errorf("%s knows an invented verb", s)
		}
		if s.Open() != slices.Contains([]Status{Queued, Sent}, s) {
			t.Errorf("%s: open %t", s, s.Open())
		}
	}
	for v, tr := range transitions {
		if !slices.Contains(Statuses, tr.to) || slices.Contains(tr.from, tr.to) {
			t.Errorf("%s leads to %s", v, tr.to)
		}
	}
}

func TestNextSteps(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	const day = 24 * time.Hour
	inv := func(life time.Duration, s Status) *Invitation {
		return &Invitation{Status: s, CreatedAt: at, ExpiresAt: at.Add(life)}
	}
	for _, c := range []struct {
		name  string
		inv   *Invitation
		after time.Duration
		step  Step
		due   time.Duration
	}{
		{"fresh", inv(30*day, Queued), 0, StepRemind, 23 * day},
		{"sent", inv(30*day, Sent), 0, StepRemind, 23 * day},
		{"just before the first reminder", inv(30*day, Sent), 23*day - time.Microsecond, StepRemind, 23 * day},
		{"at the first reminder", inv(30*day, Sent), 23 * day, StepRemind, 29 * day},
		{"at the second reminder", inv(30*day, Sent), 29 * day, StepExpire, 30 * day},
		{"after the second reminder", inv(30*day, Sent), 29*day + time.Hour, StepExpire, 30 * day},
		{"at its end", inv(30*day, Sent), 30 * day, StepExpire, 30 * day},
		{"long after its end", inv(30*day, Sent), 300 * day, StepExpire, 30 * day},
		{"a week: the first reminder would come at once", inv(7*day, Sent), 0, StepRemind, 6 * day},
		{"a week and an hour", inv(7*day+time.Hour, Sent), 0, StepRemind, 6*day + time.Hour},
		{"a moment more", inv(7*day+time.Hour+time.Microsecond, Sent), 0, StepRemind, time.Hour + time.Microsecond},
		{"a day", inv(day, Sent), 0, StepExpire, day},
		{"an hour", inv(time.Hour, Sent), 0, StepExpire, time.Hour},
	} {
		if step, due := c.inv.Next(at.Add(c.after)); step != c.step || !due.Equal(at.Add(c.due)) {
			t.Errorf("%s: got %s at %v, want %s at %v", c.name, step, due.Sub(at), c.step, c.due)
		}
	}
	for _, s := range Statuses {
		if step, due := inv(30*day, s).Next(at); (step == StepNone) == s.Open() || step == StepNone && !due.IsZero() {
			t.Errorf("%s: %s at %v", s, step, due)
		}
		for _, now := range []time.Duration{0, 30*day - time.Microsecond, 30 * day} {
			if live := inv(30*day, s).Live(at.Add(now)); live != (s.Open() && now < 30*day) {
				t.Errorf("%s after %v: live %t", s, now, live)
			}
		}
	}
	if fmt.Sprint(ReminderOffsets) != "[168h0m0s 24h0m0s]" {
		t.Errorf("reminders come %v before the end", ReminderOffsets)
	}
}
