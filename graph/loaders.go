package graph

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vikstrous/dataloadgen"

	"github.com/channelgraph/channelgraph/graph/model"
	"github.com/channelgraph/channelgraph/internal/access"
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
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/invitation"
	"github.com/channelgraph/channelgraph/internal/mail"
	"github.com/channelgraph/channelgraph/internal/order"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/internal/page"
	"github.com/channelgraph/channelgraph/internal/partner"
	"github.com/channelgraph/channelgraph/internal/partnership"
	"github.com/channelgraph/channelgraph/internal/register"
	"github.com/channelgraph/channelgraph/internal/sla"
	"github.com/channelgraph/channelgraph/internal/subscription"
	"github.com/channelgraph/channelgraph/internal/support"
	"github.com/channelgraph/channelgraph/internal/webhook"
)

// loaderCapacity bounds the ids in one statement of a loader.
const loaderCapacity = 250

// loaderWait is how long a loader waits for more ids. It is a variable for
// tests that count statements on a busy machine.
var loaderWait = time.Millisecond

// theCalendar is the one key of the calendar that promises are counted on.
const theCalendar ident.ID = "calendar"

// fetch reads values by their keys inside the actor's scope; what is absent or
// hidden is missing.
type fetch[V any] func(ctx context.Context, ids []ident.ID) (map[ident.ID]V, error)

// loader batches look-ups by id for one operation.
type loader[V any] struct {
	fetch fetch[V]
	start sync.Once // most operations use few of their loaders
	queue *dataloadgen.Loader[ident.ID, V]
}

func newLoader[V any](f fetch[V]) *loader[V] { return &loader[V]{fetch: f} }

func (l *loader[V]) batch() *dataloadgen.Loader[ident.ID, V] {
	l.start.Do(func() {
		l.queue = dataloadgen.NewLoader(func(ctx context.Context, ids []ident.ID) ([]V, []error) {
			found, err := l.fetch(ctx, ids)
			if err != nil {
				return nil, []error{err}
			}
			out := make([]V, len(ids))
			for i, id := range ids {
				out[i] = found[id] // missing is the zero value, and no error
			}
			return out, nil
		}, dataloadgen.WithBatchCapacity(loaderCapacity), dataloadgen.WithWait(loaderWait))
	})
	return l.queue
}

// one looks an id up together with whatever else is asked for meanwhile.
func (l *loader[V]) one(ctx context.Context, id ident.ID) (V, error) {
	if id == "" {
		var none V
		return none, nil
	}
	return l.batch().Load(ctx, id)
}

// ahead looks ids up at once, so that the fields which ask for them later find
// them there.
func (l *loader[V]) ahead(ctx context.Context, ids []ident.ID) error {
	slices.Sort(ids)
	for part := range slices.Chunk(slices.Compact(ids), loaderCapacity) {
		found, err := l.fetch(ctx, part)
		if err != nil {
			return err
		}
		for _, id := range part {
			l.batch().Prime(id, found[id])
		}
	}
	return nil
}

// loaders are the look-ups of one operation by one actor: a hidden row is
// missing from all of them.
type loaders struct {
	plans           *planning
	planned         sync.Map // what belongs to the rows of planned lists, by the first row
	organizations   *loader[*account.Organization]
	users           *loader[*account.User]
	roles           *loader[[]access.Role]
	sessions        *loader[*account.Session]
	holidays        *loader[*calendar.Holiday]
	partners        *loader[*partner.Partner]
	partnersOf      *loader[*partner.Partner] // by organization
	partnersShown   *keyed[database.Shown, *partner.Partner]
	agreements      *loader[*agreement.Agreement]
	agreementTexts  *loader[[]*agreement.Text] // by agreement
	signatures      *loader[*agreement.Signature]
	invitations     *loader[*invitation.Invitation]
	partnerships    *loader[*partnership.Partnership]
	terminations    *loader[*partnership.Termination]
	openEnds        *loader[*partnership.Termination] // by partnership
	links           *loader[*partnership.Link]
	operations      *loader[*outbox.Job]
	operationsAbout *loader[*outbox.Job] // by subject
	events          *loader[*audit.Event]
	tokens          *loader[*account.Token]
	exports         *loader[*audit.Export]
	customerExports *loader[*customer.Export]
	counts          *loader[*model.ChannelCounts] // by key, of branches that were found
	files           *loader[*file.File]
	offers          *loader[*catalog.Offer]
	catalogImports  *loader[*catalog.Import]
	subscriptions   *loader[*subscription.Subscription]
	pairsOpen       *loader[int]                                                  // by partnership
	prices          *keyed[string, []*catalog.Price]                              // by country, by offer
	subscriptionsOf *keyed[listing, *page.Connection[*subscription.Subscription]] // by arguments, by customer
	memberships     *loader[*register.Membership]
	registerImports *loader[*register.Import]
	mails           *loader[*mail.Message]
	mailsAbout      *loader[[]*mail.Message] // by subject
	mailEvents      *loader[[]*mail.Event]   // by message
	webhooks        *loader[*webhook.Endpoint]
	deliveries      *loader[*webhook.Delivery]
	webhookAttempts *loader[[]*webhook.Attempt] // by delivery
	enrollments     *loader[*enrollment.Enrollment]
	checks          *loader[[]*enrollment.Check]    // by enrollment
	questions       *loader[[]*enrollment.Question] // by enrollment
	timelines       *loader[[]*enrollment.Entry]    // by enrollment
	filesOf         *loader[[]*file.File]           // by subject
	supports        *loader[*support.Request]
	threads         *loader[[]*support.Entry]       // by request
	blockers        *loader[[]*partnership.Blocker] // by request to end
	rules           *loader[*sla.Calendar]          // under theCalendar alone
	mailsNamed      *loader[*mail.Message]          // for who has seen what names them
	locations       *loader[*directory.Location]
	updates         *loader[*directory.Request]
	openUpdates     *loader[*directory.Request]    // by provider
	updateQuestions *loader[[]*directory.Question] // by request
	updateTimelines *loader[[]*directory.Entry]    // by request
	orders          *loader[*order.Order]
	orderLines      *loader[*order.Line]
	orderLinesOf    *loader[[]*order.Line] // by order
	customers       *loader[*customer.Customer]
	customersOf     *loader[*customer.Customer] // by organization
	relationships   *loader[*customer.Relationship]
	relationshipsOf *loader[[]*customer.Relationship] // by customer
	customersAgreed *loader[[]*customer.Agreement]    // by customer
	administration  *loader[[]customer.Role]          // by customer
	grants          *loader[*customer.Grant]
	cards           *loader[*partner.Card]        // for who has met the partner
	customerOffers  *loader[*customer.Invitation] // by invitation
}

// guarded reads nothing for an actor who lacks the permission.
func guarded[V any](a access.Actor, p access.Permission, f fetch[V]) *loader[V] {
	if a.Can(p) {
		return newLoader(f)
	}
	return newLoader(func(context.Context, []ident.ID) (map[ident.ID]V, error) { return nil, nil })
}

// scoped binds a concept's query to the actor.
func scoped[V any](a access.Actor, q func(context.Context, access.Actor, []ident.ID) (map[ident.ID]V, error)) fetch[V] {
	return func(ctx context.Context, ids []ident.ID) (map[ident.ID]V, error) { return q(ctx, a, ids) }
}

func byID[V any](rows []V, err error, id func(V) ident.ID) (map[ident.ID]V, error) {
	out := make(map[ident.ID]V, len(rows))
	for _, r := range rows {
		out[id(r)] = r
	}
	return out, err
}

func newLoaders(d *Deps, a access.Actor) *loaders {
	return &loaders{
		plans:         d.plans,
		organizations: guarded(a, access.PermOrganizationRead, scoped(a, d.Accounts.Organizations)),
		// everybody reads themselves; the concept knows who reads others
		users: guarded(a, access.PermViewerRead, scoped(a, d.Accounts.Users)),
		roles: guarded(a, access.PermViewerRead, scoped(a, d.Accounts.RolesOf)),
		sessions: guarded(a, access.PermViewerRead, func(ctx context.Context, _ []ident.ID) (map[ident.ID]*account.Session, error) {
			rows, err := d.Accounts.ListSessions(ctx, a)
			return byID(rows, err, func(s *account.Session) ident.ID { return s.ID })
		}),
		holidays: guarded(a, access.PermViewerRead, scoped(a, d.Calendars.HolidaysByIDs)),
		partners: guarded(a, access.PermPartnerRead, scoped(a, d.Partners.ByIDs)),
		partnersShown: newKeyed(func(show database.Shown) *loader[*partner.Partner] {
			return guarded(a, access.PermPartnerRead, func(ctx context.Context, ids []ident.ID) (map[ident.ID]*partner.Partner, error) {
				return d.Partners.ShownByIDs(ctx, a, ids, show)
			})
		}),
		partnersOf:     guarded(a, access.PermPartnerRead, scoped(a, d.Partners.ByOrganizations)),
		agreements:     guarded(a, access.PermAgreementRead, scoped(a, d.Agreements.ByIDs)),
		agreementTexts: guarded(a, access.PermAgreementRead, scoped(a, d.Agreements.TextsOf)),
		signatures:     guarded(a, access.PermAgreementRead, scoped(a, d.Agreements.SignaturesByIDs)),
		invitations:    guarded(a, access.PermInvitationRead, scoped(a, d.Invitations.ByIDs)),
		partnerships:   guarded(a, access.PermPartnershipRead, scoped(a, d.Partnerships.ByIDs)),
		terminations:   guarded(a, access.PermPartnershipRead, scoped(a, d.Partnerships.TerminationsByIDs)),
		openEnds:       guarded(a, access.PermPartnershipRead, scoped(a, d.Partnerships.OpenTerminations)),
		links:          guarded(a, access.PermPartnershipRequest, scoped(a, d.Partnerships.LinksByIDs)),
		operations: guarded(a, access.PermOperationRead, func(ctx context.Context, ids []ident.ID) (map[ident.ID]*outbox.Job, error) {
			rows, err := outbox.FindMany(ctx, d.DB, a.Scope(), ids)
			return byID(rows, err, func(j *outbox.Job) ident.ID { return j.ID })
		}),
		operationsAbout: guarded(a, access.PermOperationRead, func(ctx context.Context, ids []ident.ID) (map[ident.ID]*outbox.Job, error) {
			return outbox.NewestAbout(ctx, d.DB, a.Scope(), ids)
		}),
		events: guarded(a, access.PermAuditRead, func(ctx context.Context, ids []ident.ID) (map[ident.ID]*audit.Event, error) {
			return audit.ByIDs(ctx, d.DB, a, ids)
		}),
		tokens:          guarded(a, access.PermViewerRead, scoped(a, d.Accounts.TokensByIDs)),
		webhooks:        guarded(a, access.PermWebhookManage, scoped(a, d.Webhooks.ByIDs)),
		deliveries:      guarded(a, access.PermWebhookManage, scoped(a, d.Webhooks.DeliveriesByIDs)),
		webhookAttempts: guarded(a, access.PermWebhookManage, scoped(a, d.Webhooks.Attempts)),
		exports:         guarded(a, access.PermAuditRead, scoped(a, d.Audits.ExportsByIDs)),
		counts: guarded(a, access.PermTreeRead, func(ctx context.Context, ids []ident.ID) (map[ident.ID]*model.ChannelCounts, error) {
			return countsOf(ctx, d, a, ids)
		}),
		customerExports: guarded(a, access.PermCustomerRead, scoped(a, d.Customers.ExportsByIDs)),
		// each purpose asks for a permission of its own; the concept knows
		files:          guarded(a, access.PermViewerRead, scoped(a, d.Files.ByIDs)),
		offers:         guarded(a, access.PermCatalogRead, scoped(a, d.Catalog.ByIDs)),
		catalogImports: guarded(a, access.PermCatalogManage, scoped(a, d.Catalog.ImportsByIDs)),
		subscriptions:  guarded(a, access.PermSubscriptionRead, scoped(a, d.Subscriptions.ByIDs)),
		pairsOpen:      guarded(a, access.PermPartnershipRead, scoped(a, d.Subscriptions.OpenOfPairs)),
		prices: newKeyed(func(country string) *loader[[]*catalog.Price] {
			return guarded(a, access.PermCatalogRead, func(ctx context.Context, ids []ident.ID) (map[ident.ID][]*catalog.Price, error) {
				return d.Catalog.PricesOf(ctx, a, ids, country)
			})
		}),
		subscriptionsOf: newKeyed(func(l listing) *loader[*page.Connection[*subscription.Subscription]] { return l.of(d, a) }),
		memberships:     guarded(a, access.PermRegisterManage, scoped(a, d.Registers.ByIDs)),
		registerImports: guarded(a, access.PermRegisterManage, scoped(a, d.Registers.ImportsByIDs)),
		mails: guarded(a, access.PermMailRead, func(ctx context.Context, ids []ident.ID) (map[ident.ID]*mail.Message, error) {
			return d.Mailer.FindMany(ctx, ids)
		}),
		enrollments: guarded(a, access.PermEnrollmentRead, scoped(a, d.Enrollments.ByIDs)),
		checks:      guarded(a, access.PermEnrollmentRead, scoped(a, d.Enrollments.Checks)),
		questions:   guarded(a, access.PermEnrollmentRead, scoped(a, d.Enrollments.Questions)),
		timelines:   guarded(a, access.PermEnrollmentRead, scoped(a, d.Enrollments.Timeline)),
		// what is public is everybody's; the concept knows
		locations:       newLoader(scoped(a, d.Directory.LocationsByIDs)),
		updates:         guarded(a, access.PermProfileUpdateRead, scoped(a, d.Directory.ByIDs)),
		openUpdates:     guarded(a, access.PermProfileUpdateRead, scoped(a, d.Directory.OpenOf)),
		updateQuestions: guarded(a, access.PermProfileUpdateRead, scoped(a, d.Directory.Questions)),
		updateTimelines: guarded(a, access.PermProfileUpdateRead, scoped(a, d.Directory.Timeline)),
		filesOf:         guarded(a, access.PermViewerRead, scoped(a, d.Files.Of)),
		supports:        guarded(a, access.PermSupportRead, scoped(a, d.Support.ByIDs)),
		threads:         guarded(a, access.PermSupportRead, scoped(a, d.Support.Threads)),
		blockers:        guarded(a, access.PermPartnershipRead, scoped(a, d.Partnerships.BlockersOf)),
		rules: newLoader(func(ctx context.Context, ids []ident.ID) (map[ident.ID]*sla.Calendar, error) {
			c, err := d.Calendars.Current(ctx, d.DB.Read())
			return map[ident.ID]*sla.Calendar{theCalendar: c}, err
		}),
		orders:          guarded(a, access.PermOrderRead, scoped(a, d.Orders.ByIDs)),
		orderLines:      guarded(a, access.PermOrderRead, scoped(a, d.Orders.LinesByIDs)),
		orderLinesOf:    guarded(a, access.PermOrderRead, scoped(a, d.Orders.LinesOf)),
		customers:       guarded(a, access.PermCustomerRead, scoped(a, d.Customers.ByIDs)),
		customersOf:     guarded(a, access.PermCustomerRead, scoped(a, d.Customers.ByOrganizations)),
		relationships:   guarded(a, access.PermCustomerRead, scoped(a, d.Customers.RelationshipsByIDs)),
		relationshipsOf: guarded(a, access.PermCustomerRead, scoped(a, d.Customers.RelationshipsOf)),
		customersAgreed: guarded(a, access.PermCustomerRead, scoped(a, d.Customers.AgreementsOf)),
		administration:  guarded(a, access.PermGrantRead, scoped(a, d.Customers.Administration)),
		grants:          guarded(a, access.PermGrantRead, scoped(a, d.Customers.GrantsByIDs)),
		// whoever asks for these has seen the subject
		cards:          newLoader(d.Partners.Cards),
		customerOffers: newLoader(d.Customers.Offers),
		mailsNamed:     guarded(a, access.PermViewerRead, d.Mailer.FindMany),
		mailsAbout:     guarded(a, access.PermViewerRead, d.Mailer.BySubject),
		mailEvents:     guarded(a, access.PermViewerRead, d.Mailer.Events),
	}
}

// A nodeType is a type that `node` finds, with how it is found and what an
// actor needs to see any of its kind. The loaders apply both on every way to
// it.
type nodeType struct {
	name       string
	permission access.Permission
	find       func(ctx context.Context, l *loaders, id ident.ID) func() (model.Node, error)
}

// nodeTypes are all of them, by the prefix of their ids. Start-up refuses a
// type of the schema that implements Node and is not here.
var nodeTypes = map[string]nodeType{
	ident.Organization:        {"Organization", access.PermOrganizationRead, through(func(l *loaders) *loader[*account.Organization] { return l.organizations })},
	ident.User:                {"User", access.PermViewerRead, through(func(l *loaders) *loader[*account.User] { return l.users })},
	ident.Session:             {"Session", access.PermViewerRead, through(func(l *loaders) *loader[*account.Session] { return l.sessions })},
	ident.Holiday:             {"Holiday", access.PermViewerRead, through(func(l *loaders) *loader[*calendar.Holiday] { return l.holidays })},
	ident.Partner:             {"Partner", access.PermPartnerRead, through(func(l *loaders) *loader[*partner.Partner] { return l.partners })},
	ident.Agreement:           {"Agreement", access.PermAgreementRead, through(func(l *loaders) *loader[*agreement.Agreement] { return l.agreements })},
	ident.Signature:           {"AgreementSignature", access.PermAgreementRead, through(func(l *loaders) *loader[*agreement.Signature] { return l.signatures })},
	ident.Invitation:          {"Invitation", access.PermInvitationRead, through(func(l *loaders) *loader[*invitation.Invitation] { return l.invitations })},
	ident.Partnership:         {"Partnership", access.PermPartnershipRead, through(func(l *loaders) *loader[*partnership.Partnership] { return l.partnerships })},
	ident.Termination:         {"Termination", access.PermPartnershipRead, through(func(l *loaders) *loader[*partnership.Termination] { return l.terminations })},
	ident.Proposal:            {"PartnershipLink", access.PermPartnershipRequest, through(func(l *loaders) *loader[*partnership.Link] { return l.links })},
	ident.Job:                 {"Operation", access.PermOperationRead, through(func(l *loaders) *loader[*outbox.Job] { return l.operations })},
	ident.Audit:               {"AuditEvent", access.PermAuditRead, through(func(l *loaders) *loader[*audit.Event] { return l.events })},
	ident.Token:               {"PersonalToken", access.PermViewerRead, through(func(l *loaders) *loader[*account.Token] { return l.tokens })},
	ident.Export:              {"AuditExport", access.PermAuditRead, through(func(l *loaders) *loader[*audit.Export] { return l.exports })},
	ident.Webhook:             {"WebhookEndpoint", access.PermWebhookManage, through(func(l *loaders) *loader[*webhook.Endpoint] { return l.webhooks })},
	ident.Delivery:            {"WebhookDelivery", access.PermWebhookManage, through(func(l *loaders) *loader[*webhook.Delivery] { return l.deliveries })},
	ident.File:                {"File", access.PermViewerRead, through(func(l *loaders) *loader[*file.File] { return l.files })},
	ident.Membership:          {"Membership", access.PermRegisterManage, through(func(l *loaders) *loader[*register.Membership] { return l.memberships })},
	ident.Import:              {"RegisterImport", access.PermRegisterManage, through(func(l *loaders) *loader[*register.Import] { return l.registerImports })},
	ident.Enrollment:          {"Enrollment", access.PermEnrollmentRead, through(func(l *loaders) *loader[*enrollment.Enrollment] { return l.enrollments })},
	ident.Mail:                {"MailMessage", access.PermMailRead, through(func(l *loaders) *loader[*mail.Message] { return l.mails })},
	ident.Location:            {"DirectoryLocation", access.PermViewerRead, through(func(l *loaders) *loader[*directory.Location] { return l.locations })},
	ident.ProfileUpdate:       {"ProfileUpdate", access.PermProfileUpdateRead, through(func(l *loaders) *loader[*directory.Request] { return l.updates })},
	ident.Support:             {"SupportRequest", access.PermSupportRead, through(func(l *loaders) *loader[*support.Request] { return l.supports })},
	ident.Offer:               {"Offer", access.PermCatalogRead, through(func(l *loaders) *loader[*catalog.Offer] { return l.offers })},
	ident.CatalogImport:       {"CatalogImport", access.PermCatalogManage, through(func(l *loaders) *loader[*catalog.Import] { return l.catalogImports })},
	ident.ProductSubscription: {"ProductSubscription", access.PermSubscriptionRead, through(func(l *loaders) *loader[*subscription.Subscription] { return l.subscriptions })},
	ident.Order:               {"Order", access.PermOrderRead, through(func(l *loaders) *loader[*order.Order] { return l.orders })},
	ident.OrderLine:           {"OrderLine", access.PermOrderRead, through(func(l *loaders) *loader[*order.Line] { return l.orderLines })},
	ident.Customer:            {"Customer", access.PermCustomerRead, through(func(l *loaders) *loader[*customer.Customer] { return l.customers })},
	ident.CustomerExport:      {"CustomerExport", access.PermCustomerRead, through(func(l *loaders) *loader[*customer.Export] { return l.customerExports })},
	ident.Relationship:        {"CustomerRelationship", access.PermCustomerRead, through(func(l *loaders) *loader[*customer.Relationship] { return l.relationships })},
	ident.Grant:               {"Grant", access.PermGrantRead, through(func(l *loaders) *loader[*customer.Grant] { return l.grants })},
}

func through[T any](pick func(*loaders) *loader[*T]) func(context.Context, *loaders, ident.ID) func() (model.Node, error) {
	return func(ctx context.Context, l *loaders, id ident.ID) func() (model.Node, error) {
		wait := pick(l).batch().LoadThunk(ctx, id)
		return func() (model.Node, error) {
			v, err := wait()
			if v == nil || err != nil {
				return nil, err
			}
			return v, nil
		}
	}
}

// begin starts finding anything by its id; the answer is nil where it is
// absent or hidden.
func begin(ctx context.Context, id ident.ID) func() (model.Node, error) {
	t, ok := nodeTypes[id.Kind()]
	if !ok {
		return func() (model.Node, error) { return nil, nil }
	}
	return t.find(ctx, load(ctx), id)
}

// node finds anything by its id.
func node(ctx context.Context, id ident.ID) (model.Node, error) { return begin(ctx, id)() }

// operation is what belongs to one running operation: its actor and loaders.
type operation struct {
	deps    *Deps
	actor   access.Actor
	loaders atomic.Pointer[loaders]
}

type operationKey struct{}

func withOperation(ctx context.Context, d *Deps, a access.Actor) context.Context {
	o := &operation{deps: d, actor: a}
	o.forget()
	return context.WithValue(ctx, operationKey{}, o)
}

// forget drops what was loaded, since a mutation may have changed it.
func (o *operation) forget() { o.loaders.Store(newLoaders(o.deps, o.actor)) }

func running(ctx context.Context) *operation { return ctx.Value(operationKey{}).(*operation) }

// actor is who runs the operation.
func actor(ctx context.Context) access.Actor { return running(ctx).actor }

// load gives the operation's loaders.
func load(ctx context.Context) *loaders { return running(ctx).loaders.Load() }

// A relation is a to-one field of the rows of a page: its name in the schema
// and how it is looked up.
type relation[T any] struct {
	field string
	by    aheader
	key   func(T) ident.ID
}

type aheader interface {
	ahead(ctx context.Context, ids []ident.ID) error
}

// withRelations looks up, in one statement a loader, the relations of a page's
// rows that the operation asks for.
func withRelations[T any](ctx context.Context, c *page.Connection[T], err error, rs ...relation[T]) (*page.Connection[T], error) {
	if err != nil || len(c.Edges) == 0 {
		return c, err
	}
	var b batches
	gather(ctx, &b, "", c.Nodes(), rs)
	return c, b.load(ctx)
}

// batches are the ids to look up ahead, by loader, in the order in which they
// were first asked for.
type batches struct {
	order []aheader
	ids   map[aheader][]ident.ID
}

func (b *batches) add(by aheader, id ident.ID) {
	if id == "" {
		return
	}
	if b.ids == nil {
		b.ids = map[aheader][]ident.ID{}
	}
	if b.ids[by] == nil {
		b.order = append(b.order, by)
	}
	b.ids[by] = append(b.ids[by], id)
}

func (b *batches) load(ctx context.Context) error {
	for _, by := range b.order {
		if err := by.ahead(ctx, b.ids[by]); err != nil {
			return err
		}
	}
	return nil
}

// gather adds the relations of rows that the operation asks for; under is the
// way from the connection's rows to the connection that these rows are of, ""
// for its own.
func gather[T any](ctx context.Context, b *batches, under string, rows []T, rs []relation[T]) {
	for _, r := range rs {
		if !graphql.AnyFieldRequested(ctx, ways(under, r.field)...) {
			continue
		}
		for _, row := range rows {
			b.add(r.by, r.key(row))
		}
	}
}

// ways are the paths to a field of a connection's rows, which stand under nodes
// and edges.
func ways(under, field string) []string {
	of := []string{"nodes.", "edges.node."}
	if under == "" {
		return []string{of[0] + field, of[1] + field}
	}
	var out []string
	for _, outer := range of {
		for _, inner := range of {
			out = append(out, outer+under+"."+inner+field)
		}
	}
	return out
}
