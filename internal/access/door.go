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

type callerKey struct{}

// WithCaller hands the address of a request's caller on in the same way, as
// limits count it: all of IPv4, the /64 of IPv6. It is for counting alone and
// goes into no record.
func WithCaller(ctx context.Context, address string) context.Context {
	return context.WithValue(ctx, callerKey{}, address)
}

// CallerFromContext is the address that WithCaller put there, or "". Only
// doors may use it.
func CallerFromContext(ctx context.Context) string {
	s, _ := ctx.Value(callerKey{}).(string)
	return s
}
