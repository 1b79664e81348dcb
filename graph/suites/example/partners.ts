// A program of an integrator: asks somebody for a partnership, waits until the mail has left,
// and lists the resellers of its provider, page by page.
//
//   CHANNELGRAPH_TOKEN=… node partners.js https://partners.example.com somebody@reseller.example
//
// Types come from schema.graphql by gql.tada: using a field that was not asked for, or a code
// that does not exist, does not compile, and `gql.tada check` refuses to ask for what the schema
// does not have.
import { setTimeout } from 'node:timers/promises';
import { initGraphQLTada, type ResultOf, type TadaDocumentNode } from 'gql.tada';
import { print } from 'graphql';
import type { introspection } from './graphql-env.d.ts';

const graphql = initGraphQLTada<{ introspection: introspection; scalars: { Time: string } }>();

/** The API as one caller sees it. The headers say who calls: `authorization: Bearer …` or a session's `cookie`. */
class API {
  constructor(
    readonly url: string,
    readonly headers: Record<string, string>,
  ) {}

  /** Signs a person in, for programs that have no token. */
  static async signIn(url: string, email: string, password: string): Promise<API> {
    const answer = await fetch(`${url}/auth/sign-in`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ email, password }),
    });
    if (!answer.ok) throw new Error(`signing in was answered ${answer.status}`);
    return new API(url, { cookie: answer.headers.getSetCookie().map((c) => c.split(';')[0]).join('; ') });
  }

  /**
   * Runs one operation. It throws what is wrong with the request or the caller (UNAUTHENTICATED, FORBIDDEN,
   * RATE_LIMITED, …); what is wrong with a mutation's input stands in `userErrors` of the result.
   */
  async run<Result, Variables>(document: TadaDocumentNode<Result, Variables>, variables: Variables): Promise<Result> {
    const answer = await fetch(`${this.url}/graphql`, {
      method: 'POST',
      headers: { ...this.headers, 'content-type': 'application/json', accept: 'application/graphql-response+json' },
      body: JSON.stringify({ query: print(document), variables }),
    });
    const { data, errors } = (await answer.json()) as { data?: Result; errors?: { message: string; extensions?: { code?: string } }[] };
    if (errors?.length) throw new Error(errors.map((e) => `${e.extensions?.code ?? answer.status}: ${e.message}`).join('; '));
    if (!data) throw new Error(`the API answered ${answer.status} without data`);
    return data;
  }
}

const requestPartnership = graphql(`
  mutation RequestPartnership($input: RequestPartnershipInput!) {
    requestPartnership(input: $input) {
      invitation {
        id
        recipient
        expiresAt
      }
      operation {
        id
      }
      userErrors {
        code
        message
        path
      }
    }
  }
`);

const operation = graphql(`
  query Operation($id: ID!) {
    operation(id: $id) {
      state
      finishedAt
      failureCode
    }
  }
`);

const resellers = graphql(`
  query Resellers($first: Int!, $after: String) {
    indirectResellers(first: $first, after: $after) {
      nodes {
        id
        status
        hasAdminAccess
        reseller {
          legalName
          country
        }
      }
      pageInfo {
        hasNextPage
        endCursor
      }
    }
  }
`);

/**
 * Asks an address for a partnership. The key makes it safe to send the request again where the answer got lost:
 * the same key within 48 hours gives the first result instead of another mail.
 */
async function ask(api: API, email: string, idempotencyKey: string) {
  const { requestPartnership: payload } = await api.run(requestPartnership, { input: { email, idempotencyKey } });
  const [problem] = payload.userErrors;
  if (problem) {
    // The compiler knows every code of this mutation.
    if (problem.code === 'INVITATION_PENDING') return { asked: false, reason: 'asked before, and not answered yet' } as const;
    throw new Error(`${problem.code} at ${problem.path?.join('.')}: ${problem.message}`);
  }
  return { asked: true, invitation: payload.invitation!, operation: payload.operation! } as const;
}

/** Waits until an operation has ended, and tells how. */
async function ended(api: API, id: string) {
  for (;;) {
    const { operation: now } = await api.run(operation, { id });
    if (!now) throw new Error(`operation ${id} cannot be seen`);
    if (now.finishedAt) return now;
    await setTimeout(250);
  }
}

/** All resellers of the caller's provider, fetched a page at a time. */
async function* allResellers(api: API, pageSize = 25) {
  let page: ResultOf<typeof resellers>['indirectResellers'] | undefined;
  do {
    const after = page?.pageInfo.endCursor ?? null;
    page = (await api.run(resellers, { first: pageSize, after })).indirectResellers;
    yield* page.nodes;
  } while (page.pageInfo.hasNextPage);
}

const [url, recipient] = process.argv.slice(2);
const { CHANNELGRAPH_TOKEN: token, CHANNELGRAPH_EMAIL: email, CHANNELGRAPH_PASSWORD: password } = process.env;
if (!url || !recipient || !(token || (email && password))) {
  console.error('usage: CHANNELGRAPH_TOKEN=… node partners.js URL RECIPIENT');
  console.error('   or: CHANNELGRAPH_EMAIL=… CHANNELGRAPH_PASSWORD=… node partners.js URL RECIPIENT');
  process.exit(2);
}
const api = token ? new API(url, { authorization: `Bearer ${token}` }) : await API.signIn(url, email!, password!);

const result = await ask(api, recipient, `example-${recipient}`);
if (result.asked) {
  const { state, failureCode } = await ended(api, result.operation.id);
  console.log(`${result.invitation.recipient}: mail ${state}${failureCode ? ` (${failureCode})` : ''}`);
} else {
  console.log(`${recipient}: ${result.reason}`);
}
for await (const { reseller, status, hasAdminAccess } of allResellers(api, 2)) {
  console.log(`${reseller.legalName} (${reseller.country}): ${status}${hasAdminAccess ? ', admin access' : ''}`);
}
