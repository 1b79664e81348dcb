// Command river measures River on the PostgreSQL of the job benchmarks, so that they can
// name a ratio within one run: producers commit one job each, workers handle them
// meanwhile, and the time ends when all of them are completed in the database.
//
//	river DATABASE_URL JOBS PRODUCERS
//
// It prints jobs a second.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

type note struct {
	N int `json:"n"`
}

func (note) Kind() string { return "note" }

type worker struct{ river.WorkerDefaults[note] }

func (worker) Work(context.Context, *river.Job[note]) error { return nil }

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "river:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) != 3 {
		return fmt.Errorf("usage: river DATABASE_URL JOBS PRODUCERS")
	}
	jobs, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	producers, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	cfg, err := pgxpool.ParseConfig(args[0])
	if err != nil {
		return err
	}
	cfg.MaxConns = 32
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return err
	}
	defer pool.Close()
	driver := riverpgxv5.New(pool)
	migrator, err := rivermigrate.New(driver, &rivermigrate.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return err
	}
	workers := river.NewWorkers()
	river.AddWorker(workers, worker{})
	client, err := river.NewClient(driver, &river.Config{
		Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 2000}}, Workers: workers,
		FetchCooldown: 2 * time.Millisecond, FetchPollInterval: 50 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	done, stop := client.SubscribeConfig(&river.SubscribeConfig{ChanSize: 100_000, Kinds: []river.EventKind{river.EventKindJobCompleted}})
	defer stop()
	if err := client.Start(ctx); err != nil {
		return err
	}
	defer func() { _ = client.Stop(ctx) }()
	began := time.Now()
	var next atomic.Int64
	var all sync.WaitGroup
	failed := make(chan error, producers)
	for range producers {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < jobs; i = int(next.Add(1)) - 1 {
				if err := put(ctx, pool, client, i); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	for range jobs {
		select {
		case <-done:
		case err := <-failed:
			return err
		case <-time.After(time.Minute):
			return fmt.Errorf("nothing was completed for a minute")
		}
	}
	took := time.Since(began)
	all.Wait()
	fmt.Printf("%.1f\n", float64(jobs)/took.Seconds())
	return nil
}

func put[T any](ctx context.Context, pool *pgxpool.Pool, client *river.Client[T], i int) error {
	tx, err := pool.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(ctx) }()
	if _, err := client.InsertTx(ctx, any(tx).(T), note{i}, nil); err != nil {
		return err
	}
	return tx.Commit(ctx)
}
