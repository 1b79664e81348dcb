// Package partnership owns the relation between an indirect provider and an
// indirect reseller: the provider's personal link, the request by mail, the
// reseller's authorization, the provider's admin access to the reseller's
// work account, and the end. It never touches customers or subscriptions.
//
// Invariant: a partnership joins two active partners of one region who are
// not one house; one living partnership a pair; only the operator ends it.
package partnership

import (
	"time"

	"github.com/uptrace/bun"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/partner"
	"github.com/channelgraph/channelgraph/internal/region"
	"github.com/channelgraph/channelgraph/internal/sla"
)

// Status is where a partnership stands.
type Status string

// States of a partnership.
const (
	Active      Status = "ACTIVE"
	Terminating Status = "TERMINATING"
	Terminated  Status = "TERMINATED"
)

// Partnership joins a provider and a reseller (spec section 3).
type Partnership struct {
	bun.BaseModel      `bun:"table:partnership,alias:partnership"`
	ID                 ident.ID    `bun:"id,pk"`
	ProviderID         ident.ID    `bun:"provider_id"`
	ResellerID         ident.ID    `bun:"reseller_id"`
	ProviderNameFolded string      `bun:"provider_name_folded"`
	ResellerNameFolded string      `bun:"reseller_name_folded"`
	Region             region.Code `bun:"region"`
	Status             Status      `bun:"status"`
	// InvitationID is "" where the provider's personal link was used.
	InvitationID   ident.ID  `bun:"invitation_id"`
	AuthorizedByID ident.ID  `bun:"authorized_by_id"`
	AuthorizedAt   time.Time `bun:"authorized_at"`
	// AdminAccessGrantedAt is when the provider got admin access to the
	// reseller's work account; withdrawing it leaves the partnership as it is.
	AdminAccessGrantedAt   *time.Time `bun:"admin_access_granted_at"`
	AdminAccessWithdrawnAt *time.Time `bun:"admin_access_withdrawn_at"`
	TerminatedAt           *time.Time `bun:"terminated_at"`
	Version                int        `bun:"version"`
	UpdatedAt              time.Time  `bun:"updated_at"`
}

// HasAdminAccess reports whether the provider has admin access to the
// reseller's work account now.
func (p *Partnership) HasAdminAccess() bool {
	return p.Status != Terminated && p.AdminAccessGrantedAt != nil && p.AdminAccessWithdrawnAt == nil
}

// Link is a provider's personal, reusable partnership link (security decision
// D10). Following it shows a proposal and grants nothing.
type Link struct {
	bun.BaseModel `bun:"table:partnership_link,alias:partnership_link"`
	ID            ident.ID   `bun:"id,pk"`
	ProviderID    ident.ID   `bun:"provider_id"`
	Generation    int        `bun:"generation"`
	ExpiresAt     time.Time  `bun:"expires_at"`
	PausedAt      *time.Time `bun:"paused_at"`
	RotatedAt     *time.Time `bun:"rotated_at"`
	// Uses counts the partnerships that were made through the link.
	Uses      int       `bun:"uses"`
	Version   int       `bun:"version"`
	CreatedAt time.Time `bun:"created_at"`
	// URL is the whole link, derived on reading and stored nowhere.
	URL string `bun:"-"`
}

// LinkLife is how long a personal link works after it was made or rotated.
const LinkLife = 90 * 24 * time.Hour

// LinkState is whether a link works at a moment.
type LinkState string

// States of a personal link.
const (
	LinkLive    LinkState = "LIVE"
	LinkPaused  LinkState = "PAUSED"
	LinkExpired LinkState = "EXPIRED"
)

// StateAt tells whether the link works at now.
func (l *Link) StateAt(now time.Time) LinkState {
	switch {
	case l.PausedAt != nil:
		return LinkPaused
	case !now.Before(l.ExpiresAt):
		return LinkExpired
	}
	return LinkLive
}

// TerminationStatus is where a request to end a partnership stands.
type TerminationStatus string

// States of a request to end a partnership.
const (
	TerminationRequested TerminationStatus = "REQUESTED"
	TerminationCompleted TerminationStatus = "COMPLETED"
	TerminationRefused   TerminationStatus = "REFUSED"
	TerminationWithdrawn TerminationStatus = "WITHDRAWN"
)

// Termination is a request to end a partnership, worked by the operator.
type Termination struct {
	bun.BaseModel `bun:"table:termination,alias:termination"`
	ID            ident.ID          `bun:"id,pk"`
	PartnershipID ident.ID          `bun:"partnership_id"`
	RequesterID   ident.ID          `bun:"requester_id"`
	RequestedByID ident.ID          `bun:"requested_by_id"`
	Reason        string            `bun:"reason"`
	Status        TerminationStatus `bun:"status"`
	DecidedByID   *ident.ID         `bun:"decided_by_id"`
	DecisionNote  string            `bun:"decision_note"`
	DecidedAt     *time.Time        `bun:"decided_at"`
	// AssigneeID is who of the operator works it, "" for nobody.
	AssigneeID ident.ID `bun:"assignee_id"`
	// TargetAt and DueAt are when the operator means to have decided, and when
	// it must have; NextActionAt is when its lead is told otherwise, nil where
	// there is nothing to tell any more.
	TargetAt     *time.Time `bun:"target_at"`
	DueAt        *time.Time `bun:"due_at"`
	NextActionAt *time.Time `bun:"next_action_at"`
	Version      int        `bun:"version"`
	CreatedAt    time.Time  `bun:"created_at"`
}

// The days in which a request to end is decided, as a review is.
const (
	terminationTarget = 3 * sla.Day
	terminationDue    = 5 * sla.Day
)

// keep gives an undecided request the dates that the calendar has for it, and
// reports whether they are others than before.
func (t *Termination) keep(c *sla.Calendar, now time.Time) bool {
	date := func(spent time.Duration) *time.Time {
		at, _ := sla.Start(sla.BusinessDays, terminationTarget, terminationDue, t.CreatedAt).At(c, spent, now)
		if at.Equal(sla.Never) {
			return nil
		}
		return &at
	}
	was, told := t.DueAt, t.DueAt != nil && t.NextActionAt == nil
	t.TargetAt, t.DueAt = date(terminationTarget), date(terminationDue)
	t.NextActionAt = t.DueAt
	if told && (t.DueAt == nil || !t.DueAt.After(now)) { // once is enough
		t.NextActionAt = nil
	}
	return (was == nil) != (t.DueAt == nil) || was != nil && !was.Equal(*t.DueAt)
}

// BlockerKind is what stands in the way of an end.
type BlockerKind string

// ActiveSubscription is a subscription that was sold through the pair and is
// not over.
const ActiveSubscription BlockerKind = "ACTIVE_SUBSCRIPTION"

// Blocker is one thing that stands in the way of the end of a partnership,
// which both sides may see.
type Blocker struct {
	Kind BlockerKind
	// SubjectID is the thing itself, Name what people call it.
	SubjectID ident.ID
	Name      string
}

// Couple is a provider and a reseller.
type Couple struct{ ProviderID, ResellerID ident.ID }

// Codes of the guards (spec sections 3 and 6).
const (
	CodeRegionMismatch     = "REGION_MISMATCH"
	CodeWrongKind          = "WRONG_KIND"
	CodeSelfDealing        = "SELF_DEALING"
	CodeAffiliate          = "AFFILIATE"
	CodeAlreadyPartnered   = "ALREADY_PARTNERED"
	CodePartnerNotActive   = "PARTNER_NOT_ACTIVE"
	CodeProviderNotActive  = "PROVIDER_NOT_ACTIVE"
	CodeAgreementNotSigned = "AGREEMENT_NOT_SIGNED"
	CodeProviderAgreement  = "PROVIDER_AGREEMENT_NOT_SIGNED"
	CodeNotConfirmed       = "NOT_CONFIRMED"
	CodeLinkMissing        = "LINK_MISSING"
	CodeLinkPaused         = "LINK_PAUSED"
	CodeLinkExpired        = "LINK_EXPIRED"
	CodeInvitationPending  = "INVITATION_PENDING"
	CodeInvitationClosed   = "INVITATION_CLOSED"
	CodeInvitationExpired  = "INVITATION_EXPIRED"
	CodeNotEnrolled        = "NOT_ENROLLED"
	// CodeBlocked says that something stands in the way of an end.
	CodeBlocked     = "TERMINATION_BLOCKED"
	CodeNotReviewer = "NOT_A_REVIEWER"
)

// Refusal is a reason why two partners may not join, with the next step that
// would make it possible.
type Refusal struct {
	Code string
	// NextStep is the code of a sentence that tells what would help, "" where
	// nothing would.
	NextStep string
}

// Pair is what the rule of joining looks at.
type Pair struct {
	Provider *partner.Partner
	// Reseller is nil where the organization has no partner profile yet.
	Reseller *partner.Partner
	// Declared says that the two are declared affiliates.
	Declared bool
	// Partnered says that a partnership of the two is living.
	Partnered bool
}

// MayJoin lists every reason why the pair may not become partners at now; an
// empty list means that it may. Providers check the first half when they ask,
// resellers meet all of it when they authorize.
func MayJoin(p Pair, now time.Time) []Refusal {
	out := MayAsk(p.Provider, now)
	r := p.Reseller
	if r == nil {
		return append(out, Refusal{CodeNotEnrolled, "NEXT_ENROLL"})
	}
	if r.ID == p.Provider.ID {
		return append(out, Refusal{CodeSelfDealing, "NEXT_OTHER_ACCOUNT"})
	}
	if r.Kind != access.IndirectReseller {
		out = append(out, Refusal{CodeWrongKind, "NEXT_RESELLER_ACCOUNT"})
	}
	if r.Region != p.Provider.Region {
		out = append(out, Refusal{CodeRegionMismatch, "NEXT_ENROLL_REGION"})
	}
	if p.Declared || partner.Affiliated(p.Provider, r) {
		out = append(out, Refusal{CodeAffiliate, ""})
	}
	if p.Partnered {
		out = append(out, Refusal{CodeAlreadyPartnered, "NEXT_SEE_PROVIDERS"})
	}
	if !r.AgreementSigned(now) {
		out = append(out, Refusal{CodeAgreementNotSigned, "NEXT_SIGN_AGREEMENT"})
	} else if !r.IsActive() {
		out = append(out, Refusal{CodePartnerNotActive, "NEXT_FINISH_ENROLLMENT"})
	}
	return out
}

// MayAsk lists why a partner may not ask anybody for a partnership at now.
func MayAsk(p *partner.Partner, now time.Time) []Refusal {
	var out []Refusal
	if p.Kind != access.IndirectProvider {
		out = append(out, Refusal{CodeWrongKind, ""})
	}
	if !p.AgreementSigned(now) {
		out = append(out, Refusal{CodeProviderAgreement, "NEXT_PROVIDER_SIGNS"})
	} else if !p.IsActive() {
		out = append(out, Refusal{CodeProviderNotActive, "NEXT_PROVIDER_ACTIVE"})
	}
	return out
}

// ProposalState is what a code leads to now.
type ProposalState string

// States of a proposal that a recipient meets.
const (
	ProposalOpen ProposalState = "OPEN"
	// ProposalAccepted is an invitation that was accepted, or a personal link
	// for those whose company has accepted it; for others that stays open.
	ProposalAccepted ProposalState = "ACCEPTED"
	ProposalDeclined ProposalState = "DECLINED"
	ProposalExpired  ProposalState = "EXPIRED"
	ProposalRevoked  ProposalState = "REVOKED"
	ProposalReplaced ProposalState = "REPLACED"
	// ProposalPaused is a personal link that its provider paused, or whose
	// provider does no new business.
	ProposalPaused  ProposalState = "PAUSED"
	ProposalUnknown ProposalState = "UNKNOWN"
)

// ProposalKind tells a mailed invitation from a provider's personal link.
type ProposalKind string

// Kinds of proposal.
const (
	ByInvitation   ProposalKind = "INVITATION"
	ByPersonalLink ProposalKind = "PERSONAL_LINK"
)

// Preview is the proposal card behind a code. Reading it changes nothing. For
// an unknown code everything but State is empty.
type Preview struct {
	State ProposalState
	Kind  ProposalKind
	// Inviter is the provider's public card.
	Inviter partner.Card
	// InviterName is the person who asks; "" for a personal link.
	InviterName string
	// Recipient is the invited address, masked.
	Recipient string
	// Note is the inviting person's own text.
	Note      string
	ExpiresAt *time.Time
	// DecidedAt is when it was answered; of a personal link, by the signed-in
	// person's company.
	DecidedAt *time.Time
	// PartnershipID is set for the accepting side once accepted.
	PartnershipID ident.ID
	// CanAskForNewLink says that the recipient may ask the inviter again.
	CanAskForNewLink bool
	// NeedsSignIn says that nobody is signed in.
	NeedsSignIn bool
	// MayAuthorize says that the signed-in person may accept or decline now.
	MayAuthorize bool
	// Waiting says that the invitation waits for the company's enrollment.
	Waiting bool
	// Refusals are why the signed-in person's organization may not accept.
	Refusals []Refusal
	// LacksRole says that the signed-in person is no Global admin.
	LacksRole bool
}

// Side is the side of a partnership that a list is read from.
type Side string

// Sides.
const (
	AsProvider Side = "PROVIDER"
	AsReseller Side = "RESELLER"
)
