package workers

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/database/dbtest"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/outbox"
)

// TestPostgresRestarts cuts every connection of the workers again and again,
// as a restart of the server does: in transactions, while listening, while
// jobs end. Whatever was accepted takes effect exactly once.
func TestPostgresRestarts(t *testing.T) {
	if dbtest.PostgresURL() == "" {
		t.Log("SQLite has no connections to cut")
		return
	}
	t.Parallel()
	url := dbtest.URL(t)
	name := "cut-" + ident.New(ident.Job).Body()
	watched, db := dbtest.Open(t, url, nil), dbtest.Open(t, url+"&application_name="+name, nil)
	r := Registry{}
	Add(r, func(ctx context.Context, run *outbox.Run, a note) error {
		return db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
			if err := database.SetSetting(ctx, tx, fmt.Sprintf("effect %d", a.N), "once"); err != nil {
				return err
			}
			if _, err := tx.NewUpdate().Table("instance").Set("value = value || '.'").Where("key = 'effects'").Exec(ctx); err != nil {
				return err
			}
			return run.Done(ctx, tx)
		})
	})
	if err := watched.InTx(t.Context(), func(ctx context.Context, tx *database.Tx) error {
		return database.SetSetting(ctx, tx, "effects", "")
	}); err != nil {
		t.Fatal(err)
	}
	s := start(t, prepare(t, db, r, Options{Concurrency: 8, Lease: 2 * time.Second}))
	const rounds, each = 6, 40
	cuts := 0
	for round := range rounds {
		for i := range each {
			put(t, watched, note{round*each + i}, outbox.On(outbox.Queues[i%4]))
		}
		var n int
		if err := watched.Bun().NewSelect().ColumnExpr("count(*)").TableExpr("(SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = ?) AS cut", name).
			Scan(t.Context(), &n); err != nil {
			t.Fatal(err)
		}
		cuts += n
	}
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	if err := s.await(ctx, func() bool { return count(t, watched, "done") == rounds*each }); err != nil {
		t.Fatalf("%d of %d done after %d cut connections: %v", count(t, watched, "done"), rounds*each, cuts, err)
	}
	effects, err := database.Setting(t.Context(), watched.Read(), "effects")
	if err != nil || len(effects) != rounds*each {
		t.Errorf("%d effects of %d jobs, %v", len(effects), rounds*each, err)
	}
	t.Logf("%d jobs took effect once while %d connections were cut", rounds*each, cuts)
}
