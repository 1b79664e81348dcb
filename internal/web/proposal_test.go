package web

import (
	"context"
	"fmt"
	"html/template"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/partnership"
)

var keyField = regexp.MustCompile(`name="key" value="([^"]+)"`)

// TestAuthorize is the recipient's journey without a script: paste the code,
// see the card, sign in on it, tick the box, press the button.
func TestAuthorize(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	inv, code := w.invite("luca@contoso.example")
	if _, err := w.db.Bun().ExecContext(t.Context(), "UPDATE invitation SET text = 'We met in Milan.'"); err != nil {
		t.Fatal(err)
	}
	b := w.browser()
	b.get("/l/partnership").is(200).has("Nothing is accepted yet", "Code from your email")
	card := b.post("/l/partnership/preview", "code", "http://localhost:8080/l/partnership#"+code).is(200)
	card.has("Northwind Distribution asks to become your indirect provider", "Italy", "Europe", "Anna Rossi", "l***@contoso.example", "Valid until",
		"submit orders on behalf of your customers", "add subscriptions for your customers", "administrator access to your company’s work account",
		"can be withdrawn at any time", "Sign in to decide", "Not enrolled yet?", "Keep the invitation waiting",
		"Message written by Anna Rossi at Northwind Distribution, not by channelgraph", "<blockquote>We met in Milan.</blockquote>",
		`name="code" value="`+code+`"`).lacks("Authorize indirect provider", "luca@contoso.example")

	b.post("/l/partnership/authorize", "code", code, "confirmed", "yes").is(401).has("sign in") // nobody
	b.post("/l/partnership/sign-in", "code", code, "email", "luca@contoso.example", "password", "wrong wrong wrong").is(401).
		has(`role="alert"`, `value="luca@contoso.example"`, `name="code" value="`+code+`"`)
	b.post("/l/partnership/sign-in", "code", code, "email", "luca@contoso.example", "password", password).is(307).to("/l/partnership/preview")
	card = b.post("/l/partnership/preview", "code", code).is(200).has("Signed in as", "Luca Rossi", "Contoso Rivendite", "luca@contoso.example",
		"Use another account", "Authorize indirect provider", "Decline this request").lacks("Sign in to decide")
	key := keyField.FindStringSubmatch(card.body)[1]

	before := w.counts()
	b.post("/l/partnership/authorize", "code", code, "key", key).is(422).has(`role="alert"`, `aria-invalid="true"`)
	if after := w.counts(); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("without the box something changed: %v %v", before, after)
	}
	r := b.post("/l/partnership/authorize", "code", code, "key", key, "confirmed", "yes").is(303)
	if !regexp.MustCompile(`^/l/partnership/authorized\?partnership=psh_[0-9a-z]{26}$`).MatchString(r.Header.Get("Location")) {
		t.Fatalf("Location %q", r.Header.Get("Location"))
	}
	done := r.Header.Get("Location")
	b.get(done).is(200).has("Northwind Distribution is now your indirect provider", "withdraw the provider’s administrator access")
	// The second click, and the same link later.
	b.post("/l/partnership/authorize", "code", code, "key", key, "confirmed", "yes").is(303).to(done)
	b.post("/l/partnership/authorize", "code", code, "key", "another", "confirmed", "yes").is(303).to(done)
	b.post("/l/partnership/preview", "code", code).is(200).has("This request was accepted on ", moment("en", w.db.Now())[:10], "is on your list of indirect providers").lacks(`role="alert"`)
	b.post("/l/partnership/decline", "code", code).is(200).has("This request was accepted on ").lacks(`role="alert"`)
	if n := w.counts()["partnership"]; n != 1 {
		t.Errorf("%d partnerships", n)
	}
	// Nobody else learns of it by its id.
	w.browser().get(done).is(303).to("/")
	w.browser().signIn("joe@fabrikam.example").get(done).is(303).to("/")
	b.get("/l/partnership/authorized").is(303).to("/")
	b.get("/l/partnership/authorized?partnership=psh_x").is(303).to("/")
	if strings.Contains(w.log.String(), code) || strings.Contains(w.log.String(), string(inv.ID)) {
		t.Error("the code is in the log")
	}
}

func TestAuthorizeAsksForThePasswordAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, code := w.invite("luca@contoso.example")
	b := w.browser().signIn("luca@contoso.example")
	b.post("/l/partnership/preview", "code", code).lacks("enter your password once more")
	w.db.Clock().Advance(20 * time.Minute)
	b.post("/l/partnership/preview", "code", code).has("enter your password once more", `type="password"`)
	b.post("/l/partnership/authorize", "code", code, "confirmed", "yes").is(403).has(`role="alert"`, " checked")
	b.post("/l/partnership/authorize", "code", code, "confirmed", "yes", "password", "wrong wrong wrong").is(422).has(`href="#f-password"`)
	if w.counts()["partnership"] != 0 {
		t.Fatal("authorized with a wrong password")
	}
	b.post("/l/partnership/authorize", "code", code, "confirmed", "yes", "password", password).is(303)
	b.get("/").is(200).has("Luca Rossi") // under the new token
}

func TestDecline(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, code := w.invite("luca@contoso.example")
	b := w.browser().signIn("luca@contoso.example")
	b.post("/l/partnership/decline", "code", code, "reason", strings.Repeat("x", 501)).is(422).has("<details open>", `href="#f-reason"`, "xxxxx")
	b.post("/l/partnership/decline", "code", code, "reason", "We have one already").is(303).to("/l/partnership/declined")
	b.get("/l/partnership/declined").is(200).has("The request is declined")
	b.post("/l/partnership/preview", "code", code).is(200).has("This request was declined on ").lacks("Authorize indirect provider")
	b.post("/l/partnership/authorize", "code", code, "confirmed", "yes").is(200).has("This request was declined on ").lacks(`role="alert"`)
	if w.counts()["partnership"] != 0 {
		t.Error("a declined request was accepted")
	}
}

func TestWhoMayAuthorize(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.addUser(w.reseller, "ivo@contoso.example", password, access.HelpdeskAgent)
	w.addCustomer("cleo@bakery.example")
	_, code := w.invite("someone@contoso.example")
	for _, c := range []struct {
		email string
		has   []string
	}{
		{"ivo@contoso.example", []string{"Only a Global admin of your company can authorize"}},
		{"joe@fabrikam.example", []string{"This account cannot authorize the provider", sentence(partnership.CodeRegionMismatch), sentence("NEXT_ENROLL_REGION")}},
		{"anna@northwind.example", []string{"This account cannot authorize the provider", sentence(partnership.CodeSelfDealing)}},
		{"cleo@bakery.example", []string{"Enroll first", "Keep the invitation waiting"}},
	} {
		b := w.browser().signIn(c.email)
		b.post("/l/partnership/preview", "code", code).is(200).has(c.has...).has("Use another account").lacks("Authorize indirect provider</button>")
		r := b.post("/l/partnership/authorize", "code", code, "confirmed", "yes")
		if r.StatusCode != 403 && r.StatusCode != 409 {
			t.Errorf("%s: %d", c.email, r.StatusCode)
		}
		r.has(`role="alert"`)
		// Switching signs out and comes back to the same card.
		b.post("/l/partnership/switch", "code", code).is(307).to("/l/partnership/preview")
		b.post("/l/partnership/preview", "code", code).has("Sign in to decide")
	}
	if w.counts()["partnership"] != 0 {
		t.Error("somebody authorized who may not")
	}
}

// sentence is an English sentence as a page writes it.
func sentence(code string) string { return template.HTMLEscapeString(fault.Text("en", code, nil)) }

func TestKeepWaiting(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, code := w.invite("new@newcomer.example")
	b := w.browser()
	b.post("/l/partnership/wait", "code", "cgi_unknown").is(404).has("We do not know this code")
	b.post("/l/partnership/wait", "code", code).is(303).to("/l/partnership/waiting")
	b.get("/l/partnership/waiting").is(200).has("The invitation waits for you")
	b.post("/l/partnership/preview", "code", code).has("The invitation waits until your company is enrolled").lacks("Keep the invitation waiting")
	b.post("/l/partnership/wait", "code", code).is(303)
}

func TestDeadLinks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, code := w.invite("luca@contoso.example")
	b := w.browser()
	b.post("/l/partnership/new-link", "code", code).is(409) // it still works
	w.db.Clock().Advance(31 * 24 * time.Hour)
	b.post("/l/partnership/preview", "code", code).is(200).has("This link expired on ", "From Northwind Distribution", "Ask for a new link", "Nothing was accepted.")
	b.post("/l/partnership/new-link", "code", code).is(303).to("/l/partnership/asked")
	b.get("/l/partnership/asked").is(200).has("The provider is told")
	b.post("/l/partnership/new-link", "code", "cgi_unknown").is(404)
	in := w.browser().signIn("luca@contoso.example")
	in.post("/l/partnership/authorize", "code", code, "confirmed", "yes").is(200).has("This link expired on ")

	// A resend kills the former link.
	sent, err := w.joined.Request(t.Context(), w.freshProvider(), partnership.RequestInput{Email: "second@contoso.example"})
	if err != nil {
		t.Fatal(err)
	}
	old := w.code(sent.Invitation)
	newer := *sent.Invitation
	newer.Generation++
	b.post("/l/partnership/preview", "code", w.code(&newer)).has("We do not know this code")
	b.post("/l/partnership/preview", "code", old).has("asks to become your indirect provider")
}

// freshProvider is the provider's admin, freshly signed in.
func (w *world) freshProvider() access.Actor {
	a := w.provider
	a.SudoUntil = w.db.Now().Add(time.Hour)
	return a
}

func TestPersonalLink(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	link, err := w.joined.Link(t.Context(), w.provider)
	if err != nil {
		t.Fatal(err)
	}
	_, code, ok := strings.Cut(link.URL, "#")
	if !ok || !strings.HasPrefix(code, "cgl_") {
		t.Fatal(link.URL)
	}
	b := w.browser()
	b.post("/l/partnership/preview", "code", code).is(200).has("Northwind Distribution asks", "then follow the provider’s link again").
		lacks("Keep the invitation waiting", "Sent to")
	b.signIn("luca@contoso.example")
	b.post("/l/partnership/preview", "code", code).has("Authorize indirect provider").lacks("Decline this request")
	if _, err := w.joined.SetLinkPaused(t.Context(), w.provider, partnership.SetLinkPausedInput{Paused: true}); err != nil {
		t.Fatal(err)
	}
	b.post("/l/partnership/preview", "code", code).has("This link is paused")
	b.post("/l/partnership/authorize", "code", code, "confirmed", "yes").is(200).has("This link is paused")
	if _, err := w.joined.SetLinkPaused(t.Context(), w.provider, partnership.SetLinkPausedInput{}); err != nil {
		t.Fatal(err)
	}
	done := b.post("/l/partnership/authorize", "code", code, "confirmed", "yes").is(303).Header.Get("Location")
	// The second click, and the link followed once more, also when it has been replaced.
	b.post("/l/partnership/authorize", "code", code, "confirmed", "yes").is(303).to(done)
	if _, err := w.joined.RotateLink(t.Context(), w.provider, partnership.RotateLinkInput{}); err != nil {
		t.Fatal(err)
	}
	b.post("/l/partnership/authorize", "code", code, "confirmed", "yes").is(303).to(done)
	b.post("/l/partnership/preview", "code", code).is(200).has("This request was accepted on ", "Northwind Distribution is on your list of indirect providers", "Go to the start page").
		lacks(`role="alert"`, "Authorize indirect provider")
	w.browser().post("/l/partnership/preview", "code", code).has("A newer link replaced this one").lacks("on your list")
}

func TestItalianProposal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, code := w.invite("luca@contoso.example")
	b := w.browser()
	b.header.Set("Accept-Language", "it")
	b.post("/l/partnership/preview", "code", code).is(200).has(`lang="it"`, "Northwind Distribution chiede di diventare il tuo provider indiretto",
		"inviare ordini per conto dei tuoi clienti", "aggiungere sottoscrizioni per i tuoi clienti", "Italia", "Europa", "Tieni l’invito in attesa")
	b.post("/l/partnership/sign-in", "code", code, "email", "luca@contoso.example", "password", password).is(307)
	b.post("/language", "lang", "it", "page", "partnership", "code", code).is(307).to("/l/partnership/preview")
	b.post("/l/partnership/preview", "code", code, "lang", "it", "page", "partnership").is(200).has("Autorizza provider indiretto", `lang="it"`)
	b.post("/l/partnership/authorize", "code", code).is(422).has(`<title>Errore: `)
}

// TestHostileTexts plants HTML where people write, below the rules that refuse
// it, and finds it inert on the pages.
func TestHostileTexts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, code := w.invite("luca@contoso.example")
	const evil = `<img src=x onerror=alert(1)>"'{{.}}{company}`
	for _, set := range []string{
		"UPDATE partner SET legal_name = ?", "UPDATE organization SET name = ?", "UPDATE user_account SET first_name = ?", "UPDATE invitation SET text = ?",
	} {
		if _, err := w.db.Bun().ExecContext(context.Background(), set, evil); err != nil {
			t.Fatal(err)
		}
	}
	b := w.browser().signIn("luca@contoso.example")
	for _, r := range []*reply{b.get("/"), b.get("/sign-in"), b.post("/l/partnership/preview", "code", code),
		b.post("/l/partnership/preview", "code", evil), b.post("/l/partnership/decline", "code", code, "reason", evil+strings.Repeat("x", 600)),
		b.post("/sign-in", "email", evil, "password", evil), b.get("/" + "%3Cimg%20src=x%20onerror=alert(1)%3E")} {
		r.lacks("<img src=x", `onerror=alert(1)>`)
	}
	b.post("/l/partnership/preview", "code", code).has("&lt;img src=x onerror=alert(1)&gt;")
}
