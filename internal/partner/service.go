package partner

import (
	"context"
	"crypto/rand"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/address"
	"github.com/channelgraph/channelgraph/internal/audit"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/mail"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/internal/page"
	"github.com/channelgraph/channelgraph/internal/region"
	"github.com/channelgraph/channelgraph/internal/secret"
)

// Service performs the verbs on partners.
type Service struct {
	db       *database.DB
	accounts *account.Service
	mailer   *mail.Mailer
	// due and the hooks are told by the concepts to the right.
	due         func(ctx context.Context, tx *database.Tx, version string) (*time.Time, error)
	onActive    []hook
	onSuspended []hook
	onClosed    []hook
	onRenamed   []hook
}

// New makes the service. It tells accounts which companies may invite users.
func New(db *database.DB, accounts *account.Service, mailer *mail.Mailer) *Service {
	s := &Service{db: db, accounts: accounts, mailer: mailer}
	accounts.OnInvite(mayInvite)
	return s
}

// Registered is what registering a partner made.
type Registered struct {
	Partner *Partner
	Admin   *account.User
	// Operation mails the admin's invitation; nil where the admin got a
	// password instead.
	Operation *outbox.Job
}

// Register admits a partner with its organization and first user in one
// transaction. Errors: all problems of the input together; DUPLICATE without
// naming the other; IDEMPOTENCY_KEY_REUSED.
func (s *Service) Register(ctx context.Context, actor access.Actor, in RegisterInput) (*Registered, error) {
	if err := actor.Require(access.PermPartnerRegister); err != nil {
		return nil, err
	}
	request := in
	if err := in.Validate(s.db.Now()); err != nil {
		return nil, err
	}
	var out *Registered
	err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		key := ""
		if in.IdempotencyKey != nil {
			key = *in.IdempotencyKey
		}
		prior, err := outbox.Once(ctx, tx, actor, "registerPartner", key, request)
		if err != nil {
			return err
		}
		if prior != nil {
			out, err = s.replay(ctx, tx, actor, prior)
			return err
		}
		if out, err = s.RegisterTx(ctx, tx, actor, in, ""); err != nil {
			return err
		}
		ids := map[string]string{"partner": string(out.Partner.ID), "admin": string(out.Admin.ID)}
		if out.Operation != nil {
			ids["operation"] = string(out.Operation.ID)
		}
		return outbox.Remember(ctx, tx, actor, "registerPartner", key, ids)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (s *Service) replay(ctx context.Context, tx *database.Tx, actor access.Actor, prior *outbox.Result) (*Registered, error) {
	ps, err := byIDs(ctx, tx, actor.Scope(), []ident.ID{prior.ID("partner")})
	if err != nil {
		return nil, err
	}
	us, err := s.accounts.UsersTx(ctx, tx, actor, []ident.ID{prior.ID("admin")})
	if err != nil {
		return nil, err
	}
	out := &Registered{Partner: ps[prior.ID("partner")], Admin: us[prior.ID("admin")]}
	if id := prior.ID("operation"); id != "" {
		if out.Operation, err = outbox.FindTx(ctx, tx, id); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// RegisterTx is Register inside a caller's transaction, for the demo world
// and imports; in must be validated. With a password the admin is active at
// once and gets no mail.
func (s *Service) RegisterTx(ctx context.Context, tx *database.Tx, actor access.Actor, in RegisterInput, password secret.String) (*Registered, error) {
	c, _ := region.Find(in.Country)
	p := &Partner{
		ID: ident.New(ident.Partner), Kind: in.Kind, Status: *in.Status, LegalName: in.LegalName,
		LegalNameFolded: address.FoldCompany(in.LegalName), TenantDomain: in.TenantDomain,
		RegistrableDomain: address.Registrable(in.TenantDomain), Country: c.Code, Region: c.Region, Currency: c.Currency,
		AgreementSignedAt: in.AgreementSignedAt, Version: 1, CreatedAt: tx.Now, UpdatedAt: tx.Now,
	}
	if in.RegistrationID != nil {
		p.RegistrationID, p.RegistrationIDFolded = *in.RegistrationID, FoldRegistration(c.Code, *in.RegistrationID)
	}
	if in.Website != nil {
		p.Website = *in.Website
	}
	if in.AgreementVersion != nil {
		p.AgreementVersion = *in.AgreementVersion
	}
	if p.Status == Active && p.AgreementSignedAt == nil {
		p.Status = Approved // only the agreement is missing
	}
	if p.Status == Active {
		p.ActivatedAt = &tx.Now
	}
	if err := s.remindOfNewer(ctx, tx, p); err != nil {
		return nil, err
	}
	var problems fault.Problems
	dup, err := duplicates(ctx, tx, p)
	if err != nil {
		return nil, err
	}
	for _, path := range dup {
		problems.Add(path, CodeDuplicate)
	}
	if in.ProgrammeID != nil {
		p.ProgrammeID = *in.ProgrammeID
		taken, err := programmeTaken(ctx, tx, p.ProgrammeID)
		if err != nil {
			return nil, err
		}
		if taken {
			problems.Add("programmeId", CodeDuplicate)
		}
	} else if p.ProgrammeID, err = newProgrammeID(ctx, tx); err != nil {
		return nil, err
	}
	if err := problems.Err(); err != nil {
		return nil, err
	}
	org, err := s.accounts.Found(ctx, tx, actor, account.NewOrganization{Kind: in.Kind, Name: in.LegalName, Domain: in.TenantDomain,
		Country: c.Code, Locale: *in.Admin.Locale})
	if fault.Is(err, account.CodeDomainNotFree) { // two registrations at the same moment
		return nil, fault.Invalid("tenantDomain", CodeDuplicate)
	}
	if err != nil {
		return nil, err
	}
	p.OrganizationID = org.ID
	if err := insert(ctx, tx, p); err != nil {
		return nil, err
	}
	admin, op, err := s.accounts.AddUser(ctx, tx, actor, org, account.NewUser{Email: in.Admin.Email, FirstName: in.Admin.FirstName,
		LastName: in.Admin.LastName, Locale: *in.Admin.Locale, Roles: []access.Role{access.GlobalAdmin, access.AdminAgent}, Password: password})
	if err != nil {
		if err := problems.Merge("admin", err); err != nil {
			return nil, err
		}
		return nil, problems.Err()
	}
	if err := audit.Record(ctx, tx, actor, audit.Act{Action: "partner.registered", TargetID: p.ID, TargetOrganizationID: org.ID}); err != nil {
		return nil, err
	}
	return &Registered{Partner: p, Admin: admin, Operation: op}, nil
}

func foldRegistration(s string) string {
	return strings.Map(func(r rune) rune {
		if r == ' ' || r == '-' || r == '.' || r == '/' {
			return -1
		}
		return r
	}, strings.ToUpper(s))
}

func newProgrammeID(ctx context.Context, tx *database.Tx) (string, error) {
	for range 50 {
		n, err := rand.Int(rand.Reader, big.NewInt(9_000_000))
		if err != nil {
			return "", err
		}
		id := fmt.Sprintf("%d", 1_000_000+n.Int64())
		taken, err := programmeTaken(ctx, tx, id)
		if err != nil {
			return "", err
		}
		if !taken {
			return id, nil
		}
	}
	return "", fmt.Errorf("no free programme ID was found")
}

// DeclareAffiliates records that two partners belong to one house, so that
// they cannot become partners of each other.
func (s *Service) DeclareAffiliates(ctx context.Context, actor access.Actor, in DeclareAffiliatesInput) (*Partner, error) {
	if err := actor.Require(access.PermPartnerRegister); err != nil {
		return nil, err
	}
	if in.PartnerID == in.AffiliateID {
		return nil, fault.Invalid("affiliateId", CodeSelfDealing)
	}
	var out *Partner
	err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) (err error) {
		out, err = s.AffiliateTx(ctx, tx, actor, in.PartnerID, in.AffiliateID)
		return err
	})
	return out, err
}

// AffiliateTx is DeclareAffiliates inside a caller's transaction.
func (s *Service) AffiliateTx(ctx context.Context, tx *database.Tx, actor access.Actor, id, affiliate ident.ID) (*Partner, error) {
	ps, err := byIDs(ctx, tx, actor.Scope(), []ident.ID{id, affiliate})
	if err != nil {
		return nil, err
	}
	var p fault.Problems
	if ps[id] == nil {
		p.Add("partnerId", fault.CodeNotFound)
	}
	if ps[affiliate] == nil {
		p.Add("affiliateId", fault.CodeNotFound)
	}
	if err := p.Err(); err != nil {
		return nil, err
	}
	if err := insertAffiliation(ctx, tx, id, affiliate, actor.UserID); err != nil {
		return nil, err
	}
	return ps[id], audit.Record(ctx, tx, actor, audit.Act{Action: "partner.affiliates_declared", TargetID: id,
		TargetOrganizationID: ps[id].OrganizationID, Reason: string(affiliate)})
}

// ByIDs reads partners inside the actor's scope; hidden ones are missing.
func (s *Service) ByIDs(ctx context.Context, actor access.Actor, ids []ident.ID) (map[ident.ID]*Partner, error) {
	return byIDs(ctx, s.db.Read(), actor.Scope(), ids)
}

// ShownByIDs is ByIDs for a list that shows some fields: nothing else is filled
// in, beside the id.
func (s *Service) ShownByIDs(ctx context.Context, actor access.Actor, ids []ident.ID, show database.Shown) (map[ident.ID]*Partner, error) {
	return find(ctx, s.db.ReadPrepared(), actor.Scope(), "partner.id", ids, show, func(p *Partner) ident.ID { return p.ID })
}

// ByOrganizations reads the partner profiles of organizations inside the
// actor's scope, by organization.
func (s *Service) ByOrganizations(ctx context.Context, actor access.Actor, ids []ident.ID) (map[ident.ID]*Partner, error) {
	return byOrganizations(ctx, s.db.Read(), actor.Scope(), ids)
}

// Load reads partners for a rule that has its own right to see them, such as
// the card of a proposal; the caller shows no more than that rule allows.
func (s *Service) Load(ctx context.Context, tx *database.Tx, ids ...ident.ID) (map[ident.ID]*Partner, error) {
	return byIDs(ctx, tx, access.System("partner").Scope(), ids)
}

// Cards reads the public cards of partners whom the caller has met where it
// may: on a relationship, an invitation or a grant.
func (s *Service) Cards(ctx context.Context, ids []ident.ID) (map[ident.ID]*Card, error) {
	ps, err := byIDs(ctx, s.db.Read(), access.System("partner").Scope(), ids)
	out := make(map[ident.ID]*Card, len(ps))
	for id, p := range ps {
		c := p.Card()
		out[id] = &c
	}
	return out, err
}

// SeenTx reads partners inside the actor's scope, in a transaction; hidden
// ones are missing.
func (s *Service) SeenTx(ctx context.Context, tx *database.Tx, actor access.Actor, ids ...ident.ID) (map[ident.ID]*Partner, error) {
	return byIDs(ctx, tx, actor.Scope(), ids)
}

// MeetTx is SeenTx together with the partners that look like one house with a
// company, and that whose own tenant it names, in the order of their ids; none
// for a company of which nothing is known.
func (s *Service) MeetTx(ctx context.Context, tx *database.Tx, actor access.Actor, f Facts, ids ...ident.ID) (seen map[ident.ID]*Partner, house []*Partner, err error) {
	return meet(ctx, tx, actor.Scope(), ids, f)
}

// DeclaredTx reports whether one of some partners is a declared affiliate of
// one of others.
func (s *Service) DeclaredTx(ctx context.Context, tx *database.Tx, some, others []ident.ID) (bool, error) {
	return declared(ctx, tx, some, others)
}

// AreDeclaredAffiliates reports a declared affiliation of two partners.
func (s *Service) AreDeclaredAffiliates(ctx context.Context, tx *database.Tx, a, b ident.ID) (bool, error) {
	return affiliated(ctx, tx, a, b)
}

// List is a page of the partners that the actor sees: all for the operator,
// otherwise the own profile and those with a partnership.
func (s *Service) List(ctx context.Context, actor access.Actor, args page.Args, o *Order, f Filter) (*page.Connection[*Partner], error) {
	if err := actor.Require(access.PermPartnerRead); err != nil {
		return nil, err
	}
	pq, err := args.Resolve(o.resolve(), f)
	if err != nil {
		return nil, err
	}
	return list(ctx, s.db, actor.Scope(), pq, f)
}
