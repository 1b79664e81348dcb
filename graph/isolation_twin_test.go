package graph

import (
	"flag"
	"fmt"
	"regexp"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/channelgraph/channelgraph/internal/access"
)

// common is what all canaries begin with: a search for it would find
// everybody's.
type common struct{ belongings }

func (common) texts(string, string) []string { return []string{"zqk"} }

// draw adds random tenants with random partnerships and invitations between
// them, and writes their rows.
func (c *chart) draw(t *rapid.T, name string, least, most int) []*tenant {
	var out []*tenant
	kinds := slices.DeleteFunc(slices.Clone(access.Kinds), func(k access.Kind) bool { return k == access.Operator })
	for i, k := range rapid.SliceOfN(rapid.SampledFrom(kinds), least, most).Draw(t, name) {
		applying := k == access.IndirectReseller && rapid.Bool().Draw(t, "applying")
		out = append(out, c.join(&tenant{label: fmt.Sprintf("%s %d", name, i), kind: k, applying: applying}))
	}
	for _, p := range out {
		for _, r := range out {
			if p.kind == access.IndirectProvider && r.kind == access.IndirectReseller && !r.applying {
				switch rapid.SampledFrom([]standing{strangers, partnered, invited}).Draw(t, p.label+" and "+r.label) {
				case partnered:
					ally(p, r)
				case invited:
					r.inviters = append(r.inviters, p)
				case strangers, same, overseer, related, served, parted:
				}
			}
		}
	}
	for _, b := range out {
		for _, s := range out {
			if b.kind == access.Customer && s.kind != access.Customer && !s.applying && rapid.Bool().Draw(t, s.label+" and "+b.label) {
				b.sellers = append(b.sellers, s)
			}
		}
	}
	c.write()
	return out
}

// part is how many generated requests of a field one is drawn from.
const part = 6

// everything asks all that some tenants' people can ask, of the requests with
// arguments each so many beginning with one, and gives the answers in the
// order of asking.
func (c *chart) everything(tenants []*tenant, from int) (asked []string, answers []reply) {
	ask := func(v *viewer, as []asking) {
		for _, a := range as {
			asked = append(asked, v.name+": "+a.body())
			answers = append(answers, c.ask(v, a))
		}
	}
	for _, t := range tenants {
		for i, v := range []*viewer{c.person(t, t.admin(), t.label), c.person(t, t.ids["user_account"][1], t.label+", a colleague")} {
			g := c.generator(v.Actor)
			for _, f := range rootFields(schema.Query) {
				as := g.askings(schema.Query, f, common{belongings{c: c, t: t}}, nil)
				ask(v, as[:1])
				for n := 1 + from; n < len(as) && i == 0; n += part {
					ask(v, as[n:n+1])
				}
			}
			for _, s := range tables {
				if s.prefix != "" && len(t.ids[s.name]) > 0 {
					ask(v, []asking{{root: "Query.nodes", query: "query($ids: [ID!]!) { nodes(ids: $ids) { __typename id } }", vars: map[string]any{"ids": t.ids[s.name]}}})
				}
			}
		}
	}
	v := &viewer{name: "nobody", Actor: nobody}
	g := c.generator(v.Actor)
	for _, f := range rootFields(schema.Query) {
		ask(v, g.askings(schema.Query, f, nothing{}, nil)[:1])
	}
	return asked, answers
}

// clockText is what a promise says of its clock, which runs on between two
// answers.
var clockText = regexp.MustCompile(`"(spentMinutes|targetAt|dueAt)":("[^"]*"|\d+)`)

// stopped is an answer without what its clocks say.
func stopped(r reply) reply {
	r.raw = clockText.ReplaceAllString(r.raw, `"$1":"<clock>"`)
	return r
}

// TestTwinWorlds answers everything in a random world, adds tenants that have
// nothing to do with it, and answers everything again: lists, counts, cursors,
// searches and look-ups stay as they were, byte for byte but for running clocks.
func TestTwinWorlds(t *testing.T) {
	t.Parallel()
	c := bareChart(t)
	c.join(&tenant{label: "operator", kind: access.Operator})
	c.write()
	if f := flag.Lookup("rapid.checks"); f.Value.String() == f.DefValue { // each is some hundred requests
		if err := f.Value.Set("2"); err != nil {
			t.Fatal(err)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		world := c.draw(t, "world", 2, 4)
		from := rapid.IntRange(0, part-1).Draw(t, "from")
		asked, before := c.everything(world, from)
		c.draw(t, "others", 1, 4)
		_, after := c.everything(world, from)
		for i := range asked {
			if stopped(before[i]) != stopped(after[i]) {
				t.Fatalf("others change an answer\n%.1500s\nbefore %.1500s\nafter  %.1500s", asked[i], before[i].raw, after[i].raw)
			}
		}
	})
	t.Logf("%d requests in worlds of %d tenants in all", c.asked, len(c.tenants))
	c.silent()
}
