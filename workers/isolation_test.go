package workers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/alicebob/miniredis/v2"

	"github.com/channelgraph/channelgraph/internal/database/dbtest"
	"github.com/channelgraph/channelgraph/internal/fault"
	"github.com/channelgraph/channelgraph/internal/ident"
	"github.com/channelgraph/channelgraph/internal/outbox"
)

type canary struct{ Text string }

func (canary) Kind() string { return "test.canary" }

// Redis holds ids and generations and nothing of anybody: neither what a job
// carries nor what it is known by nor what became of it, at no moment of its
// life.
func TestRedisHoldsNothingOfAnybody(t *testing.T) {
	t.Parallel()
	url := dbtest.RedisURL()
	if url == "" {
		url = "redis://" + miniredis.RunT(t).Addr()
	}
	c, err := connect(url, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	const text = "zqkcanary"
	namespace := "t" + ident.New(ident.Job).Body()
	looked := 0
	var mu sync.Mutex
	look := func(ctx context.Context, seen string) {
		mu.Lock()
		defer mu.Unlock()
		keys, err := c.Keys(ctx, "*"+namespace+"*").Result()
		if err != nil {
			t.Error(err)
		}
		for _, k := range keys {
			var held any
			switch typ, _ := c.Type(ctx, k).Result(); typ {
			case "string":
				held, _ = c.Get(ctx, k).Result()
			case "hash":
				held, _ = c.HGetAll(ctx, k).Result()
			case "list":
				held, _ = c.LRange(ctx, k, 0, -1).Result()
			case "set":
				held, _ = c.SMembers(ctx, k).Result()
			case "zset":
				held, _ = c.ZRange(ctx, k, 0, -1).Result()
			}
			looked++
			if s := k + " " + fmt.Sprint(held); strings.Contains(s, text) || seen != "" && strings.Contains(s, seen) {
				t.Errorf("Redis holds %s", s)
			}
		}
	}
	db := dbtest.New(t)
	r := Registry{}
	Add(r, func(ctx context.Context, run *outbox.Run, a canary) error {
		look(ctx, string(run.Job.OrganizationID))
		switch a.Text {
		case text + " fails":
			return errors.New("could not reach " + text)
		case text + " gives up":
			return fault.GiveUp("REFUSED", errors.New(text))
		case text + " panics":
			panic(text)
		}
		return nil
	})
	s := start(t, prepare(t, db, r, Options{Redis: url, Namespace: namespace}))
	for _, what := range []string{" ends well", " gives up", " panics", " fails"} {
		put(t, db, canary{text + what}, outbox.Dedupe(text+what), outbox.MaxAttempts(1),
			func(j *outbox.Job) { j.ActorID, j.OrganizationID = "usr_"+text, "org_"+text })
	}
	drain(t, s)
	look(t.Context(), "")
	if looked == 0 {
		t.Error("there were no keys to look at")
	}
}
