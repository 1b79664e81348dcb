package partner

import (
	"context"

	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/event"
	"github.com/channelgraph/channelgraph/internal/fault"
)

// taken names the fields by which another partner stands already.
func taken(ctx context.Context, tx *database.Tx, p *Partner) ([]string, error) {
	var row struct{ Name, Registration, Programme bool }
	err := tx.NewSelect().
		ColumnExpr("EXISTS (SELECT 1 FROM partner WHERE country = ?0 AND legal_name_folded = ?1 AND organization_id <> ?2) AS name",
			p.Country, p.LegalNameFolded, p.OrganizationID).
		ColumnExpr("EXISTS (SELECT 1 FROM partner WHERE country = ?0 AND registration_id_folded = ?1 AND registration_id_folded <> '' AND organization_id <> ?2) AS registration",
			p.Country, p.RegistrationIDFolded, p.OrganizationID).
		ColumnExpr("EXISTS (SELECT 1 FROM partner WHERE programme_id = ?0 AND organization_id <> ?1) AS programme", p.ProgrammeID, p.OrganizationID).
		Scan(ctx, &row)
	if err != nil {
		return nil, err
	}
	var out []string
	if row.Name {
		out = append(out, "legal.name")
	}
	if row.Registration {
		out = append(out, "legal.registrationId")
	}
	if row.Programme {
		out = append(out, "programmeId")
	}
	return out, nil
}

// saveProfile writes the profile of a held partner back, guarded by its
// version, and tells those who watch.
func saveProfile(ctx context.Context, tx *database.Tx, p *Partner) error {
	p.Version++
	p.UpdatedAt = tx.Now
	res, err := tx.NewUpdate().Model(p).WherePK().Where("version = ?", p.Version-1).
		Column("legal_name", "legal_name_folded", "registration_id", "registration_id_folded", "website", "address", "contact", "support", "version", "updated_at").
		Exec(ctx)
	if database.IsUnique(err) { // two at the same moment
		return fault.Invalid("", CodeDuplicate)
	}
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		return fault.Conflict("", fault.CodeConflict)
	}
	return event.Record(ctx, tx, event.PartnerChanged, p.ID, p.ID, "")
}
