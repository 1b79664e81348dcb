// The client of graphql-sse, in distinct connections mode.
import { createClient } from 'graphql-sse';
import { endpoint } from '../people.mjs';
import { streams } from './streams.mjs';

streams('graphql-sse', (headers) => createClient({ url: endpoint, headers, singleConnection: false, retryAttempts: 0 }), [401]);
