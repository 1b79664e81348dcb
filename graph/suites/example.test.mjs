// The TypeScript example: it compiles against schema.graphql, would not compile against a
// schema that lacks what it uses, and does on the server what it says.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { promisify } from 'node:util';
import { Kind, parse, print, visit } from 'graphql';
import { ask, password, provider, schemaFile, signIn, url } from './people.mjs';

const run = promisify(execFile);
const here = import.meta.dirname;
const cache = join(here, 'node_modules/.cache'); // from there the example finds its packages
const tool = (name, args, cwd) => run(join(here, 'node_modules/.bin', name), args, { cwd, env: { ...process.env, NO_COLOR: '1' } });

// checked type-checks the example in a folder, after its types were made from its schema.
async function checked(folder) {
  rmSync(join(folder, 'graphql-env.d.ts'), { force: true });
  await tool('gql.tada', ['generate-output', '--tsconfig', 'tsconfig.json'], folder);
  await tool('gql.tada', ['check', '--tsconfig', 'tsconfig.json'], folder);
  await tool('tsc', ['--project', '.'], folder);
}

// start runs the compiled example as a person, and gives what it printed.
async function start(args, env) {
  const { stdout } = await run(process.execPath, [join(cache, 'example/partners.js'), ...args], { cwd: here, env: { PATH: process.env.PATH, ...env } });
  return stdout.trim().split('\n');
}

describe('the TypeScript example', () => {
  test('compiles against schema.graphql', () => checked(join(here, 'example')));

  // altered copies the example, with its types, to a folder where it is changed.
  function altered(name, edits) {
    const folder = join(cache, name);
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    cpSync(join(here, 'example'), folder, { recursive: true });
    cpSync(schemaFile, join(folder, 'schema.graphql'));
    for (const [file, edit] of Object.entries({ 'tsconfig.json': (text) => text.replace('../../../schema.graphql', './schema.graphql'), ...edits })) {
      writeFileSync(join(folder, file), edit(readFileSync(join(folder, file), 'utf8')));
    }
    return folder;
  }

  test('is refused where the schema lacks a field', async () => {
    const folder = altered('lacking', {
      'schema.graphql': (text) => print(visit(parse(text), {
        [Kind.FIELD_DEFINITION]: (node) => (node.name.value === 'hasAdminAccess' ? null : undefined),
      })),
    });
    await assert.rejects(tool('gql.tada', ['check', '--tsconfig', 'tsconfig.json'], folder),
      ({ stdout, stderr }) => /Cannot query field "hasAdminAccess" on type "Partnership"/.test(stdout + stderr));
  });
  test('is refused where it uses what it did not ask for', async () => {
    const folder = altered('careless', {
      'partners.ts': (text) => text.replace('reseller.country', 'reseller.website').replace("'INVITATION_PENDING'", "'NO_SUCH_CODE'"),
    });
    await assert.rejects(tool('tsc', ['--project', '.'], folder),
      ({ stdout }) => /TS2339: Property 'website'/.test(stdout) && /TS2367: .*NO_SUCH_CODE/.test(stdout));
  });

  const as = { CHANNELGRAPH_EMAIL: provider, CHANNELGRAPH_PASSWORD: password(provider) };
  const partners = [
    'Atelier Numérique SARL (FR): ACTIVE',
    'Hofmann IT Systeme GmbH (DE): ACTIVE, admin access',
    'Kettering Cloud Services Ltd (GB): ACTIVE, admin access',
  ];

  test('asks for a partnership and pages through the resellers', async () => {
    assert.deepEqual(await start([url, 'einkauf@alpenglow.example'], as), ['einkauf@alpenglow.example: mail SUCCEEDED', ...partners]);
    const { mails } = await (await fetch(`${url}/dev/mail?to=einkauf@alpenglow.example`)).json();
    assert.equal(mails.length, 1);
  });
  test('asks once where it is started twice', async () => {
    assert.deepEqual(await start([url, 'einkauf@alpenglow.example'], as), ['einkauf@alpenglow.example: mail SUCCEEDED', ...partners]);
    const { mails } = await (await fetch(`${url}/dev/mail?to=einkauf@alpenglow.example`)).json();
    assert.equal(mails.length, 1);
  });
  test('says that somebody was asked before', async () => {
    const [first] = await start([url, 'acquisti@laguna-software.example'], as);
    assert.equal(first, 'acquisti@laguna-software.example: asked before, and not answered yet');
  });
  test('works with a personal token that may do no more than it needs', async () => {
    const { data } = await ask(await signIn(provider), 'mutation ($input: CreatePersonalTokenInput!) { createPersonalToken(input: $input) { secret userErrors { code } } }', {
      input: { name: 'the TypeScript example', scopes: ['PARTNERSHIP_READ', 'PARTNER_READ', 'PARTNERSHIP_REQUEST', 'OPERATION_READ'] },
    });
    assert.deepEqual(data.createPersonalToken.userErrors, []);
    const printed = await start([url, 'vendite@cirrus.example'], { CHANNELGRAPH_TOKEN: data.createPersonalToken.secret });
    assert.deepEqual(printed, ['vendite@cirrus.example: mail SUCCEEDED', ...partners]);
  });
  test('throws where the input is wrong', async () => {
    await assert.rejects(start([url, 'nobody'], as), ({ stderr }) => /EMAIL_INVALID at input\.email: /.test(stderr));
  });
  test('throws where the token is none', async () => {
    await assert.rejects(start([url, 'einkauf@alpenglow.example'], { CHANNELGRAPH_TOKEN: 'none' }), ({ stderr }) => /Error: TOKEN_INVALID: /.test(stderr));
  });
});
