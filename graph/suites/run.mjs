// Starts the product with its demo world and runs every suite against it:
//
//   node run.mjs PATH-OF-CHANNELGRAPH
//
// The server listens on a free port, keeps its data in a temporary folder, and is gone when
// this ends. What is skipped counts as failed.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { buildSchema } from 'graphql';

const here = import.meta.dirname;
const patience = 90_000; // filling the demo world hashes two dozen passwords

const program = process.argv[2];
if (!program) {
  console.error('usage: node run.mjs PATH-OF-CHANNELGRAPH');
  process.exit(2);
}

// Live suites run from the day on which the schema has something live.
const live = buildSchema(readFileSync(join(here, '../../schema.graphql'), 'utf8')).getSubscriptionType() != null;
const suites = (folder) => readdirSync(join(here, folder)).filter((f) => f.endsWith('.test.mjs')).sort().map((f) => join(here, folder, f));
const files = [...suites('.'), ...(live ? suites('live') : [])];

const data = mkdtempSync(join(tmpdir(), 'channelgraph-suites-'));
let server;
const end = () => {
  server?.kill('SIGKILL');
  rmSync(data, { recursive: true, force: true });
};
process.on('exit', end);
for (const [signal, code] of [['SIGINT', 130], ['SIGTERM', 143], ['SIGHUP', 129]]) {
  process.on(signal, () => process.exit(code));
}

// Settings of the one who runs this are not settings of the tests.
const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('CHANNELGRAPH_')));
server = spawn(program, ['serve', '--demo', '--addr', '127.0.0.1:0', '--data', data], { env, stdio: ['ignore', 'ignore', 'pipe'] });
const stopped = once(server, 'exit');
let log = '';
server.stderr.setEncoding('utf8');
const address = await new Promise((resolve, reject) => {
  const timer = setTimeout(() => reject(new Error('it was not ready in time')), patience);
  server.stderr.on('data', (text) => {
    log += text;
    const ready = /msg=ready .*\baddr=(\S+)/.exec(log);
    if (ready) resolve(ready[1]);
  });
  server.on('error', reject);
  server.on('exit', () => reject(new Error('it ended before it was ready')));
  stopped.then(() => clearTimeout(timer), () => {});
  server.stderr.on('data', () => /msg=ready /.test(log) && clearTimeout(timer));
}).catch((error) => {
  console.error(`suites: channelgraph did not start: ${error.message}\n${log}`);
  process.exit(1);
});

process.env.SUITES_URL = `http://${address}`;
process.env.SUITES_DATA = data;

// One line for each group; the whole story where something failed.
const count = { passed: 0, failed: 0, skipped: 0 };
let inGroup = 0;
const tests = run({ files, concurrency: 2 });
tests.on('test:pass', ({ name, details, nesting, skip, todo }) => {
  if (skip !== undefined || todo !== undefined) {
    count.skipped++;
    console.log(`  skipped: ${name}`);
  } else if (details.type !== 'suite') {
    count.passed++;
    inGroup++;
  }
  if (nesting > 0) return;
  console.log(`ok ${name}: ${inGroup} tests in ${(details.duration_ms / 1000).toFixed(1)} s`);
  inGroup = 0;
});
tests.on('test:fail', ({ name, nesting, details }) => {
  if (details.type !== 'suite') count.failed++;
  if (nesting > 0) return;
  if (details.type === 'suite' || details.type === undefined) count.failed ||= 1;
  console.log(`FAILED ${name}`);
  inGroup = 0;
});
tests.on('test:diagnostic', ({ nesting, message }) => {
  if (nesting > 0) console.log(`  ${message}`);
});
let story = '';
const reporter = tests.compose(new spec());
reporter.setEncoding('utf8').on('data', (text) => {
  story += text;
});
await once(reporter, 'end');
if (count.failed) console.log(story);

server.kill('SIGTERM');
const [code] = await Promise.race([stopped, new Promise((resolve) => setTimeout(resolve, 20_000, ['killed after 20 s']).unref())]);
if (code !== 0) {
  console.error(`suites: channelgraph ended with ${code}:\n${log.slice(-4000)}`);
  count.failed++;
}
console.log(`suites: ${count.passed} tests passed, ${count.failed} failed, ${count.skipped} skipped, in ${files.length} files`);
process.exit(count.failed || count.skipped || !count.passed ? 1 : 0);
