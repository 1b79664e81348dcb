package audit

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/page"
)

func TestListIsFiltered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	mine, other, op := w.person(access.IndirectProvider, access.AdminAgent), w.person(access.IndirectReseller, access.GlobalAdmin), w.person(access.Operator, access.Reviewer)
	start := w.db.Now()
	w.act(mine, Act{Action: "m1", TargetID: "t1"}, Act{Action: "m2", TargetID: "t2", Outcome: Refused, Reason: "WHY"}, Act{Action: "m3", TargetOrganizationID: other.OrganizationID})
	w.act(other, Act{Action: "o1", TargetID: "t1"}, Act{Action: "o2", TargetOrganizationID: mine.OrganizationID})
	w.act(access.System("x"), Act{Action: "s1"}, Act{Action: "s2", TargetOrganizationID: mine.OrganizationID})

	for name, c := range map[string]struct {
		actor access.Actor
		f     Filter
		want  []string
	}{
		"own":                             {mine, Filter{}, []string{"s2", "o2", "m3", "m2", "m1"}},
		"other's":                         {other, Filter{}, []string{"o2", "o1", "m3"}},
		"operator's":                      {op, Filter{}, []string{"s2", "s1", "o2", "o1", "m3", "m2", "m1"}},
		"action":                          {mine, Filter{Action: ptr("m2")}, []string{"m2"}},
		"target":                          {mine, Filter{TargetID: ptr(ident.ID("t1"))}, []string{"m1"}},
		"actor":                           {mine, Filter{ActorID: &mine.UserID}, []string{"m3", "m2", "m1"}},
		"a foreign actor":                 {mine, Filter{ActorID: &other.UserID}, nil},
		"any actor, operator":             {op, Filter{ActorID: &other.UserID}, []string{"o2", "o1"}},
		"no actor":                        {op, Filter{ActorID: ptr(ident.ID(""))}, nil},
		"outcome":                         {mine, Filter{Outcome: ptr(Refused)}, []string{"m2"}},
		"own organization":                {mine, Filter{OrganizationID: &mine.OrganizationID}, []string{"s2", "o2", "m3", "m2", "m1"}},
		"foreign organization":            {mine, Filter{OrganizationID: &other.OrganizationID}, nil},
		"an organization, operator":       {op, Filter{OrganizationID: &other.OrganizationID}, []string{"o2", "o1", "m3"}},
		"an organization and an outcome":  {op, Filter{OrganizationID: &mine.OrganizationID, Outcome: ptr(Refused)}, []string{"m2"}},
		"an unknown organization":         {op, Filter{OrganizationID: ptr(ident.ID("org_x"))}, nil},
		"since and until":                 {mine, Filter{Since: ptr(start.Add(step)), Until: ptr(start.Add(4 * step))}, []string{"m3", "m2"}},
		"since in another zone, operator": {op, Filter{Since: ptr(start.Add(6 * step).In(time.FixedZone("x", 7200)))}, []string{"s2"}},
	} {
		p, err := List(ctx, w.db, c.actor, page.Args{}, c.f)
		if err != nil {
			t.Fatal(name, err)
		}
		var got []string
		for _, e := range p.Nodes() {
			got = append(got, e.Action)
		}
		n, err := p.TotalCount(ctx)
		if !slices.Equal(got, c.want) || err != nil || n.Value != len(c.want) {
			t.Errorf("%s: %v, count %v %v", name, got, n, err)
		}
	}
	for _, a := range []access.Actor{access.Anonymous("en", ""), w.person(access.Customer, access.DefaultUser)} {
		if p, err := List(ctx, w.db, a, page.Args{}, Filter{}); fault.KindOf(err) == fault.KindInternal || p != nil {
			t.Errorf("%s reads the audit: %v", a.Kind, err)
		}
	}
	// Pages of a filtered list follow each other.
	f, args, got := Filter{OrganizationID: &mine.OrganizationID}, page.Args{First: ptr(2)}, []string{}
	for {
		p, err := List(ctx, w.db, op, args, f)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range p.Nodes() {
			got = append(got, e.Action)
		}
		if !p.PageInfo.HasNextPage {
			break
		}
		args.After = p.PageInfo.EndCursor
	}
	if fmt.Sprint(got) != "[s2 o2 m3 m2 m1]" {
		t.Error(got)
	}
	if _, err := List(ctx, w.db, op, args, Filter{Outcome: ptr(Done)}); !fault.Is(err, fault.CodeBadCursor) {
		t.Errorf("a cursor of another filter: %v", err)
	}
}

func TestOwnActs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	mine, op := w.person(access.IndirectProvider, access.AdminAgent), w.person(access.Operator, access.Reviewer)
	for _, c := range []struct {
		org   ident.ID
		actor access.Actor
		own   bool
	}{{mine.OrganizationID, mine, true}, {"org_x", mine, false}, {"", mine, false}, {"", access.Anonymous("en", ""), false}, {"org_x", op, true}, {"", op, true}} {
		e := &Event{OrganizationID: c.org}
		if e.Own(c.actor) != c.own {
			t.Errorf("%q is own of %s: %v", c.org, c.actor.Kind, !c.own)
		}
	}
}

// Of an act through a personal token the list, the file and the seal tell
// which token it was; events from before that was recorded keep their seals.
func TestTheTokenThatActed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	mine, other := w.person(access.IndirectProvider, access.AdminAgent), w.person(access.IndirectReseller, access.GlobalAdmin)
	program, err := access.Load(ctx, w.db.Read(), access.Presence{UserID: mine.UserID, TokenID: "tok_1", Scopes: access.Permissions})
	if err != nil {
		t.Fatal(err)
	}
	w.act(mine, Act{Action: "by.person"})
	w.act(program, Act{Action: "by.token", TargetOrganizationID: other.OrganizationID})
	p, err := List(ctx, w.db, mine, page.Args{}, Filter{})
	if err != nil {
		t.Fatal(err)
	}
	if es := p.Nodes(); len(es) != 2 || es[0].TokenID != "tok_1" || es[1].TokenID != "" {
		t.Fatalf("%+v", es)
	}
	for _, e := range p.Nodes() {
		if got := e.record(mine); got[len(got)-1] != string(e.TokenID) {
			t.Errorf("%s: %q", e.Action, got)
		}
		if got := e.record(other); got[len(got)-1] != "" {
			t.Errorf("%s tells another organization of a token: %q", e.Action, got)
		}
	}
	w.db.Clock().Advance(settle)
	if n, err := w.s.seal(ctx, true); n != 2 || err != nil {
		t.Fatal(n, err)
	}
	for _, forged := range []string{"", "tok_2"} { // as an old event, or by another token
		x := *p.Nodes()[0]
		if x.TokenID = ident.ID(forged); x.digest() == p.Nodes()[0].digest() {
			t.Errorf("an event by a token can be made one by %q", forged)
		}
	}
}
