package web

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/directory"
	"github.com/channelgraph/channelgraph/internal/file"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/internal/partner"
)

// reviewer is somebody of the operator, which is founded for that.
func (w *world) reviewer() access.Actor {
	w.t.Helper()
	var actor access.Actor
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		org, err := w.accounts.Found(ctx, tx, access.System("test"), account.NewOrganization{Kind: access.Operator, Name: "House", Domain: "house.example", Country: "IT"})
		if err != nil {
			return err
		}
		u, _, err := w.accounts.AddUser(ctx, tx, access.System("test"), org,
			account.NewUser{Email: "otto@house.example", FirstName: "Otto", LastName: "Ferri", Roles: []access.Role{access.OperatorAdmin}, Password: password})
		if err != nil {
			return err
		}
		actor, err = access.Load(ctx, tx, access.Presence{UserID: u.ID})
		return err
	})
	return actor
}

// publish takes a request of the provider through the review into the
// directory.
func (w *world) publish(otto access.Actor, ls ...directory.LocationInput) {
	w.t.Helper()
	r, err := w.listed.Submit(w.t.Context(), w.provider, directory.SubmitInput{Locations: ls})
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.listed.Assign(w.t.Context(), otto, directory.AssignInput{ProfileUpdateID: r.ID, AssigneeID: &otto.UserID}); err != nil {
		w.t.Fatal(err)
	}
	_, job, err := w.listed.Approve(w.t.Context(), otto, directory.ApproveInput{ProfileUpdateID: r.ID})
	if err != nil {
		w.t.Fatal(err)
	}
	c, err := outbox.Claim(w.t.Context(), w.db, 100)
	if err != nil {
		w.t.Fatal(err)
	}
	i := slices.IndexFunc(c.Jobs, func(h outbox.Handover) bool { return h.ID == job.ID })
	run, err := outbox.Begin(w.t.Context(), w.db, job.ID, c.Jobs[i].Generation, "test", time.Minute)
	if err != nil || run == nil {
		w.t.Fatal(run, err)
	}
	if err := w.listed.Publish(w.t.Context(), run, directory.Publish{ProfileUpdateID: r.ID}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) list(listed bool) {
	w.t.Helper()
	if _, err := w.listed.SetListing(w.t.Context(), w.provider, directory.SetListingInput{Listed: listed}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) uploadLogo() ident.ID {
	w.t.Helper()
	f, err := w.files.Upload(w.t.Context(), w.provider, file.UploadInput{Purpose: file.ForLogo, Name: "logo.png", Content: []byte(smallPNG(w.t))})
	if err != nil {
		w.t.Fatal(err)
	}
	return f.ID
}

func TestDirectoryPage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser()
	b.get("/directory").is(200).has("Find a provider", "No provider is listed yet.", "0 locations").lacks("Northwind")
	w.list(true)
	b.get("/directory").is(200).has("1 location<", "Northwind Distribution", "Italy · Europe", `href="https://northwind.example/"`, ">northwind.example</a>").lacks("<img class=\"logo\"")
	b.get("/directory?q=northw&region=EUROPE&country=it").has("Northwind Distribution", `value="northw"`, `<option value="EUROPE" selected>`, `<option value="IT" selected>`, "Show all")
	b.get("/directory?q=distribution").has("No provider matches.", "Show all").lacks("Northwind")
	b.get("/directory?q=%3Cscript%3E%22").is(200).has(`value="&lt;script&gt;&#34;"`).lacks("<script>\"")
	b.get("/directory?country=xx&region=nowhere&evil=1").is(200).lacks("Northwind", "evil")
	b.get("/directory?after=x").is(422)
	b.get("/directory?q=" + strings.Repeat("x", 201)).is(422).has("200")
	b.post("/directory").is(405)
	b.get("/").has(`href="/directory"`)

	// The other language, which keeps what was looked for.
	it := w.browser()
	it.header.Set("Accept-Language", "it")
	it.get("/directory").has(`lang="it"`, "Trova un provider", "1 sede", "Italia · Europa")
	it.post("/language", "lang", "en", "page", "directory", "code", "q=north&country=IT&evil=%2F%2Fevil").is(303).to("/directory?country=IT&q=north")
	it.post("/language", "lang", "en", "page", "directory", "code", "%zz").is(303).to("/directory")
	it.get("/directory").has(`lang="en"`)

	w.list(false)
	b.get("/directory").lacks("Northwind")
}

// Who has the page is told so until it changes; what others read is never
// shown, and nothing of a session is kept by shared caches.
func TestDirectoryIsCached(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.list(true)
	b := w.browser()
	first := b.get("/directory").is(200)
	tag := first.Header.Get("ETag")
	if first.Header.Get("Cache-Control") != "public, no-cache" || tag == "" || first.Header.Get("Vary") != "Cookie, Accept-Language" || len(first.Cookies()) > 0 {
		t.Errorf("headers %v", first.Header)
	}
	again := func(b *browser, path string) *reply {
		t.Helper()
		b.header.Set("If-None-Match", tag)
		defer b.header.Del("If-None-Match")
		return b.get(path)
	}
	if r := again(b, "/directory").is(304); r.body != "" || r.Header.Get("ETag") != tag || r.Header.Get("Cache-Control") != "public, no-cache" {
		t.Errorf("%q, %v", r.body, r.Header)
	}
	again(b, "/directory?utm=1").is(304) // nothing that was asked
	again(b, "/directory?q=n").is(200)
	b.header.Set("If-None-Match", `"other", W/`+tag)
	b.get("/directory").is(304)
	b.header.Del("If-None-Match")
	it := w.browser()
	it.header.Set("Accept-Language", "it")
	again(it, "/directory").is(200)
	if r := b.get("/directory?lang=it"); r.Header.Get("Cache-Control") != "private, no-cache" {
		t.Errorf("with a cookie: %v", r.Header)
	}
	in := w.browser().signIn("luca@contoso.example")
	if r := again(in, "/directory").is(200).has("Luca Rossi"); r.Header.Get("Cache-Control") != "private, no-cache" {
		t.Errorf("signed in: %v", r.Header)
	}
	w.list(false)
	again(w.browser(), "/directory").is(200).lacks("Northwind")
	if r := b.get("/directory?after=x").is(422); r.Header.Get("Cache-Control") != "no-store" || r.Header.Get("ETag") != "" {
		t.Errorf("an error is kept: %v", r.Header)
	}
}

func TestDirectoryLogos(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	otto := w.reviewer()
	w.list(true)
	var loc ident.ID
	if err := w.db.Read().NewSelect().TableExpr("directory_location").Column("id").Scan(t.Context(), &loc); err != nil {
		t.Fatal(err)
	}
	logo, other := w.uploadLogo(), w.uploadLogo()
	path := "/directory/logos/" + string(logo)
	b := w.browser()
	b.get(path).is(404) // uploaded is not published
	w.publish(otto, directory.LocationInput{LocationID: &loc, LogoFileID: &logo})
	b.get("/directory").has(`<img class="logo" src="` + path + `" alt=""`)
	r := b.get(path).is(200)
	for k, v := range map[string]string{"Content-Type": "image/png", "X-Content-Type-Options": "nosniff", "Cache-Control": "public, no-cache", "Content-Disposition": "inline",
		"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox", "Cross-Origin-Resource-Policy": "cross-origin", "Content-Length": fmt.Sprint(len(smallPNG(t)))} {
		if got := r.Header.Get(k); got != v {
			t.Errorf("%s is %q, want %q", k, got, v)
		}
	}
	if r.body != smallPNG(t) || len(r.Cookies()) > 0 {
		t.Errorf("%d bytes", len(r.body))
	}
	if head := b.do(http.MethodHead, path, "", "").is(200); head.body != "" || head.Header.Get("Content-Type") != "image/png" {
		t.Errorf("%v", head.Header)
	}
	b.header.Set("If-None-Match", r.Header.Get("ETag"))
	if r := b.get(path).is(304); r.body != "" {
		t.Error("304 with a body")
	}
	b.header.Del("If-None-Match")
	for _, id := range []ident.ID{other, "fil_none", "x", loc} {
		b.get("/directory/logos/" + string(id)).is(404)
	}

	// A row that claims another type is served as none.
	if _, err := w.db.Bun().NewRaw("UPDATE file SET media_type = 'text/html' WHERE id = ?", logo).Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.get(path).is(404)
	if _, err := w.db.Bun().NewRaw("UPDATE file SET media_type = 'image/png' WHERE id = ?", logo).Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Suspended, the logo is gone at once, also for who has it.
	if _, err := w.partners.Suspend(t.Context(), otto, partner.SuspendInput{PartnerID: w.provider.PartnerID, Reason: "Complaints."}); err != nil {
		t.Fatal(err)
	}
	b.header.Set("If-None-Match", r.Header.Get("ETag"))
	b.get(path).is(404)
	b.get("/directory").lacks("Northwind")
}

func TestDirectoryPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.list(true)
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		for i := range 60 {
			_, err := tx.NewRaw("INSERT INTO directory_location (id, partner_id, company_name, name_folded, country, region, target_url, visible, created_at, updated_at) VALUES (?, ?, ?, ?, 'IT', 'EUROPE', 'https://a.example/', ?, ?, ?)",
				ident.New(ident.Location), w.provider.PartnerID, fmt.Sprintf("Acme %02d", i), fmt.Sprintf("acme %02d", i), true, tx.Now, tx.Now).Exec(ctx)
			if err != nil {
				return err
			}
		}
		return nil
	})
	b := w.browser()
	link := func(r *reply, rel string) string {
		t.Helper()
		_, rest, ok := strings.Cut(r.body, `rel="`+rel+`" href="`)
		if !ok {
			return ""
		}
		to, _, _ := strings.Cut(rest, `"`)
		return strings.ReplaceAll(to, "&amp;", "&")
	}
	one := b.get("/directory?q=acme").is(200).has("60 locations", "Acme 00", "Acme 23").lacks("Acme 24", `rel="prev"`)
	two := b.get(link(one, "next")).is(200).has("Acme 24", "Acme 47", `value="acme"`).lacks("Acme 23", "Acme 48")
	three := b.get(link(two, "next")).is(200).has("Acme 48", "Acme 59").lacks("Acme 47", `rel="next"`)
	if back := b.get(link(three, "prev")).is(200); back.Header.Get("ETag") == two.Header.Get("ETag") {
		t.Error("another address, the same page")
	} else {
		back.has("Acme 24", "Acme 47").lacks("Acme 23", "Acme 48")
	}
	soundPage(t, "pages", "en", two)
}
