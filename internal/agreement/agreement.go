// Package agreement owns the partner agreement: its published versions with
// their texts, the signatures under them, and the mails that ask for a
// signature. The state that guards look at stands on the partner; this package
// keeps it true. It never changes a text once published, and never decides
// what an unsigned partner may not do: the guards do.
//
// Invariant: one signature a version, partner and region; whoever signs has
// read the newest version, and the signature holds the digest of its text.
package agreement

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/partner"
	"github.com/channelgraph/channelgraph/internal/region"
)

// Locales are the languages of an agreement; English is always among them.
var Locales = []string{"en", "it"}

// Agreement is one published version of the partner agreement.
type Agreement struct {
	bun.BaseModel `bun:"table:agreement,alias:agreement"`
	ID            ident.ID `bun:"id,pk"`
	// Number is what people call the version, such as 2026-07.
	Number string `bun:"number"`
	// ContentHash is the digest of its texts; see Hash.
	ContentHash string `bun:"content_hash"`
	// DueAt is until when those who signed an older version have time.
	DueAt         time.Time  `bun:"due_at"`
	PublishedByID ident.ID   `bun:"published_by_id"`
	PublishedAt   time.Time  `bun:"published_at"`
	NextActionAt  *time.Time `bun:"next_action_at"`
}

// Text is an agreement in one language.
type Text struct {
	bun.BaseModel `bun:"table:agreement_text,alias:agreement_text"`
	AgreementID   ident.ID `bun:"agreement_id,pk"`
	Locale        string   `bun:"locale,pk"`
	Title         string   `bun:"title"`
	Text          string   `bun:"text"`
}

// Signature is a Global admin's word for a whole company.
type Signature struct {
	bun.BaseModel `bun:"table:agreement_signature,alias:agreement_signature"`
	ID            ident.ID    `bun:"id,pk"`
	AgreementID   ident.ID    `bun:"agreement_id"`
	PartnerID     ident.ID    `bun:"partner_id"`
	Region        region.Code `bun:"region"`
	// Number and ContentHash are the version's at that moment.
	Number      string    `bun:"number"`
	ContentHash string    `bun:"content_hash"`
	FirstName   string    `bun:"first_name"`
	LastName    string    `bun:"last_name"`
	Email       string    `bun:"email"`
	Phone       string    `bun:"phone"`
	SignedByID  ident.ID  `bun:"signed_by_id"`
	SignedAt    time.Time `bun:"signed_at"`
	// IPPrefix is the network that was signed from, never the whole address.
	IPPrefix string `bun:"ip_prefix"`
}

// Hash is the digest of an agreement: SHA-256, in hexadecimal, of the texts in
// the order of Locales, each as its locale, a line end, its title, two line
// ends, its text and a line end, in UTF-8 (NFC) with \n for line ends.
func Hash(texts []*Text) string {
	h := sha256.New()
	for _, locale := range Locales {
		for _, t := range texts {
			if t.Locale == locale {
				h.Write([]byte(locale + "\n" + t.Title + "\n\n" + t.Text + "\n"))
			}
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Step is a round of mails about a version.
type Step string

// Steps of a version. A reminder is named by the days that are left.
const (
	StepNone    Step = ""
	StepPublish Step = "published"
)

// ReminderDays are how many days before its date those who have not signed are
// reminded; on the day itself they are told that it has come.
var ReminderDays = []int{14, 3, 0}

const day = 24 * time.Hour

// Next computes the reminder that comes first after a moment, and when.
// Reminders within an hour of publishing are left out.
func (a *Agreement) Next(after time.Time) (Step, time.Time) {
	for _, days := range ReminderDays {
		at := a.DueAt.Add(-time.Duration(days) * day)
		if at.After(after) && at.After(a.PublishedAt.Add(time.Hour)) {
			return Step(strconv.Itoa(days)), at
		}
	}
	return StepNone, time.Time{}
}

// State is where a partner stands with the agreement.
type State string

// States of a partner. Unsigned and Overdue keep it from new business.
const (
	// NotAsked has no partner account that could sign.
	NotAsked State = "NOT_ASKED"
	// Unsigned has never signed.
	Unsigned State = "UNSIGNED"
	// Signed has signed what counts.
	Signed State = "SIGNED"
	// Due has signed an older version and still has time for the newest.
	Due State = "DUE"
	// Overdue has let that time run out.
	Overdue State = "OVERDUE"
)

// StateOf tells where a partner, nil for none, stands at now.
func StateOf(p *partner.Partner, now time.Time) State {
	switch {
	case p == nil || !maySign(p):
		return NotAsked
	case p.AgreementSignedAt == nil:
		return Unsigned
	case p.AgreementDueAt == nil:
		return Signed
	case p.AgreementSigned(now):
		return Due
	}
	return Overdue
}

// maySign reports whether a partner's status lets it sign.
func maySign(p *partner.Partner) bool {
	return p.Status == partner.Approved || p.Status == partner.Active || p.Status == partner.Suspended
}

// Status is what the banner of a front end and the programme information of a
// profile say of the agreement.
type Status struct {
	State State
	// Newest is the version that would be signed now; nil before the first.
	Newest *Agreement
	// DueAt is until when the newest must be signed; nil unless Due or Overdue.
	DueAt *time.Time
	// SignedNumber and SignedAt are of the version that was signed last, on
	// paper or here; "" and nil without one.
	SignedNumber string
	SignedAt     *time.Time
	// Signature is how it was signed here; nil for paper.
	Signature *Signature
	// NeedsSignature says that the newest version waits for a signature.
	NeedsSignature bool
	// Blocked says that there is no new business until then.
	Blocked bool
	// MaySign says that the viewer may give the signature.
	MaySign bool
}

// statusOf puts together what is told of a partner at now.
func statusOf(p *partner.Partner, newest *Agreement, now time.Time) *Status {
	s := &Status{State: StateOf(p, now), Newest: newest}
	if p != nil {
		s.SignedNumber, s.SignedAt = p.AgreementVersion, p.AgreementSignedAt
	}
	switch s.State {
	case Due, Overdue:
		s.DueAt = p.AgreementDueAt
		s.NeedsSignature = newest != nil
	case Unsigned:
		s.NeedsSignature = newest != nil
	}
	s.Blocked = s.State == Unsigned || s.State == Overdue
	return s
}

// Name is the signing person's name.
func (s *Signature) Name() string { return strings.TrimSpace(s.FirstName + " " + s.LastName) }
