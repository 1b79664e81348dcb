package app_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/channelgraph/channelgraph/internal/app"
	"github.com/channelgraph/channelgraph/internal/database/dbtest"
)

// TestMain lets the test binary be the product: a process that is started
// under the name channelgraph runs app.Main, as cmd/channelgraph does.
func TestMain(m *testing.M) {
	testscript.Main(cleaner{m}, map[string]func(){"channelgraph": product})
}

// cleaner removes the shared demo world after the last test.
type cleaner struct{ m *testing.M }

func (c cleaner) Run() int {
	code := c.m.Run()
	if err := template.remove(); err != nil {
		fmt.Fprintln(os.Stderr, "removing the demo world:", err)
		code = max(code, 1)
	}
	return code
}

func product() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if os.Getenv("STORY_LEASH") != "" { // ends with the test, even where that was killed
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			os.Exit(3)
		}()
	}
	err := app.Main(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	if errors.Is(err, app.ErrUsage) {
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "channelgraph: "+err.Error())
		os.Exit(1)
	}
}

// atOnce bounds how many stories run side by side: each is a process with a
// database and a queue.
var atOnce = make(chan struct{}, 3)

type storyKey struct{}

// TestStories runs every journey of testdata/stories through the real doors:
// HTTP, SMTP and the queue, in a process of its own. The verbs are described
// in testdata/README.md.
func TestStories(t *testing.T) { run(t, "testdata/stories") }

// TestCommands runs the scripts about the command line: what it says, what it
// refuses and why.
func TestCommands(t *testing.T) { run(t, "testdata/commands") }

func run(t *testing.T, dir string) {
	testscript.Run(t, testscript.Params{
		Dir:                 dir,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       os.Getenv("CHANNELGRAPH_UPDATE_STORIES") != "",
		Setup: func(env *testscript.Env) error {
			atOnce <- struct{}{}
			env.Defer(func() { <-atOnce })
			s, err := newStory(env)
			if err != nil {
				return err
			}
			env.Values[storyKey{}] = s
			env.Defer(s.end)
			return nil
		},
		Condition: func(cond string) (bool, error) {
			switch cond {
			case "redis":
				return dbtest.RedisURL() != "", nil
			case "postgres":
				return dbtest.PostgresURL() != "", nil
			}
			return false, fmt.Errorf("no condition is called %s", cond)
		},
		Cmds: verbs(),
	})
}

// TestStoriesAreReadable holds every story to the house's form: it begins with
// a sentence that says what it tells.
func TestStoriesAreReadable(t *testing.T) {
	files, err := filepath.Glob("testdata/*/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no stories", err)
	}
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		first, _, _ := strings.Cut(string(raw), "\n")
		if !strings.HasPrefix(first, "# ") || len(first) < 30 || !strings.HasSuffix(strings.TrimSpace(leading(string(raw))), ".") {
			t.Errorf("%s does not begin with a sentence that explains it", f)
		}
	}
}

// leading is the comment at the top of a story.
func leading(s string) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		text, ok := strings.CutPrefix(line, "#")
		if !ok {
			break
		}
		b.WriteString(text)
	}
	return b.String()
}
