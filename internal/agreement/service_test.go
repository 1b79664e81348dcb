package agreement

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
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

const password = secret.String("velvet tractor lagoon 41")

// world is the operator and whoever is registered.
type world struct {
	*Service
	t     *testing.T
	chief access.Actor
	house ident.ID
	// activated lists the organizations whose enrollment was told to end.
	activated []ident.ID
	refuse    error
}

func newWorld(t *testing.T) *world {
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
	w := &world{t: t}
	w.Service = New(db, accounts, partner.New(db, accounts, mailer), mailer, func(_ context.Context, tx *database.Tx, _ access.Actor, organization ident.ID) error {
		tx.AfterCommit(func() { w.activated = append(w.activated, organization) })
		return w.refuse
	})
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		house, err := accounts.Found(ctx, tx, access.System("test"), account.NewOrganization{Kind: access.Operator, Name: "House", Domain: "house.example", Country: "IT"})
		if err == nil {
			w.house = house.ID
		}
		return err
	})
	w.chief = w.user(w.house, "otto@house.example", access.OperatorAdmin)
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
	a, err := access.Load(w.t.Context(), w.db.Read(), access.Presence{UserID: user, SudoUntil: w.db.Now().Add(1000 * day), IPPrefix: "192.0.2.0/24"})
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

func (w *world) user(org ident.ID, email string, roles ...access.Role) access.Actor {
	w.t.Helper()
	var id ident.ID
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		orgs, err := w.accounts.OrganizationsTx(ctx, tx, access.System("test"), []ident.ID{org})
		if err != nil {
			return err
		}
		u, _, err := w.accounts.AddUser(ctx, tx, access.System("test"), orgs[org], account.NewUser{Email: email, FirstName: "Ugo", LastName: "Rossi", Roles: roles, Password: password})
		if err == nil {
			id = u.ID
		}
		return err
	})
	return w.as(id)
}

// company registers a partner that has signed 2026-01 on paper, with a Global
// admin gina@<name>.example.
func (w *world) company(name string, change ...func(*partner.RegisterInput)) (p *partner.Partner, a access.Actor) {
	w.t.Helper()
	slug := strings.ToLower(name)
	signed := w.db.Now()
	in := partner.RegisterInput{Kind: access.IndirectReseller, LegalName: name, TenantDomain: slug + ".example", Country: "IT", AgreementSignedAt: &signed,
		AgreementVersion: ptr("2026-01"), Admin: partner.Admin{Email: "gina@" + slug + ".example", FirstName: "Gina", LastName: "Rossi", Locale: ptr("en")}}
	for _, c := range change {
		c(&in)
	}
	if err := in.Validate(signed); err != nil {
		w.t.Fatal(err)
	}
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		r, err := w.partners.RegisterTx(ctx, tx, access.System("test"), in, password)
		if err == nil {
			p, a.UserID = r.Partner, r.Admin.ID
		}
		return err
	})
	return p, w.as(a.UserID)
}

// unsigned leaves the signature away: the partner is approved.
func unsigned(in *partner.RegisterInput) { in.AgreementSignedAt, in.AgreementVersion = nil, nil }

func (w *world) publish(number string, notice time.Duration) *Agreement {
	w.t.Helper()
	a, _, err := w.Publish(w.t.Context(), w.chief, version(number, w.db.Now().Add(notice)))
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

func form(a *Agreement) SignInput {
	return SignInput{AgreementID: a.ID, FirstName: "Gina", LastName: "Rossi", Email: "gina@acme.example", Phone: "+39 06 1234567", Confirmed: true}
}

func (w *world) sign(actor access.Actor, a *Agreement) error {
	_, err := w.Sign(w.t.Context(), actor, form(a))
	return err
}

func (w *world) reload(p *partner.Partner) *partner.Partner {
	w.t.Helper()
	found, err := w.partners.ByIDs(w.t.Context(), w.chief, []ident.ID{p.ID})
	if err != nil || found[p.ID] == nil {
		w.t.Fatal(found, err)
	}
	return found[p.ID]
}

func (w *world) state(p *partner.Partner) State { return StateOf(w.reload(p), w.db.Now()) }

func (w *world) audited(target ident.ID) string {
	w.t.Helper()
	var out []string
	err := w.db.Read().NewSelect().Model((*audit.Event)(nil)).Column("action").Where("target_id = ?", target).OrderExpr("at, action").Scan(w.t.Context(), &out)
	if err != nil {
		w.t.Fatal(err)
	}
	return strings.Join(out, " ")
}

// mails lists the mails about a subject as "template recipient", sorted.
func (w *world) mails(subject ident.ID) string {
	w.t.Helper()
	all, err := w.mailer.BySubject(w.t.Context(), []ident.ID{subject})
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for _, m := range all[subject] {
		days := ""
		if m.Template == "agreement_reminder" {
			days = " " + m.Data["DaysLeft"]
		}
		out = append(out, strings.TrimPrefix(m.Template, "agreement_")+days+" "+strings.TrimSuffix(m.Recipient, ".example"))
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

var tables = []string{"job", "mail_message", "audit_event", "idempotency", "agreement", "agreement_text", "agreement_signature", "agreement_mailing", "event"}

// rows counts the rows of every table that a verb here may write.
func (w *world) rows() string {
	w.t.Helper()
	var out []string
	for _, table := range tables {
		n, err := w.db.Read().NewSelect().TableExpr(table).Count(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		out = append(out, fmt.Sprintf("%s %d", table, n))
	}
	return strings.Join(out, ", ")
}

// work performs what is due of this package, each job by a second worker too,
// until nothing is left.
func (w *world) work() {
	w.t.Helper()
	for {
		handed, err := outbox.Claim(w.t.Context(), w.db, 500)
		if err != nil {
			w.t.Fatal(err)
		}
		if len(handed.Jobs) == 0 {
			return
		}
		for _, h := range handed.Jobs {
			if !strings.HasPrefix(h.Kind, "agreement.") {
				continue // mails leave elsewhere
			}
			run, err := outbox.Begin(w.t.Context(), w.db, h.ID, h.Generation, "test", time.Minute)
			if err != nil || run == nil {
				w.t.Fatal(run, err)
			}
			perform := func() error { return nil }
			switch h.Kind {
			case Look{}.Kind():
				var a Look
				perform = w.job(run, &a, func() error { return w.Look(w.t.Context(), run, a) })
			case Announce{}.Kind():
				var a Announce
				perform = w.job(run, &a, func() error { return w.Announce(w.t.Context(), run, a) })
			case Scan{}.Kind():
				perform = func() error { return w.Scan(w.t.Context(), run, Scan{}) }
			}
			if err := perform(); err != nil || !run.Finished() {
				w.t.Fatal(h.Kind, err, run.Finished())
			}
			if err := perform(); h.Kind != (Announce{}).Kind() && err == nil {
				w.t.Errorf("%s was done twice", h.Kind)
			}
		}
	}
}

func (w *world) job(run *outbox.Run, args any, fn func() error) func() error {
	if err := json.Unmarshal([]byte(run.Job.Payload), args); err != nil {
		w.t.Fatal(err)
	}
	return fn
}

func TestPublish(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.batch = 2
	var want []string
	for i := range 5 {
		p, _ := w.company(fmt.Sprintf("Acme%d", i))
		want = append(want, fmt.Sprintf("published gina@acme%d", i))
		if i == 2 {
			w.user(p.OrganizationID, "zoe@acme2.example", access.GlobalAdmin)
			w.user(p.OrganizationID, "ada@acme2.example", access.AdminAgent)
			want = append(want, "published zoe@acme2")
		}
	}
	w.company("Paper", func(in *partner.RegisterInput) { in.AgreementVersion = ptr("2026-07") }) // signed the new one already
	w.company("Costa", unsigned)
	w.company("Vesuvio", func(in *partner.RegisterInput) { in.Status = ptr(partner.Suspended) })
	rita := w.user(w.house, "rita@house.example", access.Reviewer)
	before := w.rows()
	for name, c := range map[string]struct {
		actor access.Actor
		want  string
	}{
		"nobody":         {access.Anonymous("en", ""), fault.CodeUnauthenticated},
		"a reviewer":     {rita, "ROLE_REQUIRED"},
		"a Global admin": {w.as(w.first("gina@acme0.example")), "ROLE_REQUIRED"},
	} {
		if _, _, err := w.Publish(t.Context(), c.actor, version("2026-07", w.db.Now().Add(30*day))); !fault.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if after := w.rows(); after != before {
		t.Errorf("something was written:\n%s\n%s", before, after)
	}
	in := version("2026-07", w.db.Now().Add(30*day))
	in.IdempotencyKey = ptr("k")
	a, op, err := w.Publish(t.Context(), w.chief, in)
	if err != nil || !op.Listed || a.ContentHash == "" || a.NextActionAt == nil {
		t.Fatal(a, op, err)
	}
	again, same, err := w.Publish(t.Context(), w.chief, in)
	if err != nil || again.ID != a.ID || same.ID != op.ID {
		t.Errorf("the same key: %+v, %v", again, err)
	}
	if _, _, err := w.Publish(t.Context(), w.chief, version("2026-07", w.db.Now().Add(40*day))); problems(err) != "number AGREEMENT_NUMBER_TAKEN" {
		t.Errorf("the same number: %v", err)
	}
	w.work()
	w.work()
	slices.Sort(want)
	if got := w.mails(a.ID); got != strings.Join(want, ", ") {
		t.Errorf("mails: %s", got)
	}
	if got := w.audited(a.ID); got != "agreement.published" {
		t.Errorf("audit: %s", got)
	}
	texts, err := w.TextsOf(t.Context(), w.chief, []ident.ID{a.ID})
	if err != nil || len(texts[a.ID]) != 2 || Hash(texts[a.ID]) != a.ContentHash {
		t.Errorf("what is kept has another digest: %+v, %v", texts, err)
	}
}

func (w *world) first(email string) (id ident.ID) {
	w.t.Helper()
	if err := w.db.Read().NewSelect().TableExpr("user_account").ColumnExpr("id").Where("email = ?", email).Scan(w.t.Context(), &id); err != nil {
		w.t.Fatal(err)
	}
	return id
}

// The course of a new version: asked, reminded 14, 3 and 0 days before, and
// out of business from the date on until signed.
func TestReminders(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme, gina := w.company("Acme")
	beta, rosa := w.company("Beta")
	a := w.publish("2026-07", 30*day)
	w.work()
	if w.state(acme) != Due || !w.reload(acme).AgreementSigned(w.db.Now()) {
		t.Errorf("Acme is %s", w.state(acme))
	}
	want := "published gina@acme, published gina@beta"
	for _, step := range []struct {
		advance time.Duration
		more    string
	}{{16*day - time.Minute, ""}, {time.Minute, "reminder 14 gina@acme, reminder 14 gina@beta"}, {5 * day, ""}} {
		w.db.Clock().Advance(step.advance)
		w.work()
		if step.more != "" {
			want += ", " + step.more
		}
		if got := w.mails(a.ID); got != want {
			t.Errorf("got %s\nwant %s", got, want)
		}
	}
	if err := w.sign(rosa, a); err != nil {
		t.Fatal(err)
	}
	w.db.Clock().Advance(6 * day) // three days before
	w.work()
	w.db.Clock().Advance(3*day - time.Minute)
	w.work()
	if w.state(acme) != Due || w.state(beta) != Signed {
		t.Errorf("a minute before: %s, %s", w.state(acme), w.state(beta))
	}
	w.db.Clock().Advance(time.Minute)
	w.work()
	if got := w.mails(a.ID); got != "published gina@acme, published gina@beta, reminder 0 gina@acme, reminder 14 gina@acme, reminder 14 gina@beta, reminder 3 gina@acme" {
		t.Errorf("got %s", got)
	}
	p := w.reload(acme)
	if w.state(acme) != Overdue || p.AgreementSigned(w.db.Now()) || !p.IsActive() {
		t.Errorf("Acme is %s, %+v", w.state(acme), p)
	}
	w.db.Clock().Advance(100 * day)
	w.work()
	if err := w.sign(gina, a); err != nil {
		t.Fatal(err)
	}
	if p := w.reload(acme); w.state(acme) != Signed || p.AgreementVersion != "2026-07" || !p.AgreementSigned(w.db.Now()) {
		t.Errorf("Acme is %s, %+v", w.state(acme), p)
	}
}

// Whoever sleeps through reminders gets the last one only; timers that are
// lost are found by the scan.
func TestLateAndLostTimers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.company("Acme")
	a := w.publish("2026-07", 30*day)
	w.db.Clock().Advance(28 * day)
	w.work()
	if got := w.mails(a.ID); got != "published gina@acme, reminder 3 gina@acme" {
		t.Errorf("got %s", got)
	}
	if _, err := w.db.Bun().ExecContext(t.Context(), "DELETE FROM job WHERE kind = ?", Look{}.Kind()); err != nil {
		t.Fatal(err)
	}
	w.db.Clock().Advance(3 * day)
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		_, err := outbox.Put(ctx, tx, Scan{})
		return err
	})
	w.work()
	if got := w.mails(a.ID); got != "published gina@acme, reminder 0 gina@acme, reminder 3 gina@acme" {
		t.Errorf("got %s", got)
	}
}

// A newer version calls off the reminders of the former one. Who had time left
// gets the new date; whose time had run out stays out of business.
func TestTwoVersions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	slow, sofia := w.company("Slow")
	old := w.publish("2026-07", 30*day)
	w.work()
	w.db.Clock().Advance(31 * day)
	w.work()
	late, luca := w.company("Late") // comes with a signature under 2026-01, and too late
	fresh, frida := w.company("Fresh", func(in *partner.RegisterInput) { in.AgreementVersion = ptr("2026-07") })
	if w.state(slow) != Overdue || w.state(late) != Overdue || w.state(fresh) != Signed {
		t.Fatalf("%s, %s, %s", w.state(slow), w.state(late), w.state(fresh))
	}
	next := w.publish("2026-09", 20*day)
	w.work()
	if w.state(slow) != Overdue || w.state(fresh) != Due {
		t.Errorf("%s, %s", w.state(slow), w.state(fresh))
	}
	newer := w.publish("2026-10", 40*day)
	w.db.Clock().Advance(25 * day)
	w.work()
	if w.state(fresh) != Due {
		t.Errorf("the former date counts: %s", w.state(fresh))
	}
	if got := w.mails(next.ID); strings.Contains(got, "reminder") || !strings.Contains(got, "published gina@slow") {
		t.Errorf("got %s", got)
	}
	for _, stale := range []*Agreement{old, next} {
		if err := w.sign(frida, stale); problems(err) != "agreementId CONFLICT" {
			t.Errorf("a stale version: %v", err)
		}
	}
	for _, actor := range []access.Actor{sofia, luca, frida} {
		if err := w.sign(actor, newer); err != nil {
			t.Error(err)
		}
		if err := w.sign(actor, newer); problems(err) != "agreementId ALREADY_SIGNED" {
			t.Errorf("got %v", err)
		}
	}
	for _, p := range []*partner.Partner{slow, late, fresh} {
		if w.state(p) != Signed {
			t.Errorf("%s is %s", p.LegalName, w.state(p))
		}
	}
}

// Every role × signing; only a Global admin in person, freshly signed in, may.
func TestDueAtEveryRole(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p, gina := w.company("Acme", unsigned)
	w.user(p.OrganizationID, "zoe@acme.example", access.GlobalAdmin)
	a := w.publish("2026-07", 30*day)
	for _, role := range access.Roles {
		org := p.OrganizationID
		if role == access.GlobalAdmin {
			continue
		}
		if role == access.OperatorAdmin || role == access.Reviewer {
			org = w.house
		} else if !slices.Contains(access.RolesOf(access.IndirectReseller), role) {
			continue
		}
		who := w.user(org, strings.ToLower(string(role[:3]))+string(role[len(role)-2:])+"@test.example", role)
		before := w.rows()
		if err := w.sign(who, a); !fault.Is(err, fault.CodeRoleRequired) || w.rows() != before {
			t.Errorf("%s: %v", role, err)
		}
	}
	stale := gina
	stale.SudoUntil = w.db.Now().Add(-time.Second)
	token := gina
	token.TokenID = "tok_1"
	customer, applicant := w.customer(), w.applicant()
	for name, c := range map[string]struct {
		actor access.Actor
		in    SignInput
		want  string
	}{
		"nobody":             {access.Anonymous("en", ""), form(a), fault.CodeUnauthenticated},
		"signed in long ago": {stale, form(a), fault.CodeSudoRequired},
		"a token":            {token, form(a), "SCOPE_REQUIRED"},
		"a customer":         {customer, form(a), fault.CodeRoleRequired},
		"not confirmed":      {gina, SignInput{AgreementID: a.ID}, "firstName REQUIRED, lastName REQUIRED, email REQUIRED, phone REQUIRED, confirmed AGREEMENT_NOT_CONFIRMED"},
		"an unknown version": {gina, form(&Agreement{ID: "agr_none"}), "agreementId NOT_FOUND"},
		"an applicant":       {applicant, form(a), "NOT_APPROVED"},
	} {
		before := w.rows()
		_, err := w.Sign(t.Context(), c.actor, c.in)
		if got := problems(err); got != c.want && !fault.Is(err, c.want) {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
		if after := w.rows(); after != before {
			t.Errorf("%s: something was written:\n%s\n%s", name, before, after)
		}
	}
	in := form(a)
	in.IdempotencyKey = ptr("k")
	sig, err := w.Sign(t.Context(), gina, in)
	if err != nil {
		t.Fatal(err)
	}
	if sig.Number != "2026-07" || sig.ContentHash != a.ContentHash || sig.Region != "EUROPE" || sig.Name() != "Gina Rossi" || sig.Email != "gina@acme.example" ||
		sig.Phone != "+39 06 1234567" || sig.SignedByID != gina.UserID || sig.IPPrefix != "192.0.2.0/24" || sig.PartnerID != p.ID {
		t.Errorf("got %+v", sig)
	}
	if again, err := w.Sign(t.Context(), gina, in); err != nil || again.ID != sig.ID {
		t.Errorf("the same key: %+v, %v", again, err)
	}
	got := w.reload(p)
	if got.Status != partner.Active || got.ActivatedAt == nil || got.AgreementVersion != "2026-07" || !slices.Equal(w.activated, []ident.ID{p.OrganizationID}) {
		t.Errorf("got %+v, %v", got, w.activated)
	}
	if m := w.mails(sig.ID); m != "signed gina@acme, signed zoe@acme" {
		t.Errorf("mails: %s", m)
	}
	if w.audited(sig.ID) != "agreement.signed" || !strings.Contains(w.audited(p.ID), "partner.activated") {
		t.Errorf("audit: %s; %s", w.audited(sig.ID), w.audited(p.ID))
	}
}

func (w *world) customer() access.Actor { return w.founded(access.Customer, "buyer.example") }

func (w *world) applicant() access.Actor {
	return w.founded(access.IndirectReseller, "newcomer.example")
}

func (w *world) founded(k access.Kind, domain string) access.Actor {
	w.t.Helper()
	var org *account.Organization
	w.tx(func(ctx context.Context, tx *database.Tx) (err error) {
		org, err = w.accounts.Found(ctx, tx, access.System("test"), account.NewOrganization{Kind: k, Name: domain, Domain: domain, Country: "IT"})
		return err
	})
	return w.user(org.ID, "a@"+domain, access.GlobalAdmin)
}

// What a signature makes of a partner in each status.
func TestSignInEveryStatus(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		from partner.Status
		to   partner.Status
		want string
	}{
		{partner.Applying, partner.Applying, partner.CodeStatusForbids}, {partner.Approved, partner.Active, ""}, {partner.Active, partner.Active, ""},
		{partner.Suspended, partner.Suspended, ""}, {partner.Closed, partner.Closed, partner.CodeStatusForbids},
	} {
		t.Run(string(c.from), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			p, gina := w.company("Acme", unsigned)
			if _, err := w.db.Bun().ExecContext(t.Context(), "UPDATE partner SET status = ? WHERE id = ?", c.from, p.ID); err != nil {
				t.Fatal(err)
			}
			err := w.sign(gina, w.publish("2026-07", 30*day))
			if c.want != "" && !fault.Is(err, c.want) || c.want == "" && err != nil {
				t.Errorf("got %v", err)
			}
			got := w.reload(p)
			if got.Status != c.to || (got.AgreementSignedAt != nil) != (c.want == "") || (len(w.activated) == 1) != (c.from == partner.Approved) {
				t.Errorf("got %+v, %v", got, w.activated)
			}
		})
	}
}

// Signature, activation and enrollment are one: where the last refuses,
// nothing has happened.
func TestSignIsOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p, gina := w.company("Acme", unsigned)
	a := w.publish("2026-07", 30*day)
	before := w.rows()
	w.refuse = errors.New("no")
	if err := w.sign(gina, a); !errors.Is(err, w.refuse) {
		t.Errorf("got %v", err)
	}
	if w.rows() != before || w.state(p) != Unsigned || w.reload(p).Status != partner.Approved {
		t.Errorf("something was written: %s, %s", w.rows(), w.state(p))
	}
}

func TestTwoSignAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p, gina := w.company("Acme", unsigned)
	zoe := w.user(p.OrganizationID, "zoe@acme.example", access.GlobalAdmin)
	a := w.publish("2026-07", 30*day)
	errs := make([]error, 6)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() { errs[i] = w.sign([]access.Actor{gina, zoe}[i%2], a) })
	}
	all.Wait()
	made := 0
	for _, err := range errs {
		switch {
		case err == nil:
			made++
		case !fault.Is(err, CodeAlreadySigned):
			t.Errorf("got %v", err)
		}
	}
	if made != 1 || len(w.activated) != 1 {
		t.Errorf("%d signatures, %d activations", made, len(w.activated))
	}
}

// Publishing and signing at the same moment: a company has signed the newest
// version, or is asked for it; never is it thought signed by an older one.
func TestPublishAndSignAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.publish("2026-06", 30*day)
	var ps []*partner.Partner
	var ginas []access.Actor
	for i := range 4 {
		p, gina := w.company(fmt.Sprintf("Acme%d", i))
		ps, ginas = append(ps, p), append(ginas, gina)
	}
	var all sync.WaitGroup
	errs := make([]error, len(ps))
	for i := range ps {
		all.Go(func() { errs[i] = w.sign(ginas[i], first) })
	}
	for _, n := range []string{"2026-07", "2026-08"} {
		all.Go(func() { w.publish(n, 30*day) })
	}
	all.Wait()
	list, err := w.List(t.Context(), w.chief, page.Args{}, Filter{})
	if err != nil || len(list.Edges) != 3 || list.Edges[2].Node.ID != first.ID {
		t.Fatal(list, err)
	}
	for i, p := range ps {
		if errs[i] != nil && !fault.Is(errs[i], fault.CodeConflict) {
			t.Error(errs[i])
		}
		if got := w.reload(p); w.state(p) != Due || !got.AgreementDueAt.Equal(list.Edges[0].Node.DueAt) {
			t.Errorf("%s after %v: %+v", w.state(p), errs[i], got)
		}
	}
	timers, err := w.db.Read().NewSelect().TableExpr("agreement").Where("next_action_at IS NOT NULL").Count(t.Context())
	if err != nil || timers != 1 {
		t.Errorf("%d versions remind, %v", timers, err)
	}
}

// Versions are for everybody with the permission, signatures for their own
// company and the operator.
func TestLists(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme, gina := w.company("Acme")
	_, rosa := w.company("Beta")
	one := w.publish("2026-06", 30*day)
	if err := errors.Join(w.sign(gina, one), w.sign(rosa, one)); err != nil {
		t.Fatal(err)
	}
	w.db.Clock().Advance(time.Hour)
	two := w.publish("2026-07", 30*day)
	if err := w.sign(gina, two); err != nil {
		t.Fatal(err)
	}
	billing := w.user(acme.OrganizationID, "b@acme.example", access.BillingAdmin)
	for name, c := range map[string]struct {
		actor             access.Actor
		filter            SignatureFilter
		want              int
		code              string
		withoutPermission bool
	}{
		"operator":              {w.chief, SignatureFilter{}, 3, "", false},
		"operator, one version": {w.chief, SignatureFilter{AgreementID: &one.ID}, 2, "", false},
		"operator, one partner": {w.chief, SignatureFilter{PartnerID: &acme.ID}, 2, "", false},
		"own":                   {gina, SignatureFilter{}, 2, "", false},
		"Admin agent":           {w.user(acme.OrganizationID, "a@acme.example", access.AdminAgent), SignatureFilter{}, 2, "", false},
		"another's":             {rosa, SignatureFilter{PartnerID: &acme.ID}, 0, "", false},
		"Billing admin":         {billing, SignatureFilter{}, 0, fault.CodeRoleRequired, true},
		"an applicant":          {w.applicant(), SignatureFilter{}, 0, "", false},
		"nobody":                {access.Anonymous("en", ""), SignatureFilter{}, 0, fault.CodeUnauthenticated, true},
	} {
		l, err := w.ListSignatures(t.Context(), c.actor, page.Args{}, c.filter)
		if c.code != "" && !fault.Is(err, c.code) || c.code == "" && (err != nil || len(l.Edges) != c.want) {
			t.Errorf("%s lists %+v, %v", name, l, err)
		}
		v, err := w.List(t.Context(), c.actor, page.Args{First: ptr(1)}, Filter{})
		if c.withoutPermission != (err != nil) || err == nil && (len(v.Edges) != 1 || v.Edges[0].Node.ID != two.ID) {
			t.Errorf("%s reads versions %+v, %v", name, v, err)
		}
		byID, err := w.ByIDs(t.Context(), c.actor, []ident.ID{one.ID, two.ID, "agr_none"})
		if err != nil || (len(byID) == 2) == c.withoutPermission {
			t.Errorf("%s reads %v, %v", name, byID, err)
		}
	}
	all, err := w.ListSignatures(t.Context(), w.chief, page.Args{}, SignatureFilter{})
	if err != nil {
		t.Fatal(err)
	}
	var ids []ident.ID
	for _, s := range all.Nodes() {
		ids = append(ids, s.ID)
	}
	if found, err := w.SignaturesByIDs(t.Context(), rosa, ids); err != nil || len(found) != 1 {
		t.Errorf("Beta reads %v, %v", found, err)
	}
}

func TestStatus(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme, gina := w.company("Acme")
	beta, _ := w.company("Beta", unsigned)
	ada := w.user(acme.OrganizationID, "ada@acme.example", access.AdminAgent)
	status := func(a access.Actor, id *ident.ID) *Status {
		t.Helper()
		s, err := w.Status(t.Context(), a, id)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if s := status(gina, nil); s.State != Signed || s.Newest != nil || s.SignedNumber != "2026-01" || s.Signature != nil {
		t.Errorf("before the first version: %+v", s)
	}
	a := w.publish("2026-07", 30*day)
	if s := status(gina, nil); s.State != Due || !s.NeedsSignature || !s.MaySign || s.Blocked || s.DueAt == nil || !s.DueAt.Equal(a.DueAt) || s.Newest.ID != a.ID {
		t.Errorf("got %+v", s)
	}
	if s := status(ada, nil); s.State != Due || s.MaySign {
		t.Errorf("an Admin agent: %+v", s)
	}
	if err := w.sign(gina, a); err != nil {
		t.Fatal(err)
	}
	if s := status(ada, &acme.ID); s.State != Signed || s.NeedsSignature || s.Signature == nil || s.Signature.SignedByID != gina.UserID || s.SignedNumber != "2026-07" {
		t.Errorf("signed: %+v", s)
	}
	if s := status(w.chief, &beta.ID); s.State != Unsigned || !s.Blocked || s.MaySign {
		t.Errorf("for the operator: %+v", s)
	}
	if s := status(w.chief, nil); s != nil {
		t.Errorf("the operator's own: %+v", s)
	}
	if s := status(w.applicant(), nil); s.State != NotAsked || s.Newest == nil || s.NeedsSignature {
		t.Errorf("an applicant: %+v", s)
	}
	for name, c := range map[string]struct {
		actor access.Actor
		id    *ident.ID
		want  string
	}{
		"another's": {gina, &beta.ID, "partnerId NOT_FOUND"}, "nobody's": {gina, ptr(ident.ID("par_none")), "partnerId NOT_FOUND"},
		"none, for the operator": {w.chief, ptr(ident.ID("par_none")), "partnerId NOT_FOUND"}, "nobody": {access.Anonymous("en", ""), nil, "UNAUTHENTICATED"},
	} {
		if _, err := w.Status(t.Context(), c.actor, c.id); problems(err) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// thousand puts 999 more partners beside one, alike but for ids and names, each
// with its Global admin.
func (w *world) thousand(p *partner.Partner, a access.Actor) {
	w.t.Helper()
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		org, u := account.Organization{ID: p.OrganizationID}, account.User{ID: a.UserID}
		if err := errors.Join(tx.NewSelect().Model(&org).WherePK().Scan(ctx), tx.NewSelect().Model(&u).WherePK().Scan(ctx)); err != nil {
			return err
		}
		var (
			orgs     []account.Organization
			users    []account.User
			roles    []account.UserRole
			partners []partner.Partner
		)
		for i := range 999 {
			domain, email := fmt.Sprintf("p%d.example", i), fmt.Sprintf("gina@p%d.example", i)
			o, v, q := org, u, *p
			o.ID, v.ID, q.ID = ident.New(ident.Organization), ident.New(ident.User), ident.New(ident.Partner)
			o.Domain, v.OrganizationID, v.Email, v.EmailFolded = domain, o.ID, email, email
			q.OrganizationID, q.ProgrammeID, q.TenantDomain, q.RegistrableDomain = o.ID, fmt.Sprint(5_000_000+i), domain, domain
			q.LegalName, q.LegalNameFolded = domain, domain
			orgs, users, partners = append(orgs, o), append(users, v), append(partners, q)
			roles = append(roles, account.UserRole{UserID: v.ID, Role: access.GlobalAdmin, GrantedAt: tx.Now})
		}
		for _, rows := range []any{&orgs, &users, &roles, &partners} {
			if _, err := tx.NewInsert().Model(rows).Exec(ctx); err != nil {
				return err
			}
		}
		return nil
	})
}

// A thousand partners are asked to sign: the worker that writes to them dies in
// between and two others take over at the same moment; everybody is written to
// once, and reminded once where still unsigned.
func TestAThousandAreAskedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.thousand(w.company("Acme"))
	a := w.publish("2026-07", 30*day)
	handed, err := outbox.Claim(t.Context(), w.db, 500)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(handed.Jobs, func(h outbox.Handover) bool { return h.Kind == Announce{}.Kind() })
	run, err := outbox.Begin(t.Context(), w.db, handed.Jobs[i].ID, handed.Jobs[i].Generation, "test", time.Minute)
	if err != nil || run == nil {
		t.Fatal(run, err)
	}
	args := Announce{AgreementID: a.ID, Step: StepPublish}
	for range 3 {
		w.tx(func(ctx context.Context, tx *database.Tx) error { return w.announce(ctx, tx, run, args) })
	}
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			if err := w.Announce(t.Context(), run, args); err != nil && !errors.Is(err, outbox.ErrLost) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	tally := func(template string, most int) int {
		t.Helper()
		var rows []struct{ N int }
		err := w.db.Read().NewSelect().Table("mail_message").ColumnExpr("count(*) AS n").Where("subject_id = ? AND template = ?", a.ID, template).
			Group("recipient").Scan(t.Context(), &rows)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			if r.N > most {
				t.Fatalf("%s came %d times", template, r.N)
			}
		}
		return len(rows)
	}
	if got := tally("agreement_published", 1); got != 1000 {
		t.Errorf("%d were asked", got)
	}

	// 499 sign, so to say; the others are reminded 14 days before.
	if _, err := w.db.Bun().NewUpdate().Table("partner").Set("agreement_due_at = NULL").Set("agreement_version = ?", a.Number).
		Where("tenant_domain LIKE 'p%' AND programme_id >= '5000500'").Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.db.Clock().Advance(16 * day)
	w.work()
	if got := tally("agreement_reminder", 1); got != 501 {
		t.Errorf("%d were reminded", got)
	}
	sends, err := w.db.Read().NewSelect().Table("job").Where("kind = ?", mail.Send{}.Kind()).Where("subject_id = ?", a.ID).Count(t.Context())
	if err != nil || sends != 1501 {
		t.Errorf("%d mails are on their way, %v", sends, err)
	}
}
