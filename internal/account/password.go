package account

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	_ "embed" // the list of common passwords
	"encoding/base64"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"github.com/channelgraph/channelgraph/internal/address"
	"github.com/channelgraph/channelgraph/internal/fault"
)

// Lengths of a password in characters (security decision D3).
const (
	MinPassword = 12
	MaxPassword = 256
)

// Hashing says how much work a password hash is. Zero fields take the
// defaults of security decision D3.
type Hashing struct {
	// Memory is in KiB; the default is 64 MiB.
	Memory uint32
	// Passes over the memory; the default is 3.
	Passes uint32
	// Threads is always stated, since hashes differ by it; the default is 1.
	Threads uint8
	// Slots is how many hashes are computed at once; the default is the
	// number of cores.
	Slots int
	// Wait is how long to wait for a slot before RATE_LIMITED; the default is
	// 2 seconds.
	Wait time.Duration
}

func (h Hashing) withDefaults() Hashing {
	if h.Memory == 0 {
		h.Memory = 64 * 1024
	}
	if h.Passes == 0 {
		h.Passes = 3
	}
	if h.Threads == 0 {
		h.Threads = 1
	}
	if h.Slots == 0 {
		h.Slots = runtime.NumCPU()
	}
	if h.Wait == 0 {
		h.Wait = 2 * time.Second
	}
	return h
}

const (
	saltLen = 16
	keyLen  = 32
)

// hasher computes and checks argon2id hashes, a bounded number at once.
type hasher struct {
	Hashing
	slots chan struct{}
	// runs counts the hashes computed, for the tests that show unknown and
	// known accounts to cost the same.
	runs atomic.Int64
}

func newHasher(h Hashing) *hasher {
	h = h.withDefaults()
	return &hasher{Hashing: h, slots: make(chan struct{}, h.Slots)}
}

// key runs argon2id once a slot is free. Error: RATE_LIMITED.
func (h *hasher) key(ctx context.Context, password string, salt []byte, p Hashing, n uint32) ([]byte, error) {
	wait := time.NewTimer(h.Wait)
	defer wait.Stop()
	select {
	case h.slots <- struct{}{}:
	case <-wait.C:
		return nil, fault.Busy(h.Wait)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-h.slots }()
	h.runs.Add(1)
	return argon2.IDKey([]byte(password), salt, p.Passes, p.Memory, p.Threads, n), nil
}

// hash makes the text that is stored: $argon2id$v=19$m=…,t=…,p=…$salt$key.
func (h *hasher) hash(ctx context.Context, password string) (string, error) {
	salt := make([]byte, saltLen)
	if _, err := rand.Read(salt); err != nil {
		return "", fmt.Errorf("making a salt: %w", err)
	}
	key, err := h.key(ctx, password, salt, h.Hashing, keyLen)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.Memory, h.Passes, h.Threads,
		base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(key)), nil
}

// verify checks a password against a stored hash; stale says that the hash
// was made with other parameters than today's. An empty stored hash belongs
// to nobody: the same work is done and the answer is no.
func (h *hasher) verify(ctx context.Context, password, stored string) (ok, stale bool, err error) {
	if len(password) > 4*MaxPassword {
		password = password[:4*MaxPassword] + "…" // longer than any that was accepted
	}
	if stored == "" {
		_, err := h.key(ctx, password, make([]byte, saltLen), h.Hashing, keyLen)
		return false, false, err
	}
	var p Hashing
	parts := strings.Split(stored, "$")
	if len(parts) != 6 || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return false, false, fmt.Errorf("a stored password hash has an unknown form")
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &p.Memory, &p.Passes, &p.Threads); err != nil {
		return false, false, fmt.Errorf("reading the parameters of a stored password hash: %w", err)
	}
	salt, err := base64.RawStdEncoding.DecodeString(parts[4])
	if err != nil {
		return false, false, fmt.Errorf("reading the salt of a stored password hash: %w", err)
	}
	want, err := base64.RawStdEncoding.DecodeString(parts[5])
	if err != nil || len(want) < 16 {
		return false, false, fmt.Errorf("a stored password hash has no key")
	}
	got, err := h.key(ctx, password, salt, p, uint32(len(want)))
	if err != nil {
		return false, false, err
	}
	stale = p.Memory != h.Memory || p.Passes != h.Passes || p.Threads != h.Threads || len(salt) != saltLen || len(want) != keyLen
	return subtle.ConstantTimeCompare(got, want) == 1, stale, nil
}

//go:embed common_passwords.txt
var commonList string

// common holds frequent passwords and the words that they are made of, in the
// form that letters gives.
var common = func() map[string]bool {
	m := map[string]bool{}
	for line := range strings.Lines(commonList) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			m[line] = true
			m[letters(line)] = true
		}
	}
	delete(m, "")
	return m
}()

var lookalikes = strings.NewReplacer("@", "a", "4", "a", "3", "e", "1", "i", "!", "i", "0", "o", "$", "s", "5", "s", "7", "t")

// letters is a text as a guesser sees it: what stands for letters read as
// letters, everything else left away.
func letters(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) {
			return r
		}
		return -1
	}, lookalikes.Replace(plain(s)))
}

// plain is a text in lower case without its spaces.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return unicode.ToLower(r)
	}, s)
}

// weakness is the code of the first rule of D3 that a new password breaks, or
// "". known is what an attacker knows of its owner: address, names,
// organization. There are no rules of composition.
func weakness(password string, known ...string) string {
	n := utf8.RuneCountInString(password)
	switch {
	case n < MinPassword:
		return CodePasswordTooShort
	case n > MaxPassword || len(password) > 4*MaxPassword:
		return CodePasswordTooLong
	case isSimilar(password, known):
		return CodePasswordSimilar
	case isCommon(password):
		return CodePasswordCommon
	}
	return ""
}

// decoration is how many digits and signs around frequent words still leave a
// password common.
const decoration = 8

// isCommon finds frequent passwords, one or two frequent words with some
// digits and signs around and between them, repetitions, and runs of
// neighbours.
func isCommon(password string) bool {
	p := plain(password)
	forms := []string{p}
	if word := strings.Map(keepLetters, p); utf8.RuneCountInString(p)-utf8.RuneCountInString(word) <= decoration {
		// What stands at the ends for decoration (!, 1, 123) would read as letters.
		core := strings.TrimFunc(p, func(r rune) bool { return !unicode.IsLetter(r) })
		forms = append(forms, word, letters(p), letters(core))
	}
	for _, s := range forms {
		if common[s] {
			return true
		}
		for i := range s {
			if i > 0 && common[s[:i]] && common[s[i:]] {
				return true
			}
		}
	}
	return repeats(p) || runs(p)
}

func keepLetters(r rune) rune {
	if unicode.IsLetter(r) {
		return r
	}
	return -1
}

// repeats reports a text of few different characters, or of one short piece
// over and over.
func repeats(s string) bool {
	seen := map[rune]bool{}
	for _, r := range s {
		seen[r] = true
	}
	if len(seen) < 5 {
		return true
	}
	for n := 1; n <= 6 && n <= len(s)/2; n++ {
		if strings.HasPrefix(strings.Repeat(s[:n], len(s)/n+1), s) {
			return true
		}
	}
	return false
}

var rows = []string{
	"01234567890123456789", "abcdefghijklmnopqrstuvwxyz", "qwertyuiopasdfghjklzxcvbnm", "qwertzuiopasdfghjklyxcvbnm", "azertyuiopqsdfghjklmwxcvbn",
	"1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p", "1q2w3e4r5t6y7u8i9o0p", "q1w2e3r4t5y6u7i8o9p0", "qazwsxedcrfvtgbyhnujmikolp",
}

// runs reports a text that is, but for a few characters, made of runs of four
// or more neighbours on the keyboard, in the alphabet or among the digits.
func runs(s string) bool {
	if len(s) == 0 {
		return false
	}
	covered := 0
	for i := 0; i < len(s); {
		best := 0
		for n := min(len(s)-i, 36); n >= 4 && best == 0; n-- {
			for _, row := range rows {
				if strings.Contains(row, s[i:i+n]) || strings.Contains(row, reversed(s[i:i+n])) {
					best = n
					break
				}
			}
		}
		covered += best
		i += max(best, 1)
	}
	return len(s)-covered < 5
}

func reversed(s string) string {
	b := []byte(s)
	for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
		b[i], b[j] = b[j], b[i]
	}
	return string(b)
}

// isSimilar reports that little is left of the password (fewer than eight
// letters and digits) once what is known of its owner is taken away.
func isSimilar(password string, known []string) bool {
	words := knownWords(known)
	for _, p := range []string{plain(password), lookalikes.Replace(plain(password))} {
		found := false
		for _, w := range words {
			if strings.Contains(p, w) {
				p, found = strings.ReplaceAll(p, w, " "), true
			}
		}
		if found && len([]rune(strings.Map(func(r rune) rune {
			if unicode.IsLetter(r) || unicode.IsDigit(r) {
				return r
			}
			return -1
		}, p))) < 8 {
			return true
		}
	}
	return false
}

// knownWords are the pieces of four letters or more of what is known, whole
// and in words, longest first.
func knownWords(known []string) []string {
	var out []string
	add := func(s string) {
		if s = plain(s); utf8.RuneCountInString(s) >= 4 {
			out = append(out, s)
		}
	}
	for _, k := range known {
		add(k)
		for _, w := range strings.FieldsFunc(strings.ToLower(k), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
			add(w)
		}
		local, _, _ := strings.Cut(k, "@")
		for _, s := range []string{k, local} {
			add(strings.ReplaceAll(address.Fold(s), " ", ""))
			for _, w := range strings.Fields(address.Fold(s)) {
				add(w)
			}
		}
	}
	slices.SortStableFunc(out, func(a, b string) int { return len(b) - len(a) })
	return out
}
