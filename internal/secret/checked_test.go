package secret

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// Programs hold such tokens for a year: neither form nor checksum may change.
func TestCheckedVectors(t *testing.T) {
	t.Parallel()
	for _, good := range []string{
		"cgp_" + strings.Repeat("0", 43) + "3ykN6W",
		"cgp_" + strings.Repeat("z", 43) + "3PN37B",
		"cgp_" + "1Ab2Cd3Ef4Gh5Ij6Kl7Mn8Op9Qr0StUvWxYzaBcDeFg" + "1Uc3uF",
		"cgp_" + "GvZ20Emu5XqB2yXCDSIFVWNKPyf4CcBChdJzxbRdUN1" + "00JN7T", // a small sum keeps its zeros
		NewChecked("cgp").Reveal(),
	} {
		if !IsChecked(good, "cgp") {
			t.Errorf("%s is refused", good)
		}
		for i := range good { // every single mistyped character is noticed
			b := []byte(good)
			if b[i]++; IsChecked(string(b), "cgp") {
				t.Errorf("%s passes with another character at %d", good, i)
			}
		}
		swapped := []byte(good)
		swapped[6], swapped[30] = swapped[30], swapped[6]
		for name, bad := range map[string]string{"cut": good[:52], "longer": good + "0", "of another prefix": "cgs" + good[3:], "in quotes": `"` + good + `"`,
			"with a space": good + " ", "without prefix": good[4:], "swapped": string(swapped), "sum of the body alone": good[:47] + checksum(good[4:47])} {
			if bad != good && IsChecked(bad, "cgp") {
				t.Errorf("%s: %s passes", name, bad)
			}
		}
		if IsChecked(good, "cgs") {
			t.Errorf("%s passes as another kind", good)
		}
	}
	for _, bad := range []string{"", "cgp_", "cgp", strings.Repeat("x", 10000), "cgp_" + strings.Repeat("é", 49), "cgp_" + strings.Repeat("-", 49)} {
		if IsChecked(bad, "cgp") {
			t.Errorf("%.60q passes", bad)
		}
	}
}

func TestNewChecked(t *testing.T) {
	t.Parallel()
	seen, used := map[String]bool{}, map[rune]bool{}
	for range 200 {
		s := NewChecked("cgp")
		if seen[s] || len(s) != 53 {
			t.Fatalf("%s, again: %t", s.Reveal(), seen[s])
		}
		seen[s] = true
		for _, r := range s.Reveal()[4:47] {
			used[r] = true
		}
	}
	if len(used) != len(base62) {
		t.Errorf("8,600 random characters are of %d kinds", len(used))
	}
}

var everyToken = []string{
	"cgp_" + "1Ab2Cd3Ef4Gh5Ij6Kl7Mn8Op9Qr0StUvWxYzaBcDeFg" + "1Uc3uF", "cgs_aaaaaaaaaaaaaaaaaaaa", "cgi_oUko6qpskmZRrYRgxl72bmSrLzVZQcbJa0jtHqyv_wo",
	"cgu_-_x", "cgr_q", "cgl_01h455vb4pex5vsknk084sn02qgH3xO1SzDkdxeYe1Bpi9BA", "cgt_Zm9vYmFyYmF6cXV4",
}

// Whatever way a token takes into a record, it does not come out.
func TestRedactor(t *testing.T) {
	t.Parallel()
	type inner struct{ Token string }
	for _, token := range everyToken {
		for name, handler := range map[string]func(*bytes.Buffer) slog.Handler{
			"text": func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(Redactor(b), nil) },
			"json": func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(Redactor(b), nil) },
		} {
			var b bytes.Buffer
			log := slog.New(handler(&b))
			log.Info("message " + token + ", and more")
			log.Info("line\n" + token + "\ttab" + token)
			log.Info("x", "s", token, "url", "https://localhost/l/join#"+token, "header", "Bearer "+token)
			log.Info("x", "error", fmt.Errorf("reading: %w", errors.New("token "+token)), token, "a key")
			log.Info("x", "in", inner{token}, "list", []string{token}, "map", map[string]any{"k": []any{token}}, "pointer", &inner{token}, "bytes", json.RawMessage(`"`+token+`"`))
			log.With("s", token).WithGroup(token).Info("x", slog.Group("g", slog.String("s", token)))
			rest := token[4:]
			if out := b.String(); strings.Contains(out, rest) && len(rest) > 3 || strings.Contains(out, token) || strings.Count(out, token[:4]+hidden) < 12 {
				t.Errorf("%s: %s is logged:\n%s", name, token, out)
			} else if name == "json" {
				for line := range strings.Lines(out) {
					if !json.Valid([]byte(line)) {
						t.Errorf("broken by redaction: %s", line)
					}
				}
			}
		}
	}
	for _, plain := range []string{"", "cg", "request of ses_01h455vb4pex5vsknk084sn02q", "cg_session", "cgroup_limit", "msg_01h455vb4pex5vsknk084sn02q"} {
		if got := string(Redact([]byte(plain))); got != plain {
			t.Errorf("%q became %q", plain, got)
		}
	}
	n, err := Redactor(brokenPipe{}).Write([]byte("x"))
	if n != 0 || err == nil {
		t.Errorf("a failed write counts %d, %v", n, err)
	}
	var b bytes.Buffer
	if n, err := Redactor(&b).Write([]byte(everyToken[0])); n != 53 || err != nil {
		t.Errorf("a write of 53 bytes counts %d, %v", n, err)
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }
