package graph

import (
	"fmt"
	"strings"
	"testing"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/directory"
)

// A request goes its way through the API: what both sides read of it differs
// only in what is the operator's own.
func TestProfileUpdates(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gina, rita, carla := w.as(w.nordwind.admin), w.as(w.reviewer), w.as(w.fabrikam.admin)
	out := w.done(gina, "setDirectoryListing", "listing { isListed isPublic version partner { legalName } locations { id companyName isPublic logoUrl } openUpdate { id } history { kind changedBy { email } } }",
		map[string]any{"isListed": true})
	home := out.text("setDirectoryListing.listing.locations.0.id")
	if out.text("setDirectoryListing.listing.history.0.changedBy.email") != w.nordwind.admin.Email || out.at("setDirectoryListing.listing.isPublic") != true ||
		out.at("setDirectoryListing.listing.openUpdate") != nil || out.at("setDirectoryListing.listing.locations.0.logoUrl") != nil {
		t.Fatal(out.Raw)
	}
	w.refused(gina, "setDirectoryListing", "listing", "CONFLICT", "input.expectedVersion", map[string]any{"isListed": false, "expectedVersion": 7})
	if raw := w.gql(access.Anonymous("en", ""), `{ directory(filter: {search: "nordw", country: "IT"}) { totalCount { value } nodes { companyName region targetUrl logoUrl isPublic } } }`).Raw; raw !=
		`{"data":{"directory":{"totalCount":{"value":1},"nodes":[{"companyName":"Nordwind Distribution","region":"EUROPE","targetUrl":"https://nordwind.example/","logoUrl":null,"isPublic":true}]}}}` {
		t.Error(raw)
	}
	w.gql(access.Anonymous("en", ""), `{ directory(filter: {search: "`+strings.Repeat("x", 201)+`"}) { nodes { id } } }`).code("BAD_USER_INPUT")
	w.gql(access.Anonymous("en", ""), "{ directory(after: \"x\") { nodes { id } } }").code("BAD_CURSOR")

	const fields = "profileUpdate { id status slaState targetAt dueAt isPaused version }"
	locations := func(l map[string]any) map[string]any { return map[string]any{"locations": []any{l}} }
	w.refused(gina, "submitProfileUpdate", "profileUpdate", "TARGET_URL_PRIVATE_HOST", "input.locations.0.targetUrl", locations(map[string]any{"locationId": home, "targetUrl": "https://10.0.0.1/"}))
	w.refused(gina, "submitProfileUpdate", "profileUpdate", "INVALID", "input.locations.0.isRemoved", locations(map[string]any{"locationId": home, "isRemoved": true, "companyName": "Acme"}))
	w.refused(carla, "submitProfileUpdate", "profileUpdate", "NOT_FOUND", "input.locations.0.locationId", locations(map[string]any{"locationId": home, "companyName": "Mine"}))
	out = w.done(gina, "submitProfileUpdate", fields, locations(map[string]any{"locationId": home, "companyName": "Nordwind Cloud"}))
	id := out.text("submitProfileUpdate.profileUpdate.id")
	w.refused(gina, "submitProfileUpdate", "profileUpdate", "PROFILE_UPDATE_OPEN", "", locations(map[string]any{"locationId": home, "isLogoRemoved": false, "companyName": "Nordwind"}))
	w.done(rita, "assignProfileUpdate", fields, map[string]any{"profileUpdateId": id, "assigneeId": string(w.reviewer.ID)})
	w.done(rita, "askProfileUpdateQuestion", fields, map[string]any{"profileUpdateId": id, "text": "Really?"})
	const read = `query($id: ID!) { node(id: $id) { ... on ProfileUpdate { status isPaused partner { legalName } createdBy { email } assignee { email } operation { kind }
		changes { before { companyName logo { id } } after { companyName } } questions { text askedBy { email } answer } timeline { kind side actorName isInternal } } } }`
	theirs, ours := w.gql(gina, read, "id", id).ok(), w.gql(rita, read, "id", id).ok()
	if theirs.at("node.assignee") != nil || theirs.at("node.questions.0.askedBy") != nil || strings.Contains(theirs.Raw, "ASSIGNED") || strings.Contains(theirs.Raw, "rita@") {
		t.Error(theirs.Raw)
	}
	if ours.text("node.assignee.email") != w.reviewer.Email || ours.text("node.questions.0.askedBy.email") != w.reviewer.Email || !strings.Contains(ours.Raw, `"ASSIGNED"`) ||
		ours.text("node.changes.0.after.companyName") != "Nordwind Cloud" || ours.at("node.isPaused") != true {
		t.Error(ours.Raw)
	}
	if raw := w.gql(carla, read, "id", id).Raw; raw != `{"data":{"node":null}}` {
		t.Error(raw)
	}
	w.refused(rita, "approveProfileUpdate", "profileUpdate", "CONFLICT", "input.profileUpdateId", map[string]any{"profileUpdateId": id})
	w.refused(carla, "withdrawProfileUpdate", "profileUpdate", "NOT_FOUND", "input.profileUpdateId", map[string]any{"profileUpdateId": id})
	w.done(gina, "answerProfileUpdateQuestion", fields, map[string]any{"profileUpdateId": id, "text": "Really."})
	out = w.done(rita, "approveProfileUpdate", "profileUpdate { status operation { kind } } operation { kind subject { id } }", map[string]any{"profileUpdateId": id})
	if out.text("approveProfileUpdate.operation.subject.id") != id || out.text("approveProfileUpdate.operation.kind") != "directory.publish" {
		t.Error(out.Raw)
	}
	w.refused(rita, "rejectProfileUpdate", "profileUpdate", "CONFLICT", "input.profileUpdateId", map[string]any{"profileUpdateId": id, "reason": "Late."})
	w.refused(gina, "withdrawProfileUpdate", "profileUpdate", "CONFLICT", "input.profileUpdateId", map[string]any{"profileUpdateId": id})

	w.gql(rita, `{ profileUpdateReport(filter: {from: "2026-1"}) { month } }`).code("BAD_USER_INPUT")
	w.refused(rita, "exportProfileUpdateReport", "auditExport", "MONTH_INVALID", "input.filter.to", map[string]any{"filter": map[string]any{"to": "soon"}})
	out = w.done(rita, "exportProfileUpdateReport", "auditExport { kind state } operation { state }", map[string]any{})
	if out.text("exportProfileUpdateReport.auditExport.kind") != "PROFILE_UPDATE_REPORT" {
		t.Error(out.Raw)
	}
}

// The reviewers' queue costs so many statements however long it is.
func TestProfileUpdatesStatements(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 30 {
		c := w.register(fmt.Sprintf("Provider Number %d", i), fmt.Sprintf("provider%d.example", i), access.IndirectProvider)
		if _, err := w.Directory.Submit(t.Context(), w.as(c.admin), directory.SubmitInput{Locations: []directory.LocationInput{
			{CompanyName: new("Branch"), Country: new("FR"), TargetURL: new("https://branch.example/")}}}); err != nil {
			t.Fatal(err)
		}
	}
	rita := w.as(w.reviewer)
	count := func(n int) int64 {
		before := w.DB.Queries()
		w.gql(rita, fmt.Sprintf(`{ profileUpdates(first: %d) { totalCount { value } nodes { company slaState dueAt isPaused partner { legalName } createdBy { email } assignee { email }
			operation { state } questions { text } timeline { kind } } } }`, n)).ok()
		return w.DB.Queries() - before
	}
	count(2) // warm
	if few, many := count(2), count(30); few != many || many > 10 {
		t.Errorf("%d statements for two rows, %d for thirty", few, many)
	}
}
