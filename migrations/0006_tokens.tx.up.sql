CREATE TABLE personal_token (
  id {{.Text}} PRIMARY KEY,
  user_id text NOT NULL REFERENCES user_account (id),
  organization_id text NOT NULL REFERENCES organization (id),
  name text NOT NULL,
  name_folded {{.Text}} NOT NULL,
  token_hash text NOT NULL,
  scopes {{.JSON}} NOT NULL,
  networks {{.JSON}} NOT NULL,
  created_at {{.Time}} NOT NULL,
  expires_at {{.Time}} NOT NULL,
  last_used_at {{.Time}},
  revoked_at {{.Time}},
  revoked_by_id text NOT NULL DEFAULT ''
);
--bun:split
CREATE UNIQUE INDEX personal_token_hash ON personal_token (token_hash);
--bun:split
CREATE INDEX personal_token_by_user ON personal_token (user_id, created_at, id);
--bun:split
CREATE INDEX personal_token_by_organization ON personal_token (organization_id, created_at, id);
--bun:split
CREATE INDEX personal_token_ended ON personal_token (expires_at);
