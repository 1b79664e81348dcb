package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/channelgraph/channelgraph/graph/gen"
)

func TestPrintedSchemaIsCurrentAndWhole(t *testing.T) {
	t.Parallel()
	out := filepath.Join(t.TempDir(), "schema.graphql")
	if err := run("..", out); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("../../schema.graphql")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Error("schema.graphql is not current; run go generate ./...")
	}
	printed, err := gqlparser.LoadSchema(&ast.Source{Input: string(got)})
	if err != nil {
		t.Fatal("the printed schema cannot be read:", err)
	}
	for name, d := range gen.NewExecutableSchema(gen.Config{}).Schema().Types {
		p := printed.Types[name]
		if p == nil || p.Description != d.Description || len(p.Fields) != len(d.Fields) || len(p.EnumValues) != len(d.EnumValues) {
			t.Errorf("%s is not printed whole", name)
		}
	}
}

func TestRunWithoutSchema(t *testing.T) {
	t.Parallel()
	if err := run(t.TempDir(), filepath.Join(t.TempDir(), "out")); err == nil {
		t.Error("printed nothing without an error")
	}
}
