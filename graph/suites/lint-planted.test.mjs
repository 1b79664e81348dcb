// A rule that matches nothing looks exactly like a rule that nobody breaks. So here is a
// schema that breaks them.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { lint } from './lint.mjs';

const broken = `
# a description that is none
type Query {
  queryThings(first: Int): ThingConnection
}
"""Changes."""
type Mutation {
  "Makes a thing."
  makeThing(thing: Thing_input!): Thing
}
type Thing { thingName: String @deprecated, other: OTHER }
type ThingConnection { edges: ThingEdge, pageInfo: PageInfo }
type ThingEdge { node: [Thing] }
type PageInfo { hasNextPage: Boolean }
type Unreachable { a: String }
input Thing_input { a: String }
enum OTHER { one }
`;

describe('graphql-eslint over a broken schema', () => {
  test('the rules report it', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'channelgraph-lint-'));
    try {
      writeFileSync(join(folder, 'broken.graphql'), broken);
      const reported = [...new Set((await lint(folder, 'broken.graphql')).map((m) => m.rule))].sort();
      assert.deepEqual(reported, [
        'description-style',
        'input-name',
        'naming-convention',
        'no-hashtag-description',
        'no-typename-prefix',
        'no-unreachable-types',
        'relay-arguments',
        'relay-connection-types',
        'relay-edge-types',
        'relay-page-info',
        'require-deprecation-reason',
        'require-description',
      ]);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
