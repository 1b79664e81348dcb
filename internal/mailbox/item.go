package mailbox

import (
	"bytes"
	"encoding/base64"
	"html"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/url"
	"path"
	"regexp"
	"strings"
	"time"
)

// Item is a mail as people and tests read it.
type Item struct {
	ID string `json:"id"`
	// Received is when it arrived, by the house's clock.
	Received time.Time `json:"received"`
	// From and To are the envelope's.
	From    string   `json:"from"`
	To      []string `json:"to"`
	Subject string   `json:"subject"`
	// Date is the mail's own.
	Date      time.Time `json:"date"`
	Locale    string    `json:"locale"`
	MessageID string    `json:"message_id"`
	Headers   []Header  `json:"headers"`
	Text      string    `json:"text"`
	HTML      string    `json:"html"`
	// Links are those of the text and the HTML part, each once; the ones
	// that carry a token come first.
	Links []Link `json:"links"`
	// Size is that of the raw mail in bytes.
	Size int `json:"size"`
}

// Header is one header field, decoded.
type Header struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Link is a link of a mail. Token is its fragment; Purpose the last part of
// the path it leads to.
type Link struct {
	URL     string `json:"url"`
	Token   string `json:"token"`
	Purpose string `json:"purpose"`
}

const maxDepth = 5

// parse reads a mail; what cannot be read stays empty, the raw mail is there.
func parse(s stored) Item {
	i := Item{ID: s.ID, Received: s.Received, From: s.From, To: s.To, Size: len(s.Raw), Headers: []Header{}, Links: []Link{}}
	msg, err := mail.ReadMessage(bytes.NewReader(s.Raw))
	if err != nil {
		return i
	}
	i.Headers = headers(s.Raw)
	i.Subject, i.MessageID = decode(msg.Header.Get("Subject")), strings.Trim(msg.Header.Get("Message-Id"), "<> ")
	i.Locale = msg.Header.Get("Content-Language")
	if d, err := msg.Header.Date(); err == nil {
		i.Date = d.UTC()
	}
	i.part(msg.Header.Get, msg.Body, 0)
	i.Links = links(i.Text, i.HTML)
	return i
}

func (i *Item) part(header func(string) string, body io.Reader, depth int) {
	kind, params, err := mime.ParseMediaType(header("Content-Type"))
	if err != nil {
		kind = "text/plain"
	}
	if strings.HasPrefix(kind, "multipart/") && params["boundary"] != "" && depth < maxDepth {
		r := multipart.NewReader(body, params["boundary"])
		for {
			p, err := r.NextRawPart()
			if err != nil {
				return
			}
			i.part(p.Header.Get, p, depth+1)
		}
	}
	switch strings.ToLower(strings.TrimSpace(header("Content-Transfer-Encoding"))) {
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	}
	raw, _ := io.ReadAll(body)
	text := strings.ToValidUTF8(strings.ReplaceAll(string(raw), "\r\n", "\n"), "\uFFFD")
	switch {
	case kind == "text/plain" && i.Text == "":
		i.Text = text
	case kind == "text/html" && i.HTML == "":
		i.HTML = text
	}
}

func decode(s string) string {
	if d, err := new(mime.WordDecoder).DecodeHeader(s); err == nil {
		return d
	}
	return s
}

// headers keeps the fields in their order, unfolded.
func headers(raw []byte) []Header {
	head, _, _ := strings.Cut(strings.ReplaceAll(string(raw), "\r\n", "\n"), "\n\n")
	var out []Header
	for line := range strings.SplitSeq(head, "\n") {
		if n := len(out); n > 0 && (strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t")) {
			out[n-1].Value += " " + strings.TrimSpace(line)
			continue
		}
		if name, value, ok := strings.Cut(line, ":"); ok {
			out = append(out, Header{Name: name, Value: strings.TrimSpace(value)})
		}
	}
	for i := range out {
		out[i].Value = decode(out[i].Value)
	}
	return out
}

var (
	inText = regexp.MustCompile(`https?://[^\s<>"']+`)
	inHTML = regexp.MustCompile(`(?i)href="(https?://[^"]+)"`)
)

func links(text, markup string) []Link {
	var plain []Link
	out := []Link{}
	seen := map[string]bool{}
	add := func(s string) {
		if seen[s] {
			return
		}
		seen[s] = true
		u, err := url.Parse(s)
		if err != nil {
			return
		}
		l := Link{URL: s, Token: u.Fragment}
		if p := path.Base(u.Path); p != "." && p != "/" {
			l.Purpose = p
		}
		if l.Token != "" {
			out = append(out, l)
		} else {
			plain = append(plain, l)
		}
	}
	for _, s := range inText.FindAllString(text, -1) {
		add(strings.TrimRight(s, ".,;:!?)"))
	}
	for _, s := range inHTML.FindAllStringSubmatch(markup, -1) {
		add(html.UnescapeString(s[1]))
	}
	return append(out, plain...)
}
