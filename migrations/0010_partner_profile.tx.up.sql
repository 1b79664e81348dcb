ALTER TABLE partner ADD COLUMN address {{.JSON}} NOT NULL DEFAULT '{}';
--bun:split
ALTER TABLE partner ADD COLUMN contact {{.JSON}} NOT NULL DEFAULT '{}';
--bun:split
ALTER TABLE partner ADD COLUMN support {{.JSON}} NOT NULL DEFAULT '{}';
