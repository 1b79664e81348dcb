// Package migrations owns the schema: one file a change, rendered for both
// database engines with a tiny vocabulary ({{.Time}}, {{.JSON}}, {{.Bool}}, {{.Text}},
// {{if .Postgres}}). Files are forward only and frozen once released; they
// hold no Go types.
package migrations

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"strings"
	"testing/fstest"
	"text/template"
	"time"

	"github.com/uptrace/bun/migrate"

	"github.com/channelgraph/channelgraph/internal/database"
)

//go:embed *.sql
var files embed.FS

type vocabulary struct {
	Postgres bool
	Text     string
	Time     string
	JSON     string
	Bool     string
	True     string
	False    string
}

var words = map[database.Dialect]vocabulary{
	database.Postgres: {Postgres: true, Text: `text COLLATE "C"`, Time: "timestamptz", JSON: "jsonb", Bool: "boolean", True: "true", False: "false"},
	database.SQLite:   {Text: "text", Time: "timestamp", JSON: "json", Bool: "boolean", True: "1", False: "0"},
}

func render(d database.Dialect) (fs.FS, error) {
	out := fstest.MapFS{}
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		raw, err := files.ReadFile(name)
		if err != nil {
			return nil, err
		}
		t, err := template.New(name).Option("missingkey=error").Parse(string(raw))
		if err != nil {
			return nil, err
		}
		var b strings.Builder
		if err := t.Execute(&b, words[d]); err != nil {
			return nil, err
		}
		out[name] = &fstest.MapFile{Data: []byte(b.String())}
	}
	return out, nil
}

// Fingerprint tells one schema from another: it differs where any file, as it
// is rendered for the engine, does.
func Fingerprint(d database.Dialect) (string, error) {
	fsys, err := render(d)
	if err != nil {
		return "", err
	}
	names, err := fs.Glob(fsys, "*")
	if err != nil {
		return "", err
	}
	h := sha256.New()
	for _, name := range names {
		raw, err := fs.ReadFile(fsys, name)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%s %d\n%s", name, len(raw), raw)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func migrator(db *database.DB) (*migrate.Migrator, error) {
	fsys, err := render(db.Dialect())
	if err != nil {
		return nil, err
	}
	ms := migrate.NewMigrations()
	if err := ms.Discover(fsys); err != nil {
		return nil, err
	}
	return migrate.NewMigrator(db.Bun(), ms, migrate.WithMarkAppliedOnSuccess(true)), nil
}

// lockWait is how long Up waits for another process that migrates.
const lockWait = time.Minute

// Up brings the schema to the newest version, alone by the migration lock,
// and returns the names of the files it applied. Where nothing is to be done
// it takes no lock; where another process migrates it waits for it.
func Up(ctx context.Context, db *database.DB) (applied []string, err error) {
	m, err := migrator(db)
	if err != nil {
		return nil, err
	}
	if err := prepare(ctx, m); err != nil {
		return nil, err
	}
	if none, err := current(ctx, m); err != nil || none {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, lockWait)
	defer cancel()
	for {
		err := m.Lock(ctx)
		if err == nil {
			break
		}
		if none, cerr := current(ctx, m); cerr == nil && none {
			return nil, nil // the other process did it
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("taking the migration lock: %w (where no other process migrates, one was killed while it did: run channelgraph migrate unlock)", err)
		case <-time.After(250 * time.Millisecond):
		}
	}
	defer func() {
		if uerr := m.Unlock(context.WithoutCancel(ctx)); uerr != nil && err == nil {
			err = uerr
		}
	}()
	group, err := m.Migrate(ctx)
	if err != nil {
		return nil, fmt.Errorf("migrating: %w", err)
	}
	for _, x := range group.Migrations {
		applied = append(applied, x.Name+"_"+x.Comment)
	}
	return applied, nil
}

// prepare makes the migration tables where they are absent. On PostgreSQL
// CREATE TABLE IF NOT EXISTS fails, in more than one way, while another process
// makes the same table; a moment later it is there. Asking again does no harm
// to any other failure.
func prepare(ctx context.Context, m *migrate.Migrator) error {
	err := m.Init(ctx)
	for try := 0; err != nil && !database.IsDown(err) && ctx.Err() == nil && try < 5; try++ {
		err = m.Init(ctx)
	}
	if err != nil {
		return fmt.Errorf("preparing the migration tables: %w", err)
	}
	return nil
}

// current reports that every migration has been applied.
func current(ctx context.Context, m *migrate.Migrator) (bool, error) {
	ms, err := m.MigrationsWithStatus(ctx)
	if err != nil {
		return false, fmt.Errorf("reading the migration tables: %w", err)
	}
	return len(ms.Unapplied()) == 0, nil
}

// Unlock frees the migration lock that a killed process left behind.
func Unlock(ctx context.Context, db *database.DB) error {
	m, err := migrator(db)
	if err != nil {
		return err
	}
	if err := prepare(ctx, m); err != nil {
		return err
	}
	return m.Unlock(ctx)
}

// State is one migration and whether it has been applied.
type State struct {
	Name    string
	Applied bool
}

// Status lists all migrations in order. On an empty database it
// makes the migration tables and nothing else.
func Status(ctx context.Context, db *database.DB) ([]State, error) {
	m, err := migrator(db)
	if err != nil {
		return nil, err
	}
	if err := prepare(ctx, m); err != nil {
		return nil, err
	}
	ms, err := m.MigrationsWithStatus(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the migration tables: %w", err)
	}
	out := make([]State, len(ms))
	for i, x := range ms {
		out[i] = State{Name: x.Name + "_" + x.Comment, Applied: x.GroupID > 0}
	}
	return out, nil
}
