package enrollment

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/partner"
	"github.com/channelgraph/channelgraph/internal/register"
)

func TestCheckEmployment(t *testing.T) {
	t.Parallel()
	yes, differs, webmail := finding{true, DomainMatch}, finding{reason: DomainDiffers}, finding{reason: WebmailContact}
	for _, c := range []struct {
		name, email, tenant, website string
		want                         finding
	}{
		{"the work account's domain", "giulia@bianchi.it", "bianchi.it", "", yes},
		{"in any case", "Giulia@BIANCHI.it", "Bianchi.IT", "", yes},
		{"a sub-domain of it", "giulia@mail.roma.bianchi.it", "cloud.bianchi.it", "", yes},
		{"the website's", "giulia@bianchi.it", "bianchi-cloud.com", "https://www.bianchi.it/chi-siamo", yes},
		{"the website's without a scheme", "giulia@bianchi.it", "bianchi-cloud.com", "www.bianchi.it", yes},
		{"the website's with a port", "giulia@bianchi.it", "bianchi-cloud.com", "http://bianchi.it:8080", yes},
		{"another one", "giulia@verdi.it", "bianchi.it", "https://bianchi.it", differs},
		{"one that merely ends alike", "giulia@notbianchi.it", "bianchi.it", "", differs},
		{"one that begins alike", "giulia@bianchi.it.evil.com", "bianchi.it", "", differs},
		{"a Cyrillic а", "giulia@bi\u0430nchi.it", "bianchi.it", "", differs},
		{"the same name in Unicode and punycode", "giulia@xn--mnchen-3ya.de", "münchen.de", "", yes},
		{"free mail", "giulia@gmail.com", "bianchi.it", "", webmail},
		{"free mail that is named as the website", "giulia@gmail.com", "bianchi.it", "https://gmail.com", webmail},
		{"a sub-domain of free mail", "giulia@mail.yahoo.co.uk", "bianchi.it", "", webmail},
		{"a registrable domain of three labels", "a@x.bianchi.co.uk", "y.bianchi.co.uk", "", yes},
		{"companies under one suffix", "a@bianchi.co.uk", "verdi.co.uk", "", differs},
		{"a public suffix itself", "a@co.uk", "co.uk", "https://co.uk", differs},
		{"hosted under one provider", "a@bianchi.github.io", "verdi.github.io", "", differs},
		{"the website's user part", "a@bianchi.it", "verdi.it", "https://bianchi.it@verdi.it/", differs},
		{"the website's path", "a@bianchi.it", "verdi.it", "https://verdi.it/bianchi.it", differs},
		{"nothing", "", "", "", differs},
		{"no address", "bianchi.it", "bianchi.it", "", differs},
	} {
		got := checkEmployment(partner.Profile{Website: c.website, Contact: partner.Contact{Email: c.email}}, c.tenant)
		if got != c.want {
			t.Errorf("%s: got %+v, want %+v", c.name, got, c.want)
		}
	}
}

// The comparison of domains does not depend on the side, nor on what stands in
// front of what was registered, nor on case.
func TestSameHouse(t *testing.T) {
	t.Parallel()
	label := rapid.StringMatching(`casa[a-z0-9]{3,8}`)
	suffix := rapid.SampledFrom([]string{"it", "com", "co.uk", "example", "de"})
	rapid.Check(t, func(t *rapid.T) {
		house := label.Draw(t, "house") + "." + suffix.Draw(t, "suffix")
		other := label.Draw(t, "other") + "." + suffix.Draw(t, "other suffix")
		under := func(d string) string {
			for range rapid.IntRange(0, 3).Draw(t, "depth") {
				d = label.Draw(t, "label") + "." + d
			}
			if rapid.Bool().Draw(t, "upper") {
				d = strings.ToUpper(d)
			}
			return d
		}
		a, b := under(house), under(house)
		if !sameHouse(a, b) {
			t.Fatalf("%s and %s are of one house", a, b)
		}
		if c := under(other); sameHouse(a, c) != sameHouse(c, a) || sameHouse(a, c) != (registered(house) == registered(other)) {
			t.Fatalf("%s and %s", a, c)
		}
	})
}

func TestCheckBusiness(t *testing.T) {
	t.Parallel()
	known := &register.Company{LegalName: "BIANCHI INFORMATICA SRL"}
	e := func(change ...func(*Enrollment)) *Enrollment {
		e := &Enrollment{Country: "IT", Profile: partner.Profile{LegalName: "Bianchi Informatica S.r.l.", RegistrationID: "00743110157"}}
		for _, c := range change {
			c(e)
		}
		return e
	}
	number := func(s string) func(*Enrollment) { return func(e *Enrollment) { e.Profile.RegistrationID = s } }
	enrolled := func(e *Enrollment) { e.AlreadyEnrolled = true }
	for _, c := range []struct {
		name        string
		e           *Enrollment
		duplicate   bool
		found       *register.Company
		unavailable bool
		want        finding
	}{
		{"as the register has it", e(), false, known, false, finding{true, RegisterMatch}},
		{"a duplicate that matches", e(), true, known, false, finding{reason: DuplicateFound}},
		{"a duplicate of an enrolled one", e(enrolled), true, nil, false, finding{reason: DuplicateFound}},
		{"enrolled already", e(enrolled), false, nil, false, finding{true, MembershipEnrolled}},
		{"no number", e(number("")), false, nil, false, finding{reason: RegistrationNotFound}},
		{"a number that cannot be", e(number("00743110158")), false, known, false, finding{reason: RegistrationFormat}},
		{"unknown", e(), false, nil, false, finding{reason: RegistrationNotFound}},
		{"no answer", e(), false, nil, true, finding{reason: RegisterUnavailable}},
		{"dissolved", e(), false, &register.Company{LegalName: "Bianchi Informatica", Dissolved: true}, false, finding{reason: CompanyDissolved}},
		{"another name", e(), false, &register.Company{LegalName: "Verdi S.p.A."}, false, finding{reason: NameDiffers}},
	} {
		if got := checkBusiness(c.e, c.duplicate, c.found, c.unavailable); got != c.want {
			t.Errorf("%s: got %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestMayReview(t *testing.T) {
	t.Parallel()
	rita := ident.New(ident.User)
	now := &[]Due{{}}[0].At
	e := func() *Enrollment {
		return &Enrollment{OrganizationID: "org_1", TenantDomain: "bianchi.it", Profile: partner.Profile{Contact: partner.Contact{Email: "giulia@bianchi-group.com"}}}
	}
	rejected := func(by ident.ID) *Enrollment {
		e := e()
		e.AppealedAt, e.RejectedByID = now, &by
		return e
	}
	reviewer := access.Actor{UserID: rita, OrganizationID: "org_2", Email: "rita@house.example"}
	at := func(email string) access.Actor { r := reviewer; r.Email = email; return r }
	for _, c := range []struct {
		name  string
		e     *Enrollment
		actor access.Actor
		want  string
	}{
		{"somebody else's", e(), reviewer, ""},
		{"the own organization's", e(), access.Actor{UserID: rita, OrganizationID: "org_1", Email: "rita@house.example"}, CodeOwnOrganization},
		{"the work account's domain", e(), at("rita@bianchi.it"), CodeOwnOrganization},
		{"under it, in capitals", e(), at("Rita@Mail.BIANCHI.IT"), CodeOwnOrganization},
		{"the contact's domain", e(), at("rita@x.bianchi-group.com"), CodeOwnOrganization},
		{"a domain that merely ends alike", e(), at("rita@notbianchi.it"), ""},
		{"the own rejection, appealed", rejected(rita), reviewer, CodeSameReviewer},
		{"another's rejection, appealed", rejected(ident.New(ident.User)), reviewer, ""},
		{"the own house comes first", rejected(rita), at("rita@bianchi.it"), CodeOwnOrganization},
	} {
		if got := c.e.mayReview(c.actor); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
	open := rejected(rita)
	open.AppealedAt = nil
	if got := open.mayReview(reviewer); got != "" {
		t.Errorf("without an appeal: %q", got)
	}
}

func TestConcerned(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		changed string
		want    []CheckKind
	}{
		{"contact.email", []CheckKind{EmailOwnership, Employment}},
		{"contact.firstName", []CheckKind{EmailOwnership}},
		{"contact.phone", nil},
		{"legal.name", []CheckKind{Business}},
		{"legal.address.city", []CheckKind{Business}},
		{"legal.website", []CheckKind{Employment}},
		{"legal.registrationId contact.email", CheckKinds},
	} {
		if got := concerned(strings.Fields(c.changed)); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.changed, got, c.want)
		}
	}
}
