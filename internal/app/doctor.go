package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/channelgraph/channelgraph/internal/config"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/mail"
	"github.com/channelgraph/channelgraph/internal/secret"
	"github.com/channelgraph/channelgraph/migrations"
	"github.com/channelgraph/channelgraph/workers"
)

// Doctor checks what the settings name and says what to do about each thing
// that is not well; it changes nothing. The error counts what is wrong.
func Doctor(ctx context.Context, cfg *config.Config, out io.Writer) error {
	wrong := 0
	say := func(name string, err error, good, advice string) {
		if err == nil {
			_, _ = fmt.Fprintf(out, "ok     %-9s %s\n", name, good)
			return
		}
		wrong++
		_, _ = fmt.Fprintf(out, "WRONG  %-9s %s\n       %-9s → %s\n", name, strings.ReplaceAll(err.Error(), "\n", "; "), "", advice)
	}
	say("settings", cfg.Check(), "go together for "+cfg.Env, "channelgraph config explains each of them")
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	db := doctorDatabase(ctx, cfg, say)
	if db != nil {
		defer func() { _ = db.Close() }()
		doctorClock(ctx, db, say)
	} else {
		say("clock", errors.New("not checked, since the database could not be opened"), "", "mend the database first")
	}
	if cfg.RedisURL == "" {
		say("redis", nil, "not used: the embedded queue runs inside the process", "")
	} else {
		good, err := workers.CheckRedis(ctx, cfg.RedisURL)
		say("redis", err, good, "check CHANNELGRAPH_REDIS_URL; the queue wants Redis 7 or later with maxmemory-policy noeviction and append-only persistence")
	}
	if cfg.SMTPURL == "" {
		say("smtp", nil, "not set: mail goes to the development mailbox", "")
	} else {
		say("smtp", doctorSMTP(ctx, cfg, db), "answers, speaks TLS as asked and lets us sign in", "check CHANNELGRAPH_SMTP_URL: host, port, tls=starttls|implicit|none, user and password (percent-encoded)")
	}
	if wrong > 0 {
		return fmt.Errorf("%d of the checks found something wrong", wrong)
	}
	return nil
}

func doctorDatabase(ctx context.Context, cfg *config.Config, say func(string, error, string, string)) *database.DB {
	if path, ok := strings.CutPrefix(cfg.DatabaseURL, "sqlite:"); ok { // opening it would make it
		path = strings.TrimPrefix(path, "//")
		if !fileExists(path) {
			say("database", fmt.Errorf("there is no file %s yet", path), "", "run channelgraph migrate up, or start channelgraph, which makes it")
			return nil
		}
	}
	db, err := database.Open(ctx, cfg.DatabaseURL, database.Options{MaxConns: 2})
	if err != nil {
		say("database", err, "", "check CHANNELGRAPH_DATABASE_URL, that the server runs, and that its user may connect")
		return nil
	}
	states, err := migrations.Status(ctx, db)
	waiting := 0
	for _, s := range states {
		if !s.Applied {
			waiting++
		}
	}
	if err == nil && waiting > 0 {
		err = fmt.Errorf("%d migrations are not applied", waiting)
	}
	say("database", err, fmt.Sprintf("%s answers, its schema is up to date", db.Dialect()), "run channelgraph migrate up")
	return db
}

func doctorClock(ctx context.Context, db *database.DB, say func(string, error, string, string)) {
	skew, err := db.Skew(ctx)
	if err == nil && (skew > 2*time.Second || skew < -2*time.Second) {
		err = fmt.Errorf("this machine's clock is %s from the database's", skew.Round(time.Millisecond))
	}
	say("clock", err, "this machine and the database agree", "run a time service (chrony, systemd-timesyncd) on both machines")
}

func doctorSMTP(ctx context.Context, cfg *config.Config, db *database.DB) error {
	keys, err := secret.NewKeys(make([]byte, 32)) // signs nothing here
	if err != nil {
		return err
	}
	m, err := mail.New(db, keys, mail.Config{SMTPURL: cfg.SMTPURL, From: cfg.MailFrom, PublicURL: cfg.PublicURL}, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer m.Close()
	return m.Probe(ctx)
}
