package mailbox

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/database/dbtest"
	"github.com/channelgraph/channelgraph/internal/mail"
	"github.com/channelgraph/channelgraph/internal/secret"
)

const sample = "From: Partner Center <partners@contoso.example>\r\nTo: <giulia@example.com>\r\nSubject: =?utf-8?q?Citt=C3=A0_=26_<b>?=\r\n" +
	"Message-ID: <abc@contoso.example>\r\nDate: Thu, 12 Mar 2026 09:42:00 +0000\r\nContent-Language: it\r\nMIME-Version: 1.0\r\n" +
	"Content-Type: multipart/alternative;\r\n boundary=xyz\r\n\r\n--xyz\r\nContent-Type: text/plain; charset=UTF-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" +
	"Citt=C3=A0 https://p.example/ and:\r\n\r\nhttps://p.example/l/partnership#cgi_to=\r\nken-1\r\n.. dots\r\n" +
	"--xyz\r\nContent-Type: text/html; charset=UTF-8\r\nContent-Transfer-Encoding: base64\r\n\r\n" +
	"PGh0bWw+PGhlYWQ+PC9oZWFkPjxzY3JpcHQ+YWxlcnQoMSk8L3NjcmlwdD48YSBocmVmPSJodHRw\r\nczovL3AuZXhhbXBsZS9sL3BhcnRuZXJzaGlwI2NnaV90b2tlbi0xIj54PC9hPjwvaHRtbD4=\r\n--xyz--\r\n"

func open(t *testing.T, dir string) (*Mailbox, string) {
	t.Helper()
	m, err := Open(dir, func() time.Time { return time.Date(2026, 3, 12, 9, 45, 0, 0, time.UTC) })
	if err != nil {
		t.Fatal(err)
	}
	u, err := m.Start("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	p, err := url.Parse(u)
	if err != nil || p.Query().Get("tls") != "none" {
		t.Fatal(u, err)
	}
	return m, p.Host
}

func post(addr, to string) error {
	c, err := smtp.Dial(addr)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	return c.SendMail("partners@contoso.example", []string{to}, strings.NewReader(sample))
}

func TestReceiveAndKeep(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	m, addr := open(t, dir)
	for _, to := range []string{"giulia@example.com", "marco@example.com"} {
		if err := post(addr, to); err != nil {
			t.Fatal(err)
		}
	}
	check := func(m *Mailbox) {
		t.Helper()
		items := m.List()
		if len(items) != 2 || items[0].To[0] != "marco@example.com" {
			t.Fatalf("%d mails: %+v", len(items), items)
		}
		i := items[1]
		if i.Subject != "Città & <b>" || i.Locale != "it" || i.MessageID != "abc@contoso.example" || i.From != "partners@contoso.example" ||
			!strings.HasPrefix(i.Text, "Città") || !strings.Contains(i.Text, "\n.. dots") || !strings.Contains(i.HTML, "<script>") || i.Date.Hour() != 9 || i.Size != len(sample) {
			t.Errorf("%+v", i)
		}
		want := []Link{{URL: "https://p.example/l/partnership#cgi_token-1", Token: "cgi_token-1", Purpose: "partnership"}, {URL: "https://p.example/"}}
		if len(i.Links) != 2 || i.Links[0] != want[0] || i.Links[1] != want[1] {
			t.Errorf("links %+v", i.Links)
		}
	}
	check(m)
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	// A line that a crash cut off was never confirmed.
	f, err := os.OpenFile(filepath.Join(dir, fileName), os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = f.WriteString(`{"id":"cut","raw":"QUJ`)
	_ = f.Close()
	m, _ = open(t, dir)
	check(m)
	if err := m.Delete(m.List()[0].ID); err != nil {
		t.Fatal(err)
	}
	_ = m.Close()
	m, _ = open(t, dir)
	if n := len(m.List()); n != 1 {
		t.Errorf("%d mails after a deletion", n)
	}
	if err := m.Clear(); err != nil || len(m.List()) != 0 {
		t.Error(err)
	}
	st, err := os.Stat(filepath.Join(dir, fileName))
	if err != nil || st.Size() != 0 || st.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", st, err)
	}
}

func TestOnlyLoopback(t *testing.T) {
	t.Parallel()
	m, err := Open(t.TempDir(), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	for _, addr := range []string{"0.0.0.0:0", ":0", "192.0.2.1:25", "mail.example.com:25", "nonsense"} {
		if _, err := m.Start(addr); err == nil {
			t.Errorf("listens on %s", addr)
		}
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	m, addr := open(t, t.TempDir())
	for _, c := range []struct {
		mode Mode
		code int // 0: the connection drops
		kept int
	}{
		{TempFail, 451, 0}, {PermFail, 550, 0}, {TempFailData, 451, 0}, {PermFailData, 554, 0}, {Refuse, 421, 0}, {DropBefore, 0, 0}, {DropAfter, 0, 1},
	} {
		if err := m.Clear(); err != nil {
			t.Fatal(err)
		}
		if err := m.SetFault(Fault{Mode: c.mode, Times: 2}); err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			err := post(addr, "giulia@example.com")
			if i == 2 {
				if err != nil {
					t.Errorf("%s: still at work after its times: %v", c.mode, err)
				}
				break
			}
			var reply *smtp.SMTPError
			if c.code == 0 && (err == nil || errors.As(err, &reply) && reply.Code != 421) || c.code != 0 && (!errors.As(err, &reply) || reply.Code != c.code) {
				t.Errorf("%s: %v, want %d", c.mode, err, c.code)
			}
		}
		if n := len(m.List()); n != 2*c.kept+1 {
			t.Errorf("%s: %d mails kept", c.mode, n)
		}
		if m.Fault().Mode != Off {
			t.Errorf("%s: %+v", c.mode, m.Fault())
		}
	}
	for _, bad := range []Fault{{Mode: "x"}, {Mode: TempFail, Times: -2}, {Mode: Delay, DelayMS: 1e9}, {Mode: Delay, DelayMS: -1}} {
		if err := m.SetFault(bad); err == nil {
			t.Errorf("accepted %+v", bad)
		}
	}
	if err := m.SetFault(Fault{Mode: Delay, DelayMS: 1, Times: -1}); err != nil {
		t.Fatal(err)
	}
	if err := post(addr, "giulia@example.com"); err != nil || m.Fault().Mode != Delay {
		t.Error(err, m.Fault())
	}
}

func get(t *testing.T, h http.Handler, target string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func submit(h http.Handler, target, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, target, strings.NewReader(body))
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestJSON(t *testing.T) {
	t.Parallel()
	m, addr := open(t, t.TempDir())
	for _, to := range []string{"giulia@example.com", "marco@example.com", "giulia@example.com"} {
		if err := post(addr, to); err != nil {
			t.Fatal(err)
		}
	}
	first := m.List()[2].ID
	for query, want := range map[string]int{"": 3, "?to=GIULIA@example.com": 2, "?to=nobody@example.com": 0, "?subject=citt%C3%A0": 3, "?subject=x": 0,
		"?since=" + first: 2, "?since=2026-03-12T09:45:00Z": 0, "?since=2026-03-12T09:44:59Z": 3, "?to=giulia@example.com&since=" + first: 1, "?since=yesterday": -1} {
		w := get(t, m.JSON(), "/dev/mail"+query)
		var got struct {
			Mails []Item `json:"mails"`
			Error string `json:"error"`
		}
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if want < 0 {
			if w.Code != http.StatusBadRequest || got.Error == "" {
				t.Errorf("%s: %d %s", query, w.Code, w.Body)
			}
			continue
		}
		if w.Code != http.StatusOK || got.Mails == nil || len(got.Mails) != want {
			t.Errorf("%s: %d, %d mails, want %d", query, w.Code, len(got.Mails), want)
		}
	}
	f := m.FaultsHandler()
	if w := submit(f, "/dev/mail/faults", `{"mode":"tempfail","times":2}`); w.Code != http.StatusOK || m.Fault() != (Fault{Mode: TempFail, Times: 2}) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	for _, bad := range []string{"", "{", `{"mode":"x"}`, `{"mood":"off"}`, `[]`, strings.Repeat(" ", 5000) + "{}"} {
		if w := submit(f, "/dev/mail/faults", bad); w.Code != http.StatusBadRequest {
			t.Errorf("%q: %d", bad, w.Code)
		}
	}
	if w := submit(f, "/dev/mail/faults", `{"mode":"off"}`, "Sec-Fetch-Site", "cross-site"); w.Code != http.StatusForbidden || m.Fault().Mode != TempFail {
		t.Errorf("another site programmed a fault: %d", w.Code)
	}
	if w := submit(m.JSON(), "/dev/mail", ""); w.Code != http.StatusMethodNotAllowed {
		t.Error(w.Code)
	}
}

func TestPages(t *testing.T) {
	t.Parallel()
	m, addr := open(t, t.TempDir())
	h := m.Handler("/dev/mailbox")
	if w := get(t, h, "/dev/mailbox/"); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "No mail yet") {
		t.Errorf("empty: %d", w.Code)
	}
	for _, to := range []string{"giulia@example.com", "marco@example.com"} {
		if err := post(addr, to); err != nil {
			t.Fatal(err)
		}
	}
	id := m.List()[0].ID
	page := "/dev/mailbox/m/" + id
	for _, c := range []struct {
		path, lang, want, not string
		code                  int
	}{
		{"/dev/mailbox/", "en-GB,en", "Recipients", "<b>", 200},
		{"/dev/mailbox/", "it-IT,it;q=0.9,en;q=0.1", "Destinatari", "Recipients", 200},
		{"/dev/mailbox/", "de,fr", "Recipients", "", 200},
		{"/dev/mailbox/?lang=it", "en", "Destinatari", "", 200},
		{"/dev/mailbox/?to=giulia%40example.com", "", "Città &amp; &lt;b&gt;", "/m/" + id, 200},
		{"/dev/mailbox/?q=dots", "", "/m/" + id, "Nothing matches", 200},
		{"/dev/mailbox/?q=%3Cscript%3E", "", "Nothing matches", "<script>", 200},
		{page, "", `sandbox="allow-popups allow-popups-to-escape-sandbox"`, "<script>", 200},
		{page, "", "cgi_token-1", "", 200},
		{page + "?view=text", "", "Città https", "<iframe", 200},
		{page + "?view=headers", "", "Content-Language", "", 200},
		{page + "?view=source", "", "quoted-printable", "<script>", 200},
		{page + "?view=nonsense", "", "<iframe", "", 200},
		{"/dev/mailbox/m/none", "", "no longer here", "", 404},
		{"/dev/mailbox/m/none/body", "", "", "", 404},
		{"/dev/mailbox/style.css", "", "prefers-color-scheme: dark", "", 200},
		{"/elsewhere", "", "", "", 404},
	} {
		w := get(t, h, c.path, "Accept-Language", c.lang)
		body := strings.ReplaceAll(w.Body.String(), "<b>2</b>", "")
		body = strings.ReplaceAll(body, "<b>1</b>", "")
		if w.Code != c.code || !strings.Contains(body, c.want) || c.not != "" && strings.Contains(body, c.not) {
			t.Errorf("%s (%s): %d, wants %q and not %q:\n%s", c.path, c.lang, w.Code, c.want, c.not, w.Body)
		}
		hd := w.Header()
		if p := hd.Get("Content-Security-Policy"); !strings.Contains(p, "default-src 'none'") || strings.Contains(p, "script") || hd.Get("Cache-Control") != "no-store" || hd.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: headers %v", c.path, hd)
		}
		for _, bad := range []string{"src=\"http", "href=\"//", "url(http", "@import"} {
			if strings.Contains(body, bad) && !strings.HasSuffix(c.path, "/body") {
				t.Errorf("%s loads something from elsewhere: %s", c.path, bad)
			}
		}
	}
	w := get(t, h, page+"/body")
	if !strings.Contains(w.Header().Get("Content-Security-Policy"), "sandbox allow-popups") || !strings.Contains(w.Body.String(), `<base target="_blank">`) {
		t.Errorf("body: %v\n%s", w.Header(), w.Body)
	}
	if w := get(t, h, page+"/raw"); w.Body.String() != sample || w.Header().Get("Content-Type") != "application/octet-stream" {
		t.Error("the raw mail differs")
	}
	if w := submit(h, page+"/bounce", ""); w.Code != http.StatusSeeOther || !strings.HasSuffix(w.Header().Get("Location"), "?done=failed") {
		t.Errorf("bounce without a taker: %d %v", w.Code, w.Header())
	}
	if w := submit(h, "/dev/mailbox/clear", "", "Sec-Fetch-Site", "cross-site"); w.Code != http.StatusForbidden || len(m.List()) != 2 {
		t.Error("another site cleared the mailbox")
	}
	if w := submit(h, page+"/delete", ""); w.Code != http.StatusSeeOther || len(m.List()) != 1 {
		t.Error(w.Code)
	}
	if w := submit(h, "/dev/mailbox/clear", "", "Sec-Fetch-Site", "same-origin"); w.Code != http.StatusSeeOther || len(m.List()) != 0 {
		t.Error(w.Code)
	}
}

// Mail leaves through the mailer, arrives here, and comes back as a bounce.
func TestWithMailer(t *testing.T) {
	t.Parallel()
	box, addr := open(t, t.TempDir())
	keys, err := secret.NewKeys(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	db := dbtest.New(t)
	mailer, err := mail.New(db, keys, mail.Config{SMTPURL: "smtp://" + addr, From: "partners@contoso.example", PublicURL: "http://localhost:8080"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(mailer.Close)
	var back *mail.Message
	mailer.OnBounce(func(_ context.Context, _ *database.Tx, m *mail.Message, _ mail.Report) error { back = m; return nil })
	box.OnBounce(func(ctx context.Context, raw []byte) error {
		_, _, err := mailer.Bounce(ctx, strings.NewReader(string(raw)))
		return err
	})
	var msg *mail.Message
	err = db.InTx(t.Context(), func(ctx context.Context, tx *database.Tx) (err error) {
		msg, err = mailer.Queue(ctx, tx, mail.Draft{Key: "k", Template: "password_reset", Locale: "it", To: "Giulia@example.com", Data: map[string]string{"Name": "Giulia", "ExpiresAt": "2026-03-12T10:00:00Z"},
			Link: &mail.Link{Purpose: "reset", Prefix: "cgr", Path: "/l/reset", SubjectID: "usr_00000000000000000000000000", Generation: 1}})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := mailer.Deliver(t.Context(), msg.ID, mail.Hooks{}); err != nil {
		t.Fatal(err)
	}
	items := box.List()
	if len(items) != 1 || items[0].Subject != "Reimposta la password" || items[0].Locale != "it" || len(items[0].Links) == 0 {
		t.Fatalf("%+v", items)
	}
	want := keys.Capability("cgr", "reset", "usr_00000000000000000000000000", 1).Reveal()
	if l := items[0].Links[0]; l.Token != want || l.Purpose != "reset" || l.URL != "http://localhost:8080/l/reset#"+want {
		t.Errorf("%+v", l)
	}
	if w := submit(box.Handler("/m/"), "/m/m/"+items[0].ID+"/bounce", ""); !strings.HasSuffix(w.Header().Get("Location"), "?done=bounced") || back == nil || back.ID != msg.ID {
		t.Errorf("%v, %+v", w.Header(), back)
	}
	if err := box.Bounce(t.Context(), "giulia@EXAMPLE.com"); err != nil { // once more changes nothing
		t.Error(err)
	}
	if err := box.Bounce(t.Context(), "nobody@example.com"); err == nil {
		t.Error("a mail that is not there bounced")
	}
	if got, err := mailer.Find(t.Context(), msg.ID); err != nil || got.State != mail.Bounced {
		t.Errorf("%+v %v", got, err)
	}
	if ok, err := mailer.Suppressed(t.Context(), "giulia@example.com"); !ok || err != nil {
		t.Error(ok, err)
	}
}
