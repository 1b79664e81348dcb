package audit

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
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
}

// Kind is the job's kind.
func (ExportEvents) Kind() string { return "audit.export" }

// ExportEvents performs the job: one transaction adds some events to the
// file, so that a repeated run goes on where the former one ended. Before
// each the requester's right is read anew.
func (s *Service) ExportEvents(ctx context.Context, run *outbox.Run, args ExportEvents) error {
	e := &Export{ID: args.ExportID}
	err := s.db.Read().NewSelect().Model(e).WherePK().Scan(ctx)
	switch {
	case database.IsNoRows(err):
		return fault.GiveUp(CodeExportExpired, nil)
	case err != nil:
		return fmt.Errorf("reading export %s: %w", args.ExportID, err)
	case e.FinishedAt != nil:
		return nil
	case !e.ExpiresAt.After(s.db.Now()):
		return fault.GiveUp(CodeExportExpired, nil)
	}
	for e.FinishedAt == nil {
		actor, err := access.Load(ctx, s.db.Read(), access.Presence{UserID: e.RequestedByID})
		if err != nil {
			return fmt.Errorf("reading the requester of export %s: %w", e.ID, err)
		}
		if !actor.Can(access.PermAuditRead) || actor.OrganizationID != e.OrganizationID {
			return fault.GiveUp(CodeExportRevoked, nil)
		}
		if e.Kind != ExportAuditEvents {
			if err := s.writeTable(ctx, run, e, actor); err != nil {
				return fmt.Errorf("writing export %s: %w", e.ID, err)
			}
			return nil
		}
		if e.RowsTotal == nil {
			if err := s.count(ctx, e, actor); err != nil {
				return err
			}
		}
		if err := s.continueExport(ctx, run, e, actor); err != nil {
			return fmt.Errorf("writing export %s: %w", e.ID, err)
		}
	}
	return nil
}

// within selects the events of an export.
func (e *Export) within(db bun.IDB, actor access.Actor, rows any) *bun.SelectQuery {
	return e.Filter.events(db, actor.Scope(), rows).Where("audit_event.at <= ?", e.CreatedAt)
}

// count counts the events of an export before the first is written.
func (s *Service) count(ctx context.Context, e *Export, actor access.Actor) error {
	some := e.within(s.db.Read(), actor, (*Event)(nil)).ColumnExpr("1").Limit(int64(s.exportMost) + 1)
	var n int
	if err := s.db.Read().NewSelect().TableExpr("(?) AS counted", some).ColumnExpr("count(*)").Scan(ctx, &n); err != nil {
		return fmt.Errorf("counting the events of export %s: %w", e.ID, err)
	}
	if n > s.exportMost {
		return fault.GiveUp(CodeExportTooLarge, nil)
	}
	e.RowsTotal = &n
	if _, err := s.db.Bun().NewUpdate().Model(e).Column("rows_total").WherePK().Exec(ctx); err != nil {
		return fmt.Errorf("keeping the count of export %s: %w", e.ID, err)
	}
	return nil
}

// continueExport writes the next events; the last ones make the file ready
// and end the job.
func (s *Service) continueExport(ctx context.Context, run *outbox.Run, e *Export, actor access.Actor) error {
	var events []*Event
	q := e.within(s.db.Read(), actor, &events).OrderExpr("audit_event.at, audit_event.id").Limit(int64(s.exportRows))
	if e.CursorAt != nil {
		q = q.Where("(audit_event.at, audit_event.id) > (?, ?)", *e.CursorAt, e.CursorID)
	}
	if err := q.Scan(ctx); err != nil {
		return err
	}
	lines := make([][]string, 0, len(events)+1)
	if e.Chunks == 0 {
		lines = append(lines, append([]string(nil), header...))
	}
	var last *Event
	for _, event := range events {
		last = event
		lines = append(lines, event.record(actor))
	}
	var data bytes.Buffer
	if err := WriteCSV(&data, lines); err != nil {
		return err
	}
	var next Export
	err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		next = *e
		end := len(events) < s.exportRows
		if end {
			next.FinishedAt, next.ExpiresAt = &tx.Now, tx.Now.Add(exportLife)
		}
		if err := next.add(ctx, tx, data.Bytes(), len(events), last); err != nil || !end {
			return err
		}
		if err := Record(ctx, tx, actor, Act{Action: "audit.exported", TargetID: e.ID}); err != nil {
			return err
		}
		return run.Done(ctx, tx)
	})
	if err == nil {
		*e = next
	}
	return err
}

// writeTable writes the whole file of an offered kind and ends the job.
func (s *Service) writeTable(ctx context.Context, run *outbox.Run, e *Export, actor access.Actor) error {
	t, ok := s.tables[e.Kind]
	if !ok || !actor.Can(t.Permission) {
		return fault.GiveUp(CodeExportRevoked, nil)
	}
	header, lines, err := t.Write(ctx, actor, e.Filter)
	if err != nil {
		return err
	}
	var data bytes.Buffer
	if err := WriteCSV(&data, append([][]string{header}, lines...)); err != nil {
		return err
	}
	rows := len(lines)
	return s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		next := *e
		next.RowsTotal, next.FinishedAt, next.ExpiresAt = &rows, &tx.Now, tx.Now.Add(exportLife)
		if err := next.add(ctx, tx, data.Bytes(), rows, nil); err != nil {
			return err
		}
		if err := Record(ctx, tx, actor, Act{Action: "audit.exported", TargetID: e.ID}); err != nil {
			return err
		}
		return run.Done(ctx, tx)
	})
}

// PruneExports removes the files that have expired.
type PruneExports struct{}

// Kind is the job's kind.
func (PruneExports) Kind() string { return "audit.prune_exports" }

// PruneExports performs the job, a few chunks in one transaction.
func (s *Service) PruneExports(ctx context.Context, _ *outbox.Run, _ PruneExports) error {
	const batch = 40
	now := s.db.Now()
	// Some days more, so that who comes late is told that the file expired.
	for _, old := range []struct {
		what, table, key string
		before           time.Time
	}{
		{"chunks", "export_chunk", "export_id, number", now},
		{"files", "export_file", "id", now.Add(-exportLife)},
	} {
		for {
			var n int64
			err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
				q := tx.NewSelect().TableExpr(old.table).ColumnExpr(old.key).Limit(batch)
				if old.table == "export_file" {
					q = q.Where("expires_at <= ?", old.before)
				} else {
					q = q.Where("export_id IN (SELECT id FROM export_file WHERE expires_at <= ?)", old.before)
				}
				res, err := tx.NewDelete().Table(old.table).Where("(?) IN (?)", bun.Safe(old.key), q).Exec(ctx)
				if err != nil {
					return err
				}
				n, err = res.RowsAffected()
				return err
			})
			if err != nil {
				return fmt.Errorf("removing expired %s: %w", old.what, err)
			}
			if n < batch {
				break
			}
		}
	}
	return nil
}
