package graph

import (
	"container/list"
	"sync"

	"github.com/vektah/gqlparser/v2/ast"
)

// Bounds of the cache of parsed documents, in bytes as weight counts them.
const (
	cacheBytes = 16 << 20
	// cacheMost is the heaviest document that is kept.
	cacheMost = cacheBytes / 16
	// A parsed and validated document weighs so much whatever it holds, and so
	// much for each byte of its text; measured for the tersest ones.
	weightOfDocument = 4 << 10
	weightOfByte     = 100
)

func weight(text string) int { return weightOfDocument + weightOfByte*len(text) }

// cacheKey is a text and the class of limits under which it was parsed.
type cacheKey struct{ class, text string }

type cached struct {
	key cacheKey
	doc *ast.QueryDocument
}

// documents keeps parsed documents in bounded memory; what was not used for
// longest goes first. Pinned ones stay, for every class. The zero value is
// ready for use.
type documents struct {
	mu    sync.Mutex
	byKey map[cacheKey]*list.Element
	order list.List // of cached, the last used first
	bytes int

	pins map[string]*ast.QueryDocument // written before the cache is used
}

func (d *documents) get(key cacheKey) *ast.QueryDocument {
	if doc := d.pins[key.text]; doc != nil {
		return doc
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.byKey[key]
	if e == nil {
		return nil
	}
	d.order.MoveToFront(e)
	return e.Value.(cached).doc
}

func (d *documents) put(key cacheKey, doc *ast.QueryDocument) {
	w := weight(key.text)
	if w > cacheMost {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.byKey == nil {
		d.byKey = map[cacheKey]*list.Element{}
	}
	if d.byKey[key] != nil {
		return
	}
	for d.bytes += w; d.bytes > cacheBytes; {
		last := d.order.Back()
		old := d.order.Remove(last).(cached).key
		delete(d.byKey, old)
		d.bytes -= weight(old.text)
	}
	d.byKey[key] = d.order.PushFront(cached{key, doc})
}

// pin keeps a document for good; only before the cache is used.
func (d *documents) pin(text string, doc *ast.QueryDocument) {
	if d.pins == nil {
		d.pins = map[string]*ast.QueryDocument{}
	}
	d.pins[text] = doc
}

func (d *documents) pinned(text string) bool { return d.pins[text] != nil }
