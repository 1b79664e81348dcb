package file

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/audit"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
)

// Service performs the verbs on files.
type Service struct{ db *database.DB }

// New makes the service.
func New(db *database.DB) *Service { return &Service{db: db} }

// Upload keeps a file of the actor's organization; whoever hands it in
// attaches it within a day. Errors: those of MayUpload and of the content
// (FILE_EMPTY, FILE_TOO_LARGE, FILE_TYPE_NOT_ALLOWED, FILE_DAMAGED,
// IMAGE_TOO_LARGE), FILES_WAITING where too much waits to be attached.
func (s *Service) Upload(ctx context.Context, actor access.Actor, in UploadInput) (*File, error) {
	if err := in.Purpose.MayUpload(actor); err != nil {
		return nil, err
	}
	k, err := in.inspect()
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256(in.Content)
	f := &File{ID: ident.New(ident.File), OrganizationID: actor.OrganizationID, UploadedByID: actor.UserID, Purpose: in.Purpose,
		Name: cleanName(in.Name, k.mediaType), MediaType: k.mediaType, Size: len(in.Content), SHA256: hex.EncodeToString(digest[:])}
	if k.width > 0 {
		f.Width, f.Height = &k.width, &k.height
	}
	err = s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		n, size, err := lockWaiting(ctx, tx, f.OrganizationID)
		switch {
		case err != nil:
			return err
		case n >= maxWaiting || size+f.Size > maxWaitingBytes:
			return fault.Conflict("", CodeWaiting, "max", fmt.Sprint(maxWaiting), "size", fmt.Sprint(maxWaitingBytes>>20))
		}
		f.CreatedAt = tx.Now
		if err := insert(ctx, tx, f, in.Content); err != nil {
			return err
		}
		return audit.Record(ctx, tx, actor, audit.Act{Action: "file.uploaded", TargetID: f.ID})
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

// Attach hands files in with a subject, in the caller's transaction, and
// gives them in the order of the ids; whoever calls it has checked that the
// actor may, and records the act. Problems at path, all together: TOO_MANY at
// the whole, and at path.N NOT_FOUND for what is absent, another
// organization's or for another purpose, FILE_ATTACHED for what was handed in
// before or is named twice.
func (s *Service) Attach(ctx context.Context, tx *database.Tx, actor access.Actor, path string, ids []ident.ID, purpose Purpose, subject ident.ID) ([]*File, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	if len(ids) > MaxAttached {
		return nil, fault.Invalid(path, fault.CodeTooMany, "max", fmt.Sprint(MaxAttached))
	}
	found, err := lockOwn(ctx, tx, actor.OrganizationID, purpose, ids)
	if err != nil {
		return nil, fmt.Errorf("holding files to attach: %w", err)
	}
	var p fault.Problems
	out := make([]*File, len(ids))
	for i, id := range ids {
		at := fmt.Sprintf("%s.%d", path, i)
		switch f := found[id]; {
		case f == nil:
			p.Add(at, fault.CodeNotFound)
		case f.SubjectID != "":
			p.Add(at, CodeAttached)
		default:
			f.SubjectID, f.AttachedAt, out[i] = subject, &tx.Now, f
		}
	}
	if err := p.Err(); err != nil {
		return nil, err
	}
	if err := attach(ctx, tx, ids, subject); err != nil {
		return nil, fmt.Errorf("attaching files to %s: %w", subject, err)
	}
	return out, nil
}

// ByIDs loads the files among the ids that the actor may read; others are
// missing.
func (s *Service) ByIDs(ctx context.Context, actor access.Actor, ids []ident.ID) (map[ident.ID]*File, error) {
	return byIDs(ctx, s.db.Read(), actor, ids)
}

// Of loads the files that were handed in with subjects and that the actor may
// read, in the order of their uploads.
func (s *Service) Of(ctx context.Context, actor access.Actor, subjects []ident.ID) (map[ident.ID][]*File, error) {
	return bySubjects(ctx, s.db.Read(), actor, subjects)
}

// Open opens a file that the actor may read. What the operator opens of
// others is recorded, for both. Errors: UNAUTHENTICATED, NOT_FOUND for what is
// absent or hidden.
func (s *Service) Open(ctx context.Context, actor access.Actor, id ident.ID) (*Download, error) {
	if actor.IsAnonymous() {
		return nil, fault.Unauthenticated()
	}
	found, err := s.ByIDs(ctx, actor, []ident.ID{id})
	if err != nil {
		return nil, fmt.Errorf("opening a file: %w", err)
	}
	f := found[id]
	if f == nil {
		return nil, fault.NotFound("id")
	}
	if actor.IsOperator() && f.OrganizationID != actor.OrganizationID {
		err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
			return audit.Record(ctx, tx, actor, audit.Act{Action: "file.read", TargetID: f.ID, TargetOrganizationID: f.OrganizationID})
		})
		if err != nil {
			return nil, fmt.Errorf("recording a download: %w", err)
		}
	}
	return &Download{File: f, ctx: ctx, db: s.db.Read()}, nil
}

// Discard removes the files that were handed in with subjects for a purpose,
// in the caller's transaction, and tells how many: for files that are of no
// more use.
func (s *Service) Discard(ctx context.Context, tx *database.Tx, purpose Purpose, subjects ...ident.ID) (int, error) {
	n, err := discard(ctx, tx, purpose, subjects)
	if err != nil {
		return 0, fmt.Errorf("removing the files of %v: %w", subjects, err)
	}
	return int(n), nil
}
