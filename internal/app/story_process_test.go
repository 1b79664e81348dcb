package app_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/channelgraph/channelgraph/internal/database/dbtest"
	"github.com/channelgraph/channelgraph/internal/ident"
)

// patience bounds every wait of a story.
const patience = time.Minute

// process is one running channelgraph.
type process struct {
	cmd  *exec.Cmd
	out  *lines
	errs *lines
	done chan struct{} // closed once the process has ended
	err  error
}

// lines keeps what a process wrote and tells when there is more.
type lines struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	more chan struct{}
}

func newLines() *lines { return &lines{more: make(chan struct{})} }

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf.Write(p)
	close(l.more)
	l.more = make(chan struct{})
	return len(p), nil
}

func (l *lines) text() (string, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String(), l.more
}

// wait returns once the text matches, or with what is there when done is
// closed or patience is over.
func (l *lines) wait(re *regexp.Regexp, done <-chan struct{}, d time.Duration) bool {
	timeout := time.NewTimer(d)
	defer timeout.Stop()
	for {
		text, more := l.text()
		if re.MatchString(text) {
			return true
		}
		select {
		case <-more:
		case <-done:
			text, _ = l.text()
			return re.MatchString(text)
		case <-timeout.C:
			return false
		}
	}
}

var ready = regexp.MustCompile(`is ready after |msg=ready|"msg":"ready"`)

// launch starts channelgraph and waits until it is ready.
func launch(dir string, env, args []string) (*process, error) {
	path, err := exec.LookPath("channelgraph")
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.Command(path, args...), out: newLines(), errs: newLines(), done: make(chan struct{})}
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = dir, p.out, p.errs
	p.cmd.Env = append(cleanEnv(), append(env, "STORY_LEASH=1")...)
	if _, err := p.cmd.StdinPipe(); err != nil { // held open; its end ends the process
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { p.err = p.cmd.Wait(); close(p.done) }()
	both := p.out
	if slices.Contains(args, "worker") { // greets nobody
		both = p.errs
	}
	if !both.wait(ready, p.done, 2*patience) {
		_ = p.cmd.Process.Kill()
		<-p.done
		out, _ := p.out.text()
		errs, _ := p.errs.text()
		return nil, fmt.Errorf("channelgraph did not get ready:\n%s\n%s", out, errs)
	}
	return p, nil
}

// cleanEnv is this process's environment without the settings of the product.
func cleanEnv() []string {
	return slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "CHANNELGRAPH_") })
}

// kill ends the process without a word, as a power cut would.
func (p *process) kill() {
	_ = p.cmd.Process.Signal(syscall.SIGKILL)
	<-p.done
}

// stop asks the process to end and gives its error, if it did not end well.
func (p *process) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return p.stopped()
}

func (p *process) stopped() error {
	t := time.NewTimer(2 * patience)
	defer t.Stop()
	select {
	case <-p.done:
	case <-t.C:
		p.kill()
		return errors.New("it did not end in time")
	}
	return p.err
}

// world is a demo world that was filled once and is copied for each story.
type world struct {
	once sync.Once
	err  error
	data string // the data folder, at rest
	base string // the PostgreSQL database, "" on SQLite
	took time.Duration
}

var template world

// fill makes the demo world, by the product's own --demo.
func (w *world) fill() error {
	w.once.Do(func() { w.err = w.make() })
	return w.err
}

func (w *world) make() error {
	dir, err := os.MkdirTemp("", "channelgraph-stories-")
	if err != nil {
		return err
	}
	w.data = filepath.Join(dir, "data")
	var env []string
	if dbtest.PostgresURL() != "" {
		w.base = "stories_" + strings.ToLower(ident.New(ident.Job).Body())
		if err := dbtest.Create(w.base, ""); err != nil {
			return err
		}
		env = append(env, "CHANNELGRAPH_DATABASE_URL="+dbtest.DatabaseURL(w.base))
	}
	begin := time.Now()
	p, err := launch(dir, env, []string{"serve", "--demo", "--addr", "127.0.0.1:0", "--data", w.data})
	if err != nil {
		return err
	}
	w.took = time.Since(begin)
	if err := p.stop(); err != nil {
		errs, _ := p.errs.text()
		return fmt.Errorf("filling the demo world: %w\n%s", err, errs)
	}
	return nil
}

func (w *world) remove() error {
	var err error
	if w.base != "" {
		err = dbtest.Drop(w.base)
	}
	if w.data != "" {
		err = errors.Join(err, os.RemoveAll(filepath.Dir(w.data)))
	}
	return err
}

// story is what the verbs of one script share.
type story struct {
	dir, data string
	database  string // PostgreSQL database, "" on SQLite
	namespace string
	addr      string
	flags     []string
	env       []string
	prepared  bool
	demo      bool
	running   *process
	worker    *process
	logs      bytes.Buffer // of the processes that have ended
	smtp      *smtpServer
	redis     *proxy
	hook      *hookServer

	passwords map[string]string
	people    map[string]*person
	who       *person
	locale    string
	seen      map[string]bool // mails that the story has read, by id
	read      map[string]bool // and by Message-ID
	killed    bool            // a process of it was killed
	last      answer
	again     func() error // asks the last query once more
	crowd     []map[string]any
	crowdDoc  string
	page      page
	held      page
}

func newStory(env *testscript.Env) (*story, error) {
	s, err := makeStory(env.WorkDir)
	if err == nil {
		env.Setenv("ADDR", s.addr)
		env.Setenv("REDIS", dbtest.RedisURL())
	}
	return s, err
}

func makeStory(dir string) (*story, error) {
	s := &story{dir: dir, data: filepath.Join(dir, "data"), people: map[string]*person{}, passwords: map[string]string{},
		seen: map[string]bool{}, read: map[string]bool{}, locale: "en", namespace: "st-" + ident.New(ident.Job).Body()}
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	s.addr = addr
	s.who = s.person("nobody")
	return s, nil
}

// freeAddr finds a port below those that the system gives to clients, so that
// it is still free when a killed process starts again.
func freeAddr() (string, error) {
	portMu.Lock()
	defer portMu.Unlock()
	for range 4000 {
		nextPort++
		addr := fmt.Sprintf("127.0.0.1:%d", 18000+nextPort%12000)
		l, err := net.Listen("tcp", addr)
		if err == nil {
			return addr, l.Close()
		}
	}
	return "", errors.New("no free port")
}

var (
	portMu   sync.Mutex
	nextPort = os.Getpid() * 37 // parallel test binaries start apart
)

// prepare gives the story its world: a copy of the demo, or an empty one.
func (s *story) prepare(demo bool) error {
	if s.prepared {
		return nil
	}
	s.prepared, s.demo = true, demo
	if dbtest.PostgresURL() != "" {
		s.database = "story_" + strings.ToLower(ident.New(ident.Job).Body())
		s.env = append(s.env, "CHANNELGRAPH_DATABASE_URL="+dbtest.DatabaseURL(s.database))
	}
	if dbtest.RedisURL() != "" {
		u, err := url.Parse(dbtest.RedisURL())
		if err != nil {
			return err
		}
		if s.redis, err = newProxy(u.Host); err != nil {
			return err
		}
		u.Host = s.redis.addr()
		s.env = append(s.env, "CHANNELGRAPH_REDIS_URL="+u.String(), "CHANNELGRAPH_QUEUE_NAMESPACE="+s.namespace)
	}
	if !demo {
		if s.database != "" {
			return dbtest.Create(s.database, "")
		}
		return nil
	}
	if err := template.fill(); err != nil {
		return err
	}
	if s.database != "" {
		if err := dbtest.Create(s.database, template.base); err != nil {
			return err
		}
	}
	if err := copyFolder(template.data, s.data); err != nil {
		return err
	}
	return s.readDemo()
}

func copyFolder(from, to string) error {
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, d.Name()), raw, 0o600)
	})
}

// readDemo learns the demo passwords from demo.json, as a developer would.
func (s *story) readDemo() error {
	raw, err := os.ReadFile(filepath.Join(s.data, "demo.json"))
	if err != nil {
		return err
	}
	var accounts []struct{ Email, Password string }
	if err := json.Unmarshal(raw, &accounts); err != nil {
		return err
	}
	for _, a := range accounts {
		s.passwords[a.Email] = a.Password
	}
	return nil
}

// start starts the product on the story's data.
func (s *story) start(flags []string) error {
	if s.running != nil {
		return errors.New("it runs already")
	}
	s.flags = flags
	args := append([]string{"serve", "--addr", s.addr, "--data", s.data}, flags...)
	p, err := launch(s.dir, s.env, args)
	if err != nil {
		return err
	}
	s.running = p
	if len(s.seen) == 0 && s.demo { // the demo's own past
		mails, err := s.mails("")
		if err != nil {
			return err
		}
		for _, m := range mails {
			s.seen[m.ID] = true
		}
	}
	return nil
}

// keep puts the logs of an ended process aside.
func (s *story) keep(p *process) {
	errs, _ := p.errs.text()
	s.logs.WriteString(errs)
}

func (s *story) log() string {
	out := s.logs.String()
	for _, p := range []*process{s.running, s.worker} {
		if p != nil {
			errs, _ := p.errs.text()
			out += errs
		}
	}
	return out
}

// end stops whatever runs and removes the story's database.
func (s *story) end() {
	for _, p := range []*process{s.running, s.worker} {
		if p != nil {
			p.kill()
			s.keep(p)
		}
	}
	s.running, s.worker = nil, nil
	if os.Getenv("CHANNELGRAPH_STORY_LOGS") != "" {
		fmt.Fprintln(os.Stderr, s.logs.String())
	}
	if s.smtp != nil {
		s.smtp.close()
	}
	if s.hook != nil {
		s.hook.CloseClientConnections()
		s.hook.Close()
	}
	if s.redis != nil {
		s.redis.close()
		_ = flushRedis(dbtest.RedisURL(), s.namespace)
	}
	if s.database != "" {
		_ = dbtest.Drop(s.database)
	}
	for _, p := range s.people {
		p.client.CloseIdleConnections()
	}
	http.DefaultClient.CloseIdleConnections()
}

// databaseURL names the story's database, for a look at what only the tables
// tell: in which window a process was killed.
func (s *story) databaseURL() string {
	if s.database != "" {
		return dbtest.DatabaseURL(s.database)
	}
	return "sqlite://" + filepath.Join(s.data, "channelgraph.db")
}
