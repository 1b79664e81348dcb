package mail

import (
	"slices"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/page"
)

func TestListIsFiltered(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "smtp://127.0.0.1:2525")
	start := w.m.db.Now()
	w.m.db.Clock().Advance(time.Minute)
	d := draft("k2")
	d.To, d.SubjectID = "Marco_Neri@Example.com", "inv_x"
	second := w.queue(d)
	w.m.db.Clock().Advance(time.Minute)
	d = draft("k3")
	d.To = "marcoXneri@example.com"
	third := w.queue(d)
	if _, err := w.m.db.Bun().NewUpdate().Model(third).Set("state = ?", Failed).WherePK().Exec(w.ctx); err != nil {
		t.Fatal(err)
	}
	all := []ident.ID{third.ID, second.ID, w.msg.ID}
	for name, c := range map[string]struct {
		f    Filter
		want []ident.ID
	}{
		"all":                      {Filter{}, all},
		"state":                    {Filter{State: ptr(Failed)}, all[:1]},
		"template":                 {Filter{Template: ptr("partnership_invitation")}, all},
		"another template":         {Filter{Template: ptr("nothing")}, nil},
		"recipient":                {Filter{Recipient: ptr(" MARCO")}, all[:2]},
		"recipient, no wild cards": {Filter{Recipient: ptr("marco_")}, all[1:2]},
		"subject":                  {Filter{SubjectID: ptr(ident.ID("inv_x"))}, all[1:2]},
		"since":                    {Filter{Since: ptr(start.Add(time.Minute))}, all[:2]},
		"until":                    {Filter{Until: ptr(start.Add(time.Minute))}, all[2:]},
	} {
		var got []ident.ID
		args := page.Args{First: ptr(1)}
		for {
			p, err := w.m.List(w.ctx, args, c.f)
			if err != nil {
				t.Fatal(name, err)
			}
			for _, m := range p.Nodes() {
				got = append(got, m.ID)
			}
			if n, err := p.TotalCount(w.ctx); err != nil || n.Value != len(c.want) {
				t.Errorf("%s: %v counted, %v", name, n, err)
			}
			if args.After = p.PageInfo.EndCursor; !p.PageInfo.HasNextPage {
				break
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	if _, err := w.m.List(w.ctx, page.Args{First: ptr(0)}, Filter{}); fault.KindOf(err) != fault.KindInvalid {
		t.Error(err)
	}
}

func ptr[T any](v T) *T { return &v }
