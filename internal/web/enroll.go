package web

import (
	"net/http"
	"slices"

	"github.com/channelgraph/channelgraph/internal/enrollment"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/secret"
)

const (
	applyPath  = "/enroll"
	enrollPath = "/l/enroll"
	verifyPath = "/l/verify"
)

// enrollmentRoutes are the pages of somebody who enrolls a company, and of the
// contact who proves the company's address.
func (s *server) enrollmentRoutes() {
	s.page("GET "+applyPath, s.applyPage)
	s.form("POST "+applyPath, s.apply)
	s.page("GET "+applyPath+"/sent", s.applied)

	s.page("GET "+enrollPath, s.codePage("enroll", enrollPath, "enroll.title", "enroll.code"))
	s.page("GET "+enrollPath+"/preview", linkBack(enrollPath))
	s.form("POST "+enrollPath+"/preview", s.enrollPreview)
	s.form("POST "+enrollPath, s.enroll)

	s.page("GET "+verifyPath, s.codePage("verify", verifyPath, "verify.title", "verify.code"))
	s.form("POST "+verifyPath+"/preview", s.verifyPreview)
	s.form("POST "+verifyPath+"/confirm", s.verifyConfirm)
	s.form("POST "+verifyPath+"/disown", s.verifyDisown)
	s.page("GET "+verifyPath+"/{outcome}", s.verifyDone)
}

// codePage opens a mailed link: the script takes the code from the fragment,
// or the person pastes it.
func (s *server) codePage(name, path, title, lead string) handler {
	return func(w http.ResponseWriter, r *http.Request, v *visit) error {
		f := codeForm(v.locale, path+"/preview")
		return s.show(w, r, http.StatusOK, "link", &view{Title: text(v.locale, title), Here: name,
			Data: &linkData{Lead: text(v.locale, lead), Form: &f, Opening: true}})
	}
}

func applyView(r *http.Request, v *visit) *view {
	t := func(key string) string { return text(v.locale, key) }
	get := r.PostForm.Get
	return &view{Title: t("apply.title"), Here: "apply", Data: form{Action: applyPath, Submit: t("apply.submit"), Fields: []field{
		{Name: "firstName", Label: t("field.firstName"), Type: "text", Value: get("firstName"), Autocomplete: "given-name"},
		{Name: "lastName", Label: t("field.lastName"), Type: "text", Value: get("lastName"), Autocomplete: "family-name"},
		{Name: "email", Label: t("field.enroll.email"), Type: "email", Value: get("email"), Autocomplete: "email"},
		{Name: "tenantDomain", Label: t("field.domain"), Hint: t("field.domain.hint"), Type: "text", Value: get("tenantDomain"), Autocomplete: "off"},
		{Name: "country", Label: t("field.country"), Hint: t("field.enroll.country.hint"), Value: get("country"), Autocomplete: "country", Options: countryOptions(v.locale)},
	}}}
}

func (s *server) applyPage(w http.ResponseWriter, r *http.Request, v *visit) error {
	return s.show(w, r, http.StatusOK, "apply", applyView(r, v))
}

func (s *server) apply(w http.ResponseWriter, r *http.Request, v *visit) error {
	get := r.PostForm.Get
	err := s.Enrollment.Start(r.Context(), enrollment.StartInput{Email: get("email"), FirstName: get("firstName"), LastName: get("lastName"),
		Locale: v.locale, TenantDomain: get("tenantDomain"), Country: get("country")}, v.ip)
	if err != nil {
		p := applyView(r, v)
		status, err := s.refuse(w, r, p, err)
		if err != nil {
			return err
		}
		return s.show(w, r, status, "apply", p)
	}
	goTo(w, applyPath+"/sent")
	return nil
}

func (s *server) applied(w http.ResponseWriter, r *http.Request, v *visit) error {
	return s.show(w, r, http.StatusOK, "done", &view{Title: text(v.locale, "apply.sent"), Here: "applied",
		Data: &doneData{Outcome: "applied", Text: text(v.locale, "apply.sent.text"), Next: text(v.locale, "apply.sent.next")}})
}

func (s *server) enrollPreview(w http.ResponseWriter, r *http.Request, v *visit) error {
	p, err := s.enrollView(r, v)
	if err != nil {
		return err
	}
	return s.show(w, r, http.StatusOK, "link", p)
}

// enrollView is the page of an enrollment's first link: the form where the
// code is good, otherwise why it is not and where to go on.
func (s *server) enrollView(r *http.Request, v *visit) (*view, error) {
	t := func(key string, kv ...string) string { return text(v.locale, key, kv...) }
	code := codeOf(r)
	seen, err := s.Enrollment.PreviewStart(r.Context(), code)
	if err != nil {
		return nil, err
	}
	d := &linkData{}
	p := &view{Title: t("enroll.title"), Here: "enroll", Code: code, Data: d}
	switch seen.State {
	case enrollment.LinkValid:
		d.Lead = t("enroll.lead", "email", seen.Email, "domain", seen.TenantDomain)
		d.Form = &form{Action: enrollPath, Code: code, Submit: t("enroll.submit"), Fields: []field{
			{Name: "password", Label: t("field.password"), Hint: t("field.newPassword.hint"), Type: "password", Autocomplete: "new-password"}}}
		if seen.ExpiresAt != nil {
			d.Until = t("link.validUntil", "date", moment(v.locale, *seen.ExpiresAt))
		}
		return p, nil
	case enrollment.LinkUsed:
		d.Closed = t("link.used.undated")
		if seen.UsedAt != nil {
			d.Closed = t("link.used", "date", moment(v.locale, *seen.UsedAt))
		}
		d.Help, d.HelpPath, d.HelpText = t("enroll.used.help"), "/sign-in", t("layout.signIn")
		return p, nil
	case enrollment.LinkExpired:
		d.Closed = t("link.expired")
	default:
		d.Closed = t("link.unknown")
	}
	d.Help, d.HelpPath, d.HelpText = t("enroll.help"), applyPath, t("enroll.helpLink")
	return p, nil
}

func (s *server) enroll(w http.ResponseWriter, r *http.Request, v *visit) error {
	err := s.Enrollment.CompleteStart(r.Context(), codeOf(r), enrollment.CompleteStartInput{Password: secret.String(r.PostForm.Get("password"))}, v.ip)
	if err == nil {
		goTo(w, "/sign-in?notice=enroll")
		return nil
	}
	if fault.As(err) == nil {
		return err
	}
	p, again := s.enrollView(r, v)
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

// verifyData is the page that asks a contact whether they signed up.
type verifyData struct {
	Preview *enrollment.VerificationPreview
	Code    string
	// Company and Country are who enrolls, in words.
	Company, Country string
	// Lead, SignedUp and No are the keys of what is said of an admission, or of
	// a change.
	Lead, SignedUp, No string
	// StateTitle and StateText tell of a code that asks nothing any more, SignIn
	// that the applicant can do something about it.
	StateTitle, StateText string
	SignIn                bool
}

func (s *server) verifyPreview(w http.ResponseWriter, r *http.Request, v *visit) error {
	p, _, err := s.verifyView(r, v)
	if err != nil {
		return err
	}
	return s.show(w, r, http.StatusOK, "verify", p)
}

func (s *server) verifyView(r *http.Request, v *visit) (*view, *verifyData, error) {
	code := codeOf(r)
	seen, err := s.Enrollment.PreviewVerification(r.Context(), code)
	if err != nil {
		return nil, nil, err
	}
	d := &verifyData{Preview: seen, Code: code, Company: seen.Company, Lead: "verify.lead", SignedUp: "verify.signedUp", No: "verify.no.text"}
	p := &view{Title: text(v.locale, "verify.ask", "company", d.Company), Here: "verify", Code: code, Data: d}
	if seen.Purpose == enrollment.Change {
		p.Title = text(v.locale, "verify.ask.change", "company", d.Company)
		d.Lead, d.SignedUp, d.No = "verify.lead.change", "verify.signedUp.change", "verify.no.text.change"
	}
	if seen.Country != "" {
		d.Country, _ = place(v.locale, seen.Country, "")
	}
	if seen.State == enrollment.LinkValid {
		return p, d, nil
	}
	var date string
	at := seen.UsedAt
	if seen.State == enrollment.LinkExpired {
		at = seen.ExpiresAt
	}
	if at != nil {
		date = moment(v.locale, *at)
	}
	key := "verify.state." + string(seen.State)
	d.StateTitle, d.StateText, d.SignIn = text(v.locale, key, "date", date), text(v.locale, key+".text"), seen.State == enrollment.LinkExpired
	if seen.State == enrollment.LinkUnknown {
		d.StateText = text(v.locale, "link.unknown")
	}
	p.Title = d.StateTitle
	return p, d, nil
}

// verifyAgain shows what the code leads to now: one that was answered
// meanwhile, perhaps by the same person, says so.
func (s *server) verifyAgain(w http.ResponseWriter, r *http.Request, v *visit, err error) error {
	if fault.As(err) == nil {
		return err
	}
	p, d, again := s.verifyView(r, v)
	if again != nil {
		return again
	}
	status := http.StatusOK
	switch {
	case d.Preview.State == enrollment.LinkUnknown:
		status = http.StatusNotFound
	case d.Preview.State == enrollment.LinkValid || fault.KindOf(err) == fault.KindLimited:
		if status, err = s.refuse(w, r, p, err); err != nil {
			return err
		}
	}
	return s.show(w, r, status, "verify", p)
}

func (s *server) verifyConfirm(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := s.Enrollment.Confirm(r.Context(), codeOf(r), v.ip); err != nil {
		return s.verifyAgain(w, r, v, err)
	}
	goTo(w, verifyPath+"/confirmed")
	return nil
}

func (s *server) verifyDisown(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := s.Enrollment.Disown(r.Context(), codeOf(r), v.ip); err != nil {
		return s.verifyAgain(w, r, v, err)
	}
	goTo(w, verifyPath+"/disowned")
	return nil
}

// answers are the pages after the contact's answer.
var answers = []string{"confirmed", "disowned"}

func (s *server) verifyDone(w http.ResponseWriter, r *http.Request, v *visit) error {
	outcome := r.PathValue("outcome")
	if slices.Contains([]string{"preview", "confirm", "disown"}, outcome) {
		goTo(w, verifyPath)
		return nil
	}
	if !slices.Contains(answers, outcome) {
		return errNoRoute
	}
	d := &doneData{Outcome: outcome, Text: text(v.locale, "done."+outcome+".text")}
	if outcome == "disowned" {
		d.Next = text(v.locale, "done.disowned.next")
	}
	return s.show(w, r, http.StatusOK, "done", &view{Title: text(v.locale, "done."+outcome), Here: outcome, Data: d})
}
