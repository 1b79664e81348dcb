package access

import (
	"context"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/ident"
)

// Presence is what a door knows of a caller before the database is asked.
type Presence struct {
	UserID    ident.ID
	SessionID ident.ID
	SudoUntil time.Time
	IPPrefix  string
	// TokenID is the personal token that the caller showed instead of a
	// session, with the scopes that bound it; a fresh authentication and a
	// session do not go with it.
	TokenID ident.ID
	Scopes  []Permission
	// Holder is the user, where the door read it in the statement that found
	// the session or token, so that both are of one moment.
	Holder *Holder
}

// Holder is what an actor is made of: a user with its organization and roles.
type Holder struct {
	ID             ident.ID `bun:"holder_id,scanonly"`
	Status         string   `bun:"holder_status,scanonly"`
	OrganizationID ident.ID `bun:"holder_organization_id,scanonly"`
	Kind           Kind     `bun:"holder_kind,scanonly"`
	FirstName      string   `bun:"holder_first_name,scanonly"`
	LastName       string   `bun:"holder_last_name,scanonly"`
	Email          string   `bun:"holder_email,scanonly"`
	Locale         string   `bun:"holder_locale,scanonly"`
	Roles          string   `bun:"holder_roles,scanonly"`
	PartnerID      ident.ID `bun:"holder_partner_id,scanonly"`
}

const holderColumns = `u.id AS holder_id, u.status AS holder_status, u.organization_id AS holder_organization_id, o.kind AS holder_kind,
	u.first_name AS holder_first_name, u.last_name AS holder_last_name, u.email AS holder_email, u.locale AS holder_locale,
	coalesce((SELECT string_agg(r.role, ',') FROM user_role AS r WHERE r.user_id = u.id), '') AS holder_roles,
	coalesce((SELECT p.id FROM partner AS p WHERE p.organization_id = o.id), '') AS holder_partner_id`

// WithHolder adds to a query the user that a column of it names, for a Holder
// of its rows.
func WithHolder(q *bun.SelectQuery, column string) *bun.SelectQuery {
	return q.Join("JOIN user_account AS u ON u.id = ?", bun.Ident(column)).Join("JOIN organization AS o ON o.id = u.organization_id").ColumnExpr(holderColumns)
}

// Load makes the actor behind a presence, with organization, kind and roles:
// of the presence's holder, or else as they are now. A user who is absent,
// disabled or not yet active is nobody.
func Load(ctx context.Context, idb bun.IDB, p Presence) (Actor, error) {
	row := p.Holder
	if row == nil {
		row = new(Holder)
		err := idb.NewSelect().TableExpr("user_account AS u").Join("JOIN organization AS o ON o.id = u.organization_id").
			ColumnExpr(holderColumns).Where("u.id = ?", p.UserID).Scan(ctx, row)
		if err != nil && !database.IsNoRows(err) {
			return Actor{}, err
		}
	}
	if row.ID == "" || row.ID != p.UserID || row.Status != "ACTIVE" && !without("Load: active users only") {
		return Anonymous("en", p.IPPrefix), nil
	}
	a := Actor{
		UserID: row.ID, OrganizationID: row.OrganizationID, PartnerID: row.PartnerID, SessionID: p.SessionID,
		Kind: row.Kind, Name: strings.TrimSpace(row.FirstName + " " + row.LastName), Email: row.Email,
		Locale: row.Locale, SudoUntil: p.SudoUntil, IPPrefix: p.IPPrefix, class: person,
	}
	if p.TokenID != "" {
		a.TokenID, a.scopes, a.SessionID, a.SudoUntil = p.TokenID, p.Scopes, "", time.Time{}
	}
	held := strings.Split(row.Roles, ",")
	for _, r := range Roles { // stable order
		if contains(held, string(r)) {
			a.Roles = append(a.Roles, r)
		}
	}
	return a, nil
}

// Filter is a predicate that a store applies to a query.
type Filter = func(bun.QueryBuilder) bun.QueryBuilder

// ByOrganization limits a query to rows where one of the columns names the
// actor's organization.
func (s Scope) ByOrganization(columns ...string) Filter {
	return s.by("Scope.ByOrganization", s.organization, columns)
}

// ByPartner limits a query to rows where one of the columns names the actor's
// partner profile.
func (s Scope) ByPartner(columns ...string) Filter {
	return s.by("Scope.ByPartner", s.partner, columns)
}

// ByUser limits a query to rows where one of the columns names the user.
func (s Scope) ByUser(columns ...string) Filter { return s.by("Scope.ByUser", s.user, columns) }

func (s Scope) by(rule string, id ident.ID, columns []string) Filter {
	return func(q bun.QueryBuilder) bun.QueryBuilder {
		if s.all || without(rule) || id == "" && without("Scope: nobody") {
			return q
		}
		if id == "" {
			return q.Where("1 = 0")
		}
		if without("Scope: second column") {
			columns = columns[:1]
		}
		return q.WhereGroup(" AND ", func(q bun.QueryBuilder) bun.QueryBuilder {
			for _, c := range columns {
				q = q.WhereOr("? = ?", bun.Ident(c), id)
			}
			return q
		})
	}
}

// Partners limits a query over partners (the alias is the table's) to the
// actor's own profile and those it has, or had, a partnership with.
func (s Scope) Partners(alias string) Filter {
	return func(q bun.QueryBuilder) bun.QueryBuilder {
		if s.all || without("Scope.Partners") || s.partner == "" && without("Scope: nobody") {
			return q
		}
		if s.partner == "" {
			return q.Where("1 = 0")
		}
		own, provider, reseller := s.partner, s.partner, s.partner
		if without("Scope.Partners: own") {
			own = ""
		}
		if without("Scope.Partners: as provider") {
			provider = ""
		}
		if without("Scope.Partners: as reseller") {
			reseller = ""
		}
		return q.Where("(?0.id = ?1 OR EXISTS (SELECT 1 FROM partnership AS reach WHERE "+
			"(reach.provider_id = ?2 AND reach.reseller_id = ?0.id) OR (reach.reseller_id = ?3 AND reach.provider_id = ?0.id)))",
			bun.Ident(alias), own, provider, reseller)
	}
}

// Organization is the only organization of a bounded scope, for INSERTs that
// must name their owner.
func (s Scope) Organization() ident.ID { return s.organization }

// Partner is the partner profile of a bounded scope.
func (s Scope) Partner() ident.ID { return s.partner }

// User is the user of a scope.
func (s Scope) User() ident.ID { return s.user }
