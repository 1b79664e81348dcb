package catalog

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/channelgraph/channelgraph/internal/address"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/partner"
	"github.com/channelgraph/channelgraph/internal/region"
	"github.com/channelgraph/channelgraph/internal/sheet"
)

// The columns of a file: those of the offer, which later lines of the same
// one may leave empty, and those of one price. JSON files name them alike.
var (
	offerColumns = []string{"name", "publisher_kind", "publisher", "product_line", "category", "min_quantity", "max_quantity", "countries",
		"prerequisites", "trial", "azure_type", "incentive_eligible"}
	priceColumns = []string{"region", "currency", "term", "billing_cycle", "price"}

	offerSheet = sheet.Sheet{Required: append([]string{"sku"}, priceColumns...), Optional: offerColumns}
)

var skuForm = regexp.MustCompile(`^[A-Z0-9][A-Z0-9._-]{0,49}$`)

// entry is an offer of a file, with what its lines are needed for.
type entry struct {
	offer *Offer
	line  *sheet.Line // the offer's first
	at    map[Price]int
}

// parse reads a file as far as that goes without the catalogue; the offers
// come in the order of the file.
func parse(format Format, content []byte) ([]*entry, *sheet.Findings) {
	f := &sheet.Findings{}
	var out []*entry
	if format == JSON {
		out = fromJSON(content, f)
	} else {
		out = fromCSV(content, f)
	}
	for _, e := range out {
		e.finish()
	}
	f.Sort()
	return out, f
}

func fromCSV(content []byte, f *sheet.Findings) []*entry {
	known := map[string]*entry{}
	var out []*entry
	for _, l := range offerSheet.Read(content, f) {
		sku := readSKU(l)
		e := known[sku]
		if e == nil {
			e = &entry{offer: readOffer(l, sku), line: l, at: map[Price]int{}}
			known[sku] = e
			out = append(out, e)
		} else {
			for _, column := range offerColumns {
				if again := l.Raw(column); again != "" && again != e.line.Raw(column) {
					l.Bad(column, CodeProductDiffers, "line", fmt.Sprint(e.line.Number))
				}
			}
		}
		e.price(l)
	}
	return out
}

// fromJSON reads {"offers": [{…, "prices": [{…}]}]}. Whatever stands in an
// offer is looked at as the text that a cell would hold.
func fromJSON(content []byte, f *sheet.Findings) []*entry {
	content = bytes.TrimPrefix(content, []byte("\ufeff"))
	if !utf8.Valid(content) {
		f.Add(0, "", sheet.CodeNotText)
		return nil
	}
	var file struct {
		Offers []map[string]json.RawMessage `json:"offers"`
	}
	d := json.NewDecoder(bytes.NewReader(content))
	d.DisallowUnknownFields()
	if err := d.Decode(&file); err != nil {
		f.Add(0, "", CodeJSONMalformed)
		return nil
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		f.Add(0, "", CodeJSONMalformed)
		return nil
	}
	if len(file.Offers) == 0 {
		f.Add(0, "", sheet.CodeNoLines)
	}
	first := map[string]int{}
	var out []*entry
	for i, raw := range file.Offers {
		if i == sheet.MaxLines {
			f.Add(i+1, "", sheet.CodeTooManyLines, "max", fmt.Sprint(sheet.MaxLines))
			break
		}
		var prices []map[string]json.RawMessage
		if json.Unmarshal(raw["prices"], &prices) != nil {
			prices = nil
		}
		delete(raw, "prices")
		l := sheet.NewLine(i+1, cells(i+1, raw, append([]string{"sku"}, offerColumns...), "", f), "", f)
		sku := readSKU(l)
		if before, twice := first[sku]; twice && sku != "" {
			l.Bad("sku", CodeOfferTwice, "line", fmt.Sprint(before))
		} else {
			first[sku] = i + 1
		}
		e := &entry{offer: readOffer(l, sku), line: l, at: map[Price]int{}}
		for n, raw := range prices {
			under := fmt.Sprintf("prices.%d.", n+1)
			e.price(sheet.NewLine(i+1, cells(i+1, raw, priceColumns, under, f), under, f))
		}
		out = append(out, e)
	}
	return out
}

// cells turns the fields of a JSON object into texts: numbers as they are
// written, lists with spaces between.
func cells(line int, raw map[string]json.RawMessage, columns []string, under string, f *sheet.Findings) map[string]string {
	out := map[string]string{}
	for _, name := range sorted(raw) {
		if !slices.Contains(columns, name) {
			f.Add(line, under+shown(name), sheet.CodeColumnUnknown)
			continue
		}
		var list []string
		var text string
		switch v := raw[name]; {
		case json.Unmarshal(v, &text) == nil: // null is nothing said
			out[name] = text
		case json.Unmarshal(v, &list) == nil:
			out[name] = strings.Join(list, " ")
		case v[0] == '{' || v[0] == '[':
			f.Add(line, under+name, fault.CodeInvalid)
		default: // a number, true or false
			out[name] = string(v)
		}
	}
	return out
}

func sorted(raw map[string]json.RawMessage) []string {
	out := make([]string, 0, len(raw))
	for name := range raw {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// shown is as much of an unknown name as can be told.
func shown(name string) string {
	if s, err := address.Line(name, 40); err == nil && s != "" {
		return s
	}
	return "?"
}

func readSKU(l *sheet.Line) string {
	sku := strings.ToUpper(l.Needed("sku", 50))
	if sku != "" && !skuForm.MatchString(sku) {
		l.Bad("sku", CodeSKUInvalid)
	}
	return sku
}

// readOffer reads what a line tells of its offer.
func readOffer(l *sheet.Line, sku string) *Offer {
	o := &Offer{SKU: sku, Name: l.Needed("name", 100), PublisherKind: PublisherKind(strings.ToUpper(l.Needed("publisher_kind", 20))),
		Publisher: l.Needed("publisher", 100), ProductLine: l.Needed("product_line", 60), Category: l.Needed("category", 60),
		Trial: l.Flag("trial", false), AzureType: l.Flag("azure_type", false), IncentiveEligible: l.Flag("incentive_eligible", false),
		Countries: []string{}, Prerequisites: []string{}}
	o.NameFolded = address.Fold(o.Name)
	if o.PublisherKind != "" && o.PublisherKind != FirstParty && o.PublisherKind != ThirdParty {
		l.Bad("publisher_kind", fault.CodeInvalid)
	}
	o.MinQuantity, o.MaxQuantity = quantity(l, "min_quantity", 1), quantity(l, "max_quantity", MaxQuantity)
	if o.MinQuantity > o.MaxQuantity && o.MaxQuantity > 0 {
		l.Bad("max_quantity", CodeQuantityRange)
	}
	for _, code := range strings.Fields(l.Text("countries", 2000)) {
		c, known := region.Find(code)
		if !known {
			l.Bad("countries", partner.CodeCountryUnknown)
			continue
		}
		o.Countries = append(o.Countries, c.Code)
	}
	for _, sku := range strings.Fields(strings.ToUpper(l.Text("prerequisites", 2000))) {
		if !skuForm.MatchString(sku) || sku == o.SKU {
			l.Bad("prerequisites", CodeSKUInvalid)
			continue
		}
		o.Prerequisites = append(o.Prerequisites, sku)
	}
	slices.Sort(o.Countries)
	slices.Sort(o.Prerequisites)
	o.Countries, o.Prerequisites = slices.Compact(o.Countries), slices.Compact(o.Prerequisites)
	return o
}

// quantity reads a number of licences; an empty cell says what is usual. It is
// 0 where it is none.
func quantity(l *sheet.Line, column string, usual int) int {
	s := l.Text(column, 20)
	if s == "" {
		return usual
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > MaxQuantity {
		l.Bad(column, fault.CodeInvalid)
		return 0
	}
	return n
}

// price reads the price of a line.
func (e *entry) price(l *sheet.Line) {
	p := &Price{Region: region.Code(strings.ToUpper(l.Needed("region", 20))), Currency: strings.ToUpper(l.Needed("currency", 3)),
		Term: Term(strings.ToUpper(l.Needed("term", 3))), BillingCycle: Cycle(strings.ToUpper(l.Needed("billing_cycle", 20)))}
	amount := l.Needed("price", 20)
	r, known := region.ByCode(p.Region)
	used := func(c region.Country) bool { return c.Currency == p.Currency }
	switch {
	case p.Region == "" || p.Currency == "":
	case !known:
		l.Bad("region", CodeRegionUnknown)
	case !slices.ContainsFunc(r.Countries, used):
		l.Bad("currency", CodeCurrencyForeign)
	}
	switch {
	case p.Term == "" || p.BillingCycle == "":
	case p.Term.Months() == 0:
		l.Bad("term", fault.CodeInvalid)
	case p.BillingCycle.Months() == 0:
		l.Bad("billing_cycle", fault.CodeInvalid)
	case !p.BillingCycle.Fits(p.Term):
		l.Bad("billing_cycle", CodeCycleNotOfTerm)
	}
	if _, known := Digits(p.Currency); amount != "" && known {
		var ok bool
		if p.Amount, ok = ParseAmount(amount, p.Currency); !ok {
			l.Bad("price", CodePriceInvalid)
		}
	}
	key := Price{Region: p.Region, Currency: p.Currency, Term: p.Term, BillingCycle: p.BillingCycle}
	if before, twice := e.at[key]; twice {
		l.Bad("price", sheet.CodeLineTwice, "line", fmt.Sprint(before))
		return
	}
	e.at[key] = l.Number
	e.offer.Prices = append(e.offer.Prices, p)
}

// finish checks what only all prices together tell, and takes the digest.
func (e *entry) finish() {
	o := e.offer
	if len(o.Prices) == 0 {
		e.line.Bad("prices", CodePriceMissing)
	}
	for _, code := range o.Countries {
		if c, _ := region.Find(code); !o.SoldIn(c) {
			e.line.Bad("countries", CodeCountryUnpriced, "country", code)
		}
	}
	slices.SortFunc(o.Prices, comparePrices)
	sum := sha256.Sum256([]byte(o.content()))
	o.Digest = hex.EncodeToString(sum[:16])
}

func comparePrices(a, b *Price) int {
	key := func(p *Price) string {
		return fmt.Sprintf("%s %s %02d %02d", p.Region, p.Currency, p.Term.Months(), p.BillingCycle.Months())
	}
	return strings.Compare(key(a), key(b))
}

// content is the offer as a file in JSON names it.
func (o *Offer) content() string {
	type price struct {
		Region       region.Code `json:"region"`
		Currency     string      `json:"currency"`
		Term         Term        `json:"term"`
		BillingCycle Cycle       `json:"billing_cycle"`
		Price        string      `json:"price"`
	}
	prices := make([]price, len(o.Prices))
	for i, p := range o.Prices {
		prices[i] = price{p.Region, p.Currency, p.Term, p.BillingCycle, p.Money().Decimal()}
	}
	raw, err := json.Marshal(struct {
		SKU               string        `json:"sku"`
		Name              string        `json:"name"`
		PublisherKind     PublisherKind `json:"publisher_kind"`
		Publisher         string        `json:"publisher"`
		ProductLine       string        `json:"product_line"`
		Category          string        `json:"category"`
		MinQuantity       int           `json:"min_quantity"`
		MaxQuantity       int           `json:"max_quantity"`
		Countries         []string      `json:"countries"`
		Prerequisites     []string      `json:"prerequisites"`
		Trial             bool          `json:"trial"`
		AzureType         bool          `json:"azure_type"`
		IncentiveEligible bool          `json:"incentive_eligible"`
		Prices            []price       `json:"prices"`
	}{o.SKU, o.Name, o.PublisherKind, o.Publisher, o.ProductLine, o.Category, o.MinQuantity, o.MaxQuantity, o.Countries, o.Prerequisites, o.Trial,
		o.AzureType, o.IncentiveEligible, prices})
	if err != nil {
		panic(err) // texts, numbers and flags
	}
	return string(raw)
}

// plan is what an import does to the catalogue.
type plan struct {
	added, changed, restored []*Offer
	unchanged                int
	retired                  []*Offer
}

// planned compares the offers of a file with those of the catalogue, by SKU,
// and gives those of the file their ids and versions. Retired ones that are
// named are sold again.
func planned(mode Mode, entries []*entry, before map[string]*Offer) plan {
	var p plan
	named := make(map[string]bool, len(entries))
	for _, e := range entries {
		o := e.offer
		named[o.SKU] = true
		old := before[o.SKU]
		if old != nil {
			o.ID, o.Version, o.CreatedAt = old.ID, old.Version+1, old.CreatedAt
		}
		switch {
		case old == nil:
			p.added = append(p.added, o)
		case old.RetiredAt != nil:
			p.restored = append(p.restored, o)
		case old.Digest != o.Digest:
			p.changed = append(p.changed, o)
		default:
			p.unchanged++
		}
	}
	if mode == Replace {
		for _, old := range before {
			if !named[old.SKU] && old.RetiredAt == nil {
				p.retired = append(p.retired, old)
			}
		}
		slices.SortFunc(p.retired, func(a, b *Offer) int { return strings.Compare(a.SKU, b.SKU) })
	}
	return p
}

// needPrerequisites notes what an add-on needs and neither the file nor, where
// that stays, the catalogue sells.
func needPrerequisites(mode Mode, entries []*entry, before map[string]*Offer, f *sheet.Findings) {
	sold := map[string]bool{}
	for _, o := range before {
		sold[o.SKU] = mode == Merge && o.RetiredAt == nil
	}
	for _, e := range entries {
		sold[e.offer.SKU] = true
	}
	for _, e := range entries {
		for _, sku := range e.offer.Prerequisites {
			if !sold[sku] {
				e.line.Bad("prerequisites", CodePrerequisite, "sku", sku)
			}
		}
	}
	f.Sort()
}
