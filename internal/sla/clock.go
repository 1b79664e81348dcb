package sla

import "time"

// State is where a promise stands.
type State string

// States of a promise.
const (
	OnTrack State = "ON_TRACK"
	// AtRisk has spent its target.
	AtRisk State = "AT_RISK"
	// Breached has spent all that it was due in, ended or not.
	Breached State = "BREACHED"
	// Met ended in time.
	Met State = "MET"
)

// Run is a time in which a clock ran; one without end runs on.
type Run struct {
	From time.Time  `json:"from"`
	To   *time.Time `json:"to,omitempty"`
}

// Clock is a promise to a deadline. It keeps the times that it ran rather than
// what they counted, so that a calendar changed later counts exactly. It is
// kept as JSON.
type Clock struct {
	Unit Unit `json:"unit"`
	// Target is the amount to keep to, Due the promised one.
	Target time.Duration `json:"target"`
	Due    time.Duration `json:"due"`
	// Runs are in order and do not overlap.
	Runs []Run `json:"runs"`
	// Ended says that the promised thing was done.
	Ended bool `json:"ended,omitempty"`
}

// Start makes a clock that runs from now on.
func Start(u Unit, target, due time.Duration, now time.Time) Clock {
	return Clock{Unit: u, Target: target, Due: due, Runs: []Run{{From: now}}}
}

// Pause stops the clock until it is resumed; one that does not run stays as it
// is.
func (k *Clock) Pause(now time.Time) {
	if last := k.running(); last != nil {
		to := later(last.From, now)
		// Copies of a clock share their runs; none of them is changed.
		k.Runs = append(k.Runs[:len(k.Runs)-1:len(k.Runs)-1], Run{From: last.From, To: &to})
	}
}

// Resume lets a paused clock go on; one that runs or has ended stays as it is.
func (k *Clock) Resume(now time.Time) {
	if !k.Paused() {
		return
	}
	if n := len(k.Runs); n > 0 {
		now = later(*k.Runs[n-1].To, now)
	}
	k.Runs = append(k.Runs[:len(k.Runs):len(k.Runs)], Run{From: now})
}

// End stops the clock for good.
func (k *Clock) End(now time.Time) {
	k.Pause(now)
	k.Ended = true
}

// running is the run that goes on; nil where none does.
func (k Clock) running() *Run {
	if n := len(k.Runs); n > 0 && k.Runs[n-1].To == nil {
		return &k.Runs[n-1]
	}
	return nil
}

// Paused reports whether the clock waits to be resumed.
func (k Clock) Paused() bool { return !k.Ended && k.running() == nil }

// Spent is what counted until now outside the pauses.
func (k Clock) Spent(c *Calendar, now time.Time) time.Duration {
	var sum time.Duration
	for _, run := range k.Runs {
		to := now
		if run.To != nil {
			to = *run.To
		}
		sum += c.Between(k.Unit, run.From, to)
	}
	return sum
}

// At is when so much is or was spent, and whether that is settled: a paused
// clock that has not spent it tells what would be if it were resumed now, and
// false; an ended one the zero time and false.
func (k Clock) At(c *Calendar, spent time.Duration, now time.Time) (time.Time, bool) {
	for _, run := range k.Runs {
		if run.To == nil {
			return c.Add(k.Unit, run.From, spent), true
		}
		ran := c.Between(k.Unit, run.From, *run.To)
		if ran >= spent {
			return c.Add(k.Unit, run.From, spent), true
		}
		spent -= ran
	}
	if k.Ended {
		return time.Time{}, false
	}
	return c.Add(k.Unit, now, spent), false
}

// State is where the promise stands now.
func (k Clock) State(c *Calendar, now time.Time) State {
	spent := k.Spent(c, now)
	switch {
	case spent >= k.Due:
		return Breached
	case k.Ended:
		return Met
	case spent >= k.Target:
		return AtRisk
	}
	return OnTrack
}
