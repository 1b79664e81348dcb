package catalog

import (
	"strings"

	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/page"
	"github.com/channelgraph/channelgraph/internal/partner"
	"github.com/channelgraph/channelgraph/internal/sheet"
)

// Codes of what is wrong with an imported file, besides those of its table.
const (
	CodeSKUInvalid      = "SKU_INVALID"
	CodeOfferTwice      = "OFFER_TWICE"
	CodeProductDiffers  = "PRODUCT_DIFFERS"
	CodeQuantityRange   = "QUANTITY_RANGE"
	CodePrerequisite    = "PREREQUISITE_UNKNOWN"
	CodeRegionUnknown   = "REGION_UNKNOWN"
	CodeCurrencyForeign = "CURRENCY_NOT_OF_REGION"
	CodeCycleNotOfTerm  = "CYCLE_NOT_OF_TERM"
	CodePriceInvalid    = "PRICE_INVALID"
	CodePriceMissing    = "PRICE_MISSING"
	CodeCountryUnpriced = "COUNTRY_WITHOUT_PRICE"
	CodeJSONMalformed   = "JSON_MALFORMED"
)

// Codes of imports that could not be done.
const (
	CodeImportRevoked = "IMPORT_ACCESS_REVOKED"
	CodeImportExpired = "IMPORT_EXPIRED"
)

// ProblemCodes are the codes that a Problem may have.
var ProblemCodes = append([]string{
	CodeSKUInvalid, CodeOfferTwice, CodeProductDiffers, CodeQuantityRange, CodePrerequisite, CodeRegionUnknown, CodeCurrencyForeign, CodeCycleNotOfTerm,
	CodePriceInvalid, CodePriceMissing, CodeCountryUnpriced, CodeJSONMalformed, partner.CodeCountryUnknown,
}, sheet.Codes...)

// ImportInput brings an uploaded file into the catalogue.
type ImportInput struct {
	// FileID is a file uploaded for the purpose CATALOG_IMPORT.
	FileID ident.ID
	Format Format
	// Mode is Merge unless given.
	Mode *Mode
	// DryRun only checks the file, which can be imported afterwards.
	DryRun         bool
	IdempotencyKey *string
}

// Validate checks the input's form and puts in what was left out.
func (in *ImportInput) Validate() error {
	var p fault.Problems
	if !in.FileID.Is(ident.File) {
		p.Add("fileId", fault.CodeNotFound)
	}
	if in.Format != CSV && in.Format != JSON {
		p.Add("format", fault.CodeInvalid)
	}
	if in.Mode == nil {
		usual := Merge
		in.Mode = &usual
	}
	if *in.Mode != Merge && *in.Mode != Replace {
		p.Add("mode", fault.CodeInvalid)
	}
	return p.Err()
}

// OrderField names what a list of offers is sorted by.
type OrderField string

// Orderings of offers.
const (
	ByName    OrderField = "NAME"
	BySKU     OrderField = "SKU"
	ByUpdated OrderField = "UPDATED_AT"
)

// Order is the ordering of a list of offers.
type Order struct {
	Field     OrderField
	Direction page.Direction
}

func (o *Order) resolve() page.Order {
	out := page.Order{Name: "NAME", Column: "offer.name_folded", Sort: page.SortText}
	if o == nil {
		return out
	}
	switch o.Field {
	case BySKU:
		out = page.Order{Name: "SKU", Column: "offer.sku", Sort: page.SortText}
	case ByUpdated:
		out = page.Order{Name: "UPDATED_AT", Column: "offer.updated_at", Sort: page.SortTime}
	case ByName:
	}
	out.Direction = o.Direction
	return out
}

// Filter narrows a list of offers. Search matches the beginning of the name or
// of the SKU. Without Retired only what is sold is listed.
type Filter struct {
	Search        *string
	PublisherKind *PublisherKind
	Publisher     *string
	ProductLine   *string
	Category      *string
	// Country is where it is sold.
	Country           *string
	AddOn             *bool
	Trial             *bool
	AzureType         *bool
	IncentiveEligible *bool
	Retired           *bool
}

// country is the filter's country in its stored form.
func (f Filter) country() string { return strings.ToUpper(strings.TrimSpace(*f.Country)) }

// ProblemFilter narrows a list of problems.
type ProblemFilter struct {
	Code *string
}

// RevisionFilter narrows a list of the states that an offer had.
type RevisionFilter struct {
	Change []Change
}

// ImportFilter narrows a list of imports.
type ImportFilter struct {
	DryRun *bool
}
