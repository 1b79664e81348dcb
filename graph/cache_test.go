package graph

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/channelgraph/channelgraph/internal/access"
)

func TestDocumentsAreCached(t *testing.T) {
	t.Parallel()
	var d documents
	doc := parsed(t, "{ __typename }")
	key := func(i int) cacheKey { return cacheKey{"x", fmt.Sprintf("%0100d", i)} }
	fit := cacheBytes / weight(key(0).text)
	for i := range fit {
		d.put(key(i), doc)
	}
	if d.get(key(0)) == nil || len(d.byKey) != fit || d.bytes > cacheBytes {
		t.Fatalf("%d documents of %d bytes", len(d.byKey), d.bytes)
	}
	d.put(key(fit), doc) // the least used goes: not the first, which was just used
	d.put(key(fit), doc)
	if d.get(key(0)) == nil || d.get(key(1)) != nil || d.get(key(2)) == nil || d.get(key(fit)) == nil || len(d.byKey) != fit || d.order.Len() != fit {
		t.Error("not the least used went")
	}
	if d.get(cacheKey{"y", key(0).text}) != nil {
		t.Error("a document of another class was found")
	}
	d.put(cacheKey{"x", strings.Repeat("x", cacheMost/weightOfByte)}, doc) // too heavy
	d.put(cacheKey{"x", strings.Repeat("y", (cacheMost-weightOfDocument)/weightOfByte)}, doc)
	if len(d.byKey) >= fit || len(d.byKey) != d.order.Len() || d.bytes > cacheBytes {
		t.Errorf("%d documents, %d in order, %d bytes", len(d.byKey), d.order.Len(), d.bytes)
	}
	d.pin("pinned", doc)
	if d.get(cacheKey{"x", "pinned"}) == nil || d.get(cacheKey{"y", "pinned"}) == nil || !d.pinned("pinned") || d.pinned(key(0).text) {
		t.Error("pins")
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for i := range 200 {
				d.put(key(i*7), doc)
				d.get(key(i))
			}
		})
	}
	all.Wait()
}

// Not parallel: it weighs the process.
func TestDistinctDocumentsDoNotGrowMemory(t *testing.T) {
	g, err := newGuard(schema, nodeTypes)
	if err != nil {
		t.Fatal(err)
	}
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	send := func(shape string, from, n int) {
		for i := from; i < from+n; i++ {
			if _, bad := g.prepare(params{Query: fmt.Sprintf(shape, i)}, access.System("test")); bad != nil {
				t.Fatal(bad.errs)
			}
		}
	}
	for name, c := range map[string]struct {
		shape string
		n     int // enough to fill the cache
	}{
		"small": {"{ n%d: viewer { roles } }", 10_000},
		"large": {"{ n%d: viewer { " + strings.Repeat("user { id email firstName lastName roles } ", 40) + "} }", 600},
		"terse": {"{ n%d: viewer { user {" + strings.Repeat("id ", 1400) + "} } }", 600},
	} {
		before := heap()
		send(c.shape, 0, c.n)
		full := heap() - before
		send(c.shape, c.n, c.n)
		twice := heap() - before
		t.Logf("%s: %d documents weigh %d KiB, then %d KiB", name, len(g.docs.byKey), full>>10, twice>>10)
		if twice > cacheBytes || twice > full+full/4+1<<20 {
			t.Errorf("%s: twice as many distinct documents weigh %d bytes, half of them %d; the bound is %d", name, twice, full, cacheBytes)
		}
		g.docs = documents{}
	}
}
