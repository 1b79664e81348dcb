package directory

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/partner"
	"github.com/channelgraph/channelgraph/internal/sla"
)

// Every status × every verb.
func TestStatusAndVerbs(t *testing.T) {
	t.Parallel()
	leads := map[Verb]map[Status]Status{
		VerbTake:     {Submitted: InReview},
		VerbAsk:      {InReview: Waiting},
		VerbAnswer:   {Waiting: InReview},
		VerbApprove:  {InReview: Approved},
		VerbPublish:  {Approved: Published},
		VerbReject:   {InReview: Rejected, Waiting: Rejected},
		VerbWithdraw: {Submitted: Withdrawn, InReview: Withdrawn, Waiting: Withdrawn},
	}
	for _, s := range Statuses {
		for _, v := range Verbs {
			next, ok := s.Next(v)
			want, may := leads[v][s]
			if ok != may || may && next != want || !may && next != s {
				t.Errorf("%s %s leads to %s, %t", v, s, next, ok)
			}
			if ok && !s.Open() {
				t.Errorf("%s goes on by %s", s, v)
			}
		}
		if _, ok := s.Next("fly"); ok {
			t.Errorf("%s flies", s)
		}
	}
}

func TestTargetURL(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"https://www.acme.example/it?x=1#top":      "https://www.acme.example/it?x=1#top",
		" https://acme.example ":                   "https://acme.example/",
		"HTTPS://ACME.example:443/A":               "https://acme.example/A",
		"https://acme.example./":                   "https://acme.example/",
		"https://bücher.example/":                  "https://xn--bcher-kva.example/",
		"https://1.acme.example/":                  "https://1.acme.example/",
		"":                                         fault.CodeRequired,
		"https://a.example/" + long(500):           fault.CodeTooLong,
		"acme.example":                             CodeURLScheme,
		"http://acme.example/":                     CodeURLScheme,
		"javascript:alert(1)":                      CodeURLInvalid,
		"data:text/html,x":                         CodeURLInvalid,
		"ftp://acme.example/":                      CodeURLScheme,
		"//acme.example/":                          CodeURLScheme,
		"https:acme.example":                       CodeURLInvalid,
		"https://":                                 CodeURLInvalid,
		"https:///x":                               CodeURLInvalid,
		"https://anna@acme.example/":               CodeURLCredentials,
		"https://anna:secret@acme.example/":        CodeURLCredentials,
		"https://:@acme.example/":                  CodeURLCredentials,
		"https://acme.example:8443/":               CodeURLInvalid,
		"https://acme.example:/":                   CodeURLInvalid,
		"https://acme.example/a b":                 CodeURLInvalid,
		"https://acme.example\\@evil.example/":     CodeURLInvalid,
		"https://acme.example/\u202egpj":           CodeURLInvalid,
		"https://acme.example/\r\nX: y":            CodeURLInvalid,
		"https://аcme.example/":                    CodeURLInvalid, // a Cyrillic а
		"https://acme..example/":                   CodeURLInvalid,
		"https://localhost/":                       CodeURLHost,
		"https://LOCALHOST./":                      CodeURLHost,
		"https://intranet/":                        CodeURLHost,
		"https://wiki.corp/":                       CodeURLHost,
		"https://printer.local/":                   CodeURLHost,
		"https://db.svc.cluster.local/":            CodeURLHost,
		"https://metadata.google.internal/":        CodeURLHost,
		"https://1.168.192.in-addr.arpa/":          CodeURLHost,
		"https://127.0.0.1/":                       CodeURLHost,
		"https://10.0.0.8/":                        CodeURLHost,
		"https://8.8.8.8/":                         CodeURLHost, // an address is nobody's name
		"https://127.1/":                           CodeURLHost,
		"https://2130706433/":                      CodeURLHost,
		"https://0x7f000001/":                      CodeURLHost,
		"https://0x7f.1/":                          CodeURLHost,
		"https://0177.0.0.1/":                      CodeURLHost,
		"https://[::1]/":                           CodeURLHost,
		"https://[fe80::1%25eth0]/":                CodeURLHost,
		"https://[::ffff:10.0.0.1]/":               CodeURLHost,
		"https://169.254.169.254/latest/meta-data": CodeURLHost,
		"https://127。0。0。1/":                       CodeURLHost, // other full stops
		"https://①②⑦.0.0.1/":                       CodeURLHost, // digits in circles
	} {
		got, err := targetURL(in)
		if f := fault.As(err); f != nil {
			got = strings.TrimSpace(problems(err))
		}
		if got != want {
			t.Errorf("%q is %q, want %q", in, got, want)
		}
		if err == nil {
			if again, err := targetURL(got); err != nil || again != got {
				t.Errorf("%q again is %q, %v", got, again, err)
			}
		}
	}
}

func long(n int) string { return strings.Repeat("x", n) }

// Whatever is accepted is one address that names a public host of ASCII
// letters.
func TestTargetURLIsStable(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		in := "https://" + rapid.StringMatching(`[a-zA-Z0-9.:@\[\]%_àа。-]{1,24}`).Draw(t, "host") + rapid.StringMatching(`(/[a-zA-Z0-9./%?#&=-]{0,12})?`).Draw(t, "path")
		got, err := targetURL(in)
		if err != nil {
			if fault.As(err) == nil {
				t.Fatal(err)
			}
			return
		}
		if again, err := targetURL(got); err != nil || again != got {
			t.Fatalf("%q is %q, and that %q, %v", in, got, again, err)
		}
		host, _, _ := strings.Cut(strings.TrimPrefix(got, "https://"), "/")
		if strings.Trim(host, "abcdefghijklmnopqrstuvwxyz0123456789.-") != "" || !strings.Contains(host, ".") {
			t.Fatalf("%q leads to %q", in, host)
		}
	})
}

func TestValidLocations(t *testing.T) {
	t.Parallel()
	id := ident.ID("loc_1")
	add := func() LocationInput {
		return LocationInput{CompanyName: ptr("Acme"), Country: ptr("it"), TargetURL: ptr("https://acme.example")}
	}
	many := slices.Repeat([]LocationInput{add()}, 1000)
	for name, c := range map[string]struct {
		in   []LocationInput
		want string
	}{
		"nothing":         {nil, "locations REQUIRED"},
		"1,000 locations": {many, "locations TOO_MANY"},
		"an empty one":    {[]LocationInput{{}}, "locations.0.companyName REQUIRED, locations.0.targetUrl REQUIRED, locations.0.country REQUIRED"},
		"all at once": {[]LocationInput{add(), {CompanyName: ptr("S.r.l."), Country: ptr("XX"), TargetURL: ptr("http://x.example"), RemoveLogo: true}},
			"locations.1.companyName NAME_INVALID, locations.1.targetUrl TARGET_URL_NOT_HTTPS, locations.1.country COUNTRY_UNKNOWN, locations.1.isLogoRemoved INVALID"},
		"a name of one":       {[]LocationInput{{LocationID: &id, CompanyName: ptr("A")}}, "locations.0.companyName TOO_SHORT"},
		"a name of 101":       {[]LocationInput{{LocationID: &id, CompanyName: ptr(strings.Repeat("ü", 101))}}, "locations.0.companyName TOO_LONG"},
		"an invisible name":   {[]LocationInput{{LocationID: &id, CompanyName: ptr("Ac\u200bme")}}, "locations.0.companyName CONTROL_CHARACTERS"},
		"twice the same":      {[]LocationInput{{LocationID: &id, RemoveLogo: true}, {LocationID: &id, Remove: true}}, "locations.1.locationId INVALID"},
		"removed and changed": {[]LocationInput{{LocationID: &id, Remove: true, TargetURL: ptr("https://a.example")}}, "locations.0.isRemoved INVALID"},
		"removed unseen":      {[]LocationInput{{Remove: true}}, "locations.0.isRemoved INVALID"},
		"two logos":           {[]LocationInput{{LocationID: &id, RemoveLogo: true, LogoFileID: ptr(ident.ID("fil_1"))}}, "locations.0.isLogoRemoved INVALID"},
	} {
		if got := problems(validLocations(c.in)); got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
	ok := []LocationInput{add(), {LocationID: &id, RemoveLogo: true}}
	if err := validLocations(ok); err != nil || *ok[0].Country != "IT" || *ok[0].TargetURL != "https://acme.example/" {
		t.Errorf("got %+v, %v", ok, err)
	}
}

func TestDiff(t *testing.T) {
	t.Parallel()
	today := []*Location{
		{ID: "loc_1", CompanyName: "Acme", Country: "IT", TargetURL: "https://acme.example/", LogoID: "fil_1"},
		{ID: "loc_2", CompanyName: "Acme", Country: "FR", TargetURL: "https://fr.acme.example/"},
	}
	one, two, none := ident.ID("loc_1"), ident.ID("loc_2"), ident.ID("loc_9")
	added := LocationInput{CompanyName: ptr("Acme"), Country: ptr("DE"), TargetURL: ptr("https://de.acme.example/"), LogoFileID: ptr(ident.ID("fil_2"))}
	of := today[0].Card()
	changes, from, err := diff(today, "EUROPE", []LocationInput{
		{LocationID: &two, CompanyName: ptr("Acme"), Country: ptr("FR")}, // nothing new
		{LocationID: &one, RemoveLogo: true, TargetURL: ptr("https://acme.example/it")}, {LocationID: &two, Remove: true}, added})
	if err != nil || !slices.Equal(from, []int{1, 2, 3}) || len(changes) != 3 {
		t.Fatal(changes, from, err)
	}
	if c := changes[0]; c.LocationID != one || *c.Before != of || *c.After != (Card{CompanyName: "Acme", Country: "IT", TargetURL: "https://acme.example/it"}) {
		t.Errorf("got %+v", c)
	}
	if c := changes[1]; c.LocationID != two || c.After != nil || c.Before == nil {
		t.Errorf("got %+v", c)
	}
	if c := changes[2]; !c.LocationID.Is(ident.Location) || c.Before != nil || c.After.LogoID != "fil_2" || c.After.Country != "DE" {
		t.Errorf("got %+v", c)
	}
	if of != today[0].Card() {
		t.Error("the card of today was changed")
	}
	for name, c := range map[string]struct {
		in   []LocationInput
		want string
	}{
		"nothing new":       {[]LocationInput{{LocationID: &two, RemoveLogo: true}}, "locations UNCHANGED"},
		"an absent one":     {[]LocationInput{{LocationID: &none, Remove: true}}, "locations.0.locationId NOT_FOUND"},
		"another country":   {[]LocationInput{{LocationID: &one, Country: ptr("DE")}}, "locations.0.country COUNTRY_FIXED"},
		"of another region": {[]LocationInput{{CompanyName: ptr("Acme"), Country: ptr("JP"), TargetURL: ptr("https://x.example/")}}, "locations.0.country COUNTRY_NOT_OF_REGION"},
		"99 more":           {slices.Repeat([]LocationInput{added}, 99), "locations TOO_MANY"},
	} {
		if _, _, err := diff(today, "EUROPE", c.in); problems(err) != c.want {
			t.Errorf("%s: got %s, want %s", name, problems(err), c.want)
		}
	}
	if _, _, err := diff(today, "EUROPE", append(slices.Repeat([]LocationInput{added}, 99), LocationInput{LocationID: &two, Remove: true})); err != nil {
		t.Errorf("99 for one: %v", err)
	}
}

func TestOwnHouse(t *testing.T) {
	t.Parallel()
	p := &partner.Partner{OrganizationID: "org_1", RegistrableDomain: "acme.example", Contact: partner.Contact{Email: "carla@acme-group.co.uk"}}
	for email, want := range map[string]bool{"rita@house.example": false, "rita@acme.example": true, "Rita@mail.ACME.example": true, "rita@x.acme-group.co.uk": true,
		"rita@other.co.uk": false, "rita@notacme.example": false, "": false} {
		if got := ownHouse(p, access.Actor{OrganizationID: "org_2", Email: email}); got != want {
			t.Errorf("%q: %t", email, got)
		}
	}
	if !ownHouse(p, access.Actor{OrganizationID: "org_1", Email: "rita@house.example"}) {
		t.Error("the own organization is another's")
	}
	if ownHouse(&partner.Partner{}, access.Actor{OrganizationID: "org_2"}) {
		t.Error("nobody's house is everybody's")
	}
}

// Whatever is asked, answered, and declared a holiday: what is owed is what
// has passed outside pauses and holidays, the dates are those at which it
// reaches what was promised, and the timer rings at the next step.
func TestThePromise(t *testing.T) {
	t.Parallel()
	rome, err := sla.Zone("Europe/Rome")
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		cal := sla.Standard(rome)
		cal.Holidays = map[string]bool{}
		now := time.Date(2030, 3, 1, 9, 0, 0, 0, time.UTC).Add(time.Duration(rapid.Int64Range(0, 300*24*60).Draw(t, "begin")) * time.Minute)
		r := &Request{Status: InReview, Clock: sla.Start(sla.CalendarDays, Target, Due, now)}
		r.keep(cal, now)
		ran := []sla.Run{{From: now}} // as it was, by hand
		for range rapid.IntRange(1, 12).Draw(t, "acts") {
			now = now.Add(time.Duration(rapid.Int64Range(1, 9*24*60).Draw(t, "minutes")) * time.Minute)
			switch act := rapid.SampledFrom([]string{"ask", "answer", "holiday", "wait"}).Draw(t, "act"); {
			case act == "ask" && r.Status == InReview:
				r.Status, ran[len(ran)-1].To = Waiting, ptr(now)
				r.Clock.Pause(now)
			case act == "answer" && r.Status == Waiting:
				r.Status, ran = InReview, append(ran, sla.Run{From: now})
				r.Clock.Resume(now)
			case act == "holiday":
				cal.Holidays[now.AddDate(0, 0, rapid.IntRange(-5, 25).Draw(t, "day")).In(rome).Format(time.DateOnly)] = true
			}
			r.keep(cal, now)
			var passed time.Duration
			for _, run := range ran {
				to := now
				if run.To != nil {
					to = *run.To
				}
				passed += cal.Between(sla.CalendarDays, run.From, to)
			}
			r.look(cal, now)
			if r.Promise.Spent != passed || r.Promise.Paused != (r.Status == Waiting) {
				t.Fatalf("%s is owed, %s has passed", r.Promise.Spent, passed)
			}
			want := sla.OnTrack
			switch {
			case passed >= Due:
				want = sla.Breached
			case passed >= Target:
				want = sla.AtRisk
			}
			if *r.Promise.State != want {
				t.Fatalf("%s after %s", *r.Promise.State, passed)
			}
			for left, at := range map[time.Duration]*time.Time{Target - passed: r.Promise.TargetAt, Due - passed: r.Promise.DueAt} {
				if left > 0 && (at == nil || cal.Between(sla.CalendarDays, now, *at) != left) {
					t.Fatalf("%s are left until %v", left, at)
				}
				if left <= 0 && (at == nil || at.After(now)) {
					t.Fatalf("%s are left until %v", left, at)
				}
			}
			for r.Steps < len(steps) && steps[r.Steps].after <= passed { // as due does
				r.Steps++
			}
			r.keep(cal, now)
			switch {
			case r.Status == Waiting || r.Steps == len(steps):
				if r.NextActionAt != nil {
					t.Fatalf("rings at %s for nothing", r.NextActionAt)
				}
			case r.NextActionAt == nil || passed+cal.Between(sla.CalendarDays, now, *r.NextActionAt) != steps[r.Steps].after:
				t.Fatalf("step %d rings at %v", r.Steps, r.NextActionAt)
			}
			if (r.Status == Waiting) != r.QueueAt.After(now.Add(far/2)) {
				t.Fatalf("%s stands in the queue at %s", r.Status, r.QueueAt)
			}
		}
		r.keep(cal, now)
		r.close(cal, now, true)
		due, target := r.DueAt, r.TargetAt
		r.look(cal, now.Add(100*sla.Day))
		if r.Promise.Spent != r.Worked || (r.Outcome == sla.Met) != (r.Worked < Due) || !same(r.Promise.DueAt, due) || !same(r.Promise.TargetAt, target) ||
			r.Month != now.In(rome).Format("2006-01") || r.NextActionAt != nil {
			t.Fatalf("closed with %+v", r)
		}
	})
}

func TestMonths(t *testing.T) {
	t.Parallel()
	at := time.Date(2030, 3, 31, 12, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		f    ReportFilter
		want string
	}{
		"the last year":  {ReportFilter{}, "2029-04 2030-03"},
		"since":          {ReportFilter{From: ptr("2030-01")}, "2030-01 2030-03"},
		"a year until":   {ReportFilter{To: ptr("2028-02")}, "2027-03 2028-02"},
		"one":            {ReportFilter{From: ptr("2028-02"), To: ptr("2028-02")}, "2028-02 2028-02"},
		"36":             {ReportFilter{From: ptr("2027-04")}, "2027-04 2030-03"},
		"37":             {ReportFilter{From: ptr("2027-03")}, "filter.from INVALID"},
		"backwards":      {ReportFilter{From: ptr("2030-03"), To: ptr("2030-02")}, "filter.from INVALID"},
		"no months":      {ReportFilter{From: ptr("2030-3"), To: ptr("2030-13")}, "filter.to MONTH_INVALID, filter.from MONTH_INVALID"},
		"a day":          {ReportFilter{From: ptr("2030-03-01")}, "filter.from MONTH_INVALID"},
		"nothing at all": {ReportFilter{From: ptr("")}, "filter.from MONTH_INVALID"},
	} {
		from, to, err := c.f.months(at)
		got := fmt.Sprint(from, " ", to)
		if err != nil {
			got = problems(err)
		}
		if got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
}
