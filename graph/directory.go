package graph

import (
	"github.com/channelgraph/channelgraph/internal/directory"
	"github.com/channelgraph/channelgraph/internal/ident"
)

// ofUpdate are the relations of a profile update request that a page looks up
// ahead.
func ofUpdate(l *loaders) []relation[*directory.Request] {
	type r = *directory.Request
	id := func(x r) ident.ID { return x.ID }
	return []relation[r]{
		{"partner", l.partners, func(x r) ident.ID { return x.PartnerID }},
		{"createdBy", l.users, func(x r) ident.ID { return x.CreatedByID }},
		{"assignee", l.users, func(x r) ident.ID { return x.AssigneeID }},
		{"decidedBy", l.users, func(x r) ident.ID { return x.DecidedByID }},
		{"operation", l.operationsAbout, id},
		{"questions", l.updateQuestions, id},
		{"timeline", l.updateTimelines, id},
	}
}

// pointers are the items of a list as gqlgen takes them.
func pointers[T any](items []T) []*T {
	out := make([]*T, len(items))
	for i := range items {
		out[i] = &items[i]
	}
	return out
}
