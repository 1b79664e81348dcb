package model

import (
	"github.com/channelgraph/channelgraph/internal/enrollment"
	"github.com/channelgraph/channelgraph/internal/page"
)

// Names of the pages of enrollments and of their rows.
type (
	// EnrollmentConnection is a page of enrollments.
	EnrollmentConnection = page.Connection[*enrollment.Enrollment]
	// EnrollmentEdge is a row of a page of enrollments.
	EnrollmentEdge = page.Edge[*enrollment.Enrollment]
)

// Errors of the mutations on enrollments, each of the shape of UserError.
type (
	// StartEnrollmentError is why startEnrollment did nothing.
	StartEnrollmentError UserError
	// BeginEnrollmentError is why beginEnrollment did nothing.
	BeginEnrollmentError UserError
	// SaveEnrollmentError is why saveEnrollment did nothing.
	SaveEnrollmentError UserError
	// ProveMembershipError is why proveMembership did nothing.
	ProveMembershipError UserError
	// SelectProgrammeIdError is why selectProgrammeId did nothing.
	SelectProgrammeIdError UserError
	// SubmitEnrollmentError is why submitEnrollment did nothing.
	SubmitEnrollmentError UserError
	// ResendVerificationError is why resendVerification did nothing.
	ResendVerificationError UserError
	// WithdrawEnrollmentError is why withdrawEnrollment did nothing.
	WithdrawEnrollmentError UserError
	// AnswerEnrollmentQuestionError is why answerEnrollmentQuestion did nothing.
	AnswerEnrollmentQuestionError UserError
	// AppealEnrollmentError is why appealEnrollment did nothing.
	AppealEnrollmentError UserError
	// RequestProfileChangeError is why requestProfileChange did nothing.
	RequestProfileChangeError UserError
	// UpdateSupportProfileError is why updateSupportProfile did nothing.
	UpdateSupportProfileError UserError
	// AssignEnrollmentError is why assignEnrollment did nothing.
	AssignEnrollmentError UserError
	// AskEnrollmentQuestionError is why askEnrollmentQuestion did nothing.
	AskEnrollmentQuestionError UserError
	// DecideEnrollmentCheckError is why decideEnrollmentCheck did nothing.
	DecideEnrollmentCheckError UserError
	// ApproveEnrollmentError is why approveEnrollment did nothing.
	ApproveEnrollmentError UserError
	// RejectEnrollmentError is why rejectEnrollment did nothing.
	RejectEnrollmentError UserError
	// UnfreezeEnrollmentError is why unfreezeEnrollment did nothing.
	UnfreezeEnrollmentError UserError
	// PromoteEnrollmentError is why promoteEnrollment did nothing.
	PromoteEnrollmentError UserError
	// AddEnrollmentNoteError is why addEnrollmentNote did nothing.
	AddEnrollmentNoteError UserError
)
