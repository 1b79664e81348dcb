package graph

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/ident"
)

var update = flag.Bool("update", false, "write the goldens of the policy anew")

// outcome is what became of an act of a role: allowed, or the code that it was
// refused with and why.
func (c *chart) outcome(v *viewer, root *ast.Definition, a asking) string {
	c.t.Helper()
	var raw string
	if root == schema.Subscription {
		s := c.handler.(*server)
		oc, bad := s.guard.prepare(params{Query: a.query, Variables: a.vars}, v.Actor)
		if bad != nil {
			c.t.Fatal(bad.errs, a.body())
		}
		sub, errs := s.subscribe(ident.WithRequest(access.WithActor(c.t.Context(), v.Actor), "req-1"), oc, v.Actor, "")
		if sub != nil {
			sub.end()
		}
		body, err := json.Marshal(graphql.Response{Errors: errs})
		if err != nil {
			c.t.Fatal(err)
		}
		raw = string(body)
	} else {
		raw = c.ask(v, a).raw
	}
	var answer struct {
		Errors []struct{ Extensions struct{ Code, Reason string } }
	}
	if err := json.Unmarshal([]byte(raw), &answer); err != nil {
		c.t.Fatal(err, raw)
	}
	if len(answer.Errors) == 0 {
		return "allowed"
	}
	x := answer.Errors[0].Extensions
	if x.Code == codeCost || x.Code == codeDepth {
		c.t.Errorf("%s: %s is beyond the limits", v.name, a.root)
	}
	if x.Reason != "" && x.Code == "FORBIDDEN" {
		return x.Code + "(" + x.Reason + ")"
	}
	return x.Code
}

// acting are those whose acts the golden tells: every role of every kind, and
// what differs from a person who has just signed in.
func (c *chart) acting() (out []*viewer) {
	for _, v := range c.viewers() {
		label, role, _ := strings.Cut(v.name, " ")
		switch {
		case v.tenant == nil, v.tenant.applying && v.name == "applicant1", strings.HasPrefix(role, "token"):
			out = append(out, v)
		case slices.Contains(c.roles, label):
			v.name = string(v.tenant.kind) + " " + string(v.Roles[0])
			out = append(out, v)
		}
	}
	t := c.byLabel["reseller1"]
	out = append(out, &viewer{name: "reseller1, not fresh", tenant: t, Actor: c.actor(access.Presence{UserID: t.admin(), SessionID: c.sessionOf(t, t.admin()), SudoUntil: c.now.Add(-time.Hour)})})
	return out
}

// An act is a root field and how it is asked in the golden: by inputs that are
// well formed and name nothing that exists, so that no answer depends on the
// one before.
type act struct {
	root  *ast.Definition
	field *ast.FieldDefinition
}

func everyAct() (out []act) {
	for _, root := range []*ast.Definition{schema.Query, schema.Mutation, schema.Subscription} {
		for _, f := range rootFields(root) {
			out = append(out, act{root, f})
		}
	}
	return out
}

func (a act) String() string { return a.root.Name + "." + a.field.Name }

// plain asks an act with what it requires and as little as can be answered.
func (g *generator) plain(a act) asking {
	args := map[string]any{}
	for _, arg := range a.field.Arguments {
		if arg.Type.NonNull && arg.DefaultValue == nil {
			args[arg.Name] = g.variants(arg.Type, arg.Name, a.String(), writing{nothing{}}, nil, 0)[0].value
		}
	}
	q := asking{root: a.String(), vars: map[string]any{}}
	var declared, given []string
	for _, arg := range a.field.Arguments {
		if v, ok := args[arg.Name]; ok {
			declared, given = append(declared, "$"+arg.Name+": "+arg.Type.String()), append(given, arg.Name+": $"+arg.Name)
			q.vars[arg.Name] = v
		}
	}
	q.query = strings.ToLower(a.root.Name)
	if len(declared) > 0 {
		q.query += "(" + strings.Join(declared, ", ") + ")"
	}
	q.query += " { " + a.field.Name
	if len(given) > 0 {
		q.query += "(" + strings.Join(given, ", ") + ")"
	}
	if named(a.field.Type).IsCompositeType() {
		q.query += " { __typename }"
	}
	q.query += " }"
	return q
}

// policy is what becomes of every act of everybody, as text: for each act the
// outcomes, and who meets them.
func policyText(acts []act, viewers []*viewer, outcomes map[string]string) string {
	var b strings.Builder
	for _, a := range acts {
		fmt.Fprintf(&b, "%s\n", a)
		by := map[string][]string{}
		for _, v := range viewers {
			o := outcomes[a.String()+"|"+v.name]
			by[o] = append(by[o], v.name)
		}
		for _, o := range slices.Sorted(maps.Keys(by)) {
			if len(by[o]) == len(viewers) {
				fmt.Fprintf(&b, "  %s: everybody\n", o)
				continue
			}
			kinds := map[string][]string{}
			for _, name := range by[o] {
				k, role, ok := strings.Cut(name, " ")
				if !ok || strings.ToUpper(k) != k {
					k, role = "also", name
				}
				kinds[k] = append(kinds[k], role)
			}
			fmt.Fprintf(&b, "  %s\n", o)
			for _, k := range slices.Sorted(maps.Keys(kinds)) {
				fmt.Fprintf(&b, "    %s: %s\n", k, strings.Join(kinds[k], "; "))
			}
		}
	}
	return b.String()
}

func compare(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != got {
		g, w := strings.Split(got, "\n"), strings.Split(string(want), "\n")
		n := 0
		for n < min(len(g), len(w)) && g[n] == w[n] {
			n++
		}
		t.Errorf("%s differs at line %d; if that is meant, run the test with -update and let the difference be reviewed:\ngot  %s\nwant %s",
			path, n+1, strings.Join(g[n:min(n+5, len(g))], "\n     "), strings.Join(w[n:min(n+5, len(w))], "\n     "))
	}
}

// TestWhoMayDoWhat calls every root field as every role of every kind, and
// compares who is let through with a golden file.
func TestWhoMayDoWhat(t *testing.T) {
	t.Parallel()
	c := newChart(t)
	acts, viewers := everyAct(), c.acting()
	outcomes := c.outcomes(acts, viewers)
	compare(t, "testdata/policy.golden", policyText(acts, viewers, outcomes))
	if n := len(outcomes); n != len(acts)*len(viewers) {
		t.Errorf("%d outcomes", n)
	}
	t.Logf("%d acts of %d", len(acts), len(viewers))
}

func (c *chart) outcomes(acts []act, viewers []*viewer) map[string]string {
	c.t.Helper()
	out := map[string]string{}
	for _, v := range viewers {
		c.DB.Clock().Advance(time.Hour) // past the limits of what a network may do at a time
		g := c.generator(v.Actor)
		for _, a := range acts {
			out[a.String()+"|"+v.name] = c.outcome(v, a.root, g.plain(a))
		}
	}
	return out
}

// sights are what viewers see: of each kind of thing whose, by its id, and
// what each list holds.
func (c *chart) sights(viewers []*viewer) string {
	c.t.Helper()
	var b strings.Builder
	var all []string
	for _, ids := range c.everyID() {
		all = append(all, ids...)
	}
	whose := func(text string) string {
		seen := map[string]map[string]bool{}
		for _, id := range idsIn(text) {
			if r := c.rows[ident.ID(id)]; r != nil {
				if seen[r.owner.label] == nil {
					seen[r.owner.label] = map[string]bool{}
				}
				seen[r.owner.label][id] = true
			}
		}
		var out []string
		for _, label := range slices.Sorted(maps.Keys(seen)) {
			s := label
			if n := len(seen[label]); n > 1 {
				s += fmt.Sprintf("×%d", n)
			}
			out = append(out, s)
		}
		return strings.Join(out, " ")
	}
	for _, v := range viewers {
		fmt.Fprintf(&b, "%s\n", v.name)
		line := func(what, whose string) {
			if whose != "" {
				fmt.Fprintf(&b, "  %-20s %s\n", what, whose)
			}
		}
		text := ""
		for part := range slices.Chunk(all, 45) {
			text += c.ask(v, asking{root: "Query.nodes", query: "query($ids: [ID!]!) { nodes(ids: $ids) { id } }", vars: map[string]any{"ids": part}}).raw
		}
		found := map[string]string{}
		for _, id := range idsIn(text) {
			found[id[:3]] += " " + id
		}
		for _, typ := range slices.Sorted(maps.Keys(typed)) {
			line(typ, whose(found[typed[typ]]))
		}
		for _, f := range rootFields(schema.Query) {
			d := named(f.Type)
			q := ""
			switch of := d.Fields.ForName("nodes"); {
			case of != nil && named(of.Type).Fields.ForName("id") != nil:
				q = "(first: 100) { nodes { id } totalCount { value } }"
			case f.Type.Elem != nil && d.Fields.ForName("id") != nil && d.Kind == ast.Object:
				q = " { id }"
			}
			if q == "" || slices.ContainsFunc(f.Arguments, func(a *ast.ArgumentDefinition) bool { return a.Type.NonNull && a.DefaultValue == nil }) {
				continue
			}
			line("."+f.Name, whose(c.ask(v, asking{root: "Query." + f.Name, query: "{ " + f.Name + q + " }"}).raw))
		}
	}
	return b.String()
}

// TestWhoSeesWhat looks for every row as everybody, and compares whose are
// found with a golden file.
func TestWhoSeesWhat(t *testing.T) {
	t.Parallel()
	c := newChart(t)
	compare(t, "testdata/sights.golden", c.sights(c.viewers()))
}

// TestEveryRuleIsMissed turns every cell of the role matrix round and leaves
// out every rule of package access, one at a time, and asks what the goldens
// above ask of those whom it concerns: something must come out otherwise. It
// is not parallel, since the policy is the whole process's.
func TestEveryRuleIsMissed(t *testing.T) {
	c := newChart(t)
	acts, viewers := everyAct(), c.acting()
	right := c.outcomes(acts, viewers)
	rules := c.handler.(*server).guard.rules
	capabilities := asking{root: "Query.viewer", query: "{ viewer { capabilities } }"}
	able := map[string]string{}
	for _, v := range viewers {
		able[v.name] = c.ask(v, capabilities).raw
	}
	killed := 0
	var survived []string
	judge := func(missed bool, what string, args ...any) {
		if missed {
			killed++
		} else {
			survived = append(survived, fmt.Sprintf(what, args...))
		}
	}

	for _, k := range access.Kinds {
		for _, r := range access.RolesOf(k) {
			i := slices.IndexFunc(viewers, func(v *viewer) bool { return v.name == string(k)+" "+string(r) })
			v := viewers[i]
			g := c.generator(v.Actor)
			for _, p := range access.Permissions {
				mend := access.Weaken(access.Weakness{Kind: k, Role: r, Permission: p})
				missed, asked := false, 0
				for _, a := range acts {
					if rules[a.String()].permission == p && !missed {
						asked++
						missed = c.outcome(v, a.root, g.plain(a)) != right[a.String()+"|"+v.name]
					}
				}
				if asked == 0 { // asked for inside of other things only
					missed = c.ask(v, capabilities).raw != able[v.name]
				}
				mend()
				judge(missed, "%s of %s: %s", r, k, p)
			}
		}
	}

	few := func() (out []*viewer) {
		for _, v := range c.viewers() {
			if slices.Contains([]string{"provider1", "reseller1", "customer1", "operator", "nobody", "disabled",
				"provider1 DEFAULT_USER", "provider1 token, few scopes"}, v.name) {
				out = append(out, v)
			}
		}
		return out
	}
	special := func(v *viewer) bool {
		return v.tenant == nil || strings.Contains(v.name, "token") || strings.Contains(v.name, "fresh") || v.name == "CUSTOMER DEFAULT_USER"
	}
	var seen string
	for _, rule := range access.Rules {
		if seen == "" { // at first, and after acts without a rule, which may have left traces
			seen = c.sights(few())
		}
		c.DB.Clock().Advance(time.Hour) // past the limits of what one may do at a time
		mend := access.Weaken(access.Weakness{Rule: rule})
		missed := c.sights(few()) != seen // asked for with its own actors
		for _, v := range c.acting() {
			if special(v) {
				c.DB.Clock().Advance(time.Hour)
			}
			g := c.generator(v.Actor)
			for _, a := range acts {
				if !missed && special(v) {
					seen = ""
					missed = c.outcome(v, a.root, g.plain(a)) != right[a.String()+"|"+v.name]
				}
			}
		}
		mend()
		judge(missed, "%s", rule)
	}
	t.Logf("%d mutants of the policy: %d killed, %d survived", killed+len(survived), killed, len(survived))
	for _, s := range survived {
		t.Errorf("nothing is missed without %s", s)
	}
	for what, outcome := range c.outcomes(acts, slices.DeleteFunc(slices.Clone(viewers), func(v *viewer) bool { return !special(v) })) {
		if outcome != right[what] {
			t.Errorf("%s: the policy is not what it was", what)
		}
	}
}
