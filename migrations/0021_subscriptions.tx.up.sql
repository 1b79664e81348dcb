CREATE TABLE product_subscription (
  id {{.Text}} PRIMARY KEY,
  customer_id {{.Text}} NOT NULL REFERENCES customer (id),
  organization_id {{.Text}} NOT NULL,
  seller_id {{.Text}} NOT NULL REFERENCES partner (id),
  reseller_id {{.Text}} NOT NULL DEFAULT '',
  order_line_id {{.Text}} NOT NULL DEFAULT '',
  offer_id {{.Text}} NOT NULL REFERENCES offer (id),
  country text NOT NULL,
  offer_name text NOT NULL,
  friendly_name text NOT NULL DEFAULT '',
  name_folded {{.Text}} NOT NULL,
  quantity integer NOT NULL,
  term text NOT NULL,
  billing_cycle text NOT NULL,
  unit_price bigint NOT NULL,
  currency text NOT NULL,
  auto_renew {{.Bool}} NOT NULL,
  status text NOT NULL,
  status_reason text NOT NULL DEFAULT '',
  anchor_at {{.Time}},
  terms_done integer NOT NULL DEFAULT 0,
  term_started_at {{.Time}},
  commitment_ends_at {{.Time}},
  additions {{.JSON}} NOT NULL,
  purchased_at {{.Time}},
  suspended_at {{.Time}},
  expired_at {{.Time}},
  disabled_at {{.Time}},
  cancelled_at {{.Time}},
  next_action_at {{.Time}},
  associated_reseller_id {{.Text}} NOT NULL DEFAULT '',
  support_contact_id {{.Text}} NOT NULL,
  event_count integer NOT NULL DEFAULT 1,
  version integer NOT NULL DEFAULT 1,
  created_at {{.Time}} NOT NULL,
  updated_at {{.Time}} NOT NULL
);
--bun:split
CREATE INDEX product_subscription_customer ON product_subscription (customer_id, name_folded, id);
--bun:split
CREATE INDEX product_subscription_organization ON product_subscription (organization_id, name_folded, id);
--bun:split
CREATE INDEX product_subscription_seller ON product_subscription (seller_id, name_folded, id);
--bun:split
CREATE INDEX product_subscription_seller_created ON product_subscription (seller_id, created_at, id);
--bun:split
CREATE INDEX product_subscription_reseller ON product_subscription (reseller_id, name_folded, id) WHERE reseller_id <> '';
--bun:split
CREATE INDEX product_subscription_reseller_created ON product_subscription (reseller_id, created_at, id) WHERE reseller_id <> '';
--bun:split
CREATE INDEX product_subscription_support ON product_subscription (support_contact_id, name_folded, id) WHERE support_contact_id <> seller_id;
--bun:split
CREATE INDEX product_subscription_name ON product_subscription (name_folded, id);
--bun:split
CREATE INDEX product_subscription_created ON product_subscription (created_at, id);
--bun:split
CREATE INDEX product_subscription_line ON product_subscription (order_line_id) WHERE order_line_id <> '';
--bun:split
CREATE INDEX product_subscription_next_action ON product_subscription (next_action_at, id) WHERE next_action_at IS NOT NULL;
--bun:split
CREATE TABLE subscription_event (
  id {{.Text}} PRIMARY KEY,
  subscription_id {{.Text}} NOT NULL REFERENCES product_subscription (id),
  number integer NOT NULL,
  kind text NOT NULL,
  at {{.Time}} NOT NULL,
  actor_id text NOT NULL DEFAULT '',
  reason text NOT NULL DEFAULT '',
  status text NOT NULL,
  quantity integer NOT NULL,
  unit_price bigint NOT NULL,
  currency text NOT NULL
);
--bun:split
CREATE UNIQUE INDEX subscription_event_number ON subscription_event (subscription_id, number);
