package app

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/catalog"
	"github.com/channelgraph/channelgraph/internal/config"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/file"
	"github.com/channelgraph/channelgraph/internal/seed"
	"github.com/channelgraph/channelgraph/internal/seed/scale"
	"github.com/channelgraph/channelgraph/migrations"
)

// seedFlags are those of `channelgraph seed`.
type seedFlags struct {
	scale bool
	scale.Options
}

func (s *seedFlags) add(flags *flag.FlagSet) {
	s.Size = scale.Full
	flags.BoolVar(&s.scale, "scale", false, "fill an empty database with the generated world for measuring, or go on with it; development only")
	flags.IntVar(&s.Size.Providers, "providers", s.Size.Providers, "how many providers; the first one has half of the resellers and customers")
	flags.IntVar(&s.Size.Resellers, "resellers", s.Size.Resellers, "how many resellers")
	flags.IntVar(&s.Size.Customers, "customers", s.Size.Customers, "how many customers")
	flags.IntVar(&s.Size.Subscriptions, "subscriptions", s.Size.Subscriptions, "how many subscriptions")
	flags.Func("day", "YYYY-MM-DD as of which the world stands (default: today)", func(v string) (err error) {
		s.Day, err = time.Parse(time.DateOnly, v)
		return err
	})
}

// seedScale fills an empty database with the generated world.
func seedScale(ctx context.Context, cfg *config.Config, o seedFlags, log *slog.Logger, out io.Writer) error {
	if !cfg.IsDevelopment() {
		return errors.New("a generated world is for development alone, and CHANNELGRAPH_ENV is production")
	}
	if err := o.Size.Check(); err != nil {
		return err
	}
	if err := sameSchema(ctx, cfg); err != nil {
		return err
	}
	a := &App{cfg: cfg, log: log, registry: prometheus.NewRegistry()}
	defer a.Close()
	if err := a.openDatabase(ctx); err != nil {
		return err
	}
	keys, err := a.keys()
	if err != nil {
		return err
	}
	cfg.SMTPURL = "smtp://127.0.0.1:1?tls=none" // nothing is mailed here
	if err := a.openMail(keys); err != nil {
		return err
	}
	accounts := account.New(a.db, a.mailer, keys, account.Config{PublicURL: cfg.PublicURL, Hashing: a.hashing()}, log)
	o.Founded = func(list []seed.Account) {
		_, _ = fmt.Fprintln(out, "\nAccounts, shown this once:")
		(&seed.World{Accounts: list}).Print(out)
		_, _ = fmt.Fprintln(out)
	}
	o.Progress = (&scale.Meter{Out: out, Terminal: isTerminal(out), Total: o.Size.Customers, Now: time.Now}).Show
	began := time.Now()
	made, err := scale.Build(ctx, scale.Deps{DB: a.db, Accounts: accounts, Offers: catalog.New(a.db, file.New(a.db)), TenantDomain: cfg.TenantDomain}, o.Options)
	switch {
	case err != nil && ctx.Err() != nil:
		return errors.New("stopped; the same command goes on from here")
	case err != nil:
		return err
	case !made:
		_, err = fmt.Fprintln(out, "the world is there already:", o.Size)
	default:
		_, err = fmt.Fprintf(out, "the world is there after %s: %s\n", time.Since(began).Round(time.Second), o.Size)
	}
	return err
}

// sameSchema refuses a database with the schema of another version, which
// holds somebody's data and is not this command's to migrate.
func sameSchema(ctx context.Context, cfg *config.Config) error {
	db, err := database.Open(ctx, cfg.DatabaseURL, database.Options{MaxConns: 2})
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	states, err := migrations.Status(ctx, db)
	if err != nil {
		return err
	}
	applied := 0
	for _, s := range states {
		if s.Applied {
			applied++
		}
	}
	if applied > 0 && applied < len(states) {
		return fmt.Errorf("%w: its schema is of another version", scale.ErrForeign)
	}
	return nil
}

// isTerminal reports whether somebody watches what is written.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
}
