package webhook

import (
	"context"

	"github.com/uptrace/bun"

	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/ident"
)

// audience selects the organizations that see a subject, besides the
// operator's: the reach of each concept, as access has it.
func audience(idb bun.IDB, subject ident.ID) *bun.SelectQuery {
	of := func(table, on string) *bun.SelectQuery {
		return idb.NewSelect().TableExpr("? AS x", bun.Ident(table)).Join("JOIN partner AS side ON "+on).
			ColumnExpr("side.organization_id").Where("x.id = ?", subject)
	}
	switch subject.Kind() {
	case ident.Partnership:
		return of("partnership", "side.id IN (x.provider_id, x.reseller_id)")
	case ident.Invitation:
		return of("invitation", "side.id IN (x.inviter_id, x.invitee_id)")
	case ident.Termination:
		return idb.NewSelect().TableExpr("termination AS x").Join("JOIN partnership AS p ON p.id = x.partnership_id").
			Join("JOIN partner AS side ON side.id IN (p.provider_id, p.reseller_id)").ColumnExpr("side.organization_id").Where("x.id = ?", subject)
	case ident.Partner: // its own, and those that have or had a partnership with it
		return idb.NewSelect().TableExpr("partner AS side").ColumnExpr("side.organization_id").
			Where("side.id = ?0 OR side.id IN (SELECT reseller_id FROM partnership WHERE provider_id = ?0) "+
				"OR side.id IN (SELECT provider_id FROM partnership WHERE reseller_id = ?0)", subject)
	case ident.Enrollment: // who enrolls
		return idb.NewSelect().TableExpr("enrollment AS own").ColumnExpr("own.organization_id").Where("own.id = ?", subject)
	case ident.Customer: // itself, and the partners that it has
		return idb.NewSelect().TableExpr("customer AS own").ColumnExpr("own.organization_id").Where("own.id = ?", subject).
			UnionAll(idb.NewSelect().TableExpr("relationship AS r").Join("JOIN partner AS side ON side.id = r.partner_id").
				ColumnExpr("side.organization_id").Where("r.customer_id = ? AND r.status = 'ACTIVE'", subject))
	case ident.Grant: // who gave it, and who has it while the relationship lasts
		return idb.NewSelect().TableExpr("customer_grant AS x").Join("JOIN customer AS own ON own.id = x.customer_id").
			ColumnExpr("own.organization_id").Where("x.id = ?", subject).
			UnionAll(idb.NewSelect().TableExpr("customer_grant AS x").Join("JOIN relationship AS r ON r.id = x.relationship_id AND r.status = 'ACTIVE'").
				Join("JOIN partner AS side ON side.id = x.partner_id").ColumnExpr("side.organization_id").Where("x.id = ?", subject))
	case ident.Order: // who sells, and through whom while that one has the customer
		return of("customer_order", "side.id = x.seller_id OR side.id = x.reseller_id AND x.status NOT IN ('DRAFT', 'CANCELLED') AND "+has("x.reseller_id"))
	case ident.ProductSubscription: // whose it is, who sells and supports it, and through whom while that one has the customer
		return idb.NewSelect().TableExpr("product_subscription AS own").ColumnExpr("own.organization_id").Where("own.id = ?", subject).
			UnionAll(of("product_subscription", "side.id IN (x.seller_id, x.support_contact_id) OR side.id = x.reseller_id AND "+has("x.reseller_id")))
	case ident.Webhook:
		return idb.NewSelect().TableExpr("webhook_endpoint AS own").ColumnExpr("own.organization_id").Where("own.id = ?", subject)
	}
	return idb.NewSelect().TableExpr("partner AS side").ColumnExpr("side.organization_id").Where("1 = 0")
}

// has is the condition that a partner has the customer of x now.
func has(partner string) string {
	return "EXISTS (SELECT 1 FROM relationship AS r WHERE r.customer_id = x.customer_id AND r.partner_id = " + partner + " AND r.status = 'ACTIVE')"
}

// describe reads what messages say of a subject: ids and states. It is nil
// where the subject is of no kind that messages tell of.
func describe(ctx context.Context, tx *database.Tx, subject ident.ID) (map[string]any, error) {
	q := tx.NewSelect().Where("x.id = ?", subject)
	var row struct {
		Status, ProviderID, ResellerID, InviterID, InviteeID, PartnershipID, RequesterID string
		CustomerID, PartnerID, SellerID, OrderID                                         string
		HasAdminAccess                                                                   bool
	}
	var kind string
	switch subject.Kind() {
	case ident.Partnership:
		kind = "Partnership"
		q = q.TableExpr("partnership AS x").ColumnExpr("x.status, x.provider_id, x.reseller_id").
			ColumnExpr("x.status <> 'TERMINATED' AND x.admin_access_granted_at IS NOT NULL AND x.admin_access_withdrawn_at IS NULL AS has_admin_access")
	case ident.Invitation:
		kind = "Invitation"
		// who declined is told to nobody, as in the API
		q = q.TableExpr("invitation AS x").ColumnExpr("x.status, x.inviter_id, CASE WHEN x.status = 'ACCEPTED' THEN coalesce(x.invitee_id, '') ELSE '' END AS invitee_id")
	case ident.Termination:
		kind = "Termination"
		q = q.TableExpr("termination AS x").ColumnExpr("x.status, x.partnership_id, x.requester_id")
	case ident.Partner:
		kind = "Partner"
		q = q.TableExpr("partner AS x").ColumnExpr("x.status")
	case ident.Enrollment:
		kind = "Enrollment"
		q = q.TableExpr("enrollment AS x").ColumnExpr("x.status")
	case ident.Customer:
		kind = "Customer"
		q = q.TableExpr("customer AS x").ColumnExpr("x.status")
	case ident.Relationship:
		kind = "CustomerRelationship"
		q = q.TableExpr("relationship AS x").ColumnExpr("x.status, x.customer_id")
	case ident.Grant:
		kind = "Grant"
		q = q.TableExpr("customer_grant AS x").ColumnExpr("x.status, x.customer_id, x.partner_id")
	case ident.Order:
		kind = "Order"
		q = q.TableExpr("customer_order AS x").ColumnExpr("x.status, x.seller_id, x.reseller_id, x.customer_id")
	case ident.OrderLine:
		kind = "OrderLine"
		q = q.TableExpr("order_line AS x").ColumnExpr("x.status, x.order_id")
	case ident.ProductSubscription:
		kind = "ProductSubscription"
		// through whom it was sold is not told: who supports it may be another reseller
		q = q.TableExpr("product_subscription AS x").ColumnExpr("x.status, x.seller_id")
	default:
		return nil, nil
	}
	err := q.Scan(ctx, &row)
	if database.IsNoRows(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	out := map[string]any{"id": string(subject), "kind": kind, "status": row.Status}
	for name, id := range map[string]string{"providerId": row.ProviderID, "resellerId": row.ResellerID, "inviterId": row.InviterID,
		"inviteeId": row.InviteeID, "partnershipId": row.PartnershipID, "requesterId": row.RequesterID,
		"customerId": row.CustomerID, "partnerId": row.PartnerID, "sellerId": row.SellerID, "orderId": row.OrderID} {
		if id != "" {
			out[name] = id
		}
	}
	if kind == "Partnership" {
		out["hasAdminAccess"] = row.HasAdminAccess
	}
	return out, nil
}
