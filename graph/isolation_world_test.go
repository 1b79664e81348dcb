package graph

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/enrollment"
	"github.com/channelgraph/channelgraph/internal/file"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/sla"
)

// The isolation tests live in a world of several tenants of every kind, whose
// rows are written straight into the tables: every text column holds a canary,
// a text that names its tenant, table and column. What a table's columns hold
// is written once, in tables below; a text column of the database that is not
// there fails TestEveryTextColumnIsListed. Everything else, what is asked and
// how, is generated from the GraphQL schema.

// tenant is an organization with its rows.
type tenant struct {
	n     int
	label string
	kind  access.Kind
	// applying is a company on its way in, which is no partner yet.
	applying bool
	// ids of its rows, by table, in the order in which they were written.
	ids map[string][]ident.ID
	// users are by their first role.
	users map[access.Role]ident.ID
	// partners are those it has a partnership with; inviters asked it for one.
	partners, inviters []*tenant
	// sellers are the partners that a customer has, former one that it had.
	sellers []*tenant
	former  *tenant
	// said is what its people wrote.
	said strings.Builder
}

// mark is what every canary of the tenant begins with.
func (t *tenant) mark() string { return canaryMark(t.n) }

func canaryMark(n int) string { return fmt.Sprintf("zqk%03d", n) }

// absentMark is of no tenant.
var absentMark = canaryMark(999)

// canaryText finds canaries: tenant, table and column.
var canaryText = regexp.MustCompile(`zqk(\d{3})(?:0([a-z]+)0([a-z]+))?`)

// idText finds ids.
var idText = regexp.MustCompile(`\b[a-z]{3}_[0-9a-hjkmnp-tv-z]{26}\b`)

// admin is the tenant's first user, who may most.
func (t *tenant) admin() ident.ID { return t.ids["user_account"][0] }

// knows says how a tenant stands to another one.
func (t *tenant) knows(other *tenant) standing {
	switch {
	case t == nil:
		return strangers
	case t == other:
		return same
	case t.kind == access.Operator:
		return overseer
	case slices.Contains(t.partners, other):
		return partnered
	case slices.Contains(other.sellers, t):
		return related
	case slices.Contains(t.sellers, other):
		return served
	case t.former == other && other != nil:
		return parted
	case slices.Contains(t.inviters, other), slices.Contains(other.inviters, t):
		return invited
	case other.kind == access.Operator:
		return house
	}
	return strangers
}

type standing string

const (
	same      standing = "same"
	overseer  standing = "operator"
	partnered standing = "partnered"
	invited   standing = "invited"
	related   standing = "related" // a partner to its customer
	served    standing = "served"  // a customer to its partner
	parted    standing = "parted"  // a customer to a partner that it had
	house     standing = "house"   // the operator, as those see it who are signed in
	strangers standing = "strangers"
)

// mayRead is what a viewer may see of another tenant, as table.column or all
// of a table; what a standing does not list it may not see. The operator sees
// everything but what is a person's own.
var mayRead = map[standing][]string{
	partnered: {
		"partner.id", "partner.legal_name", "partner.tenant_domain", "partner.website", "partner.programme_id", // the public card
		"partnership", "termination", "invitation", // theirs together
		"audit_event.id", "audit_event.reason", "audit_event.changed", // what was done to it, not by whom
		"user_account.email", "a.domain", // as the recipient of the invitation that it sent itself
		"relationship", "product_subscription", "subscription_event", "customer_order.id", "order_line", // of the customers that they share
	},
	related: {
		"customer", "a.domain", "user_account.email",
	},
	served: {
		"partner.legal_name", "invitation", "relationship", "customer_agreement", "customer_grant", "product_subscription", "subscription_event",
		"a.domain", // in the address of who agreed
	},
	parted: {"partner.legal_name", "relationship"},
	invited: {
		"invitation", "user_account.email", "a.domain",
	},
	house: {
		"agreement.id", "agreement.number", "agreement.content_hash", "agreement_text", // what everybody is to sign
		"holiday",                 // what everybody's promises are counted on
		"offer", "offer_revision", // what is sold
	},
	overseer: {
		"organization", "user_account", "partner", "partnership", "partnership_link", "invitation", "termination", "mail_message", "mail_event", "audit_event", "job",
		"file", "file_chunk", "membership", "registered_company", "enrollment", "enrollment_check", "enrollment_question", "enrollment_event", "agreement_signature",
		"customer", "relationship", "customer_agreement", "customer_grant", "product_subscription", "subscription_event", "customer_order", "order_line",
		"a.domain", "session.id", "personal_token.id", "export_file.id", // as bare ids, in the audit
	},
}

// mayFind reports whether one may learn of a row of the other by its id.
func mayFind(rel standing, table string) bool {
	return slices.ContainsFunc(mayRead[rel], func(m string) bool { return m == table || m == table+".id" })
}

// secrets are never seen by anybody, their own tenant included.
var secretColumns = map[string]bool{}

// row is one row being written.
type row struct {
	chart *chart
	owner *tenant
	// other is the second party of what two share.
	other  *tenant
	user   ident.ID
	role   access.Role
	id     ident.ID
	i      int // of the owner's rows of this table
	status string
	table  string
	// of is the row that this one is a part of, number its place there.
	of     ident.ID
	number int
	// prefix is that of its id where it is another than the table's.
	prefix string
	// internal is a part that is the operator's own.
	internal bool
	values   map[string]any
}

type filling func(r *row, column string) any

func plainly(s string) string { return strings.ReplaceAll(s, "_", "") }

func (r *row) canary(column string) string {
	s := r.owner.mark() + "0" + plainly(r.table) + "0" + plainly(column)
	if r.i > 0 {
		s += "0" + strconv.Itoa(r.i)
	}
	return s
}

// The values of columns.
var (
	canary filling = func(r *row, c string) any { return r.canary(c) }
	// folded is what stands beside a text to search it by.
	folded filling = func(r *row, c string) any { return r.canary(strings.TrimSuffix(c, "_folded")) }
	mailTo filling = func(r *row, c string) any {
		return r.canary(strings.TrimSuffix(c, "_folded")) + "@" + r.owner.mark() + ".example"
	}
	domain filling = func(r *row, _ string) any { return r.owner.mark() + ".example" }
	hidden         = canary // and listed among secretColumns
	theID  filling = func(r *row, _ string) any { return r.id }
	moment filling = func(r *row, _ string) any { return r.chart.now }
	later  filling = func(r *row, _ string) any { return r.chart.now.AddDate(1, 0, 0) }
	empty  filling = func(*row, string) any { return "" }
	whose  filling = func(r *row, _ string) any { return r.user }
	status filling = func(r *row, _ string) any { return r.status }
	kindOf filling = func(r *row, _ string) any { return r.owner.kind }
	quoted filling = func(r *row, c string) any { return `["` + r.canary(c) + `"]` }
	partOf filling = func(r *row, _ string) any { return r.of }
	ranked filling = func(r *row, _ string) any { return r.number }
	// operators is a canary of the operator, in a row of somebody else: what its
	// people write for themselves.
	operators filling = func(r *row, c string) any {
		return r.chart.operator().mark() + "0" + plainly(r.table) + "0" + plainly(c)
	}
	// eithers is a canary of the operator where the row is its own.
	eithers filling = func(r *row, c string) any {
		if r.internal {
			return operators(r, c)
		}
		return canary(r, c)
	}
	// reviewer is who decides for the operator.
	reviewer filling = func(r *row, _ string) any { return r.chart.operator().admin() }
	// The parts of a profile.
	postal  filling = func(r *row, c string) any { return documented(r, c, "line1", "city", "postalCode", "state") }
	contact filling = func(r *row, c string) any { return documented(r, c, "firstName", "lastName", "email", "phone") }
	support filling = func(r *row, c string) any { return documented(r, c, "email", "phone", "website") }
	profile filling = func(r *row, c string) any {
		return `{"legalName":"` + r.canary("legal_name") + `","registrationId":"` + r.canary("registration_id") + `","website":"` + r.canary(c) + `","address":` +
			postal(r, c).(string) + `,"contact":` + contact(r, c).(string) + `,"support":` + support(r, c).(string) + "}"
	}
)

// documented is a JSON object of canaries.
func documented(r *row, column string, fields ...string) string {
	out := map[string]string{}
	for _, f := range fields {
		if out[f] = r.canary(column); f == "email" {
			out[f] += "@" + r.owner.mark() + ".example"
		}
	}
	raw, err := json.Marshal(out)
	if err != nil {
		panic(err)
	}
	return string(raw)
}

// operator is the tenant whose house it is.
func (c *chart) operator() *tenant {
	return c.tenants[slices.IndexFunc(c.tenants, func(t *tenant) bool { return t.kind == access.Operator })]
}

func fixed(v any) filling { return func(*row, string) any { return v } }

// own is the owner's first row of a table.
func own(table string) filling {
	return func(r *row, _ string) any { return first(r.owner.ids[table]) }
}

// theirs is the other party's first row of a table.
func theirs(table string) filling {
	return func(r *row, _ string) any {
		if r.other == nil {
			return ""
		}
		return first(r.other.ids[table])
	}
}

// nth is the row that belongs to this one by its place.
func nth(table string) filling {
	return func(r *row, _ string) any { return r.owner.ids[table][r.i] }
}

func first(ids []ident.ID) ident.ID {
	if len(ids) == 0 {
		return ""
	}
	return ids[0]
}

// table says whose rows a table of the database gets and what stands in their
// text columns. Other columns need saying only where 1, false or the present
// moment would be wrong.
type table struct {
	name   string
	prefix string // of its ids, "" where it has none
	rows   func(c *chart) []*row
	values map[string]filling
	secret []string
}

func ofKind(kinds ...access.Kind) func(*chart) []*row {
	return func(c *chart) (out []*row) {
		for _, t := range c.fresh {
			if len(kinds) == 0 || slices.Contains(kinds, t.kind) {
				out = append(out, &row{owner: t, user: first(t.ids["user_account"])})
			}
		}
		return out
	}
}

// twice gives every tenant a row of its admin and one of a colleague.
func twice(c *chart) (out []*row) {
	for _, t := range c.fresh {
		out = append(out, &row{owner: t, user: t.admin()}, &row{owner: t, user: t.ids["user_account"][1]})
	}
	return out
}

// work are a job of the admin and one of a colleague, and where the tenant
// enrolls one about that.
func work(c *chart) (out []*row) {
	for _, r := range twice(c) {
		r.of = r.owner.ids["organization"][0]
		out = append(out, r)
		if about := r.owner.ids["enrollment"]; len(about) > 0 && r.user != r.owner.admin() {
			out = append(out, &row{owner: r.owner, user: r.owner.admin(), of: about[0]})
		}
	}
	return out
}

// people are one user a role, and one who has been disabled.
func people(c *chart) (out []*row) {
	for _, t := range c.fresh {
		roles := access.RolesOf(t.kind)
		if !c.everyRole(t) {
			roles = []access.Role{roles[0], access.DefaultUser}
		}
		for _, r := range roles {
			out = append(out, &row{owner: t, role: r, status: "ACTIVE"})
		}
		out = append(out, &row{owner: t, role: roles[0], status: "DISABLED"})
	}
	return out
}

func holders(c *chart) (out []*row) {
	for _, t := range c.fresh {
		roles := access.RolesOf(t.kind)
		if !c.everyRole(t) {
			roles = []access.Role{roles[0], access.DefaultUser}
		}
		for i, id := range t.ids["user_account"] {
			r := roles[0]
			if i < len(roles) {
				r = roles[i]
			}
			out = append(out, &row{owner: t, user: id, role: r})
		}
	}
	return out
}

func pairs(c *chart) (out []*row) {
	for _, p := range c.fresh {
		for _, o := range p.partners {
			if p.kind == access.IndirectProvider {
				out = append(out, &row{owner: p, other: o, user: p.admin()})
			}
		}
	}
	return out
}

// invitations are one of each partnership, one that waits for whom it was sent
// to, and one to nobody here.
func invitations(c *chart) (out []*row) {
	for _, r := range pairs(c) {
		r.status = "ACCEPTED"
		out = append(out, r)
	}
	for _, t := range c.fresh {
		for _, p := range t.inviters {
			out = append(out, &row{owner: p, other: t, user: p.admin(), status: "SENT"})
		}
		if t.kind == access.IndirectProvider {
			out = append(out, &row{owner: t, user: t.admin(), status: "SENT"})
		}
	}
	for _, r := range sales(c) { // of customers, one answered and one open
		r.status = "ACCEPTED"
		out = append(out, r, &row{owner: r.owner, other: r.other, user: r.user, status: "SENT"})
	}
	return out
}

// sales are one row of every partner and customer that belong together.
func sales(c *chart) (out []*row) {
	for _, t := range c.fresh {
		for _, s := range t.sellers {
			out = append(out, &row{owner: s, other: t, user: s.admin()})
		}
	}
	return out
}

// sold are the sales of those who sell, not of resellers.
func sold(c *chart) []*row {
	return slices.DeleteFunc(sales(c), func(r *row) bool { return r.owner.kind == access.IndirectReseller })
}

// with is whom a partner has a customer with: a provider's reseller, a
// reseller's provider.
func (t *tenant) with(customer *tenant) *tenant {
	for _, p := range t.partners {
		if slices.Contains(customer.sellers, p) {
			return p
		}
	}
	return nil
}

func sharer(r *row, _ string) any {
	if w := r.owner.with(r.other); w != nil {
		return first(w.ids["partner"])
	}
	return ""
}

// relations are the sales, and what customers had before.
func relations(c *chart) []*row {
	out := sales(c)
	for _, r := range out {
		r.status = "ACTIVE"
	}
	for _, t := range c.fresh {
		if t.former != nil {
			out = append(out, &row{owner: t.former, other: t, user: t.former.admin(), status: "REMOVED"})
		}
	}
	return out
}

func kindOfInvitation(r *row, _ string) any {
	if r.other != nil && r.other.kind == access.Customer {
		return "CUSTOMER"
	}
	return "PARTNERSHIP"
}

func kindOfRelation(r *row, _ string) any {
	return map[access.Kind]string{access.IndirectProvider: "PROVIDER", access.IndirectReseller: "RESELLER", access.DirectBill: "DIRECT_BILL"}[r.owner.kind]
}

// ordered are, of those who sell, a draft and an order that was done.
func ordered(c *chart) (out []*row) {
	for _, r := range sold(c) {
		r.status = "COMPLETED"
		out = append(out, r, &row{owner: r.owner, user: r.user, status: "DRAFT"})
	}
	return out
}

// newcomer is what a draft holds of the customer to add.
func newcomer(r *row, c string) any {
	if r.status != "DRAFT" {
		return `{"welcome":"PASSWORD_LINK"}`
	}
	return `{"details":{"CompanyName":"` + r.canary(c) + `"},"admin":{"email":"` + r.canary(c) + `","firstName":"` + r.canary(c) + `"},"welcome":"PASSWORD_LINK"}`
}

// ofOperator is the operator's first row of a table.
func ofOperator(table string) filling {
	return func(r *row, _ string) any { return first(r.chart.operator().ids[table]) }
}

// sellerOf and resellerOf are those for whom an invitation of a customer asks.
func sellerOf(r *row, _ string) any {
	if r.owner.kind == access.IndirectReseller {
		if w := r.owner.with(r.other); w != nil {
			return first(w.ids["partner"])
		}
	}
	return first(r.owner.ids["partner"])
}

func resellerOf(r *row, _ string) any {
	if r.owner.kind == access.IndirectReseller {
		return first(r.owner.ids["partner"])
	}
	return ""
}

// ofCustomers are the invitations of customers.
func ofCustomers(c *chart) (out []*row) {
	for _, t := range c.tenants {
		for _, id := range t.ids["invitation"] {
			if r := c.rows[id]; r.other != nil && r.other.kind == access.Customer && slices.Contains(c.fresh, r.other) {
				out = append(out, &row{owner: t, other: r.other, user: t.admin(), of: id})
			}
		}
	}
	return out
}

// exports are a file of audit events of two people, and one of customers.
func exports(c *chart) []*row {
	out := twice(c)
	for _, r := range ofKind(partnerKinds...)(c) {
		r.prefix, r.status = ident.CustomerExport, "CUSTOMERS"
		out = append(out, r)
	}
	return out
}

var partnerKinds = []access.Kind{access.IndirectProvider, access.IndirectReseller, access.DirectBill}

// members are those who are partners already.
func members(c *chart) []*row {
	return slices.DeleteFunc(ofKind(partnerKinds...)(c), func(r *row) bool { return r.owner.applying })
}

// enrolling are, of everybody who enrolls or has, the present course and a
// former one: between them they stand in all states.
func enrolling(c *chart) (out []*row) {
	present := []enrollment.Status{enrollment.Rejected, enrollment.Draft, enrollment.InReview, enrollment.EmailPending, enrollment.ActionRequired, enrollment.Approved}
	former := []enrollment.Status{enrollment.Active, enrollment.Expired, enrollment.Withdrawn}
	for _, r := range ofKind(partnerKinds...)(c) {
		now, before := present[r.owner.n%len(present)], former[r.owner.n%len(former)]
		if now == enrollment.Rejected && r.owner.n%(2*len(present)) != 0 { // no more than one is open
			before = enrollment.Frozen
		}
		r.status = string(now)
		out = append(out, r, &row{owner: r.owner, user: r.user, status: string(before)})
	}
	return out
}

// partsOf are so many rows of each row of a table that was written just now;
// those from inside on are the operator's own.
func partsOf(table string, n, inside int) func(*chart) []*row {
	return func(c *chart) (out []*row) {
		for _, t := range c.fresh {
			for _, id := range t.ids[table] {
				for i := range n {
					out = append(out, &row{owner: t, user: t.admin(), of: id, number: i + 1, internal: i >= inside})
				}
			}
		}
		return out
	}
}

// uploads are a file handed in with an enrollment, one with an answer, one that
// waits to be handed in, and one for support; the operator's are lists for its
// registers.
func uploads(c *chart) (out []*row) {
	for _, r := range ofKind()(c) {
		add := func(p file.Purpose, with ident.ID) {
			out = append(out, &row{owner: r.owner, user: r.user, status: string(p), of: with})
		}
		switch {
		case r.owner.kind == access.Operator:
			add(file.ForImport, "")
		case len(r.owner.ids["enrollment"]) > 0:
			add(file.ForEvidence, "")
			add(file.ForEvidence, r.owner.ids["enrollment"][0])
			add(file.ForEvidence, r.owner.ids["enrollment_question"][0])
		}
		add(file.ForAttachment, "")
	}
	return out
}

// among gives a row one of several values by its place.
func among(values ...any) filling {
	return func(r *row, _ string) any { return values[(max(r.number, 1)-1)%len(values)] }
}

// when gives the value to rows of some states, and the other to all others.
func when(then, otherwise filling, states ...enrollment.Status) filling {
	return func(r *row, c string) any {
		if slices.Contains(states, enrollment.Status(r.status)) {
			return then(r, c)
		}
		return otherwise(r, c)
	}
}

// clock is the promise of a review: it runs, it waits, or it was never made.
func clock(r *row, _ string) any {
	k := sla.Clock{Unit: sla.BusinessDays, Target: 3 * sla.Day, Due: 5 * sla.Day}
	switch enrollment.Status(r.status) {
	case enrollment.Draft, enrollment.EmailPending, enrollment.Expired, enrollment.Withdrawn, enrollment.Frozen:
	case enrollment.InReview:
		k = sla.Start(k.Unit, k.Target, k.Due, r.chart.now)
	case enrollment.ActionRequired:
		k = sla.Start(k.Unit, k.Target, k.Due, r.chart.now)
		k.Pause(r.chart.now)
	case enrollment.Approved, enrollment.Active, enrollment.Rejected:
		k = sla.Start(k.Unit, k.Target, k.Due, r.chart.now)
		k.End(r.chart.now)
	}
	raw, err := json.Marshal(k)
	if err != nil {
		panic(err)
	}
	return string(raw)
}

// awaited is who has to act.
func awaited(r *row, _ string) any {
	switch enrollment.Status(r.status) {
	case enrollment.Draft, enrollment.ActionRequired, enrollment.Approved:
		return enrollment.Applicant
	case enrollment.EmailPending:
		return enrollment.Contact
	case enrollment.InReview, enrollment.Frozen:
		return enrollment.Operator
	case enrollment.Active, enrollment.Rejected, enrollment.Expired, enrollment.Withdrawn:
	}
	return enrollment.Nobody
}

// The columns of a part that belong together: who of the operator is named, and
// which mail.
var (
	actorOf filling = func(r *row, c string) any {
		if r.internal || r.number == 2 {
			return reviewer(r, c)
		}
		return r.user
	}
	nameOf filling = func(r *row, c string) any {
		if r.internal || r.number == 2 {
			return operators(r, c)
		}
		return canary(r, c)
	}
	letterOf filling = func(r *row, _ string) any {
		of := r.owner
		if r.internal {
			of = r.chart.operator()
		}
		if r.number == 3 || r.internal {
			return first(of.ids["mail_message"])
		}
		return ident.ID("")
	}
	whichMail filling = func(r *row, _ string) any {
		if r.number == 3 || r.internal {
			return "enrollment_confirmed"
		}
		return ""
	}
)

// tables are in the order in which their rows can be written.
var tables = []table{
	{name: "organization", prefix: ident.Organization, rows: ofKind(), values: map[string]filling{
		"id": theID, "kind": kindOf, "name": canary, "name_folded": folded, "domain": domain, "country": fixed("IT"), "locale": fixed("en"),
	}},
	{name: "user_account", prefix: ident.User, rows: people, values: map[string]filling{
		"id": theID, "organization_id": own("organization"), "email": mailTo, "email_folded": mailTo, "first_name": canary, "last_name": canary,
		"name_folded": folded, "locale": fixed("en"), "status": status,
	}},
	{name: "user_role", rows: holders, values: map[string]filling{"user_id": whose, "role": func(r *row, _ string) any { return r.role }, "granted_by": empty}},
	{name: "credential", rows: twice, values: map[string]filling{"user_id": whose, "password_hash": hidden}, secret: []string{"password_hash"}},
	{name: "session", prefix: ident.Session, rows: holders, secret: []string{"token_hash"}, values: map[string]filling{
		"id": theID, "user_id": whose, "organization_id": own("organization"), "token_hash": hidden, "auth_methods": fixed("password"), "ip_prefix": canary,
		"agent": canary, "idle_until": later, "abs_until": later, "sudo_until": later,
	}},
	{name: "capability_link", prefix: ident.Link, rows: ofKind(), secret: []string{"token_hash"}, values: map[string]filling{
		"id": theID, "purpose": fixed("user.invite"), "subject_id": whose, "token_hash": hidden, "expires_at": later,
	}},
	{name: "throttle", rows: ofKind(), secret: []string{"key"}, values: map[string]filling{"key": hidden}},
	{name: "account_request", prefix: ident.Link, rows: ofKind(), secret: []string{"email_folded"}, values: map[string]filling{
		"id": theID, "template": fixed("password_reset"), "email_folded": hidden, "locale": fixed("en"),
	}},
	{name: "personal_token", prefix: ident.Token, rows: twice, secret: []string{"token_hash"}, values: map[string]filling{
		"id": theID, "user_id": whose, "organization_id": own("organization"), "name": canary, "name_folded": folded, "token_hash": hidden,
		"scopes": fixed(`["viewer.read"]`), "networks": fixed(`["192.0.2.0/24"]`), "revoked_by_id": empty, "expires_at": later,
	}},
	{name: "partner", prefix: ident.Partner, rows: members, values: map[string]filling{
		"id": theID, "organization_id": own("organization"), "kind": kindOf, "status": fixed("ACTIVE"), "programme_id": canary, "legal_name": canary,
		"legal_name_folded": folded, "tenant_domain": domain, "website": canary, "registrable_domain": domain, "registration_id": canary,
		"registration_id_folded": folded, "country": fixed("IT"), "region": fixed("EUROPE"), "currency": fixed("EUR"), "agreement_version": canary,
		"agreement_signed_at": moment, "activated_at": moment, "address": postal, "contact": contact, "support": support, "status_reason": canary,
		"agreement_due_at": later,
	}},
	{name: "partner_affiliation", rows: pairs, values: map[string]filling{
		"partner_id": own("partner"), "affiliate_id": theirs("partner"), "declared_by": empty,
	}},
	{name: "mail_message", prefix: ident.Mail, rows: ofKind(), secret: []string{"dedupe_key", "data", "claim", "message_id"}, values: map[string]filling{
		"id": theID, "dedupe_key": hidden, "template": fixed("partnership_invitation"), "locale": fixed("en"), "recipient": mailTo, "recipient_folded": mailTo,
		"data": func(r *row, c string) any { return `{"note":"` + r.canary(c) + `"}` }, "link_purpose": empty, "link_prefix": empty, "link_path": empty,
		"link_subject_id": empty, "organization_id": own("organization"), "subject_id": whose, "message_id": hidden, "state": fixed("sent"), "phase": empty,
		"claim": hidden, "server_reply": canary, "failure_code": empty, "request_id": canary, "expires_at": later,
	}},
	{name: "membership_login", rows: ofKind(partnerKinds...), secret: []string{"password_hash"}, values: map[string]filling{
		"user_name_folded": loginName, "user_name": loginName, "password_hash": func(r *row, c string) any { return phc(r.canary(c)) },
	}},
	{name: "register_import", prefix: ident.Import, rows: ofKind(access.Operator), values: map[string]filling{
		"id": theID, "kind": fixed("MEMBERSHIPS"), "mode": fixed("MERGE"), "file_id": empty, "file_name": canary, "organization_id": own("organization"),
		"requested_by_id": whose, "outcome": fixed("REFUSED"), "finished_at": moment,
	}},
	{name: "register_import_problem", rows: partsOf("register_import", 2, 2), values: map[string]filling{
		"import_id": partOf, "number": ranked, "column_name": canary, "code": fixed("TOO_LONG"), "params": func(r *row, c string) any { return `{"max":"` + r.canary(c) + `"}` },
	}},
	{name: "register_import_hash", rows: partsOf("register_import", 1, 1), secret: []string{"user_name_folded", "password_hash"}, values: map[string]filling{
		"import_id": partOf, "user_name_folded": hidden, "password_hash": hidden,
	}},
	{name: "membership", prefix: ident.Membership, rows: ofKind(partnerKinds...), secret: []string{"digest"}, values: map[string]filling{
		"id": theID, "user_name": loginName, "user_name_folded": loginName, "programme_id": canary, "legal_name": canary, "legal_name_folded": folded,
		"registration_id": canary, "website": canary, "country": fixed("IT"), "active": fixed(true), "enrolled": fixed(true), "address": postal, "contact": contact,
		"digest": hidden, "import_id": func(r *row, _ string) any { return first(r.chart.operator().ids["register_import"]) },
	}},
	{name: "registered_company", rows: ofKind(partnerKinds...), secret: []string{"digest"}, values: map[string]filling{
		"country": fixed("IT"), "registration_id_folded": folded, "registration_id": canary, "legal_name": canary, "address": postal, "digest": hidden,
		"import_id": func(r *row, _ string) any { return first(r.chart.operator().ids["register_import"]) },
	}},
	{name: "enrollment_start", prefix: ident.Link, rows: ofKind(access.IndirectReseller), secret: []string{"email", "email_folded", "first_name", "last_name", "tenant_domain", "token_hash"},
		values: map[string]filling{
			"id": theID, "email": mailTo, "email_folded": mailTo, "first_name": hidden, "last_name": hidden, "locale": fixed("en"), "tenant_domain": hidden,
			"country": fixed("IT"), "token_hash": hidden, "expires_at": later,
		}},
	{name: "enrollment", prefix: ident.Enrollment, rows: enrolling, values: map[string]filling{
		"id": theID, "organization_id": own("organization"), "partner_id": func(r *row, _ string) any { return orNone(first(r.owner.ids["partner"])) },
		"purpose": fixed("ADMISSION"), "kind": kindOf, "status": status, "country": fixed("IT"), "tenant_domain": domain, "profile": profile,
		"legal_name_folded": folded, "registration_id_folded": folded, "contact_email_folded": mailTo, "membership_id": own("membership"), "programme_id": canary,
		"created_by_id": whose, "assignee_id": reviewer, "verification_message_id": own("mail_message"), "clock": clock, "awaits": awaited, "agenda": fixed("[]"),
		"queue_at": later, "reason_code": when(fixed("OTHER"), empty, enrollment.Rejected), "reason_note": canary, "decided_by_id": reviewer, "decided_at": moment,
		"appeal_text": canary, "rejected_by_id": reviewer, "appeal_until": when(later, fixed(nil), enrollment.Rejected),
		"until_at":  when(later, fixed(nil), enrollment.Draft, enrollment.EmailPending, enrollment.InReview, enrollment.ActionRequired),
		"target_at": when(later, fixed(nil), enrollment.InReview), "due_at": when(later, fixed(nil), enrollment.InReview),
		"link_expires_at": later, "submitted_at": when(fixed(nil), moment, enrollment.Draft),
		"confirmed_at": when(moment, fixed(nil), enrollment.InReview, enrollment.ActionRequired, enrollment.Approved, enrollment.Active, enrollment.Rejected),
	}},
	{name: "enrollment_check", rows: partsOf("enrollment", 3, 3), values: map[string]filling{
		"enrollment_id": partOf, "kind": among("EMAIL_OWNERSHIP", "EMPLOYMENT", "BUSINESS"), "status": among("PASSED", "ACTION_REQUIRED", "WAITING"),
		"reason_code": among("ADDRESS_CONFIRMED", "DOMAIN_DIFFERS", ""), "note": operators, "awaits": among("", "OPERATOR", "APPLICANT"), "decided_by_id": reviewer,
	}},
	{name: "enrollment_question", prefix: ident.Question, rows: partsOf("enrollment", 1, 1), values: map[string]filling{
		"id": theID, "enrollment_id": partOf, "check_kind": fixed("BUSINESS"), "documents": fixed(`["TAX_DOCUMENT"]`), "text": canary, "asked_by_id": reviewer,
		"due_at": later, "answer": canary, "answered_by_id": whose,
	}},
	{name: "enrollment_event", rows: partsOf("enrollment", 5, 3), values: map[string]filling{
		"enrollment_id": partOf, "number": ranked, "kind": among("STARTED", "ASKED", "MAIL", "NOTE", "MAIL"), "side": among("APPLICANT", "OPERATOR", "SYSTEM", "OPERATOR", "SYSTEM"),
		"actor_id": actorOf, "actor_name": nameOf, "operator_only": func(r *row, _ string) any { return r.internal }, "check_kind": among("", "BUSINESS", "", "", ""),
		"reason_code": eithers, "note": eithers, "message_id": letterOf, "template": whichMail,
	}},
	{name: "enrollment_link", rows: partsOf("enrollment", 1, 1), secret: []string{"token_hash"}, values: map[string]filling{
		"token_hash": hidden, "enrollment_id": partOf, "expires_at": later, "outcome": empty,
	}},
	{name: "enrollment_membership", rows: partsOf("enrollment", 1, 1), values: map[string]filling{
		"enrollment_id": partOf, "membership_id": own("membership"), "proved_by_id": whose,
	}},
	{name: "file", prefix: ident.File, rows: uploads, values: map[string]filling{
		"id": theID, "organization_id": own("organization"), "uploaded_by_id": whose, "purpose": status, "subject_id": partOf, "name": canary,
		"media_type": fixed("application/pdf"), "sha256": canary,
	}},
	{name: "file_chunk", rows: partsOf("file", 1, 1), values: map[string]filling{
		"file_id": partOf, "number": fixed(0), "data": func(r *row, c string) any { return []byte(r.canary(c)) },
	}},
	{name: "agreement", prefix: ident.Agreement, rows: ofKind(access.Operator), values: map[string]filling{
		"id": theID, "number": canary, "content_hash": canary, "due_at": later, "published_by_id": whose,
	}},
	{name: "agreement_text", rows: partsOf("agreement", 2, 2), values: map[string]filling{
		"agreement_id": partOf, "locale": among("en", "it"), "title": canary, "text": canary,
	}},
	{name: "agreement_mailing", rows: partsOf("agreement", 1, 1), values: map[string]filling{
		"agreement_id": partOf, "step": fixed("published"), "after_id": empty, "finished_at": moment,
	}},
	{name: "agreement_signature", prefix: ident.Signature, rows: members, values: map[string]filling{
		"id": theID, "agreement_id": func(r *row, _ string) any { return first(r.chart.operator().ids["agreement"]) }, "partner_id": own("partner"),
		"region": fixed("EUROPE"), "number": canary, "content_hash": canary, "first_name": canary, "last_name": canary, "email": mailTo, "phone": canary,
		"signed_by_id": whose, "ip_prefix": canary,
	}},
	{name: "holiday", prefix: ident.Holiday, rows: ofKind(access.Operator), values: map[string]filling{
		"id": theID, "date": fixed("2026-12-25"), "name": canary, "created_by_id": whose,
	}},
	{name: "mail_event", rows: ofKind(), values: map[string]filling{"message_id": own("mail_message"), "event": fixed("queued"), "code": canary}},
	{name: "mail_suppression", rows: ofKind(), secret: []string{"recipient_folded"}, values: map[string]filling{
		"recipient_folded": mailTo, "reason": fixed("BOUNCED"), "message_id": own("mail_message"),
	}},
	{name: "mail_provider", rows: ofKind(), secret: []string{"name", "reason"}, values: map[string]filling{"name": hidden, "reason": hidden}},
	{name: "invitation", prefix: ident.Invitation, rows: invitations, values: map[string]filling{
		"id": theID, "kind": kindOfInvitation, "inviter_id": own("partner"), "locale": fixed("en"), "text": canary, "status": status,
		"recipient": recipient, "recipient_folded": recipient, "failure_code": empty, "decline_reason": canary, "message_id": own("mail_message"),
		"created_by_id": whose, "invitee_id": invitee("partner"), "decided_by_id": invitee("user_account"), "expires_at": later, "sent_at": moment,
	}},
	{name: "invitation_link", rows: func(c *chart) (out []*row) {
		for _, t := range c.fresh {
			for range t.ids["invitation"] {
				out = append(out, &row{owner: t})
			}
		}
		return out
	}, secret: []string{"token_hash"}, values: map[string]filling{"token_hash": hidden, "invitation_id": nth("invitation")}},
	{name: "partnership_link", prefix: ident.Proposal, rows: ofKind(access.IndirectProvider), values: map[string]filling{
		"id": theID, "provider_id": own("partner"), "expires_at": later,
	}},
	{name: "partnership", prefix: ident.Partnership, rows: pairs, values: map[string]filling{
		"id": theID, "provider_id": own("partner"), "reseller_id": theirs("partner"), "region": fixed("EUROPE"), "status": fixed("TERMINATING"),
		"provider_name_folded": func(r *row, _ string) any { return r.owner.mark() + "0partner0legalname" },
		"reseller_name_folded": func(r *row, _ string) any { return r.other.mark() + "0partner0legalname" },
		"invitation_id":        own("invitation"), "authorized_by_id": theirs("user_account"),
	}},
	{name: "termination", prefix: ident.Termination, rows: pairs, values: map[string]filling{
		"id": theID, "partnership_id": own("partnership"), "requester_id": own("partner"), "requested_by_id": whose, "reason": canary,
		"status": fixed("REQUESTED"), "decided_by_id": fixed(nil), "decision_note": canary,
	}},
	{name: "catalog_import", prefix: ident.CatalogImport, rows: ofKind(access.Operator), values: map[string]filling{
		"id": theID, "format": fixed("CSV"), "mode": fixed("MERGE"), "file_id": empty, "file_name": canary, "organization_id": own("organization"),
		"requested_by_id": whose, "outcome": fixed("REFUSED"), "finished_at": moment,
	}},
	{name: "catalog_import_problem", rows: partsOf("catalog_import", 2, 2), values: map[string]filling{
		"import_id": partOf, "number": ranked, "column_name": canary, "code": fixed("TOO_LONG"), "params": func(r *row, c string) any { return `{"max":"` + r.canary(c) + `"}` },
	}},
	{name: "offer", prefix: ident.Offer, rows: ofKind(access.Operator), secret: []string{"digest"}, values: map[string]filling{
		"id": theID, "sku": canary, "name": canary, "name_folded": folded, "publisher_kind": fixed("FIRST_PARTY"), "publisher": canary, "product_line": canary,
		"category": canary, "countries": fixed("[]"), "prerequisites": fixed("[]"), "digest": hidden, "import_id": own("catalog_import"), "incentive_eligible": fixed(true),
		"max_quantity": fixed(100),
	}},
	{name: "offer_price", rows: partsOf("offer", 1, 1), values: map[string]filling{
		"offer_id": partOf, "region": fixed("EUROPE"), "currency": fixed("EUR"), "term": fixed("P1Y"), "billing_cycle": fixed("MONTHLY"),
	}},
	{name: "offer_revision", rows: partsOf("offer", 1, 1), values: map[string]filling{
		"offer_id": partOf, "import_id": own("catalog_import"), "change": fixed("ADDED"), "content": canary,
	}},
	{name: "customer", prefix: ident.Customer, rows: ofKind(access.Customer), values: map[string]filling{
		"id": theID, "organization_id": own("organization"), "company_name": canary, "name_folded": folded, "domain": domain, "country": fixed("IT"), "region": fixed("EUROPE"),
		"registration_id": canary, "registration_id_folded": folded, "address": postal, "billing_email": mailTo, "phone": canary, "locale": fixed("en"),
		"status": fixed("ACTIVE"), "agreed_at": moment,
	}},
	{name: "relationship", prefix: ident.Relationship, rows: relations, values: map[string]filling{
		"id": theID, "customer_id": theirs("customer"), "partner_id": own("partner"), "kind": kindOfRelation, "counterpart_id": sharer, "status": status,
		"removed_reason": canary, "removed_by_id": empty, "name_folded": func(r *row, _ string) any { return r.other.mark() + "0customer0name" },
		"domain": func(r *row, _ string) any { return r.other.mark() + ".example" }, "country": fixed("IT"),
	}},
	{name: "customer_agreement", prefix: ident.CustomerAgreement, rows: sold, values: map[string]filling{
		"id": theID, "customer_id": theirs("customer"), "partner_id": own("partner"), "kind": fixed("ATTESTED"), "first_name": canary, "last_name": canary, "email": mailTo,
		"phone": canary, "agreed_on": fixed("2026-01-02"), "recorded_by_id": whose,
	}},
	{name: "customer_grant", prefix: ident.Grant, rows: sales, values: map[string]filling{
		"id": theID, "relationship_id": nth("relationship"), "customer_id": theirs("customer"), "partner_id": own("partner"), "roles": fixed(`["ACCOUNT_ADMIN"]`),
		"ends_at": later, "status": fixed("ACTIVE"), "withdrawn_by_id": empty,
	}},
	{name: "customer_invitation", rows: ofCustomers, values: map[string]filling{
		"invitation_id": partOf, "seller_id": sellerOf, "reseller_id": resellerOf, "roles": fixed(`["SUPPORT"]`),
		"customer_id": func(r *row, c string) any {
			if r.chart.rows[r.of].status != "ACCEPTED" {
				return ""
			}
			return theirs("customer")(r, c)
		},
	}},
	{name: "product_subscription", prefix: ident.ProductSubscription, rows: sold, values: map[string]filling{
		"id": theID, "customer_id": theirs("customer"), "organization_id": theirs("organization"), "seller_id": own("partner"), "reseller_id": sharer,
		"order_line_id": empty, "offer_id": ofOperator("offer"), "country": fixed("IT"), "offer_name": canary, "friendly_name": canary, "name_folded": folded,
		"term": fixed("P1Y"), "billing_cycle": fixed("MONTHLY"), "currency": fixed("EUR"), "status": fixed("ACTIVE"), "status_reason": empty, "additions": fixed("[]"),
		"associated_reseller_id": empty, "support_contact_id": own("partner"), "purchased_at": moment, "term_started_at": moment, "commitment_ends_at": later, "anchor_at": moment,
	}},
	{name: "subscription_event", prefix: ident.SubscriptionEvent, rows: partsOf("product_subscription", 1, 1), values: map[string]filling{
		"id": theID, "subscription_id": partOf, "number": ranked, "kind": fixed("CREATED"), "actor_id": whose, "reason": empty, "status": fixed("ACTIVE"), "currency": fixed("EUR"),
	}},
	{name: "customer_order", prefix: ident.Order, rows: ordered, values: map[string]filling{
		"id": theID, "seller_id": own("partner"), "reseller_id": func(r *row, c string) any {
			if r.other == nil {
				return ""
			}
			return sharer(r, c)
		}, "customer_id": theirs("customer"), "adds_customer": func(r *row, _ string) any { return r.other == nil }, "newcomer": newcomer, "admin_user_id": empty,
		"status": status, "status_reason": empty, "currency": fixed("EUR"), "created_by_id": whose, "submitted_by_id": empty, "expires_at": later,
	}},
	{name: "order_line", prefix: ident.OrderLine, rows: partsOf("customer_order", 1, 1), values: map[string]filling{
		"id": theID, "order_id": partOf, "number": ranked, "offer_id": ofOperator("offer"), "offer_name": canary, "friendly_name": canary, "term": fixed("P1Y"),
		"billing_cycle": fixed("MONTHLY"), "currency": fixed("EUR"), "status": fixed("COMPLETED"), "subscription_id": empty, "operation_id": empty, "failure_code": empty,
	}},
	{name: "rollup", rows: members, values: map[string]filling{"key": own("partner")}},
	{name: "rollup_delta", rows: members, values: map[string]filling{"key": own("partner")}},
	{name: "job", prefix: ident.Job, rows: work, secret: []string{"payload", "dedupe_key", "worker", "last_error", "request_id", "trace_parent"}, values: map[string]filling{
		"id": theID, "kind": func(r *row, _ string) any {
			return []string{"partnership.send_invitation", "partnership.send_invitation", "enrollment.send_verification"}[r.i]
		}, "queue": fixed("low"), "payload": func(r *row, c string) any { return `{"id":"` + r.canary(c) + `"}` },
		"dedupe_key": hidden, "state": func(r *row, _ string) any { return []string{"dead", "cancelled", "dead"}[r.i] }, "worker": hidden, "failure_code": fixed("SMTP_REFUSED"),
		"last_error": hidden, "request_id": hidden, "trace_parent": hidden, "actor_id": whose, "organization_id": own("organization"),
		"subject_id": partOf, "listed": func(r *row, _ string) any { return r.i != 1 },
	}},
	{name: "calendar_move", rows: ofKind(access.Operator), secret: []string{"mover", "cursor_id"}, values: map[string]filling{
		"version": fixed(1), "job_id": own("job"), "done": fixed("[]"), "mover": hidden, "cursor_id": hidden,
	}},
	{name: "job_attempt", rows: ofKind(), secret: []string{"worker", "last_error"}, values: map[string]filling{
		"job_id": own("job"), "worker": hidden, "outcome": fixed("failed"), "failure_code": fixed("SMTP_REFUSED"), "last_error": hidden,
	}},
	{name: "audit_event", prefix: ident.Audit, rows: acts, values: map[string]filling{
		"id": theID, "actor_id": whose, "actor_kind": fixed("USER"), "actor_name": canary, "organization_id": own("organization"), "on_behalf_of_id": own("organization"),
		"action": fixed("thing.done"), "target_id": target, "target_organization_id": theirs("organization"), "changed": quoted, "outcome": fixed("DONE"),
		"reason": canary, "request_id": canary, "ip_prefix": canary, "token_id": own("personal_token"),
	}},
	{name: "audit_seal", rows: ofKind(), secret: []string{"previous_hash", "hash"}, values: map[string]filling{
		"number": func(r *row, _ string) any { return r.owner.n }, "last_event_id": own("audit_event"), "previous_hash": hidden, "hash": hidden,
	}},
	{name: "audit_sealed", rows: ofKind(), secret: []string{"digest"}, values: map[string]filling{
		"event_id": own("audit_event"), "seal_number": func(r *row, _ string) any { return r.owner.n }, "digest": hidden,
	}},
	{name: "idempotency", rows: ofKind(), secret: []string{"request_hash"}, values: map[string]filling{
		"actor_id": whose, "verb": fixed("inviteUser"), "key": canary, "request_hash": hidden, "result": fixed(`{}`),
	}},
	{name: "event", rows: ofKind(), values: map[string]filling{
		"kind": fixed("OPERATION_CHANGED"), "subject_id": own("job"), "organization_id": own("organization"), "other_organization_id": empty,
	}},
	{name: "export_file", prefix: ident.Export, rows: exports, secret: []string{"filter"}, values: map[string]filling{
		"id": theID, "organization_id": own("organization"), "requested_by_id": whose,
		"kind":   func(r *row, _ string) any { return cmp.Or(r.status, "AUDIT_EVENTS") },
		"filter": func(r *row, c string) any { return `{"Search":"` + r.canary(c) + `"}` }, "cursor_id": empty, "expires_at": later, "finished_at": moment,
	}},
	{name: "export_chunk", rows: func(c *chart) (out []*row) {
		for _, t := range c.fresh {
			out = append(out, &row{owner: t})
		}
		return out
	}, secret: []string{"data"}, values: map[string]filling{"export_id": own("export_file"), "number": fixed(0),
		"data": func(r *row, c string) any { return []byte(r.canary(c)) }}},
	{name: "webhook_endpoint", prefix: ident.Webhook, rows: ofKind(), values: map[string]filling{
		"id": theID, "organization_id": own("organization"), "operator": func(r *row, _ string) any { return r.owner.kind == access.Operator },
		"url": func(r *row, c string) any { return "https://hooks.example/" + r.canary(c) }, "description": canary, "events": fixed("[]"),
		"status": fixed("ENABLED"), "pause_reason": empty, "created_by_id": whose,
	}},
	{name: "webhook_event", prefix: ident.WebhookEvent, rows: told, secret: []string{"data"}, values: map[string]filling{
		"id": theID, "type": fixed("partner.registered"), "subject_id": toldOf,
		"data": func(r *row, c string) any { return `{"id":"` + r.canary(c) + `"}` },
	}},
	{name: "webhook_delivery", prefix: ident.Delivery, rows: told, values: map[string]filling{
		"id": theID, "endpoint_id": own("webhook_endpoint"), "event_id": nth("webhook_event"), "type": fixed("partner.registered"), "subject_id": toldOf,
		"state": fixed("FAILED"), "code": fixed("HTTP_STATUS"),
	}},
	{name: "webhook_attempt", rows: told, values: map[string]filling{"delivery_id": nth("webhook_delivery"), "code": fixed("HTTP_STATUS")}},
}

// told are an event of everybody's own, and one of somebody whom the endpoint's
// organization no longer sees.
func told(c *chart) []*row {
	out := ofKind()(c)
	for _, t := range c.fresh {
		for _, o := range c.tenants {
			if len(o.ids["partner"]) > 0 && t.knows(o) == strangers {
				out = append(out, &row{owner: t, other: o, user: t.admin()})
				break
			}
		}
	}
	return out
}

func toldOf(r *row, c string) any {
	if r.other == nil {
		return own("partner")(r, c)
	}
	return theirs("partner")(r, c)
}

// unowned are tables of the house itself, without anything of a tenant.
var unowned = []string{"instance", "rollup_check", "job_tick", "event_counter", "calendar", "bun_migrations", "bun_migration_locks"}

// loginName is the user name of a membership, the same in both tables.
func loginName(r *row, _ string) any { return r.owner.mark() + "0membership0username" }

// phc is a password hash as argon2id writes it, with a canary for its salt.
func phc(salt string) string {
	return "$argon2id$v=19$m=8,t=1,p=1$" + base64.RawStdEncoding.EncodeToString([]byte(salt)) + "$" + base64.RawStdEncoding.EncodeToString(make([]byte, 32))
}

func recipient(r *row, c string) any {
	if r.other == nil {
		return r.canary("recipient") + "@outside.example"
	}
	return r.other.mark() + "0useraccount0email@" + r.other.mark() + ".example"
}

// target is the thing of both where an act concerns both.
func target(r *row, _ string) any {
	if r.other == nil {
		return first(r.owner.ids["organization"])
	}
	return first(append(r.owner.ids["partnership"], r.other.ids["partnership"]...))
}

func invitee(table string) filling {
	return func(r *row, c string) any {
		if r.status != "ACCEPTED" {
			return nil
		}
		return theirs(table)(r, c)
	}
}

// acts are one of everybody's own, and one that concerns each partner.
func acts(c *chart) []*row {
	out := ofKind()(c)
	for _, t := range c.fresh {
		for _, p := range t.partners {
			out = append(out, &row{owner: t, other: p, user: t.admin()})
		}
	}
	return out
}

// chart is a world of tenants with canaries.
type chart struct {
	*world
	now     time.Time
	tenants []*tenant
	fresh   []*tenant // those being written
	byLabel map[string]*tenant
	// rows are all rows with an id, wheres the columns of the database.
	rows    map[ident.ID]*row
	columns map[string][]column
	told    map[string]bool
	asked   int      // requests so far
	roles   []string // labels of tenants with a user for every role
}

// everyRole reports whether a tenant has a user for every role of its kind.
func (c *chart) everyRole(t *tenant) bool { return slices.Contains(c.roles, t.label) }

type column struct {
	Name, Kind        string
	Required, Default bool
}

// text reports whether a column can hold a text.
func (c column) text() bool {
	switch c.Kind {
	case "text", "json", "jsonb", "bytea", "blob", "character varying":
		return true
	}
	return false
}

// readColumns reads the columns of all tables from the database itself.
func readColumns(t testing.TB, db *database.DB) map[string][]column {
	t.Helper()
	q := "SELECT m.name AS relation, i.name AS name, lower(i.type) AS kind, i.\"notnull\" AS required, i.dflt_value IS NOT NULL AS has " +
		"FROM sqlite_master AS m, pragma_table_info(m.name) AS i WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' ORDER BY m.name, i.cid"
	if db.Dialect() == database.Postgres {
		q = "SELECT table_name AS relation, column_name AS name, data_type AS kind, is_nullable = 'NO' AS required, (column_default IS NOT NULL OR is_identity = 'YES') AS has " +
			"FROM information_schema.columns WHERE table_schema = current_schema() ORDER BY table_name, ordinal_position"
	}
	var rows []struct {
		Relation, Name, Kind string
		Required, Has        bool
	}
	if err := db.Read().NewRaw(q).Scan(context.Background(), &rows); err != nil {
		t.Fatal(err)
	}
	out := map[string][]column{}
	for _, r := range rows {
		out[r.Relation] = append(out[r.Relation], column{r.Name, r.Kind, r.Required, r.Has})
	}
	return out
}

// A new table, or a new text column, must say what of a tenant it holds.
func TestEveryTextColumnIsListed(t *testing.T) {
	t.Parallel()
	columns := readColumns(t, newWorld(t).DB)
	known := map[string]table{}
	for _, s := range tables {
		known[s.name] = s
	}
	for _, name := range slices.Sorted(maps.Keys(columns)) {
		if slices.Contains(unowned, name) {
			continue
		}
		s, ok := known[name]
		if !ok {
			t.Errorf("table %s is not in tables: say whose its rows are and what its text columns hold", name)
			continue
		}
		for _, c := range columns[name] {
			if c.text() && s.values[c.Name] == nil {
				t.Errorf("%s.%s is not in tables: say what it holds of a tenant", name, c.Name)
			}
		}
		for c := range s.values {
			if !slices.ContainsFunc(columns[name], func(x column) bool { return x.Name == c }) {
				t.Errorf("%s has no column %s", name, c)
			}
		}
	}
	for name := range known {
		if columns[name] == nil {
			t.Errorf("there is no table %s", name)
		}
	}
}

func init() {
	for _, s := range tables {
		for _, c := range s.secret {
			secretColumns[plainly(s.name)+"."+plainly(c)] = true
		}
	}
}

func bareChart(t testing.TB) *chart {
	t.Helper()
	c := &chart{world: newWorld(t), byLabel: map[string]*tenant{}, told: map[string]bool{}, rows: map[ident.ID]*row{}}
	c.now = c.DB.Now()
	c.columns = readColumns(t, c.DB)
	// The budgets of callers are not what is looked at here.
	c.Spend = func(_ context.Context, _ int, _ []string, limits []int) (int, int, time.Time, bool, error) {
		return 0, limits[0], c.now.Add(time.Minute), true, nil
	}
	var err error
	if c.handler, err = New(c.Deps); err != nil {
		t.Fatal(err)
	}
	return c
}

// newChart is two tenants of every kind, two of them partners of each other
// two, a reseller that has only been asked, and two companies on their way in.
func newChart(t testing.TB) *chart {
	t.Helper()
	c := bareChart(t)
	c.roles = []string{"operator", "provider1", "reseller1", "direct1", "customer1"}
	for label, k := range map[string]access.Kind{
		"operator": access.Operator, "provider1": access.IndirectProvider, "provider2": access.IndirectProvider, "reseller1": access.IndirectReseller,
		"reseller2": access.IndirectReseller, "reseller3": access.IndirectReseller, "direct1": access.DirectBill, "direct2": access.DirectBill,
		"customer1": access.Customer, "customer2": access.Customer, "applicant1": access.IndirectReseller, "applicant2": access.IndirectReseller,
	} {
		c.byLabel[label] = &tenant{label: label, kind: k, applying: strings.HasPrefix(label, "applicant")}
	}
	for _, label := range slices.Sorted(maps.Keys(c.byLabel)) {
		c.join(c.byLabel[label])
	}
	for _, n := range []string{"1", "2"} {
		ally(c.byLabel["provider"+n], c.byLabel["reseller"+n])
	}
	c.byLabel["reseller3"].inviters = []*tenant{c.byLabel["provider1"]}
	for _, n := range []string{"1", "2"} {
		c.byLabel["customer"+n].sellers = []*tenant{c.byLabel["provider"+n], c.byLabel["reseller"+n], c.byLabel["direct"+n]}
	}
	c.byLabel["customer1"].former = c.byLabel["direct2"]
	c.write()
	c.tx(func(ctx context.Context, tx *database.Tx) error { // the one calendar there is
		_, err := tx.NewRaw("UPDATE calendar SET updated_by_id = ?, updated_at = ?", c.operator().admin(), tx.Now).Exec(ctx)
		return err
	})
	return c
}

// join adds a tenant to those that write writes next.
func (c *chart) join(t *tenant) *tenant {
	t.n = len(c.tenants) + 1
	t.ids, t.users = map[string][]ident.ID{}, map[access.Role]ident.ID{}
	if t.label == "" {
		t.label = strings.ToLower(string(t.kind)) + strconv.Itoa(t.n)
	}
	c.tenants, c.fresh = append(c.tenants, t), append(c.fresh, t)
	return t
}

func ally(p, r *tenant) {
	p.partners, r.partners = append(p.partners, r), append(r.partners, p)
}

// write writes the rows of the tenants that have joined.
func (c *chart) write() {
	c.t.Helper()
	c.tx(func(ctx context.Context, tx *database.Tx) error {
		for _, s := range tables {
			for _, r := range s.rows(c) {
				r.chart, r.table = c, s.name
				r.i = len(r.owner.ids[s.name])
				r.id = ident.ID(fmt.Sprintf("%s-%d", s.name, r.i))
				if prefix := cmp.Or(r.prefix, s.prefix); prefix != "" {
					r.id = ident.New(prefix)
					c.rows[r.id] = r
				}
				r.owner.ids[s.name] = append(r.owner.ids[s.name], r.id)
				if s.name == "user_account" && r.status == "ACTIVE" {
					r.owner.users[r.role] = r.id
				}
				values := map[string]any{}
				for _, col := range c.columns[s.name] {
					fill := s.values[col.Name]
					switch {
					case fill != nil:
						values[col.Name] = fill(r, col.Name)
					case !col.Required || col.Default:
					case strings.HasPrefix(col.Kind, "timestamp"):
						values[col.Name] = c.now
					case strings.HasPrefix(col.Kind, "bool"):
						values[col.Name] = false
					default:
						values[col.Name] = 1
					}
				}
				r.values = values
				if _, err := tx.NewInsert().Model(&values).TableExpr(s.name).Exec(ctx); err != nil {
					return fmt.Errorf("%s: %w", s.name, err)
				}
			}
		}
		return nil
	})
	c.fresh = nil
}

// viewer is somebody who asks.
type viewer struct {
	name   string
	tenant *tenant // nil for nobody
	said   strings.Builder
	access.Actor
}

// write notes what the viewer has written into the world: its people may find
// it in their own rows.
func (v *viewer) write(text string) {
	said := &v.said
	if v.tenant != nil {
		said = &v.tenant.said
	}
	said.WriteString(" " + text)
}

func (v *viewer) written() string {
	if v.tenant == nil {
		return v.said.String()
	}
	return v.tenant.said.String()
}

func (c *chart) actor(p access.Presence) access.Actor {
	c.t.Helper()
	p.IPPrefix = "192.0.2.0/24"
	a, err := access.Load(context.Background(), c.DB.Read(), p)
	if err != nil {
		c.t.Fatal(err)
	}
	return a
}

// sessionOf is the session of a user.
func (c *chart) sessionOf(t *tenant, user ident.ID) ident.ID {
	return t.ids["session"][slices.Index(t.ids["user_account"], user)]
}

// person is a user just signed in.
func (c *chart) person(t *tenant, user ident.ID, name string) *viewer {
	c.t.Helper()
	return &viewer{name: name, tenant: t, Actor: c.actor(access.Presence{UserID: user, SessionID: c.sessionOf(t, user), SudoUntil: c.now.AddDate(1, 0, 0)})}
}

// admins are the first users of all tenants.
func (c *chart) admins() (out []*viewer) {
	for _, t := range c.tenants {
		out = append(out, c.person(t, t.admin(), t.label))
	}
	return out
}

func (c *chart) program(label string, scopes ...access.Permission) access.Actor {
	t := c.byLabel[label]
	return c.actor(access.Presence{UserID: t.admin(), TokenID: t.ids["personal_token"][0], Scopes: scopes})
}

// viewers are all who ask: everybody's admin, a person of every role, programs
// of many scopes and of few, somebody who was disabled, and nobody.
func (c *chart) viewers() []*viewer {
	c.t.Helper()
	out := c.admins()
	for _, label := range c.roles {
		t := c.byLabel[label]
		for _, r := range access.RolesOf(t.kind)[1:] {
			out = append(out, c.person(t, t.users[r], label+" "+string(r)))
		}
	}
	for _, label := range []string{"operator", "provider1", "reseller1"} {
		t := c.byLabel[label]
		for name, scopes := range map[string][]access.Permission{"no scope": {}, "one scope": {access.PermViewerRead},
			"few scopes": {access.PermViewerRead, access.PermPartnershipRead, access.PermInvitationRead}, "all scopes": access.Permissions} {
			out = append(out, &viewer{name: label + " token, " + name, tenant: t, Actor: c.program(label, scopes...)})
		}
	}
	disabled := c.byLabel["provider1"].ids["user_account"]
	out = append(out, &viewer{name: "nobody", Actor: nobody}, &viewer{name: "disabled", Actor: c.actor(access.Presence{UserID: disabled[len(disabled)-1]})})
	slices.SortStableFunc(out, func(a, b *viewer) int { return cmp.Compare(a.name, b.name) })
	return out
}
