package graph

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2/ast"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/ident"
)

// asking is one generated request.
type asking struct {
	root  string // Query.partners
	query string
	vars  map[string]any
	// planted is the foreign value that vars hold, "" for none, and where.
	planted, at string
}

func (a asking) body() string {
	b, err := json.Marshal(map[string]any{"query": a.query, "variables": a.vars})
	if err != nil {
		panic(err)
	}
	return string(b)
}

// rootFields are the fields of a root type, without introspection.
func rootFields(d *ast.Definition) (out []*ast.FieldDefinition) {
	for _, f := range d.Fields {
		if !strings.HasPrefix(f.Name, "__") {
			out = append(out, f)
		}
	}
	return out
}

// generator makes requests from the schema. It is bound to a class of actors,
// since it asks for as much as their limits allow.
type generator struct {
	t     testing.TB
	guard *guard
	actor access.Actor
	// chosen notes every field that some request asks for.
	chosen map[string]bool
	memo   map[string]string
	// deepest bounds how deep a selection goes.
	deepest int
}

func (c *chart) generator(a access.Actor) *generator {
	return &generator{t: c.t, guard: c.handler.(*server).guard, actor: a, chosen: map[string]bool{}, memo: map[string]string{}, deepest: 3}
}

// shape says how much of a type is selected: how deep, how many rows of a
// list, how many of the lists below it, and as which type things of several
// types are looked into.
type shape struct {
	depth, rows, below int
	as                 string
}

// shapes are tried from the most to the least.
func (g *generator) shapes(as string) (out []shape) {
	for depth := g.deepest; depth >= 0; depth-- {
		for _, rows := range []int{100, 50, 25, 10} {
			out = append(out, shape{depth, rows, 3, as})
		}
	}
	return append(out, shape{0, 1, 1, as})
}

// selection selects all of a type that the shape allows.
func (g *generator) selection(d *ast.Definition, s shape, note bool) string {
	switch d.Kind {
	case ast.Scalar, ast.Enum:
		return ""
	case ast.Interface, ast.Union:
		out := "{ __typename"
		if d.Fields.ForName("id") != nil {
			out += " id"
		}
		for _, p := range schema.PossibleTypes[d.Name] {
			if p.Name == s.as && s.depth > 0 {
				out += " ... on " + p.Name + " " + g.selection(p, shape{s.depth - 1, s.below, s.below, ""}, note)
			}
		}
		return out + " }"
	}
	out := "{"
	for _, f := range d.Fields {
		if strings.HasPrefix(f.Name, "__") {
			continue
		}
		inner := s
		composite := named(f.Type).IsCompositeType()
		switch {
		case strings.HasSuffix(d.Name, "Connection") && f.Name == "nodes":
			if note {
				g.chosen[d.Name+".nodes"] = true
			}
			out += " nodes { __typename }"
			continue
		case strings.HasSuffix(d.Name, "Connection"), strings.HasSuffix(d.Name, "Edge"), d.Name == "PageInfo":
		case composite && s.depth == 0:
			continue
		case composite:
			inner.depth--
			inner.rows = s.below
		}
		args, ok := "", true
		for _, a := range f.Arguments {
			switch {
			case a.Name == "first":
				args = fmt.Sprintf("(first: %d)", s.below)
			case a.Type.NonNull && a.DefaultValue == nil:
				ok = false // asked for by askings of its own where it is a root field
			}
		}
		if !ok {
			continue
		}
		in := g.selection(named(f.Type), inner, note)
		if composite && in == "{ }" {
			continue
		}
		if note {
			g.chosen[d.Name+"."+f.Name] = true
		}
		out += " " + f.Name + args
		if in != "" {
			out += " " + in
		}
	}
	if out == "{" {
		out += " __typename"
	}
	return out + " }"
}

// request asks one root field with the values of some of its arguments, as
// widely as the guard lets it.
func (g *generator) request(root *ast.Definition, f *ast.FieldDefinition, args map[string]any, as string) asking {
	a := asking{root: root.Name + "." + f.Name, vars: map[string]any{}}
	var declared, given []string
	paged := f.Arguments.ForName("first") != nil && args["first"] == nil && args["last"] == nil
	for _, arg := range f.Arguments {
		if v, ok := args[arg.Name]; ok {
			declared = append(declared, "$"+arg.Name+": "+arg.Type.String())
			given = append(given, arg.Name+": $"+arg.Name)
			a.vars[arg.Name] = v
		}
	}
	write := func(s shape, note bool) string {
		given := given
		if paged {
			given = append(slices.Clone(given), fmt.Sprintf("first: %d", s.rows))
		}
		out := strings.ToLower(root.Name)
		if len(declared) > 0 {
			out += "(" + strings.Join(declared, ", ") + ")"
		}
		out += " { " + f.Name
		if len(given) > 0 {
			out += "(" + strings.Join(given, ", ") + ")"
		}
		return out + " " + g.selection(named(f.Type), s, note) + " }"
	}
	key := a.root + fmt.Sprint(declared) + as
	size := 0
	for _, v := range a.vars { // a longer list of ids costs more
		if l, ok := v.([]any); ok {
			size = len(l)
		}
	}
	key += fmt.Sprint(size)
	for _, s := range g.shapes(as) {
		if q := g.memo[key]; q != "" {
			a.query = q
			return a
		}
		q := write(s, false)
		if _, bad := g.guard.prepare(params{Query: q, Variables: a.vars}, g.actor); bad == nil || bad.errs[0].Extensions["code"] == "BAD_USER_INPUT" {
			g.memo[key] = q
			write(s, true)
		} else if code := bad.errs[0].Extensions["code"]; code != codeCost && code != codeDepth {
			g.t.Fatalf("a generated request is refused: %s\n%s\n%v", bad.errs[0].Message, q, a.vars)
		}
	}
	if g.memo[key] == "" { // beyond every limit: asked for as little as can be
		g.memo[key] = write(shape{0, 1, 1, as}, true)
	}
	a.query = g.memo[key]
	return a
}

// source tells what stands for ids and texts in generated arguments. name is
// the field's or argument's, holder the input type or root field it is of.
type source interface {
	ids(name, holder string) []string
	texts(name, holder string) []string
}

// variants are the values that a type is asked with: the first is the plain
// one, the others each differ from it in one place. Where a foreign value
// stands in it a variant says so.
type variant struct {
	value       any
	planted, at string
}

func (g *generator) variants(typ *ast.Type, name, holder string, plain, foreign source, depth int) []variant {
	if typ.Elem != nil {
		var out []variant
		for _, v := range g.variants(typ.Elem, name, holder, plain, foreign, depth) {
			v.value = []any{v.value}
			out = append(out, v)
		}
		return out
	}
	of := func(pick func(source) []string) (out []variant) {
		out = append(out, variant{value: pick(plain)[0]})
		if foreign != nil {
			for _, s := range pick(foreign) {
				out = append(out, variant{value: s, planted: s, at: holder + "." + name})
			}
		}
		return out
	}
	switch d := named(typ); d.Kind {
	case ast.Enum:
		var out []variant
		for _, v := range d.EnumValues {
			out = append(out, variant{value: v.Name})
		}
		return out
	case ast.InputObject:
		return g.inputs(d, plain, foreign, depth)
	default:
		switch d.Name {
		case "ID":
			return of(func(s source) []string { return s.ids(name, holder) })
		case "String":
			return of(func(s source) []string { return s.texts(name, holder) })
		case "Boolean":
			return []variant{{value: true}, {value: false}}
		case "Int":
			return []variant{{value: 1}}
		case "Float":
			return []variant{{value: 1.5}}
		case "Time":
			return []variant{{value: "2020-01-01T00:00:00Z"}, {value: "2030-01-01T00:00:00Z"}}
		}
		if v, ok := scalars[d.Name]; ok {
			return []variant{{value: v}}
		}
		g.t.Fatalf("how is the scalar %s written? Say it in scalars.", d.Name)
		return nil
	}
}

// scalars are values of scalars that a concept brings with it.
var scalars = map[string]any{"Date": "2026-01-01", "Base64": "enFrOTk5", "JSON": "{}", "Decimal": "1.00", "BigInt": "1"}

// inputs are an input object's variants: the plain one with what it requires,
// then one more for each value of each field.
func (g *generator) inputs(d *ast.Definition, plain, foreign source, depth int) []variant {
	if depth > 3 {
		return []variant{{value: map[string]any{}}}
	}
	base := map[string]any{}
	all := map[string][]variant{}
	oneOf := d.Directives.ForName("oneOf") != nil
	for _, f := range d.Fields {
		vs := g.variants(f.Type, f.Name, d.Name, plain, foreign, depth+1)
		if len(vs) == 0 {
			continue
		}
		all[f.Name] = vs
		if f.Type.NonNull && f.DefaultValue == nil && !oneOf || oneOf && len(base) == 0 {
			base[f.Name] = vs[0].value
		}
	}
	out := []variant{{value: base}}
	for _, f := range d.Fields {
		for i, v := range all[f.Name] {
			if _, required := base[f.Name]; required && i == 0 && v.planted == "" {
				continue
			}
			in := maps.Clone(base)
			if oneOf {
				clear(in)
			}
			in[f.Name] = v.value
			out = append(out, variant{in, v.planted, v.at})
		}
	}
	return out
}

// askings are all generated requests of one root field: the plain one, one for
// each variant of each argument, and for a field that may be of several types
// one as each of them.
func (g *generator) askings(root *ast.Definition, f *ast.FieldDefinition, plain, foreign source) (out []asking) {
	base := map[string]any{}
	all := map[string][]variant{}
	for _, a := range f.Arguments {
		if a.Name == "first" || a.Name == "last" || a.Name == "after" || a.Name == "before" {
			continue
		}
		all[a.Name] = g.variants(a.Type, a.Name, root.Name+"."+f.Name, plain, foreign, 0)
		if a.Type.NonNull && a.DefaultValue == nil {
			base[a.Name] = all[a.Name][0].value
		}
	}
	out = append(out, g.request(root, f, base, ""))
	for _, a := range f.Arguments {
		for i, v := range all[a.Name] {
			if _, required := base[a.Name]; required && i == 0 && v.planted == "" {
				continue
			}
			args := maps.Clone(base)
			args[a.Name] = v.value
			q := g.request(root, f, args, "")
			q.planted, q.at = v.planted, v.at
			out = append(out, q)
		}
	}
	if f.Arguments.ForName("last") != nil {
		back := maps.Clone(base)
		back["last"] = 100
		for n := 100; n > 0; n /= 2 { // as many as the limits allow
			back["last"] = n
			q := g.request(root, f, back, "")
			if _, bad := g.guard.prepare(params{Query: q.query, Variables: q.vars}, g.actor); bad == nil {
				out = append(out, q)
				break
			}
			clear(g.memo)
		}
	}
	return out
}

// typed are the prefixes of ids by the types of the schema.
var typed = func() map[string]string {
	out := map[string]string{}
	for prefix, t := range nodeTypes {
		out[t.name] = prefix
	}
	return out
}()

// idsAre tells which kind of thing an argument names: partnershipId a
// partnership, and plain id what the root field answers with; "" where that
// cannot be told.
func idsAre(name, holder string) string {
	stem := strings.TrimSuffix(strings.TrimSuffix(name, "Ids"), "Id")
	if slices.Contains([]string{"reseller", "provider", "seller"}, stem) || holder == "Query.channelTree" {
		return ident.Partner
	}
	if stem != name && stem != "" {
		for typ, prefix := range typed {
			if strings.EqualFold(stem, typ) || strings.HasSuffix(typ, strings.ToUpper(stem[:1])+stem[1:]) && typ != "AuditEvent" {
				return prefix
			}
		}
	}
	payload := schema.Types[strings.TrimSuffix(holder, "Input")+"Payload"]
	if field, ok := strings.CutPrefix(holder, "Query."); ok {
		return typed[schema.Query.Fields.ForName(field).Type.Name()]
	}
	if field, ok := strings.CutPrefix(holder, "Subscription."); ok {
		return typed[schema.Subscription.Fields.ForName(field).Type.Name()]
	}
	if payload != nil {
		for _, f := range payload.Fields {
			if p := typed[f.Type.Name()]; p != "" {
				return p
			}
		}
	}
	return ""
}

// nothing is the source of ids and texts of which nothing is true.
type nothing struct{}

const nobodysBody = "00000000000000000000000000"

func (nothing) ids(name, holder string) []string {
	prefix := idsAre(name, holder)
	if prefix == "" {
		prefix = ident.Organization
	}
	return []string{prefix + "_" + nobodysBody}
}

func (nothing) texts(name, _ string) []string {
	n := strings.ToLower(name)
	switch {
	case strings.Contains(n, "email"):
		return []string{absentMark + "@fresh.example"}
	case strings.Contains(n, "country"):
		return []string{"IT"}
	case strings.Contains(n, "region"):
		return []string{"EUROPE"}
	case strings.Contains(n, "locale"):
		return []string{"en"}
	case strings.Contains(n, "phone"):
		return []string{"+39 02 1234567"}
	case strings.Contains(n, "domain"):
		return []string{absentMark + ".example"}
	}
	return []string{absentMark}
}

// belongings are a tenant's ids and texts.
type belongings struct {
	c *chart
	t *tenant
	// all gives ids of every kind everywhere; otherwise only where they fit,
	// and where that cannot be told some.
	all bool
}

func (b belongings) ids(name, holder string) (out []string) {
	prefix := idsAre(name, holder)
	for _, s := range tables {
		if s.prefix == "" || len(b.t.ids[s.name]) == 0 || !b.all && prefix != "" && s.prefix != prefix {
			continue
		}
		if !b.all && prefix == "" && len(out) == 3 {
			break
		}
		out = append(out, string(b.t.ids[s.name][0]))
	}
	if len(out) == 0 {
		out = nothing{}.ids(name, holder)
	}
	return out
}

func (b belongings) texts(name, _ string) []string {
	out := []string{b.t.mark()}
	n := strings.ToLower(name)
	for _, s := range tables {
		for c := range s.values {
			plain := plainly(strings.TrimSuffix(c, "_folded"))
			if !secretColumns[plainly(s.name)+"."+plainly(c)] && len(plain) > 2 && (strings.Contains(n, plain) || strings.HasSuffix(plain, n) || n == "recipient" && plain == "email") {
				text := b.t.mark() + "0" + plainly(s.name) + "0" + plain
				switch plain {
				case "email":
					text += "@" + b.t.mark() + ".example"
				case "tenantdomain", "domain", "registrabledomain":
					text = b.t.mark() + ".example"
				}
				out = append(out, text)
			}
		}
	}
	if strings.Contains(n, "email") {
		out = append(out, b.t.mark()+"0useraccount0email@"+b.t.mark()+".example")
	}
	if n == "code" {
		for _, table := range []string{"partnership_link", "invitation", "organization"} {
			if ids := b.t.ids[table]; len(ids) > 0 {
				out = append(out, string(ids[0]), "cgl_"+ids[0].Body()+"AAAAAAAAAAAAAAAAAAAAAA", "cgi_"+ids[0].Body())
			}
		}
	}
	slices.Sort(out)
	out = slices.Compact(out)
	if !b.all && n != "code" {
		out = out[:min(len(out), 3)]
	}
	return out
}

// unique is what each request has another text for.
const unique = "uniqu"

// writing gives a source's ids, and texts that nobody has written yet.
type writing struct{ of source }

func (w writing) ids(name, holder string) []string { return w.of.ids(name, holder) }

func (writing) texts(name, holder string) []string {
	return []string{strings.ReplaceAll(nothing{}.texts(name, holder)[0], absentMark, unique)}
}

// absent is the value that stands for nothing where v is something foreign.
func absent(v string) string {
	v = canaryText.ReplaceAllStringFunc(v, func(s string) string { return absentMark + s[len(absentMark):] })
	v = idText.ReplaceAllStringFunc(v, func(s string) string { return s[:4] + nobodysBody })
	if rest, ok := strings.CutPrefix(v, "cgl_"); ok {
		v = "cgl_" + nobodysBody + rest[len(nobodysBody):]
	}
	if _, ok := strings.CutPrefix(v, "cgi_"); ok {
		v = "cgi_" + nobodysBody
	}
	return v
}

// without is the asking with the foreign value replaced by one of nothing.
func (a asking) without() asking {
	b := a
	raw, _ := json.Marshal(a.vars)
	raw = []byte(strings.ReplaceAll(string(raw), a.planted, absent(a.planted)))
	b.vars, b.planted = nil, absent(a.planted)
	if err := json.Unmarshal(raw, &b.vars); err != nil {
		panic(err)
	}
	return b
}
