package account

import (
	"context"
	"fmt"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/audit"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/internal/secret"
)

// TemporaryLife is how long a temporary password lets its owner choose
// another one.
const TemporaryLife = 7 * 24 * time.Hour

// NewTemporary makes a temporary password and its hash, outside of any
// transaction. Error: BUSY.
func (s *Service) NewTemporary(ctx context.Context) (secret.String, Hashed, error) {
	p := secret.NewPassword()
	h, err := s.hasher.hash(ctx, p.Reveal())
	return p, Hashed{h}, err
}

// AddAdmin adds the first administrator of an organization that the caller has
// just made, and has decided that the actor may make. With a temporary
// password the user is ACTIVE and the job is nil; with none the user is
// INVITED and the job mails a link with which a password is set. Errors: what
// is wrong with the user, EMAIL_NOT_AVAILABLE at email.
func (s *Service) AddAdmin(ctx context.Context, tx *database.Tx, actor access.Actor, org *Organization, in NewUser, temporary Hashed) (*User, *outbox.Job, error) {
	in.Roles, in.Password = []access.Role{AdminRole(org.Kind)}, ""
	var c check
	in.validate(&c, org)
	if in.FirstName == "" && !c.Any() {
		c.name("firstName", in.FirstName, true)
	}
	if in.LastName == "" && !c.Any() {
		c.name("lastName", in.LastName, true)
	}
	if err := c.Err(); err != nil {
		return nil, nil, err
	}
	u, job, err := s.addUser(ctx, tx, actor, org, in, temporary.hash)
	if err != nil || temporary.hash == "" {
		return u, job, err
	}
	until := tx.Now.Add(TemporaryLife)
	return u, nil, setTemporary(ctx, tx, u.ID, temporary.hash, &until)
}

// ChangeRequired says that a temporary password was right, and that its owner
// has to choose another one before anything else.
type ChangeRequired struct {
	// Next is the token of the link with which the password is set.
	Next secret.String
}

// Error implements error.
func (*ChangeRequired) Error() string { return CodePasswordChange }

// PasswordPath is the page on which a password is set.
const PasswordPath = "/l/reset"

// demandPassword answers the use of a temporary password with a link with
// which another one is set; "" where the user is not active any more. The
// temporary one ends with the link.
func (s *Service) demandPassword(ctx context.Context, c claim, who *proof) (next secret.String, err error) {
	err = s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		next = ""
		user, err := s.still(ctx, tx, who)
		if err != nil || user == nil {
			return err
		}
		user.LinkGeneration++
		if err := saveGeneration(ctx, tx, user); err != nil {
			return err
		}
		if next, err = s.mint(ctx, tx, PurposeReset, user.ID, user.LinkGeneration); err != nil {
			return err
		}
		if err := shorten(ctx, tx, user.ID, tx.Now.Add(linkKinds[PurposeReset].life)); err != nil {
			return err
		}
		if err := s.giveBack(ctx, tx, c); err != nil {
			return err
		}
		actor, err := access.Load(ctx, tx, access.Presence{UserID: user.ID, IPPrefix: c.prefix})
		if err != nil {
			return err
		}
		return audit.Record(ctx, tx, actor, audit.Act{Action: "user.password_change_demanded", TargetID: user.ID, TargetOrganizationID: user.OrganizationID})
	})
	if err != nil {
		return "", fmt.Errorf("demanding a new password: %w", err)
	}
	return next, nil
}
