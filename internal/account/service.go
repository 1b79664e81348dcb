package account

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/address"
	"github.com/channelgraph/channelgraph/internal/audit"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/mail"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/internal/page"
	"github.com/channelgraph/channelgraph/internal/secret"
)

// Config says how long sessions live and how passwords are hashed. Zero
// values take the defaults of security decisions D3 and D4.
type Config struct {
	// PublicURL is where people reach channelgraph; the setup link is made of
	// it.
	PublicURL string
	// IdleFor and Lifetime end a session: 60 minutes without use, 24 hours in
	// all; for users of the operator 30 minutes and 12 hours.
	IdleFor, Lifetime                 time.Duration
	OperatorIdleFor, OperatorLifetime time.Duration
	// SudoFor is how long a user counts as freshly authenticated: 15 minutes.
	SudoFor time.Duration
	Hashing Hashing
}

// Service performs the verbs of accounts.
type Service struct {
	db     *database.DB
	mailer *mail.Mailer
	keys   *secret.Keys
	cfg    Config
	hasher *hasher
	log    *slog.Logger
	// mayInvite is told by the concept that knows what a company is.
	mayInvite func(ctx context.Context, tx *database.Tx, org *Organization) error
}

// New makes the service; log may be nil.
func New(db *database.DB, mailer *mail.Mailer, keys *secret.Keys, cfg Config, log *slog.Logger) *Service {
	for _, d := range []struct {
		v *time.Duration
		d time.Duration
	}{
		{&cfg.IdleFor, 60 * time.Minute}, {&cfg.Lifetime, 24 * time.Hour}, {&cfg.OperatorIdleFor, 30 * time.Minute},
		{&cfg.OperatorLifetime, 12 * time.Hour}, {&cfg.SudoFor, 15 * time.Minute},
	} {
		if *d.v <= 0 {
			*d.v = d.d
		}
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Service{db: db, mailer: mailer, keys: keys, cfg: cfg, hasher: newHasher(cfg.Hashing), log: log}
}

// touchEvery is how often at most a session's use is written down (D4).
const touchEvery = time.Minute

// sessionPrefix begins a session's token, so that log redactors and secret
// scanners know one.
const sessionPrefix = "cgt"

// ---- Founding organizations and adding users, in the caller's transaction

// Found makes an organization. The actor may register partners, or is the
// system. Errors: what is wrong with the input, DOMAIN_NOT_AVAILABLE.
func (s *Service) Found(ctx context.Context, tx *database.Tx, actor access.Actor, in NewOrganization) (*Organization, error) {
	if err := actor.Require(access.PermPartnerRegister); err != nil {
		return nil, err
	}
	if err := in.Validate(); err != nil {
		return nil, err
	}
	return s.found(ctx, tx, actor, in)
}

// found founds a validated organization.
func (s *Service) found(ctx context.Context, tx *database.Tx, actor access.Actor, in NewOrganization) (*Organization, error) {
	o := &Organization{ID: ident.New(ident.Organization), Kind: in.Kind, Name: in.Name, NameFolded: address.Fold(in.Name), Domain: in.Domain,
		Country: in.Country, Locale: in.Locale, Version: 1, CreatedAt: tx.Now, UpdatedAt: tx.Now}
	made, err := insertOrganization(ctx, tx, o)
	if err != nil {
		return nil, fmt.Errorf("founding an organization: %w", err)
	}
	if !made {
		return nil, fault.Conflict("domain", CodeDomainNotFree)
	}
	return o, audit.Record(ctx, tx, actor, audit.Act{Action: "organization.founded", TargetID: o.ID, TargetOrganizationID: o.ID})
}

// AddUser adds a user to an organization. With a password the user is ACTIVE
// and the job is nil; without one the user is INVITED, and the job mails the
// invitation. The caller has decided that the actor may give these roles.
// Errors: ROLE_REQUIRED, what is wrong with the input, EMAIL_NOT_AVAILABLE.
func (s *Service) AddUser(ctx context.Context, tx *database.Tx, actor access.Actor, org *Organization, in NewUser) (*User, *outbox.Job, error) {
	if err := actor.Require(access.PermUserManage); err != nil {
		return nil, nil, err
	}
	if err := in.Validate(org); err != nil {
		return nil, nil, err
	}
	if in.Password == "" {
		return s.addUser(ctx, tx, actor, org, in, "")
	}
	hash, err := s.hasher.hash(ctx, in.Password.Reveal())
	if err != nil {
		return nil, nil, err
	}
	return s.addUser(ctx, tx, actor, org, in, hash)
}

// addUser adds a validated user; hash is the password's, "" for an invitation.
func (s *Service) addUser(ctx context.Context, tx *database.Tx, actor access.Actor, org *Organization, in NewUser, hash string) (*User, *outbox.Job, error) {
	email, err := address.Parse(in.Email)
	if err != nil {
		return nil, nil, err
	}
	u := &User{ID: ident.New(ident.User), OrganizationID: org.ID, Email: email.String(), EmailFolded: email.Folded(),
		FirstName: in.FirstName, LastName: in.LastName, Locale: in.Locale, Status: Invited, Version: 1, CreatedAt: tx.Now, UpdatedAt: tx.Now}
	if u.Locale == "" {
		u.Locale = org.Locale
	}
	u.NameFolded = address.Fold(u.DisplayName())
	if hash != "" {
		u.Status = Active
	} else {
		u.LinkGeneration = 1 // the invitation's
	}
	made, err := insertUser(ctx, tx, u)
	if err != nil {
		return nil, nil, fmt.Errorf("adding a user: %w", err)
	}
	if !made {
		return nil, nil, fault.Conflict("email", CodeEmailNotAvailable)
	}
	if err := setRoles(ctx, tx, u.ID, actor.UserID, nil, in.Roles); err != nil {
		return nil, nil, err
	}
	if hash != "" {
		if err := setPassword(ctx, tx, u.ID, hash); err != nil {
			return nil, nil, err
		}
		return u, nil, audit.Record(ctx, tx, actor, audit.Act{Action: "user.added", TargetID: u.ID, TargetOrganizationID: org.ID})
	}
	job, err := s.mailFirst(ctx, tx, actor, org, u)
	if err != nil {
		return nil, nil, err
	}
	return u, job, audit.Record(ctx, tx, actor, audit.Act{Action: "user.invited", TargetID: u.ID, TargetOrganizationID: org.ID})
}

// ---- First run

// SetupLink mints the one-time link with which the first operator is set up
// (D1); needed is false, and there is no link, once an operator exists. Links
// that other processes printed before live on to their own end.
func (s *Service) SetupLink(ctx context.Context) (url string, needed bool, err error) {
	err = s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		url, needed = "", false
		exists, err := operatorExists(ctx, tx)
		if err != nil || exists {
			return err
		}
		id := ident.New(ident.Link)
		token, err := s.mint(ctx, tx, PurposeSetup, id, 1)
		if err != nil {
			return err
		}
		needed, url = true, strings.TrimRight(s.cfg.PublicURL, "/")+linkKinds[PurposeSetup].path+"#"+token.Reveal()
		return nil
	})
	if err != nil {
		return "", false, fmt.Errorf("making the setup link: %w", err)
	}
	return url, needed, nil
}

// SetUp founds the operator and its first administrator, once. Errors: what
// is wrong with the input, NOT_FOUND, LINK_USED or LINK_EXPIRED at token,
// ALREADY_SET_UP.
func (s *Service) SetUp(ctx context.Context, in SetUpInput) error {
	link, err := s.openLink(ctx, PurposeSetup, in.Token)
	if err != nil {
		return err
	}
	if err := in.Validate(); err != nil {
		return err
	}
	hash, err := s.hasher.hash(ctx, in.Password.Reveal())
	if err != nil {
		return err
	}
	actor := access.System("setup")
	return s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		// The row makes two set-ups wait for each other, whatever their links.
		if err := database.SetSetting(ctx, tx, "set_up_at", tx.Now.Format(time.RFC3339)); err != nil {
			return fmt.Errorf("setting up: %w", err)
		}
		exists, err := operatorExists(ctx, tx)
		if err != nil {
			return fmt.Errorf("setting up: %w", err)
		}
		if exists {
			return fault.Conflict("token", CodeAlreadySetUp)
		}
		if err := s.use(ctx, tx, link); err != nil {
			return err
		}
		org, err := s.Found(ctx, tx, actor, NewOrganization{Kind: access.Operator, Name: in.OrganizationName, Domain: in.Domain, Country: in.Country, Locale: in.Locale})
		if err != nil {
			return err
		}
		user := NewUser{Email: in.Email, FirstName: in.FirstName, LastName: in.LastName, Locale: in.Locale, Roles: []access.Role{access.OperatorAdmin}}
		if _, _, err := s.addUser(ctx, tx, actor, org, user, hash); err != nil {
			return err
		}
		return killSetupLinks(ctx, tx)
	})
}

// ---- Sign-in and sessions

// SignIn opens a session. Errors: SIGN_IN_FAILED, the same for a wrong
// password, an unknown address, an invited and a disabled user, after the
// same work; RATE_LIMITED by D5 or where too many passwords are being hashed.
// A temporary password opens no session: the answer is a *ChangeRequired.
func (s *Service) SignIn(ctx context.Context, in SignInInput) (secret.String, *Session, *User, error) {
	refused := &fault.Error{Kind: fault.KindUnauthenticated, Code: CodeSignInFailed, Problems: []fault.Problem{{Path: []string{"input"}, Code: CodeSignInFailed}}}
	c := claim{email: foldEmail(in.Email), network: throttleNetwork(in.IP), prefix: networkPrefix(in.IP)}
	who, fresh, err := s.prove(ctx, &c, in.Password)
	if err != nil {
		return "", nil, nil, err
	}
	if who == nil {
		return "", nil, nil, s.refuse(ctx, access.Anonymous(in.Locale, c.prefix), c, "user.sign_in", refused)
	}
	if who.ExpiresAt != nil {
		next, err := s.demandPassword(ctx, c, who)
		if err == nil && next == "" {
			err = refused
		}
		if err == nil {
			err = &ChangeRequired{Next: next}
		}
		return "", nil, nil, err
	}
	token := secret.NewToken(sessionPrefix)
	var session *Session
	var user *User
	err = s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		if user, err = s.still(ctx, tx, who); err != nil || user == nil {
			return err
		}
		idle, life := s.spans(who.Kind)
		session = &Session{ID: ident.New(ident.Session), UserID: user.ID, OrganizationID: user.OrganizationID, TokenHash: secret.Hash(token.Reveal()),
			AuthMethods: "password", IPPrefix: c.prefix, Agent: cleanAgent(in.Agent), CreatedAt: tx.Now, LastSeenAt: tx.Now,
			AbsUntil: tx.Now.Add(life), IdleUntil: earlier(tx.Now.Add(idle), tx.Now.Add(life)), SudoUntil: tx.Now.Add(s.cfg.SudoFor)}
		if err := insertSession(ctx, tx, session); err != nil {
			return fmt.Errorf("opening a session: %w", err)
		}
		if err := noteSignIn(ctx, tx, user); err != nil {
			return fmt.Errorf("opening a session: %w", err)
		}
		if err := s.settle(ctx, tx, c, who, fresh); err != nil {
			return err
		}
		actor, err := access.Load(ctx, tx, access.Presence{UserID: user.ID, SessionID: session.ID, IPPrefix: c.prefix})
		if err != nil {
			return fmt.Errorf("opening a session: %w", err)
		}
		return audit.Record(ctx, tx, actor, audit.Act{Action: "user.signed_in", TargetID: user.ID, TargetOrganizationID: user.OrganizationID})
	})
	if err != nil {
		return "", nil, nil, err
	}
	if user == nil { // disabled, or another password, since the check
		return "", nil, nil, refused
	}
	return token, session, user, nil
}

// Authenticate finds out whose session a token is. An unknown, ended or
// expired one, and one of a user who is not active, gives the zero Presence
// and no error. Use is written down at most once a minute.
func (s *Service) Authenticate(ctx context.Context, token string) (access.Presence, *Session, error) {
	var nobody access.Presence
	if !strings.HasPrefix(token, sessionPrefix+"_") || len(token) > 100 {
		return nobody, nil, nil
	}
	f, err := sessionByToken(ctx, s.db.ReadPrepared(), secret.Hash(token))
	if err != nil {
		return nobody, nil, err
	}
	now := s.db.Now()
	if f == nil || f.Holder.Status != string(Active) || !f.Live(now) {
		return nobody, nil, nil
	}
	if now.Sub(f.LastSeenAt) >= touchEvery {
		idle, _ := s.spans(f.Holder.Kind)
		f.LastSeenAt, f.IdleUntil = now, earlier(now.Add(idle), f.AbsUntil)
		if err := touch(ctx, s.db.Bun(), &f.Session, now.Add(-touchEvery)); err != nil {
			return nobody, nil, fmt.Errorf("noting the use of a session: %w", err)
		}
	}
	return access.Presence{UserID: f.UserID, SessionID: f.ID, SudoUntil: f.SudoUntil, IPPrefix: f.IPPrefix, Holder: &f.Holder}, &f.Session, nil
}

// Reauthenticate proves the password again and opens the sudo window (D4).
// The session goes on under the new token; the old one is dead. Errors:
// PASSWORD_WRONG at password, RATE_LIMITED, UNAUTHENTICATED.
func (s *Service) Reauthenticate(ctx context.Context, actor access.Actor, sessionToken string, password secret.String, ip netip.Addr) (secret.String, *Session, error) {
	if err := asPerson(actor); err != nil {
		return "", nil, err
	}
	c := claim{email: foldEmail(actor.Email), network: throttleNetwork(ip), prefix: networkPrefix(ip)}
	who, fresh, err := s.prove(ctx, &c, password)
	if err != nil {
		return "", nil, err
	}
	if who == nil || who.ID != actor.UserID {
		return "", nil, s.refuse(ctx, actor, c, "user.reauthenticate", fault.Invalid("password", CodePasswordWrong))
	}
	var session *Session
	token := secret.NewToken(sessionPrefix)
	err = s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		user, err := s.still(ctx, tx, who)
		if err != nil {
			return err
		}
		if user == nil {
			return fault.Unauthenticated()
		}
		if session, err = s.renew(ctx, tx, actor, who.Kind, sessionToken, token); err != nil {
			return err
		}
		if err := s.settle(ctx, tx, c, who, fresh); err != nil {
			return err
		}
		return audit.Record(ctx, tx, actor, audit.Act{Action: "user.reauthenticated", TargetID: user.ID, TargetOrganizationID: user.OrganizationID})
	})
	if err != nil {
		return "", nil, err
	}
	return token, session, nil
}

// SignOut ends the session of a token; a token that is nobody's is no error.
func (s *Service) SignOut(ctx context.Context, token string) error {
	return s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		ended, err := endSessionByToken(ctx, tx, secret.Hash(token))
		if err != nil {
			return fmt.Errorf("signing out: %w", err)
		}
		if ended == nil {
			return nil
		}
		actor, err := access.Load(ctx, tx, access.Presence{UserID: ended.UserID, SessionID: ended.ID, IPPrefix: ended.IPPrefix})
		if err != nil {
			return fmt.Errorf("signing out: %w", err)
		}
		return audit.Record(ctx, tx, actor, audit.Act{Action: "user.signed_out", TargetID: ended.UserID, TargetOrganizationID: ended.OrganizationID})
	})
}

// EndSession ends one of the actor's own sessions. Error: NOT_FOUND.
func (s *Service) EndSession(ctx context.Context, actor access.Actor, id ident.ID) error {
	if err := asPerson(actor); err != nil {
		return err
	}
	if !id.Is(ident.Session) {
		return fault.NotFound("sessionId")
	}
	n, err := s.end(ctx, actor, actor.UserID, "", id)
	if err == nil && n == 0 {
		return fault.NotFound("sessionId")
	}
	return err
}

// EndOtherSessions ends all of the actor's sessions but the one it acts in,
// and counts them.
func (s *Service) EndOtherSessions(ctx context.Context, actor access.Actor) (int, error) {
	if err := asPerson(actor); err != nil {
		return 0, err
	}
	return s.end(ctx, actor, actor.UserID, actor.SessionID, "")
}

// EndUserSessions signs a user of the actor's organization out everywhere and
// counts the sessions. Errors: ROLE_REQUIRED, NOT_FOUND.
func (s *Service) EndUserSessions(ctx context.Context, actor access.Actor, userID ident.ID) (int, error) {
	if err := actor.Require(access.PermUserManage); err != nil {
		return 0, err
	}
	if err := actor.RefuseToken(); err != nil {
		return 0, err
	}
	return s.end(ctx, actor, userID, "", "")
}

func (s *Service) end(ctx context.Context, actor access.Actor, user, keep, only ident.ID) (n int, err error) {
	err = s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		u, err := s.lockOwn(ctx, tx, actor, user)
		if err != nil {
			return err
		}
		if n, err = endSessions(ctx, tx, u.ID, keep, only); err != nil || n == 0 {
			return err
		}
		return audit.Record(ctx, tx, actor, audit.Act{Action: "user.sessions_ended", TargetID: u.ID, TargetOrganizationID: u.OrganizationID})
	})
	return n, err
}

// spans are idle time and lifetime of a session of a kind of organization.
func (s *Service) spans(k access.Kind) (idle, life time.Duration) {
	if k == access.Operator {
		return s.cfg.OperatorIdleFor, s.cfg.OperatorLifetime
	}
	return s.cfg.IdleFor, s.cfg.Lifetime
}

// renew gives the actor's session a new token and a fresh sudo window.
func (s *Service) renew(ctx context.Context, tx *database.Tx, actor access.Actor, k access.Kind, old string, token secret.String) (*Session, error) {
	session, err := lockSession(ctx, tx, actor.UserID, secret.Hash(old))
	if err != nil {
		return nil, fmt.Errorf("renewing a session: %w", err)
	}
	if session == nil || !session.Live(tx.Now) {
		return nil, fault.Unauthenticated()
	}
	idle, _ := s.spans(k)
	session.TokenHash, session.LastSeenAt = secret.Hash(token.Reveal()), tx.Now
	session.IdleUntil, session.SudoUntil = earlier(tx.Now.Add(idle), session.AbsUntil), tx.Now.Add(s.cfg.SudoFor)
	if err := renewSession(ctx, tx, session); err != nil {
		return nil, fmt.Errorf("renewing a session: %w", err)
	}
	return session, nil
}

// ---- Proving a password, under D5

// claim is who somebody says to be, and from where.
type claim struct {
	email   string
	network string // as D5 counts: the address, or the /64
	prefix  string // as we keep it: the /24 or /48
	// known says that the account was used from there before, so that the
	// account-wide allowance is not charged (see charge).
	known bool
}

// proof is a claim that held: the login as it was read.
type proof struct{ login }

// prove charges an attempt and checks the password; nil means that it is
// wrong, or nobody's, or of a user who is not active. All of these cost one
// hash and the same statements. fresh is a hash with today's parameters where
// the stored one is older.
func (s *Service) prove(ctx context.Context, c *claim, password secret.String) (who *proof, fresh string, err error) {
	if err := s.charge(ctx, c); err != nil {
		return nil, "", err
	}
	l, err := findLogin(ctx, s.db.Read(), c.email)
	if err != nil {
		return nil, "", fmt.Errorf("finding a login: %w", err)
	}
	stored := l.PasswordHash
	if l.Status != Active || l.ExpiresAt != nil && !s.db.Now().Before(*l.ExpiresAt) {
		stored = ""
	}
	ok, stale, err := s.hasher.verify(ctx, password.Reveal(), stored)
	if err != nil {
		// Nothing was learned by the caller, so nothing is charged.
		undo := s.db.InTx(context.WithoutCancel(ctx), func(ctx context.Context, tx *database.Tx) error { return s.giveBack(ctx, tx, *c) })
		return nil, "", errors.Join(err, undo)
	}
	if !ok {
		return nil, "", nil
	}
	if stale {
		if fresh, err = s.hasher.hash(ctx, password.Reveal()); err != nil {
			fresh = "" // the next sign-in will do it
		}
	}
	return &proof{l}, fresh, nil
}

// still locks the user whose password was proved, and is nil where the user
// is not active any more or has another password by now.
func (s *Service) still(ctx context.Context, tx *database.Tx, who *proof) (*User, error) {
	u, err := lockUser(ctx, tx, nil, who.ID)
	if err != nil || u == nil || u.Status != Active {
		return nil, err
	}
	hash, err := passwordHash(ctx, tx, u.ID)
	if err != nil || hash != who.PasswordHash {
		return nil, err
	}
	return u, nil
}

// settle books a proved password: the attempts are forgiven, an old hash is
// replaced.
func (s *Service) settle(ctx context.Context, tx *database.Tx, c claim, who *proof, fresh string) error {
	if fresh != "" {
		if err := rehash(ctx, tx, who.ID, fresh); err != nil {
			return fmt.Errorf("renewing a password hash: %w", err)
		}
	}
	return s.giveBack(ctx, tx, c)
}

// refuse records a refused proof and returns the fault. The record is written
// for unknown addresses too, without a target.
func (s *Service) refuse(ctx context.Context, actor access.Actor, c claim, action string, refusal error) error {
	err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		l, err := findLogin(ctx, tx, c.email)
		if err != nil {
			return fmt.Errorf("finding a login: %w", err)
		}
		return audit.Record(ctx, tx, actor, audit.Act{Action: action, TargetID: l.ID, TargetOrganizationID: l.OrganizationID,
			Outcome: audit.Refused, Reason: CodePasswordWrong})
	})
	if err != nil {
		return err
	}
	return refusal
}

func (s *Service) networkKey(c claim) string { return s.keys.Blind("sign-in", "network", c.network) }
func (s *Service) pairKey(c claim) string    { return s.keys.Blind("sign-in", "pair", c.email, c.network) }
func (s *Service) accountKey(c claim) string { return s.keys.Blind("sign-in", "account", c.email) }

// charge counts an attempt against D5's three allowances, or refuses it with
// RATE_LIMITED without counting. The keys tell nothing about the address, and
// are kept for unknown addresses too. Keys are locked in a fixed order.
func (s *Service) charge(ctx context.Context, c *claim) error {
	return s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		if _, err := spend(ctx, tx, s.networkKey(*c), perNetwork); err != nil {
			return err
		}
		if _, err := spend(ctx, tx, s.pairKey(*c), perAccountAndNetwork); err != nil {
			return err
		}
		// ASVS 6.1.1: strangers must not be able to keep a person out, so the
		// account-wide wait is not for networks that the person signed in from.
		var err error
		if c.known, err = usedFrom(ctx, tx, c.email, c.prefix); err != nil {
			return fmt.Errorf("charging an attempt: %w", err)
		}
		if c.known {
			return nil
		}
		n, err := spend(ctx, tx, s.accountKey(*c), perAccount)
		if err != nil || n != perAccount.free {
			return err
		}
		return s.request(ctx, tx, templateNotice, c.email, "")
	})
}

// spend charges one key and returns its count.
func spend(ctx context.Context, tx *database.Tx, key string, a allowance) (int, error) {
	row, err := lockTally(ctx, tx, key)
	if err != nil {
		return 0, err
	}
	if wait := row.charge(tx.Now, a); wait > 0 {
		return 0, fault.Limited(wait)
	}
	return row.Count, saveTally(ctx, tx, row)
}

// giveBack takes the charge of a proved claim back: it was no failure.
func (s *Service) giveBack(ctx context.Context, tx *database.Tx, c claim) error {
	for _, k := range []struct {
		key  string
		a    allowance
		free bool
	}{{s.networkKey(c), perNetwork, false}, {s.pairKey(c), perAccountAndNetwork, false}, {s.accountKey(c), perAccount, c.known}} {
		if k.free {
			continue
		}
		row, err := lockTally(ctx, tx, k.key)
		if err != nil {
			return err
		}
		row.refund(tx.Now, k.a)
		if err := saveTally(ctx, tx, row); err != nil {
			return err
		}
	}
	return nil
}

// throttleNetwork is the caller as D5 counts: the address, or an IPv6 /64.
func throttleNetwork(ip netip.Addr) string { return masked(ip, 32, 64) }

// networkPrefix is as much of an address as is kept: /24, or /48 for IPv6.
func networkPrefix(ip netip.Addr) string { return masked(ip, 24, 48) }

func masked(ip netip.Addr, four, six int) string {
	ip = ip.Unmap().WithZone("")
	bits := six
	if ip.Is4() {
		bits = four
	}
	p, err := ip.Prefix(bits)
	if err != nil {
		return ""
	}
	return p.String()
}

// foldEmail is the form in which an address is looked up; what is no address
// gets a stand-in that is nobody's.
func foldEmail(s string) string {
	a, err := address.Parse(s)
	if err != nil {
		return "?" + secret.Hash(s)
	}
	return a.Folded()
}

// cleanAgent keeps what people may read of a browser's description.
func cleanAgent(s string) string {
	if len(s) > 4*maxAgent {
		s = s[:4*maxAgent]
	}
	out := []rune{}
	for _, r := range s {
		if r != utf8.RuneError && address.Clean(string(r)) && len(out) < maxAgent {
			out = append(out, r)
		}
	}
	return string(out)
}

// ---- Passwords

// RequestPasswordReset lets a worker mail a link to the address, if it is an
// active user's (or the invitation anew, if it is an invited one's). The
// answer and the work are the same for every address. Errors: EMAIL_INVALID,
// RATE_LIMITED for the network; more than three an hour to one address are
// left out silently, since the mails are on their way.
func (s *Service) RequestPasswordReset(ctx context.Context, email string, ip netip.Addr, locale string) error {
	a, err := address.Parse(email)
	if err != nil {
		var p fault.Problems
		_ = p.Merge("email", err)
		return p.Err()
	}
	return s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		if _, err := spend(ctx, tx, s.keys.Blind("mail", "network", throttleNetwork(ip)), mailsPerNetwork); err != nil {
			return err
		}
		_, err := spend(ctx, tx, s.mailKey(a.Folded()), mailsPerAddress)
		if fault.KindOf(err) == fault.KindLimited {
			return nil
		}
		if err != nil {
			return err
		}
		if !slices.Contains(Locales, locale) {
			locale = ""
		}
		return s.request(ctx, tx, templateReset, a.Folded(), locale)
	})
}

func (s *Service) mailKey(folded string) string { return s.keys.Blind("mail", "address", folded) }

// request leaves an address for the worker to look up: a row and a job that
// carries its id, the same whether the address is known or not.
func (s *Service) request(ctx context.Context, tx *database.Tx, template, folded, locale string) error {
	r := &request{ID: ident.New(ident.Link), Template: template, EmailFolded: folded, Locale: locale, CreatedAt: tx.Now}
	if err := insertRequest(ctx, tx, r); err != nil {
		return fmt.Errorf("keeping a request: %w", err)
	}
	var args outbox.Args = SendReset{RequestID: r.ID}
	if template == templateNotice {
		args = SendNotice{RequestID: r.ID}
	}
	_, err := outbox.Put(ctx, tx, args, outbox.On(outbox.Critical), outbox.ExpiresAt(tx.Now.Add(requestLife)))
	return err
}

// ResetPassword sets a new password with a mailed link. It does not sign in,
// ends all sessions and tells the user by mail (D6), and how many personal
// tokens go on working: most resets are of a forgotten password and must not
// stop programs. Errors: NOT_FOUND,
// LINK_USED or LINK_EXPIRED at token, what is wrong with password,
// RATE_LIMITED.
func (s *Service) ResetPassword(ctx context.Context, token string, password secret.String, ip netip.Addr) error {
	link, user, org, err := s.openUserLink(ctx, PurposeReset, token)
	if err != nil {
		return err
	}
	var c check
	c.password("password", password, user.Email, user.FirstName, user.LastName, org.Name)
	if err := c.Err(); err != nil {
		return err
	}
	hash, err := s.hasher.hash(ctx, password.Reveal())
	if err != nil {
		return err
	}
	return s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		user, err := s.step(ctx, tx, link, stepReset)
		if err != nil {
			return err
		}
		if err := setPassword(ctx, tx, user.ID, hash); err != nil {
			return err
		}
		if _, err := endSessions(ctx, tx, user.ID, "", ""); err != nil {
			return err
		}
		if err := killLinks(ctx, tx, user.ID); err != nil {
			return err
		}
		at := claim{email: user.EmailFolded, network: throttleNetwork(ip), prefix: networkPrefix(ip)}
		if err := forgetTallies(ctx, tx, s.pairKey(at), s.accountKey(at)); err != nil {
			return err
		}
		actor, err := access.Load(ctx, tx, access.Presence{UserID: user.ID, IPPrefix: at.prefix})
		if err != nil {
			return fmt.Errorf("resetting a password: %w", err)
		}
		if err := s.mailChanged(ctx, tx, user, "password_reset:"+string(link.ID)); err != nil {
			return err
		}
		return audit.Record(ctx, tx, actor, audit.Act{Action: "user.password_reset", TargetID: user.ID, TargetOrganizationID: user.OrganizationID, Changed: []string{"password"}})
	})
}

// ChangePassword replaces the actor's password, which must be known. The
// session goes on under a new token; all others end, and the user is told by
// mail. Errors: PASSWORD_WRONG at oldPassword, what is wrong with
// newPassword, RATE_LIMITED, UNAUTHENTICATED.
func (s *Service) ChangePassword(ctx context.Context, actor access.Actor, sessionToken string, old, next secret.String) (secret.String, error) {
	if err := asPerson(actor); err != nil {
		return "", err
	}
	org, err := organizationByID(ctx, s.db.Read(), actor.OrganizationID)
	if err != nil {
		return "", err
	}
	var ch check
	ch.password("newPassword", next, actor.Email, actor.Name, org.Name)
	if err := ch.Err(); err != nil {
		return "", err
	}
	c := claim{email: foldEmail(actor.Email), network: actor.IPPrefix, prefix: actor.IPPrefix}
	who, _, err := s.prove(ctx, &c, old)
	if err != nil {
		return "", err
	}
	if who == nil || who.ID != actor.UserID {
		return "", s.refuse(ctx, actor, c, "user.change_password", fault.Invalid("oldPassword", CodePasswordWrong))
	}
	hash, err := s.hasher.hash(ctx, next.Reveal())
	if err != nil {
		return "", err
	}
	token := secret.NewToken(sessionPrefix)
	err = s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		user, err := s.still(ctx, tx, who)
		if err != nil {
			return err
		}
		if user == nil {
			return fault.Unauthenticated()
		}
		session, err := s.renew(ctx, tx, actor, who.Kind, sessionToken, token)
		if err != nil {
			return err
		}
		if err := setPassword(ctx, tx, user.ID, hash); err != nil {
			return err
		}
		if _, err := endSessions(ctx, tx, user.ID, session.ID, ""); err != nil {
			return err
		}
		if err := killLinks(ctx, tx, user.ID, PurposeReset); err != nil {
			return err
		}
		if err := s.giveBack(ctx, tx, c); err != nil {
			return err
		}
		if err := s.mailChanged(ctx, tx, user, "password_changed:"+string(user.ID)+":"+tx.Now.Format(time.RFC3339Nano)); err != nil {
			return err
		}
		return audit.Record(ctx, tx, actor, audit.Act{Action: "user.password_changed", TargetID: user.ID, TargetOrganizationID: user.OrganizationID, Changed: []string{"password"}})
	})
	if err != nil {
		return "", err
	}
	return token, nil
}

// ---- Mailed links

// PreviewLink tells what a link would do; it consumes nothing. A used link
// says when; one that is unknown, or whose user cannot use it any more, says
// no more than that.
func (s *Service) PreviewLink(ctx context.Context, token string) (*LinkPreview, error) {
	p, ok := purposeOf(token)
	if !ok {
		return &LinkPreview{State: LinkUnknown}, nil
	}
	link, err := linkByToken(ctx, s.db.Read(), p, secret.Hash(token))
	if err != nil {
		return nil, err
	}
	if link == nil {
		return &LinkPreview{Purpose: p, State: LinkUnknown}, nil
	}
	out := &LinkPreview{Purpose: p, State: link.state(s.db.Now()), UsedAt: link.UsedAt, ExpiresAt: &link.ExpiresAt}
	if out.State != LinkValid || p == PurposeSetup {
		return out, nil
	}
	user, err := userByID(ctx, s.db.Read(), link.SubjectID)
	if err != nil {
		return nil, err
	}
	org, err := organizationByID(ctx, s.db.Read(), user.OrganizationID)
	if err != nil {
		return nil, err
	}
	out.OrganizationName, out.Email, out.Locale = org.Name, maskEmail(user.Email), user.Locale
	if p == PurposeInvite {
		out.FirstName, out.LastName = user.FirstName, user.LastName
	}
	return out, nil
}

// AcceptUserInvitation completes an invitation: names, password, ACTIVE. It
// does not sign in. Errors: NOT_FOUND, LINK_USED or LINK_EXPIRED at token,
// what is wrong with the input, RATE_LIMITED.
func (s *Service) AcceptUserInvitation(ctx context.Context, token string, in AcceptInput, ip netip.Addr) error {
	link, user, org, err := s.openUserLink(ctx, PurposeInvite, token)
	if err != nil {
		return err
	}
	if err := in.Validate(user.Email, org.Name); err != nil {
		return err
	}
	hash, err := s.hasher.hash(ctx, in.Password.Reveal())
	if err != nil {
		return err
	}
	return s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		user, err := s.step(ctx, tx, link, stepAccept)
		if err != nil {
			return err
		}
		user.FirstName, user.LastName = in.FirstName, in.LastName
		user.NameFolded = address.Fold(user.DisplayName())
		if in.Locale != "" {
			user.Locale = in.Locale
		}
		if err := saveUser(ctx, tx, user); err != nil {
			return err
		}
		if err := setPassword(ctx, tx, user.ID, hash); err != nil {
			return err
		}
		actor, err := access.Load(ctx, tx, access.Presence{UserID: user.ID, IPPrefix: networkPrefix(ip)})
		if err != nil {
			return fmt.Errorf("accepting an invitation: %w", err)
		}
		return audit.Record(ctx, tx, actor, audit.Act{Action: "user.activated", TargetID: user.ID, TargetOrganizationID: user.OrganizationID,
			Changed: []string{"status", "firstName", "lastName", "password"}})
	})
}

// mint derives the token of a link and keeps its hash; the former links of
// the same purpose and subject die.
func (s *Service) mint(ctx context.Context, tx *database.Tx, p Purpose, subject ident.ID, generation int) (secret.String, error) {
	if generation > 1 { // before the first one there is none
		if err := killLinks(ctx, tx, subject, p); err != nil {
			return "", err
		}
	}
	token := s.keys.Capability(linkKinds[p].prefix, string(p), subject, generation)
	return token, insertLink(ctx, tx, &capability{ID: ident.New(ident.Link), Purpose: p, SubjectID: subject, Generation: generation,
		TokenHash: secret.Hash(token.Reveal()), ExpiresAt: tx.Now.Add(linkKinds[p].life), CreatedAt: tx.Now})
}

// openLink reads a link that can still be used, and uses nothing. Errors at
// token: NOT_FOUND, LINK_USED, LINK_EXPIRED.
func (s *Service) openLink(ctx context.Context, p Purpose, token string) (*capability, error) {
	if is, ok := purposeOf(token); !ok || is != p {
		return nil, fault.NotFound("token")
	}
	link, err := linkByToken(ctx, s.db.Read(), p, secret.Hash(token))
	if err != nil {
		return nil, err
	}
	if link == nil {
		return nil, fault.NotFound("token")
	}
	switch link.state(s.db.Now()) {
	case LinkUsed:
		return nil, fault.Conflict("token", CodeLinkUsed)
	case LinkExpired:
		return nil, fault.Conflict("token", CodeLinkExpired)
	}
	return link, nil
}

func (s *Service) openUserLink(ctx context.Context, p Purpose, token string) (*capability, *User, *Organization, error) {
	link, err := s.openLink(ctx, p, token)
	if err != nil {
		return nil, nil, nil, err
	}
	user, err := userByID(ctx, s.db.Read(), link.SubjectID)
	if err != nil {
		return nil, nil, nil, err
	}
	org, err := organizationByID(ctx, s.db.Read(), user.OrganizationID)
	return link, user, org, err
}

// use takes a link's single use in the transaction of its act; whoever comes
// second is told how the link stands by now.
func (s *Service) use(ctx context.Context, tx *database.Tx, link *capability) error {
	ok, err := useLink(ctx, tx, link.ID)
	if err != nil || ok {
		return err
	}
	if !tx.Now.Before(link.ExpiresAt) {
		return fault.Conflict("token", CodeLinkExpired)
	}
	return fault.Conflict("token", CodeLinkUsed)
}

// step uses a link and takes its user through a transition.
func (s *Service) step(ctx context.Context, tx *database.Tx, link *capability, what step) (*User, error) {
	if err := s.use(ctx, tx, link); err != nil {
		return nil, err
	}
	user, err := lockUser(ctx, tx, nil, link.SubjectID)
	if err != nil {
		return nil, err
	}
	if user == nil {
		return nil, fault.NotFound("token")
	}
	to, ok := user.Status.after(what)
	if !ok {
		return nil, fault.Conflict("token", CodeLinkExpired)
	}
	user.Status = to
	return user, nil
}

// MailWanted reports whether a message of this concept is still worth
// sending: one with a link is not once the link is used, replaced or expired.
func (s *Service) MailWanted(ctx context.Context, m *mail.Message) (bool, error) {
	p := Purpose(m.LinkPurpose)
	if _, ours := linkKinds[p]; !ours {
		return true, nil
	}
	return linkOpen(ctx, s.db.Read(), p, m.LinkSubjectID, m.LinkGeneration, s.db.Now())
}

// ---- Managing users

// OnInvite registers the rule that says whether an organization may invite
// people yet, by an error where it may not; nil for all of them.
func (s *Service) OnInvite(rule func(ctx context.Context, tx *database.Tx, org *Organization) error) {
	s.mayInvite = rule
}

// InviteUser invites a person into the actor's organization; the job mails
// the link. Giving a role beyond DEFAULT_USER needs a fresh authentication.
// Errors: ROLE_REQUIRED, SUDO_REQUIRED, what is wrong with the input, those of
// the rule of OnInvite, ROLE_NOT_HELD, EMAIL_NOT_AVAILABLE, which says nothing
// about where the address is in use, IDEMPOTENCY_KEY_REUSED.
func (s *Service) InviteUser(ctx context.Context, actor access.Actor, in InviteUserInput) (*User, *outbox.Job, error) {
	if err := actor.Require(access.PermUserManage); err != nil {
		return nil, nil, err
	}
	if actor.OrganizationID == "" {
		return nil, nil, fault.Forbidden(fault.CodeRoleRequired, "permission", string(access.PermUserManage))
	}
	asked, key := in, ""
	if in.IdempotencyKey != nil {
		key = *in.IdempotencyKey
	}
	if err := in.Validate(actor.Kind); err != nil {
		return nil, nil, err
	}
	const verb = "inviteUser"
	var user *User
	var job *outbox.Job
	var prior *outbox.Result
	err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) (err error) {
		if prior, err = outbox.Once(ctx, tx, actor, verb, key, asked); err != nil || prior != nil {
			return err
		}
		if err := mayGrant(actor, in.Roles, tx.Now); err != nil {
			return err
		}
		org, err := organizationByID(ctx, tx, actor.OrganizationID)
		if err != nil {
			return err
		}
		if s.mayInvite != nil {
			if err := s.mayInvite(ctx, tx, org); err != nil {
				return err
			}
		}
		user, job, err = s.addUser(ctx, tx, actor, org, NewUser{Email: in.Email, FirstName: in.FirstName, LastName: in.LastName, Locale: in.Locale, Roles: in.Roles}, "")
		if err != nil {
			return err
		}
		return outbox.Remember(ctx, tx, actor, verb, key, map[string]string{"user": string(user.ID), "operation": string(job.ID)})
	})
	if err != nil {
		return nil, nil, err
	}
	if prior == nil {
		return user, job, nil
	}
	users, err := s.Users(ctx, actor, []ident.ID{prior.ID("user")})
	if err != nil {
		return nil, nil, err
	}
	if user = users[prior.ID("user")]; user == nil {
		return nil, nil, fault.NotFound("idempotencyKey")
	}
	job, err = outbox.Find(ctx, s.db, actor, prior.ID("operation"))
	if fault.KindOf(err) == fault.KindNotFound { // done long ago and pruned
		return user, nil, nil
	}
	return user, job, err
}

// mayGrant refuses roles that the actor may not give, and asks for a fresh
// authentication where a role carries rights.
func mayGrant(actor access.Actor, roles []access.Role, now time.Time) error {
	if r := firstBeyond(roles, Grantable(actor.Kind, actor.Roles)); r != "" {
		return fault.Invalid("roles", CodeRoleNotHeld, "role", string(r))
	}
	if !slices.Equal(roles, []access.Role{access.DefaultUser}) {
		if err := actor.Require(access.PermRoleManage); err != nil {
			return err
		}
		return actor.RequireSudo(now)
	}
	return nil
}

// ResendUserInvitation mails a new link; the former one dies. The operator
// may do it for every organization, since a new one has nobody else yet.
// Errors: ROLE_REQUIRED, NOT_FOUND, USER_STATE, RATE_LIMITED after three an
// hour.
func (s *Service) ResendUserInvitation(ctx context.Context, actor access.Actor, userID ident.ID) (*User, *outbox.Job, error) {
	if err := actor.Require(access.PermUserManage); err != nil {
		return nil, nil, err
	}
	var user *User
	var job *outbox.Job
	err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) (err error) {
		if user, err = lockUser(ctx, tx, actor.Scope().ByOrganization("user_account.organization_id"), userID); err != nil {
			return err
		}
		if user == nil {
			return fault.NotFound("userId")
		}
		if _, ok := user.Status.after(stepResend); !ok {
			return fault.Conflict("userId", CodeUserState, "status", string(user.Status))
		}
		if _, err := spend(ctx, tx, s.mailKey(user.EmailFolded), mailsPerAddress); err != nil {
			return err
		}
		org, err := organizationByID(ctx, tx, user.OrganizationID)
		if err != nil {
			return err
		}
		if job, err = s.mailInvitation(ctx, tx, actor, org, user); err != nil {
			return err
		}
		return audit.Record(ctx, tx, actor, audit.Act{Action: "user.invitation_resent", TargetID: user.ID, TargetOrganizationID: user.OrganizationID})
	})
	if err != nil {
		return nil, nil, err
	}
	return user, job, nil
}

// SetUserRoles replaces the roles of a user of the actor's organization. It
// needs a fresh authentication. Roles are read at every request, so the
// change holds from the user's next one on; beside that all sessions of the
// user end, since D4 wants a new token with new roles, but for the one in
// which users change their own roles, whose token is as fresh as the sudo
// window. Errors: ROLE_REQUIRED, SUDO_REQUIRED, NOT_FOUND, what is wrong with
// the input, CONFLICT, ROLE_NOT_HELD for roles to give or to take beyond the
// actor's own, LAST_ADMIN.
func (s *Service) SetUserRoles(ctx context.Context, actor access.Actor, in SetUserRolesInput) (*User, error) {
	if err := actor.Require(access.PermRoleManage); err != nil {
		return nil, err
	}
	if err := in.Validate(actor.Kind); err != nil {
		return nil, err
	}
	return s.change(ctx, actor, in.UserID, func(ctx context.Context, tx *database.Tx, org *Organization, user *User, held []access.Role) (string, []string, error) {
		if err := actor.RequireSudo(tx.Now); err != nil {
			return "", nil, err
		}
		if in.ExpectedVersion != nil && *in.ExpectedVersion != user.Version {
			return "", nil, fault.Conflict("expectedVersion", fault.CodeConflict)
		}
		changed := difference(held, in.Roles)
		if len(changed) == 0 {
			return "", nil, nil
		}
		if r := firstBeyond(changed, Grantable(org.Kind, actor.Roles)); r != "" {
			return "", nil, fault.Invalid("roles", CodeRoleNotHeld, "role", string(r))
		}
		admin := AdminRole(org.Kind)
		if slices.Contains(held, admin) && !slices.Contains(in.Roles, admin) {
			if err := s.keepAdmin(ctx, tx, org, user, held, "roles"); err != nil {
				return "", nil, err
			}
		}
		if err := setRoles(ctx, tx, user.ID, actor.UserID, held, in.Roles); err != nil {
			return "", nil, err
		}
		keep := ident.ID("")
		if user.ID == actor.UserID {
			keep = actor.SessionID
		}
		_, err := endSessions(ctx, tx, user.ID, keep, "")
		return "user.roles_changed", []string{"roles"}, err
	})
}

// DisableUser bars a user of the actor's organization from signing in: all
// sessions, links and personal tokens end at once, for good. Errors:
// ROLE_REQUIRED, NOT_FOUND, USER_STATE, SELF_DISABLE, ROLE_NOT_HELD for a user
// with roles beyond the actor's own, LAST_ADMIN.
func (s *Service) DisableUser(ctx context.Context, actor access.Actor, userID ident.ID) (*User, error) {
	if err := actor.Require(access.PermUserManage); err != nil {
		return nil, err
	}
	return s.change(ctx, actor, userID, func(ctx context.Context, tx *database.Tx, org *Organization, user *User, held []access.Role) (string, []string, error) {
		if user.ID == actor.UserID {
			return "", nil, fault.Conflict("userId", CodeSelfDisable)
		}
		to, ok := user.Status.after(stepDisable)
		if !ok {
			return "", nil, fault.Conflict("userId", CodeUserState, "status", string(user.Status))
		}
		if err := covers(actor, org, held); err != nil {
			return "", nil, err
		}
		if err := s.keepAdmin(ctx, tx, org, user, held, "userId"); err != nil {
			return "", nil, err
		}
		user.Status = to
		if _, err := endSessions(ctx, tx, user.ID, "", ""); err != nil {
			return "", nil, err
		}
		if _, err := revokeTokens(ctx, tx, user.ID, actor.UserID, ""); err != nil {
			return "", nil, err
		}
		return "user.disabled", []string{"status"}, killLinks(ctx, tx, user.ID)
	})
}

// EnableUser lets a disabled user sign in again; one who never set a password
// is INVITED again and needs a new invitation. Errors: ROLE_REQUIRED,
// NOT_FOUND, USER_STATE, ROLE_NOT_HELD as for disabling.
func (s *Service) EnableUser(ctx context.Context, actor access.Actor, userID ident.ID) (*User, error) {
	if err := actor.Require(access.PermUserManage); err != nil {
		return nil, err
	}
	return s.change(ctx, actor, userID, func(ctx context.Context, tx *database.Tx, org *Organization, user *User, held []access.Role) (string, []string, error) {
		to, ok := user.Status.after(stepEnable)
		if !ok {
			return "", nil, fault.Conflict("userId", CodeUserState, "status", string(user.Status))
		}
		if err := covers(actor, org, held); err != nil {
			return "", nil, err
		}
		hash, err := passwordHash(ctx, tx, user.ID)
		if err != nil {
			return "", nil, fmt.Errorf("enabling a user: %w", err)
		}
		if hash == "" {
			to = Invited
		}
		user.Status = to
		return "user.enabled", []string{"status"}, nil
	})
}

// UpdateProfile changes the actor's own names and language. Errors:
// UNAUTHENTICATED, what is wrong with the input.
func (s *Service) UpdateProfile(ctx context.Context, actor access.Actor, in UpdateProfileInput) (*User, error) {
	if err := asPerson(actor); err != nil {
		return nil, err
	}
	if err := in.Validate(); err != nil {
		return nil, err
	}
	return s.change(ctx, actor, actor.UserID, func(_ context.Context, _ *database.Tx, _ *Organization, user *User, _ []access.Role) (string, []string, error) {
		var changed []string
		for _, f := range []struct {
			name string
			to   *string
			at   *string
		}{{"firstName", in.FirstName, &user.FirstName}, {"lastName", in.LastName, &user.LastName}, {"locale", in.Locale, &user.Locale}} {
			if f.to != nil && *f.to != *f.at {
				*f.at, changed = *f.to, append(changed, f.name)
			}
		}
		if changed == nil {
			return "", nil, nil
		}
		user.NameFolded = address.Fold(user.DisplayName())
		return "user.profile_updated", changed, nil
	})
}

// change runs a change of one user of the actor's own organization, with the
// organization locked, saves the user and records the action; an empty action
// means that there was nothing to change.
func (s *Service) change(ctx context.Context, actor access.Actor, id ident.ID,
	fn func(context.Context, *database.Tx, *Organization, *User, []access.Role) (action string, changed []string, err error),
) (*User, error) {
	var user *User
	err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		if actor.OrganizationID == "" {
			return fault.NotFound("userId")
		}
		org, err := lockOrganization(ctx, tx, actor.OrganizationID)
		if err != nil {
			return err
		}
		if user, err = s.lockOwn(ctx, tx, actor, id); err != nil {
			return err
		}
		held, err := rolesOf(ctx, tx, user.ID)
		if err != nil {
			return err
		}
		action, changed, err := fn(ctx, tx, org, user, held)
		if err != nil || action == "" {
			return err
		}
		if err := saveUser(ctx, tx, user); err != nil {
			return err
		}
		return audit.Record(ctx, tx, actor, audit.Act{Action: action, TargetID: user.ID, TargetOrganizationID: user.OrganizationID, Changed: changed})
	})
	if err != nil {
		return nil, err
	}
	return user, nil
}

// lockOwn reads a user of the actor's own organization for a change: the
// operator sees everybody, but the users of others are theirs to manage.
func (s *Service) lockOwn(ctx context.Context, tx *database.Tx, actor access.Actor, id ident.ID) (*User, error) {
	user, err := lockUser(ctx, tx, actor.Scope().ByOrganization("user_account.organization_id"), id)
	if err != nil {
		return nil, err
	}
	if user == nil || user.OrganizationID != actor.OrganizationID {
		return nil, fault.NotFound("userId")
	}
	return user, nil
}

// covers refuses acts on a user whose roles go beyond the actor's own.
func covers(actor access.Actor, org *Organization, held []access.Role) error {
	if r := firstBeyond(held, Grantable(org.Kind, actor.Roles)); r != "" {
		return fault.Forbidden(CodeRoleNotHeld, "role", string(r))
	}
	return nil
}

// keepAdmin refuses with LAST_ADMIN where the user is the only active
// administrator of the organization, which is locked.
func (s *Service) keepAdmin(ctx context.Context, tx *database.Tx, org *Organization, user *User, held []access.Role, path string) error {
	if user.Status != Active || !slices.Contains(held, AdminRole(org.Kind)) {
		return nil
	}
	others, err := otherAdmins(ctx, tx, org, user.ID)
	if err != nil {
		return fmt.Errorf("looking for other administrators: %w", err)
	}
	if !others {
		return fault.Conflict(path, CodeLastAdmin)
	}
	return nil
}

// ---- Queries

// Organizations reads the organizations among the ids that the actor sees.
func (s *Service) Organizations(ctx context.Context, actor access.Actor, ids []ident.ID) (map[ident.ID]*Organization, error) {
	return organizationsByIDs(ctx, s.db.Read(), actor.Scope(), ids)
}

// Users reads the users among the ids that the actor sees: those of its
// organization, or with no right to read users only itself.
func (s *Service) Users(ctx context.Context, actor access.Actor, ids []ident.ID) (map[ident.ID]*User, error) {
	return usersByIDs(ctx, s.db.Read(), reach(actor), ids)
}

// UsersTx is Users inside a transaction.
func (s *Service) UsersTx(ctx context.Context, tx *database.Tx, actor access.Actor, ids []ident.ID) (map[ident.ID]*User, error) {
	return usersByIDs(ctx, tx, reach(actor), ids)
}

// RolesOf reads the roles of the users among the ids that the actor sees, in
// their stable order.
func (s *Service) RolesOf(ctx context.Context, actor access.Actor, users []ident.ID) (map[ident.ID][]access.Role, error) {
	return rolesOfUsers(ctx, s.db.Read(), reach(actor), users)
}

func reach(actor access.Actor) access.Filter {
	if actor.Can(access.PermUserRead) {
		return actor.Scope().ByOrganization("user_account.organization_id")
	}
	return actor.Scope().ByUser("user_account.id")
}

// ListUsers is a page of the users that the actor sees. Errors:
// ROLE_REQUIRED, those of paging, TOO_LONG for a search beyond 100 characters,
// CONTROL_CHARACTERS.
func (s *Service) ListUsers(ctx context.Context, actor access.Actor, args page.Args, o UserOrder, f UserFilter) (*page.Connection[*User], error) {
	if err := actor.Require(access.PermUserRead); err != nil {
		return nil, err
	}
	if o.Field == "" {
		o.Field = UserOrderName
	}
	order, ok := userOrders[o.Field]
	if !ok {
		return nil, fault.Invalid("orderBy", fault.CodeInvalid)
	}
	order.Direction = o.Direction
	if f.Search != nil && !address.Clean(*f.Search) {
		return nil, fault.Invalid("filter.search", fault.CodeControlChars)
	}
	if f.Search != nil && utf8.RuneCountInString(*f.Search) > maxSearch {
		return nil, fault.Invalid("filter.search", fault.CodeTooLong, "max", fmt.Sprint(maxSearch))
	}
	pq, err := args.Resolve(order, f)
	if err != nil {
		return nil, err
	}
	return listUsers(ctx, s.db, actor.Scope(), pq, f)
}

// ListSessions lists the actor's own live sessions, newest first.
func (s *Service) ListSessions(ctx context.Context, actor access.Actor) ([]*Session, error) {
	if actor.UserID == "" {
		return nil, fault.Unauthenticated()
	}
	if actor.ViaToken() {
		if err := actor.Require(access.PermViewerRead); err != nil {
			return nil, err
		}
	}
	return liveSessions(ctx, s.db.Read(), actor.UserID, s.db.Now())
}
