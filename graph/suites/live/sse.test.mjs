// The client of graphql-sse, in distinct connections mode.
import { createClient } from 'graphql-sse';
import { endpoint, provider } from '../people.mjs';
import { streams } from './streams.mjs';

streams('graphql-sse', {
  person: provider,
  stranger: 'global.admin@rhinevalley.example',
  open: (headers) => createClient({ url: endpoint, headers, singleConnection: false, retryAttempts: 0 }),
  closed: [401],
});
