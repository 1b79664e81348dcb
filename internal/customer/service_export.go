package customer

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/audit"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/export"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/outbox"
)

// exportKind is a file of customers.
const exportKind export.Kind = "CUSTOMERS"

// Export is a file of customers for one person.
type Export struct{ *export.File }

// exported says how customers are written into files.
func (s *Service) exported() export.Source {
	return export.Source{Kind: exportKind, Prefix: ident.CustomerExport, Permission: access.PermCustomerRead, Verb: "exportCustomers", Name: "customers", Header: header,
		Count: func(ctx context.Context, actor access.Actor, f *export.File, limit int) (int, error) {
			narrowed, err := filterOf(f)
			if err != nil {
				return 0, err
			}
			return countExported(ctx, s.db.Read(), actor.Scope(), narrowed, f, limit)
		},
		Rows: s.exportedRows,
		Job:  func(id ident.ID) outbox.Args { return ExportCustomers{ExportID: id} },
		Record: func(ctx context.Context, tx *database.Tx, actor access.Actor, what export.Step, id ident.ID) error {
			action := map[export.Step]string{export.Requested: "customer.export_requested", export.Exported: "customer.exported", export.Downloaded: "customer.export_downloaded"}[what]
			return audit.Record(ctx, tx, actor, audit.Act{Action: action, TargetID: id})
		}}
}

func filterOf(f *export.File) (Filter, error) {
	var out Filter
	if err := json.Unmarshal(f.Filter, &out); err != nil {
		return out, fmt.Errorf("reading the filter of export %s: %w", f.ID, err)
	}
	return out, nil
}

// header names the columns of a file of customers.
var header = []string{"id", "company_name", "domain", "country", "registration_id", "status", "customer_since", "agreed_at", "reseller_id", "reseller_name",
	"seller_id", "seller_name", "billing_email", "phone", "language"}

// exportedRows reads the next customers of a file as lines. Partners that the
// actor does not see are left out.
func (s *Service) exportedRows(ctx context.Context, actor access.Actor, f *export.File, limit int) ([][]string, *export.Place, error) {
	narrowed, err := filterOf(f)
	if err != nil {
		return nil, nil, err
	}
	rows, err := exportedCustomers(ctx, s.db.Read(), actor.Scope(), narrowed, f, limit)
	if err != nil || len(rows) == 0 {
		return nil, nil, err
	}
	met := map[ident.ID]bool{}
	for _, c := range rows {
		met[c.ResellerFor(actor.PartnerID)], met[c.SellerFor(actor.PartnerID)] = true, true
	}
	delete(met, "")
	names := map[ident.ID]string{}
	if len(met) > 0 {
		ids := make([]ident.ID, 0, len(met))
		for id := range met {
			ids = append(ids, id)
		}
		seen, err := s.partners.ByIDs(ctx, actor, ids)
		if err != nil {
			return nil, nil, err
		}
		for id, p := range seen {
			names[id] = p.LegalName
		}
	}
	at := func(t *time.Time) string {
		if t == nil {
			return ""
		}
		return stamp(*t)
	}
	shown := func(id ident.ID) (string, string) {
		if name, ok := names[id]; ok {
			return string(id), name
		}
		return "", ""
	}
	lines := make([][]string, len(rows))
	for i, c := range rows {
		resellerID, reseller := shown(c.ResellerFor(actor.PartnerID))
		sellerID, seller := shown(c.SellerFor(actor.PartnerID))
		lines[i] = []string{string(c.ID), c.CompanyName, c.Domain, c.Country, c.RegistrationID, string(c.Status), stamp(c.SinceAt), at(c.AgreedAt),
			resellerID, reseller, sellerID, seller, c.BillingEmail, c.Phone, c.Locale}
	}
	last := rows[len(rows)-1]
	return lines, &export.Place{At: last.SinceAt, ID: last.ID}, nil
}

// RequestExport starts to write the customers that the actor sees under a
// filter into a file: those there are now, the oldest first. Errors: as
// export.Files.Request, and TOO_LONG in the filter.
func (s *Service) RequestExport(ctx context.Context, actor access.Actor, in ExportInput) (*Export, *outbox.Job, error) {
	if err := in.Validate(); err != nil {
		return nil, nil, err
	}
	f := Filter{}
	if in.Filter != nil {
		f = *in.Filter
	}
	file, job, err := s.exports.Request(ctx, actor, f, deref(in.IdempotencyKey))
	if err != nil {
		return nil, nil, err
	}
	return &Export{file}, job, nil
}

// ExportsByIDs loads the exports among the ids that the actor asked for;
// others' are missing, and without customer.read all of them.
func (s *Service) ExportsByIDs(ctx context.Context, actor access.Actor, ids []ident.ID) (map[ident.ID]*Export, error) {
	found, err := s.exports.ByIDs(ctx, actor, ids)
	out := make(map[ident.ID]*Export, len(found))
	for id, f := range found {
		out[id] = &Export{f}
	}
	return out, err
}

// OpenExport opens the file of an export for the person who asked for it and
// may still read customers; the opening is recorded. The caller closes it.
// Errors: as export.Files.Open.
func (s *Service) OpenExport(ctx context.Context, actor access.Actor, id ident.ID) (*export.Download, error) {
	return s.exports.Open(ctx, actor, id)
}
