package subscription

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/catalog"
	"github.com/channelgraph/channelgraph/internal/fault"
)

func at(s string) time.Time {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04", time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t
		}
	}
	panic(s)
}

// The same day of the month, or its last; always counted from the anchor.
func TestAddMonths(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		from   string
		months int
		want   string
	}{
		{"2026-01-15", 1, "2026-02-15"}, {"2026-01-31", 1, "2026-02-28"}, {"2026-01-31", 2, "2026-03-31"}, {"2026-01-31", 3, "2026-04-30"},
		{"2026-01-31", 12, "2027-01-31"}, {"2026-12-31", 1, "2027-01-31"}, {"2026-12-31", 2, "2027-02-28"}, {"2027-12-31", 2, "2028-02-29"},
		{"2027-01-29", 1, "2027-02-28"}, {"2028-01-29", 1, "2028-02-29"}, {"2028-01-30", 1, "2028-02-29"}, {"2028-02-29", 12, "2029-02-28"},
		{"2028-02-29", 36, "2031-02-28"}, {"2028-02-29", 48, "2032-02-29"}, {"2028-02-29", 1, "2028-03-29"}, {"2027-02-28", 12, "2028-02-28"},
		{"2096-02-29", 48, "2100-02-28"}, {"2026-03-31", 0, "2026-03-31"}, {"2026-11-30", 3, "2027-02-28"}, {"2026-08-31", 36, "2029-08-31"},
	} {
		if got := AddMonths(at(c.from), c.months).Format(time.DateOnly); got != c.want {
			t.Errorf("%s and %d months: %s, want %s", c.from, c.months, got, c.want)
		}
	}
}

// A day is a day of UTC, whatever the zone in which a moment is told, and has
// 24 hours on those on which clocks change elsewhere.
func TestDays(t *testing.T) {
	t.Parallel()
	rome, err := time.LoadLocation("Europe/Rome")
	if err != nil {
		t.Fatal(err)
	}
	for moment, want := range map[time.Time]string{
		time.Date(2026, 3, 29, 0, 30, 0, 0, rome):    "2026-03-28",
		time.Date(2026, 3, 29, 3, 30, 0, 0, rome):    "2026-03-29",
		time.Date(2026, 10, 25, 1, 59, 0, 0, rome):   "2026-10-24",
		time.Date(2026, 10, 25, 2, 30, 0, 0, rome):   "2026-10-25",
		time.Date(2027, 1, 1, 0, 59, 59, 0, rome):    "2026-12-31",
		at("2026-02-28T23:59:59Z"):                   "2026-02-28",
		at("2026-03-01T00:00:00Z"):                   "2026-03-01",
		at("2026-03-01T00:00:00Z").Add(-time.Minute): "2026-02-28",
	} {
		if got := DayOf(moment); got.Format(time.RFC3339) != want+"T00:00:00Z" {
			t.Errorf("%s is on %s, want %s", moment, got, want)
		}
	}
}

func offerOf(change ...func(*catalog.Offer)) *catalog.Offer {
	o := &catalog.Offer{MinQuantity: 2, MaxQuantity: 20}
	for _, t := range catalog.Terms {
		o.Prices = append(o.Prices, &catalog.Price{Region: "EUROPE", Currency: "EUR", Term: t, BillingCycle: catalog.Monthly, Amount: 700})
	}
	for _, c := range change {
		c(o)
	}
	return o
}

// bought is a subscription that was activated at a moment.
func bought(moment string, term catalog.Term, quantity int) *Subscription {
	s := &Subscription{Status: Pending, Country: "IT", Term: term, BillingCycle: catalog.Monthly, Quantity: quantity, UnitPrice: 500, Currency: "EUR", AutoRenew: true}
	if err := s.activate(at(moment)); err != nil {
		panic(err)
	}
	return s
}

// told is a subscription's life at a glance.
func (s *Subscription) told() string {
	day := func(t *time.Time) string {
		if t == nil {
			return "never"
		}
		if !t.Equal(DayOf(*t)) {
			return t.Format("2006-01-02T15:04")
		}
		return t.Format(time.DateOnly)
	}
	return strings.TrimSpace(fmt.Sprintf("%s %d at %d, %s to %s, next %s %s", s.Status, s.Quantity, s.UnitPrice, day(s.TermStartedAt), day(s.CommitmentEndsAt), day(s.NextActionAt), s.StatusReason))
}

// Term after term: anchored at the day of purchase, at the price of the day.
func TestRenewals(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		moment string
		term   catalog.Term
		want   []string
	}{
		{"2026-01-31T15:00", catalog.OneMonth, []string{"2026-01-31 to 2026-02-28", "2026-02-28 to 2026-03-31", "2026-03-31 to 2026-04-30", "2026-04-30 to 2026-05-31"}},
		{"2027-12-30T23:59", catalog.OneMonth, []string{"2027-12-30 to 2028-01-30", "2028-01-30 to 2028-02-29", "2028-02-29 to 2028-03-30"}},
		{"2028-02-29T00:00", catalog.OneYear, []string{"2028-02-29 to 2029-02-28", "2029-02-28 to 2030-02-28", "2030-02-28 to 2031-02-28", "2031-02-28 to 2032-02-29"}},
		{"2028-02-29T12:00", catalog.ThreeYears, []string{"2028-02-29 to 2031-02-28", "2031-02-28 to 2034-02-28", "2034-02-28 to 2037-02-28", "2037-02-28 to 2040-02-29"}},
		{"2026-03-29T01:30", catalog.OneYear, []string{"2026-03-29 to 2027-03-29", "2027-03-29 to 2028-03-29"}},
	} {
		s := bought(c.moment, c.term, 3)
		price := 500
		for n, want := range c.want {
			_, end, _ := strings.Cut(want, " to ")
			if got, want := s.told(), fmt.Sprintf("ACTIVE 3 at %d, %s, next %s", price, want, end); got != want {
				t.Errorf("term %d of %s from %s:\n got %s\nwant %s", n+1, c.term, c.moment, got, want)
			}
			if kind, reason := s.due(offerOf()); kind != EventRenewed || reason != "" {
				t.Errorf("%s %s", kind, reason)
			}
			if got := s.Reducible(at(end).Add(Window - time.Second)); got != 3 || s.Reducible(at(end).Add(Window)) != 0 {
				t.Errorf("%d can be given back after a renewal", got)
			}
			price = 700
		}
	}
}

// What is not renewed expires for 30 days, is disabled for 90, and is deleted,
// whatever the months and the clocks; what was suspended has no grace.
func TestTheEnd(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*Subscription)
		offer  *catalog.Offer
		want   []string
	}{
		"not to be renewed": {func(s *Subscription) { s.AutoRenew = false }, offerOf(), []string{
			"EXPIRED AUTO_RENEW_OFF: EXPIRED 3 at 500, 2026-01-31 to 2026-02-28, next 2026-03-30 AUTO_RENEW_OFF",
			"DISABLED : DISABLED 3 at 500, 2026-01-31 to 2026-02-28, next 2026-06-28 AUTO_RENEW_OFF",
			"DELETED RETENTION_OVER: CANCELLED 3 at 500, 2026-01-31 to 2026-02-28, next never RETENTION_OVER"}},
		"retired": {func(*Subscription) {}, offerOf(func(o *catalog.Offer) { o.RetiredAt = new(at("2026-02-01")) }), []string{
			"EXPIRED OFFER_RETIRED: EXPIRED 3 at 500, 2026-01-31 to 2026-02-28, next 2026-03-30 OFFER_RETIRED"}},
		"a trial": {func(*Subscription) {}, offerOf(func(o *catalog.Offer) { o.Trial = true }), []string{
			"EXPIRED TRIAL_NOT_RENEWABLE: EXPIRED 3 at 500, 2026-01-31 to 2026-02-28, next 2026-03-30 TRIAL_NOT_RENEWABLE"}},
		"not sold here any more": {func(*Subscription) {}, offerOf(func(o *catalog.Offer) { o.Countries = []string{"DE"} }), []string{
			"EXPIRED OFFER_NOT_SOLD_IN_COUNTRY: EXPIRED 3 at 500, 2026-01-31 to 2026-02-28, next 2026-03-30 OFFER_NOT_SOLD_IN_COUNTRY"}},
		"without such a term": {func(*Subscription) {}, offerOf(func(o *catalog.Offer) { o.Prices = o.Prices[1:] }), []string{
			"EXPIRED TERM_NOT_OFFERED: EXPIRED 3 at 500, 2026-01-31 to 2026-02-28, next 2026-03-30 TERM_NOT_OFFERED"}},
		"suspended": {func(s *Subscription) { _ = s.suspend(at("2026-02-10T10:00"), ReasonSeller) }, offerOf(), []string{
			"DISABLED SUSPENDED_AT_TERM_END: DISABLED 3 at 500, 2026-01-31 to 2026-02-28, next 2026-05-29 SUSPENDED_AT_TERM_END",
			"DELETED RETENTION_OVER: CANCELLED 3 at 500, 2026-01-31 to 2026-02-28, next never RETENTION_OVER"}},
	} {
		s := bought("2026-01-31T15:00", catalog.OneMonth, 3)
		c.change(s)
		for _, want := range c.want {
			kind, reason := s.due(c.offer)
			if got := fmt.Sprintf("%s %s: %s", kind, reason, s.told()); got != want {
				t.Errorf("%s:\n got %s\nwant %s", name, got, want)
			}
		}
	}
}

// What was bought, renewed or added can be given back for seven days to the
// second, and nothing else.
func TestWindows(t *testing.T) {
	t.Parallel()
	o := offerOf()
	s := bought("2026-01-10T12:00", catalog.OneYear, 10)
	step := func(moment, verb string, to int, want string) {
		t.Helper()
		now, err := at(moment), error(nil)
		before := fmt.Sprint(*s)
		switch verb {
		case "add":
			err = s.add(to, o, now)
		case "reduce":
			err = s.reduce(to, o, now)
		case "cancel":
			copied := *s
			err = copied.cancel(now)
		}
		got := "done"
		if f := fault.As(err); f != nil {
			if got = f.Problems[0].Code + " " + f.Problems[0].Params["count"] + f.Problems[0].Params["min"] + f.Problems[0].Params["max"]; fmt.Sprint(*s) != before {
				t.Errorf("%s: refused, and changed", moment)
			}
		}
		if got = fmt.Sprintf("%s, %d of %d", got, s.Reducible(now), s.Quantity); got != want {
			t.Errorf("%s, %s to %d: %s, want %s", moment, verb, to, got, want)
		}
	}
	step("2026-01-10T12:00", "cancel", 0, "done, 10 of 10")
	step("2026-01-12T00:00", "reduce", 8, "done, 8 of 8")
	step("2026-01-12T00:00", "reduce", 1, "QUANTITY_TOO_LOW 2, 8 of 8")
	step("2026-01-12T00:00", "reduce", 8, "QUANTITY_NOT_LOWER 8, 8 of 8")
	step("2026-01-12T00:00", "add", 8, "QUANTITY_NOT_HIGHER 8, 8 of 8")
	step("2026-01-12T00:00", "add", 21, "QUANTITY_TOO_HIGH 20, 8 of 8")
	step("2026-01-15T00:00", "add", 12, "done, 12 of 12")
	step("2026-01-16T12:00", "reduce", 11, "done, 11 of 11") // out of what cannot be given back soonest
	step("2026-01-17T11:59", "cancel", 0, "done, 11 of 11")
	step("2026-01-17T12:00", "cancel", 0, "WINDOW_CLOSED 4, 4 of 11")
	step("2026-01-18T00:00", "add", 14, "done, 7 of 14")
	step("2026-01-18T00:00", "reduce", 6, "WINDOW_CLOSED 7, 7 of 14")
	step("2026-01-21T23:59", "reduce", 9, "done, 2 of 9")
	step("2026-01-22T00:00", "reduce", 8, "done, 1 of 8")
	step("2026-01-24T23:59", "reduce", 7, "done, 0 of 7")
	step("2026-01-24T23:59", "reduce", 6, "WINDOW_CLOSED 0, 0 of 7")
	step("2026-06-01T00:00", "add", 20, "done, 13 of 20")
	step("2026-06-08T00:00", "reduce", 19, "WINDOW_CLOSED 0, 0 of 20")
	step("2026-06-08T00:00", "cancel", 0, "WINDOW_CLOSED 0, 0 of 20")
	s.due(o) // renewed: everything can be given back
	step("2027-01-16T23:59", "cancel", 0, "done, 20 of 20")
	step("2027-01-17T00:00", "cancel", 0, "WINDOW_CLOSED 0, 0 of 20")
}

func TestWindowEndsAt(t *testing.T) {
	t.Parallel()
	s := bought("2026-01-10T12:00", catalog.OneYear, 10)
	if err := s.add(12, offerOf(), at("2026-01-15T08:00")); err != nil {
		t.Fatal(err)
	}
	for moment, want := range map[string]string{"2026-01-15T08:00": "2026-01-22T08:00", "2026-01-20T00:00": "2026-01-22T08:00", "2026-01-22T07:59": "2026-01-22T08:00", "2026-01-22T08:00": ""} {
		got := ""
		if end := s.WindowEndsAt(at(moment)); end != nil {
			got = end.Format("2006-01-02T15:04")
		}
		if got != want {
			t.Errorf("%s: %s, want %s", moment, got, want)
		}
	}
	s.enter(Expired, "", at("2026-01-16"))
	if s.WindowEndsAt(at("2026-01-16")) != nil || s.Cancellable(at("2026-01-16")) {
		t.Error("an expired subscription has nothing to give back")
	}
}

// Every verb in every state.
func TestVerbs(t *testing.T) {
	t.Parallel()
	now := at("2026-02-01T09:00")
	in := map[Status]func() *Subscription{
		Pending: func() *Subscription {
			return &Subscription{Status: Pending, Country: "IT", Term: catalog.OneYear, BillingCycle: catalog.Monthly, Quantity: 5, UnitPrice: 500, Currency: "EUR"}
		},
		Active: func() *Subscription { return bought("2026-01-31T15:00", catalog.OneYear, 5) },
	}
	entered := func(to Status) func() *Subscription {
		return func() *Subscription { s := in[Active](); s.enter(to, "", now); return s }
	}
	for _, s := range Statuses[2:] {
		in[s] = entered(s)
	}
	do := map[Verb]func(*Subscription) error{
		VerbActivate:   func(s *Subscription) error { return s.activate(now) },
		VerbAbandon:    func(s *Subscription) error { return s.abandon(now, ReasonAbandoned) },
		VerbAdd:        func(s *Subscription) error { return s.add(6, offerOf(), now) },
		VerbReduce:     func(s *Subscription) error { return s.reduce(4, offerOf(), now) },
		VerbCancel:     func(s *Subscription) error { return s.cancel(now) },
		VerbSuspend:    func(s *Subscription) error { return s.suspend(now, ReasonSeller) },
		VerbReactivate: func(s *Subscription) error { return s.reactivate(offerOf(), now) },
		VerbAutoRenew:  func(s *Subscription) error { return s.setAutoRenew(false, offerOf()) },
		VerbRename:     func(s *Subscription) error { return s.may(VerbRename) },
		VerbAssociate:  func(s *Subscription) error { return s.may(VerbAssociate) },
		VerbDesignate:  func(s *Subscription) error { return s.may(VerbDesignate) },
	}
	want := map[Verb]string{
		VerbActivate:   "PENDING>ACTIVE",
		VerbAbandon:    "PENDING>CANCELLED",
		VerbAdd:        "ACTIVE>ACTIVE",
		VerbReduce:     "ACTIVE>ACTIVE",
		VerbCancel:     "ACTIVE>CANCELLED SUSPENDED>CANCELLED",
		VerbSuspend:    "ACTIVE>SUSPENDED",
		VerbReactivate: "SUSPENDED>ACTIVE EXPIRED>ACTIVE DISABLED>ACTIVE",
		VerbAutoRenew:  "ACTIVE>ACTIVE SUSPENDED>SUSPENDED",
		VerbRename:     "PENDING>PENDING ACTIVE>ACTIVE SUSPENDED>SUSPENDED EXPIRED>EXPIRED DISABLED>DISABLED",
		VerbAssociate:  "PENDING>PENDING ACTIVE>ACTIVE SUSPENDED>SUSPENDED EXPIRED>EXPIRED",
		VerbDesignate:  "PENDING>PENDING ACTIVE>ACTIVE SUSPENDED>SUSPENDED EXPIRED>EXPIRED DISABLED>DISABLED",
	}
	for v, fn := range do {
		var got []string
		for _, status := range Statuses {
			s := in[status]()
			before := s.told()
			switch err := fn(s); {
			case err == nil:
				got = append(got, string(status)+">"+string(s.Status))
				if !slices.Contains(table[v], status) {
					t.Errorf("%s in %s is not in the table", v, status)
				}
			case !fault.Is(err, CodeStatusForbids) || fault.As(err).Problems[0].Params["status"] != string(status) || s.told() != before:
				t.Errorf("%s in %s: %v", v, status, err)
			}
		}
		if strings.Join(got, " ") != want[v] {
			t.Errorf("%s: %s, want %s", v, strings.Join(got, " "), want[v])
		}
	}
}

// A suspended subscription goes on in its term; an expired one begins anew at
// today's price and with a window.
func TestReactivation(t *testing.T) {
	t.Parallel()
	s := bought("2026-01-31T15:00", catalog.OneMonth, 3)
	if err := s.suspend(at("2026-02-20T10:00"), ReasonSeller); err != nil {
		t.Fatal(err)
	}
	if got, want := s.told(), "SUSPENDED 3 at 500, 2026-01-31 to 2026-02-28, next 2026-02-28 SUSPENDED_BY_SELLER"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if err := s.reactivate(offerOf(), at("2026-02-21T10:00")); err != nil || s.told() != "ACTIVE 3 at 500, 2026-01-31 to 2026-02-28, next 2026-02-28" {
		t.Error(s.told(), err)
	}
	s.AutoRenew = false
	s.due(offerOf())
	if err := s.reactivate(offerOf(), at("2026-03-12T10:00")); err != nil || s.told() != "ACTIVE 3 at 700, 2026-03-12 to 2026-04-12, next 2026-04-12" {
		t.Error(s.told(), err)
	}
	if got := s.Reducible(at("2026-03-19T09:59")); got != 3 || s.Reducible(at("2026-03-19T10:00")) != 0 {
		t.Errorf("%d can be given back", got)
	}
	s.due(offerOf())
	s.due(offerOf()) // disabled
	for code, o := range map[string]*catalog.Offer{
		catalog.CodeOfferRetired:   offerOf(func(o *catalog.Offer) { o.RetiredAt = new(at("2026-02-01")) }),
		catalog.CodeNotSold:        offerOf(func(o *catalog.Offer) { o.Countries = []string{"DE"} }),
		catalog.CodeTermNotOffered: offerOf(func(o *catalog.Offer) { o.Prices = o.Prices[1:] }),
		ReasonTrial:                offerOf(func(o *catalog.Offer) { o.Trial = true }),
	} {
		if err := s.reactivate(o, at("2026-05-20T10:00")); !fault.Is(err, code) || s.Status != Disabled {
			t.Errorf("%v, want %s", err, code)
		}
		live := bought("2026-01-31T15:00", catalog.OneMonth, 3)
		live.AutoRenew = false
		if err := live.setAutoRenew(true, o); !fault.Is(err, code) || live.AutoRenew {
			t.Errorf("%v, want %s", err, code)
		}
		if err := live.setAutoRenew(false, o); err != nil {
			t.Error(err)
		}
	}
	if err := s.reactivate(offerOf(), at("2026-05-20T10:00")); err != nil || s.told() != "ACTIVE 3 at 700, 2026-05-20 to 2026-06-20, next 2026-06-20" {
		t.Error(s.told(), err)
	}
}
