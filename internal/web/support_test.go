package web

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/calendar"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/file"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/mail"
	"github.com/channelgraph/channelgraph/internal/secret"
	"github.com/channelgraph/channelgraph/internal/support"
)

// supportWorld is a world with support, where Luca has asked for help; it gives
// the code of the mails about that.
func supportWorld(t *testing.T) (*world, *support.Service, *support.Request, string) {
	t.Helper()
	var s *support.Service
	w := newWorld(t, func(d *Deps) {
		keys, err := secret.NewKeys(make([]byte, 32))
		if err != nil {
			t.Fatal(err)
		}
		mailer, err := mail.New(d.DB, keys, mail.Config{SMTPURL: "smtp://127.0.0.1:2525", From: "center@example.com", PublicURL: "http://localhost:8080"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(mailer.Close)
		d.File = file.New(d.DB)
		s = support.New(d.DB, d.Account, d.File, calendar.New(d.DB, time.UTC), mailer, keys)
		d.Support = s
	})
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		org, err := w.accounts.Found(ctx, tx, access.System("test"), account.NewOrganization{Kind: access.Operator, Name: "House", Domain: "house.example", Country: "IT"})
		if err != nil {
			return err
		}
		_, _, err = w.accounts.AddUser(ctx, tx, access.System("test"), org,
			account.NewUser{Email: "rita@house.example", FirstName: "Rita", LastName: "Verdi", Roles: []access.Role{access.Reviewer}, Password: password})
		return err
	})
	f, err := file.New(w.db).Upload(t.Context(), w.reseller, file.UploadInput{Purpose: file.ForAttachment, Name: "log.txt", Content: []byte("It says no.")})
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Open(t.Context(), w.reseller, support.OpenInput{Kind: support.General, Subject: "Licences <missing>", Text: "Where are they?"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Reply(t.Context(), w.reseller, support.ReplyInput{RequestID: r.ID, Text: "See the log.", FileIDs: []ident.ID{f.ID}}); err != nil {
		t.Fatal(err)
	}
	return w, s, r, w.keys.Capability(support.LinkPrefix, support.LinkPurpose, r.ID, 1).Reveal()
}

// TestSupportThread is the way of a mailed link: paste the code, sign in, read
// the thread, answer; both sides use the same one.
func TestSupportThread(t *testing.T) {
	t.Parallel()
	w, _, _, code := supportWorld(t)
	luca := w.browser()
	luca.get("/l/support").is(200).has("Paste the code from the email about your support request")
	before := fmt.Sprint(w.counts())
	luca.post("/l/support/preview", "code", "http://localhost:8080/l/support#"+code).is(200).has("Sign in with your work account").lacks("Where are they?", "Licences")
	luca.post("/l/support/reply", "code", code, "text", "T").is(401).lacks("Where are they?")
	if after := fmt.Sprint(w.counts()); after != before {
		t.Errorf("looking changed something: %s, was %s", after, before)
	}
	luca.post("/l/support/sign-in", "code", code, "email", "luca@contoso.example", "password", "wrong wrong wrong").is(401).has(`role="alert"`)
	luca.post("/l/support/sign-in", "code", code, "email", "luca@contoso.example", "password", password).is(307).to("/l/support/preview")
	page := luca.post("/l/support/preview", "code", code).is(200).has("Licences &lt;missing&gt;", "Where are they?", "See the log.", "log.txt", "First answer by", "Luca Rossi", "Send").
		lacks("waits for the partner’s answer", "only for the operator")
	key := keyField.FindStringSubmatch(page.body)[1]
	for range 2 { // the second click
		luca.post("/l/support/reply", "code", code, "key", key, "text", "And the ones of May?").is(303).to("/l/support/sent")
	}
	luca.get("/l/support/sent").is(200).has("Your message was sent")
	luca.post("/l/support/reply", "code", code, "text", " ").is(422).has(`href="#f-text"`)
	luca.post("/l/support/reply", "code", code, "text", strings.Repeat("x", support.MaxText+1)).is(422).has("xxxxx")

	rita := w.browser().signIn("rita@house.example")
	page = rita.post("/l/support/preview", "code", code).is(200).has("And the ones of May?", "waits for the partner’s answer")
	if n := strings.Count(page.body, "And the ones of May?"); n != 1 {
		t.Errorf("sent %d times", n)
	}
	rita.post("/l/support/reply", "code", code, "text", "Which ones?", "attention", "yes").is(303)
	luca.post("/l/support/preview", "code", code).is(200).has("Waits for the partner", "Which ones?", "<strong>Support</strong>").lacks("Rita")
	rita.post("/l/support/close", "code", code, "text", "").is(422)
	rita.post("/l/support/close", "code", code, "text", "They are there.").is(303).to("/l/support/closed")
	rita.get("/l/support/closed").is(200).has("The request is closed")
	luca.post("/l/support/reply", "code", code, "text", "T").is(409).has(sentence(support.CodeClosed))
	luca.post("/l/support/preview", "code", code).is(200).has("Can be reopened until", "They are there.", "Reopen the request").lacks(">Send<")
	luca.post("/l/support/reopen", "code", code, "text", "Gone again.").is(303).to("/l/support/reopened")
	luca.get("/l/support/reopened").is(200)
	luca.post("/l/support/close", "code", code, "text", "").is(303)
	w.db.Clock().Advance(15 * 24 * time.Hour)
	luca = w.browser().signIn("luca@contoso.example")
	luca.post("/l/support/preview", "code", code).is(200).has("takes no more answers").lacks("Reopen the request")
	luca.post("/l/support/reopen", "code", code, "text", "T").is(409).has(sentence(support.CodeReopenTooLate))
	if strings.Contains(w.log.String(), code) {
		t.Error("the code is in the log")
	}
}

// Who follows somebody else's link finds nothing, as with an unknown code.
func TestSupportStrangers(t *testing.T) {
	t.Parallel()
	w, _, _, code := supportWorld(t)
	joe := w.browser().signIn("joe@fabrikam.example")
	for _, c := range []string{code, code + "x", ""} {
		joe.post("/l/support/preview", "code", c).is(404).has("There is no such request for you", "Use another account").lacks("Licences", "Contoso")
		joe.post("/l/support/reply", "code", c, "text", "T").is(404).lacks("Licences")
	}
	joe.post("/l/support/switch", "code", code).is(307).to("/l/support/preview")
	joe.post("/l/support/preview", "code", code).is(200).has("Sign in with your work account")
	for _, path := range []string{"preview", "sign-in", "reply", "close", "reopen", "switch"} {
		joe.get("/l/support/" + path).is(303).to("/l/support")
	}
	joe.get("/l/support/nothing").is(404)
}
