package customer

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/event"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/page"
	"github.com/channelgraph/channelgraph/internal/partner"
	"github.com/channelgraph/channelgraph/internal/rollup"
)

// A customer that a provider adds for its reseller is on both lists, with its
// agreement, grants, counts, audit and mail, and on nobody else's.
func TestAdd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := details("Conti Marmi")
	d.CompanyName = "Conti Marmi S.r.l."
	c, err := w.try(w.nord, w.bianchi, d)
	if err != nil || c.Domain != "conti-marmi.customers.example" {
		t.Fatal(c, err)
	}
	if c.Region != "EUROPE" || c.Locale != "it" || !c.HasAgreement() || c.Status != Active || c.NameFolded != partner.FoldName("Conti Marmi") {
		t.Errorf("got %+v", c)
	}
	for _, x := range []struct {
		name string
		a    access.Actor
		list string
		with string
	}{
		{"provider", w.nord.admin, "Conti Marmi S.r.l.", "Bianchi Nordwind"}, {"reseller", w.bianchi.admin, "Conti Marmi S.r.l.", "Bianchi Nordwind"},
		{"sibling", w.verdi.admin, "", ""}, {"the reseller's other provider", w.sud.admin, "", ""}, {"stranger", w.azienda.admin, "", ""},
		{"operator", w.chief, "Conti Marmi S.r.l.", "Bianchi Nordwind"}, {"the customer", w.admin(c), "Conti Marmi S.r.l.", "Bianchi Nordwind"},
	} {
		if got := w.sees(x.a, Filter{}); got != x.list {
			t.Errorf("%s sees %q", x.name, got)
		}
		if got := w.has(x.a, c); got != x.with {
			t.Errorf("%s sees the partners %q", x.name, got)
		}
		got, err := w.ByIDs(t.Context(), x.a, []ident.ID{c.ID})
		if err != nil || (got[c.ID] != nil) != (x.list != "") {
			t.Errorf("%s reads %v, %v", x.name, got, err)
		}
	}
	if got, _ := w.ByIDs(t.Context(), w.nord.admin, []ident.ID{c.ID}); got[c.ID].OwnKind != AsProvider || got[c.ID].CounterpartID != w.bianchi.ID {
		t.Errorf("the provider's own side is %+v", got[c.ID])
	}
	if got := w.counts(rollup.Operator, rollup.Of(w.nord.ID), rollup.Of(w.bianchi.ID), rollup.Pair(w.nord.ID, w.bianchi.ID), rollup.Of(w.sud.ID)); got != "1 1 1 1 0" {
		t.Errorf("counts %s", got)
	}
	if got := w.may(w.nord, c) + w.may(w.bianchi, c) + w.may(w.verdi, c); got != "[ACCOUNT_ADMIN SUPPORT BILLING][ACCOUNT_ADMIN SUPPORT BILLING][]" {
		t.Errorf("may %s", got)
	}
	if got := w.sale(w.nord, w.bianchi, c); got != "" {
		t.Errorf("an order is refused: %s", got)
	}
	if got := w.sale(w.nord, w.verdi, c); got != "RESELLER_NOT_RELATED>NEXT_RESELLER_INVITES" {
		t.Errorf("got %s", got)
	}
	if got := w.mails(c.ID); got != "added to bianchi" {
		t.Errorf("mails %s", got)
	}
	if got := w.audited(c.ID); got != "customer.added×2" {
		t.Errorf("audit %s", got)
	}
	told, err := w.db.Read().NewSelect().TableExpr("event").Where("kind = ?", event.CustomerChanged).Where("subject_id = ?", c.ID).Count(t.Context())
	if err != nil || told != 2 { // three organizations, two in a row
		t.Errorf("%d events, %v", told, err)
	}
	as, err := w.AgreementsOf(t.Context(), w.bianchi.admin, []ident.ID{c.ID})
	if err != nil || len(as[c.ID]) != 0 {
		t.Errorf("the reseller reads the provider's attestation: %v, %v", as, err)
	}
	if as, err = w.AgreementsOf(t.Context(), w.nord.admin, []ident.ID{c.ID}); err != nil || len(as[c.ID]) != 1 || as[c.ID][0].Kind != Attested {
		t.Errorf("got %v, %v", as, err)
	}
	azure := details("Azzurra")
	azure.AzureType = true
	a, err := w.try(w.azienda, nil, azure)
	if err != nil {
		t.Fatal(err)
	}
	if got := w.may(w.azienda, a); got != "[ACCOUNT_ADMIN SUPPORT BILLING TENANT_OWNER]" {
		t.Errorf("may %s", got)
	}
}

// Bad input comes back whole, and what may not be sold is refused; nothing is
// left behind.
func TestAddRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	taken := details("Conti Marmi")
	taken.RegistrationID = "12345670017"
	if _, err := w.try(w.nord, w.bianchi, taken); err != nil {
		t.Fatal(err)
	}
	before := w.rows()
	bad := Details{CompanyName: "S.r.l.", Address: partner.Address{Country: "IT"}, DomainPrefix: "-x", BillingEmail: "nobody", Locale: "de", Phone: "1"}
	_, err := w.try(w.nord, nil, bad)
	for _, path := range []string{"details.companyName", "details.address.line1", "details.address.city", "details.domainPrefix", "details.billingEmail", "details.locale", "details.phone"} {
		if err == nil || !strings.Contains(err.Error(), "input."+path+":") {
			t.Errorf("%s is missing in %v", path, err)
		}
	}
	with := func(change func(*Details)) Details { d := details("Nuova"); change(&d); return d }
	for name, c := range map[string]struct {
		seller, reseller *side
		d                Details
		want             string
	}{
		"a taken domain":            {w.nord, nil, with(func(d *Details) { d.DomainPrefix = "conti-marmi" }), CodeDomainTaken},
		"a known company":           {w.sud, nil, with(func(d *Details) { d.RegistrationID = "IT 12345670017" }), CodeCustomerExists},
		"a number that is none":     {w.sud, nil, with(func(d *Details) { d.RegistrationID = "12345670018" }), "REGISTRATION_ID_INVALID"},
		"an address of the seller":  {w.nord, nil, with(func(d *Details) { d.BillingEmail = "x@mail.nordwind.example" }), CodeOwnAddress},
		"a country not in the list": {w.nord, nil, with(func(d *Details) { d.Address.Country = "XX" }), "COUNTRY_UNKNOWN"},
		"another region": {w.nord, nil, with(func(d *Details) {
			d.Address = partner.Address{Line1: "1 Main St", City: "Austin", PostalCode: "73301", State: "TX", Country: "US"}
			d.Phone = "+1 512 555 0100"
		}), "REGION_MISMATCH"},
		"nothing of what the country asks": {w.nord, nil, with(func(d *Details) {
			d.Address = partner.Address{Line1: "Fő utca 1", City: "Budapest", PostalCode: "1011", Country: "HU"}
		}), "REGISTRATION_ID_REQUIRED"},
		"itself":                      {w.nord, nil, with(func(d *Details) { d.CompanyName = "Nordwind S.p.A." }), "AFFILIATE"},
		"its own reseller":            {w.nord, nil, with(func(d *Details) { d.CompanyName = "Verdi" }), "ALREADY_PARTNERED"},
		"a reseller of somebody else": {w.sud, w.verdi, details("Nuova"), fault.CodeNotFound},
		"direct bill and a reseller":  {w.azienda, w.verdi, details("Nuova"), fault.CodeNotFound},
	} {
		if _, err := w.try(c.seller, c.reseller, c.d); !fault.Is(err, c.want) {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
	}
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		for name, c := range map[string]struct {
			a    access.Actor
			want string
		}{"a reseller": {w.bianchi.admin, fault.CodeRoleRequired}, "another seller": {w.sud.admin, fault.CodeNotFound}, "nobody": {access.Anonymous("en", ""), fault.CodeUnauthenticated}} {
			if _, err := w.AddTx(ctx, tx, c.a, NewCustomer{SellerID: w.nord.ID, Details: details("Nuova")}); !fault.Is(err, c.want) {
				t.Errorf("%s: got %v, want %s", name, err, c.want)
			}
		}
		return nil
	})
	w.same(before)
	if _, free, err := w.DomainFree(t.Context(), w.nord.admin, "Conti-Marmi"); err != nil || free {
		t.Error("a taken domain is free", err)
	}
	if d, free, err := w.DomainFree(t.Context(), w.nord.admin, "libero"); err != nil || !free || d != "libero.customers.example" {
		t.Error(d, free, err)
	}
	_, _, err = w.DomainFree(t.Context(), w.nord.admin, "a--b")
	wantCode(t, err, CodeDomainPrefix)
}

// Lists are searched, narrowed and paged along the right rows, and a partner
// finds by a filter only what it has together with the one it names.
func TestList(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add(w.nord, w.bianchi, "Alba")
	w.add(w.nord, w.verdi, "Brenta")
	c := w.add(w.nord, nil, "Conti")
	w.add(w.sud, w.bianchi, "Dardi")
	w.add(w.azienda, nil, "Elba")
	shared := w.add(w.sud, w.bianchi, "Fiume")
	w.tx(func(ctx context.Context, tx *database.Tx) error { // Fiume buys from Nordwind by itself too
		rs, err := relations(ctx, tx, shared.ID)
		if err != nil {
			return err
		}
		before := tally(rs)
		if err := relate(ctx, tx, shared, rs, w.nord.Partner, nil); err != nil {
			return err
		}
		return count(ctx, tx, before, rs, 0)
	})
	id := func(s *side) *ident.ID { return &s.ID }
	yes, no := true, false
	text := func(s string) *string { return &s }
	for _, x := range []struct {
		name string
		a    access.Actor
		f    Filter
		want string
	}{
		{"provider", w.nord.admin, Filter{}, "Alba Brenta Conti Fiume"},
		{"by reseller", w.nord.admin, Filter{ResellerID: id(w.bianchi)}, "Alba"},
		{"by another reseller", w.nord.admin, Filter{ResellerID: id(w.verdi)}, "Brenta"},
		{"by itself", w.nord.admin, Filter{LacksReseller: &yes}, "Conti Fiume"},
		{"through somebody", w.nord.admin, Filter{LacksReseller: &no}, "Alba Brenta"},
		{"by a stranger", w.nord.admin, Filter{ResellerID: id(w.azienda)}, ""},
		{"by a provider it does not know", w.nord.admin, Filter{ProviderID: id(w.sud)}, ""},
		{"reseller", w.bianchi.admin, Filter{}, "Alba Dardi Fiume"},
		{"reseller by provider", w.bianchi.admin, Filter{ProviderID: id(w.nord)}, "Alba"},
		{"reseller by other provider", w.bianchi.admin, Filter{ProviderID: id(w.sud)}, "Dardi Fiume"},
		{"reseller by sibling", w.bianchi.admin, Filter{ResellerID: id(w.verdi)}, ""},
		{"operator", w.chief, Filter{}, "Alba Brenta Conti Dardi Elba Fiume"},
		{"operator by provider", w.chief, Filter{ProviderID: id(w.nord)}, "Alba Brenta Conti Fiume"},
		{"operator by both", w.chief, Filter{ProviderID: id(w.sud), ResellerID: id(w.bianchi)}, "Dardi Fiume"},
		{"customer", w.admin(c), Filter{}, "Conti"},
		{"customer by its provider", w.admin(c), Filter{ProviderID: id(w.nord)}, "Conti"},
		{"customer by a stranger", w.admin(c), Filter{ProviderID: id(w.sud)}, ""},
		{"by name", w.nord.admin, Filter{Search: text("  BR")}, "Brenta"},
		{"by domain", w.nord.admin, Filter{Search: text("fiume.cust")}, "Fiume"},
		{"by the whole name with its form", w.nord.admin, Filter{Search: text("Conti S.r.l.")}, "Conti"},
		{"by a wildcard", w.nord.admin, Filter{Search: text("%")}, ""},
		{"by country", w.nord.admin, Filter{Country: text("it")}, "Alba Brenta Conti Fiume"},
		{"by another country", w.nord.admin, Filter{Country: text("FR")}, ""},
		{"suspended", w.nord.admin, Filter{Status: ptr(Suspended)}, ""},
	} {
		if got := w.sees(x.a, x.f); got != x.want {
			t.Errorf("%s: got %q, want %q", x.name, got, x.want)
		}
	}
	_, err := w.List(t.Context(), access.Anonymous("en", ""), pageArgs(), nil, Filter{})
	wantCode(t, err, fault.CodeUnauthenticated)
	for _, o := range []*Order{nil, {Field: ByDomain, Direction: page.Desc}, {Field: ByCreated}} {
		for _, a := range []access.Actor{w.nord.admin, w.chief} {
			var got, back []string
			two := 2
			args := page.Args{First: &two}
			for {
				before := w.db.Queries()
				c, err := w.List(t.Context(), a, args, o, Filter{})
				if err != nil {
					t.Fatal(err)
				}
				if n := w.db.Queries() - before; n != 1 {
					t.Errorf("a page took %d statements", n)
				}
				for _, x := range c.Nodes() {
					got = append(got, x.CompanyName)
				}
				if !c.PageInfo.HasNextPage {
					break
				}
				args.After = c.PageInfo.EndCursor
			}
			args = page.Args{Last: &two}
			for {
				c, err := w.List(t.Context(), a, args, o, Filter{})
				if err != nil {
					t.Fatal(err)
				}
				for _, x := range c.Nodes() {
					back = append([]string{x.CompanyName}, back...)
					if len(c.Nodes()) == 2 && x == c.Nodes()[1] {
						back[0], back[1] = back[1], back[0]
					}
				}
				if !c.PageInfo.HasPreviousPage {
					break
				}
				args.Before = c.PageInfo.StartCursor
			}
			want := "Alba Brenta Conti Fiume"
			if a.IsOperator() {
				want = "Alba Brenta Conti Dardi Elba Fiume"
			}
			if o != nil && o.Field == ByDomain {
				parts := strings.Fields(want)
				for i, j := 0, len(parts)-1; i < j; i, j = i+1, j-1 {
					parts[i], parts[j] = parts[j], parts[i]
				}
				want = strings.Join(parts, " ")
			}
			if strings.Join(got, " ") != want || strings.Join(back, " ") != want {
				t.Errorf("%+v: got %v and back %v", o, got, back)
			}
		}
	}
}

func ptr[T any](v T) *T { return &v }

// Two pairs of one customer: each partner sees its own, the counts are exact,
// and who removes its relationship sees nothing any more, at once.
func TestRemove(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.add(w.nord, w.bianchi, "Conti")
	other := w.add(w.nord, w.bianchi, "Dardi")
	gina := w.admin(c)
	w.tx(func(ctx context.Context, tx *database.Tx) error { // Verdi comes with Nordwind, Bianchi with Sudwind too
		rs, err := relations(ctx, tx, c.ID)
		if err != nil {
			return err
		}
		before := tally(rs)
		if err := relate(ctx, tx, c, rs, w.nord.Partner, w.verdi.Partner); err != nil {
			return err
		}
		if err := relate(ctx, tx, c, rs, w.sud.Partner, w.bianchi.Partner); err != nil {
			return err
		}
		return count(ctx, tx, before, rs, 0)
	})
	keys := []rollup.Key{rollup.Operator, rollup.Of(w.nord.ID), rollup.Of(w.bianchi.ID), rollup.Of(w.verdi.ID), rollup.Of(w.sud.ID),
		rollup.Pair(w.nord.ID, w.bianchi.ID), rollup.Pair(w.nord.ID, w.verdi.ID), rollup.Pair(w.sud.ID, w.bianchi.ID), rollup.Pair(w.sud.ID, w.verdi.ID)}
	if got := w.counts(keys...); got != "2 2 2 1 1 2 1 1 0" {
		t.Errorf("counts %s", got)
	}
	for name, x := range map[string]struct {
		a    access.Actor
		want string
	}{
		"Nordwind": {w.nord.admin, "Bianchi Nordwind Verdi"}, "Bianchi": {w.bianchi.admin, "Bianchi Nordwind Sudwind"}, "Verdi": {w.verdi.admin, "Nordwind Verdi"},
		"Sudwind": {w.sud.admin, "Bianchi Sudwind"}, "the customer": {gina, "Bianchi Nordwind Sudwind Verdi"},
	} {
		if got := w.has(x.a, c); got != x.want {
			t.Errorf("%s sees %q", name, got)
		}
	}
	var removed []ident.ID
	w.OnRemoved(func(_ context.Context, _ *database.Tx, r *Relationship) error {
		removed = append(removed, r.PartnerID)
		return nil
	})
	helper := w.user(w.nord.OrganizationID, "help@nordwind.example", access.HelpdeskAgent)
	before := w.rows()
	for name, x := range map[string]struct {
		a    access.Actor
		in   RemoveInput
		want string
	}{
		"no reason":        {w.nord.admin, RemoveInput{CustomerID: c.ID, Reason: " "}, fault.CodeRequired},
		"a stranger":       {w.azienda.admin, RemoveInput{CustomerID: c.ID, Reason: "x"}, fault.CodeNotFound},
		"a helper":         {helper, RemoveInput{CustomerID: c.ID, Reason: "x"}, fault.CodeRoleRequired},
		"the customer":     {gina, RemoveInput{CustomerID: c.ID, Reason: "x"}, fault.CodeRoleRequired},
		"nobody":           {access.Anonymous("en", ""), RemoveInput{CustomerID: c.ID, Reason: "x"}, fault.CodeUnauthenticated},
		"nothing is there": {w.nord.admin, RemoveInput{CustomerID: ident.New(ident.Customer), Reason: "x"}, fault.CodeNotFound},
	} {
		if _, err := w.Remove(t.Context(), x.a, x.in); !fault.Is(err, x.want) {
			t.Errorf("%s: got %v, want %s", name, err, x.want)
		}
	}
	w.same(before)
	r, err := w.Remove(t.Context(), w.nord.admin, RemoveInput{CustomerID: c.ID, Reason: "The contract is over."})
	if err != nil || r.Status != Removed || len(removed) != 1 || removed[0] != w.nord.ID {
		t.Fatal(r, removed, err)
	}
	if got := w.counts(keys...); got != "2 1 2 1 1 1 0 1 0" {
		t.Errorf("counts %s", got)
	}
	if got := w.sees(w.nord.admin, Filter{}); got != other.CompanyName {
		t.Errorf("still sees %q", got)
	}
	if got := w.has(w.nord.admin, c) + "|" + w.has(w.bianchi.admin, c) + "|" + w.has(w.verdi.admin, c); got != "|Bianchi Sudwind|Verdi" {
		t.Errorf("sees %s", got)
	}
	if got := w.may(w.nord, c); got != "[]" {
		t.Errorf("still may %s", got)
	}
	if got := w.sale(w.nord, w.bianchi, c); got != "RELATIONSHIP_MISSING>NEXT_INVITE_CUSTOMER" {
		t.Errorf("got %s", got)
	}
	if got := w.mails(c.ID); got != "added to bianchi, relationship_removed to bianchi, relationship_removed to conti, relationship_removed to verdi" {
		t.Errorf("mails %s", got)
	}
	_, err = w.Remove(t.Context(), w.nord.admin, RemoveInput{CustomerID: c.ID, Reason: "Again."})
	wantCode(t, err, fault.CodeNotFound)
	gs, err := w.ListGrants(t.Context(), gina, pageArgs(), page.Asc, GrantFilter{PartnerID: &w.nord.ID})
	if err != nil || len(gs.Nodes()) != 1 || gs.Nodes()[0].Status != GrantWithdrawn || gs.Nodes()[0].WithdrawnByID != "" {
		t.Errorf("grants %+v, %v", gs.Nodes(), err)
	}
}

func TestEditAttestSuspend(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.add(w.nord, w.bianchi, "Conti")
	gina := w.admin(c)
	w.add(w.nord, nil, "Dardi")
	edit := func(a access.Actor, in EditInput) (*Customer, error) {
		in.CustomerID = c.ID
		return w.Edit(t.Context(), a, in)
	}
	got, err := edit(w.bianchi.admin, EditInput{CompanyName: ptr("Zeta Marmi"), BillingEmail: ptr("conti@zeta.example"), ExpectedVersion: ptr(1)})
	if err != nil || got.CompanyName != "Zeta Marmi" || got.Version != 2 {
		t.Fatal(got, err)
	}
	if got := w.sees(w.nord.admin, Filter{}); got != "Dardi Zeta Marmi" {
		t.Errorf("lists %q", got)
	}
	if _, err := edit(w.bianchi.admin, EditInput{CompanyName: ptr("Zeta Marmi")}); err != nil {
		t.Error("changing nothing:", err)
	}
	before := w.rows()
	for name, x := range map[string]struct {
		a    access.Actor
		in   EditInput
		want string
	}{
		"an old version": {w.nord.admin, EditInput{ExpectedVersion: ptr(1), Locale: ptr("en")}, fault.CodeConflict},
		"a bad name":     {w.nord.admin, EditInput{CompanyName: ptr("")}, fault.CodeRequired},
		"a bad address":  {w.nord.admin, EditInput{Address: &partner.Address{City: "Roma"}}, fault.CodeRequired},
		"a stranger":     {w.verdi.admin, EditInput{Locale: ptr("en")}, fault.CodeNotFound},
		"a plain user":   {w.user(c.OrganizationID, "user@conti.example", access.UserAdmin), EditInput{Locale: ptr("en")}, fault.CodeRoleRequired},
	} {
		if name == "a plain user" {
			before = w.rows()
		}
		if _, err := edit(x.a, x.in); !fault.Is(err, x.want) {
			t.Errorf("%s: got %v, want %s", name, err, x.want)
		}
	}
	w.same(before)
	gs, err := w.ListGrants(t.Context(), gina, pageArgs(), page.Asc, GrantFilter{})
	if err != nil || len(gs.Nodes()) != 2 {
		t.Fatal(gs, err)
	}
	for _, g := range gs.Nodes() {
		if _, err := w.Withdraw(t.Context(), gina, WithdrawInput{GrantID: g.ID}); err != nil {
			t.Fatal(err)
		}
	}
	_, err = edit(w.nord.admin, EditInput{Locale: ptr("en")})
	wantCode(t, err, CodeGrantMissing)
	if _, err := edit(gina, EditInput{Locale: ptr("en")}); err != nil {
		t.Error(err)
	}
	// attesting again adds a line; a reseller cannot
	in := AttestInput{CustomerID: c.ID, IdempotencyKey: ptr("once"), Attestation: Attestation{FirstName: "Elena", LastName: "Conti", Email: "e@conti.example", AgreedOn: "2026-01-01"}}
	for range 2 {
		if _, err := w.Attest(t.Context(), w.nord.admin, in); err != nil {
			t.Fatal(err)
		}
	}
	as, err := w.AgreementsOf(t.Context(), w.chief, []ident.ID{c.ID})
	if err != nil || len(as[c.ID]) != 2 {
		t.Errorf("got %v, %v", as, err)
	}
	_, err = w.Attest(t.Context(), w.bianchi.admin, in)
	wantCode(t, err, fault.CodeRoleRequired)
	in.IdempotencyKey, in.Attestation = nil, Attestation{AgreedOn: w.db.Now().Add(48 * 3600e9).Format("2006-01-02"), Phone: "x"}
	_, err = w.Attest(t.Context(), w.nord.admin, in)
	for _, part := range []string{"agreement.firstName", "agreement.lastName", "agreement.email", "agreement.phone", "agreement.agreedOn:DATE_IN_FUTURE"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%s is missing in %v", part, err)
		}
	}
	if _, err := w.Suspend(t.Context(), w.chief, StatusInput{CustomerID: c.ID, Reason: "Sanctions."}); err != nil {
		t.Fatal(err)
	}
	if got := w.sale(w.nord, w.bianchi, c); got != "CUSTOMER_SUSPENDED>NEXT_CUSTOMER_SUSPENDED" {
		t.Errorf("got %s", got)
	}
	if got := w.sees(w.nord.admin, Filter{Status: ptr(Suspended)}); got != "Zeta Marmi" {
		t.Errorf("sees %q", got)
	}
	_, err = w.Suspend(t.Context(), w.chief, StatusInput{CustomerID: c.ID, Reason: "Again."})
	wantCode(t, err, CodeStatusForbids)
	_, err = w.Reinstate(t.Context(), w.nord.admin, StatusInput{CustomerID: c.ID, Reason: "Please."})
	wantCode(t, err, fault.CodeRoleRequired)
	if _, err := w.Reinstate(t.Context(), w.chief, StatusInput{CustomerID: c.ID, Reason: "Cleared."}); err != nil {
		t.Fatal(err)
	}
	if got := w.audited(c.ID); got != "customer.added×2 customer.agreement_attested×1 customer.edited×2 customer.reinstated×1 customer.suspended×1" {
		t.Errorf("audit %s", got)
	}
}

// A removal and an order at the same moment: the order's guard holds the
// customer, so one of them sees what the other did.
func TestRemovalAgainstSale(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.add(w.azienda, nil, "Conti")
	var wg sync.WaitGroup
	guarded, done := make(chan struct{}), make(chan struct{})
	var order []string
	var mu sync.Mutex
	note := func(s string) { mu.Lock(); order = append(order, s); mu.Unlock() }
	wg.Go(func() {
		err := w.db.InTx(t.Context(), func(ctx context.Context, tx *database.Tx) error {
			rs, err := w.Guard(ctx, tx, Sale{SellerID: w.azienda.ID, CustomerID: c.ID})
			if err == nil && len(rs) > 0 {
				err = errors.New(codes(rs))
			}
			close(guarded)
			<-done
			note("sold")
			return err
		})
		if err != nil {
			t.Error(err)
		}
	})
	<-guarded
	wg.Go(func() {
		if _, err := w.Remove(t.Context(), w.azienda.admin, RemoveInput{CustomerID: c.ID, Reason: "Over."}); err != nil {
			t.Error(err)
		}
		note("removed")
	})
	close(done)
	wg.Wait()
	if strings.Join(order, " ") != "sold removed" {
		t.Errorf("order %v", order)
	}
	if got := w.sale(w.azienda, nil, c); got != "RELATIONSHIP_MISSING>NEXT_INVITE_CUSTOMER" {
		t.Errorf("got %s", got)
	}
}

// Ten resellers' worth of adding at the same moment: one domain, one customer.
func TestAddAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var wg sync.WaitGroup
	var mu sync.Mutex
	made := 0
	for range 6 {
		wg.Go(func() {
			_, err := w.try(w.nord, w.bianchi, details("Conti"))
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				made++
			case !fault.Is(err, CodeDomainTaken):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if made != 1 || w.counts(rollup.Of(w.nord.ID)) != "1" {
		t.Errorf("made %d", made)
	}
}
