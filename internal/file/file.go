// Package file owns uploaded files: what may be uploaded for which purpose,
// what a file is by its content, whose it is and what it was handed in with.
// Content stands in the database, in rows that no list ever reads. It never
// decides what a file means: the concept it is attached to does.
//
// Invariant: a file's type is what its content says, never its name; content
// never changes; a file is attached once and for good, and one that is
// attached to nothing is gone after a day; nobody but the own organization's
// people and, once it is attached, the operator's reviewers sees it, and whom
// it was shared with.
package file

import (
	"slices"
	"time"

	"github.com/uptrace/bun"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
)

// Purpose is what a file is uploaded for; it decides what is accepted and who
// may see it.
type Purpose string

// Purposes of files.
const (
	ForEvidence   Purpose = "ENROLLMENT_EVIDENCE"
	ForLogo       Purpose = "PROFILE_LOGO"
	ForAttachment Purpose = "SUPPORT_ATTACHMENT"
	ForImport     Purpose = "REGISTER_IMPORT"
	ForCatalog    Purpose = "CATALOG_IMPORT"
)

// Purposes lists all purposes.
var Purposes = []Purpose{ForEvidence, ForLogo, ForAttachment, ForImport, ForCatalog}

// Media types of files.
const (
	PDF  = "application/pdf"
	PNG  = "image/png"
	JPEG = "image/jpeg"
	GIF  = "image/gif"
	Text = "text/plain"
)

const (
	// MaxSize is the most bytes of any file; a purpose may allow fewer.
	MaxSize = 20 << 20
	// documentSize is the most bytes of what people hand in.
	documentSize = 10 << 20
	// MaxName is the longest name of a file, in characters.
	MaxName = 100
	// MaxAttached is how many files are attached at once.
	MaxAttached = 10
	// maxSide bounds an image where its purpose does not: what a browser can
	// still show.
	maxSide = 16_384

	// life is how long a file waits to be attached.
	life = 24 * time.Hour
	// maxWaiting and maxWaitingBytes bound what one organization has uploaded
	// and not attached yet.
	maxWaiting      = 100
	maxWaitingBytes = 100 << 20
)

// rule is what holds for the files of a purpose.
type rule struct {
	types []string
	size  int
	// side is the most pixels of an image's width and height.
	side int
	// upload are the permissions of which an uploader needs one, besides
	// file.upload.
	upload []access.Permission
	// read shows the own organization's files, review those of others to the
	// operator.
	read, review access.Permission
}

var rules = map[Purpose]rule{
	ForEvidence: {types: []string{PDF, PNG, JPEG}, size: documentSize, side: maxSide,
		upload: []access.Permission{access.PermEnrollmentApply, access.PermLegalProfileEdit},
		read:   access.PermEnrollmentRead, review: access.PermEnrollmentReview},
	ForLogo: {types: []string{PNG, JPEG, GIF}, size: 1 << 20, side: 2000,
		upload: []access.Permission{access.PermDirectoryEdit},
		read:   access.PermProfileUpdateRead, review: access.PermProfileUpdateReview},
	ForAttachment: {types: []string{PDF, PNG, JPEG, GIF, Text}, size: documentSize, side: maxSide,
		upload: []access.Permission{access.PermSupportRequest, access.PermSupportWork},
		read:   access.PermSupportRead, review: access.PermSupportWork},
	ForImport: {types: []string{Text}, size: MaxSize,
		upload: []access.Permission{access.PermRegisterManage},
		read:   access.PermRegisterManage, review: access.PermRegisterManage},
	ForCatalog: {types: []string{Text}, size: MaxSize,
		upload: []access.Permission{access.PermCatalogManage},
		read:   access.PermCatalogManage, review: access.PermCatalogManage},
}

// Known reports whether p is a purpose.
func (p Purpose) Known() bool { _, ok := rules[p]; return ok }

// MaxSize is the most bytes of a file of the purpose.
func (p Purpose) MaxSize() int { return rules[p].size }

// MayUpload is nil where the actor may upload for the purpose. Errors:
// UNAUTHENTICATED, ROLE_REQUIRED, SCOPE_REQUIRED, INVALID for an unknown
// purpose.
func (p Purpose) MayUpload(actor access.Actor) error {
	if err := actor.Require(access.PermFileUpload); err != nil {
		return err
	}
	if actor.UserID == "" { // a file is a person's
		return fault.Unauthenticated()
	}
	r, ok := rules[p]
	if !ok {
		return fault.Invalid("purpose", fault.CodeInvalid)
	}
	if slices.ContainsFunc(r.upload, actor.Can) {
		return nil
	}
	return actor.Require(r.upload[0])
}

// readable lists the purposes whose files the actor may read at all.
func readable(actor access.Actor) []Purpose {
	var out []Purpose
	for _, p := range Purposes {
		need := rules[p].read
		if actor.IsOperator() {
			need = rules[p].review
		}
		if actor.Can(need) {
			out = append(out, p)
		}
	}
	return out
}

// File is one uploaded file without its content.
type File struct {
	bun.BaseModel  `bun:"table:file,alias:file"`
	ID             ident.ID `bun:"id,pk"`
	OrganizationID ident.ID `bun:"organization_id"`
	UploadedByID   ident.ID `bun:"uploaded_by_id"`
	Purpose        Purpose  `bun:"purpose"`
	// SubjectID is what the file was handed in with, "" until it is attached.
	SubjectID ident.ID `bun:"subject_id"`
	// SharedWithID is another organization that may see the file, "" for none.
	SharedWithID ident.ID `bun:"shared_with_id"`
	// Name is what the uploader called it, cleaned, with an ending that fits
	// the content.
	Name string `bun:"name"`
	// MediaType is what the content is.
	MediaType string `bun:"media_type"`
	// Size is the length of the content in bytes.
	Size int `bun:"size"`
	// SHA256 is the digest of the content in hexadecimal.
	SHA256 string `bun:"sha256"`
	// Width and Height are an image's pixels, nil for everything else.
	Width      *int       `bun:"width"`
	Height     *int       `bun:"height"`
	Chunks     int        `bun:"chunks"`
	CreatedAt  time.Time  `bun:"created_at"`
	AttachedAt *time.Time `bun:"attached_at"`
}

// ContentType is the media type as a reply names it.
func (f *File) ContentType() string {
	if f.MediaType == Text {
		return Text + "; charset=utf-8"
	}
	return f.MediaType
}

// Path is where the file is downloaded from.
func (f *File) Path() string { return "/files/" + string(f.ID) }
