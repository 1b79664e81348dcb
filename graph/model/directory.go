package model

import (
	"github.com/channelgraph/channelgraph/internal/directory"
	"github.com/channelgraph/channelgraph/internal/page"
)

// Names of the pages of the directory and of profile update requests, and of
// their rows.
type (
	// DirectoryLocationConnection is a page of the directory.
	DirectoryLocationConnection = page.Connection[*directory.Location]
	// DirectoryLocationEdge is a row of a page of the directory.
	DirectoryLocationEdge = page.Edge[*directory.Location]
	// ProfileUpdateConnection is a page of profile update requests.
	ProfileUpdateConnection = page.Connection[*directory.Request]
	// ProfileUpdateEdge is a row of a page of profile update requests.
	ProfileUpdateEdge = page.Edge[*directory.Request]
)

// Errors of the mutations on the directory and on profile update requests.
type (
	// SetDirectoryListingError is why setDirectoryListing did nothing.
	SetDirectoryListingError UserError
	// SubmitProfileUpdateError is why submitProfileUpdate did nothing.
	SubmitProfileUpdateError UserError
	// WithdrawProfileUpdateError is why withdrawProfileUpdate did nothing.
	WithdrawProfileUpdateError UserError
	// AnswerProfileUpdateQuestionError is why answerProfileUpdateQuestion did nothing.
	AnswerProfileUpdateQuestionError UserError
	// AssignProfileUpdateError is why assignProfileUpdate did nothing.
	AssignProfileUpdateError UserError
	// AskProfileUpdateQuestionError is why askProfileUpdateQuestion did nothing.
	AskProfileUpdateQuestionError UserError
	// ApproveProfileUpdateError is why approveProfileUpdate did nothing.
	ApproveProfileUpdateError UserError
	// RejectProfileUpdateError is why rejectProfileUpdate did nothing.
	RejectProfileUpdateError UserError
	// ExportProfileUpdateReportError is why exportProfileUpdateReport did nothing.
	ExportProfileUpdateReportError UserError
)
