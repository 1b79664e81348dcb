package secret

import (
	"bytes"
	"io"
	"regexp"
)

// tokenShape matches every token of this house, whole or cut: a prefix of cg
// and a letter, or that of a webhook secret, and what follows. It asks for no word boundary before it,
// since an escaped line break ends in a letter.
var tokenShape = regexp.MustCompile(`(cg[a-z]_)[A-Za-z0-9_-]+|(whsec_)[A-Za-z0-9+/=_-]+`)

// Redact takes tokens out of a text that is about to be logged; their prefix
// stays, to say what stood there.
func Redact(text []byte) []byte {
	if !bytes.Contains(text, []byte("cg")) && !bytes.Contains(text, []byte(WebhookPrefix)) {
		return text
	}
	return tokenShape.ReplaceAll(text, []byte("${1}${2}"+hidden))
}

// Redactor is a writer that takes tokens out of whatever is written through
// it: messages, attributes of every type, panics and their stacks. A token
// must come within one Write, as each record of slog's handlers does; they
// also write one at a time.
func Redactor(w io.Writer) io.Writer { return redactor{w} }

type redactor struct{ w io.Writer }

func (r redactor) Write(p []byte) (int, error) {
	if _, err := r.w.Write(Redact(p)); err != nil {
		return 0, err
	}
	return len(p), nil
}
