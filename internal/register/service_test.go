package register

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/file"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/internal/page"
	"github.com/channelgraph/channelgraph/internal/secret"
)

func ptr[T any](v T) *T { return &v }

const wide = "user_name,password,programme_id,legal_name,country,active,enrolled,registration_id,website,address_line1,city,postal_code,contact_first_name,contact_last_name,contact_email,contact_phone"

func TestImportMemberships(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	i := w.memberships(Merge, wide,
		"anna,Segreta 2026!,1234567,Rossi S.r.l.,IT,yes,yes,IT 00743110157,https://rossi.example,Via Roma 1,Milano,20121,Anna,Rossi,anna@rossi.example,+39 02 1234567",
		"anna,,1234568,Rossi GmbH,DE,no,,,,,,,,,,",
		"Berta,Other secret 7,7654321,Bianchi S.p.A.,IT,,,,,,,,,,,",
		"carlo,Third secret 9,7654321,Bianchi S.p.A.,IT,,,,,,,,,,,")
	w.expect(i, "APPLIED +4 ~0 =0 -0 !0")
	if *i.LinesTotal != 4 || i.LinesDone != 4 || i.FinishedAt == nil || i.FileName != "register.csv" {
		t.Errorf("the import reads %+v", i)
	}
	for table, want := range map[string]int{"membership": 4, "membership_login": 3, "register_import_hash": 0, "file": 0, "file_chunk": 0} {
		if n := w.count(table, "1 = 1"); n != want {
			t.Errorf("%d rows in %s, want %d", n, table, want)
		}
	}
	if n := w.count("membership_login", "password_hash NOT LIKE '$argon2id$v=19$m=8,t=1,p=1$%'"); n > 0 {
		t.Errorf("%d passwords are not hashed", n)
	}
	found, err := w.Prove(t.Context(), w.stander, " ANNA ", "Segreta 2026!")
	if err != nil || len(found) != 2 {
		t.Fatal(found, err)
	}
	m := found[0]
	p := m.Profile()
	if m.ProgrammeID != "1234567" || !m.Active || !m.Enrolled || p.RegistrationID != "IT 00743110157" || p.Address.Line1 != "Via Roma 1" || p.Address.Country != "IT" ||
		p.Contact.Email != "anna@rossi.example" || p.Website != "https://rossi.example" || found[1].Active || found[1].Country != "DE" {
		t.Errorf("the memberships read %+v and %+v", m, found[1])
	}

	// The same again changes nothing but what a plain password may have
	// changed; ids stay.
	again := w.memberships(Merge, "user_name,programme_id,legal_name,country", "Berta,7654321,Bianchi S.p.A.,IT", "carlo,7654321,Bianchi & Figli S.p.A.,IT")
	w.expect(again, "APPLIED +0 ~1 =1 -0 !0")
	again = w.memberships(Merge, wide, "anna,Nuova segreta 1,1234567,Rossi S.r.l.,IT,yes,yes,IT 00743110157,https://rossi.example,Via Roma 1,Milano,20121,Anna,Rossi,anna@rossi.example,+39 02 1234567")
	w.expect(again, "APPLIED +0 ~1 =0 -0 !0")
	if _, err := w.Prove(t.Context(), w.stander, "anna", "Segreta 2026!"); !fault.Is(err, CodeNotProved) {
		t.Errorf("the former password: %v", err)
	}
	found, err = w.Prove(t.Context(), w.stander, "anna", "Nuova segreta 1")
	if err != nil || len(found) != 2 || found[0].ID != m.ID || !found[0].CreatedAt.Equal(m.CreatedAt) {
		t.Errorf("after a new password: %+v, %v", found, err)
	}

	// A replacement removes what it does not name, with its logins.
	gone := w.memberships(Replace, head, "anna,,1234567,Rossi S.r.l.,IT", "dora,Fourth secret 3,1111111,Verdi,FR")
	w.expect(gone, "APPLIED +1 ~1 =0 -3 !0")
	if n, l := w.count("membership", "1 = 1"), w.count("membership_login", "1 = 1"); n != 2 || l != 2 {
		t.Errorf("%d memberships, %d logins", n, l)
	}
	if _, err := w.Prove(t.Context(), w.stander, "carlo", "Third secret 9"); !fault.Is(err, CodeNotProved) {
		t.Errorf("a removed user name: %v", err)
	}
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		rows, err := w.Load(ctx, tx, m.ID, found[1].ID, "mbr_nothing")
		if len(rows) != 1 || rows[m.ID].LegalName != "Rossi S.r.l." {
			t.Errorf("loaded %v", rows)
		}
		return err
	})
	if rows, err := w.Find(t.Context(), m.ID); err != nil || rows[m.ID] == nil {
		t.Errorf("found %v, %v", rows, err)
	}
	for action, want := range map[string]int{"register.import_requested": 4, "register.imported": 4, "membership.proved": 4} {
		if n := w.count("audit_event", "action = ?", action); n != want {
			t.Errorf("%d records of %s, want %d", n, action, want)
		}
	}
	if n := w.count("audit_event", "action = 'membership.proved' AND outcome = 'REFUSED'"); n != 2 {
		t.Errorf("%d refused proofs are recorded", n)
	}
}

// Imported hashes keep what they are; one of other parameters is renewed at
// the first proof.
func TestImportHashes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	salt := []byte("some salt 123456")
	hash := fmt.Sprintf("$argon2id$v=19$m=32,t=2,p=1$%s$%s", base64.RawStdEncoding.EncodeToString(salt),
		base64.RawStdEncoding.EncodeToString(argon2.IDKey([]byte("correct horse battery"), salt, 2, 32, 1, 32)))
	const sheet = "user_name;password_hash;programme_id;legal_name;country\nanna;\"%s\";1234567;Rossi;IT"
	w.expect(w.memberships(Merge, fmt.Sprintf(sheet, hash)), "APPLIED +1 ~0 =0 -0 !0")
	w.expect(w.memberships(Merge, fmt.Sprintf(sheet, hash)), "APPLIED +0 ~0 =1 -0 !0")
	if n := w.count("membership_login", "password_hash = ?", hash); n != 1 {
		t.Error("the hash is another")
	}
	for range 2 {
		if _, err := w.Prove(t.Context(), w.stander, "anna", "correct horse battery"); err != nil {
			t.Error(err)
		}
	}
	if n := w.count("membership_login", "password_hash LIKE '$argon2id$v=19$m=8,t=1,p=1$%'"); n != 1 {
		t.Error("the hash was not renewed")
	}
}

func TestDryRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.expect(w.memberships(Merge, head, "anna,Segreta 2026!,1234567,Rossi,IT", "berta,Segreta 2027!,1234568,Bianchi,IT"), "APPLIED +2 ~0 =0 -0 !0")
	id := w.upload(head + "\nanna,,1234567,Rossi S.r.l.,IT\ncarlo,Segreta 2028!,1234569,Verdi,IT\n")
	in := ImportInput{FileID: id, Mode: ptr(Replace), DryRun: true}
	for range 2 { // as often as one likes
		w.expect(w.bringIn(Memberships, in), "CHECKED +1 ~1 =0 -1 !0")
	}
	if n := w.count("membership", "legal_name IN ('Rossi', 'Bianchi')"); n != 2 || w.count("membership", "1 = 1") != 2 {
		t.Error("a dry run changed the register")
	}
	if n := w.count("register_import_hash", "1 = 1"); n != 0 {
		t.Error("a dry run hashed passwords")
	}
	in.DryRun = false
	w.expect(w.bringIn(Memberships, in), "APPLIED +1 ~1 =0 -1 !0")

	// The file is gone with its import, and no other one can have it.
	for _, dry := range []bool{true, false} {
		in.DryRun = dry
		if _, _, err := w.ImportMemberships(t.Context(), w.chief, in); !fault.Is(err, fault.CodeNotFound) {
			t.Errorf("a file that is gone, dry run %t: %v", dry, err)
		}
	}
	taken := ImportInput{FileID: w.upload(head + "\nx,Segreta 2026!,1234567,Rossi,IT\n")}
	if _, _, err := w.ImportMemberships(t.Context(), w.chief, taken); err != nil {
		t.Fatal(err)
	}
	for _, dry := range []bool{true, false} {
		taken.DryRun = dry
		if _, _, err := w.ImportCompanies(t.Context(), w.chief, taken); !fault.Is(err, file.CodeAttached) {
			t.Errorf("a file that waits, dry run %t: %v", dry, err)
		}
	}
}

// One bad line and nothing is applied; all problems are told.
func TestRefusedImport(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.expect(w.memberships(Merge, head, "anna,Segreta 2026!,1234567,Rossi,IT"), "APPLIED +1 ~0 =0 -0 !0")
	i := w.memberships(Replace, head, "berta,Segreta 2026!,1234568,Bianchi,IT", "carlo,Segreta 2026!,12,Verdi,ZZ")
	w.expect(i, "REFUSED +0 ~0 =0 -0 !2")
	if n := w.count("membership", "programme_id = '1234567'"); n != 1 || w.count("membership", "1 = 1") != 1 || w.count("file", "1 = 1") != 0 {
		t.Error("a refused import changed something, or its file is still there")
	}
	i = w.memberships(Merge, head, "anna,,1234568,Rossi,IT", "berta,,1234568,Bianchi,IT", "carlo,,1234568,Verdi,IT")
	w.expect(i, "REFUSED +0 ~0 =0 -0 !2")
	c, err := w.Problems(t.Context(), w.chief, i.ID, page.Args{First: ptr(1)}, ProblemFilter{})
	if err != nil || len(c.Edges) != 1 || c.Nodes()[0].Line != 3 || c.Nodes()[0].Code != CodePasswordMissing || !c.PageInfo.HasNextPage {
		t.Fatalf("the problems are %+v, %v", c, err)
	}
	c, err = w.Problems(t.Context(), w.chief, i.ID, page.Args{After: c.PageInfo.EndCursor}, ProblemFilter{})
	if err != nil || len(c.Edges) != 1 || c.Nodes()[0].Line != 4 {
		t.Errorf("the further problems are %+v, %v", c, err)
	}
	if n, err := c.TotalCount(t.Context()); err != nil || n.Value != 2 {
		t.Errorf("they count %v, %v", n, err)
	}
	if c, err = w.Problems(t.Context(), w.chief, i.ID, page.Args{}, ProblemFilter{Code: ptr(CodePasswordMissing), Column: ptr("country")}); err != nil || len(c.Edges) > 0 {
		t.Errorf("of the country are %+v, %v", c, err)
	}
	if n := w.count("audit_event", "action = 'register.imported' AND outcome = 'REFUSED'"); n != 2 {
		t.Errorf("%d refusals are recorded", n)
	}
}

func TestReport(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	i := w.memberships(Merge, head+",=HYPERLINK(1)", "anna,,1234568,Rossi,IT,x")
	w.expect(i, "REFUSED +0 ~0 =0 -0 !1")
	var b strings.Builder
	italian := w.chief
	italian.Locale = "it"
	name, err := w.Report(t.Context(), italian, i.ID, &b)
	if err != nil || !strings.HasPrefix(name, "memberships-problems-20") {
		t.Fatal(name, err)
	}
	if want := "line,column,code,message\r\n1,'=HYPERLINK(1),COLUMN_UNKNOWN,Questa colonna non è conosciuta.\r\n"; b.String() != want {
		t.Errorf("the report is %q", b.String())
	}
	w.expect(w.memberships(Merge, "a,b"), "REFUSED +0 ~0 =0 -0 !6")
	for _, who := range []access.Actor{w.reviewer, w.stander, access.Anonymous("en", "")} {
		if _, err := w.Report(t.Context(), who, i.ID, &b); err == nil {
			t.Error("somebody else reads a report")
		}
	}
	if _, err := w.Report(t.Context(), w.chief, "imp_nothing", &b); !fault.Is(err, fault.CodeNotFound) {
		t.Error(err)
	}
}

func TestImportCompanies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const head = "country;registration_id;legal_name;status;city"
	if _, err := w.Look(t.Context(), "IT", "00743110157"); !errors.Is(err, ErrNotCovered) {
		t.Errorf("an empty register: %v", err)
	}
	w.expect(w.companies(Merge, head, "IT;IT 00743110157;Rossi S.p.A.;;Milano", "IT;12345;Vecchia S.n.c.;dissolved;", "FR;552 008 443;Müller SARL;active;Paris"), "APPLIED +3 ~0 =0 -0 !0")
	for _, c := range []struct{ country, id, want string }{
		{"IT", "00743110157", "Rossi S.p.A."}, {"it", "IT-007 431 101 57", "Rossi S.p.A."}, {"FR", "FR 89 552 008 443", ""}, {"FR", "552008443", "Müller SARL"}, {"IT", "12.345", "Vecchia S.n.c."},
		{"FR", "00743110157", ""}, {"IT", "", ""}, {"IT", strings.Repeat("9", 10_000), ""},
	} {
		got, err := w.Look(t.Context(), c.country, c.id)
		if err != nil || (got == nil) != (c.want == "") || got != nil && got.LegalName != c.want {
			t.Errorf("%s %.20s: %+v, %v", c.country, c.id, got, err)
		}
	}
	if _, err := w.Look(t.Context(), "DE", "136695976"); !errors.Is(err, ErrNotCovered) {
		t.Errorf("a country without companies: %v", err)
	}
	c, err := w.Company(t.Context(), w.reviewer, "it", "12345")
	if err != nil || c == nil || !c.Dissolved || !c.Named("VECCHIA SNC") || c.Named("Nuova") {
		t.Errorf("the company is %+v, %v", c, err)
	}
	if _, err := w.Company(t.Context(), w.stander, "IT", "12345"); fault.KindOf(err) != fault.KindForbidden {
		t.Errorf("an applicant looks up: %v", err)
	}
	// A replacement concerns the countries that it names.
	w.expect(w.companies(Replace, head, "IT;00743110157;Rossi S.p.A.;;Milano", "IT;54321;Nuova S.r.l.;;"), "APPLIED +1 ~1 =0 -1 !0")
	w.expect(w.companies(Replace, head, "IT;00743110157;Rossi S.p.A.;;Milano", "IT;54321;Nuova S.r.l.;DISSOLVED;"), "APPLIED +0 ~1 =1 -0 !0")
	if n := w.count("registered_company", "country = 'FR'"); n != 1 {
		t.Error("another country's companies are gone")
	}
	if c, err := w.Look(t.Context(), "IT", "54321"); err != nil || !c.Dissolved {
		t.Errorf("the company is %+v, %v", c, err)
	}
}

// A worker that dies goes on where it was, and what it hashed is not hashed
// again; an import that is over is not done twice.
func TestImportGoesOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	lines := []string{head}
	for n := range 7 {
		lines = append(lines, fmt.Sprintf("user%d,Secret of %d,%d,Company %d,IT", n, n, 1234560+n, n))
	}
	i, job, err := w.ImportMemberships(t.Context(), w.chief, ImportInput{FileID: w.upload(strings.Join(lines, "\n"))})
	if err != nil {
		t.Fatal(err)
	}
	// as far as a killed worker came
	hash, err := w.accounts.HashPassword(t.Context(), "Secret of 0")
	if err != nil {
		t.Fatal(err)
	}
	w.exec("INSERT INTO register_import_hash (import_id, user_name_folded, password_hash) VALUES (?, 'user0', ?)", i.ID, hash)
	run := w.begin(job.ID)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.ImportRegister(ctx, run, ImportRegister{ImportID: i.ID}); err == nil {
		t.Error("a worker that ends goes on")
	}
	if err := w.ImportRegister(t.Context(), run, ImportRegister{ImportID: i.ID}); err != nil {
		t.Fatal(err)
	}
	w.expect(w.read(i.ID), "APPLIED +7 ~0 =0 -0 !0")
	if n := w.count("membership_login", "password_hash = ?", hash); n != 1 {
		t.Error("what was hashed is hashed again")
	}
	for n := range 7 {
		if _, err := w.Prove(t.Context(), w.stander, fmt.Sprintf("user%d", n), secret.String(fmt.Sprintf("Secret of %d", n))); err != nil {
			t.Error(err)
		}
	}
	before := w.count("membership", "1 = 1")
	if err := w.ImportRegister(t.Context(), run, ImportRegister{ImportID: i.ID}); err != nil || w.count("membership", "1 = 1") != before {
		t.Errorf("twice: %v", err)
	}
	if err := w.ImportRegister(t.Context(), run, ImportRegister{ImportID: ident.New(ident.Import)}); err == nil {
		t.Error("an import that is not there is done")
	}
}

// The second of two workers with the same import changes nothing.
func TestImportLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	i, job, err := w.ImportMemberships(t.Context(), w.chief, ImportInput{FileID: w.upload(head + "\nanna,Segreta 2026!,1234567,Rossi,IT")})
	if err != nil {
		t.Fatal(err)
	}
	run := w.begin(job.ID)
	w.exec("UPDATE job SET generation = generation + 1 WHERE id = ?", job.ID)
	if err := w.ImportRegister(t.Context(), run, ImportRegister{ImportID: i.ID}); !errors.Is(err, outbox.ErrLost) {
		t.Errorf("a lost job: %v", err)
	}
	if n := w.count("membership", "1 = 1") + w.count("membership_login", "1 = 1"); n > 0 || w.read(i.ID).FinishedAt != nil {
		t.Errorf("it wrote %d rows", n)
	}
}

func TestWhoMayImport(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := ImportInput{FileID: w.upload(head + "\nanna,Segreta 2026!,1234567,Rossi,IT")}
	for name, who := range map[string]access.Actor{"a reviewer": w.reviewer, "an applicant": w.stander, "nobody": access.Anonymous("en", ""), "a job": access.System("x")} {
		for _, do := range []func(context.Context, access.Actor, ImportInput) (*Import, *outbox.Job, error){w.ImportMemberships, w.ImportCompanies} {
			if _, _, err := do(t.Context(), who, in); fault.KindOf(err) != fault.KindForbidden && fault.KindOf(err) != fault.KindUnauthenticated {
				t.Errorf("%s imports: %v", name, err)
			}
		}
		if _, err := w.List(t.Context(), who, page.Args{}, nil, Filter{}); err == nil && name != "a job" {
			t.Errorf("%s lists", name)
		}
		if _, err := w.ListImports(t.Context(), who, page.Args{}, ImportFilter{}); err == nil && name != "a job" {
			t.Errorf("%s lists imports", name)
		}
	}
	// Another operator's file is unknown, so is one for another purpose.
	other := w.person(access.Operator, access.OperatorAdmin)
	for _, dry := range []bool{true, false} {
		in.DryRun = dry
		if _, _, err := w.ImportMemberships(t.Context(), other, in); !fault.Is(err, fault.CodeNotFound) {
			t.Errorf("a foreign file, dry run %t: %v", dry, err)
		}
	}
	text, err := w.files.Upload(t.Context(), w.chief, file.UploadInput{Purpose: file.ForAttachment, Name: "x.csv", Content: []byte(head)})
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []ImportInput{{FileID: text.ID}, {FileID: text.ID, DryRun: true}, {FileID: ident.New(ident.File)}, {FileID: "x"}, {}} {
		if _, _, err := w.ImportMemberships(t.Context(), w.chief, bad); !fault.Is(err, fault.CodeNotFound) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	in.Mode = ptr(Mode("DELETE"))
	if _, _, err := w.ImportMemberships(t.Context(), w.chief, in); !fault.Is(err, fault.CodeInvalid) {
		t.Error(err)
	}
	if _, err := w.files.Upload(t.Context(), w.reviewer, file.UploadInput{Purpose: file.ForImport, Name: "x.csv", Content: []byte(head)}); fault.KindOf(err) != fault.KindForbidden {
		t.Errorf("a reviewer uploads: %v", err)
	}

	// Who lost the right meanwhile imports nothing.
	in.Mode, in.DryRun = nil, false
	i, job, err := w.ImportMemberships(t.Context(), w.chief, in)
	if err != nil {
		t.Fatal(err)
	}
	w.exec("UPDATE user_role SET role = 'REVIEWER' WHERE user_id = ?", w.chief.UserID)
	if err := w.perform(job, i); fault.AsRetry(err) == nil || fault.AsRetry(err).Code != CodeImportRevoked {
		t.Errorf("after the right: %v", err)
	}
	w.exec("UPDATE user_role SET role = 'OPERATOR_ADMIN' WHERE user_id = ?", w.chief.UserID)
	if got := w.read(i.ID); got.State != Failed || *got.FailureCode != CodeImportRevoked || w.count("membership", "1 = 1") > 0 {
		t.Errorf("it is %+v", got)
	}
}

func TestImportTwice(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := ImportInput{FileID: w.upload(head + "\nanna,Segreta 2026!,1234567,Rossi,IT"), IdempotencyKey: ptr("k")}
	a, ja, err := w.ImportMemberships(t.Context(), w.chief, in)
	if err != nil {
		t.Fatal(err)
	}
	b, jb, err := w.ImportMemberships(t.Context(), w.chief, in)
	if err != nil || a.ID != b.ID || ja.ID != jb.ID || b.State != Queued {
		t.Errorf("the same again: %+v, %+v, %v", b, jb, err)
	}
	in.DryRun = true
	if _, _, err := w.ImportMemberships(t.Context(), w.chief, in); !fault.Is(err, fault.CodeKeyReused) {
		t.Error(err)
	}
}

// A cancelled import, and one whose time is over, leave no file behind.
func TestImportEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	start := func() (*Import, *outbox.Job) {
		i, job, err := w.ImportMemberships(t.Context(), w.chief, ImportInput{FileID: w.upload(head + "\nanna,Segreta 2026!,1234567,Rossi,IT")})
		if err != nil {
			t.Fatal(err)
		}
		w.exec("INSERT INTO register_import_hash (import_id, user_name_folded, password_hash) VALUES (?, 'anna', 'x')", i.ID)
		return i, job
	}
	i, job := start()
	hooks := outbox.Hooks{OnCancel: map[string]func(context.Context, *database.Tx, *outbox.Job) error{ImportRegister{}.Kind(): w.ImportCancelled}}
	if _, err := outbox.Cancel(t.Context(), w.db, w.chief, job.ID, hooks); err != nil {
		t.Fatal(err)
	}
	w.expect(w.read(i.ID), "CANCELLED +0 ~0 =0 -0 !0")
	late, _ := start()
	w.db.Clock().Advance(life)
	if err := w.PruneImports(t.Context(), nil, PruneImports{}); err != nil {
		t.Fatal(err)
	}
	if w.read(late.ID).FinishedAt != nil {
		t.Error("an import ended before its time")
	}
	w.db.Clock().Advance(2 * time.Hour)
	if err := w.PruneImports(t.Context(), nil, PruneImports{}); err != nil {
		t.Fatal(err)
	}
	if got := w.read(late.ID); got.State != Failed || *got.FailureCode != CodeImportExpired {
		t.Errorf("it is %+v", got)
	}
	for _, table := range []string{"file", "file_chunk", "register_import_hash", "membership"} {
		if n := w.count(table, "1 = 1"); n > 0 {
			t.Errorf("%d rows are left in %s", n, table)
		}
	}
}

// Two imports at the same moment follow each other; the register is as one of
// them leaves it.
func TestImportsAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.expect(w.memberships(Merge, head, "anna,Segreta 2026!,1000000,Rossi,IT"), "APPLIED +1 ~0 =0 -0 !0")
	type going struct {
		i   *Import
		run *outbox.Run
	}
	var all []going
	for n := range 4 {
		i, job, err := w.ImportMemberships(t.Context(), w.chief, ImportInput{Mode: ptr(Replace),
			FileID: w.upload(fmt.Sprintf("%s\nanna,,%d,Rossi %d,IT\nberta,Segreta %d!,1234567,Bianchi %d,IT", head, 2_000_000+n, n, n, n))})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, going{i, w.begin(job.ID)})
	}
	errs := make(chan error)
	for _, g := range all {
		go func() {
			errs <- w.ImportRegister(context.WithoutCancel(t.Context()), g.run, ImportRegister{ImportID: g.i.ID})
		}()
	}
	for range all {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if n, l := w.count("membership", "1 = 1"), w.count("membership_login", "1 = 1"); n != 2 || l != 2 {
		t.Errorf("%d memberships, %d logins", n, l)
	}
	var names []string
	if err := w.db.Read().NewSelect().TableExpr("membership").Column("import_id").Scan(t.Context(), &names); err != nil || names[0] != names[1] {
		t.Errorf("the register is of the imports %v, %v", names, err)
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.expect(w.memberships(Merge, head+",active,enrolled", "anna,Segreta 2026!,1234567,Rossi S.r.l.,IT,,yes", "berta,Segreta 2026!,1234568,Bianchi,DE,no,", "Zoë_x,Segreta 2026!,7654321,Zorro & Söhne,DE,,"), "APPLIED +3 ~0 =0 -0 !0")
	for _, c := range []struct {
		f    Filter
		want string
	}{
		{Filter{}, "berta anna Zoë_x"}, {Filter{Search: ptr("ros")}, "anna"}, {Filter{Search: ptr("ROSSI srl")}, "anna"}, {Filter{Search: ptr("BERT")}, "berta"},
		{Filter{Search: ptr("12345")}, "berta anna"}, {Filter{Search: ptr("zoë_")}, "Zoë_x"}, {Filter{Search: ptr("zoë%")}, ""}, {Filter{Search: ptr("sohne")}, ""},
		{Filter{Country: ptr("de")}, "berta Zoë_x"}, {Filter{IsActive: ptr(false)}, "berta"}, {Filter{IsEnrolled: ptr(true)}, "anna"}, {Filter{Search: ptr(" ")}, "berta anna Zoë_x"},
	} {
		got, err := w.List(t.Context(), w.chief, page.Args{}, nil, c.f)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, m := range got.Nodes() {
			names = append(names, m.UserName)
		}
		if s := strings.Join(names, " "); s != c.want {
			t.Errorf("%+v lists %q, want %q", c.f, s, c.want)
		}
		if n, err := got.TotalCount(t.Context()); err != nil || n.Value != len(names) {
			t.Errorf("it counts %v, %v", n, err)
		}
	}
	for _, field := range []OrderField{ByName, ByProgramme, ByUpdated} {
		for _, d := range []page.Direction{page.Asc, page.Desc} {
			var ids []ident.ID
			args := page.Args{First: ptr(1)}
			for range 3 {
				c, err := w.List(t.Context(), w.chief, args, &Order{field, d}, Filter{})
				if err != nil || len(c.Edges) != 1 {
					t.Fatal(field, d, err)
				}
				ids = append(ids, c.Nodes()[0].ID)
				args.After = c.PageInfo.EndCursor
			}
			slices.Sort(ids)
			if len(slices.Compact(ids)) != 3 {
				t.Errorf("%s %s shows a row twice", field, d)
			}
		}
	}
	rows, err := w.List(t.Context(), w.chief, page.Args{}, nil, Filter{})
	if err != nil {
		t.Fatal(err)
	}
	id := rows.Nodes()[0].ID
	for name, want := range map[string]struct {
		who access.Actor
		n   int
	}{"the operator": {w.chief, 1}, "a reviewer": {w.reviewer, 0}, "an applicant": {w.stander, 0}} {
		if got, err := w.ByIDs(t.Context(), want.who, []ident.ID{id}); err != nil || len(got) != want.n {
			t.Errorf("%s finds %d, %v", name, len(got), err)
		}
	}
	imports, err := w.ListImports(t.Context(), w.chief, page.Args{}, ImportFilter{Kind: ptr(Memberships)})
	if err != nil || len(imports.Edges) != 1 || imports.Nodes()[0].State != Applied {
		t.Errorf("the imports are %+v, %v", imports, err)
	}
	if none, err := w.ListImports(t.Context(), w.chief, page.Args{}, ImportFilter{Kind: ptr(Companies)}); err != nil || len(none.Edges) != 0 {
		t.Errorf("the other imports are %+v, %v", none, err)
	}
}
