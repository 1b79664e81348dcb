ALTER TABLE partner ADD COLUMN agreement_due_at {{.Time}};
--bun:split
ALTER TABLE partner ADD COLUMN status_reason text NOT NULL DEFAULT '';
--bun:split
ALTER TABLE partner ADD COLUMN status_changed_at {{.Time}};
--bun:split
CREATE INDEX partner_agreement_due ON partner (id) WHERE agreement_due_at IS NOT NULL;
--bun:split
CREATE TABLE agreement (
  id {{.Text}} PRIMARY KEY,
  number text NOT NULL,
  content_hash text NOT NULL,
  due_at {{.Time}} NOT NULL,
  published_by_id text NOT NULL,
  published_at {{.Time}} NOT NULL,
  next_action_at {{.Time}}
);
--bun:split
CREATE UNIQUE INDEX agreement_number ON agreement (number);
--bun:split
CREATE INDEX agreement_published ON agreement (published_at, id);
--bun:split
CREATE INDEX agreement_next_action ON agreement (next_action_at) WHERE next_action_at IS NOT NULL;
--bun:split
CREATE TABLE agreement_text (
  agreement_id text NOT NULL REFERENCES agreement (id),
  locale text NOT NULL,
  title text NOT NULL,
  text text NOT NULL,
  PRIMARY KEY (agreement_id, locale)
);
--bun:split
CREATE TABLE agreement_signature (
  id {{.Text}} PRIMARY KEY,
  agreement_id text NOT NULL REFERENCES agreement (id),
  partner_id text NOT NULL REFERENCES partner (id),
  region text NOT NULL,
  number text NOT NULL,
  content_hash text NOT NULL,
  first_name text NOT NULL,
  last_name text NOT NULL,
  email text NOT NULL,
  phone text NOT NULL,
  signed_by_id text NOT NULL,
  signed_at {{.Time}} NOT NULL,
  ip_prefix text NOT NULL
);
--bun:split
CREATE UNIQUE INDEX agreement_signature_once ON agreement_signature (agreement_id, partner_id, region);
--bun:split
CREATE INDEX agreement_signature_partner ON agreement_signature (partner_id, signed_at, id);
--bun:split
CREATE INDEX agreement_signature_agreement ON agreement_signature (agreement_id, signed_at, id);
--bun:split
CREATE INDEX agreement_signature_signed ON agreement_signature (signed_at, id);
--bun:split
CREATE INDEX partner_tenant_domain ON partner (tenant_domain);
--bun:split
CREATE TABLE agreement_mailing (
  agreement_id text NOT NULL REFERENCES agreement (id),
  step text NOT NULL,
  after_id text NOT NULL DEFAULT '',
  finished_at {{.Time}},
  PRIMARY KEY (agreement_id, step)
);
