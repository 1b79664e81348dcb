package account

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/fault"
)

func TestWeakness(t *testing.T) {
	t.Parallel()
	known := []string{"mario.rossi@contoso.example", "Mario", "Rossi", "Contoso Società S.p.A."}
	for password, want := range map[string]string{
		"":                                CodePasswordTooShort,
		"elevenchars":                     CodePasswordTooShort,
		"àèìòùàèìòùà":                     CodePasswordTooShort, // eleven characters of two bytes
		strings.Repeat("x9 k", 64) + "y":  CodePasswordTooLong,
		"passwordpassword":                CodePasswordCommon,
		"Password1234":                    CodePasswordCommon,
		"P@ssw0rd!!!!":                    CodePasswordCommon,
		"Welcome2026!!":                   CodePasswordCommon,
		"Juventus1897!":                   CodePasswordCommon,
		"forza-milan-2026":                CodePasswordCommon,
		"administrator":                   CodePasswordCommon,
		"iloveyouforever":                 CodePasswordCommon,
		"correct horse battery staple":    CodePasswordCommon,
		"aaaaaaaaaaaaaaa":                 CodePasswordCommon,
		"abcabcabcabcabc":                 CodePasswordCommon,
		"123456789012":                    CodePasswordCommon,
		"qwertyuiop1234":                  CodePasswordCommon,
		"1qaz2wsx3edc4rfv":                CodePasswordCommon,
		"zyxwvutsrqponm":                  CodePasswordCommon,
		"mario.rossi@contoso.example":     CodePasswordSimilar,
		"MarioRossi1979":                  CodePasswordSimilar,
		"Contoso-2026-!!":                 CodePasswordSimilar,
		"C0nt0s0Mari0!":                   CodePasswordSimilar,
		"societa contoso":                 CodePasswordSimilar,
		"velvet tractor lagoon 41":        "",
		"mario likes violet tractors":     "", // enough is left
		"k7#Qv9z!Lw2p":                    "",
		"violetta zattera cometa grano":   "",
		"dolphin-pizza-8362491750":        "",
		strings.Repeat("x9 kq", 51) + "y": "", // 256
		"ключ под старым ковром":          "",
	} {
		if got := weakness(password, known...); got != want {
			t.Errorf("%q: got %q, want %q", password, got, want)
		}
	}
}

func TestHasher(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	h := newHasher(cheap)
	one, err := h.hash(ctx, "some password")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(one, "$argon2id$v=19$m=8,t=1,p=1$") {
		t.Errorf("the parameters are not stated: %s", one)
	}
	two, err := h.hash(ctx, "some password")
	if err != nil || one == two {
		t.Errorf("two hashes are alike: %v", err)
	}
	for _, c := range []struct {
		password, stored string
		ok, stale        bool
		h                Hashing
	}{
		{"some password", one, true, false, cheap},
		{"Some password", one, false, false, cheap},
		{"some password", "", false, false, cheap},
		{"some password", one, true, true, Hashing{Memory: 16, Passes: 1, Threads: 1}},
		{"some password", one, true, true, Hashing{Memory: 8, Passes: 2, Threads: 1}},
		{"some password", one, true, true, Hashing{Memory: 8, Passes: 1, Threads: 2}},
	} {
		h := newHasher(c.h)
		ok, stale, err := h.verify(ctx, c.password, c.stored)
		if err != nil || ok != c.ok || stale != c.stale || h.runs.Load() != 1 {
			t.Errorf("%+v: ok %t stale %t runs %d err %v", c, ok, stale, h.runs.Load(), err)
		}
	}
	for _, broken := range []string{"x", "$argon2i$v=19$m=8,t=1,p=1$AA$AA", "$argon2id$v=16$m=8,t=1,p=1$AA$AA", "$argon2id$v=19$m=x$AA$AA",
		"$argon2id$v=19$m=8,t=1,p=1$!$AA", "$argon2id$v=19$m=8,t=1,p=1$AA$AA"} {
		if ok, _, err := h.verify(ctx, "x", broken); ok || err == nil {
			t.Errorf("%q: ok %t err %v", broken, ok, err)
		}
	}
	long := strings.Repeat("x", 4*MaxPassword)
	stored, err := h.hash(ctx, long)
	if err != nil {
		t.Fatal(err)
	}
	if ok, _, _ := h.verify(ctx, long+"y", stored); ok {
		t.Error("a longer password passed for the one it begins with")
	}
}

func TestHasherDefaults(t *testing.T) {
	t.Parallel()
	h := Hashing{}.withDefaults()
	if h.Memory != 65536 || h.Passes != 3 || h.Threads != 1 || h.Slots < 1 || h.Wait != 2*time.Second {
		t.Errorf("got %+v", h)
	}
}

func TestHasherSlots(t *testing.T) {
	t.Parallel()
	h := newHasher(Hashing{Memory: 8, Passes: 1, Threads: 1, Slots: 1, Wait: time.Millisecond})
	h.slots <- struct{}{} // somebody else computes
	_, err := h.hash(t.Context(), "some password")
	if fault.KindOf(err) != fault.KindLimited || fault.As(err).RetryAfter <= 0 {
		t.Errorf("got %v, want BUSY with a time", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	h.Wait = time.Minute
	if _, err := h.hash(ctx, "some password"); err == nil || fault.As(err) != nil {
		t.Errorf("got %v, want the context's error", err)
	}
	<-h.slots
	if _, err := h.hash(t.Context(), "some password"); err != nil {
		t.Error(err)
	}
}
