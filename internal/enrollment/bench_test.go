package enrollment

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
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/page"
)

const (
	// few and many are the sizes between which a page of the queue is
	// compared, and goal what it may cost at most in the larger one.
	few  = 1_000
	many = 1_000_000
	goal = 1.3

	queueReviewer = ident.ID("usr_00000000000000000000000001")
)

// fillQueue writes n enrollments in every status, half of them in review, with
// their checks: of those in review every fifth is the reviewer's own and half
// are nobody's, half are of one country, some of them are overdue, and
// the names of a tenth begin alike. It returns the reviewer.
func fillQueue(tb testing.TB, db *database.DB, n int) access.Actor {
	tb.Helper()
	ctx := tb.Context()
	exec := func(sql string, args ...any) {
		tb.Helper()
		if _, err := db.Bun().NewRaw(sql, args...).Exec(ctx); err != nil {
			tb.Fatal(err)
		}
	}
	stamp := "text"
	if dbtest.PostgresURL() != "" {
		stamp = "timestamptz"
	}
	json := func(v string) string {
		if dbtest.PostgresURL() != "" {
			return "CAST('" + v + "' AS jsonb)"
		}
		return "'" + v + "'"
	}
	now := db.Now().Truncate(time.Hour)
	at := func(d time.Duration) string {
		return fmt.Sprintf("CAST('%s' AS %s)", now.Add(d).Format("2006-01-02 15:04:05.999999-07:00"), stamp)
	}
	exec("INSERT INTO organization (id, kind, name, name_folded, domain, country, locale, created_at, updated_at) VALUES (?, 'OPERATOR', 'House', 'house', 'house.example', 'IT', 'en', ?, ?)",
		"org_00000000000000000000000000", now, now)
	exec("INSERT INTO user_account (id, organization_id, email, email_folded, first_name, last_name, name_folded, locale, status, created_at, updated_at) VALUES (?, ?, 'rita@house.example', 'rita@house.example', 'Rita', 'Verdi', '', 'en', 'ACTIVE', ?, ?)",
		queueReviewer, "org_00000000000000000000000000", now, now)
	exec("INSERT INTO user_role (user_id, role, granted_by, granted_at) VALUES (?, 'REVIEWER', '', ?)", queueReviewer, now)
	// ids count up from 10000000; the places of the rows in their other
	// orders are scattered by a factor without a common divisor.
	rows := func(from, to int) string {
		return fmt.Sprintf("WITH RECURSIVE n(i) AS (SELECT %d UNION ALL SELECT i + 1 FROM n WHERE i < %d) ", 10_000_000+from, 10_000_000+to-1)
	}
	id := func(prefix string) string { return "'" + prefix + "_000000000000000000' || i" }
	scattered := fmt.Sprintf("(CAST(i AS bigint) * 7919 %% %d)", n)
	// moments are few, so that every one has ties
	moment := "CASE " + scattered + " * 40 / " + fmt.Sprint(n)
	for k := range 40 {
		moment += fmt.Sprintf(" WHEN %d THEN %s", k, at(time.Duration(k)*6*time.Hour-17*time.Hour))
	}
	moment += " END"
	begun := "CASE " + scattered + " * 20 / " + fmt.Sprint(n)
	for k := range 20 {
		begun += fmt.Sprintf(" WHEN %d THEN %s", k, at(-time.Duration(k+1)*24*time.Hour))
	}
	begun += " END"
	const status = "CASE i % 20 WHEN 10 THEN 'ACTION_REQUIRED' WHEN 11 THEN 'EMAIL_PENDING' WHEN 12 THEN 'FROZEN' WHEN 13 THEN 'DRAFT' WHEN 14 THEN 'APPROVED' WHEN 15 THEN 'REJECTED' WHEN 16 THEN 'EXPIRED' WHEN 17 THEN 'WITHDRAWN' WHEN 18 THEN 'ACTIVE' WHEN 19 THEN 'ACTIVE' ELSE 'IN_REVIEW' END"
	const batch = 100_000
	for from := 0; from < n; from += batch {
		with := rows(from, min(from+batch, n))
		exec("INSERT INTO organization (id, kind, name, name_folded, domain, country, locale, created_at, updated_at) " + with +
			"SELECT " + id("org") + ", 'INDIRECT_RESELLER', 'Company ' || i, 'company ' || i, 'c' || i || '.example', 'IT', 'en', " + at(0) + ", " + at(0) + " FROM n")
		exec("INSERT INTO enrollment (id, organization_id, purpose, kind, status, country, tenant_domain, profile, legal_name_folded, created_by_id, assignee_id, clock, due_at, until_at, queue_at, agenda, touched_at, submitted_at, created_at, updated_at) " + with +
			"SELECT " + id("enr") + ", " + id("org") + ", 'ADMISSION', CASE WHEN i % 9 = 0 THEN 'INDIRECT_PROVIDER' ELSE 'INDIRECT_RESELLER' END, " + status +
			", CASE WHEN i / 7 % 2 = 0 THEN 'IT' ELSE 'DE' END, 'w' || i || '.example', " + json("{}") + ", substr('abcdefghij', i / 20 % 10 + 1, 1) || ' ' || " + scattered +
			", '', CASE i / 3 % 10 WHEN 0 THEN '" + string(queueReviewer) + "' WHEN 1 THEN '" + string(queueReviewer) + "' WHEN 2 THEN 'usr_2' WHEN 3 THEN 'usr_3' WHEN 4 THEN 'usr_4' END, " +
			json("{}") + ", CASE WHEN i % 20 < 10 THEN " + moment + " END, CASE WHEN i % 20 < 13 THEN " + moment + " END, CASE WHEN i % 20 < 13 THEN " + moment +
			" ELSE " + at(far) + " END, " + json("[]") + ", " + at(0) + ", " + begun + ", " + begun + ", " + at(0) + " FROM n")
		exec("INSERT INTO enrollment_check (enrollment_id, kind, status, updated_at) " + with +
			"SELECT " + id("enr") + ", 'BUSINESS', CASE WHEN i % 3 = 0 THEN 'PASSED' ELSE 'WAITING' END, " + at(0) + " FROM n WHERE i % 20 < 11")
	}
	exec("ANALYZE")
	actor, err := access.Load(ctx, db.Read(), access.Presence{UserID: queueReviewer})
	if err != nil {
		tb.Fatal(err)
	}
	return actor
}

// queueCases are pages that reviewers read.
func queueCases() []queueCase {
	provider := access.IndirectProvider
	me, nobody, yes, italy, text, domain, most := AssignedToMe, AssignedToNo, true, "IT", "c", "W100000", "w1000"
	review := []Status{InReview}
	return []queueCase{
		{"all", nil, Filter{}},
		{"in review", nil, Filter{Status: review}},
		{"open", nil, Filter{Status: []Status{EmailPending, InReview, ActionRequired, Frozen}}},
		{"mine", nil, Filter{Assigned: &me}},
		{"mine in review", nil, Filter{Assigned: &me, Status: review}},
		{"nobody's in review", nil, Filter{Assigned: &nobody, Status: review}},
		{"overdue", nil, Filter{Overdue: &yes}},
		{"check", nil, Filter{Status: review, CheckOpen: []CheckKind{Business}}},
		{"country", nil, Filter{Status: review, Country: &italy}},
		{"kind", nil, Filter{Status: review, Kind: &provider}},
		{"search", nil, Filter{Status: review, Search: &text}},
		{"search by domain", nil, Filter{Search: &domain}},
		{"search of many", nil, Filter{Search: &most}},
		{"search by name", &Order{ByName, page.Asc}, Filter{Search: &text}},
		{"by name", &Order{ByName, page.Asc}, Filter{Status: review}},
		{"mine by name", &Order{ByName, page.Asc}, Filter{Assigned: &me}},
		{"newest", &Order{BySubmitted, page.Desc}, Filter{}},
		{"mine newest", &Order{BySubmitted, page.Desc}, Filter{Assigned: &me}},
	}
}

type queueCase struct {
	name   string
	order  *Order
	filter Filter
}

// BenchmarkQueue reads a page of 20 of the reviewers' queue among 1,000
// enrollments and among 1,000,000 in turn, by the filters and orders that they
// use, and prints the ratio of the medians. Filling the larger one takes
// minutes. Run it on each engine:
//
//	go test -run '^$' -bench Queue -benchtime 200x -timeout 30m ./internal/enrollment
func BenchmarkQueue(b *testing.B) {
	small, large := dbtest.New(b), dbtest.New(b)
	rita := fillQueue(b, small, few)
	fillQueue(b, large, many)
	for _, c := range queueCases() {
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
			var one, other []time.Duration
			for b.Loop() {
				one = append(one, read(&Service{db: small}))
				other = append(other, read(&Service{db: large}))
			}
			slices.Sort(one)
			slices.Sort(other)
			s, l := one[len(one)/2], other[len(other)/2]
			ratio := float64(l) / float64(s)
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(s.Microseconds()), "µs/1000")
			b.ReportMetric(float64(l.Microseconds()), "µs/1000000")
			b.ReportMetric(ratio, "ratio")
			if len(one) >= 100 && ratio > goal {
				b.Errorf("a page among %d costs %.2f times one among %d, more than %.1f", many, ratio, few, goal)
			}
		})
	}
}

// A page of the queue is one statement, whatever it is filtered and ordered
// by, and reading on from page to page gives the rows of the whole list in
// order, none twice: as computed here by hand.
func TestQueue(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	rita := fillQueue(t, db, 2_000)
	s := &Service{db: db}
	var all []*Enrollment
	if err := db.Read().NewSelect().Model(&all).Scan(t.Context()); err != nil {
		t.Fatal(err)
	}
	open := map[ident.ID]bool{}
	var checks []*Check
	if err := db.Read().NewSelect().Model(&checks).Scan(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, c := range checks {
		open[c.EnrollmentID] = c.Status == CheckWaiting
	}
	for _, c := range queueCases() {
		var want []ident.ID
		for _, e := range ordered(all, c.order) {
			if holds(e, c.filter, open, db.Now()) {
				want = append(want, e.ID)
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
				if n := db.Queries() - before; n != 1 {
					t.Errorf("%s: %d statements", c.name, n)
				}
				ids := make([]ident.ID, len(p.Edges))
				for i, e := range p.Nodes() {
					ids[i] = e.ID
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

func ordered(all []*Enrollment, o *Order) []*Enrollment {
	out := slices.Clone(all)
	slices.SortFunc(out, func(a, b *Enrollment) int {
		n := a.QueueAt.Compare(b.QueueAt)
		if o != nil && o.Field == ByName {
			n = strings.Compare(a.LegalNameFolded, b.LegalNameFolded)
		}
		if o != nil && o.Field == BySubmitted {
			n = a.SubmittedAt.Compare(*b.SubmittedAt)
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

func holds(e *Enrollment, f Filter, open map[ident.ID]bool, now time.Time) bool {
	if len(f.Status) > 0 && !slices.Contains(f.Status, e.Status) || f.Country != nil && e.Country != *f.Country || f.Kind != nil && e.Kind != *f.Kind {
		return false
	}
	if f.Assigned != nil && *f.Assigned == AssignedToMe && (e.AssigneeID == nil || *e.AssigneeID != queueReviewer) ||
		f.Assigned != nil && *f.Assigned == AssignedToNo && e.AssigneeID != nil {
		return false
	}
	if f.Overdue != nil && (e.Status != InReview || e.DueAt == nil || e.DueAt.After(now)) {
		return false
	}
	return (len(f.CheckOpen) == 0 || open[e.ID]) && (f.Search == nil || strings.HasPrefix(e.LegalNameFolded, *f.Search) || strings.HasPrefix(e.TenantDomain, strings.ToLower(*f.Search)))
}
