package app_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/http"
	"net/mail"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/net/html"
)

// page is what the person has in front of it: a page of the product, or a
// mail.
type page struct {
	path   string
	source string
	text   string
	doc    *html.Node
	mail   *letter
}

func newPage(a answer) page {
	p := page{source: string(a.body), text: squeeze(string(a.body))}
	if a.url != nil {
		p.path = a.url.Path
	}
	if strings.HasPrefix(a.header.Get("Content-Type"), "text/html") {
		if doc, err := html.Parse(bytes.NewReader(a.body)); err == nil {
			var b strings.Builder
			read(doc, &b)
			p.doc, p.text = doc, squeeze(b.String())
		}
	}
	return p
}

func squeeze(s string) string { return strings.Join(strings.Fields(s), " ") }

// read collects what a person reads on a page.
func read(n *html.Node, b *strings.Builder) {
	switch {
	case n.Type == html.TextNode:
		b.WriteString(n.Data + " ")
	case n.Type == html.ElementNode && (n.Data == "script" || n.Data == "style" || n.Data == "head"):
		return
	}
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		read(c, b)
	}
}

func attr(n *html.Node, name string) (string, bool) {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val, true
		}
	}
	return "", false
}

func walk(n *html.Node, visit func(*html.Node)) {
	visit(n)
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		walk(c, visit)
	}
}

// doVisit opens a page, as a link or a typed address does.
func (s *story) doVisit(_ *testscript.TestScript, _ bool, args []string) error {
	path := strings.TrimPrefix(args[0], "http://"+s.addr)
	path, _, _ = strings.Cut(path, "#") // a browser sends no fragment
	a, err := s.send(s.who, http.MethodGet, path, nil, http.Header{"Accept": {"text/html"}})
	if err != nil {
		return err
	}
	s.last, s.page, s.again = a, newPage(a), nil
	return nil
}

// doSubmit posts a form of the page in the way of a browser without scripts:
// ACTION [as=EMAIL] [name=value…]. Fields that are not named keep what they
// hold; a field that the form does not have cannot be filled in.
func (s *story) doSubmit(ts *testscript.TestScript, _ bool, args []string) error {
	if s.page.doc == nil {
		return errors.New("there is no page with a form")
	}
	form := formOf(s.page.doc, args[0])
	if form == nil {
		return fmt.Errorf("no form leads to %s on: %s", args[0], s.page.text)
	}
	values, names := filled(form)
	given, err := pairs(ts, args[1:])
	if err != nil {
		return err
	}
	if email, ok := given["as"].(string); ok { // fills in who somebody is
		delete(given, "as")
		if names["email"] {
			given["email"] = email
		}
		given["password"] = s.passwords[email]
	}
	for name, v := range given {
		if !names[name] {
			return fmt.Errorf("the form has no field %s", name)
		}
		values.Set(name, fmt.Sprint(v))
	}
	action, _ := attr(form, "action")
	a, err := s.send(s.who, http.MethodPost, action, strings.NewReader(values.Encode()),
		http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Accept": {"text/html"}})
	if err != nil {
		return err
	}
	s.last, s.page, s.again = a, newPage(a), nil
	return nil
}

func formOf(doc *html.Node, action string) *html.Node {
	var out *html.Node
	walk(doc, func(n *html.Node) {
		if to, ok := attr(n, "action"); ok && n.Data == "form" && out == nil && (to == action || strings.HasSuffix(to, "/"+action)) {
			out = n
		}
	})
	return out
}

// filled is what a form would send as it stands, and every field it has.
func filled(form *html.Node) (url.Values, map[string]bool) {
	values, names := url.Values{}, map[string]bool{}
	walk(form, func(n *html.Node) {
		name, ok := attr(n, "name")
		if !ok || n.Type != html.ElementNode {
			return
		}
		names[name] = true
		value, _ := attr(n, "value")
		switch n.Data {
		case "input":
			kind, _ := attr(n, "type")
			if _, checked := attr(n, "checked"); checked || kind != "checkbox" && kind != "radio" {
				values.Set(name, value)
			}
		case "textarea":
			var b strings.Builder
			read(n, &b)
			values.Set(name, strings.TrimSpace(b.String()))
		case "select":
			walk(n, func(o *html.Node) {
				if _, chosen := attr(o, "selected"); o.Data == "option" && chosen {
					v, _ := attr(o, "value")
					values.Set(name, v)
				}
			})
		}
	})
	return values, names
}

// doHold keeps the page, doBack returns to it, as the button of the browser.
func (s *story) doHold(*testscript.TestScript, bool, []string) error {
	s.held = s.page
	return nil
}

func (s *story) doBack(*testscript.TestScript, bool, []string) error {
	s.page = s.held
	return nil
}

// doSee looks for words in what is in front of the person.
func (s *story) doSee(_ *testscript.TestScript, neg bool, args []string) error {
	if strings.Contains(s.page.text, squeeze(args[0])) == neg {
		return fmt.Errorf("%q: %v in: %s", args[0], !neg, s.page.text)
	}
	return nil
}

// doSource looks into the source of the page, or of the HTML part of a mail.
func (s *story) doSource(_ *testscript.TestScript, neg bool, args []string) error {
	if strings.Contains(s.page.source, args[0]) == neg {
		return fmt.Errorf("%q: %v in: %s", args[0], !neg, s.page.source)
	}
	return nil
}

// ---- mail ----

// letter is a mail as GET /dev/mail tells it.
type letter struct {
	ID        string   `json:"id"`
	To        []string `json:"to"`
	Subject   string   `json:"subject"`
	Locale    string   `json:"locale"`
	MessageID string   `json:"message_id"`
	Headers   []struct{ Name, Value string }
	Text      string
	HTML      string
	Links     []struct{ URL, Token, Purpose string }
	Received  time.Time
}

// mails lists the mailbox, oldest first.
func (s *story) mails(to string) ([]letter, error) {
	if s.smtp != nil {
		var out []letter
		for i, m := range s.smtp.copies(to) {
			l, err := readLetter(m)
			if err != nil {
				return nil, err
			}
			l.ID = fmt.Sprint(to, i)
			out = append(out, l)
		}
		return out, nil
	}
	a, err := s.send(s.person("nobody"), http.MethodGet, "/dev/mail?to="+url.QueryEscape(to), nil, http.Header{"Accept": {"application/json"}})
	if err != nil {
		return nil, err
	}
	var in struct{ Mails []letter }
	if err := json.Unmarshal(a.body, &in); err != nil {
		return nil, fmt.Errorf("the mailbox answered %d %s", a.status, a.body)
	}
	slices.Reverse(in.Mails)
	return in.Mails, nil
}

var aLink = regexp.MustCompile(`https?://[^\s<>"]+#(cg[a-z]_[A-Za-z0-9_-]+)`)

// readLetter reads a mail that the story's own mail server took.
func readLetter(m received) (letter, error) {
	l := letter{To: []string{m.To}, MessageID: strings.Trim(m.MessageID, "<>")}
	msg, err := mail.ReadMessage(bytes.NewReader(m.Raw))
	if err != nil {
		return l, err
	}
	if l.Subject, err = new(mime.WordDecoder).DecodeHeader(m.Subject); err != nil {
		return l, err
	}
	l.Locale = msg.Header.Get("Content-Language")
	if err := l.part(msg.Header.Get, msg.Body); err != nil {
		return l, err
	}
	for _, x := range aLink.FindAllStringSubmatch(l.Text, -1) {
		l.Links = append(l.Links, struct{ URL, Token, Purpose string }{x[0], x[1], ""})
	}
	return l, nil
}

func (l *letter) part(header func(string) string, body io.Reader) error {
	kind, params, err := mime.ParseMediaType(header("Content-Type"))
	if err != nil {
		return err
	}
	if strings.HasPrefix(kind, "multipart/") {
		r := multipart.NewReader(body, params["boundary"])
		for {
			p, err := r.NextRawPart()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			if err := l.part(p.Header.Get, p); err != nil {
				return err
			}
		}
	}
	switch strings.ToLower(header("Content-Transfer-Encoding")) {
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	}
	raw, err := io.ReadAll(body)
	if kind == "text/plain" {
		l.Text = string(raw)
	} else {
		l.HTML = string(raw)
	}
	return err
}

// unread finds the mails to an address [with words in their subject] that the
// story has not read yet. The copy of a mail whose sender was killed after the
// dot, before it could write that down, is the same mail: it has its Message-ID.
func (s *story) unread(m map[string]any) ([]letter, []letter, error) {
	all, err := s.mails(word(m, "to", ""))
	if err != nil {
		return nil, nil, err
	}
	var out []letter
	for _, l := range all {
		if !s.seen[l.ID] && !(s.killed && s.read[l.MessageID]) && strings.Contains(strings.ToLower(l.Subject), strings.ToLower(word(m, "subject", ""))) {
			out = append(out, l)
		}
	}
	return out, all, nil
}

// doMail waits for a mail and opens it: to=ADDRESS [subject=WORDS] [lang=it].
// Its
// link and the code in it become $link and $code, its Message-ID $messageid.
func (s *story) doMail(ts *testscript.TestScript, _ bool, args []string) error {
	m, err := pairs(ts, args)
	if err != nil {
		return err
	}
	var l letter
	if err := poll(func() error {
		found, all, err := s.unread(m)
		if err != nil {
			return err
		}
		if len(found) == 0 {
			var subjects []string
			for _, a := range all {
				subjects = append(subjects, a.Subject)
			}
			return fmt.Errorf("no such mail to %s; there are %q", word(m, "to", "anybody"), subjects)
		}
		l = found[0]
		return nil
	}); err != nil {
		return err
	}
	if want := word(m, "lang", l.Locale); want != l.Locale {
		return fmt.Errorf("the mail is in %s", l.Locale)
	}
	s.seen[l.ID], s.read[l.MessageID] = true, true
	s.page = page{source: l.HTML, text: squeeze(l.Subject + "\n" + l.Text), mail: &l}
	if len(l.Links) > 0 && l.Links[0].Token != "" {
		ts.Setenv("link", l.Links[0].URL)
		ts.Setenv("code", l.Links[0].Token)
	}
	ts.Setenv("messageid", l.MessageID)
	return nil
}

// doNoMail settles everything and finds no further mail.
func (s *story) doNoMail(ts *testscript.TestScript, _ bool, args []string) error {
	m, err := pairs(ts, args)
	if err != nil {
		return err
	}
	if err := s.doSettle(ts, false, nil); err != nil {
		return err
	}
	found, _, err := s.unread(m)
	if err == nil && len(found) > 0 {
		err = fmt.Errorf("there is a mail to %v: %s", found[0].To, found[0].Subject)
	}
	return err
}

// doHeader looks at a header field of the open mail: NAME ~REGEXP or VALUE.
func (s *story) doHeader(_ *testscript.TestScript, _ bool, args []string) error {
	if s.page.mail == nil {
		return errors.New("no mail is open")
	}
	for _, h := range s.page.mail.Headers {
		if ok, err := matches(h.Value, true, args[1]); strings.EqualFold(h.Name, args[0]) && (ok || err != nil) {
			return err
		}
	}
	return fmt.Errorf("no field %s is %s among %v", args[0], args[1], s.page.mail.Headers)
}

// doBounce lets the newest mail to an address come back, by the button of the
// mailbox.
func (s *story) doBounce(_ *testscript.TestScript, _ bool, args []string) error {
	all, err := s.mails(args[0])
	if err != nil {
		return err
	}
	if len(all) == 0 {
		return errors.New("no mail went there")
	}
	a, err := s.send(s.person("nobody"), http.MethodPost, "/mailbox/m/"+all[len(all)-1].ID+"/bounce", nil, http.Header{})
	if err != nil {
		return err
	}
	if a.status != http.StatusOK || !strings.Contains(a.url.RawQuery, "done=bounced") {
		return fmt.Errorf("the mailbox answered %d at %s", a.status, a.url)
	}
	return nil
}

// doFaults lets the mailbox misbehave: MODE [TIMES], -1 until it is told off.
func (s *story) doFaults(_ *testscript.TestScript, _ bool, args []string) error {
	times := "1"
	if len(args) == 2 {
		times = args[1]
	}
	a, err := s.send(s.person("nobody"), http.MethodPost, "/dev/mail/faults", strings.NewReader(fmt.Sprintf(`{"mode":%q,"times":%s}`, args[0], times)),
		http.Header{"Content-Type": {"application/json"}})
	if err == nil && a.status != http.StatusOK {
		err = fmt.Errorf("the mailbox answered %d %s", a.status, a.body)
	}
	return err
}

// doSMTP steers the story's own mail server: "external" has one, before the
// start; "down" and "up"; "hang rcpt|data|taken" lets conversations hang at
// that point, "held N" waits until N do, "release" lets them go on.
func (s *story) doSMTP(ts *testscript.TestScript, _ bool, args []string) error {
	if args[0] == "external" {
		var err error
		if s.smtp, err = newSMTPServer(); err == nil {
			to := "smtp://" + s.smtp.addr + "?tls=none"
			s.env = append(s.env, "CHANNELGRAPH_SMTP_URL="+to)
			ts.Setenv("SMTP", to)
			ts.Setenv("SMTPADDR", s.smtp.addr)
		}
		return err
	}
	if s.smtp == nil {
		return errors.New("say smtp external first")
	}
	switch args[0] {
	case "down":
		s.smtp.down()
		return nil
	case "up":
		return s.smtp.up()
	case "hang":
		s.smtp.setHang(args[1])
		return nil
	case "release":
		s.smtp.setHang("")
		return nil
	case "held":
		var n int
		if _, err := fmt.Sscan(args[1], &n); err != nil {
			return err
		}
		return s.smtp.holding(n)
	}
	return fmt.Errorf("smtp cannot %s", args[0])
}

// doEveryone finds exactly one mail for each address that doCatch asked.
func (s *story) doEveryone(ts *testscript.TestScript, _ bool, _ []string) error {
	for _, asked := range s.crowd {
		if err := s.doCopies(ts, false, []string{word(asked, "email", ""), "1"}); err != nil {
			return err
		}
	}
	return nil
}

// doCopies counts the copies of mails that the story's own server took for an
// address; copies of one mail must be alike in Message-ID and Date.
func (s *story) doCopies(ts *testscript.TestScript, _ bool, args []string) error {
	if err := s.doSettle(ts, false, nil); err != nil {
		return err
	}
	got := s.smtp.copies(args[0])
	for _, m := range got {
		if m.MessageID != got[0].MessageID || m.Date != got[0].Date {
			return fmt.Errorf("two mails instead of copies of one: %s and %s", got[0].MessageID, m.MessageID)
		}
	}
	return enough(len(got), args[1], args[0])
}
