package order

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/customer"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/page"
	"github.com/channelgraph/channelgraph/internal/partner"
	"github.com/channelgraph/channelgraph/internal/rollup"
	"github.com/channelgraph/channelgraph/internal/subscription"
)

func TestReviewFixesPrices(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o := w.start(w.gina, StartInput{ResellerID: &w.reseller.ID, Newcomer: newcomer("contoso"),
		Lines: []LineInput{w.line("BASIC", 10), w.line("SUITE", 5), w.line("ADDON", 4), w.line("TRIAL", 25)}})
	if o.Currency != "" || FirstCharge(o.Lines) != nil || len(Totals(o.Lines)) != 0 {
		t.Error("a draft has prices")
	}
	o = w.review(w.gina, o)
	var out []string
	for _, l := range w.read(o.ID).Lines {
		out = append(out, l.OfferName+" "+l.Price().Decimal()+" "+l.Total().Decimal()+fmt.Sprint(" ", l.AutoRenew))
	}
	want(t, "lines", strings.Join(out, ", "), "Basic 67.20 672.00 true, Suite 120.00 600.00 true, Add-on 2.00 8.00 true, Trial 0.00 0.00 false")
	out = nil
	for _, x := range Totals(o.Lines) {
		out = append(out, string(x.BillingCycle)+" "+x.Price.Decimal()+" "+x.Price.Currency)
	}
	want(t, "totals", strings.Join(out, ", "), "MONTHLY 8.00 EUR, ANNUAL 1272.00 EUR")
	want(t, "first charge", FirstCharge(o.Lines).Decimal()+" "+o.Currency, "1280.00 EUR")
	saved, err := w.Save(t.Context(), w.gina, SaveInput{OrderID: o.ID, Newcomer: newcomer("contoso")})
	if err != nil || saved.ReviewedAt != nil || w.read(o.ID).Lines[0].IsPriced() {
		t.Errorf("a saved order is still reviewed: %+v, %v", saved, err)
	}
	_, err = w.Submit(t.Context(), w.gina, SubmitInput{OrderID: o.ID})
	wantCode(t, err, CodeNotReviewed)
}

func TestReviewSaysAllThatIsWrong(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	w.add(w.vera, "taken", nil)
	review := func(in StartInput) string {
		t.Helper()
		o := w.start(w.gina, in)
		before := w.rows()
		_, err := w.Review(ctx, w.gina, ReviewInput{OrderID: o.ID})
		w.same(before)
		return problems(err)
	}
	want(t, "nothing at all", review(StartInput{}), "lines ORDER_LINES_REQUIRED; newcomer.admin.email REQUIRED; newcomer.admin.firstName REQUIRED; newcomer.admin.lastName REQUIRED; "+
		"newcomer.agreement CUSTOMER_AGREEMENT_REQUIRED; newcomer.details.address.country COUNTRY_UNKNOWN; newcomer.details.billingEmail REQUIRED; "+
		"newcomer.details.companyName REQUIRED; newcomer.details.domainPrefix DOMAIN_PREFIX_INVALID")
	want(t, "lines", review(StartInput{Newcomer: newcomer("contoso"), Lines: []LineInput{w.line("FRANCE", 1), w.line("CLOUD", 2), w.line("TRIAL", 26), w.line("ADDON", 301),
		{OfferID: w.sku["CLOUD"], Quantity: 1, Term: "P1Y", BillingCycle: "MONTHLY"}}}),
		"lines.0.offerId OFFER_NOT_SOLD_IN_COUNTRY; lines.1.quantity QUANTITY_TOO_HIGH; lines.2.quantity QUANTITY_TOO_HIGH; lines.3.offerId PREREQUISITE_MISSING; "+
			"lines.3.quantity QUANTITY_TOO_HIGH; lines.4.term TERM_NOT_OFFERED")
	taken := newcomer("taken")
	taken.Admin.Email = "ada@taken.example"
	want(t, "what others have", review(StartInput{Newcomer: taken, Lines: []LineInput{w.line("BASIC", 1)}}),
		"newcomer.admin.email EMAIL_NOT_AVAILABLE; newcomer.details.domainPrefix DOMAIN_NOT_AVAILABLE")
	taken.Details.RegistrationID = "123"
	want(t, "that and more", review(StartInput{Newcomer: taken, Lines: []LineInput{w.line("BASIC", 1)}}),
		"newcomer.admin.email EMAIL_NOT_AVAILABLE; newcomer.details.domainPrefix DOMAIN_NOT_AVAILABLE; newcomer.details.registrationId REGISTRATION_ID_INVALID")
	own := newcomer("contoso")
	own.Admin.Email = "ada@it.bianchi.example"
	want(t, "an address of the reseller", review(StartInput{ResellerID: &w.reseller.ID, Newcomer: own, Lines: []LineInput{w.line("BASIC", 1)}}), "newcomer.admin.email EMAIL_OF_SELLER")
	abroad := newcomer("contoso")
	abroad.Details.Address = partner.Address{Line1: "1 Main Street", City: "Springfield", PostalCode: "62701", State: "IL", Country: "US"}
	want(t, "another region", review(StartInput{Newcomer: abroad, Lines: []LineInput{w.line("BASIC", 1)}}), "input REGION_MISMATCH; lines.0.offerId OFFER_NOT_SOLD_IN_COUNTRY")
	self := newcomer("contoso")
	self.Details.CompanyName = "Nordwind"
	want(t, "its own house", review(StartInput{Newcomer: self, Lines: []LineInput{w.line("BASIC", 1)}}), "input AFFILIATE")
	allied := newcomer("contoso")
	allied.Details.CompanyName = "Bianchi"
	want(t, "its own reseller", review(StartInput{Newcomer: allied, Lines: []LineInput{w.line("BASIC", 1)}}), "input ALREADY_PARTNERED")
	future := newcomer("contoso")
	future.Agreement.AgreedOn = "2199-01-01"
	want(t, "a date to come", review(StartInput{Newcomer: future, Lines: []LineInput{w.line("BASIC", 1)}}), "newcomer.agreement.agreedOn DATE_IN_FUTURE")
}

func TestSubmittingAddsACustomer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	o := w.review(w.gina, w.start(w.gina, StartInput{ResellerID: &w.reseller.ID, Newcomer: newcomer("contoso"),
		Lines: []LineInput{w.line("BASIC", 10), w.line("ADDON", 4), w.line("CLOUD", 1)}}))
	s := w.submit(w.gina, o)
	if s.Order.Status != Submitted || s.Order.CustomerID == "" || s.Order.Newcomer != (Newcomer{}) || s.TemporaryPassword != "" || s.AlreadyShown {
		t.Errorf("submitted %+v", s)
	}
	if s.Admin == nil || s.Admin.Status != account.Invited || s.Admin.Email != "ada@contoso.example" {
		t.Errorf("the administrator is %+v", s.Admin)
	}
	want(t, "submitted", w.states(o.ID), "SUBMITTED, PENDING/PENDING, PENDING/PENDING, PENDING/PENDING")
	w.work()
	want(t, "provisioned", w.states(o.ID), "COMPLETED, COMPLETED/ACTIVE, COMPLETED/ACTIVE, COMPLETED/ACTIVE")
	got := w.read(o.ID)
	if got.FinishedAt == nil {
		t.Error("a completed order has no end")
	}
	for name, a := range map[string]access.Actor{"provider": w.gina, "reseller": w.bruno} {
		cs, err := w.customers.ByIDs(ctx, a, []ident.ID{got.CustomerID})
		if err != nil || cs[got.CustomerID] == nil || !cs[got.CustomerID].AzureType || !cs[got.CustomerID].HasAgreement() {
			t.Errorf("%s sees the customer as %+v, %v", name, cs, err)
		}
		w.tx(func(ctx context.Context, tx *database.Tx) error {
			for _, r := range []customer.Role{customer.AccountAdmin, customer.TenantOwner} {
				if may, err := w.customers.MayAdminister(ctx, tx, a.PartnerID, got.CustomerID, r); err != nil || !may {
					t.Errorf("%s has not %s, %v", name, r, err)
				}
			}
			return nil
		})
		if c, err := w.List(ctx, a, page.Args{}, nil, Filter{CustomerID: &got.CustomerID}); err != nil || len(c.Edges) != 1 {
			t.Errorf("%s lists %+v, %v", name, c, err)
		}
	}
	if seen, err := w.ByIDs(ctx, w.vera, []ident.ID{o.ID}); err != nil || len(seen) != 0 {
		t.Errorf("a stranger sees %v, %v", seen, err)
	}
	subs, err := w.subscriptions.ByIDs(ctx, w.bruno, []ident.ID{got.Lines[0].SubscriptionID, got.Lines[1].SubscriptionID})
	if err != nil || len(subs) != 2 || subs[got.Lines[0].SubscriptionID].AssociatedResellerID != w.reseller.ID || subs[got.Lines[1].SubscriptionID].AssociatedResellerID != "" {
		t.Errorf("the reseller sees %+v, %v", subs, err)
	}
	counts, err := rollup.Read(ctx, w.db.Read(), rollup.Sale(w.provider.ID, w.reseller.ID))
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range rollup.Sale(w.provider.ID, w.reseller.ID) {
		if c := counts[k]; c.Customers != 1 || c.Subscriptions != 3 || c.Seats != 15 {
			t.Errorf("%s counts %+v", k, c)
		}
	}
	want(t, "audit", w.audited(o.ID), "order.started order.reviewed order.submitted")
	want(t, "audit", w.audited(got.Lines[0].ID), "order.line_provisioned")
}

func TestAnOrderForACustomerThatIsHere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	has := w.add(w.gina, "contoso", &w.reseller.ID)
	billing := w.user(w.provider.OrganizationID, "bill@nordwind.example", access.BillingAdmin)
	o := w.review(billing, w.start(billing, StartInput{CustomerID: &has.CustomerID, ResellerID: &w.reseller.ID, Lines: []LineInput{w.line("ADDON", 2)}})) // it has BASIC
	w.submit(billing, o)
	w.work()
	want(t, "second order", w.states(o.ID), "COMPLETED, COMPLETED/ACTIVE")
	if n, err := w.db.Read().NewSelect().TableExpr("customer").Count(ctx); err != nil || n != 1 {
		t.Errorf("%d customers, %v", n, err)
	}

	// What stands against an order is asked again when it is submitted.
	late := w.review(w.gina, w.start(w.gina, StartInput{CustomerID: &has.CustomerID, ResellerID: &w.reseller.ID, Lines: []LineInput{w.line("BASIC", 2)}}))
	if _, err := w.customers.Remove(ctx, w.bruno, customer.RemoveInput{CustomerID: has.CustomerID, Reason: "we part"}); err != nil {
		t.Fatal(err)
	}
	before := w.rows()
	_, err := w.Submit(ctx, w.gina, SubmitInput{OrderID: late.ID, IdempotencyKey: ptr("k")})
	want(t, "without the reseller", problems(err), "input RESELLER_NOT_RELATED")
	w.same(before)
	if seen, err := w.ByIDs(ctx, w.bruno, []ident.ID{has.ID}); err != nil || len(seen) != 0 {
		t.Errorf("a reseller that has left sees %v, %v", seen, err)
	}
	if _, err := w.customers.Remove(ctx, w.gina, customer.RemoveInput{CustomerID: has.CustomerID, Reason: "we part"}); err != nil {
		t.Fatal(err)
	}
	_, err = w.Review(ctx, w.gina, ReviewInput{OrderID: late.ID})
	want(t, "without a relationship", problems(err), "input RELATIONSHIP_MISSING; input RESELLER_NOT_RELATED")
	_, err = w.Start(ctx, w.gina, StartInput{CustomerID: &has.CustomerID})
	want(t, "a customer of the past", problems(err), "customerId NOT_FOUND")
}

func TestAPriceThatChanged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	o := w.review(w.gina, w.start(w.gina, StartInput{Newcomer: newcomer("contoso"), Lines: []LineInput{w.line("BASIC", 10), w.line("SUITE", 5)}}))
	w.bring(strings.Replace(offers, "ANNUAL,120.00", "ANNUAL,130.00", 1))
	before := w.rows()
	_, err := w.Submit(ctx, w.gina, SubmitInput{OrderID: o.ID, IdempotencyKey: ptr("k")})
	want(t, "submitted", problems(err), "lines.1.price PRICE_CHANGED")
	if text := fault.Text("en", CodePriceChanged, fault.As(err).Problems[0].Params); !strings.Contains(text, "from 120.00 EUR to 130.00 EUR") {
		t.Error(text)
	}
	w.same(before)
	o = w.review(w.gina, o)
	want(t, "first charge", FirstCharge(o.Lines).Decimal(), "1322.00")
	if _, err := w.Submit(ctx, w.gina, SubmitInput{OrderID: o.ID, ExpectedVersion: &o.Version, IdempotencyKey: ptr("k")}); err != nil {
		t.Error(err)
	}
	var price int64
	if err := w.db.Read().NewSelect().Model((*subscription.Subscription)(nil)).Column("unit_price").Where("order_line_id = ?", o.Lines[1].ID).Scan(ctx, &price); err != nil || price != 13000 {
		t.Errorf("subscribed at %d, %v", price, err)
	}
}

// TestATemporaryPasswordIsToldOnce looks for it everywhere that a database
// keeps anything.
func TestATemporaryPasswordIsToldOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	n := newcomer("contoso")
	n.Welcome = ptr(TemporaryPassword)
	o := w.review(w.gina, w.start(w.gina, StartInput{Newcomer: n, Lines: []LineInput{w.line("BASIC", 1)}}))
	in := SubmitInput{OrderID: o.ID, IdempotencyKey: ptr("k")}
	s, err := w.Submit(ctx, w.gina, in)
	if err != nil {
		t.Fatal(err)
	}
	told := s.TemporaryPassword.Reveal()
	if len(told) != 20 || s.AlreadyShown || s.Admin.Status != account.Active {
		t.Fatalf("told %d characters, %+v", len(told), s)
	}
	again, err := w.Submit(ctx, w.gina, in)
	if err != nil || again.TemporaryPassword != "" || !again.AlreadyShown || again.Order.ID != o.ID || again.Admin.Email != s.Admin.Email {
		t.Errorf("a replay told %+v, %v", again, err)
	}
	w.work()
	for _, said := range []string{fmt.Sprint(s), fmt.Sprintf("%+v %#v", s, s)} {
		if strings.Contains(said, told) {
			t.Error("printing the submission prints it")
		}
	}
	var names []string
	q := "SELECT name FROM sqlite_master WHERE type = 'table'"
	if w.db.Dialect() == database.Postgres {
		q = "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()"
	}
	if err := w.db.Read().NewRaw(q).Scan(ctx, &names); err != nil {
		t.Fatal(err)
	}
	for _, table := range names {
		rows, err := w.db.Bun().QueryContext(ctx, `SELECT * FROM "`+table+`"`)
		if err != nil {
			t.Fatal(err)
		}
		columns, err := rows.Columns()
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			cells := make([]any, len(columns))
			for i := range cells {
				cells[i] = new(any)
			}
			if err := rows.Scan(cells...); err != nil {
				t.Fatal(err)
			}
			for i, c := range cells {
				raw, isRaw := (*c.(*any)).([]byte)
				if strings.Contains(fmt.Sprint(*c.(*any)), told) || isRaw && bytes.Contains(raw, []byte(told)) {
					t.Errorf("it stands in %s.%s", table, columns[i])
				}
			}
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			t.Fatal(err)
		}
	}
	_, _, _, err = w.accounts.SignIn(ctx, account.SignInInput{Email: s.Admin.Email, Password: s.TemporaryPassword})
	var must *account.ChangeRequired
	if !errors.As(err, &must) {
		t.Errorf("it opens %v", err)
	}
}

func TestWhoeverSubmitsMustBeAllowedToAttest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	boss := w.user(w.provider.OrganizationID, "boss2@nordwind.example", access.GlobalAdmin)
	o := w.review(w.gina, w.start(w.gina, StartInput{Newcomer: newcomer("contoso"), Lines: []LineInput{w.line("BASIC", 1)}}))
	before := w.rows()
	_, err := w.Submit(t.Context(), boss, SubmitInput{OrderID: o.ID})
	wantCode(t, err, fault.CodeRoleRequired)
	_, err = w.Start(t.Context(), boss, StartInput{Newcomer: newcomer("fabrikam")})
	wantCode(t, err, fault.CodeRoleRequired)
	w.same(before)
}

// TestAnOrderIsSubmittedOnce has ten people press the button at once, with one
// key and with none.
func TestAnOrderIsSubmittedOnce(t *testing.T) {
	t.Parallel()
	for _, keyed := range []bool{true, false} {
		t.Run(fmt.Sprint("keyed ", keyed), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			n := newcomer("contoso")
			n.Welcome = ptr(TemporaryPassword)
			o := w.review(w.gina, w.start(w.gina, StartInput{ResellerID: &w.reseller.ID, Newcomer: n, Lines: []LineInput{w.line("BASIC", 1), w.line("SUITE", 5), w.line("ADDON", 1)}}))
			in := SubmitInput{OrderID: o.ID}
			if keyed {
				in.IdempotencyKey = ptr("k")
			}
			type answer struct {
				s   *Submission
				err error
			}
			answers := make(chan answer, 10)
			for range cap(answers) {
				go func() {
					s, err := w.Submit(t.Context(), w.gina, in)
					answers <- answer{s, err}
				}()
			}
			told, refused := 0, 0
			for range cap(answers) {
				switch a := <-answers; {
				case !keyed && fault.Is(a.err, CodeNotDraft):
					refused++
				case a.err != nil:
					t.Error(a.err)
				case a.s.TemporaryPassword != "":
					told++
				case !a.s.AlreadyShown || a.s.Order.ID != o.ID:
					t.Errorf("answered %+v", a.s)
				}
			}
			if told != 1 || !keyed && refused != 9 {
				t.Errorf("the password was told %d times, %d were refused", told, refused)
			}
			w.work()
			want(t, "order", w.states(o.ID), "COMPLETED, COMPLETED/ACTIVE, COMPLETED/ACTIVE, COMPLETED/ACTIVE")
			for table, expected := range map[string]int64{"customer": 1, "product_subscription": 3, "relationship": 2} {
				if n, err := w.db.Read().NewSelect().TableExpr(table).Count(t.Context()); err != nil || n != expected {
					t.Errorf("%d rows of %s, %v", n, table, err)
				}
			}
			want(t, "asked for", fmt.Sprint(len(w.hand.asked)), "3")
		})
	}
}

// TestTwoOrdersWantOneDomain has two sellers add a customer of the same name.
func TestTwoOrdersWantOneDomain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	errs, reviewed := make(chan error, 2), map[ident.ID]access.Actor{}
	for _, a := range []access.Actor{w.gina, w.vera} {
		n := newcomer("contoso")
		n.Admin.Email = a.PartnerID.Body()[20:] + "@contoso.example"
		reviewed[w.review(a, w.start(a, StartInput{Newcomer: n, Lines: []LineInput{w.line("BASIC", 1)}})).ID] = a
	}
	for id, a := range reviewed {
		go func() {
			_, err := w.Submit(t.Context(), a, SubmitInput{OrderID: id})
			errs <- err
		}()
	}
	won := 0
	for range 2 {
		if err := <-errs; err == nil {
			won++
		} else {
			want(t, "the other", problems(err), "newcomer.details.domainPrefix DOMAIN_NOT_AVAILABLE")
		}
	}
	if won != 1 {
		t.Errorf("%d got the domain", won)
	}
}
