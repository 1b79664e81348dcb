package access_test

import (
	"testing"

	"github.com/channelgraph/channelgraph/internal/access"
)

// Every cell of the matrix can be turned round, and the policy is whole again
// afterwards. It is not parallel, since the policy is the whole process's.
func TestWeaken(t *testing.T) {
	for _, k := range access.Kinds {
		for _, r := range access.RolesOf(k) {
			for _, p := range access.Permissions {
				was := access.Allowed(k, r, p)
				mend := access.Weaken(access.Weakness{Kind: k, Role: r, Permission: p})
				turned, other := access.Allowed(k, r, p), access.Allowed(k, "KING", p)
				mend()
				if turned == was || other || access.Allowed(k, r, p) != was {
					t.Errorf("%s of %s, %s: %t, turned round %t, of nobody's role %t", r, k, p, was, turned, other)
				}
			}
		}
	}
	db := world(t)
	for rule, bad := range map[string]func() bool{
		"Require":                 func() bool { return access.Anonymous("en", "").Require(access.PermPartnerRegister) == nil },
		"Load: active users only": func() bool { return !load(t, db, "usr_prov_DISABLED").IsAnonymous() },
		"Scope: bounds":           func() bool { return load(t, db, "usr_prov").Scope().All() },
		"Scope: operator":         func() bool { return !load(t, db, "usr_oper").Scope().All() },
		"Scope.ByOrganization": func() bool {
			return len(ids(t, db, "organization", load(t, db, "usr_prov").Scope().ByOrganization("organization.id"))) > 1
		},
		"Scope.ByPartner": func() bool {
			return len(ids(t, db, "partner", load(t, db, "usr_prov").Scope().ByPartner("partner.id"))) > 1
		},
		"Scope.ByUser": func() bool {
			return len(ids(t, db, "user_account", load(t, db, "usr_prov").Scope().ByUser("user_account.id"))) > 1
		},
		"Scope.Partners": func() bool { return len(ids(t, db, "partner", load(t, db, "usr_far").Scope().Partners("partner"))) > 1 },
		"Scope.Partners: own": func() bool {
			return len(ids(t, db, "partner", load(t, db, "usr_far").Scope().Partners("partner"))) == 0
		},
		"Scope: nobody": func() bool {
			return len(ids(t, db, "partner", load(t, db, "usr_cust").Scope().Partners("partner"))) > 0
		},
	} {
		before := bad()
		mend := access.Weaken(access.Weakness{Rule: rule})
		without := bad()
		mend()
		if before || !without || bad() {
			t.Errorf("%s: wrong with the rule %t, without %t, with it again %t", rule, before, without, bad())
		}
	}
}
