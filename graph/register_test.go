package graph

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/file"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/internal/register"
)

// csv keeps a file for the registers.
func (w *world) csv(lines ...string) ident.ID {
	w.t.Helper()
	f, err := w.Files.Upload(w.t.Context(), w.as(w.operator), file.UploadInput{Purpose: file.ForImport, Name: "register.csv", Content: []byte(strings.Join(lines, "\n"))})
	if err != nil {
		w.t.Fatal(err)
	}
	return f.ID
}

// perform does the import whose operation has an id.
func (w *world) perform(operation string) {
	w.t.Helper()
	w.sql("UPDATE job SET state = 'queued', generation = 1 WHERE id = ?", operation)
	run, err := outbox.Begin(w.t.Context(), w.DB, ident.ID(operation), 1, "test", time.Minute)
	if err != nil || run == nil {
		w.t.Fatal("the import did not begin", err)
	}
	if err := w.Registers.ImportRegister(w.t.Context(), run, register.ImportRegister{ImportID: run.Job.SubjectID}); err != nil {
		w.t.Fatal(err)
	}
}

// imported brings one membership in and gives the ids of it and of its import.
func (w *world) imported() (membership, brought ident.ID) {
	w.t.Helper()
	otto := w.as(w.operator)
	out := w.done(otto, "importMembershipRegister", "registerImport { id } operation { id }", map[string]any{"fileId": w.csv(
		"user_name,password,programme_id,legal_name,country", "anna,Segreta 2026!,1234567,Rossi S.r.l.,IT")})
	w.perform(out.text("importMembershipRegister.operation.id"))
	list := w.gql(otto, "{ memberships(first: 1) { nodes { id import { id } } } }").ok()
	return ident.ID(list.text("memberships.nodes.0.id")), ident.ID(list.text("memberships.nodes.0.import.id"))
}

func TestRegisters(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	otto, rita, gina := w.as(w.operator), w.as(w.reviewer), w.as(w.nordwind.admin)
	const result = "registerImport { id state kind mode isDryRun fileName lineCount } operation { id kind state subject { id } }"
	good := map[string]any{"dryRun": true, "fileId": w.csv("user_name;password;programme_id;legal_name;country;enrolled;city;contact_email",
		"anna;Segreta 2026!;1234567;Rossi S.r.l.;IT;yes;Milano;anna@rossi.example", "berta;Altra segreta 1;7654321;Bianchi;DE;;;")}
	tell := func(id string) string {
		out := w.gql(otto, `query($id: ID!) { node(id: $id) { ... on RegisterImport { state isDryRun lineCount linesDone addedCount changedCount unchangedCount removedCount
			problemCount problems(first: 2) { totalCount { value } nodes { line column code message } } reportUrl requestedBy { id } operation { state } } } }`, "id", id).ok()
		n := func(f string) any { return out.at("node." + f) }
		return strings.TrimSpace(fmt.Sprintln(n("state"), n("isDryRun"), n("lineCount"), n("linesDone"), n("addedCount"), n("changedCount"), n("unchangedCount"), n("removedCount"), n("problemCount"),
			n("reportUrl") != nil, n("problems.totalCount.value"), n("requestedBy.id") == string(otto.UserID), n("operation.state")))
	}
	out := w.done(otto, "importMembershipRegister", result, good)
	at := func(path string) string { return out.text("importMembershipRegister." + path) }
	if at("registerImport.state") != "QUEUED" || at("registerImport.kind") != "MEMBERSHIPS" || at("registerImport.mode") != "MERGE" || at("operation.kind") != "register.import" ||
		at("registerImport.fileName") != "register.csv" || at("operation.subject.id") != at("registerImport.id") {
		t.Error(out.Raw)
	}
	w.perform(at("operation.id"))
	if got := tell(at("registerImport.id")); got != "CHECKED true 2 2 2 0 0 0 0 false 0 true SUCCEEDED" {
		t.Error(got)
	}
	good["dryRun"], good["idempotencyKey"], good["mode"] = false, "k", "REPLACE"
	out = w.done(otto, "importMembershipRegister", result, good)
	w.perform(at("operation.id"))
	applied := at("registerImport.id")
	if got := tell(applied); got != "APPLIED false 2 2 2 0 0 0 0 false 0 true SUCCEEDED" {
		t.Error(got)
	}
	if out = w.done(otto, "importMembershipRegister", result, good); at("registerImport.id") != applied || at("registerImport.state") != "APPLIED" {
		t.Errorf("the same again: %s", out.Raw)
	}

	list := w.gql(otto, `{ memberships(filter: {search: "ros", isEnrolled: true}, orderBy: {field: PROGRAMME_ID}) { totalCount { value precision } nodes {
		userName programmeId legalName registrationId website country isActive isEnrolled address { city country line1 } contact { email } import { id state } createdAt updatedAt } } }`).ok()
	if list.at("memberships.totalCount.value") != 1.0 || list.text("memberships.nodes.0.userName") != "anna" || list.at("memberships.nodes.0.registrationId") != nil ||
		list.text("memberships.nodes.0.address.city") != "Milano" || list.text("memberships.nodes.0.contact.email") != "anna@rossi.example" || list.text("memberships.nodes.0.import.id") != applied {
		t.Error(list.Raw)
	}
	if strings.Contains(list.Raw, "argon2") || strings.Contains(list.Raw, "egreta") {
		t.Error("a password is shown")
	}

	out = w.done(otto, "importBusinessRegister", result, map[string]any{"fileId": w.csv("country,registration_id,legal_name,city,status", "ZZ,1,Rossi,,", "IT,,Rossi,,gone")})
	id := out.text("importBusinessRegister.registerImport.id")
	w.perform(out.text("importBusinessRegister.operation.id"))
	if got := tell(id); got != "REFUSED false 2 0 0 0 0 0 3 true 3 true SUCCEEDED" {
		t.Error(got)
	}
	problems := w.gql(otto, `query($id: ID!) { node(id: $id) { ... on RegisterImport { problems(filter: {code: STATUS_INVALID}) { nodes { line column code message } } } } }`, "id", id).ok()
	if problems.at("node.problems.nodes.0.line") != 3.0 || problems.text("node.problems.nodes.0.column") != "status" || strings.Contains(problems.text("node.problems.nodes.0.message"), "_") {
		t.Error(problems.Raw)
	}
	out = w.done(otto, "importBusinessRegister", result, map[string]any{"fileId": w.csv("country,registration_id,legal_name", "IT,IT 00743110157,Rossi S.p.A.")})
	w.perform(out.text("importBusinessRegister.operation.id"))
	look := w.gql(rita, `{ registeredCompany(country: "it", registrationId: "00743110157") { legalName isDissolved registrationId country address { city } updatedAt } }`).ok()
	if look.text("registeredCompany.legalName") != "Rossi S.p.A." || look.at("registeredCompany.isDissolved") != false {
		t.Error(look.Raw)
	}
	if none := w.gql(rita, `{ registeredCompany(country: "IT", registrationId: "1") { legalName } }`).ok(); none.at("registeredCompany") != nil {
		t.Error(none.Raw)
	}
	if n := w.gql(otto, "{ registerImports(filter: {kind: COMPANIES}) { totalCount { value } nodes { state operation { state } requestedBy { id } } } }").ok(); n.at("registerImports.totalCount.value") != 2.0 || n.text("registerImports.nodes.0.state") != "APPLIED" {
		t.Error(n.Raw)
	}

	for _, mutation := range []string{"importMembershipRegister", "importBusinessRegister"} {
		w.refused(otto, mutation, "registerImport", "NOT_FOUND", "input.fileId", map[string]any{"fileId": ident.New(ident.File)})
		w.refused(otto, mutation, "registerImport", "NOT_FOUND", "input.fileId", map[string]any{"fileId": "x", "dryRun": true})
	}
	w.refused(otto, "importMembershipRegister", "registerImport", "IDEMPOTENCY_KEY_REUSED", "input.idempotencyKey", map[string]any{"fileId": ident.New(ident.File), "idempotencyKey": "k"})

	// Nobody but the operator's administrators.
	member, brought := ident.ID(w.gql(otto, "{ memberships(first: 1) { nodes { id } } }").ok().text("memberships.nodes.0.id")), ident.ID(applied)
	for name, who := range map[string]access.Actor{"a reviewer": rita, "a reseller": gina} {
		for _, q := range []string{"{ memberships { nodes { id } } }", "{ registerImports { nodes { id } } }"} {
			w.gql(who, q).code("FORBIDDEN")
		}
		for _, id := range []ident.ID{member, brought} {
			if raw := w.gql(who, "query($id: ID!) { node(id: $id) { id } }", "id", id).Raw; raw != `{"data":{"node":null}}` {
				t.Errorf("%s finds %s: %s", name, id, raw)
			}
		}
	}
	w.gql(gina, `{ registeredCompany(country: "IT", registrationId: "1") { legalName } }`).code("FORBIDDEN")
}
