package graph

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// asker puts together random questions about customers.
type asker struct{ *rand.Rand }

func (a asker) some(of ...string) (out []string) {
	for _, f := range of {
		switch a.IntN(8) {
		case 0, 1, 2:
			out = append(out, f)
		case 3:
			if strings.HasPrefix(f, "also") {
				continue
			}
			name, _, _ := strings.Cut(f, " ")
			name, _, _ = strings.Cut(name, "(")
			out = append(out, "renamed"+name+": "+f)
		}
	}
	a.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	if len(out) == 0 {
		out = append(out, "__typename")
	}
	return out
}

// in puts fields into a selection, some of them behind fragments and
// conditions.
func (a asker) in(typ string, fields []string) string {
	for i, f := range fields {
		switch a.IntN(12) {
		case 0:
			fields[i] = "... on " + typ + " { " + f + " }"
		case 1:
			fields[i] = "... @include(if: $yes) { " + f + " }"
		case 2:
			if !strings.Contains(f, "{") {
				fields[i] = f + " @skip(if: $yes)"
			}
		case 3:
			fields[i] = f + " " + f
		}
	}
	return "{ " + strings.Join(fields, " ") + " __typename }"
}

func (a asker) partner() string {
	return a.in("Partner", a.some("id", "legalName", "kind", "status", "programmeId", "tenantDomain", "country", "region", "isActive", "__typename"))
}

func (a asker) list(row, node string) string {
	switch a.IntN(3) {
	case 0:
		return "{ edges { cursor node " + node + " __typename } pageInfo { endCursor hasNextPage startCursor hasPreviousPage } }"
	case 1:
		return "{ nodes " + node + " edges { cursor node { id } } __typename }"
	}
	return "{ nodes " + node + " pageInfo { hasNextPage } }"
}

func (a asker) subscriptions() string {
	args := []string{"", "(first: 1)", "(first: $n)", "(last: 2)", "(first: 3, orderBy: {field: CREATED_AT, direction: DESC})", "(first: 1000)"}[a.IntN(6)]
	fields := a.some("id", "offerName", "quantity", "status", "term", "billingCycle", "createdAt", "isRenewedAutomatically", "commitmentEndsAt", "version",
		"seller "+a.partner(), "reseller "+a.partner(), "supportContact "+a.partner(), "associatedReseller "+a.partner(), "sellerName", "resellerName", "supportContactName")
	if a.IntN(6) == 0 {
		fields = append(fields, []string{"customer { id }", "offer { sku }", "history { nodes { kind } }", "unitPrice { amount }"}[a.IntN(4)])
	}
	return "subscriptions" + args + " " + a.list("ProductSubscription", a.in("ProductSubscription", fields))
}

func (a asker) customers() string {
	fields := a.some("id", "companyName", "domain", "country", "region", "registrationId", "billingEmail", "phone", "locale", "isAzureType", "status", "hasAgreement",
		"agreedAt", "version", "createdAt", "updatedAt", "reseller "+a.partner(), "seller "+a.partner(), a.subscriptions(), "also: "+a.subscriptions())
	if a.IntN(6) == 0 {
		fields = append(fields, []string{"organization { id }", "relationships { status }", "address { city }", "administration"}[a.IntN(4)])
	}
	args := []string{"", "(first: 1)", "(last: 2)", "(orderBy: {field: DOMAIN, direction: DESC})", "(orderBy: {field: CREATED_AT, direction: ASC})"}[a.IntN(5)]
	return "query($yes: Boolean!, $n: Int!) { customers" + args + " " + strings.TrimSuffix(a.list("Customer", a.in("Customer", append(fields, "alsoFew: subscriptions(first: $n) { nodes { id @skip(if: $yes) } }"))), "}") + " totalCount { value precision } } }"
}

// TestPlansAnswerLikeTheExecutor asks random questions about customers, of
// everybody, where plans write the lists and where the executor does: the
// answers are the same byte for byte, refusals among them.
func TestPlansAnswerLikeTheExecutor(t *testing.T) {
	t.Parallel()
	c := newChart(t)
	counted := &planning{}
	c.plans = &planning{off: true}
	executed, err := New(c.Deps)
	if err != nil {
		t.Fatal(err)
	}
	c.plans = counted
	if c.handler, err = New(c.Deps); err != nil {
		t.Fatal(err)
	}
	planned := c.handler
	a := asker{rand.New(rand.NewPCG(20, 26))}
	rows, asked := 0, 0
	for _, v := range c.viewers() {
		if v.IsAnonymous() {
			continue
		}
		for range 6 {
			q := asking{root: "Query.customers", query: a.customers(), vars: map[string]any{"yes": a.IntN(2) == 0, "n": 1 + a.IntN(3)}}
			c.handler = planned
			got := c.ask(v, q)
			c.handler = executed
			if want := c.ask(v, q); got != want {
				t.Fatalf("%s is answered otherwise by a plan\n%s\nby a plan %.3000s\nexecuted  %.3000s", v.name, q.body(), got.raw, want.raw)
			}
			asked++
			rows += strings.Count(got.raw, `"__typename":"Customer"`)
		}
	}
	if n := int(counted.lists.Load()); n < asked/4 || n > 2*asked || rows < 100 {
		t.Errorf("of %d answers with %d customers %d lists were written by plans", asked, rows, n)
	}
	t.Logf("%d answers with %d customers, %d lists written by plans", asked, rows, counted.lists.Load())
}
