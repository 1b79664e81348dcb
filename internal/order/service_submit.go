package order

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/address"
	"github.com/channelgraph/channelgraph/internal/audit"
	"github.com/channelgraph/channelgraph/internal/catalog"
	"github.com/channelgraph/channelgraph/internal/customer"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/internal/region"
	"github.com/channelgraph/channelgraph/internal/secret"
	"github.com/channelgraph/channelgraph/internal/subscription"
)

// Review judges a draft as a whole and fixes its prices: what it says is what
// submitting it does, unless something changes in between. All that stands
// against it comes back together. Errors: NOT_FOUND, ROLE_REQUIRED, CONFLICT,
// ORDER_NOT_DRAFT, ORDER_EXPIRED, what is wrong with the customer to add at
// newcomer, the refusals of the scenario, ORDER_LINES_REQUIRED at lines, and
// at lines those of the catalogue and PREREQUISITE_MISSING.
func (s *Service) Review(ctx context.Context, actor access.Actor, in ReviewInput) (*Order, error) {
	if actor.IsAnonymous() {
		return nil, fault.Unauthenticated()
	}
	return s.change(ctx, actor, in.OrderID, in.ExpectedVersion, func(ctx context.Context, tx *database.Tx, o *Order) error {
		offers, err := s.offersOf(ctx, tx, o)
		if err != nil {
			return err
		}
		var p fault.Problems
		country, err := s.checkCustomer(ctx, tx, actor, &p, o, offers)
		if err != nil {
			return err
		}
		if err := s.price(ctx, tx, &p, o, offers, country); err != nil {
			return err
		}
		if err := p.Err(); err != nil {
			return err
		}
		o.ReviewedAt, o.Currency = &tx.Now, o.Lines[0].Currency
		if err := saveLines(ctx, tx, o.Lines...); err != nil {
			return fmt.Errorf("fixing prices: %w", err)
		}
		if err := save(ctx, tx, o); err != nil {
			return err
		}
		return s.record(ctx, tx, actor, "order.reviewed", o, "reviewedAt")
	})
}

func (s *Service) offersOf(ctx context.Context, tx *database.Tx, o *Order) (map[ident.ID]*catalog.Offer, error) {
	return s.offers.OffersTx(ctx, tx, offered(o))
}

// offersIn is offersOf with what the offers cost in one country alone.
func (s *Service) offersIn(ctx context.Context, tx *database.Tx, o *Order, country string) (map[ident.ID]*catalog.Offer, error) {
	return s.offers.OffersInTx(ctx, tx, offered(o), country)
}

func offered(o *Order) []ident.ID {
	ids := make([]ident.ID, 0, len(o.Lines))
	for _, l := range o.Lines {
		ids = append(ids, l.OfferID)
	}
	return ids
}

// price fixes the prices of a held order's lines for a country, "" for one
// that is not known yet.
func (s *Service) price(ctx context.Context, tx *database.Tx, p *fault.Problems, o *Order, offers map[ident.ID]*catalog.Offer, country string) error {
	if len(o.Lines) > 0 && country == "" {
		return nil
	}
	var owned []string
	if o.CustomerID != "" && slices.ContainsFunc(o.Lines, func(l *Line) bool { return offers[l.OfferID] != nil && offers[l.OfferID].IsAddOn() }) {
		ids, err := s.subscriptions.HeldTx(ctx, tx, o.CustomerID)
		if err != nil {
			return err
		}
		has, err := s.offers.OffersTx(ctx, tx, ids)
		if err != nil {
			return err
		}
		for _, offer := range has {
			owned = append(owned, offer.SKU)
		}
	}
	return p.Merge("", price(o.Lines, offers, country, owned))
}

// checkCustomer notes what stands against selling to the order's customer, and
// tells the country that decides on prices.
func (s *Service) checkCustomer(ctx context.Context, tx *database.Tx, actor access.Actor, p *fault.Problems, o *Order, offers map[ident.ID]*catalog.Offer) (string, error) {
	if !o.AddsCustomer {
		return s.guard(ctx, tx, p, o)
	}
	n, err := s.newcomer(actor, o, offers)
	if err != nil {
		return "", err
	}
	if n.Agreement == nil {
		p.Add("newcomer.agreement", customer.CodeAgreementNeeded)
	}
	if err := s.checkAdmin(ctx, tx, p, o); err != nil {
		return "", err
	}
	country := ""
	if c, ok := region.Find(n.Details.Address.Country); ok {
		country = c.Code
	}
	return country, p.Merge("", placed(s.customers.CheckAddTx(ctx, tx, actor, &n)))
}

// guard notes why the seller may not sell to a customer that is here.
func (s *Service) guard(ctx context.Context, tx *database.Tx, p *fault.Problems, o *Order) (string, error) {
	rs, err := s.customers.Guard(ctx, tx, customer.Sale{SellerID: o.SellerID, ResellerID: o.ResellerID, CustomerID: o.CustomerID})
	if err != nil {
		return "", err
	}
	c, err := s.customers.LoadTx(ctx, tx, access.System("order"), o.CustomerID)
	if err != nil {
		return "", err
	}
	return c.Country, p.Merge("", customer.Refused("", rs))
}

// newcomer is the customer that an order is to add.
func (s *Service) newcomer(actor access.Actor, o *Order, offers map[ident.ID]*catalog.Offer) (customer.NewCustomer, error) {
	n := customer.NewCustomer{SellerID: o.SellerID, ResellerID: o.ResellerID, Details: o.Newcomer.Details}
	if a := o.Newcomer.Agreement; a != nil {
		if err := actor.Require(access.PermCustomerAgreementAttest); err != nil {
			return n, err
		}
		copied := *a
		n.Agreement = &copied
	}
	for _, l := range o.Lines {
		if offer := offers[l.OfferID]; offer != nil && offer.AzureType {
			n.Details.AzureType = true
		}
	}
	return n, nil
}

// placed puts what is wrong with a customer to add where the draft has it.
func placed(err error) error {
	f := fault.As(err)
	if f == nil {
		return err
	}
	for n, p := range f.Problems {
		if len(p.Path) > 1 && (p.Path[1] == "details" || p.Path[1] == "agreement") {
			f.Problems[n].Path = append([]string{"input", "newcomer"}, p.Path[1:]...)
		}
	}
	return f
}

// checkAdmin notes what is wrong with the first administrator, by itself and
// with who sells and who is here already.
func (s *Service) checkAdmin(ctx context.Context, tx *database.Tx, p *fault.Problems, o *Order) error {
	if err := checkPerson(p, o); err != nil {
		return err
	}
	to, _ := address.Parse(o.Newcomer.Admin.Email)
	if to.Domain == "" {
		return nil // which has been noted
	}
	ids := []ident.ID{o.SellerID}
	if o.ResellerID != "" {
		ids = append(ids, o.ResellerID)
	}
	sellers, err := s.partners.Load(ctx, tx, ids...)
	if err != nil {
		return err
	}
	for _, seller := range sellers {
		if address.Registrable(to.Domain) == seller.RegistrableDomain {
			p.Add("newcomer.admin.email", customer.CodeOwnAddress)
			return nil
		}
	}
	u, err := s.accounts.ByEmailTx(ctx, tx, to.Folded())
	if err == nil && u != nil {
		p.Add("newcomer.admin.email", account.CodeEmailNotAvailable)
	}
	return err
}

// checkPerson notes what is wrong with the first administrator by itself.
func checkPerson(p *fault.Problems, o *Order) error {
	a, d := o.Newcomer.Admin, o.Newcomer.Details
	in := account.NewUser{Email: a.Email, FirstName: a.FirstName, LastName: a.LastName}
	if err := p.Merge("newcomer.admin", in.Validate(&account.Organization{Kind: access.Customer, Name: d.CompanyName})); err != nil {
		return err
	}
	if a.FirstName == "" {
		p.Add("newcomer.admin.firstName", fault.CodeRequired)
	}
	if a.LastName == "" {
		p.Add("newcomer.admin.lastName", fault.CodeRequired)
	}
	return nil
}

// Submission is what became of a submitted order.
type Submission struct {
	Order *Order
	// Admin is the first administrator of a customer that was added, nil
	// without one.
	Admin *account.User
	// TemporaryPassword is told here and nowhere else; "" where there is none,
	// or where AlreadyShown says that it was told before.
	TemporaryPassword secret.String
	AlreadyShown      bool
}

// Submit makes a reviewed draft real, in one transaction: the customer with
// its first administrator, the subscriptions, and a job for each line. Errors:
// those of Review, ORDER_NOT_REVIEWED, PRICE_CHANGED at a line's price, after
// which it must be reviewed again, and those of outbox.Once.
func (s *Service) Submit(ctx context.Context, actor access.Actor, in SubmitInput) (*Submission, error) {
	if actor.IsAnonymous() {
		return nil, fault.Unauthenticated()
	}
	var shown secret.String
	var hashed account.Hashed
	const verb = "submitOrder"
	key := deref(in.IdempotencyKey)
	var out *Submission
	run := func(ctx context.Context, tx *database.Tx) error {
		out = nil
		prior, err := outbox.Once(ctx, tx, actor, verb, key, in)
		if err != nil {
			return err
		}
		if prior != nil {
			out, err = s.replay(ctx, tx, actor, prior.ID("order"))
			return err
		}
		o, err := s.draft(ctx, tx, actor, in.OrderID, in.ExpectedVersion)
		if err != nil {
			return err
		}
		if o.ReviewedAt == nil {
			return fault.Conflict("orderId", CodeNotReviewed)
		}
		out = &Submission{Order: o}
		if err := s.submit(ctx, tx, actor, out, hashed); err != nil {
			return err
		}
		if o.GavePassword {
			out.TemporaryPassword = shown
		}
		return outbox.Remember(ctx, tx, actor, verb, key, map[string]string{"order": string(o.ID)})
	}
	err := s.db.InTx(ctx, run)
	if errors.Is(err, errPassword) {
		if shown, hashed, err = s.accounts.NewTemporary(ctx); err == nil {
			err = s.db.InTx(ctx, run)
		}
	}
	if err != nil {
		return nil, err
	}
	return out, nil
}

// errPassword takes a submission back that needs a temporary password, which
// is made outside of the transaction, since hashing takes its time.
var errPassword = errors.New("a temporary password is needed")

// replay answers a repeated submission, without what is told once.
func (s *Service) replay(ctx context.Context, tx *database.Tx, actor access.Actor, id ident.ID) (*Submission, error) {
	o, err := lock(ctx, tx, actor.Scope(), id)
	if err != nil {
		return nil, err
	}
	if o == nil {
		return nil, fault.NotFound("idempotencyKey")
	}
	if err := may(actor, o.AddsCustomer); err != nil {
		return nil, err
	}
	out := &Submission{Order: o, AlreadyShown: o.GavePassword}
	if o.AdminUserID != "" {
		us, err := s.accounts.UsersTx(ctx, tx, access.System("order"), []ident.ID{o.AdminUserID})
		if err != nil {
			return nil, err
		}
		out.Admin = us[o.AdminUserID]
	}
	return out, nil
}

func (s *Service) submit(ctx context.Context, tx *database.Tx, actor access.Actor, out *Submission, hashed account.Hashed) error {
	o := out.Order
	var p fault.Problems
	var err error
	country := o.Newcomer.Details.Address.Country
	if !o.AddsCustomer {
		if country, err = s.guard(ctx, tx, &p, o); err != nil {
			return err
		}
	}
	offers, err := s.offersIn(ctx, tx, o, country)
	if err != nil {
		return err
	}
	reviewed := make([]*Line, len(o.Lines))
	for n, l := range o.Lines {
		copied := *l
		reviewed[n] = &copied
	}
	if err := s.price(ctx, tx, &p, o, offers, country); err != nil {
		return err
	}
	if err := p.Err(); err != nil {
		return err
	}
	if err := changed(reviewed, o.Lines); err != nil {
		return err
	}
	var c *customer.Customer
	if o.AddsCustomer {
		c, err = s.addCustomer(ctx, tx, actor, out, offers, hashed)
	} else {
		c, err = s.customers.LoadTx(ctx, tx, access.System("order"), o.CustomerID)
	}
	if err != nil {
		return err
	}
	if err := s.subscribe(ctx, tx, actor, o, c, offers); err != nil {
		return err
	}
	for _, l := range o.Lines {
		if err := s.put(ctx, tx, actor, o, l); err != nil {
			return err
		}
	}
	if err := saveLines(ctx, tx, o.Lines...); err != nil {
		return fmt.Errorf("submitting lines: %w", err)
	}
	o.Status, o.SubmittedAt, o.SubmittedByID, o.Newcomer = Submitted, &tx.Now, actor.UserID, Newcomer{}
	if err := save(ctx, tx, o); err != nil {
		return err
	}
	if err := outbox.CancelAbout(ctx, tx, o.ID, Expire{}.Kind()); err != nil {
		return err
	}
	return audit.Record(ctx, tx, actor, audit.Act{Action: "order.submitted", TargetID: o.ID, TargetOrganizationID: c.OrganizationID, Changed: []string{"status"}})
}

// addCustomer makes the order's customer with its first administrator.
func (s *Service) addCustomer(ctx context.Context, tx *database.Tx, actor access.Actor, out *Submission, offers map[ident.ID]*catalog.Offer, hashed account.Hashed) (*customer.Customer, error) {
	o := out.Order
	n, err := s.newcomer(actor, o, offers)
	if err != nil {
		return nil, err
	}
	if n.Agreement == nil {
		return nil, fault.Invalid("newcomer.agreement", customer.CodeAgreementNeeded)
	}
	var p fault.Problems
	if err := checkPerson(&p, o); err != nil {
		return nil, err
	}
	if err := p.Err(); err != nil {
		return nil, err
	}
	if o.GavePassword = o.Newcomer.Welcome == TemporaryPassword; !o.GavePassword {
		hashed = account.Hashed{}
	} else if hashed == (account.Hashed{}) {
		return nil, errPassword
	}
	added, err := s.customers.AddTx(ctx, tx, actor, n)
	if err != nil {
		return nil, placed(err)
	}
	a, org := o.Newcomer.Admin, added.Organization
	if added.Owns(a.Email) {
		return nil, fault.Invalid("newcomer.admin.email", customer.CodeOwnAddress)
	}
	u, _, err := s.accounts.AddAdmin(ctx, tx, actor, org, account.NewUser{Email: a.Email, FirstName: a.FirstName, LastName: a.LastName, Locale: org.Locale}, hashed)
	if err != nil {
		return nil, p.Merge("newcomer.admin", err)
	}
	o.CustomerID, o.AdminUserID, out.Admin = added.ID, u.ID, u
	return added.Customer, nil
}

// subscribe makes the subscriptions that a held order's lines are to become.
func (s *Service) subscribe(ctx context.Context, tx *database.Tx, actor access.Actor, o *Order, c *customer.Customer, offers map[ident.ID]*catalog.Offer) error {
	list := make([]subscription.Purchase, len(o.Lines))
	for n, l := range o.Lines {
		list[n] = subscription.Purchase{CustomerID: c.ID, OrganizationID: c.OrganizationID, Country: c.Country, SellerID: o.SellerID, ResellerID: o.ResellerID,
			OrderLineID: l.ID, OfferID: l.OfferID, OfferName: l.OfferName, FriendlyName: l.FriendlyName, Quantity: l.Quantity, Term: l.Term,
			BillingCycle: l.BillingCycle, UnitPrice: l.Price(), AutoRenew: l.AutoRenew}
		if offers[l.OfferID].IncentiveEligible {
			list[n].AssociatedResellerID = o.ResellerID
		}
	}
	made, err := s.subscriptions.CreateTx(ctx, tx, actor, list...)
	for n, sub := range made {
		o.Lines[n].SubscriptionID, o.Lines[n].Status = sub.ID, LinePending
	}
	return err
}

// put writes the job of a line's next attempt.
func (s *Service) put(ctx context.Context, tx *database.Tx, actor access.Actor, o *Order, l *Line) error {
	l.Attempt++
	job, err := outbox.Put(ctx, tx, Provision{OrderLineID: l.ID, Attempt: l.Attempt}, outbox.By(actor), outbox.About(o.ID), outbox.MaxAttempts(maxAttempts))
	if err != nil {
		return err
	}
	l.OperationID = job.ID
	return nil
}

// RetryLine has a failed line tried again, at the price that was submitted.
// Errors: NOT_FOUND, ROLE_REQUIRED, ORDER_LINE_NOT_FAILED at orderLineId, why
// it may not be sold now, and those of outbox.Once.
func (s *Service) RetryLine(ctx context.Context, actor access.Actor, in RetryLineInput) (*Line, *outbox.Job, error) {
	if actor.IsAnonymous() {
		return nil, nil, fault.Unauthenticated()
	}
	const verb = "retryOrderLine"
	key := deref(in.IdempotencyKey)
	var line *Line
	var job *outbox.Job
	err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		line, job = nil, nil
		prior, err := outbox.Once(ctx, tx, actor, verb, key, in)
		if err != nil {
			return err
		}
		o, l, err := s.ownLine(ctx, tx, actor, in.OrderLineID)
		if err != nil {
			return err
		}
		line = l
		if prior == nil {
			if err := s.again(ctx, tx, actor, o, l, nil); err != nil {
				return err
			}
			if err := outbox.Remember(ctx, tx, actor, verb, key, map[string]string{"line": string(l.ID), "operation": string(l.OperationID)}); err != nil {
				return err
			}
		}
		id := l.OperationID
		if prior != nil {
			id = prior.ID("operation")
		}
		job, err = outbox.FindTx(ctx, tx, id)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	return line, job, nil
}

// again makes another attempt at a failed line that is held: the attempt of a
// job that goes on, or with nil one of a new job.
func (s *Service) again(ctx context.Context, tx *database.Tx, actor access.Actor, o *Order, l *Line, j *outbox.Job) error {
	if l.Status != LineFailed {
		return fault.Conflict("orderLineId", CodeLineNotFailed)
	}
	var p fault.Problems
	country, err := s.guard(ctx, tx, &p, o)
	if err != nil {
		return err
	}
	offers, err := s.offersOf(ctx, tx, o)
	if err != nil {
		return err
	}
	fresh := *l
	if err := s.price(ctx, tx, &p, &Order{CustomerID: o.CustomerID, Lines: []*Line{&fresh}}, offers, country); err != nil {
		return err
	}
	if err := p.Err(); err != nil {
		return err
	}
	l.Status, l.FailureCode = LinePending, ""
	if j == nil {
		if err := s.put(ctx, tx, actor, o, l); err != nil {
			return err
		}
	}
	if err := s.settle(ctx, tx, o, l); err != nil {
		return err
	}
	return audit.Record(ctx, tx, actor, audit.Act{Action: "order.line_retried", TargetID: l.ID, Changed: []string{"status"}})
}

// AbandonLine gives a failed line up: its subscription, which was never there,
// ends, and the order misses it no more. Errors: NOT_FOUND, ROLE_REQUIRED, ORDER_LINE_NOT_FAILED at orderLineId.
func (s *Service) AbandonLine(ctx context.Context, actor access.Actor, in AbandonLineInput) (*Line, error) {
	if actor.IsAnonymous() {
		return nil, fault.Unauthenticated()
	}
	var line *Line
	err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		o, l, err := s.ownLine(ctx, tx, actor, in.OrderLineID)
		if err != nil {
			return err
		}
		if l.Status != LineFailed {
			return fault.Conflict("orderLineId", CodeLineNotFailed)
		}
		line = l
		return s.abandon(ctx, tx, actor, o, l)
	})
	if err != nil {
		return nil, err
	}
	return line, nil
}

// abandon gives a failed line up that is held.
func (s *Service) abandon(ctx context.Context, tx *database.Tx, actor access.Actor, o *Order, l *Line) error {
	l.Status = LineAbandoned
	if _, err := s.subscriptions.AbandonTx(ctx, tx, actor, l.SubscriptionID); err != nil {
		return err
	}
	if err := s.settle(ctx, tx, o, l); err != nil {
		return err
	}
	return audit.Record(ctx, tx, actor, audit.Act{Action: "order.line_abandoned", TargetID: l.ID, Changed: []string{"status"}})
}

// ownLine is holdLine for a verb of the seller's people. Errors: NOT_FOUND at
// orderLineId, ROLE_REQUIRED.
func (s *Service) ownLine(ctx context.Context, tx *database.Tx, actor access.Actor, id ident.ID) (*Order, *Line, error) {
	o, l, err := s.holdLine(ctx, tx, actor, id)
	if err != nil {
		return nil, nil, fmt.Errorf("reading a line: %w", err)
	}
	if l == nil || o.SellerID != actor.PartnerID {
		return nil, nil, fault.NotFound("orderLineId")
	}
	return o, l, may(actor, false)
}

// holdLine reads a line inside the actor's scope with its order and holds
// both; nil where it is absent or hidden.
func (s *Service) holdLine(ctx context.Context, tx *database.Tx, actor access.Actor, id ident.ID) (*Order, *Line, error) {
	of, err := orderOf(ctx, tx, id)
	if err != nil || of == "" {
		return nil, nil, err
	}
	o, err := lock(ctx, tx, actor.Scope(), of)
	if err != nil || o == nil {
		return nil, nil, err
	}
	n := slices.IndexFunc(o.Lines, func(l *Line) bool { return l.ID == id })
	if n < 0 {
		return nil, nil, nil
	}
	return o, o.Lines[n], nil
}
