// Package page owns keyset paging: the arguments a client gives, cursors
// bound to an ordering and a filter, the page that comes back, and capped
// counts. It never talks to a database and never uses an offset.
package page

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
)

// Sizes of a page: the default, and the most a client may ask for.
const (
	DefaultSize = 25
	MaxSize     = 100
	// CountCap is where counting stops: beyond it a count says AT_LEAST.
	CountCap = 1000
)

// Args are a connection's paging arguments as the client gave them.
type Args struct {
	First  *int
	After  *string
	Last   *int
	Before *string
	// Cursors are those that will be asked for.
	Cursors Cursors
}

// Cursors says which cursors of a page are made: each costs some work, and
// long lists are mostly asked for none.
type Cursors int

// Cursors to make: of every row and of the page's ends, of the ends alone, or
// none.
const (
	AllCursors Cursors = iota
	EndCursors
	NoCursors
)

// Direction is the direction of an ordering.
type Direction string

// Directions.
const (
	Asc  Direction = "ASC"
	Desc Direction = "DESC"
)

// Sort is the type of an ordering's sort value.
type Sort int

// Sort value types.
const (
	SortText Sort = iota
	SortTime
	SortInt
)

// Order is one ordering of a list. Column is the SQL column it stands for and
// never comes from a client.
type Order struct {
	Name      string
	Column    string
	Sort      Sort
	Direction Direction
}

// Query is a resolved page request for a store: fetch Limit+1 rows.
type Query struct {
	Order    Order
	Limit    int
	Backward bool
	// HasCursor says that rows start beyond (Value, ID).
	HasCursor bool
	Value     any
	ID        ident.ID
	filter    string
	cursors   Cursors
}

// Reversed reports whether rows must be read against the ordering's own
// direction, as for `last`.
func (q Query) Reversed() bool { return q.Backward }

// Descending is the direction in which the store reads.
func (q Query) Descending() bool { return (q.Order.Direction == Desc) != q.Backward }

type cursor struct {
	V int             `json:"v"`
	O string          `json:"o"`
	F string          `json:"f"`
	S json.RawMessage `json:"s"`
	I ident.ID        `json:"i"`
}

// Resolve checks the arguments against an ordering and a filter (any value
// that marshals to JSON). Errors: BAD_USER_INPUT for sizes out of range or
// both directions at once, BAD_CURSOR for a cursor that is malformed or was
// made for another ordering or filter.
func (a Args) Resolve(order Order, filter any) (Query, error) {
	if order.Direction == "" {
		order.Direction = Asc
	}
	q := Query{Order: order, Limit: DefaultSize, cursors: a.Cursors}
	if a.Cursors != NoCursors || a.After != nil || a.Before != nil {
		q.filter = hash(filter)
	}
	if a.First != nil && a.Last != nil {
		return q, bad("first", "FIRST_AND_LAST")
	}
	size, field := a.First, "first"
	if a.Last != nil {
		size, field, q.Backward = a.Last, "last", true
	}
	if size != nil {
		if *size < 1 || *size > MaxSize {
			return q, bad(field, "PAGE_SIZE")
		}
		q.Limit = *size
	}
	cur := a.After
	if q.Backward {
		if a.After != nil {
			return q, bad("after", "FIRST_AND_LAST")
		}
		cur = a.Before
	} else if a.Before != nil {
		return q, bad("before", "FIRST_AND_LAST")
	}
	if cur == nil {
		return q, nil
	}
	return q, q.decode(*cur)
}

func bad(field, code string) error {
	return &fault.Error{Kind: fault.KindInvalid, Code: fault.CodeBadUserInput,
		Problems: []fault.Problem{{Path: []string{field}, Code: code}}}
}

func badCursor() error {
	return &fault.Error{Kind: fault.KindInvalid, Code: fault.CodeBadCursor,
		Problems: []fault.Problem{{Path: []string{"cursor"}, Code: fault.CodeBadCursor}}}
}

func (q *Query) decode(s string) error {
	if len(s) > 2048 {
		return badCursor()
	}
	raw, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return badCursor()
	}
	var c cursor
	if err := json.Unmarshal(raw, &c); err != nil || c.V != 1 || c.O != q.orderName() || c.F != q.filter || c.I.Kind() == "" {
		return badCursor()
	}
	if string(c.S) == "null" { // would read as a zero value
		return badCursor()
	}
	switch q.Order.Sort {
	case SortText:
		var v string
		err = json.Unmarshal(c.S, &v)
		q.Value = v
	case SortTime:
		var v int64
		err = json.Unmarshal(c.S, &v)
		at := time.UnixMicro(v).UTC()
		if at.Year() < 1 || at.Year() > 9999 { // beyond what PostgreSQL can store
			return badCursor()
		}
		q.Value = at
	case SortInt:
		var v int64
		err = json.Unmarshal(c.S, &v)
		q.Value = v
	}
	if err != nil {
		return badCursor()
	}
	q.HasCursor, q.ID = true, c.I
	return nil
}

func (q Query) orderName() string { return q.Order.Name + " " + string(q.Order.Direction) }

// Cursor encodes the place of a row with this sort value and id.
func (q Query) Cursor(value any, id ident.ID) string {
	if t, ok := value.(time.Time); ok {
		value = t.UnixMicro()
	}
	b := make([]byte, 0, 128)
	b = appendJSON(append(b, `{"v":1,"o":`...), q.orderName())
	b = appendJSON(append(b, `,"f":`...), q.filter)
	b = appendJSON(append(b, `,"s":`...), value)
	b = append(appendJSON(append(b, `,"i":`...), string(id)), '}')
	return base64.RawURLEncoding.EncodeToString(b)
}

// appendJSON appends a sort value as json.Marshal writes it: a page has a
// cursor for each row, and most of them hold nothing that needs care.
func appendJSON(b []byte, v any) []byte {
	switch v := v.(type) {
	case int64:
		return strconv.AppendInt(b, v, 10)
	case string:
		if !strings.ContainsFunc(v, func(r rune) bool { return r < ' ' || r > '~' || strings.ContainsRune(`"\<>&`, r) }) {
			return append(append(append(b, '"'), v...), '"')
		}
	}
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err) // sort values are text, times and integers
	}
	return append(b, raw...)
}

func hash(filter any) string {
	if filter == nil {
		return ""
	}
	b, err := json.Marshal(filter)
	if err != nil {
		panic(err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:6])
}

// Precision says whether a count is exact.
type Precision string

// Precisions of a count.
const (
	Exact   Precision = "EXACT"
	AtLeast Precision = "AT_LEAST"
)

// Count is a capped count of a list.
type Count struct {
	Value     int
	Precision Precision
}

// Capped makes a Count of n rows counted to CountCap+1.
func Capped(n int) Count {
	if n > CountCap {
		return Count{Value: CountCap, Precision: AtLeast}
	}
	return Count{Value: n, Precision: Exact}
}

// Info tells about the neighbours of a page, as the Relay specification says.
type Info struct {
	HasNextPage     bool
	HasPreviousPage bool
	StartCursor     *string
	EndCursor       *string
}

// Edge is one row of a page with its place.
type Edge[T any] struct {
	Node   T
	Cursor string
}

// Connection is one page of a list.
type Connection[T any] struct {
	Edges    []*Edge[T]
	PageInfo *Info
	count    func(context.Context) (int, error)
	exact    bool
}

// Exactly has the whole list counted by a maintained counter, which needs no
// cap.
func (c *Connection[T]) Exactly(count func(context.Context) (int, error)) *Connection[T] {
	c.count, c.exact = count, true
	return c
}

// Nodes are the page's rows without their cursors.
func (c *Connection[T]) Nodes() []T {
	out := make([]T, len(c.Edges))
	for i, e := range c.Edges {
		out[i] = e.Node
	}
	return out
}

// TotalCount counts the whole list under the same scope and filter, capped.
func (c *Connection[T]) TotalCount(ctx context.Context) (*Count, error) {
	n, err := c.count(ctx)
	if err != nil {
		return nil, err
	}
	if c.exact {
		return &Count{Value: n, Precision: Exact}, nil
	}
	v := Capped(n)
	return &v, nil
}

// Build makes the page of up to Limit+1 rows as the store read them. key
// gives a row's sort value and id; count is run only when the count is asked
// for.
func Build[T any](q Query, rows []T, key func(T) (any, ident.ID), count func(context.Context) (int, error)) *Connection[T] {
	more := len(rows) > q.Limit
	if more {
		rows = rows[:q.Limit]
	}
	if q.Backward {
		slices.Reverse(rows)
	}
	c := &Connection[T]{Edges: make([]*Edge[T], len(rows)), PageInfo: &Info{}, count: count}
	for i, r := range rows {
		c.Edges[i] = &Edge[T]{Node: r}
		if ends := i == 0 || i == len(rows)-1; q.cursors == AllCursors || ends && q.cursors == EndCursors {
			v, id := key(r)
			c.Edges[i].Cursor = q.Cursor(v, id)
		}
	}
	if q.Backward {
		c.PageInfo.HasPreviousPage, c.PageInfo.HasNextPage = more, q.HasCursor
	} else {
		c.PageInfo.HasNextPage, c.PageInfo.HasPreviousPage = more, q.HasCursor
	}
	if n := len(c.Edges); n > 0 && q.cursors != NoCursors {
		c.PageInfo.StartCursor, c.PageInfo.EndCursor = &c.Edges[0].Cursor, &c.Edges[n-1].Cursor
	}
	return c
}

// Map is the same page of something else for each row: the same cursors, the
// same count.
func Map[T, U any](c *Connection[T], to func(T) U) *Connection[U] {
	out := &Connection[U]{Edges: make([]*Edge[U], len(c.Edges)), PageInfo: c.PageInfo, count: c.count, exact: c.exact}
	for i, e := range c.Edges {
		out.Edges[i] = &Edge[U]{Node: to(e.Node), Cursor: e.Cursor}
	}
	return out
}
