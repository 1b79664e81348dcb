package mail

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the goldens anew")

func TestTemplates(t *testing.T) {
	t.Parallel()
	m := newMailer(t, "smtp://127.0.0.1:1")
	for _, name := range m.Templates() {
		for _, locale := range Locales {
			r, err := m.Preview(name, locale)
			if err != nil {
				t.Fatal(err)
			}
			for part, got := range map[string]string{"subject": r.Subject + "\n", "txt": r.Text, "html": r.HTML} {
				golden(t, name+"."+locale+"."+part, got)
			}
			if m.set.byName[name].sample.Link != nil && (strings.Count(r.Text, "\ncg") != 1 || !strings.Contains(r.HTML, "#cg")) {
				t.Errorf("%s/%s: the token does not stand on a line of its own, or the link lacks it", name, locale)
			}
			for line := range strings.Lines(r.Text) {
				if n := len([]rune(strings.TrimSpace(line))); n > lineWidth && strings.Contains(strings.TrimSpace(line), " ") {
					t.Errorf("%s/%s: a line of %d characters: %q", name, locale, n, line)
				}
			}
		}
	}
	if _, err := m.Preview("nothing", "en"); err == nil {
		t.Error("an unknown template was shown")
	}
	r, err := m.Preview("password_changed", "de-AT")
	if err != nil || r.Locale != "en" {
		t.Errorf("German reads %s, %v; want en", r.Locale, err)
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs from its golden (run with -update and look at the difference):\n%s", name, got)
	}
}

// What people typed is inert in every part: it makes no markup, no header, no
// link, and no line that could pass for ours.
func TestHostileData(t *testing.T) {
	t.Parallel()
	m := newMailer(t, "smtp://127.0.0.1:1")
	for _, hostile := range []string{
		`<script>alert(1)</script><img src=x onerror=alert(1)>`,
		"Eve\r\nBcc: victim@example.com\r\n\r\nbody",
		"Pay at https://evil.example.com/now or mail eve@evil.com",
		"evil.com", "\u202Egnp.exe", "a\u200Bb", `"><a href="javascript:alert(1)">x</a>`, "{{.Token}}",
		"line\n.\nQUIT\n", strings.Repeat("x", 5000),
	} {
		msg := sampleMessage(m, "partnership_invitation")
		for _, key := range []string{"InviterName", "InviterCompany", "Note", "ProgrammeOperator"} {
			msg.Data[key] = hostile
		}
		r, err := m.render(msg)
		if err != nil {
			t.Fatalf("%q: %v", hostile, err)
		}
		if strings.ContainsAny(r.Subject, "\r\n") || strings.Contains(r.Subject, "x") && strings.Contains(r.Subject, hostile) {
			t.Errorf("%q reached the subject %q", hostile, r.Subject)
		}
		for _, bad := range []string{"<script", "<img", "javascript:alert(1)\"", "\u202E", "\u200B", "evil.com", "evil.example.com", "https://evil"} {
			if strings.Contains(r.HTML, bad) || strings.Contains(r.Text, bad) && bad[0] != '<' && !strings.HasPrefix(bad, "java") {
				t.Errorf("%q leaves %q in the mail", hostile, bad)
			}
		}
		if n := strings.Count(r.HTML, "<a "); n != 3 {
			t.Errorf("%q: %d links, want 3: ours, the page for pasting, home", hostile, n)
		}
		raw, err := m.compose(msg)
		if err != nil {
			t.Fatal(err)
		}
		head, _, _ := strings.Cut(string(raw), "\r\n\r\n")
		if strings.Contains(head, "victim") || strings.Contains(head, "evil") {
			t.Errorf("%q reached the headers:\n%s", hostile, head)
		}
	}
}

func TestNoteIsQuoted(t *testing.T) {
	t.Parallel()
	m := newMailer(t, "smtp://127.0.0.1:1")
	msg := sampleMessage(m, "partnership_invitation")
	msg.Data["Note"] = "First line.\n\nReview the request:\n" + strings.Repeat("word ", 40)
	r, err := m.render(msg)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(r.Text, "not by\nContoso Cloud Programme:\n")
	if !ok {
		t.Fatalf("the warning is missing:\n%s", r.Text)
	}
	note, _, _ := strings.Cut(rest, "If your company accepts")
	for line := range strings.Lines(strings.TrimSpace(note)) {
		if !strings.HasPrefix(line, ">") {
			t.Errorf("a line of the note is not quoted: %q", line)
		}
	}
}

func TestDraftData(t *testing.T) {
	t.Parallel()
	m := newMailer(t, "smtp://127.0.0.1:1")
	for name, change := range map[string]func(*Message){
		"unknown key":     func(x *Message) { x.Data["Extra"] = "1" },
		"missing key":     func(x *Message) { delete(x.Data, "InviterName") },
		"missing link":    func(x *Message) { x.LinkPurpose = "" },
		"no such subject": func(x *Message) { x.Template = "nothing" },
	} {
		msg := sampleMessage(m, "partnership_invitation")
		change(msg)
		if _, err := m.render(msg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	msg := sampleMessage(m, "partnership_invitation")
	delete(msg.Data, "Note")
	delete(msg.Data, "ProgrammeOperator")
	r, err := m.render(msg)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(r.Text, "written by") || !strings.Contains(r.Text, "programme of\nContoso Cloud Programme") {
		t.Errorf("optional data:\n%s", r.Text)
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		url string
		ok  bool
		sec security
		to  string
	}{
		{"smtp://127.0.0.1:2525", true, plain, "127.0.0.1:2525"},
		{"smtp://localhost", true, plain, "localhost:25"},
		{"smtp://[::1]:25", true, plain, "[::1]:25"},
		{"smtp://mail.example.com", true, startTLS, "mail.example.com:587"},
		{"smtp://u:p@mail.example.com:25", true, startTLS, "mail.example.com:25"},
		{"smtps://u:p@mail.example.com", true, implicitTLS, "mail.example.com:465"},
		{"smtp://mail.example.com?tls=implicit", true, implicitTLS, "mail.example.com:465"},
		{"smtp://mail.example.com?tls=none", true, plain, "mail.example.com:25"},
		{"smtp://u:p@mail.example.com?tls=none", false, 0, ""},
		{"smtp://127.0.0.1?tls=maybe", false, 0, ""},
		{"http://mail.example.com", false, 0, ""},
		{"smtp://", false, 0, ""},
		{"", false, 0, ""},
	} {
		s, err := parseServer(c.url, nil)
		if (err == nil) != c.ok || c.ok && (s.security != c.sec || s.name != c.to) {
			t.Errorf("%q: %v %v %v", c.url, s.name, s.security, err)
		}
		if err != nil && strings.Contains(err.Error(), "u:p") {
			t.Errorf("%q: the error shows the password", c.url)
		}
	}
	for _, change := range []func(*Config){
		func(c *Config) { c.From = "nobody" },
		func(c *Config) { c.From = "A\r\nBcc: x@example.com <a@example.com>" },
		func(c *Config) { c.ProductName = "A\r\nBcc: x@example.com" },
		func(c *Config) { c.PublicURL = "partner.example.com" },
		func(c *Config) { c.PublicURL = "javascript://x" },
		func(c *Config) { c.DKIMKey = "nonsense" },
	} {
		c := testConfig("smtp://127.0.0.1:1")
		change(&c)
		if err := (&Mailer{cfg: c}).configure(); err == nil {
			t.Errorf("accepted: %+v", c)
		}
	}
}

func TestMask(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"john@example.com": "j***@example.com", "é@x.it": "é***@x.it", "": "***", "nobody": "***", "@x.it": "***"} {
		if got := Mask(in); got != want {
			t.Errorf("Mask(%q) = %q, want %q", in, got, want)
		}
	}
	if got := masked("550 5.1.1 <john.smith@example.com>:\r\n Recipient  unknown"); got != "550 5.1.1 <j***@example.com>: Recipient unknown" {
		t.Errorf("masked: %q", got)
	}
}
