package graph

import (
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/agreement"
	"github.com/channelgraph/channelgraph/internal/audit"
	"github.com/channelgraph/channelgraph/internal/calendar"
	"github.com/channelgraph/channelgraph/internal/catalog"
	"github.com/channelgraph/channelgraph/internal/customer"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/directory"
	"github.com/channelgraph/channelgraph/internal/enrollment"
	"github.com/channelgraph/channelgraph/internal/file"
	"github.com/channelgraph/channelgraph/internal/invitation"
	"github.com/channelgraph/channelgraph/internal/mail"
	"github.com/channelgraph/channelgraph/internal/order"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/internal/partner"
	"github.com/channelgraph/channelgraph/internal/partnership"
	"github.com/channelgraph/channelgraph/internal/register"
	"github.com/channelgraph/channelgraph/internal/secret"
	"github.com/channelgraph/channelgraph/internal/subscription"
	"github.com/channelgraph/channelgraph/internal/support"
	"github.com/channelgraph/channelgraph/internal/tree"
	"github.com/channelgraph/channelgraph/internal/webhook"
)

// Deps are what the API calls.
type Deps struct {
	// DB is handed to the queries of outbox and audit, and tells the time.
	DB            *database.DB
	Accounts      *account.Service
	Calendars     *calendar.Service
	Partners      *partner.Service
	Enrollments   *enrollment.Service
	Directory     *directory.Service
	Agreements    *agreement.Service
	Invitations   *invitation.Service
	Partnerships  *partnership.Service
	Mailer        *mail.Mailer
	Audits        *audit.Service
	Webhooks      *webhook.Service
	Files         *file.Service
	Registers     *register.Service
	Support       *support.Service
	Customers     *customer.Service
	Catalog       *catalog.Service
	Subscriptions *subscription.Service
	Orders        *order.Service
	Tree          *tree.Service
	// Hooks take part in cancelling and retrying operations.
	Hooks outbox.Hooks
	Log   *slog.Logger
	// Keys seal the cursors of events; nil makes keys of its own, so that
	// cursors hold for this process only.
	Keys *secret.Keys
	// PublicURL is the address that people use: only its pages may open a
	// WebSocket from a browser. "" lets none.
	PublicURL string
	// Spend counts what callers spend over the whole fleet; nil counts within
	// the process.
	Spend Spend
	// ConsoleOnly lets sessions and strangers run the documents of the manifest
	// alone; personal tokens may send any.
	ConsoleOnly bool
	// Registerer takes the API's metrics; nil keeps none.
	Registerer prometheus.Registerer

	observer *observer
	plans    *planning // for tests
}

// Resolver answers the fields that cost something; each answers with one call
// of a concept.
type Resolver struct{ Deps }
