package fault

import (
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"
)

func TestPaths(t *testing.T) {
	t.Parallel()
	for in, want := range map[string][]string{
		"":                 {"input"},
		"email":            {"input", "email"},
		"lines.3.quantity": {"input", "lines", "3", "quantity"},
	} {
		for name, err := range map[string]error{"invalid": Invalid(in, CodeInvalid), "conflict": Conflict(in, CodeInvalid), "not found": NotFound(in)} {
			if got := As(err).Problems[0].Path; !reflect.DeepEqual(got, want) {
				t.Errorf("%s %q: got %v", name, in, got)
			}
		}
	}
	if p := As(Forbidden(CodeRoleRequired, "permission", "x")).Problems[0]; p.Path != nil || p.Params["permission"] != "x" {
		t.Errorf("got %+v", p)
	}
}

func TestKinds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		kind Kind
		code string
	}{
		{Invalid("a", CodeTooLong, "max", "3"), KindInvalid, CodeTooLong},
		{NotFound("a"), KindNotFound, CodeNotFound},
		{Conflict("a", "TAKEN"), KindConflict, "TAKEN"},
		{Unauthenticated(), KindUnauthenticated, CodeUnauthenticated},
		{Forbidden(CodeSudoRequired), KindForbidden, CodeSudoRequired},
		{Limited(time.Minute), KindLimited, CodeRateLimited},
		{fmt.Errorf("doing: %w", Invalid("a", CodeTooLong)), KindInvalid, CodeTooLong},
		{errors.Join(errors.New("x"), NotFound("")), KindNotFound, CodeNotFound},
		{errors.New("x"), KindInternal, ""},
		{nil, KindInternal, ""},
	} {
		if got := KindOf(c.err); got != c.kind {
			t.Errorf("%v is of kind %d", c.err, got)
		}
		if c.code != "" && !Is(c.err, c.code) {
			t.Errorf("%v does not carry %s", c.err, c.code)
		}
		if Is(c.err, "OTHER") {
			t.Errorf("%v carries another code", c.err)
		}
	}
	if As(Limited(time.Minute)).RetryAfter != time.Minute {
		t.Error("the wait was lost")
	}
	cause := errors.New("disk")
	if e := (&Error{Code: "X", cause: cause}); !errors.Is(e, cause) || e.Error() != "X: disk" {
		t.Errorf("got %v", e)
	}
	if got := Invalid("a.b", CodeTooLong).Error(); got != "TOO_LONG input.a.b:TOO_LONG" {
		t.Errorf("got %q", got)
	}
}

func TestProblems(t *testing.T) {
	t.Parallel()
	var p Problems
	if p.Any() || p.Err() != nil {
		t.Error("nothing is wrong yet")
	}
	if err := p.Merge("a", nil); err != nil || p.Any() {
		t.Error("no error adds nothing")
	}
	internal := errors.New("disk")
	if err := p.Merge("a", internal); !errors.Is(err, internal) || p.Any() {
		t.Error("an internal error is handed back")
	}
	if err := p.Merge("a", Unauthenticated()); !Is(err, CodeUnauthenticated) || p.Any() {
		t.Error("a fault without a place is handed back")
	}
	var inner Problems
	inner.Add("", CodeRequired)
	inner.Add("first.0", CodeTooLong, "max", "3", "odd")
	if err := p.Merge("admin.name", inner.Err()); err != nil {
		t.Error(err)
	}
	if err := p.Merge("", fmt.Errorf("x: %w", Conflict("email", "TAKEN"))); err != nil {
		t.Error(err)
	}
	if err := p.Merge("b", Forbidden("ROLE_REQUIRED")); err != nil { // no path at all
		t.Error(err)
	}
	want := []Problem{
		{[]string{"input", "admin", "name"}, CodeRequired, nil},
		{[]string{"input", "admin", "name", "first", "0"}, CodeTooLong, map[string]string{"max": "3"}},
		{[]string{"input", "email"}, "TAKEN", nil},
		{[]string{"input", "b"}, "ROLE_REQUIRED", nil},
	}
	f := As(p.Err())
	if !reflect.DeepEqual(f.Problems, want) || f.Code != CodeRequired || f.Kind != KindInvalid {
		t.Errorf("got %+v", f)
	}
	if !Is(f, "TAKEN") || !Is(f, "ROLE_REQUIRED") {
		t.Error("Is looks at all problems")
	}
}

func TestRetry(t *testing.T) {
	t.Parallel()
	cause := errors.New("refused")
	for _, c := range []struct {
		err  error
		want Retry
	}{
		{RetryAfter(time.Second, "A", cause), Retry{Code: "A", After: time.Second, cause: cause}},
		{RetryFree(time.Second, "A", cause), Retry{Code: "A", After: time.Second, Free: true, cause: cause}},
		{GiveUp("A", nil), Retry{Code: "A", Never: true}},
	} {
		if got := AsRetry(fmt.Errorf("x: %w", c.err)); got == nil || *got != c.want {
			t.Errorf("got %+v", got)
		}
	}
	if err := RetryAfter(0, "A", cause); !errors.Is(err, cause) || err.Error() != "A: refused" {
		t.Errorf("got %v", err)
	}
	if GiveUp("A", nil).Error() != "A" || AsRetry(cause) != nil {
		t.Error("no retry")
	}
}
