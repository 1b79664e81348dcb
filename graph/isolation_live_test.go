package graph

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/audit"
	"github.com/channelgraph/channelgraph/internal/customer"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/event"
	"github.com/channelgraph/channelgraph/internal/file"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/outbox"
)

// online serves the chart to viewers who show their names.
func (c *chart) online(viewers []*viewer) *site {
	c.t.Helper()
	d := c.Deps
	d.Keys = c.keys
	h, err := New(d)
	if err != nil {
		c.t.Fatal(err)
	}
	s := h.(*server)
	s.live.heartbeat, s.live.streams = 500*time.Millisecond, 100
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		a := nobody
		for _, v := range viewers {
			if v.name == r.Header.Get("Authorization") {
				a = v.Actor
			}
		}
		s.ServeHTTP(rw, r.WithContext(ident.WithRequest(access.WithActor(r.Context(), a), "req-1")))
	}))
	c.t.Cleanup(func() {
		s.Drain()
		srv.Close()
	})
	return &site{world: c.world, s: s, url: srv.URL}
}

// happen writes that a row changed: to its own organization, and, as if a
// mistake had been made, to another's.
func (c *chart) happen(tx *database.Tx, k event.Kind, id, organization ident.ID) error {
	_, err := tx.NewRaw("INSERT INTO event (kind, subject_id, organization_id, other_organization_id) VALUES (?, ?, ?, '')", k, id, organization).Exec(c.t.Context())
	tx.Notify(event.Topic)
	return err
}

// TestListenersStayInside listens to every subscription as everybody while
// everything of everybody changes, events that were addressed to the wrong
// organization included.
func TestListenersStayInside(t *testing.T) {
	t.Parallel()
	c := newChart(t)
	var viewers []*viewer
	for _, v := range c.admins() {
		if !strings.Contains(v.name, "2") {
			viewers = append(viewers, v)
		}
	}
	p1 := c.byLabel["provider1"]
	viewers = append(viewers, c.person(p1, p1.users[access.DefaultUser], "a colleague"), &viewer{name: "nobody", Actor: nobody},
		&viewer{name: "few scopes", tenant: p1, Actor: c.program("provider1", access.PermViewerRead, access.PermPartnershipRead)})
	p := c.online(viewers)
	type open struct {
		v *viewer
		a asking
		s *stream
	}
	var streams []open
	for _, v := range viewers {
		g := c.generator(v.Actor)
		var foreign source
		if slices.Contains([]string{"provider1", "reseller1", "nobody"}, v.name) {
			foreign = belongings{c: c, t: c.foreign(v)[0]}
		}
		for _, f := range rootFields(schema.Subscription) {
			for _, a := range g.askings(schema.Subscription, f, c.sourceOf(v), foreign) {
				streams = append(streams, open{v, a, p.listen(v.name, a.query, a.vars)})
				if a.planted != "" { // and the one that is nowhere, for comparison
					b := a.without()
					streams = append(streams, open{v, b, p.listen(v.name, b.query, b.vars)})
				}
			}
		}
	}
	// Each stream is open once it has said something.
	heard := make([]strings.Builder, len(streams))
	ended := make([]bool, len(streams))
	hear := func(i int, until func(sent) bool) {
		for !ended[i] {
			e, more := streams[i].s.any()
			if !more {
				ended[i] = true
				return
			}
			if e.name != ":" {
				fmt.Fprintf(&heard[i], "%s %s %s\n", e.name, e.id, e.data)
			}
			if until(e) {
				return
			}
		}
	}
	for i := range streams {
		hear(i, func(sent) bool { return true })
	}
	// Who sees everything hears of an event when all others have been handed it.
	all, _, _, err := p.s.live.hub.Open(t.Context(), access.System("test").Scope(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer all.Close()
	c.tx(func(_ context.Context, tx *database.Tx) error {
		for id, r := range c.rows {
			kinds := event.Kinds[2:] // of what streams tell, under every name
			if !slices.Contains([]string{ident.Job, ident.Invitation, ident.Partnership, ident.Enrollment, ident.ProfileUpdate, ident.Support, ident.Customer, ident.ProductSubscription, ident.Order}, id.Kind()) {
				kinds = kinds[:1]
			}
			if r.i > 0 {
				continue
			}
			to := []ident.ID{first(r.owner.ids["organization"])}
			for _, v := range viewers {
				if v.tenant != nil && v.tenant != r.owner && r.owner.label == "provider2" && v.name != "a colleague" {
					to = append(to, first(v.tenant.ids["organization"]))
				}
			}
			for _, org := range to {
				for _, k := range kinds {
					if err := c.happen(tx, k, id, org); err != nil {
						return err
					}
				}
			}
		}
		return nil
	})
	until(t, func() bool { // in their order
		waiting, err := c.DB.Read().NewSelect().TableExpr("event").Where("number IS NULL").Exists(t.Context())
		return err == nil && !waiting
	})
	var last int64
	if err := c.DB.Read().NewSelect().TableExpr("event").ColumnExpr("max(number)").Scan(t.Context(), &last); err != nil {
		t.Fatal(err)
	}
	for late := time.After(patience); ; {
		e, err := all.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if e != nil && e.Number == last {
			break
		}
		if e == nil {
			select {
			case <-all.C():
			case <-late:
				t.Fatal("the events were not handed out")
			}
		}
	}
	for i := range streams { // beats of before do not count
		for range len(streams[i].s.said) {
			hear(i, func(sent) bool { return true })
		}
	}
	for i := range streams { // some beats after everything was said, nothing is left to say
		said, beats := heard[i].Len(), 0
		hear(i, func(e sent) bool {
			if e.name == ":" && heard[i].Len() == said {
				beats++
			} else {
				said, beats = heard[i].Len(), 0
			}
			return beats == 2
		})
		streams[i].s.close()
	}
	told := 0
	for i, o := range streams {
		text := heard[i].String()
		told += strings.Count(text, "next ")
		c.clean(o.v, o.a, reply{200, text})
		if o.a.planted != "" && i+1 < len(streams) && strings.Contains(streams[i+1].a.body(), absent(o.a.planted)) {
			x, y := settled(leveled(text, o.a.planted)), settled(leveled(heard[i+1].String(), o.a.planted))
			if x = costExtensionAnywhere.ReplaceAllString(x, ""); x != costExtensionAnywhere.ReplaceAllString(y, "") {
				c.complain(o.a.root+o.a.at, "%s: %s tells by %s that something is another's: %.500s but of nothing: %.500s", o.v.name, o.a.root, o.a.at, x, y)
			}
		}
	}
	for i, o := range streams {
		if o.a.root == "Subscription.events" && len(o.a.vars) == 0 && o.v.Can(access.PermOperationRead) && !strings.Contains(heard[i].String(), string(o.v.tenant.ids["job"][0])) {
			t.Errorf("%s was not told of its own operation: %.500s", o.v.name, heard[i].String())
		}
	}
	t.Logf("%d streams, %d events told", len(streams), told)
	// The cursors of one organization are none of another's.
	var cursors []string
	for i, o := range streams {
		if o.v.name == "provider2" || o.v.name == "reseller3" {
			for _, l := range strings.Split(heard[i].String(), "\n") {
				if f := strings.Fields(l); len(f) > 1 && f[0] == "next" {
					cursors = append(cursors, f[1])
				}
			}
		}
	}
	if len(cursors) == 0 {
		t.Fatal("no cursors were given")
	}
	for _, since := range []string{cursors[0], cursors[len(cursors)-1], "AAAAAAAAAAAAAAAAAAAAAA"} {
		s := p.listen("provider1", "subscription($s: String) { events(since: $s) { kind cursor subjectId } }", map[string]any{"s": since})
		if e := s.next(); e.at("errors.0.extensions.code") != "BAD_CURSOR" {
			t.Errorf("the cursor %s of another organization is answered by %+v", since, e)
		}
		s.close()
	}
	c.silent()
}

// TestExportsStayInside has everybody who may write the audit into a file, and
// reads the files; nobody opens another's.
func TestExportsStayInside(t *testing.T) {
	t.Parallel()
	c := newChart(t)
	ctx := t.Context()
	files := map[*viewer]ident.ID{}
	for _, v := range c.viewers() {
		e, job, err := c.Audits.RequestExport(ctx, v.Actor, audit.Filter{}, "")
		if err != nil {
			if v.Can(access.PermAuditRead) {
				t.Errorf("%s: %v", v.name, err)
			}
			continue
		}
		c.tx(func(ctx context.Context, tx *database.Tx) error {
			_, err := tx.NewRaw("UPDATE job SET state = 'queued', generation = generation + 1 WHERE id = ?", job.ID).Exec(ctx)
			return err
		})
		run, err := outbox.Begin(ctx, c.DB, job.ID, 1, "test", time.Minute)
		if err != nil || run == nil {
			t.Fatal("the export did not begin", err)
		}
		if err := c.Audits.ExportEvents(ctx, run, audit.ExportEvents{ExportID: e.ID}); err != nil {
			t.Fatal(err)
		}
		d, err := c.Audits.OpenExport(ctx, v.Actor, e.ID)
		if err != nil {
			t.Fatal(v.name, err)
		}
		raw, err := io.ReadAll(d)
		if err != nil || !strings.Contains(string(raw), v.tenant.mark()) {
			t.Errorf("%s: the file lacks its own acts: %v", v.name, err)
		}
		c.clean(v, asking{root: "the file of an export"}, reply{200, string(raw)})
		files[v] = e.ID
	}
	if len(files) < 10 {
		t.Errorf("only %d files", len(files))
	}
	for _, v := range c.viewers() {
		_, nothing := c.Audits.OpenExport(ctx, v.Actor, "exp_"+nobodysBody)
		for of, id := range files {
			if of.UserID == v.UserID {
				continue
			}
			if d, err := c.Audits.OpenExport(ctx, v.Actor, id); d != nil || err == nil || err.Error() != nothing.Error() {
				t.Errorf("%s opens the file of %s: %v, but of nothing %v", v.name, of.name, err, nothing)
			}
		}
	}
	c.silent()
}

// TestCustomerExportsStayInside has everybody who may write their customers
// into a file, and reads the files; nobody opens another's.
func TestCustomerExportsStayInside(t *testing.T) {
	t.Parallel()
	c := newChart(t)
	ctx := t.Context()
	c.DB.Clock().Advance(time.Second)
	files := map[*viewer]ident.ID{}
	for _, v := range c.viewers() {
		e, job, err := c.Customers.RequestExport(ctx, v.Actor, customer.ExportInput{})
		if err != nil {
			if v.Can(access.PermCustomerRead) {
				t.Errorf("%s: %v", v.name, err)
			}
			continue
		}
		c.tx(func(ctx context.Context, tx *database.Tx) error {
			_, err := tx.NewRaw("UPDATE job SET state = 'queued', generation = generation + 1 WHERE id = ?", job.ID).Exec(ctx)
			return err
		})
		run, err := outbox.Begin(ctx, c.DB, job.ID, 1, "test", time.Minute)
		if err != nil || run == nil {
			t.Fatal("the export did not begin", err)
		}
		if err := c.Customers.ExportCustomers(ctx, run, customer.ExportCustomers{ExportID: e.ID}); err != nil {
			t.Fatal(err)
		}
		d, err := c.Customers.OpenExport(ctx, v.Actor, e.ID)
		if err != nil {
			t.Fatal(v.name, err)
		}
		raw, err := io.ReadAll(d)
		if has := strings.Contains(string(raw), c.byLabel["customer1"].mark()); err != nil || has != slices.Contains([]string{"operator", "provider1", "reseller1", "direct1", "customer1"}, v.tenant.label) {
			t.Errorf("%s: whether the file has the customer: %t %v", v.name, has, err)
		}
		c.clean(v, asking{root: "the file of an export"}, reply{200, string(raw)})
		files[v] = e.ID
	}
	if len(files) < 10 {
		t.Errorf("only %d files", len(files))
	}
	for _, v := range c.viewers() {
		_, nothing := c.Customers.OpenExport(ctx, v.Actor, "cex_"+nobodysBody)
		for of, id := range files {
			if of.UserID == v.UserID {
				continue
			}
			if d, err := c.Customers.OpenExport(ctx, v.Actor, id); d != nil || err == nil || err.Error() != nothing.Error() {
				t.Errorf("%s opens the file of %s: %v, but of nothing %v", v.name, of.name, err, nothing)
			}
		}
	}
	c.silent()
}

// TestFilesStayInside has everybody open every uploaded file and the report of
// every import: nobody opens another's but the operator's reviewers, what was
// handed in; and what is hidden is answered as what is nowhere.
func TestFilesStayInside(t *testing.T) {
	t.Parallel()
	c := newChart(t)
	ctx := t.Context()
	opened := map[standing]int{}
	for _, v := range c.viewers() {
		_, nothing := c.Files.Open(ctx, v.Actor, "fil_"+nobodysBody)
		_, none := c.Registers.Report(ctx, v.Actor, "imp_"+nobodysBody, io.Discard)
		for id, r := range c.rows {
			var raw []byte
			switch r.table {
			case "file":
				d, err := c.Files.Open(ctx, v.Actor, id)
				if err != nil {
					if err.Error() != nothing.Error() {
						t.Errorf("%s, file of %s: %v, but of nothing %v", v.name, r.owner.label, err, nothing)
					}
					if v.tenant == r.owner && v.Can(access.PermEnrollmentApply) && r.status == string(file.ForEvidence) {
						t.Errorf("%s does not open its own evidence: %v", v.name, err)
					}
					continue
				}
				if v.tenant != r.owner && (r.of == "" || !v.Can(access.PermEnrollmentReview)) {
					t.Errorf("%s opens the file of %s", v.name, r.owner.label)
				}
				if raw, err = io.ReadAll(d); err != nil || !strings.Contains(string(raw), r.owner.mark()) {
					t.Errorf("%s: the file is not whole: %v", v.name, err)
				}
			case "register_import":
				var b strings.Builder
				if _, err := c.Registers.Report(ctx, v.Actor, id, &b); err != nil {
					if err.Error() != none.Error() {
						t.Errorf("%s, report: %v, but of nothing %v", v.name, err, none)
					}
					continue
				}
				if v.tenant != r.owner {
					t.Errorf("%s opens a report of %s", v.name, r.owner.label)
				}
				raw = []byte(b.String())
			default:
				continue
			}
			opened[v.tenant.knows(r.owner)]++
			c.clean(v, asking{root: "the file " + r.table}, reply{200, string(raw)})
		}
	}
	if opened[same] < 20 || opened[overseer] < 20 || len(opened) != 2 {
		t.Errorf("opened %v", opened)
	}
	c.silent()
}

// costExtensionAnywhere is what an answer within a stream tells of its cost.
var costExtensionAnywhere = regexp.MustCompile(`,?"extensions":\{"cost":\{[^}]*\}\}`)
