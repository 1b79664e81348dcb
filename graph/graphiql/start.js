// Starts GraphiQL on the endpoint that the page names. The session's cookie goes along, since the
// endpoint is of the same origin; nothing else authenticates.
(async () => {
  'use strict';
  const root = document.getElementById('graphiql');
  const send = async (params) => {
    const answer = await fetch(root.dataset.endpoint, {
      method: 'POST',
      credentials: 'same-origin',
      headers: { 'Content-Type': 'application/json', Accept: 'application/graphql-response+json, application/json' },
      body: JSON.stringify(params),
    });
    return answer.json();
  };
  const first = `# Who is signed in, and what may they do?
# Ctrl-Enter runs it; the book shows the schema.
query Viewer {
  viewer {
    user {
      displayName
      email
      roles
    }
    organization {
      name
      kind
    }
    partner {
      programmeId
      status
    }
    capabilities
    sudoExpiresAt
  }
}
`;
  let signedIn = false;
  try {
    const answer = await send({ query: '{ viewer { roles } }' });
    signedIn = Boolean(answer.data && answer.data.viewer);
  } catch {
    // the endpoint cannot be reached; GraphiQL tells so itself
    signedIn = true;
  }
  document.getElementById('note').hidden = signedIn;
  const props = { fetcher: send, defaultQuery: first, isHeadersEditorEnabled: false, shouldPersistHeaders: false };
  if (!signedIn) {
    props.schema = null; // strangers may not introspect, so do not try
  }
  ReactDOM.createRoot(root).render(React.createElement(GraphiQL, props));
})();
