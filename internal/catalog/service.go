package catalog

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/audit"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/file"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/internal/page"
	"github.com/channelgraph/channelgraph/internal/region"
)

// Service performs the verbs on the catalogue.
type Service struct {
	db    *database.DB
	files *file.Service
}

// New makes the service. The jobs are ImportOffers and PruneImports, of which
// the last is periodic; ImportCancelled is told of operations called off.
func New(db *database.DB, files *file.Service) *Service { return &Service{db: db, files: files} }

// life is how long an import may take; after that it is over.
const life = 7 * 24 * time.Hour

// ---- Reading

// OfferTx reads an offer with its prices for a rule, whoever asks; nil where
// there is none. Retired offers are found.
func (s *Service) OfferTx(ctx context.Context, tx *database.Tx, id ident.ID) (*Offer, error) {
	found, err := s.OffersTx(ctx, tx, []ident.ID{id})
	return found[id], err
}

// OffersTx is OfferTx for several offers in two statements; absent ones are
// missing.
func (s *Service) OffersTx(ctx context.Context, tx *database.Tx, ids []ident.ID) (map[ident.ID]*Offer, error) {
	return withPrices(ctx, tx, ids, nil)
}

// OffersInTx is OffersTx with what they cost in one country alone; in an
// unknown one that is nothing.
func (s *Service) OffersInTx(ctx context.Context, tx *database.Tx, ids []ident.ID, country string) (map[ident.ID]*Offer, error) {
	c, _ := region.Find(country)
	return withPrices(ctx, tx, ids, &c)
}

// BySKUTx finds offers by their SKUs, without prices; absent ones are missing.
// It reads the whole catalogue, for imports and the demo world.
func (s *Service) BySKUTx(ctx context.Context, tx *database.Tx) (map[string]*Offer, error) {
	return bySKU(ctx, tx)
}

// ByIDs reads offers for whoever may read the catalogue, retired ones too,
// since they may have been bought.
func (s *Service) ByIDs(ctx context.Context, actor access.Actor, ids []ident.ID) (map[ident.ID]*Offer, error) {
	if !actor.Can(access.PermCatalogRead) {
		return map[ident.ID]*Offer{}, nil
	}
	return byIDs(ctx, s.db.Read(), ids)
}

// PricesOf reads the prices of offers: what they cost in a country, or with ""
// everywhere. Of an unknown country there are none.
func (s *Service) PricesOf(ctx context.Context, actor access.Actor, ids []ident.ID, country string) (map[ident.ID][]*Price, error) {
	if !actor.Can(access.PermCatalogRead) {
		return map[ident.ID][]*Price{}, nil
	}
	if country == "" {
		return pricesOf(ctx, s.db.Read(), ids, nil)
	}
	c, known := region.Find(strings.TrimSpace(country))
	if !known {
		return map[ident.ID][]*Price{}, nil
	}
	offers, err := byIDs(ctx, s.db.Read(), ids)
	if err != nil {
		return nil, err
	}
	prices, err := pricesOf(ctx, s.db.Read(), ids, &c)
	for id, o := range offers {
		if o.Prices = prices[id]; !o.SoldIn(c) {
			delete(prices, id)
		}
	}
	return prices, err
}

// List is a page of the offers. Error: ROLE_REQUIRED.
func (s *Service) List(ctx context.Context, actor access.Actor, args page.Args, o *Order, f Filter) (*page.Connection[*Offer], error) {
	if err := actor.Require(access.PermCatalogRead); err != nil {
		return nil, err
	}
	pq, err := args.Resolve(o.resolve(), f)
	if err != nil {
		return nil, err
	}
	return list(ctx, s.db, pq, f)
}

// Revisions is a page of the states that an offer had, the newest first.
// Error: ROLE_REQUIRED.
func (s *Service) Revisions(ctx context.Context, actor access.Actor, offer ident.ID, args page.Args, f RevisionFilter) (*page.Connection[*Revision], error) {
	if err := actor.Require(access.PermCatalogRead); err != nil {
		return nil, err
	}
	pq, err := args.Resolve(page.Order{Name: "VERSION", Column: "offer_revision.version", Sort: page.SortInt, Direction: page.Desc}, []any{offer, f})
	if err != nil {
		return nil, err
	}
	return listRevisions(ctx, s.db, pq, offer, f)
}

// ---- Imports

// Import brings a file into the catalogue; the operation does it. Errors:
// ROLE_REQUIRED, NOT_FOUND and FILE_ATTACHED at fileId, INVALID at format or
// mode, those of outbox.Once.
func (s *Service) Import(ctx context.Context, actor access.Actor, in ImportInput) (*Import, *outbox.Job, error) {
	if err := actor.Require(access.PermCatalogManage); err != nil {
		return nil, nil, err
	}
	if actor.UserID == "" { // an import is a person's
		return nil, nil, fault.Unauthenticated()
	}
	request := in
	if err := in.Validate(); err != nil {
		return nil, nil, err
	}
	const verb = "importCatalog"
	key := ""
	if in.IdempotencyKey != nil {
		key = *in.IdempotencyKey
	}
	var free *file.File // one that is only checked stays free for the import itself
	if in.DryRun {
		found, err := s.files.ByIDs(ctx, actor, []ident.ID{in.FileID})
		if err != nil {
			return nil, nil, fmt.Errorf("finding a file to check: %w", err)
		}
		free = found[in.FileID]
	}
	var i *Import
	var job *outbox.Job
	err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		i, job = nil, nil
		prior, err := outbox.Once(ctx, tx, actor, verb, key, request)
		if err != nil {
			return err
		}
		if prior != nil {
			if i, err = lockImport(ctx, tx, prior.ID("import")); err == nil {
				job, err = outbox.FindTx(ctx, tx, prior.ID("operation"))
			}
			return err
		}
		i = &Import{ID: ident.New(ident.CatalogImport), Format: in.Format, Mode: *in.Mode, DryRun: in.DryRun, FileID: in.FileID,
			OrganizationID: actor.OrganizationID, RequestedByID: actor.UserID, CreatedAt: tx.Now}
		if i.FileName, err = s.take(ctx, tx, actor, i, free); err != nil {
			return err
		}
		if err := insertImport(ctx, tx, i); err != nil {
			return err
		}
		if job, err = outbox.Put(ctx, tx, ImportOffers{ImportID: i.ID}, outbox.By(actor), outbox.About(i.ID), outbox.On(outbox.Low),
			outbox.ExpiresAt(tx.Now.Add(life))); err != nil {
			return err
		}
		if err := audit.Record(ctx, tx, actor, audit.Act{Action: "catalog.import_requested", TargetID: i.ID}); err != nil {
			return err
		}
		return outbox.Remember(ctx, tx, actor, verb, key, map[string]string{"import": string(i.ID), "operation": string(job.ID)})
	})
	if err != nil {
		return nil, nil, err
	}
	i.settle(job)
	return i, job, nil
}

// take takes the file of an import, or looks at the one that is only checked,
// and gives its name.
func (s *Service) take(ctx context.Context, tx *database.Tx, actor access.Actor, i *Import, free *file.File) (string, error) {
	switch {
	case !i.DryRun:
	case free == nil || free.Purpose != file.ForCatalog || free.OrganizationID != actor.OrganizationID:
		return "", fault.NotFound("fileId")
	case free.SubjectID != "":
		return "", fault.Conflict("fileId", file.CodeAttached)
	default:
		return free.Name, nil
	}
	found, err := s.files.Attach(ctx, tx, actor, "fileId", []ident.ID{i.FileID}, file.ForCatalog, i.ID)
	switch {
	case fault.Is(err, file.CodeAttached):
		return "", fault.Conflict("fileId", file.CodeAttached)
	case fault.Is(err, fault.CodeNotFound):
		return "", fault.NotFound("fileId")
	case err != nil:
		return "", err
	}
	return found[0].Name, nil
}

// ImportTx brings a file's content in at once, inside a caller's transaction,
// for the demo world. A file with something wrong is an error.
func (s *Service) ImportTx(ctx context.Context, tx *database.Tx, actor access.Actor, format Format, name string, content []byte) (*Import, error) {
	entries, f := parse(format, content)
	i := &Import{ID: ident.New(ident.CatalogImport), Format: format, Mode: Merge, FileName: name, OrganizationID: actor.OrganizationID,
		RequestedByID: actor.UserID, OfferTotal: new(len(entries)), CreatedAt: tx.Now, Outcome: ImportApplied}
	if err := insertImport(ctx, tx, i); err != nil {
		return nil, err
	}
	if err := s.apply(ctx, tx, i, entries, f); err != nil {
		return nil, err
	}
	if f.Count > 0 {
		p := f.Kept[0]
		return nil, fmt.Errorf("%s: %d problems, the first in line %d: %s %s", name, f.Count, p.Line, p.Column, p.Code)
	}
	if _, err := finish(ctx, tx, i); err != nil {
		return nil, err
	}
	i.settle(nil)
	return i, audit.Record(ctx, tx, actor, i.act())
}

// settle tells where the import stands, by its operation until it is over.
func (i *Import) settle(j *outbox.Job) {
	if i.FinishedAt != nil {
		i.State = i.Outcome
		if i.State == ImportFailed {
			code := CodeImportExpired
			i.FailureCode = &code
		}
		return
	}
	i.State = ImportCancelled
	if j == nil {
		return
	}
	switch j.Status() {
	case outbox.OperationPending:
		i.State = ImportQueued
	case outbox.OperationFailed:
		i.State, i.FailureCode = ImportFailed, j.FailureCode
	case outbox.OperationCancelled:
	case outbox.OperationRunning, outbox.OperationRetrying, outbox.OperationSucceeded: // the last: finished since the import was read
		i.State = ImportRunning
	}
}

// settled puts the states into imports that were read.
func (s *Service) settled(ctx context.Context, actor access.Actor, rows map[ident.ID]*Import) error {
	var open []ident.ID
	for id, i := range rows {
		if i.FinishedAt == nil {
			open = append(open, id)
		}
	}
	jobs, err := outbox.NewestAbout(ctx, s.db, actor.Scope(), open)
	for id, i := range rows {
		i.settle(jobs[id])
	}
	return err
}

// ImportsByIDs reads imports for the operator; everybody else finds none.
func (s *Service) ImportsByIDs(ctx context.Context, actor access.Actor, ids []ident.ID) (map[ident.ID]*Import, error) {
	if !actor.Can(access.PermCatalogManage) {
		return map[ident.ID]*Import{}, nil
	}
	rows, err := importsByIDs(ctx, s.db.Read(), actor.Scope(), ids)
	if err != nil {
		return nil, err
	}
	return rows, s.settled(ctx, actor, rows)
}

// ListImports is a page of the imports, newest first. Error: ROLE_REQUIRED.
func (s *Service) ListImports(ctx context.Context, actor access.Actor, args page.Args, f ImportFilter) (*page.Connection[*Import], error) {
	if err := actor.Require(access.PermCatalogManage); err != nil {
		return nil, err
	}
	pq, err := args.Resolve(page.Order{Name: "CREATED_AT", Column: "catalog_import.created_at", Sort: page.SortTime, Direction: page.Desc}, f)
	if err != nil {
		return nil, err
	}
	c, err := listImports(ctx, s.db, actor.Scope(), pq, f)
	if err != nil {
		return nil, err
	}
	rows := map[ident.ID]*Import{}
	for _, i := range c.Nodes() {
		rows[i.ID] = i
	}
	return c, s.settled(ctx, actor, rows)
}

// Problems is a page of what is wrong with the file of an import, in the order
// of the file. Error: ROLE_REQUIRED.
func (s *Service) Problems(ctx context.Context, actor access.Actor, id ident.ID, args page.Args, f ProblemFilter) (*page.Connection[*Problem], error) {
	if err := actor.Require(access.PermCatalogManage); err != nil {
		return nil, err
	}
	pq, err := args.Resolve(page.Order{Name: "LINE", Column: "problem.number", Sort: page.SortInt}, []any{id, f})
	if err != nil {
		return nil, err
	}
	return listProblems(ctx, s.db, actor.Scope(), pq, id, f)
}
