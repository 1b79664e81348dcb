// Package catalog owns what is sold: the operator's offers with their prices,
// their versions, and the imports that bring them in. It never decides who
// may buy, and never changes what was bought: a subscription keeps the name
// and price that it was bought with.
//
// Invariant: an import changes the catalogue as a whole or not at all; every
// state that an offer ever had stays as a revision; an offer is never deleted,
// it is retired.
package catalog

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/uptrace/bun"
	"golang.org/x/text/currency"

	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/region"
)

// PublisherKind says whether the operator publishes an offer itself.
type PublisherKind string

// Kinds of publishers.
const (
	FirstParty PublisherKind = "FIRST_PARTY"
	ThirdParty PublisherKind = "THIRD_PARTY"
)

// Term is how long a subscription is committed to, as an ISO 8601 period.
type Term string

// Terms.
const (
	OneMonth   Term = "P1M"
	OneYear    Term = "P1Y"
	ThreeYears Term = "P3Y"
)

// Terms lists all terms, the shortest first.
var Terms = []Term{OneMonth, OneYear, ThreeYears}

// Months is the term's length; 0 for an unknown one.
func (t Term) Months() int {
	switch t {
	case OneMonth:
		return 1
	case OneYear:
		return 12
	case ThreeYears:
		return 36
	}
	return 0
}

// Cycle is how often a subscription is billed.
type Cycle string

// Billing cycles.
const (
	Monthly   Cycle = "MONTHLY"
	Annual    Cycle = "ANNUAL"
	Triennial Cycle = "TRIENNIAL"
)

// Cycles lists all billing cycles, the shortest first.
var Cycles = []Cycle{Monthly, Annual, Triennial}

// Months is the cycle's length; 0 for an unknown one.
func (c Cycle) Months() int {
	switch c {
	case Monthly:
		return 1
	case Annual:
		return 12
	case Triennial:
		return 36
	}
	return 0
}

// Fits reports whether a term is a whole number of billing cycles.
func (c Cycle) Fits(t Term) bool {
	return c.Months() > 0 && t.Months() >= c.Months() && t.Months()%c.Months() == 0
}

// Money is an amount in a currency.
type Money struct {
	// Amount counts the currency's minor units, such as cents.
	Amount int64
	// Currency is the ISO 4217 code.
	Currency string
}

// Digits is how many decimals a currency's amounts have, and whether it is a
// currency at all.
func Digits(code string) (int, bool) {
	u, err := currency.ParseISO(code)
	if err != nil || u.String() != code {
		return 0, false
	}
	scale, _ := currency.Standard.Rounding(u)
	return scale, true
}

// Decimal is the amount as an exact decimal with as many places as the
// currency has, such as 12.30 or, in yen, 1230.
func (m Money) Decimal() string {
	digits, _ := Digits(m.Currency)
	s, sign := strconv.FormatInt(m.Amount, 10), ""
	if m.Amount < 0 {
		s, sign = s[1:], "-"
	}
	if digits == 0 {
		return sign + s
	}
	for len(s) <= digits {
		s = "0" + s
	}
	return sign + s[:len(s)-digits] + "." + s[len(s)-digits:]
}

// MaxAmount bounds a price, in minor units: a line of the largest quantity
// and all the lines of an order stay far from the end of 64 bits.
const MaxAmount = 1_000_000_000

// ParseAmount reads a decimal such as 12.30 or 12 as minor units of a
// currency; false where it is no such decimal, has more places than the
// currency or is out of bounds.
func ParseAmount(s, code string) (int64, bool) {
	digits, known := Digits(code)
	whole, part, dotted := strings.Cut(s, ".")
	if !known || whole == "" || len(whole) > 12 || dotted && (part == "" || len(part) > digits) {
		return 0, false
	}
	for _, c := range whole + part {
		if c < '0' || c > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(whole+part+strings.Repeat("0", digits-len(part)), 10, 64)
	return n, err == nil && n <= MaxAmount
}

// MaxQuantity bounds the licences of a subscription.
const MaxQuantity = 1_000_000

// Offer is something that is sold, as it is now.
type Offer struct {
	bun.BaseModel `bun:"table:offer,alias:offer"`
	ID            ident.ID `bun:"id,pk"`
	// SKU is what the operator calls it; it never changes.
	SKU           string        `bun:"sku"`
	Name          string        `bun:"name"`
	NameFolded    string        `bun:"name_folded"`
	PublisherKind PublisherKind `bun:"publisher_kind"`
	Publisher     string        `bun:"publisher"`
	ProductLine   string        `bun:"product_line"`
	Category      string        `bun:"category"`
	// MinQuantity and MaxQuantity bound the licences of one subscription.
	MinQuantity int `bun:"min_quantity"`
	MaxQuantity int `bun:"max_quantity"`
	// Countries are where it is sold, of those for which there is a price;
	// empty means in all of them.
	Countries []string `bun:"countries,type:jsonb"`
	// Prerequisites are the SKUs of which a customer needs one before it can
	// buy this add-on; empty for what stands by itself.
	Prerequisites []string `bun:"prerequisites,type:jsonb"`
	// Trial offers end with their term and are never renewed.
	Trial bool `bun:"trial"`
	// AzureType offers give the partner the tenant owner's role.
	AzureType bool `bun:"azure_type"`
	// IncentiveEligible says that a reseller can be credited for it.
	IncentiveEligible bool       `bun:"incentive_eligible"`
	Digest            string     `bun:"digest"`
	Version           int        `bun:"version"`
	ImportID          ident.ID   `bun:"import_id"`
	RetiredAt         *time.Time `bun:"retired_at"`
	CreatedAt         time.Time  `bun:"created_at"`
	UpdatedAt         time.Time  `bun:"updated_at"`
	// Prices are read where a rule needs them.
	Prices []*Price `bun:"-"`
}

// Price is what one licence of an offer costs, for a billing cycle, where a
// currency of a region is used.
type Price struct {
	bun.BaseModel `bun:"table:offer_price,alias:offer_price"`
	OfferID       ident.ID    `bun:"offer_id,pk" json:"-"`
	Region        region.Code `bun:"region,pk" json:"region"`
	Currency      string      `bun:"currency,pk" json:"currency"`
	Term          Term        `bun:"term,pk" json:"term"`
	BillingCycle  Cycle       `bun:"billing_cycle,pk" json:"billing_cycle"`
	Amount        int64       `bun:"amount" json:"amount"`
}

// Money is the price with its currency.
func (p *Price) Money() Money { return Money{p.Amount, p.Currency} }

// IsAddOn reports whether the offer needs another one beside it.
func (o *Offer) IsAddOn() bool { return len(o.Prerequisites) > 0 }

// Codes of what keeps an offer from being bought.
const (
	CodeOfferRetired   = "OFFER_RETIRED"
	CodeNotSold        = "OFFER_NOT_SOLD_IN_COUNTRY"
	CodeTermNotOffered = "TERM_NOT_OFFERED"
	CodeQuantityLow    = "QUANTITY_TOO_LOW"
	CodeQuantityHigh   = "QUANTITY_TOO_HIGH"
)

// SoldIn reports whether the offer, with its prices, is sold in a country.
func (o *Offer) SoldIn(c region.Country) bool {
	if len(o.Countries) > 0 && !slices.Contains(o.Countries, c.Code) {
		return false
	}
	return slices.ContainsFunc(o.Prices, func(p *Price) bool { return p.Region == c.Region && p.Currency == c.Currency })
}

// PriceFor is what one licence of the offer, with its prices, costs a customer
// in a country for a billing cycle of a term; otherwise the code of why it
// cannot be bought so: OFFER_RETIRED, OFFER_NOT_SOLD_IN_COUNTRY or
// TERM_NOT_OFFERED.
func PriceFor(o *Offer, country string, t Term, cycle Cycle) (Money, string) {
	c, known := region.Find(country)
	switch {
	case o.RetiredAt != nil:
		return Money{}, CodeOfferRetired
	case !known || !o.SoldIn(c):
		return Money{}, CodeNotSold
	}
	for _, p := range o.Prices {
		if p.Region == c.Region && p.Currency == c.Currency && p.Term == t && p.BillingCycle == cycle {
			return p.Money(), ""
		}
	}
	return Money{}, CodeTermNotOffered
}

// CheckQuantity is the code of why a subscription of the offer cannot have n
// licences, "" where it can: QUANTITY_TOO_LOW or QUANTITY_TOO_HIGH.
func (o *Offer) CheckQuantity(n int) string {
	switch {
	case n < o.MinQuantity:
		return CodeQuantityLow
	case n > o.MaxQuantity:
		return CodeQuantityHigh
	}
	return ""
}

// Revision is a state that an offer had, from an import to the next one that
// changed it.
type Revision struct {
	bun.BaseModel `bun:"table:offer_revision,alias:offer_revision"`
	OfferID       ident.ID `bun:"offer_id,pk"`
	Version       int      `bun:"version,pk"`
	ImportID      ident.ID `bun:"import_id"`
	// Change is what the import did.
	Change Change `bun:"change"`
	// Content is the state whole, as an import in JSON would bring it in.
	Content   string    `bun:"content"`
	CreatedAt time.Time `bun:"created_at"`
}

// Change is what an import did to an offer.
type Change string

// Changes of an offer.
const (
	Added    Change = "ADDED"
	Changed  Change = "CHANGED"
	Retired  Change = "RETIRED"
	Restored Change = "RESTORED"
)

// Mode says what becomes of the offers that a file does not name.
type Mode string

// Modes of imports.
const (
	// Merge leaves them as they are.
	Merge Mode = "MERGE"
	// Replace retires them.
	Replace Mode = "REPLACE"
)

// Format is the form of an imported file.
type Format string

// Formats of imported files.
const (
	CSV  Format = "CSV"
	JSON Format = "JSON"
)

// ImportState is where an import stands.
type ImportState string

// States of an import. A failed one goes on where its operation is retried.
const (
	ImportQueued    ImportState = "QUEUED"
	ImportRunning   ImportState = "RUNNING"
	ImportChecked   ImportState = "CHECKED"
	ImportApplied   ImportState = "APPLIED"
	ImportRefused   ImportState = "REFUSED"
	ImportFailed    ImportState = "FAILED"
	ImportCancelled ImportState = "CANCELLED"
)

// Import is one file brought into the catalogue, or tried.
type Import struct {
	bun.BaseModel `bun:"table:catalog_import,alias:catalog_import"`
	ID            ident.ID `bun:"id,pk"`
	Format        Format   `bun:"format"`
	Mode          Mode     `bun:"mode"`
	// DryRun says that the file was only checked.
	DryRun         bool     `bun:"dry_run"`
	FileID         ident.ID `bun:"file_id"`
	FileName       string   `bun:"file_name"`
	OrganizationID ident.ID `bun:"organization_id"`
	RequestedByID  ident.ID `bun:"requested_by_id"`
	// State and FailureCode come from the import's operation, until the
	// import is over.
	State       ImportState `bun:"-"`
	FailureCode *string     `bun:"-"`
	// OfferTotal counts the offers of the file; nil until it was read.
	OfferTotal *int `bun:"offer_total"`
	// Added, Changed, Unchanged and Retired count offers; of a dry run what
	// would become of them.
	Added     int `bun:"added"`
	Changed   int `bun:"changed"`
	Unchanged int `bun:"unchanged"`
	Retired   int `bun:"retired"`
	// ProblemCount counts all that is wrong with the file; the first
	// sheet.MaxProblems are kept.
	ProblemCount int         `bun:"problem_count"`
	Outcome      ImportState `bun:"outcome"`
	CreatedAt    time.Time   `bun:"created_at"`
	FinishedAt   *time.Time  `bun:"finished_at"`
}

// Problem is one thing wrong with an imported file.
type Problem struct {
	bun.BaseModel `bun:"table:catalog_import_problem,alias:problem"`
	ImportID      ident.ID `bun:"import_id,pk"`
	Number        int      `bun:"number,pk"`
	// Line counts the lines of a CSV file, or the offers of a JSON file, from
	// 1; 0 stands for the whole file.
	Line int `bun:"line"`
	// Column is the name of the column, or the way inside the offer, ""
	// for the whole line.
	Column string            `bun:"column_name"`
	Code   string            `bun:"code"`
	Params map[string]string `bun:"params,type:jsonb"`
}
