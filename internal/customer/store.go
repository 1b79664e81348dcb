package customer

import (
	"context"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/event"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
)

// Visible limits a query to rows whose column names a customer that the scope
// sees: a partner those it has an active relationship with, a customer's own
// people their own, the operator all.
func Visible(s access.Scope, column string) access.Filter {
	return func(q bun.QueryBuilder) bun.QueryBuilder {
		switch {
		case s.All():
			return q
		case s.Partner() != "":
			return q.Where("EXISTS (SELECT 1 FROM relationship AS seen WHERE seen.customer_id = ? AND seen.partner_id = ? AND seen.status = 'ACTIVE')",
				bun.Ident(column), s.Partner())
		case s.Organization() != "":
			return q.Where("? IN (SELECT seen.id FROM customer AS seen WHERE seen.organization_id = ?)", bun.Ident(column), s.Organization())
		}
		return q.Where("1 = 0")
	}
}

// within selects customers inside a scope, with the reader's own side of them.
func within(q *bun.SelectQuery, s access.Scope) *bun.SelectQuery {
	if s.All() || s.Partner() == "" {
		return q.ApplyQueryBuilder(Visible(s, "customer.id"))
	}
	return q.ColumnExpr("own.kind AS own_kind, own.counterpart_id AS own_counterpart_id").
		Join("JOIN relationship AS own ON own.customer_id = customer.id AND own.partner_id = ? AND own.status = 'ACTIVE'", s.Partner())
}

func byIDs(ctx context.Context, idb bun.IDB, s access.Scope, ids []ident.ID) (map[ident.ID]*Customer, error) {
	out := map[ident.ID]*Customer{}
	if len(ids) == 0 {
		return out, nil
	}
	var rows []*Customer
	err := within(idb.NewSelect().Model(&rows).ColumnExpr("?TableColumns"), s).Where("customer.id IN (?)", bun.List(ids)).Scan(ctx)
	for _, c := range rows {
		out[c.ID] = c
	}
	return out, err
}

func byOrganizations(ctx context.Context, idb bun.IDB, s access.Scope, ids []ident.ID) (map[ident.ID]*Customer, error) {
	out := map[ident.ID]*Customer{}
	if len(ids) == 0 {
		return out, nil
	}
	var rows []*Customer
	err := within(idb.NewSelect().Model(&rows).ColumnExpr("?TableColumns"), s).Where("customer.organization_id IN (?)", bun.List(ids)).Scan(ctx)
	for _, c := range rows {
		out[c.OrganizationID] = c
	}
	return out, err
}

// lock reads a customer inside a scope and holds it; nil where it is hidden or
// absent.
func lock(ctx context.Context, tx *database.Tx, s access.Scope, id ident.ID) (*Customer, error) {
	return one(ctx, tx.Lock(tx.NewSelect()), s, "customer.id", id)
}

// share is lock that lets others hold it likewise; what changes a customer's
// relationships waits.
func share(ctx context.Context, tx *database.Tx, s access.Scope, id ident.ID) (*Customer, error) {
	return one(ctx, tx.Share(tx.NewSelect()), s, "customer.id", id)
}

func one(ctx context.Context, q *bun.SelectQuery, s access.Scope, column string, id ident.ID) (*Customer, error) {
	var row Customer
	err := q.Model(&row).Where("? = ?", bun.Ident(column), id).ApplyQueryBuilder(Visible(s, "customer.id")).Scan(ctx)
	if database.IsNoRows(err) {
		return nil, nil
	}
	return &row, err
}

func registrationTaken(ctx context.Context, tx *database.Tx, c *Customer) (bool, error) {
	if c.RegistrationIDFolded == "" {
		return false, nil
	}
	return tx.NewSelect().Model((*Customer)(nil)).Where("country = ?", c.Country).Where("registration_id_folded = ? AND registration_id_folded <> ''", c.RegistrationIDFolded).
		Where("id <> ?", c.ID).Exists(ctx)
}

// domainTaken reports whether a domain names a tenant, or a partner's.
func domainTaken(ctx context.Context, idb bun.IDB, domain string) (bool, error) {
	var taken bool
	err := idb.NewSelect().ColumnExpr("EXISTS (SELECT 1 FROM organization WHERE domain = ?0) OR EXISTS (SELECT 1 FROM partner WHERE tenant_domain = ?0)", domain).
		Scan(ctx, &taken)
	return taken, err
}

func insert(ctx context.Context, tx *database.Tx, c *Customer) error {
	how := ctx
	if c.RegistrationIDFolded == "" { // nothing can be there twice
		how = database.Later(ctx)
	}
	_, err := tx.NewInsert().Model(c).Returning("NULL").Exec(how)
	if database.IsUnique(err) { // two at the same moment
		return fault.Conflict("registrationId", CodeCustomerExists)
	}
	return err
}

func save(ctx context.Context, tx *database.Tx, c *Customer) error {
	c.Version++
	c.UpdatedAt = tx.Now
	return changed(tx.NewUpdate().Model(c).WherePK().Where("version = ?", c.Version-1).Exec(ctx))
}

type result interface{ RowsAffected() (int64, error) }

func changed(res result, err error) error {
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		return fault.Conflict("", fault.CodeConflict)
	}
	return nil
}

// renamed lets the partners' lists sort a customer under its new name.
func renamed(ctx context.Context, tx *database.Tx, c *Customer) error {
	_, err := tx.NewUpdate().Model((*Relationship)(nil)).Set("name_folded = ?", c.NameFolded).Where("customer_id = ?", c.ID).Exec(ctx)
	return err
}

// tell lets the watchers of a customer, and of all its partners, know that
// something about it changed.
func tell(ctx context.Context, tx *database.Tx, c *Customer, rs map[ident.ID]*Relationship) error {
	var ids []ident.ID
	for id, r := range rs {
		if r.Active() || r.RemovedAt != nil && r.RemovedAt.Equal(tx.Now) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	var orgs []ident.ID
	if len(ids) > 0 {
		if err := tx.NewSelect().TableExpr("partner").ColumnExpr("organization_id").Where("id IN (?)", bun.List(ids)).OrderExpr("id").Scan(ctx, &orgs); err != nil {
			return err
		}
	}
	return event.RecordAll(ctx, tx, event.CustomerChanged, c.ID, append([]ident.ID{c.OrganizationID}, orgs...)...)
}

// relations reads all rows of a customer by partner, removed ones too.
func relations(ctx context.Context, tx *database.Tx, customer ident.ID) (map[ident.ID]*Relationship, error) {
	var rows []*Relationship
	err := tx.NewSelect().Model(&rows).Where("customer_id = ?", customer).Scan(ctx)
	out := map[ident.ID]*Relationship{}
	for _, r := range rows {
		out[r.PartnerID] = r
	}
	return out, err
}

// relation reads the row of a customer and a partner; nil where there never
// was one.
func relation(ctx context.Context, idb bun.IDB, customer, partner ident.ID) (*Relationship, error) {
	var row Relationship
	err := idb.NewSelect().Model(&row).Where("customer_id = ?", customer).Where("partner_id = ?", partner).Scan(ctx)
	if database.IsNoRows(err) {
		return nil, nil
	}
	return &row, err
}

func insertRelationships(ctx context.Context, tx *database.Tx, rs []*Relationship) error {
	if len(rs) == 0 {
		return nil
	}
	_, err := tx.NewInsert().Model(&rs).Returning("NULL").Exec(database.Later(ctx))
	return err
}

func saveRelationship(ctx context.Context, tx *database.Tx, r *Relationship) error {
	r.Version++
	r.UpdatedAt = tx.Now
	return changed(tx.NewUpdate().Model(r).WherePK().Where("version = ?", r.Version-1).Exec(ctx))
}

// together limits a query over relationships to those that a scope sees: a
// partner its own, and those of whom it shares the customer with as provider
// and reseller; a customer's people all that they have; the operator all.
func together(s access.Scope) access.Filter {
	return func(q bun.QueryBuilder) bun.QueryBuilder {
		switch {
		case s.All():
			return q
		case s.Partner() != "":
			return q.Where("relationship.status = 'ACTIVE' AND (relationship.partner_id = ?0 OR EXISTS (SELECT 1 FROM relationship AS own "+
				"WHERE own.customer_id = relationship.customer_id AND own.partner_id = ?0 AND own.status = 'ACTIVE' "+
				"AND (own.counterpart_id = relationship.partner_id OR relationship.counterpart_id = ?0)))", s.Partner())
		}
		return Visible(s, "relationship.customer_id")(q)
	}
}

func relationshipsByIDs(ctx context.Context, idb bun.IDB, s access.Scope, ids []ident.ID) (map[ident.ID]*Relationship, error) {
	out := map[ident.ID]*Relationship{}
	if len(ids) == 0 {
		return out, nil
	}
	var rows []*Relationship
	err := idb.NewSelect().Model(&rows).Where("relationship.id IN (?)", bun.List(ids)).ApplyQueryBuilder(together(s)).Scan(ctx)
	for _, r := range rows {
		out[r.ID] = r
	}
	return out, err
}

// relationshipsOf reads what a scope sees of some customers' relationships,
// the oldest first.
func relationshipsOf(ctx context.Context, idb bun.IDB, s access.Scope, customers []ident.ID) (map[ident.ID][]*Relationship, error) {
	out := map[ident.ID][]*Relationship{}
	if len(customers) == 0 {
		return out, nil
	}
	var rows []*Relationship
	err := idb.NewSelect().Model(&rows).Where("relationship.customer_id IN (?)", bun.List(customers)).ApplyQueryBuilder(together(s)).
		OrderExpr("relationship.customer_id, relationship.created_at, relationship.id").Scan(ctx)
	for _, r := range rows {
		out[r.CustomerID] = append(out[r.CustomerID], r)
	}
	return out, err
}

func insertAgreement(ctx context.Context, tx *database.Tx, a *Agreement) error {
	_, err := tx.NewInsert().Model(a).Exec(database.Later(ctx))
	return err
}

// agreementsOf reads some customers' agreements, the oldest first: a partner
// those that it attested or asked for.
func agreementsOf(ctx context.Context, idb bun.IDB, s access.Scope, customers []ident.ID) (map[ident.ID][]*Agreement, error) {
	out := map[ident.ID][]*Agreement{}
	if len(customers) == 0 {
		return out, nil
	}
	q := idb.NewSelect().Where("customer_agreement.customer_id IN (?)", bun.List(customers)).ApplyQueryBuilder(Visible(s, "customer_agreement.customer_id"))
	if s.Partner() != "" && !s.All() {
		q = q.ApplyQueryBuilder(s.ByPartner("customer_agreement.partner_id"))
	}
	var rows []*Agreement
	err := q.Model(&rows).OrderExpr("customer_agreement.customer_id, customer_agreement.created_at, customer_agreement.id").Scan(ctx)
	for _, a := range rows {
		out[a.CustomerID] = append(out[a.CustomerID], a)
	}
	return out, err
}

func insertInvitation(ctx context.Context, tx *database.Tx, i *Invitation) error {
	_, err := tx.NewInsert().Model(i).Exec(ctx)
	return err
}

func offerOf(ctx context.Context, idb bun.IDB, invitation ident.ID) (*Invitation, error) {
	var row Invitation
	err := idb.NewSelect().Model(&row).Where("invitation_id = ?", invitation).Scan(ctx)
	if database.IsNoRows(err) {
		return nil, nil
	}
	return &row, err
}

// offersOf reads what some invitations offer, by invitation; the invitations
// have been read inside a scope.
func offersOf(ctx context.Context, idb bun.IDB, invitations []ident.ID) (map[ident.ID]*Invitation, error) {
	out := map[ident.ID]*Invitation{}
	if len(invitations) == 0 {
		return out, nil
	}
	var rows []*Invitation
	err := idb.NewSelect().Model(&rows).Where("invitation_id IN (?)", bun.List(invitations)).Scan(ctx)
	for _, i := range rows {
		out[i.InvitationID] = i
	}
	return out, err
}

func answered(ctx context.Context, tx *database.Tx, invitation, customer ident.ID) error {
	_, err := tx.NewUpdate().Model((*Invitation)(nil)).Set("customer_id = ?", customer).Where("invitation_id = ?", invitation).Exec(ctx)
	return err
}

// ---- Grants

// granted limits a query over grants to those that a scope sees: a partner its
// own, while its relationship lasts.
func granted(s access.Scope) access.Filter {
	return func(q bun.QueryBuilder) bun.QueryBuilder {
		q = Visible(s, "customer_grant.customer_id")(q)
		if s.Partner() != "" && !s.All() {
			q = s.ByPartner("customer_grant.partner_id")(q)
		}
		return q
	}
}

func insertGrant(ctx context.Context, tx *database.Tx, g *Grant) error {
	_, err := tx.NewInsert().Model(g).Returning("NULL").Exec(database.Later(ctx))
	return err
}

func saveGrant(ctx context.Context, tx *database.Tx, g *Grant) error {
	g.Version++
	g.UpdatedAt = tx.Now
	return changed(tx.NewUpdate().Model(g).WherePK().Where("version = ?", g.Version-1).Exec(ctx))
}

func lockGrant(ctx context.Context, tx *database.Tx, s access.Scope, id ident.ID) (*Grant, error) {
	var row Grant
	err := tx.Lock(tx.NewSelect().Model(&row).Where("customer_grant.id = ?", id).ApplyQueryBuilder(granted(s))).Scan(ctx)
	if database.IsNoRows(err) {
		return nil, nil
	}
	return &row, err
}

func grantsByIDs(ctx context.Context, idb bun.IDB, s access.Scope, ids []ident.ID) (map[ident.ID]*Grant, error) {
	out := map[ident.ID]*Grant{}
	if len(ids) == 0 {
		return out, nil
	}
	var rows []*Grant
	err := idb.NewSelect().Model(&rows).Where("customer_grant.id IN (?)", bun.List(ids)).ApplyQueryBuilder(granted(s)).Scan(ctx)
	for _, g := range rows {
		out[g.ID] = g
	}
	return out, err
}

// effective reads the grants of a partner that count for a customer at a
// moment; what is withdrawn, over, or of a removed relationship does not.
func effective(ctx context.Context, idb bun.IDB, partner ident.ID, customers []ident.ID, now time.Time) (map[ident.ID][]*Grant, error) {
	out := map[ident.ID][]*Grant{}
	if len(customers) == 0 || partner == "" {
		return out, nil
	}
	var rows []*Grant
	err := idb.NewSelect().Model(&rows).Join("JOIN relationship AS r ON r.id = customer_grant.relationship_id AND r.status = 'ACTIVE'").
		Where("r.partner_id = ?", partner).Where("r.customer_id IN (?)", bun.List(customers)).Where("customer_grant.status = ?", GrantActive).
		Where("customer_grant.starts_at <= ?", now).Where("customer_grant.ends_at > ?", now).Scan(ctx)
	for _, g := range rows {
		out[g.CustomerID] = append(out[g.CustomerID], g)
	}
	return out, err
}

// lockGrantsOf reads and holds the active grants of a relationship.
func lockGrantsOf(ctx context.Context, tx *database.Tx, relationship ident.ID) ([]*Grant, error) {
	var rows []*Grant
	err := tx.Lock(tx.NewSelect().Model(&rows).Where("relationship_id = ?", relationship).Where("status = ?", GrantActive).OrderExpr("id")).Scan(ctx)
	return rows, err
}

// grantPlace is where a batch of due grants ended.
type grantPlace struct {
	at time.Time
	id ident.ID
}

// dueGrants reads the grants after a place whose next step falls due before a
// moment, in order.
func dueGrants(ctx context.Context, tx *database.Tx, after grantPlace, before time.Time, limit int) ([]*Grant, error) {
	var rows []*Grant
	err := tx.NewSelect().Model(&rows).Where("next_action_at IS NOT NULL AND next_action_at < ?", before).
		Where("(next_action_at, id) > (?, ?)", after.at, after.id).OrderExpr("next_action_at, id").Limit(int64(limit)).Scan(ctx)
	return rows, err
}

// Counts are what the tree's counters of customers must come to: the
// programme's, each partner's, and what provider and reseller have together.
func Counts(idb bun.IDB) *bun.SelectQuery {
	const rest = " AS key, 0 AS resellers, count(*) AS customers, 0 AS subscriptions, 0 AS seats"
	whole := idb.NewSelect().TableExpr("customer").ColumnExpr("'*'" + rest)
	each := idb.NewSelect().TableExpr("relationship AS r").ColumnExpr("r.partner_id" + rest).Where("r.status = 'ACTIVE'").GroupExpr("r.partner_id")
	pair := idb.NewSelect().TableExpr("relationship AS p").Join("JOIN relationship AS r ON r.customer_id = p.customer_id").
		ColumnExpr("p.partner_id || '/' || r.partner_id" + rest).Where("p.kind = 'PROVIDER' AND r.kind = 'RESELLER' AND p.status = 'ACTIVE' AND r.status = 'ACTIVE'").
		Where("p.counterpart_id = r.partner_id OR r.counterpart_id = p.partner_id").GroupExpr("p.partner_id, r.partner_id")
	return whole.UnionAll(each).UnionAll(pair)
}
