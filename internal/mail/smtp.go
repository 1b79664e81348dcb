package mail

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/textproto"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/wneessen/go-mail/smtp"
)

// Bounds of a connection: a server may grow tired of one.
const (
	mailsPerConnection = 100
	idleLife           = 30 * time.Second
)

type security int

const (
	startTLS security = iota
	implicitTLS
	plain
)

// server is where mail is handed over.
type server struct {
	name     string // host:port
	host     string
	user     string
	password string
	security security
	loopback bool
	tls      *tls.Config
}

func parseServer(raw string, cfg *tls.Config) (server, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" || u.Scheme != "smtp" && u.Scheme != "smtps" {
		return server{}, errors.New("the SMTP URL must be smtp://user:password@host:port?tls=starttls|implicit|none") // the cause may show the password
	}
	s := server{host: u.Hostname(), tls: cfg, loopback: loopback(u.Hostname())}
	s.user = u.User.Username()
	s.password, _ = u.User.Password()
	port := "587"
	switch mode := u.Query().Get("tls"); {
	case mode == "implicit", mode == "" && u.Scheme == "smtps":
		s.security, port = implicitTLS, "465"
	case mode == "starttls":
	case mode == "none":
		s.security, port = plain, "25"
		if s.user != "" && !s.loopback {
			return server{}, errors.New("a password cannot be sent to another machine without TLS")
		}
	case mode == "" && s.loopback:
		s.security, port = plain, "25"
	case mode == "":
	default:
		return server{}, fmt.Errorf("tls=%s is not starttls, implicit or none", mode)
	}
	if u.Port() != "" {
		port = u.Port()
	}
	s.name = net.JoinHostPort(s.host, port)
	if s.tls == nil {
		s.tls = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	s.tls = s.tls.Clone()
	if s.tls.ServerName == "" {
		s.tls.ServerName = s.host
	}
	return s, nil
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback() || host == "localhost"
}

// failure is how a conversation went wrong.
type failure struct {
	code  string
	reply string // the server's words, "" for a fault of the network
	cause error
	// provider says that it concerns every message, not this one.
	provider bool
	// permanent says that the server will not take this message.
	permanent bool
	recipient bool
	// interrupted says that this process is stopping.
	interrupted bool
	// afterDot says that the server may have taken the message.
	afterDot bool
}

func (f *failure) Error() string { return f.code }
func (f *failure) Unwrap() error { return f.cause }

// judge reads what an SMTP command answered. A fault of the network is never
// permanent; go-mail's own IsTemp would say otherwise.
func judge(err error, code string) *failure {
	f := &failure{code: CodeLost, cause: err}
	var reply *textproto.Error
	if !errors.As(err, &reply) {
		return f
	}
	f.reply = masked(fmt.Sprintf("%d %s", reply.Code, reply.Msg))
	switch {
	case reply.Code == 421:
		f.code, f.provider = CodeUnavailable, true
	case reply.Code == 530 || reply.Code == 535 || reply.Code == 538:
		f.code, f.provider = CodeSignIn, true
	case reply.Code >= 500:
		f.code, f.permanent = code, true
	default:
		f.code = CodeTemporary
	}
	return f
}

var mailbox = regexp.MustCompile(`[^\s<>@"']+@[^\s<>"']+`)

// masked keeps a server's reply fit for tables and logs: one short line, no
// address in full.
func masked(s string) string {
	s = mailbox.ReplaceAllStringFunc(strings.Join(strings.Fields(s), " "), Mask)
	s = strings.ToValidUTF8(s, "")
	if r := []rune(s); len(r) > 300 {
		s = string(r[:300])
	}
	return s
}

// conn is one connection to the server.
type conn struct {
	net    net.Conn
	client *smtp.Client
	mails  int
	timer  *time.Timer
}

func (c *conn) close() { _ = c.net.Close() }

// quit says goodbye without waiting long for the answer.
func (c *conn) quit() {
	_ = c.client.UpdateDeadline(2 * time.Second)
	_ = c.client.Quit()
	c.close()
}

// pool keeps connections open between mails and bounds how many there are.
type pool struct {
	slots  chan struct{}
	mu     sync.Mutex
	idle   []*conn
	closed bool
}

func newPool(size int) *pool { return &pool{slots: make(chan struct{}, size)} }

// enter waits for a slot.
func (p *pool) enter(ctx context.Context) error {
	select {
	case p.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *pool) leave() { <-p.slots }

func (p *pool) take() *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.idle)
	if n == 0 {
		return nil
	}
	c := p.idle[n-1]
	p.idle = p.idle[:n-1]
	c.timer.Stop()
	return c
}

func (p *pool) put(c *conn) {
	p.mu.Lock()
	if p.closed || c.mails >= mailsPerConnection {
		p.mu.Unlock()
		c.quit()
		return
	}
	p.idle = append(p.idle, c)
	c.timer = time.AfterFunc(idleLife, func() {
		if p.drop(c) {
			c.quit()
		}
	})
	p.mu.Unlock()
}

func (p *pool) drop(c *conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, x := range p.idle {
		if x == c {
			p.idle = append(p.idle[:i], p.idle[i+1:]...)
			return true
		}
	}
	return false
}

func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	idle := p.idle
	p.idle = nil
	p.mu.Unlock()
	for _, c := range idle {
		c.timer.Stop()
		c.quit()
	}
}

// connect gives a connection that is ready for MAIL: an idle one that still
// answers, or a new one.
func (m *Mailer) connect(ctx context.Context) (*conn, *failure) {
	for c := m.pool.take(); c != nil; c = m.pool.take() {
		if c.client.UpdateDeadline(min(5*time.Second, m.cfg.Timeouts.Command)) == nil && c.client.Reset() == nil {
			phase(ctx, "reused")
			return c, nil
		}
		c.close()
	}
	return m.dial(ctx)
}

func (m *Mailer) dial(ctx context.Context) (*conn, *failure) {
	down := func(code string, err error) *failure {
		f := judge(err, code)
		f.code, f.provider, f.permanent = code, true, false
		return f
	}
	d := net.Dialer{Timeout: m.cfg.Timeouts.Connect}
	raw, err := d.DialContext(ctx, "tcp", m.server.name)
	if err != nil {
		return nil, down(CodeUnavailable, err)
	}
	phase(ctx, "connected")
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	defer stop()
	if err := raw.SetDeadline(time.Now().Add(m.cfg.Timeouts.Command)); err != nil {
		_ = raw.Close()
		return nil, down(CodeUnavailable, err)
	}
	c := &conn{net: raw}
	fail := func(code string, err error) (*conn, *failure) {
		c.close()
		return nil, down(code, err)
	}
	var stream = raw
	if m.server.security == implicitTLS {
		t := tls.Client(raw, m.server.tls)
		if err := t.HandshakeContext(ctx); err != nil {
			return fail(CodeTLS, err)
		}
		stream = t
		phase(ctx, "secured")
	}
	if c.client, err = smtp.NewClient(stream, m.server.host); err != nil {
		return fail(CodeUnavailable, err)
	}
	deadline := func() { _ = c.client.UpdateDeadline(m.cfg.Timeouts.Command) }
	deadline()
	if err := c.client.Hello(m.cfg.Hello); err != nil {
		return fail(CodeUnavailable, err)
	}
	phase(ctx, "greeted")
	if m.server.security == startTLS {
		if ok, _ := c.client.Extension("STARTTLS"); !ok {
			return fail(CodeTLS, errors.New("the server does not offer STARTTLS"))
		}
		deadline()
		if err := c.client.StartTLS(m.server.tls); err != nil {
			return fail(CodeTLS, err)
		}
		phase(ctx, "secured")
	}
	if m.server.user != "" {
		auth, err := m.auth(c.client)
		if err == nil {
			deadline()
			err = c.client.Auth(auth)
		}
		if err != nil {
			var reply *textproto.Error
			if errors.As(err, &reply) && reply.Code < 500 {
				return fail(CodeUnavailable, err)
			}
			return fail(CodeSignIn, err)
		}
		phase(ctx, "signed in")
	}
	return c, nil
}

func (m *Mailer) auth(c *smtp.Client) (smtp.Auth, error) {
	_, offered := c.Extension("AUTH")
	s := m.server
	for mech := range strings.FieldsSeq(offered) {
		if mech == "SCRAM-SHA-256" {
			return smtp.ScramSHA256Auth(s.user, s.password), nil
		}
	}
	for mech := range strings.FieldsSeq(offered) {
		switch mech {
		case "PLAIN":
			return smtp.PlainAuth("", s.user, s.password, s.host, s.loopback), nil
		case "LOGIN":
			return smtp.LoginAuth(s.user, s.password, s.host, s.loopback), nil
		}
	}
	return nil, errors.New("the server offers no way to sign in that is known here")
}

// Probe connects, secures and signs in without sending, for doctor. The error
// says what to look at.
func (m *Mailer) Probe(ctx context.Context) error {
	c, f := m.dial(ctx)
	if f != nil {
		if f.reply != "" {
			return fmt.Errorf("%s: the server said %q", f.code, f.reply)
		}
		return fmt.Errorf("%s: %w", f.code, f.cause)
	}
	c.quit()
	return nil
}
