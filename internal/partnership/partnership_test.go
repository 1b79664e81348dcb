package partnership

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/partner"
)

var update = flag.Bool("update", false, "write the goldens anew")

func ptr[T any](v T) *T { return &v }

var signed = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func codes(rs []Refusal) string {
	var out []string
	for _, r := range rs {
		out = append(out, r.Code)
	}
	return strings.Join(out, " ")
}

// Every guard of spec sections 3 and 6, alone and together.
func TestMayJoin(t *testing.T) {
	t.Parallel()
	provider := func(change ...func(*partner.Partner)) *partner.Partner {
		p := &partner.Partner{ID: "par_1", Kind: access.IndirectProvider, Status: partner.Active, AgreementSignedAt: &signed, Country: "IT", Region: "EUROPE",
			LegalNameFolded: "nordwind", RegistrableDomain: "nordwind.example", RegistrationIDFolded: "IT1"}
		for _, c := range change {
			c(p)
		}
		return p
	}
	reseller := func(change ...func(*partner.Partner)) *partner.Partner {
		p := &partner.Partner{ID: "par_2", Kind: access.IndirectReseller, Status: partner.Active, AgreementSignedAt: &signed, Country: "DE", Region: "EUROPE",
			LegalNameFolded: "hofmann", RegistrableDomain: "hofmann.example"}
		for _, c := range change {
			c(p)
		}
		return p
	}
	kind := func(k access.Kind) func(*partner.Partner) { return func(p *partner.Partner) { p.Kind = k } }
	status := func(s partner.Status) func(*partner.Partner) { return func(p *partner.Partner) { p.Status = s } }
	unsigned := func(p *partner.Partner) { p.AgreementSignedAt = nil }
	for name, c := range map[string]struct {
		pair Pair
		want string
	}{
		"they may":                    {Pair{Provider: provider(), Reseller: reseller()}, ""},
		"not enrolled":                {Pair{Provider: provider()}, CodeNotEnrolled},
		"itself":                      {Pair{Provider: provider(), Reseller: provider()}, CodeSelfDealing},
		"a provider":                  {Pair{Provider: provider(), Reseller: reseller(kind(access.IndirectProvider))}, CodeWrongKind},
		"a direct-bill partner":       {Pair{Provider: provider(), Reseller: reseller(kind(access.DirectBill))}, CodeWrongKind},
		"a customer":                  {Pair{Provider: provider(), Reseller: reseller(kind(access.Customer))}, CodeWrongKind},
		"another region":              {Pair{Provider: provider(), Reseller: reseller(func(p *partner.Partner) { p.Region = "USA" })}, CodeRegionMismatch},
		"declared affiliates":         {Pair{Provider: provider(), Reseller: reseller(), Declared: true}, CodeAffiliate},
		"one registrable domain":      {Pair{Provider: provider(), Reseller: reseller(func(p *partner.Partner) { p.RegistrableDomain = "nordwind.example" })}, CodeAffiliate},
		"one name in one country":     {Pair{Provider: provider(), Reseller: reseller(func(p *partner.Partner) { p.Country, p.LegalNameFolded = "IT", "nordwind" })}, CodeAffiliate},
		"one registration ID":         {Pair{Provider: provider(), Reseller: reseller(func(p *partner.Partner) { p.Country, p.RegistrationIDFolded = "IT", "IT1" })}, CodeAffiliate},
		"partnered":                   {Pair{Provider: provider(), Reseller: reseller(), Partnered: true}, CodeAlreadyPartnered},
		"agreement not signed":        {Pair{Provider: provider(), Reseller: reseller(unsigned)}, CodeAgreementNotSigned},
		"approved, not signed":        {Pair{Provider: provider(), Reseller: reseller(unsigned, status(partner.Approved))}, CodeAgreementNotSigned},
		"applying":                    {Pair{Provider: provider(), Reseller: reseller(status(partner.Applying))}, CodePartnerNotActive},
		"suspended":                   {Pair{Provider: provider(), Reseller: reseller(status(partner.Suspended))}, CodePartnerNotActive},
		"closed":                      {Pair{Provider: provider(), Reseller: reseller(status(partner.Closed))}, CodePartnerNotActive},
		"provider unsigned":           {Pair{Provider: provider(unsigned), Reseller: reseller()}, CodeProviderAgreement},
		"provider suspended":          {Pair{Provider: provider(status(partner.Suspended)), Reseller: reseller()}, CodeProviderNotActive},
		"provider of another kind":    {Pair{Provider: provider(kind(access.DirectBill)), Reseller: reseller()}, CodeWrongKind},
		"suspended, and not enrolled": {Pair{Provider: provider(status(partner.Suspended))}, CodeProviderNotActive + " " + CodeNotEnrolled},
		"everything": {Pair{Provider: provider(kind(access.DirectBill), unsigned), Declared: true, Partnered: true,
			Reseller: reseller(kind(access.Customer), unsigned, func(p *partner.Partner) { p.Region = "USA" })},
			"WRONG_KIND PROVIDER_AGREEMENT_NOT_SIGNED WRONG_KIND REGION_MISMATCH AFFILIATE ALREADY_PARTNERED AGREEMENT_NOT_SIGNED"},
	} {
		rs := MayJoin(c.pair, signed.Add(time.Hour))
		if got := codes(rs); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
		for _, r := range rs {
			if !fault.HasText(r.Code) || r.NextStep != "" && !fault.HasText(r.NextStep) {
				t.Errorf("%s: no sentence for %s, %s", name, r.Code, r.NextStep)
			}
		}
		err := refused("code", rs)
		if (err == nil) != (len(rs) == 0) {
			t.Errorf("%s: %v", name, err)
		}
		if f := fault.As(err); f != nil && (f.Kind != fault.KindConflict || len(f.Problems) != len(rs) || f.Code != rs[0].Code || strings.Join(f.Problems[0].Path, ".") != "input.code") {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

func TestLinkState(t *testing.T) {
	t.Parallel()
	l := &Link{ExpiresAt: signed}
	for now, want := range map[time.Time]LinkState{signed.Add(-time.Microsecond): LinkLive, signed: LinkExpired, signed.Add(time.Hour): LinkExpired} {
		if got := l.StateAt(now); got != want {
			t.Errorf("%v: %s", now, got)
		}
	}
	l.PausedAt = &signed
	if got := l.StateAt(signed.Add(-time.Hour)); got != LinkPaused {
		t.Errorf("got %s", got)
	}
}

func TestHasAdminAccess(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		p    Partnership
		want bool
	}{
		"granted":    {Partnership{Status: Active, AdminAccessGrantedAt: &signed}, true},
		"ending":     {Partnership{Status: Terminating, AdminAccessGrantedAt: &signed}, true},
		"ended":      {Partnership{Status: Terminated, AdminAccessGrantedAt: &signed}, false},
		"withdrawn":  {Partnership{Status: Active, AdminAccessGrantedAt: &signed, AdminAccessWithdrawnAt: &signed}, false},
		"never held": {Partnership{Status: Active}, false},
	} {
		if c.p.HasAdminAccess() != c.want {
			t.Errorf("%s: want %t", name, c.want)
		}
	}
}

var epoch = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

const linkURL = "https://partners.example/l/partnership#cgl_01h455vb4pex5vsknk084sn02qAbCdEfGhIjKlMnOpQrSt_w"

// What a person sends from its own mail program, in both languages.
func TestDraftGolden(t *testing.T) {
	t.Parallel()
	for _, locale := range Locales {
		d := compose(locale, "Nordwind & Söhne, \"Distribuzione\" 100% + S.p.A.", "Gina Persson", &Link{URL: linkURL, ExpiresAt: epoch.Add(LinkLife)})
		got := "Subject: " + d.Subject + "\n\n" + d.Text + "\n\n--- clipboard\n" + d.ClipboardText + "\n\n--- mailto\n" + *d.MailtoURL + "\n"
		path := filepath.Join("testdata", "draft."+locale+".txt")
		if *update {
			if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s: got\n%s", locale, got)
		}
		if strings.Contains(d.Text, "{") || !holdsLink(d.Text, linkURL) || len(d.Problems) > 0 || strings.ContainsAny((*d.MailtoURL)[len("mailto:?"):], " +\r\n\"<>#") {
			t.Errorf("%s: got %+v", locale, d)
		}
		if !strings.Contains(*d.MailtoURL, "%0D%0A") || !strings.Contains(*d.MailtoURL, "%23cgl_") || strings.Count(*d.MailtoURL, "&") != 1 {
			t.Errorf("%s: the address is %s", locale, *d.MailtoURL)
		}
	}
}

// The text may be edited, but must still hold the link.
func TestTexts(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ü", maxText-1)
	for name, c := range map[string]struct {
		text  string
		draft string // problem of a draft, which the person sends itself
		send  string // problem of a text that we send
		note  string // what the mail shows of it
	}{
		"link alone":             {linkURL, "", "", ""},
		"words around it":        {"Hello,\r\n\r\n" + linkURL + "\r\n\r\nGina", "", "", "Hello,\n\n\n\nGina"},
		"link in brackets":       {"Hello <" + linkURL + ">.", "", "", "Hello <>."},
		"link twice":             {linkURL + " or " + linkURL, "", "", " or "},
		"no link":                {"Hello", CodeLinkMissing, CodeLinkMissing, ""},
		"empty":                  {"", CodeLinkMissing, CodeLinkMissing, ""},
		"link cut":               {"Hello " + linkURL[:len(linkURL)-1], CodeLinkMissing, CodeLinkMissing, ""},
		"prefix of a longer one": {"Hello " + linkURL + "x", CodeLinkMissing, CodeLinkMissing, ""},
		"longer one, then whole": {"Hello " + linkURL + "x " + linkURL, "", "", "Hello x"},
		"in capitals":            {strings.ToUpper(linkURL), CodeLinkMissing, CodeLinkMissing, ""},
		"another link":           {"Hello " + strings.Replace(linkURL, "partners.", "evil.", 1), CodeLinkMissing, CodeLinkMissing, ""},
		"one more link":          {linkURL + " or https://evil.example", "", "CONTACT_DETAILS_NOT_ALLOWED", ""},
		"an address":             {linkURL + " write to gina@evil.example", "", "CONTACT_DETAILS_NOT_ALLOWED", ""},
		"a telephone number":     {linkURL + " call +39 06 1234 5678", "", "CONTACT_DETAILS_NOT_ALLOWED", ""},
		"HTML":                   {linkURL + " <b>Hello</b>", "", "", "<b>Hello</b>"}, // text, not markup; templates escape it
		"as long as may be":      {long + " " + linkURL, "", "", long},
		"too long":               {long + "üü " + linkURL, "TOO_LONG", "TOO_LONG", ""},
		"control characters":     {"Hello\x00 " + linkURL, "CONTROL_CHARACTERS", "CONTROL_CHARACTERS", ""},
		"turned around":          {"Hello\u202E " + linkURL, "CONTROL_CHARACTERS", "CONTROL_CHARACTERS", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := compose("en", "Nordwind", "Gina", &Link{URL: linkURL, ExpiresAt: epoch.Add(LinkLife)})
			d.take(DraftInput{Text: &c.text}, epoch)
			got := ""
			for _, p := range d.Problems {
				got += p.Code
				if !slices.Equal(p.Path, []string{"text"}) {
					t.Errorf("path %v", p.Path)
				}
			}
			if got != c.draft || (d.MailtoURL == nil) != (got != "") {
				t.Errorf("draft: got %q, want %q; mailto %v", got, c.draft, d.MailtoURL)
			}
			var p fault.Problems
			note := checkText(&p, c.text, linkURL)
			got = ""
			if f := fault.As(p.Err()); f != nil {
				got = f.Code
			}
			if got != c.send || got == "" && strings.TrimSpace(note) != strings.TrimSpace(c.note) {
				t.Errorf("sent: got %q, note %q, want %q, %q", got, note, c.send, c.note)
			}
		})
	}
}

func TestDraftSubject(t *testing.T) {
	t.Parallel()
	for subject, want := range map[string]string{
		"Let us work together": "", " two  spaces ": "", "": "REQUIRED", "  ": "REQUIRED", "a\r\nBcc: x@evil.example": "CONTROL_CHARACTERS",
		strings.Repeat("s", maxSubject): "", strings.Repeat("s", maxSubject+1): "TOO_LONG",
	} {
		d := compose("en", "Nordwind", "Gina", &Link{URL: linkURL, ExpiresAt: epoch.Add(LinkLife)})
		d.take(DraftInput{Subject: &subject}, epoch)
		got := ""
		for _, p := range d.Problems {
			got += p.Code
		}
		if got != want || (d.MailtoURL == nil) != (want != "") {
			t.Errorf("%q: got %q, want %q", subject, got, want)
		}
	}
	d := compose("en", "Nordwind", "Gina", &Link{URL: linkURL, ExpiresAt: epoch.Add(LinkLife)})
	d.take(DraftInput{Subject: ptr(""), Text: ptr("no link")}, epoch)
	if len(d.Problems) != 2 {
		t.Errorf("problems come together: %+v", d.Problems)
	}
	for want, l := range map[string]Link{CodeLinkPaused: {URL: linkURL, ExpiresAt: epoch.Add(LinkLife), PausedAt: &epoch}, CodeLinkExpired: {URL: linkURL, ExpiresAt: epoch}} {
		d := compose("en", "Nordwind", "Gina", &l)
		d.take(DraftInput{}, epoch)
		if len(d.Problems) != 1 || d.Problems[0].Code != want || d.MailtoURL != nil {
			t.Errorf("%s: %+v", want, d.Problems)
		}
	}
}

func TestInputs(t *testing.T) {
	t.Parallel()
	id := ident.ID("inv_00000000000000000000000001")
	code := func(err error) string {
		if f := fault.As(err); f != nil {
			var all []string
			for _, p := range f.Problems {
				all = append(all, strings.Join(p.Path[1:], ".")+" "+p.Code)
			}
			return strings.Join(all, ", ")
		}
		return ""
	}
	reason := strings.Repeat("r", maxReason)
	for name, c := range map[string][2]string{
		"accept by code":        {code((&AcceptInput{Code: "c", Confirmed: true}).Validate()), ""},
		"accept by id":          {code((&AcceptInput{InvitationID: &id, Confirmed: true}).Validate()), ""},
		"accept by both":        {code((&AcceptInput{Code: "c", InvitationID: &id, Confirmed: true}).Validate()), "code REQUIRED"},
		"accept nothing":        {code((&AcceptInput{}).Validate()), "confirmed NOT_CONFIRMED, code REQUIRED"},
		"decline":               {code((&DeclineInput{Code: "c"}).Validate()), ""},
		"decline with a reason": {code((&DeclineInput{Code: "c", Reason: reason}).Validate()), ""},
		"decline at length":     {code((&DeclineInput{Code: "c", Reason: reason + "r"}).Validate()), "reason TOO_LONG"},
		"decline nothing":       {code((&DeclineInput{}).Validate()), "code REQUIRED"},
		"end":                   {code((&RequestTerminationInput{Reason: reason}).Validate()), ""},
		"end without reason":    {code((&RequestTerminationInput{Reason: " "}).Validate()), "reason REQUIRED"},
		"end at length":         {code((&RequestTerminationInput{Reason: reason + "r"}).Validate()), "reason TOO_LONG"},
		"decide":                {code((&DecideTerminationInput{}).Validate()), ""},
		"decide at length":      {code((&DecideTerminationInput{Note: ptr(reason + "r")}).Validate()), "note TOO_LONG"},
		"many":                  {code(RequestManyInput{Emails: make([]string, MaxRecipients)}.Validate()), ""},
		"too many":              {code(RequestManyInput{Emails: make([]string, MaxRecipients+1), Locale: ptr("de")}.Validate()), "emails TOO_MANY, locale INVALID"},
		"none":                  {code(RequestManyInput{}.Validate()), "emails REQUIRED"},
	} {
		if c[0] != c[1] {
			t.Errorf("%s: got %q, want %q", name, c[0], c[1])
		}
	}
}
