package graph

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/secret"
)

// bearer is who shows a personal token.
func (w *world) bearer(token string) access.Actor {
	w.t.Helper()
	p, _, err := w.Accounts.AuthenticateToken(w.t.Context(), token, netip.MustParseAddr("192.0.2.7"))
	if err != nil {
		w.t.Fatal(err)
	}
	a, err := access.Load(w.t.Context(), w.DB.Read(), p)
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

func TestPersonalTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gina := w.as(w.nordwind.admin)
	const fields = "personalToken { id name state scopes networks createdAt expiresAt lastUsedAt revokedAt user { id } revokedBy { id } } secret isAlreadyShown"
	in := map[string]any{"name": "Order sync", "scopes": []string{"PARTNERSHIP_READ", "VIEWER_READ"}, "networks": []string{"192.0.2.0/24"}, "expiresInDays": 10, "idempotencyKey": "k"}
	out := w.done(gina, "createPersonalToken", fields, in)
	id, shown := out.text("createPersonalToken.personalToken.id"), out.text("createPersonalToken.secret")
	if !secret.IsChecked(shown, "cgp") || out.at("createPersonalToken.isAlreadyShown") != false || out.text("createPersonalToken.personalToken.state") != "ACTIVE" ||
		out.text("createPersonalToken.personalToken.scopes.0") != "VIEWER_READ" || out.text("createPersonalToken.personalToken.user.id") != string(gina.UserID) {
		t.Fatal(out.Raw)
	}
	again := w.done(gina, "createPersonalToken", fields, in)
	if again.at("createPersonalToken.secret") != nil || again.at("createPersonalToken.isAlreadyShown") != true || again.text("createPersonalToken.personalToken.id") != id {
		t.Error(again.Raw)
	}
	for path, c := range map[string]struct {
		code string
		in   map[string]any
	}{
		"name":           {"TOKEN_NAME_TAKEN", map[string]any{"name": "order SYNC", "scopes": []string{"VIEWER_READ"}}},
		"scopes":         {"REQUIRED", map[string]any{"name": "a", "scopes": []string{}}},
		"scopes.1":       {"SCOPE_NOT_HELD", map[string]any{"name": "a", "scopes": []string{"VIEWER_READ", "MAIL_READ"}}},
		"expiresInDays":  {"TOKEN_LIFE", map[string]any{"name": "a", "scopes": []string{"VIEWER_READ"}, "expiresInDays": 367}},
		"networks.0":     {"NETWORK_INVALID", map[string]any{"name": "a", "scopes": []string{"VIEWER_READ"}, "networks": []string{"nowhere"}}},
		"networks":       {"TOO_MANY", map[string]any{"name": "a", "scopes": []string{"VIEWER_READ"}, "networks": strings.Fields(strings.Repeat("192.0.2.1 ", 21))}},
		"idempotencyKey": {"IDEMPOTENCY_KEY_REUSED", map[string]any{"name": "a", "scopes": []string{"VIEWER_READ"}, "idempotencyKey": "k"}},
	} {
		w.refused(gina, "createPersonalToken", "personalToken", c.code, "input."+path, c.in)
	}
	for name, code := range map[string]string{"": "REQUIRED", strings.Repeat("x", 51): "TOO_LONG", "a\u202eb": "CONTROL_CHARACTERS", "www.example.com": "LINK_NOT_ALLOWED"} {
		w.refused(gina, "createPersonalToken", "personalToken", code, "input.name", map[string]any{"name": name, "scopes": []string{"VIEWER_READ"}})
	}

	// A token is bounded by its scopes, mints none, and does nothing that a person must do.
	program := w.bearer(shown)
	got := w.gql(program, "{ viewer { capabilities personalTokens { totalCount { value } nodes { name lastUsedAt user { email } } } } }").ok()
	if fmt.Sprint(got.at("viewer.capabilities")) != "[VIEWER_READ PARTNERSHIP_READ]" || got.text("viewer.personalTokens.nodes.0.lastUsedAt") == "" ||
		got.text("viewer.personalTokens.nodes.0.user.email") != gina.Email {
		t.Error(got.Raw)
	}
	const create = `mutation { createPersonalToken(input: {name: "b", scopes: [VIEWER_READ]}) { secret } }`
	for who, reason := range map[*access.Actor]string{&program: "TOKEN_NOT_ALLOWED", ptr(w.since(w.nordwind.admin, -1)): "SUDO_REQUIRED"} {
		if out := w.gql(*who, create).code("FORBIDDEN"); out.Errors[0].Extensions["reason"] != reason {
			t.Error(out.Raw)
		}
	}
	if out := w.gql(program, "{ auditEvents { nodes { id } } }").code("FORBIDDEN"); out.Errors[0].Extensions["reason"] != "SCOPE_REQUIRED" {
		t.Error(out.Raw)
	}
	w.gql(nobody, create).code("UNAUTHENTICATED")
	// What is never null and out of scope says so; what may be null is hidden.
	if out := w.gql(program, "{ viewer { partner { id } organization { id } } }").code("FORBIDDEN"); out.Errors[0].Extensions["reason"] != "SCOPE_REQUIRED" || len(out.Errors) != 1 {
		t.Error(out.Raw)
	}
	w.partnered(w.nordwind, w.contoso)
	if out := w.gql(program, "{ indirectResellers { nodes { status reseller { id } } } }").code("FORBIDDEN"); out.Errors[0].Extensions["reason"] != "SCOPE_REQUIRED" {
		t.Error(out.Raw)
	}
	w.gql(program, "{ indirectResellers { nodes { status lastInvitation { id } } } }").ok()

	// Its owner and who manages the users of its organization may end it.
	w.refused(w.as(w.fabrikam.admin), "revokePersonalToken", "personalToken", "NOT_FOUND", "input.tokenId", map[string]any{"tokenId": id})
	w.refused(w.as(w.operator), "revokePersonalToken", "personalToken", "NOT_FOUND", "input.tokenId", map[string]any{"tokenId": id})
	colleague := w.as(w.hire(w.nordwind, "ugo@nordwind.example", access.UserAdmin))
	if out := w.gql(colleague, "query($id: ID!) { viewer { personalTokens { nodes { id } } } node(id: $id) { ... on PersonalToken { name user { id } } } }", "id", id).ok(); fmt.Sprint(out.at("viewer.personalTokens.nodes")) != "[]" || out.text("node.name") != "Order sync" {
		t.Error(out.Raw)
	}
	if out := w.done(colleague, "revokePersonalToken", "personalToken { state revokedAt revokedBy { id } }", map[string]any{"tokenId": id}); out.text("revokePersonalToken.personalToken.state") != "REVOKED" || out.text("revokePersonalToken.personalToken.revokedBy.id") != string(colleague.UserID) {
		t.Error(out.Raw)
	}
	if _, _, err := w.Accounts.AuthenticateToken(t.Context(), shown, netip.MustParseAddr("192.0.2.7")); err == nil {
		t.Error("a revoked token works")
	}
	w.done(gina, "createPersonalToken", "secret", map[string]any{"name": "Order sync", "scopes": []string{"VIEWER_READ"}})
	if out := w.gql(gina, "{ viewer { personalTokens(filter: {state: REVOKED}, first: 1) { totalCount { value } nodes { id } } } }").ok(); out.text("viewer.personalTokens.nodes.0.id") != id || out.at("viewer.personalTokens.totalCount.value") != 1.0 {
		t.Error(out.Raw)
	}
	if strings.Contains(w.log.String(), shown) {
		t.Error("a secret is in the log")
	}
}

func TestAuditExports(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gina := w.as(w.nordwind.admin)
	in := map[string]any{"filter": map[string]any{"action": "partner.registered"}, "idempotencyKey": "k"}
	const fields = "auditExport { id state rowCount rowsDone downloadUrl failureCode finishedAt expiresAt operation { id } } operation { id kind subject { __typename id } }"
	out := w.done(gina, "exportAuditEvents", fields, in)
	id := out.text("exportAuditEvents.auditExport.id")
	if out.text("exportAuditEvents.auditExport.state") != "QUEUED" || out.at("exportAuditEvents.auditExport.downloadUrl") != nil ||
		out.text("exportAuditEvents.operation.subject.id") != id || out.text("exportAuditEvents.operation.subject.__typename") != "AuditExport" ||
		out.text("exportAuditEvents.auditExport.operation.id") != out.text("exportAuditEvents.operation.id") {
		t.Error(out.Raw)
	}
	if again := w.done(gina, "exportAuditEvents", fields, in); again.Raw != out.Raw {
		t.Error(again.Raw)
	}
	in["filter"] = map[string]any{"outcome": "REFUSED"}
	w.refused(gina, "exportAuditEvents", "auditExport", "IDEMPOTENCY_KEY_REUSED", "input.idempotencyKey", in)
	w.refused(gina, "exportAuditEvents", "auditExport", "TOO_LONG", "input.filter.action", map[string]any{"filter": map[string]any{"action": strings.Repeat("x", 101)}})
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		_, err := tx.NewRaw("UPDATE export_file SET rows_total = 1, rows_done = 1, finished_at = ? WHERE id = ?", tx.Now, id).Exec(ctx)
		return err
	})
	const q = "query($id: ID!) { node(id: $id) { ... on AuditExport { state downloadUrl rowCount rowsDone } } }"
	if out := w.gql(gina, q, "id", id).ok(); out.text("node.downloadUrl") != "/exports/"+id || out.at("node.rowCount") != 1.0 {
		t.Error(out.Raw)
	}
	w.DB.Clock().Advance(8 * 24 * time.Hour)
	if out := w.gql(gina, q, "id", id).ok(); out.text("node.state") != "EXPIRED" || out.at("node.downloadUrl") != nil {
		t.Error(out.Raw)
	}
	plain := w.as(w.hire(w.nordwind, "dora@nordwind.example", access.DefaultUser))
	w.gql(plain, "mutation { exportAuditEvents(input: {}) { auditExport { id } } }").code("FORBIDDEN")
	for range 8 {
		w.done(w.as(w.operator), "exportAuditEvents", "auditExport { id }", map[string]any{})
	}
	w.done(w.as(w.operator), "exportAuditEvents", "auditExport { id }", map[string]any{})
	w.done(w.as(w.operator), "exportAuditEvents", "auditExport { id }", map[string]any{})
	w.gql(w.as(w.operator), "mutation { exportAuditEvents(input: {}) { auditExport { id } } }").code("RATE_LIMITED")
}

func TestMailsForTheOperator(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.partnered(w.nordwind, w.contoso)
	otto, rita := w.as(w.operator), w.as(w.reviewer)
	out := w.gql(rita, `query($id: ID!) { mailMessages(filter: {subjectId: $id, recipient: "GINA@contoso", state: PENDING}) { totalCount { value } nodes { template recipient subject { id } events { event } } } }`,
		"id", p.InvitationID).ok()
	if out.at("mailMessages.totalCount.value") != 1.0 || out.text("mailMessages.nodes.0.recipient") != "gina@contoso.example" || out.text("mailMessages.nodes.0.subject.id") != string(p.InvitationID) {
		t.Error(out.Raw)
	}
	w.gql(w.as(w.nordwind.admin), "{ mailMessages { nodes { id } } }").code("FORBIDDEN")
	w.gql(rita, `{ mailMessages(first: 1, after: "x") { nodes { id } } }`).code("BAD_CURSOR")

	w.tx(func(ctx context.Context, tx *database.Tx) error {
		return w.Mailer.Suppress(ctx, tx, "gone@studio.example", "MAIL_BOUNCED", "")
	})
	const lift = `mutation { liftMailSuppression(input: {email: "gone@studio.example"}) { email } }`
	w.gql(rita, lift).code("FORBIDDEN")
	w.gql(w.as(w.nordwind.admin), lift).code("FORBIDDEN")
	in := map[string]any{"email": "Gone@studio.example"}
	if out := w.done(otto, "liftMailSuppression", "email", in); out.text("liftMailSuppression.email") != "Gone@studio.example" {
		t.Error(out.Raw)
	}
	for email, code := range map[string]string{"gone@studio.example": "NOT_FOUND", "nobody": "EMAIL_INVALID", strings.Repeat("x", 300): "EMAIL_TOO_LONG"} {
		if out := w.do(otto, "liftMailSuppression", "email", map[string]any{"email": email}).ok(); out.text("liftMailSuppression.userErrors.0.code") != code || out.at("liftMailSuppression.email") != nil {
			t.Error(out.Raw)
		}
	}
}

func ptr[T any](v T) *T { return &v }
