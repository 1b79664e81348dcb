package register

import (
	"context"
	"fmt"
	"slices"

	"github.com/uptrace/bun"

	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/ident"
)

// hold makes two imports into a register wait for each other.
func hold(ctx context.Context, tx *database.Tx, i *Import) error {
	return database.SetSetting(ctx, tx, "register."+string(i.Kind), string(i.ID))
}

// inBatches runs a query for some keys at a time.
func inBatches[K any](keys []K, do func(part []K) error) error {
	for part := range slices.Chunk(keys, batch) {
		if err := do(part); err != nil {
			return err
		}
	}
	return nil
}

// keptLogins reads the logins among some user names.
func keptLogins(ctx context.Context, idb bun.IDB, names []string) (map[string]*login, error) {
	out := map[string]*login{}
	err := inBatches(names, func(part []string) error {
		var rows []*login
		if err := idb.NewSelect().Model(&rows).Where("login.user_name_folded IN (?)", bun.List(part)).Scan(ctx); err != nil {
			return err
		}
		for _, r := range rows {
			out[r.UserNameFolded] = r
		}
		return nil
	})
	return out, err
}

// keptMemberships reads what the register has of some user names, and of all
// where names is nil.
func keptMemberships(ctx context.Context, idb bun.IDB, names []string) (map[string]kept, error) {
	out := map[string]kept{}
	read := func(where func(*bun.SelectQuery) *bun.SelectQuery) error {
		var rows []*Membership
		q := idb.NewSelect().Model(&rows).Column("id", "user_name_folded", "programme_id", "digest")
		if err := where(q).Scan(ctx); err != nil {
			return err
		}
		for _, r := range rows {
			out[r.key()] = kept{r.ID, r.Digest}
		}
		return nil
	}
	if names == nil {
		return out, read(func(q *bun.SelectQuery) *bun.SelectQuery { return q })
	}
	return out, inBatches(names, func(part []string) error {
		return read(func(q *bun.SelectQuery) *bun.SelectQuery { return q.Where("user_name_folded IN (?)", bun.List(part)) })
	})
}

// keptCompanies reads what the register has of some registration IDs of a
// country, and of all where ids is nil.
func keptCompanies(ctx context.Context, idb bun.IDB, country string, ids []string, out map[string]kept) error {
	read := func(where func(*bun.SelectQuery) *bun.SelectQuery) error {
		var rows []*Company
		q := idb.NewSelect().Model(&rows).Column("country", "registration_id_folded", "digest").Where("country = ?", country)
		if err := where(q).Scan(ctx); err != nil {
			return err
		}
		for _, r := range rows {
			out[r.key()] = kept{"", r.Digest}
		}
		return nil
	}
	if ids == nil {
		return read(func(q *bun.SelectQuery) *bun.SelectQuery { return q })
	}
	return inBatches(ids, func(part []string) error {
		return read(func(q *bun.SelectQuery) *bun.SelectQuery {
			return q.Where("registration_id_folded IN (?)", bun.List(part))
		})
	})
}

func saveLogins(ctx context.Context, tx *database.Tx, rows []*login) error {
	return inBatches(rows, func(part []*login) error {
		_, err := tx.NewInsert().Model(&part).On("CONFLICT (user_name_folded) DO UPDATE").Set("user_name = EXCLUDED.user_name").
			Set("password_hash = EXCLUDED.password_hash").Set("changed_at = EXCLUDED.changed_at").Exec(ctx)
		if err != nil {
			return fmt.Errorf("writing logins: %w", err)
		}
		return nil
	})
}

// saveMemberships writes new entries and those that changed, which keep their
// ids.
func saveMemberships(ctx context.Context, tx *database.Tx, rows []*Membership) error {
	return inBatches(rows, func(part []*Membership) error {
		q := tx.NewInsert().Model(&part).On("CONFLICT (user_name_folded, programme_id) DO UPDATE")
		for _, c := range []string{"user_name", "legal_name", "legal_name_folded", "registration_id", "website", "country", "active", "enrolled", "address",
			"contact", "digest", "import_id", "updated_at"} {
			q = q.Set("? = EXCLUDED.?", bun.Ident(c), bun.Ident(c))
		}
		if _, err := q.Exec(ctx); err != nil {
			return fmt.Errorf("writing memberships: %w", err)
		}
		return nil
	})
}

// removeMemberships removes entries, and the logins that stand for nothing
// any more.
func removeMemberships(ctx context.Context, tx *database.Tx, ids []ident.ID) error {
	if len(ids) == 0 {
		return nil
	}
	err := inBatches(ids, func(part []ident.ID) error {
		_, err := tx.NewDelete().Model((*Membership)(nil)).Where("id IN (?)", bun.List(part)).Exec(ctx)
		return err
	})
	if err != nil {
		return fmt.Errorf("removing memberships: %w", err)
	}
	_, err = tx.NewDelete().Model((*login)(nil)).
		Where("NOT EXISTS (SELECT 1 FROM membership AS m WHERE m.user_name_folded = login.user_name_folded)").Exec(ctx)
	if err != nil {
		return fmt.Errorf("removing logins: %w", err)
	}
	return nil
}

func saveCompanies(ctx context.Context, tx *database.Tx, rows []*Company) error {
	return inBatches(rows, func(part []*Company) error {
		q := tx.NewInsert().Model(&part).On("CONFLICT (country, registration_id_folded) DO UPDATE")
		for _, c := range []string{"registration_id", "legal_name", "dissolved", "address", "digest", "import_id", "updated_at"} {
			q = q.Set("? = EXCLUDED.?", bun.Ident(c), bun.Ident(c))
		}
		if _, err := q.Exec(ctx); err != nil {
			return fmt.Errorf("writing companies: %w", err)
		}
		return nil
	})
}

func removeCompanies(ctx context.Context, tx *database.Tx, country string, ids []string) error {
	return inBatches(ids, func(part []string) error {
		_, err := tx.NewDelete().Model((*Company)(nil)).Where("country = ?", country).Where("registration_id_folded IN (?)", bun.List(part)).Exec(ctx)
		if err != nil {
			return fmt.Errorf("removing companies: %w", err)
		}
		return nil
	})
}

// ---- Passwords on the way

// hashesOf reads what an import has hashed so far.
func hashesOf(ctx context.Context, idb bun.IDB, id ident.ID) (map[string]string, error) {
	var rows []*hashed
	err := idb.NewSelect().Model(&rows).Where("hashed.import_id = ?", id).Scan(ctx)
	out := make(map[string]string, len(rows))
	for _, r := range rows {
		out[r.UserNameFolded] = r.PasswordHash
	}
	return out, err
}

func keepHashes(ctx context.Context, tx *database.Tx, rows []*hashed) error {
	_, err := tx.NewInsert().Model(&rows).On("CONFLICT (import_id, user_name_folded) DO NOTHING").Exec(ctx)
	return err
}
