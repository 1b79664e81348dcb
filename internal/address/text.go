package address

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/publicsuffix"
	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"github.com/channelgraph/channelgraph/internal/fault"
)

// MaxName is the longest name of a person or a company, in characters.
const MaxName = 100

// hidden says which characters no stored text may hold: controls, format
// characters (bidirectional marks, zero-width ones, tags, soft hyphens), line
// and paragraph separators, fillers that look like nothing, private use.
func hidden(r rune) bool {
	switch r {
	case utf8.RuneError, 0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180B, 0x180C, 0x180D, 0x180F, 0x2800, 0x3164, 0xFFA0:
		return true
	}
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co, unicode.Cs)
}

// Clean reports whether a text holds none of the characters that deceive or
// break: control, bidirectional, zero-width. Line breaks and tabs are among
// them.
func Clean(s string) bool { return utf8.ValidString(s) && !strings.ContainsFunc(s, hidden) }

// Line makes one line of plain text of what was typed: NFC, trimmed, spaces
// collapsed, at most limit characters; "" stays "". Errors at the whole
// input: TOO_LONG, CONTROL_CHARACTERS.
func Line(s string, limit int) (string, error) {
	if len(s) > limit*8+64 { // before any work on it
		return "", tooLong(limit)
	}
	if !Clean(s) {
		return "", fault.Invalid("", fault.CodeControlChars)
	}
	s = strings.Join(strings.Fields(norm.NFC.String(s)), " ")
	if utf8.RuneCountInString(s) > limit {
		return "", tooLong(limit)
	}
	return s, nil
}

// Name is Line for the name of a person, a company or a thing that others
// will read in mails: it must not be empty and must hold nothing that a mail
// program makes a link of. Errors also: REQUIRED, LINK_NOT_ALLOWED.
func Name(s string, limit int) (string, error) {
	s, err := Line(s, limit)
	switch {
	case err != nil:
		return "", err
	case s == "":
		return "", fault.Invalid("", fault.CodeRequired)
	case HasLink(s):
		return "", fault.Invalid("", CodeLink)
	}
	return s, nil
}

// PlainText cleans a text of several lines: NFC, line ends as \n, trimmed, at
// most limit characters; \n and \t are the only controls. "" stays "".
// Errors at the whole input: TOO_LONG, CONTROL_CHARACTERS.
func PlainText(s string, limit int) (string, error) {
	if len(s) > limit*8+64 {
		return "", tooLong(limit)
	}
	s = strings.ReplaceAll(s, "\r\n", "\n")
	if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return r != '\n' && r != '\t' && hidden(r) }) {
		return "", fault.Invalid("", fault.CodeControlChars)
	}
	s = strings.TrimSpace(norm.NFC.String(s))
	if utf8.RuneCountInString(s) > limit {
		return "", tooLong(limit)
	}
	return s, nil
}

// Note is PlainText for what a person writes into a mail that we send: it may
// name no other way of contact (security decision D17). Error also:
// CONTACT_DETAILS_NOT_ALLOWED.
func Note(s string, limit int) (string, error) {
	s, err := PlainText(s, limit)
	if err == nil && HasContactDetails(s) {
		return "", fault.Invalid("", CodeContactDetails)
	}
	return s, err
}

func tooLong(limit int) error {
	return fault.Invalid("", fault.CodeTooLong, "max", fmt.Sprint(limit))
}

// dots are what separates the labels of a host.
const dots = ".。．｡"

var (
	scheme   = regexp.MustCompile(`(?i)\b(?:[a-z][a-z0-9+.-]{1,20}:/+|www\d?\.|mailto:|tel:|javascript:|data:)`)
	hostLike = regexp.MustCompile(`[\pL\pN](?:[\pL\pM\pN-]*[\pL\pM\pN])?(?:[.。．｡][\pL\pN](?:[\pL\pM\pN-]*[\pL\pM\pN])?)+`)
	mailLike = regexp.MustCompile(`[^\s@]\s?@\s?[^\s@]+[.。．｡]\pL`)
	mailSaid = regexp.MustCompile(`(?i)\S\s*[\[({]\s*(?:at|chiocciola|arroba)\s*[\])}]\s*\S`)
	literal  = regexp.MustCompile(`(?:^|[^\d.])(?:\d{1,3}\.){3}\d{1,3}(?:[^\d.]|$)`)
)

// notHost are labels before a dot after which a word that happens to be a top
// level domain is a company's form instead: Soc.Coop., Co.Ltd, Pty.Ltd.
var notHost = map[string]bool{"soc": true, "co": true, "pty": true, "pvt": true, "ltd": true, "inc": true, "corp": true, "cia": true}

// HasLink reports whether a text holds something that mail programs make a
// link of: a URL, an address, an IP address, a bare domain under a top level
// domain that exists.
func HasLink(s string) bool {
	s = norm.NFKC.String(s)
	dotted := strings.ContainsAny(s, dots)
	if !dotted && !strings.Contains(s, ":") { // most texts, and patterns are dear
		return false
	}
	if scheme.MatchString(s) || dotted && (mailLike.MatchString(s) || literal.MatchString(s)) {
		return true
	}
	for _, h := range hostLike.FindAllString(s, -1) {
		if host(h) {
			return true
		}
	}
	return false
}

func host(h string) bool {
	h = strings.NewReplacer("。", ".", "．", ".", "｡", ".").Replace(h)
	d, err := Domain(h)
	if err != nil {
		return false
	}
	labels := strings.Split(d, ".")
	suffix, icann := publicsuffix.PublicSuffix(d)
	if !icann && !strings.Contains(suffix, ".") { // the list's default rule: no such top level domain
		return false
	}
	return len(labels) > 2 || !notHost[labels[0]]
}

var (
	dates   = regexp.MustCompile(`\b(?:\d{4}-\d{1,2}-\d{1,2}|\d{1,2}[./-]\d{1,2}[./-]\d{2,4}|\d{4}\s?[-/–]\s?\d{4}|\d{1,2}:\d{2}(?::\d{2})?)\b`)
	amounts = regexp.MustCompile(`\b\d{1,3}(?:[.,'’]\d{3}){1,2}(?:[.,]\d{1,2})?\b`)
	numbers = regexp.MustCompile(`(?:\+\s?|\(\s?|\b)\d(?:[\s().\-–/·•]{0,3}\d){5,}`)
)

// HasContactDetails reports whether a text names a way to reach somebody: a
// link (HasLink), an address also where the @ is spelled out, or a telephone
// number. Dates, amounts and numbers of up to eight digits pass.
func HasContactDetails(s string) bool {
	if HasLink(s) || mailSaid.MatchString(s) {
		return true
	}
	s = digits(norm.NFKC.String(s))
	s = dates.ReplaceAllString(s, " x ")
	s = withoutAmounts(s)
	for _, n := range numbers.FindAllString(s, -1) {
		first := strings.TrimLeft(n, "( ")
		if d := count(n); d >= 9 || d >= 7 && (first[0] == '+' || first[0] == '0' || n[0] == '(') {
			return true
		}
	}
	return false
}

// withoutAmounts takes out numbers that are grouped by thousands and go on in
// no other way.
func withoutAmounts(s string) string {
	var b strings.Builder
	end := 0
	for _, m := range amounts.FindAllStringIndex(s, -1) {
		a, rest := s[m[0]:m[1]], s[m[1]:]
		more := len(rest) > 1 && strings.ContainsRune(".,'", rune(rest[0])) && '0' <= rest[1] && rest[1] <= '9'
		if more || count(a) > 8 || a[0] == '0' {
			continue
		}
		b.WriteString(s[end:m[0]] + " x ")
		end = m[1]
	}
	return b.String() + s[end:]
}

func count(s string) (n int) {
	for _, r := range s {
		if '0' <= r && r <= '9' {
			n++
		}
	}
	return n
}

// digits writes the decimal digits of every script as ASCII.
func digits(s string) string {
	return strings.Map(func(r rune) rune {
		if r < utf8.RuneSelf || !unicode.IsDigit(r) {
			return r
		}
		zero := r
		for unicode.IsDigit(zero-1) && r-zero < 9 {
			zero--
		}
		return '0' + (r - zero)
	}, s)
}

// Fold is the form in which names are sorted and compared: compatibility
// forms, case, accents, punctuation and runs of spaces make no difference.
// Text of nothing but punctuation folds to its lower case self.
func Fold(s string) string {
	var b strings.Builder
	space := false
	for _, r := range norm.NFKD.String(strings.ToLower(cases.Fold().String(norm.NFKC.String(s)))) {
		switch {
		case 0x0300 <= r && r <= 0x036F, r == '.', r == '\'', r == '’', hidden(r):
		case unicode.IsLetter(r), unicode.IsDigit(r), unicode.IsMark(r), unicode.IsNumber(r):
			if space && b.Len() > 0 {
				b.WriteByte(' ')
			}
			space = false
			b.WriteRune(r)
		default:
			space = true
		}
	}
	if b.Len() == 0 {
		return strings.ToLower(strings.TrimSpace(s))
	}
	return norm.NFC.String(b.String())
}

// legalForms are the endings of company names, folded.
var legalForms = func() map[string]bool {
	m := map[string]bool{}
	for _, f := range []string{
		"spa", "srl", "srls", "snc", "sas", "sapa", "scarl", "scrl", "scpa", "soc coop", "soccoop", "scarl onlus", "a rl", "arl", "societa per azioni",
		"societa a responsabilita limitata", "societa cooperativa", "ss", "soc coop a rl", "societa benefit", "sb", "a socio unico", "unipersonale",
		"ltd", "limited", "llc", "llp", "lp", "plc", "inc", "incorporated", "corp", "corporation", "co", "company", "pllc", "pty", "pvt", "private", "proprietary",
		"gmbh", "mbh", "ag", "kg", "kgaa", "ohg", "ug", "gbr", "ev", "eg", "ek", "gmbh co kg", "ug haftungsbeschrankt", "haftungsbeschrankt",
		"sa", "sarl", "sasu", "eurl", "sci", "scop", "selarl", "sl", "slu", "slne", "sau", "lda", "ltda", "unipessoal", "eireli", "cv", "sa de cv", "s de rl", "de cv", "rl",
		"bv", "nv", "vof", "bvba", "sprl", "srl bv", "se", "ab", "hb", "as", "asa", "oy", "oyj", "aps", "ivs", "is", "ehf", "hf",
		"doo", "dd", "dooel", "ood", "eood", "ad", "ead", "sro", "spol sro", "spol s ro", "zrt", "kft", "nyrt", "bt", "sp z oo", "spzoo", "sp zoo", "sp k", "uab", "sia", "ou",
		"kk", "gk", "yk", "bhd", "sdn", "sdn bhd", "pte", "pt", "tbk", "jsc", "ooo", "oao", "zao", "ao", "pao", "tov", "as ticaret", "ltd sti", "sti",
	} {
		m[f] = true
	}
	return m
}()

// FoldCompany is Fold for company names with the legal form at the end left
// away, for finding duplicates: "ACME S.p.A." and "Acme" fold alike. A name
// that is nothing but a legal form keeps it.
func FoldCompany(s string) string {
	w := strings.Fields(Fold(s))
	for again := true; again; {
		again = false
		for n := min(4, len(w)-1); n >= 1; n-- {
			if legalForms[strings.Join(w[len(w)-n:], " ")] {
				w, again = w[:len(w)-n], true
				break
			}
		}
	}
	return strings.Join(w, " ")
}

// LegalFormOnly reports whether a company name is nothing but a legal form or
// punctuation, which names nobody.
func LegalFormOnly(s string) bool {
	f := FoldCompany(s)
	return legalForms[f] || !strings.ContainsFunc(f, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) })
}
