package taxid

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// published are numbers that authorities, companies and the documentation of
// other checkers show, and the form in which they are compared.
var published = []struct{ country, number, canonical string }{
	{"AT", "ATU13585627", "U13585627"},
	{"AT", "U 1358 5627", "U13585627"},
	{"AT", "FN 122119 m", "FN122119M"},
	{"AT", "122119m", "FN122119M"},
	{"BE", "BE 428759497", "0428759497"},
	{"BE", "0403.019.261", "0403019261"},
	{"BG", "BG 175 074 752", "175074752"},
	{"BG", "7523169263", "7523169263"},
	{"BG", "8032056031", "8032056031"},
	{"BG", "7111042925", "7111042925"},
	{"CY", "CY-10259033P", "10259033P"},
	{"CY", "HE 12345", "HE12345"},
	{"CZ", "CZ 25123891", "25123891"},
	{"CZ", "7103192745", "7103192745"},
	{"CZ", "640903926", "640903926"},
	{"DE", "DE 136,695 976", "136695976"},
	{"DE", "HRB 12345 B", "HRB12345B"},
	{"DK", "DK 13585628", "13585628"},
	{"DK", "CVR 13585628", "13585628"},
	{"EE", "EE 100 931 558", "100931558"},
	{"EE", "12345678", "12345678"},
	{"ES", "ES B-58378431", "B58378431"},
	{"ES", "54362315-K", "54362315K"},
	{"ES", "X-2482300W", "X2482300W"},
	{"ES", "J99216582", "J99216582"},
	{"ES", "M-1234567-L", "M1234567L"},
	{"FI", "FI 20774740", "20774740"},
	{"FI", "2077474-0", "20774740"},
	{"FR", "Fr 40 303 265 045", "303265045"},
	{"FR", "23 334 175 221", "334175221"},
	{"FR", "K7399859412", "399859412"},
	{"FR", "4Z123456782", "123456782"},
	{"FR", "552 008 443", "552008443"},
	{"FR", "732 829 320 00074", "732829320"},
	{"FR", "356 000 000 00048", "356000000"},
	{"GR", "EL 094259216", "094259216"},
	{"GR", "GR 94259216", "094259216"},
	{"HR", "HR 33392005961", "33392005961"},
	{"HU", "HU-12892312", "12892312"},
	{"HU", "12892312-2-42", "12892312"},
	{"HU", "01-09-562739", "0109562739"},
	{"IE", "IE 6433435F", "6433435F"},
	{"IE", "IE 6433435OA", "6433435OA"},
	{"IE", "8D79739I", "8D79739I"},
	{"IT", "IT 00743110157", "00743110157"},
	{"IT", "00743110157", "00743110157"},
	{"LT", "119511515", "119511515"},
	{"LT", "LT 100001919017", "100001919017"},
	{"LU", "LU 150 274 42", "15027442"},
	{"LU", "B 82454", "B82454"},
	{"LV", "LV 4000 3521 600", "40003521600"},
	{"LV", "161175-19997", "16117519997"},
	{"MT", "MT 1167-9112", "11679112"},
	{"MT", "C 12345", "C12345"},
	{"NL", "NL 4495445B01", ""}, // without the zeros it is none
	{"NL", "NL 004495445B01", "004495445B01"},
	{"NL", "NL123456789B13", "123456789B13"},
	{"NL", "NL002455799B11", "002455799B11"},
	{"NL", "33014286", "33014286"},
	{"PL", "PL 856-734-62-15", "8567346215"},
	{"PL", "192598184", "192598184"},
	{"PL", "12345678512347", "123456785"},
	{"PL", "0000028860", "0000028860"},
	{"PT", "PT 501 964 843", "501964843"},
	{"RO", "RO 185 472 90", "18547290"},
	{"RO", "J40/1234/2005", "J4012342005"},
	{"SE", "SE 123456789701", "1234567897"},
	{"SE", "556188-8404", "5561888404"},
	{"SI", "SI 5022 3054", "50223054"},
	{"SI", "9331310000", "9331310"},
	{"SK", "SK 202 274 96 19", "2022749619"},

	{"CH", "CHE-100.155.212", "CHE100155212"},
	{"CH", "CHE-107.787.577 IVA", "CHE107787577"},
	{"CH", "CHE-107.787.577 MWST", "CHE107787577"},
	{"GB", "GB 980 7806 84", "980780684"},
	{"GB", "XI 980 7806 84", "980780684"},
	{"GB", "GB 980780684 001", "980780684"},
	{"GB", "GD123", "GD123"},
	{"GB", "HA 501", "HA501"},
	{"GB", "sc 123456", "SC123456"},
	{"GB", "445790", "00445790"},
	{"GB", "00445790", "00445790"},
	{"GB", "NI012345", "NI012345"},
	{"GB", "R0000123", "R0000123"},
	{"US", "91-1144442", "911144442"},
	{"US", "EIN 04-2103594", "042103594"},

	{"BR", "11.222.333/0001-81", "11222333000181"},
	{"it", "00743110157", "00743110157"},
	{"JP", "０１２３-４５", "012345"}, // typed wide
	{"UA", "ЄДРПОУ 00032129", "ЄДРПОУ00032129"},
	{"XX", "a1 – b2", "A1B2"},
}

func TestPublishedNumbers(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, c := range published {
		seen[c.country] = true
		got, problem := Check(c.country, c.number)
		if got != c.canonical || (problem == "") != (c.canonical != "") {
			t.Errorf("%s %s: got %q and %q, want %q", c.country, c.number, got, problem, c.canonical)
		}
	}
	for code := range countries {
		if !seen[code] {
			t.Errorf("%s has no example", code)
		}
	}
}

// The VAT area of the EU, the three others that the spec asks for.
func TestEveryCountryIsKnown(t *testing.T) {
	t.Parallel()
	const want = "AT BE BG CH CY CZ DE DK EE ES FI FR GB GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK US"
	var got []string
	for code := range countries {
		got = append(got, code)
		if !Known(strings.ToLower(code)) {
			t.Errorf("%s is not known", code)
		}
	}
	slices.Sort(got)
	if s := strings.Join(got, " "); s != want {
		t.Errorf("known are %s", s)
	}
	if Known("BR") || Known("") {
		t.Error("more is known than there are rules")
	}
}

// A slip of the finger in one digit of a number with check digits is found,
// but for the few that the weaker rules (remainders of 11 that share a digit,
// two rules for one shape) let through.
func TestSlips(t *testing.T) {
	t.Parallel()
	for country, number := range map[string]string{
		"AT": "U13585627", "BE": "0428759497", "BG": "175074752", "CH": "CHE107787577", "CY": "10259033P", "CZ": "25123891", "DE": "136695976",
		"DK": "13585628", "EE": "100931558", "ES": "B58378431", "FI": "20774740", "FR": "40303265045", "GB": "980780684", "GR": "094259216",
		"HR": "33392005961", "HU": "12892312", "IE": "6433435F", "IT": "00743110157", "LT": "119511515", "LU": "15027442", "LV": "40003521600",
		"MT": "11679112", "NL": "004495445B01", "PL": "8567346215", "PT": "501964843", "RO": "18547290", "SE": "123456789701", "SI": "50223054", "SK": "2022749619",
	} {
		if _, problem := Check(country, number); problem != "" {
			t.Errorf("%s %s is refused", country, number)
		}
		if country == "SE" {
			number = number[:10] // the rest counts
		}
		if country == "NL" {
			number = number[:9]
		}
		slips, passed := 0, 0
		for i, c := range []byte(number) {
			for d := byte('0'); d <= '9' && c >= '0' && c <= '9'; d++ {
				slip := number[:i] + string(d) + number[i+1:]
				if country == "NL" {
					slip += "B01"
				}
				if d == c {
					continue
				}
				slips++
				if _, problem := Check(country, slip); problem == "" {
					passed++
				}
			}
		}
		if slips < 45 || passed*10 > slips {
			t.Errorf("%s %s: %d of %d slips pass", country, number, passed, slips)
		}
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ country, number string }{
		{"IT", ""}, {"IT", "   "}, {"IT", "IT"}, {"IT", "00743110158"}, {"IT", "0074311015"}, {"IT", "007431101570"}, {"IT", "00000000000"}, {"IT", "DE136695976"},
		{"IT", "IT IT00743110157"}, {"IT", "00743110157; drop"}, {"IT", "0074311\u200b0157"}, {"IT", "٠٠٧٤٣١١٠١٥٧"}, {"IT", strings.Repeat("0", 1_000_000)},
		{"IT", "00743110157\n"}, {"IT", "\xff00743110157"}, {"IT", "12345672017"}, // no such office
		{"DE", "DE036695976"}, {"DE", "HRB"}, {"AT", "13585627"}, {"BE", "2428759497"}, {"BE", "0000000097"}, {"CY", "12000139V"}, {"FI", "00000000"},
		{"ES", "I58378431"}, {"ES", "54362315A"}, {"FR", "IO334175221"}, {"FR", "84323140391"}, {"FR", "K6399859412"}, {"FR", "000000000"}, {"GB", "000000000"},
		{"GB", "GD500"}, {"GB", "HA499"}, {"GB", "00000000"}, {"GB", "XX123456"}, {"GB", "12345"}, {"HU", "00000000"}, {"LU", "00000000"}, {"NL", "000000000B01"},
		{"NL", "004495445B00"}, {"SE", "123456789700"}, {"US", "07-1144442"}, {"US", "91-114444"}, {"US", "911-14-44421"}, {"CH", "100155212"},
		{"CH", "CHE-100.155.213"}, {"GR", "000000000"}, {"SI", "00000000"},
		{"BR", "12"}, {"BR", strings.Repeat("1", 31)}, {"BR", "none"}, {"BR", "n/a"}, {"BR", "12+34"}, {"BR", "12_34"}, {"BR", "=1+1"}, {"BR", "<b>123</b>"},
		{"", "12"}, {"XX", "---"},
	} {
		if got, problem := Check(c.country, c.number); problem != CodeInvalid || got != "" {
			t.Errorf("%s %.40q: got %q and %q", c.country, c.number, got, problem)
		}
	}
	for _, number := range []string{"123", "A1B", strings.Repeat("1", 30)} {
		if _, problem := Check("BR", number); problem != "" {
			t.Errorf("%s is refused", number)
		}
	}
}

// Whatever is typed is answered, and what passes passes again as its own
// canonical form.
func TestCanonicalIsItsOwn(t *testing.T) {
	t.Parallel()
	codes := []string{"XX"}
	for code := range countries {
		codes = append(codes, code)
	}
	slices.Sort(codes)
	rapid.Check(t, func(t *rapid.T) {
		country := rapid.SampledFrom(codes).Draw(t, "country")
		shapes := []string{`[A-Z0-9]{0,16}`, `\d{8,12}`, `[A-Z]{0,3}\d{6,12}[A-Z]{0,2}`}
		for _, k := range countries[country].kinds {
			shapes = append(shapes, strings.Trim(k.shape.String(), "^$"))
		}
		number := rapid.OneOf(rapid.String(), rapid.StringMatching(rapid.SampledFrom(shapes).Draw(t, "shape"))).Draw(t, "number")
		canonical, problem := Check(country, number)
		if problem != "" {
			if canonical != "" {
				t.Fatalf("%s %q is refused and becomes %q", country, number, canonical)
			}
			return
		}
		if again, problem := Check(country, canonical); problem != "" || again != canonical {
			t.Fatalf("%s %q becomes %q, which becomes %q, %q", country, number, canonical, again, problem)
		}
		for _, p := range countries[country].prefixes {
			if got, _ := Check(country, p+" "+number); number == canonical && got != canonical {
				t.Fatalf("%s %q is %q with its prefix", country, number, got)
			}
		}
	})
}
