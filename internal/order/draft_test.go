package order

import (
	"strings"
	"testing"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
)

func TestADraftIsKeptAndDropped(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	in := StartInput{ResellerID: &w.reseller.ID, Newcomer: newcomer("contoso"), Lines: []LineInput{w.line("BASIC", 3), w.line("ADDON", 3)}, IdempotencyKey: ptr("k")}
	o := w.start(w.gina, in)
	if o.Status != Draft || !o.AddsCustomer || o.Newcomer.Welcome != PasswordLink || len(o.Lines) != 2 || o.ExpiresAt.Sub(o.CreatedAt) != DraftLife {
		t.Errorf("started %+v", o)
	}
	if again := w.start(w.gina, in); again.ID != o.ID || len(again.Lines) != 2 {
		t.Errorf("a repeated start gave %+v", again)
	}
	in.Lines = nil
	_, err := w.Start(ctx, w.gina, in)
	wantCode(t, err, fault.CodeKeyReused)

	saved, err := w.Save(ctx, w.gina, SaveInput{OrderID: o.ID, ExpectedVersion: &o.Version, ResellerID: ptr(ident.ID("")), Lines: &[]LineInput{w.line("SUITE", 7)},
		Newcomer: &NewcomerInput{Welcome: ptr(TemporaryPassword)}})
	if err != nil {
		t.Fatal(err)
	}
	if got := w.read(o.ID); got.ResellerID != "" || len(got.Lines) != 1 || got.Lines[0].Quantity != 7 || got.Newcomer.Welcome != TemporaryPassword ||
		got.Newcomer.Details.DomainPrefix != "contoso" || got.Version != saved.Version {
		t.Errorf("saved %+v", got)
	}
	_, err = w.Save(ctx, w.gina, SaveInput{OrderID: o.ID, ExpectedVersion: &o.Version})
	wantCode(t, err, fault.CodeConflict)

	if _, err := w.Cancel(ctx, w.gina, CancelInput{OrderID: o.ID}); err != nil {
		t.Fatal(err)
	}
	got := w.read(o.ID)
	if got.Status != Cancelled || len(got.Lines) != 0 || got.Newcomer != (Newcomer{}) || got.FinishedAt == nil {
		t.Errorf("cancelled %+v", got)
	}
	for _, verb := range []func() error{
		func() error { _, err := w.Save(ctx, w.gina, SaveInput{OrderID: o.ID}); return err },
		func() error { _, err := w.Review(ctx, w.gina, ReviewInput{OrderID: o.ID}); return err },
		func() error { _, err := w.Submit(ctx, w.gina, SubmitInput{OrderID: o.ID}); return err },
		func() error { _, err := w.Cancel(ctx, w.gina, CancelInput{OrderID: o.ID}); return err },
	} {
		wantCode(t, verb(), CodeNotDraft)
	}
	want(t, "audit", w.audited(o.ID), "order.started order.saved order.cancelled")
	w.work()
	for _, table := range []string{"customer", "product_subscription"} {
		if n, err := w.db.Read().NewSelect().TableExpr(table).Count(ctx); err != nil || n != 0 {
			t.Errorf("%d rows of %s are left behind, %v", n, table, err)
		}
	}
}

func TestADraftExpires(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	first := w.start(w.gina, StartInput{Newcomer: newcomer("contoso"), Lines: []LineInput{w.line("BASIC", 1)}})
	w.review(w.gina, first)
	w.db.Clock().Advance(DraftLife)
	for _, verb := range []func() error{ // before any job has run
		func() error { _, err := w.Save(ctx, w.gina, SaveInput{OrderID: first.ID}); return err },
		func() error { _, err := w.Submit(ctx, w.gina, SubmitInput{OrderID: first.ID}); return err },
	} {
		wantCode(t, verb(), CodeExpired)
	}
	second := w.start(w.gina, StartInput{Newcomer: newcomer("fabrikam")})
	w.work()
	if got := w.read(first.ID); got.Status != Cancelled || got.StatusReason != CodeExpired || got.Newcomer != (Newcomer{}) || len(got.Lines) != 0 {
		t.Errorf("expired %+v", got)
	}
	_, err := w.Submit(ctx, w.gina, SubmitInput{OrderID: first.ID})
	wantCode(t, err, CodeExpired)
	w.db.Clock().Advance(DraftLife)
	w.scan() // its timer was lost
	if got := w.read(second.ID); got.Status != Cancelled || got.StatusReason != CodeExpired {
		t.Errorf("expired %+v", got)
	}
	third := w.start(w.gina, StartInput{})
	w.scan()
	if got := w.read(third.ID); got.Status != Draft {
		t.Errorf("a fresh draft is %s", got.Status)
	}
	want(t, "audit", w.audited(first.ID), "order.started order.reviewed order.expired")
}

func TestDraftsAreTheSellersOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	o := w.review(w.gina, w.start(w.gina, StartInput{ResellerID: &w.reseller.ID, Newcomer: newcomer("contoso"), Lines: []LineInput{w.line("BASIC", 1)}}))
	for name, a := range map[string]access.Actor{"reseller": w.bruno, "another seller": w.vera, "operator": w.chief} {
		_, err := w.Save(ctx, a, SaveInput{OrderID: o.ID})
		refusal := fault.CodeNotFound
		if name == "operator" {
			refusal = fault.CodeRoleRequired
		}
		if !fault.Is(err, refusal) {
			t.Errorf("%s saves: %v", name, err)
		}
		_, err = w.Submit(ctx, a, SubmitInput{OrderID: o.ID})
		if !fault.Is(err, refusal) {
			t.Errorf("%s submits: %v", name, err)
		}
		seen, err := w.ByIDs(ctx, a, []ident.ID{o.ID})
		if err != nil || (seen[o.ID] != nil) != (name == "operator") {
			t.Errorf("%s sees %v, %v", name, seen, err)
		}
		lines, err := w.LinesOf(ctx, a, []ident.ID{o.ID})
		if err != nil || (len(lines[o.ID]) != 0) != (name == "operator") {
			t.Errorf("%s sees %v, %v", name, lines, err)
		}
	}
	helpdesk := w.user(w.provider.OrganizationID, "hedda@nordwind.example", access.HelpdeskAgent)
	billing := w.user(w.provider.OrganizationID, "bill@nordwind.example", access.BillingAdmin)
	before := w.rows()
	_, err := w.Start(ctx, helpdesk, StartInput{})
	wantCode(t, err, fault.CodeRoleRequired)
	_, err = w.Save(ctx, billing, SaveInput{OrderID: o.ID}) // may order, may not add customers
	wantCode(t, err, fault.CodeRoleRequired)
	_, err = w.Start(ctx, w.bruno, StartInput{}) // resellers transact through a provider
	wantCode(t, err, fault.CodeRoleRequired)
	_, err = w.Start(ctx, access.Anonymous("en", ""), StartInput{})
	wantCode(t, err, fault.CodeUnauthenticated)
	if seen, err := w.ByIDs(ctx, helpdesk, []ident.ID{o.ID}); err != nil || seen[o.ID] == nil {
		t.Errorf("a colleague sees %v, %v", seen, err)
	}
	w.same(before)
}

func TestWhatADraftMayNotHold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	other, _ := w.company("Gialli", "INDIRECT_RESELLER")
	mine := w.add(w.gina, "contoso", nil)
	theirs := w.add(w.vera, "fabrikam", nil)
	before := w.rows()
	long := newcomer("tailspin")
	long.Details.CompanyName, long.Admin.FirstName, long.Welcome = strings.Repeat("x", 400), "Ada\x00", ptr(Welcome("PIGEON"))
	bad := func(change func(*LineInput)) LineInput {
		l := w.line("BASIC", 1)
		change(&l)
		return l
	}
	for name, c := range map[string]struct {
		in   StartInput
		want string
	}{
		"foreign customer": {StartInput{CustomerID: &theirs.CustomerID}, "customerId NOT_FOUND"},
		"no customer":      {StartInput{CustomerID: ptr(ident.New(ident.Customer))}, "customerId NOT_FOUND"},
		"foreign reseller": {StartInput{CustomerID: &mine.CustomerID, ResellerID: &other.ID}, "resellerId NOT_FOUND"},
		"itself":           {StartInput{CustomerID: &mine.CustomerID, ResellerID: &w.provider.ID}, "resellerId NOT_FOUND"},
		"two customers":    {StartInput{CustomerID: &mine.CustomerID, Newcomer: newcomer("x")}, "newcomer ORDER_HAS_CUSTOMER"},
		"texts":            {StartInput{Newcomer: long}, "newcomer.admin.firstName CONTROL_CHARACTERS; newcomer.details.companyName TOO_LONG; newcomer.welcome INVALID"},
		"no offer":         {StartInput{Lines: []LineInput{w.line("BASIC", 1), {OfferID: ident.New(ident.Offer), Quantity: 1, Term: "P1Y", BillingCycle: "ANNUAL"}}}, "lines.1.offerId NOT_FOUND"},
		"lines": {StartInput{Lines: []LineInput{
			bad(func(l *LineInput) { l.Quantity = 0 }), bad(func(l *LineInput) { l.Quantity = 1_000_001 }), bad(func(l *LineInput) { l.Term = "P2Y" }),
			bad(func(l *LineInput) { l.BillingCycle = "WEEKLY" }), bad(func(l *LineInput) { l.Term = "P1M" }), bad(func(l *LineInput) { l.FriendlyName = ptr("www.example.com") })}},
			"lines.0.quantity QUANTITY_TOO_LOW; lines.1.quantity QUANTITY_TOO_HIGH; lines.2.term INVALID; lines.3.billingCycle INVALID; " +
				"lines.4.billingCycle BILLING_CYCLE_NOT_OF_TERM; lines.5.friendlyName LINK_NOT_ALLOWED"},
		"too many lines": {StartInput{Lines: make([]LineInput, MaxLines+1)}, "lines TOO_MANY"},
	} {
		_, err := w.Start(ctx, w.gina, c.in)
		want(t, name, problems(err), c.want)
	}
	w.same(before)
	o := w.start(w.gina, StartInput{CustomerID: &mine.CustomerID})
	_, err := w.Save(ctx, w.gina, SaveInput{OrderID: o.ID, Newcomer: newcomer("x")})
	want(t, "a second customer", problems(err), "newcomer ORDER_HAS_CUSTOMER")
	_, err = w.Save(ctx, w.gina, SaveInput{OrderID: ident.New(ident.Order)})
	want(t, "an unknown order", problems(err), "orderId NOT_FOUND")
}
