package webhook

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	standard "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/database/dbtest"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/invitation"
	"github.com/channelgraph/channelgraph/internal/mail"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/internal/page"
	"github.com/channelgraph/channelgraph/internal/partner"
	"github.com/channelgraph/channelgraph/internal/partnership"
	"github.com/channelgraph/channelgraph/internal/secret"
)

const password = secret.String("velvet tractor lagoon 41")

// received is a message as an endpoint got it.
type received struct {
	header http.Header
	body   []byte
	path   string
}

// receiver is an endpoint on this machine.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	answer func(w http.ResponseWriter)
	got    []received
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.got = append(r.got, received{req.Header, body, req.URL.Path})
		if r.answer != nil {
			r.answer(w)
		}
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) says(f func(w http.ResponseWriter)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = f
}

// take gives the messages to a path and forgets them.
func (r *receiver) take(path string) (out []received) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = slices.DeleteFunc(r.got, func(m received) bool {
		if m.path == path {
			out = append(out, m)
		}
		return m.path == path
	})
	return out
}

func types(ms []received) string {
	var out []string
	for _, m := range ms {
		var b struct{ Type string }
		_ = json.Unmarshal(m.body, &b)
		out = append(out, b.Type)
	}
	return strings.Join(out, " ")
}

// world is a provider, a reseller, a stranger and the operator.
type world struct {
	*Service
	t                         *testing.T
	joined                    *partnership.Service
	partners                  *partner.Service
	invitations               *invitation.Service
	to                        *receiver
	logs                      *bytes.Buffer
	gina, bruno, carla, chief access.Actor
}

func newWorld(t *testing.T) *world {
	t.Helper()
	db := dbtest.New(t)
	keys, err := secret.NewKeys(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, to: newReceiver(t), logs: &bytes.Buffer{}}
	log := slog.New(slog.NewTextHandler(w.logs, nil))
	mailer, err := mail.New(db, keys, mail.Config{SMTPURL: "smtp://127.0.0.1:2525", From: "center@example.com", PublicURL: "http://localhost:8080"}, log)
	if err != nil {
		t.Fatal(err)
	}
	accounts := account.New(db, mailer, keys, account.Config{PublicURL: "http://localhost:8080",
		Hashing: account.Hashing{Memory: 8, Passes: 1, Threads: 1, Slots: 4, Wait: time.Minute}}, log)
	w.partners = partner.New(db, accounts, mailer)
	w.invitations = invitation.New(db, mailer, keys, accounts, invitation.Config{}, log)
	w.joined = partnership.New(db, accounts, w.partners, w.invitations, mailer, keys, "http://localhost:8080/")
	w.Service = New(db, accounts, mailer, keys, Config{Loopback: true, AnyPort: true, Version: "test"}, log)
	w.gina, w.bruno, w.carla = w.company("nordwind", access.IndirectProvider), w.company("bianchi", access.IndirectReseller), w.company("fabrikam", access.IndirectProvider)
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		org, err := accounts.Found(ctx, tx, access.System("test"), account.NewOrganization{Kind: access.Operator, Name: "House", Domain: "house.example", Country: "IT"})
		if err != nil {
			return err
		}
		u, _, err := accounts.AddUser(ctx, tx, access.System("test"), org, account.NewUser{Email: "otto@house.example", FirstName: "Otto", LastName: "P",
			Roles: []access.Role{access.OperatorAdmin}, Password: password})
		w.chief.UserID = u.ID
		return err
	})
	w.chief = w.as(w.chief.UserID)
	return w
}

func (w *world) tx(fn func(context.Context, *database.Tx) error) {
	w.t.Helper()
	if err := w.db.InTx(w.t.Context(), fn); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) exec(q string, args ...any) {
	w.t.Helper()
	if _, err := w.db.Bun().NewRaw(q, args...).Exec(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) as(user ident.ID) access.Actor {
	w.t.Helper()
	a, err := access.Load(w.t.Context(), w.db.Read(), access.Presence{UserID: user, SudoUntil: w.db.Now().Add(10000 * time.Hour)})
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

func (w *world) company(slug string, kind access.Kind) (a access.Actor) {
	w.t.Helper()
	now, version, locale := w.db.Now(), "2026-01", "en"
	in := partner.RegisterInput{Kind: kind, LegalName: slug + " works", TenantDomain: slug + ".example", Country: "IT", AgreementSignedAt: &now, AgreementVersion: &version,
		Admin: partner.Admin{Email: "gina@" + slug + ".example", FirstName: "Gina", LastName: "Rossi", Locale: &locale}}
	if err := in.Validate(now); err != nil {
		w.t.Fatal(err)
	}
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		r, err := w.partners.RegisterTx(ctx, tx, access.System("test"), in, password)
		if err == nil {
			a.UserID = r.Admin.ID
		}
		return err
	})
	return w.as(a.UserID)
}

// endpoint makes one at the receiver's path.
func (w *world) endpoint(a access.Actor, path string, events ...Type) *Shown {
	w.t.Helper()
	s, err := w.Create(w.t.Context(), a, CreateInput{URL: w.to.URL + path, Description: "Orders", Events: events})
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// work performs the webhook jobs that are due until there are none.
func (w *world) work() {
	w.t.Helper()
	ctx := w.t.Context()
	for {
		c, err := outbox.Claim(ctx, w.db, 500)
		if err != nil {
			w.t.Fatal(err)
		}
		if len(c.Jobs) == 0 {
			return
		}
		for _, h := range c.Jobs {
			run, err := outbox.Begin(ctx, w.db, h.ID, h.Generation, "test", time.Minute)
			if err != nil || run == nil {
				w.t.Fatal(run, err)
			}
			if err := outbox.Finish(ctx, w.db, []*outbox.Ending{{Run: run, Err: w.perform(ctx, run)}}); err != nil {
				w.t.Fatal(err)
			}
		}
	}
}

func (w *world) perform(ctx context.Context, run *outbox.Run) error {
	raw := []byte(run.Job.Payload)
	switch run.Job.Kind {
	case Dispatch{}.Kind():
		return decoded(raw, func(a Dispatch) error { return w.Dispatch(ctx, run, a) })
	case Deliver{}.Kind():
		return decoded(raw, func(a Deliver) error { return w.Deliver(ctx, run, a) })
	case ReplayFailed{}.Kind():
		return decoded(raw, func(a ReplayFailed) error { return w.PerformReplay(ctx, run, a) })
	}
	return nil // mails and timers of others
}

func decoded[A any](raw []byte, fn func(A) error) error {
	var a A
	if err := json.Unmarshal(raw, &a); err != nil {
		return err
	}
	return fn(a)
}

// later moves the clock, stopping often enough for every attempt.
func (w *world) later(d time.Duration) {
	w.t.Helper()
	for step := 5 * time.Minute; d > 0; d -= step {
		if d > 24*time.Hour {
			step = time.Hour
		}
		w.db.Clock().Advance(min(step, d))
		w.work()
	}
}

// join lets the reseller authorize the provider by an invitation.
func (w *world) join() *partnership.Partnership {
	w.t.Helper()
	d, err := w.joined.Request(w.t.Context(), w.gina, partnership.RequestInput{Email: w.bruno.Email})
	if err != nil {
		w.t.Fatal(err)
	}
	code := w.keys.Capability(invitation.LinkPrefix, invitation.LinkPurpose, d.Invitation.ID, d.Invitation.Generation).Reveal()
	p, err := w.joined.Accept(w.t.Context(), w.bruno, partnership.AcceptInput{Code: code, Confirmed: true})
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

func (w *world) deliveries(a access.Actor, f DeliveryFilter) []*Delivery {
	w.t.Helper()
	c, err := w.ListDeliveries(w.t.Context(), a, page.Args{}, f)
	if err != nil {
		w.t.Fatal(err)
	}
	return c.Nodes()
}

func (w *world) reload(a access.Actor, id ident.ID) *Endpoint {
	w.t.Helper()
	es, err := w.ByIDs(w.t.Context(), a, []ident.ID{id})
	if err != nil || es[id] == nil {
		w.t.Fatal(es, err)
	}
	return es[id]
}

func verify(t *testing.T, s secret.String, m received) {
	t.Helper()
	wh, err := standard.NewWebhook(s.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	if err := wh.Verify(m.body, m.header); err != nil {
		t.Error(err)
	}
	if wh.Verify(append([]byte(" "), m.body...), m.header) == nil {
		t.Error("another body is verified, too")
	}
}

// Everybody hears of what they see, as the specification's own verifier takes
// it, and nobody of anything else.
func TestWhoIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gina, bruno := w.endpoint(w.gina, "/gina"), w.endpoint(w.bruno, "/bruno")
	w.endpoint(w.carla, "/carla")
	w.endpoint(w.chief, "/chief")
	w.endpoint(w.gina, "/few", PartnershipTerminated)
	p := w.join()
	w.work()
	g, b := w.to.take("/gina"), w.to.take("/bruno")
	if got := types(g); !strings.Contains(got, "invitation.requested") || !strings.Contains(got, "invitation.accepted") || !strings.Contains(got, "partnership.authorized") {
		t.Errorf("the provider hears %s", got)
	}
	if got := types(b); strings.Contains(got, "invitation.requested") || !strings.Contains(got, "invitation.accepted") || !strings.Contains(got, "partnership.authorized") {
		t.Errorf("the reseller hears %s", got)
	}
	if got := types(w.to.take("/chief")); strings.Count(got, " ") != 2 {
		t.Errorf("the operator hears %s", got)
	}
	if got := types(w.to.take("/carla")) + types(w.to.take("/few")); got != "" {
		t.Errorf("others hear %s", got)
	}
	for _, m := range g {
		verify(t, gina.Secret, m)
		if strings.Contains(string(m.body), "@") || strings.Contains(string(m.body), "works") || m.header.Get("Content-Type") != "application/json" {
			t.Errorf("%v %s", m.header, m.body)
		}
	}
	verify(t, bruno.Secret, b[0])
	var body struct {
		Type, Timestamp string
		Data            map[string]any
	}
	last := b[slices.IndexFunc(b, func(m received) bool { return strings.Contains(string(m.body), "partnership.authorized") })]
	if err := json.Unmarshal(last.body, &body); err != nil || body.Timestamp == "" || body.Data["id"] != string(p.ID) || body.Data["status"] != "ACTIVE" ||
		body.Data["kind"] != "Partnership" || body.Data["providerId"] != string(p.ProviderID) || body.Data["hasAdminAccess"] != true || len(body.Data) != 6 {
		t.Errorf("%s, %v", last.body, err)
	}
	if _, err := w.joined.WithdrawAdminAccess(t.Context(), w.bruno, partnership.WithdrawAdminAccessInput{PartnershipID: p.ID}); err != nil {
		t.Fatal(err)
	}
	trm, err := w.joined.RequestTermination(t.Context(), w.bruno, partnership.RequestTerminationInput{PartnershipID: p.ID, Reason: "We stop."})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.joined.CompleteTermination(t.Context(), w.chief, partnership.DecideTerminationInput{TerminationID: trm.ID}); err != nil {
		t.Fatal(err)
	}
	w.work()
	got := strings.Fields(types(w.to.take("/gina")))
	slices.Sort(got)
	if strings.Join(got, " ") != "partnership.admin_access_withdrawn partnership.terminated termination.completed termination.requested" {
		t.Errorf("the provider hears %s", got)
	}
	if got := types(w.to.take("/few")); got != "partnership.terminated" {
		t.Errorf("the choosy endpoint hears %s", got)
	}
	if strings.Contains(w.logs.String(), "whsec_") || strings.Contains(w.logs.String(), string(p.ProviderID)) {
		t.Error("the log holds a secret or a payload")
	}
}

// What is rolled back was never told; what the organization no longer sees is
// withheld.
func TestNothingLeaks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.endpoint(w.bruno, "/bruno")
	p := w.join()
	w.exec("UPDATE invitation SET invitee_id = NULL WHERE id = ?", p.InvitationID)
	w.work()
	if got := types(w.to.take("/bruno")); got != "partnership.authorized" {
		t.Errorf("hears %s", got)
	}
	withheld := Withheld
	if ds := w.deliveries(w.bruno, DeliveryFilter{State: &withheld}); len(ds) != 1 || ds[0].Code != FailHidden || ds[0].Type != InvitationAccepted {
		t.Errorf("got %+v", ds)
	} else if _, err := w.Replay(t.Context(), w.bruno, ds[0].ID); !fault.Is(err, CodeNotReplayable) {
		t.Errorf("got %v", err)
	}
	before := len(w.deliveries(w.bruno, DeliveryFilter{}))
	_ = w.db.InTx(t.Context(), func(_ context.Context, tx *database.Tx) error {
		tx.Tell("partnership.authorized", p.ID)
		return context.Canceled
	})
	if after := len(w.deliveries(w.bruno, DeliveryFilter{})); after != before {
		t.Errorf("%d deliveries, then %d", before, after)
	}
	if ds := w.deliveries(w.gina, DeliveryFilter{}); len(ds) != 0 {
		t.Errorf("others read %d deliveries", len(ds))
	}
	own := w.deliveries(w.bruno, DeliveryFilter{})[0]
	for _, a := range []access.Actor{w.gina, w.chief} {
		found, err := w.DeliveriesByIDs(t.Context(), a, []ident.ID{own.ID})
		tries, err2 := w.Attempts(t.Context(), a, []ident.ID{own.ID})
		if len(found)+len(tries) != 0 || err != nil || err2 != nil {
			t.Error(found, tries, err, err2)
		}
		if _, err := w.Replay(t.Context(), a, own.ID); !fault.Is(err, fault.CodeNotFound) {
			t.Errorf("got %v", err)
		}
		if _, err := w.Pause(t.Context(), a, own.EndpointID); !fault.Is(err, fault.CodeNotFound) {
			t.Errorf("got %v", err)
		}
	}
}

// A message is tried for three days, then the endpoint is paused and its
// creator told; replaying brings what it missed.
func TestRetriesPauseAndReplay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.endpoint(w.gina, "/gina", PartnershipAuthorized, PartnershipAccessWithdrawn)
	w.to.says(func(rw http.ResponseWriter) { rw.WriteHeader(http.StatusInternalServerError) })
	start := w.db.Now()
	p := w.join()
	w.work()
	w.later(4 * 24 * time.Hour)
	tries := w.to.take("/gina")
	if len(tries) != MaxAttempts {
		t.Fatalf("%d attempts", len(tries))
	}
	for _, m := range tries {
		if m.header.Get("webhook-id") != tries[0].header.Get("webhook-id") || !bytes.Equal(m.body, tries[0].body) {
			t.Error("an attempt differs")
		}
	}
	d := w.deliveries(w.gina, DeliveryFilter{})[0]
	as, err := w.Attempts(t.Context(), w.gina, []ident.ID{d.ID})
	if err != nil || len(as[d.ID]) != MaxAttempts || d.State != Failed || d.Code != FailHTTPStatus || d.StatusCode != 500 || d.NextAttemptAt != nil {
		t.Errorf("%+v, %d attempts, %v", d, len(as[d.ID]), err)
	}
	got := w.reload(w.gina, e.Endpoint.ID)
	mails, err := w.mailer.BySubject(t.Context(), []ident.ID{got.ID})
	if got.Status != Paused || got.PauseReason != PauseFailing || err != nil || len(mails[got.ID]) != 1 || mails[got.ID][0].Recipient != w.gina.Email {
		t.Errorf("%+v, mails %v, %v", got, mails, err)
	}
	if _, err := w.joined.WithdrawAdminAccess(t.Context(), w.bruno, partnership.WithdrawAdminAccessInput{PartnershipID: p.ID}); err != nil {
		t.Fatal(err)
	}
	w.work()
	if n := len(w.to.take("/gina")); n != 0 {
		t.Errorf("a paused endpoint got %d", n)
	}
	if _, err := w.Replay(t.Context(), w.gina, d.ID); !fault.Is(err, CodeNotEnabled) {
		t.Errorf("got %v", err)
	}
	if _, _, err := w.ReplayFailed(t.Context(), w.gina, ReplayFailedInput{EndpointID: got.ID, Since: start}); !fault.Is(err, CodeNotEnabled) {
		t.Errorf("got %v", err)
	}
	w.to.says(nil)
	if _, err := w.Resume(t.Context(), w.gina, got.ID); err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.ReplayFailed(t.Context(), w.gina, ReplayFailedInput{EndpointID: got.ID, Since: start}); err != nil {
		t.Fatal(err)
	}
	w.work()
	again := w.to.take("/gina")
	if len(again) != 2 || !slices.ContainsFunc(again, func(m received) bool {
		return m.header.Get("webhook-id") == tries[0].header.Get("webhook-id") && bytes.Equal(m.body, tries[0].body)
	}) {
		t.Errorf("replayed %s", types(again))
	}
	if got = w.reload(w.gina, got.ID); got.Failures != 0 || got.DeliveredAt == nil {
		t.Errorf("%+v", got)
	}
	if _, err := w.Replay(t.Context(), w.gina, d.ID); err != nil {
		t.Fatal(err)
	}
	w.work()
	if n := len(w.to.take("/gina")); n != 1 {
		t.Errorf("replayed %d times", n)
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.endpoint(w.gina, "/gina")
	other := newReceiver(t)
	for _, c := range []struct {
		says   func(http.ResponseWriter)
		code   string
		status int
	}{
		{func(rw http.ResponseWriter) { rw.Header().Set("Location", other.URL); rw.WriteHeader(http.StatusFound) }, FailRedirect, 302},
		{func(rw http.ResponseWriter) { _, _ = rw.Write(make([]byte, 1<<20)) }, "", 200},
		{func(http.ResponseWriter) { panic(http.ErrAbortHandler) }, FailConnection, 0},
		{func(rw http.ResponseWriter) { rw.WriteHeader(http.StatusGone) }, FailGone, 410},
	} {
		w.to.says(c.says)
		d, err := w.SendTest(t.Context(), w.gina, e.Endpoint.ID)
		if err != nil {
			t.Fatal(err)
		}
		w.work()
		ds, err := w.DeliveriesByIDs(t.Context(), w.gina, []ident.ID{d.ID})
		if got := ds[d.ID]; err != nil || got.Code != c.code || got.StatusCode != c.status || got.State == Pending || got.Attempts != 1 {
			t.Errorf("%s: %+v, %v", c.code, got, err)
		}
	}
	if n := len(other.take("/")); n != 0 {
		t.Error("a redirect was followed")
	}
	if w.reload(w.gina, e.Endpoint.ID).Status != Enabled {
		t.Error("a test paused the endpoint")
	}
	w.join()
	w.work()
	if got := w.reload(w.gina, e.Endpoint.ID); got.Status != Paused || got.PauseReason != PauseGone {
		t.Errorf("410 left it %s", got.Status)
	}
}

// tested sends a test to an endpoint at an address that nobody checked before.
func (w *world) tested(e *Endpoint, url string) *Delivery {
	w.t.Helper()
	w.exec("UPDATE webhook_endpoint SET url = ? WHERE id = ?", url, e.ID)
	d, err := w.SendTest(w.t.Context(), w.gina, e.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	w.work()
	ds, err := w.DeliveriesByIDs(w.t.Context(), w.gina, []ident.ID{d.ID})
	if err != nil {
		w.t.Fatal(err)
	}
	return ds[d.ID]
}

// Addresses are judged when the connection is made, whatever led to them;
// certificates count, and time is bounded.
func TestConnections(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.endpoint(w.gina, "/gina").Endpoint
	secure := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	secure.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	secure.StartTLS()
	t.Cleanup(secure.Close)
	if d := w.tested(e, secure.URL); d.Code != FailTLS {
		t.Errorf("an unknown certificate: %+v", d)
	}
	trusting := w.cfg
	trusting.Roots = x509.NewCertPool()
	trusting.Roots.AddCert(secure.Certificate())
	w.client = newClient(trusting)
	if d := w.tested(e, secure.URL); d.State != Delivered {
		t.Errorf("a known certificate: %+v", d)
	}
	if d := w.tested(e, strings.Replace(w.to.URL, "http:", "https:", 1)); d.Code != FailTLS {
		t.Errorf("no TLS: %+v", d)
	}
	if d := w.tested(e, "https://nobody.invalid/"); d.Code != FailDNS && d.Code != FailTimeout { // no network, no answer
		t.Errorf("no such name: %+v", d)
	}
	release := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	t.Cleanup(slow.Close)
	t.Cleanup(func() { close(release) })
	w.client.Timeout = 100 * time.Millisecond
	if d := w.tested(e, slow.URL); d.Code != FailTimeout || d.StatusCode != 0 {
		t.Errorf("no answer: %+v", d)
	}
	w.to.take("/gina")
	w.client = newClient(Config{AnyPort: true})
	_, port, _ := strings.Cut(strings.TrimPrefix(w.to.URL, "http://"), ":")
	for _, host := range []string{"127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "169.254.169.254", "10.0.0.1", "[fd00::1]", "[64:ff9b::7f00:1]"} {
		if d := w.tested(e, "http://"+host+":"+port+"/gina"); d.Code != FailAddressRefused {
			t.Errorf("%s: %+v", host, d)
		}
	}
	if n := len(w.to.take("/gina")); n != 0 {
		t.Errorf("%d messages came", n)
	}
}

// An endpoint that refuses one message and takes the others is not paused.
func TestOneRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.endpoint(w.gina, "/gina", PartnershipAuthorized, PartnershipAccessWithdrawn)
	w.to.says(func(rw http.ResponseWriter) { rw.WriteHeader(http.StatusBadRequest) })
	p := w.join()
	w.work()
	w.later(70 * time.Hour)
	w.to.says(nil)
	if _, err := w.joined.WithdrawAdminAccess(t.Context(), w.bruno, partnership.WithdrawAdminAccessInput{PartnershipID: p.ID}); err != nil {
		t.Fatal(err)
	}
	w.work()
	w.to.says(func(rw http.ResponseWriter) { rw.WriteHeader(http.StatusBadRequest) })
	w.later(24 * time.Hour)
	states := map[State]int{}
	for _, d := range w.deliveries(w.gina, DeliveryFilter{}) {
		states[d.State]++
	}
	if got := w.reload(w.gina, e.Endpoint.ID); got.Status != Enabled || states[Failed] != 1 || states[Delivered] != 1 {
		t.Errorf("%s, deliveries %v", got.Status, states)
	}
}

// Who is told of something are those to whom the API shows it.
func TestAudienceIsReach(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.join()
	trm, err := w.joined.RequestTermination(t.Context(), w.bruno, partnership.RequestTerminationInput{PartnershipID: p.ID, Reason: "We stop."})
	if err != nil {
		t.Fatal(err)
	}
	waits, err := w.joined.Request(t.Context(), w.carla, partnership.RequestInput{Email: w.bruno.Email})
	if err != nil {
		t.Fatal(err)
	}
	subjects := []ident.ID{p.ID, trm.ID, p.InvitationID, waits.Invitation.ID, w.gina.PartnerID, w.bruno.PartnerID, w.carla.PartnerID}
	for name, a := range map[string]access.Actor{"gina": w.gina, "bruno": w.bruno, "carla": w.carla, "chief": w.chief} {
		e := w.endpoint(a, "/"+name).Endpoint
		shown := map[ident.ID]bool{}
		note(t, shown, a, subjects, w.joined.ByIDs)
		note(t, shown, a, subjects, w.joined.TerminationsByIDs)
		note(t, shown, a, subjects, w.invitations.ByIDs)
		note(t, shown, a, subjects, w.partners.ByIDs)
		for _, id := range subjects {
			if sees, err := maySee(t.Context(), w.db.Read(), e, id); err != nil || sees != shown[id] {
				t.Errorf("%s is told of %s: %t, is shown it: %t, %v", name, id, sees, shown[id], err)
			}
		}
	}
}

// note notes which of some ids a reader gives to an actor.
func note[T any](t *testing.T, shown map[ident.ID]bool, a access.Actor, ids []ident.ID, read func(context.Context, access.Actor, []ident.ID) (map[ident.ID]T, error)) {
	t.Helper()
	found, err := read(t.Context(), a, ids)
	if err != nil {
		t.Fatal(err)
	}
	for id := range found {
		shown[id] = true
	}
}

// A new secret is shown once; for a day messages are signed by both.
func TestSecrets(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := "once"
	in := CreateInput{URL: w.to.URL + "/gina", Description: "Orders", IdempotencyKey: &key}
	first, err := w.Create(t.Context(), w.gina, in)
	if err != nil || first.AlreadyShown || !strings.HasPrefix(first.Secret.Reveal(), secret.WebhookPrefix) {
		t.Fatal(first, err)
	}
	again, err := w.Create(t.Context(), w.gina, in)
	if err != nil || !again.AlreadyShown || again.Secret != "" || again.Endpoint.ID != first.Endpoint.ID {
		t.Fatal(again, err)
	}
	rotate := RotateInput{EndpointID: first.Endpoint.ID, IdempotencyKey: &key}
	second, err := w.Rotate(t.Context(), w.gina, rotate)
	if err != nil || second.Secret == first.Secret {
		t.Fatal(second, err)
	}
	if again, err := w.Rotate(t.Context(), w.gina, rotate); err != nil || !again.AlreadyShown || again.Secret != "" || again.Endpoint.SecretGeneration != 2 {
		t.Fatal(again, err)
	}
	test := func() received {
		if _, err := w.SendTest(t.Context(), w.gina, first.Endpoint.ID); err != nil {
			t.Fatal(err)
		}
		w.work()
		return w.to.take("/gina")[0]
	}
	m := test()
	verify(t, first.Secret, m)
	verify(t, second.Secret, m)
	w.db.Clock().Advance(FormerSecretLife)
	m = test()
	if strings.Contains(m.header.Get("webhook-signature"), " ") {
		t.Error("the former secret signs on")
	}
	for range testsAnHour - 1 {
		test()
	}
	if _, err := w.SendTest(t.Context(), w.gina, first.Endpoint.ID); fault.KindOf(err) != fault.KindLimited {
		t.Errorf("got %v", err)
	}
	if got := string(secret.Redact([]byte("x " + second.Secret.Reveal() + " y"))); got != "x whsec_[hidden] y" {
		t.Errorf("the log shows %s", got)
	}
}

func TestWhoMayManage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := CreateInput{URL: "https://hooks.example.com/", Description: "Orders"}
	stale := w.gina
	stale.SudoUntil = time.Time{}
	token, err := access.Load(t.Context(), w.db.Read(), access.Presence{UserID: w.gina.UserID, TokenID: "tok_1", Scopes: access.Permissions})
	if err != nil {
		t.Fatal(err)
	}
	w.exec("DELETE FROM user_role WHERE role = 'GLOBAL_ADMIN' AND user_id = ?", w.carla.UserID)
	for code, a := range map[string]access.Actor{fault.CodeSudoRequired: stale, access.CodeTokenNotAllowed: token, fault.CodeRoleRequired: w.as(w.carla.UserID),
		fault.CodeUnauthenticated: access.Anonymous("en", "")} {
		if _, err := w.Create(t.Context(), a, in); !fault.Is(err, code) {
			t.Errorf("got %v, want %s", err, code)
		}
	}
	e, err := w.Create(t.Context(), w.gina, in)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Create(t.Context(), w.gina, in); !fault.Is(err, CodeURLTaken) {
		t.Errorf("got %v", err)
	}
	moved, named := "https://other.example.com/", "Stock"
	if _, err := w.Update(t.Context(), stale, UpdateInput{EndpointID: e.Endpoint.ID, URL: &moved}); !fault.Is(err, fault.CodeSudoRequired) {
		t.Errorf("got %v", err)
	}
	if got, err := w.Update(t.Context(), token, UpdateInput{EndpointID: e.Endpoint.ID, Description: &named, Events: []Type{PartnerRegistered}}); err != nil || got.Version != 2 {
		t.Errorf("got %+v, %v", got, err)
	}
	one := 1
	if _, err := w.Update(t.Context(), w.gina, UpdateInput{EndpointID: e.Endpoint.ID, URL: &moved, ExpectedVersion: &one}); !fault.Is(err, fault.CodeConflict) {
		t.Errorf("got %v", err)
	}
	for n := range MaxEndpoints - 1 {
		if _, err := w.Create(t.Context(), w.gina, CreateInput{URL: in.URL + strings.Repeat("x", n+1), Description: "More"}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Create(t.Context(), w.gina, CreateInput{URL: in.URL + "last", Description: "More"}); !fault.Is(err, fault.CodeTooMany) {
		t.Errorf("got %v", err)
	}
	if _, err := w.Pause(t.Context(), w.gina, e.Endpoint.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Pause(t.Context(), w.gina, e.Endpoint.ID); !fault.Is(err, CodeNotEnabled) {
		t.Errorf("got %v", err)
	}
	if _, err := w.Delete(t.Context(), w.gina, e.Endpoint.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Resume(t.Context(), w.gina, e.Endpoint.ID); !fault.Is(err, fault.CodeNotFound) {
		t.Errorf("got %v", err)
	}
}

// Old deliveries go, and one that no job carries any more gets another.
func TestPrune(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.endpoint(w.gina, "/gina")
	w.join()
	w.work()
	if _, err := w.SendTest(t.Context(), w.gina, e.Endpoint.ID); err != nil {
		t.Fatal(err)
	}
	w.exec("DELETE FROM job WHERE kind LIKE 'webhook.%'")
	w.to.take("/gina")
	w.db.Clock().Advance(stranded + time.Minute)
	for range 2 {
		if err := w.Prune(t.Context(), nil, Prune{}); err != nil {
			t.Fatal(err)
		}
	}
	w.work()
	if got := types(w.to.take("/gina")); got != "webhook.test" {
		t.Errorf("after a loss came %q", got)
	}
	if _, err := w.Delete(t.Context(), w.gina, e.Endpoint.ID); err != nil {
		t.Fatal(err)
	}
	w.db.Clock().Advance(KeepFor)
	if err := w.Prune(t.Context(), nil, Prune{}); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"webhook_delivery", "webhook_attempt", "webhook_event", "webhook_endpoint"} {
		if n, err := w.db.Read().NewSelect().TableExpr(table).Count(t.Context()); n != 0 || err != nil {
			t.Errorf("%s keeps %d rows, %v", table, n, err)
		}
	}
}
