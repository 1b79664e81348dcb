package app

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/audit"
	"github.com/channelgraph/channelgraph/internal/config"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/secret"
	"github.com/channelgraph/channelgraph/internal/seed"
	"github.com/channelgraph/channelgraph/migrations"
)

// ErrUsage says that the command line could not be read; the reason has been
// printed.
var ErrUsage = errors.New("usage")

const usage = `channelgraph is a self-hosted partner center for a two-tier channel.

  channelgraph serve [--demo]        API, workers, queue and mailbox in one process
  channelgraph serve --role api      one part of a fleet on PostgreSQL and Redis
  channelgraph serve --role worker
  channelgraph migrate up|status     bring the database schema up to date, or list it
  channelgraph migrate unlock        free the lock that a killed migration left behind
  channelgraph seed --scale          fill an empty database with 20 providers, 2,000 resellers, 1,000,000
                                     customers and 3,000,000 subscriptions for measuring, or go on where
                                     that was cut; --customers N and the like change how many
  channelgraph user setup-link       a new link for the first operator
  channelgraph audit verify          recompute the chain of seals over the audit; --from N begins at
                                     a seal, --head N:HASH asks for one that a log has kept
  channelgraph config                every setting with its meaning and value
  channelgraph doctor                check database, Redis, SMTP and clock
  channelgraph healthy               ask the running process whether it is ready
  channelgraph version

Every setting is an environment variable CHANNELGRAPH_NAME or a flag --name.
`

// Main runs one command line.
func Main(ctx context.Context, args []string, getenv func(string) string, out, errOut io.Writer) error {
	if len(args) == 0 || args[0] == "help" || args[0] == "-h" || args[0] == "--help" {
		_, _ = io.WriteString(out, usage)
		return nil
	}
	command, rest := args[0], args[1:]
	sub := ""
	if (command == "migrate" || command == "user" || command == "audit") && len(rest) > 0 && !strings.HasPrefix(rest[0], "-") {
		sub, rest = rest[0], rest[1:]
	}
	overrides := map[string]string{}
	flags := flag.NewFlagSet("channelgraph "+command, flag.ContinueOnError)
	flags.SetOutput(errOut)
	demo := false
	if command == "serve" {
		flags.BoolVar(&demo, "demo", false, "fill a demo world with an account for each role; development only")
	}
	var generate seedFlags
	if command == "seed" {
		generate.add(flags)
	}
	var verify audit.VerifyOptions
	if command == "audit" {
		flags.Int64Var(&verify.From, "from", 0, "the first seal to recompute; the ones before it are taken as they stand")
		flags.Func("head", "NUMBER:HASH of a seal that the chain must hold, as it was logged", func(v string) error {
			h, err := audit.ParseHead(v)
			verify.Head = &h
			return err
		})
	}
	for _, s := range config.Settings(func(string) string { return "" }, nil) {
		name := strings.TrimPrefix(s.Name, config.Prefix)
		flags.Func(strings.ToLower(strings.ReplaceAll(name, "_", "-")), s.Meaning, func(v string) error {
			overrides[name] = v
			return nil
		})
	}
	if err := flags.Parse(rest); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return ErrUsage
	}
	if flags.NArg() > 0 {
		_, _ = fmt.Fprintf(errOut, "channelgraph %s: unexpected %q\n", command, flags.Arg(0))
		return ErrUsage
	}
	if command == "seed" && !generate.scale {
		_, _ = fmt.Fprintln(errOut, "channelgraph seed: say --scale for the generated world; the demo world comes with `serve --demo`")
		return ErrUsage
	}
	switch command {
	case "version":
		_, err := fmt.Fprintln(out, "channelgraph", Version)
		return err
	case "config":
		return config.Print(out, config.Settings(getenv, overrides))
	}
	cfg, err := config.Load(getenv, overrides)
	if err != nil {
		return err
	}
	cfg.Demo = demo
	log := logger(cfg, errOut)
	switch command + " " + sub {
	case "serve ":
		return serve(ctx, cfg, log, getenv, out)
	case "migrate up", "migrate status", "migrate unlock":
		return migrate(ctx, cfg, sub, out)
	case "user setup-link":
		return setupLink(ctx, cfg, log, out)
	case "audit verify":
		return verifyAudit(ctx, cfg, verify, out)
	case "seed ":
		return seedScale(ctx, cfg, generate, log, out)
	case "doctor ":
		return Doctor(ctx, cfg, out)
	case "healthy ":
		return healthy(ctx, cfg, out)
	}
	_, _ = io.WriteString(errOut, usage)
	return ErrUsage
}

// logger writes structured logs that carry the request and trace ids of their
// context and no token, wherever in a record one would stand.
func logger(cfg *config.Config, w io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(cfg.LogLevel))
	o := &slog.HandlerOptions{Level: level}
	w = secret.Redactor(w)
	var h slog.Handler = slog.NewTextHandler(w, o)
	if cfg.LogFormat == "json" {
		h = slog.NewJSONHandler(w, o)
	}
	l := slog.New(requestHandler{Handler: h, hushed: new(atomic.Bool)})
	slog.SetDefault(l)
	return l
}

const requestAttr = "request_id"

type requestHandler struct {
	slog.Handler
	// has says that the logger itself names the request.
	has bool
	// hushed lets only warnings through.
	hushed *atomic.Bool
}

// hush keeps a logger to warnings until the end is called: what the demo world
// did in its past would bury the addresses and passwords that are printed.
func hush(l *slog.Logger) (end func()) {
	h, ok := l.Handler().(requestHandler)
	if !ok {
		return func() {}
	}
	h.hushed.Store(true)
	return func() { h.hushed.Store(false) }
}

func (h requestHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.Handler.Enabled(ctx, level) && (level >= slog.LevelWarn || !h.hushed.Load())
}

func (h requestHandler) Handle(ctx context.Context, r slog.Record) error {
	if id := ident.Request(ctx); id != "" {
		has := h.has
		r.Attrs(func(a slog.Attr) bool { has = has || a.Key == requestAttr; return !has })
		if !has {
			r.AddAttrs(slog.String(requestAttr, id))
		}
	}
	if t := trace.SpanContextFromContext(ctx); t.HasTraceID() {
		r.AddAttrs(slog.String("trace_id", t.TraceID().String()))
	}
	return h.Handler.Handle(ctx, r)
}

func (h requestHandler) WithAttrs(a []slog.Attr) slog.Handler {
	has := h.has || slices.ContainsFunc(a, func(a slog.Attr) bool { return a.Key == requestAttr })
	return requestHandler{h.Handler.WithAttrs(a), has, h.hushed}
}
func (h requestHandler) WithGroup(n string) slog.Handler {
	return requestHandler{h.Handler.WithGroup(n), h.has, h.hushed}
}

func serve(ctx context.Context, cfg *config.Config, log *slog.Logger, getenv func(string) string, out io.Writer) error {
	started := time.Now()
	if getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(1 << 30)
	}
	for _, name := range config.Unknown(os.Environ()) {
		log.Warn("no setting goes by this name; `channelgraph config` lists them", "name", name)
	}
	a, err := New(ctx, cfg, log)
	if err != nil {
		return err
	}
	world, err := a.Start(ctx)
	if err != nil {
		a.Close()
		return err
	}
	if cfg.Role != config.RoleWorker {
		if err := a.greet(ctx, world, out, time.Since(started)); err != nil {
			a.Close()
			return err
		}
	}
	log.Info("ready", "role", cfg.Role, "addr", a.listener.Addr().String(), "after", time.Since(started).Round(time.Millisecond).String())
	return a.Serve(ctx)
}

// greet prints what somebody who has just started channelgraph needs.
func (a *App) greet(ctx context.Context, world *seed.World, out io.Writer, after time.Duration) error {
	var b strings.Builder
	base := strings.TrimRight(a.PublicURL(), "/")
	fmt.Fprintf(&b, "\nchannelgraph %s is ready after %s\n\n  URL       %s\n", Version, after.Round(time.Millisecond), base)
	if a.HasMailbox() {
		fmt.Fprintf(&b, "  Mailbox   %s/mailbox\n", base)
	}
	if a.cfg.IsDevelopment() {
		fmt.Fprintf(&b, "  GraphiQL  %s/graphiql\n", base)
	}
	link, err := a.SetupLink(ctx)
	if err != nil {
		return err
	}
	if link != "" {
		fmt.Fprintf(&b, "\n  Set up the first operator (works once, for 30 minutes):\n  %s\n", link)
	}
	switch {
	case world != nil:
		fmt.Fprintf(&b, "\n  Demo accounts (shown this once, kept in %s):\n\n", a.DemoFile())
		world.Print(&b)
	case a.cfg.Demo && fileExists(a.DemoFile()):
		fmt.Fprintf(&b, "\n  Demo accounts: %s\n", a.DemoFile())
	}
	b.WriteString("\n")
	_, err = io.WriteString(out, b.String())
	return err
}

func migrate(ctx context.Context, cfg *config.Config, sub string, out io.Writer) error {
	db, err := database.Open(ctx, cfg.DatabaseURL, database.Options{})
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	switch sub {
	case "unlock":
		if err := migrations.Unlock(ctx, db); err != nil {
			return err
		}
		_, err := fmt.Fprintln(out, "the migration lock is free")
		return err
	case "up":
		applied, err := migrations.Up(ctx, db)
		for _, m := range applied {
			_, _ = fmt.Fprintln(out, "applied", m)
		}
		if err == nil && len(applied) == 0 {
			_, _ = fmt.Fprintln(out, "the schema is up to date")
		}
		return err
	}
	states, err := migrations.Status(ctx, db)
	for _, s := range states {
		word := "waiting"
		if s.Applied {
			word = "applied"
		}
		_, _ = fmt.Fprintf(out, "%s  %s\n", word, s.Name)
	}
	return err
}

// setupLink prints a further link for the first operator, beside a process
// that may be running on the same database.
func setupLink(ctx context.Context, cfg *config.Config, log *slog.Logger, out io.Writer) error {
	a := &App{cfg: cfg, log: log}
	defer a.Close()
	if err := a.openDatabase(ctx); err != nil {
		return err
	}
	keys, err := a.keys()
	if err != nil {
		return err
	}
	if cfg.SMTPURL == "" {
		cfg.SMTPURL = "smtp://127.0.0.1:1?tls=none" // nothing is mailed here
	}
	a.registry = prometheus.NewRegistry()
	if err := a.openMail(keys); err != nil {
		return err
	}
	a.accounts = account.New(a.db, a.mailer, keys, account.Config{PublicURL: cfg.PublicURL}, log)
	link, err := a.SetupLink(ctx)
	if err != nil {
		return err
	}
	if link == "" {
		link = "there is an operator already; ask an operator admin for an invitation"
	}
	_, err = fmt.Fprintln(out, link)
	return err
}

// verifyAudit recomputes the chain of seals; it changes nothing, so it may run
// beside a process that serves.
func verifyAudit(ctx context.Context, cfg *config.Config, o audit.VerifyOptions, out io.Writer) error {
	db, err := database.Open(ctx, cfg.DatabaseURL, database.Options{MaxConns: 2})
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	r, err := audit.Verify(ctx, db, o)
	if err != nil {
		return fmt.Errorf("verifying the audit: %w", err)
	}
	if r.Finding == nil {
		_, err = fmt.Fprintf(out, "ok: %d seals, %d events, %d not sealed yet, %d sealed late\n", r.Seals, r.Events, r.Unsealed, r.Late)
	} else {
		_, err = fmt.Fprintf(out, "%s: %s; good before it: %d seals, %d events\n", r.Finding.Flaw, r.Finding, r.Seals, r.Events)
	}
	if r.Head.Number > 0 && err == nil {
		_, err = fmt.Fprintf(out, "head %s\n", r.Head)
	}
	if r.Finding != nil && err == nil {
		err = errors.New("the audit is not what was sealed")
	}
	return err
}

// healthy asks the process that runs with the same settings.
func healthy(ctx context.Context, cfg *config.Config, out io.Writer) error {
	host, port, err := net.SplitHostPort(cfg.Addr)
	if err != nil {
		return err
	}
	if host == "" || host == "0.0.0.0" || host == "::" {
		host = "127.0.0.1"
	}
	ctx, cancel := context.WithTimeout(ctx, 4*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+"/readyz", nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, 4096))
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("not ready: %s", strings.TrimSpace(string(body)))
	}
	if !json.Valid(body) {
		return errors.New("something else answers on that address")
	}
	_, err = fmt.Fprintln(out, "ready")
	return err
}
