CREATE TABLE offer (
  id {{.Text}} PRIMARY KEY,
  sku {{.Text}} NOT NULL UNIQUE,
  name text NOT NULL,
  name_folded {{.Text}} NOT NULL,
  publisher_kind text NOT NULL,
  publisher text NOT NULL,
  product_line text NOT NULL,
  category text NOT NULL,
  min_quantity integer NOT NULL,
  max_quantity integer NOT NULL,
  countries {{.JSON}} NOT NULL,
  prerequisites {{.JSON}} NOT NULL,
  trial {{.Bool}} NOT NULL,
  azure_type {{.Bool}} NOT NULL,
  incentive_eligible {{.Bool}} NOT NULL,
  digest text NOT NULL,
  version integer NOT NULL,
  import_id text NOT NULL,
  retired_at {{.Time}},
  created_at {{.Time}} NOT NULL,
  updated_at {{.Time}} NOT NULL
);
--bun:split
CREATE INDEX offer_name ON offer (name_folded, id);
--bun:split
CREATE INDEX offer_updated ON offer (updated_at, id);
--bun:split
CREATE TABLE offer_price (
  offer_id {{.Text}} NOT NULL REFERENCES offer (id),
  region text NOT NULL,
  currency text NOT NULL,
  term text NOT NULL,
  billing_cycle text NOT NULL,
  amount bigint NOT NULL,
  PRIMARY KEY (offer_id, region, currency, term, billing_cycle)
);
--bun:split
CREATE TABLE offer_revision (
  offer_id {{.Text}} NOT NULL REFERENCES offer (id),
  version integer NOT NULL,
  import_id text NOT NULL,
  change text NOT NULL,
  content text NOT NULL,
  created_at {{.Time}} NOT NULL,
  PRIMARY KEY (offer_id, version)
);
--bun:split
CREATE TABLE catalog_import (
  id {{.Text}} PRIMARY KEY,
  format text NOT NULL,
  mode text NOT NULL,
  dry_run {{.Bool}} NOT NULL,
  file_id text NOT NULL,
  file_name text NOT NULL,
  organization_id text NOT NULL,
  requested_by_id text NOT NULL,
  offer_total integer,
  added integer NOT NULL DEFAULT 0,
  changed integer NOT NULL DEFAULT 0,
  unchanged integer NOT NULL DEFAULT 0,
  retired integer NOT NULL DEFAULT 0,
  problem_count integer NOT NULL DEFAULT 0,
  outcome text NOT NULL DEFAULT '',
  created_at {{.Time}} NOT NULL,
  finished_at {{.Time}}
);
--bun:split
CREATE INDEX catalog_import_created ON catalog_import (created_at, id);
--bun:split
CREATE INDEX catalog_import_open ON catalog_import (created_at) WHERE finished_at IS NULL;
--bun:split
CREATE TABLE catalog_import_problem (
  import_id {{.Text}} NOT NULL REFERENCES catalog_import (id),
  number integer NOT NULL,
  line integer NOT NULL,
  column_name text NOT NULL,
  code text NOT NULL,
  params {{.JSON}} NOT NULL,
  PRIMARY KEY (import_id, number)
);
