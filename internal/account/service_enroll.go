package account

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/address"
	"github.com/channelgraph/channelgraph/internal/audit"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/secret"
)

// AllowMail counts a mail that anybody can cause by naming an address,
// together with those of forgotten passwords (security decision D5). It is
// false where the address has had its three in an hour: the caller then
// answers as ever and sends nothing. Error: RATE_LIMITED for the network.
func (s *Service) AllowMail(ctx context.Context, tx *database.Tx, email address.Address, ip netip.Addr) (bool, error) {
	if _, err := spend(ctx, tx, s.keys.Blind("mail", "network", throttleNetwork(ip)), mailsPerNetwork); err != nil {
		return false, err
	}
	_, err := spend(ctx, tx, s.mailKey(email.Folded()), mailsPerAddress)
	if fault.KindOf(err) == fault.KindLimited {
		return false, nil
	}
	return err == nil, err
}

// Prefix is as much of a caller's address as is kept.
func Prefix(ip netip.Addr) string { return networkPrefix(ip) }

// ByEmailTx reads the user who signs in with an address, nil where there is
// none. Whoever asks has decided that this may be known.
func (s *Service) ByEmailTx(ctx context.Context, tx *database.Tx, folded string) (*User, error) {
	return lockUserByEmail(ctx, tx, folded)
}

// Hashed is a password that met the rules, ready to be stored.
type Hashed struct{ hash string }

// Hash checks a new password against the rules of D3 and what is known of its
// owner, and hashes it outside of any transaction. Errors at password: what is
// wrong with it; BUSY.
func (s *Service) Hash(ctx context.Context, password secret.String, known ...string) (Hashed, error) {
	var c check
	c.password("password", password, known...)
	if err := c.Err(); err != nil {
		return Hashed{}, err
	}
	h, err := s.hasher.hash(ctx, password.Reveal())
	return Hashed{h}, err
}

// Admit founds an organization with its first user, ACTIVE with a hashed
// password, whose address the caller has seen proved. The caller has validated
// domain, country and language; as long as there is no name the organization
// goes by its domain. Errors: what is wrong with the user,
// DOMAIN_NOT_AVAILABLE at domain, EMAIL_NOT_AVAILABLE at email.
func (s *Service) Admit(ctx context.Context, tx *database.Tx, actor access.Actor, org NewOrganization, user NewUser, password Hashed) (*Organization, *User, error) {
	if err := actor.Require(access.PermPartnerRegister); err != nil {
		return nil, nil, err
	}
	if org.Name == "" {
		org.Name = address.Unicode(org.Domain)
	}
	o, err := s.found(ctx, tx, actor, org)
	if err != nil {
		return nil, nil, err
	}
	if err := user.Validate(o); err != nil {
		return nil, nil, err
	}
	u, _, err := s.addUser(ctx, tx, actor, o, user, password.hash)
	return o, u, err
}

// HoldOrganization reads an organization by id and holds it, for a concept
// that answers for what becomes of it.
func (s *Service) HoldOrganization(ctx context.Context, tx *database.Tx, id ident.ID) (*Organization, error) {
	return lockOrganization(ctx, tx, id)
}

// AmendTx gives a held organization its legal name and its kind, which decides
// on the roles of its users: those that the new kind does not have are taken.
// Only enrollment and what follows from it may do so.
func (s *Service) AmendTx(ctx context.Context, tx *database.Tx, actor access.Actor, o *Organization, name string, kind access.Kind) error {
	var changed []string
	if name != "" && o.Name != name {
		o.Name, o.NameFolded = name, address.Fold(name)
		changed = append(changed, "name")
	}
	if o.Kind != kind {
		o.Kind = kind
		changed = append(changed, "kind")
	}
	if changed == nil {
		return nil
	}
	o.Version, o.UpdatedAt = o.Version+1, tx.Now
	if err := saveOrganization(ctx, tx, o); err != nil {
		return fmt.Errorf("amending an organization: %w", err)
	}
	if err := dropRoles(ctx, tx, o.ID, access.RolesOf(kind)); err != nil {
		return fmt.Errorf("amending an organization: %w", err)
	}
	return audit.Record(ctx, tx, actor, audit.Act{Action: "organization.amended", TargetID: o.ID, TargetOrganizationID: o.ID, Changed: changed})
}

// Operator is the id of the operator's organization, "" before the set-up.
func (s *Service) Operator(ctx context.Context, tx *database.Tx) (ident.ID, error) {
	return operatorID(ctx, tx)
}
