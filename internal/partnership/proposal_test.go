package partnership

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/audit"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/invitation"
	"github.com/channelgraph/channelgraph/internal/partner"
)

// Each state of a proposal: what is shown of it, what asking for a new link,
// accepting, declining and waiting answer.
func TestProposalStates(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		make    func(*world) (code string)
		state   ProposalState
		ask     string // AskForNewLink; "" for done
		accept  string
		decline string
		keep    string
	}{
		"open":     {func(w *world) string { _, c := w.invite("lara@studio.example"); return c }, ProposalOpen, "NO_NEW_LINK_NEEDED", "", "", ""},
		"accepted": {forced(invitation.Accepted), ProposalAccepted, "NO_NEW_LINK_NEEDED", CodeInvitationClosed, CodeInvitationClosed, CodeInvitationClosed},
		"declined": {forced(invitation.Declined), ProposalDeclined, "NO_NEW_LINK_NEEDED", CodeInvitationClosed, CodeInvitationClosed, CodeInvitationClosed},
		"revoked":  {forced(invitation.Revoked), ProposalRevoked, "", CodeInvitationClosed, CodeInvitationClosed, CodeInvitationClosed},
		"bounced":  {forced(invitation.Bounced), ProposalRevoked, "", CodeInvitationClosed, CodeInvitationClosed, CodeInvitationClosed},
		"failed":   {forced(invitation.Failed), ProposalRevoked, "", CodeInvitationClosed, CodeInvitationClosed, CodeInvitationClosed},
		"expired":  {forced(invitation.Expired), ProposalExpired, "", CodeInvitationExpired, CodeInvitationExpired, CodeInvitationExpired},
		"over, not yet looked at": {func(w *world) string {
			_, c := w.invite("lara@studio.example")
			w.db.Clock().Advance(30 * day)
			return c
		}, ProposalExpired, "", CodeInvitationExpired, CodeInvitationExpired, CodeInvitationExpired},
		"replaced": {func(w *world) string {
			i, c := w.invite("lara@studio.example")
			w.force(i, invitation.Sent)
			if _, err := w.invitations.Resend(w.t.Context(), w.gina, invitation.ResendInput{InvitationID: i.ID}); err != nil {
				w.t.Fatal(err)
			}
			return c
		}, ProposalReplaced, "", "LINK_REPLACED", "LINK_REPLACED", "LINK_REPLACED"},
		"unknown":       {func(*world) string { return "cgi_" + strings.Repeat("A", 43) }, ProposalUnknown, fault.CodeNotFound, fault.CodeNotFound, fault.CodeNotFound, fault.CodeNotFound},
		"personal link": {func(w *world) string { _, c := w.personal(); return c }, ProposalOpen, "NO_NEW_LINK_NEEDED", "", "NOTHING_TO_DECLINE", "NOTHING_TO_KEEP"},
		"paused link": {func(w *world) string {
			_, c := w.personal()
			if _, err := w.SetLinkPaused(w.t.Context(), w.gina, SetLinkPausedInput{Paused: true}); err != nil {
				w.t.Fatal(err)
			}
			return c
		}, ProposalPaused, "NO_NEW_LINK_NEEDED", CodeLinkPaused, "NOTHING_TO_DECLINE", CodeLinkPaused},
		"expired personal link": {func(w *world) string { _, c := w.personal(); w.db.Clock().Advance(LinkLife); return c },
			ProposalExpired, "NO_NEW_LINK_NEEDED", CodeLinkExpired, "NOTHING_TO_DECLINE", CodeLinkExpired},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			code := c.make(w)
			before := w.rows()
			nobody := access.Anonymous("en", "")
			for who, a := range map[string]access.Actor{"nobody": nobody, "reseller": w.bruno, "provider": w.gina, "operator": w.chief} {
				p, err := w.Preview(t.Context(), a, code)
				if err != nil || p.State != c.state {
					t.Fatalf("%s sees %+v, %v", who, p, err)
				}
				if c.state == ProposalUnknown {
					if p.Kind != "" || p.Inviter != (partner.Card{}) || p.Recipient != "" || p.NeedsSignIn {
						t.Errorf("%s: an unknown code tells %+v", who, p)
					}
					continue
				}
				if p.Inviter.LegalName != "Nordwind" || p.NeedsSignIn != (who == "nobody") || p.ExpiresAt == nil {
					t.Errorf("%s sees %+v", who, p)
				}
				if p.MayAuthorize != (who == "reseller" && c.state == ProposalOpen) {
					t.Errorf("%s: may authorize %t, %v", who, p.MayAuthorize, p.Refusals)
				}
				if p.CanAskForNewLink != (c.ask == "") {
					t.Errorf("%s: can ask for a new link: %t", who, p.CanAskForNewLink)
				}
				if p.Kind == ByInvitation && (p.Recipient != "l***@studio.example" || p.InviterName != "Gina Rossi") || p.Kind == ByPersonalLink && (p.Recipient != "" || p.InviterName != "") {
					t.Errorf("%s sees %q by %q", who, p.Recipient, p.InviterName)
				}
			}
			w.same(before) // looking changes nothing
			check := func(what string, err error, want string) {
				t.Helper()
				if want == "" && err != nil || want != "" && !fault.Is(err, want) {
					t.Errorf("%s: got %v, want %q", what, err, want)
				}
				if want != "" {
					w.same(before)
				}
				before = w.rows()
			}
			check("ask for a new link", w.AskForNewLink(t.Context(), nobody, code), c.ask)
			check("keep waiting", w.KeepWaiting(t.Context(), nobody, code), c.keep)
			if c.decline != "" {
				_, err := w.Decline(t.Context(), w.bruno, DeclineInput{Code: code})
				check("decline", err, c.decline)
			}
			_, err := w.accept(w.bruno, code)
			check("accept", err, c.accept)
		})
	}
}

func forced(s invitation.Status) func(*world) string {
	return func(w *world) string {
		i, code := w.invite("lara@studio.example")
		w.force(i, s)
		return code
	}
}

func TestAccept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	i, code := w.invite("lara@studio.example") // whoever holds the code may answer
	in := AcceptInput{Code: code, Confirmed: true, IdempotencyKey: ptr("k")}
	p, err := w.Accept(t.Context(), w.bruno, in)
	if err != nil {
		t.Fatal(err)
	}
	if p.ProviderID != w.provider.ID || p.ResellerID != w.reseller.ID || p.Status != Active || p.Region != "EUROPE" || !p.HasAdminAccess() || p.InvitationID != i.ID ||
		p.AuthorizedByID != w.bruno.UserID || p.ResellerNameFolded != "bianchi" || p.ProviderNameFolded != "nordwind" {
		t.Errorf("got %+v", p)
	}
	got := w.reload(i)
	if got.Status != invitation.Accepted || *got.InviteeID != w.reseller.ID || *got.DecidedByID != w.bruno.UserID || got.DecidedAt == nil || got.NextActionAt != nil {
		t.Errorf("got %+v", got)
	}
	if m := w.mails(p.ID); m != "accepted_provider to gina@nordwind, accepted_reseller to gina@bianchi" {
		t.Errorf("mails: %s", m)
	}
	// both sides' audit shows it, once each
	var events []*audit.Event
	if err := w.db.Read().NewSelect().Model(&events).Where("target_id = ?", p.ID).Scan(t.Context()); err != nil || len(events) != 1 ||
		events[0].OrganizationID != w.reseller.OrganizationID || events[0].TargetOrganizationID != w.provider.OrganizationID || events[0].Action != "partnership.authorized" {
		t.Errorf("audit: %+v, %v", events, err)
	}
	after := w.rows()
	for name, again := range map[string]AcceptInput{"the same key": in, "the second click": {Code: code, Confirmed: true}} {
		q, err := w.Accept(t.Context(), w.bruno, again)
		if err != nil || q.ID != p.ID {
			t.Errorf("%s: %+v, %v", name, q, err)
		}
	}
	w.same(after)
	if pre, err := w.Preview(t.Context(), w.bruno, code); err != nil || pre.State != ProposalAccepted || pre.PartnershipID != p.ID || pre.MayAuthorize {
		t.Errorf("got %+v, %v", pre, err)
	}
	if pre, err := w.Preview(t.Context(), access.Anonymous("en", ""), code); err != nil || pre.PartnershipID != "" {
		t.Errorf("got %+v, %v", pre, err)
	}
	_, other := w.company("Late")
	_, err = w.accept(other, code)
	wantCode(t, err, CodeInvitationClosed)
	if pre, err := w.Preview(t.Context(), other, code); err != nil || pre.PartnershipID != "" {
		t.Errorf("a stranger sees %+v, %v", pre, err)
	}
	w.same(w.rows())
	// the pair has one partnership; another code of the same provider is refused
	_, personal := w.personal()
	_, err = w.accept(w.bruno, personal)
	wantCode(t, err, CodeAlreadyPartnered)
	_, second := w.invite("other@studio.example")
	_, err = w.accept(w.bruno, second)
	wantCode(t, err, CodeAlreadyPartnered)
	if pre, err := w.Preview(t.Context(), w.bruno, second); err != nil || codes(pre.Refusals) != CodeAlreadyPartnered || pre.MayAuthorize {
		t.Errorf("got %+v, %v", pre, err)
	}
}

func TestAcceptByPersonalLink(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l, code := w.personal()
	p, err := w.accept(w.bruno, code)
	if err != nil || p.InvitationID != "" {
		t.Fatal(p, err)
	}
	_, other := w.company("Gamma")
	if _, err := w.accept(other, code); err != nil {
		t.Errorf("the link works for many: %v", err)
	}
	if got, _ := w.personal(); got.ID != l.ID || got.Uses != 2 {
		t.Errorf("%d uses", got.Uses)
	}
	if m := w.mails(p.ID); m != "accepted_provider to gina@nordwind, accepted_reseller to gina@bianchi" {
		t.Errorf("mails: %s", m)
	}
}

// Whoever accepted a personal link finds the partnership behind it from then
// on, whatever becomes of the link; for others it stays what it is.
func TestPersonalLinkTwice(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, code := w.personal()
	p, err := w.accept(w.bruno, code)
	if err != nil {
		t.Fatal(err)
	}
	_, late := w.company("Late")
	clerk := w.user(w.bruno.OrganizationID, "clerk@bianchi.example", access.HelpdeskAgent)
	for _, c := range []struct {
		name   string
		change func() error
		state  ProposalState
		code   string
	}{
		{"live", func() error { return nil }, ProposalOpen, ""},
		{"paused", func() error {
			_, err := w.SetLinkPaused(t.Context(), w.gina, SetLinkPausedInput{Paused: true})
			return err
		}, ProposalPaused, CodeLinkPaused},
		{"replaced", func() error { _, err := w.RotateLink(t.Context(), w.gina, RotateLinkInput{}); return err }, ProposalReplaced, "LINK_REPLACED"},
	} {
		if err := c.change(); err != nil {
			t.Fatal(err)
		}
		before := w.rows()
		if q, err := w.accept(w.bruno, code); err != nil || q.ID != p.ID {
			t.Errorf("%s, the second click: %+v, %v", c.name, q, err)
		}
		for _, a := range []access.Actor{w.bruno, clerk} {
			if pre, err := w.Preview(t.Context(), a, code); err != nil || pre.State != ProposalAccepted || pre.PartnershipID != p.ID || pre.MayAuthorize || pre.LacksRole ||
				len(pre.Refusals) > 0 || pre.DecidedAt == nil || !pre.DecidedAt.Equal(p.AuthorizedAt) {
				t.Errorf("%s: its company sees %+v, %v", c.name, pre, err)
			}
		}
		for who, a := range map[string]access.Actor{"a stranger": late, "the provider": w.gina, "nobody": access.Anonymous("en", "")} {
			if pre, err := w.Preview(t.Context(), a, code); err != nil || pre.State != c.state || pre.PartnershipID != "" || pre.DecidedAt != nil {
				t.Errorf("%s: %s sees %+v, %v", c.name, who, pre, err)
			}
		}
		w.same(before)
		if c.code != "" {
			_, err := w.accept(late, code)
			wantCode(t, err, c.code)
		}
	}
	if got, _ := w.personal(); got.Uses != 1 {
		t.Errorf("%d uses", got.Uses)
	}
	// once that partnership is over the link leads to a new one
	if _, err := w.db.Bun().NewUpdate().Model(p).Set("status = ?", Terminated).WherePK().Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := w.SetLinkPaused(t.Context(), w.gina, SetLinkPausedInput{}); err != nil {
		t.Fatal(err)
	}
	_, code = w.personal()
	if q, err := w.accept(w.bruno, code); err != nil || q.ID == p.ID {
		t.Errorf("after the end: %+v, %v", q, err)
	}
}

// The guards of spec sections 3 and 6 where somebody presses the button, on
// both kinds of code; nothing is written.
func TestAcceptGuards(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	i, code := w.invite("lara@studio.example")
	_, personal := w.personal()
	_, usa := w.company("Redwood", func(in *partner.RegisterInput) { in.Country = "US" })
	_, direct := w.company("Alpen", func(in *partner.RegisterInput) { in.Kind = access.DirectBill })
	_, rival := w.company("Rhine", func(in *partner.RegisterInput) { in.Kind = access.IndirectProvider })
	_, unsigned := w.company("Costa", func(in *partner.RegisterInput) { in.AgreementSignedAt = nil })
	_, suspended := w.company("Vesuvio", func(in *partner.RegisterInput) { in.Status = ptr(partner.Suspended) })
	_, sister := w.company("Sister", func(in *partner.RegisterInput) { in.TenantDomain = "shop.nordwind.example" })
	declared, house := w.company("Declared")
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		_, err := w.partners.AffiliateTx(ctx, tx, access.System("test"), declared.ID, w.provider.ID)
		return err
	})
	var newcomer, buyer *account.Organization
	w.tx(func(ctx context.Context, tx *database.Tx) (err error) {
		if newcomer, err = w.accounts.Found(ctx, tx, access.System("test"), account.NewOrganization{Kind: access.IndirectReseller, Name: "Newcomer", Domain: "newcomer.example", Country: "IT"}); err != nil {
			return err
		}
		buyer, err = w.accounts.Found(ctx, tx, access.System("test"), account.NewOrganization{Kind: access.Customer, Name: "Buyer", Domain: "buyer.example", Country: "IT"})
		return err
	})
	stale := w.bruno
	stale.SudoUntil = w.db.Now().Add(-time.Second)
	org := w.bruno.OrganizationID
	for name, c := range map[string]struct {
		actor access.Actor
		code  string // where an invitation is answered
		no    string // where it is declined, "" for done
	}{
		"nobody":               {access.Anonymous("en", ""), fault.CodeUnauthenticated, fault.CodeUnauthenticated},
		"another region":       {usa, CodeRegionMismatch, ""},
		"a direct-bill":        {direct, CodeWrongKind, CodeWrongKind},
		"another provider":     {rival, CodeWrongKind, CodeWrongKind},
		"the provider itself":  {w.gina, CodeSelfDealing, CodeWrongKind},
		"the operator":         {w.chief, CodeNotEnrolled, CodeWrongKind},
		"a customer":           {w.user(buyer.ID, "c@buyer.example", access.GlobalAdmin), CodeNotEnrolled, CodeWrongKind},
		"not enrolled":         {w.user(newcomer.ID, "n@newcomer.example", access.GlobalAdmin), CodeNotEnrolled, ""},
		"agreement not signed": {unsigned, CodeAgreementNotSigned, ""},
		"suspended":            {suspended, CodePartnerNotActive, ""},
		"same house by domain": {sister, CodeAffiliate, ""},
		"declared affiliate":   {house, CodeAffiliate, ""},
		"Admin agent":          {w.user(org, "a@bianchi.example", access.AdminAgent), fault.CodeRoleRequired, fault.CodeRoleRequired},
		"User admin":           {w.user(org, "u@bianchi.example", access.UserAdmin), fault.CodeRoleRequired, fault.CodeRoleRequired},
		"Account admin":        {w.user(org, "x@bianchi.example", access.AccountAdmin), fault.CodeRoleRequired, fault.CodeRoleRequired},
		"Default user":         {w.user(org, "d@bianchi.example", access.DefaultUser), fault.CodeRoleRequired, fault.CodeRoleRequired},
		"signed in long ago":   {stale, fault.CodeSudoRequired, ""},
	} {
		before := w.rows()
		for kind, k := range map[string]string{"invitation": code, "personal link": personal} {
			_, err := w.accept(c.actor, k)
			if !fault.Is(err, c.code) {
				t.Errorf("%s, %s: got %v, want %s", name, kind, err, c.code)
			}
			if pre, err := w.Preview(t.Context(), c.actor, k); err != nil || pre.MayAuthorize && name != "signed in long ago" || pre.LacksRole != (c.code == fault.CodeRoleRequired) ||
				len(pre.Refusals) > 0 && pre.Refusals[len(pre.Refusals)-1].Code != c.code {
				t.Errorf("%s, %s: sees %+v, %v", name, kind, pre, err)
			}
		}
		w.same(before)
		if c.no != "" {
			_, err := w.Decline(t.Context(), c.actor, DeclineInput{Code: code})
			wantCode(t, err, c.no)
			w.same(before)
			continue
		}
		if _, err := w.Decline(t.Context(), c.actor, DeclineInput{Code: code}); err != nil {
			t.Errorf("%s declines: %v", name, err)
		}
		w.force(i, invitation.Sent)
	}
	before := w.rows()
	_, err := w.Accept(t.Context(), w.bruno, AcceptInput{Code: code})
	if got := problems(err); got != "confirmed NOT_CONFIRMED" {
		t.Errorf("without the check box: %s", got)
	}
	w.same(before)
	// a guard that closes between the request and the button holds
	for change, want := range map[string]string{"status = 'SUSPENDED'": CodeProviderNotActive, "agreement_signed_at = NULL": CodeProviderAgreement, "region = 'USA'": CodeRegionMismatch} {
		if _, err := w.db.Bun().ExecContext(t.Context(), "UPDATE partner SET "+change+" WHERE id = ?", w.provider.ID); err != nil {
			t.Fatal(err)
		}
		_, err := w.accept(w.bruno, code)
		wantCode(t, err, want)
		if _, err := w.db.Bun().NewUpdate().Model(w.provider).WherePK().Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	w.same(before)
}

func TestTwoAcceptAtOnce(t *testing.T) {
	t.Parallel()
	for name, code := range map[string]func(*world) string{
		"invitation":    func(w *world) string { _, c := w.invite("lara@studio.example"); return c },
		"personal link": func(w *world) string { _, c := w.personal(); return c },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			c := code(w)
			second := w.user(w.bruno.OrganizationID, "second@bianchi.example", access.GlobalAdmin)
			ids := make([]ident.ID, 4)
			var all sync.WaitGroup
			for n, a := range []access.Actor{w.bruno, second, w.bruno, second} {
				all.Go(func() {
					p, err := w.accept(a, c)
					if err != nil {
						t.Error(err)
						return
					}
					ids[n] = p.ID
				})
			}
			all.Wait()
			made := map[ident.ID]bool{}
			for _, id := range ids {
				made[id] = true
			}
			n, err := w.db.Read().NewSelect().Model((*Partnership)(nil)).Count(t.Context())
			if err != nil || n != 1 || len(made) != 1 {
				t.Errorf("%d partnerships, answers %v, %v", n, ids, err)
			}
		})
	}
	t.Run("two recipients", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		_, code := w.invite("lara@studio.example")
		_, other := w.company("Gamma")
		errs := make([]error, 2)
		var all sync.WaitGroup
		for n, a := range []access.Actor{w.bruno, other} {
			all.Go(func() { _, errs[n] = w.accept(a, code) })
		}
		all.Wait()
		if (errs[0] == nil) == (errs[1] == nil) {
			t.Errorf("got %v", errs)
		}
		for _, err := range errs {
			if err != nil {
				wantCode(t, err, CodeInvitationClosed)
			}
		}
	})
	t.Run("yes and no", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		i, code := w.invite("lara@studio.example")
		errs := make([]error, 2)
		var all sync.WaitGroup
		all.Go(func() { _, errs[0] = w.accept(w.bruno, code) })
		all.Go(func() { _, errs[1] = w.Decline(t.Context(), w.bruno, DeclineInput{Code: code}) })
		all.Wait()
		if (errs[0] == nil) == (errs[1] == nil) || (w.reload(i).Status == invitation.Accepted) != (errs[0] == nil) {
			t.Errorf("got %v, %s", errs, w.reload(i).Status)
		}
	})
}

func TestReceivedByAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	i, _ := w.invite("Gina@BIANCHI.example")
	j, _ := w.invite("lara@studio.example")
	got, err := w.Received(t.Context(), w.bruno)
	if err != nil || len(got) != 1 || got[0].ID != i.ID {
		t.Fatalf("got %v, %v", got, err)
	}
	for _, id := range []ident.ID{j.ID, "inv_none", "inv_00000000000000000000000000"} { // another's, and none, alike
		_, err := w.Accept(t.Context(), w.bruno, AcceptInput{InvitationID: &id, Confirmed: true})
		if got := problems(err); got != "invitationId NOT_FOUND" {
			t.Errorf("%s: %s", id, got)
		}
		_, err = w.Decline(t.Context(), w.bruno, DeclineInput{InvitationID: &id})
		wantCode(t, err, fault.CodeNotFound)
	}
	p, err := w.Accept(t.Context(), w.bruno, AcceptInput{InvitationID: &i.ID, Confirmed: true})
	if err != nil || p.InvitationID != i.ID {
		t.Errorf("got %+v, %v", p, err)
	}
	if got, err := w.Received(t.Context(), w.bruno); err != nil || len(got) != 0 {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestDecline(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	i, code := w.invite("lara@studio.example")
	_, err := w.Decline(t.Context(), w.bruno, DeclineInput{Code: code, Reason: strings.Repeat("x", maxReason+1)})
	if got := problems(err); got != "reason TOO_LONG" {
		t.Errorf("got %s", got)
	}
	got, err := w.Decline(t.Context(), w.bruno, DeclineInput{Code: code, Reason: " We have\r\na provider. "})
	if err != nil || got.Status != invitation.Declined || got.DeclineReason != "We have\na provider." || *got.InviteeID != w.reseller.ID || got.DecidedAt == nil {
		t.Fatalf("got %+v, %v", got, err)
	}
	if m, a := w.mails(i.ID), w.audited(i.ID); m != "invitation to lara@studio, declined to gina@nordwind" || a != "partnership.requested invitation.declined" {
		t.Errorf("mails: %s; audit: %s", m, a)
	}
	_, err = w.Decline(t.Context(), w.bruno, DeclineInput{Code: code})
	wantCode(t, err, CodeInvitationClosed)
	// after a final state the address may be asked again
	if _, err := w.Request(t.Context(), w.gina, RequestInput{Email: "lara@studio.example"}); err != nil {
		t.Error(err)
	}
}

func TestAskForNewLinkOnceADay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	i, code := w.invite("lara@studio.example")
	w.force(i, invitation.Expired)
	nobody := access.Anonymous("en", "192.0.2.0/24")
	count := func() int { return strings.Count(w.mails(i.ID), "new_link_requested to gina@nordwind") }
	for n, step := range []time.Duration{0, time.Hour, 22 * time.Hour} {
		w.db.Clock().Advance(step)
		if err := w.AskForNewLink(t.Context(), nobody, code); err != nil || count() != 1 {
			t.Errorf("%d: %d mails, %v", n, count(), err)
		}
	}
	w.db.Clock().Advance(time.Hour)
	if err := w.AskForNewLink(t.Context(), nobody, code); err != nil || count() != 2 {
		t.Errorf("the next day: %d mails, %v", count(), err)
	}
}

func TestKeepWaiting(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	i, code := w.invite("lara@studio.example")
	w.db.Clock().Advance(29 * day)
	if err := w.KeepWaiting(t.Context(), access.Anonymous("en", ""), code); err != nil {
		t.Fatal(err)
	}
	got := w.reload(i)
	if got.WaitingSince == nil || !got.ExpiresAt.Equal(got.WaitingSince.Add(90*day)) {
		t.Errorf("got %+v", got)
	}
	if p, err := w.Preview(t.Context(), access.Anonymous("en", ""), code); err != nil || !p.Waiting || p.State != ProposalOpen {
		t.Errorf("got %+v, %v", p, err)
	}
	w.db.Clock().Advance(60 * day)
	if _, err := w.accept(w.bruno, code); err != nil {
		t.Errorf("after two more months: %v", err)
	}
}

// Mail goes to the person who asked, or to the Global admins where that
// person has left.
func TestAcceptedMailFollowsTheInviter(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sal := w.user(w.gina.OrganizationID, "sal@nordwind.example", access.SalesAgent)
	d, err := w.Request(t.Context(), sal, RequestInput{Email: "lara@studio.example"})
	if err != nil {
		t.Fatal(err)
	}
	p, err := w.accept(w.bruno, w.code(d.Invitation))
	if err != nil || !strings.Contains(w.mails(p.ID), "accepted_provider to sal@nordwind") {
		t.Errorf("mails: %s, %v", w.mails(p.ID), err)
	}
	_, other := w.company("Gamma")
	if d, err = w.Request(t.Context(), sal, RequestInput{Email: "b@studio.example"}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.db.Bun().ExecContext(t.Context(), "UPDATE user_account SET status = 'DISABLED' WHERE id = ?", sal.UserID); err != nil {
		t.Fatal(err)
	}
	p, err = w.accept(other, w.code(d.Invitation))
	if err != nil || !strings.Contains(w.mails(p.ID), "accepted_provider to gina@nordwind") {
		t.Errorf("mails: %s, %v", w.mails(p.ID), err)
	}
}
