package register

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

// findings are the problems of a file: the first ones and a count of all.
type findings struct {
	kept  []*Problem
	count int
}

// add notes a problem; further arguments are name, value pairs for the
// sentence.
func (f *findings) add(line int, column, code string, params ...string) {
	f.count++
	if len(f.kept) >= MaxProblems {
		return
	}
	p := &Problem{Number: f.count, Line: line, Column: column, Code: code, Params: map[string]string{}}
	for i := 0; i+1 < len(params); i += 2 {
		p.Params[params[i]] = params[i+1]
	}
	f.kept = append(f.kept, p)
}

// sort puts the problems in the order of the file.
func (f *findings) sort() {
	slices.SortStableFunc(f.kept, func(a, b *Problem) int { return a.Line - b.Line })
	for i, p := range f.kept {
		p.Number = i + 1
	}
}

// sheet is what a register's file looks like.
type sheet struct {
	required, optional []string
}

// line is one line of entries.
type line struct {
	number int
	cells  []string
	at     map[string]int // the place of a column
	f      *findings
}

// raw is a cell as it stands, "" for a column that is not there.
func (l *line) raw(column string) string {
	if i, ok := l.at[column]; ok {
		return l.cells[i]
	}
	return ""
}

// bad notes what is wrong with a cell.
func (l *line) bad(column, code string, params ...string) { l.f.add(l.number, column, code, params...) }

// text is a cell as one line of plain text.
func (l *line) text(column string, limit int) string {
	s, err := address.Line(l.raw(column), limit)
	if err != nil {
		p := fault.As(err).Problems[0]
		if p.Code == fault.CodeTooLong {
			l.bad(column, p.Code, "max", fmt.Sprint(limit))
		} else {
			l.bad(column, p.Code)
		}
		return ""
	}
	return s
}

// needed is text that must not be empty.
func (l *line) needed(column string, limit int) string {
	before := l.f.count
	s := l.text(column, limit)
	if s == "" && l.f.count == before {
		l.bad(column, fault.CodeRequired)
	}
	return s
}

var truths = map[string]bool{
	"true": true, "yes": true, "y": true, "1": true, "si": true, "sì": true, "vero": true,
	"false": false, "no": false, "n": false, "0": false, "falso": false,
}

// flag is a cell that says yes or no; an empty one says what is usual.
func (l *line) flag(column string, usual bool) bool {
	s := strings.ToLower(strings.TrimSpace(l.raw(column)))
	if s == "" {
		return usual
	}
	v, ok := truths[s]
	if !ok {
		l.bad(column, fault.CodeInvalid)
	}
	return v
}

// read takes a CSV file apart: UTF-8 with or without a byte order mark, comma
// or semicolon (what the header has more of), quoted where needed (RFC 4180),
// any line end, columns by the names in the first line in any order and case.
// Empty lines do not count. What cannot be read is noted in f.
func (s sheet) read(content []byte, f *findings) []*line {
	content = bytes.TrimPrefix(content, []byte("\ufeff"))
	if at := invalidUTF8(content); at >= 0 {
		f.add(1+bytes.Count(content[:at], []byte("\n")), "", CodeNotText)
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
		f.add(0, "", code)
		return nil
	}
	at := s.columns(header, f)
	if f.count > 0 {
		return nil
	}
	var out []*line
	for {
		cells, err := r.Read()
		var broken *csv.ParseError
		switch {
		case errors.Is(err, io.EOF):
			if len(out) == 0 && f.count == 0 {
				f.add(0, "", CodeNoLines)
			}
			return out
		case errors.As(err, &broken):
			f.add(broken.StartLine, "", CodeMalformed)
			continue
		case err != nil: // a reader of bytes has no other
			f.add(0, "", CodeMalformed)
			return out
		}
		number, _ := r.FieldPos(0)
		switch {
		case !slices.ContainsFunc(cells, func(c string) bool { return c != "" }):
			continue
		case len(cells) != len(header):
			f.add(number, "", CodeCells, "want", fmt.Sprint(len(header)), "got", fmt.Sprint(len(cells)))
			continue
		case len(out) == MaxLines:
			f.add(number, "", CodeTooManyLines, "max", fmt.Sprint(MaxLines))
			return out
		}
		out = append(out, &line{number: number, cells: cells, at: at, f: f})
	}
}

// columns finds the place of each column.
func (s sheet) columns(header []string, f *findings) map[string]int {
	at := map[string]int{}
	for i, name := range header {
		column := strings.ReplaceAll(strings.ToLower(strings.TrimSpace(name)), " ", "_")
		_, twice := at[column]
		switch {
		case twice:
			f.add(1, column, CodeColumnTwice)
		case !slices.Contains(s.required, column) && !slices.Contains(s.optional, column):
			f.add(1, shown(name), CodeColumnUnknown)
		}
		at[column] = i
	}
	for _, column := range s.required {
		if _, ok := at[column]; !ok {
			f.add(1, column, CodeColumnMissing)
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
