package model

import (
	"github.com/channelgraph/channelgraph/internal/agreement"
	"github.com/channelgraph/channelgraph/internal/page"
)

// Names of the pages of agreements and signatures, and of their rows.
type (
	// AgreementConnection is a page of versions of the agreement.
	AgreementConnection = page.Connection[*agreement.Agreement]
	// AgreementEdge is a row of a page of versions.
	AgreementEdge = page.Edge[*agreement.Agreement]
	// AgreementSignatureConnection is a page of signatures.
	AgreementSignatureConnection = page.Connection[*agreement.Signature]
	// AgreementSignatureEdge is a row of a page of signatures.
	AgreementSignatureEdge = page.Edge[*agreement.Signature]
)

// Errors of the mutations on agreements and on a partner's status.
type (
	// PublishAgreementError is why publishAgreement did nothing.
	PublishAgreementError UserError
	// SignAgreementError is why signAgreement did nothing.
	SignAgreementError UserError
	// SuspendPartnerError is why suspendPartner did nothing.
	SuspendPartnerError UserError
	// ReinstatePartnerError is why reinstatePartner did nothing.
	ReinstatePartnerError UserError
	// ClosePartnerError is why closePartner did nothing.
	ClosePartnerError UserError
)
