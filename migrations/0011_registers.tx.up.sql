CREATE TABLE membership_login (
  user_name_folded {{.Text}} PRIMARY KEY,
  user_name text NOT NULL,
  password_hash text NOT NULL,
  changed_at {{.Time}} NOT NULL
);
--bun:split
CREATE TABLE membership (
  id {{.Text}} PRIMARY KEY,
  user_name text NOT NULL,
  user_name_folded {{.Text}} NOT NULL REFERENCES membership_login (user_name_folded),
  programme_id {{.Text}} NOT NULL,
  legal_name text NOT NULL,
  legal_name_folded {{.Text}} NOT NULL,
  registration_id text NOT NULL,
  website text NOT NULL,
  country text NOT NULL,
  active {{.Bool}} NOT NULL,
  enrolled {{.Bool}} NOT NULL,
  address {{.JSON}} NOT NULL,
  contact {{.JSON}} NOT NULL,
  digest text NOT NULL,
  import_id text NOT NULL,
  created_at {{.Time}} NOT NULL,
  updated_at {{.Time}} NOT NULL
);
--bun:split
CREATE UNIQUE INDEX membership_user ON membership (user_name_folded, programme_id);
--bun:split
CREATE INDEX membership_programme ON membership (programme_id, id);
--bun:split
CREATE INDEX membership_name ON membership (legal_name_folded, id);
--bun:split
CREATE INDEX membership_updated ON membership (updated_at, id);
--bun:split
CREATE TABLE registered_company (
  country {{.Text}} NOT NULL,
  registration_id_folded {{.Text}} NOT NULL,
  registration_id text NOT NULL,
  legal_name text NOT NULL,
  dissolved {{.Bool}} NOT NULL,
  address {{.JSON}} NOT NULL,
  digest text NOT NULL,
  import_id text NOT NULL,
  created_at {{.Time}} NOT NULL,
  updated_at {{.Time}} NOT NULL,
  PRIMARY KEY (country, registration_id_folded)
);
--bun:split
CREATE TABLE register_import (
  id {{.Text}} PRIMARY KEY,
  kind text NOT NULL,
  mode text NOT NULL,
  dry_run {{.Bool}} NOT NULL,
  file_id text NOT NULL,
  file_name text NOT NULL,
  organization_id text NOT NULL,
  requested_by_id text NOT NULL,
  lines_total integer,
  lines_done integer NOT NULL DEFAULT 0,
  added integer NOT NULL DEFAULT 0,
  changed integer NOT NULL DEFAULT 0,
  unchanged integer NOT NULL DEFAULT 0,
  removed integer NOT NULL DEFAULT 0,
  problem_count integer NOT NULL DEFAULT 0,
  outcome text NOT NULL DEFAULT '',
  created_at {{.Time}} NOT NULL,
  finished_at {{.Time}}
);
--bun:split
CREATE INDEX register_import_created ON register_import (created_at, id);
--bun:split
CREATE INDEX register_import_open ON register_import (created_at) WHERE finished_at IS NULL;
--bun:split
CREATE TABLE register_import_problem (
  import_id {{.Text}} NOT NULL REFERENCES register_import (id),
  number integer NOT NULL,
  line integer NOT NULL,
  column_name text NOT NULL,
  code text NOT NULL,
  params {{.JSON}} NOT NULL,
  PRIMARY KEY (import_id, number)
);
--bun:split
CREATE TABLE register_import_hash (
  import_id {{.Text}} NOT NULL REFERENCES register_import (id),
  user_name_folded {{.Text}} NOT NULL,
  password_hash text NOT NULL,
  PRIMARY KEY (import_id, user_name_folded)
);
