package register

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/secret"
)

// Unknown and known user names fail alike, and cost the same statements.
func TestProve(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	try := func(name string, password secret.String) (cost int64, err error) {
		before := w.db.Queries()
		_, err = w.Prove(t.Context(), w.stander, name, password)
		return w.db.Queries() - before, err
	}
	cost, empty := try("anna", "x")
	if !fault.Is(empty, CodeNotProved) {
		t.Fatal(empty)
	}
	w.expect(w.memberships(Merge, head, "mara,Segreta 2026!,1234567,Rossi,IT"), "APPLIED +1 ~0 =0 -0 !0")
	for _, name := range []string{"mara", "anna", "zora", "", "\u202e", "MARA "} {
		n, err := try(name, "wrong password")
		if fmt.Sprint(err) != fmt.Sprint(empty) || n != cost {
			t.Errorf("%q: %v after %d statements, want %v after %d", name, err, n, empty, cost)
		}
	}
	// The neighbour whose hash is checked in their place is not proved by it.
	for _, name := range []string{"anna", "mar", "zora", "mara2"} {
		if _, err := try(name, "Segreta 2026!"); !fault.Is(err, CodeNotProved) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := w.Prove(t.Context(), access.Anonymous("en", "192.0.2.0/24"), "mara", "Segreta 2026!"); fault.KindOf(err) != fault.KindUnauthenticated {
		t.Errorf("nobody proves: %v", err)
	}
	w.db.Clock().Advance(2 * time.Hour)
	if _, err := try("Mara", "Segreta 2026!"); err != nil {
		t.Error(err)
	}
}

// After five failures the next attempt waits, whoever the name is of; after
// twenty for one name from anywhere it waits there too, and so does who tries
// many names.
func TestProveIsThrottled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.expect(w.memberships(Merge, head, "mara,Segreta 2026!,1234567,Rossi,IT"), "APPLIED +1 ~0 =0 -0 !0")
	for _, name := range []string{"mara", "nobody"} {
		for n := range 6 {
			_, err := w.Prove(t.Context(), w.stander, name, "wrong")
			if limited := fault.KindOf(err) == fault.KindLimited; limited != (n == 5) || !limited && !fault.Is(err, CodeNotProved) {
				t.Errorf("%s, attempt %d: %v", name, n+1, err)
			}
		}
		if _, err := w.Prove(t.Context(), w.stander, name, "Segreta 2026!"); fault.KindOf(err) != fault.KindLimited {
			t.Errorf("%s with the right password: %v", name, err)
		}
	}
	w.db.Clock().Advance(2 * time.Minute)
	if _, err := w.Prove(t.Context(), w.stander, "mara", "Segreta 2026!"); err != nil {
		t.Errorf("after the wait: %v", err)
	}
	// Success clears the pair, and one attempt of the others.
	if _, err := w.Prove(t.Context(), w.stander, "mara", "wrong"); !fault.Is(err, CodeNotProved) {
		t.Errorf("after a proof: %v", err)
	}
	w.db.Clock().Advance(2 * time.Hour)
	tries := func(next func(n int) (access.Actor, string)) (n int) {
		for ; n < 40; n++ {
			who, name := next(n)
			_, err := w.Prove(t.Context(), who, name, "wrong")
			var f *fault.Error
			if errors.As(err, &f) && f.Kind == fault.KindLimited {
				return n
			}
			w.db.Clock().Advance(3 * time.Second) // the network's minute is not meant here
		}
		return n
	}
	if n := tries(func(n int) (access.Actor, string) {
		a := w.stander
		a.IPPrefix, a.UserID = fmt.Sprintf("198.51.%d.0/24", n), w.stander.UserID+"x"
		if n%2 == 0 {
			a.UserID = w.reviewer.UserID
		}
		return a, "mara"
	}); n != 20 {
		t.Errorf("one name was tried %d times", n)
	}
	w.db.Clock().Advance(2 * time.Hour)
	if n := tries(func(n int) (access.Actor, string) {
		a := w.stander
		a.IPPrefix = fmt.Sprintf("198.51.%d.0/24", n)
		return a, fmt.Sprintf("name%d", n)
	}); n != 20 {
		t.Errorf("one person tried %d names", n)
	}
}
