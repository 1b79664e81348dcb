package enrollment

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/event"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
)

// start is a wish to enroll, from an address that is not proved yet.
type start struct {
	bun.BaseModel `bun:"table:enrollment_start,alias:enrollment_start"`
	ID            ident.ID   `bun:"id,pk"`
	Email         string     `bun:"email"`
	EmailFolded   string     `bun:"email_folded"`
	FirstName     string     `bun:"first_name"`
	LastName      string     `bun:"last_name"`
	Locale        string     `bun:"locale"`
	TenantDomain  string     `bun:"tenant_domain"`
	Country       string     `bun:"country"`
	TokenHash     string     `bun:"token_hash"`
	ExpiresAt     time.Time  `bun:"expires_at"`
	UsedAt        *time.Time `bun:"used_at"`
	CreatedAt     time.Time  `bun:"created_at"`
}

// link is one generation's token to the primary contact; former ones stay, so
// that a dead link can say what became of it.
type link struct {
	bun.BaseModel `bun:"table:enrollment_link,alias:enrollment_link"`
	TokenHash     string     `bun:"token_hash,pk"`
	EnrollmentID  ident.ID   `bun:"enrollment_id"`
	Generation    int        `bun:"generation"`
	ExpiresAt     time.Time  `bun:"expires_at"`
	UsedAt        *time.Time `bun:"used_at"`
	Outcome       LinkState  `bun:"outcome"`
	CreatedAt     time.Time  `bun:"created_at"`
}

// proof is a membership that the applicant proved to be its own.
type proof struct {
	bun.BaseModel `bun:"table:enrollment_membership,alias:enrollment_membership"`
	EnrollmentID  ident.ID  `bun:"enrollment_id,pk"`
	MembershipID  ident.ID  `bun:"membership_id,pk"`
	ProvedByID    ident.ID  `bun:"proved_by_id"`
	ProvedAt      time.Time `bun:"proved_at"`
}

// open are the statuses of which an organization has one at most.
var open = []Status{Draft, EmailPending, InReview, ActionRequired, Frozen, Approved}

// far is where the queue keeps what nobody has to act on.
const far = 100 * 365 * 24 * time.Hour

func reach(s access.Scope) access.Filter { return s.ByOrganization("enrollment.organization_id") }

// ---- Starts

func insertStart(ctx context.Context, tx *database.Tx, r *start) error {
	_, err := tx.NewInsert().Model(r).Exec(ctx)
	return err
}

// lockStart reads and holds a wish; nil where it is gone.
func lockStart(ctx context.Context, tx *database.Tx, id ident.ID) (*start, error) {
	var r start
	err := tx.Lock(tx.NewSelect().Model(&r).Where("id = ?", id)).Scan(ctx)
	if database.IsNoRows(err) {
		return nil, nil
	}
	return &r, err
}

func startByToken(ctx context.Context, idb bun.IDB, hash string) (*start, error) {
	var r start
	err := idb.NewSelect().Model(&r).Where("token_hash = ?", hash).Where("token_hash <> ''").Scan(ctx)
	if database.IsNoRows(err) {
		return nil, nil
	}
	return &r, err
}

func saveStart(ctx context.Context, tx *database.Tx, r *start) error {
	_, err := tx.NewUpdate().Model(r).WherePK().Column("token_hash", "expires_at").Exec(ctx)
	return err
}

// useStart takes a wish, once.
func useStart(ctx context.Context, tx *database.Tx, r *start) (bool, error) {
	res, err := tx.NewUpdate().Model((*start)(nil)).Set("used_at = ?", tx.Now).Where("id = ?", r.ID).
		Where("used_at IS NULL").Where("expires_at > ?", tx.Now).Exec(ctx)
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	return n == 1, err
}

func deleteStart(ctx context.Context, tx *database.Tx, id ident.ID) error {
	_, err := tx.NewDelete().Model((*start)(nil)).Where("id = ?", id).Exec(ctx)
	return err
}

// pruneStarts deletes the wishes that ended before a moment, most at once.
func pruneStarts(ctx context.Context, tx *database.Tx, before time.Time, most int) (int64, error) {
	res, err := tx.NewDelete().Model((*start)(nil)).
		Where("id IN (?)", tx.NewSelect().Model((*start)(nil)).Column("id").Where("expires_at < ?", before).Limit(int64(most))).Exec(ctx)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// ---- Enrollments

func byIDs(ctx context.Context, idb bun.IDB, s access.Scope, ids []ident.ID) (map[ident.ID]*Enrollment, error) {
	out := map[ident.ID]*Enrollment{}
	if len(ids) == 0 {
		return out, nil
	}
	var rows []*Enrollment
	err := idb.NewSelect().Model(&rows).Where("enrollment.id IN (?)", bun.List(ids)).ApplyQueryBuilder(reach(s)).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading enrollments: %w", err)
	}
	for _, r := range rows {
		out[r.ID] = r
	}
	return out, nil
}

// lock reads an enrollment inside a scope and holds it; nil where it is hidden
// or absent.
func lock(ctx context.Context, tx *database.Tx, s access.Scope, id ident.ID) (*Enrollment, error) {
	var row Enrollment
	err := tx.Lock(tx.NewSelect().Model(&row).Where("enrollment.id = ?", id).ApplyQueryBuilder(reach(s))).Scan(ctx)
	if database.IsNoRows(err) {
		return nil, nil
	}
	return &row, err
}

// lockOpen reads and holds the open enrollment of an organization, if any.
func lockOpen(ctx context.Context, tx *database.Tx, organization ident.ID) (*Enrollment, error) {
	var row Enrollment
	err := tx.Lock(tx.NewSelect().Model(&row).Where("organization_id = ?", organization).Where("status IN (?)", bun.List(open))).Scan(ctx)
	if database.IsNoRows(err) {
		return nil, nil
	}
	return &row, err
}

// newest reads the organization's newest enrollment, of a purpose where one is
// given.
func newest(ctx context.Context, idb bun.IDB, organization ident.ID, purpose Purpose) (*Enrollment, error) {
	var row Enrollment
	q := idb.NewSelect().Model(&row).Where("organization_id = ?", organization).Where("organization_id <> ''")
	if purpose != "" {
		q = q.Where("purpose = ?", purpose)
	}
	err := q.OrderExpr("created_at DESC, id DESC").Limit(1).Scan(ctx)
	if database.IsNoRows(err) {
		return nil, nil
	}
	return &row, err
}

// settle puts what follows from the other columns into theirs.
func (e *Enrollment) settle() {
	e.NextActionAt = nil
	if len(e.Agenda) > 0 {
		at := e.Agenda[0].At
		e.NextActionAt = &at
	}
	if e.Agenda == nil {
		e.Agenda = []Due{}
	}
	e.QueueAt = e.CreatedAt.Add(far)
	if e.UntilAt != nil {
		e.QueueAt = *e.UntilAt
	}
}

// insert writes a new enrollment. Error: ENROLLMENT_OPEN where the
// organization has one that is open.
func insert(ctx context.Context, tx *database.Tx, e *Enrollment) error {
	e.settle()
	_, err := tx.NewInsert().Model(e).Exec(ctx)
	if database.IsUnique(err) {
		return fault.Conflict("", CodeOpen)
	}
	if err != nil {
		return fmt.Errorf("writing an enrollment: %w", err)
	}
	return told(ctx, tx, e)
}

// save writes a held enrollment back, guarded by its version, and tells those
// who watch.
func save(ctx context.Context, tx *database.Tx, e *Enrollment) error {
	e.settle()
	e.Version++
	e.UpdatedAt = tx.Now
	res, err := tx.NewUpdate().Model(e).WherePK().Where("version = ?", e.Version-1).Exec(ctx)
	if database.IsUnique(err) {
		return fault.Conflict("", CodeOpen)
	}
	if err != nil {
		return fmt.Errorf("saving an enrollment: %w", err)
	}
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		return fault.Conflict("", fault.CodeConflict)
	}
	return told(ctx, tx, e)
}

func told(ctx context.Context, tx *database.Tx, e *Enrollment) error {
	return event.RecordFor(ctx, tx, event.EnrollmentChanged, e.ID, e.OrganizationID, "")
}

// overdue lists the enrollments whose next moment has passed unseen.
func overdue(ctx context.Context, tx *database.Tx, before time.Time, limit int) ([]ident.ID, error) {
	var ids []ident.ID
	err := tx.NewSelect().Model((*Enrollment)(nil)).Column("id").Where("next_action_at IS NOT NULL AND next_action_at < ?", before).
		OrderExpr("next_action_at").Limit(int64(limit)).Scan(ctx, &ids)
	return ids, err
}

// withEvidence lists enrollments that came to nothing before a moment and
// whose evidence was not seen to since.
func withEvidence(ctx context.Context, idb bun.IDB, before time.Time, limit int) ([]ident.ID, error) {
	var ids []ident.ID
	// The conditions are the index's own.
	err := idb.NewSelect().Model((*Enrollment)(nil)).Column("id").Where("status IN ('REJECTED', 'EXPIRED', 'WITHDRAWN') AND evidence_discarded_at IS NULL").
		Where("closed_at <= ?", before).OrderExpr("closed_at").Limit(int64(limit)).Scan(ctx, &ids)
	if err != nil {
		return nil, fmt.Errorf("finding old evidence: %w", err)
	}
	return ids, nil
}

// confirmedTwins names what of an enrollment another organization's stands
// for, whose contact has confirmed it.
func confirmedTwins(ctx context.Context, tx *database.Tx, e *Enrollment) ([]string, error) {
	const twin = "EXISTS (SELECT 1 FROM enrollment AS o WHERE o.organization_id <> ?0 AND o.country = ?1 AND o.status IN (?2) AND o.purpose = ?3 AND "
	var row struct{ Name, Registration, Programme bool }
	in := bun.List([]Status{InReview, ActionRequired, Approved})
	err := tx.NewSelect().
		ColumnExpr(twin+"o.legal_name_folded = ?4 AND o.legal_name_folded <> '') AS name", e.OrganizationID, e.Country, in, Admission, e.LegalNameFolded).
		ColumnExpr(twin+"o.registration_id_folded = ?4 AND o.registration_id_folded <> '') AS registration", e.OrganizationID, e.Country, in, Admission, e.RegistrationIDFolded).
		ColumnExpr(twin+"o.programme_id = ?4 AND o.programme_id <> '') AS programme", e.OrganizationID, e.Country, in, Admission, e.ProgrammeID).
		Scan(ctx, &row)
	if err != nil {
		return nil, fmt.Errorf("looking for duplicates: %w", err)
	}
	var out []string
	if row.Name {
		out = append(out, "legal.name")
	}
	if row.Registration {
		out = append(out, "legal.registrationId")
	}
	if row.Programme {
		out = append(out, "programmeId")
	}
	return out, nil
}

// ---- Checks, questions, timeline

// checksOf reads the checks of enrollments, which the caller may see.
func checksOf(ctx context.Context, idb bun.IDB, ids []ident.ID) (map[ident.ID][]*Check, error) {
	out := map[ident.ID][]*Check{}
	if len(ids) == 0 {
		return out, nil
	}
	var rows []*Check
	if err := idb.NewSelect().Model(&rows).Where("enrollment_id IN (?)", bun.List(ids)).Scan(ctx); err != nil {
		return nil, fmt.Errorf("reading checks: %w", err)
	}
	for _, k := range CheckKinds { // in their order
		for _, r := range rows {
			if r.Kind == k {
				out[r.EnrollmentID] = append(out[r.EnrollmentID], r)
			}
		}
	}
	return out, nil
}

// saveCheck writes one check of a held enrollment.
func saveCheck(ctx context.Context, tx *database.Tx, c *Check) error {
	c.UpdatedAt = tx.Now
	_, err := tx.NewInsert().Model(c).On("CONFLICT (enrollment_id, kind) DO UPDATE").
		Set("status = EXCLUDED.status").Set("reason_code = EXCLUDED.reason_code").Set("note = EXCLUDED.note").Set("awaits = EXCLUDED.awaits").
		Set("due_at = EXCLUDED.due_at").Set("decided_by_id = EXCLUDED.decided_by_id").Set("decided_at = EXCLUDED.decided_at").
		Set("updated_at = EXCLUDED.updated_at").Exec(ctx)
	if err != nil {
		return fmt.Errorf("saving a check: %w", err)
	}
	return nil
}

// questionsOf reads the questions of enrollments, oldest first.
func questionsOf(ctx context.Context, idb bun.IDB, ids []ident.ID) (map[ident.ID][]*Question, error) {
	out := map[ident.ID][]*Question{}
	if len(ids) == 0 {
		return out, nil
	}
	var rows []*Question
	if err := idb.NewSelect().Model(&rows).Where("enrollment_id IN (?)", bun.List(ids)).OrderExpr("asked_at, id").Scan(ctx); err != nil {
		return nil, fmt.Errorf("reading questions: %w", err)
	}
	for _, r := range rows {
		out[r.EnrollmentID] = append(out[r.EnrollmentID], r)
	}
	return out, nil
}

func insertQuestion(ctx context.Context, tx *database.Tx, q *Question) error {
	_, err := tx.NewInsert().Model(q).Exec(ctx)
	return err
}

// answered closes the questions that wait, and names them.
func answered(ctx context.Context, tx *database.Tx, e *Enrollment, by ident.ID, text string) ([]ident.ID, error) {
	var ids []ident.ID
	err := tx.NewSelect().Model((*Question)(nil)).Column("id").Where("enrollment_id = ?", e.ID).Where("answered_at IS NULL").
		OrderExpr("asked_at, id").Scan(ctx, &ids)
	if err != nil || len(ids) == 0 {
		return ids, err
	}
	_, err = tx.NewUpdate().Model((*Question)(nil)).Set("answer = ?", text).Set("answered_by_id = ?", by).Set("answered_at = ?", tx.Now).
		Where("id IN (?)", bun.List(ids)).Exec(ctx)
	return ids, err
}

// insertEntry writes a line of the timeline of a held enrollment under its
// next number.
func insertEntry(ctx context.Context, tx *database.Tx, n *Entry) error {
	_, err := tx.NewInsert().Model(n).
		Value("number", "(SELECT coalesce(max(l.number), 0) + 1 FROM enrollment_event AS l WHERE l.enrollment_id = ?)", n.EnrollmentID).
		Returning("NULL").Exec(ctx)
	if err != nil {
		return fmt.Errorf("writing the timeline: %w", err)
	}
	return nil
}

// entriesOf reads the timelines of enrollments in order, which the caller may
// see; the operator's own lines only where they are asked for.
func entriesOf(ctx context.Context, idb bun.IDB, ids []ident.ID, internal bool) (map[ident.ID][]*Entry, error) {
	out := map[ident.ID][]*Entry{}
	if len(ids) == 0 {
		return out, nil
	}
	var rows []*Entry
	q := idb.NewSelect().Model(&rows).Where("enrollment_id IN (?)", bun.List(ids)).OrderExpr("enrollment_id, number")
	if !internal {
		q = q.Where("NOT operator_only")
	}
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("reading timelines: %w", err)
	}
	for _, r := range rows {
		out[r.EnrollmentID] = append(out[r.EnrollmentID], r)
	}
	return out, nil
}

// ---- Links and proofs

func insertLink(ctx context.Context, tx *database.Tx, l *link) error {
	_, err := tx.NewInsert().Model(l).Exec(ctx)
	return err
}

func linkByToken(ctx context.Context, idb bun.IDB, hash string) (*link, error) {
	var l link
	err := idb.NewSelect().Model(&l).Where("token_hash = ?", hash).Scan(ctx)
	if database.IsNoRows(err) {
		return nil, nil
	}
	return &l, err
}

// useLink takes a link, once; two at the same moment wait for each other.
func useLink(ctx context.Context, tx *database.Tx, l *link, outcome LinkState) (bool, error) {
	res, err := tx.NewUpdate().Model((*link)(nil)).Set("used_at = ?", tx.Now).Set("outcome = ?", outcome).
		Where("token_hash = ?", l.TokenHash).Where("used_at IS NULL").Where("expires_at > ?", tx.Now).Exec(ctx)
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	return n == 1, err
}

func insertProofs(ctx context.Context, tx *database.Tx, rows []*proof) error {
	if len(rows) == 0 {
		return nil
	}
	_, err := tx.NewInsert().Model(&rows).On("CONFLICT (enrollment_id, membership_id) DO UPDATE").Set("proved_at = EXCLUDED.proved_at").Exec(ctx)
	return err
}

func proved(ctx context.Context, idb bun.IDB, enrollment, membership ident.ID) (bool, error) {
	return idb.NewSelect().Model((*proof)(nil)).Where("enrollment_id = ?", enrollment).Where("membership_id = ?", membership).Exists(ctx)
}

// proofsOf reads which memberships were proved for an enrollment.
func proofsOf(ctx context.Context, idb bun.IDB, enrollment ident.ID) ([]ident.ID, error) {
	var ids []ident.ID
	err := idb.NewSelect().Model((*proof)(nil)).Column("membership_id").Where("enrollment_id = ?", enrollment).OrderExpr("membership_id").Scan(ctx, &ids)
	return ids, err
}

// programmeSought reports whether another enrollment whose contact has
// confirmed it asks for a programme ID.
func programmeSought(ctx context.Context, tx *database.Tx, e *Enrollment, id string) (bool, error) {
	return tx.NewSelect().Model((*Enrollment)(nil)).Where("programme_id = ?", id).Where("programme_id <> ''").Where("organization_id <> ?", e.OrganizationID).
		Where("status IN (?)", bun.List([]Status{InReview, ActionRequired, Approved})).Exists(ctx)
}
