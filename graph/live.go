package graph

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/channelgraph/channelgraph/graph/model"
	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/event"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/secret"
)

// live is what the streams of one process share.
type live struct {
	hub  *event.Hub
	keys *secret.Keys

	// heartbeat is how often a silent stream is written to, and its actor
	// checked; life is how long a stream lasts, patience how long one write or
	// a first message may take (security decision D16).
	heartbeat, life, patience time.Duration
	// streams and sockets bound what one session, token or, for strangers,
	// network may hold open.
	streams, sockets int

	// open counts the streams that have their place in the log.
	open atomic.Int64

	mu      sync.Mutex
	held    map[string]int
	closing chan struct{}
	once    sync.Once
}

func newLive(d Deps) (*live, error) {
	l := &live{hub: event.NewHub(d.DB, d.Log), keys: d.Keys, heartbeat: 15 * time.Second, life: 15 * time.Minute, patience: 10 * time.Second,
		streams: 5, sockets: 5, held: map[string]int{}, closing: make(chan struct{})}
	if l.keys == nil {
		master, err := secret.ParseKey(secret.NewMaster())
		if err != nil {
			return nil, err
		}
		if l.keys, err = secret.NewKeys(master); err != nil {
			return nil, err
		}
	}
	if d.Registerer == nil {
		return l, nil
	}
	if err := d.Registerer.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "channelgraph_graphql_streams",
		Help: "Live subscriptions that are open in this process, over SSE and WebSocket."}, func() float64 { return float64(l.open.Load()) })); err != nil {
		return nil, fmt.Errorf("registering the metric of streams: %w", err)
	}
	return l, nil
}

// Drain has the clients of all streams come back elsewhere.
func (s *server) Drain() { s.live.once.Do(func() { close(s.live.closing) }) }

// holder is whose streams are counted together.
func holder(a access.Actor) string {
	switch {
	case a.SessionID != "":
		return string(a.SessionID)
	case a.TokenID != "":
		return string(a.TokenID)
	}
	return "network " + a.IPPrefix
}

// hold takes one of the holder's places; false where none is left.
func (l *live) hold(what string, a access.Actor, most int) (release func(), ok bool) {
	key := what + " " + holder(a)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held[key] >= most {
		return nil, false
	}
	l.held[key]++
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.held[key]--; l.held[key] == 0 {
			delete(l.held, key)
		}
	}, true
}

// cursor seals the number of an event for an organization: numbers would tell
// how much goes on with others. The seal is a keyed digest of number and
// organization, and also the mask under which the number lies.
func (l *live) cursor(org ident.ID, n int64) string {
	var b [16]byte
	seal := l.digest("seal", string(org), strconv.FormatInt(n, 10))
	copy(b[:8], seal)
	mask := binary.BigEndian.Uint64(l.digest("mask", string(org), string(b[:8])))
	binary.BigEndian.PutUint64(b[8:], mask^uint64(n)) // numbers count up from 1
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// number opens a cursor. Errors: BAD_CURSOR for what is none of the
// organization's.
func (l *live) number(org ident.ID, cursor string) (int64, error) {
	b, err := base64.RawURLEncoding.DecodeString(cursor)
	if err == nil && len(b) == 16 {
		mask := binary.BigEndian.Uint64(l.digest("mask", string(org), string(b[:8])))
		n := int64(binary.BigEndian.Uint64(b[8:]) ^ mask) // what is no number of ours has no seal
		if l.cursor(org, n) == cursor {
			return n, nil
		}
	}
	return 0, badCursor()
}

func badCursor() error { return &fault.Error{Kind: fault.KindInvalid, Code: fault.CodeBadCursor} }

func (l *live) digest(parts ...string) []byte {
	b, err := hex.DecodeString(l.keys.Blind(append([]string{"event.cursor"}, parts...)...))
	if err != nil {
		panic(err) // a digest is hexadecimal
	}
	return b[:8]
}

// reason is why a stream ended, as its complete message says.
type reason string

const (
	// reasonReconnect asks the client to open the next stream.
	reasonReconnect reason = "RECONNECT"
	// reasonEnded says that the client has no right to the stream any more, or
	// that it has failed; the error was told before.
	reasonEnded reason = "ENDED"
	// reasonGone is told to nobody: the client has left.
	reasonGone reason = ""
)

// liveStream is one running subscription. It belongs to one goroutine.
type liveStream struct {
	s     *server
	oc    *graphql.OperationContext
	field graphql.CollectedField
	// actor is who began it.
	actor access.Actor
	// since is the cursor that came beside the operation, "" for none.
	since   string
	release func()
	paid    bool

	// Set by the resolver, through follow.
	reader *event.Reader
	at     int64 // where the reader began
	kinds  []event.Kind
	// first are told before what the reader has.
	first []*event.Event
	// offer looks the subject up as the context's actor sees it, and hands it
	// to next; false where there is nothing to tell.
	offer func(context.Context, *event.Event) (bool, error)

	next graphql.ResponseHandler
}

type subscriptionKey struct{}

// subscribing is the subscription that a resolver begins.
func subscribing(ctx context.Context) *liveStream {
	return ctx.Value(subscriptionKey{}).(*liveStream)
}

// subscribe begins a subscription, or says why not. The caller ends it.
func (s *server) subscribe(ctx context.Context, oc *graphql.OperationContext, a access.Actor, since string) (*liveStream, gqlerror.List) {
	fields := graphql.CollectFields(oc, oc.Operation.SelectionSet, []string{"Subscription"})
	if len(fields) != 1 || s.guard.rules["Subscription."+fields[0].Name] == (rule{}) { // __typename, or all skipped
		return nil, gqlerror.List{topLevel(codeValidation, "A subscription asks for exactly one field of Subscription.")}
	}
	if err := s.guard.refusal("Subscription", fields[0].Name, a); err != nil {
		return nil, gqlerror.List{s.failed(ctx, fields[0], err)}
	}
	release, ok := s.live.hold("stream", a, s.live.streams)
	if !ok {
		return nil, gqlerror.List{s.failed(ctx, fields[0], fault.Limited(0))}
	}
	sub := &liveStream{s: s, oc: oc, field: fields[0], actor: a, since: since, release: release}
	oc.RecoverFunc = s.recover
	begin, cancel := context.WithTimeout(s.each(context.WithValue(ctx, subscriptionKey{}, sub), oc, a), deadline)
	defer cancel()
	sub.next = s.schema.Exec(begin)
	if errs := graphql.GetErrors(begin); len(errs) > 0 || sub.offer == nil {
		sub.end()
		return nil, errs
	}
	return sub, nil
}

// failed is an error of a subscription's field.
func (s *server) failed(ctx context.Context, f graphql.CollectedField, err error) *gqlerror.Error {
	return s.present(ctx, gqlerror.WrapPath(ast.Path{ast.PathName(f.Alias)}, err))
}

// each is the context of one event: fresh loaders for the actor as it is now,
// and errors of its own.
func (s *server) each(ctx context.Context, oc *graphql.OperationContext, a access.Actor) context.Context {
	ctx = withOperation(ctx, &s.deps, a)
	ctx = graphql.WithOperationContext(ctx, oc)
	return graphql.WithResponseContext(ctx, s.present, s.recover)
}

func (sub *liveStream) end() {
	sub.release()
	if sub.reader != nil {
		sub.reader.Close()
		sub.s.live.open.Add(-1)
	}
}

// follow is what the resolver of a subscription's field does: it says which
// events it tells, where it begins, and how a subject is found.
func follow[T any](ctx context.Context, since *string, find func(context.Context, *event.Event) (T, bool, error), kinds ...event.Kind) (<-chan T, error) {
	sub := subscribing(ctx)
	if err := sub.start(ctx, since, kinds); err != nil {
		return nil, err
	}
	told := make(chan T, 1) // offered and taken by the same goroutine
	sub.offer = func(ctx context.Context, e *event.Event) (bool, error) {
		v, ok, err := find(ctx, e)
		if ok && err == nil {
			told <- v
		}
		return ok, err
	}
	return told, nil
}

// start opens the subscription's place in the log. Only a subscription to all
// kinds tells where it begins and that events are gone; the others refuse a
// cursor that is too old.
func (sub *liveStream) start(ctx context.Context, since *string, kinds []event.Kind) error {
	l, org := sub.s.live, sub.actor.OrganizationID
	if sub.since != "" { // what a reconnecting client says is newer than the document
		since = &sub.since
	}
	var from *int64
	if since != nil {
		n, err := l.number(org, *since)
		if err != nil {
			return err
		}
		from = &n
	}
	r, at, reset, err := l.hub.Open(ctx, sub.actor.Scope(), from)
	if err != nil {
		return err
	}
	sub.reader, sub.at, sub.kinds = r, at, kinds
	l.open.Add(1)
	switch {
	case len(kinds) == 0:
		sub.first = []*event.Event{{Kind: event.StreamStarted, Number: at}}
		if reset {
			sub.first = append(sub.first, &event.Event{Kind: event.StreamReset, Number: at})
		}
	case reset:
		return badCursor()
	}
	return nil
}

// tellNow has the stream begin with the subject as it is. Errors: NOT_FOUND.
func (sub *liveStream) tellNow(ctx context.Context, k event.Kind, id ident.ID) error {
	if v, err := node(ctx, id); v == nil || err != nil {
		return cmp.Or(err, fault.NotFound("id"))
	}
	sub.first = []*event.Event{{Kind: k, SubjectID: id, Number: sub.at}}
	return nil
}

// tell is how a transport takes an answer: the id of its event and the answer,
// whose data is its own.
type tell func(id string, res *graphql.Response) error

// drive runs a subscription until it ends. Everything is written by the
// goroutine that calls it; beat is called when nothing else was to be said.
func (sub *liveStream) drive(ctx context.Context, life time.Duration, out tell, beat func() error) reason {
	l := sub.s.live
	beats, over := time.NewTicker(l.heartbeat), time.NewTimer(life)
	defer beats.Stop()
	defer over.Stop()
	for {
		for {
			e, err := sub.event(ctx)
			if err != nil {
				return sub.broken(ctx, err)
			}
			if e == nil {
				break
			}
			if why, ended := sub.pass(ctx, e, out); ended {
				return why
			}
			select { // between two events, too
			case <-over.C:
				return reasonReconnect
			case <-l.closing:
				return reasonReconnect
			default:
			}
		}
		select {
		case <-ctx.Done():
			return reasonGone
		case <-l.closing:
			return reasonReconnect
		case <-over.C:
			return reasonReconnect
		case <-beats.C:
			if _, why, ended := sub.recheck(ctx, out); ended {
				return why
			}
			if beat() != nil {
				return reasonGone
			}
		case <-sub.reader.C():
		}
	}
}

func (sub *liveStream) event(ctx context.Context) (*event.Event, error) {
	if len(sub.first) > 0 {
		e := sub.first[0]
		sub.first = sub.first[1:]
		return e, nil
	}
	return sub.reader.Next(ctx)
}

// broken ends a stream that could not go on for a reason of ours; nothing is
// lost, since the client goes on from its last event.
func (sub *liveStream) broken(ctx context.Context, err error) reason {
	if ctx.Err() != nil {
		return reasonGone
	}
	sub.s.log.ErrorContext(ctx, "a stream was broken off", "error", err, "field", sub.field.Name, "request_id", ident.Request(ctx))
	return reasonReconnect
}

// recheck reads again who the actor is. The stream ends where it is nobody,
// has no right to the field, or has got other rights.
func (sub *liveStream) recheck(ctx context.Context, out tell) (access.Actor, reason, bool) {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	now, err := sub.s.deps.Accounts.Recheck(ctx, sub.actor)
	if err != nil {
		return now, sub.broken(ctx, err), true
	}
	if err := sub.s.guard.refusal("Subscription", sub.field.Name, now); err != nil {
		e := sub.s.failed(access.WithActor(ctx, now), sub.field, err)
		if out("", &graphql.Response{Errors: gqlerror.List{e}}) != nil {
			return now, reasonGone, true
		}
		return now, reasonEnded, true
	}
	was := sub.actor
	if now.OrganizationID != was.OrganizationID || now.PartnerID != was.PartnerID || now.Kind != was.Kind ||
		!slices.Equal(now.Roles, was.Roles) || !slices.Equal(now.Capabilities(), was.Capabilities()) {
		return now, reasonReconnect, true
	}
	return now, "", false
}

// pass tells one event, after who watches and what they see was read again.
func (sub *liveStream) pass(ctx context.Context, e *event.Event, out tell) (reason, bool) {
	if !e.Of(sub.kinds...) {
		return "", false
	}
	actor, why, ended := sub.recheck(ctx, out)
	if ended {
		return why, true
	}
	one, measured := sub.s.deps.observer.begin(ctx, sub.oc, actor)
	var res *graphql.Response
	defer func() { measured(res) }()
	one, cancel := context.WithTimeout(sub.s.each(one, sub.oc, actor), deadline)
	defer cancel()
	seen, err := sub.offer(one, e)
	if err != nil {
		return sub.broken(ctx, err), true
	}
	if !seen {
		return "", false
	}
	cost, ok := sub.pay(ctx, actor)
	if !ok {
		e := sub.s.failed(ctx, sub.field, fault.Limited(cost.ResetAt.Sub(sub.s.deps.DB.Now())))
		if out("", &graphql.Response{Errors: gqlerror.List{e}, Extensions: cost.extensions()}) != nil {
			return reasonGone, true
		}
		return reasonEnded, true
	}
	if res = sub.next(one); res == nil { // only where the deadline passed meanwhile
		return sub.broken(ctx, errors.New("an event was not answered in time")), true
	}
	res.Data = bytes.Clone(res.Data) // the executor writes its next answer into the same bytes
	res.Errors, res.Extensions = append(res.Errors, graphql.GetErrors(one)...), cost.extensions()
	if out(sub.s.live.cursor(actor.OrganizationID, e.Number), res) != nil {
		return reasonGone, true
	}
	return "", false
}

// pay takes the cost of one more answer from the actor's purse; the first one
// was paid for with the request.
func (sub *liveStream) pay(ctx context.Context, a access.Actor) (bill, bool) {
	if b, ok := sub.oc.Stats.GetExtension(billKey).(bill); ok && !sub.paid {
		sub.paid = true
		return b, true
	}
	cost, _ := sub.oc.Stats.GetExtension(costKey).(int)
	b, ok := sub.s.charge(ctx, a, max(cost, leastCost))
	b.Requested = cost
	return b, ok
}

// seen finds the subject of an event where it is of the kind, passes the
// filter, and the actor sees it.
func seen[T any](pick func(*loaders) *loader[*T], only *ident.ID) func(context.Context, *event.Event) (*T, bool, error) {
	return func(ctx context.Context, e *event.Event) (*T, bool, error) {
		if e.SubjectID == "" || only != nil && *only != e.SubjectID {
			return nil, false, nil
		}
		l := pick(load(ctx)) // nobody else asks for anything now: no reason to wait for more ids
		if err := l.ahead(ctx, []ident.ID{e.SubjectID}); err != nil {
			return nil, false, err
		}
		v, err := l.one(ctx, e.SubjectID)
		return v, v != nil, err
	}
}

// asEvent tells an event by its id where the actor sees the subject.
//
// The events of a stream itself have no subject.
func asEvent(l *live) func(context.Context, *event.Event) (*model.Event, bool, error) {
	return func(ctx context.Context, e *event.Event) (*model.Event, bool, error) {
		out := &model.Event{Cursor: l.cursor(actor(ctx).OrganizationID, e.Number), Kind: e.Kind}
		if e.SubjectID == "" {
			return out, true, nil
		}
		out.SubjectID = &e.SubjectID
		v, err := node(ctx, e.SubjectID)
		return out, v != nil, err
	}
}
