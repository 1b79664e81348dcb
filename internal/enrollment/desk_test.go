package enrollment

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/audit"
	"github.com/channelgraph/channelgraph/internal/calendar"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/database/dbtest"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/file"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/mail"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/internal/partner"
	"github.com/channelgraph/channelgraph/internal/register"
	"github.com/channelgraph/channelgraph/internal/secret"
)

// house is the operator's house with its reviewers, where applications arrive.
type house struct {
	*Service
	t     *testing.T
	house *account.Organization
	rita  access.Actor // Reviewer
	rolf  access.Actor // Reviewer
	chief access.Actor // Operator admin
	// numbers counts the registration IDs that were given out.
	numbers int
}

func newDesk(t *testing.T) *house {
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
	partners, files := partner.New(db, accounts, mailer), file.New(db)
	s := New(db, accounts, partners, files, calendar.New(db, time.UTC), register.New(db, accounts, files), mailer, keys, Config{LinksAnHour: 100, LinksADay: 100}, nil)
	d := &house{Service: s, t: t}
	d.tx(func(ctx context.Context, tx *database.Tx) (err error) {
		d.house, err = accounts.Found(ctx, tx, access.System("test"), account.NewOrganization{Kind: access.Operator, Name: "House", Domain: "house.example", Country: "IT"})
		return err
	})
	d.rita, d.rolf = d.reviewer("rita@house.example"), d.reviewer("rolf@house.example")
	d.chief = d.reviewer("otto@house.example", access.OperatorAdmin)
	// Monday, so that business days and days of the week are known.
	now := db.Now()
	d.later(time.Duration((8-int(now.Weekday()))%7)*day + 10*time.Hour - now.Sub(now.Truncate(day)))
	return d
}

func (d *house) tx(fn func(context.Context, *database.Tx) error) {
	d.t.Helper()
	if err := d.db.InTx(d.t.Context(), fn); err != nil {
		d.t.Fatal(err)
	}
}

func (d *house) as(user ident.ID) access.Actor {
	d.t.Helper()
	a, err := access.Load(d.t.Context(), d.db.Read(), access.Presence{UserID: user, SudoUntil: d.db.Now().Add(1000 * day)})
	if err != nil || a.IsAnonymous() {
		d.t.Fatal(a, err)
	}
	return a
}

func (d *house) reviewer(email string, roles ...access.Role) access.Actor {
	d.t.Helper()
	if roles == nil {
		roles = []access.Role{access.Reviewer}
	}
	name, _, _ := strings.Cut(email, "@")
	var id ident.ID
	d.tx(func(ctx context.Context, tx *database.Tx) error {
		u, _, err := d.accounts.AddUser(ctx, tx, access.System("test"), d.house, account.NewUser{Email: email,
			FirstName: strings.ToUpper(name[:1]) + name[1:], LastName: "Verdi", Roles: roles, Password: "velvet tractor lagoon 41"})
		if err == nil {
			id = u.ID
		}
		return err
	})
	return d.as(id)
}

// number is a fresh Italian VAT number.
func (d *house) number() string {
	d.numbers++
	n := fmt.Sprintf("%07d100", d.numbers)
	sum := 0
	for i, c := range n {
		v := int(c - '0')
		if i%2 == 1 {
			if v *= 2; v > 9 {
				v -= 9
			}
		}
		sum += v
	}
	return n + fmt.Sprint((10-sum%10)%10)
}

// found makes an organization with a Global admin and a draft.
func (d *house) found(name string, change ...func(*partner.Profile)) (*Enrollment, access.Actor) {
	d.t.Helper()
	slug := strings.ToLower(strings.ReplaceAll(name, " ", "-"))
	p := partner.Profile{LegalName: name, RegistrationID: d.number(),
		Address: partner.Address{Line1: "Via Roma 1", City: "Torino", PostalCode: "10121", Country: "IT"},
		Contact: partner.Contact{FirstName: "Giulia", LastName: "Bianchi", Email: "giulia@" + slug + ".example", Phone: "+39 011 555123"},
		Support: partner.Support{Email: "help@" + slug + ".example", Phone: "+39 011 555124", Website: "https://" + slug + ".example"}}
	for _, c := range change {
		c(&p)
	}
	hashed, err := d.accounts.Hash(d.t.Context(), "velvet tractor lagoon 41")
	if err != nil {
		d.t.Fatal(err)
	}
	var e *Enrollment
	var actor access.Actor
	d.tx(func(ctx context.Context, tx *database.Tx) error {
		org, user, err := d.accounts.Admit(ctx, tx, access.System("test"), account.NewOrganization{Kind: access.IndirectReseller, Domain: slug + ".example", Country: "IT", Locale: "en"},
			account.NewUser{Email: "gina@" + slug + ".example", FirstName: "Gina", LastName: "Rossi", Locale: "it", Roles: []access.Role{access.GlobalAdmin, access.AdminAgent}}, hashed)
		if err != nil {
			return err
		}
		if actor, err = access.Load(ctx, tx, access.Presence{UserID: user.ID}); err != nil {
			return err
		}
		e, err = d.draft(ctx, tx, actor, org, p)
		return err
	})
	return e, actor
}

// apply hands an enrollment in.
func (d *house) apply(name string, change ...func(*partner.Profile)) (*Enrollment, access.Actor) {
	d.t.Helper()
	e, a := d.found(name, change...)
	e, _, err := d.Submit(d.t.Context(), a, SubmitInput{EnrollmentID: e.ID})
	if err != nil {
		d.t.Fatal(err)
	}
	return e, a
}

func (d *house) token(e *Enrollment) string {
	return d.keys.Capability(VerifyPrefix, VerifyPurpose, e.ID, e.Generation).Reveal()
}

// confirm is the contact's yes, after which the checks are made.
func (d *house) confirm(e *Enrollment) *Enrollment {
	d.t.Helper()
	if err := d.Confirm(d.t.Context(), d.token(d.reload(e.ID)), netip.MustParseAddr("192.0.2.7")); err != nil {
		d.t.Fatal(err)
	}
	d.work()
	return d.reload(e.ID)
}

// reviewed is an enrollment in review.
func (d *house) reviewed(name string, change ...func(*partner.Profile)) (*Enrollment, access.Actor) {
	d.t.Helper()
	e, a := d.apply(name, change...)
	return d.confirm(e), a
}

func (d *house) reload(id ident.ID) *Enrollment {
	d.t.Helper()
	es, err := byIDs(d.t.Context(), d.db.Read(), access.System("test").Scope(), []ident.ID{id})
	if err != nil || es[id] == nil {
		d.t.Fatal(es, err)
	}
	return es[id]
}

// work performs what fell due of checks, looks and moves, twice each, until
// nothing is left, and counts the runs of a kind.
func (d *house) work() map[string]int {
	d.t.Helper()
	done := map[string]int{}
	for range 50 {
		c, err := outbox.Claim(d.t.Context(), d.db, 500)
		if err != nil {
			d.t.Fatal(err)
		}
		if len(c.Jobs) == 0 {
			return done
		}
		for _, h := range c.Jobs {
			if d.perform(h.ID, h.Generation, h.Kind) {
				done[h.Kind]++
			}
		}
	}
	d.t.Fatal("the work has no end")
	return nil
}

func (d *house) perform(id ident.ID, generation int, kind string) bool {
	d.t.Helper()
	ctx := d.t.Context()
	read := func(raw string, v any) {
		if err := json.Unmarshal([]byte(raw), v); err != nil {
			d.t.Fatal(err)
		}
	}
	var do func(run *outbox.Run) error
	switch kind {
	case RunChecks{}.Kind():
		do = func(run *outbox.Run) error {
			var a RunChecks
			read(run.Job.Payload, &a)
			return d.RunChecks(ctx, run, a)
		}
	case Look{}.Kind():
		do = func(run *outbox.Run) error {
			var a Look
			read(run.Job.Payload, &a)
			return d.Look(ctx, run, a)
		}
	case calendar.MovePromises{}.Kind():
		do = func(run *outbox.Run) error {
			var a calendar.MovePromises
			read(run.Job.Payload, &a)
			return d.calendars.MovePromises(ctx, run, a)
		}
	default:
		return false
	}
	run, err := outbox.Begin(ctx, d.db, id, generation, "test", time.Minute)
	if err != nil || run == nil {
		d.t.Fatal(run, err)
	}
	err = do(run)
	if ferr := outbox.Finish(ctx, d.db, []*outbox.Ending{{Run: run, Err: err}}); ferr != nil {
		d.t.Fatal(ferr)
	}
	if err == nil && !run.Finished() {
		d.t.Error(kind + " did not finish with its effect")
	}
	if fault.AsRetry(err) == nil && err != nil {
		d.t.Logf("%s: %v", kind, err)
	}
	return true
}

func (d *house) later(t time.Duration) map[string]int {
	d.t.Helper()
	d.db.Clock().Advance(t)
	return d.work()
}

// mails lists the mails about an enrollment with their recipients, without
// their common beginnings, in order.
func (d *house) mails(id ident.ID) string {
	d.t.Helper()
	all, err := d.mailer.BySubject(d.t.Context(), []ident.ID{id})
	if err != nil {
		d.t.Fatal(err)
	}
	var out []string
	for _, m := range all[id] {
		to, _, _ := strings.Cut(m.Recipient, "@")
		out = append(out, strings.TrimPrefix(m.Template, "enrollment_")+">"+to)
	}
	slices.Sort(out)
	return strings.Join(slices.Compact(out), " ")
}

// fresh lists the mails that came since others.
func fresh(all, before string) string {
	old := strings.Fields(before)
	return strings.Join(slices.DeleteFunc(strings.Fields(all), func(s string) bool { return slices.Contains(old, s) }), " ")
}

func (d *house) audited(id ident.ID) string {
	d.t.Helper()
	var out []string
	err := d.db.Read().NewSelect().Model((*audit.Event)(nil)).Column("action").Where("target_id = ?", id).OrderExpr("at, action").Scan(d.t.Context(), &out)
	if err != nil {
		d.t.Fatal(err)
	}
	return strings.ReplaceAll(strings.Join(out, " "), "enrollment.", "")
}

// timeline tells the kinds of an enrollment's lines as an actor reads them,
// without its mails.
func (d *house) timeline(a access.Actor, id ident.ID) string {
	d.t.Helper()
	all, err := d.Timeline(d.t.Context(), a, []ident.ID{id})
	if err != nil {
		d.t.Fatal(err)
	}
	var out []string
	for _, n := range all[id] {
		if n.Kind != EntryMail {
			out = append(out, string(n.Kind))
		}
	}
	return strings.Join(out, " ")
}

// standing tells where the checks of an enrollment stand.
func (d *house) standing(id ident.ID) string {
	d.t.Helper()
	all, err := checksOf(d.t.Context(), d.db.Read(), []ident.ID{id})
	if err != nil {
		d.t.Fatal(err)
	}
	var out []string
	for _, c := range all[id] {
		out = append(out, fmt.Sprintf("%s %s %s %s", c.Kind, c.Status, c.ReasonCode, c.Awaits))
	}
	return strings.TrimSpace(strings.Join(out, ", "))
}

// decide passes the checks that are open.
func (d *house) decide(a access.Actor, id ident.ID) {
	d.t.Helper()
	all, err := checksOf(d.t.Context(), d.db.Read(), []ident.ID{id})
	if err != nil {
		d.t.Fatal(err)
	}
	for _, c := range all[id] {
		if c.Status != CheckPassed && c.Kind != EmailOwnership {
			if _, err := d.DecideCheck(d.t.Context(), a, DecideCheckInput{EnrollmentID: id, Check: c.Kind, Passed: true, ReasonCode: EvidenceAccepted}); err != nil {
				d.t.Fatal(err)
			}
		}
	}
}

func codes(err error) string {
	f := fault.As(err)
	if f == nil {
		return fmt.Sprint(err)
	}
	if len(f.Problems) == 0 {
		return f.Code
	}
	var out []string
	for _, p := range f.Problems {
		path := p.Path
		if len(path) > 0 {
			path = path[1:]
		}
		out = append(out, strings.TrimSpace(strings.Join(path, ".")+" "+p.Code))
	}
	return strings.Join(out, ", ")
}

func val[T any](v T) *T { return &v }
