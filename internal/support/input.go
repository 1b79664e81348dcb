package support

import (
	"slices"
	"strconv"

	"github.com/channelgraph/channelgraph/internal/address"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/page"
)

// Codes of the verbs. A decision on a state that has moved on is refused with
// CONFLICT.
const (
	// CodeClosed says that the thread is closed; it may be reopened for a while.
	CodeClosed = "SUPPORT_REQUEST_CLOSED"
	// CodeReopenTooLate says that it was closed too long ago.
	CodeReopenTooLate = "REOPEN_TOO_LATE"
	// CodeTooManyOpen says that enough requests of the organization are open.
	CodeTooManyOpen = "SUPPORT_REQUESTS_OPEN"
	// CodeThreadFull says that enough was written into the thread.
	CodeThreadFull = "SUPPORT_THREAD_FULL"
	// CodeKindUnavailable says that nothing of the kind can be asked about here.
	CodeKindUnavailable = "SUPPORT_KIND_UNAVAILABLE"
	// CodeNotReviewer says that the user named does not work for support.
	CodeNotReviewer = "NOT_A_REVIEWER"
	// CodeNotSupportContact says that somebody else is the customer's contact.
	CodeNotSupportContact = "NOT_SUPPORT_CONTACT"
)

// OpenInput asks the operator for help.
type OpenInput struct {
	Kind Kind
	// Severity is NORMAL unless given.
	Severity *Severity
	Subject  string
	Text     string
	// AboutID is the end of a partnership or the profile update that it is
	// about, CustomerID the customer on whose behalf it is; each
	// goes with its kind.
	AboutID        *ident.ID
	CustomerID     *ident.ID
	FileIDs        []ident.ID
	IdempotencyKey *string
}

// Validate checks the form of the input.
func (in *OpenInput) Validate() error {
	var p fault.Problems
	if !slices.Contains(Kinds, in.Kind) {
		p.Add("kind", fault.CodeInvalid)
	}
	if in.Severity == nil {
		in.Severity = new(Severity)
		*in.Severity = Normal
	}
	if !slices.Contains(Severities, *in.Severity) {
		p.Add("severity", fault.CodeInvalid)
	}
	subject, err := address.Line(in.Subject, MaxSubject)
	switch {
	case err != nil:
		_ = p.Merge("subject", err)
	case subject == "":
		p.Add("subject", fault.CodeRequired)
	}
	in.Subject = subject
	check(&p, &in.Text, true, in.FileIDs)
	for _, x := range []struct {
		path string
		id   *ident.ID
		of   bool
	}{{"aboutId", in.AboutID, in.Kind == ProfileUpdate || in.Kind == EndPartnership}, {"customerId", in.CustomerID, in.Kind == Customer}} {
		switch {
		case x.of && x.id == nil:
			p.Add(x.path, fault.CodeRequired)
		case !x.of && x.id != nil:
			p.Add(x.path, fault.CodeInvalid)
		}
	}
	return p.Err()
}

// check cleans what somebody wrote, and counts the files beside it.
func check(p *fault.Problems, text *string, required bool, files []ident.ID) {
	s, err := address.PlainText(*text, MaxText)
	switch {
	case err != nil:
		_ = p.Merge("text", err)
	case s == "" && required:
		p.Add("text", fault.CodeRequired)
	}
	*text = s
	if len(files) > MaxFiles {
		p.Add("fileIds", fault.CodeTooMany, "max", strconv.Itoa(MaxFiles))
	}
}

// ReplyInput writes into the thread, for the other side to read.
type ReplyInput struct {
	RequestID ident.ID
	Text      string
	FileIDs   []ident.ID
	// NeedsAttention says that the operator's message waits for the partner;
	// the partner's never does.
	NeedsAttention  bool
	ExpectedVersion *int
	IdempotencyKey  *string
}

// Validate checks the form of the input.
func (in *ReplyInput) Validate() error {
	var p fault.Problems
	check(&p, &in.Text, true, in.FileIDs)
	return p.Err()
}

// NoteInput writes into the thread for the operator's people alone.
type NoteInput struct {
	RequestID ident.ID
	Text      string
	FileIDs   []ident.ID
}

// Validate checks the form of the input.
func (in *NoteInput) Validate() error {
	var p fault.Problems
	check(&p, &in.Text, true, in.FileIDs)
	return p.Err()
}

// AssignInput gives a request to one of the operator's people; nil takes it
// from whoever has it.
type AssignInput struct {
	RequestID       ident.ID
	AssigneeID      *ident.ID
	ExpectedVersion *int
}

// CloseInput ends a request. The operator says why; the partner may.
type CloseInput struct {
	RequestID       ident.ID
	Text            *string
	ExpectedVersion *int
}

// validate checks the form of the input.
func (in *CloseInput) validate(required bool) error {
	var p fault.Problems
	text := deref(in.Text) // the caller's stays as it is
	check(&p, &text, required, nil)
	in.Text = &text
	return p.Err()
}

// ReopenInput lets a closed request go on.
type ReopenInput struct {
	RequestID       ident.ID
	Text            string
	FileIDs         []ident.ID
	ExpectedVersion *int
}

// Validate checks the form of the input.
func (in *ReopenInput) Validate() error {
	var p fault.Problems
	check(&p, &in.Text, true, in.FileIDs)
	return p.Err()
}

// OrderField is what a list of requests is sorted by.
type OrderField string

// Orderings of requests.
const (
	ByActivity OrderField = "ACTIVITY_AT"
	ByCreated  OrderField = "CREATED_AT"
)

// Order is the ordering of a list of requests; what was last active first
// unless given.
type Order struct {
	Field     OrderField
	Direction page.Direction
}

func (o *Order) resolve() page.Order {
	out := page.Order{Name: string(ByActivity), Column: "support_request.activity_at", Sort: page.SortTime, Direction: page.Desc}
	if o == nil {
		return out
	}
	if o.Field == ByCreated {
		out.Name, out.Column = string(ByCreated), "support_request.created_at"
	}
	out.Direction = o.Direction
	return out
}

// Filter narrows a list of requests.
type Filter struct {
	Status   []Status
	Kind     []Kind
	Severity []Severity
	// OrganizationID is whose requests are meant.
	OrganizationID *ident.ID
	// AboutID is what they are about.
	AboutID *ident.ID
}
