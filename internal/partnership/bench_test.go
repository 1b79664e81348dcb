package partnership

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/database/dbtest"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/page"
)

// depth is how deep the far page lies, and goal what it may cost at most as a
// multiple of the first page.
const (
	depth = 100_000
	goal  = 1.3
)

// BenchmarkPage reads the first page of 50 partnerships and one at depth
// 100,000 in turn, at both orders, and prints the ratio of their medians. Run
// it on each engine:
//
//	go test -run '^$' -bench Page -benchtime 300x ./internal/partnership
func BenchmarkPage(b *testing.B) {
	db := dbtest.New(b)
	ctx := b.Context()
	exec := func(sql string, args ...any) {
		b.Helper()
		if _, err := db.Bun().NewRaw(sql, args...).Exec(ctx); err != nil {
			b.Fatal(err)
		}
	}
	const provider = ident.ID("par_00000000000000000000000000")
	at := db.Now().Add(-365 * day)
	// ids and names count up from 1000000, so that row n is known
	numbers := fmt.Sprintf("WITH RECURSIVE n(i) AS (SELECT 1000000 UNION ALL SELECT i + 1 FROM n WHERE i < %d) SELECT ", 1_000_000+depth+100)
	id := func(prefix string) string { return "'" + prefix + "_0000000000000000000' || i" }
	exec("INSERT INTO organization (id, kind, name, name_folded, domain, country, locale, created_at, updated_at) VALUES (?, 'INDIRECT_PROVIDER', 'Nordwind', 'nordwind', 'nordwind.example', 'IT', 'en', ?, ?)",
		"org_00000000000000000000000000", at, at)
	exec("INSERT INTO organization (id, kind, name, name_folded, domain, country, locale, created_at, updated_at) "+numbers+id("org")+", 'INDIRECT_RESELLER', 'Reseller ' || i, 'reseller ' || i, 'r' || i || '.example', 'IT', 'en', CAST(? AS "+stamp(b)+"), CAST(? AS "+stamp(b)+") FROM n", at, at)
	exec("INSERT INTO partner (id, organization_id, kind, status, programme_id, legal_name, legal_name_folded, tenant_domain, registrable_domain, country, region, currency, created_at, updated_at) VALUES "+
		"(?, ?, 'INDIRECT_PROVIDER', 'ACTIVE', '1', 'Nordwind', 'nordwind', 'nordwind.example', 'nordwind.example', 'IT', 'EUROPE', 'EUR', ?, ?)", provider, "org_00000000000000000000000000", at, at)
	exec("INSERT INTO partner (id, organization_id, kind, status, programme_id, legal_name, legal_name_folded, tenant_domain, registrable_domain, country, region, currency, created_at, updated_at) "+
		numbers+id("par")+", "+id("org")+", 'INDIRECT_RESELLER', 'ACTIVE', CAST(i AS text), 'Reseller ' || i, 'reseller ' || i, 'r' || i || '.example', 'r' || i || '.example', 'IT', 'EUROPE', 'EUR', CAST(? AS "+stamp(b)+"), CAST(? AS "+stamp(b)+") FROM n", at, at)
	exec("INSERT INTO partnership (id, provider_id, reseller_id, provider_name_folded, reseller_name_folded, region, status, authorized_by_id, authorized_at, updated_at) "+
		numbers+id("psh")+", ?, "+id("par")+", 'nordwind', 'reseller ' || i, 'EUROPE', 'ACTIVE', '', CAST(? AS "+stamp(b)+"), CAST(? AS "+stamp(b)+") FROM n", provider, at, at)
	exec("INSERT INTO user_account (id, organization_id, email, email_folded, first_name, last_name, name_folded, locale, status, created_at, updated_at) VALUES (?, ?, '', '', 'Gina', 'Rossi', '', 'en', 'ACTIVE', ?, ?)",
		"usr_00000000000000000000000000", "org_00000000000000000000000000", at, at)
	exec("INSERT INTO user_role (user_id, role, granted_by, granted_at) VALUES (?, 'GLOBAL_ADMIN', '', ?)", "usr_00000000000000000000000000", at)
	exec("ANALYZE")
	gina, err := access.Load(ctx, db.Read(), access.Presence{UserID: "usr_00000000000000000000000000"})
	if err != nil {
		b.Fatal(err)
	}

	s := &Service{db: db}
	for _, o := range []*Order{{ByName, page.Asc}, {ByAuthorized, page.Asc}} {
		b.Run(string(o.Field), func(b *testing.B) {
			q, err := page.Args{}.Resolve(o.resolve(AsProvider), struct {
				Owner ident.ID
				Filter
			}{provider, Filter{}})
			if err != nil {
				b.Fatal(err)
			}
			value := any(fmt.Sprintf("reseller %d", 1_000_000+depth-1))
			if o.Field == ByAuthorized {
				value = at // all at one moment: the id alone tells them apart
			}
			size, far := 50, q.Cursor(value, ident.ID(fmt.Sprintf("psh_0000000000000000000%d", 1_000_000+depth-1)))
			read := func(after *string, first string) time.Duration {
				start := time.Now()
				c, err := s.List(ctx, gina, AsProvider, "", page.Args{First: &size, After: after}, o, Filter{})
				took := time.Since(start)
				if err != nil || len(c.Edges) != size || c.Edges[0].Node.ResellerNameFolded != first {
					b.Fatal(c, err)
				}
				return took
			}
			near, deep := make([]time.Duration, 0, b.N), make([]time.Duration, 0, b.N)
			for b.Loop() {
				near = append(near, read(nil, "reseller 1000000"))
				deep = append(deep, read(&far, fmt.Sprintf("reseller %d", 1_000_000+depth)))
			}
			slices.Sort(near)
			slices.Sort(deep)
			n, d := near[len(near)/2], deep[len(deep)/2]
			ratio := float64(d) / float64(n)
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(n.Microseconds()), "µs/first")
			b.ReportMetric(float64(d.Microseconds()), "µs/deep")
			b.ReportMetric(ratio, "deep/first")
			if len(near) >= 100 && ratio > goal {
				b.Errorf("a page at depth %d costs %.2f times the first one, more than %.1f", depth, ratio, goal)
			}
		})
	}
}

// stamp is the engine's type of a moment, for values that a SELECT makes.
func stamp(b *testing.B) string {
	b.Helper()
	if dbtest.PostgresURL() != "" {
		return "timestamptz"
	}
	return "text"
}
