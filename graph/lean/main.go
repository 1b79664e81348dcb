// Command lean takes from the generated executor what costs at every field and
// is of no use here: a plain text, number or truth of a struct is written as it
// is, without a field context, a chain of interceptors, a recovery and an
// unused error of its own; an object's path is put together only where a
// fragment of it is deferred. Such a field can neither fail nor be null where
// the schema forbids it, and whatever refuses a field refuses root fields,
// which have resolvers. It is run by `go generate ./...`, after gqlgen, and
// fails where gqlgen no longer writes what it knows.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
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
	plain = regexp.MustCompile(`(?m)^func \(ec \*executionContext\) (marshalN\w+)\(ctx context\.Context, sel ast\.SelectionSet, v [\w.]+\) graphql\.Marshaler \{
	_ = sel
	res := (graphql\.Marshal(?:String|Int|Boolean)\((?:\w+\()?v\)?\))$`)
	tail = regexp.MustCompile(`(?m)^	atomic\.AddInt32\(&ec\.Deferred, int32\(min\(len\(deferLabelToView\), math\.MaxInt32\)\)\)

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
		if err := os.WriteFile(f, out, 0o644); err != nil {
			return err
		}
	}
	if leaves == 0 || tails == 0 {
		return errors.New("gqlgen writes fields or objects in another way than lean knows")
	}
	return nil
}
