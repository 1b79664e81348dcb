package web

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/file"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/register"
)

func TestImportReport(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(d *Deps) { d.Register = register.New(d.DB, d.Account, file.New(d.DB)) })
	var otto access.Actor
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		org, err := w.accounts.Found(ctx, tx, access.System("test"), account.NewOrganization{Kind: access.Operator, Name: "Programme House", Domain: "operator.example", Country: "IT"})
		if err != nil {
			return err
		}
		u, _, err := w.accounts.AddUser(ctx, tx, access.System("test"), org, account.NewUser{Email: "otto@operator.example", FirstName: "Otto", LastName: "Ferri",
			Roles: []access.Role{access.OperatorAdmin}, Password: password})
		if err == nil {
			otto, err = access.Load(ctx, tx, access.Presence{UserID: u.ID, SudoUntil: tx.Now.Add(time.Hour)})
		}
		return err
	})
	id := ident.New(ident.Import)
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		_, err := tx.NewRaw("INSERT INTO register_import (id, kind, mode, dry_run, file_id, file_name, organization_id, requested_by_id, problem_count, outcome, created_at, finished_at) "+
			"VALUES (?, 'COMPANIES', 'MERGE', ?, '', 'x.csv', ?, ?, 1, 'REFUSED', ?, ?)", id, false, otto.OrganizationID, otto.UserID, tx.Now, tx.Now).Exec(ctx)
		if err == nil {
			_, err = tx.NewRaw("INSERT INTO register_import_problem (import_id, number, line, column_name, code, params) VALUES (?, 1, 7, '@x', 'REQUIRED', '{}')", id).Exec(ctx)
		}
		return err
	})
	path := "/register-imports/" + string(id) + "/problems"
	for name, b := range map[string]*browser{"session": w.browser().signIn("otto@operator.example"), "token": w.program("Bearer " + w.scoped(otto, "Registers", access.PermRegisterManage))} {
		r := b.get(path).is(200)
		if !strings.HasPrefix(r.body, "line,column,code,message\r\n7,'@x,REQUIRED,") {
			t.Errorf("%s: %s", name, r.body)
		}
		for k, v := range map[string]string{"Content-Type": "text/csv; charset=utf-8; header=present", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff",
			"Content-Disposition": "attachment; filename=companies-problems-" + w.db.Now().UTC().Format("2006-01-02") + ".csv"} {
			if got := r.Header.Get(k); got != v {
				t.Errorf("%s: %s is %q, want %q", name, k, got, v)
			}
		}
		for _, no := range []ident.ID{ident.New(ident.Import), "imp_x", id + "x"} {
			b.get("/register-imports/" + string(no) + "/problems").is(404).lacks("@x")
		}
		if r := b.do(http.MethodHead, path, "", "").is(405); r.Header.Get("Allow") != "GET" {
			t.Error(r.Header)
		}
		b.post(path).is(405)
	}
	w.program("Bearer " + w.scoped(otto, "Narrow", access.PermViewerRead)).get(path).is(403).code(access.CodeScopeRequired)
	w.browser().signIn("anna@northwind.example").get(path).is(403)
	w.program().get(path).is(401)
	w.browser().get(path).is(401)
}
