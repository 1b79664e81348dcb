package model

import (
	"github.com/channelgraph/channelgraph/internal/customer"
	"github.com/channelgraph/channelgraph/internal/page"
)

// Names of the pages of customers and grants, and of their rows.
type (
	// CustomerConnection is a page of customers.
	CustomerConnection = page.Connection[*customer.Customer]
	// CustomerEdge is a row of a page of customers.
	CustomerEdge = page.Edge[*customer.Customer]
	// GrantConnection is a page of grants.
	GrantConnection = page.Connection[*customer.Grant]
	// GrantEdge is a row of a page of grants.
	GrantEdge = page.Edge[*customer.Grant]
)

// Errors of the mutations on customers.
type (
	// InviteCustomerError is why inviteCustomer did nothing.
	InviteCustomerError UserError
	// InviteCustomersError is why inviteCustomers did nothing, or an address was
	// not asked.
	InviteCustomersError UserError
	// AcceptCustomerInvitationError is why acceptCustomerInvitation did nothing.
	AcceptCustomerInvitationError UserError
	// DeclineCustomerInvitationError is why declineCustomerInvitation did nothing.
	DeclineCustomerInvitationError UserError
	// UpdateCustomerError is why updateCustomer did nothing.
	UpdateCustomerError UserError
	// AttestCustomerAgreementError is why attestCustomerAgreement did nothing.
	AttestCustomerAgreementError UserError
	// RemoveCustomerError is why removeCustomer did nothing.
	RemoveCustomerError UserError
	// SuspendCustomerError is why suspendCustomer did nothing.
	SuspendCustomerError UserError
	// ReinstateCustomerError is why reinstateCustomer did nothing.
	ReinstateCustomerError UserError
	// WithdrawGrantError is why withdrawGrant did nothing.
	WithdrawGrantError UserError
	// RenewGrantsError is why renewGrants did nothing.
	RenewGrantsError UserError
	// ExportCustomersError is why exportCustomers did nothing.
	ExportCustomersError UserError
)
