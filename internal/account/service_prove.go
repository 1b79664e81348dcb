package account

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/secret"
)

// Challenge is an attempt to prove a password that is no account's own, such
// as one of an imported register.
type Challenge struct {
	// Realm names the kind of password; each has its own allowances.
	Realm string
	// Name is whose password it is said to be, folded.
	Name string
	// Stored is the hash of that password. Nobody's is "", or, where hashes
	// were made with other parameters than ours, somebody else's: then the
	// work is the same, and Nobody tells that the answer is no.
	Stored string
	Nobody bool
}

// Prove checks a password under the rules of security decisions D3 and D5:
// charged by name, by network and by who asks, the same work whether the name
// is known or not, never logged. It must not be called inside a transaction.
// fresh is a hash with today's parameters where the stored one is older.
// Errors: RATE_LIMITED, BUSY.
func (s *Service) Prove(ctx context.Context, actor access.Actor, c Challenge, password secret.String) (ok bool, fresh string, err error) {
	keys := []struct {
		key string
		a   allowance
	}{
		{s.keys.Blind(c.Realm, "network", actor.IPPrefix), perNetwork},
		{s.keys.Blind(c.Realm, "pair", c.Name, actor.IPPrefix), perAccountAndNetwork},
		{s.keys.Blind(c.Realm, "account", c.Name), perAccount},
		{s.keys.Blind(c.Realm, "caller", string(actor.UserID)), perAccount},
	}
	err = s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		for _, k := range keys {
			if _, err := spend(ctx, tx, k.key, k.a); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return false, "", err
	}
	ok, stale, err := s.hasher.verify(ctx, password.Reveal(), c.Stored)
	ok = ok && !c.Nobody
	if err == nil && !ok {
		return false, "", nil
	}
	undo := s.db.InTx(context.WithoutCancel(ctx), func(ctx context.Context, tx *database.Tx) error {
		for _, k := range keys {
			row, err := lockTally(ctx, tx, k.key)
			if err != nil {
				return err
			}
			row.refund(tx.Now, k.a)
			if err := saveTally(ctx, tx, row); err != nil {
				return err
			}
		}
		return nil
	})
	if err = errors.Join(err, undo); err != nil {
		return false, "", err
	}
	if stale {
		if fresh, err = s.hasher.hash(ctx, password.Reveal()); err != nil {
			fresh = "" // the next proof will do it
		}
	}
	return true, fresh, nil
}

// HashPassword makes the hash of a password that is no account's own, with
// the parameters of D3. Error: BUSY.
func (s *Service) HashPassword(ctx context.Context, password secret.String) (string, error) {
	return s.hasher.hash(ctx, password.Reveal())
}

// What a hash of another origin may cost: more would let whoever made it keep
// a server busy with every attempt.
const (
	maxMemory  = 256 << 10 // KiB
	maxPasses  = 10
	maxThreads = 16
)

// IsPasswordHash reports whether a text is an argon2id hash in the usual form
// ($argon2id$v=19$m=…,t=…,p=…$salt$key) whose work is bounded.
func IsPasswordHash(s string) bool {
	parts := strings.Split(s, "$")
	if len(s) > 400 || len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return false
	}
	var m, t, p uint32
	if n, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &m, &t, &p); err != nil || n != 3 || parts[3] != fmt.Sprintf("m=%d,t=%d,p=%d", m, t, p) {
		return false
	}
	salt, err := base64.RawStdEncoding.DecodeString(parts[4])
	key, kerr := base64.RawStdEncoding.DecodeString(parts[5])
	return err == nil && kerr == nil && len(salt) >= 8 && len(salt) <= 64 && len(key) >= 16 && len(key) <= 64 &&
		t >= 1 && t <= maxPasses && p >= 1 && p <= maxThreads && m >= 8*p && m <= maxMemory
}
