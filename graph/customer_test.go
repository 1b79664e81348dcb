package graph

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/catalog"
	"github.com/channelgraph/channelgraph/internal/customer"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/file"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/invitation"
	"github.com/channelgraph/channelgraph/internal/order"
	"github.com/channelgraph/channelgraph/internal/outbox"
)

const offersCSV = `sku,name,publisher_kind,publisher,product_line,category,min_quantity,max_quantity,countries,prerequisites,trial,azure_type,incentive_eligible,region,currency,term,billing_cycle,price
BASIC,Basic,FIRST_PARTY,Meridian,Workplace,Productivity,1,300,,,,,yes,EUROPE,EUR,P1M,MONTHLY,6.70
BASIC,,,,,,,,,,,,,EUROPE,EUR,P1Y,ANNUAL,67.20
SUITE,Suite,FIRST_PARTY,Meridian,Workplace,Productivity,5,1000,,,,,,EUROPE,EUR,P1Y,ANNUAL,120.00
FRANCE,France,THIRD_PARTY,Kestrel,Workplace,Productivity,1,300,FR,,,,,EUROPE,EUR,P1M,MONTHLY,3.00
`

// shop brings offers into the catalogue and gives their ids by SKU.
func (w *world) shop() map[string]ident.ID {
	w.t.Helper()
	out := map[string]ident.ID{}
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		if _, err := w.Catalog.ImportTx(ctx, tx, w.as(w.operator), catalog.CSV, "offers.csv", []byte(offersCSV)); err != nil {
			return err
		}
		all, err := w.Catalog.BySKUTx(ctx, tx)
		for sku, o := range all {
			out[sku] = o.ID
		}
		return err
	})
	return out
}

// buyer describes a customer to add.
func buyer(slug string) map[string]any {
	return map[string]any{
		"details": map[string]any{"companyName": "Bottega " + slug, "domainPrefix": slug, "billingEmail": "bills@" + slug + ".example", "phone": "+39 02 1234567",
			"address": map[string]any{"line1": "Via Roma 1", "city": "Milano", "postalCode": "20121", "country": "IT"}},
		"admin":     map[string]any{"email": "ada@" + slug + ".example", "firstName": "Ada", "lastName": "Neri"},
		"agreement": map[string]any{"firstName": "Ada", "lastName": "Neri", "email": "ada@" + slug + ".example", "agreedOn": "2026-01-02"},
	}
}

func yearly(offer ident.ID, n int) map[string]any {
	return map[string]any{"offerId": offer, "quantity": n, "term": "P1Y", "billingCycle": "ANNUAL"}
}

// sold adds a customer by an order of some lines, through a reseller where one
// is named, all of it provisioned.
func (w *world) sold(a access.Actor, slug string, reseller *ident.ID, lines ...map[string]any) (customerID, orderID ident.ID) {
	w.t.Helper()
	in := map[string]any{"newcomer": buyer(slug), "lines": lines}
	if reseller != nil {
		in["resellerId"] = *reseller
	}
	id := w.done(a, "startOrder", "order { id }", in).text("startOrder.order.id")
	w.done(a, "reviewOrder", "order { id }", map[string]any{"orderId": id})
	out := w.done(a, "submitOrder", "order { id customer { id } }", map[string]any{"orderId": id})
	w.work("order.")
	return ident.ID(out.text("submitOrder.order.customer.id")), ident.ID(id)
}

// work performs the due jobs of some kinds, as the relay and a worker do.
func (w *world) work(kinds string) {
	w.t.Helper()
	for {
		c, err := outbox.Claim(w.t.Context(), w.DB, 500)
		if err != nil {
			w.t.Fatal(err)
		}
		if len(c.Jobs) == 0 {
			return
		}
		for _, h := range c.Jobs {
			if strings.HasPrefix(h.Kind, kinds) {
				w.begun(h.ID, h.Generation)
			}
		}
	}
}

func (w *world) begun(id ident.ID, generation int) {
	w.t.Helper()
	run, err := outbox.Begin(w.t.Context(), w.DB, id, generation, "test", time.Minute)
	if err != nil || run == nil {
		w.t.Fatal("a job did not begin", err)
	}
	switch run.Job.Kind {
	case order.Provision{}.Kind():
		err = performed(w, run, w.Orders.Provision)
	case customer.ExportCustomers{}.Kind():
		err = performed(w, run, w.Customers.ExportCustomers)
	case catalog.ImportOffers{}.Kind():
		err = performed(w, run, w.Catalog.ImportOffers)
	}
	if ferr := outbox.Finish(w.t.Context(), w.DB, []*outbox.Ending{{Run: run, Err: err}}); ferr != nil {
		w.t.Fatal(ferr)
	}
}

func performed[A any](w *world, run *outbox.Run, verb func(context.Context, *outbox.Run, A) error) error {
	var a A
	if err := json.Unmarshal([]byte(run.Job.Payload), &a); err != nil {
		w.t.Fatal(err)
	}
	return verb(w.t.Context(), run, a)
}

// adminOf is the first administrator of a customer.
func (w *world) adminOf(slug string) *account.User {
	w.t.Helper()
	var u *account.User
	w.tx(func(ctx context.Context, tx *database.Tx) (err error) { // who has set a password by now
		if u, err = w.Accounts.ByEmailTx(ctx, tx, "ada@"+slug+".example"); err != nil {
			return err
		}
		_, err = tx.NewRaw("UPDATE user_account SET status = 'ACTIVE' WHERE id = ?", u.ID).Exec(ctx)
		return err
	})
	return u
}

// everywhere looks for a text in every column of every table.
func (w *world) everywhere(text string) (found []string) {
	w.t.Helper()
	for table, columns := range readColumns(w.t, w.DB) {
		for _, c := range columns {
			if !c.text() {
				continue
			}
			var n int
			col := "CAST(" + c.Name + " AS text)"
			if c.Kind == "bytea" {
				col = "encode(" + c.Name + ", 'escape')"
			}
			err := w.DB.Read().NewRaw("SELECT count(*) FROM "+table+" WHERE "+col+" LIKE ?", "%"+text+"%").Scan(w.t.Context(), &n)
			if err != nil {
				w.t.Fatal(table, c.Name, err)
			}
			if n > 0 {
				found = append(found, table+"."+c.Name)
			}
		}
	}
	return found
}

// A customer is added with what it buys, from a draft to what everybody sees of
// it; the temporary password is told once and stands nowhere.
func TestAddingACustomer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sku := w.shop()
	w.partnered(w.nordwind, w.contoso)
	gina, bruno, fab := w.as(w.nordwind.admin), w.as(w.contoso.admin), w.as(w.fabrikam.admin)
	if out := w.gql(gina, `{ checkDomainAvailability(prefix: "adatum") { domain isAvailable } }`).ok(); out.at("checkDomainAvailability.isAvailable") != true {
		t.Error(out.Raw)
	}
	prices := w.gql(gina, `{ offers(filter: {search: "bas", country: "IT"}) { nodes { id sku isAddOn prices(country: "it") { term billingCycle unitPrice { amount currency } } } totalCount { value } } }`).ok()
	if prices.text("offers.nodes.0.sku") != "BASIC" || prices.text("offers.nodes.0.prices.0.unitPrice.amount") != "6.70" {
		t.Error(prices.Raw)
	}

	in := buyer("adatum")
	in["welcome"] = "TEMPORARY_PASSWORD"
	delete(in, "agreement")
	start := w.done(gina, "startOrder", "order { id status isForNewCustomer lines { offerName unitPrice { amount } status } }",
		map[string]any{"resellerId": w.contoso.ID, "newcomer": in, "lines": []any{yearly(sku["BASIC"], 3), yearly(sku["SUITE"], 1)}, "idempotencyKey": "o1"})
	id := start.text("startOrder.order.id")
	if start.text("startOrder.order.status") != "DRAFT" || start.at("startOrder.order.lines.0.unitPrice") != nil {
		t.Error(start.Raw)
	}
	w.refused(gina, "reviewOrder", "order", "QUANTITY_TOO_LOW", "input.lines.1.quantity", map[string]any{"orderId": id})
	w.refused(fab, "reviewOrder", "order", "NOT_FOUND", "input.orderId", map[string]any{"orderId": id})
	if out := w.gql(bruno, "query($o: ID!) { node(id: $o) { id } orders { totalCount { value } } }", "o", id).ok(); out.at("node") != nil || out.at("orders.totalCount.value") != 0.0 {
		t.Error("a draft is the seller's", out.Raw)
	}
	w.done(gina, "saveOrder", "order { id }", map[string]any{"orderId": id, "newcomer": map[string]any{"agreement": buyer("adatum")["agreement"]},
		"lines": []any{yearly(sku["BASIC"], 3), yearly(sku["SUITE"], 5)}})
	review := w.done(gina, "reviewOrder", "order { version firstCharge { amount currency } totals { billingCycle } lines { unitPrice { amount } totalPrice { amount } } }", map[string]any{"orderId": id})
	if review.text("reviewOrder.order.firstCharge.amount") != "801.60" || review.text("reviewOrder.order.lines.1.totalPrice.amount") != "600.00" {
		t.Error(review.Raw)
	}
	fields := "order { id status customer { id companyName domain } lines { number status subscription { id status } operation { state } } } adminEmail temporaryPassword isAlreadyShown"
	submit := map[string]any{"orderId": id, "idempotencyKey": "s1"}
	out := w.done(gina, "submitOrder", fields, submit)
	secret := out.text("submitOrder.temporaryPassword")
	if len(secret) < 12 || out.at("submitOrder.isAlreadyShown") != false || out.text("submitOrder.adminEmail") != "ada@adatum.example" ||
		out.text("submitOrder.order.lines.0.operation.state") != "PENDING" {
		t.Error("the submission is not as it should be")
	}
	again := w.done(gina, "submitOrder", fields, submit)
	if again.at("submitOrder.temporaryPassword") != nil || again.at("submitOrder.isAlreadyShown") != true || again.text("submitOrder.order.id") != id {
		t.Error(again.Raw)
	}
	w.work("order.")
	if found := w.everywhere(secret); len(found) > 0 {
		t.Errorf("the temporary password stands in %v", found)
	}
	if strings.Contains(w.log.String(), secret) {
		t.Error("the temporary password is logged")
	}
	cus := out.text("submitOrder.order.customer.id")

	const see = `query($id: ID!) { node(id: $id) { ... on Customer { companyName domain hasAgreement reseller { legalName } seller { legalName } administration
		relationships { kind card { legalName } counterpart { legalName } } subscriptions(first: 3) { nodes { offerName quantity status sellerName resellerName supportContactName
		history { nodes { kind quantity } } } totalCount { value } } } } }`
	for name, c := range map[string]struct {
		who           access.Actor
		relationships int
	}{"provider": {gina, 2}, "reseller": {bruno, 2}, "customer": {w.as(w.adminOf("adatum")), 2}, "operator": {w.as(w.operator), 2}} {
		got := w.gql(c.who, see, "id", cus).ok()
		if rs, _ := got.at("node.relationships").([]any); len(rs) != c.relationships || got.text("node.domain") != "adatum.customers.example" ||
			got.text("node.subscriptions.nodes.0.status") != "ACTIVE" || got.text("node.subscriptions.nodes.0.history.nodes.0.kind") != "ACTIVATED" {
			t.Error(name, got.Raw)
		}
	}
	for name, who := range map[string]access.Actor{"another provider": fab, "another reseller": w.as(w.tailspin.admin)} {
		if got := w.gql(who, see, "id", cus); got.Raw != `{"data":{"node":null}}` {
			t.Error(name, got.Raw)
		}
	}
	if got := w.gql(bruno, see, "id", cus); got.text("node.seller.legalName") != "Nordwind Distribution" || got.text("node.subscriptions.nodes.0.sellerName") != "Nordwind Distribution" {
		t.Error(got.Raw)
	}
	abroad := w.done(gina, "startOrder", "order { id }", map[string]any{"customerId": cus, "lines": []any{
		map[string]any{"offerId": sku["FRANCE"], "quantity": 1, "term": "P1M", "billingCycle": "MONTHLY"}}}).text("startOrder.order.id")
	w.refused(gina, "reviewOrder", "order", "OFFER_NOT_SOLD_IN_COUNTRY", "input.lines.0.offerId", map[string]any{"orderId": abroad})
	w.done(gina, "cancelOrder", "order { status }", map[string]any{"orderId": abroad})
}

// What was bought lives on by the verbs of the API.
func TestSubscriptionVerbs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sku := w.shop()
	w.partnered(w.nordwind, w.contoso)
	gina, bruno := w.as(w.nordwind.admin), w.as(w.contoso.admin)
	cus, _ := w.sold(gina, "adatum", &w.contoso.ID, yearly(sku["BASIC"], 3))
	sub := w.gql(gina, "query($c: ID!) { productSubscriptions(filter: {customerId: $c}) { nodes { id isCancellable reducibleQuantity isRenewedAutomatically } } }", "c", cus).ok().text("productSubscriptions.nodes.0.id")
	do := func(mutation, fields string, in map[string]any) *answer {
		in["subscriptionId"] = sub
		return w.done(gina, mutation, "productSubscription { "+fields+" }", in)
	}
	w.do(bruno, "addLicences", "productSubscription { id }", map[string]any{"subscriptionId": sub, "quantity": 5}).code("FORBIDDEN")
	do("addLicences", "quantity", map[string]any{"quantity": 10})
	w.refused(gina, "addLicences", "productSubscription", "QUANTITY_TOO_HIGH", "input.quantity", map[string]any{"subscriptionId": sub, "quantity": 301})
	do("reduceLicences", "quantity", map[string]any{"quantity": 4})
	do("renameProductSubscription", "friendlyName", map[string]any{"friendlyName": "The desks"})
	do("setProductSubscriptionRenewal", "isRenewedAutomatically", map[string]any{"isRenewedAutomatically": false})
	do("associateReseller", "associatedReseller { legalName }", map[string]any{"resellerId": w.contoso.ID})
	do("designateSupportContact", "supportContactName", map[string]any{"partnerId": w.contoso.ID})
	w.refused(gina, "designateSupportContact", "productSubscription", "NOT_FOUND", "input.partnerId", map[string]any{"subscriptionId": sub, "partnerId": w.tailspin.ID})
	do("suspendProductSubscription", "status statusMessage", map[string]any{})
	do("reactivateProductSubscription", "status", map[string]any{})
	out := do("cancelProductSubscription", "status quantity history(first: 20, filter: {kind: [LICENCES_ADDED, CANCELLED]}) { nodes { kind actor { email } } totalCount { value } }", map[string]any{})
	if out.text("cancelProductSubscription.productSubscription.status") != "CANCELLED" || out.at("cancelProductSubscription.productSubscription.history.totalCount.value") != 2.0 {
		t.Error(out.Raw)
	}
	w.refused(gina, "cancelProductSubscription", "productSubscription", "SUBSCRIPTION_STATE", "input.subscriptionId", map[string]any{"subscriptionId": sub})
}

// An existing customer is invited by a reseller for both, accepts with
// administration, and withdraws it.
func TestInvitingACustomer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sku := w.shop()
	w.partnered(w.nordwind, w.contoso)
	fab, gina, bruno := w.as(w.fabrikam.admin), w.as(w.nordwind.admin), w.as(w.contoso.admin)
	cus, _ := w.sold(fab, "adatum", nil, yearly(sku["BASIC"], 1)) // has a partner already
	in := map[string]any{"email": "ada@adatum.example", "providerId": w.nordwind.ID, "delegation": map[string]any{"roles": []string{"SUPPORT"}, "days": 30}, "idempotencyKey": "i1"}
	w.refused(gina, "inviteCustomer", "invitation", "PROVIDER_NOT_EXPECTED", "input.providerId", in)
	out := w.done(bruno, "inviteCustomer", "invitation { id kind status customerOffer { seller { legalName } reseller { legalName } roles grantDays } operation { kind } } operation { state }", in)
	if out.text("inviteCustomer.invitation.customerOffer.seller.legalName") != "Nordwind Distribution" {
		t.Error(out.Raw)
	}
	if again := w.done(bruno, "inviteCustomer", "invitation { id }", in); again.text("inviteCustomer.invitation.id") != out.text("inviteCustomer.invitation.id") {
		t.Error(again.Raw)
	}
	in["idempotencyKey"] = "i2"
	w.refused(bruno, "inviteCustomer", "invitation", "INVITATION_PENDING", "input.email", in)
	ada := w.as(w.adminOf("adatum"))
	id := out.text("inviteCustomer.invitation.id")
	code := w.keys.Capability(invitation.LinkPrefix, invitation.LinkPurpose, ident.ID(id), 1).Reveal()
	const preview = `query($code: String!) { customerInvitationProposal(code: $code) { state seller { legalName } reseller { legalName } roles needsSignIn mayAccept needsAgreement refusals { code } } }`
	if got := w.gql(nobody, preview, "code", code).ok(); got.at("customerInvitationProposal.needsSignIn") != true {
		t.Error(got.Raw)
	}
	if got := w.gql(ada, preview, "code", code).ok(); got.at("customerInvitationProposal.mayAccept") != true || got.at("customerInvitationProposal.needsAgreement") != false {
		t.Error(got.Raw)
	}
	w.refused(ada, "acceptCustomerInvitation", "customer", "NOT_CONFIRMED", "input.confirmed", map[string]any{"code": code, "confirmed": false})
	w.done(ada, "acceptCustomerInvitation", "customer { id }", map[string]any{"code": code, "confirmed": true, "delegatesAdministration": true})
	grants := w.gql(bruno, "{ grants { nodes { id roles isEffective endsAt customer { id } partner { legalName } } totalCount { value } } }").ok()
	if grants.at("grants.totalCount.value") != 1.0 || grants.text("grants.nodes.0.customer.id") != string(cus) || grants.at("grants.nodes.0.isEffective") != true {
		t.Error(grants.Raw)
	}
	grant := grants.text("grants.nodes.0.id")
	renewed := w.done(bruno, "renewGrants", "lines { grantId grant { endsAt } problems { code } }", map[string]any{"grantIds": []string{grant, "grt_" + nobodysBody}, "days": 30})
	if renewed.at("renewGrants.lines.1.grant") != nil || renewed.text("renewGrants.lines.1.problems.0.code") != "NOT_FOUND" || renewed.at("renewGrants.lines.0.grant") == nil {
		t.Error(renewed.Raw)
	}
	if all := w.gql(ada, "{ grants { totalCount { value } } viewer { customer { relationships { kind card { legalName } } } } }").ok(); all.at("grants.totalCount.value") != 3.0 {
		t.Error(all.Raw) // the first seller's, and one of each who asked
	}
	w.done(ada, "withdrawGrant", "grant { status }", map[string]any{"grantId": grant})
	if got := w.gql(bruno, "query($c: ID!) { node(id: $c) { ... on Customer { administration relationships { card { legalName } } } } }", "c", cus).ok(); got.at("node.administration").([]any) == nil ||
		len(got.at("node.administration").([]any)) != 0 || len(got.at("node.relationships").([]any)) != 2 {
		t.Error(got.Raw)
	}
	// each sees only what is theirs
	if got := w.gql(gina, "{ productSubscriptions { totalCount { value } } customers { totalCount { value } nodes { id reseller { legalName } } } }").ok(); got.at("productSubscriptions.totalCount.value") != 0.0 || got.at("customers.totalCount.value") != 1.0 {
		t.Error(got.Raw)
	}
	w.done(bruno, "removeCustomer", "removedRelationshipId", map[string]any{"customerId": cus, "reason": "We part"})
	if got := w.gql(bruno, "query($c: ID!) { node(id: $c) { id } customers { totalCount { value } } }", "c", cus); got.at("node") != nil || got.at("customers.totalCount.value") != 0.0 {
		t.Error(got.Raw)
	}
	answer := w.gql(gina, `query($in: ScenarioInput!) { checkScenario(input: $in) { isAllowed refusals { code message nextStep } } }`, "in",
		map[string]any{"act": "SELL", "sellerId": w.nordwind.ID, "buyer": map[string]any{"companyName": "Nordwind Distribution", "country": "IT"}}).ok()
	if answer.at("checkScenario.isAllowed") != false {
		t.Error(answer.Raw)
	}
}

// Everybody sees their own part of the tree, with counts that agree with what
// the lists hold.
func TestChannelTree(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sku := w.shop()
	pair := w.partnered(w.nordwind, w.contoso)
	w.partnered(w.fabrikam, w.tailspin)
	gina, bruno, fab := w.as(w.nordwind.admin), w.as(w.contoso.admin), w.as(w.fabrikam.admin)
	alba, _ := w.sold(gina, "alba", &w.contoso.ID, yearly(sku["BASIC"], 3), yearly(sku["SUITE"], 5))
	w.sold(gina, "brenta", nil, yearly(sku["BASIC"], 10))
	w.sold(fab, "conti", &w.tailspin.ID, yearly(sku["BASIC"], 7))
	const counts = "counts { resellerCount customerCount subscriptionCount seatCount }"
	const q = `query($id: ID) { channelTree(id: $id) { branch { kind branchId partner { legalName } customer { companyName } ` + counts + ` }
		providers { nodes { kind branchId partner { legalName } ` + counts + ` } totalCount { value } }
		resellers { nodes { kind branchId partner { legalName } ` + counts + ` } totalCount { value } }
		customers { nodes { kind branchId customer { companyName subscriptions(first: 5) { nodes { offerName } } } ` + counts + ` } totalCount { value } } } }`
	level := func(out *answer, name string) string {
		var all []string
		nodes, _ := out.at("channelTree." + name + ".nodes").([]any)
		for _, n := range nodes {
			n := n.(map[string]any)
			who, of := n["partner"], "legalName"
			if who == nil {
				who, of = n["customer"], "companyName"
			}
			c := n["counts"].(map[string]any)
			all = append(all, fmt.Sprintf("%v %v %v/%v/%v/%v", n["kind"], who.(map[string]any)[of], c["resellerCount"], c["customerCount"], c["subscriptionCount"], c["seatCount"]))
		}
		slices.Sort(all)
		if v := out.at("channelTree." + name + ".totalCount.value"); v != float64(len(all)) {
			t.Errorf("%s: %v rows are said to be there, %d are: %s", name, v, len(all), out.Raw)
		}
		return strings.Join(all, ", ")
	}
	for name, c := range map[string]struct {
		who                                     access.Actor
		id                                      any
		branch, providers, resellers, customers string
	}{
		"operator": {w.as(w.operator), nil, "PROGRAMME 2/3/4/25",
			"PROVIDER Fabrikam Wholesale 1/1/1/7, PROVIDER Nordwind Distribution 1/2/3/18", "",
			"CUSTOMER Bottega alba 0/1/2/8, CUSTOMER Bottega brenta 0/1/1/10, CUSTOMER Bottega conti 0/1/1/7"},
		"operator at a provider": {w.as(w.operator), w.nordwind.ID, "PROVIDER 1/2/3/18", "", "RESELLER Contoso Reselling 0/1/2/8",
			"CUSTOMER Bottega alba 0/1/2/8, CUSTOMER Bottega brenta 0/1/1/10"},
		"operator at a reseller": {w.as(w.operator), w.contoso.ID, "RESELLER 0/1/2/8", "PROVIDER Nordwind Distribution 0/1/2/8", "", "CUSTOMER Bottega alba 0/1/2/8"},
		"provider":               {gina, nil, "PROVIDER 1/2/3/18", "", "RESELLER Contoso Reselling 0/1/2/8", "CUSTOMER Bottega alba 0/1/2/8, CUSTOMER Bottega brenta 0/1/1/10"},
		"provider at a reseller": {gina, pair.ID, "RESELLER 0/1/2/8", "", "", "CUSTOMER Bottega alba 0/1/2/8"},
		"reseller":               {bruno, nil, "RESELLER 0/1/2/8", "PROVIDER Nordwind Distribution 0/1/2/8", "", "CUSTOMER Bottega alba 0/1/2/8"},
		"reseller at a provider": {bruno, pair.ID, "PROVIDER 0/1/2/8", "", "", "CUSTOMER Bottega alba 0/1/2/8"},
		"customer":               {w.as(w.adminOf("alba")), nil, "CUSTOMER 0/1/2/8", "", "", ""},
		"provider at a customer": {gina, alba, "CUSTOMER 0/1/2/8", "", "", ""},
	} {
		out := w.gql(c.who, q, "id", c.id).ok()
		b := out.at("channelTree.branch").(map[string]any)
		n := b["counts"].(map[string]any)
		got := fmt.Sprintf("%v %v/%v/%v/%v", b["kind"], n["resellerCount"], n["customerCount"], n["subscriptionCount"], n["seatCount"])
		if got != c.branch || level(out, "providers") != c.providers || level(out, "resellers") != c.resellers || level(out, "customers") != c.customers {
			t.Errorf("%s: %s\nproviders %s\nresellers %s\ncustomers %s", name, got, level(out, "providers"), level(out, "resellers"), level(out, "customers"))
		}
	}
	for name, c := range map[string]struct {
		who access.Actor
		id  ident.ID
	}{"another's pair": {fab, pair.ID}, "another's customer": {fab, alba}, "another partner": {gina, w.fabrikam.ID}, "a partner's own": {gina, w.contoso.ID},
		"nothing": {gina, "psh_" + nobodysBody}, "the customer's partner": {w.as(w.adminOf("alba")), w.nordwind.ID}} {
		if got := w.gql(c.who, "query($id: ID) { channelTree(id: $id) { branch { kind } } }", "id", c.id); got.Raw != `{"data":{"channelTree":null}}` {
			t.Error(name, got.Raw)
		}
	}
	lacks := w.gql(gina, `{ channelTree { customers(filter: {lacksReseller: true, search: "bottega b"}) { nodes { customer { companyName } } totalCount { value } } } }`).ok()
	if lacks.text("channelTree.customers.nodes.0.customer.companyName") != "Bottega brenta" || lacks.at("channelTree.customers.totalCount.value") != 1.0 {
		t.Error(lacks.Raw)
	}
}

// The provider's dashboard of performance.md costs three statements, however
// many rows it shows: the page with its count, the subscriptions, the partners.
func TestDashboardCostsThreeStatements(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sku := w.shop()
	gina := w.as(w.nordwind.admin)
	const rows = 8
	for i := range rows {
		r := w.register(fmt.Sprintf("Reseller Number %d", i), fmt.Sprintf("reseller%d.example", i), access.IndirectReseller)
		w.partnered(w.nordwind, r)
		_, _ = w.sold(gina, fmt.Sprintf("buyer%d", i), &r.ID, yearly(sku["BASIC"], 1), yearly(sku["SUITE"], 5), yearly(sku["BASIC"], 2))
	}
	for name, q := range map[string]string{
		"nodes": `query($n: Int!, $after: String) { customers(first: $n, after: $after) { nodes { id companyName domain country reseller { legalName }
			subscriptions(first: 3) { nodes { offerName quantity status supportContact { legalName } } } } pageInfo { hasNextPage endCursor } totalCount { value precision } } }`,
		"edges and fragments": `query($n: Int!, $after: String) { customers(first: $n, after: $after) { edges { node { ...C } } pageInfo { endCursor hasNextPage } totalCount { value precision } } }
			fragment C on Customer { id companyName domain country reseller { legalName } three: subscriptions(first: 3) { edges { node { offerName quantity status supportContact { legalName } } } } }`,
	} {
		t.Run(name, func(t *testing.T) {
			w := w.on(t) // one after the other, since they count
			for _, n := range []int{2, rows} {
				before := w.DB.Queries()
				out := w.gql(gina, q, "n", n).ok()
				if got := w.DB.Queries() - before; got > 3 {
					t.Errorf("%d statements for %d rows", got, n)
				}
				if out.at("customers.totalCount.value") != float64(rows) || out.at("customers.totalCount.precision") != "EXACT" || !strings.Contains(out.Raw, `"supportContact":{"legalName":"Nordwind Distribution"}`) {
					t.Error(out.Raw)
				}
				after := w.DB.Queries()
				if next := w.gql(gina, q, "n", 2, "after", out.text("customers.pageInfo.endCursor")).ok(); w.DB.Queries()-after > 3 {
					t.Errorf("%d statements beyond a cursor: %s", w.DB.Queries()-after, next.Raw)
				}
			}
		})
	}
	for name, c := range map[string]struct {
		ask  string
		most int64
	}{
		"a level of the tree":   {`{ channelTree { branch { counts { seatCount } } resellers(first: %d) { totalCount { value } nodes { partner { legalName } counts { customerCount } } } } }`, 6},
		"customers in the tree": {`{ channelTree { customers(first: %d) { totalCount { value } nodes { customer { companyName reseller { legalName } } counts { seatCount } } } } }`, 4},
		"subscriptions":         {`{ productSubscriptions(first: %d) { totalCount { value } nodes { offer { sku } customer { companyName } reseller { legalName } supportContactName } } }`, 6},
		"orders":                {`{ orders(first: %d) { totalCount { value } nodes { customer { companyName } reseller { legalName } } } }`, 4},
		"grants":                {`{ grants(first: %d) { totalCount { value } nodes { customer { companyName } partner { legalName } } } }`, 4},
		"offers":                {`{ offers(first: %d) { totalCount { value } nodes { name } } }`, 2},
	} {
		t.Run(name, func(t *testing.T) {
			w := w.on(t)
			for _, n := range []int{2, 20} {
				most := int64(1 << 40)
				for range 5 { // deeper fields are batched by waiting, which a busy machine splits
					before := w.DB.Queries()
					w.gql(gina, fmt.Sprintf(c.ask, n)).ok()
					most = min(most, w.DB.Queries()-before)
				}
				if most > c.most {
					t.Errorf("%d statements for %d rows, and %d are allowed", most, n, c.most)
				}
			}
		})
	}
}

// Customers are exported as an operation, without formulas, and nobody else
// opens the file.
func TestCustomerExport(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sku := w.shop()
	w.partnered(w.nordwind, w.contoso)
	gina, bruno := w.as(w.nordwind.admin), w.as(w.contoso.admin)
	alba, _ := w.sold(gina, "alba", &w.contoso.ID, yearly(sku["BASIC"], 3))
	w.sold(gina, "brenta", nil, yearly(sku["BASIC"], 3))
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		_, err := tx.NewRaw("UPDATE customer SET company_name = '=1+1' WHERE id = ?", alba).Exec(ctx)
		return err
	})
	w.DB.Clock().Advance(time.Second)
	out := w.done(gina, "exportCustomers", "customerExport { id state rowsDone } operation { id kind state }", map[string]any{"idempotencyKey": "e1"})
	id := out.text("exportCustomers.customerExport.id")
	if out.text("exportCustomers.customerExport.state") != "QUEUED" || w.done(gina, "exportCustomers", "customerExport { id }", map[string]any{"idempotencyKey": "e1"}).text("exportCustomers.customerExport.id") != id {
		t.Error(out.Raw)
	}
	w.refused(gina, "exportCustomers", "customerExport", "TOO_LONG", "input.filter.search", map[string]any{"filter": map[string]any{"search": strings.Repeat("x", 201)}})
	w.work("customer.export")
	got := w.gql(gina, "query($id: ID!) { node(id: $id) { ... on CustomerExport { state rowCount rowsDone downloadUrl operation { state } } } }", "id", id).ok()
	if got.text("node.state") != "READY" || got.at("node.rowCount") != 2.0 || got.text("node.downloadUrl") != "/exports/"+id || got.text("node.operation.state") != "SUCCEEDED" {
		t.Error(got.Raw)
	}
	d, err := w.Customers.OpenExport(t.Context(), gina, ident.ID(id))
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(d).ReadAll()
	if err != nil || len(rows) != 3 || rows[1][1] != "'=1+1" || rows[1][9] != "Contoso Reselling" || rows[2][9] != "" || rows[2][1] != "Bottega brenta" {
		t.Error(rows, err)
	}
	if _, err := w.Customers.OpenExport(t.Context(), bruno, ident.ID(id)); err == nil {
		t.Error("another opens the file")
	}
	if raw := w.gql(bruno, "query($id: ID!) { node(id: $id) { id } }", "id", id).Raw; raw != `{"data":{"node":null}}` {
		t.Error(raw)
	}
	narrow := w.done(bruno, "exportCustomers", "customerExport { id }", map[string]any{"filter": map[string]any{"search": "nothing"}}).text("exportCustomers.customerExport.id")
	w.work("customer.export")
	if d, err = w.Customers.OpenExport(t.Context(), bruno, ident.ID(narrow)); err != nil {
		t.Fatal(err)
	}
	if raw, err := io.ReadAll(d); err != nil || strings.Count(string(raw), "\n") != 1 {
		t.Errorf("%q %v", raw, err)
	}
}

// The catalogue is brought in by files, tried first, with all that is wrong.
func TestCatalogImport(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	otto := w.as(w.operator)
	upload := func(content string) ident.ID {
		f, err := w.Files.Upload(t.Context(), otto, file.UploadInput{Purpose: file.ForCatalog, Name: "offers.csv", Content: []byte(content)})
		if err != nil {
			t.Fatal(err)
		}
		return f.ID
	}
	fields := "catalogImport { id state isDryRun addedCount problemCount problems { nodes { line column code message } } } operation { id state }"
	see := func(id string) *answer {
		w.work("catalog.")
		return w.gql(otto, "query($id: ID!) { node(id: $id) { ... on CatalogImport { state addedCount problemCount problems { nodes { line column code message } } operation { state } requestedBy { email } } } offers { totalCount { value } } }", "id", id).ok()
	}
	good := upload(offersCSV)
	dry := w.done(otto, "importCatalog", fields, map[string]any{"fileId": good, "format": "CSV", "dryRun": true})
	if got := see(dry.text("importCatalog.catalogImport.id")); got.text("node.state") != "CHECKED" || got.at("node.addedCount") != 3.0 || got.at("offers.totalCount.value") != 0.0 {
		t.Error(got.Raw)
	}
	brought := w.done(otto, "importCatalog", fields, map[string]any{"fileId": good, "format": "CSV", "idempotencyKey": "c1"})
	if got := see(brought.text("importCatalog.catalogImport.id")); got.text("node.state") != "APPLIED" || got.at("offers.totalCount.value") != 3.0 {
		t.Error(got.Raw)
	}
	bad := w.done(otto, "importCatalog", fields, map[string]any{"fileId": upload(strings.Replace(offersCSV, "6.70", "6,7x", 1) + "LOST,,,,,,,,,,,,,MARS,EUR,P1M,MONTHLY,1.00\n"), "format": "CSV"})
	if got := see(bad.text("importCatalog.catalogImport.id")); got.text("node.state") != "REFUSED" || len(got.at("node.problems.nodes").([]any)) < 2 {
		t.Error(got.Raw)
	}
	w.gql(w.as(w.nordwind.admin), "{ catalogImports { nodes { id } } }").code("FORBIDDEN")
	list := w.gql(otto, "{ catalogImports(filter: {isDryRun: true}) { nodes { id } totalCount { value } } offers(first: 1) { nodes { revisions(filter: {change: [ADDED]}) { nodes { change content } } } } }").ok()
	if list.at("catalogImports.totalCount.value") != 1.0 || list.text("offers.nodes.0.revisions.nodes.0.change") != "ADDED" {
		t.Error(list.Raw)
	}
}

// What changes is told live to those whose it is.
func TestCustomersLive(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sku := w.shop()
	w.partnered(w.nordwind, w.contoso)
	p := w.serve(nil)
	streams := map[string]*stream{}
	for name, who := range map[string]company{"provider": w.nordwind, "reseller": w.contoso} {
		token := w.signIn(who.admin)
		streams[name+" customer"] = p.listen(token, "subscription { changed: customerChanged { id companyName } }", nil)
		streams[name+" order"] = p.listen(token, "subscription { changed: orderChanged { id status } }", nil)
		streams[name+" subscription"] = p.listen(token, "subscription { changed: productSubscriptionChanged { id status offerName } }", nil)
	}
	until(t, func() bool { return p.open() == len(streams) })
	cus, _ := w.sold(w.as(w.nordwind.admin), "alba", &w.contoso.ID, yearly(sku["BASIC"], 3))
	for name, s := range streams {
		e := s.next()
		switch {
		case strings.HasSuffix(name, "customer") && e.at("data.changed.id") != string(cus), strings.HasSuffix(name, "subscription") && e.at("data.changed.offerName") != "Basic",
			strings.HasSuffix(name, "order") && e.at("data.changed.id") == nil:
			t.Errorf("%s hears %s", name, e.data)
		}
		s.close()
	}
}

// Other programs hear of customers, orders and subscriptions of those who see
// them, and of nobody else's.
func TestCustomersByWebhook(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sku := w.shop()
	w.partnered(w.nordwind, w.contoso)
	w.partnered(w.nordwind, w.tailspin)
	gina, bruno := w.as(w.nordwind.admin), w.as(w.contoso.admin)
	for _, c := range []company{w.nordwind, w.contoso, w.tailspin, w.fabrikam} {
		w.done(w.as(c.admin), "createWebhookEndpoint", "webhookEndpoint { id }", map[string]any{"url": "https://hooks.example/" + string(c.ID), "description": "All"})
	}
	heard := func(c company) string {
		var all []string
		rows, _ := w.gql(w.as(c.admin), "{ webhookDeliveries(first: 100) { nodes { eventType } } }").ok().at("webhookDeliveries.nodes").([]any)
		for _, r := range rows {
			all = append(all, r.(map[string]any)["eventType"].(string))
		}
		slices.Sort(all)
		return strings.Join(slices.Compact(all), " ")
	}
	cus, _ := w.sold(gina, "alba", &w.contoso.ID, yearly(sku["BASIC"], 3))
	w.done(bruno, "renewGrants", "lines { grant { id } }", map[string]any{"days": 10,
		"grantIds": []string{w.gql(bruno, "{ grants { nodes { id } } }").ok().text("grants.nodes.0.id")}})
	w.done(bruno, "removeCustomer", "removedRelationshipId", map[string]any{"customerId": cus, "reason": "We part"})
	for who, want := range map[*company]string{
		&w.nordwind: "CUSTOMER_ADDED CUSTOMER_CHANGED ORDER_STATUS_CHANGED SUBSCRIPTION_CHANGED",
		&w.contoso:  "CUSTOMER_ADDED GRANT_CHANGED ORDER_STATUS_CHANGED SUBSCRIPTION_CHANGED",
		&w.tailspin: "", &w.fabrikam: "",
	} {
		if got := heard(*who); got != want {
			t.Errorf("%s heard %s", who.LegalName, got)
		}
	}
}
