package directory

import (
	"context"
	"fmt"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/address"
	"github.com/channelgraph/channelgraph/internal/audit"
	"github.com/channelgraph/channelgraph/internal/calendar"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/export"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/file"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/mail"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/internal/page"
	"github.com/channelgraph/channelgraph/internal/partner"
)

// ReportExport is a file of the report on profile updates.
const ReportExport export.Kind = "PROFILE_UPDATE_REPORT"

// Service performs the verbs on the directory and on profile updates.
type Service struct {
	db        *database.DB
	accounts  *account.Service
	partners  *partner.Service
	files     *file.Service
	calendars *calendar.Service
	audits    *audit.Service
	mailer    *mail.Mailer
}

// New makes the service. It follows changes of the calendar and of partners'
// statuses, and offers its report as a file.
func New(db *database.DB, accounts *account.Service, partners *partner.Service, files *file.Service, calendars *calendar.Service,
	audits *audit.Service, mailer *mail.Mailer,
) *Service {
	s := &Service{db: db, accounts: accounts, partners: partners, files: files, calendars: calendars, audits: audits, mailer: mailer}
	calendars.OnChange("profile_update", s.movePromises, countRunning)
	partners.OnActive(s.follow)
	partners.OnSuspended(s.follow)
	partners.OnClosed(s.leave)
	audits.Offer(audit.Table{Kind: ReportExport, Permission: access.PermProfileUpdateReview, Name: "profile-update-report",
		Header: []string{"month", "met", "breached", "median_worked_hours"}, Lines: s.reportTable})
	return s
}

// Cards is a page of what the public sees, by company name, for anybody.
// Errors: those of paging, TOO_LONG at filter.search.
func (s *Service) Cards(ctx context.Context, args page.Args, f DirectoryFilter) (*page.Connection[*Location], error) {
	if err := f.validate(); err != nil {
		return nil, err
	}
	pq, err := args.Resolve(page.Order{Name: "NAME", Column: "location.name_folded", Sort: page.SortText}, f)
	if err != nil {
		return nil, err
	}
	return listCards(ctx, s.db, pq, f)
}

// State is which version of the directory the public sees.
func (s *Service) State(ctx context.Context) (*State, error) { return state(ctx, s.db.Read()) }

// OpenLogo opens a logo that the public sees, for anybody. Error: NOT_FOUND.
func (s *Service) OpenLogo(ctx context.Context, id ident.ID) (*file.Download, error) {
	seen, err := showsLogo(ctx, s.db.Read(), id)
	if err != nil {
		return nil, fmt.Errorf("looking for a logo: %w", err)
	}
	if !seen {
		return nil, fault.NotFound("id")
	}
	return s.files.Open(ctx, access.System("directory"), id)
}

// Listing is a provider's place in the directory: the actor's own with "", for
// the operator anybody's. It is nil for who is no provider, or hidden; one
// that was never touched has version 0. Error: ROLE_REQUIRED.
func (s *Service) Listing(ctx context.Context, actor access.Actor, id ident.ID) (*Listing, error) {
	if err := actor.Require(access.PermProfileUpdateRead); err != nil {
		return nil, err
	}
	if id == "" {
		id = actor.PartnerID
	}
	if id == "" {
		return nil, nil
	}
	found, err := listingsOf(ctx, s.db.Read(), actor.Scope(), []ident.ID{id})
	if err != nil || found[id] != nil {
		return found[id], err
	}
	ps, err := s.partners.ByIDs(ctx, actor, []ident.ID{id})
	p := ps[id]
	if err != nil || p == nil || p.Kind != access.IndirectProvider || !actor.IsOperator() && p.ID != actor.PartnerID {
		return nil, err
	}
	return listingOf(p), nil
}

// Locations reads the locations of a listing that the actor has seen.
func (s *Service) Locations(ctx context.Context, l *Listing) ([]*Location, error) {
	return locationsOf(ctx, s.db.Read(), l.PartnerID)
}

// LocationsByIDs reads cards: those that the public sees, for anybody, and the
// others for their provider and the operator; hidden ones are missing.
func (s *Service) LocationsByIDs(ctx context.Context, actor access.Actor, ids []ident.ID) (map[ident.ID]*Location, error) {
	return locationsByIDs(ctx, s.db.Read(), actor.Scope(), ids)
}

// History reads the newest 100 versions of a listing that the actor has seen,
// newest first. The operator's people stand nameless in what providers read.
func (s *Service) History(ctx context.Context, l *Listing) ([]*Revision, error) {
	return history(ctx, s.db.Read(), l.PartnerID, page.MaxSize)
}

func listingOf(p *partner.Partner) *Listing {
	return &Listing{PartnerID: p.ID, OrganizationID: p.OrganizationID, Active: p.IsActive()}
}

// SetListing opts in to the directory or out of it, at once. The first time
// the provider gets a card from its verified profile, without a logo. Errors:
// ROLE_REQUIRED, PROVIDER_NOT_ACTIVE for opting in, CONFLICT at
// expectedVersion.
func (s *Service) SetListing(ctx context.Context, actor access.Actor, in SetListingInput) (*Listing, error) {
	if err := actor.Require(access.PermDirectoryEdit); err != nil {
		return nil, err
	}
	var out *Listing
	err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		p, err := s.own(ctx, tx, actor)
		if err != nil {
			return err
		}
		if in.Listed && !p.IsActive() {
			return fault.Conflict("", CodeNotActive)
		}
		if out, err = holdListing(ctx, tx, listingOf(p)); err != nil {
			return err
		}
		if in.ExpectedVersion != nil && *in.ExpectedVersion != out.Version {
			return fault.Conflict("expectedVersion", fault.CodeConflict)
		}
		if out.Listed == in.Listed {
			return nil
		}
		first, err := untouched(ctx, tx, p.ID)
		if err != nil {
			return err
		}
		out.Listed = in.Listed
		kind, action := RevisionUnlisted, "directory.unlisted"
		if in.Listed {
			kind, action = RevisionListed, "directory.listed"
		}
		if err := saveListing(ctx, tx, out, Revision{Kind: kind, ActorID: actor.UserID}); err != nil {
			return err
		}
		if first {
			if err := s.firstCard(ctx, tx, p); err != nil {
				return err
			}
		}
		if err := show(ctx, tx, out); err != nil {
			return err
		}
		if err := audit.Record(ctx, tx, actor, audit.Act{Action: action, TargetID: p.ID, Changed: []string{"listed"}}); err != nil {
			return err
		}
		return bump(ctx, tx)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// firstCard makes a card of what was verified of the provider, where its
// website can stand on one.
func (s *Service) firstCard(ctx context.Context, tx *database.Tx, p *partner.Partner) error {
	site := p.Website
	if site == "" {
		site = "https://" + p.TenantDomain
	}
	target, _ := targetURL(site)
	if target == "" { // such as a page without https: the provider files a request for its first card
		return nil
	}
	return insertLocations(ctx, tx, []*Location{{ID: ident.New(ident.Location), PartnerID: p.ID, CompanyName: p.LegalName,
		NameFolded: address.Fold(p.LegalName), Country: p.Country, Region: p.Region, TargetURL: target, CreatedAt: tx.Now, UpdatedAt: tx.Now}})
}

// own holds the actor's provider. Error: NOT_FOUND.
func (s *Service) own(ctx context.Context, tx *database.Tx, actor access.Actor) (*partner.Partner, error) {
	p, err := s.partners.HoldTx(ctx, tx, actor.PartnerID)
	if err != nil {
		return nil, err
	}
	if p == nil || p.Kind != access.IndirectProvider {
		return nil, fault.NotFound("")
	}
	return p, nil
}

// leave takes back what a provider asked for that was closed. What is approved
// is on its way, into cards that nobody sees.
func (s *Service) leave(ctx context.Context, tx *database.Tx, p *partner.Partner) error {
	r, err := openOf(ctx, tx, p.ID)
	if err != nil || r == nil || r.Status == Approved {
		return err
	}
	cal, err := s.calendars.Current(ctx, tx)
	if err != nil {
		return err
	}
	return s.withdraw(ctx, tx, access.System("directory"), cal, r)
}

// follow lets cards follow the status of their provider: those of one that is
// not active are hidden.
func (s *Service) follow(ctx context.Context, tx *database.Tx, p *partner.Partner) error {
	l, err := lockListing(ctx, tx, p.ID)
	if err != nil || l == nil || l.Active == p.IsActive() {
		return err
	}
	l.Active = p.IsActive()
	kind := RevisionHidden
	if l.Active {
		kind = RevisionShown
	}
	if err := saveListing(ctx, tx, l, Revision{Kind: kind}); err != nil {
		return err
	}
	if err := show(ctx, tx, l); err != nil {
		return err
	}
	return bump(ctx, tx)
}

// months are the first and the last month of a report on the operator's
// calendar.
func (s *Service) months(ctx context.Context, f ReportFilter) (from, to string, err error) {
	cal, err := s.calendars.Current(ctx, s.db.Read())
	if err != nil {
		return "", "", err
	}
	return f.months(s.db.Now().In(zoneOf(cal)))
}

// Report is what came of the promises that ended in each of some months, for
// the operator; months without any have no line. Errors: ROLE_REQUIRED,
// MONTH_INVALID, INVALID for more than 36 months.
func (s *Service) Report(ctx context.Context, actor access.Actor, f ReportFilter) ([]*Month, error) {
	if err := actor.Require(access.PermProfileUpdateReview); err != nil {
		return nil, err
	}
	from, to, err := s.months(ctx, f)
	if err != nil {
		return nil, err
	}
	return report(ctx, s.db.Read(), from, to)
}

// ExportReport writes the report into a file, for the actor alone. Errors:
// those of Report and audit.RequestTable.
func (s *Service) ExportReport(ctx context.Context, actor access.Actor, f ReportFilter, key string) (*audit.Export, *outbox.Job, error) {
	if err := actor.Require(access.PermProfileUpdateReview); err != nil {
		return nil, nil, err
	}
	from, to, err := s.months(ctx, f)
	if err != nil {
		return nil, nil, err
	}
	at := func(month string) *time.Time {
		t, _ := time.Parse("2006-01", month) // our own
		return &t
	}
	return s.audits.RequestTable(ctx, actor, ReportExport, audit.Filter{Since: at(from), Until: at(to)}, key)
}

// reportTable is the report as a file has it: durations in hours.
func (s *Service) reportTable(ctx context.Context, actor access.Actor, f audit.Filter) ([][]string, error) {
	month := func(t *time.Time) *string {
		if t == nil {
			return nil
		}
		m := t.UTC().Format("2006-01")
		return &m
	}
	rows, err := s.Report(ctx, actor, ReportFilter{From: month(f.Since), To: month(f.Until)})
	lines := make([][]string, len(rows))
	for i, m := range rows {
		lines[i] = []string{m.Month, fmt.Sprint(m.Met), fmt.Sprint(m.Breached), fmt.Sprintf("%.1f", m.Median.Hours())}
	}
	return lines, err
}
