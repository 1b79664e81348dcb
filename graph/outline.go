package graph

import (
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
)

// A document is looked at three times before it is validated, each time as
// cheaply as what it may hold allows: its text is scanned without being
// parsed, its selections are outlined without the schema, and only then the
// rules of the specification see it, which cost most.

// Slack of the looks that know less than the measure: inline fragments nest
// braces but no levels, other operations of the document have aliases too, and
// some fields cost nothing.
const (
	braceSlack, bracesMore = 3, 20
	aliasSlack             = 4
	fieldSlack             = 2
)

// maxDocument bounds a document's text, in bytes; what variables hold is bound
// by the body alone.
const maxDocument = 64 << 10

// scan refuses a text that holds more than the limits by far. It reads tokens
// as the specification has them, and what is none counts as one; comments do
// not count.
func scan(text string, l limits) *rejection {
	if len(text) > maxDocument {
		return tooMuch(codeCost, "bytes", maxDocument)
	}
	var tokens, braces, parens, aliases int
	for i := 0; i < len(text); {
		c := text[i]
		i++
		switch {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == ',':
			continue
		case c == '#':
			if end := strings.IndexAny(text[i:], "\n\r"); end >= 0 {
				i += end
			} else {
				i = len(text)
			}
			continue
		case c == '-' || c >= '0' && c <= '9':
			for i < len(text) && (nameByte(text[i]) || text[i] == '.' || text[i] == '+' || text[i] == '-') {
				i++
			}
		case nameByte(c):
			for i < len(text) && nameByte(text[i]) {
				i++
			}
		case c == 0xEF && strings.HasPrefix(text[i:], "\xBB\xBF"): // a byte order mark is no token
			i += 2
			continue
		case c == '"':
			i = stringEnd(text, i)
		case c == '.' && strings.HasPrefix(text[i:], ".."):
			i += 2
		case c == '(':
			parens++
		case c == ')':
			parens--
		case parens > 0:
		case c == '{':
			braces++
		case c == '}':
			braces--
		case c == ':' && braces > 0:
			aliases++
		}
		tokens++
		switch {
		case tokens > l.tokens:
			return tooMuch(codeCost, "tokens", l.tokens)
		case braces > braceSlack*l.depth+bracesMore:
			return tooMuch(codeDepth, "levels", l.depth)
		case aliases > aliasSlack*l.aliases:
			return tooMuch(codeCost, "aliases", l.aliases)
		}
	}
	return nil
}

func nameByte(c byte) bool {
	return c == '_' || c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9'
}

// stringEnd is where a string or block string ends whose first quote stands
// before i.
func stringEnd(text string, i int) int {
	if strings.HasPrefix(text[i:], `""`) {
		for i += 2; i < len(text); i++ {
			switch {
			case strings.HasPrefix(text[i:], `\"""`):
				i += 3
			case strings.HasPrefix(text[i:], `"""`):
				return i + 3
			}
		}
		return i
	}
	for ; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"', '\n', '\r':
			return i + 1
		}
	}
	return min(i, len(text))
}

// outline is the shape of a selection: what size holds as far as it can be
// known without schema and variables, which is never more than that.
type outline struct{ depth, aliases, fields int }

type outliner struct {
	byName map[string]*ast.FragmentDefinition
	done   map[*ast.FragmentDefinition]outline
	open   map[*ast.FragmentDefinition]bool
}

// outlined refuses a document that is beyond the limits whatever its variables
// are, or that would keep the validation busy for longer than its text tells:
// the rules walk each fragment again for each operation and fragment that
// reaches it, and so these walks count as tokens.
func outlined(doc *ast.QueryDocument, l limits) *rejection {
	o := &outliner{byName: make(map[string]*ast.FragmentDefinition, len(doc.Fragments)),
		done: map[*ast.FragmentDefinition]outline{}, open: map[*ast.FragmentDefinition]bool{}}
	for _, f := range doc.Fragments {
		o.byName[f.Name] = f
	}
	w := walks{o: o, own: map[*ast.FragmentDefinition]reach{}, left: l.tokens}
	for _, op := range doc.Operations {
		w.walk(op.SelectionSet)
	}
	for _, f := range doc.Fragments {
		w.walk(f.SelectionSet)
	}
	if w.left < 0 {
		return tooMuch(codeCost, "tokens, counting fragments wherever they are reached", l.tokens)
	}
	for _, op := range doc.Operations {
		s := o.set(op.SelectionSet)
		switch {
		case s.depth > l.depth:
			return tooMuch(codeDepth, "levels", l.depth)
		case s.aliases > l.aliases:
			return tooMuch(codeCost, "aliases", l.aliases)
		case s.fields > fieldSlack*l.cost:
			bad := tooMuch(codeCost, "cost points", l.cost)
			bad.requested = s.fields
			return bad
		}
	}
	return nil
}

func (o *outliner) set(set ast.SelectionSet) (out outline) {
	for _, sel := range set {
		var s outline
		switch sel := sel.(type) {
		case *ast.Field:
			s = o.field(sel)
		case *ast.InlineFragment:
			s = o.set(sel.SelectionSet)
		case *ast.FragmentSpread:
			s = o.fragment(o.byName[sel.Name])
		}
		out = outline{max(out.depth, s.depth), plus(out.aliases, s.aliases), plus(out.fields, s.fields)}
	}
	return out
}

// fragment is the outline of a fragment; of what is absent or in a circle, of
// which the validation tells, it is nothing.
func (o *outliner) fragment(f *ast.FragmentDefinition) outline {
	if s, ok := o.done[f]; ok || f == nil || o.open[f] {
		return s
	}
	o.open[f] = true
	s := o.set(f.SelectionSet)
	o.done[f] = s
	return s
}

func (o *outliner) field(f *ast.Field) outline {
	s := o.set(f.SelectionSet)
	if f.Alias != f.Name {
		s.aliases = plus(s.aliases, 1)
	}
	if len(f.SelectionSet) > 0 {
		s.fields = plus(s.fields, 1)
	}
	if f.Name == "__schema" || f.Name == "__type" {
		return outline{1, times(s.aliases, introspectionAlias), s.fields}
	}
	s.depth++
	return s
}

// reach is what a fragment holds itself and the fragments that it names.
type reach struct {
	selections int
	spreads    []*ast.FragmentDefinition
}

// walks counts the selections that the validation's walks visit.
type walks struct {
	o    *outliner
	own  map[*ast.FragmentDefinition]reach
	left int
}

func (w *walks) walk(set ast.SelectionSet) {
	var first reach
	w.collect(set, &first)
	w.left -= first.selections
	seen := map[*ast.FragmentDefinition]bool{}
	for todo := first.spreads; len(todo) > 0 && w.left >= 0; {
		f := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if seen[f] {
			continue
		}
		seen[f] = true
		r, ok := w.own[f]
		if !ok {
			w.collect(f.SelectionSet, &r)
			w.own[f] = r
		}
		w.left -= r.selections
		todo = append(todo, r.spreads...)
	}
}

func (w *walks) collect(set ast.SelectionSet, r *reach) {
	for _, sel := range set {
		r.selections++
		switch sel := sel.(type) {
		case *ast.Field:
			w.collect(sel.SelectionSet, r)
		case *ast.InlineFragment:
			w.collect(sel.SelectionSet, r)
		case *ast.FragmentSpread:
			if f := w.o.byName[sel.Name]; f != nil {
				r.spreads = append(r.spreads, f)
			}
		}
	}
}
