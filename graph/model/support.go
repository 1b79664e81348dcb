package model

import (
	"github.com/channelgraph/channelgraph/internal/desk"
	"github.com/channelgraph/channelgraph/internal/page"
	"github.com/channelgraph/channelgraph/internal/support"
)

// Names of the pages of support requests and of the desk, and of their rows.
type (
	// SupportRequestConnection is a page of support requests.
	SupportRequestConnection = page.Connection[*support.Request]
	// SupportRequestEdge is a row of a page of support requests.
	SupportRequestEdge = page.Edge[*support.Request]
	// DeskItemConnection is a page of the desk.
	DeskItemConnection = page.Connection[*desk.Item]
	// DeskItemEdge is a row of a page of the desk.
	DeskItemEdge = page.Edge[*desk.Item]
)

// Errors of the mutations on support requests, each of the shape of UserError.
type (
	// OpenSupportRequestError is why openSupportRequest did nothing.
	OpenSupportRequestError UserError
	// ReplyToSupportRequestError is why replyToSupportRequest did nothing.
	ReplyToSupportRequestError UserError
	// AddSupportNoteError is why addSupportNote did nothing.
	AddSupportNoteError UserError
	// AssignSupportRequestError is why assignSupportRequest did nothing.
	AssignSupportRequestError UserError
	// CloseSupportRequestError is why closeSupportRequest did nothing.
	CloseSupportRequestError UserError
	// ReopenSupportRequestError is why reopenSupportRequest did nothing.
	ReopenSupportRequestError UserError
	// AssignTerminationError is why assignTermination did nothing.
	AssignTerminationError UserError
)
