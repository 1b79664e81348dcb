CREATE TABLE calendar (
  id integer PRIMARY KEY CHECK (id = 1),
  time_zone text NOT NULL,
  workdays {{.JSON}} NOT NULL,
  opens_minute integer NOT NULL,
  closes_minute integer NOT NULL,
  version integer NOT NULL,
  updated_by_id text NOT NULL DEFAULT '',
  updated_at {{.Time}}
);
--bun:split
INSERT INTO calendar (id, time_zone, workdays, opens_minute, closes_minute, version)
VALUES (1, '', '["MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY"]', 540, 1020, 1);
--bun:split
CREATE TABLE holiday (
  id {{.Text}} PRIMARY KEY,
  date {{.Text}} NOT NULL,
  name text NOT NULL,
  created_by_id text NOT NULL,
  created_at {{.Time}} NOT NULL
);
--bun:split
CREATE UNIQUE INDEX holiday_date ON holiday (date);
--bun:split
CREATE TABLE calendar_move (
  version integer PRIMARY KEY,
  job_id text NOT NULL,
  done {{.JSON}} NOT NULL,
  mover text NOT NULL DEFAULT '',
  cursor_id text NOT NULL DEFAULT '',
  moved integer NOT NULL DEFAULT 0,
  total integer,
  created_at {{.Time}} NOT NULL,
  finished_at {{.Time}}
);
