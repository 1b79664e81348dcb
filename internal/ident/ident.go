// Package ident makes and reads identifiers. An id is a three letter prefix
// that says the kind of thing, an underscore, and 26 characters that sort by
// creation time and end in 80 random bits. It never tells the tenant.
package ident

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"strings"
	"time"
)

// ID names one record. It is opaque to clients.
type ID string

// Prefixes, one a kind.
const (
	Organization        = "org"
	User                = "usr"
	Session             = "ses"
	Link                = "lnk"
	Partner             = "par"
	Invitation          = "inv"
	Proposal            = "plk"
	Partnership         = "psh"
	Termination         = "trm"
	Job                 = "job"
	Mail                = "msg"
	Audit               = "aud"
	Token               = "tok"
	Export              = "exp"
	Webhook             = "whk"
	WebhookEvent        = "evt"
	Delivery            = "dlv"
	Holiday             = "hol"
	File                = "fil"
	Membership          = "mbr"
	Import              = "imp"
	Enrollment          = "enr"
	Question            = "qst"
	Agreement           = "agr"
	Signature           = "sig"
	Location            = "loc"
	ProfileUpdate       = "pup"
	Support             = "sup"
	SupportEntry        = "spe"
	Customer            = "cus"
	Relationship        = "rel"
	CustomerAgreement   = "cag"
	Grant               = "grt"
	CustomerExport      = "cex"
	Offer               = "off"
	CatalogImport       = "cim"
	ProductSubscription = "sub"
	SubscriptionEvent   = "sev"
	Order               = "ord"
	OrderLine           = "oli"
)

var encoding = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

const bodyLen = 26

// New makes an id with the prefix.
func New(prefix string) ID {
	var b [16]byte
	ms := uint64(time.Now().UnixMilli()) // the clock is after 1970
	for i := range 6 {
		b[i] = byte(ms >> (8 * (5 - i)))
	}
	if _, err := rand.Read(b[6:]); err != nil {
		panic(err)
	}
	return ID(prefix + "_" + encoding.EncodeToString(b[:]))
}

// Numbered is the id of a moment and a number: the same for the same two, and
// another one for every other number. It is for generated worlds alone, since
// whoever knows the number knows the id.
func Numbered(prefix string, at time.Time, n uint64) ID {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], uint64(at.UnixMilli())<<16|n&0xffff)
	n = (n + 1) * 0x9e3779b97f4a7c15 // odd, so that no two numbers come out alike; the shifts can be undone too
	n = (n ^ n>>31) * 0xbf58476d1ce4e5b9
	binary.BigEndian.PutUint64(b[8:], n^n>>29)
	return ID(prefix + "_" + encoding.EncodeToString(b[:]))
}

// Kind is the id's prefix, or "" where the id is malformed.
func (id ID) Kind() string {
	p, body, ok := strings.Cut(string(id), "_")
	if !ok || len(p) != 3 || len(body) != bodyLen {
		return ""
	}
	for _, c := range body {
		if !strings.ContainsRune("0123456789abcdefghjkmnpqrstvwxyz", c) {
			return ""
		}
	}
	return p
}

// Is reports whether the id is well formed and of the kind.
func (id ID) Is(prefix string) bool { return id.Kind() == prefix }

// Body is the id without its prefix.
func (id ID) Body() string {
	_, body, _ := strings.Cut(string(id), "_")
	return body
}

type requestKey struct{}

// WithRequest puts the request's id into the context, so that logs, jobs and
// mails that come from one request can be read together.
func WithRequest(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestKey{}, id)
}

// Request is the request id of the context, or "".
func Request(ctx context.Context) string {
	s, _ := ctx.Value(requestKey{}).(string)
	return s
}
