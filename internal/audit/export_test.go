package audit

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/channelgraph/channelgraph/internal/access"
	"github.com/channelgraph/channelgraph/internal/export"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/outbox"
)

func (w *world) request(actor access.Actor, f Filter) (*Export, *outbox.Job) {
	w.Helper()
	e, j, err := w.s.RequestExport(w.Context(), actor, f, "")
	if err != nil {
		w.Fatal(err)
	}
	return e, j
}

// file fetches an export and reads its lines.
func (w *world) file(actor access.Actor, id ident.ID) (raw []byte, rows [][]string) {
	w.Helper()
	d, err := w.s.OpenExport(w.Context(), actor, id)
	if err != nil {
		w.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	raw, err = io.ReadAll(d)
	if err != nil || int64(len(raw)) != d.Export.Bytes {
		w.Fatalf("%d bytes of %d: %v", len(raw), d.Export.Bytes, err)
	}
	rows, err = csv.NewReader(bytes.NewReader(raw)).ReadAll()
	if err != nil {
		w.Fatal(err)
	}
	if !slices.Equal(rows[0], header) {
		w.Errorf("columns %v", rows[0])
	}
	return raw, rows[1:]
}

// state is where an export stands for its requester.
func (w *world) state(actor access.Actor, id ident.ID) *Export {
	w.Helper()
	found, err := w.s.ExportsByIDs(w.Context(), actor, []ident.ID{id})
	if err != nil || found[id] == nil {
		w.Fatal(found, err)
	}
	return found[id]
}

func column(rows [][]string, name string) []string {
	out := make([]string, len(rows))
	for i, r := range rows {
		out[i] = r[slices.Index(header, name)]
	}
	return out
}

func TestExportHoldsWhatTheListShows(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	mine, other, op := w.person(access.IndirectProvider, access.AdminAgent), w.person(access.IndirectReseller, access.GlobalAdmin), w.person(access.Operator, access.Reviewer)
	w.act(mine, some(9, "thing.done")...)
	w.act(other, some(3, "other.hidden")...)
	w.act(other, Act{Action: "other.shared", TargetID: "inv_1", TargetOrganizationID: mine.OrganizationID, Reason: "@sum"})
	w.act(access.System("clock"), Act{Action: "system.shared", TargetOrganizationID: mine.OrganizationID})

	e, j := w.request(mine, Filter{})
	if e.State != export.Queued || !j.Listed || j.SubjectID != e.ID || j.ActorID != mine.UserID || j.Kind != "audit.export" {
		t.Errorf("%+v %+v", e, j)
	}
	w.db.Clock().Advance(time.Second)
	w.act(mine, some(2, "too.late")...)
	if err := w.perform(j, e); err != nil {
		t.Fatal(err)
	}
	done := w.state(mine, e.ID)
	if done.State != export.Ready || done.RowsDone != 12 || *done.RowsTotal != 12 || done.Chunks != 3 || done.FinishedAt == nil ||
		!done.ExpiresAt.Equal(done.FinishedAt.Add(export.Life)) || done.FileName() != "audit-"+done.CreatedAt.Format("2006-01-02")+".csv" {
		t.Errorf("%+v", done)
	}
	raw, rows := w.file(mine, e.ID)
	if !bytes.HasSuffix(raw, []byte("\r\n")) || bytes.Count(raw, []byte("\r\n")) != 13 {
		t.Errorf("not RFC 4180: %q", raw)
	}
	actions := slices.Compact(column(rows, "action"))
	if want := []string{"thing.done", "other.shared", "system.shared", "audit.export_requested"}; !slices.Equal(actions, want) {
		t.Errorf("actions %v", actions)
	}
	shared := rows[9]
	for i, name := range header {
		switch name {
		case "actor_id", "actor_name", "organization_id", "on_behalf_of_id", "request_id", "ip_prefix", "token_id", "changed_fields":
			if shared[i] != "" {
				t.Errorf("%s of another's act is shown: %q", name, shared[i])
			}
		case "reason":
			if shared[i] != "'@sum" {
				t.Errorf("reason %q", shared[i])
			}
		case "target_id":
			if shared[i] != "inv_1" {
				t.Errorf("target %q", shared[i])
			}
		}
	}
	if names := column(rows, "actor_name"); names[0] != "'=Ada B" || names[10] != "clock" {
		t.Errorf("names %q", names)
	}
	if got := rows[0]; got[9] != "status note" || got[12] != "req-1" || got[13] != "192.0.2.0/24" || !strings.HasSuffix(got[1], "Z") || len(got[1]) != 27 {
		t.Errorf("%q", got)
	}
	if bytes.Contains(raw, []byte(other.OrganizationID)) || bytes.Contains(raw, []byte(other.UserID)) {
		t.Error("the file tells of another organization")
	}

	all, aj := w.request(op, Filter{OrganizationID: &other.OrganizationID})
	if err := w.perform(aj, all); err != nil {
		t.Fatal(err)
	}
	if _, rows := w.file(op, all.ID); len(rows) != 4 || rows[3][10] != string(Done) || rows[3][3] != string(other.UserID) || rows[3][5] != string(other.OrganizationID) {
		t.Errorf("the operator's file: %q", rows)
	}
	empty, ej := w.request(mine, Filter{OrganizationID: &other.OrganizationID})
	if err := w.perform(ej, empty); err != nil {
		t.Fatal(err)
	}
	if _, rows := w.file(mine, empty.ID); len(rows) != 0 {
		t.Errorf("a foreign organization's: %q", rows)
	}
	var recorded []string
	if err := w.db.Read().NewSelect().TableExpr("audit_event").Column("action").Where("target_id = ?", e.ID).OrderExpr("at, action").Scan(t.Context(), &recorded); err != nil ||
		!slices.Equal(recorded, []string{"audit.export_requested", "audit.exported", "audit.export_downloaded"}) {
		t.Error(recorded, err)
	}
}

func TestExportsAreTheirRequesters(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	mine, other, op := w.person(access.IndirectProvider, access.AdminAgent), w.person(access.IndirectProvider, access.GlobalAdmin), w.person(access.Operator, access.OperatorAdmin)
	plain, nobody := w.person(access.IndirectProvider, access.DefaultUser), access.Anonymous("en", "")
	for name, c := range map[string]struct {
		actor access.Actor
		f     Filter
		code  string
	}{
		"nobody": {nobody, Filter{}, fault.CodeUnauthenticated}, "the system": {access.System("x"), Filter{}, fault.CodeUnauthenticated},
		"without permission": {plain, Filter{}, fault.CodeRoleRequired},
		"a long filter":      {mine, Filter{Action: ptr(strings.Repeat("x", 101)), TargetID: ptr(ident.ID(strings.Repeat("x", 101)))}, fault.CodeTooLong},
	} {
		if _, _, err := w.s.RequestExport(ctx, c.actor, c.f, ""); !fault.Is(err, c.code) {
			t.Errorf("%s: %v", name, err)
		}
	}
	e, j := w.request(mine, Filter{})
	if _, err := w.s.OpenExport(ctx, mine, e.ID); !fault.Is(err, export.CodeNotReady) {
		t.Errorf("before it is ready: %v", err)
	}
	if err := w.perform(j, e); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		actor access.Actor
		id    ident.ID
		code  string
	}{
		"another": {other, e.ID, fault.CodeNotFound}, "the operator": {op, e.ID, fault.CodeNotFound}, "unknown": {mine, ident.New(ident.Export), fault.CodeNotFound},
		"without permission": {plain, e.ID, fault.CodeRoleRequired}, "nobody": {nobody, e.ID, fault.CodeUnauthenticated}, "the system": {access.System("x"), e.ID, fault.CodeNotFound},
	} {
		if _, err := w.s.OpenExport(ctx, c.actor, c.id); !fault.Is(err, c.code) {
			t.Errorf("%s opens it: %v", name, err)
		}
		if found, err := w.s.ExportsByIDs(ctx, c.actor, []ident.ID{c.id}); err != nil || len(found) != 0 {
			t.Errorf("%s sees it: %v %v", name, found, err)
		}
	}
	// A right that is lost closes a file that was written with it.
	w.exec("DELETE FROM user_role WHERE user_id = ?", mine.UserID)
	again, err := access.Load(ctx, w.db.Read(), access.Presence{UserID: mine.UserID})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.s.OpenExport(ctx, again, e.ID); !fault.Is(err, fault.CodeRoleRequired) {
		t.Errorf("after the right was lost: %v", err)
	}
}

func ptr[T any](v T) *T { return &v }

func TestExportIsAskedForOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	mine := w.person(access.IndirectProvider, access.AdminAgent)
	e, j, err := w.s.RequestExport(ctx, mine, Filter{}, "k1")
	if err != nil {
		t.Fatal(err)
	}
	e2, j2, err := w.s.RequestExport(ctx, mine, Filter{}, "k1")
	if err != nil || e2.ID != e.ID || j2.ID != j.ID || e2.State != export.Queued {
		t.Errorf("a replay: %+v %v", e2, err)
	}
	if _, _, err := w.s.RequestExport(ctx, mine, Filter{Action: ptr("x")}, "k1"); !fault.Is(err, fault.CodeKeyReused) {
		t.Errorf("the key for something else: %v", err)
	}
	for range 9 {
		w.db.Clock().Advance(time.Minute)
		w.request(mine, Filter{})
	}
	_, _, err = w.s.RequestExport(ctx, mine, Filter{}, "")
	if f := fault.As(err); f == nil || f.Kind != fault.KindLimited || f.RetryAfter > 51*time.Minute || f.RetryAfter < 50*time.Minute {
		t.Errorf("the eleventh in an hour: %v", err)
	}
	w.db.Clock().Advance(51 * time.Minute)
	w.request(mine, Filter{})
}

func TestExportFailsWhereTheRightIsLost(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]string{
		"the role":    "DELETE FROM user_role WHERE user_id = ?",
		"the account": "UPDATE user_account SET status = 'DISABLED' WHERE id = ?",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			mine := w.person(access.IndirectProvider, access.AdminAgent)
			w.act(mine, some(2, "thing.done")...)
			e, j := w.request(mine, Filter{})
			w.exec(lose, mine.UserID)
			if err := w.perform(j, e); fault.AsRetry(err) == nil || fault.AsRetry(err).Code != export.CodeRevoked {
				t.Fatalf("%v", err)
			}
			got := w.state(mine, e.ID) // as a request that began before
			if got.State != export.Failed || got.FailureCode == nil || *got.FailureCode != export.CodeRevoked || got.RowsDone != 0 {
				t.Errorf("%+v", got)
			}
		})
	}
	t.Run("between two batches", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		mine := w.person(access.IndirectProvider, access.AdminAgent)
		w.act(mine, some(9, "thing.done")...)
		e, j := w.request(mine, Filter{})
		run := w.begin(j)
		if err := w.s.exports.CarryOn(t.Context(), run, e, mine); err != nil {
			t.Fatal(err)
		}
		w.exec("DELETE FROM user_role WHERE user_id = ?", mine.UserID)
		if err := w.s.ExportEvents(t.Context(), run, ExportEvents{ExportID: e.ID}); fault.AsRetry(err) == nil || !fault.AsRetry(err).Never {
			t.Errorf("%v", err)
		}
		if got := w.state(mine, e.ID); got.RowsDone != 4 || got.FinishedAt != nil {
			t.Errorf("%+v", got)
		}
	})
}

// Whatever comes in between, the file is what one run would have written.
func TestExportGoesOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	mine := w.person(access.IndirectProvider, access.AdminAgent)
	w.act(mine, some(11, "thing.done")...)
	at := w.db.Now()
	w.exec("INSERT INTO audit_event (id, at, actor_kind, organization_id, action, changed, outcome) VALUES ('aud_b', ?0, 'USER', ?1, 'x', '[]', 'DONE'), "+
		"('aud_a', ?0, 'USER', ?1, 'x', '[]', 'DONE')", at, mine.OrganizationID)
	w.db.Clock().Advance(time.Second)
	e, j := w.request(mine, Filter{})
	run := w.begin(j)
	first, stale := *e, *e
	if err := w.s.exports.CarryOn(ctx, run, &first, mine); err != nil {
		t.Fatal(err)
	}
	if err := w.s.exports.CarryOn(ctx, run, &stale, mine); !errors.Is(err, export.ErrMoved) || stale.Chunks != 0 {
		t.Errorf("a second process: %v", err)
	}
	// The worker is killed; another takes over.
	w.exec("UPDATE job SET state = 'pending' WHERE id = ?", j.ID)
	if got := w.state(mine, e.ID); got.State != export.Queued || got.RowsDone != 4 {
		t.Errorf("%+v", got)
	}
	if err := w.s.ExportEvents(ctx, run, ExportEvents{ExportID: e.ID}); !errors.Is(err, outbox.ErrLost) {
		t.Errorf("the killed worker comes back: %v", err)
	}
	if got := w.state(mine, e.ID); got.FinishedAt != nil {
		t.Error("the killed worker finished the file")
	}
	if err := w.perform(j, e); err != nil {
		t.Fatal(err)
	}
	_, rows := w.file(mine, e.ID)
	ids := column(rows, "id")
	if len(ids) != 14 || ids[11] != "aud_a" || ids[12] != "aud_b" {
		t.Errorf("%v", ids)
	}
	slices.Sort(ids)
	if len(slices.Compact(ids)) != 14 {
		t.Error("a line stands twice")
	}
	if err := w.s.ExportEvents(ctx, run, ExportEvents{ExportID: e.ID}); err != nil {
		t.Errorf("once more: %v", err)
	}
}

func TestExportHasBounds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	mine := w.person(access.IndirectProvider, access.AdminAgent)
	w.act(mine, some(47, "thing.done")...)
	since := w.db.Now()
	w.act(mine, some(4, "thing.done")...)
	e, j := w.request(mine, Filter{Action: ptr("thing.done")})
	if err := w.perform(j, e); fault.AsRetry(err) == nil || fault.AsRetry(err).Code != export.CodeTooLarge {
		t.Errorf("%v", err)
	}
	narrow, nj := w.request(mine, Filter{Action: ptr("thing.done"), Since: &since, Outcome: ptr(Done)})
	if err := w.perform(nj, narrow); err != nil {
		t.Fatal(err)
	}
	if _, rows := w.file(mine, narrow.ID); len(rows) != 4 { // a whole batch, then an empty one
		t.Errorf("%d rows", len(rows))
	}
	none, j := w.request(mine, Filter{Outcome: ptr(Refused)})
	if err := w.perform(j, none); err != nil {
		t.Fatal(err)
	}
}

func TestExportsExpire(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	mine := w.person(access.IndirectProvider, access.AdminAgent)
	w.act(mine, some(3, "thing.done")...)
	e, j := w.request(mine, Filter{})
	if err := w.perform(j, e); err != nil {
		t.Fatal(err)
	}
	waiting, wj := w.request(mine, Filter{})
	d, err := w.s.OpenExport(ctx, mine, e.ID)
	if err != nil {
		t.Fatal(err)
	}
	w.db.Clock().Advance(export.Life)
	if err := w.s.PruneExports(ctx, nil, PruneExports{}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(d); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a file that went while it was read: %v", err)
	}
	if got := w.state(mine, e.ID); got.State != export.Expired {
		t.Errorf("%+v", got)
	}
	if _, err := w.s.OpenExport(ctx, mine, e.ID); !fault.Is(err, export.CodeExpired) {
		t.Errorf("%v", err)
	}
	if err := w.s.ExportEvents(ctx, &outbox.Run{Job: *wj}, ExportEvents{ExportID: waiting.ID}); fault.AsRetry(err) == nil || fault.AsRetry(err).Code != export.CodeExpired {
		t.Errorf("one that nobody wrote in time: %v", err)
	}
	w.db.Clock().Advance(export.Life)
	if err := w.s.PruneExports(ctx, nil, PruneExports{}); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"export_file", "export_chunk"} {
		if n, err := w.db.Read().NewSelect().TableExpr(table).Count(ctx); n != 0 || err != nil {
			t.Errorf("%d rows in %s: %v", n, table, err)
		}
	}
	if err := w.s.ExportEvents(ctx, nil, ExportEvents{ExportID: e.ID}); fault.AsRetry(err) == nil || fault.AsRetry(err).Code != export.CodeExpired {
		t.Errorf("one that is gone: %v", err)
	}
}

func TestExportsFollowTheirOperation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	mine := w.person(access.IndirectProvider, access.AdminAgent)
	e, j := w.request(mine, Filter{})
	if _, err := outbox.Cancel(t.Context(), w.db, mine, j.ID, outbox.Hooks{}); err != nil {
		t.Fatal(err)
	}
	if got := w.state(mine, e.ID); got.State != export.Cancelled {
		t.Errorf("%+v", got)
	}
}

// A file is cut into chunks wherever they fill up.
func TestDownloadReadsChunks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.s.exports.AtOnce, w.s.exports.Most = 1000, 5000
	mine := w.person(access.IndirectProvider, access.AdminAgent)
	now := w.db.Now()
	rows := make([]*Event, 300)
	for i := range rows {
		rows[i] = &Event{ID: ident.New(ident.Audit), At: now, ActorKind: ActorUser, OrganizationID: mine.OrganizationID, Action: "thing.done",
			Changed: []string{}, Outcome: Done, Reason: strings.Repeat("è\n\"", 500)}
	}
	if _, err := w.db.Bun().NewInsert().Model(&rows).Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	e, j := w.request(mine, Filter{})
	if err := w.perform(j, e); err != nil {
		t.Fatal(err)
	}
	raw, lines := w.file(mine, e.ID)
	if got := w.state(mine, e.ID); len(lines) != 301 || got.Chunks != (len(raw)+export.ChunkSize-1)/export.ChunkSize || got.Chunks < 3 {
		t.Errorf("%d lines in %d chunks", len(lines), got.Chunks)
	}
	d, err := w.s.OpenExport(t.Context(), mine, e.ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := iotest.TestReader(d, raw); err != nil {
		t.Error(err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if n, err := d.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Error("a closed file is read", n, err)
	}
}
