package account

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/address"
	"github.com/channelgraph/channelgraph/internal/audit"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/mail"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/internal/page"
	"github.com/channelgraph/channelgraph/internal/secret"
)

const templateTokenExpiring = "personal_token_expiring"

// TokenReminder tells a user that a personal token is about to expire.
type TokenReminder struct {
	TokenID ident.ID `json:"token_id"`
}

// Kind is the job's kind.
func (TokenReminder) Kind() string { return "account.token_reminder" }

// CreateToken mints a personal token for the actor, who must be a person
// freshly authenticated. The secret is told this once; a repetition under the
// same key gives the token without it and says alreadyShown. Errors:
// UNAUTHENTICATED, TOKEN_NOT_ALLOWED, SUDO_REQUIRED, what is wrong with the
// input, SCOPE_NOT_HELD at a scope that the actor's roles do not allow (a
// role that is given later must not widen a token), TOKEN_NAME_TAKEN,
// TOO_MANY beyond MaxTokens live ones, IDEMPOTENCY_KEY_REUSED.
func (s *Service) CreateToken(ctx context.Context, actor access.Actor, in CreateTokenInput) (token *Token, shown secret.String, alreadyShown bool, err error) {
	if err := asPerson(actor); err != nil {
		return nil, "", false, err
	}
	asked, key := in, ""
	if in.IdempotencyKey != nil {
		key = *in.IdempotencyKey
	}
	if err := in.Validate(); err != nil {
		return nil, "", false, err
	}
	var c check
	for i, p := range asked.Scopes {
		if !actor.Can(p) {
			c.Add("scopes."+strconv.Itoa(i), CodeScopeNotHeld)
		}
	}
	if err := c.Err(); err != nil {
		return nil, "", false, err
	}
	const verb = "createPersonalToken"
	value := secret.NewChecked(TokenPrefix)
	err = s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		if err := actor.RequireSudo(tx.Now); err != nil {
			return err
		}
		prior, err := outbox.Once(ctx, tx, actor, verb, key, asked)
		if err != nil {
			return err
		}
		if alreadyShown = prior != nil; alreadyShown {
			found, err := tokensByIDs(ctx, tx, tokenReach(actor), []ident.ID{prior.ID("token")})
			if token = found[prior.ID("token")]; err == nil && token == nil {
				err = fault.NotFound("idempotencyKey")
			}
			return err
		}
		// The user's row makes two wait for each other, so that a name and the
		// number of tokens hold.
		user, err := lockUser(ctx, tx, nil, actor.UserID)
		if err != nil {
			return err
		}
		if user == nil || user.Status != Active {
			return fault.Unauthenticated()
		}
		token = &Token{ID: ident.New(ident.Token), UserID: user.ID, OrganizationID: user.OrganizationID, Name: in.Name, NameFolded: address.Fold(in.Name),
			TokenHash: secret.Hash(value.Reveal()), Scopes: in.Scopes, Networks: in.Networks, CreatedAt: tx.Now,
			ExpiresAt: tx.Now.Add(time.Duration(*in.ExpiresInDays) * 24 * time.Hour)}
		live, err := liveTokens(ctx, tx, user.ID, tx.Now)
		if err != nil {
			return err
		}
		if slices.Contains(live, token.NameFolded) {
			return fault.Conflict("name", CodeTokenName)
		}
		if len(live) >= MaxTokens {
			return fault.Conflict("", fault.CodeTooMany, "max", strconv.Itoa(MaxTokens))
		}
		if err := insertToken(ctx, tx, token); err != nil {
			return err
		}
		if at, ok := token.remindAt(); ok {
			_, err := outbox.Put(ctx, tx, TokenReminder{TokenID: token.ID}, outbox.DueAt(at), outbox.ExpiresAt(token.ExpiresAt),
				outbox.About(token.ID), outbox.On(outbox.Low))
			if err != nil {
				return err
			}
		}
		if err := outbox.Remember(ctx, tx, actor, verb, key, map[string]string{"token": string(token.ID)}); err != nil {
			return err
		}
		return audit.Record(ctx, tx, actor, audit.Act{Action: "token.created", TargetID: token.ID, TargetOrganizationID: token.OrganizationID,
			Changed: []string{"name", "scopes", "networks", "expiresAt"}})
	})
	if err != nil {
		return nil, "", false, err
	}
	if alreadyShown {
		value = ""
	}
	return token, value, alreadyShown, nil
}

// asPerson refuses nobody, the system, and personal tokens.
func asPerson(actor access.Actor) error {
	if actor.IsAnonymous() || actor.UserID == "" {
		return fault.Unauthenticated()
	}
	return actor.RefuseToken()
}

// RevokeToken ends a personal token at once: one of the actor's own or, for
// who manages users, one of its organization. It asks for no fresh
// authentication, so that nothing delays it. A token that has ended already
// stays as it is. Errors: UNAUTHENTICATED, TOKEN_NOT_ALLOWED, NOT_FOUND.
func (s *Service) RevokeToken(ctx context.Context, actor access.Actor, id ident.ID) (*Token, error) {
	if err := asPerson(actor); err != nil {
		return nil, err
	}
	var token *Token
	err := s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) (err error) {
		if token, err = lockToken(ctx, tx, tokenReach(actor), id); err != nil {
			return err
		}
		if token == nil {
			return fault.NotFound("tokenId")
		}
		if token.State(tx.Now) != TokenActive {
			return nil
		}
		if _, err := revokeTokens(ctx, tx, token.UserID, actor.UserID, token.ID); err != nil {
			return err
		}
		token.RevokedAt, token.RevokedByID = &tx.Now, actor.UserID
		if err := outbox.CancelAbout(ctx, tx, token.ID, TokenReminder{}.Kind()); err != nil {
			return err
		}
		return audit.Record(ctx, tx, actor, audit.Act{Action: "token.revoked", TargetID: token.ID, TargetOrganizationID: token.OrganizationID,
			Changed: []string{"revokedAt"}})
	})
	if err != nil {
		return nil, err
	}
	return token, nil
}

// ListTokens is a page of the personal tokens that the actor may know of,
// newest first: the own ones, and for who manages users those of its
// organization. Errors: UNAUTHENTICATED, SCOPE_REQUIRED, those of paging.
func (s *Service) ListTokens(ctx context.Context, actor access.Actor, args page.Args, f TokenFilter) (*page.Connection[*Token], error) {
	if err := actor.Require(access.PermViewerRead); err != nil {
		return nil, err
	}
	pq, err := args.Resolve(page.Order{Name: "CREATED_AT", Column: "personal_token.created_at", Sort: page.SortTime, Direction: page.Desc}, f)
	if err != nil {
		return nil, err
	}
	return listTokens(ctx, s.db, tokenReach(actor), pq, f)
}

// TokensByIDs reads the tokens among the ids that the actor may know of.
func (s *Service) TokensByIDs(ctx context.Context, actor access.Actor, ids []ident.ID) (map[ident.ID]*Token, error) {
	if !actor.Can(access.PermViewerRead) {
		return map[ident.ID]*Token{}, nil
	}
	return tokensByIDs(ctx, s.db.Read(), tokenReach(actor), ids)
}

// AuthenticateToken finds out whose personal token somebody shows from an
// address. Whatever is wrong with it, the answer is TOKEN_INVALID; after
// thirty such answers a minute to one network it is RATE_LIMITED, which never
// touches tokens that work. What has not even the form of a token costs no
// statement. Use is written down at most once a minute.
func (s *Service) AuthenticateToken(ctx context.Context, token string, ip netip.Addr) (access.Presence, *Token, error) {
	invalid := &fault.Error{Kind: fault.KindUnauthenticated, Code: CodeTokenInvalid}
	if !secret.IsChecked(token, TokenPrefix) {
		return access.Presence{}, nil, invalid
	}
	f, err := tokenBy(ctx, s.db.ReadPrepared(), "token_hash", secret.Hash(token))
	if err != nil {
		return access.Presence{}, nil, err
	}
	now := s.db.Now()
	if f == nil || f.Holder.Status != string(Active) || f.State(now) != TokenActive || !f.from(ip) {
		if err := s.chargeToken(ctx, ip, now); err != nil {
			return access.Presence{}, nil, err
		}
		return access.Presence{}, nil, invalid
	}
	t := &f.Token
	if t.LastUsedAt == nil || now.Sub(*t.LastUsedAt) >= touchEvery {
		t.LastUsedAt = &now
		if err := touchToken(ctx, s.db.Bun(), t, now.Add(-touchEvery)); err != nil {
			return access.Presence{}, nil, fmt.Errorf("noting the use of a token: %w", err)
		}
	}
	return access.Presence{UserID: t.UserID, TokenID: t.ID, Scopes: t.Scopes, IPPrefix: networkPrefix(ip), Holder: &f.Holder}, t, nil
}

// chargeToken counts a token that did not work against its network.
func (s *Service) chargeToken(ctx context.Context, ip netip.Addr, now time.Time) error {
	key := s.keys.Blind("token", "network", throttleNetwork(ip))
	wait, err := blockedFor(ctx, s.db.Read(), key, now)
	if err != nil {
		return err
	}
	if wait > 0 {
		return fault.Limited(wait)
	}
	return s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		_, err := spend(ctx, tx, key, perNetwork)
		return err
	})
}

// Recheck is the actor as it is now, for a door that holds a connection open:
// nobody where its session or token has ended or its user is not active, and
// otherwise with today's roles. It writes no use down.
func (s *Service) Recheck(ctx context.Context, actor access.Actor) (access.Actor, error) {
	p := access.Presence{UserID: actor.UserID, SessionID: actor.SessionID, SudoUntil: actor.SudoUntil, IPPrefix: actor.IPPrefix}
	live := false
	switch {
	case actor.IsAnonymous():
	case actor.ViaToken():
		f, err := tokenBy(ctx, s.db.Read(), "id", string(actor.TokenID))
		if err != nil {
			return access.Actor{}, err
		}
		if live = f != nil && f.UserID == actor.UserID && f.State(s.db.Now()) == TokenActive; live {
			p.TokenID, p.Scopes, p.Holder = f.ID, f.Scopes, &f.Holder
		}
	case actor.SessionID != "":
		f, err := sessionByID(ctx, s.db.Read(), actor.SessionID)
		if err != nil {
			return access.Actor{}, err
		}
		if live = f != nil && f.UserID == actor.UserID && f.Live(s.db.Now()); live {
			p.SudoUntil, p.Holder = f.SudoUntil, &f.Holder
		}
	}
	if !live {
		return access.Anonymous(actor.Locale, actor.IPPrefix), nil
	}
	return access.Load(ctx, s.db.Read(), p)
}

// TokenReminder performs its job: the owner of a token that still works is
// told when it ends.
func (s *Service) TokenReminder(ctx context.Context, run *outbox.Run, args TokenReminder) error {
	return s.db.InTx(ctx, func(ctx context.Context, tx *database.Tx) error {
		token, err := lockToken(ctx, tx, nil, args.TokenID)
		if err != nil {
			return err
		}
		if token != nil && token.State(tx.Now) == TokenActive {
			user, err := userByID(ctx, tx, token.UserID)
			if err != nil {
				return err
			}
			if user.Status == Active {
				if err := s.mailTokenExpiring(ctx, tx, user, token); err != nil {
					return err
				}
			}
		}
		return run.Done(ctx, tx)
	})
}

func (s *Service) mailTokenExpiring(ctx context.Context, tx *database.Tx, user *User, token *Token) error {
	data := map[string]string{"Name": user.DisplayName(), "TokenName": token.Name, "ExpiresAt": token.ExpiresAt.Format(time.RFC3339)}
	if token.LastUsedAt != nil {
		data["LastUsedAt"] = token.LastUsedAt.Format(time.RFC3339)
	}
	_, err := s.send(ctx, tx, access.System("account"), user, mail.Draft{Key: templateTokenExpiring + ":" + string(token.ID), Template: templateTokenExpiring,
		Locale: user.Locale, Data: data, ExpiresAt: token.ExpiresAt})
	return err
}
