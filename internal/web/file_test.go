package web

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/audit"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/file"
	"github.com/channelgraph/channelgraph/internal/ident"
)

// filesWorld is a world whose door takes files.
func filesWorld(t *testing.T) (w *world, files *file.Service, reg *prometheus.Registry) {
	t.Helper()
	reg = prometheus.NewRegistry()
	w = newWorld(t, func(d *Deps) {
		files = file.New(d.DB)
		d.File, d.Registerer = files, reg
	})
	return w, files, reg
}

// uploadsAre compares the counters of uploads.
func uploadsAre(t *testing.T, reg *prometheus.Registry, want string) {
	t.Helper()
	rec := httptest.NewRecorder()
	promhttp.HandlerFor(reg, promhttp.HandlerOpts{}).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	var got strings.Builder
	for line := range strings.Lines(rec.Body.String()) {
		if strings.HasPrefix(line, "channelgraph_file_uploads_total") {
			got.WriteString(line)
		}
	}
	if got.String() != want {
		t.Errorf("got %swant %s", got.String(), want)
	}
}

func smallPNG(t *testing.T) string {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 7, 5))); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// smallPDF has some ballast.
func smallPDF(ballast int) string {
	body := "%PDF-1.4\n%" + strings.Repeat("x", ballast) + "\n"
	return fmt.Sprintf("%sxref\n0 0\ntrailer<<>>\nstartxref\n%d\n%%%%EOF\n", body, len(body))
}

type kept struct {
	ID, Name, MediaType, SHA256 string
	Size                        int
}

func (r *reply) kept() (k kept) {
	r.t.Helper()
	if err := json.Unmarshal([]byte(r.is(201).body), &k); err != nil || !ident.ID(k.ID).Is(ident.File) || r.Header.Get("Location") != "/files/"+k.ID {
		r.t.Fatalf("got %q, %v", r.body, err)
	}
	return k
}

func TestUploadAndDownload(t *testing.T) {
	t.Parallel()
	w, files, reg := filesWorld(t)
	pdf := smallPDF(2_000_000)
	session := w.browser().signIn("luca@contoso.example")
	program := w.program("Bearer " + w.scoped(w.reseller, "Files", access.PermFileUpload, access.PermEnrollmentApply, access.PermEnrollmentRead))
	sum := sha256.Sum256([]byte(pdf))
	for name, b := range map[string]*browser{"session": session, "token": program} {
		k := b.do("POST", "/files?purpose=ENROLLMENT_EVIDENCE&name=Visura+%E2%80%9C2026%E2%80%9D.pdf", "text/html", pdf).kept()
		if k.Name != "Visura “2026”.pdf" || k.MediaType != file.PDF || k.Size != len(pdf) || k.SHA256 != hex.EncodeToString(sum[:]) {
			t.Errorf("%s: got %+v", name, k)
		}
		r := b.get("/files/" + k.ID).is(200)
		if r.body != pdf {
			t.Errorf("%s: %d bytes came back", name, len(r.body))
		}
		for h, v := range map[string]string{"Content-Type": "application/pdf", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff",
			"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox", "Content-Length": fmt.Sprint(len(pdf)),
			"Cross-Origin-Resource-Policy": "same-origin",
			"Content-Disposition":          `attachment; filename="Visura _2026_.pdf"; filename*=UTF-8''Visura%20%E2%80%9C2026%E2%80%9D.pdf`} {
			if got := r.Header.Get(h); got != v {
				t.Errorf("%s: %s is %q, want %q", name, h, got, v)
			}
		}
	}
	if strings.Contains(w.log.String(), "Visura") {
		t.Error("names of files stand in the log")
	}

	// The name may stand in a header instead.
	for disposition, want := range map[string]string{
		`attachment; filename="a \"b\".txt"`:                               "a _b_.txt",
		`attachment; filename="old.txt"; filename*=UTF-8''perch%C3%A9.txt`: "perché.txt",
		`attachment; filename=`:                                            "file.txt", "": "file.txt",
	} {
		session.header.Set("Content-Disposition", disposition)
		k := session.do("POST", "/files?purpose=SUPPORT_ATTACHMENT", "", "Hello").kept()
		if k.Name != want {
			t.Errorf("%s: called %q, want %q", disposition, k.Name, want)
		}
		if got := session.get("/files/" + k.ID).is(200).Header.Get("Content-Type"); got != "text/plain; charset=utf-8" {
			t.Error(got)
		}
	}
	session.header.Del("Content-Disposition")

	// An image with the name of another thing is what it is.
	session = w.browser().signIn("anna@northwind.example")
	k := session.do("POST", "/files?purpose=PROFILE_LOGO&name=logo.svg", "image/svg+xml", smallPNG(t)).kept()
	if r := session.get("/files/" + k.ID).is(200); k.Name != "logo.svg.png" || r.Header.Get("Content-Type") != "image/png" {
		t.Errorf("got %+v, %v", k, r.Header)
	}
	if found, err := files.ByIDs(t.Context(), w.provider, []ident.ID{ident.ID(k.ID)}); err != nil || *found[ident.ID(k.ID)].Width != 7 || *found[ident.ID(k.ID)].Height != 5 {
		t.Errorf("got %v, %v", found, err)
	}
	uploadsAre(t, reg, `channelgraph_file_uploads_total{outcome="stored",purpose="ENROLLMENT_EVIDENCE"} 2
channelgraph_file_uploads_total{outcome="stored",purpose="PROFILE_LOGO"} 1
channelgraph_file_uploads_total{outcome="stored",purpose="SUPPORT_ATTACHMENT"} 4
`)
}

func TestUploadRefused(t *testing.T) {
	t.Parallel()
	w, _, reg := filesWorld(t)
	b := w.browser().signIn("anna@northwind.example")
	up := func(purpose, body string) *reply {
		t.Helper()
		return b.do("POST", "/files?purpose="+purpose, "application/pdf", body)
	}
	up("ENROLLMENT_EVIDENCE", "<html>").is(422).code(file.CodeType).has(`"path":["content"]`, "PDF, PNG, JPEG")
	up("ENROLLMENT_EVIDENCE", "").is(422).code(file.CodeEmpty)
	up("ENROLLMENT_EVIDENCE", smallPDF(9)[:40]).is(422).code(file.CodeDamaged)
	for _, p := range []string{"", "SELFIE", "profile_logo", strings.Repeat("x", 2000)} {
		up(p, smallPNG(t)).is(422).code(fault.CodeInvalid).has(`"path":["purpose"]`)
	}
	b.do("POST", "/files?purpose=SUPPORT_ATTACHMENT", "Multipart/Form-Data; boundary=x", "--x\r\n\r\nhello\r\n--x--\r\n").is(415).code("UNSUPPORTED_MEDIA_TYPE")
	if r := b.get("/files").is(405); r.Header.Get("Allow") != "POST" {
		t.Error(r.Header)
	}

	// Who may not upload is told so before a byte is read.
	huge := func(b *browser) *reply {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), "POST", w.srv.URL+"/files?purpose=PROFILE_LOGO", iotaReader{})
		if err != nil {
			t.Fatal(err)
		}
		for k, v := range b.header {
			req.Header[k] = v
		}
		req.ContentLength = 1 << 40
		req.Header.Set("Expect", "100-continue")
		client := *b.client
		client.Transport = &http.Transport{ExpectContinueTimeout: time.Minute}
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		raw, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return &reply{res, t, string(raw)}
	}
	huge(w.browser()).is(401).code(fault.CodeUnauthenticated)
	w.addUser(w.reseller, "ivo@contoso.example", password, access.BillingAdmin)
	huge(w.browser().signIn("ivo@contoso.example")).is(403).code(fault.CodeRoleRequired)
	huge(w.program("Bearer " + w.scoped(w.reseller, "Narrow", access.PermViewerRead))).is(403).code(access.CodeScopeRequired)
	huge(w.program("Bearer nonsense")).is(401).code(account.CodeTokenInvalid)
	huge(b).is(413).code("BODY_TOO_LARGE")

	// A body that does not tell its length is cut off at the purpose's limit.
	stream := func(n int) *reply {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), "POST", w.srv.URL+"/files?purpose=PROFILE_LOGO", io.LimitReader(iotaReader{}, int64(n)))
		if err != nil {
			t.Fatal(err)
		}
		for k, v := range b.header {
			req.Header[k] = v
		}
		res, err := b.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		raw, _ := io.ReadAll(res.Body)
		return &reply{res, t, string(raw)}
	}
	stream(1<<20 + 1).is(413).code("BODY_TOO_LARGE")
	stream(1 << 20).is(422).code(file.CodeType)

	// A page of another site does not upload with our cookie.
	b.header.Set("Sec-Fetch-Site", "cross-site")
	up("ENROLLMENT_EVIDENCE", smallPDF(9)).is(403).code("CROSS_ORIGIN")
	b.header.Set("Sec-Fetch-Site", "same-origin")
	b.header.Set("Authorization", "Bearer x")
	up("ENROLLMENT_EVIDENCE", smallPDF(9)).is(400).code("TWO_CREDENTIALS")
	b.header.Del("Authorization")

	if n, err := w.db.Read().NewSelect().Table("file").Count(t.Context()); err != nil || n != 0 {
		t.Errorf("%d files were kept, %v", n, err)
	}
	uploadsAre(t, reg, `channelgraph_file_uploads_total{outcome="refused",purpose="ENROLLMENT_EVIDENCE"} 3
channelgraph_file_uploads_total{outcome="refused",purpose="PROFILE_LOGO"} 4
channelgraph_file_uploads_total{outcome="refused",purpose="SUPPORT_ATTACHMENT"} 1
channelgraph_file_uploads_total{outcome="refused",purpose="unknown"} 4
channelgraph_file_uploads_total{outcome="too_large",purpose="PROFILE_LOGO"} 2
`)
}

// iotaReader is a body without end.
type iotaReader struct{}

func (iotaReader) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(i)
	}
	return len(b), nil
}

func TestForeignFiles(t *testing.T) {
	t.Parallel()
	w, files, _ := filesWorld(t)
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		org, err := w.accounts.Found(ctx, tx, access.System("test"), account.NewOrganization{Kind: access.Operator, Name: "Programme House", Domain: "operator.example", Country: "IT"})
		if err == nil {
			_, _, err = w.accounts.AddUser(ctx, tx, access.System("test"), org,
				account.NewUser{Email: "rita@operator.example", FirstName: "Rita", LastName: "Verdi", Roles: []access.Role{access.Reviewer}, Password: password})
		}
		return err
	})
	luca, anna, rita := w.browser().signIn("luca@contoso.example"), w.browser().signIn("anna@northwind.example"), w.browser().signIn("rita@operator.example")
	id := luca.do("POST", "/files?purpose=ENROLLMENT_EVIDENCE&name=secret.pdf", "", smallPDF(9)).kept().ID

	program := w.program("Bearer " + w.scoped(w.provider, "All", access.PermFileUpload, access.PermEnrollmentRead))
	hidden := func(b *browser, ids ...string) {
		t.Helper()
		b.header.Set("Accept", "application/json")
		var first string
		for _, id := range append(ids, string(ident.New(ident.File)), "fil_x", "nothing", strings.Repeat("x", 500)) {
			r := b.get("/files/" + id).is(404)
			r.code("NOT_FOUND").lacks("secret")
			body := strings.ReplaceAll(r.body, r.Header.Get("X-Request-Id"), "")
			if first == "" {
				first = body
			}
			if body != first || r.Header.Get("Content-Disposition") != "" {
				t.Errorf("%s: %s differs from %s", id, body, first)
			}
		}
	}
	hidden(anna, id)
	hidden(program, id)
	hidden(rita, id) // not handed in yet
	hidden(w.program("Bearer "+w.scoped(w.reseller, "Narrow", access.PermFileUpload)), id)
	w.browser().get("/files/" + id).is(401)
	w.program().get("/files/" + id).is(401)
	w.program("Bearer x").get("/files/" + id).is(401).code(account.CodeTokenInvalid)

	w.tx(func(ctx context.Context, tx *database.Tx) error {
		_, err := files.Attach(ctx, tx, w.reseller, "fileIds", []ident.ID{ident.ID(id)}, file.ForEvidence, ident.New(ident.Enrollment))
		return err
	})
	reads := func() int64 {
		t.Helper()
		n, err := w.db.Read().NewSelect().Model((*audit.Event)(nil)).Where("action = 'file.read'").Where("target_id = ?", id).Count(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if r := rita.do(http.MethodHead, "/files/"+id, "", "").is(405); r.Header.Get("Allow") != "GET" || reads() != 0 {
		t.Error(r.Header)
	}
	rita.get("/files/" + id).is(200)
	luca.get("/files/" + id).is(200)
	if reads() != 1 {
		t.Errorf("%d readings by the operator were recorded", reads())
	}
	hidden(anna, id)

	// A file that goes while it is read does not look whole.
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		_, err := tx.NewRaw("DELETE FROM file_chunk WHERE file_id = ?", id).Exec(ctx)
		return err
	})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.srv.URL+"/files/"+id, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := luca.client.Do(req)
	if err == nil {
		_, err = io.ReadAll(res.Body)
		_ = res.Body.Close()
	}
	if err == nil {
		t.Error("half a file was taken for whole")
	}
	w.logged("a download broke off")
}

// The server's time to read a request does not hold for uploads, and for
// nothing else is it lifted.
func TestSlowUpload(t *testing.T) {
	t.Parallel()
	w, _, _ := filesWorld(t)
	const patience = 50 * time.Millisecond
	slow := httptest.NewUnstartedServer(w.handler)
	slow.Config = NewServer(w.handler, slog.New(slog.DiscardHandler))
	slow.Config.ReadTimeout = patience
	slow.Start()
	t.Cleanup(slow.Close)
	program := w.program("Bearer " + w.scoped(w.reseller, "Files", access.PermFileUpload, access.PermEnrollmentApply))
	send := func(path, media, body string) (int, string) {
		t.Helper()
		from, to := io.Pipe()
		go func() {
			_, _ = io.WriteString(to, body[:len(body)/2])
			<-time.After(3 * patience)
			_, _ = io.WriteString(to, body[len(body)/2:])
			_ = to.Close()
		}()
		req, err := http.NewRequestWithContext(t.Context(), "POST", slow.URL+path, from)
		if err != nil {
			t.Fatal(err)
		}
		req.Header = program.header.Clone()
		req.Header.Set("Content-Type", media)
		res, err := program.client.Do(req)
		if err != nil {
			return 0, err.Error()
		}
		defer func() { _ = res.Body.Close() }()
		raw, _ := io.ReadAll(res.Body)
		return res.StatusCode, string(raw)
	}
	if status, body := send("/files?purpose=ENROLLMENT_EVIDENCE", "", smallPDF(500)); status != 201 {
		t.Errorf("%d %s", status, body)
	}
	if status, body := send("/auth/sign-in", "application/json", `{"email":"luca@contoso.example","password":"`+password+`"}`); status == 200 || status >= 500 {
		t.Errorf("a slow sign-in was read: %d %s", status, body)
	}
}

// What one person sends at once is bounded; a body that breaks off frees its
// place.
func TestUploadsAtOnce(t *testing.T) {
	t.Parallel()
	w, _, _ := filesWorld(t)
	program := w.program("Bearer " + w.scoped(w.reseller, "Files", access.PermFileUpload, access.PermEnrollmentApply))
	const path = "/files?purpose=ENROLLMENT_EVIDENCE"
	var open []*io.PipeWriter
	done := make(chan struct{}, uploadsAtOnce)
	for range uploadsAtOnce {
		from, to := io.Pipe()
		open = append(open, to)
		req, err := http.NewRequestWithContext(t.Context(), "POST", w.srv.URL+path, from)
		if err != nil {
			t.Fatal(err)
		}
		req.Header = program.header.Clone()
		go func() {
			if res, err := program.client.Do(req); err == nil {
				_ = res.Body.Close()
			}
			done <- struct{}{}
		}()
		if _, err := io.WriteString(to, smallPDF(300_000)[:200_000]); err != nil {
			t.Fatal(err)
		}
	}
	// The pipes are faster than the door; what it refuses leaves nothing behind.
	until := func(status int) *reply {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); ; {
			if r := program.do("POST", path, "", "text"); r.StatusCode == status || time.Now().After(deadline) {
				return r.is(status)
			}
		}
	}
	if r := until(429).code(fault.CodeRateLimited); r.Header.Get("Retry-After") != "5" {
		t.Error(r.Header)
	}
	w.program("Bearer "+w.scoped(w.provider, "Files", access.PermFileUpload, access.PermEnrollmentApply)).do("POST", path, "", smallPDF(9)).is(201)
	for _, to := range open {
		_ = to.CloseWithError(io.ErrClosedPipe)
	}
	for range open {
		<-done
	}
	until(422).code(file.CodeType)
}

func TestAttachmentHeader(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"a b.pdf":    `attachment; filename="a b.pdf"`,
		"100%.pdf":   `attachment; filename="100_.pdf"; filename*=UTF-8''100%25.pdf`,
		"è;'\".pdf":  `attachment; filename="_;'_.pdf"; filename*=UTF-8''%C3%A8%3B%27%22.pdf`,
		"a\r\nb.txt": `attachment; filename="a__b.txt"; filename*=UTF-8''a%0D%0Ab.txt`,
	} {
		if got := attachment(name); got != want {
			t.Errorf("%q: got %s, want %s", name, got, want)
		}
	}
}
