package order

import "testing"

// TestTheCostOfAnOrder holds how many statements it takes to submit a new
// customer with three subscriptions: round trips decide.
func TestTheCostOfAnOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o := w.review(w.gina, w.start(w.gina, StartInput{ResellerID: &w.reseller.ID, Newcomer: newcomer("contoso"),
		Lines: []LineInput{w.line("BASIC", 1), w.line("SUITE", 5), w.line("TRIAL", 1)}}))
	before := w.db.Queries()
	w.submit(w.gina, o)
	if n := w.db.Queries() - before; n > 42 {
		t.Errorf("%d statements", n)
	}
}
