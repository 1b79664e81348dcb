package customer

import (
	"context"
	"strings"

	"github.com/uptrace/bun"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/address"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/export"
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

// listing selects the customers of a list, narrowed but not yet bound to the
// scope, and tells the table that it is read along, with its id of the
// customer.
func (f Filter) listing(idb bun.IDB, s access.Scope, model any) (q *bun.SelectQuery, table, id string) {
	lead := f.lead(s)
	q = idb.NewSelect().Model(model)
	table, id = "customer", "customer.id"
	if lead != "" {
		table, id = "lead", "lead.customer_id"
		q = q.Join("JOIN relationship AS lead ON lead.customer_id = customer.id AND lead.partner_id = ? AND lead.status = 'ACTIVE'", lead)
	}
	with := strings.NewReplacer("%[1]s", "lead", "%[2]s", "other").Replace(sharing)
	for _, other := range []*ident.ID{f.ResellerID, f.ProviderID} {
		if other != nil && *other != lead {
			q = q.Where("EXISTS (SELECT 1 FROM relationship AS other WHERE other.customer_id = lead.customer_id AND other.partner_id = ? AND other.status = 'ACTIVE' AND "+with+")", *other)
		}
	}
	own := s.Partner()
	if own != "" && !s.All() && own != lead {
		q = q.Where("EXISTS (SELECT 1 FROM relationship AS other WHERE other.customer_id = lead.customer_id AND other.partner_id = ? AND other.status = 'ACTIVE' AND "+with+")", own)
	}
	if lacks := f.LacksReseller; lacks != nil {
		has := "EXISTS (SELECT 1 FROM relationship AS other WHERE other.customer_id = " + id + " AND other.kind = 'RESELLER' AND other.status = 'ACTIVE'"
		switch {
		case f.ResellerID != nil: // all of them have one
			has = "1 = 1"
		case lead != "":
			has += " AND " + with + ")"
		default:
			has += ")"
		}
		if *lacks {
			has = "NOT (" + has + ")"
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
	return q, table, id
}

// counter is the maintained count of a list, where there is one: the whole
// programme's, a partner's, or what a provider and a reseller have together.
func (f Filter) counter(s access.Scope) (rollup.Key, bool) {
	reseller, provider := f.ResellerID, f.ProviderID
	if f.ResellerID, f.ProviderID = nil, nil; f != (Filter{}) {
		return "", false
	}
	own := s.Partner()
	switch {
	case reseller != nil && provider != nil:
		return rollup.Pair(*provider, *reseller), s.All() || own == *provider || own == *reseller
	case s.All() && reseller == nil && provider == nil:
		return rollup.Operator, true
	case s.All() && reseller != nil:
		return rollup.Of(*reseller), true
	case s.All():
		return rollup.Of(*provider), true
	case own == "":
		return "", false
	case reseller == nil && provider == nil, reseller != nil && *reseller == own, provider != nil && *provider == own:
		return rollup.Of(own), true
	case reseller != nil:
		return rollup.Pair(own, *reseller), true
	}
	return rollup.Pair(*provider, own), true
}

// list reads a page. With counted the maintained count, where there is one, is
// read in the same statement.
// shown are the columns of fields that long lists show.
var shown = database.Columns{
	Always: "id,name_folded",
	Of: map[string]string{"__typename": "", "id": "", "domain": "domain", "createdAt": "created_at", "organization": "organization_id", "reseller": "", "seller": "", "relationships": "",
		"agreements": "", "administration": "", "subscriptions": "", "companyName": "company_name", "country": "country", "region": "region",
		"registrationId": "registration_id", "billingEmail": "billing_email", "phone": "phone", "locale": "locale", "isAzureType": "azure_type", "status": "status",
		"hasAgreement": "agreed_at", "agreedAt": "agreed_at", "version": "version", "updatedAt": "updated_at"},
}

// Showing is what has to be read of customers for fields of the API.
func Showing(fields []string) database.Shown { return shown.Showing(fields) }

func list(ctx context.Context, db *database.DB, s access.Scope, pq page.Query, f Filter, view View) (*page.Connection[*Customer], error) {
	var rows []*Customer
	q, table, id := f.listing(db.ReadPrepared(), s, &rows)
	switch pq.Order.Name {
	case string(ByDomain):
		view.Shown = view.Shown.With("domain")
	case string(ByCreated):
		q = q.ColumnExpr("?.created_at AS since_at", bun.Ident(table))
	}
	if lead := f.lead(s); lead != "" && lead == s.Partner() && !s.All() { // its rows are the reader's own side
		q = view.Shown.Of(q, "customer").ColumnExpr("lead.kind AS own_kind, lead.counterpart_id AS own_counterpart_id")
	} else {
		q = within(view.Shown.Of(q, "customer"), s)
	}
	counter, kept := f.counter(s)
	if kept && view.Counted {
		q = q.ColumnExpr("(?) AS list_total", rollup.Customers(db.Read(), counter))
	}
	if err := database.Keyset(q, pq, id).Scan(ctx); err != nil {
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
		all, _, _ := f.listing(db.Read(), s, (*Customer)(nil))
		return database.CountCapped(ctx, db.Read(), all.ApplyQueryBuilder(Visible(s, "customer.id")))
	})
	switch {
	case kept && view.Counted && len(rows) > 0:
		out.Exactly(func(context.Context) (int, error) { return rows[0].ListTotal, nil })
	case kept:
		out.Exactly(func(ctx context.Context) (int, error) {
			counts, err := rollup.Read(ctx, db.Read(), []rollup.Key{counter})
			return int(counts[counter].Customers), err
		})
	}
	return out, nil
}

// countExported counts the customers of a file, stopping at a limit.
func countExported(ctx context.Context, idb bun.IDB, s access.Scope, f Filter, file *export.File, limit int) (n int, err error) {
	some, table, _ := f.listing(idb, s, (*Customer)(nil))
	some = some.ApplyQueryBuilder(Visible(s, "customer.id")).Where("? <= ?", bun.Ident(table+".created_at"), file.CreatedAt).ColumnExpr("1").Limit(int64(limit))
	return n, idb.NewSelect().TableExpr("(?) AS counted", some).ColumnExpr("count(*)").Scan(ctx, &n)
}

// exportedCustomers reads the next customers of a file.
func exportedCustomers(ctx context.Context, idb bun.IDB, s access.Scope, f Filter, file *export.File, limit int) ([]*Customer, error) {
	var rows []*Customer
	q, table, id := f.listing(idb, s, &rows)
	q = within(q.ColumnExpr("?TableColumns"), s).ColumnExpr("?.created_at AS since_at", bun.Ident(table))
	err := file.Beyond(q, table+".created_at", id).Limit(int64(limit)).Scan(ctx)
	return rows, err
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
