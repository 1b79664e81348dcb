CREATE TABLE customer_order (
  id {{.Text}} PRIMARY KEY,
  seller_id {{.Text}} NOT NULL REFERENCES partner (id),
  reseller_id {{.Text}} NOT NULL DEFAULT '',
  customer_id {{.Text}} NOT NULL DEFAULT '',
  adds_customer {{.Bool}} NOT NULL,
  newcomer {{.JSON}} NOT NULL,
  admin_user_id text NOT NULL DEFAULT '',
  gave_password {{.Bool}} NOT NULL DEFAULT {{.False}},
  status text NOT NULL,
  status_reason text NOT NULL DEFAULT '',
  currency text NOT NULL DEFAULT '',
  reviewed_at {{.Time}},
  created_by_id text NOT NULL,
  submitted_by_id text NOT NULL DEFAULT '',
  submitted_at {{.Time}},
  finished_at {{.Time}},
  expires_at {{.Time}} NOT NULL,
  version integer NOT NULL DEFAULT 1,
  created_at {{.Time}} NOT NULL,
  updated_at {{.Time}} NOT NULL
);
--bun:split
CREATE INDEX customer_order_seller ON customer_order (seller_id, created_at, id);
--bun:split
CREATE INDEX customer_order_reseller ON customer_order (reseller_id, created_at, id) WHERE reseller_id <> '';
--bun:split
CREATE INDEX customer_order_customer ON customer_order (customer_id, created_at, id) WHERE customer_id <> '';
--bun:split
CREATE INDEX customer_order_created ON customer_order (created_at, id);
--bun:split
CREATE INDEX customer_order_drafts ON customer_order (expires_at, id) WHERE status = 'DRAFT';
--bun:split
CREATE TABLE order_line (
  id {{.Text}} PRIMARY KEY,
  order_id {{.Text}} NOT NULL REFERENCES customer_order (id),
  number integer NOT NULL,
  offer_id {{.Text}} NOT NULL REFERENCES offer (id),
  offer_name text NOT NULL,
  friendly_name text NOT NULL DEFAULT '',
  quantity integer NOT NULL,
  term text NOT NULL,
  billing_cycle text NOT NULL,
  auto_renew {{.Bool}} NOT NULL,
  unit_price bigint NOT NULL DEFAULT 0,
  currency text NOT NULL DEFAULT '',
  status text NOT NULL,
  subscription_id text NOT NULL DEFAULT '',
  operation_id text NOT NULL DEFAULT '',
  attempt integer NOT NULL DEFAULT 0,
  failure_code text NOT NULL DEFAULT '',
  updated_at {{.Time}} NOT NULL
);
--bun:split
CREATE UNIQUE INDEX order_line_place ON order_line (order_id, number);
--bun:split
CREATE INDEX order_line_open ON order_line (status, updated_at, id) WHERE status IN ('PENDING', 'PROVISIONING', 'FAILED');
--bun:split
ALTER TABLE credential ADD COLUMN expires_at {{.Time}};
