package sheet

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

var things = Sheet{Required: []string{"name", "count"}, Optional: []string{"open"}}

// read tells the cells and problems of a file.
func read(content string) string {
	f := &Findings{}
	var out []string
	for _, l := range things.Read([]byte(content), f) {
		out = append(out, fmt.Sprintf("%d %s|%s|%t", l.Number, l.Needed("name", 5), l.Raw("count"), l.Flag("open", true)))
	}
	f.Sort()
	for _, p := range f.Kept {
		if !slices.Contains(Codes, p.Code) {
			out = append(out, "an unlisted code:")
		}
		out = append(out, fmt.Sprintf("!%d %s %s", p.Line, p.Column, p.Code))
	}
	return strings.Join(out, "; ")
}

// The register's tests go through every form of file; these hold what both
// readers of tables count on.
func TestRead(t *testing.T) {
	t.Parallel()
	for content, want := range map[string]string{
		"name,count\na,1\n\n b ,2":          "2 a|1|true; 4 b|2|true",
		"\ufeffOpen;COUNT;Name\nno;1;\"a\"": "2 a|1|false",
		"name,count\n,1\nlonger,2\n":        "2 |1|true; 3 |2|true; !2 name REQUIRED; !3 name TOO_LONG",
		"name,count,open\na,1,perhaps\n":    "2 a|1|false; !2 open INVALID",
		"name,count\na\u202eb,1\na\n":       "2 |1|true; !2 name CONTROL_CHARACTERS; !3  CELLS_DIFFER",
		"name,size,name\n":                  "!1 size COLUMN_UNKNOWN; !1 name COLUMN_TWICE; !1 count COLUMN_MISSING",
		"name,count\n\"a,1\n":               "!2  CSV_MALFORMED",
		"name,count\n":                      "!0  CSV_NO_LINES",
		"na\xff":                            "!1  FILE_NOT_TEXT",
	} {
		if got := read(content); got != want {
			t.Errorf("%q:\n got %s\nwant %s", content, got, want)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte("name,count\na,1\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		found := &Findings{}
		if lines := things.Read(content, found); len(lines) == 0 && found.Count == 0 {
			t.Error("nothing was read and nothing said")
		}
	})
}
