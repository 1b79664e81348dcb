package partnership

import (
	"fmt"
	"slices"
	"strings"

	"github.com/channelgraph/channelgraph/internal/address"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/page"
)

// Bounds of what a person types.
const (
	maxText    = 1000
	maxSubject = 150
	maxReason  = 500
	// MaxRecipients bounds a list of addresses.
	MaxRecipients = 100
)

// Locales are the languages of requests.
var Locales = []string{"en", "it"}

func checkLocale(p *fault.Problems, locale *string) {
	if locale != nil && !slices.Contains(Locales, *locale) {
		p.Add("locale", fault.CodeInvalid)
	}
}

// DraftInput asks for the draft of a request; the person's own subject and
// text are checked and taken over.
type DraftInput struct {
	// Locale is the language of the draft; without it the person's own.
	Locale  *string
	Subject *string
	Text    *string
}

// RequestInput asks one address for a partnership.
type RequestInput struct {
	Email string
	// Text is the person's own text with the personal link in it; without it
	// the draft's.
	Text           *string
	Locale         *string
	IdempotencyKey *string
}

// RequestManyInput asks several addresses; each is a line with its own result.
type RequestManyInput struct {
	Emails []string
	Text   *string
	Locale *string
	// DryRun checks every line and sends nothing.
	DryRun         bool
	IdempotencyKey *string
}

// Validate checks what does not depend on one line.
func (in RequestManyInput) Validate() error {
	var p fault.Problems
	switch n := len(in.Emails); {
	case n == 0:
		p.Add("emails", fault.CodeRequired)
	case n > MaxRecipients:
		p.Add("emails", fault.CodeTooMany, "max", fmt.Sprint(MaxRecipients))
	}
	checkLocale(&p, in.Locale)
	return p.Err()
}

// AcceptInput authorizes the provider behind a link's code, or behind an
// invitation that waits for the signed-in person: exactly one of the two.
type AcceptInput struct {
	Code         string
	InvitationID *ident.ID
	// Confirmed is the check box: the person has read what is granted.
	Confirmed      bool
	IdempotencyKey *string
}

// DeclineInput declines an invitation, by code or by id.
type DeclineInput struct {
	Code         string
	InvitationID *ident.ID
	Reason       string
}

// Validate checks the form of the input.
func (in *DeclineInput) Validate() error {
	var p fault.Problems
	reason, err := address.PlainText(in.Reason, maxReason)
	_ = p.Merge("reason", err)
	in.Reason = reason
	oneOf(&p, in.Code, in.InvitationID)
	return p.Err()
}

// Validate checks the form of the input.
func (in *AcceptInput) Validate() error {
	var p fault.Problems
	if !in.Confirmed {
		p.Add("confirmed", CodeNotConfirmed)
	}
	oneOf(&p, in.Code, in.InvitationID)
	return p.Err()
}

func oneOf(p *fault.Problems, code string, id *ident.ID) {
	if (code == "") == (id == nil) {
		p.Add("code", fault.CodeRequired)
	}
}

// RotateLinkInput makes a new personal link; the old one dies.
type RotateLinkInput struct {
	IdempotencyKey *string
}

// SetLinkPausedInput pauses the personal link or lets it work again.
type SetLinkPausedInput struct {
	Paused bool
}

// WithdrawAdminAccessInput takes the provider's admin access to the
// reseller's work account away; the partnership stays.
type WithdrawAdminAccessInput struct {
	PartnershipID   ident.ID
	ExpectedVersion *int
}

// RequestTerminationInput asks the operator to end a partnership.
type RequestTerminationInput struct {
	PartnershipID  ident.ID
	Reason         string
	IdempotencyKey *string
}

// Validate checks the form of the input.
func (in *RequestTerminationInput) Validate() error {
	var p fault.Problems
	reason, err := address.PlainText(in.Reason, maxReason)
	_ = p.Merge("reason", err)
	if err == nil && reason == "" {
		p.Add("reason", fault.CodeRequired)
	}
	in.Reason = reason
	return p.Err()
}

// WithdrawTerminationInput takes a request to end a partnership back.
type WithdrawTerminationInput struct {
	TerminationID ident.ID
}

// DecideTerminationInput is the operator's decision on a request to end.
type DecideTerminationInput struct {
	TerminationID   ident.ID
	Note            *string
	ExpectedVersion *int
	// DespiteBlockers completes it although something stands in the way.
	DespiteBlockers bool
}

// AssignTerminationInput gives a request to end to one of the operator's
// people; nil takes it from whoever has it.
type AssignTerminationInput struct {
	TerminationID   ident.ID
	AssigneeID      *ident.ID
	ExpectedVersion *int
}

// Validate checks the form of the input.
func (in *DecideTerminationInput) Validate() error {
	if in.Note == nil {
		return nil
	}
	var p fault.Problems
	note, err := address.PlainText(*in.Note, maxReason)
	_ = p.Merge("note", err)
	in.Note = &note
	return p.Err()
}

// OrderField names what a list of partnerships is sorted by.
type OrderField string

// Orderings of partnerships. ByName is the other side's name.
const (
	ByName       OrderField = "NAME"
	ByAuthorized OrderField = "AUTHORIZED_AT"
)

// Order is the ordering of a list of partnerships; by name unless given.
type Order struct {
	Field     OrderField
	Direction page.Direction
}

// Filter narrows a list of partnerships. Search matches the beginning of the
// other side's name.
type Filter struct {
	Status []Status
	Search *string
}

// TerminationFilter narrows a list of requests to end.
type TerminationFilter struct {
	Status []TerminationStatus
}

// mine and theirs are the columns of a side.
func (s Side) mine() string {
	if s == AsProvider {
		return "partnership.provider_id"
	}
	return "partnership.reseller_id"
}

func (s Side) theirName() string {
	if s == AsProvider {
		return "partnership.reseller_name_folded"
	}
	return "partnership.provider_name_folded"
}

func (o *Order) resolve(s Side) page.Order {
	if o != nil && o.Field == ByAuthorized {
		return page.Order{Name: string(s) + " AUTHORIZED_AT", Column: "partnership.authorized_at", Sort: page.SortTime, Direction: o.Direction}
	}
	out := page.Order{Name: string(s) + " NAME", Column: s.theirName(), Sort: page.SortText}
	if o != nil {
		out.Direction = o.Direction
	}
	return out
}

// checkText cleans a person's own text and takes the personal link out of it:
// the text must hold the link (spec section 3), and besides it no other way
// of contact (security decision D17).
func checkText(p *fault.Problems, text, linkURL string) string {
	clean, err := address.PlainText(text, maxText+len(linkURL))
	if err != nil {
		_ = p.Merge("text", err)
		return ""
	}
	if !holdsLink(clean, linkURL) {
		p.Add("text", CodeLinkMissing)
		return ""
	}
	note, err := address.Note(strings.ReplaceAll(clean, linkURL, ""), maxText)
	_ = p.Merge("text", err)
	return note
}

// holdsLink reports whether the text holds the link as a whole, not as the
// beginning of another one.
func holdsLink(text, link string) bool {
	for rest := text; ; {
		i := strings.Index(rest, link)
		if i < 0 {
			return false
		}
		rest = rest[i+len(link):]
		if rest == "" || !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_", rune(rest[0])) {
			return true
		}
	}
}
