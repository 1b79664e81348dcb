// Package address owns what an e-mail address, a domain and a text that a
// person typed must look like before anything is done with them: parsing,
// folding for comparison, lists of webmail, disposable and role mailboxes,
// and the hygiene of names and notes (security decision D17). It never talks
// to a network and never decides who may use an address.
//
// Invariant: what Parse, Domain, Name and PlainText return holds no control,
// bidirectional or zero-width character.
package address

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"
	"golang.org/x/text/unicode/norm"

	"github.com/channelgraph/channelgraph/internal/fault"
)

// Codes of what can be wrong with an address, a domain or a text.
const (
	CodeEmailInvalid    = "EMAIL_INVALID"
	CodeEmailTooLong    = "EMAIL_TOO_LONG"
	CodeEmailWebmail    = "EMAIL_WEBMAIL"
	CodeEmailDisposable = "EMAIL_DISPOSABLE"
	CodeEmailRole       = "EMAIL_ROLE_MAILBOX"
	CodeDomainInvalid   = "DOMAIN_INVALID"
	CodeLink            = "LINK_NOT_ALLOWED"
	CodeContactDetails  = "CONTACT_DETAILS_NOT_ALLOWED"
)

// MaxLen is the longest address in bytes (RFC 5321: a path of 256 with its
// angle brackets).
const MaxLen = 254

// Address is a mailbox that SMTP can carry: no quoted local part, no comment,
// no address literal, the domain in its ASCII form.
type Address struct {
	// Local is the part before the @ as it was typed, in NFC.
	Local string
	// Domain is the part after it: lower case, ASCII (punycode).
	Domain string
	// NeedsSMTPUTF8 says that the local part is not ASCII, so that only a
	// server which offers SMTPUTF8 can take it.
	NeedsSMTPUTF8 bool
}

// String is the address for an envelope and a header.
func (a Address) String() string { return a.Local + "@" + a.Domain }

// Folded is the form under which addresses are compared: lower case.
func (a Address) Folded() string { return strings.ToLower(a.Local) + "@" + a.Domain }

// Display is the address with its domain as people write it.
func (a Address) Display() string { return a.Local + "@" + Unicode(a.Domain) }

// Parse reads one bare address. Errors: EMAIL_TOO_LONG beyond 254 bytes,
// which is checked before anything else, and EMAIL_INVALID; both stand at the
// whole input, so that fault.Problems.Merge can place them.
func Parse(s string) (Address, error) {
	if len(s) > MaxLen {
		return Address{}, fault.Invalid("", CodeEmailTooLong, "max", "254")
	}
	invalid := fault.Invalid("", CodeEmailInvalid)
	s = norm.NFC.String(strings.TrimSpace(s))
	at := strings.LastIndexByte(s, '@')
	if at < 1 || at > 64 {
		return Address{}, invalid
	}
	local := s[:at]
	if !dotAtom(local) {
		return Address{}, invalid
	}
	domain, err := Domain(s[at+1:])
	if err != nil {
		return Address{}, invalid
	}
	if len(local)+1+len(domain) > MaxLen { // punycode may have made it longer
		return Address{}, fault.Invalid("", CodeEmailTooLong, "max", "254")
	}
	return Address{Local: local, Domain: domain, NeedsSMTPUTF8: !ascii(local)}, nil
}

func dotAtom(s string) bool {
	if s == "" || s[0] == '.' || s[len(s)-1] == '.' || strings.Contains(s, "..") || !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		switch {
		case r < utf8.RuneSelf:
			if !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune(".!#$%&'*+-/=?^_`{|}~", r) {
				return false
			}
		case hidden(r), !unicode.In(r, unicode.L, unicode.M, unicode.Nd):
			return false
		}
	}
	return true
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

var profile = idna.New(idna.MapForLookup(), idna.Transitional(false), idna.StrictDomainName(true), idna.BidiRule(), idna.VerifyDNSLength(true))

// Domain reads a host name with at least two labels, in any script, and gives
// its lower case ASCII form. Error: DOMAIN_INVALID.
func Domain(s string) (string, error) {
	invalid := fault.Invalid("", CodeDomainInvalid)
	if len(s) > 1000 || strings.ContainsFunc(s, hidden) || strings.HasSuffix(s, ".") {
		return "", invalid
	}
	d, err := profile.ToASCII(s)
	if err != nil || len(d) > 253 {
		return "", invalid
	}
	d = strings.ToLower(d)
	top := d[strings.LastIndexByte(d, '.')+1:]
	if top == d || len(top) < 2 || strings.Trim(top, "0123456789") == "" {
		return "", invalid
	}
	return d, nil
}

// Unicode is a domain as people write it, or the domain itself where its
// punycode cannot be read.
func Unicode(domain string) string {
	if u, err := profile.ToUnicode(domain); err == nil {
		return u
	}
	return domain
}

// Registrable is the part of an ASCII domain that its owner registered:
// mail.example.co.uk gives example.co.uk. A public suffix is its own.
func Registrable(domain string) string {
	if d, err := publicsuffix.EffectiveTLDPlusOne(domain); err == nil {
		return d
	}
	return domain
}

// MixedScript reports whether a label of an ASCII domain mixes letters of
// scripts that look alike (Latin, Cyrillic, Greek, Armenian, Cherokee), as
// names made to deceive do and names of companies do not.
func MixedScript(domain string) bool {
	for label := range strings.SplitSeq(Unicode(domain), ".") {
		found := 0
		for _, script := range []*unicode.RangeTable{unicode.Latin, unicode.Cyrillic, unicode.Greek, unicode.Armenian, unicode.Cherokee} {
			if strings.ContainsFunc(label, func(r rune) bool { return unicode.Is(script, r) }) {
				found++
			}
		}
		if found > 1 {
			return true
		}
	}
	return false
}
