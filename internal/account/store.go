package account

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/address"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/page"
)

type credential struct {
	bun.BaseModel `bun:"table:credential,alias:credential"`
	UserID        ident.ID  `bun:"user_id,pk"`
	PasswordHash  string    `bun:"password_hash"`
	ChangedAt     time.Time `bun:"changed_at"`
	// ExpiresAt is until when a temporary password lets its owner choose
	// another one; nil for a password that its owner chose.
	ExpiresAt *time.Time `bun:"expires_at"`
}

// capability is one mailed link at rest: the hash of its token, what it is
// for, and whether it was used.
type capability struct {
	bun.BaseModel `bun:"table:capability_link,alias:capability_link"`
	ID            ident.ID   `bun:"id,pk"`
	Purpose       Purpose    `bun:"purpose"`
	SubjectID     ident.ID   `bun:"subject_id"`
	Generation    int        `bun:"generation"`
	TokenHash     string     `bun:"token_hash"`
	ExpiresAt     time.Time  `bun:"expires_at"`
	UsedAt        *time.Time `bun:"used_at"`
	RevokedAt     *time.Time `bun:"revoked_at"`
	CreatedAt     time.Time  `bun:"created_at"`
}

func (c *capability) state(now time.Time) LinkState {
	switch {
	case c.UsedAt != nil:
		return LinkUsed
	case c.RevokedAt != nil, !now.Before(c.ExpiresAt):
		return LinkExpired
	}
	return LinkValid
}

type tallyRow struct {
	bun.BaseModel `bun:"table:throttle,alias:throttle"`
	tally
}

// request is a mail that somebody asked for by naming an address; the worker
// finds out whether it belongs to anybody.
type request struct {
	bun.BaseModel `bun:"table:account_request,alias:account_request"`
	ID            ident.ID  `bun:"id,pk"`
	Template      string    `bun:"template"`
	EmailFolded   string    `bun:"email_folded"`
	Locale        string    `bun:"locale"`
	CreatedAt     time.Time `bun:"created_at"`
}

// ---- Organizations

// insertOrganization writes an organization; false where its domain is taken.
func insertOrganization(ctx context.Context, tx *database.Tx, o *Organization) (bool, error) {
	return inserted(tx.NewInsert().Model(o).On("CONFLICT (domain) DO NOTHING").Exec(ctx))
}

// inserted reports whether a row was written, and not there before.
func inserted(res sql.Result, err error) (bool, error) {
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	return n == 1, err
}

func organizationByID(ctx context.Context, idb bun.IDB, id ident.ID) (*Organization, error) {
	var o Organization
	if err := idb.NewSelect().Model(&o).Where("id = ?", id).Scan(ctx); err != nil {
		return nil, fmt.Errorf("reading an organization: %w", err)
	}
	return &o, nil
}

// lockOrganization makes whoever changes the users of one organization wait
// for each other, so that two cannot remove the last administrators at once.
func lockOrganization(ctx context.Context, tx *database.Tx, id ident.ID) (*Organization, error) {
	var o Organization
	if err := tx.Lock(tx.NewSelect().Model(&o).Where("id = ?", id)).Scan(ctx); err != nil {
		return nil, fmt.Errorf("locking an organization: %w", err)
	}
	return &o, nil
}

func operatorExists(ctx context.Context, idb bun.IDB) (bool, error) {
	return idb.NewSelect().Model((*Organization)(nil)).Where("kind = ?", access.Operator).Exists(ctx)
}

func organizationsByIDs(ctx context.Context, idb bun.IDB, scope access.Scope, ids []ident.ID) (map[ident.ID]*Organization, error) {
	out := make(map[ident.ID]*Organization, len(ids))
	if ids = wellFormed(ids, ident.Organization); len(ids) == 0 {
		return out, nil
	}
	var rows []*Organization
	err := idb.NewSelect().Model(&rows).Where("organization.id IN (?)", bun.List(ids)).
		ApplyQueryBuilder(scope.ByOrganization("organization.id")).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading organizations: %w", err)
	}
	for _, r := range rows {
		out[r.ID] = r
	}
	return out, nil
}

// wellFormed leaves ids of other kinds and malformed ones out: they name
// nothing, and a database may refuse their characters.
func wellFormed(ids []ident.ID, kind string) []ident.ID {
	return slices.DeleteFunc(slices.Clone(ids), func(id ident.ID) bool { return !id.Is(kind) })
}

// ---- Users

// insertUser writes a user; false where the address is taken.
func insertUser(ctx context.Context, tx *database.Tx, u *User) (bool, error) {
	return inserted(tx.NewInsert().Model(u).On("CONFLICT (email_folded) DO NOTHING").Returning("NULL").Exec(ctx))
}

// saveUser writes what verbs change and counts the version up.
func saveUser(ctx context.Context, tx *database.Tx, u *User) error {
	u.Version, u.UpdatedAt = u.Version+1, tx.Now
	_, err := tx.NewUpdate().Model(u).WherePK().
		Column("first_name", "last_name", "name_folded", "locale", "status", "version", "updated_at").Exec(ctx)
	if err != nil {
		return fmt.Errorf("saving a user: %w", err)
	}
	return nil
}

func noteSignIn(ctx context.Context, tx *database.Tx, u *User) error {
	u.LastSignInAt = &tx.Now
	_, err := tx.NewUpdate().Model(u).WherePK().Column("last_sign_in_at").Exec(ctx)
	return err
}

// saveGeneration writes the count of mailed links, which is no change of the
// user that others could collide with.
func saveGeneration(ctx context.Context, tx *database.Tx, u *User) error {
	if _, err := tx.NewUpdate().Model(u).WherePK().Column("link_generation").Exec(database.Later(ctx)); err != nil {
		return fmt.Errorf("counting a user's links: %w", err)
	}
	return nil
}

// lockUser reads a user for a change; nil where there is none in the scope.
func lockUser(ctx context.Context, tx *database.Tx, filter access.Filter, id ident.ID) (*User, error) {
	var u User
	if !id.Is(ident.User) {
		return nil, nil
	}
	q := tx.NewSelect().Model(&u).Where("user_account.id = ?", id)
	if filter != nil {
		q = q.ApplyQueryBuilder(filter)
	}
	err := tx.Lock(q).Scan(ctx)
	if database.IsNoRows(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("locking a user: %w", err)
	}
	return &u, nil
}

func userByID(ctx context.Context, idb bun.IDB, id ident.ID) (*User, error) {
	var u User
	if err := idb.NewSelect().Model(&u).Where("id = ?", id).Scan(ctx); err != nil {
		return nil, fmt.Errorf("reading a user: %w", err)
	}
	return &u, nil
}

func lockUserByEmail(ctx context.Context, tx *database.Tx, folded string) (*User, error) {
	var u User
	err := tx.Lock(tx.NewSelect().Model(&u).Where("email_folded = ?", folded)).Scan(ctx)
	if database.IsNoRows(err) {
		return nil, nil
	}
	return &u, err
}

func usersByIDs(ctx context.Context, idb bun.IDB, reach access.Filter, ids []ident.ID) (map[ident.ID]*User, error) {
	out := make(map[ident.ID]*User, len(ids))
	if ids = wellFormed(ids, ident.User); len(ids) == 0 {
		return out, nil
	}
	var rows []*User
	err := idb.NewSelect().Model(&rows).Where("user_account.id IN (?)", bun.List(ids)).ApplyQueryBuilder(reach).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading users: %w", err)
	}
	for _, r := range rows {
		out[r.ID] = r
	}
	return out, nil
}

var userOrders = map[UserOrderField]page.Order{
	UserOrderName:      {Name: "NAME", Column: "user_account.name_folded", Sort: page.SortText},
	UserOrderCreatedAt: {Name: "CREATED_AT", Column: "user_account.created_at", Sort: page.SortTime},
}

func listUsers(ctx context.Context, db *database.DB, scope access.Scope, pq page.Query, f UserFilter) (*page.Connection[*User], error) {
	base := func(rows any) *bun.SelectQuery {
		q := db.Read().NewSelect().Model(rows).ApplyQueryBuilder(scope.ByOrganization("user_account.organization_id"))
		if f.Status != nil {
			q = q.Where("user_account.status = ?", *f.Status)
		}
		if f.Role != nil {
			q = q.Where("EXISTS (SELECT 1 FROM user_role AS held WHERE held.user_id = user_account.id AND held.role = ?)", *f.Role)
		}
		if f.Search != nil && *f.Search != "" {
			q = q.Where("(user_account.name_folded LIKE ? ESCAPE '!' OR user_account.email_folded LIKE ? ESCAPE '!')",
				containing(address.Fold(*f.Search)), containing(strings.ToLower(strings.TrimSpace(*f.Search))))
		}
		return q
	}
	var rows []*User
	if err := database.Keyset(base(&rows), pq, "user_account.id").Scan(ctx); err != nil {
		return nil, fmt.Errorf("listing users: %w", err)
	}
	key := func(u *User) (any, ident.ID) {
		if pq.Order.Sort == page.SortTime {
			return u.CreatedAt, u.ID
		}
		return u.NameFolded, u.ID
	}
	return page.Build(pq, rows, key, func(ctx context.Context) (int, error) {
		return database.CountCapped(ctx, db.Read(), base((*User)(nil)))
	}), nil
}

var likeEscape = strings.NewReplacer("!", "!!", "%", "!%", "_", "!_")

func containing(s string) string { return "%" + likeEscape.Replace(s) + "%" }

// Recipients lists the active users of an organization who hold one of the
// roles (any, without roles), longest there first: whom a concept mails about
// the organization. It takes a transaction or a handle; whoever asks has
// decided that these people may be told.
func (s *Service) Recipients(ctx context.Context, idb bun.IDB, organization ident.ID, roles ...access.Role) ([]*User, error) {
	var rows []*User
	q := idb.NewSelect().Model(&rows).Where("user_account.organization_id = ?", organization).
		Where("user_account.status = ?", Active)
	if len(roles) > 0 {
		q = q.Where("EXISTS (SELECT 1 FROM user_role AS held WHERE held.user_id = user_account.id AND held.role IN (?))", bun.List(roles))
	}
	if err := q.OrderExpr("user_account.created_at, user_account.id").Limit(page.MaxSize).Scan(database.Prepared(ctx)); err != nil {
		return nil, fmt.Errorf("reading recipients: %w", err)
	}
	return rows, nil
}

// ---- Roles

func rolesOf(ctx context.Context, idb bun.IDB, user ident.ID) ([]access.Role, error) {
	all, err := rolesOfUsers(ctx, idb, nil, []ident.ID{user})
	return all[user], err
}

func rolesOfUsers(ctx context.Context, idb bun.IDB, reach access.Filter, users []ident.ID) (map[ident.ID][]access.Role, error) {
	out := make(map[ident.ID][]access.Role, len(users))
	if users = wellFormed(users, ident.User); len(users) == 0 {
		return out, nil
	}
	var rows []UserRole
	q := idb.NewSelect().Model(&rows).Where("user_role.user_id IN (?)", bun.List(users)).
		Join("JOIN user_account ON user_account.id = user_role.user_id")
	if reach != nil {
		q = q.ApplyQueryBuilder(reach)
	}
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("reading roles: %w", err)
	}
	for _, r := range rows {
		out[r.UserID] = append(out[r.UserID], r.Role)
	}
	for id, rs := range out {
		out[id] = difference(rs, nil) // in their stable order
	}
	return out, nil
}

func setRoles(ctx context.Context, tx *database.Tx, user, by ident.ID, old, next []access.Role) error {
	var gone []access.Role
	var come []*UserRole
	for _, r := range difference(old, next) {
		if slices.Contains(next, r) {
			come = append(come, &UserRole{UserID: user, Role: r, GrantedBy: by, GrantedAt: tx.Now})
		} else {
			gone = append(gone, r)
		}
	}
	if len(gone) > 0 {
		if _, err := tx.NewDelete().Model((*UserRole)(nil)).Where("user_id = ?", user).Where("role IN (?)", bun.List(gone)).Exec(ctx); err != nil {
			return fmt.Errorf("taking roles: %w", err)
		}
	}
	if len(come) > 0 {
		if _, err := tx.NewInsert().Model(&come).Exec(database.Later(ctx)); err != nil {
			return fmt.Errorf("giving roles: %w", err)
		}
	}
	return nil
}

// otherAdmins reports whether the organization has an active administrator
// beside the user. The organization is locked.
func otherAdmins(ctx context.Context, tx *database.Tx, org *Organization, user ident.ID) (bool, error) {
	return tx.NewSelect().Model((*User)(nil)).Join("JOIN user_role AS held ON held.user_id = user_account.id").
		Where("user_account.organization_id = ?", org.ID).Where("user_account.status = ?", Active).
		Where("user_account.id <> ?", user).Where("held.role = ?", AdminRole(org.Kind)).Exists(ctx)
}

// ---- Passwords

// login is what a sign-in needs of the user behind an address; the zero value
// stands for nobody.
type login struct {
	ID             ident.ID
	OrganizationID ident.ID
	Status         UserStatus
	Kind           access.Kind
	PasswordHash   string
	// ExpiresAt is set for a temporary password.
	ExpiresAt *time.Time
}

func findLogin(ctx context.Context, idb bun.IDB, folded string) (login, error) {
	var l login
	err := idb.NewSelect().TableExpr("user_account AS u").Join("JOIN organization AS o ON o.id = u.organization_id").
		Join("LEFT JOIN credential AS c ON c.user_id = u.id").
		ColumnExpr("u.id, u.organization_id, u.status, o.kind, coalesce(c.password_hash, '') AS password_hash, c.expires_at").
		Where("u.email_folded = ?", folded).Scan(ctx, &l)
	if database.IsNoRows(err) {
		return login{}, nil
	}
	return l, err
}

func passwordHash(ctx context.Context, idb bun.IDB, user ident.ID) (string, error) {
	var c credential
	err := idb.NewSelect().Model(&c).Where("user_id = ?", user).Scan(ctx)
	if database.IsNoRows(err) {
		return "", nil
	}
	return c.PasswordHash, err
}

func setPassword(ctx context.Context, tx *database.Tx, user ident.ID, hash string) error {
	return setTemporary(ctx, tx, user, hash, nil)
}

// setTemporary writes a password that ends at a moment, or with nil one that
// lasts.
func setTemporary(ctx context.Context, tx *database.Tx, user ident.ID, hash string, until *time.Time) error {
	_, err := tx.NewInsert().Model(&credential{UserID: user, PasswordHash: hash, ChangedAt: tx.Now, ExpiresAt: until}).
		On("CONFLICT (user_id) DO UPDATE").Set("password_hash = EXCLUDED.password_hash").Set("changed_at = EXCLUDED.changed_at").
		Set("expires_at = EXCLUDED.expires_at").Exec(ctx)
	if err != nil {
		return fmt.Errorf("writing a password: %w", err)
	}
	return nil
}

// shorten lets a temporary password end earlier.
func shorten(ctx context.Context, tx *database.Tx, user ident.ID, until time.Time) error {
	_, err := tx.NewUpdate().Model((*credential)(nil)).Set("expires_at = ?", until).Where("user_id = ? AND expires_at > ?", user, until).Exec(ctx)
	return err
}

// rehash replaces a hash with one of today's parameters; the password and its
// date stay.
func rehash(ctx context.Context, tx *database.Tx, user ident.ID, hash string) error {
	_, err := tx.NewUpdate().Model((*credential)(nil)).Set("password_hash = ?", hash).Where("user_id = ?", user).Exec(ctx)
	return err
}

// ---- Sessions

func insertSession(ctx context.Context, tx *database.Tx, s *Session) error {
	_, err := tx.NewInsert().Model(s).Exec(ctx)
	return err
}

// found is a session with what decides about it.
type found struct {
	Session `bun:",extend"`
	Holder  access.Holder `bun:",embed"`
}

func sessionByToken(ctx context.Context, idb bun.IDB, hash string) (*found, error) {
	var f found
	err := access.WithHolder(idb.NewSelect().Model(&f).ColumnExpr("?TableColumns"), "session.user_id").Where("session.token_hash = ?", hash).Scan(ctx)
	if database.IsNoRows(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading a session: %w", err)
	}
	return &f, nil
}

func lockSession(ctx context.Context, tx *database.Tx, user ident.ID, hash string) (*Session, error) {
	var s Session
	err := tx.Lock(tx.NewSelect().Model(&s).Where("token_hash = ?", hash).Where("user_id = ?", user)).Scan(ctx)
	if database.IsNoRows(err) {
		return nil, nil
	}
	return &s, err
}

// touch notes that a session is in use, unless another request just did.
func touch(ctx context.Context, idb bun.IDB, s *Session, before time.Time) error {
	_, err := idb.NewUpdate().Model(s).WherePK().Column("last_seen_at", "idle_until").
		Where("revoked_at IS NULL").Where("last_seen_at <= ?", before).Exec(ctx)
	return err
}

func renewSession(ctx context.Context, tx *database.Tx, s *Session) error {
	_, err := tx.NewUpdate().Model(s).WherePK().Column("token_hash", "last_seen_at", "idle_until", "sudo_until").Exec(ctx)
	return err
}

func endSessionByToken(ctx context.Context, tx *database.Tx, hash string) (*Session, error) {
	var s Session
	err := tx.Lock(tx.NewSelect().Model(&s).Where("token_hash = ?", hash).Where("revoked_at IS NULL")).Scan(ctx)
	if database.IsNoRows(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	_, err = tx.NewUpdate().Model(&s).WherePK().Set("revoked_at = ?", tx.Now).Exec(ctx)
	return &s, err
}

// endSessions ends the live sessions of a user but the one that is kept, or
// just the one named by only; it counts them.
func endSessions(ctx context.Context, tx *database.Tx, user, keep, only ident.ID) (int, error) {
	q := tx.NewUpdate().Model((*Session)(nil)).Set("revoked_at = ?", tx.Now).Where("user_id = ?", user).
		Where("revoked_at IS NULL").Where("idle_until > ?", tx.Now).Where("abs_until > ?", tx.Now)
	if keep != "" {
		q = q.Where("id <> ?", keep)
	}
	if only != "" {
		q = q.Where("id = ?", only)
	}
	res, err := q.Exec(ctx)
	if err != nil {
		return 0, fmt.Errorf("ending sessions: %w", err)
	}
	n, err := res.RowsAffected()
	return int(n), err
}

func liveSessions(ctx context.Context, idb bun.IDB, user ident.ID, now time.Time) ([]*Session, error) {
	var rows []*Session
	err := idb.NewSelect().Model(&rows).Where("user_id = ?", user).Where("revoked_at IS NULL").
		Where("idle_until > ?", now).Where("abs_until > ?", now).Order("created_at DESC", "id DESC").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading sessions: %w", err)
	}
	return rows, nil
}

// usedFrom reports whether the user behind an address signed in from a
// network before, as far as sessions are remembered.
func usedFrom(ctx context.Context, idb bun.IDB, folded, prefix string) (bool, error) {
	return idb.NewSelect().Model((*Session)(nil)).Join("JOIN user_account AS u ON u.id = session.user_id").
		Where("u.email_folded = ?", folded).Where("session.ip_prefix = ?", prefix).Exists(ctx)
}

// ---- Mailed links

func insertLink(ctx context.Context, tx *database.Tx, c *capability) error {
	_, err := tx.NewInsert().Model(c).Returning("NULL").Exec(database.Later(ctx))
	if err != nil {
		return fmt.Errorf("writing a link: %w", err)
	}
	return nil
}

func linkByToken(ctx context.Context, idb bun.IDB, p Purpose, hash string) (*capability, error) {
	var c capability
	err := idb.NewSelect().Model(&c).Where("token_hash = ?", hash).Where("purpose = ?", p).Scan(ctx)
	if database.IsNoRows(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading a link: %w", err)
	}
	return &c, nil
}

// useLink takes a link's one use; false means that somebody else did, or that
// it died meanwhile.
func useLink(ctx context.Context, tx *database.Tx, id ident.ID) (bool, error) {
	res, err := tx.NewUpdate().Model((*capability)(nil)).Set("used_at = ?", tx.Now).Where("id = ?", id).
		Where("used_at IS NULL").Where("revoked_at IS NULL").Where("expires_at > ?", tx.Now).Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("using a link: %w", err)
	}
	n, err := res.RowsAffected()
	return n == 1, err
}

// killLinks ends the open links of a subject, of all purposes or of one.
func killLinks(ctx context.Context, tx *database.Tx, subject ident.ID, purposes ...Purpose) error {
	q := tx.NewUpdate().Model((*capability)(nil)).Set("revoked_at = ?", tx.Now).Where("subject_id = ?", subject).
		Where("used_at IS NULL").Where("revoked_at IS NULL")
	if len(purposes) > 0 {
		q = q.Where("purpose IN (?)", bun.List(purposes))
	}
	if _, err := q.Exec(ctx); err != nil {
		return fmt.Errorf("ending links: %w", err)
	}
	return nil
}

func killSetupLinks(ctx context.Context, tx *database.Tx) error {
	_, err := tx.NewUpdate().Model((*capability)(nil)).Set("revoked_at = ?", tx.Now).Where("purpose = ?", PurposeSetup).
		Where("used_at IS NULL").Where("revoked_at IS NULL").Exec(ctx)
	return err
}

// linkOpen reports whether the link of a message can still be used.
func linkOpen(ctx context.Context, idb bun.IDB, p Purpose, subject ident.ID, generation int, now time.Time) (bool, error) {
	return idb.NewSelect().Model((*capability)(nil)).Where("purpose = ?", p).Where("subject_id = ?", subject).
		Where("generation = ?", generation).Where("used_at IS NULL").Where("revoked_at IS NULL").
		Where("expires_at > ?", now).Exists(ctx)
}

// ---- Throttling

// lockTally reads a key's tally and holds it until the transaction ends, on
// every replica; a key that was never seen begins at zero.
func lockTally(ctx context.Context, tx *database.Tx, key string) (*tallyRow, error) {
	row := &tallyRow{tally: tally{Key: key, WindowUntil: tx.Now, BlockedUntil: tx.Now}}
	_, err := tx.NewInsert().Model(row).On("CONFLICT (key) DO UPDATE").Set("key = EXCLUDED.key").
		Returning("count, window_until, blocked_until").Exec(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading a throttle: %w", err)
	}
	row.WindowUntil, row.BlockedUntil = row.WindowUntil.UTC(), row.BlockedUntil.UTC()
	return row, nil
}

func saveTally(ctx context.Context, tx *database.Tx, row *tallyRow) error {
	_, err := tx.NewUpdate().Model(row).WherePK().Exec(ctx)
	if err != nil {
		return fmt.Errorf("saving a throttle: %w", err)
	}
	return nil
}

func forgetTallies(ctx context.Context, tx *database.Tx, keys ...string) error {
	_, err := tx.NewDelete().Model((*tallyRow)(nil)).Where("key IN (?)", bun.List(keys)).Exec(ctx)
	if err != nil {
		return fmt.Errorf("forgetting throttles: %w", err)
	}
	return nil
}

// ---- Requests by address

func insertRequest(ctx context.Context, tx *database.Tx, r *request) error {
	_, err := tx.NewInsert().Model(r).Exec(ctx)
	return err
}

// takeRequest reads a request and removes it, as the transaction that answers
// it does once; nil where it was answered.
func takeRequest(ctx context.Context, tx *database.Tx, id ident.ID) (*request, error) {
	var r request
	err := tx.Lock(tx.NewSelect().Model(&r).Where("id = ?", id)).Scan(ctx)
	if database.IsNoRows(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	_, err = tx.NewDelete().Model(&r).WherePK().Exec(ctx)
	return &r, err
}

// ---- Pruning

const pruneBatch = 500

// pruneOnce removes one batch of rows whose column lies before a moment.
func pruneOnce(ctx context.Context, tx *database.Tx, table, key, column string, before time.Time) (int, error) {
	t, k := bun.Ident(table), bun.Ident(key)
	res, err := tx.NewRaw("DELETE FROM ? WHERE ? IN (SELECT ? FROM ? WHERE ? < ? LIMIT ?)", t, k, k, t, bun.Ident(column), before, pruneBatch).Exec(ctx)
	if err != nil {
		return 0, fmt.Errorf("pruning %s: %w", table, err)
	}
	n, err := res.RowsAffected()
	return int(n), err
}
