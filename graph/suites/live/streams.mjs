// What both live transports must do, said once. run.mjs takes this folder in while
// schema.graphql has a Subscription type; without one nothing here runs, and nothing counts
// as passed.
import assert from 'node:assert/strict';
import { afterEach, before, describe, test } from 'node:test';
import { ask, signIn } from '../people.mjs';

const everything = 'subscription Everything($since: String) { events(since: $since) { cursor kind subjectId } }';
const patience = 15_000;

// request makes something happen: an address that nobody has asked before is asked.
let addresses = 0;
async function request(session) {
  const { data, errors } = await ask(session, 'mutation ($input: RequestPartnershipInput!) { requestPartnership(input: $input) { invitation { id } operation { id } userErrors { code } } }', {
    input: { email: `live-${process.pid}-${++addresses}@stream.example` },
  });
  assert.equal(errors, undefined, JSON.stringify(errors));
  assert.deepEqual(data.requestPartnership.userErrors, []);
  return { invitation: data.requestPartnership.invitation.id, operation: data.requestPartnership.operation.id };
}

// within fails where a promise takes too long.
function within(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: nothing within ${patience / 1000} s`)), patience);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

// next gives the data of the next result of a stream.
async function next(stream, what) {
  const { value, done } = await within(stream.next(), what);
  assert.equal(done, false, `the stream ended before ${what}`);
  assert.equal(value.errors, undefined, JSON.stringify(value.errors));
  return value.data;
}

// started reads the first event, after which nothing is missed, and gives its cursor.
async function started(stream) {
  const { events: first } = await next(stream, 'the first event');
  assert.equal(first.kind, 'STREAM_STARTED');
  assert.equal(first.subjectId, null);
  assert.ok(first.cursor);
  return first.cursor;
}

// until reads events up to the one of this kind about this subject, and gives them all.
async function until(stream, kind, subject) {
  const seen = [];
  for (;;) {
    const { events: event } = await next(stream, `${kind} of ${subject} after ${JSON.stringify(seen)}`);
    seen.push(event);
    if (event.kind === kind && event.subjectId === subject) return seen;
  }
}

// refusal tells why a stream is refused, in whichever way the transport says so: as a
// result, as an error message, as an answer with a status, or by closing.
async function refusal(stream) {
  const of = (errors) => errors.map((e) => ({ code: e.extensions?.code, message: e.message }));
  let result;
  try {
    result = await within(stream.next(), 'a refusal');
  } catch (error) {
    if (Array.isArray(error)) return of(error);
    if (!error.response) return [{ code: error.code, message: error.message }];
    const body = await error.response.json().catch(() => ({}));
    return body.errors ? of(body.errors) : [{ code: error.response.status }];
  }
  assert.equal(result.done, false, 'the stream ended without a word');
  assert.equal(result.value.data ?? null, null, 'data came');
  assert.equal((await within(stream.next(), 'the end after a refusal')).done, true);
  return of(result.value.errors);
}

/**
 * Tests one transport as a person of a provider, beside one of another provider. open gives a client of the library
 * for somebody with these headers; closed is the codes with which the transport itself turns strangers away, if it
 * does so before any operation.
 */
export function streams(name, { person, stranger, open, closed }) {
  describe(name, () => {
    let session;
    const clients = [];
    const subscribe = (headers, query, variables) => {
      const client = open(headers);
      clients.push(client);
      return client.iterate({ query, variables });
    };
    before(async () => {
      session = await signIn(person);
    });
    afterEach(async () => {
      while (clients.length) await clients.pop().dispose();
    });

    test('a query is answered, and that is all', async () => {
      const answers = [];
      for await (const answer of subscribe(session, '{ viewer { user { email } } }')) answers.push(answer.data);
      assert.deepEqual(answers, [{ viewer: { user: { email: person } } }]);
    });

    test('what happens is told', async () => {
      const stream = subscribe(session, everything);
      await started(stream);
      const { invitation, operation } = await request(session);
      const seen = await until(stream, 'INVITATION_CHANGED', invitation);
      if (!seen.some((e) => e.kind === 'OPERATION_CHANGED' && e.subjectId === operation)) await until(stream, 'OPERATION_CHANGED', operation);
      await stream.return();
    });

    test('what was missed is told afterwards, and once', async () => {
      const stream = subscribe(session, everything);
      const since = await started(stream);
      await stream.return();
      const missed = [(await request(session)).invitation, (await request(session)).invitation];
      const again = subscribe(session, everything, { since });
      const first = await started(again);
      const seen = await until(again, 'INVITATION_CHANGED', missed[1]);
      assert.ok(seen.some((e) => e.subjectId === missed[0]), `${missed[0]} is missing in ${JSON.stringify(seen)}`);
      const cursors = seen.map((e) => e.cursor);
      assert.equal(new Set(cursors).size, cursors.length, `told twice: ${JSON.stringify(seen)}; the first cursor was ${first}`);
      await again.return();
    });

    test('of two streams one ends and the other goes on', async () => {
      const [one, other] = [subscribe(session, everything), subscribe(session, everything)];
      await Promise.all([started(one), started(other)]);
      const both = (await request(session)).invitation;
      await Promise.all([until(one, 'INVITATION_CHANGED', both), until(other, 'INVITATION_CHANGED', both)]);
      await one.return();
      await until(other, 'INVITATION_CHANGED', (await request(session)).invitation);
      await other.return();
    });

    test('an operation is told until it has ended', async () => {
      const { operation: id } = await request(session);
      const stream = subscribe(session, 'subscription One($id: ID!) { operationChanged(id: $id) { id state finishedAt } }', { id });
      for (;;) {
        const { operationChanged: now } = await next(stream, 'a state');
        assert.equal(now.id, id);
        assert.equal(now.finishedAt !== null, ['SUCCEEDED', 'FAILED', 'CANCELLED'].includes(now.state), JSON.stringify(now));
        if (now.finishedAt === null) continue;
        assert.equal(now.state, 'SUCCEEDED');
        break;
      }
      await stream.return();
    });

    test('another company hears nothing of it', async () => {
      const theirs = await signIn(stranger);
      const stream = subscribe(theirs, everything);
      await started(stream);
      const ours = Object.values(await request(session));
      const own = await request(theirs); // comes after ours, so that ours would have been told before
      const seen = await until(stream, 'INVITATION_CHANGED', own.invitation);
      assert.deepEqual(seen.filter((e) => ours.includes(e.subjectId)), []);
      await stream.return();
    });

    test('what is hidden is refused as if it were absent', async () => {
      const theirs = await signIn(stranger);
      const { operation } = await request(session);
      const one = (id) => refusal(subscribe(theirs, 'subscription One($id: ID!) { operationChanged(id: $id) { id } }', { id }));
      const hidden = await one(operation);
      assert.deepEqual(hidden.map((e) => e.code), ['BAD_USER_INPUT']);
      assert.deepEqual(hidden, await one(operation.replace(/_.*/, `_${'0'.repeat(26)}`)));
    });

    test('a document that is not valid is refused', async () => {
      const errors = await refusal(subscribe(session, 'subscription { nothingOfTheKind }'));
      assert.deepEqual(errors.map((e) => e.code), ['GRAPHQL_VALIDATION_FAILED']);
    });

    test('who is not signed in is refused', async () => {
      const [{ code, message }] = await refusal(subscribe({}, everything));
      assert.ok(code === 'UNAUTHENTICATED' || closed.includes(code), `refused with ${code}: ${message}`);
    });
  });
}
