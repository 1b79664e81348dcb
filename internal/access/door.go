package access

import "context"

type doorKey struct{}

// WithActor hands the actor of a request from the door that authenticated it
// to another door mounted below, since doors never import each other. Only
// doors may use it: below them the actor is a parameter.
func WithActor(ctx context.Context, a Actor) context.Context {
	return context.WithValue(ctx, doorKey{}, a)
}

// FromContext is the actor that WithActor put there, or nobody. Only doors may
// use it.
func FromContext(ctx context.Context) Actor {
	a, _ := ctx.Value(doorKey{}).(Actor)
	return a
}
