// Command print writes schema.graphql, the whole schema as clients and tools
// read it, from the schema files. It is run by `go generate ./...`.
package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/formatter"
)

func main() {
	if err := run(".", "../schema.graphql"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run prints the schema files below dir to out.
func run(dir, out string) error {
	files, err := filepath.Glob(filepath.Join(dir, "schema", "*.graphqls"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("no schema files below %s: %w", dir, err)
	}
	slices.Sort(files)
	var sources []*ast.Source
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		sources = append(sources, &ast.Source{Name: filepath.Base(f), Input: string(raw)})
	}
	schema, err := gqlparser.LoadSchema(sources...)
	if err != nil {
		return fmt.Errorf("reading the schema: %w", err)
	}
	var b bytes.Buffer
	b.WriteString("# Printed from graph/schema by `go generate ./...`; do not edit.\n\n")
	formatter.NewFormatter(&b, formatter.WithIndent("  ")).FormatSchema(schema)
	return os.WriteFile(out, b.Bytes(), 0o644)
}
