package subscription

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/address"
	"github.com/channelgraph/channelgraph/internal/audit"
	"github.com/channelgraph/channelgraph/internal/catalog"
	"github.com/channelgraph/channelgraph/internal/customer"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/event"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/page"
	"github.com/channelgraph/channelgraph/internal/partner"
	"github.com/channelgraph/channelgraph/internal/rollup"
)

// Service performs the verbs on subscriptions.
type Service struct {
	db        *database.DB
	partners  *partner.Service
	customers *customer.Service
	offers    *catalog.Service
	// batch is how many subscriptions one transaction moves on; a field so
	// that tests can cross it.
	batch int
}

// New makes the service and has it told when a relationship with a customer is
// removed, or comes back. The jobs are MoveOn and Scan, of which the last is periodic; Counts
// is for the tree's ledger.
func New(db *database.DB, partners *partner.Service, customers *customer.Service, offers *catalog.Service) *Service {
	s := &Service{db: db, partners: partners, customers: customers, offers: offers, batch: 100}
	customers.OnRemoved(s.removed)
	customers.OnReturned(s.returned)
	return s
}

// ---- Changing

// ledger collects what a transaction does to subscriptions, to be written at
// its end in a few statements.
type ledger struct {
	tx    *database.Tx
	actor access.Actor
	// sales are by how much the counts of what was sold through a pair, or by
	// a seller alone, change.
	sales   map[sale]rollup.Delta
	counts  rollup.Changes
	events  []*Event
	touched map[ident.ID]*Subscription
}

// sale is who sold to whom.
type sale struct{ seller, reseller, customer ident.ID }

func newLedger(tx *database.Tx, actor access.Actor) *ledger {
	return &ledger{tx: tx, actor: actor, sales: map[sale]rollup.Delta{}, counts: rollup.Changes{}, touched: map[ident.ID]*Subscription{}}
}

// note takes note of what happened to a subscription, as it is afterwards;
// before is as it was.
func (l *ledger) note(before Subscription, s *Subscription, e Event) {
	by := sale{s.SellerID, s.ResellerID, s.CustomerID}
	l.sales[by] = l.sales[by].Plus(s.weight()).Minus(before.weight())
	e.ID, e.SubscriptionID, e.ActorID = ident.New(ident.SubscriptionEvent), s.ID, l.actor.UserID
	s.EventCount++
	e.Number = s.EventCount
	e.Status, e.Quantity, e.UnitPrice, e.Currency = s.Status, s.Quantity, s.UnitPrice, s.Currency
	if e.At.IsZero() {
		e.At = l.tx.Now
	}
	l.events = append(l.events, &e)
	l.touched[s.ID] = s
}

// weight is what the subscription comes to on the tree.
func (s *Subscription) weight() rollup.Delta {
	if !s.Status.Lives() {
		return rollup.Delta{}
	}
	return rollup.Delta{Subscriptions: 1, Seats: int64(s.Quantity)}
}

// through are the keys at which a reseller's part of a sale counts, while it
// has the customer.
func (s *Subscription) through() []rollup.Key {
	return []rollup.Key{rollup.Of(s.ResellerID), rollup.Pair(s.SellerID, s.ResellerID)}
}

// reckon puts what sales changed into the counts: a sale counts for who sells
// as long as it lasts, for who it was sold through while it has the customer.
// The subscriptions are held, so that a removal waits or is over.
func (s *Service) reckon(ctx context.Context, l *ledger) error {
	maps.DeleteFunc(l.sales, func(_ sale, d rollup.Delta) bool { return d == rollup.Delta{} })
	has, err := related(ctx, l.tx, slices.Collect(maps.Keys(l.sales)))
	if err != nil {
		return fmt.Errorf("reading who has a customer: %w", err)
	}
	for of, d := range l.sales {
		if !has[of] {
			of.reseller = ""
		}
		l.counts.Add(d, rollup.Sale(of.seller, of.reseller)...)
	}
	return l.counts.Write(ctx, l.tx)
}

// write saves the subscriptions, their history, the counts on the tree, and
// wakes those who watch.
func (s *Service) write(ctx context.Context, l *ledger) error {
	if len(l.touched) == 0 {
		return l.counts.Write(ctx, l.tx)
	}
	var parties []ident.ID
	for _, id := range slices.Sorted(maps.Keys(l.touched)) {
		x := l.touched[id]
		if err := save(ctx, l.tx, x); err != nil {
			return err
		}
		parties = append(parties, x.SellerID, x.ResellerID, x.SupportContactID)
	}
	if err := insertEvents(ctx, l.tx, l.events); err != nil {
		return fmt.Errorf("writing the history of subscriptions: %w", err)
	}
	if err := s.reckon(ctx, l); err != nil {
		return err
	}
	slices.Sort(parties)
	ps, err := s.partners.Load(ctx, l.tx, slices.Compact(parties)...)
	if err != nil {
		return err
	}
	for _, id := range slices.Sorted(maps.Keys(l.touched)) {
		x := l.touched[id]
		l.tx.Tell("subscription.changed", x.ID)
		watchers := []ident.ID{x.OrganizationID}
		for _, p := range []ident.ID{x.SellerID, x.ResellerID, x.SupportContactID} {
			if p := ps[p]; p != nil && !slices.Contains(watchers, p.OrganizationID) {
				watchers = append(watchers, p.OrganizationID)
			}
		}
		if err := event.RecordAll(ctx, l.tx, event.SubscriptionChanged, x.ID, watchers...); err != nil {
			return err
		}
	}
	return nil
}

// hold asks what stands against an act while the customer is held against
// changes of its relationships.
type hold func(ctx context.Context, tx *database.Tx, s *Subscription) error

// act is what a verb of a person does.
type act struct {
	permission access.Permission
	// action is what the audit calls it.
	action  string
	id      ident.ID
	version *int
	changed []string
	// hold is nil where relationships do not matter.
	hold hold
	// do changes the subscription and says what happened; with a kind of ""
	// nothing did.
	do func(tx *database.Tx, s *Subscription, o *catalog.Offer) (EventKind, string, error)
}

// change performs an act of the seller's people. The customer is held before
// the subscription, as where a relationship is removed.
func (s *Service) change(ctx context.Context, actor access.Actor, a act) (*Subscription, error) {
	if actor.IsAnonymous() {
		return nil, fault.Unauthenticated()
	}
	var out *Subscription
	err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		found, err := byIDs(ctx, tx, actor.Scope(), []ident.ID{a.id})
		if err != nil {
			return err
		}
		x := found[a.id]
		switch {
		case x == nil:
			return fault.NotFound("subscriptionId")
		case !actor.Can(a.permission):
			return actor.Require(a.permission)
		case x.SellerID != actor.PartnerID && !actor.IsSystem(): // nobody else has the permission
			return fault.Forbidden(fault.CodeRoleRequired, "permission", string(a.permission))
		}
		if a.hold != nil {
			if err := a.hold(ctx, tx, x); err != nil {
				return err
			}
		}
		if x, err = lock(ctx, tx, actor.Scope(), a.id); err != nil {
			return err
		}
		if x == nil {
			return fault.NotFound("subscriptionId")
		}
		if a.version != nil && *a.version != x.Version {
			return fault.Conflict("expectedVersion", fault.CodeConflict)
		}
		o, err := s.offers.OfferTx(ctx, tx, x.OfferID)
		if err != nil {
			return err
		}
		before := *x
		kind, reason, err := a.do(tx, x, o)
		if err != nil {
			return err
		}
		if out = x; kind == "" {
			return nil
		}
		l := newLedger(tx, actor)
		l.note(before, x, Event{Kind: kind, Reason: reason})
		if err := s.write(ctx, l); err != nil {
			return err
		}
		return audit.Record(ctx, tx, actor, audit.Act{Action: a.action, TargetID: x.ID, TargetOrganizationID: x.OrganizationID, Changed: a.changed})
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// sale asks whether the seller may do new business with the customer.
func (s *Service) sale(ctx context.Context, tx *database.Tx, x *Subscription) error {
	refusals, err := s.customers.Guard(ctx, tx, customer.Sale{SellerID: x.SellerID, ResellerID: x.ResellerID, CustomerID: x.CustomerID})
	if err != nil {
		return err
	}
	return customer.Refused("subscriptionId", refusals)
}

// AddLicences raises the licences of a subscription to a number, at the price
// of its term, at any time. Errors: NOT_FOUND, ROLE_REQUIRED,
// CONFLICT, SUBSCRIPTION_STATE, QUANTITY_NOT_HIGHER, QUANTITY_TOO_HIGH, and at
// subscriptionId what stands against the sale.
func (s *Service) AddLicences(ctx context.Context, actor access.Actor, in QuantityInput) (*Subscription, error) {
	return s.change(ctx, actor, act{permission: access.PermSubscriptionManage, action: "subscription.licences_added", id: in.SubscriptionID,
		version: in.ExpectedVersion, changed: []string{"quantity"}, hold: s.sale,
		do: func(tx *database.Tx, x *Subscription, o *catalog.Offer) (EventKind, string, error) {
			return EventAdded, "", x.add(in.Quantity, o, tx.Now)
		}})
}

// ReduceLicences lowers the licences of a subscription to a number: those that
// were bought, renewed or added within seven days. Errors: NOT_FOUND,
// ROLE_REQUIRED, CONFLICT, SUBSCRIPTION_STATE,
// QUANTITY_NOT_LOWER, QUANTITY_TOO_LOW, WINDOW_CLOSED.
func (s *Service) ReduceLicences(ctx context.Context, actor access.Actor, in QuantityInput) (*Subscription, error) {
	return s.change(ctx, actor, act{permission: access.PermSubscriptionManage, action: "subscription.licences_reduced", id: in.SubscriptionID,
		version: in.ExpectedVersion, changed: []string{"quantity"},
		do: func(tx *database.Tx, x *Subscription, o *catalog.Offer) (EventKind, string, error) {
			return EventReduced, "", x.reduce(in.Quantity, o, tx.Now)
		}})
}

// Cancel ends a subscription within seven days of its purchase or renewal.
// Errors: NOT_FOUND, ROLE_REQUIRED, CONFLICT, SUBSCRIPTION_STATE,
// WINDOW_CLOSED.
func (s *Service) Cancel(ctx context.Context, actor access.Actor, in TargetInput) (*Subscription, error) {
	return s.change(ctx, actor, act{permission: access.PermSubscriptionManage, action: "subscription.cancelled", id: in.SubscriptionID,
		version: in.ExpectedVersion, changed: []string{"status"},
		do: func(tx *database.Tx, x *Subscription, _ *catalog.Offer) (EventKind, string, error) {
			return EventCancelled, ReasonWithdrawn, x.cancel(tx.Now)
		}})
}

// Suspend stops a subscription until it is reactivated; its term goes on.
// Errors: NOT_FOUND, ROLE_REQUIRED, CONFLICT, SUBSCRIPTION_STATE.
func (s *Service) Suspend(ctx context.Context, actor access.Actor, in TargetInput) (*Subscription, error) {
	return s.change(ctx, actor, act{permission: access.PermSubscriptionManage, action: "subscription.suspended", id: in.SubscriptionID,
		version: in.ExpectedVersion, changed: []string{"status"},
		do: func(tx *database.Tx, x *Subscription, _ *catalog.Offer) (EventKind, string, error) {
			return EventSuspended, ReasonSeller, x.suspend(tx.Now, ReasonSeller)
		}})
}

// Reactivate takes a suspended subscription up again in its term, an expired
// or disabled one with a new term at today's price. Errors: NOT_FOUND,
// ROLE_REQUIRED, CONFLICT, SUBSCRIPTION_STATE, and at
// subscriptionId TRIAL_NOT_RENEWABLE, OFFER_RETIRED,
// OFFER_NOT_SOLD_IN_COUNTRY, TERM_NOT_OFFERED and what stands against the
// sale.
func (s *Service) Reactivate(ctx context.Context, actor access.Actor, in TargetInput) (*Subscription, error) {
	return s.change(ctx, actor, act{permission: access.PermSubscriptionManage, action: "subscription.reactivated", id: in.SubscriptionID,
		version: in.ExpectedVersion, changed: []string{"status"}, hold: s.sale,
		do: func(tx *database.Tx, x *Subscription, o *catalog.Offer) (EventKind, string, error) {
			if err := x.reactivate(o, tx.Now); err != nil {
				return "", "", err
			}
			return EventTakenUp, "", s.planned(ctx, tx, x)
		}})
}

// SetAutoRenew says whether a subscription is renewed at its term's end.
// Errors: NOT_FOUND, ROLE_REQUIRED, CONFLICT, SUBSCRIPTION_STATE,
// TRIAL_NOT_RENEWABLE, OFFER_RETIRED, OFFER_NOT_SOLD_IN_COUNTRY,
// TERM_NOT_OFFERED.
func (s *Service) SetAutoRenew(ctx context.Context, actor access.Actor, in AutoRenewInput) (*Subscription, error) {
	return s.change(ctx, actor, act{permission: access.PermSubscriptionManage, action: "subscription.auto_renew_set", id: in.SubscriptionID,
		version: in.ExpectedVersion, changed: []string{"autoRenew"},
		do: func(_ *database.Tx, x *Subscription, o *catalog.Offer) (EventKind, string, error) {
			if err := x.setAutoRenew(in.AutoRenew, o); err != nil || in.AutoRenew {
				return EventRenewal, "", err
			}
			return EventRenewal, ReasonNoRenewal, nil
		}})
}

// Rename gives a subscription a friendly name. Errors: what is wrong with the
// input, NOT_FOUND, ROLE_REQUIRED, CONFLICT, SUBSCRIPTION_STATE.
func (s *Service) Rename(ctx context.Context, actor access.Actor, in RenameInput) (*Subscription, error) {
	if err := in.Validate(); err != nil {
		return nil, err
	}
	return s.change(ctx, actor, act{permission: access.PermSubscriptionManage, action: "subscription.renamed", id: in.SubscriptionID,
		version: in.ExpectedVersion, changed: []string{"friendlyName"},
		do: func(_ *database.Tx, x *Subscription, _ *catalog.Offer) (EventKind, string, error) {
			if err := x.may(VerbRename); err != nil || x.FriendlyName == *in.FriendlyName {
				return "", "", err
			}
			x.FriendlyName = *in.FriendlyName
			x.NameFolded = foldName(x)
			return EventRenamed, "", nil
		}})
}

func foldName(s *Subscription) string {
	if s.FriendlyName != "" {
		return address.Fold(s.FriendlyName)
	}
	return address.Fold(s.OfferName)
}

// AssociateReseller gives a reseller of the seller, who is related to the
// customer, the credit for a subscription whose offer is eligible; it gives no
// rights. Errors: NOT_FOUND at subscriptionId or resellerId, ROLE_REQUIRED,
// CONFLICT, SUBSCRIPTION_STATE, and at resellerId
// OFFER_NOT_ELIGIBLE and what would stand against a sale through it, such as
// RESELLER_AGREEMENT_NOT_SIGNED, PARTNERSHIP_MISSING, RESELLER_NOT_RELATED.
func (s *Service) AssociateReseller(ctx context.Context, actor access.Actor, in AssociateInput) (*Subscription, error) {
	var to ident.ID
	if in.ResellerID != nil {
		to = *in.ResellerID
	}
	held, err := s.known(ctx, actor, "resellerId", to, func(ctx context.Context, tx *database.Tx, x *Subscription) error {
		refusals, err := s.customers.Guard(ctx, tx, customer.Sale{SellerID: x.SellerID, ResellerID: to, CustomerID: x.CustomerID})
		if err != nil {
			return err
		}
		return customer.Refused("resellerId", refusals)
	})
	if err != nil {
		return nil, err
	}
	return s.change(ctx, actor, act{permission: access.PermSubscriptionAssociate, action: "subscription.reseller_associated", id: in.SubscriptionID,
		version: in.ExpectedVersion, changed: []string{"associatedReseller"}, hold: held,
		do: func(_ *database.Tx, x *Subscription, o *catalog.Offer) (EventKind, string, error) {
			if err := x.may(VerbAssociate); err != nil || x.AssociatedResellerID == to {
				return "", "", err
			}
			if to != "" && !o.IncentiveEligible {
				return "", "", fault.Conflict("resellerId", CodeNotEligible)
			}
			x.AssociatedResellerID = to
			return EventAssociated, "", nil
		}})
}

// DesignateSupportContact makes a reseller that is related to the customer the
// support contact of a subscription, or the seller again. Errors: NOT_FOUND at
// subscriptionId or partnerId, ROLE_REQUIRED, CONFLICT,
// SUBSCRIPTION_STATE, and at partnerId RESELLER_REQUIRED, PARTNER_NOT_RELATED.
func (s *Service) DesignateSupportContact(ctx context.Context, actor access.Actor, in DesignateInput) (*Subscription, error) {
	var to ident.ID
	if in.PartnerID != nil {
		to = *in.PartnerID
	}
	held, err := s.known(ctx, actor, "partnerId", to, func(ctx context.Context, tx *database.Tx, x *Subscription) error {
		if to == x.SellerID {
			return nil
		}
		if _, err := s.customers.LoadTx(ctx, tx, access.System("subscription"), x.CustomerID); err != nil {
			return err
		}
		r, err := s.customers.RelationTx(ctx, tx, x.CustomerID, to)
		switch {
		case err != nil:
			return err
		case !r.Active():
			return fault.Conflict("partnerId", CodeNotRelated)
		case r.Kind != customer.AsReseller:
			return fault.Conflict("partnerId", CodeNotReseller)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s.change(ctx, actor, act{permission: access.PermSubscriptionDesignate, action: "subscription.support_contact_designated", id: in.SubscriptionID,
		version: in.ExpectedVersion, changed: []string{"supportContact"}, hold: held,
		do: func(_ *database.Tx, x *Subscription, _ *catalog.Offer) (EventKind, string, error) {
			fresh := to
			if fresh == "" {
				fresh = x.SellerID
			}
			if err := x.may(VerbDesignate); err != nil || x.SupportContactID == fresh {
				return "", "", err
			}
			x.SupportContactID = fresh
			return EventDesignated, "", nil
		}})
}

// known has a partner be one that the actor sees before anything else is asked
// of it; others are NOT_FOUND, whether they are there or not.
func (s *Service) known(ctx context.Context, actor access.Actor, path string, id ident.ID, then hold) (hold, error) {
	if id == "" {
		return nil, nil
	}
	seen, err := s.partners.ByIDs(ctx, actor, []ident.ID{id})
	if err != nil {
		return nil, err
	}
	if seen[id] == nil {
		then = func(context.Context, *database.Tx, *Subscription) error { return fault.NotFound(path) }
	}
	return then, nil
}

// ---- Reading

// ByIDs reads subscriptions inside the actor's reach; hidden ones are missing.
func (s *Service) ByIDs(ctx context.Context, actor access.Actor, ids []ident.ID) (map[ident.ID]*Subscription, error) {
	if !actor.Can(access.PermSubscriptionRead) {
		return map[ident.ID]*Subscription{}, nil
	}
	return byIDs(ctx, s.db.Read(), actor.Scope(), ids)
}

// ByLines reads subscriptions by the order lines that bought them; hidden ones
// are missing.
func (s *Service) ByLines(ctx context.Context, actor access.Actor, lines []ident.ID) (map[ident.ID]*Subscription, error) {
	if !actor.Can(access.PermSubscriptionRead) {
		return map[ident.ID]*Subscription{}, nil
	}
	return byLines(ctx, s.db.Read(), actor.Scope(), lines)
}

// List is a page of the subscriptions that the actor sees. Error:
// ROLE_REQUIRED.
func (s *Service) List(ctx context.Context, actor access.Actor, args page.Args, o *Order, f Filter) (*page.Connection[*Subscription], error) {
	if err := actor.Require(access.PermSubscriptionRead); err != nil {
		return nil, err
	}
	pq, err := args.Resolve(o.resolve(), f)
	if err != nil {
		return nil, err
	}
	return list(ctx, s.db, actor.Scope(), pq, f)
}

// OfCustomers is the first page of the subscriptions of each of some
// customers, as far as the actor sees them, in one statement for all; its
// cursors are those of List with the customer in the filter. Without the right
// to read them the pages are empty. The arguments must have no cursor. Nothing
// but what is shown is filled in, beside whose each of them is.
func (s *Service) OfCustomers(ctx context.Context, actor access.Actor, customers []ident.ID, args page.Args, o *Order, f Filter, show database.Shown) (map[ident.ID]*page.Connection[*Subscription], error) {
	out := make(map[ident.ID]*page.Connection[*Subscription], len(customers))
	rows := map[ident.ID][]*Subscription{}
	for i, id := range customers {
		f.CustomerID = &id
		pq, err := args.Resolve(o.resolve(), f)
		if err != nil {
			return nil, err
		}
		if i == 0 && actor.Can(access.PermSubscriptionRead) {
			all := f
			all.CustomerID = nil
			if rows, err = firsts(ctx, s.db, actor.Scope(), customers, pq, all, show); err != nil {
				return nil, err
			}
		}
		one := f // whose customer is this one
		out[id] = page.Build(pq, rows[id], key(pq), func(ctx context.Context) (int, error) {
			if !actor.Can(access.PermSubscriptionRead) {
				return 0, nil
			}
			return count(ctx, s.db, actor.Scope(), one)
		})
	}
	return out, nil
}

// OpenOfPairs counts, by partnership, what its two sides sold together and is
// not over, pending or expired ones too: what stands in the way of ending it
// (spec section 3). Partnerships that the actor does not see are missing.
func (s *Service) OpenOfPairs(ctx context.Context, actor access.Actor, partnerships []ident.ID) (map[ident.ID]int, error) {
	if !actor.Can(access.PermPartnershipRead) {
		return map[ident.ID]int{}, nil
	}
	return openOfPairs(ctx, s.db.Read(), actor.Scope(), partnerships)
}

// SupportsTx reports whether the actor's company is the support contact of
// something that a customer has and that is not over.
func (s *Service) SupportsTx(ctx context.Context, tx *database.Tx, actor access.Actor, customer ident.ID) (bool, error) {
	if actor.PartnerID == "" {
		return false, nil
	}
	return supports(ctx, tx, actor.PartnerID, customer)
}

// CountsOf are the subscriptions and seats of some customers, as far as the
// actor sees them; customers without any are missing.
func (s *Service) CountsOf(ctx context.Context, actor access.Actor, customers []ident.ID) (map[ident.ID]rollup.Delta, error) {
	if !actor.Can(access.PermSubscriptionRead) {
		return map[ident.ID]rollup.Delta{}, nil
	}
	return sums(ctx, s.db.Read(), actor.Scope(), customers)
}

// History is a page of what happened to a subscription, the newest first; an
// empty one of what the actor does not see. Error: ROLE_REQUIRED.
func (s *Service) History(ctx context.Context, actor access.Actor, id ident.ID, args page.Args, f EventFilter) (*page.Connection[*Event], error) {
	if err := actor.Require(access.PermSubscriptionRead); err != nil {
		return nil, err
	}
	pq, err := args.Resolve(page.Order{Name: "NUMBER", Column: "subscription_event.number", Sort: page.SortInt, Direction: page.Desc}, []any{id, f})
	if err != nil {
		return nil, err
	}
	return listEvents(ctx, s.db, actor.Scope(), pq, id, f)
}
