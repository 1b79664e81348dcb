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
	lists = `
func (ec *executionContext) marshalNCustomer2ᚕᚖaᚐCustomerᚄ(ctx context.Context, sel ast.SelectionSet, v []*a.Customer) graphql.Marshaler {
	ret := graphql.MarshalSliceConcurrently(ctx, len(v))
}
func (ec *executionContext) marshalNCustomerEdge2ᚕᚖaᚐEdgeᚄ(ctx context.Context, sel ast.SelectionSet, v []*a.Edge[*a.Customer]) graphql.Marshaler {
	ret := graphql.MarshalSliceConcurrently(ctx, len(v))
}
func (ec *executionContext) marshalNThing2ᚕᚖaᚐThingᚄ(ctx context.Context, sel ast.SelectionSet, v []*a.Thing) graphql.Marshaler {
	ret := graphql.MarshalSliceConcurrently(ctx, len(v))
}
func (ec *executionContext) _Customer(ctx context.Context, sel ast.SelectionSet, obj *a.Customer) graphql.Marshaler {
}
func (ec *executionContext) fieldContext_Customer_name(_ context.Context, field graphql.CollectedField) (fc *graphql.FieldContext, err error) {
	return graphql.NewScalarFieldContext("Customer", field, false, false, errors.New("no fields"))
}
func (ec *executionContext) fieldContext_Customer_late(_ context.Context, field graphql.CollectedField) (fc *graphql.FieldContext, err error) {
	return graphql.NewScalarFieldContext("Customer", field, true, true, errors.New("no fields"))
}
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
	head := "package gen\n\nimport (\n\t\"example/a\"\n\t\"example/b\"\n)\n\n"
	if err := os.WriteFile(path, []byte(head+writer+field+strings.Join(kept, "")+object+lists), 0o600); err != nil {
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
	if strings.Contains(got, "example/b") || !strings.Contains(got, "example/a") {
		t.Errorf("of the imports these were kept:\n%.80s", got)
	}
	if n := strings.Count(got, "ec.Resolvers.(Planner).Plan"); n != 2 || strings.Contains(got, "PlanThings") {
		t.Errorf("%d lists are open to plans", n)
	}
	plain, err := os.ReadFile(filepath.Join(filepath.Dir(path), "plain.go"))
	if err != nil {
		t.Fatal(err)
	}
	for part, want := range map[string]bool{
		"PlanCustomers(ctx context.Context, oc *graphql.OperationContext, sel ast.SelectionSet, rows []*a.Customer, plain Plain) graphql.Marshaler": true,
		"rows []*a.Edge[*a.Customer]": true, "return p.ec._Customer_name\n": true, `"example/a"`: true, `"example/b"`: false, "_Customer_late": false, "Thing": false,
	} {
		if strings.Contains(string(plain), part) != want {
			t.Errorf("of plans is written %t that %s:\n%s", !want, part, plain)
		}
	}
	if err := run(filepath.Dir(path)); err == nil {
		t.Error("nothing to do is told as if all were well")
	}
}
