package app

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/database/dbtest"
	"github.com/channelgraph/channelgraph/internal/enrollment"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/workers"
)

// timers fall due at the same moment, and timerRounds is how often they and as
// many plain jobs take turns.
const (
	timers      = 10_000
	timerRounds = 3
)

// nothing is a plain job.
type nothing struct{}

func (nothing) Kind() string { return "test.nothing" }

// rate starts workers on what lies in the table, and reads how many of the
// jobs that are counted are handled a second.
func rate(b *testing.B, db *database.DB, r workers.Registry, handled *atomic.Int64) float64 {
	b.Helper()
	s, err := workers.New(db, r, workers.Options{Redis: dbtest.RedisURL(), Namespace: strings.ToLower("timers-" + ident.New(ident.Job).Body()),
		Concurrency: 64, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	if err := s.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Stop(context.WithoutCancel(b.Context())) }()
	if err := s.Drain(b.Context()); err != nil {
		b.Fatal(err)
	}
	took := time.Since(began)
	if n := handled.Load(); n != timers {
		b.Fatalf("%d of %d were handled", n, timers)
	}
	return timers / took.Seconds()
}

// plain is the rate of jobs that do nothing, all there before the start.
func plain(b *testing.B) float64 {
	b.Helper()
	db := dbtest.New(b)
	for range timers / 500 {
		err := db.InTx(b.Context(), func(ctx context.Context, tx *database.Tx) error {
			for range 500 {
				if _, err := outbox.Put(ctx, tx, nothing{}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	var handled atomic.Int64
	r := workers.Registry{}
	workers.Add(r, func(context.Context, *outbox.Run, nothing) error { handled.Add(1); return nil })
	return rate(b, db, r, &handled)
}

// due is the rate of timers of enrollments, each of which writes a mail, a line
// of the timeline, the next timer and the job that would send the mail, which
// is handled too, and does nothing here. Each is taken once.
func due(b *testing.B) float64 {
	b.Helper()
	w := newMonth(b)
	id := w.enroll(0)
	for from := 1; from < timers; from += 500 {
		var others []int
		for n := from; n < min(from+500, timers); n++ {
			others = append(others, n)
		}
		w.twins(id, 0, others)
	}
	w.clock.Advance(7*24*time.Hour + time.Minute)
	var handled atomic.Int64
	r := workers.Registry{}
	workers.Add(r, func(ctx context.Context, run *outbox.Run, args enrollment.Look) error {
		handled.Add(1)
		return w.enrolled.Look(ctx, run, args)
	})
	workers.Add(r, func(context.Context, *outbox.Run, enrollment.Notice) error { return nil })
	out := rate(b, w.db, r, &handled)
	var mails struct{ N, Each int }
	err := w.db.Read().NewSelect().Table("mail_message").ColumnExpr("count(*) AS n, count(DISTINCT subject_id) AS each").
		Where("template = 'enrollment_draft_reminder'").Scan(b.Context(), &mails)
	if err != nil || mails.N != timers || mails.Each != timers {
		b.Errorf("%d timers wrote %d mails about %d, %v", timers, mails.N, mails.Each, err)
	}
	return out
}

// BenchmarkTimers lets 10,000 waiting enrollments be due for a reminder at
// once, beside as many plain jobs, and prints the ratio of their rates. Run:
// make bench-enroll.
func BenchmarkTimers(b *testing.B) {
	for b.Loop() {
		var ratios, mine, peer []float64
		for range timerRounds {
			p, d := plain(b), due(b)
			peer, mine, ratios = append(peer, p), append(mine, d), append(ratios, d/p)
		}
		for _, x := range [][]float64{ratios, mine, peer} {
			slices.Sort(x)
		}
		b.ReportMetric(ratios[timerRounds/2], "ratio")
		b.ReportMetric(mine[timerRounds/2], "timers/s")
		b.ReportMetric(peer[timerRounds/2], "jobs/s")
		b.Logf("ratios %.3f", ratios)
	}
}
