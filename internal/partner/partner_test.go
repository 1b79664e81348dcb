package partner

import (
	"strings"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/address"
	"github.com/channelgraph/channelgraph/internal/fault"
)

func ptr[T any](v T) *T { return &v }

var now = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

func valid() RegisterInput {
	return RegisterInput{Kind: access.IndirectReseller, LegalName: "Bianchi Informatica S.r.l.", TenantDomain: "bianchi.example", Country: "IT",
		AgreementSignedAt: &now, AgreementVersion: ptr("2026-01"),
		Admin: Admin{Email: "gina@bianchi.example", FirstName: "Gina", LastName: "Bianchi"}}
}

// The validation table of spec section 2, at its edges.
func TestValidate(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*RegisterInput)
		want   string // path and code; "" for accepted
	}{
		"valid":                         {func(*RegisterInput) {}, ""},
		"provider":                      {func(in *RegisterInput) { in.Kind = access.IndirectProvider }, ""},
		"direct-bill":                   {func(in *RegisterInput) { in.Kind = access.DirectBill }, ""},
		"operator":                      {func(in *RegisterInput) { in.Kind = access.Operator }, "kind KIND_INVALID"},
		"customer":                      {func(in *RegisterInput) { in.Kind = access.Customer }, "kind KIND_INVALID"},
		"no kind":                       {func(in *RegisterInput) { in.Kind = "" }, "kind KIND_INVALID"},
		"no name":                       {func(in *RegisterInput) { in.LegalName = " " }, "legalName REQUIRED"},
		"name of 1":                     {func(in *RegisterInput) { in.LegalName = "A" }, "legalName TOO_SHORT"},
		"name of 2":                     {func(in *RegisterInput) { in.LegalName = "AZ" }, ""},
		"name of 2 in another script":   {func(in *RegisterInput) { in.LegalName = "日本" }, ""},
		"name of 100":                   {func(in *RegisterInput) { in.LegalName = strings.Repeat("ü", 100) }, ""},
		"name of 101":                   {func(in *RegisterInput) { in.LegalName = strings.Repeat("ü", 101) }, "legalName TOO_LONG"},
		"name of a megabyte":            {func(in *RegisterInput) { in.LegalName = strings.Repeat("x", 1<<20) }, "legalName TOO_LONG"},
		"legal form only":               {func(in *RegisterInput) { in.LegalName = "S.r.l." }, "legalName NAME_INVALID"},
		"two legal forms only":          {func(in *RegisterInput) { in.LegalName = "GmbH & Co. KG" }, "legalName NAME_INVALID"},
		"specials only":                 {func(in *RegisterInput) { in.LegalName = "***" }, "legalName NAME_INVALID"},
		"name with a line end":          {func(in *RegisterInput) { in.LegalName = "Acme\r\nBcc: x" }, "legalName CONTROL_CHARACTERS"},
		"name turned around":            {func(in *RegisterInput) { in.LegalName = "Acme \u202Egro" }, "legalName CONTROL_CHARACTERS"},
		"name with a link":              {func(in *RegisterInput) { in.LegalName = "Acme https://evil.example" }, "legalName LINK_NOT_ALLOWED"},
		"domain in capitals":            {func(in *RegisterInput) { in.TenantDomain = "Bianchi.EXAMPLE" }, ""},
		"international domain":          {func(in *RegisterInput) { in.TenantDomain = "bücher.example" }, ""},
		"no domain":                     {func(in *RegisterInput) { in.TenantDomain = "" }, "tenantDomain DOMAIN_INVALID"},
		"one label":                     {func(in *RegisterInput) { in.TenantDomain = "localhost" }, "tenantDomain DOMAIN_INVALID"},
		"IP address":                    {func(in *RegisterInput) { in.TenantDomain = "192.0.2.1" }, "tenantDomain DOMAIN_INVALID"},
		"domain with a path":            {func(in *RegisterInput) { in.TenantDomain = "bianchi.example/x" }, "tenantDomain DOMAIN_INVALID"},
		"country in small letters":      {func(in *RegisterInput) { in.Country = "it" }, ""},
		"no country":                    {func(in *RegisterInput) { in.Country = "" }, "country COUNTRY_UNKNOWN"},
		"unknown country":               {func(in *RegisterInput) { in.Country = "XX" }, "country COUNTRY_UNKNOWN"},
		"long country":                  {func(in *RegisterInput) { in.Country = "ITA" }, "country COUNTRY_UNKNOWN"},
		"registration ID missing":       {func(in *RegisterInput) { in.Country = "BR" }, "registrationId REGISTRATION_ID_REQUIRED"},
		"registration ID empty":         {func(in *RegisterInput) { in.Country, in.RegistrationID = "BR", ptr("  ") }, "registrationId REGISTRATION_ID_REQUIRED"},
		"registration ID there":         {func(in *RegisterInput) { in.Country, in.RegistrationID = "BR", ptr("12.345.678/0001-95") }, ""},
		"registration ID not asked for": {func(in *RegisterInput) { in.RegistrationID = ptr("") }, ""},
		"registration ID of 50":         {func(in *RegisterInput) { in.RegistrationID = ptr(strings.Repeat("1", 50)) }, ""},
		"registration ID of 51":         {func(in *RegisterInput) { in.RegistrationID = ptr(strings.Repeat("1", 51)) }, "registrationId TOO_LONG"},
		"website":                       {func(in *RegisterInput) { in.Website = ptr("https://www.bianchi.example/it?x=1") }, ""},
		"website over http":             {func(in *RegisterInput) { in.Website = ptr("http://bianchi.example") }, ""},
		"website without scheme":        {func(in *RegisterInput) { in.Website = ptr("bianchi.example") }, "website WEBSITE_INVALID"},
		"website as script":             {func(in *RegisterInput) { in.Website = ptr("javascript:alert(1)//bianchi.example") }, "website WEBSITE_INVALID"},
		"website with a user":           {func(in *RegisterInput) { in.Website = ptr("https://bank.example@evil.example") }, "website WEBSITE_INVALID"},
		"website at an address":         {func(in *RegisterInput) { in.Website = ptr("https://127.0.0.1/") }, "website WEBSITE_INVALID"},
		"website of 301":                {func(in *RegisterInput) { in.Website = ptr("https://bianchi.example/" + strings.Repeat("x", 277)) }, "website WEBSITE_INVALID"},
		"website with a line end":       {func(in *RegisterInput) { in.Website = ptr("https://bianchi.example/\n") }, "website WEBSITE_INVALID"},
		"programme ID":                  {func(in *RegisterInput) { in.ProgrammeID = ptr("1000000") }, ""},
		"programme ID of 6":             {func(in *RegisterInput) { in.ProgrammeID = ptr("999999") }, "programmeId PROGRAMME_ID_INVALID"},
		"programme ID of 8":             {func(in *RegisterInput) { in.ProgrammeID = ptr("10000000") }, "programmeId PROGRAMME_ID_INVALID"},
		"programme ID from 0":           {func(in *RegisterInput) { in.ProgrammeID = ptr("0123456") }, "programmeId PROGRAMME_ID_INVALID"},
		"programme ID with a line end":  {func(in *RegisterInput) { in.ProgrammeID = ptr("1234567\n") }, "programmeId PROGRAMME_ID_INVALID"},
		"programme ID of other digits":  {func(in *RegisterInput) { in.ProgrammeID = ptr("١٢٣٤٥٦٧") }, "programmeId PROGRAMME_ID_INVALID"},
		"approved":                      {func(in *RegisterInput) { in.Status = ptr(Approved) }, ""},
		"suspended":                     {func(in *RegisterInput) { in.Status = ptr(Suspended) }, ""},
		"applying":                      {func(in *RegisterInput) { in.Status = ptr(Applying) }, "status STATUS_INVALID"},
		"closed":                        {func(in *RegisterInput) { in.Status = ptr(Closed) }, "status STATUS_INVALID"},
		"signed now":                    {func(in *RegisterInput) { in.AgreementSignedAt = ptr(now) }, ""},
		"signed in a moment":            {func(in *RegisterInput) { in.AgreementSignedAt = ptr(now.Add(time.Microsecond)) }, "agreementSignedAt DATE_IN_FUTURE"},
		"agreement version of 21":       {func(in *RegisterInput) { in.AgreementVersion = ptr(strings.Repeat("1", 21)) }, "agreementVersion TOO_LONG"},
		"first name of 50":              {func(in *RegisterInput) { in.Admin.FirstName = strings.Repeat("a", 50) }, ""},
		"first name of 51":              {func(in *RegisterInput) { in.Admin.FirstName = strings.Repeat("a", 51) }, "admin.firstName TOO_LONG"},
		"no last name":                  {func(in *RegisterInput) { in.Admin.LastName = "" }, "admin.lastName REQUIRED"},
		"name is a domain":              {func(in *RegisterInput) { in.Admin.LastName = "evil.com" }, "admin.lastName LINK_NOT_ALLOWED"},
		"malformed address":             {func(in *RegisterInput) { in.Admin.Email = "gina@" }, "admin.email EMAIL_INVALID"},
		"two addresses":                 {func(in *RegisterInput) { in.Admin.Email = "a@bianchi.example, b@bianchi.example" }, "admin.email EMAIL_INVALID"},
		"webmail":                       {func(in *RegisterInput) { in.Admin.Email = "gina@gmail.com" }, "admin.email EMAIL_WEBMAIL"},
		"webmail in capitals":           {func(in *RegisterInput) { in.Admin.Email = "Gina@GMAIL.com" }, "admin.email EMAIL_WEBMAIL"},
		"webmail below a sub-domain":    {func(in *RegisterInput) { in.Admin.Email = "gina@mail.yahoo.co.uk" }, "admin.email EMAIL_WEBMAIL"},
		"not webmail by its end":        {func(in *RegisterInput) { in.Admin.Email = "gina@notgmail.com" }, ""},
		"disposable":                    {func(in *RegisterInput) { in.Admin.Email = "gina@mailinator.com" }, "admin.email EMAIL_DISPOSABLE"},
		"role mailbox":                  {func(in *RegisterInput) { in.Admin.Email = "Info@bianchi.example" }, "admin.email EMAIL_ROLE_MAILBOX"},
		"role mailbox with a tag":       {func(in *RegisterInput) { in.Admin.Email = "marketing+x@bianchi.example" }, "admin.email EMAIL_ROLE_MAILBOX"},
		"locale":                        {func(in *RegisterInput) { in.Admin.Locale = ptr("it") }, ""},
		"unknown locale":                {func(in *RegisterInput) { in.Admin.Locale = ptr("de") }, "admin.locale INVALID"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := valid()
			c.change(&in)
			got := ""
			if f := fault.As(in.Validate(now)); f != nil {
				var all []string
				for _, p := range f.Problems {
					if p.Path[0] != "input" || len(p.Path) < 2 {
						t.Errorf("path %v", p.Path)
					}
					all = append(all, strings.Join(p.Path[1:], ".")+" "+p.Code)
					if s := fault.Text("en", p.Code, p.Params); s == p.Code || strings.Contains(s, "{") {
						t.Errorf("%s reads %q", p.Code, s)
					}
				}
				got = strings.Join(all, ", ")
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestValidateTellsEverythingAtOnce(t *testing.T) {
	t.Parallel()
	in := RegisterInput{}
	f := fault.As(in.Validate(now))
	var paths []string
	for _, p := range f.Problems {
		paths = append(paths, strings.Join(p.Path[1:], "."))
	}
	if got := strings.Join(paths, " "); got != "kind legalName tenantDomain country admin.firstName admin.lastName admin.email" {
		t.Errorf("got %s", got)
	}
}

func TestValidateNormalizes(t *testing.T) {
	t.Parallel()
	in := valid()
	in.LegalName, in.TenantDomain, in.Country, in.RegistrationID = "  Bianchi   Informatica ", "Bücher.Example", "it", ptr(" IT 01 ")
	in.Admin.Email = " Gina@BIANCHI.example "
	if err := in.Validate(now); err != nil {
		t.Fatal(err)
	}
	if in.LegalName != "Bianchi Informatica" || in.TenantDomain != "xn--bcher-kva.example" || in.Country != "IT" || *in.RegistrationID != "IT 01" ||
		in.Admin.Email != "Gina@bianchi.example" || *in.Status != Active || *in.Admin.Locale != "it" {
		t.Errorf("got %+v, %s, %s, %s", in, *in.RegistrationID, *in.Status, *in.Admin.Locale)
	}
	in = valid()
	in.Country = "DE"
	if err := in.Validate(now); err != nil || *in.Admin.Locale != "en" {
		t.Errorf("got %s, %v", *in.Admin.Locale, err)
	}
}

// Affiliation as spec section 6 finds it.
func TestAffiliated(t *testing.T) {
	t.Parallel()
	profile := func(country, name, domain, registration string) *Partner {
		return &Partner{Country: country, LegalNameFolded: address.FoldCompany(name), RegistrableDomain: address.Registrable(domain), RegistrationIDFolded: foldRegistration(registration)}
	}
	acme := profile("IT", "ACME S.p.A.", "acme.com", "IT-01.234 567/890")
	for name, c := range map[string]struct {
		other *Partner
		want  bool
	}{
		"itself":                       {acme, true},
		"nothing in common":            {profile("IT", "Beta", "beta.com", "9"), false},
		"registration, written anew":   {profile("IT", "Beta", "beta.com", "it01234567890"), true},
		"registration of elsewhere":    {profile("DE", "Beta", "beta.com", "IT01234567890"), false},
		"neither has one":              {profile("IT", "Beta", "beta.com", ""), false},
		"sub-domain":                   {profile("DE", "Beta", "shop.acme.com", ""), true},
		"domain of the same end":       {profile("DE", "Beta", "myacme.com", ""), false},
		"name in another legal form":   {profile("IT", "Acmé srl", "beta.com", ""), true},
		"name in another country":      {profile("DE", "Acme", "beta.com", ""), false},
		"name that begins alike":       {profile("IT", "Acme Retail", "beta.com", ""), false},
		"shared public suffix, co.uk":  {profile("GB", "Beta", "beta.co.uk", ""), false},
		"registration only of spacing": {profile("IT", "Beta", "beta.com", " - "), false},
	} {
		if Affiliated(acme, c.other) != c.want || Affiliated(c.other, acme) != c.want {
			t.Errorf("%s: want %t both ways", name, c.want)
		}
	}
	none := profile("IT", "Gamma", "gamma.com", "")
	if Affiliated(none, profile("IT", "Delta", "delta.com", "")) {
		t.Error("two without a registration ID are one house")
	}
}

func TestCard(t *testing.T) {
	t.Parallel()
	p := &Partner{LegalName: "Acme", Country: "IT", Region: "EUROPE", Kind: access.IndirectProvider, ProgrammeID: "1234567", RegistrationID: "x", TenantDomain: "acme.com"}
	if got := p.Card(); got != (Card{LegalName: "Acme", Country: "IT", Region: "EUROPE", Kind: access.IndirectProvider}) {
		t.Errorf("got %+v", got)
	}
	if p.AgreementSigned(now) || p.IsActive() {
		t.Error("neither signed nor active")
	}
}
