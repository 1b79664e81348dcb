// The server audits of graphql-http, each a test: GraphQL over HTTP as an outsider reads it.
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { serverAudits } from 'graphql-http';
import { ask, endpoint, provider, signIn } from './people.mjs';

const total = 61; // of graphql-http 1.23.1; fewer would mean that audits got lost

// Audits older than the specification, which asks for 4xx and 422 here in every media type.
const older = new Set(['572B', 'FDE2', '7B9B', '86EE']);

// Audits of GET, which a server MAY offer. This one takes POST alone: a link must not run
// an operation.
const byGet = new Set(['5A70', 'D6D5', '6A70']);

// What strangers are refused: the audit asks for introspection, and is one of the library's
// two that want it to succeed.
const introspects = new Set(['28B9']);

// audited makes a test of each audit, as somebody with these headers.
function audited(headers, expected) {
  let last; // what the audit of now was answered
  const fetchFn = async (input, init) => {
    const answer = await fetch(input, { ...init, headers: { ...init?.headers, ...headers() } });
    last = answer.clone();
    return answer;
  };
  const audits = serverAudits({ url: endpoint, fetchFn });
  test('none is missing', () => {
    assert.equal(audits.length, total);
    assert.equal(new Set(audits.map((a) => a.id)).size, total);
  });
  for (const audit of audits) {
    test(`${audit.id} ${audit.name}`, async (t) => {
      const result = await audit.fn();
      if (result.status === 'ok') return;
      const why = `${result.status}: ${result.reason}; answered ${last.status} ${await last.clone().text()}`;
      if (result.status === 'notice' && byGet.has(audit.id)) {
        assert.equal(last.status, 405, why);
        assert.equal(last.headers.get('allow'), 'POST', why);
      } else if (result.status === 'warn' && older.has(audit.id)) {
        t.diagnostic(`${audit.id} warns, as it may: ${result.reason} (${last.status})`);
      } else {
        await expected(audit, last, why);
      }
    });
  }
}

describe('graphql-http audits, nobody signed in', () => {
  audited(() => ({}), async (audit, answer, why) => {
    if (!introspects.has(audit.id)) assert.fail(why);
    assert.equal(answer.status, 200, why);
    const body = await answer.json();
    assert.deepEqual(body.errors.map((e) => e.extensions.code), ['UNAUTHENTICATED'], why);
  });

  test('what they ask of anybody is answered', async () => {
    const { data, errors } = await ask({}, '{ __typename }');
    assert.deepEqual({ data, errors }, { data: { __typename: 'Query' }, errors: undefined });
  });
});

describe('graphql-http audits, signed in', () => {
  let session;
  before(async () => {
    session = await signIn(provider);
  });
  audited(() => session, (_audit, _answer, why) => assert.fail(why));
});
