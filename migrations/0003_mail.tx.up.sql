CREATE TABLE mail_message (
  id {{.Text}} PRIMARY KEY,
  dedupe_key text NOT NULL,
  template text NOT NULL,
  locale text NOT NULL,
  recipient text NOT NULL,
  recipient_folded {{.Text}} NOT NULL,
  data {{.JSON}} NOT NULL,
  link_purpose text NOT NULL DEFAULT '',
  link_prefix text NOT NULL DEFAULT '',
  link_path text NOT NULL DEFAULT '',
  link_subject_id text NOT NULL DEFAULT '',
  link_generation integer NOT NULL DEFAULT 0,
  organization_id text NOT NULL DEFAULT '',
  subject_id text NOT NULL DEFAULT '',
  message_id text NOT NULL,
  dated_at {{.Time}} NOT NULL,
  reminder {{.Bool}} NOT NULL DEFAULT {{.False}},
  state text NOT NULL,
  settled {{.Bool}} NOT NULL DEFAULT {{.False}},
  phase text NOT NULL DEFAULT '',
  claim text NOT NULL DEFAULT '',
  lease_until {{.Time}},
  attempts integer NOT NULL DEFAULT 0,
  next_attempt_at {{.Time}},
  expires_at {{.Time}} NOT NULL,
  maybe_duplicate {{.Bool}} NOT NULL DEFAULT {{.False}},
  server_reply text NOT NULL DEFAULT '',
  failure_code text NOT NULL DEFAULT '',
  request_id text NOT NULL DEFAULT '',
  created_at {{.Time}} NOT NULL,
  sent_at {{.Time}},
  bounced_at {{.Time}}
);
--bun:split
CREATE UNIQUE INDEX mail_message_dedupe ON mail_message (dedupe_key);
--bun:split
CREATE UNIQUE INDEX mail_message_message_id ON mail_message (message_id);
--bun:split
CREATE INDEX mail_message_subject ON mail_message (subject_id, created_at, id);
--bun:split
CREATE INDEX mail_message_recipient ON mail_message (recipient_folded, created_at);
--bun:split
CREATE INDEX mail_message_created ON mail_message (created_at, id);
--bun:split
CREATE INDEX mail_message_state ON mail_message (state, created_at, id);
--bun:split
CREATE TABLE mail_event (
  message_id text NOT NULL REFERENCES mail_message (id) ON DELETE CASCADE,
  number integer NOT NULL,
  at {{.Time}} NOT NULL,
  event text NOT NULL,
  code text NOT NULL DEFAULT '',
  PRIMARY KEY (message_id, number)
);
--bun:split
CREATE TABLE mail_suppression (
  recipient_folded {{.Text}} PRIMARY KEY,
  reason text NOT NULL,
  message_id text NOT NULL DEFAULT '',
  created_at {{.Time}} NOT NULL
);
--bun:split
CREATE TABLE mail_provider (
  name text PRIMARY KEY,
  tat_at {{.Time}},
  open_until {{.Time}},
  failures integer NOT NULL DEFAULT 0,
  reason text NOT NULL DEFAULT ''
);
