package partnership

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/invitation"
	"github.com/channelgraph/channelgraph/internal/partner"
)

func TestPersonalLink(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first, code := w.personal()
	again, same := w.personal()
	if first.ID != again.ID || code != same || !strings.HasPrefix(first.URL, "http://localhost:8080/l/partnership#cgl_") || !first.ExpiresAt.Equal(first.CreatedAt.Add(90*day)) {
		t.Errorf("got %+v, %+v", first, again)
	}
	state := func(code string) ProposalState {
		t.Helper()
		p, err := w.Preview(t.Context(), access.Anonymous("en", ""), code)
		if err != nil {
			t.Fatal(err)
		}
		return p.State
	}
	pause := func(yes bool) *Link {
		t.Helper()
		l, err := w.SetLinkPaused(t.Context(), w.gina, SetLinkPausedInput{Paused: yes})
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	if state(code) != ProposalOpen {
		t.Errorf("fresh: %s", state(code))
	}
	paused := pause(true)
	if v := pause(true).Version; state(code) != ProposalPaused || v != paused.Version || w.LinkState(paused) != LinkPaused {
		t.Errorf("paused: %s, version %d after %d", state(code), v, paused.Version)
	}
	_, err := w.accept(w.bruno, code)
	wantCode(t, err, CodeLinkPaused)
	if pause(false); state(code) != ProposalOpen {
		t.Errorf("resumed: %s", state(code))
	}
	w.db.Clock().Advance(89 * day)
	in := RotateLinkInput{IdempotencyKey: ptr("k")}
	rotated, err := w.RotateLink(t.Context(), w.gina, in)
	if err != nil {
		t.Fatal(err)
	}
	replay, err := w.RotateLink(t.Context(), w.gina, in)
	if err != nil || replay.Generation != 2 || replay.URL != rotated.URL || rotated.URL == first.URL || rotated.RotatedAt == nil {
		t.Errorf("rotated: %+v, %+v, %v", rotated, replay, err)
	}
	_, fresh, _ := strings.Cut(rotated.URL, "#")
	if state(code) != ProposalReplaced || state(fresh) != ProposalOpen {
		t.Errorf("old %s, new %s", state(code), state(fresh))
	}
	_, err = w.accept(w.bruno, code)
	wantCode(t, err, "LINK_REPLACED")
	w.db.Clock().Advance(90*day - time.Second)
	if state(fresh) != ProposalOpen {
		t.Errorf("after 90 days less a second: %s", state(fresh))
	}
	w.db.Clock().Advance(time.Second)
	if state(fresh) != ProposalExpired {
		t.Errorf("after 90 days: %s", state(fresh))
	}
	_, err = w.accept(w.bruno, fresh)
	wantCode(t, err, CodeLinkExpired)
	if got := w.audited(first.ID); got != "partnership_link.paused partnership_link.resumed partnership_link.rotated" {
		t.Errorf("audit: %s", got)
	}
	flipped := []byte(fresh)
	flipped[40] ^= 1
	for _, forged := range []string{fresh + "A", fresh[:len(fresh)-1], string(flipped), "cgl_" + strings.Repeat("0", 48), "", "x", strings.Repeat("c", 5000), "cgi_" + fresh[4:], "cgi_", "\x00"} {
		if s := state(forged); s != ProposalUnknown {
			t.Errorf("%.60q: %s", forged, s)
		}
	}
	if s := state("  " + fresh + "\n"); s != ProposalExpired {
		t.Errorf("pasted with spaces: %s", s)
	}
}

func TestLinkIsMadeOnceByTwo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sal := w.user(w.gina.OrganizationID, "sal@nordwind.example", access.SalesAgent)
	urls := make([]string, 4)
	var all sync.WaitGroup
	for i, a := range []access.Actor{w.gina, sal, w.gina, sal} {
		all.Go(func() {
			l, err := w.Link(t.Context(), a)
			if err != nil {
				t.Error(err)
				return
			}
			urls[i] = l.URL
		})
	}
	all.Wait()
	for _, u := range urls {
		if u != urls[0] {
			t.Errorf("got %v", urls)
		}
	}
}

// Who may ask, draft and have a link; everybody else is refused by each of
// the verbs and writes nothing.
func TestWhoMayAsk(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	org := w.gina.OrganizationID
	_, direct := w.company("Alpen", func(in *partner.RegisterInput) { in.Kind = access.DirectBill })
	_, unsigned := w.company("Unsigned", func(in *partner.RegisterInput) { in.Kind, in.AgreementSignedAt = access.IndirectProvider, nil })
	_, suspended := w.company("Suspended", func(in *partner.RegisterInput) {
		in.Kind, in.Status = access.IndirectProvider, ptr(partner.Suspended)
	})
	for _, c := range []struct {
		name  string
		actor access.Actor
		code  string
	}{
		{"Global admin", w.gina, ""},
		{"Admin agent", w.user(org, "a@nordwind.example", access.AdminAgent), ""},
		{"Sales agent", w.user(org, "s@nordwind.example", access.SalesAgent), ""},
		{"User admin", w.user(org, "u@nordwind.example", access.UserAdmin), fault.CodeRoleRequired},
		{"Billing admin", w.user(org, "b@nordwind.example", access.BillingAdmin), fault.CodeRoleRequired},
		{"Helpdesk agent", w.user(org, "h@nordwind.example", access.HelpdeskAgent), fault.CodeRoleRequired},
		{"Account admin", w.user(org, "c@nordwind.example", access.AccountAdmin), fault.CodeRoleRequired},
		{"Default user", w.user(org, "d@nordwind.example", access.DefaultUser), fault.CodeRoleRequired},
		{"a reseller", w.bruno, fault.CodeRoleRequired},
		{"a direct-bill partner", direct, fault.CodeRoleRequired},
		{"the operator", w.chief, fault.CodeRoleRequired},
		{"nobody", access.Anonymous("en", ""), fault.CodeUnauthenticated},
		{"an actor made elsewhere", access.Actor{UserID: w.gina.UserID, PartnerID: w.provider.ID, Kind: access.IndirectProvider, Roles: access.Roles}, fault.CodeUnauthenticated},
		{"an unsigned provider", unsigned, CodeProviderAgreement},
		{"a suspended provider", suspended, CodeProviderNotActive},
	} {
		before := w.rows()
		_, err1 := w.Link(t.Context(), c.actor)
		_, err2 := w.RotateLink(t.Context(), c.actor, RotateLinkInput{})
		_, err3 := w.SetLinkPaused(t.Context(), c.actor, SetLinkPausedInput{})
		_, err4 := w.Draft(t.Context(), c.actor, DraftInput{})
		_, err5 := w.Request(t.Context(), c.actor, RequestInput{Email: "x" + c.name[:1] + "@" + strings.ReplaceAll(strings.ToLower(c.name), " ", "-") + ".example"})
		_, err6 := w.RequestMany(t.Context(), c.actor, RequestManyInput{Emails: []string{"y@studio.example"}, DryRun: true})
		for i, err := range []error{err1, err2, err3, err4, err5, err6} {
			switch {
			case c.code == "" && err != nil:
				t.Errorf("%s, verb %d: %v", c.name, i, err)
			case c.code != "":
				wantCode(t, err, c.code)
			}
		}
		if c.code != "" {
			w.same(before)
		}
	}
}

func TestDraft(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for locale, begins := range map[string]string{"en": "Hello", "it": "Buongiorno"} {
		d, err := w.Draft(t.Context(), w.gina, DraftInput{Locale: &locale})
		if err != nil || !strings.HasPrefix(d.Text, begins) || !strings.Contains(d.Text, d.Link.URL) || !strings.Contains(d.Text, "Gina Rossi\nNordwind") || d.Locale != locale {
			t.Errorf("%s: %+v, %v", locale, d, err)
		}
	}
	if d, err := w.Draft(t.Context(), w.gina, DraftInput{}); err != nil || d.Locale != "en" {
		t.Errorf("the person's own language: %+v, %v", d, err)
	}
	_, err := w.Draft(t.Context(), w.gina, DraftInput{Locale: ptr("de")})
	wantCode(t, err, fault.CodeInvalid)
	d, err := w.Draft(t.Context(), w.gina, DraftInput{Text: ptr("no link")})
	if err != nil || len(d.Problems) != 1 || d.MailtoURL != nil || d.Text != "no link" {
		t.Errorf("got %+v, %v", d, err)
	}
	// an edited draft is what may be sent
	d, _ = w.Draft(t.Context(), w.gina, DraftInput{})
	if _, err := w.Request(t.Context(), w.gina, RequestInput{Email: "lara@studio.example", Text: &d.Text}); err != nil {
		t.Errorf("the draft as it is: %v", err)
	}
}

func TestRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l, _ := w.personal()
	good := "Hello Lara\n" + l.URL
	before := w.rows()
	for name, c := range map[string]struct {
		in   RequestInput
		want string
	}{
		"malformed":              {RequestInput{Email: "lara"}, "email EMAIL_INVALID"},
		"empty":                  {RequestInput{}, "email EMAIL_INVALID"},
		"overlong":               {RequestInput{Email: strings.Repeat("l", 300) + "@studio.example"}, "email EMAIL_TOO_LONG"},
		"two addresses":          {RequestInput{Email: "a@studio.example,b@studio.example"}, "email EMAIL_INVALID"},
		"header injection":       {RequestInput{Email: "a@studio.example\r\nBcc: b@studio.example"}, "email EMAIL_INVALID"},
		"webmail":                {RequestInput{Email: "lara@gmail.com"}, "email EMAIL_WEBMAIL"},
		"disposable":             {RequestInput{Email: "lara@mailinator.com"}, "email EMAIL_DISPOSABLE"},
		"own house":              {RequestInput{Email: "lara@Nordwind.example"}, "email SELF_DEALING"},
		"below the own house":    {RequestInput{Email: "lara@shop.nordwind.example"}, "email SELF_DEALING"},
		"language":               {RequestInput{Email: "lara@studio.example", Locale: ptr("de")}, "locale INVALID"},
		"text without link":      {RequestInput{Email: "lara@studio.example", Text: ptr("Hello")}, "text LINK_MISSING"},
		"text with more links":   {RequestInput{Email: "lara@studio.example", Text: ptr(good + " https://evil.example")}, "text CONTACT_DETAILS_NOT_ALLOWED"},
		"text with an address":   {RequestInput{Email: "lara@studio.example", Text: ptr(good + " me@evil.example")}, "text CONTACT_DETAILS_NOT_ALLOWED"},
		"text with a number":     {RequestInput{Email: "lara@studio.example", Text: ptr(good + " +39 06 12345678")}, "text CONTACT_DETAILS_NOT_ALLOWED"},
		"text of a megabyte":     {RequestInput{Email: "lara@studio.example", Text: ptr(good + strings.Repeat("x", 1<<20))}, "text TOO_LONG"},
		"prefix of a longer one": {RequestInput{Email: "lara@studio.example", Text: ptr(good + "A")}, "text LINK_MISSING"},
		"everything":             {RequestInput{Email: "lara@gmail.com", Locale: ptr("de"), Text: ptr("Hello")}, "locale INVALID, text LINK_MISSING, email EMAIL_WEBMAIL"},
	} {
		_, err := w.Request(t.Context(), w.gina, c.in)
		if got := problems(err); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
		if f := fault.As(err); f != nil {
			for _, p := range f.Problems {
				if s := fault.Text("it", p.Code, p.Params); strings.Contains(s, "{") {
					t.Errorf("%s reads %q", p.Code, s)
				}
			}
		}
	}
	w.same(before)
	d, err := w.Request(t.Context(), w.gina, RequestInput{Email: " Lara@Studio.EXAMPLE ", Text: &good, Locale: ptr("it"), IdempotencyKey: ptr("k")})
	if err != nil {
		t.Fatal(err)
	}
	i := d.Invitation
	if i.Recipient != "Lara@studio.example" || i.Text != "Hello Lara" || i.Locale != "it" || i.InviterID != w.provider.ID || i.Status != invitation.Queued {
		t.Errorf("got %+v", i)
	}
	if d.Operation.Kind != "partnership.send_invitation" || w.mails(i.ID) != "invitation to Lara@studio" || w.audited(i.ID) != "partnership.requested" {
		t.Errorf("got %s, mails %s, audit %s", d.Operation.Kind, w.mails(i.ID), w.audited(i.ID))
	}
	again, err := w.Request(t.Context(), w.gina, RequestInput{Email: " Lara@Studio.EXAMPLE ", Text: &good, Locale: ptr("it"), IdempotencyKey: ptr("k")})
	if err != nil || again.Invitation.ID != i.ID || again.Operation.ID != d.Operation.ID {
		t.Errorf("the same key: %+v, %v", again, err)
	}
	_, err = w.Request(t.Context(), w.gina, RequestInput{Email: "other@studio.example", IdempotencyKey: ptr("k")})
	wantCode(t, err, fault.CodeKeyReused)
	_, err = w.Request(t.Context(), w.gina, RequestInput{Email: "LARA@studio.example"})
	if got := problems(err); got != "email INVITATION_PENDING" {
		t.Errorf("got %q", got)
	}
}

func problems(err error) string {
	f := fault.As(err)
	if f == nil {
		return fmt.Sprint(err)
	}
	var all []string
	for _, p := range f.Problems {
		all = append(all, strings.Join(p.Path[min(1, len(p.Path)):], ".")+" "+p.Code)
	}
	return strings.Join(all, ", ")
}

func TestTwoRequestsToOneAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sal := w.user(w.gina.OrganizationID, "sal@nordwind.example", access.SalesAgent)
	w.personal()
	errs := make([]error, 4)
	var all sync.WaitGroup
	for i, a := range []access.Actor{w.gina, sal, w.gina, sal} {
		all.Go(func() { _, errs[i] = w.Request(t.Context(), a, RequestInput{Email: "lara@studio.example"}) })
	}
	all.Wait()
	sent := 0
	for _, err := range errs {
		if err == nil {
			sent++
		} else {
			wantCode(t, err, CodeInvitationPending)
		}
	}
	if sent != 1 {
		t.Errorf("%d were sent", sent)
	}
}

func TestRequestMany(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l, _ := w.personal()
	w.invite("open@studio.example")
	emails := []string{"a@studio.example", "bad", "b@studio.example", "A@studio.example", "x@gmail.com", "open@studio.example", "me@nordwind.example"}
	want := "sent, EMAIL_INVALID, sent, INVITATION_PENDING, EMAIL_WEBMAIL, INVITATION_PENDING, SELF_DEALING"
	told := func(lines []*RequestLine) string {
		t.Helper()
		var out []string
		for n, line := range lines {
			s := "sent"
			for _, p := range line.Problems {
				s = p.Code
				if got := strings.Join(p.Path, "."); got != fmt.Sprintf("input.emails.%d", n) {
					t.Errorf("path %s", got)
				}
				if text := fault.Text("en", p.Code, p.Params); strings.Contains(text, "{") {
					t.Errorf("%s reads %q", p.Code, text)
				}
			}
			if line.Email != emails[n] {
				t.Errorf("line %d is of %s", n, line.Email)
			}
			out = append(out, s)
		}
		return strings.Join(out, ", ")
	}
	before := w.rows()
	in := RequestManyInput{Emails: emails, DryRun: true, Text: ptr("Hello " + l.URL), IdempotencyKey: ptr("k")}
	for range 2 {
		lines, err := w.RequestMany(t.Context(), w.gina, in)
		if err != nil || told(lines) != want {
			t.Fatalf("dry run: got %q, %v", told(lines), err)
		}
		for _, line := range lines {
			if line.Invitation != nil || line.Operation != nil {
				t.Errorf("a dry run made %+v", line)
			}
		}
		w.same(before)
	}
	in.DryRun = false
	lines, err := w.RequestMany(t.Context(), w.gina, in)
	if err != nil || told(lines) != want {
		t.Fatalf("got %q, %v", told(lines), err)
	}
	for _, line := range lines {
		if (line.Invitation != nil) != (len(line.Problems) == 0) || (line.Operation != nil) != (line.Invitation != nil) {
			t.Errorf("got %+v", line)
		}
	}
	after := w.rows()
	again, err := w.RequestMany(t.Context(), w.gina, in)
	if err != nil || told(again) != want || again[0].Invitation.ID != lines[0].Invitation.ID || again[2].Operation.ID != lines[2].Operation.ID {
		t.Errorf("the same key: %q, %v", told(again), err)
	}
	w.same(after)
	for name, c := range map[string]struct {
		in   RequestManyInput
		want string
	}{
		"none":              {RequestManyInput{}, "emails REQUIRED"},
		"200 recipients":    {RequestManyInput{Emails: make([]string, 200)}, "emails TOO_MANY"},
		"text without link": {RequestManyInput{Emails: emails, Text: ptr("Hello")}, "text LINK_MISSING"},
		"key of another":    {RequestManyInput{Emails: emails[:1], IdempotencyKey: ptr("k")}, "idempotencyKey IDEMPOTENCY_KEY_REUSED"},
	} {
		_, err := w.RequestMany(t.Context(), w.gina, c.in)
		if got := problems(err); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
	w.same(after)
}

// What a link leads to is shown to whoever holds it; node look-ups are not.
func TestLinksByIDs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l, _ := w.personal()
	_, other := w.company("Rhine", func(in *partner.RegisterInput) { in.Kind = access.IndirectProvider })
	for name, c := range map[string]struct {
		actor access.Actor
		want  int
	}{"its own": {w.gina, 1}, "another's": {other, 0}, "a reseller's": {w.bruno, 0}, "nobody's": {access.Anonymous("en", ""), 0}} {
		got, err := w.LinksByIDs(t.Context(), c.actor, []ident.ID{l.ID, "plk_none"})
		if err != nil || len(got) != c.want || c.want == 1 && got[l.ID].URL != l.URL {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}
