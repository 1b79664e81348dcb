package account

import (
	"slices"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/fault"
)

func TestTransitions(t *testing.T) {
	t.Parallel()
	steps := []step{stepAccept, stepDisable, stepEnable, stepReset, stepResend}
	want := map[UserStatus][]UserStatus{
		Invited:  {Active, Disabled, "", "", Invited},
		Active:   {"", Disabled, "", Active, ""},
		Disabled: {"", "", Active, "", ""},
	}
	for s, to := range want {
		for i, what := range steps {
			got, ok := s.after(what)
			if got != to[i] || ok != (to[i] != "") {
				t.Errorf("%s %s: got %q %t, want %q", s, what, got, ok, to[i])
			}
		}
	}
}

func TestGrantable(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind access.Kind
		held []access.Role
		want []access.Role
	}{
		{access.IndirectProvider, []access.Role{access.GlobalAdmin}, access.RolesOf(access.IndirectProvider)},
		{access.IndirectReseller, []access.Role{access.GlobalAdmin, access.AdminAgent}, access.RolesOf(access.IndirectReseller)},
		{access.IndirectProvider, []access.Role{access.UserAdmin}, []access.Role{access.UserAdmin, access.DefaultUser}},
		{access.IndirectProvider, []access.Role{access.AccountAdmin, access.SalesAgent}, []access.Role{access.SalesAgent, access.AccountAdmin, access.DefaultUser}},
		{access.Operator, []access.Role{access.OperatorAdmin}, access.RolesOf(access.Operator)},
		{access.Operator, []access.Role{access.Reviewer}, []access.Role{access.Reviewer, access.DefaultUser}},
		{access.IndirectProvider, nil, []access.Role{access.DefaultUser}},
	} {
		if got := Grantable(c.kind, c.held); !slices.Equal(sorted(got), sorted(c.want)) {
			t.Errorf("%s %v: got %v, want %v", c.kind, c.held, got, c.want)
		}
	}
}

func sorted(r []access.Role) []access.Role { return slices.Sorted(slices.Values(r)) }

func TestSessionLive(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	s := Session{IdleUntil: now.Add(time.Hour), AbsUntil: now.Add(2 * time.Hour)}
	if !s.Live(now) || s.Live(now.Add(time.Hour)) || s.ExpiresAt() != s.IdleUntil {
		t.Error("idle time does not end a session")
	}
	s.IdleUntil = now.Add(3 * time.Hour)
	if !s.Live(now) || s.Live(now.Add(2*time.Hour)) || s.ExpiresAt() != s.AbsUntil {
		t.Error("the lifetime does not end a session")
	}
	s.RevokedAt = &now
	if s.Live(now) {
		t.Error("a revoked session lives")
	}
}

func TestMaskEmail(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"julia@example.com": "j***@example.com", "è@example.com": "è***@example.com", "": "***", "@x": "***"} {
		if got := maskEmail(in); got != want {
			t.Errorf("%q: got %q", in, got)
		}
	}
}

func TestCodesHaveSentences(t *testing.T) {
	t.Parallel()
	for _, code := range []string{CodeSignInFailed, CodePasswordWrong, CodePasswordTooShort, CodePasswordTooLong, CodePasswordCommon, CodePasswordSimilar,
		CodeEmailNotAvailable, CodeDomainNotFree, CodeRoleNotOfKind, CodeRoleNotHeld, CodeLastAdmin, CodeSelfDisable, CodeUserState, CodeLinkUsed,
		CodeLinkExpired, CodeAlreadySetUp, fault.CodeRequired, fault.CodeTooLong, fault.CodeTooShort, fault.CodeTooMany, fault.CodeInvalid, fault.CodeConflict,
		fault.CodeNotFound, fault.CodeRateLimited, fault.CodeRoleRequired, fault.CodeSudoRequired, fault.CodeUnauthenticated} {
		if !fault.HasText(code) {
			t.Errorf("%s has no sentence in every language", code)
		}
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	org := &Organization{Kind: access.IndirectReseller, Name: "Contoso", Locale: "it"}
	in := NewUser{Email: " Julia@Example.COM ", FirstName: " Julia  Maria ", Roles: []access.Role{access.AdminAgent, access.GlobalAdmin, access.AdminAgent}}
	if err := in.Validate(org); err != nil {
		t.Fatal(err)
	}
	if in.Email != "Julia@example.com" || in.FirstName != "Julia Maria" || in.Locale != "it" || !slices.Equal(in.Roles, []access.Role{access.GlobalAdmin, access.AdminAgent}) {
		t.Errorf("got %+v", in)
	}
	bad := NewUser{Email: "nobody", FirstName: "visit www.example.com", LastName: "a\u202eb", Locale: "de", Roles: []access.Role{access.SalesAgent}, Password: "short"}
	f := fault.As(bad.Validate(org))
	got := map[string]string{}
	for _, p := range f.Problems {
		got[p.Path[1]] = p.Code
	}
	for path, code := range map[string]string{"email": "EMAIL_INVALID", "firstName": "LINK_NOT_ALLOWED", "lastName": fault.CodeControlChars,
		"locale": fault.CodeInvalid, "roles": CodeRoleNotOfKind, "password": CodePasswordTooShort} {
		if got[path] != code {
			t.Errorf("%s: got %q, want %q", path, got[path], code)
		}
	}
	wantCode(t, (&NewUser{}).Validate(org), fault.CodeRequired)
	wantCode(t, (&NewUser{Email: "a@b.example", Roles: make([]access.Role, 11)}).Validate(org), fault.CodeTooMany)
	for _, o := range []NewOrganization{
		{Kind: "X", Name: "Contoso", Domain: "contoso.example", Country: "IT"},
		{Kind: access.Operator, Name: "S.p.A.", Domain: "contoso.example", Country: "IT"},
		{Kind: access.Operator, Name: "C", Domain: "contoso.example", Country: "IT"},
		{Kind: access.Operator, Name: "Contoso", Domain: "contoso", Country: "IT"},
		{Kind: access.Operator, Name: "Contoso", Domain: "contoso.example", Country: "ZZ"},
		{Kind: access.Operator, Name: "Contoso", Domain: "contoso.example", Country: "IT", Locale: "de"},
	} {
		if o.Validate() == nil {
			t.Errorf("%+v passed", o)
		}
	}
	wantCode(t, (&UpdateProfileInput{FirstName: ptr("")}).Validate(), fault.CodeRequired)
	wantCode(t, (&UpdateProfileInput{Locale: ptr("de")}).Validate(), fault.CodeInvalid)
	wantCode(t, (&AcceptInput{FirstName: "A", LastName: "B", Password: "contoso 2026!"}).Validate("x@contoso.example"), CodePasswordSimilar)
}

func TestCleanAgent(t *testing.T) {
	t.Parallel()
	if got := cleanAgent("Browser/1.0\r\nX: \u202ey\xff"); got != "Browser/1.0X: y" {
		t.Errorf("got %q", got)
	}
	long := make([]byte, 5000)
	for i := range long {
		long[i] = 'a'
	}
	if got := cleanAgent(string(long)); len(got) != maxAgent {
		t.Errorf("got %d characters", len(got))
	}
}
