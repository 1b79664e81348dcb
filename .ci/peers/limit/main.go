// Command limit is what hand-written programs reach on the database of a generated world,
// so that the benchmarks of customer trees can name ratios within one run.
//
//	limit add DATABASE_URL PROVIDER RESELLER WRITERS CUSTOMERS pipelined|plain
//	limit serve DATABASE_URL PROVIDER
//	limit load URL BODY TOKEN CLIENTS SECONDS
//
// add writes customers with three subscriptions each, all the rows that submitting such an
// order writes and none that it reads, and prints customers a second: pipelined sends a
// transaction in one round trip, plain statement by statement. serve answers the
// dashboard's page by net/http and two statements; it prints its URL and ends with its
// standard input. load asks a URL over and over and prints answers a second.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "limit:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	usage := fmt.Errorf("the usage is in the source")
	if len(args) == 0 {
		return usage
	}
	switch n := len(args); {
	case args[0] == "add" && n == 7:
		writers, err := strconv.Atoi(args[4])
		if err != nil {
			return err
		}
		customers, err := strconv.Atoi(args[5])
		if err != nil {
			return err
		}
		return add(ctx, args[1], args[2], args[3], writers, customers, args[6] == "pipelined")
	case args[0] == "serve" && n == 3:
		return serve(ctx, args[1], args[2])
	case args[0] == "load" && n == 6:
		clients, err := strconv.Atoi(args[4])
		if err != nil {
			return err
		}
		seconds, err := strconv.ParseFloat(args[5], 64)
		if err != nil {
			return err
		}
		return load(ctx, args[1], args[2], args[3], clients, seconds)
	}
	return usage
}
