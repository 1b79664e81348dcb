package audit

import (
	"context"
	"log/slog"
	"maps"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/export"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/outbox"
)

// Service seals the audit and exports it. Recording and reading need none:
// see Record, List and ByIDs.
type Service struct {
	db  *database.DB
	log *slog.Logger
	// The size is a field so that tests can cross its bound.
	sealSize int
	exports  *export.Files
	tables   map[export.Kind]*export.Files
}

// New makes the service.
func New(db *database.DB, log *slog.Logger) *Service {
	s := &Service{db: db, log: log, sealSize: sealSize, tables: map[export.Kind]*export.Files{}}
	s.exports = export.New(db, s.exported())
	return s
}

// Offer registers a kind of file; concepts call it when they are made.
func (s *Service) Offer(t Table) { s.tables[t.Kind] = export.New(s.db, s.table(t)) }

// RequestTable is RequestExport for a file that was offered; of the filter the
// bounds in time count. Errors: as export.Files.Request.
func (s *Service) RequestTable(ctx context.Context, actor access.Actor, kind export.Kind, f Filter, key string) (*Export, *outbox.Job, error) {
	if err := actor.Require(access.PermAuditRead); err != nil {
		return nil, nil, err
	}
	return s.tables[kind].Request(ctx, actor, f, key)
}

// RequestExport starts to write what the actor may read of a filter into a
// file: the events recorded until now, oldest first. Errors: as
// export.Files.Request, and TOO_LONG in the filter.
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
	return s.exports.Request(ctx, actor, f, key)
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

// ExportsByIDs loads the exports of any kind among the ids that the actor asked
// for; others' are missing, and without audit.read all of them.
func (s *Service) ExportsByIDs(ctx context.Context, actor access.Actor, ids []ident.ID) (map[ident.ID]*Export, error) {
	out, err := s.exports.ByIDs(ctx, actor, ids)
	if !actor.Can(access.PermAuditRead) {
		return out, err
	}
	for _, files := range s.tables {
		if err != nil || len(out) == len(ids) {
			break
		}
		var more map[ident.ID]*Export
		more, err = files.ByIDs(ctx, actor, ids)
		maps.Copy(out, more)
	}
	return out, err
}

// OpenExport opens the file of an export for the person who asked for it and
// may still read the audit; the opening is recorded. The caller closes it.
// Errors: as export.Files.Open.
func (s *Service) OpenExport(ctx context.Context, actor access.Actor, id ident.ID) (*export.Download, error) {
	found, err := s.ExportsByIDs(ctx, actor, []ident.ID{id})
	if err != nil {
		return nil, err
	}
	if f := found[id]; f != nil && s.tables[f.Kind] != nil {
		return s.tables[f.Kind].Open(ctx, actor, id)
	}
	return s.exports.Open(ctx, actor, id)
}
