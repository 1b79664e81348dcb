package catalog

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/address"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/page"
	"github.com/channelgraph/channelgraph/internal/region"
	"github.com/channelgraph/channelgraph/internal/sheet"
)

// batch is how many rows one statement writes.
const batch = 500

// Offers are everybody's to read who may read the catalogue at all, so their
// queries take no scope; imports are the operator's alone.

func byIDs(ctx context.Context, idb bun.IDB, ids []ident.ID) (map[ident.ID]*Offer, error) {
	out := map[ident.ID]*Offer{}
	if len(ids) == 0 {
		return out, nil
	}
	var rows []*Offer
	err := idb.NewSelect().Model(&rows).Where("offer.id IN (?)", bun.List(ids)).Scan(ctx)
	for _, r := range rows {
		out[r.ID] = r
	}
	return out, err
}

// pricesOf reads the prices of offers, of every region or of one currency of
// one.
func pricesOf(ctx context.Context, idb bun.IDB, ids []ident.ID, where *region.Country) (map[ident.ID][]*Price, error) {
	if len(ids) == 0 {
		return map[ident.ID][]*Price{}, nil
	}
	var rows []*Price
	err := charged(idb.NewSelect().Model(&rows), ids, where).Scan(ctx)
	return byOffer(rows), err
}

func charged(q *bun.SelectQuery, ids []ident.ID, where *region.Country) *bun.SelectQuery {
	q = q.Where("offer_price.offer_id IN (?)", bun.List(ids))
	if where != nil {
		q = q.Where("offer_price.region = ? AND offer_price.currency = ?", where.Region, where.Currency)
	}
	return q
}

func byOffer(rows []*Price) map[ident.ID][]*Price {
	out := map[ident.ID][]*Price{}
	slices.SortFunc(rows, comparePrices)
	for _, r := range rows {
		out[r.OfferID] = append(out[r.OfferID], r)
	}
	return out
}

// withPrices reads offers with what they cost, in one country or, with nil,
// everywhere.
func withPrices(ctx context.Context, tx *database.Tx, ids []ident.ID, where *region.Country) (map[ident.ID]*Offer, error) {
	out := map[ident.ID]*Offer{}
	if len(ids) == 0 {
		return out, nil
	}
	var offers []*Offer
	var prices []*Price
	err := tx.Select(database.Prepared(ctx), tx.NewSelect().Model(&offers).Where("offer.id IN (?)", bun.List(ids)), charged(tx.NewSelect().Model(&prices), ids, where))
	if err != nil {
		return nil, fmt.Errorf("reading offers with their prices: %w", err)
	}
	of := byOffer(prices)
	for _, o := range offers {
		o.Prices = of[o.ID]
		out[o.ID] = o
	}
	return out, nil
}

// bySKU reads the whole catalogue, without prices.
func bySKU(ctx context.Context, idb bun.IDB) (map[string]*Offer, error) {
	var rows []*Offer
	err := idb.NewSelect().Model(&rows).Column("id", "sku", "digest", "version", "retired_at", "created_at").Scan(ctx)
	out := make(map[string]*Offer, len(rows))
	for _, r := range rows {
		out[r.SKU] = r
	}
	return out, err
}

// likeJSON matches a text inside a list that is stored as JSON; both engines
// put it between quotation marks.
func likeJSON(text string) string { return `%"` + text + `"%` }

func list(ctx context.Context, db *database.DB, pq page.Query, f Filter) (*page.Connection[*Offer], error) {
	base := func(model any) *bun.SelectQuery {
		q := db.Read().NewSelect().Model(model)
		for column, want := range map[string]*bool{"offer.trial": f.Trial, "offer.azure_type": f.AzureType, "offer.incentive_eligible": f.IncentiveEligible} {
			if want != nil {
				q = q.Where("? = ?", bun.Ident(column), *want)
			}
		}
		for column, want := range map[string]*string{"offer.publisher": f.Publisher, "offer.product_line": f.ProductLine, "offer.category": f.Category} {
			if want != nil {
				q = q.Where("? = ?", bun.Ident(column), *want)
			}
		}
		if f.PublisherKind != nil {
			q = q.Where("offer.publisher_kind = ?", *f.PublisherKind)
		}
		if f.AddOn != nil {
			q = q.Where("(CAST(offer.prerequisites AS text) <> '[]') = ?", *f.AddOn)
		}
		if f.Retired != nil && *f.Retired {
			q = q.Where("offer.retired_at IS NOT NULL")
		} else {
			q = q.Where("offer.retired_at IS NULL")
		}
		if f.Country != nil {
			c, _ := region.Find(f.country()) // of an unknown one nothing is sold
			q = q.Where("EXISTS (SELECT 1 FROM offer_price AS p WHERE p.offer_id = offer.id AND p.region = ? AND p.currency = ?)", c.Region, c.Currency).
				Where("(CAST(offer.countries AS text) = '[]' OR CAST(offer.countries AS text) LIKE ?)", likeJSON(c.Code))
		}
		if f.Search != nil && strings.TrimSpace(*f.Search) != "" {
			q = q.Where("(? OR ?)", database.HasPrefix("offer.name_folded", address.Fold(*f.Search)),
				database.HasPrefix("offer.sku", strings.ToUpper(strings.TrimSpace(*f.Search))))
		}
		return q
	}
	var rows []*Offer
	if err := database.Keyset(base(&rows), pq, "offer.id").Scan(ctx); err != nil {
		return nil, err
	}
	key := func(o *Offer) (any, ident.ID) { return o.NameFolded, o.ID }
	switch pq.Order.Name {
	case "SKU":
		key = func(o *Offer) (any, ident.ID) { return o.SKU, o.ID }
	case "UPDATED_AT":
		key = func(o *Offer) (any, ident.ID) { return o.UpdatedAt, o.ID }
	}
	return page.Build(pq, rows, key, func(ctx context.Context) (int, error) {
		return database.CountCapped(ctx, db.Read(), base((*Offer)(nil)))
	}), nil
}

func listRevisions(ctx context.Context, db *database.DB, pq page.Query, offer ident.ID, f RevisionFilter) (*page.Connection[*Revision], error) {
	base := func(model any) *bun.SelectQuery {
		q := db.Read().NewSelect().Model(model).Where("offer_revision.offer_id = ?", offer)
		if len(f.Change) > 0 {
			q = q.Where("offer_revision.change IN (?)", bun.List(f.Change))
		}
		return q
	}
	var rows []*Revision
	if err := database.Keyset(base(&rows), pq, "offer_revision.offer_id").Scan(ctx); err != nil {
		return nil, err
	}
	return page.Build(pq, rows, func(r *Revision) (any, ident.ID) { return r.Version, r.OfferID }, func(ctx context.Context) (int, error) {
		return database.CountCapped(ctx, db.Read(), base((*Revision)(nil)))
	}), nil
}

// ---- What an import changes

// hold makes two imports wait for each other.
func hold(ctx context.Context, tx *database.Tx, i *Import) error {
	return database.SetSetting(ctx, tx, "catalog", string(i.ID))
}

// saveOffers writes new offers and those that changed, with their prices, and
// a revision of each.
func saveOffers(ctx context.Context, tx *database.Tx, i *Import, change Change, offers []*Offer) error {
	for part := range slices.Chunk(offers, batch) {
		ids := make([]ident.ID, len(part))
		revisions := make([]*Revision, len(part))
		var prices []*Price
		for n, o := range part {
			o.ImportID, o.UpdatedAt, ids[n] = i.ID, tx.Now, o.ID
			revisions[n] = &Revision{OfferID: o.ID, Version: o.Version, ImportID: i.ID, Change: change, Content: o.content(), CreatedAt: tx.Now}
			for _, p := range o.Prices {
				p.OfferID = o.ID
				prices = append(prices, p)
			}
		}
		q := tx.NewInsert().Model(&part).On("CONFLICT (sku) DO UPDATE")
		for _, c := range []string{"name", "name_folded", "publisher_kind", "publisher", "product_line", "category", "min_quantity", "max_quantity", "countries",
			"prerequisites", "trial", "azure_type", "incentive_eligible", "digest", "version", "import_id", "retired_at", "updated_at"} {
			q = q.Set("? = EXCLUDED.?", bun.Ident(c), bun.Ident(c))
		}
		if _, err := q.Exec(ctx); err != nil {
			return fmt.Errorf("writing offers: %w", err)
		}
		if _, err := tx.NewDelete().Model((*Price)(nil)).Where("offer_id IN (?)", bun.List(ids)).Exec(ctx); err != nil {
			return fmt.Errorf("removing former prices: %w", err)
		}
		for part := range slices.Chunk(prices, batch) {
			if _, err := tx.NewInsert().Model(&part).Exec(ctx); err != nil {
				return fmt.Errorf("writing prices: %w", err)
			}
		}
		if _, err := tx.NewInsert().Model(&revisions).Exec(ctx); err != nil {
			return fmt.Errorf("writing revisions: %w", err)
		}
	}
	return nil
}

// retire ends the sale of offers; their content stays.
func retire(ctx context.Context, tx *database.Tx, i *Import, offers []*Offer) error {
	for part := range slices.Chunk(offers, batch) {
		ids := make([]ident.ID, len(part))
		for n, o := range part {
			ids[n] = o.ID
		}
		_, err := tx.NewRaw("INSERT INTO offer_revision (offer_id, version, import_id, change, content, created_at) "+
			"SELECT r.offer_id, r.version + 1, ?, ?, r.content, ? FROM offer_revision AS r JOIN offer AS o ON o.id = r.offer_id AND o.version = r.version "+
			"WHERE o.id IN (?)", i.ID, Retired, tx.Now, bun.List(ids)).Exec(ctx)
		if err != nil {
			return fmt.Errorf("writing revisions: %w", err)
		}
		_, err = tx.NewUpdate().Model((*Offer)(nil)).Set("retired_at = ?", tx.Now).Set("updated_at = ?", tx.Now).Set("import_id = ?", i.ID).
			Set("version = version + 1").Where("id IN (?)", bun.List(ids)).Exec(ctx)
		if err != nil {
			return fmt.Errorf("retiring offers: %w", err)
		}
	}
	return nil
}

// ---- Imports

// reach limits a query to what the actor may see: imports are the operator's
// alone.
func reach(s access.Scope) access.Filter {
	return func(q bun.QueryBuilder) bun.QueryBuilder {
		if !s.All() {
			return q.Where("1 = 0")
		}
		return q
	}
}

func importsByIDs(ctx context.Context, idb bun.IDB, s access.Scope, ids []ident.ID) (map[ident.ID]*Import, error) {
	out := map[ident.ID]*Import{}
	if len(ids) == 0 {
		return out, nil
	}
	var rows []*Import
	err := idb.NewSelect().Model(&rows).Where("catalog_import.id IN (?)", bun.List(ids)).ApplyQueryBuilder(reach(s)).Scan(ctx)
	for _, r := range rows {
		out[r.ID] = r
	}
	return out, err
}

// lockImport is nil where there is none.
func lockImport(ctx context.Context, tx *database.Tx, id ident.ID) (*Import, error) {
	i := new(Import)
	err := tx.Lock(tx.NewSelect().Model(i).Where("catalog_import.id = ?", id)).Scan(ctx)
	if database.IsNoRows(err) {
		return nil, nil
	}
	return i, err
}

func insertImport(ctx context.Context, tx *database.Tx, i *Import) error {
	_, err := tx.NewInsert().Model(i).Exec(ctx)
	return err
}

// finish ends an import and tells whether it was still open.
func finish(ctx context.Context, tx *database.Tx, i *Import) (bool, error) {
	i.FinishedAt = &tx.Now
	res, err := tx.NewUpdate().Model(i).Column("offer_total", "added", "changed", "unchanged", "retired", "problem_count", "outcome", "finished_at").
		WherePK().Where("finished_at IS NULL").Exec(ctx)
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	return n == 1, err
}

func insertProblems(ctx context.Context, tx *database.Tx, i *Import, problems []sheet.Problem) error {
	rows := make([]*Problem, len(problems))
	for n, p := range problems {
		rows[n] = &Problem{ImportID: i.ID, Number: n + 1, Line: p.Line, Column: p.Column, Code: p.Code, Params: p.Params}
	}
	for part := range slices.Chunk(rows, batch) {
		if _, err := tx.NewInsert().Model(&part).Exec(ctx); err != nil {
			return err
		}
	}
	return nil
}

// overdue lists some open imports that were asked for before a moment.
func overdue(ctx context.Context, idb bun.IDB, before time.Time) ([]*Import, error) {
	var rows []*Import
	err := idb.NewSelect().Model(&rows).Where("finished_at IS NULL").Where("created_at < ?", before).OrderExpr("created_at").Limit(batch).Scan(ctx)
	return rows, err
}

func listImports(ctx context.Context, db *database.DB, s access.Scope, pq page.Query, f ImportFilter) (*page.Connection[*Import], error) {
	base := func(model any) *bun.SelectQuery {
		q := db.Read().NewSelect().Model(model).ApplyQueryBuilder(reach(s))
		if f.DryRun != nil {
			q = q.Where("catalog_import.dry_run = ?", *f.DryRun)
		}
		return q
	}
	var rows []*Import
	if err := database.Keyset(base(&rows), pq, "catalog_import.id").Scan(ctx); err != nil {
		return nil, err
	}
	return page.Build(pq, rows, func(i *Import) (any, ident.ID) { return i.CreatedAt, i.ID }, func(ctx context.Context) (int, error) {
		return database.CountCapped(ctx, db.Read(), base((*Import)(nil)))
	}), nil
}

func listProblems(ctx context.Context, db *database.DB, s access.Scope, pq page.Query, id ident.ID, f ProblemFilter) (*page.Connection[*Problem], error) {
	base := func(model any) *bun.SelectQuery {
		q := db.Read().NewSelect().Model(model).Where("problem.import_id = ?", id).ApplyQueryBuilder(reach(s))
		if f.Code != nil {
			q = q.Where("problem.code = ?", *f.Code)
		}
		return q
	}
	var rows []*Problem
	if err := database.Keyset(base(&rows), pq, "problem.import_id").Scan(ctx); err != nil {
		return nil, err
	}
	return page.Build(pq, rows, func(p *Problem) (any, ident.ID) { return p.Number, p.ImportID }, func(ctx context.Context) (int, error) {
		return database.CountCapped(ctx, db.Read(), base((*Problem)(nil)))
	}), nil
}
