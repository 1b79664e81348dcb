package web

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strconv"
	"time"

	"github.com/channelgraph/channelgraph/internal/ident"
)

// exportFile streams the file of an export to the person who asked for it, by
// session or personal token. What is absent and what is another's answer
// alike.
func (s *server) exportFile(w http.ResponseWriter, r *http.Request, v *visit) error {
	if r.Method != http.MethodGet { // a look at the headers is no download
		w.Header().Set("Allow", http.MethodGet)
		return errMethod
	}
	id := ident.ID(r.PathValue("id"))
	open := s.Audit.OpenExport
	if id.Is(ident.CustomerExport) && s.Customer != nil {
		open = s.Customer.OpenExport
	}
	file, err := open(r.Context(), v.actor, id)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	h := w.Header() // no-store is the chain's
	h.Set("Content-Type", file.ContentType())
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": file.Export.FileName()}))
	h.Set("Content-Length", strconv.FormatInt(file.Export.Bytes, 10))
	s.stream(w, r, file)
	return nil
}

// stream writes a file of which the headers tell the rest.
func (s *server) stream(w http.ResponseWriter, r *http.Request, file io.Reader) {
	if _, err := io.Copy(&patient{w, http.NewResponseController(w)}, file); err != nil {
		if r.Context().Err() == nil && !errors.Is(err, errSlow) {
			s.Log.LogAttrs(r.Context(), slog.LevelError, "a download broke off", slog.String("request_id", visitOf(r).id), slog.Any("error", err))
		}
		panic(http.ErrAbortHandler) // half a file is out; cut the connection
	}
}

// errSlow says that the caller took no bytes, or has gone.
var errSlow = errors.New("the caller did not take the file")

// patient gives each piece of a long reply the time that a page has as a
// whole.
type patient struct {
	to    io.Writer
	reply *http.ResponseController
}

func (p *patient) Write(b []byte) (int, error) {
	_ = p.reply.SetWriteDeadline(time.Now().Add(pageDeadline)) // not every ResponseWriter knows it
	n, err := p.to.Write(b)
	if err != nil {
		err = fmt.Errorf("%w: %w", errSlow, err)
	}
	return n, err
}
