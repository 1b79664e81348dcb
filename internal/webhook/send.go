package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Codes of why an attempt failed or a delivery was not tried.
const (
	FailHTTPStatus     = "HTTP_STATUS"
	FailGone           = "GONE"
	FailRedirect       = "REDIRECT"
	FailTimeout        = "TIMEOUT"
	FailDNS            = "DNS"
	FailTLS            = "TLS"
	FailConnection     = "CONNECTION"
	FailAddressRefused = "ADDRESS_REFUSED"
	FailPaused         = "ENDPOINT_PAUSED"
	FailDeleted        = "ENDPOINT_DELETED"
	FailHidden         = "SUBJECT_HIDDEN"
)

// Config says where messages may go.
type Config struct {
	// Loopback lets them go to this machine, also over plain http: for
	// development.
	Loopback bool
	// AnyPort lets them go to other ports than 443 and 8443: for development.
	AnyPort bool
	// Version is what the sender calls itself with.
	Version string
	// Roots replaces the certificates that endpoints are checked with; nil means
	// the system's.
	Roots *x509.CertPool
}

const (
	connectTimeout = 5 * time.Second
	wholeTimeout   = 15 * time.Second
	mostBody       = 16 << 10
	// inFlight and inFlightEach bound the requests of a process, and those to
	// the endpoints of one organization, so that slow ones take neither all
	// workers nor all places of the others.
	inFlight     = 8
	inFlightEach = 2
)

// errRefused says that a name led to an address that messages do not go to.
var errRefused = errors.New("the address is not public")

// outcome is how an attempt came out; code is "" where it arrived.
type outcome struct {
	code       string
	statusCode int
	took       time.Duration
	// retryAfter is how long the endpoint asks to wait.
	retryAfter time.Duration
}

// newClient makes the client of all endpoints: no proxy, no redirects, no
// cookies, and every address checked after its name was resolved, on the very
// connection that is used.
func newClient(c Config) *http.Client {
	dialer := &net.Dialer{Timeout: connectTimeout, KeepAlive: -1, Control: func(_, addr string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(addr)
		if err != nil || !c.mayConnect(to) {
			return errRefused
		}
		return nil
	}}
	return &http.Client{
		Transport: &http.Transport{
			DialContext: dialer.DialContext, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: c.Roots}, TLSHandshakeTimeout: connectTimeout,
			DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: mostBody, ForceAttemptHTTP2: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       wholeTimeout,
	}
}

// post makes one attempt. What is answered is read up to a bound and dropped.
func post(ctx context.Context, client *http.Client, agent, url string, body []byte, header map[string]string) outcome {
	began := time.Now()
	o := request(ctx, client, agent, url, body, header)
	o.took = time.Since(began)
	return o
}

func request(ctx context.Context, client *http.Client, agent, url string, body []byte, header map[string]string) outcome {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return outcome{code: FailConnection}
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", agent)
	for k, v := range header {
		req.Header.Set(k, v)
	}
	res, err := client.Do(req)
	if err != nil {
		return outcome{code: classOf(err)}
	}
	_, _ = io.CopyN(io.Discard, res.Body, mostBody) // the status has said it
	_ = res.Body.Close()
	o := outcome{statusCode: res.StatusCode, retryAfter: retryAfter(res)}
	switch c := res.StatusCode; {
	case c >= 200 && c < 300:
	case c >= 300 && c < 400:
		o.code = FailRedirect
	case c == http.StatusGone:
		o.code = FailGone
	default:
		o.code = FailHTTPStatus
	}
	return o
}

// retryAfter is what an endpoint that is busy asks for, in seconds; 0 where
// it asks for nothing.
func retryAfter(res *http.Response) time.Duration {
	if res.StatusCode != http.StatusTooManyRequests && res.StatusCode != http.StatusServiceUnavailable {
		return 0
	}
	n, err := strconv.ParseUint(strings.TrimSpace(res.Header.Get("Retry-After")), 10, 31)
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Second
}

// classOf tells why nothing was answered.
func classOf(err error) string {
	var (
		dns     *net.DNSError
		timeout net.Error
		cert    *tls.CertificateVerificationError
		record  tls.RecordHeaderError
		alert   tls.AlertError
	)
	switch {
	case errors.Is(err, errRefused):
		return FailAddressRefused
	case errors.As(err, &dns):
		return FailDNS
	case errors.As(err, &timeout) && timeout.Timeout():
		return FailTimeout
	case errors.Is(err, http.ErrSchemeMismatch), errors.As(err, &cert), errors.As(err, &record), errors.As(err, &alert):
		return FailTLS
	}
	return FailConnection
}

// gate bounds the requests under way, in all and for each organization.
type gate struct {
	mu   sync.Mutex
	all  int
	each map[string]int
}

func (g *gate) enter(key string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.all >= inFlight || g.each[key] >= inFlightEach {
		return false
	}
	g.all++
	g.each[key]++
	return true
}

func (g *gate) leave(key string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.all--
	if g.each[key]--; g.each[key] == 0 {
		delete(g.each, key)
	}
}
