package graph

import (
	"github.com/channelgraph/channelgraph/internal/desk"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/support"
)

// ofSupportRequest are the relations of a support request that a page looks up
// ahead.
func ofSupportRequest(l *loaders) []relation[*support.Request] {
	type s = *support.Request
	about := func(prefix string) func(s) ident.ID {
		return func(x s) ident.ID {
			if x.SubjectID.Is(prefix) {
				return x.SubjectID
			}
			return ""
		}
	}
	return []relation[s]{
		{"organization", l.organizations, func(x s) ident.ID { return x.OrganizationID }},
		{"customer", l.customers, func(x s) ident.ID { return x.CustomerID }},
		{"createdBy", l.users, func(x s) ident.ID { return x.CreatedByID }},
		{"assignee", l.users, func(x s) ident.ID { return x.AssigneeID }},
		{"thread", l.threads, func(x s) ident.ID { return x.ID }},
		{"about", l.terminations, about(ident.Termination)},
		{"about", l.updates, about(ident.ProfileUpdate)},
	}
}

// ofDeskItem are the relations of a line of the desk that a page looks up
// ahead: the subjects of each kind in one statement.
func ofDeskItem(l *loaders) []relation[*desk.Item] {
	type i = *desk.Item
	subject := func(k desk.Kind) func(i) ident.ID {
		return func(x i) ident.ID {
			if x.Kind == k {
				return x.SubjectID
			}
			return ""
		}
	}
	return []relation[i]{
		{"organization", l.organizations, func(x i) ident.ID { return x.OrganizationID }},
		{"assignee", l.users, func(x i) ident.ID { return x.AssigneeID }},
		{"subject", l.enrollments, subject(desk.Enrollment)},
		{"subject", l.updates, subject(desk.ProfileUpdate)},
		{"subject", l.supports, subject(desk.SupportRequest)},
		{"subject", l.terminations, subject(desk.Termination)},
	}
}
