package secret

import (
	"hash/crc32"
	"strings"
)

const (
	base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	// checkedLen is the number of random characters of a checked token, the
	// least that hold 256 bits; sumLen is that of its checksum.
	checkedLen = 43
	sumLen     = 6
)

// NewChecked mints a token for programs: the prefix, 43 random base62
// characters, and 6 that are the CRC-32 (IEEE) of all before them, so that a
// mistyped token and a secret scanner's false finding are told without a
// database (security decision D9). The checksum proves nothing.
func NewChecked(prefix string) String {
	out := []byte(prefix + "_")
	for end := len(out) + checkedLen; len(out) < end; {
		for _, b := range random(checkedLen) {
			if int(b) < 256-256%len(base62) && len(out) < end {
				out = append(out, base62[int(b)%len(base62)])
			}
		}
	}
	return String(out) + String(checksum(string(out)))
}

// IsChecked reports whether a text has the form and the checksum of a checked
// token with the prefix.
func IsChecked(token, prefix string) bool {
	body, ok := strings.CutPrefix(token, prefix+"_")
	if !ok || len(body) != checkedLen+sumLen || strings.Trim(body, base62) != "" {
		return false
	}
	end := len(token) - sumLen
	return checksum(token[:end]) == token[end:]
}

func checksum(s string) string {
	n := crc32.ChecksumIEEE([]byte(s))
	var out [sumLen]byte
	for i := sumLen - 1; i >= 0; i-- {
		out[i] = base62[n%62]
		n /= 62
	}
	return string(out[:])
}
