{{if .Postgres}}
DO $$
DECLARE
  t record;
BEGIN
  FOR t IN
    SELECT c.table_name, string_agg(format('ALTER COLUMN %I TYPE text COLLATE "C"', c.column_name), ', ') AS changes
    FROM information_schema.columns c
    JOIN information_schema.tables b ON b.table_schema = c.table_schema AND b.table_name = c.table_name AND b.table_type = 'BASE TABLE'
    WHERE c.table_schema = current_schema() AND c.data_type = 'text' AND c.collation_name IS NULL
      AND (c.column_name = 'id' OR c.column_name LIKE '%\_id')
    GROUP BY c.table_name ORDER BY c.table_name
  LOOP
    EXECUTE format('ALTER TABLE %I %s', t.table_name, t.changes);
  END LOOP;
END $$;
--bun:split
{{end}}
CREATE INDEX partnership_between ON partnership (provider_id, reseller_id);
