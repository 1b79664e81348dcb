package graph

import (
	"bytes"
	"errors"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/channelgraph/channelgraph/internal/access"
)

const mediaStream = "text/event-stream"

// acceptsStream reports whether the Accept headers name a stream of events;
// wildcards do not.
func acceptsStream(headers []string) bool {
	for _, part := range strings.Split(strings.Join(headers, ","), ",") {
		media, ps, err := mime.ParseMediaType(part)
		if err != nil || media != mediaStream {
			continue
		}
		if q, err := strconv.ParseFloat(ps["q"], 64); err != nil || q > 0 {
			return true
		}
	}
	return false
}

// sse writes one stream of server-sent events: GraphQL over SSE in distinct
// connections mode. It belongs to the goroutine of its handler, which alone
// writes: nothing is written after the handler has returned.
type sse struct {
	w        http.ResponseWriter
	rc       *http.ResponseController
	patience time.Duration
	buf      bytes.Buffer
}

func (s *server) newSSE(w http.ResponseWriter) (*sse, error) {
	c := &sse{w: w, rc: http.NewResponseController(w), patience: s.live.patience}
	// The server's bound for reading a request would end the stream, as the
	// connection is still watched for the client's leaving.
	if err := c.rc.SetReadDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return nil, err
	}
	h := w.Header()
	h.Set("Content-Type", mediaStream+"; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx would collect the events
	w.WriteHeader(http.StatusOK)
	return c, c.comment() // the client learns at once that it is connected
}

func (c *sse) send() error {
	defer c.buf.Reset()
	if err := c.rc.SetWriteDeadline(time.Now().Add(c.patience)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if _, err := c.w.Write(c.buf.Bytes()); err != nil {
		return err
	}
	return c.rc.Flush()
}

// comment is what nobody reads; it keeps the connection open.
func (c *sse) comment() error {
	c.buf.WriteString(":\n\n")
	return c.send()
}

// next tells one answer, under the id that a client may come back with.
func (c *sse) next(id string, body []byte) error {
	c.buf.WriteString("event: next\n")
	if id != "" {
		c.buf.WriteString("id: " + id + "\n")
	}
	c.buf.WriteString("data: ")
	c.buf.Write(body) // JSON in one line
	c.buf.WriteString("\n\n")
	return c.send()
}

// complete ends the stream, saying why where a client may want to know.
func (c *sse) complete(why reason) {
	c.buf.WriteString("event: complete\ndata:")
	if why != "" {
		c.buf.WriteString(` {"reason":"` + string(why) + `"}`)
	}
	c.buf.WriteString("\n\n")
	_ = c.send()                           // the client may have gone
	_ = c.rc.SetWriteDeadline(time.Time{}) // for the connection's next request
}

// serveStream answers a request whose client reads events. Whatever is wrong
// with the operation itself is told within the stream, as the protocol has it.
func (s *server) serveStream(w http.ResponseWriter, r *http.Request, a access.Actor, oc *graphql.OperationContext, bad *rejection) {
	ctx := r.Context()
	if bad == nil && oc.Operation.Operation != ast.Subscription {
		res := s.run(ctx, oc, a)
		if c, err := s.newSSE(w); err == nil && c.next("", s.body(ctx, res).Bytes()) == nil {
			c.complete("")
		}
		return
	}
	var sub *liveStream
	var res graphql.Response
	switch {
	case bad != nil && bad.after > 0: // whoever is to wait needs no stream to learn it
		w.Header().Set("Retry-After", strconv.Itoa(bad.after))
		s.deps.observer.refused(bad.errs)
		s.write(w, r, mediaJSON, bad.status, bad.response())
		return
	case bad != nil:
		res = *bad.response()
	default:
		sub, res.Errors = s.subscribe(ctx, oc, a, r.Header.Get("Last-Event-ID"))
	}
	if sub != nil {
		defer sub.end()
	} else {
		s.deps.observer.refused(res.Errors)
	}
	c, err := s.newSSE(w)
	switch {
	case err != nil:
		return
	case sub == nil:
		if c.next("", s.body(ctx, &res).Bytes()) == nil {
			c.complete("")
		}
		return
	}
	why := sub.drive(ctx, s.live.life, func(id string, res *graphql.Response) error { return c.next(id, s.body(ctx, res).Bytes()) }, c.comment)
	if why != reasonGone {
		c.complete(why)
	}
}
