// Command suite runs tests and prints their events, as `go test -json` does.
//
// It differs in two ways, both to save time. It keeps the test binaries: the same ones run on
// SQLite and on PostgreSQL, where `go test` would link all of them again. And the packages
// that take longest begin first, so that in the end nobody waits for one of them alone. It
// does not vet; the linter does.
//
// Usage, from the top of the repository:
//
//	go run ./.ci/suite [flags] [package…]
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// slowest are the packages that begin first.
var slowest = []string{"/graph", "/internal/app", "/workers"}

type pkg struct {
	ImportPath, Dir           string
	TestGoFiles, XTestGoFiles []string
}

func main() {
	race := flag.Bool("race", false, "build with the race detector")
	match := flag.String("match", "", "only packages whose path matches this `regexp`")
	except := flag.String("except", "", "no package whose path matches this `regexp`")
	run := flag.String("run", "", "only tests that match this `regexp`")
	skip := flag.String("skip", "", "no test that matches this `regexp`")
	skipIn := flag.String("skip-in", "", "the end of the path of the one package for which -skip holds")
	atOnce := flag.Int("p", 2, "how many packages run side by side")
	timeout := flag.String("timeout", "15m", "how long a package may take")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	pkgs, err := list(ctx, flag.Args(), *match, *except)
	if err != nil {
		fail(err)
	}
	if len(pkgs) == 0 {
		fail(errors.New("no package has tests"))
	}
	dir := filepath.Join(".cache", "tests")
	if *race {
		dir += "-race"
	}
	if dir, err = filepath.Abs(dir); err != nil {
		fail(err)
	}
	if err := build(ctx, dir, *race, pkgs); err != nil {
		fail(err)
	}
	converter, err := exec.CommandContext(ctx, "go", "tool", "-n", "test2json").Output()
	if err != nil {
		fail(fmt.Errorf("go tool test2json: %w", err))
	}

	var out sync.Mutex // one event is one line
	var running sync.WaitGroup
	places := make(chan struct{}, *atOnce)
	failed := make([]bool, len(pkgs))
	for i, p := range pkgs {
		places <- struct{}{}
		running.Go(func() {
			defer func() { <-places }()
			args := []string{"-t", "-p", p.ImportPath, binary(dir, p), "-test.v=test2json", "-test.paniconexit0", "-test.timeout=" + *timeout}
			if *run != "" {
				args = append(args, "-test.run="+*run)
			}
			// What is left out here has a run of its own under the race detector (`raced` in
			// test.sh), and test.sh compares in the end: both halves have to have passed the
			// same tests.
			if *skip != "" && strings.HasSuffix(p.ImportPath, *skipIn) {
				args = append(args, "-test.skip="+*skip)
			}
			if err := test(ctx, &out, p.Dir, strings.TrimSpace(string(converter)), args); err != nil {
				failed[i] = true
			}
		})
	}
	running.Wait()
	if slices.Contains(failed, true) {
		os.Exit(1)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "suite:", err)
	os.Exit(1)
}

// list lists the packages that have tests, the slowest first.
func list(ctx context.Context, patterns []string, match, except string) ([]pkg, error) {
	if len(patterns) == 0 {
		patterns = []string{"./..."}
	}
	cmd := exec.CommandContext(ctx, "go", append([]string{"list", "-json=ImportPath,Dir,TestGoFiles,XTestGoFiles"}, patterns...)...)
	cmd.Stderr = os.Stderr
	raw, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	want, err := regexp.Compile(match)
	if err != nil {
		return nil, err
	}
	unwanted, err := regexp.Compile(except)
	if err != nil {
		return nil, err
	}
	var out []pkg
	for dec := json.NewDecoder(bytes.NewReader(raw)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		if len(p.TestGoFiles)+len(p.XTestGoFiles) > 0 && want.MatchString(p.ImportPath) && (except == "" || !unwanted.MatchString(p.ImportPath)) {
			out = append(out, p)
		}
	}
	rank := func(p pkg) int {
		i := slices.IndexFunc(slowest, func(end string) bool { return strings.HasSuffix(p.ImportPath, end) })
		if i < 0 {
			return len(slowest)
		}
		return i
	}
	slices.SortStableFunc(out, func(a, b pkg) int { return rank(a) - rank(b) })
	return out, nil
}

func binary(dir string, p pkg) string {
	return filepath.Join(dir, filepath.Base(p.ImportPath)+".test")
}

// build brings the binaries up to date: those that are stay.
func build(ctx context.Context, dir string, race bool, pkgs []pkg) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	args := []string{"test", "-c", "-o", dir + string(filepath.Separator)}
	if race {
		args = append(args, "-race")
	}
	for _, p := range pkgs {
		args = append(args, p.ImportPath)
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("building the tests: %w", err)
	}
	return nil
}

// test runs a binary in its package's folder, as `go test` does, and passes its events on.
func test(ctx context.Context, out *sync.Mutex, dir, converter string, args []string) error {
	cmd := exec.CommandContext(ctx, converter, args...)
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	events, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	in := bufio.NewReader(events)
	for {
		line, err := in.ReadBytes('\n')
		if len(line) > 0 {
			out.Lock()
			_, _ = os.Stdout.Write(line)
			out.Unlock()
		}
		if err != nil {
			break
		}
	}
	return cmd.Wait()
}
