package graph

import (
	"context"

	"github.com/channelgraph/channelgraph/graph/gen"
	"github.com/channelgraph/channelgraph/graph/model"
	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/agreement"
	"github.com/channelgraph/channelgraph/internal/audit"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/invitation"
	"github.com/channelgraph/channelgraph/internal/mail"
	"github.com/channelgraph/channelgraph/internal/partnership"
	"github.com/channelgraph/channelgraph/internal/webhook"
)

// maxMails bounds the mails that an invitation shows.
const maxMails = 50

// maxAttempts bounds the attempts that a webhook delivery shows.
const maxAttempts = 50

// orZero is what an optional argument holds, or its type's zero value.
func orZero[T any](v *T) T {
	if v == nil {
		var zero T
		return zero
	}
	return *v
}

// ofDelivery are the relations of a webhook delivery that a page looks up ahead.
func ofDelivery(l *loaders) []relation[*webhook.Delivery] {
	type d = *webhook.Delivery
	return []relation[d]{
		{"endpoint", l.webhooks, func(x d) ident.ID { return x.EndpointID }},
		{"attempts", l.webhookAttempts, func(x d) ident.ID { return x.ID }},
	}
}

// orNone is null for a value that says nothing.
func orNone[T comparable](v T) *T {
	if v == *new(T) {
		return nil
	}
	return &v
}

// sure looks up what is never null. Nothing but the scopes of a personal token
// hides it from who sees the rest, and then the answer says so.
func sure[V any](ctx context.Context, l *loader[*V], id ident.ID, p access.Permission) (*V, error) {
	v, err := l.one(ctx, id)
	if v == nil && err == nil {
		err = actor(ctx).Require(p)
	}
	return v, err
}

// nodes finds things by their ids, in the order asked for, each kind of thing
// in one statement.
func nodes(ctx context.Context, ids []ident.ID) ([]model.Node, error) {
	waits := make([]func() (model.Node, error), len(ids))
	for i, id := range ids {
		waits[i] = begin(ctx, id)
	}
	out := make([]model.Node, len(ids))
	for i, wait := range waits {
		var err error
		if out[i], err = wait(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// ofPartnership are the relations of a partnership that a page looks up ahead.
func ofPartnership(l *loaders) []relation[*partnership.Partnership] {
	type p = *partnership.Partnership
	return []relation[p]{
		{"provider", l.partners, func(x p) ident.ID { return x.ProviderID }},
		{"reseller", l.partners, func(x p) ident.ID { return x.ResellerID }},
		{"lastInvitation", l.invitations, func(x p) ident.ID { return x.InvitationID }},
		{"authorizedBy", l.users, func(x p) ident.ID { return x.AuthorizedByID }},
		{"openTermination", l.openEnds, func(x p) ident.ID { return x.ID }},
		{"openSubscriptionCount", l.pairsOpen, func(x p) ident.ID { return x.ID }},
	}
}

// ofAgreement are the relations of a version that a page looks up ahead.
func ofAgreement(l *loaders) []relation[*agreement.Agreement] {
	type a = *agreement.Agreement
	return []relation[a]{
		{"texts", l.agreementTexts, func(x a) ident.ID { return x.ID }},
		{"publishedBy", l.users, func(x a) ident.ID { return x.PublishedByID }},
	}
}

// ofSignature are the relations of a signature that a page looks up ahead.
func ofSignature(l *loaders) []relation[*agreement.Signature] {
	type s = *agreement.Signature
	return []relation[s]{
		{"agreement", l.agreements, func(x s) ident.ID { return x.AgreementID }},
		{"partner", l.partners, func(x s) ident.ID { return x.PartnerID }},
		{"signedBy", l.users, func(x s) ident.ID { return x.SignedByID }},
	}
}

// ofInvitation are the relations of an invitation that a page looks up ahead.
func ofInvitation(l *loaders) []relation[*invitation.Invitation] {
	type i = *invitation.Invitation
	return []relation[i]{
		{"inviter", l.partners, func(x i) ident.ID { return x.InviterID }},
		{"invitee", l.partners, func(x i) ident.ID { return orZero(x.InviteeID) }},
		{"createdBy", l.users, func(x i) ident.ID { return x.CreatedByID }},
		{"decidedBy", l.users, func(x i) ident.ID { return orZero(x.DecidedByID) }},
		{"operation", l.operationsAbout, func(x i) ident.ID { return x.ID }},
		{"mails", l.mailsAbout, func(x i) ident.ID { return x.ID }},
	}
}

// toRecipient keeps an invitation's mails to the invited person: those to the
// inviter's people are not the invitation's.
func toRecipient(i *invitation.Invitation, mails []*mail.Message) []*mail.Message {
	out := []*mail.Message{}
	for _, m := range mails {
		if m.RecipientFolded == i.RecipientFolded {
			out = append(out, m)
		}
	}
	return out[max(len(out)-maxMails, 0):]
}

// ownAct reports whether an act is of the viewer's own organization; of the
// other party's acts a reader learns what was done, not by whom or from where.
func ownAct(ctx context.Context, e *audit.Event) bool {
	return e.Own(actor(ctx))
}

// draftProblems are what is wrong with a person's own subject or text.
func draftProblems(ctx context.Context, problems []fault.Problem) []*gen.PartnershipRequestDraftProblem {
	out := make([]*gen.PartnershipRequestDraftProblem, len(problems))
	for i, p := range problems {
		out[i] = &gen.PartnershipRequestDraftProblem{Message: fault.Text(actor(ctx).Locale, p.Code, p.Params), Path: p.Path, Code: p.Code}
	}
	return out
}
