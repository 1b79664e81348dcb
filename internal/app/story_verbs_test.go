package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/database/dbtest"
)

// verb performs one line of a story; neg says that it began with "!".
type verb func(s *story, ts *testscript.TestScript, neg bool, args []string) error

// verbs are the words of the stories; testdata/README.md explains them.
func verbs() map[string]func(*testscript.TestScript, bool, []string) {
	out := map[string]func(*testscript.TestScript, bool, []string){}
	add := func(name string, least, most int, negatable bool, v verb) {
		out[name] = func(ts *testscript.TestScript, neg bool, args []string) {
			if len(args) < least || most >= 0 && len(args) > most {
				ts.Fatalf("%s: %d words do not fit", name, len(args))
			}
			if neg && !negatable {
				ts.Fatalf("%s cannot be negated", name)
			}
			if err := v(ts.Value(storyKey{}).(*story), ts, neg, args); err != nil {
				ts.Fatalf("%s: %v", name, err)
			}
		}
	}
	add("set", 1, -1, false, (*story).doSet)
	add("start", 0, -1, true, (*story).doStart)
	add("shutdown", 0, 0, false, (*story).doStop)
	add("stopping", 0, 0, false, (*story).doStopping)
	add("stopped", 0, 0, false, (*story).doStopped)
	add("kill-9", 0, 0, false, (*story).doKill)
	add("restart", 0, 0, false, (*story).doRestart)
	add("work", 0, 0, false, (*story).doWork)
	add("kill-worker", 0, 0, false, (*story).doKillWorker)
	add("stop-worker", 0, 0, false, (*story).doStopWorker)
	add("as", 1, 2, true, (*story).doAs)
	add("speak", 1, 1, false, (*story).doSpeak)
	add("gql", 1, -1, true, (*story).doGraphQL)
	add("refused", 1, 2, false, (*story).doRefused)
	add("denied", 1, 2, false, (*story).doDenied)
	add("expect", 1, 2, true, (*story).doExpect)
	add("same", 2, 2, true, func(_ *story, _ *testscript.TestScript, neg bool, args []string) error {
		if (args[0] == args[1]) == neg {
			return fmt.Errorf("%s and %s", args[0], args[1])
		}
		return nil
	})
	add("more", 3, 3, false, (*story).doMore)
	add("until", 2, 2, false, (*story).doUntil)
	add("capture", 2, 2, false, (*story).doCapture)
	add("codeof", 1, 1, false, (*story).doCodeOf)
	add("enroll", 2, -1, false, (*story).doEnroll)
	add("sell", 3, -1, true, (*story).doSell)
	add("moment", 2, 2, false, (*story).doMoment)
	add("upload", 1, -1, false, (*story).doUpload)
	add("long", 3, 4, false, doLong)
	add("large", 2, 2, false, doLarge)
	add("who", 1, 1, false, (*story).doWho)
	add("setuplink", 0, 0, false, (*story).doSetupLink)
	add("output", 1, 1, true, (*story).doOutput)
	add("rows", 1, 1, false, (*story).doRows)
	add("many", 3, 3, false, (*story).doMany)
	add("answer", 0, 1, false, (*story).doAnswer)
	add("race", 2, -1, false, (*story).doRace)
	add("catch", 2, -1, false, (*story).doCatch)
	add("posts", 2, -1, false, (*story).doPosts)
	add("crowd", 1, -1, false, (*story).doCrowd)
	add("tally", 3, 3, false, (*story).doTally)
	add("mail", 1, 3, false, (*story).doMail)
	add("nomail", 1, 2, false, (*story).doNoMail)
	add("header", 2, 2, false, (*story).doHeader)
	add("bounce", 1, 1, false, (*story).doBounce)
	add("visit", 1, 1, false, (*story).doVisit)
	add("submit", 1, -1, false, (*story).doSubmit)
	add("hold", 0, 0, false, (*story).doHold)
	add("back", 0, 0, false, (*story).doBack)
	add("see", 1, 1, true, (*story).doSee)
	add("source", 1, 1, true, (*story).doSource)
	add("http", 2, -1, false, (*story).doHTTP)
	add("status", 1, 1, false, (*story).doStatus)
	add("advance", 1, 1, false, (*story).doAdvance)
	add("settle", 0, 0, false, (*story).doSettle)
	add("faults", 1, 2, false, (*story).doFaults)
	add("smtp", 1, 2, false, (*story).doSMTP)
	add("copies", 2, 2, false, (*story).doCopies)
	add("everyone", 0, 0, false, (*story).doEveryone)
	add("redis", 1, 1, false, (*story).doRedis)
	add("jobs", 3, 3, false, (*story).doJobs)
	add("exitcode", 2, -1, false, doExitCode)
	add("hook", 1, 1, false, (*story).doHook)
	add("hooked", 2, 2, false, (*story).doHooked)
	add("nohook", 0, 0, false, (*story).doNoHook)
	add("log", 1, 2, true, (*story).doLog)
	add("nowhere", 1, -1, true, (*story).doNowhere)
	return out
}

// pairs reads name=value words: name:=json is JSON, name=@file is a file of
// the story with its ${variables} filled in, name=null leaves it out.
func pairs(ts *testscript.TestScript, args []string) (map[string]any, error) {
	out := map[string]any{}
	for _, a := range args {
		name, value, ok := strings.Cut(a, "=")
		if !ok {
			return nil, fmt.Errorf("%q is no name=value", a)
		}
		if raw, isJSON := strings.CutSuffix(name, ":"); isJSON {
			if file, isFile := strings.CutPrefix(value, "@"); isFile {
				value = fileOf(ts, file)
			}
			var v any
			if err := json.Unmarshal([]byte(value), &v); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			out[raw] = v
			continue
		}
		if file, isFile := strings.CutPrefix(value, "@"); isFile {
			value = fileOf(ts, file)
		}
		out[name] = value
	}
	return out, nil
}

var variable = regexp.MustCompile(`\$\{(\w+)\}`)

// fileOf is a file of the story, without its last line end.
func fileOf(ts *testscript.TestScript, name string) string {
	return variable.ReplaceAllStringFunc(strings.TrimSuffix(ts.ReadFile(name), "\n"), func(v string) string { return ts.Getenv(v[2 : len(v)-1]) })
}

func word(m map[string]any, name, otherwise string) string {
	if v, ok := m[name].(string); ok {
		return v
	}
	return otherwise
}

// ---- the process ----

// doSet sets settings of the product by their environment names.
func (s *story) doSet(_ *testscript.TestScript, _ bool, args []string) error {
	for _, a := range args {
		s.env = append(s.env, "CHANNELGRAPH_"+a)
	}
	return nil
}

// doStart starts the product with the demo world, or "empty", with flags.
func (s *story) doStart(_ *testscript.TestScript, neg bool, args []string) error {
	demo := len(args) == 0 || args[0] != "empty"
	if err := s.prepare(demo); err != nil {
		return err
	}
	flags := append([]string{"--demo"}, args...)
	if !demo {
		flags = args[1:]
	}
	err := s.start(flags)
	if neg {
		if err == nil {
			return errors.New("it started")
		}
		s.logs.WriteString(err.Error())
		return nil
	}
	return err
}

// doStop asks the product to end, which it must do well.
func (s *story) doStop(*testscript.TestScript, bool, []string) error {
	if s.running == nil {
		return errors.New("nothing runs")
	}
	p := s.running
	s.running = nil
	err := p.stop()
	s.keep(p)
	return err
}

// doStopping tells the product to stop and does not wait, doStopped waits.
func (s *story) doStopping(*testscript.TestScript, bool, []string) error {
	if s.running == nil {
		return errors.New("nothing runs")
	}
	return s.running.cmd.Process.Signal(syscall.SIGTERM)
}

func (s *story) doStopped(*testscript.TestScript, bool, []string) error {
	p := s.running
	s.running = nil
	err := p.stopped()
	s.keep(p)
	return err
}

// doKill ends the product without a word, as a power cut would.
func (s *story) doKill(*testscript.TestScript, bool, []string) error {
	if s.running == nil {
		return errors.New("nothing runs")
	}
	s.running.kill()
	s.keep(s.running)
	s.running, s.killed = nil, true
	return nil
}

func (s *story) doRestart(ts *testscript.TestScript, _ bool, _ []string) error {
	if s.running != nil {
		if err := s.doStop(ts, false, nil); err != nil {
			return err
		}
	}
	return s.start(s.flags)
}

// doWork starts a second process that only performs jobs.
func (s *story) doWork(*testscript.TestScript, bool, []string) error {
	addr, err := freeAddr()
	if err != nil {
		return err
	}
	s.worker, err = launch(s.dir, s.env, []string{"serve", "--role", "worker", "--demo", "--addr", addr, "--public-url", "http://" + s.addr, "--data", s.data})
	return err
}

// doKillWorker ends that process as a power cut would, doStopWorker asks it
// to.
func (s *story) doKillWorker(*testscript.TestScript, bool, []string) error {
	s.worker.kill()
	s.keep(s.worker)
	s.worker, s.killed = nil, true
	return nil
}

func (s *story) doStopWorker(*testscript.TestScript, bool, []string) error {
	p := s.worker
	s.worker = nil
	err := p.stop()
	s.keep(p)
	return err
}

func (s *story) doLog(ts *testscript.TestScript, neg bool, args []string) error {
	re, err := regexp.Compile(args[0])
	if err != nil {
		return err
	}
	if neg {
		if m := re.FindString(s.log()); m != "" {
			return fmt.Errorf("the log holds %q", m)
		}
		return nil
	}
	return poll(func() error {
		m := re.FindStringSubmatch(s.log())
		if m == nil {
			return fmt.Errorf("the log holds nothing like %s:\n%s", re, s.log())
		}
		if len(args) == 2 {
			ts.Setenv(args[1], m[1])
		}
		return nil
	})
}

// doExitCode runs a command and compares its exit code: N COMMAND WORDS….
func doExitCode(_ *story, ts *testscript.TestScript, _ bool, args []string) error {
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		return err
	}
	if strconv.Itoa(code) != args[0] {
		return fmt.Errorf("it ended with %d", code)
	}
	return nil
}

// poll asks until there is no error, or gives the last one.
func poll(ask func() error) error {
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(80 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ask()
		if err == nil {
			return nil
		}
		select {
		case <-deadline.C:
			return err
		case <-tick.C:
		}
	}
}

// ---- people ----

// person is somebody with a browser and its cookies.
type person struct {
	email    string
	client   *http.Client
	signedIn bool
}

func (s *story) person(email string) *person {
	if p := s.people[email]; p != nil {
		return p
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		panic(err) // without options nothing can fail
	}
	p := &person{email: email, client: &http.Client{Jar: jar, Timeout: 5 * time.Minute}}
	s.people[email] = p
	return p
}

// doAs lets somebody act; who is not signed in signs in. "as EMAIL anew" takes
// another browser.
func (s *story) doAs(ts *testscript.TestScript, neg bool, args []string) error {
	email := args[0]
	password := s.passwords[email]
	if len(args) == 2 {
		if p, ok := strings.CutPrefix(args[1], "password="); ok {
			password = p
			if !neg {
				s.passwords[email] = p
			}
		} else if args[1] == "anew" {
			delete(s.people, email)
		}
	}
	s.who = s.person(email)
	if email == "nobody" || s.who.signedIn && !neg {
		return nil
	}
	if password == "" {
		return fmt.Errorf("nobody knows the password of %s", email)
	}
	body, err := json.Marshal(map[string]string{"email": email, "password": password})
	if err != nil {
		return err
	}
	a, err := s.send(s.who, http.MethodPost, "/auth/sign-in", bytes.NewReader(body), http.Header{"Content-Type": {"application/json"}})
	if err != nil {
		return err
	}
	s.last = a
	if (a.status == http.StatusOK) == neg {
		return fmt.Errorf("signing %s in answered %d %s", email, a.status, a.body)
	}
	s.who.signedIn = !neg
	return nil
}

func (s *story) doSpeak(_ *testscript.TestScript, _ bool, args []string) error {
	s.locale = args[0]
	return nil
}

// ---- HTTP ----

// answer is what a request got.
type answer struct {
	status int
	header http.Header
	body   []byte
	url    *url.URL
}

func (s *story) send(p *person, method, path string, body io.Reader, header http.Header) (answer, error) {
	req, err := http.NewRequestWithContext(context.Background(), method, "http://"+s.addr+path, body)
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Accept-Language", s.locale)
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	for k, v := range header {
		req.Header[k] = v
	}
	res, err := p.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, raw, res.Request.URL}, err
}

// doHTTP sends one request as it is: METHOD PATH [@file|=text] [Header:value]….
func (s *story) doHTTP(ts *testscript.TestScript, _ bool, args []string) error {
	var body io.Reader
	header := http.Header{}
	for _, a := range args[2:] {
		if file, ok := strings.CutPrefix(a, "@"); ok {
			body = strings.NewReader(fileOf(ts, file))
		} else if text, ok := strings.CutPrefix(a, "="); ok {
			body = strings.NewReader(text)
		} else if k, v, ok := strings.Cut(a, ":"); ok {
			header.Set(k, strings.TrimSpace(v))
		} else {
			return fmt.Errorf("%q is neither @file nor =text nor Header:value", a)
		}
	}
	if header.Get("Content-Type") == "" && body != nil {
		header.Set("Content-Type", "application/json")
	}
	a, err := s.send(s.who, args[0], args[1], body, header)
	if err != nil {
		return err
	}
	s.last, s.again = a, nil
	s.page = newPage(a)
	return nil
}

func (s *story) doStatus(_ *testscript.TestScript, _ bool, args []string) error {
	ok, err := matches(strconv.Itoa(s.last.status), true, args[0])
	if err == nil && !ok {
		err = fmt.Errorf("the answer was %d, not %s: %s", s.last.status, args[0], s.last.body)
	}
	return err
}

// ---- GraphQL ----

var (
	operationsOnce sync.Once
	operations     map[string]string
	operation      = regexp.MustCompile(`(?ms)^(?:query|mutation) (\w+).*?^}$`)
)

// document finds what a gql line means: a document in place, a file of the
// story, or an operation of testdata/operations.graphql.
func document(ts *testscript.TestScript, name string) (string, error) {
	switch {
	case strings.Contains(name, "{"):
		return name, nil
	case strings.HasSuffix(name, ".graphql"):
		return ts.ReadFile(name), nil
	}
	var err error
	operationsOnce.Do(func() {
		var raw []byte
		if raw, err = os.ReadFile("testdata/operations.graphql"); err != nil {
			return
		}
		operations = map[string]string{}
		for _, m := range operation.FindAllStringSubmatch(string(raw), -1) {
			operations[m[1]] = m[0]
		}
	})
	if err != nil {
		return "", err
	}
	if operations[name] == "" {
		return "", fmt.Errorf("no operation is called %s", name)
	}
	return operations[name], nil
}

func (s *story) graphql(p *person, doc string, variables map[string]any) (answer, error) {
	body, err := json.Marshal(map[string]any{"query": doc, "variables": variables})
	if err != nil {
		return answer{}, err
	}
	return s.send(p, http.MethodPost, "/graphql", bytes.NewReader(body), http.Header{
		"Content-Type": {"application/json"}, "Accept": {"application/graphql-response+json"}})
}

// doGraphQL sends an operation. It must succeed: no errors, no userErrors;
// with "!" it must not.
func (s *story) doGraphQL(ts *testscript.TestScript, neg bool, args []string) error {
	doc, err := document(ts, args[0])
	if err != nil {
		return err
	}
	variables, err := pairs(ts, args[1:])
	if err != nil {
		return err
	}
	who := s.who
	s.again = func() error {
		a, err := s.graphql(who, doc, variables)
		s.last = a
		return err
	}
	if err := s.again(); err != nil {
		return err
	}
	problems := s.problems()
	if (len(problems) > 0) != neg {
		return fmt.Errorf("problems %v in the answer %d %s", problems, s.last.status, s.last.body)
	}
	return nil
}

// problems are the codes of everything that went wrong in the last answer.
func (s *story) problems() []string {
	var out []string
	v, err := s.last.json()
	if err != nil {
		return []string{"no JSON"}
	}
	m, _ := v.(map[string]any)
	errs, _ := m["errors"].([]any)
	for _, e := range errs {
		code, _ := find(e, "extensions.code")
		out = append(out, fmt.Sprint(code))
	}
	data, _ := m["data"].(map[string]any)
	for _, payload := range data {
		p, _ := payload.(map[string]any)
		list, _ := p["userErrors"].([]any)
		for _, e := range list {
			code, _ := find(e, "code")
			out = append(out, fmt.Sprint(code))
		}
	}
	slices.Sort(out)
	return out
}

// doRefused says which userErrors the last mutation gave: CODE or CODE,CODE
// [PATH of the first].
func (s *story) doRefused(_ *testscript.TestScript, _ bool, args []string) error {
	v, err := s.last.json()
	if err != nil {
		return err
	}
	if _, failed := find(v, "errors.0"); failed {
		return fmt.Errorf("the answer is an error: %s", s.last.body)
	}
	want := strings.Split(args[0], ",")
	slices.Sort(want)
	got := s.problems()
	ok, err := matches(strings.Join(got, ","), true, strings.Join(want, ","))
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("refused with %v, not %v: %s", got, want, s.last.body)
	}
	if len(args) == 1 {
		return nil
	}
	data, _ := find(v, "data")
	for _, payload := range data.(map[string]any) {
		path, _ := find(payload, "userErrors.0.path")
		list, _ := path.([]any)
		if got := fmt.Sprint(list...); strings.ReplaceAll(args[1], ".", "") != strings.ReplaceAll(got, " ", "") {
			return fmt.Errorf("the path is %v, not %s", list, args[1])
		}
	}
	return nil
}

// doDenied says with which top-level code [and reason] the last answer failed.
func (s *story) doDenied(_ *testscript.TestScript, _ bool, args []string) error {
	v, err := s.last.json()
	if err != nil {
		return err
	}
	if code, _ := find(v, "errors.0.extensions.code"); code != args[0] {
		return fmt.Errorf("denied with %v, not %s: %s", code, args[0], s.last.body)
	}
	if len(args) == 2 {
		if reason, _ := find(v, "errors.0.extensions.reason"); reason != args[1] {
			return fmt.Errorf("denied for %v, not %s: %s", reason, args[1], s.last.body)
		}
	}
	return nil
}

func (a answer) json() (any, error) {
	d := json.NewDecoder(bytes.NewReader(a.body))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("the answer %d is no JSON: %s", a.status, a.body)
	}
	return v, nil
}

// find follows a path: names, list indexes, length of a list, and
// [path=value] for the first element of which it is true.
func find(v any, path string) (any, bool) {
	for path != "" {
		if strings.HasPrefix(path, "[") {
			end := strings.IndexByte(path, ']')
			list, ok := v.([]any)
			name, want, cut := strings.Cut(path[1:max(end, 1)], "=")
			if end < 0 || !ok || !cut {
				return nil, false
			}
			i := slices.IndexFunc(list, func(e any) bool { got, _ := find(e, name); return show(got) == want })
			if i < 0 {
				return nil, false
			}
			v, path = list[i], strings.TrimPrefix(path[end+1:], ".")
			continue
		}
		end := strings.IndexAny(path, ".[")
		if end < 0 {
			end = len(path)
		}
		step := path[:end]
		path = strings.TrimPrefix(path[end:], ".")
		switch x := v.(type) {
		case map[string]any:
			next, ok := x[step]
			if !ok {
				return nil, false
			}
			v = next
		case []any:
			if step == "length" {
				v = json.Number(strconv.Itoa(len(x)))
				continue
			}
			i, err := strconv.Atoi(step)
			if err != nil || i < 0 || i >= len(x) {
				return nil, false
			}
			v = x[i]
		default:
			return nil, false
		}
	}
	return v, true
}

func show(v any) string {
	switch x := v.(type) {
	case nil:
		return "null"
	case string:
		return x
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(raw)
}

// at finds a path in the last answer; of a GraphQL answer in its data.
func (s *story) at(path string) (any, bool, error) {
	v, err := s.last.json()
	if err != nil {
		return nil, false, err
	}
	if m, ok := v.(map[string]any); ok && m["data"] != nil && !strings.HasPrefix(path, "errors") && !strings.HasPrefix(path, "extensions") {
		v = m["data"]
	}
	got, found := find(v, path)
	return got, found, nil
}

// doExpect compares a value of the last answer: PATH VALUE, PATH ~REGEXP, or
// PATH alone for something that is there and not null.
func (s *story) doExpect(_ *testscript.TestScript, neg bool, args []string) error {
	got, found, err := s.at(args[0])
	if err != nil {
		return err
	}
	ok := found && got != nil
	if len(args) == 2 {
		if ok, err = matches(got, found, args[1]); err != nil {
			return err
		}
	}
	if ok == neg {
		return fmt.Errorf("%s is %s in %s", args[0], show(got), s.last.body)
	}
	return nil
}

// doMore says that a number has grown: PATH FROM BY.
func (s *story) doMore(_ *testscript.TestScript, _ bool, args []string) error {
	got, _, err := s.at(args[0])
	if err != nil {
		return err
	}
	from, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	by, err := strconv.Atoi(args[2])
	if err == nil && show(got) != strconv.Itoa(from+by) {
		err = fmt.Errorf("%s is %s, not %d and %d more", args[0], show(got), from, by)
	}
	return err
}

func matches(got any, found bool, want string) (bool, error) {
	if expression, ok := strings.CutPrefix(want, "~"); ok {
		re, err := regexp.Compile(expression)
		return err == nil && found && re.MatchString(show(got)), err
	}
	return found && show(got) == want, nil
}

// doUntil asks the last operation again until a value is as wanted.
func (s *story) doUntil(_ *testscript.TestScript, _ bool, args []string) error {
	if s.again == nil {
		return errors.New("there is no operation to repeat")
	}
	first := true
	return poll(func() error {
		if !first {
			if err := s.again(); err != nil {
				return err
			}
		}
		first = false
		got, found, err := s.at(args[0])
		if err != nil {
			return err
		}
		ok, err := matches(got, found, args[1])
		if err == nil && !ok {
			err = fmt.Errorf("%s stays %s in %s", args[0], show(got), s.last.body)
		}
		return err
	})
}

func (s *story) doCapture(ts *testscript.TestScript, _ bool, args []string) error {
	got, found, err := s.at(args[1])
	if err != nil {
		return err
	}
	if !found || got == nil {
		return fmt.Errorf("there is no %s in %s", args[1], s.last.body)
	}
	ts.Setenv(args[0], show(got))
	return nil
}

// doLong makes a variable of N times a text: N TEXT VARIABLE [END].
func doLong(_ *story, ts *testscript.TestScript, _ bool, args []string) error {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	ts.Setenv(args[2], strings.Repeat(args[1], n)+strings.Join(args[3:], ""))
	return nil
}

// doLarge writes a GraphQL request of N bytes and more into a file: N FILE.
func doLarge(_ *story, ts *testscript.TestScript, _ bool, args []string) error {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	return os.WriteFile(ts.MkAbs(args[1]), []byte(`{"query": "{ viewer { user { id } } }`+strings.Repeat(" ", n)+`"}`), 0o600)
}

// doWho lets somebody act with the session that is there, good or not.
func (s *story) doWho(_ *testscript.TestScript, _ bool, args []string) error {
	s.who = s.person(args[0])
	return nil
}

var aSetupLink = regexp.MustCompile(`http://\S+/l/setup#(\S+)`)

// doSetupLink reads the setup link that the start printed: $link and $code.
func (s *story) doSetupLink(ts *testscript.TestScript, _ bool, _ []string) error {
	out, _ := s.running.out.text()
	m := aSetupLink.FindStringSubmatch(out)
	if m == nil {
		return fmt.Errorf("no setup link was printed: %s", out)
	}
	ts.Setenv("link", m[0])
	ts.Setenv("code", m[1])
	return nil
}

// doOutput looks for words in what the running process printed.
func (s *story) doOutput(_ *testscript.TestScript, neg bool, args []string) error {
	out, _ := s.running.out.text()
	if strings.Contains(out, args[0]) == neg {
		return fmt.Errorf("%q: %v in %s", args[0], !neg, out)
	}
	return nil
}

// doRows sums up every table, rows and versions, in a variable, so that two
// moments can be compared.
func (s *story) doRows(ts *testscript.TestScript, _ bool, args []string) error {
	ctx := context.Background()
	db, err := database.Open(ctx, s.databaseURL(), database.Options{MaxConns: 2})
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	var sum []string
	for _, table := range []string{"organization", "user_account", "session", "capability_link", "throttle", "mail_message", "audit_event",
		"partner", "invitation", "invitation_link", "partnership", "partnership_link", "termination", "idempotency", "enrollment", "enrollment_start",
		"enrollment_link", "enrollment_event", "file", "agreement_signature", "customer", "relationship", "customer_agreement", "customer_grant",
		"customer_invitation", "customer_order", "order_line", "product_subscription", "subscription_event", "offer", "catalog_import"} {
		n, err := db.Read().NewSelect().Table(table).Count(ctx)
		if err != nil {
			return err
		}
		sum = append(sum, fmt.Sprintf("%s=%d", table, n))
	}
	for _, table := range []string{"user_account", "partner", "invitation", "partnership", "partnership_link", "termination", "enrollment",
		"customer", "relationship", "customer_grant", "customer_order", "product_subscription"} {
		var n int64
		if err := db.Read().NewSelect().Table(table).ColumnExpr("coalesce(sum(version), 0)").Scan(ctx, &n); err != nil {
			return err
		}
		sum = append(sum, fmt.Sprintf("%s.version=%d", table, n))
	}
	ts.Setenv(args[0], strings.Join(sum, " "))
	return nil
}

// doCodeOf takes the code out of a link: the link itself, or the path of one
// in the last answer.
func (s *story) doCodeOf(ts *testscript.TestScript, _ bool, args []string) error {
	link := args[0]
	if !strings.Contains(link, "#") {
		got, _, err := s.at(link)
		if err != nil {
			return err
		}
		link = show(got)
	}
	_, code, ok := strings.Cut(link, "#")
	if !ok {
		return fmt.Errorf("%s is no link with a code", link)
	}
	ts.Setenv("code", code)
	return nil
}

// doMany writes a JSON list of N texts into a file, % being the number of each:
// N TEXT FILE.
func (s *story) doMany(ts *testscript.TestScript, _ bool, args []string) error {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	list := make([]string, n)
	for i := range list {
		list[i] = strings.ReplaceAll(args[1], "%", strconv.Itoa(i+1))
	}
	raw, err := json.Marshal(list)
	if err != nil {
		return err
	}
	return os.WriteFile(ts.MkAbs(args[2]), raw, 0o600)
}

var (
	anID     = regexp.MustCompile(`\b(?:org|usr|ses|lnk|par|inv|plk|psh|trm|job|msg|aud|enr|qst|agr|sig|fil|mbr|cus|rel|grt|cag|off|cim|sub|ord|oli)_[0-9a-z]{26}\b`)
	aToken   = regexp.MustCompile(`cg[a-z]_[A-Za-z0-9_-]{30,}`)
	aMoment  = regexp.MustCompile(`\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z`)
	aRequest = regexp.MustCompile(`"(requestId|cursor|startCursor|endCursor)": "[^"]*"`)
)

// doAnswer writes the last answer, or a part of it, into answer.json for cmp:
// indented, with ids numbered and moments and tokens blotted out.
func (s *story) doAnswer(ts *testscript.TestScript, _ bool, args []string) error {
	got, err := s.last.json()
	if err != nil {
		return err
	}
	if len(args) == 1 {
		if got, _, err = s.at(args[0]); err != nil {
			return err
		}
	}
	if m, ok := got.(map[string]any); ok {
		delete(m, "extensions") // what it cost, and what is left
	}
	raw, err := json.MarshalIndent(got, "", " ")
	if err != nil {
		return err
	}
	ids := map[string]string{}
	text := anID.ReplaceAllStringFunc(string(raw), func(id string) string {
		if ids[id] == "" {
			ids[id] = fmt.Sprintf("%s-%d", id[:3], len(ids)+1)
		}
		return ids[id]
	})
	text = aToken.ReplaceAllString(text, "TOKEN")
	text = aMoment.ReplaceAllString(text, "MOMENT")
	text = aRequest.ReplaceAllString(text, `"$1": "…"`)
	text = strings.ReplaceAll(text, "http://"+s.addr, "BASE")
	return os.WriteFile(ts.MkAbs("answer.json"), []byte(text+"\n"), 0o600)
}

// ---- several at once ----

// doRace lets several people send the same operation at the same moment:
// OPERATION people=a@x,b@y [name=value for all] [name/2=value for the second].
// The answers become one list.
func (s *story) doRace(ts *testscript.TestScript, _ bool, args []string) error {
	doc, err := document(ts, args[0])
	if err != nil {
		return err
	}
	all, err := pairs(ts, args[1:])
	if err != nil {
		return err
	}
	people := strings.Split(word(all, "people", ""), ",")
	var who []*person
	for _, email := range people {
		if err := s.doAs(ts, false, []string{email}); err != nil {
			return err
		}
		who = append(who, s.who)
	}
	return s.together(len(people), 0, func(i int) (answer, error) {
		variables := map[string]any{}
		for k, v := range all {
			name, n, numbered := strings.Cut(k, "/")
			if k != "people" && (!numbered || n == strconv.Itoa(i+1)) {
				variables[name] = v
			}
		}
		return s.graphql(who[i], doc, variables)
	})
}

// doPosts sends a form to several addresses at the same moment, as people do
// who click twice: PATH,PATH… field=value…. Each answer becomes its status, the
// path of the page that it led to and what that says.
func (s *story) doPosts(ts *testscript.TestScript, _ bool, args []string) error {
	fields, err := pairs(ts, args[1:])
	if err != nil {
		return err
	}
	values := url.Values{}
	for name, v := range fields {
		values.Set(name, fmt.Sprint(v))
	}
	paths := strings.Split(args[0], ",")
	return s.together(len(paths), 0, func(i int) (answer, error) {
		a, err := s.send(s.who, http.MethodPost, paths[i], strings.NewReader(values.Encode()),
			http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Accept": {"text/html"}})
		if err != nil {
			return answer{}, err
		}
		a.body, err = json.Marshal(map[string]any{"status": a.status, "path": a.url.Path, "text": newPage(a).text})
		return a, err
	})
}

// doCrowd sends an operation many times at once: N OPERATION name=value…,
// where % in a value is the number of the request; "crowd again" sends what
// doCatch sent once more.
func (s *story) doCrowd(ts *testscript.TestScript, _ bool, args []string) error {
	if args[0] == "again" {
		return s.together(len(s.crowd), 0, func(i int) (answer, error) { return s.graphql(s.who, s.crowdDoc, s.crowd[i]) })
	}
	n, doc, all, err := crowd(ts, args)
	if err != nil {
		return err
	}
	return s.together(n, 0, func(i int) (answer, error) { return s.graphql(s.who, doc, numbered(all, i+1)) })
}

// doCatch sends a crowd and kills the product at the first answer, as often as
// it takes until a committed row was caught that no queue has seen: N OPERATION
// name=value….
func (s *story) doCatch(ts *testscript.TestScript, _ bool, args []string) error {
	n, doc, all, err := crowd(ts, args)
	if err != nil {
		return err
	}
	s.crowdDoc = doc
	for try := range 12 {
		from := len(s.crowd)
		for i := range n {
			s.crowd = append(s.crowd, numbered(all, from+i+1))
		}
		if err := s.together(n, 1, func(i int) (answer, error) { return s.graphql(s.who, doc, s.crowd[from+i]) }); err != nil {
			return err
		}
		states, err := s.countJobs("partnership.send_invitation")
		if err != nil || states["pending"] > 0 {
			ts.Logf("try %d: %v", try+1, states)
			return err
		}
		if err := s.start(s.flags); err != nil {
			return err
		}
	}
	return errors.New("every row was handed over before the kill")
}

func crowd(ts *testscript.TestScript, args []string) (n int, doc string, all map[string]any, err error) {
	if n, err = strconv.Atoi(args[0]); err == nil && len(args) < 2 {
		err = errors.New("which operation?")
	}
	if err != nil {
		return
	}
	if doc, err = document(ts, args[1]); err == nil {
		all, err = pairs(ts, args[2:])
	}
	return
}

func numbered(all map[string]any, n int) map[string]any {
	out := map[string]any{}
	for k, v := range all {
		if text, ok := v.(string); ok {
			v = strings.ReplaceAll(text, "%", strconv.Itoa(n))
		}
		out[k] = v
	}
	return out
}

// together makes n requests at the same moment and lists their answers; those
// that a kill cut off are left out.
func (s *story) together(n, killAfter int, ask func(i int) (answer, error)) error {
	type result struct {
		a   answer
		err error
	}
	results := make(chan result, n)
	start := make(chan struct{})
	for i := range n {
		go func() {
			<-start
			a, err := ask(i)
			results <- result{a, err}
		}()
	}
	close(start)
	list := []json.RawMessage{}
	for range n {
		r := <-results
		if r.err != nil {
			if killAfter == 0 {
				return r.err
			}
			continue
		}
		list = append(list, r.a.body)
		if len(list) == killAfter && s.running != nil {
			s.running.kill()
			s.keep(s.running)
			s.running = nil
		}
	}
	raw, err := json.Marshal(list)
	s.last = answer{status: http.StatusOK, body: raw}
	s.again = nil
	return err
}

// doTally counts the elements of a list in the last answer of which a path has
// a value: PATH VALUE N, where N may be +M for at least M.
func (s *story) doTally(_ *testscript.TestScript, _ bool, args []string) error {
	v, err := s.last.json()
	if err != nil {
		return err
	}
	list, ok := v.([]any)
	if !ok {
		return fmt.Errorf("the answer is no list: %s", s.last.body)
	}
	n := 0
	for _, e := range list {
		got, found := find(e, args[0])
		if ok, err := matches(got, found, args[1]); err != nil {
			return err
		} else if ok {
			n++
		}
	}
	return enough(n, args[2], string(s.last.body))
}

func enough(n int, want, about string) error {
	least, atLeast := strings.CutPrefix(want, "+")
	m, err := strconv.Atoi(least)
	if err != nil {
		return err
	}
	if n != m && (!atLeast || n < m) {
		return fmt.Errorf("there are %d, not %s: %s", n, want, about)
	}
	return nil
}

// ---- the clock, Redis, tables ----

var days = regexp.MustCompile(`(\d+)d`)

// hours reads days as hours.
func hours(span string) string {
	return days.ReplaceAllStringFunc(span, func(d string) string {
		n, _ := strconv.Atoi(strings.TrimSuffix(d, "d"))
		return strconv.Itoa(24*n) + "h"
	})
}

func (s *story) doAdvance(_ *testscript.TestScript, _ bool, args []string) error {
	by := hours(args[0])
	a, err := s.send(s.person("nobody"), http.MethodPost, "/dev/clock", strings.NewReader(fmt.Sprintf(`{"advance":%q}`, by)),
		http.Header{"Content-Type": {"application/json"}})
	if err != nil {
		return err
	}
	if a.status != http.StatusOK {
		return fmt.Errorf("the clock answered %d %s", a.status, a.body)
	}
	if by != "0s" { // sessions may have ended meanwhile
		for _, p := range s.people {
			p.signedIn = false
		}
	}
	return nil
}

// doSettle returns when nothing is left to do now.
func (s *story) doSettle(ts *testscript.TestScript, _ bool, _ []string) error {
	return s.doAdvance(ts, false, []string{"0s"})
}

// doRedis loses Redis: flush forgets the story's keys, down and up cut and
// mend the way to it.
func (s *story) doRedis(_ *testscript.TestScript, _ bool, args []string) error {
	if s.redis == nil {
		return errors.New("this run has no Redis; ask with [redis]")
	}
	switch args[0] {
	case "flush":
		return flushRedis(dbtest.RedisURL(), s.namespace)
	case "down", "up":
		s.redis.set(args[0] == "down")
		return nil
	}
	return fmt.Errorf("redis cannot %s", args[0])
}

// doJobs counts the rows of a kind in a state, which proves in which window a
// process was killed: KIND STATE|STATE N.
func (s *story) doJobs(_ *testscript.TestScript, _ bool, args []string) error {
	return poll(func() error {
		states, err := s.countJobs(args[0])
		if err != nil {
			return err
		}
		n := 0
		for _, state := range strings.Split(args[1], "|") {
			n += states[state]
		}
		return enough(n, args[2], fmt.Sprint(args[0], " ", states))
	})
}

// countJobs counts the rows of a kind by state.
func (s *story) countJobs(kind string) (map[string]int, error) {
	ctx := context.Background()
	db, err := database.Open(ctx, s.databaseURL(), database.Options{MaxConns: 2})
	if err != nil {
		return nil, err
	}
	defer func() { _ = db.Close() }()
	var states []string
	if err := db.Read().NewSelect().Table("job").Column("state").Where("kind = ?", kind).Scan(ctx, &states); err != nil {
		return nil, err
	}
	out := map[string]int{}
	for _, state := range states {
		out[state]++
	}
	return out, nil
}
