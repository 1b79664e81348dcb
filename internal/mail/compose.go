package mail

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	gomail "github.com/wneessen/go-mail"
)

// signed are the headers that a DKIM signature covers.
var signed = []string{"From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type", "Content-Language", "Auto-Submitted", "List-Unsubscribe"}

// compose makes the message's bytes. Everything that is usually drawn by lot
// (Date, Message-ID, boundary, signature time) comes from the row, so that
// every attempt sends the same bytes. Header values are ours or checked: the
// library guards neither names nor values.
func (m *Mailer) compose(msg *Message) ([]byte, error) {
	r, err := m.render(msg)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(msg.ID))
	g := gomail.NewMsg(gomail.WithCharset(gomail.CharsetUTF8), gomail.WithEncoding(gomail.EncodingQP),
		gomail.WithNoDefaultUserAgent(), gomail.WithBoundary("cg-"+hex.EncodeToString(sum[:12])))
	if err := g.FromFormat(m.from.Name, m.from.Address); err != nil {
		return nil, fmt.Errorf("setting the sender: %w", err)
	}
	if err := g.To(msg.Recipient); err != nil {
		return nil, fmt.Errorf("setting the recipient: %w", err)
	}
	g.Subject(r.Subject)
	g.SetMessageIDWithValue(msg.MessageID)
	g.SetDateWithValue(msg.DatedAt.UTC())
	g.SetGenHeader("Auto-Submitted", "auto-generated")
	g.SetGenHeader(gomail.HeaderXAutoResponseSuppress, "All")
	g.SetGenHeader(gomail.HeaderContentLang, r.Locale)
	if msg.Reminder {
		g.SetGenHeader(gomail.HeaderListUnsubscribe, "<mailto:"+m.cfg.Abuse+"?subject=unsubscribe%20"+msg.ID.Body()+">")
	}
	g.SetBodyString(gomail.TypeTextPlain, r.Text)
	g.AddAlternativeString(gomail.TypeTextHTML, r.HTML)
	if m.dkim != nil {
		s := gomail.NewDKIMSigner(m.cfg.DKIMDomain, m.cfg.DKIMSelector, m.dkim)
		s.NowFunc = func() time.Time { return msg.DatedAt }
		s.HeaderCanonicalization(gomail.CanonicalizationRelaxed)
		s.BodyCanonicalization(gomail.CanonicalizationRelaxed)
		s.SignHeaders(signed...)
		g.SetDKIM(s)
	}
	var b bytes.Buffer
	if _, err := g.WriteTo(&b); err != nil {
		return nil, fmt.Errorf("composing a message: %w", err)
	}
	return b.Bytes(), nil
}
