package directory

import (
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/desk"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/page"
)

// line is what the operator's desk says of a request; nil for nothing.
func (w *world) line(id ident.ID) *desk.Item {
	w.t.Helper()
	c, err := desk.List(w.t.Context(), w.db, w.rita, page.Args{}, nil, desk.Filter{State: []desk.State{desk.Open, desk.Waiting, desk.Done}})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, i := range c.Nodes() {
		if i.SubjectID == id {
			return i
		}
	}
	return nil
}

// A request is on the operator's desk until it is decided and published:
// waiting, and without dates, while the provider has to act; late where its
// promise broke, also while the provider has to act.
func TestOnDesk(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gina, r := w.renamed("Acme")
	i := w.line(r.ID)
	if i == nil || i.State != desk.Open || i.Kind != desk.ProfileUpdate || i.AssigneeID != "" || i.DueAt == nil || !i.DueAt.Equal(*r.DueAt) || i.Company != r.Company {
		t.Fatalf("%+v", i)
	}
	r = w.take(r)
	if i := w.line(r.ID); i.AssigneeID != w.rita.UserID {
		t.Fatalf("%+v", i)
	}
	r = w.ask(r, "Is this your own name?")
	if i := w.line(r.ID); i.State != desk.Waiting || i.DueAt != nil {
		t.Fatalf("%+v", i)
	}
	w.pass(48 * time.Hour)
	r = w.answers(gina, r, "Yes.")
	if j := w.line(r.ID); j.State != desk.Open || !j.DueAt.After(*i.DueAt) || j.Breached(w.db.Now()) {
		t.Fatalf("%+v", j)
	}
	w.pass(40 * 24 * time.Hour)
	if i := w.line(r.ID); !i.Breached(w.db.Now()) {
		t.Fatalf("%+v", i)
	}
	r = w.ask(w.reload(r.ID), "And in Italian?")
	if i := w.line(r.ID); i.State != desk.Waiting || i.DueAt == nil || !i.Breached(w.db.Now()) {
		t.Fatalf("%+v", i)
	}
	r = w.approve(w.answers(gina, r, "Acme."))
	if i := w.line(r.ID); i.State != desk.Open || i.ClosedAt != nil {
		t.Fatalf("%+v", i)
	}
	w.work()
	if i := w.line(r.ID); i.State != desk.Done || i.ClosedAt == nil {
		t.Fatalf("%+v", i)
	}
	beta, b := w.renamed("Beta")
	if _, err := w.Withdraw(t.Context(), beta, WithdrawInput{ProfileUpdateID: b.ID}); err != nil {
		t.Fatal(err)
	}
	if i := w.line(b.ID); i.State != desk.Done {
		t.Fatalf("%+v", i)
	}
}
