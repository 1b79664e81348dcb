// Package customer owns customers: their record, which partners they have
// relationships with, the customer agreement, the invitations that ask them,
// grants of delegated administration, and who may sell to whom (spec sections
// 4 and 6). It never decides anything about offers, orders or subscriptions.
//
// Invariant: a partner sees a customer while its own relationship is active
// and not a moment longer; one row for a customer and a partner; a grant never
// outlives its end, its withdrawal or its relationship.
package customer

import (
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/address"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/partner"
	"github.com/channelgraph/channelgraph/internal/region"
)

// Status is where a customer stands.
type Status string

// Statuses of a customer. With a suspended one no new business is done.
const (
	Active    Status = "ACTIVE"
	Suspended Status = "SUSPENDED"
)

// Customer is an end customer: an organization with its own tenant.
type Customer struct {
	bun.BaseModel  `bun:"table:customer,alias:customer"`
	ID             ident.ID `bun:"id,pk"`
	OrganizationID ident.ID `bun:"organization_id"`
	CompanyName    string   `bun:"company_name"`
	NameFolded     string   `bun:"name_folded"`
	// Domain names the tenant: lower case, ASCII.
	Domain               string      `bun:"domain"`
	Country              string      `bun:"country"`
	Region               region.Code `bun:"region"`
	RegistrationID       string      `bun:"registration_id"`
	RegistrationIDFolded string      `bun:"registration_id_folded"`
	// Address is empty for a customer that has told none yet.
	Address      partner.Address `bun:"address,type:jsonb"`
	BillingEmail string          `bun:"billing_email"`
	Phone        string          `bun:"phone"`
	// Locale is the language of mails to it: en or it.
	Locale string `bun:"locale"`
	// AzureType says that its partners may own its tenant's resources.
	AzureType bool   `bun:"azure_type"`
	Status    Status `bun:"status"`
	// AgreedAt is when the customer agreement was first attested or accepted;
	// nil while it is missing.
	AgreedAt  *time.Time `bun:"agreed_at"`
	Version   int        `bun:"version"`
	CreatedAt time.Time  `bun:"created_at"`
	UpdatedAt time.Time  `bun:"updated_at"`

	// OwnKind and CounterpartID are of the reader's own relationship, filled
	// by reading inside a partner's scope: on which side of it the reader
	// stands, and whom it came with.
	OwnKind       Kind     `bun:"own_kind,scanonly"`
	CounterpartID ident.ID `bun:"own_counterpart_id,scanonly"`
	// SinceAt is, in a list, since when: as a partner's customer, otherwise at
	// all.
	SinceAt time.Time `bun:"since_at,scanonly"`
	// ListTotal is, in a list, how many customers it has in all, where that
	// was asked for with the page.
	ListTotal int `bun:"list_total,scanonly"`
}

// HasAgreement reports whether the customer agreement is there.
func (c *Customer) HasAgreement() bool { return c.AgreedAt != nil }

// ResellerFor is the reseller that a reading partner has the customer with, or
// is itself; "" for none and for other readers.
func (c *Customer) ResellerFor(reader ident.ID) ident.ID {
	switch c.OwnKind {
	case AsReseller:
		return reader
	case AsProvider:
		return c.CounterpartID
	}
	return ""
}

// SellerFor is likewise who sells: the provider, or the direct-bill partner.
func (c *Customer) SellerFor(reader ident.ID) ident.ID {
	switch c.OwnKind {
	case AsReseller:
		return c.CounterpartID
	case AsProvider, AsDirectBill:
		return reader
	}
	return ""
}

// facts are by what the customer is compared with partners. The domain of a
// tenant that we named tells nothing about who it belongs to.
func (c *Customer) facts(suffix string) partner.Facts {
	f := partner.Facts{Country: c.Country, NameFolded: c.NameFolded, RegistrationIDFolded: c.RegistrationIDFolded, Domain: c.Domain}
	f.RegistrableDomain = registrable(c.Domain, suffix)
	return f
}

func registrable(domain, suffix string) string {
	if domain == "" || strings.HasSuffix(domain, "."+suffix) {
		return ""
	}
	return address.Registrable(domain)
}

// Kind is what a partner is to a customer.
type Kind string

// Kinds of relationship.
const (
	AsProvider   Kind = "PROVIDER"
	AsReseller   Kind = "RESELLER"
	AsDirectBill Kind = "DIRECT_BILL"
)

// KindOf is the kind of relationship that a kind of partner has; "" for none.
func KindOf(k access.Kind) Kind {
	switch k {
	case access.IndirectProvider:
		return AsProvider
	case access.IndirectReseller:
		return AsReseller
	case access.DirectBill:
		return AsDirectBill
	}
	return ""
}

// RelationshipStatus is where a relationship stands.
type RelationshipStatus string

// Statuses of a relationship.
const (
	Related RelationshipStatus = "ACTIVE"
	Removed RelationshipStatus = "REMOVED"
)

// Relationship joins a customer and a partner.
type Relationship struct {
	bun.BaseModel `bun:"table:relationship,alias:relationship"`
	ID            ident.ID `bun:"id,pk"`
	CustomerID    ident.ID `bun:"customer_id"`
	PartnerID     ident.ID `bun:"partner_id"`
	Kind          Kind     `bun:"kind"`
	// CounterpartID is whom it came with: on a provider's row the reseller, on
	// a reseller's row the provider, "" for none.
	CounterpartID ident.ID           `bun:"counterpart_id"`
	Status        RelationshipStatus `bun:"status"`
	RemovedReason string             `bun:"removed_reason"`
	RemovedAt     *time.Time         `bun:"removed_at"`
	RemovedByID   ident.ID           `bun:"removed_by_id"`
	// NameFolded, Domain and Country are the customer's, for the partner's
	// lists.
	NameFolded string    `bun:"name_folded"`
	Domain     string    `bun:"domain"`
	Country    string    `bun:"country"`
	Version    int       `bun:"version"`
	CreatedAt  time.Time `bun:"created_at"`
	UpdatedAt  time.Time `bun:"updated_at"`
}

// Active reports whether the relationship is there.
func (r *Relationship) Active() bool { return r != nil && r.Status == Related }

// linked reports whether two partners of one customer have it together, as
// provider and reseller.
func linked(a, b *Relationship) bool {
	return a.Active() && b.Active() && (a.CounterpartID == b.PartnerID || b.CounterpartID == a.PartnerID)
}

// AgreementKind is how a customer agreement came about.
type AgreementKind string

// Kinds of customer agreement.
const (
	Attested AgreementKind = "ATTESTED"
	Accepted AgreementKind = "ACCEPTED"
)

// Agreement says that a customer agreed to the customer agreement: a seller
// attests it, or the customer itself accepts it. One is enough.
type Agreement struct {
	bun.BaseModel `bun:"table:customer_agreement,alias:customer_agreement"`
	ID            ident.ID `bun:"id,pk"`
	CustomerID    ident.ID `bun:"customer_id"`
	// PartnerID is who attests, or whose invitation was accepted.
	PartnerID ident.ID      `bun:"partner_id"`
	Kind      AgreementKind `bun:"kind"`
	FirstName string        `bun:"first_name"`
	LastName  string        `bun:"last_name"`
	Email     string        `bun:"email"`
	Phone     string        `bun:"phone"`
	// AgreedOn is the day, YYYY-MM-DD.
	AgreedOn     string    `bun:"agreed_on"`
	RecordedByID ident.ID  `bun:"recorded_by_id"`
	CreatedAt    time.Time `bun:"created_at"`
}

// Role is what a grant lets a partner do in a customer's account.
type Role string

// Delegated roles. An account administrator may what support and billing may;
// a tenant owner owns the resources of an Azure-type customer.
const (
	AccountAdmin Role = "ACCOUNT_ADMIN"
	Support      Role = "SUPPORT"
	Billing      Role = "BILLING"
	TenantOwner  Role = "TENANT_OWNER"
)

// Roles lists all delegated roles.
var Roles = []Role{AccountAdmin, Support, Billing, TenantOwner}

// GrantStatus is where a grant stands.
type GrantStatus string

// Statuses of a grant.
const (
	GrantActive    GrantStatus = "ACTIVE"
	GrantExpired   GrantStatus = "EXPIRED"
	GrantWithdrawn GrantStatus = "WITHDRAWN"
)

// Bounds of grants (spec section 4).
const (
	MinGrantDays = 1
	MaxGrantDays = 730
	// DefaultGrantDays is the life of a grant that nobody said more about.
	DefaultGrantDays = 365
	// ExtendDays is by how much a grant extends itself, where it does.
	ExtendDays = 180
)

// NoticeDays are how long before its end both sides are told of it.
var NoticeDays = []int{30, 7, 1}

// Grant lets a partner administer in a customer's account until it ends.
type Grant struct {
	bun.BaseModel  `bun:"table:customer_grant,alias:customer_grant"`
	ID             ident.ID  `bun:"id,pk"`
	RelationshipID ident.ID  `bun:"relationship_id"`
	CustomerID     ident.ID  `bun:"customer_id"`
	PartnerID      ident.ID  `bun:"partner_id"`
	Roles          []Role    `bun:"roles,type:jsonb"`
	StartsAt       time.Time `bun:"starts_at"`
	EndsAt         time.Time `bun:"ends_at"`
	// AutoExtendDays is by how much it extends itself at its end; 0 not.
	AutoExtendDays int         `bun:"auto_extend_days"`
	Status         GrantStatus `bun:"status"`
	WithdrawnAt    *time.Time  `bun:"withdrawn_at"`
	// WithdrawnByID is who withdrew it, "" where its relationship ended.
	WithdrawnByID ident.ID   `bun:"withdrawn_by_id"`
	NextActionAt  *time.Time `bun:"next_action_at"`
	Version       int        `bun:"version"`
	CreatedAt     time.Time  `bun:"created_at"`
	UpdatedAt     time.Time  `bun:"updated_at"`
}

const day = 24 * time.Hour

// Effective reports whether the grant counts at now; it asks no job to have
// run.
func (g *Grant) Effective(now time.Time) bool {
	return g.Status == GrantActive && !now.Before(g.StartsAt) && now.Before(g.EndsAt)
}

// Allows reports whether the grant gives a role.
func (g *Grant) Allows(r Role) bool {
	return slices.Contains(g.Roles, r) || slices.Contains(g.Roles, AccountAdmin) && (r == Support || r == Billing)
}

// Step is what falls due for a grant next.
type Step string

// Steps of a grant's life.
const (
	StepNone   Step = ""
	StepNotice Step = "notice"
	StepEnd    Step = "end"
)

// Next computes the step that comes first after a moment: the notices before
// the end that lie ahead, then the end. A notice that would fall before the
// grant's beginning is left out.
func (g *Grant) Next(after time.Time) (Step, time.Time) {
	if g.Status != GrantActive {
		return StepNone, time.Time{}
	}
	for _, days := range NoticeDays {
		at := g.EndsAt.Add(-time.Duration(days) * day)
		if at.After(after) && at.After(g.StartsAt) {
			return StepNotice, at
		}
	}
	return StepEnd, g.EndsAt
}

// Invitation is what an invitation of a customer offers, beside the mechanics
// that all invitations share: whom the customer is to have a relationship
// with, and which administration is to be delegated.
type Invitation struct {
	bun.BaseModel `bun:"table:customer_invitation,alias:customer_invitation"`
	InvitationID  ident.ID `bun:"invitation_id,pk"`
	// SellerID is the provider or direct-bill partner, ResellerID who asks
	// together with a provider, "" for none.
	SellerID   ident.ID `bun:"seller_id"`
	ResellerID ident.ID `bun:"reseller_id"`
	// Roles are asked for; the customer may accept without them.
	Roles          []Role `bun:"roles,type:jsonb"`
	GrantDays      int    `bun:"grant_days"`
	AutoExtendDays int    `bun:"auto_extend_days"`
	// CustomerID is who accepted, "" until somebody did.
	CustomerID ident.ID `bun:"customer_id"`
}

// Parties lists the partners that the customer is asked for.
func (i *Invitation) Parties() []ident.ID {
	if i.ResellerID == "" {
		return []ident.ID{i.SellerID}
	}
	return []ident.ID{i.SellerID, i.ResellerID}
}
