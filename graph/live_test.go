package graph

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/event"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/invitation"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/internal/partnership"
)

const patience = time.Minute

// site is a world served over a real network.
type site struct {
	*world
	s   *server
	url string
}

// serve serves the world to whoever shows a session's token. The server's
// time for reading a request is short, to show that streams outlive it.
func (w *world) serve(tune func(*live)) *site {
	w.t.Helper()
	d := w.Deps
	d.PublicURL, d.Keys = "http://channels.example:8080", w.keys
	h, err := New(d)
	if err != nil {
		w.t.Fatal(err)
	}
	s := h.(*server)
	if tune != nil {
		tune(s.live)
	}
	front := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		a := nobody
		if token := r.Header.Get("Authorization"); token != "" {
			p, _, err := w.Accounts.Authenticate(r.Context(), token)
			if err == nil && p.UserID != "" {
				a, err = access.Load(r.Context(), w.DB.Read(), p)
			}
			if err != nil {
				w.t.Error(err)
			}
		}
		s.ServeHTTP(rw, r.WithContext(ident.WithRequest(access.WithActor(r.Context(), a), "req-1")))
	})
	srv := httptest.NewUnstartedServer(front)
	srv.Config.ReadTimeout = 2 * time.Second
	srv.Config.IdleTimeout = time.Minute // or it were the former, and a client's next request could meet the closing
	srv.Start()
	w.t.Cleanup(func() {
		s.Drain()
		srv.Close()
	})
	return &site{world: w, s: s, url: srv.URL}
}

// until waits for something to become true.
func until(t testing.TB, ok func() bool) {
	t.Helper()
	late := time.After(patience)
	for !ok() {
		select {
		case <-late:
			t.Fatal("it has not come to pass")
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// signIn opens a session and gives its token.
func (w *world) signIn(u *account.User) string {
	w.t.Helper()
	token, _, _, err := w.Accounts.SignIn(context.Background(), account.SignInInput{Email: u.Email, Password: password, IP: netip.MustParseAddr("192.0.2.7")})
	if err != nil {
		w.t.Fatal(err)
	}
	return token.Reveal()
}

// sent is one thing that a stream said; comments have the name ":".
type sent struct{ name, id, data string }

// at reads a dotted path of the data's JSON.
func (e sent) at(path string) any {
	var v any
	if json.Unmarshal([]byte(e.data), &v) != nil {
		return nil
	}
	for _, step := range strings.Split(path, ".") {
		m, ok := v.(map[string]any)
		if !ok {
			if l, isList := v.([]any); isList && len(l) > 0 && step == "0" {
				v = l[0]
				continue
			}
			return nil
		}
		v = m[step]
	}
	return v
}

// stream is an open stream of events as a client reads it.
type stream struct {
	t      testing.TB
	resp   *http.Response
	said   chan sent // closed at its end
	cancel context.CancelFunc
}

// listen opens a stream; header is name, value pairs.
func (p *site) listen(token, query string, vars map[string]any, header ...string) *stream {
	p.t.Helper()
	body, err := json.Marshal(map[string]any{"query": query, "variables": vars})
	if err != nil {
		p.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url+"/graphql", bytes.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "text/event-stream")
	if token != "" {
		r.Header.Set("Authorization", token)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(r) //nolint:bodyclose // read closes it, when the stream ends
	if err != nil {
		p.t.Fatal(err)
	}
	s := &stream{t: p.t, resp: resp, said: make(chan sent, 5_000), cancel: cancel}
	p.t.Cleanup(s.close)
	go s.read()
	return s
}

func (s *stream) close() { s.cancel() }

func (s *stream) read() {
	defer close(s.said)
	defer func() { _ = s.resp.Body.Close() }()
	in := bufio.NewScanner(s.resp.Body)
	in.Buffer(nil, 1<<20)
	var e sent
	for in.Scan() {
		field, value, _ := strings.Cut(in.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case in.Text() == "":
			s.said <- e
			e = sent{}
		case field == "":
			e.name = ":"
		case field == "event":
			e.name = value
		case field == "id":
			e.id = value
		case field == "data":
			e.data = value
		}
	}
}

// any is the next thing said, comments too; false at the end.
func (s *stream) any() (sent, bool) {
	s.t.Helper()
	select {
	case e, ok := <-s.said:
		return e, ok
	case <-time.After(patience):
		s.t.Fatal("the stream says nothing")
		return sent{}, false
	}
}

// next is the next answer.
func (s *stream) next() sent {
	s.t.Helper()
	for {
		e, ok := s.any()
		switch {
		case !ok:
			s.t.Fatal("the stream has ended")
		case e.name == "next":
			return e
		case e.name != ":":
			s.t.Fatalf("the stream says %+v", e)
		}
	}
}

// ends fails unless the stream says nothing more but that it is complete.
func (s *stream) ends(why reason) {
	s.t.Helper()
	for {
		e, ok := s.any()
		if !ok {
			s.t.Fatal("the stream broke off")
		}
		if e.name == ":" {
			continue
		}
		want := ""
		if why != "" {
			want = `{"reason":"` + string(why) + `"}`
		}
		if e.name != "complete" || e.data != want {
			s.t.Fatalf("want complete %s, got %+v", want, e)
		}
		break
	}
	if e, ok := s.any(); ok {
		s.t.Fatalf("after the end came %+v", e)
	}
}

// refused fails unless the stream holds one error of the code and ends.
func (s *stream) refused(code string, why reason) {
	s.t.Helper()
	if e := s.next(); e.at("errors.0.extensions.code") != code || e.at("data") != nil || strings.Contains(e.data, `"data"`) {
		s.t.Fatalf("want %s, got %s", code, e.data)
	}
	s.ends(why)
}

const everything = "subscription($since: String) { events(since: $since) { cursor kind subjectId } }"

// started is a stream of everything that has begun.
func (p *site) started(token string) *stream {
	p.t.Helper()
	s := p.listen(token, everything, nil)
	if e := s.next(); e.at("data.events.kind") != "STREAM_STARTED" || e.at("data.events.subjectId") != nil || e.id == "" || e.id != e.at("data.events.cursor") {
		p.t.Fatalf("it began with %+v", e)
	}
	return s
}

// tells fails unless the next events are of the kinds and subjects, in this
// order; the last one's cursor is returned.
func (s *stream) tells(pairs ...any) (cursor string) {
	s.t.Helper()
	for i := 0; i+1 < len(pairs); i += 2 {
		e := s.next()
		if e.at("data.events.kind") != string(pairs[i].(event.Kind)) || e.at("data.events.subjectId") != string(pairs[i+1].(ident.ID)) {
			s.t.Fatalf("want %v of %v, got %s", pairs[i], pairs[i+1], e.data)
		}
		cursor = e.id
	}
	return cursor
}

// ask sends an invitation.
func (w *world) ask(c company, email string) *invitation.Dispatched {
	w.t.Helper()
	out, err := w.Partnerships.Request(context.Background(), w.as(c.admin), partnership.RequestInput{Email: email})
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

// touch makes an event about a partnership, and nothing else.
func (w *world) touch(p *partnership.Partnership) {
	w.t.Helper()
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		return event.Record(ctx, tx, event.PartnershipChanged, p.ID, p.ProviderID, p.ResellerID)
	})
}

func (w *world) sql(q string, args ...any) {
	w.t.Helper()
	if _, err := w.DB.Bun().NewRaw(q, args...).Exec(context.Background()); err != nil {
		w.t.Fatal(err)
	}
}

func TestStreamTellsWhatOnesOwnSideSees(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.serve(nil)
	provider, reseller := p.started(w.signIn(w.nordwind.admin)), p.started(w.signIn(w.contoso.admin))
	stranger, operator := p.started(w.signIn(w.fabrikam.admin)), p.started(w.signIn(w.operator))
	if h := provider.resp.Header; provider.resp.StatusCode != http.StatusOK || h.Get("Content-Type") != "text/event-stream; charset=utf-8" ||
		h.Get("X-Accel-Buffering") != "no" || h.Get("Cache-Control") != "no-store" || h.Get("Content-Encoding") != "" {
		t.Errorf("status %d, %v", provider.resp.StatusCode, h)
	}
	sent := w.ask(w.nordwind, w.contoso.admin.Email)
	provider.tells(event.OperationChanged, sent.Operation.ID, event.InvitationChanged, sent.Invitation.ID)
	operator.tells(event.OperationChanged, sent.Operation.ID, event.InvitationChanged, sent.Invitation.ID)
	joined, err := w.Partnerships.Accept(t.Context(), w.as(w.contoso.admin), partnership.AcceptInput{Code: w.code(sent.Invitation.ID), Confirmed: true})
	if err != nil {
		t.Fatal(err)
	}
	// the operation that was to send the mail is called off by the answer
	told := map[string]bool{}
	for range 3 {
		e := provider.next()
		told[fmt.Sprint(e.at("data.events.kind"), e.at("data.events.subjectId"))] = true
	}
	for _, want := range []string{fmt.Sprint(event.OperationChanged, sent.Operation.ID), fmt.Sprint(event.InvitationChanged, sent.Invitation.ID), fmt.Sprint(event.PartnershipChanged, joined.ID)} {
		if !told[want] {
			t.Errorf("%s was not told: %v", want, told)
		}
	}
	told = map[string]bool{}
	for range 2 {
		told[fmt.Sprint(reseller.next().at("data.events.kind"))] = true
	}
	if !told[string(event.InvitationChanged)] || !told[string(event.PartnershipChanged)] {
		t.Errorf("the reseller was told %v", told)
	}
	other := w.partnered(w.fabrikam, w.tailspin)
	// an event about something hidden is passed over, even where it is sent
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		return event.Record(ctx, tx, event.PartnershipChanged, joined.ID, w.fabrikam.ID, "")
	})
	w.touch(other)
	for told := 0; told < 2; {
		e := stranger.next()
		if id := e.at("data.events.subjectId"); id == string(joined.ID) || id == string(sent.Invitation.ID) || id == string(sent.Operation.ID) {
			t.Fatalf("a stranger was told %s", e.data)
		}
		if e.at("data.events.subjectId") == string(other.ID) {
			told++
		}
	}
}

func TestStreamCatchesUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.serve(nil)
	token := w.signIn(w.nordwind.admin)
	a, b := w.partnered(w.nordwind, w.contoso), w.partnered(w.nordwind, w.tailspin)
	s := p.started(token)
	w.touch(a)
	seen := s.tells(event.PartnershipChanged, a.ID)
	s.close()
	w.touch(b)
	w.touch(a)

	since := p.listen(token, everything, map[string]any{"since": seen})
	if e := since.next(); e.at("data.events.kind") != "STREAM_STARTED" || e.id != seen {
		t.Errorf("it went on with %+v", e)
	}
	since.tells(event.PartnershipChanged, b.ID, event.PartnershipChanged, a.ID)
	last := p.listen(token, "subscription { partnershipChanged { id } }", nil, "Last-Event-ID", seen)
	for _, want := range []ident.ID{b.ID, a.ID} {
		if e := last.next(); e.at("data.partnershipChanged.id") != string(want) {
			t.Errorf("got %s, want %s", e.data, want)
		}
	}
	both := p.listen(token, everything, map[string]any{"since": "nonsense"}, "Last-Event-ID", seen)
	both.next()
	both.tells(event.PartnershipChanged, b.ID)

	// cursors are of one organization, and tell nothing
	for _, bad := range []string{"nonsense", seen[:len(seen)-1], strings.ToUpper(seen), p.s.live.cursor(w.fabrikam.OrganizationID, 3), "AAAAAAAAAAAAAAAAAAAAAA"} {
		p.listen(w.signIn(w.nordwind.admin), everything, map[string]any{"since": bad}).refused("BAD_CURSOR", "")
	}
	if x, y := p.s.live.cursor("org_a", 1), p.s.live.cursor("org_a", 2); x == y || x[:10] == y[:10] || p.s.live.cursor("org_b", 1) == x {
		t.Errorf("cursors %s and %s", x, y)
	}

	w.DB.Clock().Advance(8 * 24 * time.Hour)
	w.touch(a)
	if _, err := event.Prune(t.Context(), w.DB); err != nil {
		t.Fatal(err)
	}
	w.DB.Clock().Advance(8 * 24 * time.Hour)
	if _, err := event.Prune(t.Context(), w.DB); err != nil {
		t.Fatal(err)
	}
	token = w.signIn(w.nordwind.admin)
	late := p.listen(token, everything, map[string]any{"since": seen})
	if late.next().at("data.events.kind") != "STREAM_STARTED" || late.next().at("data.events.kind") != "STREAM_RESET" {
		t.Error("nobody said that events are gone")
	}
	w.touch(b)
	late.tells(event.PartnershipChanged, b.ID)
	p.listen(token, "subscription { partnershipChanged { id } }", nil, "Last-Event-ID", seen).refused("BAD_CURSOR", "")
}

func TestTypedSubscriptions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.serve(nil)
	token := w.signIn(w.nordwind.admin)
	one := w.ask(w.nordwind, "one@elsewhere.example")
	s := p.listen(token, "subscription($id: ID!) { operationChanged(id: $id) { id state } }", map[string]any{"id": one.Operation.ID})
	if e := s.next(); e.at("data.operationChanged.state") != "PENDING" || e.id == "" {
		t.Errorf("it began with %s", e.data)
	}
	inv := p.listen(token, "subscription($id: ID) { changed: invitationChanged(id: $id) { ...F } } fragment F on Invitation { id status inviter { legalName } }",
		map[string]any{"id": one.Invitation.ID})
	psh := p.listen(token, "subscription { partnershipChanged { id reseller { legalName } } }", nil)
	two := w.ask(w.nordwind, "two@elsewhere.example")
	joined := w.partnered(w.nordwind, w.contoso)
	if _, err := outbox.Cancel(t.Context(), w.DB, w.as(w.nordwind.admin), two.Operation.ID, outbox.Hooks{}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Invitations.Revoke(t.Context(), w.as(w.nordwind.admin), invitation.RevokeInput{InvitationID: one.Invitation.ID}); err != nil {
		t.Fatal(err)
	}
	if e := s.next(); e.at("data.operationChanged.state") != "CANCELLED" || e.at("data.operationChanged.id") != string(one.Operation.ID) {
		t.Errorf("got %s", e.data)
	}
	if e := inv.next(); e.at("data.changed.status") != "REVOKED" || e.at("data.changed.id") != string(one.Invitation.ID) || e.at("data.changed.inviter.legalName") != "Nordwind Distribution" {
		t.Errorf("got %s", e.data)
	}
	if e := psh.next(); e.at("data.partnershipChanged.id") != string(joined.ID) || e.at("data.partnershipChanged.reseller.legalName") != "Contoso Reselling" {
		t.Errorf("got %s", e.data)
	}
	for _, id := range []ident.ID{one.Operation.ID, ident.New(ident.Job), "nonsense", one.Invitation.ID} { // hidden, absent, malformed, of another kind
		s := p.listen(w.signIn(w.fabrikam.admin), "subscription($id: ID!) { operationChanged(id: $id) { id } }", map[string]any{"id": id})
		s.refused("BAD_USER_INPUT", "")
	}
}

// A stream ends before it tells an event that its actor has no right to, and
// with whatever changes the actor's rights.
func TestStreamEndsWithTheRight(t *testing.T) {
	t.Parallel()
	type act = func(w *world, u *account.User, token string)
	for name, c := range map[string]struct {
		act  act
		code string // of the error before the end, if any
	}{
		"signed out": {func(w *world, _ *account.User, token string) {
			if err := w.Accounts.SignOut(context.Background(), token); err != nil {
				w.t.Fatal(err)
			}
		}, "UNAUTHENTICATED"},
		"disabled": {func(w *world, u *account.User, _ string) {
			w.done(w.as(w.nordwind.admin), "disableUser", "user { id }", map[string]any{"userId": u.ID})
		}, "UNAUTHENTICATED"},
		"session over": {func(w *world, _ *account.User, _ string) { w.DB.Clock().Advance(25 * time.Hour) }, "UNAUTHENTICATED"},
		"roles set": {func(w *world, u *account.User, _ string) { // which ends the sessions
			w.done(w.as(w.nordwind.admin), "setUserRoles", "user { id }", map[string]any{"userId": u.ID, "roles": []string{"SALES_AGENT", "BILLING_ADMIN"}})
		}, "UNAUTHENTICATED"},
		"right taken": {func(w *world, u *account.User, _ string) {
			w.sql("UPDATE user_role SET role = 'DEFAULT_USER' WHERE user_id = ?", u.ID)
		}, "FORBIDDEN"},
		"role changed": {func(w *world, u *account.User, _ string) {
			w.sql("UPDATE user_role SET role = 'ADMIN_AGENT' WHERE user_id = ?", u.ID)
		}, ""},
	} {
		for _, on := range []string{"event", "heartbeat"} {
			t.Run(name+" on "+on, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				p := w.serve(func(l *live) {
					if on == "heartbeat" {
						l.heartbeat = 20 * time.Millisecond
					}
				})
				joined := w.partnered(w.nordwind, w.contoso)
				u := w.hire(w.nordwind, "sal@nordwind.example", access.SalesAgent)
				token := w.signIn(u)
				s := p.listen(token, "subscription { partnershipChanged { id } }", nil)
				w.touch(joined)
				s.next()
				c.act(w, u, token)
				if on == "event" {
					w.touch(joined)
				}
				if c.code != "" {
					s.refused(c.code, reasonEnded)
				} else {
					s.ends(reasonReconnect)
				}
			})
		}
	}
}

func TestStreamLives(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	joined := w.partnered(w.nordwind, w.contoso)
	t.Run("longer than a request may take to be read", func(t *testing.T) {
		t.Parallel()
		w := w.on(t)
		p := w.serve(func(l *live) { l.heartbeat = 200 * time.Millisecond })
		s := p.started(w.signIn(w.nordwind.admin))
		for range 15 { // three seconds; the server reads for two
			if e, ok := s.any(); !ok || e.name != ":" {
				t.Fatalf("got %+v, %v", e, ok)
			}
		}
		w.touch(joined)
		s.tells(event.PartnershipChanged, joined.ID)
	})
	t.Run("its time", func(t *testing.T) {
		t.Parallel()
		w := w.on(t)
		p := w.serve(func(l *live) { l.life = 100 * time.Millisecond })
		p.started(w.signIn(w.tailspin.admin)).ends(reasonReconnect)
	})
	t.Run("until the server stops", func(t *testing.T) {
		t.Parallel()
		w := w.on(t)
		p := w.serve(nil)
		s := p.started(w.signIn(w.fabrikam.admin))
		p.s.Drain()
		p.s.Drain()
		s.ends(reasonReconnect)
		p.listen(w.signIn(w.fabrikam.admin), everything, nil).next()
	})
	t.Run("and leaves nothing behind", func(t *testing.T) {
		t.Parallel()
		w := w.on(t)
		p := w.serve(func(l *live) { l.heartbeat = 10 * time.Millisecond })
		s := p.started(w.signIn(w.tailspin.admin))
		s.close()
		until(t, func() bool { return p.open() == 0 })
	})
}

// held is how many places of streams are taken.
func (p *site) held() (n int) {
	p.s.live.mu.Lock()
	defer p.s.live.mu.Unlock()
	for _, held := range p.s.live.held {
		n += held
	}
	return n
}

func TestStreamsPerSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.serve(nil)
	token, second := w.signIn(w.nordwind.admin), w.signIn(w.nordwind.admin)
	var first *stream
	for range 5 {
		first = p.started(token)
	}
	p.listen(token, everything, nil).refused("RATE_LIMITED", "")
	p.listen(token, "{ viewer { user { email } } }", nil).next() // no stream of its own
	p.started(second)
	first.close()
	until(t, func() bool { return p.held() == 5 })
	p.started(token)
}

func TestStreamAnswers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.serve(nil)
	token := w.signIn(w.nordwind.admin)
	plain := w.signIn(w.hire(w.nordwind, "dora@nordwind.example", access.DefaultUser))
	once := func(token, query, want string) {
		t.Helper()
		s := p.listen(token, query, nil)
		if e := s.next(); s.resp.StatusCode != http.StatusOK || !strings.HasPrefix(e.data, want+`,"extensions":{"cost":{"requested":`) || e.id != "" {
			t.Errorf("status %d: %+v", s.resp.StatusCode, e)
		}
		s.ends("")
	}
	once(token, "{ viewer { user { email } } }", `{"data":{"viewer":{"user":{"email":"gina@nordwind.example"}}}`)
	once("", `{ country(code: "IT") { name } }`, `{"data":{"country":{"name":"Italy"}}`)
	once(token, `mutation { updateProfile(input: {firstName: "Gigi"}) { user { firstName } } }`, `{"data":{"updateProfile":{"user":{"firstName":"Gigi"}}}`)
	for _, c := range []struct{ token, query, code string }{
		{token, "subscription { nowhere }", codeValidation},
		{token, "subscription {", codeParse},
		{token, "subscription { __typename }", codeValidation},
		{token, "subscription { events { kind } operationChanged(id: 1) { id } }", codeValidation},
		{token, "subscription { events @skip(if: true) { kind } }", codeValidation},
		{token, "subscription { operationChanged { id } }", codeValidation},
		{token, "subscription($id: ID!) { operationChanged(id: $id) { id } }", "BAD_USER_INPUT"},
		{token, "subscription { partnershipChanged { provider { profile { organization { partner { profile { organization { partner { profile { organization { partner { profile { registrationId } } } } } } } } } } } } }", codeDepth},
		{plain, "subscription { partnershipChanged { id } }", "FORBIDDEN"},
		{plain, "subscription { invitationChanged { id } }", "FORBIDDEN"},
		{"", "subscription { events { kind } }", "UNAUTHENTICATED"},
		{"", "subscription { operationChanged(id: 1) { id } }", "UNAUTHENTICATED"},
		{"", "{ __schema { queryType { name } } }", "UNAUTHENTICATED"},
	} {
		s := p.listen(c.token, c.query, nil)
		if e := s.next(); s.resp.StatusCode != http.StatusOK || e.at("errors.0.extensions.code") != c.code || e.at("errors.0.extensions.requestId") != "req-1" {
			t.Errorf("%s: status %d: %s", c.query, s.resp.StatusCode, e.data)
		}
		s.ends("")
	}
	for _, c := range []struct {
		accept, query string
		status        int
		media         string
	}{
		{"text/event-stream", "{ __typename }", 200, mediaStream},
		{"application/json, text/event-stream", "{ __typename }", 200, mediaJSON},
		{"application/graphql-response+json, application/json, text/event-stream, multipart/mixed", "{ __typename }", 200, mediaResponse},
		{"application/json, text/event-stream", "subscription { events { kind } }", 200, mediaStream},
		{"application/json, text/event-stream", "subscription { nowhere }", 422, mediaJSON},
		{"text/event-stream;q=0, application/json", "subscription { events { kind } }", 406, mediaJSON},
		{"application/json", "subscription { events { kind } }", 406, mediaJSON},
		{"*/*", "subscription { events { kind } }", 406, mediaJSON},
		{"text/event-stream;q=0", "{ __typename }", 406, mediaJSON},
	} {
		s := p.listen(w.signIn(w.nordwind.admin), c.query, nil, "Accept", c.accept)
		if media, _, _ := strings.Cut(s.resp.Header.Get("Content-Type"), ";"); s.resp.StatusCode != c.status || media != c.media {
			t.Errorf("%s for %s: status %d, %s", c.accept, c.query, s.resp.StatusCode, media)
		}
		s.close()
	}
	for _, c := range []struct {
		header []string
		status int
	}{{[]string{"Content-Type", "text/plain"}, 415}} {
		if s := p.listen(token, "{ __typename }", nil, c.header...); s.resp.StatusCode != c.status {
			t.Errorf("%v: status %d", c.header, s.resp.StatusCode)
		}
	}
}

// Two hundred streams, five hundred events, none lost, none twice.
func TestManyStreams(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.serve(func(l *live) { l.streams = 1000 })
	flood(t, p, 200, 500)
}

// Every answer is paid for, the first with the request.
func TestStreamsPay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.serve(nil)
	joined := w.partnered(w.nordwind, w.contoso)
	token := w.signIn(w.nordwind.admin)
	s := p.listen(token, "subscription { partnershipChanged { id provider { legalName } } }", nil)
	until(t, func() bool { return p.open() == 1 })
	w.touch(joined)
	first := s.next()
	w.touch(joined)
	second := s.next()
	left := func(e sent) float64 { return e.at("extensions.cost.left").(float64) }
	if cost := first.at("extensions.cost.spent").(float64); cost < 2 || left(first)-left(second) != cost {
		t.Errorf("%s, then %s", first.data, second.data)
	}
	if _, ok := p.s.charge(t.Context(), w.present(token), int(left(second))); !ok {
		t.Fatal("what was left is not there")
	}
	w.touch(joined)
	s.refused("RATE_LIMITED", reasonEnded)
	again := p.listen(token, everything, nil)
	if again.resp.StatusCode != http.StatusTooManyRequests || again.resp.Header.Get("Retry-After") == "" {
		t.Errorf("status %d, %v", again.resp.StatusCode, again.resp.Header)
	}
}
