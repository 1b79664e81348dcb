package account

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/audit"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/internal/page"
	"github.com/channelgraph/channelgraph/internal/secret"
)

const day = 24 * time.Hour

// mintToken makes a token of a user who may read the own profile by it.
func (w *world) mintToken(u *User, name string, change ...func(*CreateTokenInput)) (*Token, string) {
	w.t.Helper()
	in := CreateTokenInput{Name: name, Scopes: []access.Permission{access.PermViewerRead}}
	for _, c := range change {
		c(&in)
	}
	t, s, again, err := w.CreateToken(w.ctx, w.as(u), in)
	if err != nil || again {
		w.t.Fatal(t, again, err)
	}
	return t, s.Reveal()
}

// via is the actor behind a token.
func (w *world) via(token string) access.Actor {
	w.t.Helper()
	p, _, err := w.AuthenticateToken(w.ctx, token, home)
	if err != nil {
		w.t.Fatal(err)
	}
	a, err := access.Load(w.ctx, w.db.Read(), p)
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

func (w *world) wantDead(token string, from netip.Addr) {
	w.t.Helper()
	p, t, err := w.AuthenticateToken(w.ctx, token, from)
	f := fault.As(err)
	if f == nil || f.Code != CodeTokenInvalid || f.Kind != fault.KindUnauthenticated || len(f.Problems) != 0 || t != nil || p.UserID != "" || p.TokenID != "" {
		w.t.Errorf("got %+v %v, %v; want nothing but TOKEN_INVALID", p, t, err)
	}
}

func TestTokenLife(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	token, value := w.mintToken(w.global, "  Nightly   export ", func(in *CreateTokenInput) {
		in.Scopes = []access.Permission{access.PermAuditRead, access.PermViewerRead, access.PermAuditRead}
	})
	if token.Name != "Nightly export" || token.ExpiresAt.Sub(token.CreatedAt) != 90*day || token.UserID != w.global.ID || token.OrganizationID != w.provider.ID ||
		!slices.Equal(token.Scopes, []access.Permission{access.PermViewerRead, access.PermAuditRead}) || len(token.Networks) != 0 || token.LastUsedAt != nil {
		t.Errorf("got %+v", token)
	}
	if !secret.IsChecked(value, TokenPrefix) || token.TokenHash != secret.Hash(value) {
		t.Errorf("the value %s is not the token's", value)
	}
	if e := w.audited("token.created"); len(e) != 1 || e[0].TargetID != token.ID || e[0].ActorID != w.global.ID || e[0].OrganizationID != w.provider.ID {
		t.Errorf("audit: %+v", e)
	}

	p, seen, err := w.AuthenticateToken(w.ctx, value, away)
	if err != nil || p.UserID != w.global.ID || p.TokenID != token.ID || p.SessionID != "" || !p.SudoUntil.IsZero() || p.IPPrefix != "198.51.100.0/24" || seen.ID != token.ID {
		t.Errorf("got %+v, %+v, %v", p, seen, err)
	}
	a := w.via(value)
	if !a.ViaToken() || !a.Can(access.PermAuditRead) || a.Can(access.PermUserRead) || a.Name != w.global.DisplayName() {
		t.Errorf("got %+v", a)
	}

	// Its last use is written at most once a minute.
	used := func() time.Time {
		t.Helper()
		found, err := w.TokensByIDs(w.ctx, w.as(w.global), []ident.ID{token.ID})
		if err != nil || found[token.ID] == nil || found[token.ID].LastUsedAt == nil {
			t.Fatal(found, err)
		}
		return *found[token.ID].LastUsedAt
	}
	first := used()
	w.db.Clock().Advance(30 * time.Second)
	w.via(value)
	if !used().Equal(first) {
		t.Error("a use was written twice within a minute")
	}
	w.db.Clock().Advance(31 * time.Second)
	w.via(value)
	if used().Sub(first) < time.Minute {
		t.Error("a use after a minute was not written")
	}

	w.db.Clock().Advance(90*day - 62*time.Second)
	w.via(value) // the last seconds
	w.db.Clock().Advance(2 * time.Second)
	w.wantDead(value, home)
	if s := token.State(w.db.Now()); s != TokenExpired {
		t.Errorf("it is %s", s)
	}
}

func TestCreateTokenInput(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	helper := w.add(w.provider, "hugo@nordwind.example", access.HelpdeskAgent)
	many := make([]string, MaxTokenNetworks+1)
	for i := range many {
		many[i] = fmt.Sprintf("10.0.%d.0/24", i)
	}
	for name, c := range map[string]struct {
		change func(*CreateTokenInput)
		path   string
		code   string
	}{
		"no name":          {func(in *CreateTokenInput) { in.Name = "  " }, "name", fault.CodeRequired},
		"long name":        {func(in *CreateTokenInput) { in.Name = strings.Repeat("a", 51) }, "name", fault.CodeTooLong},
		"hidden name":      {func(in *CreateTokenInput) { in.Name = "a\u202eb" }, "name", fault.CodeControlChars},
		"link in name":     {func(in *CreateTokenInput) { in.Name = "see evil.com" }, "name", "LINK_NOT_ALLOWED"},
		"no scope":         {func(in *CreateTokenInput) { in.Scopes = nil }, "scopes", fault.CodeRequired},
		"unknown scope":    {func(in *CreateTokenInput) { in.Scopes = append(in.Scopes, "everything") }, "scopes.1", CodeScopeUnknown},
		"scope not held":   {func(in *CreateTokenInput) { in.Scopes = append(in.Scopes, access.PermUserManage) }, "scopes.1", CodeScopeNotHeld},
		"too many scopes":  {func(in *CreateTokenInput) { in.Scopes = make([]access.Permission, 200) }, "scopes", fault.CodeTooMany},
		"no day":           {func(in *CreateTokenInput) { in.ExpiresInDays = ptr(0) }, "expiresInDays", CodeTokenLife},
		"never":            {func(in *CreateTokenInput) { in.ExpiresInDays = ptr(-1) }, "expiresInDays", CodeTokenLife},
		"too long":         {func(in *CreateTokenInput) { in.ExpiresInDays = ptr(MaxTokenDays + 1) }, "expiresInDays", CodeTokenLife},
		"no network":       {func(in *CreateTokenInput) { in.Networks = []string{"192.0.2.0/24", "office"} }, "networks.1", CodeNetworkInvalid},
		"bits":             {func(in *CreateTokenInput) { in.Networks = []string{"192.0.2.0/33"} }, "networks.0", CodeNetworkInvalid},
		"zone":             {func(in *CreateTokenInput) { in.Networks = []string{"fe80::1%eth0"} }, "networks.0", CodeNetworkInvalid},
		"half mapped":      {func(in *CreateTokenInput) { in.Networks = []string{"::ffff:0.0.0.0/90"} }, "networks.0", CodeNetworkInvalid},
		"too many":         {func(in *CreateTokenInput) { in.Networks = many }, "networks", fault.CodeTooMany},
		"key out of range": {func(in *CreateTokenInput) { in.IdempotencyKey = ptr("é") }, "idempotencyKey", fault.CodeInvalid},
	} {
		in := CreateTokenInput{Name: "CI", Scopes: []access.Permission{access.PermViewerRead}}
		c.change(&in)
		_, value, _, err := w.CreateToken(w.ctx, w.as(helper), in)
		if f := fault.As(err); f == nil || f.Kind != fault.KindInvalid || len(f.Problems) != 1 || f.Problems[0].Code != c.code ||
			strings.Join(f.Problems[0].Path, ".") != "input."+c.path || value != "" {
			t.Errorf("%s: got %v, want %s at %s", name, err, c.code, c.path)
		}
	}
	_, _, _, err := w.CreateToken(w.ctx, w.as(helper), CreateTokenInput{ExpiresInDays: ptr(0), Networks: []string{"x"}})
	if f := fault.As(err); f == nil || len(f.Problems) != 4 {
		t.Errorf("not all that is wrong is told at once: %v", err)
	}
	if n := len(w.audited("token.created")); n != 0 {
		t.Errorf("%d tokens were made", n)
	}
	made, _ := w.mintToken(helper, "CI", func(in *CreateTokenInput) {
		in.ExpiresInDays = ptr(MaxTokenDays)
		in.Networks = []string{" 192.0.2.77/24", "192.0.2.0/24", "2001:db8::1", "::ffff:198.51.100.0/120", "203.0.113.9"}
	})
	if !slices.Equal(made.Networks, []string{"192.0.2.0/24", "2001:db8::1/128", "198.51.100.0/24", "203.0.113.9/32"}) || made.ExpiresAt.Sub(made.CreatedAt) != 366*day {
		t.Errorf("got %+v", made)
	}
}

// Minting is for a person who has just proved the password.
func TestCreateTokenActor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, value := w.mintToken(w.global, "Everything", func(in *CreateTokenInput) { in.Scopes = w.as(w.global).Capabilities() })
	forged := access.Actor{UserID: w.global.ID, OrganizationID: w.provider.ID, Kind: access.IndirectProvider, Roles: []access.Role{access.GlobalAdmin}}
	for name, c := range map[string]struct {
		actor access.Actor
		code  string
	}{
		"nobody":  {access.Anonymous("en", ""), fault.CodeUnauthenticated},
		"forged":  {forged, fault.CodeUnauthenticated},
		"system":  {access.System("test"), fault.CodeUnauthenticated},
		"a token": {w.via(value), access.CodeTokenNotAllowed},
		"stale":   {w.with(w.global, "", -time.Second), fault.CodeSudoRequired},
	} {
		_, s, _, err := w.CreateToken(w.ctx, c.actor, CreateTokenInput{Name: "New", Scopes: []access.Permission{access.PermViewerRead}})
		if !fault.Is(err, c.code) || s != "" {
			t.Errorf("%s: got %v, want %s", name, err, c.code)
		}
	}
	late := w.as(w.global)
	_, err := w.DisableUser(w.ctx, w.as(w.add(w.provider, "gus@nordwind.example", access.GlobalAdmin)), w.global.ID)
	wantNil(t, err)
	_, _, _, err = w.CreateToken(w.ctx, late, CreateTokenInput{Name: "New", Scopes: []access.Permission{access.PermViewerRead}})
	wantCode(t, err, fault.CodeUnauthenticated)
}

// What changes how a person signs in, and all that asks for a fresh
// authentication, is refused to a token that may everything else.
func TestTokenIsNoPerson(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := w.add(w.provider, "olga@nordwind.example")
	session, s := w.signIn(w.global)
	token, value := w.mintToken(w.global, "Everything", func(in *CreateTokenInput) { in.Scopes = w.as(w.global).Capabilities() })
	a := w.via(value)
	for name, act := range map[string]func() error{
		"reauthenticate": func() error { _, _, err := w.Reauthenticate(w.ctx, a, session.Reveal(), good, home); return err },
		"change password": func() error {
			_, err := w.ChangePassword(w.ctx, a, session.Reveal(), good, "another velvet tractor 9")
			return err
		},
		"end a session":         func() error { return w.EndSession(w.ctx, a, s.ID) },
		"end other sessions":    func() error { _, err := w.EndOtherSessions(w.ctx, a); return err },
		"end a user's sessions": func() error { _, err := w.EndUserSessions(w.ctx, a, other.ID); return err },
		"set roles": func() error {
			_, err := w.SetUserRoles(w.ctx, a, SetUserRolesInput{UserID: other.ID, Roles: []access.Role{access.GlobalAdmin}})
			return err
		},
		"invite an admin": func() error {
			_, _, err := w.InviteUser(w.ctx, a, InviteUserInput{Email: "new@nordwind.example", Roles: []access.Role{access.GlobalAdmin}})
			return err
		},
		"update profile": func() error {
			_, err := w.UpdateProfile(w.ctx, a, UpdateProfileInput{FirstName: ptr("Eve")})
			return err
		},
		"create a token": func() error {
			_, _, _, err := w.CreateToken(w.ctx, a, CreateTokenInput{Name: "Child", Scopes: []access.Permission{access.PermViewerRead}})
			return err
		},
		"revoke a token": func() error { _, err := w.RevokeToken(w.ctx, a, token.ID); return err },
	} {
		if err := act(); !fault.Is(err, access.CodeTokenNotAllowed) || fault.KindOf(err) != fault.KindForbidden {
			t.Errorf("%s: got %v, want TOKEN_NOT_ALLOWED", name, err)
		}
	}
	if !w.alive(session) || w.reload(w.global).FirstName != "Gina" {
		t.Error("a token did something")
	}

	// Plain work goes by the scopes.
	_, _, err := w.InviteUser(w.ctx, a, InviteUserInput{Email: "new@nordwind.example"})
	wantNil(t, err)
	_, err = w.ListSessions(w.ctx, a)
	wantNil(t, err)
	_, small := w.mintToken(w.global, "Small", func(in *CreateTokenInput) { in.Scopes = []access.Permission{access.PermAuditRead} })
	b := w.via(small)
	_, err = w.ListSessions(w.ctx, b)
	wantCode(t, err, access.CodeScopeRequired)
	_, _, err = w.InviteUser(w.ctx, b, InviteUserInput{Email: "newer@nordwind.example"})
	wantCode(t, err, access.CodeScopeRequired)
	_, err = w.ListUsers(w.ctx, b, page.Args{}, UserOrder{}, UserFilter{})
	wantCode(t, err, access.CodeScopeRequired)
	_, err = w.ListTokens(w.ctx, b, page.Args{}, TokenFilter{})
	wantCode(t, err, access.CodeScopeRequired)
	if found, err := w.TokensByIDs(w.ctx, b, []ident.ID{token.ID}); err != nil || len(found) != 0 {
		t.Errorf("a token without the scope reads tokens: %v, %v", found, err)
	}
	// A role that goes takes the right out of the token at once.
	if _, err := w.SetUserRoles(w.ctx, w.as(w.add(w.provider, "gus@nordwind.example", access.GlobalAdmin)),
		SetUserRolesInput{UserID: w.global.ID, Roles: []access.Role{access.HelpdeskAgent}}); err != nil {
		t.Fatal(err)
	}
	if a := w.via(value); a.Can(access.PermUserManage) || !a.Can(access.PermViewerRead) {
		t.Errorf("may still %v", a.Capabilities())
	}
}

func TestTokenNames(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first, _ := w.mintToken(w.global, "Nightly export")
	create := func(name string) error {
		_, _, _, err := w.CreateToken(w.ctx, w.as(w.global), CreateTokenInput{Name: name, Scopes: []access.Permission{access.PermViewerRead}, ExpiresInDays: ptr(1)})
		return err
	}
	wantCode(t, create("NIGHTLY  éxport"), CodeTokenName)
	w.mintToken(w.chief, "Nightly export") // another's name is nobody's business
	_, err := w.RevokeToken(w.ctx, w.as(w.global), first.ID)
	wantNil(t, err)
	wantNil(t, create("Nightly export"))
	wantCode(t, create("Nightly export"), CodeTokenName)
	w.db.Clock().Advance(day)
	wantNil(t, create("Nightly export")) // the other one has expired

	// Of two at once, one has the name; and nobody has more than the limit.
	w.db.Clock().Advance(2 * day)
	var mu sync.Mutex
	made := 0
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			err := create("Twin")
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				made++
			} else if !fault.Is(err, CodeTokenName) {
				t.Errorf("got %v", err)
			}
		})
	}
	if wg.Wait(); made != 1 {
		t.Errorf("%d tokens of one name", made)
	}
	for i := range MaxTokens - 1 {
		wantNil(t, create(fmt.Sprint("Number ", i)))
	}
	wantCode(t, create("One more"), fault.CodeTooMany)
	w.db.Clock().Advance(day)
	wantNil(t, create("One more"))
}

func TestCreateTokenOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := CreateTokenInput{Name: "CI", Scopes: []access.Permission{access.PermViewerRead}, IdempotencyKey: ptr("k1")}
	first, value, again, err := w.CreateToken(w.ctx, w.as(w.global), in)
	if err != nil || again || value == "" {
		t.Fatal(again, err)
	}
	second, none, again, err := w.CreateToken(w.ctx, w.as(w.global), in)
	if err != nil || !again || none != "" || second.ID != first.ID || second.Name != "CI" {
		t.Errorf("got %+v, a secret: %t, %t, %v", second, none != "", again, err)
	}
	other := in
	other.Name = "Other"
	_, _, _, err = w.CreateToken(w.ctx, w.as(w.global), other)
	wantCode(t, err, fault.CodeKeyReused)
	if third, _, again, err := w.CreateToken(w.ctx, w.as(w.chief), in); err != nil || again || third.ID == first.ID {
		t.Errorf("another's key: %+v, %t, %v", third, again, err)
	}
	if n := len(w.audited("token.created")); n != 2 {
		t.Errorf("%d tokens were made, want 2", n)
	}
	w.via(value.Reveal())

	// Neither value nor hash is anywhere but in its own column.
	for _, q := range []string{"SELECT CAST(result AS text) FROM idempotency", "SELECT payload FROM job", "SELECT CAST(changed AS text) || action FROM audit_event",
		"SELECT name || CAST(scopes AS text) || CAST(networks AS text) FROM personal_token"} {
		var rows []string
		if err := w.db.Read().NewRaw(q).Scan(w.ctx, &rows); err != nil || len(rows) == 0 {
			t.Fatal(q, rows, err)
		}
		if all := strings.Join(rows, " "); strings.Contains(all, value.Reveal()[4:]) || strings.Contains(all, first.TokenHash) {
			t.Errorf("%s tells the token", q)
		}
	}
}

func TestTokenNetworks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, value := w.mintToken(w.global, "Office", func(in *CreateTokenInput) { in.Networks = []string{"192.0.2.0/24", "2001:db8:1::/48"} })
	for _, ip := range []string{"192.0.2.1", "192.0.2.255", "::ffff:192.0.2.9", "2001:db8:1::5", "2001:db8:1:ffff::1"} {
		if _, _, err := w.AuthenticateToken(w.ctx, value, netip.MustParseAddr(ip)); err != nil {
			t.Errorf("%s: %v", ip, err)
		}
	}
	for _, ip := range []string{"192.0.3.1", "2001:db8:2::1", "127.0.0.1"} {
		w.wantDead(value, netip.MustParseAddr(ip))
	}
	w.wantDead(value, netip.Addr{})
	var used int
	if err := w.db.Read().NewRaw("SELECT count(*) FROM personal_token WHERE last_used_at IS NOT NULL").Scan(w.ctx, &used); err != nil || used != 1 {
		t.Error(used, err)
	}
}

func TestRevokeToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	helper := w.add(w.provider, "hugo@nordwind.example", access.HelpdeskAgent)
	userAdmin := w.add(w.provider, "ursula@nordwind.example", access.UserAdmin)
	own, ownValue := w.mintToken(helper, "Own")
	led, ledValue := w.mintToken(helper, "Led")
	chiefs, chiefsValue := w.mintToken(w.chief, "Chief's")
	globals, globalsValue := w.mintToken(w.global, "Global's")

	for name, c := range map[string]struct {
		actor access.Actor
		id    ident.ID
		code  string
	}{
		"nobody":                    {access.Anonymous("en", ""), own.ID, fault.CodeUnauthenticated},
		"another without the right": {w.as(helper), globals.ID, fault.CodeNotFound},
		"another organization":      {w.as(w.global), chiefs.ID, fault.CodeNotFound},
		"the operator":              {w.as(w.chief), own.ID, fault.CodeNotFound},
		"unknown":                   {w.as(w.global), ident.New(ident.Token), fault.CodeNotFound},
		"of another kind":           {w.as(w.global), helper.ID, fault.CodeNotFound},
		"malformed":                 {w.as(w.global), "tok_\x00", fault.CodeNotFound},
	} {
		if _, err := w.RevokeToken(w.ctx, c.actor, c.id); !fault.Is(err, c.code) {
			t.Errorf("%s: got %v, want %s", name, err, c.code)
		}
	}
	for _, v := range []string{ownValue, ledValue, chiefsValue, globalsValue} {
		w.via(v)
	}

	// No fresh authentication is asked for: it must be quick.
	got, err := w.RevokeToken(w.ctx, w.with(helper, "", -time.Hour), own.ID)
	if err != nil || got.State(w.db.Now()) != TokenRevoked || got.RevokedByID != helper.ID {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err = w.RevokeToken(w.ctx, w.as(userAdmin), led.ID); err != nil || got.RevokedByID != userAdmin.ID {
		t.Errorf("got %+v, %v", got, err)
	}
	if again, err := w.RevokeToken(w.ctx, w.as(w.global), led.ID); err != nil || again.RevokedByID != userAdmin.ID || !again.RevokedAt.Equal(*got.RevokedAt) {
		t.Errorf("a second time: %+v, %v", again, err)
	}
	w.wantDead(ownValue, home)
	w.wantDead(ledValue, home)
	w.via(globalsValue)
	if e := w.audited("token.revoked"); len(e) != 2 || e[0].TargetID != own.ID || e[1].TargetID != led.ID || e[1].ActorID != userAdmin.ID {
		t.Errorf("audit: %+v", e)
	}
	w.db.Clock().Advance(200 * day)
	if got, err := w.RevokeToken(w.ctx, w.as(w.global), globals.ID); err != nil || got.State(w.db.Now()) != TokenExpired {
		t.Errorf("an expired one: %+v, %v", got, err)
	}
}

// A token dies with its user and does not rise again; a new password leaves it
// alone and says so.
func TestTokenAndItsUser(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	helper := w.add(w.provider, "hugo@nordwind.example", access.HelpdeskAgent)
	token, value := w.mintToken(helper, "CI")
	_, kept := w.mintToken(w.global, "CI")

	wantNil(t, w.RequestPasswordReset(w.ctx, helper.Email, home, "en"))
	w.work()
	wantNil(t, w.ResetPassword(w.ctx, w.token(PurposeReset, helper), "another velvet tractor 9", home))
	w.via(value)
	changed := func(u *User) string {
		t.Helper()
		all, err := w.mailer.BySubject(w.ctx, []ident.ID{u.ID})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range all[u.ID] {
			if m.Template == templateChanged {
				return m.Data["Tokens"]
			}
		}
		t.Fatal("no mail")
		return ""
	}
	if n := changed(helper); n != "1" {
		t.Errorf("the mail tells of %q tokens", n)
	}
	session, _ := w.signIn(w.chief)
	if _, err := w.ChangePassword(w.ctx, w.as(w.chief), session.Reveal(), good, "another velvet tractor 9"); err != nil {
		t.Fatal(err)
	}
	if n := changed(w.chief); n != "" {
		t.Errorf("without tokens the mail tells of %q", n)
	}

	_, err := w.DisableUser(w.ctx, w.as(w.global), helper.ID)
	wantNil(t, err)
	w.wantDead(value, home)
	_, err = w.EnableUser(w.ctx, w.as(w.global), helper.ID)
	wantNil(t, err)
	w.wantDead(value, home)
	w.via(kept)
	if found, err := w.TokensByIDs(w.ctx, w.as(w.global), []ident.ID{token.ID}); err != nil || found[token.ID].State(w.db.Now()) != TokenRevoked || found[token.ID].RevokedByID != w.global.ID {
		t.Errorf("got %+v, %v", found[token.ID], err)
	}
	// Whatever disabled the user, the status alone is enough.
	if _, err := w.db.Bun().NewUpdate().Table("user_account").Set("status = ?", Disabled).Where("id = ?", w.global.ID).Exec(w.ctx); err != nil {
		t.Fatal(err)
	}
	w.wantDead(kept, home)
}

func TestBadTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	token, value := w.mintToken(w.global, "CI")
	before := w.db.Queries()
	session := secret.NewToken(sessionPrefix)
	for _, bad := range []string{"", "cgp_", value[:52], value + "0", strings.ToUpper(value), "cgt" + value[3:], session.Reveal(), token.TokenHash, string(token.ID),
		strings.Repeat("cgp_", 5000), "cgp_" + strings.Repeat("\x00", 49)} {
		w.wantDead(bad, home)
	}
	if n := w.db.Queries() - before; n != 0 {
		t.Errorf("malformed tokens cost %d statements", n)
	}

	// Well formed strangers are counted by network; what works goes on working.
	stranger := func(from netip.Addr) error {
		_, _, err := w.AuthenticateToken(w.ctx, secret.NewChecked(TokenPrefix).Reveal(), from)
		return err
	}
	for i := range perNetwork.free {
		if err := stranger(home); !fault.Is(err, CodeTokenInvalid) {
			t.Fatalf("attempt %d: %v", i, err)
		}
	}
	before = w.db.Queries()
	for range 5 {
		err := stranger(home)
		if f := fault.As(err); f == nil || f.Code != fault.CodeRateLimited || f.RetryAfter <= 0 || f.RetryAfter > time.Minute {
			t.Errorf("got %v, want RATE_LIMITED", err)
		}
	}
	if n := w.db.Queries() - before; n != 10 {
		t.Errorf("five refused strangers cost %d statements, want 10 reads", n)
	}
	wantCode(t, stranger(away), CodeTokenInvalid)
	w.via(value)
	w.db.Clock().Advance(time.Minute)
	wantCode(t, stranger(home), CodeTokenInvalid)
}

func TestListTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	helper := w.add(w.provider, "hugo@nordwind.example", access.HelpdeskAgent)
	mine := map[string]ident.ID{}
	for i, c := range []struct {
		of   *User
		name string
		days int
	}{{helper, "first", 1}, {helper, "second", 30}, {w.global, "third", 30}, {w.chief, "fourth", 30}, {helper, "fifth", 30}} {
		made, _ := w.mintToken(c.of, c.name, func(in *CreateTokenInput) { in.ExpiresInDays = ptr(c.days) })
		mine[c.name] = made.ID
		w.db.Clock().Advance(time.Duration(i+1) * time.Minute)
	}
	_, err := w.RevokeToken(w.ctx, w.as(helper), mine["second"])
	wantNil(t, err)
	w.db.Clock().Advance(day)
	_, small := w.mintToken(w.global, "manager", func(in *CreateTokenInput) { in.Scopes = []access.Permission{access.PermViewerRead} })

	names := func(a access.Actor, args page.Args, f TokenFilter) (out []string) {
		t.Helper()
		c, err := w.ListTokens(w.ctx, a, args, f)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range c.Nodes() {
			out = append(out, n.Name)
		}
		if args.First == nil {
			if n, err := c.TotalCount(w.ctx); err != nil || n.Value != len(out) {
				t.Errorf("counted %+v, %v, of %v", n, err, out)
			}
		}
		return out
	}
	for what, c := range map[string]struct {
		a    access.Actor
		f    TokenFilter
		want []string
	}{
		"own":                       {w.as(helper), TokenFilter{}, []string{"fifth", "second", "first"}},
		"own, live":                 {w.as(helper), TokenFilter{State: ptr(TokenActive)}, []string{"fifth"}},
		"own, expired":              {w.as(helper), TokenFilter{State: ptr(TokenExpired)}, []string{"first"}},
		"own, revoked":              {w.as(helper), TokenFilter{State: ptr(TokenRevoked)}, []string{"second"}},
		"no such state":             {w.as(helper), TokenFilter{State: ptr(TokenState("LOST"))}, nil},
		"of the organization":       {w.as(w.global), TokenFilter{}, []string{"manager", "fifth", "third", "second", "first"}},
		"of one user":               {w.as(w.global), TokenFilter{UserID: &helper.ID}, []string{"fifth", "second", "first"}},
		"of another without right":  {w.as(helper), TokenFilter{UserID: &w.global.ID}, nil},
		"of another's organization": {w.as(w.global), TokenFilter{UserID: &w.chief.ID}, nil},
		"the operator's own only":   {w.as(w.chief), TokenFilter{}, []string{"fourth"}},
		"the operator, of others":   {w.as(w.chief), TokenFilter{UserID: &helper.ID}, nil},
		"a token without the right": {w.via(small), TokenFilter{}, []string{"manager", "third"}},
		"nobody's id":               {w.as(w.global), TokenFilter{UserID: ptr(ident.ID("usr_\x7f"))}, nil},
	} {
		if got := names(c.a, page.Args{}, c.f); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", what, got, c.want)
		}
	}
	a := w.as(w.global)
	c, err := w.ListTokens(w.ctx, a, page.Args{First: ptr(2)}, TokenFilter{})
	wantNil(t, err)
	if !c.PageInfo.HasNextPage || !slices.Equal(names(a, page.Args{First: ptr(3), After: c.PageInfo.EndCursor}, TokenFilter{}), []string{"third", "second", "first"}) {
		t.Error("the second page is not what follows the first")
	}
	_, err = w.ListTokens(w.ctx, access.Anonymous("en", ""), page.Args{}, TokenFilter{})
	wantCode(t, err, fault.CodeUnauthenticated)

	ids := []ident.ID{mine["first"], mine["third"], mine["fourth"], helper.ID, "tok_x", ident.New(ident.Token)}
	for what, c := range map[string]struct {
		a    access.Actor
		want int
	}{"own": {w.as(helper), 1}, "manager": {w.as(w.global), 2}, "operator": {w.as(w.chief), 1}, "nobody": {access.Anonymous("en", ""), 0}} {
		if found, err := w.TokensByIDs(w.ctx, c.a, ids); err != nil || len(found) != c.want {
			t.Errorf("%s: %d tokens, %v; want %d", what, len(found), err, c.want)
		}
	}
}

func TestTokenReminder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	helper := w.add(w.provider, "hugo@nordwind.example", access.HelpdeskAgent)
	_, value := w.mintToken(w.global, "Told")
	revoked, _ := w.mintToken(w.global, "Revoked")
	w.mintToken(helper, "Of a disabled user")
	w.mintToken(w.chief, "Short", func(in *CreateTokenInput) { in.ExpiresInDays = ptr(7) })
	_, err := w.RevokeToken(w.ctx, w.as(w.global), revoked.ID)
	wantNil(t, err)
	_, err = w.DisableUser(w.ctx, w.as(w.global), helper.ID)
	wantNil(t, err)
	w.via(value)

	w.db.Clock().Advance(83*day - time.Second)
	if n := w.work(); n != 0 {
		t.Errorf("%d reminders before their day", n)
	}
	w.db.Clock().Advance(time.Second)
	if n := w.work(); n != 2 {
		t.Errorf("%d reminders ran, want 2: the revoked token's was called off, the short one has none", n)
	}
	reminders := func(u *User) (n int) {
		t.Helper()
		for _, m := range w.mails(u) {
			if m == templateTokenExpiring {
				n++
			}
		}
		return n
	}
	if reminders(w.global) != 1 || reminders(helper) != 0 || reminders(w.chief) != 0 {
		t.Errorf("mails: %v, %v, %v", w.mails(w.global), w.mails(helper), w.mails(w.chief))
	}
	all, err := w.mailer.BySubject(w.ctx, []ident.ID{w.global.ID})
	wantNil(t, err)
	for _, m := range all[w.global.ID] {
		if m.Template == templateTokenExpiring && (m.Data["TokenName"] != "Told" || m.Data["LastUsedAt"] == "" || m.Locale != "it") {
			t.Errorf("got %+v", m)
		}
	}

	// A second run mails nothing more.
	again := TokenReminder{TokenID: w.via(value).TokenID}
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		_, err := outbox.Put(ctx, tx, again)
		return err
	})
	if n := w.work(); n != 1 || reminders(w.global) != 1 {
		t.Errorf("%d ran, %d mails", n, reminders(w.global))
	}
}

func TestTokensArePruned(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mintToken(w.global, "Short", func(in *CreateTokenInput) { in.ExpiresInDays = ptr(1) })
	w.mintToken(w.global, "Long")
	count := func() (n int) {
		t.Helper()
		if err := w.db.Read().NewRaw("SELECT count(*) FROM personal_token").Scan(w.ctx, &n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for _, c := range []struct {
		wait time.Duration
		left int
	}{{31*day - time.Minute, 2}, {2 * time.Minute, 1}, {89 * day, 0}} {
		w.db.Clock().Advance(c.wait)
		wantNil(t, w.Prune(w.ctx, nil, Prune{}))
		if n := count(); n != c.left {
			t.Errorf("%d tokens are left, want %d", n, c.left)
		}
	}
}

// Whoever holds a connection open learns that its right is gone.
func TestRecheck(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	helper := w.add(w.provider, "hugo@nordwind.example", access.HelpdeskAgent)
	token, value := w.mintToken(helper, "CI", func(in *CreateTokenInput) {
		in.Scopes = []access.Permission{access.PermViewerRead, access.PermPartnershipRead}
	})
	_, s := w.signIn(helper)
	byToken, bySession := w.via(value), w.with(helper, s.ID, time.Hour)
	now := func(a access.Actor) access.Actor {
		t.Helper()
		b, err := w.Recheck(w.ctx, a)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	if a := now(byToken); !a.ViaToken() || a.UserID != helper.ID || !a.Can(access.PermPartnershipRead) || a.Can(access.PermOperationRead) {
		t.Errorf("got %+v", a)
	}
	if a := now(bySession); a.ViaToken() || a.SessionID != s.ID || !a.SudoUntil.Equal(s.SudoUntil) || !a.Can(access.PermOperationRead) {
		t.Errorf("got %+v", a)
	}
	if _, err := w.SetUserRoles(w.ctx, w.as(w.global), SetUserRolesInput{UserID: helper.ID, Roles: []access.Role{access.DefaultUser}}); err != nil {
		t.Fatal(err)
	}
	if a := now(byToken); a.Can(access.PermPartnershipRead) || !a.Can(access.PermViewerRead) {
		t.Errorf("a role is gone, and yet %v", a.Capabilities())
	}
	if !now(bySession).IsAnonymous() { // other roles end the session
		t.Error("the ended session goes on")
	}
	_, err := w.RevokeToken(w.ctx, w.as(helper), token.ID)
	wantNil(t, err)
	for name, a := range map[string]access.Actor{"revoked token": byToken, "nobody": access.Anonymous("en", ""), "without session": w.as(helper),
		"system": access.System("test"), "another's session": w.with(w.global, s.ID, time.Hour)} {
		if !now(a).IsAnonymous() {
			t.Errorf("%s is still somebody", name)
		}
	}
	if e := w.audited("token.revoked"); len(e) != 1 || e[0].Outcome != audit.Done {
		t.Errorf("audit: %+v", e)
	}
}
