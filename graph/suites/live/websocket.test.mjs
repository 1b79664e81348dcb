// The client of graphql-ws: the graphql-transport-ws protocol.
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';
import { endpoint } from '../people.mjs';
import { streams } from './streams.mjs';

streams('graphql-ws', {
  person: 'admin.agent@nordwind.example', // streams are counted by person, and the other suite runs at the same time
  stranger: 'global.admin@greatlakes.example',
  open: (headers) => createClient({
    url: endpoint.replace(/^http/, 'ws'),
    retryAttempts: 0,
    webSocketImpl: class extends WebSocket {
      constructor(url, protocols) {
        super(url, protocols, { headers });
      }
    },
  }),
  closed: [4401, 4403],
});
