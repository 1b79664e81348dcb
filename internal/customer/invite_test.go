package customer

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/invitation"
	"github.com/channelgraph/channelgraph/internal/partner"
	"github.com/channelgraph/channelgraph/internal/rollup"
)

var admin = Delegation{Roles: []Role{TenantOwner, AccountAdmin}, Days: 90, AutoExtend: true}

// invite asks an address, as a reseller together with a provider.
func (w *world) invite(by, provider *side, to string, d Delegation) (*invitation.Invitation, string) {
	w.t.Helper()
	in := InviteInput{Email: to, Text: "As agreed.", Delegation: d}
	if provider != nil {
		in.ProviderID = &provider.ID
	}
	out, err := w.Invite(w.t.Context(), by.admin, in)
	if err != nil {
		w.t.Fatal(err)
	}
	return out.Invitation, w.code(out.Invitation)
}

func (w *world) code(i *invitation.Invitation) string {
	return w.keys.Capability(invitation.LinkPrefix, invitation.LinkPurpose, i.ID, i.Generation).Reveal()
}

// existing is a customer that has no partner, and its Global admin.
func (w *world) existing(name string) access.Actor {
	w.t.Helper()
	slug := strings.ToLower(name)
	var org *account.Organization
	w.tx(func(ctx context.Context, tx *database.Tx) (err error) {
		org, err = w.accounts.Found(ctx, tx, access.System("test"), account.NewOrganization{Kind: access.Customer, Name: name, Domain: slug + ".example", Country: "IT"})
		return err
	})
	return w.user(org.ID, "elena@"+slug+".example", access.GlobalAdmin)
}

func yes(code string) AcceptInput {
	return AcceptInput{Code: code, Confirmed: true, AcceptAgreement: true, Delegate: true}
}

// A reseller invites a customer for itself and its provider; the customer
// accepts both, the agreement and the administration at once.
func TestInviteTogether(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	elena := w.existing("Conti")
	i, code := w.invite(w.bianchi, w.nord, elena.Email, admin)
	if got := w.mails(i.ID); got != "invitation to conti" {
		t.Errorf("mails %s", got)
	}
	anon, err := w.Preview(t.Context(), access.Anonymous("en", ""), code)
	if err != nil || anon.State != invitation.StandsOpen || !anon.NeedsSignIn || anon.CanSetUp || anon.Seller.LegalName != "Nordwind" || anon.Reseller.LegalName != "Bianchi" ||
		anon.InviterName != "Gina Bianchi" || anon.Note != "As agreed." || anon.GrantDays != 90 || !anon.AutoExtends || len(anon.Roles) != 2 || strings.Contains(anon.Recipient, "elena") {
		t.Errorf("nobody sees %+v, %v", anon, err)
	}
	p, err := w.Preview(t.Context(), elena, code)
	if err != nil || !p.MayAccept || !p.NeedsAgreement || len(p.Refusals) > 0 || p.LacksRole || p.CustomerID != "" {
		t.Errorf("the customer sees %+v, %v", p, err)
	}
	rs, err := w.Received(t.Context(), elena)
	if err != nil || len(rs) != 1 || rs[0].ID != i.ID {
		t.Errorf("received %v, %v", rs, err)
	}
	before := w.rows()
	in := yes(code)
	in.AcceptAgreement = false
	_, err = w.Accept(t.Context(), elena, in)
	wantCode(t, err, CodeAgreementNeeded)
	in = yes(code)
	in.Confirmed = false
	_, err = w.Accept(t.Context(), elena, in)
	wantCode(t, err, "NOT_CONFIRMED")
	w.same(before)
	in = yes(code)
	in.IdempotencyKey = ptr("once")
	c, err := w.Accept(t.Context(), elena, in)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // a replay, and a second click
		again, err := w.Accept(t.Context(), elena, in)
		if err != nil || again.ID != c.ID {
			t.Error(again, err)
		}
		in.IdempotencyKey = nil
	}
	if c.CompanyName != "Conti" || c.Domain != "conti.example" || !c.HasAgreement() || c.BillingEmail != elena.Email {
		t.Errorf("got %+v", c)
	}
	if got := w.has(elena, c) + "|" + w.has(w.nord.admin, c) + "|" + w.has(w.bianchi.admin, c) + "|" + w.has(w.sud.admin, c); got != "Bianchi Nordwind|Bianchi Nordwind|Bianchi Nordwind|" {
		t.Errorf("partners %s", got)
	}
	if got := w.may(w.nord, c) + w.may(w.bianchi, c); got != "[ACCOUNT_ADMIN SUPPORT BILLING][ACCOUNT_ADMIN SUPPORT BILLING]" {
		t.Errorf("may %s", got) // no tenant of Azure's type, so nobody owns it
	}
	if got := w.sale(w.nord, w.bianchi, c); got != "" {
		t.Errorf("an order is refused: %s", got)
	}
	if got := w.counts(rollup.Operator, rollup.Of(w.nord.ID), rollup.Of(w.bianchi.ID), rollup.Pair(w.nord.ID, w.bianchi.ID)); got != "1 1 1 1" {
		t.Errorf("counts %s", got)
	}
	if got := w.mails(i.ID) + "; " + w.mails(c.ID); got != "accepted to bianchi, invitation to conti; accepted to nordwind, has_partner to conti" {
		t.Errorf("mails %s", got)
	}
	if got := w.audited(i.ID) + "; " + w.audited(c.ID); got != "customer.invited×1; customer.invitation_accepted×2" {
		t.Errorf("audit %s", got)
	}
	as, err := w.AgreementsOf(t.Context(), elena, []ident.ID{c.ID})
	if err != nil || len(as[c.ID]) != 1 || as[c.ID][0].Kind != Accepted || as[c.ID][0].Email != elena.Email {
		t.Errorf("agreements %v, %v", as, err)
	}
	done, err := w.Preview(t.Context(), elena, code)
	if err != nil || done.State != invitation.StandsAccepted || done.CustomerID != c.ID {
		t.Errorf("afterwards %+v, %v", done, err)
	}
	if other, err := w.Preview(t.Context(), w.existing("Dardi"), code); err != nil || other.CustomerID != "" {
		t.Errorf("somebody else sees %+v, %v", other, err)
	}
}

// A second partner's relationship changes nothing about the first one's, and
// needs no second agreement; without administration none is given.
func TestInviteForItself(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.add(w.nord, w.bianchi, "Conti")
	elena := w.admin(c)
	i, code := w.invite(w.azienda, nil, elena.Email, admin)
	got, err := w.Accept(t.Context(), elena, AcceptInput{InvitationID: &i.ID, Confirmed: true})
	if err != nil || got.ID != c.ID {
		t.Fatal(got, err)
	}
	if got := w.has(elena, c) + "|" + w.has(w.azienda.admin, c) + "|" + w.has(w.nord.admin, c); got != "Azienda Bianchi Nordwind|Azienda|Bianchi Nordwind" {
		t.Errorf("partners %s", got)
	}
	if got := w.may(w.azienda, c) + w.sale(w.azienda, nil, c); got != "[]" {
		t.Errorf("got %s", got)
	}
	_, err = w.Accept(t.Context(), w.existing("Dardi"), yes(code))
	wantCode(t, err, invitation.CodeClosed)
	// after a removal an invitation brings the relationship back
	if _, err := w.Remove(t.Context(), w.azienda.admin, RemoveInput{CustomerID: c.ID, Reason: "Over."}); err != nil {
		t.Fatal(err)
	}
	_, code = w.invite(w.azienda, nil, elena.Email, admin)
	if _, err := w.Accept(t.Context(), elena, yes(code)); err != nil {
		t.Fatal(err)
	}
	if got := w.may(w.azienda, c); got != "[ACCOUNT_ADMIN SUPPORT BILLING]" {
		t.Errorf("may %s", got)
	}
}

func TestInviteRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	elena := w.existing("Conti")
	w.invite(w.azienda, nil, "open@conti.example", Delegation{})
	before := w.rows()
	for name, c := range map[string]struct {
		a    access.Actor
		in   InviteInput
		want string
	}{
		"no provider":        {w.bianchi.admin, InviteInput{Email: elena.Email}, CodeProviderNeeded},
		"a strange provider": {w.verdi.admin, InviteInput{Email: elena.Email, ProviderID: &w.sud.ID}, fault.CodeNotFound},
		"one too many":       {w.azienda.admin, InviteInput{Email: elena.Email, ProviderID: &w.nord.ID}, CodeProviderGiven},
		"own house":          {w.azienda.admin, InviteInput{Email: "x@azienda.example"}, CodeOwnAddress},
		"the provider's":     {w.bianchi.admin, InviteInput{Email: "x@nordwind.example", ProviderID: &w.nord.ID}, CodeOwnAddress},
		"no address":         {w.azienda.admin, InviteInput{Email: "x"}, "EMAIL_INVALID"},
		"a link":             {w.azienda.admin, InviteInput{Email: elena.Email, Text: "See www.evil.example"}, "CONTACT_DETAILS_NOT_ALLOWED"},
		"too long":           {w.azienda.admin, InviteInput{Email: elena.Email, Delegation: Delegation{Days: 731}}, CodeGrantDays},
		"no time":            {w.azienda.admin, InviteInput{Email: elena.Email, Delegation: Delegation{Days: -1}}, CodeGrantDays},
		"no days":            {w.azienda.admin, InviteInput{Email: elena.Email, Delegation: Delegation{Roles: []Role{AccountAdmin}}}, CodeGrantDays},
		"a strange role":     {w.azienda.admin, InviteInput{Email: elena.Email, Delegation: Delegation{Roles: []Role{"KING"}}}, fault.CodeInvalid},
		"a language":         {w.azienda.admin, InviteInput{Email: elena.Email, Locale: "xx"}, fault.CodeInvalid},
		"still open":         {w.azienda.admin, InviteInput{Email: "open@conti.example"}, invitation.CodePending},
		"a customer":         {elena, InviteInput{Email: elena.Email}, fault.CodeRoleRequired},
		"the operator":       {w.chief, InviteInput{Email: elena.Email}, fault.CodeRoleRequired},
		"nobody":             {access.Anonymous("en", ""), InviteInput{Email: elena.Email}, fault.CodeUnauthenticated},
	} {
		if _, err := w.Invite(t.Context(), c.a, c.in); !fault.Is(err, c.want) {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
	}
	w.same(before)
	if _, err := w.partners.Suspend(t.Context(), w.chief, partner.SuspendInput{PartnerID: w.nord.ID, Reason: "Unpaid."}); err != nil {
		t.Fatal(err)
	}
	_, err := w.Invite(t.Context(), w.bianchi.admin, InviteInput{Email: elena.Email, ProviderID: &w.nord.ID})
	wantCode(t, err, CodeSellerNotActive)
	_, err = w.Invite(t.Context(), w.azienda.admin, InviteInput{Email: elena.Email, Delegation: Delegation{Days: 731}})
	if err == nil || !strings.Contains(err.Error(), "input.delegation.days:") {
		t.Errorf("the way to the field is %v", err)
	}
}

// Whoever may not accept is told why, and nothing is written.
func TestAcceptRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	elena := w.existing("Conti")
	clerk := w.user(elena.OrganizationID, "clerk@conti.example", access.BillingAdmin)
	_, direct := w.invite(w.azienda, nil, elena.Email, admin)
	_, joint := w.invite(w.bianchi, w.nord, elena.Email, admin)
	late := elena
	late.SudoUntil = w.db.Now().Add(-time.Minute)
	namesake := w.existing("Vini")
	w.tx(func(ctx context.Context, tx *database.Tx) error { // it is of one house with Verdi, Nordwind's reseller
		_, err := tx.NewUpdate().Table("organization").Set("name = 'Verdi'").Where("id = ?", namesake.OrganizationID).Exec(ctx)
		return err
	})
	before := w.rows()
	for name, c := range map[string]struct {
		a    access.Actor
		in   AcceptInput
		want string
	}{
		"nobody":                       {access.Anonymous("en", ""), yes(direct), fault.CodeUnauthenticated},
		"no admin":                     {clerk, yes(direct), fault.CodeRoleRequired},
		"long ago":                     {late, yes(direct), fault.CodeSudoRequired},
		"no such code":                 {elena, yes("cgi_unknown"), fault.CodeNotFound},
		"both":                         {elena, AcceptInput{Code: direct, InvitationID: ptr(ident.New(ident.Invitation)), Confirmed: true}, fault.CodeRequired},
		"the seller itself":            {w.azienda.admin, yes(direct), "SELF_DEALING"},
		"a partner's own tenant":       {w.verdi.admin, yes(direct), CodeTenantIsPartner},
		"the reseller itself":          {w.bianchi.admin, yes(joint), "SELF_DEALING"},
		"the house of another partner": {namesake, yes(joint), "ALREADY_PARTNERED"},
		"the operator":                 {w.chief, yes(direct), CodeNotACustomer},
		"another's invitation":         {namesake, AcceptInput{InvitationID: ptr(ident.New(ident.Invitation)), Confirmed: true}, fault.CodeNotFound},
	} {
		if _, err := w.Accept(t.Context(), c.a, c.in); !fault.Is(err, c.want) {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
	}
	w.same(before)
	for name, c := range map[string]struct {
		a    access.Actor
		want string
	}{"the seller": {w.azienda.admin, "SELF_DEALING>NEXT_OTHER_SELLER"}, "the operator": {w.chief, "NOT_A_CUSTOMER>NEXT_SEPARATE_TENANT"}} {
		p, err := w.Preview(t.Context(), c.a, direct)
		if err != nil || p.MayAccept || codes(p.Refusals) != c.want {
			t.Errorf("%s sees %+v, %v", name, p, err)
		}
	}
	if p, err := w.Preview(t.Context(), clerk, direct); err != nil || p.MayAccept || !p.LacksRole {
		t.Errorf("a clerk sees %+v, %v", p, err)
	}
	w.same(before)
}

func TestDecline(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	elena := w.existing("Conti")
	i, code := w.invite(w.bianchi, w.nord, elena.Email, admin)
	_, err := w.Decline(t.Context(), w.verdi.admin, DeclineInput{Code: code})
	wantCode(t, err, CodeNotACustomer)
	got, err := w.Decline(t.Context(), elena, DeclineInput{InvitationID: &i.ID, Reason: "We stay."})
	if err != nil || got.Status != invitation.Declined || got.DeclineReason != "We stay." {
		t.Fatal(got, err)
	}
	_, err = w.Accept(t.Context(), elena, yes(code))
	wantCode(t, err, invitation.CodeClosed)
	if got := w.mails(i.ID); got != "invitation to conti, invitation_declined to bianchi" {
		t.Errorf("mails %s", got)
	}
	if got := w.audited(i.ID); got != "customer.invitation_declined×1 customer.invited×1" {
		t.Errorf("audit %s", got)
	}
	wantCode(t, w.AskForNewLink(t.Context(), access.Anonymous("en", ""), code), "NO_NEW_LINK_NEEDED")
	wantCode(t, w.AskForNewLink(t.Context(), access.Anonymous("en", ""), "cgi_x"), fault.CodeNotFound)
}

// The mechanics are those of all invitations: resending kills the old link,
// revoking ends it, and a dead link may ask for a new one.
func TestLinks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	elena := w.existing("Conti")
	i, old := w.invite(w.bianchi, w.nord, elena.Email, admin)
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		_, err := tx.NewUpdate().Table("invitation").Set("status = 'SENT'").Where("id = ?", i.ID).Exec(ctx)
		return err
	})
	_, err := w.invitations.Resend(t.Context(), w.verdi.admin, invitation.ResendInput{InvitationID: i.ID})
	wantCode(t, err, fault.CodeNotFound)
	d, err := w.invitations.Resend(t.Context(), w.bianchi.admin, invitation.ResendInput{InvitationID: i.ID})
	if err != nil {
		t.Fatal(err)
	}
	if p, err := w.Preview(t.Context(), elena, old); err != nil || p.State != invitation.StandsReplaced || !p.CanAskForNewLink || p.MayAccept {
		t.Errorf("got %+v, %v", p, err)
	}
	_, err = w.Accept(t.Context(), elena, yes(old))
	wantCode(t, err, "LINK_REPLACED")
	if err := w.AskForNewLink(t.Context(), access.Anonymous("en", ""), old); err != nil {
		t.Error(err)
	}
	code := w.code(d.Invitation)
	if _, err := w.invitations.Revoke(t.Context(), w.bianchi.admin, invitation.RevokeInput{InvitationID: i.ID}); err != nil {
		t.Fatal(err)
	}
	_, err = w.Accept(t.Context(), elena, yes(code))
	wantCode(t, err, invitation.CodeClosed)
	_, code = w.invite(w.bianchi, w.nord, elena.Email, admin)
	w.db.Clock().Advance(31 * day)
	_, err = w.Accept(t.Context(), elena, yes(code))
	wantCode(t, err, "INVITATION_EXPIRED")
}

// A company without a work account makes one from its link, and then accepts.
func TestSetUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, code := w.invite(w.bianchi, w.nord, "nina@libero.example", admin)
	p, err := w.Preview(t.Context(), access.Anonymous("it", ""), code)
	if err != nil || !p.CanSetUp {
		t.Fatal(p, err)
	}
	in := SetUpInput{Code: code, Details: details("Libero Marmi"), FirstName: "Nina", LastName: "Libero", Password: password}
	before := w.rows()
	bad := SetUpInput{Code: code, Password: "short"}
	_, err = w.SetUp(t.Context(), access.Anonymous("it", ""), bad)
	for _, path := range []string{"companyName", "address.country", "domainPrefix", "billingEmail", "firstName", "lastName", "password"} {
		if err == nil || !strings.Contains(err.Error(), "input."+path+":") {
			t.Errorf("%s is missing in %v", path, err)
		}
	}
	for name, c := range map[string]struct {
		change func(*SetUpInput)
		want   string
	}{
		"no such code": {func(in *SetUpInput) { in.Code = "cgi_x" }, fault.CodeNotFound},
		"taken domain": {func(in *SetUpInput) { in.Details.DomainPrefix = "taken" }, CodeDomainTaken},
	} {
		if name == "taken domain" {
			w.add(w.azienda, nil, "Taken")
			before = w.rows()
		}
		x := in
		c.change(&x)
		if _, err := w.SetUp(t.Context(), access.Anonymous("it", ""), x); !fault.Is(err, c.want) {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
		w.same(before)
	}
	u, err := w.SetUp(t.Context(), access.Anonymous("it", ""), in)
	if err != nil || u.Status != account.Active || u.Email != "nina@libero.example" {
		t.Fatal(u, err)
	}
	_, err = w.SetUp(t.Context(), access.Anonymous("it", ""), in)
	if !fault.Is(err, CodeDomainTaken) && !fault.Is(err, account.CodeEmailNotAvailable) {
		t.Errorf("set up twice: %v", err)
	}
	nina := w.as(u.ID)
	c, err := w.Accept(t.Context(), nina, yes(code))
	if err != nil || c.CompanyName != "Libero Marmi" || c.Domain != "libero-marmi.customers.example" || w.has(nina, c) != "Bianchi Nordwind" {
		t.Fatal(c, err)
	}
}

// Acceptance and withdrawal of the invitation at the same moment: one wins, and
// the state is the winner's.
func TestAcceptAgainstRevoke(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	elena := w.existing("Conti")
	i, code := w.invite(w.bianchi, w.nord, elena.Email, admin)
	var wg sync.WaitGroup
	var accepted, revoked error
	wg.Go(func() { _, accepted = w.Accept(t.Context(), elena, yes(code)) })
	wg.Go(func() {
		_, revoked = w.invitations.Revoke(t.Context(), w.bianchi.admin, invitation.RevokeInput{InvitationID: i.ID})
	})
	wg.Wait()
	if (accepted == nil) == (revoked == nil) {
		t.Fatalf("both or none: %v, %v", accepted, revoked)
	}
	if got := w.sees(w.nord.admin, Filter{}); (got == "Conti") != (accepted == nil) {
		t.Errorf("the provider sees %q after %v", got, accepted)
	}
}

// Invitations of customers and of partnerships do not open each other's doors.
func TestKindsApart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	elena := w.existing("Conti")
	_, code := w.invite(w.bianchi, w.nord, elena.Email, admin)
	if p, err := w.partnerships.Preview(t.Context(), elena, code); err != nil || p.State != "UNKNOWN" {
		t.Errorf("as a partnership it is %+v, %v", p, err)
	}
	l, err := w.partnerships.Link(t.Context(), w.nord.admin)
	if err != nil {
		t.Fatal(err)
	}
	_, personal, _ := strings.Cut(l.URL, "#")
	if p, err := w.Preview(t.Context(), elena, personal); err != nil || p.State != invitation.StandsUnknown {
		t.Errorf("as a customer's it is %+v, %v", p, err)
	}
}
