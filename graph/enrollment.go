package graph

import (
	"cmp"
	"context"
	"net/netip"
	"slices"

	"github.com/99designs/gqlgen/graphql"

	"github.com/channelgraph/channelgraph/graph/gen"
	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/enrollment"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/file"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/mail"
	"github.com/channelgraph/channelgraph/internal/sla"
)

// Bounds of what an enrollment shows.
const (
	maxProblems  = 50
	maxTimeline  = 500
	maxQuestions = 100
	maxFiles     = 100
)

// ofEnrollment are the relations of an enrollment that a page looks up ahead.
func ofEnrollment(l *loaders) []relation[*enrollment.Enrollment] {
	type e = *enrollment.Enrollment
	id := func(x e) ident.ID { return x.ID }
	return []relation[e]{
		{"organization", l.organizations, func(x e) ident.ID { return x.OrganizationID }},
		{"partner", l.partners, func(x e) ident.ID { return orZero(x.PartnerID) }},
		{"applicant", l.users, func(x e) ident.ID { return x.CreatedByID }},
		{"assignee", l.users, func(x e) ident.ID { return orZero(x.AssigneeID) }},
		{"decidedBy", l.users, func(x e) ident.ID { return orZero(x.DecidedByID) }},
		{"operation", l.operationsAbout, id},
		{"checks", l.checks, id},
		{"questions", l.questions, id},
		{"timeline", l.timelines, id},
		{"mails", l.timelines, id},
		{"files", l.questions, id},
	}
}

// problemsOf are what submitting still needs.
func problemsOf(ctx context.Context, e *enrollment.Enrollment) []*gen.EnrollmentProblem {
	if e.Status != enrollment.Draft {
		return nil
	}
	problems := e.Problems()
	out := make([]*gen.EnrollmentProblem, 0, len(problems))
	for _, p := range problems[:min(len(problems), maxProblems)] {
		out = append(out, &gen.EnrollmentProblem{Message: fault.Text(actor(ctx).Locale, p.Code, p.Params), Path: p.Path, Code: p.Code})
	}
	return out
}

// evidenceOf is what was handed in, with the answers and with an appeal.
func evidenceOf(ctx context.Context, e *enrollment.Enrollment) ([]*file.File, error) {
	questions, err := load(ctx).questions.one(ctx, e.ID)
	if err != nil {
		return nil, err
	}
	subjects := []ident.ID{e.ID}
	for _, q := range questions {
		subjects = append(subjects, q.ID)
	}
	handed, err := load(ctx).filesOf.batch().LoadAll(ctx, subjects)
	out := slices.Concat(handed...)
	slices.SortFunc(out, func(a, b *file.File) int { return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID)) })
	return out[:min(len(out), maxFiles)], err
}

// mailsOf are the mails that the timeline names, as far as the viewer sees it.
func mailsOf(ctx context.Context, e *enrollment.Enrollment) ([]*mail.Message, error) {
	lines, err := load(ctx).timelines.one(ctx, e.ID)
	if err != nil {
		return nil, err
	}
	var ids []ident.ID
	for _, l := range lines {
		if l.MessageID != "" {
			ids = append(ids, l.MessageID)
		}
	}
	ids = ids[max(len(ids)-maxMails, 0):]
	found, err := load(ctx).mailsNamed.batch().LoadAll(ctx, ids)
	if err != nil {
		return nil, err
	}
	out := make([]*mail.Message, 0, len(found))
	for _, m := range found {
		if m != nil {
			out = append(out, m)
		}
	}
	return out, nil
}

// change is a field of an input as the concepts take it: nil keeps, "" clears.
func change(f graphql.Omittable[*string]) *string {
	v, set := f.ValueOK()
	if set && v == nil {
		v = new(string)
	}
	return v
}

// corrections are the changes of a profile as the concept takes them.
func corrections(l *gen.LegalProfileInput, c *gen.PrimaryContactInput, s *gen.SupportProfileInput) enrollment.Corrections {
	var out enrollment.Corrections
	if l != nil {
		out.Legal = &enrollment.LegalInput{Name: change(l.Name), RegistrationID: change(l.RegistrationID), Website: change(l.Website)}
		if a := l.Address; a != nil {
			out.Legal.Address = &enrollment.AddressInput{Line1: change(a.Line1), Line2: change(a.Line2), City: change(a.City),
				PostalCode: change(a.PostalCode), State: change(a.State)}
		}
	}
	if c != nil {
		out.Contact = &enrollment.ContactInput{FirstName: change(c.FirstName), LastName: change(c.LastName), Email: change(c.Email), Phone: change(c.Phone)}
	}
	if s != nil {
		out.Support = &enrollment.SupportInput{Email: change(s.Email), Phone: change(s.Phone), Website: change(s.Website)}
	}
	return out
}

// promiseOf is how the promise of a review is kept, by the calendar as it is
// now; null before the review.
func promiseOf(ctx context.Context, e *enrollment.Enrollment) (*sla.State, error) {
	if len(e.Clock.Runs) == 0 {
		return nil, nil
	}
	rules, err := load(ctx).rules.one(ctx, theCalendar)
	if err != nil {
		return nil, err
	}
	state := e.Clock.State(rules, running(ctx).deps.DB.Now())
	return &state, nil
}

// caller is the address of the request's caller, for limits.
func caller(ctx context.Context) netip.Addr {
	s := access.CallerFromContext(ctx)
	if p, err := netip.ParsePrefix(s); err == nil {
		return p.Addr()
	}
	a, _ := netip.ParseAddr(s)
	return a
}

// membershipsOf are the proved memberships of a draft, for those who fill it in.
func membershipsOf(ctx context.Context, r *Resolver, e *enrollment.Enrollment) ([]*enrollment.MembershipChoice, error) {
	if who := actor(ctx); e.Status != enrollment.Draft || who.OrganizationID != e.OrganizationID || !who.Can(access.PermEnrollmentApply) {
		return nil, nil
	}
	return r.Enrollments.Choices(ctx, actor(ctx), e.ID)
}
