CREATE TABLE organization (
  id {{.Text}} PRIMARY KEY,
  kind text NOT NULL,
  name text NOT NULL,
  name_folded {{.Text}} NOT NULL,
  domain text NOT NULL,
  country text NOT NULL,
  locale text NOT NULL,
  version integer NOT NULL DEFAULT 1,
  created_at {{.Time}} NOT NULL,
  updated_at {{.Time}} NOT NULL
);
--bun:split
CREATE UNIQUE INDEX organization_domain ON organization (domain);
--bun:split
CREATE TABLE user_account (
  id {{.Text}} PRIMARY KEY,
  organization_id text NOT NULL REFERENCES organization (id),
  email text NOT NULL,
  email_folded {{.Text}} NOT NULL,
  first_name text NOT NULL,
  last_name text NOT NULL,
  name_folded {{.Text}} NOT NULL,
  locale text NOT NULL,
  status text NOT NULL,
  link_generation integer NOT NULL DEFAULT 0,
  last_sign_in_at {{.Time}},
  version integer NOT NULL DEFAULT 1,
  created_at {{.Time}} NOT NULL,
  updated_at {{.Time}} NOT NULL
);
--bun:split
CREATE UNIQUE INDEX user_account_email ON user_account (email_folded);
--bun:split
CREATE INDEX user_account_name ON user_account (organization_id, name_folded, id);
--bun:split
CREATE INDEX user_account_created ON user_account (organization_id, created_at, id);
--bun:split
CREATE TABLE user_role (
  user_id text NOT NULL REFERENCES user_account (id),
  role text NOT NULL,
  granted_by text NOT NULL,
  granted_at {{.Time}} NOT NULL,
  PRIMARY KEY (user_id, role)
);
--bun:split
CREATE TABLE credential (
  user_id text PRIMARY KEY REFERENCES user_account (id),
  password_hash text NOT NULL,
  changed_at {{.Time}} NOT NULL
);
--bun:split
CREATE TABLE session (
  id {{.Text}} PRIMARY KEY,
  user_id text NOT NULL REFERENCES user_account (id),
  organization_id text NOT NULL,
  token_hash text NOT NULL,
  auth_methods text NOT NULL,
  ip_prefix text NOT NULL,
  agent text NOT NULL,
  created_at {{.Time}} NOT NULL,
  last_seen_at {{.Time}} NOT NULL,
  idle_until {{.Time}} NOT NULL,
  abs_until {{.Time}} NOT NULL,
  sudo_until {{.Time}} NOT NULL,
  revoked_at {{.Time}}
);
--bun:split
CREATE UNIQUE INDEX session_token ON session (token_hash);
--bun:split
CREATE INDEX session_by_user ON session (user_id, created_at, id);
--bun:split
CREATE INDEX session_ended ON session (abs_until);
--bun:split
CREATE TABLE capability_link (
  id {{.Text}} PRIMARY KEY,
  purpose text NOT NULL,
  subject_id text NOT NULL,
  generation integer NOT NULL,
  token_hash text NOT NULL,
  expires_at {{.Time}} NOT NULL,
  used_at {{.Time}},
  revoked_at {{.Time}},
  created_at {{.Time}} NOT NULL
);
--bun:split
CREATE UNIQUE INDEX capability_link_token ON capability_link (token_hash);
--bun:split
CREATE UNIQUE INDEX capability_link_generation ON capability_link (purpose, subject_id, generation);
--bun:split
CREATE INDEX capability_link_expires ON capability_link (expires_at);
--bun:split
CREATE TABLE throttle (
  key text PRIMARY KEY,
  count integer NOT NULL,
  window_until {{.Time}} NOT NULL,
  blocked_until {{.Time}} NOT NULL
);
--bun:split
CREATE INDEX throttle_window ON throttle (window_until);
--bun:split
CREATE TABLE account_request (
  id {{.Text}} PRIMARY KEY,
  template text NOT NULL,
  email_folded text NOT NULL,
  locale text NOT NULL,
  created_at {{.Time}} NOT NULL
);
--bun:split
CREATE INDEX account_request_created ON account_request (created_at);
