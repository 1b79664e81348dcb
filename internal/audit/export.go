package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/export"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/outbox"
)

// ExportAuditEvents is a file of audit events.
const ExportAuditEvents export.Kind = "AUDIT_EVENTS"

// Export is a file of audit events for one person.
type Export = export.File

// exported says how events are written into files.
func (s *Service) exported() export.Source {
	return export.Source{Kind: ExportAuditEvents, Prefix: ident.Export, Permission: access.PermAuditRead, Verb: "exportAuditEvents", Name: "audit", Header: header,
		Count: func(ctx context.Context, actor access.Actor, f *Export, limit int) (n int, err error) {
			var narrowed Filter
			if err := json.Unmarshal(f.Filter, &narrowed); err != nil {
				return 0, fmt.Errorf("reading the filter of export %s: %w", f.ID, err)
			}
			some := narrowed.events(s.db.Read(), actor.Scope(), (*Event)(nil)).Where("audit_event.at <= ?", f.CreatedAt).ColumnExpr("1").Limit(int64(limit))
			return n, s.db.Read().NewSelect().TableExpr("(?) AS counted", some).ColumnExpr("count(*)").Scan(ctx, &n)
		},
		Rows: s.rowsOf,
		Job:  func(id ident.ID) outbox.Args { return ExportEvents{ExportID: id} },
		Record: func(ctx context.Context, tx *database.Tx, actor access.Actor, what export.Step, id ident.ID) error {
			action := map[export.Step]string{export.Requested: "audit.export_requested", export.Exported: "audit.exported", export.Downloaded: "audit.export_downloaded"}[what]
			return Record(ctx, tx, actor, Act{Action: action, TargetID: id})
		}}
}

// rowsOf reads the next events of a file as lines.
func (s *Service) rowsOf(ctx context.Context, actor access.Actor, f *Export, limit int) ([][]string, *export.Place, error) {
	var narrowed Filter
	if err := json.Unmarshal(f.Filter, &narrowed); err != nil {
		return nil, nil, fmt.Errorf("reading the filter of export %s: %w", f.ID, err)
	}
	var events []*Event
	if err := f.Beyond(narrowed.events(s.db.Read(), actor.Scope(), &events), "audit_event.at", "audit_event.id").Limit(int64(limit)).Scan(ctx); err != nil {
		return nil, nil, err
	}
	lines := make([][]string, len(events))
	var last *export.Place
	for i, e := range events {
		lines[i], last = e.record(actor), &export.Place{At: e.At, ID: e.ID}
	}
	return lines, last, nil
}

// header names the columns of a file of events.
var header = []string{"id", "occurred_at", "actor_kind", "actor_id", "actor_name", "organization_id", "on_behalf_of_id", "action", "target_id",
	"changed_fields", "outcome", "reason", "request_id", "ip_prefix", "token_id"}

// Own reports whether an event is of the actor's own organization, or the
// actor the operator's. Of another's acts a reader learns what was done, not
// by whom, for whom or from where.
func (e *Event) Own(actor access.Actor) bool {
	return actor.IsOperator() || e.OrganizationID != "" && e.OrganizationID == actor.OrganizationID
}

// record is an event as a line of a file.
func (e *Event) record(actor access.Actor) []string {
	shown := *e
	if !e.Own(actor) {
		shown.ActorID, shown.OrganizationID, shown.OnBehalfOfID, shown.RequestID, shown.IPPrefix, shown.TokenID = "", "", "", "", "", ""
		if e.ActorKind == ActorUser {
			shown.ActorName = ""
		}
	}
	return []string{string(shown.ID), shown.At.UTC().Format("2006-01-02T15:04:05.000000Z"), string(shown.ActorKind), string(shown.ActorID), shown.ActorName,
		string(shown.OrganizationID), string(shown.OnBehalfOfID), shown.Action, string(shown.TargetID), strings.Join(shown.Changed, " "),
		string(shown.Outcome), shown.Reason, shown.RequestID, shown.IPPrefix, string(shown.TokenID)}
}
