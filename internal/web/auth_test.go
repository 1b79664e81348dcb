package web

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/fault"
)

func TestAuthEndpoints(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser()
	b.get("/auth/session").is(200).has(`"signedIn":false`)
	r := b.json("/auth/sign-in", `{"email":"LUCA@contoso.example","password":"`+password+`"}`).is(200)
	var me whoami
	if err := json.Unmarshal([]byte(r.body), &me); err != nil {
		t.Fatal(err)
	}
	if !me.SignedIn || me.User.Name != "Luca Rossi" || me.Organization.Kind != access.IndirectReseller || me.Organization.Domain != "contoso.example" ||
		len(me.Roles) != 2 || len(me.Capabilities) == 0 || me.Session.ExpiresAt.IsZero() || !me.Session.SudoUntil.After(w.db.Now()) {
		t.Errorf("%+v", me)
	}
	b.get("/auth/session").is(200).has(`"signedIn":true`, `"email":"luca@contoso.example"`)

	b.json("/auth/reauthenticate", `{"password":"wrong wrong wrong"}`).is(422).code(account.CodePasswordWrong).has(`"path":["password"]`)
	old := b.client.Jar.Cookies(b.get("/healthz").Request.URL)[0].Value
	b.json("/auth/reauthenticate", `{"password":"`+password+`"}`).is(200).has("sudoUntil")
	if now := b.client.Jar.Cookies(b.get("/healthz").Request.URL)[0].Value; now == old {
		t.Error("reauthentication kept the token")
	}

	const fresh = "another good long phrase 7"
	b.json("/auth/change-password", `{"oldPassword":"nope nope nope","newPassword":"`+fresh+`"}`).is(422).code(account.CodePasswordWrong)
	b.json("/auth/change-password", `{"oldPassword":"`+password+`","newPassword":"short"}`).is(422).code(account.CodePasswordTooShort).has(`"path":["newPassword"]`)
	b.json("/auth/change-password", `{"oldPassword":"`+password+`","newPassword":"`+fresh+`"}`).is(204)
	b.get("/auth/session").has(`"signedIn":true`)

	r = b.json("/auth/sign-out", `{}`).is(204)
	if r.Header.Get("Clear-Site-Data") == "" || !strings.Contains(r.Header.Get("Set-Cookie"), "Max-Age=0") {
		t.Errorf("%v", r.Header)
	}
	b.get("/auth/session").has(`"signedIn":false`)
	b.json("/auth/sign-out", `{}`).is(204)
	b.json("/auth/sign-in", `{"email":"luca@contoso.example","password":"`+password+`"}`).is(401).code(account.CodeSignInFailed)
	b.json("/auth/sign-in", `{"email":"luca@contoso.example","password":"`+fresh+`"}`).is(200)

	b.json("/auth/forgot", `{"email":"luca@contoso.example"}`).is(202)
	b.json("/auth/forgot", `{"email":"nobody@contoso.example"}`).is(202)
	b.json("/auth/forgot", `{"email":"not an address"}`).is(422)
	b.json("/auth/reset", `{"token":"cgr_unknown","password":"`+fresh+`"}`).is(404).code(fault.CodeNotFound)
	b.json("/auth/link-preview", `{"token":"cgr_unknown"}`).is(200).has(`"state":"unknown"`)
}

func TestAuthThrottleTellsHowLong(t *testing.T) {
	t.Parallel()
	b := newWorld(t).browser()
	for i := range 12 {
		r := b.json("/auth/sign-in", `{"email":"luca@contoso.example","password":"wrong wrong wrong"}`)
		if r.StatusCode == 429 {
			if r.code(fault.CodeRateLimited).Header.Get("Retry-After") == "" || i < 4 {
				t.Errorf("attempt %d: %v", i, r.Header)
			}
			return
		}
		r.is(401).code(account.CodeSignInFailed)
	}
	t.Error("never throttled")
}

func TestAuthJoinAndSetUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser()
	setup := w.setupCode()
	b.json("/auth/link-preview", `{"token":"`+setup+`"}`).is(200).has(`"state":"valid"`, `"purpose":"setup"`)
	b.json("/auth/setup", `{"token":"`+setup+`","organizationName":"","domain":"operator.example","country":"IT","email":"olga@operator.example","firstName":"Olga","lastName":"Neri","password":"short"}`).
		is(422).has(`"path":["organizationName"]`, `"path":["password"]`)
	body := `{"token":"` + setup + `","organizationName":"Programme House","domain":"operator.example","country":"IT","email":"olga@operator.example","firstName":"Olga","lastName":"Neri","password":"` + password + `"}`
	b.json("/auth/setup", body).is(204)
	if r := b.json("/auth/setup", body); r.StatusCode != 409 && r.StatusCode != 404 {
		t.Errorf("set up twice: %d %s", r.StatusCode, r.body)
	}
	b.json("/auth/sign-in", `{"email":"olga@operator.example","password":"`+password+`"}`).is(200).has(`"kind":"OPERATOR"`)

	id := w.addUser(w.reseller, "ivo@contoso.example", "", access.HelpdeskAgent)
	join := w.keys.Capability("cgu", string(account.PurposeInvite), id, 1).Reveal()
	b.json("/auth/link-preview", `{"token":"`+join+`"}`).is(200).has(`"state":"valid"`, `"organization":"Contoso Rivendite"`, `"email":"i***@contoso.example"`)
	b.json("/auth/join", `{"token":"`+join+`","firstName":"Ivo","lastName":"Bianchi","password":"`+password+`","locale":"it"}`).is(204)
	b.json("/auth/join", `{"token":"`+join+`","firstName":"Ivo","lastName":"Bianchi","password":"`+password+`","locale":"it"}`).is(409).code(account.CodeLinkUsed)
	b.json("/auth/sign-in", `{"email":"ivo@contoso.example","password":"`+password+`"}`).is(200).has(`"locale":"it"`)
}

func TestStrictJSON(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser()
	for name, c := range map[string]struct {
		media, body string
		status      int
		code        string
	}{
		"empty":              {"application/json", ``, 400, codeBadJSON},
		"not JSON":           {"application/json", `{"email":`, 400, codeBadJSON},
		"array":              {"application/json", `[{"email":"a"}]`, 400, codeBadJSON},
		"null":               {"application/json", `null`, 400, codeBadJSON},
		"text":               {"application/json", `"x"`, 400, codeBadJSON},
		"two objects":        {"application/json", `{"email":"a"}{"email":"b"}`, 400, codeBadJSON},
		"rubbish after":      {"application/json", `{"email":"a"} x`, 400, codeBadJSON},
		"unknown field":      {"application/json", `{"email":"a@b.co","admin":true}`, 400, codeBadJSON},
		"wrong type":         {"application/json", `{"email":5}`, 400, codeBadJSON},
		"field twice":        {"application/json", `{"email":"a@b.co","EMAIL":"c@d.co"}`, 400, codeBadJSON},
		"broken UTF-8 kind":  {"application/json; charset=latin1", `{}`, 415, codeMediaType},
		"form":               {"application/x-www-form-urlencoded", `email=a`, 415, codeMediaType},
		"text/plain":         {"text/plain", `{"email":"a"}`, 415, codeMediaType},
		"no type":            {"", `{"email":"a"}`, 415, codeMediaType},
		"too large":          {"application/json", `{"email":"` + strings.Repeat("x", maxJSON) + `"}`, 413, codeTooLarge},
		"deep":               {"application/json", `{"email":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `}`, 400, codeBadJSON},
		"canary not echoed":  {"application/json", `{"canary-field":1}`, 400, codeBadJSON},
		"control characters": {"application/json", "{\"email\":\"a\x01\"}", 400, codeBadJSON},
	} {
		t.Run(name, func(t *testing.T) {
			for _, path := range []string{"/auth/forgot", "/auth/sign-in"} {
				b.do("POST", path, c.media, c.body).is(c.status).code(c.code).lacks("canary")
			}
		})
	}
	b.do("POST", "/auth/forgot", "application/json; charset=UTF-8", `{"email":"x@contoso.example"}`).is(202)
	for _, m := range []string{"GET", "PUT", "DELETE", "PATCH"} {
		if r := b.do(m, "/auth/sign-in", "", "").is(405).code(codeMethod); r.Header.Get("Allow") != "POST" {
			t.Errorf("Allow %q", r.Header.Get("Allow"))
		}
	}
	b.json("/auth/nothing", "{}").is(404).code(codeNoRoute)
	b.json("/auth/session", "{}").is(405)
}

func TestErrorsSpeakTheLanguage(t *testing.T) {
	t.Parallel()
	b := newWorld(t).browser()
	en := b.json("/auth/sign-in", `{"email":"x@y.example","password":"z"}`).is(401).body
	b.header.Set("Accept-Language", "it")
	it := b.json("/auth/sign-in", `{"email":"x@y.example","password":"z"}`).is(401).body
	if en == it || fmt.Sprint(len(it)) == "0" {
		t.Errorf("the same sentence twice: %s", it)
	}
}

func TestGETOnlyLooks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(d *Deps) { d.Dev = true })
	_, code := w.invite("luca@contoso.example")
	b := w.browser().signIn("luca@contoso.example")
	before := w.counts()
	for _, path := range []string{"/", "/?lang=it", "/sign-in", "/forgot", "/l/reset", "/l/join", "/l/setup", "/l/partnership", "/l/partnership/preview",
		"/l/partnership/authorize", "/l/partnership/declined", "/l/partnership?code=" + code, "/l/reset/preview", "/auth/session", "/sign-out", "/language",
		"/sessions/end-others", "/robots.txt", "/healthz", "/readyz", "/static/page.js", "/static/icon.svg"} {
		b.get(path)
		b.do("HEAD", path, "", "")
	}
	// What the script asks for while a page loads changes nothing either.
	b.post("/l/partnership/preview", "code", code).is(200)
	b.post("/l/reset/preview", "code", "cgr_x").is(200)
	b.post("/l/join/preview", "code", "cgu_x").is(200)
	b.post("/l/setup/preview", "code", "cgf_x").is(200)
	b.json("/auth/link-preview", `{"token":"cgf_x"}`).is(200)
	if after := w.counts(); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("looking changed something:\n%v\n%v", before, after)
	}
}
