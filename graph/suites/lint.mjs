// The rules of graphql-eslint for the printed schema.
import { readFileSync } from 'node:fs';
import { ESLint } from 'eslint';
import plugin from '@graphql-eslint/eslint-plugin';

const { configs, parser } = plugin;
const prefix = '@graphql-eslint/';

// Every rule of the sets "recommended" and "relay", and some that say what our contract says.
const rules = { ...configs['flat/schema-recommended'].rules, ...configs['flat/schema-relay'].rules };

// Off: the rule wants an id on every type. Here an id is what `node(id:)` answers to, so types
// that implement Node have one, which the language itself checks; all others are pages, edges,
// payloads, errors, or parts and views of a node that have no life of their own.
delete rules[`${prefix}strict-id-in-types`];

// Told what it cannot know: it would have every list of the schema wrap an edge. Lists that
// cannot grow beyond 50 are plain lists, and connections have `nodes` beside `edges`. What
// the rule says about edges themselves holds.
rules[`${prefix}relay-edge-types`] = ['error', { listTypeCanWrapOnlyEdgeType: false, shouldImplementNode: true, withEdgeSuffix: true }];

// Excused from the last: the lines of an import's report, of which there are up to 1,000, the
// states of an offer, what happened to a subscription, and the places of the channel's tree,
// which are views of partners and customers. They are paged, but they are parts of what they
// are listed in, and nobody looks one up by itself.
const partEdges = ['RegisterImportProblemEdge', 'CatalogImportProblemEdge', 'OfferRevisionEdge', 'ProductSubscriptionEventEdge', 'ChannelBranchEdge'];

// Beyond the two sets: a mutation takes one `input` of a type named after it, and every
// element of the schema is described.
rules[`${prefix}input-name`] = ['error', { checkInputType: true, caseSensitiveInputType: false, checkQueries: false, checkMutations: true }];
rules[`${prefix}require-description`] = ['error', {
  types: true,
  DirectiveDefinition: true,
  EnumValueDefinition: true,
  FieldDefinition: true,
  InputValueDefinition: true,
}];

export const ruleNames = Object.keys(rules).map((r) => r.slice(prefix.length)).sort();

// lint reports what is wrong with the schema in a file, as [{rule, line, message}]. One
// process can look at one schema only: the plugin keeps the first that it reads.
export async function lint(folder, file) {
  const eslint = new ESLint({
    cwd: folder,
    overrideConfigFile: true,
    overrideConfig: [{
      files: [file],
      plugins: { '@graphql-eslint': plugin },
      languageOptions: { parser, parserOptions: { graphQLConfig: { schema: `${folder}/${file}` } } },
      linterOptions: { reportUnusedDisableDirectives: 'error' },
      rules,
    }],
  });
  const [result] = await eslint.lintFiles([file]);
  const source = readFileSync(`${folder}/${file}`, 'utf8').split('\n');
  const typeAt = (line) => source.slice(0, line).findLast((l) => l.startsWith('type '))?.split(' ')[1];
  const excused = (m) => m.ruleId === `${prefix}relay-edge-types` && m.message.includes('must implement `Node`') && partEdges.includes(typeAt(m.line));
  return result.messages.filter((m) => !excused(m)).map((m) => ({ rule: m.ruleId?.slice(prefix.length) ?? 'parser', line: m.line, message: m.message }));
}
