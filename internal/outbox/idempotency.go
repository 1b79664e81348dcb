package outbox

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
)

const (
	// keyLife is how long a key is remembered.
	keyLife = 48 * time.Hour
	// keyMax is the longest key, in bytes.
	keyMax = 128
)

// Result is what a verb did when its key was first used: references only,
// never secrets.
type Result struct {
	IDs map[string]string
	At  time.Time
}

// ID is a remembered reference, "" where the name was not kept.
func (r *Result) ID(name string) ident.ID { return ident.ID(r.IDs[name]) }

type idempotencyRow struct {
	bun.BaseModel `bun:"table:idempotency,alias:idempotency"`
	ActorID       string            `bun:"actor_id,pk"`
	Verb          string            `bun:"verb,pk"`
	Key           string            `bun:"key,pk"`
	RequestHash   string            `bun:"request_hash"`
	Result        map[string]string `bun:"result,type:jsonb"`
	CreatedAt     time.Time         `bun:"created_at"`
}

// Once claims an idempotency key in the verb's own transaction, before the
// verb does anything. It returns nil where the verb shall act, and what it
// did before where the same actor sent the same request under the same key
// within 48 hours. A second transaction with the key waits for the first and
// then replays it. An empty key claims nothing. Errors at idempotencyKey:
// INVALID for a key that is not 1 to 128 printable ASCII characters,
// IDEMPOTENCY_KEY_REUSED for the same key with another input.
//
// The request is hashed as JSON: hand over the whole input.
func Once(ctx context.Context, tx *database.Tx, actor access.Actor, verb, key string, request any) (*Result, error) {
	owner := keyOwner(actor)
	if key == "" || owner == "" {
		return nil, nil
	}
	if !validKey(key) {
		return nil, fault.Invalid("idempotencyKey", fault.CodeInvalid)
	}
	hash, err := hashOf(request)
	if err != nil {
		return nil, err
	}
	row := &idempotencyRow{ActorID: owner, Verb: verb, Key: key, RequestHash: hash, Result: map[string]string{}, CreatedAt: tx.Now}
	// DO NOTHING waits for a transaction that holds the key and leaves this
	// one usable, as a unique violation would not.
	res, err := tx.NewInsert().Model(row).On("CONFLICT (actor_id, verb, key) DO NOTHING").Exec(ctx)
	if err != nil {
		return nil, fmt.Errorf("claiming an idempotency key: %w", err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 1 {
		return nil, err
	}
	old := &idempotencyRow{ActorID: owner, Verb: verb, Key: key}
	if err := tx.Lock(tx.NewSelect().Model(old).WherePK()).Scan(ctx); err != nil {
		return nil, fmt.Errorf("reading an idempotency key: %w", err)
	}
	if old.CreatedAt.Before(tx.Now.Add(-keyLife)) {
		_, err := tx.NewUpdate().Model(row).WherePK().Exec(ctx)
		return nil, err
	}
	if old.RequestHash != hash {
		return nil, fault.Invalid("idempotencyKey", fault.CodeKeyReused)
	}
	return &Result{IDs: old.Result, At: old.CreatedAt}, nil
}

// Remember keeps what the verb did under a key that Once claimed in the same
// transaction.
func Remember(ctx context.Context, tx *database.Tx, actor access.Actor, verb, key string, ids map[string]string) error {
	owner := keyOwner(actor)
	if key == "" || owner == "" {
		return nil
	}
	row := &idempotencyRow{ActorID: owner, Verb: verb, Key: key, Result: ids}
	_, err := tx.NewUpdate().Model(row).Column("result").WherePK().Exec(ctx)
	if err != nil {
		return fmt.Errorf("keeping an idempotent result: %w", err)
	}
	return nil
}

// keyOwner is whose key it is: nobody's keys would be everybody's.
func keyOwner(a access.Actor) string {
	if a.IsSystem() {
		return "system:" + a.Name
	}
	return string(a.UserID)
}

func validKey(key string) bool {
	if len(key) > keyMax {
		return false
	}
	for _, c := range []byte(key) {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}

func hashOf(request any) (string, error) {
	raw, err := json.Marshal(request)
	if err != nil {
		return "", fmt.Errorf("hashing a request: %w", err)
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:]), nil
}
