package web

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/file"
	"github.com/channelgraph/channelgraph/internal/ident"
)

// Bounds of an upload, which replace the server's own time to read a request:
// each piece of it has so long to come, and the whole so long.
const (
	uploadPause = 15 * time.Second
	uploadTime  = 5 * time.Minute
	// uploadsAtOnce is how many bodies one person may have us hold.
	uploadsAtOnce = 4
)

var (
	errCutShort   = &requestError{status: http.StatusRequestTimeout, code: "BODY_INCOMPLETE"}
	errManyBodies = &requestError{status: http.StatusTooManyRequests, code: fault.CodeRateLimited, after: 5 * time.Second}
)

// uploadFile keeps the body as a file: ?purpose= says what for, and ?name= or
// the header Content-Disposition how it is called. What it is says the content
// alone, whatever Content-Type claims.
func (s *server) uploadFile(w http.ResponseWriter, r *http.Request, v *visit) error {
	purpose := file.Purpose(r.URL.Query().Get("purpose"))
	f, err := s.receive(w, r, v.actor, purpose)
	s.metrics.uploaded(purpose, err)
	if err != nil {
		return err
	}
	w.Header().Set("Location", f.Path())
	writeJSON(w, http.StatusCreated, map[string]any{"id": f.ID, "name": f.Name, "mediaType": f.MediaType, "size": f.Size, "sha256": f.SHA256})
	return nil
}

// receive reads and keeps a body. Nothing is read for who may not upload.
func (s *server) receive(w http.ResponseWriter, r *http.Request, actor access.Actor, purpose file.Purpose) (*file.File, error) {
	if err := purpose.MayUpload(actor); err != nil {
		return nil, err
	}
	if strings.HasPrefix(strings.ToLower(r.Header.Get("Content-Type")), "multipart/") {
		return nil, errMediaType // the parts and their borders would become the file
	}
	most := int64(purpose.MaxSize())
	if r.ContentLength > most {
		return nil, errTooLarge
	}
	leave, ok := s.uploads.enter(actor.UserID)
	if !ok {
		return nil, errManyBodies
	}
	defer leave()
	reply := http.NewResponseController(w)
	content, err := io.ReadAll(&unhurried{http.MaxBytesReader(w, r.Body, most), reply, time.Now().Add(uploadTime)})
	// From here on the times of a page hold again; not every ResponseWriter
	// knows them.
	_ = reply.SetReadDeadline(time.Now().Add(pageDeadline))
	_ = reply.SetWriteDeadline(time.Now().Add(pageDeadline))
	if err != nil {
		return nil, bodyError(err, errCutShort)
	}
	return s.File.Upload(r.Context(), actor, file.UploadInput{Purpose: purpose, Name: nameOf(r), Content: content})
}

// nameOf is what the caller calls the file, "" where it has no name.
func nameOf(r *http.Request) string {
	if q := r.URL.Query(); q.Has("name") {
		return q.Get("name")
	}
	_, params, err := mime.ParseMediaType(r.Header.Get("Content-Disposition"))
	if err != nil {
		return ""
	}
	return params["filename"]
}

// unhurried gives each piece of a long body the time that a whole request has
// elsewhere.
type unhurried struct {
	from  io.Reader
	reply *http.ResponseController
	until time.Time
}

func (u *unhurried) Read(b []byte) (int, error) {
	next := time.Now().Add(uploadPause)
	if next.After(u.until) {
		next = u.until
	}
	_ = u.reply.SetReadDeadline(next) // not every ResponseWriter knows it
	return u.from.Read(b)
}

// bodies counts who has how many long bodies on the way to us.
type bodies struct {
	mu  sync.Mutex
	now map[ident.ID]int
}

// enter counts one more, unless the person has enough of them; leave ends it.
func (b *bodies) enter(user ident.ID) (leave func(), ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.now[user] >= uploadsAtOnce {
		return nil, false
	}
	if b.now == nil {
		b.now = map[ident.ID]int{}
	}
	b.now[user]++
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.now[user]--; b.now[user] == 0 {
			delete(b.now, user)
		}
	}, true
}

// downloadFile streams a file to those who may see it, by session or personal
// token, never to be shown in place. What is absent and what is hidden answer
// alike.
func (s *server) downloadFile(w http.ResponseWriter, r *http.Request, v *visit) error {
	if r.Method != http.MethodGet { // the opening is recorded; a look at the headers is none
		w.Header().Set("Allow", http.MethodGet)
		return errMethod
	}
	d, err := s.File.Open(r.Context(), v.actor, ident.ID(r.PathValue("id")))
	if err != nil {
		return err
	}
	h := w.Header() // no-store and nosniff are the chain's
	h.Set("Content-Type", d.File.ContentType())
	h.Set("Content-Disposition", attachment(d.File.Name))
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Content-Length", strconv.Itoa(d.File.Size))
	s.stream(w, r, d)
	return nil
}

// attachment is a Content-Disposition that saves under a name (RFC 6266): as
// it is (RFC 8187), and before that in ASCII for those who read no other.
func attachment(name string) string {
	var plain, coded strings.Builder
	exact := true
	for _, c := range name {
		if c < ' ' || c > '~' || strings.ContainsRune(`"\%`, c) {
			c, exact = '_', false
		}
		plain.WriteRune(c)
	}
	header := `attachment; filename="` + plain.String() + `"`
	if exact {
		return header
	}
	for _, c := range []byte(name) {
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!#$&+-.^_`|~", c) >= 0 {
			coded.WriteByte(c)
		} else {
			fmt.Fprintf(&coded, "%%%02X", c)
		}
	}
	return header + `; filename*=UTF-8''` + coded.String()
}

// uploadOutcome sorts uploads for the metrics.
func uploadOutcome(err error) string {
	var req *requestError
	switch {
	case err == nil:
		return "stored"
	case errors.Is(err, errTooLarge), fault.Is(err, file.CodeTooLarge):
		return "too_large"
	case errors.Is(err, errCutShort):
		return "cut_short"
	case fault.As(err) != nil, errors.As(err, &req):
		return "refused"
	}
	return "failed"
}
