package app

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/config"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/database/dbtest"
	"github.com/channelgraph/channelgraph/internal/enrollment"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/mail"
	"github.com/channelgraph/channelgraph/internal/outbox"
)

// month is a process whose clock the test moves, with an operator and
// companies on their way in.
type month struct {
	*App
	t        testing.TB
	ctx      context.Context
	reviewer access.Actor
	hashed   account.Hashed
	sent     atomic.Int64 // mails that the mail server took, as deliveries tell it
}

func newMonth(t testing.TB) *month {
	t.Helper()
	w := &month{t: t, ctx: t.Context()}
	cfg, err := config.Load(func(string) string { return "" }, map[string]string{"ADDR": "127.0.0.1:0", "DATA": t.TempDir(), "DATABASE_URL": dbtest.EmptyURL(t),
		"DATABASE_CONNECTIONS": "12", "REDIS_URL": dbtest.RedisURL(), "QUEUE_NAMESPACE": strings.ToLower("month-" + ident.New(ident.Job).Body()),
		"SECRET_KEY": base64.StdEncoding.EncodeToString(make([]byte, 32))})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Demo = true // the clock can be moved; the demo world itself is not filled
	if w.App, err = New(w.ctx, cfg, slog.New(slog.NewTextHandler(io.Discard, nil))); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	told := w.mailer.OnOutcome
	w.mailer.OnOutcome = func(state, code string) {
		if state == string(mail.Sent) {
			w.sent.Add(1)
		}
		told(state, code)
	}
	if w.hashed, err = w.accounts.Hash(w.ctx, "velvet tractor lagoon 41"); err != nil {
		t.Fatal(err)
	}
	org := w.admit(access.Operator, "house.example", "otto@house.example", access.OperatorAdmin)
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		_, _, err := w.accounts.AddUser(ctx, tx, access.System("test"), org, account.NewUser{Email: "rita@house.example", FirstName: "Rita", LastName: "Verdi",
			Roles: []access.Role{access.Reviewer}, Password: "velvet tractor lagoon 41"})
		return err
	})
	w.reviewer = w.as("rita@house.example")
	return w
}

// work starts the workers.
func (w *month) work() {
	w.t.Helper()
	if err := w.workers.Start(w.ctx); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = w.workers.Stop(context.WithoutCancel(w.ctx)) })
}

func (w *month) tx(fn func(context.Context, *database.Tx) error) {
	w.t.Helper()
	if err := w.db.InTx(w.ctx, fn); err != nil {
		w.t.Fatal(err)
	}
}

// admit founds an organization with its first user.
func (w *month) admit(kind access.Kind, domain, email string, roles ...access.Role) (org *account.Organization) {
	w.t.Helper()
	w.tx(func(ctx context.Context, tx *database.Tx) (err error) {
		org, _, err = w.accounts.Admit(ctx, tx, access.System("test"), account.NewOrganization{Kind: kind, Domain: domain, Country: "IT", Locale: "en"},
			account.NewUser{Email: email, FirstName: "Gina", LastName: "Rossi", Locale: "en", Roles: roles}, w.hashed)
		return err
	})
	return org
}

func (w *month) as(email string) access.Actor {
	w.t.Helper()
	var actor access.Actor
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		u, err := w.accounts.ByEmailTx(ctx, tx, email)
		if err == nil {
			actor, err = access.Load(ctx, tx, access.Presence{UserID: u.ID, SudoUntil: tx.Now.Add(time.Hour)})
		}
		return err
	})
	return actor
}

func need[T any](w *month) func(T, error) T {
	return func(v T, err error) T {
		w.t.Helper()
		if err != nil {
			w.t.Fatal(err)
		}
		return v
	}
}

// enroll begins one company's enrollment, and hands it in where its turn asks
// for that: every state in which something falls due is to hold as many.
func (w *month) enroll(n int) ident.ID {
	w.t.Helper()
	domain := fmt.Sprintf("c%04d.example", n)
	w.admit(access.IndirectReseller, domain, "gina@"+domain, access.GlobalAdmin, access.AdminAgent)
	a, of, contact := w.as("gina@"+domain), func(s string) *string { return &s }, "gina@"+domain
	if n%20 < 5 {
		contact = "carla@" + domain
	}
	e := need[*enrollment.Enrollment](w)(w.enrolled.Begin(w.ctx, a, enrollment.BeginInput{}))
	e = need[*enrollment.Enrollment](w)(w.enrolled.Save(w.ctx, a, enrollment.SaveInput{EnrollmentID: e.ID, Corrections: enrollment.Corrections{
		Legal: &enrollment.LegalInput{Name: of(fmt.Sprintf("Company %04d", n)), Website: of("https://www." + domain),
			Address: &enrollment.AddressInput{Line1: of("Via Roma 1"), City: of("Milano"), PostalCode: of("20121")}},
		Contact: &enrollment.ContactInput{FirstName: of("Carla"), LastName: of("Neri"), Email: &contact, Phone: of("+39 02 1234567")},
		Support: &enrollment.SupportInput{Email: of("help@" + domain), Phone: of("+39 02 7654321"), Website: of("https://help." + domain)},
	}}))
	if n%5 > 0 {
		if _, _, err := w.enrolled.Submit(w.ctx, a, enrollment.SubmitInput{EnrollmentID: e.ID}); err != nil {
			w.t.Fatal(err)
		}
	}
	return e.ID
}

// confirm lets the contact say yes where it is an enrollment's turn.
func (w *month) confirm(n int, id ident.ID) {
	w.t.Helper()
	if n%5 < 2 {
		return
	}
	token := w.secrets.Capability(enrollment.VerifyPrefix, enrollment.VerifyPurpose, id, 1)
	if err := w.enrolled.Confirm(w.ctx, token.Reveal(), netip.MustParseAddr("192.0.2.9")); err != nil {
		w.t.Fatal(err)
	}
}

// decide asks, or approves, where it is an enrollment's turn.
func (w *month) decide(n int, id ident.ID) {
	w.t.Helper()
	switch n % 5 {
	case 3:
		need[*enrollment.Enrollment](w)(w.enrolled.Ask(w.ctx, w.reviewer, enrollment.AskInput{EnrollmentID: id, Text: "Which branch?"}))
	case 4:
		need[*enrollment.Enrollment](w)(w.enrolled.DecideCheck(w.ctx, w.reviewer, enrollment.DecideCheckInput{EnrollmentID: id, Check: enrollment.Business, Passed: true}))
		need[*enrollment.Enrollment](w)(w.enrolled.Approve(w.ctx, w.reviewer, enrollment.ApproveInput{EnrollmentID: id}))
	}
}

func (w *month) drain() {
	w.t.Helper()
	if err := w.workers.Drain(w.ctx); err != nil {
		w.t.Fatal(err)
	}
}

// twins puts enrollments beside one that came here by the verbs, alike but for
// ids, numbers and addresses, with its timer: what the month asks for is that
// many, and not how each came.
func (w *month) twins(id ident.ID, n int, others []int) {
	w.t.Helper()
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		var e enrollment.Enrollment
		if err := tx.NewSelect().Model(&e).Where("id = ?", id).Scan(ctx); err != nil {
			return err
		}
		number := func(n int) string { return fmt.Sprintf("%04d", n) }
		var copies [][]string
		for _, other := range others {
			copies = append(copies, []string{string(e.OrganizationID), string(ident.New(ident.Organization)), string(e.CreatedByID), string(ident.New(ident.User)),
				string(id), string(ident.New(ident.Enrollment)), "c" + number(n) + ".", "c" + number(other) + ".", "ompany " + number(n), "ompany " + number(other),
				"company" + number(n), "company" + number(other)})
		}
		if err := errors.Join(
			twin[account.Organization](ctx, tx, copies, "id", e.OrganizationID), twin[account.User](ctx, tx, copies, "id", e.CreatedByID),
			twin[account.UserRole](ctx, tx, copies, "user_id", e.CreatedByID), twin[enrollment.Enrollment](ctx, tx, copies, "id", id),
			twin[enrollment.Check](ctx, tx, copies, "enrollment_id", id), twin[enrollment.Entry](ctx, tx, copies, "enrollment_id", id)); err != nil {
			return err
		}
		for _, c := range copies {
			if _, err := outbox.Put(ctx, tx, enrollment.Look{EnrollmentID: ident.ID(c[5])}, outbox.DueAt(e.Agenda[0].At), outbox.About(ident.ID(c[5]))); err != nil {
				return err
			}
		}
		return nil
	})
}

// twin inserts copies of the rows that belong to something, each with its
// words in the place of the first one's.
func twin[T any](ctx context.Context, tx *database.Tx, copies [][]string, column string, of ident.ID) error {
	var rows, out []T
	if err := tx.NewSelect().Model(&rows).Where("? = ?", bun.Ident(column), of).Scan(ctx); err != nil {
		return err
	}
	raw, err := json.Marshal(rows)
	for _, words := range copies {
		var more []T
		err = errors.Join(err, json.Unmarshal([]byte(strings.NewReplacer(words...).Replace(string(raw))), &more))
		out = append(out, more...)
	}
	if err == nil && len(out) > 0 {
		_, err = tx.NewInsert().Model(&out).Exec(ctx)
	}
	return err
}

// raced says whether the race detector watches.
func raced() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// A thousand enrollments are in flight, in every state in which something
// falls due, while the clock moves a month: each comes to its end, and each
// mail is written once and taken once. SQLite under the race detector, which
// looks at its every byte, has two hundred of them.
func TestAThousandEnrollmentsForAMonth(t *testing.T) {
	w := newMonth(t)
	w.work()
	const first = 20
	all := 1000
	if raced() && dbtest.PostgresURL() == "" {
		all = 200
	}
	each := all / 5
	ids := make([]ident.ID, first)
	for n := range first {
		ids[n] = w.enroll(n)
	}
	for _, turn := range []func(int, ident.ID){w.confirm, w.decide} {
		w.drain()
		for n, id := range ids {
			turn(n, id)
		}
	}
	w.drain()
	for n, id := range ids {
		var others []int
		for other := n + first; other < all; other += first {
			others = append(others, other)
		}
		w.twins(id, n, others)
	}
	for range 31 * 2 { // reminders lie further apart than one step
		w.drain()
		w.clock.Advance(12 * time.Hour)
	}
	w.drain()

	var states []struct {
		Status string
		N      int
	}
	err := w.db.Read().NewSelect().Table("enrollment").Column("status").ColumnExpr("count(*) AS n").Group("status").Scan(t.Context(), &states)
	got := map[string]int{}
	for _, s := range states {
		got[s.Status] = s.N
	}
	if want := (map[string]int{"EXPIRED": 2 * each, "IN_REVIEW": each, "REJECTED": each, "APPROVED": each}); err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the enrollments are %v, not %v: %v", got, want, err)
	}

	// The contact reads each change of state, and the applicant too where that is
	// somebody else, as for a quarter of them; reminders of the link go to the
	// contact, those of a draft to the applicant, those of a review to the
	// operator.
	told := each + each/4
	want := map[string]int{
		"enrollment_draft_reminder": each, "enrollment_verification_reminder": 2 * each, "enrollment_expired": each + told,
		"enrollment_review_due": each, "enrollment_review_overdue": each, "enrollment_action_reminder": 2 * told, "enrollment_rejected": told,
		"enrollment_sign_reminder": 3 * told,
		// what came before the month, written to those who came by the verbs
		"enrollment_verification": first * 4 / 5, "enrollment_confirmed": first / 5 * 3 * 5 / 4, "enrollment_action_required": first / 5 * 5 / 4,
		"enrollment_approved": first / 5 * 5 / 4,
	}
	var mails []struct {
		Template, State string
		N               int
	}
	err = w.db.Read().NewSelect().Table("mail_message").Column("template", "state").ColumnExpr("count(*) AS n").Where("subject_id LIKE 'enr_%'").
		Group("template", "state").Scan(t.Context(), &mails)
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for _, m := range mails {
		total += m.N
		if m.State != string(mail.Sent) || m.N != want[m.Template] {
			t.Errorf("%d mails %s are %s, not %d SENT", m.N, m.Template, m.State, want[m.Template])
		}
		delete(want, m.Template)
	}
	if len(want) > 0 {
		t.Errorf("no mails %v", want)
	}
	if taken := int(w.sent.Load()); taken != total {
		t.Errorf("%d mails were handed over %d times", total, taken)
	}
}
