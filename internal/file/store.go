package file

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/uptrace/bun"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/ident"
)

// chunkSize is the most bytes of one row of a content.
const chunkSize = 512 << 10

type chunk struct {
	bun.BaseModel `bun:"table:file_chunk,alias:chunk"`
	FileID        ident.ID `bun:"file_id,pk"`
	Number        int      `bun:"number,pk"`
	Data          []byte   `bun:"data"`
}

// reach limits a query to the files that the actor may read: those of its own
// organization, and for the operator's reviewers what others have handed in.
func reach(actor access.Actor) access.Filter {
	return func(q bun.QueryBuilder) bun.QueryBuilder {
		purposes := readable(actor)
		if len(purposes) == 0 {
			return q.Where("1 = 0")
		}
		q = actor.Scope().ByOrganization("file.organization_id")(q.Where("file.purpose IN (?)", bun.List(purposes)))
		if actor.IsOperator() {
			q = q.Where("(file.subject_id <> '' OR file.organization_id = ?)", actor.OrganizationID)
		}
		return q
	}
}

func byIDs(ctx context.Context, idb bun.IDB, actor access.Actor, ids []ident.ID) (map[ident.ID]*File, error) {
	out := map[ident.ID]*File{}
	if len(ids) == 0 {
		return out, nil
	}
	var rows []*File
	err := idb.NewSelect().Model(&rows).Where("file.id IN (?)", bun.List(ids)).ApplyQueryBuilder(reach(actor)).Scan(ctx)
	for _, r := range rows {
		out[r.ID] = r
	}
	return out, err
}

func bySubjects(ctx context.Context, idb bun.IDB, actor access.Actor, subjects []ident.ID) (map[ident.ID][]*File, error) {
	out := map[ident.ID][]*File{}
	if len(subjects) == 0 {
		return out, nil
	}
	var rows []*File
	// The second condition is the index's own.
	err := idb.NewSelect().Model(&rows).Where("file.subject_id IN (?) AND file.subject_id <> ''", bun.List(subjects)).
		ApplyQueryBuilder(reach(actor)).OrderExpr("file.created_at, file.id").Scan(ctx)
	for _, r := range rows {
		out[r.SubjectID] = append(out[r.SubjectID], r)
	}
	return out, err
}

// lockWaiting holds the organization, so that two uploads at once keep its
// bounds, and tells how many files wait to be attached and how long they are.
func lockWaiting(ctx context.Context, tx *database.Tx, organization ident.ID) (n, size int, err error) {
	var id ident.ID
	if err = tx.Lock(tx.NewSelect().TableExpr("organization").Column("id").Where("id = ?", organization)).Scan(ctx, &id); err != nil {
		return
	}
	err = tx.NewSelect().TableExpr("file").ColumnExpr("count(*), coalesce(sum(size), 0)").Where("organization_id = ?", organization).
		Where("subject_id = ''").Scan(ctx, &n, &size)
	return
}

// insert writes a file and its content.
func insert(ctx context.Context, tx *database.Tx, f *File, content []byte) error {
	parts := slices.Collect(slices.Chunk(content, chunkSize))
	f.Chunks = len(parts)
	if _, err := tx.NewInsert().Model(f).Exec(ctx); err != nil {
		return err
	}
	for i, part := range parts {
		if _, err := tx.NewInsert().Model(&chunk{FileID: f.ID, Number: i, Data: part}).Exec(ctx); err != nil {
			return err
		}
	}
	return nil
}

// lockOwn reads and holds the files among the ids that an organization
// uploaded for a purpose.
func lockOwn(ctx context.Context, tx *database.Tx, organization ident.ID, purpose Purpose, ids []ident.ID) (map[ident.ID]*File, error) {
	var rows []*File
	err := tx.Lock(tx.NewSelect().Model(&rows).Where("file.id IN (?)", bun.List(ids)).Where("file.organization_id = ?", organization).
		Where("file.purpose = ?", purpose).OrderExpr("file.id")).Scan(ctx)
	out := map[ident.ID]*File{}
	for _, r := range rows {
		out[r.ID] = r
	}
	return out, err
}

// attach writes down what held files were handed in with.
func attach(ctx context.Context, tx *database.Tx, ids []ident.ID, subject ident.ID) error {
	_, err := tx.NewUpdate().Model((*File)(nil)).Set("subject_id = ?", subject).Set("attached_at = ?", tx.Now).Where("id IN (?)", bun.List(ids)).Exec(ctx)
	return err
}

// forget removes some files that have waited too long, and tells how many.
func forget(ctx context.Context, tx *database.Tx, most int64) (int64, error) {
	old := tx.NewSelect().TableExpr("file").Column("id").Where("subject_id = ''").Where("created_at <= ?", tx.Now.Add(-life)).Limit(most)
	// One that was attached since the inner statement looked stays.
	res, err := tx.NewDelete().Table("file").Where("id IN (?)", old).Where("subject_id = ''").Exec(ctx)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// discard removes the files of a purpose that were handed in with subjects,
// and tells how many; their contents go with them.
func discard(ctx context.Context, tx *database.Tx, purpose Purpose, subjects []ident.ID) (int64, error) {
	if len(subjects) == 0 {
		return 0, nil
	}
	res, err := tx.NewDelete().Model((*File)(nil)).Where("subject_id IN (?) AND subject_id <> ''", bun.List(subjects)).Where("purpose = ?", purpose).Exec(ctx)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// Download reads the content of a file, a chunk at a time.
type Download struct {
	File *File
	ctx  context.Context // io.Reader takes none; the download ends with its request
	db   bun.IDB
	next int
	rest []byte
}

// Read implements io.Reader. It fails with io.ErrUnexpectedEOF where the file
// was removed meanwhile.
func (d *Download) Read(p []byte) (int, error) {
	for len(d.rest) == 0 {
		if d.next >= d.File.Chunks {
			return 0, io.EOF
		}
		row := &chunk{FileID: d.File.ID, Number: d.next}
		err := d.db.NewSelect().Model(row).WherePK().Scan(d.ctx)
		if database.IsNoRows(err) {
			return 0, io.ErrUnexpectedEOF
		}
		if err != nil {
			return 0, fmt.Errorf("reading chunk %d of file %s: %w", d.next, d.File.ID, err)
		}
		d.rest, d.next = row.Data, d.next+1
	}
	n := copy(p, d.rest)
	d.rest = d.rest[n:]
	return n, nil
}
