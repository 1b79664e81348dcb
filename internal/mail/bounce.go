package mail

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"regexp"
	"strings"

	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
)

// Report is what a delivery status notification (RFC 3464) says about one
// message and its recipient.
type Report struct {
	// MessageID is that of the message it is about, without brackets.
	MessageID string
	// Recipient is the final recipient's address as reported.
	Recipient string
	// Action is failed, delayed, delivered, relayed or expanded.
	Action string
	// Status is the enhanced code, such as 5.1.1.
	Status string
	// Diagnostic is the remote server's reply, without addresses.
	Diagnostic string
}

// Permanent reports whether the message will never arrive.
func (r Report) Permanent() bool { return r.Action == "failed" && strings.HasPrefix(r.Status, "5.") }

// dead says that the mailbox or its domain does not exist, so that no later
// mail can arrive either; full mailboxes and refused content are not that.
func (r Report) dead() bool {
	switch r.Status {
	case "5.0.0", "5.1.0", "5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.0", "5.2.1", "5.4.4":
		return true
	}
	return false
}

// ErrNoReport says that what arrived is no delivery status notification.
var ErrNoReport = errors.New("not a delivery status notification")

const (
	maxReport = 2 << 20
	maxParts  = 20
)

// Bounce takes a delivery status notification in. A permanent failure marks
// the message it is about as bounced, once, suppresses a mailbox that does
// not exist, and runs the OnBounce functions in the same transaction; other
// reports add a line to the timeline. Message-IDs cannot be guessed, and the
// reported recipient must be the message's own. Errors: ErrNoReport,
// NOT_FOUND for a message that is not ours.
func (m *Mailer) Bounce(ctx context.Context, raw io.Reader) (*Message, Report, error) {
	r, err := ParseReport(raw)
	if err != nil {
		return nil, r, err
	}
	var msg *Message
	var first bool
	err = m.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		first = false
		var err error
		if msg, err = lock(ctx, tx, "message_id", r.MessageID); err != nil {
			return err
		}
		if r.Recipient != "" && folded(r.Recipient) != msg.RecipientFolded {
			return notFound()
		}
		if msg.State == Bounced || msg.State == Pending {
			return nil
		}
		if !r.Permanent() {
			if r.Action != "delayed" && r.Action != "delivered" {
				return nil
			}
			return note(ctx, tx, msg.ID, r.Action, r.Status)
		}
		first = true
		msg.State, msg.FailureCode, msg.BouncedAt, msg.ServerReply = Bounced, CodeBounced, &tx.Now, r.Diagnostic
		msg.Claim, msg.LeaseUntil, msg.NextAttemptAt, msg.Phase, msg.Settled = "", nil, nil, "", true
		if err := save(ctx, tx, msg); err != nil {
			return err
		}
		if err := note(ctx, tx, msg.ID, string(Bounced), r.Status); err != nil {
			return err
		}
		if r.dead() {
			if err := m.Suppress(ctx, tx, msg.Recipient, CodeBounced, msg.ID); err != nil {
				return err
			}
		}
		for _, fn := range m.bounced {
			if err := fn(ctx, tx, msg, r); err != nil {
				return fmt.Errorf("telling of a bounce: %w", err)
			}
		}
		return nil
	})
	if err != nil {
		if fault.Is(err, fault.CodeNotFound) {
			msg = nil
		}
		return msg, r, err
	}
	if first && m.OnOutcome != nil {
		m.OnOutcome(string(Bounced), r.Status)
	}
	return msg, r, nil
}

// ParseReport reads a delivery status notification. Error: ErrNoReport.
func ParseReport(raw io.Reader) (Report, error) {
	var r Report
	top, err := mail.ReadMessage(bufio.NewReader(io.LimitReader(raw, maxReport)))
	if err != nil {
		return r, ErrNoReport
	}
	kind, params, err := mime.ParseMediaType(top.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/report" || params["boundary"] == "" ||
		params["report-type"] != "" && !strings.EqualFold(params["report-type"], "delivery-status") {
		return r, ErrNoReport
	}
	parts := multipart.NewReader(top.Body, params["boundary"])
	for range maxParts {
		p, err := parts.NextRawPart()
		if err != nil {
			break // the end, or cut short: what was read may do
		}
		kind, _, _ := mime.ParseMediaType(p.Header.Get("Content-Type"))
		body := bufio.NewReader(decoded(p.Header.Get("Content-Transfer-Encoding"), p))
		switch kind {
		case "message/delivery-status", "message/global-delivery-status":
			r.readStatus(body)
		case "message/rfc822", "text/rfc822-headers", "message/global", "message/global-headers":
			if h, err := textproto.NewReader(body).ReadMIMEHeader(); (err == nil || errors.Is(err, io.EOF)) && r.MessageID == "" {
				r.MessageID = bare(h.Get("Message-Id"))
			}
		}
	}
	if r.MessageID == "" { // some servers return no headers, but answer to them
		r.MessageID = bare(top.Header.Get("In-Reply-To"))
	}
	if r.MessageID == "" || r.Action == "" {
		return r, ErrNoReport
	}
	return r, nil
}

func decoded(encoding string, r io.Reader) io.Reader {
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "base64":
		return base64.NewDecoder(base64.StdEncoding, r)
	case "quoted-printable":
		return quotedprintable.NewReader(r)
	}
	return r
}

var statusCode = regexp.MustCompile(`[245]\.\d{1,3}\.\d{1,3}`)

// readStatus reads the groups of fields: the first is about the message, the
// following each about a recipient. One message has one recipient here.
func (r *Report) readStatus(body *bufio.Reader) {
	tp := textproto.NewReader(body)
	for range maxParts {
		h, err := tp.ReadMIMEHeader()
		if h.Get("Action") != "" && r.Action == "" {
			r.Action = strings.ToLower(strings.TrimSpace(h.Get("Action")))
			r.Status = statusCode.FindString(h.Get("Status"))
			r.Recipient = typed(h.Get("Final-Recipient"))
			if o := typed(h.Get("Original-Recipient")); o != "" {
				r.Recipient = o // forwarding changes the final one
			}
			_, diagnostic, _ := strings.Cut(h.Get("Diagnostic-Code"), ";")
			r.Diagnostic = masked(diagnostic)
		}
		if err != nil {
			return
		}
	}
}

// typed is the value of an address field, after "rfc822;".
func typed(s string) string {
	kind, v, ok := strings.Cut(s, ";")
	if kind = strings.ToLower(strings.TrimSpace(kind)); !ok || kind != "rfc822" && kind != "utf-8" {
		return ""
	}
	return strings.Trim(strings.TrimSpace(v), "<>")
}

func bare(id string) string { return strings.Trim(strings.TrimSpace(id), "<>") }
