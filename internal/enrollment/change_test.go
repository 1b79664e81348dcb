package enrollment

import (
	"context"
	"testing"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/partner"
	"github.com/channelgraph/channelgraph/internal/register"
)

// enrolled is a partner with its Global admin.
func (d *house) enrolled(name string) (*partner.Partner, access.Actor) {
	d.t.Helper()
	e, gina := d.reviewed(name)
	d.decide(d.rita, e.ID)
	e, err := d.Approve(d.t.Context(), d.rita, ApproveInput{EnrollmentID: e.ID})
	if err != nil {
		d.t.Fatal(err)
	}
	d.tx(func(ctx context.Context, tx *database.Tx) error {
		if _, err := d.partners.ActivateTx(ctx, tx, access.System("test"), *e.PartnerID, "2026-01"); err != nil {
			return err
		}
		return d.SignedTx(ctx, tx, access.System("test"), e.OrganizationID)
	})
	if got := d.reload(e.ID); got.Status != Active {
		d.t.Fatalf("%+v", got)
	}
	return d.partner(*e.PartnerID), d.as(gina.UserID)
}

func (d *house) partner(id ident.ID) *partner.Partner {
	d.t.Helper()
	ps, err := d.partners.ByIDs(d.t.Context(), d.chief, []ident.ID{id})
	if err != nil || ps[id] == nil {
		d.t.Fatal(ps, err)
	}
	return ps[id]
}

// Only what changed is checked again, and the partner stays as it is until a
// reviewer has approved.
func TestRequestChange(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	ctx := t.Context()
	p, gina := d.enrolled("Bianchi")

	e, op, err := d.RequestChange(ctx, gina, ChangeInput{Legal: &LegalInput{Name: val("Bianchi Nuova"), Address: &AddressInput{City: val("Milano")}}, IdempotencyKey: val("k")})
	if err != nil || op != nil {
		t.Fatal(op, err)
	}
	again, _, err := d.RequestChange(ctx, gina, ChangeInput{Legal: &LegalInput{Name: val("Bianchi Nuova"), Address: &AddressInput{City: val("Milano")}}, IdempotencyKey: val("k")})
	if err != nil || again.ID != e.ID {
		t.Errorf("a replay made %+v, %v", again, err)
	}
	if e.Status != InReview || e.Purpose != Change || *e.PartnerID != p.ID || e.DueAt == nil || d.standing(e.ID) != "BUSINESS RUNNING  SYSTEM" {
		t.Errorf("%+v: %s", e, d.standing(e.ID))
	}
	d.work()
	if got := d.partner(p.ID); got.LegalName != "Bianchi" || got.Address.City != "Torino" || !got.IsActive() {
		t.Errorf("changed before it was approved: %+v", got)
	}
	if _, _, err := d.RequestChange(ctx, gina, ChangeInput{Contact: &ContactInput{Phone: val("+39 011 999999")}}); codes(err) != " ENROLLMENT_OPEN" && !fault.Is(err, CodeOpen) {
		t.Errorf("a second change: %s", codes(err))
	}
	if _, err := d.partners.UpdateSupport(ctx, gina, partner.UpdateSupportInput{PartnerID: p.ID, Support: partner.Support{Email: "new@bianchi.example", Phone: "+39 011 1234567", Website: "https://bianchi.example"}}); err != nil {
		t.Fatal(err)
	}
	d.decide(d.rita, e.ID)
	if e, err = d.Approve(ctx, d.rita, ApproveInput{EnrollmentID: e.ID}); err != nil || e.Status != Active || e.ActivatedAt == nil {
		t.Fatal(e, err)
	}
	if got := d.partner(p.ID); got.LegalName != "Bianchi Nuova" || got.Address.City != "Milano" || got.Support.Email != "new@bianchi.example" || !got.IsActive() || got.ProgrammeID != p.ProgrammeID {
		t.Errorf("%+v", got)
	}
	if got := d.mails(e.ID); got != "change_applied>gina change_applied>giulia change_received>gina change_received>giulia" {
		t.Errorf("mailed %s", got)
	}
	orgs, err := d.accounts.Organizations(ctx, gina, []ident.ID{p.OrganizationID})
	if err != nil || orgs[p.OrganizationID].Name != "Bianchi Nuova" {
		t.Errorf("%+v, %v", orgs, err)
	}

	// Another contact confirms the own address, the register is not asked, and
	// a reviewer decides.
	d.UseRegister(func(context.Context, string, string) (*register.Company, error) {
		t.Error("the register was asked about a contact")
		return nil, register.ErrNotCovered
	})
	paolo := ChangeInput{Contact: &ContactInput{FirstName: val("Paolo"), Email: val("paolo@bianchi.example")}, IdempotencyKey: val("p")}
	e, op, err = d.RequestChange(ctx, gina, paolo)
	if err != nil || e.Status != EmailPending || e.DueAt != nil || !sends(op, e) {
		t.Fatal(e, op, err)
	}
	if f, same, err := d.RequestChange(ctx, gina, paolo); err != nil || f.ID != e.ID || same.ID != op.ID {
		t.Errorf("a replay made %+v, %+v, %v", f, same, err)
	}
	if got := d.mails(e.ID); got != "verification>paolo" {
		t.Errorf("mailed %s", got)
	}
	e = d.confirm(e)
	if got := d.standing(e.ID); e.Status != InReview || got != "EMAIL_OWNERSHIP PASSED ADDRESS_CONFIRMED , EMPLOYMENT PASSED DOMAIN_MATCH" {
		t.Errorf("%s: %s", e.Status, got)
	}
	if _, err := d.Reject(ctx, d.rita, RejectInput{EnrollmentID: e.ID, ReasonCode: OtherReason, Note: "Who is Paolo?"}); err != nil {
		t.Fatal(err)
	}
	if got := d.partner(p.ID); got.Contact.FirstName != "Giulia" || !got.IsActive() {
		t.Errorf("a rejected change touched the partner: %+v", got)
	}

	// A telephone number asks for no check.
	if e, op, err = d.RequestChange(ctx, gina, ChangeInput{Contact: &ContactInput{Phone: val("+39 011 999999")}}); err != nil || e.Status != Active || op != nil {
		t.Fatal(e, op, err)
	}
	if got := d.partner(p.ID); got.Contact.Phone != "+39 011 999999" {
		t.Errorf("%+v", got)
	}
	if got := d.audited(e.ID); got != "approved change_requested" && got != "change_requested approved" {
		t.Errorf("audited %s", got)
	}
}

func TestRequestChangeRefused(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	ctx := t.Context()
	other, _ := d.enrolled("Verdi")
	p, gina := d.enrolled("Bianchi")
	_, draft := d.found("Neri")
	for name, c := range map[string]struct {
		actor access.Actor
		in    ChangeInput
		want  string
	}{
		"nothing":           {gina, ChangeInput{}, "UNCHANGED"},
		"the same":          {gina, ChangeInput{Legal: &LegalInput{Name: val(" Bianchi ")}, Contact: &ContactInput{Email: val("GIULIA@Bianchi.example")}}, "UNCHANGED"},
		"all problems":      {gina, ChangeInput{Legal: &LegalInput{Name: val("S.r.l."), RegistrationID: val("123")}, Contact: &ContactInput{Email: val("x@gmail.com")}}, "several"},
		"a duplicate":       {gina, ChangeInput{Legal: &LegalInput{Name: val("VERDI S.p.A."), RegistrationID: &other.RegistrationID}}, "legal.name DUPLICATE, legal.registrationId DUPLICATE"},
		"the operator":      {d.chief, ChangeInput{}, "ROLE_REQUIRED"},
		"not enrolled yet":  {draft, ChangeInput{Legal: &LegalInput{Name: val("Nero")}}, "NOT_ENROLLED"},
		"an over-long text": {gina, ChangeInput{Legal: &LegalInput{Website: val(string(make([]byte, 5000)))}}, "legal.website TOO_LONG"},
	} {
		_, _, err := d.RequestChange(ctx, c.actor, c.in)
		switch {
		case c.want == "several":
			if f := fault.As(err); f == nil || len(f.Problems) != 3 {
				t.Errorf("%s: %s", name, codes(err))
			}
		case codes(err) != c.want && !fault.Is(err, c.want):
			t.Errorf("%s: %s, want %s", name, codes(err), c.want)
		}
	}
	if got := d.partner(p.ID); got.Version != p.Version {
		t.Errorf("%+v", got)
	}
}
