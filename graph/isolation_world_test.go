package graph

import (
	"cmp"
	"context"
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
	"github.com/channelgraph/channelgraph/internal/ident"
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
	// ids of its rows, by table, in the order in which they were written.
	ids map[string][]ident.ID
	// users are by their first role.
	users map[access.Role]ident.ID
	// partners are those it has a partnership with; inviters asked it for one.
	partners, inviters []*tenant
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
	case slices.Contains(t.inviters, other), slices.Contains(other.inviters, t):
		return invited
	}
	return strangers
}

type standing string

const (
	same      standing = "same"
	overseer  standing = "operator"
	partnered standing = "partnered"
	invited   standing = "invited"
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
	},
	invited: {
		"invitation", "user_account.email", "a.domain",
	},
	overseer: {
		"organization", "user_account", "partner", "partnership", "partnership_link", "invitation", "termination", "mail_message", "mail_event", "audit_event", "job",
		"a.domain", "session.id", "personal_token.id", "export_file.id", // as bare ids, in the audit
	},
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
	hidden filling = canary // and listed among secretColumns
	theID  filling = func(r *row, _ string) any { return r.id }
	moment filling = func(r *row, _ string) any { return r.chart.now }
	later  filling = func(r *row, _ string) any { return r.chart.now.AddDate(1, 0, 0) }
	empty  filling = func(*row, string) any { return "" }
	whose  filling = func(r *row, _ string) any { return r.user }
	status filling = func(r *row, _ string) any { return r.status }
	kindOf filling = func(r *row, _ string) any { return r.owner.kind }
	quoted filling = func(r *row, c string) any { return `["` + r.canary(c) + `"]` }
)

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
	return out
}

var partnerKinds = []access.Kind{access.IndirectProvider, access.IndirectReseller, access.DirectBill}

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
	{name: "partner", prefix: ident.Partner, rows: ofKind(partnerKinds...), values: map[string]filling{
		"id": theID, "organization_id": own("organization"), "kind": kindOf, "status": fixed("ACTIVE"), "programme_id": canary, "legal_name": canary,
		"legal_name_folded": folded, "tenant_domain": domain, "website": canary, "registrable_domain": domain, "registration_id": canary,
		"registration_id_folded": folded, "country": fixed("IT"), "region": fixed("EUROPE"), "currency": fixed("EUR"), "agreement_version": canary,
		"agreement_signed_at": moment, "activated_at": moment,
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
	{name: "mail_event", rows: ofKind(), values: map[string]filling{"message_id": own("mail_message"), "event": fixed("queued"), "code": canary}},
	{name: "mail_suppression", rows: ofKind(), secret: []string{"recipient_folded"}, values: map[string]filling{
		"recipient_folded": mailTo, "reason": fixed("BOUNCED"), "message_id": own("mail_message"),
	}},
	{name: "mail_provider", rows: ofKind(), secret: []string{"name", "reason"}, values: map[string]filling{"name": hidden, "reason": hidden}},
	{name: "invitation", prefix: ident.Invitation, rows: invitations, values: map[string]filling{
		"id": theID, "kind": fixed("PARTNERSHIP"), "inviter_id": own("partner"), "locale": fixed("en"), "text": canary, "status": status,
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
	{name: "job", prefix: ident.Job, rows: twice, secret: []string{"payload", "dedupe_key", "worker", "last_error", "request_id", "trace_parent"}, values: map[string]filling{
		"id": theID, "kind": fixed("partnership.send_invitation"), "queue": fixed("low"), "payload": func(r *row, c string) any { return `{"id":"` + r.canary(c) + `"}` },
		"dedupe_key": hidden, "state": func(r *row, _ string) any { return []string{"dead", "cancelled"}[r.i%2] }, "worker": hidden, "failure_code": fixed("SMTP_REFUSED"),
		"last_error": hidden, "request_id": hidden, "trace_parent": hidden, "actor_id": whose, "organization_id": own("organization"),
		"subject_id": own("organization"), "listed": func(r *row, _ string) any { return r.i == 0 },
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
	{name: "export_file", prefix: ident.Export, rows: twice, secret: []string{"filter"}, values: map[string]filling{
		"id": theID, "organization_id": own("organization"), "requested_by_id": whose, "kind": fixed("AUDIT_EVENTS"),
		"filter": func(r *row, c string) any { return `{"Action":"` + r.canary(c) + `"}` }, "cursor_id": empty, "expires_at": later, "finished_at": moment,
	}},
	{name: "export_chunk", rows: func(c *chart) (out []*row) {
		for _, t := range c.fresh {
			out = append(out, &row{owner: t})
		}
		return out
	}, secret: []string{"data"}, values: map[string]filling{"export_id": own("export_file"), "number": fixed(0),
		"data": func(r *row, c string) any { return []byte(r.canary(c)) }}},
}

// unowned are tables of the house itself, without anything of a tenant.
var unowned = []string{"instance", "job_tick", "event_counter", "bun_migrations", "bun_migration_locks"}

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
// two, and a reseller that has only been asked.
func newChart(t testing.TB) *chart {
	t.Helper()
	c := bareChart(t)
	c.roles = []string{"operator", "provider1", "reseller1", "direct1", "customer1"}
	for label, k := range map[string]access.Kind{
		"operator": access.Operator, "provider1": access.IndirectProvider, "provider2": access.IndirectProvider, "reseller1": access.IndirectReseller,
		"reseller2": access.IndirectReseller, "reseller3": access.IndirectReseller, "direct1": access.DirectBill, "direct2": access.DirectBill,
		"customer1": access.Customer, "customer2": access.Customer,
	} {
		c.byLabel[label] = &tenant{label: label, kind: k}
	}
	for _, label := range slices.Sorted(maps.Keys(c.byLabel)) {
		c.join(c.byLabel[label])
	}
	for _, n := range []string{"1", "2"} {
		ally(c.byLabel["provider"+n], c.byLabel["reseller"+n])
	}
	c.byLabel["reseller3"].inviters = []*tenant{c.byLabel["provider1"]}
	c.write()
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
				if s.prefix != "" {
					r.id = ident.New(s.prefix)
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
	access.Actor
}

// write notes what the viewer has written into the world: its people may find
// it in their own rows.
func (v *viewer) write(text string) {
	if v.tenant != nil {
		v.tenant.said.WriteString(" " + text)
	}
}

func (v *viewer) written() string {
	if v.tenant == nil {
		return ""
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
