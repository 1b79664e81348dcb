package graph

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/uptrace/bun"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/enrollment"
	"github.com/channelgraph/channelgraph/internal/ident"
)

// reply is what came back, without the cost.
type reply struct {
	status int
	raw    string
}

// ask sends a generated request as a viewer.
func (c *chart) ask(v *viewer, a asking) reply {
	c.t.Helper()
	c.asked++
	body := strings.ReplaceAll(a.body(), unique, unique+strconv.Itoa(c.asked))
	r := httptest.NewRequest(http.MethodPost, "/graphql", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	rec := httptest.NewRecorder()
	c.handler.ServeHTTP(rec, r.WithContext(ident.WithRequest(access.WithActor(r.Context(), v.Actor), "req-1")))
	raw, _ := c.uncosted(rec.Body.String())
	if strings.Contains(raw, `"code":"`+codeInternal+`"`) || strings.Contains(raw, codeValidation) || strings.Contains(raw, codeParse) {
		c.t.Errorf("%s, %s: %s\nasked with %s", v.name, a.root, raw, a.body())
	}
	return reply{rec.Code, strings.ReplaceAll(raw, unique+strconv.Itoa(c.asked), unique)}
}

// opened is a text with what its base64 parts hold: cursors above all.
func opened(text string) string {
	var b bytes.Buffer
	b.WriteString(text)
	for at := 0; at < len(text); at++ {
		from := at
		for at < len(text) && (nameByte(text[at]) || text[at] == '-') {
			at++
		}
		if at-from >= 16 {
			if raw, err := base64.RawURLEncoding.DecodeString(text[from:at]); err == nil {
				b.WriteByte('\n')
				b.Write(raw)
			}
		}
	}
	return b.String()
}

// idsIn are what in a text has the form of an id.
func idsIn(text string) (out []string) {
	for at := 3; at+27 <= len(text); at++ {
		if text[at] == '_' {
			if id := ident.ID(text[at-3 : at+27]); id.Kind() != "" {
				out = append(out, string(id))
			}
		}
	}
	return out
}

// leaks lists what a text shows a viewer of others, or of what nobody may see,
// beyond what the viewer said itself.
func (c *chart) leaks(v *viewer, said, text string) (out []string) {
	text = opened(text)
	said = opened(said)
	tell := func(what string, owner *tenant, column string) {
		table, _, _ := strings.Cut(column, ".")
		switch rel := v.tenant.knows(owner); {
		case secretColumns[column]:
		case rel == same:
			return
		case slices.ContainsFunc(mayRead[rel], func(m string) bool { return plainly(m) == column || plainly(m) == table }):
			return
		}
		if !strings.Contains(said, what) {
			out = append(out, fmt.Sprintf("%s of %s (%s)", column, owner.label, what))
		}
	}
	for at := strings.Index(text, "zqk"); at >= 0; {
		m := canaryText.FindStringSubmatch(text[at:min(at+80, len(text))])
		if next := strings.Index(text[at+3:], "zqk"); next >= 0 {
			at += 3 + next
		} else {
			at = -1
		}
		if m == nil {
			continue
		}
		if n, _ := strconv.Atoi(m[1]); n >= 1 && n <= len(c.tenants) {
			column := m[2] + "." + m[3]
			if column == "." { // its domain, in addresses too
				column = "a.domain"
			}
			tell(m[0], c.tenants[n-1], column)
		}
	}
	for _, id := range idsIn(text) {
		r := c.rows[ident.ID(id)]
		if r == nil {
			continue
		}
		if r.other != nil && r.other == v.tenant { // of both
			continue
		}
		tell(id, r.owner, plainly(r.table)+".id")
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// complain fails, once about each thing and not without end.
func (c *chart) complain(about, format string, args ...any) {
	c.t.Helper()
	if c.told[about] || len(c.told) > 20 {
		c.t.Fail()
		return
	}
	c.told[about] = true
	c.t.Errorf(format, args...)
}

// clean fails where an answer leaks; what the viewer wrote before may stand in
// its own rows.
func (c *chart) clean(v *viewer, a asking, r reply) {
	c.t.Helper()
	if l := c.leaks(v, a.body()+v.written(), r.raw); len(l) > 0 {
		c.complain(a.root+strings.Join(l, ""), "%s is shown by %s: %s\nasked with %s\nanswer %.2000s", v.name, a.root, strings.Join(l, ", "), a.body(), r.raw)
	}
}

// foreign are the tenants that a viewer has nothing to do with, the nearest
// first: those of its own kind.
func (c *chart) foreign(v *viewer) (out []*tenant) {
	for _, t := range c.tenants {
		if v.tenant.knows(t) == strangers {
			out = append(out, t)
		}
	}
	slices.SortStableFunc(out, func(a, b *tenant) int {
		near := func(t *tenant) int {
			if v.tenant != nil && t.kind == v.tenant.kind && t.applying == v.tenant.applying || v.tenant == nil && t.kind == access.IndirectProvider {
				return 0
			}
			return 1
		}
		return near(a) - near(b)
	})
	return out
}

// alike fails where a foreign value is answered differently from one that is
// nowhere.
func (c *chart) alike(v *viewer, a asking, settle func(string) string) {
	c.t.Helper()
	b := a.without()
	none := c.ask(v, b) // first: whatever it changes must not matter to the other
	if a.wrote(none) {
		c.renew(v.tenant)
	}
	some := c.ask(v, a)
	if a.wrote(some) {
		c.renew(v.tenant)
	}
	c.clean(v, a, some)
	c.clean(v, b, none)
	x, y := settle(leveled(some.raw, a.planted)), settle(leveled(none.raw, a.planted))
	if (x != y || some.status != none.status) && !slices.Contains(tellsOthers, a.at) {
		n := 0
		for n < min(len(x), len(y)) && x[n] == y[n] {
			n++
		}
		n = max(n-100, 0)
		c.complain(a.root+a.at, "%s: %s tells by %s that something is another's: …%.500s\nbut of nothing: …%.500s\nasked with %s", v.name, a.root, a.at, x[n:], y[n:], a.body())
	}
}

// wrote reports whether the asking may have changed something: queries never
// do, and a mutation that tells of an error was rolled back.
func (a asking) wrote(r reply) bool {
	return strings.HasPrefix(a.root, "Mutation.") && !strings.Contains(r.raw, `"errors":[`) && (!strings.Contains(r.raw, `"userErrors":[`) || strings.Contains(r.raw, `"userErrors":[]`))
}

// renew takes a tenant's enrollments and support requests back to where they
// stood and its new tokens away, so that what can be done once, or not often,
// can be tried again.
func (c *chart) renew(t *tenant) {
	c.t.Helper()
	if t == nil {
		return
	}
	c.tx(func(ctx context.Context, tx *database.Tx) error { // nobody may have many
		_, err := tx.NewRaw("DELETE FROM personal_token WHERE organization_id = ? AND id NOT IN (?)", first(t.ids["organization"]), bun.List(t.ids["personal_token"])).Exec(ctx)
		return err
	})
	c.tx(func(ctx context.Context, tx *database.Tx) (err error) {
		if len(t.ids["enrollment"]) > 0 { // one is open at most
			_, err = tx.NewRaw("UPDATE enrollment SET status = ? WHERE organization_id = ?", enrollment.Withdrawn, first(t.ids["organization"])).Exec(ctx)
		}
		for _, table := range []string{"enrollment", "support_request"} {
			for _, id := range t.ids[table] {
				values := maps.Clone(c.rows[id].values)
				for _, col := range c.columns[table] {
					if _, set := values[col.Name]; !set && !col.Required {
						values[col.Name] = nil
					}
				}
				if err == nil {
					_, err = tx.NewUpdate().Model(&values).TableExpr(table).Where("id = ?", id).Exec(ctx)
				}
			}
		}
		return err
	})
}

// leveled is a text with the foreign value, and what the viewer wrote of its
// tenant before, as that of nothing.
func leveled(s, planted string) string {
	s = strings.ReplaceAll(s, planted, absent(planted))
	if m := canaryText.FindStringSubmatch(planted); m != nil {
		s = strings.ReplaceAll(s, "zqk"+m[1], absentMark)
	}
	return s
}

func asIs(s string) string { return s }

// widely reports whether a viewer is asked for with every argument: of the
// others' roles and tokens the plain requests tell enough.
func (c *chart) widely(v *viewer) bool {
	return slices.Contains([]string{"applicant1", "provider1", "reseller1", "reseller3", "customer1", "nobody"}, v.name)
}

// own is the source of a viewer's own ids and texts.
func (c *chart) sourceOf(v *viewer) source {
	if v.tenant == nil {
		return nothing{}
	}
	return belongings{c: c, t: v.tenant}
}

// everyID are the ids of all rows, by their prefix.
func (c *chart) everyID() map[string][]string {
	out := map[string][]string{}
	for id := range c.rows {
		out[id.Kind()] = append(out[id.Kind()], string(id))
	}
	for _, ids := range out {
		slices.Sort(ids)
	}
	return out
}

// TestCanaryCrawl asks every root field as everybody, with all generated
// arguments and all ids, and finds nothing of others in what comes back; what
// is another's is answered as what is nowhere, byte for byte.
func TestCanaryCrawl(t *testing.T) {
	t.Parallel()
	c := newChart(t)
	chosen := map[string]bool{}
	for _, v := range c.viewers() {
		g := c.generator(v.Actor)
		var foreign source
		if c.widely(v) {
			foreign = belongings{c: c, t: c.foreign(v)[0], all: v.name == "provider1"}
		} else if v.tenant == nil || v.name != v.tenant.label {
			g.deepest = 1
		}
		for _, f := range rootFields(schema.Query) {
			for i, a := range g.askings(schema.Query, f, c.sourceOf(v), foreign) {
				switch {
				case a.planted != "":
					c.alike(v, a, asIs)
				case i == 0 || c.widely(v):
					c.clean(v, a, c.ask(v, a))
				}
			}
			if !c.widely(v) || v.tenant == nil {
				continue
			}
			for _, p := range v.tenant.partners { // who may see some of it must not see all
				for _, a := range g.askings(schema.Query, f, c.sourceOf(v), belongings{c: c, t: p}) {
					if a.planted != "" {
						c.clean(v, a, c.ask(v, a))
					}
				}
			}
		}
		c.crawlNodes(v, g)
		maps.Copy(chosen, g.chosen)
	}
	t.Logf("%d requests", c.asked)
	c.silent()
	covered(t, chosen)
}

// silent fails where the log holds anything of anybody.
func (c *chart) silent() {
	c.t.Helper()
	if l := c.log.String(); canaryText.MatchString(l) || strings.Contains(l, "level=ERROR") {
		c.t.Errorf("the log holds canaries or errors: %.3000s", l)
	}
}

// crawlNodes looks everything up by its id.
func (c *chart) crawlNodes(v *viewer, g *generator) {
	f := schema.Query.Fields.ForName("nodes")
	var hidden []any
	for typ, prefix := range typed {
		var ids []any
		for _, id := range c.everyID()[prefix] {
			if c.widely(v) || len(ids) < 3 {
				ids = append(ids, id)
			}
			r := c.rows[ident.ID(id)]
			if rel := v.tenant.knows(r.owner); (rel == strangers || rel == house && !mayFind(rel, r.table)) && (r.other == nil || r.other != v.tenant) {
				hidden = append(hidden, id)
			}
		}
		for part := range slices.Chunk(ids, 20) {
			a := g.request(schema.Query, f, map[string]any{"ids": part}, typ)
			a.vars["ids"] = part
			c.clean(v, a, c.ask(v, a))
		}
	}
	// what a thing of several types may be, as each of them
	for typ, prefix := range typed {
		for _, d := range schema.Types[typ].Fields {
			if k := named(d.Type).Kind; k != ast.Interface && k != ast.Union || !c.widely(v) || v.tenant == nil {
				continue
			}
			for _, p := range schema.PossibleTypes[named(d.Type).Name] {
				q := "query($ids: [ID!]!) { nodes(ids: $ids) { ... on " + typ + " { " + d.Name + " { ... on " + p.Name + " " + g.selection(p, shape{1, 1, 1, ""}, true) + " } } } }"
				a := asking{root: "Query.nodes", query: q, vars: map[string]any{"ids": c.everyID()[prefix][:10]}}
				c.clean(v, a, c.ask(v, a))
			}
		}
	}
	for part := range slices.Chunk(hidden, 100) {
		absents := make([]any, len(part))
		for i, id := range part {
			absents[i] = absent(id.(string))
		}
		a, b := g.request(schema.Query, f, map[string]any{"ids": part}, "none"), g.request(schema.Query, f, map[string]any{"ids": absents}, "none")
		if x, y := c.ask(v, a), c.ask(v, b); x != y {
			c.complain("nodes"+v.name, "%s: ids of others are answered by %.500s, ids of nothing by %.500s", v.name, x.raw, y.raw)
		}
	}
}

// covered fails where a field that a query can reach was never asked for.
func covered(t *testing.T, chosen map[string]bool) {
	t.Helper()
	seen := map[string]bool{"Query": true}
	queue := []*ast.Definition{}
	reach := func(d *ast.Definition) {
		for _, p := range append(slices.Clone(schema.PossibleTypes[d.Name]), d) {
			if !seen[p.Name] && p.Kind == ast.Object {
				seen[p.Name] = true
				queue = append(queue, p)
			}
		}
	}
	for _, f := range rootFields(schema.Query) {
		reach(named(f.Type))
	}
	for len(queue) > 0 {
		d := queue[0]
		queue = queue[1:]
		for _, f := range rootFields(d) {
			if !chosen[d.Name+"."+f.Name] {
				t.Errorf("no generated request asks for %s.%s", d.Name, f.Name)
			}
			reach(named(f.Type))
		}
	}
}

// TestForeignCursors goes through all lists from both ends, with cursors of
// its own and with those that others were given.
func TestForeignCursors(t *testing.T) {
	t.Parallel()
	c := newChart(t)
	given := map[string][]string{} // cursors by root field
	find := regexp.MustCompile(`"(?:cursor|startCursor|endCursor)":"([^"]+)"`)
	for round := range 2 {
		for _, v := range c.admins() {
			g := c.generator(v.Actor)
			g.deepest = 1
			for _, f := range rootFields(schema.Query) {
				if f.Arguments.ForName("after") == nil {
					continue
				}
				base := map[string]any{}
				for _, a := range f.Arguments {
					if a.Type.NonNull && a.DefaultValue == nil {
						base[a.Name] = g.variants(a.Type, a.Name, "Query."+f.Name, c.sourceOf(v), nil, 0)[0].value
					}
				}
				with := func(more ...any) reply {
					args := maps.Clone(base)
					for i := 0; i < len(more); i += 2 {
						args[more[i].(string)] = more[i+1]
					}
					a := g.request(schema.Query, f, args, "")
					r := c.ask(v, a)
					c.clean(v, a, r)
					return r
				}
				if round == 0 {
					for _, end := range []string{"first", "last"} {
						beyond := map[string]string{"first": "after", "last": "before"}[end]
						args := []any{end, 1}
						for range 3 {
							m := find.FindStringSubmatch(with(args...).raw)
							if m == nil {
								break
							}
							given["Query."+f.Name] = append(given["Query."+f.Name], m[1])
							args = []any{end, 1, beyond, m[1]}
						}
					}
					continue
				}
				if strings.Contains(v.name, "2") {
					continue
				}
				others := given["Query."+f.Name]
				for i := 0; i < len(others); i += 1 + len(others)/5 { // of all who have any
					with("first", 10, "after", others[i])
					with("last", 10, "before", others[i])
				}
				with("first", 10, "after", "AAAA")
				with("last", 10, "before", "zqk")
			}
		}
	}
	c.silent()
}

// tellsOthers are inputs by which somebody may learn that something is
// another's, each for a reason.
var tellsOthers = []string{
	"LegalProfileInput.name",                                              // a company takes part once: a duplicate is refused, without naming the other
	"InviteUserInput.email",                                               // an address is of one account; invitations are mailed, counted and recorded
	"Query.partnerStatus.programmeId", "Query.partnerStatus.tenantDomain", // whether another takes part is what partners may ask
}

var (
	momentText = regexp.MustCompile(`\d{4}-\d\d-\d\dT[0-9:.]+Z`)
	tokenText  = regexp.MustCompile(`cg[a-z]_[A-Za-z0-9_-]+|whsec_[A-Za-z0-9+/=]+`)
	countText  = regexp.MustCompile(`"(version|generation|uses)":\d+`)
)

// settled leaves out of an answer what differs each time.
func settled(s string) string {
	s = tokenText.ReplaceAllString(s, "<token>")
	s = idText.ReplaceAllString(s, "<id>")
	s = momentText.ReplaceAllString(s, "<time>")
	return countText.ReplaceAllString(s, "<n>")
}

// dump are all rows of the tables of tenants, as texts.
func (c *chart) dump() map[string]map[string]bool {
	c.t.Helper()
	out := map[string]map[string]bool{}
	for name := range c.columns {
		if slices.Contains(unowned, name) || name == "throttle" {
			continue
		}
		what := "*"
		if name == "event" { // its numbers come later
			what = "kind, subject_id, organization_id, other_organization_id"
		}
		rows, err := c.DB.Read().QueryContext(c.t.Context(), "SELECT "+what+" FROM "+name)
		if err != nil {
			c.t.Fatal(err)
		}
		columns, _ := rows.Columns()
		out[name] = map[string]bool{}
		for rows.Next() {
			cells := make([]any, len(columns))
			for i := range cells {
				cells[i] = new(any)
			}
			if err := rows.Scan(cells...); err != nil {
				c.t.Fatal(err)
			}
			var b strings.Builder
			for i, cell := range cells {
				v := *cell.(*any)
				if raw, ok := v.([]byte); ok {
					v = string(raw)
				}
				fmt.Fprintf(&b, "%s=%v ", columns[i], v)
			}
			out[name][b.String()] = true
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			c.t.Fatal(err)
		}
	}
	return out
}

// untouched fails where a row that is not the viewer's changed, or a new one
// holds something of others that the viewer did not say.
func (c *chart) untouched(v *viewer, said string, before, after map[string]map[string]bool) {
	c.t.Helper()
	of := func(text string) (out []*tenant) {
		for _, m := range canaryText.FindAllStringSubmatch(text, -1) {
			if n, _ := strconv.Atoi(m[1]); n >= 1 && n <= len(c.tenants) {
				out = append(out, c.tenants[n-1])
			}
		}
		for _, id := range idText.FindAllString(text, -1) {
			if r := c.rows[ident.ID(id)]; r != nil {
				out = append(out, r.owner)
				if r.other != nil {
					out = append(out, r.other)
				}
			}
		}
		return out
	}
	for name, rows := range before {
		for text := range rows {
			if !after[name][text] && (v.tenant == nil || !slices.Contains(of(text), v.tenant)) {
				c.complain("changed"+name+v.name, "%s changed a row of %s that is not its own: %s", v.name, name, text)
			}
		}
	}
	for name, rows := range after {
		for text := range rows {
			if before[name][text] {
				continue
			}
			for _, t := range of(text) {
				if name == "webhook_delivery" && t.kind == access.Operator {
					continue // hears of everybody
				}
				if k := v.tenant.knows(t); k == strangers && !strings.Contains(said, t.mark()) && !slices.ContainsFunc(idText.FindAllString(text, -1), func(id string) bool {
					return strings.Contains(said, id)
				}) {
					c.complain("new"+name+v.name, "%s made %s write of %s: %s", v.name, name, t.label, text)
				}
			}
		}
	}
}

var ownID = regexp.MustCompile(`\bid=([a-z]{3}_[0-9a-z]{26}) `)

// adopt notes whose the rows are that a viewer made.
func (c *chart) adopt(v *viewer, before, after map[string]map[string]bool) {
	for name, rows := range after {
		for text := range rows {
			if m := ownID.FindStringSubmatch(text); m != nil && !before[name][text] && v.tenant != nil && c.rows[ident.ID(m[1])] == nil {
				c.rows[ident.ID(m[1])] = &row{owner: v.tenant, table: name}
			}
		}
	}
}

// revoke ends the tokens that a viewer has made.
func (c *chart) revoke(user ident.ID) {
	c.t.Helper()
	_, err := c.DB.Bun().NewRaw("UPDATE personal_token SET revoked_at = ? WHERE user_id = ? AND created_at > ? AND revoked_at IS NULL", c.now, user, c.now).Exec(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
}

// TestMutationsStayInside hands every mutation the ids and texts of others, at
// every place of its input: the answer is that for what is nowhere, nothing of
// others is shown, written or changed.
func TestMutationsStayInside(t *testing.T) {
	t.Parallel()
	c := newChart(t)
	viewers := append(c.admins(), &viewer{name: "provider1, a program", tenant: c.byLabel["provider1"], Actor: c.program("provider1", access.Permissions...)}, &viewer{name: "nobody", Actor: nobody})
	for _, v := range viewers {
		if v.tenant.knows(c.byLabel["provider2"]) == overseer || strings.Contains(v.name, "2") || strings.HasPrefix(v.name, "direct") {
			continue // sees everybody, or is no different from the first of its kind
		}
		g := c.generator(v.Actor)
		g.deepest = 1
		before := c.dump()
		for _, f := range rootFields(schema.Mutation) {
			for _, a := range g.askings(schema.Mutation, f, writing{c.sourceOf(v)}, belongings{c: c, t: c.foreign(v)[0], all: v.name == "provider1"}) {
				if a.planted == "" {
					continue
				}
				c.DB.Clock().Advance(time.Hour / 4) // past the limits of what one may do at a time
				c.alike(v, a, settled)
				v.write(a.planted)
				if f.Name == "createPersonalToken" { // past the number that one may have
					c.revoke(v.UserID)
				}
			}
		}
		after := c.dump()
		c.untouched(v, v.written(), before, after)
		c.adopt(v, before, after)
		c.DB.Clock().Advance(20 * 24 * time.Hour)
	}
	t.Logf("%d requests", c.asked)
	c.silent()
}
