package partner

import (
	"context"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/address"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/page"
)

type affiliation struct {
	bun.BaseModel `bun:"table:partner_affiliation"`
	PartnerID     ident.ID  `bun:"partner_id,pk"`
	AffiliateID   ident.ID  `bun:"affiliate_id,pk"`
	DeclaredBy    ident.ID  `bun:"declared_by"`
	DeclaredAt    time.Time `bun:"declared_at"`
}

func byIDs(ctx context.Context, idb bun.IDB, s access.Scope, ids []ident.ID) (map[ident.ID]*Partner, error) {
	return find(ctx, idb, s, "partner.id", ids, "", func(p *Partner) ident.ID { return p.ID })
}

// shown are the columns of fields that are shown of the partners of a list.
var shown = database.Columns{
	Always: "id",
	Of: map[string]string{"__typename": "", "id": "", "kind": "kind", "legalName": "legal_name", "status": "status", "programmeId": "programme_id",
		"tenantDomain": "tenant_domain", "country": "country", "region": "region", "isActive": "status"},
}

// Showing is what has to be read of partners for fields of the API.
func Showing(fields []string) database.Shown { return shown.Showing(fields) }

func byOrganizations(ctx context.Context, idb bun.IDB, s access.Scope, ids []ident.ID) (map[ident.ID]*Partner, error) {
	return find(ctx, idb, s, "partner.organization_id", ids, "", func(p *Partner) ident.ID { return p.OrganizationID })
}

func find(ctx context.Context, idb bun.IDB, s access.Scope, column string, ids []ident.ID, show database.Shown, key func(*Partner) ident.ID) (map[ident.ID]*Partner, error) {
	out := map[ident.ID]*Partner{}
	if len(ids) == 0 {
		return out, nil
	}
	var rows []*Partner
	err := show.Of(within(idb, &rows, s, column, ids), "partner").Scan(database.Prepared(ctx))
	for _, p := range rows {
		out[key(p)] = p
	}
	return out, err
}

func within(idb bun.IDB, rows *[]*Partner, s access.Scope, column string, ids []ident.ID) *bun.SelectQuery {
	return idb.NewSelect().Model(rows).Where("?", database.Among(column, ids)).ApplyQueryBuilder(s.Partners("partner"))
}

// duplicates names the input fields by which another profile already stands.
func duplicates(ctx context.Context, tx *database.Tx, p *Partner) ([]string, error) {
	var row struct{ Name, Registration, Domain bool }
	err := tx.NewSelect().
		ColumnExpr("EXISTS (SELECT 1 FROM partner WHERE country = ? AND legal_name_folded = ?) AS name", p.Country, p.LegalNameFolded).
		ColumnExpr("EXISTS (SELECT 1 FROM partner WHERE country = ?0 AND registration_id_folded = ?1 AND registration_id_folded <> '') AS registration",
			p.Country, p.RegistrationIDFolded).
		ColumnExpr("EXISTS (SELECT 1 FROM organization WHERE domain = ?) AS domain", p.TenantDomain).Scan(ctx, &row)
	if err != nil {
		return nil, err
	}
	var out []string
	if row.Name {
		out = append(out, "legalName")
	}
	if row.Registration {
		out = append(out, "registrationId")
	}
	if row.Domain {
		out = append(out, "tenantDomain")
	}
	return out, nil
}

func programmeTaken(ctx context.Context, tx *database.Tx, id string) (bool, error) {
	return tx.NewSelect().Model((*Partner)(nil)).Where("programme_id = ?", id).Exists(ctx)
}

func insert(ctx context.Context, tx *database.Tx, p *Partner) error {
	_, err := tx.NewInsert().Model(p).Exec(ctx)
	if database.IsUnique(err) { // two registrations at the same moment
		return fault.Invalid("", CodeDuplicate)
	}
	return err
}

func insertAffiliation(ctx context.Context, tx *database.Tx, a, b, by ident.ID) error {
	if b < a {
		a, b = b, a
	}
	_, err := tx.NewInsert().Model(&affiliation{PartnerID: a, AffiliateID: b, DeclaredBy: by, DeclaredAt: tx.Now}).
		On("CONFLICT (partner_id, affiliate_id) DO NOTHING").Exec(ctx)
	return err
}

func affiliated(ctx context.Context, tx *database.Tx, a, b ident.ID) (bool, error) {
	if b < a {
		a, b = b, a
	}
	return tx.NewSelect().Model((*affiliation)(nil)).Where("partner_id = ? AND affiliate_id = ?", a, b).Exists(ctx)
}

// meet reads partners by their ids inside a scope, and who looks like one house
// with a company, in one round trip.
func meet(ctx context.Context, tx *database.Tx, s access.Scope, ids []ident.ID, f Facts) (seen map[ident.ID]*Partner, kin []*Partner, err error) {
	var rows []*Partner
	queries := []*bun.SelectQuery{within(tx, &rows, s, "partner.id", ids)}
	if f != (Facts{}) {
		queries = append(queries, house(tx, &kin, f))
	}
	err = tx.Select(database.Prepared(ctx), queries...)
	seen = make(map[ident.ID]*Partner, len(rows))
	for _, p := range rows {
		seen[p.ID] = p
	}
	return seen, kin, err
}

// house looks for each way of telling by its own index.
func house(tx *database.Tx, rows *[]*Partner, f Facts) *bun.SelectQuery {
	by := tx.NewSelect().TableExpr("partner AS p").ColumnExpr("p.id").Where("p.country = ? AND p.legal_name_folded = ? AND p.legal_name_folded <> ''", f.Country, f.NameFolded)
	if f.RegistrableDomain != "" {
		by = by.Union(tx.NewSelect().TableExpr("partner AS p").ColumnExpr("p.id").Where("p.registrable_domain = ?", f.RegistrableDomain))
	}
	if f.Domain != "" {
		by = by.Union(tx.NewSelect().TableExpr("partner AS p").ColumnExpr("p.id").Where("p.tenant_domain = ?", f.Domain))
	}
	if f.RegistrationIDFolded != "" {
		by = by.Union(tx.NewSelect().TableExpr("partner AS p").ColumnExpr("p.id").
			Where("p.country = ? AND p.registration_id_folded = ? AND p.registration_id_folded <> ''", f.Country, f.RegistrationIDFolded))
	}
	return tx.NewSelect().Model(rows).Where("partner.id IN (?)", by).OrderExpr("partner.id")
}

func declared(ctx context.Context, tx *database.Tx, some, others []ident.ID) (bool, error) {
	if len(some) == 0 || len(others) == 0 {
		return false, nil
	}
	return tx.NewSelect().Model((*affiliation)(nil)).Where("(partner_id IN (?0) AND affiliate_id IN (?1)) OR (partner_id IN (?1) AND affiliate_id IN (?0))",
		bun.List(some), bun.List(others)).Exists(ctx)
}

func list(ctx context.Context, db *database.DB, s access.Scope, pq page.Query, f Filter) (*page.Connection[*Partner], error) {
	base := func(model any) *bun.SelectQuery {
		q := db.Read().NewSelect().Model(model).ApplyQueryBuilder(s.Partners("partner"))
		if f.Kind != nil {
			q = q.Where("partner.kind = ?", *f.Kind)
		}
		if len(f.Kinds) > 0 {
			q = q.Where("partner.kind IN (?)", bun.List(f.Kinds))
		}
		if f.Status != nil {
			q = q.Where("partner.status = ?", *f.Status)
		}
		if f.Region != nil {
			q = q.Where("partner.region = ?", *f.Region)
		}
		if f.Country != nil {
			q = q.Where("partner.country = ?", *f.Country)
		}
		if f.Search != nil && *f.Search != "" {
			// names are stored without their legal form, which people type
			q = q.Where("(? OR partner.legal_name_folded = ? OR ?)", database.HasPrefix("partner.legal_name_folded", address.Fold(*f.Search)),
				address.FoldCompany(*f.Search), database.HasPrefix("partner.tenant_domain", strings.ToLower(strings.TrimSpace(*f.Search))))
		}
		return q
	}
	var rows []*Partner
	if err := database.Keyset(base(&rows), pq, "partner.id").Scan(ctx); err != nil {
		return nil, err
	}
	key := func(p *Partner) (any, ident.ID) { return p.LegalNameFolded, p.ID }
	if pq.Order.Name == "CREATED_AT" {
		key = func(p *Partner) (any, ident.ID) { return p.CreatedAt, p.ID }
	}
	return page.Build(pq, rows, key, func(ctx context.Context) (int, error) {
		return database.CountCapped(ctx, db.Read(), base((*Partner)(nil)))
	}), nil
}
