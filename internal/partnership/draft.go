package partnership

import (
	"net/url"
	"strings"
	"time"

	"github.com/channelgraph/channelgraph/internal/address"
	"github.com/channelgraph/channelgraph/internal/fault"
)

// Draft is the text of a request for a person's own mail program or
// clipboard, or to be sent by channelgraph.
type Draft struct {
	Locale  string
	Subject string
	// Text holds the personal link.
	Text string
	// ClipboardText is subject and text together.
	ClipboardText string
	// MailtoURL opens the person's own mail program; nil while there are
	// problems.
	MailtoURL *string
	Link      *Link
	// Problems say what is wrong with the person's own subject or text.
	Problems []fault.Problem
}

// wording is the request in one language; {link}, {company} and {name} are
// filled in.
var wording = map[string]struct{ subject, text string }{
	"en": {
		subject: "Invitation to partner with {company}",
		text: "Hello,\n\n" +
			"{company} would like to work with you as your indirect provider. Once you authorize us, we can submit orders for you, " +
			"add subscriptions for your customers and help you look after their accounts.\n\n" +
			"Please open this link, sign in as a global admin of your company and authorize {company} as your indirect provider:\n\n{link}\n\n" +
			"Kind regards\n{name}\n{company}",
	},
	"it": {
		subject: "Invito a collaborare con {company}",
		text: "Buongiorno,\n\n" +
			"{company} desidera collaborare con voi come vostro provider indiretto. Dopo la vostra autorizzazione potremo inviare ordini per vostro conto, " +
			"aggiungere sottoscrizioni per i vostri clienti e aiutarvi a gestirne gli account.\n\n" +
			"Aprite questo collegamento, accedete come amministratore globale della vostra azienda e autorizzate {company} come provider indiretto:\n\n{link}\n\n" +
			"Cordiali saluti\n{name}\n{company}",
	},
}

func compose(locale, company, name string, link *Link) *Draft {
	w := wording[locale]
	fill := strings.NewReplacer("{company}", company, "{name}", name, "{link}", link.URL)
	d := &Draft{Locale: locale, Subject: fill.Replace(w.subject), Text: fill.Replace(w.text), Link: link}
	d.finish()
	return d
}

// take replaces subject and text by the person's own and notes problems; a
// link that leads nowhere now is one whoever wrote the text.
func (d *Draft) take(in DraftInput, now time.Time) {
	var p fault.Problems
	switch d.Link.StateAt(now) {
	case LinkPaused:
		p.Add("text", CodeLinkPaused)
	case LinkExpired:
		p.Add("text", CodeLinkExpired)
	}
	if in.Subject != nil {
		s, err := address.Line(*in.Subject, maxSubject)
		_ = p.Merge("subject", err)
		if err == nil && s == "" {
			p.Add("subject", fault.CodeRequired)
		}
		d.Subject = s
	}
	if in.Text != nil {
		// the person's own mail program sends it: only the link is asked for
		clean, err := address.PlainText(*in.Text, maxText+len(d.Link.URL))
		_ = p.Merge("text", err)
		if err == nil && !holdsLink(clean, d.Link.URL) {
			p.Add("text", CodeLinkMissing)
		}
		d.Text = clean
	}
	if f := fault.As(p.Err()); f != nil {
		for i := range f.Problems {
			f.Problems[i].Path = f.Problems[i].Path[1:] // arguments, not an input
		}
		d.Problems = f.Problems
	}
	d.finish()
}

func (d *Draft) finish() {
	d.ClipboardText = d.Subject + "\n\n" + d.Text
	d.MailtoURL = nil
	if len(d.Problems) == 0 {
		// RFC 6068: spaces as %20, line ends as CRLF
		m := "mailto:?subject=" + escape(d.Subject) + "&body=" + escape(strings.ReplaceAll(d.Text, "\n", "\r\n"))
		d.MailtoURL = &m
	}
}

func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
