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
	case ident.Webhook:
		return idb.NewSelect().TableExpr("webhook_endpoint AS own").ColumnExpr("own.organization_id").Where("own.id = ?", subject)
	}
	return idb.NewSelect().TableExpr("partner AS side").ColumnExpr("side.organization_id").Where("1 = 0")
}

// describe reads what messages say of a subject: ids and states. It is nil
// where the subject is of no kind that messages tell of.
func describe(ctx context.Context, tx *database.Tx, subject ident.ID) (map[string]any, error) {
	q := tx.NewSelect().Where("x.id = ?", subject)
	var row struct {
		Status, ProviderID, ResellerID, InviterID, InviteeID, PartnershipID, RequesterID string
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
		"inviteeId": row.InviteeID, "partnershipId": row.PartnershipID, "requesterId": row.RequesterID} {
		if id != "" {
			out[name] = id
		}
	}
	if kind == "Partnership" {
		out["hasAdminAccess"] = row.HasAdminAccess
	}
	return out, nil
}
