package mail

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
)

// world is a mailer with one queued message and what its concept was told.
type world struct {
	*testing.T
	m   *Mailer
	ctx context.Context
	msg *Message

	mu   sync.Mutex
	told []Outcome
}

func newWorld(t *testing.T, url string, change ...func(*Config)) *world {
	t.Helper()
	w := &world{T: t, m: newMailer(t, url, change...), ctx: ident.WithRequest(context.Background(), "req-1")}
	w.msg = w.queue(draft("k1"))
	return w
}

func draft(key string) Draft {
	return Draft{Key: key, Template: "partnership_invitation", Locale: "it-IT", To: "Giulia.Bianchi@Example.com", SubjectID: "inv_00000000000000000000000000",
		Data: map[string]string{"InviterName": "Marco Rinaldi", "InviterCompany": "Nordwind S.p.A.", "Note": "Ciao!\n.\nA presto", "ExpiresAt": "2026-04-11T09:30:00Z"},
		Link: &Link{Purpose: "partnership_invitation", Prefix: "cgq", Path: "/l/partnership", SubjectID: "inv_00000000000000000000000000", Generation: 1}}
}

func (w *world) queue(d Draft) *Message {
	w.Helper()
	var msg *Message
	err := w.m.db.InTx(w.ctx, func(ctx context.Context, tx *database.Tx) (err error) {
		msg, err = w.m.Queue(ctx, tx, d)
		return err
	})
	if err != nil {
		w.Fatal(err)
	}
	return msg
}

func (w *world) hooks() Hooks {
	return Hooks{Settle: func(_ context.Context, _ *database.Tx, _ *Message, o Outcome) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.told = append(w.told, o)
		return nil
	}}
}

func (w *world) deliver() error { return w.m.Deliver(w.ctx, w.msg.ID, w.hooks()) }

// is checks the message's row and timeline.
func (w *world) is(s State, code string, events ...string) *Message {
	w.Helper()
	msg, err := w.m.Find(w.ctx, w.msg.ID)
	if err != nil {
		w.Fatal(err)
	}
	if msg.State != s || msg.FailureCode != code {
		w.Errorf("message is %s %q, want %s %q (reply %q)", msg.State, msg.FailureCode, s, code, msg.ServerReply)
	}
	all, err := w.m.Events(w.ctx, []ident.ID{w.msg.ID})
	if err != nil {
		w.Fatal(err)
	}
	var got []string
	for _, e := range all[w.msg.ID] {
		got = append(got, e.Event)
	}
	if !slices.Equal(got, events) {
		w.Errorf("timeline %v, want %v", got, events)
	}
	return msg
}

func (w *world) retry(err error, code string, free bool, least, most time.Duration) {
	w.Helper()
	r := fault.AsRetry(err)
	if r == nil || r.Code != code || r.Free != free || r.Never || r.After < least || r.After > most {
		w.Fatalf("answer %#v (%v), want a retry for %s, free %t, after %s to %s", r, err, code, free, least, most)
	}
}

func TestDeliver(t *testing.T) {
	t.Parallel()
	s := startServer(t, false, nil)
	w := newWorld(t, "smtp://"+s.addr)
	if again := w.queue(draft("k1")); again.ID != w.msg.ID {
		t.Error("the same key made a second message")
	}
	var outcomes []string
	w.m.OnOutcome = func(state, code string) { outcomes = append(outcomes, state+code) }
	if err := w.deliver(); err != nil {
		t.Fatal(err)
	}
	if err := w.deliver(); err != nil { // a job may run twice
		t.Fatal(err)
	}
	msg := w.is(Sent, "", "queued", "sending", "sent")
	got := s.all()
	if len(got) != 1 {
		t.Fatalf("%d mails, want 1", len(got))
	}
	raw := got[0].raw
	if got[0].from != "partners@contoso.example" || got[0].to != "Giulia.Bianchi@example.com" || got[0].utf8 {
		t.Errorf("envelope %+v", got[0])
	}
	for _, want := range []string{
		"From: \"Contoso Partner Center\" <partners@contoso.example>\r\n", "To: <Giulia.Bianchi@example.com>\r\n",
		"Message-ID: <" + msg.ID.Body() + "@contoso.example>\r\n", "Date: " + msg.DatedAt.Format(time.RFC1123Z) + "\r\n",
		"Auto-Submitted: auto-generated\r\n", "X-Auto-Response-Suppress: All\r\n", "Content-Language: it\r\n", "Subject: Richiesta di partnership",
		"multipart/alternative",
	} {
		if !strings.Contains(raw, want) {
			t.Errorf("no %q in\n%s", want, raw)
		}
	}
	if strings.Contains(raw, "List-Unsubscribe") || strings.Contains(raw, "User-Agent") || strings.Contains(raw, "X-Mailer") {
		t.Error("a header too many")
	}
	if msg.SentAt == nil || msg.ServerReply == "" || msg.RequestID != "req-1" || !msg.Settled || msg.Attempts != 1 {
		t.Errorf("row %+v", msg)
	}
	if len(w.told) != 1 || w.told[0] != (Outcome{State: Sent}) || !slices.Equal(outcomes, []string{"sent"}) {
		t.Errorf("told %v, counted %v", w.told, outcomes)
	}
	token := w.m.keys.Capability("cgq", "partnership_invitation", "inv_00000000000000000000000000", 1).Reveal()
	if !strings.Contains(strings.ReplaceAll(raw, "=\r\n", ""), token) {
		t.Error("the mail lacks the token")
	}
	if strings.Contains(fmt.Sprintf("%+v", *msg), token) {
		t.Error("the row holds the token")
	}
	by, err := w.m.BySubject(w.ctx, []ident.ID{"inv_00000000000000000000000000", "inv_00000000000000000000000001"})
	if err != nil || len(by) != 1 || len(by["inv_00000000000000000000000000"]) != 1 {
		t.Errorf("by subject: %v, %v", by, err)
	}
}

func TestQueueRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "smtp://127.0.0.1:1")
	for name, c := range map[string]struct {
		change func(*Draft)
		code   string
	}{
		"address":          {func(d *Draft) { d.To = "x@example.com\r\nBcc: y@example.com" }, "EMAIL_INVALID"},
		"two addresses":    {func(d *Draft) { d.To = "x@example.com, y@example.com" }, "EMAIL_INVALID"},
		"quoted local":     {func(d *Draft) { d.To = `"a b"@example.com` }, "EMAIL_INVALID"},
		"long":             {func(d *Draft) { d.To = strings.Repeat("a", 300) + "@example.com" }, "EMAIL_TOO_LONG"},
		"no key":           {func(d *Draft) { d.Key = "" }, ""},
		"unknown template": {func(d *Draft) { d.Template = "x" }, ""},
		"foreign path":     {func(d *Draft) { d.Link.Path = "https://evil.example.com" }, ""},
		"path with line":   {func(d *Draft) { d.Link.Path = "/l\r\nX: y" }, ""},
		"no link":          {func(d *Draft) { d.Link = nil }, ""},
	} {
		d := draft("other")
		c.change(&d)
		err := w.m.db.InTx(w.ctx, func(ctx context.Context, tx *database.Tx) error {
			_, err := w.m.Queue(ctx, tx, d)
			return err
		})
		if err == nil || c.code != "" && !fault.Is(err, c.code) {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
}

func TestRetryIsByteIdentical(t *testing.T) {
	t.Parallel()
	s := startServer(t, false, func(s *smtpServer) { s.dropAfter = func(n int) bool { return n == 0 } })
	w := newWorld(t, "smtp://"+s.addr)
	w.retry(w.deliver(), CodeReplyLost, false, time.Minute, time.Minute)
	if msg := w.is(Deferred, CodeReplyLost, "queued", "sending", "deferred"); !msg.MaybeDuplicate || msg.NextAttemptAt == nil {
		t.Errorf("row %+v", msg)
	}
	w.m.db.Clock().Advance(61 * time.Second)
	if err := w.deliver(); err != nil {
		t.Fatal(err)
	}
	w.is(Sent, "", "queued", "sending", "deferred", "sending", "sent")
	got := s.all()
	if len(got) != 2 || got[0].raw != got[1].raw {
		t.Errorf("%d mails; the second copy differs from the first", len(got))
	}
	if len(w.told) != 2 || w.told[1] != (Outcome{State: Sent, MaybeDuplicate: true}) {
		t.Errorf("told %+v", w.told)
	}
}

// Every way in which a server can answer, phase by phase.
func TestAnswers(t *testing.T) {
	t.Parallel()
	always := func(err error) func(int) error { return func(int) error { return err } }
	for name, c := range map[string]struct {
		server func(*smtpServer)
		to     string
		state  State
		code   string
		free   bool
		least  time.Duration
		rcpt   bool
		reply  string
	}{
		"MAIL 451":      {server: func(s *smtpServer) { s.mail = always(code(451, "later")) }, state: Deferred, code: CodeTemporary, least: time.Minute},
		"MAIL 550":      {server: func(s *smtpServer) { s.mail = always(code(550, "no")) }, state: Failed, code: CodeSender},
		"MAIL 421":      {server: func(s *smtpServer) { s.mail = always(code(421, "closing")) }, state: Deferred, code: CodeUnavailable, free: true, least: 5 * time.Second},
		"MAIL 530":      {server: func(s *smtpServer) { s.mail = always(code(530, "sign in")) }, state: Deferred, code: CodeSignIn, free: true, least: 5 * time.Second},
		"RCPT 450":      {server: func(s *smtpServer) { s.rcpt = always(code(450, "greylisted")) }, state: Deferred, code: CodeTemporary, least: time.Minute},
		"RCPT 550":      {server: func(s *smtpServer) { s.rcpt = always(code(550, "<giulia.bianchi@example.com> unknown")) }, state: Failed, code: CodeRecipient, rcpt: true, reply: "550 5.0.0 <g***@example.com> unknown"},
		"dot 451":       {server: func(s *smtpServer) { s.data = always(code(451, "later")) }, state: Deferred, code: CodeTemporary, least: time.Minute},
		"dot 554":       {server: func(s *smtpServer) { s.data = always(code(554, "spam")) }, state: Failed, code: CodeRefused},
		"lost in body":  {server: func(s *smtpServer) { s.dropBefore = func(int) bool { return true } }, state: Deferred, least: time.Minute},
		"lost at dot":   {server: func(s *smtpServer) { s.dropAfter = func(int) bool { return true } }, state: Deferred, code: CodeReplyLost, least: time.Minute},
		"no SMTPUTF8":   {server: func(s *smtpServer) { s.noUTF8 = true }, to: "niccolò@example.com", state: Failed, code: CodeUTF8, rcpt: true},
		"with SMTPUTF8": {to: "niccolò@example.com", state: Sent},
		"IDN":           {to: "a@bücher.example", state: Sent},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startServer(t, false, c.server)
			w := newWorld(t, "smtp://"+s.addr)
			if c.to != "" {
				d := draft("k2")
				d.To = c.to
				w.msg = w.queue(d)
			}
			err := w.deliver()
			msg, ferr := w.m.Find(w.ctx, w.msg.ID)
			if ferr != nil {
				t.Fatal(ferr)
			}
			if c.code == "" && msg.State == Deferred { // whether the whole body had left is the network's affair
				c.code = msg.FailureCode
				if c.code != CodeLost && c.code != CodeReplyLost || msg.MaybeDuplicate != (c.code == CodeReplyLost) {
					t.Errorf("code %s, maybe duplicate %t", c.code, msg.MaybeDuplicate)
				}
			}
			w.is(c.state, c.code, "queued", "sending", string(c.state))
			if c.state == Deferred {
				w.retry(err, c.code, c.free, c.least, c.least+10*time.Second)
				if r := fault.AsRetry(err); strings.Contains(r.Error(), "@") {
					t.Errorf("the error shows an address: %v", r)
				}
			} else if err != nil {
				t.Fatal(err)
			}
			if c.free != (msg.Attempts == 0) {
				t.Errorf("%d attempts charged", msg.Attempts)
			}
			if len(w.told) != 1 || w.told[0].State != c.state || w.told[0].Code != c.code || w.told[0].Recipient != c.rcpt {
				t.Errorf("told %+v", w.told)
			}
			if c.reply != "" && msg.ServerReply != c.reply {
				t.Errorf("reply %q, want %q", msg.ServerReply, c.reply)
			}
			if c.state == Sent && c.to != "" {
				got := s.all()
				if len(got) != 1 || got[0].utf8 == isASCII(got[0].to) || c.to == "a@bücher.example" && got[0].to != "a@xn--bcher-kva.example" {
					t.Errorf("envelope %+v", got)
				}
			}
			if c.state == Failed { // final: another run does nothing
				if err := w.deliver(); err != nil || len(w.told) != 1 {
					t.Errorf("a second run: %v, told %v", err, w.told)
				}
			}
		})
	}
}

func TestSchedule(t *testing.T) {
	t.Parallel()
	s := startServer(t, false, func(s *smtpServer) { s.rcpt = func(int) error { return code(450, "later") } })
	w := newWorld(t, "smtp://"+s.addr)
	d := draft("k2")
	d.ExpiresAt = w.m.db.Now().Add(4 * time.Hour)
	w.msg = w.queue(d)
	total := time.Duration(0)
	steps := []time.Duration{1, 5, 15, 60}
	for i := 0; total < 4*time.Hour-time.Second; i++ { // the clock goes on meanwhile
		want := steps[min(i, len(steps)-1)]
		r := fault.AsRetry(w.deliver())
		if r == nil || r.Free || r.After <= 0 {
			t.Fatalf("attempt %d: %+v", i+1, r)
		}
		want *= time.Minute
		if left := 4*time.Hour - total; r.After < want && r.After < left-time.Second && i < 4 || r.After > want+want/5 || i >= 4 && r.After < want-want/5 && r.After < left-time.Minute {
			t.Fatalf("attempt %d waits %s, want %s (%s left)", i+1, r.After, want, left)
		}
		total += r.After
		w.m.db.Clock().Advance(r.After)
	}
	w.m.db.Clock().Advance(time.Minute)
	if err := w.deliver(); err != nil {
		t.Fatal(err)
	}
	msg, err := w.m.Find(w.ctx, w.msg.ID)
	if err != nil || msg.State != Expired || msg.FailureCode != CodeExpired {
		t.Errorf("%+v, %v", msg, err)
	}
	if last := w.told[len(w.told)-1]; last.State != Expired {
		t.Errorf("told %+v", last)
	}
}

func TestNotSent(t *testing.T) {
	t.Parallel()
	s := startServer(t, false, nil)
	t.Run("not wanted", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, "smtp://"+s.addr)
		h := w.hooks()
		h.Wanted = func(context.Context) (bool, error) { return false, nil }
		if err := w.m.Deliver(w.ctx, w.msg.ID, h); err != nil {
			t.Fatal(err)
		}
		w.is(Suppressed, CodeNotWanted, "queued", "suppressed")
	})
	t.Run("unknown whether wanted", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, "smtp://"+s.addr)
		h := w.hooks()
		h.Wanted = func(context.Context) (bool, error) { return false, errors.New("no database") }
		if err := w.m.Deliver(w.ctx, w.msg.ID, h); err == nil || fault.AsRetry(err) != nil {
			t.Fatal(err)
		}
		w.is(Pending, "", "queued")
	})
	t.Run("suppressed", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, "smtp://"+s.addr)
		err := w.m.db.InTx(w.ctx, func(ctx context.Context, tx *database.Tx) error {
			if err := w.m.Suppress(ctx, tx, "GIULIA.bianchi@example.COM", CodeBounced, w.msg.ID); err != nil {
				return err
			}
			return w.m.Suppress(ctx, tx, "giulia.bianchi@example.com", "AGAIN", "")
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.deliver(); err != nil {
			t.Fatal(err)
		}
		w.is(Suppressed, CodeSuppressed, "queued", "suppressed")
		if ok, err := w.m.Suppressed(w.ctx, "giulia.bianchi@example.com"); !ok || err != nil {
			t.Error(ok, err)
		}
		err = w.m.db.InTx(w.ctx, func(ctx context.Context, tx *database.Tx) error {
			was, cause, err := w.m.Unsuppress(ctx, tx, "Giulia.Bianchi@example.com")
			if !was || cause != w.msg.ID || err != nil {
				t.Error("was not on the list", cause, err)
			}
			was, cause, err = w.m.Unsuppress(ctx, tx, "Giulia.Bianchi@example.com")
			if was || cause != "" {
				t.Error("lifted twice", cause)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		w.msg = w.queue(draft("k2"))
		if err := w.deliver(); err != nil {
			t.Fatal(err)
		}
		w.is(Sent, "", "queued", "sending", "sent")
	})
	t.Run("expired", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, "smtp://"+s.addr)
		w.m.db.Clock().Advance(DefaultLife)
		if err := w.deliver(); err != nil {
			t.Fatal(err)
		}
		w.is(Expired, CodeExpired, "queued", "expired")
	})
	t.Run("unknown", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, "smtp://"+s.addr)
		if r := fault.AsRetry(w.m.Deliver(w.ctx, "msg_00000000000000000000000000", Hooks{})); r == nil || !r.Never {
			t.Error(r)
		}
	})
}

// A server that is down costs no attempts, opens the breaker for all, and one
// attempt finds out when it is back.
func TestBreaker(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := l.Addr().String()
	_ = l.Close()
	w := newWorld(t, "smtp://"+dead)
	other := w.queue(draft("k2"))
	w.retry(w.deliver(), CodeUnavailable, true, 5*time.Second, 10*time.Second)
	if msg := w.is(Deferred, CodeUnavailable, "queued", "sending", "deferred"); msg.Attempts != 0 {
		t.Errorf("%d attempts charged", msg.Attempts)
	}
	w.retry(w.m.Deliver(w.ctx, other.ID, w.hooks()), CodeUnavailable, true, time.Second, 10*time.Second)
	if msg, _ := w.m.Find(w.ctx, other.ID); msg.State != Pending {
		t.Errorf("the other message is %s; the breaker should have kept it", msg.State)
	}
	w.m.db.Clock().Advance(6 * time.Second)
	w.retry(w.deliver(), CodeUnavailable, true, 10*time.Second, 15*time.Second) // twice the first wait
	s := startServer(t, false, nil)
	w.m.server.name = s.addr // back, at another port; the row goes by name
	if err := w.m.db.InTx(w.ctx, func(ctx context.Context, tx *database.Tx) error {
		p, err := w.m.provider(ctx, tx)
		if err != nil {
			return err
		}
		p.Failures, p.Reason = 3, CodeUnavailable
		past := tx.Now.Add(-time.Second)
		p.OpenUntil = &past
		return saveProvider(ctx, tx, p)
	}); err != nil {
		t.Fatal(err)
	}
	if err := w.deliver(); err != nil {
		t.Fatal(err)
	}
	if err := w.m.Deliver(w.ctx, other.ID, w.hooks()); err != nil { // closed again
		t.Fatal(err)
	}
}

func TestRate(t *testing.T) {
	t.Parallel()
	s := startServer(t, false, nil)
	w := newWorld(t, "smtp://"+s.addr, func(c *Config) { c.Rate, c.Burst = 0.1, 2 })
	ids := []ident.ID{w.msg.ID, w.queue(draft("k2")).ID, w.queue(draft("k3")).ID}
	for i, id := range ids {
		err := w.m.Deliver(w.ctx, id, w.hooks())
		if i < 2 && err != nil {
			t.Fatal(err)
		}
		if i == 2 {
			w.retry(err, CodeRate, true, 5*time.Second, 10*time.Second)
		}
	}
	w.m.db.Clock().Advance(10 * time.Second)
	if err := w.m.Deliver(w.ctx, ids[2], w.hooks()); err != nil {
		t.Fatal(err)
	}
}

// A process that dies while sending leaves its claim; the lease brings the
// message back, and only past the mark it may be a duplicate.
func TestLease(t *testing.T) {
	t.Parallel()
	s := startServer(t, false, nil)
	for _, phase := range []string{phaseEnvelope, phaseData} {
		t.Run(phase, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "smtp://"+s.addr)
			a, err := w.m.claim(w.ctx, w.msg, true, Hooks{})
			if err != nil || a == nil {
				t.Fatal(err)
			}
			if ok, err := w.m.hold(w.ctx, w.msg.ID, a.claim, phase); !ok || err != nil {
				t.Fatal(ok, err)
			}
			w.retry(w.deliver(), CodeInFlight, true, time.Second, 17*time.Second)
			w.m.db.Clock().Advance(20 * time.Second)
			if err := w.deliver(); err != nil {
				t.Fatal(err)
			}
			msg := w.is(Sent, "", "queued", "sending", "interrupted", "sending", "sent")
			if msg.MaybeDuplicate != (phase == phaseData) {
				t.Errorf("maybe duplicate: %t", msg.MaybeDuplicate)
			}
			if ok, err := w.m.hold(w.ctx, w.msg.ID, a.claim, ""); ok || err != nil {
				t.Errorf("the dead process still holds the message: %v", err)
			}
		})
	}
}

// Whoever lost the lease closes without the dot.
func TestLeaseLostBeforeTheDot(t *testing.T) {
	t.Parallel()
	s := startServer(t, false, nil)
	w := newWorld(t, "smtp://"+s.addr)
	a, err := w.m.claim(w.ctx, w.msg, true, Hooks{})
	if err != nil {
		t.Fatal(err)
	}
	w.m.db.Clock().Advance(20 * time.Second)
	if _, err := w.m.claim(w.ctx, w.msg, true, Hooks{}); err != nil {
		t.Fatal(err)
	}
	f := w.m.send(w.ctx, a)
	if f == nil || !errors.Is(f.cause, errLeaseLost) || len(s.all()) != 0 {
		t.Errorf("%v; %d mails left", f, len(s.all()))
	}
}

// A shutdown stops an attempt in the envelope without charging it, and waits
// for one whose body has left.
func TestShutdown(t *testing.T) {
	t.Parallel()
	s := startServer(t, false, func(s *smtpServer) { s.hold, s.started = make(chan struct{}), make(chan struct{}) })
	w := newWorld(t, "smtp://"+s.addr)
	ctx, cancel := context.WithCancel(w.ctx)
	done := make(chan error, 1)
	go func() { done <- w.m.Deliver(ctx, w.msg.ID, w.hooks()) }()
	<-s.started
	cancel()
	close(s.hold)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	w.is(Sent, "", "queued", "sending", "sent")

	// A server that accepts the connection and says nothing.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	w = newWorld(t, "smtp://"+l.Addr().String())
	ctx, cancel = context.WithCancel(w.ctx)
	go func() { done <- w.m.Deliver(ctx, w.msg.ID, w.hooks()) }()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	w.retry(<-done, CodeUnavailable, true, time.Second, time.Second)
	_ = c.Close()
	if msg := w.is(Deferred, CodeUnavailable, "queued", "sending", "deferred"); msg.Attempts != 0 {
		t.Errorf("%d attempts charged", msg.Attempts)
	}
	if err := w.m.db.InTx(w.ctx, func(ctx context.Context, tx *database.Tx) error {
		p, err := w.m.peekProvider(ctx, tx)
		if p != nil && p.Failures > 0 {
			t.Error("the shutdown tripped the breaker")
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// What the server accepted is not forgotten when the concept fails; the
// concept is told by the next run, and nothing is sent again.
func TestSettleFails(t *testing.T) {
	t.Parallel()
	s := startServer(t, false, nil)
	w := newWorld(t, "smtp://"+s.addr)
	h := Hooks{Settle: func(context.Context, *database.Tx, *Message, Outcome) error { return errors.New("broken") }}
	if err := w.m.Deliver(w.ctx, w.msg.ID, h); err == nil {
		t.Fatal("the failure was hidden")
	}
	if msg := w.is(Sent, "", "queued", "sending", "sent"); msg.Settled {
		t.Error("counts as settled")
	}
	for range 2 {
		if err := w.deliver(); err != nil {
			t.Fatal(err)
		}
	}
	if len(w.told) != 1 || w.told[0].State != Sent || len(s.all()) != 1 {
		t.Errorf("told %v, %d mails", w.told, len(s.all()))
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	s := startServer(t, true, nil)
	trust := func(c *Config) { tlsConfig(c, s) }
	t.Run("STARTTLS and sign-in", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, "smtp://user:right@"+s.addr+"?tls=starttls", trust)
		if err := w.deliver(); err != nil {
			t.Fatal(err)
		}
		got := s.all()
		if len(got) == 0 || !got[len(got)-1].tls || got[len(got)-1].user != "user" {
			t.Errorf("%+v", got)
		}
		if err := w.m.Probe(w.ctx); err != nil {
			t.Error(err)
		}
	})
	t.Run("wrong password", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, "smtp://user:wrong@"+s.addr+"?tls=starttls", trust)
		w.retry(w.deliver(), CodeSignIn, true, 5*time.Second, 10*time.Second)
		if err := w.m.Probe(w.ctx); err == nil || strings.Contains(err.Error(), "wrong") {
			t.Error(err)
		}
	})
	t.Run("unknown certificate", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, "smtp://"+s.addr+"?tls=starttls")
		w.retry(w.deliver(), CodeTLS, true, 5*time.Second, 10*time.Second)
	})
	t.Run("STARTTLS not offered", func(t *testing.T) {
		t.Parallel()
		p := startServer(t, false, nil)
		w := newWorld(t, "smtp://"+p.addr+"?tls=starttls")
		w.retry(w.deliver(), CodeTLS, true, 5*time.Second, 10*time.Second)
		if len(p.all()) != 0 {
			t.Error("sent in the clear")
		}
	})
}

func TestPool(t *testing.T) {
	t.Parallel()
	s := startServer(t, false, func(s *smtpServer) {
		s.rcpt = func(n int) error {
			if n == 3 {
				return code(450, "later")
			}
			return nil
		}
	})
	w := newWorld(t, "smtp://"+s.addr)
	for i := range 6 {
		w.msg = w.queue(draft(fmt.Sprint("p", i)))
		_ = w.deliver()
	}
	if n := s.connections(); n != 1 {
		t.Errorf("%d connections for 6 mails, want 1, also after a refusal", n)
	}
	// A connection that the server closed meanwhile costs no attempt.
	c := w.m.pool.take()
	_ = c.net.Close()
	w.m.pool.put(c)
	s.mu.Lock()
	s.rcpt = nil
	s.mu.Unlock()
	w.msg = w.queue(draft("last"))
	if err := w.deliver(); err != nil {
		t.Fatal(err)
	}
	if n := s.connections(); n != 2 {
		t.Errorf("%d connections, want 2", n)
	}
	c = w.m.pool.take()
	c.mails = mailsPerConnection
	w.m.pool.put(c)
	if w.m.pool.take() != nil {
		t.Error("a tired connection was kept")
	}
}

// Many jobs for one message, at once and from two processes: one mail.
func TestConcurrentDeliveries(t *testing.T) {
	t.Parallel()
	s := startServer(t, false, nil)
	w := newWorld(t, "smtp://"+s.addr)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := w.deliver(); err != nil && fault.AsRetry(err) == nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := len(s.all()); n != 1 {
		t.Errorf("%d mails", n)
	}
	w.is(Sent, "", "queued", "sending", "sent")
}

func TestReminderAndDKIM(t *testing.T) {
	t.Parallel()
	m := newMailer(t, "smtp://127.0.0.1:1", func(c *Config) {
		c.DKIMDomain, c.DKIMSelector, c.DKIMKey = "contoso.example", "cg1", ed25519Key
	})
	msg := sampleMessage(m, "partnership_invitation_reminder")
	msg.Reminder = true
	one, err := m.compose(msg)
	if err != nil {
		t.Fatal(err)
	}
	two, err := m.compose(msg)
	if err != nil || string(one) != string(two) {
		t.Errorf("signed twice, the bytes differ: %v", err)
	}
	flat := strings.ReplaceAll(string(one), "\r\n ", " ")
	for _, want := range []string{"DKIM-Signature: ", "d=contoso.example", "s=cg1", "List-Unsubscribe: <mailto:abuse@contoso.example?subject=unsubscribe%20"} {
		if !strings.Contains(flat, want) {
			t.Errorf("no %q in\n%s", want, one)
		}
	}
}
