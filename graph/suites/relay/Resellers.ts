// What a front end with Relay would write for a provider's list of resellers: a page that
// loads more, and a row that is refetched by its id. Only compiled, never run.
import { graphql } from 'react-relay';

export const page = graphql`
  query ResellersQuery($count: Int!) {
    viewer {
      organization {
        name
      }
    }
    ...Resellers_query @arguments(count: $count)
  }
`;

export const list = graphql`
  fragment Resellers_query on Query
  @argumentDefinitions(count: { type: "Int", defaultValue: 25 }, cursor: { type: "String" }, filter: { type: "PartnershipFilter" })
  @refetchable(queryName: "ResellersPaginationQuery") {
    indirectResellers(first: $count, after: $cursor, filter: $filter) @connection(key: "Resellers_indirectResellers", filters: ["filter"]) {
      edges {
        node {
          id
          ...ResellerRow_partnership
        }
      }
    }
  }
`;

export const row = graphql`
  fragment ResellerRow_partnership on Partnership @refetchable(queryName: "ResellerRowRefetchQuery") {
    status
    hasAdminAccess
    reseller {
      legalName
      country
    }
    lastInvitation {
      status
    }
  }
`;

export const ask = graphql`
  mutation ResellersRequestMutation($input: RequestPartnershipInput!, $connections: [ID!]!) {
    requestPartnership(input: $input) {
      invitation @prependNode(connections: $connections, edgeTypeName: "InvitationEdge") {
        id
        recipient
        status
      }
      userErrors {
        code
        message
        path
      }
    }
  }
`;
