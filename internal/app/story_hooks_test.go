package app_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"
	standard "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// hookServer is the endpoint of a story; it outlives the product.
type hookServer struct {
	*httptest.Server
	mu   sync.Mutex
	mode string
	got  []hookMessage // that no hooked has read
}

type hookMessage struct {
	header http.Header
	body   []byte
}

func newHookServer() *hookServer {
	h := &hookServer{mode: "up"}
	h.Server = httptest.NewServer(http.HandlerFunc(h.serve))
	return h
}

func (h *hookServer) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	h.mu.Lock()
	defer h.mu.Unlock()
	status, _ := strconv.Atoi(h.mode)
	switch {
	case err != nil || h.mode == "down":
		panic(http.ErrAbortHandler)
	case r.URL.Path == "/elsewhere":
		h.got = append(h.got, hookMessage{http.Header{}, []byte(`{"type":"redirected"}`)})
	case h.mode == "redirect":
		http.Redirect(w, r, h.URL+"/elsewhere", http.StatusTemporaryRedirect)
	case status > 0:
		w.WriteHeader(status)
	default:
		h.got = append(h.got, hookMessage{r.Header, body})
	}
}

// doHook starts an endpoint and tells how it answers: up, down, redirect or a
// status.
func (s *story) doHook(ts *testscript.TestScript, _ bool, args []string) error {
	if s.hook == nil {
		s.hook = newHookServer()
		ts.Setenv("hook", s.hook.URL+"/hook")
	}
	s.hook.mu.Lock()
	defer s.hook.mu.Unlock()
	s.hook.mode = args[0]
	return nil
}

// doHooked waits for a message of a type, which the specification's own library
// must verify by the secret, and lets expect read its data: TYPE SECRET.
// $hookid is its id, $signatures how many signatures it carries.
func (s *story) doHooked(ts *testscript.TestScript, _ bool, args []string) error {
	wh, err := standard.NewWebhook(args[1])
	if err != nil {
		return err
	}
	return poll(func() error {
		s.hook.mu.Lock()
		defer s.hook.mu.Unlock()
		for i, m := range s.hook.got {
			if !strings.Contains(string(m.body), fmt.Sprintf(`"type":%q`, args[0])) {
				continue
			}
			s.hook.got = append(s.hook.got[:i:i], s.hook.got[i+1:]...)
			if err := wh.VerifyIgnoringTimestamp(m.body, m.header); err != nil { // the demo's clock is its own
				return err
			}
			ts.Setenv("hookid", m.header.Get("webhook-id"))
			ts.Setenv("signatures", strconv.Itoa(len(strings.Fields(m.header.Get("webhook-signature")))))
			s.last, s.again = answer{status: http.StatusOK, body: m.body}, nil
			return nil
		}
		return errors.New("no such message came")
	})
}

// doNoHook settles everything and finds no message that was not read.
func (s *story) doNoHook(ts *testscript.TestScript, _ bool, _ []string) error {
	if err := s.doSettle(ts, false, nil); err != nil {
		return err
	}
	s.hook.mu.Lock()
	defer s.hook.mu.Unlock()
	if len(s.hook.got) > 0 {
		return fmt.Errorf("%d messages came, the first is %s", len(s.hook.got), s.hook.got[0].body)
	}
	return nil
}
