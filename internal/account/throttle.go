package account

import "time"

// allowance is one of the rules of security decision D5: how many attempts
// are free within a window, and how long the next one has to wait after that.
// A wait always ends: nothing here locks an account for good.
type allowance struct {
	// free attempts pass without a wait.
	free int
	// window is how long attempts are remembered: from the first one, or from
	// the latest where it slides.
	window  time.Duration
	sliding bool
	// wait is how long the key is blocked once n attempts have been counted
	// (n >= free); zero means until the window ends.
	wait func(n int) time.Duration
}

// The allowances of D5.
var (
	// perAccountAndNetwork: after five failures 1, 2, 4, 8, then 15 minutes.
	perAccountAndNetwork = allowance{free: 5, window: time.Hour, sliding: true, wait: func(n int) time.Duration {
		return min(time.Minute<<min(n-5, 10), 15*time.Minute)
	}}
	// perAccount: twenty failures an hour from wherever, then one attempt in
	// thirty seconds. Networks that the account was used from before are not
	// counted (see Service.charge), so that strangers cannot keep a person out.
	perAccount = allowance{free: 20, window: time.Hour, wait: func(int) time.Duration { return 30 * time.Second }}
	// perNetwork: thirty failures a minute.
	perNetwork = allowance{free: 30, window: time.Minute}
	// Mails that anybody can cause: three an hour to one address, ten an hour
	// from one network.
	mailsPerAddress = allowance{free: 3, window: time.Hour}
	mailsPerNetwork = allowance{free: 10, window: time.Hour}
)

// tally is what is remembered of one key.
type tally struct {
	Key          string    `bun:"key,pk"`
	Count        int       `bun:"count"`
	WindowUntil  time.Time `bun:"window_until"`
	BlockedUntil time.Time `bun:"blocked_until"`
}

// charge counts one attempt at a moment. A wait above zero refuses the
// attempt, which then is not counted. The attempt is charged before it is
// made, so that many at once cannot pass together; success gives it back.
func (t *tally) charge(now time.Time, a allowance) (wait time.Duration) {
	if now.Before(t.BlockedUntil) {
		return t.BlockedUntil.Sub(now)
	}
	if !now.Before(t.WindowUntil) {
		t.Count, t.WindowUntil = 0, now.Add(a.window)
	}
	t.Count++
	if a.sliding {
		t.WindowUntil = now.Add(a.window)
	}
	if t.Count >= a.free {
		t.BlockedUntil = t.WindowUntil
		if a.wait != nil {
			t.BlockedUntil = now.Add(a.wait(t.Count))
		}
	}
	return 0
}

// refund takes an attempt back that was no failure: a proved password clears
// what the account was charged from its network, and one attempt elsewhere.
func (t *tally) refund(now time.Time, a allowance) {
	t.Count = max(t.Count-1, 0)
	if a.sliding {
		t.Count = 0
	}
	if t.Count < a.free {
		t.BlockedUntil = now
	}
}
