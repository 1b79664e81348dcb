package graph

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/page"
)

// maxInputList bounds lists in a mutation's input before the verb's own bound,
// which answers with a userError.
const maxInputList = 1000

// coercion turns variables into what their types ask for, exactly as the
// specification says; the library's own takes enums in any case and numbers as
// text. What is wrong is told by its place, never by its value.
type coercion struct {
	schema *ast.Schema
	// long lets lists be longer than a query's may be.
	long bool
}

func badValue(path ast.Path, message string) *gqlerror.Error {
	e := topLevel(fault.CodeBadUserInput, message)
	if path != nil {
		e.Message = "$" + strings.TrimPrefix(path.String(), ".") + ": " + message
	}
	return e
}

// variables coerces the values that a client gave for an operation.
func (c coercion) variables(op *ast.OperationDefinition, given map[string]any) (map[string]any, *gqlerror.Error) {
	out := map[string]any{}
	for _, d := range op.VariableDefinitions {
		path := ast.Path{ast.PathName(d.Variable)}
		v, ok := given[d.Variable]
		switch {
		case !ok && d.DefaultValue != nil:
			if err := c.literal(d.DefaultValue); err != nil {
				return nil, err
			}
			v, err := d.DefaultValue.Value(nil)
			if err != nil {
				return nil, badValue(path, "The default value does not fit its type.")
			}
			out[d.Variable] = v
			continue
		case !ok && d.Type.NonNull:
			return nil, badValue(path, "A value is missing.")
		case !ok:
			continue
		}
		v, err := c.value(d.Type, v, path)
		if err != nil {
			return nil, err
		}
		out[d.Variable] = v
	}
	return out, nil
}

func (c coercion) value(t *ast.Type, v any, path ast.Path) (any, *gqlerror.Error) {
	if v == nil {
		if t.NonNull {
			return nil, badValue(path, "The value must not be null.")
		}
		return nil, nil
	}
	if t.Elem != nil {
		return c.list(t.Elem, v, path)
	}
	d := c.schema.Types[t.NamedType]
	switch d.Kind {
	case ast.InputObject:
		return c.object(d, v, path)
	case ast.Enum:
		if s, ok := v.(string); ok && d.EnumValues.ForName(s) != nil {
			return s, nil
		}
	case ast.Scalar:
		if out, ok := scalar(d.Name, v); ok {
			return out, nil
		}
		if s, ok := v.(string); ok && !clean(s) {
			return nil, badValue(path, "The text holds characters that cannot be stored.")
		}
	}
	return nil, badValue(path, "The value does not fit the type "+t.Name()+".")
}

func (c coercion) list(elem *ast.Type, v any, path ast.Path) (any, *gqlerror.Error) {
	in, ok := v.([]any)
	if !ok {
		in = []any{v}
	}
	if len(in) > c.longest() {
		return nil, tooLong(path, c.longest())
	}
	out := make([]any, len(in))
	for i, x := range in {
		var err *gqlerror.Error
		if out[i], err = c.value(elem, x, append(slices.Clip(path), ast.PathIndex(i))); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (c coercion) longest() int {
	if c.long {
		return maxInputList
	}
	return page.MaxSize
}

func tooLong(path ast.Path, most int) *gqlerror.Error {
	e := badValue(path, "The list holds more than "+strconv.Itoa(most)+" values.")
	e.Extensions["reason"] = fault.CodeTooMany
	return e
}

func (c coercion) object(d *ast.Definition, v any, path ast.Path) (any, *gqlerror.Error) {
	in, ok := v.(map[string]any)
	if !ok {
		return nil, badValue(path, "The value must be an object of type "+d.Name+".")
	}
	for name := range in {
		if d.Fields.ForName(name) == nil {
			return nil, badValue(path, "The object holds a field that "+d.Name+" does not have.")
		}
	}
	if d.Directives.ForName("oneOf") != nil {
		if len(in) != 1 {
			return nil, badValue(path, "The object must hold exactly one field.")
		}
		for name, x := range in {
			if x == nil {
				return nil, badValue(append(slices.Clip(path), ast.PathName(name)), "The value must not be null.")
			}
		}
	}
	out := make(map[string]any, len(in))
	for _, f := range d.Fields {
		at := append(slices.Clip(path), ast.PathName(f.Name))
		x, ok := in[f.Name]
		if !ok {
			if f.Type.NonNull && f.DefaultValue == nil {
				return nil, badValue(at, "A value is missing.")
			}
			continue
		}
		var err *gqlerror.Error
		if out[f.Name], err = c.value(f.Type, x, at); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// scalar coerces a JSON value to a scalar type.
func scalar(name string, v any) (any, bool) {
	switch name {
	case "Int":
		n, ok := whole(v)
		return n, ok && n >= math.MinInt32 && n <= math.MaxInt32
	case "Float":
		if n, ok := v.(json.Number); ok {
			f, err := n.Float64()
			return f, err == nil
		}
	case "Boolean":
		b, ok := v.(bool)
		return b, ok
	case "ID":
		if n, ok := whole(v); ok {
			return strconv.FormatInt(n, 10), true
		}
		s, ok := v.(string)
		return s, ok && clean(s)
	default: // String and the custom scalars, which are written as text
		s, ok := v.(string)
		return s, ok && clean(s)
	}
	return nil, false
}

func whole(v any) (int64, bool) {
	n, ok := v.(json.Number)
	if !ok {
		return 0, false
	}
	if i, err := n.Int64(); err == nil {
		return i, true
	}
	f, err := n.Float64()
	return int64(f), err == nil && f == math.Trunc(f) && math.Abs(f) < 1<<53
}

// clean reports whether both databases can store the text.
func clean(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }

// literal checks what validation leaves unchecked in a value of the document:
// the range of whole numbers, the length of lists, and what cannot be stored.
func (c coercion) literal(v *ast.Value) *gqlerror.Error {
	switch v.Kind {
	case ast.IntValue:
		if v.Definition != nil && v.Definition.Name == "Int" {
			if _, err := strconv.ParseInt(v.Raw, 10, 32); err != nil {
				return badValue(nil, "A whole number must be of 32 bits.")
			}
		} else if _, err := strconv.ParseInt(v.Raw, 10, 64); err != nil {
			return badValue(nil, "A number is out of range.")
		}
	case ast.FloatValue:
		if _, err := strconv.ParseFloat(v.Raw, 64); err != nil {
			return badValue(nil, "A number is out of range.")
		}
	case ast.StringValue, ast.BlockValue:
		if !clean(v.Raw) {
			return badValue(nil, "A text holds characters that cannot be stored.")
		}
	case ast.ListValue:
		if len(v.Children) > c.longest() {
			return tooLong(nil, c.longest())
		}
	}
	for _, child := range v.Children {
		if err := c.literal(child.Value); err != nil {
			return err
		}
	}
	return nil
}
