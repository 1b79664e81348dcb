package address

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/channelgraph/channelgraph/internal/fault"
)

func TestParse(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 60) + "@" + strings.Repeat("b", 60) + "." + strings.Repeat("c", 60) + "." + strings.Repeat("d", 60) + ".example"
	for in, want := range map[string]string{
		"giulia@example.com":           "giulia@example.com",
		"  giulia@example.com\t":       "giulia@example.com",
		"Giulia.Bianchi+x@EXAMPLE.com": "Giulia.Bianchi+x@example.com",
		"o'brien!#$%&*@example.co.uk":  "o'brien!#$%&*@example.co.uk",
		"a@bücher.example":             "a@xn--bcher-kva.example",
		"a@BÜCHER.example":             "a@xn--bcher-kva.example",
		"a@例え.テスト":                     "a@xn--r8jz45g.xn--zckzah",
		"niccolò@example.com":          "niccolò@example.com",
		"niccolo\u0300@example.com":    "niccolò@example.com",
		"a@xn--bcher-kva.example":      "a@xn--bcher-kva.example",
		"a@sub.example.com":            "a@sub.example.com",
		long:                           long,
	} {
		a, err := Parse(in)
		if err != nil || a.String() != want || a.NeedsSMTPUTF8 != !ascii(a.Local) {
			t.Errorf("Parse(%q) = %q, %v; want %q", in, a, err, want)
		}
	}
	for in, code := range map[string]string{
		"": CodeEmailInvalid, "giulia": CodeEmailInvalid, "@example.com": CodeEmailInvalid, "giulia@": CodeEmailInvalid,
		"giulia@example": CodeEmailInvalid, "giulia@localhost": CodeEmailInvalid, "giulia@127.0.0.1": CodeEmailInvalid, "giulia@[127.0.0.1]": CodeEmailInvalid,
		"giulia@exa mple.com": CodeEmailInvalid, "giulia bianchi@example.com": CodeEmailInvalid, `"giulia"@example.com`: CodeEmailInvalid, `"a@b"@example.com`: CodeEmailInvalid,
		"a@b@example.com": CodeEmailInvalid, ".a@example.com": CodeEmailInvalid, "a.@example.com": CodeEmailInvalid, "a..b@example.com": CodeEmailInvalid,
		"Giulia <giulia@example.com>": CodeEmailInvalid, "<giulia@example.com>": CodeEmailInvalid, "a@example.com,b@example.com": CodeEmailInvalid,
		"a@example.com\r\nBcc: b@example.com": CodeEmailInvalid, "a\r\n@example.com": CodeEmailInvalid, "a\x00@example.com": CodeEmailInvalid,
		"a\u200b@example.com": CodeEmailInvalid, "a@exam\u202eple.com": CodeEmailInvalid, "a@example.com\u200b": CodeEmailInvalid, "a\u2028@example.com": CodeEmailInvalid,
		"a@-example.com": CodeEmailInvalid, "a@example-.com": CodeEmailInvalid, "a@example..com": CodeEmailInvalid, "a@example.com.": CodeEmailInvalid, "a@.example.com": CodeEmailInvalid,
		"a@exa_mple.com": CodeEmailInvalid, "a@example.123": CodeEmailInvalid, "a@xn--zz--.example": CodeEmailInvalid, "a@" + strings.Repeat("b", 64) + ".com": CodeEmailInvalid,
		"\xff@example.com": CodeEmailInvalid, "a(comment)@example.com": CodeEmailInvalid, "😀@example.com": CodeEmailInvalid, "mailto:a@example.com": CodeEmailInvalid,
		strings.Repeat("a", 65) + "@example.com":                             CodeEmailInvalid,
		strings.Repeat("a", 250) + "@example.com":                            CodeEmailTooLong,
		strings.Repeat(" ", 300) + "a@example.com":                           CodeEmailTooLong,
		strings.Repeat("a", 60) + "@" + strings.Repeat("ü.", 90) + "example": CodeEmailTooLong,
	} {
		if a, err := Parse(in); !fault.Is(err, code) {
			t.Errorf("Parse(%q) = %q, %v; want %s", in, a, err, code)
		}
	}
	a, _ := Parse("Giulia@BÜCHER.example")
	if a.Folded() != "giulia@xn--bcher-kva.example" || a.Display() != "Giulia@bücher.example" {
		t.Errorf("%q %q", a.Folded(), a.Display())
	}
}

// Whatever Parse accepts can go into an envelope and reads back as itself.
func TestParseIsStable(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(rapid.String(), rapid.StringMatching(`[a-zA-Z0-9.!'+\-_é@ ]{1,20}@[a-zü0-9\-.]{1,20}\.(com|example|it)`)).Draw(t, "s")
		a, err := Parse(s)
		if err != nil {
			return
		}
		if strings.ContainsAny(a.String(), " \r\n<>\"\\,;:()") || len(a.String()) > MaxLen {
			t.Fatalf("%q gives %q", s, a)
		}
		b, err := Parse(a.String())
		if err != nil || b != a {
			t.Fatalf("%q gives %q, then %q, %v", s, a, b, err)
		}
	})
}

func TestClasses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, code string }{
		{"a@gmail.com", CodeEmailWebmail}, {"a@x.gmail.com", CodeEmailWebmail}, {"a@googlemail.com", CodeEmailWebmail}, {"a@GMAIL.com", CodeEmailWebmail},
		{"a@yahoo.it", CodeEmailWebmail}, {"a@yahoo.co.jp", CodeEmailWebmail}, {"a@mail.yahoo.com.br", CodeEmailWebmail}, {"a@ymail.com", CodeEmailWebmail},
		{"a@icloud.com", CodeEmailWebmail}, {"a@me.com", CodeEmailWebmail}, {"a@aol.com", CodeEmailWebmail}, {"a@aol.fr", CodeEmailWebmail},
		{"a@outlook.com", CodeEmailWebmail}, {"a@outlook.it", CodeEmailWebmail}, {"a@hotmail.co.uk", CodeEmailWebmail}, {"a@live.nl", CodeEmailWebmail}, {"a@msn.com", CodeEmailWebmail},
		{"a@gmx.de", CodeEmailWebmail}, {"a@gmx.net", CodeEmailWebmail}, {"a@proton.me", CodeEmailWebmail}, {"a@protonmail.com", CodeEmailWebmail},
		{"a@libero.it", CodeEmailWebmail}, {"a@virgilio.it", CodeEmailWebmail}, {"a@tiscali.it", CodeEmailWebmail}, {"a@alice.it", CodeEmailWebmail}, {"a@tin.it", CodeEmailWebmail},
		{"a@web.de", CodeEmailWebmail}, {"a@orange.fr", CodeEmailWebmail}, {"a@qq.com", CodeEmailWebmail},
		{"a@mailinator.com", CodeEmailDisposable}, {"a@x.yopmail.com", CodeEmailDisposable}, {"a@guerrillamail.com", CodeEmailDisposable},
		{"info@contoso.com", CodeEmailRole}, {"Admin@contoso.com", CodeEmailRole}, {"marketing+news@contoso.com", CodeEmailRole}, {"amministrazione@contoso.it", CodeEmailRole},
		{"a@notgmail.com", ""}, {"a@gmail.com.contoso.example", ""}, {"a@contoso.com", ""}, {"a@mygmail.it", ""}, {"a@yahoo-consulting.example", ""},
		{"a@outlook.contoso.com", ""}, {"a@live-events.it", ""}, {"informatica@contoso.it", ""}, {"a@liberotech.it", ""}, {"adminova@contoso.it", ""}, {"a@microsoft.com", ""},
	} {
		a, err := Parse(c.in)
		if err != nil {
			t.Fatal(c.in, err)
		}
		if err := a.Company(); (err == nil) != (c.code == "") || c.code != "" && !fault.Is(err, c.code) {
			t.Errorf("%s: %v, want %q", c.in, err, c.code)
		}
	}
	for in, want := range map[string]string{"mail.example.co.uk": "example.co.uk", "example.com": "example.com", "co.uk": "co.uk", "a.b.contoso.example": "contoso.example"} {
		if got := Registrable(in); got != want {
			t.Errorf("Registrable(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestName(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"  Giulia   Bianchi ": "Giulia Bianchi", "O'Brien & Söhne GmbH": "O'Brien & Söhne GmbH", "Nordwind S.p.A.": "Nordwind S.p.A.", "Bianchi S.r.l.": "Bianchi S.r.l.",
		"Cooperativa Soc.Coop. a r.l.": "Cooperativa Soc.Coop. a r.l.", "Sakura Co.,Ltd.": "Sakura Co.,Ltd.", "Sakura Co.Ltd": "Sakura Co.Ltd", "St.Gallen Informatik AG": "St.Gallen Informatik AG",
		"Cafe\u0301": "Café", "株式会社 桜": "株式会社 桜", "3M Italia": "3M Italia", "A/B Test d.o.o.": "A/B Test d.o.o.", "Dr. Max": "Dr. Max", "مؤسسة": "مؤسسة",
	} {
		if got, err := Name(in, MaxName); err != nil || got != want {
			t.Errorf("Name(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
	for in, code := range map[string]string{
		"": fault.CodeRequired, "   ": fault.CodeRequired, strings.Repeat("x", 101): fault.CodeTooLong, strings.Repeat("x", 1e6): fault.CodeTooLong,
		"a\nb": fault.CodeControlChars, "a\r\nBcc: x": fault.CodeControlChars, "a\tb": fault.CodeControlChars, "a\x00b": fault.CodeControlChars, "a\u202eb": fault.CodeControlChars,
		"a\u200bb": fault.CodeControlChars, "a\u2066b": fault.CodeControlChars, "a\ufeffb": fault.CodeControlChars, "a\u00adb": fault.CodeControlChars, "a\u2028b": fault.CodeControlChars,
		"a\U000e0041b": fault.CodeControlChars, "a\u3164b": fault.CodeControlChars, "\xff": fault.CodeControlChars,
		"evil.com": CodeLink, "Visit evil.com now": CodeLink, "https://x": CodeLink, "www.example": CodeLink, "eve@evil.com": CodeLink, "evil。com": CodeLink, "ｅｖｉｌ．ｃｏｍ": CodeLink,
		"login.contoso.it": CodeLink, "HTTP://A.B": CodeLink, "javascript:x": CodeLink, "10.0.0.1": CodeLink, "аррӏе.com": CodeLink,
	} {
		if got, err := Name(in, MaxName); !fault.Is(err, code) {
			t.Errorf("Name(%.40q) = %q, %v; want %s", in, got, err, code)
		}
	}
}

func TestPlainText(t *testing.T) {
	t.Parallel()
	if got, err := PlainText(" a\r\nb\tc \n", 10); err != nil || got != "a\nb\tc" {
		t.Errorf("%q %v", got, err)
	}
	for in, code := range map[string]string{"a\rb": fault.CodeControlChars, "a\x1b[0m": fault.CodeControlChars, "a\u202e": fault.CodeControlChars, strings.Repeat("é", 11): fault.CodeTooLong} {
		if _, err := PlainText(in, 10); !fault.Is(err, code) {
			t.Errorf("PlainText(%q): %v, want %s", in, err, code)
		}
	}
	if got, err := PlainText("", 10); got != "" || err != nil {
		t.Error(got, err)
	}
}

func TestHasContactDetails(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"", "Buongiorno Giulia,\n\ncome d'accordo le mando la richiesta. A presto.\nMarco", "Dal 2026-04-01 al 30/06/2026, ore 10:30.", "Nel biennio 2024-2026 e 2025/2026",
		"Oltre 1.000.000 di licenze, 12.500,00 euro, 30 %", "P.IVA IT01234567890", "Il programma 1234567", "Versione 2.4.1 del contratto", "Siamo in 12, voi in 5.", "Nordwind S.p.A. e Bianchi S.r.l.",
		"e.g. this; i.e. that, etc.", "Alle 9.30 in sede", "100% garantito...davvero",
	} {
		if HasContactDetails(s) {
			t.Errorf("refused: %q", s)
		}
	}
	for _, s := range []string{
		"see https://evil.example", "evil.com", "Vai su evil.com!", "scrivi a eve@evil.com", "eve (at) evil", "eve [chiocciola] evil punto com", "www.evil", "ftp://x",
		"chiama +39 333 1234567", "333 123 4567", "333-123-4567", "333.123.4567", "(06) 123456789", "06 1234567", "06/1234567", "3331234567", "0039 06 12345", "tel:1234",
		"＋３９ ３３３ １２３４５６７", "٠٦١٢٣٤٥٦٧٨", "192.0.2.17", "333·123·4567", "bit.ly/abc", "t.me/x", "evil dot com at bit.ly", "+1 (555) 010-9999",
	} {
		if !HasContactDetails(s) {
			t.Errorf("passed: %q", s)
		}
	}
	if _, err := Note("call 333 1234567", 1000); !fault.Is(err, CodeContactDetails) {
		t.Error(err)
	}
}

func TestFold(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"Nordwind  S.p.A.": "nordwind spa", "ÉCOLE d'Été": "ecole dete", "Straße": "strasse", "ﬁn": "fin", "A & B": "a b", "A-B": "a b", "  x ": "x", "!!!": "!!!", "株式会社": "株式会社", "Łódź": "łodz",
	} {
		if got := Fold(in); got != want {
			t.Errorf("Fold(%q) = %q, want %q", in, got, want)
		}
	}
	for _, same := range [][]string{
		{"Nordwind S.p.A.", "NORDWIND SPA", "Nordwind, S.P.A.", "Nordwind Società per Azioni", "nordwind"},
		{"Bianchi Informatica S.r.l.", "Bianchi Informatica srl", "BIANCHI INFORMATICA S.R.L. a socio unico", "Bianchi  Informatica"},
		{"Contoso Ltd.", "Contoso Limited", "Contoso Co., Ltd."}, {"Müller GmbH & Co. KG", "Muller"}, {"Adatum Sp. z o.o.", "ADATUM"}, {"Rossi Soc. Coop. a r.l.", "Rossi"},
	} {
		for _, s := range same {
			if got, want := FoldCompany(s), FoldCompany(same[0]); got != want {
				t.Errorf("FoldCompany(%q) = %q, want %q", s, got, want)
			}
		}
	}
	for s, want := range map[string]bool{"S.p.A.": true, "Ltd": true, "***": true, "": true, "GmbH & Co. KG": true, "SAP SE": false, "Spa Resort": false, "A": false, "As Roma": false} {
		if got := LegalFormOnly(s); got != want {
			t.Errorf("LegalFormOnly(%q) = %t", s, got)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "s")
		if f := Fold(s); Fold(f) != f {
			t.Fatalf("Fold(%q) = %q, folded again %q", s, f, Fold(f))
		}
		if f := FoldCompany(s); FoldCompany(f) != f {
			t.Fatalf("FoldCompany(%q) = %q, then %q", s, f, FoldCompany(f))
		}
	})
}

func TestCodesHaveTexts(t *testing.T) {
	t.Parallel()
	for _, c := range []string{CodeEmailInvalid, CodeEmailTooLong, CodeEmailWebmail, CodeEmailDisposable, CodeEmailRole, CodeDomainInvalid, CodeLink, CodeContactDetails} {
		if !fault.HasText(c) {
			t.Errorf("%s has no sentence", c)
		}
	}
}
