package mail

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/ident"
)

// Message is one mail to one recipient.
type Message struct {
	bun.BaseModel   `bun:"table:mail_message,alias:mail_message"`
	ID              ident.ID          `bun:"id,pk"`
	DedupeKey       string            `bun:"dedupe_key"`
	Template        string            `bun:"template"`
	Locale          string            `bun:"locale"`
	Recipient       string            `bun:"recipient"`
	RecipientFolded string            `bun:"recipient_folded"`
	Data            map[string]string `bun:"data,type:jsonb"`
	LinkPurpose     string            `bun:"link_purpose"`
	LinkPrefix      string            `bun:"link_prefix"`
	LinkPath        string            `bun:"link_path"`
	LinkSubjectID   ident.ID          `bun:"link_subject_id"`
	LinkGeneration  int               `bun:"link_generation"`
	OrganizationID  ident.ID          `bun:"organization_id"`
	SubjectID       ident.ID          `bun:"subject_id"`
	// MessageID is the Message-ID header without its angle brackets.
	MessageID string    `bun:"message_id"`
	DatedAt   time.Time `bun:"dated_at"`
	Reminder  bool      `bun:"reminder"`
	State     State     `bun:"state"`
	// Settled says that the concept was told the final state.
	Settled bool `bun:"settled"`
	// Phase, while sending, is envelope or data: whether the body may have
	// left.
	Phase         string     `bun:"phase"`
	Claim         string     `bun:"claim"`
	LeaseUntil    *time.Time `bun:"lease_until"`
	Attempts      int        `bun:"attempts"`
	NextAttemptAt *time.Time `bun:"next_attempt_at"`
	ExpiresAt     time.Time  `bun:"expires_at"`
	// MaybeDuplicate says that the recipient may get, or have got, two copies.
	MaybeDuplicate bool `bun:"maybe_duplicate"`
	// ServerReply is the server's last word: the queue id, or why not.
	ServerReply string     `bun:"server_reply"`
	FailureCode string     `bun:"failure_code"`
	RequestID   string     `bun:"request_id"`
	CreatedAt   time.Time  `bun:"created_at"`
	SentAt      *time.Time `bun:"sent_at"`
	BouncedAt   *time.Time `bun:"bounced_at"`
}

// Event is one line of a message's timeline.
type Event struct {
	bun.BaseModel `bun:"table:mail_event"`
	MessageID     ident.ID  `bun:"message_id,pk"`
	Number        int       `bun:"number,pk"`
	At            time.Time `bun:"at"`
	// Event is queued, interrupted, a state, or delayed and delivered as a
	// delivery report told.
	Event string `bun:"event"`
	Code  string `bun:"code"`
}

type suppressionRow struct {
	bun.BaseModel   `bun:"table:mail_suppression"`
	RecipientFolded string    `bun:"recipient_folded,pk"`
	Reason          string    `bun:"reason"`
	MessageID       ident.ID  `bun:"message_id"`
	CreatedAt       time.Time `bun:"created_at"`
}

type providerRow struct {
	bun.BaseModel `bun:"table:mail_provider"`
	Name          string     `bun:"name,pk"`
	TATAt         *time.Time `bun:"tat_at"`
	OpenUntil     *time.Time `bun:"open_until"`
	Failures      int        `bun:"failures"`
	Reason        string     `bun:"reason"`
}

// insert writes a message and the first line of its timeline. Nobody waits for
// a fresh one: its key cannot be there yet.
func (m *Mailer) insert(ctx context.Context, tx *database.Tx, msg *Message, fresh bool) (*Message, error) {
	q, how := tx.NewInsert().Model(msg).Returning("NULL"), database.Later(ctx)
	if !fresh {
		q, how = q.On("CONFLICT (dedupe_key) DO NOTHING"), ctx
	}
	res, err := q.Exec(how)
	if err != nil {
		return nil, fmt.Errorf("writing a message: %w", err)
	}
	if n, err := res.RowsAffected(); !fresh && err == nil && n == 0 {
		var old Message
		if err := tx.NewSelect().Model(&old).Where("dedupe_key = ?", msg.DedupeKey).Scan(ctx); err != nil {
			return nil, fmt.Errorf("reading the message of a key: %w", err)
		}
		return &old, nil
	}
	if _, err := tx.NewInsert().Model(&Event{MessageID: msg.ID, Number: 1, At: tx.Now, Event: "queued"}).Exec(database.Later(ctx)); err != nil {
		return nil, fmt.Errorf("writing a mail event: %w", err)
	}
	return msg, nil
}

// note adds a line to the timeline; the message's row is locked or new.
func note(ctx context.Context, tx *database.Tx, id ident.ID, event, code string) error {
	_, err := tx.NewRaw(`INSERT INTO mail_event (message_id, number, at, event, code)
		SELECT ?, coalesce(max(number), 0) + 1, ?, ?, ? FROM mail_event WHERE message_id = ?`,
		id, tx.Now, event, code, id).Exec(ctx)
	if err != nil {
		return fmt.Errorf("writing a mail event: %w", err)
	}
	return nil
}

func load(ctx context.Context, idb bun.IDB, id ident.ID) (*Message, error) {
	var msg Message
	err := idb.NewSelect().Model(&msg).Where("id = ?", id).Scan(ctx)
	if database.IsNoRows(err) {
		return nil, notFound()
	}
	if err != nil {
		return nil, fmt.Errorf("reading a message: %w", err)
	}
	return &msg, nil
}

func lock(ctx context.Context, tx *database.Tx, column, value string) (*Message, error) {
	var msg Message
	err := tx.Lock(tx.NewSelect().Model(&msg).Where("? = ?", bun.Ident(column), value)).Scan(ctx)
	if database.IsNoRows(err) {
		return nil, notFound()
	}
	if err != nil {
		return nil, fmt.Errorf("locking a message: %w", err)
	}
	return &msg, nil
}

// save writes what an attempt changes.
func save(ctx context.Context, tx *database.Tx, msg *Message) error {
	_, err := tx.NewUpdate().Model(msg).WherePK().
		Column("state", "settled", "phase", "claim", "lease_until", "attempts", "next_attempt_at", "maybe_duplicate",
			"server_reply", "failure_code", "expires_at", "sent_at", "bounced_at").Exec(ctx)
	if err != nil {
		return fmt.Errorf("saving a message: %w", err)
	}
	return nil
}

// hold extends the lease of a claim, and moves it to a phase unless "". It
// reports false where the claim was lost.
func (m *Mailer) hold(ctx context.Context, id ident.ID, claim, phase string) (bool, error) {
	q := m.db.Bun().NewUpdate().Model((*Message)(nil)).Set("lease_until = ?", m.db.Now().Add(m.cfg.Lease)).
		Where("id = ?", id).Where("claim = ?", claim).Where("state = ?", Sending)
	if phase != "" {
		q = q.Set("phase = ?", phase)
	}
	res, err := q.Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("extending the lease of a message: %w", err)
	}
	n, err := res.RowsAffected()
	return n == 1, err
}

// Find reads one message. Error: NOT_FOUND.
func (m *Mailer) Find(ctx context.Context, id ident.ID) (*Message, error) {
	return load(ctx, m.db.Read(), id)
}

// BySubject reads the messages about some records, oldest first, for loaders.
// Whoever asks has checked that these records may be seen.
func (m *Mailer) BySubject(ctx context.Context, subjects []ident.ID) (map[ident.ID][]*Message, error) {
	out := map[ident.ID][]*Message{}
	if len(subjects) == 0 {
		return out, nil
	}
	var rows []*Message
	err := m.db.Read().NewSelect().Model(&rows).Where("subject_id IN (?)", bun.List(subjects)).
		Order("created_at", "id").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading messages by subject: %w", err)
	}
	for _, r := range rows {
		out[r.SubjectID] = append(out[r.SubjectID], r)
	}
	return out, nil
}

// Events reads the timelines of some messages.
func (m *Mailer) Events(ctx context.Context, ids []ident.ID) (map[ident.ID][]*Event, error) {
	out := map[ident.ID][]*Event{}
	if len(ids) == 0 {
		return out, nil
	}
	var rows []*Event
	err := m.db.Read().NewSelect().Model(&rows).Where("message_id IN (?)", bun.List(ids)).
		Order("message_id", "number").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading mail events: %w", err)
	}
	for _, r := range rows {
		out[r.MessageID] = append(out[r.MessageID], r)
	}
	return out, nil
}

// Suppressed reports whether nothing is sent to an address any more.
func (m *Mailer) Suppressed(ctx context.Context, addr string) (bool, error) {
	return suppressed(ctx, m.db.Read(), folded(addr))
}

func suppressed(ctx context.Context, idb bun.IDB, folded string) (bool, error) {
	ok, err := idb.NewSelect().Model((*suppressionRow)(nil)).Where("recipient_folded = ?", folded).Exists(ctx)
	if err != nil {
		return false, fmt.Errorf("reading the suppression list: %w", err)
	}
	return ok, nil
}

// Suppress puts an address on the suppression list, with a reason code and
// the message that caused it, or "".
func (m *Mailer) Suppress(ctx context.Context, tx *database.Tx, addr, reason string, cause ident.ID) error {
	_, err := tx.NewInsert().Model(&suppressionRow{RecipientFolded: folded(addr), Reason: reason, MessageID: cause, CreatedAt: tx.Now}).
		On("CONFLICT (recipient_folded) DO NOTHING").Exec(ctx)
	if err != nil {
		return fmt.Errorf("suppressing an address: %w", err)
	}
	return nil
}

// Unsuppress takes an address off the suppression list; it reports whether it
// stood there, and the message that had put it there, or "".
func (m *Mailer) Unsuppress(ctx context.Context, tx *database.Tx, addr string) (found bool, cause ident.ID, err error) {
	err = tx.NewDelete().Model((*suppressionRow)(nil)).Where("recipient_folded = ?", folded(addr)).Returning("message_id").Scan(ctx, &cause)
	if database.IsNoRows(err) {
		return false, "", nil
	}
	if err != nil {
		return false, "", fmt.Errorf("lifting a suppression: %w", err)
	}
	return true, cause, nil
}

// provider reads the server's row, locked, making it at first use.
func (m *Mailer) provider(ctx context.Context, tx *database.Tx) (*providerRow, error) {
	row := &providerRow{}
	read := func() error {
		return tx.Lock(tx.NewSelect().Model(row).Where("name = ?", m.server.name)).Scan(ctx)
	}
	err := read()
	if database.IsNoRows(err) {
		if _, err = tx.NewInsert().Model(&providerRow{Name: m.server.name}).On("CONFLICT (name) DO NOTHING").Exec(ctx); err == nil {
			err = read()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("reading the mail server's state: %w", err)
	}
	return row, nil
}

// peekProvider reads the server's row without a lock; nil where there is none.
func (m *Mailer) peekProvider(ctx context.Context, tx *database.Tx) (*providerRow, error) {
	row := &providerRow{}
	err := tx.NewSelect().Model(row).Where("name = ?", m.server.name).Scan(ctx)
	if database.IsNoRows(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the mail server's state: %w", err)
	}
	return row, nil
}

func saveProvider(ctx context.Context, tx *database.Tx, row *providerRow) error {
	if _, err := tx.NewUpdate().Model(row).WherePK().Column("tat_at", "open_until", "failures", "reason").Exec(ctx); err != nil {
		return fmt.Errorf("saving the mail server's state: %w", err)
	}
	return nil
}
