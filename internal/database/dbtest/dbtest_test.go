package dbtest

import (
	"context"
	"testing"

	"github.com/channelgraph/channelgraph/migrations"
)

func TestNew(t *testing.T) {
	t.Parallel()
	db := New(t)
	st, err := migrations.Status(context.Background(), db)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range st {
		if !s.Applied {
			t.Errorf("%s is not applied", s.Name)
		}
	}
	if len(st) < 4 {
		t.Errorf("only %d migrations", len(st))
	}
}
