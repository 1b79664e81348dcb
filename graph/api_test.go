package graph

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/introspection"

	"github.com/channelgraph/channelgraph/graph/model"
	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/audit"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/enrollment"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/file"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/invitation"
	"github.com/channelgraph/channelgraph/internal/partnership"
	"github.com/channelgraph/channelgraph/internal/secret"
	"github.com/channelgraph/channelgraph/internal/webhook"
)

// code is what the newest mail of an invitation carries behind its link's #.
func (w *world) code(id ident.ID) string {
	w.t.Helper()
	is, err := w.Invitations.ByIDs(context.Background(), access.System("test"), []ident.ID{id})
	if err != nil || is[id] == nil {
		w.t.Fatal(err, is)
	}
	return w.keys.Capability(invitation.LinkPrefix, invitation.LinkPurpose, id, is[id].Generation).Reveal()
}

// partnered joins a provider and a reseller by invitation.
func (w *world) partnered(p, r company) *partnership.Partnership {
	w.t.Helper()
	sent, err := w.Partnerships.Request(context.Background(), w.as(p.admin), partnership.RequestInput{Email: r.admin.Email})
	if err != nil {
		w.t.Fatal(err)
	}
	out, err := w.Partnerships.Accept(context.Background(), w.as(r.admin), partnership.AcceptInput{Code: w.code(sent.Invitation.ID), Confirmed: true})
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

func TestViewer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const q = `{ viewer { user { id displayName email roles status organization { id } } organization { name kind domain partner { id } }
		partner { legalName profile { registrationId agreementVersion currency } } capabilities roles sudoExpiresAt sessions { id } } }`
	out := w.gql(w.as(w.nordwind.admin), q).ok()
	if out.text("viewer.user.email") != "gina@nordwind.example" || out.text("viewer.organization.kind") != "INDIRECT_PROVIDER" ||
		out.text("viewer.partner.profile.agreementVersion") != "2026-01" || out.at("viewer.partner.profile.registrationId") != nil ||
		out.text("viewer.organization.partner.id") != string(w.nordwind.ID) {
		t.Errorf("viewer: %s", out.Raw)
	}
	if at := out.text("viewer.sudoExpiresAt"); len(at) != len("2026-01-01T00:00:00.000000Z") {
		t.Errorf("sudoExpiresAt %s", at)
	}
	var got []string
	for _, c := range out.at("viewer.capabilities").([]any) {
		got = append(got, c.(string))
	}
	if !slices.Contains(got, "PARTNERSHIP_REQUEST") || slices.Contains(got, "PARTNERSHIP_AUTHORIZE") {
		t.Errorf("capabilities %v", got)
	}
	if out := w.gql(w.as(w.operator), q).ok(); out.at("viewer.partner") != nil {
		t.Errorf("the operator has a partner profile: %s", out.Raw)
	}
}

func TestAccess(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	plain := w.as(w.hire(w.nordwind, "dora@nordwind.example", access.DefaultUser))
	t.Run("nobody", func(t *testing.T) {
		t.Parallel()
		w := w.on(t)
		for name := range maps.Keys(w.handler.(*server).guard.rules) {
			root, field, _ := strings.Cut(name, ".")
			r := w.handler.(*server).guard.rules[name]
			if err := w.handler.(*server).guard.refusal(root, field, nobody); r.public != (err == nil) {
				t.Errorf("%s: %v", name, err)
			}
		}
		out := w.gql(nobody, "{ viewer { roles } }").code("UNAUTHENTICATED")
		if out.Raw != `{"errors":[{"message":"`+fault.Text("en", "UNAUTHENTICATED", nil)+`","path":["viewer"],"locations":[{"line":1,"column":3}],"extensions":{"code":"UNAUTHENTICATED","requestId":"req-1"}}],"data":{"viewer":null}}` {
			t.Errorf("answer: %s", out.Raw)
		}
		w.gql(nobody, "{ partners { nodes { id } } }").code("UNAUTHENTICATED")
		w.gql(nobody, `{ __schema { queryType { name } } }`).code("UNAUTHENTICATED")
		w.gql(nobody, `{ __type(name: "User") { name } }`).code("UNAUTHENTICATED")
		w.gql(nobody, `mutation { updateProfile(input: {firstName: "A"}) { user { id } } }`).code("UNAUTHENTICATED")
		w.gql(nobody, `{ regions { name countries { name } } }`).ok()
		w.gql(nobody, `{ partnershipProposal(code: "x") { state } }`).ok()
	})
	t.Run("introspection", func(t *testing.T) {
		t.Parallel()
		out := w.on(t).gql(plain, `{ __schema { queryType { name } } __type(name: "User") { name } }`).ok()
		if out.text("__schema.queryType.name") != "Query" || out.text("__type.name") != "User" {
			t.Error(out.Raw)
		}
		whole := w.on(t).gql(plain, introspection.Query).ok() // as tools ask
		if got := len(whole.at("__schema.types").([]any)); got < len(schema.Types)-5 {
			t.Errorf("%d types", got)
		}
	})
	t.Run("role", func(t *testing.T) {
		t.Parallel()
		w := w.on(t)
		out := w.gql(plain, "{ viewer { roles } operations { nodes { id } } }")
		out.code("FORBIDDEN")
		e := out.Errors[0]
		if e.Extensions["reason"] != "ROLE_REQUIRED" || e.Extensions["nextStep"] == nil || e.Message == "ROLE_REQUIRED" || out.Data != nil {
			t.Error(out.Raw) // operations is never null, so all of data is
		}
		out = w.gql(plain, "{ viewer { roles } operation(id: 1) { id } }").code("FORBIDDEN")
		if out.at("viewer.roles") == nil || out.at("operation") != nil {
			t.Error(out.Raw) // a nullable field leaves the others alone
		}
		italian := plain
		italian.Locale = "it"
		if got := w.gql(italian, "{ operation(id: 1) { id } }").Errors[0].Message; got == e.Message {
			t.Errorf("not in the viewer's language: %s", got)
		}
	})
	t.Run("all of a mutation or nothing", func(t *testing.T) {
		t.Parallel()
		w := w.on(t)
		out := w.gql(plain, `mutation { a: updateProfile(input: {firstName: "Changed"}) { user { id } } b: inviteUser(input: {email: "x@nordwind.example"}) { user { id } } }`).code("FORBIDDEN")
		if len(out.Errors) != 1 || fmt.Sprint(out.Errors[0].Path) != "[b]" {
			t.Error(out.Raw)
		}
		if got := w.gql(plain, "{ viewer { user { firstName } } }").ok().text("viewer.user.firstName"); got == "Changed" {
			t.Error("half of the mutation ran")
		}
	})
	t.Run("sudo", func(t *testing.T) {
		t.Parallel()
		w := w.on(t)
		out := w.gql(w.since(w.nordwind.admin, -1), `mutation($id: ID!) { setUserRoles(input: {userId: $id, roles: [USER_ADMIN]}) { user { id } } }`, "id", plain.UserID).code("FORBIDDEN")
		if out.Errors[0].Extensions["reason"] != "SUDO_REQUIRED" || out.Errors[0].Extensions["nextStep"] == nil {
			t.Error(out.Raw)
		}
	})
}

func TestUnexpectedErrorsAreHidden(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := present(w.Log)
	ctx := withOperation(graphql.WithPathContext(t.Context(), graphql.NewPathWithField("x")), &w.Deps, nobody)
	e := p(ctx, errors.New("table secretword is gone"))
	if e.Extensions["code"] != codeInternal || strings.Contains(e.Message, "secretword") {
		t.Errorf("%v", e)
	}
	if n := strings.Count(w.log.String(), "secretword"); n != 1 {
		t.Errorf("logged %d times", n)
	}
	e = p(ctx, recovered(w.Log)(ctx, "panicword"))
	if e.Extensions["code"] != codeInternal || strings.Count(w.log.String(), "panicword") != 1 || !strings.Contains(w.log.String(), "stack=") {
		t.Errorf("%v %s", e, w.log)
	}
	for _, c := range []struct {
		err  error
		code string
		more string
	}{
		{fault.Unauthenticated(), "UNAUTHENTICATED", ""},
		{fault.Forbidden("ROLE_REQUIRED"), "FORBIDDEN", "reason"},
		{fault.Conflict("", "CONFLICT"), "FORBIDDEN", "reason"},
		{fault.Limited(0), "RATE_LIMITED", ""},
		{fault.Limited(1), "RATE_LIMITED", "retryAfterSeconds"},
		{fault.Invalid("first", "INVALID"), "BAD_USER_INPUT", "argument"},
		{&fault.Error{Kind: fault.KindInvalid, Code: fault.CodeBadCursor}, "BAD_CURSOR", ""},
		{fmt.Errorf("asking: %w", fault.NotFound("")), "BAD_USER_INPUT", "reason"},
	} {
		e := p(ctx, c.err)
		if e.Extensions["code"] != c.code || c.more != "" && e.Extensions[c.more] == nil {
			t.Errorf("%v: %v", c.err, e.Extensions)
		}
	}
}

func TestCodesOutsideTheEnumAreInternal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := withOperation(t.Context(), &w.handler.(*server).deps, nobody)
	if errs, err := refused[model.EndSessionError](ctx, fault.NotFound("sessionId")); err != nil || len(errs) != 1 || errs[0].Code != "NOT_FOUND" || errs[0].Message == "" || fmt.Sprint(errs[0].Path) != "[input sessionId]" {
		t.Errorf("%v %v", errs, err)
	}
	if errs, err := refused[model.EndSessionError](ctx, fault.Conflict("", "AFFILIATE")); errs != nil || fault.KindOf(err) != fault.KindInternal || !strings.Contains(err.Error(), "EndSessionErrorCode") {
		t.Errorf("%v %v", errs, err)
	}
	for _, err := range []error{fault.Unauthenticated(), fault.Forbidden("ROLE_REQUIRED"), fault.Limited(0), errors.New("x")} {
		if errs, got := refused[model.EndSessionError](ctx, err); errs != nil || !errors.Is(got, err) {
			t.Errorf("%v became %v %v", err, errs, got)
		}
	}
	if errs, err := refused[model.RevokeInvitationError](ctx, fault.Conflict("", "CONFLICT")); err != nil || errs[0].Path != nil {
		t.Errorf("%v %v", errs, err)
	}
}

func TestNodes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ours, theirs := w.partnered(w.nordwind, w.contoso), w.partnered(w.fabrikam, w.tailspin)
	gina, otto := w.as(w.nordwind.admin), w.as(w.operator)
	cookie, session, _, err := w.Accounts.SignIn(t.Context(), account.SignInInput{Email: w.nordwind.admin.Email, Password: password})
	if err != nil || cookie == "" {
		t.Fatal(err)
	}
	_, foreign, _, err := w.Accounts.SignIn(t.Context(), account.SignInInput{Email: w.fabrikam.admin.Email, Password: password})
	if err != nil {
		t.Fatal(err)
	}
	end := func(p *partnership.Partnership, who company) ident.ID {
		x, err := w.Partnerships.RequestTermination(t.Context(), w.as(who.admin), partnership.RequestTerminationInput{PartnershipID: p.ID, Reason: "We part"})
		if err != nil {
			t.Fatal(err)
		}
		return x.ID
	}
	link := func(who company) ident.ID {
		l, err := w.Partnerships.Link(t.Context(), w.as(who.admin))
		if err != nil {
			t.Fatal(err)
		}
		return l.ID
	}
	op := func(who company) ident.ID {
		return ident.ID(w.gql(w.as(who.admin), "{ operations(first: 1) { nodes { id } } }").ok().text("operations.nodes.0.id"))
	}
	event := func(who company) ident.ID {
		return ident.ID(w.gql(w.as(who.admin), "{ auditEvents(first: 1) { nodes { id } } }").ok().text("auditEvents.nodes.0.id"))
	}
	token := func(who company) ident.ID {
		key, _, _, err := w.Accounts.CreateToken(t.Context(), w.as(who.admin), account.CreateTokenInput{Name: "Sync", Scopes: []access.Permission{access.PermViewerRead}})
		if err != nil {
			t.Fatal(err)
		}
		return key.ID
	}
	export := func(who company) ident.ID {
		e, _, err := w.Audits.RequestExport(t.Context(), w.as(who.admin), audit.Filter{}, "")
		if err != nil {
			t.Fatal(err)
		}
		return e.ID
	}
	hook := func(who company) ident.ID {
		sudo := w.as(who.admin)
		sudo.SudoUntil = w.DB.Now().Add(time.Hour)
		s, err := w.Webhooks.Create(t.Context(), sudo, webhook.CreateInput{URL: "https://hooks.example/" + string(who.ID), Description: "Orders"})
		if err != nil {
			t.Fatal(err)
		}
		return s.Endpoint.ID
	}
	delivery := func(who company) ident.ID {
		w.gql(w.as(who.admin), `mutation($id: ID!) { sendTestWebhook(input: {endpointId: $id}) { userErrors { code } } }`,
			"id", w.gql(w.as(who.admin), "{ webhookEndpoints { nodes { id } } }").ok().text("webhookEndpoints.nodes.0.id")).ok()
		return ident.ID(w.gql(w.as(who.admin), "{ webhookDeliveries { nodes { id } } }").ok().text("webhookDeliveries.nodes.0.id"))
	}
	upload := func(who company) ident.ID {
		f, err := w.Files.Upload(t.Context(), w.as(who.admin), file.UploadInput{Purpose: file.ForAttachment, Name: "note", Content: []byte("Hello")})
		if err != nil {
			t.Fatal(err)
		}
		return f.ID
	}
	enroll := func(who company) ident.ID {
		e, err := w.Enrollments.RequestChange(t.Context(), w.as(who.admin), enrollment.ChangeInput{Legal: &enrollment.LegalInput{
			Address: &enrollment.AddressInput{Line1: new("Via Roma 1"), City: new("Milano"), PostalCode: new("20121")}}})
		if err != nil {
			t.Fatal(err)
		}
		return e.ID
	}
	is, err := w.Invitations.ByIDs(t.Context(), otto, []ident.ID{ours.InvitationID})
	if err != nil {
		t.Fatal(err)
	}
	version := w.version("2026-07")
	membership, brought := w.imported()
	sku := w.shop()
	fab := w.as(w.fabrikam.admin)
	cus, ord := w.sold(gina, "alba", nil, yearly(sku["BASIC"], 3))
	foreignCus, foreignOrd := w.sold(fab, "brenta", nil, yearly(sku["BASIC"], 3))
	of := func(a access.Actor, c ident.ID, list string) ident.ID {
		return ident.ID(w.gql(a, "query($c: ID!) { node(id: $c) { ... on Customer { relationships { id } subscriptions(first: 1) { nodes { id } } } } }", "c", c).ok().text("node." + list + ".id"))
	}
	line := func(a access.Actor, o ident.ID) ident.ID {
		return ident.ID(w.gql(a, "query($o: ID!) { node(id: $o) { ... on Order { lines { id } } } }", "o", o).ok().text("node.lines.0.id"))
	}
	grant := func(a access.Actor) ident.ID {
		return ident.ID(w.gql(a, "{ grants { nodes { id } } }").ok().text("grants.nodes.0.id"))
	}
	customers := func(a access.Actor) ident.ID {
		return ident.ID(w.done(a, "exportCustomers", "customerExport { id }", map[string]any{}).text("exportCustomers.customerExport.id"))
	}
	offers, err := w.Files.Upload(t.Context(), otto, file.UploadInput{Purpose: file.ForCatalog, Name: "offers.csv", Content: []byte(offersCSV)})
	if err != nil {
		t.Fatal(err)
	}
	shopped := ident.ID(w.done(otto, "importCatalog", "catalogImport { id }", map[string]any{"fileId": offers.ID, "format": "CSV"}).text("importCatalog.catalogImport.id"))
	cases := map[string]struct {
		own, foreign ident.ID
		who          access.Actor
	}{
		"Offer":                {sku["BASIC"], "", gina}, // everybody's who may read the catalogue
		"CatalogImport":        {shopped, "", otto},
		"Customer":             {cus, foreignCus, gina},
		"CustomerRelationship": {of(gina, cus, "relationships.0"), of(fab, foreignCus, "relationships.0"), gina},
		"ProductSubscription":  {of(gina, cus, "subscriptions.nodes.0"), of(fab, foreignCus, "subscriptions.nodes.0"), gina},
		"Grant":                {grant(gina), grant(fab), gina},
		"Order":                {ord, foreignOrd, gina},
		"OrderLine":            {line(gina, ord), line(fab, foreignOrd), gina},
		"CustomerExport":       {customers(gina), customers(fab), gina},
		"Organization":         {w.nordwind.OrganizationID, w.fabrikam.OrganizationID, gina},
		"User":                 {w.nordwind.admin.ID, w.fabrikam.admin.ID, gina},
		"Session":              {session.ID, foreign.ID, gina},
		"Partner":              {w.contoso.ID, w.fabrikam.ID, gina},
		"Invitation":           {ours.InvitationID, theirs.InvitationID, gina},
		"Partnership":          {ours.ID, theirs.ID, gina},
		"Termination":          {end(ours, w.nordwind), end(theirs, w.fabrikam), gina},
		"PartnershipLink":      {link(w.nordwind), link(w.fabrikam), gina},
		"Operation":            {op(w.nordwind), op(w.fabrikam), gina},
		"AuditEvent":           {event(w.nordwind), event(w.fabrikam), gina},
		"PersonalToken":        {token(w.nordwind), token(w.fabrikam), gina},
		"AuditExport":          {export(w.nordwind), export(w.fabrikam), gina},
		"WebhookEndpoint":      {hook(w.nordwind), hook(w.fabrikam), gina},
		"WebhookDelivery":      {delivery(w.nordwind), delivery(w.fabrikam), gina},
		"MailMessage":          {is[ours.InvitationID].MessageID, "", otto},
		"Holiday":              {w.holiday(), "", gina}, // everybody's who is signed in
		"Membership":           {membership, "", otto},
		"RegisterImport":       {brought, "", otto},
		"Enrollment":           {enroll(w.nordwind), enroll(w.fabrikam), gina},
		"File":                 {upload(w.nordwind), upload(w.fabrikam), gina},
		"Agreement":            {version, "", gina}, // everybody's who may read it
		"AgreementSignature":   {w.signature(w.nordwind, version), w.signature(w.fabrikam, version), gina},
	}
	for _, d := range schema.PossibleTypes["Node"] {
		c, ok := cases[d.Name]
		if !ok {
			t.Errorf("%s is not tried", d.Name)
			continue
		}
		t.Run(d.Name, func(t *testing.T) {
			t.Parallel()
			w := w.on(t)
			const q = "query($id: ID!) { node(id: $id) { __typename id } }"
			out := w.gql(c.who, q, "id", c.own).ok()
			if out.text("node.__typename") != d.Name || out.text("node.id") != string(c.own) {
				t.Fatal(out.Raw)
			}
			// what is foreign answers as what is absent, byte for byte
			hidden := []ident.ID{ident.New(c.own.Kind()), ident.ID(c.own.Kind() + "_short"), "", "xxx_00000000000000000000000000"}
			if c.foreign != "" {
				hidden = append(hidden, c.foreign)
			} else if d.Name == "MailMessage" { // hidden from all but the operator
				if raw := w.gql(gina, q, "id", c.own).Raw; raw != `{"data":{"node":null}}` {
					t.Error(raw)
				}
			}
			for _, id := range hidden {
				if raw := w.gql(c.who, q, "id", id).Raw; raw != `{"data":{"node":null}}` {
					t.Errorf("%s: %s", id, raw)
				}
			}
			raw := w.gql(c.who, "query($ids: [ID!]!) { nodes(ids: $ids) { id } }", "ids", []any{c.foreign, c.own, ident.New(c.own.Kind())}).Raw
			if raw != `{"data":{"nodes":[null,{"id":"`+string(c.own)+`"},null]}}` {
				t.Error(raw)
			}
			// every field of it answers
			fields := []string{}
			for _, f := range d.Fields {
				if named(f.Type).Kind == "OBJECT" || named(f.Type).Kind == "INTERFACE" {
					fields = append(fields, f.Name+" { __typename }")
				} else {
					fields = append(fields, f.Name)
				}
			}
			w.gql(c.who, "query($id: ID!) { node(id: $id) { ... on "+d.Name+" { "+strings.Join(fields, " ")+" } } }", "id", c.own).ok()
		})
	}
}

func TestForeignActsTellNobodysName(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.partnered(w.nordwind, w.contoso)
	const q = `{ auditEvents(filter: {action: "partnership.authorized"}) { totalCount { value } nodes { actorName actor { id } requestId ipPrefix organization { id } action target { __typename } } } }`
	theirs := w.gql(w.as(w.nordwind.admin), q).ok()
	for _, f := range []string{"actorName", "actor", "requestId", "ipPrefix", "organization"} {
		if v := theirs.at("auditEvents.nodes.0." + f); v != nil {
			t.Errorf("%s of another organization's act: %v", f, v)
		}
	}
	if theirs.text("auditEvents.nodes.0.target.__typename") != "Partnership" {
		t.Error(theirs.Raw)
	}
	if own := w.gql(w.as(w.contoso.admin), q).ok(); own.text("auditEvents.nodes.0.actorName") != "Gina Rossi" || own.text("auditEvents.nodes.0.ipPrefix") != "192.0.2.0/24" {
		t.Error(own.Raw)
	}
}

func TestProfilesAndMailsAreForTheOwnSide(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.partnered(w.nordwind, w.contoso)
	const q = "query($id: ID!) { partner(id: $id) { legalName profile { currency } } }"
	if out := w.gql(w.as(w.nordwind.admin), q, "id", w.contoso.ID).ok(); out.at("partner.profile") != nil || out.at("partner.legalName") == nil {
		t.Error(out.Raw)
	}
	if out := w.gql(w.as(w.operator), q, "id", w.contoso.ID).ok(); out.at("partner.profile.currency") == nil {
		t.Error(out.Raw)
	}
	const mails = "query($id: ID!) { node(id: $id) { ... on Invitation { mails { template state events { event } } createdBy { id } operation { id state subject { id } } } } }"
	out := w.gql(w.as(w.nordwind.admin), mails, "id", p.InvitationID).ok()
	if out.text("node.mails.0.template") != "partnership_invitation" || out.text("node.mails.0.events.0.event") != "queued" || out.text("node.operation.subject.id") != string(p.InvitationID) {
		t.Error(out.Raw)
	}
	out = w.gql(w.as(w.contoso.admin), mails, "id", p.InvitationID).ok()
	if out.at("node") != nil { // the reseller's side may see the invitation, but not these
		if len(out.at("node.mails").([]any)) != 0 || out.at("node.createdBy") != nil || out.at("node.operation") != nil {
			t.Error(out.Raw)
		}
	}
}

func TestPaging(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gina := w.as(w.nordwind.admin)
	for i := range 7 {
		w.hire(w.nordwind, fmt.Sprintf("user%d@nordwind.example", i), access.DefaultUser)
	}
	page := func(args string) *answer {
		return w.gql(gina, "{ users("+args+") { nodes { email } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } totalCount { value precision } edges { cursor } } }")
	}
	emails := func(a *answer) (out []string) {
		for _, n := range a.ok().at("users.nodes").([]any) {
			out = append(out, n.(map[string]any)["email"].(string))
		}
		return out
	}
	const by = "orderBy: {field: CREATED_AT, direction: ASC}"
	all := emails(page(by))
	if len(all) != 8 {
		t.Fatal(all)
	}
	var forward []string
	after := ""
	for range 10 {
		p := page(by + ", first: 3" + after)
		forward = append(forward, emails(p)...)
		if p.at("users.totalCount.value") != 8.0 || p.text("users.totalCount.precision") != "EXACT" || p.at("users.pageInfo.hasPreviousPage") != (after != "") {
			t.Fatal(p.Raw)
		}
		after = `, after: "` + p.text("users.pageInfo.endCursor") + `"`
		if p.at("users.pageInfo.hasNextPage") == false {
			break
		}
	}
	if !slices.Equal(forward, all) {
		t.Errorf("forward %v", forward)
	}
	var backward []string
	before := ""
	for range 10 {
		p := page(by + ", last: 3" + before)
		backward = append(emails(p), backward...)
		before = `, before: "` + p.text("users.pageInfo.startCursor") + `"`
		if p.at("users.pageInfo.hasPreviousPage") == false {
			break
		}
	}
	if !slices.Equal(backward, all) {
		t.Errorf("backward %v", backward)
	}
	cursor := page(by + ", first: 3").text("users.pageInfo.endCursor")
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		t.Fatal(err)
	}
	forge := func(was, is string) string {
		return base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(string(raw), was, is, 1)))
	}
	for name, c := range map[string]struct{ args, code string }{
		"another ordering":   {`first: 3, after: "` + cursor + `"`, "BAD_CURSOR"},
		"another direction":  {`orderBy: {field: CREATED_AT, direction: DESC}, after: "` + cursor + `"`, "BAD_CURSOR"},
		"another filter":     {by + `, filter: {status: ACTIVE}, after: "` + cursor + `"`, "BAD_CURSOR"},
		"not base64":         {by + `, after: "%%%"`, "BAD_CURSOR"},
		"not JSON":           {by + `, after: "abcd"`, "BAD_CURSOR"},
		"empty":              {by + `, after: ""`, "BAD_CURSOR"},
		"another version":    {by + `, after: "` + forge(`"v":1`, `"v":2`) + `"`, "BAD_CURSOR"},
		"another value type": {by + `, after: "` + forge(`"s":`, `"s":"x","t":`) + `"`, "BAD_CURSOR"},
		"no id":              {by + `, after: "` + forge(`"i":"`, `"i":"x`) + `"`, "BAD_CURSOR"},
		"too long":           {by + `, after: "` + strings.Repeat("A", 4000) + `"`, "BAD_CURSOR"},
		"first and last":     {by + ", first: 3, last: 3", "BAD_USER_INPUT"},
		"first and before":   {by + `, first: 3, before: "` + cursor + `"`, "BAD_USER_INPUT"},
		"last and after":     {by + `, last: 3, after: "` + cursor + `"`, "BAD_USER_INPUT"},
		"nothing":            {by + ", first: 0", "BAD_USER_INPUT"},
		"less":               {by + ", first: -1", "BAD_USER_INPUT"},
		"too many":           {by + ", last: 101", "BAD_USER_INPUT"},
		"hundred":            {by + ", first: 100", ""},
		"own ordering":       {by + `, after: "` + cursor + `"`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out := w.on(t).gql(gina, "{ users("+c.args+") { nodes { id } } }")
			if c.code == "" {
				out.ok()
			} else if out.code(c.code); out.Errors[0].Message == c.code {
				t.Error("no sentence")
			}
		})
	}
}

func init() { loaderWait = 8 * time.Millisecond }

// A list costs so many statements however many rows it has. What is looked up
// ahead costs exactly that; deeper fields are batched by waiting for company,
// which a busy machine splits.
func TestStatementsDoNotGrowWithRows(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const rows = 50
	for i := range rows {
		r := w.register(fmt.Sprintf("Reseller Number %d", i), fmt.Sprintf("reseller%d.example", i), access.IndirectReseller)
		p := w.partnered(w.nordwind, r)
		if i%2 == 0 {
			if _, err := w.Partnerships.RequestTermination(t.Context(), w.as(r.admin), partnership.RequestTerminationInput{PartnershipID: p.ID, Reason: "We part"}); err != nil {
				t.Fatal(err)
			}
		}
		w.hire(w.nordwind, fmt.Sprintf("user%d@nordwind.example", i), access.DefaultUser)
	}
	gina, otto := w.as(w.nordwind.admin), w.as(w.operator)
	for name, c := range map[string]struct {
		who  access.Actor
		list string // with %d for the size of the page
		ask  string
		most int64
	}{
		"partnerships": {gina, "indirectResellers(first: %d)", `totalCount { value } nodes { id status reseller { legalName } provider { legalName } lastInvitation { status sentAt } }`, 4},
		"by edges":     {gina, "indirectResellers(first: %d)", `totalCount { value } edges { node { id reseller { legalName } lastInvitation { status } } } pageInfo { hasNextPage }`, 4},
		"in fragments": {gina, "indirectResellers(first: %d)", `totalCount { value } nodes { ... on Partnership { reseller { legalName } ... { lastInvitation { status } } } }`, 4},
		"all of one":   {gina, "indirectResellers(first: %d)", `totalCount { value } nodes { reseller { legalName } lastInvitation { status createdBy { email } mails { state events { event } } } authorizedBy { id } openTermination { reason } }`, 20},
		"operator's":   {otto, "partnerships(partnerId: \"" + string(w.nordwind.ID) + "\", side: PROVIDER, first: %d)", `totalCount { value } nodes { reseller { legalName profile { organization { name } } } lastInvitation { status } }`, 5},
		"invitations":  {gina, "invitations(first: %d)", `totalCount { value } nodes { recipient invitee { legalName } createdBy { email } operation { state } mails { state } }`, 6},
		"users":        {gina, "users(first: %d)", `totalCount { value } nodes { email roles organization { name } }`, 4},
		"partners":     {gina, "partners(first: %d)", `totalCount { value } nodes { legalName }`, 2},
		"operations":   {gina, "operations(first: %d)", `totalCount { value } nodes { state requestedBy { email } subject { id } }`, 10},
		"terminations": {otto, "terminations(first: %d)", `totalCount { value } nodes { reason requester { legalName } partnership { reseller { legalName } } }`, 5},
		"audit events": {otto, "auditEvents(first: %d)", `totalCount { value } nodes { action actor { email } target { id } organization { name } }`, 20},
	} {
		t.Run(name, func(t *testing.T) {
			w := w.on(t) // one after the other, since they count
			count := func(n int) int64 {
				before := w.DB.Queries()
				w.gql(c.who, "{ "+fmt.Sprintf(c.list, n)+" { "+c.ask+" } }").ok()
				return w.DB.Queries() - before
			}
			count(2) // warm
			most := count(rows)
			for try := 0; most > c.most && try < 10; try++ {
				most = min(most, count(rows))
			}
			if most > c.most {
				t.Errorf("%d statements for %d rows, and %d are allowed", most, rows, c.most)
			}
		})
	}
}

func TestLoadersForgetAfterAMutation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	out := w.gql(w.as(w.nordwind.admin), `mutation { a: updateProfile(input: {firstName: "Anna"}) { user { firstName } }
		b: endOtherSessions(input: {clientMutationId: "x"}) { clientMutationId viewer { user { firstName } } }
		c: updateProfile(input: {firstName: "Clara"}) { user { firstName } }
		d: endOtherSessions(input: {}) { viewer { user { firstName } } } }`).ok()
	if out.text("b.viewer.user.firstName") != "Anna" || out.text("d.viewer.user.firstName") != "Clara" || out.text("b.clientMutationId") != "x" {
		t.Error(out.Raw)
	}
}

func TestAccountMutations(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gina, fab := w.as(w.nordwind.admin), w.as(w.fabrikam.admin)
	in := map[string]any{"email": "mara@nordwind.example", "firstName": "Mara", "roles": []string{"SALES_AGENT"}, "idempotencyKey": "k1"}
	out := w.done(gina, "inviteUser", "user { id status roles } operation { id kind state }", in)
	id := out.text("inviteUser.user.id")
	if out.text("inviteUser.user.status") != "INVITED" || out.text("inviteUser.operation.state") != "PENDING" {
		t.Error(out.Raw)
	}
	if again := w.done(gina, "inviteUser", "user { id } operation { id }", in); again.text("inviteUser.user.id") != id || again.text("inviteUser.operation.id") != out.text("inviteUser.operation.id") {
		t.Error(again.Raw)
	}
	in["firstName"] = "Clara"
	w.refused(gina, "inviteUser", "user", "IDEMPOTENCY_KEY_REUSED", "input.idempotencyKey", in)
	bad := map[string]any{"email": "nobody", "firstName": "www.example.com", "locale": "xx", "roles": []string{"REVIEWER"}}
	w.refused(gina, "inviteUser", "user", "EMAIL_INVALID", "input.email", bad)
	w.refused(gina, "inviteUser", "user", "LINK_NOT_ALLOWED", "input.firstName", bad)
	w.refused(gina, "inviteUser", "user", "ROLE_NOT_OF_KIND", "input.roles.0", bad)
	w.refused(gina, "inviteUser", "user", "EMAIL_NOT_AVAILABLE", "input.email", map[string]any{"email": w.fabrikam.admin.Email})
	w.done(gina, "resendUserInvitation", "user { id } operation { id }", map[string]any{"userId": id})
	w.refused(gina, "resendUserInvitation", "user", "USER_STATE", "input.userId", map[string]any{"userId": gina.UserID})
	w.refused(fab, "resendUserInvitation", "user", "NOT_FOUND", "input.userId", map[string]any{"userId": id})

	w.done(gina, "setUserRoles", "user { roles }", map[string]any{"userId": id, "roles": []string{"USER_ADMIN", "HELPDESK_AGENT"}})
	w.refused(gina, "setUserRoles", "user", "CONFLICT", "input.expectedVersion", map[string]any{"userId": id, "roles": []string{"USER_ADMIN"}, "expectedVersion": 99})
	w.refused(gina, "setUserRoles", "user", "LAST_ADMIN", "input.roles", map[string]any{"userId": gina.UserID, "roles": []string{"USER_ADMIN"}})
	w.refused(fab, "setUserRoles", "user", "NOT_FOUND", "input.userId", map[string]any{"userId": id, "roles": []string{"USER_ADMIN"}})

	w.refused(gina, "disableUser", "user", "SELF_DISABLE", "input.userId", map[string]any{"userId": gina.UserID})
	w.refused(fab, "disableUser", "user", "NOT_FOUND", "input.userId", map[string]any{"userId": id})
	if out := w.done(gina, "disableUser", "user { status }", map[string]any{"userId": id}); out.text("disableUser.user.status") != "DISABLED" {
		t.Error(out.Raw)
	}
	w.refused(gina, "disableUser", "user", "USER_STATE", "input.userId", map[string]any{"userId": id})
	if out := w.done(gina, "enableUser", "user { status }", map[string]any{"userId": id}); out.text("enableUser.user.status") != "INVITED" {
		t.Error(out.Raw)
	}
	w.refused(gina, "enableUser", "user", "USER_STATE", "input.userId", map[string]any{"userId": id})

	if out := w.done(gina, "updateProfile", "user { displayName locale }", map[string]any{"lastName": "Bianchi", "locale": "it"}); out.text("updateProfile.user.displayName") != "Gina Bianchi" {
		t.Error(out.Raw)
	}
	w.refused(gina, "updateProfile", "user", "REQUIRED", "input.firstName", map[string]any{"firstName": " "})
	w.refused(gina, "updateProfile", "user", "CONTROL_CHARACTERS", "input.lastName", map[string]any{"lastName": "a\u202eb"})
	w.refused(gina, "updateProfile", "user", "TOO_LONG", "input.lastName", map[string]any{"lastName": strings.Repeat("a", 51)})

	_, session, _, err := w.Accounts.SignIn(t.Context(), account.SignInInput{Email: gina.Email, Password: password})
	if err != nil {
		t.Fatal(err)
	}
	if out := w.do(fab, "endSession", "sessionId", map[string]any{"sessionId": session.ID}).ok(); out.at("endSession.sessionId") != nil || out.text("endSession.userErrors.0.code") != "NOT_FOUND" {
		t.Error(out.Raw)
	}
	if out := w.done(gina, "endSession", "sessionId", map[string]any{"sessionId": session.ID}); out.text("endSession.sessionId") != string(session.ID) {
		t.Error(out.Raw)
	}
	w.done(gina, "endOtherSessions", "viewer { sessions { id isCurrent } }", map[string]any{})
	w.done(gina, "endUserSessions", "user { id }", map[string]any{"userId": id})
	w.refused(fab, "endUserSessions", "user", "NOT_FOUND", "input.userId", map[string]any{"userId": id})
}

func TestOperatorMutations(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	otto := w.as(w.operator)
	input := func(domain string) map[string]any {
		return map[string]any{"kind": "INDIRECT_RESELLER", "legalName": "Wide World " + domain, "tenantDomain": domain, "country": "IT", "website": "https://" + domain,
			"agreementVersion": "2026-01", "agreementSignedAt": "2026-01-01T00:00:00Z", "idempotencyKey": domain,
			"admin": map[string]any{"email": "anna@" + domain, "firstName": "Anna", "lastName": "Verdi"}}
	}
	out := w.done(otto, "registerPartner", "partner { id legalName status region isActive hasSignedAgreement website } admin { status roles } operation { id }", input("wide.example"))
	if out.text("registerPartner.partner.status") != "ACTIVE" || out.text("registerPartner.admin.status") != "INVITED" || out.at("registerPartner.operation.id") == nil {
		t.Error(out.Raw)
	}
	if again := w.done(otto, "registerPartner", "partner { id } admin { id } operation { id }", input("wide.example")); again.text("registerPartner.partner.id") != out.text("registerPartner.partner.id") {
		t.Error(again.Raw)
	}
	bad := map[string]any{"kind": "CUSTOMER", "legalName": "S.r.l.", "tenantDomain": "nowhere", "country": "XX", "website": "javascript:x", "programmeId": "12", "status": "CLOSED",
		"agreementSignedAt": "2999-01-01T00:00:00Z", "admin": map[string]any{"email": "info@gmail.com", "firstName": "", "lastName": strings.Repeat("x", 60)}}
	for path, code := range map[string]string{"kind": "KIND_INVALID", "legalName": "NAME_INVALID", "tenantDomain": "DOMAIN_INVALID", "country": "COUNTRY_UNKNOWN", "website": "WEBSITE_INVALID",
		"programmeId": "PROGRAMME_ID_INVALID", "status": "STATUS_INVALID", "agreementSignedAt": "DATE_IN_FUTURE", "admin.email": "EMAIL_WEBMAIL", "admin.firstName": "REQUIRED", "admin.lastName": "TOO_LONG"} {
		w.refused(otto, "registerPartner", "partner", code, "input."+path, bad)
	}
	twin := input("nordwind.example")
	w.refused(otto, "registerPartner", "partner", "DUPLICATE", "input.tenantDomain", twin)
	taken := input("other.example")
	taken["admin"].(map[string]any)["email"] = w.nordwind.admin.Email
	w.refused(otto, "registerPartner", "partner", "EMAIL_NOT_AVAILABLE", "input.admin.email", taken)

	w.done(otto, "declareAffiliates", "partner { id }", map[string]any{"partnerId": w.nordwind.ID, "affiliateId": w.contoso.ID})
	w.refused(otto, "declareAffiliates", "partner", "SELF_DEALING", "input.affiliateId", map[string]any{"partnerId": w.nordwind.ID, "affiliateId": w.nordwind.ID})
	w.refused(otto, "declareAffiliates", "partner", "NOT_FOUND", "input.affiliateId", map[string]any{"partnerId": w.nordwind.ID, "affiliateId": "par_none"})

	gina := w.as(w.nordwind.admin)
	w.gql(gina, `mutation { declareAffiliates(input: {partnerId: 1, affiliateId: 2}) { partner { id } } }`).code("FORBIDDEN")
}

func TestPartnershipMutations(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gina, luca, otto, fab, tail := w.as(w.nordwind.admin), w.as(w.contoso.admin), w.as(w.operator), w.as(w.fabrikam.admin), w.as(w.tailspin.admin)

	// the personal link and the draft
	link := w.gql(gina, "{ partnershipLink { id url state provider { id } } partnershipRequestDraft(locale: \"it\") { locale subject text clipboardText mailtoUrl problems { code } link { id } } }").ok()
	url := link.text("partnershipLink.url")
	if !strings.Contains(link.text("partnershipRequestDraft.text"), url) || link.text("partnershipLink.state") != "LIVE" || link.text("partnershipRequestDraft.locale") != "it" {
		t.Error(link.Raw)
	}
	draft := w.gql(gina, `{ partnershipRequestDraft(text: "Hello") { mailtoUrl problems { code path message } } }`).ok()
	if draft.text("partnershipRequestDraft.problems.0.code") != "LINK_MISSING" || draft.at("partnershipRequestDraft.mailtoUrl") != nil || draft.text("partnershipRequestDraft.problems.0.path.0") != "text" {
		t.Error(draft.Raw)
	}
	w.gql(gina, `{ partnershipRequestDraft(locale: "xx") { text } }`).code("BAD_USER_INPUT")
	w.gql(luca, `{ partnershipLink { url } }`).code("FORBIDDEN")
	rotated := w.done(gina, "rotatePartnershipLink", "partnershipLink { url rotatedAt }", map[string]any{"idempotencyKey": "r"})
	if rotated.text("rotatePartnershipLink.partnershipLink.url") == url {
		t.Error("not rotated")
	}
	w.refused(gina, "rotatePartnershipLink", "partnershipLink", "INVALID", "input.idempotencyKey", map[string]any{"idempotencyKey": "ü"})
	if out := w.done(gina, "setPartnershipLinkPaused", "partnershipLink { state }", map[string]any{"paused": true}); out.text("setPartnershipLinkPaused.partnershipLink.state") != "PAUSED" {
		t.Error(out.Raw)
	}
	w.done(gina, "setPartnershipLinkPaused", "partnershipLink { state pausedAt }", map[string]any{"paused": false})

	// asking
	ask := map[string]any{"email": luca.Email, "idempotencyKey": "a"}
	sent := w.done(gina, "requestPartnership", "invitation { id status recipient expiresAt operation { id } } operation { id kind subject { id } requestedBy { id } }", ask)
	id := sent.text("requestPartnership.invitation.id")
	if sent.text("requestPartnership.operation.subject.id") != id || sent.text("requestPartnership.invitation.operation.id") != sent.text("requestPartnership.operation.id") {
		t.Error(sent.Raw)
	}
	if again := w.done(gina, "requestPartnership", "invitation { id }", ask); again.text("requestPartnership.invitation.id") != id {
		t.Error(again.Raw)
	}
	w.refused(gina, "requestPartnership", "invitation", "IDEMPOTENCY_KEY_REUSED", "input.idempotencyKey", map[string]any{"email": "x@y.example", "idempotencyKey": "a"})
	w.refused(gina, "requestPartnership", "invitation", "INVITATION_PENDING", "input.email", map[string]any{"email": luca.Email})
	w.refused(gina, "requestPartnership", "invitation", "EMAIL_INVALID", "input.email", map[string]any{"email": "a@b\r\nBcc: c@d.example"})
	w.refused(gina, "requestPartnership", "invitation", "EMAIL_WEBMAIL", "input.email", map[string]any{"email": "a@gmail.com"})
	w.refused(gina, "requestPartnership", "invitation", "LINK_MISSING", "input.text", map[string]any{"email": "a@b.example", "text": "Hello"})
	w.refused(gina, "requestPartnership", "invitation", "SELF_DEALING", "input.email", map[string]any{"email": "other@nordwind.example"})
	w.gql(luca, `mutation { requestPartnership(input: {email: "a@b.example"}) { invitation { id } } }`).code("FORBIDDEN")

	many := w.done(gina, "requestPartnerships", "lines { email invitation { id } operation { id } problems { code path message } }", map[string]any{"emails": []string{"one@shop.example", "nonsense", luca.Email}, "dryRun": true})
	if many.at("requestPartnerships.lines.0.invitation") != nil || len(many.at("requestPartnerships.lines.0.problems").([]any)) != 0 ||
		many.text("requestPartnerships.lines.1.problems.0.code") != "EMAIL_INVALID" || many.text("requestPartnerships.lines.2.problems.0.code") != "INVITATION_PENDING" {
		t.Error(many.Raw)
	}
	asked := w.done(gina, "requestPartnerships", "lines { email invitation { id } operation { id } problems { code } }", map[string]any{"emails": []string{"one@shop.example", "nonsense"}})
	other := asked.text("requestPartnerships.lines.0.invitation.id")
	w.refused(gina, "requestPartnerships", "lines", "REQUIRED", "input.emails", map[string]any{"emails": []string{}})
	w.refused(gina, "requestPartnerships", "lines", "TOO_MANY", "input.emails", map[string]any{"emails": slices.Repeat([]string{"a@b.example"}, 200)})

	w.refused(gina, "resendInvitation", "invitation", "INVITATION_CLOSED", "input.invitationId", map[string]any{"invitationId": other}) // still on its way
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		_, err := tx.ExecContext(ctx, "UPDATE invitation SET status = 'SENT' WHERE id = ?", other)
		return err
	})
	w.done(gina, "resendInvitation", "invitation { id generation } operation { id }", map[string]any{"invitationId": other})
	w.refused(fab, "resendInvitation", "invitation", "NOT_FOUND", "input.invitationId", map[string]any{"invitationId": other})
	w.refused(gina, "revokeInvitation", "invitation", "CONFLICT", "input.expectedVersion", map[string]any{"invitationId": other, "expectedVersion": 99})
	w.done(gina, "revokeInvitation", "invitation { status decidedAt }", map[string]any{"invitationId": other})
	w.refused(gina, "revokeInvitation", "invitation", "INVITATION_CLOSED", "input.invitationId", map[string]any{"invitationId": other})
	w.refused(gina, "revokeInvitation", "invitation", "NOT_FOUND", "input.invitationId", map[string]any{"invitationId": "inv_none"})

	// the recipient
	code := w.code(ident.ID(id))
	const proposal = "query($c: String!) { partnershipProposal(code: $c) { state kind inviter { legalName } inviterName recipient note expiresAt needsSignIn mayAuthorize canRequestNewLink refusals { code message nextStep } lacksRole isWaiting partnership { id } } }"
	seen := w.gql(nobody, proposal, "c", code).ok()
	if seen.text("partnershipProposal.state") != "OPEN" || seen.text("partnershipProposal.inviter.legalName") != "Nordwind Distribution" || seen.at("partnershipProposal.needsSignIn") != true {
		t.Error(seen.Raw)
	}
	if un := w.gql(nobody, proposal, "c", "cgi_unknown").ok(); un.text("partnershipProposal.state") != "UNKNOWN" || un.at("partnershipProposal.inviter") != nil || un.at("partnershipProposal.kind") != nil {
		t.Error(un.Raw)
	}
	if out := w.gql(fab, proposal, "c", code).ok(); out.text("partnershipProposal.refusals.0.code") != "WRONG_KIND" || out.text("partnershipProposal.refusals.0.message") == "WRONG_KIND" {
		t.Error(out.Raw)
	}
	if got := w.gql(luca, "{ receivedInvitations { id } }").ok(); got.text("receivedInvitations.0.id") != id {
		t.Error(got.Raw)
	}
	w.done(nobody, "keepInvitationWaiting", "isWaiting", map[string]any{"code": code})
	if out := w.do(nobody, "keepInvitationWaiting", "isWaiting", map[string]any{"code": "cgi_x"}).ok(); out.text("keepInvitationWaiting.userErrors.0.code") != "NOT_FOUND" || out.at("keepInvitationWaiting.isWaiting") != nil {
		t.Error(out.Raw)
	}
	if out := w.do(nobody, "requestNewLink", "isRequested", map[string]any{"code": code}).ok(); out.text("requestNewLink.userErrors.0.code") != "NO_NEW_LINK_NEEDED" {
		t.Error(out.Raw)
	}
	w.done(nobody, "requestNewLink", "isRequested", map[string]any{"code": w.keys.Capability(invitation.LinkPrefix, invitation.LinkPurpose, ident.ID(other), 1).Reveal()})

	w.refused(luca, "authorizeProvider", "partnership", "NOT_CONFIRMED", "input.confirmed", map[string]any{"code": code, "confirmed": false})
	w.refused(luca, "authorizeProvider", "partnership", "REQUIRED", "input.code", map[string]any{"confirmed": true})
	w.refused(luca, "authorizeProvider", "partnership", "NOT_FOUND", "input.code", map[string]any{"code": "cgi_x", "confirmed": true})
	w.refused(fab, "authorizeProvider", "partnership", "WRONG_KIND", "input.code", map[string]any{"code": code, "confirmed": true})
	w.gql(nobody, `mutation { authorizeProvider(input: {code: "x", confirmed: true}) { partnership { id } } }`).code("UNAUTHENTICATED")
	joined := w.done(luca, "authorizeProvider", "partnership { id status hasAdminAccess region provider { legalName } reseller { legalName profile { currency } } lastInvitation { status } authorizedBy { id } openTermination { id } }", map[string]any{"code": code, "confirmed": true})
	psh := joined.text("authorizeProvider.partnership.id")
	if joined.at("authorizeProvider.partnership.hasAdminAccess") != true || joined.text("authorizeProvider.partnership.provider.legalName") != "Nordwind Distribution" {
		t.Error(joined.Raw)
	}
	if again := w.done(luca, "authorizeProvider", "partnership { id }", map[string]any{"code": code, "confirmed": true}); again.text("authorizeProvider.partnership.id") != psh {
		t.Error(again.Raw)
	}
	for who, list := range map[*access.Actor]string{&gina: "indirectResellers", &luca: "indirectProviders"} {
		if out := w.gql(*who, "{ "+list+" { nodes { id } } }").ok(); out.text(list+".nodes.0.id") != psh {
			t.Error(out.Raw)
		}
	}
	if out := w.gql(fab, "{ indirectResellers { nodes { id } totalCount { value } } }").ok(); len(out.at("indirectResellers.nodes").([]any)) != 0 || out.at("indirectResellers.totalCount.value") != 0.0 {
		t.Error(out.Raw)
	}

	// declining
	third := w.done(fab, "requestPartnership", "invitation { id }", map[string]any{"email": tail.Email}).text("requestPartnership.invitation.id")
	w.refused(tail, "declineInvitation", "invitation", "TOO_LONG", "input.reason", map[string]any{"code": w.code(ident.ID(third)), "reason": strings.Repeat("x", 501)})
	w.refused(luca, "declineInvitation", "invitation", "NOT_FOUND", "input.invitationId", map[string]any{"invitationId": third})
	if out := w.done(tail, "declineInvitation", "invitation { status declineReason }", map[string]any{"invitationId": third, "reason": "Not now"}); out.text("declineInvitation.invitation.declineReason") != "Not now" {
		t.Error(out.Raw)
	}
	w.refused(tail, "declineInvitation", "invitation", "INVITATION_CLOSED", "input.invitationId", map[string]any{"invitationId": third})

	// afterwards
	w.refused(luca, "withdrawAdminAccess", "partnership", "CONFLICT", "input.expectedVersion", map[string]any{"partnershipId": psh, "expectedVersion": 99})
	w.refused(tail, "withdrawAdminAccess", "partnership", "NOT_FOUND", "input.partnershipId", map[string]any{"partnershipId": psh})
	if out := w.done(luca, "withdrawAdminAccess", "partnership { hasAdminAccess status adminAccessWithdrawnAt }", map[string]any{"partnershipId": psh}); out.at("withdrawAdminAccess.partnership.hasAdminAccess") != false {
		t.Error(out.Raw)
	}
	w.refused(luca, "withdrawAdminAccess", "partnership", "ADMIN_ACCESS_NOT_HELD", "input.partnershipId", map[string]any{"partnershipId": psh})

	w.refused(gina, "requestTermination", "termination", "REQUIRED", "input.reason", map[string]any{"partnershipId": psh, "reason": ""})
	w.refused(fab, "requestTermination", "termination", "NOT_FOUND", "input.partnershipId", map[string]any{"partnershipId": psh, "reason": "x"})
	trm := w.done(gina, "requestTermination", "termination { id status partnership { status openTermination { id } } requester { id } requestedBy { id } }", map[string]any{"partnershipId": psh, "reason": "We part"}).text("requestTermination.termination.id")
	w.refused(luca, "requestTermination", "termination", "TERMINATION_PENDING", "input.partnershipId", map[string]any{"partnershipId": psh, "reason": "We part too"})
	w.refused(luca, "withdrawTermination", "termination", "NOT_FOUND", "input.terminationId", map[string]any{"terminationId": trm})
	w.done(gina, "withdrawTermination", "termination { status }", map[string]any{"terminationId": trm})
	w.refused(gina, "withdrawTermination", "termination", "CONFLICT", "input.terminationId", map[string]any{"terminationId": trm})

	trm = w.done(gina, "requestTermination", "termination { id }", map[string]any{"partnershipId": psh, "reason": "We part"}).text("requestTermination.termination.id")
	w.refused(otto, "refuseTermination", "termination", "CONFLICT", "input.expectedVersion", map[string]any{"terminationId": trm, "expectedVersion": 99})
	w.refused(otto, "refuseTermination", "termination", "TOO_LONG", "input.note", map[string]any{"terminationId": trm, "note": strings.Repeat("x", 501)})
	w.done(otto, "refuseTermination", "termination { status decisionNote decidedAt decidedBy { id } }", map[string]any{"terminationId": trm, "note": "Talk first"})
	trm = w.done(gina, "requestTermination", "termination { id }", map[string]any{"partnershipId": psh, "reason": "We part"}).text("requestTermination.termination.id")
	w.refused(otto, "completeTermination", "termination", "NOT_FOUND", "input.terminationId", map[string]any{"terminationId": "trm_none"})
	if out := w.done(otto, "completeTermination", "termination { status partnership { status terminatedAt openTermination { id } } }", map[string]any{"terminationId": trm}); out.text("completeTermination.termination.partnership.status") != "TERMINATED" {
		t.Error(out.Raw)
	}
	w.refused(gina, "requestTermination", "termination", "PARTNERSHIP_TERMINATED", "input.partnershipId", map[string]any{"partnershipId": psh, "reason": "x"})
	if out := w.gql(otto, "{ terminations(filter: {status: [COMPLETED]}) { totalCount { value } nodes { id } } }").ok(); out.at("terminations.totalCount.value") != 1.0 {
		t.Error(out.Raw)
	}

	// operations
	op := sent.text("requestPartnership.operation.id")
	w.refused(fab, "cancelOperation", "operation", "NOT_FOUND", "input.id", map[string]any{"id": op})
	w.refused(gina, "retryOperation", "operation", "OPERATION_NOT_RETRYABLE", "input.id", map[string]any{"id": op})
	fresh := w.done(gina, "requestPartnership", "operation { id }", map[string]any{"email": "new@shop.example"}).text("requestPartnership.operation.id")
	if out := w.done(gina, "cancelOperation", "operation { state finishedAt }", map[string]any{"id": fresh}); out.text("cancelOperation.operation.state") != "CANCELLED" {
		t.Error(out.Raw)
	}
	w.refused(gina, "cancelOperation", "operation", "OPERATION_NOT_CANCELLABLE", "input.id", map[string]any{"id": fresh})
	if out := w.gql(gina, "query($id: ID!) { operation(id: $id) { state failureCode attempts } }", "id", fresh).ok(); out.text("operation.state") != "CANCELLED" {
		t.Error(out.Raw)
	}
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		_, err := tx.ExecContext(ctx, "UPDATE job SET state = 'dead' WHERE id = ?", fresh)
		return err
	})
	w.done(gina, "retryOperation", "operation { state }", map[string]any{"id": fresh})

	if strings.Contains(w.log.String(), "level=ERROR") {
		t.Errorf("errors were logged:\n%s", w.log)
	}
}

func TestHelpersAreHonest(t *testing.T) {
	t.Parallel()
	if orNone(partnership.ProposalKind("")) != nil || *orNone(1) != 1 || orZero[int](nil) != 0 || blank("") != nil || *blank("x") != "x" {
		t.Error("nothing became something")
	}
	if ownAct(withOperation(t.Context(), &newWorld(t).Deps, nobody), &audit.Event{OrganizationID: "org_1"}) {
		t.Error("nobody owns an act")
	}
	if v, err := orNull(&struct{}{}, fault.NotFound("x")); v != nil || err != nil {
		t.Error("what is not found is null")
	}
	if secret.String("x").String() == "x" {
		t.Error("secrets show")
	}
}
