// Package audit owns the record of who did what to which thing, written in
// the transaction of the act itself, the chain of seals that makes changing
// it evident, and its export. It is append-only: the database refuses
// changes. It never holds a value of a changed field, only its name.
//
// Invariant: every event is in at most one seal, and a seal once written
// never changes; whoever can read an event by an export can read it in the
// list, with the same columns.
package audit

import (
	"context"
	"time"

	"github.com/uptrace/bun"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/page"
)

// Outcome says how an act ended.
type Outcome string

// Outcomes.
const (
	Done    Outcome = "DONE"
	Refused Outcome = "REFUSED"
)

// ActorKind says what acted.
type ActorKind string

// Actor kinds.
const (
	ActorUser      ActorKind = "USER"
	ActorSystem    ActorKind = "SYSTEM"
	ActorAnonymous ActorKind = "ANONYMOUS"
)

// Event is one recorded act.
type Event struct {
	bun.BaseModel  `bun:"table:audit_event,alias:audit_event"`
	ID             ident.ID  `bun:"id,pk"`
	At             time.Time `bun:"at"`
	ActorID        ident.ID  `bun:"actor_id"`
	ActorKind      ActorKind `bun:"actor_kind"`
	ActorName      string    `bun:"actor_name"`
	OrganizationID ident.ID  `bun:"organization_id"`
	OnBehalfOfID   ident.ID  `bun:"on_behalf_of_id"`
	// Action is concept.verb in the past tense, e.g. partnership.requested.
	Action   string   `bun:"action"`
	TargetID ident.ID `bun:"target_id"`
	// TargetOrganizationID is the other party whose audit shows the act too.
	TargetOrganizationID ident.ID `bun:"target_organization_id"`
	Changed              []string `bun:"changed,type:jsonb"`
	Outcome              Outcome  `bun:"outcome"`
	Reason               string   `bun:"reason"`
	RequestID            string   `bun:"request_id"`
	IPPrefix             string   `bun:"ip_prefix"`
	// TokenID is the personal token that acted for the person, "" for the
	// person itself.
	TokenID ident.ID `bun:"token_id"`
}

// Act is what a verb tells about itself; the rest comes from the actor and
// the transaction.
type Act struct {
	Action               string
	TargetID             ident.ID
	TargetOrganizationID ident.ID
	OnBehalfOfID         ident.ID
	Changed              []string
	Outcome              Outcome
	Reason               string
}

// Record writes an act in the caller's transaction, and tells those who listen
// there what was done.
func Record(ctx context.Context, tx *database.Tx, actor access.Actor, act Act) error {
	e := &Event{
		ID: ident.New(ident.Audit), At: tx.Now, ActorID: actor.UserID, ActorName: actor.Name, OrganizationID: actor.OrganizationID,
		OnBehalfOfID: act.OnBehalfOfID, Action: act.Action, TargetID: act.TargetID, TargetOrganizationID: act.TargetOrganizationID,
		Changed: act.Changed, Outcome: act.Outcome, Reason: act.Reason, RequestID: ident.Request(ctx), IPPrefix: actor.IPPrefix,
		ActorKind: ActorUser, TokenID: actor.TokenID,
	}
	switch {
	case actor.IsSystem():
		e.ActorKind = ActorSystem
	case actor.IsAnonymous():
		e.ActorKind = ActorAnonymous
	}
	if e.Outcome == "" {
		e.Outcome = Done
	}
	if e.Changed == nil {
		e.Changed = []string{}
	}
	if e.Outcome == Done {
		tx.Tell(e.Action, e.TargetID)
	}
	_, err := tx.NewInsert().Model(e).Exec(database.Last(ctx))
	return err
}

// Filter narrows a list of events; what is given together must all hold.
type Filter struct {
	Action   *string
	TargetID *ident.ID
	// ActorID is who acted. Who is bound to an organization finds only its
	// own people by it: of others' acts it is not told who did them.
	ActorID *ident.ID
	// OrganizationID is whose audit is read: its own acts and those that
	// concern it. For the operator; whoever else names another organization
	// than the own finds nothing.
	OrganizationID *ident.ID
	Outcome        *Outcome
	// Since is the first moment, Until the first one beyond.
	Since *time.Time
	Until *time.Time
}

// columns are where an event names an organization that may read it.
var columns = []string{"audit_event.organization_id", "audit_event.target_organization_id"}

// events selects what a scope shows of a filter, into rows.
func (f Filter) events(db bun.IDB, scope access.Scope, rows any) *bun.SelectQuery {
	q := db.NewSelect().Model(rows).ApplyQueryBuilder(scope.ByOrganization(columns...))
	if f.Action != nil {
		q = q.Where("audit_event.action = ?", *f.Action)
	}
	if f.TargetID != nil {
		q = q.Where("audit_event.target_id = ?", *f.TargetID)
	}
	if f.ActorID != nil {
		// The second condition is the index's own.
		q = q.Where("audit_event.actor_id = ? AND audit_event.actor_id <> ''", *f.ActorID)
		q = q.ApplyQueryBuilder(scope.ByOrganization("audit_event.organization_id"))
	}
	switch {
	case f.OrganizationID == nil:
	case !scope.All() && *f.OrganizationID != scope.Organization():
		q = q.Where("1 = 0")
	default:
		q = q.Where("(audit_event.organization_id = ?0 OR audit_event.target_organization_id = ?0)", *f.OrganizationID)
	}
	if f.Outcome != nil {
		q = q.Where("audit_event.outcome = ?", *f.Outcome)
	}
	if f.Since != nil {
		q = q.Where("audit_event.at >= ?", *f.Since)
	}
	if f.Until != nil {
		q = q.Where("audit_event.at < ?", *f.Until)
	}
	return q
}

// List is a page of the events that the actor may read, newest first.
func List(ctx context.Context, db *database.DB, actor access.Actor, args page.Args, f Filter) (*page.Connection[*Event], error) {
	if err := actor.Require(access.PermAuditRead); err != nil {
		return nil, err
	}
	order := page.Order{Name: "AT", Column: "audit_event.at", Sort: page.SortTime, Direction: page.Desc}
	pq, err := args.Resolve(order, f)
	if err != nil {
		return nil, err
	}
	var rows []*Event
	if err := database.Keyset(f.events(db.Read(), actor.Scope(), &rows), pq, "audit_event.id").Scan(ctx); err != nil {
		return nil, err
	}
	return page.Build(pq, rows, func(e *Event) (any, ident.ID) { return e.At, e.ID }, func(ctx context.Context) (int, error) {
		return database.CountCapped(ctx, db.Read(), f.events(db.Read(), actor.Scope(), (*Event)(nil)))
	}), nil
}
