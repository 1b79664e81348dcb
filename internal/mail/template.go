package mail

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	htmltemplate "html/template"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	texttemplate "text/template"
	"time"
	"unicode/utf8"

	"github.com/channelgraph/channelgraph/internal/address"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
)

//go:embed templates
var templateFiles embed.FS

// A template is a folder with <locale>.subject, <locale>.txt and
// <locale>.html for each language, and sample.json:
//
//	{"data": {"Name": "…"}, "optional": ["Note"], "link": {"purpose": "…", "prefix": "…", "path": "/…"}, "reminder": false}
//
// whose data keys are all that a draft may give. The layout folder holds what
// all share.
type templates struct {
	byName map[string]*kind
}

type kind struct {
	sample sample
	parts  map[string]parts // by locale
}

type sample struct {
	Data     map[string]string `json:"data"`
	Optional []string          `json:"optional"`
	Link     *struct {
		Purpose string `json:"purpose"`
		Prefix  string `json:"prefix"`
		Path    string `json:"path"`
	} `json:"link"`
	Reminder bool `json:"reminder"`
}

type parts struct {
	subject *texttemplate.Template
	text    *texttemplate.Template
	html    *htmltemplate.Template
}

// compiled are the templates, compiled once a process: nothing changes them.
var compiled = sync.OnceValues(loadTemplates)

func loadTemplates() (*templates, error) {
	dirs, err := fs.ReadDir(templateFiles, "templates")
	if err != nil {
		return nil, fmt.Errorf("mail templates: %w", err)
	}
	set := &templates{byName: map[string]*kind{}}
	for _, d := range dirs {
		if d.Name() == "layout" {
			continue
		}
		k, err := loadKind(d.Name())
		if err != nil {
			return nil, fmt.Errorf("mail template %s: %w", d.Name(), err)
		}
		set.byName[d.Name()] = k
	}
	return set, nil
}

func loadKind(name string) (*kind, error) {
	read := func(file string) (string, error) {
		b, err := templateFiles.ReadFile("templates/" + file)
		return string(b), err
	}
	raw, err := read(name + "/sample.json")
	if err != nil {
		return nil, err
	}
	k := &kind{parts: map[string]parts{}}
	dec := json.NewDecoder(strings.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&k.sample); err != nil {
		return nil, fmt.Errorf("sample.json: %w", err)
	}
	for _, locale := range Locales {
		var src [5]string
		for i, f := range []string{name + "/" + locale + ".subject", "layout/" + locale + ".txt", name + "/" + locale + ".txt",
			"layout/" + locale + ".html", name + "/" + locale + ".html"} {
			if src[i], err = read(f); err != nil {
				return nil, err
			}
		}
		style, err := read("layout/page.html")
		if err != nil {
			return nil, err
		}
		fn := functions(locale)
		var p parts
		if p.subject, err = texttemplate.New("subject").Option("missingkey=error").Funcs(fn).Parse(src[0]); err != nil {
			return nil, err
		}
		if p.text, err = texttemplate.New("layout").Option("missingkey=error").Funcs(fn).Parse(src[1]); err == nil {
			_, err = p.text.New("content").Parse(src[2])
		}
		if err != nil {
			return nil, err
		}
		if p.html, err = htmltemplate.New("page").Option("missingkey=error").Funcs(fn).Parse(style); err == nil {
			if _, err = p.html.New("layout").Parse(src[3]); err == nil {
				_, err = p.html.New("content").Parse(src[4])
			}
		}
		if err != nil {
			return nil, err
		}
		k.parts[locale] = p
	}
	return k, nil
}

func (t *templates) names() []string { return slices.Sorted(maps.Keys(t.byName)) }

// Templates lists the names of all templates.
func (m *Mailer) Templates() []string { return m.set.names() }

// Preview renders a template with its sample, for people who want to see what
// is mailed and for the check at start.
func (m *Mailer) Preview(template, locale string) (Rendered, error) {
	k := m.set.byName[template]
	if k == nil {
		return Rendered{}, notFound()
	}
	msg := &Message{Template: template, Locale: m.locale(locale), Recipient: "giulia.bianchi@example.com", Data: k.sample.Data}
	if l := k.sample.Link; l != nil {
		msg.LinkPurpose, msg.LinkPrefix, msg.LinkPath = l.Purpose, l.Prefix, l.Path
		msg.LinkSubjectID, msg.LinkGeneration = ident.ID("lnk_00000000000000000000000000"), 0
	}
	return m.render(msg)
}

// render makes the parts of a message; the same row gives the same bytes.
func (m *Mailer) render(msg *Message) (Rendered, error) {
	r := Rendered{Locale: msg.Locale}
	k := m.set.byName[msg.Template]
	if k == nil {
		return r, fmt.Errorf("there is no template %q", msg.Template)
	}
	if (k.sample.Link != nil) != (msg.LinkPurpose != "") {
		return r, fmt.Errorf("template %s: link given: %t, needed: %t", msg.Template, msg.LinkPurpose != "", k.sample.Link != nil)
	}
	view := map[string]any{
		"Locale": msg.Locale, "Recipient": msg.Recipient, "Product": m.cfg.ProductName, "Operator": m.cfg.Operator,
		"Abuse": m.cfg.Abuse, "Home": m.public.String() + "/", "Host": m.public.Host, "Reminder": msg.Reminder,
		"Link": "", "Token": "", "Paste": "",
	}
	for key := range msg.Data {
		if _, ok := k.sample.Data[key]; !ok {
			return r, fmt.Errorf("template %s does not know the data %q", msg.Template, key)
		}
	}
	for key := range k.sample.Data {
		v, ok := msg.Data[key]
		if !ok && !slices.Contains(k.sample.Optional, key) {
			return r, fmt.Errorf("template %s needs the data %q", msg.Template, key)
		}
		if !strings.HasSuffix(key, "Address") || !isAddress(v) {
			v = inert(v)
		}
		view[key] = v
	}
	if v, ok := view["ProgrammeOperator"]; ok && v == "" {
		view["ProgrammeOperator"] = m.cfg.Operator
	}
	if msg.LinkPurpose != "" {
		token := m.keys.Capability(msg.LinkPrefix, msg.LinkPurpose, msg.LinkSubjectID, msg.LinkGeneration).Reveal()
		paste := m.public.String() + msg.LinkPath
		view["Token"], view["Paste"], view["Link"] = token, paste, paste+"#"+token
	}
	p := k.parts[msg.Locale]
	var b bytes.Buffer
	if err := p.subject.Execute(&b, view); err != nil {
		return r, err
	}
	r.Subject = strings.TrimSpace(b.String())
	if r.Subject == "" || !address.Clean(r.Subject) || utf8.RuneCountInString(r.Subject) > 150 {
		return r, errors.New("the subject is empty, too long or not one clean line")
	}
	b.Reset()
	if err := p.text.ExecuteTemplate(&b, "layout", view); err != nil {
		return r, err
	}
	r.Text = wrap(b.String())
	view["Subject"] = r.Subject
	b.Reset()
	if err := p.html.ExecuteTemplate(&b, "page", view); err != nil {
		return r, err
	}
	r.HTML = b.String()
	return r, nil
}

// inert makes text of others harmless in a mail: hidden characters go, and
// what a mail program would make a link of is broken by a word joiner, which
// nobody sees (security decision D17).
func inert(s string) string {
	s = strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && !address.Clean(string(r)) {
			return -1
		}
		return r
	}, strings.ReplaceAll(s, "\r\n", "\n"))
	if !address.HasLink(s) {
		return s
	}
	return strings.NewReplacer(".", ".\u2060", "@", "@\u2060", ":", ":\u2060", "/", "/\u2060").Replace(s)
}

// isAddress reports whether a text is one plain address. Where the template
// says that it shows one, it stays as it is, to be copied.
func isAddress(s string) bool {
	_, err := address.Parse(s)
	return err == nil
}

// lineWidth is where paragraphs of the text part break.
const lineWidth = 76

// wrap breaks paragraphs at spaces, squeezes runs of empty lines, and ends
// with one line end. Quoted lines and lines without a space stay.
func wrap(s string) string {
	var out []string
	empty := true // no empty lines at the start
	for line := range strings.Lines(s) {
		line = strings.TrimRight(line, " \t\r\n")
		if line == "" {
			if !empty {
				out = append(out, "")
			}
			empty = true
			continue
		}
		empty = false
		if strings.HasPrefix(line, "> ") || line == ">" || line == "-- " {
			out = append(out, line)
			continue
		}
		indent := ""
		if strings.HasPrefix(line, "- ") {
			indent = "  "
		}
		out = append(out, fill(line, lineWidth, indent)...)
	}
	return strings.TrimRight(strings.Join(out, "\n"), "\n") + "\n"
}

func fill(line string, width int, indent string) []string {
	var out []string
	cur, n := "", 0
	for _, w := range strings.Fields(line) {
		l := utf8.RuneCountInString(w)
		if n > 0 && n+1+l > width {
			out = append(out, cur)
			cur, n = indent, len(indent)
			cur, n = cur+w, n+l
			continue
		}
		if n > 0 {
			cur, n = cur+" ", n+1
		}
		cur, n = cur+w, n+l
	}
	return append(out, cur)
}

func functions(locale string) map[string]any {
	return map[string]any{
		"date":     func(s string) string { return moment(locale, s, false) },
		"datetime": func(s string) string { return moment(locale, s, true) },
		// The articles of Italian dates: il 12, l'11; al 12, all'11.
		"il":    func(s string) string { return italian(s, "il ", "l'", false) },
		"al":    func(s string) string { return italian(s, "al ", "all'", false) },
		"ilOra": func(s string) string { return italian(s, "il ", "l'", true) },
		"alOra": func(s string) string { return hour(s) + italian(s, " del ", " dell'", false) },
		// sentence reads a code of ours, or the status of a delivery report.
		"sentence": func(code string) string {
			if fault.HasText(code) {
				return fault.Text(locale, code, nil)
			}
			return "(" + code + ")"
		},
		"lines": func(s string) []string { return strings.Split(s, "\n") },
		// plural chooses by a number given as text.
		"plural": func(n, one, many string) string {
			if n == "1" {
				return one
			}
			return strings.ReplaceAll(many, "#", n)
		},
		// quote sets a text as quoted lines, so that none can pass for ours.
		"quote": func(s string) string {
			var out []string
			for line := range strings.SplitSeq(s, "\n") {
				for _, f := range fill(line, lineWidth-2, "") {
					out = append(out, strings.TrimRight("> "+f, " "))
				}
			}
			return strings.Join(out, "\n")
		},
	}
}

var months = map[string][]string{
	"en": {"January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"},
	"it": {"gennaio", "febbraio", "marzo", "aprile", "maggio", "giugno", "luglio", "agosto", "settembre", "ottobre", "novembre", "dicembre"},
}

// moment writes an RFC 3339 moment in a language, in UTC; other text stays.
func moment(locale, s string, clock bool) string {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return s
	}
	return DateText(locale, t, clock)
}

func italian(s, article, elided string, clock bool) string {
	d := moment("it", s, false)
	if strings.HasPrefix(d, "8 ") || strings.HasPrefix(d, "11 ") {
		article = elided
	}
	if clock {
		d += " " + hour(s)
	}
	return article + d
}

// hour is the time of day of an RFC 3339 moment in Italian: alle 09:42 UTC.
func hour(s string) string {
	t, err := time.Parse(time.RFC3339Nano, s)
	switch {
	case err != nil:
		return ""
	case t.UTC().Hour() == 1:
		return t.UTC().Format("all'15:04 UTC")
	}
	return t.UTC().Format("alle 15:04 UTC")
}

// DateText writes a day, and with clock the time of day in UTC, as people
// read it in a language.
func DateText(locale string, t time.Time, clock bool) string {
	t = t.UTC()
	names := months[locale]
	if names == nil {
		names = months[Locales[0]]
	}
	day := strconv.Itoa(t.Day())
	if locale == "it" && t.Day() == 1 {
		day = "1º"
	}
	d := day + " " + names[t.Month()-1] + " " + strconv.Itoa(t.Year())
	if clock {
		d += t.Format(", 15:04 UTC")
	}
	return d
}
