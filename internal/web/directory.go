package web

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/text/collate"
	xlanguage "golang.org/x/text/language"

	"github.com/channelgraph/channelgraph/internal/address"
	"github.com/channelgraph/channelgraph/internal/directory"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/file"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/page"
	"github.com/channelgraph/channelgraph/internal/region"
)

const directoryPath = "/directory"

// directoryPage is how many cards the page shows.
const directoryPage = 24

func (s *server) directoryRoutes() {
	s.page("GET "+directoryPath, s.directory)
	s.page("GET "+directoryPath+"/logos/{id}", s.logo)
}

type directoryData struct {
	Regions, Countries      []option
	Region, Country, Search string
	Narrowed                bool
	Count                   string
	Cards                   []directoryCard
	Previous, Next          string
}

// directoryCard is one location as people read it.
type directoryCard struct {
	Name, Place, Logo, Initial string
	// Target is where the card leads, Host how that is shown.
	Target, Host string
}

// look is what a person asked the directory for; unknown parameters count for
// nothing.
func look(q url.Values) url.Values {
	out := url.Values{}
	for _, name := range []string{"region", "country", "q", "after", "before"} {
		if v := strings.TrimSpace(q.Get(name)); v != "" {
			out.Set(name, v)
		}
	}
	if out.Has("after") {
		out.Del("before")
	}
	return out
}

// directory is the public page "find a provider". It needs no script, and
// whoever has it already is told so until the directory changes.
func (s *server) directory(w http.ResponseWriter, r *http.Request, v *visit) error {
	at, err := s.Directory.State(r.Context())
	if err != nil {
		return err
	}
	asked := look(r.URL.Query())
	h := w.Header()
	h.Set("Vary", "Cookie, Accept-Language")
	h.Set("Cache-Control", "public, no-cache") // kept by anybody, and asked for every time
	if !v.actor.IsAnonymous() || explicitLocale(r) != "" {
		h.Set("Cache-Control", "private, no-cache")
	}
	if unchanged(w, r, fmt.Sprint(at.Version), v.locale, string(v.actor.UserID), v.actor.Name, asked.Encode(), explicitLocale(r)) {
		return nil
	}
	p, err := s.directoryView(r, v, asked)
	if err != nil {
		h.Del("ETag")
		h.Set("Cache-Control", "no-store")
		return err
	}
	return s.show(w, r, http.StatusOK, "directory", p)
}

func (s *server) directoryView(r *http.Request, v *visit, asked url.Values) (*view, error) {
	d := &directoryData{Region: asked.Get("region"), Country: strings.ToUpper(asked.Get("country")), Search: asked.Get("q")}
	d.Narrowed = d.Region+d.Country+d.Search != ""
	d.Regions, d.Countries = regionOptions(v.locale), countryOptions(v.locale)
	d.Countries[0].Label = text(v.locale, "directory.anyCountry")
	var f directory.DirectoryFilter
	if d.Region != "" {
		code := region.Code(d.Region)
		f.Region = &code
	}
	if d.Country != "" {
		f.Country = &d.Country
	}
	if d.Search != "" {
		f.Search = &d.Search
	}
	size := directoryPage
	args := page.Args{First: &size}
	if c := asked.Get("after"); c != "" {
		args.After = &c
	} else if c := asked.Get("before"); c != "" {
		args = page.Args{Last: &size, Before: &c}
	}
	found, err := s.Directory.Cards(r.Context(), args, f)
	if err != nil {
		return nil, err
	}
	n, err := found.TotalCount(r.Context())
	if err != nil {
		return nil, err
	}
	switch {
	case n.Precision == page.AtLeast:
		d.Count = text(v.locale, "directory.count.atLeast", "count", strconv.Itoa(n.Value))
	case n.Value == 1:
		d.Count = text(v.locale, "directory.count.one")
	default:
		d.Count = text(v.locale, "directory.count.many", "count", strconv.Itoa(n.Value))
	}
	for _, l := range found.Nodes() {
		d.Cards = append(d.Cards, cardOf(v.locale, l))
	}
	to := func(name string, cursor *string, there bool) string {
		if !there || cursor == nil {
			return ""
		}
		q := url.Values{}
		for k, v := range asked {
			if k != "after" && k != "before" {
				q[k] = v
			}
		}
		q.Set(name, *cursor)
		return directoryPath + "?" + q.Encode()
	}
	d.Previous, d.Next = to("before", found.PageInfo.StartCursor, found.PageInfo.HasPreviousPage), to("after", found.PageInfo.EndCursor, found.PageInfo.HasNextPage)
	return &view{Title: text(v.locale, "directory.title"), Here: "directory", Code: asked.Encode(), Data: d}, nil
}

func cardOf(locale string, l *directory.Location) directoryCard {
	country, area := place(locale, l.Country, l.Region)
	if area != country { // some regions are one country
		country += " · " + area
	}
	out := directoryCard{Name: l.CompanyName, Place: country, Logo: l.LogoPath(), Target: l.TargetURL, Host: l.TargetURL}
	if u, err := url.Parse(l.TargetURL); err == nil {
		out.Host = address.Unicode(u.Host)
	}
	for _, c := range l.CompanyName {
		out.Initial = strings.ToUpper(string(c))
		break
	}
	return out
}

// regionOptions are the regions by their name in the locale.
func regionOptions(locale string) []option {
	out := []option{{"", text(locale, "directory.anyRegion")}}
	for _, r := range region.All() {
		out = append(out, option{string(r.Code), text(locale, "region."+string(r.Code))})
	}
	c := collate.New(xlanguage.Make(locale))
	slices.SortFunc(out[1:], func(a, b option) int { return c.CompareString(a.Label, b.Label) })
	return out
}

// logoTypes are the only ones that a logo is served as, whatever a row says.
var logoTypes = []string{file.PNG, file.JPEG, file.GIF}

// logo serves the logo of a card that the public sees.
func (s *server) logo(w http.ResponseWriter, r *http.Request, _ *visit) error {
	d, err := s.Directory.OpenLogo(r.Context(), ident.ID(r.PathValue("id")))
	if err != nil {
		return err
	}
	if !slices.Contains(logoTypes, d.File.MediaType) {
		return fault.NotFound("id")
	}
	h := w.Header() // nosniff is the chain's
	h.Set("Cache-Control", "public, no-cache")
	h.Set("Content-Type", d.File.MediaType)
	h.Set("Content-Disposition", "inline")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin") // other sites list our providers too
	if unchanged(w, r, d.File.SHA256) {
		return nil
	}
	h.Set("Content-Length", strconv.Itoa(d.File.Size))
	if r.Method == http.MethodHead {
		return nil
	}
	s.stream(w, r, d)
	return nil
}

// edition tells one build's pages from another's.
var edition = func() string {
	sum := sha256.New()
	for _, files := range []fs.FS{templateFiles, textFiles, staticFiles} {
		_ = fs.WalkDir(files, ".", func(path string, e fs.DirEntry, err error) error {
			if err == nil && !e.IsDir() {
				b, _ := fs.ReadFile(files, path) // embedded: it is there
				_, _ = sum.Write(b)
			}
			return nil
		})
	}
	return hex.EncodeToString(sum.Sum(nil))
}()

// unchanged gives a reply its ETag, made of what it depends on, and answers
// 304 where the caller has just that.
func unchanged(w http.ResponseWriter, r *http.Request, of ...string) bool {
	sum := sha256.Sum256([]byte(strings.Join(append(of, edition), "\x00")))
	tag := `"` + hex.EncodeToString(sum[:16]) + `"`
	w.Header().Set("ETag", tag)
	for known := range strings.SplitSeq(r.Header.Get("If-None-Match"), ",") {
		if known = strings.TrimPrefix(strings.TrimSpace(known), "W/"); known == tag || known == "*" {
			w.WriteHeader(http.StatusNotModified)
			return true
		}
	}
	return false
}
