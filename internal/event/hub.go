package event

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
)

const (
	// poll is how often the log is looked at without a ring.
	poll = 2 * time.Second
	// room is how many events wait in memory for a reader; one that falls
	// further behind reads them from the database.
	room = 64
)

// Hub hands the log's events to the readers of one process: however many they
// are, the log is read once, and not at all where nobody reads.
type Hub struct {
	db  *database.DB
	log *slog.Logger

	mu sync.Mutex
	// last is up to where events were handed out.
	last int64
	stop context.CancelFunc // of the pump; nil where there are no readers
	all  map[*Reader]struct{}
	by   map[ident.ID]map[*Reader]struct{}
}

// NewHub makes a hub; it starts nothing.
func NewHub(db *database.DB, log *slog.Logger) *Hub {
	return &Hub{db: db, log: log, all: map[*Reader]struct{}{}, by: map[ident.ID]map[*Reader]struct{}{}}
}

// Reader is one place in the log, of a scope. It is used by one goroutine.
type Reader struct {
	hub   *Hub
	scope access.Scope
	wake  chan struct{}

	// from and to bound what is still to be read from the database, ahead what
	// of it was read; the reader's own.
	from, to int64
	ahead    []*Event

	// Guarded by the hub's lock: what came live, and that there was no room.
	live   []*Event
	missed bool
	closed bool
}

// Open begins to read a scope's events: those after a number, or without one
// those from now on. reset says that events after the number are gone already,
// and that reading begins now; at is where it begins. The caller closes the
// reader. Errors: UNAUTHENTICATED for a scope that sees nothing.
func (h *Hub) Open(ctx context.Context, scope access.Scope, since *int64) (r *Reader, at int64, reset bool, err error) {
	if !scope.All() && scope.Organization() == "" {
		return nil, 0, false, fault.Unauthenticated()
	}
	// What has committed before gets its number, so that "now" is now.
	if err := number(ctx, h.db); err != nil {
		return nil, 0, false, err
	}
	c, err := readCounter(ctx, h.db.Read())
	if err != nil {
		return nil, 0, false, fmt.Errorf("reading the event counter: %w", err)
	}
	r = &Reader{hub: h, scope: scope, wake: make(chan struct{}, 1)}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stop == nil {
		h.last = c.Last
		var run context.Context // of all readers, not of this one's request
		run, h.stop = context.WithCancel(context.Background())
		go h.pump(run)
	}
	// The pump may be a little behind or ahead of what was just read.
	r.from, r.to = max(c.Last, h.last), h.last
	if since != nil {
		if reset = *since < c.Pruned || *since > max(c.Last, h.last); !reset {
			r.from = *since
		}
	}
	h.readers(scope)[r] = struct{}{}
	if r.from < r.to {
		r.ring()
	}
	return r, r.from, reset, nil
}

// readers are those of a scope's kind.
func (h *Hub) readers(s access.Scope) map[*Reader]struct{} {
	if s.All() {
		return h.all
	}
	id := s.Organization()
	if h.by[id] == nil {
		h.by[id] = map[*Reader]struct{}{}
	}
	return h.by[id]
}

// Close gives the reader's place up.
func (r *Reader) Close() {
	h := r.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	if r.closed {
		return
	}
	r.closed = true
	rs := h.readers(r.scope)
	delete(rs, r)
	if len(rs) == 0 && !r.scope.All() {
		delete(h.by, r.scope.Organization())
	}
	if len(h.all)+len(h.by) == 0 {
		h.stop()
		h.stop = nil
	}
}

// C tells that Next may have something.
func (r *Reader) C() <-chan struct{} { return r.wake }

func (r *Reader) ring() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Next is the next event of the scope, nil where there is none now. Events
// come in order, each once.
func (r *Reader) Next(ctx context.Context) (*Event, error) {
	for {
		if len(r.ahead) > 0 {
			e := r.ahead[0]
			if r.ahead = r.ahead[1:]; len(r.ahead) == 0 {
				r.ahead = nil
			}
			if e.Number <= r.from {
				continue // read from the database already
			}
			r.from = e.Number
			return e, nil
		}
		if r.from < r.to {
			rows, err := between(ctx, r.hub.db.Read(), r.scope, r.from, r.to)
			if err != nil {
				return nil, fmt.Errorf("catching up on events: %w", err)
			}
			if r.ahead = rows; len(rows) < page { // that was all of it
				r.to = r.from
				if len(rows) > 0 {
					r.to = rows[len(rows)-1].Number
				}
			}
			continue
		}
		if !r.take() {
			return nil, nil
		}
	}
}

// take gets what came live, or where it was too much, how far the database is
// to be read.
func (r *Reader) take() bool {
	r.hub.mu.Lock()
	defer r.hub.mu.Unlock()
	if r.missed {
		r.missed, r.to = false, r.hub.last
		return true
	}
	r.ahead, r.live = r.live, nil
	return len(r.ahead) > 0
}

// pump hands committed events out until ctx ends.
func (h *Hub) pump(ctx context.Context) {
	rung, stop := h.db.Subscribe(Topic)
	defer stop()
	timer := time.NewTimer(poll)
	defer timer.Stop()
	for {
		if err := h.turn(ctx); err != nil && ctx.Err() == nil {
			h.log.WarnContext(ctx, "events could not be read; they will be", "error", err)
		}
		timer.Reset(poll)
		select {
		case <-ctx.Done():
			return
		case <-rung:
		case <-timer.C:
		}
	}
}

// turn numbers what has committed and hands out what is new.
func (h *Hub) turn(ctx context.Context) error {
	if err := number(ctx, h.db); err != nil {
		return err
	}
	for {
		h.mu.Lock()
		last := h.last
		h.mu.Unlock()
		rows, err := after(ctx, h.db.Read(), last)
		if err != nil {
			return fmt.Errorf("reading events: %w", err)
		}
		if !h.hand(ctx, rows) || len(rows) < page {
			return nil
		}
	}
}

// hand gives events to the readers whom they concern. It reports false where
// the pump has been stopped, and another one may run already.
func (h *Hub) hand(ctx context.Context, rows []*Event) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if ctx.Err() != nil {
		return false
	}
	for _, e := range rows {
		h.last = e.Number
		for r := range h.all {
			r.give(e)
		}
		for r := range h.by[e.OrganizationID] {
			r.give(e)
		}
		if e.OtherOrganizationID != e.OrganizationID {
			for r := range h.by[e.OtherOrganizationID] {
				r.give(e)
			}
		}
	}
	return true
}

// give puts an event into the reader's memory where there is room; the hub is
// locked.
func (r *Reader) give(e *Event) {
	defer r.ring()
	switch {
	case r.missed:
	case len(r.live) == room:
		r.live, r.missed = nil, true
	default:
		r.live = append(r.live, e)
	}
}
