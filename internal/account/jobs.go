package account

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/audit"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/mail"
	"github.com/channelgraph/channelgraph/internal/outbox"
)

// Mail templates of this concept.
const (
	templateInvitation = "user_invitation"
	templateReset      = "password_reset"
	templateChanged    = "password_changed"
	templateNotice     = "sign_in_notice"
)

const (
	// requestLife is how long a request by address is worth answering.
	requestLife = time.Hour
	// keepEnded is how long ended sessions and links are kept (security.md 7).
	keepEnded = 30 * 24 * time.Hour
)

// SendReset mails the password link that somebody asked for.
type SendReset struct {
	RequestID ident.ID `json:"request_id"`
}

// Kind is the job's kind.
func (SendReset) Kind() string { return "account.send_reset" }

// SendNotice tells a user that many sign-ins failed.
type SendNotice struct {
	RequestID ident.ID `json:"request_id"`
}

// Kind is the job's kind.
func (SendNotice) Kind() string { return "account.send_notice" }

// Prune removes what nobody needs any more.
type Prune struct{}

// Kind is the job's kind.
func (Prune) Kind() string { return "account.prune" }

// SendReset performs its job: where the address is an active user's, a new
// link replaces the former and is mailed; an invited user gets the invitation
// anew; anybody else gets nothing.
func (s *Service) SendReset(ctx context.Context, run *outbox.Run, args SendReset) error {
	return s.answer(ctx, run, args.RequestID, func(ctx context.Context, tx *database.Tx, r *request, user *User) error {
		actor := access.System("account")
		switch user.Status {
		case Invited:
			org, err := organizationByID(ctx, tx, user.OrganizationID)
			if err != nil {
				return err
			}
			if _, err := s.mailInvitation(ctx, tx, actor, org, user); err != nil {
				return err
			}
			return audit.Record(ctx, tx, actor, audit.Act{Action: "user.invitation_resent", TargetID: user.ID, TargetOrganizationID: org.ID})
		case Active:
			if err := s.mailReset(ctx, tx, user, r.Locale); err != nil {
				return err
			}
			return audit.Record(ctx, tx, actor, audit.Act{Action: "user.password_reset_requested", TargetID: user.ID, TargetOrganizationID: user.OrganizationID})
		}
		return nil
	})
}

// SendNotice performs its job, at most once an hour for one user.
func (s *Service) SendNotice(ctx context.Context, run *outbox.Run, args SendNotice) error {
	return s.answer(ctx, run, args.RequestID, func(ctx context.Context, tx *database.Tx, r *request, user *User) error {
		if user.Status != Active {
			return nil
		}
		return s.mailNotice(ctx, tx, user, r.CreatedAt)
	})
}

// answer takes a request and, where its address is a user's, does what was
// asked, all with the job's end in one transaction.
func (s *Service) answer(ctx context.Context, run *outbox.Run, id ident.ID, fn func(context.Context, *database.Tx, *request, *User) error) error {
	return s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		r, err := takeRequest(ctx, tx, id)
		if err != nil {
			return fmt.Errorf("reading a request: %w", err)
		}
		if r != nil {
			user, err := lockUserByEmail(ctx, tx, r.EmailFolded)
			if err != nil {
				return fmt.Errorf("looking an address up: %w", err)
			}
			if user != nil {
				if err := fn(ctx, tx, r, user); err != nil {
					return err
				}
			}
		}
		return run.Done(ctx, tx)
	})
}

// Prune performs its job: sessions, links and tokens thirty days after their end,
// throttles that no longer count, requests that were never answered. Each
// batch is a transaction of its own.
func (s *Service) Prune(ctx context.Context, _ *outbox.Run, _ Prune) error {
	now := s.db.Now()
	for _, p := range []struct {
		table, key, column string
		before             time.Time
	}{
		{"session", "id", "abs_until", now.Add(-keepEnded)},
		{"capability_link", "id", "expires_at", now.Add(-keepEnded)},
		{"personal_token", "id", "expires_at", now.Add(-keepEnded)},
		{"throttle", "key", "window_until", now.Add(-time.Hour)}, // no wait outlives its window by that
		{"account_request", "id", "created_at", now.Add(-24 * time.Hour)},
	} {
		total := 0
		for n := pruneBatch; n == pruneBatch; total += n {
			err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) (err error) {
				n, err = pruneOnce(ctx, tx, p.table, p.key, p.column, p.before)
				return err
			})
			if err != nil {
				return err
			}
		}
		if total > 0 {
			s.log.DebugContext(ctx, "pruned", "table", p.table, "rows", total)
		}
	}
	return nil
}

// mailInvitation gives an invited user a new link and mails it.
func (s *Service) mailInvitation(ctx context.Context, tx *database.Tx, actor access.Actor, org *Organization, user *User) (*outbox.Job, error) {
	link, err := s.nextLink(ctx, tx, PurposeInvite, user)
	if err != nil {
		return nil, err
	}
	return s.mailLink(ctx, tx, actor, org, user, link)
}

// mailFirst is mailInvitation for a user who was made in this transaction, with
// the generation of its first link.
func (s *Service) mailFirst(ctx context.Context, tx *database.Tx, actor access.Actor, org *Organization, user *User) (*outbox.Job, error) {
	link, err := s.link(ctx, tx, PurposeInvite, user)
	if err != nil {
		return nil, err
	}
	return s.mailLink(ctx, tx, actor, org, user, link)
}

func (s *Service) mailLink(ctx context.Context, tx *database.Tx, actor access.Actor, org *Organization, user *User, link *mail.Link) (*outbox.Job, error) {
	inviter := actor.Name
	if actor.UserID == "" {
		inviter = org.Name
	}
	data := map[string]string{"InviterName": inviter, "Organization": org.Name, "ExpiresAt": tx.Now.Add(linkKinds[PurposeInvite].life).Format(time.RFC3339)}
	return s.send(ctx, tx, actor, user, mail.Draft{Key: fmt.Sprintf("%s:%s:%d", templateInvitation, user.ID, link.Generation), Template: templateInvitation,
		Locale: user.Locale, Data: data, Link: link, ExpiresAt: tx.Now.Add(linkKinds[PurposeInvite].life), Fresh: link.Generation == 1})
}

// mailReset gives an active user a new password link and mails it, in the
// language in which it was asked for.
func (s *Service) mailReset(ctx context.Context, tx *database.Tx, user *User, locale string) error {
	link, err := s.nextLink(ctx, tx, PurposeReset, user)
	if err != nil {
		return err
	}
	if locale == "" {
		locale = user.Locale
	}
	_, err = s.send(ctx, tx, access.System("account"), user, mail.Draft{Key: fmt.Sprintf("%s:%s:%d", templateReset, user.ID, link.Generation), Template: templateReset,
		Locale: locale, Data: map[string]string{"Name": user.DisplayName(), "ExpiresAt": tx.Now.Add(linkKinds[PurposeReset].life).Format(time.RFC3339)},
		Link: link, ExpiresAt: tx.Now.Add(linkKinds[PurposeReset].life)})
	return err
}

// mailChanged tells a user that the password is another one now, and of the
// personal tokens that do not depend on it.
func (s *Service) mailChanged(ctx context.Context, tx *database.Tx, user *User, key string) error {
	data := map[string]string{"Name": user.DisplayName(), "ChangedAt": tx.Now.Format(time.RFC3339)}
	live, err := liveTokens(ctx, tx, user.ID, tx.Now)
	if err != nil {
		return err
	}
	if len(live) > 0 {
		data["Tokens"] = strconv.Itoa(len(live))
	}
	_, err = s.send(ctx, tx, access.System("account"), user, mail.Draft{Key: key, Template: templateChanged, Locale: user.Locale, Data: data})
	return err
}

func (s *Service) mailNotice(ctx context.Context, tx *database.Tx, user *User, at time.Time) error {
	hour := at.UTC().Truncate(time.Hour)
	_, err := s.send(ctx, tx, access.System("account"), user, mail.Draft{Key: fmt.Sprintf("%s:%s:%s", templateNotice, user.ID, hour.Format(time.RFC3339)),
		Template: templateNotice, Locale: user.Locale, Data: map[string]string{"Name": user.DisplayName(), "Failures": strconv.Itoa(perAccount.free), "At": at.UTC().Format(time.RFC3339)}})
	return err
}

// nextLink raises the user's generation and mints a link of it.
func (s *Service) nextLink(ctx context.Context, tx *database.Tx, p Purpose, user *User) (*mail.Link, error) {
	user.LinkGeneration++
	if err := saveGeneration(ctx, tx, user); err != nil {
		return nil, err
	}
	return s.link(ctx, tx, p, user)
}

// link makes the link of a user's present generation.
func (s *Service) link(ctx context.Context, tx *database.Tx, p Purpose, user *User) (*mail.Link, error) {
	if _, err := s.mint(ctx, tx, p, user.ID, user.LinkGeneration); err != nil {
		return nil, err
	}
	k := linkKinds[p]
	return &mail.Link{Purpose: string(p), Prefix: k.prefix, Path: k.path, SubjectID: user.ID, Generation: user.LinkGeneration}, nil
}

// send writes a message to a user and the job that delivers it.
func (s *Service) send(ctx context.Context, tx *database.Tx, actor access.Actor, user *User, d mail.Draft) (*outbox.Job, error) {
	d.To, d.OrganizationID, d.SubjectID = user.Email, user.OrganizationID, user.ID
	m, err := s.mailer.Queue(ctx, tx, d)
	if err != nil {
		return nil, err
	}
	opts := []outbox.Option{outbox.On(outbox.Mail), outbox.About(user.ID), outbox.By(actor),
		outbox.MaxAttempts(mail.MaxAttempts), outbox.ExpiresAt(m.ExpiresAt), outbox.Dedupe("mail:" + string(m.ID))}
	if d.Fresh {
		opts = append(opts, outbox.Fresh())
	}
	return outbox.Put(ctx, tx, mail.Send{MessageID: m.ID}, opts...)
}
