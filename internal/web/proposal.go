package web

import (
	"net/http"
	"slices"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/partnership"
	"github.com/channelgraph/channelgraph/internal/secret"
)

const (
	proposalPath   = "/l/partnership"
	authorizedPath = proposalPath + "/authorized?partnership="
)

// proposalData is the page of a partnership invitation or personal link.
type proposalData struct {
	Proposal *partnership.Preview
	Code     string
	// Company, Country and Region are the provider's card in words.
	Company, Country, Region string
	NoteBy                   string
	// StateTitle and StateText tell of a code that is not open any more, and
	// StateNext where to find what came of it.
	StateTitle, StateText, StateNext string
	// Account and the rest say who is signed in.
	Account, AccountOrganization, Email string
	SignIn                              *form
	Refusals                            []refusal
	// NotEnrolled offers to enroll first; MayWait that the invitation waits;
	// Enroll says that this door enrolls.
	NotEnrolled, MayWait, Enroll bool
	// Key makes a second press of the button the same request.
	Key       string
	Confirmed bool
	// Sudo asks for the password once more.
	Sudo     bool
	Password field
	// ByInvitation tells a mailed invitation from a personal link, which waits
	// for nobody and needs no answer.
	ByInvitation          bool
	MayDecline, Declining bool
	ReasonField           field
}

// refusal is why the account may not authorize, and what would help.
type refusal struct{ Text, Next string }

func (s *server) proposalPage(w http.ResponseWriter, r *http.Request, v *visit) error {
	f := codeForm(v.locale, proposalPath+"/preview")
	return s.show(w, r, http.StatusOK, "link", &view{Title: text(v.locale, "proposal.title"), Here: "partnership",
		Data: &linkData{Lead: text(v.locale, "proposal.code"), Form: &f, Opening: true}})
}

func (s *server) proposalPreview(w http.ResponseWriter, r *http.Request, v *visit) error {
	p, _, err := s.proposalView(r, v)
	if err != nil {
		return err
	}
	return s.show(w, r, http.StatusOK, "proposal", p)
}

// proposalView is the card behind the posted code, as the caller may see it.
func (s *server) proposalView(r *http.Request, v *visit) (*view, *proposalData, error) {
	t := func(key string, kv ...string) string { return text(v.locale, key, kv...) }
	code := codeOf(r)
	pre, err := s.Partnership.Preview(r.Context(), v.actor, code)
	if err != nil {
		return nil, nil, err
	}
	d := &proposalData{Proposal: pre, Code: code, Company: pre.Inviter.LegalName, Confirmed: r.PostForm.Get("confirmed") != "",
		Enroll: s.Enrollment != nil,
		Key:    secret.NewToken("web").Reveal(), ByInvitation: pre.Kind == partnership.ByInvitation,
		Password: field{Name: "password", Label: t("field.password"), Type: "password", Autocomplete: "current-password"},
		ReasonField: field{Name: "reason", Label: t("field.reason"), Hint: t("field.reason.hint"), Type: "area",
			Value: r.PostForm.Get("reason"), Optional: true},
	}
	p := &view{Here: "partnership", Code: code, Data: d}
	if d.Company != "" {
		d.Country, d.Region = place(v.locale, pre.Inviter.Country, pre.Inviter.Region)
	}
	if pre.Note != "" {
		d.NoteBy = t("proposal.note", "company", d.Company)
		if pre.InviterName != "" {
			d.NoteBy = t("proposal.note.named", "name", pre.InviterName, "company", d.Company)
		}
	}
	if pre.State != partnership.ProposalOpen {
		d.describe(v.locale)
		p.Title = d.StateTitle
		return p, d, nil
	}
	p.Title = t("proposal.asks", "company", d.Company)
	if !v.actor.IsAnonymous() {
		org, err := s.organization(r, v.actor)
		if err != nil {
			return nil, nil, err
		}
		d.Account, d.AccountOrganization, d.Email = v.actor.Name, org.Name, v.actor.Email
	}
	if pre.NeedsSignIn {
		f := signInForm(v.locale, proposalPath+"/sign-in", r.PostForm.Get("email"))
		f.Code, d.SignIn = code, &f
	}
	for _, ref := range pre.Refusals {
		if ref.Code == partnership.CodeNotEnrolled {
			d.NotEnrolled = true
			continue
		}
		one := refusal{Text: fault.Text(v.locale, ref.Code, nil)}
		if ref.NextStep != "" {
			one.Next = fault.Text(v.locale, ref.NextStep, nil)
		}
		d.Refusals = append(d.Refusals, one)
	}
	d.MayWait = d.ByInvitation && !pre.Waiting && (pre.NeedsSignIn || d.NotEnrolled)
	d.MayDecline = d.ByInvitation && v.actor.Can(access.PermProviderAuthorize)
	d.Sudo = v.actor.RequireSudo(s.DB.Now()) != nil
	return p, d, nil
}

// describe puts a closed proposal into words.
func (d *proposalData) describe(locale string) {
	key, at := "proposal.state."+string(d.Proposal.State), d.Proposal.DecidedAt
	if d.Proposal.State == partnership.ProposalExpired {
		at = d.Proposal.ExpiresAt
	}
	var date string
	if at != nil {
		date = moment(locale, *at)
	}
	d.StateTitle, d.StateText = text(locale, key, "date", date), text(locale, key+".text")
	if d.Proposal.State == partnership.ProposalUnknown {
		d.StateText = text(locale, "link.unknown")
	}
	if d.Proposal.PartnershipID != "" {
		d.StateNext = text(locale, key+".next", "company", d.Company)
	}
}

// proposalAgain shows the card once more with what went wrong. A code that has
// been used meanwhile says so, which is no error of the person.
func (s *server) proposalAgain(w http.ResponseWriter, r *http.Request, v *visit, err error, change func(*proposalData)) error {
	if fault.As(err) == nil {
		return err
	}
	p, d, again := s.proposalView(r, v)
	if again != nil {
		return again
	}
	status := http.StatusOK
	switch {
	case d.Proposal.State == partnership.ProposalUnknown:
		status = http.StatusNotFound
	case d.Proposal.State == partnership.ProposalOpen || fault.KindOf(err) == fault.KindLimited:
		if status, err = s.refuse(w, r, p, err); err != nil {
			return err
		}
		if change != nil {
			change(d)
		}
	}
	return s.show(w, r, status, "proposal", p)
}

func (s *server) proposalSignIn(w http.ResponseWriter, r *http.Request, v *visit) error {
	if _, _, err := s.open(w, r, v, r.PostForm.Get("email"), r.PostForm.Get("password")); err != nil {
		return s.proposalAgain(w, r, v, err, nil)
	}
	goOnTo(w, proposalPath+"/preview")
	return nil
}

// proposalSwitch signs out and comes back to the same card.
func (s *server) proposalSwitch(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := s.leave(w, r, v); err != nil {
		return err
	}
	goOnTo(w, proposalPath+"/preview")
	return nil
}

func (s *server) proposalAuthorize(w http.ResponseWriter, r *http.Request, v *visit) error {
	if password := r.PostForm.Get("password"); password != "" && !v.actor.IsAnonymous() {
		token, session, err := s.Account.Reauthenticate(r.Context(), v.actor, v.token, secret.String(password), v.ip)
		if err != nil {
			return s.proposalAgain(w, r, v, err, nil)
		}
		s.setSession(w, token)
		v.actor.SudoUntil, v.token, v.session = session.SudoUntil, token.Reveal(), session
	}
	in := partnership.AcceptInput{Code: codeOf(r), Confirmed: r.PostForm.Get("confirmed") == "yes"}
	if key := r.PostForm.Get("key"); key != "" {
		in.IdempotencyKey = &key
	}
	made, err := s.Partnership.Accept(r.Context(), v.actor, in)
	if err != nil {
		return s.proposalAgain(w, r, v, err, nil)
	}
	goTo(w, authorizedPath+string(made.ID))
	return nil
}

func (s *server) proposalDecline(w http.ResponseWriter, r *http.Request, v *visit) error {
	_, err := s.Partnership.Decline(r.Context(), v.actor, partnership.DeclineInput{Code: codeOf(r), Reason: r.PostForm.Get("reason")})
	if err != nil {
		return s.proposalAgain(w, r, v, err, func(d *proposalData) { d.Declining = true })
	}
	goTo(w, proposalPath+"/declined")
	return nil
}

func (s *server) proposalWait(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := s.Partnership.KeepWaiting(r.Context(), v.actor, codeOf(r)); err != nil {
		return s.proposalAgain(w, r, v, err, nil)
	}
	goTo(w, proposalPath+"/waiting")
	return nil
}

func (s *server) proposalNewLink(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := s.Partnership.AskForNewLink(r.Context(), v.actor, codeOf(r)); err != nil {
		return s.proposalAgain(w, r, v, err, nil)
	}
	goTo(w, proposalPath+"/asked")
	return nil
}

// outcomes are the pages after an act; verbs lead back to the beginning for
// those who reload them.
var (
	outcomes = []string{"authorized", "declined", "waiting", "asked"}
	verbs    = []string{"preview", "sign-in", "switch", "authorize", "decline", "wait", "new-link"}
)

type doneData struct {
	Outcome, Text, Next string
}

func (s *server) proposalDone(w http.ResponseWriter, r *http.Request, v *visit) error {
	outcome := r.PathValue("outcome")
	if slices.Contains(verbs, outcome) {
		goTo(w, proposalPath)
		return nil
	}
	if !slices.Contains(outcomes, outcome) {
		return errNoRoute
	}
	d := &doneData{Outcome: outcome, Text: text(v.locale, "done."+outcome+".text")}
	p := &view{Title: text(v.locale, "done."+outcome), Here: outcome, Data: d}
	if outcome == "authorized" {
		id, name, err := s.authorized(r, v)
		if err != nil {
			return err
		}
		if id == "" {
			goTo(w, "/")
			return nil
		}
		d.Next, p.Code = text(v.locale, "done.authorized.next"), string(id)
		if name != "" {
			p.Title = text(v.locale, "done.authorized.named", "company", name)
		}
	}
	return s.show(w, r, http.StatusOK, "done", p)
}

// authorized is the partnership that the address names and its provider's
// name, "" where the caller sees none there.
func (s *server) authorized(r *http.Request, v *visit) (id ident.ID, provider string, err error) {
	id = ident.ID(r.URL.Query().Get("partnership"))
	if !id.Is(ident.Partnership) {
		return "", "", nil
	}
	made, err := s.Partnership.ByIDs(r.Context(), v.actor, []ident.ID{id})
	if err != nil || made[id] == nil {
		return "", "", err
	}
	if s.Partner == nil {
		return id, "", nil
	}
	partners, err := s.Partner.ByIDs(r.Context(), v.actor, []ident.ID{made[id].ProviderID})
	if err != nil || partners[made[id].ProviderID] == nil {
		return id, "", err
	}
	return id, partners[made[id].ProviderID].LegalName, nil
}
