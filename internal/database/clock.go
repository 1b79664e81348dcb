package database

import (
	"sync/atomic"
	"time"
)

// Clock is the house's clock. The zero value is the wall clock; an injected
// one runs at an offset and can be moved forward, in development and tests.
type Clock struct {
	injected bool
	offset   atomic.Int64
}

// NewClock makes an injected clock that is offset from the wall clock.
func NewClock(offset time.Duration) *Clock {
	c := &Clock{injected: true}
	c.offset.Store(int64(offset))
	return c
}

// Now is the clock's moment: UTC, microseconds.
func (c *Clock) Now() time.Time {
	return time.Now().Add(time.Duration(c.offset.Load())).UTC().Truncate(time.Microsecond)
}

// Injected reports whether the clock may be moved.
func (c *Clock) Injected() bool { return c.injected }

// Offset is how far the clock is from the wall clock.
func (c *Clock) Offset() time.Duration { return time.Duration(c.offset.Load()) }

// Advance moves an injected clock forward by d; it panics on the wall clock.
func (c *Clock) Advance(d time.Duration) {
	if !c.injected {
		panic("database: the wall clock cannot be moved")
	}
	c.offset.Add(int64(d))
}
