package region

import (
	_ "embed"
	"slices"
	"strings"
)

//go:embed states.txt
var stateTable string

// State is a part of a country that addresses there name: a state, province,
// territory or federal district.
type State struct {
	// Code is the second half of the ISO 3166-2 code, such as CA or ON.
	Code string
	// Name is the English name.
	Name string
}

var states = func() map[string][]State {
	m := map[string][]State{}
	for line := range strings.Lines(stateTable) {
		if code, name, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			country, part, _ := strings.Cut(code, "-")
			m[country] = append(m[country], State{Code: part, Name: name})
		}
	}
	return m
}()

// States lists the states that an address in a country must name one of, by
// English name; none where the country has no list.
func States(country string) []State { return states[strings.ToUpper(country)] }

// FindState reads a state by code or English name, in any case.
func FindState(country, s string) (State, bool) {
	s = strings.TrimSpace(s)
	all := States(country)
	i := slices.IndexFunc(all, func(st State) bool { return strings.EqualFold(st.Code, s) || strings.EqualFold(st.Name, s) })
	if i < 0 {
		return State{}, false
	}
	return all[i], true
}

// noPostcode are the countries that have no postal codes in general use.
const noPostcode = " AE AG AO AQ AW BF BI BJ BO BQ BS BW BZ CD CF CG CI CK CM CW DJ DM ER FJ GA GD GH GM GN GQ GY HK IE KI KM KN KP LC LY ML MO MR MW NA NR NU PA QA RW SB SC SL SR SS ST SX SY TD TF TG TK TL TO TT TV UG VU WS YE ZW "

// PostcodeRequired reports whether addresses in a country need a postal code.
func (c Country) PostcodeRequired() bool { return !strings.Contains(noPostcode, " "+c.Code+" ") }
