package access_test

import (
	"slices"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/fault"
)

// A token may what its scopes and its user's roles allow, and what asks for a
// person never.
func TestTokenActor(t *testing.T) {
	t.Parallel()
	db := world(t)
	with := func(scopes ...access.Permission) access.Actor {
		t.Helper()
		p := access.Presence{UserID: "usr_prov", SessionID: "ses_1", SudoUntil: at, TokenID: "tok_1", Scopes: scopes}
		a, err := access.Load(t.Context(), db.Read(), p)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	person := load(t, db, "usr_prov")
	for _, p := range access.Permissions {
		all, one, others := with(access.Permissions...), with(p),
			with(slices.DeleteFunc(slices.Clone(access.Permissions), func(q access.Permission) bool { return p == q })...)
		if all.Can(p) != person.Can(p) || one.Can(p) != person.Can(p) || others.Can(p) {
			t.Errorf("%s: person %t, all scopes %t, this scope %t, all but this %t", p, person.Can(p), all.Can(p), one.Can(p), others.Can(p))
		}
		want := access.CodeScopeRequired
		if !person.Can(p) {
			want = fault.CodeRoleRequired // widening the token would not help
		}
		if err := others.Require(p); !fault.Is(err, want) || fault.KindOf(err) != fault.KindForbidden {
			t.Errorf("%s: got %v, want %s", p, err, want)
		}
		if err := one.Require(p); (err == nil) != person.Can(p) {
			t.Errorf("%s: got %v", p, err)
		}
		if c := one.Capabilities(); len(c) > 1 || len(c) == 1 && c[0] != p {
			t.Errorf("%s: capabilities %v", p, c)
		}
	}
	none := with()
	if !none.ViaToken() || none.IsAnonymous() || len(none.Capabilities()) != 0 || none.TokenID != "tok_1" || none.SessionID != "" || !none.SudoUntil.IsZero() {
		t.Errorf("got %+v", none)
	}
	for name, err := range map[string]error{"sudo": none.RequireSudo(time.Time{}), "person": none.RefuseToken()} {
		if !fault.Is(err, access.CodeTokenNotAllowed) || fault.KindOf(err) != fault.KindForbidden {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if person.ViaToken() || person.RefuseToken() != nil || access.System("test").RefuseToken() != nil || access.Anonymous("en", "").ViaToken() {
		t.Error("somebody is taken for a token")
	}
	forged := access.Actor{UserID: "usr_prov", TokenID: "tok_1", Kind: access.IndirectProvider, Roles: []access.Role{access.GlobalAdmin}}
	if forged.ViaToken() || forged.Can(access.PermViewerRead) {
		t.Error("a forged token may something")
	}
	if s := none.Scope(); s.All() || s.Organization() != "org_prov" {
		t.Errorf("got %+v", s)
	}
	if disabled, err := access.Load(t.Context(), db.Read(), access.Presence{UserID: "usr_prov_DISABLED", TokenID: "tok_1", Scopes: access.Permissions}); err != nil || !disabled.IsAnonymous() {
		t.Errorf("a disabled user's token is %+v, %v", disabled, err)
	}
}
