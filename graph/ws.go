package graph

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/coder/websocket"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/fault"
)

// The protocol graphql-transport-ws and its codes of closing.
const (
	protocolWS = "graphql-transport-ws"

	closeReconnect    websocket.StatusCode = 1012
	closeBadMessage   websocket.StatusCode = 4400
	closeUnauthorized websocket.StatusCode = 4401
	closeProtocol     websocket.StatusCode = 4406
	closeInitTimeout  websocket.StatusCode = 4408
	closeDuplicate    websocket.StatusCode = 4409
	closeTooMany      websocket.StatusCode = 4429
)

// socketOperations bounds what one socket may run at the same time; of these,
// subscriptions count among the holder's streams too.
const socketOperations = 10

// upgrades reports whether the request asks for a WebSocket.
func upgrades(r *http.Request) bool {
	return r.Method == http.MethodGet && strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
}

// sameOrigin reports whether a browser's page may open a WebSocket: only our
// own may, as the cookie goes along whoever asks. Other programs send no
// Origin.
func (s *server) sameOrigin(r *http.Request) bool {
	given := r.Header.Values("Origin")
	if len(given) == 0 {
		return true
	}
	own, err := url.Parse(s.deps.PublicURL)
	return err == nil && own.Host != "" && len(given) == 1 && strings.EqualFold(given[0], own.Scheme+"://"+own.Host)
}

// socket is one WebSocket. Its handler's goroutine reads; every operation
// writes from one of its own.
type socket struct {
	s     *server
	conn  *websocket.Conn
	ctx   context.Context
	actor access.Actor
	// ready is set once the client was greeted, heard whenever it says
	// something.
	ready, heard atomic.Bool

	mu      sync.Mutex
	running map[string]context.CancelFunc
	done    sync.WaitGroup
}

// message is one message of the protocol.
type message struct {
	ID      string          `json:"id,omitempty"`
	Type    string          `json:"type"`
	Payload json.RawMessage `json:"payload,omitempty"`
}

func (s *server) serveSocket(w http.ResponseWriter, r *http.Request) {
	fail := func(status int, code, text string) {
		bad := reject(status, topLevel(code, text))
		s.bill(r.Context(), access.FromContext(r.Context()), bad)
		s.deps.observer.refused(bad.errs)
		s.write(w, r, mediaJSON, status, bad.response())
	}
	if !s.sameOrigin(r) {
		fail(http.StatusForbidden, fault.CodeForbidden, "A WebSocket is opened by pages of this address only.")
		return
	}
	a := access.FromContext(r.Context())
	release, ok := s.live.hold("socket", a, s.live.sockets)
	if !ok {
		fail(http.StatusTooManyRequests, fault.CodeRateLimited, fault.Text(a.Locale, fault.CodeRateLimited, nil))
		return
	}
	defer release()
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{protocolWS},
		InsecureSkipVerify: true}) // the origin was checked above, and more strictly
	if err != nil {
		return // it was answered
	}
	defer func() { _ = conn.CloseNow() }()
	if conn.Subprotocol() != protocolWS {
		_ = conn.Close(closeProtocol, "Subprotocol not acceptable")
		return
	}
	conn.SetReadLimit(maxBody)
	ctx, cancel := context.WithCancel(r.Context())
	c := &socket{s: s, conn: conn, ctx: ctx, actor: a, running: map[string]context.CancelFunc{}}
	c.done.Go(c.watch)
	code, why := c.read()
	_ = conn.Close(code, why) // a no-op where it is closed already
	cancel()                  // not before: an event that is being written would take the connection with it, and the reason with that
	c.done.Wait()
}

// watch closes the socket when its time is over, its session has ended, or
// its client is silent.
func (c *socket) watch() {
	l := c.s.live
	init, over, beats := time.NewTimer(l.patience), time.NewTimer(l.life), time.NewTicker(l.heartbeat)
	defer init.Stop()
	defer over.Stop()
	defer beats.Stop()
	silent := 0
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-init.C:
			if !c.ready.Load() {
				_ = c.conn.Close(closeInitTimeout, "Connection initialisation timeout")
				return
			}
		case <-l.closing:
			_ = c.conn.Close(closeReconnect, string(reasonReconnect))
			return
		case <-over.C:
			_ = c.conn.Close(closeReconnect, string(reasonReconnect))
			return
		case <-beats.C:
			if silent++; c.heard.Swap(false) {
				silent = 0
			}
			if silent > 2 {
				_ = c.conn.CloseNow()
				return
			}
			if !c.still() {
				_ = c.conn.Close(closeUnauthorized, "Unauthorized")
				return
			}
			if c.ready.Load() {
				_ = c.send(message{Type: "ping"})
			}
		}
	}
}

// still reports whether the session or token under which the socket was opened
// goes on. Where that cannot be read now it is asked again later; what an
// operation tells is checked by itself.
func (c *socket) still() bool {
	if c.actor.IsAnonymous() {
		return true
	}
	ctx, cancel := context.WithTimeout(c.ctx, deadline)
	defer cancel()
	now, err := c.s.deps.Accounts.Recheck(ctx, c.actor)
	return err != nil || !now.IsAnonymous()
}

// read takes the client's messages until one is out of order or the socket is
// closed.
func (c *socket) read() (websocket.StatusCode, string) {
	for {
		typ, raw, err := c.conn.Read(c.ctx)
		if err != nil {
			return websocket.StatusNormalClosure, ""
		}
		c.heard.Store(true)
		var m message
		if typ != websocket.MessageText || !strictMessage(raw, &m) {
			return closeBadMessage, "Invalid message"
		}
		switch m.Type {
		case "connection_init":
			if c.ready.Swap(true) {
				return closeTooMany, "Too many initialisation requests"
			}
			if c.send(message{Type: "connection_ack"}) != nil {
				return websocket.StatusNormalClosure, ""
			}
		case "ping":
			if c.send(message{Type: "pong"}) != nil {
				return websocket.StatusNormalClosure, ""
			}
		case "pong":
		case "subscribe":
			p, ok := decode(m.Payload)
			switch {
			case !c.ready.Load():
				return closeUnauthorized, "Unauthorized"
			case m.ID == "" || len(m.ID) > 128 || !ok:
				return closeBadMessage, "Invalid message"
			}
			if !c.begin(m.ID, p) {
				return closeDuplicate, "Subscriber already exists"
			}
		case "complete":
			c.forget(m.ID)
		default:
			return closeBadMessage, "Invalid message"
		}
	}
}

// strictMessage reads one object and nothing after it.
func strictMessage(raw []byte, m *message) bool {
	trimmed := bytes.TrimLeft(raw, " \t\r\n")
	return len(trimmed) > 0 && trimmed[0] == '{' && json.Unmarshal(raw, m) == nil
}

func (c *socket) send(m message) error {
	raw, err := json.Marshal(m)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.ctx, c.s.live.patience)
	defer cancel()
	return c.conn.Write(ctx, websocket.MessageText, raw)
}

// begin runs an operation; false where one of the id runs already.
func (c *socket) begin(id string, p params) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running[id] != nil {
		return false
	}
	ctx, cancel := context.WithCancel(c.ctx)
	full := len(c.running) >= socketOperations
	c.running[id] = cancel
	c.done.Go(func() {
		defer cancel()
		if full {
			c.refuse(ctx, id, gqlerror.List{c.s.present(ctx, fault.Limited(0))})
			return
		}
		c.run(ctx, id, p)
	})
	return true
}

// forget ends an operation at the client's wish. It reports false where it
// has ended by itself.
func (c *socket) forget(id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	cancel, ok := c.running[id]
	delete(c.running, id)
	if ok {
		cancel()
	}
	return ok
}

// ended frees an operation's id, unless the client has ended it and may use
// the id anew; only then nothing more is said about it.
func (c *socket) ended(ctx context.Context, id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ctx.Err() != nil {
		return false
	}
	delete(c.running, id)
	return true
}

// refuse answers an operation that is not run.
func (c *socket) refuse(ctx context.Context, id string, errs gqlerror.List) {
	c.s.deps.observer.refused(errs)
	var list struct{ Errors json.RawMessage }
	if err := json.Unmarshal(c.s.body(ctx, &graphql.Response{Errors: errs}).Bytes(), &list); err != nil || !c.ended(ctx, id) {
		return
	}
	_ = c.send(message{ID: id, Type: "error", Payload: list.Errors}) // the socket's reader learns that it is gone
}

func (c *socket) next(ctx context.Context, id string, res *graphql.Response) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return c.send(message{ID: id, Type: "next", Payload: c.s.body(ctx, res).Bytes()})
}

func (c *socket) run(ctx context.Context, id string, p params) {
	// A socket outlives a change of rights; an operation begins with those of
	// today.
	a, err := c.s.deps.Accounts.Recheck(ctx, c.actor)
	if err != nil {
		c.refuse(ctx, id, gqlerror.List{c.s.present(ctx, err)})
		return
	}
	ctx = access.WithActor(ctx, a)
	oc, bad := c.s.prepare(ctx, p, a)
	if bad != nil {
		c.refuse(ctx, id, bad.errs)
		return
	}
	if oc.Operation.Operation != ast.Subscription {
		if c.next(ctx, id, c.s.run(ctx, oc, a)) == nil && c.ended(ctx, id) {
			_ = c.send(message{ID: id, Type: "complete"})
		}
		return
	}
	sub, errs := c.s.subscribe(ctx, oc, a, "")
	if sub == nil {
		c.refuse(ctx, id, errs)
		return
	}
	defer sub.end()
	// The socket's own end comes before the stream's.
	why := sub.drive(ctx, 2*c.s.live.life, func(_ string, res *graphql.Response) error { return c.next(ctx, id, res) }, func() error { return nil })
	switch {
	case why == reasonReconnect: // clients then subscribe again by themselves; after complete they would not
		_ = c.conn.Close(closeReconnect, string(why))
	case why == reasonEnded && c.ended(ctx, id):
		_ = c.send(message{ID: id, Type: "complete"})
	}
}
