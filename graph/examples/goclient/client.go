// Package goclient is an example of a program of an integrator: it asks for
// partnerships and reads a provider's resellers through the GraphQL API. It
// owns the few lines that a program writes around the code that genqlient
// makes of operations.graphql; it is for reading and copying, and nothing of
// the product imports it.
//
// Invariant: it knows the API through schema.graphql alone, as everybody
// outside does.
package goclient

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/http/cookiejar"
	"strings"
	"time"

	"github.com/Khan/genqlient/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"
)

//go:generate go tool genqlient

// WithToken gives a client for a program that holds a personal token. base is
// the address of the installation, such as https://partners.example.com.
func WithToken(base, token string) graphql.Client {
	return graphql.NewClient(endpoint(base), bearer{token, &http.Client{Timeout: time.Minute}})
}

// bearer sends each request with a personal token.
type bearer struct {
	token string
	http  *http.Client
}

// Do implements graphql.Doer.
func (b bearer) Do(r *http.Request) (*http.Response, error) {
	r.Header.Set("Authorization", "Bearer "+b.token)
	return b.http.Do(r)
}

// SignIn gives a client that acts in a new session of a person, for programs
// that have no token. The session ends by itself when it is idle.
func SignIn(ctx context.Context, base, email, password string) (graphql.Client, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	client := &http.Client{Jar: jar, Timeout: time.Minute}
	body, err := json.Marshal(map[string]string{"email": email, "password": password})
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimRight(base, "/")+"/auth/sign-in", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("signing in: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("signing in was answered %s", res.Status)
	}
	return graphql.NewClient(endpoint(base), client), nil
}

func endpoint(base string) string { return strings.TrimRight(base, "/") + "/graphql" }

// MintToken mints a personal token with which a program acts as the person
// who has just signed in, but does no more than the scopes say. It gives the
// secret, which is shown this once; the token ends after 90 days.
func MintToken(ctx context.Context, client graphql.Client, name string, scopes ...Capability) (secret string, err error) {
	res, err := CreatePersonalToken(ctx, client, CreatePersonalTokenInput{Name: name, Scopes: scopes})
	if err != nil {
		return "", fmt.Errorf("minting a token: %w", err)
	}
	if problems := res.CreatePersonalToken.UserErrors; len(problems) > 0 {
		return "", problems[0]
	}
	return *res.CreatePersonalToken.Secret, nil
}

// Error makes a problem of a mutation's input an error.
func (p RequestProblem) Error() string {
	return fmt.Sprintf("%s: %s", p.Code, p.Message)
}

// Error makes a problem of a mutation's input an error.
func (p TokenProblem) Error() string {
	return fmt.Sprintf("%s: %s", p.Code, p.Message)
}

// Code is the stable code of an error of this package's functions, wherever
// the API put it: in a mutation's userErrors, in the answer's errors, or in
// those of a request that was refused with a status. It is "" for errors that
// did not come from the API.
func Code(err error) string {
	if problem, ok := errors.AsType[RequestProblem](err); ok {
		return string(problem.Code)
	}
	if problem, ok := errors.AsType[TokenProblem](err); ok {
		return string(problem.Code)
	}
	list, _ := errors.AsType[gqlerror.List](err)
	if refused, ok := errors.AsType[*graphql.HTTPError](err); ok {
		list = refused.Response.Errors
	}
	for _, e := range list {
		if code, ok := e.Extensions["code"].(string); ok {
			return code
		}
	}
	return ""
}

// Ask asks an address for a partnership. With the same key it may be called
// again within 48 hours, after an answer that got lost: then it gives the
// first result and nothing is mailed twice. What is wrong with the input is a
// RequestProblem; other errors are those of the request and the caller.
func Ask(ctx context.Context, client graphql.Client, email, key string) (*Invitation, *Work, error) {
	res, err := RequestPartnership(ctx, client, RequestPartnershipInput{Email: email, IdempotencyKey: &key})
	if err != nil {
		return nil, nil, fmt.Errorf("asking %s: %w", email, err)
	}
	if problems := res.RequestPartnership.UserErrors; len(problems) > 0 {
		return nil, nil, problems[0]
	}
	return res.RequestPartnership.Invitation, res.RequestPartnership.Operation, nil
}

// Ended waits until an operation has succeeded, failed or been cancelled, and
// tells how it stands then.
func Ended(ctx context.Context, client graphql.Client, id string) (*Work, error) {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		res, err := GetOperation(ctx, client, id)
		if err != nil {
			return nil, fmt.Errorf("asking for operation %s: %w", id, err)
		}
		switch op := res.Operation; {
		case op == nil:
			return nil, fmt.Errorf("operation %s is absent or hidden", id)
		case op.FinishedAt != nil:
			return op, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-tick.C:
		}
	}
}

// Resellers goes through all partnerships of the viewer's provider, by the
// resellers' names, a page of the given size at a time. It ends after an
// error.
func Resellers(ctx context.Context, client graphql.Client, pageSize int) iter.Seq2[Partnership, error] {
	return func(yield func(Partnership, error) bool) {
		var after *string
		for {
			res, err := ResellerPage(ctx, client, pageSize, after)
			if err != nil {
				yield(Partnership{}, fmt.Errorf("a page of resellers: %w", err))
				return
			}
			for _, p := range res.IndirectResellers.Nodes {
				if !yield(p, nil) {
					return
				}
			}
			info := res.IndirectResellers.PageInfo
			if !info.HasNextPage {
				return
			}
			after = info.EndCursor
		}
	}
}
