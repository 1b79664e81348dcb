package audit

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/outbox"
)

const (
	// exportLife is how long a file can be fetched.
	exportLife = 7 * 24 * time.Hour
	// exportRows is how many events one transaction adds to a file.
	exportRows = 5_000
	// exportMost is the most events that one file holds.
	exportMost = 1_000_000
	// chunkSize is the most bytes of one row of a file.
	chunkSize = 256 << 10
)

// Codes of exports: the first two refuse a download, the others say why an
// export failed.
const (
	CodeExportNotReady = "EXPORT_NOT_READY"
	CodeExportExpired  = "EXPORT_EXPIRED"
	CodeExportTooLarge = "EXPORT_TOO_LARGE"
	CodeExportRevoked  = "EXPORT_ACCESS_REVOKED"
)

// ExportKind says what is in a file.
type ExportKind string

// ExportAuditEvents is a file of audit events.
const ExportAuditEvents ExportKind = "AUDIT_EVENTS"

// Table is a short file that a concept writes at once, in the reach that the
// requester has then.
type Table struct {
	Kind ExportKind
	// Permission is what the requester needs besides audit.read, which all
	// files need.
	Permission access.Permission
	// Write gives the names of the columns and the lines, of which the filter
	// says the bounds in time.
	Write func(ctx context.Context, actor access.Actor, f Filter) (header []string, lines [][]string, err error)
}

// ExportState is where an export stands.
type ExportState string

// States of an export. A failed or cancelled one goes on where its operation
// is retried.
const (
	ExportQueued    ExportState = "QUEUED"
	ExportRunning   ExportState = "RUNNING"
	ExportReady     ExportState = "READY"
	ExportFailed    ExportState = "FAILED"
	ExportCancelled ExportState = "CANCELLED"
	ExportExpired   ExportState = "EXPIRED"
)

// Export is a file that an operation writes for one person; nobody else sees
// it. Its chunks stand in the database, so that any process can serve it.
type Export struct {
	bun.BaseModel  `bun:"table:export_file,alias:export"`
	ID             ident.ID   `bun:"id,pk"`
	OrganizationID ident.ID   `bun:"organization_id"`
	RequestedByID  ident.ID   `bun:"requested_by_id"`
	Kind           ExportKind `bun:"kind"`
	Filter         Filter     `bun:"filter,type:jsonb"`
	// State and FailureCode come from the export's operation, but for READY
	// and EXPIRED.
	State       ExportState `bun:"-"`
	FailureCode *string     `bun:"-"`
	// RowsDone counts the events written so far, RowsTotal those to write in
	// all; nil until they have been counted.
	RowsDone  int  `bun:"rows_done"`
	RowsTotal *int `bun:"rows_total"`
	// Bytes is the size of what is written.
	Bytes     int64     `bun:"bytes"`
	Chunks    int       `bun:"chunks"`
	CreatedAt time.Time `bun:"created_at"`
	// FinishedAt is when the file became ready.
	FinishedAt *time.Time `bun:"finished_at"`
	// ExpiresAt is when the file goes: 7 days after it became ready.
	ExpiresAt time.Time `bun:"expires_at"`
	// CursorAt and CursorID are the last event written.
	CursorAt *time.Time `bun:"cursor_at"`
	CursorID ident.ID   `bun:"cursor_id"`
}

type chunkRow struct {
	bun.BaseModel `bun:"table:export_chunk,alias:chunk"`
	ExportID      ident.ID `bun:"export_id,pk"`
	Number        int      `bun:"number,pk"`
	Data          []byte   `bun:"data"`
}

// settle tells where the export stands by its operation; without one it has
// been called off or forgotten.
func (e *Export) settle(j *outbox.Job, now time.Time) {
	switch {
	case !e.ExpiresAt.After(now):
		e.State = ExportExpired
	case e.FinishedAt != nil:
		e.State = ExportReady
	case j == nil:
		e.State = ExportCancelled
	default:
		switch j.Status() {
		case outbox.OperationPending:
			e.State = ExportQueued
		case outbox.OperationFailed:
			e.State, e.FailureCode = ExportFailed, j.FailureCode
		case outbox.OperationCancelled:
			e.State = ExportCancelled
		case outbox.OperationRunning, outbox.OperationRetrying, outbox.OperationSucceeded: // the last: finished since the export was read
			e.State = ExportRunning
		}
	}
}

// FileName is what the file is called on the reader's machine.
func (e *Export) FileName() string {
	name := "audit"
	if e.Kind != ExportAuditEvents {
		name = strings.ReplaceAll(strings.ToLower(string(e.Kind)), "_", "-")
	}
	return name + "-" + e.CreatedAt.UTC().Format("2006-01-02") + ".csv"
}

func exportsOf(ctx context.Context, db *database.DB, actor access.Actor, ids []ident.ID) ([]*Export, error) {
	var rows []*Export
	err := db.Read().NewSelect().Model(&rows).Where("export.id IN (?)", bun.List(ids)).
		Where("export.requested_by_id = ?", actor.UserID).Where("export.organization_id = ?", actor.OrganizationID).Scan(ctx)
	return rows, err
}

// lockExport is nil where there is none.
func lockExport(ctx context.Context, tx *database.Tx, id ident.ID) (*Export, error) {
	e := new(Export)
	err := tx.Lock(tx.NewSelect().Model(e).Where("export.id = ?", id)).Scan(ctx)
	if database.IsNoRows(err) {
		return nil, nil
	}
	return e, err
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

// WriteCSV writes lines as RFC 4180 has them. A cell that a spreadsheet would
// take for a formula begins with an apostrophe.
func WriteCSV(out io.Writer, lines [][]string) error {
	w := csv.NewWriter(out)
	w.UseCRLF = true
	for _, line := range lines {
		for i, cell := range line {
			line[i] = tame(cell)
		}
		if err := w.Write(line); err != nil {
			return err
		}
	}
	w.Flush()
	return w.Error()
}

func tame(cell string) string {
	// The wide forms are what East Asian keyboards type; spreadsheets heed them.
	if i := strings.IndexAny(cell, "=+-@\t\r\n＝＋－＠"); i == 0 {
		return "'" + cell
	}
	return cell
}

// Download reads the file of an export, a chunk at a time.
type Download struct {
	// Export is what the file is of; Bytes is its length.
	Export *Export
	ctx    context.Context // io.Reader takes none; the download ends with its request
	db     bun.IDB
	next   int
	rest   []byte
}

// ContentType is the media type of the file.
func (d *Download) ContentType() string { return "text/csv; charset=utf-8; header=present" }

// Read implements io.Reader. It fails with io.ErrUnexpectedEOF where the file
// was removed meanwhile.
func (d *Download) Read(p []byte) (int, error) {
	for len(d.rest) == 0 {
		if d.next >= d.Export.Chunks {
			return 0, io.EOF
		}
		row := &chunkRow{ExportID: d.Export.ID, Number: d.next}
		err := d.db.NewSelect().Model(row).WherePK().Scan(d.ctx)
		if database.IsNoRows(err) {
			return 0, io.ErrUnexpectedEOF
		}
		if err != nil {
			return 0, fmt.Errorf("reading chunk %d of export %s: %w", d.next, d.Export.ID, err)
		}
		d.rest, d.next = row.Data, d.next+1
	}
	n := copy(p, d.rest)
	d.rest = d.rest[n:]
	return n, nil
}

// Close implements io.Closer.
func (d *Download) Close() error {
	d.rest, d.next = nil, d.Export.Chunks
	return nil
}

// errMoved says that another process goes on with the file.
var errMoved = errors.New("the export was carried on by another process")

// add appends bytes to the file and moves it on to a later event, provided
// that nobody else did.
func (e *Export) add(ctx context.Context, tx *database.Tx, data []byte, rows int, last *Event) error {
	before := e.Chunks
	e.RowsDone += rows
	e.Bytes += int64(len(data))
	if last != nil {
		e.CursorAt, e.CursorID = &last.At, last.ID
	}
	parts := slices.Collect(slices.Chunk(data, chunkSize))
	e.Chunks += len(parts)
	res, err := tx.NewUpdate().Model(e).Column("rows_done", "rows_total", "bytes", "chunks", "cursor_at", "cursor_id", "finished_at", "expires_at").
		WherePK().Where("chunks = ?", before).Where("finished_at IS NULL").Where("expires_at > ?", tx.Now).Exec(ctx)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return errors.Join(errMoved, err)
	}
	for i, part := range parts {
		if _, err := tx.NewInsert().Model(&chunkRow{ExportID: e.ID, Number: before + i, Data: part}).Exec(ctx); err != nil {
			return err
		}
	}
	return nil
}
