package graph

import (
	"fmt"
	"strings"
	"testing"

	"github.com/channelgraph/channelgraph/internal/access"
)

func filled(n int, s string) string {
	var b strings.Builder
	for i := range n {
		if strings.Contains(s, "%") {
			fmt.Fprintf(&b, s, i)
		} else {
			b.WriteString(s)
		}
	}
	return b.String()
}

func BenchmarkProbe(b *testing.B) {
	g, err := newGuard(schema, nodeTypes)
	if err != nil {
		b.Fatal(err)
	}
	for name, q := range map[string]string{
		"same":        "{ viewer { user {" + strings.Repeat("id ", 1480) + "} } }",
		"distinct":    "{ viewer { user { id email firstName lastName displayName locale status roles lastSignInAt version createdAt updatedAt } } " + strings.Repeat("viewer { user { id email firstName lastName displayName locale status roles lastSignInAt version createdAt updatedAt } } ", 80) + "}",
		"fragments":   "{ viewer { user {" + filled(180, "...F%d ") + "} } }" + filled(180, " fragment F%d on User { id }"),
		"operations":  filled(200, "query Q%d { ...F } ") + " fragment F on Query { viewer { user {" + strings.Repeat("id ", 300) + "} } }",
		"inline":      "{ viewer { user {" + strings.Repeat("...{id} ", 290) + "} } }",
		"variables":   "query(" + filled(200, "$a%d:Int ") + "){ " + filled(1, "x") + "}",
		"nested same": "{" + strings.Repeat("viewer{user{organization{id}}}", 140) + "}",
		"directives":  "{ viewer " + strings.Repeat("@skip(if:true)", 200) + " { roles } }",
		"args":        "{ country(" + strings.Repeat("code:\"\" ", 400) + ") { name } }",
		"unknown":     "{ viewer { " + filled(1400, "nothing%d ") + "} }",
	} {
		b.Run(name, func(b *testing.B) {
			a := access.System("x")
			var bad *rejection
			for b.Loop() {
				g.docs = documents{}
				_, bad = g.prepare(params{Query: q}, a)
			}
			if bad != nil {
				b.Log(bad.errs[0].Message[:min(80, len(bad.errs[0].Message))])
			}
		})
	}
}
