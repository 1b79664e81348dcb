package mail

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
)

// dsn writes a delivery status notification.
func dsn(messageID, recipient, action, status string) string {
	return "From: MAILER-DAEMON@mx.test\r\nTo: partners@contoso.example\r\nSubject: Undelivered\r\nMIME-Version: 1.0\r\n" +
		"Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"=_b\"\r\n\r\n" +
		"--=_b\r\nContent-Type: text/plain\r\n\r\nSorry.\r\n\r\n--=_b\r\nContent-Type: message/delivery-status\r\n\r\n" +
		"Reporting-MTA: dns; mx.test\r\nArrival-Date: Thu, 12 Mar 2026 09:42:00 +0000\r\n\r\n" +
		"Final-Recipient: rfc822; " + recipient + "\r\nAction: " + action + "\r\nStatus: " + status + "\r\n" +
		"Diagnostic-Code: smtp; 550 " + status + " <" + recipient + ">: unknown\r\n\r\n" +
		"--=_b\r\nContent-Type: message/rfc822\r\n\r\nMessage-ID: <" + messageID + ">\r\nSubject: x\r\n\r\nbody\r\n--=_b--\r\n"
}

func TestParseReport(t *testing.T) {
	t.Parallel()
	want := Report{MessageID: "id@contoso.example", Recipient: "giulia@example.com", Action: "failed", Status: "5.1.1", Diagnostic: "550 5.1.1 <g***@example.com>: unknown"}
	plain := dsn("id@contoso.example", "giulia@example.com", "failed", "5.1.1")
	for name, raw := range map[string]string{
		"as Postfix writes it":  plain,
		"bare line ends":        strings.ReplaceAll(plain, "\r\n", "\n"),
		"headers only":          strings.Replace(plain, "Content-Type: message/rfc822", "Content-Type: text/rfc822-headers", 1),
		"upper case action":     strings.Replace(plain, "Action: failed", "Action: Failed", 1),
		"comment in status":     strings.Replace(plain, "Status: 5.1.1", "Status: 5.1.1 (bad mailbox)", 1),
		"original recipient":    strings.Replace(plain, "Final-Recipient: rfc822; giulia@example.com", "Original-Recipient: rfc822;giulia@example.com\r\nFinal-Recipient: rfc822; elsewhere@example.net", 1),
		"cut off":               strings.TrimSuffix(plain, "\r\n--=_b--\r\n"),
		"without report type":   strings.Replace(plain, "report-type=delivery-status;\r\n\t", "", 1),
		"In-Reply-To only":      strings.Replace(strings.Replace(plain, "Message-ID: <id@contoso.example>\r\n", "", 1), "Subject: Undelivered", "In-Reply-To: <id@contoso.example>", 1),
		"status part in base64": encodeStatus(plain),
	} {
		r, err := ParseReport(strings.NewReader(raw))
		if err != nil || r != want {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	for name, raw := range map[string]string{
		"empty": "", "no mail": "hello", "plain mail": "Subject: hi\r\nMessage-ID: <id@contoso.example>\r\n\r\nhi\r\n",
		"out of office":      "Subject: away\r\nIn-Reply-To: <id@contoso.example>\r\nContent-Type: text/plain\r\n\r\naway\r\n",
		"disposition report": strings.Replace(plain, "report-type=delivery-status", "report-type=disposition-notification", 1),
		"nothing inside":     "Content-Type: multipart/report; boundary=b\r\n\r\n--b--\r\n",
		"no boundary":        "Content-Type: multipart/report\r\n\r\nx",
		"no message id":      strings.Replace(plain, "Message-ID: <id@contoso.example>\r\n", "", 1),
		"endless":            "Content-Type: multipart/report; boundary=b\r\n\r\n" + strings.Repeat("--b\r\nContent-Type: message/delivery-status\r\n\r\nA: b\r\n\r\n", 50000),
	} {
		if r, err := ParseReport(strings.NewReader(raw)); !errors.Is(err, ErrNoReport) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	if _, err := ParseReport(io.LimitReader(zeros{}, 1<<30)); !errors.Is(err, ErrNoReport) {
		t.Error(err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func encodeStatus(plain string) string {
	const mark = "Content-Type: message/delivery-status\r\n\r\n"
	head, rest, _ := strings.Cut(plain, mark)
	status, tail, _ := strings.Cut(rest, "--=_b\r\nContent-Type: message/rfc822")
	return head + "Content-Type: message/delivery-status\r\nContent-Transfer-Encoding: base64\r\n\r\n" +
		base64.StdEncoding.EncodeToString([]byte(status)) + "\r\n--=_b\r\nContent-Type: message/rfc822" + tail
}

func TestBounce(t *testing.T) {
	t.Parallel()
	s := startServer(t, false, nil)
	w := newWorld(t, "smtp://"+s.addr)
	var told []string
	w.m.OnBounce(func(_ context.Context, _ *database.Tx, m *Message, r Report) error {
		told = append(told, fmt.Sprint(m.ID, r.Status))
		return nil
	})
	bounce := func(to, action, status string) error {
		_, _, err := w.m.Bounce(w.ctx, strings.NewReader(dsn(w.msg.MessageID, to, action, status)))
		return err
	}
	const to = "giulia.BIANCHI@example.com"
	if err := w.deliver(); err != nil {
		t.Fatal(err)
	}
	if err := bounce(to, "delayed", "4.2.2"); err != nil {
		t.Fatal(err)
	}
	w.is(Sent, "", "queued", "sending", "sent", "delayed")
	if err := bounce("somebody@example.com", "failed", "5.1.1"); !fault.Is(err, fault.CodeNotFound) {
		t.Errorf("a report about another recipient: %v", err)
	}
	for range 2 { // reports come twice
		if err := bounce(to, "failed", "5.1.1"); err != nil {
			t.Fatal(err)
		}
	}
	msg := w.is(Bounced, CodeBounced, "queued", "sending", "sent", "delayed", "bounced")
	if msg.BouncedAt == nil || len(told) != 1 {
		t.Errorf("%+v, told %v", msg, told)
	}
	if ok, err := w.m.Suppressed(w.ctx, to); !ok || err != nil {
		t.Error("not suppressed", err)
	}
	if err := w.deliver(); err != nil { // a late job changes nothing
		t.Fatal(err)
	}
	w.is(Bounced, CodeBounced, "queued", "sending", "sent", "delayed", "bounced")
	if _, _, err := w.m.Bounce(w.ctx, strings.NewReader(dsn("unknown@contoso.example", to, "failed", "5.1.1"))); !fault.Is(err, fault.CodeNotFound) {
		t.Errorf("a report about nobody's mail: %v", err)
	}
	if _, _, err := w.m.Bounce(w.ctx, strings.NewReader("hello")); !errors.Is(err, ErrNoReport) {
		t.Error(err)
	}
}

// A full mailbox or refused content is no reason never to write again, and a
// failing listener undoes the whole bounce.
func TestBounceKeepsTheAddress(t *testing.T) {
	t.Parallel()
	s := startServer(t, false, nil)
	w := newWorld(t, "smtp://"+s.addr)
	if err := w.deliver(); err != nil {
		t.Fatal(err)
	}
	broken := true
	w.m.OnBounce(func(context.Context, *database.Tx, *Message, Report) error {
		if broken {
			return errors.New("broken")
		}
		return nil
	})
	raw := dsn(w.msg.MessageID, w.msg.Recipient, "failed", "5.2.2")
	if _, _, err := w.m.Bounce(w.ctx, strings.NewReader(raw)); err == nil {
		t.Fatal("the failure was hidden")
	}
	w.is(Sent, "", "queued", "sending", "sent")
	broken = false
	if _, _, err := w.m.Bounce(w.ctx, strings.NewReader(raw)); err != nil {
		t.Fatal(err)
	}
	w.is(Bounced, CodeBounced, "queued", "sending", "sent", "bounced")
	if ok, err := w.m.Suppressed(w.ctx, w.msg.Recipient); ok || err != nil {
		t.Error("suppressed", err)
	}
}

func TestCodesHaveTexts(t *testing.T) {
	t.Parallel()
	for _, c := range []string{CodeTemporary, CodeLost, CodeReplyLost, CodeRefused, CodeRecipient, CodeSender, CodeUTF8, CodeUnavailable, CodeSignIn,
		CodeTLS, CodeRate, CodeInFlight, CodeExpired, CodeSuppressed, CodeNotWanted, CodeBounced, CodeTemplate} {
		if !fault.HasText(c) {
			t.Errorf("%s has no sentence", c)
		}
	}
}

func TestReopenAndFit(t *testing.T) {
	t.Parallel()
	s := startServer(t, false, func(s *smtpServer) {
		s.rcpt = func(int) error { return code(550, "no") }
	})
	w := newWorld(t, "smtp://"+s.addr)
	if err := w.deliver(); err != nil {
		t.Fatal(err)
	}
	w.is(Failed, CodeRecipient, "queued", "sending", "failed")
	s.mu.Lock()
	s.rcpt = nil
	s.mu.Unlock()
	w.m.db.Clock().Advance(DefaultLife)
	until := w.m.db.Now().Add(DefaultLife)
	if err := w.m.db.InTx(w.ctx, func(ctx context.Context, tx *database.Tx) error { return w.m.Reopen(ctx, tx, w.msg.ID, until) }); err != nil {
		t.Fatal(err)
	}
	if err := w.deliver(); err != nil {
		t.Fatal(err)
	}
	w.is(Sent, "", "queued", "sending", "failed", "reopened", "sending", "sent")
	got := w.m.Fit("password_changed", map[string]string{"Name": "x", "ChangedAt": "y", "Other": "z"})
	if len(got) != 2 || got["Other"] != "" {
		t.Error(got)
	}
	got = w.m.Fit("partnership_invitation", map[string]string{"InviterName": "x"})
	if _, ok := got["Note"]; ok || len(got) != 3 {
		t.Error(got)
	}
}
