package graph

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/channelgraph/channelgraph/internal/event"
)

// socketClient speaks graphql-transport-ws.
type socketClient struct {
	t    testing.TB
	conn *websocket.Conn
}

// dial opens a socket, not yet greeted, and tells the status of the answer.
func (p *site) dial(token string, header ...string) (*socketClient, int, error) {
	p.t.Helper()
	h := http.Header{}
	if token != "" {
		h.Set("Authorization", token)
	}
	protocols := []string{protocolWS}
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Protocol" {
			protocols = []string{header[i+1]}
			continue
		}
		h.Set(header[i], header[i+1])
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, resp, err := websocket.Dial(ctx, p.url+"/graphql", &websocket.DialOptions{Subprotocols: protocols, HTTPHeader: h})
	status := 0
	if resp != nil {
		status = resp.StatusCode
		if resp.Body != nil {
			_ = resp.Body.Close()
		}
	}
	if err != nil {
		return nil, status, err
	}
	p.t.Cleanup(func() { _ = conn.CloseNow() })
	return &socketClient{p.t, conn}, status, nil
}

// socket is an open socket, greeted.
func (p *site) socket(token string) *socketClient {
	p.t.Helper()
	c, _, err := p.dial(token)
	if err != nil {
		p.t.Fatal(err)
	}
	c.say(`{"type":"connection_init","payload":{}}`)
	c.hears("connection_ack", "")
	return c
}

func (c *socketClient) say(text string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := c.conn.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
		c.t.Fatal(err)
	}
}

func (c *socketClient) subscribe(id, query string) {
	c.t.Helper()
	c.say(`{"id":` + quote(id) + `,"type":"subscribe","payload":{"query":` + quote(query) + `}}`)
}

// read is the next message but the server's pings.
func (c *socketClient) read() (message, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		_, raw, err := c.conn.Read(ctx)
		if err != nil {
			return message{}, err
		}
		var m message
		if err := json.Unmarshal(raw, &m); err != nil {
			return message{}, err
		}
		if m.Type != "ping" {
			return m, nil
		}
	}
}

// hears fails unless the next message is of the type and id; its payload is
// returned.
func (c *socketClient) hears(typ, id string) string {
	c.t.Helper()
	m, err := c.read()
	if err != nil || m.Type != typ || m.ID != id {
		c.t.Fatalf("want %s %s, got %s %s %s, %v", typ, id, m.Type, m.ID, m.Payload, err)
	}
	return string(m.Payload)
}

// closed fails unless the socket is closed with the code before anything else
// is said.
func (c *socketClient) closed(code websocket.StatusCode) {
	c.t.Helper()
	m, err := c.read()
	var end websocket.CloseError
	if !errors.As(err, &end) || end.Code != code {
		c.t.Fatalf("want to be closed with %d, got %+v, %v", code, m, err)
	}
}

func TestSocketSpeaksTheProtocol(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.serve(func(l *live) { l.sockets = 1000 })
	token := w.signIn(w.nordwind.admin)
	for name, c := range map[string]struct {
		say  []string
		code websocket.StatusCode
	}{
		"subscribe before init":   {[]string{`{"id":"1","type":"subscribe","payload":{"query":"{ __typename }"}}`}, closeUnauthorized},
		"init twice":              {[]string{`{"type":"connection_init"}`, `{"type":"connection_init"}`}, closeTooMany},
		"no JSON":                 {[]string{`hello secretword`}, closeBadMessage},
		"no object":               {[]string{`["connection_init"]`}, closeBadMessage},
		"null":                    {[]string{`null`}, closeBadMessage},
		"two objects":             {[]string{`{"type":"ping"}{"type":"ping"}`}, closeBadMessage},
		"unknown type":            {[]string{`{"type":"start"}`}, closeBadMessage},
		"server's type":           {[]string{`{"type":"connection_ack"}`}, closeBadMessage},
		"type of the wrong type":  {[]string{`{"type":7}`}, closeBadMessage},
		"subscribe without id":    {[]string{`{"type":"connection_init"}`, `{"type":"subscribe","payload":{"query":"{ __typename }"}}`}, closeBadMessage},
		"subscribe with long id":  {[]string{`{"type":"connection_init"}`, `{"id":"` + strings.Repeat("x", 129) + `","type":"subscribe","payload":{"query":"{ __typename }"}}`}, closeBadMessage},
		"subscribe without query": {[]string{`{"type":"connection_init"}`, `{"id":"1","type":"subscribe","payload":{}}`}, closeBadMessage},
		"subscribe with nothing":  {[]string{`{"type":"connection_init"}`, `{"id":"1","type":"subscribe"}`}, closeBadMessage},
		"message too big":         {[]string{`{"type":"ping","payload":{"x":"` + strings.Repeat("x", maxBody) + `"}}`}, websocket.StatusMessageTooBig},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, _, err := p.dial(token)
			if err != nil {
				t.Fatal(err)
			}
			conn.t = t
			for _, s := range c.say {
				conn.say(s)
			}
			if len(c.say) > 1 && strings.Contains(c.say[0], "init") {
				conn.hears("connection_ack", "")
			}
			conn.closed(c.code)
			if strings.Contains(w.log.String(), "secretword") {
				t.Error("a message was logged")
			}
		})
	}
	t.Run("binary", func(t *testing.T) {
		t.Parallel()
		c, _, err := p.dial(token)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.conn.Write(context.Background(), websocket.MessageBinary, []byte(`{"type":"ping"}`)); err != nil {
			t.Fatal(err)
		}
		c.closed(closeBadMessage)
	})
	t.Run("other protocol", func(t *testing.T) {
		t.Parallel()
		c, _, err := p.dial(token, "Protocol", "graphql-ws")
		if err != nil {
			t.Fatal(err)
		}
		c.closed(closeProtocol)
	})
	t.Run("ping", func(t *testing.T) {
		t.Parallel()
		c, _, err := p.dial(token)
		if err != nil {
			t.Fatal(err)
		}
		c.say(`{"type":"ping","payload":{"a":1}}`)
		c.hears("pong", "")
		c.say(`{"type":"pong"}`)
		c.say(`{"type":"connection_init"}`)
		c.hears("connection_ack", "")
	})
	t.Run("operations", func(t *testing.T) {
		t.Parallel()
		c := p.socket(token)
		c.subscribe("q", "{ viewer { user { email } } }")
		if got := c.hears("next", "q"); !strings.HasPrefix(got, `{"data":{"viewer":{"user":{"email":"gina@nordwind.example"}}},"extensions":{"cost":`) {
			t.Error(got)
		}
		c.hears("complete", "q")
		c.subscribe("q", "{ viewer { user { email } ") // its id is free again
		if got := c.hears("error", "q"); !strings.HasPrefix(got, `[{"message":`) || !strings.Contains(got, codeParse) {
			t.Error(got)
		}
		for query, code := range map[string]string{"{ nowhere }": codeValidation, "subscription { __typename }": codeValidation,
			`subscription { operationChanged(id: "x") { id } }`: "BAD_USER_INPUT", `subscription { events(since: "x") { kind } }`: "BAD_CURSOR"} {
			c.subscribe("e", query)
			if got := c.hears("error", "e"); !strings.Contains(got, code) || !strings.Contains(got, "req-1") {
				t.Errorf("%s: %s", query, got)
			}
		}
	})
	t.Run("a stranger", func(t *testing.T) {
		t.Parallel()
		c := p.socket("")
		c.subscribe("1", everything)
		if got := c.hears("error", "1"); !strings.Contains(got, "UNAUTHENTICATED") {
			t.Error(got)
		}
		c.subscribe("2", `{ country(code: "IT") { name } }`)
		if got := c.hears("next", "2"); !strings.Contains(got, "Italy") {
			t.Error(got)
		}
	})
}

func TestSocketStreams(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.serve(nil)
	joined := w.partnered(w.nordwind, w.contoso)
	token := w.signIn(w.nordwind.admin)
	c := p.socket(token)
	c.subscribe("a", "subscription { partnershipChanged { id status } }")
	c.subscribe("b", everything)
	if got := c.hears("next", "b"); !strings.Contains(got, "STREAM_STARTED") {
		t.Error(got)
	}
	s := p.started(token)
	until(t, func() bool { return p.open() == 3 })
	w.touch(joined)
	s.tells(event.PartnershipChanged, joined.ID)
	heard := map[string]bool{}
	for range 2 {
		m, err := c.read()
		if err != nil || m.Type != "next" || !strings.Contains(string(m.Payload), string(joined.ID)) {
			t.Fatalf("%+v, %v", m, err)
		}
		heard[m.ID] = true
	}
	if !heard["a"] || !heard["b"] {
		t.Errorf("heard %v", heard)
	}
	c.say(`{"id":"a","type":"complete"}`)
	c.say(`{"id":"never","type":"complete"}`)
	c.subscribe("b2", "{ __typename }") // after the completion was read
	c.hears("next", "b2")
	c.hears("complete", "b2")
	w.touch(joined)
	c.hears("next", "b") // and nothing of a
	c.subscribe("b", everything)
	c.closed(closeDuplicate)
}

// open is how many streams have their place in the log, and so miss nothing
// that is recorded from now on.
func (p *site) open() int { return int(p.s.live.open.Load()) }

func TestSocketEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	everySoOften := func(l *live) { l.heartbeat = 30 * time.Millisecond }
	t.Run("with its session", func(t *testing.T) {
		t.Parallel()
		w := w.on(t)
		p := w.serve(everySoOften)
		token := w.signIn(w.nordwind.admin)
		c := p.socket(token)
		if err := w.Accounts.SignOut(context.Background(), token); err != nil {
			t.Fatal(err)
		}
		c.closed(closeUnauthorized)
	})
	t.Run("an operation begins with today's rights", func(t *testing.T) {
		t.Parallel()
		w := w.on(t)
		p := w.serve(nil)
		token := w.signIn(w.contoso.admin)
		c := p.socket(token)
		if err := w.Accounts.SignOut(context.Background(), token); err != nil {
			t.Fatal(err)
		}
		c.subscribe("1", "{ viewer { roles } }")
		if got := c.hears("next", "1"); !strings.Contains(got, "UNAUTHENTICATED") {
			t.Error(got)
		}
	})
	t.Run("for want of a greeting", func(t *testing.T) {
		t.Parallel()
		w := w.on(t)
		p := w.serve(func(l *live) { l.patience = 50 * time.Millisecond })
		c, _, err := p.dial("")
		if err != nil {
			t.Fatal(err)
		}
		c.closed(closeInitTimeout)
	})
	t.Run("when its time is over", func(t *testing.T) {
		t.Parallel()
		w := w.on(t)
		p := w.serve(func(l *live) { l.life = 2 * time.Second }) // enough to be greeted in
		p.socket(w.signIn(w.fabrikam.admin)).closed(closeReconnect)
	})
	t.Run("when the server stops", func(t *testing.T) {
		t.Parallel()
		w := w.on(t)
		p := w.serve(nil)
		c := p.socket(w.signIn(w.tailspin.admin))
		c.subscribe("1", everything)
		c.hears("next", "1")
		p.s.Drain()
		c.closed(closeReconnect)
	})
}

func TestSocketOriginsAndPlaces(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.serve(nil)
	token := w.signIn(w.nordwind.admin)
	for origin, status := range map[string]int{
		"http://channels.example:8080": 101, "HTTP://Channels.Example:8080": 101, "http://channels.example": 403, "https://channels.example:8080": 403,
		"http://evil.example": 403, "null": 403, strings.TrimSuffix(p.url, "/"): 403,
	} {
		c, got, err := p.dial(token, "Origin", origin)
		if got != status {
			t.Errorf("%s: status %d, %v", origin, got, err)
		}
		if c != nil {
			_ = c.conn.Close(websocket.StatusNormalClosure, "")
		}
	}
	p2 := w.serve(nil)
	for range 5 {
		p2.socket(token)
	}
	if _, status, err := p2.dial(token); status != http.StatusTooManyRequests {
		t.Errorf("a sixth socket: status %d, %v", status, err)
	}
	c := p2.socket(w.signIn(w.contoso.admin))
	for _, id := range []string{"1", "2", "3", "4", "5"} {
		c.subscribe(id, everything)
		c.hears("next", id)
	}
	c.subscribe("6", everything)
	if got := c.hears("error", "6"); !strings.Contains(got, "RATE_LIMITED") {
		t.Error(got)
	}
	c.subscribe("7", "{ __typename }")
	c.hears("next", "7")
	if resp, err := http.Get(p.url + "/graphql"); err != nil || resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("a GET: %v, %v", resp, err)
	} else {
		_ = resp.Body.Close()
	}
}
