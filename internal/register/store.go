package register

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/address"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/page"
	"github.com/channelgraph/channelgraph/internal/sheet"
)

// batch is how many rows one statement reads by their keys, or writes.
const batch = 500

// login is a user name's password.
type login struct {
	bun.BaseModel  `bun:"table:membership_login,alias:login"`
	UserNameFolded string    `bun:"user_name_folded,pk"`
	UserName       string    `bun:"user_name"`
	PasswordHash   string    `bun:"password_hash"`
	ChangedAt      time.Time `bun:"changed_at"`
}

// hashed is a password of a running import that has been hashed.
type hashed struct {
	bun.BaseModel  `bun:"table:register_import_hash,alias:hashed"`
	ImportID       ident.ID `bun:"import_id,pk"`
	UserNameFolded string   `bun:"user_name_folded,pk"`
	PasswordHash   string   `bun:"password_hash"`
}

// reach limits a query to what the actor may see: both registers and their
// imports are the operator's alone.
func reach(s access.Scope) access.Filter {
	return func(q bun.QueryBuilder) bun.QueryBuilder {
		if !s.All() {
			return q.Where("1 = 0")
		}
		return q
	}
}

// ---- Memberships

func membershipsByIDs(ctx context.Context, idb bun.IDB, s access.Scope, ids []ident.ID) (map[ident.ID]*Membership, error) {
	out := map[ident.ID]*Membership{}
	if len(ids) == 0 {
		return out, nil
	}
	var rows []*Membership
	err := idb.NewSelect().Model(&rows).Where("membership.id IN (?)", bun.List(ids)).ApplyQueryBuilder(reach(s)).Scan(ctx)
	for _, r := range rows {
		out[r.ID] = r
	}
	return out, err
}

func membershipsOf(ctx context.Context, idb bun.IDB, folded string) ([]*Membership, error) {
	var rows []*Membership
	err := idb.NewSelect().Model(&rows).Where("membership.user_name_folded = ?", folded).OrderExpr("membership.programme_id").Scan(ctx)
	return rows, err
}

// loginOrNeighbour reads the login of a user name, or, where nobody has it,
// the next one in the order of names, so that an unknown name costs what a
// known one costs whatever parameters the imported hashes have.
func loginOrNeighbour(ctx context.Context, idb bun.IDB, folded string) (*login, error) {
	var rows []*login
	next := idb.NewSelect().Model((*login)(nil)).Where("login.user_name_folded >= ?", folded).OrderExpr("login.user_name_folded").Limit(1)
	first := idb.NewSelect().Model((*login)(nil)).OrderExpr("login.user_name_folded").Limit(1)
	err := idb.NewSelect().TableExpr("(SELECT * FROM (?) AS following UNION ALL SELECT * FROM (?) AS beginning) AS login", next, first).
		ColumnExpr("login.*").OrderExpr("CASE WHEN login.user_name_folded >= ? THEN 0 ELSE 1 END, login.user_name_folded", folded).Limit(1).Scan(ctx, &rows)
	if err != nil || len(rows) == 0 {
		return &login{}, err
	}
	return rows[0], nil
}

func rehash(ctx context.Context, tx *database.Tx, l *login, fresh string) error {
	_, err := tx.NewUpdate().Model((*login)(nil)).Set("password_hash = ?", fresh).Where("user_name_folded = ?", l.UserNameFolded).
		Where("password_hash = ?", l.PasswordHash).Exec(ctx)
	return err
}

func listMemberships(ctx context.Context, db *database.DB, s access.Scope, pq page.Query, f Filter) (*page.Connection[*Membership], error) {
	base := func(model any) *bun.SelectQuery {
		q := db.Read().NewSelect().Model(model).ApplyQueryBuilder(reach(s))
		if f.Country != nil {
			q = q.Where("membership.country = ?", strings.ToUpper(*f.Country))
		}
		if f.IsActive != nil {
			q = q.Where("membership.active = ?", *f.IsActive)
		}
		if f.IsEnrolled != nil {
			q = q.Where("membership.enrolled = ?", *f.IsEnrolled)
		}
		if f.Search != nil && strings.TrimSpace(*f.Search) != "" {
			q = q.Where("(? OR membership.legal_name_folded = ? OR ? OR ?)", database.HasPrefix("membership.legal_name_folded", address.Fold(*f.Search)),
				address.FoldCompany(*f.Search), database.HasPrefix("membership.user_name_folded", FoldUserName(*f.Search)),
				database.HasPrefix("membership.programme_id", strings.TrimSpace(*f.Search)))
		}
		return q
	}
	var rows []*Membership
	if err := database.Keyset(base(&rows), pq, "membership.id").Scan(ctx); err != nil {
		return nil, err
	}
	key := func(m *Membership) (any, ident.ID) { return m.LegalNameFolded, m.ID }
	switch pq.Order.Name {
	case "PROGRAMME_ID":
		key = func(m *Membership) (any, ident.ID) { return m.ProgrammeID, m.ID }
	case "UPDATED_AT":
		key = func(m *Membership) (any, ident.ID) { return m.UpdatedAt, m.ID }
	}
	return page.Build(pq, rows, key, func(ctx context.Context) (int, error) {
		return database.CountCapped(ctx, db.Read(), base((*Membership)(nil)))
	}), nil
}

// ---- Companies

func findCompany(ctx context.Context, idb bun.IDB, country, folded string) (*Company, error) {
	c := new(Company)
	err := idb.NewSelect().Model(c).Where("company.country = ?", country).Where("company.registration_id_folded = ?", folded).Scan(ctx)
	if database.IsNoRows(err) {
		return nil, nil
	}
	return c, err
}

func covers(ctx context.Context, idb bun.IDB, country string) (bool, error) {
	return idb.NewSelect().Model((*Company)(nil)).Where("company.country = ?", country).Exists(ctx)
}

// ---- Imports

func importsByIDs(ctx context.Context, idb bun.IDB, s access.Scope, ids []ident.ID) (map[ident.ID]*Import, error) {
	out := map[ident.ID]*Import{}
	if len(ids) == 0 {
		return out, nil
	}
	var rows []*Import
	err := idb.NewSelect().Model(&rows).Where("import.id IN (?)", bun.List(ids)).ApplyQueryBuilder(reach(s)).Scan(ctx)
	for _, r := range rows {
		out[r.ID] = r
	}
	return out, err
}

// lockImport is nil where there is none.
func lockImport(ctx context.Context, tx *database.Tx, id ident.ID) (*Import, error) {
	i := new(Import)
	err := tx.Lock(tx.NewSelect().Model(i).Where("import.id = ?", id)).Scan(ctx)
	if database.IsNoRows(err) {
		return nil, nil
	}
	return i, err
}

func insertImport(ctx context.Context, tx *database.Tx, i *Import) error {
	_, err := tx.NewInsert().Model(i).Exec(ctx)
	return err
}

// progress writes how far an import is; one that is over stays as it is.
func progress(ctx context.Context, idb bun.IDB, i *Import) error {
	_, err := idb.NewUpdate().Model(i).Column("lines_total", "lines_done").WherePK().Where("finished_at IS NULL").Exec(ctx)
	return err
}

// finish ends an import and tells whether it was still open.
func finish(ctx context.Context, tx *database.Tx, i *Import) (bool, error) {
	i.FinishedAt = &tx.Now
	res, err := tx.NewUpdate().Model(i).Column("lines_total", "lines_done", "added", "changed", "unchanged", "removed", "problem_count", "outcome", "finished_at").
		WherePK().Where("finished_at IS NULL").Exec(ctx)
	if err != nil {
		return false, err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return false, err
	}
	_, err = tx.NewDelete().Model((*hashed)(nil)).Where("import_id = ?", i.ID).Exec(ctx)
	return true, err
}

func insertProblems(ctx context.Context, tx *database.Tx, i *Import, problems []sheet.Problem) error {
	rows := make([]*Problem, len(problems))
	for n, p := range problems {
		rows[n] = &Problem{ImportID: i.ID, Number: n + 1, Line: p.Line, Column: p.Column, Code: p.Code, Params: p.Params}
	}
	for part := range slices.Chunk(rows, batch) {
		if _, err := tx.NewInsert().Model(&part).Exec(ctx); err != nil {
			return err
		}
	}
	return nil
}

// overdue lists some open imports that were asked for before a moment.
func overdue(ctx context.Context, idb bun.IDB, before time.Time) ([]*Import, error) {
	var rows []*Import
	err := idb.NewSelect().Model(&rows).Where("finished_at IS NULL").Where("created_at < ?", before).OrderExpr("created_at").Limit(batch).Scan(ctx)
	return rows, err
}

func listImports(ctx context.Context, db *database.DB, s access.Scope, pq page.Query, f ImportFilter) (*page.Connection[*Import], error) {
	base := func(model any) *bun.SelectQuery {
		q := db.Read().NewSelect().Model(model).ApplyQueryBuilder(reach(s))
		if f.Kind != nil {
			q = q.Where("import.kind = ?", *f.Kind)
		}
		return q
	}
	var rows []*Import
	if err := database.Keyset(base(&rows), pq, "import.id").Scan(ctx); err != nil {
		return nil, err
	}
	return page.Build(pq, rows, func(i *Import) (any, ident.ID) { return i.CreatedAt, i.ID }, func(ctx context.Context) (int, error) {
		return database.CountCapped(ctx, db.Read(), base((*Import)(nil)))
	}), nil
}

func listProblems(ctx context.Context, db *database.DB, s access.Scope, pq page.Query, id ident.ID, f ProblemFilter) (*page.Connection[*Problem], error) {
	base := func(model any) *bun.SelectQuery {
		q := db.Read().NewSelect().Model(model).Where("problem.import_id = ?", id).ApplyQueryBuilder(reach(s))
		if f.Code != nil {
			q = q.Where("problem.code = ?", *f.Code)
		}
		if f.Column != nil {
			q = q.Where("problem.column_name = ?", *f.Column)
		}
		return q
	}
	var rows []*Problem
	if err := database.Keyset(base(&rows), pq, "problem.import_id").Scan(ctx); err != nil {
		return nil, err
	}
	return page.Build(pq, rows, func(p *Problem) (any, ident.ID) { return p.Number, p.ImportID }, func(ctx context.Context) (int, error) {
		return database.CountCapped(ctx, db.Read(), base((*Problem)(nil)))
	}), nil
}

func allProblems(ctx context.Context, idb bun.IDB, s access.Scope, id ident.ID) ([]*Problem, error) {
	var rows []*Problem
	err := idb.NewSelect().Model(&rows).Where("problem.import_id = ?", id).ApplyQueryBuilder(reach(s)).OrderExpr("problem.number").Scan(ctx)
	return rows, err
}
