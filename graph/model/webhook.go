package model

import (
	"strings"

	"github.com/99designs/gqlgen/graphql"

	"github.com/channelgraph/channelgraph/internal/page"
	"github.com/channelgraph/channelgraph/internal/webhook"
)

type (
	// WebhookEndpointConnection is a page of webhook endpoints.
	WebhookEndpointConnection = page.Connection[*webhook.Endpoint]
	// WebhookEndpointEdge is a row of a page of webhook endpoints.
	WebhookEndpointEdge = page.Edge[*webhook.Endpoint]
	// WebhookDeliveryConnection is a page of webhook deliveries.
	WebhookDeliveryConnection = page.Connection[*webhook.Delivery]
	// WebhookDeliveryEdge is a row of a page of webhook deliveries.
	WebhookDeliveryEdge = page.Edge[*webhook.Delivery]
)

// Errors of the mutations on webhooks.
type (
	// CreateWebhookEndpointError is why createWebhookEndpoint did nothing.
	CreateWebhookEndpointError UserError
	// UpdateWebhookEndpointError is why updateWebhookEndpoint did nothing.
	UpdateWebhookEndpointError UserError
	// DeleteWebhookEndpointError is why deleteWebhookEndpoint did nothing.
	DeleteWebhookEndpointError UserError
	// RotateWebhookSecretError is why rotateWebhookSecret did nothing.
	RotateWebhookSecretError UserError
	// PauseWebhookEndpointError is why pauseWebhookEndpoint did nothing.
	PauseWebhookEndpointError UserError
	// ResumeWebhookEndpointError is why resumeWebhookEndpoint did nothing.
	ResumeWebhookEndpointError UserError
	// SendTestWebhookError is why sendTestWebhook did nothing.
	SendTestWebhookError UserError
	// ReplayWebhookDeliveryError is why replayWebhookDelivery did nothing.
	ReplayWebhookDeliveryError UserError
	// ReplayFailedWebhookDeliveriesError is why replayFailedWebhookDeliveries did nothing.
	ReplayFailedWebhookDeliveriesError UserError
)

// MarshalWebhookEventType writes a type as the schema spells it.
func MarshalWebhookEventType(t webhook.Type) graphql.Marshaler {
	return graphql.MarshalString(strings.ToUpper(strings.Replace(string(t), ".", "_", 1)))
}

// UnmarshalWebhookEventType reads a type as the schema spells it.
func UnmarshalWebhookEventType(v any) (webhook.Type, error) {
	s, ok := v.(string)
	if !ok {
		return "", badInput("WebhookEventType")
	}
	return webhook.Type(strings.Replace(strings.ToLower(s), "_", ".", 1)), nil
}
