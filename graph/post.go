package graph

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
)

// Media types of answers (GraphQL over HTTP).
const (
	mediaResponse = "application/graphql-response+json"
	mediaJSON     = "application/json"
)

// maxBody bounds a request, in bytes.
const maxBody = 256 << 10

// params are a request's parameters.
type params struct {
	Query         string
	OperationName string
	Variables     map[string]any
	// DocumentID names a trusted document in the place of Query.
	DocumentID string
}

// ServeHTTP opens a WebSocket, or answers one operation: as a stream of events
// or as JSON. The body is never logged and never told back.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if upgrades(r) {
		s.serveSocket(w, r)
		return
	}
	media, streams := accepted(r.Header.Values("Accept")), acceptsStream(r.Header.Values("Accept"))
	fail := func(status int, code, message string) {
		bad := reject(status, topLevel(code, message))
		s.bill(r.Context(), access.FromContext(r.Context()), bad)
		s.deps.observer.refused(bad.errs)
		s.write(w, r, media, status, bad.response())
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		fail(http.StatusMethodNotAllowed, fault.CodeBadUserInput, "Operations are sent by POST.")
		return
	}
	if media == "" && !streams {
		fail(http.StatusNotAcceptable, fault.CodeBadUserInput, "Answers are "+mediaResponse+", "+mediaJSON+" or "+mediaStream+".")
		return
	}
	if !isJSON(r.Header.Values("Content-Type")) {
		fail(http.StatusUnsupportedMediaType, fault.CodeBadUserInput, "The body must be "+mediaJSON+" in UTF-8.")
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			fail(http.StatusRequestEntityTooLarge, fault.CodeBadUserInput, "The body is larger than 256 KiB.")
			return
		}
		fail(http.StatusBadRequest, fault.CodeBadUserInput, "The body could not be read.")
		return
	}
	p, ok := decode(body)
	if !ok {
		fail(http.StatusBadRequest, fault.CodeBadUserInput,
			"The body must be one JSON object with query (text) or documentId (text) and, where needed, operationName (text), variables (object) and extensions (object).")
		return
	}
	a := access.FromContext(r.Context())
	oc, bad := s.prepare(r.Context(), p, a)
	isLive := bad == nil && oc.Operation.Operation == ast.Subscription
	if streams && (media == "" || isLive) {
		s.serveStream(w, r, a, oc, bad)
		return
	}
	if isLive {
		fail(http.StatusNotAcceptable, fault.CodeBadUserInput, "Subscriptions are answered as "+mediaStream+" or over WebSocket.")
		return
	}
	if bad != nil {
		s.deps.observer.refused(bad.errs)
		if bad.after > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(bad.after))
		}
		s.write(w, r, media, bad.status, bad.response())
		return
	}
	s.write(w, r, media, http.StatusOK, s.run(r.Context(), oc, a))
}

// decode reads the parameters strictly: one object with members of the right
// types and nothing after it.
func decode(body []byte) (params, bool) {
	var in struct {
		Query         *string                     `json:"query"`
		DocumentID    *string                     `json:"documentId"`
		OperationName *string                     `json:"operationName"`
		Variables     map[string]any              `json:"variables"`
		Extensions    map[string]*json.RawMessage `json:"extensions"`
	}
	if trimmed := bytes.TrimLeft(body, " \t\r\n"); len(trimmed) == 0 || trimmed[0] != '{' {
		return params{}, false
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if d.Decode(&in) != nil || (in.Query == nil) == (in.DocumentID == nil) || in.DocumentID != nil && *in.DocumentID == "" {
		return params{}, false
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return params{}, false
	}
	p := params{Query: orZero(in.Query), DocumentID: orZero(in.DocumentID), Variables: in.Variables}
	if in.OperationName != nil {
		p.OperationName = *in.OperationName
	}
	return p, true
}

// isJSON reports whether the one content type is JSON in UTF-8.
func isJSON(headers []string) bool {
	if len(headers) != 1 {
		return false
	}
	media, ps, err := mime.ParseMediaType(headers[0])
	charset, given := ps["charset"]
	return err == nil && media == mediaJSON && (!given || strings.EqualFold(charset, "utf-8"))
}

// accepted chooses the answer's media type by the Accept headers; "" where
// neither will do. Without a header it is JSON, as for the clients of old.
func accepted(headers []string) string {
	if len(headers) == 0 {
		return mediaJSON
	}
	quality := map[string]float64{}
	for _, part := range strings.Split(strings.Join(headers, ","), ",") {
		media, ps, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		q := 1.0
		if given, ok := ps["q"]; ok {
			if q, err = strconv.ParseFloat(given, 64); err != nil {
				continue
			}
		}
		if charset, ok := ps["charset"]; ok && !strings.EqualFold(charset, "utf-8") {
			continue
		}
		quality[media] = max(quality[media], q)
	}
	of := func(media string) float64 {
		for _, m := range []string{media, "application/*", "*/*"} {
			if q, ok := quality[m]; ok {
				return q
			}
		}
		return 0
	}
	response, plain := of(mediaResponse), of(mediaJSON)
	_, named := quality[mediaResponse]
	switch {
	case response == 0 && plain == 0:
		return ""
	case response > plain, response == plain && named:
		return mediaResponse
	}
	return mediaJSON
}

// write sends an answer.
func (s *server) write(w http.ResponseWriter, r *http.Request, media string, status int, res *graphql.Response) {
	b := s.body(r.Context(), res)
	if media == "" {
		media = mediaJSON
	}
	h := w.Header()
	h.Set("Content-Type", media+"; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(b.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
}

// body is an answer as JSON in one line. The data is as the executor wrote it,
// without a second pass; a request that was not run has no data at all.
func (s *server) body(ctx context.Context, res *graphql.Response) *bytes.Buffer {
	var b bytes.Buffer
	b.Grow(len(res.Data) + 64)
	b.WriteByte('{')
	if len(res.Errors) > 0 {
		errs := res.Errors
		if len(errs) > maxErrors {
			errs = errs[:maxErrors]
		}
		for _, e := range errs {
			if id := ident.Request(ctx); id != "" && e.Extensions != nil {
				e.Extensions["requestId"] = id
			}
		}
		raw, err := json.Marshal(errs)
		if err != nil {
			s.log.ErrorContext(ctx, "errors could not be encoded", "error", err)
			raw = []byte(`[{"message":"INTERNAL","extensions":{"code":"INTERNAL"}}]`)
		}
		b.WriteString(`"errors":`)
		b.Write(raw)
	}
	if res.Data != nil {
		if len(res.Errors) > 0 {
			b.WriteByte(',')
		}
		b.WriteString(`"data":`)
		b.Write(res.Data)
	}
	if len(res.Extensions) > 0 {
		raw, err := json.Marshal(res.Extensions)
		if err != nil {
			s.log.ErrorContext(ctx, "extensions could not be encoded", "error", err)
			raw = []byte("{}")
		}
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		b.WriteString(`"extensions":`)
		b.Write(raw)
	}
	b.WriteByte('}')
	return &b
}
