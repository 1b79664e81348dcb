package graph

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/catalog"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/file"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/invitation"
)

// size counts the rows of all tables.
func (w *world) size() string {
	w.t.Helper()
	var out []string
	for table := range readColumns(w.t, w.DB) {
		var n int
		if err := w.DB.Read().NewRaw(`SELECT count(*) FROM "`+table+`"`).Scan(w.t.Context(), &n); err != nil {
			w.t.Fatal(table, err)
		}
		out = append(out, fmt.Sprint(table, "=", n))
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// unchanged fails where a row came or went meanwhile.
func (w *world) unchanged(what string, fn func()) {
	w.t.Helper()
	before := w.size()
	fn()
	if after := w.size(); after != before {
		w.t.Errorf("%s wrote\n%s\nafter\n%s", what, after, before)
	}
}

// Quantities at their limits are taken, those over them are refused where they
// stand, and so are orders without lines, with too many, and what a country is
// not sold.
func TestQuantitiesOverTheirLimits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sku := w.shop()
	gina := w.as(w.nordwind.admin)
	cus, _ := w.sold(gina, "adatum", nil, yearly(sku["BASIC"], 300), yearly(sku["SUITE"], 5))
	for _, n := range []int{1, 300} {
		id := w.done(gina, "startOrder", "order { id }", map[string]any{"customerId": cus, "lines": []any{yearly(sku["BASIC"], n)}}).text("startOrder.order.id")
		w.done(gina, "reviewOrder", "order { id }", map[string]any{"orderId": id})
	}
	w.unchanged("starting an order", func() {
		for n, code := range map[int]string{0: "QUANTITY_TOO_LOW", -1: "QUANTITY_TOO_LOW", catalog.MaxQuantity + 1: "QUANTITY_TOO_HIGH", 2147483647: "QUANTITY_TOO_HIGH"} {
			w.refused(gina, "startOrder", "order", code, "input.lines.1.quantity", map[string]any{"customerId": cus, "lines": []any{yearly(sku["BASIC"], 1), yearly(sku["BASIC"], n)}})
		}
		w.do(gina, "startOrder", "order { id }", map[string]any{"customerId": cus, "lines": []any{yearly(sku["BASIC"], 2147483648)}}).code("BAD_USER_INPUT")
		w.refused(gina, "startOrder", "order", "TOO_MANY", "input.lines", map[string]any{"customerId": cus, "lines": slices.Repeat([]any{yearly(sku["BASIC"], 1)}, 51)})
		w.refused(gina, "startOrder", "order", "BILLING_CYCLE_NOT_OF_TERM", "input.lines.0.billingCycle", map[string]any{"customerId": cus,
			"lines": []any{map[string]any{"offerId": sku["BASIC"], "quantity": 1, "term": "P1M", "billingCycle": "ANNUAL"}}})
	})
	for name, c := range map[string]struct {
		lines      []any
		code, path string
	}{
		"too many":          {[]any{yearly(sku["SUITE"], 5), yearly(sku["BASIC"], 301)}, "QUANTITY_TOO_HIGH", "input.lines.1.quantity"},
		"too few":           {[]any{yearly(sku["SUITE"], 4)}, "QUANTITY_TOO_LOW", "input.lines.0.quantity"},
		"none":              {[]any{}, "ORDER_LINES_REQUIRED", "input.lines"},
		"not in Italy":      {[]any{map[string]any{"offerId": sku["FRANCE"], "quantity": 1, "term": "P1M", "billingCycle": "MONTHLY"}}, "OFFER_NOT_SOLD_IN_COUNTRY", "input.lines.0.offerId"},
		"not for that long": {[]any{map[string]any{"offerId": sku["BASIC"], "quantity": 1, "term": "P3Y", "billingCycle": "ANNUAL"}}, "TERM_NOT_OFFERED", "input.lines.0.term"},
	} {
		t.Run(name, func(t *testing.T) {
			w := w.on(t)
			id := w.done(gina, "startOrder", "order { id }", map[string]any{"customerId": cus, "lines": c.lines}).text("startOrder.order.id")
			w.unchanged("reviewing", func() {
				w.refused(gina, "reviewOrder", "order", c.code, c.path, map[string]any{"orderId": id})
				w.refused(gina, "submitOrder", "order", "ORDER_NOT_REVIEWED", "input.orderId", map[string]any{"orderId": id})
			})
		})
	}
	subs := w.gql(gina, "{ productSubscriptions { nodes { id quantity } } }").ok()
	for i, n := range []float64{300, 5} {
		if subs.at(fmt.Sprintf("productSubscriptions.nodes.%d.quantity", i)) != n {
			i = 1 - i
		}
		sub := subs.text(fmt.Sprintf("productSubscriptions.nodes.%d.id", i))
		most, least := 300, 1
		if n == 5 {
			most, least = 1000, 5
		}
		w.unchanged("asking for what cannot be", func() {
			w.refused(gina, "addLicences", "productSubscription", "QUANTITY_TOO_HIGH", "input.quantity", map[string]any{"subscriptionId": sub, "quantity": most + 1})
			w.refused(gina, "reduceLicences", "productSubscription", "QUANTITY_TOO_LOW", "input.quantity", map[string]any{"subscriptionId": sub, "quantity": least - 1})
			w.refused(gina, "reduceLicences", "productSubscription", "QUANTITY_TOO_LOW", "input.quantity", map[string]any{"subscriptionId": sub, "quantity": -5})
			w.refused(gina, "addLicences", "productSubscription", "QUANTITY_NOT_HIGHER", "input.quantity", map[string]any{"subscriptionId": sub, "quantity": int(n)})
		})
		if n == 5 {
			w.done(gina, "addLicences", "productSubscription { id }", map[string]any{"subscriptionId": sub, "quantity": most})
		}
		w.done(gina, "reduceLicences", "productSubscription { id }", map[string]any{"subscriptionId": sub, "quantity": least})
	}
}

// Customers of another region, partner tenants, and what belongs to others are
// refused with their codes, and nothing is written.
func TestCustomersThatCannotBe(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sku := w.shop()
	w.partnered(w.nordwind, w.contoso)
	gina, fab := w.as(w.nordwind.admin), w.as(w.fabrikam.admin)
	abroad := buyer("faraway")
	abroad["details"].(map[string]any)["address"] = map[string]any{"line1": "12 Main Street", "city": "Albany", "postalCode": "12207", "state": "NY", "country": "US"}
	abroad["details"].(map[string]any)["phone"] = "+1 518 555 0100"
	own := buyer("nordwind-retail")
	own["details"].(map[string]any)["companyName"] = "Nordwind Distribution"
	reseller := buyer("contoso-own")
	reseller["details"].(map[string]any)["companyName"] = "Contoso Reselling"
	domestic := buyer("domestic")
	domestic["details"].(map[string]any)["billingEmail"] = "bills@mail.nordwind.example"
	for name, c := range map[string]struct {
		newcomer   map[string]any
		reseller   *ident.ID
		code, path string
	}{
		"another region":     {newcomer: abroad, code: "REGION_MISMATCH", path: ""},
		"the own company":    {newcomer: own, code: "AFFILIATE", path: ""},
		"the own reseller":   {newcomer: reseller, code: "ALREADY_PARTNERED", path: ""},
		"the own address":    {newcomer: domestic, code: "EMAIL_OF_SELLER", path: "input.newcomer.details.billingEmail"},
		"through a provider": {newcomer: buyer("elsewhere"), reseller: &w.fabrikam.ID, code: "NOT_FOUND", path: "input.resellerId"},
		"through a stranger": {newcomer: buyer("elsewhere"), reseller: &w.tailspin.ID, code: "NOT_FOUND", path: "input.resellerId"},
		"through oneself":    {newcomer: buyer("elsewhere"), reseller: &w.nordwind.ID, code: "NOT_FOUND", path: "input.resellerId"},
		"through nobody":     {newcomer: buyer("elsewhere"), reseller: new(ident.ID("par_" + nobodysBody)), code: "NOT_FOUND", path: "input.resellerId"},
		"through something":  {newcomer: buyer("elsewhere"), reseller: new(ident.ID("x")), code: "NOT_FOUND", path: "input.resellerId"},
		"through a customer": {newcomer: buyer("elsewhere"), reseller: new(ident.ID("cus_" + nobodysBody)), code: "NOT_FOUND", path: "input.resellerId"},
	} {
		t.Run(name, func(t *testing.T) {
			w := w.on(t)
			in := map[string]any{"newcomer": c.newcomer, "lines": []any{yearly(sku["BASIC"], 1)}}
			if c.reseller != nil {
				in["resellerId"] = *c.reseller
				w.unchanged("starting", func() { w.refused(gina, "startOrder", "order", c.code, c.path, in) })
				return
			}
			id := w.done(gina, "startOrder", "order { id }", in).text("startOrder.order.id")
			w.unchanged("reviewing", func() { w.refused(gina, "reviewOrder", "order", c.code, c.path, map[string]any{"orderId": id}) })
		})
	}
	const may = "query($in: ScenarioInput!) { checkScenario(input: $in) { isAllowed refusals { code message nextStep } } }"
	for domain, code := range map[string]string{"contoso.example": "TENANT_IS_PARTNER", "nordwind.example": "SELF_DEALING", "tailspin.example": "TENANT_IS_PARTNER"} {
		got := w.gql(gina, may, "in", map[string]any{"act": "SELL", "sellerId": w.nordwind.ID, "buyer": map[string]any{"companyName": "Somebody", "country": "IT", "domain": domain}}).ok()
		if got.text("checkScenario.refusals.0.code") != code || got.text("checkScenario.refusals.0.nextStep") == "" {
			t.Error(domain, got.Raw)
		}
	}
	// a partner follows the link of a customer's invitation
	tail := w.as(w.tailspin.admin)
	sent := w.done(fab, "inviteCustomer", "invitation { id }", map[string]any{"email": tail.Email}).text("inviteCustomer.invitation.id")
	code := w.keys.Capability(invitation.LinkPrefix, invitation.LinkPurpose, ident.ID(sent), 1).Reveal()
	w.unchanged("accepting", func() {
		w.refused(tail, "acceptCustomerInvitation", "customer", "TENANT_IS_PARTNER", "input.code", map[string]any{"code": code, "confirmed": true, "acceptsAgreement": true})
		w.refused(tail, "declineCustomerInvitation", "invitation", "NOT_A_CUSTOMER", "input.code", map[string]any{"code": code})
	})
}

// What belongs to others is like what is not there, in every verb on
// subscriptions and customers.
func TestForeignIds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sku := w.shop()
	w.partnered(w.nordwind, w.contoso)
	gina, fab := w.as(w.nordwind.admin), w.as(w.fabrikam.admin)
	cus, _ := w.sold(gina, "adatum", &w.contoso.ID, yearly(sku["BASIC"], 3))
	sub := w.gql(gina, "{ productSubscriptions { nodes { id } } }").ok().text("productSubscriptions.nodes.0.id")
	line := w.gql(gina, "{ orders { nodes { lines { id } } } }").ok().text("orders.nodes.0.lines.0.id")
	draft := w.done(gina, "startOrder", "order { id }", map[string]any{"customerId": cus}).text("startOrder.order.id")
	grant := w.gql(gina, "{ grants { nodes { id } } }").ok().text("grants.nodes.0.id")
	ids := map[string]string{"sub": sub, "cus": string(cus), "ord": draft, "oln": line, "grt": grant}
	w.unchanged("asking for others' things", func() {
		for _, c := range []struct {
			mutation, field, id string
			more                map[string]any
		}{
			{"addLicences", "productSubscription", "subscriptionId", map[string]any{"quantity": 5}},
			{"reduceLicences", "productSubscription", "subscriptionId", map[string]any{"quantity": 1}},
			{"cancelProductSubscription", "productSubscription", "subscriptionId", nil},
			{"suspendProductSubscription", "productSubscription", "subscriptionId", nil},
			{"reactivateProductSubscription", "productSubscription", "subscriptionId", nil},
			{"setProductSubscriptionRenewal", "productSubscription", "subscriptionId", map[string]any{"isRenewedAutomatically": false}},
			{"renameProductSubscription", "productSubscription", "subscriptionId", map[string]any{"friendlyName": "Mine"}},
			{"associateReseller", "productSubscription", "subscriptionId", map[string]any{"resellerId": nil}},
			{"designateSupportContact", "productSubscription", "subscriptionId", map[string]any{"partnerId": nil}},
			{"startOrder", "order", "customerId", nil},
			{"saveOrder", "order", "orderId", map[string]any{"lines": []any{}}},
			{"reviewOrder", "order", "orderId", nil},
			{"submitOrder", "order", "orderId", nil},
			{"cancelOrder", "order", "orderId", nil},
			{"retryOrderLine", "orderLine", "orderLineId", nil},
			{"abandonOrderLine", "orderLine", "orderLineId", nil},
			{"updateCustomer", "customer", "customerId", map[string]any{"phone": "+39 02 1234567"}},
			{"attestCustomerAgreement", "customer", "customerId", map[string]any{"agreement": buyer("adatum")["agreement"]}},
			{"removeCustomer", "removedRelationshipId", "customerId", map[string]any{"reason": "It is over."}},
		} {
			kind := map[string]string{"subscriptionId": "sub", "orderId": "ord", "orderLineId": "oln", "customerId": "cus"}[c.id]
			for _, id := range []string{ids[kind], kind + "_" + nobodysBody, "nonsense", string(w.nordwind.ID), strings.Repeat("z", 200)} {
				in := maps.Clone(c.more)
				if in == nil {
					in = map[string]any{}
				}
				in[c.id] = id
				out := w.do(fab, c.mutation, "__typename", in).ok()
				if out.text(c.mutation+".userErrors.0.code") != "NOT_FOUND" || out.text(c.mutation+".userErrors.0.path.1") != c.id {
					t.Errorf("%s of %s: %s", c.mutation, id, out.Raw)
				}
			}
		}
		renewed := w.done(fab, "renewGrants", "lines { problems { code } }", map[string]any{"grantIds": []string{grant}, "days": 30})
		if renewed.text("renewGrants.lines.0.problems.0.code") != "NOT_FOUND" {
			t.Error(renewed.Raw)
		}
		w.refused(gina, "associateReseller", "productSubscription", "NOT_FOUND", "input.resellerId", map[string]any{"subscriptionId": sub, "resellerId": w.tailspin.ID})
		w.refused(gina, "designateSupportContact", "productSubscription", "NOT_FOUND", "input.partnerId", map[string]any{"subscriptionId": sub, "partnerId": w.tailspin.ID})
		w.refused(gina, "startOrder", "order", "NOT_FOUND", "input.lines.0.offerId", map[string]any{"customerId": cus, "lines": []any{yearly("off_"+nobodysBody, 1)}})
	})
}

// A draft whose time is over is no draft any more, whether a job has seen it or
// not.
func TestExpiredDrafts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sku := w.shop()
	gina := w.as(w.nordwind.admin)
	id := w.done(gina, "startOrder", "order { id }", map[string]any{"newcomer": buyer("adatum"), "lines": []any{yearly(sku["BASIC"], 1)}}).text("startOrder.order.id")
	w.done(gina, "reviewOrder", "order { id }", map[string]any{"orderId": id})
	w.DB.Clock().Advance(7 * 24 * time.Hour)
	w.unchanged("acting on an expired draft", func() {
		for _, verb := range []string{"reviewOrder", "submitOrder", "cancelOrder"} {
			w.refused(gina, verb, "order", "ORDER_EXPIRED", "input.orderId", map[string]any{"orderId": id})
		}
		w.refused(gina, "saveOrder", "order", "ORDER_EXPIRED", "input.orderId", map[string]any{"orderId": id, "lines": []any{}})
	})
}

// A price that changed between review and submission
// refuse the order where they stand, and nothing of it is there; reviewed again
// it is submitted.
func TestPricesThatChange(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sku := w.shop()
	gina := w.as(w.nordwind.admin)
	id := w.done(gina, "startOrder", "order { id }", map[string]any{"newcomer": buyer("adatum"), "lines": []any{yearly(sku["SUITE"], 5), yearly(sku["BASIC"], 2)}}).text("startOrder.order.id")
	w.done(gina, "reviewOrder", "order { id }", map[string]any{"orderId": id})
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		_, err := w.Catalog.ImportTx(ctx, tx, w.as(w.operator), catalog.CSV, "offers.csv", []byte(strings.Replace(offersCSV, "67.20", "67.30", 1)))
		return err
	})
	w.unchanged("submitting at another price", func() {
		w.refused(gina, "submitOrder", "order", "PRICE_CHANGED", "input.lines.1.price", map[string]any{"orderId": id, "idempotencyKey": "k"})
	})
	if got := w.gql(gina, "{ customers { totalCount { value } } checkDomainAvailability(prefix: \"adatum\") { isAvailable } }").ok(); got.at("customers.totalCount.value") != 0.0 ||
		got.at("checkDomainAvailability.isAvailable") != true {
		t.Error(got.Raw)
	}
	again := w.done(gina, "reviewOrder", "order { lines { unitPrice { amount } } }", map[string]any{"orderId": id})
	if again.text("reviewOrder.order.lines.1.unitPrice.amount") != "67.30" {
		t.Error(again.Raw)
	}
	w.done(gina, "submitOrder", "order { status }", map[string]any{"orderId": id, "idempotencyKey": "k"})
}

// Every bad line of an import is told with its place, and nothing of the file
// is in the catalogue.
func TestImportsWithBadLines(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	otto := w.as(w.operator)
	bad := offersCSV + // lines 6 on
		"ONE,One,FIRST_PARTY,Meridian,Workplace,Productivity,1,300,,,,,,EUROPE,EUR,P1M,MONTHLY,-1\n" +
		"TWO,Two,FIRST_PARTY,Meridian,Workplace,Productivity,9,3,,,,,,EUROPE,EUR,P1M,MONTHLY,1\n" +
		"THREE,Three,FIRST_PARTY,Meridian,Workplace,Productivity,1,300,XX,,,,,EUROPE,EUR,P1M,MONTHLY,1\n" +
		"FOUR,Four,FIRST_PARTY,Meridian,Workplace,Productivity,1,300,,NOTHING,,,,EUROPE,EUR,P1M,MONTHLY,1\n" +
		"FIVE,Five,FIRST_PARTY,Meridian,Workplace,Productivity,1,300,,,,,,EUROPE,USD,P1M,MONTHLY,1\n"
	for name, content := range map[string]string{"bad lines": bad, "empty": "sku,name\n", "unknown column": strings.Replace(offersCSV, "publisher_kind", "kind", 1)} {
		t.Run(name, func(t *testing.T) {
			w := w.on(t)
			f, err := w.Files.Upload(t.Context(), otto, file.UploadInput{Purpose: file.ForCatalog, Name: "offers.csv", Content: []byte(content)})
			if err != nil {
				t.Fatal(err)
			}
			id := w.done(otto, "importCatalog", "catalogImport { id }", map[string]any{"fileId": f.ID, "format": "CSV"}).text("importCatalog.catalogImport.id")
			w.work("catalog.")
			got := w.gql(otto, "query($id: ID!) { node(id: $id) { ... on CatalogImport { state problemCount problems(first: 50) { nodes { line column code message } } } } offers { totalCount { value } } }", "id", id).ok()
			if got.text("node.state") != "REFUSED" || got.at("offers.totalCount.value") != 0.0 {
				t.Error(got.Raw)
			}
			if name != "bad lines" {
				return
			}
			lines := map[float64]bool{}
			for _, p := range got.at("node.problems.nodes").([]any) {
				p := p.(map[string]any)
				lines[p["line"].(float64)] = true
				if p["message"] == "" || p["code"] == "" {
					t.Error(p)
				}
			}
			if !slices.Equal(slices.Sorted(maps.Keys(lines)), []float64{6, 7, 8, 9, 10}) {
				t.Error(got.Raw)
			}
		})
	}
	for name, c := range map[string]struct {
		who        access.Actor
		file       ident.ID
		code, path string
	}{"no file": {otto, "fil_" + nobodysBody, "NOT_FOUND", "input.fileId"}, "nonsense": {otto, "x", "NOT_FOUND", "input.fileId"}} {
		w.unchanged(name, func() {
			w.refused(c.who, "importCatalog", "catalogImport", c.code, c.path, map[string]any{"fileId": c.file, "format": "CSV"})
		})
	}
}

// What is told of a customer to add is judged field by field, and each field's
// fault comes with its code and its place.
func TestDetailsThatAreWrong(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sku := w.shop()
	gina := w.as(w.nordwind.admin)
	first := buyer("adatum")
	first["details"].(map[string]any)["registrationId"] = "00743110157"
	there := w.done(gina, "startOrder", "order { id }", map[string]any{"newcomer": first, "lines": []any{yearly(sku["BASIC"], 1)}}).text("startOrder.order.id")
	w.done(gina, "reviewOrder", "order { id }", map[string]any{"orderId": there})
	w.done(gina, "submitOrder", "order { id }", map[string]any{"orderId": there})
	for name, c := range map[string]struct {
		section, field string
		value          any
		code           string
	}{
		"a short name":            {"details", "companyName", "X", "TOO_SHORT"},
		"a legal form":            {"details", "companyName", "S.p.A.", "NAME_INVALID"},
		"a taken domain":          {"details", "domainPrefix", "adatum", "DOMAIN_NOT_AVAILABLE"},
		"no domain":               {"details", "domainPrefix", "a b", "DOMAIN_PREFIX_INVALID"},
		"a taken registration":    {"details", "registrationId", "IT 00743110157", "CUSTOMER_EXISTS"},
		"a wrong registration":    {"details", "registrationId", "00743110158", "REGISTRATION_ID_INVALID"},
		"no telephone":            {"details", "phone", "call me", "PHONE_INVALID"},
		"a long address":          {"details", "billingEmail", strings.Repeat("a", 60) + "@" + strings.Repeat("b.", 100) + "example", "EMAIL_TOO_LONG"},
		"no address":              {"details", "billingEmail", "bills", "EMAIL_INVALID"},
		"the seller's address":    {"details", "billingEmail", "bills@nordwind.example", "EMAIL_OF_SELLER"},
		"another language":        {"details", "locale", "xx", "INVALID"},
		"somebody's address":      {"admin", "email", "gina@fabrikam.example", "EMAIL_NOT_AVAILABLE"},
		"the seller's person":     {"admin", "email", "ada@nordwind.example", "EMAIL_OF_SELLER"},
		"nobody":                  {"admin", "firstName", "", "REQUIRED"},
		"an agreement to come":    {"agreement", "agreedOn", "2099-01-01", "DATE_IN_FUTURE"},
		"an agreement of no day":  {"agreement", "agreedOn", "soon", "DATE_INVALID"},
		"an agreement of nobody":  {"agreement", "lastName", "", "REQUIRED"},
		"a postal code of signs":  {"address", "postalCode", "20-/1", "POSTAL_CODE_INVALID"},
		"a state in Italy":        {"address", "state", "MI", "STATE_NOT_OF_COUNTRY"},
		"a country that is none":  {"address", "country", "XX", "COUNTRY_UNKNOWN"},
		"a street without a name": {"address", "line1", "", "REQUIRED"},
	} {
		t.Run(name, func(t *testing.T) {
			w := w.on(t)
			in := buyer("fabbrica")
			to, path := in[c.section], "input.newcomer."+c.section+"."+c.field
			if c.section == "address" {
				to, path = in["details"].(map[string]any)["address"], "input.newcomer.details.address."+c.field
			}
			to.(map[string]any)[c.field] = c.value
			id := w.done(gina, "startOrder", "order { id }", map[string]any{"newcomer": in, "lines": []any{yearly(sku["BASIC"], 1)}}).text("startOrder.order.id")
			w.unchanged("reviewing", func() { w.refused(gina, "reviewOrder", "order", c.code, path, map[string]any{"orderId": id}) })
		})
	}
	alone := buyer("fabbrica")
	delete(alone, "agreement")
	id := w.done(gina, "startOrder", "order { id }", map[string]any{"newcomer": alone, "lines": []any{yearly(sku["BASIC"], 1)}}).text("startOrder.order.id")
	w.refused(gina, "reviewOrder", "order", "CUSTOMER_AGREEMENT_REQUIRED", "input.newcomer.agreement", map[string]any{"orderId": id})
	warsaw := buyer("fabbrica")
	warsaw["details"].(map[string]any)["address"] = map[string]any{"line1": "Rynek 1", "city": "Warszawa", "postalCode": "00-001", "country": "PL"}
	id = w.done(gina, "startOrder", "order { id }", map[string]any{"newcomer": warsaw, "lines": []any{yearly(sku["BASIC"], 1)}}).text("startOrder.order.id")
	w.refused(gina, "reviewOrder", "order", "REGISTRATION_ID_REQUIRED", "input.newcomer.details.registrationId", map[string]any{"orderId": id})
	dark := buyer("fabbrica")
	dark["details"].(map[string]any)["companyName"] = "Fabbrica\u202e"
	link := yearly(sku["BASIC"], 1)
	link["friendlyName"] = "see https://evil.example"
	long := yearly(sku["BASIC"], 1)
	long["friendlyName"] = strings.Repeat("n", 201)
	w.unchanged("starting", func() {
		w.refused(gina, "startOrder", "order", "CONTROL_CHARACTERS", "input.newcomer.details.companyName", map[string]any{"newcomer": dark})
		w.refused(gina, "startOrder", "order", "LINK_NOT_ALLOWED", "input.lines.0.friendlyName", map[string]any{"newcomer": alone, "lines": []any{link}})
		w.refused(gina, "startOrder", "order", "TOO_LONG", "input.lines.0.friendlyName", map[string]any{"newcomer": alone, "lines": []any{long}})
	})
}

// What a customer, its invitations and its subscriptions cannot be asked for.
func TestStatesThatForbid(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sku := w.shop()
	w.partnered(w.nordwind, w.contoso)
	gina, fab, otto := w.as(w.nordwind.admin), w.as(w.fabrikam.admin), w.as(w.operator)
	cus, _ := w.sold(gina, "adatum", &w.contoso.ID, yearly(sku["BASIC"], 3))
	exec := func(sql string, args ...any) {
		w.t.Helper()
		w.tx(func(ctx context.Context, tx *database.Tx) error {
			_, err := tx.NewRaw(sql, args...).Exec(ctx)
			return err
		})
	}
	w.refused(otto, "reinstateCustomer", "customer", "CUSTOMER_STATUS_FORBIDS", "input.customerId", map[string]any{"customerId": cus, "reason": "Paid."})
	w.done(otto, "suspendCustomer", "customer { id }", map[string]any{"customerId": cus, "reason": "Open bills."})
	w.refused(otto, "suspendCustomer", "customer", "CUSTOMER_STATUS_FORBIDS", "input.customerId", map[string]any{"customerId": cus, "reason": "Open bills."})
	id := w.done(gina, "startOrder", "order { id }", map[string]any{"customerId": cus, "resellerId": w.contoso.ID, "lines": []any{yearly(sku["BASIC"], 1)}}).text("startOrder.order.id")
	no := func(code string) {
		w.t.Helper()
		w.unchanged(code, func() { w.refused(gina, "reviewOrder", "order", code, "", map[string]any{"orderId": id}) })
	}
	no("CUSTOMER_SUSPENDED")
	w.done(otto, "reinstateCustomer", "customer { id }", map[string]any{"customerId": cus, "reason": "Paid."})
	exec("UPDATE customer SET agreed_at = NULL WHERE id = ?", cus)
	no("CUSTOMER_AGREEMENT_MISSING")
	w.done(gina, "attestCustomerAgreement", "customer { id }", map[string]any{"customerId": cus, "agreement": buyer("adatum")["agreement"]})
	for _, c := range []struct {
		partner ident.ID
		code    string
	}{{w.nordwind.ID, "SELLER_AGREEMENT_NOT_SIGNED"}, {w.contoso.ID, "RESELLER_AGREEMENT_NOT_SIGNED"}} {
		exec("UPDATE partner SET agreement_due_at = ? WHERE id = ?", w.DB.Now().Add(-time.Hour), c.partner)
		no(c.code)
		exec("UPDATE partner SET agreement_due_at = NULL WHERE id = ?", c.partner)
	}
	for _, c := range []struct {
		partner ident.ID
		code    string
	}{{w.nordwind.ID, "SELLER_NOT_ACTIVE"}, {w.contoso.ID, "RESELLER_NOT_ACTIVE"}} {
		exec("UPDATE partner SET status = 'SUSPENDED' WHERE id = ?", c.partner)
		no(c.code)
		exec("UPDATE partner SET status = 'ACTIVE' WHERE id = ?", c.partner)
	}
	exec("UPDATE relationship SET status = 'REMOVED' WHERE customer_id = ? AND partner_id = ?", cus, w.contoso.ID)
	no("RESELLER_NOT_RELATED")
	exec("UPDATE relationship SET status = 'ACTIVE' WHERE customer_id = ? AND partner_id = ?", cus, w.contoso.ID)
	exec("UPDATE partnership SET status = 'TERMINATED'")
	no("PARTNERSHIP_MISSING")
	exec("UPDATE partnership SET status = 'ACTIVE'")
	exec("UPDATE relationship SET status = 'REMOVED' WHERE customer_id = ? AND partner_id = ?", cus, w.nordwind.ID)
	no("RELATIONSHIP_MISSING")
	exec("UPDATE relationship SET status = 'ACTIVE' WHERE customer_id = ? AND partner_id = ?", cus, w.nordwind.ID)
	w.done(gina, "reviewOrder", "order { id }", map[string]any{"orderId": id})

	// invitations that are dead, or may not be sent
	ada := w.as(w.adminOf("adatum"))
	invite := func() (string, string) {
		id := w.done(fab, "inviteCustomer", "invitation { id }", map[string]any{"email": ada.Email}).text("inviteCustomer.invitation.id")
		return id, w.keys.Capability(invitation.LinkPrefix, invitation.LinkPurpose, ident.ID(id), 1).Reveal()
	}
	dead := func(code, why string) {
		w.t.Helper()
		w.unchanged(why, func() {
			w.refused(ada, "acceptCustomerInvitation", "customer", why, "input.code", map[string]any{"code": code, "confirmed": true})
			w.refused(ada, "declineCustomerInvitation", "invitation", why, "input.code", map[string]any{"code": code})
		})
	}
	sent, code := invite()
	exec("UPDATE invitation SET status = 'SENT' WHERE id = ?", sent)
	w.done(fab, "resendInvitation", "invitation { id }", map[string]any{"invitationId": sent})
	dead(code, "LINK_REPLACED")
	w.done(fab, "revokeInvitation", "invitation { id }", map[string]any{"invitationId": sent})
	sent, code = invite()
	w.done(fab, "revokeInvitation", "invitation { id }", map[string]any{"invitationId": sent})
	dead(code, "INVITATION_CLOSED")
	w.refused(fab, "inviteCustomer", "invitation", "RECIPIENT_LIMIT", "input.email", map[string]any{"email": ada.Email})
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		return w.Mailer.Suppress(ctx, tx, "gone@elsewhere.example", "bounced", "")
	})
	w.refused(fab, "inviteCustomer", "invitation", "RECIPIENT_SUPPRESSED", "input.email", map[string]any{"email": "gone@elsewhere.example"})
	w.DB.Clock().Advance(31 * 24 * time.Hour)
	_, code = invite()
	w.DB.Clock().Advance(31 * 24 * time.Hour)
	ada = w.as(w.adminOf("adatum")) // signed in anew
	dead(code, "INVITATION_EXPIRED")
	got := w.gql(otto, "query($in: ScenarioInput!) { checkScenario(input: $in) { refusals { code nextStep } } }", "in",
		map[string]any{"act": "SELL", "sellerId": w.nordwind.ID, "resellerId": w.fabrikam.ID, "customerId": cus}).ok()
	if got.text("checkScenario.refusals.0.code") != "RESELLER_KIND" {
		t.Error(got.Raw)
	}
}
