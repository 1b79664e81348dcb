package account

import (
	"testing"
	"time"
)

func TestAllowances(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	t.Run("account and network", func(t *testing.T) {
		t.Parallel()
		x, at := tally{WindowUntil: now, BlockedUntil: now}, now
		for i, want := range []time.Duration{0, 0, 0, 0, time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 15 * time.Minute, 15 * time.Minute} {
			if wait := x.charge(at, perAccountAndNetwork); wait != 0 {
				t.Fatalf("attempt %d is refused for %v", i+1, wait)
			}
			if want > 0 {
				if wait := x.charge(at, perAccountAndNetwork); wait != want {
					t.Errorf("after %d failures the wait is %v, want %v", i+1, wait, want)
				}
				if wait := x.charge(at.Add(want-time.Microsecond), perAccountAndNetwork); wait != time.Microsecond {
					t.Errorf("after %d failures the wait ends early: %v", i+1, wait)
				}
			}
			at = at.Add(want)
		}
		for range 1000 { // however long it goes on, the wait ends
			at = at.Add(15 * time.Minute)
			if wait := x.charge(at, perAccountAndNetwork); wait != 0 {
				t.Fatalf("the wait grew to %v", wait)
			}
		}
		at = at.Add(time.Hour)
		for range 4 {
			x.charge(at, perAccountAndNetwork)
		}
		if wait := x.charge(at, perAccountAndNetwork); wait != 0 {
			t.Errorf("an hour later the failures are not forgotten: %v", wait)
		}
	})
	t.Run("account", func(t *testing.T) {
		t.Parallel()
		x := tally{WindowUntil: now, BlockedUntil: now}
		for i := range 20 {
			if wait := x.charge(now, perAccount); wait != 0 {
				t.Fatalf("attempt %d is refused for %v", i+1, wait)
			}
		}
		for at := now; at.Before(now.Add(30 * time.Minute)); at = at.Add(30 * time.Second) {
			want := time.Duration(0)
			if at.Equal(now) {
				want = 30 * time.Second
			}
			if wait := x.charge(at, perAccount); wait != want {
				t.Fatalf("at %v the wait is %v", at, wait)
			}
		}
	})
	t.Run("network", func(t *testing.T) {
		t.Parallel()
		x := tally{WindowUntil: now, BlockedUntil: now}
		for i := range 30 {
			if wait := x.charge(now.Add(time.Duration(i)*time.Second), perNetwork); wait != 0 {
				t.Fatalf("attempt %d is refused for %v", i+1, wait)
			}
		}
		if wait := x.charge(now.Add(40*time.Second), perNetwork); wait != 20*time.Second {
			t.Errorf("the wait is %v", wait)
		}
		if wait := x.charge(now.Add(time.Minute), perNetwork); wait != 0 || x.Count != 1 {
			t.Errorf("a minute later the wait is %v, the count %d", wait, x.Count)
		}
	})
	t.Run("refund", func(t *testing.T) {
		t.Parallel()
		x := tally{WindowUntil: now, BlockedUntil: now}
		for range 5 {
			x.charge(now, perAccountAndNetwork)
		}
		x.refund(now, perAccountAndNetwork)
		if x.Count != 0 || x.charge(now, perAccountAndNetwork) != 0 {
			t.Errorf("success leaves %+v", x)
		}
		y := tally{WindowUntil: now, BlockedUntil: now}
		for range 30 {
			y.charge(now, perNetwork)
		}
		y.refund(now, perNetwork)
		if y.Count != 29 || y.charge(now, perNetwork) != 0 || y.charge(now, perNetwork) == 0 {
			t.Errorf("success leaves %+v", y)
		}
	})
}
