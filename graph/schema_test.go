package graph

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/channelgraph/channelgraph/graph/gen"
	"github.com/channelgraph/channelgraph/graph/model"
	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/agreement"
	"github.com/channelgraph/channelgraph/internal/audit"
	"github.com/channelgraph/channelgraph/internal/calendar"
	"github.com/channelgraph/channelgraph/internal/catalog"
	"github.com/channelgraph/channelgraph/internal/customer"
	"github.com/channelgraph/channelgraph/internal/desk"
	"github.com/channelgraph/channelgraph/internal/directory"
	"github.com/channelgraph/channelgraph/internal/enrollment"
	"github.com/channelgraph/channelgraph/internal/event"
	"github.com/channelgraph/channelgraph/internal/export"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/file"
	"github.com/channelgraph/channelgraph/internal/invitation"
	"github.com/channelgraph/channelgraph/internal/mail"
	"github.com/channelgraph/channelgraph/internal/order"
	"github.com/channelgraph/channelgraph/internal/outbox"
	"github.com/channelgraph/channelgraph/internal/page"
	"github.com/channelgraph/channelgraph/internal/partner"
	"github.com/channelgraph/channelgraph/internal/partnership"
	"github.com/channelgraph/channelgraph/internal/region"
	"github.com/channelgraph/channelgraph/internal/register"
	"github.com/channelgraph/channelgraph/internal/subscription"
	"github.com/channelgraph/channelgraph/internal/support"
	"github.com/channelgraph/channelgraph/internal/tree"
	"github.com/channelgraph/channelgraph/internal/webhook"
)

var schema = gen.NewExecutableSchema(gen.Config{}).Schema()

func ours(yield func(*ast.Definition) bool) {
	for name, d := range schema.Types {
		if !d.BuiltIn && !strings.HasPrefix(name, "__") && !yield(d) {
			return
		}
	}
}

func named(t *ast.Type) *ast.Definition { return schema.Types[t.Name()] }

func TestEveryElementIsDescribed(t *testing.T) {
	t.Parallel()
	say := func(what, text string) {
		if strings.TrimSpace(text) == "" {
			t.Errorf("%s has no description", what)
		} else if !strings.ContainsAny(text[len(text)-1:], ".?") {
			t.Errorf("%s: the description is no sentence: %q", what, text)
		}
	}
	for d := range ours {
		say(d.Name, d.Description)
		for _, f := range d.Fields {
			if strings.HasPrefix(f.Name, "__") {
				continue
			}
			say(d.Name+"."+f.Name, f.Description)
			for _, a := range f.Arguments {
				say(d.Name+"."+f.Name+"("+a.Name+")", a.Description)
			}
		}
		for _, v := range d.EnumValues {
			say(d.Name+"."+v.Name, v.Description)
		}
	}
	for _, d := range schema.Directives {
		if d.Position != nil && d.Position.Src != nil && !d.Position.Src.BuiltIn {
			say("@"+d.Name, d.Description)
		}
	}
}

var (
	typeName  = regexp.MustCompile(`^[A-Z][a-zA-Z]+$`)
	fieldName = regexp.MustCompile(`^[a-z][a-zA-Z]+[0-9]*$`)
	valueName = regexp.MustCompile(`^[A-Z][A-Z0-9_]+$`)
	predicate = regexp.MustCompile(`^(is|has|can|may|needs|requires|lacks)[A-Z]`)
	verbNoun  = regexp.MustCompile(`^(request|resend|revoke|rotate|set|authorize|decline|keep|withdraw|complete|refuse|register|declare|invite|disable|enable|update|end|cancel|retry|create|export|lift|add|remove|import|publish|sign|suspend|reinstate|close|start|begin|save|prove|select|submit|answer|appeal|assign|ask|decide|approve|reject|unfreeze|promote|delete|pause|resume|send|replay|accept|attest|renew|review|abandon|reduce|reactivate|rename|associate|designate|open|reopen|replyTo)[A-Z][a-zA-Z]+$`)
)

// Booleans of inputs that are orders, not states.
var orders = []string{"RequestPartnershipsInput.dryRun", "InviteCustomersInput.dryRun", "SetPartnershipLinkPausedInput.paused", "AuthorizeProviderInput.confirmed", "SignAgreementInput.confirmed", "OperationFilter.all", "ImportMembershipRegisterInput.dryRun", "ImportBusinessRegisterInput.dryRun", "ImportCatalogInput.dryRun",
	"AcceptCustomerInvitationInput.confirmed", "AcceptCustomerInvitationInput.acceptsAgreement", "AcceptCustomerInvitationInput.delegatesAdministration"}

// Inputs whose moments are bounds, not events.
var bounds = []string{"AuditEventFilter.since", "AuditEventFilter.until", "MailMessageFilter.since", "MailMessageFilter.until",
	"WebhookDeliveryFilter.since", "WebhookDeliveryFilter.until", "ReplayFailedWebhookDeliveriesInput.since", "GrantFilter.endsBefore"}

func TestNames(t *testing.T) {
	t.Parallel()
	for d := range ours {
		if !typeName.MatchString(d.Name) || d.Name == "Subscription" && d != schema.Subscription {
			t.Errorf("%s is no name for a type", d.Name)
		}
		for _, v := range d.EnumValues {
			if !valueName.MatchString(v.Name) {
				t.Errorf("%s.%s is no name for a value", d.Name, v.Name)
			}
		}
		for _, f := range d.Fields {
			at := d.Name + "." + f.Name
			switch {
			case strings.HasPrefix(f.Name, "__"):
				continue
			case !fieldName.MatchString(f.Name):
				t.Errorf("%s is no name for a field", at)
			}
			typ := f.Type.Name()
			if (typ == "Time") != strings.HasSuffix(f.Name, "At") && !slices.Contains(bounds, at) {
				t.Errorf("%s: moments, and only they, end in At", at)
			}
			if (typ == "Boolean") != predicate.MatchString(f.Name) && !slices.Contains(orders, at) {
				t.Errorf("%s: booleans, and only they, read as predicates", at)
			}
			if f.Name == "id" && typ != "ID" || d != schema.Mutation && strings.HasSuffix(f.Name, "Id") && typ != "ID" && !slices.Contains([]string{"programmeId", "registrationId", "requiresRegistrationId", "requestId", "clientMutationId"}, f.Name) {
				t.Errorf("%s: ids are of type ID", at)
			}
			for _, a := range f.Arguments {
				if !fieldName.MatchString(a.Name) {
					t.Errorf("%s(%s) is no name for an argument", at, a.Name)
				}
			}
		}
	}
}

func TestMutationsHaveOneShape(t *testing.T) {
	t.Parallel()
	for _, f := range schema.Mutation.Fields {
		if strings.HasPrefix(f.Name, "__") {
			continue
		}
		name := strings.ToUpper(f.Name[:1]) + f.Name[1:]
		if !verbNoun.MatchString(f.Name) {
			t.Errorf("%s is no verb and noun", f.Name)
		}
		if len(f.Arguments) != 1 || f.Arguments[0].Name != "input" || f.Arguments[0].Type.String() != name+"Input!" {
			t.Errorf("%s does not take input: %sInput!", f.Name, name)
		}
		if f.Type.String() != name+"Payload!" {
			t.Errorf("%s does not give %sPayload!", f.Name, name)
			continue
		}
		payload := named(f.Type)
		results := 0
		for _, p := range payload.Fields {
			switch {
			case p.Name == "userErrors":
				if p.Type.String() != "["+name+"Error!]!" {
					t.Errorf("%s.userErrors is not of %sError", payload.Name, name)
				}
			case p.Type.NonNull:
				t.Errorf("%s.%s must be null where there are errors", payload.Name, p.Name)
			default:
				results++
			}
		}
		if payload.Fields.ForName("userErrors") == nil || results == 0 {
			t.Errorf("%s lacks userErrors or a result", payload.Name)
		}
		e := schema.Types[name+"Error"]
		if e == nil || !slices.Contains(e.Interfaces, "UserError") || e.Fields.ForName("code").Type.String() != name+"ErrorCode!" || schema.Types[name+"ErrorCode"].Kind != ast.Enum {
			t.Errorf("%sError does not implement UserError with an enum of codes of its own", name)
		}
	}
}

func TestListsAreBounded(t *testing.T) {
	t.Parallel()
	args := []string{"first: Int", "after: String", "last: Int", "before: String"}
	for d := range ours {
		for _, f := range d.Fields {
			if strings.HasPrefix(f.Name, "__") {
				continue
			}
			at, typ := d.Name+"."+f.Name, named(f.Type)
			if strings.HasSuffix(typ.Name, "Connection") {
				for _, want := range args {
					name, t2, _ := strings.Cut(want, ": ")
					if a := f.Arguments.ForName(name); a == nil || a.Type.String() != t2 {
						t.Errorf("%s lacks %s", at, want)
					}
				}
				if f.Arguments.ForName("filter") == nil || !f.Type.NonNull {
					t.Errorf("%s is nullable or lacks a filter", at)
				}
				for name, want := range map[string]string{"edges": "!]!", "nodes": "!]!", "pageInfo": "PageInfo!", "totalCount": "Count!"} {
					if cf := typ.Fields.ForName(name); cf == nil || !strings.HasSuffix(cf.Type.String(), want) {
						t.Errorf("%s.%s is not as every connection has it", typ.Name, name)
					}
				}
			}
			if f.Type.Elem == nil {
				continue
			}
			if !f.Type.Elem.NonNull && at != "Query.nodes" {
				t.Errorf("%s may hold nulls", at)
			}
			inConnection := strings.HasSuffix(d.Name, "Connection")
			leaf := typ.Kind == ast.Enum || typ.Kind == ast.Scalar
			if !inConnection && !leaf && f.Name != "userErrors" && d.Kind == ast.Object && !strings.Contains(f.Description, "at most") && !strings.Contains(f.Description, "in all") && at != "Query.nodes" {
				t.Errorf("%s is a list that does not say how long it may be", at)
			}
			if d.Kind == ast.InputObject && !strings.Contains(f.Description, "at most") && !strings.Contains(f.Description, "1 to 100") {
				t.Errorf("%s is an input list that does not say how long it may be", at)
			}
		}
	}
}

func TestCodesHaveSentencesInEveryLanguage(t *testing.T) {
	t.Parallel()
	codes := []string{codeInternal, codeDeadline, fault.CodeUnauthenticated, fault.CodeForbidden, fault.CodeRateLimited, fault.CodeBadUserInput, fault.CodeBadCursor,
		fault.CodeRoleRequired, fault.CodeSudoRequired, "PAGE_SIZE", "FIRST_AND_LAST"}
	for d := range ours {
		if strings.HasSuffix(d.Name, "ErrorCode") || d.Name == "PartnershipRefusalCode" {
			for _, v := range d.EnumValues {
				codes = append(codes, v.Name)
			}
		}
	}
	slices.Sort(codes)
	for _, c := range slices.Compact(codes) {
		if !fault.HasText(c) {
			t.Errorf("%s has no sentence in every language", c)
		}
	}
}

func plain[T ~string](values []T) (out []string) {
	for _, v := range values {
		out = append(out, string(v))
	}
	return out
}

func TestEnumsSayWhatTheConceptsSay(t *testing.T) {
	t.Parallel()
	values := func(name string) []string {
		var out []string
		for _, v := range schema.Types[name].EnumValues {
			out = append(out, v.Name)
		}
		return out
	}
	same := func(enum string, want ...string) {
		got := values(enum)
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: the schema has %v, the concept %v", enum, got, want)
		}
	}
	var capabilities, kinds, roles, statuses, days []string
	for _, p := range access.Permissions {
		capabilities = append(capabilities, strings.ToUpper(strings.ReplaceAll(string(p), ".", "_")))
	}
	for _, k := range access.Kinds {
		kinds = append(kinds, string(k))
	}
	for _, r := range access.Roles {
		roles = append(roles, string(r))
	}
	for _, s := range invitation.Statuses {
		statuses = append(statuses, string(s))
	}
	same("Capability", capabilities...)
	for _, d := range calendar.Weekdays {
		days = append(days, string(d))
	}
	same("Weekday", days...)
	var purposes []string
	for _, p := range file.Purposes {
		purposes = append(purposes, string(p))
	}
	same("FilePurpose", purposes...)
	same("EnrollmentStatus", plain(enrollment.Statuses)...)
	same("EnrollmentCheckKind", plain(enrollment.CheckKinds)...)
	same("EnrollmentCheckStatus", plain(enrollment.CheckStatuses)...)
	same("EnrollmentCheckReason", plain(enrollment.CheckReasons)...)
	same("EnrollmentRejectReason", plain(enrollment.RejectReasons)...)
	same("EnrollmentDocumentKind", plain(enrollment.DocumentKinds)...)
	same("EnrollmentEntryKind", plain(enrollment.EntryKinds)...)
	same("EnrollmentRequirement", plain(enrollment.RequirementList)...)
	same("ProfileUpdateStatus", plain(directory.Statuses)...)
	same("ProfileUpdateEntryKind", plain(directory.EntryKinds)...)
	same("SupportRequestKind", plain(support.Kinds)...)
	same("SupportSeverity", plain(support.Severities)...)
	same("SupportRequestStatus", plain(support.Statuses)...)
	same("SupportEntryKind", plain(support.EntryKinds)...)
	same("DeskItemKind", plain(desk.Kinds)...)
	same("EventKind", plain(event.Kinds)...)
	same("CatalogImportProblemCode", slices.Clone(catalog.ProblemCodes)...)
	same("OfferTerm", plain(catalog.Terms)...)
	same("BillingCycle", plain(catalog.Cycles)...)
	same("DelegatedRole", plain(customer.Roles)...)
	same("ProductSubscriptionStatus", plain(subscription.Statuses)...)
	same("CustomerExportState", plain(export.States)...)
	same("AuditExportState", plain(export.States)...)
	same("ChannelBranchKind", plain(tree.Kinds)...)
	same("RegisterImportProblemCode", slices.Clone(register.ProblemCodes)...)
	same("PartyKind", kinds...)
	same("Role", roles...)
	same("InvitationStatus", statuses...)
	for _, c := range values("Capability") {
		p, ok := model.Permission(c)
		if !ok {
			t.Errorf("%s is no permission", c)
		}
		if back, err := model.UnmarshalCapability(c); err != nil || back != p {
			t.Errorf("%s does not come back: %v %v", c, back, err)
		}
	}
}

func TestRefusesToStartUnguarded(t *testing.T) {
	t.Parallel()
	const head = `directive @access(permission: String!) on FIELD_DEFINITION
directive @public on FIELD_DEFINITION
interface Node { id: ID! }
type Thing implements Node { id: ID! }
`
	find := nodeTypes["par"].find
	whole := map[string]nodeType{"thg": {"Thing", access.PermViewerRead, find}}
	for name, c := range map[string]struct {
		schema string
		nodes  map[string]nodeType
		want   string
	}{
		"whole":             {`type Query { thing: Thing @public  node: Node @access(permission: "VIEWER_READ") }`, whole, ""},
		"no directive":      {`type Query { thing: Thing }`, whole, "Query.thing: a root field says either"},
		"both directives":   {`type Query { thing: Thing @public @access(permission: "VIEWER_READ") }`, whole, "Query.thing: a root field says either"},
		"mutation":          {`type Query { thing: Thing @public } type Mutation { changeThing: Thing }`, whole, "Mutation.changeThing"},
		"subscription":      {`type Query { thing: Thing @public } type Subscription { thingChanged: Thing }`, whole, "Subscription.thingChanged"},
		"unknown":           {`type Query { thing: Thing @access(permission: "FLY") }`, whole, "no permission is called FLY"},
		"no loader":         {`type Query { thing: Thing @public }`, map[string]nodeType{}, "type Thing implements Node without"},
		"no find":           {`type Query { thing: Thing @public }`, map[string]nodeType{"thg": {"Thing", access.PermViewerRead, nil}}, "type Thing implements Node without"},
		"no policy":         {`type Query { thing: Thing @public }`, map[string]nodeType{"thg": {"Thing", "", find}}, "type Thing implements Node without"},
		"loader of nothing": {`type Query { thing: Thing @public }`, map[string]nodeType{"thg": whole["thg"], "non": {"None", access.PermViewerRead, find}}, "no type None"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := gqlparser.LoadSchema(&ast.Source{Input: head + c.schema})
			if err != nil {
				t.Fatal(err)
			}
			_, err = newGuard(s, c.nodes)
			switch {
			case c.want == "" && err != nil:
				t.Fatal(err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Fatalf("want %q, got %v", c.want, err)
			}
		})
	}
}

// bound are the concepts' types that the API shows, with their types there.
var bound = []struct {
	goes  any
	shown []string
}{
	{access.Actor{}, []string{"Viewer"}},
	{account.Organization{}, []string{"Organization"}},
	{account.User{}, []string{"User"}},
	{account.Session{}, []string{"Session"}},
	{account.Token{}, []string{"PersonalToken"}},
	{account.TokenFilter{}, []string{"PersonalTokenFilter"}},
	{account.CreateTokenInput{}, []string{"CreatePersonalTokenInput"}},
	{account.InviteUserInput{}, []string{"InviteUserInput"}},
	{account.SetUserRolesInput{}, []string{"SetUserRolesInput"}},
	{account.UpdateProfileInput{}, []string{"UpdateProfileInput"}},
	{account.UserFilter{}, []string{"UserFilter"}},
	{account.UserOrder{}, []string{"UserOrder"}},
	{calendar.Calendar{}, []string{"Calendar"}},
	{calendar.Holiday{}, []string{"Holiday"}},
	{calendar.Move{}, []string{"CalendarMove"}},
	{calendar.SetInput{}, []string{"SetCalendarInput"}},
	{calendar.AddHolidayInput{}, []string{"AddHolidayInput"}},
	{calendar.RemoveHolidayInput{}, []string{"RemoveHolidayInput"}},
	{calendar.HolidayFilter{}, []string{"HolidayFilter"}},
	{partner.Partner{}, []string{"Partner", "PartnerProfile"}},
	{partner.Card{}, []string{"PartnerCard"}},
	{partner.RegisterInput{}, []string{"RegisterPartnerInput"}},
	{partner.Admin{}, []string{"RegisterPartnerAdminInput"}},
	{partner.DeclareAffiliatesInput{}, []string{"DeclareAffiliatesInput"}},
	{partner.Filter{}, []string{"PartnerFilter"}},
	{partner.Order{}, []string{"PartnerOrder"}},
	{invitation.Invitation{}, []string{"Invitation"}},
	{invitation.ResendInput{}, []string{"ResendInvitationInput"}},
	{invitation.RevokeInput{}, []string{"RevokeInvitationInput"}},
	{invitation.Filter{}, []string{"InvitationFilter"}},
	{invitation.Order{}, []string{"InvitationOrder"}},
	{partnership.Partnership{}, []string{"Partnership"}},
	{partnership.Link{}, []string{"PartnershipLink"}},
	{partnership.Termination{}, []string{"Termination"}},
	{partnership.Preview{}, []string{"PartnershipProposal"}},
	{partnership.Refusal{}, []string{"PartnershipRefusal"}},
	{partnership.Draft{}, []string{"PartnershipRequestDraft"}},
	{invitation.Line{}, []string{"PartnershipRequestLine", "CustomerInvitationLine"}},
	{partnership.RequestInput{}, []string{"RequestPartnershipInput"}},
	{partnership.RequestManyInput{}, []string{"RequestPartnershipsInput"}},
	{partnership.RotateLinkInput{}, []string{"RotatePartnershipLinkInput"}},
	{partnership.SetLinkPausedInput{}, []string{"SetPartnershipLinkPausedInput"}},
	{partnership.AcceptInput{}, []string{"AuthorizeProviderInput"}},
	{partnership.DeclineInput{}, []string{"DeclineInvitationInput"}},
	{partnership.WithdrawAdminAccessInput{}, []string{"WithdrawAdminAccessInput"}},
	{partnership.RequestTerminationInput{}, []string{"RequestTerminationInput"}},
	{partnership.WithdrawTerminationInput{}, []string{"WithdrawTerminationInput"}},
	{partnership.DecideTerminationInput{}, []string{"CompleteTerminationInput", "RefuseTerminationInput"}},
	{partnership.Filter{}, []string{"PartnershipFilter"}},
	{partnership.Order{}, []string{"PartnershipOrder"}},
	{partnership.TerminationFilter{}, []string{"TerminationFilter"}},
	{outbox.Job{}, []string{"Operation"}},
	{outbox.Filter{}, []string{"OperationFilter"}},
	{audit.Event{}, []string{"AuditEvent"}},
	{audit.Filter{}, []string{"AuditEventFilter"}},
	{mail.Message{}, []string{"MailMessage", "InvitationMail"}},
	{mail.Filter{}, []string{"MailMessageFilter"}},
	{invitation.LiftSuppressionInput{}, []string{"LiftMailSuppressionInput"}},
	{audit.Export{}, []string{"AuditExport"}},
	{file.File{}, []string{"File"}},
	{register.Membership{}, []string{"Membership"}},
	{register.Company{}, []string{"RegisteredCompany"}},
	{register.Import{}, []string{"RegisterImport"}},
	{register.Problem{}, []string{"RegisterImportProblem"}},
	{register.ImportInput{}, []string{"ImportMembershipRegisterInput", "ImportBusinessRegisterInput"}},
	{register.Filter{}, []string{"MembershipFilter"}},
	{register.Order{}, []string{"MembershipOrder"}},
	{register.ImportFilter{}, []string{"RegisterImportFilter"}},
	{register.ProblemFilter{}, []string{"RegisterImportProblemFilter"}},
	{mail.Event{}, []string{"MailEvent"}},
	{webhook.Endpoint{}, []string{"WebhookEndpoint"}},
	{webhook.Delivery{}, []string{"WebhookDelivery"}},
	{webhook.Attempt{}, []string{"WebhookAttempt"}},
	{webhook.Filter{}, []string{"WebhookEndpointFilter"}},
	{webhook.DeliveryFilter{}, []string{"WebhookDeliveryFilter"}},
	{webhook.CreateInput{}, []string{"CreateWebhookEndpointInput"}},
	{webhook.UpdateInput{}, []string{"UpdateWebhookEndpointInput"}},
	{webhook.RotateInput{}, []string{"RotateWebhookSecretInput"}},
	{webhook.ReplayFailedInput{}, []string{"ReplayFailedWebhookDeliveriesInput"}},
	{enrollment.Enrollment{}, []string{"Enrollment"}},
	{enrollment.Check{}, []string{"EnrollmentCheck"}},
	{enrollment.Question{}, []string{"EnrollmentQuestion"}},
	{enrollment.Entry{}, []string{"EnrollmentEntry"}},
	{enrollment.MembershipChoice{}, []string{"MembershipChoice"}},
	{enrollment.Requirements{}, []string{"EnrollmentRequirements"}},
	{enrollment.RequirementItem{}, []string{"EnrollmentRequirementItem"}},
	{enrollment.Filter{}, []string{"EnrollmentFilter"}},
	{enrollment.Order{}, []string{"EnrollmentOrder"}},
	{enrollment.StartInput{}, []string{"StartEnrollmentInput"}},
	{enrollment.BeginInput{}, []string{"BeginEnrollmentInput"}},
	{enrollment.SaveInput{}, []string{"SaveEnrollmentInput"}},
	{enrollment.ProveMembershipInput{}, []string{"ProveMembershipInput"}},
	{enrollment.SelectProgrammeIDInput{}, []string{"SelectProgrammeIdInput"}},
	{enrollment.SubmitInput{}, []string{"SubmitEnrollmentInput"}},
	{enrollment.ResendInput{}, []string{"ResendVerificationInput"}},
	{enrollment.WithdrawInput{}, []string{"WithdrawEnrollmentInput"}},
	{enrollment.AnswerInput{}, []string{"AnswerEnrollmentQuestionInput"}},
	{enrollment.AppealInput{}, []string{"AppealEnrollmentInput"}},
	{enrollment.ChangeInput{}, []string{"RequestProfileChangeInput"}},
	{enrollment.Corrections{}, []string{"SaveEnrollmentInput"}},
	{enrollment.LegalInput{}, []string{"LegalProfileInput"}},
	{enrollment.AddressInput{}, []string{"PostalAddressInput"}},
	{enrollment.ContactInput{}, []string{"PrimaryContactInput"}},
	{enrollment.SupportInput{}, []string{"SupportProfileInput"}},
	{enrollment.AssignInput{}, []string{"AssignEnrollmentInput"}},
	{enrollment.AskInput{}, []string{"AskEnrollmentQuestionInput"}},
	{enrollment.DecideCheckInput{}, []string{"DecideEnrollmentCheckInput"}},
	{enrollment.ApproveInput{}, []string{"ApproveEnrollmentInput"}},
	{enrollment.RejectInput{}, []string{"RejectEnrollmentInput"}},
	{enrollment.UnfreezeInput{}, []string{"UnfreezeEnrollmentInput"}},
	{enrollment.PromoteInput{}, []string{"PromoteEnrollmentInput"}},
	{enrollment.AddNoteInput{}, []string{"AddEnrollmentNoteInput"}},
	{partner.Profile{}, []string{"LegalProfile", "PartnerProfile"}},
	{partner.Address{}, []string{"PostalAddress"}},
	{partner.Contact{}, []string{"PrimaryContact"}},
	{partner.Support{}, []string{"SupportProfile", "SupportDetailsInput"}},
	{partner.UpdateSupportInput{}, []string{"UpdateSupportProfileInput"}},
	{partner.SuspendInput{}, []string{"SuspendPartnerInput"}},
	{partner.ReinstateInput{}, []string{"ReinstatePartnerInput"}},
	{partner.CloseInput{}, []string{"ClosePartnerInput"}},
	{partner.ProgrammeStatus{}, []string{"PartnerProgrammeStatus"}},
	{directory.Location{}, []string{"DirectoryLocation"}},
	{directory.Listing{}, []string{"DirectoryListing"}},
	{directory.Revision{}, []string{"DirectoryRevision"}},
	{directory.Request{}, []string{"ProfileUpdate"}},
	{directory.Change{}, []string{"ProfileUpdateChange"}},
	{directory.Card{}, []string{"DirectoryCard"}},
	{directory.Question{}, []string{"ProfileUpdateQuestion"}},
	{directory.Entry{}, []string{"ProfileUpdateEntry"}},
	{directory.Month{}, []string{"ProfileUpdateMonth"}},
	{directory.DirectoryFilter{}, []string{"DirectoryFilter"}},
	{directory.Filter{}, []string{"ProfileUpdateFilter"}},
	{directory.Order{}, []string{"ProfileUpdateOrder"}},
	{directory.ReportFilter{}, []string{"ProfileUpdateReportFilter"}},
	{directory.SetListingInput{}, []string{"SetDirectoryListingInput"}},
	{directory.LocationInput{}, []string{"ProfileUpdateLocationInput"}},
	{directory.SubmitInput{}, []string{"SubmitProfileUpdateInput"}},
	{directory.WithdrawInput{}, []string{"WithdrawProfileUpdateInput"}},
	{directory.AnswerInput{}, []string{"AnswerProfileUpdateQuestionInput"}},
	{directory.AssignInput{}, []string{"AssignProfileUpdateInput"}},
	{directory.AskInput{}, []string{"AskProfileUpdateQuestionInput"}},
	{directory.ApproveInput{}, []string{"ApproveProfileUpdateInput"}},
	{directory.RejectInput{}, []string{"RejectProfileUpdateInput"}},
	{agreement.Agreement{}, []string{"Agreement"}},
	{agreement.Text{}, []string{"AgreementText"}},
	{agreement.Signature{}, []string{"AgreementSignature"}},
	{agreement.Status{}, []string{"AgreementStatus"}},
	{agreement.Filter{}, []string{"AgreementFilter"}},
	{agreement.SignatureFilter{}, []string{"AgreementSignatureFilter"}},
	{agreement.PublishInput{}, []string{"PublishAgreementInput"}},
	{agreement.SignInput{}, []string{"SignAgreementInput"}},
	{support.Request{}, []string{"SupportRequest"}},
	{support.Entry{}, []string{"SupportEntry"}},
	{support.OpenInput{}, []string{"OpenSupportRequestInput"}},
	{support.ReplyInput{}, []string{"ReplyToSupportRequestInput"}},
	{support.NoteInput{}, []string{"AddSupportNoteInput"}},
	{support.AssignInput{}, []string{"AssignSupportRequestInput"}},
	{support.CloseInput{}, []string{"CloseSupportRequestInput"}},
	{support.ReopenInput{}, []string{"ReopenSupportRequestInput"}},
	{support.Filter{}, []string{"SupportRequestFilter"}},
	{support.Order{}, []string{"SupportRequestOrder"}},
	{desk.Item{}, []string{"DeskItem"}},
	{desk.Filter{}, []string{"DeskFilter"}},
	{desk.Order{}, []string{"DeskOrder"}},
	{desk.Counts{}, []string{"DeskCounts"}},
	{desk.Tally{}, []string{"DeskTally", "DeskKindTally"}},
	{partnership.AssignTerminationInput{}, []string{"AssignTerminationInput"}},
	{partnership.Blocker{}, []string{"TerminationBlocker"}},
	{customer.Customer{}, []string{"Customer"}},
	{customer.Relationship{}, []string{"CustomerRelationship"}},
	{customer.Agreement{}, []string{"CustomerAgreement"}},
	{customer.Grant{}, []string{"Grant"}},
	{customer.Invitation{}, []string{"CustomerInvitationOffer"}},
	{customer.Preview{}, []string{"CustomerInvitationProposal"}},
	{customer.Answer{}, []string{"ScenarioAnswer"}},
	{customer.RenewLine{}, []string{"GrantRenewalLine"}},
	{customer.Details{}, []string{"OrderCustomerDetails", "OrderCustomerDetailsInput"}},
	{customer.Attestation{}, []string{"OrderAgreement", "CustomerAgreementInput"}},
	{customer.Delegation{}, []string{"CustomerDelegationInput"}},
	{customer.Filter{}, []string{"CustomerFilter"}},
	{customer.GrantFilter{}, []string{"GrantFilter"}},
	{customer.Order{}, []string{"CustomerOrder"}},
	{customer.ScenarioInput{}, []string{"ScenarioInput"}},
	{customer.BuyerInput{}, []string{"ScenarioBuyerInput"}},
	{customer.InviteInput{}, []string{"InviteCustomerInput"}},
	{customer.InviteManyInput{}, []string{"InviteCustomersInput"}},
	{customer.AcceptInput{}, []string{"AcceptCustomerInvitationInput"}},
	{customer.DeclineInput{}, []string{"DeclineCustomerInvitationInput"}},
	{customer.EditInput{}, []string{"UpdateCustomerInput"}},
	{customer.AttestInput{}, []string{"AttestCustomerAgreementInput"}},
	{customer.RemoveInput{}, []string{"RemoveCustomerInput"}},
	{customer.StatusInput{}, []string{"SuspendCustomerInput", "ReinstateCustomerInput"}},
	{customer.WithdrawInput{}, []string{"WithdrawGrantInput"}},
	{customer.RenewInput{}, []string{"RenewGrantsInput"}},
	{customer.ExportInput{}, []string{"ExportCustomersInput"}},
	{catalog.Offer{}, []string{"Offer"}},
	{catalog.Price{}, []string{"OfferPrice"}},
	{catalog.Revision{}, []string{"OfferRevision"}},
	{catalog.Import{}, []string{"CatalogImport"}},
	{catalog.Problem{}, []string{"CatalogImportProblem"}},
	{catalog.ImportInput{}, []string{"ImportCatalogInput"}},
	{catalog.Filter{}, []string{"OfferFilter"}},
	{catalog.RevisionFilter{}, []string{"OfferRevisionFilter"}},
	{catalog.ImportFilter{}, []string{"CatalogImportFilter"}},
	{catalog.ProblemFilter{}, []string{"CatalogImportProblemFilter"}},
	{catalog.Order{}, []string{"OfferOrder"}},
	{subscription.Subscription{}, []string{"ProductSubscription"}},
	{subscription.Event{}, []string{"ProductSubscriptionEvent"}},
	{subscription.Filter{}, []string{"ProductSubscriptionFilter"}},
	{subscription.EventFilter{}, []string{"ProductSubscriptionEventFilter"}},
	{subscription.Order{}, []string{"ProductSubscriptionOrder"}},
	{subscription.QuantityInput{}, []string{"AddLicencesInput", "ReduceLicencesInput"}},
	{subscription.TargetInput{}, []string{"CancelProductSubscriptionInput", "SuspendProductSubscriptionInput", "ReactivateProductSubscriptionInput"}},
	{subscription.AutoRenewInput{}, []string{"SetProductSubscriptionRenewalInput"}},
	{subscription.RenameInput{}, []string{"RenameProductSubscriptionInput"}},
	{subscription.AssociateInput{}, []string{"AssociateResellerInput"}},
	{subscription.DesignateInput{}, []string{"DesignateSupportContactInput"}},
	{order.Order{}, []string{"Order"}},
	{order.Line{}, []string{"OrderLine"}},
	{order.Newcomer{}, []string{"OrderNewcomer"}},
	{order.Admin{}, []string{"OrderAdmin", "OrderAdminInput"}},
	{order.Total{}, []string{"OrderTotal"}},
	{order.Filter{}, []string{"OrderFilter"}},
	{order.LineInput{}, []string{"OrderLineInput"}},
	{order.NewcomerInput{}, []string{"OrderNewcomerInput"}},
	{order.StartInput{}, []string{"StartOrderInput"}},
	{order.SaveInput{}, []string{"SaveOrderInput"}},
	{order.ReviewInput{}, []string{"ReviewOrderInput"}},
	{order.SubmitInput{}, []string{"SubmitOrderInput"}},
	{order.CancelInput{}, []string{"CancelOrderInput"}},
	{order.RetryLineInput{}, []string{"RetryOrderLineInput"}},
	{order.AbandonLineInput{}, []string{"AbandonOrderLineInput"}},
	{tree.Branch{}, []string{"ChannelBranch"}},
	{tree.Filter{}, []string{"ChannelCustomerFilter"}},
	{model.ChannelCounts{}, []string{"ChannelCounts"}},
	{page.Info{}, []string{"PageInfo"}},
	{page.Count{}, []string{"Count"}},
	{region.Region{}, []string{"Region"}},
	{region.Country{}, []string{"Country"}},
}

var (
	yamlType  = regexp.MustCompile(`^  (\w+):`)
	yamlField = regexp.MustCompile(`^      (\w+): \{fieldName: (\w+)\}`)
)

// renamed reads which Go field a field of the schema stands for, where the
// names differ, as "Type.GoField".
func renamed(t *testing.T) map[string]bool {
	t.Helper()
	raw, err := os.ReadFile("../gqlgen.yml")
	if err != nil {
		t.Fatal(err)
	}
	out, typ := map[string]bool{}, ""
	for line := range strings.Lines(string(raw)) {
		if m := yamlType.FindStringSubmatch(line); m != nil {
			typ = m[1]
		}
		if m := yamlField.FindStringSubmatch(line); m != nil {
			out[typ+"."+m[2]] = true
		}
	}
	return out
}

// An exported field of a concept never becomes a field of the API by accident,
// and none is left out by accident: the golden file names those left out.
func TestFieldsLeftOut(t *testing.T) {
	t.Parallel()
	other := renamed(t)
	var b strings.Builder
	for _, x := range bound {
		typ := reflect.TypeOf(x.goes)
		for i := range typ.NumField() {
			f := typ.Field(i)
			if !f.IsExported() || f.Anonymous {
				continue
			}
			shown := false
			for _, name := range x.shown {
				d := schema.Types[name]
				if d == nil {
					t.Fatalf("no type %s", name)
				}
				shown = shown || other[name+"."+f.Name] || slices.ContainsFunc(d.Fields, func(s *ast.FieldDefinition) bool {
					return strings.EqualFold(s.Name, f.Name) || strings.EqualFold(s.Name+"ID", f.Name)
				})
			}
			if !shown {
				fmt.Fprintf(&b, "%s.%s\n", typ, f.Name)
			}
		}
	}
	golden(t, "testdata/left_out.golden", b.String())
}

// golden compares with a file; UPDATE_GOLDEN=1 writes it.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != got {
		t.Errorf("%s differs; got:\n%s", path, got)
	}
}
