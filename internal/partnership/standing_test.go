package partnership

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/event"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/invitation"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/internal/partner"
)

// tell performs the jobs that tell of a partner's standing.
func (w *world) tell() (done int) {
	w.t.Helper()
	for {
		handed, err := outbox.Claim(w.t.Context(), w.db, 500)
		if err != nil {
			w.t.Fatal(err)
		}
		if len(handed.Jobs) == 0 {
			return done
		}
		for _, h := range handed.Jobs {
			if h.Kind != (TellStanding{}).Kind() {
				continue
			}
			run, err := outbox.Begin(w.t.Context(), w.db, h.ID, h.Generation, "test", day)
			if err != nil || run == nil {
				w.t.Fatal(run, err)
			}
			var a TellStanding
			if err := json.Unmarshal([]byte(run.Job.Payload), &a); err != nil {
				w.t.Fatal(err)
			}
			if err := w.TellStanding(w.t.Context(), run, a); err != nil || !run.Finished() {
				w.t.Fatal(err, run.Finished())
			}
			if err := w.TellStanding(w.t.Context(), run, a); err == nil {
				w.t.Error("a second worker told it again")
			}
			done++
		}
	}
}

func (w *world) suspend(p *partner.Partner) {
	w.t.Helper()
	if _, err := w.partners.Suspend(w.t.Context(), w.chief, partner.SuspendInput{PartnerID: p.ID, Reason: "Complaints stay unanswered."}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) reinstate(p *partner.Partner) {
	w.t.Helper()
	if _, err := w.partners.Reinstate(w.t.Context(), w.chief, partner.ReinstateInput{PartnerID: p.ID, Reason: "They answered."}); err != nil {
		w.t.Fatal(err)
	}
}

// What a suspended provider can no longer do, and what stays.
func TestSuspendedProvider(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.partnered()
	_, lara := w.company("Studio")
	open, code := w.invite(lara.Email)
	link, personal := w.personal()
	w.suspend(w.provider)
	w.force(open, invitation.Sent)
	before := w.rows()
	for name, err := range map[string]error{
		"requests":                        second(w.Request(t.Context(), w.gina, RequestInput{Email: "x@other.example"})),
		"requests many":                   second(w.RequestMany(t.Context(), w.gina, RequestManyInput{Emails: []string{"x@other.example"}})),
		"drafts":                          second(w.Draft(t.Context(), w.gina, DraftInput{})),
		"has a link":                      second(w.Link(t.Context(), w.gina)),
		"rotates":                         second(w.RotateLink(t.Context(), w.gina, RotateLinkInput{})),
		"resends":                         second(w.invitations.Resend(t.Context(), w.gina, invitation.ResendInput{InvitationID: open.ID})),
		"is authorized by its invitation": second(w.accept(lara, code)),
		"is authorized by its link":       second(w.accept(lara, personal)),
	} {
		if !fault.Is(err, CodeProviderNotActive) {
			t.Errorf("a suspended provider %s: %v", name, err)
		}
	}
	w.same(before)
	for name, a := range map[string]access.Actor{"nobody": access.Anonymous("en", ""), "a reseller": lara} {
		pre, err := w.Preview(t.Context(), a, personal)
		if err != nil || pre.State != ProposalPaused || pre.MayAuthorize {
			t.Errorf("%s follows the personal link: %+v, %v", name, pre, err)
		}
		if pre, err = w.Preview(t.Context(), a, code); err != nil || pre.MayAuthorize {
			t.Errorf("%s follows the invitation: %+v, %v", name, pre, err)
		}
	}
	if now := w.now(p); now.Status != Active || !now.HasAdminAccess() {
		t.Errorf("the partnership: %+v", now)
	}
	if i := w.reload(open); !i.Status.Open() {
		t.Errorf("the open invitation is %s", i.Status)
	}
	jobs, err := w.db.Read().NewSelect().TableExpr("job").Where("subject_id = ?", open.ID).Where("kind = ?", SendInvitation{}.Kind()).Where("state IN ('pending', 'queued')").Count(t.Context())
	if err != nil || jobs != 1 {
		t.Errorf("%d pending operations, %v", jobs, err)
	}
	if _, err := w.end(w.gina, p); err != nil {
		t.Errorf("it cannot ask to end: %v", err)
	}
	w.reinstate(w.provider)
	if again, _ := w.personal(); again.Generation != link.Generation {
		t.Errorf("the link is another: %+v", again)
	}
	if _, err := w.accept(lara, code); err != nil {
		t.Errorf("once reinstated: %v", err)
	}
}

// An agreement that is overdue stops the same business, and no more.
func TestOverdueAgreement(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, code := w.invite(w.bruno.Email)
	_, personal := w.personal()
	overdue := func(p *partner.Partner) {
		if _, err := w.db.Bun().ExecContext(t.Context(), "UPDATE partner SET agreement_due_at = ? WHERE id = ?", w.db.Now().Add(-day), p.ID); err != nil {
			t.Fatal(err)
		}
	}
	overdue(w.reseller)
	for _, c := range []string{code, personal} {
		_, err := w.accept(w.bruno, c)
		wantCode(t, err, CodeAgreementNotSigned)
	}
	overdue(w.provider)
	_, err := w.Request(t.Context(), w.gina, RequestInput{Email: "x@other.example"})
	wantCode(t, err, CodeProviderAgreement)
	for _, c := range []string{code, personal} {
		_, err := w.accept(w.bruno, c)
		wantCode(t, err, CodeProviderAgreement)
	}
	if pre, err := w.Preview(t.Context(), access.Anonymous("en", ""), personal); err != nil || pre.State != ProposalPaused {
		t.Errorf("got %+v, %v", pre, err)
	}
}

// The partners of a suspended company hear of it once, and again when it is
// back; former partners hear nothing.
func TestPartnersAreTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.partnered()
	former, flora := w.company("Flora")
	_, code := w.invite(flora.Email)
	ended, err := w.accept(flora, code)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.db.Bun().ExecContext(t.Context(), "UPDATE partnership SET status = ? WHERE id = ?", Terminated, ended.ID); err != nil {
		t.Fatal(err)
	}
	events := func() int64 {
		n, err := w.db.Read().NewSelect().TableExpr("event").Where("kind = ?", event.PartnershipChanged).Where("subject_id = ?", p.ID).Count(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	before, quiet := w.mails(p.ID), w.mails(ended.ID)
	known := events()
	w.suspend(w.provider)
	if n := w.tell(); n != 1 {
		t.Errorf("%d jobs", n)
	}
	if got := strings.TrimPrefix(w.mails(p.ID), before); got != ", partner_suspended to gina@bianchi" || events() != known+1 {
		t.Errorf("got %s, %d events", got, events()-known)
	}
	w.reinstate(w.provider)
	w.suspend(w.reseller)
	w.reinstate(w.reseller)
	if n := w.tell(); n != 3 {
		t.Errorf("%d jobs", n)
	}
	// of the suspension that was over before it could be told nobody hears
	if got := strings.TrimPrefix(w.mails(p.ID), before); got != ", partner_suspended to gina@bianchi, partner_reinstated to gina@bianchi, partner_reinstated to gina@nordwind" &&
		got != ", partner_suspended to gina@bianchi, partner_reinstated to gina@nordwind, partner_reinstated to gina@bianchi" {
		t.Errorf("got %s", got)
	}
	if _, err := w.partners.Close(t.Context(), w.chief, partner.CloseInput{PartnerID: former.ID, Reason: "Left."}); err != nil {
		t.Fatal(err)
	}
	w.tell()
	if w.mails(ended.ID) != quiet {
		t.Errorf("a former partner hears: %s", w.mails(ended.ID))
	}
}

// A company that becomes active is told of the invitations that waited for
// it; a provider, who cannot answer any, is not.
func TestWaitingInvitationsAreOffered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	approved := func(in *partner.RegisterInput) { in.AgreementSignedAt, in.AgreementVersion = nil, nil }
	fresh, gina := w.company("Fresh", approved)
	_, code := w.invite(gina.Email)
	if err := w.KeepWaiting(t.Context(), gina, code); err != nil {
		t.Fatal(err)
	}
	_, rhine := w.company("Rhine", func(in *partner.RegisterInput) { in.Kind = access.IndirectProvider })
	if _, err := w.Request(t.Context(), rhine, RequestInput{Email: gina.Email}); err != nil {
		t.Fatal(err)
	}
	none, _ := w.company("None", approved)
	rival, rivals := w.company("Rival", approved, func(in *partner.RegisterInput) { in.Kind = access.IndirectProvider })
	w.invite(rivals.Email)
	gone, goner := w.company("Gone", approved)
	expired, _ := w.invite(goner.Email)
	w.force(expired, invitation.Revoked)
	for _, p := range []*partner.Partner{fresh, none, rival, gone} {
		w.tx(func(ctx context.Context, tx *database.Tx) error {
			_, err := w.partners.ActivateTx(ctx, tx, access.System("test"), p.ID, "2026-07")
			return err
		})
	}
	if got := w.mails(fresh.ID); got != "invitations_waiting to gina@fresh" {
		t.Errorf("mails: %s", got)
	}
	all, err := w.mailer.BySubject(t.Context(), []ident.ID{fresh.ID})
	if err != nil || all[fresh.ID][0].Data["Count"] != "2" || all[fresh.ID][0].Data["InviterCompany"] != "Rhine" {
		t.Errorf("got %+v, %v", all[fresh.ID], err)
	}
	for _, p := range []*partner.Partner{none, rival, gone} {
		if got := w.mails(p.ID); got != "" {
			t.Errorf("%s is told: %s", p.LegalName, got)
		}
	}
	if waiting, err := w.Received(t.Context(), w.as(gina.UserID)); err != nil || len(waiting) != 2 {
		t.Errorf("offered %v, %v", waiting, err)
	}
	if joined, err := w.accept(w.as(gina.UserID), code); err != nil || joined.Status != Active {
		t.Errorf("got %+v, %v", joined, err)
	}
	if n := w.tell(); n != 0 {
		t.Errorf("a company that is new tells its partners: %d", n)
	}
}
