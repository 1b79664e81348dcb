package seed

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/agreement"
	"github.com/channelgraph/channelgraph/internal/audit"
	"github.com/channelgraph/channelgraph/internal/calendar"
	"github.com/channelgraph/channelgraph/internal/catalog"
	"github.com/channelgraph/channelgraph/internal/customer"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/database/dbtest"
	"github.com/channelgraph/channelgraph/internal/directory"
	"github.com/channelgraph/channelgraph/internal/enrollment"
	"github.com/channelgraph/channelgraph/internal/file"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/invitation"
	"github.com/channelgraph/channelgraph/internal/mail"
	"github.com/channelgraph/channelgraph/internal/order"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/internal/page"
	"github.com/channelgraph/channelgraph/internal/partner"
	"github.com/channelgraph/channelgraph/internal/partnership"
	"github.com/channelgraph/channelgraph/internal/register"
	"github.com/channelgraph/channelgraph/internal/secret"
	"github.com/channelgraph/channelgraph/internal/sla"
	"github.com/channelgraph/channelgraph/internal/subscription"
	"github.com/channelgraph/channelgraph/internal/support"
)

// perform performs the publications of the directory and the provisioning of
// orders that are due.
func perform(ctx context.Context, db *database.DB, listed *directory.Service, orders *order.Service) error {
	c, err := outbox.Claim(ctx, db, 10_000)
	for _, j := range c.Jobs {
		if err != nil || !slices.Contains([]string{(directory.Publish{}).Kind(), (order.Provision{}).Kind()}, j.Kind) {
			continue
		}
		run, begun := outbox.Begin(ctx, db, j.ID, j.Generation, "test", time.Minute)
		if begun != nil {
			return begun
		}
		var a struct {
			directory.Publish
			order.Provision
		}
		if j.Kind == (order.Provision{}).Kind() {
			if err = json.Unmarshal([]byte(run.Job.Payload), &a.Provision); err == nil {
				err = outbox.Finish(ctx, db, []*outbox.Ending{{Run: run, Err: orders.Provision(ctx, run, a.Provision)}})
			}
		} else if err = json.Unmarshal([]byte(run.Job.Payload), &a.Publish); err == nil {
			err = listed.Publish(ctx, run, a.Publish)
		}
	}
	return err
}

// deps are the real services; of the jobs only publications and provisioning
// run, so that no mail leaves.
func deps(t *testing.T) Deps {
	t.Helper()
	db := dbtest.New(t)
	keys, err := secret.NewKeys(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	mailer, err := mail.New(db, keys, mail.Config{SMTPURL: "smtp://127.0.0.1:2525", From: "center@example.com", PublicURL: "http://localhost:8080"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	accounts := account.New(db, mailer, keys, account.Config{PublicURL: "http://localhost:8080",
		Hashing: account.Hashing{Memory: 8, Passes: 1, Threads: 1, Slots: 4, Wait: time.Minute}}, nil)
	partners := partner.New(db, accounts, mailer)
	invitations := invitation.New(db, mailer, keys, accounts, invitation.Config{}, nil)
	files := file.New(db)
	registers := register.New(db, accounts, files)
	calendars := calendar.New(db, nil)
	enrollments := enrollment.New(db, accounts, partners, files, calendars, registers, mailer, keys, enrollment.Config{}, nil)
	listed := directory.New(db, accounts, partners, files, calendars, audit.New(db, slog.New(slog.DiscardHandler)), mailer)
	partnerships := partnership.New(db, accounts, partners, invitations, mailer, keys, "http://localhost:8080")
	helped := support.New(db, accounts, files, calendars, mailer, keys)
	helped.About(support.EndPartnership, func(ctx context.Context, a access.Actor, id ident.ID) (bool, error) {
		found, err := partnerships.TerminationsByIDs(ctx, a, []ident.ID{id})
		return found[id] != nil, err
	})
	customers := customer.New(db, accounts, partners, partnerships, invitations, mailer, customer.Config{TenantDomain: "customers.example"})
	offers := catalog.New(db, files)
	bought := subscription.New(db, partners, customers, offers)
	orders := order.New(db, accounts, partners, customers, offers, bought, order.Rehearsal{Refuse: map[string]string{"CC-CAD": "PUBLISHER_REFUSED"}},
		slog.New(slog.DiscardHandler))
	return Deps{Directory: listed, DB: db, Accounts: accounts, Partners: partners, Invitations: invitations, Files: files, Registers: registers, Enrollments: enrollments,
		Agreements: agreement.New(db, accounts, partners, mailer, enrollments.SignedTx), Keys: keys,
		Partnerships: partnerships, Support: helped, Customers: customers, Catalog: offers, Subscriptions: bought,
		Orders: orders,
		Advance: func(ctx context.Context, d time.Duration) error {
			db.Clock().Advance(d)
			return perform(ctx, db, listed, orders)
		}}
}

// The demo world has an account for each kind of party and role, with a
// password of its own, at domains that nobody can own.
func TestPlan(t *testing.T) {
	t.Parallel()
	w := Plan()
	seen, passwords := map[string]bool{}, map[string]bool{}
	for _, a := range w.Accounts {
		if seen[a.Email] || !strings.HasSuffix(a.Email, ".example") || len(a.Password) < 16 || passwords[a.Password] || a.Organization == "" {
			t.Errorf("got %+v", a)
		}
		seen[a.Email], passwords[a.Password] = true, true
		if !slices.Contains(access.RolesOf(a.Kind), a.Role) {
			t.Errorf("a %s is no %s", a.Kind, a.Role)
		}
	}
	for _, k := range access.Kinds {
		for _, r := range access.RolesOf(k) {
			if !slices.ContainsFunc(w.Accounts, func(a Account) bool { return a.Kind == k && a.Role == r }) {
				t.Errorf("no account of a %s's %s", k, r)
			}
		}
	}
	var out strings.Builder
	w.Print(&out)
	for _, a := range w.Accounts {
		if !strings.Contains(out.String(), a.Email) || !strings.Contains(out.String(), a.Password) {
			t.Errorf("%s is not printed with its password", a.Email)
		}
	}
	if Plan().Accounts[0].Password == w.Accounts[0].Password {
		t.Error("two worlds have one password")
	}
}

func TestFoundAndLive(t *testing.T) {
	t.Parallel()
	d, w := deps(t), Plan()
	ctx := t.Context()
	if err := d.DB.InTx(ctx, func(ctx context.Context, tx *database.Tx) error { return w.Found(ctx, tx, d) }); err != nil {
		t.Fatal(err)
	}
	for i, a := range w.Accounts {
		actor, err := w.as(ctx, d, a.Email)
		if err != nil || actor.Kind != a.Kind || !actor.Has(a.Role) {
			t.Errorf("%s is %+v, %v", a.Email, actor, err)
		}
		if i%5 == 0 {
			_, _, _, err := d.Accounts.SignIn(ctx, account.SignInInput{Email: a.Email, Password: secret.String(a.Password), IP: netip.MustParseAddr("192.0.2.10")})
			if err != nil {
				t.Errorf("%s cannot sign in: %v", a.Email, err)
			}
		}
	}
	if err := w.Live(ctx, d); err != nil {
		t.Fatal(err)
	}
	chief, err := w.as(ctx, d, "operator.admin@meridian.example")
	if err != nil {
		t.Fatal(err)
	}
	statuses := map[string]int{}
	nordwind, err := d.Partnerships.List(ctx, chief, partnership.AsProvider, w.partners["nordwind.example"], page.Args{}, nil, partnership.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range nordwind.Nodes() {
		statuses["nordwind "+string(p.Status)]++
		if !p.HasAdminAccess() {
			statuses["admin access withdrawn"]++
		}
	}
	ended, err := d.Partnerships.ListTerminations(ctx, chief, page.Args{}, partnership.TerminationFilter{Status: []partnership.TerminationStatus{partnership.TerminationRequested}})
	if err != nil {
		t.Fatal(err)
	}
	invitations, err := d.Invitations.List(ctx, chief, page.Args{}, nil, invitation.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range invitations.Nodes() {
		statuses[string(i.Status)]++
	}
	if statuses["nordwind ACTIVE"] != 3 || statuses["admin access withdrawn"] != 1 || len(ended.Edges) != 1 || statuses["ACCEPTED"] != 7 || statuses["DECLINED"] != 1 {
		t.Errorf("got %v, %d requests to end", statuses, len(ended.Edges))
	}
	// the directory has its cards, and requests stand in every state but the
	// one that passes by itself
	cards, err := d.Directory.Cards(ctx, page.Args{}, directory.DirectoryFilter{})
	if err != nil || len(cards.Edges) != 5 || slices.IndexFunc(cards.Nodes(), func(l *directory.Location) bool { return l.LogoID == "" }) < 0 {
		t.Errorf("%d cards, %v", len(cards.Edges), err)
	}
	updates, err := d.Directory.List(ctx, chief, page.Args{}, nil, directory.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	stand := map[directory.Status]int{}
	promises := map[sla.State]int{}
	for _, u := range updates.Nodes() {
		stand[u.Status]++
		if u.Promise.State != nil && u.Status.Open() {
			promises[*u.Promise.State]++
		}
	}
	for _, s := range directory.Statuses {
		if (stand[s] == 0) != (s == directory.Approved) {
			t.Errorf("%d are %s", stand[s], s)
		}
	}
	if promises[sla.OnTrack] == 0 || promises[sla.AtRisk] == 0 || promises[sla.Breached] == 0 {
		t.Errorf("promises %v", promises)
	}
	// affiliates, an unsigned and a suspended reseller stand there to be refused
	ps, err := d.Partners.ByIDs(ctx, chief, []ident.ID{w.partners["costa.example"], w.partners["vesuvio.example"]})
	if err != nil || ps[w.partners["costa.example"]].AgreementSigned(d.DB.Now()) || ps[w.partners["vesuvio.example"]].Status != partner.Suspended {
		t.Errorf("got %v, %v", ps, err)
	}
	// customers of every kind of seller, one of them with two, an open
	// invitation, a draft and an order of which a line failed
	seen := map[string]int{}
	for email, want := range map[string]int{sales: 5, alps: 3, rhine: 1, lakes: 2, officine: 1, "global.admin@hofmann.example": 2, operatorAdmin: 10} {
		actor, err := w.as(ctx, d, email)
		if err != nil {
			t.Fatal(err)
		}
		list, err := d.Customers.List(ctx, actor, page.Args{}, nil, customer.Filter{})
		if err != nil || len(list.Edges) != want {
			t.Errorf("%s has %d customers, %v", email, len(list.Edges), err)
		}
		if actor.Kind == access.IndirectReseller || actor.Kind == access.Customer {
			continue // order nothing
		}
		orders, err := d.Orders.List(ctx, actor, page.Args{}, nil, order.Filter{})
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range orders.Nodes() {
			seen[string(o.Status)]++
		}
	}
	bought, err := d.Subscriptions.List(ctx, chief, page.Args{First: new(100)}, nil, subscription.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range bought.Nodes() {
		seen[string(b.Status)]++
	}
	catalogue, err := d.Catalog.List(ctx, chief, page.Args{First: new(100)}, nil, catalog.Filter{})
	if err != nil || len(catalogue.Edges) != 60 || seen["PARTIALLY_COMPLETED"] == 0 || seen["DRAFT"] == 0 || seen["ACTIVE"] < 15 || seen["SUSPENDED"] == 0 || seen["CANCELLED"] == 0 {
		t.Errorf("%d offers, %v, %v", len(catalogue.Edges), seen, err)
	}
}
