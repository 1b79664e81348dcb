package graph

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/99designs/gqlgen/graphql"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
)

// Cost points a minute, by whose purse pays.
const (
	anonymousBudget    = 500 // an address
	userBudget         = 20_000
	organizationBudget = 60_000
	// leastCost is what any request costs, one that is refused included.
	leastCost = 1
)

// Spend takes a cost from all of some purses or from none, where each is full
// to its limit when its minute begins. It tells the place of the purse that
// has least left, what is left in it and when it fills up again.
type Spend func(ctx context.Context, cost int, keys []string, limits []int) (tight, left int, resetAt time.Time, ok bool, err error)

// bill is what an answer tells of its cost, as extensions.cost.
type bill struct {
	// Requested is the operation's cost, 0 where it could not be measured.
	Requested int `json:"requested"`
	// Spent is what was taken for it: as much, but at least leastCost, and for
	// what was not run no more than that.
	Spent int `json:"spent"`
	// Left, Limit and ResetAt are of the purse that has least left.
	Left    int       `json:"left"`
	Limit   int       `json:"limit"`
	ResetAt time.Time `json:"resetAt"`
}

// billKey is where an operation's bill lies among its statistics.
const billKey = "bill"

func (b bill) extensions() map[string]any {
	b.ResetAt = b.ResetAt.UTC().Truncate(time.Microsecond)
	return map[string]any{"cost": b}
}

// budget counts what callers spend. Where the fleet's count cannot be reached
// each process counts by itself.
type budget struct {
	fleet Spend // nil for one process
	own   *purses
	away  atomic.Bool
}

// purse keys and limits of an actor: its own, and its organization's.
func pursesOf(ctx context.Context, a access.Actor) (keys []string, limits []int) {
	if a.UserID == "" {
		caller := access.CallerFromContext(ctx)
		if caller == "" {
			caller = a.IPPrefix
		}
		return []string{"address " + caller}, []int{anonymousBudget}
	}
	return []string{"user " + string(a.UserID), "organization " + string(a.OrganizationID)}, []int{userBudget, organizationBudget}
}

// charge takes a cost from the actor's purses; false where they hold less, and
// then nothing was taken.
func (s *server) charge(ctx context.Context, a access.Actor, cost int) (bill, bool) {
	b := s.budget
	keys, limits := pursesOf(ctx, a)
	if b.fleet != nil {
		tight, left, at, ok, err := b.fleet(ctx, cost, keys, limits)
		if err == nil {
			if b.away.Swap(false) {
				s.log.InfoContext(ctx, "the budgets of the fleet are back")
			}
			return billOf(cost, limits[tight], left, at, ok), ok
		}
		if ctx.Err() == nil && !b.away.Swap(true) { // said once
			s.log.WarnContext(ctx, "the budgets of the fleet cannot be reached; each process counts by itself", "error", err, "request_id", ident.Request(ctx))
		}
	}
	tight, left, at, ok := b.own.spend(cost, keys, limits)
	return billOf(cost, limits[tight], left, at, ok), ok
}

func billOf(cost, limit, left int, at time.Time, ok bool) bill {
	if !ok {
		cost = 0
	}
	return bill{Spent: cost, Left: max(left, 0), Limit: limit, ResetAt: at}
}

// prepare is the guard's, with what the request costs: one that the guard lets
// through pays its measured cost or is refused with RATE_LIMITED.
func (s *server) prepare(ctx context.Context, p params, a access.Actor) (*graphql.OperationContext, *rejection) {
	oc, bad := s.guard.prepare(p, a)
	if bad != nil {
		s.bill(ctx, a, bad)
		return nil, bad
	}
	cost, _ := oc.Stats.GetExtension(costKey).(int)
	b, ok := s.charge(ctx, a, max(cost, leastCost))
	b.Requested = cost
	if ok {
		oc.Stats.SetExtension(billKey, b)
		return oc, nil
	}
	wait := b.ResetAt.Sub(s.deps.DB.Now())
	bad = reject(http.StatusTooManyRequests, translate(ctx, s.log, fault.Limited(wait)))
	bad.after = int(math.Ceil(max(wait, time.Second).Seconds()))
	bad.errs[0].Extensions["retryAfterSeconds"] = bad.after
	bad.bill = &b
	return nil, bad
}

// bill charges for a request that is not run.
func (s *server) bill(ctx context.Context, a access.Actor, bad *rejection) {
	b, _ := s.charge(ctx, a, leastCost)
	b.Requested = bad.requested
	bad.bill = &b
}

// response is a rejection as an answer.
func (bad *rejection) response() *graphql.Response {
	res := &graphql.Response{Errors: bad.errs}
	if bad.bill != nil {
		res.Extensions = bad.bill.extensions()
	}
	return res
}

// itemize tells in an answer what the operation cost.
func itemize(oc *graphql.OperationContext, res *graphql.Response) {
	if b, ok := oc.Stats.GetExtension(billKey).(bill); ok {
		res.Extensions = b.extensions()
	}
}

// mostPurses bounds the purses that one process keeps.
const mostPurses = 50_000

// purses are the budgets of one process.
type purses struct {
	now  func() time.Time
	span time.Duration

	mu    sync.Mutex
	of    map[string]purse
	swept time.Time
}

type purse struct {
	spent   int
	resetAt time.Time
}

func newPurses(now func() time.Time) *purses {
	return &purses{now: now, span: time.Minute, of: map[string]purse{}}
}

// spend is a Spend within the process, which cannot fail.
func (p *purses) spend(cost int, keys []string, limits []int) (tight, left int, resetAt time.Time, ok bool) {
	now := p.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	found := make([]purse, len(keys))
	left = math.MaxInt
	for i, k := range keys {
		if found[i] = p.of[k]; !found[i].resetAt.After(now) {
			found[i] = purse{resetAt: now.Add(p.span)}
		}
		if rest := limits[i] - found[i].spent; rest < left {
			tight, left, resetAt = i, rest, found[i].resetAt
		}
	}
	if cost > left {
		return tight, left, resetAt, false
	}
	if cost > 0 {
		for i, k := range keys {
			found[i].spent += cost
			p.room(k, now)
			p.of[k] = found[i]
		}
	}
	return tight, left - cost, resetAt, true
}

// room makes place for a purse: those whose minute is over go, and under a
// flood of callers any one.
func (p *purses) room(key string, now time.Time) {
	if _, known := p.of[key]; known || len(p.of) < mostPurses {
		return
	}
	if now.Sub(p.swept) >= time.Second || now.Before(p.swept) {
		p.swept = now
		for k, v := range p.of {
			if !v.resetAt.After(now) {
				delete(p.of, k)
			}
		}
	}
	for k := range p.of {
		if len(p.of) < mostPurses {
			return
		}
		delete(p.of, k)
	}
}

// checkBudget refuses a budget that could never pay for what the limits allow.
func checkBudget() error {
	for _, l := range []limits{anonymousLimits, signedInLimits, operatorLimits} {
		most := userBudget
		if l.class == anonymousLimits.class {
			most = anonymousBudget
		}
		if l.cost > most {
			return fmt.Errorf("an operation of who is %s may cost %d, but only %d a minute", l.class, l.cost, most)
		}
	}
	return nil
}
