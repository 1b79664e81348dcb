package enrollment

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/address"
	"github.com/channelgraph/channelgraph/internal/audit"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/file"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/mail"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/internal/partner"
	"github.com/channelgraph/channelgraph/internal/secret"
)

func secretHash(token secret.String) string { return secret.Hash(token.Reveal()) }

// Start lets a worker mail the way in to an address that nobody has proved.
// Answer and work are the same for every address (security decision D5); only
// the mail tells whether there is an account already. Errors: what is wrong
// with the input, RATE_LIMITED for the network; more than three an hour to one
// address are left out silently.
func (s *Service) Start(ctx context.Context, in StartInput, ip netip.Addr) error {
	if err := in.Validate(); err != nil {
		return err
	}
	email, err := address.Parse(in.Email)
	if err != nil {
		return err
	}
	return s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		allowed, err := s.accounts.AllowMail(ctx, tx, email, ip)
		if err != nil || !allowed {
			return err
		}
		r := &start{ID: ident.New(ident.Link), Email: email.String(), EmailFolded: email.Folded(), FirstName: in.FirstName, LastName: in.LastName,
			Locale: in.Locale, TenantDomain: in.TenantDomain, Country: in.Country, ExpiresAt: tx.Now.Add(s.cfg.StartLife), CreatedAt: tx.Now}
		if err := insertStart(ctx, tx, r); err != nil {
			return fmt.Errorf("keeping a wish to enroll: %w", err)
		}
		_, err = outbox.Put(ctx, tx, AnswerStart{StartID: r.ID}, outbox.On(outbox.Critical), outbox.ExpiresAt(r.ExpiresAt))
		return err
	})
}

// findStart reads the wish behind a link and what the link can still do.
func (s *Service) findStart(ctx context.Context, token string) (*start, LinkState, error) {
	if !strings.HasPrefix(token, StartPrefix+"_") || len(token) > 100 {
		return nil, LinkUnknown, nil
	}
	r, err := startByToken(ctx, s.db.Read(), secret.Hash(token))
	switch {
	case err != nil:
		return nil, "", err
	case r == nil:
		return nil, LinkUnknown, nil
	case r.UsedAt != nil:
		return r, LinkUsed, nil
	case !s.db.Now().Before(r.ExpiresAt):
		return r, LinkExpired, nil
	}
	return r, LinkValid, nil
}

// PreviewStart tells what the page of a start link shows; it consumes nothing.
func (s *Service) PreviewStart(ctx context.Context, token string) (*StartPreview, error) {
	r, state, err := s.findStart(ctx, token)
	if err != nil || r == nil {
		return &StartPreview{State: state}, err
	}
	out := &StartPreview{State: state, UsedAt: r.UsedAt, ExpiresAt: &r.ExpiresAt, Locale: r.Locale}
	if state == LinkValid {
		out.Email, out.FirstName, out.LastName, out.TenantDomain, out.Country = r.Email, r.FirstName, r.LastName, r.TenantDomain, r.Country
	}
	return out, nil
}

// linkFault is what a link that does not work is refused with.
func linkFault(state LinkState) error {
	switch state {
	case LinkUnknown:
		return fault.NotFound("token")
	case LinkUsed, LinkConfirmed, LinkDisowned:
		return fault.Conflict("token", account.CodeLinkUsed)
	}
	return fault.Conflict("token", account.CodeLinkExpired)
}

// CompleteStart founds the organization behind a start link, with whoever
// followed it as its first Global admin and Admin agent, and begins the draft.
// Errors: NOT_FOUND, LINK_USED or LINK_EXPIRED at token, what is wrong with
// password, DOMAIN_NOT_AVAILABLE at tenantDomain, EMAIL_NOT_AVAILABLE at email,
// BUSY.
func (s *Service) CompleteStart(ctx context.Context, token string, in CompleteStartInput, ip netip.Addr) error {
	r, state, err := s.findStart(ctx, token)
	if err != nil {
		return err
	}
	if state != LinkValid {
		return linkFault(state)
	}
	hashed, err := s.accounts.Hash(ctx, in.Password, r.Email, r.FirstName, r.LastName, r.TenantDomain)
	if err != nil {
		return err
	}
	return s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		mine, err := useStart(ctx, tx, r)
		if err != nil {
			return err
		}
		if !mine {
			return linkFault(LinkUsed)
		}
		org, user, err := s.accounts.Admit(ctx, tx, access.System("enrollment"),
			account.NewOrganization{Kind: access.IndirectReseller, Domain: r.TenantDomain, Country: r.Country, Locale: r.Locale},
			account.NewUser{Email: r.Email, FirstName: r.FirstName, LastName: r.LastName, Locale: r.Locale,
				Roles: []access.Role{access.GlobalAdmin, access.AdminAgent}}, hashed)
		if fault.Is(err, account.CodeDomainNotFree) {
			return fault.Conflict("tenantDomain", account.CodeDomainNotFree)
		}
		if err != nil {
			return err
		}
		actor, err := access.Load(ctx, tx, access.Presence{UserID: user.ID, IPPrefix: account.Prefix(ip)})
		if err != nil {
			return err
		}
		_, err = s.draft(ctx, tx, actor, org, partner.Profile{})
		return err
	})
}

// draft begins a draft for an organization.
func (s *Service) draft(ctx context.Context, tx *database.Tx, actor access.Actor, org *account.Organization, p partner.Profile) (*Enrollment, error) {
	p.Address.Country = org.Country
	e := &Enrollment{ID: ident.New(ident.Enrollment), OrganizationID: org.ID, Purpose: Admission, Kind: org.Kind, Status: Draft, Country: org.Country,
		TenantDomain: org.Domain, CreatedByID: actor.UserID, TouchedAt: tx.Now, Version: 1, CreatedAt: tx.Now, UpdatedAt: tx.Now}
	e.fill(p)
	if err := s.enter(ctx, tx, e); err != nil {
		return nil, err
	}
	if err := insert(ctx, tx, e); err != nil {
		return nil, err
	}
	for _, k := range CheckKinds {
		if err := s.set(ctx, tx, e, Check{Kind: k, Status: CheckWaiting}); err != nil {
			return nil, err
		}
	}
	if err := s.note(ctx, tx, actor, e, Entry{Kind: EntryStarted, UntilAt: e.UntilAt}); err != nil {
		return nil, err
	}
	return e, audit.Record(ctx, tx, actor, audit.Act{Action: "enrollment.started", TargetID: e.ID})
}

// fill puts a profile into the enrollment, with the forms by which it is
// compared.
func (e *Enrollment) fill(p partner.Profile) {
	e.Profile = p
	e.LegalNameFolded, e.ContactEmailFolded, e.RegistrationIDFolded = partner.FoldName(p.LegalName), foldEmail(p.Contact.Email), ""
	if p.RegistrationID != "" {
		e.RegistrationIDFolded = partner.FoldRegistration(e.Country, p.RegistrationID)
	}
}

// Save fills in a draft: whatever can be stored is, also where submission
// would refuse it, so that one can stop anywhere and go on later. Errors:
// ROLE_REQUIRED, NOT_FOUND, CONFLICT, ENROLLMENT_STATE, TOO_LONG,
// CONTROL_CHARACTERS.
func (s *Service) Save(ctx context.Context, actor access.Actor, in SaveInput) (*Enrollment, error) {
	var out *Enrollment
	err := s.change(ctx, actor, in.EnrollmentID, in.ExpectedVersion, func(ctx context.Context, tx *database.Tx, e *Enrollment) error {
		if e.Status != Draft {
			return stateFault("enrollmentId", e)
		}
		p := e.Profile
		changed, err := in.Apply(&p)
		if err != nil {
			return err
		}
		out = e
		if len(changed) == 0 {
			return nil
		}
		if slices.ContainsFunc(changed, func(path string) bool { return strings.HasPrefix(path, "legal.") }) {
			e.AlreadyEnrolled = false // what the register vouches for was changed
		}
		e.fill(p)
		if err := s.touch(ctx, tx, e); err != nil {
			return err
		}
		return audit.Record(ctx, tx, actor, audit.Act{Action: "enrollment.saved", TargetID: e.ID, Changed: changed})
	})
	return out, err
}

// touch saves a draft that was worked on: its time starts anew.
func (s *Service) touch(ctx context.Context, tx *database.Tx, e *Enrollment) error {
	e.TouchedAt = tx.Now
	if err := s.enter(ctx, tx, e); err != nil {
		return err
	}
	return save(ctx, tx, e)
}

// ---- Handing in

// vet validates a profile as it is to be handed in, puts it into its stored
// form, and finds what stands in the way: all problems together. Of a change
// only what is changed is judged, since a partner that was registered long ago
// may lack what would be asked for today.
func (s *Service) vet(ctx context.Context, tx *database.Tx, e *Enrollment, changed []string) error {
	var problems fault.Problems
	p := e.Profile
	if f := fault.As(p.Validate(e.Country)); f != nil {
		for _, q := range f.Problems {
			if path := strings.Join(q.Path[1:], "."); e.Purpose == Admission || slices.Contains(changed, path) {
				problems.Add(path, q.Code, flat(q.Params)...)
			}
		}
	}
	bad := map[string]bool{}
	if f := fault.As(problems.Err()); f != nil {
		for _, q := range f.Problems {
			bad[strings.Join(q.Path[1:], ".")] = true
		}
	}
	e.fill(p)
	taken, err := s.partners.Taken(ctx, tx, e.OrganizationID, e.Country, p)
	if err != nil {
		return err
	}
	twins, err := confirmedTwins(ctx, tx, e)
	if err != nil {
		return err
	}
	for _, path := range append(taken, twins...) {
		if !bad[path] {
			problems.Add(path, partner.CodeDuplicate)
			bad[path] = true
		}
	}
	if !bad["programmeId"] {
		code, err := s.vetProgrammeID(ctx, tx, e)
		if err != nil {
			return err
		}
		if code != "" {
			problems.Add("programmeId", code)
		}
	}
	if !bad["contact.email"] {
		suppressed, err := s.mailer.SuppressedTx(ctx, tx, p.Contact.Email)
		if err != nil {
			return err
		}
		if suppressed {
			problems.Add("contact.email", CodeContactSuppressed)
		}
	}
	return problems.Err()
}

// Submit hands a draft in: everything is checked at once, and the primary
// contact is mailed a link to confirm. Errors: ROLE_REQUIRED, NOT_FOUND,
// CONFLICT, ENROLLMENT_STATE, IDEMPOTENCY_KEY_REUSED, RATE_LIMITED, and all
// that is wrong with the draft, at the paths of Save: DUPLICATE among it,
// which never names the other.
func (s *Service) Submit(ctx context.Context, actor access.Actor, in SubmitInput) (*Enrollment, *outbox.Job, error) {
	return s.once(ctx, actor, "submitEnrollment", in.EnrollmentID, in.IdempotencyKey, in.ExpectedVersion, in,
		func(ctx context.Context, tx *database.Tx, e *Enrollment) (*outbox.Job, error) {
			if _, ok := e.Status.Next(VerbSubmit); !ok {
				return nil, stateFault("enrollmentId", e)
			}
			if err := s.vet(ctx, tx, e, nil); err != nil {
				return nil, err
			}
			if err := s.advance(ctx, tx, e, VerbSubmit, "enrollmentId"); err != nil {
				return nil, err
			}
			e.SubmittedAt = &tx.Now
			if err := s.note(ctx, tx, actor, e, Entry{Kind: EntrySubmitted}); err != nil {
				return nil, err
			}
			op, err := s.verify(ctx, tx, actor, e)
			if err != nil {
				return nil, err
			}
			if err := save(ctx, tx, e); err != nil {
				return nil, err
			}
			return op, audit.Record(ctx, tx, actor, audit.Act{Action: "enrollment.submitted", TargetID: e.ID, Changed: []string{"status"}})
		})
}

// once is change under an idempotency key, for verbs that start work; a replay
// answers with the enrollment as it is and the operation of the first time.
func (s *Service) once(ctx context.Context, actor access.Actor, verb string, id ident.ID, key *string, version *int, request any,
	fn func(context.Context, *database.Tx, *Enrollment) (*outbox.Job, error),
) (*Enrollment, *outbox.Job, error) {
	var out *Enrollment
	var op *outbox.Job
	k := ""
	if key != nil {
		k = *key
	}
	err := s.change(ctx, actor, id, nil, func(ctx context.Context, tx *database.Tx, e *Enrollment) error {
		prior, err := outbox.Once(ctx, tx, actor, verb, k, request)
		if err != nil {
			return err
		}
		out = e
		if prior != nil {
			op = nil
			if id := prior.ID("operation"); id != "" {
				op, err = outbox.FindTx(ctx, tx, id)
			}
			return err
		}
		if version != nil && *version != e.Version {
			return fault.Conflict("expectedVersion", fault.CodeConflict)
		}
		if op, err = fn(ctx, tx, e); err != nil {
			return err
		}
		ids := map[string]string{"enrollment": string(e.ID)}
		if op != nil {
			ids["operation"] = string(op.ID)
		}
		return outbox.Remember(ctx, tx, actor, verb, k, ids)
	})
	if err != nil {
		return nil, nil, err
	}
	return out, op, nil
}

// verify gives the primary contact of an enrollment that waits for it the
// next link and queues the mail with it; the former one dies. The caller saves
// the enrollment. Error: RATE_LIMITED.
func (s *Service) verify(ctx context.Context, tx *database.Tx, actor access.Actor, e *Enrollment) (*outbox.Job, error) {
	if err := s.accounts.Allow(ctx, tx, s.cfg.LinksAnHour, time.Hour, "enrollment-link", "hour", e.ContactEmailFolded); err != nil {
		return nil, err
	}
	if err := s.accounts.Allow(ctx, tx, s.cfg.LinksADay, day, "enrollment-link", "day", e.ContactEmailFolded); err != nil {
		return nil, err
	}
	if err := outbox.CancelAbout(ctx, tx, e.ID, SendVerification{}.Kind()); err != nil {
		return nil, err
	}
	e.Generation++
	expires := tx.Now.Add(s.cfg.LinkLife)
	if e.UntilAt != nil && e.UntilAt.Before(expires) {
		expires = *e.UntilAt
	}
	e.LinkSentAt, e.LinkExpiresAt = &tx.Now, &expires
	token := s.keys.Capability(VerifyPrefix, VerifyPurpose, e.ID, e.Generation)
	err := insertLink(ctx, tx, &link{TokenHash: secretHash(token), EnrollmentID: e.ID, Generation: e.Generation, ExpiresAt: expires, CreatedAt: tx.Now})
	if err != nil {
		return nil, err
	}
	a, err := s.applicant(ctx, tx, e)
	if err != nil {
		return nil, err
	}
	to := e.contact()
	if a != nil {
		to.locale = a.locale
	}
	m, err := s.write(ctx, tx, e, letter{template: templateVerification, step: fmt.Sprintf("verify/%d", e.Generation), link: e.verificationLink(),
		data: s.introduce(a)}, to, false)
	if err != nil {
		return nil, err
	}
	e.VerificationMessageID = m.ID
	op, err := outbox.Put(ctx, tx, SendVerification{EnrollmentID: e.ID, Generation: e.Generation, MessageID: m.ID}, outbox.On(outbox.Mail), outbox.About(e.ID),
		outbox.By(actor), outbox.ExpiresAt(expires), outbox.MaxAttempts(mail.MaxAttempts))
	if err != nil {
		return nil, err
	}
	if err := s.set(ctx, tx, e, Check{Kind: EmailOwnership, Status: CheckRunning, Awaits: Contact, DueAt: e.UntilAt}); err != nil {
		return nil, err
	}
	if err := s.note(ctx, tx, actor, e, Entry{Kind: EntryLinkSent, Check: EmailOwnership, UntilAt: &expires}); err != nil {
		return nil, err
	}
	e.Agenda = s.cfg.agenda(e, tx.Now)
	return op, s.plan(ctx, tx, e)
}

func (e *Enrollment) verificationLink() *mail.Link {
	return &mail.Link{Purpose: VerifyPurpose, Prefix: VerifyPrefix, Path: VerifyPath, SubjectID: e.ID, Generation: e.Generation}
}

// introduce says to the contact who applies.
func (s *Service) introduce(a *person) map[string]string {
	if a == nil {
		return map[string]string{"Applicant": s.mailer.Operator()}
	}
	return map[string]string{"Applicant": a.name}
}

// sends reports whether a job is that of the enrollment's newest link.
func sends(j *outbox.Job, e *Enrollment) bool {
	return j.Kind == SendVerification{}.Kind() && strings.Contains(j.Payload, string(e.VerificationMessageID))
}

// ResendVerification mails the primary contact a new link; the former one dies
// and the reminders start anew, the time to confirm does not. Errors:
// ROLE_REQUIRED, NOT_FOUND, ENROLLMENT_STATE, RATE_LIMITED,
// IDEMPOTENCY_KEY_REUSED, RECIPIENT_SUPPRESSED.
func (s *Service) ResendVerification(ctx context.Context, actor access.Actor, in ResendInput) (*Enrollment, *outbox.Job, error) {
	return s.once(ctx, actor, "resendEnrollmentVerification", in.EnrollmentID, in.IdempotencyKey, nil, in,
		func(ctx context.Context, tx *database.Tx, e *Enrollment) (*outbox.Job, error) {
			if e.Status != EmailPending {
				return nil, stateFault("enrollmentId", e)
			}
			suppressed, err := s.mailer.SuppressedTx(ctx, tx, e.Profile.Contact.Email)
			if err != nil {
				return nil, err
			}
			if suppressed {
				return nil, fault.Conflict("enrollmentId", CodeContactSuppressed)
			}
			e.Stage++ // reminders of the former link are moot
			op, err := s.verify(ctx, tx, actor, e)
			if err != nil {
				return nil, err
			}
			if err := save(ctx, tx, e); err != nil {
				return nil, err
			}
			return op, audit.Record(ctx, tx, actor, audit.Act{Action: "enrollment.verification_resent", TargetID: e.ID})
		})
}

// Withdraw gives an enrollment up; what was planned is called off. Errors:
// ROLE_REQUIRED, NOT_FOUND, CONFLICT, ENROLLMENT_STATE, what is wrong with
// reason.
func (s *Service) Withdraw(ctx context.Context, actor access.Actor, in WithdrawInput) (*Enrollment, error) {
	reason := ""
	if in.Reason != nil {
		var err error
		if reason, err = address.PlainText(*in.Reason, MaxNoteLength); err != nil {
			var p fault.Problems
			_ = p.Merge("reason", err)
			return nil, p.Err()
		}
	}
	var out *Enrollment
	err := s.change(ctx, actor, in.EnrollmentID, in.ExpectedVersion, func(ctx context.Context, tx *database.Tx, e *Enrollment) error {
		if err := s.advance(ctx, tx, e, VerbWithdraw, "enrollmentId"); err != nil {
			return err
		}
		if err := outbox.CancelAbout(ctx, tx, e.ID, SendVerification{}.Kind(), RunChecks{}.Kind()); err != nil {
			return err
		}
		if err := releaseChecks(ctx, tx, e); err != nil {
			return err
		}
		if err := s.note(ctx, tx, actor, e, Entry{Kind: EntryWithdrawn, Note: reason}); err != nil {
			return err
		}
		if err := s.tell(ctx, tx, e, letter{template: templateWithdrawn, step: "withdrawn"}); err != nil {
			return err
		}
		out = e
		if err := save(ctx, tx, e); err != nil {
			return err
		}
		return audit.Record(ctx, tx, actor, audit.Act{Action: "enrollment.withdrawn", TargetID: e.ID, Changed: []string{"status"}})
	})
	return out, err
}

// Begin starts anew after an enrollment that came to nothing, with what was
// filled in then; a programme ID has to be proved again. Errors:
// ROLE_REQUIRED, ALREADY_ENROLLED, ENROLLMENT_OPEN, STILL_APPEALABLE,
// IDEMPOTENCY_KEY_REUSED.
func (s *Service) Begin(ctx context.Context, actor access.Actor, in BeginInput) (*Enrollment, error) {
	if err := actor.Require(access.PermEnrollmentApply); err != nil {
		return nil, err
	}
	if actor.PartnerID != "" {
		return nil, fault.Conflict("", CodeAlreadyEnrolled)
	}
	key := ""
	if in.IdempotencyKey != nil {
		key = *in.IdempotencyKey
	}
	var out *Enrollment
	err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		org, err := s.accounts.HoldOrganization(ctx, tx, actor.OrganizationID) // two at once wait for each other
		if err != nil {
			return err
		}
		prior, err := outbox.Once(ctx, tx, actor, "beginEnrollment", key, in)
		if err != nil {
			return err
		}
		if prior != nil {
			es, err := byIDs(ctx, tx, actor.Scope(), []ident.ID{prior.ID("enrollment")})
			out = es[prior.ID("enrollment")]
			return err
		}
		last, err := newest(ctx, tx, actor.OrganizationID, Admission)
		if err != nil {
			return err
		}
		var p partner.Profile
		if last != nil {
			switch {
			case last.Status.Open():
				return fault.Conflict("", CodeOpen)
			case last.Status == Active:
				return fault.Conflict("", CodeAlreadyEnrolled)
			case !last.CanBegin(tx.Now):
				return fault.Conflict("", CodeStillAppealable)
			}
			p = last.Profile
		}
		if out, err = s.draft(ctx, tx, actor, org, p); err != nil {
			return err
		}
		return outbox.Remember(ctx, tx, actor, "beginEnrollment", key, map[string]string{"enrollment": string(out.ID)})
	})
	return out, err
}

// ---- Answers and appeals

// Answer gives reviewers what they asked for; the clock goes on. Where the
// answer names another address of the primary contact, that has to be
// confirmed first, and the job mails the link; otherwise it is nil. Errors:
// ROLE_REQUIRED, NOT_FOUND, CONFLICT, ENROLLMENT_STATE, IDEMPOTENCY_KEY_REUSED, RATE_LIMITED, what is wrong with
// text, files and corrections, at the paths of Save.
func (s *Service) Answer(ctx context.Context, actor access.Actor, in AnswerInput) (*Enrollment, *outbox.Job, error) {
	request := in
	if err := written(&in.Text, len(in.FileIDs) == 0 && in.Corrections == Corrections{}, in.FileIDs); err != nil {
		return nil, nil, err
	}
	return s.once(ctx, actor, "answerEnrollment", in.EnrollmentID, in.IdempotencyKey, in.ExpectedVersion, request,
		func(ctx context.Context, tx *database.Tx, e *Enrollment) (*outbox.Job, error) {
			if e.Status != ActionRequired {
				return nil, stateFault("enrollmentId", e)
			}
			return s.answer(ctx, tx, actor, e, in)
		})
}

func (s *Service) answer(ctx context.Context, tx *database.Tx, actor access.Actor, e *Enrollment, in AnswerInput) (op *outbox.Job, err error) {
	p, contact := e.Profile, e.ContactEmailFolded
	changed, err := in.Apply(&p)
	if err != nil {
		return nil, err
	}
	if len(changed) > 0 {
		e.fill(p)
		if err := s.vet(ctx, tx, e, changed); err != nil {
			return nil, err
		}
		if slices.ContainsFunc(changed, func(path string) bool { return strings.HasPrefix(path, "legal.") }) {
			e.AlreadyEnrolled = false
		}
	}
	questions, err := answered(ctx, tx, e, actor.UserID, in.Text)
	if err != nil {
		return nil, err
	}
	subject := e.ID
	if n := len(questions); n > 0 {
		subject = questions[n-1]
	}
	if len(in.FileIDs) > 0 {
		if _, err := s.files.Attach(ctx, tx, actor, "fileIds", in.FileIDs, file.ForEvidence, subject); err != nil {
			return nil, err
		}
	}
	verb := VerbAnswer
	if e.ContactEmailFolded != contact || e.ConfirmedAt == nil {
		verb = VerbReverify
		e.ConfirmedAt = nil
	}
	if err := s.advance(ctx, tx, e, verb, "enrollmentId"); err != nil {
		return nil, err
	}
	if err := s.note(ctx, tx, actor, e, Entry{Kind: EntryAnswered, Note: in.Text, UntilAt: e.DueAt}); err != nil {
		return nil, err
	}
	if err := s.reopen(ctx, tx, e, changed); err != nil {
		return nil, err
	}
	if verb == VerbReverify {
		if op, err = s.verify(ctx, tx, actor, e); err != nil {
			return nil, err
		}
	} else if err := s.recheck(ctx, tx, e); err != nil {
		return nil, err
	}
	if err := save(ctx, tx, e); err != nil {
		return nil, err
	}
	return op, audit.Record(ctx, tx, actor, audit.Act{Action: "enrollment.answered", TargetID: e.ID, Changed: append([]string{"status"}, changed...)})
}

// reopen lets the checks that do not stand any more run again: those that a
// correction concerns, and those that waited for the applicant.
func (s *Service) reopen(ctx context.Context, tx *database.Tx, e *Enrollment, changed []string) error {
	all, err := checksOf(ctx, tx, []ident.ID{e.ID})
	if err != nil {
		return err
	}
	for _, c := range all[e.ID] {
		again := c.Kind != EmailOwnership && (c.Status == CheckActionRequired || slices.Contains(concerned(changed), c.Kind))
		if !again {
			continue
		}
		if err := s.set(ctx, tx, e, Check{Kind: c.Kind, Status: CheckRunning, Awaits: System, DueAt: e.DueAt}); err != nil {
			return err
		}
	}
	return datesOfChecks(ctx, tx, e)
}

// recheck puts the job that makes the automatic parts of the checks.
func (s *Service) recheck(ctx context.Context, tx *database.Tx, e *Enrollment) error {
	_, err := outbox.Put(ctx, tx, RunChecks{EnrollmentID: e.ID}, outbox.About(e.ID), outbox.Dedupe("enrollment.run_checks/"+string(e.ID)))
	return err
}

// Appeal asks another reviewer to look again, once and within the time for it;
// a new promise begins. Errors: ROLE_REQUIRED, NOT_FOUND, NOT_APPEALABLE,
// ENROLLMENT_OPEN where the organization has begun anew,
// IDEMPOTENCY_KEY_REUSED, what is wrong with text and files.
func (s *Service) Appeal(ctx context.Context, actor access.Actor, in AppealInput) (*Enrollment, error) {
	request := in
	if err := written(&in.Text, true, in.FileIDs); err != nil {
		return nil, err
	}
	out, _, err := s.once(ctx, actor, "appealEnrollment", in.EnrollmentID, in.IdempotencyKey, nil, request,
		func(ctx context.Context, tx *database.Tx, e *Enrollment) (*outbox.Job, error) {
			if !e.Appealable(tx.Now) {
				return nil, fault.Conflict("enrollmentId", CodeNotAppealable, "status", string(e.Status))
			}
			return nil, s.appeal(ctx, tx, actor, e, in)
		})
	return out, err
}

func (s *Service) appeal(ctx context.Context, tx *database.Tx, actor access.Actor, e *Enrollment, in AppealInput) error {
	other, err := lockOpen(ctx, tx, e.OrganizationID)
	if err != nil {
		return err
	}
	if other != nil {
		return fault.Conflict("enrollmentId", CodeOpen)
	}
	if len(in.FileIDs) > 0 {
		if _, err := s.files.Attach(ctx, tx, actor, "fileIds", in.FileIDs, file.ForEvidence, e.ID); err != nil {
			return err
		}
	}
	e.AppealText, e.AppealedAt, e.AssigneeID = in.Text, &tx.Now, nil
	verb := VerbAppeal
	if e.ConfirmedAt == nil { // nobody has confirmed the address: a reviewer sends a new link first
		verb = VerbReopen
	}
	if err := s.advance(ctx, tx, e, verb, "enrollmentId"); err != nil {
		return err
	}
	if _, err := answered(ctx, tx, e, actor.UserID, in.Text); err != nil {
		return err
	}
	all, err := checksOf(ctx, tx, []ident.ID{e.ID})
	if err != nil {
		return err
	}
	for _, c := range all[e.ID] {
		if c.Kind == EmailOwnership || c.Status == CheckPassed {
			continue
		}
		if err := s.set(ctx, tx, e, Check{Kind: c.Kind, Status: CheckWaiting, ReasonCode: c.ReasonCode, Awaits: Operator, DueAt: e.DueAt}); err != nil {
			return err
		}
	}
	if err := s.note(ctx, tx, actor, e, Entry{Kind: EntryAppealed, Note: in.Text, UntilAt: e.DueAt}); err != nil {
		return err
	}
	if err := s.tell(ctx, tx, e, letter{template: templateAppealReceived, step: "appealed"}); err != nil {
		return err
	}
	var but ident.ID
	data := map[string]string{"Text": in.Text}
	if e.RejectedByID != nil {
		but = *e.RejectedByID
		us, err := s.accounts.UsersTx(ctx, tx, access.System("enrollment"), []ident.ID{but})
		if err != nil {
			return err
		}
		if u := us[but]; u != nil {
			data["RejectedBy"] = u.DisplayName()
		}
	}
	if err := s.tellReviewers(ctx, tx, e, letter{template: templateAppealed, step: "appealed", data: data}, false, but); err != nil {
		return err
	}
	if err := save(ctx, tx, e); err != nil {
		return err
	}
	return audit.Record(ctx, tx, actor, audit.Act{Action: "enrollment.appealed", TargetID: e.ID, Changed: []string{"status"}})
}

// SignedTx takes note that the organization has signed the agreement, in the
// transaction of the signature: an approved enrollment is through. Whoever was
// registered without one has nothing to note.
func (s *Service) SignedTx(ctx context.Context, tx *database.Tx, actor access.Actor, organization ident.ID) error {
	e, err := lockOpen(ctx, tx, organization)
	if err != nil || e == nil || e.Status != Approved {
		return err
	}
	if err := s.advance(ctx, tx, e, VerbSign, ""); err != nil {
		return err
	}
	e.ActivatedAt = &tx.Now
	if err := s.note(ctx, tx, actor, e, Entry{Kind: EntryActivated}); err != nil {
		return err
	}
	if err := s.tell(ctx, tx, e, letter{template: templateActive, step: "active"}); err != nil {
		return err
	}
	if err := save(ctx, tx, e); err != nil {
		return err
	}
	return audit.Record(ctx, tx, actor, audit.Act{Action: "enrollment.activated", TargetID: e.ID, TargetOrganizationID: organization, Changed: []string{"status"}})
}
