package web

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/channelgraph/channelgraph/internal/customer"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/invitation"
	"github.com/channelgraph/channelgraph/internal/partner"
	"github.com/channelgraph/channelgraph/internal/secret"
)

const customerPath = "/l/customer"

// customerRoutes are the pages of an invitation of a customer.
func (s *server) customerRoutes() {
	s.page("GET "+customerPath, s.codePage("customer", customerPath, "customer.title", "customer.code"))
	s.form("POST "+customerPath+"/preview", s.customerPreview)
	s.form("POST "+customerPath+"/sign-in", s.customerSignIn)
	s.form("POST "+customerPath+"/switch", s.customerSwitch)
	s.form("POST "+customerPath+"/set-up", s.customerSetUp)
	s.form("POST "+customerPath+"/accept", s.customerAccept)
	s.form("POST "+customerPath+"/decline", s.customerDecline)
	s.form("POST "+customerPath+"/new-link", s.customerNewLink)
	s.page("GET "+customerPath+"/{outcome}", s.customerDone)
}

// customerData is the page of an invitation of a customer.
type customerData struct {
	Proposal *customer.Preview
	Code     string
	// Seller and Reseller are the names of those who ask, Reseller "" for one
	// seller alone; Asker is who sent it.
	Seller, Reseller, Asker string
	Parties                 []party
	NoteBy                  string
	// StateTitle and StateText tell of a code that is not open any more.
	StateTitle, StateText string
	// Account and the rest say who is signed in.
	Account, AccountOrganization, Email string
	SignIn, SetUp                       *form
	SettingUp                           bool
	Refusals                            []refusal
	// Roles are the administration asked for, in words; Delegated what the
	// person chose.
	Roles                        []string
	Days                         string
	Confirmed, Agreed, Delegated bool
	// Key makes a second press of the button the same request.
	Key string
	// Sudo asks for the password once more.
	Sudo        bool
	Password    field
	Declining   bool
	ReasonField field
}

// party is one who asks, with what the customer gives it.
type party struct{ Role, Name, Place, Gets string }

func (s *server) customerPreview(w http.ResponseWriter, r *http.Request, v *visit) error {
	p, _, err := s.customerView(r, v)
	if err != nil {
		return err
	}
	return s.show(w, r, http.StatusOK, "customer", p)
}

// customerView is the card behind the posted code, as the caller may see it.
func (s *server) customerView(r *http.Request, v *visit) (*view, *customerData, error) {
	t := func(key string, kv ...string) string { return text(v.locale, key, kv...) }
	code, get := codeOf(r), r.PostForm.Get
	pre, err := s.Customer.Preview(r.Context(), v.actor, code)
	if err != nil {
		return nil, nil, err
	}
	d := &customerData{Proposal: pre, Code: code, Confirmed: get("confirmed") != "", Agreed: get("acceptsAgreement") != "", Delegated: get("delegate") != "",
		Key: secret.NewToken("web").Reveal(), Days: strconv.Itoa(pre.GrantDays),
		Password:    field{Name: "password", Label: t("field.password"), Type: "password", Autocomplete: "current-password"},
		ReasonField: field{Name: "reason", Label: t("field.reason"), Hint: t("field.reason.hint"), Type: "area", Value: get("reason"), Optional: true},
	}
	p := &view{Title: t("customer.title"), Here: "customer", Code: code, Data: d}
	if pre.State != invitation.StandsUnknown {
		d.introduce(v.locale)
	}
	if pre.State != invitation.StandsOpen {
		d.describe(v.locale)
		p.Title = d.StateTitle
		return p, d, nil
	}
	p.Title = t("customer.asks", "company", d.Asker)
	if !v.actor.IsAnonymous() {
		org, err := s.organization(r, v.actor)
		if err != nil {
			return nil, nil, err
		}
		d.Account, d.AccountOrganization, d.Email = v.actor.Name, org.Name, v.actor.Email
	}
	if pre.NeedsSignIn {
		f := signInForm(v.locale, customerPath+"/sign-in", get("email"))
		f.Code, d.SignIn = code, &f
	}
	if pre.CanSetUp {
		d.SetUp = setUpForm(r, v, code)
	}
	for _, ref := range pre.Refusals {
		one := refusal{Text: fault.Text(v.locale, ref.Code, nil)}
		if ref.NextStep != "" {
			one.Next = fault.Text(v.locale, ref.NextStep, nil)
		}
		d.Refusals = append(d.Refusals, one)
	}
	d.Sudo = v.actor.RequireSudo(s.DB.Now()) != nil
	return p, d, nil
}

// introduce puts those who ask, and what each gets, into words.
func (d *customerData) introduce(locale string) {
	t := func(key string, kv ...string) string { return text(locale, key, kv...) }
	pre := d.Proposal
	d.Seller, d.Asker = pre.Seller.LegalName, pre.Seller.LegalName
	add := func(role string, c partner.Card, gets string) {
		country, _ := place(locale, c.Country, c.Region)
		d.Parties = append(d.Parties, party{Role: t("customer.role." + role), Name: c.LegalName, Place: country, Gets: t("customer.gets." + gets)})
	}
	role := "provider"
	if pre.Reseller == nil && customer.KindOf(pre.Seller.Kind) == customer.AsDirectBill {
		role = "direct"
	}
	add(role, pre.Seller, "seller")
	if pre.Reseller != nil {
		d.Reseller, d.Asker = pre.Reseller.LegalName, pre.Reseller.LegalName
		add("reseller", *pre.Reseller, "reseller")
	}
	for _, role := range pre.Roles {
		d.Roles = append(d.Roles, t("customer.delegate."+string(role)))
	}
	if pre.Note != "" {
		d.NoteBy = t("proposal.note", "company", d.Asker)
		if pre.InviterName != "" {
			d.NoteBy = t("proposal.note.named", "name", pre.InviterName, "company", d.Asker)
		}
	}
}

// describe puts a closed invitation into words.
func (d *customerData) describe(locale string) {
	at := d.Proposal.DecidedAt
	if d.Proposal.State == invitation.StandsExpired {
		at = d.Proposal.ExpiresAt
	}
	var date string
	if at != nil {
		date = moment(locale, *at)
	}
	key := "customer.state." + string(d.Proposal.State)
	d.StateTitle, d.StateText = text(locale, key, "date", date), text(locale, key+".text")
	if d.Proposal.State == invitation.StandsUnknown {
		d.StateText = text(locale, "link.unknown")
	}
}

// setUpForm asks for what a new work account needs.
func setUpForm(r *http.Request, v *visit, code string) *form {
	t, get := func(key string) string { return text(v.locale, key) }, r.PostForm.Get
	line := func(name, label, auto string, optional bool) field {
		return field{Name: name, Label: t(label), Type: "text", Value: get(name), Autocomplete: auto, Optional: optional}
	}
	prefix := line("domainPrefix", "customer.field.domainPrefix", "off", false)
	prefix.Hint = t("customer.field.domainPrefix.hint")
	return &form{Action: customerPath + "/set-up", Code: code, Submit: t("customer.setUp.submit"), Fields: []field{
		line("companyName", "customer.field.companyName", "organization", false), prefix,
		line("line1", "customer.field.line1", "address-line1", false), line("line2", "customer.field.line2", "address-line2", true),
		line("postalCode", "customer.field.postalCode", "postal-code", true), line("city", "customer.field.city", "address-level2", false),
		line("state", "customer.field.state", "address-level1", true),
		{Name: "country", Label: t("field.country"), Value: get("country"), Autocomplete: "country", Options: countryOptions(v.locale)},
		line("registrationId", "customer.field.registrationId", "off", true),
		{Name: "billingEmail", Label: t("customer.field.billingEmail"), Type: "email", Value: get("billingEmail"), Autocomplete: "email"},
		{Name: "phone", Label: t("customer.field.phone"), Type: "tel", Value: get("phone"), Autocomplete: "tel", Optional: true},
		line("firstName", "field.firstName", "given-name", false), line("lastName", "field.lastName", "family-name", false),
		{Name: "password", Label: t("field.password"), Hint: t("field.newPassword.hint"), Type: "password", Autocomplete: "new-password"},
	}}
}

// customerAgain shows the card once more with what went wrong. A code that has
// been used meanwhile says so, which is no error of the person.
func (s *server) customerAgain(w http.ResponseWriter, r *http.Request, v *visit, err error, change func(*customerData)) error {
	if fault.As(err) == nil {
		return err
	}
	p, d, again := s.customerView(r, v)
	if again != nil {
		return again
	}
	status := http.StatusOK
	switch {
	case d.Proposal.State == invitation.StandsUnknown:
		status = http.StatusNotFound
	case d.Proposal.State == invitation.StandsOpen || fault.KindOf(err) == fault.KindLimited:
		if status, err = s.refuse(w, r, p, err); err != nil {
			return err
		}
		if change != nil {
			change(d)
		}
	}
	return s.show(w, r, status, "customer", p)
}

func (s *server) customerSignIn(w http.ResponseWriter, r *http.Request, v *visit) error {
	if _, _, err := s.open(w, r, v, r.PostForm.Get("email"), r.PostForm.Get("password")); err != nil {
		return s.customerAgain(w, r, v, err, nil)
	}
	goOnTo(w, customerPath+"/preview")
	return nil
}

// customerSwitch signs out and comes back to the same card.
func (s *server) customerSwitch(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := s.leave(w, r, v); err != nil {
		return err
	}
	goOnTo(w, customerPath+"/preview")
	return nil
}

// customerSetUp makes the work account of the invited company, signs its first
// person in and comes back to the card.
func (s *server) customerSetUp(w http.ResponseWriter, r *http.Request, v *visit) error {
	get := r.PostForm.Get
	u, err := s.Customer.SetUp(r.Context(), v.actor, customer.SetUpInput{Code: codeOf(r), FirstName: get("firstName"), LastName: get("lastName"),
		Password: secret.String(get("password")), Details: customer.Details{CompanyName: get("companyName"), RegistrationID: get("registrationId"),
			Address: partner.Address{Line1: get("line1"), Line2: get("line2"), City: get("city"), PostalCode: get("postalCode"), State: get("state"),
				Country: get("country")}, DomainPrefix: get("domainPrefix"), BillingEmail: get("billingEmail"), Phone: get("phone"), Locale: v.locale}})
	if err != nil {
		return s.customerAgain(w, r, v, err, func(d *customerData) { d.SettingUp = true })
	}
	if _, _, err := s.open(w, r, v, u.Email, get("password")); err != nil {
		return s.customerAgain(w, r, v, err, nil)
	}
	goOnTo(w, customerPath+"/preview")
	return nil
}

func (s *server) customerAccept(w http.ResponseWriter, r *http.Request, v *visit) error {
	get := r.PostForm.Get
	if password := get("password"); password != "" && !v.actor.IsAnonymous() {
		token, session, err := s.Account.Reauthenticate(r.Context(), v.actor, v.token, secret.String(password), v.ip)
		if err != nil {
			return s.customerAgain(w, r, v, err, nil)
		}
		s.setSession(w, token)
		v.actor.SudoUntil, v.token, v.session = session.SudoUntil, token.Reveal(), session
	}
	in := customer.AcceptInput{Code: codeOf(r), Confirmed: get("confirmed") == "yes", AcceptAgreement: get("acceptsAgreement") == "yes", Delegate: get("delegate") == "yes"}
	if key := get("key"); key != "" {
		in.IdempotencyKey = &key
	}
	if _, err := s.Customer.Accept(r.Context(), v.actor, in); err != nil {
		return s.customerAgain(w, r, v, err, nil)
	}
	goTo(w, customerPath+"/accepted")
	return nil
}

func (s *server) customerDecline(w http.ResponseWriter, r *http.Request, v *visit) error {
	if _, err := s.Customer.Decline(r.Context(), v.actor, customer.DeclineInput{Code: codeOf(r), Reason: r.PostForm.Get("reason")}); err != nil {
		return s.customerAgain(w, r, v, err, func(d *customerData) { d.Declining = true })
	}
	goTo(w, customerPath+"/declined")
	return nil
}

func (s *server) customerNewLink(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := s.Customer.AskForNewLink(r.Context(), v.actor, codeOf(r)); err != nil {
		return s.customerAgain(w, r, v, err, nil)
	}
	goTo(w, customerPath+"/asked")
	return nil
}

// customerDone is a page after an act; verbs lead back to the beginning for
// those who reload them.
func (s *server) customerDone(w http.ResponseWriter, r *http.Request, v *visit) error {
	outcome := r.PathValue("outcome")
	if slices.Contains(strings.Fields("preview sign-in switch set-up accept decline new-link"), outcome) {
		goTo(w, customerPath)
		return nil
	}
	if !slices.Contains(strings.Fields("accepted declined asked"), outcome) {
		return errNoRoute
	}
	d := &doneData{Outcome: outcome, Text: text(v.locale, "customer.done."+outcome+".text")}
	if outcome == "accepted" {
		d.Next = text(v.locale, "customer.done.accepted.next")
	}
	return s.show(w, r, http.StatusOK, "done", &view{Title: text(v.locale, "customer.done."+outcome), Here: "customer-" + outcome, Data: d})
}
