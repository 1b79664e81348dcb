package customer

import (
	"context"
	"strings"

	"github.com/uptrace/bun"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/address"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/page"
	"github.com/channelgraph/channelgraph/internal/rollup"
)

// lead is whose relationships a list of customers is read along, "" for the
// customers themselves: the one who has fewest of them. Where a provider's
// list is narrowed to a reseller it is read along the reseller's rows, so that
// nobody walks past half a million others.
func (f Filter) lead(s access.Scope) ident.ID {
	switch {
	case f.ResellerID != nil:
		return *f.ResellerID
	case s.Partner() != "" && !s.All():
		return s.Partner()
	case f.ProviderID != nil:
		return *f.ProviderID
	}
	return ""
}

func (o *Order) resolve(along bool) page.Order {
	out := page.Order{Name: string(ByName), Column: "name_folded", Sort: page.SortText}
	if o != nil {
		out.Direction = o.Direction
		switch o.Field {
		case ByDomain:
			out.Name, out.Column = string(ByDomain), "domain"
		case ByCreated:
			out.Name, out.Column, out.Sort = string(ByCreated), "created_at", page.SortTime
		}
	}
	if out.Column = "customer." + out.Column; along {
		out.Column = strings.Replace(out.Column, "customer.", "lead.", 1)
	}
	return out
}

// sharing is the condition that the rows of two partners of one customer are
// of provider and reseller who have it together.
const sharing = "(%[1]s.counterpart_id = %[2]s.partner_id OR %[2]s.counterpart_id = %[1]s.partner_id)"

func list(ctx context.Context, db *database.DB, s access.Scope, pq page.Query, f Filter) (*page.Connection[*Customer], error) {
	lead := f.lead(s)
	table, id := "customer", "customer.id"
	if lead != "" {
		table, id = "lead", "lead.customer_id"
	}
	with := strings.NewReplacer("%[1]s", "lead", "%[2]s", "other").Replace(sharing)
	narrow := func(q *bun.SelectQuery) *bun.SelectQuery {
		for _, other := range []*ident.ID{f.ResellerID, f.ProviderID} {
			if other != nil && *other != lead {
				q = q.Where("EXISTS (SELECT 1 FROM relationship AS other WHERE other.customer_id = lead.customer_id AND other.partner_id = ? AND other.status = 'ACTIVE' AND "+with+")", *other)
			}
		}
		own := s.Partner()
		if own != "" && !s.All() && own != lead {
			q = q.Where("EXISTS (SELECT 1 FROM relationship AS other WHERE other.customer_id = lead.customer_id AND other.partner_id = ? AND other.status = 'ACTIVE' AND "+with+")", own)
		}
		if own != "" && f.WithoutReseller != nil {
			has := "EXISTS (SELECT 1 FROM relationship AS other WHERE other.customer_id = lead.customer_id AND other.kind = 'RESELLER' AND other.status = 'ACTIVE' AND " + with + ")"
			if *f.WithoutReseller {
				has = "NOT " + has
			}
			q = q.Where(has)
		}
		if f.Search != nil && strings.TrimSpace(*f.Search) != "" {
			name, domain := bun.Ident(table+".name_folded"), table+".domain"
			// names are stored without their legal form, which people type
			q = q.Where("((?) OR ? = ? OR (?))", database.Begins(table+".name_folded", address.Fold(*f.Search)), name, address.FoldCompany(*f.Search),
				database.Begins(domain, strings.ToLower(strings.TrimSpace(*f.Search))))
		}
		if f.Country != nil {
			q = q.Where("? = ?", bun.Ident(table+".country"), strings.ToUpper(*f.Country))
		}
		if f.Status != nil {
			q = q.Where("customer.status = ?", *f.Status)
		}
		return q
	}
	base := func(model any) *bun.SelectQuery {
		q := db.Read().NewSelect().Model(model)
		if lead != "" {
			q = q.Join("JOIN relationship AS lead ON lead.customer_id = customer.id AND lead.partner_id = ? AND lead.status = 'ACTIVE'", lead)
		}
		return narrow(q)
	}
	var rows []*Customer
	if err := database.Keyset(within(base(&rows), s).ColumnExpr("?.created_at AS since_at", bun.Ident(table)), pq, id).Scan(ctx); err != nil {
		return nil, err
	}
	key := func(c *Customer) (any, ident.ID) { return c.NameFolded, c.ID }
	switch pq.Order.Name {
	case string(ByDomain):
		key = func(c *Customer) (any, ident.ID) { return c.Domain, c.ID }
	case string(ByCreated):
		key = func(c *Customer) (any, ident.ID) { return c.SinceAt, c.ID }
	}
	out := page.Build(pq, rows, key, func(ctx context.Context) (int, error) {
		return database.CountCapped(ctx, db.Read(), base((*Customer)(nil)).ApplyQueryBuilder(Visible(s, "customer.id")))
	})
	if lead != "" && lead == s.Partner() && f == (Filter{}) {
		out.Exactly(func(ctx context.Context) (int, error) {
			k := rollup.Of(lead)
			counts, err := rollup.Read(ctx, db.Read(), []rollup.Key{k})
			return int(counts[k].Customers), err
		})
	}
	return out, nil
}

func listGrants(ctx context.Context, db *database.DB, s access.Scope, pq page.Query, f GrantFilter) (*page.Connection[*Grant], error) {
	base := func(model any) *bun.SelectQuery {
		q := db.Read().NewSelect().Model(model).ApplyQueryBuilder(granted(s))
		if len(f.Status) > 0 {
			q = q.Where("customer_grant.status IN (?)", bun.List(f.Status))
		}
		if f.CustomerID != nil {
			q = q.Where("customer_grant.customer_id = ?", *f.CustomerID)
		}
		if f.PartnerID != nil {
			q = q.Where("customer_grant.partner_id = ?", *f.PartnerID)
		}
		if f.EndsBefore != nil {
			q = q.Where("customer_grant.ends_at < ?", *f.EndsBefore)
		}
		return q
	}
	var rows []*Grant
	if err := database.Keyset(base(&rows), pq, "customer_grant.id").Scan(ctx); err != nil {
		return nil, err
	}
	return page.Build(pq, rows, func(g *Grant) (any, ident.ID) { return g.EndsAt, g.ID }, func(ctx context.Context) (int, error) {
		return database.CountCapped(ctx, db.Read(), base((*Grant)(nil)))
	}), nil
}
