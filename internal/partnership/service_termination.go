package partnership

import (
	"context"
	"strconv"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/audit"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/internal/page"
)

// RequestTermination asks the operator to end a partnership; either side may.
func (s *Service) RequestTermination(ctx context.Context, actor access.Actor, in RequestTerminationInput) (*Termination, error) {
	raw := in
	if err := in.Validate(); err != nil {
		return nil, err
	}
	key := deref(in.IdempotencyKey)
	var out *Termination
	_, err := s.change(ctx, actor, access.PermPartnershipEnd, in.PartnershipID, nil, func(ctx context.Context, tx *database.Tx, p *Partnership) error {
		prior, err := outbox.Once(ctx, tx, actor, "requestTermination", key, raw)
		if err != nil {
			return err
		}
		if prior != nil {
			out, err = lockTermination(ctx, tx, actor.Scope(), prior.ID("termination"))
			return err
		}
		if p.Status == Terminated {
			return fault.Conflict("partnershipId", "PARTNERSHIP_TERMINATED")
		}
		t := &Termination{ID: ident.New(ident.Termination), PartnershipID: p.ID, RequesterID: actor.PartnerID, RequestedByID: actor.UserID,
			Reason: in.Reason, Status: TerminationRequested, Version: 1, CreatedAt: tx.Now}
		if err := s.promise(ctx, tx, t); err != nil {
			return err
		}
		made, err := insertTermination(ctx, tx, t)
		if err != nil {
			return err
		}
		if !made {
			return fault.Conflict("partnershipId", "TERMINATION_PENDING")
		}
		if err := s.follow(ctx, tx, t); err != nil {
			return err
		}
		p.Status = Terminating
		if err := save(ctx, tx, p); err != nil {
			return err
		}
		if err := s.tellSide(ctx, tx, actor, p, other(p, actor.PartnerID), "termination_requested", t); err != nil {
			return err
		}
		out = t
		if err := outbox.Remember(ctx, tx, actor, "requestTermination", key, map[string]string{"termination": string(t.ID)}); err != nil {
			return err
		}
		return s.record(ctx, tx, actor, "partnership.termination_requested", p, t.ID)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func other(p *Partnership, side ident.ID) ident.ID {
	if p.ProviderID == side {
		return p.ResellerID
	}
	return p.ProviderID
}

// WithdrawTermination takes the own side's request back.
func (s *Service) WithdrawTermination(ctx context.Context, actor access.Actor, in WithdrawTerminationInput) (*Termination, error) {
	return s.decide(ctx, actor, access.PermPartnershipEnd, DecideTerminationInput{TerminationID: in.TerminationID}, TerminationWithdrawn)
}

// CompleteTermination ends the partnership: customers and granted rights stay
// as they are, nothing new can be transacted (spec section 3). Where something
// stands in the way it is refused with TERMINATION_BLOCKED, unless the input
// says that this is known.
func (s *Service) CompleteTermination(ctx context.Context, actor access.Actor, in DecideTerminationInput) (*Termination, error) {
	if err := in.Validate(); err != nil {
		return nil, err
	}
	return s.decide(ctx, actor, access.PermTerminationDecide, in, TerminationCompleted)
}

// RefuseTermination leaves the partnership as it was.
func (s *Service) RefuseTermination(ctx context.Context, actor access.Actor, in DecideTerminationInput) (*Termination, error) {
	if err := in.Validate(); err != nil {
		return nil, err
	}
	return s.decide(ctx, actor, access.PermTerminationDecide, in, TerminationRefused)
}

var terminationActs = map[TerminationStatus]struct{ action, template string }{
	TerminationWithdrawn: {"partnership.termination_withdrawn", ""},
	TerminationCompleted: {"partnership.terminated", "termination_completed"},
	TerminationRefused:   {"partnership.termination_refused", "termination_refused"},
}

func (s *Service) decide(ctx context.Context, actor access.Actor, perm access.Permission, in DecideTerminationInput, to TerminationStatus) (*Termination, error) {
	if actor.IsAnonymous() {
		return nil, fault.Unauthenticated()
	}
	var out *Termination
	err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		t, err := lockTermination(ctx, tx, actor.Scope(), in.TerminationID)
		if err != nil {
			return err
		}
		if t == nil || to == TerminationWithdrawn && t.RequesterID != actor.PartnerID {
			return fault.NotFound("terminationId")
		}
		if err := actor.Require(perm); err != nil {
			return err
		}
		if in.ExpectedVersion != nil && *in.ExpectedVersion != t.Version {
			return fault.Conflict("expectedVersion", fault.CodeConflict)
		}
		if t.Status != TerminationRequested {
			return fault.Conflict("terminationId", fault.CodeConflict)
		}
		p, err := lock(ctx, tx, actor.Scope(), t.PartnershipID)
		if err != nil {
			return err
		}
		if to == TerminationCompleted && !in.DespiteBlockers {
			couple := Couple{p.ProviderID, p.ResellerID}
			blocked, err := s.blockersOf(ctx, tx, []Couple{couple})
			if err != nil {
				return err
			}
			if n := len(blocked[couple]); n > 0 {
				return fault.Conflict("terminationId", CodeBlocked, "count", strconv.Itoa(n))
			}
		}
		t.Status, t.DecidedByID, t.DecidedAt, t.DecisionNote, t.NextActionAt = to, &actor.UserID, &tx.Now, deref(in.Note), nil
		p.Status = Active
		if to == TerminationCompleted {
			p.Status, p.TerminatedAt = Terminated, &tx.Now
		}
		if err := saveTermination(ctx, tx, t); err != nil {
			return err
		}
		if err := s.follow(ctx, tx, t); err != nil {
			return err
		}
		if err := save(ctx, tx, p); err != nil {
			return err
		}
		if to == TerminationCompleted {
			if err := s.count(ctx, tx, p, -1); err != nil {
				return err
			}
		}
		act := terminationActs[to]
		if act.template != "" {
			for _, side := range []ident.ID{p.ProviderID, p.ResellerID} {
				if err := s.tellSide(ctx, tx, actor, p, side, act.template, t); err != nil {
					return err
				}
			}
		}
		out = t
		return s.record(ctx, tx, actor, act.action, p, t.ID, "status")
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// AssignTermination gives an open request to end to one of the operator's
// people, the actor or another, or takes it back. Errors: ROLE_REQUIRED,
// NOT_FOUND, CONFLICT where it was decided or changed; at assigneeId NOT_FOUND,
// NOT_A_REVIEWER.
func (s *Service) AssignTermination(ctx context.Context, actor access.Actor, in AssignTerminationInput) (*Termination, error) {
	if err := actor.Require(access.PermTerminationDecide); err != nil {
		return nil, err
	}
	var out *Termination
	err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		t, err := lockTermination(ctx, tx, actor.Scope(), in.TerminationID)
		switch {
		case err != nil:
			return err
		case t == nil:
			return fault.NotFound("terminationId")
		case in.ExpectedVersion != nil && *in.ExpectedVersion != t.Version:
			return fault.Conflict("expectedVersion", fault.CodeConflict)
		case t.Status != TerminationRequested:
			return fault.Conflict("terminationId", fault.CodeConflict)
		}
		out = t
		var id ident.ID
		if in.AssigneeID != nil {
			id = *in.AssigneeID
		}
		if t.AssigneeID == id {
			return nil
		}
		act := audit.Act{Action: "partnership.termination_unassigned", TargetID: t.ID, Changed: []string{"assignee"}}
		if id != "" {
			who, err := access.Load(ctx, tx, access.Presence{UserID: id})
			switch {
			case err != nil:
				return err
			case !who.IsOperator():
				return fault.NotFound("assigneeId")
			case !who.Can(access.PermTerminationDecide):
				return fault.Conflict("assigneeId", CodeNotReviewer)
			}
			act.Action, act.Reason = "partnership.termination_assigned", string(id)
		}
		t.AssigneeID = id
		if err := saveTermination(ctx, tx, t); err != nil {
			return err
		}
		if err := s.follow(ctx, tx, t); err != nil {
			return err
		}
		// who of the operator works it is the operator's own matter
		return audit.Record(ctx, tx, actor, act)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// OnBlockers registers who knows what stands in the way of an end. It is
// called while the service is put together.
func (s *Service) OnBlockers(fn Blockers) { s.blockers = append(s.blockers, fn) }

// MaxBlockers is how many blockers of one partnership are listed.
const MaxBlockers = 100

// BlockersOf reads what stands in the way of the ends that were asked for, as
// far as the actor sees the requests: the first ones, by request.
func (s *Service) BlockersOf(ctx context.Context, actor access.Actor, ids []ident.ID) (map[ident.ID][]*Blocker, error) {
	ts, err := s.TerminationsByIDs(ctx, actor, ids)
	if err != nil || len(ts) == 0 || len(s.blockers) == 0 {
		return map[ident.ID][]*Blocker{}, err
	}
	var of []ident.ID
	for _, t := range ts {
		if t.Status == TerminationRequested {
			of = append(of, t.PartnershipID)
		}
	}
	ps, err := byIDs(ctx, s.db.Read(), actor.Scope(), of)
	if err != nil {
		return nil, err
	}
	couples := make([]Couple, 0, len(ps))
	for _, p := range ps {
		couples = append(couples, Couple{p.ProviderID, p.ResellerID})
	}
	found, err := s.blockersOf(ctx, s.db.Read(), couples)
	out := map[ident.ID][]*Blocker{}
	for id, t := range ts {
		if p := ps[t.PartnershipID]; p != nil && t.Status == TerminationRequested {
			all := found[Couple{p.ProviderID, p.ResellerID}]
			out[id] = all[:min(len(all), MaxBlockers)]
		}
	}
	return out, err
}

// TerminationsByIDs reads requests to end inside the actor's scope.
func (s *Service) TerminationsByIDs(ctx context.Context, actor access.Actor, ids []ident.ID) (map[ident.ID]*Termination, error) {
	if !actor.Can(access.PermPartnershipRead) {
		return map[ident.ID]*Termination{}, nil
	}
	return terminationsByIDs(ctx, s.db.Read(), actor.Scope(), ids)
}

// OpenTerminations reads the open request of each partnership, where there is
// one, by partnership.
func (s *Service) OpenTerminations(ctx context.Context, actor access.Actor, partnerships []ident.ID) (map[ident.ID]*Termination, error) {
	if !actor.Can(access.PermPartnershipRead) {
		return map[ident.ID]*Termination{}, nil
	}
	return openTerminations(ctx, s.db.Read(), actor.Scope(), partnerships)
}

// ListTerminations is a page of the requests to end that the actor sees,
// newest first.
func (s *Service) ListTerminations(ctx context.Context, actor access.Actor, args page.Args, f TerminationFilter) (*page.Connection[*Termination], error) {
	if err := actor.Require(access.PermPartnershipRead); err != nil {
		return nil, err
	}
	order := page.Order{Name: "CREATED_AT", Column: "termination.created_at", Sort: page.SortTime, Direction: page.Desc}
	pq, err := args.Resolve(order, f)
	if err != nil {
		return nil, err
	}
	return listTerminations(ctx, s.db, actor.Scope(), pq, f)
}
