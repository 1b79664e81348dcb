package catalog

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/region"
)

func TestMoney(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text, currency string
		amount         int64
		ok             bool
		back           string
	}{
		{"12.30", "EUR", 1230, true, "12.30"}, {"12.3", "EUR", 1230, true, "12.30"}, {"12", "EUR", 1200, true, "12.00"}, {"0", "USD", 0, true, "0.00"},
		{"0.05", "CHF", 5, true, "0.05"}, {"1230", "JPY", 1230, true, "1230"}, {"10000000.00", "EUR", MaxAmount, true, "10000000.00"},
		{"10000000.01", "EUR", MaxAmount + 1, false, ""}, {"12.345", "EUR", 0, false, ""}, {"1230.5", "JPY", 0, false, ""}, {"-1", "EUR", 0, false, ""},
		{"+1", "EUR", 0, false, ""}, {"1e3", "EUR", 0, false, ""}, {"1,5", "EUR", 0, false, ""}, {".5", "EUR", 0, false, ""}, {"5.", "EUR", 0, false, ""},
		{"", "EUR", 0, false, ""}, {"1", "EU", 0, false, ""}, {"1", "eur", 0, false, ""}, {"9999999999999999999", "EUR", 0, false, ""}, {"١", "EUR", 0, false, ""},
	} {
		n, ok := ParseAmount(c.text, c.currency)
		if ok != c.ok || ok && (n != c.amount || Money{n, c.currency}.Decimal() != c.back) {
			t.Errorf("%s %s: %d %t, back %s", c.text, c.currency, n, ok, Money{n, c.currency}.Decimal())
		}
	}
	if got := (Money{-5, "EUR"}).Decimal(); got != "-0.05" {
		t.Error(got)
	}
	for _, r := range region.All() {
		for _, c := range r.Countries {
			if _, known := Digits(c.Currency); !known {
				t.Errorf("%s: %s is no currency", c.Code, c.Currency)
			}
		}
	}
}

func TestCyclesFitTerms(t *testing.T) {
	t.Parallel()
	var got []string
	for _, term := range append(Terms, "P2Y", "") {
		for _, c := range append(Cycles, "DAILY", "") {
			if c.Fits(term) {
				got = append(got, string(term)+" "+string(c))
			}
		}
	}
	if want := "P1M MONTHLY, P1Y MONTHLY, P1Y ANNUAL, P3Y MONTHLY, P3Y ANNUAL, P3Y TRIENNIAL"; strings.Join(got, ", ") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, ", "), want)
	}
}

func TestPriceFor(t *testing.T) {
	t.Parallel()
	now := time.Now()
	o := &Offer{MinQuantity: 2, MaxQuantity: 9, Prices: []*Price{
		{Region: "EUROPE", Currency: "EUR", Term: OneYear, BillingCycle: Monthly, Amount: 500},
		{Region: "EUROPE", Currency: "CHF", Term: OneMonth, BillingCycle: Monthly, Amount: 600},
		{Region: "USA", Currency: "USD", Term: OneYear, BillingCycle: Monthly, Amount: 700}}}
	bound := *o
	bound.Countries = []string{"DE", "US"}
	retired := *o
	retired.RetiredAt = &now
	for _, c := range []struct {
		o       *Offer
		country string
		term    Term
		want    string
	}{
		{o, "IT", OneYear, "5.00 EUR"}, {o, "it", OneYear, "5.00 EUR"}, {o, "CH", OneMonth, "6.00 CHF"}, {o, "US", OneYear, "7.00 USD"},
		{o, "IT", OneMonth, CodeTermNotOffered}, {o, "GB", OneYear, CodeNotSold}, {o, "MX", OneYear, CodeNotSold}, {o, "XX", OneYear, CodeNotSold},
		{o, "", OneYear, CodeNotSold}, {&bound, "DE", OneYear, "5.00 EUR"}, {&bound, "IT", OneYear, CodeNotSold}, {&retired, "IT", OneYear, CodeOfferRetired},
	} {
		m, code := PriceFor(c.o, c.country, c.term, Monthly)
		if got := strings.TrimSpace(code + " " + m.Decimal() + " " + m.Currency); got != c.want && code != c.want {
			t.Errorf("%s %s: %s, want %s", c.country, c.term, got, c.want)
		}
	}
	var got []string
	for _, n := range []int{-1, 0, 1, 2, 9, 10} {
		got = append(got, o.CheckQuantity(n))
	}
	if want := "[QUANTITY_TOO_LOW QUANTITY_TOO_LOW QUANTITY_TOO_LOW   QUANTITY_TOO_HIGH]"; fmt.Sprint(got) != want {
		t.Error(got)
	}
}

const head = "sku,name,publisher_kind,publisher,product_line,category,min_quantity,max_quantity,countries,prerequisites,trial,azure_type,incentive_eligible,region,currency,term,billing_cycle,price\n"

// problems tells what is wrong with a file as line, column and code.
func problems(format Format, content string) string {
	_, f := parse(format, []byte(content))
	out := []string{}
	for _, p := range f.Kept {
		if !slices.Contains(ProblemCodes, p.Code) {
			out = append(out, "an unlisted code:")
		}
		out = append(out, strings.Join(strings.Fields(fmt.Sprintf("%d %s %s", p.Line, p.Column, p.Code)), " "))
	}
	return strings.Join(out, ", ")
}

const good = "a-1,Alpha,first_party,Meridian,Work,Mail,1,300,,,,,yes,EUROPE,EUR,P1Y,MONTHLY,5.60\n"

func TestCSV(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ content, want string }{
		"good":                  {head + good + "A-1,,,,,,,,,,,,,EUROPE,CHF,P1Y,monthly,6\n", ""},
		"nothing":               {"", "0 CSV_NO_LINES"},
		"no price":              {head + "a-1,Alpha,first_party,Meridian,Work,Mail,,,,,,,,,,,,\n", "2 region REQUIRED, 2 currency REQUIRED, 2 term REQUIRED, 2 billing_cycle REQUIRED, 2 price REQUIRED"},
		"no product":            {head + "a-1,,,,,,,,,,,,,EUROPE,EUR,P1Y,MONTHLY,5\n", "2 name REQUIRED, 2 publisher_kind REQUIRED, 2 publisher REQUIRED, 2 product_line REQUIRED, 2 category REQUIRED"},
		"said again otherwise":  {head + good + "a-1,Alpha,first_party,Other,,,,,,,,,,USA,USD,P1Y,MONTHLY,5\n", "3 publisher PRODUCT_DIFFERS"},
		"a price twice":         {head + good + "a-1,,,,,,,,,,,,,europe,eur,p1y,monthly,5\n", "3 price LINE_TWICE"},
		"a SKU with a space":    {head + strings.Replace(good, "a-1", "a 1", 1), "2 sku SKU_INVALID"},
		"needs itself":          {head + strings.Replace(good, "300,,,", "300,,A-1,", 1), "2 prerequisites SKU_INVALID"},
		"no licences":           {head + strings.Replace(good, "1,300", "0,1000001", 1), "2 min_quantity INVALID, 2 max_quantity INVALID"},
		"fewer than the least":  {head + strings.Replace(good, "1,300", "300,10", 1), "2 max_quantity QUANTITY_RANGE"},
		"unknown countries":     {head + strings.Replace(good, "300,,", "300,IT ZZ Italy,", 1), "2 countries COUNTRY_UNKNOWN, 2 countries COUNTRY_UNKNOWN"},
		"an unpriced country":   {head + strings.Replace(good, "300,,", "300,IT CH,", 1), "2 countries COUNTRY_WITHOUT_PRICE"},
		"a foreign currency":    {head + strings.Replace(good, "EUR,P1Y", "USD,P1Y", 1), "2 currency CURRENCY_NOT_OF_REGION"},
		"no such region":        {head + strings.Replace(good, "EUROPE", "MARS", 1), "2 region REGION_UNKNOWN"},
		"no such term":          {head + strings.Replace(good, "P1Y", "P2Y", 1), "2 term INVALID"},
		"no such cycle":         {head + strings.Replace(good, "MONTHLY", "DAILY", 1), "2 billing_cycle INVALID"},
		"a cycle too long":      {head + strings.Replace(good, "MONTHLY", "TRIENNIAL", 1), "2 billing_cycle CYCLE_NOT_OF_TERM"},
		"a price of 3 places":   {head + strings.Replace(good, "5.60", "5.601", 1), "2 price PRICE_INVALID"},
		"a price below nothing": {head + strings.Replace(good, "5.60", "-5.60", 1), "2 price PRICE_INVALID"},
		"a comma in the price":  {head + strings.Replace(good, "5.60", "\"5,60\"", 1), "2 price PRICE_INVALID"},
		"another kind":          {head + strings.Replace(good, "first_party", "second_party", 1), "2 publisher_kind INVALID"},
		"a long name":           {head + strings.Replace(good, "Alpha", strings.Repeat("A", 101), 1), "2 name TOO_LONG"},
		"every line told":       {head + strings.Replace(good, "5.60", "x", 1) + "b-1,Beta,first_party,M,W,C,x,,,,,,,EUROPE,EUR,P1Y,MONTHLY,5\n,,,,,,,,,,,,,,,,,1\n", "2 price PRICE_INVALID, 3 min_quantity INVALID, 4 sku REQUIRED, 4 name REQUIRED, 4 publisher_kind REQUIRED, 4 publisher REQUIRED, 4 product_line REQUIRED, 4 category REQUIRED, 4 region REQUIRED, 4 currency REQUIRED, 4 term REQUIRED, 4 billing_cycle REQUIRED"},
	} {
		if got := problems(CSV, c.content); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, c.want)
		}
	}
}

const goodJSON = `{"offers":[{"sku":"a-1","name":"Alpha","publisher_kind":"FIRST_PARTY","publisher":"Meridian","product_line":"Work","category":"Mail",` +
	`"min_quantity":1,"max_quantity":300,"incentive_eligible":true,"prices":[{"region":"EUROPE","currency":"EUR","term":"P1Y","billing_cycle":"MONTHLY","price":5.60}]}]}`

func TestJSON(t *testing.T) {
	t.Parallel()
	with := func(old, fresh string) string { return strings.Replace(goodJSON, old, fresh, 1) }
	for name, c := range map[string]struct{ content, want string }{
		"good":                 {goodJSON, ""},
		"a price as text":      {with("5.60", `"5.60"`), ""},
		"null says nothing":    {with(`"min_quantity":1`, `"min_quantity":null`), ""},
		"nothing":              {"", "0 JSON_MALFORMED"},
		"a list":               {"[]", "0 JSON_MALFORMED"},
		"something after":      {goodJSON + "{}", "0 JSON_MALFORMED"},
		"half a file":          {goodJSON[:90], "0 JSON_MALFORMED"},
		"another key":          {`{"offers":[],"more":1}`, "0 JSON_MALFORMED"},
		"no offers":            {`{"offers":[]}`, "0 CSV_NO_LINES"},
		"null":                 {`{"offers":[null]}`, "1 sku REQUIRED, 1 name REQUIRED, 1 publisher_kind REQUIRED, 1 publisher REQUIRED, 1 product_line REQUIRED, 1 category REQUIRED, 1 prices PRICE_MISSING"},
		"no prices":            {with(`"prices":[{`, `"prices":[],"x":[{`), "1 x COLUMN_UNKNOWN, 1 prices PRICE_MISSING"},
		"prices that are none": {with(`"prices":[`, `"prices":[1,`), "1 prices PRICE_MISSING"},
		"a price out of place": {with(`"price":5.60`, `"price":[5],"tax":1`), "1 prices.1.price INVALID, 1 prices.1.tax COLUMN_UNKNOWN, 1 prices.1.price REQUIRED"},
		"an object as a name":  {with(`"name":"Alpha"`, `"name":{}`), "1 name INVALID, 1 name REQUIRED"},
		"a large number":       {with(`5.60`, `5.6e7`), "1 prices.1.price PRICE_INVALID"},
		"twice":                {with(`"offers":[`, `"offers":[`+goodJSON[11:len(goodJSON)-2]+","), "2 sku OFFER_TWICE"},
		"Latin-1":              {with("Alpha", "\xe0"), "0 FILE_NOT_TEXT"},
	} {
		if got := problems(JSON, c.content); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, c.want)
		}
	}
}

// Both formats say the same, and an offer's content is such a file again.
func TestFormatsAgree(t *testing.T) {
	t.Parallel()
	fromCSV, f := parse(CSV, []byte(head+good))
	fromJSON, g := parse(JSON, []byte(goodJSON))
	if f.Count+g.Count > 0 || fromCSV[0].offer.Digest != fromJSON[0].offer.Digest || fromCSV[0].offer.Digest == "" {
		t.Error(problems(CSV, head+good), problems(JSON, goodJSON))
	}
	again, f := parse(JSON, []byte(`{"offers":[`+fromCSV[0].offer.content()+`]}`))
	if f.Count > 0 || again[0].offer.Digest != fromCSV[0].offer.Digest {
		t.Error(problems(JSON, `{"offers":[`+fromCSV[0].offer.content()+`]}`))
	}
}

// The demo catalogue is believable: sixty offers of every kind, of several
// publishers, all sold in Italy, Germany and Switzerland but for what is not.
func TestDemoCatalogue(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("../seed/catalog.csv")
	if err != nil {
		t.Fatal(err)
	}
	entries, f := parse(CSV, content)
	needPrerequisites(Merge, entries, nil, f)
	if f.Count > 0 || len(entries) != 60 {
		t.Fatalf("%d offers: %v", len(entries), f.Kept)
	}
	count := map[string]int{}
	publishers := map[string]bool{}
	for _, e := range entries {
		o := e.offer
		publishers[o.Publisher] = true
		for name, is := range map[string]bool{"third": o.PublisherKind == ThirdParty, "add-on": o.IsAddOn(), "trial": o.Trial, "azure": o.AzureType,
			"eligible": o.IncentiveEligible, "bound": len(o.Countries) > 0} {
			if is {
				count[name]++
			}
		}
		for _, country := range []string{"IT", "DE", "US"} {
			if c, _ := region.Find(country); o.SoldIn(c) {
				count[country]++
			}
		}
		if o.Trial && o.Prices[0].Amount != 0 {
			t.Errorf("%s is tried for money", o.SKU)
		}
	}
	if got := fmt.Sprint(count, len(publishers)); got != "map[DE:60 IT:60 US:59 add-on:15 azure:1 bound:5 eligible:52 third:10 trial:4] 6" {
		t.Error(got)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(head + good))
	f.Add([]byte(goodJSON))
	f.Fuzz(func(t *testing.T, content []byte) {
		for _, format := range []Format{CSV, JSON} {
			entries, found := parse(format, content)
			if found.Count == 0 && len(entries) == 0 {
				t.Error("nothing was read and nothing said")
			}
		}
	})
}
