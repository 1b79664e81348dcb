package web

import (
	"bytes"
	"mime"
	"net/http"
	"strconv"

	"github.com/channelgraph/channelgraph/internal/ident"
)

// importReport gives what was wrong with the file of an import as CSV, by
// session or personal token.
func (s *server) importReport(w http.ResponseWriter, r *http.Request, v *visit) error {
	if r.Method != http.MethodGet { // a look at the headers is no download
		w.Header().Set("Allow", http.MethodGet)
		return errMethod
	}
	var b bytes.Buffer // a thousand lines at most
	name, err := s.Register.Report(r.Context(), v.actor, ident.ID(r.PathValue("id")), &b)
	if err != nil {
		return err
	}
	h := w.Header() // no-store is the chain's
	h.Set("Content-Type", "text/csv; charset=utf-8; header=present")
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": name}))
	h.Set("Content-Length", strconv.Itoa(b.Len()))
	s.stream(w, r, &b)
	return nil
}
