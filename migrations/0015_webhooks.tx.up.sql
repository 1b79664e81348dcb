CREATE TABLE webhook_endpoint (
  id {{.Text}} PRIMARY KEY,
  organization_id text NOT NULL REFERENCES organization (id),
  operator {{.Bool}} NOT NULL,
  url text NOT NULL,
  description text NOT NULL,
  events {{.JSON}} NOT NULL,
  status text NOT NULL,
  pause_reason text NOT NULL DEFAULT '',
  paused_at {{.Time}},
  secret_generation integer NOT NULL DEFAULT 1,
  secret_rotated_at {{.Time}},
  failures integer NOT NULL DEFAULT 0,
  failing_since {{.Time}},
  delivered_at {{.Time}},
  created_by_id text NOT NULL,
  deleted_at {{.Time}},
  version integer NOT NULL DEFAULT 1,
  created_at {{.Time}} NOT NULL,
  updated_at {{.Time}} NOT NULL
);
--bun:split
CREATE INDEX webhook_endpoint_organization ON webhook_endpoint (organization_id, created_at, id) WHERE deleted_at IS NULL;
--bun:split
CREATE INDEX webhook_endpoint_operator ON webhook_endpoint (id) WHERE operator AND deleted_at IS NULL;
--bun:split
CREATE INDEX webhook_endpoint_deleted ON webhook_endpoint (deleted_at) WHERE deleted_at IS NOT NULL;
--bun:split
CREATE TABLE webhook_event (
  id {{.Text}} PRIMARY KEY,
  type text NOT NULL,
  subject_id text NOT NULL,
  data {{.JSON}} NOT NULL,
  occurred_at {{.Time}} NOT NULL
);
--bun:split
CREATE INDEX webhook_event_occurred ON webhook_event (occurred_at);
--bun:split
CREATE TABLE webhook_delivery (
  id {{.Text}} PRIMARY KEY,
  endpoint_id text NOT NULL REFERENCES webhook_endpoint (id),
  event_id text NOT NULL REFERENCES webhook_event (id),
  type text NOT NULL,
  subject_id text NOT NULL,
  state text NOT NULL,
  code text NOT NULL DEFAULT '',
  status_code integer NOT NULL DEFAULT 0,
  run integer NOT NULL DEFAULT 1,
  attempts integer NOT NULL DEFAULT 0,
  attempts_before integer NOT NULL DEFAULT 0,
  next_attempt_at {{.Time}},
  created_at {{.Time}} NOT NULL,
  finished_at {{.Time}}
);
--bun:split
CREATE UNIQUE INDEX webhook_delivery_event ON webhook_delivery (event_id, endpoint_id);
--bun:split
CREATE INDEX webhook_delivery_endpoint ON webhook_delivery (endpoint_id, created_at, id);
--bun:split
CREATE INDEX webhook_delivery_state ON webhook_delivery (endpoint_id, state, created_at, id);
--bun:split
CREATE INDEX webhook_delivery_next ON webhook_delivery (next_attempt_at) WHERE next_attempt_at IS NOT NULL;
--bun:split
CREATE INDEX webhook_delivery_created ON webhook_delivery (created_at);
--bun:split
CREATE TABLE webhook_attempt (
  delivery_id text NOT NULL REFERENCES webhook_delivery (id) ON DELETE CASCADE,
  number integer NOT NULL,
  at {{.Time}} NOT NULL,
  duration_ms integer NOT NULL,
  status_code integer NOT NULL DEFAULT 0,
  code text NOT NULL DEFAULT '',
  PRIMARY KEY (delivery_id, number)
);
