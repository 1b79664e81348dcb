package partnership

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/address"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/desk"
	"github.com/channelgraph/channelgraph/internal/event"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/page"
	"github.com/channelgraph/channelgraph/internal/partner"
)

func reach(s access.Scope) access.Filter {
	return s.ByPartner("partnership.provider_id", "partnership.reseller_id")
}

func byIDs(ctx context.Context, idb bun.IDB, s access.Scope, ids []ident.ID) (map[ident.ID]*Partnership, error) {
	out := map[ident.ID]*Partnership{}
	if len(ids) == 0 {
		return out, nil
	}
	var rows []*Partnership
	err := idb.NewSelect().Model(&rows).Where("partnership.id IN (?)", bun.List(ids)).ApplyQueryBuilder(reach(s)).Scan(ctx)
	for _, r := range rows {
		out[r.ID] = r
	}
	return out, err
}

func lock(ctx context.Context, tx *database.Tx, s access.Scope, id ident.ID) (*Partnership, error) {
	var row Partnership
	err := tx.Lock(tx.NewSelect().Model(&row).Where("partnership.id = ?", id).ApplyQueryBuilder(reach(s))).Scan(ctx)
	if database.IsNoRows(err) {
		return nil, nil
	}
	return &row, err
}

// living reads the pair's partnership that is not terminated, if any.
func living(ctx context.Context, tx *database.Tx, provider, reseller ident.ID) (*Partnership, error) {
	var row Partnership
	err := tx.NewSelect().Model(&row).Where("provider_id = ?", provider).Where("reseller_id = ?", reseller).
		Where("status <> ?", Terminated).Scan(ctx)
	if database.IsNoRows(err) {
		return nil, nil
	}
	return &row, err
}

// allied tells which of some partners have a living partnership with one.
func allied(ctx context.Context, tx *database.Tx, with ident.ID, some []ident.ID) (map[ident.ID]bool, error) {
	out := map[ident.ID]bool{}
	if len(some) == 0 {
		return out, nil
	}
	var rows []*Partnership
	err := tx.NewSelect().Model(&rows).Where("(provider_id = ?0 AND reseller_id IN (?1)) OR (reseller_id = ?0 AND provider_id IN (?1))", with, bun.List(some)).
		Where("status <> ?", Terminated).Scan(database.Prepared(ctx))
	for _, p := range rows {
		out[other(p, with)] = true
	}
	return out, err
}

// hasOther reports whether a partnership's reseller has another living one.
func hasOther(ctx context.Context, tx *database.Tx, p *Partnership) (bool, error) {
	return tx.NewSelect().Model((*Partnership)(nil)).Where("reseller_id = ?", p.ResellerID).Where("id <> ?", p.ID).Where("status <> ?", Terminated).Exists(ctx)
}

// Counts is what the tree's counters of resellers must come to.
func Counts(idb bun.IDB) *bun.SelectQuery {
	living := func(key, count string) *bun.SelectQuery {
		return idb.NewSelect().TableExpr("partnership").ColumnExpr(key+" AS key, "+count+" AS resellers, 0 AS customers, 0 AS subscriptions, 0 AS seats").
			Where("status <> ?", Terminated)
	}
	return living("provider_id", "count(*)").GroupExpr("provider_id").UnionAll(living("'*'", "count(DISTINCT reseller_id)"))
}

// livingOf reads some of a partner's partnerships that are not terminated, in
// the order of their ids after one.
func livingOf(ctx context.Context, tx *database.Tx, id, after ident.ID, limit int) ([]*Partnership, error) {
	var rows []*Partnership
	err := tx.NewSelect().Model(&rows).Where("(provider_id = ?0 OR reseller_id = ?0)", id).Where("status <> ?", Terminated).Where("id > ?", after).
		OrderExpr("id").Limit(int64(limit)).Scan(ctx)
	return rows, err
}

// insert writes a partnership; false where the pair has one already.
func insert(ctx context.Context, tx *database.Tx, p *Partnership) (bool, error) {
	res, err := tx.NewInsert().Model(p).On("CONFLICT (provider_id, reseller_id) WHERE status <> 'TERMINATED' DO NOTHING").Exec(ctx)
	if err != nil {
		return false, err
	}
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		return false, err
	}
	return true, tell(ctx, tx, p)
}

func save(ctx context.Context, tx *database.Tx, p *Partnership) error {
	p.Version++
	p.UpdatedAt = tx.Now
	if err := one(tx.NewUpdate().Model(p).WherePK().Where("version = ?", p.Version-1).Exec(ctx)); err != nil {
		return err
	}
	return tell(ctx, tx, p)
}

// tell lets both sides' watchers know that a partnership, or a request to end
// it, changed.
func tell(ctx context.Context, tx *database.Tx, p *Partnership) error {
	return event.Record(ctx, tx, event.PartnershipChanged, p.ID, p.ProviderID, p.ResellerID)
}

type result interface{ RowsAffected() (int64, error) }

func one(res result, err error) error {
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		return fault.Conflict("", fault.CodeConflict)
	}
	return nil
}

func linkOf(ctx context.Context, tx *database.Tx, provider ident.ID) (*Link, error) {
	var row Link
	err := tx.Lock(tx.NewSelect().Model(&row).Where("provider_id = ?", provider)).Scan(ctx)
	if database.IsNoRows(err) {
		return nil, nil
	}
	return &row, err
}

func linkByID(ctx context.Context, idb bun.IDB, id ident.ID) (*Link, error) {
	var row Link
	err := idb.NewSelect().Model(&row).Where("id = ?", id).Scan(ctx)
	if database.IsNoRows(err) {
		return nil, nil
	}
	return &row, err
}

func linksByIDs(ctx context.Context, idb bun.IDB, s access.Scope, ids []ident.ID) ([]*Link, error) {
	var rows []*Link
	if len(ids) == 0 {
		return rows, nil
	}
	err := idb.NewSelect().Model(&rows).Where("id IN (?)", bun.List(ids)).ApplyQueryBuilder(s.ByPartner("provider_id")).Scan(ctx)
	return rows, err
}

func insertLink(ctx context.Context, tx *database.Tx, l *Link) error {
	_, err := tx.NewInsert().Model(l).On("CONFLICT (provider_id) DO NOTHING").Exec(ctx)
	return err
}

func saveLink(ctx context.Context, tx *database.Tx, l *Link) error {
	l.Version++
	return one(tx.NewUpdate().Model(l).WherePK().Where("version = ?", l.Version-1).Exec(ctx))
}

func countUse(ctx context.Context, tx *database.Tx, id ident.ID) error {
	_, err := tx.NewUpdate().Model((*Link)(nil)).Set("uses = uses + 1").Where("id = ?", id).Exec(ctx)
	return err
}

func terminationReach(s access.Scope) access.Filter {
	return func(q bun.QueryBuilder) bun.QueryBuilder {
		if s.All() {
			return q
		}
		return q.Where("EXISTS (SELECT 1 FROM partnership AS p WHERE p.id = termination.partnership_id AND (p.provider_id = ?0 OR p.reseller_id = ?0))", s.Partner())
	}
}

func lockTermination(ctx context.Context, tx *database.Tx, s access.Scope, id ident.ID) (*Termination, error) {
	var row Termination
	err := tx.Lock(tx.NewSelect().Model(&row).Where("termination.id = ?", id).ApplyQueryBuilder(terminationReach(s))).Scan(ctx)
	if database.IsNoRows(err) {
		return nil, nil
	}
	return &row, err
}

func terminationsByIDs(ctx context.Context, idb bun.IDB, s access.Scope, ids []ident.ID) (map[ident.ID]*Termination, error) {
	out := map[ident.ID]*Termination{}
	if len(ids) == 0 {
		return out, nil
	}
	var rows []*Termination
	err := idb.NewSelect().Model(&rows).Where("termination.id IN (?)", bun.List(ids)).ApplyQueryBuilder(terminationReach(s)).Scan(ctx)
	for _, r := range rows {
		out[r.ID] = r
	}
	return out, err
}

func openTerminations(ctx context.Context, idb bun.IDB, s access.Scope, partnerships []ident.ID) (map[ident.ID]*Termination, error) {
	out := map[ident.ID]*Termination{}
	if len(partnerships) == 0 {
		return out, nil
	}
	var rows []*Termination
	err := idb.NewSelect().Model(&rows).Where("termination.partnership_id IN (?)", bun.List(partnerships)).
		Where("termination.status = ?", TerminationRequested).ApplyQueryBuilder(terminationReach(s)).Scan(ctx)
	for _, r := range rows {
		out[r.PartnershipID] = r
	}
	return out, err
}

func insertTermination(ctx context.Context, tx *database.Tx, t *Termination) (bool, error) {
	res, err := tx.NewInsert().Model(t).On("CONFLICT (partnership_id) WHERE status = 'REQUESTED' DO NOTHING").Exec(ctx)
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	return n == 1, err
}

func saveTermination(ctx context.Context, tx *database.Tx, t *Termination) error {
	t.Version++
	return one(tx.NewUpdate().Model(t).WherePK().Where("version = ?", t.Version-1).Exec(ctx))
}

// Blockers reads what stands in the way of the ends of some partnerships, in
// as few statements as it can.
type Blockers func(ctx context.Context, idb bun.IDB, couples []Couple) (map[Couple][]*Blocker, error)

// blockersOf asks everybody who knows of blockers.
func (s *Service) blockersOf(ctx context.Context, idb bun.IDB, couples []Couple) (map[Couple][]*Blocker, error) {
	out := map[Couple][]*Blocker{}
	if len(couples) == 0 {
		return out, nil
	}
	for _, fn := range s.blockers {
		found, err := fn(ctx, idb, couples)
		if err != nil {
			return nil, fmt.Errorf("looking for blockers: %w", err)
		}
		for c, bs := range found {
			out[c] = append(out[c], bs...)
		}
	}
	return out, nil
}

// undecided reads and holds the next requests to end that wait for a decision,
// in the order of their ids.
func undecided(ctx context.Context, tx *database.Tx, after ident.ID, limit int) ([]*Termination, error) {
	var rows []*Termination
	err := tx.Lock(tx.NewSelect().Model(&rows).Where("termination.id > ?", after).Where("termination.status = ?", TerminationRequested).
		OrderExpr("termination.id").Limit(int64(limit))).Scan(ctx)
	return rows, err
}

// countUndecided counts what undecided reads.
func countUndecided(ctx context.Context, idb bun.IDB) (int, error) {
	n, err := idb.NewSelect().Model((*Termination)(nil)).Where("termination.status = ?", TerminationRequested).Count(ctx)
	return int(n), err
}

// overdue lists the requests to end whose moment has passed unseen.
func overdue(ctx context.Context, tx *database.Tx, before time.Time, limit int64) ([]ident.ID, error) {
	var ids []ident.ID
	err := tx.NewSelect().Model((*Termination)(nil)).Column("id").Where("next_action_at IS NOT NULL AND next_action_at < ?", before).
		OrderExpr("next_action_at").Limit(limit).Scan(ctx, &ids)
	return ids, err
}

// onDesk keeps the operator's desk in step with a request to end.
func onDesk(ctx context.Context, tx *database.Tx, t *Termination, by *partner.Partner) error {
	if t.Status != TerminationRequested {
		return desk.Close(ctx, tx, t.ID)
	}
	return desk.Put(ctx, tx, desk.Item{SubjectID: t.ID, Kind: desk.Termination, OrganizationID: by.OrganizationID, Company: by.LegalName,
		NameFolded: by.LegalNameFolded, State: desk.Open, AssigneeID: t.AssigneeID, TargetAt: t.TargetAt, DueAt: t.DueAt, OpenedAt: t.CreatedAt})
}

func list(ctx context.Context, db *database.DB, s access.Scope, owner ident.ID, side Side, pq page.Query, f Filter) (*page.Connection[*Partnership], error) {
	base := func(model any) *bun.SelectQuery {
		q := db.Read().NewSelect().Model(model).ApplyQueryBuilder(reach(s)).Where("? = ?", bun.Ident(side.mine()), owner)
		if len(f.Status) > 0 {
			q = q.Where("partnership.status IN (?)", bun.List(f.Status))
		}
		if f.Search != nil && *f.Search != "" {
			// names are stored without their legal form, which people type
			q = q.Where("(? OR ? = ?)", database.HasPrefix(side.theirName(), address.Fold(*f.Search)), bun.Ident(side.theirName()), address.FoldCompany(*f.Search))
		}
		return q
	}
	var rows []*Partnership
	if err := database.Keyset(base(&rows), pq, "partnership.id").Scan(ctx); err != nil {
		return nil, err
	}
	key := func(p *Partnership) (any, ident.ID) {
		if side == AsProvider {
			return p.ResellerNameFolded, p.ID
		}
		return p.ProviderNameFolded, p.ID
	}
	if pq.Order.Sort == page.SortTime {
		key = func(p *Partnership) (any, ident.ID) { return p.AuthorizedAt, p.ID }
	}
	return page.Build(pq, rows, key, func(ctx context.Context) (int, error) {
		return database.CountCapped(ctx, db.Read(), base((*Partnership)(nil)))
	}), nil
}

func listTerminations(ctx context.Context, db *database.DB, s access.Scope, pq page.Query, f TerminationFilter) (*page.Connection[*Termination], error) {
	base := func(model any) *bun.SelectQuery {
		q := db.Read().NewSelect().Model(model).ApplyQueryBuilder(terminationReach(s))
		if len(f.Status) > 0 {
			q = q.Where("termination.status IN (?)", bun.List(f.Status))
		}
		return q
	}
	var rows []*Termination
	if err := database.Keyset(base(&rows), pq, "termination.id").Scan(ctx); err != nil {
		return nil, err
	}
	return page.Build(pq, rows, func(t *Termination) (any, ident.ID) { return t.CreatedAt, t.ID }, func(ctx context.Context) (int, error) {
		return database.CountCapped(ctx, db.Read(), base((*Termination)(nil)))
	}), nil
}

// renamed lets the lists sort a partner under its new name, and the desk.
func renamed(ctx context.Context, tx *database.Tx, p *partner.Partner) error {
	for _, side := range []string{"provider", "reseller"} {
		_, err := tx.NewUpdate().Model((*Partnership)(nil)).Set("? = ?", bun.Ident(side+"_name_folded"), p.LegalNameFolded).
			Where("? = ?", bun.Ident(side+"_id"), p.ID).Exec(ctx)
		if err != nil {
			return err
		}
	}
	return desk.Rename(ctx, tx, p.OrganizationID, p.LegalName, p.LegalNameFolded)
}
