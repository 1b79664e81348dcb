package agreement

import (
	"context"
	"time"

	"github.com/uptrace/bun"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/page"
)

// mailing is how far a round of mails has come.
type mailing struct {
	bun.BaseModel `bun:"table:agreement_mailing"`
	AgreementID   ident.ID `bun:"agreement_id,pk"`
	Step          Step     `bun:"step,pk"`
	// AfterID is the last partner that was written to.
	AfterID    ident.ID   `bun:"after_id"`
	FinishedAt *time.Time `bun:"finished_at"`
}

// Published versions are everybody's to read who may read agreements at all,
// so their queries take no scope; signatures do.

func newest(ctx context.Context, idb bun.IDB) (*Agreement, error) {
	var row Agreement
	err := idb.NewSelect().Model(&row).OrderExpr("published_at DESC, id DESC").Limit(1).Scan(ctx)
	if database.IsNoRows(err) {
		return nil, nil
	}
	return &row, err
}

func byIDs(ctx context.Context, idb bun.IDB, ids []ident.ID) (map[ident.ID]*Agreement, error) {
	out := map[ident.ID]*Agreement{}
	if len(ids) == 0 {
		return out, nil
	}
	var rows []*Agreement
	err := idb.NewSelect().Model(&rows).Where("id IN (?)", bun.List(ids)).Scan(ctx)
	for _, r := range rows {
		out[r.ID] = r
	}
	return out, err
}

func lock(ctx context.Context, tx *database.Tx, id ident.ID) (*Agreement, error) {
	var row Agreement
	err := tx.Lock(tx.NewSelect().Model(&row).Where("id = ?", id)).Scan(ctx)
	if database.IsNoRows(err) {
		return nil, nil
	}
	return &row, err
}

func textsOf(ctx context.Context, idb bun.IDB, ids []ident.ID) (map[ident.ID][]*Text, error) {
	out := map[ident.ID][]*Text{}
	if len(ids) == 0 {
		return out, nil
	}
	var rows []*Text
	err := idb.NewSelect().Model(&rows).Where("agreement_id IN (?)", bun.List(ids)).OrderExpr("agreement_id, locale").Scan(ctx)
	for _, r := range rows {
		out[r.AgreementID] = append(out[r.AgreementID], r)
	}
	return out, err
}

// titles reads a version's titles by language.
func titles(ctx context.Context, tx *database.Tx, id ident.ID) (map[string]string, error) {
	var rows []*Text
	err := tx.NewSelect().Model(&rows).Column("locale", "title").Where("agreement_id = ?", id).Scan(ctx)
	out := map[string]string{}
	for _, r := range rows {
		out[r.Locale] = r.Title
	}
	return out, err
}

func insert(ctx context.Context, tx *database.Tx, a *Agreement, texts []*Text) error {
	_, err := tx.NewInsert().Model(a).Exec(ctx)
	if database.IsUnique(err) {
		return fault.Conflict("number", CodeNumberTaken)
	}
	if err == nil {
		_, err = tx.NewInsert().Model(&texts).Exec(ctx)
	}
	return err
}

// retire takes the timers of former versions away and names those that had one.
func retire(ctx context.Context, tx *database.Tx, keep ident.ID) ([]ident.ID, error) {
	var ids []ident.ID
	err := tx.NewRaw("UPDATE agreement SET next_action_at = NULL WHERE id <> ? AND next_action_at IS NOT NULL RETURNING id", keep).Scan(ctx, &ids)
	return ids, err
}

func saveTimer(ctx context.Context, tx *database.Tx, a *Agreement) error {
	_, err := tx.NewUpdate().Model(a).Column("next_action_at").WherePK().Exec(ctx)
	return err
}

func overdue(ctx context.Context, tx *database.Tx, before time.Time) ([]ident.ID, error) {
	var ids []ident.ID
	err := tx.NewSelect().Model((*Agreement)(nil)).Column("id").Where("next_action_at IS NOT NULL AND next_action_at < ?", before).Limit(page.MaxSize).Scan(ctx, &ids)
	return ids, err
}

// holdMailing reads how far a round has come, beginning it where it is new, and
// holds it.
func holdMailing(ctx context.Context, tx *database.Tx, id ident.ID, step Step) (*mailing, error) {
	m := &mailing{AgreementID: id, Step: step}
	if _, err := tx.NewInsert().Model(m).On("CONFLICT (agreement_id, step) DO NOTHING").Exec(ctx); err != nil {
		return nil, err
	}
	err := tx.Lock(tx.NewSelect().Model(m).WherePK()).Scan(ctx)
	return m, err
}

func saveMailing(ctx context.Context, tx *database.Tx, m *mailing) error {
	_, err := tx.NewUpdate().Model(m).WherePK().Exec(ctx)
	return err
}

// insertSignature writes a signature; false where the company has signed the
// version already.
func insertSignature(ctx context.Context, tx *database.Tx, s *Signature) (bool, error) {
	res, err := tx.NewInsert().Model(s).On("CONFLICT (agreement_id, partner_id, region) DO NOTHING").Exec(ctx)
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	return n == 1, err
}

func signaturesByIDs(ctx context.Context, idb bun.IDB, s access.Scope, ids []ident.ID) (map[ident.ID]*Signature, error) {
	out := map[ident.ID]*Signature{}
	if len(ids) == 0 {
		return out, nil
	}
	var rows []*Signature
	err := idb.NewSelect().Model(&rows).Where("agreement_signature.id IN (?)", bun.List(ids)).
		ApplyQueryBuilder(s.ByPartner("agreement_signature.partner_id")).Scan(ctx)
	for _, r := range rows {
		out[r.ID] = r
	}
	return out, err
}

// signatureOf reads a partner's signature under a version by its number; nil
// where it was signed on paper or not at all.
func signatureOf(ctx context.Context, idb bun.IDB, s access.Scope, partner ident.ID, number string) (*Signature, error) {
	var row Signature
	err := idb.NewSelect().Model(&row).Where("agreement_signature.partner_id = ?", partner).Where("agreement_signature.number = ?", number).
		ApplyQueryBuilder(s.ByPartner("agreement_signature.partner_id")).Limit(1).Scan(ctx)
	if database.IsNoRows(err) {
		return nil, nil
	}
	return &row, err
}

func list(ctx context.Context, db *database.DB, pq page.Query, f Filter) (*page.Connection[*Agreement], error) {
	base := func(model any) *bun.SelectQuery {
		q := db.Read().NewSelect().Model(model)
		if f.Number != nil {
			q = q.Where("agreement.number = ?", *f.Number)
		}
		return q
	}
	var rows []*Agreement
	if err := database.Keyset(base(&rows), pq, "agreement.id").Scan(ctx); err != nil {
		return nil, err
	}
	return page.Build(pq, rows, func(a *Agreement) (any, ident.ID) { return a.PublishedAt, a.ID }, func(ctx context.Context) (int, error) {
		return database.CountCapped(ctx, db.Read(), base((*Agreement)(nil)))
	}), nil
}

func listSignatures(ctx context.Context, db *database.DB, s access.Scope, pq page.Query, f SignatureFilter) (*page.Connection[*Signature], error) {
	base := func(model any) *bun.SelectQuery {
		q := db.Read().NewSelect().Model(model).ApplyQueryBuilder(s.ByPartner("agreement_signature.partner_id"))
		if f.AgreementID != nil {
			q = q.Where("agreement_signature.agreement_id = ?", *f.AgreementID)
		}
		if f.PartnerID != nil {
			q = q.Where("agreement_signature.partner_id = ?", *f.PartnerID)
		}
		return q
	}
	var rows []*Signature
	if err := database.Keyset(base(&rows), pq, "agreement_signature.id").Scan(ctx); err != nil {
		return nil, err
	}
	return page.Build(pq, rows, func(s *Signature) (any, ident.ID) { return s.SignedAt, s.ID }, func(ctx context.Context) (int, error) {
		return database.CountCapped(ctx, db.Read(), base((*Signature)(nil)))
	}), nil
}
