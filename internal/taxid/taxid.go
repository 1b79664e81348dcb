// Package taxid owns what the registration numbers of companies look like:
// for the countries of the EU's VAT area, the United Kingdom, Switzerland and
// the United States the shapes and check digits of the numbers by which their
// authorities know a company (VAT and tax numbers, and the numbers of the
// company registers), for every other country the form alone. It never says
// that a number was given out, or to whom; that is a register's to say.
//
// Invariant: what Check returns as canonical passes Check again and is its
// own canonical form, so that two spellings of one number compare as equal
// texts.
package taxid

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// CodeInvalid is the problem of a number that cannot be one of its country.
const CodeInvalid = "REGISTRATION_ID_INVALID"

// Lengths of a number without its separators, where only the form is known.
const (
	MinLen = 3
	MaxLen = 30
)

// maxTyped bounds, in bytes, what is looked at at all.
const maxTyped = 200

// kind is one kind of number of a country: its shape in capitals without
// separators and country prefix, its check digits, and the form in which it
// is compared where that is not the number itself.
type kind struct {
	shape *regexp.Regexp
	ok    func(n string) bool
	canon func(n string) string
}

// country is what is known of a country: the prefixes that people write
// before a number, and the kinds of numbers, the usual one first.
type country struct {
	prefixes []string
	kinds    []kind
}

// Check says whether a number can be the registration number of a company in
// a country, given by its two letter code in any case. canonical is the form
// in which numbers are compared: capitals, no separators, no country prefix,
// and of numbers that hold another one (a VAT number around a company number)
// the inner one. problem is "" or CodeInvalid, with which canonical is "".
//
// Where the country's rules are not known, a number is 3 to 30 letters and
// digits with at least one digit.
func Check(countryCode, number string) (canonical, problem string) {
	n, ok := squeeze(number)
	if !ok {
		return "", CodeInvalid
	}
	c, known := countries[strings.ToUpper(countryCode)]
	if !known {
		if count := utf8.RuneCountInString(n); count < MinLen || count > MaxLen || strings.ContainsAny(n, "+*") || !strings.ContainsFunc(n, unicode.IsDigit) {
			return "", CodeInvalid
		}
		return n, ""
	}
	// As it stands first: a number may begin with the letters of its prefix.
	if canonical, ok := c.read(n); ok {
		return canonical, ""
	}
	for _, p := range c.prefixes {
		if rest, cut := strings.CutPrefix(n, p); cut {
			if canonical, ok := c.read(rest); ok {
				return canonical, ""
			}
		}
	}
	return "", CodeInvalid
}

// Known reports whether the numbers of a country are checked by more than
// their form.
func Known(countryCode string) bool {
	_, known := countries[strings.ToUpper(countryCode)]
	return known
}

func (c country) read(n string) (canonical string, ok bool) {
	for _, k := range c.kinds {
		if !k.shape.MatchString(n) || k.ok != nil && !k.ok(n) {
			continue
		}
		if k.canon != nil {
			n = k.canon(n)
		}
		return n, true
	}
	return "", false
}

// squeeze makes capitals of a number and takes out what people write between
// its parts; it fails where anything else than letters and digits is left
// ('+' and '*' stand in old Irish numbers).
func squeeze(s string) (string, bool) {
	if len(s) > maxTyped || !utf8.ValidString(s) {
		return "", false
	}
	bad := false
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsLetter(r), unicode.Is(unicode.Nd, r), r == '+', r == '*':
			return r
		case r == ' ', r == '.', r == '/', r == ',', r == '\'', unicode.Is(unicode.Pd, r):
			return -1
		}
		bad = true
		return r
	}, strings.ToUpper(norm.NFKC.String(s)))
	return s, !bad && s != ""
}
