package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// The dashboard's page in two statements: the customers with their reseller's name and the
// maintained count, and the first three subscriptions of each with their support contact's
// name.
const (
	customersSQL = `SELECT c.id, c.company_name, c.domain, c.country, coalesce((SELECT r.legal_name FROM partner r WHERE r.id = l.counterpart_id), ''), l.name_folded,
		(SELECT sum(n.customers)::bigint FROM (SELECT customers FROM rollup WHERE key = $1 UNION ALL SELECT customers FROM rollup_delta WHERE key = $1) n)
		FROM relationship l JOIN customer c ON c.id = l.customer_id
		WHERE l.partner_id = $1 AND l.status = 'ACTIVE' AND (l.name_folded, l.customer_id) > ($2, $3)
		ORDER BY l.name_folded, l.customer_id LIMIT $4`
	subscriptionsSQL = `SELECT k.n, s.offer_name, s.quantity, s.status, (SELECT p.legal_name FROM partner p WHERE p.id = s.support_contact_id)
		FROM unnest($1::text[]) WITH ORDINALITY AS k (id, n)
		CROSS JOIN LATERAL (SELECT x.id, x.name_folded, x.offer_name, x.quantity, x.status, x.support_contact_id FROM product_subscription x
			WHERE x.customer_id = k.id AND x.seller_id = $2 ORDER BY x.name_folded, x.id LIMIT 3) s ORDER BY k.n, s.name_folded, s.id`
)

// request is the body of a question, which has the variables of a GraphQL request.
type request struct {
	Variables struct {
		First int `json:"first"`
		Name  string
		ID    string
	} `json:"variables"`
}

type customer struct {
	id, name, domain, country, reseller, folded string
	subscriptions                               []subscription
}

type subscription struct {
	offer, status, support string
	quantity               int
}

func serve(ctx context.Context, url, provider string) error {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return err
	}
	cfg.MaxConns = 8
	cfg.ConnConfig.RuntimeParams["jit"] = "off"
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return err
	}
	defer pool.Close()
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s := &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := answer(w, r, pool, provider); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})}
	fmt.Println("http://" + l.Addr().String())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = s.Close()
	}()
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func answer(w http.ResponseWriter, r *http.Request, pool *pgxpool.Pool, provider string) error {
	var in request
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		return err
	}
	first := in.Variables.First
	list, total, err := page(r.Context(), pool, provider, in.Variables.Name, in.Variables.ID, first+1)
	if err != nil {
		return err
	}
	more := len(list) > first
	list = list[:min(len(list), first)]
	ids := make([]string, len(list))
	for i, c := range list {
		ids[i] = c.id
	}
	rows, err := pool.Query(r.Context(), subscriptionsSQL, ids, provider)
	if err != nil {
		return err
	}
	var n int64
	var s subscription
	if _, err := pgx.ForEachRow(rows, []any{&n, &s.offer, &s.quantity, &s.status, &s.support}, func() error {
		c := &list[n-1]
		c.subscriptions = append(c.subscriptions, s)
		return nil
	}); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	_, err = w.Write(encode(list, total, more))
	return err
}

func page(ctx context.Context, pool *pgxpool.Pool, provider, name, id string, limit int) (list []customer, total int64, err error) {
	rows, err := pool.Query(ctx, customersSQL, provider, name, id, limit)
	if err != nil {
		return nil, 0, err
	}
	list = make([]customer, 0, limit)
	var c customer
	_, err = pgx.ForEachRow(rows, []any{&c.id, &c.name, &c.domain, &c.country, &c.reseller, &c.folded, &total}, func() error {
		list = append(list, c)
		return nil
	})
	return list, total, err
}

func encode(list []customer, total int64, more bool) []byte {
	b := make([]byte, 0, 400*len(list)+200)
	b = append(b, `{"data":{"customers":{"nodes":[`...)
	for i, c := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = text(append(b, `{"id":`...), c.id)
		b = text(append(b, `,"companyName":`...), c.name)
		b = text(append(b, `,"domain":`...), c.domain)
		b = text(append(b, `,"country":`...), c.country)
		if c.reseller == "" {
			b = append(b, `,"reseller":null`...)
		} else {
			b = append(text(append(b, `,"reseller":{"name":`...), c.reseller), '}')
		}
		b = append(b, `,"subscriptions":[`...)
		for k, s := range c.subscriptions {
			if k > 0 {
				b = append(b, ',')
			}
			b = text(append(b, `{"offerName":`...), s.offer)
			b = strconv.AppendInt(append(b, `,"quantity":`...), int64(s.quantity), 10)
			b = text(append(b, `,"status":`...), s.status)
			b = append(text(append(b, `,"supportContact":{"name":`...), s.support), "}}"...)
		}
		b = append(b, "]}"...)
	}
	end := ""
	if len(list) > 0 {
		end = list[len(list)-1].folded + "/" + list[len(list)-1].id
	}
	b = strconv.AppendBool(append(b, `],"pageInfo":{"hasNextPage":`...), more)
	b = text(append(b, `,"endCursor":`...), end)
	b = strconv.AppendInt(append(b, `},"totalCount":{"value":`...), total, 10)
	return append(b, "}}}}"...)
}

// text appends a JSON string; names of generated worlds hold nothing that must be escaped
// but quotes and backslashes.
func text(b []byte, s string) []byte {
	b = append(b, '"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			b = append(b, '\\')
		}
		b = append(b, s[i])
	}
	return append(b, '"')
}
