package agreement

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/partner"
)

func ptr[T any](v T) *T { return &v }

var now = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

func problems(err error) string {
	f := fault.As(err)
	if f == nil {
		return fmt.Sprint(err)
	}
	if len(f.Problems) == 0 {
		return f.Code
	}
	var all []string
	for _, p := range f.Problems {
		all = append(all, strings.TrimSpace(strings.Join(p.Path[min(1, len(p.Path)):], ".")+" "+p.Code))
	}
	return strings.Join(all, ", ")
}

func version(number string, dueAt time.Time) PublishInput {
	return PublishInput{Number: number, DueAt: dueAt, Texts: []TextInput{
		{Locale: "en", Title: "Partner agreement", Text: "We work together.\n\nVersion " + number + "."},
		{Locale: "it", Title: "Contratto di partnership", Text: "Lavoriamo insieme.\n\nVersione " + number + "."},
	}}
}

func TestPublishInput(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*PublishInput)
		want   string
	}{
		"valid":                  {func(*PublishInput) {}, ""},
		"English alone":          {func(in *PublishInput) { in.Texts = in.Texts[:1] }, ""},
		"Italian first":          {func(in *PublishInput) { in.Texts[0], in.Texts[1] = in.Texts[1], in.Texts[0] }, ""},
		"number of 20":           {func(in *PublishInput) { in.Number = strings.Repeat("7", 20) }, ""},
		"number of 21":           {func(in *PublishInput) { in.Number = strings.Repeat("7", 21) }, "number AGREEMENT_NUMBER_INVALID"},
		"no number":              {func(in *PublishInput) { in.Number = "" }, "number AGREEMENT_NUMBER_INVALID"},
		"number with a space":    {func(in *PublishInput) { in.Number = "2026 07" }, "number AGREEMENT_NUMBER_INVALID"},
		"number with a line end": {func(in *PublishInput) { in.Number = "2026-07\n" }, "number AGREEMENT_NUMBER_INVALID"},
		"a day's notice":         {func(in *PublishInput) { in.DueAt = now.Add(day) }, ""},
		"a little less":          {func(in *PublishInput) { in.DueAt = now.Add(day - time.Microsecond) }, "dueAt DATE_TOO_EARLY"},
		"in the past":            {func(in *PublishInput) { in.DueAt = now.Add(-day) }, "dueAt DATE_TOO_EARLY"},
		"a year's notice":        {func(in *PublishInput) { in.DueAt = now.Add(maxNotice) }, ""},
		"a little more":          {func(in *PublishInput) { in.DueAt = now.Add(maxNotice + time.Microsecond) }, "dueAt DATE_TOO_LATE"},
		"no text":                {func(in *PublishInput) { in.Texts = nil }, "texts ENGLISH_REQUIRED"},
		"no English":             {func(in *PublishInput) { in.Texts = in.Texts[1:] }, "texts ENGLISH_REQUIRED"},
		"a language twice":       {func(in *PublishInput) { in.Texts[1].Locale = "en" }, "texts.1.locale LOCALE_TWICE"},
		"a language unknown":     {func(in *PublishInput) { in.Texts[1].Locale = "de" }, "texts.1.locale INVALID"},
		"too many":               {func(in *PublishInput) { in.Texts = append(in.Texts, in.Texts...) }, "texts TOO_MANY"},
		"no title":               {func(in *PublishInput) { in.Texts[0].Title = " " }, "texts.0.title REQUIRED"},
		"title of 101":           {func(in *PublishInput) { in.Texts[0].Title = strings.Repeat("ü", 101) }, "texts.0.title TOO_LONG"},
		"title of two lines":     {func(in *PublishInput) { in.Texts[0].Title = "a\nb" }, "texts.0.title CONTROL_CHARACTERS"},
		"text of spaces":         {func(in *PublishInput) { in.Texts[0].Text = " \n " }, "texts.0.text REQUIRED"},
		"text of 50,000":         {func(in *PublishInput) { in.Texts[0].Text = strings.Repeat("ü", 50_000) }, ""},
		"text of 50,001":         {func(in *PublishInput) { in.Texts[0].Text = strings.Repeat("ü", 50_001) }, "texts.0.text TOO_LONG"},
		"text turned around":     {func(in *PublishInput) { in.Texts[1].Text = "a\u202Eb" }, "texts.1.text CONTROL_CHARACTERS"},
		"all of it": {func(in *PublishInput) { *in = PublishInput{Texts: []TextInput{{}}} },
			"number AGREEMENT_NUMBER_INVALID, dueAt DATE_TOO_EARLY, texts.0.locale INVALID, texts.0.title REQUIRED, texts.0.text REQUIRED, texts ENGLISH_REQUIRED"},
	} {
		in := version("2026-07", now.Add(30*day))
		c.change(&in)
		err := in.Validate(now)
		if got := problems(err); (err == nil) != (c.want == "") || c.want != "" && got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func TestSignInput(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*SignInput)
		want   string
	}{
		"valid":         {func(*SignInput) {}, ""},
		"not confirmed": {func(in *SignInput) { in.Confirmed = false }, "confirmed AGREEMENT_NOT_CONFIRMED"},
		"webmail":       {func(in *SignInput) { in.Email = "gina@mail.gmail.com" }, "email EMAIL_WEBMAIL"},
		"role mailbox":  {func(in *SignInput) { in.Email = "info@acme.example" }, "email EMAIL_ROLE_MAILBOX"},
		"no number":     {func(in *SignInput) { in.Phone = "call me" }, "phone PHONE_INVALID"},
		"all of it":     {func(in *SignInput) { *in = SignInput{} }, "firstName REQUIRED, lastName REQUIRED, email REQUIRED, phone REQUIRED, confirmed AGREEMENT_NOT_CONFIRMED"},
	} {
		in := SignInput{AgreementID: "agr_1", FirstName: " Gina ", LastName: "Rossi", Email: "Gina@ACME.example", Phone: "+39 06 1234567", Confirmed: true}
		c.change(&in)
		err := in.Validate()
		if got := problems(err); (err == nil) != (c.want == "") || c.want != "" && got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
		if err == nil && (in.FirstName != "Gina" || in.Email != "gina@acme.example" && in.Email != "Gina@acme.example") {
			t.Errorf("%s: stored as %+v", name, in)
		}
	}
}

// The digest is over every language in one order, however they were given.
func TestHash(t *testing.T) {
	t.Parallel()
	en, it := &Text{Locale: "en", Title: "A", Text: "b"}, &Text{Locale: "it", Title: "C", Text: "d"}
	// printf 'en\nA\n\nb\nit\nC\n\nd\n' | sha256sum
	const want = "920a3b54459d8af33325064376f5c17917cf8d6f6db4e6c14466cfb04f1fa4a3"
	if got := Hash([]*Text{en, it}); got != want || Hash([]*Text{it, en}) != want {
		t.Errorf("got %s", got)
	}
	for _, other := range [][]*Text{{en}, {en, {Locale: "it", Title: "C", Text: "e"}}, {{Locale: "en", Title: "A\n\nb", Text: ""}, it}} {
		if Hash(other) == want {
			t.Errorf("%+v has the same digest", other)
		}
	}
}

func TestNext(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		notice time.Duration
		want   string
	}{
		"a month":           {30 * day, "14@16d 3@27d 0@30d"},
		"two weeks":         {14 * day, "3@11d 0@14d"},
		"two weeks, a bit":  {14*day + 2*time.Hour, "14@0d 3@11d 0@14d"},
		"two days":          {2 * day, "0@2d"},
		"three days, a bit": {3*day + time.Hour, "0@3d"},
	} {
		a := &Agreement{PublishedAt: now, DueAt: now.Add(c.notice)}
		var got []string
		for step, at := a.Next(now); step != StepNone; step, at = a.Next(at) {
			got = append(got, fmt.Sprintf("%s@%dd", step, int(at.Sub(now)/day)))
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: got %v, want %s", name, got, c.want)
		}
	}
}

func TestStatusOf(t *testing.T) {
	t.Parallel()
	newest := &Agreement{Number: "2", DueAt: now.Add(day)}
	signed := now.Add(-day)
	for name, c := range map[string]struct {
		p                *partner.Partner
		newest           *Agreement
		want             State
		needs, isBlocked bool
	}{
		"no partner":             {nil, newest, NotAsked, false, false},
		"applying":               {&partner.Partner{Status: partner.Applying}, newest, NotAsked, false, false},
		"closed":                 {&partner.Partner{Status: partner.Closed}, newest, NotAsked, false, false},
		"approved":               {&partner.Partner{Status: partner.Approved}, newest, Unsigned, true, true},
		"approved, none to sign": {&partner.Partner{Status: partner.Approved}, nil, Unsigned, false, true},
		"signed":                 {&partner.Partner{Status: partner.Active, AgreementSignedAt: &signed}, newest, Signed, false, false},
		"suspended, signed":      {&partner.Partner{Status: partner.Suspended, AgreementSignedAt: &signed}, newest, Signed, false, false},
		"due":                    {&partner.Partner{Status: partner.Active, AgreementSignedAt: &signed, AgreementDueAt: ptr(now.Add(time.Microsecond))}, newest, Due, true, false},
		"overdue this moment":    {&partner.Partner{Status: partner.Active, AgreementSignedAt: &signed, AgreementDueAt: &now}, newest, Overdue, true, true},
	} {
		s := statusOf(c.p, c.newest, now)
		if s.State != c.want || s.NeedsSignature != c.needs || s.Blocked != c.isBlocked || (s.DueAt != nil) != (c.want == Due || c.want == Overdue) {
			t.Errorf("%s: got %+v", name, s)
		}
	}
}
