package export

import (
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/outbox"
)

// A file stands where its operation does, until it is there or gone. What is
// written and how is proved by the packages whose rows they are.
func TestFilesFollowTheirOperation(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for state, want := range map[outbox.State]State{outbox.Pending: Queued, outbox.Queued: Queued, outbox.Running: Running, outbox.Dead: Failed, outbox.Done: Running} {
		f := &File{ExpiresAt: now.Add(time.Hour)}
		if f.settle(&outbox.Job{State: state}, now); f.State != want {
			t.Errorf("%s is shown as %s", state, f.State)
		}
	}
	for want, f := range map[State]*File{Cancelled: {ExpiresAt: now.Add(1)}, Ready: {ExpiresAt: now.Add(1), FinishedAt: &now}, Expired: {ExpiresAt: now, FinishedAt: &now}} {
		if f.settle(nil, now); f.State != want {
			t.Errorf("%s is shown as %s", want, f.State)
		}
	}
	f := &File{name: "customers", CreatedAt: now}
	if f.FileName() != "customers-2026-01-02.csv" {
		t.Error(f.FileName())
	}
}
