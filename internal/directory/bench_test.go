package directory

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/calendar"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/database/dbtest"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/internal/page"
	"github.com/channelgraph/channelgraph/internal/sla"
)

const (
	// few and many are the sizes between which a page of the queue is
	// compared, and goal what it may cost at most in the larger one.
	few  = 1_000
	many = 1_000_000
	goal = 1.3

	queueReviewer = ident.ID("usr_00000000000000000000000001")
)

// fillQueue writes n requests of as many providers in every status, half of
// them in review: of those every fifth is the reviewer's own and half are
// nobody's, some are overdue. It returns the reviewer.
func fillQueue(tb testing.TB, db *database.DB, n int) access.Actor {
	tb.Helper()
	ctx := tb.Context()
	exec := func(sql string, args ...any) {
		tb.Helper()
		if _, err := db.Bun().NewRaw(sql, args...).Exec(ctx); err != nil {
			tb.Fatal(err)
		}
	}
	stamp, open := "text", "'"
	if dbtest.PostgresURL() != "" {
		stamp, open = "timestamptz", "jsonb '"
	}
	now := db.Now().Truncate(time.Hour)
	format := func(d time.Duration) string { return now.Add(d).Format("2006-01-02 15:04:05.999999-07:00") }
	at := func(d time.Duration) string { return fmt.Sprintf("CAST('%s' AS %s)", format(d), stamp) }
	exec("INSERT INTO organization (id, kind, name, name_folded, domain, country, locale, created_at, updated_at) VALUES (?, 'OPERATOR', 'House', 'house', 'house.example', 'IT', 'en', ?, ?)",
		"org_00000000000000000000000000", now, now)
	exec("INSERT INTO user_account (id, organization_id, email, email_folded, first_name, last_name, name_folded, locale, status, created_at, updated_at) VALUES (?, ?, 'rita@house.example', 'rita@house.example', 'Rita', 'Verdi', '', 'en', 'ACTIVE', ?, ?)",
		queueReviewer, "org_00000000000000000000000000", now, now)
	exec("INSERT INTO user_role (user_id, role, granted_by, granted_at) VALUES (?, 'REVIEWER', '', ?)", queueReviewer, now)
	// ids count up from 10000000; the places of the rows in their other orders
	// are scattered by a factor without a common divisor.
	rows := func(from, to int) string {
		return fmt.Sprintf("WITH RECURSIVE n(i) AS (SELECT %d UNION ALL SELECT i + 1 FROM n WHERE i < %d) ", 10_000_000+from, 10_000_000+to-1)
	}
	id := func(prefix string) string { return "'" + prefix + "_000000000000000000' || i" }
	scattered := fmt.Sprintf("(CAST(i AS bigint) * 7919 %% %d)", n)
	// moments are few, so that every one has ties
	pick := func(n40 int, of func(k int) string) string {
		out := fmt.Sprintf("CASE %s * %d / %d", scattered, n40, n)
		for k := range n40 {
			out += fmt.Sprintf(" WHEN %d THEN %s", k, of(k))
		}
		return out + " END"
	}
	moment := pick(40, func(k int) string { return at(time.Duration(k)*6*time.Hour - 17*time.Hour) })
	begun := pick(20, func(k int) string { return at(-time.Duration(k+1) * day) })
	clock := fmt.Sprintf(`{"unit":"CALENDAR_DAYS","target":%d,"due":%d,"runs":[{"from":"%s"}]}`, Target, Due, now.Add(-day).Format(time.RFC3339))
	const status = "CASE i % 20 WHEN 10 THEN 'SUBMITTED' WHEN 11 THEN 'SUBMITTED' WHEN 12 THEN 'WAITING_FOR_PARTNER' WHEN 13 THEN 'APPROVED' WHEN 14 THEN 'PUBLISHED' WHEN 15 THEN 'PUBLISHED' WHEN 16 THEN 'PUBLISHED' WHEN 17 THEN 'REJECTED' WHEN 18 THEN 'REJECTED' WHEN 19 THEN 'WITHDRAWN' ELSE 'IN_REVIEW' END"
	const batch = 100_000
	for from := 0; from < n; from += batch {
		with := rows(from, min(from+batch, n))
		exec("INSERT INTO organization (id, kind, name, name_folded, domain, country, locale, created_at, updated_at) " + with +
			"SELECT " + id("org") + ", 'INDIRECT_PROVIDER', 'Company ' || i, 'company ' || i, 'c' || i || '.example', 'IT', 'en', " + at(0) + ", " + at(0) + " FROM n")
		exec("INSERT INTO partner (id, organization_id, kind, status, programme_id, legal_name, legal_name_folded, tenant_domain, registrable_domain, registration_id, registration_id_folded, website, country, region, currency, agreement_version, version, created_at, updated_at) " + with +
			"SELECT " + id("par") + ", " + id("org") + ", 'INDIRECT_PROVIDER', 'ACTIVE', CAST(i AS text), 'Company ' || i, 'company ' || i, 'c' || i || '.example', 'c' || i || '.example', '', '', '', 'IT', 'EUROPE', 'EUR', '1', 1, " +
			at(0) + ", " + at(0) + " FROM n")
		exec("INSERT INTO profile_update (id, partner_id, organization_id, company, status, changes, clock, target_at, due_at, queue_at, created_by_id, assignee_id, entries, version, created_at, updated_at) " + with +
			"SELECT " + id("pup") + ", " + id("par") + ", " + id("org") + ", 'Company ' || i, " + status + ", " + open + "[]', " + open + clock + "', " + moment + ", " + moment +
			", CASE WHEN i % 20 < 12 OR i % 20 = 13 THEN " + moment + " WHEN i % 20 = 12 THEN " + at(far) + " ELSE " + at(2*far) + " END, '', CASE i / 3 % 10 WHEN 0 THEN '" + string(queueReviewer) +
			"' WHEN 1 THEN '" + string(queueReviewer) + "' WHEN 2 THEN 'usr_2' WHEN 3 THEN 'usr_3' WHEN 4 THEN 'usr_4' ELSE '' END, 0, 1, " + begun + ", " + at(0) + " FROM n")
	}
	exec("ANALYZE")
	actor, err := access.Load(ctx, db.Read(), access.Presence{UserID: queueReviewer})
	if err != nil {
		tb.Fatal(err)
	}
	return actor
}

type queueCase struct {
	name   string
	order  *Order
	filter Filter
}

// queueCases are pages that reviewers read.
func queueCases(now time.Time) []queueCase {
	me, nobody, anybody, yes, no, soon, other := AssignedToMe, AssignedToNo, AssignedToAny, true, false, now.Add(2*day), ident.ID("usr_3")
	review := []Status{InReview}
	return []queueCase{
		{"all", nil, Filter{}},
		{"in review", nil, Filter{Status: review}},
		{"open", nil, Filter{Status: []Status{Submitted, InReview, Waiting, Approved}}},
		{"mine", nil, Filter{Assigned: &me}},
		{"mine in review", nil, Filter{Assigned: &me, Status: review}},
		{"nobody's in review", nil, Filter{Assigned: &nobody, Status: review}},
		{"somebody's in review", nil, Filter{Assigned: &anybody, Status: review}},
		{"another's", nil, Filter{AssigneeID: &other}},
		{"due soon", nil, Filter{DueBefore: &soon}},
		{"breached", nil, Filter{Breached: &yes}},
		{"in time", nil, Filter{Breached: &no}},
		{"newest", &Order{ByCreated, page.Desc}, Filter{}},
		{"newest of two kinds", &Order{ByCreated, page.Desc}, Filter{Status: []Status{Rejected, Published}}},
		{"mine newest", &Order{ByCreated, page.Desc}, Filter{Assigned: &me}},
	}
}

// BenchmarkQueue reads a page of 20 of the reviewers' queue among 1,000
// requests and among 1,000,000 in turn, by the filters and orders that they
// use, and prints the ratio of the medians. Filling the larger one takes
// minutes. Run it on each engine:
//
//	go test -run '^$' -bench Queue -benchtime 200x -timeout 30m ./internal/directory
func BenchmarkQueue(b *testing.B) {
	small, large := dbtest.New(b), dbtest.New(b)
	rita := fillQueue(b, small, few)
	fillQueue(b, large, many)
	of := func(db *database.DB) *Service { return &Service{db: db, calendars: calendar.New(db, nil)} }
	one, other := of(small), of(large)
	for _, c := range queueCases(small.Now()) {
		b.Run(strings.ReplaceAll(c.name, " ", "_"), func(b *testing.B) {
			size := 20
			read := func(s *Service) time.Duration {
				start := time.Now()
				page, err := s.List(b.Context(), rita, page.Args{First: &size}, c.order, c.filter)
				took := time.Since(start)
				if err != nil || len(page.Edges) != size {
					b.Fatal(len(page.Edges), err)
				}
				return took
			}
			var in, among []time.Duration
			for b.Loop() {
				in, among = append(in, read(one)), append(among, read(other))
			}
			slices.Sort(in)
			slices.Sort(among)
			s, l := in[len(in)/2], among[len(among)/2]
			ratio := float64(l) / float64(s)
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(s.Microseconds()), "µs/1000")
			b.ReportMetric(float64(l.Microseconds()), "µs/1000000")
			b.ReportMetric(ratio, "ratio")
			if len(in) >= 100 && ratio > goal {
				b.Errorf("a page among %d costs %.2f times one among %d, more than %.1f", many, ratio, few, goal)
			}
		})
	}
}

// A page of the queue is two statements, its rows and the calendar, whatever
// it is filtered and ordered by, and reading on from page to page gives the
// rows of the whole list in order, none twice: as computed here by hand.
func TestQueue(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	rita := fillQueue(t, db, 2_000)
	s := &Service{db: db, calendars: calendar.New(db, nil)}
	if _, err := s.calendars.Current(t.Context(), db.Read()); err != nil { // read once
		t.Fatal(err)
	}
	var all []*Request
	if err := db.Read().NewSelect().Model(&all).Scan(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, c := range queueCases(db.Now()) {
		var want []ident.ID
		for _, r := range ordered(all, c.order) {
			if holds(r, c.filter, db.Now()) {
				want = append(want, r.ID)
			}
		}
		if len(want) == 0 {
			t.Fatalf("%s: finds nothing", c.name)
		}
		for _, backward := range []bool{false, true} {
			var got []ident.ID
			args, size := page.Args{}, 33
			for range 100 {
				args.First, args.Last = &size, nil
				if backward {
					args.First, args.Last = nil, &size
				}
				before := db.Queries()
				p, err := s.List(t.Context(), rita, args, c.order, c.filter)
				if err != nil {
					t.Fatal(c.name, err)
				}
				if n := db.Queries() - before; n != 2 {
					t.Errorf("%s: %d statements", c.name, n)
				}
				ids := make([]ident.ID, len(p.Edges))
				for i, r := range p.Nodes() {
					ids[i] = r.ID
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

func ordered(all []*Request, o *Order) []*Request {
	out := slices.Clone(all)
	slices.SortFunc(out, func(a, b *Request) int {
		n := a.QueueAt.Compare(b.QueueAt)
		if o != nil && o.Field == ByCreated {
			n = a.CreatedAt.Compare(b.CreatedAt)
		}
		if n == 0 {
			n = strings.Compare(string(a.ID), string(b.ID))
		}
		if o != nil && o.Direction == page.Desc {
			n = -n
		}
		return n
	})
	return out
}

func holds(r *Request, f Filter, now time.Time) bool {
	worked := r.Status == Submitted || r.Status == InReview || r.Status == Approved
	if len(f.Status) > 0 && !slices.Contains(f.Status, r.Status) || f.AssigneeID != nil && r.AssigneeID != *f.AssigneeID {
		return false
	}
	if f.Assigned != nil {
		switch *f.Assigned {
		case AssignedToMe:
			if r.AssigneeID != queueReviewer {
				return false
			}
		case AssignedToNo:
			if r.AssigneeID != "" {
				return false
			}
		case AssignedToAny:
			if r.AssigneeID == "" {
				return false
			}
		}
	}
	if f.DueBefore != nil && (!worked || !r.DueAt.Before(*f.DueBefore)) {
		return false
	}
	return f.Breached == nil || worked && *f.Breached == !r.DueAt.After(now)
}

// What one party lists is its own; the operator lists all.
func TestListIsTheOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gina, a := w.renamed("Acme")
	beta, b := w.renamed("Beta")
	list := func(who access.Actor, f Filter) []ident.ID {
		t.Helper()
		c, err := w.List(t.Context(), who, page.Args{}, nil, f)
		if err != nil {
			t.Fatal(err)
		}
		ids := []ident.ID{}
		for _, r := range c.Nodes() {
			if r.Promise.State == nil || *r.Promise.State != sla.OnTrack || r.Promise.DueAt == nil {
				t.Errorf("%s is listed without its promise", r.ID)
			}
			ids = append(ids, r.ID)
		}
		return ids
	}
	for name, c := range map[string]struct {
		who  access.Actor
		f    Filter
		want []ident.ID
	}{
		"one":                   {gina, Filter{}, []ident.ID{a.ID}},
		"the other":             {beta, Filter{}, []ident.ID{b.ID}},
		"one asks of the other": {gina, Filter{PartnerID: &b.PartnerID}, []ident.ID{}},
		"the operator":          {w.rita, Filter{}, []ident.ID{a.ID, b.ID}},
		"the operator of one":   {w.rita, Filter{PartnerID: &a.PartnerID}, []ident.ID{a.ID}},
	} {
		if got := list(c.who, c.f); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v", name, got)
		}
	}
	both := []ident.ID{a.ID, b.ID}
	for who, n := range map[*access.Actor]int{&gina: 1, &w.rita: 2, ptr(access.Anonymous("en", "")): 0} {
		rs, err := w.ByIDs(t.Context(), *who, both)
		ns, err2 := w.Timeline(t.Context(), *who, both)
		open, err3 := w.OpenOf(t.Context(), *who, []ident.ID{a.PartnerID, b.PartnerID})
		if len(rs) != n || len(ns) != n || len(open) != n || err != nil || err2 != nil || err3 != nil {
			t.Errorf("%s finds %d, %d, %d, %v", who.Name, len(rs), len(ns), len(open), err)
		}
	}
	me := AssignedToMe
	if _, err := w.List(t.Context(), gina, page.Args{}, nil, Filter{Assigned: &me}); problems(err) != "ROLE_REQUIRED" {
		t.Errorf("got %v", err)
	}
}

// BenchmarkHoliday adds a holiday while 5,000 clocks run:
//
//	go test -run '^$' -bench Holiday -benchtime 1x -timeout 30m ./internal/directory
func BenchmarkHoliday(b *testing.B) {
	for b.Loop() {
		moveClocks(b, 7_700)
	}
}

// One job moves all running promises, batch by batch, and tells how far it is.
func TestHolidayInBulk(t *testing.T) {
	t.Parallel()
	moveClocks(t, 1_700)
}

// moveClocks adds a holiday among n requests, of which 13 in 20 run.
func moveClocks(tb testing.TB, n int) {
	tb.Helper()
	db := dbtest.New(tb)
	rita := fillQueue(tb, db, n)
	if _, err := db.Bun().NewRaw("INSERT INTO user_role (user_id, role, granted_by, granted_at) VALUES (?, 'OPERATOR_ADMIN', '', ?)", rita.UserID, db.Now()).Exec(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	chief, err := access.Load(tb.Context(), db.Read(), access.Presence{UserID: rita.UserID})
	if err != nil {
		tb.Fatal(err)
	}
	s := &Service{db: db, calendars: calendar.New(db, nil)}
	var seen []string
	s.calendars.OnChange("profile_update", func(ctx context.Context, tx *database.Tx, c *sla.Calendar, after ident.ID, limit int) (ident.ID, int, error) {
		last, n, err := s.movePromises(ctx, tx, c, after, limit)
		tx.AfterCommit(func() {
			cal, err := s.calendars.Find(context.WithoutCancel(ctx), chief)
			if err != nil {
				tb.Error(err)
				return
			}
			m, err := s.calendars.LastMove(context.WithoutCancel(ctx), chief, cal)
			if err != nil || m == nil || m.Total == nil {
				tb.Error(m, err)
				return
			}
			seen = append(seen, fmt.Sprint(m.Moved, " of ", *m.Total))
		})
		return last, n, err
	}, countRunning)
	begun := db.Now().Truncate(time.Hour).Add(-day)
	if _, _, err := s.calendars.AddHoliday(tb.Context(), chief, calendar.AddHolidayInput{Date: begun.Add(4 * day).Format(time.DateOnly), Name: "Day of rest"}); err != nil {
		tb.Fatal(err)
	}
	c, err := outbox.Claim(tb.Context(), db, 10)
	if err != nil || len(c.Jobs) != 1 {
		tb.Fatal(c, err)
	}
	run, err := outbox.Begin(tb.Context(), db, c.Jobs[0].ID, c.Jobs[0].Generation, "test", time.Hour)
	if err != nil || run == nil {
		tb.Fatal(run, err)
	}
	cal, err := s.calendars.Find(tb.Context(), chief)
	if err != nil {
		tb.Fatal(err)
	}
	if err := s.calendars.MovePromises(tb.Context(), run, calendar.MovePromises{Version: cal.Version}); err != nil {
		tb.Fatal(err)
	}
	running := n * 13 / 20
	var want []string
	for done := 500; ; done += 500 {
		want = append(want, fmt.Sprint(min(done, running), " of ", running))
		if done > running {
			break
		}
	}
	if !slices.Equal(seen, want) {
		tb.Errorf("its progress was %v, want %v", seen, want)
	}
	moved, err := db.Read().NewSelect().Model((*Request)(nil)).Where("due_at = ? AND target_at = ? AND queue_at = due_at", begun.Add(22*day), begun.Add(15*day)).Count(tb.Context())
	if err != nil || int(moved) != running {
		tb.Errorf("%d were moved, want %d, %v", moved, running, err)
	}
	timers, err := db.Read().NewSelect().Model((*outbox.Job)(nil)).Where("kind = 'directory.look' AND state = 'pending' AND due_at = ?", begun.Add(8*day)).Count(tb.Context())
	if err != nil || int(timers) != running {
		tb.Errorf("%d timers ring anew, want %d, %v", timers, running, err)
	}
}
