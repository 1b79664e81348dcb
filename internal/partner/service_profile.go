package partner

import (
	"context"
	"slices"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/address"
	"github.com/channelgraph/channelgraph/internal/audit"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/region"
)

// AdmitTx makes the partner of an organization whose enrollment is being
// approved, in the approving transaction: APPROVED, so that only the agreement
// is missing. It takes the validated profile, the kind and country of the
// organization, and an existing programme ID or "" for a new one. Errors:
// DUPLICATE at legal.name, legal.registrationId or programmeId, where another
// partner stands in the way.
func (s *Service) AdmitTx(ctx context.Context, tx *database.Tx, actor access.Actor, org *account.Organization, f Profile, programmeID string) (*Partner, error) {
	c, _ := region.Find(org.Country)
	p := &Partner{
		ID: ident.New(ident.Partner), OrganizationID: org.ID, Kind: org.Kind, Status: Approved, ProgrammeID: programmeID,
		TenantDomain: org.Domain, RegistrableDomain: address.Registrable(org.Domain), Country: c.Code, Region: c.Region, Currency: c.Currency,
		Version: 1, CreatedAt: tx.Now, UpdatedAt: tx.Now,
	}
	p.take(f)
	if err := s.free(ctx, tx, p); err != nil {
		return nil, err
	}
	if programmeID == "" {
		var err error
		if p.ProgrammeID, err = newProgrammeID(ctx, tx); err != nil {
			return nil, err
		}
	}
	if err := insert(ctx, tx, p); err != nil {
		return nil, err
	}
	return p, audit.Record(ctx, tx, actor, audit.Act{Action: "partner.admitted", TargetID: p.ID, TargetOrganizationID: org.ID})
}

// OnRenamed registers what happens when a partner's legal name changes, for
// concepts that sort by it; it runs in the transaction of the change.
func (s *Service) OnRenamed(fn func(ctx context.Context, tx *database.Tx, p *Partner) error) {
	s.onRenamed = append(s.onRenamed, fn)
}

// UpdateProfileTx replaces the verified profile of a partner, in the
// transaction that approves the change. Errors: NOT_FOUND, DUPLICATE.
func (s *Service) UpdateProfileTx(ctx context.Context, tx *database.Tx, actor access.Actor, id ident.ID, f Profile) (*Partner, error) {
	p, err := hold(ctx, tx, access.System("partner").Scope(), id)
	if err != nil {
		return nil, err
	}
	if p == nil {
		return nil, fault.NotFound("partnerId")
	}
	changed, name := difference(p.Profile(), f), p.LegalNameFolded
	p.take(f)
	if err := s.free(ctx, tx, p); err != nil {
		return nil, err
	}
	if err := saveProfile(ctx, tx, p); err != nil {
		return nil, err
	}
	if p.LegalNameFolded != name {
		for _, fn := range s.onRenamed {
			if err := fn(ctx, tx, p); err != nil {
				return nil, err
			}
		}
	}
	return p, audit.Record(ctx, tx, actor, audit.Act{Action: "partner.profile_changed", TargetID: p.ID, TargetOrganizationID: p.OrganizationID, Changed: changed})
}

// UpdateSupport replaces the support profile, which nobody has to verify.
// Errors: ROLE_REQUIRED, what is wrong with the input, NOT_FOUND, CONFLICT.
func (s *Service) UpdateSupport(ctx context.Context, actor access.Actor, in UpdateSupportInput) (*Partner, error) {
	if err := actor.Require(access.PermSupportProfileEdit); err != nil {
		return nil, err
	}
	if err := in.Validate(); err != nil {
		return nil, err
	}
	var out *Partner
	err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		p, err := hold(ctx, tx, actor.Scope(), in.PartnerID)
		switch {
		case err != nil:
			return err
		case p == nil || p.ID != actor.PartnerID:
			return fault.NotFound("partnerId")
		case in.ExpectedVersion != nil && *in.ExpectedVersion != p.Version:
			return fault.Conflict("expectedVersion", fault.CodeConflict)
		}
		out = p
		if p.Support == in.Support {
			return nil
		}
		p.Support = in.Support
		if err := saveProfile(ctx, tx, p); err != nil {
			return err
		}
		return audit.Record(ctx, tx, actor, audit.Act{Action: "partner.support_changed", TargetID: p.ID, TargetOrganizationID: p.OrganizationID, Changed: []string{"support"}})
	})
	return out, err
}

// Taken names what of a profile another partner than that of the organization
// goes by: "legal.name", "legal.registrationId"; the answer never tells whom.
func (s *Service) Taken(ctx context.Context, tx *database.Tx, organization ident.ID, country string, f Profile) ([]string, error) {
	p := &Partner{OrganizationID: organization, Country: country}
	p.take(f)
	return taken(ctx, tx, p)
}

// ProgrammeIDTaken reports whether a partner goes by a programme ID.
func (s *Service) ProgrammeIDTaken(ctx context.Context, tx *database.Tx, id string) (bool, error) {
	return programmeTaken(ctx, tx, id)
}

// free refuses a profile that another partner goes by.
func (s *Service) free(ctx context.Context, tx *database.Tx, p *Partner) error {
	var problems fault.Problems
	paths, err := taken(ctx, tx, p)
	if err != nil {
		return err
	}
	for _, path := range paths {
		problems.Add(path, CodeDuplicate)
	}
	return problems.Err()
}

// difference names the parts in which two profiles differ.
func difference(a, b Profile) []string {
	var out []string
	for _, d := range []struct {
		name string
		same bool
	}{
		{"legalName", a.LegalName == b.LegalName}, {"registrationId", a.RegistrationID == b.RegistrationID}, {"website", a.Website == b.Website},
		{"address", a.Address == b.Address}, {"contact", a.Contact == b.Contact}, {"support", a.Support == b.Support},
	} {
		if !d.same {
			out = append(out, d.name)
		}
	}
	return slices.Clip(out)
}
