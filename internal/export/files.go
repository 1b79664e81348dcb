package export

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/internal/sheet"
)

// Source is whose rows the files of a kind hold, and who may have them.
type Source struct {
	Kind Kind
	// Prefix is that of the files' ids.
	Prefix string
	// Permission is what a person needs to ask for a file, to have it written
	// on, and to fetch it.
	Permission access.Permission
	// Verb is the mutation that asks for one, for repeated keys.
	Verb string
	// Name is what a file's name begins with.
	Name string
	// Header names the columns.
	Header []string
	// Count counts the rows that the actor sees, stopping at a limit.
	Count func(ctx context.Context, actor access.Actor, f *File, limit int) (int, error)
	// Rows are the next rows that the actor sees, at most so many, and the
	// place of the last one.
	Rows func(ctx context.Context, actor access.Actor, f *File, limit int) ([][]string, *Place, error)
	// Job is the work of writing a file.
	Job func(id ident.ID) outbox.Args
	// Record notes in the audit that a file was asked for, is there, or was
	// fetched.
	Record func(ctx context.Context, tx *database.Tx, actor access.Actor, what Step, id ident.ID) error
}

// Step is what is noted of a file's life.
type Step string

// Steps of a file's life.
const (
	Requested  Step = "requested"
	Exported   Step = "exported"
	Downloaded Step = "downloaded"
)

// Files are those of one kind.
type Files struct {
	db  *database.DB
	src Source
	// AtOnce and Most are how many rows one transaction adds and one file
	// holds, so that tests can cross their bounds.
	AtOnce, Most int
}

// New makes the files of a source.
func New(db *database.DB, src Source) *Files {
	return &Files{db: db, src: src, AtOnce: rowsAtOnce, Most: mostRows}
}

// Request starts to write what the actor may read of a filter into a file: the
// rows there are now, oldest first. The operation writes it in the reach that
// the actor has then. Errors: UNAUTHENTICATED, ROLE_REQUIRED, those of
// outbox.Once, RATE_LIMITED beyond ten exports an hour.
func (s *Files) Request(ctx context.Context, actor access.Actor, filter any, key string) (*File, *outbox.Job, error) {
	if err := actor.Require(s.src.Permission); err != nil {
		return nil, nil, err
	}
	if actor.UserID == "" { // a file belongs to a person
		return nil, nil, fault.Unauthenticated()
	}
	narrowed, err := json.Marshal(filter)
	if err != nil {
		return nil, nil, fmt.Errorf("keeping the filter of an export: %w", err)
	}
	var f *File
	var job *outbox.Job
	err = s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		f, job = nil, nil
		prior, err := outbox.Once(ctx, tx, actor, s.src.Verb, key, filter)
		if err != nil {
			return err
		}
		if prior != nil {
			if f, err = lock(ctx, tx, prior.ID("export")); err == nil && f != nil {
				job, err = outbox.FindTx(ctx, tx, prior.ID("operation"))
			}
			return err
		}
		if err := underLimit(ctx, tx, actor.UserID); err != nil {
			return err
		}
		f = &File{ID: ident.New(s.src.Prefix), OrganizationID: actor.OrganizationID, RequestedByID: actor.UserID, Kind: s.src.Kind, Filter: narrowed,
			CreatedAt: tx.Now, ExpiresAt: tx.Now.Add(Life)}
		if _, err := tx.NewInsert().Model(f).Exec(ctx); err != nil {
			return err
		}
		if job, err = outbox.Put(ctx, tx, s.src.Job(f.ID), outbox.By(actor), outbox.About(f.ID), outbox.On(outbox.Low),
			outbox.ExpiresAt(f.ExpiresAt)); err != nil {
			return err
		}
		if err := s.src.Record(ctx, tx, actor, Requested, f.ID); err != nil {
			return err
		}
		return outbox.Remember(ctx, tx, actor, s.src.Verb, key, map[string]string{"export": string(f.ID), "operation": string(job.ID)})
	})
	switch {
	case err != nil:
		return nil, nil, err
	case f == nil: // replayed after the file went: it lives longer than a key
		return nil, nil, fault.NotFound("")
	}
	f.name = s.src.Name
	f.settle(job, s.db.Now())
	return f, job, nil
}

func underLimit(ctx context.Context, tx *database.Tx, user ident.ID) error {
	const most, window = 10, time.Hour
	asked, err := recent(ctx, tx, user, tx.Now.Add(-window), most)
	if err == nil && len(asked) == most {
		return fault.Limited(asked[most-1].CreatedAt.Add(window).Sub(tx.Now))
	}
	return err
}

// ByIDs loads the files among the ids that the actor asked for; others' are
// missing, and without the right to the rows all of them.
func (s *Files) ByIDs(ctx context.Context, actor access.Actor, ids []ident.ID) (map[ident.ID]*File, error) {
	out := map[ident.ID]*File{}
	if len(ids) == 0 || actor.UserID == "" || !actor.Can(s.src.Permission) {
		return out, nil
	}
	rows, err := filesOf(ctx, s.db, s.src.Kind, actor, ids)
	if err != nil || len(rows) == 0 {
		return out, err
	}
	jobs, err := outbox.NewestAbout(ctx, s.db, actor.Scope(), ids)
	now := s.db.Now()
	for _, f := range rows {
		f.name = s.src.Name
		f.settle(jobs[f.ID], now)
		out[f.ID] = f
	}
	return out, err
}

// Open opens a file for the person who asked for it and may still read its
// rows; the opening is recorded. The caller closes it. Errors:
// UNAUTHENTICATED, ROLE_REQUIRED, NOT_FOUND for what is absent or another's,
// EXPORT_NOT_READY, EXPORT_EXPIRED.
func (s *Files) Open(ctx context.Context, actor access.Actor, id ident.ID) (*Download, error) {
	if err := actor.Require(s.src.Permission); err != nil {
		return nil, err
	}
	found, err := s.ByIDs(ctx, actor, []ident.ID{id})
	if err != nil {
		return nil, fmt.Errorf("opening an export: %w", err)
	}
	f := found[id]
	switch {
	case f == nil:
		return nil, fault.NotFound("id")
	case f.State == Expired:
		return nil, fault.Conflict("id", CodeExpired)
	case f.State != Ready:
		return nil, fault.Conflict("id", CodeNotReady)
	}
	err = s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		return s.src.Record(ctx, tx, actor, Downloaded, id)
	})
	if err != nil {
		return nil, fmt.Errorf("recording a download: %w", err)
	}
	return &Download{Export: f, ctx: ctx, db: s.db.Read()}, nil
}

// Write writes a file as its job: one transaction adds some rows, so that a
// repeated run goes on where the former one ended. Before each the requester's
// right is read anew.
func (s *Files) Write(ctx context.Context, run *outbox.Run, id ident.ID) error {
	f := &File{ID: id}
	err := s.db.Read().NewSelect().Model(f).WherePK().Scan(ctx)
	switch {
	case database.IsNoRows(err):
		return fault.GiveUp(CodeExpired, nil)
	case err != nil:
		return fmt.Errorf("reading export %s: %w", id, err)
	case f.FinishedAt != nil:
		return nil
	case !f.ExpiresAt.After(s.db.Now()):
		return fault.GiveUp(CodeExpired, nil)
	}
	for f.FinishedAt == nil {
		actor, err := access.Load(ctx, s.db.Read(), access.Presence{UserID: f.RequestedByID})
		if err != nil {
			return fmt.Errorf("reading the requester of export %s: %w", f.ID, err)
		}
		if !actor.Can(s.src.Permission) || actor.OrganizationID != f.OrganizationID {
			return fault.GiveUp(CodeRevoked, nil)
		}
		if f.RowsTotal == nil {
			if err := s.count(ctx, f, actor); err != nil {
				return err
			}
		}
		if err := s.CarryOn(ctx, run, f, actor); err != nil {
			return fmt.Errorf("writing export %s: %w", f.ID, err)
		}
	}
	return nil
}

// count counts the rows of a file before the first is written.
func (s *Files) count(ctx context.Context, f *File, actor access.Actor) error {
	n, err := s.src.Count(ctx, actor, f, s.Most+1)
	if err != nil {
		return fmt.Errorf("counting the rows of export %s: %w", f.ID, err)
	}
	if n > s.Most {
		return fault.GiveUp(CodeTooLarge, nil)
	}
	f.RowsTotal = &n
	if _, err := s.db.Bun().NewUpdate().Model(f).Column("rows_total").WherePK().Exec(ctx); err != nil {
		return fmt.Errorf("keeping the count of export %s: %w", f.ID, err)
	}
	return nil
}

// CarryOn writes the next rows; the last ones make the file ready and end the
// job. Error: ErrMoved where another process does.
func (s *Files) CarryOn(ctx context.Context, run *outbox.Run, f *File, actor access.Actor) error {
	rows, last, err := s.src.Rows(ctx, actor, f, s.AtOnce)
	if err != nil {
		return err
	}
	lines := rows
	if f.Chunks == 0 {
		lines = append([][]string{append([]string(nil), s.src.Header...)}, rows...)
	}
	var data bytes.Buffer
	if err := sheet.WriteCSV(&data, lines); err != nil {
		return err
	}
	var next File
	err = s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		next = *f
		end := len(rows) < s.AtOnce
		if end {
			next.FinishedAt, next.ExpiresAt = &tx.Now, tx.Now.Add(Life)
		}
		if err := next.add(ctx, tx, data.Bytes(), len(rows), last); err != nil || !end {
			return err
		}
		if err := s.src.Record(ctx, tx, actor, Exported, f.ID); err != nil {
			return err
		}
		return run.Done(ctx, tx)
	})
	if err == nil {
		*f = next
	}
	return err
}
