package order

import (
	"fmt"
	"slices"
	"strings"

	"github.com/channelgraph/channelgraph/internal/address"
	"github.com/channelgraph/channelgraph/internal/catalog"
	"github.com/channelgraph/channelgraph/internal/customer"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/page"
	"github.com/channelgraph/channelgraph/internal/subscription"
)

// Codes of inputs and verbs, each with a sentence in internal/fault.
const (
	CodeNotDraft            = "ORDER_NOT_DRAFT"
	CodeExpired             = "ORDER_EXPIRED"
	CodeNotReviewed         = "ORDER_NOT_REVIEWED"
	CodePriceChanged        = "PRICE_CHANGED"
	CodeNoLines             = "ORDER_LINES_REQUIRED"
	CodeHasCustomer         = "ORDER_HAS_CUSTOMER"
	CodePrerequisiteMissing = "PREREQUISITE_MISSING"
	CodeCycleUnfit          = "BILLING_CYCLE_NOT_OF_TERM"
	CodeLineNotFailed       = "ORDER_LINE_NOT_FAILED"
	CodeRelationshipRemoved = subscription.ReasonRelationship
	CodeProvisioningStopped = "PROVISIONING_CANCELLED"
	CodeProvisioningFailed  = "PROVISIONING_FAILED"
	CodeLineTimeOver        = "ORDER_LINE_TIME_OVER"
)

// maxField bounds the texts of a draft; what each may hold is said when it is
// reviewed.
const maxField = 300

// LineInput is a line to order.
type LineInput struct {
	OfferID      ident.ID
	Quantity     int
	Term         catalog.Term
	BillingCycle catalog.Cycle
	// AutoRenew is true unless said otherwise; a trial is never renewed.
	AutoRenew *bool
	// FriendlyName is what the seller calls the subscription.
	FriendlyName *string
}

// NewcomerInput describes a customer to add, as far as it is known.
type NewcomerInput struct {
	Details   *customer.Details
	Admin     *Admin
	Agreement *customer.Attestation
	// Welcome is PASSWORD_LINK unless given.
	Welcome *Welcome
}

// StartInput begins a draft: for a customer, or without one to add it.
type StartInput struct {
	CustomerID *ident.ID
	// ResellerID is whom a provider sells through.
	ResellerID *ident.ID
	Newcomer   *NewcomerInput
	Lines      []LineInput
	// IdempotencyKey makes a repeated request answer the first one's draft.
	IdempotencyKey *string
}

// Validate puts the input into its stored form or says all that is wrong.
func (in *StartInput) Validate() error {
	var p fault.Problems
	if in.CustomerID != nil && in.Newcomer != nil {
		p.Add("newcomer", CodeHasCustomer)
	}
	in.Newcomer.check(&p)
	checkLines(&p, in.Lines)
	return p.Err()
}

// SaveInput changes a draft. What is absent stays; lines are replaced as a
// whole, an empty reseller takes it out. What was reviewed must be reviewed
// again.
type SaveInput struct {
	OrderID         ident.ID
	ExpectedVersion *int
	ResellerID      *ident.ID
	Newcomer        *NewcomerInput
	Lines           *[]LineInput
}

// Validate puts the input into its stored form or says all that is wrong.
func (in *SaveInput) Validate() error {
	var p fault.Problems
	in.Newcomer.check(&p)
	if in.Lines != nil {
		checkLines(&p, *in.Lines)
	}
	return p.Err()
}

// check bounds what a draft may hold; its content is judged by the review.
func (n *NewcomerInput) check(p *fault.Problems) {
	if n == nil {
		return
	}
	line := func(path string, to ...*string) {
		for _, s := range to {
			clean, err := address.Line(*s, maxField)
			if err != nil {
				_ = p.Merge("newcomer."+path, err)
				continue
			}
			*s = clean
		}
	}
	if d := n.Details; d != nil {
		a := &d.Address
		line("details.companyName", &d.CompanyName)
		line("details.registrationId", &d.RegistrationID)
		line("details.domainPrefix", &d.DomainPrefix)
		line("details.billingEmail", &d.BillingEmail)
		line("details.phone", &d.Phone)
		line("details.locale", &d.Locale)
		line("details.address", &a.Line1, &a.Line2, &a.City, &a.PostalCode, &a.State, &a.Country)
	}
	if a := n.Admin; a != nil {
		line("admin.email", &a.Email)
		line("admin.firstName", &a.FirstName)
		line("admin.lastName", &a.LastName)
	}
	if a := n.Agreement; a != nil {
		line("agreement.firstName", &a.FirstName)
		line("agreement.lastName", &a.LastName)
		line("agreement.email", &a.Email)
		line("agreement.phone", &a.Phone)
		line("agreement.agreedOn", &a.AgreedOn)
	}
	if n.Welcome != nil && *n.Welcome != PasswordLink && *n.Welcome != TemporaryPassword {
		p.Add("newcomer.welcome", fault.CodeInvalid)
	}
}

// put writes what is given into a draft's newcomer.
func (n *NewcomerInput) put(to *Newcomer) {
	if n == nil {
		return
	}
	if n.Details != nil {
		to.Details = *n.Details
	}
	if n.Admin != nil {
		to.Admin = *n.Admin
	}
	if n.Agreement != nil {
		to.Agreement = n.Agreement
	}
	if n.Welcome != nil {
		to.Welcome = *n.Welcome
	}
}

func at(n int, field string) string { return fmt.Sprintf("lines.%d.%s", n, field) }

func checkLines(p *fault.Problems, lines []LineInput) {
	if len(lines) > MaxLines {
		p.Add("lines", fault.CodeTooMany, "max", fmt.Sprint(MaxLines))
		return
	}
	for n := range lines {
		l := &lines[n]
		switch {
		case l.Quantity < 1:
			p.Add(at(n, "quantity"), catalog.CodeQuantityLow, "min", "1")
		case l.Quantity > catalog.MaxQuantity:
			p.Add(at(n, "quantity"), catalog.CodeQuantityHigh, "max", fmt.Sprint(catalog.MaxQuantity))
		}
		switch {
		case !slices.Contains(catalog.Terms, l.Term):
			p.Add(at(n, "term"), fault.CodeInvalid)
		case !slices.Contains(catalog.Cycles, l.BillingCycle):
			p.Add(at(n, "billingCycle"), fault.CodeInvalid)
		case !l.BillingCycle.Fits(l.Term):
			p.Add(at(n, "billingCycle"), CodeCycleUnfit)
		}
		if l.FriendlyName != nil {
			name, err := subscription.FriendlyName(l.FriendlyName)
			_ = p.Merge(at(n, "friendlyName"), err)
			l.FriendlyName = &name
		}
	}
}

// ReviewInput fixes the prices of a draft.
type ReviewInput struct {
	OrderID         ident.ID
	ExpectedVersion *int
}

// SubmitInput makes a reviewed draft real.
type SubmitInput struct {
	OrderID ident.ID
	// ExpectedVersion is the order's when it was reviewed.
	ExpectedVersion *int
	// IdempotencyKey makes a repeated request answer the first one's result,
	// without what is shown once.
	IdempotencyKey *string
}

// CancelInput drops a draft with all that it holds.
type CancelInput struct {
	OrderID         ident.ID
	ExpectedVersion *int
}

// RetryLineInput has a failed line tried again.
type RetryLineInput struct {
	OrderLineID    ident.ID
	IdempotencyKey *string
}

// AbandonLineInput gives a failed line up: its subscription ends.
type AbandonLineInput struct {
	OrderLineID ident.ID
}

// Filter narrows a list of orders.
type Filter struct {
	Status     []Status
	CustomerID *ident.ID
	ResellerID *ident.ID
}

// Ordering is the ordering of a list of orders; the newest first unless given.
type Ordering struct {
	Direction page.Direction
}

func (o *Ordering) resolve() page.Order {
	out := page.Order{Name: "CREATED_AT", Column: "customer_order.created_at", Sort: page.SortTime, Direction: page.Desc}
	if o != nil {
		out.Direction = o.Direction
	}
	return out
}

// price puts the offers' names and prices in a country into lines, or says all
// that keeps them from being bought there. owned are the SKUs that the
// customer has already.
func price(lines []*Line, offers map[ident.ID]*catalog.Offer, country string, owned []string) error {
	var p fault.Problems
	if len(lines) == 0 {
		p.Add("lines", CodeNoLines)
	}
	have := slices.Clone(owned)
	for _, l := range lines {
		if o := offers[l.OfferID]; o != nil {
			have = append(have, o.SKU)
		}
	}
	for n, l := range lines {
		o := offers[l.OfferID]
		if o == nil {
			p.Add(at(n, "offerId"), fault.CodeNotFound)
			continue
		}
		m, problem := catalog.PriceFor(o, country, l.Term, l.BillingCycle)
		switch problem {
		case "":
			l.UnitPrice, l.Currency, l.OfferName = m.Amount, m.Currency, o.Name
			l.AutoRenew = l.AutoRenew && !o.Trial
		case catalog.CodeTermNotOffered:
			p.Add(at(n, "term"), problem)
		default:
			p.Add(at(n, "offerId"), problem)
		}
		if problem := o.CheckQuantity(l.Quantity); problem != "" {
			p.Add(at(n, "quantity"), problem, "min", fmt.Sprint(o.MinQuantity), "max", fmt.Sprint(o.MaxQuantity))
		}
		if o.IsAddOn() && !slices.ContainsFunc(o.Prerequisites, func(sku string) bool { return slices.Contains(have, sku) }) {
			p.Add(at(n, "offerId"), CodePrerequisiteMissing, "offers", strings.Join(o.Prerequisites, ", "))
		}
	}
	return p.Err()
}

// changed says at which lines the price of now differs from the reviewed one.
func changed(reviewed, now []*Line) error {
	var p fault.Problems
	for n, l := range now {
		if r := reviewed[n]; r.Price() != l.Price() {
			p.Add(at(n, "price"), CodePriceChanged, "was", r.Price().Decimal()+" "+r.Currency, "is", l.Price().Decimal()+" "+l.Currency)
		}
	}
	if !p.Any() {
		return nil
	}
	f := fault.As(p.Err())
	f.Kind = fault.KindConflict
	return f
}
