package audit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"strconv"
	"time"

	"github.com/uptrace/bun"

	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/ident"
)

const (
	// settle is how long an event rests before it is sealed: longer than any
	// transaction lasts and than the clocks of a fleet may differ.
	settle = 5 * time.Minute
	// lookBack is how far before the newest sealed event the frequent sealing
	// looks for stragglers; the daily one looks at everything.
	lookBack = 24 * time.Hour
	// sealSize is the most events that one seal holds.
	sealSize = 10_000
	// sealRows is how many rows one statement reads or writes.
	sealRows = 1_000
)

// Seal is one link of the chain: it names a batch of events by their digests
// and the seal before it by its hash.
type Seal struct {
	bun.BaseModel `bun:"table:audit_seal,alias:seal"`
	// Number counts from 1 without gaps.
	Number int64 `bun:"number,pk"`
	// FirstAt, LastAt and LastEventID are of its first and last event in the
	// order of moment and id.
	FirstAt     time.Time `bun:"first_at"`
	LastAt      time.Time `bun:"last_at"`
	LastEventID ident.ID  `bun:"last_event_id"`
	EventCount  int       `bun:"event_count"`
	// SettledAt is up to when all events known were sealed, by this seal or
	// former ones: what is recorded for that time later on is late. It never
	// goes back.
	SettledAt time.Time `bun:"settled_at"`
	SealedAt  time.Time `bun:"sealed_at"`
	// PreviousHash is the former seal's Hash, "" in the first one.
	PreviousHash string `bun:"previous_hash"`
	Hash         string `bun:"hash"`
}

// sealedRow says which event stands at which place of which seal.
type sealedRow struct {
	bun.BaseModel `bun:"table:audit_sealed,alias:sealed"`
	EventID       ident.ID `bun:"event_id,pk"`
	SealNumber    int64    `bun:"seal_number"`
	Position      int      `bun:"position"`
	Digest        string   `bun:"digest"`
}

// Fields are hashed as netstrings ("3:abc,"), so that no two lists of fields
// read alike; moments as microseconds since 1970, numbers in decimal.
func field(h hash.Hash, values ...string) {
	for _, v := range values {
		fmt.Fprintf(h, "%d:%s,", len(v), v)
	}
}

func micros(t time.Time) string { return strconv.FormatInt(t.UnixMicro(), 10) }

// digest is the SHA-256, in hex, of an event's fields in this order: the
// word below, id, at, actor id, actor kind, organization id, on behalf of id,
// action, target id, target organization id, the number of changed fields and
// each of them, outcome, reason, request id and, where a personal token acted,
// its id: without one nothing stands there, so that events from before tokens
// were recorded keep their digests. The actor's name and network are personal
// and stay out, so that erasing them leaves the chain whole.
func (e *Event) digest() string {
	h := sha256.New()
	field(h, "channelgraph audit event 1", string(e.ID), micros(e.At), string(e.ActorID), string(e.ActorKind), string(e.OrganizationID),
		string(e.OnBehalfOfID), e.Action, string(e.TargetID), string(e.TargetOrganizationID), strconv.Itoa(len(e.Changed)))
	field(h, e.Changed...)
	field(h, string(e.Outcome), e.Reason, e.RequestID)
	if e.TokenID != "" {
		field(h, string(e.TokenID))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// hasher begins a seal's hash: the word below, number, previous hash, first
// at, last at, last event's id, event count, settled at, sealed at; then
// follow the digests of its events in order. The hash is the SHA-256 of all
// that, in hex.
func (s *Seal) hasher() hash.Hash {
	h := sha256.New()
	field(h, "channelgraph audit seal 1", strconv.FormatInt(s.Number, 10), s.PreviousHash, micros(s.FirstAt), micros(s.LastAt),
		string(s.LastEventID), strconv.Itoa(s.EventCount), micros(s.SettledAt), micros(s.SealedAt))
	return h
}

// unsealed is the condition that an event is in no seal.
const unsealed = "NOT EXISTS (SELECT 1 FROM audit_sealed AS sealed WHERE sealed.event_id = audit_event.id)"

// errOvertaken says that another process has written the seal meanwhile.
var errOvertaken = errors.New("another process sealed the audit meanwhile")

// seal seals every event that has rested, in as many seals as it takes, and
// tells how many events it sealed. Any number of processes may do it at once:
// the number of a seal decides who wrote it, the others begin anew. An event
// that was committed late falls into the next seal; all looks for such ones
// however old they are.
func (s *Service) seal(ctx context.Context, all bool) (int, error) {
	now := s.db.Now()
	var after *Event // what was read in this run lies behind it
	total := 0
	for {
		// The newest seal is read before the events, so that a seal written
		// between the two takes the number from this one.
		var newest []*Seal
		if err := s.db.Read().NewSelect().Model(&newest).OrderExpr("number DESC").Limit(1).Scan(ctx); err != nil {
			return total, fmt.Errorf("reading the newest seal: %w", err)
		}
		next := &Seal{Number: 1, SettledAt: now.Add(-settle), SealedAt: now}
		var settled time.Time
		if len(newest) == 1 {
			next.Number, next.PreviousHash, settled = newest[0].Number+1, newest[0].Hash, newest[0].SettledAt
		}
		events, err := s.rested(ctx, next.SettledAt, after, all)
		if len(events) == s.sealSize { // others of the last one's moment may follow
			next.SettledAt = events[len(events)-1].At.Add(-time.Microsecond)
		}
		if next.SettledAt.Before(settled) {
			next.SettledAt = settled
		}
		if err != nil {
			return total, fmt.Errorf("reading events to seal: %w", err)
		}
		if len(events) == 0 {
			return total, nil
		}
		rows, late := next.close(events, settled)
		err = s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error { return next.write(ctx, tx, rows) })
		if errors.Is(err, errOvertaken) {
			continue
		}
		if err != nil {
			return total, fmt.Errorf("writing seal %d: %w", next.Number, err)
		}
		// The head leaves the machine with the logs: who rewrites the chain
		// cannot rewrite it there.
		s.log.InfoContext(ctx, "audit sealed", "seal", next.Number, "hash", next.Hash, "events", next.EventCount)
		if late > 0 {
			s.log.WarnContext(ctx, "audit events were sealed late", "seal", next.Number, "late", late)
		}
		total += len(events)
		if len(events) < s.sealSize {
			return total, nil
		}
		after = events[len(events)-1]
	}
}

// rested reads the events of the next seal in order.
func (s *Service) rested(ctx context.Context, until time.Time, after *Event, all bool) ([]*Event, error) {
	var events []*Event
	q := s.db.Read().NewSelect().Model(&events).Where("audit_event.at <= ?", until).Where(unsealed).
		OrderExpr("audit_event.at, audit_event.id").Limit(int64(s.sealSize))
	if after != nil {
		q = q.Where("(audit_event.at, audit_event.id) > (?, ?)", after.At, after.ID)
	} else if !all {
		var furthest []*Seal
		if err := s.db.Read().NewSelect().Model(&furthest).OrderExpr("last_at DESC").Limit(1).Scan(ctx); err != nil {
			return nil, err
		}
		if len(furthest) == 1 {
			q = q.Where("audit_event.at > ?", furthest[0].LastAt.Add(-lookBack))
		}
	}
	return events, q.Scan(ctx)
}

// close fills the seal from its events and tells how many of them were
// recorded for a time that had been settled.
func (s *Seal) close(events []*Event, settled time.Time) (rows []*sealedRow, late int) {
	last := events[len(events)-1]
	s.FirstAt, s.LastAt, s.LastEventID, s.EventCount = events[0].At, last.At, last.ID, len(events)
	h := s.hasher()
	rows = make([]*sealedRow, len(events))
	for i, e := range events {
		rows[i] = &sealedRow{EventID: e.ID, SealNumber: s.Number, Position: i, Digest: e.digest()}
		field(h, rows[i].Digest)
		if !e.At.After(settled) {
			late++
		}
	}
	s.Hash = hex.EncodeToString(h.Sum(nil))
	return rows, late
}

func (s *Seal) write(ctx context.Context, tx *database.Tx, rows []*sealedRow) error {
	taken, err := tx.NewSelect().Model((*Seal)(nil)).Where("number >= ?", s.Number).Exists(ctx)
	if err != nil {
		return err
	}
	if taken {
		return errOvertaken
	}
	if _, err := tx.NewInsert().Model(s).Exec(ctx); err != nil {
		if database.IsUnique(err) {
			return errOvertaken
		}
		return err
	}
	for len(rows) > 0 {
		part := rows[:min(len(rows), sealRows)]
		rows = rows[len(part):]
		if _, err := tx.NewInsert().Model(&part).Exec(ctx); err != nil {
			return err
		}
	}
	return nil
}
