package account

import (
	"context"
	"fmt"
	"net/netip"
	"regexp"
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
	"github.com/channelgraph/channelgraph/internal/mail"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/internal/page"
	"github.com/channelgraph/channelgraph/internal/secret"
)

func TestSetUp(t *testing.T) {
	t.Parallel()
	s := newService(t, cheap)
	ctx := t.Context()
	url, needed, err := s.SetupLink(ctx)
	if err != nil || !needed || !strings.HasPrefix(url, "http://localhost:8080/l/setup#cgf_") {
		t.Fatalf("got %q %t %v", url, needed, err)
	}
	_, token, _ := strings.Cut(url, "#")
	other, _, err := s.SetupLink(ctx) // another process that starts
	if err != nil || other == url {
		t.Fatalf("the second link is %q, %v", other, err)
	}
	_, token2, _ := strings.Cut(other, "#")
	in := SetUpInput{Token: token, OrganizationName: "Programme House", Domain: "operator.example", Country: "it", Email: "otto@operator.example",
		FirstName: "Otto", LastName: "Weber", Password: "programme", Locale: "it"}
	wantCode(t, s.SetUp(ctx, in), CodePasswordTooShort)
	in.Password = good
	for _, wrong := range []string{"", "cgf_x", "cgr_" + token[4:], token + "x"} {
		bad := in
		bad.Token = wrong
		wantCode(t, s.SetUp(ctx, bad), fault.CodeNotFound)
	}
	p, err := s.PreviewLink(ctx, token)
	if err != nil || p.State != LinkValid || p.Purpose != PurposeSetup {
		t.Errorf("preview: %+v %v", p, err)
	}
	second := in
	second.Token, second.Domain, second.Email = token2, "second.example", "two@second.example"
	var wg sync.WaitGroup
	errs := make([]error, 2)
	for i, in := range []SetUpInput{in, second} {
		wg.Go(func() { errs[i] = s.SetUp(ctx, in) })
	}
	wg.Wait()
	if (errs[0] == nil) == (errs[1] == nil) {
		t.Fatalf("two set-ups at once: %v, %v", errs[0], errs[1])
	}
	for _, err := range errs {
		if err != nil && !fault.Is(err, CodeAlreadySetUp) && !fault.Is(err, CodeLinkExpired) { // it may come later still
			t.Errorf("the second set-up: %v", err)
		}
	}
	if _, needed, err := s.SetupLink(ctx); needed || err != nil {
		t.Errorf("a link is offered after the set-up: %v", err)
	}
	for _, token := range []string{token, token2} {
		in.Token = token
		if err := s.SetUp(ctx, in); !fault.Is(err, CodeLinkUsed) && !fault.Is(err, CodeLinkExpired) {
			t.Errorf("a third set-up: %v", err)
		}
	}
}

func TestSetupLinkExpires(t *testing.T) {
	t.Parallel()
	s := newService(t, cheap)
	url, _, err := s.SetupLink(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.db.Clock().Advance(30 * time.Minute)
	_, token, _ := strings.Cut(url, "#")
	wantCode(t, s.SetUp(t.Context(), SetUpInput{Token: token}), CodeLinkExpired)
}

func TestFound(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := NewOrganization{Kind: access.IndirectReseller, Name: "Contoso", Domain: "Contoso.example", Country: "IT"}
	found := func(actor access.Actor, in NewOrganization) error {
		return w.db.InTx(w.ctx, func(ctx context.Context, tx *database.Tx) error {
			o, err := w.Found(ctx, tx, actor, in)
			if err == nil && (o.Domain != "contoso.example" || o.Locale != "en") {
				t.Errorf("got %+v", o)
			}
			return err
		})
	}
	wantCode(t, found(w.as(w.global), in), fault.CodeRoleRequired)
	wantCode(t, found(access.Anonymous("en", ""), in), fault.CodeUnauthenticated)
	wantNil(t, found(w.as(w.chief), in))
	wantCode(t, found(w.as(w.chief), in), CodeDomainNotFree)
}

func TestSignIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	token, s, u, err := w.SignIn(w.ctx, SignInInput{Email: " GINA@nordwind.example", Password: good, IP: home, Agent: "Browser\x00"})
	if err != nil {
		t.Fatal(err)
	}
	now := s.CreatedAt
	if u.ID != w.global.ID || u.LastSignInAt == nil || s.IPPrefix != "192.0.2.0/24" || s.Agent != "Browser" || s.AuthMethods != "password" ||
		s.TokenHash != secret.Hash(token.Reveal()) || !strings.HasPrefix(token.Reveal(), "cgt_") {
		t.Errorf("got %+v %+v", s, u)
	}
	if s.IdleUntil != now.Add(time.Hour) || s.AbsUntil != now.Add(24*time.Hour) || s.SudoUntil != now.Add(15*time.Minute) {
		t.Errorf("spans of a partner: %v %v %v", s.IdleUntil.Sub(now), s.AbsUntil.Sub(now), s.SudoUntil.Sub(now))
	}
	_, s = w.signIn(w.chief)
	if now = s.CreatedAt; s.IdleUntil != now.Add(30*time.Minute) || s.AbsUntil != now.Add(12*time.Hour) {
		t.Errorf("spans of the operator: %v %v", s.IdleUntil.Sub(now), s.AbsUntil.Sub(now))
	}
	p, found, err := w.Authenticate(w.ctx, token.Reveal())
	if err != nil || p.UserID != w.global.ID || p.SessionID != found.ID || p.SudoUntil != found.SudoUntil {
		t.Errorf("authenticate: %+v %v", p, err)
	}
	if n := len(w.audited("user.signed_in")); n != 2 {
		t.Errorf("%d sign-ins in the audit", n)
	}
	if v6, _ := netip.ParseAddr("2001:db8:1:2:3:4:5:6"); networkPrefix(v6) != "2001:db8:1::/48" || throttleNetwork(v6) != "2001:db8:1:2::/64" {
		t.Errorf("networks of %v: %s %s", v6, networkPrefix(v6), throttleNetwork(v6))
	}
	if v4 := netip.MustParseAddr("::ffff:192.0.2.9"); throttleNetwork(v4) != "192.0.2.9/32" {
		t.Errorf("a mapped address counts as %s", throttleNetwork(v4))
	}
}

// The answer and the work are the same for everybody who may not come in.
func TestSignInRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	invited := w.invite("ina@nordwind.example")
	disabled := w.add(w.provider, "dora@nordwind.example", access.DefaultUser)
	if _, err := w.DisableUser(w.ctx, w.as(w.global), disabled.ID); err != nil {
		t.Fatal(err)
	}
	var first error
	for i, c := range []struct {
		email    string
		password secret.String
	}{
		{w.global.Email, "another password"}, {"nobody@nordwind.example", good}, {"no address", good}, {invited.Email, good}, {disabled.Email, good}, {w.global.Email, ""},
	} {
		hashes, queries := w.hasher.runs.Load(), w.db.Queries()
		err := w.try(c.email, c.password, netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}))
		if n := w.hasher.runs.Load() - hashes; n != 1 {
			t.Errorf("%q costs %d hashes", c.email, n)
		}
		if n := w.db.Queries() - queries; n != 10 {
			t.Errorf("%q costs %d statements", c.email, n)
		}
		if first == nil {
			first = err
		}
		f := fault.As(err)
		if f == nil || f.Kind != fault.KindUnauthenticated || err.Error() != first.Error() {
			t.Errorf("%q: got %v", c.email, err)
		}
	}
	events := w.audited("user.sign_in")
	if len(events) != 6 || events[0].Outcome != audit.Refused || events[0].TargetID != w.global.ID || events[0].ActorKind != audit.ActorAnonymous || events[1].TargetID != "" {
		t.Errorf("%d refusals in the audit", len(events))
	}
}

func TestRehash(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before, err := passwordHash(w.ctx, w.db.Read(), w.global.ID)
	if err != nil {
		t.Fatal(err)
	}
	w.signIn(w.global)
	if same, _ := passwordHash(w.ctx, w.db.Read(), w.global.ID); same != before {
		t.Error("a current hash was replaced")
	}
	w.hasher.Memory = 16
	w.signIn(w.global)
	after, _ := passwordHash(w.ctx, w.db.Read(), w.global.ID)
	if !strings.HasPrefix(after, "$argon2id$v=19$m=16,t=1,p=1$") {
		t.Errorf("the hash is still %s", after[:30])
	}
	w.signIn(w.global)
}

func TestSessionsEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	clock := w.db.Clock()
	token, s := w.signIn(w.global)
	for range 23 { // used every hour but one second
		clock.Advance(time.Hour - time.Second)
		if !w.alive(token) {
			t.Fatal("a session in use ended early")
		}
	}
	clock.Advance(s.AbsUntil.Sub(w.db.Now()))
	if w.alive(token) {
		t.Error("a session outlives 24 hours")
	}
	token, _ = w.signIn(w.global)
	clock.Advance(time.Hour)
	if w.alive(token) {
		t.Error("a session outlives an hour without use")
	}
	token, _ = w.signIn(w.chief)
	clock.Advance(30 * time.Minute)
	if w.alive(token) {
		t.Error("an operator's session outlives half an hour without use")
	}
	for _, bad := range []string{"", "cgt_", "x", token.Reveal() + "x", strings.Repeat("x", 1000)} {
		if w.alive(secret.String(bad)) {
			t.Errorf("%q signs in", bad)
		}
	}
	token, _ = w.signIn(w.global)
	if err := w.SignOut(w.ctx, token.Reveal()); err != nil || w.alive(token) {
		t.Errorf("sign-out: %v", err)
	}
	wantNil(t, w.SignOut(w.ctx, token.Reveal()))
	wantNil(t, w.SignOut(w.ctx, "unknown"))
	if n := len(w.audited("user.signed_out")); n != 1 {
		t.Errorf("%d sign-outs in the audit", n)
	}
}

func TestUseIsWrittenOnceAMinute(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	token, s := w.signIn(w.global)
	seen := func() time.Time {
		var x Session
		if err := w.db.Read().NewSelect().Model(&x).Where("id = ?", s.ID).Scan(w.ctx); err != nil {
			t.Fatal(err)
		}
		return x.LastSeenAt.UTC()
	}
	w.db.Clock().Advance(50 * time.Second)
	w.alive(token)
	if !seen().Equal(s.LastSeenAt) {
		t.Error("written before a minute")
	}
	w.db.Clock().Advance(11 * time.Second)
	w.alive(token)
	if !seen().After(s.LastSeenAt) {
		t.Error("not written after a minute")
	}
}

func TestOwnSessions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one, s1 := w.signIn(w.global)
	two, s2 := w.signIn(w.global)
	three, _ := w.signIn(w.global)
	theirs, s4 := w.signIn(w.chief)
	me := w.with(w.global, s1.ID, 0)
	list, err := w.ListSessions(w.ctx, me)
	if err != nil || len(list) != 3 {
		t.Fatalf("%d sessions, %v", len(list), err)
	}
	wantCode(t, w.EndSession(w.ctx, me, s4.ID), fault.CodeNotFound)
	wantCode(t, w.EndSession(w.ctx, w.as(w.chief), s2.ID), fault.CodeNotFound)
	wantCode(t, w.EndSession(w.ctx, me, "ses_x"), fault.CodeNotFound)
	wantNil(t, w.EndSession(w.ctx, me, s2.ID))
	wantCode(t, w.EndSession(w.ctx, me, s2.ID), fault.CodeNotFound)
	if w.alive(two) || !w.alive(three) {
		t.Error("the wrong session ended")
	}
	if n, err := w.EndOtherSessions(w.ctx, me); n != 1 || err != nil || w.alive(three) || !w.alive(one) {
		t.Errorf("ending others: %d %v", n, err)
	}
	if _, err := w.EndUserSessions(w.ctx, w.as(w.chief), w.global.ID); !fault.Is(err, fault.CodeNotFound) {
		t.Errorf("the operator ended sessions of a provider: %v", err)
	}
	if n, err := w.EndUserSessions(w.ctx, w.as(w.global), w.global.ID); n != 1 || err != nil || w.alive(one) || !w.alive(theirs) {
		t.Errorf("ending all: %d %v", n, err)
	}
	nobody := access.Anonymous("en", "")
	if _, err := w.ListSessions(w.ctx, nobody); !fault.Is(err, fault.CodeUnauthenticated) {
		t.Error(err)
	}
	wantCode(t, w.EndSession(w.ctx, nobody, s1.ID), fault.CodeUnauthenticated)
	if _, err := w.EndOtherSessions(w.ctx, nobody); !fault.Is(err, fault.CodeUnauthenticated) {
		t.Error(err)
	}
}

func TestReauthenticate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	token, s := w.signIn(w.global)
	w.db.Clock().Advance(16 * time.Minute)
	me := w.with(w.global, s.ID, -time.Minute)
	_, _, err := w.Reauthenticate(w.ctx, me, token.Reveal(), "wrong password", home)
	wantCode(t, err, CodePasswordWrong)
	_, _, err = w.Reauthenticate(w.ctx, me, "cgt_other", good, home)
	wantCode(t, err, fault.CodeUnauthenticated)
	_, _, err = w.Reauthenticate(w.ctx, access.Anonymous("en", ""), token.Reveal(), good, home)
	wantCode(t, err, fault.CodeUnauthenticated)
	next, s2, err := w.Reauthenticate(w.ctx, me, token.Reveal(), good, home)
	if err != nil {
		t.Fatal(err)
	}
	if w.alive(token) || !w.alive(next) || s2.ID != s.ID || !s2.AbsUntil.Equal(s.AbsUntil) {
		t.Error("the token was not replaced, or the session not kept")
	}
	p, _, _ := w.Authenticate(w.ctx, next.Reveal())
	if got := p.SudoUntil.Sub(w.db.Now()); got < 14*time.Minute || got > 15*time.Minute {
		t.Errorf("the sudo window lasts %v", got)
	}
	if n := len(w.audited("user.reauthenticate")); n != 1 {
		t.Errorf("%d refusals in the audit", n)
	}
}

func TestThrottleAccountAndNetwork(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, email := range []string{w.global.Email, "nobody@nordwind.example"} { // known or not
		for range 5 {
			wantCode(t, w.try(email, "wrong password", home), CodeSignInFailed)
		}
		hashes := w.hasher.runs.Load()
		err := w.try(email, good, home)
		if f := fault.As(err); f == nil || f.Kind != fault.KindLimited || f.RetryAfter <= 0 || f.RetryAfter > time.Minute {
			t.Errorf("%s: the sixth attempt: %v", email, err)
		}
		if w.hasher.runs.Load() != hashes {
			t.Error("a limited attempt costs a hash")
		}
	}
	wantNil(t, w.try(w.global.Email, good, away)) // no malicious lockout
	w.db.Clock().Advance(time.Minute)
	wantCode(t, w.try(w.global.Email, "wrong password", home), CodeSignInFailed)
	w.db.Clock().Advance(time.Minute)
	wantCode(t, w.try(w.global.Email, good, home), fault.CodeRateLimited)
	w.db.Clock().Advance(time.Minute)
	wantNil(t, w.try(w.global.Email, good, home))
	for range 5 { // success forgave them all
		wantCode(t, w.try(w.global.Email, "wrong password", home), CodeSignInFailed)
	}
	_, err := w.db.Bun().NewDelete().Table("session").Where("1 = 1").Exec(w.ctx)
	wantNil(t, err)
	var keys []string
	wantNil(t, w.db.Read().NewSelect().Table("throttle").Column("key").Scan(w.ctx, &keys))
	for _, k := range keys {
		if strings.ContainsAny(k, "@.") || len(k) != 32 {
			t.Errorf("a throttle key tells %q", k)
		}
	}
}

func TestThrottleAccount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.signIn(w.global) // from home, a network that is known from now on
	for i := range 20 {
		wantCode(t, w.try(w.global.Email, "wrong password", netip.AddrFrom4([4]byte{203, 0, byte(i), 1})), CodeSignInFailed)
	}
	err := w.try(w.global.Email, good, away)
	if f := fault.As(err); f == nil || f.RetryAfter > 30*time.Second {
		t.Errorf("the attempt after twenty: %v", err)
	}
	wantNil(t, w.try(w.global.Email, good, home)) // the owner is not kept out
	if n := w.work(); n != 1 {
		t.Errorf("%d notices", n)
	}
	if got := w.mails(w.global); !slices.Equal(got, []string{templateNotice}) {
		t.Errorf("mails: %v", got)
	}
	w.db.Clock().Advance(30 * time.Second)
	wantNil(t, w.try(w.global.Email, good, away))
	for i := range 20 { // the same for an address that is nobody's, but for the mail
		wantCode(t, w.try("nobody@nordwind.example", good, netip.AddrFrom4([4]byte{203, 0, byte(i), 2})), CodeSignInFailed)
	}
	wantCode(t, w.try("nobody@nordwind.example", good, away), fault.CodeRateLimited)
	if n := w.work(); n != 1 {
		t.Errorf("%d notices", n)
	}
}

func TestThrottleNetwork(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	host := func(i int) netip.Addr { // one /64
		return netip.MustParseAddr(fmt.Sprintf("2001:db8::%x", i+1))
	}
	for i := range 30 {
		wantCode(t, w.try(fmt.Sprintf("u%d@nordwind.example", i), good, host(i)), CodeSignInFailed)
	}
	wantCode(t, w.try(w.global.Email, good, host(99)), fault.CodeRateLimited)
	wantNil(t, w.try(w.global.Email, good, netip.MustParseAddr("2001:db8:0:1::1")))
	w.db.Clock().Advance(time.Minute)
	wantNil(t, w.try(w.global.Email, good, host(1)))
	for range 40 { // successes do not count
		wantNil(t, w.try(w.global.Email, good, host(1)))
	}
}

func TestThrottleUnderConcurrency(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var wg sync.WaitGroup
	errs := make([]error, 12)
	for i := range errs {
		wg.Go(func() { errs[i] = w.try(w.global.Email, "wrong password", home) })
	}
	wg.Wait()
	failed, limited := 0, 0
	for _, err := range errs {
		switch {
		case fault.Is(err, CodeSignInFailed):
			failed++
		case fault.Is(err, fault.CodeRateLimited):
			limited++
		default:
			t.Error(err)
		}
	}
	if failed != 5 || limited != 7 {
		t.Errorf("%d attempts were made, %d refused", failed, limited)
	}
}

func TestOverloadChargesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.hasher.Wait = time.Millisecond
	for range cap(w.hasher.slots) {
		w.hasher.slots <- struct{}{}
	}
	for range 10 {
		wantCode(t, w.try(w.global.Email, good, home), fault.CodeBusy)
	}
	for range cap(w.hasher.slots) {
		<-w.hasher.slots
	}
	wantNil(t, w.try(w.global.Email, good, home))
}

func (w *world) invite(email string, roles ...access.Role) *User {
	w.t.Helper()
	u, job, err := w.InviteUser(w.ctx, w.as(w.global), InviteUserInput{Email: email, Roles: roles})
	if err != nil {
		w.t.Fatal(err)
	}
	if job == nil || job.Kind != (mail.Send{}).Kind() || !job.Listed || strings.Contains(job.Payload, "@") {
		w.t.Errorf("the job is %+v", job)
	}
	return u
}

func TestPasswordReset(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	session, _ := w.signIn(w.global)
	var queries int64
	for i, email := range []string{"nobody@nordwind.example", w.global.Email} {
		before := w.db.Queries()
		wantNil(t, w.RequestPasswordReset(w.ctx, email, home, "en"))
		if n := w.db.Queries() - before; i > 0 && n != queries {
			t.Errorf("a known address costs %d statements, an unknown %d", n, queries)
		} else {
			queries = n
		}
	}
	wantCode(t, w.RequestPasswordReset(w.ctx, "no address", home, "en"), "EMAIL_INVALID")
	var payloads []string
	wantNil(t, w.db.Read().NewSelect().Table("job").Column("payload").Scan(w.ctx, &payloads))
	if len(payloads) != 2 || strings.Contains(strings.Join(payloads, ""), "@") {
		t.Errorf("payloads: %q", payloads)
	}
	if n := w.work(); n != 2 {
		t.Fatalf("%d jobs", n)
	}
	if got := w.mails(w.global); !slices.Equal(got, []string{templateReset}) {
		t.Fatalf("mails: %v", got)
	}
	if n, _ := w.db.Read().NewSelect().Table("account_request").Count(w.ctx); n != 0 {
		t.Errorf("%d requests are left", n)
	}
	token := w.token(PurposeReset, w.global)
	for range 3 { // scanners look; nothing is used up
		p, err := w.PreviewLink(w.ctx, token)
		if err != nil || p.State != LinkValid || p.Email != "g***@nordwind.example" || p.OrganizationName != w.provider.Name || p.FirstName != "" {
			t.Fatalf("preview: %+v %v", p, err)
		}
	}
	hashes := w.hasher.runs.Load()
	wantCode(t, w.ResetPassword(w.ctx, token, "nordwind gina 1", home), CodePasswordSimilar)
	wantCode(t, w.ResetPassword(w.ctx, "cgr_unknown", good, home), fault.CodeNotFound)
	wantCode(t, w.AcceptUserInvitation(w.ctx, token, AcceptInput{FirstName: "G", LastName: "P", Password: good}, home), fault.CodeNotFound)
	if w.hasher.runs.Load() != hashes {
		t.Error("a refused reset costs a hash")
	}
	for range 5 {
		_ = w.try(w.global.Email, "forgotten password", away)
	}
	const next = secret.String("quiet harbour 7 pencils")
	wantNil(t, w.ResetPassword(w.ctx, token, next, away))
	if w.alive(session) {
		t.Error("a session outlives the reset")
	}
	wantCode(t, w.try(w.global.Email, good, home), CodeSignInFailed)
	wantNil(t, w.try(w.global.Email, next, away)) // waits are forgotten with the password
	if got := w.mails(w.global); !slices.Equal(got, []string{templateReset, templateChanged}) {
		t.Errorf("mails: %v", got)
	}
	wantCode(t, w.ResetPassword(w.ctx, token, next, home), CodeLinkUsed)
	p, err := w.PreviewLink(w.ctx, token)
	if err != nil || p.State != LinkUsed || p.UsedAt == nil || p.Email != "" {
		t.Errorf("preview of a used link: %+v %v", p, err)
	}
	for _, x := range []string{"", "x", "cgr_x", "cgt_x"} {
		if p, err := w.PreviewLink(w.ctx, x); err != nil || p.State != LinkUnknown {
			t.Errorf("%q: %+v %v", x, p, err)
		}
	}
}

func TestPasswordResetLinks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ask := func() string {
		t.Helper()
		wantNil(t, w.RequestPasswordReset(w.ctx, w.global.Email, home, ""))
		w.work()
		return w.token(PurposeReset, w.global)
	}
	one, two := ask(), ask()
	if one == two {
		t.Fatal("the second link is the first")
	}
	wantCode(t, w.ResetPassword(w.ctx, one, good, home), CodeLinkExpired)
	w.db.Clock().Advance(30 * time.Minute)
	wantCode(t, w.ResetPassword(w.ctx, two, good, home), CodeLinkExpired)
	if p, _ := w.PreviewLink(w.ctx, two); p.State != LinkExpired {
		t.Errorf("got %+v", p)
	}
	three := ask()
	if four := ask(); four != three {
		t.Error("a fourth link within an hour was mailed")
	}
	if len(w.mails(w.global)) != 3 {
		t.Errorf("mails: %v", w.mails(w.global))
	}
	if _, err := w.DisableUser(w.ctx, w.as(w.add(w.provider, "gus@nordwind.example", access.GlobalAdmin)), w.global.ID); err != nil {
		t.Fatal(err)
	}
	wantCode(t, w.ResetPassword(w.ctx, three, good, home), CodeLinkExpired)
	w.db.Clock().Advance(time.Hour)
	before := len(w.mails(w.global))
	ask()
	if len(w.mails(w.global)) != before {
		t.Error("a disabled user gets a link")
	}
	for i := range 10 {
		wantNil(t, w.RequestPasswordReset(w.ctx, fmt.Sprintf("u%d@nordwind.example", i), away, ""))
	}
	wantCode(t, w.RequestPasswordReset(w.ctx, "u11@nordwind.example", away, ""), fault.CodeRateLimited)
}

func TestResetOfInvitedUser(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.invite("ina@nordwind.example")
	first := w.token(PurposeInvite, u)
	wantNil(t, w.RequestPasswordReset(w.ctx, u.Email, home, ""))
	w.work()
	if got := w.mails(u); !slices.Equal(got, []string{templateInvitation, templateInvitation}) {
		t.Errorf("mails: %v", got)
	}
	in := AcceptInput{FirstName: "Ina", LastName: "Olsen", Password: good}
	wantCode(t, w.AcceptUserInvitation(w.ctx, first, in, home), CodeLinkExpired)
	wantNil(t, w.AcceptUserInvitation(w.ctx, w.token(PurposeInvite, u), in, home))
}

func TestChangePassword(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	token, s := w.signIn(w.global)
	other, _ := w.signIn(w.global)
	me := w.with(w.global, s.ID, 0)
	const next = secret.String("quiet harbour 7 pencils")
	_, err := w.ChangePassword(w.ctx, me, token.Reveal(), good, "short")
	wantCode(t, err, CodePasswordTooShort)
	_, err = w.ChangePassword(w.ctx, me, token.Reveal(), "wrong password", next)
	wantCode(t, err, CodePasswordWrong)
	_, err = w.ChangePassword(w.ctx, me, other.Reveal()+"x", good, next)
	wantCode(t, err, fault.CodeUnauthenticated)
	_, err = w.ChangePassword(w.ctx, access.Anonymous("en", ""), token.Reveal(), good, next)
	wantCode(t, err, fault.CodeUnauthenticated)
	fresh, err := w.ChangePassword(w.ctx, me, token.Reveal(), good, next)
	if err != nil {
		t.Fatal(err)
	}
	if w.alive(token) || w.alive(other) || !w.alive(fresh) {
		t.Error("the wrong sessions live on")
	}
	wantCode(t, w.try(w.global.Email, good, home), CodeSignInFailed)
	wantNil(t, w.try(w.global.Email, next, home))
	if got := w.mails(w.global); !slices.Equal(got, []string{templateChanged}) {
		t.Errorf("mails: %v", got)
	}
	if e := w.audited("user.password_changed"); len(e) != 1 || !slices.Equal(e[0].Changed, []string{"password"}) {
		t.Errorf("audit: %+v", e)
	}
	me = w.with(w.global, s.ID, 0)
	for range 5 {
		_, err = w.ChangePassword(w.ctx, me, fresh.Reveal(), "wrong password", good)
		wantCode(t, err, CodePasswordWrong)
	}
	_, err = w.ChangePassword(w.ctx, me, fresh.Reveal(), next, good)
	wantCode(t, err, fault.CodeRateLimited)
}

func TestInviteAndAccept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.invite("Ina@Nordwind.example", access.SalesAgent)
	if u.Status != Invited || u.Locale != "it" || u.EmailFolded != "ina@nordwind.example" || u.DisplayName() != "Ina@nordwind.example" {
		t.Errorf("got %+v", u)
	}
	token := w.token(PurposeInvite, u)
	p, err := w.PreviewLink(w.ctx, token)
	if err != nil || p.State != LinkValid || p.Purpose != PurposeInvite || p.OrganizationName != w.provider.Name {
		t.Errorf("preview: %+v %v", p, err)
	}
	in := AcceptInput{FirstName: "Ina", LastName: "Olsen", Password: "weak", Locale: "en"}
	wantCode(t, w.AcceptUserInvitation(w.ctx, token, in, home), CodePasswordTooShort)
	in.Password = good
	wantCode(t, w.AcceptUserInvitation(w.ctx, token, AcceptInput{Password: good}, home), fault.CodeRequired)
	var wg sync.WaitGroup
	errs := make([]error, 3)
	for i := range errs {
		wg.Go(func() { errs[i] = w.AcceptUserInvitation(w.ctx, token, in, home) })
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
		} else if !fault.Is(err, CodeLinkUsed) {
			t.Errorf("a second acceptance: %v", err)
		}
	}
	if won != 1 {
		t.Errorf("%d acceptances of one link", won)
	}
	u = w.reload(u)
	if u.Status != Active || u.DisplayName() != "Ina Olsen" || u.Locale != "en" {
		t.Errorf("got %+v", u)
	}
	wantNil(t, w.try(u.Email, good, home))
	if a := w.as(u); !a.Has(access.SalesAgent) {
		t.Errorf("roles: %v", a.Roles)
	}
	if e := w.audited("user.activated"); len(e) != 1 || e[0].ActorID != u.ID {
		t.Errorf("audit: %+v", e)
	}
}

func TestInviteRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	userAdmin := w.add(w.provider, "ursula@nordwind.example", access.UserAdmin)
	plain := w.add(w.provider, "paul@nordwind.example", access.DefaultUser)
	ask := func(a access.Actor, in InviteUserInput) error {
		_, _, err := w.InviteUser(w.ctx, a, in)
		return err
	}
	in := InviteUserInput{Email: "new@nordwind.example"}
	wantCode(t, ask(access.Anonymous("en", ""), in), fault.CodeUnauthenticated)
	wantCode(t, ask(w.as(plain), in), fault.CodeRoleRequired)
	wantCode(t, ask(access.System("test"), in), fault.CodeRoleRequired)
	for _, c := range []struct {
		who   *User
		roles []access.Role
		code  string
	}{
		{userAdmin, []access.Role{access.GlobalAdmin}, CodeRoleNotHeld},
		{userAdmin, []access.Role{access.DefaultUser, access.BillingAdmin}, CodeRoleNotHeld},
		{w.global, []access.Role{access.OperatorAdmin}, CodeRoleNotOfKind},
		{w.global, []access.Role{"KING"}, CodeRoleNotOfKind},
		{w.chief, []access.Role{access.GlobalAdmin}, CodeRoleNotOfKind},
	} {
		wantCode(t, ask(w.as(c.who), InviteUserInput{Email: "new@nordwind.example", Roles: c.roles}), c.code)
	}
	stale := w.with(w.global, "", -time.Second)
	wantCode(t, ask(stale, InviteUserInput{Email: "new@nordwind.example", Roles: []access.Role{access.BillingAdmin}}), fault.CodeSudoRequired)
	wantNil(t, ask(stale, InviteUserInput{Email: "plain@nordwind.example"}))
	wantNil(t, ask(w.as(userAdmin), InviteUserInput{Email: "second@nordwind.example", Roles: []access.Role{access.UserAdmin}}))
	// The same words whether the address is used here or by another tenant.
	here, there := ask(w.as(w.global), InviteUserInput{Email: "PAUL@nordwind.example"}), ask(w.as(w.global), InviteUserInput{Email: w.chief.Email})
	wantCode(t, here, CodeEmailNotAvailable)
	if here.Error() != there.Error() {
		t.Errorf("%v is not %v", here, there)
	}
	if n, _ := w.db.Read().NewSelect().Model((*User)(nil)).Where("organization_id = ?", w.provider.ID).Count(w.ctx); n != 5 {
		t.Errorf("%d users", n)
	}
}

func TestInviteIsIdempotent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := InviteUserInput{Email: "ina@nordwind.example", IdempotencyKey: ptr("k1")}
	u, job, err := w.InviteUser(w.ctx, w.as(w.global), in)
	if err != nil {
		t.Fatal(err)
	}
	again, same, err := w.InviteUser(w.ctx, w.as(w.global), in)
	if err != nil || again.ID != u.ID || same.ID != job.ID {
		t.Errorf("replay: %v", err)
	}
	in.Email = "other@nordwind.example"
	_, _, err = w.InviteUser(w.ctx, w.as(w.global), in)
	wantCode(t, err, fault.CodeKeyReused)
	if got := w.mails(u); len(got) != 1 {
		t.Errorf("mails: %v", got)
	}
}

func TestResendInvitation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.invite("ina@nordwind.example")
	old := w.token(PurposeInvite, u)
	stranger := w.add(w.found("other.example"), "sam@other.example", access.GlobalAdmin)
	resend := func(a access.Actor, id ident.ID) error {
		_, _, err := w.ResendUserInvitation(w.ctx, a, id)
		return err
	}
	wantCode(t, resend(w.as(stranger), u.ID), fault.CodeNotFound)
	wantCode(t, resend(w.as(w.global), w.global.ID), CodeUserState)
	wantCode(t, resend(w.as(w.global), "usr_x"), fault.CodeNotFound)
	wantNil(t, resend(w.as(w.global), u.ID))
	in := AcceptInput{FirstName: "Ina", LastName: "Olsen", Password: good}
	wantCode(t, w.AcceptUserInvitation(w.ctx, old, in, home), CodeLinkExpired)
	if m := w.message(u, 0); m != nil {
		if wanted, err := w.MailWanted(w.ctx, m); wanted || err != nil {
			t.Errorf("the mail with the dead link is wanted: %v", err)
		}
	}
	if m := w.message(u, 1); m != nil {
		if wanted, err := w.MailWanted(w.ctx, m); !wanted || err != nil {
			t.Errorf("the mail with the new link is not wanted: %v", err)
		}
	}
	wantNil(t, resend(w.as(w.chief), u.ID)) // the operator helps
	wantNil(t, resend(w.as(w.global), u.ID))
	wantCode(t, resend(w.as(w.global), u.ID), fault.CodeRateLimited)
	w.db.Clock().Advance(7 * 24 * time.Hour)
	wantCode(t, w.AcceptUserInvitation(w.ctx, w.token(PurposeInvite, u), in, home), CodeLinkExpired)
	wantNil(t, resend(w.as(w.global), u.ID))
	wantNil(t, w.AcceptUserInvitation(w.ctx, w.token(PurposeInvite, u), in, home))
	wantCode(t, resend(w.as(w.global), u.ID), CodeUserState)
}

func (w *world) message(u *User, i int) *mail.Message {
	w.t.Helper()
	all, err := w.mailer.BySubject(w.ctx, []ident.ID{u.ID})
	if err != nil || len(all[u.ID]) <= i {
		w.t.Errorf("message %d of %d: %v", i, len(all[u.ID]), err)
		return nil
	}
	return all[u.ID][i]
}

func (w *world) found(domain string) (o *Organization) {
	w.t.Helper()
	w.tx(func(ctx context.Context, tx *database.Tx) (err error) {
		o, err = w.Found(ctx, tx, access.System("test"), NewOrganization{Kind: access.IndirectReseller, Name: "Northern Lights", Domain: domain, Country: "IT"})
		return err
	})
	return o
}

func TestSetUserRoles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ursula := w.add(w.provider, "ursula@nordwind.example", access.UserAdmin)
	paul := w.add(w.provider, "paul@nordwind.example", access.DefaultUser)
	stranger := w.add(w.found("other.example"), "sam@other.example", access.GlobalAdmin)
	set := func(a access.Actor, u *User, roles ...access.Role) error {
		_, err := w.SetUserRoles(w.ctx, a, SetUserRolesInput{UserID: u.ID, Roles: roles})
		return err
	}
	wantCode(t, set(access.Anonymous("en", ""), paul, access.GlobalAdmin), fault.CodeUnauthenticated)
	wantCode(t, set(w.as(paul), paul, access.GlobalAdmin), fault.CodeRoleRequired)
	wantCode(t, set(w.with(w.global, "", -time.Second), paul, access.BillingAdmin), fault.CodeSudoRequired)
	wantCode(t, set(w.as(stranger), paul, access.BillingAdmin), fault.CodeNotFound)
	wantCode(t, set(w.as(w.chief), paul, access.Reviewer), fault.CodeNotFound) // sees, but these are not its users
	wantCode(t, set(w.as(w.global), stranger, access.BillingAdmin), fault.CodeNotFound)
	wantCode(t, set(w.as(ursula), paul, access.GlobalAdmin), CodeRoleNotHeld)
	wantCode(t, set(w.as(ursula), ursula, access.GlobalAdmin, access.UserAdmin), CodeRoleNotHeld)
	wantCode(t, set(w.as(ursula), w.global, access.DefaultUser), CodeRoleNotHeld) // nor takes
	wantCode(t, set(w.as(w.global), paul, access.Reviewer), CodeRoleNotOfKind)
	token, _ := w.signIn(paul)
	wantNil(t, set(w.as(ursula), paul, access.UserAdmin))
	if w.alive(token) {
		t.Error("a session outlives the change of its roles")
	}
	if a := w.as(paul); !slices.Equal(a.Roles, []access.Role{access.UserAdmin}) {
		t.Errorf("roles: %v", a.Roles)
	}
	u := w.reload(paul)
	token, _ = w.signIn(paul)
	_, err := w.SetUserRoles(w.ctx, w.as(w.global), SetUserRolesInput{UserID: paul.ID, Roles: []access.Role{access.BillingAdmin}, ExpectedVersion: ptr(u.Version - 1)})
	wantCode(t, err, fault.CodeConflict)
	again, err := w.SetUserRoles(w.ctx, w.as(w.global), SetUserRolesInput{UserID: paul.ID, Roles: []access.Role{access.UserAdmin}, ExpectedVersion: ptr(u.Version)})
	if err != nil || again.Version != u.Version || !w.alive(token) {
		t.Errorf("no change is a change: %v", err)
	}
	wantNil(t, set(w.as(w.global), paul)) // none is DEFAULT_USER
	// One's own roles: the session goes on, the others end.
	mine, s := w.signIn(w.global)
	other, _ := w.signIn(w.global)
	me := w.with(w.global, s.ID, time.Minute)
	wantNil(t, set(me, w.global, access.GlobalAdmin, access.SalesAgent))
	if !w.alive(mine) || w.alive(other) {
		t.Error("the wrong sessions live on")
	}
	if e := w.audited("user.roles_changed"); len(e) != 3 || !slices.Equal(e[0].Changed, []string{"roles"}) || e[0].ActorID != ursula.ID || e[0].TargetID != paul.ID {
		t.Errorf("audit: %+v", e)
	}
	wantNil(t, set(w.as(w.chief), w.add(w.operator, "rita@operator.example"), access.Reviewer))
}

func TestLastAdmin(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	set := func(a access.Actor, u *User, roles ...access.Role) error {
		_, err := w.SetUserRoles(w.ctx, a, SetUserRolesInput{UserID: u.ID, Roles: roles})
		return err
	}
	for _, c := range []struct {
		org   *Organization
		admin *User
		role  access.Role
	}{{w.provider, w.global, access.GlobalAdmin}, {w.operator, w.chief, access.OperatorAdmin}} {
		wantCode(t, set(w.as(c.admin), c.admin, access.DefaultUser), CodeLastAdmin)
		_, err := w.DisableUser(w.ctx, w.as(c.admin), c.admin.ID)
		wantCode(t, err, CodeSelfDisable)
		// An invited administrator is none yet.
		invited, _, err := w.InviteUser(w.ctx, w.as(c.admin), InviteUserInput{Email: "inv@" + c.org.Domain, Roles: []access.Role{c.role}})
		wantNil(t, err)
		wantCode(t, set(w.as(c.admin), c.admin, access.DefaultUser), CodeLastAdmin)
		wantNil(t, set(w.as(c.admin), invited, access.DefaultUser))
		second := w.add(c.org, "second@"+c.org.Domain, c.role)
		// Each removes the other at once: one has to stay.
		var wg sync.WaitGroup
		errs := make([]error, 2)
		one, two := w.as(c.admin), w.as(second)
		wg.Go(func() { errs[0] = set(one, second, access.DefaultUser) })
		wg.Go(func() { _, errs[1] = w.DisableUser(w.ctx, two, c.admin.ID) })
		wg.Wait()
		if (errs[0] == nil) == (errs[1] == nil) || !fault.Is(errs[0], CodeLastAdmin) && !fault.Is(errs[1], CodeLastAdmin) {
			t.Errorf("both at once: %v, %v", errs[0], errs[1])
		}
		admins, err := w.Recipients(w.ctx, w.db.Read(), c.org.ID, c.role)
		if err != nil || len(admins) != 1 {
			t.Errorf("%d administrators are left, %v", len(admins), err)
		}
	}
}

func TestDisableAndEnable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ursula := w.add(w.provider, "ursula@nordwind.example", access.UserAdmin)
	paul := w.add(w.provider, "paul@nordwind.example", access.DefaultUser)
	other := w.add(w.provider, "olga@nordwind.example", access.GlobalAdmin)
	stranger := w.add(w.found("other.example"), "sam@other.example", access.GlobalAdmin)
	disable := func(a access.Actor, u *User) error { _, err := w.DisableUser(w.ctx, a, u.ID); return err }
	enable := func(a access.Actor, u *User) error { _, err := w.EnableUser(w.ctx, a, u.ID); return err }
	for _, act := range []func(access.Actor, *User) error{disable, enable} {
		wantCode(t, act(access.Anonymous("en", ""), paul), fault.CodeUnauthenticated)
		wantCode(t, act(w.as(paul), ursula), fault.CodeRoleRequired)
		wantCode(t, act(w.as(stranger), paul), fault.CodeNotFound)
		wantCode(t, act(w.as(w.chief), paul), fault.CodeNotFound)
	}
	wantCode(t, disable(w.as(ursula), other), CodeRoleNotHeld)
	wantCode(t, enable(w.as(w.global), paul), CodeUserState)
	token, _ := w.signIn(paul)
	wantNil(t, disable(w.as(ursula), paul))
	wantCode(t, disable(w.as(ursula), paul), CodeUserState)
	if w.alive(token) {
		t.Error("a session outlives its user")
	}
	a, err := access.Load(w.ctx, w.db.Read(), access.Presence{UserID: paul.ID})
	if err != nil || !a.IsAnonymous() {
		t.Error("a disabled user acts")
	}
	wantCode(t, w.try(paul.Email, good, home), CodeSignInFailed)
	wantNil(t, enable(w.as(ursula), paul))
	if w.alive(token) {
		t.Error("an ended session came back")
	}
	wantNil(t, w.try(paul.Email, good, home))
	wantNil(t, disable(w.as(w.global), other))
	wantCode(t, enable(w.as(ursula), other), CodeRoleNotHeld)
	wantNil(t, enable(w.as(w.global), other))
	// Without a password there is nothing to sign in with: invited again.
	ina := w.invite("ina@nordwind.example")
	link := w.token(PurposeInvite, ina)
	wantNil(t, disable(w.as(w.global), ina))
	wantCode(t, w.AcceptUserInvitation(w.ctx, link, AcceptInput{FirstName: "I", LastName: "O", Password: good}, home), CodeLinkExpired)
	wantNil(t, enable(w.as(w.global), ina))
	if u := w.reload(ina); u.Status != Invited {
		t.Errorf("an invited user became %s", u.Status)
	}
}

// A sign-in that is under way when the user is disabled opens nothing.
func TestSignInRacesDisable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	paul := w.add(w.provider, "paul@nordwind.example", access.DefaultUser)
	who, _, err := w.prove(w.ctx, &claim{email: paul.EmailFolded, network: "x", prefix: "x"}, good)
	if err != nil || who == nil {
		t.Fatal(who, err)
	}
	if _, err := w.DisableUser(w.ctx, w.as(w.global), paul.ID); err != nil {
		t.Fatal(err)
	}
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		u, err := w.still(ctx, tx, who)
		if u != nil {
			t.Error("a disabled user still stands")
		}
		return err
	})
}

func TestUpdateProfile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	paul := w.add(w.provider, "paul@nordwind.example", access.DefaultUser)
	u, err := w.UpdateProfile(w.ctx, w.as(paul), UpdateProfileInput{FirstName: ptr("Pàul"), Locale: ptr("en")})
	if err != nil || u.FirstName != "Pàul" || u.LastName != "Persson" || u.Locale != "en" || u.NameFolded != "paul persson" || u.Version != paul.Version+1 {
		t.Errorf("got %+v %v", u, err)
	}
	same, err := w.UpdateProfile(w.ctx, w.as(paul), UpdateProfileInput{FirstName: ptr("Pàul")})
	if err != nil || same.Version != u.Version {
		t.Errorf("no change is a change: %v", err)
	}
	_, err = w.UpdateProfile(w.ctx, w.as(paul), UpdateProfileInput{LastName: ptr("http://x.example")})
	wantCode(t, err, "LINK_NOT_ALLOWED")
	_, err = w.UpdateProfile(w.ctx, access.Anonymous("en", ""), UpdateProfileInput{})
	wantCode(t, err, fault.CodeUnauthenticated)
	if e := w.audited("user.profile_updated"); len(e) != 1 || !slices.Equal(e[0].Changed, []string{"firstName", "locale"}) {
		t.Errorf("audit: %+v", e)
	}
}

func TestQueriesStayInside(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	paul := w.add(w.provider, "paul@nordwind.example", access.DefaultUser)
	orgs := []ident.ID{w.provider.ID, w.operator.ID, "org_x"}
	users := []ident.ID{w.global.ID, paul.ID, w.chief.ID, "usr_x"}
	for _, c := range []struct {
		name        string
		actor       access.Actor
		orgs, users int
	}{
		{"global admin", w.as(w.global), 1, 2}, {"plain user", w.as(paul), 1, 1}, {"operator", w.as(w.chief), 2, 3},
		{"nobody", access.Anonymous("en", ""), 0, 0}, {"forged", access.Actor{UserID: w.global.ID, OrganizationID: w.provider.ID, Kind: access.Operator}, 0, 0},
	} {
		o, err := w.Organizations(w.ctx, c.actor, orgs)
		if err != nil || len(o) != c.orgs {
			t.Errorf("%s sees %d organizations, %v", c.name, len(o), err)
		}
		u, err := w.Users(w.ctx, c.actor, users)
		if err != nil || len(u) != c.users {
			t.Errorf("%s sees %d users, %v", c.name, len(u), err)
		}
		r, err := w.RolesOf(w.ctx, c.actor, users)
		if err != nil || len(r) != c.users {
			t.Errorf("%s sees roles of %d users, %v", c.name, len(r), err)
		}
		w.tx(func(ctx context.Context, tx *database.Tx) error {
			u, err := w.UsersTx(ctx, tx, c.actor, users)
			if len(u) != c.users {
				t.Errorf("%s sees %d users in a transaction", c.name, len(u))
			}
			return err
		})
	}
	if r, _ := w.RolesOf(w.ctx, w.as(w.global), users); !slices.Equal(r[w.global.ID], []access.Role{access.GlobalAdmin, access.AdminAgent}) {
		t.Errorf("roles: %v", r)
	}
}

func TestListUsers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 7 {
		w.add(w.provider, fmt.Sprintf("user%d@nordwind.example", i), access.DefaultUser)
	}
	w.add(w.provider, "100%_sure!@nordwind.example", access.BillingAdmin)
	if _, err := w.UpdateProfile(w.ctx, w.as(w.global), UpdateProfileInput{FirstName: ptr("Émile"), LastName: ptr("Zola")}); err != nil {
		t.Fatal(err)
	}
	invited := w.invite("ina@nordwind.example")
	me := w.as(w.global)
	emails := func(c *page.Connection[*User]) (out []string) {
		for _, u := range c.Nodes() {
			out = append(out, u.Email)
		}
		return out
	}
	for _, o := range []UserOrder{{}, {Field: UserOrderCreatedAt, Direction: page.Desc}, {Field: UserOrderName, Direction: page.Desc}} {
		whole, err := w.ListUsers(w.ctx, me, page.Args{First: ptr(100)}, o, UserFilter{})
		if err != nil || len(whole.Edges) != 10 {
			t.Fatalf("%+v: %v", o, err)
		}
		var got []string
		var after *string
		for {
			before := w.db.Queries()
			c, err := w.ListUsers(w.ctx, me, page.Args{First: ptr(3), After: after}, o, UserFilter{})
			if err != nil {
				t.Fatal(err)
			}
			if n := w.db.Queries() - before; n != 1 {
				t.Errorf("a page costs %d statements", n)
			}
			got = append(got, emails(c)...)
			if !c.PageInfo.HasNextPage {
				break
			}
			after = c.PageInfo.EndCursor
		}
		if !slices.Equal(got, emails(whole)) {
			t.Errorf("%+v: pages give %v, the whole %v", o, got, emails(whole))
		}
		n, err := whole.TotalCount(w.ctx)
		if err != nil || n.Value != 10 || n.Precision != page.Exact {
			t.Errorf("count: %+v %v", n, err)
		}
	}
	for _, c := range []struct {
		f    UserFilter
		want int
	}{
		{UserFilter{Status: ptr(Invited)}, 1}, {UserFilter{Role: ptr(access.DefaultUser)}, 8}, {UserFilter{Role: ptr(access.BillingAdmin)}, 1},
		{UserFilter{Search: ptr("emile")}, 1}, {UserFilter{Search: ptr("ÉMILE zo")}, 1}, {UserFilter{Search: ptr("USER3@")}, 1},
		{UserFilter{Search: ptr("%")}, 1}, {UserFilter{Search: ptr("_")}, 1}, {UserFilter{Search: ptr("!")}, 1}, {UserFilter{Search: ptr("")}, 10},
		{UserFilter{Search: ptr("otto")}, 0}, {UserFilter{Status: ptr(Active), Role: ptr(access.DefaultUser), Search: ptr("persson")}, 7},
	} {
		l, err := w.ListUsers(w.ctx, me, page.Args{}, UserOrder{}, c.f)
		if err != nil || len(l.Edges) != c.want {
			t.Errorf("%+v: %d users, %v", c.f, len(l.Edges), err)
		}
	}
	_, err := w.ListUsers(w.ctx, w.as(w.add(w.provider, "hal@nordwind.example", access.HelpdeskAgent)), page.Args{}, UserOrder{}, UserFilter{})
	wantCode(t, err, fault.CodeRoleRequired)
	_, err = w.ListUsers(w.ctx, access.Anonymous("en", ""), page.Args{}, UserOrder{}, UserFilter{})
	wantCode(t, err, fault.CodeUnauthenticated)
	_, err = w.ListUsers(w.ctx, me, page.Args{}, UserOrder{Field: "PASSWORD"}, UserFilter{})
	wantCode(t, err, fault.CodeInvalid)
	_, err = w.ListUsers(w.ctx, me, page.Args{}, UserOrder{}, UserFilter{Search: ptr(strings.Repeat("x", 101))})
	wantCode(t, err, fault.CodeTooLong)
	r, err := w.Recipients(w.ctx, w.db.Read(), w.provider.ID)
	if err != nil || slices.ContainsFunc(r, func(u *User) bool { return u.ID == invited.ID }) || len(r) != 10 {
		t.Errorf("%d recipients, %v", len(r), err)
	}
}

// What a job, the audit or a throttle keeps tells no address, name or token.
func TestNothingPersonalInQueue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.signIn(w.global)
	wantNil(t, w.RequestPasswordReset(w.ctx, w.global.Email, home, "en"))
	w.work()
	w.invite("canary.person@nordwind.example", access.BillingAdmin)
	var rows []outbox.Job
	wantNil(t, w.db.Read().NewSelect().Model(&rows).Scan(w.ctx))
	for _, r := range rows {
		if s := fmt.Sprintf("%s %v %v", r.Payload, r.DedupeKey, r.LastError); strings.ContainsAny(s, "@") || regexp.MustCompile(`\bcg[a-z]_`).MatchString(s) {
			t.Errorf("job %s holds %s", r.Kind, s)
		}
	}
	token := w.token(PurposeReset, w.global)
	for _, table := range []string{"capability_link", "mail_message", "job"} {
		var all []map[string]any
		wantNil(t, w.db.Read().NewSelect().Table(table).Scan(w.ctx, &all))
		if s := fmt.Sprint(all); strings.Contains(s, token) || strings.Contains(s, token[4:]) {
			t.Errorf("%s holds a token", table)
		}
	}
}

// A job that runs again, or whose request is gone, does nothing twice.
func TestRequestIsAnsweredOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	wantNil(t, w.RequestPasswordReset(w.ctx, w.global.Email, home, "en"))
	claimed, err := outbox.Claim(w.ctx, w.db, 10)
	if err != nil || len(claimed.Jobs) != 1 {
		t.Fatal(claimed, err)
	}
	run, err := outbox.Begin(w.ctx, w.db, claimed.Jobs[0].ID, claimed.Jobs[0].Generation, "test", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	var id []ident.ID
	wantNil(t, w.db.Read().NewSelect().Table("account_request").Column("id").Scan(w.ctx, &id))
	wantNil(t, w.SendReset(w.ctx, run, SendReset{RequestID: id[0]}))
	if err := w.SendReset(w.ctx, run, SendReset{RequestID: id[0]}); err == nil {
		t.Error("a job that is done was performed again")
	}
	wantNil(t, w.RequestPasswordReset(w.ctx, w.global.Email, home, "en"))
	claimed, err = outbox.Claim(w.ctx, w.db, 10)
	wantNil(t, err)
	for _, h := range claimed.Jobs {
		if h.Kind != (SendReset{}).Kind() {
			continue
		}
		run, err := outbox.Begin(w.ctx, w.db, h.ID, h.Generation, "test", time.Minute)
		wantNil(t, err)
		wantNil(t, w.SendReset(w.ctx, run, SendReset{RequestID: "lnk_gone"}))
	}
	if got := w.mails(w.global); len(got) != 1 {
		t.Errorf("mails: %v", got)
	}
	if u := w.reload(w.global); u.Version != w.global.Version {
		t.Error("a mailed link collides with changes of the user")
	}
}

// What only looks like an id or a text reaches no statement.
func TestHostileInput(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	me := w.as(w.global)
	for _, id := range []ident.ID{"", "usr_\x00", "usr_'; DROP TABLE job", ident.ID(strings.Repeat("x", 9000)), "\xff"} {
		_, err := w.DisableUser(w.ctx, me, id)
		wantCode(t, err, fault.CodeNotFound)
		_, err = w.SetUserRoles(w.ctx, me, SetUserRolesInput{UserID: id})
		wantCode(t, err, fault.CodeNotFound)
		_, _, err = w.ResendUserInvitation(w.ctx, me, id)
		wantCode(t, err, fault.CodeNotFound)
		wantCode(t, w.EndSession(w.ctx, me, id), fault.CodeNotFound)
		if u, err := w.Users(w.ctx, me, []ident.ID{id}); err != nil || len(u) != 0 {
			t.Errorf("%q: %v %v", id, u, err)
		}
		if o, err := w.Organizations(w.ctx, me, []ident.ID{id}); err != nil || len(o) != 0 {
			t.Errorf("%q: %v %v", id, o, err)
		}
		wantCode(t, w.try(string(id), good, home), CodeSignInFailed)
		wantCode(t, w.ResetPassword(w.ctx, string(id), good, home), fault.CodeNotFound)
		wantCode(t, w.ResetPassword(w.ctx, "cgr_"+string(id), good, home), fault.CodeNotFound)
		wantNil(t, w.SignOut(w.ctx, string(id)))
	}
	_, err := w.ListUsers(w.ctx, me, page.Args{}, UserOrder{}, UserFilter{Search: ptr("a\x00b")})
	wantCode(t, err, fault.CodeControlChars)
	wantCode(t, w.try(w.global.Email, "\x00\xff", away), CodeSignInFailed)
}

func TestPrune(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	count := func(table string) int64 {
		n, err := w.db.Read().NewSelect().Table(table).Count(w.ctx)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	w.signIn(w.global)
	w.invite("ina@nordwind.example")
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		return w.request(ctx, tx, templateReset, "x@y.example", "")
	})
	wantNil(t, w.Prune(w.ctx, nil, Prune{}))
	if count("session") != 1 || count("capability_link") != 1 || count("throttle") != 3 || count("account_request") != 1 {
		t.Error("something was pruned too early")
	}
	w.db.Clock().Advance(25 * time.Hour)
	wantNil(t, w.Prune(w.ctx, nil, Prune{}))
	if count("session") != 1 || count("capability_link") != 1 || count("throttle") != 0 || count("account_request") != 0 {
		t.Error("after a day the wrong things are left")
	}
	many := make([]*Session, pruneBatch+1)
	for i := range many {
		at := w.db.Now()
		many[i] = &Session{ID: ident.New(ident.Session), UserID: w.global.ID, OrganizationID: w.provider.ID, TokenHash: fmt.Sprint(i), CreatedAt: at,
			LastSeenAt: at, IdleUntil: at, AbsUntil: at, SudoUntil: at}
	}
	if _, err := w.db.Bun().NewInsert().Model(&many).Exec(w.ctx); err != nil {
		t.Fatal(err)
	}
	w.db.Clock().Advance(38 * 24 * time.Hour)
	wantNil(t, w.Prune(w.ctx, nil, Prune{}))
	if count("session") != 0 || count("capability_link") != 0 {
		t.Errorf("%d sessions and %d links are left", count("session"), count("capability_link"))
	}
}
