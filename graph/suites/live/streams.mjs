// What both live transports must do, said once. run.mjs takes this folder in from the day on
// which schema.graphql has a Subscription type; nothing here runs before, and nothing counts
// as passed.
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { ask, provider, signIn } from '../people.mjs';

const everything = 'subscription Everything { events { __typename } }';
const patience = 15_000;

// happen makes something happen that the provider sees: a mail to an address of its own,
// again and again until it is over, since nobody tells when a subscription has begun.
let addresses = 0;
async function happen(session, over) {
  while (!over()) {
    const { data, errors } = await ask(session, 'mutation ($input: RequestPartnershipInput!) { requestPartnership(input: $input) { userErrors { code } } }', {
      input: { email: `live-${process.pid}-${++addresses}@stream.example` },
    });
    assert.equal(errors, undefined, JSON.stringify(errors));
    assert.deepEqual(data.requestPartnership.userErrors, []);
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

// within fails where a promise takes too long.
function within(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: nothing within ${patience / 1000} s`)), patience);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

// codes are the codes with which a subscription is refused, in whichever way the transport
// says so: as a result, as an error message, or by closing.
async function codes(iterator) {
  try {
    const { value, done } = await within(iterator.next(), 'a refusal');
    assert.equal(value?.data ?? null, null, 'data came');
    if (done) return ['nothing'];
    const { done: over } = await within(iterator.next(), 'the end after a refusal');
    assert.equal(over, true);
    return value.errors.map((e) => e.extensions?.code);
  } catch (error) {
    if (error instanceof assert.AssertionError) throw error;
    if (Array.isArray(error)) return error.map((e) => e.extensions?.code);
    return [error.response?.status ?? error.code ?? String(error)];
  }
}

/**
 * Tests one transport. open gives a client of the library for somebody with these headers; closed is the codes
 * with which the transport itself turns strangers away, if it does so before any operation.
 */
export function streams(name, open, closed) {
  describe(name, () => {
    let session;
    const clients = [];
    const client = (headers) => {
      const c = open(headers);
      clients.push(c);
      return c;
    };
    before(async () => {
      session = await signIn(provider);
    });
    const end = async () => {
      while (clients.length) await clients.pop().dispose();
    };

    test('a query is answered, and that is all', async () => {
      const answers = [];
      for await (const answer of client(session).iterate({ query: '{ viewer { user { email } } }' })) answers.push(answer);
      assert.deepEqual(answers, [{ data: { viewer: { user: { email: provider } } } }]);
      await end();
    });

    test('what happens is told', async () => {
      const events = client(session).iterate({ query: everything });
      let told = false;
      const first = within(events.next(), 'an event').finally(() => {
        told = true;
      });
      await Promise.all([happen(session, () => told), first]);
      const { value, done } = await first;
      assert.equal(done, false);
      assert.equal(value.errors, undefined, JSON.stringify(value.errors));
      assert.equal(typeof value.data.events.__typename, 'string');
      await events.return();
      await end();
    });

    test('two streams of one person are both told', async () => {
      const one = client(session);
      const both = [one.iterate({ query: everything }), one.iterate({ query: everything })];
      let told = 0;
      const firsts = both.map((s) => within(s.next(), 'an event').finally(() => told++));
      await Promise.all([happen(session, () => told === 2), ...firsts]);
      for (const first of firsts) assert.equal(typeof (await first).value.data.events.__typename, 'string');
      await both[0].return(); // the other one goes on
      let more = false;
      const next = within(both[1].next(), 'a further event').finally(() => {
        more = true;
      });
      await Promise.all([happen(session, () => more), next]);
      assert.equal((await next).done, false);
      await both[1].return();
      await end();
    });

    test('a document that is not valid is refused', async () => {
      const refused = await codes(client(session).iterate({ query: 'subscription { nothingOfTheKind }' }));
      assert.ok(refused.length > 0 && refused[0] !== 'nothing', JSON.stringify(refused));
      await end();
    });

    test('who is not signed in is refused', async () => {
      const [code] = await codes(client({}).iterate({ query: everything }));
      assert.ok(code === 'UNAUTHENTICATED' || closed.includes(code), `refused with ${code}`);
      await end();
    });
  });
}
