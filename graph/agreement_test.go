package graph

import (
	"strings"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/agreement"
	"github.com/channelgraph/channelgraph/internal/ident"
)

// version publishes one of the agreement, to be signed within 30 days.
func (w *world) version(number string) ident.ID {
	w.t.Helper()
	in := agreement.PublishInput{Number: number, DueAt: w.DB.Now().AddDate(0, 0, 30), Texts: []agreement.TextInput{{Locale: "en", Title: "Partner agreement", Text: "We work together."}}}
	a, _, err := w.Agreements.Publish(w.t.Context(), w.as(w.operator), in)
	if err != nil {
		w.t.Fatal(err)
	}
	return a.ID
}

// signature signs a version for a company.
func (w *world) signature(c company, version ident.ID) ident.ID {
	w.t.Helper()
	in := agreement.SignInput{AgreementID: version, FirstName: "Gina", LastName: "Rossi", Email: c.admin.Email, Phone: "+39 06 1234567", Confirmed: true}
	s, err := w.Agreements.Sign(w.t.Context(), w.as(c.admin), in)
	if err != nil {
		w.t.Fatal(err)
	}
	return s.ID
}

func TestAgreement(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	otto, gina := w.as(w.operator), w.as(w.nordwind.admin)
	const banner = `{ agreementStatus { state dueAt signedNumber signedAt needsSignature isBlocked maySign
		newest { id number contentHash texts { locale title text } publishedBy { id } publishedAt }
		signature { id firstName lastName email phone number contentHash region signedAt ipPrefix signedBy { id } agreement { id } partner { id hasSignedAgreement } } } }`
	if out := w.gql(gina, banner).ok(); out.text("agreementStatus.state") != "SIGNED" || out.at("agreementStatus.newest") != nil || out.text("agreementStatus.signedNumber") != "2026-01" {
		t.Error(out.Raw)
	}
	if out := w.gql(otto, banner).ok(); out.at("agreementStatus") != nil {
		t.Error(out.Raw)
	}
	publish := map[string]any{"number": "2026-07", "dueAt": w.DB.Now().AddDate(0, 0, 30).Format(time.RFC3339Nano), "idempotencyKey": "k",
		"texts": []any{map[string]any{"locale": "en", "title": "Agreement", "text": "We work\ntogether."}, map[string]any{"locale": "it", "title": "Contratto", "text": "Insieme."}}}
	out := w.done(otto, "publishAgreement", "agreement { id number texts { locale title text } contentHash dueAt publishedBy { id } } operation { kind requestedBy { id } subject { id } }", publish)
	id := out.text("publishAgreement.agreement.id")
	if out.text("publishAgreement.operation.kind") != "agreement.announce" || out.text("publishAgreement.operation.subject.id") != id ||
		out.text("publishAgreement.agreement.texts.0.text") != "We work\ntogether." || out.text("publishAgreement.agreement.texts.1.locale") != "it" {
		t.Error(out.Raw)
	}
	publish["idempotencyKey"] = "l"
	w.refused(otto, "publishAgreement", "agreement", "AGREEMENT_NUMBER_TAKEN", "input.number", publish)
	publish["texts"] = []any{map[string]any{"locale": "it", "title": "Contratto", "text": "Insieme."}}
	publish["idempotencyKey"] = "m"
	w.refused(otto, "publishAgreement", "agreement", "ENGLISH_REQUIRED", "input.texts", publish)

	out = w.gql(gina, banner).ok()
	if out.text("agreementStatus.state") != "DUE" || out.at("agreementStatus.needsSignature") != true || out.at("agreementStatus.maySign") != true || out.at("agreementStatus.isBlocked") != false ||
		out.text("agreementStatus.newest.id") != id || out.at("agreementStatus.newest.publishedBy") != nil {
		t.Error(out.Raw)
	}
	sign := map[string]any{"agreementId": id, "firstName": "Gina", "lastName": "Rossi", "email": "gina@nordwind.example", "phone": "+39 06 1234567", "confirmed": false}
	w.refused(gina, "signAgreement", "signature", "AGREEMENT_NOT_CONFIRMED", "input.confirmed", sign)
	sign["confirmed"] = true
	sign["agreementId"] = ident.New(ident.Agreement)
	w.refused(gina, "signAgreement", "signature", "NOT_FOUND", "input.agreementId", sign)
	sign["agreementId"] = id
	tired := w.since(w.nordwind.admin, -time.Second)
	if out := w.do(tired, "signAgreement", "signature { id }", sign); len(out.Errors) != 1 || out.Errors[0].Extensions["reason"] != "SUDO_REQUIRED" {
		t.Error(out.Raw)
	}
	out = w.done(gina, "signAgreement", "signature { id number } partner { id hasSignedAgreement profile { agreementVersion agreementDueAt agreementSignedAt } }", sign)
	if out.text("signAgreement.signature.number") != "2026-07" || out.text("signAgreement.partner.profile.agreementVersion") != "2026-07" || out.at("signAgreement.partner.profile.agreementDueAt") != nil {
		t.Error(out.Raw)
	}
	w.refused(gina, "signAgreement", "signature", "ALREADY_SIGNED", "input.agreementId", sign)
	out = w.gql(gina, banner).ok()
	if out.text("agreementStatus.state") != "SIGNED" || out.text("agreementStatus.signature.firstName") != "Gina" || out.text("agreementStatus.signature.signedBy.id") != string(gina.UserID) ||
		out.text("agreementStatus.signature.agreement.id") != id || out.text("agreementStatus.signature.ipPrefix") != "192.0.2.0/24" {
		t.Error(out.Raw)
	}
	other := `{ agreementStatus(partnerId: "` + string(w.nordwind.ID) + `") { state } }`
	if out := w.gql(otto, other).ok(); out.text("agreementStatus.state") != "SIGNED" {
		t.Error(out.Raw)
	}
	if out := w.gql(w.as(w.contoso.admin), other).ok(); out.at("agreementStatus") != nil {
		t.Error(out.Raw)
	}
}

// The lists cost a fixed number of statements, and show what they should.
func TestAgreementLists(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.version("2026-06")
	w.signature(w.nordwind, first)
	w.signature(w.contoso, first)
	second := w.version("2026-07")
	w.signature(w.contoso, second)
	const q = `query($s: AgreementSignatureFilter, $f: AgreementFilter) {
		agreements(filter: $f) { totalCount { value } nodes { id number texts { title } publishedBy { email } } }
		agreementSignatures(filter: $s) { totalCount { value } nodes { number agreement { number } partner { legalName } signedBy { email } } } }`
	for name, c := range map[string]struct {
		actor              access.Actor
		filter             map[string]any
		versions           int
		signatures, people int
	}{
		"operator":              {w.as(w.operator), nil, 2, 3, 3},
		"operator, one version": {w.as(w.operator), map[string]any{"s": map[string]any{"agreementId": first}, "f": map[string]any{"number": "2026-06"}}, 1, 2, 2},
		"own":                   {w.as(w.contoso.admin), nil, 2, 2, 2},
		"another's":             {w.as(w.tailspin.admin), map[string]any{"s": map[string]any{"partnerId": w.contoso.ID}}, 2, 0, 0},
	} {
		out := w.gql(c.actor, q, "s", c.filter["s"], "f", c.filter["f"]).ok()
		if out.at("agreements.totalCount.value") != float64(c.versions) || out.at("agreementSignatures.totalCount.value") != float64(c.signatures) ||
			strings.Count(out.Raw, `"legalName"`) != c.signatures || strings.Count(out.Raw, `"signedBy":{`) != c.people {
			t.Errorf("%s: %s", name, out.Raw)
		}
	}
	count := func(n int) int64 {
		before := w.DB.Queries()
		w.gql(w.as(w.operator), `{ agreementSignatures(first: `+string(rune('0'+n))+`) { nodes { agreement { number texts { title } } partner { legalName } signedBy { email } } } }`).ok()
		return w.DB.Queries() - before
	}
	if one, three := count(1), count(3); one != three {
		t.Errorf("%d statements for one row, %d for three", one, three)
	}
}

func TestPartnerStatus(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	otto, gina, carla := w.as(w.operator), w.as(w.nordwind.admin), w.as(w.tailspin.admin)
	const look = "query($p: String, $d: String) { partnerStatus(programmeId: $p, tenantDomain: $d) { kind region isActive hasSignedAgreement } }"
	const want = `{"data":{"partnerStatus":{"kind":"INDIRECT_PROVIDER","region":"EUROPE","isActive":true,"hasSignedAgreement":true}}}`
	for name, c := range map[string]struct {
		p, d any
		want string
	}{
		"by programme ID": {w.nordwind.ProgrammeID, nil, want}, "by domain": {nil, "NordWind.example", want},
		"unknown ID": {"9999999", nil, `{"data":{"partnerStatus":null}}`}, "unknown domain": {nil, "nobody.example", `{"data":{"partnerStatus":null}}`},
		"no ID": {"1", nil, `{"data":{"partnerStatus":null}}`}, "no domain": {nil, "..", `{"data":{"partnerStatus":null}}`},
	} {
		if got := w.gql(carla, look, "p", c.p, "d", c.d).Raw; got != c.want {
			t.Errorf("%s: %s", name, got)
		}
	}
	for _, c := range [][2]any{{nil, nil}, {w.nordwind.ProgrammeID, "nordwind.example"}} {
		out := w.gql(carla, look, "p", c[0], "d", c[1])
		if len(out.Errors) != 1 || out.Errors[0].Extensions["code"] != "BAD_USER_INPUT" || out.Errors[0].Extensions["reason"] != "EXACTLY_ONE" {
			t.Error(out.Raw)
		}
	}
	in := map[string]any{"partnerId": w.nordwind.ID, "reason": "Complaints stay unanswered."}
	if out := w.do(gina, "suspendPartner", "partner { id }", in); len(out.Errors) != 1 || out.Errors[0].Extensions["code"] != "FORBIDDEN" {
		t.Error(out.Raw)
	}
	w.refused(otto, "reinstatePartner", "partner", "PARTNER_STATUS_FORBIDS", "input.partnerId", in)
	out := w.done(otto, "suspendPartner", "partner { status isActive profile { statusReason statusChangedAt version } }", in)
	if out.text("suspendPartner.partner.status") != "SUSPENDED" || out.text("suspendPartner.partner.profile.statusReason") != "Complaints stay unanswered." {
		t.Error(out.Raw)
	}
	if got := w.gql(carla, look, "d", "nordwind.example").Raw; got != strings.Replace(want, `"isActive":true`, `"isActive":false`, 1) {
		t.Error(got)
	}
	in["expectedVersion"] = 1
	w.refused(otto, "reinstatePartner", "partner", "CONFLICT", "input.expectedVersion", in)
	delete(in, "expectedVersion")
	w.refused(otto, "closePartner", "partner", "REQUIRED", "input.reason", map[string]any{"partnerId": w.nordwind.ID, "reason": " "})
	w.refused(otto, "closePartner", "partner", "NOT_FOUND", "input.partnerId", map[string]any{"partnerId": ident.New(ident.Partner), "reason": "Left."})
	w.done(otto, "reinstatePartner", "partner { status }", in)
	if out := w.done(otto, "closePartner", "partner { status }", in); out.text("closePartner.partner.status") != "CLOSED" {
		t.Error(out.Raw)
	}
}
