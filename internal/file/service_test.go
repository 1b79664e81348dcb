package file

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/audit"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/database/dbtest"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
)

type world struct {
	*testing.T
	db *database.DB
	s  *Service
}

func newWorld(t *testing.T) *world {
	t.Helper()
	db := dbtest.New(t)
	return &world{t, db, New(db)}
}

func (w *world) exec(sql string, args ...any) {
	w.Helper()
	if _, err := w.db.Bun().NewRaw(sql, args...).Exec(w.Context()); err != nil {
		w.Fatal(err)
	}
}

func (w *world) organization(kind access.Kind) ident.ID {
	w.Helper()
	org, now := ident.New(ident.Organization), w.db.Now()
	w.exec("INSERT INTO organization (id, kind, name, name_folded, domain, country, locale, created_at, updated_at) VALUES (?, ?, 'O', 'o', ?, 'IT', 'en', ?, ?)",
		org, kind, string(org)+".example", now, now)
	return org
}

func (w *world) join(org ident.ID, role access.Role) access.Presence {
	w.Helper()
	usr, now := ident.New(ident.User), w.db.Now()
	w.exec("INSERT INTO user_account (id, organization_id, email, email_folded, first_name, last_name, name_folded, locale, status, created_at, updated_at) "+
		"VALUES (?, ?, ?, ?, 'Ada', 'B', 'ada b', 'en', 'ACTIVE', ?, ?)", usr, org, string(usr)+"@o.example", string(usr)+"@o.example", now, now)
	w.exec("INSERT INTO user_role (user_id, role, granted_by, granted_at) VALUES (?, ?, '', ?)", usr, role, now)
	return access.Presence{UserID: usr}
}

func (w *world) load(p access.Presence) access.Actor {
	w.Helper()
	a, err := access.Load(w.Context(), w.db.Read(), p)
	if err != nil || a.IsAnonymous() {
		w.Fatal(a, err)
	}
	return a
}

// person makes a user with one role in an organization of its own.
func (w *world) person(kind access.Kind, role access.Role) access.Actor {
	w.Helper()
	return w.load(w.join(w.organization(kind), role))
}

func (w *world) upload(of access.Actor, p Purpose, content []byte) *File {
	w.Helper()
	f, err := w.s.Upload(w.Context(), of, UploadInput{Purpose: p, Name: "scan", Content: content})
	if err != nil {
		w.Fatal(err)
	}
	return f
}

func (w *world) attach(of access.Actor, p Purpose, subject ident.ID, ids ...ident.ID) (out []*File, err error) {
	w.Helper()
	err = w.db.InTx(w.Context(), func(ctx context.Context, tx *database.Tx) error {
		var err error
		out, err = w.s.Attach(ctx, tx, of, "fileIds", ids, p, subject)
		return err
	})
	return out, err
}

// sees reports whether an actor finds a file, and that every way to it agrees.
func (w *world) sees(who access.Actor, f *File) bool {
	w.Helper()
	byID, err := w.s.ByIDs(w.Context(), who, []ident.ID{f.ID, ident.New(ident.File)})
	if err != nil {
		w.Fatal(err)
	}
	sees := byID[f.ID] != nil
	d, err := w.s.Open(w.Context(), who, f.ID)
	switch {
	case sees && err != nil, !sees && !fault.Is(err, fault.CodeNotFound) && !fault.Is(err, fault.CodeUnauthenticated):
		w.Errorf("found %t, but opening said %v", sees, err)
	case sees:
		if b, err := io.ReadAll(d); err != nil || len(b) != f.Size || hex.EncodeToString(sum(b)) != f.SHA256 {
			w.Errorf("read %d of %d bytes, %v", len(b), f.Size, err)
		}
	}
	if f.SubjectID != "" {
		of, err := w.s.Of(w.Context(), who, []ident.ID{f.SubjectID})
		if err != nil || slices.ContainsFunc(of[f.SubjectID], func(x *File) bool { return x.ID == f.ID }) != sees {
			w.Errorf("found %t, but not so by its subject: %v, %v", sees, of, err)
		}
	}
	return sees
}

func sum(b []byte) []byte {
	x := sha256.Sum256(b)
	return x[:]
}

func (w *world) acts() (out []string) {
	w.Helper()
	var events []*audit.Event
	if err := w.db.Read().NewSelect().Model(&events).OrderExpr("at, id").Scan(w.Context()); err != nil {
		w.Fatal(err)
	}
	for _, e := range events {
		out = append(out, fmt.Sprint(e.Action, " ", e.TargetID, " by ", e.ActorID, " for ", e.TargetOrganizationID))
	}
	return out
}

func TestUploadAndRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	org := w.organization(access.IndirectReseller)
	applicant := w.load(w.join(org, access.GlobalAdmin))
	colleague, billing := w.load(w.join(org, access.UserAdmin)), w.load(w.join(org, access.BillingAdmin))
	stranger := w.person(access.IndirectReseller, access.GlobalAdmin)
	operator := w.organization(access.Operator)
	reviewer, clerk := w.load(w.join(operator, access.Reviewer)), w.load(w.join(operator, access.DefaultUser))
	token := func(scopes ...access.Permission) access.Actor {
		return w.load(access.Presence{UserID: applicant.UserID, TokenID: "tok_1", Scopes: scopes})
	}

	content := pdfOf(strings.Repeat("ballast", 200_000)) // three chunks
	f, err := w.s.Upload(t.Context(), applicant, UploadInput{Purpose: ForEvidence, Name: "dir/Visura.PNG", Content: content})
	if err != nil {
		t.Fatal(err)
	}
	if !f.ID.Is(ident.File) || f.Name != "Visura.PNG.pdf" || f.MediaType != PDF || f.Size != len(content) || f.SHA256 != hex.EncodeToString(sum(content)) ||
		f.Width != nil || f.Chunks != 3 || f.SubjectID != "" || f.UploadedByID != applicant.UserID || f.OrganizationID != org || f.Path() != "/files/"+string(f.ID) {
		t.Errorf("got %+v", f)
	}
	logo := w.upload(applicant, ForLogo, gifOf(t, 30, 20))
	if logo.Width == nil || *logo.Width != 30 || *logo.Height != 20 || logo.Name != "scan.gif" || logo.ContentType() != GIF {
		t.Errorf("got %+v", logo)
	}
	found, err := w.s.ByIDs(t.Context(), applicant, []ident.ID{logo.ID, f.ID})
	if err != nil || len(found) != 2 || *found[logo.ID].Width != 30 || found[f.ID].Width != nil || !found[f.ID].CreatedAt.Equal(f.CreatedAt) {
		t.Errorf("got %v, %v", found, err)
	}

	visible := func(when string, f *File, who ...access.Actor) {
		t.Helper()
		for name, a := range map[string]access.Actor{"applicant": applicant, "colleague": colleague, "billing": billing, "stranger": stranger, "reviewer": reviewer,
			"clerk": clerk, "nobody": access.Anonymous("en", ""), "wide token": token(access.Permissions...), "narrow token": token(access.PermFileUpload),
			"customer": w.person(access.Customer, access.GlobalAdmin), "forged": {UserID: "usr_1", Kind: access.Operator, OrganizationID: org, Roles: access.Roles}} {
			want := slices.ContainsFunc(who, func(x access.Actor) bool { return x.UserID == a.UserID && x.TokenID == a.TokenID }) && name != "narrow token"
			if got := w.sees(a, f); got != want {
				t.Errorf("%s: the %s sees it: %t", when, name, got)
			}
		}
	}
	wide := token(access.Permissions...)
	visible("waiting", f, applicant, colleague, wide)
	before := len(w.acts())
	subject := ident.New(ident.Enrollment)
	out, err := w.attach(applicant, ForEvidence, subject, f.ID)
	if err != nil || len(out) != 1 || out[0].SubjectID != subject || out[0].AttachedAt == nil {
		t.Fatal(out, err)
	}
	f = out[0]
	visible("attached", f, applicant, colleague, wide, reviewer)
	acts := w.acts()
	if want := fmt.Sprint("file.read ", f.ID, " by ", reviewer.UserID, " for ", org); len(acts) != before+1 || acts[before] != want {
		t.Errorf("recorded %v, want one more: %s", acts, want)
	}
	if want := fmt.Sprint("file.uploaded ", f.ID, " by ", applicant.UserID, " for "); acts[0] != want {
		t.Errorf("recorded %s, want %s", acts[0], want)
	}
	if got, err := w.s.Of(t.Context(), reviewer, nil); err != nil || len(got) != 0 {
		t.Errorf("got %v, %v", got, err)
	}

	// A file that goes while it is read does not look whole.
	d, err := w.s.Open(t.Context(), applicant, f.ID)
	if err != nil {
		t.Fatal(err)
	}
	w.exec("DELETE FROM file_chunk WHERE file_id = ? AND number = 1", f.ID)
	if b, err := io.ReadAll(d); !errors.Is(err, io.ErrUnexpectedEOF) || len(b) != chunkSize {
		t.Errorf("read %d bytes, %v", len(b), err)
	}
}

func TestWhoUploads(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	org := w.organization(access.IndirectProvider)
	admin := w.join(org, access.GlobalAdmin)
	for name, c := range map[string]struct {
		who                    access.Actor
		evidence, logo, attach string
	}{
		"global admin":  {w.load(admin), "", "", ""},
		"account admin": {w.load(w.join(org, access.AccountAdmin)), "", "", ""},
		"admin agent":   {w.load(w.join(org, access.AdminAgent)), fault.CodeRoleRequired, "", ""},
		"helpdesk":      {w.load(w.join(org, access.HelpdeskAgent)), fault.CodeRoleRequired, fault.CodeRoleRequired, ""},
		"billing":       {w.load(w.join(org, access.BillingAdmin)), fault.CodeRoleRequired, fault.CodeRoleRequired, fault.CodeRoleRequired},
		"reviewer":      {w.person(access.Operator, access.Reviewer), fault.CodeRoleRequired, fault.CodeRoleRequired, ""},
		"nobody":        {access.Anonymous("en", ""), fault.CodeUnauthenticated, fault.CodeUnauthenticated, fault.CodeUnauthenticated},
		"system":        {access.System("test"), fault.CodeUnauthenticated, fault.CodeUnauthenticated, fault.CodeUnauthenticated},
		"narrow token": {w.load(access.Presence{UserID: admin.UserID, TokenID: "tok_1", Scopes: []access.Permission{access.PermFileUpload}}),
			access.CodeScopeRequired, access.CodeScopeRequired, ""},
	} {
		for p, code := range map[Purpose]string{ForEvidence: c.evidence, ForLogo: c.logo, ForAttachment: c.attach} {
			_, err := w.s.Upload(t.Context(), c.who, UploadInput{Purpose: p, Content: pngOf(t, 3, 3)})
			if code == "" && err != nil || code != "" && !fault.Is(err, code) {
				t.Errorf("%s, %s: got %v, want %q", name, p, err, code)
			}
		}
	}
	if _, err := w.s.Upload(t.Context(), w.load(admin), UploadInput{Purpose: "SELFIE", Content: pngOf(t, 3, 3)}); !fault.Is(err, fault.CodeInvalid) {
		t.Errorf("got %v", err)
	}
	// What is refused leaves nothing behind.
	before := len(w.acts())
	if _, err := w.s.Upload(t.Context(), w.load(admin), UploadInput{Purpose: ForLogo, Content: []byte("<svg/>")}); !fault.Is(err, CodeType) || len(w.acts()) != before {
		t.Errorf("got %v", err)
	}
}

func TestAttach(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	org := w.organization(access.IndirectReseller)
	a, b := w.load(w.join(org, access.GlobalAdmin)), w.person(access.IndirectReseller, access.GlobalAdmin)
	content := pngOf(t, 3, 3)
	first, second, logo, foreign := w.upload(a, ForEvidence, content), w.upload(a, ForEvidence, content), w.upload(a, ForLogo, content), w.upload(b, ForEvidence, content)
	one, two := ident.New(ident.Enrollment), ident.New(ident.Question)

	problems := func(err error) (out []string) {
		if f := fault.As(err); f != nil {
			for _, p := range f.Problems {
				out = append(out, strings.Join(p.Path, ".")+" "+p.Code)
			}
		}
		return out
	}
	_, err := w.attach(a, ForEvidence, one, second.ID, logo.ID, foreign.ID, "fil_x", second.ID)
	want := []string{"input.fileIds.1 NOT_FOUND", "input.fileIds.2 NOT_FOUND", "input.fileIds.3 NOT_FOUND", "input.fileIds.4 FILE_ATTACHED"}
	if got := problems(err); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if of, err := w.s.Of(t.Context(), a, []ident.ID{one}); err != nil || len(of) != 0 {
		t.Errorf("some were attached: %v, %v", of, err)
	}
	// A colleague hands in what was uploaded; the order is the caller's, and
	// later that of the uploads.
	out, err := w.attach(w.load(w.join(org, access.AccountAdmin)), ForEvidence, one, second.ID, first.ID)
	if err != nil || len(out) != 2 || out[0].ID != second.ID || out[1].ID != first.ID {
		t.Fatal(out, err)
	}
	of, err := w.s.Of(t.Context(), a, []ident.ID{two, one})
	if err != nil || len(of) != 1 || len(of[one]) != 2 || of[one][0].ID != first.ID || of[one][1].AttachedAt == nil {
		t.Errorf("got %v, %v", of, err)
	}
	_, err = w.attach(a, ForEvidence, two, first.ID)
	if got := problems(err); !slices.Equal(got, []string{"input.fileIds.0 FILE_ATTACHED"}) {
		t.Errorf("got %v", got)
	}
	_, err = w.attach(a, ForEvidence, two, make([]ident.ID, MaxAttached+1)...)
	if got := problems(err); !slices.Equal(got, []string{"input.fileIds TOO_MANY"}) {
		t.Errorf("got %v", got)
	}
	if out, err := w.attach(a, ForEvidence, two); err != nil || out != nil {
		t.Errorf("got %v, %v", out, err)
	}

	// Two subjects at once: one gets it.
	third := w.upload(a, ForEvidence, content)
	var won, lost int
	var mu sync.Mutex
	var both sync.WaitGroup
	for _, subject := range []ident.ID{one, two} {
		both.Go(func() {
			_, err := w.attach(a, ForEvidence, subject, third.ID)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				won++
			case fault.Is(err, CodeAttached):
				lost++
			default:
				t.Error(err)
			}
		})
	}
	if both.Wait(); won != 1 || lost != 1 {
		t.Errorf("%d attached it, %d were refused", won, lost)
	}
}

func TestWaitingFilesAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b, c := w.person(access.IndirectReseller, access.GlobalAdmin), w.person(access.IndirectReseller, access.GlobalAdmin), w.person(access.IndirectReseller, access.GlobalAdmin)
	content := pngOf(t, 3, 3)
	wait := func(who access.Actor, n, size int) {
		for range n {
			w.exec("INSERT INTO file (id, organization_id, uploaded_by_id, purpose, name, media_type, size, sha256, chunks, created_at) "+
				"VALUES (?, ?, ?, 'PROFILE_LOGO', 'x.png', 'image/png', ?, '', 0, ?)", ident.New(ident.File), who.OrganizationID, who.UserID, size, w.db.Now())
		}
	}
	try := func(who access.Actor) error {
		_, err := w.s.Upload(t.Context(), who, UploadInput{Purpose: ForLogo, Content: content})
		return err
	}
	// Two at once do not pass together where one is left.
	wait(a, maxWaiting-1, 1)
	errs := make(chan error, 2)
	for range 2 {
		go func() { errs <- try(a) }()
	}
	if x, y := <-errs, <-errs; (x == nil) == (y == nil) || !fault.Is(errors.Join(x, y), CodeWaiting) || fault.KindOf(errors.Join(x, y)) != fault.KindConflict {
		t.Errorf("got %v and %v", x, y)
	}
	wait(b, 1, maxWaitingBytes-len(content))
	if err := try(b); err != nil { // to the byte
		t.Error(err)
	}
	if err := try(b); !fault.Is(err, CodeWaiting) {
		t.Errorf("got %v", err)
	}
	if err := try(c); err != nil { // others' do not count
		t.Error(err)
	}
	// What is handed in, and what is gone, counts no more.
	w.exec("UPDATE file SET subject_id = 'enr_1' WHERE organization_id = ?", b.OrganizationID)
	if err := try(b); err != nil {
		t.Error(err)
	}
	w.db.Clock().Advance(life)
	if err := w.s.Prune(t.Context(), nil, Prune{}); err != nil {
		t.Fatal(err)
	}
	if err := try(a); err != nil {
		t.Error(err)
	}
}

// What is of use only once goes with its content; other purposes stay.
func TestDiscard(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	org := w.organization(access.Operator)
	admin, reviewer := w.load(w.join(org, access.OperatorAdmin)), w.load(w.join(org, access.Reviewer))
	const subject = "imp_1"
	list, note := w.upload(admin, ForImport, []byte("user,password\nada,x\n")), w.upload(admin, ForAttachment, []byte("note"))
	for _, f := range []*File{list, note} {
		out, err := w.attach(admin, f.Purpose, subject, f.ID)
		if err != nil {
			t.Fatal(err)
		}
		*f = *out[0]
	}
	if w.sees(reviewer, list) || !w.sees(admin, list) || !w.sees(reviewer, note) {
		t.Error("the register's files are for those who manage it")
	}
	if _, err := w.s.Upload(t.Context(), reviewer, UploadInput{Purpose: ForImport, Content: []byte("a,b")}); !fault.Is(err, fault.CodeRoleRequired) {
		t.Errorf("got %v", err)
	}
	for _, id := range []ident.ID{"", subject} { // the first is nobody's
		n := 0
		err := w.db.InTx(t.Context(), func(ctx context.Context, tx *database.Tx) (err error) {
			n, err = w.s.Discard(ctx, tx, ForImport, id, "imp_2")
			return err
		})
		if err != nil || n != min(1, len(id)) {
			t.Fatal(n, err)
		}
		if w.sees(admin, list) != (id == "") || !w.sees(admin, note) {
			t.Errorf("after %q the wrong ones are left", id)
		}
	}
	if n, err := w.db.Read().NewSelect().Table("file_chunk").Count(t.Context()); err != nil || n != 1 {
		t.Errorf("%d chunks are left, %v", n, err)
	}
}

func TestPrune(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.person(access.IndirectReseller, access.GlobalAdmin)
	attached := w.upload(a, ForEvidence, pngOf(t, 3, 3))
	out, err := w.attach(a, ForEvidence, "enr_1", attached.ID)
	if err != nil {
		t.Fatal(err)
	}
	for range 23 {
		w.upload(a, ForEvidence, pngOf(t, 3, 3))
	}
	w.db.Clock().Advance(life / 2)
	young := w.upload(a, ForEvidence, jpegOf(t, 3, 3))
	count := func(table string) int {
		n, err := w.db.Read().NewSelect().TableExpr(table).Count(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return int(n)
	}
	for _, left := range []int{2, 1} {
		w.db.Clock().Advance(life / 2)
		for range 2 { // a job may run twice
			if err := w.s.Prune(t.Context(), nil, Prune{}); err != nil {
				t.Fatal(err)
			}
			if f, c := count("file"), count("file_chunk"); f != left || c != left {
				t.Errorf("%d files and %d chunks are left, want %d", f, c, left)
			}
		}
	}
	if w.sees(a, young) || !w.sees(a, out[0]) {
		t.Error("the wrong one is left")
	}
}
