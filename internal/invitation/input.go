package invitation

import (
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/page"
)

// Codes of the verbs on invitations.
const (
	CodeClosed         = "INVITATION_CLOSED"
	CodePending        = "INVITATION_PENDING"
	CodeQueued         = "INVITATION_QUEUED"
	CodeLimit          = "INVITATION_LIMIT"
	CodeRecipientLimit = "RECIPIENT_LIMIT"
	CodeSuppressed     = "RECIPIENT_SUPPRESSED"
)

// Request is an invitation to make; the inviting concept has checked its rules.
type Request struct {
	Kind      Kind
	InviterID ident.ID
	Recipient string
	Folded    string
	Locale    string
	Text      string
	// Beside writes what the concept keeps beside the invitation, before its
	// first mail is written; nil for nothing.
	Beside func(invitation ident.ID) error
}

// ResendInput sends an invitation again with a new link; the old one dies.
type ResendInput struct {
	InvitationID   ident.ID
	IdempotencyKey *string
}

// RevokeInput takes an open invitation back.
type RevokeInput struct {
	InvitationID    ident.ID
	ExpectedVersion *int
}

// LiftSuppressionInput lets mail reach an address again.
type LiftSuppressionInput struct{ Email string }

// OrderField names what a list of invitations is sorted by.
type OrderField string

// Orderings of invitations.
const (
	ByCreated   OrderField = "CREATED_AT"
	ByRecipient OrderField = "RECIPIENT"
)

// Order is the ordering of a list of invitations; newest first by default.
type Order struct {
	Field     OrderField
	Direction page.Direction
}

// Filter narrows a list of invitations. Search matches the beginning of the
// address.
type Filter struct {
	Status []Status
	Search *string
}

func (o *Order) resolve() page.Order {
	if o != nil && o.Field == ByRecipient {
		return page.Order{Name: "RECIPIENT", Column: "invitation.recipient_folded", Sort: page.SortText, Direction: o.Direction}
	}
	out := page.Order{Name: "CREATED_AT", Column: "invitation.created_at", Sort: page.SortTime, Direction: page.Desc}
	if o != nil {
		out.Direction = o.Direction
	}
	return out
}
