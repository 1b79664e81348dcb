package web

import (
	"net/http"
	"slices"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/file"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/secret"
	"github.com/channelgraph/channelgraph/internal/support"
)

const supportPath = support.LinkPath

// supportRoutes are the pages of the link in mails about support requests.
func (s *server) supportRoutes() {
	s.page("GET "+supportPath, s.codePage("support", supportPath, "support.title", "support.code"))
	s.form("POST "+supportPath+"/preview", s.supportPreview)
	s.form("POST "+supportPath+"/sign-in", s.supportSignIn)
	s.form("POST "+supportPath+"/switch", s.supportSwitch)
	s.form("POST "+supportPath+"/reply", s.supportReply)
	s.form("POST "+supportPath+"/close", s.supportClose)
	s.form("POST "+supportPath+"/reopen", s.supportReopen)
	s.page("GET "+supportPath+"/{outcome}", s.supportDone)
}

// supportData is the page of a support request. The code alone shows nothing:
// whoever follows it signs in.
type supportData struct {
	Code    string
	SignIn  *form
	Request *support.Request
	Thread  []supportLine
	// Account and the rest say who is signed in.
	Account, AccountOrganization, Email string
	Status                              string
	Closed, MayAct, MayReopen, Operator bool
	Attention                           bool
	// Key makes a second press of the button the same message.
	Key string
	// Text is what is answered, EndText what is said with the end.
	Text, EndText field
	// Unknown says that the signed-in person finds nothing here.
	Unknown bool
}

// supportLine is one line of the thread in words.
type supportLine struct {
	Who, What, Text string
	At              time.Time
	Mine, Internal  bool
	Files           []*file.File
}

func (s *server) supportView(r *http.Request, v *visit) (*view, *supportData, error) {
	t := func(key string, kv ...string) string { return text(v.locale, key, kv...) }
	code := codeOf(r)
	d := &supportData{Code: code, Key: secret.NewToken("web").Reveal()}
	p := &view{Title: t("support.title"), Here: "support", Code: code, Data: d}
	if v.actor.IsAnonymous() {
		f := signInForm(v.locale, supportPath+"/sign-in", r.PostForm.Get("email"))
		f.Code, d.SignIn = code, &f
		return p, d, nil
	}
	org, err := s.organization(r, v.actor)
	if err != nil {
		return nil, nil, err
	}
	d.Account, d.AccountOrganization, d.Email = v.actor.Name, org.Name, v.actor.Email
	if d.Request, err = s.Support.ByCode(r.Context(), v.actor, code); err != nil {
		return nil, nil, err
	}
	if d.Request == nil {
		d.Unknown, p.Title = true, t("support.unknown")
		return p, d, nil
	}
	if err := s.supportThread(r, v, d); err != nil {
		return nil, nil, err
	}
	q := d.Request
	d.Status, d.Closed, d.Operator = t("support.status."+string(q.Status)), q.Status == support.Closed, v.actor.IsOperator()
	d.MayAct = v.actor.Can(access.PermSupportRequest) || v.actor.Can(access.PermSupportWork)
	d.MayReopen = d.Closed && d.MayAct && s.DB.Now().Before(*q.ReopenUntil())
	d.Attention = r.PostForm.Get("attention") != ""
	d.Text = field{Name: "text", Label: t("field.support.text"), Hint: t("field.support.text.hint"), Type: "area", Max: support.MaxText, Value: r.PostForm.Get("text")}
	d.EndText = field{Name: "text", Label: t("field.support.end"), Type: "area", Max: support.MaxText, Value: r.PostForm.Get("text"), Optional: !d.Operator}
	p.Title = q.Subject
	return p, d, nil
}

// supportThread puts the thread into words.
func (s *server) supportThread(r *http.Request, v *visit, d *supportData) error {
	threads, err := s.Support.Threads(r.Context(), v.actor, []ident.ID{d.Request.ID})
	if err != nil {
		return err
	}
	entries := threads[d.Request.ID]
	ids := make([]ident.ID, len(entries))
	for i, n := range entries {
		ids[i] = n.ID
	}
	files := map[ident.ID][]*file.File{}
	if s.File != nil {
		if files, err = s.File.Of(r.Context(), v.actor, ids); err != nil {
			return err
		}
	}
	for _, n := range entries {
		line := supportLine{Who: n.ActorName, Text: n.Text, At: n.At, Mine: n.ActorID == v.actor.UserID && n.ActorID != "", Internal: n.OperatorOnly, Files: files[n.ID]}
		if n.Side == support.Operator && line.Who == "" {
			line.Who = text(v.locale, "support.operator")
		}
		if n.Kind != support.EntryMessage {
			kv := []string{}
			if n.UntilAt != nil {
				kv = append(kv, "date", moment(v.locale, *n.UntilAt))
			}
			line.What = text(v.locale, "support.entry."+string(n.Kind), append(kv, "text", n.Text)...)
		}
		if n.Kind == support.EntryWarned || n.Kind == support.EntryAssigned {
			line.Text = ""
		}
		d.Thread = append(d.Thread, line)
	}
	return nil
}

func (s *server) supportPreview(w http.ResponseWriter, r *http.Request, v *visit) error {
	p, d, err := s.supportView(r, v)
	if err != nil {
		return err
	}
	status := http.StatusOK
	if d.Unknown {
		status = http.StatusNotFound
	}
	return s.show(w, r, status, "support", p)
}

// supportAgain shows the request once more with what went wrong.
func (s *server) supportAgain(w http.ResponseWriter, r *http.Request, v *visit, err error) error {
	if fault.As(err) == nil {
		return err
	}
	p, d, again := s.supportView(r, v)
	if again != nil {
		return again
	}
	status := http.StatusNotFound
	if !d.Unknown {
		if status, err = s.refuse(w, r, p, err); err != nil {
			return err
		}
	}
	return s.show(w, r, status, "support", p)
}

func (s *server) supportSignIn(w http.ResponseWriter, r *http.Request, v *visit) error {
	if _, _, err := s.open(w, r, v, r.PostForm.Get("email"), r.PostForm.Get("password")); err != nil {
		return s.supportAgain(w, r, v, err)
	}
	goOnTo(w, supportPath+"/preview")
	return nil
}

func (s *server) supportSwitch(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := s.leave(w, r, v); err != nil {
		return err
	}
	goOnTo(w, supportPath+"/preview")
	return nil
}

// supportAct performs a verb on the request that the code leads to.
func (s *server) supportAct(w http.ResponseWriter, r *http.Request, v *visit, outcome string, act func(id ident.ID) (*support.Request, error)) error {
	if v.actor.IsAnonymous() {
		return s.supportAgain(w, r, v, fault.Unauthenticated())
	}
	q, err := s.Support.ByCode(r.Context(), v.actor, codeOf(r))
	if err != nil {
		return err
	}
	if q == nil {
		return s.supportAgain(w, r, v, fault.NotFound("code"))
	}
	if _, err := act(q.ID); err != nil {
		return s.supportAgain(w, r, v, err)
	}
	goTo(w, supportPath+"/"+outcome)
	return nil
}

func (s *server) supportReply(w http.ResponseWriter, r *http.Request, v *visit) error {
	return s.supportAct(w, r, v, "sent", func(id ident.ID) (*support.Request, error) {
		in := support.ReplyInput{RequestID: id, Text: r.PostForm.Get("text"), NeedsAttention: r.PostForm.Get("attention") == "yes"}
		if key := r.PostForm.Get("key"); key != "" {
			in.IdempotencyKey = &key
		}
		return s.Support.Reply(r.Context(), v.actor, in)
	})
}

func (s *server) supportClose(w http.ResponseWriter, r *http.Request, v *visit) error {
	return s.supportAct(w, r, v, "closed", func(id ident.ID) (*support.Request, error) {
		said := r.PostForm.Get("text")
		return s.Support.Close(r.Context(), v.actor, support.CloseInput{RequestID: id, Text: &said})
	})
}

func (s *server) supportReopen(w http.ResponseWriter, r *http.Request, v *visit) error {
	return s.supportAct(w, r, v, "reopened", func(id ident.ID) (*support.Request, error) {
		return s.Support.Reopen(r.Context(), v.actor, support.ReopenInput{RequestID: id, Text: r.PostForm.Get("text")})
	})
}

func (s *server) supportDone(w http.ResponseWriter, r *http.Request, v *visit) error {
	outcome := r.PathValue("outcome")
	if slices.Contains([]string{"preview", "sign-in", "switch", "reply", "close", "reopen"}, outcome) {
		goTo(w, supportPath)
		return nil
	}
	if !slices.Contains([]string{"sent", "closed", "reopened"}, outcome) {
		return errNoRoute
	}
	here := "support-" + outcome
	return s.show(w, r, http.StatusOK, "done", &view{Title: text(v.locale, "done."+here), Here: here,
		Data: &doneData{Outcome: here, Text: text(v.locale, "done."+here+".text")}})
}
