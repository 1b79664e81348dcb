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
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/invitation"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/internal/page"
	"github.com/channelgraph/channelgraph/internal/partner"
	"github.com/channelgraph/channelgraph/internal/partnership"
)

// Node is whatever `node` finds; the loaders say which types it may be.
type Node any

// UserErrorNode is any mutation's error.
type UserErrorNode any

// UserConnection and its like name the pages of lists and their rows.
type ( //nolint:revive // the comment is of all of them
	UserConnection        = page.Connection[*account.User]
	UserEdge              = page.Edge[*account.User]
	PartnerConnection     = page.Connection[*partner.Partner]
	PartnerEdge           = page.Edge[*partner.Partner]
	InvitationConnection  = page.Connection[*invitation.Invitation]
	InvitationEdge        = page.Edge[*invitation.Invitation]
	PartnershipConnection = page.Connection[*partnership.Partnership]
	PartnershipEdge       = page.Edge[*partnership.Partnership]
	TerminationConnection = page.Connection[*partnership.Termination]
	TerminationEdge       = page.Edge[*partnership.Termination]
	OperationConnection   = page.Connection[*outbox.Job]
	OperationEdge         = page.Edge[*outbox.Job]
	AuditEventConnection  = page.Connection[*audit.Event]
	AuditEventEdge        = page.Edge[*audit.Event]
)

// UserError is one reason why a mutation did nothing, and the shape of every
// mutation's own type.
type UserError struct {
	Message string
	Path    []string
	Code    string
}

// InviteUserError and its like are the errors of each mutation: the schema gives
// every one an enum of codes of its own, Go gives them all the shape of
// UserError.
type ( //nolint:revive // the comment is of all of them
	InviteUserError               UserError
	ResendUserInvitationError     UserError
	SetUserRolesError             UserError
	DisableUserError              UserError
	EnableUserError               UserError
	UpdateProfileError            UserError
	EndSessionError               UserError
	EndOtherSessionsError         UserError
	EndUserSessionsError          UserError
	RegisterPartnerError          UserError
	DeclareAffiliatesError        UserError
	ResendInvitationError         UserError
	RevokeInvitationError         UserError
	CancelOperationError          UserError
	RetryOperationError           UserError
	RequestPartnershipError       UserError
	RequestPartnershipsError      UserError
	RotatePartnershipLinkError    UserError
	SetPartnershipLinkPausedError UserError
	AuthorizeProviderError        UserError
	DeclineInvitationError        UserError
	RequestNewLinkError           UserError
	KeepInvitationWaitingError    UserError
	WithdrawAdminAccessError      UserError
	RequestTerminationError       UserError
	WithdrawTerminationError      UserError
	CompleteTerminationError      UserError
	RefuseTerminationError        UserError
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
