// schema.graphql against the schema of the last release, by graphql-inspector. What breaks a
// client fails, unless breaking.json lists it with the day since which it may:
//
//   { "change": "FIELD_REMOVED Partner.website", "since": "2027-01-31", "why": "…" }
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { CriticalityLevel, diff } from '@graphql-inspector/core';
import { buildSchema, Kind, parse, print, visit } from 'graphql';
import { schemaFile } from './people.mjs';

const read = (file) => readFileSync(file, 'utf8');
const released = read(join(import.meta.dirname, 'released.graphql'));
const current = read(schemaFile);
const allowed = JSON.parse(read(join(import.meta.dirname, 'breaking.json')));

// changes gives what is breaking and what is merely dangerous from one schema to another.
async function changes(before, after) {
  const all = await diff(buildSchema(before), buildSchema(after));
  const of = (level) => all.filter((c) => c.criticality.level === level).map((c) => ({ change: `${c.type} ${c.path}`, message: c.message }));
  return { breaking: of(CriticalityLevel.Breaking), dangerous: of(CriticalityLevel.Dangerous) };
}

describe('schema.graphql against the last release', () => {
  test('nothing breaks that is not listed', async (t) => {
    const { breaking, dangerous } = await changes(released, current);
    for (const d of dangerous) t.diagnostic(`dangerous: ${d.message}`);
    const today = new Date().toISOString().slice(0, 10);
    const may = new Set(allowed.filter((a) => a.since <= today).map((a) => a.change));
    assert.deepEqual(breaking.filter((b) => !may.has(b.change)), []);
  });

  test('what is listed has a day and a reason, and is still a change', async () => {
    const { breaking } = await changes(released, current);
    for (const a of allowed) {
      assert.match(a.since, /^\d{4}-\d{2}-\d{2}$/, a.change);
      assert.ok(!Number.isNaN(Date.parse(a.since)), a.change);
      assert.ok(a.why?.length > 10, `${a.change} has no reason`);
      assert.ok(breaking.some((b) => b.change === a.change), `${a.change} is listed and no change (any more)`);
    }
  });
});

describe('what counts as breaking', () => {
  const document = parse(released);
  const without = (kind, parent, name) => print(visit(document, {
    enter(node, _key, _up, _path, ancestors) {
      if (node.kind !== kind || node.name.value !== name) return undefined;
      return ancestors.some((a) => a.name?.value === parent) ? null : undefined;
    },
  }));
  const added = (line) => `${released}\n${line}\n`;

  test('a field is taken away', async () => {
    const { breaking } = await changes(released, without(Kind.FIELD_DEFINITION, 'Partnership', 'hasAdminAccess'));
    assert.deepEqual(breaking.map((b) => b.change), ['FIELD_REMOVED Partnership.hasAdminAccess']);
  });
  test('an enum value is taken away', async () => {
    const { breaking } = await changes(released, without(Kind.ENUM_VALUE_DEFINITION, 'InvitationStatus', 'BOUNCED'));
    assert.deepEqual(breaking.map((b) => b.change), ['ENUM_VALUE_REMOVED InvitationStatus.BOUNCED']);
  });
  test('an input asks for more', async () => {
    const { breaking } = await changes(released, added('extend input RequestPartnershipInput { because: String! }'));
    assert.deepEqual(breaking.map((b) => b.change), ['INPUT_FIELD_ADDED RequestPartnershipInput.because']);
  });
  test('a new field breaks nothing', async () => {
    const { breaking, dangerous } = await changes(released, added('extend type Partner { colour: String }'));
    assert.deepEqual({ breaking, dangerous }, { breaking: [], dangerous: [] });
  });
});
