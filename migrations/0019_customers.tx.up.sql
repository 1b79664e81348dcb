CREATE TABLE customer (
  id {{.Text}} PRIMARY KEY,
  organization_id {{.Text}} NOT NULL REFERENCES organization (id),
  company_name text NOT NULL,
  name_folded {{.Text}} NOT NULL,
  domain {{.Text}} NOT NULL,
  country text NOT NULL,
  region text NOT NULL,
  registration_id text NOT NULL DEFAULT '',
  registration_id_folded {{.Text}} NOT NULL DEFAULT '',
  address {{.JSON}} NOT NULL,
  billing_email text NOT NULL DEFAULT '',
  phone text NOT NULL DEFAULT '',
  locale text NOT NULL,
  azure_type {{.Bool}} NOT NULL DEFAULT {{.False}},
  status text NOT NULL,
  agreed_at {{.Time}},
  version integer NOT NULL DEFAULT 1,
  created_at {{.Time}} NOT NULL,
  updated_at {{.Time}} NOT NULL
);
--bun:split
CREATE UNIQUE INDEX customer_organization ON customer (organization_id);
--bun:split
CREATE UNIQUE INDEX customer_registration ON customer (country, registration_id_folded) WHERE registration_id_folded <> '';
--bun:split
CREATE INDEX customer_name ON customer (name_folded, id);
--bun:split
CREATE INDEX customer_domain ON customer (domain, id);
--bun:split
CREATE INDEX customer_created ON customer (created_at, id);
--bun:split
CREATE TABLE relationship (
  id {{.Text}} PRIMARY KEY,
  customer_id {{.Text}} NOT NULL REFERENCES customer (id),
  partner_id {{.Text}} NOT NULL REFERENCES partner (id),
  kind text NOT NULL,
  counterpart_id {{.Text}} NOT NULL DEFAULT '',
  status text NOT NULL,
  removed_reason text NOT NULL DEFAULT '',
  removed_at {{.Time}},
  removed_by_id text NOT NULL DEFAULT '',
  name_folded {{.Text}} NOT NULL,
  domain {{.Text}} NOT NULL,
  country text NOT NULL,
  version integer NOT NULL DEFAULT 1,
  created_at {{.Time}} NOT NULL,
  updated_at {{.Time}} NOT NULL
);
--bun:split
CREATE UNIQUE INDEX relationship_pair ON relationship (customer_id, partner_id);
--bun:split
CREATE INDEX relationship_name ON relationship (partner_id, status, name_folded, customer_id);
--bun:split
CREATE INDEX relationship_domain ON relationship (partner_id, status, domain, customer_id);
--bun:split
CREATE INDEX relationship_created ON relationship (partner_id, status, created_at, customer_id);
--bun:split
CREATE TABLE customer_agreement (
  id {{.Text}} PRIMARY KEY,
  customer_id {{.Text}} NOT NULL REFERENCES customer (id),
  partner_id {{.Text}} NOT NULL,
  kind text NOT NULL,
  first_name text NOT NULL,
  last_name text NOT NULL,
  email text NOT NULL,
  phone text NOT NULL DEFAULT '',
  agreed_on text NOT NULL,
  recorded_by_id text NOT NULL,
  created_at {{.Time}} NOT NULL
);
--bun:split
CREATE INDEX customer_agreement_customer ON customer_agreement (customer_id, created_at, id);
--bun:split
CREATE TABLE customer_grant (
  id {{.Text}} PRIMARY KEY,
  relationship_id {{.Text}} NOT NULL REFERENCES relationship (id),
  customer_id {{.Text}} NOT NULL REFERENCES customer (id),
  partner_id {{.Text}} NOT NULL REFERENCES partner (id),
  roles {{.JSON}} NOT NULL,
  starts_at {{.Time}} NOT NULL,
  ends_at {{.Time}} NOT NULL,
  auto_extend_days integer NOT NULL DEFAULT 0,
  status text NOT NULL,
  withdrawn_at {{.Time}},
  withdrawn_by_id text NOT NULL DEFAULT '',
  next_action_at {{.Time}},
  version integer NOT NULL DEFAULT 1,
  created_at {{.Time}} NOT NULL,
  updated_at {{.Time}} NOT NULL
);
--bun:split
CREATE INDEX customer_grant_customer ON customer_grant (customer_id, ends_at, id);
--bun:split
CREATE INDEX customer_grant_partner ON customer_grant (partner_id, ends_at, id);
--bun:split
CREATE INDEX customer_grant_relationship ON customer_grant (relationship_id, status);
--bun:split
CREATE INDEX customer_grant_ends ON customer_grant (ends_at, id);
--bun:split
CREATE INDEX customer_grant_next_action ON customer_grant (next_action_at, id) WHERE next_action_at IS NOT NULL;
--bun:split
CREATE TABLE customer_invitation (
  invitation_id {{.Text}} PRIMARY KEY REFERENCES invitation (id),
  seller_id {{.Text}} NOT NULL REFERENCES partner (id),
  reseller_id {{.Text}} NOT NULL DEFAULT '',
  roles {{.JSON}} NOT NULL,
  grant_days integer NOT NULL,
  auto_extend_days integer NOT NULL DEFAULT 0,
  customer_id {{.Text}} NOT NULL DEFAULT ''
);
--bun:split
CREATE INDEX partner_registrable_domain ON partner (registrable_domain);
