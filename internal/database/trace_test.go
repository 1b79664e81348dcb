package database

import (
	"testing"

	"github.com/uptrace/bun"
)

func TestDescribeTellsNoArgument(t *testing.T) {
	t.Parallel()
	for query, want := range map[string][2]string{
		`SELECT "a"."id" FROM "user_account" AS "a" WHERE email = 'from secret'`: {"SELECT", "user_account"},
		`SELECT 'ada' FROM secret`:                                    {"SELECT", ""},
		`INSERT INTO "job" ("id") VALUES ('x')`:                       {"INSERT", "job"},
		`UPDATE job SET state = 'running'`:                            {"UPDATE", "job"},
		`DELETE FROM "session" WHERE id IN (SELECT 1)`:                {"DELETE", "session"},
		`WITH due AS (SELECT id FROM job WHERE x) UPDATE job SET y=1`: {"WITH", "job"},
		`SELECT count(*) FROM (SELECT 1 FROM invitation) AS x`:        {"SELECT", ""},
		"\n\tselect 1":          {"SELECT", ""},
		`SELECT x FROM ada@b.c`: {"SELECT", ""},
		`COMMIT`:                {"COMMIT", ""},
		`PRAGMA secret = 1`:     {"OTHER", ""},
		``:                      {"", ""},
	} {
		if op, table := describe(query); op != want[0] || table != want[1] {
			t.Errorf("%s: %q %q, want %q", query, op, table, want)
		}
	}
}

func TestUntracedStatementsCostNothing(t *testing.T) {
	e := &bun.QueryEvent{Query: "SELECT 1 FROM job"}
	if n := testing.AllocsPerRun(100, func() { beginStatement(t.Context(), SQLite, e); endStatement(e) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkUntracedStatement(b *testing.B) {
	e := &bun.QueryEvent{Query: "SELECT 1 FROM job"}
	for b.Loop() {
		beginStatement(b.Context(), SQLite, e)
		endStatement(e)
	}
}
