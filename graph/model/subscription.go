package model

import (
	"github.com/channelgraph/channelgraph/internal/page"
	"github.com/channelgraph/channelgraph/internal/subscription"
)

// Names of the pages of subscriptions and of their rows, and the errors of the
// mutations on them.
type (
	// ProductSubscriptionConnection is a page of subscriptions.
	ProductSubscriptionConnection = page.Connection[*subscription.Subscription]
	// ProductSubscriptionEdge is a row of a page of subscriptions.
	ProductSubscriptionEdge = page.Edge[*subscription.Subscription]
	// ProductSubscriptionEventConnection is a page of a subscription's history.
	ProductSubscriptionEventConnection = page.Connection[*subscription.Event]
	// ProductSubscriptionEventEdge is a row of a page of a subscription's history.
	ProductSubscriptionEventEdge = page.Edge[*subscription.Event]
	// AddLicencesError is why addLicences did nothing.
	AddLicencesError UserError
	// ReduceLicencesError is why reduceLicences did nothing.
	ReduceLicencesError UserError
	// CancelProductSubscriptionError is why cancelProductSubscription did nothing.
	CancelProductSubscriptionError UserError
	// SuspendProductSubscriptionError is why suspendProductSubscription did nothing.
	SuspendProductSubscriptionError UserError
	// ReactivateProductSubscriptionError is why reactivateProductSubscription did nothing.
	ReactivateProductSubscriptionError UserError
	// SetProductSubscriptionRenewalError is why setProductSubscriptionRenewal did nothing.
	SetProductSubscriptionRenewalError UserError
	// RenameProductSubscriptionError is why renameProductSubscription did nothing.
	RenameProductSubscriptionError UserError
	// AssociateResellerError is why associateReseller did nothing.
	AssociateResellerError UserError
	// DesignateSupportContactError is why designateSupportContact did nothing.
	DesignateSupportContactError UserError
)
