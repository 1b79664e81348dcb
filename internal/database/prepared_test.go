package database

import (
	"fmt"
	"strings"
	"testing"
)

// TestParametrize reads statements as bun writes them. Put back in their
// places, the values are the statement.
func TestParametrize(t *testing.T) {
	t.Parallel()
	const not = "not"
	var p parametrizer
	for _, c := range []struct{ in, out, args string }{
		{`INSERT INTO "a" ("x", "y") VALUES ('it''s; ''', 7), (DEFAULT, -12)`, `INSERT INTO "a" ("x", "y") VALUES ($1, $2), (DEFAULT, $3)`, `it's; '|7|-12`},
		{`INSERT INTO "a" ("x") VALUES (NULL), (TRUE), (FALSE), (''), ('ACTIVE')`, `INSERT INTO "a" ("x") VALUES ($1), ($2), ($3), ($4), ($5)`, `<nil>|TRUE|FALSE||ACTIVE`},
		{`INSERT INTO "a" ("x") VALUES (now(), 1.5, 2e3, '\x00ff', '[]'::jsonb)`, `INSERT INTO "a" ("x") VALUES (now(), 1.5, 2e3, $1, '[]'::jsonb)`, `\x00ff`},
		{`INSERT INTO a (x, y) VALUES ('K', coalesce((SELECT o FROM p WHERE id = 'par_1'), ''), lower('B c'), 'a 1' || 'b', json_build_object('a b', 'c d'))`,
			`INSERT INTO a (x, y) VALUES ($1, coalesce((SELECT o FROM p WHERE id = $2), ''), lower('B c'), 'a 1' || 'b', json_build_object('a b', 'c d'))`, `K|par_1`},
		{`INSERT INTO "a" ("x", "n") VALUES ('1', 2) ON CONFLICT (x) WHERE state IN ('pending', 'queued') DO UPDATE SET "n" = a.n + 1, "s" = 'DONE', "at" = '2026-01-02' RETURNING "x"`,
			`INSERT INTO "a" ("x", "n") VALUES ($1, $2) ON CONFLICT (x) WHERE state IN ('pending', 'queued') DO UPDATE SET "n" = a.n + 1, "s" = 'DONE', "at" = $3 RETURNING "x"`, `1|2|2026-01-02`},
		{`INSERT INTO "a" ("x") VALUES ('ü – “'), ('VALUES (1)')`, `INSERT INTO "a" ("x") VALUES ($1), ($2)`, `ü – “|VALUES (1)`},
		{`INSERT INTO "a" ("x") SELECT 'b 1'`, not, ``},
		{`INSERT INTO "a" ("x") VALUES (E'\n1')`, not, ``},
		{`INSERT INTO "a" ("x") VALUES ('1'); INSERT INTO "a" ("x") VALUES ('2')`, not, ``},
		{`INSERT INTO "a" ("x") VALUES ('1') -- 'why'`, not, ``},
		{`INSERT INTO "a" ("x") VALUES ('1') /* 'why' */`, not, ``},
		{`INSERT INTO "a" ("x") VALUES ($$1$$)`, not, ``},
		{`INSERT INTO "a" ("x") VALUES ('1`, not, ``},
		{`SELECT 'x 1'`, `SELECT 'x 1'`, ``},
		{`SELECT "a 'b"."c" FROM "a" WHERE (id IN ('x_1', lower('X 2'), 'x_2')) AND (a, b) > ('x_3', 'x_4') AND (status <> 'GONE') AND (n = 3) AND (at < '2026-01-02 03:04:05+00:00') AND f <> '' LIMIT 1`,
			`SELECT "a 'b"."c" FROM "a" WHERE (id IN ($1, lower('X 2'), $2)) AND (a, b) > ('x_3', 'x_4') AND (status <> 'GONE') AND (n = 3) AND (at < $3) AND f <> '' LIMIT 1`, `x_1|x_2|2026-01-02 03:04:05+00:00`},
		{`SELECT d->>'a b', d->'c d', interval '1 day', date '2026-01-02' FROM a WHERE x LIKE 'y%' ESCAPE '!'`,
			`SELECT d->>'a b', d->'c d', interval '1 day', date '2026-01-02' FROM a WHERE x LIKE 'y%' ESCAPE '!'`, ``},
		{`UPDATE "a" AS "a" SET "s" = 'DONE', "n" = 4, "m" = m + 1, "at" = NULL, "b" = TRUE, "j" = '{"a": "it''s"}' WHERE ("a"."id" = 'x_1') AND (version = 3) AND (s IN ('NEW'))`,
			`UPDATE "a" AS "a" SET "s" = $1, "n" = $2, "m" = m + 1, "at" = $3, "b" = $4, "j" = $5 WHERE ("a"."id" = $6) AND (version = 3) AND (s IN ('NEW'))`,
			`DONE|4|<nil>|TRUE|{"a": "it's"}|x_1`},
		{`DELETE FROM "a" WHERE (id = 'x_1')`, `DELETE FROM "a" WHERE (id = $1)`, `x_1`},
		{`begin`, `begin`, ``},
	} {
		args, ok := p.parametrize(statement{text: c.in, marked: true})
		if !ok || c.out == not {
			if ok || c.out != not {
				t.Errorf("%s: %t, %s", c.in, ok, p.out)
			}
			p.reset()
			continue
		}
		shown := make([]string, len(args))
		back := string(p.out)
		for i := len(args) - 1; i >= 0; i-- {
			shown[i] = string(args[i])
			literal := "'" + strings.ReplaceAll(shown[i], "'", "''") + "'"
			if args[i] == nil {
				shown[i], literal = "<nil>", "NULL"
			} else if !strings.Contains(c.in, literal) {
				literal = shown[i]
			}
			back = strings.Replace(back, fmt.Sprintf("$%d", i+1), literal, 1)
		}
		if string(p.out) != c.out || strings.Join(shown, "|") != c.args || back != c.in {
			t.Errorf("%s:\n%s\n%s\n%s", c.in, p.out, strings.Join(shown, "|"), back)
		}
		if _, ok := p.parametrize(statement{text: c.in}); ok != (strings.HasPrefix(c.in, "INSERT ") || control[c.in]) {
			t.Errorf("%s: %t without a mark", c.in, ok)
		}
		p.reset()
	}
	if _, ok := p.parametrize(statement{text: `INSERT INTO "a" ("x") VALUES ('` + strings.Repeat("x", longest) + `')`}); ok {
		t.Error("a long one is prepared")
	}
	if _, ok := p.parametrize(statement{text: `INSERT INTO "a" ("x") VALUES (1` + strings.Repeat(", 1", most) + `)`}); ok {
		t.Error("one of many values is prepared")
	}
}
