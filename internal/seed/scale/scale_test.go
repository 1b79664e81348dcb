package scale

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/catalog"
	"github.com/channelgraph/channelgraph/internal/customer"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/database/dbtest"
	"github.com/channelgraph/channelgraph/internal/file"
	"github.com/channelgraph/channelgraph/internal/invitation"
	"github.com/channelgraph/channelgraph/internal/mail"
	"github.com/channelgraph/channelgraph/internal/order"
	"github.com/channelgraph/channelgraph/internal/page"
	"github.com/channelgraph/channelgraph/internal/partner"
	"github.com/channelgraph/channelgraph/internal/partnership"
	"github.com/channelgraph/channelgraph/internal/rollup"
	"github.com/channelgraph/channelgraph/internal/secret"
	"github.com/channelgraph/channelgraph/internal/seed"
	"github.com/channelgraph/channelgraph/internal/subscription"
)

var small = Size{Providers: 3, Resellers: 7, Customers: 4_100, Subscriptions: 8_300}

// house is the real services on a database; no job runs by itself.
type house struct {
	Deps
	customers *customer.Service
	orders    *order.Service
}

func newHouse(t testing.TB, db *database.DB) house {
	t.Helper()
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
	partnerships := partnership.New(db, accounts, partners, invitations, mailer, keys, "http://localhost:8080/")
	customers := customer.New(db, accounts, partners, partnerships, invitations, mailer, customer.Config{TenantDomain: "customers.example"})
	offers := catalog.New(db, file.New(db))
	return house{Deps: Deps{DB: db, Accounts: accounts, Offers: offers, TenantDomain: "customers.example"}, customers: customers,
		orders: order.New(db, accounts, partners, customers, offers, subscription.New(db, partners, customers, offers), order.AtOnce{}, nil)}
}

// admin is the Global admin of the first provider.
func (h house) admin(t testing.TB) access.Actor {
	t.Helper()
	first, _ := (&world{}).seller(firstProvider)
	var a access.Actor
	err := h.DB.InTx(context.Background(), func(ctx context.Context, tx *database.Tx) error {
		u, err := h.Accounts.ByEmailTx(ctx, tx, adminEmail(first))
		if err != nil {
			return err
		}
		a, err = access.Load(ctx, tx, access.Presence{UserID: u.ID, SudoUntil: tx.Now.Add(24 * time.Hour)})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// digest is all that was generated, but for what the house itself gave ids to.
func digest(t *testing.T, db *database.DB) string {
	t.Helper()
	var b strings.Builder
	for _, query := range []string{
		"SELECT 'partner', count(*), min(id), max(id), min(domain), max(domain) FROM organization WHERE kind <> 'OPERATOR'",
		"SELECT 'customer', count(*), min(id), max(id), min(name_folded), max(domain) FROM customer",
		"SELECT 'relationship', count(*), min(id), max(id), min(counterpart_id), max(counterpart_id) FROM relationship",
		"SELECT 'agreement', count(*), min(id), max(id), min(email), max(agreed_on) FROM customer_agreement",
		"SELECT 'subscription', count(*), min(id), max(id), min(name_folded), CAST(sum(quantity) AS text) FROM product_subscription",
		"SELECT 'event', count(*), min(id), max(id), min(kind), CAST(sum(unit_price) AS text) FROM subscription_event",
	} {
		var cells [6]string
		if err := db.Read().NewRaw(query).Scan(t.Context(), &cells[0], &cells[1], &cells[2], &cells[3], &cells[4], &cells[5]); err != nil {
			t.Fatal(query, err)
		}
		b.WriteString(strings.Join(cells[:], " ") + "\n")
	}
	return b.String()
}

func options(day string) Options {
	at, err := time.Parse(time.DateOnly, day)
	if err != nil {
		panic(err)
	}
	return Options{Size: small, Day: at}
}

// TestTheWorldIsWhole cuts a world short, goes on with it, compares it with
// one that was made at once, and has the ledger prove its counts.
func TestTheWorldIsWhole(t *testing.T) {
	t.Parallel()
	today := time.Now().UTC().Format(time.DateOnly)
	db := dbtest.New(t)
	h := newHouse(t, db)
	d := h.Deps
	ctx, cut := context.WithCancel(t.Context())
	o := options(today)
	var told []seed.Account
	o.Founded = func(a []seed.Account) { told = append(told, a...) }
	o.Progress = func(done int) {
		if done > 0 {
			cut()
		}
	}
	if _, err := Build(ctx, d, o); !errors.Is(err, context.Canceled) {
		t.Fatal("the first run ended with", err)
	}
	if len(told) != 5 {
		t.Errorf("%d accounts were told", len(told))
	}
	ledger := rollup.NewLedger(db, slog.New(slog.DiscardHandler))
	ledger.Count(partnership.Counts, customer.Counts, subscription.Counts)
	prove := func(when string) {
		t.Helper()
		wrong, err := ledger.Reconcile(t.Context())
		if err != nil || len(wrong) > 0 {
			t.Errorf("%s: %d counts are wrong, %v", when, len(wrong), err)
		}
	}
	prove("after the cut")
	var from []int
	o.Progress = func(done int) { from = append(from, done) }
	if made, err := Build(t.Context(), d, o); err != nil || !made {
		t.Fatal(made, err)
	}
	if len(told) != 5 || from[0] != atOnce || from[len(from)-1] != small.Customers {
		t.Error("the second run did not go on:", len(told), from)
	}
	prove("at the end")
	if made, err := Build(t.Context(), d, o); err != nil || made {
		t.Error("a third run had something to do", made, err)
	}
	keys := []rollup.Key{rollup.Operator, rollup.Of(ProviderID(o.Day, 0))}
	counted, err := rollup.Read(t.Context(), db.Read(), keys)
	if err != nil {
		t.Fatal(err)
	}
	all, first := counted[keys[0]], counted[keys[1]]
	if all.Resellers != 7 || all.Customers != 4_100 || all.Subscriptions != 8_300 || first.Customers != 2_050 || first.Resellers != 4 {
		t.Error(all, first)
	}

	// a provider's people see it through the ordinary doors
	size := 50
	list, err := h.customers.List(t.Context(), h.admin(t), page.Args{First: &size}, nil, customer.Filter{})
	if err != nil || len(list.Edges) != size {
		t.Fatal(list, err)
	}
	if n, err := list.TotalCount(t.Context()); err != nil || n.Value != 2_050 || n.Precision != page.Exact {
		t.Error(n, err)
	}

	again := dbtest.New(t)
	if _, err := Build(t.Context(), newHouse(t, again).Deps, options(today)); err != nil {
		t.Fatal(err)
	}
	if a, b := digest(t, db), digest(t, again); a != b {
		t.Errorf("two worlds differ:\n%s\n%s", a, b)
	}
}

func TestWhatIsRefused(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	d := newHouse(t, db).Deps
	o := options("2026-03-01")
	o.Size = Size{Providers: 1, Resellers: 0, Customers: 3, Subscriptions: 0}
	if _, err := Build(t.Context(), d, o); err != nil {
		t.Fatal(err)
	}
	other := o
	other.Size.Customers = 4
	later := o
	later.Day = o.Day.AddDate(0, 0, 1)
	for name, x := range map[string]Options{"another size": other, "another day": later} {
		if _, err := Build(t.Context(), d, x); !errors.Is(err, ErrForeign) {
			t.Error(name, err)
		}
	}
	foreign := dbtest.New(t)
	err := foreign.InTx(t.Context(), func(ctx context.Context, tx *database.Tx) error {
		_, err := newHouse(t, foreign).Accounts.Found(ctx, tx, access.System("test"), account.NewOrganization{Kind: access.Operator, Name: "House", Domain: "house.example", Country: "IT"})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Build(t.Context(), newHouse(t, foreign).Deps, o); !errors.Is(err, ErrForeign) {
		t.Error("a database of somebody else:", err)
	}
	for _, z := range []Size{{}, {Providers: 1, Resellers: -1}, {Providers: 1, Subscriptions: 1}, {Providers: 1, Customers: 1, Subscriptions: 101}} {
		if z.Check() == nil {
			t.Error(z, "passed")
		}
	}
}

// TestPlaces checks that shares and places tell the same.
func TestPlaces(t *testing.T) {
	t.Parallel()
	for _, z := range []Size{{Providers: 1, Resellers: 5, Customers: 9}, {Providers: 2, Resellers: 1, Customers: 10}, {Providers: 7, Resellers: 40, Customers: 1_001, Subscriptions: 3_003}} {
		owned := map[int]int{}
		sold := 0
		for i := range z.Customers {
			p, nth := z.place(i)
			if z.at(p, nth) != i || nth != owned[p] {
				t.Fatalf("%v: number %d is the %d. of %d", z, i, nth, p)
			}
			owned[p]++
			provider, reseller := z.sellers(i)
			if own, _ := z.place(reseller); reseller >= 0 && (reseller >= z.Resellers || own != provider) {
				t.Fatalf("%v: customer %d has reseller %d of another provider", z, i, reseller)
			}
			from, to := z.bought(i)
			if from != sold {
				t.Fatalf("%v: customer %d begins at %d", z, i, from)
			}
			sold = to
		}
		for p, n := range owned {
			if z.share(p, z.Customers) != n {
				t.Errorf("%v: provider %d has %d, not %d", z, p, n, z.share(p, z.Customers))
			}
		}
		if sold != z.Subscriptions {
			t.Errorf("%v: %d subscriptions", z, sold)
		}
	}
}

func TestMeter(t *testing.T) {
	t.Parallel()
	now := time.Unix(0, 0)
	for terminal, want := range map[bool]string{
		false: "  0 %  0 of 1,000 customers\n 50 %  500 of 1,000 customers, 50 a second, 10s to go\n100 %  1,000 of 1,000 customers, 50 a second\n",
		true: "\r[..............................]   0 %  0 of 1,000 customers\x1b[K" +
			"\r[###############...............]  50 %  500 of 1,000 customers, 50 a second, 10s to go\x1b[K" +
			"\r[###############...............]  50 %  501 of 1,000 customers, 50 a second, 9s to go\x1b[K" +
			"\r[##############################] 100 %  1,000 of 1,000 customers, 50 a second\x1b[K\n",
	} {
		var out bytes.Buffer
		m := &Meter{Out: &out, Terminal: terminal, Total: 1_000, Now: func() time.Time { return now }}
		for _, done := range []int{0, 500, 501, 1_000} {
			m.Show(done)
			next := map[int]time.Duration{0: 10 * time.Second, 500: 20 * time.Millisecond, 501: 9_980 * time.Millisecond}[done]
			now = now.Add(next)
		}
		if out.String() != want {
			t.Errorf("terminal %v:\n%q\nwant\n%q", terminal, out.String(), want)
		}
	}
}
