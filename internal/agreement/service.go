package agreement

import (
	"context"
	"fmt"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/audit"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/mail"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/internal/page"
	"github.com/channelgraph/channelgraph/internal/partner"
)

// Service performs the verbs on agreements.
type Service struct {
	db       *database.DB
	accounts *account.Service
	partners *partner.Service
	mailer   *mail.Mailer
	// activated ends the enrollment of a company whose first signature makes
	// it active.
	activated func(ctx context.Context, tx *database.Tx, actor access.Actor, organization ident.ID) error
	// batch is how many partners are written to in one transaction; a field so
	// that tests can cross it.
	batch int
}

// New makes the service and gives the partners the rule that says until when
// a newer version must be signed. activated is enrollment's SignedTx: it runs
// in the transaction of the signature that makes an approved partner active;
// nil where nobody enrolls.
//
// The jobs are Look, Announce and Scan, of which the last is periodic.
func New(db *database.DB, accounts *account.Service, partners *partner.Service, mailer *mail.Mailer,
	activated func(ctx context.Context, tx *database.Tx, actor access.Actor, organization ident.ID) error,
) *Service {
	s := &Service{db: db, accounts: accounts, partners: partners, mailer: mailer, activated: activated, batch: 100}
	partners.OnDue(func(ctx context.Context, tx *database.Tx, version string) (*time.Time, error) {
		a, err := newest(ctx, tx)
		if err != nil || a == nil || a.Number == version {
			return nil, err
		}
		return &a.DueAt, nil
	})
	return s
}

// Publish makes a text the newest version of the agreement. Whoever signed an
// older one is asked to sign again by a date; the operation mails the Global
// admins of active partners. Errors: ROLE_REQUIRED, all that is wrong with the
// input together, AGREEMENT_NUMBER_TAKEN, IDEMPOTENCY_KEY_REUSED.
func (s *Service) Publish(ctx context.Context, actor access.Actor, in PublishInput) (*Agreement, *outbox.Job, error) {
	if err := actor.Require(access.PermAgreementPublish); err != nil {
		return nil, nil, err
	}
	request := in
	if err := in.Validate(s.db.Now()); err != nil {
		return nil, nil, err
	}
	const verb = "publishAgreement"
	key := deref(in.IdempotencyKey)
	var a *Agreement
	var op *outbox.Job
	err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		prior, err := outbox.Once(ctx, tx, actor, verb, key, request)
		if err != nil {
			return err
		}
		if prior != nil {
			found, err := byIDs(ctx, tx, []ident.ID{prior.ID("agreement")})
			if err != nil {
				return err
			}
			a = found[prior.ID("agreement")]
			op, err = outbox.FindTx(ctx, tx, prior.ID("operation"))
			return err
		}
		if a, op, err = s.PublishTx(ctx, tx, actor, in); err != nil {
			return err
		}
		return outbox.Remember(ctx, tx, actor, verb, key, map[string]string{"agreement": string(a.ID), "operation": string(op.ID)})
	})
	if err != nil {
		return nil, nil, err
	}
	return a, op, nil
}

// PublishTx is Publish inside a caller's transaction, for the demo world; in
// must be validated.
func (s *Service) PublishTx(ctx context.Context, tx *database.Tx, actor access.Actor, in PublishInput) (*Agreement, *outbox.Job, error) {
	// The row makes two versions wait for each other.
	if err := database.SetSetting(ctx, tx, "agreement", in.Number); err != nil {
		return nil, nil, err
	}
	former, err := newest(ctx, tx)
	if err != nil {
		return nil, nil, err
	}
	a := &Agreement{ID: ident.New(ident.Agreement), Number: in.Number, DueAt: in.DueAt, PublishedByID: actor.UserID, PublishedAt: tx.Now}
	if former != nil && !a.PublishedAt.After(former.PublishedAt) {
		a.PublishedAt = former.PublishedAt.Add(time.Microsecond) // its transaction began later and was first
	}
	texts := make([]*Text, len(in.Texts))
	for i, t := range in.Texts {
		texts[i] = &Text{AgreementID: a.ID, Locale: t.Locale, Title: t.Title, Text: t.Text}
	}
	a.ContentHash = Hash(texts)
	if err := insert(ctx, tx, a, texts); err != nil {
		return nil, nil, err
	}
	retired, err := retire(ctx, tx, a.ID)
	if err != nil {
		return nil, nil, err
	}
	for _, id := range retired {
		if err := outbox.CancelAbout(ctx, tx, id, Look{}.Kind()); err != nil {
			return nil, nil, err
		}
	}
	if _, err := s.partners.DemandTx(ctx, tx, a.Number, a.DueAt); err != nil {
		return nil, nil, err
	}
	if err := s.plan(ctx, tx, a, tx.Now); err != nil {
		return nil, nil, err
	}
	op, err := outbox.Put(ctx, tx, Announce{AgreementID: a.ID, Step: StepPublish}, outbox.About(a.ID), outbox.By(actor))
	if err != nil {
		return nil, nil, err
	}
	return a, op, audit.Record(ctx, tx, actor, audit.Act{Action: "agreement.published", TargetID: a.ID})
}

// Sign signs the newest version for the actor's company: a Global admin, in
// person, freshly signed in. An approved partner becomes active by it. Errors:
// ROLE_REQUIRED, TOKEN_NOT_ALLOWED, SUDO_REQUIRED, all that is wrong with the
// input together, NOT_APPROVED without a partner account, NOT_FOUND, CONFLICT
// at agreementId for a version that is no longer the newest, ALREADY_SIGNED,
// PARTNER_STATUS_FORBIDS once closed, IDEMPOTENCY_KEY_REUSED.
func (s *Service) Sign(ctx context.Context, actor access.Actor, in SignInput) (*Signature, error) {
	if err := actor.Require(access.PermAgreementSign); err != nil {
		return nil, err
	}
	request := in
	if err := in.Validate(); err != nil {
		return nil, err
	}
	if err := actor.RequireSudo(s.db.Now()); err != nil {
		return nil, err
	}
	const verb = "signAgreement"
	key := deref(in.IdempotencyKey)
	var out *Signature
	err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		prior, err := outbox.Once(ctx, tx, actor, verb, key, request)
		if err != nil {
			return err
		}
		if prior != nil {
			found, err := signaturesByIDs(ctx, tx, actor.Scope(), []ident.ID{prior.ID("signature")})
			out = found[prior.ID("signature")]
			return err
		}
		if out, err = s.sign(ctx, tx, actor, in); err != nil {
			return err
		}
		return outbox.Remember(ctx, tx, actor, verb, key, map[string]string{"signature": string(out.ID)})
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (s *Service) sign(ctx context.Context, tx *database.Tx, actor access.Actor, in SignInput) (*Signature, error) {
	if actor.PartnerID == "" {
		return nil, fault.Conflict("", CodeNotApproved)
	}
	// Held before the newest version is read: a version that is published
	// meanwhile then waits, or is seen.
	p, err := s.partners.HoldTx(ctx, tx, actor.PartnerID)
	if err != nil {
		return nil, err
	}
	if p == nil || !maySign(p) {
		return nil, fault.Conflict("", partner.CodeStatusForbids)
	}
	a, err := s.readable(ctx, tx, in.AgreementID)
	if err != nil {
		return nil, err
	}
	if p.AgreementSignedAt != nil && p.AgreementVersion == a.Number {
		return nil, fault.Conflict("agreementId", CodeAlreadySigned)
	}
	sig := &Signature{ID: ident.New(ident.Signature), AgreementID: a.ID, PartnerID: p.ID, Region: p.Region, Number: a.Number, ContentHash: a.ContentHash,
		FirstName: in.FirstName, LastName: in.LastName, Email: in.Email, Phone: in.Phone, SignedByID: actor.UserID, SignedAt: tx.Now, IPPrefix: actor.IPPrefix}
	made, err := insertSignature(ctx, tx, sig)
	if err != nil {
		return nil, err
	}
	if !made {
		return nil, fault.Conflict("agreementId", CodeAlreadySigned)
	}
	if err := audit.Record(ctx, tx, actor, audit.Act{Action: "agreement.signed", TargetID: sig.ID, Reason: a.Number}); err != nil {
		return nil, err
	}
	if p.Status != partner.Approved {
		_, err = s.partners.SignTx(ctx, tx, p.ID, a.Number)
	} else if _, err = s.partners.ActivateTx(ctx, tx, actor, p.ID, a.Number); err == nil && s.activated != nil {
		err = s.activated(ctx, tx, actor, p.OrganizationID)
	}
	if err != nil {
		return nil, err
	}
	return sig, s.confirm(ctx, tx, p, a, sig)
}

// readable is the version that somebody is about to sign: the newest one.
func (s *Service) readable(ctx context.Context, tx *database.Tx, id ident.ID) (*Agreement, error) {
	a, err := newest(ctx, tx)
	if err != nil {
		return nil, err
	}
	if a != nil && a.ID == id {
		return a, nil
	}
	known, err := byIDs(ctx, tx, []ident.ID{id})
	switch {
	case err != nil:
		return nil, err
	case known[id] == nil:
		return nil, fault.NotFound("agreementId")
	}
	return nil, fault.Conflict("agreementId", fault.CodeConflict)
}

// Status tells where a partner stands with the agreement: the actor's own
// without an id, any for the operator. It is nil for whoever has none, such as
// a user of the operator. Errors: ROLE_REQUIRED, NOT_FOUND.
func (s *Service) Status(ctx context.Context, actor access.Actor, id *ident.ID) (*Status, error) {
	if err := actor.Require(access.PermAgreementRead); err != nil {
		return nil, err
	}
	of := actor.PartnerID
	if id != nil {
		if of = *id; of != actor.PartnerID && !actor.Scope().All() {
			return nil, fault.NotFound("partnerId")
		}
	} else if actor.Scope().All() {
		return nil, nil
	}
	var p *partner.Partner
	if of != "" {
		found, err := s.partners.ByIDs(ctx, actor, []ident.ID{of})
		if err != nil {
			return nil, err
		}
		p = found[of]
	}
	if id != nil && p == nil {
		return nil, fault.NotFound("partnerId")
	}
	a, err := newest(ctx, s.db.Read())
	if err != nil {
		return nil, err
	}
	out := statusOf(p, a, s.db.Now())
	out.MaySign = out.NeedsSignature && p.ID == actor.PartnerID && actor.Can(access.PermAgreementSign) && !actor.ViaToken()
	if out.SignedNumber != "" {
		out.Signature, err = signatureOf(ctx, s.db.Read(), actor.Scope(), of, out.SignedNumber)
	}
	return out, err
}

// List is a page of the published versions, newest first.
func (s *Service) List(ctx context.Context, actor access.Actor, args page.Args, f Filter) (*page.Connection[*Agreement], error) {
	if err := actor.Require(access.PermAgreementRead); err != nil {
		return nil, err
	}
	pq, err := args.Resolve(versionsOrder(), f)
	if err != nil {
		return nil, err
	}
	return list(ctx, s.db, pq, f)
}

// ByIDs reads published versions.
func (s *Service) ByIDs(ctx context.Context, actor access.Actor, ids []ident.ID) (map[ident.ID]*Agreement, error) {
	if !actor.Can(access.PermAgreementRead) {
		return map[ident.ID]*Agreement{}, nil
	}
	return byIDs(ctx, s.db.Read(), ids)
}

// TextsOf reads the texts of published versions, by version and in the order
// of their languages.
func (s *Service) TextsOf(ctx context.Context, actor access.Actor, ids []ident.ID) (map[ident.ID][]*Text, error) {
	if !actor.Can(access.PermAgreementRead) {
		return map[ident.ID][]*Text{}, nil
	}
	return textsOf(ctx, s.db.Read(), ids)
}

// ListSignatures is a page of the signatures within the actor's reach, newest
// first: its own company's, all for the operator.
func (s *Service) ListSignatures(ctx context.Context, actor access.Actor, args page.Args, f SignatureFilter) (*page.Connection[*Signature], error) {
	if err := actor.Require(access.PermAgreementRead); err != nil {
		return nil, err
	}
	pq, err := args.Resolve(signaturesOrder(), f)
	if err != nil {
		return nil, err
	}
	return listSignatures(ctx, s.db, actor.Scope(), pq, f)
}

// SignaturesByIDs reads signatures inside the actor's scope; hidden ones are
// missing.
func (s *Service) SignaturesByIDs(ctx context.Context, actor access.Actor, ids []ident.ID) (map[ident.ID]*Signature, error) {
	if !actor.Can(access.PermAgreementRead) {
		return map[ident.ID]*Signature{}, nil
	}
	return signaturesByIDs(ctx, s.db.Read(), actor.Scope(), ids)
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// mailed is one mail to one person; key makes it the only one of its kind.
func (s *Service) mailed(ctx context.Context, tx *database.Tx, u *account.User, template, key string, subject ident.ID, reminder bool, data map[string]string) error {
	m, err := s.mailer.Queue(ctx, tx, mail.Draft{Key: fmt.Sprintf("agreement/%s/%s", key, u.ID), Template: template, Locale: u.Locale, To: u.Email,
		Data: s.mailer.Fit(template, data), OrganizationID: u.OrganizationID, SubjectID: subject, Reminder: reminder})
	if err != nil {
		return err
	}
	_, err = outbox.Put(ctx, tx, mail.Send{MessageID: m.ID}, outbox.On(outbox.Mail), outbox.About(subject), outbox.MaxAttempts(mail.MaxAttempts))
	return err
}
