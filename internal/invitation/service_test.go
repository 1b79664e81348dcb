package invitation

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/address"
	"github.com/channelgraph/channelgraph/internal/audit"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/database/dbtest"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/mail"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/internal/page"
	"github.com/channelgraph/channelgraph/internal/partner"
	"github.com/channelgraph/channelgraph/internal/secret"
)

const day = 24 * time.Hour

// send is the job of this test's inviting concept.
type send struct {
	InvitationID ident.ID `json:"invitation_id"`
	Generation   int      `json:"generation"`
}

func (send) Kind() string { return "test.send_invitation" }

// world is a provider with a Sales agent who invites, and a second provider.
type world struct {
	*Service
	t        *testing.T
	partners *partner.Service
	mayAsk   error
	handed   []outbox.Handover
	provider *partner.Partner
	agent    access.Actor // Global admin of the provider
	other    access.Actor // Global admin of another provider
	helpdesk access.Actor
	chief    access.Actor
}

func newWorld(t *testing.T, cfg Config) *world {
	t.Helper()
	db := dbtest.New(t)
	keys, err := secret.NewKeys(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	mailer, err := mail.New(db, keys, mail.Config{SMTPURL: "smtp://127.0.0.1:2525", From: "center@example.com", PublicURL: "http://localhost:8080"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	accounts := account.New(db, mailer, keys, account.Config{PublicURL: "http://localhost:8080",
		Hashing: account.Hashing{Memory: 8, Passes: 1, Threads: 1, Slots: 4, Wait: time.Minute}}, nil)
	w := &world{t: t, partners: partner.New(db, accounts, mailer), Service: New(db, mailer, keys, accounts, cfg, nil)}
	w.Register(ForPartnership, Concept{
		Permission: access.PermPartnershipRequest, Path: "/l/partnership",
		Job:    func(id ident.ID, g int) outbox.Args { return send{id, g} },
		MayAsk: func(context.Context, *database.Tx, *Invitation) error { return w.mayAsk },
		Data: func(_ context.Context, tx *database.Tx, i *Invitation) (map[string]string, error) {
			at := tx.Now.Format(time.RFC3339)
			return map[string]string{"InviterName": "Gina", "InviterCompany": "Nordwind", "ProgrammeOperator": "House", "Note": i.Text, "ExpiresAt": at, "ExpiredAt": at,
				"DaysLeft": "7", "RecipientAddress": i.Recipient, "Reason": "", "Cause": i.FailureCode, "DeclinedAt": at, "RequestedAt": at}, nil
		},
		Templates: Templates{Invitation: "partnership_invitation", Reminder: "partnership_invitation_reminder", Expired: "partnership_invitation_expired",
			Bounced: "partnership_invitation_bounced", NewLink: "partnership_new_link_requested"},
	})
	w.provider, w.agent = w.company("Nordwind")
	_, w.other = w.company("Rhine")
	w.helpdesk = w.user(w.agent.OrganizationID, "helga@nordwind.example", access.HelpdeskAgent)
	var house *account.Organization
	w.tx(func(ctx context.Context, tx *database.Tx) (err error) {
		house, err = accounts.Found(ctx, tx, access.System("test"), account.NewOrganization{Kind: access.Operator, Name: "House", Domain: "house.example", Country: "IT"})
		return err
	})
	w.chief = w.user(house.ID, "otto@house.example", access.OperatorAdmin)
	return w
}

func (w *world) tx(fn func(context.Context, *database.Tx) error) {
	w.t.Helper()
	if err := w.db.InTx(w.t.Context(), fn); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) as(user ident.ID) access.Actor {
	w.t.Helper()
	a, err := access.Load(w.t.Context(), w.db.Read(), access.Presence{UserID: user, SudoUntil: w.db.Now().Add(time.Hour)})
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

func (w *world) company(name string) (p *partner.Partner, a access.Actor) {
	w.t.Helper()
	slug := strings.ToLower(name)
	now, version := w.db.Now(), "2026-01"
	in := partner.RegisterInput{Kind: access.IndirectProvider, LegalName: name, TenantDomain: slug + ".example", Country: "IT", AgreementSignedAt: &now, AgreementVersion: &version,
		Admin: partner.Admin{Email: "gina@" + slug + ".example", FirstName: "Gina", LastName: "Rossi"}}
	if err := in.Validate(now); err != nil {
		w.t.Fatal(err)
	}
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		r, err := w.partners.RegisterTx(ctx, tx, access.System("test"), in, "velvet tractor lagoon 41")
		if err == nil {
			p, a.UserID = r.Partner, r.Admin.ID
		}
		return err
	})
	return p, w.as(a.UserID)
}

func (w *world) user(org ident.ID, email string, roles ...access.Role) access.Actor {
	w.t.Helper()
	var id ident.ID
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		orgs, err := w.accounts.OrganizationsTx(ctx, tx, access.System("test"), []ident.ID{org})
		if err != nil {
			return err
		}
		u, _, err := w.accounts.AddUser(ctx, tx, access.System("test"), orgs[org], account.NewUser{Email: email, FirstName: "Helga", LastName: "Rossi", Roles: roles, Password: "velvet tractor lagoon 41"})
		if err == nil {
			id = u.ID
		}
		return err
	})
	return w.as(id)
}

// ask invites an address as an inviting concept does.
func (w *world) ask(to string) (out *Dispatched, err error) {
	err = w.db.InTx(w.t.Context(), func(ctx context.Context, tx *database.Tx) error {
		if err := w.HoldInviter(ctx, tx, w.provider.ID); err != nil {
			return err
		}
		if err := w.CheckRecipient(ctx, tx, ForPartnership, w.provider.ID, strings.ToLower(to)); err != nil {
			return err
		}
		out, err = w.Create(ctx, tx, w.agent, Request{Kind: ForPartnership, InviterID: w.provider.ID, Recipient: to, Folded: strings.ToLower(to), Locale: "it", Text: "Ciao"})
		return err
	})
	return out, err
}

func (w *world) invite(to string) *Dispatched {
	w.t.Helper()
	out, err := w.ask(to)
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

func (w *world) sent(to string) *Invitation {
	w.t.Helper()
	i := w.invite(to).Invitation
	w.settled(i.ID, mail.Outcome{State: mail.Sent})
	return w.reload(i.ID)
}

// settled is what the send job writes down when its mail has come to an end.
func (w *world) settled(id ident.ID, o mail.Outcome) {
	w.t.Helper()
	w.held(id, func(ctx context.Context, tx *database.Tx, i *Invitation) error { return w.settle(ctx, tx, i, o) })
}

func (w *world) held(id ident.ID, fn func(context.Context, *database.Tx, *Invitation) error) {
	w.t.Helper()
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		i, err := w.Hold(ctx, tx, id)
		if err != nil {
			return err
		}
		return fn(ctx, tx, i)
	})
}

func (w *world) reload(id ident.ID) *Invitation {
	w.t.Helper()
	is, err := byIDs(w.t.Context(), w.db.Read(), access.System("test").Scope(), []ident.ID{id})
	if err != nil || is[id] == nil {
		w.t.Fatal(is, err)
	}
	return is[id]
}

// force sets a state without a verb.
func (w *world) force(id ident.ID, s Status) {
	w.t.Helper()
	if _, err := w.db.Bun().NewUpdate().Model((*Invitation)(nil)).Set("status = ?", s).Where("id = ?", id).Exec(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// claim hands over what is due, as the relay does.
func (w *world) claim() []outbox.Handover {
	w.t.Helper()
	c, err := outbox.Claim(w.t.Context(), w.db, 500)
	if err != nil {
		w.t.Fatal(err)
	}
	w.handed = append(w.handed, c.Jobs...)
	return c.Jobs
}

// wake performs the looks that fell due, twice each, and counts them.
func (w *world) wake() (n int) {
	w.t.Helper()
	w.claim()
	all := w.handed
	w.handed = nil
	for _, h := range all {
		if h.Kind != (Look{}).Kind() {
			continue
		}
		run, err := outbox.Begin(w.t.Context(), w.db, h.ID, h.Generation, "test", time.Minute)
		if err != nil || run == nil {
			w.t.Fatal(run, err)
		}
		var a Look
		if err := json.Unmarshal([]byte(run.Job.Payload), &a); err != nil {
			w.t.Fatal(err)
		}
		if err := w.Look(w.t.Context(), run, a); err != nil || !run.Finished() {
			w.t.Fatal(err, run.Finished())
		}
		if err := w.Look(w.t.Context(), run, a); err == nil { // a second worker
			w.t.Error("a look was done twice")
		}
		n++
	}
	return n
}

func (w *world) later(d time.Duration) int {
	w.t.Helper()
	w.db.Clock().Advance(d)
	return w.wake()
}

// mails lists the templates of the mails about an invitation, oldest first.
func (w *world) mails(id ident.ID) string {
	w.t.Helper()
	all, err := w.mailer.BySubject(w.t.Context(), []ident.ID{id})
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for _, m := range all[id] {
		out = append(out, strings.TrimPrefix(m.Template, "partnership_"))
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// jobs counts the waiting jobs of a kind about an invitation.
func (w *world) jobs(id ident.ID, kind string) int {
	w.t.Helper()
	n, err := w.db.Read().NewSelect().Model((*outbox.Job)(nil)).Where("subject_id = ?", id).Where("kind = ?", kind).Where("state IN ('pending', 'queued')").Count(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return int(n)
}

func (w *world) audited(id ident.ID) string {
	w.t.Helper()
	var out []string
	err := w.db.Read().NewSelect().Model((*audit.Event)(nil)).Column("action").Where("target_id = ?", id).OrderExpr("at, action").Scan(w.t.Context(), &out)
	if err != nil {
		w.t.Fatal(err)
	}
	return strings.ReplaceAll(strings.Join(out, " "), "invitation.", "")
}

func (w *world) token(i *Invitation, generation int) string {
	return w.keys.Capability(LinkPrefix, LinkPurpose, i.ID, generation).Reveal()
}

func (w *world) resolve(token string) (id ident.ID, generation int) {
	w.t.Helper()
	w.tx(func(ctx context.Context, tx *database.Tx) (err error) {
		id, generation, err = w.Resolve(ctx, tx, token)
		return err
	})
	return id, generation
}

func ptr[T any](v T) *T { return &v }

func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	if !fault.Is(err, code) {
		t.Errorf("got %v, want %s", err, code)
	}
}

func TestCreate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{})
	d := w.invite("Lara@Studio.example")
	i := d.Invitation
	if i.Status != Queued || i.Generation != 1 || i.Recipient != "Lara@Studio.example" || i.RecipientFolded != "lara@studio.example" || i.Locale != "it" ||
		!i.ExpiresAt.Equal(i.CreatedAt.Add(30*day)) || i.NextActionAt == nil || !i.NextActionAt.Equal(i.CreatedAt.Add(23*day)) || i.CreatedByID != w.agent.UserID {
		t.Errorf("got %+v", i)
	}
	if op := d.Operation; !op.Listed || op.OrganizationID != w.agent.OrganizationID || op.SubjectID != i.ID || op.Queue != outbox.Mail || strings.Contains(op.Payload, "@") || strings.Contains(op.Payload, "cgi_") {
		t.Errorf("got %+v", op)
	}
	if id, g := w.resolve(w.token(i, 1)); id != i.ID || g != 1 {
		t.Errorf("the link leads to %s, %d", id, g)
	}
	if id, _ := w.resolve(w.token(i, 2)); id != "" {
		t.Errorf("a link that was never made leads to %s", id)
	}
	if got := w.mails(i.ID); got != "invitation" {
		t.Errorf("mails: %s", got)
	}
	n, err := w.db.Read().NewSelect().TableExpr("mail_message").Where("CAST(data AS text) LIKE '%cgi_%'").Count(t.Context())
	if err != nil || n != 0 {
		t.Errorf("%d messages hold a token, %v", n, err)
	}
}

func TestOneOpenInvitationAnAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{RecipientLimit: 100})
	i := w.invite("lara@studio.example").Invitation
	for _, s := range Statuses {
		w.force(i.ID, s)
		_, err := w.ask("LARA@studio.example")
		if s.Open() {
			wantCode(t, err, CodePending)
			continue
		}
		if err != nil {
			t.Errorf("after %s: %v", s, err)
		}
		if _, err := w.db.Bun().ExecContext(t.Context(), "UPDATE invitation SET status = 'REVOKED'"); err != nil {
			t.Fatal(err)
		}
	}
	w.force(i.ID, Sent)
	w.db.Clock().Advance(30 * day) // its look has not come yet
	again, err := w.ask("lara@studio.example")
	if err != nil {
		t.Fatal(err)
	}
	if old := w.reload(i.ID); old.Status != Expired || again.Invitation.ID == i.ID {
		t.Errorf("the old one is %s", old.Status)
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{DailyLimit: 5})
	i := w.sent("lara@studio.example")
	resend := func() error {
		w.force(i.ID, Sent)
		_, err := w.Resend(t.Context(), w.agent, ResendInput{InvitationID: i.ID})
		return err
	}
	for range 2 {
		if err := resend(); err != nil {
			t.Fatal(err)
		}
	}
	err := resend()
	wantCode(t, err, CodeRecipientLimit)
	if p := fault.As(err).Problems[0]; strings.Join(p.Path, ".") != "input.invitationId" || !strings.Contains(fault.Text("en", p.Code, p.Params), "3 times") {
		t.Errorf("got %+v", p)
	}
	w.invite("a@studio.example")
	w.invite("b@studio.example")
	_, err = w.ask("c@studio.example")
	wantCode(t, err, CodeLimit)
	w.db.Clock().Advance(day + time.Second)
	w.invite("c@studio.example")
	wantCode(t, resend(), CodeRecipientLimit) // thirty days, not one
	w.db.Clock().Advance(29 * day)
	if err := resend(); err != nil {
		t.Errorf("after thirty days: %v", err)
	}
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		return w.mailer.Suppress(ctx, tx, "gone@studio.example", "BOUNCED", "")
	})
	_, err = w.ask("Gone@studio.example")
	wantCode(t, err, CodeSuppressed)
}

func TestResendKillsTheOldLink(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{RecipientLimit: 100})
	i := w.sent("lara@studio.example")
	if i.Status != Sent || i.SentAt == nil {
		t.Fatalf("got %+v", i)
	}
	w.db.Clock().Advance(10 * day)
	in := ResendInput{InvitationID: i.ID, IdempotencyKey: ptr("again")}
	d, err := w.Resend(t.Context(), w.agent, in)
	if err != nil {
		t.Fatal(err)
	}
	j := w.reload(i.ID)
	if j.Generation != 2 || j.Status != Queued || j.SentAt != nil || !j.ExpiresAt.After(i.ExpiresAt.Add(9*day)) || j.MessageID == i.MessageID || j.FailureCode != "" {
		t.Errorf("got %+v", j)
	}
	if _, g := w.resolve(w.token(i, 1)); g != 1 || g == j.Generation {
		t.Errorf("the old link is of generation %d", g)
	}
	if w.jobs(i.ID, send{}.Kind()) != 1 || w.jobs(i.ID, Look{}.Kind()) != 1 {
		t.Errorf("%d send jobs, %d looks wait", w.jobs(i.ID, send{}.Kind()), w.jobs(i.ID, Look{}.Kind()))
	}
	again, err := w.Resend(t.Context(), w.agent, in)
	if err != nil || again.Operation.ID != d.Operation.ID || again.Invitation.Generation != 2 {
		t.Errorf("the same key: %+v, %v", again, err)
	}
	_, err = w.Resend(t.Context(), w.agent, ResendInput{InvitationID: w.invite("b@studio.example").Invitation.ID, IdempotencyKey: ptr("again")})
	wantCode(t, err, fault.CodeKeyReused)
	// the old mail's job does nothing any more
	w.settled(i.ID, mail.Outcome{State: mail.Sent})
	if ok, err := w.current(t.Context(), i.ID, 1, Sent); err != nil || ok {
		t.Errorf("the former generation is wanted: %v", err)
	}
}

func TestResendFromEveryState(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{RecipientLimit: 100, DailyLimit: 100})
	for _, s := range Statuses {
		i := w.sent(strings.ToLower(string(s)) + "@studio.example")
		w.force(i.ID, s)
		_, err := w.Resend(t.Context(), w.agent, ResendInput{InvitationID: i.ID})
		if _, ok := s.Next(VerbResend); ok {
			if err != nil || w.reload(i.ID).Status != Queued {
				t.Errorf("%s: %v", s, err)
			}
			continue
		}
		want := CodeClosed
		if s == Queued {
			want = CodeQueued
		}
		wantCode(t, err, want)
		if got := w.reload(i.ID); got.Status != s || got.Generation != 1 {
			t.Errorf("%s: got %s, %d", s, got.Status, got.Generation)
		}
	}
	// a closed one is not sent again beside an open one to the same address
	i := w.sent("twice@studio.example")
	w.force(i.ID, Expired)
	w.invite("twice@studio.example")
	_, err := w.Resend(t.Context(), w.agent, ResendInput{InvitationID: i.ID})
	wantCode(t, err, CodePending)
	// nor while the inviter may not ask
	j := w.sent("later@studio.example")
	w.mayAsk = fault.Conflict("", "PROVIDER_NOT_ACTIVE")
	_, err = w.Resend(t.Context(), w.agent, ResendInput{InvitationID: j.ID})
	wantCode(t, err, "PROVIDER_NOT_ACTIVE")
}

func TestRevokeFromEveryState(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{RecipientLimit: 100, DailyLimit: 100})
	for _, s := range Statuses {
		i := w.sent(strings.ToLower(string(s)) + "@studio.example")
		w.force(i.ID, s)
		_, err := w.Revoke(t.Context(), w.agent, RevokeInput{InvitationID: i.ID, ExpectedVersion: ptr(i.Version + 1)})
		wantCode(t, err, fault.CodeConflict)
		got, err := w.Revoke(t.Context(), w.agent, RevokeInput{InvitationID: i.ID, ExpectedVersion: &i.Version})
		if !s.Open() {
			wantCode(t, err, CodeClosed)
			continue
		}
		if err != nil || got.Status != Revoked || got.DecidedAt == nil || got.NextActionAt != nil || w.jobs(i.ID, Look{}.Kind())+w.jobs(i.ID, send{}.Kind()) != 0 {
			t.Errorf("%s: %+v, %v", s, got, err)
		}
		if got := w.audited(i.ID); got != "revoked" {
			t.Errorf("audit: %s", got)
		}
	}
}

func TestWhoMayActOnAnInvitation(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{})
	i := w.sent("lara@studio.example")
	for name, c := range map[string]struct {
		actor access.Actor
		code  string
	}{
		"nobody":           {access.Anonymous("en", ""), fault.CodeUnauthenticated},
		"another provider": {w.other, fault.CodeNotFound},
		"the helpdesk":     {w.helpdesk, fault.CodeRoleRequired},
		"the operator":     {w.chief, fault.CodeRoleRequired},
	} {
		_, err := w.Revoke(t.Context(), c.actor, RevokeInput{InvitationID: i.ID})
		wantCode(t, err, c.code)
		_, err = w.Resend(t.Context(), c.actor, ResendInput{InvitationID: i.ID})
		wantCode(t, err, c.code)
		seen, err := w.ByIDs(t.Context(), c.actor, []ident.ID{i.ID})
		if want := name == "the operator"; err != nil || (len(seen) == 1) != want {
			t.Errorf("%s reads %d, %v", name, len(seen), err)
		}
	}
	_, err := w.Revoke(t.Context(), w.agent, RevokeInput{InvitationID: "inv_none"})
	wantCode(t, err, fault.CodeNotFound)
	if got := w.reload(i.ID); got.Status != Sent || got.Version != i.Version {
		t.Errorf("got %+v", got)
	}
	if seen, err := w.ByIDs(t.Context(), w.agent, []ident.ID{i.ID, "inv_none"}); err != nil || len(seen) != 1 {
		t.Errorf("its own: %v, %v", seen, err)
	}
}

func TestRemindersAndExpiryInTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{})
	i := w.sent("lara@studio.example")
	for _, c := range []struct {
		step  time.Duration
		looks int
		mails string
	}{
		{23*day - time.Second, 0, "invitation"},
		{time.Second, 1, "invitation invitation_reminder"},
		{5 * day, 0, "invitation invitation_reminder"},
		{day, 1, "invitation invitation_reminder invitation_reminder"},
		{day, 1, "invitation invitation_expired invitation_reminder invitation_reminder"},
		{day, 0, "invitation invitation_expired invitation_reminder invitation_reminder"},
	} {
		if n := w.later(c.step); n != c.looks {
			t.Errorf("%d looks after %v more, want %d", n, c.step, c.looks)
		}
		if got := w.mails(i.ID); got != c.mails {
			t.Errorf("mails: %s, want %s", got, c.mails)
		}
	}
	got := w.reload(i.ID)
	if got.Status != Expired || got.NextActionAt != nil || got.DecidedAt != nil || w.audited(i.ID) != "expired" {
		t.Errorf("got %+v, audit %s", got, w.audited(i.ID))
	}
	if n, err := w.db.Read().NewSelect().Model((*outbox.Job)(nil)).Where("kind = ?", Remind{}.Kind()).Count(t.Context()); err != nil || n != 2 {
		t.Errorf("%d reminders were put, %v", n, err)
	}
	if ok, err := w.current(t.Context(), i.ID, 1, Sent); err != nil || ok {
		t.Errorf("a reminder that waited is still wanted: %v", err)
	}
}

// A process that slept wakes late: what a later step has overtaken is left
// out, the rest happens once.
func TestLateWakeUp(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		slept  time.Duration
		mails  string
		status Status
		next   time.Duration
	}{
		"past the first reminder":  {26 * day, "invitation invitation_reminder", Sent, 29 * day},
		"past the second reminder": {29*day + time.Hour, "invitation invitation_reminder", Sent, 30 * day},
		"past the end":             {40 * day, "invitation invitation_expired", Expired, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, Config{})
			i := w.sent("lara@studio.example")
			if n := w.later(c.slept); n != 1 {
				t.Errorf("%d looks", n)
			}
			w.wake()
			got := w.reload(i.ID)
			if w.mails(i.ID) != c.mails || got.Status != c.status {
				t.Errorf("%s, mails: %s", got.Status, w.mails(i.ID))
			}
			if c.next == 0 && got.NextActionAt != nil || c.next > 0 && !got.NextActionAt.Equal(i.CreatedAt.Add(c.next)) {
				t.Errorf("the next step is at %v", got.NextActionAt)
			}
		})
	}
}

func TestNoReminderBeforeTheMailHasLeft(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{})
	i := w.invite("lara@studio.example").Invitation
	w.later(23 * day)
	if got := w.reload(i.ID); w.mails(i.ID) != "invitation" || got.Status != Queued || !got.NextActionAt.Equal(i.CreatedAt.Add(29*day)) {
		t.Errorf("%s, mails: %s, next %v", got.Status, w.mails(i.ID), got.NextActionAt)
	}
}

// A timer that was lost is put again, and a look that comes too early or for
// nothing changes nothing.
func TestScanFindsLostTimers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{})
	i := w.sent("lara@studio.example")
	if _, err := w.db.Bun().ExecContext(t.Context(), "DELETE FROM job WHERE kind = 'invitation.look'"); err != nil {
		t.Fatal(err)
	}
	scan := func() int {
		t.Helper()
		var id ident.ID
		w.tx(func(ctx context.Context, tx *database.Tx) error {
			j, err := outbox.Put(ctx, tx, Scan{})
			id = j.ID
			return err
		})
		jobs := w.claim()
		at := slices.IndexFunc(jobs, func(h outbox.Handover) bool { return h.ID == id })
		run, err := outbox.Begin(t.Context(), w.db, id, jobs[at].Generation, "test", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Scan(t.Context(), run, Scan{}); err != nil || !run.Finished() {
			t.Fatal(err)
		}
		return w.jobs(i.ID, Look{}.Kind())
	}
	w.db.Clock().Advance(23*day + 4*time.Minute)
	if n := scan(); n != 0 {
		t.Errorf("%d looks were put too early", n)
	}
	w.db.Clock().Advance(2 * time.Minute)
	if n := scan(); n != 1 {
		t.Errorf("%d looks were put", n)
	}
	if n := scan(); n != 1 {
		t.Errorf("%d looks wait after a second scan", n)
	}
	w.wake()
	if got := w.mails(i.ID); got != "invitation invitation_reminder" {
		t.Errorf("mails: %s", got)
	}
	w.held(i.ID, func(ctx context.Context, tx *database.Tx, i *Invitation) error {
		_, err := outbox.Put(ctx, tx, Look{InvitationID: i.ID})
		if err == nil {
			_, err = outbox.Put(ctx, tx, Look{InvitationID: "inv_none"})
		}
		return err
	})
	if n := w.wake(); n != 2 || w.mails(i.ID) != "invitation invitation_reminder" {
		t.Errorf("%d looks, mails: %s", n, w.mails(i.ID))
	}
}

func TestSettle(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		outcome mail.Outcome
		status  Status
		code    string
		mails   string
		audit   string
	}{
		"sent":              {mail.Outcome{State: mail.Sent}, Sent, "", "invitation", ""},
		"server refused":    {mail.Outcome{State: mail.Failed, Code: mail.CodeRefused}, Failed, mail.CodeRefused, "invitation invitation_bounced", "failed"},
		"time was over":     {mail.Outcome{State: mail.Expired, Code: mail.CodeExpired}, Failed, mail.CodeExpired, "invitation invitation_bounced", "failed"},
		"recipient unknown": {mail.Outcome{State: mail.Failed, Code: mail.CodeRecipient, Recipient: true}, Bounced, mail.CodeRecipient, "invitation invitation_bounced", "bounced"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, Config{})
			i := w.invite("lara@studio.example").Invitation
			for range 2 { // a job may run twice
				w.settled(i.ID, c.outcome)
			}
			got := w.reload(i.ID)
			if got.Status != c.status || got.FailureCode != c.code || w.mails(i.ID) != c.mails || w.audited(i.ID) != c.audit || (got.SentAt != nil) != (c.status == Sent) {
				t.Errorf("got %s %s, mails: %s, audit: %s", got.Status, got.FailureCode, w.mails(i.ID), w.audited(i.ID))
			}
			if c.status != Sent && (got.NextActionAt != nil || w.jobs(i.ID, Look{}.Kind()) != 0) {
				t.Error("a lost invitation is looked at again")
			}
		})
	}
	t.Run("answered before the worker wrote it down", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, Config{})
		i := w.invite("lara@studio.example").Invitation
		w.held(i.ID, func(ctx context.Context, tx *database.Tx, i *Invitation) error {
			return w.Answer(ctx, tx, w.other, i, VerbAccept, "")
		})
		w.settled(i.ID, mail.Outcome{State: mail.Failed, Code: mail.CodeReplyLost})
		if got := w.reload(i.ID); got.Status != Accepted || got.InviteeID == nil || *got.InviteeID != w.other.PartnerID || *got.DecidedByID != w.other.UserID {
			t.Errorf("got %+v", got)
		}
	})
}

func TestBounced(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{RecipientLimit: 100, DailyLimit: 100})
	bounce := func(id ident.ID, subject ident.ID) {
		t.Helper()
		w.tx(func(ctx context.Context, tx *database.Tx) error {
			return w.bounced(ctx, tx, &mail.Message{ID: id, SubjectID: subject}, mail.Report{})
		})
	}
	for _, s := range Statuses {
		i := w.sent(strings.ToLower(string(s)) + "@studio.example")
		w.force(i.ID, s)
		bounce("msg_other", i.ID)
		if got := w.reload(i.ID); got.Status != s {
			t.Errorf("%s: the bounce of another mail made it %s", s, got.Status)
		}
		bounce(i.MessageID, i.ID)
		got := w.reload(i.ID)
		if s.Open() {
			if got.Status != Bounced || got.FailureCode != mail.CodeBounced || !strings.Contains(w.mails(i.ID), "invitation_bounced") {
				t.Errorf("%s: got %s, mails %s", s, got.Status, w.mails(i.ID))
			}
		} else if got.Status != s {
			t.Errorf("%s became %s", s, got.Status)
		}
	}
	bounce("msg_other", "usr_other")
	bounce("msg_other", "inv_00000000000000000000000000")
}

// What becomes of an operation becomes of its invitation, but only while it
// is that of the newest link.
func TestCancelledAndRetried(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{RecipientLimit: 100, DailyLimit: 100})
	cancel := func(j *outbox.Job) error {
		return w.db.InTx(t.Context(), func(ctx context.Context, tx *database.Tx) error { return w.Cancelled(ctx, tx, j) })
	}
	retry := func(j *outbox.Job) error {
		return w.db.InTx(t.Context(), func(ctx context.Context, tx *database.Tx) error { return w.Retried(ctx, tx, j) })
	}
	for _, s := range Statuses {
		d := w.invite(strings.ToLower(string(s)) + "@studio.example")
		w.force(d.Invitation.ID, s)
		if err := cancel(d.Operation); err != nil {
			t.Fatal(err)
		}
		want := s
		if s == Queued {
			want = Revoked
		}
		if got := w.reload(d.Invitation.ID).Status; got != want {
			t.Errorf("%s, cancelled: %s", s, got)
		}
		w.force(d.Invitation.ID, s)
		err := retry(d.Operation)
		if s != Failed {
			wantCode(t, err, outbox.CodeNotRetryable)
			continue
		}
		if got := w.reload(d.Invitation.ID); err != nil || got.Status != Queued || got.FailureCode != "" || got.NextActionAt == nil || got.Generation != 1 {
			t.Errorf("retried: %+v, %v", got, err)
		}
	}
	old := w.invite("twice@studio.example").Operation
	w.settled(old.SubjectID, mail.Outcome{State: mail.Failed, Code: mail.CodeRefused})
	fresh, err := w.Resend(t.Context(), w.agent, ResendInput{InvitationID: old.SubjectID})
	if err != nil {
		t.Fatal(err)
	}
	if err := cancel(old); err != nil || w.reload(old.SubjectID).Status != Queued {
		t.Errorf("calling off the former operation ended the new link: %v", err)
	}
	w.settled(old.SubjectID, mail.Outcome{State: mail.Failed, Code: mail.CodeRefused})
	wantCode(t, retry(old), outbox.CodeNotRetryable)
	if err := retry(fresh.Operation); err != nil || w.reload(old.SubjectID).Status != Queued {
		t.Errorf("got %v", err)
	}
	w.settled(old.SubjectID, mail.Outcome{State: mail.Failed, Code: mail.CodeRefused})
	w.db.Clock().Advance(31 * day)
	wantCode(t, retry(fresh.Operation), outbox.CodeNotRetryable)
	wantCode(t, retry(&outbox.Job{SubjectID: "inv_none", Payload: "{}"}), outbox.CodeNotRetryable)
}

func TestWaitAndAskForNewLink(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{})
	i := w.sent("lara@studio.example")
	wait := func() {
		t.Helper()
		w.held(i.ID, func(ctx context.Context, tx *database.Tx, i *Invitation) error {
			return w.Wait(ctx, tx, access.Anonymous("en", ""), i)
		})
	}
	w.db.Clock().Advance(20 * day)
	wait()
	waiting := w.reload(i.ID)
	if waiting.WaitingSince == nil || !waiting.ExpiresAt.Equal(waiting.WaitingSince.Add(90*day)) || w.jobs(i.ID, Look{}.Kind()) != 1 {
		t.Errorf("got %+v", waiting)
	}
	w.db.Clock().Advance(day)
	wait() // once
	if got := w.reload(i.ID); !got.ExpiresAt.Equal(waiting.ExpiresAt) || got.Version != waiting.Version {
		t.Errorf("got %+v", got)
	}
	w.later(91 * day)
	if got := w.reload(i.ID); got.Status != Expired {
		t.Errorf("got %s", got.Status)
	}
	ask := func() {
		t.Helper()
		w.held(i.ID, func(ctx context.Context, tx *database.Tx, i *Invitation) error {
			return w.AskForNewLink(ctx, tx, access.Anonymous("en", ""), i)
		})
	}
	count := func() int { return strings.Count(w.mails(i.ID), "new_link_requested") }
	ask()
	ask()
	w.db.Clock().Advance(23 * time.Hour)
	ask()
	if n := count(); n != 1 {
		t.Errorf("%d mails within a day", n)
	}
	w.db.Clock().Advance(time.Hour)
	ask()
	if n := count(); n != 2 || !strings.Contains(w.audited(i.ID), "new_link_requested new_link_requested") {
		t.Errorf("%d mails, audit %s", n, w.audited(i.ID))
	}
}

func TestListAndReceived(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{})
	for _, to := range []string{"c@studio.example", "a@studio.example", "b@studio.example", "gina@rhine.example"} {
		w.invite(to)
		w.db.Clock().Advance(time.Second)
	}
	names := func(a access.Actor, args page.Args, o *Order, f Filter) string {
		t.Helper()
		c, err := w.List(t.Context(), a, args, o, f)
		if err != nil {
			return fmt.Sprint(err)
		}
		var out []string
		for _, i := range c.Nodes() {
			out = append(out, i.Recipient[:1])
		}
		return strings.Join(out, "")
	}
	for name, c := range map[string][2]string{
		"newest first":         {names(w.agent, page.Args{}, nil, Filter{}), "gbac"},
		"oldest first":         {names(w.agent, page.Args{}, &Order{ByCreated, page.Asc}, Filter{}), "cabg"},
		"by address":           {names(w.agent, page.Args{}, &Order{Field: ByRecipient}, Filter{}), "abcg"},
		"last two":             {names(w.agent, page.Args{Last: ptr(2)}, &Order{ByRecipient, page.Asc}, Filter{}), "cg"},
		"search":               {names(w.agent, page.Args{}, nil, Filter{Search: ptr("B@Stu")}), "b"},
		"status":               {names(w.agent, page.Args{}, nil, Filter{Status: []Status{Sent, Expired}}), ""},
		"statuses":             {names(w.agent, page.Args{}, nil, Filter{Status: []Status{Queued}}), "gbac"},
		"the operator's":       {names(w.chief, page.Args{}, nil, Filter{}), "gbac"},
		"another provider's":   {names(w.other, page.Args{}, nil, Filter{}), ""},
		"without the role":     {names(w.helpdesk, page.Args{}, nil, Filter{}), "ROLE_REQUIRED :ROLE_REQUIRED"},
		"nobody's":             {names(access.Anonymous("en", ""), page.Args{}, nil, Filter{}), "UNAUTHENTICATED"},
		"a size out of bounds": {names(w.agent, page.Args{First: ptr(101)}, nil, Filter{}), "BAD_USER_INPUT first:PAGE_SIZE"},
	} {
		if c[0] != c[1] {
			t.Errorf("%s: got %q, want %q", name, c[0], c[1])
		}
	}
	got, err := w.Received(t.Context(), w.other, ForPartnership)
	if err != nil || len(got) != 1 || got[0].Recipient != "gina@rhine.example" {
		t.Errorf("received %v, %v", got, err)
	}
	w.db.Clock().Advance(31 * day) // over, though no look came by
	if got, err := w.Received(t.Context(), w.other, ForPartnership); err != nil || len(got) != 0 {
		t.Errorf("received %v, %v", got, err)
	}
	if got, err := w.Received(t.Context(), w.agent, ForPartnership); err != nil || len(got) != 0 {
		t.Errorf("received %v, %v", got, err)
	}
}

func TestLiftSuppression(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{})
	const addr = "gone@studio.example"
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		return w.mailer.Suppress(ctx, tx, addr, "BOUNCED", "msg_x")
	})
	lift := func(a access.Actor, email string) (string, error) {
		return w.LiftSuppression(t.Context(), a, LiftSuppressionInput{Email: email})
	}
	for _, a := range []access.Actor{access.Anonymous("en", ""), w.agent, w.user(w.chief.OrganizationID, "rita@house.example", access.Reviewer)} {
		if _, err := lift(a, addr); fault.KindOf(err) != fault.KindForbidden && fault.KindOf(err) != fault.KindUnauthenticated {
			t.Errorf("%v: %v", a.Roles, err)
		}
	}
	if _, err := lift(w.chief, "nobody"); !fault.Is(err, address.CodeEmailInvalid) || strings.Join(fault.As(err).Problems[0].Path, ".") != "input.email" {
		t.Error(err)
	}
	if got, err := lift(w.chief, " Gone@Studio.Example"); err != nil || got != "Gone@studio.example" {
		t.Error(got, err)
	}
	if _, err := lift(w.chief, addr); fault.KindOf(err) != fault.KindNotFound {
		t.Error(err)
	}
	if _, err := w.ask(addr); err != nil {
		t.Error("still refused:", err)
	}
	if got := w.audited("msg_x"); got != "mail.suppression_lifted" {
		t.Errorf("audited %q", got)
	}
}
