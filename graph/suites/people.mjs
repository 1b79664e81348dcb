// People of the demo world, and what they ask the server that run.mjs started.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export const url = process.env.SUITES_URL;
export const endpoint = `${url}/graphql`;
export const schemaFile = join(import.meta.dirname, '../../schema.graphql');

export const provider = 'global.admin@nordwind.example'; // has three resellers

if (!url) throw new Error('the suites run with: node run.mjs PATH-OF-CHANNELGRAPH');

export function password(email) {
  const accounts = JSON.parse(readFileSync(join(process.env.SUITES_DATA, 'demo.json'), 'utf8'));
  return accounts.find((a) => a.email === email).password;
}

// signIn gives the headers of a session.
export async function signIn(email) {
  const answer = await fetch(`${url}/auth/sign-in`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ email, password: password(email) }),
  });
  if (!answer.ok) throw new Error(`signing ${email} in answered ${answer.status}: ${await answer.text()}`);
  return { cookie: answer.headers.getSetCookie().map((c) => c.split(';')[0]).join('; ') };
}

// ask sends one operation and gives the answer's body.
export async function ask(headers, query, variables) {
  const answer = await fetch(endpoint, {
    method: 'POST',
    headers: { ...headers, 'content-type': 'application/json', accept: 'application/graphql-response+json' },
    body: JSON.stringify({ query, variables }),
  });
  return answer.json();
}
