package ident

import (
	"context"
	"slices"
	"strings"
	"testing"
)

func TestNewIsWellFormedUniqueAndSortable(t *testing.T) {
	t.Parallel()
	prefixes := []string{Organization, User, Session, Link, Partner, Invitation, Proposal, Partnership, Termination, Job, Mail, Audit, Token,
		Export, Holiday, File, Membership, Import, Enrollment, Question, Agreement, Signature, Customer, Relationship, CustomerAgreement, Grant,
		Offer, CatalogImport, ProductSubscription, SubscriptionEvent, Order, OrderLine}
	if n := len(slices.Compact(slices.Sorted(slices.Values(prefixes)))); n != len(prefixes) {
		t.Errorf("%d prefixes, %d of them different", len(prefixes), n)
	}
	seen := map[ID]bool{}
	for _, p := range prefixes {
		for range 500 {
			id := New(p)
			if id.Kind() != p || !id.Is(p) || len(id.Body()) != bodyLen || string(id) != p+"_"+id.Body() {
				t.Fatalf("malformed %s", id)
			}
			if seen[id] {
				t.Fatalf("%s came twice", id)
			}
			seen[id] = true
		}
	}
	// ids of different milliseconds sort by them: the first ten characters are
	// 48 bits of milliseconds and 2 random ones
	a := New(Job)
	b := a
	for b.Body()[:9] == a.Body()[:9] {
		b = New(Job)
	}
	if b < a {
		t.Errorf("%s came after %s", b, a)
	}
}

func TestKind(t *testing.T) {
	t.Parallel()
	body := strings.Repeat("0", 26)
	for s, want := range map[string]string{
		"inv_" + body:                            "inv",
		"xyz_" + body:                            "xyz",
		"":                                       "",
		"inv":                                    "",
		"inv_":                                   "",
		"_" + body:                               "",
		"in_" + body:                             "",
		"invi_" + body:                           "",
		"inv_" + body + "0":                      "",
		"inv_" + body[1:]:                        "",
		"inv-" + body:                            "",
		"inv_" + strings.ToUpper("a") + body[1:]: "",
		"inv_" + body[1:] + "l":                  "", // not of the alphabet
		"inv_" + body[1:] + "u":                  "",
		"inv_" + body[1:] + "'":                  "",
		"inv_" + body[2:] + "é":                  "",
	} {
		if got := ID(s).Kind(); got != want {
			t.Errorf("%q is of kind %q, want %q", s, got, want)
		}
		if ID(s).Is("inv") != (want == "inv") {
			t.Errorf("%q: Is", s)
		}
	}
}

func TestRequest(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	if got := Request(ctx); got != "" {
		t.Errorf("got %q", got)
	}
	if got := Request(WithRequest(WithRequest(ctx, "a"), "b")); got != "b" {
		t.Errorf("got %q", got)
	}
}
