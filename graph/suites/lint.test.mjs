// The printed schema under graphql-eslint; one test for each rule of lint.mjs.
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { resolve } from 'node:path';
import { lint, ruleNames } from './lint.mjs';

describe('graphql-eslint over schema.graphql', () => {
  let found;
  before(async () => {
    found = await lint(resolve(import.meta.dirname, '../..'), 'schema.graphql');
  });
  const lines = (messages) => messages.map((m) => `schema.graphql:${m.line} ${m.rule}: ${m.message}`);

  for (const rule of ruleNames) {
    test(rule, () => assert.deepEqual(lines(found.filter((m) => m.rule === rule)), []));
  }
  test('nothing else is wrong', () => {
    assert.deepEqual(lines(found.filter((m) => !ruleNames.includes(m.rule))), []);
  });
});
