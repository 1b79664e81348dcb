package order

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/customer"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/outbox"
)

func TestOutcome(t *testing.T) {
	t.Parallel()
	for lines, want := range map[string]Status{
		"PPP": Submitted, "VPP": Provisioning, "CPP": Provisioning, "FPP": Provisioning, "CCV": Provisioning, "CCC": Completed, "CFC": PartiallyCompleted,
		"CAC": Completed, "CAF": PartiallyCompleted, "CTC": PartiallyCompleted, "CTA": PartiallyCompleted, "FFF": Failed, "FAF": Failed, "AAA": Failed, "TA": Failed, "APC": Provisioning, "C": Completed, "F": Failed, "P": Submitted,
	} {
		var ls []*Line
		for _, c := range lines {
			l := &Line{Status: map[rune]LineStatus{'P': LinePending, 'V': LineProvisioning, 'C': LineCompleted, 'F': LineFailed, 'A': LineAbandoned, 'T': LineAbandoned}[c], FailureCode: "X"}
			if c == 'T' {
				l.FailureCode = CodeLineTimeOver
			}
			ls = append(ls, l)
		}
		if got := outcome(Submitted, ls); got != want {
			t.Errorf("%s: %s, want %s", lines, got, want)
		}
		if got := outcome(Failed, ls); want == Submitted && got != Provisioning {
			t.Errorf("%s after a failure: %s", lines, got)
		}
	}
	for from := range moves {
		if from != Draft && from.May(Cancelled) || from != Draft && from.May(Submitted) || from == Completed {
			t.Errorf("a submitted order goes back from %s", from)
		}
	}
}

// refused is a provisioner's answer that no other attempt would change.
func refused() error { return fault.GiveUp("OUT_OF_STOCK", nil) }

// ordered submits an order of three lines that a test provisions.
func (w *world) ordered() *Order {
	w.t.Helper()
	return w.submit(w.gina, w.review(w.gina, w.start(w.gina, StartInput{ResellerID: &w.reseller.ID, Newcomer: newcomer("contoso"),
		Lines: []LineInput{w.line("BASIC", 10), w.line("SUITE", 5), w.line("TRIAL", 1)}}))).Order
}

func (w *world) operation(l *Line) *outbox.Job {
	w.t.Helper()
	j, err := outbox.Find(w.t.Context(), w.db, w.gina, l.OperationID)
	if err != nil {
		w.t.Fatal(err)
	}
	return j
}

func TestALineThatFailedIsTriedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	w.hand.on("SUITE", refused)
	o := w.ordered()
	w.work()
	want(t, "partial failure", w.states(o.ID), "PARTIALLY_COMPLETED, COMPLETED/ACTIVE, FAILED OUT_OF_STOCK/PENDING, COMPLETED/ACTIVE")
	failed := w.read(o.ID).Lines[1]
	if j := w.operation(failed); j.Status() != outbox.OperationFailed || *j.FailureCode != "OUT_OF_STOCK" || j.SubjectID != o.ID {
		t.Errorf("the operation is %+v", j)
	}
	for name, c := range map[string]struct {
		a    access.Actor
		id   ident.ID
		want string
	}{"the reseller": {w.bruno, failed.ID, fault.CodeNotFound}, "a stranger": {w.vera, failed.ID, fault.CodeNotFound}, "what succeeded": {w.gina, w.read(o.ID).Lines[0].ID, CodeLineNotFailed},
		"nothing": {w.gina, ident.New(ident.OrderLine), fault.CodeNotFound}, "the helpdesk": {w.user(w.provider.OrganizationID, "h@nordwind.example", access.HelpdeskAgent), failed.ID, fault.CodeRoleRequired}} {
		_, _, err := w.RetryLine(ctx, c.a, RetryLineInput{OrderLineID: c.id})
		if !fault.Is(err, c.want) {
			t.Errorf("%s retries: %v", name, err)
		}
	}
	in := RetryLineInput{OrderLineID: failed.ID, IdempotencyKey: ptr("k")}
	l, job, err := w.RetryLine(ctx, w.gina, in)
	if err != nil || l.Status != LinePending || l.FailureCode != "" || job.ID == failed.OperationID || job.Status() != outbox.OperationPending {
		t.Fatalf("retried %+v %+v, %v", l, job, err)
	}
	_, again, err := w.RetryLine(ctx, w.gina, in)
	if err != nil || again.ID != job.ID {
		t.Errorf("a repeated retry gave %+v, %v", again, err)
	}
	want(t, "retried", w.states(o.ID), "PROVISIONING, COMPLETED/ACTIVE, PENDING/PENDING, COMPLETED/ACTIVE")
	w.work()
	want(t, "failed again", w.states(o.ID), "PARTIALLY_COMPLETED, COMPLETED/ACTIVE, FAILED OUT_OF_STOCK/PENDING, COMPLETED/ACTIVE")
	w.hand.on("SUITE", nil)
	if _, _, err := w.RetryLine(ctx, w.gina, RetryLineInput{OrderLineID: failed.ID}); err != nil {
		t.Fatal(err)
	}
	w.work()
	want(t, "done", w.states(o.ID), "COMPLETED, COMPLETED/ACTIVE, COMPLETED/ACTIVE, COMPLETED/ACTIVE")
	want(t, "audit", w.audited(failed.ID), "order.line_failed order.line_retried order.line_failed order.line_retried order.line_provisioned")
	want(t, "asked", w.hand.ids(), "BASIC/1 SUITE/1 SUITE/2 SUITE/3 TRIAL/1")
}

func TestTheOperationOfALineGoesOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	for _, sku := range []string{"BASIC", "SUITE", "TRIAL"} {
		w.hand.on(sku, refused)
	}
	o := w.ordered()
	stopped := w.read(o.ID).Lines[0]
	hooks := outbox.Hooks{OnCancel: map[string]func(context.Context, *database.Tx, *outbox.Job) error{Provision{}.Kind(): w.Stopped},
		OnRetry: map[string]func(context.Context, *database.Tx, *outbox.Job) error{Provision{}.Kind(): w.Retried}}
	if _, err := outbox.Cancel(ctx, w.db, w.gina, stopped.OperationID, hooks); err != nil {
		t.Fatal(err)
	}
	w.work()
	want(t, "nothing went well", w.states(o.ID), "FAILED, FAILED PROVISIONING_CANCELLED/PENDING, FAILED OUT_OF_STOCK/PENDING, FAILED OUT_OF_STOCK/PENDING")
	w.hand.on("SUITE", nil)
	second := w.read(o.ID).Lines[1]
	if _, err := outbox.Retry(ctx, w.db, w.gina, second.OperationID, hooks); err != nil {
		t.Fatal(err)
	}
	want(t, "its operation goes on", w.states(o.ID), "PROVISIONING, FAILED PROVISIONING_CANCELLED/PENDING, PENDING/PENDING, FAILED OUT_OF_STOCK/PENDING")
	w.work()
	want(t, "one went well", w.states(o.ID), "PARTIALLY_COMPLETED, FAILED PROVISIONING_CANCELLED/PENDING, COMPLETED/ACTIVE, FAILED OUT_OF_STOCK/PENDING")
	third := w.read(o.ID).Lines[2]
	if _, _, err := w.RetryLine(ctx, w.gina, RetryLineInput{OrderLineID: third.ID}); err != nil {
		t.Fatal(err)
	}
	_, err := outbox.Retry(ctx, w.db, w.gina, third.OperationID, hooks) // a newer attempt is under way
	wantCode(t, err, outbox.CodeNotRetryable)
	if _, _, err := w.RetryLine(ctx, w.gina, RetryLineInput{OrderLineID: stopped.ID}); err != nil {
		t.Fatal(err)
	}
	w.hand.on("BASIC", nil)
	w.hand.on("TRIAL", nil)
	w.work()
	want(t, "done", w.states(o.ID), "COMPLETED, COMPLETED/ACTIVE, COMPLETED/ACTIVE, COMPLETED/ACTIVE")
}

func TestAFailureThatPassesIsTriedByItself(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	calls := 0
	w.hand.on("SUITE", func() error {
		if calls++; calls < 3 {
			return errors.New("the line was busy")
		}
		return nil
	})
	w.hand.on("TRIAL", func() error { return errors.New("nobody at home") })
	o := w.ordered()
	w.work()
	want(t, "waiting", w.states(o.ID), "PROVISIONING, COMPLETED/ACTIVE, PROVISIONING/PENDING, PROVISIONING/PENDING")
	for range 2 * maxAttempts {
		w.db.Clock().Advance(time.Hour)
		w.work()
	}
	want(t, "one came, one did not", w.states(o.ID), "PARTIALLY_COMPLETED, COMPLETED/ACTIVE, COMPLETED/ACTIVE, FAILED PROVISIONING_FAILED/PENDING")
	if j := w.operation(w.read(o.ID).Lines[2]); j.Status() != outbox.OperationFailed || j.Attempts() != maxAttempts || *j.FailureCode != CodeProvisioningFailed {
		t.Errorf("the operation is %+v", j)
	}
	ids := map[string]bool{}
	for _, r := range w.hand.asked {
		ids[r.ID] = true
	}
	if len(ids) != 3 { // a repeated question has the same name
		t.Errorf("asked as %v", ids)
	}
}

func TestAJobThatEndedWithoutAWord(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o := w.ordered()
	dead := w.read(o.ID).Lines[1]
	if _, err := w.db.Bun().NewUpdate().Table("job").Set("state = ?", outbox.Dead).Where("id = ?", dead.OperationID).Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.scan() // its end is too fresh
	want(t, "at once", w.states(o.ID), "SUBMITTED, PENDING/PENDING, PENDING/PENDING, PENDING/PENDING")
	w.db.Clock().Advance(2 * rest)
	w.scan()
	want(t, "after a rest", w.states(o.ID), "PROVISIONING, PENDING/PENDING, FAILED PROVISIONING_FAILED/PENDING, PENDING/PENDING")
	w.work()
	want(t, "the others", w.states(o.ID), "PARTIALLY_COMPLETED, COMPLETED/ACTIVE, FAILED PROVISIONING_FAILED/PENDING, COMPLETED/ACTIVE")
}

func TestALineIsGivenUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	w.hand.on("SUITE", refused)
	w.hand.on("TRIAL", refused)
	o := w.ordered()
	w.work()
	lines := w.read(o.ID).Lines
	_, err := w.AbandonLine(ctx, w.bruno, AbandonLineInput{OrderLineID: lines[1].ID})
	wantCode(t, err, fault.CodeNotFound)
	_, err = w.AbandonLine(ctx, w.gina, AbandonLineInput{OrderLineID: lines[0].ID})
	wantCode(t, err, CodeLineNotFailed)
	if _, err := w.AbandonLine(ctx, w.gina, AbandonLineInput{OrderLineID: lines[1].ID}); err != nil {
		t.Fatal(err)
	}
	want(t, "by a person", w.states(o.ID), "PARTIALLY_COMPLETED, COMPLETED/ACTIVE, ABANDONED OUT_OF_STOCK/CANCELLED, FAILED OUT_OF_STOCK/PENDING")
	_, _, err = w.RetryLine(ctx, w.gina, RetryLineInput{OrderLineID: lines[1].ID})
	wantCode(t, err, CodeLineNotFailed)
	w.scan()
	w.db.Clock().Advance(FailedLife)
	w.scan()
	want(t, "by itself", w.states(o.ID), "PARTIALLY_COMPLETED, COMPLETED/ACTIVE, ABANDONED OUT_OF_STOCK/CANCELLED, ABANDONED ORDER_LINE_TIME_OVER/CANCELLED")
	// what a person gives up is not missed
	w.hand.on("TRIAL", nil)
	next := w.submit(w.gina, w.review(w.gina, w.start(w.gina, StartInput{CustomerID: &o.CustomerID, Lines: []LineInput{w.line("BASIC", 1), w.line("SUITE", 5)}}))).Order
	w.work()
	want(t, "one failed", w.states(next.ID), "PARTIALLY_COMPLETED, COMPLETED/ACTIVE, FAILED OUT_OF_STOCK/PENDING")
	w.db.Clock().Advance(time.Hour)
	if _, err := w.AbandonLine(ctx, w.gina, AbandonLineInput{OrderLineID: next.Lines[1].ID}); err != nil {
		t.Fatal(err)
	}
	want(t, "settled", w.states(next.ID), "COMPLETED, COMPLETED/ACTIVE, ABANDONED OUT_OF_STOCK/CANCELLED")
	if got := w.read(next.ID); got.FinishedAt == nil || w.db.Now().Sub(*got.FinishedAt) > time.Minute {
		t.Errorf("it was finished at %v", got.FinishedAt)
	}
}

// TestARemovedRelationshipStopsProvisioning removes it while lines wait, and
// while the provisioner is at work.
func TestARemovedRelationshipStopsProvisioning(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	o := w.ordered()
	var once sync.Once
	for _, sku := range []string{"BASIC", "SUITE", "TRIAL"} {
		w.hand.on(sku, func() (err error) {
			once.Do(func() {
				_, err = w.customers.Remove(ctx, w.gina, customer.RemoveInput{CustomerID: o.CustomerID, Reason: "we part"})
			})
			return err
		})
	}
	w.work()
	want(t, "removed", w.states(o.ID), "FAILED, FAILED RELATIONSHIP_REMOVED/PENDING, FAILED RELATIONSHIP_REMOVED/PENDING, FAILED RELATIONSHIP_REMOVED/PENDING")
	if n := len(w.hand.asked); n != 1 {
		t.Errorf("asked %d times, the first of which removed the relationship", n)
	}
	_, _, err := w.RetryLine(ctx, w.gina, RetryLineInput{OrderLineID: w.read(o.ID).Lines[1].ID})
	want(t, "retried", problems(err), "input RELATIONSHIP_MISSING")
}

// TestRemovalAgainstOrder lets an order be submitted while its relationship is
// removed: whichever comes first, nothing of a removed relationship is active.
func TestRemovalAgainstOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	for n := range 5 {
		has := w.add(w.gina, fmt.Sprint("contoso", n), nil)
		o := w.review(w.gina, w.start(w.gina, StartInput{CustomerID: &has.CustomerID, Lines: []LineInput{w.line("BASIC", 1)}}))
		var wg sync.WaitGroup
		var submitted, removed error
		wg.Add(2)
		go func() {
			defer wg.Done()
			_, submitted = w.Submit(ctx, w.gina, SubmitInput{OrderID: o.ID})
		}()
		go func() {
			defer wg.Done()
			_, removed = w.customers.Remove(ctx, w.gina, customer.RemoveInput{CustomerID: has.CustomerID, Reason: "we part"})
		}()
		wg.Wait()
		if removed != nil || submitted != nil && !fault.Is(submitted, customer.CodeRelationshipMissing) {
			t.Fatal(removed, submitted)
		}
		w.work()
		n, err := w.db.Read().NewSelect().TableExpr("product_subscription").Where("customer_id = ? AND status = 'ACTIVE'", has.CustomerID).Count(ctx)
		if err != nil || n != 0 {
			t.Errorf("%d subscriptions of a removed relationship are active, %v", n, err)
		}
	}
}

func TestRehearsal(t *testing.T) {
	t.Parallel()
	p := Rehearsal{Refuse: map[string]string{"SUITE": "OUT_OF_STOCK"}}
	if err := p.Provision(t.Context(), Request{SKU: "BASIC"}); err != nil {
		t.Error(err)
	}
	if r := fault.AsRetry(p.Provision(t.Context(), Request{SKU: "SUITE"})); r == nil || !r.Never || r.Code != "OUT_OF_STOCK" {
		t.Errorf("answered %+v", r)
	}
	if err := (AtOnce{}).Provision(t.Context(), Request{SKU: "SUITE"}); err != nil {
		t.Error(err)
	}
}
