CREATE TABLE event (
  id {{if .Postgres}}bigint GENERATED ALWAYS AS IDENTITY{{else}}integer{{end}} PRIMARY KEY,
  number bigint,
  published_at {{.Time}},
  kind text NOT NULL,
  subject_id text NOT NULL,
  organization_id {{.Text}} NOT NULL,
  other_organization_id {{.Text}} NOT NULL DEFAULT ''
);
--bun:split
CREATE INDEX event_unnumbered ON event (id) WHERE number IS NULL;
--bun:split
CREATE UNIQUE INDEX event_number ON event (number) WHERE number IS NOT NULL;
--bun:split
CREATE INDEX event_organization ON event (organization_id, number);
--bun:split
CREATE INDEX event_other_organization ON event (other_organization_id, number) WHERE other_organization_id <> '';
--bun:split
CREATE TABLE event_counter (
  id integer PRIMARY KEY CHECK (id = 1),
  last bigint NOT NULL,
  pruned bigint NOT NULL
);
--bun:split
INSERT INTO event_counter (id, last, pruned) VALUES (1, 0, 0);
--bun:split
{{if .Postgres}}
CREATE FUNCTION job_tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO event (kind, subject_id, organization_id) VALUES ('OPERATION_CHANGED', NEW.id, NEW.organization_id);
  RETURN NULL;
END $$;
--bun:split
CREATE TRIGGER job_told AFTER INSERT ON job FOR EACH ROW WHEN (NEW.listed) EXECUTE FUNCTION job_tell();
--bun:split
CREATE TRIGGER job_change_told AFTER UPDATE OF state ON job FOR EACH ROW
  WHEN (NEW.listed AND NEW.state <> OLD.state AND NOT (NEW.state IN ('pending', 'queued') AND OLD.state IN ('pending', 'queued')))
  EXECUTE FUNCTION job_tell();
{{else}}
CREATE TRIGGER job_told AFTER INSERT ON job WHEN NEW.listed
BEGIN INSERT INTO event (kind, subject_id, organization_id) VALUES ('OPERATION_CHANGED', NEW.id, NEW.organization_id); END;
--bun:split
CREATE TRIGGER job_change_told AFTER UPDATE OF state ON job
  WHEN NEW.listed AND NEW.state <> OLD.state AND NOT (NEW.state IN ('pending', 'queued') AND OLD.state IN ('pending', 'queued'))
BEGIN INSERT INTO event (kind, subject_id, organization_id) VALUES ('OPERATION_CHANGED', NEW.id, NEW.organization_id); END;
{{end}}
