package register

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/address"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/partner"
	"github.com/channelgraph/channelgraph/internal/region"
	"github.com/channelgraph/channelgraph/internal/secret"
	"github.com/channelgraph/channelgraph/internal/sheet"
)

var membershipSheet = sheet.Sheet{
	Required: []string{"user_name", "programme_id", "legal_name", "country"},
	Optional: []string{"password", "password_hash", "active", "enrolled", "registration_id", "website", "address_line1", "address_line2", "city", "postal_code",
		"state", "contact_first_name", "contact_last_name", "contact_email", "contact_phone"},
}

var companySheet = sheet.Sheet{
	Required: []string{"country", "registration_id", "legal_name"},
	Optional: []string{"status", "address_line1", "address_line2", "city", "postal_code", "state"},
}

var programmeID = regexp.MustCompile(`^[1-9][0-9]{6}$`)

// credential is what a file says of a user name's password: a hash, a plain
// text to be hashed, or nothing, which keeps the one that is known.
type credential struct {
	userName, folded string
	password         secret.String
	hash             string
	line             int // of the first line with the user name
}

// silent reports that the file says nothing of the password.
func (c *credential) silent() bool { return c.password == "" && c.hash == "" }

// line is a line with the columns of both registers.
type line struct{ *sheet.Line }

// entries are what a file holds, checked as far as that goes without the
// register.
type entries struct {
	memberships []*Membership
	credentials []*credential // by user name, in the order of the file
	companies   []*Company
}

// parse reads a file of a kind.
func parse(kind ImportKind, content []byte) (*entries, *sheet.Findings) {
	f := &sheet.Findings{}
	var e *entries
	if kind == Memberships {
		e = memberships(membershipSheet.Read(content, f), f)
	} else {
		e = companies(companySheet.Read(content, f))
	}
	f.Sort()
	return e, f
}

func (e *entries) lines() int { return len(e.memberships) + len(e.companies) }

func memberships(lines []*sheet.Line, f *sheet.Findings) *entries {
	e := &entries{}
	logins, first := map[string]*credential{}, map[string]int{}
	for _, row := range lines {
		l := line{row}
		m := &Membership{UserName: l.Needed("user_name", 254), ProgrammeID: l.Needed("programme_id", 20), LegalName: l.Needed("legal_name", 200),
			RegistrationID: l.Text("registration_id", 50), Website: l.Text("website", 300), Country: l.country(),
			Active: l.Flag("active", true), Enrolled: l.Flag("enrolled", false), Address: l.address(), Contact: l.contact()}
		m.UserNameFolded, m.LegalNameFolded, m.Address.Country = FoldUserName(m.UserName), address.FoldCompany(m.LegalName), m.Country
		if m.ProgrammeID != "" && !programmeID.MatchString(m.ProgrammeID) {
			l.Bad("programme_id", partner.CodeProgrammeIDInvalid)
		}
		c := l.credential()
		c.userName, c.folded = m.UserName, m.UserNameFolded
		m.Digest = digest(m.UserName, m.LegalName, m.RegistrationID, m.Website, m.Country, m.Active, m.Enrolled, m.Address, m.Contact)
		e.memberships = append(e.memberships, m)
		if m.UserName == "" {
			continue
		}
		key := m.UserNameFolded + "\x00" + m.ProgrammeID
		if before, twice := first[key]; twice && m.ProgrammeID != "" {
			l.Bad("programme_id", sheet.CodeLineTwice, "line", fmt.Sprint(before))
		} else {
			first[key] = l.Number
		}
		known := logins[m.UserNameFolded]
		switch {
		case known == nil:
			logins[m.UserNameFolded] = c
			e.credentials = append(e.credentials, c)
		case known.silent():
			known.password, known.hash = c.password, c.hash
		case !c.silent() && (c.password != known.password || c.hash != known.hash):
			f.Add(l.Number, "password", CodePasswordDiffers, "line", fmt.Sprint(known.line))
		}
	}
	return e
}

// FoldUserName is the form in which user names are compared: trimmed, without
// regard to case, and to the width and composition of characters.
func FoldUserName(s string) string {
	s, err := address.Line(s, 254)
	if err != nil {
		return ""
	}
	return norm.NFKC.String(cases.Fold().String(norm.NFKC.String(s)))
}

func (l line) credential() *credential {
	c := &credential{password: secret.String(l.Raw("password")), hash: strings.TrimSpace(l.Raw("password_hash")), line: l.Number}
	switch {
	case c.password != "" && c.hash != "":
		l.Bad("password", CodePasswordTwice)
	case c.hash != "" && !account.IsPasswordHash(c.hash):
		l.Bad("password_hash", CodePasswordHash)
	case utf8.RuneCountInString(c.password.Reveal()) > account.MaxPassword:
		l.Bad("password", fault.CodeTooLong, "max", fmt.Sprint(account.MaxPassword))
	case c.password != "" && !address.Clean(c.password.Reveal()):
		l.Bad("password", fault.CodeControlChars)
	}
	return c
}

func (l line) country() string {
	code := l.Needed("country", 60)
	if code == "" {
		return ""
	}
	c, known := region.Find(code)
	if !known {
		l.Bad("country", partner.CodeCountryUnknown)
	}
	return c.Code
}

func (l line) address() partner.Address {
	return partner.Address{Line1: l.Text("address_line1", 200), Line2: l.Text("address_line2", 200), City: l.Text("city", 100),
		PostalCode: l.Text("postal_code", 20), State: l.Text("state", 100)}
}

func (l line) contact() partner.Contact {
	c := partner.Contact{FirstName: l.Text("contact_first_name", 50), LastName: l.Text("contact_last_name", 50), Phone: l.Text("contact_phone", 40)}
	if s := l.Text("contact_email", address.MaxLen); s != "" {
		a, err := address.Parse(s)
		if err != nil {
			l.Bad("contact_email", address.CodeEmailInvalid)
			return c
		}
		c.Email = a.String()
	}
	return c
}

func companies(lines []*sheet.Line) *entries {
	e := &entries{}
	first := map[string]int{}
	for _, row := range lines {
		l := line{row}
		c := &Company{Country: l.country(), RegistrationID: l.Needed("registration_id", 50), LegalName: l.Needed("legal_name", 300), Address: l.address()}
		c.Address.Country = c.Country
		switch status := strings.ToUpper(l.Text("status", 20)); status {
		case "", "ACTIVE":
		case "DISSOLVED":
			c.Dissolved = true
		default:
			l.Bad("status", partner.CodeStatusInvalid)
		}
		if c.RegistrationID != "" && c.Country != "" {
			if c.RegistrationIDFolded = partner.FoldRegistration(c.Country, c.RegistrationID); c.RegistrationIDFolded == "" {
				l.Bad("registration_id", partner.CodeRegistrationIDInvalid)
			} else if before, twice := first[c.key()]; twice {
				l.Bad("registration_id", sheet.CodeLineTwice, "line", fmt.Sprint(before))
			} else {
				first[c.key()] = l.Number
			}
		}
		c.Digest = digest(c.RegistrationID, c.LegalName, c.Dissolved, c.Address)
		e.companies = append(e.companies, c)
	}
	return e
}

func (c *Company) key() string    { return c.Country + " " + c.RegistrationIDFolded }
func (m *Membership) key() string { return m.UserNameFolded + "\x00" + m.ProgrammeID }

// digest tells two states of an entry apart.
func digest(values ...any) string {
	raw, err := json.Marshal(values)
	if err != nil {
		panic(err) // texts and flags
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:16])
}

// kept is what a register has under a key.
type kept struct {
	id     ident.ID
	digest string
}

// plan is what an import does to its register.
type plan struct {
	added, changed []int // places in the entries
	unchanged      int
	removed        []string // keys
}

// planned compares the entries of a file (their keys and digests) with those
// that a register keeps. touched says that an entry changes although its
// digest does not, as by a new password. Where the mode is Replace, before
// holds everything that the file may remove.
func planned(mode Mode, n int, entry func(i int) (key, digest string, touched bool), before map[string]kept) plan {
	var p plan
	named := make(map[string]bool, n)
	for i := range n {
		key, digest, touched := entry(i)
		named[key] = true
		switch old, known := before[key]; {
		case !known:
			p.added = append(p.added, i)
		case old.digest != digest || touched:
			p.changed = append(p.changed, i)
		default:
			p.unchanged++
		}
	}
	if mode == Replace {
		for key := range before {
			if !named[key] {
				p.removed = append(p.removed, key)
			}
		}
	}
	return p
}
