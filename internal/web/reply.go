package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
)

// Codes of what is wrong with a request as such.
const (
	codeBadJSON     = "BAD_JSON"
	codeBadForm     = "BAD_FORM"
	codeMediaType   = "UNSUPPORTED_MEDIA_TYPE"
	codeTooLarge    = "BODY_TOO_LARGE"
	codeMethod      = "METHOD_NOT_ALLOWED"
	codeNoRoute     = "NO_SUCH_PAGE"
	codeCrossOrigin = "CROSS_ORIGIN"
	codeHost        = "UNKNOWN_HOST"
	codeUnavailable = "UNAVAILABLE"
	codeInternal    = "INTERNAL"
	codeTwo         = "TWO_CREDENTIALS"
)

// requestError is a failure of the request itself, before any concept was
// asked.
type requestError struct {
	status int
	code   string
	after  time.Duration
}

func (e *requestError) Error() string { return e.code }

var (
	errBadJSON        = &requestError{status: http.StatusBadRequest, code: codeBadJSON}
	errBadForm        = &requestError{status: http.StatusBadRequest, code: codeBadForm}
	errMediaType      = &requestError{status: http.StatusUnsupportedMediaType, code: codeMediaType}
	errTooLarge       = &requestError{status: http.StatusRequestEntityTooLarge, code: codeTooLarge}
	errMethod         = &requestError{status: http.StatusMethodNotAllowed, code: codeMethod}
	errNoRoute        = &requestError{status: http.StatusNotFound, code: codeNoRoute}
	errCrossOrigin    = &requestError{status: http.StatusForbidden, code: codeCrossOrigin}
	errHost           = &requestError{status: http.StatusMisdirectedRequest, code: codeHost}
	errTwoCredentials = &requestError{status: http.StatusBadRequest, code: codeTwo}
	errTooFast        = &requestError{status: http.StatusTooManyRequests, code: fault.CodeRateLimited, after: time.Minute}
)

// shown is one failure as a caller reads it.
type shown struct {
	Code    string   `json:"code"`
	Message string   `json:"message"`
	Path    []string `json:"path,omitempty"`
}

// failure is an error as a door answers it.
type failure struct {
	status int
	after  time.Duration
	errors []shown
}

// explain turns an error into an answer in a locale. What is no fault and no
// mistake of the request is internal: it is logged here, once.
func (s *server) explain(r *http.Request, locale string, err error) failure {
	var req *requestError
	if errors.As(err, &req) {
		return failure{req.status, req.after, []shown{{Code: req.code, Message: fault.Text(locale, req.code, nil)}}}
	}
	if f := fault.As(err); f != nil {
		return explainFault(locale, f)
	}
	if r.Context().Err() != nil && errors.Is(err, context.Canceled) {
		return failure{status: 499} // the caller has gone; nobody reads this
	}
	code, status, after := codeInternal, http.StatusInternalServerError, time.Duration(0)
	if database.IsDown(err) || errors.Is(err, context.DeadlineExceeded) {
		code, status, after = codeUnavailable, http.StatusServiceUnavailable, 5*time.Second
	}
	v := visitOf(r)
	s.Log.LogAttrs(r.Context(), slog.LevelError, "request failed", slog.String("route", v.route), slog.String("request_id", v.id), slog.Any("error", err))
	return failure{status, after, []shown{{Code: code, Message: fault.Text(locale, code, nil)}}}
}

func explainFault(locale string, f *fault.Error) failure {
	out := failure{after: f.RetryAfter}
	switch f.Kind {
	case fault.KindInvalid:
		out.status = http.StatusUnprocessableEntity
	case fault.KindUnauthenticated:
		out.status = http.StatusUnauthorized
	case fault.KindForbidden:
		out.status = http.StatusForbidden
	case fault.KindNotFound:
		out.status = http.StatusNotFound
	case fault.KindConflict:
		out.status = http.StatusConflict
	case fault.KindLimited:
		// Limited by the caller's own doing, or by ours: a busy process.
		if out.status = http.StatusTooManyRequests; f.Code != fault.CodeRateLimited {
			out.status = http.StatusServiceUnavailable
		}
	default:
		out.status = http.StatusInternalServerError
	}
	for _, p := range f.Problems {
		path := p.Path
		if len(path) > 0 && path[0] == "input" {
			path = path[1:]
		}
		out.errors = append(out.errors, shown{p.Code, fault.Text(locale, p.Code, p.Params), path})
	}
	if len(out.errors) == 0 {
		out.errors = []shown{{Code: f.Code, Message: fault.Text(locale, f.Code, nil)}}
	}
	return out
}

// fail answers an error as JSON or as a page, as the caller reads.
func (s *server) fail(w http.ResponseWriter, r *http.Request, err error) {
	v := visitOf(r)
	var must *account.ChangeRequired
	if errors.As(err, &must) { // where the password is set, the code in the fragment
		next := account.PasswordPath + "#" + must.Next.Reveal()
		if !v.json {
			goTo(w, next)
			return
		}
		writeJSON(w, http.StatusForbidden, map[string]any{"errors": []shown{{Code: account.CodePasswordChange,
			Message: fault.Text(v.locale, account.CodePasswordChange, nil)}}, "requestId": v.id, "next": next})
		return
	}
	f := s.explain(r, v.locale, err)
	if f.after > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(f.after.Seconds()))))
	}
	if f.status == 499 {
		return
	}
	if len(f.errors) > 0 && f.errors[0].Code == account.CodeTokenInvalid {
		w.Header().Set("WWW-Authenticate", challenge)
	}
	if f.status == http.StatusRequestEntityTooLarge {
		w.Header().Set("Connection", "close")
	}
	if strings.HasPrefix(r.URL.Path, "/graphql") {
		writeJSON(w, f.status, map[string]any{"errors": f.asGraphQL(v.id)})
		return
	}
	if v.json {
		writeJSON(w, f.status, map[string]any{"errors": f.errors, "requestId": v.id})
		return
	}
	s.failPage(w, r, f)
}

// asGraphQL are the errors in the form that clients of the API read.
func (f *failure) asGraphQL(request string) []any {
	out := make([]any, len(f.errors))
	for i, e := range f.errors {
		out[i] = map[string]any{"message": e.Message, "extensions": map[string]string{"code": e.Code, "requestId": request}}
	}
	return out
}

// failInternal answers a panic.
func (s *server) failInternal(w http.ResponseWriter, r *http.Request) {
	s.fail(w, r, &requestError{status: http.StatusInternalServerError, code: codeInternal})
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(body); err != nil {
		panic(err) // our own types always encode
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(b.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the caller may have gone
}

// prefersJSON reports whether a failure should be JSON: for the endpoints of
// programs, for callers that show a personal token, and for those that ask for
// it and not for HTML.
func prefersJSON(r *http.Request) bool {
	p := r.URL.Path
	if _, given := bearer(r.Header); p == "/files" || given && takesBearer(p) {
		return true
	}
	for _, prefix := range []string{"/auth/", "/graphql", "/hooks/", "/healthz", "/readyz", "/dev/"} {
		if strings.HasPrefix(p, prefix) {
			return true
		}
	}
	accept := r.Header.Get("Accept")
	return strings.Contains(accept, "application/json") && !strings.Contains(accept, "text/html")
}

// readJSON decodes the body into a struct: one object of known fields, each
// given once, and nothing after it. The body is never echoed.
func readJSON(r *http.Request, into any) error {
	if !isMedia(r, "application/json") {
		return errMediaType
	}
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return bodyError(err, errBadJSON)
	}
	if err := strictObject(raw); err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return errBadJSON
	}
	return nil
}

// strictObject refuses what the decoder would let pass: other values than an
// object, text after it, and the same field twice.
func strictObject(raw []byte) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return errBadJSON
	}
	seen := map[string]bool{}
	for d.More() {
		t, err := d.Token()
		name, ok := t.(string)
		if err != nil || !ok || seen[strings.ToLower(name)] { // the decoder ignores case
			return errBadJSON
		}
		seen[strings.ToLower(name)] = true
		var skip json.RawMessage
		if err := d.Decode(&skip); err != nil {
			return errBadJSON
		}
	}
	if _, err := d.Token(); err != nil {
		return errBadJSON
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errBadJSON
	}
	return nil
}

// parseForm reads a form body; query parameters never count as fields.
func parseForm(r *http.Request) error {
	if !isMedia(r, "application/x-www-form-urlencoded") {
		return errMediaType
	}
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return bodyError(err, errBadForm)
	}
	if r.PostForm, err = url.ParseQuery(string(raw)); err != nil {
		return errBadForm
	}
	r.Form = r.PostForm
	return nil
}

func isMedia(r *http.Request, want string) bool {
	got, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	charset := strings.ToLower(params["charset"])
	return err == nil && got == want && (charset == "" || charset == "utf-8")
}

func bodyError(err, otherwise error) error {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return errTooLarge
	}
	return otherwise
}
