package audit

import (
	"context"
	"fmt"

	"github.com/channelgraph/channelgraph/internal/export"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/outbox"
)

// SealEvents adds the events that have rested to the chain of seals.
type SealEvents struct {
	// All looks for stragglers however old they are, not just a day back.
	All bool `json:"all,omitempty"`
}

// Kind is the job's kind.
func (SealEvents) Kind() string { return "audit.seal" }

// SealEvents performs the job.
func (s *Service) SealEvents(ctx context.Context, _ *outbox.Run, args SealEvents) error {
	_, err := s.seal(ctx, args.All)
	return err
}

// ExportEvents writes the file of an export.
type ExportEvents struct {
	ExportID ident.ID `json:"export_id"`
	// Table is the kind of a file that a concept offers; "" for events.
	Table export.Kind `json:"table,omitempty"`
}

// Kind is the job's kind.
func (ExportEvents) Kind() string { return "audit.export" }

// ExportEvents performs the job.
func (s *Service) ExportEvents(ctx context.Context, run *outbox.Run, args ExportEvents) error {
	if args.Table != "" {
		files := s.tables[args.Table]
		if files == nil {
			return fmt.Errorf("nobody offers files of %s", args.Table)
		}
		return files.Write(ctx, run, args.ExportID)
	}
	return s.exports.Write(ctx, run, args.ExportID)
}

// PruneExports removes the files that have expired.
type PruneExports struct{}

// Kind is the job's kind.
func (PruneExports) Kind() string { return "audit.prune_exports" }

// PruneExports performs the job, for the files of all kinds.
func (s *Service) PruneExports(ctx context.Context, _ *outbox.Run, _ PruneExports) error {
	return export.Prune(ctx, s.db)
}
