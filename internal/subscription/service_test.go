package subscription

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/catalog"
	"github.com/channelgraph/channelgraph/internal/customer"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/event"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/internal/page"
	"github.com/channelgraph/channelgraph/internal/partnership"
)

func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	if !fault.Is(err, code) {
		t.Errorf("got %v, want %s", err, code)
	}
}

// brief is a subscription at a glance.
func brief(s *Subscription) string { return fmt.Sprintf("%s %d v%d", s.Status, s.Quantity, s.Version) }

// A whole life: bought on the 31st of January of a leap year, changed by the
// seller's people, expired, and deleted by jobs.
func TestLife(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx, gina := t.Context(), w.provider.gina
	var x *Subscription
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		before := w.db.Queries()
		made, err := w.CreateTx(ctx, tx, gina, w.order(w.offer, 10), w.order(w.addOn, 3), w.order(w.trial, 1))
		if err != nil {
			return err
		}
		if n := w.db.Queries() - before; n != 2 {
			t.Errorf("three subscriptions cost %d statements", n)
		}
		x = made[0]
		if x.SupportContactID != w.provider.ID || x.Status != Pending || made[1].OfferID != w.addOn.ID {
			t.Errorf("%+v", x)
		}
		held, err := w.HeldTx(ctx, tx, w.customer.ID)
		if err != nil || len(held) != 3 {
			t.Error(held, err)
		}
		return err
	})
	if got := w.counts(); got != "0/0 0/0 0/0 0/0 0/0" {
		t.Errorf("pending ones count: %s", got)
	}
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		if _, err := w.FailTx(ctx, tx, access.System("order"), x.ID, "PROVISIONING_FAILED"); err != nil {
			return err
		}
		for range 2 { // a job may run twice
			if _, err := w.ActivateTx(ctx, tx, access.System("order"), x.ID); err != nil {
				return err
			}
		}
		_, err := w.AbandonTx(ctx, tx, access.System("order"), x.ID)
		wantCode(t, err, CodeStatusForbids)
		_, err = w.FailTx(ctx, tx, access.System("order"), x.ID, "PROVISIONING_FAILED")
		wantCode(t, err, CodeStatusForbids)
		_, err = w.ActivateTx(ctx, tx, access.System("order"), ident.New(ident.ProductSubscription))
		wantCode(t, err, fault.CodeNotFound)
		return nil
	})
	if x = w.read(x.ID); x.told() != "ACTIVE 10 at 450, 2028-01-31 to 2028-02-29, next 2028-02-29" {
		t.Error(x.told())
	}
	if got := w.counts(); got != "1/10 1/10 1/10 1/10 0/0" {
		t.Error(got)
	}
	do := func(want string, fn func() (*Subscription, error)) {
		t.Helper()
		got, err := fn()
		if err != nil {
			t.Fatal(err)
		}
		if brief(got) != want || w.read(x.ID).told() != got.told() {
			t.Errorf("got %s, want %s", brief(got), want)
		}
	}
	do("ACTIVE 12 v4", func() (*Subscription, error) {
		return w.AddLicences(ctx, gina, QuantityInput{SubscriptionID: x.ID, Quantity: 12, ExpectedVersion: new(3)})
	})
	_, err := w.AddLicences(ctx, gina, QuantityInput{SubscriptionID: x.ID, Quantity: 13, ExpectedVersion: new(3)})
	wantCode(t, err, fault.CodeConflict)
	do("ACTIVE 11 v5", func() (*Subscription, error) {
		return w.ReduceLicences(ctx, gina, QuantityInput{SubscriptionID: x.ID, Quantity: 11})
	})
	if got := w.counts(); got != "1/11 1/11 1/11 1/11 0/0" {
		t.Error(got)
	}
	do("SUSPENDED 11 v6", func() (*Subscription, error) { return w.Suspend(ctx, gina, TargetInput{SubscriptionID: x.ID}) })
	do("ACTIVE 11 v7", func() (*Subscription, error) { return w.Reactivate(ctx, gina, TargetInput{SubscriptionID: x.ID}) })
	do("ACTIVE 11 v8", func() (*Subscription, error) {
		return w.Rename(ctx, gina, RenameInput{SubscriptionID: x.ID, FriendlyName: new("  Ufficio  tecnico ")})
	})
	do("ACTIVE 11 v8", func() (*Subscription, error) { // nothing to do
		return w.Rename(ctx, gina, RenameInput{SubscriptionID: x.ID, FriendlyName: new("Ufficio tecnico")})
	})
	do("ACTIVE 11 v9", func() (*Subscription, error) {
		return w.SetAutoRenew(ctx, gina, AutoRenewInput{SubscriptionID: x.ID, AutoRenew: false})
	})
	w.db.Clock().Advance(7 * day)
	_, err = w.Cancel(ctx, gina, TargetInput{SubscriptionID: x.ID})
	wantCode(t, err, CodeWindowClosed)
	w.advance(21*day + 8*time.Hour) // to the 28th, late in the evening
	if got := w.read(x.ID).told(); got != "ACTIVE 11 at 450, 2028-01-31 to 2028-02-29, next 2028-02-29" {
		t.Error(got)
	}
	w.advance(time.Hour)
	if got := w.read(x.ID).told(); got != "EXPIRED 11 at 450, 2028-01-31 to 2028-02-29, next 2028-03-30 AUTO_RENEW_OFF" {
		t.Error(got)
	}
	if got := w.counts(); got != "1/11 1/11 1/11 1/11 0/0" {
		t.Error(got)
	}
	w.advance(31 * day)
	if got := w.read(x.ID).told(); got != "DISABLED 11 at 450, 2028-01-31 to 2028-02-29, next 2028-06-28 AUTO_RENEW_OFF" {
		t.Error(got)
	}
	w.advance(91 * day)
	if got := w.read(x.ID).told(); got != "CANCELLED 11 at 450, 2028-01-31 to 2028-02-29, next never RETENTION_OVER" {
		t.Error(got)
	}
	if got := w.counts(); got != "0/0 0/0 0/0 0/0 0/0" {
		t.Error(got)
	}
	if got, want := w.history(x.ID), "CREATED, PROVISIONING_FAILED PROVISIONING_FAILED, ACTIVATED, LICENCES_ADDED, LICENCES_REDUCED, SUSPENDED SUSPENDED_BY_SELLER, "+
		"REACTIVATED, RENAMED, AUTO_RENEW_SET AUTO_RENEW_OFF, EXPIRED AUTO_RENEW_OFF, DISABLED, DELETED RETENTION_OVER"; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	if got, want := w.audited(x.ID), "subscription.licences_added subscription.licences_reduced subscription.suspended subscription.reactivated "+
		"subscription.renamed subscription.auto_renew_set"; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

// A line that will not be provisioned leaves nothing that counts.
func TestAbandoned(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		made, err := w.CreateTx(ctx, tx, w.provider.gina, w.order(w.offer, 5))
		if err != nil {
			return err
		}
		for range 2 {
			if _, err := w.AbandonTx(ctx, tx, w.provider.gina, made[0].ID); err != nil {
				return err
			}
		}
		if _, err = w.ActivateTx(ctx, tx, w.provider.gina, made[0].ID); !fault.Is(err, CodeStatusForbids) {
			t.Error(err)
		}
		none, err := w.CreateTx(ctx, tx, w.provider.gina)
		if len(none) > 0 {
			t.Error("nothing was bought")
		}
		return err
	})
	if got := w.counts(); got != "0/0 0/0 0/0 0/0 0/0" {
		t.Error(got)
	}
}

const day = 24 * time.Hour

// Renewed month after month, as of the moments at which that was due, however
// late; several in a batch and more than one batch.
func TestLateRenewals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var all []*Subscription
	for n := range 5 {
		all = append(all, w.sold(w.offer, 3+n))
	}
	// The price rises meanwhile.
	w.exec("UPDATE offer_price SET amount = 600 WHERE offer_id = ? AND term = 'P1M'", w.offer.ID)
	w.advance(61 * day) // 1 April: two terms are over
	for n, x := range all {
		if got, want := w.read(x.ID).told(), fmt.Sprintf("ACTIVE %d at 600, 2028-03-31 to 2028-04-30, next 2028-04-30", 3+n); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if got := w.history(x.ID); got != "CREATED, ACTIVATED, RENEWED, RENEWED" {
			t.Error(got)
		}
	}
	c, err := w.History(t.Context(), w.buyer, all[0].ID, page.Args{First: new(2)}, EventFilter{})
	if err != nil || c.Nodes()[0].At.Format(time.RFC3339) != "2028-03-31T00:00:00Z" || c.Nodes()[1].At.Format(time.RFC3339) != "2028-02-29T00:00:00Z" {
		t.Error(c.Nodes()[0].At, c.Nodes()[1].At, err)
	}
	if got := w.counts(); got != "5/25 5/25 5/25 5/25 0/0" {
		t.Error(got)
	}
	var waiting int
	if err := w.db.Read().NewSelect().TableExpr("job").ColumnExpr("count(*)").Where("kind = ? AND state = 'pending'", MoveOn{}.Kind()).Scan(t.Context(), &waiting); err != nil || waiting != 1 {
		t.Errorf("%d jobs wait for one day, %v", waiting, err)
	}
}

// Two workers at once renew everything once; a lost job is found by the scan.
func TestMoveOnTwice(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var all []*Subscription
	for range 6 {
		all = append(all, w.sold(w.offer, 2))
	}
	w.exec("DELETE FROM job WHERE kind = ?", MoveOn{}.Kind())
	w.db.Clock().Advance(30 * day)
	begin := func(args outbox.Args) *outbox.Run {
		var job *outbox.Job
		w.tx(func(ctx context.Context, tx *database.Tx) (err error) {
			job, err = outbox.Put(ctx, tx, args)
			return err
		})
		w.exec("UPDATE job SET state = 'queued', generation = 1 WHERE id = ?", job.ID)
		run, err := outbox.Begin(t.Context(), w.db, job.ID, 1, "test", time.Minute)
		if err != nil || run == nil {
			t.Fatal("the job did not begin", err)
		}
		return run
	}
	if err := w.Scan(t.Context(), begin(Scan{}), Scan{}); err != nil {
		t.Fatal(err)
	}
	var put int
	if err := w.db.Read().NewSelect().TableExpr("job").ColumnExpr("count(*)").Where("kind = ?", MoveOn{}.Kind()).Scan(t.Context(), &put); err != nil || put != 1 {
		t.Errorf("the scan put %d jobs, %v", put, err)
	}
	var group sync.WaitGroup
	for range 3 {
		run := begin(MoveOn{Day: "2028-03-01"})
		group.Go(func() {
			if err := w.MoveOn(t.Context(), run, MoveOn{}); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	for _, x := range all {
		if got := w.history(x.ID); got != "CREATED, ACTIVATED, RENEWED" {
			t.Error(got)
		}
	}
	if err := w.Scan(t.Context(), begin(Scan{}), Scan{}); err != nil {
		t.Fatal(err)
	}
}

// A trial ends by itself, and cannot be made to go on.
func TestTrial(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	x := w.sold(w.trial, 3)
	_, err := w.SetAutoRenew(t.Context(), w.provider.gina, AutoRenewInput{SubscriptionID: x.ID, AutoRenew: true})
	wantCode(t, err, ReasonTrial)
	w.advance(30 * day)
	if got := w.read(x.ID); got.Status != Expired || got.StatusReason != ReasonTrial {
		t.Error(got.told())
	}
	_, err = w.Reactivate(t.Context(), w.provider.gina, TargetInput{SubscriptionID: x.ID})
	wantCode(t, err, ReasonTrial)
}

// Whoever acts: only the seller's people in the right role change anything.
func TestWhoActs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	x := w.sold(w.offer, 5)
	before := w.read(x.ID).told()
	verbs := map[string]func(access.Actor, ident.ID) error{
		"add": func(a access.Actor, id ident.ID) error {
			_, err := w.AddLicences(t.Context(), a, QuantityInput{SubscriptionID: id, Quantity: 6})
			return err
		},
		"reduce": func(a access.Actor, id ident.ID) error {
			_, err := w.ReduceLicences(t.Context(), a, QuantityInput{SubscriptionID: id, Quantity: 4})
			return err
		},
		"cancel": func(a access.Actor, id ident.ID) error {
			_, err := w.Cancel(t.Context(), a, TargetInput{SubscriptionID: id})
			return err
		},
		"suspend": func(a access.Actor, id ident.ID) error {
			_, err := w.Suspend(t.Context(), a, TargetInput{SubscriptionID: id})
			return err
		},
		"reactivate": func(a access.Actor, id ident.ID) error {
			_, err := w.Reactivate(t.Context(), a, TargetInput{SubscriptionID: id})
			return err
		},
		"auto-renew": func(a access.Actor, id ident.ID) error {
			_, err := w.SetAutoRenew(t.Context(), a, AutoRenewInput{SubscriptionID: id})
			return err
		},
		"rename": func(a access.Actor, id ident.ID) error {
			_, err := w.Rename(t.Context(), a, RenameInput{SubscriptionID: id, FriendlyName: new("Mine")})
			return err
		},
		"associate": func(a access.Actor, id ident.ID) error {
			_, err := w.AssociateReseller(t.Context(), a, AssociateInput{SubscriptionID: id, ResellerID: &w.reseller.ID})
			return err
		},
		"designate": func(a access.Actor, id ident.ID) error {
			_, err := w.DesignateSupportContact(t.Context(), a, DesignateInput{SubscriptionID: id, PartnerID: &w.reseller.ID})
			return err
		},
	}
	help := w.user(w.provider.org, "help@nordwind.example", access.HelpdeskAgent)
	plain := w.user(w.provider.org, "plain@nordwind.example", access.DefaultUser)
	for name, verb := range verbs {
		for who, c := range map[string]struct {
			actor access.Actor
			code  string
		}{
			"nobody":            {access.Anonymous("en", ""), fault.CodeUnauthenticated},
			"another provider":  {w.other.gina, fault.CodeNotFound},
			"a direct-bill one": {w.direct.gina, fault.CodeNotFound},
			"a sibling":         {w.sibling.gina, fault.CodeNotFound},
			"the reseller":      {w.reseller.gina, fault.CodeRoleRequired},
			"the customer":      {w.buyer, fault.CodeRoleRequired},
			"the operator":      {w.chief, fault.CodeRoleRequired},
			"somebody":          {plain, fault.CodeRoleRequired},
		} {
			if err := verb(c.actor, x.ID); !fault.Is(err, c.code) {
				t.Errorf("%s by %s: %v, want %s", name, who, err, c.code)
			}
		}
		if err := verb(w.provider.gina, ident.New(ident.ProductSubscription)); !fault.Is(err, fault.CodeNotFound) {
			t.Errorf("%s of what is not there: %v", name, err)
		}
		if err := verb(help, x.ID); (name == "designate") != (err == nil) || err != nil && !fault.Is(err, fault.CodeRoleRequired) {
			t.Errorf("%s by the help desk: %v", name, err)
		}
	}
	if got := w.read(x.ID).told(); got != before {
		t.Errorf("got %s, want %s", got, before)
	}
}

// New licences and new terms are new business: whatever stands against a sale
// stands against them; giving back is not.
func TestNewBusiness(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	x, stopped := w.sold(w.offer, 5), w.sold(w.offer, 5)
	if _, err := w.Suspend(t.Context(), w.provider.gina, TargetInput{SubscriptionID: stopped.ID}); err != nil {
		t.Fatal(err)
	}
	for code, change := range map[string][2]string{
		"SELLER_NOT_ACTIVE":           {"UPDATE partner SET status = 'SUSPENDED' WHERE id = ?0", "UPDATE partner SET status = 'ACTIVE' WHERE id = ?0"},
		"SELLER_AGREEMENT_NOT_SIGNED": {"UPDATE partner SET agreement_due_at = '2020-01-01' WHERE id = ?0", "UPDATE partner SET agreement_due_at = NULL WHERE id = ?0"},
		"PARTNERSHIP_MISSING": {"UPDATE partnership SET status = 'TERMINATED' WHERE provider_id = ?0 AND reseller_id = ?1",
			"UPDATE partnership SET status = 'ACTIVE' WHERE provider_id = ?0 AND reseller_id = ?1"},
		"RELATIONSHIP_MISSING": {"UPDATE relationship SET status = 'REMOVED' WHERE partner_id = ?0", "UPDATE relationship SET status = 'ACTIVE' WHERE partner_id = ?0"},
		"CUSTOMER_SUSPENDED":   {"UPDATE customer SET status = 'SUSPENDED'", "UPDATE customer SET status = 'ACTIVE'"},
	} {
		w.exec(change[0], w.provider.ID, w.reseller.ID)
		_, err := w.AddLicences(t.Context(), w.provider.gina, QuantityInput{SubscriptionID: x.ID, Quantity: 6})
		wantCode(t, err, code)
		_, err = w.Reactivate(t.Context(), w.provider.gina, TargetInput{SubscriptionID: stopped.ID})
		wantCode(t, err, code)
		w.exec(change[1], w.provider.ID, w.reseller.ID)
	}
	w.exec("UPDATE partner SET status = 'SUSPENDED' WHERE id = ?", w.provider.ID)
	if _, err := w.ReduceLicences(t.Context(), w.provider.gina, QuantityInput{SubscriptionID: x.ID, Quantity: 4}); err != nil {
		t.Error(err)
	}
	if _, err := w.Cancel(t.Context(), w.provider.gina, TargetInput{SubscriptionID: x.ID}); err != nil {
		t.Error(err)
	}
}

func TestAssociation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	x, plain := w.sold(w.offer, 5), w.sold(w.addOn, 5)
	to := func(id ident.ID, partner *ident.ID) (*Subscription, error) {
		return w.AssociateReseller(t.Context(), w.provider.gina, AssociateInput{SubscriptionID: id, ResellerID: partner})
	}
	for name, c := range map[string]struct {
		id      ident.ID
		partner ident.ID
		code    string
	}{
		"not eligible":        {plain.ID, w.reseller.ID, CodeNotEligible},
		"not related":         {x.ID, w.sibling.ID, customer.CodeResellerNotRelated},
		"a stranger":          {x.ID, w.other.ID, fault.CodeNotFound},
		"nobody there":        {x.ID, ident.New(ident.Partner), fault.CodeNotFound},
		"the provider itself": {x.ID, w.provider.ID, customer.CodeResellerKind},
	} {
		if _, err := to(c.id, &c.partner); !fault.Is(err, c.code) {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
	w.exec("UPDATE partner SET agreement_due_at = '2020-01-01' WHERE id = ?", w.reseller.ID)
	_, err := to(x.ID, &w.reseller.ID)
	wantCode(t, err, customer.CodeResellerAgreement)
	w.exec("UPDATE partner SET agreement_due_at = NULL WHERE id = ?", w.reseller.ID)
	w.exec("UPDATE partnership SET status = 'TERMINATED' WHERE reseller_id = ?", w.reseller.ID)
	_, err = to(x.ID, &w.reseller.ID)
	wantCode(t, err, customer.CodePartnershipMissing)
	w.exec("UPDATE partnership SET status = 'ACTIVE' WHERE reseller_id = ?", w.reseller.ID)
	if got, err := to(x.ID, &w.reseller.ID); err != nil || got.AssociatedResellerID != w.reseller.ID || got.SupportContactID != w.provider.ID {
		t.Error(got, err)
	}
	// Credit gives no sight: the sibling is related for once, and loses that.
	w.relate(w.customer, w.sibling, customer.AsReseller, w.provider.ID)
	if _, err := to(x.ID, &w.sibling.ID); err != nil {
		t.Fatal(err)
	}
	if found, err := w.ByIDs(t.Context(), w.sibling.gina, []ident.ID{x.ID}); err != nil || len(found) > 0 {
		t.Error("credit gives sight", err)
	}
	if got, err := to(x.ID, nil); err != nil || got.AssociatedResellerID != "" {
		t.Error(got, err)
	}
	if got := w.history(x.ID); got != "CREATED, ACTIVATED, RESELLER_ASSOCIATED, RESELLER_ASSOCIATED, RESELLER_ASSOCIATED" {
		t.Error(got)
	}
}

// Siblings do not learn of each other by what they both have to do with.
func TestShows(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.relate(w.customer, w.sibling, customer.AsReseller, w.provider.ID)
	x := w.sold(w.offer, 5, func(p *Purchase) { p.AssociatedResellerID, p.SupportContactID = w.reseller.ID, w.sibling.ID })
	ids := map[string]ident.ID{"seller": w.provider.ID, "reseller": w.reseller.ID, "support": w.sibling.ID}
	for who, c := range map[string]struct {
		actor access.Actor
		want  string
	}{
		"seller": {w.provider.gina, "reseller seller support"}, "operator": {w.chief, "reseller seller support"}, "customer": {w.buyer, "reseller seller support"},
		"reseller": {w.reseller.gina, "reseller seller"}, "support": {w.sibling.gina, "seller support"}, "nobody": {access.Anonymous("en", ""), "seller"},
	} {
		var got []string
		for name, id := range ids {
			if x.Shows(c.actor, id) {
				got = append(got, name)
			}
		}
		slices.Sort(got)
		if strings.Join(got, " ") != c.want || x.Shows(c.actor, "") {
			t.Errorf("%s: %v, want %s", who, got, c.want)
		}
	}
	for name, f := range map[string]Filter{"by reseller": {ResellerID: &w.reseller.ID}, "of a customer": {ResellerID: &w.reseller.ID, CustomerID: &w.customer.ID},
		"and seller": {ResellerID: &w.reseller.ID, SellerID: &w.provider.ID}} {
		if list, err := w.List(t.Context(), w.sibling.gina, page.Args{}, nil, f); err != nil || len(list.Nodes()) > 0 {
			t.Errorf("a sibling finds it %s, %v", name, err)
		}
		if list, err := w.List(t.Context(), w.provider.gina, page.Args{}, nil, f); err != nil || len(list.Nodes()) != 1 {
			t.Errorf("the seller does not find it %s, %v", name, err)
		}
	}
	if pages, err := w.OfCustomers(t.Context(), w.sibling.gina, []ident.ID{w.customer.ID}, page.Args{}, nil, Filter{ResellerID: &w.reseller.ID}, ""); err != nil ||
		len(pages[w.customer.ID].Nodes()) > 0 {
		t.Error("a sibling finds it among the customer's", err)
	}
}

// The support contact sees exactly that subscription, as long as it is one.
func TestSupportContact(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	x, beside := w.sold(w.offer, 5), w.sold(w.offer, 5)
	to := func(partner *ident.ID) (*Subscription, error) {
		return w.DesignateSupportContact(t.Context(), w.provider.gina, DesignateInput{SubscriptionID: x.ID, PartnerID: partner})
	}
	sees := func(a access.Actor) string {
		var out []string
		found, err := w.ByIDs(t.Context(), a, []ident.ID{x.ID, beside.ID})
		if err != nil {
			t.Fatal(err)
		}
		list, err := w.List(t.Context(), a, page.Args{}, nil, Filter{})
		if err != nil || len(list.Nodes()) != len(found) {
			t.Error("list and look-up differ", err)
		}
		for name, s := range map[string]*Subscription{"it": x, "beside": beside} {
			if found[s.ID] != nil {
				out = append(out, name)
			}
		}
		slices.Sort(out)
		return strings.Join(out, " ")
	}
	_, err := to(&w.sibling.ID)
	wantCode(t, err, CodeNotRelated)
	_, err = to(&w.direct.ID)
	wantCode(t, err, fault.CodeNotFound)
	if got := sees(w.sibling.gina); got != "" {
		t.Errorf("a sibling sees %s", got)
	}
	w.relate(w.customer, w.sibling, customer.AsReseller, w.provider.ID)
	if got := sees(w.sibling.gina); got != "" {
		t.Errorf("another reseller of the customer sees %s", got)
	}
	if got, err := to(&w.sibling.ID); err != nil || got.SupportContactID != w.sibling.ID {
		t.Fatal(got, err)
	}
	for name, c := range map[string]struct {
		actor access.Actor
		want  string
	}{
		"support": {w.sibling.gina, "it"}, "seller": {w.provider.gina, "beside it"}, "reseller": {w.reseller.gina, "beside it"}, "customer": {w.buyer, "beside it"},
		"operator": {w.chief, "beside it"}, "another provider": {w.other.gina, ""}, "a direct-bill partner": {w.direct.gina, ""},
	} {
		if got := sees(c.actor); got != c.want {
			t.Errorf("%s sees %q, want %q", name, got, c.want)
		}
	}
	if c, err := w.History(t.Context(), w.sibling.gina, beside.ID, page.Args{}, EventFilter{}); err != nil || len(c.Nodes()) > 0 {
		t.Error("support reads the history of another subscription", err)
	}
	if c, err := w.History(t.Context(), w.sibling.gina, x.ID, page.Args{}, EventFilter{}); err != nil || len(c.Nodes()) != 3 {
		t.Error("support does not read its own", err)
	}
	if got, err := to(nil); err != nil || got.SupportContactID != w.provider.ID || sees(w.sibling.gina) != "" {
		t.Error(got, err)
	}
}

// Where a relationship is removed, what that partner sold there stops, and it
// has nothing to do with the rest any more; others' subscriptions go on.
func TestRemovedRelationships(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	mine, supported := w.sold(w.offer, 5), w.sold(w.offer, 5)
	if _, err := w.DesignateSupportContact(t.Context(), w.provider.gina, DesignateInput{SubscriptionID: supported.ID, PartnerID: &w.reseller.ID}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.AssociateReseller(t.Context(), w.provider.gina, AssociateInput{SubscriptionID: supported.ID, ResellerID: &w.reseller.ID}); err != nil {
		t.Fatal(err)
	}
	w.relate(w.customer, w.direct, customer.AsDirectBill, "")
	theirs := w.sold(w.offer, 7, func(p *Purchase) { p.SellerID, p.ResellerID = w.direct.ID, "" })
	pending := w.order(w.offer, 2)
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		_, err := w.CreateTx(ctx, tx, w.provider.gina, pending)
		return err
	})
	remove := func(h house) {
		t.Helper()
		if _, err := w.customers.Remove(t.Context(), h.gina, customer.RemoveInput{CustomerID: w.customer.ID, Reason: "It is over."}); err != nil {
			t.Fatal(err)
		}
	}
	remove(w.reseller)
	if got := w.read(supported.ID); got.SupportContactID != w.provider.ID || got.AssociatedResellerID != "" || got.Status != Active {
		t.Error(got.told())
	}
	if got := w.history(supported.ID); !strings.HasSuffix(got, "SUPPORT_CONTACT_DESIGNATED RELATIONSHIP_REMOVED, RESELLER_ASSOCIATED RELATIONSHIP_REMOVED") {
		t.Error(got)
	}
	if found, err := w.ByIDs(t.Context(), w.reseller.gina, []ident.ID{mine.ID, supported.ID}); err != nil || len(found) > 0 {
		t.Error("a removed reseller sees what was sold through it", err)
	}
	if list, err := w.List(t.Context(), w.reseller.gina, page.Args{}, nil, Filter{}); err != nil || len(list.Nodes()) > 0 {
		t.Error("a removed reseller lists what was sold through it", err)
	}
	remove(w.provider)
	for _, x := range []*Subscription{mine, supported} {
		if got := w.read(x.ID); got.Status != Suspended || got.StatusReason != ReasonRelationship {
			t.Error(got.told())
		}
	}
	if got := w.read(theirs.ID); got.Status != Active {
		t.Error(got.told())
	}
	if got := w.counts(); got != "3/17 2/10 0/0 0/0 1/7" {
		t.Error(got)
	}
	_, err := w.Reactivate(t.Context(), w.provider.gina, TargetInput{SubscriptionID: mine.ID})
	wantCode(t, err, customer.CodeRelationshipMissing)
}

// What was sold through a reseller counts for it while it has the customer: not
// once it has gone, whatever becomes of it meanwhile, and again when it is back.
func TestCountsOfAResellerThatWent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	x, over := w.sold(w.offer, 5), w.sold(w.offer, 4)
	w.sold(w.offer, 3, func(p *Purchase) { p.ResellerID = "" })
	want := func(when, counts string) {
		t.Helper()
		if got := w.counts(); got != counts {
			t.Errorf("%s: %s, want %s", when, got, counts)
		}
	}
	want("sold", "3/12 3/12 2/9 2/9 0/0")
	if _, err := w.customers.Remove(t.Context(), w.reseller.gina, customer.RemoveInput{CustomerID: w.customer.ID, Reason: "It is over."}); err != nil {
		t.Fatal(err)
	}
	want("removed", "3/12 3/12 0/0 0/0 0/0")
	if _, err := w.Cancel(t.Context(), w.provider.gina, TargetInput{SubscriptionID: over.ID}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.ReduceLicences(t.Context(), w.provider.gina, QuantityInput{SubscriptionID: x.ID, Quantity: 2}); err != nil {
		t.Fatal(err)
	}
	want("changed meanwhile", "2/5 2/5 0/0 0/0 0/0")
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		if _, err := tx.NewRaw("UPDATE relationship SET status = 'ACTIVE' WHERE customer_id = ? AND partner_id = ?", w.customer.ID, w.reseller.ID).Exec(ctx); err != nil {
			return err
		}
		return w.returned(ctx, tx, &customer.Relationship{CustomerID: w.customer.ID, PartnerID: w.reseller.ID})
	})
	want("back", "2/5 2/5 1/2 1/2 0/0")
}

// Licences are given back while the reseller goes: whoever is first, the counts
// are what is there.
func TestReduceAgainstRemove(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for n := range 4 {
		w.customer = w.buys(fmt.Sprint("Buyer", n), w.provider, w.reseller)
		x := w.sold(w.offer, 5)
		var group sync.WaitGroup
		group.Go(func() {
			if _, err := w.ReduceLicences(t.Context(), w.provider.gina, QuantityInput{SubscriptionID: x.ID, Quantity: 2}); err != nil {
				t.Error(err)
			}
		})
		group.Go(func() {
			if _, err := w.customers.Remove(t.Context(), w.reseller.gina, customer.RemoveInput{CustomerID: w.customer.ID, Reason: "It is over."}); err != nil {
				t.Error(err)
			}
		})
		group.Wait()
		if got, want := w.counts(), fmt.Sprintf("%[1]d/%[2]d %[1]d/%[2]d 0/0 0/0 0/0", n+1, 2*(n+1)); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// Designating against removing: whoever is first, nobody who is not related
// supports anything afterwards.
func TestDesignateAgainstRemove(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	x := w.sold(w.offer, 5)
	var group sync.WaitGroup
	group.Go(func() {
		_, err := w.DesignateSupportContact(t.Context(), w.provider.gina, DesignateInput{SubscriptionID: x.ID, PartnerID: &w.reseller.ID})
		if err != nil && !fault.Is(err, CodeNotRelated) {
			t.Error(err)
		}
	})
	group.Go(func() {
		_, err := w.customers.Remove(t.Context(), w.reseller.gina, customer.RemoveInput{CustomerID: w.customer.ID, Reason: "It is over."})
		if err != nil {
			t.Error(err)
		}
	})
	group.Wait()
	if got := w.read(x.ID); got.SupportContactID != w.provider.ID {
		t.Errorf("supported by %s after %s", got.SupportContactID, w.history(x.ID))
	}
}

// Two at once: one number of licences is given back once, and what two people
// saw in one version is changed by one of them.
func TestAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	x := w.sold(w.offer, 3)
	race := func(fn func() error) (done int, codes []string) {
		var mu sync.Mutex
		var group sync.WaitGroup
		for range 6 {
			group.Go(func() {
				err := fn()
				mu.Lock()
				defer mu.Unlock()
				if f := fault.As(err); f != nil {
					codes = append(codes, f.Code)
				} else if err != nil {
					t.Error(err)
				} else {
					done++
				}
			})
		}
		group.Wait()
		slices.Sort(codes)
		return done, slices.Compact(codes)
	}
	for name, c := range map[string]struct {
		fn   func() error
		want string
	}{
		"the last licence": {func() error {
			_, err := w.ReduceLicences(t.Context(), w.provider.gina, QuantityInput{SubscriptionID: x.ID, Quantity: 2})
			return err
		}, "1 [QUANTITY_NOT_LOWER]"},
	} {
		if done, codes := race(c.fn); fmt.Sprint(done, " ", codes) != c.want {
			t.Errorf("%s: %d done, %v; want %s", name, done, codes, c.want)
		}
	}
	version := w.read(x.ID).Version
	if done, codes := race(func() error {
		_, err := w.AddLicences(t.Context(), w.provider.gina, QuantityInput{SubscriptionID: x.ID, Quantity: 9, ExpectedVersion: &version})
		return err
	}); done != 1 || !slices.Equal(codes, []string{fault.CodeConflict}) {
		t.Error(done, codes)
	}
	if done, codes := race(func() error {
		_, err := w.Cancel(t.Context(), w.provider.gina, TargetInput{SubscriptionID: x.ID})
		return err
	}); done != 1 || !slices.Equal(codes, []string{CodeStatusForbids}) {
		t.Error(done, codes)
	}
	if got := w.counts(); got != "0/0 0/0 0/0 0/0 0/0" {
		t.Error(got)
	}
}

// What stands in the way of ending a partnership, for its sides and the
// operator.
func TestOpenOfPairs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.sold(w.offer, 5)
	over := w.sold(w.offer, 5)
	w.sold(w.offer, 5, func(p *Purchase) { p.ResellerID = "" })
	if _, err := w.Cancel(t.Context(), w.provider.gina, TargetInput{SubscriptionID: over.ID}); err != nil {
		t.Fatal(err)
	}
	var pairs []ident.ID
	if err := w.db.Read().NewSelect().TableExpr("partnership").Column("id").OrderExpr("reseller_id").Scan(t.Context(), &pairs); err != nil || len(pairs) != 2 {
		t.Fatal(pairs, err)
	}
	for who, c := range map[string]struct {
		actor access.Actor
		want  int
	}{"provider": {w.provider.gina, 1}, "reseller": {w.reseller.gina, 1}, "operator": {w.chief, 1}, "sibling": {w.sibling.gina, 0}, "stranger": {w.other.gina, 0}, "customer": {w.buyer, 0}} {
		found, err := w.OpenOfPairs(t.Context(), c.actor, pairs)
		if err != nil || found[pairs[0]]+found[pairs[1]] != c.want {
			t.Errorf("%s: %v, %v", who, found, err)
		}
	}
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		for reseller, want := range map[ident.ID]int{w.reseller.ID: 1, w.sibling.ID: 0, "": 0} {
			pair := partnership.Couple{ProviderID: w.provider.ID, ResellerID: reseller}
			found, err := w.Blocking(ctx, tx, []partnership.Couple{pair, {ProviderID: w.provider.ID, ResellerID: w.sibling.ID}})
			if err != nil || len(found[pair]) != want || want > 0 && found[pair][0].Name == "" {
				t.Errorf("%s: %v, %v", reseller, found, err)
			}
		}
		return nil
	})
}

func TestBadInput(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	x := w.sold(w.offer, 5)
	for _, c := range []struct {
		quantity int
		code     string
	}{{5, CodeNotMore}, {0, CodeNotMore}, {-1, CodeNotMore}, {51, catalog.CodeQuantityHigh}, {1 << 40, catalog.CodeQuantityHigh}} {
		_, err := w.AddLicences(t.Context(), w.provider.gina, QuantityInput{SubscriptionID: x.ID, Quantity: c.quantity})
		wantCode(t, err, c.code)
	}
	for _, c := range []struct {
		quantity int
		code     string
	}{{5, CodeNotFewer}, {6, CodeNotFewer}, {1, catalog.CodeQuantityLow}, {0, catalog.CodeQuantityLow}, {-1 << 40, catalog.CodeQuantityLow}} {
		_, err := w.ReduceLicences(t.Context(), w.provider.gina, QuantityInput{SubscriptionID: x.ID, Quantity: c.quantity})
		wantCode(t, err, c.code)
	}
	for name, code := range map[string]string{strings.Repeat("n", MaxName+1): fault.CodeTooLong, "a\u202eb": fault.CodeControlChars, "see https://evil.example": "LINK_NOT_ALLOWED"} {
		_, err := w.Rename(t.Context(), w.provider.gina, RenameInput{SubscriptionID: x.ID, FriendlyName: &name})
		wantCode(t, err, code)
	}
	for _, id := range []ident.ID{"", "x", w.customer.ID, ident.ID(strings.Repeat("z", 1000))} {
		_, err := w.Suspend(t.Context(), w.provider.gina, TargetInput{SubscriptionID: id})
		wantCode(t, err, fault.CodeNotFound)
	}
	if got := w.read(x.ID); got.Version != 2 {
		t.Errorf("something was written: %s", got.told())
	}
}

// Whose live events a change is.
func TestEvents(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	x := w.sold(w.offer, 5)
	var rows []*event.Event
	if err := w.db.Read().NewSelect().Model(&rows).ExcludeColumn("number").Where("subject_id = ?", x.ID).Scan(t.Context()); err != nil {
		t.Fatal(err)
	}
	var got []ident.ID
	for _, e := range rows {
		got = append(got, e.OrganizationID, e.OtherOrganizationID)
	}
	want := []ident.ID{"", w.customer.OrganizationID, w.provider.org, w.reseller.org}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("told to %v, want %v", got, want)
	}
}

// Lists: each sees its own part, by every way, ordering and filter, in pages
// that cost one statement.
func TestLists(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	second := w.buys("Vetreria", w.provider)
	own := func(p *Purchase) {
		p.CustomerID, p.OrganizationID, p.ResellerID = second.ID, second.OrganizationID, ""
	}
	names := map[ident.ID]string{}
	for n := range 7 {
		x := w.sold(w.offer, 2, func(p *Purchase) { p.FriendlyName = fmt.Sprintf("Alpha %d", n) })
		names[x.ID] = fmt.Sprintf("a%d", n)
	}
	for n := range 3 {
		x := w.sold(w.addOn, 2, own, func(p *Purchase) { p.Term = catalog.OneYear })
		names[x.ID] = fmt.Sprintf("b%d", n)
	}
	w.relate(second, w.sibling, customer.AsReseller, w.provider.ID)
	for id, name := range names {
		if name == "b1" {
			if _, err := w.DesignateSupportContact(t.Context(), w.provider.gina, DesignateInput{SubscriptionID: id, PartnerID: &w.sibling.ID}); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.relate(w.customer, w.direct, customer.AsDirectBill, "")
	d := w.sold(w.offer, 9, func(p *Purchase) { p.SellerID, p.ResellerID = w.direct.ID, "" })
	names[d.ID] = "d0"
	const as, bs = "a0 a1 a2 a3 a4 a5 a6", "b0 b1 b2"
	for who, c := range map[string]struct {
		actor access.Actor
		f     Filter
		want  string
	}{
		"the provider":              {w.provider.gina, Filter{}, as + " " + bs},
		"the reseller":              {w.reseller.gina, Filter{}, as},
		"the support contact":       {w.sibling.gina, Filter{}, "b1"},
		"the direct-bill partner":   {w.direct.gina, Filter{}, "d0"},
		"the customer":              {w.buyer, Filter{}, as + " d0"},
		"the operator":              {w.chief, Filter{}, as + " " + bs + " d0"},
		"another provider":          {w.other.gina, Filter{}, ""},
		"of a customer":             {w.provider.gina, Filter{CustomerID: &second.ID}, bs},
		"of a customer, supporting": {w.sibling.gina, Filter{CustomerID: &second.ID}, "b1"},
		"of another's customer":     {w.direct.gina, Filter{CustomerID: &second.ID}, ""},
		"of a shared customer":      {w.direct.gina, Filter{CustomerID: &w.customer.ID}, "d0"},
		"through a reseller":        {w.provider.gina, Filter{ResellerID: &w.reseller.ID}, as},
		"through nobody":            {w.chief, Filter{ResellerID: new(ident.ID(""))}, ""},
		"of a seller":               {w.chief, Filter{SellerID: &w.direct.ID}, "d0"},
		"of another seller":         {w.provider.gina, Filter{SellerID: &w.direct.ID}, ""},
		"of an offer":               {w.chief, Filter{OfferID: &w.addOn.ID}, bs},
		"by name":                   {w.chief, Filter{Search: new("ALPHA 3")}, "a3"},
		"by the offer's name":       {w.chief, Filter{Search: new("ext")}, bs},
		"by a sign":                 {w.chief, Filter{Search: new("%")}, ""},
		"active":                    {w.reseller.gina, Filter{Status: []Status{Active, Expired}}, as},
		"cancelled":                 {w.reseller.gina, Filter{Status: []Status{Cancelled}}, ""},
		"of a term":                 {w.chief, Filter{Term: new(catalog.OneYear)}, bs},
		"not to be renewed":         {w.chief, Filter{AutoRenew: new(false)}, ""},
	} {
		for _, order := range []*Order{nil, {Field: ByName, Direction: page.Desc}, {Field: ByCreated}, {Field: ByCreated, Direction: page.Desc}} {
			var got []string
			var after *string
			for {
				before := w.db.Queries()
				list, err := w.List(t.Context(), c.actor, page.Args{First: new(3), After: after}, order, c.f)
				if err != nil {
					t.Fatal(who, err)
				}
				if n := w.db.Queries() - before; n != 1 {
					t.Errorf("%s: a page costs %d statements", who, n)
				}
				for _, x := range list.Nodes() {
					got = append(got, names[x.ID])
				}
				if count, err := list.TotalCount(t.Context()); err != nil || count.Value != len(strings.Fields(c.want)) {
					t.Errorf("%s: counted %v, %v", who, count, err)
				}
				if !list.PageInfo.HasNextPage {
					break
				}
				after = list.PageInfo.EndCursor
			}
			if order == nil && strings.HasPrefix(c.want, as) && !slices.IsSorted(got[:7]) {
				t.Errorf("%s: not by name: %v", who, got)
			}
			slices.Sort(got)
			if strings.Join(got, " ") != c.want {
				t.Errorf("%s: %v, want %s", who, got, c.want)
			}
		}
		back, err := w.List(t.Context(), c.actor, page.Args{Last: new(2)}, nil, c.f)
		if err != nil || len(back.Nodes()) != min(2, len(strings.Fields(c.want))) {
			t.Errorf("%s, backwards: %d, %v", who, len(back.Nodes()), err)
		}
	}
	for name, a := range map[string]access.Actor{"nobody": access.Anonymous("en", ""), "a user admin": w.user(w.provider.org, "ada@nordwind.example", access.UserAdmin)} {
		if _, err := w.List(t.Context(), a, page.Args{}, nil, Filter{}); err == nil {
			t.Errorf("%s lists subscriptions", name)
		}
		if found, err := w.ByIDs(t.Context(), a, []ident.ID{d.ID}); err != nil || len(found) > 0 {
			t.Errorf("%s reads subscriptions: %v", name, err)
		}
	}
}

// The first pages of many customers cost one statement, and are those that a
// list of each gives.
func TestOfCustomers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	customers := []ident.ID{w.customer.ID}
	for n := range 3 {
		c := w.buys(fmt.Sprintf("Vetreria%d", n), w.provider)
		customers = append(customers, c.ID)
		for range n {
			w.sold(w.offer, 2, func(p *Purchase) { p.CustomerID, p.OrganizationID, p.ResellerID = c.ID, c.OrganizationID, "" })
		}
	}
	for n := range 5 {
		w.sold(w.offer, 2+n)
	}
	customers = append(customers, ident.New(ident.Customer))
	for who, a := range map[string]access.Actor{"provider": w.provider.gina, "reseller": w.reseller.gina, "customer": w.buyer, "other": w.other.gina, "operator": w.chief} {
		for _, args := range []page.Args{{First: new(3)}, {Last: new(2)}, {}} {
			before := w.db.Queries()
			pages, err := w.OfCustomers(t.Context(), a, customers, args, &Order{Field: ByCreated}, Filter{Status: []Status{Active}}, "")
			if err != nil {
				t.Fatal(err)
			}
			if n := w.db.Queries() - before; n != 1 {
				t.Errorf("%s: %d statements", who, n)
			}
			for _, id := range customers {
				one, err := w.List(t.Context(), a, args, &Order{Field: ByCreated}, Filter{Status: []Status{Active}, CustomerID: &id})
				if err != nil {
					t.Fatal(err)
				}
				got, want := told(t, pages[id]), told(t, one)
				if got != want {
					t.Errorf("%s: %s, want %s", who, got, want)
				}
			}
		}
	}
	pages, err := w.OfCustomers(t.Context(), w.provider.gina, customers, page.Args{First: new(3)}, nil, Filter{}, "")
	if err != nil {
		t.Fatal(err)
	}
	// A page's cursor goes on in the list of that customer.
	rest, err := w.List(t.Context(), w.provider.gina, page.Args{First: new(3), After: pages[customers[0]].PageInfo.EndCursor}, nil, Filter{CustomerID: &customers[0]})
	if err != nil || len(rest.Nodes()) != 2 {
		t.Error(len(rest.Nodes()), err)
	}
	none, err := w.OfCustomers(t.Context(), access.Anonymous("en", ""), customers, page.Args{}, nil, Filter{}, "")
	if err != nil || len(none[customers[0]].Nodes()) > 0 {
		t.Error(err)
	}
}

// What is shown of the subscriptions of many customers is what a list tells of
// them, and a field that nobody has thought of gets all of it.
func TestWhatIsShownOfSubscriptions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.sold(w.offer, 2)
	var known []string
	for f := range shown.Of {
		known = append(known, f)
	}
	for name, fields := range map[string][]string{"nothing": nil, "a few": {"offerName", "status", "supportContact"}, "all that are known": known, "another": {"id", "history"}} {
		show := Showing(fields)
		if (show == "") != (name == "another") {
			t.Fatalf("%s: %q", name, show)
		}
		pages, err := w.OfCustomers(t.Context(), w.provider.gina, []ident.ID{w.customer.ID}, page.Args{}, nil, Filter{}, show)
		if err != nil {
			t.Fatal(name, err)
		}
		want, err := w.List(t.Context(), w.provider.gina, page.Args{}, nil, Filter{CustomerID: &w.customer.ID})
		if err != nil || len(want.Edges) == 0 || len(pages[w.customer.ID].Edges) != len(want.Edges) {
			t.Fatal(name, len(want.Edges), err)
		}
		for i, e := range want.Edges {
			got := pages[w.customer.ID].Edges[i]
			if got.Cursor != e.Cursor {
				t.Errorf("%s: the cursors differ", name)
			}
			for _, f := range reflect.VisibleFields(reflect.TypeFor[Subscription]()) {
				column := strings.Split(f.Tag.Get("bun"), ",")[0]
				if f.Name == "BaseModel" || show != "" && !slices.Contains(strings.Split(string(show), ","), column) {
					continue
				}
				a, b := reflect.ValueOf(*got.Node).FieldByIndex(f.Index).Interface(), reflect.ValueOf(*e.Node).FieldByIndex(f.Index).Interface()
				if !reflect.DeepEqual(a, b) {
					t.Errorf("%s: %s is %v, want %v", name, column, a, b)
				}
			}
		}
	}
}

func told(t *testing.T, c *page.Connection[*Subscription]) string {
	t.Helper()
	n, err := c.TotalCount(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range c.Edges {
		out = append(out, string(e.Node.ID)+" at "+e.Cursor)
	}
	return fmt.Sprintln(out, n.Value, c.PageInfo.HasNextPage, c.PageInfo.HasPreviousPage)
}
