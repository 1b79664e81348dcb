package web

import (
	"strings"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/customer"
	"github.com/channelgraph/channelgraph/internal/invitation"
	"github.com/channelgraph/channelgraph/internal/partnership"
)

// together has Contoso invite an address for itself and Northwind.
func (w *world) together(to string) (*invitation.Invitation, string) {
	w.t.Helper()
	l, err := w.joined.Link(w.t.Context(), w.provider)
	if err != nil {
		w.t.Fatal(err)
	}
	_, code, _ := strings.Cut(l.URL, "#")
	if _, err := w.joined.Accept(w.t.Context(), w.reseller, partnership.AcceptInput{Code: code, Confirmed: true}); err != nil {
		w.t.Fatal(err)
	}
	out, err := w.sold.Invite(w.t.Context(), w.reseller, customer.InviteInput{Email: to, ProviderID: &w.provider.PartnerID, Text: "As agreed.",
		Delegation: customer.Delegation{Roles: []customer.Role{customer.AccountAdmin}, Days: 90}})
	if err != nil {
		w.t.Fatal(err)
	}
	return out.Invitation, w.code(out.Invitation)
}

// TestCustomerAccepts is the customer's journey without a script: see who asks
// and what each gets, sign in, tick the boxes, press the button.
func TestCustomerAccepts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.addCustomer("cleo@bakery.example")
	inv, code := w.together("cleo@bakery.example")
	b := w.browser()
	b.get("/l/customer").is(200).has("Nothing is accepted yet", "Code from your email")
	card := b.post("/l/customer/preview", "code", "http://localhost:8080/l/customer#"+code).is(200)
	card.has("Contoso Rivendite invites your company", "Northwind Distribution", "Provider", "Reseller", "submits orders for you", "advises you", "Italy", "Luca Rossi",
		"c***@bakery.example", "Valid until", "what you bought elsewhere stays as it is", "administer in your account for 90 days", "withdraw it at any time",
		"<blockquote>As agreed.</blockquote>", "Sign in to decide").lacks("cleo@bakery.example", "Accept</button>", "No work account yet?")
	b.post("/l/customer/accept", "code", code, "confirmed", "yes").is(401).has("sign in")
	b.post("/l/customer/sign-in", "code", code, "email", "cleo@bakery.example", "password", "wrong wrong wrong").is(401).has(`role="alert"`)
	b.post("/l/customer/sign-in", "code", code, "email", "cleo@bakery.example", "password", password).is(307).to("/l/customer/preview")
	card = b.post("/l/customer/preview", "code", code).is(200).has("Signed in as", "I accept the customer agreement", "Let them administer in our account for 90 days",
		"Northwind Distribution and Contoso Rivendite become partners of our company", "Accept</button>", "Decline this invitation")
	key := keyField.FindStringSubmatch(card.body)[1]
	b.post("/l/customer/accept", "code", code, "key", key, "confirmed", "yes").is(422).has(`href="#f-acceptsAgreement"`, "checked")
	b.post("/l/customer/accept", "code", code, "key", key, "acceptsAgreement", "yes").is(422).has(`href="#f-confirmed"`)
	b.post("/l/customer/accept", "code", code, "key", key, "acceptsAgreement", "yes", "confirmed", "yes", "delegate", "yes").is(303).to("/l/customer/accepted")
	b.get("/l/customer/accepted").is(200).has("Your company has accepted", "withdraw what they may administer")
	b.post("/l/customer/accept", "code", code, "key", key, "acceptsAgreement", "yes", "confirmed", "yes", "delegate", "yes").is(303).to("/l/customer/accepted")
	b.post("/l/customer/preview", "code", code).is(200).has("This invitation was accepted on ").lacks(`role="alert"`)
	b.post("/l/customer/decline", "code", code).is(200).has("This invitation was accepted on ")
	b.get("/l/customer/preview").is(303).to("/l/customer")
	b.get("/l/customer/nothing").is(404)
	if strings.Contains(w.log.String(), code) || strings.Contains(w.log.String(), string(inv.ID)) {
		t.Error("the code is in the log")
	}
}

func TestCustomerDeclines(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.addCustomer("cleo@bakery.example")
	_, code := w.together("cleo@bakery.example")
	b := w.browser().signIn("cleo@bakery.example")
	b.post("/l/customer/decline", "code", code, "reason", strings.Repeat("x", 501)).is(422).has("<details open>", `href="#f-reason"`)
	b.post("/l/customer/decline", "code", code, "reason", "We stay").is(303).to("/l/customer/declined")
	b.get("/l/customer/declined").is(200).has("The invitation is declined")
	b.post("/l/customer/accept", "code", code, "confirmed", "yes", "acceptsAgreement", "yes").is(200).has("This invitation was declined on ")
	w.browser().post("/l/customer/preview", "code", "cgi_unknown").is(200).has("We do not know this code")
	w.browser().post("/l/customer/new-link", "code", "cgi_unknown").is(404)
}

func TestWhoMayAcceptAsCustomer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.addUser(w.addCustomer("cleo@bakery.example"), "ivo@bakery.example", password, access.BillingAdmin)
	_, code := w.together("cleo@bakery.example")
	for _, c := range []struct{ email, has string }{
		{"ivo@bakery.example", "Only a Global admin of your company can accept"}, {"anna@northwind.example", sentence(partnership.CodeSelfDealing)},
		{"joe@fabrikam.example", sentence(customer.CodeTenantIsPartner)},
	} {
		b := w.browser().signIn(c.email)
		b.post("/l/customer/preview", "code", code).is(200).has(c.has).lacks("Accept</button>")
		if r := b.post("/l/customer/accept", "code", code, "confirmed", "yes", "acceptsAgreement", "yes"); r.StatusCode != 403 && r.StatusCode != 409 {
			t.Errorf("%s: %d", c.email, r.StatusCode)
		}
		b.post("/l/customer/switch", "code", code).is(307).to("/l/customer/preview")
	}
	b := w.browser().signIn("cleo@bakery.example")
	w.db.Clock().Advance(20 * time.Minute)
	b.post("/l/customer/preview", "code", code).has("enter your password once more")
	b.post("/l/customer/accept", "code", code, "confirmed", "yes", "acceptsAgreement", "yes").is(403)
	b.post("/l/customer/accept", "code", code, "confirmed", "yes", "acceptsAgreement", "yes", "password", "wrong wrong wrong").is(422).has(`href="#f-password"`)
	b.post("/l/customer/accept", "code", code, "confirmed", "yes", "acceptsAgreement", "yes", "password", password).is(303).to("/l/customer/accepted")
}

// A company without a work account makes one on the card, is signed in, and
// accepts; in its own language.
func TestCustomerSetsUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, code := w.together("nina@libero.example")
	b := w.browser()
	b.post("/l/customer/preview", "code", code).is(200).has("No work account yet? Make one", "customer/set-up")
	b.post("/l/customer/set-up", "code", code, "country", "IT", "password", "short").is(422).
		has("<details open>", `href="#f-companyName"`, `href="#f-line1"`, `href="#f-city"`, `href="#f-domainPrefix"`, `href="#f-firstName"`, `href="#f-password"`)
	full := []string{"code", code, "companyName", "Libero Marmi", "domainPrefix", "libero", "line1", "Via Roma 1", "postalCode", "54033", "city", "Carrara", "country", "IT",
		"billingEmail", "billing@libero.example", "firstName", "Nina", "lastName", "Libero", "password", password}
	b.post("/l/customer/set-up", full...).is(307).to("/l/customer/preview")
	b.post("/l/customer/preview", "code", code).is(200).has("Nina Libero", "Libero Marmi", "Accept</button>").lacks("No work account yet?")
	b.post("/l/customer/accept", "code", code, "confirmed", "yes", "acceptsAgreement", "yes").is(303).to("/l/customer/accepted")
	w.browser().post("/l/customer/set-up", full...).is(200).has("This invitation was accepted on ")
	if n := w.counts()["partnership"]; n != 1 {
		t.Errorf("%d partnerships", n)
	}
}
