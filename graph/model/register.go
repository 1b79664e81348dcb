package model

import (
	"github.com/channelgraph/channelgraph/internal/page"
	"github.com/channelgraph/channelgraph/internal/register"
)

// Names of the pages of the registers and of their rows, and the errors of the
// mutations on them.
type (
	// MembershipConnection is a page of memberships.
	MembershipConnection = page.Connection[*register.Membership]
	// MembershipEdge is a row of a page of memberships.
	MembershipEdge = page.Edge[*register.Membership]
	// RegisterImportConnection is a page of imports.
	RegisterImportConnection = page.Connection[*register.Import]
	// RegisterImportEdge is a row of a page of imports.
	RegisterImportEdge = page.Edge[*register.Import]
	// RegisterImportProblemConnection is a page of what is wrong with a file.
	RegisterImportProblemConnection = page.Connection[*register.Problem]
	// RegisterImportProblemEdge is a row of a page of what is wrong with a file.
	RegisterImportProblemEdge = page.Edge[*register.Problem]
	// ImportMembershipRegisterError is why importMembershipRegister did nothing.
	ImportMembershipRegisterError UserError
	// ImportBusinessRegisterError is why importBusinessRegister did nothing.
	ImportBusinessRegisterError UserError
)
