// Package app wires the house together: it opens what the settings name,
// makes the services, hangs the doors into one server, and starts and stops
// them in order. It owns no rule of the product and no table.
package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/trace"

	"github.com/channelgraph/channelgraph/graph"
	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/agreement"
	"github.com/channelgraph/channelgraph/internal/audit"
	"github.com/channelgraph/channelgraph/internal/calendar"
	"github.com/channelgraph/channelgraph/internal/catalog"
	"github.com/channelgraph/channelgraph/internal/config"
	"github.com/channelgraph/channelgraph/internal/customer"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/directory"
	"github.com/channelgraph/channelgraph/internal/enrollment"
	"github.com/channelgraph/channelgraph/internal/event"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/file"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/invitation"
	"github.com/channelgraph/channelgraph/internal/mail"
	"github.com/channelgraph/channelgraph/internal/mailbox"
	"github.com/channelgraph/channelgraph/internal/order"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/internal/partner"
	"github.com/channelgraph/channelgraph/internal/partnership"
	"github.com/channelgraph/channelgraph/internal/register"
	"github.com/channelgraph/channelgraph/internal/rollup"
	"github.com/channelgraph/channelgraph/internal/secret"
	"github.com/channelgraph/channelgraph/internal/seed"
	"github.com/channelgraph/channelgraph/internal/subscription"
	"github.com/channelgraph/channelgraph/internal/support"
	"github.com/channelgraph/channelgraph/internal/tree"
	"github.com/channelgraph/channelgraph/internal/web"
	"github.com/channelgraph/channelgraph/internal/webhook"
	"github.com/channelgraph/channelgraph/migrations"
	"github.com/channelgraph/channelgraph/workers"
)

// Version is what the build says it is.
var Version = "dev"

// App is one process.
type App struct {
	cfg      *config.Config
	log      *slog.Logger
	db       *database.DB
	clock    *database.Clock
	mailbox  *mailbox.Mailbox
	mailer   *mail.Mailer
	accounts *account.Service
	calendar *calendar.Service
	files    *file.Service
	partners *partner.Service
	register *register.Service
	enrolled *enrollment.Service
	listed   *directory.Service
	agreed   *agreement.Service
	invites  *invitation.Service
	joined   *partnership.Service
	helped   *support.Service
	buyers   *customer.Service
	offers   *catalog.Service
	bought   *subscription.Service
	orders   *order.Service
	counts   *rollup.Ledger
	audits   *audit.Service
	hooked   *webhook.Service
	workers  *workers.Server
	registry *prometheus.Registry
	tracer   trace.TracerProvider // nil where nothing is traced
	handler  http.Handler
	secrets  *secret.Keys
	drain    func() // ends the live streams; nil where there is no API
	listener net.Listener
	metrics  net.Listener
	closers  []func()
}

// New opens everything that the settings name. It listens but serves nothing
// yet; Run serves, Close gives back what Run did not.
func New(ctx context.Context, cfg *config.Config, log *slog.Logger) (_ *App, err error) {
	a := &App{cfg: cfg, log: log, registry: prometheus.NewRegistry()}
	defer func() {
		if err != nil {
			a.Close()
		}
	}()
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	a.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	// Listening comes first: a port that is taken is the commonest mistake.
	if a.listener, err = new(net.ListenConfig).Listen(ctx, "tcp", cfg.Addr); err != nil {
		return nil, fmt.Errorf("listening on CHANNELGRAPH_ADDR %s: %w", cfg.Addr, err)
	}
	if base, ok := strings.CutSuffix(cfg.PublicURL, ":0"); ok { // any free port: it is known only now
		_, port, err := net.SplitHostPort(a.listener.Addr().String())
		if err != nil {
			return nil, err
		}
		cfg.PublicURL = base + ":" + port
	}
	if cfg.MetricsAddr != "" {
		if a.metrics, err = new(net.ListenConfig).Listen(ctx, "tcp", cfg.MetricsAddr); err != nil {
			return nil, fmt.Errorf("listening on CHANNELGRAPH_METRICS_ADDR %s: %w", cfg.MetricsAddr, err)
		}
	}
	if err := a.openTraces(ctx); err != nil {
		return nil, err
	}
	if err := a.openDatabase(ctx); err != nil {
		return nil, err
	}
	keys, err := a.keys()
	if err != nil {
		return nil, err
	}
	a.secrets = keys
	if err := a.openMail(keys); err != nil {
		return nil, err
	}
	a.accounts = account.New(a.db, a.mailer, keys, account.Config{PublicURL: cfg.PublicURL, IdleFor: cfg.SessionIdle, Lifetime: cfg.SessionLife,
		OperatorIdleFor: cfg.OperatorIdle, OperatorLifetime: cfg.OperatorLife, SudoFor: cfg.SudoFor, Hashing: a.hashing()}, log)
	a.partners = partner.New(a.db, a.accounts, a.mailer)
	a.calendar = calendar.New(a.db, cfg.TimeZone)
	a.files = file.New(a.db)
	a.register = register.New(a.db, a.accounts, a.files)
	t := cfg.Enrollment
	a.enrolled = enrollment.New(a.db, a.accounts, a.partners, a.files, a.calendar, a.register, a.mailer, keys, enrollment.Config{StartLife: t.Link, LinkLife: t.Link,
		DraftLife: t.Draft, ConfirmLife: t.Confirm, AnswerLife: t.Answer, AppealLife: t.Appeal, ReviewTarget: t.Target, ReviewDue: t.Due}, log)
	a.agreed = agreement.New(a.db, a.accounts, a.partners, a.mailer, a.enrolled.SignedTx)
	a.invites = invitation.New(a.db, a.mailer, keys, a.accounts, invitation.Config{Life: cfg.InvitationLife, WaitingLife: cfg.WaitingLife,
		DailyLimit: cfg.InvitationDay, RecipientLimit: cfg.RecipientMonth}, log)
	a.joined = partnership.New(a.db, a.accounts, a.partners, a.invites, a.mailer, keys, cfg.PublicURL)
	a.joined.Follow(a.calendar)
	a.helped = support.New(a.db, a.accounts, a.files, a.calendar, a.mailer, keys)
	a.helped.OnBehalf(func(ctx context.Context, tx *database.Tx, actor access.Actor, id ident.ID) error {
		ok, err := a.bought.SupportsTx(ctx, tx, actor, id)
		if err == nil && !ok {
			if _, err = a.buyers.LoadTx(ctx, tx, actor, id); err == nil {
				err = fault.Conflict("customerId", support.CodeNotSupportContact)
			}
		}
		return err
	})
	a.helped.About(support.EndPartnership, func(ctx context.Context, actor access.Actor, id ident.ID) (bool, error) {
		found, err := a.joined.TerminationsByIDs(ctx, actor, []ident.ID{id})
		return found[id] != nil, err
	})
	a.buyers = customer.New(a.db, a.accounts, a.partners, a.joined, a.invites, a.mailer, customer.Config{TenantDomain: cfg.TenantDomain})
	a.offers = catalog.New(a.db, a.files)
	a.bought = subscription.New(a.db, a.partners, a.buyers, a.offers)
	a.joined.OnBlockers(a.bought.Blocking)
	a.orders = order.New(a.db, a.accounts, a.partners, a.buyers, a.offers, a.bought, a.provisioner(), log)
	a.counts = rollup.NewLedger(a.db, log)
	a.counts.Count(partnership.Counts, customer.Counts, subscription.Counts)
	a.audits = audit.New(a.db, log)
	a.openWebhooks(keys)
	a.listed = directory.New(a.db, a.accounts, a.partners, a.files, a.calendar, a.audits, a.mailer)
	a.helped.About(support.ProfileUpdate, func(ctx context.Context, actor access.Actor, id ident.ID) (bool, error) {
		found, err := a.listed.ByIDs(ctx, actor, []ident.ID{id})
		return found[id] != nil, err
	})
	if a.workers, err = workers.New(a.db, a.jobs(), workers.Options{Redis: cfg.RedisURL, Namespace: cfg.QueueNamespace, Concurrency: cfg.Concurrency, Lease: cfg.JobLease,
		RelayOnly: cfg.Role == config.RoleAPI, Periodic: a.periodic(), Logger: log, Metrics: a.registry, Tracer: a.tracer}); err != nil {
		return nil, fmt.Errorf("the queue: %w", err)
	}
	return a, a.openDoors()
}

// provisioner delivers what is bought at once; in the demo world one publisher
// refuses, so that it can be seen what happens then.
func (a *App) provisioner() order.Provisioner {
	if a.cfg.Demo {
		return order.Rehearsal{Refuse: map[string]string{"CC-CAD": "PUBLISHER_REFUSED"}}
	}
	return order.AtOnce{}
}

// hashing is cheaper in the demo world, whose many accounts are made at the
// first start and guard nothing: the least that OWASP accepts.
func (a *App) hashing() account.Hashing {
	if a.cfg.Demo {
		return account.Hashing{Memory: 19 << 10, Passes: 2}
	}
	return account.Hashing{}
}

const clockSetting = "clock_offset"

func (a *App) openDatabase(ctx context.Context) error {
	o := database.Options{MaxConns: a.cfg.MaxConns}
	if a.cfg.Demo {
		a.clock = database.NewClock(0)
		o.Clock = a.clock
	}
	var err error
	if a.db, err = database.Open(ctx, a.cfg.DatabaseURL, o); err != nil {
		return err
	}
	applied, err := migrations.Up(ctx, a.db)
	if err != nil {
		return err
	}
	for _, m := range applied {
		a.log.Info("migration applied", "name", m)
	}
	if a.clock == nil {
		return nil
	}
	v, err := database.Setting(ctx, a.db.Read(), clockSetting)
	if err != nil || v == "" {
		return err
	}
	d, err := time.ParseDuration(v)
	if err != nil {
		return fmt.Errorf("the stored clock %q: %w", v, err)
	}
	a.clock.Advance(d)
	return nil
}

// keys derives the tokens of the instance; in development the key is made at
// the first start and kept in the data folder.
func (a *App) keys() (*secret.Keys, error) {
	text := a.cfg.SecretKey.Reveal()
	if text == "" {
		path := filepath.Join(a.cfg.Data, "instance.key")
		b, err := os.ReadFile(path) // the operator's own folder
		if errors.Is(err, os.ErrNotExist) {
			b = []byte(secret.NewMaster() + "\n")
			if err = os.MkdirAll(a.cfg.Data, 0o700); err == nil {
				err = writeFile(path, b)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("the instance key in CHANNELGRAPH_DATA: %w", err)
		}
		text = string(b)
	}
	master, err := secret.ParseKey(text)
	if err != nil {
		return nil, fmt.Errorf("the instance key: %w", err)
	}
	return secret.NewKeys(master)
}

// writeFile writes a private file whole or not at all.
func writeFile(path string, b []byte) error {
	tmp := path + ".new"
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

func (a *App) openMail(keys *secret.Keys) error {
	smtpURL := a.cfg.SMTPURL
	if smtpURL == "" {
		box, err := mailbox.Open(a.cfg.Data, a.db.Now)
		if err != nil {
			return fmt.Errorf("the development mailbox: %w", err)
		}
		a.mailbox = box
		if smtpURL, err = box.Start(a.cfg.MailboxAddr); err != nil {
			return fmt.Errorf("the development mailbox on CHANNELGRAPH_MAILBOX_ADDR %s: %w", a.cfg.MailboxAddr, err)
		}
		a.closers = append(a.closers, func() { _ = box.Close() })
	}
	var err error
	a.mailer, err = mail.New(a.db, keys, mail.Config{SMTPURL: smtpURL, From: a.cfg.MailFrom, PublicURL: a.cfg.PublicURL, ProductName: a.cfg.Product,
		Operator: a.cfg.Operator, Abuse: a.cfg.Abuse, DKIMDomain: a.cfg.DKIMDomain, DKIMSelector: a.cfg.DKIMSelector, DKIMKey: a.cfg.DKIMKey,
		Rate: a.cfg.MailRate}, a.log)
	if err != nil {
		return err
	}
	outcomes := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "channelgraph_mail_outcomes_total",
		Help: "Attempts to hand a mail over, by the state they led to and its code."}, []string{"state", "code"})
	a.registry.MustRegister(outcomes)
	a.mailer.OnOutcome = func(state, code string) { outcomes.WithLabelValues(state, code).Inc() }
	if a.mailbox != nil {
		a.mailbox.OnBounce(func(ctx context.Context, raw []byte) error {
			_, _, err := a.mailer.Bounce(ctx, strings.NewReader(string(raw)))
			return err
		})
	}
	a.closers = append(a.closers, a.mailer.Close)
	return nil
}

func (a *App) openWebhooks(keys *secret.Keys) {
	a.hooked = webhook.New(a.db, a.accounts, a.mailer, keys, webhook.Config{Loopback: a.cfg.WebhookPrivate, AnyPort: a.cfg.IsDevelopment(), Version: Version}, a.log)
	outcomes := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "channelgraph_webhook_deliveries_total",
		Help: "Attempts to deliver a webhook message, by outcome: delivered, or why not."}, []string{"outcome"})
	a.registry.MustRegister(outcomes)
	a.hooked.OnOutcome = func(outcome string) { outcomes.WithLabelValues(outcome).Inc() }
}

// jobs is the job map: one line a kind.
func (a *App) jobs() workers.Registry {
	r := workers.Registry{}
	workers.Add(r, a.sendMail)
	workers.Add(r, a.accounts.SendReset)
	workers.Add(r, a.accounts.SendNotice)
	workers.Add(r, a.accounts.TokenReminder)
	workers.Add(r, a.accounts.Prune)
	workers.Add(r, a.invites.Look)
	workers.Add(r, a.invites.Scan)
	workers.Add(r, a.invites.SendReminder)
	workers.Add(r, a.joined.SendInvitation)
	workers.Add(r, a.joined.TellStanding)
	workers.Add(r, a.joined.LookTermination)
	workers.Add(r, a.joined.ScanTerminations)
	workers.Add(r, a.helped.Look)
	workers.Add(r, a.helped.Scan)
	workers.Add(r, a.helped.Notice)
	workers.Add(r, a.calendar.MovePromises)
	workers.Add(r, a.files.Prune)
	workers.Add(r, a.register.ImportRegister)
	workers.Add(r, a.register.PruneImports)
	workers.Add(r, a.enrolled.AnswerStart)
	workers.Add(r, a.enrolled.SendVerification)
	workers.Add(r, a.enrolled.Notice)
	workers.Add(r, a.enrolled.RunChecks)
	workers.Add(r, a.enrolled.Look)
	workers.Add(r, a.enrolled.Scan)
	workers.Add(r, a.enrolled.DiscardEvidence)
	workers.Add(r, a.listed.Publish)
	workers.Add(r, a.listed.Look)
	workers.Add(r, a.listed.Scan)
	workers.Add(r, a.listed.Notice)
	workers.Add(r, a.agreed.Announce)
	workers.Add(r, a.agreed.Look)
	workers.Add(r, a.agreed.Scan)
	workers.Add(r, a.buyers.SendInvitation)
	workers.Add(r, a.buyers.LookAtGrant)
	workers.Add(r, a.buyers.ScanGrants)
	workers.Add(r, a.buyers.ExportCustomers)
	workers.Add(r, a.offers.ImportOffers)
	workers.Add(r, a.offers.PruneImports)
	workers.Add(r, a.bought.MoveOn)
	workers.Add(r, a.bought.Scan)
	workers.Add(r, a.orders.Provision)
	workers.Add(r, a.orders.Expire)
	workers.Add(r, a.orders.Scan)
	workers.Add(r, a.foldCounts)
	workers.Add(r, a.proveCounts)
	workers.Add(r, a.audits.SealEvents)
	workers.Add(r, a.audits.ExportEvents)
	workers.Add(r, a.audits.PruneExports)
	workers.Add(r, a.hooked.Dispatch)
	workers.Add(r, a.hooked.Deliver)
	workers.Add(r, a.hooked.PerformReplay)
	workers.Add(r, a.hooked.Prune)
	workers.Add(r, a.pruneJobs)
	return r
}

func (a *App) periodic() []workers.Periodic {
	var list []workers.Periodic
	for _, p := range []workers.Periodic{
		{Name: "invitation.scan", Every: 15 * time.Minute, Args: invitation.Scan{}},
		{Name: "enrollment.scan", Every: 15 * time.Minute, Args: enrollment.Scan{}},
		{Name: "enrollment.discard_evidence", Every: 24 * time.Hour, Args: enrollment.DiscardEvidence{}},
		{Name: "directory.scan", Every: 15 * time.Minute, Args: directory.Scan{}},
		{Name: "partnership.scan_terminations", Every: 15 * time.Minute, Args: partnership.ScanTerminations{}},
		{Name: "support.scan", Every: 15 * time.Minute, Args: support.Scan{}},
		{Name: "agreement.scan", Every: 15 * time.Minute, Args: agreement.Scan{}},
		{Name: "customer.scan_grants", Every: 15 * time.Minute, Args: customer.ScanGrants{}},
		{Name: "subscription.scan", Every: 15 * time.Minute, Args: subscription.Scan{}},
		{Name: "order.scan", Every: 15 * time.Minute, Args: order.Scan{}},
		{Name: "catalog.prune_imports", Every: 24 * time.Hour, Args: catalog.PruneImports{}},
		{Name: "rollup.fold", Every: time.Minute, Args: rollup.Fold{}},
		{Name: "rollup.reconcile", Every: 24 * time.Hour, Args: rollup.Reconcile{}},
		{Name: "file.prune", Every: time.Hour, Args: file.Prune{}},
		{Name: "register.prune_imports", Every: 24 * time.Hour, Args: register.PruneImports{}},
		{Name: "account.prune", Every: time.Hour, Args: account.Prune{}},
		{Name: "audit.seal", Every: time.Hour, Args: audit.SealEvents{}},
		{Name: "audit.seal_all", Every: 24 * time.Hour, Args: audit.SealEvents{All: true}},
		{Name: "audit.prune_exports", Every: 24 * time.Hour, Args: audit.PruneExports{}},
		{Name: "webhook.prune", Every: time.Hour, Args: webhook.Prune{}},
		{Name: "outbox.prune", Every: time.Hour, Args: PruneJobs{}},
	} {
		p.Options, p.Upkeep = []outbox.Option{outbox.On(outbox.Low)}, true
		list = append(list, p)
	}
	return list
}

func (a *App) foldCounts(ctx context.Context, _ *outbox.Run, _ rollup.Fold) error {
	_, err := rollup.FoldAll(ctx, a.db)
	return err
}

func (a *App) proveCounts(ctx context.Context, _ *outbox.Run, _ rollup.Reconcile) error {
	_, err := a.counts.Reconcile(ctx)
	return err
}

// PruneJobs removes finished work and events that nobody needs any more.
type PruneJobs struct{}

// Kind is the job's kind.
func (PruneJobs) Kind() string { return "outbox.prune" }

func (a *App) pruneJobs(ctx context.Context, _ *outbox.Run, _ PruneJobs) error {
	_, err := outbox.Prune(ctx, a.db)
	if err == nil {
		_, err = event.Prune(ctx, a.db)
	}
	return err
}

// sendMail delivers a message that needs no more than its own table.
func (a *App) sendMail(ctx context.Context, run *outbox.Run, args mail.Send) error {
	return a.mailer.Deliver(ctx, args.MessageID, mail.Hooks{
		Wanted: func(ctx context.Context) (bool, error) {
			m, err := a.mailer.Find(ctx, args.MessageID)
			if err != nil {
				return false, err
			}
			return a.accounts.MailWanted(ctx, m)
		},
		Settle: func(ctx context.Context, tx *database.Tx, _ *mail.Message, o mail.Outcome) error {
			if !o.State.Final() {
				return nil
			}
			return run.Done(ctx, tx)
		},
	})
}

// hooks tell the concepts what people do to their operations.
func (a *App) hooks() outbox.Hooks {
	type hook = func(ctx context.Context, tx *database.Tx, j *outbox.Job) error
	send, sell := partnership.SendInvitation{}.Kind(), customer.SendInvitation{}.Kind()
	return outbox.Hooks{
		Record: func(ctx context.Context, tx *database.Tx, actor access.Actor, action string, j *outbox.Job) error {
			return audit.Record(ctx, tx, actor, audit.Act{Action: action, TargetID: j.ID, TargetOrganizationID: j.OrganizationID, Changed: []string{"state"}})
		},
		OnCancel: map[string]hook{
			send:                             a.invites.Cancelled,
			sell:                             a.invites.Cancelled,
			catalog.ImportOffers{}.Kind():    a.offers.ImportCancelled,
			order.Provision{}.Kind():         a.orders.Stopped,
			calendar.MovePromises{}.Kind():   a.calendar.Cancelled,
			register.ImportRegister{}.Kind(): a.register.ImportCancelled,
			directory.Publish{}.Kind():       a.listed.Cancelled,
		},
		OnRetry: map[string]hook{
			send:                                 a.invites.Retried,
			sell:                                 a.invites.Retried,
			order.Provision{}.Kind():             a.orders.Retried,
			enrollment.SendVerification{}.Kind(): a.enrolled.Retried,
		},
	}
}

func (a *App) openDoors() error {
	public, err := url.Parse(a.cfg.PublicURL)
	if err != nil {
		return err
	}
	metrics := promhttp.HandlerFor(a.registry, promhttp.HandlerOpts{})
	d := web.Deps{
		Account: a.accounts, Partner: a.partners, Partnership: a.joined, Enrollment: a.enrolled, Directory: a.listed, Support: a.helped, Customer: a.buyers, File: a.files, Register: a.register, Audit: a.audits, DB: a.db, PublicURL: public, Dev: a.cfg.IsDevelopment(), Ready: a.Ready,
		BounceIntake: func(ctx context.Context, raw io.Reader) error {
			_, _, err := a.mailer.Bounce(ctx, raw)
			if errors.Is(err, mail.ErrNoReport) {
				return fault.Invalid("report", fault.CodeInvalid)
			}
			return err
		},
		BounceSecret: a.cfg.BounceSecret, TrustedProxies: a.cfg.TrustedProxies, Version: Version, Log: a.log, Registerer: a.registry,
		Tracer: a.tracer,
	}
	if a.cfg.IsDevelopment() && a.cfg.MetricsAddr == "" {
		d.Metrics = metrics
	}
	if a.cfg.Role == config.RoleWorker {
		a.handler = web.Health(d)
		return nil
	}
	spend, err := a.spend()
	if err != nil {
		return fmt.Errorf("the budgets: %w", err)
	}
	api, err := graph.New(graph.Deps{DB: a.db, Accounts: a.accounts, Calendars: a.calendar, Files: a.files, Registers: a.register, Partners: a.partners, Enrollments: a.enrolled, Directory: a.listed, Agreements: a.agreed, Invitations: a.invites, Partnerships: a.joined, Support: a.helped,
		Customers: a.buyers, Catalog: a.offers, Subscriptions: a.bought, Orders: a.orders, Tree: tree.New(a.db, a.partners, a.joined, a.buyers, a.bought),
		Mailer: a.mailer, Audits: a.audits, Webhooks: a.hooked, Hooks: a.hooks(), Log: a.log, Registerer: a.registry,
		Keys: a.secrets, PublicURL: a.cfg.PublicURL, Spend: spend, ConsoleOnly: a.cfg.Documents == config.DocumentsConsoleOnly})
	if err != nil {
		return fmt.Errorf("the GraphQL door: %w", err)
	}
	d.GraphQL, a.drain = api, api.Drain
	if a.cfg.IsDevelopment() {
		d.GraphiQL = graph.GraphiQL("/graphql")
		if a.mailbox != nil {
			d.Mailbox = a.mailbox.Handler("/mailbox/")
		}
	}
	if a.cfg.Demo {
		d.DevRoutes = a.devRoutes()
	}
	a.handler, err = web.New(d)
	return err
}

// boundless, which benchmarks set, lets callers spend without end.
var boundless graph.Spend

// spend counts what callers of the API spend over the fleet, in its Redis; nil
// without one. The purses go by keyed digests: no address and no id enters
// Redis.
func (a *App) spend() (graph.Spend, error) {
	if boundless != nil {
		return boundless, nil
	}
	if a.cfg.RedisURL == "" {
		return nil, nil
	}
	b, err := workers.NewBudget(a.cfg.RedisURL, a.cfg.QueueNamespace, a.db.Now)
	if err != nil {
		return nil, err
	}
	a.closers = append(a.closers, b.Close)
	return func(ctx context.Context, cost int, keys []string, limits []int) (int, int, time.Time, bool, error) {
		blind := make([]string, len(keys))
		for i, k := range keys {
			blind[i] = a.secrets.Blind("budget", k)
		}
		return b.Spend(ctx, cost, blind, limits)
	}, nil
}

// Ready checks what the process needs, by name.
func (a *App) Ready(ctx context.Context) map[string]error {
	out := map[string]error{"database": a.db.Ping(ctx), "queue": a.workers.Ready(ctx)}
	return out
}

// Start starts relay, workers and, where asked for, the demo world.
func (a *App) Start(ctx context.Context) (*seed.World, error) {
	if !a.cfg.Demo {
		return nil, a.workers.Start(ctx)
	}
	return a.startDemo(ctx)
}

// Serve answers requests until ctx ends, then lets running requests and jobs
// finish. A second signal does not wait.
func (a *App) Serve(ctx context.Context) error {
	srv := web.NewServer(a.handler, a.log)
	if a.drain != nil {
		srv.RegisterOnShutdown(a.drain)
	}
	failed := make(chan error, 2)
	go func() { failed <- srv.Serve(a.listener) }()
	var side *http.Server
	if a.metrics != nil {
		mux := http.NewServeMux()
		mux.Handle("GET /metrics", promhttp.HandlerFor(a.registry, promhttp.HandlerOpts{}))
		side = web.NewServer(mux, a.log)
		go func() { failed <- side.Serve(a.metrics) }()
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	a.log.Info("stopping", "wait", a.cfg.Shutdown.String())
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.cfg.Shutdown)
	defer cancel()
	err = errors.Join(err, srv.Shutdown(closing))
	err = errors.Join(err, a.workers.Stop(closing))
	if side != nil {
		err = errors.Join(err, side.Shutdown(closing))
	}
	a.Close()
	return err
}

// Close gives back what the process holds.
func (a *App) Close() {
	for i := len(a.closers) - 1; i >= 0; i-- {
		a.closers[i]()
	}
	a.closers = nil
	if a.db != nil {
		_ = a.db.Close()
	}
	for _, l := range []net.Listener{a.listener, a.metrics} {
		if l != nil {
			_ = l.Close()
		}
	}
}

// PublicURL is where people reach the process.
func (a *App) PublicURL() string { return a.cfg.PublicURL }

// SetupLink is the one-time link for the first operator, "" once there is one.
func (a *App) SetupLink(ctx context.Context) (string, error) {
	link, needed, err := a.accounts.SetupLink(ctx)
	if err != nil || !needed {
		return "", err
	}
	return link, nil
}

// HasMailbox reports whether mail goes to the development mailbox.
func (a *App) HasMailbox() bool { return a.mailbox != nil }

// requestID makes the context of work that no request asked for.
func requestID(ctx context.Context, what string) context.Context {
	return ident.WithRequest(ctx, what+"-"+ident.New(ident.Job).Body()[:10])
}
