CREATE TABLE directory_state (
  id integer PRIMARY KEY,
  version bigint NOT NULL,
  changed_at {{.Time}}
);
--bun:split
INSERT INTO directory_state (id, version) VALUES (1, 1);
--bun:split
CREATE TABLE directory_listing (
  partner_id {{.Text}} PRIMARY KEY REFERENCES partner (id),
  organization_id {{.Text}} NOT NULL REFERENCES organization (id),
  listed {{.Bool}} NOT NULL,
  active {{.Bool}} NOT NULL,
  version integer NOT NULL,
  created_at {{.Time}} NOT NULL,
  updated_at {{.Time}} NOT NULL
);
--bun:split
CREATE TABLE directory_location (
  id {{.Text}} PRIMARY KEY,
  partner_id {{.Text}} NOT NULL REFERENCES partner (id),
  company_name text NOT NULL,
  name_folded {{.Text}} NOT NULL,
  country {{.Text}} NOT NULL,
  region {{.Text}} NOT NULL,
  target_url text NOT NULL,
  logo_id {{.Text}} NOT NULL DEFAULT '',
  visible {{.Bool}} NOT NULL,
  created_at {{.Time}} NOT NULL,
  updated_at {{.Time}} NOT NULL
);
--bun:split
CREATE INDEX directory_location_partner ON directory_location (partner_id, created_at, id);
--bun:split
CREATE INDEX directory_location_name ON directory_location (name_folded, id) WHERE visible;
--bun:split
CREATE INDEX directory_location_region ON directory_location (region, name_folded, id) WHERE visible;
--bun:split
CREATE INDEX directory_location_country ON directory_location (country, name_folded, id) WHERE visible;
--bun:split
CREATE INDEX directory_location_logo ON directory_location (logo_id) WHERE visible AND logo_id <> '';
--bun:split
CREATE TABLE directory_revision (
  partner_id {{.Text}} NOT NULL REFERENCES directory_listing (partner_id),
  version integer NOT NULL,
  kind text NOT NULL,
  at {{.Time}} NOT NULL,
  actor_id text NOT NULL DEFAULT '',
  profile_update_id text NOT NULL DEFAULT '',
  PRIMARY KEY (partner_id, version)
);
--bun:split
CREATE TABLE profile_update (
  id {{.Text}} PRIMARY KEY,
  partner_id {{.Text}} NOT NULL REFERENCES partner (id),
  organization_id {{.Text}} NOT NULL REFERENCES organization (id),
  company text NOT NULL,
  status {{.Text}} NOT NULL,
  changes {{.JSON}} NOT NULL,
  clock {{.JSON}} NOT NULL,
  target_at {{.Time}},
  due_at {{.Time}},
  queue_at {{.Time}} NOT NULL,
  steps integer NOT NULL DEFAULT 0,
  next_action_at {{.Time}},
  created_by_id text NOT NULL,
  assignee_id {{.Text}} NOT NULL DEFAULT '',
  decided_by_id text NOT NULL DEFAULT '',
  decided_at {{.Time}},
  reason text NOT NULL DEFAULT '',
  published_at {{.Time}},
  closed_at {{.Time}},
  month {{.Text}} NOT NULL DEFAULT '',
  outcome text NOT NULL DEFAULT '',
  worked bigint NOT NULL DEFAULT 0,
  entries integer NOT NULL DEFAULT 0,
  version integer NOT NULL,
  created_at {{.Time}} NOT NULL,
  updated_at {{.Time}} NOT NULL
);
--bun:split
CREATE UNIQUE INDEX profile_update_open ON profile_update (partner_id)
  WHERE status IN ('SUBMITTED', 'IN_REVIEW', 'WAITING_FOR_PARTNER', 'APPROVED');
--bun:split
CREATE INDEX profile_update_partner ON profile_update (partner_id, created_at, id);
--bun:split
CREATE INDEX profile_update_organization ON profile_update (organization_id, created_at, id);
--bun:split
CREATE INDEX profile_update_queue ON profile_update (queue_at, id);
--bun:split
CREATE INDEX profile_update_created ON profile_update (created_at, id);
--bun:split
CREATE INDEX profile_update_status_queue ON profile_update (status, queue_at, id);
--bun:split
CREATE INDEX profile_update_status_created ON profile_update (status, created_at, id);
--bun:split
CREATE INDEX profile_update_assignee_queue ON profile_update (assignee_id, status, queue_at, id);
--bun:split
CREATE INDEX profile_update_assignee_created ON profile_update (assignee_id, status, created_at, id);
--bun:split
CREATE INDEX profile_update_next_action ON profile_update (next_action_at) WHERE next_action_at IS NOT NULL;
--bun:split
CREATE INDEX profile_update_month ON profile_update (month, worked, id, outcome) WHERE outcome <> '';
--bun:split
CREATE TABLE profile_update_question (
  profile_update_id {{.Text}} NOT NULL REFERENCES profile_update (id),
  number integer NOT NULL,
  text text NOT NULL,
  asked_by_id text NOT NULL,
  asked_at {{.Time}} NOT NULL,
  answer text NOT NULL DEFAULT '',
  answered_by_id text NOT NULL DEFAULT '',
  answered_at {{.Time}},
  PRIMARY KEY (profile_update_id, number)
);
--bun:split
CREATE TABLE profile_update_entry (
  profile_update_id {{.Text}} NOT NULL REFERENCES profile_update (id),
  number integer NOT NULL,
  kind text NOT NULL,
  at {{.Time}} NOT NULL,
  side text NOT NULL,
  actor_id text NOT NULL DEFAULT '',
  actor_name text NOT NULL DEFAULT '',
  operator_only {{.Bool}} NOT NULL DEFAULT {{.False}},
  note text NOT NULL DEFAULT '',
  until_at {{.Time}},
  PRIMARY KEY (profile_update_id, number)
);
