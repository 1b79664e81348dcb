package fault

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

const top = "../.."

// takesCode are the functions of this house that are given a code.
var takesCode = map[string]bool{
	"Invalid": true, "Conflict": true, "Forbidden": true, "Add": true, "RetryAfter": true, "RetryFree": true, "GiveUp": true, "bad": true,
}

var codeLike = regexp.MustCompile(`^[A-Z][A-Z0-9]*(_[A-Z0-9]+)*$`)

// codesOf lists the codes that a Go file publishes: the exported constants
// named Code…, what is handed to the functions above, and the next steps.
func codesOf(t *testing.T, path string) map[string]bool {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]bool{}
	add := func(e ast.Expr, like func(string) bool) {
		lit, ok := e.(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			return
		}
		if s, err := strconv.Unquote(lit.Value); err == nil && like(s) {
			out[s] = true
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ValueSpec:
			for i, name := range n.Names {
				if strings.HasPrefix(name.Name, "Code") && len(name.Name) > 4 && i < len(n.Values) {
					add(n.Values[i], func(string) bool { return true })
				}
			}
		case *ast.CallExpr:
			name := ""
			switch fn := n.Fun.(type) {
			case *ast.SelectorExpr:
				name = fn.Sel.Name
			case *ast.Ident:
				name = fn.Name
			}
			for _, a := range n.Args {
				if takesCode[name] {
					add(a, func(s string) bool { return strings.Contains(s, "_") && codeLike.MatchString(s) })
				}
			}
		case ast.Expr:
			add(n, func(s string) bool { return strings.HasPrefix(s, "NEXT_") && codeLike.MatchString(s) })
		}
		return true
	})
	return out
}

var (
	description = regexp.MustCompile(`(?s)""".*?"""|"[^"\n]*"|#[^\n]*`)
	codeEnum    = regexp.MustCompile(`(?s)enum\s+(\w+Code)\b[^{]*\{(.*?)\}`)
)

// published collects every code with one place that it comes from.
func published(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, tree := range []string{"internal", "graph", "workers"} {
		err := filepath.WalkDir(filepath.Join(top, tree), func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir() && (d.Name() == "testdata" || path == filepath.Join(top, "graph", "gen")):
				return fs.SkipDir
			case strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go"):
				for c := range codesOf(t, path) {
					all[c] = path
				}
			case strings.HasSuffix(path, ".graphqls"):
				raw, err := os.ReadFile(path)
				if err != nil {
					return err
				}
				for _, m := range codeEnum.FindAllStringSubmatch(description.ReplaceAllString(string(raw), ""), -1) {
					for _, c := range strings.Fields(m[2]) {
						all[c] = path + " " + m[1]
					}
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func TestEveryCodeHasSentences(t *testing.T) {
	t.Parallel()
	all := published(t)
	if len(all) < 80 || all[CodeNotFound] == "" || all["NEXT_ENROLL"] == "" || all["PAGE_SIZE"] == "" || !strings.Contains(all["INVITATION_PENDING"], ".") {
		t.Errorf("only %d codes were found: the search is broken", len(all))
	}
	for _, c := range slices.Sorted(maps.Keys(all)) {
		if !HasText(c) {
			t.Errorf("%s has no sentence in every language (%s)", c, strings.TrimPrefix(all[c], top+"/"))
		}
	}
}

var placeholder = regexp.MustCompile(`\{\w+\}`)

func TestSentencesAgreeAcrossLanguages(t *testing.T) {
	t.Parallel()
	for code, en := range catalogue["en"] {
		it, ok := catalogue["it"][code]
		if !ok {
			t.Errorf("%s has no Italian sentence", code)
			continue
		}
		if !codeLike.MatchString(code) {
			t.Errorf("%q is no code", code)
		}
		names := func(s string) []string {
			found := placeholder.FindAllString(s, -1)
			sort.Strings(found)
			return slices.Compact(found)
		}
		if a, b := names(en), names(it); !slices.Equal(a, b) {
			t.Errorf("%s: placeholders %v in English, %v in Italian", code, a, b)
		}
		for _, s := range []string{en, it} {
			if s != strings.TrimSpace(s) || !strings.ContainsAny(s[len(s)-1:], ".?!") || strings.ContainsFunc(s, unicode.IsControl) {
				t.Errorf("%s is no sentence: %q", code, s)
			}
		}
		if en == it {
			t.Errorf("%s reads the same in both languages: %q", code, en)
		}
	}
	for code := range catalogue["it"] {
		if _, ok := catalogue["en"][code]; !ok {
			t.Errorf("%s has no English sentence", code)
		}
	}
	for _, locale := range []string{"en", "it"} {
		raw, err := texts.ReadFile("text." + locale + ".json")
		if err != nil {
			t.Fatal(err)
		}
		var keys []string
		for _, m := range regexp.MustCompile(`(?m)^  "([A-Z0-9_]+)":`).FindAllStringSubmatch(string(raw), -1) {
			keys = append(keys, m[1])
		}
		if len(keys) != len(catalogue[locale]) {
			t.Errorf("%s: %d lines for %d codes: one stands twice", locale, len(keys), len(catalogue[locale]))
		}
		if !slices.IsSorted(keys) {
			t.Errorf("%s: the keys are not sorted", locale)
		}
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	if got := Text("en", CodeTooLong, map[string]string{"max": "7"}); !strings.Contains(got, "7") || strings.Contains(got, "{") {
		t.Errorf("got %q", got)
	}
	if Text("it", CodeRequired, nil) == Text("en", CodeRequired, nil) {
		t.Error("Italian reads English")
	}
	if Text("de", CodeRequired, nil) != Text("en", CodeRequired, nil) {
		t.Error("an unknown language does not read English")
	}
	if got := Text("en", "NEVER_HEARD_OF", nil); got != "NEVER_HEARD_OF" || HasText(got) {
		t.Errorf("got %q", got)
	}
}
