package webhook

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/audit"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/mail"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/internal/page"
	"github.com/channelgraph/channelgraph/internal/secret"
)

// Service performs the verbs on endpoints and deliveries.
type Service struct {
	// OnOutcome hears how each attempt came out, as "delivered" or its code; it
	// is set before the first job.
	OnOutcome func(outcome string)

	db       *database.DB
	accounts *account.Service
	mailer   *mail.Mailer
	keys     *secret.Keys
	cfg      Config
	log      *slog.Logger
	client   *http.Client
	gate     gate
}

// New makes the service, which listens to the database's transactions from
// now on.
func New(db *database.DB, accounts *account.Service, mailer *mail.Mailer, keys *secret.Keys, cfg Config, log *slog.Logger) *Service {
	s := &Service{OnOutcome: func(string) {}, db: db, accounts: accounts, mailer: mailer, keys: keys, cfg: cfg, log: log,
		client: newClient(cfg), gate: gate{each: map[string]int{}}}
	db.Listen(s.hear)
	return s
}

// Shown is an endpoint with its secret, which is told this once.
type Shown struct {
	Endpoint *Endpoint
	Secret   secret.String
	// AlreadyShown says that an earlier answer to the same key held the secret.
	AlreadyShown bool
}

// Create makes an endpoint of the actor's organization, who must be a person
// freshly authenticated. A repetition under the same key gives the endpoint
// without its secret. Errors: UNAUTHENTICATED, ROLE_REQUIRED,
// TOKEN_NOT_ALLOWED, SUDO_REQUIRED, what is wrong with the input,
// WEBHOOK_URL_TAKEN, TOO_MANY beyond MaxEndpoints, those of outbox.Once.
func (s *Service) Create(ctx context.Context, actor access.Actor, in CreateInput) (*Shown, error) {
	if err := s.fresh(actor); err != nil {
		return nil, err
	}
	asked := in
	if err := in.Validate(s.cfg); err != nil {
		return nil, err
	}
	return s.show(ctx, actor, "createWebhookEndpoint", in.IdempotencyKey, asked, func(ctx context.Context, tx *database.Tx) (*Endpoint, error) {
		if err := lockOrganization(ctx, tx, actor.OrganizationID); err != nil {
			return nil, err
		}
		e := &Endpoint{ID: ident.New(ident.Webhook), OrganizationID: actor.OrganizationID, Operator: actor.IsOperator(), URL: in.URL,
			Description: in.Description, Events: in.Events, Status: Enabled, SecretGeneration: 1, CreatedByID: actor.UserID, Version: 1,
			CreatedAt: tx.Now, UpdatedAt: tx.Now}
		taken, err := urls(ctx, tx, e.OrganizationID, "")
		switch {
		case err != nil:
			return nil, err
		case slices.Contains(taken, e.URL):
			return nil, fault.Conflict("url", CodeURLTaken)
		case len(taken) >= MaxEndpoints:
			return nil, fault.Conflict("", fault.CodeTooMany, "max", strconv.Itoa(MaxEndpoints))
		}
		if err := insert(ctx, tx, e); err != nil {
			return nil, err
		}
		return e, s.record(ctx, tx, actor, "webhook.created", e, "url", "description", "events")
	})
}

// Rotate gives an endpoint a new secret; the former one signs, too, for
// FormerSecretLife, and the one before that no more. Errors: as Create, and
// NOT_FOUND.
func (s *Service) Rotate(ctx context.Context, actor access.Actor, in RotateInput) (*Shown, error) {
	if err := s.fresh(actor); err != nil {
		return nil, err
	}
	return s.show(ctx, actor, "rotateWebhookSecret", in.IdempotencyKey, in, func(ctx context.Context, tx *database.Tx) (*Endpoint, error) {
		e, err := s.hold(ctx, tx, actor, in.EndpointID)
		if err != nil {
			return nil, err
		}
		e.SecretGeneration++
		e.SecretRotatedAt = &tx.Now
		if err := save(ctx, tx, e); err != nil {
			return nil, err
		}
		return e, s.record(ctx, tx, actor, "webhook.secret_rotated", e, "secret")
	})
}

// fresh asks for a person with the right, freshly authenticated.
func (s *Service) fresh(actor access.Actor) error {
	if err := s.allowed(actor); err != nil {
		return err
	}
	return actor.RequireSudo(s.db.Now())
}

// allowed asks for somebody of an organization with the right.
func (s *Service) allowed(actor access.Actor) error {
	if err := actor.Require(access.PermWebhookManage); err != nil {
		return err
	}
	if actor.UserID == "" { // endpoints belong to people's organizations
		return fault.Unauthenticated()
	}
	return nil
}

// show performs what tells a secret, once a key.
func (s *Service) show(ctx context.Context, actor access.Actor, verb string, key *string, asked any, fn func(context.Context, *database.Tx) (*Endpoint, error)) (*Shown, error) {
	k := ""
	if key != nil {
		k = *key
	}
	var out *Shown
	err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		prior, err := outbox.Once(ctx, tx, actor, verb, k, asked)
		if err != nil {
			return err
		}
		if prior != nil {
			e, err := lock(ctx, tx, reach(actor.Scope()), prior.ID("endpoint"))
			if err == nil && e == nil {
				err = fault.NotFound("idempotencyKey")
			}
			out = &Shown{Endpoint: e, AlreadyShown: true}
			return err
		}
		e, err := fn(ctx, tx)
		if err != nil {
			return err
		}
		out = &Shown{Endpoint: e, Secret: s.keys.Webhook(e.ID, e.SecretGeneration)}
		return outbox.Remember(ctx, tx, actor, verb, k, map[string]string{"endpoint": string(e.ID)})
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// hold reads an endpoint of the actor's organization and holds it.
func (s *Service) hold(ctx context.Context, tx *database.Tx, actor access.Actor, id ident.ID) (*Endpoint, error) {
	e, err := lock(ctx, tx, reach(actor.Scope()), id)
	if err == nil && e == nil {
		err = fault.NotFound("endpointId")
	}
	return e, err
}

func (s *Service) record(ctx context.Context, tx *database.Tx, actor access.Actor, action string, e *Endpoint, changed ...string) error {
	return audit.Record(ctx, tx, actor, audit.Act{Action: action, TargetID: e.ID, TargetOrganizationID: e.OrganizationID, Changed: changed})
}

// change performs a verb on an endpoint.
func (s *Service) change(ctx context.Context, actor access.Actor, id ident.ID, fn func(ctx context.Context, tx *database.Tx, e *Endpoint) error) (*Endpoint, error) {
	if err := s.allowed(actor); err != nil {
		return nil, err
	}
	var out *Endpoint
	err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) (err error) {
		if out, err = s.hold(ctx, tx, actor, id); err != nil {
			return err
		}
		return fn(ctx, tx, out)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Update changes an endpoint. Another URL needs a fresh authentication, as a
// new endpoint does. Errors: UNAUTHENTICATED, ROLE_REQUIRED, what is wrong with
// the input, NOT_FOUND, CONFLICT, TOKEN_NOT_ALLOWED, SUDO_REQUIRED,
// WEBHOOK_URL_TAKEN.
func (s *Service) Update(ctx context.Context, actor access.Actor, in UpdateInput) (*Endpoint, error) {
	if err := s.allowed(actor); err != nil {
		return nil, err
	}
	if err := in.Validate(s.cfg); err != nil {
		return nil, err
	}
	return s.change(ctx, actor, in.EndpointID, func(ctx context.Context, tx *database.Tx, e *Endpoint) error {
		if in.ExpectedVersion != nil && *in.ExpectedVersion != e.Version {
			return fault.Conflict("expectedVersion", fault.CodeConflict)
		}
		var changed []string
		if in.URL != nil && *in.URL != e.URL {
			if err := actor.RequireSudo(tx.Now); err != nil {
				return err
			}
			if err := lockOrganization(ctx, tx, e.OrganizationID); err != nil {
				return err
			}
			taken, err := urls(ctx, tx, e.OrganizationID, e.ID)
			if err != nil {
				return err
			}
			if slices.Contains(taken, *in.URL) {
				return fault.Conflict("url", CodeURLTaken)
			}
			e.URL, changed = *in.URL, append(changed, "url")
		}
		if in.Description != nil && *in.Description != e.Description {
			e.Description, changed = *in.Description, append(changed, "description")
		}
		if in.Events != nil && !slices.Equal(in.Events, e.Events) {
			e.Events, changed = in.Events, append(changed, "events")
		}
		if len(changed) == 0 {
			return nil
		}
		if err := save(ctx, tx, e); err != nil {
			return err
		}
		return s.record(ctx, tx, actor, "webhook.updated", e, changed...)
	})
}

// Delete ends an endpoint; what still waits for it is not sent. Errors:
// UNAUTHENTICATED, ROLE_REQUIRED, NOT_FOUND.
func (s *Service) Delete(ctx context.Context, actor access.Actor, id ident.ID) (*Endpoint, error) {
	return s.change(ctx, actor, id, func(ctx context.Context, tx *database.Tx, e *Endpoint) error {
		e.DeletedAt = &tx.Now
		if err := save(ctx, tx, e); err != nil {
			return err
		}
		if err := abandon(ctx, tx, e.ID); err != nil {
			return err
		}
		return s.record(ctx, tx, actor, "webhook.deleted", e)
	})
}

// Pause stops sending to an endpoint: what happens meanwhile is logged as
// failed, and can be replayed. Errors: UNAUTHENTICATED, ROLE_REQUIRED,
// NOT_FOUND, WEBHOOK_NOT_ENABLED where it is paused already.
func (s *Service) Pause(ctx context.Context, actor access.Actor, id ident.ID) (*Endpoint, error) {
	return s.change(ctx, actor, id, func(ctx context.Context, tx *database.Tx, e *Endpoint) error {
		if e.Status != Enabled {
			return fault.Conflict("endpointId", CodeNotEnabled)
		}
		e.pause(PauseRequested, tx.Now)
		if err := save(ctx, tx, e); err != nil {
			return err
		}
		return s.record(ctx, tx, actor, "webhook.paused", e, "status")
	})
}

// Resume serves a paused endpoint again, whoever or whatever paused it. Errors:
// UNAUTHENTICATED, ROLE_REQUIRED, NOT_FOUND, WEBHOOK_NOT_PAUSED.
func (s *Service) Resume(ctx context.Context, actor access.Actor, id ident.ID) (*Endpoint, error) {
	return s.change(ctx, actor, id, func(ctx context.Context, tx *database.Tx, e *Endpoint) error {
		if e.Status != Paused {
			return fault.Conflict("endpointId", CodeNotPaused)
		}
		e.resume()
		if err := save(ctx, tx, e); err != nil {
			return err
		}
		return s.record(ctx, tx, actor, "webhook.resumed", e, "status")
	})
}

// List is a page of the endpoints of the actor's organization, newest first.
func (s *Service) List(ctx context.Context, actor access.Actor, args page.Args, f Filter) (*page.Connection[*Endpoint], error) {
	if err := actor.Require(access.PermWebhookManage); err != nil {
		return nil, err
	}
	pq, err := args.Resolve(page.Order{Name: "CREATED_AT", Column: "webhook_endpoint.created_at", Sort: page.SortTime, Direction: page.Desc}, f)
	if err != nil {
		return nil, err
	}
	return list(ctx, s.db, actor.Scope(), pq, f)
}

// ByIDs reads endpoints of the actor's organization; others are missing.
func (s *Service) ByIDs(ctx context.Context, actor access.Actor, ids []ident.ID) (map[ident.ID]*Endpoint, error) {
	if !actor.Can(access.PermWebhookManage) {
		return map[ident.ID]*Endpoint{}, nil
	}
	return byIDs(ctx, s.db.Read(), reach(actor.Scope()), ids)
}

// hear writes, in the transaction of what was done, the events that follow
// from it and their deliveries to the endpoints whose organizations see the
// subject. Where nobody listens it costs one statement.
func (s *Service) hear(ctx context.Context, tx *database.Tx, told []database.Told) error {
	seen := map[database.Told]bool{} // an act on both sides of something is recorded for each
	told = slices.DeleteFunc(slices.Clone(told), func(t database.Told) bool {
		again := seen[t]
		seen[t] = true
		return again || catalogue[t.Action] == nil
	})
	if len(told) == 0 {
		return nil
	}
	if some, err := anyEndpoint(ctx, tx); err != nil || !some {
		return err
	}
	for _, t := range told {
		for _, src := range catalogue[t.Action] {
			if err := s.tell(ctx, tx, src, t.SubjectID); err != nil {
				return fmt.Errorf("telling webhooks of %s: %w", t.Action, err)
			}
		}
	}
	return nil
}

// tell writes one event for those who want it.
func (s *Service) tell(ctx context.Context, tx *database.Tx, src source, subject ident.ID) error {
	data, err := describe(ctx, tx, subject)
	if err != nil || data == nil {
		return err
	}
	if src.of != "" {
		id, _ := data[src.of].(string)
		return s.tell(ctx, tx, source{typ: src.typ}, ident.ID(id))
	}
	es, err := audienceOf(ctx, tx, subject)
	if err != nil {
		return err
	}
	es = slices.DeleteFunc(es, func(e *Endpoint) bool { return !e.Wants(src.typ) })
	if len(es) == 0 {
		return nil
	}
	_, err = s.write(ctx, tx, &Event{ID: ident.New(ident.WebhookEvent), Type: src.typ, SubjectID: subject, Data: data, OccurredAt: tx.Now}, es)
	return err
}

// write writes an event, its deliveries and the job that hands them on.
func (s *Service) write(ctx context.Context, tx *database.Tx, event *Event, es []*Endpoint) ([]*Delivery, error) {
	ds := make([]*Delivery, len(es))
	waiting := false
	for i, e := range es {
		ds[i] = &Delivery{ID: ident.New(ident.Delivery), EndpointID: e.ID, EventID: event.ID, Type: event.Type, SubjectID: event.SubjectID, State: Pending,
			Run: 1, NextAttemptAt: &tx.Now, CreatedAt: tx.Now}
		if e.Status != Enabled && event.Type != Test {
			ds[i].end(Failed, FailPaused, tx.Now)
			continue
		}
		waiting = true
	}
	if err := insertEvent(ctx, tx, event, ds); err != nil {
		return nil, err
	}
	if !waiting {
		return ds, nil
	}
	_, err := outbox.Put(ctx, tx, Dispatch{EventID: event.ID}, outbox.On(outbox.Low), outbox.About(event.ID))
	return ds, err
}
