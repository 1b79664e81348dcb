package register

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/audit"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/file"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/internal/page"
	"github.com/channelgraph/channelgraph/internal/partner"
	"github.com/channelgraph/channelgraph/internal/secret"
	"github.com/channelgraph/channelgraph/internal/sheet"
)

// Service performs the verbs on both registers.
type Service struct {
	db       *database.DB
	accounts *account.Service
	files    *file.Service
	// hashBatch is how many passwords one transaction keeps; a field so that
	// tests can cross it.
	hashBatch int
}

// New makes the service.
func New(db *database.DB, accounts *account.Service, files *file.Service) *Service {
	return &Service{db: db, accounts: accounts, files: files, hashBatch: 20}
}

// ---- Asking the registers

// Prove checks a user name and a password against the membership register and
// gives all that the user name stands for, by programme ID, whatever its
// country and state: which of it may be selected is the caller's rule. The
// attempt is recorded, and charged as a sign-in is (security decision D5); an
// unknown user name costs the same work. It must not be called inside a
// transaction. Errors: UNAUTHENTICATED, MEMBERSHIP_NOT_PROVED at password, the
// same for an unknown user name and a wrong password, RATE_LIMITED, BUSY.
func (s *Service) Prove(ctx context.Context, actor access.Actor, userName string, password secret.String) ([]*Membership, error) {
	if actor.UserID == "" {
		return nil, fault.Unauthenticated()
	}
	folded := FoldUserName(userName)
	l, err := loginOrNeighbour(ctx, s.db.Read(), folded)
	if err != nil {
		return nil, fmt.Errorf("finding a membership: %w", err)
	}
	ok, fresh, err := s.accounts.Prove(ctx, actor, account.Challenge{Realm: "membership", Name: folded, Stored: l.PasswordHash,
		Nobody: folded == "" || l.UserNameFolded != folded}, password)
	if err != nil {
		return nil, err
	}
	act := audit.Act{Action: "membership.proved", Outcome: audit.Refused, Reason: CodeNotProved}
	var found []*Membership
	if ok {
		if found, err = membershipsOf(ctx, s.db.Read(), folded); err != nil {
			return nil, fmt.Errorf("reading memberships: %w", err)
		}
	}
	if len(found) > 0 { // an import may have taken the last one away
		act = audit.Act{Action: act.Action, TargetID: found[0].ID}
	}
	err = s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		if fresh != "" {
			if err := rehash(ctx, tx, l, fresh); err != nil {
				return err
			}
		}
		return audit.Record(ctx, tx, actor, act)
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("recording a proof: %w", err)
	case len(found) == 0:
		return nil, fault.Invalid("password", CodeNotProved)
	}
	return found, nil
}

// Load reads memberships for a rule that has its own right to see them, such
// as those that an applicant has proved; the caller shows no more than that
// rule allows. Those that an import has removed are missing.
func (s *Service) Load(ctx context.Context, tx *database.Tx, ids ...ident.ID) (map[ident.ID]*Membership, error) {
	return membershipsByIDs(ctx, tx, access.System("register").Scope(), ids)
}

// Find is Load outside a transaction.
func (s *Service) Find(ctx context.Context, ids ...ident.ID) (map[ident.ID]*Membership, error) {
	return membershipsByIDs(ctx, s.db.Read(), access.System("register").Scope(), ids)
}

// Look is the built-in business register: what was imported.
func (s *Service) Look(ctx context.Context, country, registrationID string) (*Company, error) {
	country = strings.ToUpper(country)
	c, err := findCompany(ctx, s.db.Read(), country, partner.FoldRegistration(country, registrationID))
	if err != nil || c != nil {
		return c, err
	}
	known, err := covers(ctx, s.db.Read(), country)
	if err == nil && !known {
		err = ErrNotCovered
	}
	return nil, err
}

var _ Lookup = (*Service)(nil).Look

// ByIDs reads memberships for the operator; everybody else finds none.
func (s *Service) ByIDs(ctx context.Context, actor access.Actor, ids []ident.ID) (map[ident.ID]*Membership, error) {
	if !actor.Can(access.PermRegisterManage) {
		return map[ident.ID]*Membership{}, nil
	}
	return membershipsByIDs(ctx, s.db.Read(), actor.Scope(), ids)
}

// List is a page of the membership register. Error: ROLE_REQUIRED.
func (s *Service) List(ctx context.Context, actor access.Actor, args page.Args, o *Order, f Filter) (*page.Connection[*Membership], error) {
	if err := actor.Require(access.PermRegisterManage); err != nil {
		return nil, err
	}
	pq, err := args.Resolve(o.resolve(), f)
	if err != nil {
		return nil, err
	}
	return listMemberships(ctx, s.db, actor.Scope(), pq, f)
}

// Company looks a company up for the operator's people; nil where the
// business register does not know it. Error: ROLE_REQUIRED.
func (s *Service) Company(ctx context.Context, actor access.Actor, country, registrationID string) (*Company, error) {
	if err := actor.Require(access.PermEnrollmentReview); err != nil {
		return nil, err
	}
	country = strings.ToUpper(country)
	return findCompany(ctx, s.db.Read(), country, partner.FoldRegistration(country, registrationID))
}

// ---- Imports

// ImportMemberships brings a file into the membership register, ImportCompanies
// one into the business register; the operation does it. Errors: ROLE_REQUIRED,
// NOT_FOUND and FILE_ATTACHED at fileId, INVALID at mode, those of
// outbox.Once.
func (s *Service) ImportMemberships(ctx context.Context, actor access.Actor, in ImportInput) (*Import, *outbox.Job, error) {
	return s.bring(ctx, actor, Memberships, "importMembershipRegister", in)
}

// ImportCompanies is told with ImportMemberships.
func (s *Service) ImportCompanies(ctx context.Context, actor access.Actor, in ImportInput) (*Import, *outbox.Job, error) {
	return s.bring(ctx, actor, Companies, "importBusinessRegister", in)
}

func (s *Service) bring(ctx context.Context, actor access.Actor, kind ImportKind, verb string, in ImportInput) (*Import, *outbox.Job, error) {
	if err := actor.Require(access.PermRegisterManage); err != nil {
		return nil, nil, err
	}
	if actor.UserID == "" { // an import is a person's
		return nil, nil, fault.Unauthenticated()
	}
	request := in
	if err := in.Validate(); err != nil {
		return nil, nil, err
	}
	key := ""
	if in.IdempotencyKey != nil {
		key = *in.IdempotencyKey
	}
	var free *file.File // one that is only checked stays free for the import itself
	if in.DryRun {
		found, err := s.files.ByIDs(ctx, actor, []ident.ID{in.FileID})
		if err != nil {
			return nil, nil, fmt.Errorf("finding a file to check: %w", err)
		}
		free = found[in.FileID]
	}
	var i *Import
	var job *outbox.Job
	err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		i, job = nil, nil
		prior, err := outbox.Once(ctx, tx, actor, verb, key, request)
		if err != nil {
			return err
		}
		if prior != nil {
			if i, err = lockImport(ctx, tx, prior.ID("import")); err == nil {
				job, err = outbox.FindTx(ctx, tx, prior.ID("operation"))
			}
			return err
		}
		i = &Import{ID: ident.New(ident.Import), Kind: kind, Mode: *in.Mode, DryRun: in.DryRun, FileID: in.FileID, OrganizationID: actor.OrganizationID,
			RequestedByID: actor.UserID, CreatedAt: tx.Now}
		if i.FileName, err = s.take(ctx, tx, actor, i, free); err != nil {
			return err
		}
		if err := insertImport(ctx, tx, i); err != nil {
			return err
		}
		if job, err = outbox.Put(ctx, tx, ImportRegister{ImportID: i.ID}, outbox.By(actor), outbox.About(i.ID), outbox.On(outbox.Low),
			outbox.ExpiresAt(tx.Now.Add(life))); err != nil {
			return err
		}
		if err := audit.Record(ctx, tx, actor, audit.Act{Action: "register.import_requested", TargetID: i.ID, Reason: string(kind)}); err != nil {
			return err
		}
		return outbox.Remember(ctx, tx, actor, verb, key, map[string]string{"import": string(i.ID), "operation": string(job.ID)})
	})
	if err != nil {
		return nil, nil, err
	}
	i.settle(job)
	return i, job, nil
}

// take takes the file of an import, or looks at the one that is only checked,
// and gives its name.
func (s *Service) take(ctx context.Context, tx *database.Tx, actor access.Actor, i *Import, free *file.File) (string, error) {
	switch {
	case !i.DryRun:
	case free == nil || free.Purpose != file.ForImport || free.OrganizationID != actor.OrganizationID:
		return "", fault.NotFound("fileId")
	case free.SubjectID != "":
		return "", fault.Conflict("fileId", file.CodeAttached)
	default:
		return free.Name, nil
	}
	found, err := s.files.Attach(ctx, tx, actor, "fileId", []ident.ID{i.FileID}, file.ForImport, i.ID)
	switch {
	case fault.Is(err, file.CodeAttached):
		return "", fault.Conflict("fileId", file.CodeAttached)
	case fault.Is(err, fault.CodeNotFound):
		return "", fault.NotFound("fileId")
	case err != nil:
		return "", err
	}
	return found[0].Name, nil
}

// settle tells where the import stands, by its operation until it is over.
func (i *Import) settle(j *outbox.Job) {
	if i.FinishedAt != nil {
		i.State = i.Outcome
		if i.State == Failed {
			code := CodeImportExpired
			i.FailureCode = &code
		}
		return
	}
	i.State = Cancelled
	if j == nil {
		return
	}
	switch j.Status() {
	case outbox.OperationPending:
		i.State = Queued
	case outbox.OperationFailed:
		i.State, i.FailureCode = Failed, j.FailureCode
	case outbox.OperationCancelled:
	case outbox.OperationRunning, outbox.OperationRetrying, outbox.OperationSucceeded: // the last: finished since the import was read
		i.State = Running
	}
}

// settled puts the states into imports that were read.
func (s *Service) settled(ctx context.Context, actor access.Actor, rows map[ident.ID]*Import) error {
	var open []ident.ID
	for id, i := range rows {
		if i.FinishedAt == nil {
			open = append(open, id)
		}
	}
	jobs, err := outbox.NewestAbout(ctx, s.db, actor.Scope(), open)
	for id, i := range rows {
		i.settle(jobs[id])
	}
	return err
}

// ImportsByIDs reads imports for the operator; everybody else finds none.
func (s *Service) ImportsByIDs(ctx context.Context, actor access.Actor, ids []ident.ID) (map[ident.ID]*Import, error) {
	if !actor.Can(access.PermRegisterManage) {
		return map[ident.ID]*Import{}, nil
	}
	rows, err := importsByIDs(ctx, s.db.Read(), actor.Scope(), ids)
	if err != nil {
		return nil, err
	}
	return rows, s.settled(ctx, actor, rows)
}

// ListImports is a page of the imports, newest first. Error: ROLE_REQUIRED.
func (s *Service) ListImports(ctx context.Context, actor access.Actor, args page.Args, f ImportFilter) (*page.Connection[*Import], error) {
	if err := actor.Require(access.PermRegisterManage); err != nil {
		return nil, err
	}
	pq, err := args.Resolve(page.Order{Name: "CREATED_AT", Column: "import.created_at", Sort: page.SortTime, Direction: page.Desc}, f)
	if err != nil {
		return nil, err
	}
	c, err := listImports(ctx, s.db, actor.Scope(), pq, f)
	if err != nil {
		return nil, err
	}
	rows := map[ident.ID]*Import{}
	for _, i := range c.Nodes() {
		rows[i.ID] = i
	}
	return c, s.settled(ctx, actor, rows)
}

// Problems is a page of what is wrong with the file of an import, in the order
// of the file. Error: ROLE_REQUIRED.
func (s *Service) Problems(ctx context.Context, actor access.Actor, id ident.ID, args page.Args, f ProblemFilter) (*page.Connection[*Problem], error) {
	if err := actor.Require(access.PermRegisterManage); err != nil {
		return nil, err
	}
	pq, err := args.Resolve(page.Order{Name: "LINE", Column: "problem.number", Sort: page.SortInt}, []any{id, f})
	if err != nil {
		return nil, err
	}
	return listProblems(ctx, s.db, actor.Scope(), pq, id, f)
}

// Report writes what is wrong with the file of an import as CSV with the
// columns line, column, code and message, the last in the actor's language,
// and gives the name of such a file. No cell begins as a formula does. Errors:
// UNAUTHENTICATED, ROLE_REQUIRED, NOT_FOUND.
func (s *Service) Report(ctx context.Context, actor access.Actor, id ident.ID, out io.Writer) (name string, err error) {
	if err := actor.Require(access.PermRegisterManage); err != nil {
		return "", err
	}
	found, err := s.ImportsByIDs(ctx, actor, []ident.ID{id})
	if err != nil {
		return "", err
	}
	i := found[id]
	if i == nil {
		return "", fault.NotFound("id")
	}
	problems, err := allProblems(ctx, s.db.Read(), actor.Scope(), id)
	if err != nil {
		return "", err
	}
	lines := [][]string{{"line", "column", "code", "message"}}
	for _, p := range problems {
		at := ""
		if p.Line > 0 {
			at = strconv.Itoa(p.Line)
		}
		lines = append(lines, []string{at, p.Column, p.Code, fault.Text(actor.Locale, p.Code, p.Params)})
	}
	return strings.ToLower(string(i.Kind)) + "-problems-" + i.CreatedAt.UTC().Format("2006-01-02") + ".csv", sheet.WriteCSV(out, lines)
}
