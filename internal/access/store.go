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
}

// Load reads the actor behind a presence: organization, kind and roles as
// they are now. A user who is absent, disabled or not yet active is nobody.
func Load(ctx context.Context, idb bun.IDB, p Presence) (Actor, error) {
	var row struct {
		ID             ident.ID
		OrganizationID ident.ID
		Kind           Kind
		FirstName      string
		LastName       string
		Email          string
		Locale         string
		Roles          string
		PartnerID      ident.ID
	}
	q := idb.NewSelect().TableExpr("user_account AS u").Join("JOIN organization AS o ON o.id = u.organization_id").
		ColumnExpr("u.id, u.organization_id, o.kind, u.first_name, u.last_name, u.email, u.locale").
		ColumnExpr("coalesce((SELECT string_agg(r.role, ',') FROM user_role AS r WHERE r.user_id = u.id), '') AS roles").
		ColumnExpr("coalesce((SELECT p.id FROM partner AS p WHERE p.organization_id = o.id), '') AS partner_id").
		Where("u.id = ?", p.UserID)
	if !without("Load: active users only") {
		q = q.Where("u.status = 'ACTIVE'")
	}
	err := q.Scan(ctx, &row)
	if database.IsNoRows(err) {
		return Anonymous("en", p.IPPrefix), nil
	}
	if err != nil {
		return Actor{}, err
	}
	a := Actor{
		UserID: row.ID, OrganizationID: row.OrganizationID, PartnerID: row.PartnerID, SessionID: p.SessionID,
		Kind: row.Kind, Name: strings.TrimSpace(row.FirstName + " " + row.LastName), Email: row.Email,
		Locale: row.Locale, SudoUntil: p.SudoUntil, IPPrefix: p.IPPrefix, class: person,
	}
	if p.TokenID != "" {
		a.TokenID, a.scopes, a.SessionID, a.SudoUntil = p.TokenID, p.Scopes, "", time.Time{}
	}
	for _, r := range Roles { // stable order
		if contains(strings.Split(row.Roles, ","), string(r)) {
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
