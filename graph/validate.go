package graph

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/validator"
	"github.com/vektah/gqlparser/v2/validator/rules"
)

// validation are the specification's rules in the order of their names, those
// that suggest replaced. Merging is checked by merging, below, since the
// library compares each field with each other.
var validation = func() []validator.Rule {
	r := rules.NewDefaultRules()
	for _, old := range []string{rules.FieldsOnCorrectTypeRule.Name, rules.ScalarLeafsRule.Name, rules.OverlappingFieldsCanBeMergedRule.Name} {
		r.RemoveRule(old)
	}
	r.AddRule(rules.FieldsOnCorrectTypeRuleWithoutSuggestions.Name, rules.FieldsOnCorrectTypeRuleWithoutSuggestions.RuleFunc)
	r.AddRule(rules.ScalarLeafsRuleWithoutSuggestions.Name, rules.ScalarLeafsRuleWithoutSuggestions.RuleFunc)
	var out []validator.Rule
	for name, fn := range r.GetInner() {
		out = append(out, validator.Rule{Name: name, RuleFunc: fn})
	}
	slices.SortFunc(out, func(a, b validator.Rule) int { return cmp.Compare(a.Name, b.Name) })
	return out
}()

// enoughErrors ends a validation that has found as many errors as are told.
type enoughErrors struct{}

// validate checks a document against a schema, up to maxErrors errors.
func validate(schema *ast.Schema, doc *ast.QueryDocument) (errs gqlerror.List) {
	defer func() {
		if p := recover(); p != nil {
			if _, ok := p.(enoughErrors); !ok {
				panic(p)
			}
		}
	}()
	observers := &validator.Events{}
	for _, r := range validation {
		r.RuleFunc(observers, func(options ...validator.ErrorOption) {
			e := &gqlerror.Error{Rule: r.Name}
			for _, o := range options {
				o(e)
			}
			if errs = append(errs, e); len(errs) == maxErrors {
				panic(enoughErrors{})
			}
		})
	}
	validator.Walk(schema, doc, observers)
	if len(errs) > 0 {
		return errs // what the fields stand for is not known for sure
	}
	return mergeable(schema, doc)
}

// mergeable checks that all fields which answer under one name are one field,
// or belong to objects of different types and have the same shape
// (specification, 5.3.2). It takes all fields of a name together where the
// specification speaks of pairs: what must hold for each pair is that all are
// alike. Each set of selections is looked at once.
func mergeable(schema *ast.Schema, doc *ast.QueryDocument) gqlerror.List {
	m := &merging{schema: schema, ids: map[*ast.Selection]int{}, flat: map[*ast.Selection]*flatSet{}, seen: map[string]bool{}}
	for _, op := range doc.Operations {
		if !m.check([]ast.SelectionSet{op.SelectionSet}, false) {
			break
		}
	}
	if m.bad == nil {
		return nil
	}
	e := gqlerror.ErrorPosf(m.bad.Position, `Fields "%s" conflict. Use different aliases on the fields to fetch both if this was intentional.`, m.bad.Alias)
	e.Rule = rules.OverlappingFieldsCanBeMergedRule.Name
	return gqlerror.List{e}
}

// entry is all fields of a set that are one field: the same name, arguments
// and parent under the same response name.
type entry struct {
	as, name, args string
	field          *ast.Field // the first
	sets           []ast.SelectionSet
}

func (e *entry) is(f *ast.Field, as, args string) bool {
	return e.field.ObjectDefinition == f.ObjectDefinition && e.as == as && e.name == f.Name && e.args == args
}

// flatSet is a selection set with its inline fragments dissolved.
type flatSet struct {
	entries []entry
	spreads []*ast.FragmentDefinition
	// plain says that no two entries answer under one name, and that no
	// fragment may add some.
	plain bool
}

// few is up to how many entries are found by looking at each.
const few = 16

type merging struct {
	schema *ast.Schema
	ids    map[*ast.Selection]int
	flat   map[*ast.Selection]*flatSet
	seen   map[string]bool
	bad    *ast.Field
}

// check looks at the union of some sets; with shapeOnly the fields belong to
// objects of different types, and only the shapes of their answers must agree.
func (m *merging) check(sets []ast.SelectionSet, shapeOnly bool) bool {
	if !m.fresh(sets, shapeOnly) {
		return true
	}
	if len(sets) == 1 { // most sets are alone, and name nothing twice
		if f := m.flatten(sets[0]); f.plain {
			for i := range f.entries {
				if e := &f.entries[i]; len(e.sets) > 0 && !m.check(e.sets, shapeOnly) {
					return false
				}
			}
			return true
		}
	}
	var order []string
	groups := map[string][]*entry{}
	fragments := map[*ast.FragmentDefinition]bool{}
	var add func(set ast.SelectionSet)
	add = func(set ast.SelectionSet) {
		f := m.flatten(set)
		for i := range f.entries {
			e := &f.entries[i]
			group := groups[e.as]
			at := slices.IndexFunc(group, func(x *entry) bool { return x.is(e.field, e.as, e.args) })
			switch {
			case at >= 0:
				group[at].sets = append(group[at].sets, e.sets...)
				continue
			case group == nil:
				order = append(order, e.as)
			}
			own := *e
			own.sets = slices.Clone(e.sets)
			groups[e.as] = append(group, &own)
		}
		for _, d := range f.spreads {
			if !fragments[d] {
				fragments[d] = true
				add(d.SelectionSet)
			}
		}
	}
	for _, s := range sets {
		add(s)
	}
	for _, as := range order {
		if !m.group(groups[as], shapeOnly) {
			return false
		}
	}
	return true
}

// group checks the different fields that answer under one name.
func (m *merging) group(es []*entry, shapeOnly bool) bool {
	var all []ast.SelectionSet
	for _, e := range es {
		if !m.sameShape(es[0].field.Definition.Type, e.field.Definition.Type) {
			m.bad = e.field
			return false
		}
		all = append(all, e.sets...)
	}
	if len(es) > 1 && !m.check(all, true) {
		return false
	}
	if shapeOnly {
		return len(es) > 1 || m.check(all, true)
	}
	// Fields of abstract parents may meet those of any object.
	var abstract []*entry
	var parents []*ast.Definition
	objects := map[*ast.Definition][]*entry{}
	for _, e := range es {
		p := e.field.ObjectDefinition
		if p.Kind != ast.Object {
			abstract = append(abstract, e)
			continue
		}
		if objects[p] == nil {
			parents = append(parents, p)
		}
		objects[p] = append(objects[p], e)
	}
	if len(parents) == 0 {
		return m.one(abstract)
	}
	for _, p := range parents {
		if !m.one(append(objects[p], abstract...)) {
			return false
		}
	}
	return true
}

// one checks fields that may belong to the same object: they must be one.
func (m *merging) one(es []*entry) bool {
	var all []ast.SelectionSet
	for _, e := range es {
		if e.field.Name != es[0].field.Name || e.args != es[0].args {
			m.bad = e.field
			return false
		}
		all = append(all, e.sets...)
	}
	return m.check(all, false)
}

func (m *merging) sameShape(a, b *ast.Type) bool {
	for a != b {
		if a.NonNull != b.NonNull || (a.Elem == nil) != (b.Elem == nil) {
			return false
		}
		if a.Elem == nil {
			x, y := m.schema.Types[a.NamedType], m.schema.Types[b.NamedType]
			return x == y || !leaf(x) && !leaf(y)
		}
		a, b = a.Elem, b.Elem
	}
	return true
}

func leaf(d *ast.Definition) bool { return d == nil || d.Kind == ast.Scalar || d.Kind == ast.Enum }

// fresh notes that a union is being looked at; false where it was before, or
// is empty.
func (m *merging) fresh(sets []ast.SelectionSet, shapeOnly bool) bool {
	ids := make([]int, 0, len(sets))
	for _, s := range sets {
		if len(s) > 0 {
			id, ok := m.ids[&s[0]]
			if !ok {
				id = len(m.ids)
				m.ids[&s[0]] = id
			}
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return false
	}
	slices.Sort(ids)
	key := make([]byte, 0, 2+3*len(ids))
	if shapeOnly {
		key = append(key, 's')
	}
	for _, id := range slices.Compact(ids) {
		key = append(key, byte(id), byte(id>>8), byte(id>>16))
	}
	if m.seen[string(key)] {
		return false
	}
	m.seen[string(key)] = true
	return true
}

func (m *merging) flatten(set ast.SelectionSet) *flatSet {
	if len(set) == 0 {
		return &flatSet{}
	}
	if f := m.flat[&set[0]]; f != nil {
		return f
	}
	f := &flatSet{entries: make([]entry, 0, min(len(set), few))}
	m.flat[&set[0]] = f
	var places map[string][]int // of entries by response name, where there are many
	find := func(sel *ast.Field, args string) int {
		if places == nil {
			return slices.IndexFunc(f.entries, func(e entry) bool { return e.is(sel, sel.Alias, args) })
		}
		for _, i := range places[sel.Alias] {
			if f.entries[i].is(sel, sel.Alias, args) {
				return i
			}
		}
		return -1
	}
	add := func(sel *ast.Field, args string) int {
		n := len(f.entries)
		f.entries = append(f.entries, entry{as: sel.Alias, name: sel.Name, args: args, field: sel})
		switch {
		case places != nil:
			places[sel.Alias] = append(places[sel.Alias], n)
		case n == few:
			places = map[string][]int{}
			for i := range f.entries {
				places[f.entries[i].as] = append(places[f.entries[i].as], i)
			}
		}
		return n
	}
	var walk func(set ast.SelectionSet)
	walk = func(set ast.SelectionSet) {
		for _, sel := range set {
			switch sel := sel.(type) {
			case *ast.Field:
				args := arguments(sel.Arguments)
				i := find(sel, args)
				if i < 0 {
					i = add(sel, args)
				}
				if len(sel.SelectionSet) > 0 {
					f.entries[i].sets = append(f.entries[i].sets, sel.SelectionSet)
				}
			case *ast.InlineFragment:
				walk(sel.SelectionSet)
			case *ast.FragmentSpread:
				if !slices.Contains(f.spreads, sel.Definition) {
					f.spreads = append(f.spreads, sel.Definition)
				}
			}
		}
	}
	walk(set)
	f.plain = len(f.spreads) == 0 && f.distinct()
	return f
}

// distinct reports whether no two entries answer under one name; of many it
// is not looked at.
func (f *flatSet) distinct() bool {
	if len(f.entries) > few {
		return false
	}
	for i := range f.entries {
		for j := range i {
			if f.entries[i].as == f.entries[j].as {
				return false
			}
		}
	}
	return true
}

// arguments is a list of arguments as a text that is the same exactly where
// the arguments are, in whichever order they stand.
func arguments(args ast.ArgumentList) string {
	if len(args) == 0 {
		return ""
	}
	out := make([]string, len(args))
	for i, a := range args {
		out[i] = a.Name + ":" + literalText(a.Value)
	}
	slices.Sort(out)
	return joined(out)
}

// literalText is a value as a text that is the same exactly where the values
// are; the order of an object's fields makes no difference.
func literalText(v *ast.Value) string {
	if v.Kind != ast.ObjectValue && v.Kind != ast.ListValue {
		return string(rune('a'+int(v.Kind))) + v.Raw
	}
	out := make([]string, len(v.Children))
	for i, c := range v.Children {
		out[i] = c.Name + ":" + literalText(c.Value)
	}
	open := "["
	if v.Kind == ast.ObjectValue {
		slices.Sort(out)
		open = "{"
	}
	return open + joined(out)
}

// joined is a list of texts as one, each led by its length so that no two
// lists read alike.
func joined(parts []string) string {
	var b []byte
	for _, p := range parts {
		b = strconv.AppendInt(b, int64(len(p)), 10)
		b = append(append(b, ' '), p...)
	}
	return string(b)
}
