package enrollment

import (
	"context"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/audit"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/partner"
	"github.com/channelgraph/channelgraph/internal/register"
)

// choice says whether a proved membership's programme ID can be selected: it
// must be of an active profile in the country of the work account, and nobody
// else's by now (spec section 2).
func (e *Enrollment) choice(m *register.Membership, taken bool) *MembershipChoice {
	c := &MembershipChoice{MembershipID: m.ID, ProgrammeID: m.ProgrammeID, LegalName: m.LegalName, Country: m.Country, AlreadyEnrolled: m.Enrolled,
		Selected: e.MembershipID != nil && *e.MembershipID == m.ID}
	switch {
	case !m.Active:
		c.Reason = ChoiceInactive
	case m.Country != e.Country:
		c.Reason = ChoiceOtherCountry
	case taken:
		c.Reason = ChoiceTaken
	default:
		c.Selectable = true
	}
	return c
}

// ProveMembership proves with user name and password of the membership
// register that programme IDs are the applicant's, and tells which of them can
// be selected, and why the others cannot. What is proved stays proved for the
// draft. Errors: ROLE_REQUIRED, NOT_FOUND, ENROLLMENT_STATE, those of
// register.Prove.
func (s *Service) ProveMembership(ctx context.Context, actor access.Actor, in ProveMembershipInput) ([]*MembershipChoice, error) {
	drafted := func(_ context.Context, _ *database.Tx, e *Enrollment) error {
		if e.Status != Draft {
			return stateFault("enrollmentId", e)
		}
		return nil
	}
	if err := s.change(ctx, actor, in.EnrollmentID, nil, drafted); err != nil {
		return nil, err
	}
	ms, err := s.registers.Prove(ctx, actor, in.UserName, in.Password)
	if err != nil {
		return nil, err
	}
	var out []*MembershipChoice
	err = s.change(ctx, actor, in.EnrollmentID, nil, func(ctx context.Context, tx *database.Tx, e *Enrollment) error {
		if err := drafted(ctx, tx, e); err != nil {
			return err
		}
		out = nil
		var proofs []*proof
		for _, m := range ms {
			c, err := s.judge(ctx, tx, e, m)
			if err != nil {
				return err
			}
			out = append(out, c)
			proofs = append(proofs, &proof{EnrollmentID: e.ID, MembershipID: m.ID, ProvedByID: actor.UserID, ProvedAt: tx.Now})
		}
		return insertProofs(ctx, tx, proofs)
	})
	return out, err
}

// judge is choice with what the other concepts know of the programme ID.
func (s *Service) judge(ctx context.Context, tx *database.Tx, e *Enrollment, m *register.Membership) (*MembershipChoice, error) {
	taken, err := s.partners.ProgrammeIDTaken(ctx, tx, m.ProgrammeID)
	if err == nil && !taken {
		taken, err = programmeSought(ctx, tx, e, m.ProgrammeID)
	}
	return e.choice(m, taken), err
}

// Choices reads the memberships that were proved for a draft, by programme ID,
// judged as they are now. Errors: ROLE_REQUIRED, NOT_FOUND.
func (s *Service) Choices(ctx context.Context, actor access.Actor, id ident.ID) ([]*MembershipChoice, error) {
	if err := actor.Require(access.PermEnrollmentRead); err != nil {
		return nil, err
	}
	var out []*MembershipChoice
	err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		es, err := byIDs(ctx, tx, actor.Scope(), []ident.ID{id})
		if err != nil {
			return err
		}
		e := es[id]
		if e == nil {
			return fault.NotFound("enrollmentId")
		}
		ids, err := proofsOf(ctx, tx, e.ID)
		if err != nil || len(ids) == 0 {
			return err
		}
		ms, err := s.registers.Load(ctx, tx, ids...)
		if err != nil {
			return err
		}
		out = nil
		for _, id := range ids {
			if m := ms[id]; m != nil {
				c, err := s.judge(ctx, tx, e, m)
				if err != nil {
					return err
				}
				out = append(out, c)
			}
		}
		return nil
	})
	return out, err
}

// SelectProgrammeID links a proved membership's programme ID to a draft, or
// with nil asks for a new one. The membership of a company that the register
// knows as enrolled fills in legal profile and primary contact, so that only
// the support profile is left to supply. Errors: ROLE_REQUIRED, NOT_FOUND,
// CONFLICT, ENROLLMENT_STATE, and at membershipId MEMBERSHIP_UNKNOWN for one
// that was not proved, PROFILE_INACTIVE, OTHER_COUNTRY, PROGRAMME_ID_TAKEN.
func (s *Service) SelectProgrammeID(ctx context.Context, actor access.Actor, in SelectProgrammeIDInput) (*Enrollment, error) {
	var out *Enrollment
	err := s.change(ctx, actor, in.EnrollmentID, in.ExpectedVersion, func(ctx context.Context, tx *database.Tx, e *Enrollment) error {
		if e.Status != Draft {
			return stateFault("enrollmentId", e)
		}
		out = e
		n := Entry{Kind: EntryProgrammeIDSelected}
		if in.MembershipID == nil {
			if e.MembershipID == nil {
				return nil
			}
			e.MembershipID, e.ProgrammeID, e.AlreadyEnrolled = nil, "", false
		} else {
			m, err := s.selectable(ctx, tx, e, *in.MembershipID)
			if err != nil {
				return err
			}
			e.MembershipID, e.ProgrammeID, e.AlreadyEnrolled = &m.ID, m.ProgrammeID, m.Enrolled
			if m.Enrolled {
				p := m.Profile()
				p.Support, p.Address.Country = e.Profile.Support, e.Country
				e.fill(p)
			}
			n.Note = m.ProgrammeID
		}
		if err := s.note(ctx, tx, actor, e, n); err != nil {
			return err
		}
		if err := s.touch(ctx, tx, e); err != nil {
			return err
		}
		return audit.Record(ctx, tx, actor, audit.Act{Action: "enrollment.programme_id_selected", TargetID: e.ID, Changed: []string{"programmeId"}})
	})
	return out, err
}

// selectable reads a membership that was proved for the draft and can be
// selected.
func (s *Service) selectable(ctx context.Context, tx *database.Tx, e *Enrollment, id ident.ID) (*register.Membership, error) {
	ok, err := proved(ctx, tx, e.ID, id)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fault.Invalid("membershipId", CodeMembershipUnknown)
	}
	ms, err := s.registers.Load(ctx, tx, id)
	if err != nil {
		return nil, err
	}
	m := ms[id]
	if m == nil { // an import removed it since
		return nil, fault.Invalid("membershipId", CodeMembershipUnknown)
	}
	c, err := s.judge(ctx, tx, e, m)
	if err != nil {
		return nil, err
	}
	if !c.Selectable {
		return nil, fault.Invalid("membershipId", string(c.Reason))
	}
	return m, nil
}

// vetProgrammeID says why the selected programme ID cannot be linked any more,
// "" where it can or where none is selected.
func (s *Service) vetProgrammeID(ctx context.Context, tx *database.Tx, e *Enrollment) (string, error) {
	if e.MembershipID == nil || e.Purpose != Admission {
		return "", nil
	}
	_, err := s.selectable(ctx, tx, e, *e.MembershipID)
	if f := fault.As(err); f != nil {
		if f.Code == string(ChoiceTaken) {
			return partner.CodeDuplicate, nil
		}
		return f.Code, nil
	}
	return "", err
}
