package workers

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/channelgraph/channelgraph/internal/database/dbtest"
	"github.com/channelgraph/channelgraph/internal/outbox"
)

// ownRedis is a Redis of the test's own, which it may kill.
type ownRedis struct {
	binary, port, dir string
	cmd               *exec.Cmd
}

func newOwnRedis(t *testing.T) *ownRedis {
	t.Helper()
	binary := os.Getenv("CHANNELGRAPH_TEST_REDIS_SERVER")
	if binary == "" {
		binary = "redis-server"
	}
	path, err := exec.LookPath(binary)
	if err != nil {
		t.Fatalf("the tests on Redis need a redis-server in PATH or CHANNELGRAPH_TEST_REDIS_SERVER: %v", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	_ = l.Close()
	o := &ownRedis{binary: path, port: port, dir: t.TempDir()}
	o.start(t)
	t.Cleanup(o.kill)
	return o
}

func (o *ownRedis) url() string { return "redis://127.0.0.1:" + o.port }

func (o *ownRedis) start(t *testing.T) {
	t.Helper()
	o.cmd = exec.Command(o.binary, "--port", o.port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", o.dir)
	if err := o.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c, err := connect(o.url(), 2)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	for deadline := time.Now().Add(10 * time.Second); c.Ping(t.Context()).Err() != nil; {
		if time.Now().After(deadline) {
			t.Fatal("redis does not start")
		}
		<-time.After(10 * time.Millisecond)
	}
}

func (o *ownRedis) kill() {
	_ = o.cmd.Process.Kill()
	_ = o.cmd.Wait()
}

// TestRedisFaults empties, kills and restarts a real Redis while producers
// commit and workers work: every job takes effect, its row says so, and no
// fault is charged to it.
func TestRedisFaults(t *testing.T) {
	if dbtest.RedisURL() == "" {
		t.Log("on the embedded queue TestRedisForgets covers this")
		return
	}
	t.Parallel()
	own := newOwnRedis(t)
	db := dbtest.New(t)
	e := newEffects()
	r := Registry{}
	Add(r, func(ctx context.Context, run *outbox.Run, a note) error {
		// The effect is in the database, so it and done are one.
		if err := db.InTx(ctx, run.Done); err != nil {
			return fmt.Errorf("taking effect: %w", err)
		}
		e.add(a.N)
		return nil
	})
	o := Options{Redis: own.url(), Concurrency: 4}
	one := start(t, prepare(t, db, r, o))
	o.Namespace = one.o.Namespace
	two := start(t, prepare(t, db, r, o))
	n := 0
	for _, fault := range []func(){
		func() {
			if err := one.link.Load().redis.FlushAll(t.Context()).Err(); err != nil {
				t.Error(err)
			}
		},
		func() { own.kill(); own.start(t) }, // restarted empty
		func() {
			own.kill()
			put(t, db, note{n}) // accepted while Redis is away
			n++
			own.start(t)
		},
	} {
		for range 40 {
			put(t, db, note{n}, outbox.On(outbox.Queues[n%4]))
			n++
		}
		fault()
		for range 10 {
			put(t, db, note{n})
			n++
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	if err := one.await(ctx, func() bool { return count(t, db, "done") == n && one.inFlight()+two.inFlight() == 0 }); err != nil {
		t.Fatalf("%d of %d done: %v", count(t, db, "done"), n, err)
	}
	e.once(t, n)
	charged, err := db.Read().NewSelect().TableExpr("job").Where("attempt <> 1").Count(t.Context())
	if err != nil || charged != 0 {
		t.Errorf("%d jobs were charged for the faults, %v", charged, err)
	}
}
