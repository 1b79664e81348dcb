package partnership

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/audit"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/database/dbtest"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/invitation"
	"github.com/channelgraph/channelgraph/internal/mail"
	"github.com/channelgraph/channelgraph/internal/partner"
	"github.com/channelgraph/channelgraph/internal/secret"
)

const password = secret.String("velvet tractor lagoon 41")

// world is a provider, Nordwind, and a reseller, Bianchi, that may join; other
// companies come as a test needs them.
type world struct {
	*Service
	t        *testing.T
	provider *partner.Partner
	gina     access.Actor // Global admin of the provider
	reseller *partner.Partner
	bruno    access.Actor // Global admin of the reseller
	chief    access.Actor // Operator admin
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return worldOn(t, dbtest.New(t))
}

func worldOn(t *testing.T, db *database.DB) *world {
	t.Helper()
	keys, err := secret.NewKeys(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	mailer, err := mail.New(db, keys, mail.Config{SMTPURL: "smtp://127.0.0.1:2525", From: "center@example.com", PublicURL: "http://localhost:8080"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	accounts := account.New(db, mailer, keys, account.Config{PublicURL: "http://localhost:8080",
		Hashing: account.Hashing{Memory: 8, Passes: 1, Threads: 1, Slots: 4, Wait: time.Minute}}, nil)
	partners := partner.New(db, accounts, mailer)
	invitations := invitation.New(db, mailer, keys, accounts, invitation.Config{RecipientLimit: 50}, nil)
	w := &world{t: t, Service: New(db, accounts, partners, invitations, mailer, keys, "http://localhost:8080/")}
	w.provider, w.gina = w.company("Nordwind", func(in *partner.RegisterInput) { in.Kind = access.IndirectProvider })
	w.reseller, w.bruno = w.company("Bianchi")
	var house *account.Organization
	w.tx(func(ctx context.Context, tx *database.Tx) (err error) {
		house, err = accounts.Found(ctx, tx, access.System("test"), account.NewOrganization{Kind: access.Operator, Name: "House", Domain: "house.example", Country: "IT"})
		return err
	})
	w.chief = w.user(house.ID, "otto@house.example", access.OperatorAdmin)
	return w
}

func (w *world) tx(fn func(context.Context, *database.Tx) error) {
	w.t.Helper()
	if err := w.db.InTx(w.t.Context(), fn); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) as(user ident.ID) access.Actor {
	w.t.Helper()
	a, err := access.Load(w.t.Context(), w.db.Read(), access.Presence{UserID: user, SudoUntil: w.db.Now().Add(1000 * day)})
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

// company registers a partner with a Global admin gina@<name>.example.
func (w *world) company(name string, change ...func(*partner.RegisterInput)) (p *partner.Partner, a access.Actor) {
	w.t.Helper()
	slug := strings.ToLower(strings.ReplaceAll(name, " ", "-"))
	now := w.db.Now()
	in := partner.RegisterInput{Kind: access.IndirectReseller, LegalName: name, TenantDomain: slug + ".example", Country: "IT", AgreementSignedAt: &now, AgreementVersion: ptr("2026-01"),
		Admin: partner.Admin{Email: "gina@" + slug + ".example", FirstName: "Gina", LastName: "Rossi", Locale: ptr("en")}}
	for _, c := range change {
		c(&in)
	}
	if err := in.Validate(now); err != nil {
		w.t.Fatal(err)
	}
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		r, err := w.partners.RegisterTx(ctx, tx, access.System("test"), in, password)
		if err == nil {
			p, a.UserID = r.Partner, r.Admin.ID
		}
		return err
	})
	return p, w.as(a.UserID)
}

func (w *world) user(org ident.ID, email string, roles ...access.Role) access.Actor {
	w.t.Helper()
	var id ident.ID
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		orgs, err := w.accounts.OrganizationsTx(ctx, tx, access.System("test"), []ident.ID{org})
		if err != nil {
			return err
		}
		u, _, err := w.accounts.AddUser(ctx, tx, access.System("test"), orgs[org], account.NewUser{Email: email, FirstName: "Ugo", LastName: "Rossi", Roles: roles, Password: password})
		if err == nil {
			id = u.ID
		}
		return err
	})
	return w.as(id)
}

// invite asks an address and returns the invitation with its code.
func (w *world) invite(to string) (*invitation.Invitation, string) {
	w.t.Helper()
	d, err := w.Request(w.t.Context(), w.gina, RequestInput{Email: to})
	if err != nil {
		w.t.Fatal(err)
	}
	return d.Invitation, w.code(d.Invitation)
}

func (w *world) code(i *invitation.Invitation) string {
	return w.keys.Capability(invitation.LinkPrefix, invitation.LinkPurpose, i.ID, i.Generation).Reveal()
}

func (w *world) personal() (*Link, string) {
	w.t.Helper()
	l, err := w.Link(w.t.Context(), w.gina)
	if err != nil {
		w.t.Fatal(err)
	}
	_, code, _ := strings.Cut(l.URL, "#")
	return l, code
}

func (w *world) accept(a access.Actor, code string) (*Partnership, error) {
	return w.Accept(w.t.Context(), a, AcceptInput{Code: code, Confirmed: true})
}

// partnered is the world's pair, joined by an invitation.
func (w *world) partnered() *Partnership {
	w.t.Helper()
	_, code := w.invite(w.bruno.Email)
	p, err := w.accept(w.bruno, code)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

func (w *world) force(i *invitation.Invitation, s invitation.Status) {
	w.t.Helper()
	if _, err := w.db.Bun().NewUpdate().Table("invitation").Set("status = ?", s).Where("id = ?", i.ID).Exec(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) reload(i *invitation.Invitation) *invitation.Invitation {
	w.t.Helper()
	w.tx(func(ctx context.Context, tx *database.Tx) (err error) {
		i, err = w.invitations.Hold(ctx, tx, i.ID)
		return err
	})
	return i
}

func (w *world) mails(subject ident.ID) string {
	w.t.Helper()
	all, err := w.mailer.BySubject(w.t.Context(), []ident.ID{subject})
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	// mails of one transaction have no order among themselves
	slices.SortStableFunc(all[subject], func(a, b *mail.Message) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.Template, b.Template))
	})
	for _, m := range all[subject] {
		local, _, _ := strings.Cut(m.Recipient, ".")
		out = append(out, strings.TrimPrefix(m.Template, "partnership_")+" to "+local)
	}
	return strings.Join(out, ", ")
}

func (w *world) audited(target ident.ID) string {
	w.t.Helper()
	var out []string
	err := w.db.Read().NewSelect().Model((*audit.Event)(nil)).Column("action").Where("target_id = ?", target).OrderExpr("at, action").Scan(w.t.Context(), &out)
	if err != nil {
		w.t.Fatal(err)
	}
	return strings.Join(out, " ")
}

var tables = []string{"job", "mail_message", "mail_event", "invitation", "invitation_link", "audit_event", "idempotency", "partnership_link", "partnership", "termination"}

// rows counts the rows of every table that a verb here may write.
func (w *world) rows() string {
	w.t.Helper()
	var out []string
	for _, table := range tables {
		n, err := w.db.Read().NewSelect().TableExpr(table).Count(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		out = append(out, fmt.Sprintf("%s %d", table, n))
	}
	return strings.Join(out, ", ")
}

func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	if !fault.Is(err, code) {
		t.Errorf("got %v, want %s", err, code)
	}
}

// same fails where a refused verb changed something.
func (w *world) same(before string) {
	w.t.Helper()
	if after := w.rows(); after != before {
		w.t.Errorf("something was written:\n%s\n%s", before, after)
	}
}
