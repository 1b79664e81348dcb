package web

import (
	"bytes"
	"embed"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/collate"
	xlanguage "golang.org/x/text/language"

	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/region"
)

//go:embed templates/*.html
var templateFiles embed.FS

var templates = parseTemplates()

// parseTemplates makes one set a page: the layout with that page's content.
func parseTemplates() map[string]*template.Template {
	layout := template.Must(template.New("layout.html").ParseFS(templateFiles, "templates/layout.html", "templates/form.html"))
	entries, err := templateFiles.ReadDir("templates")
	if err != nil {
		panic(err)
	}
	out := map[string]*template.Template{}
	for _, e := range entries {
		if name := e.Name(); name != "layout.html" && name != "form.html" {
			out[strings.TrimSuffix(name, ".html")] = template.Must(template.Must(layout.Clone()).ParseFS(templateFiles, "templates/"+name))
		}
	}
	return out
}

// view is what a page is made of. Templates read sentences through T, so that
// every text is in the catalogue.
type view struct {
	Locale string
	Title  string
	// Failed says that the page answers something that went wrong.
	Failed bool
	// Problems are what went wrong, each with the field it is about.
	Problems []problem
	Notice   string
	// Here names the page for the language switch, and Code the code that the
	// switch carries on.
	Here, Code string
	// User is the signed-in person's name, "" for nobody.
	User string
	// Data is the page's own.
	Data any
}

// problem is one thing that went wrong; Field is the id of the form field, or
// "", and Label what that is called.
type problem struct{ Field, Label, Text string }

// labelOf is what a field of the page's form is called, "" where it has none.
func (v *view) labelOf(id string) string {
	var fields []field
	switch d := v.Data.(type) {
	case form:
		fields = d.Fields
	case *linkData:
		if d.Form != nil {
			fields = d.Form.Fields
		}
	}
	for _, f := range fields {
		if f.ID() == id {
			return f.Label
		}
	}
	return ""
}

// T is a sentence of the catalogue.
func (v *view) T(key string, kv ...string) string { return text(v.Locale, key, kv...) }

// Languages are what the page can be switched to.
func (v *view) Languages() []option { return languages }

// Moment writes a time in the page's language.
func (v *view) Moment(t time.Time) string { return moment(v.Locale, t) }

// ISO writes a time for the datetime attribute.
func (v *view) ISO(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// ErrorFor is what is wrong with a field, "" for nothing.
func (v *view) ErrorFor(field string) string {
	for _, p := range v.Problems {
		if p.Field == field {
			return p.Text
		}
	}
	return ""
}

// With lets a template hand itself and something else to another one.
func (v *view) With(data any) pair { return pair{v, data} }

type pair struct {
	View *view
	Data any
}

// languages is the language switch, each named in itself.
var languages = []option{{"en", "English"}, {"it", "Italiano"}}

// form is a form to fill in.
type form struct {
	Action string
	// Code is the link's code, kept in a hidden field and never in a URL.
	Code   string
	Fields []field
	Submit string
	Quiet  bool
}

type field struct {
	Name, Label, Hint, Type, Value, Autocomplete string
	Optional                                     bool
	Options                                      []option
	Focus                                        bool
	// Max is the longest text of an area, 500 characters where it is 0.
	Max int
}

type option struct{ Value, Label string }

// ID is the field's id in the page.
func (f field) ID() string { return "f-" + f.Name }

// show renders a page with a status. The page is complete before its first
// byte leaves, so that a failure can still be answered.
func (s *server) show(w http.ResponseWriter, r *http.Request, status int, name string, p *view) error {
	v := visitOf(r)
	p.Locale = v.locale
	if p.Here == "" {
		p.Here = "home"
	}
	if !v.actor.IsAnonymous() {
		p.User = v.actor.Name
	}
	if explicitLocale(r) != "" && p.User == "" {
		s.rememberLocale(w, v.locale)
	}
	var b bytes.Buffer
	if err := templates[name].ExecuteTemplate(&b, "layout.html", p); err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", p.Locale)
	h.Set("Content-Length", strconv.Itoa(b.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the caller may have gone
	return nil
}

// refuse puts an error into a page that can show it beside its form, and gives
// the status; an error that is not the caller's is handed back.
func (s *server) refuse(w http.ResponseWriter, r *http.Request, p *view, err error) (int, error) {
	f := fault.As(err)
	if f == nil {
		return 0, err
	}
	out := explainFault(visitOf(r).locale, f)
	for _, e := range out.errors {
		id := ""
		if len(e.Path) > 0 && e.Path[0] != "code" && e.Path[0] != "token" { // those two stand in no visible field
			id = "f-" + e.Path[len(e.Path)-1] // forms are flat: address.city is the field city
		}
		p.Problems = append(p.Problems, problem{id, p.labelOf(id), e.Message})
	}
	p.Failed = true
	if out.after > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(out.after.Seconds())+1))
	}
	return out.status, nil
}

// failPage is a failure as a page.
func (s *server) failPage(w http.ResponseWriter, r *http.Request, f failure) {
	v := visitOf(r)
	p := &view{Failed: true, Data: struct {
		Text, Reference string
	}{f.errors[0].Message, v.id}}
	key := "error.title." + strconv.Itoa(f.status)
	if _, ok := texts[v.locale][key]; !ok {
		switch {
		case f.status >= 500:
			key = "error.title.500"
		case f.status == http.StatusUnauthorized:
			key = "error.title.403"
		default:
			key = "error.title.400"
		}
	}
	p.Title = text(v.locale, key)
	if err := s.show(w, r, f.status, "error", p); err != nil {
		s.Log.LogAttrs(r.Context(), slog.LevelError, "rendering the error page", slog.Any("error", err))
		http.Error(w, f.errors[0].Message, f.status)
	}
}

// goTo leads to one of the door's own pages after a form was posted.
func goTo(w http.ResponseWriter, path string) {
	w.Header().Set("Location", path)
	w.WriteHeader(http.StatusSeeOther)
}

// goOnTo lets the browser post the same form to another of the door's pages,
// which is how a code gets there without standing in a URL.
func goOnTo(w http.ResponseWriter, path string) {
	w.Header().Set("Location", path)
	w.WriteHeader(http.StatusTemporaryRedirect)
}

// herePaths are the pages that the language switch may lead back to.
var herePaths = map[string]string{
	"home": "/", "sign-in": "/sign-in", "forgot": "/forgot", "reset": "/l/reset", "join": "/l/join", "setup": "/l/setup",
	"partnership": "/l/partnership", "authorized": "/l/partnership/authorized", "declined": "/l/partnership/declined",
	"waiting": "/l/partnership/waiting", "asked": "/l/partnership/asked",
	"directory": directoryPath, "apply": applyPath, "applied": applyPath + "/sent", "enroll": enrollPath, "verify": verifyPath, "confirmed": verifyPath + "/confirmed", "disowned": verifyPath + "/disowned",
	"support": supportPath, "support-sent": supportPath + "/sent", "support-closed": supportPath + "/closed", "support-reopened": supportPath + "/reopened",
	"customer": customerPath, "customer-accepted": customerPath + "/accepted", "customer-declined": customerPath + "/declined", "customer-asked": customerPath + "/asked",
}

// language switches the language: of the browser, and of the signed-in user.
func (s *server) language(w http.ResponseWriter, r *http.Request, v *visit) error {
	locale := r.PostForm.Get("lang")
	if !slices.Contains(locales, locale) {
		return errBadForm
	}
	here := r.PostForm.Get("page")
	path, ok := herePaths[here]
	if !ok {
		path = "/"
	}
	if !v.actor.IsAnonymous() && v.actor.Locale != locale {
		if _, err := s.Account.UpdateProfile(r.Context(), v.actor, account.UpdateProfileInput{Locale: &locale}); err != nil {
			return err
		}
	}
	s.rememberLocale(w, locale)
	switch id := ident.ID(r.PostForm.Get("code")); here {
	case "directory":
		if q, err := url.ParseQuery(string(id)); err == nil && len(look(q)) > 0 {
			path += "?" + look(q).Encode()
		}
	case "authorized":
		if id.Is(ident.Partnership) {
			path = authorizedPath + string(id)
		}
	case "partnership", "reset", "join", "setup", "enroll", "verify", "support", "customer":
		if id != "" {
			goOnTo(w, path+"/preview")
			return nil
		}
	}
	goTo(w, path)
	return nil
}

// notices are the messages that a redirect may leave on the next page.
var notices = []string{"reset", "join", "setup", "enroll", "forgot", "out", "others"}

func noticeOf(r *http.Request, v *visit) string {
	if n := r.URL.Query().Get("notice"); slices.Contains(notices, n) {
		return text(v.locale, "notice."+n)
	}
	if v.sessionEnded() {
		return text(v.locale, "notice.ended")
	}
	return ""
}

type homeData struct {
	SignedIn          bool
	Organization      *account.Organization
	Kind              string
	Roles             []string
	Email             string
	Sessions          int
	GraphiQL, Mailbox bool
	// Enroll offers a newcomer to enroll its company.
	Enroll bool
	// Directory offers the public directory.
	Directory bool
}

func (s *server) home(w http.ResponseWriter, r *http.Request, v *visit) error {
	d := &homeData{GraphiQL: s.GraphiQL != nil, Mailbox: s.Mailbox != nil, Enroll: s.Enrollment != nil, Directory: s.Directory != nil}
	p := &view{Title: text(v.locale, "home.title"), Notice: noticeOf(r, v), Data: d}
	if v.actor.IsAnonymous() {
		return s.show(w, r, http.StatusOK, "home", p)
	}
	org, err := s.organization(r, v.actor)
	if err != nil {
		return err
	}
	sessions, err := s.Account.ListSessions(r.Context(), v.actor)
	if err != nil {
		return err
	}
	d.SignedIn, d.Organization, d.Email, d.Sessions = true, org, v.actor.Email, len(sessions)
	d.Kind = text(v.locale, "kind."+string(org.Kind))
	for _, role := range v.actor.Roles {
		d.Roles = append(d.Roles, text(v.locale, "role."+string(role)))
	}
	p.Title = text(v.locale, "home.hello", "name", v.actor.Name)
	return s.show(w, r, http.StatusOK, "home", p)
}

func (s *server) signOut(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := s.leave(w, r, v); err != nil {
		return err
	}
	goTo(w, "/?notice=out")
	return nil
}

func (s *server) endOthers(w http.ResponseWriter, r *http.Request, v *visit) error {
	if v.actor.IsAnonymous() {
		goTo(w, "/sign-in")
		return nil
	}
	if _, err := s.Account.EndOtherSessions(r.Context(), v.actor); err != nil {
		return err
	}
	goTo(w, "/?notice=others")
	return nil
}

type signInData struct {
	Form    form
	Demo    bool
	Mailbox bool
	Already string
}

func (s *server) signInView(r *http.Request, v *visit, email string) *view {
	d := &signInData{Form: signInForm(v.locale, "/sign-in", email), Demo: len(s.DevRoutes) > 0, Mailbox: s.Mailbox != nil}
	if !v.actor.IsAnonymous() {
		d.Already = text(v.locale, "signin.already", "name", v.actor.Name)
	}
	return &view{Title: text(v.locale, "signin.title"), Here: "sign-in", Notice: noticeOf(r, v), Data: d}
}

func signInForm(locale, action, email string) form {
	return form{Action: action, Submit: text(locale, "signin.submit"), Fields: []field{
		{Name: "email", Label: text(locale, "field.email"), Type: "email", Value: email, Autocomplete: "username"},
		{Name: "password", Label: text(locale, "field.password"), Type: "password", Autocomplete: "current-password"},
	}}
}

func (s *server) signInPage(w http.ResponseWriter, r *http.Request, v *visit) error {
	return s.show(w, r, http.StatusOK, "signin", s.signInView(r, v, ""))
}

func (s *server) signIn(w http.ResponseWriter, r *http.Request, v *visit) error {
	email := r.PostForm.Get("email")
	if _, _, err := s.open(w, r, v, email, r.PostForm.Get("password")); err != nil {
		p := s.signInView(r, v, email)
		p.Notice = ""
		status, err := s.refuse(w, r, p, err)
		if err != nil {
			return err
		}
		return s.show(w, r, status, "signin", p)
	}
	goTo(w, "/")
	return nil
}

func forgotView(v *visit, email string) *view {
	return &view{Title: text(v.locale, "forgot.title"), Here: "forgot", Data: form{
		Action: "/forgot", Submit: text(v.locale, "forgot.submit"), Fields: []field{
			{Name: "email", Label: text(v.locale, "field.email"), Type: "email", Value: email, Autocomplete: "username"},
		},
	}}
}

func (s *server) forgotPage(w http.ResponseWriter, r *http.Request, v *visit) error {
	return s.show(w, r, http.StatusOK, "forgot", forgotView(v, ""))
}

func (s *server) forgot(w http.ResponseWriter, r *http.Request, v *visit) error {
	email := r.PostForm.Get("email")
	if err := s.Account.RequestPasswordReset(r.Context(), email, v.ip, v.locale); err != nil {
		p := forgotView(v, email)
		status, err := s.refuse(w, r, p, err)
		if err != nil {
			return err
		}
		return s.show(w, r, status, "forgot", p)
	}
	goTo(w, "/sign-in?notice=forgot")
	return nil
}

// place names a country and its region in a locale.
func place(locale, country string, code region.Code) (name, area string) {
	english := ""
	if c, ok := region.Find(country); ok {
		english = c.Name
	}
	return countryName(locale, country, english), text(locale, "region."+string(code))
}

// countryOptions are the countries that newcomers may name, by their name in
// the locale.
func countryOptions(locale string) []option {
	out := []option{{"", text(locale, "form.choose")}}
	for _, reg := range region.All() {
		for _, c := range reg.Countries {
			if c.Open {
				out = append(out, option{c.Code, countryName(locale, c.Code, c.Name)})
			}
		}
	}
	c := collate.New(xlanguage.Make(locale))
	slices.SortFunc(out[1:], func(a, b option) int { return c.CompareString(a.Label, b.Label) })
	return out
}
