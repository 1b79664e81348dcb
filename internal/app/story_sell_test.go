package app_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// sold are how far doSell goes.
var sold = []string{"draft", "reviewed", "submitted", "provisioned"}

// doSell takes an order of the person who acts through the real doors: STAGE
// CUSTOMER SKU:QUANTITY[:TERM[:CYCLE]]… [reseller=ID] [country=…] [name=…]
// [email=…] [welcome=…] [azure=true] [key=…]. CUSTOMER is the id of one that is
// there, or the prefix of the domain of one that the order adds. $order, $customer, $admin,
// $line1… and $sub1… are what came of it. With "!" a step must be refused.
func (s *story) doSell(ts *testscript.TestScript, neg bool, args []string) error {
	err := s.sell(ts, args)
	if !neg {
		return err
	}
	if err == nil || len(s.problems()) == 0 {
		return fmt.Errorf("it was not refused: %w", err)
	}
	return nil
}

func (s *story) sell(ts *testscript.TestScript, args []string) error {
	stage, whom := slices.Index(sold, args[0]), args[1]
	if stage < 0 {
		return fmt.Errorf("an order is never %s", args[0])
	}
	var items, rest []string
	for _, a := range args[2:] {
		if strings.Contains(a, "=") {
			rest = append(rest, a)
		} else {
			items = append(items, a)
		}
	}
	m, err := pairs(ts, rest)
	if err != nil {
		return err
	}
	lines, err := s.wanted(ts, items)
	if err != nil {
		return err
	}
	words := []string{"startOrder", "lines:=" + lines}
	if id := word(m, "reseller", ""); id != "" {
		words = append(words, "reseller="+id)
	}
	if strings.HasPrefix(whom, "cus_") {
		words = append(words, "customer="+whom)
	} else {
		raw, err := json.Marshal(newcomer(whom, m))
		if err != nil {
			return err
		}
		words = append(words, "newcomer:="+string(raw))
		ts.Setenv("admin", word(m, "email", "ines@"+whom+".example"))
	}
	if err := s.doGraphQL(ts, false, words); err != nil {
		return err
	}
	if err := s.doCapture(ts, false, []string{"order", "startOrder.order.id"}); err != nil || stage == 0 {
		return err
	}
	id := "id=" + ts.Getenv("order")
	if err := s.doGraphQL(ts, false, []string{"reviewOrder", id}); err != nil || stage == 1 {
		return err
	}
	submit := []string{"submitOrder", id}
	if key := word(m, "key", ""); key != "" {
		submit = append(submit, "key="+key)
	}
	if err := s.doGraphQL(ts, false, submit); err != nil {
		return err
	}
	if err := s.doCapture(ts, false, []string{"customer", "submitOrder.order.customer.id"}); err != nil {
		return err
	}
	for n := range items {
		at := "submitOrder.order.lines." + strconv.Itoa(n)
		for name, path := range map[string]string{"line": at + ".id", "sub": at + ".subscription.id"} {
			if err := s.doCapture(ts, false, []string{name + strconv.Itoa(n+1), path}); err != nil {
				return err
			}
		}
	}
	if stage == 2 {
		return nil
	}
	last := s.last // the password is told once
	err = s.doSettle(ts, false, nil)
	s.last = last
	return err
}

// wanted are the lines of an order, in JSON.
func (s *story) wanted(ts *testscript.TestScript, items []string) (string, error) {
	var lines []map[string]any
	for _, item := range items {
		f := append(strings.Split(item, ":"), "", "")
		n, err := strconv.Atoi(f[1])
		if err != nil {
			return "", fmt.Errorf("how many of %s? %w", item, err)
		}
		if err := s.doGraphQL(ts, false, []string{"offers", "search=" + f[0]}); err != nil {
			return "", err
		}
		id, found, err := s.at("offers.nodes[sku=" + f[0] + "].id")
		if err != nil || !found {
			return "", fmt.Errorf("there is no offer %s: %s", f[0], s.last.body)
		}
		term, cycle := "P1Y", "ANNUAL"
		if f[2] != "" {
			term, cycle = f[2], "MONTHLY"
		}
		if f[3] != "" {
			cycle = f[3]
		}
		lines = append(lines, map[string]any{"offerId": id, "quantity": n, "term": term, "billingCycle": cycle})
	}
	raw, err := json.Marshal(lines)
	return string(raw), err
}

// newcomer describes a company that an order adds.
func newcomer(prefix string, m map[string]any) map[string]any {
	country := word(m, "country", "IT")
	places := map[string]map[string]any{
		"IT": {"line1": "Via Roma 1", "city": "Bologna", "postalCode": "40121"},
		"DE": {"line1": "Marktplatz 2", "city": "Ulm", "postalCode": "89073"},
		"CH": {"line1": "Seestrasse 5", "city": "Zürich", "postalCode": "8002"},
		"US": {"line1": "12 Main Street", "city": "Albany", "postalCode": "12207", "state": "NY"},
	}
	address := map[string]any{"country": country}
	for k, v := range places[country] {
		address[k] = v
	}
	email := word(m, "email", "ines@"+prefix+".example")
	return map[string]any{
		"details": map[string]any{"companyName": word(m, "name", strings.ToUpper(prefix[:1])+prefix[1:]+" Manifatture"), "domainPrefix": prefix, "billingEmail": email,
			"phone": "+39 051 555 0500", "locale": word(m, "locale", "en"), "address": address, "isAzureType": word(m, "azure", "") == "true"},
		"admin":     map[string]any{"email": email, "firstName": "Ines", "lastName": "Ricci"},
		"agreement": map[string]any{"firstName": "Ines", "lastName": "Ricci", "email": email, "agreedOn": "2026-01-15"},
		"welcome":   word(m, "welcome", "PASSWORD_LINK"),
	}
}
