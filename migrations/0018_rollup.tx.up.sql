CREATE TABLE rollup (
  key {{.Text}} PRIMARY KEY,
  resellers bigint NOT NULL DEFAULT 0,
  customers bigint NOT NULL DEFAULT 0,
  subscriptions bigint NOT NULL DEFAULT 0,
  seats bigint NOT NULL DEFAULT 0
);
--bun:split
CREATE TABLE rollup_delta (
  id {{if .Postgres}}bigint GENERATED ALWAYS AS IDENTITY{{else}}integer{{end}} PRIMARY KEY,
  key {{.Text}} NOT NULL,
  resellers bigint NOT NULL DEFAULT 0,
  customers bigint NOT NULL DEFAULT 0,
  subscriptions bigint NOT NULL DEFAULT 0,
  seats bigint NOT NULL DEFAULT 0
);
--bun:split
CREATE INDEX rollup_delta_key ON rollup_delta (key);
--bun:split
CREATE TABLE rollup_check (
  id integer PRIMARY KEY CHECK (id = 1),
  repaired bigint NOT NULL,
  checked_at {{.Time}}
);
--bun:split
INSERT INTO rollup_check (id, repaired) VALUES (1, 0);
