package order

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/audit"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/outbox"
)

// Provision brings a line to life; an attempt that a newer one replaced is
// left alone.
type Provision struct {
	OrderLineID ident.ID `json:"order_line_id"`
	Attempt     int      `json:"attempt"`
}

// Kind is the job's kind.
func (Provision) Kind() string { return "order.provision" }

// Expire drops a draft whose time is over.
type Expire struct {
	OrderID ident.ID `json:"order_id"`
}

// Kind is the job's kind.
func (Expire) Kind() string { return "order.expire" }

// Scan looks for drafts whose time is over and lines whose job is, unseen.
type Scan struct{}

// Kind is the job's kind.
func (Scan) Kind() string { return "order.scan" }

const (
	// maxAttempts is how often a provisioner that fails is asked by itself,
	// over some twenty minutes.
	maxAttempts = 10
	// rest is how long a line may be without a job before that is strange.
	rest = time.Minute
	// batch bounds what a scan does at once.
	batch = 200
)

// Provision performs its job. The provisioner is asked outside of any
// transaction; what came of it is written with the job's end. A refusal for
// good, or the last of the attempts, fails the line and the operation.
func (s *Service) Provision(ctx context.Context, run *outbox.Run, a Provision) error {
	r, code, err := s.open(ctx, a)
	if err != nil || r == nil && code == "" {
		return err
	}
	var refusal error
	if r != nil {
		refusal = s.provisioner.Provision(ctx, *r)
		code = refusedAs(refusal, run.Job.Attempt >= run.Job.MaxAttempts)
	}
	if refusal != nil && code == "" {
		return fmt.Errorf("provisioning: %w", refusal)
	}
	var failed string
	err = s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		if failed, err = s.close(ctx, tx, a, code); err != nil || failed != "" {
			return err
		}
		return run.Done(ctx, tx)
	})
	if err == nil && failed != "" {
		err = fault.GiveUp(failed, refusal)
	}
	return err
}

// refusedAs is the code with which an attempt failed for good, "" where it
// succeeded or is tried again by itself.
func refusedAs(err error, last bool) string {
	if err == nil || errors.Is(err, context.Canceled) {
		return ""
	}
	r := fault.AsRetry(err)
	switch {
	case r != nil && r.Never:
		return r.Code
	case !last || r != nil && r.Free:
		return ""
	case r != nil && r.Code != "":
		return r.Code
	}
	return CodeProvisioningFailed
}

// open notes that a line's provisioning has begun and tells what to ask for;
// nil where there is nothing to ask for any more, with the code of why it may
// not be asked for.
func (s *Service) open(ctx context.Context, a Provision) (out *Request, failed string, err error) {
	err = s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		out, failed = nil, ""
		o, l, err := s.holdLine(ctx, tx, access.System("order"), a.OrderLineID)
		if err != nil || l == nil || l.Attempt != a.Attempt || !l.isOpen() {
			return err
		}
		if code, err := s.closed(ctx, tx, o); err != nil || code != "" {
			failed = code
			return err
		}
		offer, err := s.offers.OfferTx(ctx, tx, l.OfferID)
		if err != nil {
			return err
		}
		out = &Request{ID: string(l.ID) + "." + strconv.Itoa(l.Attempt), OrderID: o.ID, OrderLineID: l.ID, SubscriptionID: l.SubscriptionID,
			CustomerID: o.CustomerID, SKU: offer.SKU, Quantity: l.Quantity, Term: l.Term, BillingCycle: l.BillingCycle}
		if l.Status == LineProvisioning {
			return nil
		}
		l.Status = LineProvisioning
		return s.settle(ctx, tx, o, l)
	})
	return out, failed, err
}

// close writes how an attempt came out, and tells the code of why it failed: a
// relationship that was removed meanwhile fails it too.
func (s *Service) close(ctx context.Context, tx *database.Tx, a Provision, code string) (string, error) {
	system := access.System("order")
	o, l, err := s.holdLine(ctx, tx, system, a.OrderLineID)
	if err != nil || l == nil || l.Attempt != a.Attempt || !l.isOpen() {
		return "", err
	}
	if code == "" {
		if code, err = s.closed(ctx, tx, o); err != nil {
			return "", err
		}
	}
	act := audit.Act{Action: "order.line_provisioned", TargetID: l.ID, Changed: []string{"status"}}
	if code == "" {
		l.Status, l.FailureCode = LineCompleted, ""
		_, err = s.subscriptions.ActivateTx(ctx, tx, system, l.SubscriptionID)
	} else {
		l.Status, l.FailureCode = LineFailed, code
		act.Action, act.Reason = "order.line_failed", code
		_, err = s.subscriptions.FailTx(ctx, tx, system, l.SubscriptionID, code)
	}
	if err != nil {
		return "", err
	}
	if err := s.settle(ctx, tx, o, l); err != nil {
		return "", err
	}
	if act.TargetOrganizationID, err = s.sellerOf(ctx, tx, o); err != nil {
		return "", err
	}
	return code, audit.Record(ctx, tx, system, act)
}

// closed is the code of why an order's customer can have nothing more of its
// seller, "" where it can; the customer is held against changes of that.
func (s *Service) closed(ctx context.Context, tx *database.Tx, o *Order) (string, error) {
	if _, err := s.customers.LoadTx(ctx, tx, access.System("order"), o.CustomerID); err != nil {
		return "", err
	}
	for _, p := range []ident.ID{o.SellerID, o.ResellerID} {
		if p == "" {
			continue
		}
		if r, err := s.customers.RelationTx(ctx, tx, o.CustomerID, p); err != nil || !r.Active() {
			return CodeRelationshipRemoved, err
		}
	}
	return "", nil
}

// sellerOf is the organization whose audit shows what became of an order.
func (s *Service) sellerOf(ctx context.Context, tx *database.Tx, o *Order) (ident.ID, error) {
	ps, err := s.partners.Load(ctx, tx, o.SellerID)
	if err != nil || ps[o.SellerID] == nil {
		return "", err
	}
	return ps[o.SellerID].OrganizationID, nil
}

// settle writes a changed line and puts its order into the state that follows
// from all of them.
func (s *Service) settle(ctx context.Context, tx *database.Tx, o *Order, l *Line) error {
	if err := saveLines(ctx, tx, l); err != nil {
		return fmt.Errorf("writing a line: %w", err)
	}
	next := outcome(o.Status, o.Lines)
	if next == o.Status {
		return tell(ctx, tx, o)
	}
	if !o.Status.May(next) {
		return fmt.Errorf("an order goes from %s to %s", o.Status, next)
	}
	if o.Status, o.FinishedAt = next, nil; next != Provisioning {
		o.FinishedAt = &tx.Now
	}
	return save(ctx, tx, o)
}

// Stopped takes note that the operation which was to provision a line was
// called off: the line has failed, and can be retried.
func (s *Service) Stopped(ctx context.Context, tx *database.Tx, j *outbox.Job) error {
	var a Provision
	if err := json.Unmarshal([]byte(j.Payload), &a); err != nil {
		return fmt.Errorf("reading a job: %w", err)
	}
	_, err := s.close(ctx, tx, a, CodeProvisioningStopped)
	return err
}

// Retried takes note that the operation which was to provision a line goes on.
// Error: OPERATION_NOT_RETRYABLE where the line has not failed by it, or may
// not be sold any more.
func (s *Service) Retried(ctx context.Context, tx *database.Tx, j *outbox.Job) error {
	var a Provision
	if err := json.Unmarshal([]byte(j.Payload), &a); err != nil {
		return fmt.Errorf("reading a job: %w", err)
	}
	o, l, err := s.holdLine(ctx, tx, access.System("order"), a.OrderLineID)
	if err != nil {
		return err
	}
	if l == nil || l.OperationID != j.ID {
		return fault.Conflict("id", outbox.CodeNotRetryable)
	}
	err = s.again(ctx, tx, access.System("order"), o, l, j)
	if f := fault.As(err); f != nil {
		return fault.Conflict("id", outbox.CodeNotRetryable)
	}
	return err
}

// Expire performs its job.
func (s *Service) Expire(ctx context.Context, run *outbox.Run, a Expire) error {
	return s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		if err := s.expire(ctx, tx, a.OrderID); err != nil {
			return err
		}
		return run.Done(ctx, tx)
	})
}

func (s *Service) expire(ctx context.Context, tx *database.Tx, id ident.ID) error {
	system := access.System("order")
	o, err := lock(ctx, tx, system.Scope(), id)
	if err != nil || o == nil || o.Status != Draft || o.IsDraft(tx.Now) {
		return err
	}
	return s.drop(ctx, tx, system, o, "order.expired", CodeExpired)
}

// giveUp abandons a line that has waited too long, which says so from then on.
func (s *Service) giveUp(ctx context.Context, tx *database.Tx, found *Line) error {
	system := access.System("order")
	o, l, err := s.holdLine(ctx, tx, system, found.ID)
	if err != nil || l == nil || l.Status != LineFailed || l.Attempt != found.Attempt {
		return err
	}
	l.FailureCode = CodeLineTimeOver
	return s.abandon(ctx, tx, system, o, l)
}

// Scan performs its job: drafts whose timer was lost are dropped, a line
// whose job ended without a word has failed, and one that failed a week ago is
// given up.
func (s *Service) Scan(ctx context.Context, _ *outbox.Run, _ Scan) error {
	drafts, err := overdue(ctx, s.db.Read(), s.db.Now(), batch)
	if err != nil {
		return fmt.Errorf("looking for old drafts: %w", err)
	}
	for _, id := range drafts {
		if err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error { return s.expire(ctx, tx, id) }); err != nil {
			return err
		}
	}
	stuck, err := forgotten(ctx, s.db.Read(), s.db.Now().Add(-rest), batch)
	if err != nil {
		return fmt.Errorf("looking for forgotten lines: %w", err)
	}
	for _, l := range stuck {
		err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
			_, err := s.close(ctx, tx, Provision{OrderLineID: l.ID, Attempt: l.Attempt}, CodeProvisioningFailed)
			return err
		})
		if err != nil {
			return err
		}
		s.log.WarnContext(ctx, "a line's job ended without a word", "line", l.ID, "operation", l.OperationID)
	}
	old, err := waiting(ctx, s.db.Read(), s.db.Now().Add(-FailedLife), batch)
	if err != nil {
		return fmt.Errorf("looking for failed lines: %w", err)
	}
	for _, l := range old {
		if err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error { return s.giveUp(ctx, tx, l) }); err != nil {
			return err
		}
	}
	return nil
}
