package partnership

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/page"
	"github.com/channelgraph/channelgraph/internal/partner"
)

func (w *world) end(a access.Actor, p *Partnership) (*Termination, error) {
	return w.RequestTermination(w.t.Context(), a, RequestTerminationInput{PartnershipID: p.ID, Reason: "We close the office."})
}

func (w *world) now(p *Partnership) *Partnership {
	w.t.Helper()
	ps, err := w.ByIDs(w.t.Context(), w.chief, []ident.ID{p.ID})
	if err != nil || ps[p.ID] == nil {
		w.t.Fatal(ps, err)
	}
	return ps[p.ID]
}

// Every state of a request to end × every verb on it.
func TestTerminationStatesAndVerbs(t *testing.T) {
	t.Parallel()
	verbs := map[string]func(*world, ident.ID) error{
		"withdraw": func(w *world, id ident.ID) error {
			_, err := w.WithdrawTermination(w.t.Context(), w.bruno, WithdrawTerminationInput{TerminationID: id})
			return err
		},
		"complete": func(w *world, id ident.ID) error {
			_, err := w.CompleteTermination(w.t.Context(), w.chief, DecideTerminationInput{TerminationID: id, Note: ptr("Agreed.")})
			return err
		},
		"refuse": func(w *world, id ident.ID) error {
			_, err := w.RefuseTermination(w.t.Context(), w.chief, DecideTerminationInput{TerminationID: id, Note: ptr("Open orders.")})
			return err
		},
	}
	leads := map[string]struct {
		to          TerminationStatus
		partnership Status
		action      string
		mails       string
	}{
		"withdraw": {TerminationWithdrawn, Active, "partnership.termination_withdrawn", ""},
		"complete": {TerminationCompleted, Terminated, "partnership.terminated", "termination_completed"},
		"refuse":   {TerminationRefused, Active, "partnership.termination_refused", "termination_refused"},
	}
	for first := range verbs {
		t.Run(first, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			p := w.partnered()
			granted := p.AdminAccessGrantedAt
			req, err := w.end(w.bruno, p)
			if err != nil || req.Status != TerminationRequested || w.now(p).Status != Terminating || !w.now(p).HasAdminAccess() {
				t.Fatal(req, err)
			}
			if m := w.mails(p.ID); !strings.HasSuffix(m, "termination_requested to gina@nordwind") {
				t.Errorf("mails: %s", m)
			}
			if err := verbs[first](w, req.ID); err != nil {
				t.Fatal(err)
			}
			want := leads[first]
			got, err := w.TerminationsByIDs(t.Context(), w.chief, []ident.ID{req.ID})
			if err != nil || got[req.ID].Status != want.to || got[req.ID].DecidedAt == nil || got[req.ID].DecidedByID == nil || got[req.ID].Version != 2 {
				t.Errorf("got %+v, %v", got[req.ID], err)
			}
			after := w.now(p)
			if after.Status != want.partnership || (after.TerminatedAt != nil) != (after.Status == Terminated) || !after.AdminAccessGrantedAt.Equal(*granted) || after.AdminAccessWithdrawnAt != nil {
				t.Errorf("got %+v", after)
			}
			if want.mails != "" && strings.Count(w.mails(p.ID), want.mails+" to ") != 2 {
				t.Errorf("mails: %s", w.mails(p.ID))
			}
			if a := w.audited(req.ID); !strings.HasPrefix(a, "partnership.termination_requested "+want.action) {
				t.Errorf("audit: %s", a)
			}
			before := w.rows()
			for second, verb := range verbs {
				if err := verb(w, req.ID); !fault.Is(err, fault.CodeConflict) {
					t.Errorf("%s after %s: %v", second, first, err)
				}
			}
			w.same(before)
			_, err = w.end(w.gina, p) // the other side, anew
			if want.partnership == Terminated {
				wantCode(t, err, "PARTNERSHIP_TERMINATED")
				_, err = w.WithdrawAdminAccess(t.Context(), w.bruno, WithdrawAdminAccessInput{PartnershipID: p.ID})
				wantCode(t, err, "ADMIN_ACCESS_NOT_HELD")
				_, code := w.invite(w.bruno.Email)
				if again, err := w.accept(w.bruno, code); err != nil || again.ID == p.ID {
					t.Errorf("they may join again: %v", err)
				}
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

func TestRequestTermination(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.partnered()
	_, stranger := w.company("Gamma")
	in := RequestTerminationInput{PartnershipID: p.ID, Reason: " We close. ", IdempotencyKey: ptr("k")}
	req, err := w.RequestTermination(t.Context(), w.gina, in)
	if err != nil || req.Reason != "We close." || req.RequesterID != w.provider.ID {
		t.Fatal(req, err)
	}
	again, err := w.RequestTermination(t.Context(), w.gina, in)
	if err != nil || again.ID != req.ID {
		t.Errorf("the same key: %+v, %v", again, err)
	}
	before := w.rows()
	for _, a := range []access.Actor{w.gina, w.bruno} {
		_, err := w.end(a, p)
		wantCode(t, err, "TERMINATION_PENDING")
	}
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"withdrawn by the other side": {second(w.WithdrawTermination(t.Context(), w.bruno, WithdrawTerminationInput{TerminationID: req.ID})), "terminationId NOT_FOUND"},
		"withdrawn by a stranger":     {second(w.WithdrawTermination(t.Context(), stranger, WithdrawTerminationInput{TerminationID: req.ID})), "terminationId NOT_FOUND"},
		"withdrawn by the operator":   {second(w.WithdrawTermination(t.Context(), w.chief, WithdrawTerminationInput{TerminationID: req.ID})), "terminationId NOT_FOUND"},
		"none":                        {second(w.CompleteTermination(t.Context(), w.chief, DecideTerminationInput{TerminationID: "trm_none"})), "terminationId NOT_FOUND"},
		"of a former version":         {second(w.CompleteTermination(t.Context(), w.chief, DecideTerminationInput{TerminationID: req.ID, ExpectedVersion: ptr(0)})), "expectedVersion CONFLICT"},
		"with a note too long":        {second(w.RefuseTermination(t.Context(), w.chief, DecideTerminationInput{TerminationID: req.ID, Note: ptr(strings.Repeat("x", 501))})), "note TOO_LONG"},
	} {
		if got := problems(c.err); got != c.want {
			t.Errorf("%s: got %s", name, got)
		}
	}
	w.same(before)
	open, err := w.OpenTerminations(t.Context(), w.bruno, []ident.ID{p.ID})
	if err != nil || open[p.ID] == nil || open[p.ID].ID != req.ID {
		t.Errorf("got %v, %v", open, err)
	}
	if open, err := w.OpenTerminations(t.Context(), stranger, []ident.ID{p.ID}); err != nil || len(open) != 0 {
		t.Errorf("a stranger sees %v, %v", open, err)
	}
	for name, c := range map[string]struct {
		actor access.Actor
		want  int
	}{"operator": {w.chief, 1}, "provider": {w.gina, 1}, "reseller": {w.bruno, 1}, "stranger": {stranger, 0}} {
		l, err := w.ListTerminations(t.Context(), c.actor, page.Args{}, TerminationFilter{Status: []TerminationStatus{TerminationRequested}})
		if err != nil || len(l.Edges) != c.want {
			t.Errorf("%s lists %d, %v", name, len(l.Edges), err)
		}
		if l, err := w.ListTerminations(t.Context(), c.actor, page.Args{}, TerminationFilter{Status: []TerminationStatus{TerminationRefused}}); err != nil || len(l.Edges) != 0 {
			t.Errorf("%s lists %d refused ones, %v", name, len(l.Edges), err)
		}
	}
	if _, err := w.ListTerminations(t.Context(), access.Anonymous("en", ""), page.Args{}, TerminationFilter{}); !fault.Is(err, fault.CodeUnauthenticated) {
		t.Errorf("got %v", err)
	}
}

func second[T any](_ T, err error) error { return err }

func TestTwoAskToEndAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.partnered()
	errs := make([]error, 4)
	var all sync.WaitGroup
	for i, a := range []access.Actor{w.gina, w.bruno, w.gina, w.bruno} {
		all.Go(func() { _, errs[i] = w.end(a, p) })
	}
	all.Wait()
	made := 0
	for _, err := range errs {
		if err == nil {
			made++
		} else {
			wantCode(t, err, "TERMINATION_PENDING")
		}
	}
	if made != 1 {
		t.Errorf("%d requests", made)
	}
}

func TestWithdrawAdminAccess(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.partnered()
	withdraw := func(a access.Actor, version *int) (*Partnership, error) {
		return w.WithdrawAdminAccess(t.Context(), a, WithdrawAdminAccessInput{PartnershipID: p.ID, ExpectedVersion: version})
	}
	_, stranger := w.company("Gamma")
	for name, c := range map[string]struct {
		actor access.Actor
		want  string
	}{
		"nobody":      {access.Anonymous("en", ""), fault.CodeUnauthenticated},
		"a stranger":  {stranger, fault.CodeNotFound},
		"provider":    {w.gina, fault.CodeRoleRequired},
		"operator":    {w.chief, fault.CodeRoleRequired},
		"Admin agent": {w.user(w.bruno.OrganizationID, "a@bianchi.example", access.AdminAgent), fault.CodeRoleRequired},
	} {
		before := w.rows()
		_, err := withdraw(c.actor, nil)
		if !fault.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		w.same(before)
	}
	_, err := withdraw(w.bruno, ptr(p.Version+1))
	wantCode(t, err, fault.CodeConflict)
	got, err := withdraw(w.bruno, &p.Version)
	if err != nil || got.HasAdminAccess() || got.Status != Active || got.Version != p.Version+1 {
		t.Fatal(got, err)
	}
	if m := w.mails(p.ID); !strings.HasSuffix(m, "admin_access_withdrawn to gina@nordwind") {
		t.Errorf("mails: %s", m)
	}
	if a := w.audited(p.ID); a != "partnership.authorized partnership.admin_access_withdrawn" {
		t.Errorf("audit: %s", a)
	}
	_, err = withdraw(w.bruno, nil)
	wantCode(t, err, "ADMIN_ACCESS_NOT_HELD")
}

// The verbs on a partnership by every role of both sides: spec section 1.
func TestWhoMayEndIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.partnered()
	for _, side := range []access.Actor{w.gina, w.bruno} {
		for _, r := range access.RolesOf(side.Kind) {
			_, domain, _ := strings.Cut(side.Email, "@")
			a := w.user(side.OrganizationID, strings.ToLower(strings.ReplaceAll(string(r), "_", ""))+"2@"+domain, r)
			req, err := w.end(a, p)
			if r != access.GlobalAdmin {
				wantCode(t, err, fault.CodeRoleRequired)
				continue
			}
			if err != nil {
				t.Errorf("%s %s: %v", side.Kind, r, err)
				continue
			}
			if _, err := w.CompleteTermination(t.Context(), a, DecideTerminationInput{TerminationID: req.ID}); !fault.Is(err, fault.CodeRoleRequired) {
				t.Errorf("only the operator ends it: %v", err)
			}
			if _, err := w.WithdrawTermination(t.Context(), a, WithdrawTerminationInput{TerminationID: req.ID}); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestListOfPartnerships(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, code := w.personal()
	join := func(name string, change ...func(*partner.RegisterInput)) (*Partnership, access.Actor) {
		t.Helper()
		_, a := w.company(name, change...)
		w.db.Clock().Advance(1)
		p, err := w.accept(a, code)
		if err != nil {
			t.Fatal(err)
		}
		return p, a
	}
	join("Zeta GmbH", func(in *partner.RegisterInput) { in.TenantDomain, in.Admin.Email = "zeta.example", "g@zeta.example" })
	second, elan := join("Élan")
	join("acme")
	names := func(a access.Actor, side Side, owner ident.ID, args page.Args, o *Order, f Filter) string {
		t.Helper()
		c, err := w.List(t.Context(), a, side, owner, args, o, f)
		if err != nil {
			return problems(err)
		}
		var out []string
		for _, p := range c.Nodes() {
			n := p.ResellerNameFolded
			if side == AsReseller {
				n = p.ProviderNameFolded
			}
			out = append(out, n)
		}
		if n, err := c.TotalCount(t.Context()); err != nil || args == (page.Args{}) && n.Value != len(out) {
			t.Errorf("counted %v, %v", n, err)
		}
		return strings.Join(out, " ")
	}
	none := page.Args{}
	for name, c := range map[string][2]string{
		"by name":             {names(w.gina, AsProvider, "", none, nil, Filter{}), "acme elan zeta"},
		"by name, down":       {names(w.gina, AsProvider, "", none, &Order{ByName, page.Desc}, Filter{}), "zeta elan acme"},
		"by time":             {names(w.gina, AsProvider, "", none, &Order{ByAuthorized, page.Asc}, Filter{}), "zeta elan acme"},
		"newest":              {names(w.gina, AsProvider, "", page.Args{First: ptr(1)}, &Order{ByAuthorized, page.Desc}, Filter{}), "acme"},
		"last":                {names(w.gina, AsProvider, "", page.Args{Last: ptr(2)}, nil, Filter{}), "elan zeta"},
		"search":              {names(w.gina, AsProvider, "", none, nil, Filter{Search: ptr("ÉL")}), "elan"},
		"search by full name": {names(w.gina, AsProvider, "", none, nil, Filter{Search: ptr("Zeta GmbH")}), "zeta"},
		"status":              {names(w.gina, AsProvider, "", none, nil, Filter{Status: []Status{Terminating}}), ""},
		"statuses":            {names(w.gina, AsProvider, "", none, nil, Filter{Status: []Status{Active, Terminated}}), "acme elan zeta"},
		"a reseller's":        {names(elan, AsReseller, "", none, nil, Filter{}), "nordwind"},
		"the wrong side":      {names(elan, AsProvider, "", none, nil, Filter{}), ""},
		"another's":           {names(elan, AsProvider, w.provider.ID, none, nil, Filter{}), "elan"}, // its own part of it alone
		"the operator's view": {names(w.chief, AsProvider, w.provider.ID, none, nil, Filter{}), "acme elan zeta"},
		"operator, of nobody": {names(w.chief, AsProvider, "", none, nil, Filter{}), ""},
		"a stranger's":        {names(w.bruno, AsReseller, "", none, nil, Filter{}), ""},
		"nobody's":            {names(access.Anonymous("en", ""), AsReseller, "", none, nil, Filter{}), ""},
		"size":                {names(w.gina, AsProvider, "", page.Args{First: ptr(0)}, nil, Filter{}), " PAGE_SIZE"},
	} {
		if c[0] != c[1] {
			t.Errorf("%s: got %q, want %q", name, c[0], c[1])
		}
	}
	// walking it at both orders, one by one, in both directions
	for _, o := range []*Order{nil, {ByName, page.Desc}, {ByAuthorized, page.Asc}, {ByAuthorized, page.Desc}} {
		whole := strings.Fields(names(w.gina, AsProvider, "", none, o, Filter{}))
		for _, backward := range []bool{false, true} {
			var got []string
			var cur *string
			for range whole {
				args := page.Args{First: ptr(1), After: cur}
				if backward {
					args = page.Args{Last: ptr(1), Before: cur}
				}
				c, err := w.List(t.Context(), w.gina, AsProvider, "", args, o, Filter{})
				if err != nil || len(c.Edges) != 1 {
					t.Fatal(c, err)
				}
				got = append(got, c.Nodes()[0].ResellerNameFolded)
				cur = &c.Edges[0].Cursor
			}
			if backward {
				slices.Reverse(got)
			}
			if !slices.Equal(got, whole) {
				t.Errorf("%+v, backward %t: got %v, want %v", o, backward, got, whole)
			}
			_, err := w.List(t.Context(), w.gina, AsReseller, "", page.Args{After: cur}, o, Filter{})
			wantCode(t, err, fault.CodeBadCursor) // the cursor of another side
			_, err = w.List(t.Context(), w.chief, AsProvider, "par_other", page.Args{After: cur}, o, Filter{})
			wantCode(t, err, fault.CodeBadCursor) // of another owner
		}
	}
	before := w.db.Queries()
	if _, err := w.List(t.Context(), w.gina, AsProvider, "", page.Args{First: ptr(50)}, nil, Filter{}); err != nil || w.db.Queries()-before != 1 {
		t.Errorf("%d statements for a page, %v", w.db.Queries()-before, err)
	}
	for name, c := range map[string]struct {
		actor access.Actor
		want  int
	}{"provider": {w.gina, 1}, "reseller": {elan, 1}, "sibling": {w.bruno, 0}, "operator": {w.chief, 1}, "nobody": {access.Anonymous("en", ""), 0},
		"Default user": {w.user(w.gina.OrganizationID, "d@nordwind.example", access.DefaultUser), 0}} {
		got, err := w.ByIDs(t.Context(), c.actor, []ident.ID{second.ID, "psh_none"})
		if err != nil || len(got) != c.want {
			t.Errorf("%s reads %d, %v", name, len(got), err)
		}
	}
}
