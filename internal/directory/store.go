package directory

import (
	"context"
	"fmt"
	"strings"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/schema"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/address"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/page"
)

// ---- The directory

func state(ctx context.Context, idb bun.IDB) (*State, error) {
	row := new(State)
	err := idb.NewSelect().Model(row).Where("id = 1").Scan(ctx)
	return row, err
}

// bump makes a new version of the directory.
func bump(ctx context.Context, tx *database.Tx) error {
	_, err := tx.NewUpdate().Model((*State)(nil)).Set("version = version + 1").Set("changed_at = ?", tx.Now).Where("id = 1").Exec(ctx)
	return err
}

// startsWith is the condition that a column, stored folded and compared by
// bytes, begins with text: a range that both engines look up in an index.
func startsWith(column, text string) schema.QueryAppender {
	return bun.SafeQuery("(? >= ? AND ? < ?)", bun.Ident(column), text, bun.Ident(column), text+"\U0010FFFF")
}

// seen selects the cards that the public sees under a filter.
func (f DirectoryFilter) seen(idb bun.IDB, model any) *bun.SelectQuery {
	q := idb.NewSelect().Model(model).Where("location.visible") // the indexes' own condition
	if f.Region != nil {
		q = q.Where("location.region = ?", *f.Region)
	}
	if f.Country != nil {
		q = q.Where("location.country = ?", strings.ToUpper(*f.Country))
	}
	if f.Search != nil && strings.TrimSpace(*f.Search) != "" {
		q = q.Where("?", startsWith("location.name_folded", address.Fold(*f.Search)))
	}
	return q
}

func listCards(ctx context.Context, db *database.DB, pq page.Query, f DirectoryFilter) (*page.Connection[*Location], error) {
	var rows []*Location
	if err := database.Keyset(f.seen(db.Read(), &rows), pq, "location.id").Scan(ctx); err != nil {
		return nil, fmt.Errorf("listing the directory: %w", err)
	}
	return page.Build(pq, rows, func(l *Location) (any, ident.ID) { return l.NameFolded, l.ID }, func(ctx context.Context) (int, error) {
		return database.CountCapped(ctx, db.Read(), f.seen(db.Read(), (*Location)(nil)))
	}), nil
}

// showsLogo reports whether a card that the public sees has the logo.
func showsLogo(ctx context.Context, idb bun.IDB, id ident.ID) (bool, error) {
	return idb.NewSelect().Model((*Location)(nil)).Where("location.visible AND location.logo_id <> ''").Where("location.logo_id = ?", id).Exists(ctx)
}

// holdListing reads and holds the listing of a provider, which it makes where
// there is none.
func holdListing(ctx context.Context, tx *database.Tx, l *Listing) (*Listing, error) {
	l.CreatedAt, l.UpdatedAt = tx.Now, tx.Now
	if _, err := tx.NewInsert().Model(l).On("CONFLICT (partner_id) DO NOTHING").Exec(ctx); err != nil {
		return nil, err
	}
	return lockListing(ctx, tx, l.PartnerID)
}

// lockListing is nil where there is none.
func lockListing(ctx context.Context, tx *database.Tx, partner ident.ID) (*Listing, error) {
	row := new(Listing)
	err := tx.Lock(tx.NewSelect().Model(row).Where("listing.partner_id = ?", partner)).Scan(ctx)
	if database.IsNoRows(err) {
		return nil, nil
	}
	return row, err
}

// saveListing keeps a held listing with the revision that says what happened.
func saveListing(ctx context.Context, tx *database.Tx, l *Listing, r Revision) error {
	l.Version++
	l.UpdatedAt = tx.Now
	if _, err := tx.NewUpdate().Model(l).WherePK().Exec(ctx); err != nil {
		return err
	}
	r.PartnerID, r.Version, r.At = l.PartnerID, l.Version, tx.Now
	_, err := tx.NewInsert().Model(&r).Exec(ctx)
	return err
}

// untouched reports whether a provider's cards were never shown nor published.
func untouched(ctx context.Context, idb bun.IDB, partner ident.ID) (bool, error) {
	known, err := idb.NewSelect().Model((*Revision)(nil)).Where("revision.partner_id = ?", partner).
		Where("revision.kind IN (?)", bun.List([]RevisionKind{RevisionListed, RevisionPublished})).Exists(ctx)
	return !known, err
}

// show makes the cards of a listing seen or not, as the listing is.
func show(ctx context.Context, tx *database.Tx, l *Listing) error {
	_, err := tx.NewUpdate().Model((*Location)(nil)).Set("visible = ?", l.Visible()).Where("partner_id = ?", l.PartnerID).Exec(ctx)
	return err
}

func listingsOf(ctx context.Context, idb bun.IDB, s access.Scope, partners []ident.ID) (map[ident.ID]*Listing, error) {
	out := map[ident.ID]*Listing{}
	if len(partners) == 0 {
		return out, nil
	}
	var rows []*Listing
	err := idb.NewSelect().Model(&rows).Where("listing.partner_id IN (?)", bun.List(partners)).
		ApplyQueryBuilder(s.ByOrganization("listing.organization_id")).Scan(ctx)
	for _, l := range rows {
		out[l.PartnerID] = l
	}
	return out, err
}

// locationsOf reads the locations of a provider, oldest first.
func locationsOf(ctx context.Context, idb bun.IDB, partner ident.ID) ([]*Location, error) {
	rows := []*Location{}
	err := idb.NewSelect().Model(&rows).Where("location.partner_id = ?", partner).OrderExpr("location.created_at, location.id").Scan(ctx)
	return rows, err
}

// locationsByIDs reads the locations that the public or the scope sees.
func locationsByIDs(ctx context.Context, idb bun.IDB, s access.Scope, ids []ident.ID) (map[ident.ID]*Location, error) {
	out := map[ident.ID]*Location{}
	if len(ids) == 0 {
		return out, nil
	}
	own := idb.NewSelect().TableExpr("directory_location AS own").Column("own.id").Where("own.id IN (?)", bun.List(ids)).ApplyQueryBuilder(s.ByPartner("own.partner_id"))
	var rows []*Location
	err := idb.NewSelect().Model(&rows).Where("location.id IN (?)", bun.List(ids)).Where("(location.visible OR location.id IN (?))", own).Scan(ctx)
	for _, l := range rows {
		out[l.ID] = l
	}
	return out, err
}

// history reads the newest revisions of a listing, newest first.
func history(ctx context.Context, idb bun.IDB, partner ident.ID, most int64) ([]*Revision, error) {
	rows := []*Revision{}
	err := idb.NewSelect().Model(&rows).Where("revision.partner_id = ?", partner).OrderExpr("revision.version DESC").Limit(most).Scan(ctx)
	return rows, err
}

func insertLocations(ctx context.Context, tx *database.Tx, rows []*Location) error {
	if len(rows) == 0 {
		return nil
	}
	_, err := tx.NewInsert().Model(&rows).Exec(ctx)
	return err
}

func updateLocation(ctx context.Context, tx *database.Tx, l *Location) error {
	_, err := tx.NewUpdate().Model(l).Column("company_name", "name_folded", "target_url", "logo_id", "updated_at").WherePK().Exec(ctx)
	return err
}

func deleteLocations(ctx context.Context, tx *database.Tx, ids []ident.ID) error {
	if len(ids) == 0 {
		return nil
	}
	_, err := tx.NewDelete().Model((*Location)(nil)).Where("id IN (?)", bun.List(ids)).Exec(ctx)
	return err
}

// stale says that what was held has a newer version after all.
func stale(err error, n int64) error {
	if err == nil && n != 1 {
		return fault.Conflict("", fault.CodeConflict)
	}
	return err
}
