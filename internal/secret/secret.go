// Package secret mints, derives, hashes and hides what must not be read:
// session tokens, the tokens of mailed links, and the instance key they are
// derived from (security decisions D4, D10, D12). It never stores anything.
package secret

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/channelgraph/channelgraph/internal/ident"
)

// String holds a value that must not reach a log, an error or JSON.
type String string

const hidden = "[hidden]"

// String hides the value.
func (String) String() string { return hidden }

// GoString hides the value.
func (String) GoString() string { return hidden }

// LogValue hides the value.
func (String) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalText hides the value.
func (String) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// Reveal is the value itself, for the one place that needs it.
func (s String) Reveal() string { return string(s) }

// Keys derives tokens from the instance key.
type Keys struct {
	capability []byte
	link       []byte
	visitor    []byte
	webhook    []byte
}

// NewKeys makes the keys of an instance; master must hold at least 32 bytes.
func NewKeys(master []byte) (*Keys, error) {
	if len(master) < 32 {
		return nil, errors.New("the instance key needs 32 bytes or more")
	}
	derive := func(info string) []byte {
		k, err := hkdf.Key(sha256.New, master, nil, "channelgraph/"+info, 32)
		if err != nil {
			panic(err) // only for lengths out of range
		}
		return k
	}
	return &Keys{capability: derive("capability/1"), link: derive("link/1"), visitor: derive("visitor/1"), webhook: derive("webhook/1")}, nil
}

// ParseKey reads an instance key as base64 or hex.
func ParseKey(s string) ([]byte, error) {
	s = strings.TrimSpace(s)
	if b, err := hex.DecodeString(s); err == nil && len(b) >= 32 {
		return b, nil
	}
	for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
		if b, err := enc.DecodeString(s); err == nil && len(b) >= 32 {
			return b, nil
		}
	}
	return nil, errors.New("not 32 bytes or more as base64 or hex")
}

// NewMaster makes a fresh instance key as base64.
func NewMaster() string { return base64.StdEncoding.EncodeToString(random(32)) }

// Capability is the token of a mailed link: 256 bits derived from purpose,
// subject and generation, so that a retry renders the same mail and no table
// holds the token. prefix is the purpose's own, such as "cgi".
func (k *Keys) Capability(prefix, purpose string, id ident.ID, generation int) String {
	m := hmac.New(sha256.New, k.capability)
	fmt.Fprintf(m, "%s\x00%s\x00%d", purpose, id, generation)
	return String(prefix + "_" + base64.RawURLEncoding.EncodeToString(m.Sum(nil)))
}

// Handle is the token of a reusable link (security decision D10): it names
// the link's id and proves its generation with 128 bits. It can be shown
// again at any time and nothing but id and generation is stored.
func (k *Keys) Handle(id ident.ID, generation int) String {
	return String("cgl_" + id.Body() + base64.RawURLEncoding.EncodeToString(k.handleMAC(id.Body(), generation)))
}

func (k *Keys) handleMAC(body string, generation int) []byte {
	m := hmac.New(sha256.New, k.link)
	m.Write([]byte(body))
	var g [8]byte
	binary.BigEndian.PutUint64(g[:], uint64(generation)) // generations count up from 1
	m.Write(g[:])
	return m.Sum(nil)[:16]
}

// HandleID reads the id that a handle claims; CheckHandle proves it.
func HandleID(handle, prefix string) (ident.ID, bool) {
	rest, ok := strings.CutPrefix(handle, "cgl_")
	if !ok || len(rest) != 26+22 {
		return "", false
	}
	id := ident.ID(prefix + "_" + rest[:26])
	return id, id.Kind() != ""
}

// CheckHandle reports whether the handle is that of id and generation.
func (k *Keys) CheckHandle(handle string, id ident.ID, generation int) bool {
	return hmac.Equal([]byte(handle), []byte(k.Handle(id, generation).Reveal()))
}

// WebhookPrefix begins the secret of a webhook endpoint.
const WebhookPrefix = "whsec_"

// Webhook is the secret that signs what is sent to a webhook endpoint, in the
// form of the Standard Webhooks specification: 32 bytes derived from the
// endpoint's id and the secret's generation, so that no table holds it.
func (k *Keys) Webhook(id ident.ID, generation int) String {
	return String(WebhookPrefix + base64.StdEncoding.EncodeToString(k.webhookMAC(id, generation)))
}

func (k *Keys) webhookMAC(id ident.ID, generation int) []byte {
	m := hmac.New(sha256.New, k.webhook)
	fmt.Fprintf(m, "%s\x00%d", id, generation)
	return m.Sum(nil)
}

// SignWebhook is one signature of a message to an endpoint, by the same
// specification.
func (k *Keys) SignWebhook(id ident.ID, generation int, message string, at time.Time, body []byte) string {
	m := hmac.New(sha256.New, k.webhookMAC(id, generation))
	fmt.Fprintf(m, "%s.%d.", message, at.Unix())
	m.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(m.Sum(nil))
}

// Blind is a keyed digest of a value, for throttle keys and log references
// that must not hold the value itself.
func (k *Keys) Blind(parts ...string) string {
	m := hmac.New(sha256.New, k.visitor)
	m.Write([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(m.Sum(nil)[:16])
}

// NewToken mints a random 256-bit token with a prefix.
func NewToken(prefix string) String {
	return String(prefix + "_" + base64.RawURLEncoding.EncodeToString(random(32)))
}

// NewPassword makes a readable random password of 20 characters.
func NewPassword() String {
	const alphabet = "abcdefghjkmnpqrstuvwxyzABCDEFGHJKMNPQRSTUVWXYZ23456789"
	out := make([]byte, 0, 20)
	for len(out) < 20 {
		for _, b := range random(32) {
			if int(b) < 256-256%len(alphabet) && len(out) < 20 {
				out = append(out, alphabet[int(b)%len(alphabet)])
			}
		}
	}
	return String(out)
}

// Hash is what a table keeps of a token: SHA-256 as hex.
func Hash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

func random(n int) []byte {
	b := make([]byte, n)
	if _, err := rand.Read(b); err != nil {
		panic(err)
	}
	return b
}
