package web

import (
	"embed"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"golang.org/x/text/language"
	"golang.org/x/text/language/display"
)

//go:embed text.*.json
var textFiles embed.FS

// locales are the languages of the pages, the first one the default.
var locales = []string{"en", "it"}

var (
	texts   = map[string]map[string]string{"en": loadText("en"), "it": loadText("it")}
	matcher = language.NewMatcher([]language.Tag{language.English, language.Italian})
)

func loadText(locale string) map[string]string {
	b, err := textFiles.ReadFile("text." + locale + ".json")
	if err != nil {
		panic(err)
	}
	m := map[string]string{}
	if err := json.Unmarshal(b, &m); err != nil {
		panic(fmt.Sprintf("web text %s: %v", locale, err))
	}
	return m
}

// text is a page's sentence, with {name} placeholders filled from name, value
// pairs. A key without a sentence is a mistake that a test finds.
func text(locale, key string, kv ...string) string {
	s, ok := texts[locale][key]
	if !ok {
		return key
	}
	if len(kv) == 0 {
		return s
	}
	pairs := make([]string, 0, len(kv))
	for i := 0; i+1 < len(kv); i += 2 {
		pairs = append(pairs, "{"+kv[i]+"}", kv[i+1])
	}
	return strings.NewReplacer(pairs...).Replace(s)
}

const localeCookie = "cg_lang"

// supported is the locale itself, or the default.
func supported(locale string) string {
	for _, l := range locales {
		if l == locale {
			return l
		}
	}
	return locales[0]
}

// explicitLocale is what ?lang= asks for, "" where it asks for nothing known.
func explicitLocale(r *http.Request) string {
	q := r.URL.Query().Get("lang")
	if _, ok := texts[q]; ok {
		return q
	}
	return ""
}

// baseLocale is the language before anybody is known: ?lang=, then the
// browser's earlier choice, then Accept-Language. identify puts a signed-in
// user's own language before the latter two.
func (s *server) baseLocale(r *http.Request) string {
	if l := explicitLocale(r); l != "" {
		return l
	}
	if c, err := r.Cookie(localeCookie); err == nil {
		if _, ok := texts[c.Value]; ok {
			return c.Value
		}
	}
	_, i := language.MatchStrings(matcher, r.Header.Get("Accept-Language"))
	return locales[i]
}

// rememberLocale keeps the browser's choice for a year; it is no secret.
func (s *server) rememberLocale(w http.ResponseWriter, locale string) {
	http.SetCookie(w, &http.Cookie{Name: localeCookie, Value: locale, Path: "/", MaxAge: 365 * 24 * 3600,
		HttpOnly: true, Secure: s.secure, SameSite: http.SameSiteLaxMode})
}

var months = map[string][]string{
	"en": {"January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"},
	"it": {"gennaio", "febbraio", "marzo", "aprile", "maggio", "giugno", "luglio", "agosto", "settembre", "ottobre", "novembre", "dicembre"},
}

// moment writes a time for people: day, month in words, year, UTC.
func moment(locale string, t time.Time) string {
	t = t.UTC()
	return fmt.Sprintf("%d %s %d, %02d:%02d UTC", t.Day(), months[locale][t.Month()-1], t.Year(), t.Hour(), t.Minute())
}

// countryName is a country's name in a locale; codes of the programme that
// are not ISO's keep the name that the programme gives them.
func countryName(locale, code, english string) string {
	names := display.English.Regions()
	if locale == "it" {
		names = display.Italian.Regions()
	}
	if r, err := language.ParseRegion(code); err == nil {
		if n := names.Name(r); n != "" {
			return n
		}
	}
	if english != "" {
		return english
	}
	return code
}
