package database_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/database/dbtest"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/page"
)

func put(ctx context.Context, t *testing.T, idb bun.IDB, key, value string) {
	t.Helper()
	if err := database.SetSetting(ctx, idb, key, value); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, db *database.DB, key string) string {
	t.Helper()
	v, err := database.Setting(t.Context(), db.Read(), key)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestInTxCommitsAndRollsBack(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	ctx := t.Context()
	rung, stop := db.Subscribe("topic")
	defer stop()
	after := 0
	refused := errors.New("refused")
	err := db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		put(ctx, t, tx, "a", "1")
		tx.Notify("topic")
		tx.AfterCommit(func() { after++ })
		return refused
	})
	if !errors.Is(err, refused) || get(t, db, "a") != "" || after != 0 {
		t.Errorf("got %v, a=%q, %d calls after no commit", err, get(t, db, "a"), after)
	}
	select {
	case <-rung:
		t.Error("a rollback rang")
	default:
	}
	var now time.Time
	err = db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		now = tx.Now
		put(ctx, t, tx, "a", "1")
		put(ctx, t, tx, "a", "2")
		if v, err := database.Setting(ctx, tx, "a"); err != nil || v != "2" {
			t.Errorf("a transaction does not read itself: %q, %v", v, err)
		}
		tx.Notify("topic")
		tx.Notify("topic")
		tx.AfterCommit(func() {
			if get(t, db, "a") != "2" {
				t.Error("AfterCommit came before the commit")
			}
			after++
		})
		return nil
	})
	if err != nil || after != 1 || get(t, db, "a") != "2" {
		t.Errorf("got %v, %d", err, after)
	}
	if now.Location() != time.UTC || now.Nanosecond()%1000 != 0 {
		t.Errorf("the moment is %v", now)
	}
	wait(t, rung)
}

func wait(t *testing.T, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(10 * time.Second):
		t.Fatal("nobody rang")
	}
}

func TestInTxRollsBackOnPanic(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_ = db.InTx(t.Context(), func(ctx context.Context, tx *database.Tx) error {
			put(ctx, t, tx, "a", "1")
			panic("boom")
		})
	}()
	if get(t, db, "a") != "" {
		t.Error("it was kept")
	}
	if err := db.InTx(t.Context(), func(ctx context.Context, tx *database.Tx) error { put(ctx, t, tx, "a", "2"); return nil }); err != nil {
		t.Errorf("the connection is lost: %v", err)
	}
}

// Two transactions that lock two rows in opposite order deadlock on
// PostgreSQL; SQLite has one writer and lets them follow each other.
func TestInTxRepeatsAfterADeadlock(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	put(t.Context(), t, db.Bun(), "a", "0")
	put(t.Context(), t, db.Bun(), "b", "0")
	var met sync.WaitGroup
	met.Add(2)
	tries := make([]int, 2)
	var both sync.WaitGroup
	for i, keys := range [][]string{{"a", "b"}, {"b", "a"}} {
		both.Go(func() {
			err := db.InTx(t.Context(), func(ctx context.Context, tx *database.Tx) error {
				tries[i]++
				for n, k := range keys {
					if n == 1 && tries[i] == 1 {
						met.Done()
						if db.Dialect() == database.Postgres {
							met.Wait()
						}
					}
					if _, err := tx.NewUpdate().Table("instance").Set("value = value || ?", fmt.Sprint(i)).Where("key = ?", k).Exec(ctx); err != nil {
						return fmt.Errorf("wrapped: %w", err)
					}
				}
				return nil
			})
			if err != nil {
				t.Errorf("transaction %d: %v", i, err)
			}
		})
	}
	both.Wait()
	for _, k := range []string{"a", "b"} {
		if v := get(t, db, k); len(v) != 3 || !strings.Contains(v, "0") || !strings.Contains(v, "1") {
			t.Errorf("%s = %q: an effect is missing or doubled", k, v)
		}
	}
	// The victim may take its first row again before the other one wakes up.
	if db.Dialect() == database.Postgres && tries[0]+tries[1] < 3 {
		t.Errorf("%v tries: no deadlock was repeated", tries)
	}
}

func TestInTxEndsWithItsContext(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	ctx, cancel := context.WithCancel(t.Context())
	err := db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		put(ctx, t, tx, "a", "1")
		cancel()
		return nil
	})
	if err == nil || get(t, db, "a") != "" {
		t.Errorf("got %v, a=%q", err, get(t, db, "a"))
	}
}

func TestConcurrentWritersLoseNothing(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	put(t.Context(), t, db.Bun(), "n", "")
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 5 {
				err := db.InTx(t.Context(), func(ctx context.Context, tx *database.Tx) error {
					var v string
					if err := tx.Lock(tx.NewSelect().Table("instance").Column("value").Where("key = 'n'")).Scan(ctx, &v); err != nil {
						return err
					}
					return database.SetSetting(ctx, tx, "n", v+"x")
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if n := len(get(t, db, "n")); n != 40 {
		t.Errorf("%d of 40 writes stand", n)
	}
}

func TestRingReachesOtherProcesses(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	here, there := dbtest.Open(t, url, database.NewClock(0)), dbtest.Open(t, url, database.NewClock(0))
	rung, stop := here.Subscribe("x")
	defer stop()
	other, stopOther := here.Subscribe("y")
	defer stopOther()
	here.Ring("x")
	here.Ring("x") // coalesces
	wait(t, rung)
	select {
	case <-rung:
		t.Error("two rings did not coalesce")
	case <-other:
		t.Error("another topic rang")
	default:
	}
	if here.Dialect() != database.Postgres {
		return // one process alone opens a SQLite file
	}
	deadline := time.After(10 * time.Second)
	for { // the listener may still be connecting
		there.Ring("x")
		select {
		case <-rung:
			return
		case <-time.After(50 * time.Millisecond):
		case <-deadline:
			t.Fatal("the ring did not arrive")
		}
	}
}

func TestUniqueViolations(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	ctx := t.Context()
	exec := func(sql string) error { _, err := db.Bun().ExecContext(ctx, sql); return err }
	if err := exec("INSERT INTO instance (key, value) VALUES ('a', '1')"); err != nil {
		t.Fatal(err)
	}
	primary := exec("INSERT INTO instance (key, value) VALUES ('a', '2')")
	unique := errors.Join(exec("INSERT INTO organization (id, kind, name, name_folded, domain, country, locale, created_at, updated_at) VALUES ('a', '', '', '', 'd', '', '', '2026-01-01', '2026-01-01')"),
		exec("INSERT INTO organization (id, kind, name, name_folded, domain, country, locale, created_at, updated_at) VALUES ('b', '', '', '', 'd', '', '', '2026-01-01', '2026-01-01')"))
	null := exec("INSERT INTO instance (key) VALUES ('b')")
	foreign := exec("INSERT INTO user_role (user_id, role, granted_by, granted_at) VALUES ('nobody', '', '', '2026-01-01')")
	for name, c := range map[string]struct {
		err  error
		want bool
	}{
		"primary key": {fmt.Errorf("writing: %w", primary), true}, "unique index": {unique, true},
		"not null": {null, false}, "foreign key": {foreign, false}, "none": {nil, false}, "other": {errors.New("x"), false},
	} {
		if (name != "none") && c.err == nil {
			t.Errorf("%s: the engine accepts it", name)
		}
		if database.IsUnique(c.err) != c.want {
			t.Errorf("%s: %v", name, c.err)
		}
	}
	var v string
	err := db.Read().NewSelect().Table("instance").Column("value").Where("key = 'none'").Scan(ctx, &v)
	if !database.IsNoRows(err) || database.IsNoRows(primary) {
		t.Errorf("got %v", err)
	}
	if database.IsDown(err) || database.IsDown(primary) || database.IsDown(nil) {
		t.Error("the database is not down")
	}
}

func TestReadCannotWrite(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	if db.Dialect() == database.SQLite {
		if err := database.SetSetting(t.Context(), db.Read(), "a", "1"); err == nil {
			t.Error("a reader writes")
		}
	}
	before := db.Queries()
	get(t, db, "a")
	if n := db.Queries() - before; n != 1 {
		t.Errorf("%d statements were counted", n)
	}
	before = db.Queries()
	_ = db.InTx(t.Context(), func(ctx context.Context, tx *database.Tx) error { put(ctx, t, tx, "a", "1"); return nil })
	if n := db.Queries() - before; n != 1 {
		t.Errorf("%d statements of a transaction were counted", n)
	}
}

func TestClock(t *testing.T) {
	t.Parallel()
	c := database.NewClock(48 * time.Hour)
	if d := time.Until(c.Now()); d < 47*time.Hour || d > 48*time.Hour {
		t.Errorf("the clock is %v ahead", d)
	}
	before := c.Now()
	c.Advance(time.Hour)
	if d := c.Now().Sub(before); d < time.Hour || d > time.Hour+time.Minute || !c.Injected() || c.Offset() != 49*time.Hour {
		t.Errorf("it moved by %v", d)
	}
	wall := &database.Clock{}
	if wall.Injected() || wall.Offset() != 0 || wall.Now().Nanosecond()%1000 != 0 || wall.Now().Location() != time.UTC {
		t.Errorf("the wall clock says %v", wall.Now())
	}
	defer func() {
		if recover() == nil {
			t.Error("the wall clock was moved")
		}
	}()
	wall.Advance(time.Second)
}

// Moments of statements follow an injected clock, and the database's own
// otherwise.
func TestNowExpr(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	scan := func(db *database.DB, expr any) (at time.Time) {
		t.Helper()
		_, err := db.Bun().NewRaw("INSERT INTO throttle (key, count, window_until, blocked_until) VALUES ('k', 0, ?, ?) ON CONFLICT (key) DO UPDATE SET window_until = EXCLUDED.window_until",
			expr, expr).Exec(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Read().NewSelect().Table("throttle").Column("window_until").Scan(t.Context(), &at); err != nil {
			t.Fatal(err)
		}
		return at
	}
	near := func(got, want time.Time) {
		t.Helper()
		if d := got.Sub(want); d < -time.Minute || d > time.Minute {
			t.Errorf("got %v, want about %v", got, want)
		}
	}
	moved := dbtest.Open(t, url, database.NewClock(1000*time.Hour))
	near(scan(moved, moved.NowExpr()), time.Now().Add(1000*time.Hour))
	near(scan(moved, moved.NowAfter(time.Hour)), time.Now().Add(1001*time.Hour))
	wall := dbtest.Open(t, url, nil)
	near(scan(wall, wall.NowExpr()), time.Now())
	near(scan(wall, wall.NowAfter(time.Hour)), time.Now().Add(time.Hour))
	if d, err := wall.Skew(t.Context()); err != nil || d > 5*time.Second || d < -5*time.Second {
		t.Errorf("skew %v, %v", d, err)
	}
	if err := wall.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	err := moved.InTx(t.Context(), func(ctx context.Context, tx *database.Tx) error {
		var at time.Time
		if err := tx.NewRaw("UPDATE throttle SET window_until = ? RETURNING window_until", tx.NowExpr()).Scan(ctx, &at); err != nil {
			return err
		}
		if !at.Equal(tx.Now) {
			t.Errorf("got %v, want the transaction's moment %v", at, tx.Now)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	for _, dsn := range []string{"", "mysql://x", "sqlite:", "sqlite://", "postgres://u:hush@[::1/x", "postgres://u:hush@127.0.0.1:1/x?connect_timeout=2"} {
		db, err := database.Open(t.Context(), dsn, database.Options{})
		if err == nil {
			_ = db.Close()
			t.Errorf("%q was opened", dsn)
		} else if strings.Contains(err.Error(), "hush") {
			t.Errorf("the error shows the password: %v", err)
		}
	}
	path := filepath.Join(t.TempDir(), "a folder", "ü?.db")
	db, err := database.Open(t.Context(), "sqlite://"+path, database.Options{Unsafe: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	if found, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*.db")); !slices.Equal(found, []string{path}) {
		t.Errorf("the file is %v", found)
	}
}

type thing struct {
	bun.BaseModel `bun:"table:organization,alias:o"`
	ID            ident.ID  `bun:"id,pk"`
	Kind          string    `bun:"kind"`
	Name          string    `bun:"name"`
	NameFolded    string    `bun:"name_folded"`
	Domain        string    `bun:"domain"`
	Country       string    `bun:"country"`
	Locale        string    `bun:"locale"`
	CreatedAt     time.Time `bun:"created_at"`
	UpdatedAt     time.Time `bun:"updated_at"`
}

// Both engines walk a list alike: by name and by time, in both directions,
// from both ends, over equal sort values and through texts that collations
// sort differently.
func TestKeysetWalksAlikeOnBothEngines(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	base := time.Date(2026, 3, 29, 0, 59, 59, 999999000, time.UTC)
	var all []*thing
	for i, name := range []string{"acme", "acme", "acme", "a cme", "acme-", "Zeta", "zeta", "ünder", "under", "z", "ab", "a_b", "a%b", "", "日本", "éclair", "eclair", "10", "9", "acme"} {
		all = append(all, &thing{ID: ident.ID(fmt.Sprintf("org_%026d", i)), NameFolded: name, Domain: fmt.Sprint(i), CreatedAt: base.Add(time.Duration(i/3) * time.Microsecond), UpdatedAt: base})
	}
	if _, err := db.Bun().NewInsert().Model(&all).Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, o := range []page.Order{
		{Name: "NAME", Column: "o.name_folded", Sort: page.SortText, Direction: page.Asc}, {Name: "NAME", Column: "o.name_folded", Sort: page.SortText, Direction: page.Desc},
		{Name: "AT", Column: "o.created_at", Sort: page.SortTime, Direction: page.Asc}, {Name: "AT", Column: "o.created_at", Sort: page.SortTime, Direction: page.Desc},
	} {
		want := slices.Clone(all)
		slices.SortFunc(want, func(a, b *thing) int {
			c := strings.Compare(a.NameFolded, b.NameFolded)
			if o.Sort == page.SortTime {
				c = a.CreatedAt.Compare(b.CreatedAt)
			}
			if c == 0 {
				c = strings.Compare(string(a.ID), string(b.ID))
			}
			if o.Direction == page.Desc {
				c = -c
			}
			return c
		})
		key := func(x *thing) (any, ident.ID) {
			if o.Sort == page.SortTime {
				return x.CreatedAt, x.ID
			}
			return x.NameFolded, x.ID
		}
		for _, backward := range []bool{false, true} {
			for _, size := range []int{1, 3, 20} {
				var got []*thing
				var cursor *string
				for range 21 {
					args := page.Args{First: &size, After: cursor}
					if backward {
						args = page.Args{Last: &size, Before: cursor}
					}
					q, err := args.Resolve(o, nil)
					if err != nil {
						t.Fatal(err)
					}
					var rows []*thing
					if err := database.Keyset(db.Read().NewSelect().Model(&rows), q, "o.id").Scan(t.Context()); err != nil {
						t.Fatal(err)
					}
					c := page.Build(q, rows, key, nil)
					if more := c.PageInfo; backward {
						got = append(c.Nodes(), got...)
						cursor = more.StartCursor
						if !more.HasPreviousPage {
							break
						}
					} else {
						got = append(got, c.Nodes()...)
						cursor = more.EndCursor
						if !more.HasNextPage {
							break
						}
					}
				}
				if !slices.EqualFunc(got, want, func(a, b *thing) bool { return a.ID == b.ID }) {
					t.Errorf("%s %s, backward %t, size %d: %d rows, not those of the oracle", o.Name, o.Direction, backward, size, len(got))
				}
			}
		}
	}
	for prefix, want := range map[string]int{"acme": 5, "a": 9, "a_": 1, "a%": 1, `a\`: 0, "": 20, "日": 1, "ü": 1, "'": 0} {
		n, err := db.Read().NewSelect().Model((*thing)(nil)).Where("?", database.HasPrefix("o.name_folded", prefix)).Count(t.Context())
		if err != nil || n != int64(want) {
			t.Errorf("%q begins %d rows, want %d (%v)", prefix, n, want, err)
		}
	}
	n, err := database.CountCapped(t.Context(), db.Read(), db.Read().NewSelect().Model((*thing)(nil)))
	if err != nil || n != len(all) {
		t.Errorf("counted %d, %v", n, err)
	}
	n, err = database.CountCapped(t.Context(), db.Read(), db.Read().NewSelect().TableExpr("organization AS a, organization AS b, organization AS c"))
	if err != nil || n != page.CountCap+1 {
		t.Errorf("counted %d, %v", n, err)
	}
}
