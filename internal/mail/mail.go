// Package mail owns messages: rows that say what is to be told to whom, their
// templates in every language, sending them over SMTP phase by phase, their
// timeline, the bounces that come back and the suppression list. It never
// decides who is told what and never puts work into a queue: a concept writes
// a Draft in its own transaction, puts a Send job beside it, and hands the
// job to Deliver.
//
// Invariant: no table, job or log holds the token of a mailed link; it is
// derived when the message is rendered (security decision D12), so that every
// attempt sends the same bytes. A second copy of a message can leave only
// where SMTP did not tell whether the first was taken, and is then flagged.
package mail

import (
	"context"
	"crypto"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/mail"
	"net/url"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"

	"github.com/channelgraph/channelgraph/internal/address"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/secret"
)

// Locales are the languages that every template is written in; the first is
// what an unknown language falls back to.
var Locales = []string{"en", "it"}

// State is where a message stands.
type State string

// States of a message. Pending and deferred wait, sending is with a server,
// the others are final. Sent means that a server took responsibility.
const (
	Pending    State = "pending"
	Sending    State = "sending"
	Sent       State = "sent"
	Deferred   State = "deferred"
	Failed     State = "failed"
	Expired    State = "expired"
	Suppressed State = "suppressed"
	Bounced    State = "bounced"
)

// Final reports whether no attempt will follow.
func (s State) Final() bool { return s != Pending && s != Sending && s != Deferred }

// Codes of why a message is not sent, or not yet.
const (
	CodeTemporary   = "SMTP_TEMPORARY"
	CodeLost        = "SMTP_CONNECTION_LOST"
	CodeReplyLost   = "SMTP_REPLY_LOST"
	CodeRefused     = "SMTP_REFUSED"
	CodeRecipient   = "SMTP_RECIPIENT_REFUSED"
	CodeSender      = "SMTP_SENDER_REFUSED"
	CodeUTF8        = "SMTP_UTF8_UNSUPPORTED"
	CodeUnavailable = "MAIL_PROVIDER_UNAVAILABLE"
	CodeSignIn      = "MAIL_PROVIDER_SIGN_IN"
	CodeTLS         = "MAIL_PROVIDER_TLS"
	CodeRate        = "MAIL_RATE"
	CodeInFlight    = "MAIL_IN_FLIGHT"
	CodeExpired     = "MAIL_EXPIRED"
	CodeSuppressed  = "MAIL_SUPPRESSED"
	CodeNotWanted   = "MAIL_NOT_WANTED"
	CodeBounced     = "MAIL_BOUNCED"
	CodeTemplate    = "MAIL_TEMPLATE"
)

// MaxAttempts is what a Send job is put with: the message itself counts and
// ends its attempts at ExpiresAt, so the queue must not give up before.
const MaxAttempts = 10000

// DefaultLife is how long a message is worth sending unless its draft says
// otherwise.
const DefaultLife = 72 * time.Hour

// Config says how mail leaves.
type Config struct {
	// SMTPURL is smtp://user:password@host:port?tls=starttls|implicit|none, or
	// smtps:// for implicit TLS. Without tls a loopback host is spoken to in
	// the clear and any other must offer STARTTLS.
	SMTPURL string
	// From is the sender: an address, or a name with an address in brackets.
	// Its domain makes the Message-IDs.
	From string
	// PublicURL is where people reach channelgraph; links are made of it alone.
	PublicURL string
	// ProductName is how the installation calls itself; default channelgraph.
	ProductName string
	// Operator is who runs the programme; default ProductName.
	Operator string
	// Abuse is the address that footers name for reports; default From's.
	Abuse string
	// Locale is the language of drafts that name none; default en.
	Locale string

	// DKIMDomain, DKIMSelector and DKIMKey (PEM, RSA or Ed25519) sign mail
	// here; leave them empty where the relay signs.
	DKIMDomain, DKIMSelector string
	DKIMKey                  secret.String

	// Connections bounds the connections to the server; default 4.
	Connections int
	// Rate bounds mails per second over all processes, Burst what may leave
	// at once; a Rate of 0 is no bound.
	Rate  float64
	Burst int
	// Hello is the name for EHLO; default PublicURL's host.
	Hello string
	// Lease is how long a claimed message is left to a process that no longer
	// answers; default 15 s.
	Lease time.Duration
	// Timeouts bound the phases of a conversation.
	Timeouts Timeouts
	// TLS replaces the TLS settings of the connection; nil means the system's
	// certificates and the host's name.
	TLS *tls.Config
}

// Timeouts bound the phases of an SMTP conversation; zero values take the
// defaults.
type Timeouts struct {
	// Connect covers reaching the server: 15 s.
	Connect time.Duration
	// Command covers greeting, EHLO, TLS, sign-in and each envelope command: 60 s.
	Command time.Duration
	// Body covers handing over the message: 3 min.
	Body time.Duration
	// Dot covers the wait for the server's word after the final dot. It is
	// long, 10 min, since giving up early makes second copies (RFC 5321
	// section 4.5.3.2.6).
	Dot time.Duration
}

// Mailer renders, sends and remembers messages.
type Mailer struct {
	// OnOutcome, where set, is told each outcome of an attempt, for counters.
	OnOutcome func(state, code string)

	db       *database.DB
	keys     *secret.Keys
	cfg      Config
	from     *mail.Address
	fromHost string
	public   *url.URL
	dkim     crypto.Signer
	server   server
	pool     *pool
	set      *templates
	log      *slog.Logger
	bounced  []func(context.Context, *database.Tx, *Message, Report) error
}

// New checks the configuration and compiles every template in every language,
// rendering each with its sample.
func New(db *database.DB, keys *secret.Keys, cfg Config, log *slog.Logger) (*Mailer, error) {
	m := &Mailer{db: db, keys: keys, cfg: cfg, log: log}
	if err := m.configure(); err != nil {
		return nil, fmt.Errorf("mail settings: %w", err)
	}
	var err error
	if m.set, err = compiled(); err != nil {
		return nil, err
	}
	for _, name := range m.set.names() {
		for _, locale := range Locales {
			if _, err := m.Preview(name, locale); err != nil {
				return nil, fmt.Errorf("mail template %s/%s: %w", name, locale, err)
			}
		}
	}
	m.pool = newPool(m.cfg.Connections)
	return m, nil
}

func (m *Mailer) configure() error {
	c := &m.cfg
	set := func(s *string, v string) {
		if *s == "" {
			*s = v
		}
	}
	span := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	set(&c.ProductName, "channelgraph")
	set(&c.Operator, c.ProductName)
	set(&c.Locale, Locales[0])
	span(&c.Lease, 15*time.Second)
	span(&c.Timeouts.Connect, 15*time.Second)
	span(&c.Timeouts.Command, time.Minute)
	span(&c.Timeouts.Body, 3*time.Minute)
	span(&c.Timeouts.Dot, 10*time.Minute)
	if c.Connections <= 0 {
		c.Connections = 4
	}
	if c.Burst <= 0 {
		c.Burst = 1
	}
	for _, s := range []string{c.ProductName, c.Operator, c.Hello, c.PublicURL, c.From} {
		if !address.Clean(s) {
			return errors.New("names and addresses must be of one line without control characters")
		}
	}
	from, err := mail.ParseAddress(c.From)
	if err != nil {
		return fmt.Errorf("the sender %q cannot be read", c.From)
	}
	a, err := address.Parse(from.Address)
	if err != nil {
		if !strings.HasSuffix(from.Address, "@localhost") {
			return fmt.Errorf("the sender %q is no usable address", from.Address)
		}
		a.Domain = "localhost"
	} else {
		from.Address = a.String()
	}
	set(&from.Name, c.ProductName)
	m.from, m.fromHost = from, a.Domain
	set(&c.Abuse, from.Address)
	if m.public, err = url.Parse(strings.TrimRight(c.PublicURL, "/")); err != nil || m.public.Host == "" || m.public.Scheme != "http" && m.public.Scheme != "https" {
		return fmt.Errorf("the public URL %q is not http or https", c.PublicURL)
	}
	set(&c.Hello, m.public.Hostname())
	if c.DKIMKey != "" {
		if m.dkim, err = gomail.PrivKeyFromPEM([]byte(c.DKIMKey.Reveal())); err != nil {
			return errors.New("the DKIM key is no RSA or Ed25519 key in PEM")
		}
		if c.DKIMDomain == "" || c.DKIMSelector == "" {
			return errors.New("DKIM needs a domain and a selector beside its key")
		}
	}
	m.server, err = parseServer(c.SMTPURL, c.TLS)
	return err
}

// Close closes idle connections; deliveries that run are not disturbed.
func (m *Mailer) Close() { m.pool.close() }

// Link says which link a message carries. Its URL is PublicURL + Path + "#" +
// token, with the token derived from purpose, subject and generation.
type Link struct {
	// Purpose separates the tokens of different acts.
	Purpose string
	// Prefix begins the token, such as cgi.
	Prefix string
	// Path is the page the link leads to, such as /l/invitation; the token
	// can also be pasted there.
	Path string
	// SubjectID and Generation are what the token proves.
	SubjectID  ident.ID
	Generation int
}

// Draft is a message to be written.
type Draft struct {
	// Key makes Queue idempotent: one message a key, ever.
	Key string
	// Template names what is said; Locale in which language (it, it-IT);
	// unknown ones fall back to the configured one.
	Template string
	Locale   string
	// To is one bare address.
	To string
	// Data fills the template: exactly the keys of its sample, where the
	// optional ones may be absent. It is stored and must hold no secret.
	// Moments are given as RFC 3339 and written in the message's language.
	Data map[string]string
	// Link is needed by templates that carry one, and by no others.
	Link *Link
	// OrganizationID and SubjectID say whose message it is and about what.
	OrganizationID ident.ID
	SubjectID      ident.ID
	// ExpiresAt ends the attempts; the default is DefaultLife from now.
	ExpiresAt time.Time
	// Reminder marks mails that the recipient may ask to stop.
	Reminder bool
	// Fresh says that Key cannot be there yet, since it names something that
	// was made in this transaction.
	Fresh bool
}

// Send is the arguments of the job that delivers one message.
type Send struct {
	MessageID ident.ID `json:"message_id"`
}

// Kind is the job's kind.
func (Send) Kind() string { return "mail.send" }

// Queue writes a message as pending, with its first event, in the caller's
// transaction; the same key again gives the message that is there. The
// caller puts the Send job. Errors: the faults of address.Parse; anything
// else wrong with a draft is a mistake in the program.
func (m *Mailer) Queue(ctx context.Context, tx *database.Tx, d Draft) (*Message, error) {
	to, err := address.Parse(d.To)
	if err != nil {
		return nil, err
	}
	if d.Key == "" {
		return nil, fmt.Errorf("queueing mail %s: no key", d.Template)
	}
	msg := &Message{
		ID: ident.New(ident.Mail), DedupeKey: d.Key, Template: d.Template, Locale: m.locale(d.Locale),
		Recipient: to.String(), RecipientFolded: to.Folded(), Data: d.Data, Reminder: d.Reminder,
		OrganizationID: d.OrganizationID, SubjectID: d.SubjectID, DatedAt: tx.Now.Truncate(time.Second),
		State: Pending, ExpiresAt: d.ExpiresAt.UTC(), RequestID: ident.Request(ctx), CreatedAt: tx.Now,
	}
	if msg.Data == nil {
		msg.Data = map[string]string{}
	}
	if d.ExpiresAt.IsZero() {
		msg.ExpiresAt = tx.Now.Add(DefaultLife)
	}
	if l := d.Link; l != nil {
		if !strings.HasPrefix(l.Path, "/") || !address.Clean(l.Path) || strings.ContainsAny(l.Path, "#? ") || l.Purpose == "" || l.Prefix == "" || l.SubjectID == "" {
			return nil, fmt.Errorf("queueing mail %s: the link is incomplete", d.Template)
		}
		msg.LinkPurpose, msg.LinkPrefix, msg.LinkPath = l.Purpose, l.Prefix, l.Path
		msg.LinkSubjectID, msg.LinkGeneration = l.SubjectID, l.Generation
	}
	msg.MessageID = msg.ID.Body() + "@" + m.fromHost
	if _, err := m.render(msg); err != nil {
		return nil, fmt.Errorf("queueing mail: %w", err)
	}
	return m.insert(ctx, tx, msg, d.Fresh)
}

func (m *Mailer) locale(tag string) string {
	tag, _, _ = strings.Cut(strings.ToLower(strings.ReplaceAll(tag, "_", "-")), "-")
	for _, fallback := range []string{tag, m.cfg.Locale} {
		for _, l := range Locales {
			if l == fallback {
				return l
			}
		}
	}
	return Locales[0]
}

// Outcome is how an attempt ended.
type Outcome struct {
	State State
	// Code says why; "" for sent.
	Code string
	// Recipient says that the server refused this very recipient.
	Recipient bool
	// MaybeDuplicate says that a copy may have been delivered before.
	MaybeDuplicate bool
}

// Hooks are what a concept has to say about its message.
type Hooks struct {
	// Wanted is asked just before the message is claimed; false suppresses it
	// with MAIL_NOT_WANTED. Nil means that it is always wanted.
	Wanted func(ctx context.Context) (bool, error)
	// Settle runs in the transaction that marks the message final or
	// deferred. It may run again after a failure of the database.
	Settle func(ctx context.Context, tx *database.Tx, m *Message, o Outcome) error
}

// Rendered is a message as people read it.
type Rendered struct {
	Locale  string
	Subject string
	Text    string
	HTML    string
}

// OnBounce registers what runs in the transaction that records a permanent
// bounce. It must be called before the first Bounce.
func (m *Mailer) OnBounce(fn func(ctx context.Context, tx *database.Tx, msg *Message, r Report) error) {
	m.bounced = append(m.bounced, fn)
}

// Mask hides the local part of an address for logs: j***@example.com.
func Mask(addr string) string {
	local, domain, ok := strings.Cut(addr, "@")
	if !ok || local == "" {
		return "***"
	}
	for _, r := range local {
		return string(r) + "***@" + domain
	}
	return "***"
}

// notFound answers for a message that is not there.
func notFound() error { return fault.NotFound("") }
