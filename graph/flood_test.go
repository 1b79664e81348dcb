package graph

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/event"
	"github.com/channelgraph/channelgraph/internal/partnership"
)

// tap is a raw connection with a stream on it: as little of a client as
// possible, so that what is measured is the server.
type tap struct {
	conn net.Conn
	in   *bufio.Reader // only while reading
}

func (p *site) tap(t testing.TB, token, query string) *tap {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	body := `{"query":` + quote(query) + `}`
	_, err = fmt.Fprintf(conn, "POST /graphql HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\nContent-Type: application/json\r\nAccept: text/event-stream\r\nContent-Length: %d\r\n\r\n%s",
		token, len(body), body)
	if err != nil {
		t.Fatal(err)
	}
	return &tap{conn: conn}
}

// cursors reads n events of the stream and gives their ids.
func (c *tap) cursors(n int) (ids []string, err error) {
	_ = c.conn.SetReadDeadline(time.Now().Add(10 * time.Minute))
	if c.in == nil {
		c.in = bufio.NewReaderSize(c.conn, 512)
	}
	for len(ids) < n {
		line, err := c.in.ReadString('\n')
		if err != nil {
			return ids, err
		}
		if id, ok := strings.CutPrefix(line, "id: "); ok {
			ids = append(ids, strings.TrimSpace(id))
		}
		if strings.HasPrefix(line, "event: complete") {
			return ids, io.ErrUnexpectedEOF
		}
	}
	return ids, nil
}

// flood opens streams of as many users of two provider-reseller pairs,
// makes events of both in turns, and has every stream prove that it got all
// of its own, each once, in order. It returns the server's memory a stream,
// and how long the events took.
func flood(t testing.TB, p *site, streams, events int) (perStream uint64, took time.Duration) {
	w := p.world
	pairs := []*partnership.Partnership{w.partnered(w.nordwind, w.contoso), w.partnered(w.fabrikam, w.tailspin)}
	sides := []company{w.nordwind, w.fabrikam, w.contoso, w.tailspin}
	const query = "subscription { partnershipChanged { id } }"
	// With many streams most are of people whom no event concerns. Of the others
	// each is of a person of its own: one alone would use up a purse.
	quiet := w.register("Quiet Trading", "quiet.example", access.IndirectProvider)
	still := w.signIn(quiet.admin)
	loud := min(streams, 20)
	tokens := make([]string, loud)
	for i := range tokens {
		tokens[i] = w.signIn(w.hire(sides[i%4], fmt.Sprintf("loud%d@flood.example", i), access.AdminAgent))
	}
	before := memory()
	taps := make([]*tap, streams)
	for i := range taps {
		if i < loud {
			taps[i] = p.tap(t, tokens[i], query)
		} else {
			taps[i] = p.tap(t, still, everything)
		}
	}
	defer func() {
		for _, c := range taps {
			_ = c.conn.Close()
		}
	}()
	for late := time.After(5 * time.Minute); ; {
		n := p.held()
		if n == streams {
			break
		}
		select {
		case <-late:
			t.Fatalf("%d of %d streams are open", n, streams)
		case <-time.After(5 * time.Millisecond):
		}
	}
	for _, c := range taps[loud:] { // each says that it has begun
		if _, err := c.cursors(1); err != nil {
			t.Fatal(err)
		}
		c.in = nil
	}
	perStream = (memory() - before) / uint64(streams)

	begun := time.Now()
	var reading sync.WaitGroup
	for i, c := range taps[:loud] {
		reading.Go(func() {
			ids, err := c.cursors(events / 2)
			if err != nil {
				t.Errorf("stream %d got %d events: %v", i, len(ids), err)
				return
			}
			org := sides[i%4].OrganizationID
			last := int64(0)
			for _, id := range ids {
				n, err := p.s.live.number(org, id)
				if err != nil || n <= last {
					t.Errorf("stream %d: %d came after %d, %v", i, n, last, err)
					return
				}
				last = n
			}
		})
	}
	// Half of the events of each pair: a stream that got so many, each once,
	// has lost none.
	for n := 0; n < events; n += 20 {
		w.tx(func(ctx context.Context, tx *database.Tx) error {
			for i := range 20 {
				x := pairs[i%2]
				if err := event.Record(ctx, tx, event.PartnershipChanged, x.ID, x.ProviderID, x.ResellerID); err != nil {
					return err
				}
			}
			return nil
		})
	}
	reading.Wait()
	return perStream, time.Since(begun)
}

func memory() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

// BenchmarkStreams prints what 5,000 open streams cost and proves that 10,000
// events reach those whom they concern.
func BenchmarkStreams(b *testing.B) {
	for b.Loop() {
		w := newWorld(b)
		p := w.serve(func(l *live) { l.streams = 1 << 20 })
		perStream, took := flood(b, p, 5000, 10_000)
		b.ReportMetric(float64(perStream), "B/stream")
		b.ReportMetric(10_000/took.Seconds(), "events/s")
		b.ReportMetric(20*5000/took.Seconds(), "deliveries/s")
	}
}
