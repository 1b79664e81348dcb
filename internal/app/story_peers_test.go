package app_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/mail"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
)

// smtpServer is a mail server outside of the product, which therefore outlives
// it: what it took it has taken. It can be told to misbehave.
type smtpServer struct {
	addr string

	mu    sync.Mutex
	srv   *smtp.Server
	got   []received
	hang  string        // "", "rcpt", "data" (after the body, before the word) or "taken" (body kept, no word)
	held  int           // conversations that hang now
	more  chan struct{} // closed at every change
	start chan struct{} // closed to let those that hang go on
}

// received is one copy of a mail as the server took it.
type received struct {
	To        string
	Subject   string
	MessageID string
	Date      string
	Raw       []byte
}

func newSMTPServer() (*smtpServer, error) {
	s := &smtpServer{more: make(chan struct{}), start: make(chan struct{})}
	return s, s.up()
}

// up listens, at the same address as before.
func (s *smtpServer) up() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.srv != nil {
		return nil
	}
	addr := s.addr
	if addr == "" {
		var err error
		if addr, err = freeAddr(); err != nil {
			return err
		}
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	s.addr = addr
	srv := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &smtpSession{s: s}, nil }))
	srv.Domain, srv.ErrorLog = "mx.story.localhost", slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	s.srv = srv
	go func() { _ = srv.Serve(l) }()
	return nil
}

// down refuses connections and cuts those that are open.
func (s *smtpServer) down() {
	s.mu.Lock()
	srv := s.srv
	s.srv = nil
	s.mu.Unlock()
	if srv != nil {
		_ = srv.Close()
	}
}

func (s *smtpServer) close() {
	s.setHang("")
	s.down()
}

func (s *smtpServer) setHang(at string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hang = at
	if at == "" {
		close(s.start)
		s.start = make(chan struct{})
	}
	s.tell()
}

func (s *smtpServer) tell() {
	close(s.more)
	s.more = make(chan struct{})
}

// pause holds a conversation at a point for as long as that is wanted, and
// tells whether it did.
func (s *smtpServer) pause(at string) bool {
	s.mu.Lock()
	if s.hang != at {
		s.mu.Unlock()
		return false
	}
	s.held++
	start := s.start
	s.tell()
	s.mu.Unlock()
	<-start
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held--
	s.tell()
	return true
}

// holding waits until n conversations hang.
func (s *smtpServer) holding(n int) error {
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		s.mu.Lock()
		held, more := s.held, s.more
		s.mu.Unlock()
		if held >= n {
			return nil
		}
		select {
		case <-more:
		case <-timeout.C:
			return fmt.Errorf("%d conversations hang, not %d", held, n)
		}
	}
}

func (s *smtpServer) copies(to string) []received {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []received
	for _, m := range s.got {
		if to == "" || strings.EqualFold(m.To, to) {
			out = append(out, m)
		}
	}
	return out
}

type smtpSession struct {
	s  *smtpServer
	to string
}

func (c *smtpSession) Reset()                               { c.to = "" }
func (c *smtpSession) Logout() error                        { return nil }
func (c *smtpSession) Mail(string, *smtp.MailOptions) error { return nil }
func (c *smtpSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	c.s.pause("rcpt")
	c.to = to
	return nil
}

func (c *smtpSession) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if c.s.pause("data") {
		return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "not taken"}
	}
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return err
	}
	c.s.mu.Lock()
	c.s.got = append(c.s.got, received{To: c.to, Subject: m.Header.Get("Subject"), MessageID: m.Header.Get("Message-Id"), Date: m.Header.Get("Date"), Raw: raw})
	c.s.tell()
	c.s.mu.Unlock()
	c.s.pause("taken")
	return nil
}

// proxy stands between the product and Redis, so that one story can lose
// Redis without the others.
type proxy struct {
	to string
	l  net.Listener

	mu    sync.Mutex
	cut   bool
	conns map[net.Conn]bool
}

func newProxy(to string) (*proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{to: to, l: l, conns: map[net.Conn]bool{}}
	go p.serve()
	return p, nil
}

func (p *proxy) addr() string { return p.l.Addr().String() }

func (p *proxy) serve() {
	for {
		c, err := p.l.Accept()
		if err != nil {
			return
		}
		go p.join(c)
	}
}

func (p *proxy) join(c net.Conn) {
	if !p.keep(c) {
		_ = c.Close()
		return
	}
	defer p.drop(c)
	d, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	if !p.keep(d) {
		_ = d.Close()
		return
	}
	defer p.drop(d)
	done := make(chan struct{}, 2)
	pipe := func(a, b net.Conn) { _, _ = io.Copy(a, b); done <- struct{}{} }
	go pipe(c, d)
	go pipe(d, c)
	<-done
}

func (p *proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cut {
		return false
	}
	p.conns[c] = true
	return true
}

func (p *proxy) drop(c net.Conn) {
	_ = c.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

// set cuts the way to Redis, or opens it.
func (p *proxy) set(cut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = cut
	if cut {
		for c := range p.conns {
			_ = c.Close()
		}
	}
}

func (p *proxy) close() {
	_ = p.l.Close()
	p.set(true)
}

// flushRedis forgets everything that a namespace has in Redis.
func flushRedis(raw, namespace string) error {
	const forget = `for _, k in ipairs(redis.call('KEYS', '*{' .. ARGV[1] .. '-*')) do redis.call('DEL', k) end return 'OK'`
	return askRedis(raw, "EVAL", forget, "0", namespace)
}

// askRedis runs one command on a connection of its own.
func askRedis(raw string, command ...string) error {
	u, err := url.Parse(raw)
	if err != nil {
		return err
	}
	c, err := net.DialTimeout("tcp", u.Host, patience)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(patience))
	r := bufio.NewReader(c)
	if password, ok := u.User.Password(); ok {
		if err := redisDo(c, r, "AUTH", password); err != nil {
			return err
		}
	}
	if db := strings.Trim(u.Path, "/"); db != "" {
		if err := redisDo(c, r, "SELECT", db); err != nil {
			return err
		}
	}
	return redisDo(c, r, command...)
}

func redisDo(w io.Writer, r *bufio.Reader, args ...string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(a), a)
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return err
	}
	line, err := r.ReadString('\n')
	if err != nil {
		return err
	}
	switch line[0] {
	case '-':
		return errors.New(strings.TrimSpace(line))
	case '$':
		_, err = r.ReadString('\n')
	}
	return err
}
