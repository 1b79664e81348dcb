CREATE TABLE instance (
  key text PRIMARY KEY,
  value text NOT NULL
);
--bun:split
CREATE TABLE job (
  id {{.Text}} PRIMARY KEY,
  kind text NOT NULL,
  queue text NOT NULL,
  payload text NOT NULL,
  dedupe_key text,
  state text NOT NULL,
  due_at {{.Time}} NOT NULL,
  expires_at {{.Time}},
  sweep_at {{.Time}},
  generation integer NOT NULL DEFAULT 0,
  attempt integer NOT NULL DEFAULT 0,
  max_attempts integer NOT NULL,
  kills integer NOT NULL DEFAULT 0,
  worker text,
  started_at {{.Time}},
  failure_code text,
  last_error text,
  request_id text NOT NULL DEFAULT '',
  trace_parent text NOT NULL DEFAULT '',
  actor_id text NOT NULL DEFAULT '',
  organization_id text NOT NULL DEFAULT '',
  subject_id text NOT NULL DEFAULT '',
  listed {{.Bool}} NOT NULL DEFAULT {{.False}},
  created_at {{.Time}} NOT NULL,
  finished_at {{.Time}}
);
--bun:split
CREATE INDEX job_due ON job (queue, due_at, id) WHERE state = 'pending';
--bun:split
CREATE INDEX job_sweep ON job (sweep_at) WHERE state IN ('queued', 'running');
--bun:split
CREATE UNIQUE INDEX job_dedupe ON job (dedupe_key) WHERE dedupe_key IS NOT NULL AND state IN ('pending', 'queued', 'running');
--bun:split
CREATE INDEX job_subject ON job (subject_id, state) WHERE subject_id <> '';
--bun:split
CREATE INDEX job_organization ON job (organization_id, created_at, id) WHERE listed;
--bun:split
CREATE INDEX job_listed ON job (created_at, id) WHERE listed;
--bun:split
CREATE INDEX job_dead ON job (created_at, id) WHERE state = 'dead';
--bun:split
CREATE INDEX job_finished ON job (finished_at) WHERE finished_at IS NOT NULL;
--bun:split
CREATE TABLE job_attempt (
  job_id text NOT NULL REFERENCES job (id) ON DELETE CASCADE,
  number integer NOT NULL,
  generation integer NOT NULL,
  worker text NOT NULL,
  started_at {{.Time}} NOT NULL,
  finished_at {{.Time}},
  outcome text,
  failure_code text,
  last_error text,
  PRIMARY KEY (job_id, number)
);
--bun:split
CREATE TABLE job_tick (
  name text NOT NULL,
  tick_at {{.Time}} NOT NULL,
  PRIMARY KEY (name, tick_at)
);
--bun:split
CREATE TABLE audit_event (
  id {{.Text}} PRIMARY KEY,
  at {{.Time}} NOT NULL,
  actor_id text NOT NULL DEFAULT '',
  actor_kind text NOT NULL,
  actor_name text NOT NULL DEFAULT '',
  organization_id text NOT NULL DEFAULT '',
  on_behalf_of_id text NOT NULL DEFAULT '',
  action text NOT NULL,
  target_id text NOT NULL DEFAULT '',
  target_organization_id text NOT NULL DEFAULT '',
  changed {{.JSON}} NOT NULL,
  outcome text NOT NULL,
  reason text NOT NULL DEFAULT '',
  request_id text NOT NULL DEFAULT '',
  ip_prefix text NOT NULL DEFAULT ''
);
--bun:split
CREATE INDEX audit_event_organization ON audit_event (organization_id, at, id);
--bun:split
CREATE INDEX audit_event_target_organization ON audit_event (target_organization_id, at, id);
--bun:split
CREATE INDEX audit_event_target ON audit_event (target_id, at, id);
--bun:split
{{if .Postgres}}
CREATE FUNCTION audit_event_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'audit_event is append-only';
END $$;
--bun:split
CREATE TRIGGER audit_event_frozen BEFORE UPDATE OR DELETE ON audit_event FOR EACH ROW EXECUTE FUNCTION audit_event_append_only();
{{else}}
CREATE TRIGGER audit_event_no_update BEFORE UPDATE ON audit_event BEGIN SELECT RAISE(ABORT, 'audit_event is append-only'); END;
--bun:split
CREATE TRIGGER audit_event_no_delete BEFORE DELETE ON audit_event BEGIN SELECT RAISE(ABORT, 'audit_event is append-only'); END;
{{end}}
--bun:split
CREATE TABLE idempotency (
  actor_id text NOT NULL,
  verb text NOT NULL,
  key text NOT NULL,
  request_hash text NOT NULL,
  result {{.JSON}} NOT NULL,
  created_at {{.Time}} NOT NULL,
  PRIMARY KEY (actor_id, verb, key)
);
--bun:split
CREATE INDEX idempotency_created ON idempotency (created_at);
