package enrollment

import (
	"context"
	"slices"
	"strings"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/audit"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/internal/partner"
)

const verbRequestChange = "requestProfileChange"

// RequestChange asks for a change of the legal profile or the primary contact
// of the actor's partner: an enrollment of its own, with no more checks than
// what changed asks for. The partner stays as it is until the change is
// approved. A change that asks for no check is in force at once. The job mails
// the link to the contact who has to confirm; nil where nobody has. Errors:
// ROLE_REQUIRED, NOT_ENROLLED, UNCHANGED, ENROLLMENT_OPEN where another
// enrollment or change is open, IDEMPOTENCY_KEY_REUSED, RATE_LIMITED, and all
// that is wrong with what was changed, DUPLICATE among it.
func (s *Service) RequestChange(ctx context.Context, actor access.Actor, in ChangeInput) (*Enrollment, *outbox.Job, error) {
	if err := actor.Require(access.PermLegalProfileEdit); err != nil {
		return nil, nil, err
	}
	if actor.PartnerID == "" {
		return nil, nil, fault.Conflict("", CodeNotPartner)
	}
	key := ""
	if in.IdempotencyKey != nil {
		key = *in.IdempotencyKey
	}
	var out *Enrollment
	var op *outbox.Job
	err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		prior, err := outbox.Once(ctx, tx, actor, verbRequestChange, key, in)
		if err != nil {
			return err
		}
		if prior != nil {
			op = nil
			if out, err = lock(ctx, tx, actor.Scope(), prior.ID("enrollment")); err != nil || prior.ID("operation") == "" {
				return err
			}
			op, err = outbox.FindTx(ctx, tx, prior.ID("operation"))
			return err
		}
		ps, err := s.partners.Load(ctx, tx, actor.PartnerID)
		if err != nil {
			return err
		}
		p := ps[actor.PartnerID]
		if p == nil || p.Status == partner.Closed {
			return fault.Conflict("", CodeNotPartner)
		}
		e, changed, err := s.changed(ctx, tx, actor, p, in)
		if err != nil {
			return err
		}
		out = e
		if op, err = s.begin(ctx, tx, actor, e, changed); err != nil {
			return err
		}
		ids := map[string]string{"enrollment": string(e.ID)}
		if op != nil {
			ids["operation"] = string(op.ID)
		}
		if err := outbox.Remember(ctx, tx, actor, verbRequestChange, key, ids); err != nil {
			return err
		}
		return audit.Record(ctx, tx, actor, audit.Act{Action: "enrollment.change_requested", TargetID: e.ID, Changed: changed})
	})
	if err != nil {
		return nil, nil, err
	}
	return out, op, nil
}

// changed makes the enrollment of a change, and says what changes. Only what
// changes is judged: a partner that was registered long ago may lack what
// would be asked for today.
func (s *Service) changed(ctx context.Context, tx *database.Tx, actor access.Actor, p *partner.Partner, in ChangeInput) (*Enrollment, []string, error) {
	f := p.Profile()
	if _, err := (Corrections{Legal: in.Legal, Contact: in.Contact}).Apply(&f); err != nil {
		return nil, nil, err
	}
	var problems fault.Problems
	if all := fault.As(f.Validate(p.Country)); all != nil {
		for _, q := range all.Problems {
			path := strings.Join(q.Path[1:], ".")
			if in.Legal != nil && strings.HasPrefix(path, "legal.") || in.Contact != nil && strings.HasPrefix(path, "contact.") {
				problems.Add(path, q.Code, flat(q.Params)...)
			}
		}
	}
	changed := changes(p.Profile(), f)
	if len(changed) == 0 && !problems.Any() {
		return nil, nil, fault.Conflict("", CodeUnchanged)
	}
	e := &Enrollment{ID: ident.New(ident.Enrollment), OrganizationID: p.OrganizationID, PartnerID: &p.ID, Purpose: Change, Kind: p.Kind, Country: p.Country,
		TenantDomain: p.TenantDomain, ProgrammeID: p.ProgrammeID, CreatedByID: actor.UserID, TouchedAt: tx.Now, SubmittedAt: &tx.Now, Version: 1,
		CreatedAt: tx.Now, UpdatedAt: tx.Now}
	e.fill(f)
	taken, err := s.partners.Taken(ctx, tx, e.OrganizationID, e.Country, f)
	if err != nil {
		return nil, nil, err
	}
	twins, err := confirmedTwins(ctx, tx, e)
	if err != nil {
		return nil, nil, err
	}
	for _, path := range []string{"legal.name", "legal.registrationId"} {
		if slices.Contains(changed, path) && (slices.Contains(taken, path) || slices.Contains(twins, path)) {
			problems.Add(path, partner.CodeDuplicate)
		}
	}
	if slices.Contains(changed, "contact.email") {
		suppressed, err := s.mailer.SuppressedTx(ctx, tx, f.Contact.Email)
		if err != nil {
			return nil, nil, err
		}
		if suppressed {
			problems.Add("contact.email", CodeContactSuppressed)
		}
	}
	return e, changed, problems.Err()
}

// changes names the fields of the verified profile in which two differ, by the
// paths of Corrections; addresses are the same in any case.
func changes(a, b partner.Profile) []string {
	var out []string
	for _, d := range []struct {
		path string
		same bool
	}{
		{"legal.name", a.LegalName == b.LegalName}, {"legal.registrationId", a.RegistrationID == b.RegistrationID},
		{"legal.website", a.Website == b.Website}, {"legal.address", a.Address == b.Address},
		{"contact.firstName", a.Contact.FirstName == b.Contact.FirstName}, {"contact.lastName", a.Contact.LastName == b.Contact.LastName},
		{"contact.email", foldEmail(a.Contact.Email) == foldEmail(b.Contact.Email)}, {"contact.phone", a.Contact.Phone == b.Contact.Phone},
	} {
		if !d.same {
			out = append(out, d.path)
		}
	}
	return out
}

func flat(params map[string]string) []string {
	var out []string
	for k, v := range params {
		out = append(out, k, v)
	}
	return out
}

// begin inserts the enrollment of a change where its checks let it begin: with
// the contact, in review, or at its end. The job mails the contact.
func (s *Service) begin(ctx context.Context, tx *database.Tx, actor access.Actor, e *Enrollment, changed []string) (*outbox.Job, error) {
	kinds := concerned(changed)
	confirms := slices.Contains(kinds, EmailOwnership)
	e.Status = EmailPending
	if !confirms {
		e.Status, e.ConfirmedAt = InReview, &tx.Now
	}
	if err := s.enter(ctx, tx, e); err != nil {
		return nil, err
	}
	if err := insert(ctx, tx, e); err != nil {
		return nil, err
	}
	for _, k := range kinds {
		c := Check{Kind: k, Status: CheckWaiting}
		if !confirms {
			c.Status, c.Awaits, c.DueAt = CheckRunning, System, e.DueAt
		}
		if err := s.set(ctx, tx, e, c); err != nil {
			return nil, err
		}
	}
	if err := s.note(ctx, tx, actor, e, Entry{Kind: EntryChangeRequested, Note: strings.Join(changed, " "), UntilAt: e.UntilAt}); err != nil {
		return nil, err
	}
	switch {
	case confirms:
		op, err := s.verify(ctx, tx, actor, e)
		if err != nil {
			return nil, err
		}
		return op, save(ctx, tx, e)
	case len(kinds) == 0:
		return nil, s.approve(ctx, tx, access.System("enrollment"), e, "")
	}
	if err := s.tell(ctx, tx, e, letter{template: templateChangeReceived, step: "received"}); err != nil {
		return nil, err
	}
	return nil, s.recheck(ctx, tx, e)
}
