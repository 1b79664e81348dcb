package workers

import (
	"context"
	"time"
)

// batcher gathers what many goroutines hand over and gives it on in one go:
// one statement for all of it instead of one each. An idle one gives on at
// once; under load it lingers a moment, so that batches grow.
type batcher[T any] struct {
	in     chan T
	most   int
	linger time.Duration
	give   func([]T)
}

func newBatcher[T any](most int, linger time.Duration, give func([]T)) *batcher[T] {
	return &batcher[T]{in: make(chan T, most), most: most, linger: linger, give: give}
}

// busy is the size of a batch that shows load.
const busy = 8

// put hands x over; false where the context has ended first.
func (b *batcher[T]) put(ctx context.Context, x T) bool {
	select {
	case b.in <- x:
		return true
	case <-ctx.Done():
		return false
	}
}

// run gives batches on until the context ends.
func (b *batcher[T]) run(ctx context.Context) {
	loaded := false
	for {
		var first T
		select {
		case first = <-b.in:
		case <-ctx.Done():
			return
		}
		batch := append(make([]T, 0, busy), first)
		var full <-chan time.Time
		if loaded && b.linger > 0 {
			full = time.After(b.linger)
		}
	gather:
		for len(batch) < b.most {
			if full == nil {
				select {
				case x := <-b.in:
					batch = append(batch, x)
				default:
					break gather
				}
				continue
			}
			select {
			case x := <-b.in:
				batch = append(batch, x)
			case <-full:
				full = nil
			}
		}
		loaded = len(batch) >= busy
		b.give(batch)
	}
}
