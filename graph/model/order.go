package model

import (
	"github.com/channelgraph/channelgraph/internal/order"
	"github.com/channelgraph/channelgraph/internal/page"
)

type (
	// OrderConnection is a page of orders.
	OrderConnection = page.Connection[*order.Order]
	// OrderEdge is a row of a page of orders.
	OrderEdge = page.Edge[*order.Order]
	// StartOrderError is why startOrder did nothing.
	StartOrderError UserError
	// SaveOrderError is why saveOrder did nothing.
	SaveOrderError UserError
	// ReviewOrderError is why reviewOrder did nothing.
	ReviewOrderError UserError
	// SubmitOrderError is why submitOrder did nothing.
	SubmitOrderError UserError
	// CancelOrderError is why cancelOrder did nothing.
	CancelOrderError UserError
	// RetryOrderLineError is why retryOrderLine did nothing.
	RetryOrderLineError UserError
	// AbandonOrderLineError is why abandonOrderLine did nothing.
	AbandonOrderLineError UserError
)
