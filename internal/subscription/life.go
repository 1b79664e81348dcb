package subscription

import (
	"fmt"
	"slices"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/catalog"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
)

// Verb is what somebody does to a subscription, or what falls due.
type Verb string

// Verbs. The last two fall due.
const (
	VerbActivate   Verb = "activate"
	VerbAbandon    Verb = "abandon"
	VerbAdd        Verb = "add"
	VerbReduce     Verb = "reduce"
	VerbCancel     Verb = "cancel"
	VerbSuspend    Verb = "suspend"
	VerbReactivate Verb = "reactivate"
	VerbAutoRenew  Verb = "auto_renew"
	VerbRename     Verb = "rename"
	VerbAssociate  Verb = "associate"
	VerbDesignate  Verb = "designate"
	VerbTermEnds   Verb = "term_ends"
	VerbTimeEnds   Verb = "time_ends"
)

// table says in which states a verb has a meaning.
var table = map[Verb][]Status{
	VerbActivate:   {Pending},
	VerbAbandon:    {Pending},
	VerbAdd:        {Active},
	VerbReduce:     {Active},
	VerbCancel:     {Active, Suspended},
	VerbSuspend:    {Active},
	VerbReactivate: {Suspended, Expired, Disabled},
	VerbAutoRenew:  {Active, Suspended},
	VerbRename:     {Pending, Active, Suspended, Expired, Disabled},
	VerbAssociate:  {Pending, Active, Suspended, Expired},
	VerbDesignate:  {Pending, Active, Suspended, Expired, Disabled},
	VerbTermEnds:   {Active, Suspended},
	VerbTimeEnds:   {Expired, Disabled},
}

// May reports whether a verb has a meaning in the state.
func (s Status) May(v Verb) bool { return slices.Contains(table[v], s) }

// Shows reports whether a viewer who sees the subscription may know a partner
// that has to do with it: the seller and the operator know all of them, the
// customer those that sell and support, and everybody else themselves and the
// seller, since resellers of one seller do not know of each other.
func (s *Subscription) Shows(viewer access.Actor, id ident.ID) bool {
	switch {
	case id == "":
		return false
	case viewer.Scope().All(), id == s.SellerID, viewer.PartnerID != "" && (viewer.PartnerID == s.SellerID || viewer.PartnerID == id):
		return true
	}
	return viewer.OrganizationID == s.OrganizationID && (id == s.ResellerID || id == s.SupportContactID)
}

// may is SUBSCRIPTION_STATE, with the state, where a verb has no meaning.
func (s *Subscription) may(v Verb) error {
	if s.Status.May(v) {
		return nil
	}
	return fault.Conflict("subscriptionId", CodeStatusForbids, "status", string(s.Status))
}

// DayOf is the day of a moment: its midnight in UTC.
func DayOf(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour) }

// AddMonths is the same day some months later, or the last of that month where
// it has no such day. Terms are always counted from their anchor, so that one
// that began on the 31st comes back to it after a shorter month.
func AddMonths(day time.Time, months int) time.Time {
	y, m, d := day.Date()
	first := time.Date(y, m+time.Month(months), 1, 0, 0, 0, 0, time.UTC)
	last := first.AddDate(0, 1, -1).Day()
	return first.AddDate(0, 0, min(d, last)-1)
}

// begin starts a term with the day of a moment, as a purchase does.
func (s *Subscription) begin(now time.Time, price catalog.Money) {
	day := DayOf(now)
	s.AnchorAt, s.TermsDone = &day, 0
	s.term(day, price)
	s.Additions = []Addition{{s.Quantity, now.Add(Window)}}
}

// term sets the bounds and price of the present term.
func (s *Subscription) term(start time.Time, price catalog.Money) {
	end := AddMonths(*s.AnchorAt, (s.TermsDone+1)*s.Term.Months())
	s.TermStartedAt, s.CommitmentEndsAt = &start, &end
	s.UnitPrice, s.Currency = price.Amount, price.Currency
	s.enter(Active, "", start)
}

// enter puts the subscription into a state at a moment, and plans what falls
// due next.
func (s *Subscription) enter(to Status, reason string, at time.Time) {
	s.Status, s.StatusReason = to, reason
	s.SuspendedAt, s.ExpiredAt, s.DisabledAt = nil, nil, nil
	switch to {
	case Suspended:
		s.SuspendedAt = &at
	case Expired:
		s.ExpiredAt = &at
	case Disabled:
		s.DisabledAt = &at
	case Cancelled:
		s.CancelledAt, s.Additions = &at, []Addition{}
	case Pending, Active:
	}
	s.NextActionAt = s.next()
}

// next is when something falls due, nil for never.
func (s *Subscription) next() *time.Time {
	var at time.Time
	switch s.Status {
	case Active, Suspended:
		return s.CommitmentEndsAt
	case Expired:
		at = s.ExpiredAt.AddDate(0, 0, GraceDays)
	case Disabled:
		at = s.DisabledAt.AddDate(0, 0, RetentionDays)
	case Pending, Cancelled:
		return nil
	}
	return &at
}

// Reducible is how many licences can be given back at now.
func (s *Subscription) Reducible(now time.Time) int {
	n := 0
	for _, a := range s.Additions {
		if now.Before(a.Until) {
			n += a.Quantity
		}
	}
	return min(n, s.Quantity)
}

// Cancellable reports whether the subscription can be cancelled at now: all of
// it can be given back.
func (s *Subscription) Cancellable(now time.Time) bool {
	return s.Status.May(VerbCancel) && s.Reducible(now) >= s.Quantity
}

// WindowEndsAt is until when something can be given back; nil where nothing
// can at now.
func (s *Subscription) WindowEndsAt(now time.Time) *time.Time {
	var out *time.Time
	for _, a := range s.Additions {
		if now.Before(a.Until) && (out == nil || a.Until.After(*out)) && s.Status.May(VerbCancel) {
			out = &a.Until
		}
	}
	return out
}

// fresh is the subscription that a purchase makes, not provisioned yet.
func (p Purchase) fresh(id ident.ID, at time.Time) *Subscription {
	x := &Subscription{ID: id, CustomerID: p.CustomerID, OrganizationID: p.OrganizationID, SellerID: p.SellerID,
		ResellerID: p.ResellerID, OrderLineID: p.OrderLineID, Country: p.Country, OfferID: p.OfferID, OfferName: p.OfferName, FriendlyName: p.FriendlyName,
		Quantity: p.Quantity, Term: p.Term, BillingCycle: p.BillingCycle, UnitPrice: p.UnitPrice.Amount, Currency: p.UnitPrice.Currency,
		AutoRenew: p.AutoRenew, Status: Pending, Additions: []Addition{}, AssociatedResellerID: p.AssociatedResellerID,
		SupportContactID: p.SupportContactID, EventCount: 1, Version: 1, CreatedAt: at, UpdatedAt: at}
	if x.SupportContactID == "" {
		x.SupportContactID = x.SellerID
	}
	x.NameFolded = foldName(x)
	return x
}

// Standing is a subscription that was provisioned at a moment and stands at
// now as if nobody had touched it since, its terms renewed at one price, with
// the line of history that its life began with. It is for generated worlds,
// which were not lived through.
func Standing(id, event ident.ID, p Purchase, at, now time.Time) (*Subscription, *Event, error) {
	x := p.fresh(id, at)
	if err := x.activate(at); err != nil {
		return nil, nil, err
	}
	for !now.Before(*x.CommitmentEndsAt) {
		start := *x.CommitmentEndsAt
		x.TermsDone++
		x.term(start, x.Price())
	}
	x.forget(now)
	return x, &Event{ID: event, SubscriptionID: x.ID, Number: 1, Kind: EventActivated, At: at, Status: x.Status, Quantity: x.Quantity,
		UnitPrice: x.UnitPrice, Currency: x.Currency}, nil
}

// activate begins the life of what was provisioned.
func (s *Subscription) activate(now time.Time) error {
	if err := s.may(VerbActivate); err != nil {
		return err
	}
	s.PurchasedAt = &now
	s.begin(now, s.Price())
	return nil
}

// abandon ends what was never provisioned.
func (s *Subscription) abandon(now time.Time, reason string) error {
	if err := s.may(VerbAbandon); err != nil {
		return err
	}
	s.enter(Cancelled, reason, now)
	return nil
}

// add raises the licences to a number, at the term's price.
func (s *Subscription) add(to int, o *catalog.Offer, now time.Time) error {
	if err := s.may(VerbAdd); err != nil {
		return err
	}
	switch {
	case to <= s.Quantity:
		return fault.Invalid("quantity", CodeNotMore, "count", fmt.Sprint(s.Quantity))
	case to > o.MaxQuantity:
		return fault.Invalid("quantity", catalog.CodeQuantityHigh, "max", fmt.Sprint(o.MaxQuantity))
	}
	s.forget(now)
	s.Additions = append(s.Additions, Addition{to - s.Quantity, now.Add(Window)})
	s.Quantity = to
	return nil
}

// reduce lowers the licences to a number: what was added last is given back
// where its window is open.
func (s *Subscription) reduce(to int, o *catalog.Offer, now time.Time) error {
	if err := s.may(VerbReduce); err != nil {
		return err
	}
	back := s.Quantity - to
	switch least := max(o.MinQuantity, 1); {
	case back <= 0:
		return fault.Invalid("quantity", CodeNotFewer, "count", fmt.Sprint(s.Quantity))
	case to < least:
		return fault.Invalid("quantity", catalog.CodeQuantityLow, "min", fmt.Sprint(least))
	case back > s.Reducible(now):
		return fault.Conflict("quantity", CodeWindowClosed, "count", fmt.Sprint(s.Reducible(now)))
	}
	s.forget(now)
	for i := range s.Additions { // those that could not be given back soonest
		n := min(back, s.Additions[i].Quantity)
		s.Additions[i].Quantity -= n
		back -= n
	}
	s.Additions = slices.DeleteFunc(s.Additions, func(a Addition) bool { return a.Quantity == 0 })
	s.Quantity = to
	return nil
}

// forget drops what can no longer be given back.
func (s *Subscription) forget(now time.Time) {
	s.Additions = slices.DeleteFunc(slices.Clone(s.Additions), func(a Addition) bool { return !now.Before(a.Until) })
}

// cancel ends a subscription inside its window.
func (s *Subscription) cancel(now time.Time) error {
	if err := s.may(VerbCancel); err != nil {
		return err
	}
	if !s.Cancellable(now) {
		return fault.Conflict("subscriptionId", CodeWindowClosed, "count", fmt.Sprint(s.Reducible(now)))
	}
	s.enter(Cancelled, ReasonWithdrawn, now)
	return nil
}

// suspend stops a subscription; its term goes on.
func (s *Subscription) suspend(now time.Time, reason string) error {
	if err := s.may(VerbSuspend); err != nil {
		return err
	}
	s.enter(Suspended, reason, now)
	return nil
}

// reactivate takes a subscription up again: a suspended one in its term, an
// expired or disabled one with a new term at today's price.
func (s *Subscription) reactivate(o *catalog.Offer, now time.Time) error {
	if err := s.may(VerbReactivate); err != nil {
		return err
	}
	if s.Status == Suspended {
		s.enter(Active, "", now)
		return nil
	}
	price, code := s.renewalPrice(o)
	if code != "" {
		return fault.Conflict("subscriptionId", code)
	}
	s.begin(now, price)
	return nil
}

// renewalPrice is what a licence costs in another term; otherwise the code of
// why there is none.
func (s *Subscription) renewalPrice(o *catalog.Offer) (catalog.Money, string) {
	if o.Trial {
		return catalog.Money{}, ReasonTrial
	}
	return catalog.PriceFor(o, s.Country, s.Term, s.BillingCycle)
}

// setAutoRenew says what becomes of the subscription at its term's end.
func (s *Subscription) setAutoRenew(on bool, o *catalog.Offer) error {
	if err := s.may(VerbAutoRenew); err != nil {
		return err
	}
	if on && !s.AutoRenew {
		if _, code := s.renewalPrice(o); code != "" {
			return fault.Conflict("subscriptionId", code)
		}
	}
	s.AutoRenew = on
	return nil
}

// due performs what fell due at NextActionAt, as of that moment, and tells
// what it was and the code of why. A subscription is renewed at the price of
// the day; it expires where it is not to be, or cannot be, renewed. One that
// is suspended when its term ends has no grace.
func (s *Subscription) due(o *catalog.Offer) (EventKind, string) {
	at := *s.NextActionAt
	switch s.Status {
	case Active:
		price, code := s.renewalPrice(o)
		if code == "" && !s.AutoRenew {
			code = ReasonNoRenewal
		}
		if code == "" {
			s.TermsDone++
			s.term(at, price)
			s.Additions = []Addition{{s.Quantity, at.Add(Window)}}
			return EventRenewed, ""
		}
		s.enter(Expired, code, at)
		return EventExpired, code
	case Suspended:
		s.enter(Disabled, ReasonSuspended, at)
		return EventDisabled, ReasonSuspended
	case Expired:
		s.enter(Disabled, s.StatusReason, at)
		return EventDisabled, ""
	case Disabled:
		s.enter(Cancelled, ReasonTimeOver, at)
		return EventDeleted, ReasonTimeOver
	case Pending, Cancelled: // nothing ever falls due
	}
	s.NextActionAt = nil
	return "", ""
}
