package mail

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log/slog"
	"maps"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/channelgraph/channelgraph/internal/database/dbtest"
	"github.com/channelgraph/channelgraph/internal/secret"
)

// received is a mail that the test's server took, or saw the dot of.
type received struct {
	from, to, user string
	utf8, tls      bool
	raw            string
}

// smtpServer is a real SMTP server that does as it is told at each step.
type smtpServer struct {
	addr string
	cert *x509.CertPool

	mu    sync.Mutex
	conns int
	mails []received
	// answers, by step: what to answer; nil means 250.
	mail, rcpt, data func(n int) error
	// dropBefore and dropAfter close the connection before the whole body was
	// read, or after it without an answer.
	dropBefore, dropAfter func(n int) bool
	seen                  int // bodies begun
	// hold, where set, is waited for before the answer to the dot; started
	// tells that it is being waited for.
	hold, started chan struct{}
	noUTF8        bool
}

func code(c int, msg string) error {
	return &smtp.SMTPError{Code: c, EnhancedCode: smtp.EnhancedCode{c / 100, 0, 0}, Message: msg}
}

type session struct {
	s    *smtpServer
	conn *smtp.Conn
	r    received
}

func (x *session) Reset()        { x.r = received{user: x.r.user} }
func (x *session) Logout() error { return nil }

func (x *session) Mail(from string, o *smtp.MailOptions) error {
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	x.r.from, x.r.utf8 = from, o.UTF8
	if x.s.mail != nil {
		return x.s.mail(x.s.seen)
	}
	return nil
}

func (x *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	x.r.to = to
	if x.s.rcpt != nil {
		return x.s.rcpt(x.s.seen)
	}
	return nil
}

func (x *session) Data(r io.Reader) error {
	s := x.s
	s.mu.Lock()
	n := s.seen
	s.seen++
	before, after, hold, started := s.dropBefore, s.dropAfter, s.hold, s.started
	s.mu.Unlock()
	if before != nil && before(n) {
		_, _ = r.Read(make([]byte, 16))
		_ = x.conn.Conn().Close()
		return io.ErrUnexpectedEOF
	}
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	_, x.r.tls = x.conn.TLSConnectionState()
	x.r.raw = string(raw)
	if hold != nil {
		close(started)
		<-hold
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.data != nil {
		if err := s.data(n); err != nil {
			return err
		}
	}
	s.mails = append(s.mails, x.r)
	if after != nil && after(n) {
		_ = x.conn.Conn().Close()
	}
	return nil
}

type authSession struct{ *session }

func (x authSession) AuthMechanisms() []string { return []string{sasl.Plain} }
func (x authSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if password != "right" {
			return smtp.ErrAuthFailed
		}
		x.r.user = user
		return nil
	}), nil
}

func (s *smtpServer) all() []received {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]received(nil), s.mails...)
}

func (s *smtpServer) connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conns
}

// startServer starts a server on a free port; secure offers STARTTLS and
// sign-in.
func startServer(t *testing.T, secure bool, change func(*smtpServer)) *smtpServer {
	t.Helper()
	s := &smtpServer{}
	if change != nil {
		change(s)
	}
	srv := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		s.mu.Lock()
		s.conns++
		s.mu.Unlock()
		x := &session{s: s, conn: c}
		if secure {
			return authSession{x}, nil
		}
		return x, nil
	}))
	srv.Domain, srv.EnableSMTPUTF8, srv.ErrorLog = "mx.test", !s.noUTF8, slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	if secure {
		srv.TLSConfig, s.cert = certificate(t)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = l.Addr().String()
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close(); _ = l.Close(); <-done })
	return s
}

func certificate(t *testing.T) (*tls.Config, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mx.test"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(c)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}, pool
}

func testConfig(url string) Config {
	return Config{SMTPURL: url, From: "Contoso Partner Center <partners@contoso.example>", PublicURL: "https://partner.contoso.example",
		ProductName: "Contoso Partner Center", Operator: "Contoso Cloud Programme", Abuse: "abuse@contoso.example",
		Timeouts: Timeouts{Connect: 5 * time.Second, Command: 5 * time.Second, Body: 5 * time.Second, Dot: 5 * time.Second}}
}

func newMailer(t *testing.T, url string, change ...func(*Config)) *Mailer {
	t.Helper()
	keys, err := secret.NewKeys([]byte("a key for tests, of 32 bytes and more"))
	if err != nil {
		t.Fatal(err)
	}
	cfg := testConfig(url)
	for _, c := range change {
		c(&cfg)
	}
	m, err := New(dbtest.New(t), keys, cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

// sampleMessage is a row as Preview makes it, whose data a test may change.
func sampleMessage(m *Mailer, template string) *Message {
	k := m.set.byName[template]
	msg := &Message{ID: "msg_01kabcdefghjkmnpqrstvwxyz0", Template: template, Locale: "en", Recipient: "giulia@example.com",
		Data: maps.Clone(k.sample.Data), MessageID: "01kabcdefghjkmnpqrstvwxyz0@contoso.example", DatedAt: time.Unix(1773000000, 0)}
	if l := k.sample.Link; l != nil {
		msg.LinkPurpose, msg.LinkPrefix, msg.LinkPath, msg.LinkSubjectID = l.Purpose, l.Prefix, l.Path, "inv_00000000000000000000000000"
	}
	return msg
}

// tlsConfig makes a mailer trust the test's server.
func tlsConfig(c *Config, s *smtpServer) {
	c.TLS = &tls.Config{RootCAs: s.cert, MinVersion: tls.VersionTLS12}
}

// ed25519Key signs nothing outside the tests: 32 bytes of zeros as its seed.
const ed25519Key secret.String = `-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA
-----END PRIVATE KEY-----`
