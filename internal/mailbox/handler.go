package mailbox

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

//go:embed pages
var pageFiles embed.FS

var pages = template.Must(template.New("").Funcs(template.FuncMap{
	"w": func(p *page, key string) string { return words[p.Lang][key] },
	"when": func(p *page, t time.Time) string {
		if t.IsZero() {
			return ""
		}
		t = t.UTC()
		return fmt.Sprintf("%d %s %d, %s UTC", t.Day(), monthNames[p.Lang][t.Month()-1], t.Year(), t.Format("15:04"))
	},
	"size": func(n int) string {
		if n < 1024 {
			return strconv.Itoa(n) + " B"
		}
		return strconv.Itoa((n+512)/1024) + " KB"
	},
	"excerpt": func(i Item) string {
		s := strings.Join(strings.Fields(i.Text), " ")
		if r := []rune(s); len(r) > 140 {
			return string(r[:140]) + "…"
		}
		return s
	},
	"join": strings.Join,
}).ParseFS(pageFiles, "pages/*.html"))

// page is what a page shows.
type page struct {
	Lang, Prefix, To, Search, View, Done string
	Items                                []Item
	Item                                 Item
	Recipients                           []recipient
	Total                                int
	Source                               string
	Here                                 string
	Fault                                Fault
	CanBounce                            bool
}

type recipient struct {
	Address string
	Count   int
}

// Query is the page's own address with another query.
func (p *page) Query(kv ...string) string {
	v := url.Values{}
	for i := 0; i+1 < len(kv); i += 2 {
		if kv[i+1] != "" {
			v.Set(kv[i], kv[i+1])
		}
	}
	if len(v) == 0 {
		return p.Here
	}
	return p.Here + "?" + v.Encode()
}

const (
	pagePolicy = "default-src 'none'; style-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
	// bodyPolicy is for the mail itself: no script, no request, and an origin
	// of its own also when it is opened outside of its frame.
	bodyPolicy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'; sandbox allow-popups allow-popups-to-escape-sandbox"
	langCookie = "cg_mailbox_lang"
)

// Handler serves the pages under a prefix such as /dev/mailbox/. Who may read
// them is decided by whoever mounts it.
func (m *Mailbox) Handler(prefix string) http.Handler {
	prefix = "/" + strings.Trim(prefix, "/") + "/"
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+prefix+"{$}", func(w http.ResponseWriter, r *http.Request) { m.index(w, r, prefix) })
	mux.HandleFunc("GET "+prefix+"m/{id}", func(w http.ResponseWriter, r *http.Request) { m.show(w, r, prefix) })
	mux.HandleFunc("GET "+prefix+"m/{id}/body", m.body)
	mux.HandleFunc("GET "+prefix+"m/{id}/raw", m.raw)
	mux.HandleFunc("GET "+prefix+"style.css", func(w http.ResponseWriter, _ *http.Request) {
		css, _ := pageFiles.ReadFile("pages/style.css")
		w.Header().Set("Content-Type", "text/css; charset=utf-8")
		_, _ = w.Write(css)
	})
	done := func(w http.ResponseWriter, r *http.Request, to, what string, err error) {
		if err != nil {
			slog.WarnContext(r.Context(), "mailbox", "act", what, "error", err)
			what = "failed"
		}
		http.Redirect(w, r, to+"?done="+what, http.StatusSeeOther)
	}
	mux.HandleFunc("POST "+prefix+"clear", func(w http.ResponseWriter, r *http.Request) { done(w, r, prefix, "cleared", m.Clear()) })
	mux.HandleFunc("POST "+prefix+"m/{id}/delete", func(w http.ResponseWriter, r *http.Request) {
		done(w, r, prefix, "deleted", m.Delete(r.PathValue("id")))
	})
	mux.HandleFunc("POST "+prefix+"m/{id}/bounce", func(w http.ResponseWriter, r *http.Request) {
		id := r.PathValue("id")
		if _, _, ok := m.find(id); !ok {
			http.NotFound(w, r)
			return
		}
		done(w, r, prefix+"m/"+url.PathEscape(id), "bounced", m.Bounce(r.Context(), id))
	})
	return guarded(mux)
}

// JSON lists the mailbox, newest first, as {"mails": [Item …]}; DELETE clears
// it. The query may hold to (one address), subject (a part of it) and since
// (a moment as RFC 3339, or the id of a mail after which to list).
func (m *Mailbox) JSON() http.Handler {
	return guarded(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodGet, http.MethodHead:
			q := r.URL.Query()
			items, err := filter(m.List(), q.Get("to"), q.Get("subject"), q.Get("since"))
			if err != nil {
				answer(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
				return
			}
			answer(w, http.StatusOK, map[string]any{"mails": items})
		case http.MethodDelete:
			if err := m.Clear(); err != nil {
				answer(w, http.StatusInternalServerError, map[string]string{"error": "the mailbox could not be cleared"})
				return
			}
			w.WriteHeader(http.StatusNoContent)
		default:
			refuse(w, "GET, HEAD, DELETE")
		}
	}))
}

// FaultsHandler programs the next deliveries: POST {"mode": "tempfail",
// "times": 2}; it answers with what is programmed, as GET does.
func (m *Mailbox) FaultsHandler() http.Handler {
	return guarded(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodGet, http.MethodHead:
		case http.MethodPost:
			var f Fault
			dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, 4096))
			dec.DisallowUnknownFields()
			err := dec.Decode(&f)
			if err == nil {
				err = m.SetFault(f)
			}
			if err != nil {
				answer(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
				return
			}
		default:
			refuse(w, "GET, HEAD, POST")
			return
		}
		answer(w, http.StatusOK, m.Fault())
	}))
}

func refuse(w http.ResponseWriter, allow string) {
	w.Header().Set("Allow", allow)
	answer(w, http.StatusMethodNotAllowed, map[string]string{"error": "this method is not known here"})
}

// guarded keeps other sites from acting here and everybody from caching.
func guarded(next http.Handler) http.Handler {
	return http.NewCrossOriginProtection().Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Content-Security-Policy", pagePolicy)
		next.ServeHTTP(w, r)
	}))
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v)
}

func filter(items []Item, to, subject, since string) ([]Item, error) {
	var after time.Time
	if since != "" {
		if i := slices.IndexFunc(items, func(i Item) bool { return i.ID == since }); i >= 0 {
			items = items[:i] // newest first
		} else if t, err := time.Parse(time.RFC3339Nano, since); err == nil {
			after = t
		} else {
			return nil, fmt.Errorf("since is neither a moment nor the id of a mail")
		}
	}
	out := []Item{}
	for _, i := range items {
		if to != "" && !slices.ContainsFunc(i.To, func(a string) bool { return strings.EqualFold(a, to) }) ||
			subject != "" && !has(i.Subject, subject) || !i.Received.After(after) && !after.IsZero() {
			continue
		}
		out = append(out, i)
	}
	return out, nil
}

func has(s, part string) bool { return strings.Contains(strings.ToLower(s), strings.ToLower(part)) }

func (m *Mailbox) index(w http.ResponseWriter, r *http.Request, prefix string) {
	q := r.URL.Query()
	p := m.page(w, r, prefix)
	p.To, p.Search = q.Get("to"), strings.TrimSpace(q.Get("q"))
	all := m.List()
	counts := map[string]int{}
	for _, i := range all {
		for _, a := range i.To {
			counts[strings.ToLower(a)]++
		}
	}
	for _, a := range slices.Sorted(maps.Keys(counts)) {
		p.Recipients = append(p.Recipients, recipient{a, counts[a]})
	}
	p.Total = len(all)
	items, _ := filter(all, p.To, "", "")
	for _, i := range items {
		if p.Search == "" || has(i.Subject, p.Search) || has(i.Text, p.Search) || has(strings.Join(i.To, " ")+" "+i.From, p.Search) {
			p.Items = append(p.Items, i)
		}
	}
	render(w, http.StatusOK, "list.html", p)
}

func (m *Mailbox) show(w http.ResponseWriter, r *http.Request, prefix string) {
	p := m.page(w, r, prefix)
	var raw []byte
	var ok bool
	if p.Item, raw, ok = m.find(r.PathValue("id")); !ok {
		p.Here = prefix
		render(w, http.StatusNotFound, "missing.html", p)
		return
	}
	p.View, p.CanBounce = r.URL.Query().Get("view"), m.bounce != nil
	if !slices.Contains([]string{"html", "text", "headers", "source"}, p.View) {
		p.View = "html"
		if p.Item.HTML == "" {
			p.View = "text"
		}
	}
	if p.View == "source" {
		p.Source = strings.ToValidUTF8(string(raw), "\uFFFD")
	}
	render(w, http.StatusOK, "mail.html", p)
}

// body is the HTML part, for the frame. Links in it open beside it.
func (m *Mailbox) body(w http.ResponseWriter, r *http.Request) {
	item, _, ok := m.find(r.PathValue("id"))
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Security-Policy", bodyPolicy)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write([]byte(strings.Replace(item.HTML, "<head>", `<head><base target="_blank">`, 1)))
}

func (m *Mailbox) raw(w http.ResponseWriter, r *http.Request) {
	_, raw, ok := m.find(r.PathValue("id"))
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Disposition", `attachment; filename="mail.eml"`)
	_, _ = w.Write(raw)
}

func (m *Mailbox) page(w http.ResponseWriter, r *http.Request, prefix string) *page {
	p := &page{Lang: language(r), Prefix: prefix, Here: r.URL.Path, Done: r.URL.Query().Get("done"), Fault: m.Fault()}
	if _, ok := words[p.Lang]["done-"+p.Done]; !ok {
		p.Done = ""
	}
	if r.URL.Query().Get("lang") == p.Lang {
		http.SetCookie(w, &http.Cookie{Name: langCookie, Value: p.Lang, Path: prefix, HttpOnly: true, SameSite: http.SameSiteLaxMode, MaxAge: 365 * 24 * 3600})
	}
	return p
}

// language is what ?lang= asks for, or did before, or the browser prefers.
func language(r *http.Request) string {
	if l := r.URL.Query().Get("lang"); words[l] != nil {
		return l
	}
	if c, err := r.Cookie(langCookie); err == nil && words[c.Value] != nil {
		return c.Value
	}
	for part := range strings.SplitSeq(r.Header.Get("Accept-Language"), ",") {
		tag, _, _ := strings.Cut(strings.TrimSpace(part), ";")
		tag, _, _ = strings.Cut(strings.ToLower(tag), "-")
		if words[tag] != nil {
			return tag
		}
	}
	return "en"
}

func render(w http.ResponseWriter, status int, name string, p *page) {
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, name, p); err != nil {
		slog.Error("mailbox page", "page", name, "error", err)
		http.Error(w, "this page could not be made", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = b.WriteTo(w)
}
