package web

import (
	"encoding/json"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/partnership"
	"github.com/channelgraph/channelgraph/internal/region"
)

func TestSignInPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(d *Deps) { d.DevRoutes = map[string]http.Handler{"GET /dev/mail": http.NotFoundHandler()} })
	b := w.browser()
	b.get("/").is(200).has("<h1>One place for the whole channel</h1>", `href="/sign-in"`, `lang="en"`)
	b.get("/sign-in").is(200).has("Demo accounts", "demo.json", `autocomplete="current-password"`)
	b.post("/sign-in", "email", "luca@contoso.example", "password", "wrong wrong wrong").is(401).
		has("<title>Error: Sign in", `role="alert"`, `value="luca@contoso.example"`).lacks("wrong wrong wrong")
	b.signIn("luca@contoso.example")
	b.get("/sign-in").is(200).has("You are signed in as Luca Rossi.")
	second := w.browser().signIn("luca@contoso.example")
	b.get("/").has("2, this one included")
	b.post("/sessions/end-others").is(303).to("/?notice=others")
	b.get("/?notice=others").has("The other sessions have ended.", "This one only")
	second.get("/").has("Your session has ended")
	second.post("/sessions/end-others").is(303).to("/sign-in")
	// Signing in again ends the browser's former session.
	b.signIn("luca@contoso.example").get("/").has("This one only")
	b.post("/sign-out").is(303).to("/?notice=out")
	b.get("/?notice=out").has("You have signed out.").lacks("Luca")
	b.get("/?notice=<script>alert(1)</script>").is(200).lacks("alert(1)")
	newWorld(t, func(d *Deps) { d.Dev = true }).browser().get("/sign-in").lacks("demo.json")
}

func TestLanguage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser()
	b.header.Set("Accept-Language", "it-CH, fr;q=0.8")
	b.get("/").has(`lang="it"`, "Un solo luogo per tutto il canale")
	b.header.Set("Accept-Language", "fr")
	b.get("/").has(`lang="en"`)
	b.get("/?lang=xx").has(`lang="en"`)
	b.get("/?lang=it").has(`lang="it"`)
	b.get("/").has(`lang="it"`) // remembered
	b.post("/language", "lang", "en", "page", "forgot").is(303).to("/forgot")
	b.get("/forgot").has(`lang="en"`)
	b.post("/language", "lang", "xx", "page", "home").is(400)
	for _, page := range []string{"https://evil.example", "//evil.example", "nowhere", ""} {
		b.post("/language", "lang", "en", "page", page).is(303).to("/")
	}
	// The signed-in person's own language goes before the browser's.
	b.signIn("luca@contoso.example")
	b.header.Set("Accept-Language", "it")
	b.get("/").has(`lang="en"`)
	b.post("/language", "lang", "it", "page", "home").is(303)
	b.get("/").has(`lang="it"`, "Rivenditore indiretto")
	b.get("/auth/session").has(`"locale":"it"`)
	w.browser().signIn("luca@contoso.example").get("/").has(`lang="it"`)
	b.post("/language", "lang", "it", "page", "partnership", "code", "cgi_x").is(307).to("/l/partnership/preview")
	b.post("/language", "lang", "it", "page", "authorized", "code", "//evil").is(303).to("/l/partnership/authorized")
}

func TestForgotAndReset(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser()
	b.get("/forgot").is(200)
	b.post("/forgot", "email", "rubbish").is(422).has(`role="alert"`, `value="rubbish"`, `aria-invalid="true"`)
	b.post("/forgot", "email", "nobody@contoso.example").is(303).to("/sign-in?notice=forgot")
	b.get("/sign-in?notice=forgot").has("If the address belongs to an account")

	b.get("/l/reset").is(200).has("Paste the code", "data-code", `action="/l/reset/preview"`)
	b.get("/l/reset/preview").is(303).to("/l/reset")
	b.post("/l/reset/preview", "code", "cgr_nothing").is(200).has("This code is not known here", `href="/forgot"`)
	b.post("/l/reset/preview", "code", w.setupCode()).is(200).has("This code is not known here") // good, but for another act
}

func TestJoinPage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser()
	id := w.addUser(w.reseller, "ivo@contoso.example", "", access.HelpdeskAgent)
	code := w.keys.Capability("cgu", string(account.PurposeInvite), id, 1).Reveal()
	b.post("/l/join/preview", "code", " http://localhost:8080/l/join#"+code[:20]+"\r\n "+code[20:]+" ").is(200).
		has("Join Contoso Rivendite", "i***@contoso.example", `value="Ivo"`, `name="code" value="`+code+`"`, "The link works until").
		lacks("ivo@contoso.example")
	b.post("/l/join", "code", code, "firstName", "", "lastName", "Bianchi", "password", "contoso").is(422).
		has(`role="alert"`, `href="#f-firstName"`, `href="#f-password"`, `name="code" value="`+code+`"`).lacks(`value="contoso"`)
	b.post("/l/join", "code", code, "firstName", "Ivo", "lastName", "Bianchi", "password", password).is(303).to("/sign-in?notice=join")
	b.get("/sign-in?notice=join").has("Your account is ready")
	b.post("/l/join", "code", code, "firstName", "Ivo", "lastName", "Bianchi", "password", password).is(409).has("This link was used on ")
	b.post("/l/join/preview", "code", code).is(200).has("This link was used on ", "sign in with your password")
	b.signIn("ivo@contoso.example").get("/").has("Helpdesk agent")
}

func TestSetUpPage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser()
	code := w.setupCode()
	b.header.Set("Accept-Language", "it")
	b.post("/l/setup/preview", "code", code).is(200).has("Configura channelgraph", "<option value=\"IT\">Italia</option>", "Germania")
	b.post("/l/setup", "code", code, "organizationName", `<b>"House"</b>`, "domain", "a b", "country", "IT").is(422).
		has("Questo non è un nome di dominio", `<option value="IT" selected>`, "&lt;b&gt;").lacks("<b>")
	b.post("/l/setup", "code", code, "organizationName", "Programme House", "domain", "operator.example", "country", "IT", "email", "olga@operator.example",
		"firstName", "Olga", "lastName", "Neri", "password", password).is(303).to("/sign-in?notice=setup")
	b.signIn("olga@operator.example").get("/").has("Operatore", "Amministratore dell’operatore", `lang="it"`)
	other := w.browser()
	other.post("/l/setup/preview", "code", code).is(200).has("This link was used on ")
}

func TestExpiredLink(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	code := w.setupCode()
	w.db.Clock().Advance(31 * time.Minute)
	w.browser().post("/l/setup/preview", "code", code).is(200).has("This link has expired", "Start the server again")
}

func TestBadForms(t *testing.T) {
	t.Parallel()
	b := newWorld(t).browser()
	const form = "application/x-www-form-urlencoded"
	for _, path := range []string{"/sign-in", "/forgot", "/language", "/l/reset", "/l/reset/preview", "/l/partnership/preview", "/l/partnership/authorize"} {
		b.do("POST", path, "multipart/form-data; boundary=x", "--x--").is(415)
		b.do("POST", path, "text/plain", "code=x").is(415)
		b.do("POST", path, form, "code=%zz").is(400).has("could not be read")
		b.do("POST", path, form, "code="+strings.Repeat("x", maxForm)).is(413)
	}
	b.do("POST", "/sign-in?email=luca@contoso.example&password="+url.QueryEscape(password), form, "").is(401) // a query is no form
	b.post("/l/partnership/preview", "code", strings.Repeat("cgi_", 1000)).is(200).has("We do not know this code")
	b.post("/l/partnership/preview", "code", "\x00\x1b[31m").is(200).has("We do not know this code")
	if r := b.do("PUT", "/sign-in", "", "").is(405).has("cannot be used like that"); r.Header.Get("Allow") != "GET, HEAD, POST" {
		t.Errorf("Allow %q", r.Header.Get("Allow"))
	}
	b.get("/nowhere").is(404).has("This page does not exist", "Reference")
	b.header.Set("Accept-Language", "it")
	b.get("/nowhere").is(404).has("Questa pagina non esiste")
	b.do("PUT", "/sign-in", "", "").is(405).has("non si usa così")
	b.header.Set("Accept", "application/json")
	b.get("/nowhere").is(404).code(codeNoRoute)
	b.get("//evil.example/%2e%2e").lacks("evil.example")
}

// Doors of pages that are mounted here have their own pages and methods; where
// they have none, the answer is this door's, with its headers.
func TestMountedDoors(t *testing.T) {
	t.Parallel()
	inner := http.NewServeMux()
	inner.HandleFunc("GET /mailbox/{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte("the list"))
	})
	inner.HandleFunc("GET /mailbox/own", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte("a page of its own"))
	})
	door := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'none'")
		w.Header().Set("X-Door", "inner")
		inner.ServeHTTP(w, r)
	})
	w := newWorld(t, func(d *Deps) { d.Dev, d.Mailbox, d.GraphiQL = true, door, door })
	b := w.browser()
	if r := b.get("/mailbox/").is(200).has("the list"); r.Header.Get("X-Door") != "inner" {
		t.Error("the door's own headers are gone")
	}
	b.get("/mailbox/own").is(404).has("a page of its own")
	for _, accept := range []string{"text/html", "application/json"} {
		b.header.Set("Accept", accept)
		no, nowhere := b.do("PUT", "/mailbox/", "", "").is(405), b.get("/graphiql/nowhere").is(404)
		if no.Header.Get("Allow") != "GET, HEAD" || nowhere.Header.Values("Allow") != nil {
			t.Errorf("Allow %q and %q", no.Header.Get("Allow"), nowhere.Header.Get("Allow"))
		}
		for _, r := range []*reply{no, nowhere} {
			if r.Header.Get("X-Door") != "" || !strings.Contains(r.Header.Get("Content-Security-Policy"), "form-action 'self'") || r.Header.Get("X-Request-Id") == "" {
				t.Errorf("headers: %v", r.Header)
			}
		}
		if accept == "text/html" {
			no.has("cannot be used like that", "Reference")
			nowhere.has("This page does not exist")
			soundPage(t, "405", "en", no)
		} else {
			no.code(codeMethod)
			nowhere.code(codeNoRoute)
		}
	}
}

// TestPagesAreSound parses every page in both languages and checks what a
// screen reader and a strict CSP need.
func TestPagesAreSound(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(d *Deps) { d.Dev, d.GraphiQL, d.Mailbox = true, http.NotFoundHandler(), http.NotFoundHandler() })
	_, code := w.invite("luca@contoso.example")
	setup := w.setupCode()
	for _, locale := range []string{"en", "it"} {
		anon, in := w.browser(), w.browser().signIn("luca@contoso.example")
		for _, b := range []*browser{anon, in} {
			b.header.Set("Accept-Language", locale)
			b.post("/language", "lang", locale, "page", "home").is(303)
			for name, r := range map[string]*reply{
				"home": b.get("/"), "sign-in": b.get("/sign-in"), "forgot": b.get("/forgot"), "reset": b.get("/l/reset"), "join": b.get("/l/join"),
				"setup": b.get("/l/setup"), "partnership": b.get("/l/partnership"), "directory": b.get("/directory"), "directory narrowed": b.get("/directory?q=zzz&region=EUROPE&country=it"), "404": b.get("/nope"), "declined": b.get("/l/partnership/declined"),
				"proposal": b.post("/l/partnership/preview", "code", code), "unknown": b.post("/l/partnership/preview", "code", "x"),
				"setup form": b.post("/l/setup/preview", "code", setup), "setup errors": b.post("/l/setup", "code", setup),
				"sign-in errors": b.post("/forgot", "email", "x"), "unconfirmed": b.post("/l/partnership/authorize", "code", code),
			} {
				soundPage(t, locale+" "+name, locale, r)
			}
		}
	}
}

func soundPage(t *testing.T, name, locale string, r *reply) {
	t.Helper()
	if ct := r.Header.Get("Content-Type"); ct != "text/html; charset=utf-8" {
		t.Errorf("%s: %s", name, ct)
	}
	doc, err := html.Parse(strings.NewReader(r.body))
	if err != nil {
		t.Fatal(err)
	}
	ids, labels, h1, alerts := map[string]bool{}, map[string]bool{}, 0, 0
	var inputs []string
	var refs []string
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		a := map[string]string{}
		for _, at := range n.Attr {
			a[at.Key] = at.Val
			if strings.HasPrefix(at.Key, "on") || at.Key == "style" {
				t.Errorf("%s: inline %s", name, at.Key)
			}
		}
		if id := a["id"]; id != "" {
			if ids[id] {
				t.Errorf("%s: id %s twice", name, id)
			}
			ids[id] = true
		}
		if a["role"] == "alert" {
			alerts++
		}
		for _, k := range []string{"aria-describedby", "aria-labelledby"} {
			refs = append(refs, strings.Fields(a[k])...)
		}
		switch n.Data {
		case "html":
			if a["lang"] != locale {
				t.Errorf("%s: lang %s", name, a["lang"])
			}
		case "h1":
			h1++
		case "label":
			labels[a["for"]] = true
		case "input", "select", "textarea":
			if a["type"] != "hidden" {
				inputs = append(inputs, a["id"])
			}
		case "script":
			if n.FirstChild != nil || a["src"] != "/static/page.js" {
				t.Errorf("%s: a script that the CSP refuses", name)
			}
		case "a", "link", "img":
			if to := a["href"] + a["src"]; n.Data == "a" && strings.HasPrefix(to, "https://") && strings.HasPrefix(a["rel"], "noopener") {
				continue // a card of the directory
			} else if !strings.HasPrefix(to, "/") && !strings.HasPrefix(to, "#") {
				t.Errorf("%s: leads out to %s", name, to)
			} else if rest, ok := strings.CutPrefix(to, "#"); ok {
				refs = append(refs, rest)
			}
		case "form":
			if a["method"] != "post" && a["role"] != "search" || !strings.HasPrefix(a["action"], "/") {
				t.Errorf("%s: form %v", name, a)
			}
		}
	}
	for _, id := range inputs {
		if !labels[id] {
			t.Errorf("%s: field %q has no label", name, id)
		}
	}
	for _, id := range refs {
		if !ids[id] {
			t.Errorf("%s: nothing has the id %q", name, id)
		}
	}
	if h1 != 1 {
		t.Errorf("%s: %d first headings", name, h1)
	}
	if strings.Contains(name, "errors") != (alerts == 1) && !strings.Contains(name, "unconfirmed") {
		t.Errorf("%s: %d alerts", name, alerts)
	}
	if m := regexp.MustCompile(`\b(proposal|home|directory|field|link|done|error|kind|role|region|notice|layout|form)\.[a-zA-Z.]+`).FindString(r.body); m != "" {
		t.Errorf("%s: a key instead of a text: %s", name, m)
	}
	if m := regexp.MustCompile(`>\s*[A-Z]+_[A-Z_]+\s*<`).FindString(r.body); m != "" {
		t.Errorf("%s: a code instead of a text: %s", name, m)
	}
}

func TestTexts(t *testing.T) {
	t.Parallel()
	placeholder := regexp.MustCompile(`\{\w+\}`)
	for _, file := range []string{"text.en.json", "text.it.json"} {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		m := map[string]string{}
		if err := json.Unmarshal(raw, &m); err != nil {
			t.Fatal(err)
		}
		for k, v := range m {
			en, ok := texts["en"][k]
			if !ok {
				t.Errorf("%s has %s, English has not", file, k)
			}
			a, b := placeholder.FindAllString(en, -1), placeholder.FindAllString(v, -1)
			sort.Strings(a)
			sort.Strings(b)
			if !slices.Equal(a, b) || v == "" {
				t.Errorf("%s: %s has %v, English %v", file, k, b, a)
			}
		}
		if len(m) != len(texts["en"]) {
			t.Errorf("%s has %d texts, English %d", file, len(m), len(texts["en"]))
		}
	}

	// Every key in the code and the templates has a text, and every text is
	// used; a key that the code puts together is used by its beginning.
	used := map[string]bool{}
	var begins []string
	key := regexp.MustCompile(`"([a-z][a-zA-Z]*(?:\.[A-Za-z_0-9]+)+\.?)"`)
	err := filepath.WalkDir(".", func(p string, _ fs.DirEntry, err error) error {
		if err != nil || strings.HasSuffix(p, "_test.go") || !strings.HasSuffix(p, ".go") && !strings.HasSuffix(p, ".html") {
			return err
		}
		raw, err := os.ReadFile(p)
		for _, m := range key.FindAllStringSubmatch(string(raw), -1) {
			used[m[1]] = true
		}
		for _, m := range regexp.MustCompile(`"([a-z]+\.(?:[a-z]+\.)*)"\s*\+`).FindAllStringSubmatch(string(raw), -1) {
			begins = append(begins, m[1])
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		begins = append(begins, l.name+".")
	}
	for k := range texts["en"] {
		if !used[k] && !slices.ContainsFunc(begins, func(b string) bool { return strings.HasPrefix(k, b) }) {
			t.Errorf("the text %s is never used", k)
		}
	}
	for _, prefix := range []string{"kind.", "role.", "region.", "proposal.", "done.", "home.", "signin.", "forgot.", "link.", "layout.", "form.", "field.", "notice."} {
		for k := range used {
			if strings.HasPrefix(k, prefix) && !strings.HasSuffix(k, ".") && !strings.HasSuffix(k, ".html") && texts["en"][k] == "" {
				t.Errorf("%s has no text", k)
			}
		}
	}
	for _, k := range access.Kinds {
		mustText(t, "kind."+string(k))
	}
	for _, r := range access.Roles {
		mustText(t, "role."+string(r))
	}
	for _, r := range region.All() {
		mustText(t, "region."+string(r.Code))
	}
	for _, s := range []partnership.ProposalState{partnership.ProposalAccepted, partnership.ProposalDeclined, partnership.ProposalExpired,
		partnership.ProposalRevoked, partnership.ProposalReplaced, partnership.ProposalPaused} {
		mustText(t, "proposal.state."+string(s))
		mustText(t, "proposal.state."+string(s)+".text")
	}
	for _, n := range notices {
		mustText(t, "notice."+n)
	}
	for _, o := range outcomes {
		mustText(t, "done."+o)
		mustText(t, "done."+o+".text")
	}
}

func mustText(t *testing.T, key string) {
	t.Helper()
	for _, l := range locales {
		if texts[l][key] == "" {
			t.Errorf("%s: no text for %s", l, key)
		}
	}
}

// TestAssetsAreSmall keeps the landing pages light: style and script together
// under 15 KB, and nothing from elsewhere.
func TestAssetsAreSmall(t *testing.T) {
	t.Parallel()
	total := 0
	for name := range mediaTypes {
		raw, err := staticFiles.ReadFile("static/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if name != "icon.svg" {
			total += len(raw)
			if strings.Contains(string(raw), "http") || strings.Contains(string(raw), "innerHTML") {
				t.Errorf("%s reaches out", name)
			}
		}
	}
	if total > 15<<10 {
		t.Errorf("style and script have %d bytes", total)
	}
	if strings.Contains(moment("it", time.Date(2026, 5, 1, 8, 3, 0, 0, time.UTC)), "May") {
		t.Error("an Italian date in English")
	}
	if got := countryName("it", "DE", "Germany") + countryName("en", "XX", "Somewhere"); got != "GermaniaSomewhere" {
		t.Error(got)
	}
}
