package customer

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/internal/page"
)

// delegated is a customer that granted a direct-bill partner its account for
// some days.
func (w *world) delegated(days int, extend bool) (*Customer, access.Actor, *Grant) {
	w.t.Helper()
	elena := w.existing("Conti")
	_, code := w.invite(w.azienda, nil, elena.Email, Delegation{Roles: []Role{AccountAdmin}, Days: days, AutoExtend: extend})
	c, err := w.Accept(w.t.Context(), elena, yes(code))
	if err != nil {
		w.t.Fatal(err)
	}
	return c, elena, w.grants(elena, GrantFilter{})[0]
}

func (w *world) grants(a access.Actor, f GrantFilter) []*Grant {
	w.t.Helper()
	c, err := w.ListGrants(w.t.Context(), a, pageArgs(), page.Asc, f)
	if err != nil {
		w.t.Fatal(err)
	}
	if n, err := c.TotalCount(w.t.Context()); err != nil || n.Value != len(c.Nodes()) {
		w.t.Error(n, err)
	}
	return c.Nodes()
}

// look does what the workers would: the daily scan, then what is due.
func (w *world) look() int {
	w.t.Helper()
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		_, err := outbox.Put(ctx, tx, ScanGrants{})
		return err
	})
	w.do(ScanGrants{}.Kind(), func(ctx context.Context, run *outbox.Run) error { return w.ScanGrants(ctx, run, ScanGrants{}) })
	return w.do(LookAtGrant{}.Kind(), func(ctx context.Context, run *outbox.Run) error {
		return w.LookAtGrant(ctx, run, LookAtGrant{GrantID: run.Job.SubjectID})
	})
}

// A withdrawal counts at the next request, whatever the workers do.
func TestWithdraw(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, elena, g := w.delegated(90, false)
	if got := w.may(w.azienda, c); got != "[ACCOUNT_ADMIN SUPPORT BILLING]" {
		t.Errorf("may %s", got)
	}
	clerk := w.user(elena.OrganizationID, "clerk@conti.example", access.UserAdmin)
	before := w.rows()
	for name, x := range map[string]struct {
		a    access.Actor
		in   WithdrawInput
		want string
	}{
		"the partner":    {w.azienda.admin, WithdrawInput{GrantID: g.ID}, fault.CodeRoleRequired},
		"a stranger":     {w.nord.admin, WithdrawInput{GrantID: g.ID}, fault.CodeNotFound},
		"a clerk":        {clerk, WithdrawInput{GrantID: g.ID}, fault.CodeRoleRequired},
		"an old version": {elena, WithdrawInput{GrantID: g.ID, ExpectedVersion: ptr(7)}, fault.CodeConflict},
		"nothing":        {elena, WithdrawInput{GrantID: ident.New(ident.Grant)}, fault.CodeNotFound},
		"nobody":         {access.Anonymous("en", ""), WithdrawInput{GrantID: g.ID}, fault.CodeUnauthenticated},
	} {
		if _, err := w.Withdraw(t.Context(), x.a, x.in); !fault.Is(err, x.want) {
			t.Errorf("%s: got %v, want %s", name, err, x.want)
		}
	}
	w.same(before)
	got, err := w.Withdraw(t.Context(), elena, WithdrawInput{GrantID: g.ID})
	if err != nil || got.Status != GrantWithdrawn || got.WithdrawnByID != elena.UserID {
		t.Fatal(got, err)
	}
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		for _, r := range Roles {
			if may, err := w.MayAdminister(ctx, tx, w.azienda.ID, c.ID, r); may || err != nil {
				t.Errorf("still may %s, %v", r, err)
			}
		}
		return nil
	})
	if got := w.has(w.azienda.admin, c); got != "Azienda" {
		t.Errorf("the relationship is %q", got)
	}
	_, err = w.Withdraw(t.Context(), elena, WithdrawInput{GrantID: g.ID})
	wantCode(t, err, CodeGrantEnded)
	if got := w.audited(g.ID); got != "grant.withdrawn×1" {
		t.Errorf("audit %s", got)
	}
	w.db.Clock().Advance(100 * day)
	if n := w.look(); n != 0 {
		t.Errorf("%d looks at a withdrawn grant", n)
	}
}

// A grant is withdrawn while its partner renews it: whoever is first, it is
// withdrawn afterwards and gives nothing.
func TestRenewAgainstWithdraw(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, elena, g := w.delegated(90, true)
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := w.Withdraw(t.Context(), elena, WithdrawInput{GrantID: g.ID}); err != nil {
			t.Error(err)
		}
	})
	for range 3 {
		wg.Go(func() {
			lines, err := w.Renew(t.Context(), w.azienda.admin, RenewInput{GrantIDs: []ident.ID{g.ID}, Days: 30})
			if err != nil || len(lines) != 1 || lines[0].Grant == nil && lines[0].Problems[0].Code != CodeGrantEnded {
				t.Errorf("renewed %+v, %v", lines, err)
			}
		})
	}
	wg.Wait()
	if got := w.grants(elena, GrantFilter{Status: []GrantStatus{GrantWithdrawn}}); len(got) != 1 || w.may(w.azienda, c) != "[]" {
		t.Errorf("%d are withdrawn, and it may %s", len(got), w.may(w.azienda, c))
	}
	w.db.Clock().Advance(100 * day)
	if n := w.look(); n != 0 {
		t.Errorf("%d looks at a withdrawn grant", n)
	}
}

// Both sides are told 30, 7 and 1 days before, the grant ends on its moment
// even where no worker runs, and nothing is told twice.
func TestGrantEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, _, g := w.delegated(40, false)
	mails := func() int64 {
		n, err := w.db.Read().NewSelect().TableExpr("mail_message").Where("template LIKE 'customer_grant_%'").Count(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := w.look(); n != 0 || mails() != 0 {
		t.Errorf("looked %d times, %d mails at the beginning", n, mails())
	}
	for _, x := range []struct {
		after time.Duration
		mails int64
	}{{9*day + 23*time.Hour, 0}, {2 * time.Hour, 2}, {22 * day, 2}, {2 * day, 4}, {5 * day, 6}} {
		w.db.Clock().Advance(x.after)
		w.look()
		w.look()
		if mails() != x.mails {
			t.Errorf("%s later: %d mails, want %d", x.after, mails(), x.mails)
		}
	}
	if got := w.may(w.azienda, c); got == "[]" {
		t.Error("the grant ended too early")
	}
	w.db.Clock().Advance(day)
	if got := w.may(w.azienda, c); got != "[]" || w.db.Now().Before(g.EndsAt) {
		t.Errorf("the grant goes on beyond its end: %s", got)
	}
	w.look()
	if got := w.grants(w.azienda.admin, GrantFilter{Status: []GrantStatus{GrantExpired}}); len(got) != 1 || mails() != 8 {
		t.Errorf("got %v, %d mails", got, mails())
	}
	lines, err := w.Renew(t.Context(), w.azienda.admin, RenewInput{GrantIDs: []ident.ID{g.ID}, Days: 30})
	if err != nil || lines[0].Grant != nil || lines[0].Problems[0].Code != CodeGrantEnded {
		t.Errorf("renewed after the end: %+v, %v", lines, err)
	}
}

// A clock that leaps past everything leaves out what a later step overtook.
func TestGrantLate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, _, _ = w.delegated(400, false)
	w.db.Clock().Advance(394 * day)
	w.look()
	n, err := w.db.Read().NewSelect().TableExpr("mail_message").Where("template = 'customer_grant_ending'").Count(t.Context())
	if err != nil || n != 2 { // only the seven days' notice, to both
		t.Errorf("%d notices, %v", n, err)
	}
}

func TestGrantExtendsItself(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, elena, g := w.delegated(1, true)
	if n := w.look(); n != 0 {
		t.Errorf("%d looks", n)
	}
	w.db.Clock().Advance(day)
	w.look()
	got := w.grants(elena, GrantFilter{})
	if len(got) != 1 || got[0].Status != GrantActive || !got[0].EndsAt.Equal(g.EndsAt.Add(ExtendDays*day)) || w.may(w.azienda, c) == "[]" {
		t.Errorf("got %+v", got)
	}
	if got := w.audited(g.ID); got != "grant.extended×2" {
		t.Errorf("audit %s", got)
	}
}

// Renewing several at once: each is a line, bounded by two years from now; a
// replay answers alike.
func TestRenew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, elena, g := w.delegated(30, false)
	other := w.add(w.nord, nil, "Dardi")
	theirs := w.grants(w.nord.admin, GrantFilter{CustomerID: &other.ID})[0]
	in := RenewInput{GrantIDs: []ident.ID{g.ID, theirs.ID, ident.New(ident.Grant)}, Days: 365, IdempotencyKey: ptr("once")}
	for range 2 {
		lines, err := w.Renew(t.Context(), w.azienda.admin, in)
		if err != nil || len(lines) != 3 || lines[0].Grant == nil || !lines[0].Grant.EndsAt.Equal(g.EndsAt.Add(365*day)) || len(lines[0].Problems) > 0 {
			t.Fatalf("got %+v, %v", lines, err)
		}
		for _, l := range lines[1:] {
			if l.Grant != nil || l.Problems[0].Code != fault.CodeNotFound {
				t.Errorf("got %+v", l)
			}
		}
	}
	if got := w.mails(c.ID); got != "grant_renewed to conti, has_partner to conti" {
		t.Errorf("mails %s", got)
	}
	before := w.rows()
	lines, err := w.Renew(t.Context(), w.azienda.admin, RenewInput{GrantIDs: []ident.ID{g.ID}, Days: 365, IdempotencyKey: ptr("again")})
	if err != nil || lines[0].Problems[0].Code != CodeGrantTooLong {
		t.Errorf("got %+v, %v", lines, err)
	}
	for name, x := range map[string]struct {
		a    access.Actor
		in   RenewInput
		want string
	}{
		"none":         {w.azienda.admin, RenewInput{Days: 30}, fault.CodeRequired},
		"no days":      {w.azienda.admin, RenewInput{GrantIDs: []ident.ID{g.ID}}, CodeGrantDays},
		"too many":     {w.azienda.admin, RenewInput{GrantIDs: make([]ident.ID, 101), Days: 1}, fault.CodeTooMany},
		"the customer": {elena, RenewInput{GrantIDs: []ident.ID{g.ID}, Days: 30}, fault.CodeRoleRequired},
	} {
		if _, err := w.Renew(t.Context(), x.a, x.in); !fault.Is(err, x.want) {
			t.Errorf("%s: got %v, want %s", name, err, x.want)
		}
	}
	w.same(before)
	soon := w.db.Now().Add(30 * day)
	if got := w.grants(w.chief, GrantFilter{EndsBefore: &soon}); len(got) != 0 {
		t.Errorf("ending soon: %v", got)
	}
	if got := len(w.grants(w.chief, GrantFilter{})); got != 2 {
		t.Errorf("the operator sees %d grants", got)
	}
	ids, err := w.GrantsByIDs(t.Context(), w.nord.admin, []ident.ID{g.ID, theirs.ID})
	if err != nil || len(ids) != 1 || ids[theirs.ID] == nil {
		t.Errorf("got %v, %v", ids, err)
	}
}
