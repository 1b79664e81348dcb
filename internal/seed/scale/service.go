package scale

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/catalog"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/rollup"
	"github.com/channelgraph/channelgraph/internal/secret"
	"github.com/channelgraph/channelgraph/internal/seed"
)

// Deps is what the world is made with.
type Deps struct {
	DB       *database.DB
	Accounts *account.Service
	Offers   *catalog.Service
	// TenantDomain is what the customers' domains stand under.
	TenantDomain string
}

// Options say which world is made.
type Options struct {
	Size Size
	// Day is as of when the world stands; the zero value is today, and for a
	// world that was begun its own.
	Day time.Time
	// Founded is told the accounts that people sign in with, once, as soon as
	// they are there.
	Founded func([]seed.Account)
	// Progress is told how many customers are there.
	Progress func(done int)
}

// setting keeps how far a world is, among the values of the installation.
const setting = "scale_world"

// state is how far a world is.
type state struct {
	Size
	Day    string `json:"day"`
	Suffix string `json:"suffix"`
	// Done counts the customers that are there with all that they have.
	Done     int  `json:"done"`
	Finished bool `json:"finished"`
}

// ErrForeign refuses a database that holds something else than the world.
var ErrForeign = errors.New("the database holds something else than this generated world")

// atOnce is how many customers are written in a transaction.
const atOnce = 2_000

// Build makes the world, or goes on with it where an earlier run was cut. It
// tells whether there was anything left to do. Where ctx ends, what was
// written stays, and the next run goes on from there. Errors: ErrForeign.
func Build(ctx context.Context, d Deps, o Options) (bool, error) {
	if err := o.Size.Check(); err != nil {
		return false, err
	}
	st, err := begin(ctx, d, o)
	if err != nil || st.Finished {
		return false, err
	}
	w := &world{Size: st.Size, suffix: st.Suffix}
	if w.day, err = time.Parse(time.DateOnly, st.Day); err != nil {
		return false, fmt.Errorf("the stored day: %w", err)
	}
	if err := w.know(ctx, d); err != nil {
		return false, err
	}
	if err := w.fill(ctx, d.DB, st.Done, o.Progress); err != nil {
		return false, err
	}
	if _, err := rollup.FoldAll(ctx, d.DB); err != nil {
		return false, err
	}
	if err := d.DB.Settled(ctx, "organization", "partner", "partnership", "customer", "relationship", "customer_agreement",
		"product_subscription", "subscription_event", "offer", "offer_price", "rollup", "rollup_delta"); err != nil {
		return false, err
	}
	st.Done, st.Finished = w.Customers, true
	return true, d.DB.InBulk(ctx, func(ctx context.Context, b *database.Bulk) error { return st.write(ctx, b) })
}

func (st *state) write(ctx context.Context, b *database.Bulk) error {
	text, err := json.Marshal(st)
	if err != nil {
		return err
	}
	return database.SetSetting(ctx, b, setting, string(text))
}

// read is the state of the world in the database, nil where there is none.
func read(ctx context.Context, b *database.Bulk) (*state, error) {
	text, err := hold(ctx, b.Tx)
	if err != nil || text == "" {
		return nil, err
	}
	st := new(state)
	if err := json.Unmarshal([]byte(text), st); err != nil {
		return nil, fmt.Errorf("reading how far the world is: %w", err)
	}
	return st, nil
}

// begin reads how far the world is, and founds one in an empty database.
func begin(ctx context.Context, d Deps, o Options) (st *state, err error) {
	var accounts []seed.Account
	err = d.DB.InBulk(ctx, func(ctx context.Context, b *database.Bulk) error {
		there, err := count(ctx, b)
		if err != nil {
			return fmt.Errorf("counting what is there: %w", err)
		}
		if st, err = read(ctx, b); err != nil {
			return err
		}
		if st == nil {
			if there != (counts{}) {
				return ErrForeign
			}
			day := o.Day
			if day.IsZero() {
				day = b.Now
			}
			st = &state{Size: o.Size, Day: day.Format(time.DateOnly), Suffix: d.TenantDomain}
			w := &world{Size: o.Size}
			if w.day, err = time.Parse(time.DateOnly, st.Day); err != nil {
				return err
			}
			if accounts, err = found(ctx, b, d, w); err != nil {
				return err
			}
			return st.write(ctx, b)
		}
		if st.Size != o.Size {
			return fmt.Errorf("%w: one of %s was begun here", ErrForeign, st.Size)
		}
		if !o.Day.IsZero() && o.Day.Format(time.DateOnly) != st.Day {
			return fmt.Errorf("%w: one of %s was begun here", ErrForeign, st.Day)
		}
		if w := (&world{Size: st.Size}); !st.Finished && there != w.expected(st.Done) {
			return fmt.Errorf("%w: somebody has worked in it since it was begun", ErrForeign)
		}
		return nil
	})
	if err == nil && accounts != nil && o.Founded != nil {
		o.Founded(accounts)
	}
	return st, err
}

// expected is what there must be after some customers.
func (w *world) expected(done int) counts {
	c := counts{Organizations: 1 + w.Providers + w.Resellers + done, Users: 1 + w.Providers + min(w.Resellers, 1), Customers: done}
	if done > 0 {
		_, c.Subscriptions = w.bought(done - 1)
	}
	return c
}

// found makes the programme: the operator with the demo's catalogue, all
// partners and partnerships, and who signs in.
func found(ctx context.Context, b *database.Bulk, d Deps, w *world) ([]seed.Account, error) {
	actor := access.System("scale")
	var out []seed.Account
	add := func(org *account.Organization, email string, roles ...access.Role) (ident.ID, error) {
		password := secret.NewPassword()
		u, _, err := d.Accounts.AddUser(ctx, b.Tx, actor, org, account.NewUser{Email: email, FirstName: pick(givenNames, len(out)), LastName: pick(familyNames, len(out)/3),
			Locale: org.Locale, Roles: roles, Password: password})
		if err != nil {
			return "", fmt.Errorf("%s: %w", email, err)
		}
		out = append(out, seed.Account{Organization: org.Name, Kind: org.Kind, Role: roles[0], Email: email, Password: password.Reveal()})
		return u.ID, nil
	}
	operator, err := d.Accounts.Found(ctx, b.Tx, actor, account.NewOrganization{Kind: access.Operator, Name: "Meridian Cloud Programme", Domain: "meridian.example", Country: "IE", Locale: "en"})
	if err != nil {
		return nil, err
	}
	chief, err := add(operator, "operator.admin@meridian.example", access.OperatorAdmin)
	if err != nil {
		return nil, err
	}
	boss, err := access.Load(ctx, b, access.Presence{UserID: chief, SudoUntil: b.Now.Add(time.Hour)})
	if err != nil {
		return nil, err
	}
	if _, err := d.Offers.ImportTx(ctx, b.Tx, boss, catalog.CSV, "catalog.csv", seed.Catalog); err != nil {
		return nil, err
	}
	f := w.found()
	for _, rows := range []any{f.organizations, f.partners, f.partnerships} {
		if err := b.Load(ctx, rows); err != nil {
			return nil, err
		}
	}
	for n := range w.Providers + min(w.Resellers, 1) { // the providers come first
		o := f.organizations[n]
		if _, err := add(o, adminEmail(o), access.GlobalAdmin, access.AdminAgent); err != nil {
			return nil, err
		}
	}
	return out, f.counts.Write(ctx, b.Tx)
}

// know reads what rows refer to that the house itself has made.
func (w *world) know(ctx context.Context, d Deps) error {
	return d.DB.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		skus, err := d.Offers.BySKUTx(ctx, tx)
		if err != nil {
			return err
		}
		var ids []ident.ID
		for _, o := range skus {
			ids = append(ids, o.ID)
		}
		found, err := d.Offers.OffersTx(ctx, tx, ids)
		if err != nil {
			return err
		}
		var offers []*catalog.Offer
		for _, o := range found {
			offers = append(offers, o)
		}
		slices.SortFunc(offers, func(a, b *catalog.Offer) int {
			if a.SKU < b.SKU {
				return -1
			}
			return 1
		})
		if w.offers, err = sales(offers); err != nil {
			return err
		}
		w.admins = nil
		for n := range w.Providers {
			o, _ := w.seller(firstProvider + n)
			u, err := d.Accounts.ByEmailTx(ctx, tx, adminEmail(o))
			if err != nil {
				return err
			}
			if u == nil {
				return fmt.Errorf("%w: %s is missing", ErrForeign, adminEmail(o))
			}
			w.admins = append(w.admins, u.ID)
		}
		return nil
	})
}

// fill writes the customers that are missing. The next batch is computed while
// one is written.
func (w *world) fill(ctx context.Context, db *database.DB, done int, progress func(int)) error {
	if progress == nil {
		progress = func(int) {}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type made struct {
		*batch
		err error
	}
	ready := make(chan made)
	go func() {
		defer close(ready)
		for from := done; from < w.Customers; from += atOnce {
			b, err := w.batch(from, min(from+atOnce, w.Customers))
			select {
			case ready <- made{b, err}:
			case <-ctx.Done():
				return
			}
		}
	}()
	progress(done)
	for m := range ready {
		if m.err != nil {
			return m.err
		}
		if err := m.write(ctx, db); err != nil {
			return fmt.Errorf("writing the customers from number %d: %w", m.from, err)
		}
		progress(m.to)
	}
	return ctx.Err()
}

// write brings a batch in, with its counts and how far the world is, or
// nothing of it.
func (b *batch) write(ctx context.Context, db *database.DB) error {
	return db.InBulk(ctx, func(ctx context.Context, to *database.Bulk) error {
		st, err := read(ctx, to)
		if err != nil {
			return err
		}
		if st == nil || st.Done != b.from {
			return errors.New("another process writes to this world")
		}
		for _, rows := range []any{b.organizations, b.customers, b.relationships, b.agreements, b.subscriptions, b.events} {
			if err := to.Load(ctx, rows); err != nil {
				return err
			}
		}
		if err := b.counts.Write(ctx, to.Tx); err != nil {
			return err
		}
		st.Done = b.to
		return st.write(ctx, to)
	})
}
