package agreement

import (
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/channelgraph/channelgraph/internal/address"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/page"
	"github.com/channelgraph/channelgraph/internal/partner"
)

// Codes of the verbs on agreements.
const (
	CodeNumberInvalid   = "AGREEMENT_NUMBER_INVALID"
	CodeNumberTaken     = "AGREEMENT_NUMBER_TAKEN"
	CodeDateTooEarly    = "DATE_TOO_EARLY"
	CodeDateTooLate     = "DATE_TOO_LATE"
	CodeEnglishRequired = "ENGLISH_REQUIRED"
	CodeLocaleTwice     = "LOCALE_TWICE"
	CodeAlreadySigned   = "ALREADY_SIGNED"
	CodeNotApproved     = "NOT_APPROVED"
	CodeNotConfirmed    = "AGREEMENT_NOT_CONFIRMED"
)

const (
	maxTitle = 100
	// maxText bounds a text, in characters: two of them fit into a request.
	maxText = 50_000
	// minNotice and maxNotice bound the time that partners get to sign.
	minNotice = day
	maxNotice = 366 * day
)

// TextInput is an agreement in one language.
type TextInput struct {
	Locale string
	Title  string
	Text   string
}

// PublishInput makes a text the newest version of the agreement.
type PublishInput struct {
	// Number is 1 to 20 letters, digits, dots or hyphens.
	Number string
	// DueAt is until when those who signed an older version have time.
	DueAt time.Time
	// Texts are the languages, English among them.
	Texts          []TextInput
	IdempotencyKey *string
}

var number = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.-]{0,19}$`)

// Validate puts the input into its stored form or says all that is wrong with
// it; now bounds the date.
func (in *PublishInput) Validate(now time.Time) error {
	var p fault.Problems
	if !number.MatchString(in.Number) {
		p.Add("number", CodeNumberInvalid)
	}
	in.DueAt = in.DueAt.UTC().Truncate(time.Microsecond)
	switch notice := in.DueAt.Sub(now); {
	case notice < minNotice:
		p.Add("dueAt", CodeDateTooEarly)
	case notice > maxNotice:
		p.Add("dueAt", CodeDateTooLate, "max", fmt.Sprint(int(maxNotice/day)))
	}
	seen := map[string]bool{}
	if len(in.Texts) > len(Locales) {
		p.Add("texts", fault.CodeTooMany, "max", fmt.Sprint(len(Locales)))
		return p.Err()
	}
	in.Texts = slices.Clone(in.Texts) // a repeated transaction starts from the request
	for i := range in.Texts {
		t, path := &in.Texts[i], fmt.Sprintf("texts.%d.", i)
		switch {
		case !slices.Contains(Locales, t.Locale):
			p.Add(path+"locale", fault.CodeInvalid)
		case seen[t.Locale]:
			p.Add(path+"locale", CodeLocaleTwice)
		}
		seen[t.Locale] = true
		var err error
		t.Title, err = address.Name(t.Title, maxTitle)
		_ = p.Merge(path+"title", err)
		t.Text, err = address.PlainText(t.Text, maxText)
		_ = p.Merge(path+"text", err)
		if err == nil && t.Text == "" {
			p.Add(path+"text", fault.CodeRequired)
		}
	}
	if !seen[Locales[0]] {
		p.Add("texts", CodeEnglishRequired)
	}
	return p.Err()
}

// SignInput signs a version of the agreement for the signer's company.
type SignInput struct {
	// AgreementID is the version that the person has read.
	AgreementID ident.ID
	FirstName   string
	LastName    string
	Email       string
	Phone       string
	// Confirmed is the check box: the person has read it and may sign.
	Confirmed      bool
	IdempotencyKey *string
}

// Validate puts the input into its stored form or says all that is wrong with
// it.
func (in *SignInput) Validate() error {
	var p fault.Problems
	who := partner.Contact{FirstName: in.FirstName, LastName: in.LastName, Email: in.Email, Phone: in.Phone}
	_ = p.Merge("", who.Validate())
	in.FirstName, in.LastName, in.Email, in.Phone = who.FirstName, who.LastName, who.Email, who.Phone
	if !in.Confirmed {
		p.Add("confirmed", CodeNotConfirmed)
	}
	return p.Err()
}

// Filter narrows a list of versions.
type Filter struct {
	// Number is the one version's.
	Number *string
}

// SignatureFilter narrows a list of signatures.
type SignatureFilter struct {
	AgreementID *ident.ID
	PartnerID   *ident.ID
}

func versionsOrder() page.Order {
	return page.Order{Name: "PUBLISHED_AT", Column: "agreement.published_at", Sort: page.SortTime, Direction: page.Desc}
}

func signaturesOrder() page.Order {
	return page.Order{Name: "SIGNED_AT", Column: "agreement_signature.signed_at", Sort: page.SortTime, Direction: page.Desc}
}
