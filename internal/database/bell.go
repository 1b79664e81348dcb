package database

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

// channel is the PostgreSQL notification channel; payloads are topics.
const channel = "channelgraph"

// bell wakes subscribers. Rings are hints: they coalesce and may be lost, so
// every subscriber also polls.
type bell struct {
	mu   sync.Mutex
	subs map[string]map[chan struct{}]struct{}
	out  chan string
}

func newBell() *bell {
	return &bell{subs: map[string]map[chan struct{}]struct{}{}, out: make(chan string, 256)}
}

func (b *bell) ring(topic string) {
	b.local(topic)
	select {
	case b.out <- topic:
	default: // the other processes' polls cover a lost ring
	}
}

func (b *bell) local(topic string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.subs[topic] {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// Subscribe returns a channel that receives after commits which notified the
// topic; stop ends it.
func (db *DB) Subscribe(topic string) (c <-chan struct{}, stop func()) {
	ch := make(chan struct{}, 1)
	b := db.bell
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.subs[topic] == nil {
		b.subs[topic] = map[chan struct{}]struct{}{}
	}
	b.subs[topic][ch] = struct{}{}
	return ch, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.subs[topic], ch)
	}
}

// Ring wakes a topic's subscribers now, without a transaction.
func (db *DB) Ring(topic string) { db.bell.ring(topic) }

// announce sends one NOTIFY per topic and 10 ms, in one statement: one in each
// transaction costs two fifths of the throughput.
func (db *DB) announce(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case t := <-db.bell.out:
			topics := map[string]struct{}{t: {}}
			wait := time.NewTimer(10 * time.Millisecond)
		collect:
			for {
				select {
				case t := <-db.bell.out:
					topics[t] = struct{}{}
				case <-wait.C:
					break collect
				case <-ctx.Done():
					wait.Stop()
					return
				}
			}
			_, _ = db.pool.Exec(ctx, "select pg_notify($1, t) from unnest($2::text[]) as t", channel, slices.Collect(maps.Keys(topics)))
		}
	}
}

// listen passes other processes' notifications on, on a connection of its own.
func (db *DB) listen(ctx context.Context) {
	for ctx.Err() == nil {
		conn, err := db.pool.Acquire(ctx)
		if err == nil {
			c := conn.Hijack()
			if _, err = c.Exec(ctx, "listen "+channel); err == nil {
				for {
					n, werr := c.WaitForNotification(ctx)
					if werr != nil {
						break
					}
					db.bell.local(n.Payload)
				}
			}
			closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			_ = c.Close(closing)
			cancel()
		}
		select {
		case <-ctx.Done():
		case <-time.After(500 * time.Millisecond):
		}
	}
}
