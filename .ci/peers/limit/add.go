package main

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

var encoding = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

func id(prefix string) string {
	var b [16]byte
	ms := uint64(time.Now().UnixMilli())
	for i := range 6 {
		b[i] = byte(ms >> (8 * (5 - i)))
	}
	_, _ = rand.Read(b[6:])
	return prefix + "_" + encoding.EncodeToString(b[:])
}

// parties are who sells and what, read once.
type parties struct {
	provider, providerOrg, reseller, resellerOrg string
	user, userName, resellerUser, resellerEmail  string
	offers, names                                [3]string
}

func know(ctx context.Context, pool *pgxpool.Pool, provider, reseller string) (*parties, error) {
	p := &parties{provider: provider, reseller: reseller}
	err := pool.QueryRow(ctx, `SELECT p.organization_id, r.organization_id, u.id, u.first_name || ' ' || u.last_name, v.id, v.email
		FROM partner p, partner r, user_account u, user_account v
		WHERE p.id = $1 AND r.id = $2 AND u.organization_id = p.organization_id AND v.organization_id = r.organization_id LIMIT 1`, provider, reseller).
		Scan(&p.providerOrg, &p.resellerOrg, &p.user, &p.userName, &p.resellerUser, &p.resellerEmail)
	if err != nil {
		return nil, fmt.Errorf("reading who sells: %w", err)
	}
	rows, err := pool.Query(ctx, "SELECT id, name FROM offer ORDER BY sku LIMIT 3")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for n := 0; rows.Next(); n++ {
		if err := rows.Scan(&p.offers[n], &p.names[n]); err != nil {
			return nil, err
		}
	}
	return p, rows.Err()
}

func add(ctx context.Context, url, provider, reseller string, writers, customers int, pipelined bool) error {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return err
	}
	cfg.MaxConns, cfg.MinConns = int32(writers), int32(writers)
	cfg.ConnConfig.RuntimeParams["jit"] = "off"
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return err
	}
	defer pool.Close()
	p, err := know(ctx, pool, provider, reseller)
	if err != nil {
		return err
	}
	one := func(n string) error {
		return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			b := p.customer(n)
			if pipelined {
				return tx.SendBatch(ctx, b).Close()
			}
			for _, q := range b.QueuedQueries {
				if _, err := tx.Exec(ctx, q.SQL, q.Arguments...); err != nil {
					return err
				}
			}
			return nil
		})
	}
	run := func(count int) error {
		var left atomic.Int64
		left.Store(int64(count))
		var wg sync.WaitGroup
		failed := make(chan error, writers)
		for range writers {
			wg.Go(func() {
				for left.Add(-1) >= 0 {
					if err := one(id("x")[2:]); err != nil {
						failed <- err
						return
					}
				}
			})
		}
		wg.Wait()
		close(failed)
		return <-failed
	}
	if err := run(4 * writers); err != nil { // connections and prepared statements
		return err
	}
	began := time.Now()
	if err := run(customers); err != nil {
		return err
	}
	fmt.Printf("%.1f\n", float64(customers)/time.Since(began).Seconds())
	return nil
}

const address = `{"line1":"Via Roma 1","city":"Milano","postalCode":"20121","country":"IT"}`

// customer is all that submitting an order of a new customer with three subscriptions
// writes, in statements of as many rows as there are.
func (p *parties) customer(n string) *pgx.Batch {
	b := new(pgx.Batch)
	now := time.Now().UTC().Truncate(time.Microsecond)
	year, week := now.AddDate(1, 0, 0), now.AddDate(0, 0, 7)
	org, cus, rel1, rel2, usr, ord := id("org"), id("cus"), id("rel"), id("rel"), id("usr"), id("ord")
	name, folded, domain, email := "Contoso "+n, "contoso "+n, n+".customers.example", "ada@"+n+".example"

	b.Queue(`INSERT INTO organization (id, kind, name, name_folded, domain, country, locale, version, created_at, updated_at)
		VALUES ($1, 'CUSTOMER', $2, $3, $4, 'IT', 'it', 1, $5, $5)`, org, name, folded, domain, now)
	b.Queue(`INSERT INTO customer (id, organization_id, company_name, name_folded, domain, country, region, registration_id, registration_id_folded, address,
		billing_email, phone, locale, azure_type, status, agreed_at, version, created_at, updated_at)
		VALUES ($1, $2, $3, $4, $5, 'IT', 'EUROPE', '', '', $6, $7, '+39 02 1234567', 'it', false, 'ACTIVE', $8, 1, $8, $8)`, cus, org, name, folded, domain, address, email, now)
	b.Queue(`INSERT INTO relationship (id, customer_id, partner_id, kind, counterpart_id, status, removed_reason, removed_by_id, name_folded, domain, country, version, created_at, updated_at)
		VALUES ($1, $3, $4, 'PROVIDER', $5, 'ACTIVE', '', '', $6, $7, 'IT', 1, $8, $8), ($2, $3, $5, 'RESELLER', $4, 'ACTIVE', '', '', $6, $7, 'IT', 1, $8, $8)`,
		rel1, rel2, cus, p.provider, p.reseller, folded, domain, now)
	b.Queue(`INSERT INTO customer_agreement (id, customer_id, partner_id, kind, first_name, last_name, email, phone, agreed_on, recorded_by_id, created_at)
		VALUES ($1, $2, $3, 'ATTESTED', 'Ada', 'Neri', $4, '', '2026-01-02', $5, $6)`, id("cag"), cus, p.provider, email, p.user, now)
	b.Queue(`INSERT INTO customer_grant (id, relationship_id, customer_id, partner_id, roles, starts_at, ends_at, auto_extend_days, status, withdrawn_by_id, next_action_at, version, created_at, updated_at)
		VALUES ($1, $2, $5, $6, '["ACCOUNT_ADMIN"]', $8, $9, 0, 'ACTIVE', '', $9, 1, $8, $8), ($3, $4, $5, $7, '["ACCOUNT_ADMIN"]', $8, $9, 0, 'ACTIVE', '', $9, 1, $8, $8)`,
		id("grt"), rel1, id("grt"), rel2, cus, p.provider, p.reseller, now, year)
	b.Queue(`INSERT INTO rollup_delta (key, resellers, customers, subscriptions, seats) VALUES ('*', 0, 1, 0, 0), ($1, 0, 1, 0, 0), ($2, 0, 1, 0, 0), ($3, 0, 1, 0, 0)`,
		p.provider, p.reseller, p.provider+"/"+p.reseller)
	b.Queue(`INSERT INTO user_account (id, organization_id, email, email_folded, first_name, last_name, name_folded, locale, status, link_generation, version, created_at, updated_at)
		VALUES ($1, $2, $3, $3, 'Ada', 'Neri', 'ada neri', 'it', 'INVITED', 1, 1, $4, $4)`, usr, org, email, now)
	b.Queue(`INSERT INTO user_role (user_id, role, granted_by, granted_at) VALUES ($1, 'GLOBAL_ADMIN', $2, $3)`, usr, p.user, now)
	b.Queue(`INSERT INTO capability_link (id, purpose, subject_id, generation, token_hash, expires_at, created_at) VALUES ($1, 'user_invitation', $2, 1, $3, $4, $5)`,
		id("lnk"), usr, n+n+"000000000000", week, now)
	m1, m2 := id("msg"), id("msg")
	b.Queue(`INSERT INTO mail_message (id, dedupe_key, template, locale, recipient, recipient_folded, data, link_purpose, link_prefix, link_path, link_subject_id, link_generation,
		organization_id, subject_id, message_id, dated_at, reminder, state, settled, phase, claim, attempts, expires_at, maybe_duplicate, server_reply, failure_code, request_id, created_at)
		VALUES ($1, $3, 'customer_added', 'en', $5, $5, $6, '', '', '', '', 0, $7, $8, $9, $11, false, 'pending', false, '', '', 0, $12, false, '', '', '', $11),
		($2, $4, 'user_invitation', 'it', $13, $13, $14, 'user_invitation', 'cgu', '/l/user', $15, 1, $16, $15, $10, $11, false, 'pending', false, '', '', 0, $12, false, '', '', '', $11)`,
		m1, m2, "customer_added/"+cus+"/"+p.resellerUser, "user_invitation:"+usr+":1", p.resellerEmail, `{"CustomerCompany":"`+name+`","ProviderCompany":"Provider"}`, p.resellerOrg, cus,
		m1+"@example.com", m2+"@example.com", now, week, email, `{"InviterName":"Ada Neri","OrganizationName":"`+name+`"}`, usr, org)
	b.Queue(`INSERT INTO mail_event (message_id, number, at, event, code) VALUES ($1, 1, $3, 'queued', ''), ($2, 1, $3, 'queued', '')`, m1, m2, now)
	subs, lines, jobs, events := [3]string{}, [3]string{}, [3]string{}, [3]string{}
	for i := range 3 {
		subs[i], lines[i], jobs[i], events[i] = id("sub"), id("oli"), id("job"), id("sev")
	}
	b.Queue(`INSERT INTO job (id, kind, queue, payload, dedupe_key, state, due_at, expires_at, max_attempts, request_id, trace_parent, actor_id, organization_id, subject_id, listed, created_at) VALUES
		($1, 'mail.send', 'mail', $2, NULL, 'pending', $3, NULL, 10000, '', '', '', '', $4, false, $3),
		($5, 'mail.send', 'mail', $6, $7, 'pending', $3, NULL, 10000, '', '', $8, $9, $10, true, $3),
		($11, 'order.provision', 'default', $12, NULL, 'pending', $3, NULL, 10, '', '', $8, $9, $17, true, $3),
		($13, 'order.provision', 'default', $14, NULL, 'pending', $3, NULL, 10, '', '', $8, $9, $17, true, $3),
		($15, 'order.provision', 'default', $16, NULL, 'pending', $3, NULL, 10, '', '', $8, $9, $17, true, $3)`,
		id("job"), `{"message_id":"`+m1+`"}`, now, cus, id("job"), `{"message_id":"`+m2+`"}`, "mail:"+m2, p.user, p.providerOrg, usr,
		jobs[0], `{"order_line_id":"`+lines[0]+`","attempt":1}`, jobs[1], `{"order_line_id":"`+lines[1]+`","attempt":1}`, jobs[2], `{"order_line_id":"`+lines[2]+`","attempt":1}`, ord)
	b.Queue(`INSERT INTO product_subscription (id, customer_id, organization_id, seller_id, reseller_id, order_line_id, offer_id, country, offer_name, name_folded, quantity, term, billing_cycle,
		unit_price, currency, auto_renew, status, additions, associated_reseller_id, support_contact_id, event_count, version, created_at, updated_at) VALUES
		($1, $4, $5, $6, $7, $8, $11, 'IT', $14, lower($14), 3, 'P1Y', 'ANNUAL', 6720, 'EUR', true, 'PENDING', '[]', $7, $6, 1, 1, $17, $17),
		($2, $4, $5, $6, $7, $9, $12, 'IT', $15, lower($15), 3, 'P1Y', 'ANNUAL', 6720, 'EUR', true, 'PENDING', '[]', $7, $6, 1, 1, $17, $17),
		($3, $4, $5, $6, $7, $10, $13, 'IT', $16, lower($16), 3, 'P1Y', 'ANNUAL', 6720, 'EUR', true, 'PENDING', '[]', $7, $6, 1, 1, $17, $17)`,
		subs[0], subs[1], subs[2], cus, org, p.provider, p.reseller, lines[0], lines[1], lines[2], p.offers[0], p.offers[1], p.offers[2], p.names[0], p.names[1], p.names[2], now)
	b.Queue(`INSERT INTO subscription_event (id, subscription_id, number, kind, at, actor_id, reason, status, quantity, unit_price, currency) VALUES
		($1, $2, 1, 'CREATED', $7, $8, '', 'PENDING', 3, 6720, 'EUR'), ($3, $4, 1, 'CREATED', $7, $8, '', 'PENDING', 3, 6720, 'EUR'), ($5, $6, 1, 'CREATED', $7, $8, '', 'PENDING', 3, 6720, 'EUR')`,
		events[0], subs[0], events[1], subs[1], events[2], subs[2], now, p.user)
	b.Queue(`INSERT INTO customer_order (id, seller_id, reseller_id, customer_id, adds_customer, newcomer, admin_user_id, gave_password, status, currency, reviewed_at, created_by_id,
		submitted_by_id, submitted_at, expires_at, version, created_at, updated_at)
		VALUES ($1, $2, $3, $4, true, '{}', $5, false, 'SUBMITTED', 'EUR', $7, $6, $6, $7, $8, 3, $7, $7)`, ord, p.provider, p.reseller, cus, usr, p.user, now, week)
	b.Queue(`INSERT INTO order_line (id, order_id, number, offer_id, offer_name, quantity, term, billing_cycle, auto_renew, unit_price, currency, status, subscription_id, operation_id, attempt, updated_at) VALUES
		($1, $4, 1, $5, $8, 3, 'P1Y', 'ANNUAL', true, 6720, 'EUR', 'PENDING', $11, $14, 1, $17), ($2, $4, 2, $6, $9, 3, 'P1Y', 'ANNUAL', true, 6720, 'EUR', 'PENDING', $12, $15, 1, $17),
		($3, $4, 3, $7, $10, 3, 'P1Y', 'ANNUAL', true, 6720, 'EUR', 'PENDING', $13, $16, 1, $17)`,
		lines[0], lines[1], lines[2], ord, p.offers[0], p.offers[1], p.offers[2], p.names[0], p.names[1], p.names[2], subs[0], subs[1], subs[2], jobs[0], jobs[1], jobs[2], now)
	b.Queue(`INSERT INTO audit_event (id, at, actor_id, actor_kind, actor_name, organization_id, on_behalf_of_id, action, target_id, target_organization_id, changed, outcome) VALUES
		($1, $6, '', 'SYSTEM', 'customer', '', '', 'organization.founded', $7, $7, '[]', 'DONE'),
		($2, $6, $8, 'USER', $9, $10, '', 'customer.added', $11, $7, '[]', 'DONE'),
		($3, $6, $8, 'USER', $9, $10, '', 'customer.added', $11, $12, '[]', 'DONE'),
		($4, $6, $8, 'USER', $9, $10, '', 'user.invited', $13, $7, '[]', 'DONE'),
		($5, $6, $8, 'USER', $9, $10, '', 'order.submitted', $14, $7, '["status"]', 'DONE')`,
		id("aud"), id("aud"), id("aud"), id("aud"), id("aud"), now, org, p.user, p.userName, p.providerOrg, cus, p.resellerOrg, usr, ord)
	b.Queue(`INSERT INTO event (kind, subject_id, organization_id, other_organization_id) VALUES
		('CUSTOMER_CHANGED', $1, $3, $4), ('CUSTOMER_CHANGED', $1, $5, ''), ('ORDER_CHANGED', $2, $4, $5)`, cus, ord, org, p.providerOrg, p.resellerOrg)
	return b
}
