package audit

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/outbox"
)

// Service seals the audit and exports it. Recording and reading need none:
// see Record, List and ByIDs.
type Service struct {
	db  *database.DB
	log *slog.Logger
	// The sizes are fields so that tests can cross their bounds.
	sealSize, exportRows, exportMost int
	tables                           map[ExportKind]Table
}

// New makes the service.
func New(db *database.DB, log *slog.Logger) *Service {
	return &Service{db: db, log: log, sealSize: sealSize, exportRows: exportRows, exportMost: exportMost, tables: map[ExportKind]Table{}}
}

// Offer registers a kind of file; concepts call it when they are made.
func (s *Service) Offer(t Table) { s.tables[t.Kind] = t }

// RequestExport starts to write what the actor may read of a filter into a
// file: the events recorded until now, oldest first. The operation writes it
// in the reach that the actor has then. Errors: UNAUTHENTICATED,
// ROLE_REQUIRED, TOO_LONG in the filter, those of outbox.Once, RATE_LIMITED
// beyond ten exports an hour.
func (s *Service) RequestExport(ctx context.Context, actor access.Actor, f Filter, key string) (*Export, *outbox.Job, error) {
	if err := actor.Require(access.PermAuditRead); err != nil {
		return nil, nil, err
	}
	if actor.UserID == "" { // a file belongs to a person
		return nil, nil, fault.Unauthenticated()
	}
	if err := f.validate(); err != nil {
		return nil, nil, err
	}
	return s.request(ctx, actor, ExportAuditEvents, "exportAuditEvents", f, key)
}

// RequestTable is RequestExport for a file that was offered; of the filter the
// bounds in time count. Errors: UNAUTHENTICATED, ROLE_REQUIRED, those of
// outbox.Once, RATE_LIMITED beyond ten exports of any kind an hour.
func (s *Service) RequestTable(ctx context.Context, actor access.Actor, kind ExportKind, f Filter, key string) (*Export, *outbox.Job, error) {
	for _, p := range []access.Permission{s.tables[kind].Permission, access.PermAuditRead} {
		if err := actor.Require(p); err != nil {
			return nil, nil, err
		}
	}
	if actor.UserID == "" {
		return nil, nil, fault.Unauthenticated()
	}
	return s.request(ctx, actor, kind, "export/"+string(kind), f, key)
}

func (s *Service) request(ctx context.Context, actor access.Actor, kind ExportKind, verb string, f Filter, key string) (*Export, *outbox.Job, error) {
	var e *Export
	var job *outbox.Job
	err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		e, job = nil, nil
		prior, err := outbox.Once(ctx, tx, actor, verb, key, f)
		if err != nil {
			return err
		}
		if prior != nil {
			if e, err = lockExport(ctx, tx, prior.ID("export")); err == nil && e != nil {
				job, err = outbox.FindTx(ctx, tx, prior.ID("operation"))
			}
			return err
		}
		if err := underLimit(ctx, tx, actor.UserID); err != nil {
			return err
		}
		e = &Export{ID: ident.New(ident.Export), OrganizationID: actor.OrganizationID, RequestedByID: actor.UserID, Kind: kind, Filter: f,
			CreatedAt: tx.Now, ExpiresAt: tx.Now.Add(exportLife)}
		if _, err := tx.NewInsert().Model(e).Exec(ctx); err != nil {
			return err
		}
		if job, err = outbox.Put(ctx, tx, ExportEvents{ExportID: e.ID}, outbox.By(actor), outbox.About(e.ID), outbox.On(outbox.Low),
			outbox.ExpiresAt(e.ExpiresAt)); err != nil {
			return err
		}
		if err := Record(ctx, tx, actor, Act{Action: "audit.export_requested", TargetID: e.ID}); err != nil {
			return err
		}
		return outbox.Remember(ctx, tx, actor, verb, key, map[string]string{"export": string(e.ID), "operation": string(job.ID)})
	})
	switch {
	case err != nil:
		return nil, nil, err
	case e == nil: // replayed after the file went: it lives longer than a key
		return nil, nil, fault.NotFound("")
	}
	e.settle(job, s.db.Now())
	return e, job, nil
}

// validate bounds what is kept with an export.
func (f Filter) validate() error {
	const most = 100
	var p fault.Problems
	long := func(path string, n int) {
		if n > most {
			p.Add(path, fault.CodeTooLong, "max", "100")
		}
	}
	if f.Action != nil {
		long("filter.action", len(*f.Action))
	}
	for path, id := range map[string]*ident.ID{"filter.targetId": f.TargetID, "filter.actorId": f.ActorID, "filter.organizationId": f.OrganizationID} {
		if id != nil {
			long(path, len(*id))
		}
	}
	return p.Err()
}

func underLimit(ctx context.Context, tx *database.Tx, user ident.ID) error {
	const most, window = 10, time.Hour
	var recent []*Export
	err := tx.NewSelect().Model(&recent).Column("created_at").Where("requested_by_id = ?", user).Where("created_at > ?", tx.Now.Add(-window)).
		OrderExpr("created_at DESC").Limit(most).Scan(ctx)
	if err == nil && len(recent) == most {
		return fault.Limited(recent[most-1].CreatedAt.Add(window).Sub(tx.Now))
	}
	return err
}

// ExportsByIDs loads the exports among the ids that the actor asked for;
// others' are missing, and without audit.read all of them.
func (s *Service) ExportsByIDs(ctx context.Context, actor access.Actor, ids []ident.ID) (map[ident.ID]*Export, error) {
	out := map[ident.ID]*Export{}
	if len(ids) == 0 || actor.UserID == "" || !actor.Can(access.PermAuditRead) {
		return out, nil
	}
	rows, err := exportsOf(ctx, s.db, actor, ids)
	if err != nil || len(rows) == 0 {
		return out, err
	}
	jobs, err := outbox.NewestAbout(ctx, s.db, actor.Scope(), ids)
	now := s.db.Now()
	for _, e := range rows {
		e.settle(jobs[e.ID], now)
		out[e.ID] = e
	}
	return out, err
}

// OpenExport opens the file of an export for the person who asked for it and
// may still read the audit; the opening is recorded. The caller closes it.
// Errors: UNAUTHENTICATED, ROLE_REQUIRED, NOT_FOUND for what is absent or
// another's, EXPORT_NOT_READY, EXPORT_EXPIRED.
func (s *Service) OpenExport(ctx context.Context, actor access.Actor, id ident.ID) (*Download, error) {
	if err := actor.Require(access.PermAuditRead); err != nil {
		return nil, err
	}
	found, err := s.ExportsByIDs(ctx, actor, []ident.ID{id})
	if err != nil {
		return nil, fmt.Errorf("opening an export: %w", err)
	}
	e := found[id]
	switch {
	case e == nil:
		return nil, fault.NotFound("id")
	case e.State == ExportExpired:
		return nil, fault.Conflict("id", CodeExportExpired)
	case e.State != ExportReady:
		return nil, fault.Conflict("id", CodeExportNotReady)
	}
	err = s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		return Record(ctx, tx, actor, Act{Action: "audit.export_downloaded", TargetID: id})
	})
	if err != nil {
		return nil, fmt.Errorf("recording a download: %w", err)
	}
	return &Download{Export: e, ctx: ctx, db: s.db.Read()}, nil
}
