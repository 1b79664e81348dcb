package invitation

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
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

// Config bounds invitations.
type Config struct {
	// Life is how long an invitation can be answered; default 30 days.
	Life time.Duration
	// WaitingLife is how long one waits for its recipient's company to enroll,
	// from the moment it said so; default 90 days.
	WaitingLife time.Duration
	// MailLife is how long sending is tried; default 3 days.
	MailLife time.Duration
	// DailyLimit is how many links one inviter may send in 24 hours; default
	// 500 (security decision D17).
	DailyLimit int
	// RecipientLimit is how many links one inviter may send to one address in
	// 30 days; default 3.
	RecipientLimit int
}

// Concept is what an inviting concept tells about its kind of invitation.
type Concept struct {
	// Permission is needed to send, resend and revoke.
	Permission access.Permission
	// Path is the page that a link leads to.
	Path string
	// Job makes the arguments of the job that sends one generation.
	Job func(id ident.ID, generation int) outbox.Args
	// MayAsk re-checks, in the sending transaction, that the inviter may ask.
	MayAsk func(ctx context.Context, tx *database.Tx, i *Invitation) error
	// Data gives what every mail about the invitation says of the inviter.
	Data func(ctx context.Context, tx *database.Tx, i *Invitation) (map[string]string, error)
	// Templates name the mails.
	Templates Templates
}

// Templates name the mails about an invitation.
type Templates struct {
	Invitation, Reminder, Expired, Bounced, NewLink string
}

// Service performs the verbs on invitations.
type Service struct {
	db       *database.DB
	mailer   *mail.Mailer
	keys     *secret.Keys
	accounts *account.Service
	cfg      Config
	log      *slog.Logger
	concepts map[Kind]Concept
}

// New makes the service; inviting concepts register their kinds before use.
func New(db *database.DB, mailer *mail.Mailer, keys *secret.Keys, accounts *account.Service, cfg Config, log *slog.Logger) *Service {
	orLife := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	orLife(&cfg.Life, DefaultLife)
	orLife(&cfg.WaitingLife, 90*24*time.Hour)
	orLife(&cfg.MailLife, 72*time.Hour)
	if cfg.DailyLimit == 0 {
		cfg.DailyLimit = 500
	}
	if cfg.RecipientLimit == 0 {
		cfg.RecipientLimit = 3
	}
	s := &Service{db: db, mailer: mailer, keys: keys, accounts: accounts, cfg: cfg, log: log, concepts: map[Kind]Concept{}}
	mailer.OnBounce(s.bounced)
	return s
}

// Register tells what a kind of invitation means.
func (s *Service) Register(k Kind, c Concept) { s.concepts[k] = c }

// Dispatched is an invitation on its way.
type Dispatched struct {
	Invitation *Invitation
	Operation  *outbox.Job
}

// CheckRecipient tells, in a transaction that holds the inviter, why an
// address may not be invited now: INVITATION_PENDING while one is open,
// RECIPIENT_SUPPRESSED, RECIPIENT_LIMIT, INVITATION_LIMIT. An open invitation
// whose time is over is expired on the way.
func (s *Service) CheckRecipient(ctx context.Context, tx *database.Tx, k Kind, inviter ident.ID, folded string) error {
	open, err := lockOpen(ctx, tx, k, inviter, folded)
	if err != nil {
		return err
	}
	if open != nil {
		if open.Live(tx.Now) {
			return fault.Conflict("", CodePending)
		}
		if err := s.expire(ctx, tx, open); err != nil {
			return err
		}
	}
	return s.checkLimits(ctx, tx, "", inviter, folded)
}

func (s *Service) checkLimits(ctx context.Context, tx *database.Tx, path string, inviter ident.ID, folded string) error {
	suppressed, err := s.mailer.SuppressedTx(ctx, tx, folded)
	if err != nil {
		return err
	}
	if suppressed {
		return fault.Conflict(path, CodeSuppressed)
	}
	today, toRecipient, err := counts(ctx, tx, inviter, folded, tx.Now.Add(-24*time.Hour), tx.Now.Add(-30*24*time.Hour))
	switch {
	case err != nil:
		return err
	case toRecipient >= s.cfg.RecipientLimit:
		return fault.Conflict(path, CodeRecipientLimit, "max", fmt.Sprint(s.cfg.RecipientLimit))
	case today >= s.cfg.DailyLimit:
		return fault.Conflict(path, CodeLimit, "max", fmt.Sprint(s.cfg.DailyLimit))
	}
	return nil
}

// HoldInviter serializes the requests of one inviter until the transaction
// ends.
func (s *Service) HoldInviter(ctx context.Context, tx *database.Tx, inviter ident.ID) error {
	return lockInviter(ctx, tx, inviter)
}

// Create writes an invitation, its mail and the job that sends it in the
// caller's transaction, after CheckRecipient.
func (s *Service) Create(ctx context.Context, tx *database.Tx, actor access.Actor, n Request) (*Dispatched, error) {
	i := &Invitation{
		ID: ident.New(ident.Invitation), Kind: n.Kind, InviterID: n.InviterID, Recipient: n.Recipient, RecipientFolded: n.Folded,
		Locale: n.Locale, Text: n.Text, Status: Queued, CreatedByID: actor.UserID, ExpiresAt: tx.Now.Add(s.cfg.Life), Version: 1,
		CreatedAt: tx.Now, UpdatedAt: tx.Now,
	}
	if err := insert(ctx, tx, i); err != nil {
		return nil, err
	}
	if n.Beside != nil {
		if err := n.Beside(i.ID); err != nil {
			return nil, err
		}
	}
	return s.dispatch(ctx, tx, actor, i)
}

// dispatch gives the invitation its next link and queues the mail with it.
func (s *Service) dispatch(ctx context.Context, tx *database.Tx, actor access.Actor, i *Invitation) (*Dispatched, error) {
	c := s.concepts[i.Kind]
	i.Generation++
	token := s.keys.Capability(LinkPrefix, LinkPurpose, i.ID, i.Generation).Reveal()
	if err := insertLink(ctx, tx, &link{TokenHash: secret.Hash(token), InvitationID: i.ID, Generation: i.Generation, CreatedAt: tx.Now}); err != nil {
		return nil, err
	}
	m, err := s.write(ctx, tx, i, c.Templates.Invitation, "send", i.Recipient, i.Locale, true)
	if err != nil {
		return nil, err
	}
	i.MessageID = m.ID
	op, err := outbox.Put(ctx, tx, c.Job(i.ID, i.Generation), outbox.On(outbox.Mail), outbox.About(i.ID), outbox.By(actor),
		outbox.ExpiresAt(i.ExpiresAt), outbox.MaxAttempts(mail.MaxAttempts))
	if err != nil {
		return nil, err
	}
	if err := s.plan(ctx, tx, i, tx.Now); err != nil {
		return nil, err
	}
	return &Dispatched{Invitation: i, Operation: op}, save(ctx, tx, i)
}

// write puts one mail about the invitation into the table; with carries the
// invitation's own link. The caller puts the job that sends it.
func (s *Service) write(ctx context.Context, tx *database.Tx, i *Invitation, template, step, to, locale string, with bool) (*mail.Message, error) {
	c := s.concepts[i.Kind]
	data, err := c.Data(ctx, tx, i)
	if err != nil {
		return nil, err
	}
	d := mail.Draft{Key: fmt.Sprintf("invitation/%s/%d/%s", i.ID, i.Generation, step), Template: template, Locale: locale, To: to,
		Data: s.mailer.Fit(template, data), SubjectID: i.ID, ExpiresAt: tx.Now.Add(s.cfg.MailLife), Reminder: template == c.Templates.Reminder}
	if with {
		d.Link = &mail.Link{Purpose: LinkPurpose, Prefix: LinkPrefix, Path: c.Path, SubjectID: i.ID, Generation: i.Generation}
	}
	return s.mailer.Queue(ctx, tx, d)
}

// tell mails the person who invited.
func (s *Service) tell(ctx context.Context, tx *database.Tx, i *Invitation, template, step string) error {
	us, err := s.accounts.UsersTx(ctx, tx, access.System("invitation"), []ident.ID{i.CreatedByID})
	if err != nil {
		return err
	}
	u := us[i.CreatedByID]
	if u == nil || u.Status != account.Active {
		return nil
	}
	m, err := s.write(ctx, tx, i, template, step, u.Email, u.Locale, false)
	if err != nil {
		return err
	}
	_, err = outbox.Put(ctx, tx, mail.Send{MessageID: m.ID}, outbox.On(outbox.Mail), outbox.About(i.ID), outbox.MaxAttempts(mail.MaxAttempts))
	return err
}

// Resend sends a sent, expired, bounced or failed invitation again: a new
// link, the old one dies, the time starts anew. Errors: NOT_FOUND,
// ROLE_REQUIRED, INVITATION_QUEUED while the last mail has not left,
// INVITATION_CLOSED, those of MayAsk and CheckRecipient,
// IDEMPOTENCY_KEY_REUSED.
func (s *Service) Resend(ctx context.Context, actor access.Actor, in ResendInput) (*Dispatched, error) {
	var out *Dispatched
	key := ""
	if in.IdempotencyKey != nil {
		key = *in.IdempotencyKey
	}
	err := s.change(ctx, actor, in.InvitationID, func(ctx context.Context, tx *database.Tx, i *Invitation) error {
		prior, err := outbox.Once(ctx, tx, actor, "resendInvitation", key, in)
		if err != nil {
			return err
		}
		if prior != nil {
			out, err = s.Replay(ctx, tx, prior)
			return err
		}
		c := s.concepts[i.Kind]
		next, ok := i.Status.Next(VerbResend)
		switch {
		case i.Status == Queued:
			return fault.Conflict("invitationId", CodeQueued)
		case !ok:
			return fault.Conflict("invitationId", CodeClosed, "status", string(i.Status))
		}
		if err := c.MayAsk(ctx, tx, i); err != nil {
			return err
		}
		if err := lockInviter(ctx, tx, i.InviterID); err != nil {
			return err
		}
		if !i.Status.Open() {
			open, err := lockOpen(ctx, tx, i.Kind, i.InviterID, i.RecipientFolded)
			if err != nil {
				return err
			}
			if open != nil {
				return fault.Conflict("invitationId", CodePending)
			}
		}
		if err := s.checkLimits(ctx, tx, "invitationId", i.InviterID, i.RecipientFolded); err != nil {
			return err
		}
		if err := outbox.CancelAbout(ctx, tx, i.ID, c.Job(i.ID, 0).Kind(), Look{}.Kind()); err != nil {
			return err
		}
		i.Status, i.FailureCode, i.SentAt, i.NewLinkRequestedAt = next, "", nil, nil
		i.ExpiresAt = tx.Now.Add(s.cfg.Life)
		if out, err = s.dispatch(ctx, tx, actor, i); err != nil {
			return err
		}
		if err := outbox.Remember(ctx, tx, actor, "resendInvitation", key, out.IDs()); err != nil {
			return err
		}
		return audit.Record(ctx, tx, actor, audit.Act{Action: "invitation.resent", TargetID: i.ID})
	})
	return out, err
}

// IDs are the references that an idempotency record keeps.
func (s *Dispatched) IDs() map[string]string {
	return map[string]string{"invitation": string(s.Invitation.ID), "operation": string(s.Operation.ID)}
}

// Replay reads what an earlier request with the same key made.
func (s *Service) Replay(ctx context.Context, tx *database.Tx, prior *outbox.Result) (*Dispatched, error) {
	is, err := byIDs(ctx, tx, access.System("invitation").Scope(), []ident.ID{prior.ID("invitation")})
	if err != nil {
		return nil, err
	}
	op, err := outbox.FindTx(ctx, tx, prior.ID("operation"))
	return &Dispatched{Invitation: is[prior.ID("invitation")], Operation: op}, err
}

// Revoke takes an open invitation back; its link is dead at once.
func (s *Service) Revoke(ctx context.Context, actor access.Actor, in RevokeInput) (*Invitation, error) {
	var out *Invitation
	err := s.change(ctx, actor, in.InvitationID, func(ctx context.Context, tx *database.Tx, i *Invitation) error {
		if in.ExpectedVersion != nil && *in.ExpectedVersion != i.Version {
			return fault.Conflict("expectedVersion", fault.CodeConflict)
		}
		if err := s.close(ctx, tx, i, VerbRevoke, "invitationId"); err != nil {
			return err
		}
		out = i
		if err := save(ctx, tx, i); err != nil {
			return err
		}
		return audit.Record(ctx, tx, actor, audit.Act{Action: "invitation.revoked", TargetID: i.ID, Changed: []string{"status"}})
	})
	return out, err
}

// change runs fn on an invitation that the actor's side sent, held, in one
// transaction. Errors: NOT_FOUND, ROLE_REQUIRED.
func (s *Service) change(ctx context.Context, actor access.Actor, id ident.ID, fn func(context.Context, *database.Tx, *Invitation) error) error {
	if actor.IsAnonymous() {
		return fault.Unauthenticated()
	}
	return s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		i, err := lock(ctx, tx, actor.Scope(), id)
		if err != nil {
			return err
		}
		if i == nil || i.InviterID != actor.PartnerID && !actor.Scope().All() {
			return fault.NotFound("invitationId")
		}
		if err := actor.Require(s.concepts[i.Kind].Permission); err != nil {
			return err
		}
		return fn(ctx, tx, i)
	})
}

// close ends an open invitation by a verb and calls off what was planned; the
// caller saves it.
func (s *Service) close(ctx context.Context, tx *database.Tx, i *Invitation, v Verb, path string) error {
	next, ok := i.Status.Next(v)
	if !ok {
		return fault.Conflict(path, CodeClosed, "status", string(i.Status))
	}
	i.Status, i.NextActionAt = next, nil
	if v != VerbExpire {
		i.DecidedAt = &tx.Now
	}
	return outbox.CancelAbout(ctx, tx, i.ID, s.concepts[i.Kind].Job(i.ID, 0).Kind(), Look{}.Kind())
}

// Answer is the recipient's side's word on an open invitation, held by the
// caller: VerbAccept or VerbDecline.
func (s *Service) Answer(ctx context.Context, tx *database.Tx, actor access.Actor, i *Invitation, v Verb, reason string) error {
	if err := s.close(ctx, tx, i, v, "code"); err != nil {
		return err
	}
	i.DecidedByID, i.DeclineReason = &actor.UserID, reason
	if actor.PartnerID != "" {
		i.InviteeID = &actor.PartnerID
	}
	if v == VerbAccept { // what a decline does is recorded by the concept
		tx.Tell("invitation.accepted", i.ID)
	}
	return save(ctx, tx, i)
}

// Hold reads an invitation by id and holds it, for the concept that answers
// for its kind; nil where it is absent.
func (s *Service) Hold(ctx context.Context, tx *database.Tx, id ident.ID) (*Invitation, error) {
	return lock(ctx, tx, access.System("invitation").Scope(), id)
}

// Resolve finds the invitation behind a link's token, "" where none is, and
// the generation that the token is of.
func (s *Service) Resolve(ctx context.Context, tx *database.Tx, token string) (ident.ID, int, error) {
	return byToken(ctx, tx, secret.Hash(token))
}

// Wait notes that the recipient's company enrolls first, and gives the
// invitation the time that enrolling takes. The caller holds it.
func (s *Service) Wait(ctx context.Context, tx *database.Tx, actor access.Actor, i *Invitation) error {
	if i.WaitingSince != nil {
		return nil
	}
	i.WaitingSince = &tx.Now
	if until := tx.Now.Add(s.cfg.WaitingLife); until.After(i.ExpiresAt) {
		i.ExpiresAt = until
	}
	if err := outbox.CancelAbout(ctx, tx, i.ID, Look{}.Kind()); err != nil {
		return err
	}
	if err := s.plan(ctx, tx, i, tx.Now); err != nil {
		return err
	}
	if err := save(ctx, tx, i); err != nil {
		return err
	}
	return audit.Record(ctx, tx, actor, audit.Act{Action: "invitation.kept_waiting", TargetID: i.ID, Changed: []string{"waitingSince", "expiresAt"}})
}

// AskForNewLink tells the inviter that the holder of a dead link asks for a
// new one; once a day an invitation. The caller holds it.
func (s *Service) AskForNewLink(ctx context.Context, tx *database.Tx, actor access.Actor, i *Invitation) error {
	if i.NewLinkRequestedAt != nil && tx.Now.Sub(*i.NewLinkRequestedAt) < 24*time.Hour {
		return nil
	}
	i.NewLinkRequestedAt = &tx.Now
	if err := s.tell(ctx, tx, i, s.concepts[i.Kind].Templates.NewLink, "new-link/"+tx.Now.Format(time.RFC3339)); err != nil {
		return err
	}
	if err := save(ctx, tx, i); err != nil {
		return err
	}
	return audit.Record(ctx, tx, actor, audit.Act{Action: "invitation.new_link_requested", TargetID: i.ID})
}

// LiftSuppression takes an address off the list of those that refuse mail, for
// the operator who has heard from its owner, and gives it back as it is
// written. Errors: UNAUTHENTICATED, ROLE_REQUIRED, what is wrong with the
// address, NOT_FOUND where it is not on the list.
func (s *Service) LiftSuppression(ctx context.Context, actor access.Actor, in LiftSuppressionInput) (string, error) {
	if err := actor.Require(access.PermMailManage); err != nil {
		return "", err
	}
	a, err := address.Parse(in.Email)
	if err != nil {
		var p fault.Problems
		if err := p.Merge("email", err); err != nil {
			return "", err
		}
		return "", p.Err()
	}
	err = s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		found, cause, err := s.mailer.Unsuppress(ctx, tx, a.String())
		if err != nil {
			return err
		}
		if !found {
			return fault.NotFound("email")
		}
		// The audit holds no address; the mail that came back tells whose it was.
		return audit.Record(ctx, tx, actor, audit.Act{Action: "mail.suppression_lifted", TargetID: cause})
	})
	return a.String(), err
}

// ByIDs reads invitations inside the actor's scope; hidden ones are missing.
func (s *Service) ByIDs(ctx context.Context, actor access.Actor, ids []ident.ID) (map[ident.ID]*Invitation, error) {
	if !actor.Can(access.PermInvitationRead) {
		return map[ident.ID]*Invitation{}, nil
	}
	return byIDs(ctx, s.db.Read(), actor.Scope(), ids)
}

// List is a page of the invitations that the actor's side sent; all of them
// for the operator.
func (s *Service) List(ctx context.Context, actor access.Actor, args page.Args, o *Order, f Filter) (*page.Connection[*Invitation], error) {
	if err := actor.Require(access.PermInvitationRead); err != nil {
		return nil, err
	}
	pq, err := args.Resolve(o.resolve(), f)
	if err != nil {
		return nil, err
	}
	return list(ctx, s.db, actor.Scope(), pq, f)
}

// WaitingTx lists the open invitations of a kind that wait for an address,
// newest first and at most 100, for the concept that tells its owner of them.
func (s *Service) WaitingTx(ctx context.Context, tx *database.Tx, k Kind, email string) ([]*Invitation, error) {
	rows, err := received(ctx, tx, k, foldEmail(email))
	return slices.DeleteFunc(rows, func(i *Invitation) bool { return !i.Live(tx.Now) }), err
}

// Received lists the open invitations that wait for the actor, by the proved
// address of its account, newest first and at most 100.
func (s *Service) Received(ctx context.Context, actor access.Actor, k Kind) ([]*Invitation, error) {
	if err := actor.Require(access.PermInvitationRead); err != nil {
		return nil, err
	}
	rows, err := received(ctx, s.db.Read(), k, foldEmail(actor.Email))
	if err != nil {
		return nil, err
	}
	out := []*Invitation{}
	for _, i := range rows {
		if i.Live(s.db.Now()) {
			out = append(out, i)
		}
	}
	return out, nil
}
