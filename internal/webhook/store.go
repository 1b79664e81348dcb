package webhook

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/page"
)

// batch bounds what one transaction changes or deletes.
const batch = 200

// reach limits a query to the living endpoints of the actor's organization:
// the operator, too, has only its own.
func reach(s access.Scope) access.Filter {
	return func(q bun.QueryBuilder) bun.QueryBuilder {
		if s.Organization() == "" {
			return q.Where("1 = 0")
		}
		return q.Where("webhook_endpoint.organization_id = ?", s.Organization()).Where("webhook_endpoint.deleted_at IS NULL")
	}
}

// deliveryReach limits a query to the deliveries to those endpoints.
func deliveryReach(s access.Scope) access.Filter {
	return func(q bun.QueryBuilder) bun.QueryBuilder {
		return q.Where("EXISTS (SELECT 1 FROM webhook_endpoint AS e WHERE e.id = webhook_delivery.endpoint_id AND e.organization_id = ? "+
			"AND e.organization_id <> '' AND e.deleted_at IS NULL)", s.Organization())
	}
}

// lock reads an endpoint for a change; nil where there is none in reach.
func lock(ctx context.Context, tx *database.Tx, in access.Filter, id ident.ID) (*Endpoint, error) {
	var row Endpoint
	q := tx.NewSelect().Model(&row).Where("webhook_endpoint.id = ?", id)
	if in != nil {
		q = q.ApplyQueryBuilder(in)
	}
	err := tx.Lock(q).Scan(ctx)
	if database.IsNoRows(err) {
		return nil, nil
	}
	return &row, err
}

// lockOrganization makes two who add an endpoint wait for each other.
func lockOrganization(ctx context.Context, tx *database.Tx, id ident.ID) error {
	var got ident.ID
	return tx.Lock(tx.NewSelect().TableExpr("organization").ColumnExpr("id").Where("id = ?", id)).Scan(ctx, &got)
}

// urls reads the addresses of an organization's endpoints, but for one.
func urls(ctx context.Context, tx *database.Tx, organization, but ident.ID) (list []string, err error) {
	err = tx.NewSelect().Model((*Endpoint)(nil)).Column("url").Where("organization_id = ?", organization).Where("deleted_at IS NULL").
		Where("id <> ?", but).Scan(ctx, &list)
	return list, err
}

func insert(ctx context.Context, tx *database.Tx, e *Endpoint) error {
	_, err := tx.NewInsert().Model(e).Exec(ctx)
	return err
}

// save writes a held endpoint back; its version counts what people change.
func save(ctx context.Context, tx *database.Tx, e *Endpoint) error {
	e.Version++
	e.UpdatedAt = tx.Now
	return saveHealth(ctx, tx, e)
}

// saveHealth writes a held endpoint back without a new version.
func saveHealth(ctx context.Context, tx *database.Tx, e *Endpoint) error {
	res, err := tx.NewUpdate().Model(e).WherePK().Exec(ctx)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		return fault.Conflict("", fault.CodeConflict)
	}
	return nil
}

func byIDs(ctx context.Context, idb bun.IDB, in access.Filter, ids []ident.ID) (map[ident.ID]*Endpoint, error) {
	out := map[ident.ID]*Endpoint{}
	if len(ids) == 0 {
		return out, nil
	}
	var rows []*Endpoint
	err := idb.NewSelect().Model(&rows).Where("webhook_endpoint.id IN (?)", bun.List(ids)).ApplyQueryBuilder(in).Scan(ctx)
	for _, r := range rows {
		out[r.ID] = r
	}
	return out, err
}

func list(ctx context.Context, db *database.DB, s access.Scope, pq page.Query, f Filter) (*page.Connection[*Endpoint], error) {
	base := func(model any) *bun.SelectQuery {
		q := db.Read().NewSelect().Model(model).ApplyQueryBuilder(reach(s))
		if f.Status != nil {
			q = q.Where("webhook_endpoint.status = ?", *f.Status)
		}
		return q
	}
	var rows []*Endpoint
	if err := database.Keyset(base(&rows), pq, "webhook_endpoint.id").Scan(ctx); err != nil {
		return nil, err
	}
	return page.Build(pq, rows, func(e *Endpoint) (any, ident.ID) { return e.CreatedAt, e.ID }, func(ctx context.Context) (int, error) {
		return database.CountCapped(ctx, db.Read(), base((*Endpoint)(nil)))
	}), nil
}

// ---- Events and deliveries

func anyEndpoint(ctx context.Context, tx *database.Tx) (bool, error) {
	return tx.NewSelect().TableExpr("webhook_endpoint").Where("deleted_at IS NULL").Exists(ctx)
}

// audienceOf reads the endpoints of the organizations that see a subject.
func audienceOf(ctx context.Context, tx *database.Tx, subject ident.ID) ([]*Endpoint, error) {
	var rows []*Endpoint
	err := tx.NewSelect().Model(&rows).Where("deleted_at IS NULL").
		Where("(operator OR organization_id IN (?))", audience(tx, subject)).OrderExpr("id").Scan(ctx)
	return rows, err
}

// maySee reports whether an endpoint's organization sees a subject now.
func maySee(ctx context.Context, idb bun.IDB, e *Endpoint, subject ident.ID) (bool, error) {
	return idb.NewSelect().TableExpr("webhook_endpoint AS e").Where("e.id = ?", e.ID).
		Where("(e.operator OR e.organization_id IN (?))", audience(idb, subject)).Exists(ctx)
}

func insertEvent(ctx context.Context, tx *database.Tx, e *Event, ds []*Delivery) error {
	if _, err := tx.NewInsert().Model(e).Exec(ctx); err != nil {
		return fmt.Errorf("writing a webhook event: %w", err)
	}
	for len(ds) > 0 {
		part := ds[:min(len(ds), batch)]
		if _, err := tx.NewInsert().Model(&part).Exec(ctx); err != nil {
			return fmt.Errorf("writing webhook deliveries: %w", err)
		}
		ds = ds[len(part):]
	}
	return nil
}

// find reads a delivery with its event and endpoint; nil where it is gone.
func find(ctx context.Context, idb bun.IDB, id ident.ID) (*Delivery, *Event, *Endpoint, error) {
	d, e, p := new(Delivery), new(Event), new(Endpoint)
	err := idb.NewSelect().Model(d).Where("id = ?", id).Scan(ctx)
	if err == nil {
		err = idb.NewSelect().Model(e).Where("id = ?", d.EventID).Scan(ctx)
	}
	if err == nil {
		err = idb.NewSelect().Model(p).Where("id = ?", d.EndpointID).Scan(ctx)
	}
	if database.IsNoRows(err) {
		return nil, nil, nil, nil
	}
	return d, e, p, err
}

func lockDelivery(ctx context.Context, tx *database.Tx, id ident.ID) (*Delivery, error) {
	var row Delivery
	err := tx.Lock(tx.NewSelect().Model(&row).Where("webhook_delivery.id = ?", id)).Scan(ctx)
	if database.IsNoRows(err) {
		return nil, nil
	}
	return &row, err
}

func saveDelivery(ctx context.Context, tx *database.Tx, d *Delivery) error {
	_, err := tx.NewUpdate().Model(d).WherePK().Exec(ctx)
	return err
}

func insertAttempt(ctx context.Context, tx *database.Tx, a *Attempt) error {
	_, err := tx.NewInsert().Model(a).Exec(ctx)
	return err
}

// abandon fails what still waits for an endpoint that is deleted.
func abandon(ctx context.Context, tx *database.Tx, endpoint ident.ID) error {
	_, err := tx.NewUpdate().Model((*Delivery)(nil)).Set("state = ?", Failed).Set("code = ?", FailDeleted).Set("finished_at = ?", tx.Now).
		Set("next_attempt_at = NULL").Where("endpoint_id = ?", endpoint).Where("state = ?", Pending).Exec(ctx)
	return err
}

// testsSince reads when the newest tests of an endpoint were asked for.
func testsSince(ctx context.Context, tx *database.Tx, endpoint ident.ID, since time.Time) (at []time.Time, err error) {
	err = tx.NewSelect().Model((*Delivery)(nil)).Column("created_at").Where("endpoint_id = ?", endpoint).Where("type = ?", Test).
		Where("created_at > ?", since).OrderExpr("created_at DESC").Limit(testsAnHour).Scan(ctx, &at)
	return at, err
}

// pendingOf reads some deliveries of an event that wait, beyond an id.
func pendingOf(ctx context.Context, tx *database.Tx, event, after ident.ID) (rows []*Delivery, err error) {
	err = tx.NewSelect().Model(&rows).Where("event_id = ?", event).Where("state = ?", Pending).Where("id > ?", after).
		OrderExpr("id").Limit(batch).Scan(ctx)
	return rows, err
}

// lockFailed reads some failed deliveries to an endpoint, made from a moment on
// and ended before another.
func lockFailed(ctx context.Context, tx *database.Tx, endpoint ident.ID, since, before time.Time) (rows []*Delivery, err error) {
	err = tx.Lock(tx.NewSelect().Model(&rows).Where("endpoint_id = ?", endpoint).Where("state = ?", Failed).Where("type <> ?", Test).
		Where("created_at >= ?", since).Where("finished_at <= ?", before).OrderExpr("created_at, id").Limit(batch)).Scan(ctx)
	return rows, err
}

// strandedSince reads some deliveries whose next attempt should have been long
// ago, beyond an id.
func strandedSince(ctx context.Context, tx *database.Tx, before time.Time, after ident.ID) (rows []*Delivery, err error) {
	err = tx.NewSelect().Model(&rows).Where("next_attempt_at < ?", before).Where("next_attempt_at IS NOT NULL").Where("state = ?", Pending).
		Where("id > ?", after).OrderExpr("id").Limit(batch).Scan(ctx)
	return rows, err
}

func deliveriesByIDs(ctx context.Context, idb bun.IDB, s access.Scope, ids []ident.ID) (map[ident.ID]*Delivery, error) {
	out := map[ident.ID]*Delivery{}
	if len(ids) == 0 {
		return out, nil
	}
	var rows []*Delivery
	err := idb.NewSelect().Model(&rows).Where("webhook_delivery.id IN (?)", bun.List(ids)).ApplyQueryBuilder(deliveryReach(s)).Scan(ctx)
	for _, r := range rows {
		out[r.ID] = r
	}
	return out, err
}

func attemptsOf(ctx context.Context, idb bun.IDB, s access.Scope, ids []ident.ID) (map[ident.ID][]*Attempt, error) {
	out := map[ident.ID][]*Attempt{}
	if len(ids) == 0 {
		return out, nil
	}
	var rows []*Attempt
	mine := idb.NewSelect().Model((*Delivery)(nil)).Column("id").Where("webhook_delivery.id IN (?)", bun.List(ids)).ApplyQueryBuilder(deliveryReach(s))
	err := idb.NewSelect().Model(&rows).Where("webhook_attempt.delivery_id IN (?)", mine).
		OrderExpr("delivery_id, number").Scan(ctx)
	for _, r := range rows {
		out[r.DeliveryID] = append(out[r.DeliveryID], r)
	}
	return out, err
}

func listDeliveries(ctx context.Context, db *database.DB, s access.Scope, pq page.Query, f DeliveryFilter) (*page.Connection[*Delivery], error) {
	base := func(model any) *bun.SelectQuery {
		q := db.Read().NewSelect().Model(model).ApplyQueryBuilder(deliveryReach(s))
		if f.EndpointID != nil {
			q = q.Where("webhook_delivery.endpoint_id = ?", *f.EndpointID)
		} else { // so that an index serves
			q = q.Where("webhook_delivery.endpoint_id IN (?)", db.Read().NewSelect().Model((*Endpoint)(nil)).Column("id").ApplyQueryBuilder(reach(s)))
		}
		if f.State != nil {
			q = q.Where("webhook_delivery.state = ?", *f.State)
		}
		if f.EventType != nil {
			q = q.Where("webhook_delivery.type = ?", *f.EventType)
		}
		if f.Since != nil {
			q = q.Where("webhook_delivery.created_at >= ?", *f.Since)
		}
		if f.Until != nil {
			q = q.Where("webhook_delivery.created_at < ?", *f.Until)
		}
		return q
	}
	var rows []*Delivery
	if err := database.Keyset(base(&rows), pq, "webhook_delivery.id").Scan(ctx); err != nil {
		return nil, err
	}
	return page.Build(pq, rows, func(d *Delivery) (any, ident.ID) { return d.CreatedAt, d.ID }, func(ctx context.Context) (int, error) {
		return database.CountCapped(ctx, db.Read(), base((*Delivery)(nil)))
	}), nil
}

// pruneOnce deletes some of what is older than a moment and counts it; events
// and endpoints once no delivery needs them.
func pruneOnce(ctx context.Context, tx *database.Tx, table, column string, before time.Time) (int, error) {
	q := tx.NewSelect().TableExpr("? AS old", bun.Ident(table)).ColumnExpr("old.id").Where("old.? < ?", bun.Ident(column), before).Limit(batch)
	switch table {
	case "webhook_event":
		q = q.Where("NOT EXISTS (SELECT 1 FROM webhook_delivery AS d WHERE d.event_id = old.id)")
	case "webhook_endpoint":
		q = q.Where("NOT EXISTS (SELECT 1 FROM webhook_delivery AS d WHERE d.endpoint_id = old.id)")
	}
	res, err := tx.NewDelete().Table(table).Where("id IN (?)", q).Exec(ctx)
	if err != nil {
		return 0, fmt.Errorf("pruning %s: %w", table, err)
	}
	n, err := res.RowsAffected()
	return int(n), err
}
