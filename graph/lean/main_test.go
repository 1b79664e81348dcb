package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	writer = `func (ec *executionContext) marshalNString2string(ctx context.Context, sel ast.SelectionSet, v string) graphql.Marshaler {
	_ = sel
	res := graphql.MarshalString(v)
	return res
}
`
	field = `func (ec *executionContext) _Thing_name(ctx context.Context, field graphql.CollectedField, obj *a.Thing) (ret graphql.Marshaler) {
	return graphql.ResolveField(
		ctx,
		ec.OperationContext,
		field,
		func(ctx context.Context, field graphql.CollectedField) (*graphql.FieldContext, error) {
			return ec.fieldContext_Thing_name(ctx, field)
		},
		func(ctx context.Context) (any, error) {
			return obj.Name, nil
		},
		nil,
		func(ctx context.Context, selections ast.SelectionSet, v string) graphql.Marshaler {
			return ec.marshalNString2string(ctx, selections, v)
		},
		true,
		true,
	)
}
`
	object = `	atomic.AddInt32(&ec.Deferred, int32(min(len(deferLabelToView), math.MaxInt32)))

	ec.ProcessDeferredGroup(graphql.DeferredGroup{
		Defers:   deferLabelToView,
		Path:     graphql.GetPath(ctx),
		FieldSet: deferredFieldSet,
		Context:  ctx,
	})
`
)

// What is not a plain field of a struct stays as gqlgen wrote it: what is
// resolved, what a method gives, what may be null, what a directive guards.
func TestPlainFieldsAlone(t *testing.T) {
	t.Parallel()
	kept := []string{
		strings.Replace(field, "return obj.Name, nil", "return ec.Resolvers.Thing().Name(ctx, obj)", 1),
		strings.Replace(field, "return obj.Name, nil", "return obj.Name(), nil", 1),
		strings.Replace(field, "return obj.Name, nil", "return obj.Inner.Name, nil", 1),
		strings.Replace(field, "marshalNString2string", "marshalOString2ᚖstring", 1),
		strings.Replace(field, "		nil,\n", "		guarded,\n", 1),
	}
	path := filepath.Join(t.TempDir(), "a.generated.go")
	if err := os.WriteFile(path, []byte(writer+field+strings.Join(kept, "")+object), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := run(filepath.Dir(path)); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got := string(raw)
	if !strings.Contains(got, "_Thing_name(_ context.Context, _ graphql.CollectedField, obj *a.Thing) graphql.Marshaler {\n\treturn graphql.MarshalString(obj.Name)\n}\n") {
		t.Errorf("the plain field was written as\n%s", got)
	}
	for _, k := range kept {
		if !strings.Contains(got, k) {
			t.Errorf("this was changed:\n%s", k)
		}
	}
	if !strings.Contains(got, "\tif len(deferLabelToView) > 0 {\n\t\tatomic.AddInt32") {
		t.Error("the path is still put together")
	}
	if err := run(filepath.Dir(path)); err == nil {
		t.Error("nothing to do is told as if all were well")
	}
}
