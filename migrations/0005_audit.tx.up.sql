CREATE INDEX audit_event_at ON audit_event (at, id);
--bun:split
CREATE INDEX audit_event_actor ON audit_event (actor_id, at, id) WHERE actor_id <> '';
--bun:split
CREATE TABLE audit_seal (
  number bigint PRIMARY KEY,
  first_at {{.Time}} NOT NULL,
  last_at {{.Time}} NOT NULL,
  last_event_id text NOT NULL,
  event_count integer NOT NULL,
  settled_at {{.Time}} NOT NULL,
  sealed_at {{.Time}} NOT NULL,
  previous_hash text NOT NULL,
  hash text NOT NULL
);
--bun:split
CREATE TABLE audit_sealed (
  event_id {{.Text}} PRIMARY KEY,
  seal_number bigint NOT NULL REFERENCES audit_seal (number),
  position integer NOT NULL,
  digest text NOT NULL
);
--bun:split
CREATE UNIQUE INDEX audit_sealed_position ON audit_sealed (seal_number, position);
--bun:split
{{if .Postgres}}
CREATE FUNCTION audit_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% is append-only', TG_TABLE_NAME;
END $$;
--bun:split
CREATE TRIGGER audit_event_kept BEFORE TRUNCATE ON audit_event FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only();
--bun:split
CREATE TRIGGER audit_seal_frozen BEFORE UPDATE OR DELETE ON audit_seal FOR EACH ROW EXECUTE FUNCTION audit_append_only();
--bun:split
CREATE TRIGGER audit_seal_kept BEFORE TRUNCATE ON audit_seal FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only();
--bun:split
CREATE TRIGGER audit_sealed_frozen BEFORE UPDATE OR DELETE ON audit_sealed FOR EACH ROW EXECUTE FUNCTION audit_append_only();
--bun:split
CREATE TRIGGER audit_sealed_kept BEFORE TRUNCATE ON audit_sealed FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only();
{{else}}
CREATE TRIGGER audit_event_no_replace BEFORE INSERT ON audit_event WHEN EXISTS (SELECT 1 FROM audit_event WHERE id = NEW.id) BEGIN SELECT RAISE(ABORT, 'audit_event is append-only'); END;
--bun:split
CREATE TRIGGER audit_seal_no_replace BEFORE INSERT ON audit_seal WHEN EXISTS (SELECT 1 FROM audit_seal WHERE number = NEW.number) BEGIN SELECT RAISE(ABORT, 'audit_seal is append-only'); END;
--bun:split
CREATE TRIGGER audit_seal_no_update BEFORE UPDATE ON audit_seal BEGIN SELECT RAISE(ABORT, 'audit_seal is append-only'); END;
--bun:split
CREATE TRIGGER audit_seal_no_delete BEFORE DELETE ON audit_seal BEGIN SELECT RAISE(ABORT, 'audit_seal is append-only'); END;
--bun:split
CREATE TRIGGER audit_sealed_no_replace BEFORE INSERT ON audit_sealed WHEN EXISTS (SELECT 1 FROM audit_sealed WHERE event_id = NEW.event_id OR (seal_number = NEW.seal_number AND position = NEW.position)) BEGIN SELECT RAISE(ABORT, 'audit_sealed is append-only'); END;
--bun:split
CREATE TRIGGER audit_sealed_no_update BEFORE UPDATE ON audit_sealed BEGIN SELECT RAISE(ABORT, 'audit_sealed is append-only'); END;
--bun:split
CREATE TRIGGER audit_sealed_no_delete BEFORE DELETE ON audit_sealed BEGIN SELECT RAISE(ABORT, 'audit_sealed is append-only'); END;
{{end}}
--bun:split
CREATE TABLE export_file (
  id {{.Text}} PRIMARY KEY,
  organization_id text NOT NULL,
  requested_by_id text NOT NULL,
  kind text NOT NULL,
  filter {{.JSON}} NOT NULL,
  rows_done integer NOT NULL DEFAULT 0,
  rows_total integer,
  bytes bigint NOT NULL DEFAULT 0,
  chunks integer NOT NULL DEFAULT 0,
  cursor_at {{.Time}},
  cursor_id text NOT NULL DEFAULT '',
  created_at {{.Time}} NOT NULL,
  finished_at {{.Time}},
  expires_at {{.Time}} NOT NULL
);
--bun:split
CREATE INDEX export_file_requested ON export_file (requested_by_id, created_at, id);
--bun:split
CREATE INDEX export_file_expires ON export_file (expires_at);
--bun:split
CREATE TABLE export_chunk (
  export_id text NOT NULL REFERENCES export_file (id) ON DELETE CASCADE,
  number integer NOT NULL,
  data {{if .Postgres}}bytea{{else}}blob{{end}} NOT NULL,
  PRIMARY KEY (export_id, number)
);
