package sheet

import (
	"encoding/csv"
	"io"
	"strings"
)

// WriteCSV writes lines as RFC 4180 has them. A cell that a spreadsheet would
// take for a formula begins with an apostrophe.
func WriteCSV(out io.Writer, lines [][]string) error {
	w := csv.NewWriter(out)
	w.UseCRLF = true
	for _, line := range lines {
		for i, cell := range line {
			line[i] = tame(cell)
		}
		if err := w.Write(line); err != nil {
			return err
		}
	}
	w.Flush()
	return w.Error()
}

func tame(cell string) string {
	// The wide forms are what East Asian keyboards type; spreadsheets heed them.
	if i := strings.IndexAny(cell, "=+-@\t\r\n＝＋－＠"); i == 0 {
		return "'" + cell
	}
	return cell
}
