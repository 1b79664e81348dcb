package order

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/audit"
	"github.com/channelgraph/channelgraph/internal/catalog"
	"github.com/channelgraph/channelgraph/internal/customer"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/internal/page"
	"github.com/channelgraph/channelgraph/internal/partner"
	"github.com/channelgraph/channelgraph/internal/subscription"
)

// Service performs the verbs on orders.
type Service struct {
	db            *database.DB
	accounts      *account.Service
	partners      *partner.Service
	customers     *customer.Service
	offers        *catalog.Service
	subscriptions *subscription.Service
	provisioner   Provisioner
	log           *slog.Logger
}

// New makes the service. The jobs are Provision, Expire and Scan, of which the
// last is periodic; Stopped and Retried are told of operations of kind
// order.provision that were called off or go on.
func New(db *database.DB, accounts *account.Service, partners *partner.Service, customers *customer.Service, offers *catalog.Service,
	subscriptions *subscription.Service, provisioner Provisioner, log *slog.Logger,
) *Service {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Service{db: db, accounts: accounts, partners: partners, customers: customers, offers: offers, subscriptions: subscriptions,
		provisioner: provisioner, log: log}
}

// ---- Reading

// ByIDs reads orders inside the actor's scope.
func (s *Service) ByIDs(ctx context.Context, actor access.Actor, ids []ident.ID) (map[ident.ID]*Order, error) {
	if !actor.Can(access.PermOrderRead) {
		return map[ident.ID]*Order{}, nil
	}
	return byIDs(ctx, s.db.Read(), actor.Scope(), ids)
}

// LinesOf reads the lines of orders inside the actor's scope, in their places,
// by order.
func (s *Service) LinesOf(ctx context.Context, actor access.Actor, orders []ident.ID) (map[ident.ID][]*Line, error) {
	if !actor.Can(access.PermOrderRead) {
		return map[ident.ID][]*Line{}, nil
	}
	return linesOf(ctx, s.db.Read(), actor.Scope(), orders)
}

// LinesByIDs reads lines inside the actor's scope.
func (s *Service) LinesByIDs(ctx context.Context, actor access.Actor, ids []ident.ID) (map[ident.ID]*Line, error) {
	if !actor.Can(access.PermOrderRead) {
		return map[ident.ID]*Line{}, nil
	}
	return linesByIDs(ctx, s.db.Read(), actor.Scope(), ids)
}

// List is a page of the orders that the actor sees. Error: ROLE_REQUIRED.
func (s *Service) List(ctx context.Context, actor access.Actor, args page.Args, o *Ordering, f Filter) (*page.Connection[*Order], error) {
	if err := actor.Require(access.PermOrderRead); err != nil {
		return nil, err
	}
	pq, err := args.Resolve(o.resolve(), f)
	if err != nil {
		return nil, err
	}
	return list(ctx, s.db, actor.Scope(), pq, f)
}

// ---- Drafts

// Start begins a draft. Errors: ROLE_REQUIRED, NOT_FOUND at customerId,
// resellerId or a line's offerId, ORDER_HAS_CUSTOMER at newcomer, what is
// wrong with lines and texts, those of outbox.Once.
func (s *Service) Start(ctx context.Context, actor access.Actor, in StartInput) (*Order, error) {
	if err := may(actor, in.CustomerID == nil); err != nil {
		return nil, err
	}
	request := in
	if err := in.Validate(); err != nil {
		return nil, err
	}
	const verb = "startOrder"
	key := deref(in.IdempotencyKey)
	var o *Order
	err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		prior, err := outbox.Once(ctx, tx, actor, verb, key, request)
		if err != nil {
			return err
		}
		if prior != nil {
			if o, err = lock(ctx, tx, actor.Scope(), prior.ID("order")); err == nil && o == nil {
				err = fault.NotFound("idempotencyKey")
			}
			return err
		}
		if err := attests(actor, in.Newcomer); err != nil {
			return err
		}
		o = &Order{ID: ident.New(ident.Order), SellerID: actor.PartnerID, AddsCustomer: in.CustomerID == nil, Status: Draft, CreatedByID: actor.UserID,
			ExpiresAt: tx.Now.Add(DraftLife), Version: 1, CreatedAt: tx.Now, UpdatedAt: tx.Now}
		var p fault.Problems
		if in.CustomerID != nil {
			o.CustomerID = *in.CustomerID
			if _, err := s.customers.LoadTx(ctx, tx, actor, o.CustomerID); err != nil {
				return err
			}
		} else {
			o.Newcomer.Welcome = PasswordLink
			in.Newcomer.put(&o.Newcomer)
		}
		if err := s.fill(ctx, tx, actor, &p, o, in.ResellerID, &in.Lines); err != nil {
			return err
		}
		if err := p.Err(); err != nil {
			return err
		}
		if err := insert(ctx, tx, o); err != nil {
			return fmt.Errorf("writing an order: %w", err)
		}
		if _, err := outbox.Put(ctx, tx, Expire{OrderID: o.ID}, outbox.DueAt(o.ExpiresAt), outbox.About(o.ID), outbox.On(outbox.Low)); err != nil {
			return err
		}
		if err := outbox.Remember(ctx, tx, actor, verb, key, map[string]string{"order": string(o.ID)}); err != nil {
			return err
		}
		return s.record(ctx, tx, actor, "order.started", o)
	})
	if err != nil {
		return nil, err
	}
	return o, nil
}

// Save changes a draft. Errors: NOT_FOUND, ROLE_REQUIRED, CONFLICT,
// ORDER_NOT_DRAFT, ORDER_EXPIRED, and those of Start.
func (s *Service) Save(ctx context.Context, actor access.Actor, in SaveInput) (*Order, error) {
	if actor.IsAnonymous() {
		return nil, fault.Unauthenticated()
	}
	if err := in.Validate(); err != nil {
		return nil, err
	}
	return s.change(ctx, actor, in.OrderID, in.ExpectedVersion, func(ctx context.Context, tx *database.Tx, o *Order) error {
		if in.Newcomer != nil && !o.AddsCustomer {
			return fault.Conflict("newcomer", CodeHasCustomer)
		}
		if err := attests(actor, in.Newcomer); err != nil {
			return err
		}
		in.Newcomer.put(&o.Newcomer)
		var p fault.Problems
		if err := s.fill(ctx, tx, actor, &p, o, in.ResellerID, in.Lines); err != nil {
			return err
		}
		if err := p.Err(); err != nil {
			return err
		}
		if in.Lines != nil {
			fresh := o.Lines
			if err := dropLines(ctx, tx, o); err != nil {
				return fmt.Errorf("replacing lines: %w", err)
			}
			o.Lines = fresh
			if err := insertLines(ctx, tx, o); err != nil {
				return fmt.Errorf("replacing lines: %w", err)
			}
		}
		if err := s.unreview(ctx, tx, o, in.Lines == nil); err != nil {
			return err
		}
		if err := save(ctx, tx, o); err != nil {
			return err
		}
		return s.record(ctx, tx, actor, "order.saved", o, in.fields()...)
	})
}

// fields names what a save is told to change, for the audit.
func (in *SaveInput) fields() []string {
	var out []string
	if in.ResellerID != nil {
		out = append(out, "resellerId")
	}
	if in.Newcomer != nil {
		out = append(out, "newcomer")
	}
	if in.Lines != nil {
		out = append(out, "lines")
	}
	return out
}

// unreview takes the prices back that a review fixed.
func (s *Service) unreview(ctx context.Context, tx *database.Tx, o *Order, lines bool) error {
	if o.ReviewedAt == nil {
		return nil
	}
	o.ReviewedAt, o.Currency = nil, ""
	if !lines {
		return nil
	}
	for _, l := range o.Lines {
		l.UnitPrice, l.Currency = 0, ""
	}
	if err := saveLines(ctx, tx, o.Lines...); err != nil {
		return fmt.Errorf("taking prices back: %w", err)
	}
	return nil
}

// fill puts a reseller and lines into a draft, where they are given, or notes
// what is not there for the actor.
func (s *Service) fill(ctx context.Context, tx *database.Tx, actor access.Actor, p *fault.Problems, o *Order, reseller *ident.ID, in *[]LineInput) error {
	if reseller != nil {
		if *reseller != "" {
			known, err := s.partners.SeenTx(ctx, tx, actor, *reseller)
			if err != nil {
				return err
			}
			if known[*reseller] == nil || *reseller == actor.PartnerID {
				p.Add("resellerId", fault.CodeNotFound)
			}
		}
		o.ResellerID = *reseller
	}
	if in == nil {
		return nil
	}
	ids := make([]ident.ID, 0, len(*in))
	for _, l := range *in {
		ids = append(ids, l.OfferID)
	}
	offers, err := s.offers.OffersTx(ctx, tx, ids)
	if err != nil {
		return err
	}
	o.Lines = nil
	for n, l := range *in {
		offer := offers[l.OfferID]
		if offer == nil {
			p.Add(at(n, "offerId"), fault.CodeNotFound)
			continue
		}
		o.Lines = append(o.Lines, &Line{ID: ident.New(ident.OrderLine), OrderID: o.ID, Number: n + 1, OfferID: l.OfferID, OfferName: offer.Name,
			FriendlyName: deref(l.FriendlyName), Quantity: l.Quantity, Term: l.Term, BillingCycle: l.BillingCycle,
			AutoRenew: (l.AutoRenew == nil || *l.AutoRenew) && !offer.Trial, Status: LineDraft, UpdatedAt: tx.Now})
	}
	return nil
}

// Cancel drops a draft: what it held of a customer and its lines are gone.
// Errors: NOT_FOUND, ROLE_REQUIRED, CONFLICT, ORDER_NOT_DRAFT, ORDER_EXPIRED.
func (s *Service) Cancel(ctx context.Context, actor access.Actor, in CancelInput) (*Order, error) {
	if actor.IsAnonymous() {
		return nil, fault.Unauthenticated()
	}
	return s.change(ctx, actor, in.OrderID, in.ExpectedVersion, func(ctx context.Context, tx *database.Tx, o *Order) error {
		return s.drop(ctx, tx, actor, o, "order.cancelled", "")
	})
}

// drop ends a held draft.
func (s *Service) drop(ctx context.Context, tx *database.Tx, actor access.Actor, o *Order, action, reason string) error {
	if err := dropLines(ctx, tx, o); err != nil {
		return fmt.Errorf("dropping lines: %w", err)
	}
	o.Status, o.StatusReason, o.Newcomer, o.ReviewedAt, o.Currency, o.FinishedAt = Cancelled, reason, Newcomer{}, nil, "", &tx.Now
	if err := save(ctx, tx, o); err != nil {
		return err
	}
	if err := outbox.CancelAbout(ctx, tx, o.ID, Expire{}.Kind()); err != nil {
		return err
	}
	return s.record(ctx, tx, actor, action, o, "status")
}

// change runs fn on a draft that the actor sees, held, in one transaction.
func (s *Service) change(ctx context.Context, actor access.Actor, id ident.ID, version *int, fn func(context.Context, *database.Tx, *Order) error) (*Order, error) {
	var out *Order
	err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		o, err := s.draft(ctx, tx, actor, id, version)
		if err != nil {
			return err
		}
		out = o
		return fn(ctx, tx, o)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// draft reads a draft of the actor's own partner and holds it. Errors:
// NOT_FOUND, ROLE_REQUIRED, ORDER_NOT_DRAFT, ORDER_EXPIRED, CONFLICT.
func (s *Service) draft(ctx context.Context, tx *database.Tx, actor access.Actor, id ident.ID, version *int) (*Order, error) {
	o, err := lock(ctx, tx, actor.Scope(), id)
	if err != nil {
		return nil, fmt.Errorf("reading an order: %w", err)
	}
	if o == nil {
		return nil, fault.NotFound("orderId")
	}
	if err := may(actor, o.AddsCustomer); err != nil {
		return nil, err
	}
	switch {
	case o.SellerID != actor.PartnerID:
		return nil, fault.NotFound("orderId")
	case o.Status != Draft && o.StatusReason == CodeExpired, o.Status == Draft && !o.IsDraft(tx.Now):
		return nil, fault.Conflict("orderId", CodeExpired)
	case o.Status != Draft:
		return nil, fault.Conflict("orderId", CodeNotDraft)
	case version != nil && *version != o.Version:
		return nil, fault.Conflict("expectedVersion", fault.CodeConflict)
	}
	return o, nil
}

// may asks for the right to order, and to add a customer where the order does.
func may(actor access.Actor, adds bool) error {
	if err := actor.Require(access.PermOrderSubmit); err != nil {
		return err
	}
	if adds {
		return actor.Require(access.PermCustomerAdd)
	}
	return nil
}

// attests asks for the right to attest the customer agreement, where an input
// does.
func attests(actor access.Actor, n *NewcomerInput) error {
	if n == nil || n.Agreement == nil {
		return nil
	}
	return actor.Require(access.PermCustomerAgreementAttest)
}

func (s *Service) record(ctx context.Context, tx *database.Tx, actor access.Actor, action string, o *Order, fields ...string) error {
	return audit.Record(ctx, tx, actor, audit.Act{Action: action, TargetID: o.ID, Changed: fields, Reason: o.StatusReason})
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
