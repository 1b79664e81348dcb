CREATE TABLE file (
  id {{.Text}} PRIMARY KEY,
  organization_id text NOT NULL REFERENCES organization (id),
  uploaded_by_id text NOT NULL REFERENCES user_account (id),
  purpose text NOT NULL,
  subject_id {{.Text}} NOT NULL DEFAULT '',
  name text NOT NULL,
  media_type text NOT NULL,
  size integer NOT NULL,
  sha256 text NOT NULL,
  width integer,
  height integer,
  chunks integer NOT NULL,
  created_at {{.Time}} NOT NULL,
  attached_at {{.Time}}
);
--bun:split
CREATE INDEX file_subject ON file (subject_id, created_at, id) WHERE subject_id <> '';
--bun:split
CREATE INDEX file_waiting ON file (organization_id, size) WHERE subject_id = '';
--bun:split
CREATE INDEX file_forgotten ON file (created_at) WHERE subject_id = '';
--bun:split
CREATE TABLE file_chunk (
  file_id text NOT NULL REFERENCES file (id) ON DELETE CASCADE,
  number integer NOT NULL,
  data {{if .Postgres}}bytea{{else}}blob{{end}} NOT NULL,
  PRIMARY KEY (file_id, number)
);
