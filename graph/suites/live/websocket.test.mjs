// The client of graphql-ws: the graphql-transport-ws protocol.
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';
import { endpoint } from '../people.mjs';
import { streams } from './streams.mjs';

streams('graphql-ws', (headers) => createClient({
  url: endpoint.replace(/^http/, 'ws'),
  retryAttempts: 0,
  webSocketImpl: class extends WebSocket {
    constructor(url, protocols) {
      super(url, protocols, { headers });
    }
  },
}), [4401, 4403]);
