package webhook

import (
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/fault"
)

func TestAddresses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		addr     string
		ok, dev  bool
		loopback bool
	}{
		{"93.184.216.34:443", true, true, true}, {"93.184.216.34:8443", true, true, true}, {"93.184.216.34:25", false, true, true},
		{"[2606:4700::1111]:443", true, true, true},
		{"127.0.0.1:443", false, false, true}, {"[::1]:443", false, false, true}, {"[::ffff:127.0.0.1]:443", false, false, true},
		{"0.0.0.0:443", false, false, false}, {"10.1.2.3:443", false, false, false}, {"172.16.0.1:443", false, false, false},
		{"172.31.255.255:443", false, false, false}, {"192.168.1.1:443", false, false, false}, {"169.254.169.254:443", false, false, false},
		{"100.64.0.1:443", false, false, false}, {"192.0.2.1:443", false, false, false}, {"198.51.100.1:443", false, false, false},
		{"203.0.113.9:443", false, false, false}, {"198.18.0.1:443", false, false, false}, {"224.0.0.1:443", false, false, false},
		{"255.255.255.255:443", false, false, false}, {"240.0.0.1:443", false, false, false}, {"192.88.99.1:443", false, false, false},
		{"[::]:443", false, false, false}, {"[fe80::1]:443", false, false, false}, {"[fe80::1%eth0]:443", false, false, false},
		{"[fd00::1]:443", false, false, false}, {"[ff02::1]:443", false, false, false}, {"[2001:db8::1]:443", false, false, false},
		{"[2002:7f00:1::]:443", false, false, false}, {"[64:ff9b::7f00:1]:443", false, false, false}, {"[64:ff9b:1::1]:443", false, false, false},
		{"[::ffff:8.8.8.8]:443", false, false, false}, {"[2001::1]:443", false, false, false}, {"[3fff::1]:443", false, false, false},
	} {
		to := netip.MustParseAddrPort(c.addr)
		if (Config{}).mayConnect(to) != c.ok || (Config{AnyPort: true}).mayConnect(to) != c.dev || (Config{AnyPort: true, Loopback: true}).mayConnect(to) != c.loopback {
			t.Errorf("%s: %t %t %t", c.addr, Config{}.mayConnect(to), Config{AnyPort: true}.mayConnect(to), Config{AnyPort: true, Loopback: true}.mayConnect(to))
		}
	}
}

func TestURLs(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{ // the stored form, or a code
		" https://Hooks.Example.com ":         "https://hooks.example.com/",
		"HTTPS://hooks.example.com:443/a?b=c": "https://hooks.example.com/a?b=c",
		"https://hooks.example.com:8443/a":    "https://hooks.example.com:8443/a",
		"https://bücher.example/x":            "https://xn--bcher-kva.example/x",
		"https://hooks.example.com:9000/":     CodeURLPort, "https://hooks.example.com:/": CodeURLPort,
		"http://hooks.example.com/": CodeURLInvalid, "ftp://hooks.example.com/": CodeURLInvalid, "hooks.example.com": CodeURLInvalid,
		"https:///x": CodeURLInvalid, "https:hooks.example.com": CodeURLInvalid, "https://hooks.example.com/#x": CodeURLInvalid,
		"https://a.example\\@b.example/": CodeURLInvalid, "https://a.example/\u202e": CodeURLInvalid, "javascript:alert(1)": CodeURLInvalid,
		"https://user:pw@hooks.example.com/": CodeURLCredentials, "https://user@hooks.example.com/": CodeURLCredentials,
		"https://127.0.0.1/": CodeURLHost, "https://[::1]/": CodeURLHost, "https://10.0.0.1/": CodeURLHost, "https://93.184.216.34/": CodeURLHost,
		"https://0x7f000001/": CodeURLHost, "https://2130706433/": CodeURLHost, "https://017700000001/": CodeURLHost, "https://127.1/": CodeURLHost,
		"https://localhost/": CodeURLHost, "https://a.localhost/": CodeURLHost, "https://intranet/": CodeURLHost, "https://[fe80::1%25eth0]/": CodeURLHost,
		"": fault.CodeRequired, "https://a.example/" + strings.Repeat("x", 500): fault.CodeTooLong,
	} {
		i := CreateInput{URL: in, Description: "Orders"}
		switch err := i.Validate(Config{}); {
		case strings.HasPrefix(want, "https"):
			if err != nil || i.URL != want {
				t.Errorf("%q became %q, %v", in, i.URL, err)
			}
		case !fault.Is(err, want):
			t.Errorf("%q: got %v, want %s", in, err, want)
		}
	}
	dev := Config{Loopback: true, AnyPort: true}
	for in, want := range map[string]string{"http://127.0.0.1:9000/x": "http://127.0.0.1:9000/x", "http://[::1]:9000": "http://[::1]:9000/", "http://localhost": "http://localhost/"} {
		i := CreateInput{URL: in, Description: "Orders"}
		if err := i.Validate(dev); err != nil || i.URL != want {
			t.Errorf("%q became %q, %v", in, i.URL, err)
		}
	}
	for _, in := range []string{"http://10.0.0.1/", "http://hooks.example.com/"} {
		if err := (&CreateInput{URL: in, Description: "Orders"}).Validate(dev); err == nil {
			t.Errorf("%q was taken", in)
		}
	}
}

// All that is wrong is told together.
func TestInput(t *testing.T) {
	t.Parallel()
	err := (&CreateInput{Description: "see evil.com/x", Events: []Type{PartnerRegistered, "nothing", Test}}).Validate(Config{})
	if f := fault.As(err); f == nil || len(f.Problems) != 4 {
		t.Errorf("got %v", err)
	}
	in := CreateInput{URL: "https://a.example", Description: " Orders ", Events: []Type{PartnerRegistered, InvitationSent, PartnerRegistered}}
	if err := in.Validate(Config{}); err != nil || in.Description != "Orders" || len(in.Events) != 2 || in.Events[0] != InvitationSent {
		t.Errorf("got %+v, %v", in, err)
	}
	if err := (&CreateInput{URL: "https://a.example", Description: "a", Events: make([]Type, 50)}).Validate(Config{}); !fault.Is(err, fault.CodeTooMany) {
		t.Errorf("got %v", err)
	}
	now := time.Now()
	for _, since := range []time.Time{now.Add(time.Minute), now.Add(-KeepFor - time.Minute)} {
		if err := (&ReplayFailedInput{Since: since}).Validate(now); !fault.Is(err, CodeReplayRange) {
			t.Errorf("got %v", err)
		}
	}
}

func TestWaits(t *testing.T) {
	t.Parallel()
	total := time.Duration(0)
	for n := 1; n < MaxAttempts; n++ {
		low, ok := wait(n, 0, 0)
		high, _ := wait(n, 0, 0.999)
		if !ok || low >= high || n > 1 && low <= total/time.Duration(50*n) {
			t.Errorf("after %d: %s to %s", n, low, high)
		}
		total += waits[n-1]
	}
	if _, more := wait(MaxAttempts, 0, 0.5); more || total < 72*time.Hour || total > 80*time.Hour {
		t.Errorf("%s in all", total)
	}
	if d, _ := wait(1, time.Hour, 0.5); d != time.Hour {
		t.Errorf("asked for an hour, waits %s", d)
	}
	if d, _ := wait(1, 1000*time.Hour, 0.5); d != mostRetryAfter {
		t.Errorf("asked for ever, waits %s", d)
	}
}

func TestTooManyFailures(t *testing.T) {
	t.Parallel()
	now := time.Now()
	e := &Endpoint{Status: Enabled}
	for n := range 100 {
		if _, pause := e.failed(outcome{code: FailTimeout}, false, now.Add(time.Duration(n)*time.Minute)); pause {
			t.Fatal("paused before a day")
		}
	}
	if why, pause := e.failed(outcome{code: FailTimeout}, false, now.Add(failingToPause)); !pause || why != PauseFailing {
		t.Error("not paused after a day")
	}
	e.arrived(now)
	if _, pause := e.failed(outcome{code: FailTimeout}, false, now); pause || e.Failures != 1 {
		t.Error("an arrival forgets nothing")
	}
	if why, pause := e.failed(outcome{code: FailGone}, true, now); !pause || why != PauseGone {
		t.Error("gone is not gone")
	}
	if _, pause := e.failed(outcome{code: FailTimeout}, true, now.Add(failingToPause-time.Second)); pause {
		t.Error("one message that never arrives pauses an endpoint that took another within a day")
	}
	if why, pause := e.failed(outcome{code: FailTimeout}, true, now.Add(failingToPause)); !pause || why != PauseFailing {
		t.Error("nothing arrived for a day, and the last attempt does not pause")
	}
	e.pause(PauseRequested, now)
	if _, pause := e.failed(outcome{code: FailGone}, true, now); pause {
		t.Error("paused twice")
	}
}

func TestCatalogue(t *testing.T) {
	t.Parallel()
	made := map[Type]bool{}
	for action, sources := range catalogue {
		for _, s := range sources {
			made[s.typ] = true
		}
		if !strings.Contains(action, ".") {
			t.Errorf("%s is no action", action)
		}
	}
	for _, typ := range Types {
		if !made[typ] {
			t.Errorf("%s never happens", typ)
		}
		delete(made, typ)
	}
	if len(made) > 0 {
		t.Errorf("nobody can ask for %v", made)
	}
}

// Every act of a partner's life that a concept records is in the catalogue or
// in untold, and the catalogue names no others.
func TestEveryActIsJudged(t *testing.T) {
	t.Parallel()
	untold := []string{
		"invitation.look", "invitation.scan", "invitation.remind", "partnership.send_invitation", "partnership.tell_standing", // kinds of jobs
		"invitation.kept_waiting", "invitation.new_link_requested", "partnership_link.rotated", "partnership_link.resumed", "partnership_link.paused",
		"partner.affiliates_declared", "partner.profile_changed", "partner.support_changed",
		"enrollment.look", "enrollment.scan", "enrollment.notice", "enrollment.run_checks", "enrollment.send_verification", "enrollment.discard_evidence", // kinds of jobs
		"enrollment.answer_start", "enrollment.saved", "enrollment.programme_id_selected", "enrollment.verification_resent", "enrollment.evidence_discarded",
		"enrollment.assigned", "enrollment.unassigned", "enrollment.note_added", "enrollment.promoted", // the operator's own business
		"enrollment.check_left", "enrollment.check_passed", "enrollment.check_failed",
		"partnership.look_termination", "partnership.scan_terminations", // kinds of jobs
		"partnership.termination_assigned", "partnership.termination_unassigned", // the operator's own business
		"profile_update.assigned", "profile_update.unassigned", "support_request.assigned", "support_request.unassigned", "support_request.note_added",
		"customer.look_at_grant", "customer.scan_grants", "customer.send_invitation", "customer.export", "order.provision", "order.expire", "order.scan",
		"subscription.move_on", "subscription.scan", // kinds of jobs
		"customer.id", "customer.organization_id", "partner.id", // columns
		"customer.invited", "customer.invitation_declined", // told as the invitation's
		"customer.set_up",                                                              // nobody has the customer yet
		"customer.export_requested", "customer.exported", "customer.export_downloaded", // one person's business
		"order.started", "order.saved", "order.reviewed", "order.cancelled", "order.expired", // a draft is nobody else's business
		"subscription.licences_added", "subscription.licences_reduced", "subscription.cancelled", "subscription.suspended", "subscription.reactivated",
		"subscription.auto_renew_set", "subscription.renamed", "subscription.reseller_associated", "subscription.support_contact_designated", // told as changes
	}
	literal := regexp.MustCompile(`"((?:invitation|partnership|partnership_link|partner|enrollment|customer|grant|order|subscription|profile_update|support_request)\.[a-z_]+)"`)
	found := map[string]bool{}
	for _, concept := range []string{"invitation", "partnership", "partner", "enrollment", "customer", "order", "subscription", "directory", "support"} {
		for _, floor := range []string{"service*.go", "jobs*.go"} {
			names, err := filepath.Glob(filepath.Join("..", concept, floor))
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range names {
				if strings.HasSuffix(name, "_test.go") {
					continue
				}
				text, err := os.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				for _, m := range literal.FindAllStringSubmatch(string(text), -1) {
					found[m[1]] = true
				}
			}
		}
	}
	for act := range found {
		if (catalogue[act] == nil) != slices.Contains(untold, act) {
			t.Errorf("%s: is it told to other programs? Add it to the catalogue, or to untold here", act)
		}
	}
	for act := range catalogue {
		if !found[act] {
			t.Errorf("%s is told of, but nothing records it", act)
		}
	}
}

// Who waits for a place asks the less often the later it is.
func TestQueueFor(t *testing.T) {
	t.Parallel()
	for late, want := range map[time.Duration][2]time.Duration{
		-time.Second: {2 * time.Second, 4 * time.Second}, 20 * time.Second: {12 * time.Second, 24 * time.Second}, time.Hour: {62 * time.Second, 124 * time.Second},
	} {
		if low, high := queueFor(late, 0), queueFor(late, 1); low != want[0] || high != want[1] {
			t.Errorf("%s late waits %s to %s", late, low, high)
		}
	}
}

func TestGate(t *testing.T) {
	t.Parallel()
	g := gate{each: map[string]int{}}
	for range inFlightEach {
		if !g.enter("a") {
			t.Fatal("refused")
		}
	}
	if g.enter("a") || !g.enter("b") {
		t.Error("one organization takes all")
	}
	g.leave("b")
	for range inFlightEach {
		g.leave("a")
	}
	if g.all != 0 || len(g.each) != 0 {
		t.Errorf("left %d, %v", g.all, g.each)
	}
}
