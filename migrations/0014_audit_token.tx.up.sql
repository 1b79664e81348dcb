ALTER TABLE audit_event ADD COLUMN token_id text NOT NULL DEFAULT '';
