package file

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/channelgraph/channelgraph/internal/address"
	"github.com/channelgraph/channelgraph/internal/fault"
)

// Codes of the verbs on files.
const (
	CodeEmpty    = "FILE_EMPTY"
	CodeTooLarge = "FILE_TOO_LARGE"
	CodeType     = "FILE_TYPE_NOT_ALLOWED"
	CodeDamaged  = "FILE_DAMAGED"
	CodePixels   = "IMAGE_TOO_LARGE"
	CodeWaiting  = "FILES_WAITING"
	CodeAttached = "FILE_ATTACHED"
)

// UploadInput is a file to keep. What it is tells the content alone; Name is
// what people call it.
type UploadInput struct {
	Purpose Purpose
	Name    string
	Content []byte
}

// inspect tells what the content is, or why it is refused: INVALID for an
// unknown purpose, FILE_EMPTY, FILE_TOO_LARGE, FILE_TYPE_NOT_ALLOWED,
// FILE_DAMAGED, IMAGE_TOO_LARGE.
func (in UploadInput) inspect() (kind, error) {
	r, ok := rules[in.Purpose]
	switch {
	case !ok:
		return kind{}, fault.Invalid("purpose", fault.CodeInvalid)
	case len(in.Content) == 0:
		return kind{}, fault.Invalid("content", CodeEmpty)
	case len(in.Content) > r.size:
		return kind{}, fault.Invalid("content", CodeTooLarge, "max", fmt.Sprint(r.size>>20))
	}
	k := kind{mediaType: claims(in.Content)}
	if !slices.Contains(r.types, k.mediaType) || alsoOther(in.Content, k.mediaType) {
		return kind{}, fault.Invalid("content", CodeType, "allowed", labels(r.types))
	}
	if !k.examine(in.Content) {
		return kind{}, fault.Invalid("content", CodeDamaged)
	}
	if k.width > r.side || k.height > r.side {
		return kind{}, fault.Invalid("content", CodePixels, "max", fmt.Sprint(r.side))
	}
	return k, nil
}

// labels names media types as people know them.
func labels(types []string) string {
	names := map[string]string{PDF: "PDF", PNG: "PNG", JPEG: "JPEG", GIF: "GIF", Text: "TXT"}
	out := make([]string, len(types))
	for i, t := range types {
		out[i] = names[t]
	}
	return strings.Join(out, ", ")
}

// endings are the endings of names that fit a media type, the usual one first.
var endings = map[string][]string{PDF: {".pdf"}, PNG: {".png"}, JPEG: {".jpg", ".jpeg"}, GIF: {".gif"}, Text: {".txt", ".log", ".csv", ".md", ".json"}}

// cleanName makes a name that is safe on every machine and ends as the content
// demands: no folders, nothing hidden, nothing that a file system forbids.
func cleanName(s, mediaType string) string {
	if i := strings.LastIndexAny(s, `/\`); i >= 0 {
		s = s[i+1:]
	}
	if len(s) > MaxName*16 { // before any work on it
		s = s[:MaxName*16]
	}
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !address.Clean(string(r)):
			return -1
		case strings.ContainsRune(`<>:"|?*`, r):
			return '_'
		}
		return r
	}, s)
	if line, err := address.Line(s, len(s)+1); err == nil {
		s = line // NFC, spaces collapsed
	}
	s = strings.TrimRight(s, ". ")
	fits := endings[mediaType]
	ending := fits[0]
	for _, e := range fits {
		if n := len(s) - len(e); n >= 0 && strings.EqualFold(s[n:], e) {
			ending, s = s[n:], s[:n]
			break
		}
	}
	if stem := []rune(s); len(stem) > MaxName-len(ending) {
		s = string(stem[:MaxName-len(ending)])
	}
	if s = strings.Trim(s, ". "); s == "" {
		s = "file"
	}
	return s + ending
}
