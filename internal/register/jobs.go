package register

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/audit"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/file"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/internal/sheet"
)

// ImportRegister brings the file of an import into its register.
type ImportRegister struct {
	ImportID ident.ID `json:"import_id"`
}

// Kind is the job's kind.
func (ImportRegister) Kind() string { return "register.import" }

// ImportRegister performs the job. The file is read whole; where nothing is
// wrong with it, its passwords are hashed, some in one transaction, so that a
// repeated run goes on where the former one ended, and then one transaction
// changes the register. The requester's right is read anew before that.
func (s *Service) ImportRegister(ctx context.Context, run *outbox.Run, args ImportRegister) error {
	found, err := importsByIDs(ctx, s.db.Read(), access.System("register").Scope(), []ident.ID{args.ImportID})
	i := found[args.ImportID]
	switch {
	case err != nil:
		return fmt.Errorf("reading import %s: %w", args.ImportID, err)
	case i == nil:
		return fault.GiveUp(CodeImportExpired, nil)
	case i.FinishedAt != nil:
		return nil
	}
	content, err := s.content(ctx, i.FileID)
	if err != nil {
		return err
	}
	e, f := parse(i.Kind, content)
	if f.Count == 0 {
		if err := s.needPasswords(ctx, e, f); err != nil {
			return err
		}
	}
	n := e.lines()
	i.LinesTotal, i.ProblemCount = &n, f.Count
	if err := progress(ctx, s.db.Bun(), i); err != nil {
		return fmt.Errorf("keeping the progress of import %s: %w", i.ID, err)
	}
	if f.Count == 0 && !i.DryRun {
		if err := s.hash(ctx, i, e); err != nil {
			return err
		}
	}
	actor, err := access.Load(ctx, s.db.Read(), access.Presence{UserID: i.RequestedByID})
	if err != nil {
		return fmt.Errorf("reading the requester of import %s: %w", i.ID, err)
	}
	if !actor.Can(access.PermRegisterManage) || actor.OrganizationID != i.OrganizationID {
		return fault.GiveUp(CodeImportRevoked, nil)
	}
	return s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		end := *i
		if err := hold(ctx, tx, &end); err != nil {
			return err
		}
		if f.Count > 0 {
			end.Outcome = Refused
			if err := insertProblems(ctx, tx, &end, f.Kept); err != nil {
				return fmt.Errorf("keeping the problems of import %s: %w", i.ID, err)
			}
		} else {
			end.Outcome, end.LinesDone = Applied, n
			if i.DryRun {
				end.Outcome = Checked
			}
			if err := s.apply(ctx, tx, &end, e); err != nil {
				return err
			}
		}
		return s.end(ctx, tx, run, actor, &end)
	})
}

// content reads the file of an import.
func (s *Service) content(ctx context.Context, id ident.ID) ([]byte, error) {
	d, err := s.files.Open(ctx, access.System("register"), id)
	if fault.Is(err, fault.CodeNotFound) { // one that is only checked goes after a day
		return nil, fault.GiveUp(CodeImportExpired, nil)
	}
	if err != nil {
		return nil, fmt.Errorf("opening an imported file: %w", err)
	}
	b, err := io.ReadAll(io.LimitReader(d, file.MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("reading an imported file: %w", err)
	}
	return b, nil
}

// names lists the user names of a file.
func (e *entries) names() []string {
	out := make([]string, len(e.credentials))
	for i, c := range e.credentials {
		out[i] = c.folded
	}
	return out
}

// needPasswords notes the user names that have no password, neither in the
// file nor in the register.
func (s *Service) needPasswords(ctx context.Context, e *entries, f *sheet.Findings) error {
	var silent []string
	for _, c := range e.credentials {
		if c.silent() {
			silent = append(silent, c.folded)
		}
	}
	known, err := keptLogins(ctx, s.db.Read(), silent)
	if err != nil {
		return fmt.Errorf("reading logins: %w", err)
	}
	for _, c := range e.credentials {
		if c.silent() && known[c.folded] == nil {
			f.Add(c.line, "password", CodePasswordMissing)
		}
	}
	return nil
}

// hash hashes the plain passwords of a file, and goes on where a former run
// ended. The hashes stand in the credentials afterwards.
func (s *Service) hash(ctx context.Context, i *Import, e *entries) error {
	done, err := hashesOf(ctx, s.db.Read(), i.ID)
	if err != nil {
		return fmt.Errorf("reading what import %s has hashed: %w", i.ID, err)
	}
	var plain []*credential
	for _, c := range e.credentials {
		switch {
		case c.password == "":
		case done[c.folded] != "":
			c.hash = done[c.folded]
		default:
			plain = append(plain, c)
		}
	}
	total := *i.LinesTotal
	for part := range slices.Chunk(plain, s.hashBatch) {
		i.LinesDone = max(0, total-len(plain))
		rows := make([]*hashed, len(part))
		for n, c := range part {
			if c.hash, err = s.accounts.HashPassword(ctx, c.password); fault.Is(err, fault.CodeBusy) {
				return fault.RetryFree(10*time.Second, fault.CodeBusy, err)
			} else if err != nil {
				return fmt.Errorf("hashing the passwords of import %s: %w", i.ID, err)
			}
			rows[n] = &hashed{ImportID: i.ID, UserNameFolded: c.folded, PasswordHash: c.hash}
		}
		plain = plain[len(part):]
		i.LinesDone = max(0, total-len(plain))
		err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
			if err := keepHashes(ctx, tx, rows); err != nil {
				return err
			}
			return progress(ctx, tx, i)
		})
		if err != nil {
			return fmt.Errorf("keeping what import %s has hashed: %w", i.ID, err)
		}
	}
	return nil
}

// apply compares a file with its register and, unless it is only checked,
// changes the register. The counts stand in the import afterwards.
func (s *Service) apply(ctx context.Context, tx *database.Tx, i *Import, e *entries) error {
	if i.Kind == Companies {
		return applyCompanies(ctx, tx, i, e.companies)
	}
	return applyMemberships(ctx, tx, i, e)
}

func (i *Import) count(p plan) {
	i.Added, i.Changed, i.Unchanged, i.Removed = len(p.added), len(p.changed), p.unchanged, len(p.removed)
}

func applyMemberships(ctx context.Context, tx *database.Tx, i *Import, e *entries) error {
	names := e.names()
	logins, err := keptLogins(ctx, tx, names)
	if err != nil {
		return fmt.Errorf("reading logins: %w", err)
	}
	touched := map[string]bool{}
	var write []*login
	for _, c := range e.credentials {
		old := logins[c.folded]
		l := &login{UserNameFolded: c.folded, UserName: c.userName, PasswordHash: c.hash, ChangedAt: tx.Now}
		switch {
		case c.silent() && old == nil: // another import took it away meanwhile
			return fault.GiveUp(CodeRegisterModified, nil)
		case c.silent():
			l.PasswordHash = old.PasswordHash
		}
		// A plain password counts as a new one: telling would need its hash.
		if touched[c.folded] = old == nil || c.password != "" || l.PasswordHash != old.PasswordHash; touched[c.folded] || l.UserName != old.UserName {
			write = append(write, l)
		}
	}
	all := names
	if i.Mode == Replace {
		all = nil
	}
	before, err := keptMemberships(ctx, tx, all)
	if err != nil {
		return fmt.Errorf("reading memberships: %w", err)
	}
	p := planned(i.Mode, len(e.memberships), func(n int) (string, string, bool) {
		m := e.memberships[n]
		return m.key(), m.Digest, touched[m.UserNameFolded]
	}, before)
	if i.count(p); i.DryRun {
		return nil
	}
	rows := make([]*Membership, 0, len(p.added)+len(p.changed))
	for _, n := range slices.Concat(p.added, p.changed) {
		m := e.memberships[n]
		m.ID, m.ImportID, m.CreatedAt, m.UpdatedAt = ident.New(ident.Membership), i.ID, tx.Now, tx.Now
		rows = append(rows, m)
	}
	gone := make([]ident.ID, len(p.removed))
	for n, key := range p.removed {
		gone[n] = before[key].id
	}
	if err := saveLogins(ctx, tx, write); err != nil {
		return err
	}
	if err := saveMemberships(ctx, tx, rows); err != nil {
		return err
	}
	return removeMemberships(ctx, tx, gone)
}

func applyCompanies(ctx context.Context, tx *database.Tx, i *Import, list []*Company) error {
	ids := map[string][]string{}
	for _, c := range list {
		ids[c.Country] = append(ids[c.Country], c.RegistrationIDFolded)
	}
	before := map[string]kept{}
	for country, some := range ids {
		if i.Mode == Replace {
			some = nil
		}
		if err := keptCompanies(ctx, tx, country, some, before); err != nil {
			return fmt.Errorf("reading companies: %w", err)
		}
	}
	p := planned(i.Mode, len(list), func(n int) (string, string, bool) { return list[n].key(), list[n].Digest, false }, before)
	if i.count(p); i.DryRun {
		return nil
	}
	rows := make([]*Company, 0, len(p.added)+len(p.changed))
	for _, n := range slices.Concat(p.added, p.changed) {
		c := list[n]
		c.ImportID, c.CreatedAt, c.UpdatedAt = i.ID, tx.Now, tx.Now
		rows = append(rows, c)
	}
	if err := saveCompanies(ctx, tx, rows); err != nil {
		return err
	}
	gone := map[string][]string{}
	for _, key := range p.removed {
		country, id, _ := strings.Cut(key, " ")
		gone[country] = append(gone[country], id)
	}
	for country, some := range gone {
		if err := removeCompanies(ctx, tx, country, some); err != nil {
			return err
		}
	}
	return nil
}

// end finishes an import with its job; its file goes.
func (s *Service) end(ctx context.Context, tx *database.Tx, run *outbox.Run, actor access.Actor, i *Import) error {
	open, err := finish(ctx, tx, i)
	if err != nil {
		return fmt.Errorf("finishing import %s: %w", i.ID, err)
	}
	if !open { // another worker, or a cancellation
		return outbox.ErrLost
	}
	if _, err := s.files.Discard(ctx, tx, file.ForImport, i.ID); err != nil {
		return err
	}
	act := audit.Act{Action: "register.imported", TargetID: i.ID,
		Reason: fmt.Sprintf("%s: %d added, %d changed, %d removed", i.Kind, i.Added, i.Changed, i.Removed)}
	switch i.Outcome {
	case Refused:
		act.Outcome, act.Reason = audit.Refused, fmt.Sprintf("%s: %d problems", i.Kind, i.ProblemCount)
	case Checked:
		act.Action = "register.import_checked"
	}
	if err := audit.Record(ctx, tx, actor, act); err != nil {
		return err
	}
	return run.Done(ctx, tx)
}

// ImportCancelled is told by whoever called the operation of an import off:
// the import is over and its file goes.
func (s *Service) ImportCancelled(ctx context.Context, tx *database.Tx, j *outbox.Job) error {
	i, err := lockImport(ctx, tx, j.SubjectID)
	if err != nil || i == nil {
		return err
	}
	return s.giveUp(ctx, tx, i, Cancelled)
}

func (s *Service) giveUp(ctx context.Context, tx *database.Tx, i *Import, outcome ImportState) error {
	i.Outcome = outcome
	if _, err := finish(ctx, tx, i); err != nil {
		return fmt.Errorf("ending import %s: %w", i.ID, err)
	}
	_, err := s.files.Discard(ctx, tx, file.ForImport, i.ID)
	return err
}

// PruneImports ends the imports whose time is over, such as those that failed
// and were not retried, so that no file with passwords stays.
type PruneImports struct{}

// Kind is the job's kind.
func (PruneImports) Kind() string { return "register.prune_imports" }

// PruneImports performs the job. The hour lets a last attempt end.
func (s *Service) PruneImports(ctx context.Context, _ *outbox.Run, _ PruneImports) error {
	rows, err := overdue(ctx, s.db.Read(), s.db.Now().Add(-life-time.Hour))
	if err != nil {
		return fmt.Errorf("finding overdue imports: %w", err)
	}
	for _, i := range rows {
		if err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error { return s.giveUp(ctx, tx, i, Failed) }); err != nil {
			return err
		}
	}
	return nil
}
