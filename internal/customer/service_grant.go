package customer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/internal/page"
	"github.com/channelgraph/channelgraph/internal/partner"
)

// grant gives the partner of a relationship what is delegated.
func (s *Service) grant(ctx context.Context, tx *database.Tx, r *Relationship, d Delegation) (*Grant, error) {
	g := &Grant{ID: ident.New(ident.Grant), RelationshipID: r.ID, CustomerID: r.CustomerID, PartnerID: r.PartnerID, Roles: d.Roles, StartsAt: tx.Now,
		EndsAt: tx.Now.Add(time.Duration(d.Days) * day), AutoExtendDays: d.extend(), Status: GrantActive, Version: 1, CreatedAt: tx.Now, UpdatedAt: tx.Now}
	if err := s.plan(ctx, tx, g, tx.Now); err != nil {
		return nil, err
	}
	return g, insertGrant(ctx, tx, g)
}

// ahead is how far ahead timers are set. What falls due later is found by the
// daily scan, so that a million grants do not keep a million jobs for a year.
const ahead = 25 * time.Hour

// plan writes down the grant's next step after a moment, and the timer of one
// that is near; the caller saves the grant.
func (s *Service) plan(ctx context.Context, tx *database.Tx, g *Grant, after time.Time) error {
	step, at := g.Next(after)
	if step == StepNone {
		g.NextActionAt = nil
		return nil
	}
	g.NextActionAt = &at
	if at.After(tx.Now.Add(ahead)) {
		return nil
	}
	_, err := outbox.Put(ctx, tx, LookAtGrant{GrantID: g.ID}, outbox.DueAt(at), outbox.About(g.ID))
	return err
}

// Withdraw takes a grant away from a partner, for the customer; it counts from
// the next request on. Errors: NOT_FOUND, ROLE_REQUIRED, CONFLICT, GRANT_ENDED.
func (s *Service) Withdraw(ctx context.Context, actor access.Actor, in WithdrawInput) (*Grant, error) {
	if actor.IsAnonymous() {
		return nil, fault.Unauthenticated()
	}
	var out *Grant
	err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		g, err := lockGrant(ctx, tx, actor.Scope(), in.GrantID)
		if err != nil {
			return err
		}
		if g == nil {
			return fault.NotFound("grantId")
		}
		if err := actor.Require(access.PermGrantWithdraw); err != nil {
			return err
		}
		if in.ExpectedVersion != nil && *in.ExpectedVersion != g.Version {
			return fault.Conflict("expectedVersion", fault.CodeConflict)
		}
		if g.Status != GrantActive || !tx.Now.Before(g.EndsAt) {
			return fault.Conflict("grantId", CodeGrantEnded)
		}
		out = g
		if err := s.withdraw(ctx, tx, g, actor.UserID); err != nil {
			return err
		}
		c, p, err := s.sides(ctx, tx, g)
		if err != nil {
			return err
		}
		err = s.tellPartner(ctx, tx, c, p, "customer_grant_withdrawn", string(g.ID), map[string]string{"WithdrawnBy": actor.Name, "WithdrawnAt": stamp(tx.Now)})
		if err != nil {
			return err
		}
		return s.recordGrant(ctx, tx, actor, "grant.withdrawn", g, c, p, "status")
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (s *Service) withdraw(ctx context.Context, tx *database.Tx, g *Grant, by ident.ID) error {
	g.Status, g.WithdrawnAt, g.WithdrawnByID, g.NextActionAt = GrantWithdrawn, &tx.Now, by, nil
	if err := outbox.CancelAbout(ctx, tx, g.ID, LookAtGrant{}.Kind()); err != nil {
		return err
	}
	return saveGrant(ctx, tx, g)
}

// endGrants ends what a removed relationship was granted.
func (s *Service) endGrants(ctx context.Context, tx *database.Tx, r *Relationship) error {
	gs, err := lockGrantsOf(ctx, tx, r.ID)
	for _, g := range gs {
		if err := s.withdraw(ctx, tx, g, ""); err != nil {
			return err
		}
	}
	return err
}

// sides reads the customer and the partner of a grant.
func (s *Service) sides(ctx context.Context, tx *database.Tx, g *Grant) (*Customer, *partner.Partner, error) {
	c, err := one(ctx, tx.NewSelect(), access.System("customer").Scope(), "customer.id", g.CustomerID)
	if err != nil {
		return nil, nil, err
	}
	ps, err := s.loadParties(ctx, tx, g.PartnerID)
	if err != nil {
		return nil, nil, err
	}
	return c, ps[0], nil
}

func (s *Service) recordGrant(ctx context.Context, tx *database.Tx, actor access.Actor, action string, g *Grant, c *Customer, p *partner.Partner, changed ...string) error {
	if err := s.record(ctx, tx, actor, action, c, g.ID, []*partner.Partner{p}, changed...); err != nil {
		return err
	}
	rs, err := relations(ctx, tx, c.ID)
	if err != nil {
		return err
	}
	return tell(ctx, tx, c, map[ident.ID]*Relationship{p.ID: rs[p.ID]})
}

// RenewLine is what became of one grant of a renewal.
type RenewLine struct {
	GrantID ident.ID
	Grant   *Grant
	// Problems are why the grant was not renewed.
	Problems []fault.Problem
}

// errNothing takes back a transaction that renewed nothing.
var errNothing = errors.New("nothing was renewed")

// Renew prolongs grants of the own side from their present end; each is a line
// of its own, so that one that is over holds no other up. The customers are
// told and may withdraw at any time. Errors: ROLE_REQUIRED, what is wrong with
// the input; on a line NOT_FOUND, GRANT_ENDED, GRANT_TOO_LONG.
func (s *Service) Renew(ctx context.Context, actor access.Actor, in RenewInput) ([]*RenewLine, error) {
	if err := actor.Require(access.PermGrantRenew); err != nil {
		return nil, err
	}
	if err := in.Validate(); err != nil {
		return nil, err
	}
	key := deref(in.IdempotencyKey)
	var out []*RenewLine
	err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		out = nil
		prior, err := outbox.Once(ctx, tx, actor, "renewGrants", key, in)
		if err != nil {
			return err
		}
		ids, renewed := map[string]string{}, false
		for n, id := range in.GrantIDs {
			g, err := lockGrant(ctx, tx, actor.Scope(), id)
			if err != nil {
				return err
			}
			line := &RenewLine{GrantID: id, Grant: g}
			out = append(out, line)
			if prior != nil {
				if code := prior.IDs[fmt.Sprint(n)]; code != "" {
					line.refuse(n, code)
				}
				continue
			}
			code, err := s.renew(ctx, tx, actor, g, in.Days)
			if err != nil {
				return err
			}
			if code != "" {
				ids[fmt.Sprint(n)] = code
				line.refuse(n, code)
			}
			renewed = renewed || code == ""
		}
		if prior != nil {
			return nil
		}
		if !renewed {
			return errNothing
		}
		return outbox.Remember(ctx, tx, actor, "renewGrants", key, ids)
	})
	if err != nil && !errors.Is(err, errNothing) {
		return nil, err
	}
	return out, nil
}

func (l *RenewLine) refuse(n int, code string) {
	l.Grant, l.Problems = nil, fault.As(fault.Conflict(fmt.Sprintf("grantIds.%d", n), code)).Problems
}

// renew prolongs one held grant, or tells the code of why not.
func (s *Service) renew(ctx context.Context, tx *database.Tx, actor access.Actor, g *Grant, days int) (string, error) {
	switch {
	case g == nil || g.PartnerID != actor.PartnerID:
		return fault.CodeNotFound, nil
	case g.Status != GrantActive || !tx.Now.Before(g.EndsAt):
		return CodeGrantEnded, nil
	}
	ends := g.EndsAt.Add(time.Duration(days) * day)
	if ends.After(tx.Now.Add(MaxGrantDays * day)) {
		return CodeGrantTooLong, nil
	}
	if err := s.extend(ctx, tx, g, ends); err != nil {
		return "", err
	}
	c, p, err := s.sides(ctx, tx, g)
	if err != nil {
		return "", err
	}
	data := map[string]string{"PartnerCompany": p.LegalName, "EndsAt": stamp(g.EndsAt)}
	if err := s.tellCustomer(ctx, tx, c, "customer_grant_renewed", string(g.ID)+"/"+stamp(g.EndsAt), data); err != nil {
		return "", err
	}
	return "", s.recordGrant(ctx, tx, actor, "grant.renewed", g, c, p, "endsAt")
}

// extend gives a held grant a later end.
func (s *Service) extend(ctx context.Context, tx *database.Tx, g *Grant, ends time.Time) error {
	g.EndsAt = ends
	if err := outbox.CancelAbout(ctx, tx, g.ID, LookAtGrant{}.Kind()); err != nil {
		return err
	}
	if err := s.plan(ctx, tx, g, tx.Now); err != nil {
		return err
	}
	return saveGrant(ctx, tx, g)
}

// LookAtGrant asks for a look at a grant when something falls due: a notice or
// its end.
type LookAtGrant struct {
	GrantID ident.ID `json:"grant_id"`
}

// Kind is the job's kind.
func (LookAtGrant) Kind() string { return "customer.look_at_grant" }

// LookAtGrant performs what fell due for a grant, in order; a late wake-up
// leaves out a notice that a later step has overtaken.
func (s *Service) LookAtGrant(ctx context.Context, run *outbox.Run, a LookAtGrant) error {
	return s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		g, err := lockGrant(ctx, tx, access.System("customer").Scope(), a.GrantID)
		if err != nil {
			return err
		}
		for g != nil && g.NextActionAt != nil && !g.NextActionAt.After(tx.Now) {
			step, at := g.Next(g.NextActionAt.Add(-time.Microsecond))
			if step == StepEnd {
				if err := s.end(ctx, tx, g); err != nil {
					return err
				}
				break
			}
			if _, then := g.Next(at); then.After(tx.Now) {
				if err := s.notice(ctx, tx, g, at); err != nil {
					return err
				}
			}
			if err := s.plan(ctx, tx, g, at); err != nil {
				return err
			}
			if err := saveGrant(ctx, tx, g); err != nil {
				return err
			}
		}
		return run.Done(ctx, tx)
	})
}

// notice tells both sides that a grant ends, or extends itself.
func (s *Service) notice(ctx context.Context, tx *database.Tx, g *Grant, at time.Time) error {
	c, p, err := s.sides(ctx, tx, g)
	if err != nil {
		return err
	}
	data := map[string]string{"PartnerCompany": p.LegalName, "CustomerCompany": c.CompanyName, "EndsAt": stamp(g.EndsAt),
		"DaysLeft": fmt.Sprint(int((g.EndsAt.Sub(at) + day/2) / day)), "Extends": extends(g)}
	return s.tellBoth(ctx, tx, c, p, "customer_grant_ending", string(g.ID)+"/"+stamp(at), data)
}

func extends(g *Grant) string {
	if g.AutoExtendDays == 0 {
		return ""
	}
	return fmt.Sprint(g.AutoExtendDays)
}

// end ends a grant whose time is over, or has it extend itself.
func (s *Service) end(ctx context.Context, tx *database.Tx, g *Grant) error {
	c, p, err := s.sides(ctx, tx, g)
	if err != nil {
		return err
	}
	data := map[string]string{"PartnerCompany": p.LegalName, "CustomerCompany": c.CompanyName, "EndsAt": stamp(g.EndsAt)}
	system := access.System("customer")
	if g.AutoExtendDays > 0 {
		ends := g.EndsAt.Add(time.Duration(g.AutoExtendDays) * day)
		data["EndsAt"] = stamp(ends)
		if err := s.extend(ctx, tx, g, ends); err != nil {
			return err
		}
		if err := s.tellCustomer(ctx, tx, c, "customer_grant_renewed", string(g.ID)+"/"+stamp(ends), data); err != nil {
			return err
		}
		return s.recordGrant(ctx, tx, system, "grant.extended", g, c, p, "endsAt")
	}
	g.Status, g.NextActionAt = GrantExpired, nil
	if err := saveGrant(ctx, tx, g); err != nil {
		return err
	}
	if err := s.tellBoth(ctx, tx, c, p, "customer_grant_ended", string(g.ID), data); err != nil {
		return err
	}
	return s.recordGrant(ctx, tx, system, "grant.expired", g, c, p, "status")
}

// ScanGrants asks for timers for the grants whose next step is near.
type ScanGrants struct{}

// Kind is the job's kind.
func (ScanGrants) Kind() string { return "customer.scan_grants" }

// scanBatch is how many timers are put in one transaction.
const scanBatch = 500

// ScanGrants puts a timer for every grant whose next step falls due within a
// day, or fell due without one.
func (s *Service) ScanGrants(ctx context.Context, run *outbox.Run, _ ScanGrants) error {
	after := grantPlace{}
	for {
		var n int
		err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
			due, err := dueGrants(ctx, tx, after, tx.Now.Add(ahead), scanBatch)
			if err != nil {
				return err
			}
			n = len(due)
			for _, g := range due {
				if _, err := outbox.Put(ctx, tx, LookAtGrant{GrantID: g.ID}, outbox.DueAt(*g.NextActionAt), outbox.About(g.ID),
					outbox.Dedupe("customer.look_at_grant/"+string(g.ID))); err != nil {
					return err
				}
			}
			if n == scanBatch {
				after = grantPlace{*due[n-1].NextActionAt, due[n-1].ID}
				return nil
			}
			return run.Done(ctx, tx)
		})
		if err != nil || n < scanBatch {
			return err
		}
	}
}

// GrantsByIDs reads grants inside the actor's scope.
func (s *Service) GrantsByIDs(ctx context.Context, actor access.Actor, ids []ident.ID) (map[ident.ID]*Grant, error) {
	if !actor.Can(access.PermGrantRead) {
		return map[ident.ID]*Grant{}, nil
	}
	return grantsByIDs(ctx, s.db.Read(), actor.Scope(), ids)
}

// ListGrants is a page of the grants that the actor sees: a partner its own, a
// customer all that it gave; what ends first stands first.
func (s *Service) ListGrants(ctx context.Context, actor access.Actor, args page.Args, direction page.Direction, f GrantFilter) (*page.Connection[*Grant], error) {
	if err := actor.Require(access.PermGrantRead); err != nil {
		return nil, err
	}
	pq, err := args.Resolve(page.Order{Name: "ENDS_AT", Column: "customer_grant.ends_at", Sort: page.SortTime, Direction: direction}, f)
	if err != nil {
		return nil, err
	}
	return listGrants(ctx, s.db, actor.Scope(), pq, f)
}

// GrantEffective reports whether a grant counts now.
func (s *Service) GrantEffective(g *Grant) bool { return g.Effective(s.db.Now()) }
