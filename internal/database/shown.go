package database

import (
	"slices"
	"strings"

	"github.com/uptrace/bun"
)

// Shown is what is read of rows that are listed many at once: columns, comma
// separated, or all of them where it is empty.
type Shown string

// Columns says which columns fields of the API need.
type Columns struct {
	// Always are those that are read whatever is shown: by which rows are put
	// in order, and by which it is decided who may know of what.
	Always string
	// Of is the column of a field, "" where those that are always read do.
	Of map[string]string
}

// Showing is what has to be read for some fields; one that is not known needs
// everything.
func (c Columns) Showing(fields []string) Shown {
	var columns []string
	for _, f := range fields {
		column, known := c.Of[f]
		if !known {
			return ""
		}
		if column != "" {
			columns = append(columns, column)
		}
	}
	slices.Sort(columns)
	return Shown(strings.Join(append([]string{c.Always}, slices.Compact(columns)...), ","))
}

// Of has a query of a model read what is shown of its table.
func (s Shown) Of(q *bun.SelectQuery, table string) *bun.SelectQuery {
	if s == "" {
		return q.ColumnExpr("?TableColumns")
	}
	for column := range strings.SplitSeq(string(s), ",") {
		q = q.ColumnExpr("?.?", bun.Ident(table), bun.Ident(column))
	}
	return q
}

// With adds a column that is needed beside.
func (s Shown) With(column string) Shown {
	if s == "" || slices.Contains(strings.Split(string(s), ","), column) {
		return s
	}
	return s + Shown(","+column)
}
