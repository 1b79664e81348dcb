package access_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/database/dbtest"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
)

var at = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

// world is an operator, a provider with a partnership to one of two
// resellers, and a customer without a partner profile. Users and partners are
// named after their organization.
func world(t *testing.T) *database.DB {
	t.Helper()
	db := dbtest.New(t)
	insert := func(table string, row map[string]any) {
		t.Helper()
		if _, err := db.Bun().NewInsert().Model(&row).TableExpr(table).Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for name, kind := range map[string]access.Kind{"oper": access.Operator, "prov": access.IndirectProvider, "near": access.IndirectReseller,
		"far": access.IndirectReseller, "cust": access.Customer} {
		insert("organization", map[string]any{"id": "org_" + name, "kind": string(kind), "name": name, "name_folded": name, "domain": name + ".example",
			"country": "IT", "locale": "en", "created_at": at, "updated_at": at})
		for _, status := range []string{"ACTIVE", "INVITED", "DISABLED"} {
			id := "usr_" + name
			if status != "ACTIVE" {
				id += "_" + status
			}
			insert("user_account", map[string]any{"id": id, "organization_id": "org_" + name, "email": id + "@" + name + ".example",
				"email_folded": id + "@" + name + ".example", "first_name": "Ann", "last_name": name, "name_folded": "ann " + name,
				"locale": "it", "status": status, "created_at": at, "updated_at": at})
		}
		roles := []access.Role{access.AdminAgent, access.GlobalAdmin}
		if kind == access.Operator {
			roles = []access.Role{access.OperatorAdmin}
		}
		for _, r := range roles {
			insert("user_role", map[string]any{"user_id": "usr_" + name, "role": string(r), "granted_by": "", "granted_at": at})
		}
		if kind == access.Operator || kind == access.Customer {
			continue
		}
		insert("partner", map[string]any{"id": "par_" + name, "organization_id": "org_" + name, "kind": string(kind), "status": "ACTIVE", "programme_id": name,
			"legal_name": name, "legal_name_folded": name, "tenant_domain": name + ".example", "registrable_domain": name + ".example",
			"country": "IT", "region": "EUROPE", "currency": "EUR", "created_at": at, "updated_at": at})
	}
	return db
}

func load(t *testing.T, db *database.DB, user string) access.Actor {
	t.Helper()
	a, err := access.Load(t.Context(), db.Read(), access.Presence{UserID: ident.ID(user), SessionID: "ses_1", SudoUntil: at, IPPrefix: "192.0.2.0/24"})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestLoad(t *testing.T) {
	t.Parallel()
	db := world(t)
	a := load(t, db, "usr_prov")
	if a.UserID != "usr_prov" || a.OrganizationID != "org_prov" || a.PartnerID != "par_prov" || a.Kind != access.IndirectProvider || a.SessionID != "ses_1" ||
		a.Name != "Ann prov" || a.Locale != "it" || a.IPPrefix != "192.0.2.0/24" || !slices.Equal(a.Roles, []access.Role{access.GlobalAdmin, access.AdminAgent}) {
		t.Errorf("got %+v", a)
	}
	if a.IsAnonymous() || a.IsSystem() || a.IsOperator() || !a.Has(access.AdminAgent) || a.Has(access.UserAdmin) {
		t.Error("a user is taken for something else")
	}
	if o := load(t, db, "usr_oper"); !o.IsOperator() || o.PartnerID != "" {
		t.Errorf("got %+v", o)
	}
	for _, id := range []string{"", "usr_unknown", "usr_prov_INVITED", "usr_prov_DISABLED"} {
		if a := load(t, db, id); !a.IsAnonymous() || a.UserID != "" || len(a.Capabilities()) != 0 {
			t.Errorf("%q is somebody: %+v", id, a)
		}
	}
	// A revoked role is gone at the next request.
	if _, err := db.Bun().NewDelete().Table("user_role").Where("user_id = ?", "usr_prov").Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	if a := load(t, db, "usr_prov"); len(a.Roles) != 0 || a.Can(access.PermPartnershipRequest) {
		t.Errorf("roles are left: %v", a.Roles)
	}
}

func TestRequire(t *testing.T) {
	t.Parallel()
	db := world(t)
	prov, near := load(t, db, "usr_prov"), load(t, db, "usr_near")
	for _, c := range []struct {
		name string
		a    access.Actor
		p    access.Permission
		code string
	}{
		{"provider", prov, access.PermPartnershipRequest, ""}, {"provider", prov, access.PermProviderAuthorize, fault.CodeRoleRequired},
		{"reseller", near, access.PermProviderAuthorize, ""}, {"reseller", near, access.PermPartnerRegister, fault.CodeRoleRequired},
		{"nobody", access.Anonymous("en", ""), access.PermViewerRead, fault.CodeUnauthenticated},
		{"forged", access.Actor{Kind: access.Operator, Roles: []access.Role{access.OperatorAdmin}}, access.PermPartnerRegister, fault.CodeUnauthenticated},
		{"system", access.System("test"), access.PermPartnerRegister, ""},
	} {
		err := c.a.Require(c.p)
		if c.code == "" && err != nil || c.code != "" && !fault.Is(err, c.code) {
			t.Errorf("%s, %s: got %v, want %q", c.name, c.p, err, c.code)
		}
	}
	if err := prov.RequireSudo(at); err != nil {
		t.Error(err)
	}
	if err := prov.RequireSudo(at.Add(time.Microsecond)); !fault.Is(err, fault.CodeSudoRequired) {
		t.Errorf("got %v", err)
	}
	if err := access.System("test").RequireSudo(at); err != nil {
		t.Error(err)
	}
	if c := near.Capabilities(); !slices.Contains(c, access.PermProviderAuthorize) || slices.Contains(c, access.PermPartnershipRequest) {
		t.Errorf("capabilities: %v", c)
	}
}

func TestScope(t *testing.T) {
	t.Parallel()
	db := world(t)
	row := map[string]any{"id": "psh_1", "provider_id": "par_prov", "reseller_id": "par_near", "provider_name_folded": "prov", "reseller_name_folded": "near",
		"region": "EUROPE", "status": "ACTIVE", "authorized_by_id": "usr_near", "authorized_at": at, "updated_at": at}
	if _, err := db.Bun().NewInsert().Model(&row).TableExpr("partnership").Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	forged := access.Actor{UserID: "usr_oper", OrganizationID: "org_oper", PartnerID: "par_prov", Kind: access.Operator, Roles: []access.Role{access.OperatorAdmin}}
	all := []string{"org_cust", "org_far", "org_near", "org_oper", "org_prov"}
	everyPartner := []string{"par_far", "par_near", "par_prov"}
	for _, c := range []struct {
		name                  string
		a                     access.Actor
		orgs, partners, reach []string
	}{
		{"operator", load(t, db, "usr_oper"), all, everyPartner, everyPartner},
		{"system", access.System("test"), all, everyPartner, everyPartner},
		{"provider", load(t, db, "usr_prov"), []string{"org_prov"}, []string{"par_prov"}, []string{"par_near", "par_prov"}},
		{"reseller", load(t, db, "usr_near"), []string{"org_near"}, []string{"par_near"}, []string{"par_near", "par_prov"}},
		{"sibling", load(t, db, "usr_far"), []string{"org_far"}, []string{"par_far"}, []string{"par_far"}},
		{"customer", load(t, db, "usr_cust"), []string{"org_cust"}, nil, nil},
		{"nobody", access.Anonymous("en", ""), nil, nil, nil},
		{"disabled", load(t, db, "usr_prov_DISABLED"), nil, nil, nil},
		{"forged", forged, nil, nil, nil},
		{"zero", access.Actor{}, nil, nil, nil},
	} {
		s := c.a.Scope()
		for what, x := range map[string]struct{ got, want []string }{
			"organizations":        {ids(t, db, "organization", s.ByOrganization("organization.id")), c.orgs},
			"either column":        {ids(t, db, "organization", s.ByOrganization("organization.name", "organization.id")), c.orgs},
			"partners by column":   {ids(t, db, "partner", s.ByPartner("partner.id")), c.partners},
			"partners by relation": {ids(t, db, "partner", s.Partners("partner")), c.reach},
		} {
			if !slices.Equal(x.got, x.want) {
				t.Errorf("%s sees %s %v, want %v", c.name, what, x.got, x.want)
			}
		}
		// A predicate stands beside others, not instead of them.
		if got := ids(t, db, "organization", func(q bun.QueryBuilder) bun.QueryBuilder {
			return s.ByOrganization("organization.id", "organization.name")(q.Where("organization.name = 'none'"))
		}); len(got) != 0 {
			t.Errorf("%s sees %v through another condition", c.name, got)
		}
		users := ids(t, db, "user_account", s.ByUser("user_account.id"))
		if s.All() && len(users) != 15 || !s.All() && c.a.UserID != "" && c.name != "forged" && !slices.Equal(users, []string{string(c.a.UserID)}) ||
			(c.name == "forged" || c.a.UserID == "" && !s.All()) && len(users) != 0 {
			t.Errorf("%s sees users %v", c.name, users)
		}
	}
	if a, b := load(t, db, "usr_prov").Scope(), load(t, db, "usr_near").Scope(); a.Key() == b.Key() || a.Key() == access.Anonymous("en", "").Scope().Key() {
		t.Error("two scopes have one key")
	}
	s := load(t, db, "usr_prov").Scope()
	if s.All() || s.Organization() != "org_prov" || s.Partner() != "par_prov" || s.User() != "usr_prov" {
		t.Errorf("got %+v", s)
	}
}

func ids(t *testing.T, db *database.DB, table string, f access.Filter) []string {
	t.Helper()
	var out []string
	err := db.Read().NewSelect().Table(table).ColumnExpr("?.id", bun.Ident(table)).ApplyQueryBuilder(f).OrderExpr("?.id", bun.Ident(table)).Scan(t.Context(), &out)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestActorInContext(t *testing.T) {
	t.Parallel()
	if a := access.FromContext(context.Background()); !a.IsAnonymous() {
		t.Error("an empty context has an actor")
	}
	ctx := access.WithActor(context.Background(), access.System("test"))
	if a := access.FromContext(ctx); !a.IsSystem() {
		t.Error("the actor was lost")
	}
}
