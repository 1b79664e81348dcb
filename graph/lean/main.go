// Command lean takes from the generated executor what costs at every field and
// is of no use here: a plain text, number or truth of a struct is written as it
// is, without a field context, a chain of interceptors, a recovery and an
// unused error of its own; an object's path is put together only where a
// fragment of it is deferred. Such a field can neither fail nor be null where
// the schema forbids it, and whatever refuses a field refuses root fields,
// which have resolvers. It also opens the lists of some types to the plan of
// package graph, which writes them whole where it can, and tells it how their
// plain fields are written. It is run by `go generate ./...`, after gqlgen, and
// fails where gqlgen no longer writes what it knows.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"go/format"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// planned are the types whose lists may be written by a plan; described are
// those of which plans can write the plain fields.
var (
	planned   = []string{"Customer"}
	described = []string{"Customer", "Partner", "ProductSubscription", "PageInfo"}
)

var (
	// leaf is a field that is read from a struct and written as text, number or
	// truth.
	leaf = regexp.MustCompile(`(?m)^(func \(ec \*executionContext\) _\w+\()ctx context\.Context, field graphql\.CollectedField, (obj [^\n]+\) )\(ret graphql\.Marshaler\) \{
	return graphql\.ResolveField\(
		ctx,
		ec\.OperationContext,
		field,
		func\(ctx context\.Context, field graphql\.CollectedField\) \(\*graphql\.FieldContext, error\) \{
			return ec\.fieldContext_\w+\(ctx, field\)
		\},
		func\(ctx context\.Context\) \(any, error\) \{
			return (obj\.\w+), nil
		\},
		nil,
		func\(ctx context\.Context, selections ast\.SelectionSet, v ([^\n]+)\) graphql\.Marshaler \{
			return ec\.(marshal[^\n(]+)\(ctx, selections, v\)
		\},
		true,
		(?:true|false),
	\)
\}$`)
	// plain are the functions that write what can neither fail nor be null.
	plain = regexp.MustCompile(`(?m)^func \(ec \*executionContext\) (marshalN[^\n(]+)\(ctx context\.Context, sel ast\.SelectionSet, v [\w.]+\) graphql\.Marshaler \{
	_ = sel
	res := (graphql\.Marshal(?:String|Int|Boolean)\((?:\w+\()?v\)?\))$`)
	// scalar is the context of a field that is read from a struct, or by a
	// method of its own, and has no fields.
	scalar = regexp.MustCompile(`(?m)^func \(ec \*executionContext\) fieldContext_(\w+?)_(\w+)\([^\n]+\n	return graphql\.NewScalarFieldContext\("\w+", field, (?:true|false), false, `)
	// method tells the Go type that a type's fields are read from.
	method = regexp.MustCompile(`(?m)^func \(ec \*executionContext\) _(\w+?)\(ctx context\.Context, sel ast\.SelectionSet, obj (\*[\w.]+)\) graphql\.Marshaler \{$`)
	// list writes a list of objects or of their edges.
	list = regexp.MustCompile(`(?m)^func \(ec \*executionContext\) marshalN(\w+?)(Edge)?2ᚕ[^\n(]+\(ctx context\.Context, sel ast\.SelectionSet, v ([^\n]+)\) graphql\.Marshaler \{
	ret := graphql\.MarshalSliceConcurrently\(`)
	imported = regexp.MustCompile(`(?m)^	"([^"\n]+)"$`)
	tail     = regexp.MustCompile(`(?m)^	atomic\.AddInt32\(&ec\.Deferred, int32\(min\(len\(deferLabelToView\), math\.MaxInt32\)\)\)

	ec\.ProcessDeferredGroup\(graphql\.DeferredGroup\{
		Defers:   deferLabelToView,
		Path:     graphql\.GetPath\(ctx\),
		FieldSet: deferredFieldSet,
		Context:  ctx,
	\}\)$`)
)

func main() {
	if err := run("gen"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run rewrites the generated files in dir.
func run(dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.generated.go"))
	if err != nil {
		return err
	}
	texts := make([][]byte, len(files))
	writes := map[string]string{} // how plain values are written, by function
	for i, f := range files {
		if texts[i], err = os.ReadFile(f); err != nil {
			return err
		}
		for _, m := range plain.FindAllSubmatch(texts[i], -1) {
			writes[string(m[1])] = string(m[2])
		}
	}
	leaves, tails := 0, 0
	all := slices.Concat(texts...)
	hooks := 0
	for i, f := range files {
		out := leaf.ReplaceAllFunc(texts[i], func(found []byte) []byte {
			m := leaf.FindSubmatch(found)
			write, ok := writes[string(m[5])]
			if !ok {
				return found
			}
			leaves++
			value := bytes.Replace([]byte(write), []byte("(v)"), append(append([]byte("("), m[3]...), ')'), 1)
			return fmt.Appendf(nil, "%s_ context.Context, _ graphql.CollectedField, %sgraphql.Marshaler {\n\treturn %s\n}", m[1], m[2], value)
		})
		out = tail.ReplaceAllFunc(out, func(found []byte) []byte {
			tails++
			return fmt.Appendf(nil, "\tif len(deferLabelToView) > 0 {\n\t\t%s\n\t}", bytes.ReplaceAll(bytes.TrimPrefix(found, []byte("\t")), []byte("\n\t"), []byte("\n\t\t")))
		})
		out = list.ReplaceAllFunc(out, func(found []byte) []byte {
			m := list.FindSubmatch(found)
			if !slices.Contains(planned, string(m[1])) {
				return found
			}
			hooks++
			head, body, _ := bytes.Cut(found, []byte("{\n"))
			return fmt.Appendf(nil, "%s{\n\tif out := ec.Resolvers.(Planner).Plan%s%ss(ctx, ec.OperationContext, sel, v, Plain{ec}); out != nil {\n\t\treturn out\n\t}\n%s", head, m[1], m[2], body)
		})
		out = imported.ReplaceAllFunc(out, func(found []byte) []byte {
			if bytes.Contains(out, append([]byte(path.Base(string(found[2:len(found)-1]))), '.')) {
				return found
			}
			return nil
		})
		if err := os.WriteFile(f, out, 0o644); err != nil {
			return err
		}
	}
	if leaves == 0 || tails == 0 || hooks != 2*len(planned) {
		return errors.New("gqlgen writes fields, objects or lists in another way than lean knows")
	}
	return describe(filepath.Join(dir, "plain.go"), all)
}

// describe writes what a plan needs to know of the generated code.
func describe(file string, all []byte) error {
	types := map[string]string{} // by the schema's name
	for _, m := range method.FindAllSubmatch(all, -1) {
		types[string(m[1])] = string(m[2])
	}
	var b strings.Builder
	b.WriteString("// Planner writes lists whole where it can, and gives nil where it cannot.\ntype Planner interface {\n")
	seen := map[string]bool{}
	for _, m := range list.FindAllSubmatch(all, -1) {
		if name := string(m[1]) + string(m[2]); slices.Contains(planned, string(m[1])) && !seen[name] {
			seen[name] = true
			fmt.Fprintf(&b, "Plan%ss(ctx context.Context, oc *graphql.OperationContext, sel ast.SelectionSet, rows %s, plain Plain) graphql.Marshaler\n", name, m[3])
		}
	}
	b.WriteString("}\n\n// Plain knows how fields are written that need no look-up.\ntype Plain struct{ ec *executionContext }\n")
	for _, t := range described {
		fmt.Fprintf(&b, "\n// %s gives how such a field of the type is written, nil for any other.\nfunc (p Plain) %s(field string) func(context.Context, graphql.CollectedField, %s) graphql.Marshaler {\nswitch field {\n", t, t, types[t])
		for _, m := range scalar.FindAllSubmatch(all, -1) {
			if string(m[1]) == t {
				fmt.Fprintf(&b, "case %q:\nreturn p.ec._%s_%s\n", m[2], t, m[2])
			}
		}
		b.WriteString("}\nreturn nil\n}\n")
	}
	paths := []string{"context", "github.com/99designs/gqlgen/graphql", "github.com/vektah/gqlparser/v2/ast"}
	for _, m := range imported.FindAllSubmatch(all, -1) {
		p := string(m[1])
		if strings.Contains(b.String(), path.Base(p)+".") && !slices.Contains(paths, p) {
			paths = append(paths, p)
		}
	}
	text, err := format.Source(fmt.Appendf(nil, "// Code generated by graph/lean. DO NOT EDIT.\n\npackage gen\n\nimport (\n\"%s\"\n)\n\n%s", strings.Join(paths, "\"\n\""), b.String()))
	if err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o644)
}
