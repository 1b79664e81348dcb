// Package graph is the API door: it turns GraphQL operations into calls of the
// concepts' verbs and queries, and their faults into answers. It owns the
// transport, the limits, the loaders and the schema; it never decides a rule,
// never asks the database itself, and never shows the text of an unexpected
// error.
//
// Invariant: a root field says in the schema who may use it, and what an
// actor may not see is simply missing, on every way to it.
package graph

//go:generate go tool gqlgen generate
//go:generate go run ./lean
//go:generate go run ./print
//go:generate go run ./documents
