package partnership

import (
	"context"
	"strings"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/address"
	"github.com/channelgraph/channelgraph/internal/audit"
	"github.com/channelgraph/channelgraph/internal/calendar"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/invitation"
	"github.com/channelgraph/channelgraph/internal/mail"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/internal/page"
	"github.com/channelgraph/channelgraph/internal/partner"
	"github.com/channelgraph/channelgraph/internal/rollup"
	"github.com/channelgraph/channelgraph/internal/secret"
)

// Path is the page that partnership links lead to.
const Path = "/l/partnership"

// Service performs the verbs on partnerships.
type Service struct {
	db          *database.DB
	accounts    *account.Service
	partners    *partner.Service
	invitations *invitation.Service
	mailer      *mail.Mailer
	keys        *secret.Keys
	publicURL   string
	// calendars is nil as long as nothing is promised; see Follow.
	calendars *calendar.Service
	blockers  []Blockers
}

// New makes the service, tells the invitations what theirs mean, and has the
// partners tell when one begins or stops to take part.
func New(db *database.DB, accounts *account.Service, partners *partner.Service, invitations *invitation.Service, mailer *mail.Mailer, keys *secret.Keys, publicURL string) *Service {
	s := &Service{db: db, accounts: accounts, partners: partners, invitations: invitations, mailer: mailer, keys: keys,
		publicURL: strings.TrimRight(publicURL, "/")}
	invitations.Register(invitation.ForPartnership, invitation.Concept{
		Permission: access.PermPartnershipRequest,
		Path:       Path,
		Job:        func(id ident.ID, g int) outbox.Args { return SendInvitation{InvitationID: id, Generation: g} },
		MayAsk: func(ctx context.Context, tx *database.Tx, i *invitation.Invitation) error {
			_, err := s.asker(ctx, tx, i.InviterID)
			return err
		},
		Data: s.invitationData,
		Templates: invitation.Templates{
			Invitation: "partnership_invitation", Reminder: "partnership_invitation_reminder", Expired: "partnership_invitation_expired",
			Bounced: "partnership_invitation_bounced", NewLink: "partnership_new_link_requested",
		},
	})
	partners.OnActive(s.partnerActive)
	partners.OnSuspended(s.partnerHalted)
	partners.OnRenamed(renamed)
	return s
}

// refused is the fault for refusals at a path, or nil for none.
func refused(path string, rs []Refusal) error {
	if len(rs) == 0 {
		return nil
	}
	f := fault.As(fault.Conflict(path, rs[0].Code))
	f.Problems = nil
	for _, r := range rs {
		f.Problems = append(f.Problems, fault.As(fault.Conflict(path, r.Code)).Problems...)
	}
	return f
}

// asker reads a provider and proves that it may ask for partnerships.
func (s *Service) asker(ctx context.Context, tx *database.Tx, id ident.ID) (*partner.Partner, error) {
	ps, err := s.partners.Load(ctx, tx, id)
	if err != nil {
		return nil, err
	}
	p := ps[id]
	if p == nil {
		return nil, fault.NotFound("")
	}
	return p, refused("", MayAsk(p, tx.Now))
}

// Link is the provider's personal link, made when it is first asked for.
func (s *Service) Link(ctx context.Context, actor access.Actor) (*Link, error) {
	return s.withLink(ctx, actor, func(context.Context, *database.Tx, *Link) error { return nil })
}

// RotateLink gives the personal link a new code and a new life; the old code
// is dead at once.
func (s *Service) RotateLink(ctx context.Context, actor access.Actor, in RotateLinkInput) (*Link, error) {
	key := deref(in.IdempotencyKey)
	return s.withLink(ctx, actor, func(ctx context.Context, tx *database.Tx, l *Link) error {
		prior, err := outbox.Once(ctx, tx, actor, "rotatePartnershipLink", key, in)
		if err != nil || prior != nil {
			return err
		}
		l.Generation++
		l.RotatedAt, l.ExpiresAt = &tx.Now, tx.Now.Add(LinkLife)
		if err := saveLink(ctx, tx, l); err != nil {
			return err
		}
		if err := outbox.Remember(ctx, tx, actor, "rotatePartnershipLink", key, map[string]string{"link": string(l.ID)}); err != nil {
			return err
		}
		return audit.Record(ctx, tx, actor, audit.Act{Action: "partnership_link.rotated", TargetID: l.ID, Changed: []string{"generation", "expiresAt"}})
	})
}

// SetLinkPaused pauses the personal link or lets it work again.
func (s *Service) SetLinkPaused(ctx context.Context, actor access.Actor, in SetLinkPausedInput) (*Link, error) {
	return s.withLink(ctx, actor, func(ctx context.Context, tx *database.Tx, l *Link) error {
		if in.Paused == (l.PausedAt != nil) {
			return nil
		}
		action := "partnership_link.resumed"
		l.PausedAt = nil
		if in.Paused {
			action, l.PausedAt = "partnership_link.paused", &tx.Now
		}
		if err := saveLink(ctx, tx, l); err != nil {
			return err
		}
		return audit.Record(ctx, tx, actor, audit.Act{Action: action, TargetID: l.ID, Changed: []string{"pausedAt"}})
	})
}

func (s *Service) withLink(ctx context.Context, actor access.Actor, fn func(context.Context, *database.Tx, *Link) error) (*Link, error) {
	if err := actor.Require(access.PermPartnershipRequest); err != nil {
		return nil, err
	}
	var out *Link
	err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		l, err := s.ownLink(ctx, tx, actor)
		if err != nil {
			return err
		}
		out = l
		if err := fn(ctx, tx, l); err != nil {
			return err
		}
		s.address(l)
		return nil
	})
	return out, err
}

func (s *Service) ownLink(ctx context.Context, tx *database.Tx, actor access.Actor) (*Link, error) {
	if _, err := s.asker(ctx, tx, actor.PartnerID); err != nil {
		return nil, err
	}
	l, err := linkOf(ctx, tx, actor.PartnerID)
	if err != nil || l != nil {
		s.address(l)
		return l, err
	}
	fresh := &Link{ID: ident.New(ident.Proposal), ProviderID: actor.PartnerID, Generation: 1, ExpiresAt: tx.Now.Add(LinkLife), Version: 1, CreatedAt: tx.Now}
	if err := insertLink(ctx, tx, fresh); err != nil {
		return nil, err
	}
	l, err = linkOf(ctx, tx, actor.PartnerID)
	s.address(l)
	return l, err
}

// address fills the link's URL.
func (s *Service) address(l *Link) {
	if l != nil {
		l.URL = s.publicURL + Path + "#" + s.keys.Handle(l.ID, l.Generation).Reveal()
	}
}

// LinksByIDs reads personal links inside the actor's scope, for node look-ups.
func (s *Service) LinksByIDs(ctx context.Context, actor access.Actor, ids []ident.ID) (map[ident.ID]*Link, error) {
	out := map[ident.ID]*Link{}
	if !actor.Can(access.PermPartnershipRequest) {
		return out, nil
	}
	rows, err := linksByIDs(ctx, s.db.Read(), actor.Scope(), ids)
	for _, l := range rows {
		s.address(l)
		out[l.ID] = l
	}
	return out, err
}

// Draft is the text of a request in the provider's language with the personal
// link in it; the person's own subject and text are checked.
func (s *Service) Draft(ctx context.Context, actor access.Actor, in DraftInput) (*Draft, error) {
	var p fault.Problems
	checkLocale(&p, in.Locale)
	if err := p.Err(); err != nil {
		return nil, err
	}
	if err := actor.Require(access.PermPartnershipRequest); err != nil {
		return nil, err
	}
	var out *Draft
	err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		l, err := s.ownLink(ctx, tx, actor)
		if err != nil {
			return err
		}
		provider, err := s.asker(ctx, tx, actor.PartnerID)
		if err != nil {
			return err
		}
		out = compose(localeOf(in.Locale, actor), provider.LegalName, actor.Name, l)
		out.take(in, tx.Now)
		return nil
	})
	return out, err
}

func localeOf(asked *string, actor access.Actor) string {
	if asked != nil {
		return *asked
	}
	if _, ok := wording[actor.Locale]; ok {
		return actor.Locale
	}
	return Locales[0]
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// Request mails one address an invitation to authorize the provider. Errors:
// EMAIL_INVALID and its kin, LINK_MISSING, CONTACT_DETAILS_NOT_ALLOWED,
// INVITATION_PENDING, SELF_DEALING, limits, the guards of the provider.
func (s *Service) Request(ctx context.Context, actor access.Actor, in RequestInput) (*invitation.Dispatched, error) {
	if err := actor.Require(access.PermPartnershipRequest); err != nil {
		return nil, err
	}
	var p fault.Problems
	checkLocale(&p, in.Locale)
	var out *invitation.Dispatched
	key := deref(in.IdempotencyKey)
	err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		q := p // a repeated transaction starts anew
		prior, err := outbox.Once(ctx, tx, actor, "requestPartnership", key, in)
		if err != nil {
			return err
		}
		if prior != nil {
			out, err = s.invitations.Replay(ctx, tx, prior)
			return err
		}
		note, err := s.prepare(ctx, tx, actor, &q, in.Text)
		if err != nil {
			return err
		}
		if out, err = s.ask(ctx, tx, actor, &q, in.Email, note, localeOf(in.Locale, actor), "email"); err != nil {
			return err
		}
		return outbox.Remember(ctx, tx, actor, "requestPartnership", key, out.IDs())
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// prepare checks the provider and the person's text and holds the provider's
// requests; the text comes back without the link.
func (s *Service) prepare(ctx context.Context, tx *database.Tx, actor access.Actor, p *fault.Problems, text *string) (string, error) {
	l, err := s.ownLink(ctx, tx, actor)
	if err != nil {
		return "", err
	}
	if err := s.invitations.HoldInviter(ctx, tx, actor.PartnerID); err != nil {
		return "", err
	}
	if text == nil {
		return "", nil
	}
	return checkText(p, *text, l.URL), nil
}

// ask writes one invitation, or reports everything that is wrong with it.
func (s *Service) ask(ctx context.Context, tx *database.Tx, actor access.Actor, p *fault.Problems, email, note, locale, path string) (*invitation.Dispatched, error) {
	to, err := address.Parse(email)
	if err != nil {
		_ = p.Merge(path, err)
		return nil, p.Err()
	}
	if address.Webmail(to.Domain) {
		p.Add(path, address.CodeEmailWebmail, "domain", address.Unicode(to.Domain))
	}
	if address.Disposable(to.Domain) {
		p.Add(path, address.CodeEmailDisposable, "domain", address.Unicode(to.Domain))
	}
	if err := s.checkOwnHouse(ctx, tx, actor, to); err != nil {
		if err := p.Merge(path, err); err != nil {
			return nil, err
		}
	}
	if !p.Any() {
		if err := s.invitations.CheckRecipient(ctx, tx, invitation.ForPartnership, actor.PartnerID, to.Folded()); err != nil {
			if err := p.Merge(path, err); err != nil {
				return nil, err
			}
		}
	}
	if err := p.Err(); err != nil {
		return nil, err
	}
	sent, err := s.invitations.Create(ctx, tx, actor, invitation.Request{Kind: invitation.ForPartnership, InviterID: actor.PartnerID,
		Recipient: to.String(), Folded: to.Folded(), Locale: locale, Text: note})
	if err != nil {
		return nil, err
	}
	return sent, audit.Record(ctx, tx, actor, audit.Act{Action: "partnership.requested", TargetID: sent.Invitation.ID})
}

// checkOwnHouse refuses addresses of the provider's own work account; what a
// stranger's address belongs to is judged only when somebody authorizes.
func (s *Service) checkOwnHouse(ctx context.Context, tx *database.Tx, actor access.Actor, to address.Address) error {
	p, err := s.asker(ctx, tx, actor.PartnerID)
	if err != nil {
		return err
	}
	if address.Registrable(to.Domain) == p.RegistrableDomain {
		return fault.Conflict("", CodeSelfDealing)
	}
	return nil
}

// RequestLine is what became of one address of a list.
type RequestLine = invitation.Line

// RequestMany asks several addresses: each line by itself, so that one bad
// address does not hold the others up. A dry run writes nothing.
func (s *Service) RequestMany(ctx context.Context, actor access.Actor, in RequestManyInput) ([]*RequestLine, error) {
	if err := actor.Require(access.PermPartnershipRequest); err != nil {
		return nil, err
	}
	if err := in.Validate(); err != nil {
		return nil, err
	}
	var note string
	return s.invitations.AskMany(ctx, actor, invitation.List{Verb: "requestPartnerships", Key: deref(in.IdempotencyKey), Input: in, Emails: in.Emails, DryRun: in.DryRun,
		Prepare: func(ctx context.Context, tx *database.Tx) (err error) {
			var p fault.Problems
			if note, err = s.prepare(ctx, tx, actor, &p, in.Text); err != nil {
				return err
			}
			return p.Err() // the text is wrong for every line
		},
		Ask: func(ctx context.Context, tx *database.Tx, email, path string) (*invitation.Dispatched, error) {
			var p fault.Problems
			return s.ask(ctx, tx, actor, &p, email, note, localeOf(in.Locale, actor), path)
		}})
}

// WithdrawAdminAccess takes the provider's admin access to the reseller's own
// work account away; the partnership stays (spec section 3).
func (s *Service) WithdrawAdminAccess(ctx context.Context, actor access.Actor, in WithdrawAdminAccessInput) (*Partnership, error) {
	return s.change(ctx, actor, access.PermAdminAccessWithdraw, in.PartnershipID, in.ExpectedVersion, func(ctx context.Context, tx *database.Tx, p *Partnership) error {
		if p.ResellerID != actor.PartnerID {
			return fault.NotFound("partnershipId")
		}
		if !p.HasAdminAccess() {
			return fault.Conflict("partnershipId", "ADMIN_ACCESS_NOT_HELD")
		}
		p.AdminAccessWithdrawnAt = &tx.Now
		if err := save(ctx, tx, p); err != nil {
			return err
		}
		if err := s.tellProvider(ctx, tx, actor, p, "partnership_admin_access_withdrawn", nil); err != nil {
			return err
		}
		return s.record(ctx, tx, actor, "partnership.admin_access_withdrawn", p, p.ID, "adminAccessWithdrawnAt")
	})
}

// change runs fn on a partnership that the actor sees, held, in one
// transaction. Errors: NOT_FOUND, ROLE_REQUIRED, CONFLICT.
func (s *Service) change(ctx context.Context, actor access.Actor, perm access.Permission, id ident.ID, version *int, fn func(context.Context, *database.Tx, *Partnership) error) (*Partnership, error) {
	if actor.IsAnonymous() {
		return nil, fault.Unauthenticated()
	}
	var out *Partnership
	err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		p, err := lock(ctx, tx, actor.Scope(), id)
		if err != nil {
			return err
		}
		if p == nil {
			return fault.NotFound("partnershipId")
		}
		if err := actor.Require(perm); err != nil {
			return err
		}
		if version != nil && *version != p.Version {
			return fault.Conflict("expectedVersion", fault.CodeConflict)
		}
		out = p
		return fn(ctx, tx, p)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// count takes note, on the tree, that a partnership was made or ended. The
// programme counts a reseller once, however many providers it has.
func (s *Service) count(ctx context.Context, tx *database.Tx, p *Partnership, by int64) error {
	if _, err := s.partners.HoldTx(ctx, tx, p.ResellerID); err != nil {
		return err
	}
	others, err := hasOther(ctx, tx, p)
	if err != nil {
		return err
	}
	keys := []rollup.Key{rollup.Of(p.ProviderID)}
	if !others {
		keys = append(keys, rollup.Operator)
	}
	return rollup.Add(ctx, tx, rollup.Delta{Resellers: by}, keys...)
}

// record writes an act on a partnership so that both sides' audit shows it.
func (s *Service) record(ctx context.Context, tx *database.Tx, actor access.Actor, action string, p *Partnership, target ident.ID, changed ...string) error {
	ps, err := s.partners.Load(ctx, tx, p.ProviderID, p.ResellerID)
	if err != nil {
		return err
	}
	others := []ident.ID{ps[p.ProviderID].OrganizationID, ps[p.ResellerID].OrganizationID}
	switch actor.OrganizationID {
	case others[0]:
		others = others[1:]
	case others[1]:
		others = others[:1]
	}
	for _, other := range others {
		if err := audit.Record(ctx, tx, actor, audit.Act{Action: action, TargetID: target, TargetOrganizationID: other, Changed: changed}); err != nil {
			return err
		}
	}
	return nil
}

// ByIDs reads partnerships inside the actor's scope; hidden ones are missing.
func (s *Service) ByIDs(ctx context.Context, actor access.Actor, ids []ident.ID) (map[ident.ID]*Partnership, error) {
	if !actor.Can(access.PermPartnershipRead) {
		return map[ident.ID]*Partnership{}, nil
	}
	return byIDs(ctx, s.db.Read(), actor.Scope(), ids)
}

// List is a page of one side's partnerships. Partners read their own; the
// operator names whose. For anybody else the list is empty.
func (s *Service) List(ctx context.Context, actor access.Actor, side Side, owner ident.ID, args page.Args, o *Order, f Filter) (*page.Connection[*Partnership], error) {
	if err := actor.Require(access.PermPartnershipRead); err != nil {
		return nil, err
	}
	if owner == "" {
		owner = actor.PartnerID
	}
	pq, err := args.Resolve(o.resolve(side), struct {
		Owner ident.ID
		Filter
	}{owner, f})
	if err != nil {
		return nil, err
	}
	return list(ctx, s.db, actor.Scope(), owner, side, pq, f)
}

// LinkState is whether a personal link works now.
func (s *Service) LinkState(l *Link) LinkState { return l.StateAt(s.db.Now()) }

const day = 24 * time.Hour
