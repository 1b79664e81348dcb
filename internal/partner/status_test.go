package partner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/audit"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/event"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
)

// Every status × every verb.
func TestStatusAndVerbs(t *testing.T) {
	t.Parallel()
	leads := map[Verb]map[Status]Status{
		VerbActivate:  {Approved: Active},
		VerbSuspend:   {Active: Suspended},
		VerbReinstate: {Suspended: Active},
		VerbClose:     {Active: Closed, Suspended: Closed},
	}
	for _, s := range Statuses {
		for _, v := range Verbs {
			next, ok := s.Next(v)
			want, may := leads[v][s]
			if ok != may || may && next != want || !may && next != s {
				t.Errorf("%s %s leads to %s, %t", v, s, next, ok)
			}
		}
		if _, ok := s.Next("fly"); ok {
			t.Errorf("%s flies", s)
		}
	}
}

func TestAgreementSigned(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		p    Partner
		want bool
	}{
		"never":                {Partner{}, false},
		"never, and asked":     {Partner{AgreementDueAt: ptr(now.Add(time.Hour))}, false},
		"signed":               {Partner{AgreementSignedAt: &now}, true},
		"asked, time is left":  {Partner{AgreementSignedAt: &now, AgreementDueAt: ptr(now.Add(time.Microsecond))}, true},
		"asked, this moment":   {Partner{AgreementSignedAt: &now, AgreementDueAt: &now}, false},
		"asked, and forgotten": {Partner{AgreementSignedAt: &now, AgreementDueAt: ptr(now.Add(-time.Hour))}, false},
	} {
		if c.p.AgreementSigned(now) != c.want {
			t.Errorf("%s: want %t", name, c.want)
		}
	}
}

func (w *world) suspend(p *Partner) (*Partner, error) {
	return w.Suspend(w.t.Context(), w.chief, SuspendInput{PartnerID: p.ID, Reason: " Complaints stay unanswered. "})
}

func (w *world) reinstate(p *Partner) (*Partner, error) {
	return w.Reinstate(w.t.Context(), w.chief, ReinstateInput{PartnerID: p.ID, Reason: "They answered."})
}

func (w *world) close(p *Partner) (*Partner, error) {
	return w.Close(w.t.Context(), w.chief, CloseInput{PartnerID: p.ID, Reason: "They asked to leave."})
}

func (w *world) mails(p *Partner) string {
	w.t.Helper()
	all, err := w.mailer.BySubject(w.t.Context(), []ident.ID{p.ID})
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for _, m := range all[p.ID] {
		out = append(out, strings.TrimPrefix(m.Template, "partner_")+" "+strings.TrimSuffix(m.Recipient, ".example"))
	}
	return strings.Join(out, ", ")
}

func (w *world) audited(target ident.ID) string {
	w.t.Helper()
	var out []string
	err := w.db.Read().NewSelect().Model((*audit.Event)(nil)).ColumnExpr("action || ' ' || reason").Where("target_id = ?", target).OrderExpr("at, action, reason").Scan(w.t.Context(), &out)
	if err != nil {
		w.t.Fatal(err)
	}
	return strings.Join(out, ", ")
}

// count counts what a refused verb must not write.
func (w *world) count() string {
	w.t.Helper()
	var out []string
	for _, table := range []string{"job", "mail_message", "audit_event", "event"} {
		n, err := w.db.Read().NewSelect().TableExpr(table).Count(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		out = append(out, fmt.Sprintf("%s %d", table, n))
	}
	return strings.Join(out, ", ")
}

func TestSuspendReinstateClose(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var told []string
	note := func(what string) func(context.Context, *database.Tx, *Partner) error {
		return func(_ context.Context, tx *database.Tx, p *Partner) error {
			tx.AfterCommit(func() { told = append(told, what+" "+string(p.Status)) })
			return nil
		}
	}
	w.OnActive(note("active"))
	w.OnSuspended(note("halted"))
	w.OnClosed(note("gone"))
	p, gina := w.company("Acme")
	got, err := w.suspend(p)
	if err != nil || got.Status != Suspended || got.StatusReason != "Complaints stay unanswered." || got.StatusChangedAt == nil || got.Version != 2 || got.IsActive() {
		t.Fatal(got, err)
	}
	if _, err := w.suspend(p); problems(err) != "partnerId PARTNER_STATUS_FORBIDS" {
		t.Errorf("twice: %v", err)
	}
	activated := p.ActivatedAt
	got, err = w.reinstate(p)
	if err != nil || got.Status != Active || got.StatusReason != "" || !got.ActivatedAt.Equal(*activated) || !got.AgreementSigned(w.db.Now()) {
		t.Fatal(got, err)
	}
	if got, err = w.close(p); err != nil || got.Status != Closed || got.StatusReason != "They asked to leave." {
		t.Fatal(got, err)
	}
	for name, verb := range map[string]func(*Partner) (*Partner, error){"suspend": w.suspend, "reinstate": w.reinstate, "close": w.close} {
		if _, err := verb(p); problems(err) != "partnerId PARTNER_STATUS_FORBIDS" {
			t.Errorf("%s once closed: %v", name, err)
		}
	}
	if m := w.mails(p); m != "suspended gina@acme, reinstated gina@acme, closed gina@acme" {
		t.Errorf("mails: %s", m)
	}
	if a := w.audited(p.ID); a != "partner.registered , partner.suspended Complaints stay unanswered., partner.reinstated They answered., partner.closed They asked to leave." {
		t.Errorf("audit: %s", a)
	}
	if want := []string{"halted SUSPENDED", "active ACTIVE", "halted CLOSED", "gone CLOSED"}; !slices.Equal(told, want) {
		t.Errorf("told %v", told)
	}
	var of []ident.ID
	if err := w.db.Read().NewSelect().TableExpr("event").ColumnExpr("organization_id").Where("kind = ?", event.PartnerChanged).Scan(t.Context(), &of); err != nil ||
		!slices.Equal(of, []ident.ID{p.OrganizationID, p.OrganizationID, p.OrganizationID}) {
		t.Errorf("events for %v, %v", of, err)
	}
	// who never signed is approved again, and told so
	unsigned, _ := w.company("Costa", func(in *RegisterInput) {
		in.AgreementSignedAt, in.AgreementVersion, in.Status = nil, nil, ptr(Suspended)
	})
	if got, err := w.reinstate(unsigned); err != nil || got.Status != Approved || got.ActivatedAt != nil || len(told) != 4 {
		t.Errorf("got %+v, %v, %v", got, err, told)
	}
	if _, err := w.close(unsigned); !fault.Is(err, CodeStatusForbids) {
		t.Errorf("closing what was never active: %v", err)
	}
	// who was suspended is halted no second time, but gone
	idle, _ := w.company("Delta")
	if _, err := w.suspend(idle); err != nil {
		t.Fatal(err)
	}
	if _, err := w.close(idle); err != nil || !slices.Equal(told[4:], []string{"halted SUSPENDED", "gone CLOSED"}) {
		t.Errorf("told %v, %v", told, err)
	}
	if a, err := access.Load(t.Context(), w.db.Read(), access.Presence{UserID: gina.UserID}); err != nil || a.IsAnonymous() {
		t.Errorf("the people of a closed partner cannot sign in: %v", err)
	}
}

func TestSuspendIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p, gina := w.company("Acme")
	var rita access.Actor
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		orgs, err := w.accounts.OrganizationsTx(ctx, tx, w.chief, []ident.ID{w.chief.OrganizationID})
		if err != nil {
			return err
		}
		u, _, err := w.accounts.AddUser(ctx, tx, access.System("test"), orgs[w.chief.OrganizationID], account.NewUser{Email: "rita@operator.example", FirstName: "Rita", LastName: "Ferri",
			Roles: []access.Role{access.Reviewer}, Password: "velvet tractor lagoon 41"})
		rita.UserID = u.ID
		return err
	})
	rita = w.as(rita.UserID)
	before := w.count()
	for name, c := range map[string]struct {
		actor access.Actor
		in    SuspendInput
		want  string
	}{
		"nobody":              {access.Anonymous("en", ""), SuspendInput{PartnerID: p.ID, Reason: "x"}, "UNAUTHENTICATED"},
		"the partner itself":  {gina, SuspendInput{PartnerID: p.ID, Reason: "x"}, "ROLE_REQUIRED"},
		"a reviewer":          {rita, SuspendInput{PartnerID: p.ID, Reason: "x"}, "ROLE_REQUIRED"},
		"no reason":           {w.chief, SuspendInput{PartnerID: p.ID, Reason: " \n"}, "reason REQUIRED"},
		"a reason of 501":     {w.chief, SuspendInput{PartnerID: p.ID, Reason: strings.Repeat("ü", 501)}, "reason TOO_LONG"},
		"a reason turned":     {w.chief, SuspendInput{PartnerID: p.ID, Reason: "a\u202Eb"}, "reason CONTROL_CHARACTERS"},
		"none":                {w.chief, SuspendInput{PartnerID: "par_none", Reason: "x"}, "partnerId NOT_FOUND"},
		"of a former version": {w.chief, SuspendInput{PartnerID: p.ID, Reason: "x", ExpectedVersion: ptr(0)}, "expectedVersion CONFLICT"},
	} {
		_, suspend := w.Suspend(t.Context(), c.actor, c.in)
		_, reinstate := w.Reinstate(t.Context(), c.actor, ReinstateInput(c.in))
		_, end := w.Close(t.Context(), c.actor, CloseInput(c.in))
		for verb, err := range map[string]error{"suspend": suspend, "reinstate": reinstate, "close": end} {
			if !fault.Is(err, c.want) && problems(err) != c.want {
				t.Errorf("%s, %s: got %v, want %s", name, verb, err, c.want)
			}
		}
	}
	failing := errors.New("no")
	w.OnSuspended(func(context.Context, *database.Tx, *Partner) error { return failing })
	if _, err := w.suspend(p); !errors.Is(err, failing) {
		t.Errorf("got %v", err)
	}
	if after := w.count(); after != before {
		t.Errorf("something was written:\n%s\n%s", before, after)
	}
}

// A company invites its people once it takes part, and whatever becomes of it
// later; who is no partner at all is not asked.
func TestWhoMayInviteUsers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	invite := func(a access.Actor) error {
		_, _, err := w.accounts.InviteUser(t.Context(), a, account.InviteUserInput{Email: "new." + a.Email})
		return err
	}
	found := func(kind access.Kind, slug string) access.Actor {
		var u *account.User
		w.tx(func(ctx context.Context, tx *database.Tx) error {
			o, err := w.accounts.Found(ctx, tx, access.System("test"), account.NewOrganization{Kind: kind, Name: slug, Domain: slug + ".example", Country: "IT"})
			if err != nil {
				return err
			}
			u, _, err = w.accounts.AddUser(ctx, tx, access.System("test"), o, account.NewUser{Email: "gina@" + slug + ".example", FirstName: "Gina", LastName: "Rossi",
				Roles: []access.Role{access.GlobalAdmin}, Password: "velvet tractor lagoon 41"})
			return err
		})
		return w.as(u.ID)
	}
	for _, kind := range []access.Kind{access.IndirectReseller, access.IndirectProvider, access.DirectBill} {
		if err := invite(found(kind, "applies-"+strings.ToLower(strings.ReplaceAll(string(kind), "_", "-")))); problems(err) != " "+CodeNotYetActive {
			t.Errorf("%s that applies: %v", kind, err)
		}
	}
	for name, a := range map[string]access.Actor{"a customer": found(access.Customer, "buyer"), "the operator": w.chief} {
		if err := invite(a); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	p, gina := w.company("Bianchi")
	for _, s := range Statuses {
		if _, err := w.db.Bun().NewUpdate().Model(p).Set("status = ?", s).WherePK().Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, _, err := w.accounts.InviteUser(t.Context(), gina, account.InviteUserInput{Email: strings.ToLower(string(s)) + "@bianchi.example"})
		if (err == nil) != (s == Active || s == Suspended || s == Closed) || err != nil && problems(err) != " "+CodeNotYetActive {
			t.Errorf("%s: %v", s, err)
		}
	}
}

func TestTwoSuspendAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p, _ := w.company("Acme")
	errs := make([]error, 4)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() { _, errs[i] = w.suspend(p) })
	}
	all.Wait()
	done := 0
	for _, err := range errs {
		if err == nil {
			done++
		} else if !fault.Is(err, CodeStatusForbids) {
			t.Errorf("got %v", err)
		}
	}
	if done != 1 || w.mails(p) != "suspended gina@acme" {
		t.Errorf("%d suspended it: %s", done, w.mails(p))
	}
}

func TestStatusOf(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme, _ := w.company("Acme", func(in *RegisterInput) { in.Country = "US" })
	_, gina := w.company("Beta")
	look := func(a access.Actor, in StatusInput) string {
		t.Helper()
		s, err := w.StatusOf(t.Context(), a, in)
		if err != nil {
			return problems(err)
		}
		if s == nil {
			return "unknown"
		}
		return fmt.Sprintf("%s %s %t %t", s.Kind, s.Region, s.Active, s.AgreementSigned)
	}
	entering := gina
	entering.PartnerID = ""
	for name, c := range map[string]struct {
		actor access.Actor
		in    StatusInput
		want  string
	}{
		"not in yet":      {entering, StatusInput{TenantDomain: ptr("acme.example")}, "unknown"},
		"by programme ID": {gina, StatusInput{ProgrammeID: ptr(" " + acme.ProgrammeID + " ")}, "INDIRECT_RESELLER NORTH_AMERICA true true"},
		"by domain":       {gina, StatusInput{TenantDomain: ptr("ACME.example")}, "INDIRECT_RESELLER NORTH_AMERICA true true"},
		"the operator":    {w.chief, StatusInput{TenantDomain: ptr("acme.example")}, "INDIRECT_RESELLER NORTH_AMERICA true true"},
		"unknown ID":      {gina, StatusInput{ProgrammeID: ptr("9999999")}, "unknown"},
		"no ID":           {gina, StatusInput{ProgrammeID: ptr("")}, "unknown"},
		"unknown domain":  {gina, StatusInput{TenantDomain: ptr("nobody.example")}, "unknown"},
		"the operator's":  {gina, StatusInput{TenantDomain: ptr("operator.example")}, "unknown"},
		"no domain":       {gina, StatusInput{TenantDomain: ptr("' OR 1=1")}, "unknown"},
		"neither":         {gina, StatusInput{}, "programmeId EXACTLY_ONE"},
		"both":            {gina, StatusInput{ProgrammeID: &acme.ProgrammeID, TenantDomain: ptr("acme.example")}, "programmeId EXACTLY_ONE"},
		"nobody":          {access.Anonymous("en", ""), StatusInput{TenantDomain: ptr("acme.example")}, ""},
	} {
		got := look(c.actor, c.in)
		if c.want == "INDIRECT_RESELLER NORTH_AMERICA true true" {
			c.want = fmt.Sprintf("INDIRECT_RESELLER %s true true", acme.Region)
		}
		if got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
	if _, err := w.suspend(acme); err != nil {
		t.Fatal(err)
	}
	if got := look(gina, StatusInput{TenantDomain: ptr("acme.example")}); got != fmt.Sprintf("INDIRECT_RESELLER %s false true", acme.Region) {
		t.Errorf("suspended: %s", got)
	}
	// found or not, a look-up counts; the operator's do not
	for range 200 {
		look(w.chief, StatusInput{ProgrammeID: ptr("1")})
	}
	n := 0
	for fault.KindOf(func() error {
		_, err := w.StatusOf(t.Context(), gina, StatusInput{ProgrammeID: ptr("1")})
		return err
	}()) != fault.KindLimited {
		if n++; n > lookUps {
			break
		}
	}
	if n == 0 || n > lookUps {
		t.Errorf("%d look-ups passed", n)
	}
	_, other := w.company("Gamma")
	if got := look(other, StatusInput{TenantDomain: ptr("acme.example")}); got == "" {
		t.Error("another organization is kept out")
	}
	w.db.Clock().Advance(time.Hour)
	if got := look(gina, StatusInput{TenantDomain: ptr("acme.example")}); got == "" {
		t.Error("the hour does not end")
	}
}
