package enrollment

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
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
	"github.com/channelgraph/channelgraph/internal/mailbox"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/internal/partner"
	"github.com/channelgraph/channelgraph/internal/register"
	"github.com/channelgraph/channelgraph/internal/secret"
)

const password = "velvet tractor lagoon 41"

var here = netip.MustParseAddr("192.0.2.7")

// world is the operator's house with a reviewer and an administrator, a
// mailbox that takes every mail, and companies that enroll. Its clock begins
// on a Monday at nine.
type world struct {
	*Service
	t        *testing.T
	box      *mailbox.Mailbox
	handlers map[string]func(context.Context, *outbox.Run) error
	house    *account.Organization
	chief    access.Actor // Operator admin
	rita     access.Actor // reviewer
	rolf     access.Actor // another one
}

func newWorld(t *testing.T, cfg Config) *world {
	t.Helper()
	db := dbtest.New(t)
	db.Clock().Advance(time.Date(2030, 6, 3, 9, 0, 0, 0, time.UTC).Sub(db.Now()))
	keys, err := secret.NewKeys(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	box, err := mailbox.Open(t.TempDir(), db.Now)
	if err != nil {
		t.Fatal(err)
	}
	addr, err := box.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = box.Close() })
	mailer, err := mail.New(db, keys, mail.Config{SMTPURL: addr, From: "center@house.example", PublicURL: "http://localhost:8080", Operator: "House"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(mailer.Close)
	accounts := account.New(db, mailer, keys, account.Config{PublicURL: "http://localhost:8080",
		Hashing: account.Hashing{Memory: 8, Passes: 1, Threads: 1, Slots: 4, Wait: time.Minute}}, nil)
	partners, files, calendars := partner.New(db, accounts, mailer), file.New(db), calendar.New(db, time.UTC)
	registers := register.New(db, accounts, files)
	w := &world{t: t, box: box, Service: New(db, accounts, partners, files, calendars, registers, mailer, keys, cfg, nil)}
	w.handlers = map[string]func(context.Context, *outbox.Run) error{}
	handle(w, w.AnswerStart)
	handle(w, w.SendVerification)
	handle(w, w.Notice)
	handle(w, w.Look)
	handle(w, w.Scan)
	handle(w, w.RunChecks)
	handle(w, calendars.MovePromises)
	handle(w, registers.ImportRegister)
	handle(w, func(ctx context.Context, _ *outbox.Run, a mail.Send) error {
		return mailer.Deliver(ctx, a.MessageID, mail.Hooks{})
	})
	w.tx(func(ctx context.Context, tx *database.Tx) (err error) {
		w.house, err = accounts.Found(ctx, tx, access.System("test"), account.NewOrganization{Kind: access.Operator, Name: "House", Domain: "house.example", Country: "IT"})
		return err
	})
	w.chief = w.user(w.house, "otto@house.example", "Otto", access.OperatorAdmin)
	w.rita = w.user(w.house, "rita@house.example", "Rita", access.Reviewer)
	w.rolf = w.user(w.house, "rolf@house.example", "Rolf", access.Reviewer)
	return w
}

// handle lets the world's worker perform a kind of job.
func handle[A outbox.Args](w *world, fn func(context.Context, *outbox.Run, A) error) {
	var zero A
	w.handlers[zero.Kind()] = func(ctx context.Context, run *outbox.Run) error {
		var a A
		if err := json.Unmarshal([]byte(run.Job.Payload), &a); err != nil {
			return err
		}
		return fn(ctx, run, a)
	}
}

func (w *world) tx(fn func(context.Context, *database.Tx) error) {
	w.t.Helper()
	if err := w.db.InTx(w.t.Context(), fn); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) as(user ident.ID) access.Actor {
	w.t.Helper()
	a, err := access.Load(w.t.Context(), w.db.Read(), access.Presence{UserID: user, SudoUntil: w.db.Now().Add(time.Hour), IPPrefix: "192.0.2.0/24"})
	if err != nil || a.UserID == "" {
		w.t.Fatal(a, err)
	}
	return a
}

func (w *world) user(org *account.Organization, email, first string, roles ...access.Role) access.Actor {
	w.t.Helper()
	var id ident.ID
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		u, _, err := w.accounts.AddUser(ctx, tx, access.System("test"), org, account.NewUser{Email: email, FirstName: first, LastName: "Verdi", Roles: roles, Password: password})
		if err == nil {
			id = u.ID
		}
		return err
	})
	return w.as(id)
}

// work performs all that is due, as relay and workers do, until nothing is.
func (w *world) work() (n int) {
	w.t.Helper()
	for {
		c, err := outbox.Claim(w.t.Context(), w.db, 500)
		if err != nil {
			w.t.Fatal(err)
		}
		if len(c.Jobs) == 0 {
			return n
		}
		for _, h := range c.Jobs {
			run, err := outbox.Begin(w.t.Context(), w.db, h.ID, h.Generation, "test", time.Minute)
			if err != nil {
				w.t.Fatal(err)
			}
			if run == nil {
				continue // expired
			}
			fn := w.handlers[h.Kind]
			if fn == nil {
				w.t.Fatalf("nobody performs %s", h.Kind)
			}
			end := &outbox.Ending{Run: run, Err: fn(w.t.Context(), run)}
			if err := outbox.Finish(w.t.Context(), w.db, []*outbox.Ending{end}); err != nil {
				w.t.Fatal(err)
			}
			n++
		}
	}
}

// pass lets time go by, from one due job to the next.
func (w *world) pass(d time.Duration) {
	w.t.Helper()
	end := w.db.Now().Add(d)
	w.work()
	for {
		var j outbox.Job
		err := w.db.Read().NewSelect().Model(&j).Where("state = 'pending'").Where("due_at <= ?", end).OrderExpr("due_at").Limit(1).Scan(w.t.Context())
		if database.IsNoRows(err) {
			break
		}
		if err != nil {
			w.t.Fatal(err)
		}
		if ahead := j.DueAt.Sub(w.db.Now()); ahead > 0 {
			w.db.Clock().Advance(ahead)
		}
		if w.work() == 0 {
			w.db.Clock().Advance(time.Millisecond)
		}
	}
	if ahead := end.Sub(w.db.Now()); ahead > 0 {
		w.db.Clock().Advance(ahead)
	}
}

// begun opens the account of a company's Global admin by the mailed link, and
// gives the actor and the draft.
func (w *world) begun(slug string, change ...func(*StartInput)) (access.Actor, *Enrollment) {
	w.t.Helper()
	in := StartInput{Email: "gina@" + slug + ".example", FirstName: "Gina", LastName: "Rossi", TenantDomain: slug + ".example", Country: "IT"}
	for _, c := range change {
		c(&in)
	}
	if err := w.Start(w.t.Context(), in, netip.AddrFrom4([4]byte{198, 51, 100, byte(len(slug))})); err != nil {
		w.t.Fatal(err)
	}
	w.work()
	token := w.mailed(in.Email, StartPrefix)
	if err := w.CompleteStart(w.t.Context(), token, CompleteStartInput{Password: password}, here); err != nil {
		w.t.Fatal(err)
	}
	var user ident.ID
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		u, err := w.accounts.ByEmailTx(ctx, tx, strings.ToLower(in.Email))
		if err == nil {
			user = u.ID
		}
		return err
	})
	a := w.as(user)
	e, err := w.Current(w.t.Context(), a)
	if err != nil || e == nil {
		w.t.Fatal(e, err)
	}
	return a, e
}

// filled is what a company fills in; its contact is carla@.
func filled(slug string) Corrections {
	name := strings.ToUpper(slug[:1]) + slug[1:]
	return Corrections{
		Legal: &LegalInput{Name: ptr(name + " S.r.l."), RegistrationID: ptr(""), Website: ptr("https://www." + slug + ".example"),
			Address: &AddressInput{Line1: ptr("Via Roma 1"), City: ptr("Milano"), PostalCode: ptr("20121")}},
		Contact: &ContactInput{FirstName: ptr("Carla"), LastName: ptr("Neri"), Email: ptr("carla@" + slug + ".example"), Phone: ptr("+39 02 1234567")},
		Support: &SupportInput{Email: ptr("help@" + slug + ".example"), Phone: ptr("+39 02 7654321"), Website: ptr("https://help." + slug + ".example")},
	}
}

// drafted is begun with everything filled in.
func (w *world) drafted(slug string) (access.Actor, *Enrollment) {
	w.t.Helper()
	a, e := w.begun(slug)
	e, err := w.Save(w.t.Context(), a, SaveInput{EnrollmentID: e.ID, Corrections: filled(slug)})
	if err != nil {
		w.t.Fatal(err)
	}
	return a, e
}

// submitted is drafted and handed in, with the link on its way.
func (w *world) submitted(slug string) (access.Actor, *Enrollment) {
	w.t.Helper()
	a, e := w.drafted(slug)
	e, op, err := w.Submit(w.t.Context(), a, SubmitInput{EnrollmentID: e.ID})
	if err != nil || op == nil {
		w.t.Fatal(op, err)
	}
	w.work()
	return a, w.reload(e.ID)
}

// inReview is submitted and confirmed by the contact, with the checks run.
func (w *world) inReview(slug string) (access.Actor, *Enrollment) {
	w.t.Helper()
	a, e := w.submitted(slug)
	if err := w.Confirm(w.t.Context(), w.token(e), here); err != nil {
		w.t.Fatal(err)
	}
	w.work()
	return a, w.reload(e.ID)
}

// token is that of the newest link to the contact.
func (w *world) token(e *Enrollment) string { return w.tokenOf(e.ID, e.Generation) }

func (w *world) tokenOf(id ident.ID, generation int) string {
	return w.keys.Capability(VerifyPrefix, VerifyPurpose, id, generation).Reveal()
}

// mailed is the newest token with a prefix that the mailbox holds for an
// address.
func (w *world) mailed(to, prefix string) string {
	w.t.Helper()
	items := w.box.List()
	slices.SortStableFunc(items, func(a, b mailbox.Item) int { return b.Received.Compare(a.Received) })
	for _, i := range items {
		if !strings.EqualFold(i.To[0], to) {
			continue
		}
		for _, word := range strings.Fields(i.Text) {
			if strings.HasPrefix(word, prefix+"_") {
				return word
			}
		}
	}
	w.t.Fatalf("no link %s was mailed to %s", prefix, to)
	return ""
}

func (w *world) reload(id ident.ID) *Enrollment {
	w.t.Helper()
	es, err := byIDs(w.t.Context(), w.db.Read(), access.System("test").Scope(), []ident.ID{id})
	if err != nil || es[id] == nil {
		w.t.Fatal(es, err)
	}
	return es[id]
}

// inbox lists the mails about an enrollment that the mailbox took, as
// "template recipient", oldest first.
func (w *world) inbox(id ident.ID) string {
	w.t.Helper()
	all, err := w.mailer.BySubject(w.t.Context(), []ident.ID{id})
	if err != nil {
		w.t.Fatal(err)
	}
	ms := all[id]
	slices.SortStableFunc(ms, func(a, b *mail.Message) int {
		if c := a.CreatedAt.Compare(b.CreatedAt); c != 0 {
			return c
		}
		return strings.Compare(a.Template+a.Recipient, b.Template+b.Recipient)
	})
	var out []string
	for _, m := range ms {
		line := strings.TrimPrefix(m.Template, "enrollment_") + " " + strings.Split(m.Recipient, "@")[0]
		if m.State != mail.Sent {
			line += " (" + string(m.State) + ")"
		}
		out = append(out, line)
	}
	return strings.Join(out, ", ")
}

// course lists the kinds of the timeline without the mails.
func (w *world) course(id ident.ID) string {
	w.t.Helper()
	all, err := w.Timeline(w.t.Context(), w.chief, []ident.ID{id})
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for _, n := range all[id] {
		if n.Kind != EntryMail {
			out = append(out, string(n.Kind))
		}
	}
	return strings.Join(out, " ")
}

// checks lists where the checks stand.
func (w *world) checks(id ident.ID) string {
	w.t.Helper()
	all, err := w.Checks(w.t.Context(), w.chief, []ident.ID{id})
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for _, c := range all[id] {
		out = append(out, strings.TrimRight(fmt.Sprintf("%s %s %s", c.Kind, c.Status, c.ReasonCode), " "))
	}
	return strings.Join(out, ", ")
}

// audited lists what the audit has of an enrollment; acts of one transaction,
// which have one moment, by their names.
func (w *world) audited(id ident.ID) string {
	w.t.Helper()
	var out []string
	err := w.db.Read().NewSelect().Model((*audit.Event)(nil)).Column("action").Where("target_id = ?", id).OrderExpr("at, action").Scan(w.t.Context(), &out)
	if err != nil {
		w.t.Fatal(err)
	}
	return strings.ReplaceAll(strings.Join(out, " "), "enrollment.", "")
}

// waiting counts the unfinished jobs of a kind about an enrollment.
func (w *world) waiting(id ident.ID, kind string) int {
	w.t.Helper()
	n, err := w.db.Read().NewSelect().Model((*outbox.Job)(nil)).Where("subject_id = ?", id).Where("kind = ?", kind).
		Where("state IN ('pending', 'queued', 'running')").Count(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return int(n)
}

// memberships imports a membership register of one line each.
func (w *world) memberships(lines ...string) {
	w.t.Helper()
	const head = "user_name,password,programme_id,legal_name,country,active,enrolled,registration_id,website,address_line1,city,postal_code,contact_first_name,contact_last_name,contact_email,contact_phone\n"
	f, err := w.files.Upload(w.t.Context(), w.chief, file.UploadInput{Purpose: file.ForImport, Name: "register.csv", Content: []byte(head + strings.Join(lines, "\n") + "\n")})
	if err != nil {
		w.t.Fatal(err)
	}
	i, _, err := w.registers.ImportMemberships(w.t.Context(), w.chief, register.ImportInput{FileID: f.ID})
	if err != nil {
		w.t.Fatal(err)
	}
	w.work()
	n, err := w.db.Read().NewSelect().TableExpr("membership").Where("import_id = ?", i.ID).Count(w.t.Context())
	if err != nil || int(n) != len(lines) {
		w.t.Fatalf("%d memberships were imported, want %d (%v)", n, len(lines), err)
	}
}

func problems(err error) string {
	f := fault.As(err)
	if f == nil {
		return fmt.Sprint(err)
	}
	var all []string
	for _, p := range f.Problems {
		all = append(all, strings.TrimSpace(strings.Join(p.Path[min(1, len(p.Path)):], ".")+" "+p.Code))
	}
	if len(all) == 0 {
		return f.Code
	}
	return strings.Join(all, ", ")
}

func ptr[T any](v T) *T { return &v }

func secretString(s string) secret.String { return secret.String(s) }
