package catalog

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/audit"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/file"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/internal/sheet"
)

// ImportOffers brings the file of an import into the catalogue.
type ImportOffers struct {
	ImportID ident.ID `json:"import_id"`
}

// Kind is the job's kind.
func (ImportOffers) Kind() string { return "catalog.import" }

// ImportOffers performs the job: the file is read whole, and where nothing is
// wrong with it one transaction changes the catalogue. The requester's right
// is read anew before that.
func (s *Service) ImportOffers(ctx context.Context, run *outbox.Run, args ImportOffers) error {
	found, err := importsByIDs(ctx, s.db.Read(), access.System("catalog").Scope(), []ident.ID{args.ImportID})
	i := found[args.ImportID]
	switch {
	case err != nil:
		return fmt.Errorf("reading import %s: %w", args.ImportID, err)
	case i == nil:
		return fault.GiveUp(CodeImportExpired, nil)
	case i.FinishedAt != nil:
		return nil
	}
	content, err := s.content(ctx, i.FileID)
	if err != nil {
		return err
	}
	actor, err := access.Load(ctx, s.db.Read(), access.Presence{UserID: i.RequestedByID})
	if err != nil {
		return fmt.Errorf("reading the requester of import %s: %w", i.ID, err)
	}
	if !actor.Can(access.PermCatalogManage) || actor.OrganizationID != i.OrganizationID {
		return fault.GiveUp(CodeImportRevoked, nil)
	}
	return s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		entries, f := parse(i.Format, content) // apply changes them
		end := *i
		end.OfferTotal = new(len(entries))
		if err := s.apply(ctx, tx, &end, entries, f); err != nil {
			return err
		}
		return s.end(ctx, tx, run, actor, &end, f)
	})
}

// content reads the file of an import.
func (s *Service) content(ctx context.Context, id ident.ID) ([]byte, error) {
	d, err := s.files.Open(ctx, access.System("catalog"), id)
	if fault.Is(err, fault.CodeNotFound) { // one that is only checked goes after a day
		return nil, fault.GiveUp(CodeImportExpired, nil)
	}
	if err != nil {
		return nil, fmt.Errorf("opening an imported file: %w", err)
	}
	b, err := io.ReadAll(io.LimitReader(d, file.MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("reading an imported file: %w", err)
	}
	return b, nil
}

// apply compares a file with the catalogue and, unless something is wrong with
// it or it is only checked, changes the catalogue. Counts and outcome stand in
// the import afterwards.
func (s *Service) apply(ctx context.Context, tx *database.Tx, i *Import, entries []*entry, f *sheet.Findings) error {
	if err := hold(ctx, tx, i); err != nil {
		return err
	}
	before, err := bySKU(ctx, tx)
	if err != nil {
		return fmt.Errorf("reading the catalogue: %w", err)
	}
	needPrerequisites(i.Mode, entries, before, f)
	if i.ProblemCount = f.Count; f.Count > 0 {
		i.Outcome = ImportRefused
		return nil
	}
	p := planned(i.Mode, entries, before)
	i.Added, i.Changed, i.Unchanged, i.Retired = len(p.added), len(p.changed)+len(p.restored), p.unchanged, len(p.retired)
	if i.Outcome = ImportApplied; i.DryRun {
		i.Outcome = ImportChecked
		return nil
	}
	for _, o := range p.added {
		o.ID, o.Version, o.CreatedAt = ident.New(ident.Offer), 1, tx.Now
	}
	if err := saveOffers(ctx, tx, i, Added, p.added); err != nil {
		return err
	}
	if err := saveOffers(ctx, tx, i, Changed, p.changed); err != nil {
		return err
	}
	if err := saveOffers(ctx, tx, i, Restored, p.restored); err != nil {
		return err
	}
	return retire(ctx, tx, i, p.retired)
}

// act is what the audit tells of an import that has ended.
func (i *Import) act() audit.Act {
	act := audit.Act{Action: "catalog.imported", TargetID: i.ID,
		Reason: fmt.Sprintf("%d added, %d changed, %d retired", i.Added, i.Changed, i.Retired)}
	switch i.Outcome {
	case ImportRefused:
		act.Outcome, act.Reason = audit.Refused, fmt.Sprintf("%d problems", i.ProblemCount)
	case ImportChecked:
		act.Action = "catalog.import_checked"
	}
	return act
}

// end finishes an import with its job; its file goes.
func (s *Service) end(ctx context.Context, tx *database.Tx, run *outbox.Run, actor access.Actor, i *Import, f *sheet.Findings) error {
	if err := insertProblems(ctx, tx, i, f.Kept); err != nil {
		return fmt.Errorf("keeping the problems of import %s: %w", i.ID, err)
	}
	open, err := finish(ctx, tx, i)
	if err != nil {
		return fmt.Errorf("finishing import %s: %w", i.ID, err)
	}
	if !open { // another worker, or a cancellation
		return outbox.ErrLost
	}
	if _, err := s.files.Discard(ctx, tx, file.ForCatalog, i.ID); err != nil {
		return err
	}
	if err := audit.Record(ctx, tx, actor, i.act()); err != nil {
		return err
	}
	return run.Done(ctx, tx)
}

// ImportCancelled is told by whoever called the operation of an import off:
// the import is over and its file goes.
func (s *Service) ImportCancelled(ctx context.Context, tx *database.Tx, j *outbox.Job) error {
	i, err := lockImport(ctx, tx, j.SubjectID)
	if err != nil || i == nil {
		return err
	}
	return s.giveUp(ctx, tx, i, ImportCancelled)
}

func (s *Service) giveUp(ctx context.Context, tx *database.Tx, i *Import, outcome ImportState) error {
	i.Outcome = outcome
	if _, err := finish(ctx, tx, i); err != nil {
		return fmt.Errorf("ending import %s: %w", i.ID, err)
	}
	_, err := s.files.Discard(ctx, tx, file.ForCatalog, i.ID)
	return err
}

// PruneImports ends the imports whose time is over, such as those that failed
// and were not retried.
type PruneImports struct{}

// Kind is the job's kind.
func (PruneImports) Kind() string { return "catalog.prune_imports" }

// PruneImports performs the job. The hour lets a last attempt end.
func (s *Service) PruneImports(ctx context.Context, _ *outbox.Run, _ PruneImports) error {
	rows, err := overdue(ctx, s.db.Read(), s.db.Now().Add(-life-time.Hour))
	if err != nil {
		return fmt.Errorf("finding overdue imports: %w", err)
	}
	for _, i := range rows {
		if err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error { return s.giveUp(ctx, tx, i, ImportFailed) }); err != nil {
			return err
		}
	}
	return nil
}
