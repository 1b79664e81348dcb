package enrollment

import (
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/desk"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/page"
)

// line is what the operator's desk says of an enrollment; nil for nothing.
func (d *house) line(id ident.ID) *desk.Item {
	d.t.Helper()
	c, err := desk.List(d.t.Context(), d.db, d.rita, page.Args{}, nil, desk.Filter{State: []desk.State{desk.Open, desk.Waiting, desk.Done}})
	if err != nil {
		d.t.Fatal(err)
	}
	for _, i := range c.Nodes() {
		if i.SubjectID == id {
			return i
		}
	}
	return nil
}

// An enrollment is on the operator's desk from its submission until it is
// decided: waiting while the other side has to act, with the dates of its
// promise, and again after an appeal.
func TestOnDesk(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	e, gina := d.apply("Faggio")
	if i := d.line(e.ID); i == nil || i.State != desk.Waiting || i.DueAt != nil || i.Company != e.Company() {
		t.Fatalf("%+v", i)
	}
	e = d.confirm(e)
	i := d.line(e.ID)
	if i.State != desk.Open || i.DueAt == nil || !i.DueAt.Equal(*e.DueAt) || !i.QueueAt.Equal(*e.DueAt) || i.AssigneeID != "" {
		t.Fatalf("%+v", i)
	}
	if _, err := d.Assign(t.Context(), d.rita, AssignInput{EnrollmentID: e.ID, AssigneeID: &d.rita.UserID}); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Ask(t.Context(), d.rita, AskInput{EnrollmentID: e.ID, Text: "Who are you?"}); err != nil {
		t.Fatal(err)
	}
	if i := d.line(e.ID); i.State != desk.Waiting || i.DueAt != nil || i.AssigneeID != d.rita.UserID {
		t.Fatalf("%+v", i)
	}
	d.later(48 * time.Hour)
	if _, _, err := d.Answer(t.Context(), gina, AnswerInput{EnrollmentID: e.ID, Text: "Faggio."}); err != nil {
		t.Fatal(err)
	}
	if j := d.line(e.ID); j.State != desk.Open || !j.DueAt.After(*i.DueAt) {
		t.Fatalf("%+v", j)
	}
	if _, err := d.Reject(t.Context(), d.rita, RejectInput{EnrollmentID: e.ID, ReasonCode: Fraud, Note: "No."}); err != nil {
		t.Fatal(err)
	}
	if i := d.line(e.ID); i.State != desk.Done || i.ClosedAt == nil {
		t.Fatalf("%+v", i)
	}
	if _, err := d.Appeal(t.Context(), gina, AppealInput{EnrollmentID: e.ID, Text: "Yes."}); err != nil {
		t.Fatal(err)
	}
	if i := d.line(e.ID); i.State != desk.Open || i.ClosedAt != nil || i.DueAt == nil {
		t.Fatalf("%+v", i)
	}
}
