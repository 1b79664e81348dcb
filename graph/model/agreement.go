package model

// Errors of the mutations on a partner's status.
type (
	// SuspendPartnerError is why suspendPartner did nothing.
	SuspendPartnerError UserError
	// ReinstatePartnerError is why reinstatePartner did nothing.
	ReinstatePartnerError UserError
	// ClosePartnerError is why closePartner did nothing.
	ClosePartnerError UserError
)
