package graph

import (
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/audit"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/invitation"
	"github.com/channelgraph/channelgraph/internal/mail"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/internal/partner"
	"github.com/channelgraph/channelgraph/internal/partnership"
)

// Deps are what the API calls.
type Deps struct {
	// DB is handed to the queries of outbox and audit, and tells the time.
	DB           *database.DB
	Accounts     *account.Service
	Partners     *partner.Service
	Invitations  *invitation.Service
	Partnerships *partnership.Service
	Mailer       *mail.Mailer
	Audits       *audit.Service
	// Hooks take part in cancelling and retrying operations.
	Hooks outbox.Hooks
	Log   *slog.Logger
	// Registerer takes the API's metrics; nil keeps none.
	Registerer prometheus.Registerer

	observer *observer
}

// Resolver answers the fields that cost something; each answers with one call
// of a concept.
type Resolver struct{ Deps }
