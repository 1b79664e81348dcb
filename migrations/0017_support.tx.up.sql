CREATE TABLE desk_item (
  subject_id {{.Text}} PRIMARY KEY,
  kind {{.Text}} NOT NULL,
  organization_id {{.Text}} NOT NULL REFERENCES organization (id),
  company text NOT NULL,
  name_folded {{.Text}} NOT NULL,
  state {{.Text}} NOT NULL,
  assignee_id {{.Text}} NOT NULL DEFAULT '',
  target_at {{.Time}},
  due_at {{.Time}},
  queue_at {{.Time}} NOT NULL,
  opened_at {{.Time}} NOT NULL,
  closed_at {{.Time}},
  version integer NOT NULL,
  updated_at {{.Time}} NOT NULL
);
--bun:split
CREATE INDEX desk_item_queue ON desk_item (kind, state, queue_at, subject_id);
--bun:split
CREATE INDEX desk_item_opened ON desk_item (kind, state, opened_at, subject_id);
--bun:split
CREATE INDEX desk_item_name ON desk_item (kind, state, name_folded, subject_id);
--bun:split
CREATE INDEX desk_item_assignee_queue ON desk_item (assignee_id, kind, state, queue_at, subject_id);
--bun:split
CREATE INDEX desk_item_assignee_opened ON desk_item (assignee_id, kind, state, opened_at, subject_id);
--bun:split
CREATE INDEX desk_item_assignee_name ON desk_item (assignee_id, kind, state, name_folded, subject_id);
--bun:split
CREATE INDEX desk_item_organization ON desk_item (organization_id, kind, state, queue_at, subject_id);
--bun:split
CREATE INDEX desk_item_search ON desk_item (name_folded, subject_id);
--bun:split
INSERT INTO desk_item (subject_id, kind, organization_id, company, name_folded, state, assignee_id, target_at, due_at, queue_at, opened_at, version, updated_at)
  SELECT e.id, 'ENROLLMENT', e.organization_id, o.name, CASE e.legal_name_folded WHEN '' THEN e.tenant_domain ELSE e.legal_name_folded END,
    CASE WHEN e.status IN ('IN_REVIEW', 'FROZEN') THEN 'OPEN' ELSE 'WAITING' END, coalesce(e.assignee_id, ''), e.target_at, e.due_at,
    coalesce(e.due_at, '2126-01-01 00:00:00+00:00'), coalesce(e.submitted_at, e.created_at), 1, e.updated_at
  FROM enrollment AS e JOIN organization AS o ON o.id = e.organization_id
  WHERE e.status IN ('EMAIL_PENDING', 'IN_REVIEW', 'ACTION_REQUIRED', 'FROZEN');
--bun:split
ALTER TABLE termination ADD COLUMN assignee_id {{.Text}} NOT NULL DEFAULT '';
--bun:split
ALTER TABLE termination ADD COLUMN target_at {{.Time}};
--bun:split
ALTER TABLE termination ADD COLUMN due_at {{.Time}};
--bun:split
ALTER TABLE termination ADD COLUMN next_action_at {{.Time}};
--bun:split
CREATE INDEX termination_next_action ON termination (next_action_at) WHERE next_action_at IS NOT NULL;
--bun:split
INSERT INTO desk_item (subject_id, kind, organization_id, company, name_folded, state, queue_at, opened_at, version, updated_at)
  SELECT t.id, 'TERMINATION', p.organization_id, p.legal_name, p.legal_name_folded, 'OPEN', '2126-01-01 00:00:00+00:00', t.created_at, 1, t.created_at
  FROM termination AS t JOIN partner AS p ON p.id = t.requester_id
  WHERE t.status = 'REQUESTED';
--bun:split
CREATE TABLE support_request (
  id {{.Text}} PRIMARY KEY,
  organization_id {{.Text}} NOT NULL REFERENCES organization (id),
  company text NOT NULL,
  name_folded {{.Text}} NOT NULL,
  kind {{.Text}} NOT NULL,
  severity {{.Text}} NOT NULL,
  status {{.Text}} NOT NULL,
  subject text NOT NULL,
  subject_id {{.Text}} NOT NULL DEFAULT '',
  customer_id {{.Text}} NOT NULL DEFAULT '',
  created_by_id text NOT NULL,
  replied_by_id text NOT NULL DEFAULT '',
  assignee_id {{.Text}} NOT NULL DEFAULT '',
  link_hash {{.Text}} NOT NULL,
  round integer NOT NULL,
  clock {{.JSON}} NOT NULL,
  target_at {{.Time}},
  due_at {{.Time}},
  steps integer NOT NULL DEFAULT 0,
  next_action_at {{.Time}},
  answered_at {{.Time}},
  outcome text NOT NULL DEFAULT '',
  messages integer NOT NULL DEFAULT 0,
  closed_at {{.Time}},
  closed_by text NOT NULL DEFAULT '',
  activity_at {{.Time}} NOT NULL,
  version integer NOT NULL,
  created_at {{.Time}} NOT NULL,
  updated_at {{.Time}} NOT NULL
);
--bun:split
CREATE UNIQUE INDEX support_request_link ON support_request (link_hash);
--bun:split
CREATE INDEX support_request_organization_activity ON support_request (organization_id, activity_at, id);
--bun:split
CREATE INDEX support_request_organization_created ON support_request (organization_id, created_at, id);
--bun:split
CREATE INDEX support_request_open ON support_request (organization_id) WHERE status <> 'CLOSED';
--bun:split
CREATE INDEX support_request_activity ON support_request (activity_at, id);
--bun:split
CREATE INDEX support_request_created ON support_request (created_at, id);
--bun:split
CREATE INDEX support_request_subject ON support_request (subject_id, activity_at, id) WHERE subject_id <> '';
--bun:split
CREATE INDEX support_request_next_action ON support_request (next_action_at) WHERE next_action_at IS NOT NULL;
--bun:split
CREATE INDEX support_request_running ON support_request (id) WHERE status <> 'CLOSED' AND answered_at IS NULL;
--bun:split
CREATE TABLE support_entry (
  id {{.Text}} PRIMARY KEY,
  request_id {{.Text}} NOT NULL REFERENCES support_request (id),
  number integer NOT NULL,
  kind text NOT NULL,
  at {{.Time}} NOT NULL,
  side text NOT NULL,
  actor_id text NOT NULL DEFAULT '',
  actor_name text NOT NULL DEFAULT '',
  operator_only {{.Bool}} NOT NULL DEFAULT {{.False}},
  text text NOT NULL DEFAULT '',
  until_at {{.Time}}
);
--bun:split
CREATE UNIQUE INDEX support_entry_number ON support_entry (request_id, number);
--bun:split
ALTER TABLE file ADD COLUMN shared_with_id {{.Text}} NOT NULL DEFAULT '';
