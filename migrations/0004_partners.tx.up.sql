CREATE TABLE partner (
  id {{.Text}} PRIMARY KEY,
  organization_id text NOT NULL REFERENCES organization (id),
  kind text NOT NULL,
  status text NOT NULL,
  programme_id text NOT NULL,
  legal_name text NOT NULL,
  legal_name_folded {{.Text}} NOT NULL,
  tenant_domain text NOT NULL,
  website text NOT NULL DEFAULT '',
  registrable_domain text NOT NULL,
  registration_id text NOT NULL DEFAULT '',
  registration_id_folded {{.Text}} NOT NULL DEFAULT '',
  country text NOT NULL,
  region text NOT NULL,
  currency text NOT NULL,
  agreement_version text NOT NULL DEFAULT '',
  agreement_signed_at {{.Time}},
  version integer NOT NULL DEFAULT 1,
  activated_at {{.Time}},
  created_at {{.Time}} NOT NULL,
  updated_at {{.Time}} NOT NULL
);
--bun:split
CREATE UNIQUE INDEX partner_organization ON partner (organization_id);
--bun:split
CREATE UNIQUE INDEX partner_programme_id ON partner (programme_id);
--bun:split
CREATE UNIQUE INDEX partner_legal_name ON partner (country, legal_name_folded);
--bun:split
CREATE UNIQUE INDEX partner_registration ON partner (country, registration_id_folded) WHERE registration_id_folded <> '';
--bun:split
CREATE INDEX partner_name ON partner (legal_name_folded, id);
--bun:split
CREATE TABLE partner_affiliation (
  partner_id text NOT NULL REFERENCES partner (id),
  affiliate_id text NOT NULL REFERENCES partner (id),
  declared_by text NOT NULL,
  declared_at {{.Time}} NOT NULL,
  PRIMARY KEY (partner_id, affiliate_id)
);
--bun:split
CREATE TABLE invitation (
  id {{.Text}} PRIMARY KEY,
  kind text NOT NULL,
  inviter_id text NOT NULL REFERENCES partner (id),
  recipient text NOT NULL,
  recipient_folded {{.Text}} NOT NULL,
  locale text NOT NULL,
  text text NOT NULL,
  status text NOT NULL,
  generation integer NOT NULL DEFAULT 1,
  failure_code text NOT NULL DEFAULT '',
  decline_reason text NOT NULL DEFAULT '',
  message_id text NOT NULL DEFAULT '',
  created_by_id text NOT NULL,
  invitee_id text,
  decided_by_id text,
  sent_at {{.Time}},
  expires_at {{.Time}} NOT NULL,
  decided_at {{.Time}},
  waiting_since {{.Time}},
  new_link_requested_at {{.Time}},
  next_action_at {{.Time}},
  version integer NOT NULL DEFAULT 1,
  created_at {{.Time}} NOT NULL,
  updated_at {{.Time}} NOT NULL
);
--bun:split
CREATE UNIQUE INDEX invitation_open ON invitation (kind, inviter_id, recipient_folded) WHERE status IN ('QUEUED', 'SENT');
--bun:split
CREATE TABLE invitation_link (
  token_hash text PRIMARY KEY,
  invitation_id text NOT NULL REFERENCES invitation (id),
  generation integer NOT NULL,
  created_at {{.Time}} NOT NULL
);
--bun:split
CREATE INDEX invitation_created ON invitation (inviter_id, created_at, id);
--bun:split
CREATE INDEX invitation_recipient ON invitation (inviter_id, recipient_folded, id);
--bun:split
CREATE INDEX invitation_to ON invitation (recipient_folded, created_at);
--bun:split
CREATE INDEX invitation_invitee ON invitation (invitee_id, created_at, id) WHERE invitee_id IS NOT NULL;
--bun:split
CREATE INDEX invitation_next_action ON invitation (next_action_at) WHERE next_action_at IS NOT NULL;
--bun:split
CREATE TABLE partnership_link (
  id {{.Text}} PRIMARY KEY,
  provider_id text NOT NULL REFERENCES partner (id),
  generation integer NOT NULL DEFAULT 1,
  expires_at {{.Time}} NOT NULL,
  paused_at {{.Time}},
  rotated_at {{.Time}},
  uses integer NOT NULL DEFAULT 0,
  version integer NOT NULL DEFAULT 1,
  created_at {{.Time}} NOT NULL
);
--bun:split
CREATE UNIQUE INDEX partnership_link_provider ON partnership_link (provider_id);
--bun:split
CREATE TABLE partnership (
  id {{.Text}} PRIMARY KEY,
  provider_id text NOT NULL REFERENCES partner (id),
  reseller_id text NOT NULL REFERENCES partner (id),
  provider_name_folded {{.Text}} NOT NULL,
  reseller_name_folded {{.Text}} NOT NULL,
  region text NOT NULL,
  status text NOT NULL,
  invitation_id text NOT NULL DEFAULT '',
  authorized_by_id text NOT NULL,
  authorized_at {{.Time}} NOT NULL,
  admin_access_granted_at {{.Time}},
  admin_access_withdrawn_at {{.Time}},
  terminated_at {{.Time}},
  version integer NOT NULL DEFAULT 1,
  updated_at {{.Time}} NOT NULL
);
--bun:split
CREATE UNIQUE INDEX partnership_pair ON partnership (provider_id, reseller_id) WHERE status <> 'TERMINATED';
--bun:split
CREATE INDEX partnership_provider_name ON partnership (provider_id, reseller_name_folded, id);
--bun:split
CREATE INDEX partnership_provider_time ON partnership (provider_id, authorized_at, id);
--bun:split
CREATE INDEX partnership_reseller_name ON partnership (reseller_id, provider_name_folded, id);
--bun:split
CREATE INDEX partnership_reseller_time ON partnership (reseller_id, authorized_at, id);
--bun:split
CREATE INDEX partnership_authorized ON partnership (authorized_at, id);
--bun:split
CREATE TABLE termination (
  id {{.Text}} PRIMARY KEY,
  partnership_id text NOT NULL REFERENCES partnership (id),
  requester_id text NOT NULL REFERENCES partner (id),
  requested_by_id text NOT NULL,
  reason text NOT NULL,
  status text NOT NULL,
  decided_by_id text,
  decision_note text NOT NULL DEFAULT '',
  decided_at {{.Time}},
  version integer NOT NULL DEFAULT 1,
  created_at {{.Time}} NOT NULL
);
--bun:split
CREATE UNIQUE INDEX termination_open ON termination (partnership_id) WHERE status = 'REQUESTED';
--bun:split
CREATE INDEX termination_status ON termination (status, created_at, id);
--bun:split
CREATE INDEX termination_partnership ON termination (partnership_id, created_at, id);
