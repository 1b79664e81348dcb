// Package register owns what the operator brings in from outside: the
// membership register, by which somebody proves with user name and password
// that an existing programme ID is theirs, and the business register, by
// which a company's registration is looked up. Both are filled by importing
// CSV files. It never decides an enrollment, never gives a programme ID away
// and never keeps or shows a password, only its hash.
//
// Invariant: an import changes its register as a whole or not at all; one
// with a single bad line changes nothing. The file of an import is gone when
// the import is over, since it may hold passwords.
package register

import (
	"context"
	"errors"
	"time"

	"github.com/uptrace/bun"

	"github.com/channelgraph/channelgraph/internal/address"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/partner"
	"github.com/channelgraph/channelgraph/internal/sheet"
)

// Membership is a programme ID that a user name stands for. One user name may
// stand for several, and several may stand for one.
type Membership struct {
	bun.BaseModel   `bun:"table:membership,alias:membership"`
	ID              ident.ID `bun:"id,pk"`
	UserName        string   `bun:"user_name"`
	UserNameFolded  string   `bun:"user_name_folded"`
	ProgrammeID     string   `bun:"programme_id"`
	LegalName       string   `bun:"legal_name"`
	LegalNameFolded string   `bun:"legal_name_folded"`
	// RegistrationID and Website are "" where the register does not know them.
	RegistrationID string `bun:"registration_id"`
	Website        string `bun:"website"`
	// Country is of the legal business location.
	Country string `bun:"country"`
	// Active says that the programme ID may be used.
	Active bool `bun:"active"`
	// Enrolled says that the company was verified before: Address and Contact
	// are then taken over, as far as they are known.
	Enrolled  bool            `bun:"enrolled"`
	Address   partner.Address `bun:"address,type:jsonb"`
	Contact   partner.Contact `bun:"contact,type:jsonb"`
	Digest    string          `bun:"digest"`
	ImportID  ident.ID        `bun:"import_id"`
	CreatedAt time.Time       `bun:"created_at"`
	UpdatedAt time.Time       `bun:"updated_at"`
}

// Profile is what the register knows of the company, without a support
// profile.
func (m *Membership) Profile() partner.Profile {
	return partner.Profile{LegalName: m.LegalName, RegistrationID: m.RegistrationID, Website: m.Website, Address: m.Address, Contact: m.Contact}
}

// Company is a company as a business register knows it.
type Company struct {
	bun.BaseModel        `bun:"table:registered_company,alias:company"`
	Country              string `bun:"country,pk"`
	RegistrationIDFolded string `bun:"registration_id_folded,pk"`
	RegistrationID       string `bun:"registration_id"`
	LegalName            string `bun:"legal_name"`
	// Dissolved says that the company is no more.
	Dissolved bool            `bun:"dissolved"`
	Address   partner.Address `bun:"address,type:jsonb"`
	Digest    string          `bun:"digest"`
	ImportID  ident.ID        `bun:"import_id"`
	CreatedAt time.Time       `bun:"created_at"`
	UpdatedAt time.Time       `bun:"updated_at"`
}

// Named reports whether the company bears a name, as names are compared for
// duplicates: without regard to its legal form, case and accents.
func (c *Company) Named(name string) bool {
	return address.FoldCompany(c.LegalName) == address.FoldCompany(name)
}

// Lookup asks a business register for a company by country and registration
// ID, in any spelling. It answers nil where the register knows the country's
// companies, but not this one, and ErrNotCovered where it does not know the
// country's; any other error means that the register did not answer. It may
// reach out over a network, so it must not be called inside a transaction.
// Service.Look is the built-in one.
type Lookup func(ctx context.Context, country, registrationID string) (*Company, error)

// ErrNotCovered says that a business register has no companies of a country,
// so that its silence means nothing.
var ErrNotCovered = errors.New("the business register does not cover the country")

// ImportKind says which register an import fills.
type ImportKind string

// Kinds of imports.
const (
	Memberships ImportKind = "MEMBERSHIPS"
	Companies   ImportKind = "COMPANIES"
)

// Mode says what becomes of the entries that a file does not name.
type Mode string

// Modes of imports.
const (
	// Merge keeps them.
	Merge Mode = "MERGE"
	// Replace removes them: of memberships all, of companies those of the
	// countries that the file names.
	Replace Mode = "REPLACE"
)

// ImportState is where an import stands.
type ImportState string

// States of an import. A failed one goes on where its operation is retried.
const (
	Queued    ImportState = "QUEUED"
	Running   ImportState = "RUNNING"
	Checked   ImportState = "CHECKED"
	Applied   ImportState = "APPLIED"
	Refused   ImportState = "REFUSED"
	Failed    ImportState = "FAILED"
	Cancelled ImportState = "CANCELLED"
)

// Import is one file brought into a register, or tried.
type Import struct {
	bun.BaseModel `bun:"table:register_import,alias:import"`
	ID            ident.ID   `bun:"id,pk"`
	Kind          ImportKind `bun:"kind"`
	Mode          Mode       `bun:"mode"`
	// DryRun says that the file was only checked.
	DryRun         bool     `bun:"dry_run"`
	FileID         ident.ID `bun:"file_id"`
	FileName       string   `bun:"file_name"`
	OrganizationID ident.ID `bun:"organization_id"`
	RequestedByID  ident.ID `bun:"requested_by_id"`
	// State and FailureCode come from the import's operation, until the
	// import is over.
	State       ImportState `bun:"-"`
	FailureCode *string     `bun:"-"`
	// LinesTotal counts the lines of entries; nil until the file was read.
	LinesTotal *int `bun:"lines_total"`
	// LinesDone counts those that are ready to be written.
	LinesDone int `bun:"lines_done"`
	// Added, Changed, Unchanged and Removed count entries; of a dry run what
	// would become of them.
	Added     int `bun:"added"`
	Changed   int `bun:"changed"`
	Unchanged int `bun:"unchanged"`
	Removed   int `bun:"removed"`
	// ProblemCount counts all that is wrong with the file; the first
	// sheet.MaxProblems are kept.
	ProblemCount int         `bun:"problem_count"`
	Outcome      ImportState `bun:"outcome"`
	CreatedAt    time.Time   `bun:"created_at"`
	FinishedAt   *time.Time  `bun:"finished_at"`
}

// Problem is one thing wrong with an imported file. It never holds a value of
// the file, which might be a password.
type Problem struct {
	bun.BaseModel `bun:"table:register_import_problem,alias:problem"`
	ImportID      ident.ID `bun:"import_id,pk"`
	Number        int      `bun:"number,pk"`
	// Line counts the lines of the file from 1; 0 stands for the whole file.
	Line int `bun:"line"`
	// Column is the name of the column, "" for the whole line.
	Column string            `bun:"column_name"`
	Code   string            `bun:"code"`
	Params map[string]string `bun:"params,type:jsonb"`
}

// life is how long an import may take; after that it is over.
const life = 7 * 24 * time.Hour

// Codes of what is wrong with a file or with an act on a register.
const (
	CodePasswordMissing  = "PASSWORD_MISSING"
	CodePasswordTwice    = "PASSWORD_TWICE"
	CodePasswordDiffers  = "PASSWORD_DIFFERS"
	CodePasswordHash     = "PASSWORD_HASH_INVALID"
	CodeNotProved        = "MEMBERSHIP_NOT_PROVED"
	CodeImportRevoked    = "IMPORT_ACCESS_REVOKED"
	CodeImportExpired    = "IMPORT_EXPIRED"
	CodeRegisterModified = "REGISTER_CHANGED"
)

// ProblemCodes are the codes that a Problem may have.
var ProblemCodes = append([]string{
	CodePasswordMissing, CodePasswordTwice, CodePasswordDiffers, CodePasswordHash, partner.CodeCountryUnknown, partner.CodeProgrammeIDInvalid,
	partner.CodeRegistrationIDInvalid, partner.CodeStatusInvalid, address.CodeEmailInvalid,
}, sheet.Codes...)
