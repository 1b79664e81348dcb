package partner

import (
	"context"
	"strings"
	"testing"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
)

func whole(change func(*Profile)) Profile {
	p := Profile{LegalName: "Acme S.r.l.", RegistrationID: "IT 00743110157", Website: "https://acme.example",
		Address: Address{Line1: "Via Roma 1", City: "Milano", PostalCode: "20121"},
		Contact: Contact{FirstName: "Carla", LastName: "Neri", Email: "Carla@ACME.example", Phone: "+39 02 1234567"},
		Support: Support{Email: "help@acme.example", Phone: "800 123 456", Website: "https://help.acme.example/it"}}
	if change != nil {
		change(&p)
	}
	return p
}

// TestProfile holds every row of the validation table of spec section 2 at
// its edges.
func TestProfile(t *testing.T) {
	t.Parallel()
	x := func(n int) string { return strings.Repeat("x", n) }
	for name, c := range map[string]struct {
		country string
		change  func(*Profile)
		want    string
	}{
		"whole": {"IT", nil, ""},
		"nothing": {"IT", func(p *Profile) { *p = Profile{} }, "legal.name REQUIRED, legal.address.line1 REQUIRED, legal.address.city REQUIRED, legal.address.postalCode REQUIRED, " +
			"contact.firstName REQUIRED, contact.lastName REQUIRED, contact.email REQUIRED, contact.phone REQUIRED, support.email REQUIRED, support.phone REQUIRED, support.website REQUIRED"},
		"nothing, where an ID is asked for": {"BR", func(p *Profile) { p.RegistrationID = "" }, "legal.registrationId REGISTRATION_ID_REQUIRED"},
		"name of 2":                         {"IT", func(p *Profile) { p.LegalName = "3M" }, ""},
		"name of 1":                         {"IT", func(p *Profile) { p.LegalName = "X" }, "legal.name TOO_SHORT"},
		"name of 100":                       {"IT", func(p *Profile) { p.LegalName = x(100) }, ""},
		"name of 101":                       {"IT", func(p *Profile) { p.LegalName = x(101) }, "legal.name TOO_LONG"},
		"name of 100 wide letters":          {"IT", func(p *Profile) { p.LegalName = strings.Repeat("株", 100) }, ""},
		"name of specials":                  {"IT", func(p *Profile) { p.LegalName = "!!! ***" }, "legal.name NAME_INVALID"},
		"bare legal form":                   {"IT", func(p *Profile) { p.LegalName = "S.p.A." }, "legal.name NAME_INVALID"},
		"hidden characters in name":         {"IT", func(p *Profile) { p.LegalName = "Ac\u200bme" }, "legal.name CONTROL_CHARACTERS"},
		"link in name":                      {"IT", func(p *Profile) { p.LegalName = "Acme evil.com" }, "legal.name LINK_NOT_ALLOWED"},
		"registration ID, badly":            {"IT", func(p *Profile) { p.RegistrationID = "IT 00743110158" }, "legal.registrationId REGISTRATION_ID_INVALID"},
		"registration ID left out":          {"IT", func(p *Profile) { p.RegistrationID = "" }, ""},
		"registration ID, too long":         {"IT", func(p *Profile) { p.RegistrationID = x(51) }, "legal.registrationId TOO_LONG"},
		"website left out":                  {"IT", func(p *Profile) { p.Website = "" }, ""},
		"website of no host":                {"IT", func(p *Profile) { p.Website = "acme.example" }, "legal.website WEBSITE_INVALID"},
		"website that is a script":          {"IT", func(p *Profile) { p.Website = "javascript:alert(1)" }, "legal.website WEBSITE_INVALID"},
		"line 1 of 200":                     {"IT", func(p *Profile) { p.Address.Line1 = x(200) }, ""},
		"line 1 of 201":                     {"IT", func(p *Profile) { p.Address.Line1 = x(201) }, "legal.address.line1 TOO_LONG"},
		"line 2 of 200":                     {"IT", func(p *Profile) { p.Address.Line2 = x(200) }, ""},
		"line 2 of 201":                     {"IT", func(p *Profile) { p.Address.Line2 = x(201) }, "legal.address.line2 TOO_LONG"},
		"line 2 with a link":                {"IT", func(p *Profile) { p.Address.Line2 = "www.evil.com" }, "legal.address.line2 LINK_NOT_ALLOWED"},
		"no postal code there":              {"AE", func(p *Profile) { p.Address.PostalCode, p.RegistrationID = "", "100123456700003" }, ""},
		"postal code of signs":              {"IT", func(p *Profile) { p.Address.PostalCode = "20-/1" }, "legal.address.postalCode POSTAL_CODE_INVALID"},
		"British postal code":               {"GB", func(p *Profile) { p.Address.PostalCode, p.RegistrationID = "SW1A 1AA", "" }, ""},
		"state left out":                    {"US", func(p *Profile) { p.RegistrationID = "" }, "legal.address.state REQUIRED"},
		"state of another country":          {"US", func(p *Profile) { p.RegistrationID, p.Address.State = "", "ON" }, "legal.address.state STATE_UNKNOWN"},
		"state by name":                     {"US", func(p *Profile) { p.RegistrationID, p.Address.State = "", "new york" }, ""},
		"state where there are none":        {"IT", func(p *Profile) { p.Address.State = "MI" }, "legal.address.state STATE_NOT_OF_COUNTRY"},
		"contact's names of 50":             {"IT", func(p *Profile) { p.Contact.FirstName, p.Contact.LastName = x(50), "Q" }, ""},
		"contact's names of 51":             {"IT", func(p *Profile) { p.Contact.FirstName, p.Contact.LastName = x(51), x(51) }, "contact.firstName TOO_LONG, contact.lastName TOO_LONG"},
		"webmail":                           {"IT", func(p *Profile) { p.Contact.Email = "Carla@GMail.COM" }, "contact.email EMAIL_WEBMAIL"},
		"webmail of Italy":                  {"IT", func(p *Profile) { p.Contact.Email = "carla@libero.it" }, "contact.email EMAIL_WEBMAIL"},
		"webmail in another country":        {"IT", func(p *Profile) { p.Contact.Email = "carla@yahoo.co.uk" }, "contact.email EMAIL_WEBMAIL"},
		"below webmail":                     {"IT", func(p *Profile) { p.Contact.Email = "carla@mail.outlook.com" }, "contact.email EMAIL_WEBMAIL"},
		"ends like webmail":                 {"IT", func(p *Profile) { p.Contact.Email = "carla@notgmail.com" }, ""},
		"looks like webmail":                {"IT", func(p *Profile) { p.Contact.Email = "carla@gmаil.com" }, "contact.email EMAIL_INVALID"}, // a Cyrillic а
		"full-width webmail":                {"IT", func(p *Profile) { p.Contact.Email = "carla@ｇｍａｉｌ.com" }, "contact.email EMAIL_WEBMAIL"},
		"disposable":                        {"IT", func(p *Profile) { p.Contact.Email = "carla@mailinator.com" }, "contact.email EMAIL_DISPOSABLE"},
		"role mailbox":                      {"IT", func(p *Profile) { p.Contact.Email = "INFO+x@acme.example" }, "contact.email EMAIL_ROLE_MAILBOX"},
		"marketing":                         {"IT", func(p *Profile) { p.Contact.Email = "marketing@acme.example" }, "contact.email EMAIL_ROLE_MAILBOX"},
		"no address":                        {"IT", func(p *Profile) { p.Contact.Email = "carla at acme" }, "contact.email EMAIL_INVALID"},
		"IDN":                               {"IT", func(p *Profile) { p.Contact.Email = "carla@müller.example" }, ""},
		"telephone of 6 digits":             {"IT", func(p *Profile) { p.Contact.Phone = "123456" }, ""},
		"telephone of 5 digits":             {"IT", func(p *Profile) { p.Contact.Phone = "12345" }, "contact.phone PHONE_INVALID"},
		"telephone of 15 digits":            {"IT", func(p *Profile) { p.Contact.Phone = "+123456789012345" }, ""},
		"telephone of 16 digits":            {"IT", func(p *Profile) { p.Contact.Phone = "+1234567890123456" }, "contact.phone PHONE_INVALID"},
		"telephone with 00":                 {"IT", func(p *Profile) { p.Contact.Phone = "00 39 (02) 123-456.7 ext. 12" }, ""},
		"telephone of letters":              {"IT", func(p *Profile) { p.Contact.Phone = "call me" }, "contact.phone PHONE_INVALID"},
		"support by role mailbox":           {"IT", func(p *Profile) { p.Support.Email = "support@acme.example" }, ""},
		"support's website":                 {"IT", func(p *Profile) { p.Support.Website = "ftp://acme.example" }, "support.website WEBSITE_INVALID"},
		"all of it": {"IT", func(p *Profile) {
			p.LegalName, p.Address.City, p.Contact.Email, p.Support.Phone = "srl", "", "info@gmail.com", "1"
		}, "legal.name NAME_INVALID, legal.address.city REQUIRED, contact.email EMAIL_WEBMAIL, support.phone PHONE_INVALID"},
	} {
		p := whole(c.change)
		err := p.Validate(c.country)
		got := ""
		if err != nil {
			got = problems(err)
		}
		if got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, c.want)
		}
		if err == nil {
			if again := p; again.Validate(c.country) != nil || again != p {
				t.Errorf("%s: the stored form is not stable: %+v", name, again)
			}
		}
	}
	p := whole(func(p *Profile) { p.Address.State, p.RegistrationID = "new york", "" })
	if err := p.Validate("us"); err != nil || p.Address.State != "NY" || p.Address.Country != "US" {
		t.Errorf("%+v, %v", p.Address, err)
	}
}

func TestFoldRegistration(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"00743110157", "IT00743110157", "it 007 431-10157"} {
		if got := FoldRegistration("IT", s); got != "00743110157" {
			t.Errorf("%q folds to %q", s, got)
		}
	}
	if got := FoldRegistration("IT", "it 01-2"); got != "IT012" {
		t.Errorf("no number folds to %q", got)
	}
	if FoldName(" ") != "" || FoldName("ACME S.p.A.") != "acme" {
		t.Error("names")
	}
}

// admitted founds an organization and makes its partner, as an approval does.
func (w *world) admitted(domain string, f Profile, programmeID string) (p *Partner, a access.Actor, err error) {
	w.t.Helper()
	var user ident.ID
	err = w.db.InTx(w.t.Context(), func(ctx context.Context, tx *database.Tx) error {
		org, err := w.accounts.Found(ctx, tx, access.System("test"), account.NewOrganization{Kind: access.IndirectReseller, Name: f.LegalName, Domain: domain, Country: "IT"})
		if err != nil {
			return err
		}
		u, _, err := w.accounts.AddUser(ctx, tx, access.System("test"), org, account.NewUser{Email: "gina@" + domain, FirstName: "Gina", LastName: "Rossi",
			Roles: []access.Role{access.GlobalAdmin, access.AdminAgent}, Password: "velvet tractor lagoon 41"})
		if err != nil {
			return err
		}
		user = u.ID
		p, err = w.AdmitTx(ctx, tx, w.chief, org, f, programmeID)
		return err
	})
	if err != nil {
		return nil, access.Actor{}, err
	}
	return p, w.as(user), nil
}

func TestAdmit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	f := whole(nil)
	if err := f.Validate("IT"); err != nil {
		t.Fatal(err)
	}
	p, a, err := w.admitted("acme.example", f, "")
	if err != nil {
		t.Fatal(err)
	}
	got, err := w.ByIDs(t.Context(), a, []ident.ID{p.ID})
	if q := got[p.ID]; err != nil || q == nil || q.Status != Approved || q.Region != "EUROPE" || q.Currency != "EUR" || q.RegistrationIDFolded != "00743110157" ||
		q.Profile() != f || !programmeID.MatchString(q.ProgrammeID) || q.ActivatedAt != nil {
		t.Errorf("got %+v, %v", q, err)
	}
	for name, c := range map[string]struct {
		change func(*Profile)
		id     string
		want   string
	}{
		"the same name":         {func(p *Profile) { p.LegalName, p.RegistrationID = "ACMÉ spa", "" }, "", "legal.name DUPLICATE"},
		"the same registration": {func(p *Profile) { p.LegalName, p.RegistrationID = "Beta", "00743110157" }, "", "legal.registrationId DUPLICATE"},
		"the same programme ID": {func(p *Profile) { p.LegalName, p.RegistrationID = "Beta", "" }, p.ProgrammeID, "programmeId DUPLICATE"},
		"all":                   {func(*Profile) {}, p.ProgrammeID, "legal.name DUPLICATE, legal.registrationId DUPLICATE, programmeId DUPLICATE"},
	} {
		if _, _, err := w.admitted("other.example", whole(c.change), c.id); problems(err) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	q, _, err := w.admitted("beta.example", whole(func(p *Profile) { p.LegalName, p.RegistrationID = "Beta", "" }), "7654321")
	if err != nil || q.ProgrammeID != "7654321" {
		t.Error(q, err)
	}
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		if got, err := w.Taken(ctx, tx, q.OrganizationID, "IT", whole(nil)); err != nil || strings.Join(got, " ") != "legal.name legal.registrationId" {
			t.Errorf("taken: %v, %v", got, err)
		}
		if got, err := w.Taken(ctx, tx, p.OrganizationID, "IT", whole(nil)); err != nil || len(got) != 0 {
			t.Errorf("the own profile is taken: %v, %v", got, err)
		}
		if got, err := w.Taken(ctx, tx, q.OrganizationID, "FR", whole(nil)); err != nil || len(got) != 0 {
			t.Errorf("in another country: %v, %v", got, err)
		}
		return nil
	})
}

func TestUpdateProfile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p, a, err := w.admitted("acme.example", whole(nil), "")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.admitted("beta.example", whole(func(p *Profile) { p.LegalName, p.RegistrationID = "Beta", "" }), ""); err != nil {
		t.Fatal(err)
	}
	update := func(id ident.ID, change func(*Profile)) error {
		return w.db.InTx(t.Context(), func(ctx context.Context, tx *database.Tx) error {
			_, err := w.UpdateProfileTx(ctx, tx, w.chief, id, whole(change))
			return err
		})
	}
	if err := update(p.ID, func(p *Profile) { p.LegalName, p.Contact.FirstName = "Acme Italia S.p.A.", "Dora" }); err != nil {
		t.Error(err)
	}
	if err := update(p.ID, func(p *Profile) { p.LegalName = "BETA srl" }); problems(err) != "legal.name DUPLICATE" {
		t.Error(err)
	}
	if err := update("par_none", nil); !fault.Is(err, fault.CodeNotFound) {
		t.Error(err)
	}
	support := UpdateSupportInput{PartnerID: p.ID, Support: Support{Email: "aiuto@acme.example", Phone: "800 1234567", Website: "https://acme.example"}}
	got, err := w.UpdateSupport(t.Context(), a, support)
	if err != nil || got.LegalName != "Acme Italia S.p.A." || got.LegalNameFolded != "acme italia" || got.Support.Email != "aiuto@acme.example" || got.Version != 3 || got.Country != "IT" {
		t.Errorf("got %+v, %v", got, err)
	}
	if again, err := w.UpdateSupport(t.Context(), a, support); err != nil || again.Version != 3 {
		t.Errorf("the same again: %+v, %v", again, err)
	}
	old := 2
	support.ExpectedVersion = &old
	if _, err := w.UpdateSupport(t.Context(), a, support); !fault.Is(err, fault.CodeConflict) {
		t.Error(err)
	}
	if _, err := w.UpdateSupport(t.Context(), a, UpdateSupportInput{PartnerID: p.ID}); problems(err) != "support.email REQUIRED, support.phone REQUIRED, support.website REQUIRED" {
		t.Error(err)
	}
	support.ExpectedVersion = nil
	_, stranger := w.company("Gamma")
	if _, err := w.UpdateSupport(t.Context(), stranger, support); !fault.Is(err, fault.CodeNotFound) {
		t.Errorf("a stranger: %v", err)
	}
	if _, err := w.UpdateSupport(t.Context(), w.chief, support); !fault.Is(err, fault.CodeRoleRequired) {
		t.Errorf("the operator: %v", err)
	}
}
