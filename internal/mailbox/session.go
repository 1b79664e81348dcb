package mailbox

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/emersion/go-smtp"
)

// Mode is a way in which the server misbehaves on demand.
type Mode string

// Modes. The server is not available now, 421; the recipient is refused with
// 4xx or 5xx; the body is refused with 4xx or 5xx after its final dot; the
// connection drops inside the body, or after the dot without an answer (the
// mail was taken); the answer to the dot is late.
const (
	Off          Mode = "off"
	Refuse       Mode = "refuse"
	TempFail     Mode = "tempfail"
	PermFail     Mode = "permfail"
	TempFailData Mode = "tempfail_data"
	PermFailData Mode = "permfail_data"
	DropBefore   Mode = "drop_before_dot"
	DropAfter    Mode = "drop_after_dot"
	Delay        Mode = "delay"
)

// Modes lists all of them.
var Modes = []Mode{Off, Refuse, TempFail, PermFail, TempFailData, PermFailData, DropBefore, DropAfter, Delay}

const maxDelay = time.Minute

// Fault says how the next deliveries go wrong.
type Fault struct {
	Mode Mode `json:"mode"`
	// Times is for how many deliveries; -1 until it is turned off.
	Times int `json:"times"`
	// DelayMS is how late the answer is in mode delay, in milliseconds.
	DelayMS int `json:"delay_ms,omitempty"`
}

// SetFault programs the next deliveries; Times 0 counts as 1.
func (m *Mailbox) SetFault(f Fault) error {
	if f.Mode == "" {
		f.Mode = Off
	}
	if !slices.Contains(Modes, f.Mode) || f.Times < -1 || f.DelayMS < 0 || time.Duration(f.DelayMS)*time.Millisecond > maxDelay {
		return fmt.Errorf("the fault must have a mode of %v, times of -1 or more and delay_ms up to %d", Modes, maxDelay.Milliseconds())
	}
	if f.Times == 0 {
		f.Times = 1
	}
	if f.Mode == Off {
		f = Fault{Mode: Off}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fault = f
	return nil
}

// Fault is what is programmed now.
func (m *Mailbox) Fault() Fault {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fault.Mode == "" {
		return Fault{Mode: Off}
	}
	return m.fault
}

// hits reports whether the programmed fault is of the mode, and uses it up.
func (m *Mailbox) hits(mode Mode) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fault.Mode != mode || m.fault.Times == 0 {
		return false
	}
	if m.fault.Times > 0 {
		m.fault.Times--
		if m.fault.Times == 0 {
			m.fault.Mode = Off
		}
	}
	return true
}

var errDropped = errors.New("dropped on demand")

func reply(code, class, detail int, text string) error {
	return &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{code / 100, class, detail}, Message: text + " (on demand)"}
}

type session struct {
	m    *Mailbox
	conn *smtp.Conn
	from string
	to   []string
}

func (s *session) Reset()        { s.from, s.to = "", nil }
func (s *session) Logout() error { return nil }

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	if s.m.hits(Refuse) {
		return reply(421, 3, 2, "not now")
	}
	s.from = from
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	switch {
	case s.m.hits(TempFail):
		return reply(451, 3, 0, "try again later")
	case s.m.hits(PermFail):
		return reply(550, 1, 1, "no such mailbox")
	}
	s.to = append(s.to, to)
	return nil
}

func (s *session) Data(r io.Reader) error {
	if s.m.hits(DropBefore) {
		_, _ = io.ReadFull(r, make([]byte, 64))
		_ = s.conn.Conn().Close()
		return errDropped
	}
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	switch {
	case s.m.hits(TempFailData):
		return reply(451, 3, 0, "try again later")
	case s.m.hits(PermFailData):
		return reply(554, 7, 1, "refused")
	}
	wait := time.Duration(s.m.Fault().DelayMS) * time.Millisecond
	if s.m.hits(Delay) {
		<-time.After(wait)
	}
	if err := s.m.add(s.from, s.to, raw); err != nil {
		return reply(451, 3, 0, "the mail could not be kept")
	}
	if s.m.hits(DropAfter) {
		_ = s.conn.Conn().Close()
		return errDropped
	}
	return nil
}
