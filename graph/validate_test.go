package graph

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"
	"github.com/vektah/gqlparser/v2/validator"
	"github.com/vektah/gqlparser/v2/validator/rules"
)

const mergingSchema = `
interface Being { name(style: Int, of: In): String  mother: Being  friends: [Being!]! }
type Dog implements Being { name(style: Int, of: In): String  mother: Dog  friends: [Being!]!  barks: Boolean!  size: Int  owner: Human }
type Cat implements Being { name(style: Int, of: In): String  mother: Cat  friends: [Being!]!  barks: Boolean  size: String  owner: Human! }
type Human { name: String!  pet: Pet  pets: [Pet]  dog: Dog }
union Pet = Dog | Cat
input In { a: Int  b: [Int] }
type Query { dog: Dog  cat: Cat  being: Being  pet: Pet  human: Human }`

// selections are what the tests pick from, by type; behind the bar stands the
// type of what has selections itself.
var selections = map[string][]string{
	"Dog":   {"name", "name(style: 1)", "name(style: 2)", "name(of: {a: 1, b: [1]})", "name(of: {b: [1], a: 1})", "barks", "size", "x: barks", "x: size", "x: name", "mother|Dog", "friends|Being", "owner|Human", "x: owner|Human"},
	"Cat":   {"name", "name(style: 1)", "barks", "size", "x: barks", "x: size", "x: name", "mother|Cat", "friends|Being", "owner|Human", "x: mother|Cat"},
	"Being": {"name", "name(style: 2)", "x: name", "mother|Being", "friends|Being", "x: friends|Being", "x: mother|Being"},
	"Human": {"name", "x: name", "pet|Pet", "pets|Pet", "dog|Dog", "x: pet|Pet"},
	"Pet":   {"__typename", "x: __typename"},
	"Query": {"dog|Dog", "cat|Cat", "being|Being", "pet|Pet", "human|Human", "x: dog|Dog", "x: cat|Cat"},
}

var inside = map[string][]string{"Being": {"Dog", "Cat", "Being"}, "Pet": {"Dog", "Cat", "Being"}, "Dog": {"Dog", "Being"}, "Cat": {"Cat", "Being"}, "Human": {"Human"}, "Query": {"Query"}}

// randomDocument is a document that is valid but for what it merges.
func randomDocument(r *rand.Rand) string {
	var b strings.Builder
	types := []string{"Query", "Dog", "Cat", "Being", "Pet", "Human"}
	fragments := map[string][]int{} // by type
	n := r.IntN(5)
	of := make([]string, n)
	for i := range n {
		of[i] = types[r.IntN(len(types))]
		fragments[of[i]] = append(fragments[of[i]], i)
	}
	var set func(typ string, depth, from int)
	set = func(typ string, depth, from int) {
		b.WriteString("{ __typename ")
		for range 1 + r.IntN(4) {
			switch k := r.IntN(6); {
			case k == 0 && depth > 0:
				in := inside[typ][r.IntN(len(inside[typ]))]
				b.WriteString("... on " + in + " ")
				set(in, depth-1, from)
			case k == 1:
				for _, i := range fragments[inside[typ][r.IntN(len(inside[typ]))]] {
					if i >= from { // no circles
						fmt.Fprintf(&b, "...F%d ", i)
					}
				}
			default:
				f, next, composite := strings.Cut(selections[typ][r.IntN(len(selections[typ]))], "|")
				if composite && depth == 0 {
					continue
				}
				b.WriteString(f + " ")
				if composite {
					set(next, depth-1, from)
				}
			}
		}
		b.WriteString("} ")
	}
	set("Query", 4, 0)
	for i := range n {
		fmt.Fprintf(&b, "fragment F%d on %s ", i, of[i])
		set(of[i], 2, i+1)
	}
	return b.String()
}

// What may merge is what the library, which compares each field with each
// other, lets merge.
func TestMergingIsAsSpecified(t *testing.T) {
	t.Parallel()
	s, err := gqlparser.LoadSchema(&ast.Source{Input: mergingSchema})
	if err != nil {
		t.Fatal(err)
	}
	slow := rules.NewRules(rules.OverlappingFieldsCanBeMergedRule)
	other := rules.NewDefaultRules()
	other.RemoveRule(rules.OverlappingFieldsCanBeMergedRule.Name)
	other.RemoveRule(rules.NoUnusedFragmentsRule.Name)
	verdicts := map[bool]int{}
	for i := range uint64(4000) {
		q := randomDocument(rand.New(rand.NewPCG(7, i)))
		doc, perr := parser.ParseQuery(&ast.Source{Input: q})
		if perr != nil {
			t.Fatal(perr, q)
		}
		if errs := validator.ValidateWithRules(s, doc, other); len(errs) > 0 {
			t.Fatal(errs, q)
		}
		// The library looks at every fragment, used or not; ours at what runs.
		want := len(validator.ValidateWithRules(s, only(doc), slow)) == 0
		got := len(mergeable(s, doc)) == 0
		if verdicts[got]++; got != want {
			t.Fatalf("%d: merges %v, the library says %v: %s", i, got, want, q)
		}
	}
	t.Log(verdicts)
	if verdicts[true] < 400 || verdicts[false] < 400 {
		t.Errorf("the documents are too much alike: %v", verdicts)
	}
}

// only leaves the fragments of a document that its operation reaches.
func only(doc *ast.QueryDocument) *ast.QueryDocument {
	out := &ast.QueryDocument{Operations: doc.Operations}
	seen := map[string]bool{}
	var walk func(ast.SelectionSet)
	walk = func(set ast.SelectionSet) {
		for _, sel := range set {
			switch sel := sel.(type) {
			case *ast.Field:
				walk(sel.SelectionSet)
			case *ast.InlineFragment:
				walk(sel.SelectionSet)
			case *ast.FragmentSpread:
				if !seen[sel.Name] {
					seen[sel.Name] = true
					f := doc.Fragments.ForName(sel.Name)
					out.Fragments = append(out.Fragments, f)
					walk(f.SelectionSet)
				}
			}
		}
	}
	walk(doc.Operations[0].SelectionSet)
	return out
}
