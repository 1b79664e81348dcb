package catalog

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/audit"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/database/dbtest"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/file"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/internal/page"
)

// world is the operator's administrator, a reviewer, and a provider's agent.
type world struct {
	*Service
	t                      *testing.T
	chief, reviewer, agent access.Actor
}

func newWorld(t *testing.T) *world {
	t.Helper()
	db := dbtest.New(t)
	w := &world{Service: New(db, file.New(db)), t: t}
	w.chief = w.person(access.Operator, access.OperatorAdmin)
	w.reviewer = w.person(access.Operator, access.Reviewer)
	w.agent = w.person(access.IndirectProvider, access.AdminAgent)
	return w
}

func (w *world) exec(sql string, args ...any) {
	w.t.Helper()
	if _, err := w.db.Bun().NewRaw(sql, args...).Exec(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// person makes a user with one role in an organization of its own.
func (w *world) person(kind access.Kind, role access.Role) access.Actor {
	w.t.Helper()
	org, usr, now := ident.New(ident.Organization), ident.New(ident.User), w.db.Now()
	w.exec("INSERT INTO organization (id, kind, name, name_folded, domain, country, locale, created_at, updated_at) VALUES (?, ?, 'O', 'o', ?, 'IT', 'en', ?, ?)",
		org, kind, string(org)+".example", now, now)
	w.exec("INSERT INTO user_account (id, organization_id, email, email_folded, first_name, last_name, name_folded, locale, status, created_at, updated_at) "+
		"VALUES (?, ?, ?, ?, 'Ada', 'B', 'ada b', 'en', 'ACTIVE', ?, ?)", usr, org, string(usr)+"@o.example", string(usr)+"@o.example", now, now)
	w.exec("INSERT INTO user_role (user_id, role, granted_by, granted_at) VALUES (?, ?, '', ?)", usr, role, now)
	a, err := access.Load(w.t.Context(), w.db.Read(), access.Presence{UserID: usr, IPPrefix: "192.0.2.0/24"})
	if err != nil || a.UserID == "" {
		w.t.Fatal(a, err)
	}
	return a
}

func (w *world) upload(content string) ident.ID {
	w.t.Helper()
	f, err := w.files.Upload(w.t.Context(), w.chief, file.UploadInput{Purpose: file.ForCatalog, Name: "offers.csv", Content: []byte(content)})
	if err != nil {
		w.t.Fatal(err)
	}
	return f.ID
}

// perform runs a job once, as the relay and a worker do.
func (w *world) perform(j *outbox.Job, i *Import) error {
	w.t.Helper()
	w.exec("UPDATE job SET state = 'queued', generation = generation + 1 WHERE id = ? AND state = 'pending'", j.ID)
	var generation int
	if err := w.db.Read().NewSelect().TableExpr("job").Column("generation").Where("id = ?", j.ID).Scan(w.t.Context(), &generation); err != nil {
		w.t.Fatal(err)
	}
	run, err := outbox.Begin(w.t.Context(), w.db, j.ID, generation, "test", time.Minute)
	if err != nil || run == nil {
		w.t.Fatal("the job did not begin", err)
	}
	err = w.ImportOffers(w.t.Context(), run, ImportOffers{ImportID: i.ID})
	if ferr := outbox.Finish(w.t.Context(), w.db, []*outbox.Ending{{Run: run, Err: err}}); ferr != nil {
		w.t.Fatal(ferr)
	}
	return err
}

func (w *world) read(id ident.ID) *Import {
	w.t.Helper()
	found, err := w.ImportsByIDs(w.t.Context(), w.chief, []ident.ID{id})
	if err != nil || found[id] == nil {
		w.t.Fatal(found, err)
	}
	return found[id]
}

// bringIn imports lines to their end and tells what that came to.
func (w *world) bringIn(in ImportInput) string {
	w.t.Helper()
	i, job, err := w.Import(w.t.Context(), w.chief, in)
	if err != nil {
		w.t.Fatal(err)
	}
	if i.State != ImportQueued {
		w.t.Errorf("a new import is %s", i.State)
	}
	if err := w.perform(job, i); err != nil {
		w.t.Fatal(err)
	}
	i = w.read(i.ID)
	return fmt.Sprintf("%s +%d ~%d =%d -%d !%d", i.State, i.Added, i.Changed, i.Unchanged, i.Retired, i.ProblemCount)
}

func (w *world) csv(mode Mode, lines ...string) string {
	w.t.Helper()
	return w.bringIn(ImportInput{FileID: w.upload(head + strings.Join(lines, "\n")), Format: CSV, Mode: &mode})
}

// names lists what a filter finds, by name.
func (w *world) names(f Filter) string {
	w.t.Helper()
	c, err := w.List(w.t.Context(), w.agent, page.Args{First: new(100)}, nil, f)
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for _, o := range c.Nodes() {
		out = append(out, o.Name)
	}
	return strings.Join(out, " ")
}

// history lists the revisions of an offer.
func (w *world) history(sku string) string {
	w.t.Helper()
	var id ident.ID
	if err := w.db.Read().NewSelect().TableExpr("offer").Column("id").Where("sku = ?", sku).Scan(w.t.Context(), &id); err != nil {
		w.t.Fatal(err)
	}
	c, err := w.Revisions(w.t.Context(), w.agent, id, page.Args{}, RevisionFilter{})
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for _, r := range c.Nodes() {
		if !strings.Contains(r.Content, `"sku":"`+sku+`"`) {
			w.t.Errorf("revision %d holds %q", r.Version, r.Content)
		}
		out = append(out, fmt.Sprintf("%d %s", r.Version, r.Change))
	}
	return strings.Join(out, ", ")
}

func offer(sku, name, more, price string) string {
	return sku + "," + name + ",third_party,Fjord,Work,Mail,,," + more + ",EUROPE,EUR,P1Y,MONTHLY," + price
}

func TestImport(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	alpha, beta := offer("A", "Alpha", ",,,,yes", "5"), offer("B", "Beta", ",A,,,", "6")
	check := func(got, want, names string) {
		t.Helper()
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if got := w.names(Filter{}); got != names {
			t.Errorf("on sale: %s, want %s", got, names)
		}
	}
	check(w.csv(Merge, beta), "REFUSED +0 ~0 =0 -0 !1", "") // what Beta needs is nowhere
	check(w.bringIn(ImportInput{FileID: w.upload(head + alpha + "\n" + beta), Format: CSV, DryRun: true}), "CHECKED +2 ~0 =0 -0 !0", "")
	check(w.csv(Merge, alpha, beta), "APPLIED +2 ~0 =0 -0 !0", "Alpha Beta")
	check(w.csv(Merge, alpha, beta), "APPLIED +0 ~0 =2 -0 !0", "Alpha Beta")
	check(w.csv(Merge, offer("A", "Alpha", ",,,,yes", "7")), "APPLIED +0 ~1 =0 -0 !0", "Alpha Beta")
	check(w.csv(Replace, beta), "REFUSED +0 ~0 =0 -0 !1", "Alpha Beta") // it would take away what Beta needs
	check(w.csv(Replace, offer("A", "Alpha", ",,,,yes", "7"), offer("C", "Gamma", ",,yes,,", "0")), "APPLIED +1 ~0 =1 -1 !0", "Alpha Gamma")
	check(w.csv(Merge, beta), "APPLIED +0 ~1 =0 -0 !0", "Alpha Beta Gamma")
	// One bad line among good ones changes nothing.
	check(w.csv(Merge, offer("D", "Delta", ",,,,", "1"), offer("A", "Alpha", ",,,,", "x")), "REFUSED +0 ~0 =0 -0 !1", "Alpha Beta Gamma")
	check(w.bringIn(ImportInput{FileID: w.upload(goodJSON), Format: JSON}), "APPLIED +1 ~0 =0 -0 !0", "Alpha Alpha Beta Gamma")
	for sku, want := range map[string]string{"A": "2 CHANGED, 1 ADDED", "B": "3 RESTORED, 2 RETIRED, 1 ADDED", "A-1": "1 ADDED"} {
		if got := w.history(sku); got != want {
			t.Errorf("%s: %s, want %s", sku, got, want)
		}
	}
	if got := w.names(Filter{Retired: new(true)}); got != "" {
		t.Errorf("retired: %s", got)
	}
	var left int
	if err := w.db.Read().NewSelect().TableExpr("file").ColumnExpr("count(*)").Where("subject_id <> ''").Scan(t.Context(), &left); err != nil || left > 0 {
		t.Errorf("%d imported files are kept, %v", left, err)
	}
	c, err := audit.List(t.Context(), w.db, w.chief, page.Args{First: new(100)}, audit.Filter{Action: new("catalog.imported")})
	if err != nil || len(c.Nodes()) != 9 {
		t.Errorf("%d imports in the audit, %v", len(c.Nodes()), err)
	}
	if _, err := w.ListImports(t.Context(), w.reviewer, page.Args{}, ImportFilter{}); fault.KindOf(err) != fault.KindForbidden {
		t.Error(err)
	}
	if c, err := w.ListImports(t.Context(), w.chief, page.Args{}, ImportFilter{}); err != nil || len(c.Nodes()) != 10 {
		t.Error(len(c.Nodes()), err)
	}
}

// What is wrong with a file is told by line, to the operator alone.
func TestProblems(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	i, job, err := w.Import(t.Context(), w.chief, ImportInput{FileID: w.upload(head + offer("A", "Alpha", ",B,,,", "x") + "\n" + offer("C", "", ",,,,", "1")), Format: CSV})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.perform(job, i); err != nil {
		t.Fatal(err)
	}
	c, err := w.Problems(t.Context(), w.chief, i.ID, page.Args{}, ProblemFilter{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range c.Nodes() {
		got = append(got, fmt.Sprintf("%d %s %s", p.Line, p.Column, p.Code))
	}
	if want := "2 price PRICE_INVALID, 2 prerequisites PREREQUISITE_UNKNOWN, 3 name REQUIRED"; strings.Join(got, ", ") != want {
		t.Errorf("got %s, want %s", strings.Join(got, ", "), want)
	}
	if c, err = w.Problems(t.Context(), w.chief, i.ID, page.Args{}, ProblemFilter{Code: new("REQUIRED")}); err != nil || len(c.Nodes()) != 1 {
		t.Error(c.Nodes(), err)
	}
	for _, other := range []access.Actor{w.agent, w.reviewer} {
		if _, err := w.Problems(t.Context(), other, i.ID, page.Args{}, ProblemFilter{}); fault.KindOf(err) != fault.KindForbidden {
			t.Error(err)
		}
		if found, err := w.ImportsByIDs(t.Context(), other, []ident.ID{i.ID}); len(found) > 0 || err != nil {
			t.Error(found, err)
		}
	}
}

func TestWhoImports(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	csv := w.upload(head + good)
	for name, c := range map[string]struct {
		actor access.Actor
		in    ImportInput
		code  string
	}{
		"nobody":        {access.Anonymous("en", ""), ImportInput{FileID: csv, Format: CSV}, fault.CodeUnauthenticated},
		"a reviewer":    {w.reviewer, ImportInput{FileID: csv, Format: CSV}, fault.CodeRoleRequired},
		"a partner":     {w.agent, ImportInput{FileID: csv, Format: CSV}, fault.CodeRoleRequired},
		"no file":       {w.chief, ImportInput{FileID: ident.New(ident.File), Format: CSV}, fault.CodeNotFound},
		"no file, dry":  {w.chief, ImportInput{FileID: ident.New(ident.File), Format: CSV, DryRun: true}, fault.CodeNotFound},
		"another thing": {w.chief, ImportInput{FileID: ident.New(ident.Offer), Format: CSV}, fault.CodeNotFound},
		"no format":     {w.chief, ImportInput{FileID: csv}, fault.CodeInvalid},
		"no mode":       {w.chief, ImportInput{FileID: csv, Format: CSV, Mode: new(Mode("UPSERT"))}, fault.CodeInvalid},
	} {
		if _, _, err := w.Import(t.Context(), c.actor, c.in); !fault.Is(err, c.code) {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
	in := ImportInput{FileID: csv, Format: CSV, IdempotencyKey: new("once")}
	first, op, err := w.Import(t.Context(), w.chief, in)
	if err != nil {
		t.Fatal(err)
	}
	again, op2, err := w.Import(t.Context(), w.chief, in)
	if err != nil || again.ID != first.ID || op2.ID != op.ID {
		t.Error(again, err)
	}
	in.DryRun = true
	if _, _, err := w.Import(t.Context(), w.chief, in); !fault.Is(err, fault.CodeKeyReused) {
		t.Error(err)
	}
	in.IdempotencyKey = nil
	if _, _, err := w.Import(t.Context(), w.chief, in); !fault.Is(err, file.CodeAttached) {
		t.Error(err)
	}
	// Who has lost the right meanwhile changes nothing.
	w.exec("DELETE FROM user_role WHERE user_id = ?", w.chief.UserID)
	if err := w.perform(op, first); fault.AsRetry(err) == nil || fault.AsRetry(err).Code != CodeImportRevoked {
		t.Error(err)
	}
	if got := w.names(Filter{}); got != "" {
		t.Errorf("imported %s", got)
	}
}

// An import that is called off or forgotten is over, and its file is gone.
func TestImportsEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	off, op, err := w.Import(t.Context(), w.chief, ImportInput{FileID: w.upload(head + good), Format: CSV})
	if err != nil {
		t.Fatal(err)
	}
	forgotten, _, err := w.Import(t.Context(), w.chief, ImportInput{FileID: w.upload(head + good), Format: CSV})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.db.InTx(t.Context(), func(ctx context.Context, tx *database.Tx) error { return w.ImportCancelled(ctx, tx, op) }); err != nil {
		t.Fatal(err)
	}
	if got := w.read(off.ID).State; got != ImportCancelled {
		t.Error(got)
	}
	if err := w.perform(op, off); err != nil {
		t.Errorf("a job whose import is over: %v", err)
	}
	w.db.Clock().Advance(life + 2*time.Hour)
	if err := w.PruneImports(t.Context(), nil, PruneImports{}); err != nil {
		t.Fatal(err)
	}
	if i := w.read(forgotten.ID); i.State != ImportFailed || *i.FailureCode != CodeImportExpired {
		t.Error(i.State)
	}
	if got := w.read(off.ID).State; got != ImportCancelled {
		t.Error(got)
	}
}

// Two imports at once come one after the other.
func TestImportsAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var group sync.WaitGroup
	for n := range 4 {
		i, op, err := w.Import(t.Context(), w.chief, ImportInput{FileID: w.upload(head + offer("A", fmt.Sprintf("Alpha %d", n), ",,,,", "1")), Format: CSV})
		if err != nil {
			t.Fatal(err)
		}
		group.Go(func() {
			if err := w.perform(op, i); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if got := w.history("A"); got != "4 CHANGED, 3 CHANGED, 2 CHANGED, 1 ADDED" {
		t.Error(got)
	}
}

// demo brings the demo catalogue in.
func (w *world) demo() {
	w.t.Helper()
	content, err := os.ReadFile("../seed/catalog.csv")
	if err != nil {
		w.t.Fatal(err)
	}
	err = w.db.InTx(w.t.Context(), func(ctx context.Context, tx *database.Tx) error {
		i, err := w.ImportTx(ctx, tx, w.chief, CSV, "catalog.csv", content)
		if err == nil && (i.State != ImportApplied || i.Added != 60) {
			w.t.Errorf("%s with %d offers", i.State, i.Added)
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func TestLists(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.demo()
	for _, c := range []struct {
		name  string
		f     Filter
		want  int
		first string
	}{
		{"all", Filter{}, 60, "Advanced Meetings"},
		{"by name", Filter{Search: new("WORKPLACE bus")}, 5, "Workplace Business Basic"},
		{"by SKU", Filter{Search: new("mc-")}, 4, "Cloud Plan"},
		{"a sign that matches all", Filter{Search: new("%")}, 0, ""},
		{"third party", Filter{PublisherKind: new(ThirdParty)}, 10, "Cartesio CAD"},
		{"a publisher", Filter{Publisher: new("Fjordsec AS")}, 2, "Fjordsec Awareness Training"},
		{"a line", Filter{ProductLine: new("Cloud infrastructure")}, 4, "Cloud Plan"},
		{"a category", Filter{Category: new("Voice")}, 4, "Advanced Meetings"},
		{"add-ons", Filter{AddOn: new(true)}, 15, "Advanced Meetings"},
		{"by themselves", Filter{AddOn: new(false)}, 45, "App Builder"},
		{"trials", Filter{Trial: new(true)}, 4, "Endpoint Defence 2, one month on trial"},
		{"Azure-type", Filter{AzureType: new(true)}, 1, "Cloud Plan"},
		{"without credit", Filter{IncentiveEligible: new(false)}, 8, "Endpoint Defence 2, one month on trial"},
		{"in the States", Filter{Country: new("us")}, 59, "Advanced Meetings"},
		{"in Sweden", Filter{Country: new("SE")}, 56, "Advanced Meetings"},
		{"in Mexico", Filter{Country: new("MX")}, 0, ""},
		{"nowhere", Filter{Country: new("\"")}, 0, ""},
		{"retired", Filter{Retired: new(true)}, 0, ""},
	} {
		list, err := w.List(t.Context(), w.agent, page.Args{First: new(100)}, nil, c.f)
		if err != nil {
			t.Fatal(err)
		}
		first := ""
		if n := list.Nodes(); len(n) > 0 {
			first = n[0].Name
		}
		count, err := list.TotalCount(t.Context())
		if err != nil || len(list.Nodes()) != c.want || count.Value != c.want || first != c.first {
			t.Errorf("%s: %d offers beginning with %s, counted %d, %v; want %d with %s", c.name, len(list.Nodes()), first, count.Value, err, c.want, c.first)
		}
	}
	// A page costs one statement, whatever it holds; every ordering goes on.
	for _, field := range []OrderField{ByName, BySKU, ByUpdated} {
		var seen []ident.ID
		var after *string
		for {
			before := w.db.Queries()
			c, err := w.List(t.Context(), w.agent, page.Args{First: new(7), After: after}, &Order{Field: field, Direction: page.Desc}, Filter{})
			if err != nil {
				t.Fatal(err)
			}
			if n := w.db.Queries() - before; n != 1 {
				t.Errorf("%s: %d statements", field, n)
			}
			for _, o := range c.Nodes() {
				seen = append(seen, o.ID)
			}
			if !c.PageInfo.HasNextPage {
				break
			}
			after = c.PageInfo.EndCursor
		}
		slices.Sort(seen)
		if len(slices.Compact(seen)) != 60 {
			t.Errorf("%s: %d offers", field, len(seen))
		}
	}
	if _, err := w.List(t.Context(), access.Anonymous("en", ""), page.Args{}, nil, Filter{}); fault.KindOf(err) != fault.KindUnauthenticated {
		t.Error(err)
	}
}

func TestPrices(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.demo()
	var all map[string]*Offer
	var basic *Offer
	err := w.db.InTx(t.Context(), func(ctx context.Context, tx *database.Tx) (err error) {
		if all, err = w.BySKUTx(ctx, tx); err != nil {
			return err
		}
		before := w.db.Queries()
		if basic, err = w.OfferTx(ctx, tx, all["MW-BUS-BASIC"].ID); err != nil {
			return err
		}
		if n := w.db.Queries() - before; n > 2 {
			t.Errorf("an offer costs %d statements", n)
		}
		none, err := w.OfferTx(ctx, tx, ident.New(ident.Offer))
		if none != nil {
			t.Error("an offer that is not there was found")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if m, code := PriceFor(basic, "IT", OneYear, Monthly); m.Decimal() != "5.90" || m.Currency != "EUR" || code != "" {
		t.Error(m, code)
	}
	ids := []ident.ID{basic.ID, all["PS-SIGN-QES"].ID, all["MW-PHONE-DOM"].ID}
	for country, want := range map[string]string{"": "36 3 24", "it": "3 3 3", "CH": "3 0 3", "JP": "3 0 0", "GB": "3 0 3", "XX": "0 0 0"} {
		found, err := w.PricesOf(t.Context(), w.agent, ids, country)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, id := range ids {
			got = append(got, fmt.Sprint(len(found[id])))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %s, want %s", country, strings.Join(got, " "), want)
		}
	}
	for _, f := range []func() (int, error){
		func() (int, error) {
			m, err := w.PricesOf(t.Context(), access.Anonymous("en", ""), ids, "")
			return len(m), err
		},
		func() (int, error) {
			m, err := w.ByIDs(t.Context(), access.Anonymous("en", ""), ids)
			return len(m), err
		},
	} {
		if n, err := f(); n > 0 || err != nil {
			t.Error(n, err)
		}
	}
}
