package secret

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/channelgraph/channelgraph/internal/ident"
)

const (
	invitation = ident.ID("inv_01h455vb4pex5vsknk084sn02q")
	link       = ident.ID("plk_01h455vb4pex5vsknk084sn02q")
)

func keys(t *testing.T, b byte) *Keys {
	t.Helper()
	k, err := NewKeys([]byte(strings.Repeat(string(rune(b)), 32)))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// These values are in mails that people hold: a change of the derivation
// kills every link that was ever sent.
func TestDerivationsAreStable(t *testing.T) {
	t.Parallel()
	k := keys(t, 'k')
	for _, c := range [][3]string{
		{"capability", k.Capability("cgi", "invitation", invitation, 1).Reveal(), "cgi_oUko6qpskmZRrYRgxl72bmSrLzVZQcbJa0jtHqyv_wo"},
		{"capability, next", k.Capability("cgi", "invitation", invitation, 2).Reveal(), "cgi_U2C0D8PLPPX_lG21Xm_UjJq66wTg2MctLUVbl5IvVng"},
		{"handle", k.Handle(link, 1).Reveal(), "cgl_01h455vb4pex5vsknk084sn02qgH3xO1SzDkdxeYe1Bpi9BA"},
		{"handle, next", k.Handle(link, 2).Reveal(), "cgl_01h455vb4pex5vsknk084sn02qINsOUx7E-CLB1HcTi5KUUQ"},
		{"blind", k.Blind("a", "b"), "09632caeb59f51fcd582a6775be59354"},
		{"hash", Hash("cgi_token"), "0410f6efe5b0e3df9424eab16c0b5af08ec70f922667e6a97ccb4612066c6531"},
	} {
		if c[1] != c[2] {
			t.Errorf("%s: got %s, want %s", c[0], c[1], c[2])
		}
	}
}

func TestTokensDiffer(t *testing.T) {
	t.Parallel()
	a, b := keys(t, 'a'), keys(t, 'b')
	other := ident.ID("inv_01h455vb4pex5vsknk084sn02r")
	seen := map[String]string{}
	for name, s := range map[string]String{
		"one":                a.Capability("cgi", "invitation", invitation, 1),
		"other generation":   a.Capability("cgi", "invitation", invitation, 2),
		"other purpose":      a.Capability("cgi", "reset", invitation, 1),
		"other subject":      a.Capability("cgi", "invitation", other, 1),
		"other instance":     b.Capability("cgi", "invitation", invitation, 1),
		"generation in id":   a.Capability("cgi", "invitation", invitation+"\x001", 1),
		"purpose and id cut": a.Capability("cgi", "invitatio", "n"+invitation, 1),
		"handle":             a.Handle(link, 1),
		"handle of another":  b.Handle(link, 1),
		"random":             NewToken("cgs"),
		"random again":       NewToken("cgs"),
		"password":           NewPassword(),
		"password again":     NewPassword(),
		"blind":              String(a.Blind("x", "y")),
		"blind, cut":         String(a.Blind("xy")),
	} {
		if seen[s] != "" {
			t.Errorf("%s and %s are the same", name, seen[s])
		}
		seen[s] = name
	}
	if again := keys(t, 'a').Capability("cgi", "invitation", invitation, 1); again != a.Capability("cgi", "invitation", invitation, 1) {
		t.Error("a retry would render another token")
	}
	if s := NewToken("cgs").Reveal(); !strings.HasPrefix(s, "cgs_") || len(s) != 4+43 {
		t.Errorf("got %s", s)
	}
	if s := NewPassword().Reveal(); len(s) != 20 || strings.ContainsAny(s, "lIO01") {
		t.Errorf("got %s", s)
	}
}

func TestHandle(t *testing.T) {
	t.Parallel()
	k := keys(t, 'k')
	h := k.Handle(link, 3).Reveal()
	if id, ok := HandleID(h, ident.Proposal); !ok || id != link {
		t.Errorf("got %s, %t", id, ok)
	}
	if !k.CheckHandle(h, link, 3) {
		t.Error("the handle is not its own")
	}
	flip := func(i int) string {
		b := []byte(h)
		if b[i] == 'A' {
			b[i] = 'B'
		} else {
			b[i] = 'A'
		}
		return string(b)
	}
	for name, c := range map[string]struct {
		handle     string
		generation int
	}{
		"former generation":    {h, 2},
		"later generation":     {h, 4},
		"of another instance":  {keys(t, 'x').Handle(link, 3).Reveal(), 3},
		"first MAC character":  {flip(4 + 26), 3},
		"cut":                  {h[:len(h)-1], 3},
		"longer":               {h + "A", 3},
		"another prefix":       {"cgi_" + h[4:], 3},
		"nothing":              {"", 3},
		"other base64, padded": {h + "=", 3},
	} {
		if k.CheckHandle(c.handle, link, c.generation) {
			t.Errorf("%s passes", name)
		}
	}
	for _, bad := range []string{"", "cgl_", h[:len(h)-1], h + "A", "cgi_" + h[4:], "cgl_" + strings.ToUpper(h[4:30]) + h[30:], " " + h} {
		if id, ok := HandleID(bad, ident.Proposal); ok {
			t.Errorf("%q names %s", bad, id)
		}
	}
}

func TestKeysAndParseKey(t *testing.T) {
	t.Parallel()
	if _, err := NewKeys(make([]byte, 31)); err == nil {
		t.Error("31 bytes make keys")
	}
	raw := make([]byte, 32)
	for i := range raw {
		raw[i] = byte(i * 7)
	}
	for name, s := range map[string]string{
		"hex": hex.EncodeToString(raw), "base64": base64.StdEncoding.EncodeToString(raw), "raw base64": base64.RawStdEncoding.EncodeToString(raw),
		"URL": base64.URLEncoding.EncodeToString(raw), "with spaces": "  " + hex.EncodeToString(raw) + "\n",
	} {
		if got, err := ParseKey(s); err != nil || string(got) != string(raw) {
			t.Errorf("%s: %x, %v", name, got, err)
		}
	}
	for _, s := range []string{"", "secret", base64.StdEncoding.EncodeToString(raw[:31]), strings.Repeat("é", 40)} {
		if _, err := ParseKey(s); err == nil {
			t.Errorf("%q is a key", s)
		} else if s != "" && strings.Contains(err.Error(), s) {
			t.Errorf("the error tells the value: %v", err)
		}
	}
	m := NewMaster()
	if b, err := ParseKey(m); err != nil || len(b) != 32 || m == NewMaster() {
		t.Errorf("%s: %v", m, err)
	}
}

func TestStringHides(t *testing.T) {
	t.Parallel()
	const value = "velvet tractor"
	s := String(value)
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "secret", s, "in", struct{ S String }{s})
	js, err := json.Marshal(map[string]any{"s": s, "list": []String{s}, "in": struct{ S String }{s}})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"%v": fmt.Sprintf("%v", s), "%s": fmt.Sprintf("(%s)", s), "%+v": fmt.Sprintf("%+v", struct{ S String }{s}),
		"%#v": fmt.Sprintf("%#v", struct{ S String }{s}), "Sprint": fmt.Sprint(s), "log": log.String(), "JSON": string(js),
		"error": fmt.Errorf("x: %v", s).Error(), "%q": fmt.Sprintf("%q", s),
	} {
		if strings.Contains(text, value) {
			t.Errorf("%s shows it: %s", name, text)
		}
	}
	if s.Reveal() != value {
		t.Errorf("got %s", s.Reveal())
	}
}
