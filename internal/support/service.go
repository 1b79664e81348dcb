package support

import (
	"context"
	"fmt"
	"slices"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/audit"
	"github.com/channelgraph/channelgraph/internal/calendar"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/file"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/mail"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/internal/page"
	"github.com/channelgraph/channelgraph/internal/secret"
	"github.com/channelgraph/channelgraph/internal/sla"
)

// Service performs the verbs on support requests.
type Service struct {
	db        *database.DB
	accounts  *account.Service
	files     *file.Service
	calendars *calendar.Service
	mailer    *mail.Mailer
	keys      *secret.Keys
	about     map[Kind]Sees
	onBehalf  OnBehalf
	maxOpen   int // a field so that tests can cross its bound
}

// Sees reports whether the actor sees what a request is to be about.
type Sees func(ctx context.Context, actor access.Actor, id ident.ID) (bool, error)

// OnBehalf says whether the actor may ask on behalf of a customer. Errors at
// customerId: NOT_FOUND for who is absent or hidden, NOT_SUPPORT_CONTACT.
type OnBehalf func(ctx context.Context, tx *database.Tx, actor access.Actor, customer ident.ID) error

// New makes the service. It follows changes of the calendar.
func New(db *database.DB, accounts *account.Service, files *file.Service, calendars *calendar.Service, mailer *mail.Mailer, keys *secret.Keys) *Service {
	s := &Service{db: db, accounts: accounts, files: files, calendars: calendars, mailer: mailer, keys: keys, about: map[Kind]Sees{}, maxOpen: MaxOpen}
	calendars.OnChange("support_request", s.movePromises, countUnanswered)
	return s
}

// About registers who knows what requests of a kind are about; without it they
// are refused. It is called while the service is put together.
func (s *Service) About(k Kind, sees Sees) { s.about[k] = sees }

// OnBehalf registers who knows the customers' support contacts; without it
// requests on behalf of a customer are refused. It is called while the service
// is put together.
func (s *Service) OnBehalf(fn OnBehalf) { s.onBehalf = fn }

// permission is what an actor needs to act in a request.
func permission(a access.Actor) access.Permission {
	if a.IsOperator() {
		return access.PermSupportWork
	}
	return access.PermSupportRequest
}

// moved says that the request is not any more where the actor saw it.
func moved() error { return fault.Conflict("requestId", fault.CodeConflict) }

// Open asks the operator for help; the promise of a first answer begins at
// once, and a mail says its date. Errors: ROLE_REQUIRED, those of OpenInput,
// SUPPORT_KIND_UNAVAILABLE at kind, NOT_FOUND at aboutId, those of OnBehalf,
// those of file.Attach at fileIds, SUPPORT_REQUESTS_OPEN, those of outbox.Once.
func (s *Service) Open(ctx context.Context, actor access.Actor, in OpenInput) (*Request, error) {
	if err := actor.Require(access.PermSupportRequest); err != nil {
		return nil, err
	}
	raw := in
	if err := in.Validate(); err != nil {
		return nil, err
	}
	const verb = "openSupportRequest"
	key := deref(in.IdempotencyKey)
	var out *Request
	err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		prior, err := outbox.Once(ctx, tx, actor, verb, key, raw)
		if err != nil {
			return err
		}
		if prior != nil {
			out, err = lock(ctx, tx, actor.Scope(), prior.ID("request"))
			return err
		}
		cal, err := s.calendars.Current(ctx, tx)
		if err != nil {
			return err
		}
		if err := s.mayAskAbout(ctx, tx, actor, in); err != nil {
			return err
		}
		org, err := s.room(ctx, tx, actor.OrganizationID)
		if err != nil {
			return err
		}
		out = &Request{ID: ident.New(ident.Support), OrganizationID: org.ID, Company: org.Name, NameFolded: org.NameFolded, Kind: in.Kind, Severity: *in.Severity,
			Status: Open, Subject: in.Subject, SubjectID: deref(in.AboutID), CustomerID: deref(in.CustomerID), CreatedByID: actor.UserID, RepliedByID: actor.UserID,
			Messages: 1, ActivityAt: tx.Now, Version: 1, CreatedAt: tx.Now, UpdatedAt: tx.Now}
		out.LinkHash = secret.Hash(s.keys.Capability(LinkPrefix, LinkPurpose, out.ID, 1).Reveal())
		out.begin(cal, tx.Now)
		if err := insert(ctx, tx, out); err != nil {
			return err
		}
		if err := s.write(ctx, tx, actor, out, &Entry{Kind: EntryMessage, Text: in.Text, UntilAt: out.DueAt}, in.FileIDs); err != nil {
			return err
		}
		if err := s.plan(ctx, tx, out); err != nil {
			return err
		}
		if err := s.tellPartner(ctx, tx, out, templateReceived, map[string]string{"Text": in.Text}); err != nil {
			return err
		}
		if err := s.tellOperator(ctx, tx, actor, out, templateMessage, map[string]string{"Text": in.Text, "New": "yes"}, false); err != nil {
			return err
		}
		if err := audit.Record(ctx, tx, actor, audit.Act{Action: "support_request.opened", TargetID: out.ID, TargetOrganizationID: out.OrganizationID}); err != nil {
			return err
		}
		return outbox.Remember(ctx, tx, actor, verb, key, map[string]string{"request": string(out.ID)})
	})
	if err != nil {
		return nil, err
	}
	return out, s.dress(ctx, actor, out)
}

// mayAskAbout checks what a request is to be about.
func (s *Service) mayAskAbout(ctx context.Context, tx *database.Tx, actor access.Actor, in OpenInput) error {
	switch sees := s.about[in.Kind]; {
	case in.Kind == General:
		return nil
	case in.Kind == Customer && s.onBehalf != nil:
		return s.onBehalf(ctx, tx, actor, *in.CustomerID)
	case in.Kind == Customer || sees == nil:
		return fault.Conflict("kind", CodeKindUnavailable)
	default:
		ok, err := sees(ctx, actor, *in.AboutID)
		if err == nil && !ok {
			err = fault.NotFound("aboutId")
		}
		return err
	}
}

// room holds an organization that may have one open request more.
func (s *Service) room(ctx context.Context, tx *database.Tx, id ident.ID) (*account.Organization, error) {
	org, err := s.accounts.HoldOrganization(ctx, tx, id)
	if err != nil {
		return nil, err
	}
	n, err := countOpen(ctx, tx, id)
	if err == nil && n >= s.maxOpen {
		err = fault.Conflict("", CodeTooManyOpen, "max", fmt.Sprint(s.maxOpen))
	}
	return org, err
}

func deref[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// work runs fn on a request that the actor sees, held, in one transaction; a
// step of the promise that fell due comes before what is done now, also where
// its timer has not rung yet. Errors: ROLE_REQUIRED, NOT_FOUND, CONFLICT for
// another version.
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
		r, err := lock(ctx, tx, actor.Scope(), id)
		switch {
		case err != nil:
			return err
		case r == nil:
			return fault.NotFound("requestId")
		case version != nil && *version != r.Version:
			return fault.Conflict("expectedVersion", fault.CodeConflict)
		}
		r.seen = r.Version
		if err := s.due(ctx, tx, cal, r); err != nil {
			return err
		}
		out = r
		return fn(ctx, tx, cal, r)
	})
	if err != nil {
		return nil, err
	}
	return out, s.dress(ctx, actor, out)
}

// write puts a line into a held request's thread, with the files handed in;
// what the operator hands in is shared with the partner, unless it is the
// operator's own.
func (s *Service) write(ctx context.Context, tx *database.Tx, actor access.Actor, r *Request, n *Entry, files []ident.ID) error {
	n.ID, n.RequestID, n.At, n.Side, n.ActorID, n.ActorName = ident.New(ident.SupportEntry), r.ID, tx.Now, sideOf(actor), actor.UserID, actor.Name
	if n.Side == System {
		n.ActorName = ""
	}
	if err := insertEntry(ctx, tx, n); err != nil {
		return err
	}
	attached, err := s.files.Attach(ctx, tx, actor, "fileIds", files, file.ForAttachment, n.ID)
	if err != nil || n.Side != Operator || n.OperatorOnly {
		return err
	}
	return s.files.Share(ctx, tx, attached, r.OrganizationID)
}

// said takes note that somebody wrote for the other side to read, which ends
// the promise where the operator did. Error: SUPPORT_THREAD_FULL.
func (s *Service) said(ctx context.Context, tx *database.Tx, actor access.Actor, cal *sla.Calendar, r *Request, n Entry, files []ident.ID) error {
	if r.Messages >= MaxMessages && n.Kind != EntryClosed {
		return fault.Conflict("", CodeThreadFull, "max", fmt.Sprint(MaxMessages))
	}
	r.Messages++
	r.ActivityAt = tx.Now
	if actor.IsOperator() {
		r.answer(cal, tx.Now, true)
	} else {
		r.RepliedByID = actor.UserID
	}
	if n.UntilAt == nil && r.running() {
		n.UntilAt = r.DueAt
	}
	return s.write(ctx, tx, actor, r, &n, files)
}

// conclude keeps what happened to a held request, its timer, and the act.
func (s *Service) conclude(ctx context.Context, tx *database.Tx, actor access.Actor, r *Request, action string, changed ...string) error {
	if err := save(ctx, tx, r, ""); err != nil {
		return err
	}
	if err := s.plan(ctx, tx, r); err != nil {
		return err
	}
	return audit.Record(ctx, tx, actor, audit.Act{Action: action, TargetID: r.ID, TargetOrganizationID: r.OrganizationID, Changed: changed})
}

// Reply writes into the thread, for the other side, which is mailed. The
// operator's first one keeps the promise; one that waits for the partner calls
// for attention, and the partner's answer ends that. Errors: ROLE_REQUIRED,
// those of ReplyInput and work, SUPPORT_REQUEST_CLOSED, SUPPORT_THREAD_FULL,
// those of file.Attach at fileIds, those of outbox.Once.
func (s *Service) Reply(ctx context.Context, actor access.Actor, in ReplyInput) (*Request, error) {
	raw := in
	if err := in.Validate(); err != nil {
		return nil, err
	}
	const verb = "replyToSupportRequest"
	key := deref(in.IdempotencyKey)
	return s.work(ctx, actor, permission(actor), in.RequestID, nil, func(ctx context.Context, tx *database.Tx, cal *sla.Calendar, r *Request) error {
		prior, err := outbox.Once(ctx, tx, actor, verb, key, raw)
		switch {
		case err != nil || prior != nil:
			return err
		case in.ExpectedVersion != nil && *in.ExpectedVersion != r.seen: // after the key, since a replay has an old one
			return fault.Conflict("expectedVersion", fault.CodeConflict)
		case r.Status == Closed:
			return fault.Conflict("requestId", CodeClosed)
		}
		before := r.Status
		r.Status = Open
		if actor.IsOperator() && in.NeedsAttention {
			r.Status = AttentionNeeded
		}
		if err := s.said(ctx, tx, actor, cal, r, Entry{Kind: EntryMessage, Text: in.Text}, in.FileIDs); err != nil {
			return err
		}
		data := map[string]string{"Text": in.Text}
		if r.Status == AttentionNeeded {
			data["Attention"] = "yes"
		}
		if err := s.tellOther(ctx, tx, actor, r, templateAnswer, templateMessage, data); err != nil {
			return err
		}
		changed := []string{"messages"}
		if r.Status != before {
			changed = append(changed, "status")
		}
		if err := s.conclude(ctx, tx, actor, r, "support_request.replied", changed...); err != nil {
			return err
		}
		return outbox.Remember(ctx, tx, actor, verb, key, map[string]string{"request": string(r.ID)})
	})
}

// AddNote writes into the thread for the operator's people alone, also where
// it is closed. Nobody is mailed, and the partner learns nothing of it. Errors:
// ROLE_REQUIRED, those of NoteInput and work, SUPPORT_THREAD_FULL, those of
// file.Attach at fileIds.
func (s *Service) AddNote(ctx context.Context, actor access.Actor, in NoteInput) (*Request, error) {
	if err := in.Validate(); err != nil {
		return nil, err
	}
	return s.work(ctx, actor, access.PermSupportWork, in.RequestID, nil, func(ctx context.Context, tx *database.Tx, _ *sla.Calendar, r *Request) error {
		if r.Messages >= MaxMessages {
			return fault.Conflict("", CodeThreadFull, "max", fmt.Sprint(MaxMessages))
		}
		r.Messages++
		if err := s.write(ctx, tx, actor, r, &Entry{Kind: EntryNote, OperatorOnly: true, Text: in.Text}, in.FileIDs); err != nil {
			return err
		}
		return s.quietly(ctx, tx, actor, r, audit.Act{Action: "support_request.note_added"})
	})
}

// quietly keeps what is the operator's own matter: neither audit nor live
// events tell the partner.
func (s *Service) quietly(ctx context.Context, tx *database.Tx, actor access.Actor, r *Request, act audit.Act) error {
	if err := save(ctx, tx, r, actor.OrganizationID); err != nil {
		return err
	}
	act.TargetID = r.ID
	return audit.Record(ctx, tx, actor, act)
}

// Assign gives a request that is not closed to one of the operator's people,
// the actor or another, or takes it back. What somebody else works is taken
// over only by who names the version that says so. Errors: ROLE_REQUIRED,
// those of work; CONFLICT where it is closed or worked by another; at
// assigneeId NOT_FOUND, NOT_A_REVIEWER.
func (s *Service) Assign(ctx context.Context, actor access.Actor, in AssignInput) (*Request, error) {
	return s.work(ctx, actor, access.PermSupportWork, in.RequestID, in.ExpectedVersion, func(ctx context.Context, tx *database.Tx, _ *sla.Calendar, r *Request) error {
		id := deref(in.AssigneeID)
		switch {
		case r.Status == Closed:
			return moved()
		case r.AssigneeID == id:
			return nil
		case r.AssigneeID != "" && r.AssigneeID != actor.UserID && in.ExpectedVersion == nil:
			return moved()
		}
		n, act := Entry{Kind: EntryAssigned, OperatorOnly: true}, audit.Act{Action: "support_request.unassigned", Changed: []string{"assignee"}}
		if id != "" {
			who, err := access.Load(ctx, tx, access.Presence{UserID: id})
			switch {
			case err != nil:
				return err
			case !who.IsOperator():
				return fault.NotFound("assigneeId")
			case !who.Can(access.PermSupportWork):
				return fault.Conflict("assigneeId", CodeNotReviewer)
			}
			n.Text, act.Action, act.Reason = who.Name, "support_request.assigned", string(id)
		}
		r.AssigneeID = id
		if err := s.write(ctx, tx, actor, r, &n, nil); err != nil {
			return err
		}
		return s.quietly(ctx, tx, actor, r, act)
	})
}

// Close ends a request; the other side is mailed. What the operator says with
// it is an answer. Errors: ROLE_REQUIRED, those of CloseInput and work,
// CONFLICT where it is closed.
func (s *Service) Close(ctx context.Context, actor access.Actor, in CloseInput) (*Request, error) {
	if err := in.validate(actor.IsOperator()); err != nil {
		return nil, err
	}
	return s.work(ctx, actor, permission(actor), in.RequestID, in.ExpectedVersion, func(ctx context.Context, tx *database.Tx, cal *sla.Calendar, r *Request) error {
		if r.Status == Closed {
			return moved()
		}
		if err := s.said(ctx, tx, actor, cal, r, Entry{Kind: EntryClosed, Text: *in.Text}, nil); err != nil {
			return err
		}
		r.answer(cal, tx.Now, false)
		r.Status, r.ClosedAt, r.ClosedBy = Closed, &tx.Now, sideOf(actor)
		if err := s.tellOther(ctx, tx, actor, r, templateClosed, templateClosed, map[string]string{"Text": *in.Text}); err != nil {
			return err
		}
		return s.conclude(ctx, tx, actor, r, "support_request.closed", "status")
	})
}

// Reopen lets a request go on that was closed in the last 14 days; the other
// side is mailed. Where the partner does, an answer is promised anew. Errors:
// ROLE_REQUIRED, those of ReopenInput and work, CONFLICT where it is not
// closed, REOPEN_TOO_LATE, SUPPORT_REQUESTS_OPEN, SUPPORT_THREAD_FULL, those of
// file.Attach at fileIds.
func (s *Service) Reopen(ctx context.Context, actor access.Actor, in ReopenInput) (*Request, error) {
	if err := in.Validate(); err != nil {
		return nil, err
	}
	return s.work(ctx, actor, permission(actor), in.RequestID, in.ExpectedVersion, func(ctx context.Context, tx *database.Tx, cal *sla.Calendar, r *Request) error {
		switch {
		case r.Status != Closed:
			return moved()
		case !r.mayReopen(tx.Now):
			return fault.Conflict("requestId", CodeReopenTooLate)
		}
		r.Status, r.ClosedAt, r.ClosedBy = Open, nil, ""
		if !actor.IsOperator() {
			if _, err := s.room(ctx, tx, r.OrganizationID); err != nil {
				return err
			}
			r.begin(cal, tx.Now)
		}
		if err := s.said(ctx, tx, actor, cal, r, Entry{Kind: EntryReopened, Text: in.Text}, in.FileIDs); err != nil {
			return err
		}
		if err := s.tellOther(ctx, tx, actor, r, templateAnswer, templateMessage, map[string]string{"Text": in.Text, "Reopened": "yes"}); err != nil {
			return err
		}
		return s.conclude(ctx, tx, actor, r, "support_request.reopened", "status")
	})
}

// ---- Reading

// dress fills in where the promises of some requests stand now, and leaves out
// what is not the actor's to know.
func (s *Service) dress(ctx context.Context, actor access.Actor, rs ...*Request) error {
	rs = slices.DeleteFunc(rs, func(r *Request) bool { return r == nil })
	if len(rs) == 0 {
		return nil
	}
	cal, err := s.calendars.Current(ctx, s.db.Read())
	if err != nil {
		return err
	}
	now, internal := s.db.Now(), actor.Scope().All()
	for _, r := range rs {
		r.look(cal, now)
		if !internal {
			r.AssigneeID = ""
		}
	}
	return nil
}

// ByIDs reads requests inside the actor's scope; hidden ones are missing.
func (s *Service) ByIDs(ctx context.Context, actor access.Actor, ids []ident.ID) (map[ident.ID]*Request, error) {
	out := map[ident.ID]*Request{}
	if !actor.Can(access.PermSupportRead) {
		return out, nil
	}
	rs, err := byIDs(ctx, s.db.Read(), actor.Scope(), ids)
	if err != nil {
		return nil, fmt.Errorf("reading support requests: %w", err)
	}
	for _, r := range rs {
		out[r.ID] = r
	}
	return out, s.dress(ctx, actor, rs...)
}

// ByCode finds the request that a mailed link leads to; nil where the actor
// sees none there.
func (s *Service) ByCode(ctx context.Context, actor access.Actor, code string) (*Request, error) {
	if !actor.Can(access.PermSupportRead) {
		return nil, nil
	}
	r, err := byLink(ctx, s.db.Read(), actor.Scope(), secret.Hash(code))
	if err != nil {
		return nil, fmt.Errorf("following a link to a support request: %w", err)
	}
	return r, s.dress(ctx, actor, r)
}

// List is a page of requests: those of the own organization, for the operator
// all. Errors: ROLE_REQUIRED, those of paging.
func (s *Service) List(ctx context.Context, actor access.Actor, args page.Args, o *Order, f Filter) (*page.Connection[*Request], error) {
	if err := actor.Require(access.PermSupportRead); err != nil {
		return nil, err
	}
	pq, err := args.Resolve(o.resolve(), f)
	if err != nil {
		return nil, err
	}
	c, err := list(ctx, s.db, actor.Scope(), pq, f)
	if err != nil {
		return nil, err
	}
	return c, s.dress(ctx, actor, c.Nodes()...)
}

// Threads reads the threads of the requests that the actor sees, oldest first.
// The operator's people stand nameless in what partners read.
func (s *Service) Threads(ctx context.Context, actor access.Actor, ids []ident.ID) (map[ident.ID][]*Entry, error) {
	if !actor.Can(access.PermSupportRead) {
		return map[ident.ID][]*Entry{}, nil
	}
	rs, err := byIDs(ctx, s.db.Read(), actor.Scope(), ids)
	if err != nil {
		return nil, fmt.Errorf("reading support requests: %w", err)
	}
	seen := make([]ident.ID, len(rs))
	for i, r := range rs {
		seen[i] = r.ID
	}
	internal := actor.Scope().All()
	out, err := entriesOf(ctx, s.db.Read(), seen, internal)
	if err != nil || internal {
		return out, err
	}
	for _, ns := range out {
		for i, n := range ns {
			n.Number = i + 1 // gaps would tell of the operator's own lines
			if n.Side == Operator {
				n.ActorID, n.ActorName = "", ""
			}
		}
	}
	return out, nil
}
