// Package partner owns the partner profile of an organization: kind,
// programme ID, legal profile, region and status. It never changes a partner's
// kind, country, region or currency after it was made, and never decides an
// enrollment.
//
// Invariant: one profile an organization; programme ID, legal name within a
// country, registration ID within a country and tenant domain are unique.
package partner

import (
	"time"

	"github.com/uptrace/bun"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/region"
)

// Status is where a partner stands in the programme.
type Status string

// Statuses of a partner. Approved lacks only the agreement; Suspended and
// Closed do no new business.
const (
	Applying  Status = "APPLYING"
	Approved  Status = "APPROVED"
	Active    Status = "ACTIVE"
	Suspended Status = "SUSPENDED"
	Closed    Status = "CLOSED"
)

// Partner is the partner profile of an organization.
type Partner struct {
	bun.BaseModel   `bun:"table:partner,alias:partner"`
	ID              ident.ID    `bun:"id,pk"`
	OrganizationID  ident.ID    `bun:"organization_id"`
	Kind            access.Kind `bun:"kind"`
	Status          Status      `bun:"status"`
	ProgrammeID     string      `bun:"programme_id"`
	LegalName       string      `bun:"legal_name"`
	LegalNameFolded string      `bun:"legal_name_folded"`
	TenantDomain    string      `bun:"tenant_domain"`
	Website         string      `bun:"website"`
	// RegistrableDomain is the registrable part of the tenant domain, by
	// which affiliates are found (spec section 6).
	RegistrableDomain    string      `bun:"registrable_domain"`
	RegistrationID       string      `bun:"registration_id"`
	RegistrationIDFolded string      `bun:"registration_id_folded"`
	Country              string      `bun:"country"`
	Region               region.Code `bun:"region"`
	Currency             string      `bun:"currency"`
	AgreementVersion     string      `bun:"agreement_version"`
	AgreementSignedAt    *time.Time  `bun:"agreement_signed_at"`
	// AgreementDueAt is until when a newer version of the agreement must be
	// signed; nil where there is none.
	AgreementDueAt *time.Time `bun:"agreement_due_at"`
	// StatusReason is why the operator suspended or closed it, "" otherwise.
	StatusReason    string     `bun:"status_reason"`
	StatusChangedAt *time.Time `bun:"status_changed_at"`
	// Address, Contact and Support complete the profile; those of a partner
	// that the operator registered may be empty.
	Address     Address    `bun:"address,type:jsonb"`
	Contact     Contact    `bun:"contact,type:jsonb"`
	Support     Support    `bun:"support,type:jsonb"`
	Version     int        `bun:"version"`
	ActivatedAt *time.Time `bun:"activated_at"`
	CreatedAt   time.Time  `bun:"created_at"`
	UpdatedAt   time.Time  `bun:"updated_at"`
}

// AgreementSigned reports whether the partner agreement counts as signed at
// now: its newest version is, or an older one and there is still time for the
// newest. Without it no new business is done with the partner (spec section 2).
func (p *Partner) AgreementSigned(now time.Time) bool {
	return p.AgreementSignedAt != nil && (p.AgreementDueAt == nil || now.Before(*p.AgreementDueAt))
}

// IsActive reports whether the partner takes part in the programme.
func (p *Partner) IsActive() bool { return p.Status == Active }

// Affiliated reports whether two profiles look like one house: equal
// registration ID, equal registrable domain, or equal folded legal name in
// one country (spec section 6). Declared affiliations are kept apart.
func Affiliated(a, b *Partner) bool {
	switch {
	case a.Country == b.Country && a.RegistrationIDFolded != "" && a.RegistrationIDFolded == b.RegistrationIDFolded:
		return true
	case a.RegistrableDomain != "" && a.RegistrableDomain == b.RegistrableDomain:
		return true
	case a.Country == b.Country && a.LegalNameFolded == b.LegalNameFolded:
		return true
	}
	return false
}

// Card is what the other side of a proposal may read of a partner before
// there is any relation between them.
type Card struct {
	LegalName string
	Country   string
	Region    region.Code
	Kind      access.Kind
}

// Card makes the partner's public card.
func (p *Partner) Card() Card {
	return Card{LegalName: p.LegalName, Country: p.Country, Region: p.Region, Kind: p.Kind}
}
