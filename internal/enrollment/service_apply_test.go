package enrollment

import (
	"context"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/file"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/outbox"
)

func at(i byte) netip.Addr { return netip.AddrFrom4([4]byte{203, 0, 113, i}) }

func (w *world) rows(table string) int {
	w.t.Helper()
	n, err := w.db.Read().NewSelect().TableExpr(table).Count(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return int(n)
}

// The answer and the work are the same whether the address is somebody's or
// not; only the mail to it tells.
func TestStartTellsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{})
	in := func(email string) StartInput {
		return StartInput{Email: email, FirstName: "Gina", LastName: "Rossi", TenantDomain: "acme.example", Country: "IT"}
	}
	jobs, wishes := w.rows("job"), w.rows("enrollment_start")
	for i, email := range []string{"gina@acme.example", "rita@house.example"} {
		if err := w.Start(t.Context(), in(email), at(byte(i))); err != nil {
			t.Fatal(err)
		}
		if n, m := w.rows("job")-jobs, w.rows("enrollment_start")-wishes; n != i+1 || m != i+1 {
			t.Errorf("%s made %d jobs and %d rows", email, n, m)
		}
	}
	if n := w.rows("mail_message"); n != 0 {
		t.Errorf("%d mails were written in the request", n)
	}
	w.work()
	subjects := map[string]string{}
	for _, i := range w.box.List() {
		subjects[i.To[0]] = i.Subject
	}
	if subjects["rita@house.example"] != "You have an account already" || subjects["gina@acme.example"] != "Inizia l'iscrizione della tua azienda" {
		t.Errorf("mails: %v", subjects)
	}
	if n := w.rows("organization"); n != 1 {
		t.Error("there is an organization before the address is proved")
	}
	// three an hour to one address, silently; ten an hour from one network
	for i := range 4 {
		if err := w.Start(t.Context(), in("gina@acme.example"), at(byte(10+i))); err != nil {
			t.Error(err)
		}
	}
	if n := w.work(); n != 4 { // two wishes, two mails
		t.Errorf("%d jobs for the wishes beyond three", n)
	}
	var err error
	for range 11 {
		err = w.Start(t.Context(), in("x@acme.example"), at(99))
	}
	if fault.KindOf(err) != fault.KindLimited {
		t.Errorf("the network: %v", err)
	}
}

func TestStartLink(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{})
	begin := func(email, domain string) string {
		t.Helper()
		if err := w.Start(t.Context(), StartInput{Email: email, FirstName: "Gina", LastName: "Rossi", TenantDomain: domain, Country: "IT", Locale: "en"}, here); err != nil {
			t.Fatal(err)
		}
		w.work()
		return w.mailed(email, StartPrefix)
	}
	complete := func(token string, p string) error {
		return w.CompleteStart(t.Context(), token, CompleteStartInput{Password: secretString(p)}, here)
	}
	token := begin("gina@acme.example", "ACME.example")
	seen, err := w.PreviewStart(t.Context(), token)
	if err != nil || seen.State != LinkValid || seen.Email != "gina@acme.example" || seen.TenantDomain != "acme.example" || seen.Country != "IT" {
		t.Errorf("the page shows %+v, %v", seen, err)
	}
	for _, bad := range []string{"", "cge_", "cge_" + strings.Repeat("x", 43), "cgv_" + token[4:], strings.Repeat("x", 500)} {
		if seen, err := w.PreviewStart(t.Context(), bad); err != nil || seen.State != LinkUnknown {
			t.Errorf("%q: %+v, %v", bad, seen, err)
		}
		if err := complete(bad, password); !fault.Is(err, fault.CodeNotFound) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	for p, code := range map[string]string{"short": account.CodePasswordTooShort, "passwordpassword": account.CodePasswordCommon, "gina@acme.example": account.CodePasswordSimilar} {
		if err := complete(token, p); !fault.Is(err, code) {
			t.Errorf("%q: %v", p, err)
		}
	}
	// two at the same moment: one account
	var all sync.WaitGroup
	errs := make([]error, 2)
	for i := range errs {
		all.Go(func() { errs[i] = complete(token, password) })
	}
	all.Wait()
	if (errs[0] == nil) == (errs[1] == nil) || !fault.Is(errs[0], account.CodeLinkUsed) && !fault.Is(errs[1], account.CodeLinkUsed) {
		t.Errorf("two at once: %v, %v", errs[0], errs[1])
	}
	if n := w.rows("enrollment"); n != 1 {
		t.Errorf("%d drafts", n)
	}
	if seen, err := w.PreviewStart(t.Context(), token); err != nil || seen.State != LinkUsed || seen.UsedAt == nil || seen.Email != "" {
		t.Errorf("used: %+v, %v", seen, err)
	}
	if _, _, _, err := w.accounts.SignIn(t.Context(), account.SignInInput{Email: "gina@acme.example", Password: password, IP: here}); err != nil {
		t.Errorf("signing in: %v", err)
	}
	// the work account is taken, and a draft would have no home
	other := begin("hugo@acme.example", "acme.example")
	if err := complete(other, password); problems(err) != "tenantDomain DOMAIN_NOT_AVAILABLE" {
		t.Errorf("the same work account: %v", err)
	}
	if seen, err := w.PreviewStart(t.Context(), other); err != nil || seen.State != LinkValid {
		t.Errorf("a refused completion used the link: %+v, %v", seen, err)
	}
	// two wishes of one address: whichever is first makes the account
	one, two := begin("ida@beta.example", "beta.example"), begin("ida@beta.example", "gamma.example")
	if err := complete(one, password); err != nil {
		t.Error(err)
	}
	if err := complete(two, password); problems(err) != "email EMAIL_NOT_AVAILABLE" {
		t.Errorf("the second: %v", err)
	}
	late := begin("jo@delta.example", "delta.example")
	w.pass(72 * time.Hour)
	if err := complete(late, password); !fault.Is(err, account.CodeLinkExpired) {
		t.Errorf("after 72 hours: %v", err)
	}
	if seen, err := w.PreviewStart(t.Context(), late); err != nil || seen.State != LinkExpired {
		t.Errorf("after 72 hours: %+v, %v", seen, err)
	}
	w.db.Clock().Advance(28 * day)
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		_, err := outbox.Put(ctx, tx, Scan{})
		return err
	})
	w.work()
	if n := w.rows("enrollment_start"); n != 0 {
		t.Errorf("%d wishes are kept for ever", n)
	}
}

func TestSaveAndResume(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{})
	a, e := w.begun("acme")
	_, stranger := w.begun("beta")
	save := func(c Corrections) error {
		got, err := w.Save(t.Context(), a, SaveInput{EnrollmentID: e.ID, Corrections: c})
		if err == nil {
			e = got
		}
		return err
	}
	if err := save(Corrections{Legal: &LegalInput{Name: ptr("srl")}, Contact: &ContactInput{Email: ptr("info@gmail.com")}}); err != nil {
		t.Fatalf("what submission refuses can be saved: %v", err)
	}
	version := e.Version
	if err := save(Corrections{Legal: &LegalInput{Name: ptr("srl")}}); err != nil || e.Version != version {
		t.Errorf("nothing changed, and the version is %d, %v", e.Version, err)
	}
	e = w.reload(e.ID) // another day
	codes := map[string]string{}
	for _, p := range e.Problems() {
		codes[strings.Join(p.Path[1:], ".")] = p.Code
	}
	if codes["legal.name"] != "NAME_INVALID" || codes["contact.email"] != "EMAIL_WEBMAIL" || codes["support.email"] != "REQUIRED" {
		t.Errorf("problems: %v", codes)
	}
	if err := save(Corrections{Legal: &LegalInput{Name: ptr("")}}); err != nil || e.Profile.LegalName != "" || e.LegalNameFolded != "" || e.Profile.Contact.Email == "" {
		t.Errorf("cleared: %+v, %v", e.Profile, err)
	}
	if err := save(Corrections{Contact: &ContactInput{Email: ptr("a\x00")}}); problems(err) != "contact.email CONTROL_CHARACTERS" {
		t.Error(err)
	}
	if _, err := w.Save(t.Context(), a, SaveInput{EnrollmentID: e.ID, ExpectedVersion: ptr(1)}); !fault.Is(err, fault.CodeConflict) {
		t.Errorf("another version: %v", err)
	}
	for name, c := range map[string]struct {
		actor access.Actor
		id    ident.ID
		code  string
	}{
		"nobody":         {access.Anonymous("en", ""), e.ID, fault.CodeUnauthenticated},
		"another's":      {a, stranger.ID, fault.CodeNotFound},
		"no id":          {a, "enr_nothing", fault.CodeNotFound},
		"the operator":   {w.chief, e.ID, fault.CodeRoleRequired},
		"a reviewer too": {w.rita, e.ID, fault.CodeRoleRequired},
	} {
		if _, err := w.Save(t.Context(), c.actor, SaveInput{EnrollmentID: c.id}); !fault.Is(err, c.code) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if es, err := w.ByIDs(t.Context(), a, []ident.ID{e.ID, stranger.ID}); err != nil || len(es) != 1 || es[e.ID] == nil {
		t.Errorf("sees %v, %v", es, err)
	}
	if es, err := w.ByIDs(t.Context(), access.Anonymous("en", ""), []ident.ID{e.ID}); err != nil || len(es) != 0 {
		t.Errorf("nobody sees %v, %v", es, err)
	}
	for name, fn := range map[string]func() (int, error){
		"checks":   func() (int, error) { m, err := w.Checks(t.Context(), a, []ident.ID{stranger.ID}); return len(m), err },
		"timeline": func() (int, error) { m, err := w.Timeline(t.Context(), a, []ident.ID{stranger.ID}); return len(m), err },
		"questions": func() (int, error) {
			m, err := w.Questions(t.Context(), a, []ident.ID{stranger.ID})
			return len(m), err
		},
	} {
		if n, err := fn(); n != 0 || err != nil {
			t.Errorf("another's %s: %d, %v", name, n, err)
		}
	}
}

func TestSubmitSaysEverythingAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{})
	a, e := w.begun("acme")
	submit := func() error {
		_, _, err := w.Submit(t.Context(), a, SubmitInput{EnrollmentID: e.ID})
		return err
	}
	if got := problems(submit()); strings.Count(got, "REQUIRED") != 11 {
		t.Errorf("an empty draft: %s", got)
	}
	w.inReview("beta")
	c := filled("acme")
	c.Legal.Name, c.Legal.Address.City, c.Contact.Email, c.Support.Phone = ptr("BETA spa"), ptr(""), ptr("Carla@mail.GMAIL.com"), ptr("12")
	if _, err := w.Save(t.Context(), a, SaveInput{EnrollmentID: e.ID, Corrections: c}); err != nil {
		t.Fatal(err)
	}
	err := submit()
	if got, want := problems(err), "legal.address.city REQUIRED, contact.email EMAIL_WEBMAIL, support.phone PHONE_INVALID, legal.name DUPLICATE"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if strings.Contains(strings.ToLower(fault.As(err).Error()), "beta") {
		t.Error("the answer names the other")
	}
	if got := w.reload(e.ID); got.Status != Draft || got.Profile.Contact.Email != "Carla@mail.GMAIL.com" || w.rows("mail_message") == 0 {
		t.Errorf("a refused submission changed the draft: %+v", got)
	}
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		return w.mailer.Suppress(ctx, tx, "carla@acme.example", "BOUNCED", "")
	})
	if _, err := w.Save(t.Context(), a, SaveInput{EnrollmentID: e.ID, Corrections: filled("acme")}); err != nil {
		t.Fatal(err)
	}
	if got := problems(submit()); got != "contact.email RECIPIENT_SUPPRESSED" {
		t.Errorf("a contact who gets no mail: %s", got)
	}
	// a name that is only in another's draft or unconfirmed is nobody's yet
	b, f := w.drafted("gamma")
	w.submitted("delta")
	c = filled("gamma")
	c.Legal.Name = ptr("Delta")
	if _, err := w.Save(t.Context(), b, SaveInput{EnrollmentID: f.ID, Corrections: c}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.Submit(t.Context(), b, SubmitInput{EnrollmentID: f.ID}); err != nil {
		t.Errorf("squatting a name: %v", err)
	}
}

func TestSubmitOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{})
	a, e := w.drafted("acme")
	in := SubmitInput{EnrollmentID: e.ID, ExpectedVersion: &e.Version, IdempotencyKey: ptr("k-1")}
	first, op, err := w.Submit(t.Context(), a, in)
	if err != nil {
		t.Fatal(err)
	}
	again, same, err := w.Submit(t.Context(), a, in)
	if err != nil || again.ID != first.ID || same == nil || same.ID != op.ID {
		t.Errorf("again: %+v, %+v, %v", again, same, err)
	}
	if _, _, err := w.Submit(t.Context(), a, SubmitInput{EnrollmentID: e.ID, IdempotencyKey: ptr("k-1")}); !fault.Is(err, fault.CodeKeyReused) {
		t.Errorf("the key with another input: %v", err)
	}
	if _, _, err := w.Submit(t.Context(), a, SubmitInput{EnrollmentID: e.ID}); !fault.Is(err, CodeState) {
		t.Errorf("without a key: %v", err)
	}
	b, f := w.drafted("beta")
	var all sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		all.Go(func() { _, _, errs[i] = w.Submit(t.Context(), b, SubmitInput{EnrollmentID: f.ID}) })
	}
	all.Wait()
	good := 0
	for _, err := range errs {
		if err == nil {
			good++
		} else if !fault.Is(err, CodeState) && !fault.Is(err, fault.CodeConflict) {
			t.Error(err)
		}
	}
	w.work()
	if got := w.inbox(f.ID); good != 1 || got != "verification carla" {
		t.Errorf("%d submissions at once passed; mails: %s", good, got)
	}
}

func TestMembership(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{})
	w.memberships(
		"anna,Segreta 2026!,1234567,Acme,IT,yes,no,,,,,,,,,",
		"anna,Segreta 2026!,1234568,Acme Deutschland,DE,yes,no,,,,,,,,,",
		"anna,Segreta 2026!,1234569,Acme Vecchia,IT,no,no,,,,,,,,,",
		"anna,Segreta 2026!,1234570,Acme Holding S.r.l.,IT,yes,yes,IT 00743110157,https://acme.example,Via Roma 1,Milano,20121,Carla,Neri,carla@acme.example,+39 02 1234567",
		"berta,Segreta 2027!,7654321,Beta,IT,yes,no,,,,,,,,,",
	)
	a, e := w.begun("acme")
	prove := func(a access.Actor, e *Enrollment, user, pass string) (string, map[string]ident.ID, error) {
		cs, err := w.ProveMembership(t.Context(), a, ProveMembershipInput{EnrollmentID: e.ID, UserName: user, Password: secretString(pass)})
		var out []string
		ids := map[string]ident.ID{}
		for _, c := range cs {
			ids[c.ProgrammeID] = c.MembershipID
			out = append(out, strings.TrimSpace(c.ProgrammeID+" "+string(c.Reason)))
		}
		return strings.Join(out, ", "), ids, err
	}
	if got, _, err := prove(a, e, "anna", "wrong"); err == nil || got != "" {
		t.Errorf("a wrong password: %s", got)
	}
	got, ids, err := prove(a, e, "Anna", "Segreta 2026!")
	if err != nil || got != "1234567, 1234568 OTHER_COUNTRY, 1234569 PROFILE_INACTIVE, 1234570" {
		t.Fatalf("got %s, %v", got, err)
	}
	choose := func(a access.Actor, e *Enrollment, id *ident.ID) (*Enrollment, error) {
		return w.SelectProgrammeID(t.Context(), a, SelectProgrammeIDInput{EnrollmentID: e.ID, MembershipID: id})
	}
	for id, code := range map[ident.ID]string{ids["1234568"]: "OTHER_COUNTRY", ids["1234569"]: "PROFILE_INACTIVE", "mbr_nothing": CodeMembershipUnknown} {
		if _, err := choose(a, e, &id); problems(err) != "membershipId "+code {
			t.Errorf("%s: %v", id, err)
		}
	}
	if e, err = choose(a, e, ptr(ids["1234567"])); err != nil || e.ProgrammeID != "1234567" || e.AlreadyEnrolled {
		t.Errorf("selected: %+v, %v", e, err)
	}
	if e, err = choose(a, e, nil); err != nil || e.ProgrammeID != "" || e.MembershipID != nil {
		t.Errorf("a new one: %+v, %v", e, err)
	}
	// an enrolled company supplies only its support profile
	if e, err = choose(a, e, ptr(ids["1234570"])); err != nil || !e.AlreadyEnrolled || e.Profile.LegalName != "Acme Holding S.r.l." || e.Profile.Contact.Email != "carla@acme.example" {
		t.Fatalf("enrolled: %+v, %v", e, err)
	}
	for _, p := range e.Problems() {
		if p.Path[1] != "support" {
			t.Errorf("it is asked for %v", p.Path)
		}
	}
	if e, err = w.Save(t.Context(), a, SaveInput{EnrollmentID: e.ID, Corrections: Corrections{Support: filled("acme").Support}}); err != nil || len(e.Problems()) != 0 || !e.AlreadyEnrolled {
		t.Errorf("with support: %+v, %v", e, err)
	}
	if cs, err := w.Choices(t.Context(), a, e.ID); err != nil || len(cs) != 4 {
		t.Errorf("what was proved: %d, %v", len(cs), err)
	}
	// another company proves the same membership; whoever is confirmed first has it
	b, f := w.drafted("beta")
	if _, ids, err = prove(b, f, "anna", "Segreta 2026!"); err != nil {
		t.Fatal(err)
	}
	if _, err := choose(a, e, ptr(ident.ID("mbr_nothing"))); !fault.Is(err, CodeMembershipUnknown) {
		t.Error(err)
	}
	if f, err = choose(b, f, ptr(ids["1234567"])); err != nil {
		t.Fatal(err)
	}
	if _, err := choose(b, f, ptr(ids["1234570"])); err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.Submit(t.Context(), a, SubmitInput{EnrollmentID: e.ID}); err != nil {
		t.Fatal(err)
	}
	w.work()
	if err := w.Confirm(t.Context(), w.token(w.reload(e.ID)), here); err != nil {
		t.Fatal(err)
	}
	w.work()
	if got := w.checks(e.ID); got != "EMAIL_OWNERSHIP PASSED ADDRESS_CONFIRMED, EMPLOYMENT PASSED DOMAIN_MATCH, BUSINESS PASSED MEMBERSHIP_ENROLLED" {
		t.Errorf("an enrolled company: %s", got)
	}
	if got, _, err := prove(b, f, "anna", "Segreta 2026!"); err != nil || got != "1234567, 1234568 OTHER_COUNTRY, 1234569 PROFILE_INACTIVE, 1234570 PROGRAMME_ID_TAKEN" {
		t.Errorf("got %s, %v", got, err)
	}
	if _, err := w.Save(t.Context(), b, SaveInput{EnrollmentID: f.ID, Corrections: filled("beta")}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.Submit(t.Context(), b, SubmitInput{EnrollmentID: f.ID}); problems(err) != "programmeId DUPLICATE" {
		t.Errorf("the programme ID of another: %v", err)
	}
	// what the register vouches for is vouched for as it stands there
	if _, err = choose(b, f, nil); err != nil {
		t.Fatal(err)
	}
	if got, err := w.Approve(t.Context(), w.rita, ApproveInput{EnrollmentID: e.ID}); err != nil || got.ProgrammeID != "1234570" {
		t.Errorf("approved with %+v, %v", got, err)
	}
	if _, err := w.ProveMembership(t.Context(), a, ProveMembershipInput{EnrollmentID: e.ID, UserName: "anna"}); !fault.Is(err, CodeState) {
		t.Errorf("after submission: %v", err)
	}
}

func TestResendKillsTheFormerLink(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{})
	a, e := w.submitted("acme")
	first := w.token(e)
	w.pass(25 * time.Hour) // one reminder
	e, op, err := w.ResendVerification(t.Context(), a, ResendInput{EnrollmentID: e.ID, IdempotencyKey: ptr("again")})
	if err != nil || op == nil || e.Generation != 2 {
		t.Fatal(e, err)
	}
	if again, same, err := w.ResendVerification(t.Context(), a, ResendInput{EnrollmentID: e.ID, IdempotencyKey: ptr("again")}); err != nil || same.ID != op.ID || again.Generation != 2 {
		t.Errorf("again: %v", err)
	}
	w.work()
	if p, err := w.PreviewVerification(t.Context(), first); err != nil || p.State != LinkReplaced || p.Company != "" {
		t.Errorf("the former link: %+v, %v", p, err)
	}
	for name, err := range map[string]error{"confirms": w.Confirm(t.Context(), first, here), "disowns": w.Disown(t.Context(), first, here)} {
		if !fault.Is(err, account.CodeLinkExpired) {
			t.Errorf("the former link %s: %v", name, err)
		}
	}
	w.pass(47 * time.Hour) // a reminder a day after the new link, none of the former's second day
	if got, want := w.inbox(e.ID), "verification carla, verification_reminder carla, verification carla, verification_reminder carla"; got != want {
		t.Errorf("mails: %s, want %s", got, want)
	}
	// three an hour; the fourth waits
	for range 3 {
		if _, _, err = w.ResendVerification(t.Context(), a, ResendInput{EnrollmentID: e.ID}); err != nil {
			t.Error(err)
		}
	}
	if _, _, err = w.ResendVerification(t.Context(), a, ResendInput{EnrollmentID: e.ID}); fault.KindOf(err) != fault.KindLimited {
		t.Errorf("the fourth in an hour: %v", err)
	}
	if w.reload(e.ID).Generation != 5 {
		t.Error("a refused link counts")
	}
	if err := w.Confirm(t.Context(), w.tokenOf(e.ID, 5), here); err != nil {
		t.Error(err)
	}
	if _, _, err = w.ResendVerification(t.Context(), a, ResendInput{EnrollmentID: e.ID}); !fault.Is(err, CodeState) {
		t.Errorf("after the yes: %v", err)
	}
}

func TestAnswersAtTheSameMoment(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{})
	race := func(e *Enrollment, fns ...func(context.Context, string, netip.Addr) error) (good int) {
		t.Helper()
		errs := make([]error, len(fns))
		var all sync.WaitGroup
		for i, fn := range fns {
			all.Go(func() { errs[i] = fn(t.Context(), w.token(e), here) })
		}
		all.Wait()
		for _, err := range errs {
			if err == nil {
				good++
			} else if !fault.Is(err, account.CodeLinkUsed) {
				t.Error(err)
			}
		}
		return good
	}
	_, e := w.submitted("acme")
	if n := race(e, w.Confirm, w.Confirm, w.Confirm, w.Confirm); n != 1 {
		t.Errorf("%d confirmations counted", n)
	}
	w.work()
	if got := w.inbox(e.ID); got != "verification carla, confirmed carla, confirmed gina" {
		t.Errorf("mails: %s", got)
	}
	if got := w.course(e.ID); strings.Count(got, "CONFIRMED") != 1 {
		t.Errorf("timeline: %s", got)
	}
	_, f := w.submitted("beta")
	if n := race(f, w.Confirm, w.Disown); n != 1 {
		t.Errorf("%d of a yes and a no counted", n)
	}
	used := w.reload(f.ID)
	p, err := w.PreviewVerification(t.Context(), w.token(f))
	if want := map[Status]LinkState{InReview: LinkConfirmed, Frozen: LinkDisowned}[used.Status]; err != nil || p.State != want || p.UsedAt == nil {
		t.Errorf("%s: %+v, %v", used.Status, p, err)
	}
	// a yes and a withdrawal
	a, g := w.submitted("gamma")
	errs := make([]error, 2)
	var all sync.WaitGroup
	all.Go(func() { errs[0] = w.Confirm(t.Context(), w.token(g), here) })
	all.Go(func() { _, errs[1] = w.Withdraw(t.Context(), a, WithdrawInput{EnrollmentID: g.ID}) })
	all.Wait()
	if errs[1] != nil || w.reload(g.ID).Status != Withdrawn || errs[0] != nil && !fault.Is(errs[0], account.CodeLinkExpired) {
		t.Errorf("a yes and a withdrawal: %v", errs)
	}
}

func TestThisWasntMe(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{})
	a, e := w.submitted("acme")
	token := w.token(e)
	if err := w.Disown(t.Context(), token, here); err != nil {
		t.Fatal(err)
	}
	w.pass(40 * day)
	e = w.reload(e.ID)
	if e.Status != Frozen || e.Awaits != Operator || e.NextActionAt != nil || e.DisownedAt == nil {
		t.Errorf("frozen: %+v", e)
	}
	// the contact hears no more; the applicant and the reviewers do
	if got, want := w.inbox(e.ID), "verification carla, disowned rita, disowned rolf, frozen gina"; got != want {
		t.Errorf("mails: %s, want %s", got, want)
	}
	if got := w.checks(e.ID); got != "EMAIL_OWNERSHIP FAILED DISOWNED, EMPLOYMENT WAITING, BUSINESS WAITING" {
		t.Errorf("checks: %s", got)
	}
	for name, err := range map[string]error{"a yes": w.Confirm(t.Context(), token, here), "again": w.Disown(t.Context(), token, here)} {
		if !fault.Is(err, account.CodeLinkUsed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := w.Withdraw(t.Context(), a, WithdrawInput{EnrollmentID: e.ID}); !fault.Is(err, CodeState) {
		t.Errorf("the applicant slips away: %v", err)
	}
	if _, err := w.Begin(t.Context(), a, BeginInput{}); !fault.Is(err, CodeOpen) {
		t.Errorf("the applicant begins anew: %v", err)
	}
	// rejected before anybody confirmed: an appeal leads back to the reviewer's desk, and a new link through
	if _, err := w.Reject(t.Context(), w.rita, RejectInput{EnrollmentID: e.ID, ReasonCode: Fraud}); err != nil {
		t.Fatal(err)
	}
	if e, err := w.Appeal(t.Context(), a, AppealInput{EnrollmentID: e.ID, Text: "Carla mistook the mail"}); err != nil || e.Status != Frozen {
		t.Fatal(e, err)
	}
	if _, err := w.Unfreeze(t.Context(), w.rita, UnfreezeInput{EnrollmentID: e.ID}); !fault.Is(err, CodeSameReviewer) {
		t.Errorf("the same reviewer: %v", err)
	}
	if e, err := w.Unfreeze(t.Context(), w.rolf, UnfreezeInput{EnrollmentID: e.ID}); err != nil || e.Status != EmailPending || e.Generation != 2 {
		t.Fatal(e, err)
	}
	w.work()
	if err := w.Confirm(t.Context(), w.tokenOf(e.ID, 2), here); err != nil {
		t.Fatal(err)
	}
	w.work()
	if e = w.reload(e.ID); e.Status != InReview || e.DueAt == nil {
		t.Errorf("after the appeal: %+v", e)
	}
}

func TestWithdrawAndBeginAnew(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{})
	a, e := w.drafted("acme")
	if _, err := w.Begin(t.Context(), a, BeginInput{}); !fault.Is(err, CodeOpen) {
		t.Errorf("a second one: %v", err)
	}
	if _, err := w.Withdraw(t.Context(), a, WithdrawInput{EnrollmentID: e.ID, Reason: ptr("a\x00")}); problems(err) != "reason CONTROL_CHARACTERS" {
		t.Error(err)
	}
	e, err := w.Withdraw(t.Context(), a, WithdrawInput{EnrollmentID: e.ID, Reason: ptr("later")})
	if err != nil || e.Status != Withdrawn || e.ClosedAt == nil || w.waiting(e.ID, Look{}.Kind()) != 0 {
		t.Fatal(e, err)
	}
	w.pass(40 * day)
	if got := w.inbox(e.ID); got != "withdrawn gina" {
		t.Errorf("mails: %s", got)
	}
	// two at once: one draft, with what was filled in
	var all sync.WaitGroup
	errs := make([]error, 2)
	for i := range errs {
		all.Go(func() { _, errs[i] = w.Begin(t.Context(), a, BeginInput{}) })
	}
	all.Wait()
	if (errs[0] == nil) == (errs[1] == nil) {
		t.Errorf("two at once: %v", errs)
	}
	f, err := w.Current(t.Context(), a)
	if err != nil || f.ID == e.ID || f.Status != Draft || f.Profile.LegalName != "Acme S.r.l." || len(f.Problems()) != 0 {
		t.Fatalf("begun: %+v, %v", f, err)
	}
	in := BeginInput{IdempotencyKey: ptr("k")}
	if _, err := w.Begin(t.Context(), a, in); !fault.Is(err, CodeOpen) {
		t.Error(err)
	}
	// in every state but those that are the operator's
	if _, _, err := w.Submit(t.Context(), a, SubmitInput{EnrollmentID: f.ID}); err != nil {
		t.Fatal(err)
	}
	w.work()
	token := w.token(w.reload(f.ID))
	if _, err := w.Withdraw(t.Context(), a, WithdrawInput{EnrollmentID: f.ID}); err != nil {
		t.Fatal(err)
	}
	if p, err := w.PreviewVerification(t.Context(), token); err != nil || p.State != LinkClosed {
		t.Errorf("the link of a withdrawn one: %+v, %v", p, err)
	}
	w.work()
	if got := w.inbox(f.ID); got != "verification carla, withdrawn carla, withdrawn gina" {
		t.Errorf("mails: %s", got)
	}
	g, err := w.Begin(t.Context(), a, in)
	if err != nil {
		t.Fatal(err)
	}
	if same, err := w.Begin(t.Context(), a, in); err != nil || same.ID != g.ID {
		t.Errorf("the same key: %+v, %v", same, err)
	}
	if _, err := w.Withdraw(t.Context(), a, WithdrawInput{EnrollmentID: f.ID}); !fault.Is(err, CodeState) {
		t.Errorf("twice: %v", err)
	}
}

// What the enrolled company is told after a question, and what its answer
// does to checks and clock.
func TestAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{})
	a, e := w.inReview("acme")
	ask := func() {
		t.Helper()
		if _, err := w.Ask(t.Context(), w.rita, AskInput{EnrollmentID: e.ID, Check: ptr(Business), Documents: []DocumentKind{RegistrationExtract}, Text: "Which one?"}); err != nil {
			t.Fatal(err)
		}
	}
	w.pass(2 * day)
	ask()
	if got := w.reload(e.ID); got.Status != ActionRequired || got.DueAt != nil || !got.Clock.Paused() {
		t.Errorf("asked: %+v", got)
	}
	w.pass(10 * day)
	answer := func(in AnswerInput) (*Enrollment, error) {
		in.EnrollmentID = e.ID
		return w.Answer(t.Context(), a, in)
	}
	for name, c := range map[string]struct {
		in   AnswerInput
		want string
	}{
		"nothing":             {AnswerInput{}, "text REQUIRED"},
		"too much":            {AnswerInput{Text: strings.Repeat("x", MaxTextLength+1)}, "text TOO_LONG"},
		"files of nobody":     {AnswerInput{FileIDs: []ident.ID{"fil_nothing"}}, "fileIds.0 NOT_FOUND"},
		"too many files":      {AnswerInput{Text: "x", FileIDs: make([]ident.ID, MaxFiles+1)}, "fileIds TOO_MANY"},
		"a bad correction":    {AnswerInput{Corrections: Corrections{Legal: &LegalInput{RegistrationID: ptr("IT 123")}}}, "legal.registrationId REGISTRATION_ID_INVALID"},
		"another version":     {AnswerInput{Text: "x", ExpectedVersion: ptr(1)}, "expectedVersion CONFLICT"},
		"webmail as contact":  {AnswerInput{Corrections: Corrections{Contact: &ContactInput{Email: ptr("carla@gmail.com")}}}, "contact.email EMAIL_WEBMAIL"},
		"a name that is gone": {AnswerInput{Corrections: Corrections{Legal: &LegalInput{Name: ptr("")}}}, "legal.name REQUIRED"},
	} {
		if _, err := answer(c.in); problems(err) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	pdf, err := w.files.Upload(t.Context(), a, file.UploadInput{Purpose: file.ForEvidence, Name: "visura.pdf", Content: []byte(tinyPDF)})
	if err != nil {
		t.Fatal(err)
	}
	got, err := answer(AnswerInput{Text: "This one", FileIDs: []ident.ID{pdf.ID}, IdempotencyKey: ptr("a-1"), Corrections: Corrections{Legal: &LegalInput{RegistrationID: ptr("IT 00743110157")}}})
	if err != nil || got.Status != InReview || got.Profile.RegistrationID != "IT 00743110157" || got.RegistrationIDFolded != "00743110157" {
		t.Fatal(got, err)
	}
	w.work()
	qs, err := w.Questions(t.Context(), a, []ident.ID{e.ID})
	if err != nil || len(qs[e.ID]) != 1 || qs[e.ID][0].Answer != "This one" || qs[e.ID][0].AnsweredAt == nil || qs[e.ID][0].AskedByID != "" {
		t.Errorf("the question: %+v, %v", qs[e.ID], err)
	}
	if fs, err := w.files.Of(t.Context(), w.rita, []ident.ID{qs[e.ID][0].ID}); err != nil || len(fs[qs[e.ID][0].ID]) != 1 {
		t.Errorf("the evidence: %v, %v", fs, err)
	}
	// two business days were spent before the question (Monday to Wednesday), three are left from Saturday on
	if due := time.Date(2030, 6, 20, 0, 0, 0, 0, time.UTC); got.DueAt == nil || !got.DueAt.Round(time.Minute).Equal(due) {
		t.Errorf("the promise moved to %v", got.DueAt)
	}
	if c := w.checks(e.ID); !strings.HasSuffix(c, "BUSINESS WAITING REGISTER_UNAVAILABLE") {
		t.Errorf("checks: %s", c)
	}
	if _, err := answer(AnswerInput{Text: "once more"}); !fault.Is(err, CodeState) {
		t.Errorf("nobody asked: %v", err)
	}
	// another contact has to confirm before the review goes on
	ask()
	got, err = answer(AnswerInput{Corrections: Corrections{Contact: &ContactInput{FirstName: ptr("Dora"), Email: ptr("Dora@acme.example")}}})
	if err != nil || got.Status != EmailPending || got.ConfirmedAt != nil || got.Generation != 2 {
		t.Fatal(got, err)
	}
	w.work()
	if c := w.checks(e.ID); !strings.HasPrefix(c, "EMAIL_OWNERSHIP RUNNING, EMPLOYMENT RUNNING") {
		t.Errorf("checks: %s", c)
	}
	if err := w.Confirm(t.Context(), w.mailed("Dora@acme.example", VerifyPrefix), here); err != nil {
		t.Fatal(err)
	}
	w.work()
	if got = w.reload(e.ID); got.Status != InReview || got.Clock.Paused() || got.Clock.Spent(cal(), w.db.Now()) > 3*day {
		t.Errorf("confirmed again: %+v", got)
	}
	if c := w.checks(e.ID); !strings.HasPrefix(c, "EMAIL_OWNERSHIP PASSED ADDRESS_CONFIRMED, EMPLOYMENT PASSED DOMAIN_MATCH") {
		t.Errorf("checks: %s", c)
	}
}

func TestAppeal(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{})
	a, e := w.inReview("acme")
	appeal := func() (*Enrollment, error) {
		return w.Appeal(t.Context(), a, AppealInput{EnrollmentID: e.ID, Text: "Please look again."})
	}
	if _, err := appeal(); !fault.Is(err, CodeNotAppealable) {
		t.Errorf("nothing to appeal against: %v", err)
	}
	if _, err := w.Reject(t.Context(), w.rita, RejectInput{EnrollmentID: e.ID, ReasonCode: NameMismatch, Note: "The register has another name."}); err != nil {
		t.Fatal(err)
	}
	w.pass(29 * day)
	if _, err := w.Begin(t.Context(), a, BeginInput{}); !fault.Is(err, CodeStillAppealable) {
		t.Errorf("beginning instead: %v", err)
	}
	if _, err := w.Appeal(t.Context(), a, AppealInput{EnrollmentID: e.ID}); problems(err) != "text REQUIRED" {
		t.Error(err)
	}
	got, err := appeal()
	if err != nil || got.Status != InReview || got.AppealedAt == nil || got.DueAt == nil || got.AssigneeID != nil || got.ClosedAt != nil {
		t.Fatal(got, err)
	}
	w.work()
	if got, want := w.inbox(e.ID), "verification carla, confirmed carla, confirmed gina, rejected carla, rejected gina, appeal_received carla, appeal_received gina, appealed rolf"; got != want {
		t.Errorf("mails: %s, want %s", got, want)
	}
	for _, i := range w.box.List() {
		if strings.HasPrefix(i.To[0], "gina@") && strings.Contains(i.Subject, "respinta") && !strings.Contains(i.Text, "The register has another name.") {
			t.Errorf("the rejection does not say why: %s", i.Text)
		}
	}
	if _, err := w.DecideCheck(t.Context(), w.rita, DecideCheckInput{EnrollmentID: e.ID, Check: Business, Passed: true}); !fault.Is(err, CodeSameReviewer) {
		t.Errorf("the same reviewer: %v", err)
	}
	if _, err := w.Reject(t.Context(), w.rolf, RejectInput{EnrollmentID: e.ID, ReasonCode: NameMismatch}); err != nil {
		t.Fatal(err)
	}
	if _, err := appeal(); !fault.Is(err, CodeNotAppealable) {
		t.Errorf("a second appeal: %v", err)
	}
	if _, err := w.Begin(t.Context(), a, BeginInput{}); err != nil {
		t.Errorf("beginning anew after all: %v", err)
	}
}

// An applicant reads the timeline without what is the operator's own.
func TestTimelineOfBothSides(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{})
	a, e := w.inReview("acme")
	if _, err := w.AddNote(t.Context(), w.rita, AddNoteInput{EnrollmentID: e.ID, Text: "Smells odd."}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Reject(t.Context(), w.rita, RejectInput{EnrollmentID: e.ID, ReasonCode: OtherReason, Note: "Call us."}); err != nil {
		t.Fatal(err)
	}
	theirs, err := w.Timeline(t.Context(), w.rolf, []ident.ID{e.ID})
	if err != nil {
		t.Fatal(err)
	}
	own, err := w.Timeline(t.Context(), a, []ident.ID{e.ID})
	if err != nil || len(own[e.ID]) >= len(theirs[e.ID]) {
		t.Fatalf("%d lines and %d, %v", len(own[e.ID]), len(theirs[e.ID]), err)
	}
	sides := map[EntryKind]Party{EntrySubmitted: Applicant, EntryConfirmed: Contact, EntryCheckPassed: System, EntryRejected: Operator}
	for i, n := range own[e.ID] {
		if n.OperatorOnly || n.Kind == EntryNote || strings.Contains(n.ActorName, "Rita") || n.ActorID == w.rita.UserID {
			t.Errorf("the applicant reads %+v", n)
		}
		if want, ok := sides[n.Kind]; ok && n.Side != want {
			t.Errorf("%s is by %s", n.Kind, n.Side)
		}
		if i > 0 && n.Number <= own[e.ID][i-1].Number {
			t.Error("the lines are out of order")
		}
	}
}

const tinyPDF = "%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj\nxref\n0 3\n0000000000 65535 f \n0000000009 00000 n \n0000000052 00000 n \ntrailer<</Size 3/Root 1 0 R>>\nstartxref\n96\n%%EOF\n"
