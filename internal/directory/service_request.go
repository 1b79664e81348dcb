package directory

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/audit"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/file"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/internal/page"
	"github.com/channelgraph/channelgraph/internal/region"
	"github.com/channelgraph/channelgraph/internal/sla"
)

// moved says that the request is not any more where the actor saw it.
func moved() error { return fault.Conflict("profileUpdateId", fault.CodeConflict) }

// Submit files a profile update request: what shall change against today. The
// promise begins at once, and a mail says its dates. Errors: ROLE_REQUIRED,
// those of SubmitInput and diff, PROVIDER_NOT_ACTIVE, PROFILE_UPDATE_OPEN, at
// locations.N.logoFileId NOT_FOUND and FILE_ATTACHED, those of outbox.Once.
func (s *Service) Submit(ctx context.Context, actor access.Actor, in SubmitInput) (*Request, error) {
	if err := actor.Require(access.PermDirectoryEdit); err != nil {
		return nil, err
	}
	const verb = "submitProfileUpdate"
	raw := SubmitInput{Locations: slices.Clone(in.Locations)} // Validate normalizes in place
	in.Locations = slices.Clone(in.Locations)
	if err := in.Validate(); err != nil {
		return nil, err
	}
	var key string
	if in.IdempotencyKey != nil {
		key = *in.IdempotencyKey
	}
	var out *Request
	err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		prior, err := outbox.Once(ctx, tx, actor, verb, key, raw)
		if err != nil {
			return err
		}
		if prior != nil {
			out, err = lockRequest(ctx, tx, actor.Scope(), prior.ID("profileUpdate"))
			return err
		}
		p, err := s.own(ctx, tx, actor)
		switch {
		case err != nil:
			return err
		case !p.IsActive():
			return fault.Conflict("", CodeNotActive)
		}
		open, err := openOf(ctx, tx, p.ID)
		if err != nil {
			return err
		}
		if open != nil {
			return fault.Conflict("", CodeOpen)
		}
		if _, err := holdListing(ctx, tx, listingOf(p)); err != nil {
			return err
		}
		cal, err := s.calendars.Current(ctx, tx)
		if err != nil {
			return err
		}
		out = &Request{ID: ident.New(ident.ProfileUpdate), PartnerID: p.ID, OrganizationID: p.OrganizationID, Company: p.LegalName, Status: Submitted,
			Clock: sla.Start(sla.CalendarDays, Target, Due, tx.Now), CreatedByID: actor.UserID, Version: 1, Entries: 1, CreatedAt: tx.Now, UpdatedAt: tx.Now}
		if err := s.change(ctx, tx, actor, out, p.Region, in.Locations); err != nil {
			return err
		}
		out.keep(cal, tx.Now)
		if err := insertRequest(ctx, tx, out); err != nil {
			return err
		}
		if err := insertEntry(ctx, tx, entry(tx, actor, out, Entry{Kind: EntrySubmitted, UntilAt: out.DueAt})); err != nil {
			return err
		}
		if err := s.plan(ctx, tx, out); err != nil {
			return err
		}
		if err := s.tellProvider(ctx, tx, out, templateReceived, nil, false); err != nil {
			return err
		}
		if err := audit.Record(ctx, tx, actor, audit.Act{Action: "profile_update.submitted", TargetID: out.ID}); err != nil {
			return err
		}
		return outbox.Remember(ctx, tx, actor, verb, key, map[string]string{"profileUpdate": string(out.ID)})
	})
	if err != nil {
		return nil, err
	}
	return out, s.dress(ctx, out)
}

// change puts into a request what shall change, with the logos handed in.
func (s *Service) change(ctx context.Context, tx *database.Tx, actor access.Actor, r *Request, of region.Code, ls []LocationInput) error {
	today, err := locationsOf(ctx, tx, r.PartnerID)
	if err != nil {
		return err
	}
	had := map[ident.ID]bool{}
	for _, c := range r.Changes {
		if c.After != nil {
			had[c.After.LogoID] = true
		}
	}
	changes, from, err := diff(today, of, ls)
	if err != nil {
		return err
	}
	places := map[ident.ID][]int{}
	var fresh []ident.ID
	for i, c := range changes {
		if c.After == nil || c.After.LogoID == "" || had[c.After.LogoID] || c.Before != nil && c.Before.LogoID == c.After.LogoID {
			continue
		}
		if places[c.After.LogoID] == nil {
			fresh = append(fresh, c.After.LogoID)
		}
		places[c.After.LogoID] = append(places[c.After.LogoID], from[i])
	}
	r.Changes = changes
	return s.attach(ctx, tx, actor, r, fresh, places)
}

// attach hands logos in, and says at each location what is wrong with its own.
func (s *Service) attach(ctx context.Context, tx *database.Tx, actor access.Actor, r *Request, logos []ident.ID, places map[ident.ID][]int) error {
	var p fault.Problems
	for part := range slices.Chunk(logos, file.MaxAttached) {
		_, err := s.files.Attach(ctx, tx, actor, "logo", part, file.ForLogo, r.ID)
		f := fault.As(err)
		if err != nil && f == nil {
			return err
		}
		if f == nil {
			continue
		}
		for _, q := range f.Problems { // input, logo, N
			n, err := strconv.Atoi(q.Path[len(q.Path)-1])
			if err != nil {
				return f
			}
			for _, i := range places[part[n]] {
				p.Add(fmt.Sprintf("locations.%d.logoFileId", i), q.Code)
			}
		}
	}
	return p.Err()
}

// work runs fn on a request that the actor sees, held, in one transaction, and
// saves it with what fn noted. Errors: NOT_FOUND, CONFLICT for another version.
func (s *Service) work(ctx context.Context, actor access.Actor, p access.Permission, id ident.ID, version *int,
	fn func(context.Context, *database.Tx, *sla.Calendar, *Request) error,
) (*Request, error) {
	if err := actor.Require(p); err != nil {
		return nil, err
	}
	var out *Request
	err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		cal, err := s.calendars.Current(ctx, tx)
		if err != nil {
			return err
		}
		r, err := lockRequest(ctx, tx, actor.Scope(), id)
		switch {
		case err != nil:
			return err
		case r == nil:
			return fault.NotFound("profileUpdateId")
		case version != nil && *version != r.Version:
			return fault.Conflict("expectedVersion", fault.CodeConflict)
		}
		// A step that fell due comes before what is done now, also where its
		// timer has not rung yet.
		if err := s.due(ctx, tx, cal, r); err != nil {
			return err
		}
		out = r
		return fn(ctx, tx, cal, r)
	})
	if err != nil {
		return nil, err
	}
	return out, s.dress(ctx, out)
}

// pass takes a held request to its next status. Error: CONFLICT where it has
// moved on.
func (r *Request) pass(v Verb) error {
	next, ok := r.Status.Next(v)
	if !ok {
		return moved()
	}
	r.Status = next
	return nil
}

// conclude keeps what happened to a held request: dates and timer by its
// clock, its lines of the timeline, and the act.
func (s *Service) conclude(ctx context.Context, tx *database.Tx, actor access.Actor, cal *sla.Calendar, r *Request, act audit.Act, lines ...Entry) error {
	r.keep(cal, tx.Now)
	for _, n := range lines {
		r.Entries++
		if err := insertEntry(ctx, tx, entry(tx, actor, r, n)); err != nil {
			return err
		}
	}
	if err := saveRequest(ctx, tx, r); err != nil {
		return err
	}
	if err := s.plan(ctx, tx, r); err != nil {
		return err
	}
	if act.Action == "" {
		return nil
	}
	act.TargetID, act.TargetOrganizationID = r.ID, r.OrganizationID
	return audit.Record(ctx, tx, actor, act)
}

func entry(tx *database.Tx, actor access.Actor, r *Request, n Entry) *Entry {
	n.ProfileUpdateID, n.Number, n.At = r.ID, r.Entries, tx.Now
	n.Side, n.ActorID, n.ActorName = Provider, actor.UserID, actor.Name
	switch {
	case actor.IsSystem():
		n.Side, n.ActorName = System, ""
	case actor.IsOperator():
		n.Side = Operator
	}
	return &n
}

// Withdraw takes an open request back. Errors: ROLE_REQUIRED, those of work,
// CONFLICT where it has moved on.
func (s *Service) Withdraw(ctx context.Context, actor access.Actor, in WithdrawInput) (*Request, error) {
	return s.work(ctx, actor, access.PermDirectoryEdit, in.ProfileUpdateID, in.ExpectedVersion,
		func(ctx context.Context, tx *database.Tx, cal *sla.Calendar, r *Request) error {
			return s.withdraw(ctx, tx, actor, cal, r)
		})
}

func (s *Service) withdraw(ctx context.Context, tx *database.Tx, actor access.Actor, cal *sla.Calendar, r *Request) error {
	if err := r.pass(VerbWithdraw); err != nil {
		return err
	}
	// What was broken by then stays in the report.
	r.close(cal, tx.Now, r.Clock.State(cal, tx.Now) == sla.Breached)
	return s.conclude(ctx, tx, actor, cal, r, audit.Act{Action: "profile_update.withdrawn", Changed: []string{"status"}}, Entry{Kind: EntryWithdrawn})
}

// Answer answers the question that waits, perhaps with another list of
// changes, and the clock goes on. Errors: ROLE_REQUIRED, those of AnswerInput,
// work and Submit, CONFLICT where nothing waits for an answer.
func (s *Service) Answer(ctx context.Context, actor access.Actor, in AnswerInput) (*Request, error) {
	in.Locations = slices.Clone(in.Locations)
	if err := in.Validate(); err != nil {
		return nil, err
	}
	return s.work(ctx, actor, access.PermDirectoryEdit, in.ProfileUpdateID, in.ExpectedVersion,
		func(ctx context.Context, tx *database.Tx, cal *sla.Calendar, r *Request) error {
			if err := r.pass(VerbAnswer); err != nil {
				return err
			}
			q, err := lastQuestion(ctx, tx, r.ID)
			if err != nil || q == nil {
				return orElse(err, moved())
			}
			q.Answer, q.AnsweredByID, q.AnsweredAt = in.Text, actor.UserID, &tx.Now
			if err := answer(ctx, tx, q); err != nil {
				return err
			}
			r.Clock.Resume(tx.Now)
			r.keep(cal, tx.Now)
			lines := []Entry{{Kind: EntryAnswered, Note: in.Text, UntilAt: r.DueAt}}
			changed := []string{"status"}
			if len(in.Locations) > 0 {
				p, err := s.partners.Load(ctx, tx, r.PartnerID)
				if err != nil {
					return err
				}
				if err := s.change(ctx, tx, actor, r, p[r.PartnerID].Region, in.Locations); err != nil {
					return err
				}
				lines, changed = append(lines, Entry{Kind: EntryAmended}), append(changed, "changes")
			}
			if err := s.tellReviewers(ctx, tx, r, templateAnswered, map[string]string{"Text": in.Text}, false); err != nil {
				return err
			}
			return s.conclude(ctx, tx, actor, cal, r, audit.Act{Action: "profile_update.answered", Changed: changed}, lines...)
		})
}

func orElse(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}

// dress fills in where the promises of some requests stand now.
func (s *Service) dress(ctx context.Context, rs ...*Request) error {
	if len(rs) == 0 {
		return nil
	}
	cal, err := s.calendars.Current(ctx, s.db.Read())
	if err != nil {
		return err
	}
	now := s.db.Now()
	for _, r := range rs {
		r.look(cal, now)
	}
	return nil
}

// ByIDs reads requests inside the actor's scope; hidden ones are missing.
func (s *Service) ByIDs(ctx context.Context, actor access.Actor, ids []ident.ID) (map[ident.ID]*Request, error) {
	out := map[ident.ID]*Request{}
	if !actor.Can(access.PermProfileUpdateRead) {
		return out, nil
	}
	rows, err := byIDs(ctx, s.db.Read(), actor.Scope(), ids)
	if err != nil {
		return out, err
	}
	for _, r := range rows {
		out[r.ID] = r
	}
	return out, s.dress(ctx, rows...)
}

// OpenOf reads the open requests of providers inside the actor's scope, by
// provider.
func (s *Service) OpenOf(ctx context.Context, actor access.Actor, partners []ident.ID) (map[ident.ID]*Request, error) {
	if !actor.Can(access.PermProfileUpdateRead) || len(partners) == 0 {
		return map[ident.ID]*Request{}, nil
	}
	out, err := openOfMany(ctx, s.db.Read(), actor.Scope(), partners)
	if err != nil {
		return out, err
	}
	return out, s.dress(ctx, slices.Collect(maps.Values(out))...)
}

// List is a page of requests: all of them for the operator, who works through
// them, and otherwise those of the own organization. Errors: ROLE_REQUIRED,
// also for who asks by assignee and does not review; those of paging.
func (s *Service) List(ctx context.Context, actor access.Actor, args page.Args, o *Order, f Filter) (*page.Connection[*Request], error) {
	if err := actor.Require(access.PermProfileUpdateRead); err != nil {
		return nil, err
	}
	if f.Assigned != nil || f.AssigneeID != nil {
		if err := actor.Require(access.PermProfileUpdateReview); err != nil {
			return nil, err
		}
	}
	pq, err := args.Resolve(o.resolve(), f)
	if err != nil {
		return nil, err
	}
	c, err := listRequests(ctx, s.db, actor.Scope(), pq, f)
	if err != nil {
		return nil, err
	}
	return c, s.dress(ctx, c.Nodes()...)
}

// visible picks the requests among the ids that the actor sees.
func (s *Service) visible(ctx context.Context, actor access.Actor, ids []ident.ID) ([]ident.ID, error) {
	if !actor.Can(access.PermProfileUpdateRead) {
		return nil, nil
	}
	rows, err := byIDs(ctx, s.db.Read(), actor.Scope(), ids)
	out := make([]ident.ID, len(rows))
	for i, r := range rows {
		out[i] = r.ID
	}
	return out, err
}

// Questions reads what was asked in the requests that the actor sees, oldest
// first. Who of the operator asked is the operator's own.
func (s *Service) Questions(ctx context.Context, actor access.Actor, ids []ident.ID) (map[ident.ID][]*Question, error) {
	ids, err := s.visible(ctx, actor, ids)
	if err != nil {
		return nil, err
	}
	out, err := questionsOf(ctx, s.db.Read(), ids)
	if !actor.Scope().All() {
		for _, qs := range out {
			for _, q := range qs {
				q.AskedByID = ""
			}
		}
	}
	return out, err
}

// Timeline reads what happened in the requests that the actor sees, oldest
// first. The operator's people stand nameless in what providers read.
func (s *Service) Timeline(ctx context.Context, actor access.Actor, ids []ident.ID) (map[ident.ID][]*Entry, error) {
	ids, err := s.visible(ctx, actor, ids)
	if err != nil {
		return nil, err
	}
	internal := actor.Scope().All()
	out, err := entriesOf(ctx, s.db.Read(), ids, internal)
	if !internal {
		for _, ns := range out {
			for _, n := range ns {
				if n.Side == Operator {
					n.ActorID, n.ActorName = "", ""
				}
			}
		}
	}
	return out, err
}
