package account

import (
	"strings"
	"testing"
)

func TestIsPasswordHash(t *testing.T) {
	t.Parallel()
	const good = "$argon2id$v=19$m=65536,t=3,p=1$c2FsdHNhbHRzYWx0c2Fs$c2FsdHNhbHRzYWx0c2FsdHNhbHRzYWx0c2FsdHNhbHQ"
	w := newHasher(Hashing{Memory: 8, Passes: 1, Threads: 1})
	own, err := w.hash(t.Context(), "velvet tractor lagoon 41")
	if err != nil {
		t.Fatal(err)
	}
	swap := func(from, to string) string { return strings.Replace(good, from, to, 1) }
	for _, s := range []string{good, own, swap("m=65536", "m=19456"), swap("p=1", "p=4"), swap("m=65536", "m=262144"), swap("t=3", "t=10")} {
		if !IsPasswordHash(s) {
			t.Errorf("%s is refused", s)
		}
	}
	for _, s := range []string{"", "x", "$2b$12$abc", swap("argon2id", "argon2i"), swap("v=19", "v=16"), swap("m=65536", "m=262145"), swap("m=65536", "m=7"),
		swap("t=3", "t=0"), swap("t=3", "t=11"), swap("p=1", "p=0"), swap("p=1", "p=17"), swap("p=1", "p=256"), swap("m=65536", "m=-1"), swap("m=65536", "m=99999999999"),
		swap("m=65536", "m=065536"), swap(",p=1", ",p=1,x=2"), swap("c2FsdHNhbHRzYWx0c2Fs$", "$"), swap("c2FsdHNhbHRzYWx0c2Fs$", "c2Fs$"), good + "!", good + "=",
		swap("c2FsdHNhbHRzYWx0c2FsdHNhbHRzYWx0c2FsdHNhbHQ", "c2FsdA"), good + "$", " " + good, good + strings.Repeat("A", 400)} {
		if IsPasswordHash(s) {
			t.Errorf("%s passes", s)
		}
	}
}
