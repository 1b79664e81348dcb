package desk

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/database/dbtest"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/page"
)

const (
	// few and many are the sizes between which a page of the desk is compared,
	// and goal what it may cost at most in the larger one.
	few  = 1_000
	many = 1_000_000
	goal = 1.3

	reviewer  = ident.ID("usr_00000000000000000000000001")
	colleague = ident.ID("usr_00000000000000000000000002")
	house     = ident.ID("org_00000000000000000000000000")
	company   = ident.ID("org_00000000000000000000000001")
)

// people founds the operator's house with its reviewer, and a company with a
// Global admin, and returns both persons.
func people(tb testing.TB, db *database.DB) (rita, gina access.Actor) {
	tb.Helper()
	now := db.Now()
	exec := func(sql string, args ...any) {
		tb.Helper()
		if _, err := db.Bun().NewRaw(sql, args...).Exec(tb.Context()); err != nil {
			tb.Fatal(err)
		}
	}
	for i, org := range []ident.ID{house, company} {
		exec("INSERT INTO organization (id, kind, name, name_folded, domain, country, locale, created_at, updated_at) VALUES (?, ?, 'O', 'o', ?, 'IT', 'en', ?, ?)",
			org, []access.Kind{access.Operator, access.IndirectReseller}[i], fmt.Sprint(i, ".example"), now, now)
		user := []ident.ID{reviewer, "usr_00000000000000000000000003"}[i]
		exec("INSERT INTO user_account (id, organization_id, email, email_folded, first_name, last_name, name_folded, locale, status, created_at, updated_at) VALUES (?, ?, ?, ?, 'R', 'V', '', 'en', 'ACTIVE', ?, ?)",
			user, org, user, user, now, now)
		exec("INSERT INTO user_role (user_id, role, granted_by, granted_at) VALUES (?, ?, '', ?)", user, []access.Role{access.Reviewer, access.GlobalAdmin}[i], now)
	}
	as := func(user ident.ID) access.Actor {
		a, err := access.Load(tb.Context(), db.Read(), access.Presence{UserID: user})
		if err != nil {
			tb.Fatal(err)
		}
		return a
	}
	return as(reviewer), as("usr_00000000000000000000000003")
}

// fill writes n lines of every kind and state: two thirds are done, a tenth of
// the others is the reviewer's and half is nobody's, some are late, and many
// names begin alike.
func fill(tb testing.TB, db *database.DB, n int) access.Actor {
	tb.Helper()
	rita, _ := people(tb, db)
	stamp := "text"
	if dbtest.PostgresURL() != "" {
		stamp = "timestamptz"
	}
	now := db.Now().Truncate(time.Hour)
	at := func(d time.Duration) string {
		return fmt.Sprintf("CAST('%s' AS %s)", now.Add(d).Format("2006-01-02 15:04:05.999999-07:00"), stamp)
	}
	scattered := fmt.Sprintf("(CAST(i AS bigint) * 7919 %% %d)", n)
	moment := func(of int, from, step time.Duration) string { // few, so that every one has ties
		out := fmt.Sprintf("CASE %s * %d / %d", scattered, of, n)
		for k := range of {
			out += fmt.Sprintf(" WHEN %d THEN %s", k, at(from+time.Duration(k)*step))
		}
		return out + " END"
	}
	const batch = 100_000
	for from := 0; from < n; from += batch {
		_, err := db.Bun().NewRaw(fmt.Sprintf("INSERT INTO desk_item (subject_id, kind, organization_id, company, name_folded, state, assignee_id, queue_at, opened_at, version, updated_at) "+
			"WITH RECURSIVE n(i) AS (SELECT %d UNION ALL SELECT i + 1 FROM n WHERE i < %d) ", 10_000_000+from, 10_000_000+min(from+batch, n)-1) +
			"SELECT 'enr_000000000000000000' || i, CASE i / 7 % 4 WHEN 0 THEN 'ENROLLMENT' WHEN 1 THEN 'PROFILE_UPDATE' WHEN 2 THEN 'SUPPORT_REQUEST' ELSE 'TERMINATION' END, '" + string(company) +
			"', 'C', substr('abcdefghij', i / 20 % 10 + 1, 1) || ' ' || " + scattered + ", CASE WHEN i % 12 < 3 THEN 'OPEN' WHEN i % 12 = 3 THEN 'WAITING' ELSE 'DONE' END" +
			", CASE i / 3 % 10 WHEN 0 THEN '" + string(reviewer) + "' WHEN 1 THEN '" + string(reviewer) + "' WHEN 2 THEN '" + string(colleague) + "' WHEN 3 THEN '" + string(colleague) + "' ELSE '' END, " +
			moment(40, -59*time.Hour, 6*time.Hour) + ", " + moment(20, -480*time.Hour, 24*time.Hour) + ", 1, " + at(0) + " FROM n").Exec(tb.Context())
		if err != nil {
			tb.Fatal(err)
		}
	}
	if _, err := db.Bun().NewRaw("ANALYZE").Exec(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return rita
}

type deskCase struct {
	name   string
	order  *Order
	filter Filter
}

// cases are pages that the operator's people read.
func cases() []deskCase {
	me, nobody, yes, text, rare, other, org := ToMe, ToNobody, true, "C", "c 1", colleague, company
	support := []Kind{SupportRequest}
	return []deskCase{
		{"due next", nil, Filter{}},
		{"mine", nil, Filter{Assigned: &me}},
		{"nobody's", nil, Filter{Assigned: &nobody}},
		{"a colleague's", nil, Filter{AssigneeID: &other}},
		{"breached", nil, Filter{Breached: &yes}},
		{"mine breached", nil, Filter{Assigned: &me, Breached: &yes}},
		{"one kind", nil, Filter{Kind: support}},
		{"nobody's of a kind", nil, Filter{Kind: support, Assigned: &nobody, State: []State{Open}}},
		{"done", &Order{ByOpened, page.Desc}, Filter{State: []State{Done}}},
		{"oldest", &Order{ByOpened, page.Asc}, Filter{}},
		{"mine by name", &Order{ByName, page.Asc}, Filter{Assigned: &me}},
		{"by name backwards", &Order{ByName, page.Desc}, Filter{Kind: support}},
		{"one company", nil, Filter{OrganizationID: &org}},
		{"search", nil, Filter{Search: &text}},
		{"search by name", &Order{ByName, page.Asc}, Filter{Search: &text}},
		{"search oldest", &Order{ByOpened, page.Asc}, Filter{Search: &rare, State: []State{Open, Waiting, Done}}},
	}
}

// BenchmarkDesk reads a page of 10 of the desk among 1,000 lines and among
// 1,000,000 in turn, by the filters and orders that people use, and prints the
// ratio of the medians. Filling the larger one takes minutes. A search that
// matches a thousand times as many lines, in another order than by name, has no
// goal: no index has both, so it reads on until a page is full. Run it on each
// engine:
//
//	go test -run '^$' -bench Desk -benchtime 200x -timeout 30m ./internal/desk
func BenchmarkDesk(b *testing.B) {
	small, large := dbtest.New(b), dbtest.New(b)
	rita := fill(b, small, few)
	fill(b, large, many)
	compare := func(b *testing.B, read func(*database.DB)) float64 {
		took := func(db *database.DB) time.Duration {
			start := time.Now()
			read(db)
			return time.Since(start)
		}
		var one, other []time.Duration
		for b.Loop() {
			one, other = append(one, took(small)), append(other, took(large))
		}
		slices.Sort(one)
		slices.Sort(other)
		s, l := one[len(one)/2], other[len(other)/2]
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(float64(s.Microseconds()), "µs/1000")
		b.ReportMetric(float64(l.Microseconds()), "µs/1000000")
		b.ReportMetric(float64(l)/float64(s), "ratio")
		return float64(l) / float64(s)
	}
	for _, c := range cases() {
		b.Run(strings.ReplaceAll(c.name, " ", "_"), func(b *testing.B) {
			size := 10
			ratio := compare(b, func(db *database.DB) {
				p, err := List(b.Context(), db, rita, page.Args{First: &size}, c.order, c.filter)
				if err != nil || len(p.Edges) != size {
					b.Fatal(len(p.Edges), err)
				}
			})
			if b.N >= 100 && ratio > goal && (c.filter.Search == nil || c.order != nil && c.order.Field == ByName) {
				b.Errorf("a page among %d costs %.2f times one among %d, more than %.1f", many, ratio, few, goal)
			}
		})
	}
	b.Run("counts", func(b *testing.B) {
		compare(b, func(db *database.DB) {
			if _, err := Count(b.Context(), db, rita); err != nil {
				b.Fatal(err)
			}
		})
	})
}

// A page of the desk is one statement, whatever it is filtered and ordered by,
// a searched one two, and reading on from page to page gives the lines of the whole list in order,
// none twice: as computed here by hand.
func TestPages(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	rita := fill(t, db, 5_000)
	var all []*Item
	if err := db.Read().NewSelect().Model(&all).Scan(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases() {
		var want []ident.ID
		for _, i := range ordered(all, c.order) {
			if holds(i, c.filter, db.Now()) {
				want = append(want, i.SubjectID)
			}
		}
		if len(want) == 0 {
			t.Fatalf("%s: finds nothing", c.name)
		}
		for _, backward := range []bool{false, true} {
			var got []ident.ID
			args, size := page.Args{}, 97
			for range 100 {
				args.First, args.Last = &size, nil
				if backward {
					args.First, args.Last = nil, &size
				}
				before := db.Queries()
				p, err := List(t.Context(), db, rita, args, c.order, c.filter)
				if err != nil {
					t.Fatal(c.name, err)
				}
				statements := 1
				if c.filter.Search != nil {
					statements = 2
				}
				if n := db.Queries() - before; int(n) != statements {
					t.Errorf("%s: %d statements", c.name, n)
				}
				ids := make([]ident.ID, len(p.Edges))
				for i, e := range p.Nodes() {
					ids[i] = e.SubjectID
				}
				if backward {
					got = append(ids, got...)
					args.Before = p.PageInfo.StartCursor
				} else {
					got = append(got, ids...)
					args.After = p.PageInfo.EndCursor
				}
				if !backward && !p.PageInfo.HasNextPage || backward && !p.PageInfo.HasPreviousPage {
					n, err := p.TotalCount(context.WithoutCancel(t.Context()))
					if err != nil || n.Value != min(len(want), page.CountCap) {
						t.Errorf("%s: counted %+v, %v; want %d", c.name, n, err, len(want))
					}
					break
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s, backward %t: got %d rows, want %d, or in another order", c.name, backward, len(got), len(want))
			}
		}
	}
}

func ordered(all []*Item, o *Order) []*Item {
	out := slices.Clone(all)
	slices.SortFunc(out, func(a, b *Item) int {
		n := a.QueueAt.Compare(b.QueueAt)
		if o != nil && o.Field == ByName {
			n = strings.Compare(a.NameFolded, b.NameFolded)
		}
		if o != nil && o.Field == ByOpened {
			n = a.OpenedAt.Compare(b.OpenedAt)
		}
		if n == 0 {
			n = strings.Compare(string(a.SubjectID), string(b.SubjectID))
		}
		if o != nil && o.Direction == page.Desc {
			n = -n
		}
		return n
	})
	return out
}

func holds(i *Item, f Filter, now time.Time) bool {
	of := i.AssigneeID
	return slices.Contains(f.kinds(), i.Kind) && slices.Contains(f.states(), i.State) &&
		(f.Assigned == nil || *f.Assigned == ToMe && of == reviewer || *f.Assigned == ToNobody && of == "") &&
		(f.AssigneeID == nil || of == *f.AssigneeID) && (f.Breached == nil || i.Breached(now) == *f.Breached) &&
		(f.Search == nil || strings.HasPrefix(i.NameFolded, strings.ToLower(*f.Search)))
}

// The numbers on the desk are those of its lists, in one statement.
func TestCounts(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	rita := fill(t, db, 2_000)
	var all []*Item
	if err := db.Read().NewSelect().Model(&all).Scan(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := db.Queries()
	got, err := Count(t.Context(), db, rita)
	if n := db.Queries() - before; err != nil || n != 1 || len(got.ByKind) != len(Kinds) {
		t.Fatal(got, n, err)
	}
	now := db.Now()
	for _, c := range append(got.ByKind, got.All) {
		var open, waiting, mine, nobody, late int
		for _, i := range all {
			if i.State == Done || c.Kind != "" && i.Kind != c.Kind {
				continue
			}
			for n, is := range map[*int]bool{&open: i.State == Open, &waiting: i.State == Waiting, &mine: i.AssigneeID == reviewer, &nobody: i.AssigneeID == "", &late: i.Breached(now)} {
				if is {
					*n++
				}
			}
		}
		want := fmt.Sprint([]int{open, waiting, mine, nobody, late})
		if have := fmt.Sprint([]int{c.Open.Value, c.Waiting.Value, c.Mine.Value, c.Unassigned.Value, c.Breached.Value}); have != want {
			t.Errorf("%q: %s, want %s", c.Kind, have, want)
		}
	}
}

// A line follows its subject: it is written once, keeps its beginning, moves
// with its dates, stays late while it waits, and ends.
func TestLine(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	rita, gina := people(t, db)
	begun := db.Now()
	const subject = ident.ID("sup_00000000000000000000000001")
	put := func(state State, due *time.Time) *Item {
		t.Helper()
		if err := db.InTx(t.Context(), func(ctx context.Context, tx *database.Tx) error {
			return Put(ctx, tx, Item{SubjectID: subject, Kind: SupportRequest, OrganizationID: company, Company: "Bianchi S.r.l.", NameFolded: "bianchi",
				State: state, DueAt: due, OpenedAt: tx.Now})
		}); err != nil {
			t.Fatal(err)
		}
		return read(t, db, rita, state)
	}
	soon := begun.Add(time.Hour)
	first := put(Open, &soon)
	if !first.QueueAt.Equal(soon) || first.Version != 1 || first.Breached(begun) || !first.Breached(soon) {
		t.Fatalf("%+v", first)
	}
	if i := put(Waiting, &soon); i.QueueAt.Equal(soon) || i.Version != 2 {
		t.Fatalf("what waits and is not late stands back: %+v", i)
	}
	db.Clock().Advance(2 * time.Hour)
	if i := put(Waiting, &soon); !i.Breached(db.Now()) || !i.OpenedAt.Equal(first.OpenedAt) {
		t.Fatalf("what is late stays so: %+v", i)
	}
	if i := put(Open, nil); i.Breached(db.Now()) || !i.QueueAt.After(begun.Add(far-time.Hour)) {
		t.Fatalf("what has no date follows: %+v", i)
	}
	for range 2 { // twice is no mistake
		if err := db.InTx(t.Context(), func(ctx context.Context, tx *database.Tx) error {
			if err := Rename(ctx, tx, company, "Rossi S.p.A.", "rossi"); err != nil {
				return err
			}
			return Close(ctx, tx, subject)
		}); err != nil {
			t.Fatal(err)
		}
	}
	if i := read(t, db, rita, Done); i.ClosedAt == nil || i.Company != "Rossi S.p.A." || i.Version != 5 {
		t.Fatalf("%+v", i)
	}
	if c, err := List(t.Context(), db, rita, page.Args{}, nil, Filter{}); err != nil || len(c.Edges) != 0 {
		t.Fatal("what is done is shown on demand", c, err)
	}
	if i := put(Open, nil); i.ClosedAt != nil || i.Company != "Bianchi S.r.l." {
		t.Fatalf("a line can begin again: %+v", i)
	}

	// Nobody but the operator has a desk.
	for _, who := range []access.Actor{gina, access.Anonymous("en", "")} {
		if _, err := List(t.Context(), db, who, page.Args{}, nil, Filter{}); err == nil {
			t.Error(who.Kind, "reads the desk")
		}
		if _, err := Count(t.Context(), db, who); err == nil {
			t.Error(who.Kind, "counts the desk")
		}
	}
	long := strings.Repeat("x", maxSearch+1)
	if _, err := List(t.Context(), db, rita, page.Args{}, nil, Filter{Search: &long}); !fault.Is(err, fault.CodeTooLong) {
		t.Error(err)
	}
}

// read is the only line in a state.
func read(t *testing.T, db *database.DB, who access.Actor, state State) *Item {
	t.Helper()
	c, err := List(t.Context(), db, who, page.Args{}, nil, Filter{State: []State{state}})
	if err != nil || len(c.Edges) != 1 {
		t.Fatal(c, err)
	}
	return c.Edges[0].Node
}
