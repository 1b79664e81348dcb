package partner

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/database/dbtest"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/mail"
	"github.com/channelgraph/channelgraph/internal/page"
	"github.com/channelgraph/channelgraph/internal/region"
	"github.com/channelgraph/channelgraph/internal/secret"
)

// world is the operator with its admin, and whoever is registered.
type world struct {
	*Service
	t     *testing.T
	chief access.Actor
}

func newWorld(t *testing.T) *world {
	t.Helper()
	db := dbtest.New(t)
	keys, err := secret.NewKeys(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	mailer, err := mail.New(db, keys, mail.Config{SMTPURL: "smtp://127.0.0.1:2525", From: "center@example.com", PublicURL: "http://localhost:8080"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	accounts := account.New(db, mailer, keys, account.Config{PublicURL: "http://localhost:8080",
		Hashing: account.Hashing{Memory: 8, Passes: 1, Threads: 1, Slots: 4, Wait: time.Minute}}, nil)
	w := &world{Service: New(db, accounts, mailer), t: t}
	var chief *account.User
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		org, err := accounts.Found(ctx, tx, access.System("test"), account.NewOrganization{Kind: access.Operator, Name: "Programme House", Domain: "operator.example", Country: "IT"})
		if err != nil {
			return err
		}
		chief, _, err = accounts.AddUser(ctx, tx, access.System("test"), org, account.NewUser{Email: "otto@operator.example", FirstName: "Otto", LastName: "Ferri",
			Roles: []access.Role{access.OperatorAdmin}, Password: "velvet tractor lagoon 41"})
		return err
	})
	w.chief = w.as(chief.ID)
	return w
}

func (w *world) tx(fn func(context.Context, *database.Tx) error) {
	w.t.Helper()
	if err := w.db.InTx(w.t.Context(), fn); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) as(user ident.ID) access.Actor {
	w.t.Helper()
	a, err := access.Load(w.t.Context(), w.db.Read(), access.Presence{UserID: user, SudoUntil: w.db.Now().Add(time.Hour)})
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

// company registers a partner whose admin is active, and returns both.
func (w *world) company(name string, change ...func(*RegisterInput)) (*Partner, access.Actor) {
	w.t.Helper()
	in := named(name, change...)
	if err := in.Validate(w.db.Now()); err != nil {
		w.t.Fatal(err)
	}
	var out *Registered
	w.tx(func(ctx context.Context, tx *database.Tx) (err error) {
		out, err = w.RegisterTx(ctx, tx, w.chief, in, "velvet tractor lagoon 41")
		return err
	})
	return out.Partner, w.as(out.Admin.ID)
}

func named(name string, change ...func(*RegisterInput)) RegisterInput {
	slug := strings.ToLower(strings.ReplaceAll(name, " ", "-"))
	signed := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	in := RegisterInput{Kind: access.IndirectReseller, LegalName: name, TenantDomain: slug + ".example", Country: "IT", AgreementSignedAt: &signed,
		AgreementVersion: ptr("2026-01"), Admin: Admin{Email: "gina@" + slug + ".example", FirstName: "Gina", LastName: "Rossi"}}
	for _, c := range change {
		c(&in)
	}
	return in
}

// join makes two partners partners of each other, below the concept whose
// table it is.
func (w *world) join(provider, reseller *Partner, status string) {
	w.t.Helper()
	_, err := w.db.Bun().NewRaw("INSERT INTO partnership (id, provider_id, reseller_id, provider_name_folded, reseller_name_folded, region, status, authorized_by_id, authorized_at, updated_at) "+
		"VALUES (?, ?, ?, '', '', '', ?, '', ?, ?)", ident.New(ident.Partnership), provider.ID, reseller.ID, status, w.db.Now(), w.db.Now()).Exec(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
}

func problems(err error) string {
	f := fault.As(err)
	if f == nil {
		return fmt.Sprint(err)
	}
	var all []string
	for _, p := range f.Problems {
		all = append(all, strings.Join(p.Path[min(1, len(p.Path)):], ".")+" "+p.Code)
	}
	return strings.Join(all, ", ")
}

func TestRegister(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := named("Bianchi Informatica", func(in *RegisterInput) {
		in.RegistrationID, in.Website = ptr("IT 01-2"), ptr("https://bianchi.example")
	})
	got, err := w.Register(t.Context(), w.chief, in)
	if err != nil {
		t.Fatal(err)
	}
	p := got.Partner
	if p.Status != Active || p.ActivatedAt == nil || p.Region != "EUROPE" || p.Currency != "EUR" || p.Country != "IT" || !programmeID.MatchString(p.ProgrammeID) ||
		p.RegistrationIDFolded != "IT012" || p.RegistrableDomain != "bianchi-informatica.example" || p.Version != 1 || p.Website == "" {
		t.Errorf("got %+v", p)
	}
	if got.Operation == nil || !got.Operation.Listed || got.Admin.Status == account.Active {
		t.Errorf("the admin's invitation: %+v, %s", got.Operation, got.Admin.Status)
	}
	roles, err := w.accounts.RolesOf(t.Context(), w.chief, []ident.ID{got.Admin.ID})
	if want := []access.Role{access.GlobalAdmin, access.AdminAgent}; err != nil || !slices.Equal(roles[got.Admin.ID], want) {
		t.Errorf("the admin is %v, %v", roles, err)
	}
	byOrg, err := w.ByOrganizations(t.Context(), w.chief, []ident.ID{p.OrganizationID, "org_none"})
	if err != nil || len(byOrg) != 1 || byOrg[p.OrganizationID].ID != p.ID {
		t.Errorf("got %v, %v", byOrg, err)
	}
}

func TestRegisterWithoutSignatureLacksOnlyTheAgreement(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for status, want := range map[Status]Status{Active: Approved, Approved: Approved, Suspended: Suspended} {
		got, err := w.Register(t.Context(), w.chief, named("Unsigned "+string(status), func(in *RegisterInput) { in.AgreementSignedAt, in.Status = nil, &status }))
		if err != nil || got.Partner.Status != want || got.Partner.ActivatedAt != nil {
			t.Errorf("%s: %+v, %v", status, got, err)
		}
	}
}

func TestRegisterIsTheOperatorsAct(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, provider := w.company("Nordwind", func(in *RegisterInput) { in.Kind = access.IndirectProvider })
	for name, a := range map[string]access.Actor{"nobody": access.Anonymous("en", ""), "a provider": provider} {
		_, err := w.Register(t.Context(), a, named("Acme"))
		if k := fault.KindOf(err); k != fault.KindUnauthenticated && k != fault.KindForbidden {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := w.DeclareAffiliates(t.Context(), a, DeclareAffiliatesInput{}); err == nil || fault.Is(err, fault.CodeNotFound) {
			t.Errorf("%s declares: %v", name, err)
		}
	}
}

func TestRegisterDuplicates(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.company("Acme S.p.A.", func(in *RegisterInput) {
		in.TenantDomain, in.Admin.Email, in.RegistrationID, in.ProgrammeID = "acme.example", "gina@acme.example", ptr("IT 01.2"), ptr("1234567")
	})
	for name, c := range map[string]struct {
		change func(*RegisterInput)
		want   string
	}{
		"nothing alike":                   {func(*RegisterInput) {}, ""},
		"name in another form":            {func(in *RegisterInput) { in.LegalName = "ACMÉ srl" }, "legalName DUPLICATE"},
		"name in another country":         {func(in *RegisterInput) { in.LegalName, in.Country = "Acme", "FR" }, ""},
		"registration, written anew":      {func(in *RegisterInput) { in.RegistrationID = ptr("it-012") }, "registrationId DUPLICATE"},
		"registration of another country": {func(in *RegisterInput) { in.RegistrationID, in.Country = ptr("IT012"), "FR" }, ""},
		"domain":                          {func(in *RegisterInput) { in.TenantDomain = "ACME.example" }, "tenantDomain DUPLICATE"},
		"the operator's domain":           {func(in *RegisterInput) { in.TenantDomain = "operator.example" }, "tenantDomain DUPLICATE"},
		"programme ID":                    {func(in *RegisterInput) { in.ProgrammeID = ptr("1234567") }, "programmeId DUPLICATE"},
		"the admin's address":             {func(in *RegisterInput) { in.Admin.Email = "GINA@acme.example" }, "admin.email EMAIL_NOT_AVAILABLE"},
		"all of it": {func(in *RegisterInput) {
			in.LegalName, in.RegistrationID, in.TenantDomain, in.ProgrammeID = "Acme", ptr("IT012"), "acme.example", ptr("1234567")
		}, "legalName DUPLICATE, registrationId DUPLICATE, tenantDomain DUPLICATE, programmeId DUPLICATE"},
	} {
		in := named("Fresh " + name)
		in.Admin.Email = "x@" + strings.ReplaceAll(name, " ", "-") + ".example"
		in.Admin.Email = strings.ReplaceAll(in.Admin.Email, ",", "")
		in.Admin.Email = strings.ReplaceAll(in.Admin.Email, "'", "")
		in.TenantDomain = in.Admin.Email[2:]
		c.change(&in)
		got, err := w.Register(t.Context(), w.chief, in)
		if c.want == "" && err != nil || c.want != "" && (problems(err) != c.want || got != nil) {
			t.Errorf("%s: got %q, want %q", name, problems(err), c.want)
		}
		if f := fault.As(err); f != nil && strings.Contains(fmt.Sprint(f.Problems), "Acme") {
			t.Errorf("%s: the answer names the other: %v", name, f.Problems)
		}
	}
}

func TestRegisterIdempotency(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := named("Acme", func(in *RegisterInput) { in.IdempotencyKey = ptr("k-1") })
	first, err := w.Register(t.Context(), w.chief, in)
	if err != nil {
		t.Fatal(err)
	}
	again, err := w.Register(t.Context(), w.chief, in)
	if err != nil || again.Partner.ID != first.Partner.ID || again.Admin.ID != first.Admin.ID || again.Operation == nil || again.Operation.ID != first.Operation.ID {
		t.Errorf("got %+v, %v", again, err)
	}
	other := named("Other", func(in *RegisterInput) { in.IdempotencyKey = ptr("k-1") })
	if _, err := w.Register(t.Context(), w.chief, other); !fault.Is(err, fault.CodeKeyReused) {
		t.Errorf("got %v", err)
	}
	other.IdempotencyKey = nil
	if _, err := w.Register(t.Context(), w.chief, other); err != nil {
		t.Error(err)
	}
	if _, err := w.Register(t.Context(), w.chief, other); !fault.Is(err, CodeDuplicate) {
		t.Errorf("without a key: %v", err)
	}
	// a refused request does not use its key up
	bad := named("Third", func(in *RegisterInput) { in.IdempotencyKey, in.TenantDomain = ptr("k-2"), "acme.example" })
	if _, err := w.Register(t.Context(), w.chief, bad); !fault.Is(err, CodeDuplicate) {
		t.Errorf("got %v", err)
	}
	bad.TenantDomain = "third.example"
	if _, err := w.Register(t.Context(), w.chief, bad); err != nil {
		t.Errorf("got %v", err)
	}
}

func TestRegisterTheSameAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	run := func(in func(i int) RegisterInput) (ids map[ident.ID]bool, refused int) {
		t.Helper()
		ids = map[ident.ID]bool{}
		var mu sync.Mutex
		var all sync.WaitGroup
		for i := range 4 {
			all.Go(func() {
				got, err := w.Register(t.Context(), w.chief, in(i))
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					ids[got.Partner.ID] = true
				case fault.Is(err, CodeDuplicate), fault.Is(err, account.CodeEmailNotAvailable):
					refused++
				default:
					t.Errorf("%d: %v", i, err)
				}
			})
		}
		all.Wait()
		return ids, refused
	}
	ids, refused := run(func(i int) RegisterInput {
		return named("Acme", func(in *RegisterInput) {
			in.TenantDomain = fmt.Sprintf("acme%d.example", i)
			in.Admin.Email = "g@" + in.TenantDomain
		})
	})
	if len(ids) != 1 || refused != 3 {
		t.Errorf("one name: %d made, %d refused", len(ids), refused)
	}
	ids, refused = run(func(i int) RegisterInput {
		return named(fmt.Sprintf("Beta %c", 'a'+i), func(in *RegisterInput) {
			in.TenantDomain = "beta.example"
			in.Admin.Email = fmt.Sprintf("g%d@beta.example", i)
		})
	})
	if len(ids) != 1 || refused != 3 {
		t.Errorf("one domain: %d made, %d refused", len(ids), refused)
	}
	ids, refused = run(func(int) RegisterInput {
		return named("Gamma", func(in *RegisterInput) { in.IdempotencyKey = ptr("once") })
	})
	if len(ids) != 1 || refused != 0 {
		t.Errorf("one key: %d made, %d refused", len(ids), refused)
	}
}

func TestDeclareAffiliates(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, _ := w.company("Acme")
	b, _ := w.company("Beta")
	declare := func(x, y ident.ID) error {
		_, err := w.DeclareAffiliates(t.Context(), w.chief, DeclareAffiliatesInput{PartnerID: x, AffiliateID: y})
		return err
	}
	declared := func(x, y ident.ID) (yes bool) {
		w.tx(func(ctx context.Context, tx *database.Tx) (err error) {
			yes, err = w.AreDeclaredAffiliates(ctx, tx, x, y)
			return err
		})
		return yes
	}
	if declared(a.ID, b.ID) {
		t.Error("nobody declared it")
	}
	if err := declare(a.ID, a.ID); !fault.Is(err, CodeSelfDealing) {
		t.Errorf("got %v", err)
	}
	if got := problems(declare("par_none", b.ID)); got != "partnerId NOT_FOUND" {
		t.Errorf("got %s", got)
	}
	if got := problems(declare("par_none", "par_nil")); got != "partnerId NOT_FOUND, affiliateId NOT_FOUND" {
		t.Errorf("got %s", got)
	}
	for _, pair := range [][2]ident.ID{{a.ID, b.ID}, {b.ID, a.ID}, {a.ID, b.ID}} {
		if err := declare(pair[0], pair[1]); err != nil {
			t.Error(err)
		}
	}
	if !declared(a.ID, b.ID) || !declared(b.ID, a.ID) {
		t.Error("it holds both ways")
	}
}

func TestScope(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	nordwind, provider := w.company("Nordwind", func(in *RegisterInput) { in.Kind = access.IndirectProvider })
	acme, reseller := w.company("Acme")
	beta, former := w.company("Beta")
	gamma, stranger := w.company("Gamma")
	w.join(nordwind, acme, "ACTIVE")
	w.join(nordwind, beta, "TERMINATED")
	all := []ident.ID{nordwind.ID, acme.ID, beta.ID, gamma.ID}
	for name, c := range map[string]struct {
		actor access.Actor
		want  []*Partner
	}{
		"operator": {w.chief, []*Partner{acme, beta, gamma, nordwind}},
		"provider": {provider, []*Partner{acme, beta, nordwind}},
		"reseller": {reseller, []*Partner{acme, nordwind}}, // not its sibling
		"former":   {former, []*Partner{beta, nordwind}},
		"stranger": {stranger, []*Partner{gamma}},
		"nobody":   {access.Anonymous("en", ""), nil},
		"forged":   {access.Actor{PartnerID: nordwind.ID, Kind: access.Operator, Roles: access.Roles}, nil},
	} {
		byID, err := w.ByIDs(t.Context(), c.actor, append(all, "par_none", ""))
		if err != nil || len(byID) != len(c.want) {
			t.Errorf("%s reads %d partners, want %d (%v)", name, len(byID), len(c.want), err)
		}
		for _, p := range c.want {
			if byID[p.ID] == nil {
				t.Errorf("%s does not read %s", name, p.LegalName)
			}
		}
		list, err := w.List(t.Context(), c.actor, page.Args{}, nil, Filter{})
		if c.want == nil {
			if !fault.Is(err, fault.CodeUnauthenticated) {
				t.Errorf("%s lists: %v", name, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		var got, want []string
		for _, p := range list.Nodes() {
			got = append(got, p.LegalName)
		}
		for _, p := range c.want {
			want = append(want, p.LegalName)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s lists %v, want %v", name, got, want)
		}
		if n, err := list.TotalCount(t.Context()); err != nil || n.Value != len(want) {
			t.Errorf("%s counts %v, %v: counts tell what lists hide", name, n, err)
		}
		if found, err := w.List(t.Context(), c.actor, page.Args{}, nil, Filter{Search: ptr("gam")}); err != nil || (len(found.Edges) == 1) != slices.Contains(want, "Gamma") {
			t.Errorf("%s searches: %v", name, err)
		}
	}
}

func TestListOrdersFiltersAndPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.company("Zeta", func(in *RegisterInput) { in.Country = "DE" })
	w.db.Clock().Advance(time.Second)
	w.company("Élan")
	w.db.Clock().Advance(time.Second)
	w.company("acme", func(in *RegisterInput) { in.Kind, in.Country = access.IndirectProvider, "US" })
	w.db.Clock().Advance(time.Second)
	w.company("100%_sure", func(in *RegisterInput) {
		in.TenantDomain, in.Admin.Email, in.Status = "sure.example", "g@sure.example", ptr(Suspended)
	})
	names := func(args page.Args, o *Order, f Filter) string {
		t.Helper()
		c, err := w.List(t.Context(), w.chief, args, o, f)
		if err != nil {
			return problems(err)
		}
		var out []string
		for _, p := range c.Nodes() {
			out = append(out, p.LegalName)
		}
		return strings.Join(out, " ")
	}
	for name, c := range map[string][2]string{
		"by name":       {names(page.Args{}, nil, Filter{}), "100%_sure acme Élan Zeta"},
		"by name, down": {names(page.Args{}, &Order{ByName, page.Desc}, Filter{}), "Zeta Élan acme 100%_sure"},
		"by time":       {names(page.Args{}, &Order{ByCreated, page.Asc}, Filter{}), "Zeta Élan acme 100%_sure"},
		"newest two":    {names(page.Args{First: ptr(2)}, &Order{ByCreated, page.Desc}, Filter{}), "100%_sure acme"},
		"last two":      {names(page.Args{Last: ptr(2)}, nil, Filter{}), "Élan Zeta"},
		"by kind":       {names(page.Args{}, nil, Filter{Kind: ptr(access.IndirectProvider)}), "acme"},
		"by status":     {names(page.Args{}, nil, Filter{Status: ptr(Suspended)}), "100%_sure"},
		"by region":     {names(page.Args{}, nil, Filter{Region: ptr(region.Code("EUROPE"))}), "100%_sure Élan Zeta"},
		"by country":    {names(page.Args{}, nil, Filter{Country: ptr("DE")}), "Zeta"},
		"search folded": {names(page.Args{}, nil, Filter{Search: ptr("ELA")}), "Élan"},
		"search domain": {names(page.Args{}, nil, Filter{Search: ptr("sure.ex")}), "100%_sure"},
		"search whole":  {names(page.Args{}, nil, Filter{Search: ptr("Zeta GmbH")}), "Zeta"},
		"search %":      {names(page.Args{}, nil, Filter{Search: ptr("%")}), ""},
		"size":          {names(page.Args{First: ptr(0)}, nil, Filter{}), " PAGE_SIZE"},
	} {
		if c[0] != c[1] {
			t.Errorf("%s: got %q, want %q", name, c[0], c[1])
		}
	}
	first, err := w.List(t.Context(), w.chief, page.Args{First: ptr(1)}, nil, Filter{})
	if err != nil {
		t.Fatal(err)
	}
	cur := first.PageInfo.EndCursor
	if got := names(page.Args{After: cur}, nil, Filter{}); got != "acme Élan Zeta" {
		t.Errorf("got %q", got)
	}
	if got := names(page.Args{After: cur}, nil, Filter{Search: ptr("a")}); !strings.Contains(got, fault.CodeBadCursor) {
		t.Errorf("another filter takes the cursor: %q", got)
	}
}
