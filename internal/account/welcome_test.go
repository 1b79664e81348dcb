package account

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/secret"
)

// admin makes a customer's organization with its first administrator.
func (w *world) admin(slug string, h Hashed) (u *User) {
	w.t.Helper()
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		org, err := w.Found(ctx, tx, access.System("test"), NewOrganization{Kind: access.Customer, Name: "Contoso " + slug, Domain: slug + ".example", Country: "IT"})
		if err != nil {
			return err
		}
		u, _, err = w.AddAdmin(ctx, tx, w.as(w.global), org, NewUser{Email: "ada@" + slug + ".example", FirstName: "Ada", LastName: "Neri"}, h)
		return err
	})
	return u
}

func demanded(t *testing.T, err error) secret.String {
	t.Helper()
	var must *ChangeRequired
	if !errors.As(err, &must) || must.Next == "" {
		t.Fatalf("got %v, want a demand for another password", err)
	}
	return must.Next
}

func TestATemporaryPasswordLeadsToAnotherOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	temporary, hashed, err := w.NewTemporary(w.ctx)
	if err != nil {
		t.Fatal(err)
	}
	u := w.admin("contoso", hashed)
	if u.Status != Active {
		t.Errorf("the administrator is %s", u.Status)
	}
	if a := w.as(u); !a.Has(access.GlobalAdmin) || a.Kind != access.Customer {
		t.Errorf("the administrator is %+v", a)
	}
	wantCode(t, w.try(u.Email, "something else entirely", home), CodeSignInFailed)
	next := demanded(t, w.try(u.Email, temporary, home))
	if n, err := w.db.Read().NewSelect().TableExpr("session").Where("user_id = ?", u.ID).Count(w.ctx); err != nil || n != 0 {
		t.Errorf("%d sessions by a temporary password, %v", n, err)
	}
	wantCode(t, w.ResetPassword(w.ctx, next.Reveal(), "ada neri contoso", home), CodePasswordSimilar)
	if err := w.ResetPassword(w.ctx, next.Reveal(), good, home); err != nil {
		t.Fatal(err)
	}
	wantCode(t, w.try(u.Email, temporary, home), CodeSignInFailed)
	w.signIn(u)
	w.db.Clock().Advance(2 * TemporaryLife)
	w.signIn(u) // what its owner chose lasts
}

func TestATemporaryPasswordEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	temporary, hashed, err := w.NewTemporary(w.ctx)
	if err != nil {
		t.Fatal(err)
	}
	used, unused := w.admin("contoso", hashed), w.admin("fabrikam", hashed)
	first := demanded(t, w.try(used.Email, temporary, home))
	second := demanded(t, w.try(used.Email, temporary, away)) // the page was closed
	wantCode(t, w.ResetPassword(w.ctx, first.Reveal(), good, home), CodeLinkExpired)
	w.db.Clock().Advance(31 * time.Minute)
	wantCode(t, w.ResetPassword(w.ctx, second.Reveal(), good, home), CodeLinkExpired)
	wantCode(t, w.try(used.Email, temporary, home), CodeSignInFailed) // its first use was its last
	w.db.Clock().Advance(TemporaryLife - 32*time.Minute)
	demanded(t, w.try(unused.Email, temporary, home))
	late := w.admin("tailspin", hashed)
	w.db.Clock().Advance(TemporaryLife)
	wantCode(t, w.try(late.Email, temporary, home), CodeSignInFailed)
}

func TestAnAdminWithoutAPasswordIsMailedALink(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.admin("contoso", Hashed{})
	if u.Status != Invited {
		t.Errorf("the administrator is %s", u.Status)
	}
	m, err := w.mailer.BySubject(w.ctx, []ident.ID{u.ID})
	if err != nil || len(m[u.ID]) != 1 || m[u.ID][0].Template != templateInvitation {
		t.Errorf("mails %+v, %v", m, err)
	}
}
