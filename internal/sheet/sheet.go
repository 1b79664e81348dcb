// Package sheet reads the tables that people bring in as CSV files, and
// collects all that is wrong with them by line and column. It never knows what
// a table is about, and never keeps or tells a value.
//
// Invariant: whatever is read, nothing panics, and a file of which nothing is
// wrong has lines.
package sheet

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/channelgraph/channelgraph/internal/address"
	"github.com/channelgraph/channelgraph/internal/fault"
)

// Codes of what is wrong with a file as a table.
const (
	CodeNotText       = "FILE_NOT_TEXT"
	CodeMalformed     = "CSV_MALFORMED"
	CodeNoLines       = "CSV_NO_LINES"
	CodeTooManyLines  = "CSV_TOO_MANY_LINES"
	CodeColumnMissing = "COLUMN_MISSING"
	CodeColumnUnknown = "COLUMN_UNKNOWN"
	CodeColumnTwice   = "COLUMN_TWICE"
	CodeCells         = "CELLS_DIFFER"
	CodeLineTwice     = "LINE_TWICE"
)

// Codes are the codes that reading a table and its cells may note.
var Codes = []string{
	CodeNotText, CodeMalformed, CodeNoLines, CodeTooManyLines, CodeColumnMissing, CodeColumnUnknown, CodeColumnTwice, CodeCells, CodeLineTwice,
	fault.CodeRequired, fault.CodeTooLong, fault.CodeControlChars, fault.CodeInvalid,
}

const (
	// MaxLines is the most lines of entries of a file.
	MaxLines = 100_000
	// MaxProblems is how many problems of a file are kept.
	MaxProblems = 1_000
)

// Problem is one thing wrong with a file. It never holds a value of the file,
// which might be a password.
type Problem struct {
	// Line counts the lines of the file from 1; 0 stands for the whole file.
	Line int
	// Column is the name of the column, "" for the whole line.
	Column string
	Code   string
	Params map[string]string
}

// Findings are the problems of a file: the first MaxProblems and a count of
// all.
type Findings struct {
	Kept  []Problem
	Count int
}

// Add notes a problem; further arguments are name, value pairs for the
// sentence.
func (f *Findings) Add(line int, column, code string, params ...string) {
	f.Count++
	if len(f.Kept) >= MaxProblems {
		return
	}
	p := Problem{Line: line, Column: column, Code: code, Params: map[string]string{}}
	for i := 0; i+1 < len(params); i += 2 {
		p.Params[params[i]] = params[i+1]
	}
	f.Kept = append(f.Kept, p)
}

// Sort puts the problems in the order of the file.
func (f *Findings) Sort() {
	slices.SortStableFunc(f.Kept, func(a, b Problem) int { return a.Line - b.Line })
}

// Sheet is what a file looks like: the columns by their names.
type Sheet struct {
	Required, Optional []string
}

// Line is one line of entries.
type Line struct {
	// Number counts the lines of the file from 1.
	Number int
	cells  []string
	at     map[string]int // the place of a column
	under  string
	f      *Findings
}

// NewLine makes a line of cells that do not come from a CSV file, whose
// problems name their columns behind under.
func NewLine(number int, cells map[string]string, under string, f *Findings) *Line {
	l := &Line{Number: number, at: map[string]int{}, under: under, f: f}
	for column, cell := range cells {
		l.at[column] = len(l.cells)
		l.cells = append(l.cells, cell)
	}
	return l
}

// Raw is a cell as it stands, "" for a column that is not there.
func (l *Line) Raw(column string) string {
	if i, ok := l.at[column]; ok {
		return l.cells[i]
	}
	return ""
}

// Bad notes what is wrong with a cell.
func (l *Line) Bad(column, code string, params ...string) {
	l.f.Add(l.Number, l.under+column, code, params...)
}

// Text is a cell as one line of plain text.
func (l *Line) Text(column string, limit int) string {
	s, err := address.Line(l.Raw(column), limit)
	if err != nil {
		p := fault.As(err).Problems[0]
		if p.Code == fault.CodeTooLong {
			l.Bad(column, p.Code, "max", fmt.Sprint(limit))
		} else {
			l.Bad(column, p.Code)
		}
		return ""
	}
	return s
}

// Needed is Text that must not be empty.
func (l *Line) Needed(column string, limit int) string {
	before := l.f.Count
	s := l.Text(column, limit)
	if s == "" && l.f.Count == before {
		l.Bad(column, fault.CodeRequired)
	}
	return s
}

var truths = map[string]bool{
	"true": true, "yes": true, "y": true, "1": true, "si": true, "sì": true, "vero": true,
	"false": false, "no": false, "n": false, "0": false, "falso": false,
}

// Flag is a cell that says yes or no; an empty one says what is usual.
func (l *Line) Flag(column string, usual bool) bool {
	s := strings.ToLower(strings.TrimSpace(l.Raw(column)))
	if s == "" {
		return usual
	}
	v, ok := truths[s]
	if !ok {
		l.Bad(column, fault.CodeInvalid)
	}
	return v
}

// Read takes a CSV file apart: UTF-8 with or without a byte order mark, comma
// or semicolon (what the header has more of), quoted where needed (RFC 4180),
// any line end, columns by the names in the first line in any order and case.
// Empty lines do not count. What cannot be read is noted in f.
func (s Sheet) Read(content []byte, f *Findings) []*Line {
	content = bytes.TrimPrefix(content, []byte("\ufeff"))
	if at := invalidUTF8(content); at >= 0 {
		f.Add(1+bytes.Count(content[:at], []byte("\n")), "", CodeNotText)
		return nil
	}
	r := csv.NewReader(bytes.NewReader(content))
	r.FieldsPerRecord = -1
	r.Comma = separator(content)
	header, err := r.Read()
	if err != nil {
		code := CodeMalformed
		if errors.Is(err, io.EOF) {
			code = CodeNoLines
		}
		f.Add(0, "", code)
		return nil
	}
	at := s.columns(header, f)
	if f.Count > 0 {
		return nil
	}
	var out []*Line
	for {
		cells, err := r.Read()
		var broken *csv.ParseError
		switch {
		case errors.Is(err, io.EOF):
			if len(out) == 0 && f.Count == 0 {
				f.Add(0, "", CodeNoLines)
			}
			return out
		case errors.As(err, &broken):
			f.Add(broken.StartLine, "", CodeMalformed)
			continue
		case err != nil: // a reader of bytes has no other
			f.Add(0, "", CodeMalformed)
			return out
		}
		number, _ := r.FieldPos(0)
		switch {
		case !slices.ContainsFunc(cells, func(c string) bool { return c != "" }):
			continue
		case len(cells) != len(header):
			f.Add(number, "", CodeCells, "want", fmt.Sprint(len(header)), "got", fmt.Sprint(len(cells)))
			continue
		case len(out) == MaxLines:
			f.Add(number, "", CodeTooManyLines, "max", fmt.Sprint(MaxLines))
			return out
		}
		out = append(out, &Line{Number: number, cells: cells, at: at, f: f})
	}
}

// columns finds the place of each column.
func (s Sheet) columns(header []string, f *Findings) map[string]int {
	at := map[string]int{}
	for i, name := range header {
		column := strings.ReplaceAll(strings.ToLower(strings.TrimSpace(name)), " ", "_")
		_, twice := at[column]
		switch {
		case twice:
			f.Add(1, column, CodeColumnTwice)
		case !slices.Contains(s.Required, column) && !slices.Contains(s.Optional, column):
			f.Add(1, shown(name), CodeColumnUnknown)
		}
		at[column] = i
	}
	for _, column := range s.Required {
		if _, ok := at[column]; !ok {
			f.Add(1, column, CodeColumnMissing)
		}
	}
	return at
}

// shown is as much of an unknown column's name as can be told.
func shown(name string) string {
	if r := []rune(name); len(r) > 40 {
		name = string(r[:40]) + "…"
	}
	if s, err := address.Line(name, 50); err == nil {
		return s
	}
	return "?"
}

// separator tells what stands between the cells of the first line.
func separator(content []byte) rune {
	commas, semicolons, quoted := 0, 0, false
	for _, c := range content {
		switch {
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == ',':
			commas++
		case c == ';':
			semicolons++
		case c == '\n' && commas+semicolons > 0:
			if semicolons > commas {
				return ';'
			}
			return ','
		}
	}
	if semicolons > commas {
		return ';'
	}
	return ','
}

// invalidUTF8 is where a text stops being UTF-8, -1 where it does not. A zero
// byte, which UTF-16 is full of, counts as such a place.
func invalidUTF8(b []byte) int {
	for i := 0; i < len(b); {
		if b[i] < utf8.RuneSelf {
			if b[i] == 0 {
				return i
			}
			i++
			continue
		}
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n <= 1 {
			return i
		}
		i += n
	}
	return -1
}
