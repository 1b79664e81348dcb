package file

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image/gif"
	"image/jpeg"
	"image/png"
	"regexp"
	"strconv"
	"unicode/utf8"
)

// kind is what a content turned out to be; width and height are an image's.
type kind struct {
	mediaType     string
	width, height int
}

var signatures = []struct{ start, mediaType string }{
	{"%PDF-1.", PDF}, {"%PDF-2.", PDF}, {"\x89PNG\r\n\x1a\n", PNG}, {"\xff\xd8\xff", JPEG}, {"GIF87a", GIF}, {"GIF89a", GIF},
}

// claims tells what a content begins as, "" for nothing that we know.
func claims(b []byte) string {
	for _, s := range signatures {
		if bytes.HasPrefix(b, []byte(s.start)) {
			return s.mediaType
		}
	}
	if isText(b) {
		return Text
	}
	return ""
}

// head is as far as readers of PDF, and browsers that guess, look for a
// beginning.
const head = 1024

var (
	markup = regexp.MustCompile(`^\s*<[A-Za-z!?/]|(?i:<!doctype|<\?xml|<(?:html|head|body|script|svg|iframe)\b)`)
	script = regexp.MustCompile(`^\s*(?:%!|\{\\rtf)`)
)

// isText reports UTF-8 text: no controls but line ends, tabs and form feeds,
// and nothing that a program takes for markup, a page description or a
// formatted document.
func isText(b []byte) bool {
	if !utf8.Valid(b) {
		return false
	}
	b = bytes.TrimPrefix(b, []byte("\ufeff"))
	if bytes.ContainsFunc(b, func(r rune) bool {
		return r < ' ' && r != '\n' && r != '\r' && r != '\t' && r != '\f' || r >= 0x7f && r < 0xa0
	}) {
		return false
	}
	start := b[:min(len(b), head)]
	return len(bytes.TrimSpace(b)) > 0 && !markup.Match(start) && !script.Match(start)
}

// alsoOther reports a content that other programs take for something else
// than it begins as: a PDF behind another beginning, or an archive, which is
// read from its end.
func alsoOther(b []byte, mediaType string) bool {
	if mediaType != PDF && bytes.Contains(b[:min(len(b), head)], []byte("%PDF-")) {
		return true
	}
	// The end record of a ZIP archive: 22 bytes and a comment whose length
	// they tell.
	const record, comment = 22, 1<<16 - 1
	tail := b[max(0, len(b)-record-comment):]
	for i := bytes.LastIndex(tail, []byte("PK\x05\x06")); i >= 0; i = bytes.LastIndex(tail[:i], []byte("PK\x05\x06")) {
		if i+record <= len(tail) && i+record+int(binary.LittleEndian.Uint16(tail[i+record-2:])) == len(tail) {
			return true
		}
	}
	return false
}

// examine walks through the structure of a content to its end, without
// decoding a pixel, and reports whether it is whole. It sets the size of an
// image.
func (k *kind) examine(b []byte) bool {
	r := bytes.NewReader(b)
	switch k.mediaType {
	case Text:
		return true
	case PDF:
		return wholePDF(b)
	case PNG:
		c, err := png.DecodeConfig(r)
		k.width, k.height = c.Width, c.Height
		return err == nil && wholePNG(b)
	case JPEG:
		c, err := jpeg.DecodeConfig(r)
		k.width, k.height = c.Width, c.Height
		return err == nil && c.Width > 0 && c.Height > 0 && wholeJPEG(b)
	case GIF:
		c, err := gif.DecodeConfig(r)
		k.width, k.height = c.Width, c.Height
		return err == nil && c.Width > 0 && c.Height > 0 && wholeGIF(b)
	}
	return false
}

var (
	pdfEnd  = regexp.MustCompile(`startxref\s+(\d{1,10})\s+%%EOF[\s\x00]*$`)
	pdfXref = regexp.MustCompile(`^[\s\x00]*(?:xref\b|\d{1,10}\s+\d{1,5}\s+obj\b)`)
)

// wholePDF reports a trailer at the very end that points to a table, or a
// stream, of references.
func wholePDF(b []byte) bool {
	m := pdfEnd.FindSubmatch(b[max(0, len(b)-head):])
	if m == nil {
		return false
	}
	at, err := strconv.Atoi(string(m[1]))
	return err == nil && at > 0 && at < len(b) && pdfXref.Match(b[at:min(len(b), at+64)])
}

// wholePNG reports chunks that follow each other, each with its checksum, from
// IHDR over IDAT to IEND, and nothing after.
func wholePNG(b []byte) bool {
	data := false
	for b = b[8:]; len(b) >= 12; {
		n := binary.BigEndian.Uint32(b)
		if uint64(n) > uint64(len(b)-12) {
			return false
		}
		name, body := string(b[4:8]), b[4:8+n]
		if crc32.ChecksumIEEE(body) != binary.BigEndian.Uint32(b[8+n:]) {
			return false
		}
		b = b[12+n:]
		switch name {
		case "IDAT":
			data = data || n > 0
		case "IEND":
			return data && len(b) == 0
		}
	}
	return false
}

// wholeJPEG reports segments that follow each other to the end of the image,
// with a frame and a scan. Cameras write more behind it (further pictures, a
// short film), which is left to them.
func wholeJPEG(b []byte) bool {
	scan := false
	for i := 2; i+1 < len(b); {
		if b[i] != 0xff {
			return false
		}
		marker := b[i+1]
		switch {
		case marker == 0xff: // a fill byte
			i++
			continue
		case marker == 0xd9:
			return scan
		case marker == 0x01 || 0xd0 <= marker && marker <= 0xd8:
			i += 2
			continue
		}
		if i+4 > len(b) {
			return false
		}
		n := int(binary.BigEndian.Uint16(b[i+2:]))
		if i += 2 + n; n < 2 || i > len(b) {
			return false
		}
		if marker != 0xda {
			continue
		}
		// The picture itself goes on to the next marker that is neither a
		// stuffed byte nor a restart.
		scan = true
		for ; i+1 < len(b); i++ {
			if b[i] == 0xff && b[i+1] != 0 && (b[i+1] < 0xd0 || b[i+1] > 0xd7) {
				break
			}
		}
	}
	return false
}

// wholeGIF reports blocks that follow each other to the trailer, with a
// picture among them, and nothing after but zeros.
func wholeGIF(b []byte) bool {
	table := func(flags byte) int { // the size of a colour table
		if flags&0x80 == 0 {
			return 0
		}
		return 3 << (flags&7 + 1)
	}
	picture := false
	for i := 13 + table(b[10]); i < len(b); {
		switch b[i] {
		case 0x3b:
			return picture && len(bytes.Trim(b[i+1:], "\x00")) == 0
		case 0x21:
			i += 2
		case 0x2c:
			if i+10 > len(b) {
				return false
			}
			picture = true
			i += 11 + table(b[i+9])
		default:
			return false
		}
		for { // sub-blocks
			if i >= len(b) {
				return false
			}
			n := int(b[i])
			i += 1 + n
			if n == 0 {
				break
			}
		}
	}
	return false
}
