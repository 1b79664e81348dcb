package page

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
)

func ptr[T any](v T) *T { return &v }

const someID = ident.ID("inv_00000000000000000000000001")

var (
	byName = Order{Name: "NAME", Column: "t.name", Sort: SortText}
	byTime = Order{Name: "AT", Column: "t.at", Sort: SortTime, Direction: Desc}
	byRank = Order{Name: "RANK", Column: "t.rank", Sort: SortInt, Direction: Asc}
)

func TestResolveSizesAndDirections(t *testing.T) {
	t.Parallel()
	q0, err := Args{}.Resolve(byName, nil)
	if err != nil {
		t.Fatal(err)
	}
	cur := q0.Cursor("m", someID)
	for name, c := range map[string]struct {
		args     Args
		field    string // of the problem, "" for none
		code     string
		limit    int
		backward bool
	}{
		"nothing":           {Args{}, "", "", DefaultSize, false},
		"first 1":           {Args{First: ptr(1)}, "", "", 1, false},
		"first max":         {Args{First: ptr(MaxSize)}, "", "", MaxSize, false},
		"first 0":           {Args{First: ptr(0)}, "first", "PAGE_SIZE", 0, false},
		"first negative":    {Args{First: ptr(-1)}, "first", "PAGE_SIZE", 0, false},
		"first over max":    {Args{First: ptr(MaxSize + 1)}, "first", "PAGE_SIZE", 0, false},
		"last 1":            {Args{Last: ptr(1)}, "", "", 1, true},
		"last max":          {Args{Last: ptr(MaxSize)}, "", "", MaxSize, true},
		"last 0":            {Args{Last: ptr(0)}, "last", "PAGE_SIZE", 0, false},
		"last over max":     {Args{Last: ptr(MaxSize + 1)}, "last", "PAGE_SIZE", 0, false},
		"first and last":    {Args{First: ptr(1), Last: ptr(1)}, "first", "FIRST_AND_LAST", 0, false},
		"first and before":  {Args{First: ptr(1), Before: &cur}, "before", "FIRST_AND_LAST", 0, false},
		"before alone":      {Args{Before: &cur}, "before", "FIRST_AND_LAST", 0, false},
		"last and after":    {Args{Last: ptr(1), After: &cur}, "after", "FIRST_AND_LAST", 0, false},
		"first after":       {Args{First: ptr(2), After: &cur}, "", "", 2, false},
		"after alone":       {Args{After: &cur}, "", "", DefaultSize, false},
		"last before":       {Args{Last: ptr(2), Before: &cur}, "", "", 2, true},
		"after, empty text": {Args{After: ptr("")}, "cursor", fault.CodeBadCursor, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q, err := c.args.Resolve(byName, nil)
			if c.field != "" {
				f := fault.As(err)
				if f == nil || f.Kind != fault.KindInvalid || len(f.Problems) != 1 {
					t.Fatalf("got %v", err)
				}
				if p := f.Problems[0]; p.Path[0] != c.field || p.Code != c.code {
					t.Errorf("got %v %s, want %s %s", p.Path, p.Code, c.field, c.code)
				}
				if c.code != fault.CodeBadCursor && f.Code != fault.CodeBadUserInput {
					t.Errorf("the fault's code is %s", f.Code)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if q.Limit != c.limit || q.Backward != c.backward || q.Reversed() != c.backward || q.Descending() != c.backward {
				t.Errorf("got %+v", q)
			}
			if q.HasCursor != (c.args.After != nil || c.args.Before != nil) {
				t.Errorf("has a cursor: %t", q.HasCursor)
			}
			if q.HasCursor && (q.Value != "m" || q.ID != someID) {
				t.Errorf("starts beyond %v, %s", q.Value, q.ID)
			}
		})
	}
}

func TestCursorKeepsItsTypeToTheMicrosecond(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 29, 2, 30, 0, 123456000, time.FixedZone("CEST", 7200))
	for _, c := range []struct {
		order Order
		in    any
		out   any
	}{
		{byName, "Ünïcode \"quoted\"\n", "Ünïcode \"quoted\"\n"},
		{byName, "", ""},
		{byTime, at, at.UTC()},
		{byRank, 7, int64(7)},
		{byRank, int64(-1 << 62), int64(-1 << 62)},
	} {
		q, _ := Args{}.Resolve(c.order, nil)
		got, err := Args{After: ptr(q.Cursor(c.in, someID))}.Resolve(c.order, nil)
		if err != nil || got.Value != c.out {
			t.Errorf("%v came back as %v, %v", c.in, got.Value, err)
		}
	}
}

func TestCursorIsBoundToOrderAndFilter(t *testing.T) {
	t.Parallel()
	type filter struct{ Status []string }
	open := filter{[]string{"OPEN"}}
	q, _ := Args{}.Resolve(byName, open)
	good := q.Cursor("m", someID)
	if _, err := (Args{After: &good}).Resolve(byName, open); err != nil {
		t.Fatal(err)
	}
	if _, err := (Args{Last: ptr(5), Before: &good}).Resolve(byName, open); err != nil {
		t.Errorf("one cursor serves both directions: %v", err)
	}
	text := func(v any) string { return fmt.Sprintf("%q", v) }
	forged := func(body string) string { return base64.RawURLEncoding.EncodeToString([]byte(body)) }
	whole := `{"v":%s,"o":%s,"f":%s,"s":%s,"i":%s}`
	same := []any{"1", `"NAME ASC"`, text(q.filter), `"m"`, text(someID)}
	with := func(i int, v string) string {
		parts := slices.Clone(same)
		parts[i] = v
		return forged(fmt.Sprintf(whole, parts...))
	}
	if with(0, "1") != good {
		t.Fatal("the forger does not know the cursor's form")
	}
	for name, c := range map[string]struct {
		cursor string
		order  Order
		filter any
	}{
		"other ordering":       {good, byRank, open},
		"other direction":      {good, Order{Name: "NAME", Sort: SortText, Direction: Desc}, open},
		"other filter":         {good, byName, filter{[]string{"CLOSED"}}},
		"no filter":            {good, byName, nil},
		"of no filter":         {Query{Order: Order{Name: "NAME", Direction: Asc}}.Cursor("m", someID), byName, open},
		"not base64":           {good + "!", byName, open},
		"padded":               {good + "==", byName, open},
		"cut":                  {good[:len(good)-3], byName, open},
		"no JSON":              {forged("m"), byName, open},
		"JSON of another kind": {forged(`["m"]`), byName, open},
		"null":                 {forged(`null`), byName, open},
		"other version":        {with(0, "2"), byName, open},
		"number for text":      {with(3, "7"), byName, open},
		"object for text":      {with(3, `{"a":1}`), byName, open},
		"no value":             {forged(`{"v":1,"o":"NAME ASC","f":` + text(q.filter) + `,"i":` + text(someID) + `}`), byName, open},
		"null value":           {with(3, "null"), byName, open},
		"no id":                {with(4, `""`), byName, open},
		"malformed id":         {with(4, `"inv_1' OR '1'='1"`), byName, open},
		"overlong":             {strings.Repeat("A", 2049), byName, open},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Args{After: &c.cursor}.Resolve(c.order, c.filter)
			if !fault.Is(err, fault.CodeBadCursor) || fault.KindOf(err) != fault.KindInvalid {
				t.Errorf("got %v", err)
			}
		})
	}
	for _, micros := range []string{"9223372036854775807", "-9223372036854775808", "-62135596800000001"} { // no engine stores these years
		q, _ := Args{}.Resolve(byTime, nil)
		cur := forged(fmt.Sprintf(whole, "1", text(q.orderName()), `""`, micros, text(someID)))
		if _, err := (Args{After: &cur}).Resolve(byTime, nil); !fault.Is(err, fault.CodeBadCursor) {
			t.Errorf("%s: %v", micros, err)
		}
	}
	for _, o := range []Order{byTime, byRank} {
		for _, v := range []string{`"m"`, `1.5`, `true`, `[1]`, `9223372036854775808`, `null`} {
			q, _ := Args{}.Resolve(o, nil)
			cur := forged(fmt.Sprintf(whole, "1", text(q.orderName()), `""`, v, text(someID)))
			if _, err := (Args{After: &cur}).Resolve(o, nil); !fault.Is(err, fault.CodeBadCursor) {
				t.Errorf("%s takes %s: %v", o.Name, v, err)
			}
		}
	}
}

func TestCapped(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]Count{0: {0, Exact}, 1: {1, Exact}, CountCap: {CountCap, Exact}, CountCap + 1: {CountCap, AtLeast}} {
		if got := Capped(n); got != want {
			t.Errorf("%d: got %v", n, got)
		}
	}
	c := Build(Query{Limit: 1}, []int{1, 2}, func(int) (any, ident.ID) { return 1, someID }, func(context.Context) (int, error) { return 1001, nil })
	if n, err := c.TotalCount(t.Context()); err != nil || n.Precision != AtLeast {
		t.Errorf("got %v, %v", n, err)
	}
	if nodes := c.Nodes(); len(nodes) != 1 || nodes[0] != 1 {
		t.Errorf("got %v", nodes)
	}
	empty := Build(Query{Limit: 1}, []int(nil), func(int) (any, ident.ID) { return 1, someID }, nil)
	if empty.PageInfo.StartCursor != nil || empty.PageInfo.EndCursor != nil || len(empty.Edges) != 0 || empty.Edges == nil {
		t.Errorf("got %+v", empty)
	}
}

// row is one of a list that the oracle knows as a whole.
type row struct {
	rank int
	id   ident.ID
}

func compare(a, b row) int { return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.id, b.id)) }

// store reads a page as the SQL of database.Keyset does.
func store(all []row, q Query) []row {
	rows := slices.Clone(all)
	slices.SortFunc(rows, compare)
	if q.Descending() {
		slices.Reverse(rows)
	}
	if q.HasCursor {
		at := row{int(q.Value.(int64)), q.ID}
		rows = slices.DeleteFunc(rows, func(r row) bool {
			if q.Descending() {
				return compare(r, at) >= 0
			}
			return compare(r, at) <= 0
		})
	}
	return rows[:min(len(rows), q.Limit+1)]
}

func key(r row) (any, ident.ID) { return r.rank, r.id }

func TestBuildAgainstTheWholeList(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		ranks := rapid.SliceOfN(rapid.IntRange(-2, 3), 0, 40).Draw(t, "ranks")
		all := make([]row, len(ranks))
		for i, r := range ranks {
			all[i] = row{r, ident.ID(fmt.Sprintf("inv_%026d", i))}
		}
		order := Order{Name: "RANK", Sort: SortInt, Direction: rapid.SampledFrom([]Direction{Asc, Desc}).Draw(t, "direction")}
		whole := slices.Clone(all)
		slices.SortFunc(whole, compare)
		if order.Direction == Desc {
			slices.Reverse(whole)
		}
		size := rapid.IntRange(1, 12).Draw(t, "size")
		backward := rapid.Bool().Draw(t, "backward")
		at := rapid.IntRange(-1, len(whole)-1).Draw(t, "cursor") // -1 for none
		args, to := Args{}, len(whole)
		var from int
		var cursor *string
		if at >= 0 {
			q, _ := Args{}.Resolve(order, nil)
			cursor = ptr(q.Cursor(whole[at].rank, whole[at].id))
		}
		if backward {
			args.Last, args.Before = &size, cursor
			if at >= 0 {
				to = at
			}
			from = max(0, to-size)
		} else {
			args.First, args.After = &size, cursor
			from = at + 1
			to = min(to, from+size)
		}
		q, err := args.Resolve(order, nil)
		if err != nil {
			t.Fatal(err)
		}
		c := Build(q, store(all, q), key, nil)
		if got := c.Nodes(); !slices.Equal(got, whole[from:to]) {
			t.Fatalf("got %v, want %v", got, whole[from:to])
		}
		if want := from > 0; c.PageInfo.HasPreviousPage != want {
			t.Fatalf("has previous page: %t", !want)
		}
		if want := to < len(whole); c.PageInfo.HasNextPage != want {
			t.Fatalf("has next page: %t", !want)
		}
		if n := len(c.Edges); n > 0 && (*c.PageInfo.StartCursor != c.Edges[0].Cursor || *c.PageInfo.EndCursor != c.Edges[n-1].Cursor) {
			t.Fatal("the page's cursors are not those of its ends")
		}
	})
}

// Walking a list page by page, while rows that are not on the way come and
// go, shows every row once.
func TestWalkShowsEveryRowOnce(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		ranks := rapid.SliceOfN(rapid.IntRange(0, 3), 0, 40).Draw(t, "ranks")
		all := make([]row, len(ranks))
		for i, r := range ranks {
			all[i] = row{r, ident.ID(fmt.Sprintf("inv_%026d", i))}
		}
		order := Order{Name: "RANK", Sort: SortInt, Direction: Desc}
		backward := rapid.Bool().Draw(t, "backward")
		var seen []row
		var cur *string
		for n := 0; ; n++ {
			if n > len(all) {
				t.Fatal("the walk does not end")
			}
			size := rapid.IntRange(1, 9).Draw(t, "size")
			args := Args{First: &size, After: cur}
			if backward {
				args = Args{Last: &size, Before: cur}
			}
			q, err := args.Resolve(order, nil)
			if err != nil {
				t.Fatal(err)
			}
			c := Build(q, store(all, q), key, nil)
			nodes := c.Nodes()
			if backward {
				seen = append(nodes, seen...)
			} else {
				seen = append(seen, nodes...)
			}
			more := c.PageInfo.HasNextPage
			cur = c.PageInfo.EndCursor
			if backward {
				more, cur = c.PageInfo.HasPreviousPage, c.PageInfo.StartCursor
			}
			if !more {
				break
			}
		}
		slices.SortFunc(all, compare)
		slices.Reverse(all)
		if !slices.Equal(seen, all) {
			t.Fatalf("got %v, want %v", seen, all)
		}
	})
}

func TestCursorsAreWrittenAsTheyAreRead(t *testing.T) {
	t.Parallel()
	q, _ := Args{}.Resolve(byName, struct{ Status string }{"OPEN"})
	rapid.Check(t, func(t *rapid.T) {
		for _, v := range []any{rapid.String().Draw(t, "text"), rapid.Int64().Draw(t, "number"), rapid.StringOf(rapid.RuneFrom([]rune("a\"\\<>&/ ~\x7fé\n"))).Draw(t, "special")} {
			s, _ := json.Marshal(v)
			want, _ := json.Marshal(cursor{V: 1, O: q.orderName(), F: q.filter, S: s, I: someID})
			if got, _ := base64.RawURLEncoding.DecodeString(q.Cursor(v, someID)); string(got) != string(want) {
				t.Fatalf("%s, but JSON is %s", got, want)
			}
		}
	})
}
