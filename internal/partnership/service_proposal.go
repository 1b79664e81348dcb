package partnership

import (
	"context"
	"strings"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/address"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/invitation"
	"github.com/channelgraph/channelgraph/internal/mail"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/internal/partner"
	"github.com/channelgraph/channelgraph/internal/secret"
)

// proposal is what a code, or a received invitation, leads to.
type proposal struct {
	state    ProposalState
	kind     ProposalKind
	provider *partner.Partner
	inv      *invitation.Invitation
	link     *Link
}

// find reads the proposal behind a code; hold makes it the transaction's own.
// An unknown code is a proposal in state UNKNOWN.
func (s *Service) find(ctx context.Context, tx *database.Tx, code string) (*proposal, error) {
	code = strings.TrimSpace(code)
	switch {
	case len(code) > 200:
		return &proposal{state: ProposalUnknown}, nil
	case strings.HasPrefix(code, invitation.LinkPrefix+"_"):
		id, generation, err := s.invitations.Resolve(ctx, tx, code)
		if err != nil || id == "" {
			return &proposal{state: ProposalUnknown}, err
		}
		return s.findInvitation(ctx, tx, id, generation)
	}
	id, ok := linkID(code)
	if !ok {
		return &proposal{state: ProposalUnknown}, nil
	}
	l, err := linkByID(ctx, tx, id)
	if err != nil || l == nil {
		return &proposal{state: ProposalUnknown}, err
	}
	out := &proposal{kind: ByPersonalLink, link: l}
	switch {
	case s.keys.CheckHandle(code, l.ID, l.Generation):
		out.state = map[LinkState]ProposalState{LinkLive: ProposalOpen, LinkPaused: ProposalPaused, LinkExpired: ProposalExpired}[l.StateAt(tx.Now)]
	case s.wasHandle(code, l):
		out.state = ProposalReplaced
	default:
		return &proposal{state: ProposalUnknown}, nil
	}
	ps, err := s.partners.Load(ctx, tx, l.ProviderID)
	if err != nil {
		return nil, err
	}
	out.provider = ps[l.ProviderID]
	if out.state == ProposalOpen && len(MayAsk(out.provider, tx.Now)) > 0 {
		out.state = ProposalPaused // a suspended provider's link offers nothing
	}
	return out, nil
}

// wasHandle reports whether the code is of one of the link's last hundred
// generations.
func (s *Service) wasHandle(code string, l *Link) bool {
	for g := l.Generation - 1; g > 0 && g > l.Generation-100; g-- {
		if s.keys.CheckHandle(code, l.ID, g) {
			return true
		}
	}
	return false
}

func (s *Service) findInvitation(ctx context.Context, tx *database.Tx, id ident.ID, generation int) (*proposal, error) {
	i, err := s.invitations.Hold(ctx, tx, id)
	if err != nil || i == nil || i.Kind != invitation.ForPartnership {
		return &proposal{state: ProposalUnknown}, err
	}
	out := &proposal{kind: ByInvitation, inv: i, state: ProposalState(i.Standing(generation, tx.Now))}
	ps, err := s.partners.Load(ctx, tx, i.InviterID)
	out.provider = ps[i.InviterID]
	return out, err
}

// Preview shows the proposal behind a code and whether the actor may accept
// it. It changes nothing. Nobody signed in is answered too.
func (s *Service) Preview(ctx context.Context, actor access.Actor, code string) (*Preview, error) {
	var out *Preview
	err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		p, err := s.find(ctx, tx, code)
		if err != nil {
			return err
		}
		out, err = s.preview(ctx, tx, actor, p)
		return err
	})
	return out, err
}

// Received lists the proposals that wait for the actor's company by the
// actor's own address.
func (s *Service) Received(ctx context.Context, actor access.Actor) ([]*invitation.Invitation, error) {
	return s.invitations.Received(ctx, actor, invitation.ForPartnership)
}

func (s *Service) preview(ctx context.Context, tx *database.Tx, actor access.Actor, p *proposal) (*Preview, error) {
	out := &Preview{State: p.state}
	if p.state == ProposalUnknown {
		return out, nil
	}
	out.Kind, out.Inviter = p.kind, p.provider.Card()
	if i := p.inv; i != nil {
		out.Recipient, out.Note, out.DecidedAt = mail.Mask(i.Recipient), i.Text, i.DecidedAt
		out.ExpiresAt, out.Waiting = &i.ExpiresAt, i.WaitingSince != nil
		out.CanAskForNewLink = p.state == ProposalExpired || p.state == ProposalReplaced || p.state == ProposalRevoked
		us, err := s.accounts.UsersTx(ctx, tx, access.System("partnership"), []ident.ID{i.CreatedByID})
		if err != nil {
			return nil, err
		}
		if u := us[i.CreatedByID]; u != nil {
			out.InviterName = u.DisplayName()
		}
	} else {
		out.ExpiresAt = &p.link.ExpiresAt
	}
	if actor.IsAnonymous() {
		out.NeedsSignIn = true
		return out, nil
	}
	pair, ours, err := s.pair(ctx, tx, p.provider, actor.PartnerID)
	if err != nil {
		return nil, err
	}
	if ours = p.madeOf(ours); ours != nil {
		out.State, out.PartnershipID = ProposalAccepted, ours.ID
		if p.link != nil {
			out.DecidedAt = &ours.AuthorizedAt
		}
	}
	if out.State != ProposalOpen {
		return out, nil
	}
	out.Refusals = MayJoin(*pair, tx.Now)
	out.LacksRole = actor.Kind == access.IndirectReseller && !actor.Can(access.PermProviderAuthorize)
	out.MayAuthorize = len(out.Refusals) == 0 && !out.LacksRole
	return out, nil
}

// madeOf is the living partnership of the pair if it came of this proposal, so
// that answering it once more is a second click. A personal link is followed
// by many and may have been replaced since: what no invitation made came of it.
func (p *proposal) madeOf(ours *Partnership) *Partnership {
	if ours == nil || p.inv != nil && p.state != ProposalAccepted || p.link != nil && ours.InvitationID != "" {
		return nil
	}
	return ours
}

// pair reads what the rule of joining looks at, and the pair's living
// partnership, nil where there is none.
func (s *Service) pair(ctx context.Context, tx *database.Tx, provider *partner.Partner, reseller ident.ID) (*Pair, *Partnership, error) {
	pair := &Pair{Provider: provider}
	if reseller == "" {
		return pair, nil, nil
	}
	ps, err := s.partners.Load(ctx, tx, reseller)
	if err != nil {
		return nil, nil, err
	}
	pair.Reseller = ps[reseller]
	if pair.Declared, err = s.partners.AreDeclaredAffiliates(ctx, tx, provider.ID, reseller); err != nil {
		return nil, nil, err
	}
	ours, err := living(ctx, tx, provider.ID, reseller)
	pair.Partnered = ours != nil
	return pair, ours, err
}

// PairTx is what the rule of joining looks at for two partners, for a concept
// that explains it.
func (s *Service) PairTx(ctx context.Context, tx *database.Tx, provider *partner.Partner, reseller ident.ID) (*Pair, error) {
	p, _, err := s.pair(ctx, tx, provider, reseller)
	return p, err
}

// AlliedTx tells which of some partners have a living partnership with a
// partner, on whichever side.
func (s *Service) AlliedTx(ctx context.Context, tx *database.Tx, with ident.ID, some ...ident.ID) (map[ident.ID]bool, error) {
	return allied(ctx, tx, with, some)
}

// closedCodes say why a proposal can no longer be answered.
var closedCodes = map[ProposalState]string{
	ProposalAccepted: CodeInvitationClosed, ProposalDeclined: CodeInvitationClosed, ProposalRevoked: CodeInvitationClosed,
	ProposalExpired: CodeInvitationExpired, ProposalReplaced: "LINK_REPLACED", ProposalPaused: CodeLinkPaused,
}

func (p *proposal) closed(path string) error {
	code := closedCodes[p.state]
	if p.kind == ByPersonalLink && p.state == ProposalExpired {
		code = CodeLinkExpired
	}
	return fault.Conflict(path, code)
}

// target finds the proposal that an answer is about: by code, or by the id of
// an invitation that was sent to the actor's own address.
func (s *Service) target(ctx context.Context, tx *database.Tx, actor access.Actor, code string, id *ident.ID) (*proposal, string, error) {
	if id == nil {
		p, err := s.find(ctx, tx, code)
		if err == nil && p.state == ProposalUnknown {
			err = fault.NotFound("code")
		}
		return p, "code", err
	}
	p, err := s.findInvitation(ctx, tx, *id, 0)
	if err != nil {
		return nil, "", err
	}
	own, perr := address.Parse(actor.Email)
	if p.state == ProposalUnknown || perr != nil || p.inv.RecipientFolded != own.Folded() {
		return nil, "", fault.NotFound("invitationId")
	}
	return p, "invitationId", nil
}

// mayAnswer proves that the actor is the one who answers for its company: a
// reseller's Global admin, in person and not by a token.
func mayAnswer(actor access.Actor) error {
	if actor.IsAnonymous() {
		return fault.Unauthenticated()
	}
	if err := actor.RefuseToken(); err != nil {
		return err
	}
	if actor.Kind == access.IndirectReseller {
		return actor.Require(access.PermProviderAuthorize)
	}
	return nil // the guards refuse with their own codes
}

// Accept authorizes the provider: the reseller's Global admin has ticked the
// box and pressed the button. Every guard is checked again in the same
// transaction. Accepting twice answers with the partnership that is there.
func (s *Service) Accept(ctx context.Context, actor access.Actor, in AcceptInput) (*Partnership, error) {
	if err := mayAnswer(actor); err != nil {
		return nil, err
	}
	if err := in.Validate(); err != nil {
		return nil, err
	}
	if err := actor.RequireSudo(s.db.Now()); err != nil {
		return nil, err
	}
	key := deref(in.IdempotencyKey)
	var out *Partnership
	err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		prior, err := outbox.Once(ctx, tx, actor, "authorizeProvider", key, in)
		if err != nil {
			return err
		}
		if prior != nil {
			out, err = lock(ctx, tx, actor.Scope(), prior.ID("partnership"))
			return err
		}
		p, path, err := s.target(ctx, tx, actor, in.Code, in.InvitationID)
		if err != nil {
			return err
		}
		pair, ours, err := s.pair(ctx, tx, p.provider, actor.PartnerID)
		if err != nil {
			return err
		}
		if out = p.madeOf(ours); out != nil {
			return nil // the second click
		}
		if p.state == ProposalPaused {
			if err := refused(path, MayAsk(p.provider, tx.Now)); err != nil {
				return err
			}
		}
		if p.state != ProposalOpen {
			return p.closed(path)
		}
		if out, err = s.join(ctx, tx, actor, p, pair, path); err != nil {
			return err
		}
		return outbox.Remember(ctx, tx, actor, "authorizeProvider", key, map[string]string{"partnership": string(out.ID)})
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (s *Service) join(ctx context.Context, tx *database.Tx, actor access.Actor, p *proposal, pair *Pair, path string) (*Partnership, error) {
	if err := refused(path, MayJoin(*pair, tx.Now)); err != nil {
		return nil, err
	}
	if err := actor.Require(access.PermProviderAuthorize); err != nil {
		return nil, err
	}
	reseller := pair.Reseller
	ps := &Partnership{
		ID: ident.New(ident.Partnership), ProviderID: p.provider.ID, ResellerID: reseller.ID,
		ProviderNameFolded: p.provider.LegalNameFolded, ResellerNameFolded: reseller.LegalNameFolded, Region: reseller.Region, Status: Active,
		AuthorizedByID: actor.UserID, AuthorizedAt: tx.Now, AdminAccessGrantedAt: &tx.Now, Version: 1, UpdatedAt: tx.Now,
	}
	if p.inv != nil {
		ps.InvitationID = p.inv.ID
	}
	made, err := insert(ctx, tx, ps)
	if err != nil {
		return nil, err
	}
	if !made { // somebody of the company was faster
		ours, err := living(ctx, tx, p.provider.ID, reseller.ID)
		if err != nil {
			return nil, err
		}
		if ours = p.madeOf(ours); ours != nil {
			return ours, nil
		}
		return nil, fault.Conflict(path, CodeAlreadyPartnered)
	}
	if err := s.count(ctx, tx, ps, 1); err != nil {
		return nil, err
	}
	if p.inv != nil {
		err = s.invitations.Answer(ctx, tx, actor, p.inv, invitation.VerbAccept, "")
	} else {
		err = countUse(ctx, tx, p.link.ID)
	}
	if err != nil {
		return nil, err
	}
	if err := s.tellProvider(ctx, tx, actor, ps, "partnership_accepted_provider", p.inv); err != nil {
		return nil, err
	}
	if err := s.tellSide(ctx, tx, actor, ps, ps.ResellerID, "partnership_accepted_reseller", nil); err != nil {
		return nil, err
	}
	return ps, s.record(ctx, tx, actor, "partnership.authorized", ps, ps.ID)
}

// Decline answers an invitation with no, and an optional reason that the
// provider reads.
func (s *Service) Decline(ctx context.Context, actor access.Actor, in DeclineInput) (*invitation.Invitation, error) {
	if err := mayAnswer(actor); err != nil {
		return nil, err
	}
	if err := in.Validate(); err != nil {
		return nil, err
	}
	var out *invitation.Invitation
	err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		p, path, err := s.target(ctx, tx, actor, in.Code, in.InvitationID)
		if err != nil {
			return err
		}
		if p.kind == ByPersonalLink {
			return fault.Conflict(path, "NOTHING_TO_DECLINE")
		}
		if p.state != ProposalOpen {
			return p.closed(path)
		}
		if actor.Kind != access.IndirectReseller {
			return fault.Conflict(path, CodeWrongKind)
		}
		if err := s.invitations.Answer(ctx, tx, actor, p.inv, invitation.VerbDecline, in.Reason); err != nil {
			return err
		}
		out = p.inv
		pair, _, err := s.pair(ctx, tx, p.provider, actor.PartnerID)
		if err != nil {
			return err
		}
		company := ""
		if pair.Reseller != nil {
			company = pair.Reseller.LegalName
		}
		if err := s.tellInviter(ctx, tx, p, "partnership_declined", company); err != nil {
			return err
		}
		return s.recordInvitation(ctx, tx, actor, "invitation.declined", p)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// AskForNewLink lets the holder of a dead link ask the inviter for a new one.
// It needs no account; the inviter hears of it once a day at most. For a code
// that is unknown, or still works, nothing happens.
func (s *Service) AskForNewLink(ctx context.Context, actor access.Actor, code string) error {
	return s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		p, err := s.find(ctx, tx, code)
		if err != nil {
			return err
		}
		switch {
		case p.state == ProposalUnknown:
			return fault.NotFound("code")
		case p.inv == nil || p.state == ProposalOpen || p.state == ProposalAccepted || p.state == ProposalDeclined:
			return fault.Conflict("code", "NO_NEW_LINK_NEEDED")
		}
		return s.invitations.AskForNewLink(ctx, tx, actor, p.inv)
	})
}

// KeepWaiting notes that the recipient's company has to enroll first; the
// invitation waits for it.
func (s *Service) KeepWaiting(ctx context.Context, actor access.Actor, code string) error {
	if err := actor.RefuseToken(); err != nil {
		return err
	}
	return s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		p, err := s.find(ctx, tx, code)
		if err != nil {
			return err
		}
		switch {
		case p.state == ProposalUnknown:
			return fault.NotFound("code")
		case p.state != ProposalOpen:
			return p.closed("code")
		case p.inv == nil:
			return fault.Conflict("code", "NOTHING_TO_KEEP")
		}
		return s.invitations.Wait(ctx, tx, actor, p.inv)
	})
}

func linkID(code string) (ident.ID, bool) { return secret.HandleID(code, ident.Proposal) }
