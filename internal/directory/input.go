package directory

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/channelgraph/channelgraph/internal/address"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/page"
	"github.com/channelgraph/channelgraph/internal/partner"
	"github.com/channelgraph/channelgraph/internal/region"
)

// Codes of the directory's verbs. A decision on a state that has moved on is
// refused with CONFLICT.
const (
	// CodeOpen says that the provider has an open request already.
	CodeOpen = "PROFILE_UPDATE_OPEN"
	// CodeNotActive says that the provider does not take part in the programme.
	CodeNotActive = "PROVIDER_NOT_ACTIVE"
	// CodeOwnOrganization says that the reviewer belongs to the provider.
	CodeOwnOrganization = "OWN_ORGANIZATION"
	// CodeUnchanged says that nothing would change.
	CodeUnchanged = "UNCHANGED"
	// CodeCountryOfRegion says that the provider works in another region.
	CodeCountryOfRegion = "COUNTRY_NOT_OF_REGION"
	// CodeCountryFixed says that a location stays in its country.
	CodeCountryFixed = "COUNTRY_FIXED"
	// CodeNotReviewer says that the user named does not review.
	CodeNotReviewer = "NOT_A_REVIEWER"
	// The following say what is wrong with an address of a page.
	CodeURLInvalid     = "TARGET_URL_INVALID"
	CodeURLScheme      = "TARGET_URL_NOT_HTTPS"
	CodeURLCredentials = "TARGET_URL_CREDENTIALS"
	CodeURLHost        = "TARGET_URL_PRIVATE_HOST"
	// CodeMonthInvalid says that a text is no month such as 2026-11.
	CodeMonthInvalid = "MONTH_INVALID"
)

// maxURL is the longest target URL, in bytes.
const maxURL = 500

// privateTops are top level names that lead nowhere in public, or into the
// reader's own network (RFC 6761, RFC 6762, RFC 7686, RFC 8375 and what
// routers use).
var privateTops = []string{"localhost", "local", "localdomain", "internal", "intranet", "private", "corp", "home", "lan", "arpa", "onion", "invalid",
	"test", "alt"}

// targetURL is the address of a company's page in its one spelling: https, a
// public host in ASCII, no port but the usual one, nobody's credentials.
func targetURL(s string) (string, error) {
	s = strings.TrimSpace(s)
	invalid := func(code string) (string, error) { return "", fault.Invalid("", code) }
	switch {
	case s == "":
		return invalid(fault.CodeRequired)
	case len(s) > maxURL:
		return "", fault.Invalid("", fault.CodeTooLong, "max", strconv.Itoa(maxURL))
	case !address.Clean(s) || strings.ContainsAny(s, "\\ <>\"`{}|^"):
		return invalid(CodeURLInvalid)
	}
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Opaque != "" || u.Host == "" && u.Scheme != "":
		return invalid(CodeURLInvalid)
	case !strings.EqualFold(u.Scheme, "https"):
		return invalid(CodeURLScheme)
	case u.User != nil:
		return invalid(CodeURLCredentials)
	case u.Port() != "" && u.Port() != "443" || strings.HasSuffix(u.Host, ":"):
		return invalid(CodeURLInvalid)
	}
	host, err := publicHost(u.Hostname())
	if err != nil {
		return "", err
	}
	u.Scheme, u.Host = "https", host
	if u.Path == "" {
		u.Path = "/"
	}
	if s = u.String(); len(s) > maxURL {
		return "", fault.Invalid("", fault.CodeTooLong, "max", strconv.Itoa(maxURL))
	}
	return s, nil
}

// publicHost is a host name in ASCII that anybody can look up: no IP address
// in any spelling, no name of a private network, none that mixes scripts to
// look like another.
func publicHost(s string) (string, error) {
	s = strings.TrimSuffix(s, ".")
	if _, err := netip.ParseAddr(s); err == nil {
		return "", fault.Invalid("", CodeURLHost)
	}
	d, err := address.Domain(s)
	top := s[strings.LastIndexByte(s, '.')+1:]
	switch {
	case slices.Contains(privateTops, strings.ToLower(top)), numeric(top):
		return "", fault.Invalid("", CodeURLHost)
	case err != nil:
		if !strings.Contains(s, ".") {
			return "", fault.Invalid("", CodeURLHost) // a name of the own network
		}
		return "", fault.Invalid("", CodeURLInvalid)
	}
	top = d[strings.LastIndexByte(d, '.')+1:]
	_, notAddress := netip.ParseAddr(d)
	switch {
	case slices.Contains(privateTops, top), numeric(top), notAddress == nil:
		return "", fault.Invalid("", CodeURLHost)
	case address.MixedScript(d):
		return "", fault.Invalid("", CodeURLInvalid)
	}
	return d, nil
}

// numeric reports whether programs read a last label as part of an IPv4
// address (the "ends in a number" check of the URL standard).
func numeric(label string) bool {
	digits := "0123456789"
	if hex, ok := strings.CutPrefix(strings.ToLower(label), "0x"); ok {
		label, digits = hex, "0123456789abcdef"
	}
	return strings.Trim(label, digits) == ""
}

// companyName is the name on a card: 2 to 100 characters, not a bare legal
// form, nothing that programs make a link of.
func companyName(s string) (string, error) {
	s, err := address.Name(s, address.MaxName)
	switch {
	case err != nil:
		return "", err
	case len([]rune(s)) < 2:
		return "", fault.Invalid("", fault.CodeTooShort, "min", "2")
	case address.LegalFormOnly(s):
		return "", fault.Invalid("", partner.CodeNameInvalid)
	}
	return s, nil
}

// SetListingInput opts in to the directory, or out.
type SetListingInput struct {
	Listed          bool
	ExpectedVersion *int
}

// LocationInput is what shall become of one location. What is nil stays as it
// is.
type LocationInput struct {
	// LocationID is nil for a location to be added.
	LocationID  *ident.ID
	CompanyName *string
	// Country is given where a location is added.
	Country   *string
	TargetURL *string
	// LogoFileID is an uploaded logo to show from now on.
	LogoFileID *ident.ID
	RemoveLogo bool
	Remove     bool
}

// SubmitInput files a profile update request.
type SubmitInput struct {
	Locations      []LocationInput
	IdempotencyKey *string
}

// Validate puts the input into its stored form or says all that is wrong with
// it.
func (in *SubmitInput) Validate() error { return validLocations(in.Locations) }

// validLocations checks the form of what shall become of the locations.
func validLocations(ls []LocationInput) error {
	var p fault.Problems
	switch {
	case len(ls) == 0:
		p.Add("locations", fault.CodeRequired)
	case len(ls) > MaxLocations:
		return fault.Invalid("locations", fault.CodeTooMany, "max", strconv.Itoa(MaxLocations))
	}
	named := map[ident.ID]bool{}
	for i := range ls {
		_ = p.Merge("locations."+strconv.Itoa(i), ls[i].validate(named))
	}
	return p.Err()
}

func (l *LocationInput) validate(named map[ident.ID]bool) error {
	var p fault.Problems
	added := l.LocationID == nil
	if !added && named[*l.LocationID] {
		p.Add("locationId", fault.CodeInvalid)
	}
	if !added {
		named[*l.LocationID] = true
	}
	if l.Remove {
		if added {
			p.Add("isRemoved", fault.CodeInvalid)
		}
		if l.CompanyName != nil || l.Country != nil || l.TargetURL != nil || l.LogoFileID != nil || l.RemoveLogo {
			p.Add("isRemoved", fault.CodeInvalid)
		}
		return p.Err()
	}
	for _, f := range []struct {
		path string
		to   **string
		read func(string) (string, error)
	}{{"companyName", &l.CompanyName, companyName}, {"targetUrl", &l.TargetURL, targetURL}} {
		switch {
		case *f.to != nil:
			v, err := f.read(**f.to)
			_ = p.Merge(f.path, err)
			*f.to = &v
		case added:
			p.Add(f.path, fault.CodeRequired)
		}
	}
	switch {
	case l.Country != nil:
		c, ok := region.Find(*l.Country)
		if !ok || !c.Open {
			p.Add("country", partner.CodeCountryUnknown)
		}
		l.Country = &c.Code
	case added:
		p.Add("country", fault.CodeRequired)
	}
	if l.RemoveLogo && (l.LogoFileID != nil || added) {
		p.Add("isLogoRemoved", fault.CodeInvalid)
	}
	return p.Err()
}

// diff is what the input does to the locations of a provider in a region, and
// for each change the place of the input that it came from. Problems at
// locations.N: NOT_FOUND, COUNTRY_FIXED, COUNTRY_NOT_OF_REGION; TOO_MANY and
// UNCHANGED at locations.
func diff(today []*Location, r region.Code, ls []LocationInput) ([]Change, []int, error) {
	var p fault.Problems
	var out []Change
	var from []int
	n := len(today)
	for i, l := range ls {
		at := func(field string) string { return fmt.Sprintf("locations.%d.%s", i, field) }
		if l.LocationID == nil {
			if c, _ := region.Find(*l.Country); c.Region != r {
				p.Add(at("country"), CodeCountryOfRegion)
			}
			card := Card{CompanyName: *l.CompanyName, Country: *l.Country, TargetURL: *l.TargetURL}
			if l.LogoFileID != nil {
				card.LogoID = *l.LogoFileID
			}
			out, from, n = append(out, Change{LocationID: ident.New(ident.Location), After: &card}), append(from, i), n+1
			continue
		}
		k := slices.IndexFunc(today, func(x *Location) bool { return x.ID == *l.LocationID })
		if k < 0 {
			p.Add(at("locationId"), fault.CodeNotFound)
			continue
		}
		before := today[k].Card()
		change := Change{LocationID: today[k].ID, Before: &before}
		if l.Remove {
			out, from, n = append(out, change), append(from, i), n-1
			continue
		}
		if l.Country != nil && *l.Country != before.Country {
			p.Add(at("country"), CodeCountryFixed)
		}
		if after := l.over(before); after != before {
			change.After = &after
			out, from = append(out, change), append(from, i)
		}
	}
	switch {
	case n > MaxLocations:
		p.Add("locations", fault.CodeTooMany, "max", strconv.Itoa(MaxLocations))
	case len(out) == 0 && !p.Any():
		p.Add("locations", CodeUnchanged)
	}
	return out, from, p.Err()
}

// over is a card with what the input says of it.
func (l LocationInput) over(c Card) Card {
	if l.CompanyName != nil {
		c.CompanyName = *l.CompanyName
	}
	if l.TargetURL != nil {
		c.TargetURL = *l.TargetURL
	}
	if l.RemoveLogo {
		c.LogoID = ""
	}
	if l.LogoFileID != nil {
		c.LogoID = *l.LogoFileID
	}
	return c
}

// need is a text of several lines that must not be empty.
func need(path string, to *string) error {
	var p fault.Problems
	text, err := address.PlainText(*to, MaxText)
	_ = p.Merge(path, err)
	if err == nil && text == "" {
		p.Add(path, fault.CodeRequired)
	}
	*to = text
	return p.Err()
}

// WithdrawInput takes an open request back.
type WithdrawInput struct {
	ProfileUpdateID ident.ID
	ExpectedVersion *int
}

// AnswerInput answers what a reviewer asked.
type AnswerInput struct {
	ProfileUpdateID ident.ID
	ExpectedVersion *int
	Text            string
	// Locations replaces what the request asks for; empty leaves it.
	Locations []LocationInput
}

// Validate checks the form of the input.
func (in *AnswerInput) Validate() error {
	var p fault.Problems
	_ = p.Merge("", need("text", &in.Text))
	if len(in.Locations) > 0 {
		_ = p.Merge("", validLocations(in.Locations))
	}
	return p.Err()
}

// AssignInput gives a request to a reviewer; nil takes it from whoever has it.
type AssignInput struct {
	ProfileUpdateID ident.ID
	ExpectedVersion *int
	AssigneeID      *ident.ID
}

// AskInput asks the provider and stops the clock until it answers.
type AskInput struct {
	ProfileUpdateID ident.ID
	ExpectedVersion *int
	Text            string
}

// Validate checks the form of the input.
func (in *AskInput) Validate() error { return need("text", &in.Text) }

// ApproveInput approves a request.
type ApproveInput struct {
	ProfileUpdateID ident.ID
	ExpectedVersion *int
}

// RejectInput rejects a request; the provider reads the reason.
type RejectInput struct {
	ProfileUpdateID ident.ID
	ExpectedVersion *int
	Reason          string
}

// Validate checks the form of the input.
func (in *RejectInput) Validate() error { return need("reason", &in.Reason) }

// DirectoryFilter narrows the directory; what is given together must all hold.
type DirectoryFilter struct {
	Region  *region.Code
	Country *string
	// Search matches the beginning of the company's name.
	Search *string
}

// maxSearch bounds what is searched for, in bytes.
const maxSearch = 200

func (f DirectoryFilter) validate() error {
	if f.Search != nil && len(*f.Search) > maxSearch {
		return fault.Invalid("filter.search", fault.CodeTooLong, "max", strconv.Itoa(maxSearch))
	}
	return nil
}

// Assignment says by whom a request is worked.
type Assignment string

// Assignments: the actor's own, nobody's, anybody's.
const (
	AssignedToMe  Assignment = "ME"
	AssignedToNo  Assignment = "NOBODY"
	AssignedToAny Assignment = "ANYBODY"
)

// Filter narrows a list of requests; what is given together must all hold.
type Filter struct {
	Status    []Status
	PartnerID *ident.ID
	// Assigned and AssigneeID are for the operator.
	Assigned   *Assignment
	AssigneeID *ident.ID
	// DueBefore finds those whose promise ends before a moment, and that the
	// operator has to work on.
	DueBefore *time.Time
	// Breached finds those whose promise is broken and that are still worked.
	Breached *bool
}

// OrderField names what a list of requests is sorted by.
type OrderField string

// Orderings of requests. ByTimeLeft puts first what has the least time left,
// and last what the operator has nothing to do with.
const (
	ByTimeLeft OrderField = "TIME_LEFT"
	ByCreated  OrderField = "CREATED_AT"
)

// Order is the ordering of a list of requests; by the time left by default.
type Order struct {
	Field     OrderField
	Direction page.Direction
}

func (o *Order) resolve() page.Order {
	out := page.Order{Name: string(ByTimeLeft), Column: "profile_update.queue_at", Sort: page.SortTime}
	if o == nil {
		return out
	}
	if o.Field == ByCreated {
		out = page.Order{Name: string(ByCreated), Column: "profile_update.created_at", Sort: page.SortTime}
	}
	out.Direction = o.Direction
	return out
}

// ReportFilter bounds a report by months such as 2026-11: the last twelve
// without bounds.
type ReportFilter struct {
	From *string
	To   *string
}

// months are the first and the last month of a report.
func (f ReportFilter) months(now time.Time) (from, to string, err error) {
	var p fault.Problems
	last := time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC)
	read := func(path string, s *string, into *time.Time) {
		if s == nil {
			return
		}
		t, err := time.Parse("2006-01", *s)
		if err != nil {
			p.Add(path, CodeMonthInvalid)
			return
		}
		*into = t
	}
	read("filter.to", f.To, &last)
	first := last.AddDate(0, -11, 0)
	read("filter.from", f.From, &first)
	if n := (last.Year()-first.Year())*12 + int(last.Month()) - int(first.Month()) + 1; !p.Any() && (n < 1 || n > MaxMonths) {
		p.Add("filter.from", fault.CodeInvalid)
	}
	return first.Format("2006-01"), last.Format("2006-01"), p.Err()
}
