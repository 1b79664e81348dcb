// Package fault owns the kinds of expected failure and the sentences people
// read about them. A fault says what was wrong, where in the input, and with
// which stable code; doors translate its kind into a status or a GraphQL
// error. It never carries secrets or another tenant's data.
//
// Invariant: every error that is not a fault is internal; a door logs it once
// and shows the caller nothing but a reference.
package fault

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Kind tells a door how a failure is answered.
type Kind int

// The kinds of fault. Internal is the zero value: unknown errors are internal.
const (
	KindInternal Kind = iota
	KindInvalid
	KindUnauthenticated
	KindForbidden
	KindNotFound
	KindConflict
	KindLimited
)

// Codes shared by all concepts. A concept's own codes stand beside its rules.
const (
	CodeNotFound        = "NOT_FOUND"
	CodeConflict        = "CONFLICT"
	CodeRequired        = "REQUIRED"
	CodeTooLong         = "TOO_LONG"
	CodeTooShort        = "TOO_SHORT"
	CodeTooMany         = "TOO_MANY"
	CodeInvalid         = "INVALID"
	CodeControlChars    = "CONTROL_CHARACTERS"
	CodeKeyReused       = "IDEMPOTENCY_KEY_REUSED"
	CodeUnauthenticated = "UNAUTHENTICATED"
	CodeForbidden       = "FORBIDDEN"
	CodeRateLimited     = "RATE_LIMITED"
	CodeBusy            = "BUSY"
	CodeBadUserInput    = "BAD_USER_INPUT"
	CodeBadCursor       = "BAD_CURSOR"
	CodeRoleRequired    = "ROLE_REQUIRED"
	CodeSudoRequired    = "SUDO_REQUIRED"
)

// Problem is one thing wrong with an input.
type Problem struct {
	// Path leads to the input field, e.g. ["input", "email"].
	Path []string
	// Code is the stable contract; see the mutation's code enum.
	Code string
	// Params fill the sentence's placeholders, e.g. {"max": "100"}.
	Params map[string]string
}

// Error is an expected failure.
type Error struct {
	Kind Kind
	// Code is the first or only code, for doors that show just one.
	Code string
	// Problems are all problems of one input together; empty for kinds
	// without a place in an input.
	Problems []Problem
	// RetryAfter is how long a limited caller should wait; zero if unknown.
	RetryAfter time.Duration
	cause      error
}

// Error implements error; it is for logs, people read Text.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Code)
	for _, p := range e.Problems {
		fmt.Fprintf(&b, " %s:%s", strings.Join(p.Path, "."), p.Code)
	}
	if e.cause != nil {
		b.WriteString(": " + e.cause.Error())
	}
	return b.String()
}

// Unwrap gives the cause, if any.
func (e *Error) Unwrap() error { return e.cause }

// As returns the fault inside err, or nil where err is internal.
func As(err error) *Error {
	var f *Error
	if errors.As(err, &f) {
		return f
	}
	return nil
}

// KindOf tells err's kind; an error that is no fault is internal.
func KindOf(err error) Kind {
	if f := As(err); f != nil {
		return f.Kind
	}
	return KindInternal
}

// Is reports whether err is a fault that carries the code.
func Is(err error, code string) bool {
	f := As(err)
	if f == nil {
		return false
	}
	if f.Code == code {
		return true
	}
	for _, p := range f.Problems {
		if p.Code == code {
			return true
		}
	}
	return false
}

// Problems collects what is wrong with one input, so that all of it is
// answered together. The zero value is ready for use.
type Problems struct{ list []Problem }

// Add notes a problem at a dotted path ("email" or "lines.3.quantity"), which
// is placed under "input". An empty path stands for the whole input. Further
// arguments are name, value pairs for the sentence.
func (p *Problems) Add(path, code string, params ...string) {
	p.list = append(p.list, Problem{Path: split(path), Code: code, Params: pairs(params)})
}

// Merge adds the problems that err holds under a path prefix; an err that is
// no invalid input is returned as it is.
func (p *Problems) Merge(prefix string, err error) error {
	if err == nil {
		return nil
	}
	f := As(err)
	if f == nil || len(f.Problems) == 0 {
		return err
	}
	for _, q := range f.Problems {
		path := split(prefix)
		if len(q.Path) > 1 {
			path = append(path, q.Path[1:]...)
		}
		p.list = append(p.list, Problem{Path: path, Code: q.Code, Params: q.Params})
	}
	return nil
}

// Any reports whether a problem was noted.
func (p *Problems) Any() bool { return len(p.list) > 0 }

// Err is nil without problems, otherwise an Invalid fault holding all of them.
func (p *Problems) Err() error {
	if len(p.list) == 0 {
		return nil
	}
	return &Error{Kind: KindInvalid, Code: p.list[0].Code, Problems: p.list}
}

// Invalid is one problem at one path.
func Invalid(path, code string, params ...string) error {
	var p Problems
	p.Add(path, code, params...)
	return p.Err()
}

// NotFound says that the target at the path is absent or hidden; the two are
// never told apart.
func NotFound(path string) error {
	return &Error{Kind: KindNotFound, Code: CodeNotFound, Problems: []Problem{{Path: split(path), Code: CodeNotFound}}}
}

// Conflict says that the state moved on, or forbids the act, with a code.
func Conflict(path, code string, params ...string) error {
	return &Error{Kind: KindConflict, Code: code, Problems: []Problem{{Path: split(path), Code: code, Params: pairs(params)}}}
}

// Unauthenticated says that nobody is signed in.
func Unauthenticated() error {
	return &Error{Kind: KindUnauthenticated, Code: CodeUnauthenticated}
}

// Forbidden says that the actor sees the object but may not act; reason is
// the code of why, such as ROLE_REQUIRED, and params fill its sentence.
func Forbidden(reason string, params ...string) error {
	return &Error{Kind: KindForbidden, Code: reason, Problems: []Problem{{Code: reason, Params: pairs(params)}}}
}

// Limited says that the caller has to wait.
func Limited(after time.Duration) error {
	return &Error{Kind: KindLimited, Code: CodeRateLimited, RetryAfter: after}
}

// Busy says that the house itself is at its limit and the caller may come back.
func Busy(after time.Duration) error {
	return &Error{Kind: KindLimited, Code: CodeBusy, RetryAfter: after}
}

func split(path string) []string {
	if path == "" {
		return []string{"input"}
	}
	return append([]string{"input"}, strings.Split(path, ".")...)
}

func pairs(kv []string) map[string]string {
	if len(kv) == 0 {
		return nil
	}
	m := make(map[string]string, len(kv)/2)
	for i := 0; i+1 < len(kv); i += 2 {
		m[kv[i]] = kv[i+1]
	}
	return m
}
