package register

import (
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/page"
)

// ImportInput brings an uploaded file into a register.
type ImportInput struct {
	// FileID is a file uploaded for the purpose REGISTER_IMPORT.
	FileID ident.ID
	// Mode is Merge unless given.
	Mode *Mode
	// DryRun only checks the file, which can be imported afterwards.
	DryRun         bool
	IdempotencyKey *string
}

// Validate checks the input's form and puts in what was left out.
func (in *ImportInput) Validate() error {
	var p fault.Problems
	if !in.FileID.Is(ident.File) {
		p.Add("fileId", fault.CodeNotFound)
	}
	if in.Mode == nil {
		usual := Merge
		in.Mode = &usual
	}
	if *in.Mode != Merge && *in.Mode != Replace {
		p.Add("mode", fault.CodeInvalid)
	}
	return p.Err()
}

// OrderField names what a list of memberships is sorted by.
type OrderField string

// Orderings of memberships.
const (
	ByName      OrderField = "NAME"
	ByProgramme OrderField = "PROGRAMME_ID"
	ByUpdated   OrderField = "UPDATED_AT"
)

// Order is the ordering of a list of memberships.
type Order struct {
	Field     OrderField
	Direction page.Direction
}

func (o *Order) resolve() page.Order {
	out := page.Order{Name: "NAME", Column: "membership.legal_name_folded", Sort: page.SortText}
	if o == nil {
		return out
	}
	switch o.Field {
	case ByProgramme:
		out = page.Order{Name: "PROGRAMME_ID", Column: "membership.programme_id", Sort: page.SortText}
	case ByUpdated:
		out = page.Order{Name: "UPDATED_AT", Column: "membership.updated_at", Sort: page.SortTime}
	case ByName:
	}
	out.Direction = o.Direction
	return out
}

// Filter narrows a list of memberships. Search matches the beginning of the
// legal name, of the user name or of the programme ID.
type Filter struct {
	Search     *string
	Country    *string
	IsActive   *bool
	IsEnrolled *bool
}

// ImportFilter narrows a list of imports.
type ImportFilter struct {
	Kind *ImportKind
}

// ProblemFilter narrows a list of problems.
type ProblemFilter struct {
	Code   *string
	Column *string
}
