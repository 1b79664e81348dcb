package graph

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
)

// Codes of top-level errors that are the API's own; the others are fault's.
const (
	codeInternal   = "INTERNAL"
	codeDepth      = "DEPTH_LIMIT_EXCEEDED"
	codeCost       = "COST_LIMIT_EXCEEDED"
	codeDeadline   = "DEADLINE_EXCEEDED"
	codeParse      = "GRAPHQL_PARSE_FAILED"
	codeValidation = "GRAPHQL_VALIDATION_FAILED"
)

// maxErrors is how many errors an answer holds at most.
const maxErrors = 10

// shown marks an error that is already fit for the caller, or logged.
type shown struct{ is *gqlerror.Error }

func (s shown) Error() string { return s.is.Message }

// topLevel makes an error for the caller.
func topLevel(code, message string, more ...any) *gqlerror.Error {
	e := &gqlerror.Error{Message: message, Extensions: map[string]any{"code": code}}
	for i := 0; i+1 < len(more); i += 2 {
		e.Extensions[more[i].(string)] = more[i+1]
	}
	return e
}

// present turns whatever a field answered into what the caller may read:
// faults by their kind, everything else as INTERNAL, logged once.
func present(log *slog.Logger) graphql.ErrorPresenterFunc {
	return func(ctx context.Context, err error) *gqlerror.Error {
		out := translate(ctx, log, err)
		var at *gqlerror.Error
		if errors.As(err, &at) {
			out.Path, out.Locations = at.Path, at.Locations
		}
		if out.Path == nil {
			out.Path = graphql.GetPath(ctx)
		}
		if id := ident.Request(ctx); id != "" {
			out.Extensions["requestId"] = id
		}
		return out
	}
}

func translate(ctx context.Context, log *slog.Logger, err error) *gqlerror.Error {
	var ready shown
	if errors.As(err, &ready) {
		return topLevel(ready.is.Extensions["code"].(string), ready.is.Message)
	}
	a := access.FromContext(ctx)
	text := func(code string, params map[string]string) string { return fault.Text(a.Locale, code, params) }
	f := fault.As(err)
	if f == nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		log.WarnContext(ctx, "an operation ran out of time", "path", graphql.GetPath(ctx).String(), "request_id", ident.Request(ctx))
		return topLevel(codeDeadline, text(codeDeadline, nil))
	}
	if f == nil {
		if !errors.Is(ctx.Err(), context.Canceled) { // nobody waits for the answer any more
			log.ErrorContext(ctx, "a field failed", "error", err, "path", graphql.GetPath(ctx).String(), "request_id", ident.Request(ctx))
		}
		return topLevel(codeInternal, text(codeInternal, nil))
	}
	switch f.Kind {
	case fault.KindUnauthenticated:
		return topLevel(fault.CodeUnauthenticated, text(fault.CodeUnauthenticated, nil))
	case fault.KindForbidden, fault.KindConflict:
		var params map[string]string
		if len(f.Problems) > 0 {
			params = f.Problems[0].Params
		}
		out := topLevel(fault.CodeForbidden, text(f.Code, params), "reason", f.Code)
		if next := "NEXT_" + f.Code; fault.HasText(next) {
			out.Extensions["nextStep"] = text(next, params)
		}
		return out
	case fault.KindLimited:
		out := topLevel(fault.CodeRateLimited, text(fault.CodeRateLimited, nil))
		if f.RetryAfter > 0 {
			out.Extensions["retryAfterSeconds"] = int(f.RetryAfter.Seconds()) + 1
		}
		return out
	case fault.KindInvalid, fault.KindNotFound:
		code := fault.CodeBadUserInput
		if f.Code == fault.CodeBadCursor {
			code = fault.CodeBadCursor
		}
		out := topLevel(code, text(f.Code, nil))
		if len(f.Problems) > 0 {
			p := f.Problems[0]
			out.Message, out.Extensions["reason"] = text(p.Code, p.Params), p.Code
			out.Extensions["argument"] = strings.TrimPrefix(strings.Join(p.Path, "."), "input.")
		}
		return out
	}
	log.ErrorContext(ctx, "a fault of no kind", "error", err, "request_id", ident.Request(ctx))
	return topLevel(codeInternal, text(codeInternal, nil))
}

// recovered logs a panic with its stack and hides it.
func recovered(log *slog.Logger) graphql.RecoverFunc {
	return func(ctx context.Context, p any) error {
		log.ErrorContext(ctx, "a field panicked", "panic", fmt.Sprint(p), "stack", string(debug.Stack()), "request_id", ident.Request(ctx))
		return shown{topLevel(codeInternal, fault.Text(access.FromContext(ctx).Locale, codeInternal, nil))}
	}
}

// orNull answers a look-up of what is absent or hidden with null.
func orNull[T any](v *T, err error) (*T, error) {
	if fault.KindOf(err) == fault.KindNotFound {
		return nil, nil
	}
	return v, err
}

// blank is null for a text that says nothing.
func blank(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// mutationError is any mutation's own error type.
type mutationError interface {
	~struct {
		Message string
		Path    []string
		Code    string
	}
}

// refused turns a verb's refusal into the mutation's userErrors. What is no
// refusal stays a top-level error; so does a code that the mutation's enum
// does not list, which is a mistake of ours.
func refused[E mutationError](ctx context.Context, err error) ([]*E, error) {
	f := fault.As(err)
	if f == nil || f.Kind != fault.KindInvalid && f.Kind != fault.KindNotFound && f.Kind != fault.KindConflict {
		return nil, err
	}
	if f.Code == fault.CodeBadCursor || f.Code == fault.CodeBadUserInput {
		return nil, err
	}
	problems := f.Problems
	if len(problems) == 0 {
		problems = []fault.Problem{{Code: f.Code}}
	}
	return userErrors[E](ctx, problems)
}

// userErrors are problems as the mutation's own error type.
func userErrors[E mutationError](ctx context.Context, problems []fault.Problem) ([]*E, error) {
	name := reflect.TypeFor[E]().Name()
	out := make([]*E, 0, len(problems))
	for _, p := range problems {
		if !slices.Contains(errorCodes[name], p.Code) {
			return nil, fmt.Errorf("%sCode does not list %s", name, p.Code)
		}
		running(ctx).deps.observer.userError(ctx, p.Code)
		path := p.Path
		if len(path) < 2 {
			path = nil // the whole input
		}
		out = append(out, &E{Message: fault.Text(actor(ctx).Locale, p.Code, p.Params), Path: path, Code: p.Code})
	}
	return out, nil
}

// readErrorCodes fills errorCodes from the schema.
func readErrorCodes(s *ast.Schema) map[string][]string {
	out := map[string][]string{}
	for name, d := range s.Types {
		if typ, ok := strings.CutSuffix(name, "ErrorCode"); ok && d.Kind == ast.Enum {
			for _, v := range d.EnumValues {
				out[typ+"Error"] = append(out[typ+"Error"], v.Name)
			}
		}
	}
	return out
}
