// Package region owns the countries of the programme, the regions they belong
// to, their currencies and registration rules, read from an embedded table.
// It never changes at run time; a partner's region is fixed by the country of
// its legal business location (spec section 1).
package region

import (
	"bytes"
	_ "embed"
	"encoding/csv"
	"fmt"
	"slices"
	"strings"
)

//go:embed regions.csv
var table []byte

// Code names a region, e.g. EUROPE.
type Code string

// Country is one country of the programme.
type Country struct {
	// Code is the ISO 3166-1 alpha-2 code, or the programme's own where ISO
	// has none.
	Code string
	// Name is the English name.
	Name   string
	Region Code
	// Currency is the ISO 4217 code that partners of the country use.
	Currency string
	// RegistrationIDRequired says that companies must give their registration
	// ID.
	RegistrationIDRequired bool
	// PhoneRequired says that customers must give a telephone number.
	PhoneRequired bool
	// Open says that newcomers may name this country; a delisted one only
	// serves those who are already there.
	Open bool
	// Cultures are the usual language tags, the first one preferred.
	Cultures []string
}

// Region is a part of the world inside which partners may work together.
type Region struct {
	Code      Code
	Name      string
	Countries []Country
}

var (
	countries = map[string]Country{}
	regions   = load()
)

func load() []Region {
	rows, err := csv.NewReader(bytes.NewReader(table)).ReadAll()
	if err != nil {
		panic(fmt.Sprintf("regions.csv: %v", err))
	}
	col := map[string]int{}
	for i, h := range rows[0] {
		col[h] = i
	}
	byCode := map[Code]*Region{}
	for _, r := range rows[1:] {
		get := func(name string) string { return r[col[name]] }
		c := Country{
			Code: get("partner_center_code"), Name: get("country"), Region: Code(get("region_code")), Currency: get("currency"),
			RegistrationIDRequired: get("registration_id_required") == "yes", PhoneRequired: get("customer_phone_required") == "yes",
			Open: get("status") == "listed", Cultures: strings.Fields(get("cultures")),
		}
		countries[c.Code] = c
		if byCode[c.Region] == nil {
			byCode[c.Region] = &Region{Code: c.Region, Name: get("region_name")}
		}
		byCode[c.Region].Countries = append(byCode[c.Region].Countries, c)
	}
	out := make([]Region, 0, len(byCode))
	for _, r := range byCode {
		slices.SortFunc(r.Countries, func(a, b Country) int { return strings.Compare(a.Name, b.Name) })
		out = append(out, *r)
	}
	slices.SortFunc(out, func(a, b Region) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// All lists the regions with their countries, both by English name.
func All() []Region { return regions }

// Find returns a country by its two letter code, in any case.
func Find(code string) (Country, bool) {
	c, ok := countries[strings.ToUpper(code)]
	return c, ok
}

// ByCode returns a region.
func ByCode(code Code) (Region, bool) {
	for _, r := range regions {
		if r.Code == code {
			return r, true
		}
	}
	return Region{}, false
}
