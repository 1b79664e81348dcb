package graph

import (
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/lexer"
)

// tokens counts as the library's lexer does; false where it cannot.
func lexed(text string) (n int, ok bool) {
	l := lexer.New(&ast.Source{Input: text})
	for {
		t, err := l.ReadToken()
		switch {
		case err != nil:
			return 0, false
		case t.Kind == lexer.EOF:
			return n, true
		case t.Kind != lexer.Comment:
			n++
		}
	}
}

// scanned counts by scan.
func scanned(text string) int {
	for n := 0; ; n++ {
		if scan(text, limits{tokens: n, depth: 1 << 20, aliases: 1 << 20}) == nil {
			return n
		}
	}
}

var texts = []string{
	"", " ,\n\t", "{ a }", "query Q($a: [Int!]! = [1, -2.5e+3]) @x(y: {z: $a}) { ...F ... on T @y { a: b(c: \"d\\\"e{\", f: ENUM) } } # } { :\nfragment F on T { a }",
	`{ a(b: """ block "quoted" \""" { : } """, c: "") }`, `{ a(b: """""", c: """x""") }`, "{a_1 _b B2}", "#", "# x\r{ a }\r# y", "{ a(b: \"ü€😀\") }", "&|=!", "{ a(b: 1, c: 0, d: 1.5, e: -1) }",
}

func TestScanReadsTokens(t *testing.T) {
	t.Parallel()
	for _, text := range texts {
		want, ok := lexed(text)
		if got := scanned(text); !ok || got != want {
			t.Errorf("%q: %d tokens, the lexer reads %d (%v)", text, got, want, ok)
		}
	}
	if n := scanned("\ufeff{ a }"); n != 3 { // the library reads it as what comes before
		t.Errorf("%d tokens behind a byte order mark", n)
	}
	for text, of := range map[string]string{
		strings.Repeat("a ", 11): "tokens", strings.Repeat("{", 9): "", strings.Repeat("{", 50): "levels", "{" + strings.Repeat("a:", 4): "", "{a(" + strings.Repeat(":", 5) + ")": "",
		strings.Repeat(" ", maxDocument): "", strings.Repeat(" ", maxDocument+1): "bytes",
	} {
		l := limits{tokens: 10, depth: 3, aliases: 1}
		if of == "levels" {
			l.tokens = 100
		}
		bad := scan(text, l)
		if of == "" && bad != nil || of != "" && (bad == nil || bad.errs[0].Extensions["of"] != of) {
			t.Errorf("%.20q: %v, want %q", text, bad, of)
		}
	}
	if bad := scan("{"+strings.Repeat("a:a ", 5), limits{tokens: 100, depth: 3, aliases: 1}); bad == nil || bad.errs[0].Extensions["of"] != "aliases" {
		t.Error("aliases are not counted")
	}
}

// FuzzScan looks for texts that scan counts more of than the parser, and so
// would refuse too early, or that it cannot stand.
func FuzzScan(f *testing.F) {
	for _, text := range texts {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 1000 {
			return
		}
		want, ok := lexed(text)
		if got := scanned(text); ok && got > want {
			t.Errorf("%q: %d tokens, the lexer reads %d", text, got, want)
		}
	})
}

// What the outline refuses the measure would refuse as well, or it would cost
// the validation more than its text tells.
func TestOutline(t *testing.T) {
	t.Parallel()
	l := limits{class: "test", tokens: 40, depth: 4, aliases: 3, cost: 5}
	for name, c := range map[string]struct{ text, of string }{
		"fits":                      {"{ a { b { c { d } } } }", ""},
		"levels":                    {"{ a { b { c { d { e } } } } }", "levels"},
		"levels in fragments":       {"{ a { ...F } } fragment F on T { b { ... on T { c { d { e } } } } }", "levels"},
		"inline fragments nest not": {"{ ... { ... { ... { ... { a { b } } } } } }", ""},
		"aliases":                   {"{ a: x b: x c: x d: x }", "aliases"},
		"aliases of fragments":      {"{ a { ...F } b { ...F } } fragment F on T { a: x b: x }", "aliases"},
		"aliases, one operation":    {"query A { a: x b: x c: x } query B { a: x b: x c: x }", ""},
		"fields":                    {"{ a{x} b{x} c{x} d{x} e{x} f{x} g{x} h{x} i{x} j{x} k{x} }", "cost points"},
		"doubling":                  {"{ ...A } fragment A on T { x{...B} y{...B} } fragment B on T { x{...C} y{...C} } fragment C on T { x{y} y{x} }", "cost points"},
		"walks":                     {"query A{...F} query B{...F} query C{...F} query D{...F} fragment F on T{a b c d e f g h i}", "tokens, counting fragments wherever they are reached"},
		"introspection is level 1":  {"{ __schema { a { b { c { d { e } } } } } }", ""},
		"introspection's aliases":   {"{ __schema { a: b } }", "aliases"},
		"a circle":                  {"{ ...F } fragment F on T { ...G } fragment G on T { a ...F }", ""},
		"absent":                    {"{ ...F }", ""},
	} {
		bad := outlined(parsed(t, c.text), l)
		if c.of == "" && bad != nil || c.of != "" && (bad == nil || bad.errs[0].Extensions["of"] != c.of) {
			t.Errorf("%s: %v, want %q", name, bad, c.of)
		}
	}
}
