package seed

import (
	"context"
	"errors"
	"net/netip"
	"strings"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/agreement"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/enrollment"
	"github.com/channelgraph/channelgraph/internal/file"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/register"
	"github.com/channelgraph/channelgraph/internal/secret"
)

// applicant is a company on its way into the programme.
type applicant struct {
	name, domain, country, locale string
	registration                  string
	line1, city, postcode, phone  string
	// contact is the primary contact's address, a person of the company unless
	// it says otherwise.
	contact string
}

// applicants are the companies whose enrollments stand in the reviewers' queue
// or went through it. Their Global admins have accounts.
var applicants = []applicant{
	{name: "Adige Software S.r.l.", domain: "adige-software.example", country: "IT", locale: "it", registration: "02345678888", line1: "Via Brennero 139", city: "Trento", postcode: "38121", phone: "+39 0461 555 0110"},
	{name: "Lumen Cloud SAS", domain: "lumen-cloud.example", country: "FR", locale: "en", registration: "512345679", line1: "18 rue de la Part-Dieu", city: "Lyon", postcode: "69003", phone: "+33 4 55 55 01 20"},
	{name: "Vallone Trading S.r.l.", domain: "vallone.example", country: "IT", locale: "it", registration: "02345679993", line1: "Corso Umberto I 40", city: "Napoli", postcode: "80138", phone: "+39 081 555 0130"},
	{name: "Tamsin IT Services Ltd", domain: "tamsin-it.example", country: "GB", locale: "en", registration: "GB973452162", line1: "5 Harbour Exchange", city: "London", postcode: "E14 9GE", phone: "+44 20 5550 0140"},
	{name: "Ostsee Daten GmbH", domain: "ostsee-daten.example", country: "DE", locale: "en", registration: "DE281736456", line1: "Am Strom 21", city: "Rostock", postcode: "18119", phone: "+49 381 555 0150"},
	{name: "Brenta Reti S.r.l.", domain: "brenta-reti.example", country: "IT", locale: "it", registration: "02345680033", line1: "Riviera Silvio Trentin 8", city: "Mira", postcode: "30034", phone: "+39 041 555 0160"},
	{name: "Puerto Digital SL", domain: "puerto-digital.example", country: "ES", locale: "en", registration: "B66123456", line1: "Carrer de la Marina 16", city: "Barcelona", postcode: "08005", phone: "+34 93 555 01 70",
		contact: "lucia.ferrer@grup-marina.example"},
	{name: "Polder Systems B.V.", domain: "polder-systems.example", country: "NL", locale: "en", registration: "NL853746205B01", line1: "Herengracht 182", city: "Amsterdam", postcode: "1016 BR", phone: "+31 20 555 0180"},
	{name: "Arlberg Netzwerke GmbH", domain: "arlberg-netz.example", country: "AT", locale: "en", registration: "ATU61234505", line1: "Innsbrucker Straße 4", city: "Landeck", postcode: "6500", phone: "+43 5442 555 190"},
	{name: "Tallin Data OÜ", domain: "tallin-data.example", country: "EE", locale: "en", registration: "EE101234500", line1: "Narva maantee 7", city: "Tallinn", postcode: "10117", phone: "+372 555 0200"},
	{name: "Etna Servizi Cloud S.r.l.", domain: "etna-cloud.example", country: "IT", locale: "it", registration: "02345680074", line1: "Via Etnea 210", city: "Catania", postcode: "95131", phone: "+39 095 555 0210"},
}

func (a applicant) admin() string { return "global.admin@" + a.domain }

func (a applicant) whom() string {
	if a.contact != "" {
		return a.contact
	}
	return "direzione.vendite@" + a.domain
}

// profile is what the company applies with.
func (a applicant) profile() enrollment.Corrections {
	of := func(s string) *string { return &s }
	return enrollment.Corrections{
		Legal: &enrollment.LegalInput{Name: &a.name, RegistrationID: &a.registration, Website: of("https://www." + a.domain),
			Address: &enrollment.AddressInput{Line1: &a.line1, City: &a.city, PostalCode: &a.postcode}},
		Contact: &enrollment.ContactInput{FirstName: of("Irene"), LastName: of("Sartori"), Email: of(a.whom()), Phone: &a.phone},
		Support: &enrollment.SupportInput{Email: of("assistenza@" + a.domain), Phone: &a.phone, Website: of("https://help." + a.domain)},
	}
}

// agreementNumber is the version that the partners of the demo world signed.
const agreementNumber = "2026-01"

var agreementTexts = []agreement.TextInput{
	{Locale: "en", Title: "Partner agreement", Text: "# Partner agreement\n\nBetween the operator of the programme and the partner.\n\n" +
		"## 1. What the partner may do\n\nThe partner sells the offers of the programme to customers of its region: an indirect reseller through an indirect provider, a direct-bill partner for itself.\n\n" +
		"## 2. What the partner does\n\nIt supports its customers, keeps its profile true, and has each customer accept the customer agreement before the first order.\n\n" +
		"## 3. Administration on behalf of a customer\n\nIt uses administrative access only as far as the customer granted it, and no longer than that.\n\n" +
		"## 4. End\n\nEither side ends the agreement with a notice of 30 days. Subscriptions that run go on to the end of their term."},
	{Locale: "it", Title: "Contratto partner", Text: "# Contratto partner\n\nTra l'operatore del programma e il partner.\n\n" +
		"## 1. Che cosa può fare il partner\n\nIl partner vende le offerte del programma ai clienti della sua area geografica: un rivenditore indiretto attraverso un provider indiretto, un partner con fatturazione diretta per conto proprio.\n\n" +
		"## 2. Che cosa fa il partner\n\nAssiste i suoi clienti, mantiene veritiero il suo profilo e fa accettare a ogni cliente il contratto cliente prima del primo ordine.\n\n" +
		"## 3. Amministrazione per conto di un cliente\n\nUsa l'accesso amministrativo solo per quanto il cliente ha accordato, e non più a lungo.\n\n" +
		"## 4. Fine\n\nCiascuna parte recede con un preavviso di 30 giorni. Le sottoscrizioni in corso proseguono fino alla loro scadenza."},
}

// foundApplicants makes the organizations and accounts of those who enroll.
func (w *World) foundApplicants(ctx context.Context, tx *database.Tx, d Deps, actor access.Actor) error {
	for i, a := range applicants {
		org, err := d.Accounts.Found(ctx, tx, actor, account.NewOrganization{Kind: access.IndirectReseller, Name: a.name, Domain: a.domain, Country: a.country, Locale: a.locale})
		if err != nil {
			return err
		}
		name := people[(i+5)%len(people)]
		u, _, err := d.Accounts.AddUser(ctx, tx, actor, org, account.NewUser{Email: a.admin(), FirstName: name[0], LastName: name[1], Locale: a.locale,
			Roles: []access.Role{access.GlobalAdmin, access.AdminAgent}, Password: secret.String(w.password(a.admin()))})
		if err != nil {
			return err
		}
		w.users[a.admin()] = u.ID
	}
	return nil
}

// publish puts the agreement in force that the partners have signed.
func (w *World) publish(ctx context.Context, tx *database.Tx, d Deps) error {
	chief, err := access.Load(ctx, tx, access.Presence{UserID: w.users[operatorAdmin]})
	if err != nil {
		return err
	}
	in := agreement.PublishInput{Number: agreementNumber, DueAt: tx.Now.AddDate(0, 2, 0), Texts: agreementTexts}
	if err := in.Validate(tx.Now); err != nil {
		return err
	}
	_, _, err = d.Agreements.PublishTx(ctx, tx, chief, in)
	return err
}

const (
	operatorAdmin = "operator.admin@meridian.example"
	reviewer      = "reviewer@meridian.example"
)

// memberships is the register of programme IDs that existed before: two of one
// user name, of which one is of another country; one of a company that is
// enrolled already, and one that is no longer active. Their passwords are the
// demo's own.
const memberships = `user_name,password,programme_id,legal_name,country,active,enrolled,registration_id,website,address_line1,city,postal_code,contact_first_name,contact_last_name,contact_email,contact_phone
dolomiti,alpine-larch-canopy-27,4182001,Dolomiti Sistemi S.r.l.,IT,yes,no,,,,,,,,,
dolomiti,alpine-larch-canopy-27,4182002,Dolomiti Systeme GmbH,AT,yes,no,,,,,,,,,
laguna,brackish-lantern-pier-58,4182003,Laguna Software S.r.l.,IT,yes,yes,02345680157,https://www.laguna-software.example,Fondamenta Nove 12,Venezia,30121,Paola,Zen,paola.zen@laguna-software.example,+39 041 555 0300
serenissima,quiet-harbour-marble-64,4182004,Serenissima Reti S.r.l.,IT,no,no,,,,,,,,,
`

// businesses is the business register: companies that it knows, one of them
// under another name and one dissolved.
const businesses = `country,registration_id,legal_name,status
IT,02345678888,Adige Software S.r.l.,active
IT,02345680074,Etna Servizi Cloud S.r.l.,active
IT,02345680116,Dolomiti Sistemi S.r.l.,active
IT,02345680157,Laguna Software S.r.l.,active
IT,02345680199,Marmolada Informatica S.r.l.,dissolved
DE,DE281736456,Ostsee Daten GmbH,active
NL,NL853746205B01,Polder Infra B.V.,active
FR,512345679,Lumen Cloud SAS,active
AT,ATU61234505,Arlberg Netzwerke GmbH,active
`

// registers fills the two registers as the operator does.
func (p *past) registers() {
	p.as(operatorAdmin, func(a access.Actor) error {
		for _, r := range []struct {
			name, content string
			bring         func(context.Context, access.Actor, register.ImportInput) error
		}{
			{"memberships.csv", memberships, func(ctx context.Context, a access.Actor, in register.ImportInput) error {
				_, _, err := p.d.Registers.ImportMemberships(ctx, a, in)
				return err
			}},
			{"businesses.csv", businesses, func(ctx context.Context, a access.Actor, in register.ImportInput) error {
				_, _, err := p.d.Registers.ImportCompanies(ctx, a, in)
				return err
			}},
		} {
			f, err := p.d.Files.Upload(p.ctx, a, file.UploadInput{Purpose: file.ForImport, Name: r.name, Content: []byte(r.content)})
			if err != nil {
				return err
			}
			if err := r.bring(p.ctx, a, register.ImportInput{FileID: f.ID}); err != nil {
				return err
			}
		}
		return nil
	})
	p.settle()
}

// applying runs fn on the newest enrollment of a company's Global admin.
func (p *past) applying(domain string, fn func(a access.Actor, e *enrollment.Enrollment) error) {
	p.as("global.admin@"+domain, func(a access.Actor) error {
		e, err := p.d.Enrollments.Current(p.ctx, a)
		if err == nil && e == nil {
			err = errors.New("there is no enrollment")
		}
		if err != nil {
			return err
		}
		return fn(a, e)
	})
}

// reviewing runs fn on a company's newest enrollment as somebody of the
// operator.
func (p *past) reviewing(who, domain string, fn func(a access.Actor, id ident.ID) error) {
	var id ident.ID
	p.applying(domain, func(_ access.Actor, e *enrollment.Enrollment) error {
		id = e.ID
		return nil
	})
	p.as(who, func(a access.Actor) error { return fn(a, id) })
}

// draft begins an enrollment and fills in what the company has.
func (p *past) draft(domain string, part func(*enrollment.Corrections)) {
	for _, c := range applicants {
		if c.domain != domain {
			continue
		}
		p.as(c.admin(), func(a access.Actor) error {
			e, err := p.d.Enrollments.Begin(p.ctx, a, enrollment.BeginInput{})
			if err != nil {
				return err
			}
			what := c.profile()
			if part != nil {
				part(&what)
			}
			_, err = p.d.Enrollments.Save(p.ctx, a, enrollment.SaveInput{EnrollmentID: e.ID, Corrections: what})
			return err
		})
	}
}

// submit fills an enrollment in and hands it in.
func (p *past) submit(domain string) {
	p.draft(domain, nil)
	p.applying(domain, func(a access.Actor, e *enrollment.Enrollment) error {
		_, _, err := p.d.Enrollments.Submit(p.ctx, a, enrollment.SubmitInput{EnrollmentID: e.ID})
		return err
	})
}

// answerLink follows the link to the primary contact.
func (p *past) answerLink(domain string, fn func(ctx context.Context, token string, ip netip.Addr) error) {
	p.applying(domain, func(_ access.Actor, e *enrollment.Enrollment) error {
		token := p.d.Keys.Capability(enrollment.VerifyPrefix, enrollment.VerifyPurpose, e.ID, e.Generation)
		return fn(p.ctx, token.Reveal(), netip.MustParseAddr("192.0.2.80"))
	})
}

// apply submits, and the contact confirms: the review begins.
func (p *past) apply(domain string) {
	p.submit(domain)
	if p.err == nil {
		p.answerLink(domain, p.d.Enrollments.Confirm)
	}
}

// approve decides what is still open and approves.
func (p *past) approve(domain string) {
	p.reviewing(reviewer, domain, func(a access.Actor, id ident.ID) error {
		checks, err := p.d.Enrollments.Checks(p.ctx, a, []ident.ID{id})
		if err != nil {
			return err
		}
		for _, c := range checks[id] {
			if c.Status == enrollment.CheckPassed || c.Kind == enrollment.EmailOwnership {
				continue
			}
			if _, err := p.d.Enrollments.DecideCheck(p.ctx, a, enrollment.DecideCheckInput{EnrollmentID: id, Check: c.Kind, Passed: true}); err != nil {
				return err
			}
		}
		_, err = p.d.Enrollments.Approve(p.ctx, a, enrollment.ApproveInput{EnrollmentID: id})
		return err
	})
}

// sign signs the agreement for an approved company.
func (p *past) sign(domain string) {
	p.as("global.admin@"+domain, func(a access.Actor) error {
		s, err := p.d.Agreements.Status(p.ctx, a, nil)
		if err != nil {
			return err
		}
		first, last, _ := strings.Cut(a.Name, " ")
		_, err = p.d.Agreements.Sign(p.ctx, a, agreement.SignInput{AgreementID: s.Newest.ID, FirstName: first, LastName: last, Email: a.Email,
			Phone: "+39 0461 555 0111", Confirmed: true})
		return err
	})
}

func (p *past) reject(domain string, reason enrollment.RejectReason, note string) {
	p.reviewing(reviewer, domain, func(a access.Actor, id ident.ID) error {
		_, err := p.d.Enrollments.Reject(p.ctx, a, enrollment.RejectInput{EnrollmentID: id, ReasonCode: reason, Note: note})
		return err
	})
}

func (p *past) appeal(domain, text string) {
	p.applying(domain, func(a access.Actor, e *enrollment.Enrollment) error {
		_, err := p.d.Enrollments.Appeal(p.ctx, a, enrollment.AppealInput{EnrollmentID: e.ID, Text: text})
		return err
	})
}

func (p *past) ask(domain, text string, documents ...enrollment.DocumentKind) {
	p.reviewing(reviewer, domain, func(a access.Actor, id ident.ID) error {
		if _, err := p.d.Enrollments.Assign(p.ctx, a, enrollment.AssignInput{EnrollmentID: id, AssigneeID: &a.UserID}); err != nil {
			return err
		}
		check := enrollment.Business
		_, err := p.d.Enrollments.Ask(p.ctx, a, enrollment.AskInput{EnrollmentID: id, Check: &check, Documents: documents, Text: text})
		return err
	})
}

func (p *past) withdraw(domain string) {
	p.applying(domain, func(a access.Actor, e *enrollment.Enrollment) error {
		_, err := p.d.Enrollments.Withdraw(p.ctx, a, enrollment.WithdrawInput{EnrollmentID: e.ID})
		return err
	})
}

// move asks for a new address of a partner that is verified already.
func (p *past) move(domain, line1, city, postcode string) {
	p.as("global.admin@"+domain, func(a access.Actor) error {
		_, err := p.d.Enrollments.RequestChange(p.ctx, a, enrollment.ChangeInput{Legal: &enrollment.LegalInput{
			Address: &enrollment.AddressInput{Line1: &line1, City: &city, PostalCode: &postcode}}})
		return err
	})
}
