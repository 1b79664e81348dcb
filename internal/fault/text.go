package fault

import (
	"embed"
	"encoding/json"
	"fmt"
	"strings"
)

//go:embed text.*.json
var texts embed.FS

var catalogue = map[string]map[string]string{"en": load("en"), "it": load("it")}

func load(locale string) map[string]string {
	b, err := texts.ReadFile("text." + locale + ".json")
	if err != nil {
		panic(err)
	}
	m := map[string]string{}
	if err := json.Unmarshal(b, &m); err != nil {
		panic(fmt.Sprintf("fault text %s: %v", locale, err))
	}
	return m
}

// Text is the sentence for a code in a locale ("en", "it"), with {name}
// placeholders filled from params. Unknown locales read English; an unknown
// code reads as the code itself, which a test forbids for published codes.
func Text(locale, code string, params map[string]string) string {
	m := catalogue[locale]
	if m == nil {
		m = catalogue["en"]
	}
	s, ok := m[code]
	if !ok {
		return code
	}
	for k, v := range params {
		s = strings.ReplaceAll(s, "{"+k+"}", v)
	}
	return s
}

// HasText reports whether a code has its own sentence in every locale.
func HasText(code string) bool {
	for _, m := range catalogue {
		if _, ok := m[code]; !ok {
			return false
		}
	}
	return true
}
