package file

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"image"
	"image/color/palette"
	"image/gif"
	"image/jpeg"
	"image/png"
	"slices"
	"strings"
	"testing"

	"github.com/channelgraph/channelgraph/internal/fault"
)

// The pictures are small: what counts is their structure.
func picture(w, h int) image.Image {
	m := image.NewPaletted(image.Rect(0, 0, w, h), palette.Plan9)
	for i := range m.Pix {
		m.Pix[i] = byte(i * 7)
	}
	return m
}

func encoded(t testing.TB, encode func(b *bytes.Buffer) error) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := encode(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func pngOf(t testing.TB, w, h int) []byte {
	t.Helper()
	return encoded(t, func(b *bytes.Buffer) error { return png.Encode(b, picture(w, h)) })
}

func jpegOf(t testing.TB, w, h int) []byte {
	t.Helper()
	return encoded(t, func(b *bytes.Buffer) error { return jpeg.Encode(b, picture(w, h), nil) })
}

func gifOf(t testing.TB, w, h int) []byte {
	t.Helper()
	return encoded(t, func(b *bytes.Buffer) error { return gif.Encode(b, picture(w, h), nil) })
}

// pdfOf is a page without content and some bytes of ballast.
func pdfOf(ballast string) []byte {
	body := "%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj\n%" + ballast + "\n"
	return fmt.Appendf(nil, "%sxref\n0 1\n0000000000 65535 f \ntrailer<</Size 3/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n", body, len(body))
}

// pngClaiming is a sound PNG whose header speaks of other dimensions.
func pngClaiming(t testing.TB, w, h uint32) []byte {
	t.Helper()
	b := pngOf(t, 2, 2)
	binary.BigEndian.PutUint32(b[16:], w)
	binary.BigEndian.PutUint32(b[20:], h)
	binary.BigEndian.PutUint32(b[29:], crc32.ChecksumIEEE(b[12:29]))
	return b
}

// jpegClaiming does the same to a JPEG, and gifClaiming to a GIF.
func jpegClaiming(t testing.TB, w, h uint16) []byte {
	t.Helper()
	b := jpegOf(t, 8, 8)
	i := bytes.Index(b, []byte{0xff, 0xc0})
	binary.BigEndian.PutUint16(b[i+5:], h)
	binary.BigEndian.PutUint16(b[i+7:], w)
	return b
}

func gifClaiming(t testing.TB, w, h uint16) []byte {
	t.Helper()
	b := gifOf(t, 2, 2)
	binary.LittleEndian.PutUint16(b[6:], w)
	binary.LittleEndian.PutUint16(b[8:], h)
	return b
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// emptyZIP is an archive without entries, with a comment.
func emptyZIP(comment string) []byte {
	return join([]byte("PK\x05\x06"), make([]byte, 16), binary.LittleEndian.AppendUint16(nil, uint16(len(comment))), []byte(comment))
}

func TestContent(t *testing.T) {
	t.Parallel()
	pdf, pngs, jpg, gifs, dot := pdfOf("x"), pngOf(t, 40, 30), jpegOf(t, 40, 30), gifOf(t, 40, 30), gifOf(t, 1, 1)
	stream := bytes.Replace(pdf, []byte("xref\n0 1\n0000000000 65535 f \ntrailer<</Size 3/Root 1 0 R>>"), []byte("3 0 obj<</Type/XRef>>stream\nendstream endobj"), 1)
	camera := join(jpg[:2], []byte("\xff\xe1\x00\x0aExif\x00\x00\xff\xd9"), jpg[2:], jpg, []byte("\x00\x00\x00\x18ftypmp42")) // with a thumbnail's end, a second picture and a film
	anim := encoded(t, func(b *bytes.Buffer) error {
		m := picture(9, 9).(*image.Paletted)
		return gif.EncodeAll(b, &gif.GIF{Image: []*image.Paletted{m, m}, Delay: []int{1, 1}})
	})
	for name, c := range map[string]struct {
		purpose Purpose
		content []byte
		want    string // a media type or a code
		w, h    int
	}{
		"PDF":                   {ForEvidence, pdf, PDF, 0, 0},
		"PDF with a stream":     {ForEvidence, stream, PDF, 0, 0},
		"PDF with spaces after": {ForAttachment, join(pdf, []byte("\r\n\x00\x00 ")), PDF, 0, 0},
		"PNG":                   {ForEvidence, pngs, PNG, 40, 30},
		"JPEG":                  {ForLogo, jpg, JPEG, 40, 30},
		"JPEG of a camera":      {ForEvidence, camera, JPEG, 40, 30},
		"GIF":                   {ForLogo, gifs, GIF, 40, 30},
		"GIF with motion":       {ForAttachment, join(anim, []byte{0}), GIF, 9, 9},
		"text":                  {ForAttachment, []byte("\ufeffPerché no?\r\n\tè < 3 </b>\n"), Text, 0, 0},

		"a GIF as evidence":    {ForEvidence, gifs, CodeType, 0, 0},
		"a PDF as a logo":      {ForLogo, pdf, CodeType, 0, 0},
		"text as evidence":     {ForEvidence, []byte("I am real"), CodeType, 0, 0},
		"an unknown purpose":   {"SELFIE", pngs, fault.CodeInvalid, 0, 0},
		"nothing":              {ForEvidence, nil, CodeEmpty, 0, 0},
		"spaces":               {ForAttachment, []byte(" \n "), CodeType, 0, 0},
		"SVG":                  {ForLogo, []byte(`<svg xmlns="http://www.w3.org/2000/svg"/>`), CodeType, 0, 0},
		"SVG as text":          {ForAttachment, []byte("\ufeff \n<?xml version='1.0'?>\n<svg/>"), CodeType, 0, 0},
		"HTML as text":         {ForAttachment, []byte("\n<!doctype HTML><p>"), CodeType, 0, 0},
		"a comment before":     {ForAttachment, []byte("<!-- --><script>alert(1)</script>"), CodeType, 0, 0},
		"HTML further on":      {ForAttachment, []byte("hello <SCRIPT >alert(1)</SCRIPT>"), CodeType, 0, 0},
		"PostScript":           {ForAttachment, []byte("%!PS-Adobe-3.0\n"), CodeType, 0, 0},
		"a PDF after text":     {ForAttachment, join([]byte("#!/bin/sh\n#"), bytes.ToValidUTF8(pdf, nil)), CodeType, 0, 0},
		"a PDF after anything": {ForEvidence, join([]byte("MZ\x90\x00"), pdf), CodeType, 0, 0},
		"a PDF of another age": {ForEvidence, bytes.Replace(pdf, []byte("%PDF-1.7"), []byte("%PDF-9.9"), 1), CodeType, 0, 0},
		"UTF-16":               {ForAttachment, []byte("\xff\xfeh\x00i\x00"), CodeType, 0, 0},
		"Latin 1":              {ForAttachment, []byte("perch\xe9"), CodeType, 0, 0},
		"a bell":               {ForAttachment, []byte("ding\a"), CodeType, 0, 0},
		"WebP":                 {ForLogo, []byte("RIFF\x1a\x00\x00\x00WEBPVP8 "), CodeType, 0, 0},
		"a program":            {ForEvidence, join([]byte("MZ\x90\x00"), make([]byte, 300)), CodeType, 0, 0},
		"a ZIP":                {ForEvidence, emptyZIP(""), CodeType, 0, 0},
		"a PNG and a ZIP":      {ForEvidence, join(pngs, emptyZIP("x")), CodeType, 0, 0},
		"a JPEG and a ZIP":     {ForEvidence, join(jpg, emptyZIP("")), CodeType, 0, 0},
		"a ZIP around a PDF":   {ForEvidence, join(pdf[:40], emptyZIP(string(pdf[40:]))), CodeType, 0, 0},
		"a PDF inside a GIF":   {ForAttachment, join(dot[:len(dot)-1], []byte("\x21\xfe\x05%PDF-\x00;")), CodeType, 0, 0},
		"a PDF inside a JPEG":  {ForEvidence, join(jpg[:2], []byte("\xff\xfe\x00\x07%PDF-"), jpg[2:]), CodeType, 0, 0},

		"an empty PDF":             {ForEvidence, []byte("%PDF-1.7"), CodeDamaged, 0, 0},
		"a PDF with more after":    {ForEvidence, join(pdf, []byte("<script>")), CodeDamaged, 0, 0},
		"a PDF that points astray": {ForEvidence, bytes.Replace(pdf, []byte("startxref\n"), []byte("startxref\n1"), 1), CodeDamaged, 0, 0},
		"a PNG without data":       {ForEvidence, join(pngs[:33], pngs[len(pngs)-12:]), CodeDamaged, 0, 0},
		"a PNG with more after":    {ForEvidence, join(pngs, []byte("x")), CodeDamaged, 0, 0},
		"a PNG changed on its way": {ForEvidence, bytes.Replace(pngs, []byte("IDAT"), []byte("IDAT\x01"), 1), CodeDamaged, 0, 0},
		"a PNG without width":      {ForEvidence, pngClaiming(t, 0, 5), CodeDamaged, 0, 0},
		"a PNG beyond all":         {ForEvidence, pngClaiming(t, 1<<31, 5), CodeDamaged, 0, 0},
		"a JPEG without height":    {ForEvidence, jpegClaiming(t, 8, 0), CodeDamaged, 0, 0},
		"a GIF without height":     {ForLogo, gifClaiming(t, 8, 0), CodeDamaged, 0, 0},
		"a GIF with more after":    {ForLogo, join(gifs, []byte("/*")), CodeDamaged, 0, 0},
		"a GIF without picture":    {ForLogo, []byte("GIF89a\x01\x00\x01\x00\x00\x00\x00;"), CodeDamaged, 0, 0},
		"a script behind GIF89a":   {ForLogo, []byte("GIF89a=1;alert(document.cookie)//"), CodeDamaged, 0, 0},

		"a logo at the edge":     {ForLogo, pngClaiming(t, 2000, 2000), PNG, 2000, 2000},
		"a logo too wide":        {ForLogo, pngClaiming(t, 2001, 10), CodePixels, 0, 0},
		"a logo too high":        {ForLogo, gifClaiming(t, 10, 2001), CodePixels, 0, 0},
		"evidence at the edge":   {ForEvidence, pngClaiming(t, maxSide, 1), PNG, maxSide, 1},
		"a PNG that would burst": {ForEvidence, pngClaiming(t, 60_000, 60_000), CodePixels, 0, 0},
		"a JPEG that would":      {ForEvidence, jpegClaiming(t, 65_535, 65_535), CodePixels, 0, 0},
		"a GIF that would":       {ForAttachment, gifClaiming(t, 65_535, 65_535), CodePixels, 0, 0},
	} {
		k, err := UploadInput{Purpose: c.purpose, Content: c.content}.inspect()
		got := k.mediaType
		if f := fault.As(err); f != nil {
			got = f.Code
		} else if err != nil {
			t.Error(err)
		}
		if got != c.want || k.width != c.w || k.height != c.h {
			t.Errorf("%s: got %s %dx%d, want %s %dx%d", name, got, k.width, k.height, c.want, c.w, c.h)
		}
	}
}

// Half a file is never taken for whole, wherever it breaks off.
func TestTruncatedContent(t *testing.T) {
	t.Parallel()
	for name, whole := range map[string][]byte{"PDF": bytes.TrimSpace(pdfOf("x")), "PNG": pngOf(t, 20, 20), "JPEG": jpegOf(t, 20, 20), "GIF": gifOf(t, 20, 20)} {
		for n := range len(whole) {
			if k, err := (UploadInput{Purpose: ForAttachment, Content: whole[:n]}).inspect(); err == nil && k.mediaType != Text {
				t.Errorf("%d of %d bytes of a %s pass as %s", n, len(whole), name, k.mediaType)
			}
		}
		if _, err := (UploadInput{Purpose: ForAttachment, Content: whole}).inspect(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSizes(t *testing.T) {
	t.Parallel()
	for _, p := range Purposes {
		most := make([]byte, p.MaxSize())
		if _, err := (UploadInput{Purpose: p, Content: most}).inspect(); !fault.Is(err, CodeType) {
			t.Errorf("%s at its edge: %v", p, err)
		}
		if _, err := (UploadInput{Purpose: p, Content: append(most, 0)}).inspect(); !fault.Is(err, CodeTooLarge) {
			t.Errorf("%s beyond: %v", p, err)
		}
		if p.MaxSize() > MaxSize || !p.Known() {
			t.Errorf("%s: %d", p, p.MaxSize())
		}
		for _, m := range rules[p].types {
			if len(endings[m]) == 0 || strings.Contains(labels([]string{m}), "/") {
				t.Errorf("%s has no name", m)
			}
		}
	}
	if Purpose("X").Known() || Purpose("").MaxSize() != 0 {
		t.Error("an unknown purpose is known")
	}
	if got := labels(rules[ForLogo].types); got != "PNG, JPEG, GIF" {
		t.Error(got)
	}
}

func TestCleanName(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, media, want string }{
		{"Visura.pdf", PDF, "Visura.pdf"},
		{"Visura camerale.PDF", PDF, "Visura camerale.PDF"},
		{"scan.jpeg", JPEG, "scan.jpeg"},
		{"", PNG, "file.png"},
		{".pdf", PDF, "file.pdf"},
		{"...", PDF, "file.pdf"},
		{"photo.pdf", PNG, "photo.pdf.png"},
		{"setup.exe", PDF, "setup.exe.pdf"},
		{"page.html", Text, "page.html.txt"},
		{"trace.log", Text, "trace.log"},
		{`C:\Users\Anna\..\scan.pdf`, PDF, "scan.pdf"},
		{"../../etc/passwd", Text, "passwd.txt"},
		{"a\r\nSet-Cookie: x=1.pdf", PDF, "a Set-Cookie_ x=1.pdf"},
		{`"><img src=x>.png`, PNG, "___img src=x_.png"},
		{"fdp.\u202egnp.png", PNG, "fdp.gnp.png"},
		{"Cafe\u0301.pdf", PDF, "Café.pdf"},
		{"bro\xffken\u200b.pdf", PDF, "broken.pdf"},
		{"  two   spaces . pdf ", PDF, "two spaces . pdf.pdf"},
		{strings.Repeat("è", 300) + ".pdf", PDF, strings.Repeat("è", 96) + ".pdf"},
		{strings.Repeat("è", 2000) + ".pdf", PDF, strings.Repeat("è", 96) + ".pdf"},
	} {
		if got := cleanName(c.in, c.media); got != c.want {
			t.Errorf("%q becomes %q, want %q", c.in, got, c.want)
		}
	}
}

// Whatever is uploaded: nothing panics, and what passes is one of ours.
func FuzzContent(f *testing.F) {
	for _, b := range [][]byte{pdfOf("x"), pngOf(f, 3, 3), jpegOf(f, 3, 3), gifOf(f, 3, 3), []byte("text"), []byte("GIF89a"), emptyZIP("x")} {
		f.Add(b, "name.pdf")
	}
	f.Fuzz(func(t *testing.T, b []byte, name string) {
		for _, p := range Purposes {
			k, err := UploadInput{Purpose: p, Content: b}.inspect()
			if err != nil {
				if fault.As(err) == nil {
					t.Error(err)
				}
				continue
			}
			if !slices.Contains(rules[p].types, k.mediaType) || k.width > rules[p].side || k.height > rules[p].side {
				t.Errorf("%s: %+v", p, k)
			}
			if n := cleanName(name, k.mediaType); n != cleanName(n, k.mediaType) || len([]rune(n)) > MaxName {
				t.Errorf("%q is not clean", n)
			}
		}
	})
}
