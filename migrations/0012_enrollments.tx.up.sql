CREATE TABLE enrollment_start (
  id {{.Text}} PRIMARY KEY,
  email text NOT NULL,
  email_folded {{.Text}} NOT NULL,
  first_name text NOT NULL,
  last_name text NOT NULL,
  locale text NOT NULL,
  tenant_domain text NOT NULL,
  country text NOT NULL,
  token_hash text NOT NULL DEFAULT '',
  expires_at {{.Time}} NOT NULL,
  used_at {{.Time}},
  created_at {{.Time}} NOT NULL
);
--bun:split
CREATE UNIQUE INDEX enrollment_start_token ON enrollment_start (token_hash) WHERE token_hash <> '';
--bun:split
CREATE INDEX enrollment_start_email ON enrollment_start (email_folded, created_at);
--bun:split
CREATE INDEX enrollment_start_expiry ON enrollment_start (expires_at);
--bun:split
CREATE TABLE enrollment (
  id {{.Text}} PRIMARY KEY,
  organization_id {{.Text}} NOT NULL REFERENCES organization (id),
  partner_id text,
  purpose text NOT NULL,
  kind text NOT NULL,
  status text NOT NULL,
  stage integer NOT NULL DEFAULT 1,
  country text NOT NULL,
  tenant_domain {{.Text}} NOT NULL,
  profile {{.JSON}} NOT NULL,
  legal_name_folded {{.Text}} NOT NULL DEFAULT '',
  registration_id_folded {{.Text}} NOT NULL DEFAULT '',
  contact_email_folded {{.Text}} NOT NULL DEFAULT '',
  membership_id text,
  programme_id text NOT NULL DEFAULT '',
  already_enrolled {{.Bool}} NOT NULL DEFAULT {{.False}},
  created_by_id text NOT NULL,
  assignee_id {{.Text}},
  generation integer NOT NULL DEFAULT 0,
  verification_message_id text NOT NULL DEFAULT '',
  link_sent_at {{.Time}},
  link_expires_at {{.Time}},
  clock {{.JSON}} NOT NULL,
  target_at {{.Time}},
  due_at {{.Time}},
  awaits text NOT NULL DEFAULT '',
  until_at {{.Time}},
  queue_at {{.Time}} NOT NULL,
  agenda {{.JSON}} NOT NULL,
  next_action_at {{.Time}},
  reason_code text NOT NULL DEFAULT '',
  reason_note text NOT NULL DEFAULT '',
  decided_by_id text,
  decided_at {{.Time}},
  appeal_until {{.Time}},
  appeal_text text NOT NULL DEFAULT '',
  appealed_at {{.Time}},
  rejected_by_id text,
  touched_at {{.Time}} NOT NULL,
  submitted_at {{.Time}},
  confirmed_at {{.Time}},
  disowned_at {{.Time}},
  activated_at {{.Time}},
  closed_at {{.Time}},
  evidence_discarded_at {{.Time}},
  version integer NOT NULL DEFAULT 1,
  created_at {{.Time}} NOT NULL,
  updated_at {{.Time}} NOT NULL
);
--bun:split
CREATE UNIQUE INDEX enrollment_open ON enrollment (organization_id)
  WHERE status IN ('DRAFT', 'EMAIL_PENDING', 'IN_REVIEW', 'ACTION_REQUIRED', 'FROZEN', 'APPROVED');
--bun:split
CREATE INDEX enrollment_organization ON enrollment (organization_id, created_at, id);
--bun:split
CREATE INDEX enrollment_queue ON enrollment (queue_at, id);
--bun:split
CREATE INDEX enrollment_submitted ON enrollment (coalesce(submitted_at, created_at), id);
--bun:split
CREATE INDEX enrollment_name ON enrollment (legal_name_folded, id);
--bun:split
CREATE INDEX enrollment_status_queue ON enrollment (status, queue_at, id);
--bun:split
CREATE INDEX enrollment_status_submitted ON enrollment (status, coalesce(submitted_at, created_at), id);
--bun:split
CREATE INDEX enrollment_status_name ON enrollment (status, legal_name_folded, id);
--bun:split
CREATE INDEX enrollment_assignee_queue ON enrollment (coalesce(assignee_id, ''), status, queue_at, id);
--bun:split
CREATE INDEX enrollment_assignee_submitted ON enrollment (coalesce(assignee_id, ''), status, coalesce(submitted_at, created_at), id);
--bun:split
CREATE INDEX enrollment_assignee_name ON enrollment (coalesce(assignee_id, ''), status, legal_name_folded, id);
--bun:split
CREATE INDEX enrollment_country_name ON enrollment (country, legal_name_folded);
--bun:split
CREATE INDEX enrollment_registration ON enrollment (country, registration_id_folded) WHERE registration_id_folded <> '';
--bun:split
CREATE INDEX enrollment_domain ON enrollment (tenant_domain, id);
--bun:split
CREATE INDEX enrollment_programme ON enrollment (programme_id) WHERE programme_id <> '';
--bun:split
CREATE INDEX enrollment_next_action ON enrollment (next_action_at) WHERE next_action_at IS NOT NULL;
--bun:split
CREATE INDEX enrollment_evidence ON enrollment (closed_at)
  WHERE status IN ('REJECTED', 'EXPIRED', 'WITHDRAWN') AND evidence_discarded_at IS NULL;
--bun:split
CREATE TABLE enrollment_check (
  enrollment_id {{.Text}} NOT NULL REFERENCES enrollment (id),
  kind text NOT NULL,
  status text NOT NULL,
  reason_code text NOT NULL DEFAULT '',
  note text NOT NULL DEFAULT '',
  awaits text NOT NULL DEFAULT '',
  due_at {{.Time}},
  decided_by_id text,
  decided_at {{.Time}},
  updated_at {{.Time}} NOT NULL,
  PRIMARY KEY (enrollment_id, kind)
);
--bun:split
CREATE TABLE enrollment_question (
  id {{.Text}} PRIMARY KEY,
  enrollment_id {{.Text}} NOT NULL REFERENCES enrollment (id),
  check_kind text NOT NULL DEFAULT '',
  documents {{.JSON}} NOT NULL,
  text text NOT NULL,
  asked_by_id text NOT NULL,
  asked_at {{.Time}} NOT NULL,
  due_at {{.Time}} NOT NULL,
  answer text NOT NULL DEFAULT '',
  answered_by_id text,
  answered_at {{.Time}}
);
--bun:split
CREATE INDEX enrollment_question_enrollment ON enrollment_question (enrollment_id, asked_at, id);
--bun:split
CREATE TABLE enrollment_event (
  enrollment_id {{.Text}} NOT NULL REFERENCES enrollment (id),
  number integer NOT NULL,
  kind text NOT NULL,
  at {{.Time}} NOT NULL,
  side text NOT NULL,
  actor_id text NOT NULL DEFAULT '',
  actor_name text NOT NULL DEFAULT '',
  operator_only {{.Bool}} NOT NULL DEFAULT {{.False}},
  check_kind text NOT NULL DEFAULT '',
  reason_code text NOT NULL DEFAULT '',
  note text NOT NULL DEFAULT '',
  until_at {{.Time}},
  message_id text NOT NULL DEFAULT '',
  template text NOT NULL DEFAULT '',
  PRIMARY KEY (enrollment_id, number)
);
--bun:split
CREATE TABLE enrollment_link (
  token_hash text PRIMARY KEY,
  enrollment_id {{.Text}} NOT NULL REFERENCES enrollment (id),
  generation integer NOT NULL,
  expires_at {{.Time}} NOT NULL,
  used_at {{.Time}},
  outcome text NOT NULL DEFAULT '',
  created_at {{.Time}} NOT NULL
);
--bun:split
CREATE INDEX enrollment_link_enrollment ON enrollment_link (enrollment_id, created_at);
--bun:split
CREATE TABLE enrollment_membership (
  enrollment_id {{.Text}} NOT NULL REFERENCES enrollment (id),
  membership_id {{.Text}} NOT NULL,
  proved_by_id text NOT NULL,
  proved_at {{.Time}} NOT NULL,
  PRIMARY KEY (enrollment_id, membership_id)
);
