// Package config owns the settings: their names, meanings, defaults and the
// checks that refuse a production start with development values. It reads
// nothing by itself; the caller gives it the environment and the flags.
package config

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/channelgraph/channelgraph/internal/address"
	"github.com/channelgraph/channelgraph/internal/secret"
	"github.com/channelgraph/channelgraph/internal/sla"
)

// Prefix begins every environment variable.
const Prefix = "CHANNELGRAPH_"

// Environments.
const (
	Development = "development"
	Production  = "production"
)

// Roles of a process.
const (
	RoleAll    = "all"
	RoleAPI    = "api"
	RoleWorker = "worker"
)

// Which GraphQL documents are run: any, or for sessions and strangers those of
// the manifest alone.
const (
	DocumentsOpen        = "open"
	DocumentsConsoleOnly = "console_only"
)

// Where traces go.
const (
	TracesOff  = "off"
	TracesOTLP = "otlp"
)

// Enrollment is how long everything about an enrollment takes; Target and Due
// count the time of business days.
type Enrollment struct {
	Link, Draft, Confirm, Answer, Appeal, Target, Due time.Duration
}

// Config is the settings of one process.
type Config struct {
	Env            string
	Role           string
	Addr           string
	Data           string
	PublicURL      string
	DatabaseURL    string
	MaxConns       int
	RedisURL       string
	QueueNamespace string
	Concurrency    int
	JobLease       time.Duration
	SMTPURL        string
	MailFrom       string
	MailRate       float64
	MailboxAddr    string
	Operator       string
	Product        string
	TenantDomain   string
	TimeZone       *time.Location
	Abuse          string
	DKIMDomain     string
	DKIMSelector   string
	DKIMKey        secret.String
	SecretKey      secret.String
	BounceSecret   secret.String
	TrustedProxies []netip.Prefix
	Documents      string
	MetricsAddr    string
	LogLevel       string
	LogFormat      string
	Traces         string
	OTLPEndpoint   string
	TraceRatio     float64
	InvitationLife time.Duration
	WaitingLife    time.Duration
	// Enrollment is how long everything about an enrollment takes.
	Enrollment     Enrollment
	InvitationDay  int
	RecipientMonth int
	SessionIdle    time.Duration
	SessionLife    time.Duration
	OperatorIdle   time.Duration
	OperatorLife   time.Duration
	SudoFor        time.Duration
	Shutdown       time.Duration
	// WebhookPrivate lets webhooks go to this machine itself.
	WebhookPrivate bool
	// Demo fills a demo world; it exists as a flag only.
	Demo bool
}

// Setting is one setting as `config` prints it.
type Setting struct {
	Name    string
	Meaning string
	Default string
	Value   string
	Secret  bool
}

type field struct {
	name, meaning, def string
	hidden             bool
	set                func(*Config, string) error
}

func text(to func(*Config) *string) func(*Config, string) error {
	return func(c *Config, v string) error { *to(c) = v; return nil }
}

func hidden(to func(*Config) *secret.String) func(*Config, string) error {
	return func(c *Config, v string) error { *to(c) = secret.String(v); return nil }
}

func oneOf(to func(*Config) *string, allowed ...string) func(*Config, string) error {
	return func(c *Config, v string) error {
		if !slices.Contains(allowed, v) {
			return fmt.Errorf("must be one of %s", strings.Join(allowed, ", "))
		}
		*to(c) = v
		return nil
	}
}

func number(to func(*Config) *int) func(*Config, string) error {
	return func(c *Config, v string) error {
		n, err := strconv.Atoi(v)
		if err != nil || n < 0 {
			return errors.New("must be a whole number of 0 or more")
		}
		*to(c) = n
		return nil
	}
}

func span(to func(*Config) *time.Duration) func(*Config, string) error {
	return func(c *Config, v string) error {
		d, err := time.ParseDuration(v)
		if err != nil || d <= 0 {
			return errors.New("must be a duration such as 90s, 30m or 720h")
		}
		*to(c) = d
		return nil
	}
}

var fields = []field{
	{"ENV", "development or production; production refuses development settings", Development, false,
		oneOf(func(c *Config) *string { return &c.Env }, Development, Production)},
	{"ROLE", "what this process does: all, api or worker (the last two need PostgreSQL and Redis)", RoleAll, false,
		oneOf(func(c *Config) *string { return &c.Role }, RoleAll, RoleAPI, RoleWorker)},
	{"ADDR", "address to listen on", "127.0.0.1:8080", false, text(func(c *Config) *string { return &c.Addr })},
	{"DATA", "folder of the SQLite file, the instance key, the development mailbox and demo.json", "data", false, text(func(c *Config) *string { return &c.Data })},
	{"PUBLIC_URL", "address that people open; links in mail begin with it (default: http on ADDR)", "", false, text(func(c *Config) *string { return &c.PublicURL })},
	{"DATABASE_URL", "sqlite:///path/file.db or postgres://user:password@host/name (default: a SQLite file in DATA)", "", true, text(func(c *Config) *string { return &c.DatabaseURL })},
	{"DATABASE_CONNECTIONS", "most connections to PostgreSQL; 0 for the driver's choice", "0", false, number(func(c *Config) *int { return &c.MaxConns })},
	{"REDIS_URL", "redis://, rediss://, redis-sentinel:// or redis-cluster://; empty for the embedded queue", "", true, text(func(c *Config) *string { return &c.RedisURL })},
	{"QUEUE_NAMESPACE", "parts installations that share one Redis: letters, digits, hyphens", "", false, text(func(c *Config) *string { return &c.QueueNamespace })},
	{"CONCURRENCY", "jobs at once in this process; 0 for the default", "0", false, number(func(c *Config) *int { return &c.Concurrency })},
	{"JOB_LEASE", "how long a job stays with a process that no longer answers", "30s", false, span(func(c *Config) *time.Duration { return &c.JobLease })},
	{"SMTP_URL", "smtp://user:password@host:587?tls=starttls, or tls=implicit, tls=none; empty for the development mailbox", "", true, text(func(c *Config) *string { return &c.SMTPURL })},
	{"MAIL_FROM", "sender of all mail, e.g. Partner Center <partners@example.com>", "channelgraph <partners@localhost>", false, text(func(c *Config) *string { return &c.MailFrom })},
	{"MAIL_RATE", "most mails a second over all processes; 0 for no bound", "0", false, func(c *Config, v string) error {
		f, err := strconv.ParseFloat(v, 64)
		if err != nil || f < 0 {
			return errors.New("must be a number of 0 or more")
		}
		c.MailRate = f
		return nil
	}},
	{"MAILBOX_ADDR", "address of the development mailbox's SMTP server", "127.0.0.1:0", false, text(func(c *Config) *string { return &c.MailboxAddr })},
	{"MAIL_ABUSE", "address that mails name for reports of abuse (default: the sender)", "", false, text(func(c *Config) *string { return &c.Abuse })},
	{"DKIM_DOMAIN", "domain of DKIM signatures; empty where the relay signs", "", false, text(func(c *Config) *string { return &c.DKIMDomain })},
	{"DKIM_SELECTOR", "selector of DKIM signatures", "", false, text(func(c *Config) *string { return &c.DKIMSelector })},
	{"DKIM_KEY", "private key of DKIM signatures in PEM, RSA or Ed25519", "", true, hidden(func(c *Config) *secret.String { return &c.DKIMKey })},
	{"OPERATOR_NAME", "who runs the programme, as mails and pages say it", "channelgraph", false, text(func(c *Config) *string { return &c.Operator })},
	{"PRODUCT_NAME", "what the installation is called", "channelgraph", false, text(func(c *Config) *string { return &c.Product })},
	{"TENANT_DOMAIN", "domain under which the tenants of new customers are named (default: customers. before the host of PUBLIC_URL, or customers.example where that is local)", "", false,
		func(c *Config, v string) error {
			d, err := address.Domain(v)
			if err != nil {
				return errors.New("must be a domain, such as customers.example.com")
			}
			c.TenantDomain = d
			return nil
		}},
	{"TIME_ZONE", "zone of the working calendar until an operator sets another, such as Europe/Rome", "UTC", false, func(c *Config, v string) error {
		zone, err := sla.Zone(v)
		if err != nil {
			return errors.New("must be the IANA name of a time zone, such as Europe/Rome")
		}
		c.TimeZone = zone
		return nil
	}},
	{"SECRET_KEY", "instance key of 32 bytes or more as base64 or hex, e.g. openssl rand -hex 32 (development: made and kept in DATA)", "", true, hidden(func(c *Config) *secret.String { return &c.SecretKey })},
	{"BOUNCE_SECRET", "bearer token of POST /hooks/mail/dsn, which takes bounces; empty closes it", "", true, hidden(func(c *Config) *secret.String { return &c.BounceSecret })},
	{"TRUSTED_PROXIES", "networks whose X-Forwarded-For and X-Request-Id are believed, with commas", "", false, func(c *Config, v string) error {
		for _, s := range strings.Split(v, ",") {
			if s = strings.TrimSpace(s); s == "" {
				continue
			}
			p, err := netip.ParsePrefix(s)
			if err != nil {
				a, aerr := netip.ParseAddr(s)
				if aerr != nil {
					return fmt.Errorf("%q is no network such as 10.0.0.0/8", s)
				}
				p = netip.PrefixFrom(a, a.BitLen())
			}
			c.TrustedProxies = append(c.TrustedProxies, p)
		}
		return nil
	}},
	{"DOCUMENTS", "which GraphQL documents are run: open for any, or console_only for those that the console brings; programs with a personal token send any",
		DocumentsOpen, false, oneOf(func(c *Config) *string { return &c.Documents }, DocumentsOpen, DocumentsConsoleOnly)},
	{"METRICS_ADDR", "address of a listener of its own for /metrics; empty shows them on ADDR in development and nowhere in production", "", false, text(func(c *Config) *string { return &c.MetricsAddr })},
	{"LOG_LEVEL", "debug, info, warn or error", "info", false, oneOf(func(c *Config) *string { return &c.LogLevel }, "debug", "info", "warn", "error")},
	{"LOG_FORMAT", "text or json", "text", false, oneOf(func(c *Config) *string { return &c.LogFormat }, "text", "json")},
	{"TRACES", "off, or otlp for OpenTelemetry traces of requests, statements, jobs and mails over OTLP/HTTP", TracesOff, false,
		oneOf(func(c *Config) *string { return &c.Traces }, TracesOff, TracesOTLP)},
	{"OTLP_ENDPOINT", "collector that takes the traces; /v1/traces is added where it names no path, headers come from OTEL_EXPORTER_OTLP_HEADERS",
		"http://localhost:4318", false, text(func(c *Config) *string { return &c.OTLPEndpoint })},
	{"TRACE_RATIO", "share of traces that are recorded, 0 to 1; a trace that a trusted proxy or an earlier job began is decided there", "1", false,
		func(c *Config, v string) error {
			f, err := strconv.ParseFloat(v, 64)
			if err != nil || !(f >= 0 && f <= 1) {
				return errors.New("must be a number from 0 to 1")
			}
			c.TraceRatio = f
			return nil
		}},
	{"INVITATION_LIFE", "how long an invitation can be answered", "720h", false, span(func(c *Config) *time.Duration { return &c.InvitationLife })},
	{"INVITATION_WAITING_LIFE", "how long an invitation waits for a company that enrolls first", "2160h", false, span(func(c *Config) *time.Duration { return &c.WaitingLife })},
	{"INVITATIONS_A_DAY", "most invitations of one provider in 24 hours", "500", false, number(func(c *Config) *int { return &c.InvitationDay })},
	{"INVITATIONS_A_RECIPIENT", "most mails of one provider to one address in 30 days", "3", false, number(func(c *Config) *int { return &c.RecipientMonth })},
	{"ENROLLMENT_LINK_LIFE", "how long the links work that open an account and confirm an address", "72h", false, span(func(c *Config) *time.Duration { return &c.Enrollment.Link })},
	{"ENROLLMENT_DRAFT_LIFE", "how long a draft lives untouched", "720h", false, span(func(c *Config) *time.Duration { return &c.Enrollment.Draft })},
	{"ENROLLMENT_CONFIRM_LIFE", "how long the primary contact's answer is waited for", "336h", false, span(func(c *Config) *time.Duration { return &c.Enrollment.Confirm })},
	{"ENROLLMENT_ANSWER_LIFE", "how long an applicant's answer is waited for", "720h", false, span(func(c *Config) *time.Duration { return &c.Enrollment.Answer })},
	{"ENROLLMENT_APPEAL_LIFE", "how long a rejection can be appealed", "720h", false, span(func(c *Config) *time.Duration { return &c.Enrollment.Appeal })},
	{"REVIEW_TARGET", "when a review is to be done, in time of business days: 72h are three of them", "72h", false, span(func(c *Config) *time.Duration { return &c.Enrollment.Target })},
	{"REVIEW_DUE", "within what a review is promised, in time of business days", "120h", false, span(func(c *Config) *time.Duration { return &c.Enrollment.Due })},
	{"SESSION_IDLE", "how long a session lives unused", "60m", false, span(func(c *Config) *time.Duration { return &c.SessionIdle })},
	{"SESSION_LIFE", "how long a session lives at most", "24h", false, span(func(c *Config) *time.Duration { return &c.SessionLife })},
	{"OPERATOR_SESSION_IDLE", "SESSION_IDLE for users of the operator", "30m", false, span(func(c *Config) *time.Duration { return &c.OperatorIdle })},
	{"OPERATOR_SESSION_LIFE", "SESSION_LIFE for users of the operator", "12h", false, span(func(c *Config) *time.Duration { return &c.OperatorLife })},
	{"SUDO_FOR", "how long somebody counts as freshly signed in", "15m", false, span(func(c *Config) *time.Duration { return &c.SudoFor })},
	{"WEBHOOK_PRIVATE", "true lets webhooks go to this machine itself, also over plain http; for development, production refuses it", "false", false, func(c *Config, v string) error {
		b, err := strconv.ParseBool(v)
		if err != nil {
			return errors.New("must be true or false")
		}
		c.WebhookPrivate = b
		return nil
	}},
	{"SHUTDOWN", "how long requests and jobs may finish when the process is told to stop", "25s", false, span(func(c *Config) *time.Duration { return &c.Shutdown })},
}

// Load reads the settings from an environment; overrides are flags by the
// same names without the prefix and win. The error names every setting that
// cannot be read.
func Load(getenv func(string) string, overrides map[string]string) (*Config, error) {
	c := &Config{}
	var errs []error
	for _, f := range fields {
		v := value(f, getenv, overrides)
		if v == "" {
			continue
		}
		if err := f.set(c, v); err != nil {
			errs = append(errs, fmt.Errorf("%s%s %w", Prefix, f.name, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if c.DatabaseURL == "" {
		c.DatabaseURL = "sqlite://" + strings.TrimSuffix(c.Data, "/") + "/channelgraph.db"
	}
	if c.PublicURL == "" {
		host, port, ok := splitAddr(c.Addr)
		if ok && (host == "" || host == "0.0.0.0" || host == "::") {
			host = "localhost"
		}
		if strings.Contains(host, ":") {
			host = "[" + host + "]"
		}
		c.PublicURL = "http://" + host + ":" + port
	}
	if c.TenantDomain == "" {
		c.TenantDomain = "customers.example"
		if u, err := url.Parse(c.PublicURL); err == nil && !local(u.Hostname()) {
			if d, err := address.Domain("customers." + u.Hostname()); err == nil {
				c.TenantDomain = d
			}
		}
	}
	return c, nil
}

func value(f field, getenv func(string) string, overrides map[string]string) string {
	if v, ok := overrides[f.name]; ok {
		return v
	}
	if v := getenv(Prefix + f.name); v != "" {
		return v
	}
	return f.def
}

// Known reports whether a setting goes by the name, without the prefix.
func Known(name string) bool {
	return slices.ContainsFunc(fields, func(f field) bool { return f.name == name })
}

// Unknown names the variables of an environment that look like settings and
// are none: most are misspelled. Those that the Compose file and the tests
// read for themselves do not count.
func Unknown(environ []string) []string {
	var out []string
	for _, line := range environ {
		full, _, _ := strings.Cut(line, "=")
		name, ours := strings.CutPrefix(full, Prefix)
		if ours && !Known(name) && !strings.HasPrefix(name, "TEST_") && !slices.Contains([]string{"PORT", "VERSION", "PG_BIN", "REDIS_SERVER"}, name) {
			out = append(out, full)
		}
	}
	slices.Sort(out)
	return out
}

// Settings lists every setting with its present value; secrets are masked.
func Settings(getenv func(string) string, overrides map[string]string) []Setting {
	out := make([]Setting, 0, len(fields))
	for _, f := range fields {
		s := Setting{Name: Prefix + f.name, Meaning: f.meaning, Default: f.def, Value: value(f, getenv, overrides), Secret: f.hidden}
		if f.hidden && s.Value != "" {
			s.Value = mask(s.Value)
		}
		out = append(out, s)
	}
	return out
}

// mask hides a secret; of a URL the user part and passwords among the
// parameters are hidden.
func mask(v string) string {
	if u, err := url.Parse(v); err == nil && u.Scheme != "" && u.Host+u.Path != "" {
		if u.User != nil {
			u.User = url.UserPassword("***", "***")
		}
		if q := u.Query(); len(q) > 0 {
			for k := range q {
				if strings.Contains(strings.ToLower(k), "pass") {
					q.Set(k, "***")
				}
			}
			u.RawQuery = q.Encode()
		}
		return u.Scheme + "://" + strings.TrimPrefix(strings.ReplaceAll(u.Redacted(), "%2A", "*"), u.Scheme+"://")
	}
	return "***"
}

// Print writes the settings as a table.
func Print(w io.Writer, settings []Setting) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "NAME\tVALUE\tDEFAULT\tMEANING")
	for _, s := range settings {
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", s.Name, s.Value, s.Default, s.Meaning)
	}
	return t.Flush()
}

// Check refuses settings that do not go together, all reasons at once.
func (c *Config) Check() error {
	var errs []error
	refuse := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	u, err := url.Parse(c.PublicURL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.User != nil {
		refuse("CHANNELGRAPH_PUBLIC_URL %q must be http(s)://host without a path", c.PublicURL)
		u = &url.URL{}
	}
	sqlite := strings.HasPrefix(c.DatabaseURL, "sqlite:")
	if c.Role != RoleAll && (sqlite || c.RedisURL == "") {
		refuse("CHANNELGRAPH_ROLE=%s parts the work among processes, so it needs PostgreSQL in CHANNELGRAPH_DATABASE_URL and Redis in CHANNELGRAPH_REDIS_URL", c.Role)
	}
	if c.SecretKey != "" {
		if _, err := secret.ParseKey(c.SecretKey.Reveal()); err != nil {
			refuse("CHANNELGRAPH_SECRET_KEY is %w", err)
		}
	}
	if c.Traces == TracesOTLP {
		if e, err := url.Parse(c.OTLPEndpoint); err != nil || e.Scheme != "http" && e.Scheme != "https" || e.Host == "" || e.User != nil || e.RawQuery != "" {
			refuse("CHANNELGRAPH_OTLP_ENDPOINT must be http(s)://host:port; a password goes into OTEL_EXPORTER_OTLP_HEADERS")
		}
	}
	if c.Enrollment.Due < c.Enrollment.Target {
		refuse("CHANNELGRAPH_REVIEW_DUE is less than CHANNELGRAPH_REVIEW_TARGET")
	}
	if c.BounceSecret != "" && len(c.BounceSecret.Reveal()) < 24 {
		refuse("CHANNELGRAPH_BOUNCE_SECRET is shorter than 24 characters")
	}
	if c.Env == Production {
		if c.Demo {
			refuse("--demo fills a demo world with known accounts; production refuses it")
		}
		if u.Hostname() != "" && u.Scheme != "https" {
			refuse("CHANNELGRAPH_PUBLIC_URL %q is not https; production sends sessions and links only over https", c.PublicURL)
		}
		if c.WebhookPrivate {
			refuse("CHANNELGRAPH_WEBHOOK_PRIVATE lets webhooks reach what stands behind the firewall; production refuses it")
		}
		if c.SMTPURL == "" {
			refuse("CHANNELGRAPH_SMTP_URL is empty: mail would go to the development mailbox and reach nobody")
		}
		if c.SecretKey == "" {
			refuse("CHANNELGRAPH_SECRET_KEY is empty: production makes no key of its own, since every process needs the same one")
		} else if weak(c.SecretKey.Reveal()) {
			refuse("CHANNELGRAPH_SECRET_KEY is a well-known or uniform value; make one with openssl rand -hex 32")
		}
		if strings.HasSuffix(strings.TrimSuffix(c.MailFrom, ">"), "@localhost") {
			refuse("CHANNELGRAPH_MAIL_FROM %q is the development sender", c.MailFrom)
		}
		return errors.Join(errs...)
	}
	if h := u.Hostname(); h != "" && !local(h) {
		refuse("CHANNELGRAPH_PUBLIC_URL %q is not local: development mode has a mailbox that everybody could read; set CHANNELGRAPH_ENV=production", c.PublicURL)
	}
	if host, _, ok := splitAddr(c.Addr); !ok {
		refuse("CHANNELGRAPH_ADDR %q must be host:port", c.Addr)
	} else if !local(host) {
		refuse("CHANNELGRAPH_ADDR %q is not a loopback address: development mode listens there only; set CHANNELGRAPH_ENV=production", c.Addr)
	}
	return errors.Join(errs...)
}

// splitAddr parts host:port; an IPv6 host stands in brackets.
func splitAddr(addr string) (host, port string, ok bool) {
	i := strings.LastIndexByte(addr, ':')
	if i < 0 {
		return "", "", false
	}
	host, port = addr[:i], addr[i+1:]
	if inner, bracket := strings.CutPrefix(host, "["); bracket {
		host, ok = strings.CutSuffix(inner, "]")
		return host, port, ok
	}
	return host, port, !strings.Contains(host, ":")
}

func local(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

// weak says that a key is one that stands in documentation or was typed.
func weak(s string) bool {
	b, err := secret.ParseKey(s)
	if err != nil {
		return true
	}
	seen := map[byte]bool{}
	for _, x := range b {
		seen[x] = true
	}
	return len(seen) < 12
}

// IsDevelopment reports whether the process may show its mailbox and GraphiQL.
func (c *Config) IsDevelopment() bool { return c.Env != Production }
