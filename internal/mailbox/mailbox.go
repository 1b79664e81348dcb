// Package mailbox is the development mailbox: a real SMTP server on the
// loopback interface that keeps what it is sent, in memory and in a file, and
// pages to read it. It owns no table, delivers nothing to anybody, and never
// runs in production: mails hold the tokens of links.
//
// Invariant: a message that was answered with 250 is in the file.
package mailbox

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/channelgraph/channelgraph/internal/ident"
)

// Bounds of the mailbox: the oldest mails go first.
const (
	maxMails = 2000
	maxSize  = 10 << 20
)

const fileName = "mailbox.jsonl"

// Mailbox keeps mails.
type Mailbox struct {
	clock  func() time.Time
	path   string
	bounce func(ctx context.Context, raw []byte) error
	listen net.Listener
	srv    *smtp.Server
	done   chan struct{}

	mu     sync.Mutex
	file   *os.File
	stored []stored // oldest first
	items  map[string]Item
	fault  Fault
}

// stored is a line of the file.
type stored struct {
	ID       string    `json:"id"`
	Received time.Time `json:"received"`
	From     string    `json:"from"`
	To       []string  `json:"to"`
	Raw      []byte    `json:"raw"`
}

// Open reads the mailbox of a data folder, making it where there is none.
// clock gives the moment of arrival.
func Open(dir string, clock func() time.Time) (*Mailbox, error) {
	m := &Mailbox{clock: clock, path: filepath.Join(dir, fileName), items: map[string]Item{}}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("opening the mailbox: %w", err)
	}
	if err := m.load(); err != nil {
		return nil, fmt.Errorf("opening the mailbox: %w", err)
	}
	return m, nil
}

// load reads the file. A last line that was cut off by a crash was never
// confirmed to its sender and is dropped.
func (m *Mailbox) load() error {
	raw, err := os.ReadFile(m.path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	r := bufio.NewReader(bytes.NewReader(raw))
	for {
		line, err := r.ReadBytes('\n')
		if err != nil {
			break
		}
		var s stored
		if json.Unmarshal(line, &s) == nil && s.ID != "" {
			m.stored = append(m.stored, s)
			m.items[s.ID] = parse(s)
		}
	}
	return m.rewrite()
}

// rewrite replaces the file by what is in memory and opens it for appending.
func (m *Mailbox) rewrite() error {
	if n := len(m.stored) - maxMails; n > 0 {
		for _, s := range m.stored[:n] {
			delete(m.items, s.ID)
		}
		m.stored = slices.Clone(m.stored[n:])
	}
	var b bytes.Buffer
	for _, s := range m.stored {
		line, err := json.Marshal(s)
		if err != nil {
			return err
		}
		b.Write(append(line, '\n'))
	}
	tmp := m.path + ".new"
	if err := os.WriteFile(tmp, b.Bytes(), 0o600); err != nil {
		return err
	}
	if m.file != nil {
		_ = m.file.Close()
		m.file = nil
	}
	if err := os.Rename(tmp, m.path); err != nil {
		return err
	}
	f, err := os.OpenFile(m.path, os.O_APPEND|os.O_WRONLY, 0o600)
	m.file = f
	return err
}

// OnBounce registers what is handed a delivery status notification when
// somebody simulates a bounce. It must be called before the pages are served.
func (m *Mailbox) OnBounce(fn func(ctx context.Context, raw []byte) error) { m.bounce = fn }

// Start listens on a loopback address, "" for any free port of 127.0.0.1, and
// serves SMTP until Close; it returns the URL for the mail settings.
func (m *Mailbox) Start(addr string) (string, error) {
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	host, _, err := net.SplitHostPort(addr)
	if ip := net.ParseIP(host); err != nil || host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return "", fmt.Errorf("starting the mailbox: %s is not a loopback address", addr)
	}
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", addr)
	if err != nil {
		return "", fmt.Errorf("starting the mailbox: %w", err)
	}
	m.srv = smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		return &session{m: m, conn: c}, nil
	}))
	m.srv.Domain, m.srv.EnableSMTPUTF8, m.srv.EnableDSN = "mailbox.localhost", true, true
	m.srv.MaxMessageBytes, m.srv.MaxRecipients = maxSize, 100
	m.srv.ReadTimeout, m.srv.WriteTimeout = 5*time.Minute, time.Minute
	m.srv.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug) // dropped connections are its daily bread
	m.listen, m.done = l, make(chan struct{})
	go func() { defer close(m.done); _ = m.srv.Serve(l) }()
	return "smtp://" + l.Addr().String() + "?tls=none", nil
}

// Close ends the server and closes the file.
func (m *Mailbox) Close() error {
	if m.srv != nil {
		_ = m.srv.Close()
		_ = m.listen.Close() // the server does not know it yet where it has just been started
		<-m.done
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.file == nil {
		return nil
	}
	err := m.file.Close()
	m.file = nil
	return err
}

// add keeps a mail; it is on the disk when add returns.
func (m *Mailbox) add(from string, to []string, raw []byte) error {
	s := stored{ID: ident.New(ident.Mail).Body(), Received: m.clock().UTC(), From: from, To: to, Raw: raw}
	line, err := json.Marshal(s)
	if err != nil {
		return err
	}
	item := parse(s)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.file == nil {
		return os.ErrClosed
	}
	if _, err := m.file.Write(append(line, '\n')); err != nil {
		return err
	}
	if err := m.file.Sync(); err != nil {
		return err
	}
	m.stored = append(m.stored, s)
	m.items[s.ID] = item
	if len(m.stored) > maxMails+maxMails/10 {
		return m.rewrite()
	}
	return nil
}

// List gives all mails, newest first.
func (m *Mailbox) List() []Item {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]Item, 0, len(m.stored))
	for _, s := range slices.Backward(m.stored) {
		out = append(out, m.items[s.ID])
	}
	return out
}

func (m *Mailbox) find(id string) (Item, []byte, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := slices.IndexFunc(m.stored, func(s stored) bool { return s.ID == id })
	if i < 0 {
		return Item{}, nil, false
	}
	return m.items[id], m.stored[i].Raw, true
}

// Delete drops one mail.
func (m *Mailbox) Delete(id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stored = slices.DeleteFunc(m.stored, func(s stored) bool { return s.ID == id })
	delete(m.items, id)
	return m.rewrite()
}

// Clear drops all mails.
func (m *Mailbox) Clear() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stored, m.items = nil, map[string]Item{}
	return m.rewrite()
}

// Bounce makes a delivery status notification for a mail, as its recipient's
// server would send it for an unknown mailbox, and hands it on. The mail is
// named by its id, or by an address, whose newest mail is then meant.
func (m *Mailbox) Bounce(ctx context.Context, ref string) error {
	if strings.Contains(ref, "@") {
		items, err := filter(m.List(), ref, "", "")
		if err != nil || len(items) == 0 {
			return fmt.Errorf("simulating a bounce: there is no mail to that address")
		}
		ref = items[0].ID
	}
	item, raw, ok := m.find(ref)
	if !ok {
		return fmt.Errorf("simulating a bounce: there is no mail %q", ref)
	}
	if m.bounce == nil {
		return errors.New("simulating a bounce: nobody takes bounces in")
	}
	return m.bounce(ctx, report(item, raw, m.clock()))
}

func report(item Item, raw []byte, now time.Time) []byte {
	head, _, _ := bytes.Cut(raw, []byte("\r\n\r\n"))
	to := strings.Join(item.To, ", ")
	if len(item.To) > 0 {
		to = item.To[0]
	}
	const boundary = "mailbox-bounce-7f3a"
	var b bytes.Buffer
	fmt.Fprintf(&b, "From: Mail Delivery System <mailer-daemon@mailbox.localhost>\r\nTo: <%s>\r\nDate: %s\r\nSubject: Undelivered mail returned to sender\r\n"+
		"Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=%s\r\n\r\n",
		item.From, now.UTC().Format(time.RFC1123Z), boundary)
	fmt.Fprintf(&b, "--%s\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nThe mailbox %s does not exist. This bounce was simulated.\r\n", boundary, to)
	fmt.Fprintf(&b, "\r\n--%s\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mailbox.localhost\r\n\r\n"+
		"Final-Recipient: rfc822; %s\r\nAction: failed\r\nStatus: 5.1.1\r\nDiagnostic-Code: smtp; 550 5.1.1 User unknown\r\n", boundary, to)
	fmt.Fprintf(&b, "\r\n--%s\r\nContent-Type: text/rfc822-headers\r\n\r\n%s\r\n\r\n--%s--\r\n", boundary, head, boundary)
	return b.Bytes()
}
