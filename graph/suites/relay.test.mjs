// relay-compiler over relay/Resellers.ts, and the queries that it makes of it on the server:
// connections and nodes are as Relay wants them.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import compiler from 'relay-compiler';
import ts from 'typescript';
import { ask, provider, schemaFile, signIn } from './people.mjs';

describe('relay-compiler', () => {
  const folder = mkdtempSync(join(tmpdir(), 'channelgraph-relay-'));
  const out = join(folder, '__generated__');
  let session;

  // compile runs the compiler over the sample, changed by edit.
  function compile(edit = (text) => text) {
    cpSync(join(import.meta.dirname, 'relay'), join(folder, 'src'), { recursive: true });
    cpSync(schemaFile, join(folder, 'schema.graphql'));
    const sample = join(folder, 'src/Resellers.ts');
    writeFileSync(sample, edit(readFileSync(sample, 'utf8')));
    rmSync(out, { recursive: true, force: true });
    mkdirSync(out);
    cpSync(join(import.meta.dirname, 'relay/relay.config.json'), join(folder, 'relay.config.json'));
    return execFileSync(compiler, ['--noWatchman', 'relay.config.json'], { cwd: folder, encoding: 'utf8', stdio: 'pipe' });
  }

  // artifact gives what the compiler made under a name.
  function artifact(name) {
    for (const file of readdirSync(out).filter((f) => f.endsWith('.ts'))) {
      const { outputText } = ts.transpileModule(readFileSync(join(out, file), 'utf8'), { compilerOptions: { module: ts.ModuleKind.CommonJS, target: ts.ScriptTarget.ES2022 } });
      writeFileSync(join(out, file.replace(/\.ts$/, '.js')), outputText);
    }
    return createRequire(join(out, 'here.js'))(`./${name}.graphql`).default;
  }

  before(async () => {
    compile();
    session = await signIn(provider);
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  test('compiles the sample', () => {
    assert.deepEqual(readdirSync(out).sort(), [
      'ResellerRowRefetchQuery.graphql.ts',
      'ResellerRow_partnership.graphql.ts',
      'ResellersPaginationQuery.graphql.ts',
      'ResellersQuery.graphql.ts',
      'ResellersRequestMutation.graphql.ts',
      'Resellers_query.graphql.ts',
    ]);
  });

  test('refuses a sample that asks for what is not there', () => {
    assert.throws(() => compile((text) => text.replace('hasAdminAccess', 'hasAdminExcess')), /hasAdminExcess/);
    compile();
  });

  test('finds the connection, and pages through it', async () => {
    const fragment = artifact('Resellers_query');
    const { count, cursor, direction, path } = fragment.metadata.connection[0];
    assert.deepEqual({ count, cursor, direction, path }, { count: 'count', cursor: 'cursor', direction: 'forward', path: ['indirectResellers'] });
    const query = artifact('ResellersPaginationQuery').params.text;
    const seen = [];
    let info = { hasNextPage: true, endCursor: null };
    while (info.hasNextPage) {
      const { data, errors } = await ask(session, query, { [count]: 1, [cursor]: info.endCursor, filter: null });
      assert.equal(errors, undefined, JSON.stringify(errors));
      assert.equal(data.indirectResellers.edges.length, 1);
      assert.equal(data.indirectResellers.edges[0].node.__typename, 'Partnership');
      assert.ok(data.indirectResellers.edges[0].cursor);
      seen.push(data.indirectResellers.edges[0].node.reseller.legalName);
      info = data.indirectResellers.pageInfo;
    }
    assert.deepEqual(seen, ['Atelier Numérique SARL', 'Hofmann IT Systeme GmbH', 'Kettering Cloud Services Ltd']);
  });

  test('refetches a row by its id', async () => {
    const fragment = artifact('ResellerRow_partnership');
    assert.deepEqual(fragment.metadata.refetch.fragmentPathInResult, ['node']);
    assert.deepEqual(fragment.metadata.refetch.identifierInfo, { identifierField: 'id', identifierQueryVariableName: 'id' });
    const page = await ask(session, artifact('ResellersQuery').params.text, { count: 1 });
    assert.equal(page.errors, undefined, JSON.stringify(page.errors));
    const row = page.data.indirectResellers.edges[0].node;
    const again = await ask(session, artifact('ResellerRowRefetchQuery').params.text, { id: row.id });
    assert.equal(again.errors, undefined, JSON.stringify(again.errors));
    assert.deepEqual({ ...again.data.node, __typename: 'Partnership' }, row);
  });
});
