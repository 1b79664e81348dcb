package audit

import (
	"context"
	"encoding/hex"
	"fmt"
	"hash"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/ident"
)

// Head is a seal as it was written down elsewhere, such as in a log.
type Head struct {
	Number int64
	Hash   string
}

// ParseHead reads NUMBER:HASH, as a head is printed.
func ParseHead(text string) (Head, error) {
	number, sum, _ := strings.Cut(text, ":")
	n, err := strconv.ParseInt(number, 10, 64)
	if raw, herr := hex.DecodeString(sum); err != nil || herr != nil || n < 1 || len(raw) != 32 {
		return Head{}, fmt.Errorf("a head is NUMBER:HASH, such as 12:%s", strings.Repeat("0f", 32))
	}
	return Head{n, strings.ToLower(sum)}, nil
}

// String is NUMBER:HASH.
func (h Head) String() string { return fmt.Sprintf("%d:%s", h.Number, h.Hash) }

// Flaw says what is wrong with an audit.
type Flaw string

// Flaws. Those of seals are found where no single event can be named.
const (
	EventChanged Flaw = "EVENT_CHANGED"
	EventMissing Flaw = "EVENT_MISSING"
	EventExtra   Flaw = "EVENT_EXTRA"
	EventMoved   Flaw = "EVENT_MOVED"
	SealChanged  Flaw = "SEAL_CHANGED"
	SealMissing  Flaw = "SEAL_MISSING"
	SealExtra    Flaw = "SEAL_EXTRA"
)

// Finding is the first place at which an audit is not what was sealed.
type Finding struct {
	Flaw Flaw
	// Seal is the seal's number; 0 for an event that is in none.
	Seal int64
	// Position is the place in the seal, from 0; -1 where it is not about one.
	Position int
	// EventID is "" where the event cannot be named.
	EventID ident.ID
}

// String is the finding as a sentence.
func (f *Finding) String() string {
	event := "event " + string(f.EventID)
	if f.EventID == "" {
		event = "the event"
	}
	place := fmt.Sprintf("%s at place %d of seal %d", event, f.Position+1, f.Seal)
	switch f.Flaw {
	case EventChanged:
		return place + " was changed"
	case EventMissing:
		return place + " is missing"
	case EventMoved:
		return place + " was moved"
	case EventExtra:
		if f.Seal == 0 {
			return event + " was added: its time had been sealed without it"
		}
		return place + " was added"
	case SealMissing:
		return fmt.Sprintf("seal %d is missing", f.Seal)
	case SealExtra:
		return fmt.Sprintf("seal %d was added", f.Seal)
	}
	return fmt.Sprintf("seal %d was changed, or events together with their digests", f.Seal)
}

// Report is what a verification found.
type Report struct {
	// Seals and Events count what was recomputed and found as it was sealed.
	Seals  int
	Events int
	// Head is the newest seal that was looked at; zero without one.
	Head Head
	// Unsealed counts the events that wait for their seal; Late those that
	// were sealed although their time had been settled before.
	Unsealed int
	Late     int
	// Finding is the first flaw; nil where all is well.
	Finding *Finding
}

// VerifyOptions narrow or sharpen a verification.
type VerifyOptions struct {
	// From is the first seal to recompute; the one before it is taken as it
	// stands. Zero means all.
	From int64
	// Head is a seal that the chain must hold: without one from outside the
	// database nobody can tell a chain that was rewritten from its end.
	Head *Head
}

// Verify recomputes the chain over the stored events, a few at a time, and
// stops at the first flaw. It changes nothing; the error is of reading, or
// says that there is no seal to begin at.
func Verify(ctx context.Context, db *database.DB, o VerifyOptions) (*Report, error) {
	v := &verifier{db: db.Read()}
	if err := v.chain(ctx, o.From); err != nil {
		return nil, err
	}
	for _, check := range []func(context.Context) error{
		func(ctx context.Context) error { return v.head(ctx, o.Head) }, v.strays, v.outside,
	} {
		if v.Finding != nil {
			break
		}
		if err := check(ctx); err != nil {
			return nil, err
		}
	}
	return &v.Report, nil
}

type verifier struct {
	Report
	db       bun.IDB
	previous Seal // zero before the first one
}

func (v *verifier) found(flaw Flaw, seal int64, position int, event ident.ID) {
	v.Finding = &Finding{Flaw: flaw, Seal: seal, Position: position, EventID: event}
}

// chain walks the seals.
func (v *verifier) chain(ctx context.Context, from int64) error {
	next := int64(math.MinInt32)
	if from > 1 {
		err := v.db.NewSelect().Model(&v.previous).Where("number = ?", from-1).Scan(ctx)
		if database.IsNoRows(err) {
			return fmt.Errorf("there is no seal %d before seal %d to begin after", from-1, from)
		}
		if err != nil {
			return fmt.Errorf("reading seal %d: %w", from-1, err)
		}
		next, v.Head = from, Head{from - 1, v.previous.Hash}
	}
	for {
		var seals []*Seal
		if err := v.db.NewSelect().Model(&seals).Where("number >= ?", next).OrderExpr("number").Limit(100).Scan(ctx); err != nil {
			return fmt.Errorf("reading seals: %w", err)
		}
		for _, s := range seals {
			expected := v.previous.Number + 1
			switch {
			case s.Number < expected:
				v.found(SealExtra, s.Number, -1, "")
			case s.Number > expected:
				v.found(SealMissing, expected, -1, "")
			case s.PreviousHash != v.previous.Hash:
				v.found(SealChanged, s.Number, -1, "")
			default:
				if err := v.seal(ctx, s); err != nil {
					return fmt.Errorf("reading the events of seal %d: %w", s.Number, err)
				}
			}
			if v.Finding != nil {
				return nil
			}
			v.Seals++
			v.Events += s.EventCount
			v.Head, v.previous, next = Head{s.Number, s.Hash}, *s, s.Number+1
		}
		if len(seals) < 100 {
			return nil
		}
	}
}

// seal recomputes one seal over its events.
func (v *verifier) seal(ctx context.Context, s *Seal) error {
	h := s.hasher()
	after, count := math.MinInt32, 0
	var last *Event
	for {
		var rows []*sealedRow
		if err := v.db.NewSelect().Model(&rows).Where("seal_number = ?", s.Number).Where("position > ?", after).
			OrderExpr("position").Limit(sealRows).Scan(ctx); err != nil {
			return err
		}
		events, err := v.events(ctx, rows)
		if err != nil {
			return err
		}
		for _, r := range rows {
			if last = v.event(s, h, r, count, events[r.EventID], last); last == nil {
				return nil
			}
			count, after = count+1, r.Position
		}
		if len(rows) < sealRows {
			break
		}
	}
	switch {
	case count < s.EventCount:
		v.found(EventMissing, s.Number, count, "")
	case hex.EncodeToString(h.Sum(nil)) != s.Hash:
		v.found(SealChanged, s.Number, -1, "")
	}
	return nil
}

func (v *verifier) events(ctx context.Context, rows []*sealedRow) (map[ident.ID]*Event, error) {
	out := make(map[ident.ID]*Event, len(rows))
	if len(rows) == 0 {
		return out, nil
	}
	ids := make([]ident.ID, len(rows))
	for i, r := range rows {
		ids[i] = r.EventID
	}
	var events []*Event
	err := v.db.NewSelect().Model(&events).Where("audit_event.id IN (?)", bun.List(ids)).Scan(ctx)
	for _, e := range events {
		out[e.ID] = e
	}
	return out, err
}

// event checks the row that is to stand at place i of a seal and gives its
// event, or nil with a finding.
func (v *verifier) event(s *Seal, h hash.Hash, r *sealedRow, i int, e, last *Event) *Event {
	switch {
	case r.Position < i || i >= s.EventCount:
		v.found(EventExtra, s.Number, r.Position, r.EventID)
	case r.Position > i:
		v.found(EventMissing, s.Number, i, "")
	case e == nil:
		v.found(EventMissing, s.Number, i, r.EventID)
	case e.digest() != r.Digest:
		v.found(EventChanged, s.Number, i, r.EventID)
	case last != nil && (e.At.Before(last.At) || e.At.Equal(last.At) && e.ID <= last.ID):
		v.found(EventMoved, s.Number, i, r.EventID)
	default:
		field(h, r.Digest)
		if !e.At.After(v.previous.SettledAt) {
			v.Late++
		}
		return e
	}
	return nil
}

// head looks for a seal that was written down elsewhere.
func (v *verifier) head(ctx context.Context, want *Head) error {
	if want == nil {
		return nil
	}
	var s Seal
	err := v.db.NewSelect().Model(&s).Where("number = ?", want.Number).Scan(ctx)
	switch {
	case database.IsNoRows(err):
		v.found(SealMissing, want.Number, -1, "")
	case err != nil:
		return fmt.Errorf("reading seal %d: %w", want.Number, err)
	case s.Hash != want.Hash:
		v.found(SealChanged, s.Number, -1, "")
	}
	return nil
}

// strays looks for places in seals that are not there.
func (v *verifier) strays(ctx context.Context) error {
	var rows []*sealedRow
	err := v.db.NewSelect().Model(&rows).Where("(seal_number < 1 OR seal_number > ?)", v.Head.Number).
		Where("NOT EXISTS (SELECT 1 FROM audit_seal AS seal WHERE seal.number = sealed.seal_number)").
		OrderExpr("seal_number, position").Limit(1).Scan(ctx)
	if err != nil {
		return fmt.Errorf("looking for places without a seal: %w", err)
	}
	for _, r := range rows {
		v.found(SealMissing, r.SealNumber, -1, "")
	}
	return nil
}

// outside looks at the events that are in no seal.
func (v *verifier) outside(ctx context.Context) error {
	var settled time.Time
	if v.previous.Number > 0 {
		settled = v.previous.SettledAt
		var events []*Event
		if err := v.db.NewSelect().Model(&events).Where("audit_event.at <= ?", settled).Where(unsealed).
			OrderExpr("audit_event.at, audit_event.id").Limit(1).Scan(ctx); err != nil {
			return fmt.Errorf("looking for events outside the seals: %w", err)
		}
		for _, e := range events {
			v.found(EventExtra, 0, -1, e.ID)
			return nil
		}
	}
	n, err := v.db.NewSelect().Model((*Event)(nil)).Where("audit_event.at > ?", settled).Where(unsealed).Count(ctx)
	if err != nil {
		return fmt.Errorf("counting the events that wait for their seal: %w", err)
	}
	v.Unsealed = int(n)
	return nil
}
