package enrollment

import (
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/address"
	"github.com/channelgraph/channelgraph/internal/partner"
	"github.com/channelgraph/channelgraph/internal/register"
	"github.com/channelgraph/channelgraph/internal/taxid"
)

// finding is what the automatic part of a check came to: it passed, or a
// reviewer looks at it, and why. It never fails.
type finding struct {
	passed bool
	reason CheckReason
}

// checkEmployment compares the registrable domain of the contact's address
// with the work account's and the website's. A mailbox that anybody gets for
// free proves nothing, and neither does a public suffix, under which
// everybody registers.
func checkEmployment(p partner.Profile, tenantDomain string) finding {
	contact := domainOf(p.Contact.Email)
	switch {
	case contact != "" && (address.Webmail(contact) || address.Disposable(contact)):
		return finding{reason: WebmailContact}
	case sameHouse(contact, tenantDomain), sameHouse(contact, host(p.Website)):
		return finding{true, DomainMatch}
	}
	return finding{reason: DomainDiffers}
}

// domainOf is the domain of an address, "" where it is none.
func domainOf(email string) string {
	a, err := address.Parse(email)
	if err != nil {
		return ""
	}
	return a.Domain
}

// sameHouse reports whether two domains are under one that somebody
// registered.
func sameHouse(a, b string) bool {
	a, b = registered(a), registered(b)
	return a != "" && a == b
}

// registered is the part of a domain that its owner registered, "" for what is
// no domain, and for a public suffix.
func registered(domain string) string {
	d, err := address.Domain(domain)
	if err != nil {
		return ""
	}
	if d, err = publicsuffix.EffectiveTLDPlusOne(d); err != nil {
		return ""
	}
	return d
}

// host is the host of a website that was written as a URL or a bare name.
func host(website string) string {
	website = strings.TrimSpace(website)
	if !strings.Contains(website, "://") {
		website = "https://" + website
	}
	u, err := url.Parse(website)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

// checkBusiness looks for duplicates first, since a company that is registered
// twice matches the register twice. Without a registration ID there is nothing
// to look up. unavailable says that the register did not answer.
func checkBusiness(e *Enrollment, duplicate bool, found *register.Company, unavailable bool) finding {
	p := e.Profile
	switch {
	case duplicate:
		return finding{reason: DuplicateFound}
	case e.AlreadyEnrolled:
		return finding{true, MembershipEnrolled}
	case p.RegistrationID == "":
		return finding{reason: RegistrationNotFound}
	case !formed(e.Country, p.RegistrationID):
		return finding{reason: RegistrationFormat}
	case unavailable:
		return finding{reason: RegisterUnavailable}
	case found == nil:
		return finding{reason: RegistrationNotFound}
	case found.Dissolved:
		return finding{reason: CompanyDissolved}
	case !found.Named(p.LegalName):
		return finding{reason: NameDiffers}
	}
	return finding{true, RegisterMatch}
}

// formed reports whether a text can be a registration ID of a country.
func formed(country, registrationID string) bool {
	_, problem := taxid.Check(country, registrationID)
	return problem == ""
}

// ownHouse reports whether an enrollment is that of the reviewer's own house:
// the same organization, or an address under the domain of the applicant's
// work account or contact.
func (e *Enrollment) ownHouse(organization, email string) bool {
	own := domainOf(email)
	return organization == string(e.OrganizationID) || sameHouse(own, e.TenantDomain) || sameHouse(own, domainOf(e.Profile.Contact.Email))
}

// mayReview says why a reviewer may not work an enrollment, "" where nothing
// is against it: it is of the own house, or it is an appeal against the own
// decision.
func (e *Enrollment) mayReview(reviewer access.Actor) string {
	switch {
	case e.ownHouse(string(reviewer.OrganizationID), reviewer.Email):
		return CodeOwnOrganization
	case e.AppealedAt != nil && e.RejectedByID != nil && *e.RejectedByID == reviewer.UserID:
		return CodeSameReviewer
	}
	return ""
}

// passedAll reports whether all checks of an enrollment have passed.
func passedAll(checks []*Check) bool {
	return !slices.ContainsFunc(checks, func(c *Check) bool { return c.Status != CheckPassed })
}

// concerned are the checks that changed fields ask for, by the paths that
// Corrections.Apply names: another contact confirms its address, the address
// and the website bear on employment, the rest of the legal profile on the
// business. A telephone number is nobody's business but the partner's.
func concerned(changed []string) []CheckKind {
	has := map[CheckKind]bool{}
	for _, path := range changed {
		switch {
		case path == "contact.email":
			has[EmailOwnership], has[Employment] = true, true
		case path == "contact.firstName", path == "contact.lastName":
			has[EmailOwnership] = true
		case path == "legal.website":
			has[Employment] = true
		case strings.HasPrefix(path, "legal."):
			has[Business] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(CheckKinds), func(k CheckKind) bool { return !has[k] })
}
