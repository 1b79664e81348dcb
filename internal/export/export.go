// Package export owns the files of rows that an operation writes for one
// person: their state, their progress, their content in the database, their
// end. It never decides what is in a file nor who may have it; the packages
// whose rows they are say so in a Source.
//
// Invariant: a file is seen by who asked for it, while that person still has
// the right, and by nobody else; what is written is written once, whichever
// process carries on; no cell begins like a formula.
package export

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/outbox"
)

const (
	// Life is how long a file can be fetched.
	Life = 7 * 24 * time.Hour
	// rowsAtOnce is how many rows one transaction adds to a file.
	rowsAtOnce = 5_000
	// mostRows is the most rows that one file holds.
	mostRows = 1_000_000
	// ChunkSize is the most bytes of one piece of a file.
	ChunkSize = 256 << 10
)

// Codes of exports: the first two refuse a download, the others say why an
// export failed.
const (
	CodeNotReady = "EXPORT_NOT_READY"
	CodeExpired  = "EXPORT_EXPIRED"
	CodeTooLarge = "EXPORT_TOO_LARGE"
	CodeRevoked  = "EXPORT_ACCESS_REVOKED"
)

// Kind says what is in a file.
type Kind string

// State is where an export stands.
type State string

// States of an export. A failed or cancelled one goes on where its operation
// is retried.
const (
	Queued    State = "QUEUED"
	Running   State = "RUNNING"
	Ready     State = "READY"
	Failed    State = "FAILED"
	Cancelled State = "CANCELLED"
	Expired   State = "EXPIRED"
)

// States lists all states.
var States = []State{Queued, Running, Ready, Failed, Cancelled, Expired}

// File is a file that an operation writes for one person; nobody else sees
// it. Its pieces stand in the database, so that any process can serve it.
type File struct {
	bun.BaseModel  `bun:"table:export_file,alias:export"`
	ID             ident.ID `bun:"id,pk"`
	OrganizationID ident.ID `bun:"organization_id"`
	RequestedByID  ident.ID `bun:"requested_by_id"`
	Kind           Kind     `bun:"kind"`
	// Filter is what narrows the rows, as its source wrote it.
	Filter json.RawMessage `bun:"filter,type:jsonb"`
	// State and FailureCode come from the export's operation, but for READY
	// and EXPIRED.
	State       State   `bun:"-"`
	FailureCode *string `bun:"-"`
	// RowsDone counts the rows written so far, RowsTotal those to write in
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
	// CursorAt and CursorID are the place of the last row written.
	CursorAt *time.Time `bun:"cursor_at"`
	CursorID ident.ID   `bun:"cursor_id"`

	name string
}

type chunkRow struct {
	bun.BaseModel `bun:"table:export_chunk,alias:chunk"`
	ExportID      ident.ID `bun:"export_id,pk"`
	Number        int      `bun:"number,pk"`
	Data          []byte   `bun:"data"`
}

// Place is where a row stands in the order of a file.
type Place struct {
	At time.Time
	ID ident.ID
}

// Beyond limits a query to the rows that were there when the file was asked
// for and stand beyond the last one written, in the order of two columns.
func (f *File) Beyond(q *bun.SelectQuery, at, id string) *bun.SelectQuery {
	if f.CursorAt != nil {
		q = q.Where("(?, ?) > (?, ?)", bun.Ident(at), bun.Ident(id), *f.CursorAt, f.CursorID)
	}
	return q.Where("? <= ?", bun.Ident(at), f.CreatedAt).OrderExpr("?, ?", bun.Ident(at), bun.Ident(id))
}

// settle tells where the export stands by its operation; without one it has
// been called off or forgotten.
func (f *File) settle(j *outbox.Job, now time.Time) {
	switch {
	case !f.ExpiresAt.After(now):
		f.State = Expired
	case f.FinishedAt != nil:
		f.State = Ready
	case j == nil:
		f.State = Cancelled
	default:
		switch j.Status() {
		case outbox.OperationPending:
			f.State = Queued
		case outbox.OperationFailed:
			f.State, f.FailureCode = Failed, j.FailureCode
		case outbox.OperationCancelled:
			f.State = Cancelled
		case outbox.OperationRunning, outbox.OperationRetrying, outbox.OperationSucceeded: // the last: finished since the export was read
			f.State = Running
		}
	}
}

// FileName is what the file is called on the reader's machine.
func (f *File) FileName() string {
	return f.name + "-" + f.CreatedAt.UTC().Format("2006-01-02") + ".csv"
}

func filesOf(ctx context.Context, db *database.DB, kind Kind, actor access.Actor, ids []ident.ID) ([]*File, error) {
	var rows []*File
	err := db.Read().NewSelect().Model(&rows).Where("export.id IN (?)", bun.List(ids)).Where("export.kind = ?", kind).
		Where("export.requested_by_id = ?", actor.UserID).Where("export.organization_id = ?", actor.OrganizationID).Scan(ctx)
	return rows, err
}

// lock is nil where there is none.
func lock(ctx context.Context, tx *database.Tx, id ident.ID) (*File, error) {
	f := new(File)
	err := tx.Lock(tx.NewSelect().Model(f).Where("export.id = ?", id)).Scan(ctx)
	if database.IsNoRows(err) {
		return nil, nil
	}
	return f, err
}

// recent are when a person asked for exports since a moment, the latest first.
func recent(ctx context.Context, tx *database.Tx, user ident.ID, since time.Time, limit int) ([]*File, error) {
	var rows []*File
	err := tx.NewSelect().Model(&rows).Column("created_at").Where("requested_by_id = ?", user).Where("created_at > ?", since).
		OrderExpr("created_at DESC").Limit(int64(limit)).Scan(ctx)
	return rows, err
}

// Download reads the file of an export, a piece at a time.
type Download struct {
	// Export is what the file is of; Bytes is its length.
	Export *File
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

// ErrMoved says that another process goes on with the file.
var ErrMoved = errors.New("the export was carried on by another process")

// add appends bytes to the file and moves it on to a later row, provided that
// nobody else did.
func (f *File) add(ctx context.Context, tx *database.Tx, data []byte, rows int, last *Place) error {
	before := f.Chunks
	f.RowsDone += rows
	f.Bytes += int64(len(data))
	if last != nil {
		f.CursorAt, f.CursorID = &last.At, last.ID
	}
	parts := slices.Collect(slices.Chunk(data, ChunkSize))
	f.Chunks += len(parts)
	res, err := tx.NewUpdate().Model(f).Column("rows_done", "bytes", "chunks", "cursor_at", "cursor_id", "finished_at", "expires_at").
		WherePK().Where("chunks = ?", before).Where("finished_at IS NULL").Where("expires_at > ?", tx.Now).Exec(ctx)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return errors.Join(ErrMoved, err)
	}
	for i, part := range parts {
		if _, err := tx.NewInsert().Model(&chunkRow{ExportID: f.ID, Number: before + i, Data: part}).Exec(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Prune removes the files of all kinds that have expired, a few pieces in one
// transaction.
func Prune(ctx context.Context, db *database.DB) error {
	const batch = 40
	now := db.Now()
	// Some days more, so that who comes late is told that the file expired.
	for _, old := range []struct {
		what, table, key string
		before           time.Time
	}{
		{"chunks", "export_chunk", "export_id, number", now},
		{"files", "export_file", "id", now.Add(-Life)},
	} {
		for {
			var n int64
			err := db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
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
