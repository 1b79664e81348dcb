package web

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/account"
	"github.com/channelgraph/channelgraph/internal/audit"
	"github.com/channelgraph/channelgraph/internal/database"
	"github.com/channelgraph/channelgraph/internal/export"
	"github.com/channelgraph/channelgraph/internal/ident"
)

func TestExportFile(t *testing.T) {
	t.Parallel()
	var audits *audit.Service
	w := newWorld(t, func(d *Deps) {
		audits = audit.New(d.DB, slog.New(slog.DiscardHandler))
		d.Audit = audits
	})
	ask := func(of access.Actor) string {
		e, _, err := audits.RequestExport(t.Context(), of, audit.Filter{}, "")
		if err != nil {
			t.Fatal(err)
		}
		return string(e.ID)
	}
	big := strings.Repeat("line,of,a,file\r\n", 100_000)
	finish := func(id string, file ...string) {
		w.tx(func(ctx context.Context, tx *database.Tx) error {
			for i, part := range file {
				if _, err := tx.NewRaw("INSERT INTO export_chunk (export_id, number, data) VALUES (?, ?, ?)", id, i, []byte(part)).Exec(ctx); err != nil {
					return err
				}
			}
			_, err := tx.NewRaw("UPDATE export_file SET chunks = ?, bytes = ?, finished_at = ? WHERE id = ?", len(file), len(strings.Join(file, "")), tx.Now, id).Exec(ctx)
			return err
		})
	}
	id, waiting, foreign := ask(w.provider), ask(w.provider), ask(w.reseller)
	finish(id, "id,action\r\n", big)
	finish(foreign, "id,action\r\n")

	anna := w.browser().signIn("anna@northwind.example")
	for name, b := range map[string]*browser{"session": anna, "token": w.program("Bearer " + w.scoped(w.provider, "Audit", access.PermAuditRead))} {
		r := b.get("/exports/" + id).is(200)
		if r.body != "id,action\r\n"+big {
			t.Errorf("%s: %d bytes", name, len(r.body))
		}
		for k, v := range map[string]string{"Content-Type": "text/csv; charset=utf-8; header=present", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff",
			"Content-Disposition": "attachment; filename=audit-" + w.db.Now().UTC().Format("2006-01-02") + ".csv"} {
			if got := r.Header.Get(k); got != v {
				t.Errorf("%s: %s is %q, want %q", name, k, got, v)
			}
		}
	}

	// What is another's answers like what is absent.
	program := w.program("Bearer " + w.scoped(w.provider, "Second", access.PermAuditRead))
	var answers []string
	for _, no := range []string{foreign, string(ident.New(ident.Export)), "exp_x", "nothing", strings.Repeat("x", 500), w.jobOf(id)} {
		r := program.get("/exports/" + no).is(404)
		r.code("NOT_FOUND")
		answers = append(answers, strings.ReplaceAll(r.body, r.Header.Get("X-Request-Id"), ""))
	}
	for _, a := range answers {
		if a != answers[0] {
			t.Errorf("%s differs from %s", a, answers[0])
		}
	}
	anna.get("/exports/" + foreign).is(404).lacks("audit")

	program.get("/exports/" + waiting).is(409).code(export.CodeNotReady)
	w.program("Bearer " + w.scoped(w.provider, "Narrow", access.PermViewerRead)).get("/exports/" + id).is(403).code(access.CodeScopeRequired)
	w.program().get("/exports/" + id).is(401)
	w.browser().get("/exports/" + id).is(401)
	if r := anna.do(http.MethodHead, "/exports/"+id, "", "").is(405); r.Header.Get("Allow") != "GET" {
		t.Error(r.Header)
	}
	anna.post("/exports/" + id).is(405)

	// A file that goes while it is read does not look whole.
	w.tx(func(ctx context.Context, tx *database.Tx) error {
		_, err := tx.NewRaw("DELETE FROM export_chunk WHERE export_id = ? AND number = 1", id).Exec(ctx)
		return err
	})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.srv.URL+"/exports/"+id, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = program.header
	res, err := program.client.Do(req)
	if err == nil {
		_, err = res.Body.Read(make([]byte, 1<<20))
		for err == nil {
			_, err = res.Body.Read(make([]byte, 1<<20))
		}
		_ = res.Body.Close()
	}
	if err == nil || err.Error() == "EOF" {
		t.Errorf("half a file was taken for whole: %v", err)
	}
	w.logged("a download broke off")

	w.db.Clock().Advance(8 * 24 * time.Hour)
	program.get("/exports/" + id).is(409).code(export.CodeExpired)
}

// scoped is the secret of a token with scopes.
func (w *world) scoped(of access.Actor, name string, scopes ...access.Permission) string {
	w.t.Helper()
	_, value, _, err := w.accounts.CreateToken(w.t.Context(), of, account.CreateTokenInput{Name: name, Scopes: scopes})
	if err != nil {
		w.t.Fatal(err)
	}
	return value.Reveal()
}

// jobOf is the id of the operation that writes an export.
func (w *world) jobOf(export string) (id string) {
	w.t.Helper()
	if err := w.db.Read().NewSelect().Table("job").Column("id").Where("subject_id = ?", export).Scan(w.t.Context(), &id); err != nil {
		w.t.Fatal(err)
	}
	return id
}
