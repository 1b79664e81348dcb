package app_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/database/dbtest"
)

// doNowhere looks for a text wherever anything is kept or goes: the log, every
// column of every table, the files of the data directory with what was deleted
// in them, the mailbox, what the webhook endpoint received, and Redis. With "!"
// it must stand in each of the places that are named, which proves that they
// are looked at: TEXT [log|tables|files|mailbox|webhooks…].
func (s *story) doNowhere(ts *testscript.TestScript, neg bool, args []string) error {
	if err := s.doSettle(ts, false, nil); err != nil {
		return err
	}
	found, err := s.where(args[0])
	if err != nil {
		return err
	}
	if !neg {
		if len(found) > 0 {
			return fmt.Errorf("it stands in %v", found)
		}
		return nil
	}
	for _, place := range args[1:] {
		if !slices.ContainsFunc(found, func(f string) bool { return f == place || filepath.Dir(f) == place }) {
			return fmt.Errorf("it does not stand in %s, but in %v", place, found)
		}
	}
	return nil
}

// where names the places in which a text stands.
func (s *story) where(text string) (found []string, err error) {
	look := func(place string, raw []byte) {
		if bytes.Contains(raw, []byte(text)) {
			found = append(found, place)
		}
	}
	look("log", []byte(s.log()))
	letters, err := s.mails("")
	if err != nil {
		return nil, err
	}
	for _, l := range letters {
		look("mailbox", fmt.Append(nil, l))
	}
	if s.hook != nil {
		s.hook.mu.Lock()
		defer s.hook.mu.Unlock()
		for _, m := range s.hook.got {
			look("webhooks", fmt.Appendf(nil, "%v %s", m.header, m.body))
		}
	}
	if err := s.tables(look); err != nil {
		return nil, err
	}
	err = filepath.WalkDir(s.data, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !d.Type().IsRegular() {
			return err
		}
		raw, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) { // a file of SQLite's that comes and goes
			return nil
		}
		look("files/"+filepath.Base(path), raw)
		return err
	})
	if err != nil {
		return nil, err
	}
	if s.redis != nil {
		if err := searchRedis(dbtest.RedisURL(), text); err != nil {
			found = append(found, err.Error())
		}
	}
	return found, nil
}

// tables reads every cell of the database.
func (s *story) tables(look func(place string, raw []byte)) error {
	ctx := context.Background()
	db, err := database.Open(ctx, s.databaseURL(), database.Options{MaxConns: 2})
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	q := "SELECT name FROM sqlite_master WHERE type = 'table'"
	if db.Dialect() == database.Postgres {
		q = "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()"
	}
	var names []string
	if err := db.Read().NewRaw(q).Scan(ctx, &names); err != nil {
		return err
	}
	for _, table := range names {
		var rows []map[string]any
		if err := db.Read().NewRaw(`SELECT * FROM "`+table+`"`).Scan(ctx, &rows); err != nil {
			return fmt.Errorf("reading %s: %w", table, err)
		}
		for _, row := range rows {
			for column, cell := range row {
				if raw, ok := cell.([]byte); ok {
					look("tables/"+table+"."+column, raw)
				} else {
					look("tables/"+table+"."+column, fmt.Append(nil, cell))
				}
			}
		}
	}
	return nil
}

// searchRedis fails where a key or its value holds a text, whosever it is.
func searchRedis(raw, text string) error {
	const search = `
local function stands(v)
  if type(v) ~= 'table' then return string.find(tostring(v), ARGV[1], 1, true) end
  for _, x in ipairs(v) do if stands(x) then return true end end
end
for _, k in ipairs(redis.call('KEYS', '*')) do
  local t, v = redis.call('TYPE', k).ok, ''
  if t == 'string' then v = redis.call('GET', k)
  elseif t == 'hash' then v = redis.call('HGETALL', k)
  elseif t == 'list' then v = redis.call('LRANGE', k, 0, -1)
  elseif t == 'set' then v = redis.call('SMEMBERS', k)
  elseif t == 'zset' then v = redis.call('ZRANGE', k, 0, -1)
  elseif t == 'stream' then v = redis.call('XRANGE', k, '-', '+')
  end
  if stands(k) or stands(v) then return redis.error_reply('redis/' .. k) end
end
return 'OK'`
	return askRedis(raw, "EVAL", search, "0", text)
}
