package web

import (
	"net/http"
	"strings"
	"unicode"

	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/secret"
)

// link is a page behind a mailed capability link. Opening it shows a form for
// the code; the script takes the code from the fragment and asks for the
// preview, which consumes nothing; only the person's own button uses it.
type link struct {
	name    string
	path    string
	purpose account.Purpose
}

var links = []link{
	{"reset", "/l/reset", account.PurposeReset},
	{"join", "/l/join", account.PurposeInvite},
	{"setup", "/l/setup", account.PurposeSetup},
}

// codeOf reads the code that a person pasted: the code alone or the whole
// link, with whatever white space a mail program put into it.
func codeOf(r *http.Request) string {
	s := strings.Map(func(c rune) rune {
		if unicode.IsSpace(c) || unicode.IsControl(c) {
			return -1
		}
		return c
	}, r.PostForm.Get("code"))
	if i := strings.LastIndexByte(s, '#'); i >= 0 {
		s = s[i+1:]
	}
	if len(s) > 200 {
		return s[:200] // longer than any code, and so unknown
	}
	return s
}

// codeForm asks for a code and posts it to a preview.
func codeForm(locale, action string) form {
	return form{Action: action, Submit: text(locale, "link.show"), Fields: []field{
		{Name: "code", Label: text(locale, "field.code"), Hint: text(locale, "field.code.hint"), Type: "text", Autocomplete: "off"},
	}}
}

type linkData struct {
	Lead string
	Form *form
	// Closed is why the link does nothing any more, Help what to do instead.
	Closed, Help       string
	HelpPath, HelpText string
	Until              string
	Opening            bool
}

func (s *server) linkPage(l link) handler {
	return func(w http.ResponseWriter, r *http.Request, v *visit) error {
		key := l.name + ".title"
		if l.name == "join" {
			key = "join.title.code"
		}
		f := codeForm(v.locale, l.path+"/preview")
		return s.show(w, r, http.StatusOK, "link", &view{Title: text(v.locale, key), Here: l.name,
			Data: &linkData{Lead: text(v.locale, l.name+".code"), Form: &f, Opening: true}})
	}
}

// linkBack leads somebody who reloads a preview back to its beginning.
func linkBack(path string) handler {
	return func(w http.ResponseWriter, _ *http.Request, _ *visit) error {
		goTo(w, path)
		return nil
	}
}

func (s *server) linkPreview(l link) handler {
	return func(w http.ResponseWriter, r *http.Request, v *visit) error {
		p, err := s.linkView(r, v, l, codeOf(r))
		if err != nil {
			return err
		}
		return s.show(w, r, http.StatusOK, "link", p)
	}
}

// linkView is the page of a code: the form where the code is good, otherwise
// why it is not.
func (s *server) linkView(r *http.Request, v *visit, l link, code string) (*view, error) {
	t := func(key string, kv ...string) string { return text(v.locale, key, kv...) }
	seen, err := s.Account.PreviewLink(r.Context(), code)
	if err != nil {
		return nil, err
	}
	d := &linkData{}
	p := &view{Title: t(l.name+".title", "organization", seen.OrganizationName), Here: l.name, Code: code, Data: d}
	if seen.State == account.LinkValid && seen.Purpose == l.purpose {
		f := s.linkForm(r, v, l, code, seen)
		d.Form, d.Lead = &f, t(l.name+".lead", "email", seen.Email)
		if seen.ExpiresAt != nil {
			d.Until = t("link.validUntil", "date", moment(v.locale, *seen.ExpiresAt))
		}
		return p, nil
	}
	if l.name == "join" {
		p.Title = t("join.title.code")
	}
	d.Help = t(l.name + ".help")
	if l.purpose == account.PurposeReset {
		d.HelpPath, d.HelpText = "/forgot", t("reset.helpLink")
	}
	switch {
	case seen.Purpose != l.purpose || seen.State == account.LinkUnknown:
		d.Closed = t("link.unknown")
	case seen.State == account.LinkUsed:
		d.Closed = t("link.used.undated")
		if seen.UsedAt != nil {
			d.Closed = t("link.used", "date", moment(v.locale, *seen.UsedAt))
		}
		if l.purpose != account.PurposeReset {
			d.Help, d.HelpPath, d.HelpText = t("join.used.help"), "/sign-in", t("layout.signIn")
		}
	default:
		d.Closed = t("link.expired")
	}
	return p, nil
}

// linkForm is the form of a purpose, filled with what was posted or is known.
func (s *server) linkForm(r *http.Request, v *visit, l link, code string, seen *account.LinkPreview) form {
	t := func(key string) string { return text(v.locale, key) }
	value := func(name, known string) string {
		if r.PostForm.Has(name) {
			return r.PostForm.Get(name)
		}
		return known
	}
	names := []field{
		{Name: "firstName", Label: t("field.firstName"), Type: "text", Value: value("firstName", seen.FirstName), Autocomplete: "given-name"},
		{Name: "lastName", Label: t("field.lastName"), Type: "text", Value: value("lastName", seen.LastName), Autocomplete: "family-name"},
	}
	password := field{Name: "password", Label: t("field.password"), Hint: t("field.newPassword.hint"), Type: "password", Autocomplete: "new-password"}
	f := form{Action: l.path, Code: code, Submit: t(l.name + ".submit")}
	switch l.purpose {
	case account.PurposeReset:
		password.Label = t("field.newPassword")
		f.Fields = []field{password}
	case account.PurposeInvite:
		f.Fields = append(names, password)
	case account.PurposeSetup:
		f.Fields = append([]field{
			{Name: "organizationName", Label: t("field.organizationName"), Type: "text", Value: value("organizationName", ""), Autocomplete: "organization"},
			{Name: "domain", Label: t("field.domain"), Hint: t("field.domain.hint"), Type: "text", Value: value("domain", ""), Autocomplete: "off"},
			{Name: "country", Label: t("field.country"), Value: value("country", ""), Autocomplete: "country", Options: countryOptions(v.locale)},
			{Name: "email", Label: t("field.email"), Type: "email", Value: value("email", ""), Autocomplete: "username"},
		}, append(names, password)...)
	}
	return f
}

func (s *server) linkUse(l link) handler {
	return func(w http.ResponseWriter, r *http.Request, v *visit) error {
		get, code, ctx := r.PostForm.Get, codeOf(r), r.Context()
		password := secret.String(get("password"))
		var err error
		switch l.purpose {
		case account.PurposeReset:
			err = s.Account.ResetPassword(ctx, code, password, v.ip)
		case account.PurposeInvite:
			err = s.Account.AcceptUserInvitation(ctx, code, account.AcceptInput{
				FirstName: get("firstName"), LastName: get("lastName"), Password: password, Locale: v.locale}, v.ip)
		case account.PurposeSetup:
			err = s.Account.SetUp(ctx, account.SetUpInput{Token: code, OrganizationName: get("organizationName"), Domain: get("domain"),
				Country: get("country"), Email: get("email"), FirstName: get("firstName"), LastName: get("lastName"), Password: password, Locale: v.locale})
		}
		if err == nil {
			goTo(w, "/sign-in?notice="+l.name)
			return nil
		}
		if fault.As(err) == nil {
			return err
		}
		p, again := s.linkView(r, v, l, code)
		if again != nil {
			return again
		}
		status := http.StatusConflict
		if p.Data.(*linkData).Form != nil { // the link is still good, so the input is not
			if status, err = s.refuse(w, r, p, err); err != nil {
				return err
			}
		}
		return s.show(w, r, status, "link", p)
	}
}
