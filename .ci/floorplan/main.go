// Command floorplan proves that the floor plan in .golangci.yml is enforced.
//
// A lint rule that matches nothing looks exactly like a rule that nobody breaks. So this
// program writes a module of planted files, one for every kind of file in every package of
// the plan, each importing every package of the plan and every fenced library, and runs the
// real configuration over it. It fails unless depguard reports each import that the plan
// forbids, and none that the plan allows, and unless every rule has reported something.
// Then it looks at the real tree: a package that is not in the plan fails too.
//
// The plan is said twice on purpose: here as a function, in .golangci.yml as boundaries.
//
// Usage, from the top of the repository:
//
//	go run ./.ci/floorplan -golangci-lint .cache/bin/golangci-lint
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
)

const module = "github.com/channelgraph/channelgraph/"

// floors lists the packages of each floor, from the ground up. On floor 3 order matters.
var floors = [][]string{
	{"internal/fault", "internal/ident", "internal/page", "internal/sla", "internal/taxid", "internal/region", "internal/secret", "internal/address", "internal/config", "internal/sheet"},
	{"internal/database", "internal/database/dbtest", "internal/access", "internal/mail", "migrations"},
	{"internal/outbox", "internal/audit", "internal/event", "internal/rollup", "internal/export"},
	{
		"internal/account", "internal/calendar", "internal/file", "internal/partner",
		"internal/register", "internal/enrollment", "internal/agreement",
		"internal/invitation", "internal/partnership", "internal/customer", "internal/catalog",
		"internal/subscription", "internal/order", "internal/tree", "internal/directory", "internal/support",
		"internal/webhook", "internal/report",
	},
	{"graph", "workers", "internal/web", "internal/console", "internal/mailbox"},
	{"internal/seed", "internal/app"},
	{"cmd/channelgraph"},
}

// trees are packages that may have packages below them, which follow the same rules.
var trees = []string{"graph", "workers", "internal/web", "internal/console", "internal/mailbox", "internal/app", "internal/seed", "cmd"}

const (
	ground = iota
	engine
	journal
	concepts
	doors
	wiring
	command
)

// below is the name of the package planted below each tree.
const below = "below"

// root returns the package of the plan that pkg is or lies below.
func root(pkg string) string {
	if i := slices.IndexFunc(trees, func(t string) bool { return strings.HasPrefix(pkg, t+"/") }); i >= 0 && trees[i] != "cmd" {
		return trees[i]
	}
	return pkg
}

// floorOf returns the floor of a package, or -1 where the plan does not know it.
func floorOf(pkg string) int {
	for i, f := range floors {
		if slices.Contains(f, root(pkg)) {
			return i
		}
	}
	return -1
}

// packages returns every package of the plan, with one below each tree.
func packages() []string {
	var all []string
	for _, floor := range floors {
		for _, pkg := range floor {
			all = append(all, pkg)
			if slices.Contains(trees, pkg) {
				all = append(all, pkg+"/"+below)
			}
		}
	}
	return all
}

// A file is one planted file: where it lies decides what it may import.
type file struct {
	pkg  string // folder, as in floors
	name string
}

func (f file) test() bool  { return strings.HasSuffix(f.name, "_test.go") }
func (f file) store() bool { return strings.HasPrefix(f.name, "store") }

// types tells whether f is the file of a concept's types, which are its rows too.
func (f file) types() bool {
	return floorOf(f.pkg) == concepts && f.name == path.Base(f.pkg)+".go"
}

// pure tells whether f holds a concept's types, rules or inputs.
func (f file) pure() bool {
	return floorOf(f.pkg) == concepts && !f.test() && !f.store() &&
		!strings.HasPrefix(f.name, "service") && !strings.HasPrefix(f.name, "jobs")
}

// mayImport is the floor plan between packages of this module.
func mayImport(f file, target string) bool {
	if f.test() {
		return true
	}
	from, to := floorOf(f.pkg), floorOf(target)
	switch {
	case root(f.pkg) == root(target):
		return true
	case target == "internal/database/dbtest":
		return false
	case from == command:
		return target == "internal/app"
	case target == "migrations":
		return slices.Contains([]string{"internal/database", "internal/database/dbtest", "internal/app"}, root(f.pkg))
	case from == ground:
		return to == ground
	case from == engine:
		return to == ground || target == "internal/database"
	case f.pkg == "internal/export" && target == "internal/outbox", f.pkg == "internal/audit" && (target == "internal/outbox" || target == "internal/export"):
		return true
	case from == concepts && to == concepts:
		return slices.Index(floors[concepts], target) < slices.Index(floors[concepts], f.pkg)
	case f.pure():
		return to == ground || target == "internal/access"
	case from == wiring && to == wiring:
		return root(f.pkg) == "internal/app"
	default:
		return to < from
	}
}

// A fence says which files may import what is not of this module.
type fence struct {
	imports []string
	may     func(file) bool
}

func in(pkgs ...string) func(file) bool {
	return func(f file) bool { return slices.Contains(pkgs, root(f.pkg)) }
}

func nobody(file) bool      { return false }
func anybody(file) bool     { return true }
func above0(f file) bool    { return f.test() || floorOf(f.pkg) > ground }
func testOnly(f file) bool  { return f.test() || f.pkg == "internal/database/dbtest" }
func knowsSQL(f file) bool  { return f.test() || sqlPackages(f) || f.store() && above0(f) }
func knowsBun(f file) bool  { return knowsSQL(f) || f.types() }
func knowsHTTP(f file) bool { return f.test() || httpPackages(f) }
func mailbox(f file) bool   { return f.test() || root(f.pkg) == "internal/mailbox" }

var (
	sqlPackages  = in("migrations", "internal/database", "internal/database/dbtest", "internal/outbox", "internal/audit", "internal/event", "internal/rollup", "internal/export")
	httpPackages = in("graph", "internal/web", "internal/console", "internal/mailbox", "internal/webhook", "internal/app", "cmd/channelgraph")
)

var fences = []fence{
	{[]string{"github.com/99designs/gqlgen/graphql", "github.com/vektah/gqlparser/v2/ast", "github.com/vikstrous/dataloadgen"}, in("graph")},
	{[]string{"github.com/hibiken/asynq", "github.com/redis/go-redis/v9", "github.com/alicebob/miniredis/v2"}, in("workers")},
	{[]string{"github.com/uptrace/bun"}, knowsBun},
	{[]string{"github.com/uptrace/bun/migrate", "github.com/uptrace/bun/schema", "database/sql"}, knowsSQL},
	{[]string{
		"github.com/jackc/pgx/v5/stdlib", "modernc.org/sqlite", "github.com/mattn/go-sqlite3", "github.com/lib/pq",
		"github.com/uptrace/bun/dialect/pgdialect", "github.com/uptrace/bun/dialect/sqlitedialect", "github.com/uptrace/bun/driver/pgdriver",
	}, in("internal/database", "internal/database/dbtest")},
	{[]string{"github.com/wneessen/go-mail"}, in("internal/mail")},
	{[]string{"github.com/emersion/go-smtp", "github.com/emersion/go-sasl"}, mailbox},
	{[]string{"go.opentelemetry.io/otel/trace", "go.opentelemetry.io/otel/attribute", "go.opentelemetry.io/otel/propagation"},
		in("internal/database", "internal/outbox", "internal/mail", "graph", "workers", "internal/web", "internal/app")},
	{[]string{
		"go.opentelemetry.io/otel", "go.opentelemetry.io/otel/sdk/trace", "go.opentelemetry.io/proto/otlp/trace/v1",
		"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp",
	}, in("internal/app")},
	{[]string{"net/http", "net/http/cookiejar"}, knowsHTTP},
	{[]string{"testing", "net/http/httptest"}, testOnly},
	{[]string{"net", "os", "os/exec", "syscall", "net/rpc"}, above0},
	{[]string{"log", "io/ioutil", "math/rand", "net/smtp", "github.com/pkg/errors", "github.com/golang/mock/gomock", "go.uber.org/mock/gomock"}, nobody},
	{[]string{"context", "net/url", "net/netip", "log/slog", "math/rand/v2", "database/sql/driver", "golang.org/x/sync/errgroup"}, anybody},
	// Not fenced by name, but floor 0 has no libraries at all.
	{[]string{"github.com/google/uuid"}, above0},
}

// allowed is the whole plan. A file needs the leave of every fence that knows the import.
func allowed(f file, imported string) bool {
	if target, ok := strings.CutPrefix(imported, module); ok {
		return mayImport(f, target)
	}
	for _, fe := range fences {
		if slices.Contains(fe.imports, imported) && !fe.may(f) {
			return false
		}
	}
	if imported == "net/http/httptest" {
		return knowsHTTP(f) && testOnly(f)
	}
	return true
}

// plants returns every planted file.
func plants() []file {
	var all []file
	for _, pkg := range packages() {
		names := []string{"planted.go", "planted_test.go"}
		if floorOf(pkg) != ground { // floor 0 has no I/O, so no store either
			names = append(names, "store.go", "store_planted.go")
		}
		if floorOf(pkg) == concepts {
			// The last one has the name of another concept's types.
			at := slices.Index(floors[concepts], pkg)
			other := floors[concepts][(at+1)%len(floors[concepts])]
			names = append(names, path.Base(pkg)+".go", "input.go", "draft.go", "service.go", "service_planted.go",
				"jobs.go", "jobs_planted.go", path.Base(other)+".go")
		}
		for _, n := range names {
			all = append(all, file{pkg, n})
		}
	}
	return all
}

// targets returns everything that each planted file imports, but for its own package.
func targets() []string {
	var all []string
	for _, pkg := range packages() {
		all = append(all, module+pkg)
	}
	for _, fe := range fences {
		all = append(all, fe.imports...)
	}
	return all
}

// write lays the planted module in dir. It has another name than the real one, so that no
// import resolves and no cycle forms: depguard reads imports only.
func write(dir, config string) error {
	conf, err := os.ReadFile(config)
	if err != nil {
		return fmt.Errorf("read the lint configuration: %w", err)
	}
	files := map[string]string{".golangci.yml": string(conf), "go.mod": "module planted.test\n\ngo 1.26\n"}
	for _, f := range plants() {
		var b strings.Builder
		fmt.Fprintf(&b, "package %s\n\n", path.Base(f.pkg))
		for _, t := range targets() {
			if t == module+f.pkg {
				continue
			}
			fmt.Fprintf(&b, "import _ %q\n", t)
		}
		files[path.Join(f.pkg, f.name)] = b.String()
	}
	for name, text := range files {
		p := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			return fmt.Errorf("lay the planted module: %w", err)
		}
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			return fmt.Errorf("lay the planted module: %w", err)
		}
	}
	return nil
}

var message = regexp.MustCompile(`^import '([^']+)' is not allowed from list '([^']+)'(: .+)?$`)

// lint returns what depguard reports in dir, as "folder/file.go imports path" to rule names.
func lint(ctx context.Context, linter, dir string) (map[string][]string, error) {
	out := filepath.Join(dir, "report.json")
	cmd := exec.CommandContext(ctx, linter, "run", "--enable-only=depguard", "--issues-exit-code=0",
		"--uniq-by-line=false", "--path-mode=abs", "--show-stats=false", "--output.json.path="+out, "./...")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off", "GOPROXY=off")
	if text, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("run golangci-lint: %w\n%s", err, text)
	}
	raw, err := os.ReadFile(out)
	if err != nil {
		return nil, fmt.Errorf("read the report: %w", err)
	}
	var report struct {
		Issues []struct {
			FromLinter, Text string
			Pos              struct{ Filename string }
		}
	}
	if err := json.Unmarshal(raw, &report); err != nil {
		return nil, fmt.Errorf("read the report: %w", err)
	}
	found := map[string][]string{}
	for _, i := range report.Issues {
		m := message.FindStringSubmatch(i.Text)
		if i.FromLinter != "depguard" || m == nil {
			return nil, fmt.Errorf("golangci-lint said something unexpected about %s: %s (%s)", i.Pos.Filename, i.Text, i.FromLinter)
		}
		rel, err := filepath.Rel(dir, i.Pos.Filename)
		if err != nil {
			return nil, err
		}
		key := filepath.ToSlash(rel) + " imports " + m[1]
		found[key] = append(found[key], m[2])
	}
	return found, nil
}

var ruleLine = regexp.MustCompile(`(?m)^ {8}([a-z0-9-]+):$`)

// rules returns the names of the depguard rules in the configuration.
func rules(config string) ([]string, error) {
	raw, err := os.ReadFile(config)
	if err != nil {
		return nil, err
	}
	_, after, ok := strings.Cut(string(raw), "\n    depguard:\n      rules:\n")
	if !ok {
		return nil, errors.New("the lint configuration has no depguard rules where they are looked for")
	}
	var names []string
	for _, m := range ruleLine.FindAllStringSubmatch(after, -1) {
		names = append(names, m[1])
	}
	return names, nil
}

// strangers returns the folders with Go files that are not in the plan.
func strangers(top string) ([]string, error) {
	seen := map[string]bool{}
	err := filepath.WalkDir(top, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if p != top && (strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || name == "testdata" || name == "node_modules") {
				return fs.SkipDir
			}
			if _, err := os.Stat(filepath.Join(p, "go.mod")); err == nil && p != top {
				return fs.SkipDir // a module of its own
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		rel, err := filepath.Rel(top, filepath.Dir(p))
		if err != nil {
			return err
		}
		dir := filepath.ToSlash(rel)
		inTree := slices.ContainsFunc(trees, func(t string) bool { return dir == t || strings.HasPrefix(dir, t+"/") })
		if floorOf(dir) < 0 && !inTree {
			seen[dir] = true
		}
		return nil
	})
	var all []string
	for d := range seen {
		all = append(all, d)
	}
	sort.Strings(all)
	return all, err
}

func run(ctx context.Context, linter, top string) error {
	config := filepath.Join(top, ".golangci.yml")
	linter, err := filepath.Abs(linter)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "floorplan-")
	if err != nil {
		return fmt.Errorf("make a scratch folder: %w", err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // nothing to do about a scratch folder that stays
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return err
	}
	if err := write(dir, config); err != nil {
		return err
	}
	found, err := lint(ctx, linter, dir)
	if err != nil {
		return err
	}

	heard := map[string]bool{}
	for _, rs := range found {
		for _, r := range rs {
			heard[r] = true
		}
	}

	var problems []string
	forbidden, permitted := 0, 0
	for _, f := range plants() {
		for _, t := range targets() {
			if t == module+f.pkg {
				continue
			}
			key := path.Join(f.pkg, f.name) + " imports " + t
			switch reported := found[key]; {
			case allowed(f, t):
				permitted++
				if len(reported) > 0 {
					problems = append(problems, fmt.Sprintf("%s: allowed by the plan, yet reported by %s", key, strings.Join(reported, ", ")))
				}
			default:
				forbidden++
				if len(reported) == 0 {
					problems = append(problems, key+": forbidden by the plan, yet no rule reports it")
				}
			}
			delete(found, key)
		}
	}
	for key := range found {
		problems = append(problems, key+": reported, yet not planted")
	}

	names, err := rules(config)
	if err != nil {
		return err
	}
	for _, n := range names {
		if !heard[n] {
			problems = append(problems, "rule "+n+" reports nothing of what was planted: it guards nothing")
		}
	}
	outside, err := strangers(top)
	if err != nil {
		return fmt.Errorf("look for packages outside the plan: %w", err)
	}
	for _, s := range outside {
		problems = append(problems, strconv.Quote(s)+" is a package outside the floor plan: give it a floor in .golangci.yml and in .ci/floorplan/main.go, or move it")
	}
	if len(problems) > 0 {
		sort.Strings(problems)
		return fmt.Errorf("the floor plan does not hold:\n  %s", strings.Join(problems, "\n  "))
	}
	fmt.Printf("floor plan: %d rules; %d forbidden imports planted and reported, %d allowed ones left alone\n", len(names), forbidden, permitted)
	return nil
}

func main() {
	linter := flag.String("golangci-lint", "golangci-lint", "the linter to run")
	top := flag.String("top", ".", "top of the repository")
	flag.Parse()
	if err := run(context.Background(), *linter, *top); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
