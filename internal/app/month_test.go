package app

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/config"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/database/dbtest"
	"github.com/channelgraph/channelgraph/internal/enrollment"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/mail"
)

// month is a process whose clock the test moves, with an operator and
// companies on their way in.
type month struct {
	*App
	t        *testing.T
	ctx      context.Context
	reviewer access.Actor
	hashed   account.Hashed
	sent     atomic.Int64 // mails that the mail server took, as deliveries tell it
}

func newMonth(t *testing.T) *month {
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
	if err := w.workers.Start(w.ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.workers.Stop(context.WithoutCancel(w.ctx)) })
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

// enroll takes one company as far as its turn asks for, so that every state in
// which something falls due holds as many.
func (w *month) enroll(n int) ident.ID {
	w.t.Helper()
	domain := fmt.Sprintf("c%04d.example", n)
	w.admit(access.IndirectReseller, domain, "gina@"+domain, access.GlobalAdmin, access.AdminAgent)
	a, of := w.as("gina@"+domain), func(s string) *string { return &s }
	e := need[*enrollment.Enrollment](w)(w.enrolled.Begin(w.ctx, a, enrollment.BeginInput{}))
	e = need[*enrollment.Enrollment](w)(w.enrolled.Save(w.ctx, a, enrollment.SaveInput{EnrollmentID: e.ID, Corrections: enrollment.Corrections{
		Legal: &enrollment.LegalInput{Name: of(fmt.Sprintf("Company %04d", n)), Website: of("https://www." + domain),
			Address: &enrollment.AddressInput{Line1: of("Via Roma 1"), City: of("Milano"), PostalCode: of("20121")}},
		Contact: &enrollment.ContactInput{FirstName: of("Carla"), LastName: of("Neri"), Email: of("carla@" + domain), Phone: of("+39 02 1234567")},
		Support: &enrollment.SupportInput{Email: of("help@" + domain), Phone: of("+39 02 7654321"), Website: of("https://help." + domain)},
	}}))
	turn := n % 5
	if turn == 0 {
		return e.ID
	}
	e, _, err := w.enrolled.Submit(w.ctx, a, enrollment.SubmitInput{EnrollmentID: e.ID})
	if err != nil {
		w.t.Fatal(err)
	}
	if turn == 1 {
		return e.ID
	}
	token := w.secrets.Capability(enrollment.VerifyPrefix, enrollment.VerifyPurpose, e.ID, e.Generation)
	if err := w.enrolled.Confirm(w.ctx, token.Reveal(), netip.MustParseAddr("192.0.2.9")); err != nil {
		w.t.Fatal(err)
	}
	return e.ID
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

// A thousand enrollments are in flight, in every state in which something
// falls due, while the clock moves a month: each comes to its end, and each
// mail is written once and taken once.
func TestAThousandEnrollmentsForAMonth(t *testing.T) {
	w := newMonth(t)
	const all, each = 1000, 1000 / 5
	ids := make([]ident.ID, all)
	for n := range all {
		ids[n] = w.enroll(n)
	}
	w.drain()
	for n, id := range ids {
		w.decide(n, id)
	}
	for range 31 * 4 { // reminders lie further apart than one step
		w.drain()
		w.clock.Advance(6 * time.Hour)
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

	// Both the contact and the applicant read each change of state; reminders
	// of the link go to the contact, those of a draft to the applicant, those of
	// a review to the operator.
	want := map[string]int{
		"enrollment_draft_reminder": each, "enrollment_verification": 4 * each, "enrollment_verification_reminder": 2 * each, "enrollment_expired": each + 2*each,
		"enrollment_confirmed": 3 * 2 * each, "enrollment_review_due": each, "enrollment_review_overdue": each,
		"enrollment_action_required": 2 * each, "enrollment_action_reminder": 2 * 2 * each, "enrollment_rejected": 2 * each,
		"enrollment_approved": 2 * each, "enrollment_sign_reminder": 3 * 2 * each,
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
