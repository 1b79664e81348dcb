// Package model owns the few Go types of the API that are no concept's own:
// names for the connections, one type a mutation for its errors, scalars and
// enums whose spelling differs from the house's. It never holds a rule.
package model

import (
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/99designs/gqlgen/graphql"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/audit"
	"github.com/channelgraph/channelgraph/internal/event"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/invitation"
	"github.com/channelgraph/channelgraph/internal/mail"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/internal/page"
	"github.com/channelgraph/channelgraph/internal/partner"
	"github.com/channelgraph/channelgraph/internal/partnership"
)

// Node is whatever `node` finds; the loaders say which types it may be.
type Node any

// UserErrorNode is any mutation's error.
type UserErrorNode any

// Names of the pages of lists and of their rows.
type (
	// UserConnection is a page of users.
	UserConnection = page.Connection[*account.User]
	// UserEdge is a row of a page of users.
	UserEdge = page.Edge[*account.User]
	// PersonalTokenConnection is a page of personal tokens.
	PersonalTokenConnection = page.Connection[*account.Token]
	// PersonalTokenEdge is a row of a page of personal tokens.
	PersonalTokenEdge = page.Edge[*account.Token]
	// MailMessageConnection is a page of mails.
	MailMessageConnection = page.Connection[*mail.Message]
	// MailMessageEdge is a row of a page of mails.
	MailMessageEdge = page.Edge[*mail.Message]
	// PartnerConnection is a page of partners.
	PartnerConnection = page.Connection[*partner.Partner]
	// PartnerEdge is a row of a page of partners.
	PartnerEdge = page.Edge[*partner.Partner]
	// InvitationConnection is a page of invitations.
	InvitationConnection = page.Connection[*invitation.Invitation]
	// InvitationEdge is a row of a page of invitations.
	InvitationEdge = page.Edge[*invitation.Invitation]
	// PartnershipConnection is a page of partnerships.
	PartnershipConnection = page.Connection[*partnership.Partnership]
	// PartnershipEdge is a row of a page of partnerships.
	PartnershipEdge = page.Edge[*partnership.Partnership]
	// TerminationConnection is a page of requests to end a partnership.
	TerminationConnection = page.Connection[*partnership.Termination]
	// TerminationEdge is a row of a page of requests to end a partnership.
	TerminationEdge = page.Edge[*partnership.Termination]
	// OperationConnection is a page of operations.
	OperationConnection = page.Connection[*outbox.Job]
	// OperationEdge is a row of a page of operations.
	OperationEdge = page.Edge[*outbox.Job]
	// AuditEventConnection is a page of audit events.
	AuditEventConnection = page.Connection[*audit.Event]
	// AuditEventEdge is a row of a page of audit events.
	AuditEventEdge = page.Edge[*audit.Event]
)

// Event is an event as a viewer reads it.
type Event struct {
	Cursor    string
	Kind      event.Kind
	SubjectID *ident.ID
}

// UserError is one reason why a mutation did nothing, and the shape of every
// mutation's own type.
type UserError struct {
	Message string
	Path    []string
	Code    string
}

// Errors of the mutations: the schema gives every one an enum of codes of its
// own, Go gives them all the shape of UserError.
type (
	// InviteUserError is why inviteUser did nothing.
	InviteUserError UserError
	// ResendUserInvitationError is why resendUserInvitation did nothing.
	ResendUserInvitationError UserError
	// SetUserRolesError is why setUserRoles did nothing.
	SetUserRolesError UserError
	// DisableUserError is why disableUser did nothing.
	DisableUserError UserError
	// EnableUserError is why enableUser did nothing.
	EnableUserError UserError
	// UpdateProfileError is why updateProfile did nothing.
	UpdateProfileError UserError
	// EndSessionError is why endSession did nothing.
	EndSessionError UserError
	// EndOtherSessionsError is why endOtherSessions did nothing.
	EndOtherSessionsError UserError
	// EndUserSessionsError is why endUserSessions did nothing.
	EndUserSessionsError UserError
	// CreatePersonalTokenError is why createPersonalToken did nothing.
	CreatePersonalTokenError UserError
	// RevokePersonalTokenError is why revokePersonalToken did nothing.
	RevokePersonalTokenError UserError
	// ExportAuditEventsError is why exportAuditEvents did nothing.
	ExportAuditEventsError UserError
	// LiftMailSuppressionError is why liftMailSuppression did nothing.
	LiftMailSuppressionError UserError
	// RegisterPartnerError is why registerPartner did nothing.
	RegisterPartnerError UserError
	// DeclareAffiliatesError is why declareAffiliates did nothing.
	DeclareAffiliatesError UserError
	// ResendInvitationError is why resendInvitation did nothing.
	ResendInvitationError UserError
	// RevokeInvitationError is why revokeInvitation did nothing.
	RevokeInvitationError UserError
	// CancelOperationError is why cancelOperation did nothing.
	CancelOperationError UserError
	// RetryOperationError is why retryOperation did nothing.
	RetryOperationError UserError
	// RequestPartnershipError is why requestPartnership did nothing.
	RequestPartnershipError UserError
	// RequestPartnershipsError is why requestPartnerships did nothing.
	RequestPartnershipsError UserError
	// RotatePartnershipLinkError is why rotatePartnershipLink did nothing.
	RotatePartnershipLinkError UserError
	// SetPartnershipLinkPausedError is why setPartnershipLinkPaused did nothing.
	SetPartnershipLinkPausedError UserError
	// AuthorizeProviderError is why authorizeProvider did nothing.
	AuthorizeProviderError UserError
	// DeclineInvitationError is why declineInvitation did nothing.
	DeclineInvitationError UserError
	// RequestNewLinkError is why requestNewLink did nothing.
	RequestNewLinkError UserError
	// KeepInvitationWaitingError is why keepInvitationWaiting did nothing.
	KeepInvitationWaitingError UserError
	// WithdrawAdminAccessError is why withdrawAdminAccess did nothing.
	WithdrawAdminAccessError UserError
	// RequestTerminationError is why requestTermination did nothing.
	RequestTerminationError UserError
	// WithdrawTerminationError is why withdrawTermination did nothing.
	WithdrawTerminationError UserError
	// CompleteTerminationError is why completeTermination did nothing.
	CompleteTerminationError UserError
	// RefuseTerminationError is why refuseTermination did nothing.
	RefuseTerminationError UserError
)

// MarshalTime writes a moment in UTC with microseconds.
func MarshalTime(t time.Time) graphql.Marshaler {
	return graphql.WriterFunc(func(w io.Writer) {
		_, _ = io.WriteString(w, strconv.Quote(t.UTC().Format("2006-01-02T15:04:05.000000Z")))
	})
}

// UnmarshalTime reads a moment with any offset.
func UnmarshalTime(v any) (time.Time, error) {
	s, ok := v.(string)
	if !ok {
		return time.Time{}, badInput("Time")
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || t.Year() < 1 || t.Year() > 9999 {
		return time.Time{}, badInput("Time")
	}
	return t.UTC().Truncate(time.Microsecond), nil
}

var (
	toCapability = map[access.Permission]string{}
	toPermission = map[string]access.Permission{}
)

func init() {
	for _, p := range access.Permissions {
		name := strings.ToUpper(strings.ReplaceAll(string(p), ".", "_"))
		toCapability[p], toPermission[name] = name, p
	}
}

// Permission is the permission that a capability of the schema stands for.
func Permission(capability string) (access.Permission, bool) {
	p, ok := toPermission[capability]
	return p, ok
}

// MarshalCapability writes a permission as the schema spells it.
func MarshalCapability(p access.Permission) graphql.Marshaler {
	return graphql.MarshalString(toCapability[p])
}

// UnmarshalCapability reads a permission as the schema spells it.
func UnmarshalCapability(v any) (access.Permission, error) {
	s, _ := v.(string)
	p, ok := toPermission[s]
	if !ok {
		return "", badInput("Capability")
	}
	return p, nil
}

func badInput(typ string) error {
	return &fault.Error{Kind: fault.KindInvalid, Code: fault.CodeBadUserInput, Problems: []fault.Problem{{Code: fault.CodeInvalid, Params: map[string]string{"type": typ}}}}
}
